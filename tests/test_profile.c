/* Runtime profiles: how parameters are derived (by their definition, in exact arithmetic), the discriminating vectors of
 * docs/semantics.md, and 8-bit activation functions against the outputs of live runtimes for every input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/load.h"
#include "ir/base/rng.h"
#include "kernels/profile/profile.h"
#include "kernels/ref.h"
#include "kernels/step.h"
#include "tests/tfl_build.h"

static qv_rng rng = {777};

static size_t mult(void) {
  const char *s = getenv("QV_TEST_MULT");
  long m = s != NULL ? strtol(s, NULL, 10) : 1;
  return m > 1 ? (size_t)m : 1;
}

#define DIMS(...) ((const int32_t[]){__VA_ARGS__})

/* ---- derivations ----------------------------------------------------------------------------------------------------------- */

static void expect_multiplier(double M, bool cap30, int32_t m, int32_t sh) {
  int32_t gm, gsh;
  qv_quantize_multiplier(M, cap30, &gm, &gsh);
  assert_int_equal(gm, m);
  assert_int_equal(gsh, sh);
}

static void multiplier_edges(void **state) {
  (void)state;
  expect_multiplier(0, false, 0, 0);
  expect_multiplier(1, false, 1 << 30, 1);
  expect_multiplier(0.5, false, 1 << 30, 0);
  expect_multiplier(0.75, false, 3 << 29, 0);
  expect_multiplier(1 - 0x1p-40, false, 1 << 30, 1); /* rounds up to a power of two */
  expect_multiplier(1 - 0x1p-31, false, INT32_MAX, 0);
  expect_multiplier(1 - 0x1p-32, false, 1 << 30, 1); /* a tie: away from zero */
  expect_multiplier(0x1p-32, false, 1 << 30, -31);
  expect_multiplier(0x1p-33, false, 0, 0); /* exponent below -31 */
  expect_multiplier(0x1p31, false, 1 << 30, 32);
  expect_multiplier(0x1p31, true, INT32_MAX, 30);
  expect_multiplier(-0.75, false, -(3 << 29), 0);        /* LEAKY_RELU with a negative slope */
  expect_multiplier(0.00097656, false, 2147478150, -10); /* floor(0.00097656 * 2^41 + 1/2) in rational arithmetic */
}

/* |M * 2^(31-sh) - m| <= 1/2 with m in [2^30, 2^31): the definition, in exact scaling by powers of two. */
static void multiplier_random(void **state) {
  (void)state;
  for (size_t i = 0; i < 200000 * mult(); i++) {
    int e = (int)qv_rng_range(&rng, -30, 20);
    double M = ldexp(1 + (double)(qv_rng_next(&rng) >> 12) * 0x1p-52, e);
    int32_t m, sh;
    qv_quantize_multiplier(M, true, &m, &sh);
    assert_true(m >= 1 << 30);
    assert_true(fabs(ldexp(M, 31 - sh) - (double)m) <= 0.5);
  }
}

/* docs/semantics.md: s_x=0.13, s_w=0.05, s_y=0.01, acc=10. */
static void multiplier_rules(void **state) {
  (void)state;
  const float x = 0.13f, w = 0.05f, y = 0.01f;
  qv_rq_par conv = qv_rq_params(QV_RQ_D, qv_real_multiplier(QV_MULT_F64, x, w, y), false);
  qv_rq_par fc = qv_rq_params(QV_RQ_D, qv_real_multiplier(QV_MULT_F32PROD, x, w, y), false);
  assert_int_equal(conv.m, 1395864372);
  assert_int_equal(conv.sh, 0);
  assert_int_equal(fc.m, 1395864331);
  assert_int_equal(fc.sh, 0);
  assert_int_equal(qv_rq_eval(&conv, 10, 0), 7);
  assert_int_equal(qv_rq_eval(&fc, 10, 0), 6);
}

/* acc = 585: only XNNPACK's binary32 function gives 6 (-120 with zero point -126). */
static void xnnpack_vector(void **state) {
  (void)state;
  const float x = 0.05296124517917633f, w = 0.024093778803944588f, y = 0.11484327912330627f;
  qv_rq_par d = qv_rq_params(QV_RQ_D, qv_real_multiplier(QV_MULT_F64, x, w, y), false);
  qv_rq_par s = qv_rq_params(QV_RQ_S, qv_real_multiplier(QV_MULT_F64, x, w, y), true);
  qv_rq_par f = qv_rq_params(QV_RQ_F32, qv_real_multiplier(QV_MULT_F32, x, w, y), false);
  assert_int_equal(d.m, 1527099593);
  assert_int_equal(d.sh, -6);
  assert_true((double)(float)f.M == f.M);
  assert_int_equal(qv_rq_eval(&d, 585, 0) - 126, -119);
  assert_int_equal(qv_rq_eval(&s, 585, 0) - 126, -119);
  assert_int_equal(qv_rq_eval(&f, 585, 0) - 126, -120);
}

static void bounds_and_radius(void **state) {
  (void)state;
  int64_t q;
  assert_true(qv_quantize_bound(&q, 6, 0.0235294f, -128) && q == 127);
  assert_true(qv_quantize_bound(&q, 6, 4.0f, 3) && q == 5);   /* 1.5: away from zero */
  assert_true(qv_quantize_bound(&q, -1, 0.4f, 0) && q == -3); /* -2.5 */
  assert_false(qv_quantize_bound(&q, 6, 1e-9f, 0));
  assert_false(qv_quantize_bound(&q, 6, 0x1p-149f, 0));
  assert_int_equal(qv_input_radius(5, 19), 3968); /* CMSIS-NN's softmax vector: diff_min -3968 */
  assert_int_equal(qv_input_radius(5, 26), 31);
  assert_int_equal(qv_input_radius(4, 0), INT32_MAX - (1 << 27) + 1);
}

static void names(void **state) {
  (void)state;
  assert_null(qv_profile_find("nothing"));
  assert_null(qv_profile_find(""));
  assert_string_equal(qv_profile_find("cmsis")->name, "tflite-double");
  assert_string_equal(qv_profile_find("xnnpack")->name, "xnnpack");
  size_t n = 0;
  for (const qv_profile *p; (p = qv_profile_at(n)) != NULL; n++) {
    assert_ptr_equal(qv_profile_find(p->name), p);
    assert_true(strlen(p->summary) > 10 && strlen(p->evidence) > 10);
    assert_true(p->gemm[QV_GEMM_CONV_I8].ok && p->gemm[QV_GEMM_DW_I8].ok && p->gemm[QV_GEMM_FC_I8].ok);
    assert_false(p->gemm[QV_GEMM_DW_16_32].ok); /* no runtime computes it */
  }
  assert_true(n >= 4);
}

/* ---- 8-bit functions against live runtimes ------------------------------------------------------------------------------------ */

typedef struct {
  int op;
  const char *profile;
  int type;
  float s_x;
  int z_x;
  float s_y;
  int z_y;
  float alpha;
  const char *hex;
} measured;

enum { LOGISTIC = TFL_LOGISTIC, TANH = TFL_TANH, HARD_SWISH = TFL_HARD_SWISH, LEAKY_RELU = TFL_LEAKY_RELU };

static const measured rows[] = {
#define MEASURED(...) {__VA_ARGS__},
#include "tests/tflite_tables.def"
#undef MEASURED
};

/* The whole path: a file with one operator, loaded under the profile, run on all 256 values. */
static void one_operator(const measured *r) {
  tb_model m = {.version = 3, .n_subgraphs = 1, .n_in = 1, .n_out = 1};
  int32_t x = tb_add(&m, "x", r->type, 2, DIMS(1, 256), r->s_x, r->z_x), y = tb_add(&m, "y", r->type, 2, DIMS(1, 256), r->s_y, r->z_y);
  tb_op *op = tb_op_add(&m, r->op, r->op == TFL_LEAKY_RELU ? 75 : 0, x, -2, -2, y);
  if (r->op == TFL_LEAKY_RELU) tb_opt_f32(op, 0, r->alpha);
  m.in[0] = x;
  m.out[0] = y;
  qv_buf b = {0};
  tb_build(&b, &m);
  qv_net *net = NULL;
  qv_err err = {0};
  if (qv_tflite_read(&net, b.p, b.n, "one", &(qv_load_opts){.profile = r->profile}, &err) != QV_OK) fail_msg("%s", err.msg);
  qv_buf_free(&b);
  qv_values v;
  assert_int_equal(qv_values_init(&v, net, &err), QV_OK);
  for (int i = 0; i < 256; i++) v.v[net->in[0].tensor][i] = r->type == TFL_INT8 ? i - 128 : i;
  assert_int_equal(qv_ref_run(net, &v, &err), QV_OK);
  for (int i = 0; i < 256; i++) {
    const char pair[3] = {r->hex[2 * i], r->hex[2 * i + 1], 0};
    unsigned char want = (unsigned char)strtoul(pair, NULL, 16);
    int64_t got = v.v[net->out[0].tensor][i], w = r->type == TFL_INT8 ? (signed char)want : want;
    if (got != w)
      fail_msg("%s under %s, row %td, input %d: %lld, measured %lld", tfl_op_name(r->op), r->profile, r - rows, i, (long long)got,
               (long long)w);
  }
  qv_values_clear(&v);
  qv_net_free(net);
}

static void functions(void **state) {
  (void)state;
  assert_true(sizeof rows / sizeof *rows >= 40);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) one_operator(&rows[i]);
}

/* int16 softmax tables: ends and shape of the functions, and that the two precisions differ only in the last bit. */
static void softmax_tables(void **state) {
  (void)state;
  int16_t a[1026], b[1026];
  qv_softmax_16_tables(a, false);
  qv_softmax_16_tables(b, true);
  assert_int_equal(a[512], 32767);     /* exp(0) saturates */
  assert_true(a[0] == 1 || a[0] == 2); /* 32768 * exp(-10) = 1.49, less half the interpolation error */
  assert_int_equal(a[513], 32767);     /* 1/(1+0) */
  assert_int_equal(a[1025], 16384);    /* 1/(1+1) */
  for (int i = 0; i < 1026; i++) assert_true(abs(a[i] - b[i]) <= 1);
  for (int i = 0; i < 512; i++) {
    double x = -10 + (i + 0.5) * 10 / 512, mid = (a[i] + a[i + 1]) / 2.0;
    assert_true(fabs(mid - 32768 * exp(x)) <= 3);
    assert_true(fabs((a[513 + i] + a[514 + i]) / 2.0 - 32768 / (1 + (i + 0.5) / 512)) <= 2);
  }
}

int main(void) {
  print_message("seed %llu\n", (unsigned long long)rng.s);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(multiplier_edges), cmocka_unit_test(multiplier_random), cmocka_unit_test(multiplier_rules),
      cmocka_unit_test(xnnpack_vector),   cmocka_unit_test(bounds_and_radius), cmocka_unit_test(names),
      cmocka_unit_test(functions),        cmocka_unit_test(softmax_tables),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
