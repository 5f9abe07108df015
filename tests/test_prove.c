/* The overflow proof with linear bounds: sound on every input of tiny nets, tighter than intervals where terms are
 * correlated, and honest about what it cannot show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/linear.h"
#include "analysis/prove.h"
#include "tests/gen.h"

static int effort(int n) {
  const char *e = getenv("QV_TEST_MULT");
  double k = e != NULL ? atof(e) : 1.0;
  return (int)(n * (k > 0 ? k : 1.0)) + 1;
}

/* Next input vector in counting order; false after the last. */
static bool next_input(const qv_net *net, qv_values *v) {
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_tensor *t = &net->tensor[net->in[i].tensor];
    int64_t *x = v->v[net->in[i].tensor];
    for (size_t e = 0; e < qv_elems(t); e++) {
      if (x[e] < t->hi) {
        x[e]++;
        return true;
      }
      x[e] = t->lo;
    }
  }
  return false;
}

static void first_input(const qv_net *net, qv_values *v) {
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_tensor *t = &net->tensor[net->in[i].tensor];
    for (size_t e = 0; e < qv_elems(t); e++) v->v[net->in[i].tensor][e] = t->lo;
  }
}

static void check_reached(const qv_net *net, const qv_values *v, const qv_range_result *r, uint64_t seed) {
  for (uint32_t t = 0; t < net->n_tensors; t++)
    for (size_t e = 0; e < qv_elems(&net->tensor[t]); e++) {
      qv_itv b = qv_ranges_at(&r->tensor[t], e);
      if (v->v[t][e] < b.lo || v->v[t][e] > b.hi)
        fail_msg("net %llu tensor '%s' element %zu: reached %lld outside the claimed [%lld,%lld]", (unsigned long long)seed,
                 net->tensor[t].name, e, (long long)v->v[t][e], (long long)b.lo, (long long)b.hi);
    }
}

/* Every reached value of every tensor lies in the claimed range, with linear bounds on every channel. */
static void enumerated(void **state) {
  (void)state;
  int rows = 0, nets = 0;
  for (int it = effort(400); it > 0; it--) {
    uint64_t seed = 1000 + (uint64_t)it;
    qv_rng r = {seed};
    gen_opts o = {.max_in = 3, .in_bits = 4, .max_nodes = 7, .max_elems = 24, .layers = it % 2 == 0};
    if (it % 3 == 0) o.kinds = 1u << QV_AFFINE | 1u << QV_STEP | 1u << QV_SUM | 1u << QV_CLAMP | 1u << QV_TABLE | 1u << QV_THRESHOLD | 1u << QV_INDEX;
    qv_net *net = gen_net(&r, &o);
    assert_non_null(net);
    qv_proof p;
    qv_err err = {0};
    assert_int_equal(qv_prove_overflow(&p, net, NULL, &(qv_prove_opts){.tight = true, .work = 1 << 22}, &err), QV_OK);
    rows += (int)p.n_linear;
    nets += p.n_linear > 0;
    qv_values v;
    assert_int_equal(qv_values_init(&v, net, &err), QV_OK);
    first_input(net, &v);
    do {
      qv_err e = {0};
      if (qv_ref_run(net, &v, &e) == QV_OK) check_reached(net, &v, &p.range, seed);
      else assert_true(p.verdict != QV_VERIFIED); /* a trap was executed */
    } while (next_input(net, &v));
    for (uint32_t i = 0; i < p.range.n_acc; i++)
      for (uint32_t c = 0; c < p.range.acc[i].n; c++) assert_true(qv_itv_in(p.range.acc[i].final[c], p.interval.acc[i].final[c]));
    qv_values_clear(&v);
    qv_proof_clear(&p);
    qv_net_free(net);
  }
  print_message("%d linear rows on %d nets\n", rows, nets);
  assert_true(rows > 20); /* the linear path really ran */
}

/* x in [0,255]; a = x, b = x (two neurons); acc = a - b (second = -1) is 0, intervals say [-255,255]. With a rounding step between, the
 * linear bound must come close. */
static qv_net *difference_net(int32_t second) {
  qv_net *n = qv_net_new(0);
  static int32_t w2[2];
  static const int32_t w1[2] = {1, 1}, zero[1] = {0};
  w2[0] = 1, w2[1] = second;
  static const int64_t b[2] = {0, 0};
  static const uint32_t in0[1] = {0}, in1[1] = {1}, in2[1] = {2};
  static const qv_rq_par par = {.fn = QV_RQ_S, .m = 1 << 30, .sh = 0}; /* halve, round half up */
  qv_tensor t[4] = {{.name = "x", .rank = 2, .dim = {1, 1}, .type = QV_U8, .lo = 0, .hi = 255},
                    {.name = "a", .rank = 2, .dim = {1, 2}, .type = QV_I32},
                    {.name = "s", .rank = 2, .dim = {1, 2}, .type = QV_U8},
                    {.name = "d", .rank = 2, .dim = {1, 1}, .type = QV_I32}};
  for (int i = 0; i < 4; i++) assert_true(qv_net_add_tensor(n, &t[i]) != QV_NONE);
  qv_window g1 = {1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 0, 0, 1}, g2 = {1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1};
  qv_acc acc = {.mode = QV_ACC_WRAP, .bits = 32};
  qv_node k[3] = {{.kind = QV_AFFINE, .op = "FC", .layer = 0, .n_in = 1, .in = in0, .out = 1,
                   .u.affine = {.win = g1, .w = w1, .n_w_zp = 1, .w_zp = zero, .b = b, .acc = acc}},
                  {.kind = QV_STEP, .op = "FC", .layer = 0, .n_in = 1, .in = in1, .out = 2,
                   .u.step = {.n_par = 1, .par = &par, .inner = 1, .lo = 0, .hi = 255}},
                  {.kind = QV_AFFINE, .op = "FC", .layer = 1, .n_in = 1, .in = in2, .out = 3,
                   .u.affine = {.win = g2, .w = w2, .n_w_zp = 1, .w_zp = zero, .b = b, .acc = acc}}};
  for (int i = 0; i < 3; i++) assert_true(qv_net_add_node(n, &k[i]) != QV_NONE);
  assert_true(qv_net_add_in(n, &(qv_port){.tensor = 0, .name = "x"}));
  assert_true(qv_net_add_out(n, &(qv_port){.tensor = 3, .name = "d"}));
  qv_err err = {0};
  if (qv_ir_check(n, &err) != QV_OK) fail_msg("%s", err.msg);
  return n;
}

static void correlated(void **state) {
  (void)state;
  qv_net *n = difference_net(-1);
  qv_proof p;
  qv_err err = {0};
  assert_int_equal(qv_prove_overflow(&p, n, NULL, &(qv_prove_opts){.tight = true}, &err), QV_OK);
  assert_int_equal(p.interval.acc[1].final[0].lo, -128);
  assert_int_equal(p.interval.acc[1].final[0].hi, 128);
  assert_true(p.range.acc[1].final[0].lo >= -2 && p.range.acc[1].final[0].hi <= 2);
  assert_true(p.range.acc[1].final[0].lo <= 0 && p.range.acc[1].final[0].hi >= 0);
  qv_proof_clear(&p);
  /* a 4-bit accumulator in the last layer is proved by the linear bound only; the first layer does not fit */
  qv_property prop;
  assert_int_equal(qv_property_whole(&prop, n, 4, &err), QV_OK);
  assert_int_equal(qv_prove_overflow(&p, n, &prop, NULL, &err), QV_OK);
  assert_int_equal(p.verdict, QV_UNKNOWN);
  assert_int_equal(p.item[0].verdict, QV_UNKNOWN);
  assert_int_equal(p.item[1].verdict, QV_VERIFIED);
  assert_int_equal(p.n_linear, 2);
  qv_proof_clear(&p);
  assert_int_equal(qv_prove_overflow(&p, n, &prop, &(qv_prove_opts){.work = 1}, &err), QV_OK);
  assert_int_equal(p.item[1].verdict, QV_UNKNOWN);
  qv_proof_clear(&p);
  qv_property_clear(&prop);
  qv_net_free(n);
}

/* A node whose own narrow accumulator only the linear bound proves: 4-bit wrap in the last layer. */
static void own_width(void **state) {
  (void)state;
  qv_net *n = difference_net(-1);
  qv_proof p;
  qv_err err = {0};
  n->node[2].u.affine.acc.bits = 4;
  assert_int_equal(qv_ir_check(n, &err), QV_OK);
  assert_int_equal(qv_prove_overflow(&p, n, NULL, &(qv_prove_opts){.work = 1}, &err), QV_OK);
  assert_int_equal(p.verdict, QV_UNKNOWN);
  qv_proof_clear(&p);
  assert_int_equal(qv_prove_overflow(&p, n, NULL, NULL, &err), QV_OK);
  assert_int_equal(p.verdict, QV_VERIFIED);
  assert_true(p.range.tensor[3].itv[0].lo >= -8 && p.range.tensor[3].itv[0].hi <= 7);
  qv_proof_clear(&p);
  qv_net_free(n);
  n = difference_net(-2);
  n->node[2].u.affine.acc.bits = 4; /* tighter than intervals, but too narrow all the same: nothing may be cut */
  assert_int_equal(qv_ir_check(n, &err), QV_OK);
  assert_int_equal(qv_prove_overflow(&p, n, NULL, &(qv_prove_opts){.tight = true}, &err), QV_OK);
  assert_int_equal(p.verdict, QV_UNKNOWN);
  assert_int_equal(p.n_linear, 0);
  qv_proof_clear(&p);
  qv_net_free(n);
}

/* The same claim twice gives the same bytes; the hash line ends the text. */
static void deterministic(void **state) {
  (void)state;
  qv_net *n = difference_net(-1);
  qv_buf a = {0}, b = {0};
  qv_err err = {0};
  char sha[65];
  memset(sha, 'a', 64);
  sha[64] = 0;
  for (int i = 0; i < 2; i++) {
    qv_proof p;
    assert_int_equal(qv_prove_overflow(&p, n, NULL, NULL, &err), QV_OK);
    assert_int_equal(p.verdict, QV_VERIFIED);
    assert_int_equal(qv_proof_certificate(i == 0 ? &a : &b, &p, n, sha, NULL, &err), QV_OK);
    qv_proof_clear(&p);
  }
  assert_int_equal(a.n, b.n);
  assert_memory_equal(a.p, b.p, a.n);
  char want[65];
  size_t body = a.n - strlen("sha256 \n") - 64;
  qv_sha256_hex(want, a.p, body);
  assert_memory_equal(a.p + body, "sha256 ", 7);
  assert_memory_equal(a.p + body + 7, want, 64);
  qv_buf_free(&a);
  qv_buf_free(&b);
  qv_net_free(n);
}

/* Property text: canonical round trip and refusals. */
static void properties(void **state) {
  (void)state;
  qv_net *n = difference_net(-1);
  qv_err err = {0};
  qv_property p;
  const char *minus = "qvp 1\nclaim overflow\nacc-bits 16\ninput 0 range -0 1\nend\n";
  static const char *const bad[] = {
      "qvp 1\nclaim overflow\nacc-bits 16\ninput 0 range 5 4\nend\n",   "qvp 1\nclaim overflow\nacc-bits 16\ninput 0 range 0 256\nend\n",
      "qvp 1\nclaim overflow\nacc-bits 16\ninput 0 range 00 4\nend\n",  "qvp 1\nclaim overflow\nacc-bits 65\ninput 0 all\nend\n",
      "qvp 1\nclaim overflow\nacc-bits 1\ninput 0 all\nend\n",          "qvp 1\nclaim overflow\nacc-bits 0\ninput 1 all\nend\n",
      "qvp 1\nclaim overflow\nacc-bits 0\ninput 0 all\nend\n ",         "qvp 1\nclaim overflow\nacc-bits 0\nend\n",
      "qvp 2\nclaim overflow\nacc-bits 0\ninput 0 all\nend\n",          "qvp 1\nclaim overflow\nacc-bits 0\ninput 0  all\nend\n",
      "qvp 1\nclaim overflow\nacc-bits 0\ninput 0 range 99999999999999999999 1\nend\n", ""};
  assert_int_equal(qv_property_read(&p, minus, strlen(minus), n, &(qv_err){0}), QV_E_PARSE);
  qv_property_clear(&p);
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    qv_err e = {0};
    if (qv_property_read(&p, bad[i], strlen(bad[i]), n, &e) != QV_E_PARSE) fail_msg("accepted: %s", bad[i]);
    assert_true(e.line >= 1 && e.msg[0] != 0);
    qv_property_clear(&p);
  }
  const char *text = "qvp 1\nclaim overflow\nacc-bits 16\ninput 0 range 5 40\nend\n";
  assert_int_equal(qv_property_read(&p, text, strlen(text), n, &err), QV_OK);
  assert_int_equal(p.acc_bits, 16);
  assert_int_equal(p.in[0].itv[0].lo, 5);
  qv_buf b = {0};
  qv_err e2 = {0};
  assert_int_equal(qv_property_write(&b, &p, &e2), QV_OK);
  assert_int_equal(b.n, strlen(text));
  assert_memory_equal(b.p, text, b.n);
  qv_property_clear(&p);
  const char *friendly = "; comment\n\n input x 1  7 ; half\nacc-bits 12\n";
  assert_int_equal(qv_property_read_domain(&p, friendly, strlen(friendly), n, &e2), QV_OK);
  assert_int_equal(p.acc_bits, 12);
  assert_int_equal(p.in[0].n, 1);
  assert_int_equal(p.in[0].itv[0].hi, 7);
  qv_property_clear(&p);
  static const char *const bad2[] = {"input y 1 2\n", "input #1 1 2\n", "input x 2 1\n", "input x 0 300\n", "input x 1\n", "foo\n",
                                     "input x [1] 0 1\n", "input x 1 2 3\n", "acc-bits 1\n", "input x 1e3 2\n"};
  for (size_t i = 0; i < sizeof bad2 / sizeof bad2[0]; i++) {
    qv_err e = {0};
    if (qv_property_read_domain(&p, bad2[i], strlen(bad2[i]), n, &e) != QV_E_PARSE) fail_msg("accepted: %s", bad2[i]);
    qv_property_clear(&p);
  }
  qv_buf_free(&b);
  qv_net_free(n);
}

int main(void) {
  const struct CMUnitTest t[] = {cmocka_unit_test(enumerated), cmocka_unit_test(correlated), cmocka_unit_test(own_width), cmocka_unit_test(deterministic),
                                 cmocka_unit_test(properties)};
  return cmocka_run_group_tests(t, NULL, NULL);
}
