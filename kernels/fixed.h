/* gemmlowp's fixed-point functions (gemmlowp fixedpoint/fixedpoint.h, revision 16e8662), as TFLite's reference kernels use
 * them. Q<i>.<f> is a signed 32-bit number with i integer and f = 31 - i fraction bits. All results are exact restatements
 * of the published integer code (docs/semantics.md section 3). */
#ifndef QV_KERNELS_FIXED_H
#define QV_KERNELS_FIXED_H

#include "kernels/step.h"

/* exp(t), t <= 0 in Q<ib>.<31-ib> with ib = 4 or 5, in Q0.31. */
static inline int64_t qv_fx_exp_neg(int64_t t, int ib) {
  static const int64_t k[7] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242}; /* exp(-2^(i-2)) */
  if (t == 0) return INT32_MAX;
  int quarter = 29 - ib; /* 2^quarter is 1/4 */
  int64_t a = (t & (((int64_t)1 << quarter) - 1)) - ((int64_t)1 << quarter);
  int64_t u = a * ((int64_t)1 << ib) + (1 << 28); /* Q0.31, plus 1/8 */
  int64_t u2 = qv_srdhm(u, u), u3 = qv_srdhm(u2, u), u4 = qv_srdhm(u2, u2);
  int64_t v = qv_rdbp(qv_srdhm(qv_rdbp(u4, 2) + u3, 715827883) + u2, 1);
  int64_t r = 1895147668 + qv_srdhm(1895147668, u + v);
  for (int i = 0; quarter + i < 31; i++)
    if (((a - t) >> (quarter + i)) & 1) r = qv_srdhm(r, k[i]);
  return r;
}

/* 1/d in Q2.29 for d = (1 + y)/2, y in [0,1) in Q0.31: Newton-Raphson from 48/17 - 32/17 d. */
static inline int64_t qv_fx_newton(int64_t y) {
  int64_t d = (int64_t)qv_rha_div((qv_i128)y + INT32_MAX, 2);
  int64_t x = 1515870810 + qv_srdhm(d, -1010580540);
  for (int i = 0; i < 3; i++) x += qv_clamp64(qv_srdhm(x, (1 << 29) - qv_srdhm(d, x)) * 4, INT32_MIN, INT32_MAX);
  return x;
}

/* 1/(1 + y) and (1 - y)/(1 + y), y in [0,1), all Q0.31. */
static inline int64_t qv_fx_recip1p(int64_t y) { return qv_clamp64(qv_fx_newton(y) * 2, INT32_MIN, INT32_MAX); }
static inline int64_t qv_fx_ratio1p(int64_t y) { return qv_clamp64((qv_fx_newton(y) - (1 << 29)) * 4, INT32_MIN, INT32_MAX); }

#endif
