/* Units of the interval analysis: representation, position classes, propagation, domains, verdicts, obligations. Exhaustive
 * enumeration is in test_enum.c, published numbers in test_width_tables.c. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/range_form.h"
#include "analysis/range_int.h"
#include "ir/base/rng.h"
#include "tests/gen.h"
#include "tests/range_net.h"
#include "tests/range_oracle.h"

static const qv_acc EXACT = {.mode = QV_ACC_EXACT};

static void drop(qv_range_result *r, qv_net *net) {
  qv_range_clear(r);
  qv_net_free(net);
}

/* ---- representation --------------------------------------------------------------------------------------------------- */

static size_t number(qv_form f, size_t e) { return e / f.inner % f.n; }

/* A random form for `elems` elements. */
static qv_form random_form(qv_rng *r, size_t elems) {
  qv_form f = {(uint32_t)qv_rng_range(r, 1, 8), (uint32_t)qv_rng_range(r, 1, 6)};
  if (qv_rng_range(r, 0, 3) == 0) f = (qv_form){(uint32_t)elems, 1};
  return f;
}

static void test_form_common(void **s) {
  (void)s;
  qv_rng r = {1};
  for (unsigned rep = 0; rep < 20000 * rn_multiplier(); rep++) {
    size_t elems = (size_t)qv_rng_range(&r, 1, 120);
    qv_form a = random_form(&r, elems), b = random_form(&r, elems), c = qv_form_common(a, b, elems);
    assert_true(c.n >= 1 && c.inner >= 1 && (size_t)(c.n - 1) * c.inner < elems);
    for (size_t e = 0; e < elems; e++) { /* same number in a and b as the representative of its number in c */
      size_t first = number(c, e) * c.inner;
      assert_true(number(a, e) == number(a, first) && number(b, e) == number(b, first));
    }
  }
}

static void test_pack(void **s) {
  (void)s;
  qv_rng r = {2};
  for (unsigned rep = 0; rep < 5000 * rn_multiplier(); rep++) {
    qv_itv v[240], by[240];
    qv_arena a = {0};
    qv_ranges y;
    bool lossless;
    uint32_t n = (uint32_t)qv_rng_range(&r, 1, 6), inner = (uint32_t)qv_rng_range(&r, 1, 6);
    size_t elems = (size_t)n * inner * (size_t)qv_rng_range(&r, 1, 6);
    for (size_t e = 0; e < elems; e++) v[e] = (qv_itv){(int64_t)(e / inner % n) / 2, (int64_t)(e / inner % n) / 2 + 5};
    if (qv_rng_range(&r, 0, 3) == 0) v[qv_rng_range(&r, 0, (int64_t)elems - 1)].hi = 99; /* one that does not fit */
    assert_true(qv_ranges_pack(&y, &lossless, &a, v, elems) && lossless);
    for (size_t e = 0; e < elems; e++) assert_true(qv_ranges_at(&y, e).lo == v[e].lo && qv_ranges_at(&y, e).hi == v[e].hi);
    if (elems > 0 && v[0].hi != 99) {
      bool clean = true;
      for (size_t e = 0; e < elems; e++) clean = clean && v[e].hi != 99;
      if (clean) assert_true(y.n <= n);
    }
    uint32_t ch = (uint32_t)elems;
    while (elems % ch != 0 || (ch > 1 && qv_rng_range(&r, 0, 2) != 0)) ch--;
    bool same = qv_ranges_by_channel(by, &y, elems, ch), expect = true;
    for (size_t c = 0; c < ch; c++) {
      qv_itv h = v[c];
      for (size_t e = c; e < elems; e += ch) {
        expect = expect && v[e].lo == v[c].lo && v[e].hi == v[c].hi;
        h = qv_itv_hull(h, v[e]);
      }
      assert_true(by[c].lo == h.lo && by[c].hi == h.hi);
    }
    if (same) assert_true(expect);
    qv_arena_clear(&a);
  }
}

static void test_axis_classes(void **s) {
  (void)s;
  qv_rng r = {3};
  for (unsigned rep = 0; rep < 20000 * rn_multiplier(); rep++) {
    uint32_t o = (uint32_t)qv_rng_range(&r, 1, 9), in = (uint32_t)qv_rng_range(&r, 1, 9), k = (uint32_t)qv_rng_range(&r, 1, 5);
    uint32_t st = (uint32_t)qv_rng_range(&r, 1, 4), dil = (uint32_t)qv_rng_range(&r, 1, 4), pad = (uint32_t)qv_rng_range(&r, 0, 12);
    qv_axis cls[9];
    uint32_t n = qv_axis_classes(cls, o, in, k, st, dil, pad);
    uint32_t seen = 0;
    for (uint32_t p = 0; p < o; p++) {
      qv_axis a = qv_axis_at(p, in, k, st, dil, pad);
      for (uint32_t t = 0; t < k; t++) {
        int64_t at = (int64_t)p * st - pad + (int64_t)t * dil;
        assert_int_equal(a.t0 <= t && t < a.t1, at >= 0 && at < in);
      }
      bool known = false;
      for (uint32_t i = 0; i < n; i++)
        if (cls[i].t0 == a.t0 && cls[i].t1 == a.t1) known = true, seen |= 1u << i;
      assert_true(known);
    }
    assert_int_equal(seen, (1u << n) - 1); /* every class occurs */
  }
}

/* ---- random nets, too large to enumerate ------------------------------------------------------------------------------- */

static qv_itv **expand_all(qv_arena *a, const qv_net *net, const qv_range_result *r) {
  qv_itv **v = QV_NEW(a, net->n_tensors, qv_itv *);
  for (uint32_t t = 0; t < net->n_tensors; t++) {
    v[t] = QV_NEW(a, qv_elems(&net->tensor[t]), qv_itv);
    qv_ranges_expand(v[t], &r->tensor[t], qv_elems(&net->tensor[t]));
  }
  return v;
}

static bool within(qv_itv a, qv_itv b) { return b.lo <= a.lo && a.hi <= b.hi; }

/* Bounds against plain loops over all output elements: equal where attained, else no smaller. */
static void compare_bounds(uint64_t seed, const qv_net *net, const qv_range_result *r, qv_itv *const *v) {
  static oracle_terms o;
  static oracle_bound p;
  for (uint32_t i = 0; i < r->n_acc; i++) {
    const qv_acc_bound *b = &r->acc[i];
    const qv_node *n = &net->node[b->node];
    qv_itv *h = test_calloc(b->n, sizeof *h);
    bool *first = test_calloc(b->n, sizeof *first);
    for (size_t e = 0; e < qv_elems(&net->tensor[n->out]); e++) {
      uint32_t c = oracle_channel(n, &r->tensor[n->out], e);
      oracle_load(&o, net, n, e, v);
      oracle_run(&p, &o);
      if (!within(p.final, b->final[c]) || !within(p.prefix, b->prefix[c]) || !within(p.any, b->any[c]) ||
          (b->stage != NULL && !within(p.stage, b->stage[c].itv)))
        fail_msg("seed %llu node %u channel %u: bound too small", (unsigned long long)seed, b->node, c);
      h[c] = first[c] ? qv_itv_hull(h[c], p.final) : p.final;
      first[c] = true;
    }
    for (uint32_t c = 0; b->attained && c < b->n; c++)
      if (!within(b->final[c], h[c])) fail_msg("seed %llu node %u channel %u: bound too large", (unsigned long long)seed, b->node, c);
    test_free(h);
    test_free(first);
  }
}

static void test_random_nets(void **s) {
  (void)s;
  uint64_t base = 1000;
  unsigned n = 300 * rn_multiplier(), runs = 0, effort_used = 0;
  printf("seeds %llu to %llu\n", (unsigned long long)base, (unsigned long long)base + n - 1);
  for (uint64_t seed = base; seed < base + n; seed++) {
    qv_rng rng = {seed};
    const gen_opts o = {.max_in = 64, .in_bits = 8, .max_nodes = 8, .max_elems = 600, .max_k = 120, .layers = seed % 3 == 0};
    qv_net *net = gen_net(&rng, &o);
    qv_range_result r[2];
    qv_values vals;
    qv_arena mem = {0};
    assert_non_null(net);
    const qv_domain once = {.effort = seed % 2 == 0 ? 0 : 1};
    assert_int_equal(qv_range_run(&r[0], net, &once, NULL), QV_OK);
    assert_int_equal(qv_range_run(&r[1], net, NULL, NULL), QV_OK);
    for (uint32_t t = 0; t < net->n_tensors; t++) /* INV of qv_ranges */
      assert_true(r[0].tensor[t].n == 1 || qv_elems(&net->tensor[t]) % ((size_t)r[0].tensor[t].n * r[0].tensor[t].inner) == 0);
    compare_bounds(seed, net, &r[0], expand_all(&mem, net, &r[0]));
    for (uint32_t i = 0; i < r[0].n_acc; i++) /* more effort never loses */
      for (uint32_t c = 0; c < r[0].acc[i].n && r[0].acc[i].n == r[1].acc[i].n; c++)
        if (net->node[r[0].acc[i].node].kind == QV_AFFINE) {
          assert_true(within(r[1].acc[i].final[c], r[0].acc[i].final[c]));
          effort_used += !within(r[0].acc[i].final[c], r[1].acc[i].final[c]);
        }
    assert_int_equal(qv_values_init(&vals, net, NULL), QV_OK);
    for (int rep = 0; rep < 20; rep++) {
      gen_inputs(&rng, net, &vals);
      if (qv_ref_run(net, &vals, NULL) != QV_OK) continue; /* a trap */
      runs++;
      for (uint32_t t = 0; t < net->n_tensors; t++)
        for (size_t e = 0; e < qv_elems(&net->tensor[t]); e++)
          for (int k = 0; k < 2; k++)
            if (!within((qv_itv){vals.v[t][e], vals.v[t][e]}, qv_ranges_at(&r[k].tensor[t], e)))
              fail_msg("seed %llu tensor %s element %zu: %lld is outside", (unsigned long long)seed, net->tensor[t].name, e, (long long)vals.v[t][e]);
    }
    qv_values_clear(&vals);
    qv_arena_clear(&mem);
    qv_range_clear(&r[0]);
    qv_range_clear(&r[1]);
    qv_net_free(net);
  }
  printf("%u executions; %u channels tighter by position\n", runs, effort_used);
  assert_true(runs > n && effort_used > 0);
}

/* ---- propagation by hand ------------------------------------------------------------------------------------------------ */

/* conv 1x1 with two channels -> step -> flatten -> dense: per-channel intervals survive the reshape. */
static void test_channels_survive(void **s) {
  (void)s;
  const uint32_t dim[4] = {1, 3, 3, 1};
  const int32_t w[2] = {1, -2}, ones[18] = {1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0};
  const int64_t bias[2] = {0, 3};
  const qv_rq_par par[2] = {{.fn = QV_RQ_S, .m = 1, .sh = 30}, {.fn = QV_RQ_S, .m = 1, .sh = 30}}; /* (v + 1) >> 1 */
  qv_window g = {.n = 1, .ih = 3, .iw = 3, .ic = 1, .oh = 3, .ow = 3, .oc = 2, .kh = 1, .kw = 1, .sh = 1, .sw = 1, .dh = 1, .dw = 1, .groups = 1};
  qv_net *net = rn_new();
  qv_range_result r;
  uint32_t x = rn_input(net, QV_U8, 0, 10, 4, dim);
  uint32_t a = rn_affine(net, x, (rn_affine_arg){.win = g, .w = w, .b = bias, .acc = {.mode = QV_ACC_WRAP, .bits = 32}});
  const uint32_t d2[4] = {1, 3, 3, 2};
  uint32_t q = rn_node(net, (qv_node){.kind = QV_STEP, .u.step = {.n_par = 2, .par = par, .inner = 1, .lo = -100, .hi = 100}}, 1, &a, 4, d2);
  uint32_t f = rn_node(net, (qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_RESHAPE}}, 1, &q, 1, (const uint32_t[]){18});
  uint32_t y = rn_affine(net, f, (rn_affine_arg){.win = rn_dense(18, 1), .w = ones, .acc = EXACT});
  rn_run(&r, net, y, NULL, 0);
  assert_int_equal(r.tensor[q].n, 2);
  assert_int_equal(r.tensor[f].n, 2);
  rn_itv(r.tensor[q].itv[0], 0, 5, "channel 0");
  rn_itv(r.tensor[q].itv[1], -8, 2, "channel 1"); /* v in [-17,3]: -8 = floor(-16/2), 2 = floor(4/2) */
  rn_itv(r.acc[1].final[0], 0, 45, "dense over channel 0 only");
  assert_true(r.acc[0].exact && !r.acc[1].exact && r.acc[1].attained);
  assert_int_equal(r.reach[x], QV_REACH_ALL);
  drop(&r, net);
}

static uint32_t index_node(qv_net *net, uint32_t x, qv_index ix, uint32_t rank, const uint32_t *dim) {
  return rn_node(net, (qv_node){.kind = QV_INDEX, .u.index = ix}, 1, &x, rank, dim);
}

/* Data movement of an input with an interval per channel. */
static void test_index_forms(void **s) {
  (void)s;
  const uint32_t dim[4] = {1, 2, 3, 4};
  const uint32_t g[3] = {3, 0, 3};
  qv_itv v[4] = {{0, 1}, {10, 11}, {20, 21}, {30, 31}};
  qv_ranges box = {4, 1, v};
  qv_net *net = rn_new();
  qv_range_result r;
  uint32_t x = rn_input(net, QV_I8, -100, 100, 4, dim);
  uint32_t tr = index_node(net, x, (qv_index){.form = QV_IX_TRANSPOSE, .a = {0, 3, 1, 2}}, 4, (const uint32_t[]){1, 4, 2, 3});
  uint32_t sl = index_node(net, x, (qv_index){.form = QV_IX_SLICE, .a = {0, 0, 0, 3}, .b = {1, 1, 1, -2}}, 4, (const uint32_t[]){1, 2, 3, 2});
  uint32_t ga = index_node(net, x, (qv_index){.form = QV_IX_GATHER, .axis = 3, .g = g}, 4, (const uint32_t[]){1, 2, 3, 3});
  uint32_t pa = index_node(net, x, (qv_index){.form = QV_IX_PAD, .a = {0, 0, 0, 1}, .b = {0}, .value = -7}, 4, (const uint32_t[]){1, 2, 3, 5});
  uint32_t sp = index_node(net, x, (qv_index){.form = QV_IX_PAD, .a = {0, 1, 0, 0}, .b = {0}, .value = -7}, 4, (const uint32_t[]){1, 3, 3, 4});
  uint32_t ct = rn_node(net, (qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_CONCAT, .axis = 3}}, 2, (const uint32_t[]){x, sl}, 4, (const uint32_t[]){1, 2, 3, 6});
  uint32_t br = index_node(net, x, (qv_index){.form = QV_IX_BROADCAST}, 5, (const uint32_t[]){2, 1, 2, 3, 4});
  uint32_t up = index_node(net, x, (qv_index){.form = QV_IX_GATHER, .axis = 1, .g = (const uint32_t[]){0, 0, 1, 1}}, 4, (const uint32_t[]){1, 4, 3, 4});
  rn_run(&r, net, ct, (const qv_ranges *const[]){&box}, 0);
  assert_true(r.tensor[tr].n == 4 && r.tensor[tr].inner == 6);
  rn_itv(r.tensor[tr].itv[2], 20, 21, "transposed");
  rn_itv(r.tensor[sl].itv[0], 30, 31, "slice");
  rn_itv(r.tensor[sl].itv[1], 10, 11, "slice");
  rn_itv(r.tensor[ga].itv[1], 0, 1, "gather");
  rn_itv(r.tensor[pa].itv[0], -7, -7, "padded channel");
  rn_itv(qv_ranges_at(&r.tensor[sp], 1), -7, -7, "padded row");
  rn_itv(qv_ranges_at(&r.tensor[sp], 13), 10, 11, "row below it");
  rn_itv(r.tensor[ct].itv[4], 30, 31, "concat");
  assert_true(r.tensor[br].n == 4 && r.tensor[br].inner == 1 && r.tensor[up].n == 4);
  assert_int_equal(r.reach[tr], QV_REACH_ALL);
  assert_int_equal(r.reach[sl], QV_REACH_ALL);
  assert_int_equal(r.reach[sp], QV_REACH_ALL);
  assert_int_equal(r.reach[ga], QV_REACH_HULL); /* channel 3 twice */
  assert_int_equal(r.reach[ct], QV_REACH_HULL); /* x twice */
  assert_int_equal(r.reach[up], QV_REACH_HULL);
  drop(&r, net);
}

static void test_table_and_wrap(void **s) {
  (void)s;
  uint32_t one = 1;
  int32_t *t = test_malloc(65536 * sizeof *t);
  for (int32_t i = 0; i < 65536; i++) t[i] = i == 700 ? 1000 : i == 40000 ? -5 : i % 7;
  const qv_itv dom[4] = {{-32768, 32767}, {-32768, -32768 + 699}, {-32768 + 700, -32768 + 39999}, {-32768 + 3, -32768 + 3}};
  const qv_itv want[4] = {{-5, 1000}, {0, 6}, {0, 1000}, {3, 3}};
  for (int i = 0; i < 4; i++) {
    qv_net *net = rn_new();
    qv_range_result r;
    qv_itv d = dom[i];
    qv_ranges box = {1, 1, &d};
    uint32_t x = rn_input(net, QV_I16, -32768, 32767, 1, &one);
    uint32_t y = rn_node(net, (qv_node){.kind = QV_TABLE, .u.table = {.lo = -32768, .n = 65536, .t = t}}, 1, &x, 1, &one);
    uint32_t z = rn_node(net, (qv_node){.kind = QV_WRAP, .u.wrap = {.bits = 4}}, 1, &y, 1, &one);
    rn_run(&r, net, z, (const qv_ranges *const[]){&box}, 0);
    rn_itv(r.tensor[y].itv[0], want[i].lo, want[i].hi, "table");
    if (i == 1) rn_itv(r.tensor[z].itv[0], 0, 6, "no wrap");
    if (i == 2) rn_itv(r.tensor[z].itv[0], -8, 7, "all of 4 bits");
    drop(&r, net);
  }
  test_free(t);
  const qv_itv in[3] = {{9, 12}, {6, 9}, {-20, 20}}, out[3] = {{-8, 7}, {-8, 7}, {-8, 7}};
  for (int i = 0; i < 3; i++) {
    qv_net *net = rn_new();
    qv_range_result r;
    uint32_t x = rn_input(net, QV_I8, in[i].lo, in[i].hi, 1, &one);
    uint32_t z = rn_node(net, (qv_node){.kind = QV_WRAP, .u.wrap = {.bits = 4}}, 1, &x, 1, &one);
    rn_run(&r, net, z, NULL, 0);
    rn_itv(r.tensor[z].itv[0], out[i].lo, out[i].hi, "wrap 4");
    assert_int_equal(r.reach[z], i == 0 ? QV_REACH_HULL : QV_REACH_CORNERS);
    drop(&r, net);
  }
}

/* Unsafe accumulators: what the machine can give. x in [0,10], w = 1 1 -1. */
static void test_machine_ranges(void **s) {
  (void)s;
  uint32_t k = 3;
  const int32_t w[3] = {1, 1, -1};
  const struct {
    qv_acc acc;
    qv_itv out;
  } row[] = {
      {{.mode = QV_ACC_EXACT}, {-10, 20}},
      {{.mode = QV_ACC_WRAP, .bits = 6}, {-10, 20}},
      {{.mode = QV_ACC_WRAP, .bits = 5}, {-16, 15}},
      {{.mode = QV_ACC_TRAP, .bits = 5}, {-16, 15}},
      {{.mode = QV_ACC_SAT, .bits = 5}, {-10, 15}}, /* the subset sums [-10,20], clamped */
      {{.mode = QV_ACC_LANES, .bits = 6, .lanes = 2, .lane_bits = 8}, {-10, 20}},
  };
  for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
    qv_net *net = rn_new();
    qv_range_result r;
    uint32_t x = rn_input(net, QV_I8, 0, 10, 1, &k);
    uint32_t y = rn_affine(net, x, (rn_affine_arg){.win = rn_dense(k, 1), .w = w, .acc = row[i].acc});
    rn_run(&r, net, y, NULL, 0);
    rn_itv(r.tensor[y].itv[0], row[i].out.lo, row[i].out.hi, qv_acc_name(row[i].acc.mode));
    drop(&r, net);
  }
}

/* Saturating steps lose what a later term takes away: 100 + 100 - 150 in 8 bits gives -23, outside the final bound. */
static void test_saturation_leaves_the_final_bound(void **s) {
  (void)s;
  uint32_t k = 3;
  const int32_t w[3] = {100, 100, -150};
  qv_net *net = rn_new();
  qv_range_result r;
  qv_ov_item it;
  uint32_t x = rn_input(net, QV_I8, 1, 1, 1, &k);
  uint32_t y = rn_affine(net, x, (rn_affine_arg){.win = rn_dense(k, 1), .w = w, .acc = {.mode = QV_ACC_SAT, .bits = 8}});
  rn_run(&r, net, y, NULL, 0);
  rn_itv(r.acc[0].final[0], 50, 50, "final");
  qv_overflow_judge(&it, net, &r, 0);
  assert_int_equal(it.verdict, QV_UNKNOWN);
  assert_true(r.tensor[y].itv[0].lo <= -23);
  drop(&r, net);
}

static void test_domain(void **s) {
  (void)s;
  uint32_t k = 2;
  const int32_t w[2] = {1, 1};
  const struct {
    qv_ranges box;
    qv_itv v[2];
    qv_status st;
  } row[] = {{{1, 1, NULL}, {{0, 9}}, QV_OK},           {{1, 1, NULL}, {{5, 4}}, QV_E_ARG},  {{2, 1, NULL}, {{0, 1}, {-1, 2}}, QV_E_ARG},
             {{1, 1, NULL}, {{0, 11}}, QV_E_ARG},       {{0, 1, NULL}, {{0, 1}}, QV_E_ARG},  {{1, 0, NULL}, {{0, 1}}, QV_E_ARG},
             {{2, 1, NULL}, {{3, 3}, {4, 4}}, QV_OK},  {{2, 2, NULL}, {{0, 1}, {0, 1}}, QV_E_ARG}};
  for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
    qv_net *net = rn_new();
    qv_range_result r;
    qv_err err = {0};
    qv_itv v[2] = {row[i].v[0], row[i].v[1]};
    qv_ranges box = row[i].box;
    box.itv = v;
    uint32_t x = rn_input(net, QV_I8, 0, 10, 1, &k);
    uint32_t y = rn_affine(net, x, (rn_affine_arg){.win = rn_dense(k, 1), .w = w, .acc = EXACT});
    assert_true(qv_net_add_out(net, &(qv_port){.tensor = y, .end = QV_END_INT, .name = "y"}));
    assert_int_equal(qv_ir_check(net, NULL), QV_OK);
    const qv_ranges *in = &box;
    const qv_domain dom = {.in = &in};
    assert_int_equal(qv_range_run(&r, net, &dom, &err), row[i].st);
    if (row[i].st != QV_OK) assert_true(err.msg[0] != 0);
    if (i == 6) rn_itv(r.acc[0].final[0], 7, 7, "point");
    drop(&r, net);
  }
}

/* Every byte limit up to enough gives QV_E_NOMEM, and frees everything (leak checker). */
static void test_memory_limits(void **s) {
  (void)s;
  for (uint64_t seed = 1; seed <= 10; seed++) {
    qv_rng rng = {seed};
    qv_net *net = gen_net(&rng, &(gen_opts){.max_in = 16, .in_bits = 4, .max_nodes = 8, .max_elems = 64, .max_k = 40});
    qv_status st = QV_E_NOMEM;
    unsigned failed = 0;
    for (size_t limit = 16; st != QV_OK; limit += 48) {
      qv_range_result r;
      st = qv_range_run(&r, net, &(qv_domain){.memory = limit}, NULL);
      failed += st == QV_E_NOMEM;
      assert_true(st == QV_OK || st == QV_E_NOMEM);
      if (st == QV_OK) {
        qv_obligation *ob;
        uint32_t n;
        qv_arena a = {.fail_after = 1};
        qv_status so = qv_obligations(&ob, &n, net, &r, &a, NULL);
        assert_true(so == QV_E_NOMEM || (so == QV_OK && n == 0));
        qv_arena_clear(&a);
      }
      qv_range_clear(&r);
    }
    assert_true(failed > 0);
    qv_net_free(net);
  }
}

/* ---- verdicts and obligations -------------------------------------------------------------------------------------------- */

static void test_classes(void **s) {
  (void)s;
  uint32_t k = 4;
  const int32_t w[4] = {1, 1, -1, -1};
  const int64_t b[1] = {-30};
  const struct {
    qv_acc acc;
    int bits;
    qv_ov_class cls;
    qv_verdict v;
  } row[] = { /* x in [0,10]: terms [0,10] [0,10] [-10,0] [-10,0]: final [-50,-10], any [-50,20], prefixes last [-50,20], first [-50,-10] */
      {{.mode = QV_ACC_WRAP, .bits = 7}, 0, QV_OV_SAFE_ANY, QV_VERIFIED},
      {{.mode = QV_ACC_WRAP, .bits = 6}, 0, QV_OV_UNSAFE, QV_UNKNOWN},
      {{.mode = QV_ACC_EXACT}, 0, QV_OV_SAFE_ANY, QV_VERIFIED},
      {{.mode = QV_ACC_EXACT}, 6, QV_OV_UNSAFE, QV_UNKNOWN},
      {{.mode = QV_ACC_EXACT}, 7, QV_OV_SAFE_ANY, QV_VERIFIED},
      {{.mode = QV_ACC_TRAP, .bits = 7, .order = QV_ORDER_ANY}, 0, QV_OV_SAFE_ANY, QV_VERIFIED},
      {{.mode = QV_ACC_SAT, .bits = 32}, 6, QV_OV_UNSAFE, QV_UNKNOWN},
      {{.mode = QV_ACC_LANES, .bits = 32, .lanes = 1, .lane_bits = 8}, 7, QV_OV_SAFE_ANY, QV_VERIFIED},
  };
  for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
    qv_net *net = rn_new();
    qv_range_result r;
    qv_ov_item it;
    uint32_t x = rn_input(net, QV_I8, 0, 10, 1, &k);
    rn_run(&r, net, rn_affine(net, x, (rn_affine_arg){.win = rn_dense(k, 1), .w = w, .b = b, .acc = row[i].acc}), NULL, 0);
    rn_itv(r.acc[0].prefix[0], -50, 20, "bias last");
    assert_true(r.acc[0].bits_final == 7 && r.acc[0].bits_prefix == 7 && r.acc[0].bits_any == 7);
    qv_overflow_judge(&it, net, &r, row[i].bits);
    assert_int_equal(it.cls, row[i].cls);
    assert_int_equal(it.verdict, row[i].v);
    assert_true(it.exact && it.attained);
    assert_int_equal(it.n_unsafe, row[i].v != QV_VERIFIED);
    drop(&r, net);
  }
  /* order matters: prefixes [0,20], any [-20,20] after a bias of 0 and weights 1 1 -1 -1 over [9,10] */
  const qv_order order[2] = {QV_ORDER_KERNEL, QV_ORDER_ANY};
  for (int i = 0; i < 2; i++) {
    qv_net *net = rn_new();
    qv_range_result r;
    qv_ov_item it;
    const int32_t neg[4] = {-1, -1, 1, 1}; /* prefixes down to -20 and back up to [-2,2]; +20 only in other orders */
    uint32_t x = rn_input(net, QV_I8, 9, 10, 1, &k);
    const int64_t up[1] = {12}; /* bias first: 12, then down to -8, and 14 at the end; in another order up to 32 */
    rn_run(&r, net,
           rn_affine(net, x, (rn_affine_arg){.win = rn_dense(k, 1), .w = neg, .b = up, .acc = {.mode = QV_ACC_TRAP, .bits = 5, .order = order[i], .bias = QV_BIAS_FIRST}}),
           NULL, 0);
    rn_itv(r.acc[0].prefix[0], -8, 14, "bias first");
    rn_itv(r.acc[0].any[0], -20, 32, "any order");
    qv_overflow_judge(&it, net, &r, 0);
    assert_int_equal(it.cls, i == 0 ? QV_OV_SAFE_ORDER : QV_OV_SAFE_FINAL);
    assert_int_equal(it.verdict, i == 0 ? QV_VERIFIED : QV_UNKNOWN);
    drop(&r, net);
  }
}

static const qv_obligation *find(const qv_obligation *o, uint32_t n, qv_ob_kind k) {
  for (uint32_t i = 0; i < n; i++)
    if (o[i].kind == k) return &o[i];
  return NULL;
}

static void test_obligations(void **s) {
  (void)s;
  uint32_t two = 2;
  const struct {
    qv_rq_par par[2];
    uint32_t lshift;
    int64_t lo, hi, out_zp;
    qv_ob_kind kind;
    qv_itv range, limit;
    bool holds, informational, verified;
    uint32_t channel;
  } row[] = {
      /* RQ_D: x * 2^sh leaves int32 in channel 1 */
      {{{.fn = QV_RQ_D, .m = 1 << 30}, {.fn = QV_RQ_D, .m = 1 << 30, .sh = 2}}, 0, -10, (int64_t)1 << 29, 0, QV_OB_SHIFT32, {-40, (int64_t)1 << 31}, {INT32_MIN, INT32_MAX}, false, false, false, 1},
      {{{.fn = QV_RQ_D, .m = 1 << 30}, {.fn = QV_RQ_D, .m = 1 << 30, .sh = 2}}, 0, -10, ((int64_t)1 << 29) - 1, 0, QV_OB_SHIFT32, {-40, ((int64_t)1 << 31) - 4}, {INT32_MIN, INT32_MAX}, true, false, true, 1},
      {{{.fn = QV_RQ_D, .m = 1 << 30}, {.fn = QV_RQ_D, .m = 1 << 30}}, 20, -255, 255, 0, QV_OB_INPUT32, {-255 * 1048576, 255 * 1048576}, {INT32_MIN, INT32_MAX}, true, false, true, 0},
      {{{.fn = QV_RQ_U, .m = 1 << 30}, {.fn = QV_RQ_U, .m = 1 << 30}}, 20, -2049, 255, 0, QV_OB_INPUT32, {-2049 * (int64_t)1048576, 255 * 1048576}, {INT32_MIN, INT32_MAX}, false, false, false, 0},
      /* result: x doubled, plus the zero point */
      {{{.fn = QV_RQ_S, .m = 1 << 30, .sh = 2}, {.fn = QV_RQ_S, .m = 1 << 30}}, 0, -5, (int64_t)1 << 30, 127, QV_OB_RESULT32, {117, ((int64_t)1 << 31) + 127}, {INT32_MIN, INT32_MAX}, false, false, false, 0},
      {{{.fn = QV_RQ_64, .m = 1 << 30, .sh = -8}, {.fn = QV_RQ_64, .m = 1 << 30}}, 0, -((int64_t)1 << 47), 5, 0, QV_OB_ACC48, {-((int64_t)1 << 47), 5}, {-((int64_t)1 << 47), ((int64_t)1 << 47) - 1}, true, false, false, 0},
      {{{.fn = QV_RQ_64, .m = 1 << 30, .sh = -20}, {.fn = QV_RQ_64, .m = 1 << 30, .sh = -20}}, 0, 0, (int64_t)1 << 47, 0, QV_OB_ACC48, {0, (int64_t)1 << 47}, {-((int64_t)1 << 47), ((int64_t)1 << 47) - 1}, false, false, false, 0},
      {{{.fn = QV_RQ_T, .m = 1 << 30, .sh = 31}, {.fn = QV_RQ_T, .m = 1 << 30, .sh = 10}}, 0, -512, 511, 0, QV_OB_TOSA, {-512, 511}, {-512, 511}, true, false, true, 1},
      {{{.fn = QV_RQ_TD, .m = 1 << 30, .sh = 31}, {.fn = QV_RQ_TD, .m = 1 << 30, .sh = 10}}, 0, -513, 511, 0, QV_OB_TOSA, {-513, 511}, {-512, 511}, false, false, false, 1},
      {{{.fn = QV_RQ_F32, .M = 0.001953125}, {.fn = QV_RQ_F32, .M = 0.5}}, 0, -(1 << 24), (1 << 24) + 1, 0, QV_OB_F32, {-(1 << 24), (1 << 24) + 1}, {-(1 << 24), 1 << 24}, false, true, true, 0},
  };
  for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
    qv_net *net = rn_new();
    qv_range_result r;
    qv_obligation *ob;
    uint32_t n;
    uint32_t x = rn_input(net, QV_I64, row[i].lo, row[i].hi, 1, &two);
    uint32_t y = rn_node(net, (qv_node){.kind = QV_STEP, .u.step = {.n_par = 2, .par = row[i].par, .inner = 1, .lshift = row[i].lshift, .out_zp = row[i].out_zp, .lo = -128, .hi = 127}}, 1, &x, 1, &two);
    rn_run(&r, net, y, NULL, 0);
    assert_int_equal(qv_obligations(&ob, &n, net, &r, &r.arena, NULL), QV_OK);
    const qv_obligation *o = find(ob, n, row[i].kind);
    if (o == NULL) fail_msg("row %zu: not listed", i);
    rn_itv(o->range, row[i].range.lo, row[i].range.hi, qv_ob_name(row[i].kind));
    rn_itv(o->limit, row[i].limit.lo, row[i].limit.hi, "limit");
    assert_int_equal(o->holds, row[i].holds);
    assert_int_equal(o->informational, row[i].informational);
    assert_int_equal(o->channel, row[i].channel);
    assert_int_equal(qv_overflow_verdict(net, NULL, 0, ob, n), row[i].verified ? QV_VERIFIED : QV_UNKNOWN);
    drop(&r, net);
  }
}

/* Nothing to prove is not a proof; an opaque node never gives one. */
static void test_verdict_helper(void **s) {
  (void)s;
  uint32_t one = 1;
  const int32_t w = 1;
  qv_net *net = rn_new();
  qv_range_result r;
  qv_ov_item it[1] = {{.verdict = QV_VERIFIED}};
  uint32_t x = rn_input(net, QV_I8, 0, 10, 1, &one);
  rn_run(&r, net, rn_affine(net, x, (rn_affine_arg){.win = rn_dense(1, 1), .w = &w, .acc = {.mode = QV_ACC_WRAP, .bits = 32}}), NULL, 0);
  assert_int_equal(qv_overflow_verdict(net, NULL, 0, NULL, 0), QV_UNKNOWN);
  assert_int_equal(qv_overflow_verdict(net, it, 1, NULL, 0), QV_VERIFIED);
  qv_obligation ob = {.holds = false, .informational = true};
  assert_int_equal(qv_overflow_verdict(net, NULL, 0, &ob, 1), QV_UNKNOWN);
  assert_int_equal(qv_overflow_verdict(net, it, 1, &ob, 1), QV_VERIFIED);
  ob.informational = false;
  assert_int_equal(qv_overflow_verdict(net, it, 1, &ob, 1), QV_UNKNOWN);
  it[0].verdict = QV_UNKNOWN;
  assert_int_equal(qv_overflow_verdict(net, it, 1, NULL, 0), QV_UNKNOWN);
  drop(&r, net);

  net = rn_new();
  x = rn_input(net, QV_I8, 0, 10, 1, &one);
  uint32_t o = rn_node(net, (qv_node){.kind = QV_OPAQUE}, 1, &x, 1, &one);
  net->tensor[o].type = QV_I8, net->tensor[o].lo = -3, net->tensor[o].hi = 4;
  rn_run(&r, net, rn_affine(net, o, (rn_affine_arg){.win = rn_dense(1, 1), .w = &w, .acc = {.mode = QV_ACC_WRAP, .bits = 32}}), NULL, 0);
  qv_overflow_judge(it, net, &r, 0);
  rn_itv(r.acc[0].final[0], -3, 4, "declared range of an opaque node");
  assert_true(it[0].verdict == QV_VERIFIED && !it[0].exact);
  assert_int_equal(qv_overflow_verdict(net, it, 1, NULL, 0), QV_UNKNOWN);
  drop(&r, net);
}

/* Smallest P with 2^(P-1) - 1 >= m, at the edges. */
static void test_a2q_closed_forms(void **s) {
  (void)s;
  for (int p = 1; p <= 64; p++) {
    qv_u128 top = ((qv_u128)1 << (p - 1)) - 1;
    if (top > 0) assert_int_equal(qv_a2q_bits(top), p);
    assert_int_equal(qv_a2q_bits(top + 1), p + 1);
  }
  assert_int_equal(qv_a2q_bits(0), 1);
  assert_int_equal(qv_a2q_l1_bits(311, 2, true), 11);   /* 622 <= 1023 */
  assert_int_equal(qv_a2q_l1_bits(127 * 9, 8, false), 20); /* 1143 * 256 = 292608 <= 524287 */
  assert_int_equal(qv_a2q_dtype_bits(1, 8, false, 8), 17);
  assert_int_equal(qv_a2q_dtype_bits(9, 8, true, 8), 19); /* 9 * 2^14 = 147456 */
}

/* A 3x3 convolution over a 512x512 map with padding costs classes, not positions: per channel, and in no time. */
static void test_large_maps_stay_per_channel(void **s) {
  (void)s;
  enum { C = 32 };
  int32_t w[9 * C];
  for (int i = 0; i < 9 * C; i++) w[i] = i % 11 - 5;
  qv_window g = {.n = 1, .ih = 512, .iw = 512, .ic = C, .oh = 512, .ow = 512, .oc = C, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .dh = 1, .dw = 1, .pt = 1, .pl = 1, .groups = C};
  const uint32_t dim[4] = {1, 512, 512, C};
  qv_net *net = rn_new();
  qv_range_result r;
  uint32_t x = rn_input(net, QV_I8, -128, 127, 4, dim);
  for (int k = 0; k < 3; k++) {
    x = rn_affine(net, x, (rn_affine_arg){.win = g, .w = w, .x_zp = k == 0 ? -128 : 0, .acc = {.mode = QV_ACC_WRAP, .bits = 32}});
    x = rn_node(net, (qv_node){.kind = QV_CLAMP, .u.clamp = {-128, 127}}, 1, &x, 4, dim);
  }
  rn_run(&r, net, x, NULL, 1);
  assert_int_equal(r.tensor[x].n, C);
  assert_true(r.acc[0].exact && r.acc[2].attained && r.arena.bytes < 100000);
  drop(&r, net);
}

/* Windows that do not overlap, but some lie over the border: one interval per channel, which the border cannot reach. */
static void test_border_is_no_corner(void **s) {
  (void)s;
  const int32_t w[2] = {1, 1};
  qv_window g = {.n = 1, .ih = 1, .iw = 3, .ic = 1, .oh = 1, .ow = 2, .oc = 1, .kh = 1, .kw = 2, .sh = 1, .sw = 2, .dh = 1, .dw = 1, .pl = 1, .groups = 1};
  qv_net *net = rn_new();
  qv_range_result r;
  uint32_t x = rn_input(net, QV_I8, 1, 2, 4, (const uint32_t[]){1, 1, 3, 1});
  uint32_t y = rn_affine(net, x, (rn_affine_arg){.win = g, .w = w, .acc = EXACT});
  rn_run(&r, net, y, NULL, 0);
  rn_itv(r.tensor[y].itv[0], 1, 4, "one tap or two");
  assert_true(r.acc[0].exact);
  assert_int_equal(r.reach[y], QV_REACH_HULL);
  drop(&r, net);
  /* a kernel wider than the image never sees all its taps */
  const int32_t ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
  g = (qv_window){.n = 1, .ih = 2, .iw = 2, .ic = 1, .oh = 2, .ow = 2, .oc = 1, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .dh = 1, .dw = 1, .pt = 1, .pl = 1, .groups = 1};
  net = rn_new();
  x = rn_input(net, QV_I8, 1, 2, 4, (const uint32_t[]){1, 2, 2, 1});
  rn_run(&r, net, rn_affine(net, x, (rn_affine_arg){.win = g, .w = ones, .acc = EXACT}), NULL, 0);
  assert_int_equal(r.acc[0].k, 4);
  rn_itv(r.acc[0].final[0], 4, 8, "four taps");
  drop(&r, net);
}

/* -sum x fits 8 bits where sum x does not: an uncorrected kernel forms both. */
static void test_row_sum_counts(void **s) {
  (void)s;
  uint32_t one = 1;
  const int32_t w = 0;
  qv_net *net = rn_new();
  qv_range_result r;
  qv_ov_item it;
  uint32_t x = rn_input(net, QV_U8, 0, 128, 1, &one);
  rn_run(&r, net, rn_affine(net, x, (rn_affine_arg){.win = rn_dense(1, 1), .w_zp = 1, .w = &w, .acc = {.mode = QV_ACC_WRAP, .bits = 8, .raw = true}}), NULL, 0);
  rn_itv(r.acc[0].final[0], -128, 0, "final");
  rn_itv(r.acc[0].raw[0].all, -128, 0, "byte products and corrections");
  rn_itv(r.acc[0].raw[0].row, 0, 128, "row sum");
  qv_overflow_judge(&it, net, &r, 0);
  assert_int_equal(it.cls, QV_OV_SAFE_FINAL); /* harmless all the same: everything wraps alike */
  assert_int_equal(it.verdict, QV_VERIFIED);
  drop(&r, net);
}

/* x - x: the bound is that of two different inputs, and says so. */
static void test_repeated_operand(void **s) {
  (void)s;
  uint32_t one = 1;
  const int64_t c[2] = {1, -1}, z[2] = {0, 0};
  qv_net *net = rn_new();
  qv_range_result r;
  uint32_t x = rn_input(net, QV_I8, 0, 10, 1, &one);
  uint32_t y = rn_node(net, (qv_node){.kind = QV_SUM, .u.sum = {c, z, EXACT}}, 2, (const uint32_t[]){x, x}, 1, &one);
  rn_run(&r, net, y, NULL, 0);
  rn_itv(r.tensor[y].itv[0], -10, 10, "x - x");
  assert_true(!r.acc[0].attained && !r.acc[0].exact && r.reach[y] == QV_REACH_HULL);
  drop(&r, net);
}

/* Above QV_FORM_ELEMS intervals are kept per channel: the pad value and every joined tensor must be in the hull. */
static void test_huge_tensors(void **s) {
  (void)s;
  const uint32_t dim[4] = {1, 2050, 2049, 1}, joined[4] = {1, 4100, 2049, 1};
  qv_net *net = rn_new();
  qv_range_result r;
  uint32_t in[2];
  in[0] = rn_input(net, QV_I8, 5, 10, 4, dim);
  in[1] = rn_input(net, QV_I8, -3, 7, 4, dim);
  uint32_t p = index_node(net, in[0], (qv_index){.form = QV_IX_PAD, .a = {0, 1, 1, 0}, .b = {0, 1, 1, 0}, .value = 1}, 4, (const uint32_t[]){1, 2052, 2051, 1});
  uint32_t j = rn_node(net, (qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_CONCAT, .axis = 1}}, 2, in, 4, joined);
  uint32_t t = index_node(net, p, (qv_index){.form = QV_IX_TRANSPOSE, .a = {3, 0, 1, 2}}, 4, (const uint32_t[]){1, 1, 2052, 2051});
  rn_run(&r, net, j, NULL, 0);
  rn_itv(r.tensor[p].itv[0], 1, 10, "padded");
  rn_itv(r.tensor[j].itv[0], -3, 10, "joined");
  rn_itv(r.tensor[t].itv[0], 1, 10, "transposed");
  assert_true(r.reach[p] == QV_REACH_HULL && r.reach[j] == QV_REACH_HULL);
  drop(&r, net);
}

/* Maximum over windows of an input whose intervals differ by position. */
static void test_max_by_position(void **s) {
  (void)s;
  qv_itv v[4] = {{0, 5}, {3, 4}, {-9, 9}, {1, 2}};
  qv_ranges box = {4, 1, v};
  qv_window g = {.n = 1, .ih = 1, .iw = 4, .ic = 1, .oh = 1, .ow = 2, .oc = 1, .kh = 1, .kw = 2, .sh = 1, .sw = 2, .dh = 1, .dw = 1, .groups = 1};
  for (uint64_t effort = 0; effort <= 1; effort++) {
    qv_net *net = rn_new();
    qv_range_result r;
    uint32_t x = rn_input(net, QV_I8, -10, 10, 4, (const uint32_t[]){1, 1, 4, 1});
    uint32_t y = rn_node(net, (qv_node){.kind = QV_MAX, .u.max = g}, 1, &x, 4, (const uint32_t[]){1, 1, 2, 1});
    rn_run(&r, net, y, (const qv_ranges *const[]){&box}, effort);
    if (effort == 0) {
      rn_itv(qv_ranges_at(&r.tensor[y], 0), 3, 5, "first window");
      rn_itv(qv_ranges_at(&r.tensor[y], 1), 1, 9, "second window");
    } else {
      rn_itv(r.tensor[y].itv[0], -9, 9, "hull");
    }
    assert_int_equal(r.reach[y], effort == 0 ? QV_REACH_CORNERS : QV_REACH_HULL);
    drop(&r, net);
  }
}

/* Ranges proved elsewhere narrow the output and the bound, and end the claim that its ends are attained. */
static void test_known_ranges(void **s) {
  (void)s;
  uint32_t k = 2;
  const int32_t w[4] = {1, 1, 1, -1};
  const qv_acc acc = {.mode = QV_ACC_WRAP, .bits = 32};
  for (int cut = 0; cut < 2; cut++) {
    qv_net *net = rn_new();
    qv_range_result r;
    qv_itv v[2] = {{-5, 50}, {cut ? -3 : -30, 40}};
    uint32_t x = rn_input(net, QV_I8, 0, 10, 1, &k);
    uint32_t y = rn_affine(net, x, (rn_affine_arg){.win = rn_dense(k, 2), .w = w, .acc = acc});
    assert_true(qv_net_add_out(net, &(qv_port){.tensor = y, .end = QV_END_INT, .name = "y"}));
    assert_int_equal(qv_ir_check(net, NULL), QV_OK);
    const qv_ranges known[2] = {{0}, {2, 1, v}};
    assert_int_equal(qv_range_run(&r, net, &(qv_domain){.known = known}, NULL), QV_OK);
    rn_itv(r.acc[0].final[0], 0, 20, "not cut");
    rn_itv(r.acc[0].final[1], cut ? -3 : -10, 10, "cut");
    rn_itv(qv_ranges_at(&r.tensor[y], 1), cut ? -3 : -10, 10, "output");
    assert_int_equal(r.acc[0].attained, !cut);
    assert_int_equal(r.acc[0].exact, !cut);
    drop(&r, net);
  }
}

/* The widths printed side by side: 64 products of x - (-128) in [0,255] and w in [-127,127], all of them 127. */
static void test_reported_widths(void **s) {
  (void)s;
  uint32_t k = 64;
  int32_t w[64];
  for (int i = 0; i < 64; i++) w[i] = 127;
  const int64_t b[1] = {-2072640};
  qv_net *net = rn_new();
  qv_range_result r;
  uint32_t x = rn_input(net, QV_I8, -128, 127, 1, &k);
  rn_run(&r, net, rn_affine(net, x, (rn_affine_arg){.win = rn_dense(k, 1), .x_zp = -128, .w = w, .b = b, .acc = {.mode = QV_ACC_WRAP, .bits = 32}}), NULL, 0);
  const qv_acc_bound *a = &r.acc[0];
  rn_itv(a->final[0], -2072640, 0, "final");
  rn_itv(a->prefix[0], -2072640, 2072640, "prefix");
  rn_itv(a->any[0], -2072640, 2072640, "any");
  assert_int_equal(a->bits_final, 22);
  assert_int_equal(a->bits_dtype, 23); /* 64 * 2^(8 + 8 - 1) = 2^21 needs 2^22 - 1 */
  assert_int_equal(a->bits_l1, 22);    /* 8128 * 2^8 = 2080768 <= 2^21 - 1 */
  drop(&r, net);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_form_common),    cmocka_unit_test(test_pack),
      cmocka_unit_test(test_axis_classes),   cmocka_unit_test(test_random_nets),
      cmocka_unit_test(test_channels_survive), cmocka_unit_test(test_index_forms),
      cmocka_unit_test(test_table_and_wrap), cmocka_unit_test(test_machine_ranges),
      cmocka_unit_test(test_saturation_leaves_the_final_bound), cmocka_unit_test(test_domain),
      cmocka_unit_test(test_memory_limits),  cmocka_unit_test(test_classes),
      cmocka_unit_test(test_obligations),    cmocka_unit_test(test_verdict_helper),
      cmocka_unit_test(test_a2q_closed_forms), cmocka_unit_test(test_large_maps_stay_per_channel),
      cmocka_unit_test(test_border_is_no_corner), cmocka_unit_test(test_row_sum_counts),
      cmocka_unit_test(test_repeated_operand), cmocka_unit_test(test_huge_tensors),
      cmocka_unit_test(test_max_by_position), cmocka_unit_test(test_reported_widths),
      cmocka_unit_test(test_known_ranges),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
