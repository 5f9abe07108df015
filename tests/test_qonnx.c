/* QONNX and FINN graphs against tests/real_graph.h, which evaluates the graph itself over the real numbers: stored nets on MNIST, random
 * graphs, FINN's and QONNX's own data; refusals; parameters of the profiles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/range.h"
#include "frontend/array.h"
#include "frontend/load.h"
#include "ir/base/json.h"
#include "ir/base/rng.h"
#include "ir/qir.h"
#include "kernels/exec.h"
#include "kernels/profile/onnx.h"
#include "kernels/ref.h"
#include "tests/onnx_build.h"
#include "tests/range_net.h"
#include "tests/real_graph.h"

#define BREVITAS "onnx.brevitas"
#define FINN "finn.custom_op.general"

/* ---- running ------------------------------------------------------------------------------------------------------------- */

static void slurp(qv_buf *b, const char *path) {
  qv_err err = {0};
  if (qv_file_read(b, path, (size_t)1 << 28, &err) != QV_OK) fail_msg("%s", err.msg);
}

static qv_status load(qv_net **net, const qv_buf *file, const char *profile, qv_err *err) {
  const qv_load_opts opts = {.profile = profile};
  *net = NULL;
  return qv_load_bytes(net, file->p, file->n, "test.onnx", &opts, err);
}

static qv_net *must_load(const qv_buf *file, const char *profile) {
  qv_err err = {0};
  qv_net *net;
  if (load(&net, file, profile, &err) != QV_OK) fail_msg("%s: %s", profile, err.msg);
  return net;
}

/* Output 0 of the reference for float input x. */
static int64_t *run(qv_values *v, const qv_net *net, const float *x) {
  qv_err err = {0};
  uint32_t t = net->in[0].tensor;
  for (size_t e = 0; e < qv_elems(&net->tensor[t]); e++) assert_int_equal(qv_end_quantize(&v->v[t][e], net, 0, x[e], &err), QV_OK);
  if (qv_ref_run(net, v, &err) != QV_OK) fail_msg("%s", err.msg);
  return v->v[net->out[0].tensor];
}

/* q is x exactly, by the port's scale and zero point. */
static bool is_real(const qv_net *net, int64_t q, const rg_num *x) {
  const qv_tensor *t = &net->tensor[net->out[0].tensor];
  assert_int_equal(net->out[0].end, QV_END_DEQUANT);
  if (x->s != 0) return false;
  mpq_t r, k;
  mpq_inits(r, k, NULL);
  mpq_set_d(r, (double)t->scale);
  mpq_set_si(k, q - t->zp, 1);
  mpq_mul(r, r, k);
  bool ok = mpq_equal(r, x->a) != 0;
  mpq_clears(r, k, NULL);
  return ok;
}

/* ---- stored nets on MNIST ---------------------------------------------------------------------------------------------------- */

typedef struct {
  qv_array image, label;
} mnist;

static bool mnist_load(mnist *m) {
  const char *p = rn_data("data/mnist/t10k-images-idx3-ubyte.gz");
  qv_err err = {0};
  *m = (mnist){0};
  if (p == NULL) return false;
  if (qv_array_read(&m->image, p, &err) != QV_OK) fail_msg("%s", err.msg);
  if (qv_array_read(&m->label, rn_data("data/mnist/t10k-labels-idx1-ubyte.gz"), &err) != QV_OK) fail_msg("%s", err.msg);
  assert_int_equal(m->image.count, 7840000);
  return true;
}

static size_t argmax(const int64_t *x, size_t n) {
  size_t k = 0;
  for (size_t i = 1; i < n; i++)
    if (x[i] > x[k]) k = i;
  return k;
}

/* Sums in front of the float end, every logit's order, and the accuracy of the fast executor over all images. */
static void tfc(const char *file, const char *profile, const char *sums, bool pixels) {
  mnist m;
  const char *path = rn_data(file);
  if (path == NULL) skip();
  qv_buf b = {0};
  slurp(&b, path);
  if (!mnist_load(&m)) skip();
  qv_net *net = must_load(&b, profile);
  rg *g = rg_load(b.p, b.n);
  qv_values v;
  qv_err err = {0};
  assert_int_equal(qv_values_init(&v, net, &err), QV_OK);
  const unsigned char *px = m.image.data, *label = m.label.data;
  size_t step = 40 / (rn_multiplier() < 40 ? rn_multiplier() : 40), seen = 0, right = 0;
  for (size_t i = 0; i < 10000; i += step, seen++) {
    float x[784];
    for (int e = 0; e < 784; e++) x[e] = pixels ? (float)px[i * 784 + (size_t)e] : (float)px[i * 784 + (size_t)e] / 255.0f;
    const int64_t *y = run(&v, net, x);
    rg_input(g, 0, x);
    rg_run(g);
    const rg_value *acc = rg_get(g, sums), *out = rg_output(g, 0);
    assert_int_equal(acc->n, 10);
    for (size_t j = 0; j < 10; j++) {
      assert_int_equal(rg_cmp_si(&acc->v[j], (long)y[j]), 0);
      for (size_t k = 0; k < j; k++) assert_int_equal(rg_cmp(&out->v[j], &out->v[k]), (y[j] > y[k]) - (y[j] < y[k]));
    }
  }
  void *packed = NULL;
  size_t n = 0, bytes = qv_dtype_bytes(net->tensor[net->out[0].tensor].type);
  assert_int_equal(qv_input_pack(&packed, &n, net, 0, &m.image, "images", &err), QV_OK);
  unsigned char *y = calloc(n * 10, bytes);
  assert_non_null(y);
  const void *in[1] = {packed};
  void *out[1] = {y};
  qv_plan *plan;
  assert_int_equal(qv_plan_new(&plan, net, QV_ISA_BEST, &err), QV_OK);
  assert_int_equal(qv_plan_run(plan, n, in, out, 0, &err), QV_OK);
  for (size_t i = 0; i < n; i++) {
    int64_t row[10];
    for (size_t j = 0; j < 10; j++) {
      int64_t k = 0;
      memcpy(&k, y + (i * 10 + j) * bytes, bytes);
      row[j] = bytes == 4 ? (int32_t)k : k;
    }
    right += argmax(row, 10) == label[i];
  }
  print_message("%s: %zu images equal to real arithmetic; %zu of %zu right\n", file, seen, right, n);
  assert_true(right > 9200 && right < 9700);
  if (strstr(file, "2W2A") != NULL) assert_int_equal(right, 9660); /* the accuracy that its authors publish: 96.60 % */
  free(packed);
  free(y);
  qv_plan_free(plan);
  qv_values_clear(&v);
  rg_free(g);
  qv_net_free(net);
  qv_buf_free(&b);
  qv_array_free(&m.image);
  qv_array_free(&m.label);
}

static void test_tfc_1w1a(void **state) {
  (void)state;
  tfc("onnx/qonnx/TFC_1W1A.onnx", "qonnx-exact", "66", false);
}

static void test_tfc_2w2a(void **state) {
  (void)state;
  tfc("onnx/qonnx/TFC_2W2A.onnx", "qonnx-exact", "82", false);
}

/* The same through an integer input: q/255. */
static void test_tfc_grid(void **state) {
  (void)state;
  tfc("onnx/qonnx/TFC_2W2A.onnx", "finn@u8/255", "82", false);
}

static void test_finn(void **state) {
  (void)state;
  tfc("onnx/finn/build_dataflow_model.onnx", "finn", "MatMul_3_out0", true);
  const char *path = rn_data("onnx/finn/build_dataflow_model.onnx");
  if (path == NULL) skip();
  qv_buf b = {0};
  qv_err err = {0};
  qv_array x = {0}, want = {0};
  slurp(&b, path);
  qv_net *net = must_load(&b, "finn");
  assert_int_equal(qv_array_read(&x, rn_data("onnx/finn/build_dataflow_input.npy"), &err), QV_OK);
  assert_int_equal(qv_array_read(&want, rn_data("onnx/finn/build_dataflow_expected_output.npy"), &err), QV_OK);
  assert_true(x.count == 4 * 784 && x.type == QV_EL_F32 && want.count == 4 && want.type == QV_EL_I64);
  qv_values v;
  assert_int_equal(qv_values_init(&v, net, &err), QV_OK);
  for (size_t i = 0; i < 4; i++)
    assert_int_equal(argmax(run(&v, net, (const float *)x.data + i * 784), 10), ((const int64_t *)want.data)[i]);
  /* widths as annotated: INT32 */
  for (uint32_t k = 0; k < net->n_nodes; k++)
    if (net->node[k].kind == QV_AFFINE) assert_true(net->node[k].u.affine.acc.mode == QV_ACC_WRAP && net->node[k].u.affine.acc.bits == 32);
  assert_string_equal(net->out[0].tail, "ARGMAX");
  qv_values_clear(&v);
  qv_array_free(&x);
  qv_array_free(&want);
  qv_net_free(net);
  qv_buf_free(&b);
}

/* Ranges of TFC_2W2A's sums: L1 norms of the stored weights, and three of QONNX's own tests. */
static void test_ranges(void **state) {
  (void)state;
  const char *path = rn_data("onnx/qonnx/TFC_2W2A.onnx");
  if (path == NULL) skip();
  qv_buf b = {0}, text = {0};
  qv_err err = {0};
  slurp(&b, path);
  slurp(&text, rn_data("overflow/tfc_2w2a_l1_oracle.json"));
  cJSON *j;
  assert_int_equal(qv_json_parse(&j, (const char *)text.p, text.n, &err), QV_OK);
  const cJSON *layers = cJSON_GetObjectItem(j, "layers");
  qv_net *net = must_load(&b, "qonnx-exact");
  qv_range_result r;
  assert_int_equal(qv_range_run(&r, net, NULL, &err), QV_OK);
  assert_int_equal(r.n_acc, 4);
  assert_int_equal(cJSON_GetArraySize(layers), 4);
  for (int l = 0; l < 4; l++) {
    const cJSON *l1 = cJSON_GetObjectItem(cJSON_GetArrayItem(layers, l), "l1_per_output");
    assert_int_equal(cJSON_GetArraySize(l1), (int)r.acc[l].n);
    for (uint32_t c = 0; c < r.acc[l].n; c++) {
      int64_t want = (int64_t)cJSON_GetArrayItem(l1, (int)c)->valuedouble;
      /* later layers may be tighter: a quantizer's output need not reach -1 and 1 */
      if (l == 0) assert_true(r.acc[l].final[c].lo == -want && r.acc[l].final[c].hi == want && r.acc[l].attained);
      else assert_true(r.acc[l].final[c].lo >= -want && r.acc[l].final[c].hi <= want);
    }
  }
  assert_int_equal(r.acc[0].final[0].hi, 233);
  assert_int_equal(r.acc[0].final[1].hi, 288);
  assert_int_equal(r.acc[0].final[63].hi, 190);
  cJSON_Delete(j);
  qv_range_clear(&r);
  qv_net_free(net);
  qv_buf_free(&b);
  qv_buf_free(&text);
}

/* ---- QONNX's own test of MultiThreshold ------------------------------------------------------------------------------------------ */

static size_t flat(float *out, const cJSON *a, float times) {
  size_t n = 0;
  if (!cJSON_IsArray(a)) return *out = times == 1 ? (float)a->valuedouble : roundf((float)a->valuedouble * times), 1;
  for (const cJSON *e = a->child; e != NULL; e = e->next) n += flat(out + n, e, times);
  return n;
}

static void multithreshold(const cJSON *j, float times, float scale, float bias, bool nhwc) {
  float x[72], t[21], want[72];
  assert_int_equal(flat(x, cJSON_GetObjectItem(j, "inputs"), times), 72);
  assert_int_equal(flat(t, cJSON_GetObjectItem(j, "thresholds"), times), 21);
  assert_int_equal(flat(want, cJSON_GetObjectItem(j, "outputs"), 1), 72);
  ob b;
  qv_buf file = {0};
  qv_values v;
  qv_err err = {0};
  ob_init(&b, 11);
  ob_input(&b, "x", OB_FLOAT, 4, nhwc ? (const int64_t[]){6, 2, 2, 3} : (const int64_t[]){6, 3, 2, 2});
  ob_output(&b, "y", OB_FLOAT);
  const char *tn = ob_floats(&b, 2, (const int64_t[]){3, 7}, t);
  Onnx__NodeProto *n = ob_node(&b, FINN, "MultiThreshold", "y", "x", tn, NULL);
  ob_attr_f(&b, n, "out_scale", scale);
  ob_attr_f(&b, n, "out_bias", bias);
  ob_attr_s(&b, n, "out_dtype", "INT8");
  if (nhwc) ob_attr_s(&b, n, "data_layout", "NHWC");
  ob_pack(&b, &file);
  qv_net *net = must_load(&file, "qonnx-exact");
  assert_int_equal(qv_values_init(&v, net, &err), QV_OK);
  float in[72];
  size_t at[72];
  for (size_t e = 0; e < 72; e++) { /* element e of NCHW */
    size_t i = e / 12, c = e / 4 % 3, p = e % 4;
    at[e] = nhwc ? i * 12 + p * 3 + c : e;
    in[at[e]] = x[e];
  }
  const int64_t *y = run(&v, net, in);
  const qv_tensor *o = &net->tensor[net->out[0].tensor];
  bool counts = net->out[0].end == QV_END_INT; /* the values are no integers times a scale: plain counts */
  for (size_t e = 0; e < 72; e++)
    assert_true(counts ? (double)y[at[e]] == (double)want[e]
                       : (double)o->scale * (double)(y[at[e]] - o->zp) == (double)(scale * want[e] + bias));
  assert_int_equal(counts, bias == 0.125f);
  qv_values_clear(&v);
  qv_net_free(net);
  qv_buf_free(&file);
  ob_clear(&b);
}

static void test_multithreshold(void **state) {
  (void)state;
  const char *path = rn_data("overflow/multithreshold_oracle.json");
  if (path == NULL) skip();
  qv_buf text = {0};
  qv_err err = {0};
  cJSON *j;
  slurp(&text, path);
  assert_int_equal(qv_json_parse(&j, (const char *)text.p, text.n, &err), QV_OK);
  multithreshold(j, 1, 1, 0, false);
  multithreshold(j, 10, 1, 0, false);
  multithreshold(j, 10, 2, -1, false);
  multithreshold(j, 10, 1, 0, true);
  multithreshold(j, 1, 0.25f, -0.5f, true);
  multithreshold(j, 1, 0.5f, 0.125f, false);
  cJSON_Delete(j);
  qv_buf_free(&text);
}

/* ---- FINN's lowered convolutions and binary products --------------------------------------------------------------------------------- */

/* The file against the evaluator on `runs` random inputs. */
static void compare(ob *b, const char *profile, qv_rng *r, int runs) {
  qv_buf file = {0};
  qv_err err = {0};
  qv_values v;
  float x[256];
  ob_pack(b, &file);
  qv_net *net = must_load(&file, profile);
  assert_int_equal(qv_values_init(&v, net, &err), QV_OK);
  rg *g = rg_load(file.p, file.n);
  for (int k = 0; k < runs; k++) {
    size_t n = qv_elems(&net->tensor[net->in[0].tensor]);
    assert_true(n <= 256);
    for (size_t e = 0; e < n; e++) x[e] = (float)qv_rng_range(r, -40, 40) / 8;
    const int64_t *y = run(&v, net, x);
    rg_input(g, 0, x);
    rg_run(g);
    const rg_value *want = rg_output(g, 0);
    for (size_t e = 0; e < want->n; e++) assert_true(is_real(net, y[e], &want->v[e]));
  }
  rg_free(g);
  qv_values_clear(&v);
  qv_net_free(net);
  qv_buf_free(&file);
}

static void test_finn_operators(void **state) {
  (void)state;
  qv_rng r = {99};
  for (int it = 0; it < 60; it++) { /* [1,h,w,c] quantized with zero point z, Im2Col, MatMul, MultiThreshold in NHWC */
    ob b;
    int64_t h = qv_rng_range(&r, 3, 6), w = qv_rng_range(&r, 3, 5), c = qv_rng_range(&r, 1, 3), k = qv_rng_range(&r, 1, 2),
            s = qv_rng_range(&r, 1, 2);
    int64_t o = qv_rng_range(&r, 1, 3), d = qv_rng_range(&r, 1, 2), pad[4];
    float wt[64], th[12];
    for (int i = 0; i < 4; i++) pad[i] = qv_rng_range(&r, 0, 1);
    for (int i = 0; i < 64; i++) wt[i] = (float)qv_rng_range(&r, -2, 2);
    for (int i = 0; i < 12; i++) th[i] = (float)qv_rng_range(&r, -24, 24) / 4;
    ob_init(&b, 11);
    ob_input(&b, "x", OB_FLOAT, 4, (const int64_t[]){1, h, w, c});
    ob_output(&b, "y", OB_FLOAT);
    const char *sc = ob_float(&b, 0.5f), *z = ob_float(&b, (float)qv_rng_range(&r, -2, 2)), *bits = ob_float(&b, 4);
    Onnx__NodeProto *n = ob_node(&b, "qonnx.custom_op.general", "Quant", "q", "x", sc, z, bits, NULL);
    ob_attr_i(&b, n, "signed", 1);
    ob_attr_i(&b, n, "narrow", 0);
    n = ob_node(&b, FINN, "Im2Col", "i", "q", NULL);
    ob_attr_ints(&b, n, "kernel_size", 2, (const int64_t[]){k, k});
    ob_attr_ints(&b, n, "stride", 2, (const int64_t[]){s, s});
    ob_attr_ints(&b, n, "dilations", 2, (const int64_t[]){d, d});
    ob_attr_ints(&b, n, "pad_amount", 4, pad);
    ob_attr_s(&b, n, "input_shape", "(1, 4, 4, 2)");
    const char *wn = ob_floats(&b, 2, (const int64_t[]){k * k * c, o}, wt), *tn = ob_floats(&b, 2, (const int64_t[]){o, 4}, th);
    ob_node(&b, "", "MatMul", "m", "i", wn, NULL);
    n = ob_node(&b, FINN, "MultiThreshold", "y", "m", tn, NULL);
    ob_attr_s(&b, n, "data_layout", "NHWC");
    ob_attr_f(&b, n, "out_bias", -2);
    compare(&b, it % 2 ? "qonnx-exact" : "finn", &r, 3);
    ob_clear(&b);
  }
  for (int it = 0; it < 30; it++) { /* bits, XnorPopcountMatMul, MultiThreshold */
    ob b;
    int64_t k = qv_rng_range(&r, 1, 8), o = qv_rng_range(&r, 1, 4);
    float wt[32], th[8], half = 0.5f;
    for (int i = 0; i < 32; i++) wt[i] = (float)qv_rng_range(&r, 0, 1);
    for (int i = 0; i < 8; i++) th[i] = (float)qv_rng_range(&r, 0, 16) / 2;
    ob_init(&b, 11);
    ob_input(&b, "x", OB_FLOAT, 2, (const int64_t[]){1, k});
    ob_output(&b, "y", OB_FLOAT);
    const char *t0 = ob_floats(&b, 2, (const int64_t[]){1, 1}, &half), *wn = ob_floats(&b, 2, (const int64_t[]){k, o}, wt),
               *tn = ob_floats(&b, 2, (const int64_t[]){o, 2}, th);
    ob_node(&b, FINN, "MultiThreshold", "q", "x", t0, NULL);
    ob_node(&b, FINN, "XnorPopcountMatMul", "m", "q", wn, NULL);
    ob_node(&b, FINN, "MultiThreshold", "y", "m", tn, NULL);
    compare(&b, "qonnx-exact", &r, 5);
    ob_clear(&b);
  }
}

/* ---- accumulators of the profiles ------------------------------------------------------------------------------------------------------ */

/* x in {-8..7}/4 (Quant), weights k/8, bias j/32: products in steps of 1/32. */
static qv_net *small_dense(const char *profile, const char *annotated, float bias, qv_err *err) {
  ob b;
  qv_buf file = {0};
  qv_net *net;
  ob_init(&b, 11);
  ob_input(&b, "x", OB_FLOAT, 2, (const int64_t[]){1, 2});
  ob_output(&b, "y", OB_FLOAT);
  const char *s = ob_float(&b, 0.25f), *z = ob_float(&b, 0), *bits = ob_float(&b, 4),
             *w = ob_floats(&b, 2, (const int64_t[]){2, 2}, (const float[]){0.125f, 0.5f, -0.25f, 1});
  const char *bn = ob_floats(&b, 1, (const int64_t[]){2}, (const float[]){bias, 2 * bias});
  Onnx__NodeProto *n = ob_node(&b, BREVITAS, "Quant", "q", "x", s, z, bits, NULL);
  ob_attr_i(&b, n, "signed", 1);
  ob_attr_i(&b, n, "narrow", 0);
  ob_node(&b, "", "Gemm", "y", "q", w, bn, NULL);
  if (annotated != NULL) ob_annotate(&b, "y", annotated);
  ob_pack(&b, &file);
  (void)load(&net, &file, profile, err);
  qv_buf_free(&file);
  ob_clear(&b);
  return net;
}

static void expect_acc(const char *profile, const char *annotated, qv_acc_mode mode, int bits) {
  qv_err err = {0};
  qv_net *net = small_dense(profile, annotated, 0.5f, &err);
  if (net == NULL) fail_msg("%s: %s", profile, err.msg);
  const qv_affine *a = &net->node[1].u.affine;
  assert_true(a->acc.mode == mode && a->acc.bits == bits);
  assert_string_equal(net->profile, profile);
  if (mode != QV_ACC_SAT && strncmp(profile, "ap_fixed", 8) != 0) /* steps of 1/32: 1/8 and 1/2 are 1 and 4 */
    assert_true(a->w[0] == 1 && a->w[1] == -2 && a->w[2] == 4 && a->w[3] == 8 && a->b[0] == 16 && a->b[1] == 32);
  qv_net_free(net);
}

static void test_accumulators(void **state) {
  (void)state;
  expect_acc("qonnx-exact", "INT7", QV_ACC_EXACT, 0);
  expect_acc("finn", NULL, QV_ACC_EXACT, 0);
  expect_acc("finn", "INT7", QV_ACC_WRAP, 7);
  expect_acc("finn:9", "INT7", QV_ACC_WRAP, 9);
  expect_acc("wrapnet:5", "INT7", QV_ACC_WRAP, 5);
  expect_acc("wrapnet:5@i4/4", NULL, QV_ACC_WRAP, 5);
  expect_acc("ap_fixed:12,5", NULL, QV_ACC_WRAP, 12);
  expect_acc("ap_fixed:12,5,SAT", NULL, QV_ACC_SAT, 12);
  qv_err err = {0};
  assert_null(small_dense("finn", "UINT7", 0.5f, &err));
  assert_non_null(strstr(err.msg, "unsigned type UINT7"));
  err = (qv_err){0};
  qv_net *net = small_dense("ap_fixed:12,5", NULL, 0.5f, &err); /* units of 2^-7: 4 times the step 1/32; bias first */
  assert_non_null(net);
  const qv_affine *a = &net->node[1].u.affine;
  assert_true(a->w[0] == 4 && a->w[3] == 32 && a->b[0] == 64 && a->acc.bias == QV_BIAS_FIRST && a->acc.order == QV_ORDER_KERNEL);
  assert_true(net->out[0].end == QV_END_DEQUANT && (double)net->tensor[net->out[0].tensor].scale == 0x1p-7);
  /* 12 bits hold 16 units of 1: x = (7, 7)/4 gives 7/4 (1/8 - 1/4) + 1/2 and 7/4 (1/2 + 1) + 1 */
  qv_values v;
  assert_int_equal(qv_values_init(&v, net, &err), QV_OK);
  const int64_t *y = run(&v, net, (const float[]){1.75f, 1.75f});
  assert_true(y[0] == 36 && y[1] == 464);
  qv_values_clear(&v);
  qv_net_free(net);
  net = small_dense("wrapnet:5", NULL, 0.5f, &err); /* channel 1: 4*7 + 8*7 + 32 = 116 = -12 modulo 32 */
  assert_int_equal(qv_values_init(&v, net, &err), QV_OK);
  y = run(&v, net, (const float[]){1.75f, 1.75f});
  assert_true(y[0] == 9 && y[1] == -12);
  qv_values_clear(&v);
  qv_net_free(net);
  err = (qv_err){0};
  assert_null(small_dense("ap_fixed:12,8", NULL, 0.5f, &err)); /* units of 1/16 */
  assert_non_null(strstr(err.msg, "finer than the accumulator's 2^-4"));
  err = (qv_err){0};
  assert_null(small_dense("ap_fixed:12,7", NULL, 0.3f, &err));
  assert_non_null(strstr(err.msg, "a bias that is no multiple of 2^-5"));
}

static void test_parameters(void **state) {
  (void)state;
  static const char *const good[] = {"qonnx-exact",   "qonnx-exact@u8/255",  "finn",
                                     "finn:2",        "finn:62@i4/7",        "wrapnet:12",
                                     "ap_fixed:16,6", "ap_fixed:16,-3,WRAP", "ap_fixed:16,20,SAT@u1/1"};
  static const char *const wrong[] = {"qonnx-exact:3",
                                      "qonnx-exact@",
                                      "qonnx-exact@u8",
                                      "qonnx-exact@u17/2",
                                      "qonnx-exact@u8/0",
                                      "qonnx-exact@s8/2",
                                      "finn:",
                                      "finn:1",
                                      "finn:63",
                                      "finn:8x",
                                      "wrapnet",
                                      "wrapnet:",
                                      "wrapnet:-4",
                                      "ap_fixed:16",
                                      "ap_fixed:16,",
                                      "ap_fixed:16,6,TRN",
                                      "ap_fixed:16,6,SATx",
                                      "finn: 8",
                                      "ort-vnni:3",
                                      "ort-vnni@u8/1",
                                      "finns",
                                      "fin"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    if (qv_onnx_profile_find(good[i]) == NULL) fail_msg("%s", good[i]);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    if (qv_onnx_profile_find(wrong[i]) != NULL) fail_msg("%s", wrong[i]);
  qv_reals_params p;
  assert_true(qv_reals_parse(&p, "ap_fixed:16,-3,SAT@i4/7"));
  assert_true(p.bits == 16 && p.fraction == 19 && p.saturate && p.grid_div == 7 && p.grid.lo == -8 && p.grid.hi == 7);
}

/* ---- refusals: one reason each ------------------------------------------------------------------------------------------------------------ */

typedef struct {
  ob b;
  const char *c[8]; /* constants 1, 0, 4 (bits), 0.5 */
} model;

static const char *vec(model *m, float a, float c) { return ob_floats(&m->b, 1, (const int64_t[]){2}, (const float[]){a, c}); }
static const char *mat(model *m, float a, float b, float c, float d) {
  return ob_floats(&m->b, 2, (const int64_t[]){2, 2}, (const float[]){a, b, c, d});
}
static Onnx__NodeProto *op(model *m, const char *name, const char *out, const char *x, const char *w) {
  return ob_node(&m->b, "", name, out, x, w, NULL);
}
static Onnx__NodeProto *quant(model *m, const char *out, const char *x, const char *s) {
  return ob_node(&m->b, BREVITAS, "Quant", out, x, s, m->c[1], m->c[2], NULL);
}
static void norm(model *m, const char *out, const char *x, float var) {
  ob_node(&m->b, "", "BatchNormalization", out, x, vec(m, 1, 1.5f), vec(m, 0.5f, 0), vec(m, 0.25f, 1), vec(m, var, var + 1), NULL);
}

/* Each builds from "q" (quantized, [1,2], scale 1/2, zero point 0, 4 bits) or "x" to "y". */
static void r_float(model *m) { op(m, "Relu", "y", "x", NULL); }
static void r_unquantized(model *m) { op(m, "MatMul", "y", "x", mat(m, 1, 0, 0, 1)); }
static void r_roots(model *m) { norm(m, "a", "q", 2), norm(m, "b", "a", 4), quant(m, "y", "b", m->c[0]); }
static void r_clip(model *m) {
  ob_node(&m->b, "", "Clip", "a", "q", m->c[1], ob_float(&m->b, 1.3f), NULL);
  op(m, "MatMul", "y", "a", mat(m, 1, 0, 0, 1));
}
static void r_add(model *m) { norm(m, "a", "q", 2), op(m, "Add", "y", "a", "q"); }
static void r_add_tiny(model *m) {
  quant(m, "a", "q", ob_float(&m->b, 0.1f)), quant(m, "b", "q", ob_float(&m->b, 100.3f)), op(m, "Add", "y", "a", "b");
}
static void r_weight_scales(model *m) {
  const char *s = ob_floats(&m->b, 2, (const int64_t[]){2, 1}, (const float[]){1, 2});
  quant(m, "w", mat(m, 1, 2, 3, 4), s);
  op(m, "MatMul", "y", "q", "w");
}
static void r_float_weights(model *m) { op(m, "MatMul", "y", "q", mat(m, 0.1f, 1e6f, 1, 1)); }
static void r_mode(model *m) { ob_attr_s(&m->b, quant(m, "y", "q", m->c[0]), "rounding_mode", "STOCHASTIC"); }
static void r_bits(model *m) { ob_node(&m->b, BREVITAS, "Quant", "y", "q", m->c[0], m->c[1], ob_float(&m->b, 17), NULL); }
static void r_bits_fraction(model *m) { ob_node(&m->b, BREVITAS, "Quant", "y", "q", m->c[0], m->c[1], ob_float(&m->b, 3.5f), NULL); }
static void r_scale_0(model *m) { quant(m, "y", "q", m->c[1]); }
static void r_scale_nan(model *m) { quant(m, "y", "q", ob_float(&m->b, NAN)); }
static void r_scale_computed(model *m) { quant(m, "y", "q", "q"); }
static void r_threshold_nan(model *m) {
  ob_node(&m->b, FINN, "MultiThreshold", "y", "q", ob_floats(&m->b, 2, (const int64_t[]){1, 2}, (const float[]){0, NAN}), NULL);
}
static void r_threshold_rows(model *m) {
  ob_node(&m->b, FINN, "MultiThreshold", "y", "q", ob_floats(&m->b, 2, (const int64_t[]){3, 1}, (const float[]){0, 1, 2}), NULL);
}
static void r_product(model *m) { op(m, "Mul", "y", "q", "q"); }
static void r_quotient(model *m) { op(m, "Div", "y", m->c[0], "q"); }
static void r_power(model *m) { op(m, "Pow", "y", "q", ob_float(&m->b, 2)); }
static void r_xnor(model *m) { ob_node(&m->b, FINN, "XnorPopcountMatMul", "y", "q", mat(m, 1, 0, 0, 1), NULL); }
static void r_top(model *m) { op(m, "TopK", "y", "q", ob_int(&m->b, OB_I64, 2)); }
static void r_op(model *m) { ob_node(&m->b, FINN, "MVAU", "y", "q", mat(m, 1, 0, 0, 1), NULL); }
static void r_sigmoid(model *m) { op(m, "Sigmoid", "y", "q", NULL); }
static void r_variance(model *m) { norm(m, "y", "q", -2); }
static void r_trunc(model *m) { ob_node(&m->b, BREVITAS, "Trunc", "y", "q", m->c[3], m->c[1], m->c[2], ob_float(&m->b, 5), NULL); }
static void r_output(model *m) { norm(m, "y", "q", 2); }
static void r_output_step(model *m) { op(m, "Mul", "y", "q", vec(m, 0.1f, 1e4f)); }
static void r_attribute(model *m) { ob_attr_i(&m->b, quant(m, "y", "q", m->c[0]), "channelwise", 1); }
static void r_pad(model *m) {
  Onnx__NodeProto *n =
      ob_node(&m->b, FINN, "MultiThreshold", "a", "q", ob_floats(&m->b, 2, (const int64_t[]){1, 1}, (const float[]){0}), NULL);
  ob_attr_f(&m->b, n, "out_scale", 0.5f);
  ob_attr_f(&m->b, n, "out_bias", 0.25f); /* 0.25 and 0.75 */
  ob_attr_ints(&m->b, op(m, "Unsqueeze", "b", "a", NULL), "axes", 1, (const int64_t[]){2});
  const char *w = ob_floats(&m->b, 3, (const int64_t[]){1, 2, 1}, (const float[]){1, 1});
  ob_attr_ints(&m->b, op(m, "Conv", "y", "b", w), "pads", 2, (const int64_t[]){1, 1});
}
static void r_constant(model *m) { op(m, "Mul", "y", "q", m->c[1]); }

static void test_refusals(void **state) {
  (void)state;
  static const struct {
    void (*build)(model *);
    const char *part;
  } cases[] = {
      {r_float, "the float input reaches this operator before a quantizer"},
      {r_unquantized, "the float input reaches this operator before a quantizer"},
      {r_roots, "two different square roots meet"},
      {r_clip, "the activation in front of this operator is not quantized"},
      {r_add, "no common step of 32 bits"},
      {r_add_tiny, "no common step of 32 bits"},
      {r_weight_scales, "weights of one output channel have different scales"},
      {r_float_weights, "these constants are not quantized"},
      {r_mode, "rounding mode 'STOCHASTIC' is not known"},
      {r_bits, "the bit width must be a whole number from 1 to 16"},
      {r_bits_fraction, "the bit width must be a whole number"},
      {r_scale_0, "a scale is 0"},
      {r_scale_nan, "is not a number"},
      {r_scale_computed, "scales and zero points must be constants"},
      {r_threshold_nan, "a threshold is not a finite number"},
      {r_threshold_rows, "3 rows of thresholds for 2 channels"},
      {r_product, "the product or quotient of two computed tensors"},
      {r_quotient, "division by a computed value"},
      {r_power, "powers of computed values"},
      {r_xnor, "XnorPopcountMatMul needs inputs 0 and 1"},
      {r_top, "only the index of the largest value"},
      {r_op, "the operator is not supported under profile qonnx-exact"},
      {r_sigmoid, "the operator is not supported under profile qonnx-exact"},
      {r_variance, "the variance plus epsilon is not positive"},
      {r_trunc, "Trunc must drop 0 to 31 bits"},
      {r_output, "the channels of this output have different scales"},
      {r_output_step, "the channels of this output have different scales"},
      {r_attribute, "attribute 'channelwise' is not supported"},
      {r_pad, "padding with 0, which is not one of the quantized input's values"},
      {r_constant, "the output is constant"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    model m;
    qv_buf file = {0};
    qv_err err = {0};
    qv_net *net;
    ob_init(&m.b, 11);
    ob_input(&m.b, "x", OB_FLOAT, 2, (const int64_t[]){1, 2});
    ob_output(&m.b, "y", OB_FLOAT);
    static const float c[] = {1, 0, 4, 0.5f};
    for (int k = 0; k < 4; k++) m.c[k] = ob_float(&m.b, c[k]);
    if (cases[i].build != r_float && cases[i].build != r_unquantized) quant(&m, "q", "x", m.c[3]);
    cases[i].build(&m);
    ob_pack(&m.b, &file);
    qv_status st = load(&net, &file, "qonnx-exact", &err);
    if ((st != QV_E_UNSUP && st != QV_E_PARSE) || strstr(err.msg, cases[i].part) == NULL)
      fail_msg("case %zu (%s): %s: %s", i, cases[i].part, qv_status_name(st), err.msg);
    if (i > 1) { /* without a profile, and under one of another kind */
      err = (qv_err){0};
      assert_int_equal(load(&net, &file, NULL, &err), QV_E_ARG);
      err = (qv_err){0};
      assert_int_equal(load(&net, &file, "ort-vnni", &err), QV_E_UNSUP);
      assert_non_null(strstr(err.msg, "name a profile such as qonnx-exact"));
    }
    qv_buf_free(&file);
    ob_clear(&m.b);
  }
}

/* ---- random graphs ------------------------------------------------------------------------------------------------------------------- */

typedef struct {
  ob b;
  qv_rng r;
  char name[64];
  unsigned n;
  int64_t dim[4];
  size_t rank;
} gen;

static bool chance(gen *g, int percent) { return qv_rng_range(&g->r, 0, 99) < percent; }
static int64_t pick(gen *g, int64_t lo, int64_t hi) { return qv_rng_range(&g->r, lo, hi); }

/* Now and then dyadic, so that ties and exact hits happen. */
static float real(gen *g, double lo, double hi) {
  double x = lo + (hi - lo) * (double)pick(g, 0, 1 << 20) / (1 << 20);
  return (float)(chance(g, 50) ? round(x * 8) / 8 : x);
}

static float scale(gen *g) {
  float s = chance(g, 60) ? (float)ldexp(1, (int)pick(g, -3, 1)) : real(g, 0.05, 1.5);
  return s == 0 ? 1 : s;
}

static const char *step(gen *g) {
  (void)snprintf(g->name, sizeof g->name, "v%u", ++g->n);
  return g->name;
}

/* Constant of one number, or of one per channel (dimension 1; the last one for rank 2). */
static const char *per_channel(gen *g, bool many, float (*f)(gen *)) {
  float v[16];
  int64_t c = g->dim[1], dim[4] = {1, c, 1, 1};
  if (!many) return ob_float(&g->b, f(g));
  for (int64_t i = 0; i < c; i++) v[i] = f(g);
  return ob_floats(&g->b, g->rank, dim, v);
}

static float offset(gen *g) { return real(g, -3, 3); }
static float slope(gen *g) { return real(g, -0.5, 1); }
static float factor(gen *g) {
  float v = real(g, -2, 2);
  return v == 0 ? 1 : v;
}

static char *here(gen *g) { return qv_arena_str(&g->b.a, g->name, strlen(g->name)); }

static void quantizer(gen *g, const char *x) {
  static const char *const modes[] = {"ROUND", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN", "ROUND_TO_ZERO", "HALF_EVEN"};
  char in[64];
  (void)snprintf(in, sizeof in, "%s", x);
  int64_t kind = pick(g, 0, 10);
  if (kind == 10) { /* the same in QDQ form */
    bool sign = chance(g, 50);
    const char *s = ob_float(&g->b, scale(g)), *z = ob_int(&g->b, sign ? OB_I8 : OB_U8, pick(g, sign ? -9 : 0, 9));
    ob_node(&g->b, "", "QuantizeLinear", step(g), in, s, z, NULL);
    char *q = here(g);
    ob_node(&g->b, "", "DequantizeLinear", step(g), q, s, z, NULL);
  } else if (kind == 0) {
    const char *s = per_channel(g, chance(g, 30), scale);
    ob_node(&g->b, BREVITAS, "BipolarQuant", step(g), in, s, NULL);
  } else if (kind <= 2) {
    float t[16 * 5];
    int64_t c = chance(g, 60) ? g->dim[1] : 1, k = pick(g, 1, 5);
    for (int64_t i = 0; i < c; i++)
      for (int64_t n = 0; n < k; n++) t[i * k + n] = (n > 0 ? t[i * k + n - 1] : real(g, -6, 0)) + fabsf(real(g, 0, 3));
    const char *tn = ob_floats(&g->b, 2, (const int64_t[]){c, k}, t);
    Onnx__NodeProto *n = ob_node(&g->b, FINN, "MultiThreshold", step(g), in, tn, NULL);
    static const float s[] = {1, 2, 0.5f, 0.1f}, o[] = {0, -1, 0.25f, -0.2f};
    int64_t i = pick(g, 0, 3);
    ob_attr_f(&g->b, n, "out_scale", s[i]);
    ob_attr_f(&g->b, n, "out_bias", o[i]);
    ob_attr_s(&g->b, n, "out_dtype", "UINT4");
  } else {
    int64_t nb = pick(g, 1, 5);
    bool many = chance(g, 20);
    float sf = scale(g);
    const char *s = many ? per_channel(g, true, scale) : ob_float(&g->b, sf),
               *z = ob_float(&g->b, chance(g, 60) ? 0 : (float)pick(g, -3, 3));
    const char *bits = ob_float(&g->b, (float)nb);
    Onnx__NodeProto *n = ob_node(&g->b, BREVITAS, "Quant", step(g), in, s, z, bits, NULL);
    ob_attr_i(&g->b, n, "signed", pick(g, 0, 1));
    ob_attr_i(&g->b, n, "narrow", pick(g, 0, 1));
    ob_attr_s(&g->b, n, "rounding_mode", modes[pick(g, 0, 8)]);
    if (nb < 3 || !chance(g, 25)) return;
    char *q = here(g); /* drop some of the bits again */
    int64_t d = pick(g, 0, nb - 1);
    if (many || chance(g, 50)) {
      n = ob_node(&g->b, BREVITAS, "Trunc", step(g), q, s, z, bits, ob_float(&g->b, (float)(nb - d)), NULL);
    } else {
      const char *so = ob_float(&g->b, ldexpf(sf, (int)d)), *zo = ob_float(&g->b, 0), *bo = ob_float(&g->b, (float)pick(g, 1, nb));
      n = ob_node(&g->b, BREVITAS, "Trunc", step(g), q, s, z, bits, so, zo, bo, NULL);
      ob_attr_i(&g->b, n, "signed", pick(g, 0, 1));
      ob_attr_i(&g->b, n, "narrow", pick(g, 0, 1));
    }
    ob_attr_s(&g->b, n, "rounding_mode", modes[pick(g, 0, 8)]);
  }
}

static const char *weights(gen *g, size_t rank, const int64_t *dim, int64_t out_axis) {
  int64_t n = 1;
  float v[1024], s[16];
  for (size_t d = 0; d < rank; d++) n *= dim[d];
  assert_true(n <= 1024);
  bool ints = chance(g, 30);
  if (chance(g, 12)) { /* stored integers, dequantized, with one scale per output channel */
    int64_t q[1024], z[16] = {0};
    for (int64_t i = 0; i < n; i++) q[i] = pick(g, -7, 7);
    for (int64_t i = 0; i < dim[out_axis]; i++) s[i] = scale(g), z[i] = pick(g, -1, 1);
    const char *qn = ob_ints(&g->b, OB_I8, rank, dim, q), *sn = ob_floats(&g->b, 1, &dim[out_axis], s),
               *zn = ob_ints(&g->b, OB_I8, 1, &dim[out_axis], z);
    Onnx__NodeProto *d = ob_node(&g->b, "", "DequantizeLinear", step(g), qn, sn, zn, NULL);
    ob_attr_i(&g->b, d, "axis", out_axis);
    return here(g);
  }
  for (int64_t i = 0; i < n; i++) v[i] = ints ? (float)pick(g, -3, 3) : real(g, -2, 2);
  const char *w = ob_floats(&g->b, rank, dim, v);
  if (ints) return w;
  int64_t sd[4] = {1, 1, 1, 1};
  bool many = chance(g, 50);
  if (many) sd[out_axis] = dim[out_axis];
  for (int64_t i = 0; i < sd[out_axis]; i++) s[i] = scale(g);
  const char *sn = many ? ob_floats(&g->b, rank, sd, s) : ob_float(&g->b, s[0]), *z = ob_float(&g->b, 0),
             *bits = ob_float(&g->b, (float)pick(g, 1, 4));
  if (chance(g, 20)) {
    ob_node(&g->b, BREVITAS, "BipolarQuant", step(g), w, sn, NULL);
  } else {
    Onnx__NodeProto *q = ob_node(&g->b, BREVITAS, "Quant", step(g), w, sn, z, bits, NULL);
    ob_attr_i(&g->b, q, "signed", 1);
    ob_attr_i(&g->b, q, "narrow", pick(g, 0, 1));
    ob_attr_s(&g->b, q, "rounding_mode", "ROUND");
  }
  return qv_arena_str(&g->b.a, g->name, strlen(g->name));
}

static void batchnorm(gen *g, const char *x) {
  float v[4][16];
  int64_t c = g->dim[1];
  for (int64_t i = 0; i < c; i++) {
    v[0][i] = factor(g);
    v[1][i] = offset(g);
    v[2][i] = offset(g);
    v[3][i] = chance(g, 20) ? 4.0f : fabsf(real(g, 0.1, 9)) + 0.01f;
  }
  const char *p[4];
  for (int k = 0; k < 4; k++) p[k] = ob_floats(&g->b, 1, &c, v[k]);
  Onnx__NodeProto *n = ob_node(&g->b, "", "BatchNormalization", step(g), x, p[0], p[1], p[2], p[3], NULL);
  ob_attr_f(&g->b, n, "epsilon", chance(g, 30) ? 0.0f : 1e-5f);
}

/* Scales, biases, activations in front of a quantizer. */
static void between(gen *g) {
  bool normalized = false;
  for (int64_t k = pick(g, 0, 3); k > 0; k--) {
    char *x = here(g);
    switch (pick(g, 0, 8)) {
    case 0: ob_node(&g->b, "", "Mul", step(g), x, per_channel(g, chance(g, 50), factor), NULL); break;
    case 1: ob_node(&g->b, "", "Add", step(g), x, per_channel(g, chance(g, 50), offset), NULL); break;
    case 2: ob_node(&g->b, "", "Sub", step(g), x, per_channel(g, chance(g, 50), offset), NULL); break;
    case 3: ob_node(&g->b, "", "Div", step(g), x, per_channel(g, chance(g, 50), factor), NULL); break;
    case 4: ob_node(&g->b, "", "Relu", step(g), x, NULL); break;
    case 5: {
      Onnx__NodeProto *n = ob_node(&g->b, "", "LeakyRelu", step(g), x, NULL);
      ob_attr_f(&g->b, n, "alpha", slope(g));
      break;
    }
    case 6: ob_node(&g->b, "", "PRelu", step(g), x, per_channel(g, true, slope), NULL); break;
    case 7: {
      float lo = real(g, -4, 0);
      const char *a = ob_float(&g->b, lo), *c = ob_float(&g->b, lo + fabsf(real(g, 0, 5)));
      ob_node(&g->b, "", "Clip", step(g), x, a, c, NULL);
      break;
    }
    default:
      if (!normalized) batchnorm(g, x);
      normalized = true;
    }
  }
}

static void dense(gen *g) {
  char *x = here(g);
  int64_t k = g->dim[1], o = pick(g, 1, 6);
  if (chance(g, 40)) {
    const char *w = weights(g, 2, (const int64_t[]){o, k}, 0);
    float b[16];
    for (int64_t i = 0; i < o; i++) b[i] = offset(g);
    g->dim[1] = o;
    const char *bias = ob_floats(&g->b, 1, &o, b);
    Onnx__NodeProto *n = ob_node(&g->b, "", "Gemm", step(g), x, w, bias, NULL);
    ob_attr_i(&g->b, n, "transB", 1);
    return;
  }
  if (chance(g, 40)) {
    char *w = qv_arena_str(&g->b.a, "", 0);
    const char *t = weights(g, 2, (const int64_t[]){o, k}, 0);
    Onnx__NodeProto *n = ob_node(&g->b, "", "Transpose", step(g), t, NULL);
    ob_attr_ints(&g->b, n, "perm", 2, (const int64_t[]){1, 0});
    w = here(g);
    ob_node(&g->b, "", "MatMul", step(g), x, w, NULL);
  } else {
    const char *w = weights(g, 2, (const int64_t[]){k, o}, 1);
    ob_node(&g->b, "", "MatMul", step(g), x, w, NULL);
  }
  g->dim[1] = o;
}

static void conv(gen *g) {
  char *x = here(g);
  int64_t c = g->dim[1], groups = chance(g, 30) ? c : 1, o = groups * pick(g, 1, groups > 8 ? 1 : groups > 1 ? 2 : 4), k = pick(g, 1, 3),
          pad = pick(g, 0, 1), s = pick(g, 1, 2);
  if (g->dim[2] + 2 * pad < k) k = 1;
  const char *w = weights(g, 4, (const int64_t[]){o, c / groups, k, k}, 0);
  float b[16];
  for (int64_t i = 0; i < o; i++) b[i] = offset(g);
  const char *bias = chance(g, 40) ? ob_floats(&g->b, 1, &o, b) : NULL;
  Onnx__NodeProto *n = ob_node(&g->b, "", "Conv", step(g), x, w, bias, NULL);
  ob_attr_i(&g->b, n, "group", groups);
  ob_attr_ints(&g->b, n, "pads", 4, (const int64_t[]){pad, pad, pad, pad});
  ob_attr_ints(&g->b, n, "strides", 2, (const int64_t[]){s, s});
  ob_attr_ints(&g->b, n, "kernel_shape", 2, (const int64_t[]){k, k});
  g->dim[1] = o;
  g->dim[2] = g->dim[3] = (g->dim[2] + 2 * pad - k) / s + 1;
}

static void pool(gen *g, bool mean) {
  char *x = here(g);
  if (g->dim[2] < 2) return;
  Onnx__NodeProto *n = ob_node(&g->b, "", mean ? "AveragePool" : "MaxPool", step(g), x, NULL);
  ob_attr_ints(&g->b, n, "kernel_shape", 2, (const int64_t[]){2, 2});
  ob_attr_ints(&g->b, n, "strides", 2, (const int64_t[]){1, 1});
  g->dim[2] = --g->dim[3];
}

static void random_graph(gen *g, float *x, size_t *n) {
  bool image = chance(g, 50);
  ob_init(&g->b, 12);
  g->rank = image ? 4 : 2;
  g->dim[0] = 1;
  g->dim[1] = pick(g, 1, image ? 3 : 6);
  g->dim[2] = g->dim[3] = image ? pick(g, 1, 5) : 1;
  *n = (size_t)(g->dim[1] * g->dim[2] * g->dim[3]);
  for (size_t i = 0; i < *n; i++) x[i] = real(g, -4, 4);
  ob_input(&g->b, "x", OB_FLOAT, g->rank, g->dim);
  (void)snprintf(g->name, sizeof g->name, "x");
  if (chance(g, 50)) between(g);
  quantizer(g, here(g));
  for (int64_t layers = pick(g, 1, 3); layers > 0; layers--) {
    if (chance(g, 15) && g->dim[1] <= 16) { /* other scales and offsets for each channel of a quantized tensor */
      char *a = here(g);
      bool mul = chance(g, 50);
      const char *c = per_channel(g, true, mul ? factor : offset);
      ob_node(&g->b, "", mul ? "Mul" : "Add", step(g), a, c, NULL);
      for (int there = 0; g->rank == 4 && there < 2 && chance(g, 60); there++) { /* to channels last, and back */
        a = here(g);
        Onnx__NodeProto *t = ob_node(&g->b, "", "Transpose", step(g), a, NULL);
        ob_attr_ints(&g->b, t, "perm", 4, (const int64_t[]){0, 2, 3, 1});
        a = here(g);
        t = ob_node(&g->b, "", "Transpose", step(g), a, NULL);
        ob_attr_ints(&g->b, t, "perm", 4, (const int64_t[]){0, 3, 1, 2});
      }
    }
    if (chance(g, 15)) { /* a branch that joins itself again */
      char *a = here(g), *c = a;
      if (chance(g, 60)) { /* ... with another scale and offset */
        ob_node(&g->b, "", "Mul", step(g), a, ob_float(&g->b, (float)pick(g, -9, 9) / 4 + 0.125f), NULL);
        c = here(g);
        if (chance(g, 50)) ob_node(&g->b, "", "Add", step(g), c, ob_float(&g->b, offset(g)), NULL);
        c = here(g);
      }
      if (chance(g, 50)) ob_node(&g->b, "", chance(g, 50) ? "Add" : "Sub", step(g), a, c, NULL);
      else ob_node(&g->b, "", chance(g, 50) ? "Add" : "Sub", step(g), c, a, NULL);
    } else if (g->rank == 4 && chance(g, 70)) conv(g);
    else if (g->rank == 4) {
      char *a = here(g);
      ob_node(&g->b, "", "Flatten", step(g), a, NULL);
      g->dim[1] *= g->dim[2] * g->dim[3];
      g->dim[2] = g->dim[3] = 1;
      g->rank = 2;
      if (g->dim[1] > 16) break; /* enough: constants below have 16 places */
      dense(g);
    } else dense(g);
    if (chance(g, 12)) { /* no quantizer: sums of sums, or clipped ones */
      char *a = here(g);
      if (chance(g, 50)) ob_node(&g->b, "", "Relu", step(g), a, NULL);
      continue;
    }
    between(g);
    if (g->rank == 4 && chance(g, 20)) pool(g, false);
    quantizer(g, here(g));
    if (g->rank == 4 && chance(g, 20)) pool(g, false);
    if (g->rank == 4 && chance(g, 15)) {
      pool(g, true);
      quantizer(g, here(g));
    }
  }
  if (g->dim[1] <= 16) quantizer(g, here(g));
  ob_output(&g->b, g->name, OB_FLOAT);
}

static void test_random(void **state) {
  (void)state;
  uint64_t seed = 4096;
  size_t graphs = 600 * rn_multiplier(), same = 0, refused = 0, other = 0;
  print_message("seeds %llu to %llu\n", (unsigned long long)seed, (unsigned long long)(seed + graphs - 1));
  for (size_t i = 0; i < graphs; i++, seed++) {
    gen g = {.r = {seed}};
    float x[128];
    size_t n;
    qv_buf file = {0}, qir = {0};
    qv_err err = {0};
    qv_net *net;
    random_graph(&g, x, &n);
    ob_pack(&g.b, &file);
    qv_status st = load(&net, &file, "qonnx-exact", &err);
    if (st == QV_E_UNSUP) refused++;
    else if (st != QV_OK) fail_msg("seed %llu: %s", (unsigned long long)seed, err.msg);
    if (st == QV_OK && net->out[0].end != QV_END_DEQUANT) other++;
    if (st == QV_OK && net->out[0].end == QV_END_DEQUANT) {
      qv_values v;
      assert_int_equal(qv_values_init(&v, net, &err), QV_OK);
      rg *real_net = rg_load(file.p, file.n);
      for (int k = 0; k < 8; k++) {
        const int64_t *y = run(&v, net, x);
        rg_input(real_net, 0, x);
        rg_run(real_net);
        const rg_value *want = rg_output(real_net, 0);
        assert_int_equal(want->n, qv_elems(&net->tensor[net->out[0].tensor]));
        for (size_t e = 0; e < want->n; e++)
          if (!is_real(net, y[e], &want->v[e])) fail_msg("seed %llu, element %zu: %lld", (unsigned long long)seed, e, (long long)y[e]);
        for (size_t e = 0; e < n; e++) x[e] = real(&g, -4, 4);
      }
      assert_int_equal(qv_qir_write(&qir, net, &err), QV_OK);
      same++;
      rg_free(real_net);
      qv_values_clear(&v);
    }
    qv_net_free(net);
    qv_buf_free(&qir);
    qv_buf_free(&file);
    ob_clear(&g.b);
  }
  print_message("%zu graphs equal to real arithmetic on 8 inputs each, %zu refused, %zu without a scale\n", same, refused, other);
  assert_true(refused < graphs / 6 && other < graphs / 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random),     cmocka_unit_test(test_finn_operators), cmocka_unit_test(test_accumulators),
      cmocka_unit_test(test_parameters), cmocka_unit_test(test_refusals),       cmocka_unit_test(test_multithreshold),
      cmocka_unit_test(test_tfc_1w1a),   cmocka_unit_test(test_tfc_2w2a),       cmocka_unit_test(test_tfc_grid),
      cmocka_unit_test(test_finn),       cmocka_unit_test(test_ranges),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
