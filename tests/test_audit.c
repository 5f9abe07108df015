/* Kernel audits and repairs: the rewritten net keeps every exact value; what is called absent never happens and what is called reachable
 * happens (plain enumeration); counts equal a plain recount; the published counts of two real nets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/audit.h"
#include "analysis/repair.h"
#include "ir/base/rng.h"
#include "tests/cmsis_net.h"
#include "tests/range_net.h"
#include "tests/range_oracle.h"

static const qv_acc WRAP32 = {.mode = QV_ACC_WRAP, .bits = 32, .order = QV_ORDER_KERNEL, .bias = QV_BIAS_LAST};

static void ok(qv_status st, const qv_err *err) {
  if (st != QV_OK) fail_msg("%s", err->msg);
}

/* ---- random nets: input, copies of its elements, layer, requantization, copies, layer ---------------------------------------- */

static int32_t edge(qv_rng *r, int32_t lo, int32_t hi) {
  switch (qv_rng_range(r, 0, 5)) {
  case 0:
  case 5: return lo;
  case 1: return hi;
  case 2: return hi - (int32_t)qv_rng_range(r, 0, 2);
  case 3: return (lo + hi) / 2;
  default: return (int32_t)qv_rng_range(r, lo, hi);
  }
}

/* n copies of random elements of t, in a row. */
static uint32_t spread(qv_net *net, qv_rng *r, uint32_t t, uint32_t n) {
  size_t have = qv_elems(&net->tensor[t]);
  uint32_t *g = qv_arena_alloc(&net->arena, n, sizeof *g), flat = (uint32_t)have;
  assert_non_null(g);
  for (uint32_t i = 0; i < n; i++) g[i] = (uint32_t)qv_rng_range(r, 0, (int64_t)have - 1);
  qv_dtype type = net->tensor[t].type;
  uint32_t y = rn_node(net, (qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_RESHAPE}}, 1, &t, 1, &flat);
  net->tensor[y].type = type;
  y = rn_node(net, (qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_GATHER, .axis = 0, .g = g}}, 1, &y, 1, &n);
  net->tensor[y].type = type;
  return y;
}

static qv_window random_window(qv_rng *r, uint32_t k) {
  qv_window g = rn_dense(k, (uint32_t)qv_rng_range(r, 1, 3));
  if (qv_rng_range(r, 0, 1) == 0 || k < 4) return g;
  g.ic = (uint32_t)qv_rng_range(r, 1, 3); /* a row of pixels, padded */
  g.iw = k / g.ic;
  g.kw = (uint32_t)qv_rng_range(r, 1, g.iw < 12 ? g.iw : 12);
  g.pl = (uint32_t)qv_rng_range(r, 0, g.kw - 1);
  g.sw = (uint32_t)qv_rng_range(r, 1, 2);
  g.ow = (g.iw + g.pl - g.kw) / g.sw + 1 + (uint32_t)qv_rng_range(r, 0, 1);
  if (qv_rng_range(r, 0, 3) == 0) g.groups = g.oc = g.ic;
  return g;
}

static uint32_t layer(qv_net *net, qv_rng *r, uint32_t x, uint32_t copies) {
  bool is_u8 = net->tensor[x].type == QV_U8, w_u8 = qv_rng_range(r, 0, 3) == 0;
  qv_window g = random_window(r, copies);
  x = spread(net, r, x, g.iw * g.ic);
  size_t n = (size_t)g.oc * g.kw * (g.ic / g.groups);
  int32_t *w = test_malloc(n * sizeof *w), mood = (int32_t)qv_rng_range(r, 0, 2);
  int64_t b[3] = {qv_rng_range(r, -9999, 9999), 0, 77};
  for (size_t i = 0; i < n; i++) {
    int32_t m = mood == 0 ? 127 : mood == 1 ? 64 : 20; /* few, some, no saturating products */
    w[i] = edge(r, -m - (m == 127), m) + (w_u8 ? 128 : 0);
  }
  rn_affine_arg a = {.win = g, .w = w, .b = b, .acc = WRAP32, .x_zp = is_u8 ? edge(r, 0, 255) : edge(r, -128, 127),
                     .w_zp = w_u8 ? 128 : qv_rng_range(r, 0, 3) == 0 ? edge(r, -128, 127) : 0};
  uint32_t y = rn_affine(net, x, a);
  test_free(w);
  return y;
}

static uint32_t requantize(qv_net *net, qv_rng *r, uint32_t x) {
  qv_rq_par *p = qv_arena_alloc(&net->arena, 1, sizeof *p);
  assert_non_null(p);
  *p = (qv_rq_par){.fn = QV_RQ_S, .m = 1, .sh = 31 - (int32_t)qv_rng_range(r, 3, 9)};
  bool u = qv_rng_range(r, 0, 1) == 0;
  qv_tensor t = net->tensor[x];
  const qv_step step = {.n_par = 1, .par = p, .inner = 1, .lo = u ? 0 : -128, .hi = u ? 255 : 127};
  uint32_t y = rn_node(net, (qv_node){.kind = QV_STEP, .u.step = step}, 1, &x, t.rank, t.dim);
  net->tensor[y].type = u ? QV_U8 : QV_I8;
  return y;
}

/* The same seed gives the same net. `narrow`: at most three elements of at most five values. */
static qv_net *random_net(uint64_t seed, bool narrow) {
  qv_rng r = {seed};
  qv_net *net = rn_new();
  bool u = qv_rng_range(&r, 0, 1) == 0;
  int32_t lo = u ? 0 : -128, hi = u ? 255 : 127, width = narrow ? (int32_t)qv_rng_range(&r, 0, 4) : 255, at = edge(&r, lo, hi);
  uint32_t n = narrow ? (uint32_t)qv_rng_range(&r, 1, 3) : 12;
  if (at + width > hi) at = hi - width;
  uint32_t y = layer(net, &r, rn_input(net, u ? QV_U8 : QV_I8, at, at + width, 1, &n), (uint32_t)qv_rng_range(&r, 1, 36));
  if (qv_rng_range(&r, 0, 1) == 0) y = layer(net, &r, requantize(net, &r, y), (uint32_t)qv_rng_range(&r, 1, 36));
  qv_err err = {0};
  assert_true(qv_net_add_out(net, &(qv_port){.tensor = y, .end = QV_END_INT, .name = net->tensor[y].name}));
  ok(qv_ir_check(net, &err), &err);
  return net;
}

static qv_net *on_kernel(uint64_t seed, bool narrow, const qv_kernel *k, bool depthwise) {
  qv_err err = {0};
  uint32_t n;
  qv_net *net = random_net(seed, narrow);
  ok(qv_kernel_assume(net, k, depthwise, &n, &err), &err);
  return net;
}

/* ---- execution ------------------------------------------------------------------------------------------------------------- */

static void first_input(const qv_net *net, qv_values *v) {
  const qv_tensor *t = &net->tensor[net->in[0].tensor];
  for (size_t e = 0; e < qv_elems(t); e++) v->v[net->in[0].tensor][e] = t->lo;
}

static bool next_input(const qv_net *net, qv_values *v) {
  const qv_tensor *t = &net->tensor[net->in[0].tensor];
  int64_t *x = v->v[net->in[0].tensor];
  for (size_t e = 0; e < qv_elems(t); e++) {
    if (x[e]++ < t->hi) return true;
    x[e] = t->lo;
  }
  return false;
}

/* Bounds of element e by plain loops, from the values themselves or from intervals. */
static void oracle_at(oracle_bound *b, const qv_net *net, const qv_node *n, size_t e, const qv_values *v, const qv_ranges *r) {
  oracle_terms *t = test_calloc(1, sizeof *t);
  qv_itv **x = test_calloc(net->n_tensors, sizeof *x);
  size_t ne = qv_elems(&net->tensor[n->in[0]]);
  x[n->in[0]] = test_malloc(ne * sizeof(qv_itv));
  for (size_t i = 0; i < ne; i++)
    x[n->in[0]][i] = v != NULL ? (qv_itv){v->v[n->in[0]][i], v->v[n->in[0]][i]} : qv_ranges_at(r, i);
  oracle_load(t, net, n, e, x);
  oracle_run(b, t);
  test_free(x[n->in[0]]);
  test_free(x);
  test_free(t);
}

static int64_t room(qv_itv v, int bits) { return qv_min64(v.lo + ((int64_t)1 << (bits - 1)), ((int64_t)1 << (bits - 1)) - 1 - v.hi); }

/* ---- tests ----------------------------------------------------------------------------------------------------------------- */

/* vnni-u8s8 has no narrow stage: every tensor of the rewritten net has the value it had. */
static void test_exact_values_stay(void **s) {
  (void)s;
  int shifted = 0, weights = 0;
  for (uint64_t seed = 1; seed <= 150 * rn_multiplier(); seed++) {
    qv_net *a = random_net(seed, false), *b = on_kernel(seed, false, qv_kernel_find("vnni-u8s8"), true);
    qv_values va, vb;
    qv_err err = {0};
    qv_rng r = {seed};
    ok(qv_values_init(&va, a, &err), &err);
    ok(qv_values_init(&vb, b, &err), &err);
    for (int it = 0; it < 3; it++) {
      uint32_t in = a->in[0].tensor;
      for (size_t e = 0; e < qv_elems(&a->tensor[in]); e++)
        va.v[in][e] = vb.v[in][e] = edge(&r, (int32_t)a->tensor[in].lo, (int32_t)a->tensor[in].hi);
      ok(qv_ref_run(a, &va, &err), &err);
      ok(qv_ref_run(b, &vb, &err), &err);
      for (uint32_t t = 0; t < a->n_tensors; t++)
        if (memcmp(va.v[t], vb.v[t], qv_elems(&a->tensor[t]) * sizeof(int64_t)) != 0) fail_msg("net %d: tensor %u differs", (int)seed, t);
    }
    shifted += b->n_nodes > a->n_nodes;
    for (uint32_t i = 0; i < b->n_nodes; i++) weights += b->node[i].kind == QV_AFFINE && b->node[i].u.affine.w_zp[0] < 0;
    qv_values_clear(&va);
    qv_values_clear(&vb);
    qv_net_free(a);
    qv_net_free(b);
  }
  print_message("%d nets with moved activations, %d layers with negative weight zero points\n", shifted, weights);
  assert_true(shifted > 20 && weights > 5);
}

typedef struct {
  int absent, reached, exhausted, open;
} tally;

/* Node i of the proof on every input: does a result differ; do all executed groups lie within the worst one's room? */
static bool differs(const qv_net *net, const qv_values *v, const qv_proof *p, uint32_t i, const qv_audit_row *row) {
  uint32_t k = p->item[i].node;
  const qv_node *n = &net->node[k];
  oracle_bound *b = test_malloc(sizeof *b);
  bool bad = false;
  for (size_t e = 0; e < qv_elems(&net->tensor[n->out]); e++) {
    oracle_at(b, net, n, e, v, NULL);
    bad = bad || b->final.lo != v->v[n->out][e];
    if (row->worst.n > 0 && room(b->stage, row->bits) < room(row->worst.sum, row->bits)) fail_msg("a group is worse than the worst");
    if (row->bits > 0 && row->unsafe == 0 && room(b->stage, row->bits) < 0) fail_msg("a group leaves its stage, none was said to");
  }
  test_free(b);
  return bad;
}

static void one_search(tally *t, const qv_net *net, qv_proof *p, uint32_t i, bool truth, uint64_t seed) {
  qv_witness w = {0};
  qv_err err = {0};
  uint32_t own = p->item[i].channel;
  ok(qv_audit_witness(&w, net, NULL, p, i, 1 << 24, &err), &err);
  assert_int_equal(p->item[i].channel, own);
  t->reached += w.state == QV_WIT_REACHED;
  t->exhausted += w.state == QV_WIT_EXHAUSTED;
  t->open += w.state == QV_WIT_NONE;
  if (w.state == QV_WIT_EXHAUSTED && truth) fail_msg("net %d node %u: exhausted, but an input misbehaves", (int)seed, w.node);
  if (w.state == QV_WIT_REACHED) { /* executed again, here */
    assert_true(truth);
    qv_values v;
    oracle_bound *b = test_malloc(sizeof *b);
    ok(qv_values_init(&v, net, &err), &err);
    memcpy(v.v[net->in[0].tensor], w.input[0], qv_elems(&net->tensor[net->in[0].tensor]) * sizeof(int64_t));
    ok(qv_ref_run(net, &v, &err), &err);
    oracle_at(b, net, &net->node[w.node], w.element, &v, NULL);
    assert_true(b->final.lo == w.exact && w.exact != w.machine && v.v[net->node[w.node].out][w.element] == w.machine);
    qv_values_clear(&v);
    test_free(b);
  }
  qv_witness_clear(&w);
}

static void enumerate(tally *t, uint64_t seed, const qv_kernel *k) {
  qv_net *net = on_kernel(seed, true, k, seed % 2 == 0);
  qv_err err = {0};
  qv_proof p;
  qv_audit au;
  qv_values v;
  bool *truth;
  ok(qv_prove_overflow(&p, net, NULL, NULL, &err), &err);
  ok(qv_audit_run(&au, net, &p, &err), &err);
  ok(qv_values_init(&v, net, &err), &err);
  assert_int_equal(au.n, p.range.n_acc);
  truth = test_calloc(au.n + 1, sizeof *truth);
  first_input(net, &v);
  do {
    ok(qv_ref_run(net, &v, &err), &err);
    for (uint32_t i = 0; i < au.n; i++)
      if (net->node[p.item[i].node].kind == QV_AFFINE) truth[i] = differs(net, &v, &p, i, &au.row[i]) || truth[i];
  } while (next_input(net, &v));
  for (uint32_t i = 0; i < au.n; i++) {
    if (p.item[i].verdict == QV_VERIFIED) {
      if (truth[i]) fail_msg("net %d on %s, node %u: absent, but an input misbehaves", (int)seed, k->name, p.item[i].node);
      t->absent += au.row[i].bits > 0;
    } else one_search(t, net, &p, i, truth[i], seed);
  }
  test_free(truth);
  qv_values_clear(&v);
  qv_audit_clear(&au);
  qv_proof_clear(&p);
  qv_net_free(net);
}

/* Shapes of stage that no named kernel has, but a profile or a file may. */
static const qv_kernel more[] = {
    {.name = "k8", .summary = "", .acc = {.mode = QV_ACC_PAIR16, .bits = 32, .raw = true, .pairing = QV_PAIR_K8}},
    {.name = "sat", .summary = "", .x_signed = true, .acc = {.mode = QV_ACC_LANES, .bits = 32, .raw = true, .lane_bits = 16, .lanes = 3, .spill = 5, .lane_sat = true}},
    {.name = "wrap", .summary = "", .x_signed = true, .acc = {.mode = QV_ACC_LANES, .bits = 32, .raw = true, .lane_bits = 16, .lanes = 4, .spill = 3}},
    {.name = "pairs in lanes, sat", .summary = "", .acc = {.mode = QV_ACC_PAIRLANES, .bits = 32, .raw = true, .lane_bits = 16, .lanes = 2, .spill = 2, .lane_sat = true}},
    {.name = "k8 in lanes, wrap", .summary = "", .acc = {.mode = QV_ACC_PAIRLANES, .bits = 32, .raw = true, .lane_bits = 16, .lanes = 3, .pairing = QV_PAIR_K8}},
};

static const qv_kernel *nth_kernel(size_t i) {
  size_t own = 0;
  while (qv_kernel_at(own) != NULL) own++;
  return i < own ? qv_kernel_at(i) : i - own < sizeof more / sizeof more[0] ? &more[i - own] : NULL;
}

static void test_enumerated(void **s) {
  (void)s;
  const qv_kernel *k;
  for (size_t i = 0; (k = nth_kernel(i)) != NULL; i++) {
    tally t = {0};
    for (uint64_t seed = 1; seed <= 120 * rn_multiplier(); seed++) enumerate(&t, seed, k);
    print_message("%s: %d absent, %d reached, %d exhausted, %d open\n", k->name, t.absent, t.reached, t.exhausted, t.open);
    assert_int_equal(t.open, 0); /* such small domains are always decided */
    if (k->acc.mode != QV_ACC_WRAP) assert_true(t.absent > 20 && t.reached > 4);
    else assert_int_equal(t.reached + t.exhausted, 0);
  }
}

/* Groups that leave their stage for some bytes, from the weights alone: rule P1 for u8 pairs; for lanes every window's two
 * extreme sums, a saturating lane's after each term or pair. */
static uint64_t plain_any(const qv_affine *a, bool x_signed) {
  size_t k = (size_t)a->win.kh * a->win.kw * (a->win.ic / a->win.groups);
  uint64_t bad = 0;
  int32_t x0 = x_signed ? -128 : 0, x1 = x_signed ? 127 : 255;
  for (size_t o = 0; o < a->win.oc; o++) {
    const int32_t *w = a->w + o * k;
    size_t d = a->acc.pairing == QV_PAIR_K8 ? 8 : 1, n = 0;
    int64_t *most = test_malloc(k * sizeof *most), *least = test_malloc(k * sizeof *least); /* of the terms, or of the pairs */
    bool pairs = a->acc.mode != QV_ACC_LANES;
    for (size_t i = 0; i < k; i++) {
      if (pairs && i % (2 * d) >= d) continue;
      int32_t v = pairs && i + d < k ? w[i + d] : 0, up = (w[i] > 0 ? w[i] : 0) + (v > 0 ? v : 0), down = (w[i] < 0 ? w[i] : 0) + (v < 0 ? v : 0);
      bad += pairs && (up > 128 || down < -128);
      most[n] = up * x1 + down * x0;
      least[n++] = up * x0 + down * x1;
    }
    size_t lanes = a->acc.lanes;
    for (size_t j = 0; a->acc.mode != QV_ACC_PAIR16 && j < lanes; j++) {
      size_t per = a->acc.spill != 0 ? a->acc.spill : n + 1;
      for (size_t first = j; first < n; first += lanes * per) {
        int64_t lo = 0, hi = 0;
        bool any = false, last = false;
        for (size_t m = 0; m < per && first + lanes * m < n; m++) {
          lo += least[first + lanes * m];
          hi += most[first + lanes * m];
          last = lo < -32768 || hi > 32767;
          any = any || last;
        }
        bad += a->acc.lane_sat ? any : last;
      }
    }
    test_free(most);
    test_free(least);
  }
  return bad;
}

/* Groups per channel and those that are bad at some position, with the proved ranges; and the least room anywhere. */
static void plain_count(uint64_t *n, uint64_t *unsafe, int64_t *least, const qv_net *net, const qv_node *d, const qv_ranges *r, int bits) {
  uint32_t oc = d->u.affine.win.oc;
  oracle_bound *b = test_malloc(sizeof *b);
  *n = *unsafe = 0;
  *least = INT64_MAX;
  for (uint32_t o = 0; o < oc; o++) {
    bool bad[2 * ORACLE_TERMS] = {0};
    for (size_t e = o; e < qv_elems(&net->tensor[d->out]); e += oc) {
      oracle_at(b, net, d, e, NULL, r);
      for (uint32_t i = 0; i < b->n_stage; i++) bad[i] = bad[i] || b->bad[i];
      *least = qv_min64(*least, room(b->stage, bits));
    }
    *n += b->n_stage;
    for (uint32_t i = 0; i < b->n_stage; i++) *unsafe += bad[i];
  }
  test_free(b);
}

static void check_row(const qv_net *net, const qv_proof *p, const qv_audit_row *row, uint64_t seed) {
  const qv_node *d = &net->node[p->item[row->acc].node];
  const qv_audit_group *g = &row->worst;
  uint64_t n, unsafe;
  int64_t least;
  plain_count(&n, &unsafe, &least, net, d, &p->range.tensor[d->in[0]], row->bits);
  if (row->n != n || row->unsafe != unsafe || row->unsafe_any != plain_any(&d->u.affine, net->tensor[d->in[0]].type == QV_I8) || room(g->sum, row->bits) != least)
    fail_msg("net %d: %llu groups, %llu unsafe, %llu for some bytes, room %lld; recount %llu, %llu, %llu, %lld", (int)seed, (unsigned long long)row->n,
             (unsigned long long)row->unsafe, (unsigned long long)row->unsafe_any, (long long)room(g->sum, row->bits), (unsigned long long)n,
             (unsigned long long)unsafe, (unsigned long long)plain_any(&d->u.affine, net->tensor[d->in[0]].type == QV_I8), (long long)least);
  assert_true(g->n >= 1 && g->element % d->u.affine.win.oc == g->channel && g->element < qv_elems(&net->tensor[d->out]));
  if (g->n > 2 || g->pairs || d->u.affine.acc.lane_sat) return; /* one or two terms: the sum is theirs */
  int64_t lo = 0, hi = 0;
  for (uint32_t i = 0; i < g->n; i++) {
    int64_t a = g->w[i] * g->x[i].lo, b = g->w[i] * g->x[i].hi;
    lo += qv_min64(a, b);
    hi += qv_max64(a, b);
  }
  assert_true(lo == g->sum.lo && hi == g->sum.hi);
}

static void test_counts(void **s) {
  (void)s;
  const qv_kernel *k;
  uint64_t unsafe = 0, fewer = 0;
  for (size_t i = 0; (k = nth_kernel(i)) != NULL; i++) {
    if (k->acc.mode == QV_ACC_WRAP) continue;
    for (uint64_t seed = 1; seed <= 80 * rn_multiplier(); seed++) {
      qv_net *net = on_kernel(seed, seed % 2 == 0, k, true);
      qv_err err = {0};
      qv_proof p;
      qv_audit au;
      ok(qv_prove_overflow(&p, net, NULL, &(qv_prove_opts){.work = 1}, &err), &err);
      ok(qv_audit_run(&au, net, &p, &err), &err);
      for (uint32_t j = 0; j < au.n; j++) {
        if (au.row[j].bits == 0) continue;
        check_row(net, &p, &au.row[j], seed);
        unsafe += au.row[j].unsafe;
        fewer += au.row[j].unsafe < au.row[j].unsafe_any;
      }
      qv_audit_clear(&au);
      qv_proof_clear(&p);
      qv_net_free(net);
    }
  }
  print_message("%llu unsafe groups, %llu rows with fewer than for any byte\n", (unsigned long long)unsafe, (unsigned long long)fewer);
  assert_true(unsafe > 100 && fewer > 10);
}

/* One int8 layer of two weights on one kernel, the input any byte. */
static qv_verdict two_weights(uint64_t *unsafe, int32_t w0, int32_t w1) {
  uint32_t n = 2, layers;
  qv_net *net = rn_new();
  qv_err err = {0};
  qv_proof p;
  qv_audit au;
  uint32_t y = rn_affine(net, rn_input(net, QV_I8, -128, 127, 1, &n), (rn_affine_arg){.win = rn_dense(2, 1), .w = (const int32_t[]){w0, w1}, .acc = WRAP32});
  assert_true(qv_net_add_out(net, &(qv_port){.tensor = y, .end = QV_END_INT, .name = "y"}));
  ok(qv_ir_check(net, &err), &err);
  ok(qv_kernel_assume(net, qv_kernel_find("avx2-u8s8"), false, &layers, &err), &err);
  assert_int_equal(layers, 1);
  ok(qv_prove_overflow(&p, net, NULL, NULL, &err), &err);
  ok(qv_audit_run(&au, net, &p, &err), &err);
  assert_int_equal(au.n, 2); /* the shift and the layer */
  assert_int_equal(au.row[0].bits, 0);
  assert_int_equal(au.row[1].unsafe, au.row[1].unsafe_any);
  *unsafe = au.row[1].unsafe;
  qv_verdict v = p.verdict;
  qv_audit_clear(&au);
  qv_proof_clear(&p);
  qv_net_free(net);
  return v;
}

/* docs/semantics.md section 10 and rule P1, at the border; s8 * s8 that would fit (127 * 127 * 2) does not as u8 * s8. */
static void test_pairs_by_hand(void **s) {
  (void)s;
  static const struct {
    int32_t w0, w1;
    bool safe;
  } pair[] = {{71, 107, false}, {113, 113, false}, {64, 65, false}, {64, 64, true}, {-128, -128, false}, {-64, -64, true},
              {-64, -65, false}, {-128, 0, true}, {-128, -1, false}, {127, 1, true}, {127, 2, false}, {127, -128, true}};
  for (size_t i = 0; i < sizeof pair / sizeof pair[0]; i++) {
    uint64_t unsafe;
    assert_int_equal(two_weights(&unsafe, pair[i].w0, pair[i].w1), pair[i].safe ? QV_VERIFIED : QV_UNKNOWN);
    assert_int_equal(unsafe, !pair[i].safe);
  }
}

static qv_net *one_layer(qv_dtype type, int64_t lo, int64_t hi, qv_window g, const int32_t *w) {
  qv_net *net = rn_new();
  qv_err err = {0};
  uint32_t n = g.ih * g.iw * g.ic, x = rn_input(net, type, lo, hi, 1, &n);
  uint32_t y = rn_affine(net, x, (rn_affine_arg){.win = g, .w = w, .acc = WRAP32});
  (void)rn_affine(net, x, (rn_affine_arg){.win = g, .w = w, .acc = WRAP32}); /* a second reader of the same tensor */
  assert_true(qv_net_add_out(net, &(qv_port){.tensor = y, .end = QV_END_INT, .name = "y"}));
  ok(qv_ir_check(net, &err), &err);
  return net;
}

static void expect(qv_net *net, const char *kernel, bool depthwise, qv_status st, uint32_t layers, uint32_t nodes) {
  qv_err err = {0};
  uint32_t n = 0;
  assert_int_equal(qv_kernel_assume(net, qv_kernel_find(kernel), depthwise, &n, &err), st);
  if (st == QV_OK) {
    assert_int_equal(n, layers);
    assert_int_equal(net->n_nodes, nodes);
    assert_non_null(strstr(net->note[net->n_notes - 1], kernel));
  } else assert_non_null(strstr(err.msg, "layer 0 TEST"));
  qv_net_free(net);
}

static void test_what_is_rewritten(void **s) {
  (void)s;
  const int32_t w[4] = {5, -7, 100, 3}, ones[4] = {1, 1, 1, 1}, wide[4] = {5, -7, 300, 3}, both[4] = {-1, 200, 0, 0};
  qv_window dense = rn_dense(2, 2), dw = rn_dense(2, 2);
  dw.iw = dw.kw = 2;
  dw.groups = 2;
  assert_null(qv_kernel_find("none"));
  expect(one_layer(QV_I8, -128, 127, dense, w), "avx2-u8s8", false, QV_OK, 2, 3); /* one shift for both */
  expect(one_layer(QV_U8, 0, 255, dense, w), "avx2-u8s8", false, QV_OK, 2, 2);
  expect(one_layer(QV_U8, 0, 255, dense, w), "neon-s8", false, QV_OK, 2, 3);
  expect(one_layer(QV_I8, -128, 127, dense, ones), "avx2-u8s8", true, QV_OK, 0, 2);
  expect(one_layer(QV_I8, -128, 127, dw, w), "mnn-oaq", false, QV_OK, 0, 2);
  expect(one_layer(QV_I8, -128, 127, dw, w), "mnn-oaq", true, QV_OK, 2, 2);
  expect(one_layer(QV_I16, 0, 5, dense, w), "avx2-u8s8", false, QV_E_UNSUP, 0, 0);
  expect(one_layer(QV_I8, 0, 5, dense, wide), "avx2-u8s8", false, QV_E_UNSUP, 0, 0);
  expect(one_layer(QV_I8, 0, 5, dense, both), "avx2-u8s8", false, QV_E_UNSUP, 0, 0);
}

/* ---- repair ------------------------------------------------------------------------------------------------------------------ */

static const qv_kernel *pair_kernel(uint64_t seed) { return seed % 3 == 0 ? &more[0] : qv_kernel_find("avx2-u8s8"); }

/* The changes are exactly how the repaired weights differ, and all of them go toward zero. */
static void check_changes(const qv_repair *f, const qv_net *was, const qv_net *is) {
  uint64_t steps = 0;
  uint32_t next = 0;
  for (uint32_t k = 0; k < was->n_nodes; k++) {
    if (was->node[k].kind != QV_AFFINE) continue;
    const qv_affine *a = &was->node[k].u.affine, *b = &is->node[k].u.affine;
    size_t terms = (size_t)a->win.kh * a->win.kw * (a->win.ic / a->win.groups);
    uint32_t seen = 0;
    for (size_t i = 0; i < a->win.oc * terms; i++) {
      if (a->w[i] == b->w[i]) continue;
      assert_true(abs(b->w[i]) < abs(a->w[i]) && a->w[i] * b->w[i] >= 0);
      steps += (uint64_t)abs(a->w[i] - b->w[i]);
      bool found = false;
      for (uint32_t c = next; c < f->n && f->change[c].node == k; c++) {
        const qv_repair_change *g = &f->change[c];
        found = found || (g->channel * terms + g->term == i && g->was == a->w[i] && g->is == b->w[i]);
      }
      assert_true(found);
      seen++;
    }
    next += seen;
  }
  assert_int_equal(next, f->n);
  assert_int_equal(steps, f->steps);
}

/* After a repair no pair is unsafe, and no input gives a wrong result (all are executed). */
static void test_repaired(void **s) {
  (void)s;
  int changed = 0, untouched = 0;
  for (uint64_t seed = 1; seed <= 150 * rn_multiplier(); seed++) {
    qv_net *was = on_kernel(seed, true, pair_kernel(seed), true), *is = on_kernel(seed, true, pair_kernel(seed), true);
    qv_err err = {0};
    qv_repair f;
    qv_proof p;
    qv_audit au;
    qv_values v;
    ok(qv_repair_run(&f, is, NULL, QV_REPAIR_CLIP, &err), &err);
    check_changes(&f, was, is);
    ok(qv_prove_overflow(&p, is, NULL, NULL, &err), &err);
    ok(qv_audit_run(&au, is, &p, &err), &err);
    ok(qv_values_init(&v, is, &err), &err);
    for (uint32_t i = 0; i < au.n; i++) assert_true(au.row[i].unsafe == 0 && p.item[i].verdict == QV_VERIFIED);
    first_input(is, &v);
    do {
      ok(qv_ref_run(is, &v, &err), &err);
      for (uint32_t i = 0; i < au.n; i++)
        if (is->node[p.item[i].node].kind == QV_AFFINE) assert_false(differs(is, &v, &p, i, &au.row[i]));
    } while (next_input(is, &v));
    changed += f.n > 0;
    untouched += f.n == 0;
    qv_values_clear(&v);
    qv_audit_clear(&au);
    qv_proof_clear(&p);
    qv_repair_clear(&f);
    qv_net_free(was);
    qv_net_free(is);
  }
  print_message("%d nets repaired, %d left as they were\n", changed, untouched);
  assert_true(changed > 20 && untouched > 20);
}

/* Wide nets, every input element in a range of its own: no pair is unsafe afterwards, by the audit's own count. */
static void test_repaired_by_element(void **s) {
  (void)s;
  int changed = 0;
  for (uint64_t seed = 1; seed <= 400 * rn_multiplier(); seed++) {
    qv_net *net = on_kernel(seed, false, pair_kernel(seed), true);
    qv_rng r = {seed};
    qv_itv v[12];
    const qv_tensor *t = &net->tensor[net->in[0].tensor];
    for (int i = 0; i < 12; i++) {
      v[i].lo = qv_rng_range(&r, t->lo, t->hi);
      v[i].hi = qv_max64(v[i].lo, edge(&r, (int32_t)v[i].lo, (int32_t)t->hi));
    }
    const qv_property prop = {.n_in = 1, .in = &(qv_prop_input){.n = 12, .itv = v}};
    qv_err err = {0};
    qv_repair f;
    qv_proof p;
    qv_audit au;
    ok(qv_repair_run(&f, net, &prop, QV_REPAIR_CLIP, &err), &err);
    ok(qv_prove_overflow(&p, net, &prop, &(qv_prove_opts){.work = 1}, &err), &err);
    ok(qv_audit_run(&au, net, &p, &err), &err);
    for (uint32_t i = 0; i < au.n; i++)
      if (au.row[i].unsafe != 0) fail_msg("net %d node %u: %d pairs are still unsafe", (int)seed, p.item[i].node, (int)au.row[i].unsafe);
    changed += f.n > 0;
    qv_audit_clear(&au);
    qv_proof_clear(&p);
    qv_repair_clear(&f);
    qv_net_free(net);
  }
  print_message("%d nets changed\n", changed);
  assert_true(changed > 50);
}

static bool pair_fits(int64_t b0, int64_t b1, int64_t u0, int64_t u1) {
  int64_t hi = (b0 > 0 ? b0 * u0 : 0) + (b1 > 0 ? b1 * u1 : 0), lo = (b0 < 0 ? b0 * u0 : 0) + (b1 < 0 ? b1 * u1 : 0);
  return hi <= 32767 && lo >= -32768;
}

/* Fewest steps by trying all. Activations in [0,u]. */
static int64_t plain_fewest(int32_t b0, int32_t b1, int64_t u0, int64_t u1) {
  int64_t best = INT64_MAX;
  for (int32_t d0 = 0; d0 <= abs(b0); d0++)
    for (int32_t d1 = 0; d1 <= abs(b1); d1++)
      if (d0 + d1 < best && pair_fits(b0 > 0 ? b0 - d0 : b0 + d0, b1 > 0 ? b1 - d1 : b1 + d1, u0, u1)) best = d0 + d1;
  return best;
}

static void test_fewest_steps(void **s) {
  (void)s;
  static const int16_t border[][4] = {{-128, -128, 128, 128}, {-128, -128, 128, 129}, {127, 127, 129, 129}, {127, 127, 129, 130}, {127, 2, 255, 190}};
  enum { BORDER = sizeof border / sizeof border[0] };
  qv_rng r = {7};
  int changed = 0;
  for (unsigned it = 0; it < 400 * rn_multiplier(); it++) {
    int32_t sign = qv_rng_range(&r, 0, 1) == 0 ? 1 : -1;
    int32_t w[2] = {sign * (int32_t)qv_rng_range(&r, 40, 127), sign * (int32_t)qv_rng_range(&r, 40, 127)};
    if (qv_rng_range(&r, 0, 9) == 0) w[qv_rng_range(&r, 0, 1)] = edge(&r, -128, 127);
    qv_itv v[2] = {{0, qv_rng_range(&r, 120, 255)}, {0, edge(&r, 120, 255)}};
    for (int i = 0; it < BORDER && i < 2; i++) w[i] = border[it][i], v[i].hi = border[it][2 + i];
    const qv_property prop = {.n_in = 1, .in = &(qv_prop_input){.n = 2, .itv = v}};
    uint32_t n = 2;
    qv_net *net = rn_new();
    qv_err err = {0};
    qv_repair f;
    uint32_t y = rn_affine(net, rn_input(net, QV_U8, 0, 255, 1, &n), (rn_affine_arg){.win = rn_dense(2, 1), .w = w, .acc = qv_kernel_find("avx2-u8s8")->acc});
    assert_true(qv_net_add_out(net, &(qv_port){.tensor = y, .end = QV_END_INT, .name = "y"}));
    ok(qv_ir_check(net, &err), &err);
    ok(qv_repair_run(&f, net, &prop, QV_REPAIR_CLIP, &err), &err);
    int64_t want = plain_fewest(w[0], w[1], v[0].hi, v[1].hi);
    const int32_t *now = net->node[0].u.affine.w;
    assert_true(pair_fits(now[0], now[1], v[0].hi, v[1].hi));
    if ((int64_t)f.steps != want || abs(now[0] - w[0]) + abs(now[1] - w[1]) != want)
      fail_msg("weights %d, %d, bytes to %d, %d: %d steps, %d suffice", w[0], w[1], (int)v[0].hi, (int)v[1].hi, (int)f.steps, (int)want);
    if (v[0].hi == v[1].hi && want > 1) assert_true(abs(abs(now[0] - w[0]) - abs(now[1] - w[1])) <= 1);
    changed += want > 0;
    qv_repair_clear(&f);
    qv_net_free(net);
  }
  print_message("%d pairs changed\n", changed);
  assert_true(changed > 100);
}

static void close_net(qv_net *net, uint32_t y) {
  qv_err err = {0};
  assert_true(qv_net_add_out(net, &(qv_port){.tensor = y, .end = QV_END_INT, .name = "y"}));
  ok(qv_ir_check(net, &err), &err);
}

/* Two groups with the same weights: 127 * (100 + 100) fits, 127 * (255 + 255) does not. */
static void test_repair_by_group(void **s) {
  (void)s;
  qv_itv v[4] = {{0, 100}, {0, 100}, {0, 255}, {0, 255}};
  const qv_property prop = {.n_in = 1, .in = &(qv_prop_input){.n = 4, .itv = v}};
  const int32_t w[4] = {127, 127, 127, 127};
  uint32_t n = 4;
  qv_window g = rn_dense(4, 2);
  g.groups = 2;
  qv_net *net = rn_new();
  qv_err err = {0};
  qv_repair f;
  close_net(net, rn_affine(net, rn_input(net, QV_U8, 0, 255, 1, &n), (rn_affine_arg){.win = g, .w = w, .acc = qv_kernel_find("avx2-u8s8")->acc}));
  ok(qv_repair_run(&f, net, &prop, QV_REPAIR_CLIP, &err), &err);
  assert_int_equal(f.n, 2);
  assert_true(f.change[0].channel == 1 && f.change[1].channel == 1);
  assert_int_equal(f.steps, 126); /* 254 * 255 - 32767 = 32003 */
  qv_repair_clear(&f);
  qv_net_free(net);
}

/* Weights -127 with zero point -127 add nothing, whatever saturates: at most 64770 - 32768 = 32002, 250 after the shift. Repaired
 * to -64, -64 (126 steps) they add up to 126 * 255 = 32130, which is 251. So the next layer's pair of 131 in all, safe up to 250,
 * needs one step more: ranges have to be those behind the repaired layer. */
static void test_repair_follows_ranges(void **s) {
  (void)s;
  const qv_acc acc = qv_kernel_find("avx2-u8s8")->acc;
  const qv_rq_par par = {.fn = QV_RQ_S, .m = 1, .sh = 24};
  const uint32_t twice[2] = {0, 0};
  const int32_t w1[2] = {-127, -127}, w2[2] = {66, 65};
  uint32_t n = 2, one = 1;
  qv_net *net = rn_new();
  qv_err err = {0};
  qv_repair f;
  uint32_t t = rn_affine(net, rn_input(net, QV_U8, 0, 255, 1, &n), (rn_affine_arg){.win = rn_dense(2, 1), .w = w1, .w_zp = -127, .acc = acc});
  t = rn_node(net, (qv_node){.kind = QV_STEP, .u.step = {.n_par = 1, .par = &par, .inner = 1, .hi = 255}}, 1, &t, 4, (const uint32_t[]){1, 1, 1, 1});
  net->tensor[t].type = QV_U8;
  t = rn_node(net, (qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_RESHAPE}}, 1, &t, 1, &one);
  net->tensor[t].type = QV_U8;
  t = rn_node(net, (qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_GATHER, .g = twice}}, 1, &t, 1, &n);
  net->tensor[t].type = QV_U8;
  close_net(net, rn_affine(net, t, (rn_affine_arg){.win = rn_dense(2, 1), .w = w2, .acc = acc}));
  ok(qv_repair_run(&f, net, NULL, QV_REPAIR_CLIP, &err), &err);
  assert_int_equal(f.n_layers, 2);
  assert_int_equal(f.steps, 126 + 1);
  qv_repair_clear(&f);
  qv_net_free(net);
}

/* ---- two real nets: adjacent pairs, of these unsafe for any bytes and with propagated ranges ----------------------------------- */

static void check_ds_cnn(const char *dir, const char *name, unsigned blocks, uint64_t pairs, uint64_t any, uint64_t limited) {
  cmsis_case c;
  cmsis_load(&c, dir, name, NULL);
  cmsis_net b = {.net = rn_new(), .rounding = QV_RQ_D};
  uint32_t dim[4], layers;
  qv_err err = {0};
  qv_proof p;
  qv_audit au;
  cmsis_scope(&c, "CONV_2D", 1);
  cmsis_image(dim, &c);
  uint32_t x = cmsis_input(&b, QV_I8, 4, dim);
  for (unsigned k = 1; k <= 2 * blocks + 1; k++) {
    bool depthwise = k > 1 && k % 2 == 0;
    cmsis_scope(&c, depthwise ? "DEPTHWISE_CONV_2D" : "CONV_2D", k);
    x = cmsis_conv(&b, &c, x, depthwise);
  }
  cmsis_scope(&c, "AVERAGE_POOL_2D", 2 * blocks + 2);
  x = cmsis_average_pool(&b, &c, x);
  cmsis_scope(&c, "FULLY_CONNECTED", 2 * blocks + 4);
  x = cmsis_dense(&b, &c, x, 12);
  assert_true(qv_net_add_out(b.net, &(qv_port){.tensor = x, .end = QV_END_INT, .name = "y"}));
  ok(qv_ir_check(b.net, &err), &err);
  ok(qv_kernel_assume(b.net, qv_kernel_find("avx2-u8s8"), false, &layers, &err), &err);
  assert_int_equal(layers, blocks + 2);
  ok(qv_prove_overflow(&p, b.net, NULL, &(qv_prove_opts){.work = 1}, &err), &err);
  ok(qv_audit_run(&au, b.net, &p, &err), &err);
  uint64_t sum[3] = {0};
  for (uint32_t i = 0; i < au.n; i++) sum[0] += au.row[i].n, sum[1] += au.row[i].unsafe_any, sum[2] += au.row[i].unsafe;
  assert_int_equal(sum[0], pairs);
  assert_int_equal(sum[1], any);
  assert_int_equal(sum[2], limited);
  qv_audit_clear(&au);
  qv_proof_clear(&p);
  qv_net_free(b.net);
  cmsis_free(&c);
}

static void test_ds_cnn(void **s) {
  (void)s;
  const char *path = rn_data("overflow/cmsis_nn_int_vectors");
  if (path == NULL) skip();
  char dir[1024];
  (void)snprintf(dir, sizeof dir, "%s", path);
  check_ds_cnn(dir, "ds_cnn_s", 4, 9856, 890, 637);
  check_ds_cnn(dir, "ds_cnn_l", 5, 197616, 9011, 6349);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_exact_values_stay), cmocka_unit_test(test_enumerated), cmocka_unit_test(test_counts),
      cmocka_unit_test(test_pairs_by_hand),     cmocka_unit_test(test_what_is_rewritten), cmocka_unit_test(test_ds_cnn),
      cmocka_unit_test(test_repaired),          cmocka_unit_test(test_fewest_steps),
      cmocka_unit_test(test_repaired_by_element), cmocka_unit_test(test_repair_by_group),   cmocka_unit_test(test_repair_follows_ranges),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
