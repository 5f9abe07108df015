#include "kernels/tail.h"

#include <math.h>

#include "kernels/fixed.h"

static int64_t row_max(const int64_t *x, size_t n) {
  int64_t m = x[0];
  for (size_t i = 1; i < n; i++) m = qv_max64(m, x[i]);
  return m;
}

/* ---- fixed-point softmax: scaled difference in Q5.26, sum in Q12.19 ----------------------------------------------------- */

int64_t qv_tail_exp(const qv_tail *t, int64_t d) {
  return qv_fx_exp_neg(qv_srdhm((int64_t)qv_scale2(d, t->ls), t->mult), 5);
}

static void softmax_q(int64_t *y, const int64_t *x, size_t n, const qv_tail *t) {
  int64_t max = row_max(x, n), sum = 0;
  for (size_t i = 0; i < n; i++)
    if (x[i] - max >= t->diff_min) sum += qv_rdbp(qv_tail_exp(t, x[i] - max), 12);
  int h = __builtin_clz((uint32_t)sum); /* sum >= EXP(0) > 0, and < 2^32 (qv_ir_check bounds n) */
  int64_t r = qv_fx_recip1p((int64_t)((uint64_t)sum << h) - ((int64_t)1 << 31));
  int shift = (12 - h) + 31 - t->out_bits;
  for (size_t i = 0; i < n; i++) {
    int64_t d = x[i] - max;
    y[i] = d < t->diff_min ? t->lo : qv_clamp64(qv_rdbp(qv_srdhm(r, qv_tail_exp(t, d)), shift) + t->out_zp, t->lo, t->hi);
  }
}

/* ---- binary32 softmax over a table, evaluation order as written ------------------------------------------------------- */

static void softmax_f(int64_t *y, const int64_t *x, size_t n, const qv_tail *t) {
  int64_t max = row_max(x, n);
  float sum = 0.0f;
  for (size_t i = 0; i < n; i++) sum += t->exp[255 - (max - x[i])];
  float inv = 1.0f / (sum * t->out_scale);
  for (size_t i = 0; i < n; i++) {
    float p = t->exp[255 - (max - x[i])] * inv;
    float r = t->round == QV_TR_AWAY ? roundf(p) : truncf(p + 0.5f);
    y[i] = qv_clamp64((int64_t)r + t->out_zp, t->lo, t->hi);
  }
}

/* ---- int16 softmax: two 512-segment tables --------------------------------------------------------------------------- */

/* Piecewise linear table over [-32768, 32767], 128 inputs a segment. */
static int64_t lut16(const int16_t *lut, int64_t v) {
  int64_t i = 256 + (v >> 7), off = v & 0x7f;
  int64_t slope = (int16_t)(lut[i + 1] - lut[i]);
  return (int16_t)(lut[i] + ((slope * off + 64) >> 7));
}

static void softmax_16(int64_t *y, const int64_t *x, size_t n, const qv_tail *t) {
  qv_rq_par p = {.fn = t->rq, .m = t->mult, .sh = t->ls};
  int64_t max = row_max(x, n), sum = 0;
  for (size_t i = 0; i < n; i++) {
    int64_t d = qv_rq_eval(&p, x[i] - max, 0);
    y[i] = lut16(t->lut, qv_clamp64(d + 32767, INT16_MIN, INT16_MAX)); /* exponential, Q0.15 */
    sum += y[i];
  }
  int h = __builtin_clz((uint32_t)sum); /* 1 <= h: the entry of the maximum is positive, n * 32767 < 2^31 */
  int64_t s = (int64_t)(((uint64_t)sum << (h - 1)) + (1 << 13)) >> 14;
  int64_t r = lut16(t->lut + 513, qv_clamp64(s - ((1 << 15) + (1 << 16)), INT16_MIN, INT16_MAX));
  int shift = 31 - h;
  for (size_t i = 0; i < n; i++)
    y[i] = qv_clamp64(((y[i] * r + ((int64_t)1 << (shift - 1))) >> shift) + t->out_zp, t->lo, t->hi);
}

void qv_tail_row(int64_t *y, const int64_t *x, size_t n, const qv_tail *t) {
  switch (t->fn) {
  case QV_TAIL_SOFTMAX_Q: softmax_q(y, x, n, t); return;
  case QV_TAIL_SOFTMAX_F: softmax_f(y, x, n, t); return;
  case QV_TAIL_SOFTMAX_16: softmax_16(y, x, n, t); return;
  }
}
