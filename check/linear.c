// Linear bounds: docs/certificate.md section 4. A row is a list of integer coefficients at scale 2^-16 on elements of tensors and a
// constant at scale 2^-32. The document forbids rows whose coefficients leave int64 or whose constant leaves 2^120: such rows are
// rejected, so that 128-bit arithmetic is exact everywhere.
#include "check.h"

#include <inttypes.h>

// Coefficients on one tensor: dense, with a list of the elements that may be non-zero.
typedef struct {
  int64_t *a;
  bool *listed;
  uint32_t *list, n;
} Row;

// The two lines of a step, table, threshold or clamp on [l,u]: p x + t at scale 2^-16 lies above or below f. Kept from row to row.
typedef struct {
  i128 p, t;
} Line;

typedef struct {
  const Node *node;
  uint32_t set;
  Iv x;
  Line lower, upper;
} Lines;

enum { KEPT_LINES = 1 << 14 };

typedef LinearState State;
struct LinearState {
  const Net *net;
  const Linear *line;
  Row *rows;
  Lines *lines;
  uint64_t held; // elements of all dense rows
  i128 C;
};

_Noreturn static void give_up(const State *s, const char *what) {
  const Linear *l = s->line;
  rejected("linear %" PRIu32 " %s %" PRIu32 " %" PRIu32 ": %s", l->node, l->upper ? "hi" : "lo", l->channel, l->from, what);
}

static i128 checked_product(const State *s, i128 a, i128 b) {
  i128 r;
  if (!multiply(a, b, &r)) give_up(s, "the constant leaves 2^120");
  return r;
}

static void add_constant(State *s, i128 v) {
  s->C += v; // both within 2^120
  if (s->C > pow2(120) || s->C < -pow2(120)) give_up(s, "the constant leaves 2^120");
}

// C += 2^16 * a * v
static void add_value(State *s, int64_t a, i128 v) { add_constant(s, checked_product(s, checked_product(s, a, v), 1 << 16)); }

static Row *row_of(State *s, uint32_t tensor) {
  Row *r = &s->rows[tensor];
  if (!r->a) {
    uint32_t size = s->net->tensors[tensor].size;
    s->held += size;
    if (s->held > s->net->text + (1 << 22)) give_up(s, "the row's tensors are too large for this checker");
    r->a = take(size, sizeof *r->a), r->listed = take(size, sizeof *r->listed), r->list = take(size, sizeof *r->list);
  }
  return r;
}

// The sum has to fit int64, the addend (here below 2^105) need not.
static void add_coefficient(const State *s, Row *r, uint32_t e, i128 a) {
  a += r->a[e];
  if (!fits64(a)) give_up(s, "a coefficient leaves int64");
  r->a[e] = (int64_t)a;
  if (!r->listed[e]) r->listed[e] = true, r->list[r->n++] = e;
}

// Takes the next coefficient out of a tensor's row; false when none is left.
static bool next(Row *r, uint32_t *e, int64_t *a) {
  while (r->n > 0) {
    *e = r->list[--r->n];
    *a = r->a[*e];
    r->a[*e] = 0, r->listed[*e] = false;
    if (*a != 0) return true;
  }
  return false;
}

// The greater (upper bound) or lesser of a*lo and a*hi as a choice of the end.
static int64_t end_for(const State *s, int64_t a, Iv v) { return (a > 0) == s->line->upper ? v.hi : v.lo; }

static void other(State *s, uint32_t tensor, uint32_t e, int64_t a) {
  add_value(s, a, end_for(s, a, range_at(&s->net->tensors[tensor], e)));
}

static void substitute_affine(State *s, const Node *n, uint32_t e, int64_t a) {
  const Window *w = &n->w;
  uint32_t o = e % w->oc, x = e / w->oc % w->ow, y = e / w->oc / w->ow % w->oh, i = e / w->oc / w->ow / w->oh;
  uint32_t icg = w->ic / w->groups, first = o / (w->oc / w->groups) * icg, ky, ky1, kx0, kx1;
  int64_t wz = n->w_zp[n->n_wzp == 1 ? 0 : o], sum = 0; // at most 2^28 terms below 2^33
  Row *r = row_of(s, n->in[0]);
  inside_taps(y, w->sh, w->pt, w->dh, w->kh, w->ih, &ky, &ky1);
  inside_taps(x, w->sw, w->pl, w->dw, w->kw, w->iw, &kx0, &kx1);
  for (; ky < ky1; ky++) {
    for (uint32_t kx = kx0; kx < kx1; kx++) {
      int64_t iy = (int64_t)y * w->sh - w->pt + (int64_t)ky * w->dh, ix = (int64_t)x * w->sw - w->pl + (int64_t)kx * w->dw;
      uint32_t element = (uint32_t)((((int64_t)i * w->ih + iy) * w->iw + ix) * w->ic) + first;
      const int32_t *weight = n->weight + (size_t)o * n->taps + ((size_t)ky * w->kw + kx) * icg;
      for (uint32_t c = 0; c < icg; c++) {
        int64_t d = weight[c] - wz;
        sum += d;
        if (d != 0) add_coefficient(s, r, element + c, (i128)a * d);
      }
    }
  }
  add_value(s, a, n->bias[o] - (i128)n->x_zp * sum);
}

static i128 value(const State *s, const Node *n, uint32_t set, i128 x) {
  i128 y;
  if (!unit_value(n, set, x, &y)) give_up(s, "a claimed range is too wide for the requantization or the table");
  return y;
}

static i128 constant_until(const State *s, const Node *n, uint32_t set, i128 x, i128 u) {
  i128 end;
  if (!unit_constant_until(n, set, x, u, &end)) give_up(s, "a claimed range is too wide for the requantization or the table");
  return end;
}

// "Lines" of section 4: of the candidate slopes, the chord, flat and inner one, the first that is best in the middle of [l,u].
static const Lines *lines(State *s, const Node *n, uint32_t set, Iv v) {
  uint64_t key = ((uint64_t)v.lo * 0x9E3779B97F4A7C15u + (uint64_t)v.hi) * 0xD6E8FEB86659FD93u + set * 0x9E3779B9u + (uintptr_t)n;
  Lines *best = &s->lines[(key * 0x9E3779B97F4A7C15u) >> 50];
  if (best->node == n && best->set == set && best->x.lo == v.lo && best->x.hi == v.hi) return best;
  i128 l = v.lo, u = v.hi, c = constant_until(s, n, set, l, u), d = l, x1;
  while ((x1 = constant_until(s, n, set, d, u)) < u) d = x1 + 1;
  i128 fl = value(s, n, set, l), fu = value(s, n, set, u), rise = (fu - fl) * pow2(16); // f(c) = f(l), f(d) = f(u)
  i128 slope[3] = {floor_div(rise, u - l), 0, c < d ? floor_div(rise, d - c) : 0}, t_min[3], t_max[3];
  for (i128 x = l; x <= u; x = x1 + 1) { // t is extreme at an end of a stretch of equal f
    x1 = constant_until(s, n, set, x, u);
    for (unsigned i = 0; i < 3; i++) {
      i128 f = value(s, n, set, x) * pow2(16), t = f - checked_product(s, slope[i], x), t1 = f - checked_product(s, slope[i], x1);
      t_min[i] = imin(x == l ? t : t_min[i], imin(t, t1)), t_max[i] = imax(x == l ? t : t_max[i], imax(t, t1));
    }
  }
  *best = (Lines){n, set, v, {slope[0], t_min[0]}, {slope[0], t_max[0]}};
  for (unsigned i = 1; i < 3; i++) {
    i128 low = slope[i] * (l + u) + 2 * t_min[i], high = slope[i] * (l + u) + 2 * t_max[i];
    if (high < best->upper.p * (l + u) + 2 * best->upper.t) best->upper = (Line){slope[i], t_max[i]};
    if (low > best->lower.p * (l + u) + 2 * best->lower.t) best->lower = (Line){slope[i], t_min[i]};
  }
  return best;
}

static void substitute_function(State *s, const Node *n, uint32_t e, int64_t a) {
  Iv v = range_at(&s->net->tensors[n->in[0]], e);
  uint32_t set = set_at(n, e);
  if (v.lo == v.hi) {
    add_value(s, a, value(s, n, set, v.lo));
    return;
  }
  if ((i128)v.hi - v.lo > 1 << 20) {
    other(s, n->out, e, a);
    return;
  }
  const Lines *two = lines(s, n, set, v);
  const Line *line = (a > 0) == s->line->upper ? &two->upper : &two->lower;
  i128 ap = checked_product(s, a, line->p), a1 = floor_shift(ap, 16), r = ap - a1 * pow2(16);
  add_constant(s, checked_product(s, a, line->t));
  add_coefficient(s, row_of(s, n->in[0]), e, a1);
  add_constant(s, r * (s->line->upper ? v.hi : v.lo)); // 0 <= r < 2^16
}

static void substitute(State *s, const Node *n, uint32_t e, int64_t a) {
  uint32_t tensor, source;
  switch (n->kind) {
  case AFFINE:
    if (n->own_harmless) substitute_affine(s, n, e, a);
    else other(s, n->out, e, a);
    break;
  case SUM:
    if (!n->own_harmless) other(s, n->out, e, a);
    for (uint32_t k = 0; n->own_harmless && k < n->n_in; k++) {
      add_coefficient(s, row_of(s, n->in[k]), e, (i128)a * n->c[k]);
      add_constant(s, checked_product(s, checked_product(s, a, n->c[k]), -(i128)n->z[k] * pow2(16)));
    }
    break;
  case INDEX:
    if (index_source(s->net, n, e, &tensor, &source)) add_coefficient(s, row_of(s, tensor), source, a);
    else add_value(s, a, n->value);
    break;
  case STEP:
  case TABLE:
  case THRESHOLD:
  case CLAMP: substitute_function(s, n, e, a); break;
  case PRODUCT:
  case MAX:
  case WRAP:
  case TAIL:
  case OPAQUE: other(s, n->out, e, a); break;
  }
}

i128 linear_bound(Net *net, const Linear *l, uint32_t element) {
  uint32_t e;
  int64_t a;
  State *s = net->linear;
  if (!s) {
    s = net->linear = take(1, sizeof *s);
    *s = (State){.net = net, .rows = take(net->n_tensors, sizeof *s->rows), .lines = take(KEPT_LINES, sizeof *s->lines)};
  }
  s->line = l;
  s->C = 0;
  substitute_affine(s, &net->nodes[l->node], element, 1 << 16);
  for (uint32_t k = l->node; k-- > l->from;) {
    const Node *n = &net->nodes[k];
    while (next(&s->rows[n->out], &e, &a)) substitute(s, n, e, a);
  }
  for (uint32_t t = 0; t < net->n_tensors; t++) {
    while (next(&s->rows[t], &e, &a)) other(s, t, e, a);
  }
  return l->upper ? floor_shift(s->C, 32) : -floor_shift(-s->C, 32);
}
