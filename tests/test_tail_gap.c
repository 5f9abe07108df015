/* Lemmas S7 and S8 (docs/semantics.md section 9) against the reference kernels. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/tail_gap.h"
#include "ir/base/rng.h"
#include "kernels/fixed.h"
#include "kernels/tail.h"

static double mult(void) {
  const char *e = getenv("QV_TEST_MULT");
  return e != NULL && atof(e) > 0 ? atof(e) : 1.0;
}

/* Every 2^31 / (2^21 * effort)-th argument, all of them from effort 1024 on: neighbours differ little, so a stride shows the
 * bound's shape, and only the complete run establishes it. */
static void reciprocal(void **state) {
  (void)state;
  int64_t step = (int64_t)(1024 / fmin(1024, mult() * 4)), worst = 0;
  step = step < 1 ? 1 : step;
  for (int64_t y = step - 1; y < (int64_t)1 << 31; y += step) {
    int64_t r = qv_fx_recip1p(y), d = ((int64_t)1 << 31) + y, e = r * d - ((int64_t)1 << 62); /* below 2^63 */
    e = e < 0 ? -e : e;
    if (e > 7 * d) fail_msg("RECIP(%lld) is off by more than 7", (long long)y);
    if (e > worst * d) worst = (e + d - 1) / d;
    assert_true(r >= 1073741820);
  }
  printf("reciprocal, every %lld-th argument: at most %lld off\n", (long long)step, (long long)worst);
  /* the worst argument of the complete run */
  int64_t d = ((int64_t)1 << 31) + 257727, e = qv_fx_recip1p(257727) * d - ((int64_t)1 << 62);
  assert_true(llabs(e) > 6 * d);
}

static qv_tail random_tail(qv_rng *r, float exp[256]) {
  qv_tail t = {0};
  double beta = exp2((double)qv_rng_range(r, -120, 10) / 10.0); /* per step of the input */
  bool wide = qv_rng_next(r) % 4 == 0;
  t.out_bits = wide ? 16 : 8;
  t.lo = wide ? -32768 : qv_rng_next(r) & 1 ? -128 : 0;
  t.hi = t.lo + (wide ? 65535 : 255);
  t.out_zp = t.lo + (qv_rng_next(r) % 8 == 0 ? qv_rng_range(r, -3, 140) : 0);
  if (qv_rng_next(r) & 1) {
    int e;
    double q = frexp(beta * 67108864.0, &e); /* Q5.26 */
    t.fn = QV_TAIL_SOFTMAX_Q;
    t.mult = (int32_t)fmin(round(q * 2147483648.0), 2147483647.0);
    t.ls = e > 0 ? (e < 30 ? e : 30) : 0;
    t.diff_min = -(int32_t)fmin(1e6, floor(31.0 * 67108864.0 / ldexp(1, t.ls)));
    if (qv_rng_next(r) % 8 == 0) t.diff_min = -(int32_t)qv_rng_range(r, 0, 40);
  } else {
    t.fn = QV_TAIL_SOFTMAX_F;
    t.out_bits = 0;
    for (int i = 0; i < 256; i++) exp[i] = expf((float)(-beta * (255 - i)));
    t.exp = exp;
    t.out_scale = ldexpf(1, wide ? -12 : -8);
    t.round = qv_rng_next(r) & 1 ? QV_TR_AWAY : QV_TR_HALF_UP_TRUNC;
  }
  return t;
}

/* Rows in which the maximum and one entry are `d` apart: the other entries close to the top make the results small. */
static void fill(qv_rng *r, int64_t *x, size_t n, int64_t d) {
  int64_t spread = qv_rng_next(r) % 3 == 0 ? 255 : qv_rng_range(r, 0, 12);
  for (size_t i = 0; i < n; i++) x[i] = 127 - qv_rng_range(r, 0, spread);
  if (qv_rng_next(r) & 1)
    for (size_t i = 0; i < n; i++) x[i] = 127;
  x[0] = 127;
  x[1] = 127 - d;
}

static void gaps(void **state) {
  (void)state;
  int with = 0, without = 0, sharp = 0, checked = 0;
  for (int it = 0; it < 3000 * mult(); it++) {
    qv_rng r = {5100 + (uint64_t)it};
    float exp[256];
    qv_tail t = random_tail(&r, exp);
    size_t n = (size_t)qv_rng_range(&r, 2, 40);
    int g = qv_tail_gap(&t, n);
    bool ordered = qv_tail_ordered(&t);
    *(g > 0 ? &with : &without) += 1;
    bool tie = false;
    for (int k = 0; k < 40; k++) {
      int64_t x[40], y[40];
      int64_t d = g > 0 ? qv_rng_next(&r) & 1 ? g : qv_rng_range(&r, g, 255) : qv_rng_range(&r, 0, 255);
      fill(&r, x, n, d);
      qv_tail_row(y, x, n, &t);
      for (size_t i = 0; i < n && ordered; i++)
        for (size_t j = 0; j < n; j++)
          if (x[i] <= x[j] && y[i] > y[j]) fail_msg("seed %d: not ordered", 5100 + it);
      for (size_t j = 0; j < n && g > 0; j++)
        if (x[0] - x[j] >= g && y[0] <= y[j]) fail_msg("seed %d: a gap of %d ties", 5100 + it, g);
      checked++;
      if (g < 2) continue;
      fill(&r, x, n, g - 1);
      for (size_t i = 2; i < n; i++) x[i] = qv_rng_next(&r) % (uint64_t)(k + 1) == 0 ? 127 : 127 - qv_rng_range(&r, 0, 40);
      qv_tail_row(y, x, n, &t);
      tie |= y[0] == y[1];
    }
    sharp += g < 2 || tie;
  }
  printf("%d tails with a gap, %d without; %d of the gaps are minimal; %d rows\n", with, without, sharp, checked);
  assert_true(with > 500 * fmin(1, mult()) && without > 50 * fmin(1, mult()));
  assert_true(sharp > with / 2); /* no tail is sent to the enumeration for nothing */
}

/* Tails of real nets, and ones that S7 must turn away. */
static void examples(void **state) {
  (void)state;
  float exp[256];
  for (int i = 0; i < 256; i++) exp[i] = expf((float)(-0.15 * (255 - i)));
  qv_tail f = {.fn = QV_TAIL_SOFTMAX_F, .exp = exp, .out_scale = 1.0f / 256, .lo = -128, .hi = 127, .out_zp = -128};
  assert_int_equal(qv_tail_gap(&f, 10), 1);
  assert_int_equal(qv_tail_gap(&f, 1), 0);
  assert_int_equal(qv_tail_gap(&f, 60000), 0);
  f.hi = 0; /* both entries of a pair can be clipped to 0 */
  assert_int_equal(qv_tail_gap(&f, 10), 0);
  f.hi = 127;
  f.lo = -100; /* two small results are both -100 */
  assert_int_equal(qv_tail_gap(&f, 10), 0);
  qv_tail q = {.fn = QV_TAIL_SOFTMAX_Q, .mult = 1 << 30, .ls = 24, .diff_min = -200, .out_bits = 8, .lo = -128, .hi = 127, .out_zp = -128};
  assert_true(qv_tail_ordered(&q));
  assert_int_equal(qv_tail_gap(&q, 10), 1);
  q.mult = 0; /* all entries equal, whatever the row */
  assert_int_equal(qv_tail_gap(&q, 10), 201);
  q.diff_min = -300;
  assert_int_equal(qv_tail_gap(&q, 10), 0);
  qv_tail s = {.fn = QV_TAIL_SOFTMAX_16};
  assert_int_equal(qv_tail_gap(&s, 10), 0);
  assert_true(qv_tail_ordered(&s));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(reciprocal), cmocka_unit_test(gaps), cmocka_unit_test(examples)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
