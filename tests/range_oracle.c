#include "tests/range_oracle.h"

#include <stdlib.h>

static qv_itv product(qv_itv a, qv_itv b) {
  int64_t p[4] = {a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi};
  qv_itv r = {p[0], p[0]};
  for (int i = 1; i < 4; i++) {
    if (p[i] < r.lo) r.lo = p[i];
    if (p[i] > r.hi) r.hi = p[i];
  }
  return r;
}

static qv_itv point(int64_t v) { return (qv_itv){v, v}; }
static qv_itv minus(qv_itv a, int64_t z) { return (qv_itv){a.lo - z, a.hi - z}; }
static qv_itv plus(qv_itv a, qv_itv b) { return (qv_itv){a.lo + b.lo, a.hi + b.hi}; }
static qv_itv hull(qv_itv a, qv_itv b) { return (qv_itv){a.lo < b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi}; }
static qv_itv with_zero(qv_itv a) { return hull(a, point(0)); }

static void load_affine(oracle_terms *o, const qv_affine *a, size_t e, const qv_itv *x) {
  const qv_window *g = &a->win;
  size_t ch = e % g->oc, ox = e / g->oc % g->ow, oy = e / g->oc / g->ow % g->oh, n = e / g->oc / g->ow / g->oh;
  size_t gic = g->ic / g->groups, group = ch / (g->oc / g->groups);
  o->b = a->b[ch];
  o->x_zp = a->x_zp;
  o->w_zp = a->w_zp[a->n_w_zp == 1 ? 0 : ch];
  o->k = g->kh * g->kw * gic;
  if (o->k > ORACLE_TERMS) abort();
  for (size_t i = 0; i < o->k; i++) {
    size_t c = i % gic, kx = i / gic % g->kw, ky = i / gic / g->kw;
    int64_t iy = (int64_t)(oy * g->sh + ky * g->dh) - g->pt, ix = (int64_t)(ox * g->sw + kx * g->dw) - g->pl;
    int64_t w = a->w[ch * o->k + i];
    bool inside = iy >= 0 && ix >= 0 && iy < (int64_t)g->ih && ix < (int64_t)g->iw;
    o->x[i] = point(a->x_zp);
    if (inside) o->x[i] = x[((n * g->ih + (size_t)iy) * g->iw + (size_t)ix) * g->ic + group * gic + c];
    o->byte[i] = product(point(w), o->x[i]);
    o->t[i] = product(point(w - o->w_zp), minus(o->x[i], a->x_zp)); /* 0 where padded */
    o->sum_w += w;
  }
}

void oracle_load(oracle_terms *o, const qv_net *net, const qv_node *n, size_t e, qv_itv *const *v) {
  (void)net;
  o->k = 0;
  o->b = o->x_zp = o->w_zp = o->sum_w = 0;
  if (n->kind == QV_AFFINE) {
    o->acc = &n->u.affine.acc;
    load_affine(o, &n->u.affine, e, v[n->in[0]]);
  } else if (n->kind == QV_SUM) {
    o->acc = &n->u.sum.acc;
    for (o->k = 0; o->k < n->n_in; o->k++)
      o->t[o->k] = product(point(n->u.sum.c[o->k]), minus(v[n->in[o->k]][e], n->u.sum.z[o->k]));
  } else if (n->kind == QV_PRODUCT) {
    o->acc = &n->u.product.acc;
    o->k = 1;
    o->t[0] = product(minus(v[n->in[0]][e], n->u.product.z0), minus(v[n->in[1]][e], n->u.product.z1));
  } else {
    abort();
  }
}

static qv_itv sum_all(const qv_itv *t, size_t k) {
  qv_itv s = point(0);
  for (size_t i = 0; i < k; i++) s = plus(s, t[i]);
  return s;
}

static qv_itv subsets(const qv_itv *t, size_t k) {
  qv_itv s = point(0);
  for (size_t i = 0; i < k; i++) s = plus(s, with_zero(t[i]));
  return s;
}

/* Hull of start, start + t_0, start + t_0 + t_1, ... */
static qv_itv prefixes(const qv_itv *t, size_t k, int64_t start) {
  qv_itv h = point(start);
  for (size_t n = 0; n <= k; n++) h = hull(h, plus(point(start), sum_all(t, n)));
  return h;
}

static void stage(oracle_bound *r, qv_itv v, int bits) {
  r->stage = r->n_stage == 0 ? v : hull(r->stage, v);
  r->bad[r->n_stage++] = v.lo < -((int64_t)1 << (bits - 1)) || v.hi >= (int64_t)1 << (bits - 1);
}

static bool paired(const qv_acc *a, size_t i, size_t j) {
  return a->pairing == QV_PAIR_ADJACENT ? i / 2 == j / 2 : i / 16 == j / 16 && i % 8 == j % 8;
}

/* The sums of the pairs in order of their first terms, also into sums[] if that is given; returns their number. */
static size_t pair_stage(oracle_bound *r, const qv_acc *a, const qv_itv *t, size_t k, qv_itv *sums) {
  size_t n = 0;
  if (a->order == QV_ORDER_ANY) {
    qv_itv any = point(0);
    for (size_t i = 0; i < k; i++) {
      any = hull(any, t[i]);
      for (size_t j = 0; j < i; j++) any = hull(any, plus(t[i], t[j]));
    }
    stage(r, any, 16);
    return 0;
  }
  for (size_t i = 0; i < k; i++) {
    size_t j = i + 1;
    bool second = false;
    for (size_t p = 0; p < i; p++) second = second || paired(a, p, i);
    while (j < k && !paired(a, i, j)) j++;
    if (second) continue;
    qv_itv v = j < k ? plus(t[i], t[j]) : t[i];
    stage(r, v, 16);
    if (sums != NULL) sums[n++] = v;
  }
  return n;
}

static void lane_stage(oracle_bound *r, const qv_acc *a, const qv_itv *t, size_t k) {
  static qv_itv mine[ORACLE_TERMS];
  if (a->order == QV_ORDER_ANY) {
    stage(r, subsets(t, k), a->lane_bits);
    return;
  }
  for (size_t lane = 0; lane < a->lanes; lane++) {
    size_t n = 0;
    for (size_t i = 0; i < k; i++)
      if (i % a->lanes == lane) mine[n++] = t[i];
    size_t win = a->spill == 0 ? n : a->spill;
    for (size_t from = 0; from < n; from += win) {
      size_t len = n - from < win ? n - from : win;
      stage(r, a->lane_sat ? prefixes(mine + from, len, 0) : sum_all(mine + from, len), a->lane_bits);
    }
  }
}

void oracle_run(oracle_bound *r, const oracle_terms *o) {
  const qv_acc *a = o->acc;
  qv_itv b = point(o->b);
  *r = (oracle_bound){.final = plus(sum_all(o->t, o->k), b), .any = plus(subsets(o->t, o->k), with_zero(b))};
  r->prefix = hull(prefixes(o->t, o->k, a->bias == QV_BIAS_FIRST ? o->b : 0), r->final);
  const qv_itv *staged = a->raw ? o->byte : o->t;
  static qv_itv sums[ORACLE_TERMS];
  if (a->mode == QV_ACC_PAIR16) (void)pair_stage(r, a, staged, o->k, NULL);
  if (a->mode == QV_ACC_LANES || (a->mode == QV_ACC_PAIRLANES && a->order == QV_ORDER_ANY)) lane_stage(r, a, staged, o->k);
  else if (a->mode == QV_ACC_PAIRLANES) lane_stage(r, a, sums, pair_stage(r, a, staged, o->k, sums));
  if (!a->raw) return;
  r->raw_sum = sum_all(o->byte, o->k);
  r->raw_prefix = prefixes(o->byte, o->k, 0);
  r->row = o->w_zp != 0 ? subsets(o->x, o->k) : point(0);
  r->col = o->x_zp != 0 ? o->sum_w : 0;
  qv_itv constants = plus(plus(with_zero(point(-o->x_zp * o->sum_w)), with_zero(point((int64_t)o->k * o->x_zp * o->w_zp))), with_zero(b));
  r->fix = plus(plus(r->raw_sum, with_zero(product(point(-o->w_zp), sum_all(o->x, o->k)))), constants);
  r->all = plus(plus(subsets(o->byte, o->k), with_zero(product(point(-o->w_zp), subsets(o->x, o->k)))), constants);
}

uint32_t oracle_channel(const qv_node *n, const qv_ranges *out, size_t e) {
  if (n->kind == QV_AFFINE) return (uint32_t)(e % n->u.affine.win.oc);
  return out->n == 1 ? 0 : (uint32_t)(e / out->inner % out->n);
}
