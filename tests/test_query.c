/* Perturbations to input sets, against definitions: every integer, every binary32 value, every parameter tried. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/query.h"
#include "ir/base/rng.h"
#include "ir/qir.h"

static qv_rng seeded(const char *what) {
  const char *s = getenv("QV_TEST_SEED");
  uint64_t seed = s != NULL ? strtoull(s, NULL, 0) : 20251120;
  print_message("%s: seed %" PRIu64 "\n", what, seed);
  return (qv_rng){seed};
}

static unsigned effort(unsigned n) {
  const char *s = getenv("QV_TEST_MULT");
  double m = s != NULL ? atof(s) : 1;
  return m > 0 ? (unsigned)(n * m) + 1 : n;
}

/* A net that hands its one input of n elements on. */
static qv_net *make_net(const char *type, int n, int64_t lo, int64_t hi, const char *end, const char *scale, int zp) {
  qv_net *net = NULL;
  qv_err err = {0};
  qv_buf b = {0};
  qv_buf_printf(&b, "qir 1\nsource \"\"\nsha256 \"\"\nprofile \"\"\nformat \"qir\"\nnotes 0\ntensors 1\ntensor 0 name \"x\" type %s dims 1 %d ", type, n);
  if (scale != NULL) qv_buf_printf(&b, "scale %s zp %d const no\n", scale, zp);
  else qv_buf_str(&b, "scale none const no\n");
  qv_buf_printf(&b, "inputs 1\ninput 0 tensor 0 lo %" PRId64 " hi %" PRId64 " end %s name \"x\"\nnodes 0\noutputs 1\n", lo, hi, end);
  qv_buf_str(&b, "output 0 tensor 0 end int name \"x\" tail none\nend\n");
  if (qv_qir_read(&net, (const char *)b.p, b.n, &err) != QV_OK) fail_msg("%s", err.msg);
  qv_buf_free(&b);
  return net;
}

static void begin(qv_property *p, const qv_net *net) { assert_int_equal(qv_property_whole(p, net, 0, NULL), QV_OK); }

/* What was built is what the strict reader takes. */
static void readable(const qv_property *p, const qv_net *net) {
  qv_property q;
  qv_buf b = {0};
  qv_err err = {0};
  assert_int_equal(qv_property_write(&b, p, &err), QV_OK);
  if (qv_property_read(&q, (const char *)b.p, b.n, net, &err) != QV_OK) fail_msg("line %" PRId64 ": %s", err.line, err.msg);
  qv_property_clear(&q);
  qv_buf_free(&b);
}

/* ---- rationals ---------------------------------------------------------------------------------------------------------- */

static void test_rat(void **state) {
  (void)state;
  static const struct {
    const char *s;
    long num;
    unsigned long den;
  } good[] = {{"0", 0, 1},      {"-0", 0, 1},        {"1", 1, 1},        {"-17", -17, 1},   {"0.03", 3, 100},  {".5", 1, 2},     {"5.", 5, 1},
              {"8/255", 8, 255}, {"1e3", 1000, 1},   {"2.5e-2", 1, 40},  {"-1.25E+1", -25, 2}, {"0.1/0.2", 1, 2}, {"+3", 3, 1},   {"1/-4", -1, 4}};
  static const char *const bad[] = {"", "-", ".", "1/0", "1//2", "/2", "1/", "e5", "1e", "1e1000", "1.2.3", "0x10", " 1", "1 ", "inf", "nan", "1e+-2"};
  mpq_t q;
  mpq_init(q);
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    if (!qv_rat_parse(q, good[i].s, strlen(good[i].s))) fail_msg("'%s' refused", good[i].s);
    if (mpq_cmp_si(q, good[i].num, good[i].den) != 0) fail_msg("'%s' misread", good[i].s);
  }
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    if (qv_rat_parse(q, bad[i], strlen(bad[i]))) fail_msg("'%s' accepted", bad[i]);
  mpq_clear(q);
}

/* ---- boxes -------------------------------------------------------------------------------------------------------------- */

static void test_steps(void **state) {
  (void)state;
  qv_net *net = make_net("i8", 4, -100, 120, "int", NULL, 0);
  const int64_t x[4] = {-100, 0, 119, 50}, m[4] = {1, 0, 3, 1};
  const int64_t *xs[1] = {x}, *ms[1] = {m};
  const qv_sample s = {.x = xs};
  const qv_mask mask = {ms};
  qv_property p;
  begin(&p, net);
  assert_int_equal(qv_query_steps(&p, net, &s, 7, &mask, NULL), QV_OK);
  static const qv_itv want[4] = {{-100, -93}, {0, 0}, {98, 120}, {43, 57}};
  for (int e = 0; e < 4; e++) assert_true(p.in[0].itv[e].lo == want[e].lo && p.in[0].itv[e].hi == want[e].hi);
  readable(&p, net);
  qv_property_clear(&p);
  begin(&p, net);
  assert_int_equal(qv_query_steps(&p, net, &s, INT64_MAX, NULL, NULL), QV_OK);
  for (int e = 0; e < 4; e++) assert_true(p.in[0].itv[e].lo == -100 && p.in[0].itv[e].hi == 120);
  qv_property_clear(&p);
  qv_net_free(net);
}

/* Integer end: exactly the q' with |scale * (q' - q)| <= mult * eps. */
static void test_real_int_end(void **state) {
  static const char *const scale[] = {"0x1p-8", "0x1.99999ap-4", "0x1.010102p-8", "0x1p+0"}, *const eps[] = {"0", "0.1", "8/255", "0.003921568859368563", "0.9999999"};
  qv_rng r = seeded("real units at an integer end");
  (void)state;
  mpq_t e, d;
  mpq_inits(e, d, NULL);
  for (int i = 0; i < 4; i++)
    for (int k = 0; k < 5; k++) {
      qv_net *net = make_net("u8", 3, 0, 255, "int", scale[i], 7);
      const int64_t x[3] = {0, qv_rng_range(&r, 0, 255), qv_rng_range(&r, 0, 255)}, m[3] = {1, 2, 1};
      const int64_t *xs[1] = {x}, *ms[1] = {m};
      const qv_sample s = {.x = xs};
      const qv_mask mask = {ms};
      qv_property p;
      begin(&p, net);
      assert_true(qv_rat_parse(e, eps[k], strlen(eps[k])));
      assert_int_equal(qv_query_real(&p, net, &s, e, &mask, NULL), QV_OK);
      for (int el = 0; el < 3; el++)
        for (int64_t q = 0; q < 256; q++) {
          mpq_t lim;
          mpq_init(lim);
          mpq_set_si(lim, m[el], 1);
          mpq_mul(lim, lim, e);
          mpq_set_d(d, (double)strtof(scale[i], NULL) * (double)llabs(q - x[el])); /* 24 + 8 bits: exact */
          bool in = mpq_cmp(d, lim) <= 0;
          assert_int_equal(in, q >= p.in[0].itv[el].lo && q <= p.in[0].itv[el].hi);
          mpq_clear(lim);
        }
      readable(&p, net);
      qv_property_clear(&p);
      qv_net_free(net);
    }
  qv_net *net = make_net("u8", 1, 0, 255, "int", NULL, 0);
  const int64_t x[1] = {3};
  const int64_t *xs[1] = {x};
  qv_property p;
  begin(&p, net);
  assert_int_equal(qv_query_real(&p, net, &(qv_sample){.x = xs}, e, NULL, NULL), QV_E_UNSUP);
  qv_property_clear(&p);
  qv_net_free(net);
  mpq_clears(e, d, NULL);
}

/* Float end: all binary32 values of the interval, one by one. */
static void test_real_float_end(void **state) {
  static const char *const ends[] = {"quant_away", "quant_even", "quant_inv"};
  qv_rng r = seeded("binary32 intervals");
  (void)state;
  mpq_t eps, c, t;
  mpq_inits(eps, c, t, NULL);
  for (unsigned round = 0; round < effort(300); round++) {
    /* many values an integer, and integers that no value reaches */
    char scale[32];
    (void)snprintf(scale, sizeof scale, "%a", (double)ldexpf((float)qv_rng_range(&r, 1 << 23, (1 << 24) - 1), -23 - (int)qv_rng_range(&r, 4, 28)));
    qv_net *net = make_net("i32", 1, INT32_MIN, INT32_MAX, ends[qv_rng_range(&r, 0, 2)], scale, (int)qv_rng_range(&r, -5, 5));
    float s = strtof(scale, NULL), most = ldexpf(1, (int)qv_rng_range(&r, 0, 32)),
          base = s * (float)qv_rng_range(&r, (int64_t)-most, (int64_t)most);
    for (int i = (int)qv_rng_range(&r, 0, 5); i > 0; i--) base = nextafterf(base, INFINITY);
    const float real[1] = {base};
    const float *reals[1] = {real};
    int64_t x[1] = {0};
    const int64_t *xs[1] = {x};
    assert_int_equal(qv_end_quantize(x, net, 0, base, NULL), QV_OK);
    const qv_sample sample = {xs, reals};
    mpq_set_d(eps, (double)(nextafterf(fabsf(base), INFINITY) - fabsf(base)));
    mpq_set_si(t, qv_rng_range(&r, 0, 1000), 4);
    mpq_canonicalize(t);
    mpq_mul(eps, eps, t);
    int64_t lo = INT64_MAX, hi = INT64_MIN, reached[1024], n = 0;
    float first[1024];
    mpq_set_d(c, (double)base);
    float at = base;
    for (;;) { /* down to the first value outside */
      float below = nextafterf(at, -INFINITY);
      mpq_set_d(t, (double)below);
      mpq_sub(t, c, t);
      if (mpq_cmp(t, eps) > 0) break;
      at = below;
    }
    float smallest = at, largest = at;
    for (;; at = nextafterf(at, INFINITY)) {
      int64_t q;
      mpq_set_d(t, (double)at);
      mpq_sub(t, t, c);
      if (mpq_cmp(t, eps) > 0) break;
      largest = at;
      assert_int_equal(qv_end_quantize(&q, net, 0, at, NULL), QV_OK);
      lo = qv_min64(lo, q);
      hi = qv_max64(hi, q);
      if (n == 0 || reached[n - 1] != q) {
        assert_true(n < 1024);
        first[n] = at;
        reached[n++] = q;
      }
    }
    qv_property p;
    begin(&p, net);
    assert_int_equal(qv_query_real(&p, net, &sample, eps, NULL, NULL), QV_OK);
    assert_true(p.in[0].itv[0].lo == lo && p.in[0].itv[0].hi == hi);
    float a, b, y;
    assert_true(qv_query_float_ends(&a, &b, net, 0, &sample, 0, eps, 1));
    assert_true(a == smallest && b == largest);
    int64_t from = hi - lo < 5000 ? lo - 1 : hi - 1, k = 0;
    while (k < n && reached[k] < from) k++;
    for (int64_t q = from; q <= hi + 1; q++) {
      bool there = k < n && reached[k] == q;
      bool found = qv_query_float(&y, net, 0, q, a, b);
      assert_int_equal(found, there);
      if (there) assert_true(y == first[k++]);
    }
    qv_property_clear(&p);
    qv_net_free(net);
  }
  /* a sample given as an integer whose real value is no binary32 value */
  qv_net *net = make_net("i16", 1, -32768, 32767, "quant_even", "0x1.000002p-3", 0);
  const int64_t x[1] = {12345};
  const int64_t *xs[1] = {x};
  qv_property p;
  qv_err err = {0};
  begin(&p, net);
  mpq_set_si(eps, 0, 1);
  assert_int_equal(qv_query_real(&p, net, &(qv_sample){.x = xs}, eps, NULL, &err), QV_E_ARG);
  assert_non_null(strstr(err.msg, "vacuous"));
  qv_property_clear(&p);
  begin(&p, net);
  mpq_set_si(eps, 1, 10);
  assert_int_equal(qv_query_real(&p, net, &(qv_sample){.x = xs}, eps, NULL, NULL), QV_OK);
  assert_true(p.in[0].itv[0].lo >= 12344 && p.in[0].itv[0].lo <= 12345 && p.in[0].itv[0].hi >= 12345 && p.in[0].itv[0].hi <= 12346);
  qv_property_clear(&p);
  qv_net_free(net);
  mpq_clears(eps, c, t, NULL);
}

/* An input that takes the order numbers of binary32 values: the integers are the floats of the interval, one by one. */
static void test_order_end(void **state) {
  qv_rng r = seeded("order numbers");
  (void)state;
  qv_net *net = make_net("i32", 1, -QV_F32_ORDER_MAX, QV_F32_ORDER_MAX, "f32_order", NULL, 0);
  mpq_t eps, c, t;
  mpq_inits(eps, c, t, NULL);
  for (unsigned round = 0; round < effort(200); round++) {
    float x = (float)qv_rng_range(&r, -1000, 1000) / (float)qv_rng_range(&r, 1, 300);
    const float real[1] = {x};
    const float *reals[1] = {real};
    const int64_t q[1] = {qv_f32_order(x)};
    const int64_t *qs[1] = {q};
    bool given = round % 2 == 0; /* as a float, or as the integer that stands for it */
    const qv_sample s = {qs, given ? reals : NULL};
    mpq_set_d(c, (double)x);
    mpq_set_d(eps, (double)(nextafterf(fabsf(x), INFINITY) - fabsf(x)));
    mpq_set_si(t, qv_rng_range(&r, 0, 90), 4);
    mpq_canonicalize(t);
    mpq_mul(eps, eps, t);
    qv_property p;
    begin(&p, net);
    assert_int_equal(qv_query_real(&p, net, &s, eps, NULL, NULL), QV_OK);
    qv_itv v = p.in[0].itv[0];
    for (int64_t k = v.lo - 1; k <= v.hi + 1; k++) {
      mpq_set_d(t, (double)qv_f32_of_order((int32_t)k));
      mpq_sub(t, t, c);
      mpq_abs(t, t);
      assert_int_equal(mpq_cmp(t, eps) <= 0, k >= v.lo && k <= v.hi);
    }
    qv_property_clear(&p);
  }
  const int64_t q[1] = {QV_F32_ORDER_MAX}; /* infinity: no distance is defined */
  const int64_t *qs[1] = {q};
  qv_property p;
  begin(&p, net);
  assert_int_equal(qv_query_real(&p, net, &(qv_sample){.x = qs}, eps, NULL, NULL), QV_E_ARG);
  qv_property_clear(&p);
  mpq_clears(eps, c, t, NULL);
  qv_net_free(net);
}

/* ---- families ------------------------------------------------------------------------------------------------------------ */

typedef struct {
  int64_t x[4000][3];
  size_t n;
} listed;

static void add(listed *l, const int64_t *x) {
  if (l->n > 0 && memcmp(l->x[l->n - 1], x, sizeof l->x[0]) == 0) return;
  assert_true(l->n < 4000);
  memcpy(l->x[l->n++], x, sizeof l->x[0]);
}

static void same_points(const qv_property *p, const listed *l) {
  assert_int_equal(p->n_points, l->n);
  for (size_t k = 0; k < l->n; k++) assert_memory_equal(p->in[0].point + 3 * k, l->x[k], sizeof l->x[0]);
}

static int64_t clip(int64_t v) { return v < -128 ? -128 : v > 127 ? 127 : v; }

static void test_brightness(void **state) {
  (void)state;
  static listed l;
  qv_net *net = make_net("i8", 3, -128, 127, "int", NULL, 0);
  static const int64_t x[3] = {-120, 3, 125}, m[3] = {1, 0, 1};
  const int64_t *xs[1] = {x}, *ms[1] = {m};
  const qv_mask mask = {ms};
  for (int masked = 0; masked < 2; masked++)
    for (int by = 0; by < 300; by += 33) {
      qv_property p;
      begin(&p, net);
      assert_int_equal(qv_query_brightness(&p, net, &(qv_sample){.x = xs}, by, masked ? &mask : NULL, NULL), QV_OK);
      l.n = 0;
      for (int t = -by; t <= by; t++) {
        const int64_t y[3] = {clip(x[0] + t), masked ? x[1] : clip(x[1] + t), clip(x[2] + t)};
        add(&l, y);
      }
      same_points(&p, &l);
      readable(&p, net);
      qv_property_clear(&p);
    }
  qv_net_free(net);
}

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a % b < 0) != (b < 0)); }

/* Distances up to 8: every step is at a multiple of 1/1680, so multiples of 1/3360 meet every breakpoint and every gap. */
static void test_contrast(void **state) {
  static listed l;
  qv_rng r = seeded("contrast");
  (void)state;
  qv_net *net = make_net("i8", 3, -128, 127, "int", NULL, 0);
  mpq_t by;
  mpq_init(by);
  for (unsigned round = 0; round < effort(60); round++) {
    int64_t pivot = qv_rng_range(&r, -3, 3) + (round % 5 == 0 ? 122 : 0), x[3], k = qv_rng_range(&r, 0, 3360);
    for (int i = 0; i < 3; i++) x[i] = clip(pivot + qv_rng_range(&r, -8, 8));
    const int64_t *xs[1] = {x};
    qv_property p;
    begin(&p, net);
    mpq_set_si(by, k, 3360);
    mpq_canonicalize(by);
    assert_int_equal(qv_query_contrast(&p, net, &(qv_sample){.x = xs}, by, pivot, NULL, NULL), QV_OK);
    l.n = 0;
    for (int64_t c = 3360 - k; c <= 3360 + k; c++) {
      int64_t y[3];
      for (int i = 0; i < 3; i++) y[i] = clip(pivot + floor_div(2 * c * (x[i] - pivot) + 3360, 2 * 3360));
      add(&l, y);
    }
    same_points(&p, &l);
    readable(&p, net);
    qv_property_clear(&p);
  }
  qv_property p;
  begin(&p, net);
  const int64_t x[3] = {1, 2, 3};
  const int64_t *xs[1] = {x};
  mpq_set_si(by, 3, 2);
  assert_int_equal(qv_query_contrast(&p, net, &(qv_sample){.x = xs}, by, 0, NULL, NULL), QV_E_ARG);
  qv_property_clear(&p);
  mpq_clear(by);
  qv_net_free(net);
}

/* ---- conditions ---------------------------------------------------------------------------------------------------------- */

/* All outputs over 0..2, every class: how many elements come before the class is the definition. */
static void test_top(void **state) {
  (void)state;
  enum { N = 5 };
  qv_net *net = make_net("i8", N, -128, 127, "int", NULL, 0);
  qv_arena a = {0};
  for (uint32_t cls = 0; cls < N; cls++)
    for (uint32_t k = 1; k < N; k++)
      for (int first = 0; first < 2; first++) {
        qv_condition c;
        assert_int_equal(qv_keep_top(&c, &a, net, 0, cls, k, first != 0, NULL), QV_OK);
        assert_int_equal(qv_condition_check(&c, net, NULL), QV_OK);
        for (int v = 0; v < 243; v++) {
          int64_t o[N] = {v % 3, v / 3 % 3, v / 9 % 3, v / 27 % 3, v / 81};
          const int64_t *const os[1] = {o};
          uint32_t ahead = 0;
          for (uint32_t j = 0; j < N; j++) ahead += o[j] > o[cls] || (o[j] == o[cls] && (first ? j < cls : j > cls));
          assert_int_equal(qv_condition_violated(&c, net, os) == QV_NONE, ahead < k);
          if (k == 1) assert_int_equal(ahead == 0, qv_argmax(o, N, first != 0) == cls);
        }
      }
  qv_condition c;
  assert_int_equal(qv_keep_top(&c, &a, net, 0, 0, 0, true, NULL), QV_E_ARG);
  assert_int_equal(qv_keep_top(&c, &a, net, 0, 0, N, true, NULL), QV_E_ARG);
  assert_int_equal(qv_keep_top(&c, &a, net, 0, N, 1, true, NULL), QV_E_ARG);
  qv_net_free(net);
  net = make_net("i8", 100, -128, 127, "int", NULL, 0);
  assert_int_equal(qv_keep_top(&c, &a, net, 0, 0, 2, true, NULL), QV_OK);
  assert_int_equal(c.n, 99 * 98 / 2);
  assert_int_equal(qv_keep_top(&c, &a, net, 0, 0, 5, true, NULL), QV_E_LIMIT);
  assert_int_equal(qv_keep_top(&c, &a, net, 0, 0, 99, true, NULL), QV_OK);
  assert_int_equal(c.n, 1);
  qv_net_free(net);
  net = make_net("i8", 1, -128, 127, "int", NULL, 0);
  assert_int_equal(qv_keep_top(&c, &a, net, 0, 0, 1, true, NULL), QV_E_ARG);
  assert_int_equal(qv_keep_margin(&c, &a, net, 0, 0, 1, NULL), QV_E_ARG);
  qv_net_free(net);
  qv_arena_clear(&a);
}

static void test_margin(void **state) {
  (void)state;
  enum { N = 4 };
  qv_net *net = make_net("i8", N, -128, 127, "int", NULL, 0);
  qv_arena a = {0};
  for (uint32_t cls = 0; cls < N; cls++)
    for (int64_t m = -2; m <= 2; m++) {
      qv_condition c;
      assert_int_equal(qv_keep_margin(&c, &a, net, 0, cls, m, NULL), QV_OK);
      assert_int_equal(qv_condition_check(&c, net, NULL), QV_OK);
      for (int v = 0; v < 256; v++) {
        int64_t o[N] = {v % 4, v / 4 % 4, v / 16 % 4, v / 64};
        const int64_t *const os[1] = {o};
        bool good = true;
        for (uint32_t j = 0; j < N; j++) good &= j == cls || o[cls] - o[j] >= m;
        assert_int_equal(qv_condition_violated(&c, net, os) == QV_NONE, good);
      }
    }
  qv_net_free(net);
  qv_arena_clear(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rat),        cmocka_unit_test(test_steps),    cmocka_unit_test(test_real_int_end), cmocka_unit_test(test_real_float_end),
      cmocka_unit_test(test_order_end), cmocka_unit_test(test_brightness), cmocka_unit_test(test_contrast), cmocka_unit_test(test_top),          cmocka_unit_test(test_margin),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
