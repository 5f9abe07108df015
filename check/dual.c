// Lower bounds by multipliers: docs/certificate.md section 7.3. Coefficients are int64 and K stays within 2^120, or the
// certificate is rejected.
#include "check.h"

#include <inttypes.h>
#include <string.h>

typedef struct {
  uint64_t pos;
  int64_t s;
} Multiplier;

typedef struct {
  Iv x;
  int64_t s;
} Tap;

struct Dual {
  Net *net;
  const Force *f;
  int64_t **a; // per tensor: coefficients, all 0 unless `used`
  bool *used;
  i128 *largest; // per tensor: no coefficient is larger in magnitude
  i128 K;
  unsigned scale;
  Multiplier *list; // of the bound at hand, in the order of the certificate: of tensor t from first[t] to last[t]-1
  uint64_t room, *first, *last;
  Tap *tap; // of one element of a maximum
  uint64_t tap_room;
  uint32_t *limit; // per tensor: of its joint minima; 0: none
  Joint *joint;    // made when first needed
  JointTerm *term;
  uint32_t term_room;
};

Dual *dual_make(Net *net, const Force *f) {
  Dual *d = take(1, sizeof *d);
  *d = (Dual){.net = net, .f = f};
  d->a = take(net->n_tensors, sizeof *d->a), d->used = take(net->n_tensors, sizeof *d->used);
  d->largest = take(net->n_tensors, sizeof *d->largest);
  d->first = take(net->n_tensors, sizeof *d->first), d->last = take(net->n_tensors, sizeof *d->last);
  d->limit = take(net->n_tensors, sizeof *d->limit);
  for (uint32_t t = 0; t < net->n_tensors; t++) d->a[t] = take(net->tensors[t].size, sizeof **d->a);
  return d;
}

unsigned dual_scale(const Dual *d) { return d->scale; }

void dual_begin(Dual *d) {
  const Net *net = d->net;
  d->K = 0;
  for (uint32_t t = 0; t < net->n_tensors; t++) {
    if (d->used[t]) memset(d->a[t], 0, net->tensors[t].size * sizeof **d->a);
    d->used[t] = false, d->largest[t] = 0, d->first[t] = d->last[t] = 0, d->limit[t] = 0;
  }
}

void dual_constant(Dual *d, i128 v) {
  if (v > pow2(120) || v < -pow2(120)) rejected("an addend of a bound leaves 2^120");
  d->K += v;
  if (d->K > pow2(120) || d->K < -pow2(120)) rejected("a bound leaves 2^120");
}

static void add_product(Dual *d, i128 a, i128 b) {
  i128 r;
  if (!multiply(a, b, &r)) rejected("an addend of a bound leaves 2^120");
  dual_constant(d, r);
}

void dual_add(Dual *d, uint32_t tensor, uint32_t e, i128 coefficient) {
  int64_t *a = &d->a[tensor][e];
  i128 sum = *a + coefficient; // far below 2^127: coefficients are products of int64 and int32
  if (!fits64(sum)) rejected("a coefficient leaves int64");
  *a = (int64_t)sum;
  d->used[tensor] = true;
  d->largest[tensor] = imax(d->largest[tensor], sum < 0 ? -sum : sum);
}

// ---- the multipliers' text -------------------------------------------------------------------------------------------------------------
// Positions of a node's tensor that may have a multiplier; 0: none may.
static uint64_t positions(const Net *net, uint32_t tensor) {
  const Tensor *t = &net->tensors[tensor];
  const Node *n = t->origin == FROM_NODE ? &net->nodes[t->node] : NULL;
  if (!n || (accumulates(n) && !n->own_harmless)) return 0;
  if (n->kind == MAX) return (uint64_t)t->size * n->w.kh * n->w.kw;
  if (n->kind == PRODUCT) return 2 * (uint64_t)t->size;
  return accumulates(n) || is_unit(n) ? t->size : 0;
}

static void joint_text(Dual *d, Text *t) {
  word(t, "joint");
  if (!d->joint) d->joint = joint_make(d->net, d->f);
  uint32_t k = number32(t, 1, d->net->n_tensors), tensor = 0;
  for (uint32_t i = 0; i < k; i++) {
    uint32_t last = tensor;
    tensor = number32(t, 0, d->net->n_tensors - 1);
    if (i > 0 && tensor <= last) bad(t, "joint tensors out of order");
    const Node *n = joint_affine(d->net, tensor);
    if (!n) bad(t, "joint: not the output of a function of an exact affine node's output");
    d->limit[tensor] = number32(t, 1, 1 << 20);
    uint32_t group = n->w.oc / n->w.groups;
    if (group > d->term_room) d->term_room = group, d->term = take(group, sizeof *d->term);
  }
}

void dual_multipliers(Dual *d, Text *t) {
  const int64_t limit = ((int64_t)1 << 31) - 1;
  uint32_t tensor = 0;
  d->scale = number32(t, 0, 30);
  uint64_t n = number32(t, 0, UINT32_MAX);
  fits_text(t, n, 6);
  if (n > d->room) d->room = 2 * n, d->list = take(d->room, sizeof *d->list);
  for (uint64_t i = 0; i < n; i++) {
    uint32_t last = tensor;
    tensor = number32(t, 0, d->net->n_tensors - 1);
    d->list[i].pos = (uint64_t)number(t, 0, INT64_MAX);
    d->list[i].s = number(t, -limit, limit);
    if (i == 0 || tensor != last) d->first[tensor] = i;
    if (i > 0 && (tensor < last || (tensor == last && d->list[i].pos <= d->list[i - 1].pos))) bad(t, "multipliers out of order");
    if (d->list[i].pos >= positions(d->net, tensor)) bad(t, "a multiplier where none can be");
    d->last[tensor] = i + 1;
  }
  if (*t->p == ' ') joint_text(d, t);
}

// ---- the nodes -------------------------------------------------------------------------------------------------------------------------
static void ends(Dual *d, i128 m, Iv x) { // K += min(m*l, m*u)
  if (m != 0) add_product(d, m, m > 0 ? x.lo : x.hi);
}

// a[i] += s * w[i], with one look at the widths for all.
static void add_row(Dual *d, uint32_t tensor, uint64_t first, const int32_t *w, uint32_t n, int64_t s, i128 largest) {
  int64_t *a = d->a[tensor] + first;
  if (largest <= INT64_MAX) {
    for (uint32_t i = 0; i < n; i++) a[i] += s * w[i];
    return;
  }
  for (uint32_t i = 0; i < n; i++) dual_add(d, tensor, (uint32_t)first + i, (i128)s * w[i]);
}

static void dual_affine(Dual *d, const Node *n, uint32_t e, int64_t s) {
  const Window *w = &n->w;
  uint32_t o = e % w->oc, x = e / w->oc % w->ow, y = e / w->oc / w->ow % w->oh, i = e / w->oc / w->ow / w->oh, ky0, ky1, kx0, kx1;
  uint32_t icg = w->ic / w->groups, group = o / (w->oc / w->groups) * icg, tensor = n->in[0];
  i128 largest = d->largest[tensor] + (s < 0 ? -(i128)s : (i128)s) * n->diff_max, sum = n->row_sum[o];
  inside_taps(y, w->sh, w->pt, w->dh, w->kh, w->ih, &ky0, &ky1);
  inside_taps(x, w->sw, w->pl, w->dw, w->kw, w->iw, &kx0, &kx1);
  bool all = ky0 == 0 && ky1 == w->kh && kx0 == 0 && kx1 == w->kw;
  if (!all) sum = 0;
  for (uint32_t ky = ky0; ky < ky1; ky++) {
    for (uint32_t kx = kx0; kx < kx1; kx++) {
      uint64_t iy = (uint64_t)y * w->sh + (uint64_t)ky * w->dh - w->pt, ix = (uint64_t)x * w->sw + (uint64_t)kx * w->dw - w->pl;
      const int32_t *row = n->diff + (uint64_t)o * n->taps + ((uint64_t)ky * w->kw + kx) * icg;
      add_row(d, tensor, ((i * (uint64_t)w->ih + iy) * w->iw + ix) * w->ic + group, row, icg, s, largest);
      for (uint32_t c = 0; c < icg && !all; c++) sum += row[c];
    }
  }
  d->used[tensor] = true, d->largest[tensor] = largest;
  add_product(d, s, n->bias[o] - n->x_zp * sum);
}

static void sum_node(Dual *d, const Node *n, uint32_t e, int64_t s) {
  for (uint32_t k = 0; k < n->n_in; k++) {
    dual_add(d, n->in[k], e, (i128)s * n->c[k]);
    add_product(d, -(i128)s * n->c[k], n->z[k]);
  }
}

static void dual_unit(Dual *d, Node *n, uint32_t e, int64_t m, int64_t s) {
  i128 r;
  if (m == 0 && s == 0) return;
  if (!unit_min(n, set_at(n, e), force_at(d->f, n->in[0], e), m, s, &r))
    rejected("tensor %" PRIu32 ", element %" PRIu32 ": the interval in force leaves what the function is defined for", n->out, e);
  dual_constant(d, r);
  dual_add(d, n->in[0], e, s);
}

// The least of m*M - sum of S*x over the box of the taps, M their maximum: some tap i is M, and so its end x.hi is at least L, the largest
// x.lo; each other tap adds -max(S*l, S*min(u,M)). For each i that is linear in M between L and the taps' upper ends. Here once per M: all
// taps as if they were others, then what the cheapest one that can be M gives back.
static i128 maximum_least(const Tap *tap, uint64_t n, int64_t m) {
  bool any = false;
  i128 lowest = INT64_MIN, best = 0;
  for (uint64_t j = 0; j < n; j++) lowest = imax(lowest, tap[j].x.lo);
  for (uint64_t p = 0; p <= n; p++) {
    i128 M = p < n ? tap[p].x.hi : lowest, v = m * M, back = 0; // v below 2^125, a tap's part below 2^93: at most 2^28 of them
    bool attained = false;
    if (M < lowest) continue;
    for (uint64_t j = 0; j < n; j++) {
      i128 s = tap[j].s, most = imax(s * tap[j].x.lo, s * imin(tap[j].x.hi, M));
      v -= most;
      if (tap[j].x.hi < M) continue;
      i128 as_maximum = most - s * M;
      back = !attained || as_maximum < back ? as_maximum : back;
      attained = true;
    }
    if (!attained) continue;
    best = !any || v + back < best ? v + back : best;
    any = true;
  }
  return best;
}

// list: the element's n multipliers.
static void dual_maximum(Dual *d, const Node *n, uint32_t e, int64_t m, const Multiplier *list, uint64_t count) {
  const Window *w = &n->w;
  uint32_t c = e % w->oc, x = e / w->oc % w->ow, y = e / w->oc / w->ow % w->oh, i = e / w->oc / w->ow / w->oh, ky0, ky1, kx0, kx1;
  uint64_t taps = (uint64_t)w->kh * w->kw, used = 0, at = 0, inside;
  inside_taps(y, w->sh, w->pt, w->dh, w->kh, w->ih, &ky0, &ky1);
  inside_taps(x, w->sw, w->pl, w->dw, w->kw, w->iw, &kx0, &kx1);
  inside = (uint64_t)(ky1 - ky0) * (kx1 - kx0);
  if (count == 0) {
    ends(d, m, force_at(d->f, n->out, e));
    return;
  }
  if (inside > d->tap_room) d->tap_room = 2 * inside, d->tap = take(d->tap_room, sizeof *d->tap);
  Tap *tap = d->tap;
  for (uint32_t ky = ky0; ky < ky1; ky++) {
    for (uint32_t kx = kx0; kx < kx1; kx++, at++) {
      uint64_t iy = (uint64_t)y * w->sh + (uint64_t)ky * w->dh - w->pt, ix = (uint64_t)x * w->sw + (uint64_t)kx * w->dw - w->pl;
      uint32_t element = (uint32_t)(((i * (uint64_t)w->ih + iy) * w->iw + ix) * w->ic) + c;
      tap[at] = (Tap){force_at(d->f, n->in[0], element), 0};
      if (used < count && list[used].pos == e * taps + (uint64_t)ky * w->kw + kx) {
        tap[at].s = list[used++].s;
        dual_add(d, n->in[0], element, tap[at].s);
      }
    }
  }
  if (used < count) rejected("tensor %" PRIu32 ", element %" PRIu32 ": a multiplier for a padded tap", n->out, e);
  dual_constant(d, maximum_least(tap, inside, m));
}

static void dual_product(Dual *d, const Node *n, uint32_t e, int64_t m, const Multiplier *list, uint64_t count) {
  if (count == 0) {
    ends(d, m, force_at(d->f, n->out, e));
    return;
  }
  int64_t s[2] = {0, 0};
  Iv x[2] = {force_at(d->f, n->in[0], e), force_at(d->f, n->in[1], e)};
  i128 best = 0;
  for (uint64_t i = 0; i < count; i++) s[list[i].pos % 2] = list[i].s;
  for (unsigned corner = 0; corner < 4; corner++) {
    i128 a = corner & 1 ? x[0].hi : x[0].lo, b = corner & 2 ? x[1].hi : x[1].lo, v;
    if (!multiply(a - n->z[0], b - n->z[1], &v) || !multiply(m, v, &v)) rejected("an addend of a bound leaves 2^120");
    v -= s[0] * a + s[1] * b;
    best = corner == 0 || v < best ? v : best;
  }
  dual_constant(d, best);
  dual_add(d, n->in[0], e, s[0]), dual_add(d, n->in[1], e, s[1]);
}

// One output element with coefficient m and its multipliers.
static void dual_element(Dual *d, Node *n, uint32_t e, int64_t m, const Multiplier *list, uint64_t count) {
  uint32_t tensor, source;
  int64_t s = count ? list[0].s : 0;
  switch (n->kind) {
  case AFFINE:
  case SUM:
    if (n->own_harmless) {
      if (!count) s = m;
      ends(d, (i128)m - s, force_at(d->f, n->out, e));
      if (s == 0) break;
      if (n->kind == AFFINE) dual_affine(d, n, e, s);
      else sum_node(d, n, e, s);
    } else {
      ends(d, m, force_at(d->f, n->out, e));
    }
    break;
  case STEP:
  case TABLE:
  case THRESHOLD:
  case CLAMP: dual_unit(d, n, e, m, s); break;
  case MAX: dual_maximum(d, n, e, m, list, count); break;
  case PRODUCT:
    if (n->own_harmless) dual_product(d, n, e, m, list, count);
    else ends(d, m, force_at(d->f, n->out, e));
    break;
  case INDEX:
    if (index_source(d->net, n, e, &tensor, &source)) dual_add(d, tensor, source, m);
    else add_product(d, m, n->value);
    break;
  case WRAP:
  case TAIL:
  case OPAQUE: ends(d, m, force_at(d->f, n->out, e)); break;
  }
}

// Positions of one element are next to each other.
static uint64_t per_element(const Node *n) { return n->kind == MAX ? (uint64_t)n->w.kh * n->w.kw : n->kind == PRODUCT ? 2 : 1; }

// A unit with joint minima. The elements of a group follow each other. `at`: the tensor's first multiplier.
static void dual_joint(Dual *d, Node *n, uint64_t at) {
  uint32_t t = n->out, size = d->net->tensors[t].size;
  const Window *w = &joint_affine(d->net, t)->w;
  for (uint32_t first = 0, group = w->oc / w->groups; first < size; first += group) {
    uint32_t count = 0;
    for (uint32_t e = first; e < first + group; e++) {
      int64_t m = d->a[t][e], s = at < d->last[t] && d->list[at].pos == e ? d->list[at++].s : 0;
      if (m != 0 || s != 0) d->term[count++] = (JointTerm){e, m, s};
    }
    i128 least;
    bool joint = count > 0 && joint_min(d->joint, n, d->term, count, d->limit[t], &least);
    if (joint) dual_constant(d, least);
    for (uint32_t i = 0; i < count; i++) {
      if (joint) dual_add(d, n->in[0], d->term[i].e, d->term[i].s);
      else dual_unit(d, n, d->term[i].e, d->term[i].m, d->term[i].s);
    }
  }
}

i128 dual_bound(Dual *d) {
  Net *net = d->net;
  for (uint32_t k = net->n_nodes; k-- > 0;) {
    Node *n = &net->nodes[k];
    uint32_t t = n->out, size = net->tensors[t].size;
    uint64_t at = d->first[t], last = d->last[t], each = per_element(n);
    if (!d->used[t] && at == last) continue;
    if (d->limit[t]) {
      dual_joint(d, n, at);
      continue;
    }
    for (uint32_t e = 0; e < size; e++) {
      if (!d->used[t]) { // only elements with multipliers
        if (at == last) break;
        e = (uint32_t)(d->list[at].pos / each);
      }
      uint64_t from = at;
      while (at < last && d->list[at].pos / each == e) at++;
      if (d->a[t][e] != 0 || at > from) dual_element(d, n, e, d->a[t][e], d->list + from, at - from);
    }
  }
  for (uint32_t t = 0; t < net->n_tensors; t++) {
    if (!d->used[t] || net->tensors[t].origin == FROM_NODE) continue;
    for (uint32_t e = 0; e < net->tensors[t].size; e++) ends(d, d->a[t][e], force_at(d->f, t, e));
  }
  return d->K;
}
