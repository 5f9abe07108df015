/* Random nets. A net grows node by node; each candidate node is tried out by qv_ir_check, which also computes the range
 * that the next node builds on, and is taken back if the check refuses it. So no rule of the check is repeated here. */
#include "tests/gen.h"

#include <math.h>
#include <string.h>

typedef struct {
  qv_rng *r;
  gen_opts o;
  qv_net *net;
} gen;

static bool chance(qv_rng *r, int percent) { return qv_rng_range(r, 0, 99) < percent; }

static uint32_t upto(qv_rng *r, uint32_t lo, uint32_t hi) { return (uint32_t)qv_rng_range(r, lo, hi); }

/* A value of [lo,hi], end points and zero preferred. */
static int64_t edgy(qv_rng *r, int64_t lo, int64_t hi) {
  int64_t near = qv_rng_range(r, 0, 2);
  switch (qv_rng_range(r, 0, 9)) {
  case 0: return qv_clamp64(lo + near, lo, hi);
  case 1: return qv_clamp64(hi - near, lo, hi);
  case 2: return qv_clamp64(near - 1, lo, hi);
  default: return qv_rng_range(r, lo, hi);
  }
}

int64_t gen_value(qv_rng *r, const qv_tensor *t) { return edgy(r, t->lo, t->hi); }

void gen_inputs(qv_rng *r, const qv_net *net, qv_values *vals) {
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_tensor *t = &net->tensor[net->in[i].tensor];
    for (size_t e = 0; e < qv_elems(t); e++) vals->v[net->in[i].tensor][e] = gen_value(r, t);
  }
}

/* ---- requantization parameters ---------------------------------------------------------------------------------------- */

/* Real multiplier M as m * 2^(sh-31), m in [2^30, 2^31). */
static void fixed_point(double M, int32_t *m, int32_t *sh) {
  int e;
  double f = frexp(M, &e);
  int64_t q = llround(f * 2147483648.0);
  *m = (int32_t)qv_min64(q, INT32_MAX);
  *sh = e;
}

qv_rq_par gen_rq_par(qv_rng *r, qv_rq fn, int64_t vmax, int out_bits) {
  qv_rq_par p = {.fn = fn};
  double f = 0.3 + (double)qv_rng_range(r, 0, 1 << 20) / (1 << 20);
  double M = f * ldexp(1.0, out_bits) / ((double)vmax + 1.0);
  if (chance(r, 10)) M = ldexp(M, (int)qv_rng_range(r, -12, 6));
  if (chance(r, 15)) M = ldexp(1.0, ilogb(M)); /* a power of two: ties happen */
  switch (fn) {
  case QV_RQ_D: case QV_RQ_U: case QV_RQ_S: case QV_RQ_64:
    fixed_point(M, &p.m, &p.sh);
    if (fn == QV_RQ_S && chance(r, 10)) p.m = 1; /* a plain rounding shift */
    if (chance(r, 3)) p.m = (int32_t)edgy(r, INT32_MIN, INT32_MAX);
    if (chance(r, 2)) p.m = 0;
    if (chance(r, 3)) p.sh = (int32_t)edgy(r, -31, 30);
    break;
  case QV_RQ_T: case QV_RQ_TD:
    fixed_point(M, &p.m, &p.sh);
    p.sh = (int32_t)qv_clamp64(31 - p.sh, 2, 62);
    if (chance(r, 3)) p.m = (int32_t)edgy(r, 0, INT32_MAX);
    if (chance(r, 3)) p.sh = (int32_t)edgy(r, 2, 62);
    break;
  case QV_RQ_F32: case QV_RQ_NDU: p.M = (double)(float)M; break;
  case QV_RQ_F64A: case QV_RQ_REF: p.M = M; break;
  case QV_RQ_DIV: case QV_RQ_TDIV: p.m = (int32_t)qv_clamp64(llround(1.0 / M), 1, INT32_MAX); break;
  case QV_RQ_F32B:
    p.M = (double)(float)M;
    p.B = (double)((float)qv_rng_range(r, -4096, 4096) / 64.0f);
    break;
  case QV_RQ_MEANF:
    p.m = (int32_t)upto(r, 1, 64);
    p.M = (double)(float)(M * p.m);
    p.B = (double)((float)qv_rng_range(r, -4096, 4096) / 64.0f);
    break;
  }
  return p;
}

/* ---- tensors ---------------------------------------------------------------------------------------------------------- */

/* Split n into two factors at random. */
static uint32_t factor(qv_rng *r, uint32_t n) {
  uint32_t f = upto(r, 1, n < 64 ? n : 64);
  while (n % f != 0) f--;
  return chance(r, 50) ? f : n / f;
}

static void shape_random(qv_rng *r, qv_tensor *t, uint32_t n) {
  t->rank = 0;
  while (t->rank < 3 && chance(r, 70)) {
    uint32_t f = factor(r, n);
    t->dim[t->rank++] = f;
    n /= f;
  }
  t->dim[t->rank++] = n;
}

/* The smallest storage type that holds [lo,hi], or sometimes a wider one. */
static qv_dtype storage(qv_rng *r, int64_t lo, int64_t hi) {
  static const qv_dtype order[] = {QV_I8, QV_U8, QV_I16, QV_U16, QV_I32, QV_I64};
  unsigned i = chance(r, 15) ? upto(r, 0, 5) : 0;
  for (; i < 5; i++)
    if (qv_itv_in((qv_itv){lo, hi}, qv_dtype_range(order[i]))) return order[i];
  return QV_I64;
}

static uint32_t add_tensor(gen *g, qv_tensor t) {
  t.name = qv_arena_printf(&g->net->arena, "t%u", (unsigned)g->net->n_tensors);
  return t.name == NULL ? QV_NONE : qv_net_add_tensor(g->net, &t);
}

static uint32_t add_input(gen *g, uint32_t max_elems) {
  qv_tensor t = {0};
  uint32_t h = upto(g->r, 1, 7), w = upto(g->r, 1, 7), c = upto(g->r, 1, max_elems);
  if (max_elems >= 8 && chance(g->r, 60)) {
    while (h * w > max_elems) h = (h + 1) / 2, w = (w + 1) / 2;
    t = (qv_tensor){.rank = 4, .dim = {1, h, w, upto(g->r, 1, max_elems / (h * w))}};
  } else {
    shape_random(g->r, &t, c);
  }
  int bits = (int)(g->o.layers && g->o.in_bits >= 8 ? 8 : chance(g->r, 50) ? g->o.in_bits : upto(g->r, 1, g->o.in_bits));
  int64_t span = ((int64_t)1 << bits) - 1;
  if (chance(g->r, 20)) span = qv_rng_range(g->r, 0, span);
  t.lo = chance(g->r, 40) ? 0 : chance(g->r, 70) ? -(span / 2) - (span & 1) : qv_rng_range(g->r, -span, span);
  t.hi = t.lo + span;
  t.type = storage(g->r, t.lo, t.hi);
  return add_tensor(g, t);
}

static uint32_t add_constant(gen *g, uint32_t n) {
  qv_tensor t = {0};
  shape_random(g->r, &t, n);
  int32_t *d = QV_NEW(&g->net->arena, n, int32_t), lim = 1 << upto(g->r, 1, 15);
  if (d == NULL) return QV_NONE;
  for (uint32_t i = 0; i < n; i++) d[i] = (int32_t)edgy(g->r, -lim, lim - 1);
  t.data = d;
  t.type = QV_I32;
  return add_tensor(g, t);
}

/* ---- node attributes: fill *d and the shape of *t; false = this kind does not fit here ----------------------------------- */

static bool mode_allowed(const gen *g, qv_acc_mode m) { return ((g->o.modes >> m) & 1u) != 0; }

static qv_acc random_acc(gen *g, uint32_t allowed_here) {
  qv_rng *r = g->r;
  qv_acc a = {0};
  uint32_t ok = g->o.modes & allowed_here;
  a.mode = QV_ACC_EXACT;
  if (ok != 0) {
    do a.mode = (qv_acc_mode)qv_rng_range(r, 0, QV_ACC_PAIRLANES);
    while (((ok >> a.mode) & 1u) == 0);
  }
  if (g->o.layers && chance(r, 85) && mode_allowed(g, QV_ACC_WRAP)) a.mode = QV_ACC_WRAP;
  if (a.mode == QV_ACC_EXACT) return a;
  a.bits = (uint8_t)(g->o.layers || chance(r, 50) ? 32 : upto(r, a.mode == QV_ACC_TRAP ? 20 : 8, 64));
  if (qv_acc_staged(&a) && a.bits > 62) a.bits = 62;
  a.order = chance(r, 80) ? QV_ORDER_KERNEL : QV_ORDER_ANY;
  a.bias = chance(r, 50) ? QV_BIAS_LAST : QV_BIAS_FIRST;
  a.raw = a.mode != QV_ACC_SAT && a.mode != QV_ACC_TRAP && chance(r, 30);
  if (qv_acc_pairs(&a)) a.pairing = chance(r, 50) ? QV_PAIR_ADJACENT : QV_PAIR_K8;
  if (qv_acc_lanes(&a)) {
    a.lane_bits = a.mode == QV_ACC_LANES ? (uint8_t)upto(r, 8, 32) : 16;
    a.lane_sat = chance(r, 50);
    a.lanes = (uint16_t)upto(r, 1, chance(r, 50) ? 8 : 64);
    a.spill = chance(r, 50) ? 0 : upto(r, 1, 20);
  }
  return a;
}

/* Output extent of a window along one axis, chosen so that it mostly stays near the image. */
static uint32_t extent(qv_rng *r, uint32_t in, uint32_t k, uint32_t s, uint32_t d, uint32_t before) {
  uint32_t span = (k - 1) * d + 1, padded = in + before + upto(r, 0, span - 1);
  return padded < span ? 1 : (padded - span) / s + 1;
}

static bool random_window(gen *g, qv_window *w, const qv_tensor *x, bool dense) {
  qv_rng *r = g->r;
  uint32_t n = (uint32_t)qv_elems(x);
  *w = (qv_window){.n = 1, .ih = 1, .iw = 1, .oh = 1, .ow = 1, .kh = 1, .kw = 1, .sh = 1, .sw = 1, .dh = 1, .dw = 1, .groups = 1};
  if (x->rank == 4 && chance(r, 80)) {
    w->n = x->dim[0], w->ih = x->dim[1], w->iw = x->dim[2], w->ic = x->dim[3];
  } else if (x->rank == 2 && chance(r, 80)) {
    w->n = x->dim[0], w->ic = x->dim[1];
  } else {
    w->n = chance(r, 60) ? 1 : factor(r, n);
    w->ih = chance(r, 50) ? 1 : factor(r, n / w->n);
    w->iw = chance(r, 50) ? 1 : factor(r, n / w->n / w->ih);
    w->ic = n / w->n / w->ih / w->iw;
  }
  if (dense) { /* rows of all that is left */
    w->ic *= w->ih * w->iw;
    w->ih = w->iw = 1;
    return true;
  }
  w->kh = upto(r, 1, w->ih < 4 ? w->ih + 1 : 4);
  w->kw = upto(r, 1, w->iw < 4 ? w->iw + 1 : 4);
  w->sh = chance(r, 60) ? 1 : upto(r, 1, 3);
  w->sw = chance(r, 60) ? w->sh : upto(r, 1, 3);
  w->dh = chance(r, 80) ? 1 : upto(r, 1, 3);
  w->dw = chance(r, 80) ? w->dh : upto(r, 1, 3);
  w->pt = chance(r, 40) ? 0 : upto(r, 0, (w->kh - 1) * w->dh);
  w->pl = chance(r, 40) ? 0 : upto(r, 0, (w->kw - 1) * w->dw);
  w->oh = extent(r, w->ih, w->kh, w->sh, w->dh, w->pt);
  w->ow = extent(r, w->iw, w->kw, w->sw, w->dw, w->pl);
  return true;
}

static void window_shape(qv_tensor *t, const qv_window *w) {
  if (w->ih * w->iw * w->oh * w->ow == 1) {
    t->rank = 2, t->dim[0] = w->n, t->dim[1] = w->oc;
  } else {
    t->rank = 4, t->dim[0] = w->n, t->dim[1] = w->oh, t->dim[2] = w->ow, t->dim[3] = w->oc;
  }
}

static bool fill_weights(gen *g, qv_affine *a, uint32_t k) {
  qv_rng *r = g->r;
  int bits = g->o.layers || chance(r, 65) ? 8 : (int)upto(r, 1, 16);
  int64_t lim = (int64_t)1 << (bits - 1), lo = -lim, hi = lim - 1;
  if (chance(r, 15)) lo = 0, hi = 2 * lim - 1; /* unsigned weights */
  int32_t *w = QV_NEW(&g->net->arena, (size_t)a->win.oc * k, int32_t);
  int32_t *zp = QV_NEW(&g->net->arena, a->win.oc, int32_t);
  int64_t *b = QV_NEW(&g->net->arena, a->win.oc, int64_t);
  if (w == NULL || zp == NULL || b == NULL) return false;
  bool extreme = chance(r, 20);
  for (size_t i = 0; i < (size_t)a->win.oc * k; i++)
    w[i] = (int32_t)(extreme ? (chance(r, 50) ? lo : hi) : edgy(r, lo, hi));
  a->n_w_zp = chance(r, 30) ? a->win.oc : 1;
  if (chance(r, lo == 0 ? 80 : 25))
    for (uint32_t i = 0; i < a->n_w_zp; i++) zp[i] = (int32_t)edgy(r, lo, hi);
  int64_t blim = chance(r, 20) ? (int64_t)1 << upto(r, 30, 32) : (int64_t)1 << upto(r, 1, 18);
  for (uint32_t i = 0; i < a->win.oc; i++) b[i] = edgy(r, -blim, blim - 1);
  a->w = w, a->w_zp = zp, a->b = b;
  return true;
}

static bool make_affine(gen *g, qv_node *d, qv_tensor *t) {
  qv_rng *r = g->r;
  const qv_tensor *x = &g->net->tensor[d->in[0]];
  qv_affine *a = &d->u.affine;
  if (!random_window(g, &a->win, x, chance(r, 35))) return false;
  qv_window *w = &a->win;
  if (w->ic > 1 && chance(r, 35)) w->groups = chance(r, 75) ? w->ic : factor(r, w->ic);
  uint32_t per_group = g->o.max_elems / (w->n * w->oh * w->ow) / w->groups;
  if (per_group == 0) return false;
  per_group = upto(r, 1, per_group < 40 ? per_group : 40);
  if (w->groups > 1 && chance(r, 60)) per_group = 1;
  w->oc = per_group * w->groups;
  uint32_t k = w->kh * w->kw * (w->ic / w->groups);
  if (k > g->o.max_k) return false;
  qv_itv rg = qv_dtype_range(x->type);
  if (chance(r, 20)) rg = (qv_itv){x->lo, x->hi};
  rg = (qv_itv){qv_clamp64(rg.lo, -65536, 65536), qv_clamp64(rg.hi, -65536, 65536)};
  if (x->hi - x->lo <= 65536 && chance(r, 60)) a->x_zp = (int32_t)edgy(r, rg.lo, rg.hi);
  a->acc = random_acc(g, ~0u);
  window_shape(t, w);
  return fill_weights(g, a, k);
}

static void random_clamp(gen *g, qv_step *s) {
  qv_rng *r = g->r;
  int64_t lim = (int64_t)1 << (g->o.layers || chance(r, 60) ? 7 : upto(r, 1, 31));
  s->lo = -lim, s->hi = lim - 1;
  if (chance(r, 25)) s->lo = 0, s->hi = 2 * lim - 1;
  s->out_zp = chance(r, 40) ? 0 : edgy(r, s->lo, s->hi);
  if (chance(r, 40)) s->lo = qv_clamp64(s->out_zp, s->lo, s->hi); /* a fused ReLU */
  if (chance(r, 20)) s->hi = qv_rng_range(r, s->lo, s->hi);
}

static qv_rq random_rq(gen *g) {
  qv_rq fn;
  do fn = (qv_rq)qv_rng_range(g->r, 0, QV_RQ_MEANF);
  while (((g->o.rqs >> fn) & 1u) == 0);
  return fn;
}

static bool make_step(gen *g, qv_node *d, qv_tensor *t) {
  qv_rng *r = g->r;
  const qv_tensor *x = &g->net->tensor[d->in[0]];
  qv_step *s = &d->u.step;
  uint32_t n = (uint32_t)qv_elems(x);
  qv_rq fn = random_rq(g);
  *t = *x;
  random_clamp(g, s);
  if (x->hi - x->lo < 65536 && chance(r, 60)) s->in_zp = edgy(r, x->lo, x->hi);
  int64_t vmax = qv_max64(qv_max64(x->hi - s->in_zp, s->in_zp - x->lo), 1);
  if (vmax < 1 << 16 && chance(r, 40)) s->lshift = upto(r, 0, chance(r, 50) ? 15 : 20);
  vmax = qv_min64(vmax, INT64_MAX >> 32) << s->lshift;
  if (vmax >= (int64_t)1 << 31 && chance(r, 60)) vmax = INT32_MAX; /* as if the wrap had not been needed */
  uint32_t last = x->rank > 0 ? x->dim[x->rank - 1] : 1;
  s->inner = chance(r, 80) ? 1 : factor(r, n);
  s->n_par = chance(r, 40) ? 1 : chance(r, 80) ? last : factor(r, n / s->inner);
  if (chance(r, 15)) {
    uint32_t *idx = QV_NEW(&g->net->arena, s->n_par, uint32_t);
    if (idx == NULL) return false;
    s->n_idx = s->n_par;
    s->n_par = upto(r, 1, s->n_idx);
    for (uint32_t i = 0; i < s->n_idx; i++) idx[i] = upto(r, 0, s->n_par - 1);
    s->idx = idx;
  }
  qv_rq_par *p = QV_NEW(&g->net->arena, s->n_par, qv_rq_par);
  if (p == NULL) return false;
  int bits = qv_itv_bits((qv_itv){s->lo, s->hi});
  bool mixed = chance(r, 15); /* as kernels whose last channels are not vectorised */
  for (uint32_t i = 0; i < s->n_par; i++) p[i] = gen_rq_par(r, mixed ? random_rq(g) : fn, vmax, bits);
  s->par = p;
  return true;
}

static bool make_table(gen *g, qv_node *d, qv_tensor *t) {
  const qv_tensor *x = &g->net->tensor[d->in[0]];
  qv_table *b = &d->u.table;
  if (x->hi - x->lo >= 4096) return false;
  b->lo = x->lo - (chance(g->r, 80) ? 0 : qv_rng_range(g->r, 0, 9));
  b->n = (uint32_t)(x->hi - b->lo + 1) + (chance(g->r, 80) ? 0 : upto(g->r, 0, 9));
  if (chance(g->r, 30)) b->lo = qv_dtype_range(QV_I8).lo, b->n = 256;
  int32_t *v = QV_NEW(&g->net->arena, b->n, int32_t);
  if (v == NULL) return false;
  int64_t lim = (int64_t)1 << (chance(g->r, 70) ? 7 : upto(g->r, 1, 31)), at = -lim;
  bool sorted = chance(g->r, 50);
  for (uint32_t i = 0; i < b->n; i++) {
    if (sorted) at = qv_rng_range(g->r, at, qv_min64(at + 4 * lim / b->n + 1, lim - 1));
    v[i] = (int32_t)(sorted ? at : edgy(g->r, -lim, lim - 1));
  }
  b->t = v;
  *t = *x;
  return true;
}

/* Thresholds about the input's range, now and then far outside; values in order, constant, or any. */
static bool make_threshold(gen *g, qv_node *d, qv_tensor *t) {
  qv_rng *r = g->r;
  const qv_tensor *x = &g->net->tensor[d->in[0]];
  qv_threshold *h = &d->u.threshold;
  uint32_t n = (uint32_t)qv_elems(x), last = x->rank > 0 ? x->dim[x->rank - 1] : 1;
  *t = *x;
  h->inner = chance(r, 80) ? 1 : factor(r, n);
  h->n_par = chance(r, 30) ? 1 : chance(r, 80) ? last : factor(r, n / h->inner);
  qv_pieces *p = QV_NEW(&g->net->arena, h->n_par, qv_pieces);
  if (p == NULL) return false;
  int64_t lim = (int64_t)1 << (chance(r, 70) ? 7 : upto(r, 1, 31));
  for (uint32_t c = 0; c < h->n_par; c++) {
    uint32_t want = chance(r, 10) ? 0 : upto(r, 1, chance(r, 70) ? 3 : 20), order = upto(r, 0, 2);
    int64_t *at = QV_NEW(&g->net->arena, want + 1, int64_t), lo = x->lo, hi = x->hi, v = -lim;
    int32_t *y = QV_NEW(&g->net->arena, want + 1, int32_t);
    if (at == NULL || y == NULL) return false;
    if (chance(r, 10)) lo = -((int64_t)1 << 61), hi = -lo;
    for (uint32_t i = 0; i < want && lo <= hi; i++) {
      int64_t to = lo + (hi - lo) / (want - i);
      at[p[c].k++] = chance(r, 5) ? lo : qv_rng_range(r, lo, to);
      lo = at[i] + 1;
    }
    for (uint32_t i = 0; i <= p[c].k; i++) {
      v = order == 0 ? edgy(r, -lim, lim - 1) : qv_min64(v + qv_rng_range(r, 0, 2 * lim / (p[c].k + 1)), lim - 1);
      y[i] = (int32_t)(order == 2 ? -1 - v : v);
    }
    p[c].t = at;
    p[c].v = y;
  }
  h->par = p;
  return true;
}

/* Another tensor with n elements (perhaps a new constant), or QV_NONE. */
static uint32_t partner(gen *g, uint32_t n) {
  uint32_t first = upto(g->r, 0, g->net->n_tensors - 1), total = g->net->n_tensors;
  if (chance(g->r, 10)) return add_constant(g, n);
  for (uint32_t i = 0; i < total; i++) {
    uint32_t t = (first + i) % total;
    if (qv_elems(&g->net->tensor[t]) == n) return t;
  }
  return QV_NONE;
}

static bool make_sum(gen *g, qv_node *d, uint32_t *in, qv_tensor *t) {
  qv_rng *r = g->r;
  uint32_t n = (uint32_t)qv_elems(&g->net->tensor[in[0]]), n_in = chance(r, 60) ? 2 : upto(r, 1, 4);
  int64_t *c = QV_NEW(&g->net->arena, n_in, int64_t), *z = QV_NEW(&g->net->arena, n_in, int64_t);
  if (c == NULL || z == NULL) return false;
  for (uint32_t i = 0; i < n_in; i++) {
    if (i > 0 && (in[i] = partner(g, n)) == QV_NONE) return false;
    const qv_tensor *x = &g->net->tensor[in[i]];
    c[i] = chance(r, 60) ? 1 : chance(r, 30) ? -1 : edgy(r, -1000, 1000);
    z[i] = chance(r, 60) ? 0 : edgy(r, qv_max64(x->lo, -1000), qv_max64(x->lo, -1000) + 255);
  }
  d->n_in = n_in;
  d->u.sum = (qv_sum){.c = c, .z = z, .acc = random_acc(g, 1u << QV_ACC_EXACT | 1u << QV_ACC_WRAP | 1u << QV_ACC_SAT | 1u << QV_ACC_TRAP)};
  d->u.sum.acc.raw = false;
  *t = g->net->tensor[in[0]];
  return true;
}

static bool make_product(gen *g, qv_node *d, uint32_t *in, qv_tensor *t) {
  qv_product *p = &d->u.product;
  uint32_t n = (uint32_t)qv_elems(&g->net->tensor[in[0]]);
  if ((in[1] = partner(g, n)) == QV_NONE) return false;
  d->n_in = 2;
  if (chance(g->r, 50)) p->z0 = edgy(g->r, -300, 300), p->z1 = edgy(g->r, -300, 300);
  p->acc = random_acc(g, 1u << QV_ACC_EXACT | 1u << QV_ACC_WRAP | 1u << QV_ACC_SAT | 1u << QV_ACC_TRAP);
  p->acc.raw = false;
  *t = g->net->tensor[in[0]];
  return true;
}

static bool make_max(gen *g, qv_node *d, qv_tensor *t) {
  if (!random_window(g, &d->u.max, &g->net->tensor[d->in[0]], false)) return false;
  d->u.max.oc = d->u.max.groups = d->u.max.ic;
  window_shape(t, &d->u.max);
  return true;
}

static bool make_index(gen *g, qv_node *d, uint32_t *in, qv_tensor *t) {
  qv_rng *r = g->r;
  const qv_tensor x = g->net->tensor[in[0]];
  qv_index *ix = &d->u.index;
  *t = x;
  ix->form = (qv_index_form)qv_rng_range(r, 0, QV_IX_GATHER);
  ix->axis = x.rank == 0 ? 0 : upto(r, 0, x.rank - 1);
  switch (ix->form) {
  case QV_IX_RESHAPE: shape_random(r, t, (uint32_t)qv_elems(&x)); return true;
  case QV_IX_TRANSPOSE:
    for (uint32_t i = 0; i < x.rank; i++) {
      uint32_t j = upto(r, 0, i);
      ix->a[i] = ix->a[j], ix->a[j] = (int32_t)i;
    }
    for (uint32_t i = 0; i < x.rank; i++) t->dim[i] = x.dim[ix->a[i]];
    return true;
  case QV_IX_PAD:
    for (uint32_t i = 0; i < x.rank; i++) {
      if (chance(r, 50)) ix->a[i] = (int32_t)upto(r, 0, 3), ix->b[i] = (int32_t)upto(r, 0, 3);
      t->dim[i] += (uint32_t)(ix->a[i] + ix->b[i]);
    }
    ix->value = (int32_t)qv_clamp64(edgy(r, x.lo, x.hi) + (chance(r, 30) ? qv_rng_range(r, -300, 300) : 0), INT32_MIN, INT32_MAX);
    return true;
  case QV_IX_CONCAT:
    if (x.rank == 0) return false;
    for (uint32_t n = upto(r, 1, 3); d->n_in < n && d->n_in < g->net->n_tensors; d->n_in++) {
      uint32_t p = upto(r, 0, g->net->n_tensors - 1); /* fits only if the other dimensions agree: the check decides */
      if (g->net->tensor[p].rank != x.rank || chance(r, 30)) p = in[0];
      in[d->n_in] = p;
      t->dim[ix->axis] += g->net->tensor[p].dim[ix->axis];
    }
    return true;
  case QV_IX_SLICE:
    for (uint32_t i = 0; i < x.rank; i++) {
      uint32_t step = upto(r, 1, 3), n = (x.dim[i] - 1) / step + 1;
      bool back = chance(r, 25);
      t->dim[i] = upto(r, 1, n);
      ix->b[i] = back ? -(int32_t)step : (int32_t)step;
      uint32_t reach = (t->dim[i] - 1) * step;
      ix->a[i] = (int32_t)(back ? upto(r, reach, x.dim[i] - 1) : upto(r, 0, x.dim[i] - 1 - reach));
    }
    return true;
  case QV_IX_BROADCAST:
    for (uint32_t i = 0; i < x.rank; i++)
      if (x.dim[i] == 1) t->dim[i] = upto(r, 1, 4);
    return true;
  case QV_IX_GATHER: {
    if (x.rank == 0) return false;
    uint32_t n = upto(r, 1, 2 * x.dim[ix->axis]), *idx = QV_NEW(&g->net->arena, n, uint32_t);
    if (idx == NULL) return false;
    for (uint32_t i = 0; i < n; i++) idx[i] = upto(r, 0, x.dim[ix->axis] - 1);
    ix->g = idx;
    t->dim[ix->axis] = n;
    return true;
  }
  }
  return false;
}

static bool make_tail(gen *g, qv_node *d, qv_tensor *t) {
  qv_rng *r = g->r;
  const qv_tensor *x = &g->net->tensor[d->in[0]];
  qv_tail *q = &d->u.tail;
  *t = *x;
  q->fn = x->hi - x->lo > 255 ? QV_TAIL_SOFTMAX_16 : chance(r, 50) ? QV_TAIL_SOFTMAX_Q : QV_TAIL_SOFTMAX_F;
  if (q->fn == QV_TAIL_SOFTMAX_16) {
    int16_t *lut = QV_NEW(&g->net->arena, 1026, int16_t);
    if (lut == NULL) return false;
    for (int i = 0; i < 513; i++) {
      lut[i] = (int16_t)fmin(32767.0, 32768.0 * exp((i - 512) * 10.0 / 512));
      lut[513 + i] = (int16_t)fmin(32767.0, 32768.0 / (1.0 + i / 512.0));
    }
    q->lut = lut;
    fixed_point(0.01 + (double)qv_rng_range(r, 1, 1000) / 400.0, &q->mult, &q->ls);
    q->lo = 0, q->hi = 32767;
    return true;
  }
  if (q->fn == QV_TAIL_SOFTMAX_Q) {
    q->out_bits = chance(r, 70) ? 8 : 16;
    fixed_point(0.001 + (double)qv_rng_range(r, 1, 1000) / 4000.0, &q->mult, &q->ls);
    q->ls = (int32_t)upto(r, 17, 26);
    q->diff_min = -(int32_t)(((int64_t)31 << 26) >> q->ls);
  } else {
    float *e = QV_NEW(&g->net->arena, 256, float);
    if (e == NULL) return false;
    double beta = (double)qv_rng_range(r, 1, 400) / 1000.0;
    for (int i = 0; i < 256; i++) e[i] = expf((float)(-beta * (255 - i)));
    q->exp = e;
    q->out_scale = 1.0f / 256.0f;
    q->round = chance(r, 50) ? QV_TR_AWAY : QV_TR_HALF_UP_TRUNC;
  }
  q->lo = chance(r, 70) ? -128 : 0;
  q->hi = q->lo + 255;
  q->out_zp = q->lo;
  return true;
}

static bool make_node(gen *g, qv_node *d, uint32_t *in, qv_tensor *t) {
  qv_rng *r = g->r;
  const qv_tensor *x = &g->net->tensor[in[0]];
  *t = *x; /* shape of the element-wise kinds */
  switch (d->kind) {
  case QV_AFFINE: return make_affine(g, d, t);
  case QV_STEP: return make_step(g, d, t);
  case QV_TABLE: return make_table(g, d, t);
  case QV_THRESHOLD: return make_threshold(g, d, t);
  case QV_SUM: return make_sum(g, d, in, t);
  case QV_PRODUCT: return make_product(g, d, in, t);
  case QV_MAX: return make_max(g, d, t);
  case QV_INDEX: return make_index(g, d, in, t);
  case QV_CLAMP:
    d->u.clamp.lo = edgy(r, x->lo, x->hi);
    d->u.clamp.hi = qv_rng_range(r, d->u.clamp.lo, x->hi + 3);
    return true;
  case QV_WRAP: d->u.wrap.bits = (uint8_t)(chance(r, 60) ? 8 * upto(r, 1, 4) : upto(r, 2, 40)); return true;
  case QV_TAIL: return make_tail(g, d, t);
  case QV_OPAQUE: t->type = QV_I8, t->lo = -5, t->hi = 5; return true;
  case QV_KINDS: break;
  }
  return false;
}

/* ---- growth ----------------------------------------------------------------------------------------------------------- */

static qv_kind random_kind(gen *g, const qv_tensor *x) {
  static const qv_kind common[] = {QV_AFFINE, QV_AFFINE, QV_AFFINE, QV_STEP, QV_STEP, QV_SUM, QV_MAX, QV_INDEX, QV_TABLE, QV_THRESHOLD};
  bool wide = x->hi - x->lo >= (int64_t)1 << 17;
  for (;;) {
    qv_kind k = (qv_kind)qv_rng_range(g->r, 0, QV_KINDS - 1);
    if (chance(g->r, g->o.layers ? 90 : 50)) k = common[upto(g->r, 0, sizeof common / sizeof common[0] - 1)];
    if (wide && chance(g->r, 75)) k = QV_STEP; /* else accumulators would only grow */
    if (((g->o.kinds >> k) & 1u) != 0) return k;
    wide = false;
  }
}

static bool make_outputs(gen *g, bool last_only) {
  g->net->n_out = 0;
  for (uint32_t i = 0; i < g->net->n_tensors; i++) {
    bool last = i + 1 == g->net->n_tensors;
    if (g->net->tensor[i].data != NULL || (!last && (last_only || !chance(g->r, 12)))) continue;
    if (!qv_net_add_out(g->net, &(qv_port){.tensor = i, .end = QV_END_INT, .name = g->net->tensor[i].name})) return false;
  }
  if (g->net->n_out > 0) return true;
  return qv_net_add_out(g->net, &(qv_port){.tensor = 0, .end = QV_END_INT, .name = g->net->tensor[0].name});
}

/* Try to append one node. False: refused, the net is as before (arena memory apart). */
static bool grow(gen *g) {
  qv_net *net = g->net;
  uint32_t tensors = net->n_tensors, nodes = net->n_nodes, *in = QV_NEW(&net->arena, 8, uint32_t);
  if (in == NULL) return false;
  do in[0] = chance(g->r, 80) ? tensors - 1 : upto(g->r, 0, tensors - 1);
  while (net->tensor[in[0]].data != NULL && !chance(g->r, 20));
  qv_node d = {.kind = random_kind(g, &net->tensor[in[0]]), .op = "GEN", .layer = nodes, .n_in = 1, .in = in};
  qv_tensor t = {0};
  if (!make_node(g, &d, in, &t)) goto refuse;
  t.data = NULL;
  t.has_q = false;
  if (d.kind != QV_OPAQUE) t.type = QV_I64, t.lo = t.hi = 0;
  size_t n = 1;
  for (uint32_t i = 0; i < t.rank; i++)
    if (!qv_mulz(&n, n, t.dim[i])) goto refuse;
  if (n > g->o.max_elems) goto refuse;
  if ((d.out = add_tensor(g, t)) == QV_NONE || qv_net_add_node(net, &d) == QV_NONE) goto refuse;
  if (!make_outputs(g, true) || qv_ir_check(net, NULL) != QV_OK) goto refuse;
  qv_tensor *y = &net->tensor[d.out];
  if (d.kind != QV_OPAQUE) y->type = storage(g->r, y->lo, y->hi);
  return true;
refuse:
  net->n_tensors = tensors, net->n_nodes = nodes;
  return false;
}

qv_net *gen_net(qv_rng *r, const gen_opts *opts) {
  gen g = {.r = r, .o = opts != NULL ? *opts : (gen_opts){0}, .net = qv_net_new(0)};
  if (g.net == NULL) return NULL;
  if (g.o.max_in == 0) g.o.max_in = 64;
  if (g.o.in_bits == 0) g.o.in_bits = 8;
  if (g.o.max_nodes == 0) g.o.max_nodes = 8;
  if (g.o.max_elems == 0) g.o.max_elems = 4096;
  if (g.o.max_k == 0) g.o.max_k = 300;
  if (g.o.kinds == 0) g.o.kinds = ((1u << QV_KINDS) - 1) & ~(1u << QV_OPAQUE);
  if (g.o.modes == 0) g.o.modes = ~0u;
  if (g.o.rqs == 0) g.o.rqs = ~0u;
  g.net->source = "", g.net->profile = "", g.net->format = "gen";

  uint32_t n_in = g.o.max_in > 1 && chance(r, 30) ? 2 : 1;
  for (uint32_t i = 0; i < n_in; i++) {
    uint32_t t = add_input(&g, g.o.max_in / n_in);
    if (t == QV_NONE || !qv_net_add_in(g.net, &(qv_port){.tensor = t, .end = QV_END_INT, .name = g.net->tensor[t].name})) goto fail;
  }
  uint32_t want = upto(r, 1, g.o.max_nodes);
  for (unsigned tries = 0; g.net->n_nodes < want && (tries < 200 || g.net->n_nodes == 0) && tries < 100000; tries++) (void)grow(&g);
  if (g.net->n_nodes == 0 || !make_outputs(&g, false) || qv_ir_check(g.net, NULL) != QV_OK) goto fail;
  return g.net;
fail:
  qv_net_free(g.net);
  return NULL;
}
