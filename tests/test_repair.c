/* Repairs: the searches against brute force on small cases (fewest steps, matchings, orders of channels), and repaired nets: proved,
 * and, where the channels only changed places, equal on every tensor that both nets have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/fit.h"
#include "analysis/match.h"
#include "analysis/permute.h"
#include "analysis/repair.h"
#include "analysis/rescale.h"
#include "ir/base/rng.h"
#include "kernels/ref.h"
#include "tests/range_net.h"

static void ok(qv_status st, const qv_err *err) {
  if (st != QV_OK) fail_msg("%s", err->msg);
}

/* ---- fewest steps --------------------------------------------------------------------------------------------------------------- */

static int64_t brute_steps(const qv_least_term *t, size_t n, int64_t up, int64_t down) {
  if (n == 0) return up <= 0 && down <= 0 ? 0 : INT32_MAX;
  int64_t best = INT32_MAX;
  for (int64_t d = 0; d <= t[0].most; d++) best = qv_min64(best, d + brute_steps(t + 1, n - 1, up - d * t[0].up, down - d * t[0].down));
  return best;
}

static void test_least(void **s) {
  (void)s;
  qv_rng r = {31};
  int both = 0, none = 0, gaps = 0;
  for (unsigned it = 0; it < 4000 * rn_multiplier(); it++) {
    size_t n = (size_t)qv_rng_range(&r, 1, 5);
    qv_least_term t[5];
    int64_t d[5], up = 0, down = 0, sum = 0, got_up = 0, got_down = 0, kinds = qv_rng_range(&r, 1, 3), most = n < 4 ? 9 : 4;
    for (size_t i = 0; i < n; i++) {
      bool same = i > 0 && qv_rng_range(&r, 1, 3) > kinds;
      t[i] = (qv_least_term){qv_rng_range(&r, 0, 9), qv_rng_range(&r, 0, 9), qv_rng_range(&r, 0, most)};
      if (same) t[i].up = t[0].up, t[i].down = t[0].down;
      up += t[i].up * t[i].most, down += t[i].down * t[i].most;
    }
    int64_t need_up = qv_rng_range(&r, -3, up + 1), need_down = qv_rng_range(&r, -3, down + 1);
    qv_err err = {0};
    qv_least got;
    qv_status st = qv_least_steps(d, &got, t, n, need_up, need_down, &err);
    int64_t want = brute_steps(t, n, need_up, need_down);
    if (want == INT32_MAX) {
      assert_int_equal(st, QV_E_ARG);
      none++;
      continue;
    }
    ok(st, &err);
    for (size_t i = 0; i < n; i++) {
      assert_true(d[i] >= 0 && d[i] <= t[i].most);
      sum += d[i], got_up += d[i] * t[i].up, got_down += d[i] * t[i].down;
    }
    if (got.steps != want || sum != want || got.bound != want || got_up < need_up || got_down < need_down)
      fail_msg("case %u: %d steps (bound %d, sum %d), %d suffice", it, (int)got.steps, (int)got.bound, (int)sum, (int)want);
    both += need_up > 0 && need_down > 0;
    gaps += want > 0;
  }
  print_message("%d cases with both ends, %d impossible, %d with steps\n", both, none, gaps);
  assert_true(both > 500 && none > 100 && gaps > 1000);
}

/* Steps of equal gain are spread evenly. */
static void test_even(void **s) {
  (void)s;
  const qv_least_term t[4] = {{10, 0, 1}, {10, 0, 50}, {10, 0, 50}, {10, 0, 50}};
  int64_t d[4];
  qv_least got;
  assert_int_equal(qv_least_steps(d, &got, t, 4, 195, 0, NULL), QV_OK);
  assert_true(got.steps == 20 && got.bound == 20 && d[0] == 1);
  for (int i = 1; i < 4; i++) assert_true(d[i] == 6 || d[i] == 7);
}

/* ---- matchings ------------------------------------------------------------------------------------------------------------------ */

static uint32_t brute_match(const uint8_t *edge, uint32_t n, uint32_t used) {
  uint32_t v = 0, best;
  while (v < n && ((used >> v) & 1) != 0) v++;
  if (v == n) return 0;
  best = brute_match(edge, n, used | 1u << v);
  for (uint32_t u = v + 1; u < n; u++) {
    if (((used >> u) & 1) != 0 || edge[v * n + u] == 0) continue;
    uint32_t m = 1 + brute_match(edge, n, used | 1u << v | 1u << u);
    if (m > best) best = m;
  }
  return best;
}

static void test_match(void **s) {
  (void)s;
  qv_rng r = {5};
  int imperfect = 0;
  for (unsigned it = 0; it < 3000 * rn_multiplier(); it++) {
    uint32_t n = (uint32_t)qv_rng_range(&r, 1, 11), mate[11], size = 0;
    uint8_t edge[121] = {0};
    int64_t share = qv_rng_range(&r, 5, 60);
    for (uint32_t i = 0; i < n; i++)
      for (uint32_t j = 0; j < i; j++) edge[i * n + j] = edge[j * n + i] = qv_rng_range(&r, 0, 99) < share;
    assert_int_equal(qv_match(mate, edge, n, NULL), QV_OK);
    for (uint32_t v = 0; v < n; v++) {
      if (mate[v] == QV_MATCH_NONE) continue;
      assert_true(mate[v] < n && mate[mate[v]] == v && edge[v * n + mate[v]] != 0);
      size += v < mate[v];
    }
    uint32_t want = brute_match(edge, n, 0);
    if (size != want) fail_msg("graph %u: %u edges, %u possible", it, size, want);
    imperfect += want < n / 2;
  }
  assert_true(imperfect > 300);
}

/* ---- nets ------------------------------------------------------------------------------------------------------------------------ */

static void close_net(qv_net *net, uint32_t y) {
  qv_err err = {0};
  assert_true(qv_net_add_out(net, &(qv_port){.tensor = y, .end = QV_END_INT, .name = "y"}));
  ok(qv_ir_check(net, &err), &err);
}

static uint32_t requantize(qv_net *net, uint32_t x, qv_rq_par par, bool u8) {
  qv_rq_par *p = QV_NEW(&net->arena, 1, qv_rq_par);
  assert_non_null(p);
  *p = par;
  qv_tensor t = net->tensor[x];
  uint32_t y = rn_node(net, (qv_node){.kind = QV_STEP, .u.step = {.n_par = 1, .par = p, .inner = 1, .lo = u8 ? 0 : -128, .hi = u8 ? 255 : 127}}, 1, &x, t.rank, t.dim);
  net->tensor[y].type = u8 ? QV_U8 : QV_I8;
  return y;
}

/* A convolution of one row of pixels: some channels heavy, others light. */
static uint32_t conv(qv_net *net, qv_rng *r, uint32_t x, uint32_t ic, uint32_t oc, uint32_t kw, qv_acc acc, int32_t x_zp) {
  qv_window g = {1, 1, 5, ic, 1, 5, oc, 1, kw, 1, 1, 1, 1, 0, kw / 2, 1};
  int32_t w[9 * 6 * 3], w_zp = qv_rng_range(r, 0, 3) == 0 ? (int32_t)qv_rng_range(r, -9, 9) : 0;
  int64_t b[9];
  for (uint32_t c = 0; c < ic; c++) {
    int64_t m = qv_rng_range(r, 0, 1) == 0 ? 127 : qv_rng_range(r, 0, 2) == 0 ? 70 : 25;
    for (uint32_t k = 0; k < oc * kw; k++) w[k * ic + c] = (int32_t)qv_rng_range(r, qv_rng_range(r, 0, 2) == 0 ? -m : 0, m);
  }
  for (uint32_t o = 0; o < oc; o++) b[o] = qv_rng_range(r, -5000, 5000);
  return rn_affine(net, x, (rn_affine_arg){.win = g, .x_zp = x_zp, .w = w, .w_zp = w_zp, .b = b, .acc = acc});
}

/* Two convolutions with a requantization between them. Pure function of the seed; odd seeds have one tap only. */
static qv_net *two_layers(uint64_t seed, qv_acc acc, bool u8) {
  qv_rng r = {seed};
  qv_net *net = rn_new();
  uint32_t ic = (uint32_t)qv_rng_range(&r, 2, 6), mid = (uint32_t)qv_rng_range(&r, 2, 6), kw = seed % 2 == 0 ? 3 : 1;
  const uint32_t dim[4] = {1, 1, 5, ic};
  int64_t lo = u8 ? 0 : -128, hi = u8 ? qv_rng_range(&r, 200, 255) : 127;
  uint32_t x = rn_input(net, u8 ? QV_U8 : QV_I8, lo, hi, 4, dim);
  uint32_t y = conv(net, &r, x, ic, mid, kw, acc, u8 ? 0 : (int32_t)qv_rng_range(&r, -3, 3));
  y = requantize(net, y, (qv_rq_par){.fn = QV_RQ_F32, .M = 0x1p-8}, u8);
  close_net(net, conv(net, &r, y, mid, (uint32_t)qv_rng_range(&r, 1, 6), kw, acc, u8 ? (int32_t)qv_rng_range(&r, 0, 3) : 0));
  return net;
}

static const qv_acc PAIRS = {.mode = QV_ACC_PAIR16, .bits = 32, .raw = true};

static void random_input(qv_values *v, const qv_net *net, qv_rng *r) {
  const qv_tensor *t = &net->tensor[net->in[0].tensor];
  for (size_t e = 0; e < qv_elems(t); e++) {
    int64_t f = qv_rng_range(r, 0, 3);
    v->v[net->in[0].tensor][e] = f == 0 ? t->lo : f == 1 ? t->hi : qv_rng_range(r, t->lo, t->hi);
  }
}

static void exact_everywhere(qv_net *net) {
  for (uint32_t k = 0; k < net->n_nodes; k++)
    if (net->node[k].kind == QV_AFFINE) net->node[k].u.affine.acc = (qv_acc){.mode = QV_ACC_WRAP, .bits = 32};
}

/* Both nets on random inputs: the same output. `was` in exact arithmetic. */
static void same_outputs(const qv_net *was, const qv_net *is, uint64_t seed) {
  qv_values a, b;
  qv_rng r = {seed};
  qv_err err = {0};
  uint32_t ya = was->out[0].tensor, yb = is->out[0].tensor;
  ok(qv_values_init(&a, was, &err), &err);
  ok(qv_values_init(&b, is, &err), &err);
  for (int it = 0; it < 20; it++) {
    random_input(&a, was, &r);
    memcpy(b.v[is->in[0].tensor], a.v[was->in[0].tensor], qv_elems(&was->tensor[was->in[0].tensor]) * sizeof(int64_t));
    ok(qv_ref_run(was, &a, &err), &err);
    ok(qv_ref_run(is, &b, &err), &err);
    if (memcmp(a.v[ya], b.v[yb], qv_elems(&was->tensor[ya]) * sizeof(int64_t)) != 0) fail_msg("net %d: another output", (int)seed);
  }
  qv_values_clear(&a);
  qv_values_clear(&b);
}

static qv_verdict verdict(const qv_net *net) {
  qv_err err = {0};
  qv_proof p;
  ok(qv_prove_overflow(&p, net, NULL, &(qv_prove_opts){.work = 1}, &err), &err);
  qv_verdict v = p.verdict;
  qv_proof_clear(&p);
  return v;
}

/* ---- orders of channels --------------------------------------------------------------------------------------------------------- */

/* Fewest zeros that any order of the channels of node n needs, by trying all orders with zeros at any place; the proof judges. */
typedef struct {
  uint64_t seed;
  uint32_t node, n, added, from[12];
  bool found;
} orders;

static void try_orders(orders *q, uint32_t at, uint32_t used, uint32_t zeros) {
  if (q->found) return;
  if (at == q->n + q->added) {
    qv_net *net = two_layers(q->seed, PAIRS, true);
    qv_err err = {0};
    uint32_t node = q->node;
    ok(qv_order_apply(net, &node, &(qv_order_found){.found = true, .channels = q->n, .added = q->added, .from = q->from}, &err), &err);
    ok(qv_ir_check(net, &err), &err);
    qv_proof p;
    ok(qv_prove_overflow(&p, net, NULL, &(qv_prove_opts){.work = 1}, &err), &err);
    for (uint32_t i = 0; i < p.range.n_acc; i++)
      if (p.item[i].node == node) q->found = p.item[i].verdict == QV_VERIFIED;
    qv_proof_clear(&p);
    qv_net_free(net);
    return;
  }
  for (uint32_t c = 0; c < q->n; c++) {
    if (((used >> c) & 1) != 0) continue;
    q->from[at] = c;
    try_orders(q, at + 1, used | 1u << c, zeros);
  }
  if (zeros == 0) return;
  q->from[at] = QV_NONE;
  try_orders(q, at + 1, used, zeros - 1);
}

static void test_fewest_zeros(void **s) {
  (void)s;
  int with = 0, without = 0;
  for (uint64_t seed = 1; seed <= 60 * rn_multiplier(); seed++) {
    qv_net *net = two_layers(seed, PAIRS, true);
    qv_err err = {0};
    qv_proof p;
    qv_arena a = {0};
    qv_order_found f;
    ok(qv_prove_overflow(&p, net, NULL, &(qv_prove_opts){.work = 1}, &err), &err);
    ok(qv_order_find(&f, &a, net, &p, 0, &err), &err);
    if (f.channels <= 4) {
      assert_true(f.found);
      orders q = {.seed = seed, .node = 0, .n = f.channels};
      bool one_tap = seed % 2 != 0; /* else only orders in which no pair spans two taps */
      for (q.added = !one_tap && f.channels % 2 != 0; !q.found; q.added += one_tap ? 1 : 2) try_orders(&q, 0, 0, q.added);
      q.added -= one_tap ? 1 : 2;
      if (q.added != f.added) fail_msg("net %d: %u zeros, %u suffice", (int)seed, f.added, q.added);
      with += f.added > 0;
      without += f.added == 0;
    }
    qv_arena_clear(&a);
    qv_proof_clear(&p);
    qv_net_free(net);
  }
  print_message("%d orders with zeros, %d without\n", with, without);
  assert_true(with > 3 && without > 3);
}

static void test_permuted(void **s) {
  (void)s;
  int moved = 0, zeros = 0, clipped = 0, halved = 0;
  for (uint64_t seed = 1; seed <= 300 * rn_multiplier(); seed++) {
    qv_net *was = two_layers(seed, PAIRS, true), *is = two_layers(seed, PAIRS, true), *other = two_layers(seed, PAIRS, true);
    qv_err err = {0};
    qv_repair f;
    bool safe = verdict(was) == QV_VERIFIED;
    exact_everywhere(was);
    ok(qv_repair_run(&f, is, NULL, QV_REPAIR_PERMUTE, &err), &err);
    if (verdict(is) != QV_VERIFIED) fail_msg("net %d is not proved after permuting", (int)seed);
    assert_true(f.n == 0 && safe == (f.n_layers == 0));
    for (uint32_t i = 0; i < f.n_layers; i++) moved++, zeros += f.layer[i].added > 0;
    same_outputs(was, is, seed);
    qv_repair_clear(&f);
    ok(qv_repair_run(&f, other, NULL, QV_REPAIR_AUTO, &err), &err);
    assert_int_equal(verdict(other), QV_VERIFIED);
    for (uint32_t i = 0; i < f.n_layers; i++) {
      assert_true(f.layer[i].way != QV_REPAIR_PERMUTE || 4 * f.layer[i].added <= f.layer[i].channels);
      assert_true(f.layer[i].way != QV_REPAIR_RANGE || f.layer[i].node + 1 < other->n_nodes);
      clipped += f.layer[i].way == QV_REPAIR_CLIP;
      halved += f.layer[i].way == QV_REPAIR_RANGE;
    }
    qv_repair_clear(&f);
    qv_net_free(was);
    qv_net_free(is);
    qv_net_free(other);
  }
  print_message("%d layers permuted, %d with zeros; %d clipped, %d halved instead\n", moved, zeros, clipped, halved);
  assert_true(moved > 100 && zeros > 20 && zeros < moved && clipped > 10 && halved > 10);
}

/* Lanes: what the local search finds is proved and changes nothing; what it calls impossible stays unproved in every order. */
static bool any_order(uint64_t seed, qv_acc acc, uint32_t n, uint32_t at, uint32_t used, uint32_t *from) {
  if (at == n) {
    qv_net *net = two_layers(seed, acc, false);
    qv_err err = {0};
    uint32_t node = 0;
    ok(qv_order_apply(net, &node, &(qv_order_found){.found = true, .channels = n, .from = from}, &err), &err);
    ok(qv_ir_check(net, &err), &err);
    qv_proof p;
    ok(qv_prove_overflow(&p, net, NULL, &(qv_prove_opts){.work = 1}, &err), &err);
    bool fits = false;
    for (uint32_t i = 0; i < p.range.n_acc; i++)
      if (p.item[i].node == node) fits = p.item[i].verdict == QV_VERIFIED;
    qv_proof_clear(&p);
    qv_net_free(net);
    return fits;
  }
  for (uint32_t c = 0; c < n; c++) {
    from[at] = c;
    if (((used >> c) & 1) == 0 && any_order(seed, acc, n, at + 1, used | 1u << c, from)) return true;
  }
  return false;
}

static void test_lanes_permuted(void **s) {
  (void)s;
  int found = 0, impossible = 0, missed = 0, none = 0;
  for (uint64_t seed = 1; seed <= 300 * rn_multiplier(); seed += 2) { /* one tap: no zeros */
    qv_acc acc = {.mode = QV_ACC_LANES, .bits = 32, .lane_bits = seed % 8 < 4 ? 15 : 16, .lanes = 2};
    qv_net *was = two_layers(seed, acc, false), *is = two_layers(seed, acc, false);
    qv_err err = {0};
    qv_proof p;
    qv_arena a = {0};
    qv_order_found f;
    uint32_t from[6], node = 0;
    ok(qv_prove_overflow(&p, was, NULL, &(qv_prove_opts){.work = 1}, &err), &err);
    ok(qv_order_find(&f, &a, was, &p, 0, &err), &err);
    if (p.item[0].verdict != QV_VERIFIED) {
      bool exists = any_order(seed, acc, f.channels, 0, 0, from);
      assert_false(f.impossible && exists);
      assert_false(f.found && !exists);
      found += f.found, impossible += f.impossible, missed += exists && !f.found, none += !exists;
    }
    if (f.found) {
      ok(qv_order_apply(is, &node, &f, &err), &err);
      ok(qv_ir_check(is, &err), &err);
      exact_everywhere(was);
      exact_everywhere(is);
      same_outputs(was, is, seed);
    }
    qv_arena_clear(&a);
    qv_proof_clear(&p);
    qv_net_free(was);
    qv_net_free(is);
  }
  print_message("%d orders found, %d not found; %d without one, %d of these proved\n", found, missed, none, impossible);
  assert_true(found > 5 && impossible > 5 && missed <= found / 5);
}

/* ---- clipping for every kind of stage --------------------------------------------------------------------------------------------- */

static const struct {
  qv_acc acc;
  bool u8;
} stages[] = {
    {{.mode = QV_ACC_PAIR16, .bits = 32, .raw = true}, true},
    {{.mode = QV_ACC_PAIR16, .bits = 32, .pairing = QV_PAIR_K8}, true},
    {{.mode = QV_ACC_LANES, .bits = 32, .raw = true, .lane_bits = 14, .lanes = 4}, false},
    {{.mode = QV_ACC_LANES, .bits = 32, .lane_bits = 14, .lanes = 2, .spill = 2, .lane_sat = true}, false},
    {{.mode = QV_ACC_LANES, .bits = 32, .order = QV_ORDER_ANY, .lane_bits = 14, .lanes = 2}, false},
    {{.mode = QV_ACC_PAIRLANES, .bits = 32, .raw = true, .lane_bits = 16, .lanes = 1, .lane_sat = true, .spill = 2}, true},
    {{.mode = QV_ACC_PAIRLANES, .bits = 32, .lane_bits = 16, .lanes = 3, .pairing = QV_PAIR_K8}, true},
    {{.mode = QV_ACC_WRAP, .bits = 16}, true},
    {{.mode = QV_ACC_WRAP, .bits = 15, .raw = true}, false},
    {{.mode = QV_ACC_SAT, .bits = 16}, false},
    {{.mode = QV_ACC_SAT, .bits = 15, .bias = QV_BIAS_FIRST}, true},
    {{.mode = QV_ACC_TRAP, .bits = 16, .order = QV_ORDER_ANY}, false},
};

static void test_clipped(void **s) {
  (void)s;
  for (size_t k = 0; k < sizeof stages / sizeof stages[0]; k++) {
    int changed = 0;
    uint64_t steps = 0, bound = 0;
    for (uint64_t seed = 1; seed <= 60 * rn_multiplier(); seed++) {
      qv_net *net = two_layers(seed, stages[k].acc, stages[k].u8);
      qv_err err = {0};
      qv_repair f;
      bool safe = verdict(net) == QV_VERIFIED;
      ok(qv_repair_run(&f, net, NULL, QV_REPAIR_CLIP, &err), &err);
      if (verdict(net) != QV_VERIFIED) fail_msg("stage %zu, net %d is not proved after clipping", k, (int)seed);
      assert_true(safe == (f.n == 0) && f.bound <= f.steps);
      changed += f.n > 0;
      steps += f.steps;
      bound += f.bound;
      qv_repair_clear(&f);
      qv_net_free(net);
    }
    print_message("stage %zu: %d nets clipped, %llu steps, bound %llu\n", k, changed, (unsigned long long)steps, (unsigned long long)bound);
    assert_true(changed > 10 && steps - bound <= steps / 50);
  }
}

/* Bytes of padding count: activations up to 10, but a zero point of 200 at the border. */
static void test_padding_counts(void **s) {
  (void)s;
  const uint32_t dim[4] = {1, 1, 5, 1};
  const int32_t w[3] = {100, 100, 100};
  const qv_acc acc = {.mode = QV_ACC_LANES, .bits = 32, .raw = true, .lane_bits = 14, .lanes = 1};
  qv_net *net = rn_new();
  qv_err err = {0};
  qv_repair f;
  close_net(net, rn_affine(net, rn_input(net, QV_U8, 0, 10, 4, dim), (rn_affine_arg){.win = {1, 1, 5, 1, 1, 5, 1, 1, 3, 1, 1, 1, 1, 0, 1, 1}, .x_zp = 200, .w = w, .acc = acc}));
  assert_int_not_equal(verdict(net), QV_VERIFIED); /* 20,000 + 1,000 + 1,000 */
  ok(qv_repair_run(&f, net, NULL, QV_REPAIR_CLIP, &err), &err);
  assert_int_equal(verdict(net), QV_VERIFIED);
  qv_repair_clear(&f);
  qv_net_free(net);
}

/* One channel, two or three weights, any stage: every smaller number of steps leaves something unproved. The activations' range
 * contains 0, so the conditions are necessary too. */
static bool brute_clip(qv_net *net, int32_t *w, const int32_t *was, uint32_t n, uint32_t at, int64_t left) {
  if (at == n) {
    qv_err err = {0};
    return qv_ir_check(net, &err) == QV_OK && verdict(net) == QV_VERIFIED;
  }
  for (int64_t d = 0; d <= left && d <= abs(was[at]); d++) {
    w[at] = (int32_t)(was[at] > 0 ? was[at] - d : was[at] + d);
    if (brute_clip(net, w, was, n, at + 1, left - d)) return true;
  }
  w[at] = was[at];
  return false;
}

static void test_clip_is_least(void **s) {
  (void)s;
  qv_rng r = {4};
  int changed = 0;
  for (unsigned it = 0; it < 150 * rn_multiplier(); it++) {
    size_t k = it % (sizeof stages / sizeof stages[0]);
    uint32_t n = it % 4 == 0 ? 3 : 2;
    int32_t w[3];
    int64_t limit = stages[k].acc.lane_bits == 14 ? 8192 : stages[k].acc.bits == 15 ? 16384 : 32768, sum = 0, b = qv_rng_range(&r, -300, 300);
    for (uint32_t i = 0; i < n; i++) {
      w[i] = (int32_t)qv_rng_range(&r, stages[k].u8 ? 3 : -60, 60);
      sum += abs(w[i]);
    }
    int64_t top = limit / (sum + 1) + qv_rng_range(&r, 1, 60); /* a little more than fits, if all of them meet */
    qv_net *net = rn_new();
    uint32_t x = rn_input(net, QV_I16, stages[k].u8 ? 0 : -top, top + qv_rng_range(&r, -9, 9), 1, &n);
    close_net(net, rn_affine(net, x, (rn_affine_arg){.win = rn_dense(n, 1), .w = w, .b = &b, .acc = stages[k].acc}));
    qv_err err = {0};
    qv_repair f;
    ok(qv_repair_run(&f, net, NULL, QV_REPAIR_CLIP, &err), &err);
    assert_int_equal(verdict(net), QV_VERIFIED);
    assert_true(f.bound == f.steps);
    if (f.steps > 0 && f.steps < 25) {
      int32_t *now = (int32_t *)(uintptr_t)net->node[0].u.affine.w;
      if (brute_clip(net, now, w, n, 0, (int64_t)f.steps - 1)) fail_msg("case %u: %d steps, fewer suffice", it, (int)f.steps);
      changed++;
    }
    qv_repair_clear(&f);
    qv_net_free(net);
  }
  print_message("%d cases with every smaller number of steps refuted\n", changed);
  assert_true(changed > 15);
}

/* The most levels: no larger number is proved, the one that was taken is. */
static void test_levels(void **s) {
  (void)s;
  int scaled = 0, clipped = 0;
  for (uint64_t seed = 1; seed <= 40 * rn_multiplier(); seed++) {
    qv_acc acc = {.mode = QV_ACC_LANES, .bits = 32, .raw = seed % 3 == 0, .lane_bits = 14, .lanes = 2};
    qv_net *is = two_layers(seed, acc, false);
    qv_err err = {0};
    qv_repair f;
    ok(qv_repair_run(&f, is, NULL, QV_REPAIR_SCALE, &err), &err);
    assert_int_equal(verdict(is), QV_VERIFIED);
    for (uint32_t i = 0; i < f.n_layers; i++) {
      const qv_repair_layer *l = &f.layer[i];
      clipped += l->way == QV_REPAIR_CLIP;
      if (l->way != QV_REPAIR_SCALE) continue;
      scaled++;
      assert_true(l->node == 0 && l->levels < l->of);
      for (int64_t r = l->of; r >= l->levels; r--) {
        qv_net *net = two_layers(seed, acc, false);
        ok(qv_rescale(net, 0, r, l->of, &err), &err);
        ok(qv_ir_check(net, &err), &err);
        qv_proof p;
        ok(qv_prove_overflow(&p, net, NULL, &(qv_prove_opts){.work = 1}, &err), &err);
        if ((p.item[0].verdict == QV_VERIFIED) != (r == l->levels)) fail_msg("net %d: %d of %d levels", (int)seed, (int)r, (int)l->of);
        qv_proof_clear(&p);
        qv_net_free(net);
      }
    }
    qv_repair_clear(&f);
    qv_net_free(is);
  }
  print_message("%d layers scaled, %d clipped\n", scaled, clipped);
  assert_true(scaled > 20 && clipped > 20);
}

/* ---- reduced range ----------------------------------------------------------------------------------------------------------------- */

static void test_halved(void **s) {
  (void)s;
  int halved = 0, clipped = 0;
  for (uint64_t seed = 1; seed <= 100 * rn_multiplier(); seed++) {
    qv_net *was = two_layers(seed, PAIRS, true), *is = two_layers(seed, PAIRS, true);
    qv_err err = {0};
    qv_repair f;
    ok(qv_repair_run(&f, is, NULL, QV_REPAIR_RANGE, &err), &err);
    assert_int_equal(verdict(is), QV_VERIFIED);
    for (uint32_t i = 0; i < f.n_layers; i++) {
      const qv_affine *a = &was->node[f.layer[i].node].u.affine, *b = &is->node[f.layer[i].node].u.affine;
      if (f.layer[i].way == QV_REPAIR_CLIP) { /* the last layer has no requantization to take the factor */
        assert_int_equal(f.layer[i].node, 2);
        clipped++;
        continue;
      }
      assert_true(f.layer[i].way == QV_REPAIR_RANGE && f.layer[i].node == 0);
      for (uint32_t j = 0; j < a->win.oc * a->win.kw * a->win.ic; j++) {
        int32_t d = a->w[j] - a->w_zp[0], h = (abs(d) + 1) / 2 * (d < 0 ? -1 : 1);
        assert_int_equal(b->w[j], a->w_zp[0] + h);
      }
      assert_true(is->node[1].u.step.par[0].M == 2 * was->node[1].u.step.par[0].M);
      halved++;
    }
    qv_repair_clear(&f);
    qv_net_free(was);
    qv_net_free(is);
  }
  print_message("%d layers halved, %d clipped\n", halved, clipped);
  assert_true(halved > 20 && clipped > 20);
}

/* A scale that cannot be doubled, because the step's input range (32 bits) times it would leave 60 bits: clipped instead, all else as it was. */
static void test_scale_too_large(void **s) {
  (void)s;
  const uint32_t n = 2;
  const int32_t w[2] = {127, 127};
  qv_net *net = rn_new();
  uint32_t y = rn_affine(net, rn_input(net, QV_U8, 0, 255, 1, &n), (rn_affine_arg){.win = rn_dense(2, 1), .w = w, .acc = PAIRS});
  close_net(net, requantize(net, y, (qv_rq_par){.fn = QV_RQ_F32, .M = 0x1.8p28}, true));
  qv_err err = {0};
  qv_repair f;
  ok(qv_repair_run(&f, net, NULL, QV_REPAIR_RANGE, &err), &err);
  assert_true(f.n_layers == 1 && f.layer[0].way == QV_REPAIR_CLIP && f.steps == 126);
  assert_true(net->node[1].u.step.par[0].M == 0x1.8p28 && net->node[0].u.affine.w[0] == 64 && net->node[0].u.affine.w[1] == 64);
  qv_repair_clear(&f);
  qv_net_free(net);
}

/* A factor of two is exact for every requantization by a scale: weights and biases that are even give the same outputs. */
static void test_rescale_functions(void **s) {
  (void)s;
  static const qv_rq_par par[] = {
      {.fn = QV_RQ_D, .m = 1518500250, .sh = -7}, {.fn = QV_RQ_U, .m = 1518500250, .sh = -7}, {.fn = QV_RQ_S, .m = 1518500250, .sh = -7},
      {.fn = QV_RQ_64, .m = 1518500250, .sh = -7}, {.fn = QV_RQ_T, .m = 1518500250, .sh = 38}, {.fn = QV_RQ_TD, .m = 1518500250, .sh = 38},
      {.fn = QV_RQ_F32, .M = 0x1.8p-8}, {.fn = QV_RQ_NDU, .M = 0x1.8p-8}, {.fn = QV_RQ_F64A, .M = 0x1.8p-8}, {.fn = QV_RQ_REF, .M = 0x1.8p-8},
      {.fn = QV_RQ_F32B, .M = 0x1.8p-8, .B = 3}, {.fn = QV_RQ_MEANF, .m = 1, .M = 0x1.8p-8},
  };
  const int32_t w[4] = {100, -120, 44, 2};
  const int64_t b[2] = {1000, -78};
  const uint32_t n = 2;
  for (size_t i = 0; i < sizeof par / sizeof par[0]; i++) {
    qv_net *net[2];
    for (int j = 0; j < 2; j++) {
      net[j] = rn_new();
      uint32_t y = rn_affine(net[j], rn_input(net[j], QV_U8, 0, 255, 1, &n), (rn_affine_arg){.win = rn_dense(2, 2), .w = w, .b = b, .acc = {.mode = QV_ACC_WRAP, .bits = 32}});
      close_net(net[j], requantize(net[j], y, par[i], false));
    }
    qv_err err = {0};
    assert_true(qv_rescale_possible(net[1], 0));
    ok(qv_rescale(net[1], 0, 1, 2, &err), &err);
    ok(qv_ir_check(net[1], &err), &err);
    assert_true(net[1]->node[0].u.affine.w[1] == -60 && net[1]->node[0].u.affine.b[0] == 500);
    same_outputs(net[0], net[1], i);
    qv_net_free(net[0]);
    qv_net_free(net[1]);
  }
  const qv_rq_par div = {.fn = QV_RQ_DIV, .m = 7};
  qv_net *no = rn_new();
  close_net(no, requantize(no, rn_affine(no, rn_input(no, QV_U8, 0, 255, 1, &n), (rn_affine_arg){.win = rn_dense(2, 2), .w = w, .acc = {.mode = QV_ACC_WRAP, .bits = 32}}), div, false));
  assert_false(qv_rescale_possible(no, 0));
  qv_net_free(no);
}

int main(void) {
  const struct CMUnitTest t[] = {
      cmocka_unit_test(test_least),        cmocka_unit_test(test_even),    cmocka_unit_test(test_match),
      cmocka_unit_test(test_fewest_zeros), cmocka_unit_test(test_permuted), cmocka_unit_test(test_clipped),
      cmocka_unit_test(test_lanes_permuted), cmocka_unit_test(test_clip_is_least), cmocka_unit_test(test_padding_counts), cmocka_unit_test(test_levels), cmocka_unit_test(test_halved),  cmocka_unit_test(test_rescale_functions), cmocka_unit_test(test_scale_too_large),
  };
  return cmocka_run_group_tests(t, NULL, NULL);
}
