/* Requantization functions against the vectors of docs/semantics.md section 10, against rows computed by an independent
 * model, against the published C forms and exact rational arithmetic (GMP), and preimage against brute force. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>
#include <gmp.h>

#include "ir/base/buf.h"
#include "ir/base/rng.h"
#include "kernels/profile/profile.h"
#include "kernels/ref.h"
#include "kernels/step.h"

static int64_t rq(qv_rq fn, int64_t v, int32_t m, int32_t sh) { return qv_rq_eval(&(qv_rq_par){.fn = fn, .m = m, .sh = sh}, v, 0); }
static int64_t rqf(qv_rq fn, int64_t v, double M, int64_t zp) { return qv_rq_eval(&(qv_rq_par){.fn = fn, .M = M}, v, zp); }

static int effort(int n) {
  const char *e = getenv("QV_TEST_MULT");
  double k = e != NULL ? atof(e) : 1.0;
  return (int)(n * (k > 0 ? k : 1.0)) + 1;
}

static void table_vectors(void **state) {
  (void)state;
  assert_int_equal(rq(QV_RQ_D, 7984, 1583594044, -9), 12);
  assert_int_equal(rq(QV_RQ_S, 7984, 1583594044, -9), 11);
  assert_int_equal(rq(QV_RQ_D, -6, 1 << 30, -1), -2);
  assert_int_equal(rq(QV_RQ_S, -6, 1 << 30, -1), -1);
  assert_int_equal(rqf(QV_RQ_F32, -6, 0.25, 0), -2);  /* rne(-1.5) */
  assert_int_equal(rqf(QV_RQ_F64A, -6, 0.25, 0), -2); /* rha(-1.5) */
  assert_int_equal(rq(QV_RQ_D, -966241705, 1373157221, 0), -617840222);
  assert_int_equal(rq(QV_RQ_S, -966241705, 1373157221, 0), -617840222);
  assert_int_equal(rq(QV_RQ_D, -1032852841, 1578349059, 0), -759122106);
  assert_int_equal(rq(QV_RQ_S, -1032852841, 1578349059, 0), -759122106);
  assert_int_equal(rqf(QV_RQ_REF, 1, 0.5, 1) + 1, 2);
  assert_int_equal(rqf(QV_RQ_F32, 1, 0.5, 1) + 1, 1);
  assert_int_equal(rq(QV_RQ_DIV, 5, 2, 0), 3);
  assert_int_equal(rq(QV_RQ_DIV, -5, 2, 0), -3);
  assert_int_equal(rq(QV_RQ_TDIV, -5, 2, 0), -2);
  assert_int_equal(rq(QV_RQ_S, 768, 1, 22), 2); /* fixed-point nets: (768 + 256) >> 9 */
  assert_int_equal(rq(QV_RQ_S, -257, 1, 22), -1);
}

/* tensorflow/tensorflow#102943: one accumulator, four functions. */
static void acc585(void **state) {
  (void)state;
  float sx = 0.05296124517917633f, sw = 0.024093778803944588f, sy = 0.11484327912330627f;
  int32_t m, sh;
  qv_quantize_multiplier((double)sx * (double)sw / (double)sy, false, &m, &sh);
  assert_int_equal(m, 1527099593);
  assert_int_equal(sh, -6);
  float M = sx * sw;
  M = M / sy;
  assert_int_equal(rq(QV_RQ_D, 585, m, sh) - 126, -119);
  assert_int_equal(rq(QV_RQ_S, 585, m, sh) - 126, -119);
  assert_int_equal(rqf(QV_RQ_NDU, 585, (double)M, 0) - 126, -119);
  assert_int_equal(rqf(QV_RQ_F32, 585, (double)M, 0) - 126, -120);
}

static void conv_and_fc_rule(void **state) {
  (void)state;
  float sx = 0.13f, sw = 0.05f, sy = 0.01f, prod = sx * sw;
  int32_t m, sh;
  qv_quantize_multiplier((double)sx * (double)sw / (double)sy, false, &m, &sh);
  assert_int_equal(m, 1395864372);
  assert_int_equal(sh, 0);
  assert_int_equal(rq(QV_RQ_D, 10, m, sh), 7);
  qv_quantize_multiplier((double)prod / (double)sy, false, &m, &sh);
  assert_int_equal(m, 1395864331);
  assert_int_equal(rq(QV_RQ_D, 10, m, sh), 6);
}

static int64_t acc(const qv_acc *a, size_t k, const int64_t *x, const int64_t *w) {
  bool inside[16];
  memset(inside, 1, sizeof inside);
  int64_t r;
  assert_true(qv_acc_run(&r, a, k, x, w, inside, 0, 0, 0));
  return r;
}

static void lane_vectors(void **state) {
  (void)state;
  const qv_acc pair = {.mode = QV_ACC_PAIR16, .bits = 32, .raw = true};
  static const int64_t t[][5] = {{211, 71, 171, 107, 32767},  {255, 113, 255, 113, 32767}, {255, 64, 255, 65, 32767},
                                 {255, -128, 255, -128, -32768}, {255, 64, 255, 64, 32640}, {127, 127, 127, 127, 32258},
                                 {128, -128, 128, -128, -32768}};
  for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
    assert_int_equal(acc(&pair, 2, (int64_t[]){t[i][0], t[i][2]}, (int64_t[]){t[i][1], t[i][3]}), t[i][4]);
  const qv_acc lane = {.mode = QV_ACC_LANES, .bits = 32, .lanes = 1, .lane_bits = 16};
  assert_int_equal(acc(&lane, 2, (int64_t[]){-128, -128}, (int64_t[]){-128, -128}), -32768);
  assert_int_equal(acc(&lane, 2, (int64_t[]){127, -128}, (int64_t[]){127, -128}), 32513);
  assert_int_equal(acc(&lane, 2, (int64_t[]){-128, -128}, (int64_t[]){-127, -127}), 32512);
  /* microsoft/onnxruntime#31573: terms k and k+8 of a block of 16 share an int16 lane */
  int64_t x[16] = {0}, w[16] = {0};
  x[0] = x[8] = w[0] = w[8] = -128;
  const qv_acc neon = {.mode = QV_ACC_LANES, .bits = 32, .lanes = 8, .lane_bits = 16, .spill = 2};
  assert_int_equal(acc(&neon, 16, x, w), -32768);
  const qv_acc k8 = {.mode = QV_ACC_PAIR16, .bits = 32, .pairing = QV_PAIR_K8};
  assert_int_equal(acc(&k8, 16, x, w), 32767);
  /* saturation is order dependent; wrap is not */
  const qv_acc sat = {.mode = QV_ACC_SAT, .bits = 8}, wrap = {.mode = QV_ACC_WRAP, .bits = 8};
  assert_int_equal(acc(&sat, 3, (int64_t[]){100, 100, -100}, (int64_t[]){1, 1, 1}), 27);
  assert_int_equal(acc(&wrap, 3, (int64_t[]){100, 100, -100}, (int64_t[]){1, 1, 1}), 100);
  int64_t r;
  const qv_acc trap = {.mode = QV_ACC_TRAP, .bits = 8};
  assert_false(qv_acc_run(&r, &trap, 3, (int64_t[]){100, 100, -100}, (int64_t[]){1, 1, 1}, (bool[]){true, true, true}, 0, 0, 0));
}

/* Rows computed by an independent model of the public formulas. */
static void stored_rows(void **state) {
  (void)state;
  const char *dir = getenv("QV_DATA");
  char path[4096];
  (void)snprintf(path, sizeof path, "%s/overflow/requant_vectors.json", dir != NULL ? dir : "../shared/data");
  qv_buf f = {0};
  qv_err err = {0};
  if (qv_file_read(&f, path, (size_t)1 << 26, &err) != QV_OK) {
    print_message("SKIPPED: %s is absent: 1759 stored requantization rows not compared\n", path);
    skip();
  }
  cJSON *j = cJSON_Parse((char *)f.p), *row;
  assert_non_null(j);
  int n = 0, differ = 0;
  cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(j, "rows")) {
    int64_t c[6];
    for (int i = 0; i < 6; i++) c[i] = (int64_t)cJSON_GetArrayItem(row, i)->valuedouble;
    assert_int_equal(rq(QV_RQ_D, c[0], (int32_t)c[1], (int32_t)c[2]), c[3]);
    assert_int_equal(rq(QV_RQ_S, c[0], (int32_t)c[1], (int32_t)c[2]), c[4]);
    if (31 - c[2] >= 2) assert_int_equal(rq(QV_RQ_TD, c[0], (int32_t)c[1], (int32_t)(31 - c[2])), c[5]);
    differ += c[3] != c[4];
    n++;
  }
  assert_int_equal(n, 1759);
  assert_int_equal(differ, 66);
  cJSON_Delete(j);
  qv_buf_free(&f);
}

/* ---- published C forms, written as in the public sources' documentation ------------------------------------------------ */

static int32_t c_srdhm(int32_t a, int32_t b) { /* gemmlowp SaturatingRoundingDoublingHighMul */
  if (a == b && a == INT32_MIN) return INT32_MAX;
  int64_t ab = (int64_t)a * b;
  int64_t nudge = ab >= 0 ? (int64_t)1 << 30 : 1 - ((int64_t)1 << 30);
  return (int32_t)((ab + nudge) / ((int64_t)1 << 31));
}

static int32_t c_rdbp(int32_t x, int e) { /* gemmlowp RoundingDivideByPOT */
  int32_t mask = (int32_t)(((int64_t)1 << e) - 1), rem = x & mask, thr = (mask >> 1) + (x < 0 ? 1 : 0);
  return (x >> e) + (rem > thr ? 1 : 0);
}

static int32_t edgy32(qv_rng *r) {
  int bits = (int)qv_rng_range(r, 1, 32);
  int64_t v = qv_rng_range(r, qv_smin(bits), qv_smax(bits));
  if (qv_rng_next(r) % 4 == 0) v = (qv_rng_next(r) & 1 ? qv_smin(bits) : qv_smax(bits)) + qv_rng_range(r, -1, 1);
  return (int32_t)qv_clamp64(v, INT32_MIN, INT32_MAX);
}

static void published_forms(void **state) {
  (void)state;
  qv_rng r = {20261};
  print_message("seed 20261\n");
  for (int i = effort(300000); i > 0; i--) {
    int32_t a = edgy32(&r), b = edgy32(&r);
    int e = (int)qv_rng_range(&r, 0, 31);
    assert_int_equal(qv_srdhm(a, b), c_srdhm(a, b));
    assert_int_equal(qv_rdbp(a, e), c_rdbp(a, e));
    int32_t m = (int32_t)qv_rng_range(&r, 0, INT32_MAX), sh = -(int32_t)qv_rng_range(&r, 0, 31);
    assert_int_equal(rq(QV_RQ_D, a, m, sh), c_rdbp(c_srdhm(a, m), -sh));
    int64_t sum = (int64_t)c_srdhm(a, m) + (sh < 0 ? (int64_t)1 << (-sh - 1) : 0);
    assert_int_equal(rq(QV_RQ_U, a, m, sh), sum >> -sh);
  }
  assert_int_equal(qv_srdhm(INT32_MIN, INT32_MIN), INT32_MAX);
}

/* floor((v*num + half) / den) in exact arithmetic. */
static void exact_rationals(void **state) {
  (void)state;
  qv_rng r = {77};
  print_message("seed 77\n");
  mpz_t v, p, h;
  mpz_inits(v, p, h, NULL);
  for (int i = effort(100000); i > 0; i--) {
    int64_t x = edgy32(&r);
    if (qv_rng_next(&r) % 8 == 0) x = qv_rng_range(&r, -((int64_t)1 << 46), (int64_t)1 << 46);
    int32_t m = (int32_t)qv_rng_range(&r, 0, INT32_MAX), sh = (int32_t)qv_rng_range(&r, -31, 7);
    mpz_set_si(v, x);
    mpz_mul_si(p, v, m); /* RQ_S */
    mpz_ui_pow_ui(h, 2, (unsigned long)(30 - sh));
    mpz_add(p, p, h);
    mpz_fdiv_q_2exp(p, p, (mp_bitcnt_t)(31 - sh));
    assert_int_equal(rq(QV_RQ_S, x, m, sh), mpz_get_si(p));
    long m16 = m < 0x7FFF0000 ? (m + 0x8000L) >> 16 : 0x7FFF; /* RQ_64 */
    mpz_mul_si(p, v, m16);
    mpz_ui_pow_ui(h, 2, (unsigned long)(14 - sh));
    mpz_add(p, p, h);
    mpz_fdiv_q_2exp(p, p, (mp_bitcnt_t)(15 - sh));
    assert_int_equal(rq(QV_RQ_64, x, m, sh), mpz_get_si(p));
    float M = ldexpf((float)qv_rng_range(&r, 1 << 23, (1 << 24) - 1), (int)qv_rng_range(&r, -60, -24));
    mpq_t q, half; /* RQ_NDU: floor(x*M + 1/2) */
    mpq_inits(q, half, NULL);
    mpq_set_d(q, (double)M);
    mpz_mul(mpq_numref(q), mpq_numref(q), v);
    mpq_canonicalize(q);
    mpq_set_ui(half, 1, 2);
    mpq_add(q, q, half);
    mpz_fdiv_q(p, mpq_numref(q), mpq_denref(q));
    assert_int_equal(rqf(QV_RQ_NDU, x, (double)M, 0), mpz_get_si(p));
    mpq_clears(q, half, NULL);
    assert_int_equal(rqf(QV_RQ_F32, x, (double)M, 0), (int64_t)nearbyintf((float)x * M));
    assert_int_equal(rqf(QV_RQ_F64A, x, 1.0 / 3 * (double)M, 0), (int64_t)round((double)x * (1.0 / 3 * (double)M)));
  }
  mpz_clears(v, p, h, NULL);
}

/* Lemmas S3 and S4 of docs/semantics.md, on random points. */
static void lemmas(void **state) {
  (void)state;
  qv_rng r = {4};
  print_message("seed 4\n");
  for (int i = effort(300000); i > 0; i--) {
    int32_t m = (int32_t)qv_rng_range(&r, 0, INT32_MAX), sh = (int32_t)qv_rng_range(&r, -31, 10);
    int64_t v = qv_rng_range(&r, INT32_MIN, INT32_MAX) >> (sh > 0 ? sh : 0);
    if (qv_rng_next(&r) % 2) v >>= qv_rng_range(&r, 0, 30);
    int s = 31 - sh;
    int64_t d = rq(QV_RQ_D, v, m, sh);
    assert_int_equal(rq(QV_RQ_TD, v, m, s), d);
    qv_i128 f = ((qv_i128)v * m + ((qv_i128)1 << (s - 1))) & (((qv_i128)1 << s) - 1);
    int64_t want = rq(QV_RQ_S, v, m, sh);
    if (sh < 0 && v >= 0) want += f >= ((qv_i128)1 << s) - (1 << 30);
    if (sh < 0 && v < 0) want -= f < (1 << 30);
    assert_int_equal(d, want);
  }
}

/* Image and preimage of every function against brute force over a small domain. */
static void preimages(void **state) {
  (void)state;
  qv_rng r = {99};
  print_message("seed 99\n");
  for (int it = effort(3000); it > 0; it--) {
    qv_rq fn = (qv_rq)qv_rng_range(&r, 0, QV_RQ_MEANF);
    qv_rq_par p = {.fn = fn};
    double M = ldexp(0.5 + (double)qv_rng_range(&r, 0, 1 << 20) / (1 << 21), (int)qv_rng_range(&r, -8, 2));
    switch (fn) {
    case QV_RQ_D: case QV_RQ_U: case QV_RQ_S: case QV_RQ_64:
      qv_quantize_multiplier(M, false, &p.m, &p.sh);
      if (fn == QV_RQ_D && qv_rng_next(&r) % 3 == 0) p.m = -p.m;
      break;
    case QV_RQ_T: case QV_RQ_TD: qv_quantize_multiplier(M, false, &p.m, &p.sh); p.sh = 31 - p.sh; break;
    case QV_RQ_F32: case QV_RQ_NDU: p.M = (double)(float)M; break;
    case QV_RQ_F64A: case QV_RQ_REF: p.M = M; break;
    case QV_RQ_F32B: p.M = (double)(float)M; p.B = (double)(float)qv_rng_range(&r, -9, 9) / 4; break;
    case QV_RQ_DIV: case QV_RQ_TDIV: p.m = (int32_t)qv_rng_range(&r, 1, 9); break;
    case QV_RQ_MEANF: p.m = (int32_t)qv_rng_range(&r, 1, 9); p.M = (double)(float)M; p.B = (double)(float)qv_rng_range(&r, -9, 9) / 4; break;
    }
    qv_step s = {.in_zp = qv_rng_range(&r, -9, 9), .lshift = (uint32_t)qv_rng_range(&r, 0, 3), .n_par = 1, .par = &p, .inner = 1,
                 .out_zp = qv_rng_range(&r, -5, 5), .lo = qv_rng_range(&r, -30, 0), .hi = qv_rng_range(&r, 0, 30)};
    qv_itv dom = {qv_rng_range(&r, -60, 20), 0};
    dom.hi = dom.lo + qv_rng_range(&r, 0, 70);
    int64_t y = qv_rng_range(&r, -31, 31), lo = INT64_MAX, hi = INT64_MIN;
    for (int rel = QV_PRE_EQ; rel <= QV_PRE_GE; rel++) {
      qv_itv out[2] = {{1, 0}, {1, 0}};
      int n = qv_step_preimage(out, &s, 0, (qv_pre_rel)rel, y, dom);
      for (int64_t a = dom.lo; a <= dom.hi; a++) {
        int64_t f = qv_step_eval(&s, 0, a);
        bool want = rel == QV_PRE_EQ ? f == y : rel == QV_PRE_LE ? f <= y : f >= y;
        bool got = n == 1 && a >= out[0].lo && a <= out[0].hi;
        if (want != got) fail_msg("%s rel %d y %ld acc %ld", qv_rq_name(fn), rel, (long)y, (long)a);
        lo = qv_min64(lo, f), hi = qv_max64(hi, f);
      }
      if (n == 1) assert_true(out[0].lo >= dom.lo && out[0].hi <= dom.hi && out[0].lo <= out[0].hi);
    }
    qv_itv img = qv_step_image(&s, 0, dom);
    assert_int_equal(img.lo, lo);
    assert_int_equal(img.hi, hi);
  }
}

int main(void) {
  const struct CMUnitTest t[] = {
      cmocka_unit_test(table_vectors), cmocka_unit_test(acc585),          cmocka_unit_test(conv_and_fc_rule),
      cmocka_unit_test(lane_vectors),  cmocka_unit_test(stored_rows),     cmocka_unit_test(published_forms),
      cmocka_unit_test(exact_rationals), cmocka_unit_test(lemmas),        cmocka_unit_test(preimages),
  };
  return cmocka_run_group_tests(t, NULL, NULL);
}
