/* Witness search: what is reported as reached replays, what is exhausted is unreachable (plain enumeration here), and on the
 * first layer a violation that the exact bound shows is always found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/witness.h"
#include "tests/gen.h"

static int effort(int n) {
  const char *e = getenv("QV_TEST_MULT");
  double k = e != NULL ? atof(e) : 1.0;
  return (int)(n * (k > 0 ? k : 1.0)) + 1;
}

static bool next_input(const qv_net *net, int64_t **x) {
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_tensor *t = &net->tensor[net->in[i].tensor];
    for (size_t e = 0; e < qv_elems(t); e++) {
      if (x[i][e] < t->hi) {
        x[i][e]++;
        return true;
      }
      x[i][e] = t->lo;
    }
  }
  return false;
}

/* Some input of the whole domain makes some element of the node misbehave. */
static bool reachable(const qv_net *net, uint32_t node, int bits) {
  qv_witness w = {.node = node};
  qv_arena a = {0};
  qv_err err = {0};
  bool bad = false;
  w.input = QV_NEW(&a, net->n_in, int64_t *);
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_tensor *t = &net->tensor[net->in[i].tensor];
    w.input[i] = QV_NEW(&a, qv_elems(t), int64_t);
    for (size_t e = 0; e < qv_elems(t); e++) w.input[i][e] = t->lo;
  }
  do {
    for (w.element = 0; !bad && w.element < qv_elems(&net->tensor[net->node[node].out]); w.element++)
      assert_int_equal(qv_witness_replay(&bad, &w, net, bits, &err), QV_OK);
  } while (!bad && next_input(net, w.input));
  qv_arena_clear(&a);
  return bad;
}

static void tiny_nets(void **state) {
  (void)state;
  int reached = 0, exhausted = 0, proved = 0;
  for (int it = effort(400); it > 0; it--) {
    qv_rng r = {50000 + (uint64_t)it};
    qv_net *net = gen_net(&r, &(gen_opts){.max_in = 2, .in_bits = 3, .max_nodes = 7, .max_elems = 12, .max_k = 20});
    assert_non_null(net);
    qv_err err = {0};
    qv_property prop;
    int bits = it % 2 == 0 ? 0 : (int)qv_rng_range(&r, 4, 14);
    assert_int_equal(qv_property_whole(&prop, net, bits, &err), QV_OK);
    qv_proof p;
    assert_int_equal(qv_prove_overflow(&p, net, &prop, NULL, &err), QV_OK);
    for (uint32_t i = 0; i < p.range.n_acc; i++) {
      bool truth = reachable(net, p.item[i].node, bits);
      if (p.item[i].verdict == QV_VERIFIED) {
        if (truth) fail_msg("net %d node %u: proved, but an input misbehaves", it, p.item[i].node);
        proved++;
        continue;
      }
      qv_witness w;
      assert_int_equal(qv_witness_search(&w, net, &prop, &p, i, NULL, &err), QV_OK);
      if (w.state == QV_WIT_REACHED) assert_true(truth), reached++;
      if (w.state == QV_WIT_EXHAUSTED) assert_false(truth), exhausted++;
      assert_true(w.state != QV_WIT_NONE); /* such small domains are always decided */
      qv_witness_clear(&w);
    }
    qv_proof_clear(&p);
    qv_property_clear(&prop);
    qv_net_free(net);
  }
  print_message("proved %d, reached %d, exhausted %d\n", proved, reached, exhausted);
  assert_true(reached > 20 && exhausted > 0 && proved > 20);
}

/* First layers with inputs too many to enumerate: an exact bound that does not fit is always reached. */
static void first_layers(void **state) {
  (void)state;
  int reached = 0;
  for (int it = effort(300); it > 0; it--) {
    qv_rng r = {90000 + (uint64_t)it};
    uint32_t modes = 1u << (it % 7);
    qv_net *net = gen_net(&r, &(gen_opts){.max_in = 200, .in_bits = 8, .max_nodes = 1, .max_elems = 400, .modes = modes, .kinds = 1u << QV_AFFINE});
    assert_non_null(net);
    qv_err err = {0};
    qv_property prop;
    assert_int_equal(qv_property_whole(&prop, net, it % 3 == 0 ? 0 : (int)qv_rng_range(&r, 10, 20), &err), QV_OK);
    qv_proof p;
    assert_int_equal(qv_prove_overflow(&p, net, &prop, NULL, &err), QV_OK);
    if (p.range.n_acc > 0 && p.item[0].verdict != QV_VERIFIED && p.item[0].exact && net->node[p.item[0].node].u.affine.acc.order == QV_ORDER_KERNEL &&
        (p.item[0].cls == QV_OV_UNSAFE || modes == 1u << QV_ACC_TRAP || modes == 1u << QV_ACC_SAT)) {
      qv_witness w;
      assert_int_equal(qv_witness_search(&w, net, &prop, &p, 0, NULL, &err), QV_OK);
      if (w.state != QV_WIT_REACHED) fail_msg("net %d: a first-layer violation was not found (state %d, %llu tried, mode %d bits %d, final [%lld,%lld])", it, (int)w.state, (unsigned long long)w.tried, (int)net->node[0].u.affine.acc.mode, p.item[0].bits, (long long)p.range.acc[0].final[p.item[0].channel].lo, (long long)p.range.acc[0].final[p.item[0].channel].hi);
      reached++;
      qv_witness_clear(&w);
    }
    qv_proof_clear(&p);
    qv_property_clear(&prop);
    qv_net_free(net);
  }
  print_message("reached %d first-layer violations\n", reached);
  assert_true(reached > 20);
}

/* The node input that is said to attain a bound does, by the reference kernel; and no bound is left out. */
static void node_inputs(void **state) {
  (void)state;
  int seen = 0;
  for (int it = effort(150); it > 0; it--) {
    qv_rng r = {130000 + (uint64_t)it};
    qv_net *net = gen_net(&r, &(gen_opts){.max_in = 40, .in_bits = 8, .max_nodes = 6, .max_elems = 200, .modes = 1u << QV_ACC_EXACT});
    assert_non_null(net);
    qv_err err = {0};
    qv_proof p;
    assert_int_equal(qv_prove_overflow(&p, net, NULL, NULL, &err), QV_OK);
    for (uint32_t i = 0; i < p.range.n_acc; i++) {
      const qv_acc_bound *b = &p.range.acc[i];
      const qv_node *n = &net->node[b->node];
      if (n->kind != QV_AFFINE || !b->attained) continue;
      qv_values v;
      assert_int_equal(qv_values_init(&v, net, &err), QV_OK);
      for (uint32_t c = 0; c < b->n; c++)
        for (int hi = 0; hi <= 1; hi++) {
          size_t e = 0;
          int64_t value = 0;
          qv_witness_node_input(v.v[n->in[0]], &e, &value, net, &p.range, b->node, c, hi != 0);
          for (size_t q = 0; q < qv_elems(&net->tensor[n->in[0]]); q++) {
            qv_itv t = qv_ranges_at(&p.range.tensor[n->in[0]], q);
            assert_true(v.v[n->in[0]][q] >= t.lo && v.v[n->in[0]][q] <= t.hi);
          }
          assert_int_equal(value, hi ? b->final[c].hi : b->final[c].lo);
          assert_int_equal(qv_ref_node(net, b->node, &v, &err), QV_OK);
          assert_int_equal(v.v[n->out][e], value);
          seen++;
        }
      qv_values_clear(&v);
    }
    qv_proof_clear(&p);
    qv_net_free(net);
  }
  print_message("%d bounds attained\n", seen);
  assert_true(seen > 200);
}

int main(void) {
  const struct CMUnitTest t[] = {cmocka_unit_test(tiny_nets), cmocka_unit_test(first_layers), cmocka_unit_test(node_inputs)};
  return cmocka_run_group_tests(t, NULL, NULL);
}
