/* Published and stored width tables, and the places where other tools are unsound, each as a test by name. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ir/base/json.h"
#include "ir/base/rng.h"
#include "tests/cmsis_net.h"
#include "tests/range_net.h"

static const qv_acc EXACT = {.mode = QV_ACC_EXACT};
static qv_acc wrap(int bits) { return (qv_acc){.mode = QV_ACC_WRAP, .bits = (uint8_t)bits}; }

static cJSON *load_json(const char *path) {
  qv_buf text = {0};
  qv_err err = {0};
  cJSON *v = NULL;
  if (qv_file_read(&text, path, (size_t)1 << 26, &err) != QV_OK || qv_json_parse(&v, (const char *)text.p, text.n, &err) != QV_OK)
    fail_msg("%s: %s", path, err.msg);
  qv_buf_free(&text);
  return v;
}

static int64_t number(const cJSON *array, int i) {
  int64_t v = 0;
  qv_err err = {0};
  if (qv_json_int(&v, cJSON_GetArrayItem(array, i), INT64_MIN, INT64_MAX, "table", &err) != QV_OK) fail_msg("%s", err.msg);
  return v;
}

static const cJSON *member(const cJSON *o, const char *key) {
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
  if (v == NULL) fail_msg("no member '%s'", key);
  return v;
}

/* w repeated n times. */
static int32_t *repeat(int32_t w, size_t n) {
  int32_t *v = test_malloc(n * sizeof *v);
  for (size_t i = 0; i < n; i++) v[i] = w;
  return v;
}

/* One dense layer of k inputs in [lo,hi] and two channels with weights w0 and w1 throughout. */
static void two_channels(qv_range_result *r, qv_net *net, uint32_t k, int64_t lo, int64_t hi, int32_t w0, int32_t w1, qv_acc acc) {
  int32_t *w = repeat(w0, (size_t)2 * k);
  for (size_t i = 0; i < k; i++) w[k + i] = w1;
  uint32_t x = rn_input(net, QV_I32, lo, hi, 1, &k);
  rn_run(r, net, rn_affine(net, x, (rn_affine_arg){.win = rn_dense(k, 2), .w = w, .acc = acc}), NULL, 0);
  test_free(w);
}

static void drop(qv_range_result *r, qv_net *net) {
  qv_range_clear(r);
  qv_net_free(net);
}

/* ---- stored tables ---------------------------------------------------------------------------------------------------- */

/* All weights and inputs of given widths: exact widths and the A2Q data-type bound, 540 rows. */
static void test_acc_width_table(void **s) {
  (void)s;
  const char *path = rn_data("overflow/acc_width_table.json");
  if (path == NULL) skip();
  cJSON *root = load_json(path);
  const cJSON *row;
  int rows = 0, wider[3] = {0};
  cJSON_ArrayForEach(row, member(root, "rows")) {
    uint32_t k = (uint32_t)number(row, 0);
    int n = (int)number(row, 1), m = (int)number(row, 3), p = (int)number(row, 6), a2q = (int)number(row, 7);
    bool is_signed = number(row, 2) != 0;
    int64_t lo = is_signed ? -((int64_t)1 << (n - 1)) : 0, hi = ((int64_t)1 << (n - is_signed)) - 1;
    int32_t w0 = -(1 << (m - 1)), w1 = (1 << (m - 1)) - 1;
    for (int bits = p - 1; bits <= p; bits++) {
      qv_net *net = rn_new();
      qv_range_result r;
      qv_ov_item it;
      two_channels(&r, net, k, lo, hi, w0, w1, wrap(bits < 2 ? 2 : bits));
      const qv_acc_bound *b = &r.acc[0];
      rn_itv(qv_itv_hull(b->final[0], b->final[1]), number(row, 4), number(row, 5), "exact range");
      rn_itv(qv_itv_hull(b->any[0], b->any[1]), number(row, 4), number(row, 5), "any order"); /* all terms have 0 in them */
      assert_int_equal(b->bits_final, p);
      assert_int_equal(b->bits_dtype, a2q);
      assert_int_equal(qv_a2q_dtype_bits(k, n, is_signed, m), a2q);
      assert_true(b->exact && b->attained && b->k == k);
      qv_overflow_judge(&it, net, &r, 0);
      if (bits >= 2) assert_int_equal(it.verdict, bits == p ? QV_VERIFIED : QV_UNKNOWN);
      if (bits >= 2) assert_int_equal(it.cls, bits == p ? QV_OV_SAFE_ANY : QV_OV_UNSAFE);
      drop(&r, net);
    }
    assert_in_range(a2q - p, 0, 2);
    wider[a2q - p]++;
    rows++;
  }
  assert_int_equal(rows, 540);
  assert_int_equal(wider[0], 336);
  assert_int_equal(wider[1], 184);
  assert_int_equal(wider[2], 20);
  cJSON_Delete(root);
}

/* Ternary weights of known L1 norm, inputs -1, 0, 1: range [-L1, L1]. */
static void test_tfc_l1(void **s) {
  (void)s;
  const char *path = rn_data("overflow/tfc_2w2a_l1_oracle.json");
  if (path == NULL) skip();
  cJSON *root = load_json(path);
  const cJSON *layer;
  qv_rng rng = {7};
  cJSON_ArrayForEach(layer, member(root, "layers")) {
    const cJSON *l1 = member(layer, "l1_per_output");
    uint32_t oc = (uint32_t)number(member(layer, "shape_out_in"), 0), k = (uint32_t)number(member(layer, "shape_out_in"), 1);
    assert_int_equal(cJSON_GetArraySize(l1), oc);
    int32_t *w = repeat(0, (size_t)oc * k);
    for (uint32_t o = 0; o < oc; o++)
      for (int64_t left = number(l1, (int)o); left > 0;) {
        size_t at = (size_t)o * k + (size_t)qv_rng_range(&rng, 0, k - 1);
        if (w[at] == 0) w[at] = qv_rng_range(&rng, 0, 1) ? 1 : -1, left--;
      }
    qv_net *net = rn_new();
    qv_range_result r;
    uint32_t x = rn_input(net, QV_I8, -1, 1, 1, &k);
    rn_run(&r, net, rn_affine(net, x, (rn_affine_arg){.win = rn_dense(k, oc), .w = w, .acc = EXACT}), NULL, 0);
    for (uint32_t o = 0; o < oc; o++) rn_itv(r.acc[0].final[o], -number(l1, (int)o), number(l1, (int)o), "L1");
    int64_t max_l1 = 0, bits = 0;
    assert_int_equal(qv_json_get_int(&max_l1, layer, "max_l1", 0, INT64_MAX, "layer", NULL), QV_OK);
    assert_int_equal(qv_json_get_int(&bits, layer, "signed_acc_bits", 0, 64, "layer", NULL), QV_OK);
    assert_int_equal(r.acc[0].bits_final, bits);
    assert_int_equal(r.acc[0].bits_l1, qv_a2q_bits((qv_u128)max_l1 * 2)); /* 2-bit signed input: 2^(N-s) = 2 */
    drop(&r, net);
    test_free(w);
  }
  cJSON_Delete(root);
}

/* One pair through a saturating or wrapping int16 stage, inputs fixed. */
static void one_pair(qv_itv *sum, qv_itv *result, bool *harmless, int64_t x0, int64_t w0, int64_t x1, int64_t w1, qv_acc acc, bool is_signed) {
  uint32_t k = acc.mode == QV_ACC_LANES ? 16 : 2, second = acc.mode == QV_ACC_LANES ? 8 : 1;
  int32_t w[16] = {0};
  qv_itv v[16] = {{0, 0}};
  w[0] = (int32_t)w0, w[second] = (int32_t)w1;
  v[0] = (qv_itv){x0, x0}, v[second] = (qv_itv){x1, x1};
  qv_ranges box = {k, 1, v};
  qv_net *net = rn_new();
  qv_range_result r;
  uint32_t x = is_signed ? rn_input(net, QV_I8, -128, 127, 1, &k) : rn_input(net, QV_U8, 0, 255, 1, &k);
  uint32_t y = rn_affine(net, x, (rn_affine_arg){.win = rn_dense(k, 1), .w = w, .acc = acc});
  rn_run(&r, net, y, (const qv_ranges *const[]){&box}, 0);
  *sum = r.acc[0].stage[0].itv;
  *result = r.tensor[y].itv[0];
  *harmless = qv_acc_harmless(&acc, acc.bits, &r.acc[0], 0);
  drop(&r, net);
}

static void test_x86_neon_vectors(void **s) {
  (void)s;
  const char *path = rn_data("overflow/x86_neon_int16_vectors.json");
  if (path == NULL) skip();
  cJSON *root = load_json(path);
  const cJSON *v;
  int rows = 0;
  cJSON_ArrayForEach(v, member(root, "vectors")) { /* a0 b0 a1 b1 exact saturated */
    qv_itv sum, result;
    bool harmless;
    one_pair(&sum, &result, &harmless, number(v, 0), number(v, 1), number(v, 2), number(v, 3),
             (qv_acc){.mode = QV_ACC_PAIR16, .bits = 32, .raw = true}, false);
    rn_itv(sum, number(v, 4), number(v, 4), "pair sum");
    rn_itv(result, qv_min64(number(v, 4), number(v, 5)), qv_max64(number(v, 4), number(v, 5)), "exact sum moved by saturation");
    assert_int_equal(harmless, number(v, 4) == number(v, 5));
    rows++;
  }
  assert_int_equal(rows, 10);
  cJSON_ArrayForEach(v, member(member(root, "neon_smull_smlal_wrap"), "vectors")) { /* w0 x0 w1 x1 exact wrapped */
    qv_itv sum, result;
    bool harmless;
    one_pair(&sum, &result, &harmless, number(v, 1), number(v, 0), number(v, 3), number(v, 2),
             (qv_acc){.mode = QV_ACC_LANES, .bits = 32, .lanes = 8, .lane_bits = 16, .spill = 2, .raw = true}, true);
    rn_itv(qv_itv_hull(sum, (qv_itv){0, 0}), qv_min64(number(v, 4), 0), qv_max64(number(v, 4), 0), "lane window");
    assert_int_equal(harmless, number(v, 4) == number(v, 5));
    assert_true(result.lo <= number(v, 5) && number(v, 5) <= result.hi);
    rows++;
  }
  assert_int_equal(rows, 13);
  cJSON_Delete(root);
}

/* Rule P1: over all inputs in [0,255]^2 a byte pair is safe iff b0+ + b1+ <= 128 and b0- + b1- >= -128; 16,257 are not. */
static void test_pair_rule(void **s) {
  (void)s;
  uint32_t oc = 65536, k = 2, unsafe = 0;
  int32_t *w = repeat(0, (size_t)2 * oc);
  for (int32_t i = 0; i < 65536; i++) w[2 * i] = i / 256 - 128, w[2 * i + 1] = i % 256 - 128;
  qv_net *net = rn_new();
  qv_range_result r;
  uint32_t x = rn_input(net, QV_U8, 0, 255, 1, &k);
  rn_run(&r, net, rn_affine(net, x, (rn_affine_arg){.win = rn_dense(2, oc), .w = w, .acc = {.mode = QV_ACC_PAIR16, .bits = 32, .raw = true}}),
         NULL, 0);
  for (uint32_t o = 0; o < oc; o++) {
    int32_t b0 = w[2 * o], b1 = w[2 * o + 1];
    bool safe = (b0 > 0 ? b0 : 0) + (b1 > 0 ? b1 : 0) <= 128 && (b0 < 0 ? b0 : 0) + (b1 < 0 ? b1 : 0) >= -128;
    assert_int_equal(r.acc[0].stage[o].unsafe, !safe);
    unsafe += r.acc[0].stage[o].unsafe;
  }
  assert_int_equal(unsafe, 16257);
  drop(&r, net);
  test_free(w);
}

/* ---- unsound spots of other tools ------------------------------------------------------------------------------------- */

/* SIRA computes a midpoint-radius dot product in binary32, which loses end points: ours must be those of exact integers. */
static void test_long_dot_products_are_exact(void **s) {
  (void)s;
  qv_rng rng = {2026};
  const uint32_t sizes[] = {1152, 4608, 25088};
  for (int i = 0; i < 3; i++) {
    uint32_t k = sizes[i];
    int32_t *w = repeat(0, k);
    int64_t pos = 0, neg = 0;
    for (uint32_t j = 0; j < k; j++) {
      w[j] = (int32_t)qv_rng_range(&rng, -128, 127);
      *(w[j] > 0 ? &pos : &neg) += w[j];
    }
    qv_net *net = rn_new();
    qv_range_result r;
    uint32_t x = rn_input(net, QV_U8, 0, 255, 1, &k);
    rn_run(&r, net, rn_affine(net, x, (rn_affine_arg){.win = rn_dense(k, 1), .w = w, .acc = wrap(32)}), NULL, 0);
    rn_itv(r.acc[0].final[0], 255 * neg, 255 * pos, "dot product");
    drop(&r, net);
    test_free(w);
  }
}

/* x in [5,10], w = 1 1 1, zero padding of one tap on each side: [10,30], not [15,30]. */
static void test_padded_conv(void **s) {
  (void)s;
  const int32_t w[3] = {1, 1, 1};
  const uint32_t dim[4] = {1, 1, 8, 1};
  qv_window g = {.n = 1, .ih = 1, .iw = 8, .ic = 1, .oh = 1, .ow = 8, .oc = 1, .kh = 1, .kw = 3, .sh = 1, .sw = 1, .dh = 1, .dw = 1, .pl = 1, .groups = 1};
  qv_net *net = rn_new();
  qv_range_result r;
  uint32_t x = rn_input(net, QV_I8, 5, 10, 4, dim);
  rn_run(&r, net, rn_affine(net, x, (rn_affine_arg){.win = g, .w = w, .acc = wrap(32)}), NULL, 0);
  rn_itv(r.acc[0].final[0], 10, 30, "padded");
  assert_true(r.acc[0].exact && r.acc[0].k == 3);
  drop(&r, net);
  /* the same with the padding as a node of its own, in front of a window without any */
  g.iw = 10, g.pl = 0;
  net = rn_new();
  x = rn_input(net, QV_I8, 5, 10, 4, dim);
  uint32_t p = rn_node(net, (qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_PAD, .a = {0, 0, 1, 0}, .b = {0, 0, 1, 0}}}, 1, &x, 4,
                       (const uint32_t[]){1, 1, 10, 1});
  rn_run(&r, net, rn_affine(net, p, (rn_affine_arg){.win = g, .w = w, .acc = wrap(32)}), NULL, 0);
  rn_itv(r.acc[0].final[0], 10, 30, "pad node");
  assert_true(r.acc[0].exact);
  drop(&r, net);
}

/* A negative factor must not turn the interval around: SUM coefficient, weight, and a negative multiplier of a step. */
static void test_negative_scale(void **s) {
  (void)s;
  uint32_t one = 1;
  const int64_t c = -3, z = 1;
  const qv_rq_par par = {.fn = QV_RQ_D, .m = INT32_MIN / 2, .sh = 0}; /* times -1/2 */
  qv_net *net = rn_new();
  qv_range_result r;
  uint32_t x = rn_input(net, QV_I8, -4, 10, 1, &one);
  uint32_t y = rn_node(net, (qv_node){.kind = QV_SUM, .u.sum = {&c, &z, EXACT}}, 1, &x, 1, &one);
  uint32_t q = rn_node(net, (qv_node){.kind = QV_STEP, .u.step = {.n_par = 1, .par = &par, .inner = 1, .lo = -128, .hi = 127}}, 1, &x, 1, &one);
  const int64_t both[2] = {1, 1}, zero[2] = {0, 0};
  uint32_t t = rn_node(net, (qv_node){.kind = QV_SUM, .u.sum = {both, zero, EXACT}}, 2, (const uint32_t[]){y, q}, 1, &one);
  rn_run(&r, net, t, NULL, 0);
  rn_itv(r.tensor[y].itv[0], -27, 15, "-3 (x - 1)");
  rn_itv(r.tensor[q].itv[0], -5, 2, "-x / 2");
  drop(&r, net);
}

/* Two inputs, each with its own range. */
static void test_several_inputs(void **s) {
  (void)s;
  uint32_t one = 1;
  const int64_t c[2] = {1, 1}, z[2] = {0, 0};
  qv_net *net = rn_new();
  qv_range_result r;
  uint32_t in[2];
  in[0] = rn_input(net, QV_I8, 0, 1, 1, &one);
  in[1] = rn_input(net, QV_U8, 100, 200, 1, &one);
  uint32_t y = rn_node(net, (qv_node){.kind = QV_SUM, .u.sum = {c, z, EXACT}}, 2, in, 1, &one);
  uint32_t p = rn_node(net, (qv_node){.kind = QV_PRODUCT, .u.product = {.z0 = 2, .z1 = 150, .acc = EXACT}}, 2, in, 1, &one);
  const uint32_t cat[2] = {y, p};
  rn_run(&r, net, rn_node(net, (qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_CONCAT}}, 2, cat, 1, (const uint32_t[]){2}), NULL, 0);
  rn_itv(r.tensor[y].itv[0], 100, 201, "sum");
  rn_itv(r.tensor[p].itv[0], -100, 100, "product [-2,-1] * [-50,50]");
  assert_true(r.acc[0].exact && r.acc[1].exact);
  drop(&r, net);
}

/* 4 input channels in 2 groups: output o reads channels 2*(o/2) and the next. */
static void test_grouped_conv(void **s) {
  (void)s;
  const uint32_t dim[4] = {1, 1, 1, 4};
  const int32_t w[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  qv_itv v[4] = {{0, 1}, {0, 10}, {0, 100}, {0, 1000}};
  qv_ranges box = {4, 1, v};
  qv_window g = rn_dense(4, 4);
  g.groups = 2;
  qv_net *net = rn_new();
  qv_range_result r;
  uint32_t x = rn_input(net, QV_I16, 0, 1000, 4, dim);
  rn_run(&r, net, rn_affine(net, x, (rn_affine_arg){.win = g, .w = w, .acc = wrap(32)}), (const qv_ranges *const[]){&box}, 0);
  rn_itv(r.acc[0].final[0], 0, 21, "channel 0");
  rn_itv(r.acc[0].final[1], 0, 43, "channel 1");
  rn_itv(r.acc[0].final[2], 0, 6500, "channel 2");
  rn_itv(r.acc[0].final[3], 0, 8700, "channel 3");
  drop(&r, net);
}

/* Corners of a product of two intervals that both contain 0. */
static void test_product_corners(void **s) {
  (void)s;
  uint32_t one = 1;
  qv_net *net = rn_new();
  qv_range_result r;
  uint32_t in[2];
  in[0] = rn_input(net, QV_I8, -2, 3, 1, &one);
  in[1] = rn_input(net, QV_I8, -5, 4, 1, &one);
  uint32_t y = rn_node(net, (qv_node){.kind = QV_PRODUCT, .u.product = {.acc = EXACT}}, 2, in, 1, &one);
  rn_run(&r, net, y, NULL, 0);
  rn_itv(r.tensor[y].itv[0], -15, 12, "product");
  drop(&r, net);
}

/* The A2Q+ formula is for weights of sum 0. w = 9 times 127, uint8: formula 19 bits, 20 are needed. */
static void test_a2q_plus_post_hoc(void **s) {
  (void)s;
  uint32_t k = 9;
  int32_t *w = repeat(127, k);
  qv_net *net = rn_new();
  qv_range_result r;
  qv_ov_item it;
  uint32_t x = rn_input(net, QV_U8, 0, 255, 1, &k);
  rn_run(&r, net, rn_affine(net, x, (rn_affine_arg){.win = rn_dense(k, 1), .w = w, .acc = wrap(32)}), NULL, 0);
  rn_itv(r.acc[0].final[0], 0, 291465, "9 * 127 * 255");
  assert_int_equal(r.acc[0].bits_final, 20);
  qv_overflow_judge(&it, net, &r, 19);
  assert_int_equal(it.verdict, QV_UNKNOWN);
  assert_int_equal(it.cls, QV_OV_UNSAFE);
  qv_overflow_judge(&it, net, &r, 20);
  assert_int_equal(it.verdict, QV_VERIFIED);
  drop(&r, net);
  test_free(w);
}

/* x in [5,10]^2, w = 1 -1: the final value is in [-5,5], the first prefix in [5,10]. 4 bits hold the one, not the other. */
static void test_prefix_beyond_final(void **s) {
  (void)s;
  uint32_t k = 2;
  const int32_t w[2] = {1, -1};
  const qv_acc_mode modes[] = {QV_ACC_WRAP, QV_ACC_SAT, QV_ACC_TRAP};
  for (int i = 0; i < 3; i++) {
    qv_net *net = rn_new();
    qv_range_result r;
    qv_ov_item it;
    uint32_t x = rn_input(net, QV_I8, 5, 10, 1, &k);
    rn_run(&r, net, rn_affine(net, x, (rn_affine_arg){.win = rn_dense(k, 1), .w = w, .acc = {.mode = modes[i], .bits = 4}}), NULL, 0);
    rn_itv(r.acc[0].final[0], -5, 5, "final");
    rn_itv(r.acc[0].prefix[0], -5, 10, "prefixes");
    rn_itv(r.acc[0].any[0], -10, 10, "any order");
    assert_true(r.acc[0].bits_final == 4 && r.acc[0].bits_prefix == 5 && r.acc[0].bits_any == 5);
    qv_overflow_judge(&it, net, &r, 0);
    assert_int_equal(it.cls, QV_OV_SAFE_FINAL);
    assert_int_equal(it.verdict, modes[i] == QV_ACC_WRAP ? QV_VERIFIED : QV_UNKNOWN);
    qv_overflow_judge(&it, net, &r, 5);
    assert_int_equal(it.cls, QV_OV_SAFE_ANY);
    assert_int_equal(it.verdict, QV_VERIFIED);
    drop(&r, net);
  }
}

/* 2^32 - 1 needs 33 signed bits; binary32 rounds it to 2^32 and its logarithm back to 32. */
static void test_width_beyond_binary32(void **s) {
  (void)s;
  const int64_t top[3] = {UINT32_MAX, (int64_t)UINT32_MAX + 1, ((int64_t)1 << 53) - 1};
  const int bits[3] = {33, 34, 54};
  for (int i = 0; i < 3; i++) {
    uint32_t one = 1;
    const int32_t w = 1;
    qv_net *net = rn_new();
    qv_range_result r;
    uint32_t x = rn_input(net, QV_I64, 0, top[i], 1, &one);
    rn_run(&r, net, rn_affine(net, x, (rn_affine_arg){.win = rn_dense(1, 1), .w = &w, .acc = EXACT}), NULL, 0);
    assert_int_equal(r.acc[0].bits_final, bits[i]);
    drop(&r, net);
  }
}

/* The lower end decides as well: only negative sums. */
static void test_lower_end_counts(void **s) {
  (void)s;
  qv_net *net = rn_new();
  qv_range_result r;
  two_channels(&r, net, 257, 0, 1, -128, 1, wrap(16)); /* -32896 < -2^15 */
  qv_ov_item it;
  qv_overflow_judge(&it, net, &r, 0);
  assert_int_equal(it.verdict, QV_UNKNOWN);
  assert_int_equal(it.channel, 0);
  assert_int_equal(it.n_unsafe, 1);
  assert_int_equal(r.acc[0].bits_final, 17);
  drop(&r, net);
}

/* Depth at which int32 overflows without bias, and one less. */
static void test_int32_depth_limits(void **s) {
  (void)s;
  const struct {
    uint32_t k;
    int64_t lo, hi;
    int32_t x_zp, w;
  } row[] = {{66311, -128, 127, -128, 127}, {65793, -128, 127, -128, -128}, {33025, 0, 255, 0, 255}};
  for (int i = 0; i < 3; i++)
    for (uint32_t more = 0; more < 2; more++) {
      uint32_t k = row[i].k + more;
      int32_t *w = repeat(row[i].w, k);
      qv_net *net = rn_new();
      qv_range_result r;
      qv_ov_item it;
      uint32_t x = rn_input(net, QV_I16, row[i].lo, row[i].hi, 1, &k);
      rn_run(&r, net, rn_affine(net, x, (rn_affine_arg){.win = rn_dense(k, 1), .x_zp = row[i].x_zp, .w = w, .acc = wrap(32)}), NULL, 0);
      qv_overflow_judge(&it, net, &r, 0);
      assert_int_equal(it.verdict, more ? QV_UNKNOWN : QV_VERIFIED);
      assert_true(it.exact);
      drop(&r, net);
      test_free(w);
    }
}

/* A 16-bit convolution that accumulates in int32: K = 517 overflows downward, 516 does not. */
static void test_int16_left_over(void **s) {
  (void)s;
  for (uint32_t k = 516; k <= 517; k++) {
    qv_net *net = rn_new();
    qv_range_result r;
    qv_ov_item it;
    two_channels(&r, net, k, -32768, 32767, 127, 1, (qv_acc){.mode = QV_ACC_TRAP, .bits = 32});
    qv_overflow_judge(&it, net, &r, 0);
    assert_int_equal(it.verdict, k == 516 ? QV_VERIFIED : QV_UNKNOWN);
    if (k == 517) assert_int_equal(r.acc[0].final[0].lo, -2151514112);
    drop(&r, net);
  }
}

/* int16 lanes of two int8 products: only two -128 * -128 overflow; next to them 16384 + 16256 still fits. */
static void test_neon_pairs(void **s) {
  (void)s;
  const qv_acc acc = {.mode = QV_ACC_LANES, .bits = 32, .lanes = 8, .lane_bits = 16, .spill = 2};
  for (int32_t w1 = -128; w1 <= -127; w1++) {
    uint32_t k = 16;
    int32_t w[16] = {0};
    qv_itv v[16];
    for (int i = 0; i < 16; i++) v[i] = (qv_itv){-128, 127};
    w[0] = -128, w[8] = w1;
    qv_ranges box = {16, 1, v};
    qv_net *net = rn_new();
    qv_range_result r;
    qv_ov_item it;
    uint32_t x = rn_input(net, QV_I8, -128, 127, 1, &k);
    rn_run(&r, net, rn_affine(net, x, (rn_affine_arg){.win = rn_dense(16, 1), .w = w, .acc = acc}), (const qv_ranges *const[]){&box}, 0);
    qv_overflow_judge(&it, net, &r, 0);
    assert_int_equal(r.acc[0].stage[0].itv.hi, 16384 + 128 * -w1);
    assert_int_equal(it.verdict, w1 == -128 ? QV_UNKNOWN : QV_VERIFIED);
    assert_int_equal(it.cls, w1 == -128 ? QV_OV_STAGE : QV_OV_SAFE_ANY);
    drop(&r, net);
  }
}

/* Lanes that are emptied too late: 2-bit weights times int8, 256 products per int16 lane overflow, 8 do not. */
static void test_lane_depth(void **s) {
  (void)s;
  for (uint32_t spill = 8; spill <= 256; spill *= 32) {
    uint32_t k = 2048;
    int32_t *w = repeat(-2, k);
    qv_net *net = rn_new();
    qv_range_result r;
    qv_ov_item it;
    uint32_t x = rn_input(net, QV_I8, -128, 127, 1, &k);
    const qv_acc acc = {.mode = QV_ACC_LANES, .bits = 32, .lanes = 8, .lane_bits = 16, .spill = spill};
    rn_run(&r, net, rn_affine(net, x, (rn_affine_arg){.win = rn_dense(k, 1), .w = w, .acc = acc}), NULL, 0);
    qv_overflow_judge(&it, net, &r, 0);
    assert_int_equal(it.verdict, spill == 8 ? QV_VERIFIED : QV_UNKNOWN);
    assert_int_equal(r.acc[0].stage[0].n, k / spill);
    assert_int_equal(r.acc[0].stage[0].unsafe, spill == 8 ? 0 : 8);
    drop(&r, net);
    test_free(w);
  }
}

/* Both stored soundness traps with numbers, against the file itself. */
static void test_range_oracles(void **s) {
  (void)s;
  const char *path = rn_data("overflow/range_oracles.json");
  if (path == NULL) skip();
  cJSON *root = load_json(path);
  const cJSON *trap;
  int known = 0;
  cJSON_ArrayForEach(trap, member(root, "soundness_traps")) {
    const char *name = member(trap, "name")->valuestring;
    qv_net *net = rn_new();
    qv_range_result r = {0};
    uint32_t k = 2;
    if (cJSON_GetObjectItemCaseSensitive(trap, "prefix1") != NULL) {
      const cJSON *xr = member(trap, "x"), *wr = member(trap, "w");
      const int32_t w[2] = {(int32_t)number(wr, 0), (int32_t)number(wr, 1)};
      uint32_t x = rn_input(net, QV_I8, number(xr, 0), number(xr, 1), 1, &k);
      rn_run(&r, net, rn_affine(net, x, (rn_affine_arg){.win = rn_dense(2, 1), .w = w, .acc = EXACT}), NULL, 0);
      rn_itv(r.acc[0].final[0], number(member(trap, "final"), 0), number(member(trap, "final"), 1), name);
      assert_int_equal(r.acc[0].prefix[0].hi, number(member(trap, "prefix1"), 1));
      known++;
    } else if (cJSON_GetObjectItemCaseSensitive(trap, "true_range") != NULL) {
      const cJSON *xr = member(trap, "x");
      const int32_t w[3] = {1, 1, 1};
      qv_window g = {.n = 1, .ih = 1, .iw = 8, .ic = 1, .oh = 1, .ow = 8, .oc = 1, .kh = 1, .kw = 3, .sh = 1, .sw = 1, .dh = 1, .dw = 1, .pl = 1, .groups = 1};
      uint32_t x = rn_input(net, QV_I8, number(xr, 0), number(xr, 1), 4, (const uint32_t[]){1, 1, 8, 1});
      rn_run(&r, net, rn_affine(net, x, (rn_affine_arg){.win = g, .w = w, .acc = EXACT}), NULL, 0);
      rn_itv(r.acc[0].final[0], number(member(trap, "true_range"), 0), number(member(trap, "true_range"), 1), name);
      known++;
    }
    drop(&r, net);
  }
  assert_int_equal(known, 2);
  cJSON_Delete(root);
}

/* ---- two whole nets --------------------------------------------------------------------------------------------------- */

typedef struct {
  const char *name;
  unsigned blocks;       /* depthwise + pointwise pairs */
  unsigned pool, fc;     /* numbers of those layers     */
  int exact[12];         /* widths per layer: exact weights, any int8 input */
  int propagated[12];    /* with the ranges propagated from the net's input */
  uint32_t pairs_conv, unsafe_conv, pairs, unsafe, unsafe_propagated; /* adjacent byte pairs, u8 inputs */
} ds_cnn;

static const ds_cnn nets[] = {
    {"ds_cnn_s", 4, 10, 12, {20, 19, 21, 19, 21, 19, 21, 19, 21, 21}, {20, 19, 20, 19, 20, 19, 20, 19, 20, 21}, 9472, 866, 9856, 890, 637},
    {"ds_cnn_l", 5, 12, 14, {21, 19, 23, 19, 22, 19, 22, 19, 22, 19, 22, 23}, {21, 19, 22, 19, 22, 19, 22, 19, 22, 19, 22, 23}, 195960, 8988, 197616,
     9011, 6349}};

static uint32_t add_layer(cmsis_net *b, cmsis_case *c, uint32_t x, unsigned layer) {
  bool depthwise = layer > 1 && layer % 2 == 0;
  cmsis_scope(c, depthwise ? "DEPTHWISE_CONV_2D" : "CONV_2D", layer);
  return cmsis_conv(b, c, x, depthwise);
}

/* Widths of an accumulator layer alone, its input any int8. */
static int alone(cmsis_case *c, const ds_cnn *d, unsigned layer, bool any_order) {
  cmsis_net b = {.net = rn_new(), .rounding = QV_RQ_D};
  uint32_t dim[4], y;
  if (layer == d->fc) {
    cmsis_scope(c, "FULLY_CONNECTED", layer);
    cmsis_array w = cmsis_read(c, "weights");
    uint32_t k = (uint32_t)(w.n / 12);
    y = cmsis_dense(&b, c, cmsis_input(&b, QV_I8, 1, &k), 12);
  } else {
    cmsis_scope(c, layer > 1 && layer % 2 == 0 ? "DEPTHWISE_CONV_2D" : "CONV_2D", layer);
    cmsis_image(dim, c);
    y = add_layer(&b, c, cmsis_input(&b, QV_I8, 4, dim), layer);
  }
  qv_range_result r;
  rn_run(&r, b.net, y, NULL, 0);
  assert_true(r.acc[0].exact);
  int bits = any_order ? r.acc[0].bits_any : r.acc[0].bits_final;
  drop(&r, b.net);
  return bits;
}

/* Adjacent byte pairs of one affine node that can saturate, inputs and padding byte moved to u8 (x + 128). box NULL: any. */
static void count_pairs(uint32_t *pairs, uint32_t *unsafe, const qv_net *from, const qv_node *n, const qv_ranges *box) {
  const qv_affine *a = &n->u.affine;
  const qv_tensor *t = &from->tensor[n->in[0]];
  qv_net *net = rn_new();
  qv_range_result r;
  qv_ranges moved = {0};
  if (box != NULL) {
    moved = (qv_ranges){box->n, box->inner, test_malloc(box->n * sizeof *moved.itv)};
    for (uint32_t q = 0; q < box->n; q++) moved.itv[q] = (qv_itv){box->itv[q].lo + 128, box->itv[q].hi + 128};
  }
  uint32_t x = rn_input(net, QV_U8, 0, 255, t->rank, t->dim);
  uint32_t y = rn_affine(net, x, (rn_affine_arg){.win = a->win, .x_zp = a->x_zp + 128, .w = a->w, .b = a->b, .acc = {.mode = QV_ACC_PAIR16, .bits = 32, .raw = true}});
  rn_run(&r, net, y, (const qv_ranges *const[]){box != NULL ? &moved : NULL}, 0);
  for (uint32_t o = 0; o < r.acc[0].n; o++) *pairs += r.acc[0].stage[o].n, *unsafe += r.acc[0].stage[o].unsafe;
  drop(&r, net);
  test_free(moved.itv);
}

static void check_ds_cnn(const ds_cnn *d, const char *dir) {
  cmsis_case c;
  cmsis_load(&c, dir, d->name, NULL);
  unsigned last = 1 + 2 * d->blocks, layers = last + 1;
  cmsis_net b = {.net = rn_new(), .rounding = QV_RQ_D};
  uint32_t dim[4];
  cmsis_scope(&c, "CONV_2D", 1);
  cmsis_image(dim, &c);
  uint32_t x = cmsis_input(&b, QV_I8, 4, dim);
  for (unsigned k = 1; k <= last; k++) x = add_layer(&b, &c, x, k);
  cmsis_scope(&c, "AVERAGE_POOL_2D", d->pool);
  x = cmsis_average_pool(&b, &c, x);
  cmsis_scope(&c, "FULLY_CONNECTED", d->fc);
  x = cmsis_dense(&b, &c, x, 12);
  qv_range_result r;
  rn_run(&r, b.net, x, NULL, 0);

  qv_ov_item items[16];
  assert_int_equal(r.n_acc, layers + 1);
  qv_overflow_judge(items, b.net, &r, 0);
  unsigned at = 0;
  for (uint32_t i = 0; i < r.n_acc; i++) {
    const qv_node *n = &b.net->node[r.acc[i].node];
    assert_int_equal(items[i].verdict, QV_VERIFIED);
    assert_int_equal(items[i].cls, QV_OV_SAFE_ANY);
    if (strcmp(n->op, "AVERAGE_POOL_2D") == 0) continue;
    unsigned layer = at + 1 == layers ? d->fc : at + 1;
    assert_int_equal(alone(&c, d, layer, false), d->exact[at]);
    assert_int_equal(alone(&c, d, layer, true), d->exact[at]);
    assert_int_equal(r.acc[i].bits_final, d->propagated[at]);
    assert_int_equal(r.acc[i].bits_any, d->propagated[at]);
    at++;
  }
  assert_int_equal(at, layers);

  uint32_t pairs = 0, unsafe = 0, limited = 0, again = 0;
  for (uint32_t i = 0; i < r.n_acc; i++) {
    const qv_node *n = &b.net->node[r.acc[i].node];
    if (n->u.affine.win.groups > 1) continue; /* depthwise and pooling do not go through that instruction */
    if (strcmp(n->op, "FULLY_CONNECTED") == 0) {
      assert_int_equal(pairs, d->pairs_conv);
      assert_int_equal(unsafe, d->unsafe_conv);
    }
    count_pairs(&pairs, &unsafe, b.net, n, NULL);
    count_pairs(&again, &limited, b.net, n, &r.tensor[n->in[0]]);
  }
  assert_int_equal(pairs, d->pairs);
  assert_int_equal(unsafe, d->unsafe);
  assert_int_equal(limited, d->unsafe_propagated);

  /* whole-net verdict, obligations included; with 19 bits some layer fails */
  qv_obligation *ob;
  uint32_t n_ob;
  assert_int_equal(qv_obligations(&ob, &n_ob, b.net, &r, &r.arena, NULL), QV_OK);
  assert_true(n_ob >= layers);
  for (uint32_t i = 0; i < n_ob; i++) assert_true(ob[i].holds);
  assert_int_equal(qv_overflow_verdict(b.net, items, r.n_acc, ob, n_ob), QV_VERIFIED);
  qv_overflow_judge(items, b.net, &r, 19);
  assert_int_equal(qv_overflow_verdict(b.net, items, r.n_acc, ob, n_ob), QV_UNKNOWN);
  drop(&r, b.net);
  cmsis_free(&c);
}

static void test_ds_cnn_widths(void **s) {
  (void)s;
  const char *path = rn_data("overflow/cmsis_nn_int_vectors");
  if (path == NULL) skip();
  char dir[1024];
  (void)snprintf(dir, sizeof dir, "%s", path);
  for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++) check_ds_cnn(&nets[i], dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_acc_width_table),       cmocka_unit_test(test_tfc_l1),
      cmocka_unit_test(test_x86_neon_vectors),      cmocka_unit_test(test_pair_rule),
      cmocka_unit_test(test_long_dot_products_are_exact), cmocka_unit_test(test_padded_conv),
      cmocka_unit_test(test_negative_scale),        cmocka_unit_test(test_several_inputs),
      cmocka_unit_test(test_grouped_conv),          cmocka_unit_test(test_product_corners),
      cmocka_unit_test(test_a2q_plus_post_hoc),     cmocka_unit_test(test_prefix_beyond_final),
      cmocka_unit_test(test_width_beyond_binary32), cmocka_unit_test(test_lower_end_counts),
      cmocka_unit_test(test_int32_depth_limits),    cmocka_unit_test(test_int16_left_over),
      cmocka_unit_test(test_neon_pairs),            cmocka_unit_test(test_lane_depth),
      cmocka_unit_test(test_range_oracles),         cmocka_unit_test(test_ds_cnn_widths),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
