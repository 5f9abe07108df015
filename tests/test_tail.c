/* Softmax tails against a second implementation in the published int32 forms (gemmlowp fixedpoint.h, TFLite softmax.h and
 * common.h), against real arithmetic within the formats' resolution, and for order preservation. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ir/base/rng.h"
#include "kernels/fixed.h"
#include "kernels/tail.h"

/* ---- published forms in int32 -------------------------------------------------------------------------------------------- */

static int32_t srdhm(int32_t a, int32_t b) {
  if (a == b && a == INT32_MIN) return INT32_MAX;
  int64_t ab = (int64_t)a * b;
  return (int32_t)((ab + (ab >= 0 ? 1 << 30 : 1 - (1 << 30))) / ((int64_t)1 << 31));
}

static int32_t rdbp(int32_t x, int e) {
  int32_t mask = (int32_t)((1LL << e) - 1), rem = x & mask, thr = (mask >> 1) + (x < 0);
  return (x >> e) + (rem > thr);
}

static int32_t sat_shl(int32_t x, int e) {
  int64_t v = (int64_t)x * ((int64_t)1 << e);
  return v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : (int32_t)v;
}

static int32_t exp_interval(int32_t a) { /* [-1/4, 0), Q0.31 */
  int32_t x = a + (1 << 28), x2 = srdhm(x, x), x3 = srdhm(x2, x), x4 = srdhm(x2, x2), x4_4 = rdbp(x4, 2);
  int32_t t = rdbp(srdhm(x4_4 + x3, 715827883) + x2, 1);
  return 1895147668 + srdhm(1895147668, x + t);
}

static int32_t exp_neg(int32_t a) { /* Q5.26 -> Q0.31 */
  static const int32_t k[] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
  int32_t m = (a & ((1 << 24) - 1)) - (1 << 24), r = exp_interval(sat_shl(m, 5)), rem = m - a;
  for (int i = 0; i < 7; i++)
    if (rem & (1 << (24 + i))) r = srdhm(r, k[i]);
  return a == 0 ? INT32_MAX : r;
}

static int32_t recip(int32_t a) { /* 1/(1+a) */
  int64_t sum = (int64_t)a + INT32_MAX;
  int32_t hd = (int32_t)((sum + (sum >= 0 ? 1 : -1)) / 2), x = 1515870810 + srdhm(hd, -1010580540);
  for (int i = 0; i < 3; i++) x += sat_shl(srdhm(x, (1 << 29) - srdhm(hd, x)), 2);
  return sat_shl(x, 1);
}

static void row_q(int32_t *y, const int32_t *x, int n, const qv_tail *t) {
  int32_t max = INT32_MIN, sum = 0;
  for (int i = 0; i < n; i++) max = x[i] > max ? x[i] : max;
  for (int i = 0; i < n; i++)
    if (x[i] - max >= t->diff_min) sum += rdbp(exp_neg(srdhm((x[i] - max) * (1 << t->ls), t->mult)), 12);
  int head = __builtin_clz((unsigned)sum);
  int32_t scale = recip((int32_t)(((uint32_t)sum << head) - (1u << 31)));
  for (int i = 0; i < n; i++) {
    if (x[i] - max < t->diff_min) {
      y[i] = (int32_t)t->lo;
      continue;
    }
    int32_t e = exp_neg(srdhm((x[i] - max) * (1 << t->ls), t->mult));
    int32_t v = rdbp(srdhm(scale, e), 12 - head + 31 - t->out_bits) + (int32_t)t->out_zp;
    y[i] = v > t->hi ? (int32_t)t->hi : v < t->lo ? (int32_t)t->lo : v;
  }
}

static int16_t lut_lookup(int16_t v, const int16_t *lut) {
  uint16_t index = (uint16_t)(256 + (v >> 7));
  int16_t offset = v & 0x7f, base = lut[index], slope = (int16_t)(lut[index + 1] - lut[index]);
  return (int16_t)(base + ((slope * offset + 64) >> 7));
}

static void row_16(int32_t *y, const int32_t *x, int n, const qv_tail *t) {
  int32_t max = INT32_MIN, sum = 0;
  for (int i = 0; i < n; i++) max = x[i] > max ? x[i] : max;
  for (int i = 0; i < n; i++) {
    int32_t left = t->ls > 0 ? t->ls : 0, right = t->ls > 0 ? 0 : -t->ls;
    int32_t d = rdbp(srdhm((x[i] - max) * (1 << left), t->mult), right) + 32767;
    y[i] = lut_lookup((int16_t)(d < -32768 ? -32768 : d > 32767 ? 32767 : d), t->lut);
    sum += y[i];
  }
  int head = __builtin_clz((unsigned)sum);
  int32_t shifted = (int32_t)((((int64_t)sum << (head - 1)) + (1 << 13)) >> 14), sym = shifted - ((1 << 15) + (1 << 16));
  int16_t r = lut_lookup((int16_t)(sym < -32768 ? -32768 : sym > 32767 ? 32767 : sym), t->lut + 513);
  int right = 31 - head;
  for (int i = 0; i < n; i++) {
    int32_t v = (int32_t)(((int64_t)y[i] * r + ((int64_t)1 << (right - 1))) >> right);
    y[i] = v < 0 ? 0 : v > 32767 ? 32767 : v;
  }
}

/* ---- tests ---------------------------------------------------------------------------------------------------------------- */

static void functions(void **state) {
  (void)state;
  qv_rng r = {12};
  for (int i = 0; i < 20000; i++) {
    int32_t t = (int32_t)-qv_rng_range(&r, 0, INT32_MAX >> qv_rng_range(&r, 0, 12));
    assert_int_equal(qv_fx_exp_neg(t, 5), exp_neg(t));
    assert_true(fabs((double)qv_fx_exp_neg(t, 5) - ldexp(exp(ldexp(t, -26)), 31)) < 3000); /* about 2^-20 */
    int32_t y = (int32_t)qv_rng_range(&r, 0, INT32_MAX);
    assert_int_equal(qv_fx_recip1p(y), recip(y));
    assert_true(fabs((double)qv_fx_recip1p(y) - ldexp(1 / (1 + ldexp(y, -31)), 31)) < 64);
  }
}

static void compare(const qv_tail *t, int n, int lo, int hi, qv_rng *r, void (*row)(int32_t *, const int32_t *, int, const qv_tail *)) {
  int64_t x[40] = {0}, y[40];
  int32_t x32[40] = {0}, want[40];
  int64_t centre = qv_rng_range(r, lo, hi), spread = qv_rng_range(r, 0, hi - lo);
  for (int i = 0; i < n; i++) x[i] = x32[i] = (int32_t)qv_clamp64(centre + qv_rng_range(r, -spread, spread), lo, hi);
  qv_tail_row(y, x, (size_t)n, t);
  row(want, x32, n, t);
  for (int i = 0; i < n; i++) {
    assert_int_equal(y[i], want[i]);
    for (int j = 0; j < i; j++) assert_true(x[i] < x[j] ? y[i] <= y[j] : x[i] > x[j] ? y[i] >= y[j] : y[i] == y[j]);
  }
}

static void softmax_q(void **state) {
  (void)state;
  qv_rng r = {13};
  print_message("seed 13\n");
  for (int i = 0; i < 5000; i++) {
    int wide = i % 3 == 0, ls = (int)qv_rng_range(&r, 16, 23);
    qv_tail t = {.fn = QV_TAIL_SOFTMAX_Q, .mult = (int32_t)qv_rng_range(&r, 1 << 30, INT32_MAX), .ls = ls,
                 .diff_min = -(int32_t)((31.0 * (1 << 26)) / (1 << ls)), .out_bits = wide ? 16 : 8,
                 .out_zp = wide ? -32768 : -128, .lo = wide ? -32768 : -128, .hi = wide ? 32767 : 127};
    if (t.diff_min < -255) t.diff_min = -255 - (int32_t)qv_rng_range(&r, 0, 9);
    compare(&t, (int)qv_rng_range(&r, 1, 40), -128, 127, &r, row_q);
  }
}

static void softmax_16(void **state) {
  (void)state;
  int16_t lut[1026];
  for (int i = 0; i < 513; i++) {
    lut[i] = (int16_t)fmin(32767, round(32768 * exp(-10 + 10.0 * i / 512)));
    lut[513 + i] = (int16_t)fmin(32767, round(32768 / (1 + i / 512.0)));
  }
  qv_rng r = {14};
  print_message("seed 14\n");
  for (int i = 0; i < 5000; i++) {
    qv_tail t = {.fn = QV_TAIL_SOFTMAX_16, .mult = (int32_t)qv_rng_range(&r, 1 << 30, INT32_MAX), .ls = (int32_t)qv_rng_range(&r, -3, 2),
                 .rq = QV_RQ_D, .lut = lut, .lo = 0, .hi = 32767};
    compare(&t, (int)qv_rng_range(&r, 1, 40), -3000, 3000, &r, row_16);
  }
}

/* Float softmax: rounding modes told apart by hand-made values. */
static void softmax_f(void **state) {
  (void)state;
  float e[256] = {0};
  e[255] = 1.0f;
  e[254] = 0.5f;
  e[253] = 0.25f;
  qv_tail t = {.fn = QV_TAIL_SOFTMAX_F, .exp = e, .out_scale = 1.0f / 256, .lo = 0, .hi = 255};
  int64_t x[3] = {7, 6, 5}, y[3]; /* sum 1.75: 146.29, 73.14, 36.57 */
  qv_tail_row(y, x, 3, &t);
  assert_int_equal(y[0], 146);
  assert_int_equal(y[1], 73);
  assert_int_equal(y[2], 37);
  int64_t z[2] = {0, 0}, w[2];
  t.out_scale = 1.0f / 5; /* 2.5 each */
  qv_tail_row(w, z, 2, &t);
  assert_int_equal(w[0], 3);
  t.round = QV_TR_HALF_UP_TRUNC;
  qv_tail_row(w, z, 2, &t);
  assert_int_equal(w[1], 3);
  t.hi = 2;
  qv_tail_row(w, z, 2, &t);
  assert_int_equal(w[1], 2);
}

int main(void) {
  const struct CMUnitTest t[] = {cmocka_unit_test(functions), cmocka_unit_test(softmax_q), cmocka_unit_test(softmax_16),
                                 cmocka_unit_test(softmax_f)};
  return cmocka_run_group_tests(t, NULL, NULL);
}
