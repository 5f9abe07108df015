/* Robustness engines against plain enumeration with the reference kernels: never a wrong VERIFIED or FALSIFIED, on random nets
 * of every kind and on small fixed-point nets with many ties; planted counterexamples; published verdicts on MNIST. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "analysis/overflow.h"
#include "analysis/robust.h"
#include "frontend/array.h"
#include "frontend/load.h"
#include "kernels/ref.h"
#include "tests/gen.h"
#include "tests/robust_trial.h"

static int effort(int n) {
  const char *e = getenv("QV_TEST_MULT");
  double k = e != NULL ? atof(e) : 1.0;
  return (int)(n * (k > 0 ? k : 1.0)) + 1;
}

/* The verdict must be true; a counterexample must replay inside the box. */
static void check_verdict(rt_trial *t, const qv_robust_result *res, const char *what, uint64_t seed) {
  if (res->verdict == QV_VERIFIED && (t->violated || t->trapped)) fail_msg("seed %llu, %s: wrong VERIFIED", (unsigned long long)seed, what);
  if (res->verdict != QV_FALSIFIED) return;
  if (!t->violated) fail_msg("seed %llu, %s: wrong FALSIFIED", (unsigned long long)seed, what);
  for (uint32_t i = 0; i < t->net->n_in; i++)
    for (size_t e = 0; e < qv_elems(&t->net->tensor[t->net->in[i].tensor]); e++) {
      assert_true(res->input[i][e] >= t->box[i][e].lo && res->input[i][e] <= t->box[i][e].hi);
      t->v.v[t->net->in[i].tensor][e] = res->input[i][e];
    }
  assert_int_equal(rt_run(t), 1);
}

/* Follow a point (values in t->v after a run) to its leaf: branching must have closed all of them. */
static void check_tree(const rt_trial *t, const qv_graph *g, const qv_bnb *b, const int64_t *x) {
  uint32_t k = 0;
  (void)t;
  while (b->node[k].leaf == QV_LEAF_INNER) {
    uint32_t c = k + 1, hits = 0, to = 0;
    for (; c < b->n; c++) {
      const qv_bnb_node *n = &b->node[c];
      if (n->parent != k) continue;
      int64_t v = n->kind == QV_SPLIT_ACC_LE || n->kind == QV_SPLIT_ACC_GE ? qv_unit_sum(g, n->var, x) : x[n->var];
      bool le = n->kind == QV_SPLIT_ACC_LE || n->kind == QV_SPLIT_VAL_LE;
      if (le ? v <= n->at : v >= n->at) hits++, to = c;
    }
    assert_int_equal(hits, 1); /* children split the box in two */
    k = to;
  }
  assert_true(b->node[k].leaf == QV_LEAF_DUAL || b->node[k].leaf == QV_LEAF_EMPTY || b->node[k].leaf == QV_LEAF_POINTS);
}

/* All variables of the graph at the input in t->v. */
static void values_of(const rt_trial *t, const qv_graph *g, int64_t *x) {
  for (uint32_t v = 0; v < g->n; v++) x[v] = t->v.v[g->unit[v].tensor][g->unit[v].el];
}

/* Bounds of the box in d: declared ranges, then intervals. */
static void root_bounds(const rt_trial *t, const qv_graph *g, qv_dual *d) {
  qv_err err = {0};
  for (uint32_t v = 0; v < g->n; v++) {
    const qv_tensor *y = &t->net->tensor[g->unit[v].tensor];
    d->lo[v] = y->lo;
    d->hi[v] = y->hi;
    if (v < g->n_in) continue;
    const qv_tensor *a = !qv_unit_function(g, v) ? y : &t->net->tensor[t->net->node[g->unit[v].node].in[0]];
    d->acc[v] = (qv_itv){a->lo, a->hi};
  }
  for (uint32_t i = 0; i < t->net->n_in; i++)
    for (size_t e = 0; e < qv_elems(&t->net->tensor[t->net->in[i].tensor]); e++) {
      d->lo[g->in_first[i] + e] = t->box[i][e].lo;
      d->hi[g->in_first[i] + e] = t->box[i][e].hi;
    }
  bool empty;
  qv_bounds_propagate(g, d->lo, d->hi, d->acc, &empty);
  assert_false(empty);
  assert_int_equal(qv_dual_refresh(d, 0, &err), QV_OK);
}

static int32_t *multipliers(const qv_graph *g, uint32_t n, const uint32_t *var, const int32_t *s) {
  int32_t *is = calloc(g->n, sizeof *is);
  for (uint32_t i = 0; i < n; i++) is[var[i]] = s[i];
  return is;
}

/* Intersect accumulator v with `a` by definition; the value's range from every point of the interval. */
static bool cut(const qv_graph *g, qv_dual *d, uint32_t v, qv_itv a) {
  d->acc[v] = (qv_itv){qv_max64(d->acc[v].lo, a.lo), qv_min64(d->acc[v].hi, a.hi)};
  if (d->acc[v].lo > d->acc[v].hi) return false;
  qv_itv y = {INT64_MAX, INT64_MIN};
  bool all = d->acc[v].hi - d->acc[v].lo < 100000;
  for (int64_t x = d->acc[v].lo; all && x <= d->acc[v].hi; x++) {
    int64_t f = qv_unit_eval(g, v, x);
    y = (qv_itv){qv_min64(y.lo, f), qv_max64(y.hi, f)};
  }
  if (!all) y = qv_unit_image(g, v, d->acc[v]);
  d->lo[v] = qv_max64(d->lo[v], y.lo);
  d->hi[v] = qv_min64(d->hi[v], y.hi);
  return d->lo[v] <= d->hi[v];
}

/* Joint minima of a target's leaves, for the bounds of the root in d. */
static qv_joint *at_root(const qv_graph *g, qv_dual *d, const qv_robust_result *res, const qv_robust_target *target) {
  qv_err err = {0};
  qv_joint *j = NULL;
  bool empty;
  qv_bounds_propagate(g, d->lo, d->hi, d->acc, &empty);
  if (target->joint > 0) {
    assert_true(res->n_joint > 0 && !empty);
    assert_int_equal(qv_joint_new(&j, g, d->lo, d->hi, d->acc, target->joint, SIZE_MAX, &err), QV_OK);
    assert_non_null(j);
  }
  assert_int_equal(qv_dual_join(d, j, &err), QV_OK);
  return j;
}

/* Derive every closed leaf again from what the result says of it: splits, multipliers, bounds at the root. */
static void check_leaves(const rt_trial *t, const qv_graph *g, const qv_robust_result *res) {
  qv_err err = {0};
  qv_dual *d;
  assert_int_equal(qv_dual_new(&d, g, &err), QV_OK);
  for (uint32_t i = 0; i < res->n_target; i++) {
    const qv_bnb *b = &res->target[i].tree;
    for (uint32_t k = 0; k < b->n; k++) {
      if (b->node[k].leaf == QV_LEAF_INNER || b->node[k].leaf == QV_LEAF_POINTS) continue; /* (points: the trial's own enumeration) */
      qv_goal goal = res->target[i].goal;
      bool empty, ok = true;
      assert_int_equal(qv_dual_join(d, NULL, &err), QV_OK);
      root_bounds(t, g, d);
      for (uint32_t j = 0; j < res->n_bound; j++) {
        const qv_robust_bound *u = &res->bound[j];
        ok = ok && cut(g, d, u->unit, u->sign > 0 ? (qv_itv){u->bound, INT64_MAX} : (qv_itv){INT64_MIN, u->bound});
      }
      qv_joint *joint = at_root(g, d, res, &res->target[i]);
      for (uint32_t j = k; j != 0; j = b->node[j].parent) {
        const qv_bnb_node *n = &b->node[j];
        bool le = n->kind == QV_SPLIT_ACC_LE || n->kind == QV_SPLIT_VAL_LE;
        qv_itv a = le ? (qv_itv){INT64_MIN, n->at} : (qv_itv){n->at, INT64_MAX};
        if (n->kind == QV_SPLIT_ACC_LE || n->kind == QV_SPLIT_ACC_GE) {
          ok = ok && cut(g, d, n->var, a);
        } else {
          d->lo[n->var] = qv_max64(d->lo[n->var], a.lo);
          d->hi[n->var] = qv_min64(d->hi[n->var], a.hi);
          ok = ok && d->lo[n->var] <= d->hi[n->var];
        }
      }
      qv_bounds_propagate(g, d->lo, d->hi, d->acc, &empty);
      ok = ok && !empty && (goal.kind != QV_GOAL_PAIR || qv_dual_levels(d, &goal, &goal.t0, &goal.t1));
      if (b->node[k].leaf == QV_LEAF_EMPTY) {
        assert_false(ok);
        qv_joint_free(joint);
        continue;
      }
      assert_int_equal(b->node[k].leaf, QV_LEAF_DUAL);
      if (!ok) {
        qv_joint_free(joint);
        continue;
      }
      assert_int_equal(qv_dual_refresh(d, 0, &err), QV_OK);
      assert_true(qv_dual_goal(d, &goal));
      int32_t *is = multipliers(g, b->node[k].n, b->node[k].var_s, b->node[k].s);
      qv_i128 bound;
      assert_true(qv_dual_exact(&bound, d, &goal, is, b->node[k].root, b->node[k].scale) && bound > 0);
      qv_joint_free(joint);
      free(is);
    }
  }
  qv_dual_free(d);
}

static void check_evidence(rt_trial *t, const qv_graph *g, const qv_robust_result *res) {
  int64_t *x = calloc(g->n, sizeof *x);
  rt_first(t);
  do {
    if (rt_run(t) < 0) continue;
    values_of(t, g, x);
    for (uint32_t i = 0; i < res->n_target; i++)
      if (res->target[i].tree.n > 0) check_tree(t, g, &res->target[i].tree, x);
    for (uint32_t i = 0; i < res->n_bound; i++) {
      int64_t a = qv_unit_sum(g, res->bound[i].unit, x);
      assert_true(res->bound[i].sign > 0 ? a >= res->bound[i].bound : a <= res->bound[i].bound);
    }
  } while (rt_next(t));
  free(x);
  if (!g->any_free) check_leaves(t, g, res);
}

typedef struct {
  const char *name;
  qv_robust_opts o;
  bool complete; /* decides every box of these tests if nothing is free and nothing traps */
} engine;

static const engine engines[] = {
    {"all", {.evidence = true}, true},
    {"interval", {.no_attack = true, .no_enumeration = true, .no_linear = true, .no_branching = true}, false},
    {"attack", {.no_interval = true, .no_enumeration = true, .no_linear = true, .no_branching = true}, false},
    {"enumeration", {.no_interval = true, .no_attack = true, .no_linear = true, .no_branching = true}, true},
    {"linear", {.no_interval = true, .no_attack = true, .no_enumeration = true, .no_branching = true, .evidence = true}, false},
    {"branching", {.no_interval = true, .no_attack = true, .no_enumeration = true, .no_linear = true, .no_points = true, .evidence = true}, true},
    {"no enumeration", {.no_enumeration = true, .no_points = true, .evidence = true}, true},
    {"small leaves", {.no_interval = true, .no_attack = true, .no_enumeration = true, .no_linear = true, .leaf_points = 1, .evidence = true}, true},
    {"leaves", {.no_attack = true, .no_enumeration = true, .leaf_points = 7, .threads = 2, .evidence = true}, true},
};
#define N_ENGINES (sizeof engines / sizeof engines[0])

static int decided[N_ENGINES][QV_VERIFIED + 1], by[QV_BY_BRANCHING + 1];

/* Can outputs depend on the order of summation? Then points prove nothing. */
static bool unordered(const qv_net *net) {
  for (uint32_t i = 0; i < net->n_nodes; i++) {
    const qv_acc *a = qv_node_acc(&net->node[i]);
    if (a != NULL && a->order == QV_ORDER_ANY && a->mode != QV_ACC_EXACT && a->mode != QV_ACC_WRAP) return true;
  }
  return false;
}

/* May an execution be undefined? Then only a complete enumeration proves anything. */
static bool may_trap(const qv_net *net) {
  for (uint32_t i = 0; i < net->n_nodes; i++) {
    const qv_acc *a = qv_node_acc(&net->node[i]);
    if (a != NULL && a->mode == QV_ACC_TRAP) return true;
  }
  return false;
}

static void check_trial(rt_trial *t, uint64_t seed) {
  qv_err err = {0};
  qv_robust *r = NULL;
  if (qv_robust_new(&r, t->net, &err) != QV_OK) fail_msg("seed %llu: %s", (unsigned long long)seed, err.msg);
  const qv_graph *g = qv_robust_graph(r);
  for (size_t k = 0; k < N_ENGINES; k++) {
    qv_robust_result res;
    qv_robust_opts o = engines[k].o;
    o.seed = seed;
    o.max_nodes = 3000;
    if (qv_robust_run(&res, r, &t->q, &o, &err) != QV_OK) fail_msg("seed %llu, %s: %s", (unsigned long long)seed, engines[k].name, err.msg);
    check_verdict(t, &res, engines[k].name, seed);
    bool branching = o.no_enumeration;
    bool expected = engines[k].complete && !t->trapped && res.n_target > 0 && !unordered(t->net) && !(branching && (o.no_points ? g->any_free : res.logits || may_trap(t->net)));
    if (expected && res.verdict == QV_UNKNOWN && res.nodes + 2 < o.max_nodes)
      fail_msg("seed %llu, %s: undecided: %s (logits %d, nodes %u)", (unsigned long long)seed, engines[k].name, res.reason, res.logits, res.nodes);
    if (o.evidence && res.verdict == QV_VERIFIED) check_evidence(t, g, &res);
    decided[k][res.verdict]++;
    by[res.engine]++;
    qv_robust_clear(&res);
  }
  qv_robust_free(r);
}

static void print_counts(const char *what) {
  printf("%s:\n", what);
  for (size_t k = 0; k < N_ENGINES; k++)
    printf("  %-14s verified %d, falsified %d, unknown %d\n", engines[k].name, decided[k][QV_VERIFIED], decided[k][QV_FALSIFIED],
           decided[k][QV_UNKNOWN]);
  memset(decided, 0, sizeof decided);
}

static void random_nets(void **state) {
  (void)state;
  for (int it = 0; it < effort(700); it++) {
    uint64_t seed = 700000 + (uint64_t)it;
    qv_rng r = {seed};
    qv_net *net = gen_net(&r, &(gen_opts){.max_in = 4, .in_bits = 1 + (uint32_t)it % 3, .max_nodes = 6, .max_elems = 24, .max_k = 30});
    assert_non_null(net);
    rt_trial t;
    if (rt_make(&t, net, &r)) check_trial(&t, seed);
    rt_clear(&t);
  }
  print_counts("random nets of every kind");
}

/* ---- small fixed-point nets: ties and saturation everywhere --------------------------------------------------------------- */

static void fixed_point_nets(void **state) {
  (void)state;
  for (int it = 0; it < effort(700); it++) {
    uint64_t seed = 800000 + (uint64_t)it;
    qv_rng r = {seed};
    rt_trial t;
    if (rt_make(&t, rt_fixed_net(&r, it % 2 == 1), &r)) check_trial(&t, seed);
    rt_clear(&t);
  }
  print_counts("fixed-point nets");
  for (int e = 1; e <= QV_BY_BRANCHING; e++) {
    printf("  decided by %s: %d\n", qv_robust_engine_name((qv_robust_engine)e), by[e]);
    assert_true(by[e] > 0); /* otherwise this test shows nothing about it */
  }
}

/* ---- multipliers: any integers at all give a true bound --------------------------------------------------------------------- */

/* Smallest value of the goal's own expression at the point x, at scale 2^scale. */
static qv_i128 goal_at(const qv_goal *goal, const qv_dual *d, const int64_t *x, const int32_t *root, int scale, bool *counts) {
  const qv_graph *g = d->g;
  qv_i128 s = 0, one = (qv_i128)1 << scale;
  *counts = true;
  switch (goal->kind) {
  case QV_GOAL_SUM:
    for (uint32_t k = 0; k < goal->n_part; k++) {
      s -= (qv_i128)root[k] * goal->part[k].d;
      for (uint32_t i = 0; i < goal->part[k].n; i++) s += (qv_i128)root[k] * goal->part[k].c[i] * x[goal->part[k].var[i]];
    }
    return s;
  case QV_GOAL_UNIT: return one * goal->sign * qv_unit_sum(g, goal->y, x);
  case QV_GOAL_PAIR: break;
  }
  /* a violating point makes some pair's expression non-positive: the bound must not be positive then */
  *counts = x[goal->j] >= x[goal->y] + goal->gap;
  return 0;
}

/* The least value of a group's sum at all its points, from the rows and functions; 2 if some points are left out, else 1. */
static int check_group(const qv_graph *g, const qv_dual *d, const qv_joint_group *k, const qv_joint *joint, qv_rng *r) {
  qv_arena a = {0};
  qv_joint_room room;
  int64_t *x = calloc(g->n, sizeof *x), *m = calloc(k->n, sizeof *m);
  int32_t *s = calloc(k->n, sizeof *s);
  double *md = calloc(g->n, sizeof *md), *sd = calloc(g->n, sizeof *sd), *at_acc = calloc(g->n, sizeof *at_acc);
  float *at_y = calloc(g->n, sizeof *at_y);
  uint64_t points = 0, left_out = 0;
  bool none = true;
  qv_i128 least = 0, got;
  assert_true(qv_joint_room_for(&room, joint, &a));
  for (uint32_t c = 0; c < k->n; c++) {
    md[k->unit + c] = (double)(m[c] = qv_rng_range(r, -2000, 2000));
    sd[k->unit + c] = s[c] = (int32_t)qv_rng_range(r, -300, 300);
  }
  memcpy(x, d->lo, g->n * sizeof *x);
  for (bool more = true; more; points++) {
    qv_i128 sum = 0;
    bool in = true; /* every accumulator that counts is inside its bounds */
    for (uint32_t c = 0; c < k->n; c++) {
      int64_t acc = qv_unit_sum(g, k->unit + c, x);
      in &= (acc >= d->acc[k->unit + c].lo && acc <= d->acc[k->unit + c].hi) || (m[c] == 0 && s[c] == 0);
      sum += (qv_i128)m[c] * qv_unit_eval(g, k->unit + c, acc) - (qv_i128)s[c] * acc;
    }
    if (in && (none || sum < least)) least = sum;
    none &= !in;
    left_out += !in;
    more = false;
    for (uint32_t i = 0; !more && i < k->n_var; i++) {
      uint32_t v = k->var[i];
      more = x[v] < d->hi[v];
      x[v] = more ? x[v] + 1 : d->lo[v];
    }
  }
  assert_true(points == k->points);
  assert_true(qv_joint_exact(&got, k, m, s, &room) && got == least);
  if (none) goto done;
  double about = qv_joint_least(k, md, sd, at_acc, at_y, &room), there = 0;
  for (uint32_t c = 0; c < k->n; c++) there += (double)m[c] * (double)at_y[k->unit + c] - (double)s[c] * at_acc[k->unit + c];
  assert_true(about - (double)least < 1 + 1e-5 * fabs(about) && about - (double)least > -1 - 1e-5 * fabs(about));
  assert_true(there - about < 1 + 1e-4 * fabs(about) && there - about > -1 - 1e-4 * fabs(about));
done:
  qv_arena_clear(&a);
  free(x);
  free(m);
  free(s);
  free(md);
  free(sd);
  free(at_acc);
  free(at_y);
  return left_out > 0 ? 2 : 1;
}

/* What the accumulator of v really takes on the box. */
static qv_itv around(rt_trial *t, const qv_graph *g, const qv_dual *d, uint32_t v) {
  qv_itv a = {INT64_MAX, INT64_MIN};
  int64_t *x = calloc(g->n, sizeof *x);
  rt_first(t);
  do {
    if (rt_run(t) < 0) continue;
    values_of(t, g, x);
    int64_t acc = qv_unit_sum(g, v, x);
    a = qv_itv_hull(a, (qv_itv){acc, acc});
  } while (rt_next(t));
  free(x);
  return a.lo > a.hi ? d->acc[v] : a;
}

static void any_multipliers(void **state) {
  (void)state;
  int bounds = 0, violating = 0, groups = 0, better = 0, cuts = 0;
  for (int it = 0; it < effort(400); it++) {
    uint64_t seed = 900000 + (uint64_t)it;
    qv_rng r = {seed};
    qv_err err = {0};
    qv_net *net = it % 2 == 0 ? rt_fixed_net(&r, false)
                              : gen_net(&r, &(gen_opts){.max_in = 3, .in_bits = 3, .max_nodes = 5, .max_elems = 16, .max_k = 20});
    rt_trial t;
    if (!rt_make(&t, net, &r) || t.trapped) {
      rt_clear(&t);
      continue;
    }
    qv_graph *g;
    qv_dual *d;
    assert_int_equal(qv_graph_new(&g, net, 0, &err), QV_OK);
    assert_int_equal(qv_dual_new(&d, g, &err), QV_OK);
    root_bounds(&t, g, d);
    qv_joint *joint = NULL;
    for (uint32_t v = g->n_in; it % 4 > 1 && v < g->n; v++) /* as if bounds had been proved */
      if (qv_unit_function(g, v) && g->unit[v].src != QV_NONE && d->acc[v].hi - d->acc[v].lo > 8) assert_true(cut(g, d, v, around(&t, g, d, v)));
    if (it % 4 != 0) assert_int_equal(qv_joint_new(&joint, g, d->lo, d->hi, d->acc, (uint64_t)qv_rng_range(&r, 2, 600), 1 << 20, &err), QV_OK);
    assert_int_equal(qv_dual_join(d, joint, &err), QV_OK);
    assert_int_equal(qv_dual_refresh(d, 0, &err), QV_OK);
    for (uint32_t k = 0; joint != NULL && k < joint->n; k++, groups++) cuts += check_group(g, d, &joint->group[k], joint, &r) == 2;
    qv_goal goals[3];
    uint32_t n = 0, units = 0, unit[64], o = net->out[t.cond.out].tensor;
    for (uint32_t v = g->n_in; v < g->n && units < 64; v++)
      if (g->unit[v].fn != QV_UNIT_FREE && !qv_unit_of_taps(g, v)) unit[units++] = v;
    uint32_t var[2] = {(uint32_t)qv_rng_range(&r, 0, g->n - 1), (uint32_t)qv_rng_range(&r, 0, g->n - 1)};
    for (int k = 0; k < 2; k++) /* a tap is read by its owner alone */
      if (var[k] >= g->n_in && g->unit[var[k]].fn == QV_UNIT_TAP) var[k] = g->unit[var[k]].owner;
    const int64_t c[2] = {qv_rng_range(&r, -5, 5), qv_rng_range(&r, -5, 5)};
    const qv_goal_part part[2] = {{.n = 2, .var = var, .c = c, .d = qv_rng_range(&r, -9, 9)}, {.n = 1, .var = var, .c = c + 1, .d = 3}};
    goals[n++] = (qv_goal){.kind = QV_GOAL_SUM, .n_part = (uint32_t)qv_rng_range(&r, 1, 2), .part = part};
    if (units > 0)
      goals[n++] = (qv_goal){.kind = QV_GOAL_UNIT, .y = unit[qv_rng_range(&r, 0, units - 1)], .sign = qv_rng_next(&r) & 1 ? 1 : -1};
    size_t n_o = qv_elems(&net->tensor[o]);
    uint32_t y = g->element[o][qv_rng_range(&r, 0, (int64_t)n_o - 1)].var, j = g->element[o][qv_rng_range(&r, 0, (int64_t)n_o - 1)].var;
    if (qv_dual_can_pair(g, y, j)) {
      qv_goal p = {.kind = QV_GOAL_PAIR, .y = y, .j = j, .gap = qv_rng_range(&r, -2, 1)};
      if (qv_dual_levels(d, &p, &p.t0, &p.t1)) goals[n++] = p;
    }
    int64_t *x = calloc(g->n, sizeof *x);
    int32_t *is = calloc(g->n, sizeof *is);
    for (uint32_t k = 0; k < n; k++)
      for (int tries = 0; tries < 6; tries++) {
        int scale = 8;
        int32_t root[2] = {(int32_t)qv_rng_range(&r, 0, 600), (int32_t)qv_rng_range(&r, 0, 600)};
        assert_true(qv_dual_goal(d, &goals[k]));
        assert_int_equal(qv_dual_begin(d, &goals[k], &err), QV_OK);
        if (tries == 0) { /* the searched ones */
          qv_dual_default(d, &goals[k]);
          (void)qv_dual_climb(d, &goals[k], 20, 1e9);
          qv_dual_round(d, &goals[k], is, root, &scale);
        } else {
          for (uint32_t v = g->n_in; v < g->n; v++)
            is[v] = g->unit[v].fn == QV_UNIT_FREE ? 0 : (int32_t)(qv_rng_next(&r) & 1 ? qv_rng_range(&r, -300, 300) : 0);
        }
        qv_i128 bound;
        if (!qv_dual_exact(&bound, d, &goals[k], is, root, scale)) continue;
        bounds++;
        if (joint != NULL) { /* together never less than alone */
          qv_i128 alone;
          d->joint_most = 0;
          assert_true(qv_dual_exact(&alone, d, &goals[k], is, root, scale) && alone <= bound);
          d->joint_most = joint->limit;
          better += alone < bound;
        }
        rt_first(&t);
        do {
          bool counts;
          (void)rt_run(&t);
          values_of(&t, g, x);
          qv_i128 at = goal_at(&goals[k], d, x, root, scale, &counts);
          if (goals[k].kind == QV_GOAL_PAIR) violating += counts;
          if (counts && bound > at) fail_msg("seed %llu: bound above the value", (unsigned long long)seed);
        } while (rt_next(&t));
      }
    free(x);
    free(is);
    qv_dual_free(d);
    qv_joint_free(joint);
    qv_graph_free(g);
    rt_clear(&t);
  }
  printf("%d bounds, %d violating points under pair bounds; %d joint groups (%d with points left out), %d bounds better by "
         "them\n",
         bounds, violating, groups, cuts, better);
  assert_true(bounds > 100 && violating > 100 && groups > effort(60) && cuts >= effort(4) && better > effort(100));
}

/* ---- planted counterexamples ------------------------------------------------------------------------------------------------ */

/* Class 1 wins at exactly one corner of {0..2}^n: all inputs but the marked ones at 2, the marked ones at 0. */
static void planted(void **state) {
  (void)state;
  for (int it = 0; it < effort(40); it++) {
    qv_rng r = {4200 + (uint64_t)it};
    int n = (int)qv_rng_range(&r, 3, 8), top = 0;
    char text[2048];
    int w[8];
    size_t m = (size_t)sprintf(text, "name p\ninput %d 0 2\nlayers 2\nlayer %d 2 shift 1 clamp 0 255\n", n, n);
    for (int i = 0; i < n; i++) {
      w[i] = qv_rng_next(&r) & 1 ? 2 : -2;
      top += w[i] > 0 ? 2 * w[i] : 0;
    }
    /* hidden unit 0: 1 at the corner only, 0 elsewhere (a step of one input costs 2) */
    m += (size_t)sprintf(text + m, "bias %d 0\n", 2 - top);
    for (int i = 0; i < n; i++) m += (size_t)sprintf(text + m, "%d 0\n", w[i]);
    sprintf(text + m, "layer 2 2 shift 1 clamp -8 7\nbias 4 4\n-4 4\n0 0\n");
    qv_net *net = rt_text(text);
    qv_robust *rob;
    qv_err err = {0};
    assert_int_equal(qv_robust_new(&rob, net, &err), QV_OK);
    qv_itv box[8];
    int64_t point[8];
    for (int i = 0; i < n; i++) box[i] = (qv_itv){0, 2}, point[i] = 1;
    const qv_itv *boxes[1] = {box};
    const int64_t *points[1] = {point};
    const qv_condition cond = {.kind = QV_KEEP_FIRST, .cls = 0};
    qv_robust_query q = {.box = boxes, .point = points, .cond = &cond};
    for (size_t k = 0; k < N_ENGINES; k++) {
      qv_robust_result res;
      if (!engines[k].complete) continue;
      assert_int_equal(qv_robust_run(&res, rob, &q, &engines[k].o, &err), QV_OK);
      assert_int_equal(res.verdict, QV_FALSIFIED);
      for (int i = 0; i < n; i++) assert_int_equal(res.input[0][i], w[i] > 0 ? 2 : 0);
      assert_int_equal(res.violated, 1);
      qv_robust_clear(&res);
    }
    /* without that corner nothing is left */
    int cut = (int)qv_rng_range(&r, 0, n - 1);
    box[cut] = w[cut] > 0 ? (qv_itv){0, 1} : (qv_itv){1, 2};
    for (size_t k = 0; k < N_ENGINES; k++) {
      qv_robust_result res;
      if (!engines[k].complete) continue;
      assert_int_equal(qv_robust_run(&res, rob, &q, &engines[k].o, &err), QV_OK);
      assert_int_equal(res.verdict, QV_VERIFIED);
      qv_robust_clear(&res);
    }
    qv_robust_free(rob);
    qv_net_free(net);
  }
}

static void bad_queries(void **state) {
  (void)state;
  qv_net *net = rt_text("name t\ninput 2 0 7\nlayers 1\nlayer 2 2 shift 1 clamp -8 7\nbias 0 0\n1 0\n0 1\n");
  qv_err err = {0};
  qv_robust *r;
  assert_int_equal(qv_robust_new(&r, net, &err), QV_OK);
  qv_itv good[2] = {{0, 7}, {3, 3}}, wide[2] = {{0, 8}, {0, 0}}, empty[2] = {{0, 7}, {3, 2}};
  const qv_itv *box[3] = {good, wide, empty};
  const qv_out_term beyond = {0, 2, 1}, zero = {0, 1, 0}, twice[2] = {{0, 1, 1}, {0, 1, 1}};
  const qv_ineq ineq[] = {{.n = 1, .term = &beyond}, {.n = 1, .term = &zero}, {.n = 2, .term = twice}, {.n = 0}};
  const qv_violation one[] = {{1, &ineq[0]}, {1, &ineq[1]}, {1, &ineq[2]}, {1, &ineq[3]}, {0, NULL}};
  const qv_condition keep = {.cls = 0}, cls = {.cls = 2}, out = {.out = 1}, none = {.kind = QV_AVOID};
  qv_condition avoid[5];
  for (int i = 0; i < 5; i++) avoid[i] = (qv_condition){.kind = QV_AVOID, .n = 1, .bad = &one[i]};
  const int64_t far[2] = {8, 0}, *const points[1] = {far};
  const qv_robust_query bad[] = {{.box = &box[1], .cond = &keep},
                                 {.box = &box[2], .cond = &keep},
                                 {.box = box, .cond = &cls},
                                 {.box = box, .cond = &out},
                                 {.box = box, .cond = &none},
                                 {.box = box, .cond = &avoid[0]},
                                 {.box = box, .cond = &avoid[1]},
                                 {.box = box, .cond = &avoid[2]},
                                 {.box = box, .cond = &avoid[3]},
                                 {.box = box, .cond = &avoid[4]},
                                 {.n_points = 1, .points = points, .cond = &keep}};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    qv_robust_result res;
    qv_err e = {0};
    assert_int_equal(qv_robust_run(&res, r, &bad[i], NULL, &e), QV_E_ARG);
    assert_int_equal(res.verdict, QV_UNKNOWN);
    qv_robust_clear(&res);
  }
  qv_robust_free(r);
  qv_net_free(net);
}

/* ---- MNIST against published verdicts ----------------------------------------------------------------------------------------- */

typedef struct {
  const char *net;
  size_t id;
  int eps, label;
  qv_verdict published;
} known;

/* AAAI'21 README and QVIP Table 2 (P1-6), and QVIP Table 3 (P1-4): decided by both or by the latter. 386 needs saturation. */
static const known cases[] = {
    {"P1-6", 0, 1, 7, QV_VERIFIED},    {"P1-6", 100, 2, 6, QV_VERIFIED}, {"P1-6", 200, 3, 3, QV_VERIFIED},
    {"P1-6", 386, 4, 6, QV_FALSIFIED}, {"P1-6", 307, 4, 7, QV_VERIFIED}, {"P1-6", 119, 2, 2, QV_VERIFIED},
};

static void mnist(void **state) {
  (void)state;
  const char *data = getenv("QV_DATA") != NULL ? getenv("QV_DATA") : "../shared/data";
  char path[4096];
  qv_array images = {0};
  qv_err err = {0};
  snprintf(path, sizeof path, "%s/data/mnist/t10k-images-idx3-ubyte.gz", data);
  if (qv_array_read(&images, path, &err) != QV_OK) {
    printf("SKIPPED: MNIST verdicts (%s)\n", err.msg);
    skip();
  }
  snprintf(path, sizeof path, "%s/verif/int_nets/P1-6.qtxt", data);
  qv_net *net = NULL;
  if (qv_load_model(&net, path, &(qv_load_opts){0}, &err) != QV_OK) fail_msg("%s", err.msg);
  qv_robust *rob;
  assert_int_equal(qv_robust_new(&rob, net, &err), QV_OK);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    qv_itv box[784];
    int64_t point[784];
    const unsigned char *img = (const unsigned char *)images.data + cases[i].id * 784;
    for (int e = 0; e < 784; e++) {
      point[e] = img[e];
      box[e] = (qv_itv){qv_max64(0, img[e] - cases[i].eps), qv_min64(255, img[e] + cases[i].eps)};
    }
    const qv_itv *boxes[1] = {box};
    const int64_t *points[1] = {point};
    const qv_condition cond = {.kind = QV_KEEP_FIRST, .cls = (uint32_t)cases[i].label};
    qv_robust_query q = {.box = boxes, .point = points, .cond = &cond};
    qv_robust_result res;
    assert_int_equal(qv_robust_run(&res, rob, &q, NULL, &err), QV_OK);
    printf("id %zu eps %d: %s by %s, %u nodes, %.3f s\n", cases[i].id, cases[i].eps, qv_verdict_name(res.verdict),
           qv_robust_engine_name(res.engine), res.nodes, res.seconds);
    assert_int_equal(res.verdict, cases[i].published);
    qv_robust_clear(&res);
  }
  qv_robust_free(rob);
  qv_net_free(net);
  qv_array_free(&images);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_nets), cmocka_unit_test(fixed_point_nets), cmocka_unit_test(any_multipliers),
      cmocka_unit_test(planted),     cmocka_unit_test(bad_queries),      cmocka_unit_test(mnist),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
