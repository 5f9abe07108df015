#include "kernels/step.h"

#include <math.h>

/* ---- building blocks ------------------------------------------------------------------------------------------------- */

int64_t qv_srdhm(int64_t a, int64_t b) {
  if (a == INT32_MIN && b == INT32_MIN) return INT32_MAX;
  return (int64_t)qv_floor_shift((qv_i128)a * b + ((qv_i128)1 << 30), 31);
}

int64_t qv_rdbp(qv_i128 x, int e) {
  if (e == 0) return (int64_t)x;
  qv_i128 half = (qv_i128)1 << (e - 1);
  return (int64_t)(x >= 0 ? qv_floor_shift(x + half, e) : -qv_floor_shift(-x + half, e));
}

int64_t qv_rne(double d) {
  double f = floor(d), r = d - f; /* both exact */
  int64_t i = (int64_t)f;
  return i + (r > 0.5 || (r == 0.5 && (i & 1)));
}

/* ---- the functions of docs/semantics.md section 2 -------------------------------------------------------------------- */

static int64_t rq_d(int64_t v, int32_t m, int sh) {
  return qv_rdbp(qv_srdhm((int64_t)qv_scale2(v, sh > 0 ? sh : 0), m), sh < 0 ? -sh : 0);
}

static int64_t rq_u(int64_t v, int32_t m, int sh) {
  int r = sh < 0 ? -sh : 0;
  int64_t h = qv_srdhm((int64_t)qv_scale2(v, sh > 0 ? sh : 0), m);
  return r == 0 ? h : (int64_t)qv_floor_shift((qv_i128)h + ((qv_i128)1 << (r - 1)), r);
}

static int64_t rq_s(int64_t v, int32_t m, int sh) {
  return (int64_t)qv_floor_shift((qv_i128)v * m + ((qv_i128)1 << (30 - sh)), 31 - sh);
}

static int64_t rq_64(int64_t v, int32_t m, int sh) {
  int64_t r = m < 0x7FFF0000 ? (m + (1 << 15)) >> 16 : 0x7FFF;
  return (int64_t)qv_floor_shift((qv_i128)v * r + ((qv_i128)1 << (14 - sh)), 15 - sh);
}

static int64_t rq_t(int64_t v, int32_t m, int s, bool dbl) {
  qv_i128 d = dbl && s > 31 ? (v >= 0 ? 1 << 30 : -(1 << 30)) : 0;
  return (int64_t)qv_floor_shift((qv_i128)v * m + ((qv_i128)1 << (s - 1)) + d, s);
}

static int64_t rq_f32(int64_t v, double M) {
  float p = (float)v * (float)M; /* two binary32 roundings, by definition */
  return qv_rne((double)p);
}

static int64_t rq_f32b(int64_t v, double M, double B) {
  float p = (float)v * (float)M;
  float s = p + (float)B;
  return qv_rne((double)s);
}

static int64_t rq_ndu(int64_t v, double M) {
  int e;
  double q = frexp(M, &e);                             /* M = q * 2^e, q in [1/2,1), 24 significant bits */
  qv_i128 p = (qv_i128)v * (int64_t)ldexp(q, 24);      /* v*M = p * 2^(e-24), exact */
  int s = 24 - e;
  if (s <= 0) return (int64_t)qv_scale2(p, -s);
  if (s > 100) return 0;                               /* |p| < 2^87, so |v*M| < 1/2 */
  return (int64_t)qv_floor_shift(p + ((qv_i128)1 << (s - 1)), s);
}

static int64_t rq_f64a(int64_t v, double M) {
  double p = (double)v * M;
  return (int64_t)round(p); /* nearest, ties away; exact, rounding mode not used */
}

static int64_t rq_ref(int64_t v, double M, int64_t zp) {
  double p = (double)v * M;
  double s = p + (double)zp;
  return qv_rne(s) - zp;
}

static int64_t rq_meanf(int64_t v, const qv_rq_par *p) {
  float mean = (float)v / (float)p->m;
  float t = mean * (float)p->M;
  float s = t + (float)p->B;
  return (int64_t)roundf(s);
}

int64_t qv_rq_eval(const qv_rq_par *p, int64_t v, int64_t zp) {
  switch (p->fn) {
  case QV_RQ_D: return rq_d(v, p->m, p->sh);
  case QV_RQ_U: return rq_u(v, p->m, p->sh);
  case QV_RQ_S: return rq_s(v, p->m, p->sh);
  case QV_RQ_64: return rq_64(v, p->m, p->sh);
  case QV_RQ_T: return rq_t(v, p->m, p->sh, false);
  case QV_RQ_TD: return rq_t(v, p->m, p->sh, true);
  case QV_RQ_F32: return rq_f32(v, p->M);
  case QV_RQ_NDU: return rq_ndu(v, p->M);
  case QV_RQ_F64A: return rq_f64a(v, p->M);
  case QV_RQ_REF: return rq_ref(v, p->M, zp);
  case QV_RQ_F32B: return rq_f32b(v, p->M, p->B);
  case QV_RQ_DIV: return (int64_t)qv_rha_div(v, p->m);
  case QV_RQ_TDIV: return v / p->m;
  case QV_RQ_MEANF: return rq_meanf(v, p);
  }
  QV_CHECK(false); /* not a requantization function: qv_ir_check refuses it */
  return 0;
}

/* ---- steps ----------------------------------------------------------------------------------------------------------- */

uint32_t qv_step_channel(const qv_step *s, size_t e) {
  uint32_t n = s->idx != NULL ? s->n_idx : s->n_par;
  if (n == 1) return s->idx != NULL ? s->idx[0] : 0;
  uint32_t q = (uint32_t)(e / s->inner % n);
  return s->idx != NULL ? s->idx[q] : q;
}

int64_t qv_step_eval(const qv_step *s, uint32_t c, int64_t acc) {
  int64_t v = (int64_t)qv_scale2((qv_i128)acc - s->in_zp, (int)s->lshift);
  return qv_clamp64(qv_rq_eval(&s->par[c], v, s->out_zp) + s->out_zp, s->lo, s->hi);
}

/* RQ_D with a negative multiplier is the only decreasing step (Lemma S6). */
static bool decreasing(const qv_step *s, uint32_t c) { return s->par[c].fn == QV_RQ_D && s->par[c].m < 0; }

qv_itv qv_step_image(const qv_step *s, uint32_t c, qv_itv a) {
  int64_t p = qv_step_eval(s, c, a.lo), q = qv_step_eval(s, c, a.hi);
  return decreasing(s, c) ? (qv_itv){q, p} : (qv_itv){p, q};
}

/* Number of points of dom, from its low end (up) or its high end (down), that come before the first one with f >= y. */
static uint64_t below(const qv_step *s, uint32_t c, int64_t y, qv_itv dom, bool down) {
  uint64_t lo = 0, hi = (uint64_t)dom.hi - (uint64_t)dom.lo + 1; /* answer in [lo,hi]; dom within 2^62, so no wrap */
  while (lo < hi) {
    uint64_t mid = lo + (hi - lo) / 2;
    int64_t x = down ? dom.hi - (int64_t)mid : dom.lo + (int64_t)mid;
    if (qv_step_eval(s, c, x) < y) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

int qv_step_preimage(qv_itv out[2], const qv_step *s, uint32_t c, qv_pre_rel rel, int64_t y, qv_itv dom) {
  bool down = decreasing(s, c);
  uint64_t size = (uint64_t)dom.hi - (uint64_t)dom.lo + 1;
  /* positions p with f >= y are [from, size), those with f <= y are [0, to) */
  uint64_t from = rel == QV_PRE_LE ? 0 : below(s, c, y, dom, down);
  uint64_t to = rel == QV_PRE_GE || y == INT64_MAX ? size : below(s, c, y + 1, dom, down);
  if (from >= to) return 0;
  out[0] = down ? (qv_itv){dom.hi - (int64_t)(to - 1), dom.hi - (int64_t)from}
                : (qv_itv){dom.lo + (int64_t)from, dom.lo + (int64_t)(to - 1)};
  return 1;
}
