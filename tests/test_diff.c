/* Two nets compared: counts against loops, verdicts against all inputs of tiny nets, sums that are reached or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/diff.h"
#include "analysis/diff_int.h"
#include "analysis/reach.h"
#include "kernels/step.h"
#include "tests/gen.h"
#include "tests/range_net.h"

/* ---- which sums are reached --------------------------------------------------------------------------------------------------- */

enum { FAR = 4000 };

/* All values of the sum, by enumeration. */
static void all_sums(bool *seen, const qv_linsum *s) {
  int64_t y[6];
  size_t k;
  memset(seen, 0, (2 * FAR + 1) * sizeof *seen);
  for (size_t i = 0; i < s->n; i++) y[i] = s->x[i].lo;
  do {
    int64_t v = s->b;
    for (size_t i = 0; i < s->n; i++) v += s->d[i] * y[i];
    assert_true(v >= -FAR && v <= FAR);
    seen[v + FAR] = true;
    for (k = 0; k < s->n && ++y[k] > s->x[k].hi; k++) y[k] = s->x[k].lo;
  } while (k < s->n);
}

static void one_query(qv_rng *r, const qv_linsum *s, const qv_reacher *q, const bool *seen, int64_t v, int *yes, int *no) {
  qv_itv want[2] = {{v, v + qv_rng_range(r, 0, 2)}, {v + 5, v + 5}};
  size_t n = (size_t)qv_rng_range(r, 1, 2);
  bool expected = false, inside = false;
  int64_t value, x[6], sum = s->b;
  for (size_t k = 0; k < n; k++)
    for (int64_t t = want[k].lo; t <= want[k].hi; t++) expected = expected || seen[t + FAR];
  qv_reach_answer a = qv_reacher_find(&value, x, q, want, n);
  assert_int_equal(a, expected ? QV_REACH_YES : QV_REACH_NO);
  *(expected ? yes : no) += 1;
  if (!expected) return;
  for (size_t i = 0; i < s->n; i++) {
    assert_true(x[i] >= s->x[i].lo && x[i] <= s->x[i].hi);
    sum += s->d[i] * x[i];
  }
  assert_int_equal(sum, value);
  for (size_t k = 0; k < n; k++) inside = inside || (value >= want[k].lo && value <= want[k].hi);
  assert_true(inside);
}

static void reach(void **state) {
  (void)state;
  static bool seen[2 * FAR + 1];
  qv_rng r = {77};
  int yes = 0, no = 0;
  for (unsigned it = 0; it < 1500 * rn_multiplier(); it++) {
    int64_t d[6];
    qv_itv x[6];
    qv_linsum s = {.n = (size_t)qv_rng_range(&r, 0, 6), .d = d, .x = x, .b = qv_rng_range(&r, -50, 50)};
    int64_t wide = it % 3 == 0 ? 40 : 12, times = qv_rng_range(&r, 1, 3);
    for (size_t i = 0; i < s.n; i++) {
      d[i] = qv_rng_range(&r, -wide, wide) * (qv_rng_range(&r, 0, 5) != 0 ? times : 1);
      x[i].lo = qv_rng_range(&r, -3, 3);
      x[i].hi = x[i].lo + qv_rng_range(&r, 0, 4);
    }
    all_sums(seen, &s);
    qv_arena a = {0};
    qv_reacher *q;
    assert_int_equal(qv_reacher_new(&q, &s, 0, &a, NULL), QV_OK);
    for (int64_t v = -900; v <= 900; v += qv_rng_range(&r, 1, 3)) one_query(&r, &s, q, seen, v, &yes, &no);
    qv_arena_clear(&a);
  }
  assert_true(yes > 20000 && no > 20000);
}

/* A dense layer's sum: decided within the limit, each wanted value with its input. */
static void reach_wide(void **state) {
  (void)state;
  qv_rng r = {5};
  static int64_t d[1024], x[1024];
  static qv_itv range[1024];
  for (int kind = 0; kind < 4; kind++) {
    qv_linsum s = {.n = 1024, .d = d, .x = range, .b = 12345};
    for (size_t i = 0; i < s.n; i++) {
      range[i] = (qv_itv){-128, 127};
      d[i] = qv_rng_range(&r, -127, 127);
      if (kind == 1) d[i] = 2 * (d[i] / 2);                          /* even only */
      if (kind == 2) d[i] = i == 500 ? 127 : 2 * (d[i] / 2);         /* one odd weight, far from the smallest */
      if (kind == 3) d[i] = i % 2 == 0 ? 126 : 127;                  /* no small weight */
    }
    qv_arena a = {0};
    qv_reacher *q;
    int64_t value, sum;
    assert_int_equal(qv_reacher_new(&q, &s, 0, &a, NULL), QV_OK);
    for (int64_t v = -3; v <= 3; v++) {
      qv_reach_answer got = qv_reacher_find(&value, x, q, &(qv_itv){v, v}, 1);
      assert_int_equal(got, kind == 1 && v % 2 == 0 ? QV_REACH_NO : QV_REACH_YES); /* 12345 is odd */
      if (got != QV_REACH_YES) continue;
      sum = s.b;
      for (size_t i = 0; i < s.n; i++) sum += d[i] * x[i];
      assert_int_equal(sum, v);
    }
    qv_arena_clear(&a);
  }
}

/* ---- counting -------------------------------------------------------------------------------------------------------------------- */

static qv_node step_node(qv_step *s, const qv_rq_par *p, int64_t zp, int64_t lo, int64_t hi) {
  *s = (qv_step){.n_par = 1, .par = p, .inner = 1, .out_zp = zp, .lo = lo, .hi = hi};
  return (qv_node){.kind = QV_STEP, .u.step = *s};
}

static uint64_t count(const qv_node *f, const qv_node *g, qv_itv dom, size_t *runs) {
  static qv_itv out[100000];
  qv_diff_chain a = {.n = 1, .node = {f}}, b = {.n = 1, .node = {g}};
  uint64_t n, sum = 0, steps = 1 << 22;
  assert_true(qv_diff_count(&n, &a, &b, dom, out, 100000, runs, &steps));
  for (size_t k = 0; k < *runs && *runs <= 100000; k++) {
    assert_true(out[k].lo <= out[k].hi && out[k].lo >= dom.lo && out[k].hi <= dom.hi && (k == 0 || out[k].lo > out[k - 1].hi + 1));
    sum += (uint64_t)(out[k].hi - out[k].lo) + 1;
  }
  assert_int_equal(sum, n);
  return n;
}

/* Every function against every other, value by value. */
static void counts(void **state) {
  (void)state;
  qv_rng r = {3};
  uint64_t total = 0;
  for (unsigned it = 0; it < 1200 * rn_multiplier(); it++) {
    qv_step sa, sb;
    int64_t vmax = qv_rng_range(&r, 10, 40000), lo = qv_rng_range(&r, -vmax, vmax);
    qv_itv dom = {lo, qv_min64(vmax, lo + qv_rng_range(&r, 0, 2500))};
    qv_rq_par p = gen_rq_par(&r, (qv_rq)qv_rng_range(&r, QV_RQ_D, QV_RQ_MEANF), vmax, 8), q = p;
    if (it % 2 == 0) q = gen_rq_par(&r, (qv_rq)qv_rng_range(&r, QV_RQ_D, QV_RQ_MEANF), vmax, 8);
    else if (p.fn == QV_RQ_D || p.fn == QV_RQ_U || p.fn == QV_RQ_S) q.fn = (qv_rq)qv_rng_range(&r, QV_RQ_D, QV_RQ_S);
    bool wide = it % 3 == 0;
    qv_node f = step_node(&sa, &p, 3, wide ? -1000000 : -128, wide ? 1000000 : 127), g = step_node(&sb, &q, 3, wide ? -1000000 : -128, wide ? 1000000 : 127);
    /* parameters that the net's check would refuse are not meant to work */
    bool ok = true;
    for (int k = 0; k < 2 && ok; k++) {
      qv_net *net = rn_new();
      uint32_t x = rn_input(net, QV_I32, -vmax, vmax, 1, (const uint32_t[]){1});
      uint32_t y = rn_node(net, k == 0 ? f : g, 1, &x, 1, (const uint32_t[]){1});
      assert_true(qv_net_add_out(net, &(qv_port){.tensor = y, .end = QV_END_INT, .name = "y"}));
      ok = qv_ir_check(net, NULL) == QV_OK;
      qv_net_free(net);
    }
    if (!ok) continue;
    uint64_t n = 0;
    size_t runs;
    for (int64_t x = dom.lo; x <= dom.hi; x++) n += qv_step_eval(&f.u.step, 0, x) != qv_step_eval(&g.u.step, 0, x);
    assert_int_equal(count(&f, &g, dom, &runs), n);
    total += n;
  }
  assert_true(total > 1000);
}

/* RQ_D against RQ_S over a whole accumulator range: Lemma S4's residues, and a table behind. */
static void closed_form(void **state) {
  (void)state;
  qv_rng r = {4};
  for (int it = 0; it < 12; it++) {
    int sh = (int)qv_rng_range(&r, -9, 1), s = 31 - sh;
    int64_t m = qv_rng_range(&r, 1 << 30, INT32_MAX), n = 0;
    const qv_itv dom = {-20000, 21000};
    qv_rq_par p = {.fn = QV_RQ_D, .m = (int32_t)m, .sh = sh}, q = {.fn = QV_RQ_S, .m = (int32_t)m, .sh = sh};
    qv_step a, b;
    qv_node f = step_node(&a, &p, 0, INT32_MIN, INT32_MAX), g = step_node(&b, &q, 0, INT32_MIN, INT32_MAX);
    for (int64_t x = dom.lo; x <= dom.hi && sh < 0; x++) {
      qv_i128 t = (qv_i128)x * m + ((qv_i128)1 << (s - 1)), mod = (qv_i128)1 << s;
      qv_i128 res = ((t % mod) + mod) % mod;
      n += x >= 0 ? res >= mod - (1 << 30) : res < 1 << 30;
    }
    size_t runs;
    assert_int_equal(count(&f, &g, dom, &runs), n);
  }
  /* a table that does not move up: f(x) = |x| mod 3, against 0 */
  static int32_t t[201], zero[201];
  for (int i = 0; i <= 200; i++) t[i] = abs(i - 100) % 3;
  qv_node f = {.kind = QV_TABLE, .u.table = {-100, 201, t}}, g = {.kind = QV_TABLE, .u.table = {-100, 201, zero}};
  size_t runs;
  assert_int_equal(count(&f, &g, (qv_itv){-100, 100}, &runs), 200 - 66);
  /* plateaus of all lengths, so that a stride can end on an equal value behind another one */
  uint64_t ones = 0;
  for (int i = 0; i <= 200; i++) ones += (uint64_t)(t[i] = (int32_t)(qv_rng_next(&r) & qv_rng_next(&r) & 1));
  assert_int_equal(count(&f, &g, (qv_itv){-100, 100}, &runs), ones);
}

/* ---- nets -------------------------------------------------------------------------------------------------------------------------- */

typedef struct {
  bool equal, trap;
} truth;

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

static bool run(const qv_net *net, qv_values *v, int64_t *const *x) {
  for (uint32_t i = 0; i < net->n_in; i++) memcpy(v->v[net->in[i].tensor], x[i], qv_elems(&net->tensor[net->in[i].tensor]) * sizeof(int64_t));
  qv_err e = {0};
  return qv_ref_run(net, v, &e) == QV_OK;
}

static bool same_outputs(const qv_net *a, const qv_values *va, const qv_net *b, const qv_values *vb) {
  for (uint32_t o = 0; o < a->n_out; o++)
    if (memcmp(va->v[a->out[o].tensor], vb->v[b->out[o].tensor], qv_elems(&a->tensor[a->out[o].tensor]) * sizeof(int64_t)) != 0) return false;
  return true;
}

/* Both nets on every input. */
static truth by_force(const qv_net *a, const qv_net *b) {
  truth t = {true, false};
  qv_values va, vb;
  qv_arena mem = {0};
  int64_t **x = QV_NEW(&mem, a->n_in, int64_t *);
  for (uint32_t i = 0; i < a->n_in; i++) {
    const qv_tensor *u = &a->tensor[a->in[i].tensor];
    x[i] = QV_NEW(&mem, qv_elems(u), int64_t);
    for (size_t e = 0; e < qv_elems(u); e++) x[i][e] = u->lo;
  }
  assert_int_equal(qv_values_init(&va, a, NULL), QV_OK);
  assert_int_equal(qv_values_init(&vb, b, NULL), QV_OK);
  do {
    if (!run(a, &va, x) || !run(b, &vb, x)) t.trap = true;
    else t.equal = t.equal && same_outputs(a, &va, b, &vb);
  } while (next_input(a, x));
  qv_values_clear(&va);
  qv_values_clear(&vb);
  qv_arena_clear(&mem);
  return t;
}

/* A verdict is what enumeration says; an input of FALSIFIED really shows it. */
static qv_verdict judge(const qv_net *a, const qv_net *b, const qv_diff_opts *o, const truth *t, uint64_t seed) {
  qv_diff d;
  qv_err err = {0};
  if (qv_diff_run(&d, a, b, o, &err) != QV_OK) fail_msg("net %llu: %s", (unsigned long long)seed, err.msg);
  if (d.verdict == QV_VERIFIED && (!t->equal || t->trap)) fail_msg("net %llu: EQUAL, but it is not", (unsigned long long)seed);
  if (d.verdict == QV_UNKNOWN) assert_non_null(d.reason);
  if (d.verdict == QV_FALSIFIED) {
    qv_values va, vb;
    assert_int_equal(qv_values_init(&va, a, NULL), QV_OK);
    assert_int_equal(qv_values_init(&vb, b, NULL), QV_OK);
    assert_true(run(a, &va, d.input) && run(b, &vb, d.input));
    assert_false(same_outputs(a, &va, b, &vb));
    assert_int_equal(va.v[a->out[d.output].tensor][d.element], d.a);
    assert_int_equal(vb.v[b->out[d.output].tensor][d.element], d.b);
    qv_values_clear(&va);
    qv_values_clear(&vb);
  }
  qv_verdict v = d.verdict;
  qv_diff_clear(&d);
  return v;
}

/* Change one number of one node. The net's arrays are const for everyone else. */
static void mutate(qv_rng *r, qv_net *net) {
  qv_node *n = &net->node[qv_rng_range(r, 0, net->n_nodes - 1)];
  int64_t by = (qv_rng_next(r) & 1) != 0 ? 1 : -1;
  switch (n->kind) {
  case QV_STEP: {
    qv_rq_par *p = (qv_rq_par *)(uintptr_t)&n->u.step.par[qv_rng_range(r, 0, n->u.step.n_par - 1)];
    switch (qv_rng_range(r, 0, 4)) {
    case 0: n->u.step.out_zp += by; break;
    case 1: n->u.step.lo += 1; break;
    case 2: p->m = (int32_t)qv_clamp64(p->m + by, INT32_MIN, INT32_MAX); break;
    case 3: p->fn = p->fn == QV_RQ_D ? QV_RQ_S : p->fn == QV_RQ_S ? QV_RQ_U : p->fn == QV_RQ_U ? QV_RQ_D : p->fn == QV_RQ_F32 ? QV_RQ_NDU : p->fn; break;
    default: p->M *= 1 + 0x1p-20; p->M = (double)(float)p->M; break;
    }
    break;
  }
  case QV_AFFINE:
    switch (qv_rng_range(r, 0, 3)) {
    case 0: ((int64_t *)(uintptr_t)n->u.affine.b)[0] += by; break;
    case 1: n->u.affine.acc = (qv_acc){.mode = QV_ACC_EXACT}; break;
    case 2: n->u.affine.acc = (qv_acc){.mode = QV_ACC_SAT, .bits = (uint8_t)qv_rng_range(r, 6, 20)}; break;
    default: n->u.affine.acc = (qv_acc){.mode = QV_ACC_WRAP, .bits = (uint8_t)qv_rng_range(r, 6, 24)}; break;
    }
    break;
  case QV_TABLE: ((int32_t *)(uintptr_t)n->u.table.t)[qv_rng_range(r, 0, n->u.table.n - 1)] ^= 1; break;
  case QV_THRESHOLD: ((int32_t *)(uintptr_t)n->u.threshold.par[0].v)[0] ^= 1; break;
  case QV_SUM: ((int64_t *)(uintptr_t)n->u.sum.c)[0] += by; break;
  case QV_PRODUCT: n->u.product.z0 += by; break;
  case QV_CLAMP: n->u.clamp.lo += 1; break;
  case QV_WRAP: n->u.wrap.bits++; break;
  case QV_INDEX: n->u.index.value ^= 1; break;
  case QV_MAX:
  case QV_TAIL:
  case QV_OPAQUE:
  case QV_KINDS: break;
  }
}

/* Random nets and a mutant of each: node by node, with the search, and with everything. */
static void mutants(void **state) {
  (void)state;
  int equal = 0, by_nodes = 0, different = 0, found = 0, open = 0, pairs = 0;
  for (unsigned it = 0; it < 500 * rn_multiplier(); it++) {
    uint64_t seed = 20000 + it;
    qv_net *net[2];
    for (int k = 0; k < 2; k++) {
      qv_rng r = {seed};
      gen_opts o = {.max_in = 3, .in_bits = 4, .max_nodes = 1 + it % 6, .max_elems = 24, .layers = it % 2 == 0};
      assert_non_null(net[k] = gen_net(&r, &o));
      uint32_t group = 1 + it % 3; /* nodes of one operator: tensors inside do not correspond */
      for (uint32_t i = 0; i < net[k]->n_nodes; i++) net[k]->node[i].layer = i / group;
    }
    qv_rng r = {seed * 31};
    if (it % 10 != 0) mutate(&r, net[1]);
    qv_err err = {0};
    bool fine = qv_ir_check(net[1], &err) == QV_OK;
    for (uint32_t i = 0; fine && i < net[0]->n_out; i++)
      fine = net[0]->tensor[net[0]->out[i].tensor].type == net[1]->tensor[net[1]->out[i].tensor].type;
    if (fine) {
      truth t = by_force(net[0], net[1]);
      qv_verdict v = judge(net[0], net[1], &(qv_diff_opts){.no_search = true, .no_enumeration = true}, &t, seed);
      by_nodes += v == QV_VERIFIED;
      v = judge(net[0], net[1], &(qv_diff_opts){.no_enumeration = true, .inputs = 200}, &t, seed);
      found += v == QV_FALSIFIED;
      v = judge(net[0], net[1], NULL, &t, seed);
      if (v == QV_UNKNOWN && !t.trap) fail_msg("net %llu: undecided although all inputs are few", (unsigned long long)seed);
      open += v == QV_UNKNOWN;
      pairs++;
      equal += t.equal && !t.trap;
      different += !t.equal;
    }
    qv_net_free(net[0]);
    qv_net_free(net[1]);
  }
  printf("%d pairs: %d equal (%d shown node by node), %d different (%d found without enumeration), %d open (traps)\n", pairs, equal, by_nodes,
         different, found, open);
  assert_true(by_nodes > 50 && found > 50 && by_nodes <= equal && found <= different);
}

/* One layer, a sum and its requantization under two functions: always decided, without enumeration, and the count is exact. */
static void one_layer(void **state) {
  (void)state;
  int equal = 0, different = 0, unreached = 0;
  for (unsigned it = 0; it < 1500 * rn_multiplier(); it++) {
    qv_rng r = {500 + it};
    uint32_t k = (uint32_t)qv_rng_range(&r, 1, 3), oc = (uint32_t)qv_rng_range(&r, 1, 3);
    int64_t hi = qv_rng_range(&r, 1, 15);
    int32_t w[9];
    int64_t b[3];
    int32_t times = (int32_t)qv_rng_range(&r, 1, 6);
    for (uint32_t i = 0; i < k * oc; i++) w[i] = times * (int32_t)qv_rng_range(&r, -12, 12);
    for (uint32_t i = 0; i < oc; i++) b[i] = qv_rng_range(&r, -100, 100);
    qv_rq_par par[2];
    par[0] = (qv_rq_par){.fn = QV_RQ_D, .m = (int32_t)qv_rng_range(&r, 1 << 30, INT32_MAX), .sh = (int)qv_rng_range(&r, -6, 0)};
    par[1] = par[0];
    if (it % 4 == 0) par[1].m = (int32_t)(((int64_t)par[1].m + ((int64_t)1 << (it % 28))) & INT32_MAX);
    else par[1].fn = it % 2 != 0 ? QV_RQ_S : QV_RQ_U;
    qv_net *net[2];
    for (int n = 0; n < 2; n++) {
      net[n] = rn_new();
      uint32_t x = rn_input(net[n], QV_I8, -1, hi - 1, 2, (const uint32_t[]){1, k});
      uint32_t y = rn_affine(net[n], x, (rn_affine_arg){.win = rn_dense(k, oc), .x_zp = 1, .w = w, .b = b, .acc = {.mode = QV_ACC_WRAP, .bits = 32}});
      qv_rq_par *p = QV_NEW(&net[n]->arena, 1, qv_rq_par);
      *p = par[n];
      qv_step s;
      uint32_t z = rn_node(net[n], step_node(&s, p, 2, -128, 127), 1, &y, 4, (const uint32_t[]){1, 1, 1, oc});
      net[n]->node[1].layer = 0;
      assert_true(qv_net_add_out(net[n], &(qv_port){.tensor = z, .end = QV_END_INT, .name = "z"}));
      qv_err err = {0};
      if (qv_ir_check(net[n], &err) != QV_OK) fail_msg("net %u: %s", it, err.msg);
    }
    truth t = by_force(net[0], net[1]);
    const qv_diff_opts o = {.no_search = true, .no_enumeration = true};
    qv_verdict v = judge(net[0], net[1], &o, &t, it);
    assert_int_equal(v, t.equal ? QV_VERIFIED : QV_FALSIFIED);
    equal += t.equal;
    different += !t.equal;
    qv_diff d;
    assert_int_equal(qv_diff_run(&d, net[0], net[1], &o, NULL), QV_OK);
    assert_int_equal(d.n_node, 1);
    uint64_t sum = 0;
    for (uint32_t c = 0; c < d.node[0].n_channel; c++) {
      const qv_diff_channel *ch = &d.node[0].channel[c];
      int64_t lo = b[ch->channel], top = b[ch->channel];
      for (uint32_t i = 0; i < k; i++) {
        int64_t p = w[ch->channel * k + i] * (int64_t)-2, q = w[ch->channel * k + i] * (hi - 2);
        lo += qv_min64(p, q);
        top += qv_max64(p, q);
      }
      assert_int_equal(ch->range.lo, lo);
      assert_int_equal(ch->range.hi, top);
      uint64_t n = 0;
      for (int64_t x = lo; x <= top; x++) n += qv_step_eval(&net[0]->node[1].u.step, 0, x) != qv_step_eval(&net[1]->node[1].u.step, 0, x);
      assert_int_equal(ch->differ, n);
      sum += n;
    }
    if (d.node[0].how == QV_DIFF_VALUES) assert_int_equal((uint64_t)d.node[0].differ, sum);
    unreached += d.node[0].how == QV_DIFF_VALUES && d.verdict == QV_VERIFIED;
    qv_diff_clear(&d);
    qv_net_free(net[0]);
    qv_net_free(net[1]);
  }
  printf("one layer: %d equal (%d of them differ on sums that no input gives), %d different\n", equal, unreached, different);
  assert_true(unreached > 20 && different > 200);
}

/* A raw kernel on bytes against the same sums on x + 128 in saturating pairs, as one runtime has them on two machines. */
static qv_net *shifted(bool pairs, const int32_t *w, int64_t lo, int64_t hi) {
  qv_net *net = rn_new();
  static const int64_t b[1] = {7};
  static const qv_rq_par par = {.fn = QV_RQ_F32, .M = 0.0078125};
  qv_step s;
  uint32_t x = rn_input(net, QV_I8, lo, hi, 2, (const uint32_t[]){1, 4});
  int64_t *c = QV_NEW(&net->arena, 2, int64_t);
  c[0] = 1;
  c[1] = -128;
  uint32_t u = x;
  if (pairs) u = rn_node(net, (qv_node){.kind = QV_SUM, .u.sum = {.c = c, .z = c + 1, .acc = {.mode = QV_ACC_EXACT}}}, 1, &x, 2, (const uint32_t[]){1, 4});
  qv_acc acc = {.mode = pairs ? QV_ACC_PAIR16 : QV_ACC_WRAP, .bits = 32, .raw = true};
  uint32_t y = rn_affine(net, u, (rn_affine_arg){.win = rn_dense(4, 1), .x_zp = pairs ? 131 : 3, .w = w, .b = b, .acc = acc});
  uint32_t z = rn_node(net, step_node(&s, &par, 0, -128, 127), 1, &y, 4, (const uint32_t[]){1, 1, 1, 1});
  for (uint32_t k = 0; k < net->n_nodes; k++) net->node[k].layer = 0;
  assert_true(qv_net_add_out(net, &(qv_port){.tensor = z, .end = QV_END_INT, .name = "z"}));
  qv_err err = {0};
  if (qv_ir_check(net, &err) != QV_OK) fail_msg("%s", err.msg);
  return net;
}

static void saturating_pairs(void **state) {
  (void)state;
  static const int32_t heavy[4] = {127, 127, -100, 20}, light[4] = {64, 64, -64, 20};
  static const qv_diff_opts o = {.no_enumeration = true, .inputs = 1};
  for (int k = 0; k < 3; k++) {
    qv_net *a = shifted(false, k == 1 ? light : heavy, k == 2 ? -128 : -128, k == 2 ? -30 : 127);
    qv_net *b = shifted(true, k == 1 ? light : heavy, k == 2 ? -128 : -128, k == 2 ? -30 : 127);
    qv_diff d;
    assert_int_equal(qv_diff_run(&d, a, b, &o, NULL), QV_OK);
    assert_int_equal(d.n_node, 1);
    assert_int_equal(d.node[0].how, k == 0 ? QV_DIFF_SUMS : QV_DIFF_EQUAL);
    assert_int_equal(d.verdict, k == 0 ? QV_FALSIFIED : QV_VERIFIED);
    if (k == 0) assert_true(d.node[0].n_channel == 1 && d.node[0].n_differ == 1);
    qv_diff_clear(&d);
    qv_net_free(a);
    qv_net_free(b);
  }
}

/* The sums 0, 102, .. in 8 bits that wrap: negative ones are reached, on which the functions differ, though no exact sum is negative. */
static void wrapped_sums(void **state) {
  (void)state;
  static const int32_t w[1] = {102};
  static const qv_diff_opts o = {.no_search = true, .no_enumeration = true};
  qv_net *net[2];
  for (int n = 0; n < 2; n++) {
    net[n] = rn_new();
    qv_rq_par *p = QV_NEW(&net[n]->arena, 1, qv_rq_par);
    *p = (qv_rq_par){.fn = n == 0 ? QV_RQ_D : QV_RQ_S, .m = 1 << 30, .sh = -1};
    qv_step s;
    uint32_t x = rn_input(net[n], QV_I8, 0, 15, 2, (const uint32_t[]){1, 1});
    uint32_t y = rn_affine(net[n], x, (rn_affine_arg){.win = rn_dense(1, 1), .w = w, .b = (const int64_t[]){0}, .acc = {.mode = QV_ACC_WRAP, .bits = 8}});
    uint32_t z = rn_node(net[n], step_node(&s, p, 0, -128, 127), 1, &y, 4, (const uint32_t[]){1, 1, 1, 1});
    net[n]->node[1].layer = 0;
    assert_true(qv_net_add_out(net[n], &(qv_port){.tensor = z, .end = QV_END_INT, .name = "z"}));
    assert_int_equal(qv_ir_check(net[n], NULL), QV_OK);
  }
  truth t = by_force(net[0], net[1]);
  assert_false(t.equal);
  assert_int_equal(judge(net[0], net[1], &o, &t, 0), QV_UNKNOWN);
  assert_int_equal(judge(net[0], net[1], NULL, &t, 0), QV_FALSIFIED);
  qv_net_free(net[0]);
  qv_net_free(net[1]);
}

/* A row convolution on x, and on x + 1 with a bias that makes up for it: the same sums, but not where a tap is padding. */
static qv_net *row(bool shifted_x, bool padded) {
  static const int32_t w[2] = {3, 5};
  qv_net *net = rn_new();
  uint32_t x = rn_input(net, QV_I8, 0, 3, 4, (const uint32_t[]){1, 1, 2, 1}), u = x;
  int64_t *c = QV_NEW(&net->arena, 2, int64_t), b = shifted_x ? 10 - 8 : 10;
  c[0] = 1;
  c[1] = -1;
  if (shifted_x) u = rn_node(net, (qv_node){.kind = QV_SUM, .u.sum = {.c = c, .z = c + 1, .acc = {.mode = QV_ACC_EXACT}}}, 1, &x, 4, (const uint32_t[]){1, 1, 2, 1});
  qv_window g = rn_dense(1, 1);
  g.iw = 2;
  g.kw = 2;
  g.pl = padded ? 1 : 0;
  g.ow = padded ? 3 : 1;
  uint32_t y = rn_affine(net, u, (rn_affine_arg){.win = g, .w = w, .b = &b, .acc = {.mode = QV_ACC_WRAP, .bits = 32}});
  for (uint32_t k = 0; k < net->n_nodes; k++) net->node[k].layer = 0;
  assert_true(qv_net_add_out(net, &(qv_port){.tensor = y, .end = QV_END_INT, .name = "y"}));
  qv_err err = {0};
  if (qv_ir_check(net, &err) != QV_OK) fail_msg("%s", err.msg);
  return net;
}

static void shifted_operands(void **state) {
  (void)state;
  static const qv_diff_opts o = {.no_search = true, .no_enumeration = true};
  for (int padded = 0; padded < 2; padded++) {
    qv_net *a = row(false, padded), *b = row(true, padded);
    truth t = by_force(a, b);
    assert_int_equal(t.equal, !padded);
    assert_int_equal(judge(a, b, &o, &t, 0), padded ? QV_UNKNOWN : QV_VERIFIED);
    assert_int_equal(judge(a, b, NULL, &t, 0), padded ? QV_FALSIFIED : QV_VERIFIED);
    qv_net_free(a);
    qv_net_free(b);
  }
}

/* Operands of a sum of two bytes: all pairs, and only those that some input gives. */
static qv_net *adds(qv_rq fn, bool twice, int64_t hi) {
  qv_net *net = rn_new();
  qv_step s;
  qv_rq_par *p = QV_NEW(&net->arena, 1, qv_rq_par);
  *p = (qv_rq_par){.fn = fn, .m = 1 << 30, .sh = -1}; /* a quarter */
  int64_t *c = QV_NEW(&net->arena, 4, int64_t);
  c[0] = c[1] = 1;
  uint32_t in[2];
  in[0] = rn_input(net, QV_I8, -8, hi, 1, (const uint32_t[]){2});
  in[1] = twice ? in[0] : rn_input(net, QV_I8, -8, hi, 1, (const uint32_t[]){2});
  uint32_t y = rn_node(net, (qv_node){.kind = QV_SUM, .u.sum = {.c = c, .z = c + 2, .acc = {.mode = QV_ACC_EXACT}}}, 2, in, 1, (const uint32_t[]){2});
  uint32_t z = rn_node(net, step_node(&s, p, 0, -128, 127), 1, &y, 1, (const uint32_t[]){2});
  for (uint32_t k = 0; k < net->n_nodes; k++) net->node[k].layer = 0;
  assert_true(qv_net_add_out(net, &(qv_port){.tensor = z, .end = QV_END_INT, .name = "z"}));
  assert_int_equal(qv_ir_check(net, NULL), QV_OK);
  return net;
}

static void pairs_of_values(void **state) {
  (void)state;
  /* v/4: RQ_D and RQ_S differ on some negative sums only */
  for (int k = 0; k < 4; k++) {
    int64_t hi = k < 2 ? 7 : -8; /* one value: nothing to differ on but -16 */
    bool twice = k % 2 == 1;
    qv_net *a = adds(QV_RQ_D, twice, hi), *b = adds(QV_RQ_S, twice, hi);
    truth t = by_force(a, b);
    qv_diff d;
    const qv_diff_opts o = {.no_search = true, .no_enumeration = true};
    uint64_t n = 0;
    for (int64_t x = -8; x <= hi; x++)
      for (int64_t y = twice ? x : -8; y <= (twice ? x : hi); y++)
        n += qv_step_eval(&a->node[1].u.step, 0, x + y) != qv_step_eval(&b->node[1].u.step, 0, x + y);
    assert_int_equal(qv_diff_run(&d, a, b, &o, NULL), QV_OK);
    assert_int_equal(d.verdict, t.equal ? QV_VERIFIED : QV_FALSIFIED);
    assert_int_equal((uint64_t)d.node[0].differ, n);
    qv_diff_clear(&d);
    qv_net_free(a);
    qv_net_free(b);
  }
}

/* Equal integers behind different float ends are no proof about the model. */
static void ends_that_differ(void **state) {
  (void)state;
  qv_net *a = adds(QV_RQ_D, false, 7), *b = adds(QV_RQ_D, false, 7);
  qv_diff d;
  assert_int_equal(qv_diff_run(&d, a, b, NULL, NULL), QV_OK);
  assert_int_equal(d.verdict, QV_VERIFIED);
  assert_int_equal(d.engine, QV_DIFF_BY_NODES);
  qv_diff_clear(&d);
  b->in[0].end = QV_END_QUANT_AWAY;
  assert_int_equal(qv_diff_run(&d, a, b, NULL, NULL), QV_OK);
  assert_int_equal(d.verdict, QV_UNKNOWN);
  assert_non_null(d.reason);
  qv_diff_clear(&d);
  b->tensor[b->in[0].tensor].hi = 6;
  qv_err err = {0};
  assert_int_equal(qv_diff_run(&d, a, b, NULL, &err), QV_E_UNSUP);
  qv_diff_clear(&d);
  qv_net_free(a);
  qv_net_free(b);
}

/* The same net twice, with an accumulator that can leave its 8 bits. A result that is undefined, or depends on an order nobody
 * knows, is not equal to itself. */
static void undefined_is_not_equal(void **state) {
  (void)state;
  static const int32_t w[2] = {20, -20};
  static const struct {
    qv_acc acc;
    qv_verdict want;
  } c[] = {
      {{.mode = QV_ACC_TRAP, .bits = 8}, QV_UNKNOWN},
      {{.mode = QV_ACC_TRAP, .bits = 12}, QV_VERIFIED},
      {{.mode = QV_ACC_SAT, .bits = 8, .order = QV_ORDER_ANY}, QV_UNKNOWN},
      {{.mode = QV_ACC_SAT, .bits = 8}, QV_VERIFIED},
      {{.mode = QV_ACC_WRAP, .bits = 8, .order = QV_ORDER_ANY}, QV_VERIFIED},
  };
  for (size_t k = 0; k < sizeof c / sizeof *c; k++) {
    qv_net *net[2];
    for (int n = 0; n < 2; n++) {
      net[n] = rn_new();
      uint32_t x = rn_input(net[n], QV_I8, 0, 15, 2, (const uint32_t[]){1, 2});
      uint32_t y = rn_affine(net[n], x, (rn_affine_arg){.win = rn_dense(2, 1), .w = w, .b = (const int64_t[]){0}, .acc = c[k].acc});
      assert_true(qv_net_add_out(net[n], &(qv_port){.tensor = y, .end = QV_END_INT, .name = "y"}));
      assert_int_equal(qv_ir_check(net[n], NULL), QV_OK);
    }
    qv_diff d;
    assert_int_equal(qv_diff_run(&d, net[0], net[1], &(qv_diff_opts){.no_enumeration = true, .inputs = 100}, NULL), QV_OK);
    if (d.verdict != c[k].want) fail_msg("accumulator %zu: %s", k, qv_verdict_name(d.verdict));
    qv_diff_clear(&d);
    qv_net_free(net[0]);
    qv_net_free(net[1]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reach),     cmocka_unit_test(reach_wide),      cmocka_unit_test(counts),          cmocka_unit_test(closed_form),
      cmocka_unit_test(mutants),   cmocka_unit_test(one_layer),       cmocka_unit_test(saturating_pairs), cmocka_unit_test(pairs_of_values),
      cmocka_unit_test(ends_that_differ), cmocka_unit_test(undefined_is_not_equal), cmocka_unit_test(shifted_operands), cmocka_unit_test(wrapped_sums),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
