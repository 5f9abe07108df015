/* What a candidate loses, against values worked out by hand from each measure's definition; certified entropy; files of losses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/rng.h"
#include "quant/entropy.h"
#include "quant/measure.h"
#include "quant/sens_file.h"

/* y = x W', W of out x in, without bias; hidden: a Relu and one more weight of 1 behind it. */
static qv_fgraph *linear(const float *w, uint32_t out, uint32_t in, bool hidden) {
  qv_fgraph *g = calloc(1, sizeof *g);
  uint32_t dx[2] = {1, in}, dw[2] = {out, in}, d1[2] = {1, 1};
  float *data = QV_NEW(&g->arena, (size_t)out * in, float), *unit = QV_NEW(&g->arena, 1, float);
  qv_err err = {0};
  memcpy(data, w, sizeof *w * out * in);
  *unit = 1;
  g->in = qv_fgraph_tensor(g, "in", 2, dx, NULL);
  qv_fnode n = {.op = QF_GEMM, .name = "dense", .n_in = 2};
  n.in[0] = g->in, n.in[1] = qv_fgraph_tensor(g, "w", 2, dw, data);
  g->out = qv_fgraph_node(g, &n, "y", &err);
  assert_true(g->out != QV_NONE);
  if (!hidden) return g;
  qv_fnode relu = {.op = QF_CLIP, .name = "relu", .n_in = 1, .hi = INFINITY}, last = {.op = QF_GEMM, .name = "last", .n_in = 2};
  relu.in[0] = g->out;
  last.in[0] = qv_fgraph_node(g, &relu, "h", &err);
  last.in[1] = qv_fgraph_tensor(g, "one", 2, d1, unit);
  g->out = qv_fgraph_node(g, &last, "z", &err);
  assert_true(g->out != QV_NONE);
  return g;
}

/* Loss of the input's group at `bits` of weights and 8 of activations; the reference has 8. */
static double loss_of(qv_metric metric, const qv_fgraph *g, const float *x, size_t n, int bits, qv_sens *sens) {
  qv_calib c;
  qv_groups groups;
  qv_measure *m = NULL;
  qv_quantized q = {0};
  qv_err err = {0};
  const qv_bits cand[2] = {{8, 8}, {bits, 8}};
  const qv_table_opts o = {.quant = {.per_tensor = true}, .n_cand = 2, .cand = cand, .n_metric = 1, .metric = &metric, .sens = sens};
  double loss = NAN;
  int a[16], w[16];
  for (int i = 0; i < 16; i++) a[i] = 8, w[i] = bits;
  assert_int_equal(qv_calibrate(&c, g, x, n, &err), QV_OK);
  assert_int_equal(qv_groups_find(&groups, g, &err), QV_OK);
  assert_int_equal(qv_quantize(&q, g, &c, a, w, &o.quant, &err), QV_OK);
  assert_int_equal(qv_measure_new(&m, g, &c, &groups, &o, &err), QV_OK);
  if (qv_measure_loss(&loss, m, &q, groups.of[g->in], cand[1], &err) != QV_OK) print_message("%s\n", err.msg);
  qv_measure_free(m);
  qv_quantized_clear(&q);
  qv_groups_clear(&groups);
  qv_calib_clear(&c);
  return loss;
}

static void near(double got, double want, double rel) {
  if (!(fabs(got - want) <= rel * fabs(want) + 1e-15)) fail_msg("%.12g, by hand %.12g", got, want);
}

/* Weights 1 and 0.4 at 4 bits: scale 1/7, codes 7 and round(2.8) = 3, so the second one is off by 3/7 - 2/5 = 1/35. */
static void test_by_hand(void **state) {
  (void)state;
  const float w[2] = {1, 0.4f}, x[2] = {1, 0.2f}, only_second[2] = {0, 0.2f}, one[1] = {1};
  qv_fgraph *g = linear(w, 1, 2, false), *two = linear(w, 2, 1, false);
  double d = 1.0 / 35;
  /* the codes of the input, 255 and 51 of scale 1/255, are exact; y = 1.08, loss y^2/2: gradient of the second weight y * 0.2 */
  near(loss_of(QV_METRIC_FISHER, g, x, 1, 4, NULL), pow(1.08 * 0.2 * d, 2), 1e-3);
  /* Hessian of y^2/2 in the weights: x x', here diag(0, 0.04); mean trace 0.02 */
  near(loss_of(QV_METRIC_HESSIAN, g, only_second, 1, 4, NULL), 0.02 * d * d, 1e-2);
  /* two outputs (1, 0.4): noise d^2 over 1 + 0.16 */
  near(loss_of(QV_METRIC_NOISE, two, one, 1, 4, NULL), d * d / 1.16, 1e-4);
  /* AIMET: mean(s^2) / (mean(d^2) + 1e-4), over two elements */
  near(loss_of(QV_METRIC_SQNR, two, one, 1, 4, NULL), (d * d / 2 + 1e-4) / 0.58, 1e-4);
  /* two classes: p = 1/(1 + exp(-0.6)), q = 1/(1 + exp(-(1 - 3/7))) */
  double p = 1 / (1 + exp(-0.6)), q = 1 / (1 + exp(-4.0 / 7));
  near(loss_of(QV_METRIC_KL, two, one, 1, 4, NULL), p * log(p / q) + (1 - p) * log((1 - p) / (1 - q)), 1e-3);
  qv_fgraph_free(g);
  qv_fgraph_free(two);
}

/* Eight weights with codes 7 (four times), 3 (twice), 1, -5: 8*3 - 4*2 - 2*1 = 14 bits; half of the reference's bits are taken away. */
static void test_eagl(void **state) {
  (void)state;
  const float w[8] = {7, 7, 3, 1, 7, -5, 3, 7}, x[8] = {1, 1, 1, 1, 1, 1, 1, 1};
  qv_fgraph *g = linear(w, 1, 8, false);
  near(loss_of(QV_METRIC_EAGL, g, x, 1, 4, NULL), 7, 1e-12);
  near(loss_of(QV_METRIC_EAGL, g, x, 1, 8, NULL), 0, 0);
  qv_fgraph_free(g);
}

/* Input, hidden tensor and output are multiples of one another: all alignments are 1, gamma = 2, and 4 of 8 bits are taken away. */
static void test_orm(void **state) {
  (void)state;
  const float w[1] = {2}, x[4] = {0.1f, 0.7f, 0.3f, 0.9f};
  qv_fgraph *g = linear(w, 1, 1, true);
  near(loss_of(QV_METRIC_ORM, g, x, 4, 4, NULL), exp(-2) / 2, 1e-5);
  qv_fgraph_free(g);
}

/* Two samples, y = 1.08 and 1.36. The first is off by 0.2/35 at 4 bits, give or take half a step of the output's 1.36/255; the second is the largest
 * value of the output's range, so that its error is cut off there. The loss is the mean of both bounds. */
static void test_error(void **state) {
  (void)state;
  const float w[2] = {1, 0.4f}, x[4] = {1, 0.2f, 1, 0.9f};
  qv_fgraph *g = linear(w, 1, 2, false);
  double eight = loss_of(QV_METRIC_ERROR, g, x, 2, 8, NULL), four = loss_of(QV_METRIC_ERROR, g, x, 2, 4, NULL), two = loss_of(QV_METRIC_ERROR, g, x, 2, 2, NULL);
  assert_true(four >= (0.2 / 35 - 1.36 / 510) / 2 && four < 0.2 / 35 + 1.36 / 510);
  assert_true(two >= (0.08 - 1.36 / 510) / 2 && two > four); /* codes 1 and 0: the first is off by 0.08 */
  assert_true(eight < 1.36 / 255);
  qv_fgraph_free(g);
}

static void test_entropy(void **state) {
  (void)state;
  double lo, hi;
  /* 6 log2 6 - 2 log2 2 - 3 log2 3 = 8.754887502163468544361216831731.. */
  qv_entropy_bits(&lo, &hi, (const uint64_t[]){1, 2, 3}, 3);
  assert_true(lo <= 8.754887502163469 && hi >= 8.754887502163468 && hi - lo < 1e-13);
  qv_entropy_bits(&lo, &hi, (const uint64_t[]){0, 4, 0, 4, 8, 0}, 6); /* 16*4 - 2*4*2 - 8*3 = 24, exactly */
  assert_true(!(lo < 24) && !(lo > 24) && !(hi < 24) && !(hi > 24));
  qv_entropy_bits(&lo, &hi, (const uint64_t[]){0, 9, 0}, 3);
  assert_true(!(lo < 0) && !(hi > 0));
  qv_rng r = {3};
  for (int i = 0; i < 300; i++) {
    uint64_t c[20];
    long double all = 0, h = 0;
    size_t n = (size_t)qv_rng_range(&r, 2, 20);
    for (size_t k = 0; k < n; k++) c[k] = (uint64_t)qv_rng_range(&r, 1, i % 2 == 0 ? 50 : 1000000), all += (long double)c[k];
    h = all * log2l(all);
    for (size_t k = 0; k < n; k++) h -= (long double)c[k] * log2l((long double)c[k]);
    qv_entropy_bits(&lo, &hi, c, n);
    if (!((double)h > lo * (1 - 1e-13) && (double)h < hi * (1 + 1e-13) && hi - lo < 1e-11 * hi)) fail_msg("entropy [%.17g,%.17g], %.17Lg", lo, hi, h);
  }
}

static void test_file(void **state) {
  (void)state;
  const float w[2] = {1, 0.4f}, x[2] = {1, 0.2f}, other[2] = {1, 0.3f};
  qv_fgraph *g = linear(w, 1, 2, false);
  qv_sens *s = qv_sens_new(), *back = NULL;
  qv_buf out = {0};
  qv_err err = {0};
  double v;
  assert_false(qv_sens_get(&v, s, "in", "W4A8", "fisher"));
  double first = loss_of(QV_METRIC_FISHER, g, x, 1, 4, s); /* is kept */
  assert_true(qv_sens_changed(s) && qv_sens_get(&v, s, "in", "W4A8", "fisher"));
  near(v, first, 0);
  near(loss_of(QV_METRIC_FISHER, g, other, 1, 4, s), first, 0); /* and used */
  assert_true(isnan(loss_of(QV_METRIC_USER, g, x, 1, 4, s)));   /* not there */
  assert_true(qv_sens_put(s, "in", "W4A8", "user", -2.5));
  near(loss_of(QV_METRIC_USER, g, x, 1, 4, s), -2.5, 0);
  assert_int_equal(qv_sens_write(&out, s, "k1", &err), QV_OK);
  assert_int_equal(qv_sens_read(&back, (const char *)out.p, out.n, &err), QV_OK);
  assert_string_equal(qv_sens_key(back), "k1");
  assert_true(qv_sens_get(&v, back, "in", "W4A8", "fisher") && !qv_sens_changed(back));
  near(v, first, 0);
  qv_sens_free(back);
  qv_sens_free(s);
  qv_buf_free(&out);
  static const char *const bad[] = {"[]", "{\"format\":\"qverify-sensitivities/2\",\"losses\":{}}", "{\"format\":\"qverify-sensitivities/1\"}",
                                    "{\"format\":\"qverify-sensitivities/1\",\"losses\":{\"a\":{\"W8A8\":{\"noise\":\"nan\"}}}}",
                                    "{\"format\":\"qverify-sensitivities/1\",\"losses\":{\"a\":{\"W8A8\":{\"noise\":\"1e999\"}}}}",
                                    "{\"format\":\"qverify-sensitivities/1\",\"losses\":{\"a\":{\"W8A8\":3}}}", "{\"format\":\"qverify-sensitivities/1\",\"losses\":[]}", "{"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_int_equal(qv_sens_read(&back, bad[i], strlen(bad[i]), &err), QV_E_PARSE);
  qv_fgraph_free(g);
}

/* The key changes with the samples, the labels and every option of the quantizer. */
static void test_key(void **state) {
  (void)state;
  const float w[2] = {1, 0.4f}, x[2] = {1, 0.2f}, other[2] = {1, 0.3f};
  qv_fgraph *g = linear(w, 1, 2, false);
  const int64_t label[1] = {0};
  const qv_bits cand[1] = {{8, 8}}, narrow[1] = {{6, 8}};
  char key[8][QV_SHA256_HEX];
  qv_err err = {0};
  for (int i = 0; i < 8; i++) {
    qv_calib c;
    qv_table_opts o = {.n_cand = 1, .cand = i == 2 ? narrow : cand, .label = i == 3 ? label : NULL, .samples = i == 4 ? 5 : 0, .error_radius = i == 7 ? 0.5 : 0};
    o.quant.symmetric = i == 5;
    assert_int_equal(qv_calibrate(&c, g, i == 1 ? other : x, 1, &err), QV_OK);
    assert_int_equal(qv_sens_hash(key[i], i == 6 ? "v2" : "v1", g, &c, &o, &err), QV_OK);
    for (int j = 0; j < i; j++) assert_string_not_equal(key[i], key[j]);
    qv_calib_clear(&c);
  }
  qv_fgraph_free(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_by_hand), cmocka_unit_test(test_eagl), cmocka_unit_test(test_orm), cmocka_unit_test(test_error),
      cmocka_unit_test(test_entropy), cmocka_unit_test(test_file), cmocka_unit_test(test_key),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
