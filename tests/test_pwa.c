/* Numbers p + q*sqrt(r) against 400-bit floating point with exact ties by construction; piecewise affine functions against evaluation
 * point by point; rounding functions against their definitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "frontend/pwa.h"
#include "ir/base/rng.h"
#include "kernels/threshold.h"

static int mult(void) {
  const char *m = getenv("QV_TEST_MULT");
  return m != NULL && atoi(m) > 0 ? atoi(m) : 1;
}

static void set(qv_surd *x, long pn, unsigned long pd, long qn, unsigned long qd, unsigned long r) {
  mpq_set_si(x->p, pn, pd);
  mpq_set_si(x->q, qn, qd);
  mpq_set_ui(x->r, qn != 0 ? r : 0, 1);
  mpq_canonicalize(x->p);
  mpq_canonicalize(x->q);
}

/* Not the square of an integer, and without a square factor that a second spelling could use. */
static const unsigned long roots[] = {2, 3, 5, 6, 7, 10, 15, 101};

static void random_surd(qv_rng *r, qv_surd *x, unsigned long root) {
  long q = qv_rng_range(r, 0, 2) == 0 ? 0 : (long)qv_rng_range(r, -50, 50);
  set(x, (long)qv_rng_range(r, -200, 200), (unsigned long)qv_rng_range(r, 1, 12), q, (unsigned long)qv_rng_range(r, 1, 9), root);
}

/* Value in 400 bits: far more than sums of these sizes can cancel. */
static void value(mpf_t v, const qv_surd *x) {
  mpf_t t;
  mpf_init2(t, 400);
  mpf_set_q(v, x->r);
  mpf_sqrt(v, v);
  mpf_set_q(t, x->q);
  mpf_mul(v, v, t);
  mpf_set_q(t, x->p);
  mpf_add(v, v, t);
  mpf_clear(t);
}

static bool close_to(const mpf_t a, const mpf_t b) {
  mpf_t d;
  mpf_init2(d, 400);
  mpf_sub(d, a, b);
  mpf_abs(d, d);
  bool ok = mpf_cmp_d(d, 1e-80) < 0;
  mpf_clear(d);
  return ok;
}

static void test_surd(void **state) {
  (void)state;
  qv_rng r = {11};
  qv_surd x, y, z;
  mpf_t vx, vy, vz, w;
  mpz_t k;
  qv_surd_init(&x), qv_surd_init(&y), qv_surd_init(&z);
  mpf_init2(vx, 400), mpf_init2(vy, 400), mpf_init2(vz, 400), mpf_init2(w, 400);
  mpz_init(k);
  for (int i = 0; i < 4000 * mult(); i++) {
    unsigned long root = roots[qv_rng_range(&r, 0, 7)];
    random_surd(&r, &x, root);
    random_surd(&r, &y, root);
    value(vx, &x);
    value(vy, &y);
    assert_true(qv_surd_add(&z, &x, &y));
    value(vz, &z), mpf_add(w, vx, vy);
    assert_true(close_to(vz, w));
    assert_true(qv_surd_sub(&z, &x, &y));
    value(vz, &z), mpf_sub(w, vx, vy);
    assert_true(close_to(vz, w));
    int c;
    assert_true(qv_surd_cmp(&c, &x, &y));
    bool equal = mpq_equal(x.p, y.p) && mpq_equal(x.q, y.q);
    assert_int_equal(c, equal ? 0 : mpf_cmp(vx, vy) > 0 ? 1 : -1);
    assert_true(qv_surd_mul(&z, &x, &y));
    value(vz, &z), mpf_mul(w, vx, vy);
    assert_true(close_to(vz, w));
    bool zero = mpq_sgn(y.p) == 0 && mpq_sgn(y.q) == 0;
    assert_int_equal(qv_surd_div(&z, &x, &y), !zero);
    if (!zero) {
      value(vz, &z), mpf_div(w, vx, vy);
      assert_true(close_to(vz, w));
    }
    bool whole = qv_surd_floor(k, &x);
    mpf_set_z(w, k);
    assert_true(mpf_cmp(w, vx) <= 0 && whole == (mpf_cmp(w, vx) == 0));
    mpf_add_ui(w, w, 1);
    assert_true(mpf_cmp(w, vx) > 0);
    assert_int_equal(qv_surd_sign(&x), mpq_sgn(x.p) == 0 && mpq_sgn(x.q) == 0 ? 0 : mpf_sgn(vx));
    for (int strict = 0; strict < 2; strict++) { /* the float at the order number is the first at or above, the one before is not */
      int32_t o = qv_surd_order(&x, strict);
      mpf_set_d(w, (double)qv_f32_of_order(o));
      int at = mpf_cmp(w, vx);
      if (qv_surd_rational(&x) && close_to(w, vx)) { /* decide a tie of rationals exactly */
        assert_true(qv_surd_set_f64(&z, (double)qv_f32_of_order(o)) && qv_surd_cmp(&at, &z, &x));
      }
      assert_true(strict ? at > 0 : at >= 0);
      mpf_set_d(w, (double)qv_f32_of_order(o - 1));
      at = mpf_cmp(w, vx);
      if (qv_surd_rational(&x)) assert_true(qv_surd_set_f64(&z, (double)qv_f32_of_order(o - 1)) && qv_surd_cmp(&at, &z, &x));
      assert_true(strict ? at <= 0 : at < 0);
    }
  }
  /* roots of squares are rational; different roots do not meet; sizes end */
  set(&x, 9, 4, 0, 1, 0);
  assert_true(qv_surd_sqrt(&z, &x) && qv_surd_rational(&z) && mpq_cmp_ui(z.p, 3, 2) == 0);
  set(&x, 8, 9, 0, 1, 0);
  assert_true(qv_surd_sqrt(&z, &x) && !qv_surd_rational(&z) && qv_surd_mul(&y, &z, &z) && qv_surd_rational(&y) && mpq_equal(y.p, x.p));
  set(&x, -1, 1, 0, 1, 0);
  assert_false(qv_surd_sqrt(&z, &x));
  set(&x, 1, 2, 1, 3, 2);
  set(&y, 1, 2, 1, 3, 3);
  assert_false(qv_surd_add(&z, &x, &y) || qv_surd_mul(&z, &x, &y) || qv_surd_div(&z, &x, &y));
  assert_false(qv_surd_set_f64(&z, NAN) || qv_surd_set_f64(&z, INFINITY));
  set(&x, 3, 1, 0, 1, 0);
  bool ok = true;
  for (int i = 0; i < 20 && ok; i++) ok = qv_surd_mul(&x, &x, &x);
  assert_false(ok);
  qv_surd_clear(&x), qv_surd_clear(&y), qv_surd_clear(&z);
  mpf_clears(vx, vy, vz, w, NULL);
  mpz_clear(k);
}

/* Infinite ends of the order numbers. */
static void test_order(void **state) {
  (void)state;
  qv_surd x;
  qv_surd_init(&x);
  assert_true(qv_surd_set_f64(&x, 0) && qv_surd_order(&x, false) == 0 && qv_surd_order(&x, true) == 1);
  assert_true(qv_surd_set_f64(&x, 0x1.fffffep127) && qv_surd_order(&x, false) == QV_F32_ORDER_MAX - 1 &&
              qv_surd_order(&x, true) == QV_F32_ORDER_MAX);
  assert_true(qv_surd_set_f64(&x, 1e300) && qv_surd_order(&x, false) == QV_F32_ORDER_MAX);
  assert_true(qv_surd_set_f64(&x, -1e300) && qv_surd_order(&x, false) == -QV_F32_ORDER_MAX + 1);
  assert_true(qv_surd_set_f64(&x, 1e-320) && qv_surd_order(&x, false) == 1);
  qv_surd_clear(&x);
}

/* ---- rounding ---------------------------------------------------------------------------------------------------------------- */

/* By definition, of n/16. */
static long defined(qv_rounding m, long n) {
  double u = (double)n / 16, f = floor(u), c = ceil(u), a = fabs(u);
  int s = u < 0 ? -1 : 1;
  switch (m) {
  case QV_ROUND_EVEN: return lrint(u);
  case QV_ROUND_CEIL: return (long)c;
  case QV_ROUND_FLOOR: return (long)f;
  case QV_ROUND_UP: return (long)(u < 0 ? f : c);
  case QV_ROUND_DOWN: return (long)(u < 0 ? c : f);
  case QV_ROUND_HALF_UP: return s * (long)floor(a + 0.5);
  case QV_ROUND_HALF_DOWN: return s * (long)ceil(a - 0.5);
  }
  return 0;
}

static void test_rounding(void **state) {
  (void)state;
  qv_surd u, y;
  qv_surd_init(&u), qv_surd_init(&y);
  for (int m = QV_ROUND_EVEN; m <= QV_ROUND_HALF_DOWN; m++) {
    qv_pwa *f = qv_pwa_round((qv_rounding)m, -5, 4);
    assert_non_null(f);
    assert_true(qv_pwa_is_step(f) && qv_pwa_rises(f));
    for (long n = -140; n <= 140; n++) {
      set(&u, n, 16, 0, 1, 0);
      assert_true(qv_pwa_at(&y, f, &u));
      long want = defined((qv_rounding)m, n);
      assert_int_equal(mpq_cmp_si(y.p, want < -5 ? -5 : want > 4 ? 4 : want, 1), 0);
    }
    qv_pwa_free(f);
  }
  qv_surd_clear(&u), qv_surd_clear(&y);
}

/* ---- functions --------------------------------------------------------------------------------------------------------------- */

/* Random pieces with boundaries at quarters; jumps, equal boundaries (a single point), constants. Values are integers if `step`. */
static qv_pwa *random_pwa(qv_rng *r, bool step, bool rooted) {
  uint32_t n = (uint32_t)qv_rng_range(r, 1, 5);
  qv_pwa *f = qv_pwa_new(n);
  assert_non_null(f);
  long at = (long)qv_rng_range(r, -40, 0);
  for (uint32_t i = 0; i < n; i++) {
    qv_piece *p = &f->v[i];
    bool point = i > 1 && f->v[i - 1].closed && qv_rng_range(r, 0, 4) == 0;
    if (!point) at += (long)qv_rng_range(r, 1, 30);
    set(&p->from, i > 0 ? at : 0, 4, 0, 1, 0);
    p->closed = i > 0 && !point && qv_rng_range(r, 0, 1);
    long a = step || qv_rng_range(r, 0, 3) == 0 ? 0 : (long)qv_rng_range(r, -8, 8);
    set(&p->a, a, 2, rooted && a != 0 ? (long)qv_rng_range(r, -3, 3) : 0, 1, 2);
    set(&p->b, (long)qv_rng_range(r, -20, 20), step ? 1 : 3, rooted && !step ? (long)qv_rng_range(r, -3, 3) : 0, 1, 2);
  }
  return f;
}

static void test_compose(void **state) {
  (void)state;
  qv_rng r = {77};
  qv_surd x, y, z, t;
  qv_surd_init(&x), qv_surd_init(&y), qv_surd_init(&z), qv_surd_init(&t);
  for (int i = 0; i < 1500 * mult(); i++) {
    bool step = qv_rng_range(&r, 0, 1);
    qv_pwa *f = random_pwa(&r, false, qv_rng_range(&r, 0, 1)), *g = random_pwa(&r, step, false), *h;
    assert_int_equal(qv_pwa_compose(&h, g, f), QV_OK);
    if (step) assert_true(qv_pwa_is_step(h));
    for (long n = -170; n <= 170; n++) { /* every boundary of f is among these points */
      set(&x, n, 8, 0, 1, 0);
      assert_true(qv_pwa_at(&t, f, &x) && qv_pwa_at(&y, g, &t) && qv_pwa_at(&z, h, &x));
      int c;
      assert_true(qv_surd_cmp(&c, &y, &z) && c == 0);
    }
    for (uint32_t k = 1; k < h->n; k++) { /* ... and these are those of the result */
      qv_surd_set(&x, &h->v[k].from);
      if (!qv_pwa_at(&t, f, &x)) continue;
      int c;
      assert_true(qv_pwa_at(&y, g, &t) && qv_pwa_at(&z, h, &x) && qv_surd_cmp(&c, &y, &z) && c == 0);
    }
    if (step) { /* in integers, and in order numbers of floats */
      qv_arena a = {0};
      qv_pieces p, o;
      uint32_t near = 0;
      assert_int_equal(qv_pwa_pieces(&p, &near, h, false, &a), QV_OK);
      assert_int_equal(qv_pwa_pieces(&o, &near, h, true, &a), QV_OK);
      for (long n = -60; n <= 60; n++) {
        set(&x, n, 1, 0, 1, 0);
        assert_true(qv_pwa_at(&y, h, &x));
        assert_int_equal(mpq_cmp_si(y.p, qv_pieces_eval(&p, n), 1), 0);
        float v = (float)n / 4, w = nextafterf(v, (n & 1) ? 100.0f : -100.0f);
        for (int k = 0; k < 2; k++) {
          assert_true(qv_surd_set_f64(&x, (double)(k ? w : v)) && qv_pwa_at(&y, h, &x));
          assert_int_equal(mpq_cmp_si(y.p, qv_pieces_eval(&o, qv_f32_order(k ? w : v)), 1), 0);
        }
      }
      for (uint32_t k = 1; k < p.k; k++) assert_true(p.t[k - 1] < p.t[k]);
      for (uint32_t k = 1; k < o.k; k++) assert_true(o.t[k - 1] < o.t[k]);
      qv_arena_clear(&a);
    }
    qv_pwa_free(f), qv_pwa_free(g), qv_pwa_free(h);
  }
  qv_surd_clear(&x), qv_surd_clear(&y), qv_surd_clear(&z), qv_surd_clear(&t);
}

/* Direction, against values at a grid of points with both sides of every jump. */
static void test_rises(void **state) {
  (void)state;
  qv_rng r = {5};
  qv_surd x, y, last;
  qv_surd_init(&x), qv_surd_init(&y), qv_surd_init(&last);
  int rising = 0;
  for (int i = 0; i < 3000 * mult(); i++) {
    qv_pwa *f = random_pwa(&r, qv_rng_range(&r, 0, 1), false);
    bool up = true;
    for (long n = -1000; n <= 1000; n++) {
      int c;
      set(&x, n, 16, 0, 1, 0);
      assert_true(qv_pwa_at(&y, f, &x));
      if (n > -1000) up = up && qv_surd_cmp(&c, &last, &y) && c <= 0;
      qv_surd_set(&last, &y);
      if (n % 16 != 0 || n < -400 || n > 700) n += 3; /* all quarters are met */
    }
    if (qv_pwa_rises(f)) {
      assert_true(up);
      rising++;
    }
    qv_pwa_free(f);
  }
  assert_true(rising > 100);
  qv_surd_clear(&x), qv_surd_clear(&y), qv_surd_clear(&last);
}

/* Clip and slopes at their ends. */
static void test_activations(void **state) {
  (void)state;
  qv_surd lo, hi, x, y;
  qv_surd_init(&lo), qv_surd_init(&hi), qv_surd_init(&x), qv_surd_init(&y);
  for (long a = -3; a <= 3; a++)
    for (long b = -3; b <= 3; b++)
      for (int has = 0; has < 4; has++) {
        set(&lo, a, 2, 0, 1, 0), set(&hi, b, 2, 0, 1, 0);
        qv_pwa *f = qv_pwa_clip(has & 1 ? &lo : NULL, has & 2 ? &hi : NULL), *g = qv_pwa_slopes(&lo, &hi);
        assert_true(f != NULL && g != NULL);
        for (long n = -8; n <= 8; n++) {
          double u = (double)n / 4, v = u;
          if ((has & 1) != 0 && v < (double)a / 2) v = (double)a / 2;
          if ((has & 2) != 0 && v > (double)b / 2) v = (double)b / 2;
          set(&x, n, 4, 0, 1, 0);
          assert_true(qv_pwa_at(&y, f, &x) && mpq_get_d(y.p) == v);
          assert_true(qv_pwa_at(&y, g, &x) && mpq_get_d(y.p) == (u < 0 ? (double)a / 2 * u : (double)b / 2 * u));
        }
        qv_pwa_free(f), qv_pwa_free(g);
      }
  qv_surd_clear(&lo), qv_surd_clear(&hi), qv_surd_clear(&x), qv_surd_clear(&y);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_surd),    cmocka_unit_test(test_order), cmocka_unit_test(test_rounding),
                                     cmocka_unit_test(test_compose), cmocka_unit_test(test_rises), cmocka_unit_test(test_activations)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
