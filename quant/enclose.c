#include "quant/enclose.h"

#include "ir/base/int.h"

#define Q 62 /* fraction bits of the fixed-point numbers below, all of them in [0,1] */
#define TERMS 20
#define HALVINGS 7

typedef struct {
  uint64_t lo, hi; /* in units of 2^-Q */
} fixed;

static const uint64_t one = (uint64_t)1 << Q;

/* a * b / n, rounded outwards; n >= 1. */
static fixed mul(fixed a, fixed b, uint64_t n) {
  qv_u128 l = (qv_u128)a.lo * b.lo / n, h = (qv_u128)a.hi * b.hi;
  h = h / n + (h % n != 0);
  return (fixed){(uint64_t)(l >> Q), (uint64_t)((h + (one - 1)) >> Q)};
}

/* exp(-x) = exp(-y)^128 with y = x/128 <= 1/2; exp(-y) = 1 - y(1 - y/2(1 - y/3(..))), where each bracket lies in [0,1]. */
qv_real qv_enclose_exp_neg(double x) {
  if (!(x > 0)) return (qv_real){1, 1};
  if (x >= 60) return (qv_real){0, 0x1p-86}; /* exp(-60) < 2^-86 */
  uint64_t f = (uint64_t)(x * 0x1p55);       /* floor of y in units of 2^-62; scaling by a power of two is exact */
  fixed y = {f, f + 1}, t = {0, one};
  for (uint64_t k = TERMS; k >= 1; k--) {
    fixed p = mul(y, t, k);
    t = (fixed){one - (p.hi < one ? p.hi : one), one - p.lo};
  }
  for (int i = 0; i < HALVINGS; i++) t = mul(t, t, 1);
  double lo = qv_down((double)t.lo) * 0x1p-62;
  return (qv_real){lo > 0 ? lo : 0, fmin(1, qv_up((double)t.hi) * 0x1p-62)};
}

/* 1/(1+e) and e/(1+e) for e in [0,1]: the first falls with e, the second grows. */
qv_real qv_enclose_sigmoid(double x) {
  qv_real e = qv_enclose_exp_neg(fabs(x));
  if (x >= 0) return (qv_real){qv_down(1 / qv_up(1 + e.hi)), fmin(1, qv_up(1 / qv_down(1 + e.lo)))};
  return (qv_real){fmax(0, qv_down(e.lo / qv_up(1 + e.lo))), qv_up(e.hi / qv_down(1 + e.hi))};
}

/* (1-e)/(1+e) with e = exp(-2x), which falls with e; odd. */
qv_real qv_enclose_tanh(double x) {
  qv_real e = qv_enclose_exp_neg(2 * fabs(x));
  qv_real t = {fmax(0, qv_down(qv_down(1 - e.hi) / qv_up(1 + e.hi))), fmin(1, qv_up(qv_up(1 - e.lo) / qv_down(1 + e.lo)))};
  return x >= 0 ? t : (qv_real){-t.hi, -t.lo};
}
