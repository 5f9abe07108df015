/* The exact encodings: tiny random nets, every input of the box executed by the reference. The definitions are evaluated at every
 * point; solvers are asked for an output at its true extreme (there is an input) and one beyond (there is none), so that an encoding
 * that is off by one anywhere near the extreme gives a wrong answer. Then the limits: nothing a solver does may outlast them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/ref.h"
#include "smt/milp.h"
#include "smt/smt.h"
#include "smt/z3.h"
#include "tests/gen.h"

static unsigned multiplier(void) {
  const char *s = getenv("QV_TEST_MULT");
  int m = s != NULL ? atoi(s) : 1;
  return m > 0 ? (unsigned)m : 1;
}

static bool chance(qv_rng *r, int percent) { return qv_rng_range(r, 0, 99) < percent; }

/* ---- definitions at a point -------------------------------------------------------------------------------------------- */

static qv_i128 lin_at(const qv_lin *l, const int64_t *v) {
  qv_i128 s = l->c;
  for (uint32_t i = 0; i < l->n; i++) s += (qv_i128)l->t[i].w * v[l->t[i].def];
  return s;
}

/* By the comments of smt/defs.h, with divisions written out. */
static int64_t def_at(const qv_def *f, const int64_t *v, int64_t *const *in) {
  switch (f->op) {
  case QV_DEF_INPUT: return in[f->u.input.port][f->u.input.el];
  case QV_DEF_LIN: return (int64_t)lin_at(&f->u.lin, v);
  case QV_DEF_FLOOR: {
    qv_i128 n = f->u.floor.a * v[f->x] + f->u.floor.b + (v[f->x] >= f->u.floor.from ? f->u.floor.jump : 0);
    qv_i128 q = n / f->u.floor.d;
    return (int64_t)(n - q * f->u.floor.d < 0 ? q - 1 : q);
  }
  case QV_DEF_CLAMP: return v[f->x] < f->u.clamp.lo ? f->u.clamp.lo : v[f->x] > f->u.clamp.hi ? f->u.clamp.hi : v[f->x];
  case QV_DEF_WRAP: {
    qv_i128 m = (qv_i128)1 << f->u.bits, r = v[f->x] % m;
    if (r < 0) r += m;
    return (int64_t)(r >= m / 2 ? r - m : r);
  }
  case QV_DEF_PIECES: {
    uint32_t k = 0;
    for (uint32_t i = 0; i < f->u.pieces.n; i++) k += f->u.pieces.at[i] <= v[f->x];
    return f->u.pieces.v[k];
  }
  case QV_DEF_MAX: return v[f->x] > v[f->y] ? v[f->x] : v[f->y];
  case QV_DEF_MUL: return v[f->x] * v[f->y];
  }
  return 0;
}

/* Does the goal hold at the input? Every value must lie in its interval. */
static bool goal_at(const qv_defs *d, int64_t *const *in, uint64_t seed) {
  int64_t *v = calloc((size_t)d->n + 1, sizeof *v);
  bool some = false;
  assert_non_null(v);
  for (uint32_t i = 0; i < d->n; i++) {
    const qv_def *f = &d->def[i];
    v[i] = def_at(f, v, in);
    if (v[i] < f->all.lo || v[i] > f->all.hi) fail_msg("seed %llu: definition %u (operation %d) leaves its interval", (unsigned long long)seed, i, (int)f->op);
  }
  for (uint32_t c = 0; c < d->n_case; c++) {
    bool every = true;
    for (uint32_t k = 0; k < d->gcase[c].n; k++) {
      qv_i128 s = lin_at(&d->gcase[c].ineq[k].lin, v);
      if (s < d->gcase[c].ineq[k].lo || s > d->gcase[c].ineq[k].hi) fail_msg("seed %llu: goal %u leaves its interval", (unsigned long long)seed, c);
      every = every && s >= 0;
    }
    some = some || every;
  }
  free(v);
  return some;
}

/* ---- a tiny question and its answer by enumeration ------------------------------------------------------------------------ */

typedef struct {
  qv_net *net;
  qv_property p;
  qv_values vals;
  qv_rng *r;
  uint64_t seed;
  size_t points;
  bool traps; /* some input of the box traps */
  /* condition under construction */
  qv_out_term term[3];
  qv_ineq ineq[2];
  qv_violation bad[2];
} tiny;

static void squeeze(qv_net *net, qv_rng *r) {
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    qv_node *n = &net->node[k];
    qv_acc *a = n->kind == QV_AFFINE ? &n->u.affine.acc : n->kind == QV_SUM ? &n->u.sum.acc : n->kind == QV_PRODUCT ? &n->u.product.acc : NULL;
    if (a == NULL || a->mode == QV_ACC_EXACT || chance(r, 30)) continue;
    qv_acc old = *a;
    a->bits = (uint8_t)qv_rng_range(r, 4, 16);
    if (chance(r, 70)) a->order = QV_ORDER_KERNEL;
    if (a->mode == QV_ACC_LANES) a->lane_bits = (uint8_t)qv_rng_range(r, 8, 12);
    if (qv_ir_check(net, NULL) != QV_OK) *a = old;
  }
  assert_int_equal(qv_ir_check(net, NULL), QV_OK);
}

static bool tiny_new(tiny *t, qv_rng *r, uint64_t seed) {
  gen_opts o = {.max_in = 4, .in_bits = 4, .max_nodes = 5, .max_elems = 12, .max_k = 24};
  for (int k = 0; k < QV_KINDS; k++)
    if (k != QV_OPAQUE && k != QV_TAIL) o.kinds |= 1u << k;
  o.layers = chance(r, 30);
  *t = (tiny){.r = r, .seed = seed, .points = 1};
  t->net = gen_net(r, &o);
  assert_non_null(t->net);
  if (!o.layers) squeeze(t->net, r);
  assert_int_equal(qv_property_whole(&t->p, t->net, 0, NULL), QV_OK);
  t->p.claim = QV_CLAIM_ROBUST;
  for (uint32_t i = 0; i < t->net->n_in; i++) {
    const qv_tensor *x = &t->net->tensor[t->net->in[i].tensor];
    size_t n = qv_elems(x);
    qv_prop_input *in = &t->p.in[i];
    in->n = n;
    in->itv = QV_NEW(&t->p.arena, n, qv_itv);
    assert_non_null(in->itv);
    for (size_t e = 0; e < n; e++) {
      int64_t lo = qv_rng_range(r, x->lo, x->hi), hi = qv_min64(x->hi, lo + qv_rng_range(r, 0, 7));
      in->itv[e] = (qv_itv){lo, hi};
      t->points *= (size_t)(hi - lo + 1);
    }
  }
  return qv_values_init(&t->vals, t->net, NULL) == QV_OK;
}

static void tiny_clear(tiny *t) {
  qv_values_clear(&t->vals);
  qv_property_clear(&t->p);
  qv_net_free(t->net);
}

/* Point number k of the box into the values. */
static void set_point(tiny *t, size_t k) {
  for (uint32_t i = 0; i < t->net->n_in; i++) {
    uint32_t x = t->net->in[i].tensor;
    for (size_t e = 0; e < qv_elems(&t->net->tensor[x]); e++) {
      qv_itv r = t->p.in[i].itv[e];
      t->vals.v[x][e] = r.lo + (int64_t)(k % (size_t)(r.hi - r.lo + 1));
      k /= (size_t)(r.hi - r.lo + 1);
    }
  }
}

/* c . outputs of the last execution, for an inequality. */
static int64_t ineq_at(const tiny *t, const qv_ineq *q) {
  int64_t s = 0;
  for (uint32_t i = 0; i < q->n; i++) s += q->term[i].c * t->vals.v[t->net->out[q->term[i].out].tensor][q->term[i].el];
  return s;
}

/* Extremes of an inequality's left side over the box. */
static void extremes(tiny *t, const qv_ineq *q, int64_t *lo, int64_t *hi) {
  *lo = INT64_MAX, *hi = INT64_MIN;
  for (size_t k = 0; k < t->points; k++) {
    set_point(t, k);
    if (qv_ref_run(t->net, &t->vals, NULL) != QV_OK) t->traps = true;
    else *lo = qv_min64(*lo, ineq_at(t, q)), *hi = qv_max64(*hi, ineq_at(t, q));
  }
}

/* One inequality over one or two random output elements. */
static void random_ineq(tiny *t) {
  uint32_t out = (uint32_t)qv_rng_range(t->r, 0, (int64_t)t->net->n_out - 1);
  size_t n = qv_elems(&t->net->tensor[t->net->out[out].tensor]);
  uint32_t a = (uint32_t)qv_rng_range(t->r, 0, (int64_t)n - 1);
  t->term[0] = (qv_out_term){out, a, chance(t->r, 50) ? 1 : -1};
  uint32_t m = 1;
  if (a + 1 < n && chance(t->r, 50)) t->term[m++] = (qv_out_term){out, (uint32_t)qv_rng_range(t->r, a + 1, (int64_t)n - 1), chance(t->r, 70) ? -t->term[0].c : 3};
  t->ineq[0] = (qv_ineq){m, t->term, 0};
  t->bad[0] = (qv_violation){1, t->ineq};
  t->p.cond = (qv_condition){.kind = QV_AVOID, .n = 1, .bad = t->bad};
}

/* A random condition of the KEEP kind, and what enumeration says of it. */
static bool keep_violated(tiny *t) {
  const int64_t *o[64];
  assert_true(t->net->n_out <= 64);
  for (uint32_t i = 0; i < t->net->n_out; i++) o[i] = t->vals.v[t->net->out[i].tensor];
  for (size_t k = 0; k < t->points; k++) {
    set_point(t, k);
    if (qv_ref_run(t->net, &t->vals, NULL) == QV_OK && qv_condition_violated(&t->p.cond, t->net, o) != QV_NONE) return true;
  }
  return false;
}

/* Does the definitions' goal hold exactly where the executed net violates the condition? Returns false if refused. */
static bool check_points(tiny *t) {
  qv_defs d = {0};
  qv_err err = {0};
  const int64_t *o[64];
  int64_t *in[8];
  assert_true(t->net->n_in <= 8 && t->net->n_out <= 64);
  qv_status st = qv_defs_build(&d, t->net, &t->p, NULL, 0, &err);
  if (st != QV_OK) {
    qv_defs_clear(&d);
    if (st != QV_E_UNSUP) fail_msg("seed %llu: %s", (unsigned long long)t->seed, err.msg);
    return false;
  }
  for (uint32_t i = 0; i < t->net->n_out; i++) o[i] = t->vals.v[t->net->out[i].tensor];
  for (uint32_t i = 0; i < t->net->n_in; i++) in[i] = t->vals.v[t->net->in[i].tensor];
  size_t step = t->points > 600 ? t->points / 300 : 1;
  for (size_t k = 0; k < t->points; k += step) {
    set_point(t, k);
    if (qv_ref_run(t->net, &t->vals, &err) != QV_OK) fail_msg("seed %llu: a trap was not refused: %s", (unsigned long long)t->seed, err.msg);
    bool want = qv_condition_violated(&t->p.cond, t->net, o) != QV_NONE;
    if (goal_at(&d, in, t->seed) != want) fail_msg("seed %llu: point %zu %s the condition, its definitions do not", (unsigned long long)t->seed, k, want ? "violates" : "keeps");
  }
  qv_defs_clear(&d);
  return true;
}

static void test_definitions(void **state) {
  (void)state;
  uint64_t base = 20261120;
  unsigned done = 0, refused = 0;
  for (uint64_t i = 0; i < 1500u * multiplier(); i++) {
    qv_rng r = {base + i};
    tiny t;
    assert_true(tiny_new(&t, &r, base + i));
    random_ineq(&t);
    int64_t lo, hi;
    if (t.points <= 600) {
      extremes(&t, &t.ineq[0], &lo, &hi);
      t.ineq[0].d = hi == INT64_MIN ? 0 : qv_rng_range(&r, lo, hi);
    }
    if (check_points(&t)) done++;
    else refused++;
    tiny_clear(&t);
  }
  print_message("definitions: %u nets at all their points, %u refused; seeds from %llu\n", done, refused, (unsigned long long)base);
  assert_true(done > 4 * refused);
}

/* ---- solvers ---------------------------------------------------------------------------------------------------------- */

typedef struct {
  qv_smt_engine engine;
  qv_smt_encoding encoding;
  unsigned percent; /* of the nets */
  bool missing;
  unsigned asked, refused, unknown;
} contestant;

static void ask(contestant *c, tiny *t, bool want, bool replayed_only) {
  qv_smt_opts o = {.engine = c->engine, .encoding = c->encoding, .seconds = 20, .bytes = (size_t)1 << 30};
  qv_smt_result r;
  qv_err err = {0};
  qv_status st = qv_smt_solve(&r, t->net, &t->p, &o, &err);
  if (st == QV_E_UNSUP && strstr(err.msg, "not installed") != NULL) c->missing = true;
  else if (st == QV_E_UNSUP) c->refused++;
  else if (st != QV_OK) fail_msg("seed %llu, %s: %s", (unsigned long long)t->seed, qv_smt_engine_name(c->engine), err.msg);
  else if (r.answer == QV_SMT_UNKNOWN) c->unknown++;
  else if ((r.answer == QV_SMT_SAT) != want && !(replayed_only && want)) /* a solver in doubles may miss an input, not invent one */
    fail_msg("seed %llu: %s with encoding %d says %s", (unsigned long long)t->seed, qv_smt_engine_name(c->engine), (int)c->encoding, want ? "unsat" : "sat");
  c->asked += st == QV_OK;
  qv_smt_clear(&r);
}

static void test_solvers(void **state) {
  (void)state;
  contestant all[] = {{.engine = QV_SMT_Z3, .encoding = QV_SMT_INT, .percent = 100}, {.engine = QV_SMT_Z3, .encoding = QV_SMT_BV, .percent = 100},
                      {.engine = QV_SMT_MILP, .percent = 60},                        {.engine = QV_SMT_CVC5, .encoding = QV_SMT_INT, .percent = 6},
                      {.engine = QV_SMT_CVC5, .encoding = QV_SMT_BV, .percent = 6},   {.engine = QV_SMT_BOOLECTOR, .percent = 12}};
  uint64_t base = 777000;
  for (uint64_t i = 0; i < 45u * multiplier(); i++) {
    qv_rng r = {base + i};
    tiny t;
    assert_true(tiny_new(&t, &r, base + i));
    random_ineq(&t);
    int64_t lo, hi;
    extremes(&t, &t.ineq[0], &lo, &hi);
    for (int k = 0; k < 3 && !t.traps; k++) {
      bool want = k == 0;
      if (k < 2) {
        t.ineq[0].d = hi + k; /* the extreme is reached, more is not */
      } else {
        uint32_t out = (uint32_t)qv_rng_range(&r, 0, (int64_t)t.net->n_out - 1);
        size_t n = qv_elems(&t.net->tensor[t.net->out[out].tensor]);
        t.p.cond = (qv_condition){.kind = chance(&r, 50) ? QV_KEEP_FIRST : QV_KEEP_LAST, .out = out, .cls = (uint32_t)qv_rng_range(&r, 0, (int64_t)n - 1)};
        want = keep_violated(&t);
      }
      for (size_t c = 0; c < sizeof all / sizeof all[0]; c++)
        if (!all[c].missing && chance(&r, (int)all[c].percent)) ask(&all[c], &t, want, all[c].engine == QV_SMT_MILP);
    }
    tiny_clear(&t);
  }
  for (size_t c = 0; c < sizeof all / sizeof all[0]; c++)
    if (all[c].missing) print_message("SKIPPED: %s is not installed\n", qv_smt_engine_name(all[c].engine));
    else print_message("%s, encoding %d: %u questions, %u refused, %u unknown\n", qv_smt_engine_name(all[c].engine), (int)all[c].encoding, all[c].asked, all[c].refused, all[c].unknown);
  assert_false(all[0].missing); /* libz3 and libglpk are what the build asks for */
  assert_false(all[2].missing);
  assert_true(all[0].asked > 60 && all[0].unknown < all[0].asked / 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_definitions), cmocka_unit_test(test_solvers)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
