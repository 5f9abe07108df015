/* The proved error bound: against rational arithmetic on random networks, its lemmas one by one, and that a bound that is too small is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/rng.h"
#include "kernels/step.h"
#include "quant/errpair.h"
#include "tests/error_trial.h"

static uint64_t effort(void) {
  const char *m = getenv("QV_TEST_MULT");
  return m != NULL && atoi(m) > 0 ? (uint64_t)atoi(m) : 1;
}

/* No executed input ever leaves the bound. */
static void test_random(void **state) {
  (void)state;
  et_count c = {0};
  for (uint64_t i = 0; i < 600 * effort() && c.broken[0] == 0; i++) et_trial(&c, 1000003 * 7 + i, 1);
  if (c.broken[0] != 0) fail_msg("%s", c.broken);
  printf("%zu networks, %zu inputs; no finite bound for %zu; of a bound at most %.3f was reached, %.3f on average\n", c.nets, c.points, c.unproved, c.tightest,
         c.share / (double)c.nets);
  assert_true(c.nets > 250);
  assert_true(c.unproved * 20 < c.nets);
  assert_true(c.tightest > 0.9); /* the bound is not just large */
}

/* A bound that is 10 % too small somewhere is found. */
static void test_too_small(void **state) {
  (void)state;
  et_count c = {0};
  for (uint64_t i = 0; i < 600 && c.broken[0] == 0; i++) et_trial(&c, 1000003 * 7 + i, 0.9);
  assert_true(c.broken[0] != 0);
}

/* Lemma E1: each requantization is as near its line as claimed. */
static void test_requantization(void **state) {
  (void)state;
  qv_rng r = {99};
  static const qv_rq fn[] = {QV_RQ_D,    QV_RQ_U,   QV_RQ_S,    QV_RQ_64,  QV_RQ_T,   QV_RQ_TD,   QV_RQ_F32,
                             QV_RQ_NDU,  QV_RQ_F64A, QV_RQ_REF, QV_RQ_F32B, QV_RQ_DIV, QV_RQ_TDIV, QV_RQ_MEANF};
  double most[sizeof fn / sizeof fn[0]] = {0};
  for (uint64_t i = 0; i < 300000 * effort(); i++) {
    size_t k = i % (sizeof fn / sizeof fn[0]);
    qv_rq_par p = {.fn = fn[k]};
    int64_t v = qv_rng_range(&r, -(1 << 24), 1 << 24), zp = qv_rng_range(&r, -128, 255);
    if (fn[k] == QV_RQ_D || fn[k] == QV_RQ_U || fn[k] == QV_RQ_S || fn[k] == QV_RQ_64)
      p.m = (int32_t)qv_rng_range(&r, 1 << 30, INT32_MAX), p.sh = (int)qv_rng_range(&r, -20, 4);
    else if (fn[k] == QV_RQ_T || fn[k] == QV_RQ_TD) p.m = (int32_t)qv_rng_range(&r, 1 << 30, INT32_MAX), p.sh = (int)qv_rng_range(&r, 28, 48);
    else if (fn[k] == QV_RQ_DIV || fn[k] == QV_RQ_TDIV || fn[k] == QV_RQ_MEANF) p.m = (int32_t)qv_rng_range(&r, 1, 500);
    p.M = (double)(float)ldexp((double)qv_rng_range(&r, 1 << 23, 1 << 24), (int)qv_rng_range(&r, -38, -22));
    if (fn[k] == QV_RQ_D || fn[k] == QV_RQ_U || fn[k] == QV_RQ_S || fn[k] == QV_RQ_64 || fn[k] == QV_RQ_T || fn[k] == QV_RQ_TD || fn[k] == QV_RQ_DIV || fn[k] == QV_RQ_TDIV)
      p.M = 0;
    p.B = fn[k] == QV_RQ_F32B || fn[k] == QV_RQ_MEANF ? (double)(float)((double)qv_rng_range(&r, -5000, 5000) / 7) : 0;
    qv_rq_line l = qv_rq_as_line(&p, zp);
    long double line = (long double)l.mu * (long double)v, d = fabsl((long double)qv_rq_eval(&p, v, zp) - line - (long double)l.off);
    if (!(d <= (long double)l.alpha + (long double)l.beta * fabsl(line) + 1e-12L)) fail_msg("%s: v = %lld: off by %Lg, claimed %g", qv_rq_name(fn[k]), (long long)v, d, l.alpha);
    most[k] = fmax(most[k], (double)d);
  }
  for (size_t k = 0; k < sizeof fn / sizeof fn[0]; k++) assert_true(most[k] > 0.4); /* roundings happen */
}

/* Enclosures contain what the C library computes in long double, and are narrow. */
static void test_enclosures(void **state) {
  (void)state;
  qv_rng r = {5};
  for (int i = 0; i < 20000; i++) {
    double x = (double)qv_rng_range(&r, -1000000, 1000000) / (i % 3 == 0 ? 1e3 : i % 3 == 1 ? 1e5 : 1e7);
    qv_real e = qv_enclose_exp_neg(fabs(x)), s = qv_enclose_sigmoid(x), t = qv_enclose_tanh(x);
    long double we = expl(-fabsl((long double)x)), ws = 1 / (1 + expl(-(long double)x)), wt = tanhl((long double)x), slack = 1e-18L;
    if (!((long double)e.lo <= we + slack && we <= (long double)e.hi + slack && e.hi - e.lo < 1e-15)) fail_msg("exp(-%g): [%.17g,%.17g]", fabs(x), e.lo, e.hi);
    if (!((long double)s.lo <= ws + slack && ws <= (long double)s.hi + slack && s.hi - s.lo < 2e-15)) fail_msg("sigmoid(%g): [%.17g,%.17g]", x, s.lo, s.hi);
    if (!((long double)t.lo <= wt + slack && wt <= (long double)t.hi + slack && t.hi - t.lo < 4e-15)) fail_msg("tanh(%g): [%.17g,%.17g]", x, t.lo, t.hi);
  }
  /* to 40 digits, from tables: exp(-1), tanh(1/2), 1/(1+exp(1)) */
  assert_true(qv_enclose_exp_neg(1).lo <= 0.36787944117144233 && qv_enclose_exp_neg(1).hi >= 0.36787944117144232);
  assert_true(qv_enclose_tanh(0.5).lo <= 0.46211715726000976 && qv_enclose_tanh(0.5).hi >= 0.46211715726000975);
  assert_true(qv_enclose_sigmoid(-1).lo <= 0.26894142136999513 && qv_enclose_sigmoid(-1).hi >= 0.26894142136999512);
  assert_true(qv_enclose_exp_neg(0).lo <= 1 && qv_enclose_exp_neg(0).hi >= 1 && qv_enclose_exp_neg(1e300).lo >= 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_enclosures),
      cmocka_unit_test(test_requantization),
      cmocka_unit_test(test_random),
      cmocka_unit_test(test_too_small),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
