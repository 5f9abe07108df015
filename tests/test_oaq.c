/* The published rule of overflow-aware quantization against plain loops, and what it does not see: nets that it calls free of overflows
 * and that overflow on other inputs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/audit.h"
#include "analysis/oaq.h"
#include "analysis/repair.h"
#include "ir/base/rng.h"
#include "tests/range_net.h"

static void ok(qv_status st, const qv_err *err) {
  if (st != QV_OK) fail_msg("%s", err->msg);
}

enum { K = 12, OC = 3 };

/* x[K] -> sums in lanes -> requantization -> second layer without one. Pure function of the seed. */
static qv_net *two_dense(uint64_t seed) {
  qv_rng r = {seed};
  const qv_acc acc = {.mode = QV_ACC_LANES, .bits = 32, .raw = true, .lane_bits = 14, .lanes = 3};
  qv_net *net = rn_new();
  const uint32_t n = K;
  int32_t w[K * OC], v[OC * OC];
  int64_t b[OC];
  for (int i = 0; i < K * OC; i++) w[i] = (int32_t)qv_rng_range(&r, -60, 60);
  for (int i = 0; i < OC * OC; i++) v[i] = (int32_t)qv_rng_range(&r, -127, 127);
  for (int i = 0; i < OC; i++) b[i] = qv_rng_range(&r, -500, 500);
  uint32_t x = rn_input(net, QV_I8, -128, 127, 1, &n);
  uint32_t y = rn_affine(net, x, (rn_affine_arg){.win = rn_dense(K, OC), .w = w, .b = b, .acc = acc});
  qv_rq_par *p = QV_NEW(&net->arena, 1, qv_rq_par);
  assert_non_null(p);
  *p = (qv_rq_par){.fn = QV_RQ_F32, .M = 0x1p-7};
  qv_tensor t = net->tensor[y];
  y = rn_node(net, (qv_node){.kind = QV_STEP, .u.step = {.n_par = 1, .par = p, .inner = 1, .lo = -128, .hi = 127}}, 1, &y, t.rank, t.dim);
  net->tensor[y].type = QV_I8;
  y = rn_affine(net, y, (rn_affine_arg){.win = rn_dense(OC, OC), .w = v, .acc = acc});
  qv_err err = {0};
  assert_true(qv_net_add_out(net, &(qv_port){.tensor = y, .end = QV_END_INT, .name = "y"}));
  ok(qv_ir_check(net, &err), &err);
  return net;
}

static int32_t scaled(int32_t w, int64_t r, int64_t all) {
  int64_t m = (2 * llabs((long long)w) * r + all) / (2 * all); /* nearest, ties away */
  return (int32_t)(w < 0 ? -m : m);
}

/* v modulo 2^14, in -8192..8191 */
static int64_t lane14(int64_t v) {
  int64_t m = v % 16384;
  if (m < 0) m += 16384;
  return m < 8192 ? m : m - 16384;
}

/* Outputs of the first layer, on r of `all` levels, that wrapping lanes get wrong. Two lanes that wrap can cancel each other. */
static uint64_t plain_overflows(const int32_t *w, int64_t r, int64_t all, const int64_t *x, size_t n) {
  uint64_t bad = 0;
  for (size_t s = 0; s < n; s++)
    for (int o = 0; o < OC; o++) {
      int64_t exact = 0, machine = 0;
      for (int j = 0; j < 3; j++) {
        int64_t lane = 0;
        for (int i = j; i < K; i += 3) lane += scaled(w[o * K + i], r, all) * x[s * K + (size_t)i];
        exact += lane;
        machine += lane14(lane);
      }
      bad += exact != machine;
    }
  return bad;
}

static void test_rule(void **s) {
  (void)s;
  int scaled_nets = 0, kept = 0, refuted = 0, narrower = 0;
  for (uint64_t seed = 1; seed <= 60 * rn_multiplier(); seed++) {
    enum { N = 20 };
    qv_net *net = two_dense(seed), *was = two_dense(seed), *safe = two_dense(seed);
    qv_rng r = {seed * 77};
    int64_t x[N * K];
    const int64_t *in[1] = {x};
    for (int i = 0; i < N * K; i++) x[i] = qv_rng_range(&r, 0, 2) == 0 ? qv_rng_range(&r, -128, 127) : qv_rng_range(&r, -20, 20);
    qv_err err = {0};
    qv_oaq q;
    qv_repair f;
    ok(qv_oaq_rule(&q, net, N, in, &err), &err);
    assert_int_equal(q.n, 2);
    const qv_oaq_layer *l = &q.layer[0];
    const int32_t *w = was->node[0].u.affine.w, *now = net->node[0].u.affine.w;
    int64_t all = 0;
    for (int i = 0; i < K * OC; i++) all = qv_max64(all, abs(w[i]));
    assert_true(l->of == all && !l->fixed && l->node == 0);
    assert_int_equal(l->overflows, plain_overflows(w, all, all, x, N));
    for (int64_t n = all; n >= l->levels; n--) assert_int_equal(plain_overflows(w, n, all, x, N) == 0, n == l->levels);
    for (int i = 0; i < K * OC; i++) assert_int_equal(now[i], scaled(w[i], l->levels, all));
    double want = (double)(float)(0x1p-7 * ((double)all / (double)l->levels));
    assert_true(l->levels == all || net->node[1].u.step.par[0].M == want);
    assert_true(q.layer[1].overflows == 0 || q.layer[1].fixed); /* no requantization behind the last layer */
    assert_int_equal(q.layer[1].levels, q.layer[1].of);
    scaled_nets += l->levels < all;
    kept += q.layer[1].fixed;
    /* the proof asks for fewer levels, and where the rule stops an input overflows */
    ok(qv_repair_run(&f, safe, NULL, QV_REPAIR_SCALE, &err), &err);
    int64_t proved = f.n_layers > 0 && f.layer[0].node == 0 && f.layer[0].way == QV_REPAIR_SCALE ? f.layer[0].levels : all;
    assert_true(proved <= l->levels);
    narrower += proved < l->levels;
    qv_proof p;
    ok(qv_prove_overflow(&p, net, NULL, NULL, &err), &err);
    if (proved < l->levels) {
      qv_witness wit = {0};
      assert_int_not_equal(p.item[0].verdict, QV_VERIFIED);
      ok(qv_audit_witness(&wit, net, NULL, &p, 0, (uint64_t)1 << 24, &err), &err);
      refuted += wit.state == QV_WIT_REACHED;
      qv_witness_clear(&wit);
    }
    qv_proof_clear(&p);
    qv_repair_clear(&f);
    qv_oaq_clear(&q);
    qv_net_free(net);
    qv_net_free(was);
    qv_net_free(safe);
  }
  print_message("%d nets scaled by the rule, %d last layers kept; the proof asks for fewer levels in %d, an input overflows in %d\n", scaled_nets, kept,
                narrower, refuted);
  assert_true(scaled_nets > 20 && kept > 5 && narrower > 30 && refuted > narrower * 9 / 10);
}

/* Without samples there are no overflows, and nothing is changed. */
static void test_no_samples(void **s) {
  (void)s;
  qv_net *net = two_dense(3);
  qv_err err = {0};
  qv_oaq q;
  int64_t none[1] = {0};
  const int64_t *in[1] = {none};
  ok(qv_oaq_rule(&q, net, 0, in, &err), &err);
  assert_true(q.n == 2 && q.layer[0].overflows == 0 && q.layer[0].levels == q.layer[0].of);
  qv_oaq_clear(&q);
  qv_net_free(net);
}

int main(void) {
  const struct CMUnitTest t[] = {cmocka_unit_test(test_rule), cmocka_unit_test(test_no_samples)};
  return cmocka_run_group_tests(t, NULL, NULL);
}
