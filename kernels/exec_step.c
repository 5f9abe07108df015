/* Vector forms of requantization, and when they are exact.
 *
 * FIXED. Let v be an int32, P = 2*v*2^max(sh,0)*m and r = max(-sh,0). With |2*v*2^max(sh,0)| < 2^31 and |m| <= 2^31, P and
 * P + 2^31 fit int64, and
 *   SRDHM(v*2^max(sh,0), m) = floor((P/2 + 2^30) / 2^31) = floor((P + 2^31) / 2^32) =: h        (|v*2^..| < 2^30: no saturation)
 *   RQ_D = RDBP(h, r), and by cases of the sign RDBP(h, r) = (h + 2^(r-1) - [h < 0]) >> r for r > 0
 *   RQ_U = (h + 2^(r-1)) >> r
 *   RQ_S, r = 0: floor((v*m*2^sh + 2^30) / 2^31) = h
 *   RQ_S, r > 0: floor((P + 2^(31+r)) / 2^(32+r)) = (floor(P / 2^32) + 2^(r-1)) >> r            (nested floors)
 * RQ_U and RQ_S add 2^(r-1) before the high half is taken: r = 2^31 + 2^(31+r) or 2^(31+r), |P| + r < 2^63.
 * RQ_D and RQ_U agree for h >= 0, and neither is positive for h < 0: a step whose lower clamp is at least its zero point (a
 * fused ReLU) cannot tell them apart, and takes RQ_U.
 * Sizes: a = 2*v*2^max(sh,0) is even and an int32, |m| <= 2^31, so |P| <= 2^62 - 2^32 and h is within +-(2^30 - 1); h + half is an
 * int32, and y + out_zp as well (|y| < 2^30 where half = 0).
 * RQ_S depends on m*2^(sh-31) only, so RQ_T, RQ_NDU and RQ_64 with an int32 input are RQ_S with other parameters, and
 * RQ_TD is RQ_T for s <= 31 and RQ_D for s > 31 (Lemma S3).
 *
 * DIV. y = trunc((v + sign(v)*d/2) / d) in binary64: the numerator is exact (a multiple of 1/2 below 2^31), and for integers
 * a < 2^33, b < 2^32 the quotient a/b differs from the next larger integer by at least 1/b > a/b * 2^-53 unless it is one,
 * so the rounded division never reaches it. */
#include <math.h>

#include "kernels/exec_int.h"
#include "kernels/step.h"

/* One channel as RQ_D, RQ_U or RQ_S with m and sh; false if it is none of them. */
static bool canonical(qv_rq_par *p) {
  int e;
  switch (p->fn) {
  case QV_RQ_D:
  case QV_RQ_U:
  case QV_RQ_S: break;
  case QV_RQ_64: /* its 16-bit multiplier, docs/semantics.md section 2: floor((v*r + 2^(14-sh)) / 2^(15-sh)) */
    p->m = p->m < 0x7FFF0000 ? (p->m + (1 << 15)) >> 16 : 0x7FFF;
    p->sh += 16;
    p->fn = QV_RQ_S;
    break;
  case QV_RQ_T:
  case QV_RQ_TD:
    p->fn = p->fn == QV_RQ_TD && p->sh > 31 ? QV_RQ_D : QV_RQ_S;
    p->sh = 31 - p->sh;
    break;
  case QV_RQ_NDU:
    p->m = (int32_t)ldexp(frexp(p->M, &e), 31); /* 24 significant bits: exact, below 2^31 */
    p->sh = e;
    p->fn = QV_RQ_S;
    break;
  case QV_RQ_F32:
  case QV_RQ_F64A:
  case QV_RQ_REF:
  case QV_RQ_F32B:
  case QV_RQ_DIV:
  case QV_RQ_TDIV:
  case QV_RQ_MEANF: return false;
  }
  if (p->fn == QV_RQ_S)
    for (; p->m > 0 && p->m < 1 << 30; p->m *= 2) p->sh--;
  if (p->m == 0) p->fn = QV_RQ_S, p->sh = 0;
  return true;
}

/* Parameters of lane l; vmax bounds |v| before the shift by lshift. */
static bool fixed_lane(qv_vstep *v, size_t l, qv_rq_par p, qv_i128 vmax, uint32_t lshift) {
  if (!canonical(&p) || p.sh > 30) return false;
  int r = p.sh < 0 ? -p.sh : 0;
  if (p.fn == QV_RQ_S && r >= 32 && qv_scale2(vmax, (int)lshift) <= INT32_MAX) p.m = 0; /* |v*m| < 2^62 <= 2^(30+r): rounds to 0 */
  if (p.m == 0) r = 0;
  int shl = (int)lshift + (r == 0 ? p.sh : 0) + 1;
  if (p.m == 0) shl = 0;
  if (r > 31 || shl > 31 || qv_scale2(vmax, shl) > INT32_MAX) return false;
  int64_t half = r > 0 ? (int64_t)1 << (r - 1) : 0;
  bool away = p.fn == QV_RQ_D && r > 0 && v->s->lo < v->s->out_zp;
  v->away = v->away || away;
  v->shl[l] = shl;
  v->m[l] = p.m;
  v->half[l] = (int32_t)half;
  v->e[l] = r;
  v->sgn[l] = away ? 31 : 32;
  (l % 2 == 0 ? v->re : v->ro)[l / 2] = p.fn == QV_RQ_S && r > 0 ? 0 : (int64_t)1 << 31;
  return true;
}

/* No lane needs half apart: add it to r. */
static void fold_half(const qv_vstep *v) {
  for (size_t l = 0; l < v->lanes; l++) (l % 2 == 0 ? v->re : v->ro)[l / 2] += (int64_t)v->half[l] << 32;
}

static bool float_lane(const qv_vstep *v, size_t l, qv_rq_par p, qv_i128 vmax, uint32_t lshift) {
  qv_i128 big = qv_scale2(vmax, (int)lshift);
  if (p.fn != QV_RQ_F32 || big > INT32_MAX || (double)big * p.M > 0x1p29) return false;
  v->shl[l] = (int32_t)lshift;
  v->M[l] = (float)p.M;
  return true;
}

static bool div_lane(const qv_vstep *v, size_t l, qv_rq_par p, qv_i128 vmax, uint32_t lshift) {
  if (p.fn != QV_RQ_DIV || qv_scale2(vmax, (int)lshift) >= 1 << 29) return false;
  v->shl[l] = (int32_t)lshift;
  v->d[l] = p.m;
  return true;
}

static bool lane(qv_vstep *v, size_t l, qv_rq_par p, qv_i128 vmax) {
  switch (v->form) {
  case QV_VF_FIXED: return fixed_lane(v, l, p, vmax, v->s->lshift);
  case QV_VF_FLOAT: return float_lane(v, l, p, vmax, v->s->lshift);
  case QV_VF_DIV: return div_lane(v, l, p, vmax, v->s->lshift);
  case QV_VF_NONE: break;
  }
  return false;
}

static bool fill_lanes(qv_vstep *v, const uint32_t *elem, qv_i128 vmax) {
  for (size_t l = 0; l < v->lanes; l++) {
    if (v->d != NULL) v->d[l] = 1;
    if (v->sgn != NULL) v->sgn[l] = 32;
    if (elem[l] != QV_NONE && !lane(v, l, v->s->par[qv_step_channel(v->s, elem[l])], vmax)) return false;
  }
  if (v->form == QV_VF_FIXED && !v->away) fold_half(v);
  return true;
}

static bool alloc_lanes(qv_vstep *v, qv_arena *a) {
  size_t n = v->lanes;
  if ((v->shl = QV_NEW(a, n, int32_t)) == NULL) return false;
  switch (v->form) {
  case QV_VF_FIXED:
    v->m = QV_NEW(a, n + 1, int32_t); /* the odd lanes are loaded from m + 1 */
    v->half = QV_NEW(a, n, int32_t);
    v->e = QV_NEW(a, n, int32_t);
    v->sgn = QV_NEW(a, n, int32_t);
    v->re = QV_NEW(a, n / 2, int64_t);
    v->ro = QV_NEW(a, n / 2, int64_t);
    return v->m != NULL && v->half != NULL && v->e != NULL && v->sgn != NULL && v->re != NULL && v->ro != NULL;
  case QV_VF_FLOAT: return (v->M = QV_NEW(a, n, float)) != NULL;
  case QV_VF_DIV: return (v->d = QV_NEW(a, n, double)) != NULL;
  case QV_VF_NONE: break;
  }
  return true;
}

void qv_vstep_new(const qv_vstep **out, qv_plan *p, const qv_step *s, qv_itv x, size_t lanes, const uint32_t *elem) {
  qv_vstep *v = QV_NEW(&p->arena, 1, qv_vstep);
  *out = v;
  if (v == NULL) return;
  v->s = s;
  v->lanes = lanes;
  qv_i128 lo = (qv_i128)x.lo - s->in_zp, hi = (qv_i128)x.hi - s->in_zp, vmax = -lo > hi ? -lo : hi;
  /* x and x - in_zp must be int32; so must y + out_zp, where FLOAT and DIV have |y| <= 2^29 + 1 */
  bool fits = x.lo >= INT32_MIN && x.hi <= INT32_MAX && vmax <= INT32_MAX && s->out_zp >= -(1 << 29) && s->out_zp <= 1 << 29;
  if (!fits) return;
  qv_rq fn = s->par[qv_step_channel(s, elem[0])].fn;
  v->form = fn == QV_RQ_F32 ? QV_VF_FLOAT : fn == QV_RQ_DIV ? QV_VF_DIV : QV_VF_FIXED;
  if (!alloc_lanes(v, &p->arena)) *out = NULL;
  else if (!fill_lanes(v, elem, vmax)) v->form = QV_VF_NONE;
}

void qv_vstep_periodic(const qv_vstep **out, qv_plan *p, const qv_step *s, qv_itv x, size_t n) {
  uint32_t elem[QV_EW_BLOCK];
  size_t channels = s->idx != NULL ? s->n_idx : s->n_par, period = channels == 1 ? 1 : channels * s->inner, lanes = period;
  while (lanes % QV_PANEL != 0 && lanes <= QV_EW_BLOCK) lanes += period;
  if (lanes > QV_EW_BLOCK || (period > n && period > 1)) { /* the tile is too long to repeat */
    qv_vstep *v = QV_NEW(&p->arena, 1, qv_vstep);
    if (v != NULL) v->s = s;
    *out = v;
    return;
  }
  for (size_t l = 0; l < lanes; l++) elem[l] = (uint32_t)(l % period);
  qv_vstep_new(out, p, s, x, lanes, elem);
}
