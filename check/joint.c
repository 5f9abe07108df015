// Joint minima: docs/certificate.md section 7.3. The elements of one output position and channel group of an affine node read the same
// input elements; behind a unit they get one minimum together, over all values of these. Per element the sums at all points are built up
// input by input, and what the element contributes is looked up in a table of the function over the values that the sum can take.
#include "check.h"

#include <inttypes.h>
#include <string.h>

enum { MOST_DIGITS = 20 }; // an input element with two values doubles the points, and a limit is at most 2^20

// An input element that takes several values: x.lo + 0 .. n-1. tap: its place in the row of weights.
typedef struct {
  Iv x;
  uint32_t tap, n;
} TapRange;

typedef struct {
  bool any;
  i128 v;
} Least;

static void least_of(Least *r, i128 v) {
  if (!r->any || v < r->v) *r = (Least){true, v};
}

typedef struct JointRun JointRun;

struct Joint {
  Net *net;
  const Force *f;
  uint64_t work; // points times elements until now
  TapRange digit[MOST_DIGITS];
  uint32_t digits, points;
  Iv *x; // of all inside taps, by their places; the others are not looked at
  bool *inside;
  uint32_t taps_room;
  int32_t *at; // per point: the sum, less the least there is
  int64_t *total;
  bool *out; // some sum is outside its interval in force: no execution
  uint32_t points_room;
  int64_t *table;
  uint64_t table_room;
  JointRun *run;
  uint32_t run_room;
};

Joint *joint_make(Net *net, const Force *f) {
  Joint *j = take(1, sizeof *j);
  *j = (Joint){.net = net, .f = f};
  return j;
}

const Node *joint_affine(const Net *net, uint32_t tensor) {
  const Tensor *t = &net->tensors[tensor];
  const Node *unit = t->origin == FROM_NODE ? &net->nodes[t->node] : NULL;
  if (!unit || !is_unit(unit)) return NULL;
  const Tensor *a = &net->tensors[unit->in[0]];
  const Node *n = a->origin == FROM_NODE ? &net->nodes[a->node] : NULL;
  return n && n->kind == AFFINE && n->own_harmless ? n : NULL;
}

// ---- the points of a group --------------------------------------------------------------------------------------------------------------
// What output element e reads. False: nothing, or more than `limit` points.
static bool read_points(Joint *j, const Node *n, uint32_t e, uint32_t limit) {
  const Window *w = &n->w;
  uint32_t o = e % w->oc, x = e / w->oc % w->ow, y = e / w->oc / w->ow % w->oh, i = e / w->oc / w->ow / w->oh, ky0, ky1, kx0, kx1;
  uint32_t icg = w->ic / w->groups, group = o / (w->oc / w->groups) * icg;
  inside_taps(y, w->sh, w->pt, w->dh, w->kh, w->ih, &ky0, &ky1);
  inside_taps(x, w->sw, w->pl, w->dw, w->kw, w->iw, &kx0, &kx1);
  if (ky0 == ky1 || kx0 == kx1) return false;
  if (n->taps > j->taps_room) {
    j->taps_room = n->taps;
    j->x = take(n->taps, sizeof *j->x), j->inside = take(n->taps, sizeof *j->inside);
  }
  memset(j->inside, 0, n->taps * sizeof *j->inside);
  j->digits = 0, j->points = 1;
  for (uint32_t ky = ky0; ky < ky1; ky++) {
    for (uint32_t kx = kx0; kx < kx1; kx++) {
      uint64_t iy = (uint64_t)y * w->sh + (uint64_t)ky * w->dh - w->pt, ix = (uint64_t)x * w->sw + (uint64_t)kx * w->dw - w->pl;
      uint32_t first = (uint32_t)(((i * (uint64_t)w->ih + iy) * w->iw + ix) * w->ic) + group, tap = (ky * w->kw + kx) * icg;
      for (uint32_t c = 0; c < icg; c++, tap++) {
        Iv v = force_at(j->f, n->in[0], first + c);
        uint64_t values = (uint64_t)v.hi - (uint64_t)v.lo + 1; // never 0: intervals in force lie within 2^62
        if (values > limit / j->points) return false;
        j->x[tap] = v, j->inside[tap] = true;
        j->points *= (uint32_t)values;
        if (values > 1) j->digit[j->digits++] = (TapRange){v, tap, (uint32_t)values};
      }
    }
  }
  return true;
}

// The least and the largest sum over the points. The node is exact: its sums fit 2^61 at all points of the intervals in force.
static Iv sums_range(const Joint *j, const Node *n, uint32_t o) {
  const int32_t *d = n->diff + (uint64_t)o * n->taps;
  i128 lo = n->bias[o], hi = n->bias[o];
  for (uint32_t k = 0; k < n->taps; k++) {
    if (!j->inside[k]) continue;
    i128 a = d[k] * ((i128)j->x[k].lo - n->x_zp), b = d[k] * ((i128)j->x[k].hi - n->x_zp);
    lo += imin(a, b), hi += imax(a, b);
  }
  return (Iv){(int64_t)lo, (int64_t)hi};
}

static Iv intersection(Iv a, Iv b) { return (Iv){a.lo > b.lo ? a.lo : b.lo, a.hi < b.hi ? a.hi : b.hi}; }

_Noreturn static void undefined(const Node *unit, uint32_t e) {
  rejected("tensor %" PRIu32 ", element %" PRIu32 ": the interval in force leaves what the function is defined for", unit->out, e);
}

// ---- by tables: few values of the sums, and int64 is wide enough for all totals -----------------------------------------------------------
// table[a - r.lo] = m*f(a) - s*a for a in `in`. False: larger in magnitude than `most`.
static bool fill_table(Joint *j, Node *unit, const JointTerm *t, Iv r, Iv in, i128 most, i128 *largest) {
  uint32_t set = set_at(unit, t->e);
  Iv same;
  i128 y;
  for (int64_t a = in.lo; a <= in.hi; a++) {
    if (!unit_piece(unit, set, a, &same, &y)) undefined(unit, t->e);
    int64_t end = same.hi < in.hi ? same.hi : in.hi;
    i128 first = t->m * y - (i128)t->s * a, last = t->m * y - (i128)t->s * end; // below 2^125; what lies between is between
    i128 top = imax(imax(first, -first), imax(last, -last));
    if (top > most) return false;
    *largest = imax(*largest, top);
    int64_t *to = j->table + (a - r.lo), v = (int64_t)first;
    for (int64_t i = 0; i <= end - a; i++) to[i] = v - t->s * i;
    a = end;
  }
  return true;
}

// The sums at all points, less the least of them, which leaves fewer than 2^31: for each input in turn all that there is already, once
// more per further value.
static void sums_less_least(Joint *j, const Node *n, uint32_t o) {
  const int32_t *d = n->diff + (uint64_t)o * n->taps;
  uint32_t len = 1;
  int64_t at = 0; // where all inputs are least
  for (uint32_t k = 0; k < j->digits; k++) {
    if (d[j->digit[k].tap] < 0) at -= d[j->digit[k].tap] * (int64_t)(j->digit[k].n - 1);
  }
  j->at[0] = (int32_t)at;
  for (uint32_t k = 0; k < j->digits; k++) {
    for (uint32_t v = 1; v < j->digit[k].n; v++) {
      int32_t *to = j->at + (uint64_t)v * len, by = (int32_t)((int64_t)v * d[j->digit[k].tap]);
      for (uint32_t i = 0; i < len; i++) to[i] = j->at[i] + by;
    }
    len *= j->digit[k].n;
  }
}

// False: not for tables.
static bool by_tables(Joint *j, Node *unit, const Node *n, const JointTerm *term, uint32_t count, Least *r) {
  const i128 most = pow2(61);
  i128 largest = 0;
  if (j->points > j->points_room) {
    j->points_room = j->points;
    j->at = take(j->points, sizeof *j->at), j->total = take(j->points, sizeof *j->total), j->out = take(j->points, sizeof *j->out);
  }
  memset(j->total, 0, j->points * sizeof *j->total), memset(j->out, 0, j->points * sizeof *j->out);
  for (uint32_t k = 0; k < count; k++) {
    uint32_t o = term[k].e % n->w.oc;
    Iv range = sums_range(j, n, o), in = intersection(range, force_at(j->f, n->out, term[k].e));
    uint64_t width = (uint64_t)(range.hi - range.lo) + 1;
    i128 top = 0;
    if (in.lo > in.hi) return true;
    if (width > 4 * (uint64_t)j->points + (1 << 14)) return false;
    if (width > j->table_room) j->table_room = 2 * width, j->table = take(j->table_room, sizeof *j->table);
    memset(j->table, 0, width * sizeof *j->table); // outside `in` it adds nothing, for these points count no more
    if (!fill_table(j, unit, &term[k], range, in, most - largest, &top)) return false;
    largest += top; // so no total leaves 2^61
    sums_less_least(j, n, o);
    const int64_t *table = j->table;
    for (uint32_t i = 0; i < j->points; i++) j->total[i] += table[j->at[i]];
    uint32_t first = (uint32_t)(in.lo - range.lo), last = (uint32_t)(in.hi - range.lo);
    if (last - first + 1 == width) continue;
    for (uint32_t i = 0; i < j->points; i++) j->out[i] |= (uint32_t)j->at[i] - first > last - first;
  }
  for (uint32_t i = 0; i < j->points; i++) {
    if (!j->out[i]) least_of(r, j->total[i]);
  }
  return true;
}

// ---- one point after the other: whatever the widths ---------------------------------------------------------------------------------------
// An element at the point at hand: its sum, and the function's value y for all sums in `same`.
struct JointRun {
  int64_t sum;
  Iv same;
  i128 y;
};

// What the elements add up to. False: some sum is outside its interval in force.
static bool at_point(const Joint *j, Node *unit, const Node *n, const JointTerm *term, uint32_t count, i128 *total) {
  *total = 0;
  for (uint32_t k = 0; k < count; k++) {
    Iv in = force_at(j->f, n->out, term[k].e);
    JointRun *a = &j->run[k];
    if (a->sum < in.lo || a->sum > in.hi) return false;
  }
  for (uint32_t k = 0; k < count; k++) {
    JointRun *a = &j->run[k];
    if ((a->sum < a->same.lo || a->sum > a->same.hi) && !unit_piece(unit, set_at(unit, term[k].e), a->sum, &a->same, &a->y))
      undefined(unit, term[k].e);
    *total += term[k].m * a->y - (i128)term[k].s * a->sum; // below 2^125
    if (*total > pow2(120) || *total < -pow2(120)) rejected("an addend of a bound leaves 2^120");
  }
  return true;
}

static void by_points(Joint *j, Node *unit, const Node *n, const JointTerm *term, uint32_t count, Least *r) {
  uint32_t at[MOST_DIGITS] = {0};
  i128 total;
  if (count > j->run_room) j->run_room = count, j->run = take(count, sizeof *j->run);
  for (uint32_t k = 0; k < count; k++) {
    const int32_t *d = n->diff + (uint64_t)(term[k].e % n->w.oc) * n->taps;
    i128 sum = n->bias[term[k].e % n->w.oc];
    for (uint32_t i = 0; i < n->taps; i++) {
      if (j->inside[i]) sum += d[i] * ((i128)j->x[i].lo - n->x_zp);
    }
    j->run[k] = (JointRun){(int64_t)sum, {1, 0}, 0};
  }
  for (;;) {
    if (at_point(j, unit, n, term, count, &total)) least_of(r, total);
    uint32_t i = 0;
    for (; i < j->digits; i++) {
      bool wraps = at[i] + 1 == j->digit[i].n;
      int64_t by = wraps ? -(int64_t)at[i] : 1;
      for (uint32_t k = 0; k < count; k++) j->run[k].sum += by * n->diff[(uint64_t)(term[k].e % n->w.oc) * n->taps + j->digit[i].tap];
      at[i] = wraps ? 0 : at[i] + 1;
      if (!wraps) break;
    }
    if (i == j->digits) return;
  }
}

bool joint_min(Joint *j, Node *unit, const JointTerm *term, uint32_t count, uint32_t limit, i128 *r) {
  const Node *n = joint_affine(j->net, unit->out);
  if (!read_points(j, n, term[0].e, limit)) return false;
  j->work += (uint64_t)j->points * count; // 2^20 * 2^28, far from 2^64
  if (j->work > (uint64_t)1 << 36) rejected("joint minima over more than 2^36 points are too many for this checker");
  Least least = {.any = false};
  if (!by_tables(j, unit, n, term, count, &least)) by_points(j, unit, n, term, count, &least);
  *r = least.any ? least.v : 0;
  return true;
}
