/* Threshold nodes: evaluation, image, runs, direction and preimage against counting by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ir/base/rng.h"
#include "kernels/threshold.h"

enum { K = 9, SPAN = 40 };

static uint64_t mult(void) {
  const char *m = getenv("QV_TEST_MULT");
  return m != NULL && atoi(m) > 0 ? (uint64_t)atoi(m) : 1;
}

/* The definition, term by term. */
static int32_t defined(const int64_t *t, const int32_t *v, uint32_t k, int64_t x) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < k; i++) n += t[i] <= x;
  return v[n];
}

static bool is(qv_pre_rel rel, int32_t v, int64_t y) { return rel == QV_PRE_EQ ? v == y : rel == QV_PRE_LE ? v <= y : v >= y; }

static void one(qv_rng *r) {
  int64_t t[K], at = qv_rng_range(r, -SPAN, 0);
  int32_t v[K + 1];
  uint32_t k = (uint32_t)qv_rng_range(r, 0, K);
  for (uint32_t i = 0; i < k; i++) t[i] = at, at += qv_rng_range(r, 1, 9);
  for (uint32_t i = 0; i <= k; i++) v[i] = (int32_t)qv_rng_range(r, -2, 2);
  if (qv_rng_range(r, 0, 3) == 0)
    for (uint32_t i = 0; i <= k; i++) v[i] = (int32_t)i;
  qv_pieces p = {k, t, v};
  qv_itv dom = {qv_rng_range(r, -SPAN - 5, SPAN + 5), 0};
  dom.hi = qv_rng_range(r, dom.lo, SPAN + 6);
  int32_t lo = INT32_MAX, hi = INT32_MIN, before = 0;
  bool up = true, down = true;
  for (int64_t x = dom.lo; x <= dom.hi; x++) {
    int32_t y = defined(t, v, k, x);
    assert_int_equal(qv_pieces_eval(&p, x), y);
    up = up && (x == dom.lo || before <= y);
    down = down && (x == dom.lo || before >= y);
    lo = y < lo ? y : lo;
    hi = y > hi ? y : hi;
    before = y;
    qv_itv run = qv_pieces_run(&p, x);
    assert_true(run.lo <= x && x <= run.hi);
    bool below = false, above = false; /* thresholds at the run's ends, none inside */
    for (uint32_t i = 0; i < k; i++) {
      assert_false(t[i] > run.lo && t[i] <= run.hi);
      below = below || t[i] == run.lo;
      above = above || t[i] == run.hi + 1;
    }
    assert_true(below != (run.lo == INT64_MIN + 1) && above != (run.hi == INT64_MAX - 1));
  }
  qv_itv image = qv_pieces_image(&p, dom);
  assert_true(image.lo == lo && image.hi == hi);
  assert_int_equal(qv_pieces_monotone(&p, dom), up ? 1 : down ? -1 : 0);
  for (int rel = QV_PRE_EQ; rel <= QV_PRE_GE; rel++)
    for (int64_t y = -3; y <= 3; y++) {
      qv_itv out[K + 1];
      uint32_t n = qv_pieces_preimage(out, K + 1, &p, (qv_pre_rel)rel, y, dom), i = 0;
      qv_itv few[1] = {{7, 7}};
      assert_int_equal(qv_pieces_preimage(few, 1, &p, (qv_pre_rel)rel, y, dom), n);
      if (n > 0) assert_true(few[0].lo == out[0].lo && few[0].hi == out[0].hi);
      for (int64_t x = dom.lo; x <= dom.hi; x++) {
        while (i < n && out[i].hi < x) i++;
        assert_int_equal(i < n && out[i].lo <= x, is((qv_pre_rel)rel, defined(t, v, k, x), y));
      }
      for (i = 0; i < n; i++) {
        assert_true(out[i].lo <= out[i].hi && out[i].lo >= dom.lo && out[i].hi <= dom.hi);
        if (i > 0) assert_true(out[i - 1].hi + 1 < out[i].lo); /* maximal */
      }
    }
}

static void test_random(void **state) {
  (void)state;
  uint64_t seed = 2026;
  qv_rng r = {seed};
  print_message("seed %llu\n", (unsigned long long)seed);
  for (uint64_t i = 0; i < 3000 * mult(); i++) one(&r);
}

static void test_ends(void **state) {
  (void)state;
  const int64_t two62 = (int64_t)1 << 62, t[3] = {-two62, 0, two62};
  const int32_t v[4] = {INT32_MIN, 5, -5, INT32_MAX};
  qv_pieces p = {3, t, v};
  assert_int_equal(qv_pieces_eval(&p, -two62), 5);
  assert_int_equal(qv_pieces_eval(&p, -1), 5);
  assert_int_equal(qv_pieces_eval(&p, 0), -5);
  assert_int_equal(qv_pieces_eval(&p, two62 - 1), -5);
  assert_int_equal(qv_pieces_eval(&p, two62), INT32_MAX);
  qv_itv y = qv_pieces_image(&p, (qv_itv){-two62, two62 - 1});
  assert_true(y.lo == -5 && y.hi == 5);
  qv_pieces flat = {0, NULL, v};
  assert_int_equal(qv_pieces_eval(&flat, two62), INT32_MIN);
  qv_itv run = qv_pieces_run(&flat, 0);
  assert_true(run.lo == INT64_MIN + 1 && run.hi == INT64_MAX - 1);
}

/* Channel of element e: floor(e / inner) mod n. */
static void test_channels(void **state) {
  (void)state;
  const int32_t v[3] = {10, 20, 30};
  const qv_pieces par[3] = {{0, NULL, v}, {0, NULL, v + 1}, {0, NULL, v + 2}};
  const qv_threshold h = {.inner = 2, .n_par = 3, .par = par};
  static const int32_t want[] = {10, 10, 20, 20, 30, 30, 10, 10, 20};
  for (size_t e = 0; e < 9; e++) assert_int_equal(qv_pieces_eval(qv_threshold_pieces(&h, e), 0), want[e]);
  const qv_threshold one_par = {.inner = 5, .n_par = 1, .par = par + 2};
  for (size_t e = 0; e < 20; e++) assert_int_equal(qv_threshold_channel(&one_par, e), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_ends), cmocka_unit_test(test_channels)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
