/* The exact encodings: tiny random nets, every input of the box executed by the reference. The definitions are evaluated at every
 * point; solvers are asked for an output at its true extreme (there is an input) and one beyond (there is none), so that an encoding
 * that is off by one anywhere near the extreme gives a wrong answer. Then the limits: nothing a solver does may outlast them. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/ref.h"
#include "kernels/step.h"
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

/* Does the goal hold at the input, and every cut? Every value must lie in its interval. */
static bool goal_at(const qv_defs *d, int64_t *const *in, uint64_t seed) {
  int64_t *v = calloc((size_t)d->n + 1, sizeof *v);
  bool some = false;
  assert_non_null(v);
  for (uint32_t i = 0; i < d->n; i++) {
    const qv_def *f = &d->def[i];
    v[i] = def_at(f, v, in);
    if (v[i] < f->all.lo || v[i] > f->all.hi)
      fail_msg("seed %llu: definition %u (operation %d) leaves its interval", (unsigned long long)seed, i, (int)f->op);
    if (v[i] < f->itv.lo || v[i] > f->itv.hi) { /* later definitions speak of inputs that pass the cut */
      assert_true(f->cut);
      free(v);
      return false;
    }
  }
  for (uint32_t c = 0; c < d->n_case; c++) {
    bool every = true;
    for (uint32_t k = 0; k < d->gcase[c].n; k++) {
      qv_i128 s = lin_at(&d->gcase[c].ineq[k].lin, v);
      if (s < d->gcase[c].ineq[k].lo || s > d->gcase[c].ineq[k].hi)
        fail_msg("seed %llu: goal %u leaves its interval", (unsigned long long)seed, c);
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
    qv_acc *a = n->kind == QV_AFFINE    ? &n->u.affine.acc
                : n->kind == QV_SUM     ? &n->u.sum.acc
                : n->kind == QV_PRODUCT ? &n->u.product.acc
                                        : NULL;
    if (a == NULL || a->mode == QV_ACC_EXACT || chance(r, 30)) continue;
    qv_acc old = *a;
    a->bits = (uint8_t)qv_rng_range(r, 4, 16);
    if (chance(r, 70)) a->order = QV_ORDER_KERNEL;
    if (a->mode == QV_ACC_LANES) a->lane_bits = (uint8_t)qv_rng_range(r, 8, 12);
    if (qv_ir_check(net, NULL) != QV_OK) *a = old;
  }
  assert_int_equal(qv_ir_check(net, NULL), QV_OK);
}

enum { STAGED = 1 << 30 }; /* in place of kinds: accumulators with narrow stages */

static bool tiny_new(tiny *t, qv_rng *r, uint64_t seed, uint32_t kinds) {
  gen_opts o = {.max_in = 4, .in_bits = 4u * (uint32_t)qv_rng_range(r, 1, 3), .max_nodes = 5, .max_elems = 12, .max_k = 24, .kinds = kinds};
  if (kinds == STAGED)
    o.kinds = 1u << QV_AFFINE | 1u << QV_SUM,
    o.modes = 1u << QV_ACC_SAT | 1u << QV_ACC_PAIR16 | 1u << QV_ACC_LANES | 1u << QV_ACC_PAIRLANES;
  for (int k = 0; k < QV_KINDS && kinds == 0; k++)
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
  if (a + 1 < n && chance(t->r, 50))
    t->term[m++] = (qv_out_term){out, (uint32_t)qv_rng_range(t->r, a + 1, (int64_t)n - 1), chance(t->r, 70) ? -t->term[0].c : 3};
  t->ineq[0] = (qv_ineq){m, t->term, 0};
  t->bad[0] = (qv_violation){1, t->ineq};
  t->p.cond = (qv_condition){.kind = QV_AVOID, .n = 1, .bad = t->bad};
}

static bool passes(const tiny *t, const qv_cut *c) {
  return c == NULL || (t->vals.v[c->tensor][c->el] >= c->itv.lo && t->vals.v[c->tensor][c->el] <= c->itv.hi);
}

/* What enumeration says of the condition. */
static bool violated(tiny *t, const qv_cut *cut) {
  const int64_t *o[64];
  assert_true(t->net->n_out <= 64);
  for (uint32_t i = 0; i < t->net->n_out; i++) o[i] = t->vals.v[t->net->out[i].tensor];
  for (size_t k = 0; k < t->points; k++) {
    set_point(t, k);
    if (qv_ref_run(t->net, &t->vals, NULL) == QV_OK && qv_condition_violated(&t->p.cond, t->net, o) != QV_NONE && passes(t, cut))
      return true;
  }
  return false;
}

/* An interval around a value that occurs, mostly. */
static bool random_cut(tiny *t, qv_cut *c) {
  uint32_t x = (uint32_t)qv_rng_range(t->r, 0, (int64_t)t->net->n_tensors - 1);
  *c = (qv_cut){x, (size_t)qv_rng_range(t->r, 0, (int64_t)qv_elems(&t->net->tensor[x]) - 1), {0, 0}};
  set_point(t, (size_t)qv_rng_range(t->r, 0, (int64_t)t->points - 1));
  if (qv_ref_run(t->net, &t->vals, NULL) != QV_OK) return false;
  int64_t v = t->vals.v[x][c->el] + (chance(t->r, 10) ? 5 : 0);
  c->itv = (qv_itv){v - qv_rng_range(t->r, 0, 3), v + qv_rng_range(t->r, 0, 3)};
  return true;
}

/* Does the definitions' goal hold exactly where the executed net violates the condition (and passes the cut)? False if refused.
 * With a tail: wherever the net violates it. */
static bool check_points(tiny *t, const qv_cut *cut) {
  qv_defs d = {0};
  qv_err err = {0};
  const int64_t *o[64];
  int64_t *in[8];
  assert_true(t->net->n_in <= 8 && t->net->n_out <= 64);
  qv_status st = qv_defs_build(&d, t->net, &t->p, cut, cut != NULL, 0, &err);
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
    if (qv_ref_run(t->net, &t->vals, &err) != QV_OK)
      fail_msg("seed %llu: a trap was not refused: %s", (unsigned long long)t->seed, err.msg);
    bool want = qv_condition_violated(&t->p.cond, t->net, o) != QV_NONE && passes(t, cut), holds = goal_at(&d, in, t->seed);
    if (holds != want && !(d.relaxed && holds))
      fail_msg("seed %llu: point %zu %s the condition, its definitions do not", (unsigned long long)t->seed, k,
               want ? "violates" : "keeps");
  }
  qv_defs_clear(&d);
  return true;
}

/* Nets of these kinds, at all their points, with and without a cut. */
static void definitions(uint64_t base, unsigned count, uint32_t kinds) {
  unsigned done = 0, refused = 0;
  for (uint64_t i = 0; i < count * multiplier(); i++) {
    qv_rng r = {base + i};
    tiny t;
    assert_true(tiny_new(&t, &r, base + i, kinds));
    random_ineq(&t);
    int64_t lo, hi;
    if (t.points <= 600) {
      extremes(&t, &t.ineq[0], &lo, &hi);
      t.ineq[0].d = hi == INT64_MIN ? 0 : qv_rng_range(&r, lo, hi);
    }
    if (check_points(&t, NULL)) done++;
    else refused++;
    qv_cut cut;
    if (random_cut(&t, &cut)) (void)check_points(&t, &cut);
    tiny_clear(&t);
  }
  print_message("definitions: %u nets at all their points, %u refused; seeds from %llu\n", done, refused, (unsigned long long)base);
  assert_true(done > 2 * refused);
}

static void test_definitions(void **state) {
  (void)state;
  definitions(20261120, 1200, 0);
  definitions(880000, 1200, STAGED);
  definitions(990000, 500, 1u << QV_MAX | 1u << QV_INDEX | 1u << QV_AFFINE);
}

/* ---- solvers ---------------------------------------------------------------------------------------------------------- */

typedef struct {
  qv_smt_engine engine;
  qv_smt_encoding encoding;
  unsigned percent; /* of the nets */
  bool missing;
  unsigned asked, refused, unknown;
} contestant;

static void ask(contestant *c, tiny *t, const qv_cut *cut, bool want) {
  bool replayed_only = c->engine == QV_SMT_MILP;
  qv_smt_opts o = {.engine = c->engine, .encoding = c->encoding, .seconds = 20, .bytes = (size_t)1 << 30, .n_cut = cut != NULL, .cut = cut};
  qv_smt_result r;
  qv_err err = {0};
  qv_status st = qv_smt_solve(&r, t->net, &t->p, &o, &err);
  if (st == QV_E_UNSUP && strstr(err.msg, "not installed") != NULL) c->missing = true;
  else if (st == QV_E_UNSUP) c->refused++;
  else if (st != QV_OK) fail_msg("seed %llu, %s: %s", (unsigned long long)t->seed, qv_smt_engine_name(c->engine), err.msg);
  else if (r.answer == QV_SMT_UNKNOWN) c->unknown++;
  else if ((r.answer == QV_SMT_SAT) != want && !(replayed_only && want)) /* a solver in doubles may miss an input, not invent one */
    fail_msg("seed %llu: %s with encoding %d says %s", (unsigned long long)t->seed, qv_smt_engine_name(c->engine), (int)c->encoding,
             want ? "unsat" : "sat");
  c->asked += st == QV_OK;
  qv_smt_clear(&r);
}

/* ---- one step behind one input -------------------------------------------------------------------------------------------- */

typedef struct {
  qv_net *net;
  qv_property p;
  qv_rq_par par;
  qv_step s;
  qv_itv box;
  uint32_t in;
} step_net;

/* Ties and changes of sign are where a rounding goes wrong: boxes lie around them, and multipliers are powers of two half of the time.
 * Outputs: x and y. False: the parameters are not valid. */
static bool step_new(step_net *n, qv_rng *r, qv_rq fn, int64_t span) {
  int64_t reach = (int64_t)1 << qv_rng_range(r, 3, 30);
  n->in = 0;
  n->par = gen_rq_par(r, fn, reach, (int)qv_rng_range(r, 2, 12));
  if (chance(r, 50) && n->par.m > 1 && fn != QV_RQ_DIV && fn != QV_RQ_TDIV && fn != QV_RQ_MEANF) n->par.m = 1 << 30;
  if (fn == QV_RQ_D && chance(r, 20)) n->par.m = -n->par.m;
  if ((fn == QV_RQ_DIV || fn == QV_RQ_TDIV) && chance(r, 50)) n->par.m = (int32_t)qv_rng_range(r, 1, 40);
  if ((fn == QV_RQ_T || fn == QV_RQ_TD) && n->par.m == 1 << 30) n->par.sh = (int32_t)qv_rng_range(r, 28, 40);
  n->s = (qv_step){.n_par = 1, .par = &n->par, .inner = 1, .lo = -5000, .hi = 5000};
  if (chance(r, 50)) n->s.in_zp = qv_rng_range(r, -20, 20), n->s.out_zp = qv_rng_range(r, -20, 20);
  if (chance(r, 30)) n->s.lshift = (uint32_t)qv_rng_range(r, 1, 20);
  if (fn == QV_RQ_D && n->s.lshift > 0 && chance(r, 50)) n->par.sh = -(int32_t)n->s.lshift; /* ties right below zero */
  if (chance(r, 30)) n->s.lo = -3, n->s.hi = 100;
  int64_t mid = chance(r, 60) ? n->s.in_zp : qv_rng_range(r, -reach, reach);
  n->box = (qv_itv){qv_clamp64(mid - qv_rng_range(r, 1, span), -reach, reach), qv_clamp64(mid + qv_rng_range(r, 1, span), -reach, reach)};
  for (int pass = 0; pass < 2; pass++) { /* the second time perhaps with a clamp one inside the image */
    qv_itv image = pass == 1 ? qv_step_image(&n->s, 0, n->box) : (qv_itv){0, 0};
    if (pass == 1 && chance(r, 60)) break;
    if (pass == 1)
      n->s.lo = image.lo + (chance(r, 50) && image.lo < image.hi), n->s.hi = qv_max64(n->s.lo, image.hi - 1), qv_net_free(n->net);
    n->net = qv_net_new(0);
    assert_non_null(n->net);
    assert_int_equal(qv_net_add_tensor(n->net, &(qv_tensor){.name = "x", .rank = 1, .dim = {1}, .type = QV_I32, .lo = -reach, .hi = reach}),
                     0);
    assert_int_equal(qv_net_add_tensor(n->net, &(qv_tensor){.name = "y", .rank = 1, .dim = {1}, .type = QV_I64}), 1);
    qv_node node = {.kind = QV_STEP, .op = "STEP", .n_in = 1, .in = &n->in, .out = 1, .u.step = n->s};
    assert_int_not_equal(qv_net_add_node(n->net, &node), QV_NONE);
    assert_true(qv_net_add_in(n->net, &(qv_port){.tensor = 0, .end = QV_END_INT, .name = "x"}));
    for (uint32_t t = 0; t < 2; t++) assert_true(qv_net_add_out(n->net, &(qv_port){.tensor = t, .end = QV_END_INT, .name = "y"}));
    if (qv_ir_check(n->net, NULL) != QV_OK) {
      qv_net_free(n->net);
      return false;
    }
  }
  assert_int_equal(qv_property_whole(&n->p, n->net, 0, NULL), QV_OK);
  n->p.claim = QV_CLAIM_ROBUST;
  n->p.in[0].n = 1, n->p.in[0].itv = &n->box;
  n->p.cond.out = 1;
  return true;
}

static void step_clear(step_net *n) {
  qv_property_clear(&n->p);
  qv_net_free(n->net);
}

/* The last definition is the step's value. */
static void test_steps(void **state) {
  (void)state;
  unsigned floors = 0, pieces = 0;
  uint64_t seed = 555;
  qv_rng r = {seed};
  for (unsigned i = 0; i < 6000u * multiplier(); i++) {
    step_net n;
    qv_rq fn = (qv_rq)(i % (QV_RQ_MEANF + 1));
    if (!step_new(&n, &r, fn, 150)) continue;
    qv_defs d;
    qv_err err = {0};
    if (qv_defs_build(&d, n.net, &n.p, NULL, 0, 0, &err) != QV_OK) fail_msg("seed %llu, step %u: %s", (unsigned long long)seed, i, err.msg);
    for (int64_t x = n.box.lo; x <= n.box.hi && d.n > 1; x++) {
      int64_t v[16], *port = &x;
      assert_true(d.n <= 16);
      for (uint32_t k = 0; k < d.n; k++) v[k] = def_at(&d.def[k], v, &port);
      if (v[d.n - 1] != qv_step_eval(&n.s, 0, x))
        fail_msg("seed %llu, step %u: %s with m %d, sh %d at %lld", (unsigned long long)seed, i, qv_rq_name(fn), (int)n.par.m,
                 (int)n.par.sh, (long long)x);
    }
    for (uint32_t k = 0; k < d.n; k++) floors += d.def[k].op == QV_DEF_FLOOR, pieces += d.def[k].op == QV_DEF_PIECES;
    qv_defs_clear(&d);
    step_clear(&n);
  }
  print_message("steps: %u floors, %u by pieces; seed %llu\n", floors, pieces, (unsigned long long)seed);
  assert_true(floors > 500 && pieces > 500);
}

/* Solvers, all points of the box at once: x = x0 and y other than f(x0) is excluded; x = x0 and y = f(x0) is not. */
static void test_step_solvers(void **state) {
  (void)state;
  contestant all[] = {{.engine = QV_SMT_Z3, .encoding = QV_SMT_INT}, {.engine = QV_SMT_Z3, .encoding = QV_SMT_BV}, {.engine = QV_SMT_MILP}};
  qv_rng r = {987};
  for (unsigned i = 0; i < 24u * multiplier(); i++) {
    step_net n;
    if (!step_new(&n, &r, (qv_rq)(i % (QV_RQ_MEANF + 1)), 12)) continue;
    uint32_t points = (uint32_t)(n.box.hi - n.box.lo + 1);
    qv_arena mem = {0};
    qv_ineq *q = QV_NEW(&mem, 6 * (size_t)points, qv_ineq);
    qv_violation *bad = QV_NEW(&mem, 2 * (size_t)points, qv_violation);
    assert_true(q != NULL && bad != NULL);
    static const qv_out_term x_up = {0, 0, 1}, x_down = {0, 0, -1}, y_up = {1, 0, 1}, y_down = {1, 0, -1};
    for (uint32_t k = 0; k < points; k++) {
      int64_t x = n.box.lo + k, y = qv_step_eval(&n.s, 0, x);
      for (uint32_t side = 0; side < 2; side++) {
        qv_ineq *e = &q[6 * k + 3 * side];
        e[0] = (qv_ineq){1, &x_up, x}, e[1] = (qv_ineq){1, &x_down, -x};
        e[2] = side == 0 ? (qv_ineq){1, &y_up, y + 1} : (qv_ineq){1, &y_down, -(y - 1)};
        bad[2 * k + side] = (qv_violation){3, e};
      }
    }
    tiny t = {.net = n.net, .p = n.p, .seed = i};
    uint32_t some = (uint32_t)qv_rng_range(&r, 0, (int64_t)points - 1);
    for (int want = 0; want < 2; want++) {
      if (want == 1) q[6 * some + 2].d -= 1, q[6 * some + 5].d -= 1; /* y >= f, y <= f */
      t.p.cond = want == 0 ? (qv_condition){.kind = QV_AVOID, .n = 2 * points, .bad = bad}
                           : (qv_condition){.kind = QV_AVOID, .n = 1, .bad = &(qv_violation){6, q + 6 * some}};
      for (size_t c = 0; c < 3; c++) ask(&all[c], &t, NULL, want == 1);
    }
    qv_arena_clear(&mem);
    step_clear(&n);
  }
  print_message("steps: %u questions to Z3 about all points of a box, %u to GLPK (%u unknown)\n", all[0].asked + all[1].asked, all[2].asked,
                all[2].unknown);
  assert_true(all[0].asked > 15 && all[0].unknown + all[1].unknown == 0);
}

/* ---- every operation by itself ---------------------------------------------------------------------------------------------- */

/* v = op(x, y) for two small inputs, as definitions made by hand. */
typedef struct {
  qv_def def[3];
  qv_lterm lin[2];
  int64_t at[4], val[5];
  qv_defs d;
  qv_lterm unit[3][2]; /* +v_i, -v_i */
} one_op;

static int64_t op_at(one_op *o, int64_t x, int64_t y) {
  int64_t v[3] = {x, y, 0};
  return def_at(&o->def[2], v, NULL);
}

static void op_new(one_op *o, qv_rng *r, qv_def_op op) {
  qv_def *f = &o->def[2];
  memset(o, 0, sizeof *o);
  for (uint32_t i = 0; i < 2; i++) {
    int64_t lo = qv_rng_range(r, -20, 20);
    o->def[i] =
        (qv_def){.op = QV_DEF_INPUT, .live = true, .itv = {lo, lo + qv_rng_range(r, 1, 7)}, .x = QV_NONE, .y = QV_NONE, .u.input = {0, i}};
  }
  *f = (qv_def){.op = op, .live = true, .x = op == QV_DEF_LIN ? QV_NONE : 0, .y = op == QV_DEF_MAX || op == QV_DEF_MUL ? 1 : QV_NONE};
  qv_itv x = o->def[0].itv;
  switch (op) {
  case QV_DEF_INPUT: break;
  case QV_DEF_LIN:
    for (uint32_t i = 0; i < 2; i++) o->lin[i] = (qv_lterm){qv_rng_range(r, 1, 30) * (chance(r, 50) ? 1 : -1), i};
    f->u.lin = (qv_lin){qv_rng_range(r, -50, 50), 2, o->lin};
    break;
  case QV_DEF_FLOOR:
    f->u.floor.a = qv_rng_range(r, 1, 40) * (chance(r, 70) ? 1 : -1), f->u.floor.b = qv_rng_range(r, -300, 300);
    f->u.floor.d = chance(r, 50) ? 1 << qv_rng_range(r, 0, 9) : qv_rng_range(r, 1, 300);
    f->u.floor.from = qv_rng_range(r, x.lo, x.hi);
    if (chance(r, 40)) f->u.floor.jump = qv_rng_range(r, 1, 300) * (f->u.floor.a > 0 ? 1 : -1);
    break;
  case QV_DEF_CLAMP:
    f->u.clamp.lo = qv_rng_range(r, x.lo - 2, x.hi - 1);
    f->u.clamp.hi = qv_rng_range(r, f->u.clamp.lo + 1, x.hi + 2);
    if (chance(r, 50)) f->u.clamp.hi = x.hi - 1, f->u.clamp.lo = qv_min64(f->u.clamp.lo, x.hi - 2); /* bites by one */
    break;
  case QV_DEF_WRAP: f->u.bits = (int)qv_rng_range(r, 2, 5); break;
  case QV_DEF_PIECES:
    f->u.pieces.at = o->at, f->u.pieces.v = o->val;
    for (int64_t k = x.lo + 1; k <= x.hi && f->u.pieces.n < 4; k++)
      if (chance(r, 50)) o->at[f->u.pieces.n++] = k;
    for (int k = 0; k < 5; k++) o->val[k] = qv_rng_range(r, -9, 9);
    break;
  case QV_DEF_MAX:
  case QV_DEF_MUL: break;
  }
  qv_itv y = o->def[1].itv;
  f->itv = (qv_itv){INT64_MAX, INT64_MIN};
  for (int64_t i = x.lo; i <= x.hi; i++)
    for (int64_t k = y.lo; k <= y.hi; k++) f->itv = (qv_itv){qv_min64(f->itv.lo, op_at(o, i, k)), qv_max64(f->itv.hi, op_at(o, i, k))};
  for (int i = 0; i < 3; i++) {
    o->def[i].all = o->def[i].itv;
    for (int k = 0; k < 2; k++) o->unit[i][k] = (qv_lterm){k == 0 ? 1 : -1, (uint32_t)i};
  }
  o->d = (qv_defs){.n = 3, .def = o->def};
}

/* v_i >= c (sign 0) or v_i <= c (sign 1), unless decided. False: never. */
static bool op_ineq(one_op *o, qv_goal_case *g, qv_goal_ineq *at, int i, int sign, int64_t c) {
  qv_itv r = o->def[i].itv;
  qv_i128 lo = sign == 0 ? r.lo - c : c - r.hi, hi = sign == 0 ? r.hi - c : c - r.lo;
  if (hi < 0) return false;
  if (lo < 0) at[g->n++] = (qv_goal_ineq){{sign == 0 ? -c : c, 1, &o->unit[i][sign]}, lo, hi};
  return true;
}

/* Some point with a value other than its own (want = false), or one point with its own. */
static void op_goal(one_op *o, qv_arena *mem, qv_rng *r, bool want) {
  qv_itv x = o->def[0].itv, y = o->def[1].itv;
  int64_t nx = x.hi - x.lo + 1, ny = y.hi - y.lo + 1, some = qv_rng_range(r, 0, nx * ny - 1);
  o->d.n_case = 0;
  o->d.gcase = QV_NEW(mem, 2 * (size_t)(nx * ny), qv_goal_case);
  assert_non_null(o->d.gcase);
  for (int64_t p = 0; p < nx * ny; p++)
    for (int side = 0; side < (want ? 1 : 2); side++) {
      if (want && p != some) continue;
      int64_t at[2] = {x.lo + p % nx, y.lo + p / nx}, v = op_at(o, at[0], at[1]);
      qv_goal_ineq *q = QV_NEW(mem, 6, qv_goal_ineq);
      qv_goal_case g = {0, 0, q};
      bool can = q != NULL;
      for (int i = 0; i < 2; i++) can = can && op_ineq(o, &g, q, i, 0, at[i]) && op_ineq(o, &g, q, i, 1, at[i]);
      if (want) can = can && op_ineq(o, &g, q, 2, 0, v) && op_ineq(o, &g, q, 2, 1, v);
      else can = can && op_ineq(o, &g, q, 2, side, side == 0 ? v + 1 : v - 1);
      if (can) o->d.gcase[o->d.n_case++] = g;
    }
}

static void op_ask(one_op *o, int how, bool want, unsigned i, unsigned *unknown) {
  qv_buf text = {0}, out = {0};
  qv_child_end end;
  int code;
  qv_limits lim = {20, 0};
  if (how == 2) {
    assert_int_equal(qv_milp_write(&text, &o->d, NULL), QV_OK);
    assert_int_equal(qv_milp_run(&out, &end, &code, &text, lim, NULL), QV_OK);
  } else {
    assert_int_equal(qv_smtlib_write(&text, &o->d, how == 0 ? QV_SMT_INT : QV_SMT_BV, true, NULL), QV_OK);
    qv_buf_put(&text, "", 1);
    text.n--;
    assert_int_equal(qv_z3_run(&out, &end, &code, &text, lim, NULL), QV_OK);
  }
  qv_buf_put(&out, "", 1);
  const char *a = strstr((const char *)out.p, "\n");
  assert_non_null(a);
  if (strncmp(a, "\nunknown", 8) == 0) ++*unknown;
  else if (strncmp(a, want ? "\nsat" : "\nunsat", want ? 4 : 6) != 0)
    fail_msg("operation %d, round %u, solver %d: expected %s: %.60s\n%.3000s", (int)o->def[2].op, i, how, want ? "sat" : "unsat", a + 1,
             (const char *)text.p);
  qv_buf_free(&text);
  qv_buf_free(&out);
}

static void test_operations(void **state) {
  (void)state;
  qv_rng r = {2026};
  unsigned asked = 0, unknown = 0;
  for (unsigned i = 0; i < 5u * multiplier(); i++)
    for (int op = QV_DEF_LIN; op <= QV_DEF_MUL; op++) {
      one_op o;
      qv_arena mem = {0};
      op_new(&o, &r, (qv_def_op)op);
      if (o.def[2].itv.lo < o.def[2].itv.hi)
        for (int want = 0; want < 2; want++) {
          op_goal(&o, &mem, &r, want == 1);
          for (int how = 0; how < 3; how++, asked++) op_ask(&o, how, want == 1, i, &unknown);
        }
      qv_arena_clear(&mem);
    }
  print_message("operations: %u questions, %u unknown\n", asked, unknown);
  assert_true(asked > 100 && unknown == 0);
}

static void test_solvers(void **state) {
  (void)state;
  contestant all[] = {{.engine = QV_SMT_Z3, .encoding = QV_SMT_INT, .percent = 100},
                      {.engine = QV_SMT_Z3, .encoding = QV_SMT_BV, .percent = 100},
                      {.engine = QV_SMT_MILP, .percent = 60},
                      {.engine = QV_SMT_CVC5, .encoding = QV_SMT_INT, .percent = 6},
                      {.engine = QV_SMT_CVC5, .encoding = QV_SMT_BV, .percent = 6},
                      {.engine = QV_SMT_BOOLECTOR, .percent = 12}};
  uint64_t base = 777000;
  for (uint64_t i = 0; i < 26u * multiplier(); i++) {
    qv_rng r = {base + i};
    tiny t;
    uint32_t few = 1u << QV_PRODUCT | 1u << QV_SUM | 1u << QV_MAX | 1u << QV_WRAP | 1u << QV_CLAMP | 1u << QV_INDEX;
    assert_true(tiny_new(&t, &r, base + i, i % 2 == 0 ? few : 0));
    random_ineq(&t);
    int64_t lo, hi;
    extremes(&t, &t.ineq[0], &lo, &hi);
    qv_cut cut;
    for (int k = 0; k < 4 && !t.traps; k++) {
      bool want = k == 0, cuts = k == 3 && random_cut(&t, &cut);
      if (k < 2) {
        t.ineq[0].d = hi + k; /* the extreme is reached, more is not */
      } else {
        uint32_t out = (uint32_t)qv_rng_range(&r, 0, (int64_t)t.net->n_out - 1);
        size_t n = qv_elems(&t.net->tensor[t.net->out[out].tensor]);
        t.p.cond = (qv_condition){
            .kind = chance(&r, 50) ? QV_KEEP_FIRST : QV_KEEP_LAST, .out = out, .cls = (uint32_t)qv_rng_range(&r, 0, (int64_t)n - 1)};
        want = violated(&t, cuts ? &cut : NULL);
      }
      for (size_t c = 0; c < sizeof all / sizeof all[0]; c++)
        if (!all[c].missing && chance(&r, (int)all[c].percent)) ask(&all[c], &t, cuts ? &cut : NULL, want);
    }
    tiny_clear(&t);
  }
  for (size_t c = 0; c < sizeof all / sizeof all[0]; c++)
    if (all[c].missing) print_message("SKIPPED: %s is not installed\n", qv_smt_engine_name(all[c].engine));
    else
      print_message("%s, encoding %d: %u questions, %u refused, %u unknown\n", qv_smt_engine_name(all[c].engine), (int)all[c].encoding,
                    all[c].asked, all[c].refused, all[c].unknown);
  assert_false(all[0].missing); /* libz3 and libglpk are what the build asks for */
  assert_false(all[2].missing);
  assert_true(all[0].asked > 40 && all[0].unknown < all[0].asked / 10);
}

/* ---- tails ------------------------------------------------------------------------------------------------------------- */

static void test_tails(void **state) {
  (void)state;
  unsigned tails = 0, refused = 0, proved = 0, open = 0;
  for (uint64_t i = 0; i < 3000u && tails < 40u * multiplier(); i++) {
    qv_rng r = {4242 + i};
    tiny t;
    assert_true(tiny_new(&t, &r, 4242 + i, 1u << QV_AFFINE | 1u << QV_STEP | 1u << QV_TAIL));
    uint32_t out = t.net->n_out - 1;
    const qv_node *last = &t.net->node[t.net->n_nodes - 1];
    size_t n = qv_elems(&t.net->tensor[last->out]);
    set_point(&t, 0);
    if (last->kind == QV_TAIL && t.net->out[out].tensor == last->out && n >= 2 && t.points <= 600 &&
        qv_ref_run(t.net, &t.vals, NULL) == QV_OK) {
      tails++;
      uint32_t cls = 0; /* mostly a class that can be kept */
      for (uint32_t e = 1; e < n; e++)
        if (t.vals.v[last->in[0]][e] > t.vals.v[last->in[0]][cls]) cls = e;
      t.p.cond = (qv_condition){.kind = chance(&r, 50) ? QV_KEEP_FIRST : QV_KEEP_LAST, .out = out, .cls = cls};
      bool want = violated(&t, NULL);
      qv_smt_opts o = {.seconds = 20};
      qv_smt_result a;
      qv_err err = {0};
      qv_status st = qv_smt_solve(&a, t.net, &t.p, &o, &err);
      if (st == QV_E_UNSUP) refused++;
      else if (st != QV_OK) fail_msg("seed %llu: %s", (unsigned long long)t.seed, err.msg);
      else if (a.answer == QV_SMT_UNKNOWN) open++;
      else if ((a.answer == QV_SMT_SAT) != want) fail_msg("seed %llu: a tail: enumeration says %d", (unsigned long long)t.seed, want);
      else proved += !want;
      if (st == QV_OK) assert_true(check_points(&t, NULL));
      qv_cut cut = {last->out, 0, {0, 1}};
      qv_defs d;
      assert_int_equal(qv_defs_build(&d, t.net, &t.p, &cut, 1, 0, NULL), QV_E_UNSUP);
      qv_defs_clear(&d);
      qv_smt_clear(&a);
    }
    tiny_clear(&t);
  }
  print_message("tails: %u nets, %u kept, %u not decided by the tail's order and gap, %u refused\n", tails, proved, open, refused);
  assert_true(tails >= 40 && proved > 0);
}

/* ---- refusals ------------------------------------------------------------------------------------------------------------- */

/* y = x0 + second * x1 through an accumulator, x in [-100,100]. */
static qv_net *adder(qv_acc acc, int64_t second) {
  qv_net *net = qv_net_new(0);
  assert_non_null(net);
  uint32_t *in = QV_NEW(&net->arena, 2, uint32_t);
  int64_t *c = QV_NEW(&net->arena, 2, int64_t), *z = QV_NEW(&net->arena, 2, int64_t);
  assert_true(in != NULL && c != NULL && z != NULL);
  for (uint32_t i = 0; i < 2; i++) {
    in[i] = qv_net_add_tensor(net, &(qv_tensor){.name = i == 0 ? "a" : "b", .rank = 1, .dim = {1}, .type = QV_I8, .lo = -100, .hi = 100});
    assert_true(qv_net_add_in(net, &(qv_port){.tensor = in[i], .end = QV_END_INT, .name = "x"}));
    c[i] = i == 0 ? 1 : second;
  }
  uint32_t y = qv_net_add_tensor(net, &(qv_tensor){.name = "y", .rank = 1, .dim = {1}, .type = QV_I64});
  qv_node n = {.kind = QV_SUM, .op = "ADD", .n_in = 2, .in = in, .out = y, .u.sum = {.c = c, .z = z, .acc = acc}};
  assert_int_not_equal(qv_net_add_node(net, &n), QV_NONE);
  assert_true(qv_net_add_out(net, &(qv_port){.tensor = y, .end = QV_END_INT, .name = "y"}));
  assert_int_equal(qv_ir_check(net, NULL), QV_OK);
  return net;
}

/* y <= M*b with 5 <= y <= 100 and b in {0,1}: only b = 1. In doubles b = 5/M looks like the integer 0, and GLPK says so with its default
 * tolerances. The MILP engine may have no answer, but never that one. */
static void test_big_m(void **state) {
  (void)state;
  int answered = 0;
  for (int64_t m = 1000; m <= 100000000; m *= 10) {
    qv_net *net = adder((qv_acc){.mode = QV_ACC_EXACT}, -m);
    qv_property p;
    qv_itv box[2] = {{5, 100}, {0, 1}};
    qv_out_term term = {0, 0, -1};
    qv_ineq ineq = {1, &term, 0}; /* M*b - y >= 0 */
    qv_violation bad = {1, &ineq};
    qv_smt_result r;
    qv_err err = {0};
    assert_int_equal(qv_property_whole(&p, net, 0, NULL), QV_OK);
    p.claim = QV_CLAIM_ROBUST;
    p.cond = (qv_condition){.kind = QV_AVOID, .n = 1, .bad = &bad};
    for (int k = 0; k < 2; k++) p.in[k].n = 1, p.in[k].itv = &box[k];
    qv_status st = qv_smt_solve(&r, net, &p, &(qv_smt_opts){.engine = QV_SMT_MILP, .seconds = 10}, &err);
    if (st == QV_E_UNSUP) print_message("SKIPPED: %s\n", err.msg);
    else if (st != QV_OK) fail_msg("%s", err.msg);
    if (r.answer == QV_SMT_SAT) {
      assert_int_equal(r.input[1][0], 1);
      assert_in_range(r.input[0][0], 5, 100);
      answered++;
    }
    qv_smt_clear(&r);
    qv_property_clear(&p);
    qv_net_free(net);
  }
  print_message("%d of 6 answered, none with b = 0\n", answered);
}

/* What is refused in general is accepted on a box that excludes it. */
static void test_refusals(void **state) {
  (void)state;
  static const struct {
    qv_acc acc;
    const char *says;
  } cases[] = {{{.mode = QV_ACC_TRAP, .bits = 8, .order = QV_ORDER_KERNEL}, "trap"},
               {{.mode = QV_ACC_SAT, .bits = 8, .order = QV_ORDER_ANY}, "unknown order"},
               {{.mode = QV_ACC_SAT, .bits = 8, .order = QV_ORDER_KERNEL}, NULL},
               {{.mode = QV_ACC_WRAP, .bits = 8, .order = QV_ORDER_ANY}, NULL}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    qv_net *net = adder(cases[i].acc, 1);
    qv_property p;
    qv_defs d;
    qv_out_term term = {0, 0, 1};
    qv_ineq ineq = {1, &term, 60};
    qv_violation bad = {1, &ineq};
    assert_int_equal(qv_property_whole(&p, net, 0, NULL), QV_OK);
    p.claim = QV_CLAIM_ROBUST;
    p.cond = (qv_condition){.kind = QV_AVOID, .n = 1, .bad = &bad};
    qv_err err = {0};
    assert_int_equal(qv_defs_build(&d, net, &p, NULL, 0, 0, &err), cases[i].says != NULL ? QV_E_UNSUP : QV_OK);
    if (cases[i].says != NULL) assert_non_null(strstr(err.msg, cases[i].says));
    qv_defs_clear(&d);
    qv_itv small = {-50, 50};
    for (int k = 0; k < 2; k++) p.in[k].n = 1, p.in[k].itv = &small;
    assert_int_equal(qv_defs_build(&d, net, &p, NULL, 0, 0, NULL), QV_OK);
    qv_defs_clear(&d);
    p.claim = QV_CLAIM_OVERFLOW;
    assert_int_equal(qv_defs_build(&d, net, &p, NULL, 0, 0, NULL), QV_E_ARG);
    qv_defs_clear(&d);
    qv_property_clear(&p);
    qv_net_free(net);
  }
  /* 100 - 200: every prefix of the stored order fits, the second term alone does not */
  for (int k = 0; k < 4; k++) {
    qv_net *net =
        adder((qv_acc){.mode = k < 2 ? QV_ACC_TRAP : QV_ACC_SAT, .bits = 8, .order = k % 2 == 0 ? QV_ORDER_ANY : QV_ORDER_KERNEL}, 2);
    qv_property p;
    qv_defs d;
    qv_itv box[2] = {{100, 100}, {-100, -90}};
    assert_int_equal(qv_property_whole(&p, net, 0, NULL), QV_OK);
    p.claim = QV_CLAIM_ROBUST;
    for (int i = 0; i < 2; i++) p.in[i].n = 1, p.in[i].itv = &box[i];
    assert_int_equal(qv_defs_build(&d, net, &p, NULL, 0, 0, NULL), k % 2 == 0 ? QV_E_UNSUP : QV_OK);
    qv_defs_clear(&d);
    qv_property_clear(&p);
    qv_net_free(net);
  }
}

/* max(5, x): a constant in a window, from padding by a value. */
static void test_max_constant(void **state) {
  (void)state;
  qv_net *net = qv_net_new(0);
  assert_non_null(net);
  uint32_t *in = QV_NEW(&net->arena, 2, uint32_t);
  assert_non_null(in);
  uint32_t x = qv_net_add_tensor(net, &(qv_tensor){.name = "x", .rank = 1, .dim = {1}, .type = QV_I8, .lo = -10, .hi = 10});
  in[0] = x;
  in[1] = qv_net_add_tensor(net, &(qv_tensor){.name = "p", .rank = 1, .dim = {2}, .type = QV_I64});
  uint32_t y = qv_net_add_tensor(net, &(qv_tensor){.name = "y", .rank = 1, .dim = {1}, .type = QV_I64});
  qv_node pad = {.kind = QV_INDEX, .op = "PAD", .n_in = 1, .in = in, .out = in[1], .u.index = {.form = QV_IX_PAD, .a = {1}, .value = 5}};
  qv_node max = {.kind = QV_MAX, .op = "MAX", .n_in = 1, .in = in + 1, .out = y, .u.max = {1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 0, 0, 1}};
  assert_int_not_equal(qv_net_add_node(net, &pad), QV_NONE);
  assert_int_not_equal(qv_net_add_node(net, &max), QV_NONE);
  assert_true(qv_net_add_in(net, &(qv_port){.tensor = x, .end = QV_END_INT, .name = "x"}));
  assert_true(qv_net_add_out(net, &(qv_port){.tensor = y, .end = QV_END_INT, .name = "y"}));
  assert_int_equal(qv_ir_check(net, NULL), QV_OK);
  qv_out_term term = {0, 0, -1};
  qv_ineq ineq = {1, &term, -6}; /* y <= 6 */
  qv_violation bad = {1, &ineq};
  tiny t = {.net = net, .points = 21};
  qv_itv box = {-10, 10};
  assert_int_equal(qv_property_whole(&t.p, net, 0, NULL), QV_OK);
  assert_int_equal(qv_values_init(&t.vals, net, NULL), QV_OK);
  t.p.claim = QV_CLAIM_ROBUST;
  t.p.cond = (qv_condition){.kind = QV_AVOID, .n = 1, .bad = &bad};
  t.p.in[0].n = 1, t.p.in[0].itv = &box;
  for (; ineq.d <= -3; ineq.d++) assert_true(check_points(&t, NULL)); /* down to y <= 3: never */
  qv_values_clear(&t.vals);
  qv_property_clear(&t.p);
  qv_net_free(net);
}

/* ---- limits ------------------------------------------------------------------------------------------------------------- */

static volatile int never; /* 0, but the compiler does not know */

static int job_loop(int fd, void *arg) {
  (void)arg;
  (void)signal(SIGTERM, SIG_IGN);
  qv_job_write(fd, "unsat\n", 6); /* said, but not finished */
  while (never == 0) {}
  return 0;
}
static int job_hoard(int fd, void *arg) {
  (void)fd;
  (void)arg;
  for (int i = 0; i < 4096; i++) /* mapped, not allocated: a sanitizer's allocator has its own way to end */
    if (mmap(NULL, (size_t)1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) return QV_JOB_MEMORY;
  return 0; /* 4 GiB: the limit did not hold */
}
static int job_die(int fd, void *arg) {
  (void)fd;
  (void)arg;
  abort();
}
static int job_silent(int fd, void *arg) {
  (void)arg;
  close(fd);
  while (never == 0) pause();
  return 0;
}
static int job_family(int fd, void *arg) {
  (void)arg;
  pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  char s[32];
  qv_job_write(fd, s, (size_t)snprintf(s, sizeof s, "%d", (int)child));
  return 0;
}
static int job_talk(int fd, void *arg) {
  (void)arg;
  static char block[65536];
  while (never == 0) qv_job_write(fd, block, sizeof block);
  return 0;
}
static int job_code(int fd, void *arg) {
  qv_job_write(fd, "hello", 5);
  return *(int *)arg;
}

static void run_job(qv_job job, void *arg, double seconds, size_t bytes, qv_child_end want, int code) {
  qv_buf out = {0};
  qv_child_end end;
  int got;
  double start = qv_now();
  assert_int_equal(qv_child_run(&out, &end, &got, job, arg, (qv_limits){seconds, bytes}, NULL), QV_OK);
  double took = qv_now() - start;
  assert_int_equal(end, want);
  if (code >= 0) assert_int_equal(got, code);
  if (seconds > 0 && took > seconds + 0.5) fail_msg("a limit of %.1f s took %.2f s", seconds, took);
  if (job == job_family) { /* what a solver starts goes with it */
    qv_buf_put(&out, "", 1);
    pid_t child = (pid_t)atol((const char *)out.p);
    bool gone = false;
    for (int i = 0; i < 100 && !gone; i++) { /* dead at once, reaped by init a little later: until then it is a zombie */
      char path[64], stat[256] = "";
      (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)child);
      FILE *f = fopen(path, "r");
      gone = f == NULL || (fgets(stat, sizeof stat, f) != NULL && strstr(stat, ") Z ") != NULL);
      if (f != NULL) (void)fclose(f);
      if (!gone) usleep(10000);
    }
    assert_true(gone);
  }
  qv_buf_free(&out);
}

static void test_limits(void **state) {
  (void)state;
  int seven = 7;
  run_job(job_code, &seven, 10, 0, QV_CHILD_DONE, 7);
  run_job(job_loop, NULL, 0.2, 0, QV_CHILD_TIME, -1);
  run_job(job_silent, NULL, 0.2, 0, QV_CHILD_TIME, -1);
  run_job(job_family, NULL, 0.2, 0, QV_CHILD_TIME, -1);
  run_job(job_talk, NULL, 0.3, 0, QV_CHILD_TIME, -1);
  run_job(job_hoard, NULL, 20, (size_t)64 << 20, QV_CHILD_MEMORY, -1);
  run_job(job_die, NULL, 10, 0, QV_CHILD_DIED, SIGABRT);
  assert_true(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD); /* no zombies */
}

/* A dense net on which bit-blasted multiplications keep a solver busy for hours: is some output at the very top of its range? */
static qv_net *hard_net(uint32_t n) {
  qv_net *net = qv_net_new(0);
  qv_rng r = {99};
  assert_non_null(net);
  uint32_t last = qv_net_add_tensor(net, &(qv_tensor){.name = "x", .rank = 1, .dim = {n}, .type = QV_U8, .lo = 0, .hi = 255});
  assert_true(qv_net_add_in(net, &(qv_port){.tensor = last, .end = QV_END_INT, .name = "x"}));
  for (int layer = 0; layer < 2; layer++) {
    int32_t *w = QV_NEW(&net->arena, (size_t)n * n, int32_t), *zp = QV_NEW(&net->arena, 1, int32_t);
    int64_t *b = QV_NEW(&net->arena, n, int64_t);
    uint32_t *in = QV_NEW(&net->arena, 2, uint32_t);
    qv_rq_par *par = QV_NEW(&net->arena, 1, qv_rq_par);
    assert_true(w != NULL && zp != NULL && b != NULL && in != NULL && par != NULL);
    for (uint32_t i = 0; i < n * n; i++) w[i] = (int32_t)qv_rng_range(&r, -127, 127);
    *par = (qv_rq_par){.fn = QV_RQ_S, .m = 1, .sh = 31 - 10};
    in[0] = last;
    in[1] = qv_net_add_tensor(net, &(qv_tensor){.name = layer == 0 ? "a" : "c", .rank = 1, .dim = {n}, .type = QV_I64});
    last = qv_net_add_tensor(net, &(qv_tensor){.name = layer == 0 ? "h" : "y", .rank = 1, .dim = {n}, .type = QV_I64});
    qv_affine f = {.win = {1, 1, 1, n, 1, 1, n, 1, 1, 1, 1, 1, 1, 0, 0, 1}, .w = w, .n_w_zp = 1, .w_zp = zp, .b = b};
    f.acc = (qv_acc){.mode = QV_ACC_WRAP, .bits = 32};
    assert_int_not_equal(qv_net_add_node(net, &(qv_node){.kind = QV_AFFINE, .op = "FC", .n_in = 1, .in = in, .out = in[1], .u.affine = f}),
                         QV_NONE);
    qv_step s = {.n_par = 1, .par = par, .inner = 1, .lo = 0, .hi = 255};
    assert_int_not_equal(qv_net_add_node(net, &(qv_node){.kind = QV_STEP, .op = "FC", .n_in = 1, .in = in + 1, .out = last, .u.step = s}),
                         QV_NONE);
  }
  assert_true(qv_net_add_out(net, &(qv_port){.tensor = last, .end = QV_END_INT, .name = "y"}));
  qv_err err = {0};
  if (qv_ir_check(net, &err) != QV_OK) fail_msg("%s", err.msg);
  return net;
}

static void test_hard_question(void **state) {
  (void)state;
  qv_net *net = hard_net(32);
  qv_property p;
  qv_out_term term[3] = {{0, 0, 1}, {0, 1, 1}, {0, 2, 1}};
  qv_ineq ineq = {3, term, 350};
  qv_violation bad = {1, &ineq};
  assert_int_equal(qv_property_whole(&p, net, 0, NULL), QV_OK);
  p.claim = QV_CLAIM_ROBUST;
  p.cond = (qv_condition){.kind = QV_AVOID, .n = 1, .bad = &bad};
  struct {
    qv_smt_opts o;
    const char *reason;
  } limits[] = {{{.engine = QV_SMT_Z3, .encoding = QV_SMT_BV, .seconds = 0.7}, "time"},
                {{.engine = QV_SMT_Z3, .encoding = QV_SMT_INT, .seconds = 0.5}, "time"},
                {{.engine = QV_SMT_MILP, .seconds = 0.5}, NULL},
                {{.engine = QV_SMT_Z3, .encoding = QV_SMT_BV, .seconds = 30, .bytes = (size_t)96 << 20}, "memory"},
                {{.engine = QV_SMT_Z3, .encoding = QV_SMT_INT, .seconds = 1e-6}, "time"}, /* the encoder's time counts */
                {{.engine = QV_SMT_MILP, .seconds = 1e-6}, "time"}};
  for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
    qv_smt_result r;
    qv_err err = {0};
    qv_status end = qv_smt_solve(&r, net, &p, &limits[i].o, &err);
#ifdef __SANITIZE_ADDRESS__
    if (end == QV_E_INTERNAL && limits[i].o.bytes > 0) { /* the sanitizer's allocator ends the child in its own way */
      qv_smt_clear(&r);
      continue;
    }
#endif
    if (end != QV_OK) fail_msg("%s", err.msg);
    print_message("%s, encoding %d: %s %.2f s\n", qv_smt_engine_name(limits[i].o.engine), (int)limits[i].o.encoding,
                  r.reason != NULL ? r.reason : "answered", r.seconds);
    if (r.seconds > limits[i].o.seconds + 0.5) fail_msg("a limit of %.1f s took %.2f s", limits[i].o.seconds, r.seconds);
    assert_int_equal(r.answer, QV_SMT_UNKNOWN);
    assert_non_null(r.reason);
#ifdef __SANITIZE_ADDRESS__
    if (limits[i].o.bytes > 0) limits[i].reason = NULL;
#endif
    if (limits[i].reason != NULL) assert_string_equal(r.reason, limits[i].reason);
    qv_smt_clear(&r);
  }
  /* a program that is not there is said to be not there */
  char *path = strdup(getenv("PATH") != NULL ? getenv("PATH") : "");
  assert_non_null(path);
  assert_int_equal(setenv("PATH", "/nowhere", 1), 0);
  qv_smt_result r;
  qv_err err = {0};
  qv_status st = qv_smt_solve(&r, net, &p, &(qv_smt_opts){.engine = QV_SMT_CVC5, .seconds = 5}, &err);
  assert_int_equal(setenv("PATH", path, 1), 0);
  assert_int_equal(st, QV_E_UNSUP);
  assert_non_null(strstr(err.msg, "not installed"));
  qv_smt_clear(&r);
  free(path);
  assert_true(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
  qv_property_clear(&p);
  qv_net_free(net);
}

/* ---- solvers that lie ----------------------------------------------------------------------------------------------------- */

static void write_script(const char *path, const char *text) {
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  assert_true(fputs(text, f) >= 0);
  assert_int_equal(fclose(f), 0);
  assert_int_equal(chmod(path, 0700), 0);
}

/* A program called cvc5 that says what it likes about a + b >= 60, a and b in [-50,50]. */
static void test_liars(void **state) {
  (void)state;
  static const struct {
    const char *script;
    qv_status st;
    qv_smt_answer answer;
    const char *reason;
  } cases[] = {{"#!/bin/sh\necho unsat\n", QV_OK, QV_SMT_UNSAT, NULL}, /* nobody can tell: this is why it is only trusted */
               {"#!/bin/sh\necho unsat; exec sleep 9\n", QV_OK, QV_SMT_UNKNOWN, "time"},
               {"#!/bin/sh\necho unsat; kill -9 $$\n", QV_OK, QV_SMT_UNKNOWN, "the solver died"},
               {"#!/bin/sh\necho sat; echo '((i0_0 30) (i1_0 #b00011110))'\n", QV_OK, QV_SMT_SAT, NULL},
               {"#!/bin/sh\necho sat; echo '((i0_0 29) (i1_0 30))'\n", QV_E_INTERNAL, QV_SMT_UNKNOWN, NULL}, /* no violation */
               {"#!/bin/sh\necho sat; echo '((i0_0 51) (i1_0 30))'\n", QV_E_INTERNAL, QV_SMT_UNKNOWN, NULL}, /* outside the box */
               {"#!/bin/sh\necho sat; echo '((i0_0 99999999999999999999999999) (i7_0 30))'\n", QV_E_INTERNAL, QV_SMT_UNKNOWN, NULL},
               {"#!/bin/sh\necho sat\n", QV_E_INTERNAL, QV_SMT_UNKNOWN, NULL},
               {"#!/bin/sh\necho sat; exec sleep 9\n", QV_OK, QV_SMT_UNKNOWN, NULL},
               {"#!/bin/sh\necho '(error \"line 1\")'\n", QV_E_INTERNAL, QV_SMT_UNKNOWN, NULL},
               {"#!/bin/sh\necho unknown\n", QV_OK, QV_SMT_UNKNOWN, "the solver gave up"},
               {"#!/bin/sh\necho unsatisfying, really\n", QV_OK, QV_SMT_UNKNOWN, "the solver gave up"},
               {"#!/bin/sh\n", QV_OK, QV_SMT_UNKNOWN, "the solver gave up"}};
  char dir[] = "/tmp/qv-liars-XXXXXX", path[64], env[4096];
  assert_non_null(mkdtemp(dir));
  (void)snprintf(path, sizeof path, "%s/cvc5", dir);
  char *old = strdup(getenv("PATH") != NULL ? getenv("PATH") : "/bin:/usr/bin");
  assert_non_null(old);
  (void)snprintf(env, sizeof env, "%s:%s", dir, old);
  assert_int_equal(setenv("PATH", env, 1), 0);
  qv_net *net = adder((qv_acc){.mode = QV_ACC_EXACT}, 1);
  qv_property p;
  qv_itv box = {-50, 50};
  qv_out_term term = {0, 0, 1};
  qv_ineq ineq = {1, &term, 60};
  qv_violation bad = {1, &ineq};
  assert_int_equal(qv_property_whole(&p, net, 0, NULL), QV_OK);
  p.claim = QV_CLAIM_ROBUST;
  p.cond = (qv_condition){.kind = QV_AVOID, .n = 1, .bad = &bad};
  for (int k = 0; k < 2; k++) p.in[k].n = 1, p.in[k].itv = &box;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    write_script(path, cases[i].script);
    qv_smt_result r;
    qv_status st = qv_smt_solve(
        &r, net, &p, &(qv_smt_opts){.engine = QV_SMT_CVC5, .seconds = strstr(cases[i].script, "sleep") != NULL ? 0.3 : 10}, NULL);
    if (st != cases[i].st || r.answer != cases[i].answer) fail_msg("%s: status %d, answer %d", cases[i].script, (int)st, (int)r.answer);
    if (cases[i].reason != NULL) assert_string_equal(r.reason, cases[i].reason);
    if (r.answer == QV_SMT_SAT) assert_true(r.violated == 0 && r.input[0][0] == 30 && r.input[1][0] == 30);
    qv_smt_clear(&r);
  }
  assert_int_equal(setenv("PATH", old, 1), 0);
  assert_int_equal(unlink(path), 0);
  assert_int_equal(rmdir(dir), 0);
  free(old);
  qv_property_clear(&p);
  qv_net_free(net);
}

/* ---- the export ----------------------------------------------------------------------------------------------------------- */

/* The exported text, read by Z3 on its own, gives the answer of enumeration, and so does a file given to the z3 program. */
static void test_export(void **state) {
  (void)state;
  static const char *const z3[] = {"z3", "-in", NULL};
  bool missing = false;
  for (uint64_t i = 0; i < 4u * multiplier(); i++) {
    qv_rng r = {31337 + i};
    tiny t;
    assert_true(tiny_new(&t, &r, 31337 + i, 0));
    random_ineq(&t);
    int64_t lo, hi;
    extremes(&t, &t.ineq[0], &lo, &hi);
    for (int k = 0; k < 2 && !t.traps; k++) {
      t.ineq[0].d = hi + k;
      for (int e = 0; e < 2; e++) {
        qv_buf text = {0}, out = {0};
        qv_child_end end;
        int code = 0;
        if (qv_smt_export(&text, t.net, &t.p, e == 0 ? QV_SMT_INT : QV_SMT_BV, NULL) == QV_OK) {
          qv_limits lim = {20, 0};
          bool program = i % 2 == 0 && !missing;
          qv_buf_put(&text, "", 1);
          text.n--;
          if (program) assert_int_equal(qv_child_program(&out, &end, &code, z3, &text, lim, NULL), QV_OK);
          else assert_int_equal(qv_z3_run(&out, &end, &code, &text, lim, NULL), QV_OK);
          qv_buf_put(&out, "", 1);
          const char *a = (const char *)out.p;
          if (program && code == 127) missing = true;
          else if (strstr(a, k == 0 ? "\nsat" : "unsat") == NULL && strncmp(a, k == 0 ? "sat" : "unsat", k == 0 ? 3 : 5) != 0)
            fail_msg("seed %llu: expected %s, Z3 says %.100s", (unsigned long long)t.seed, k == 0 ? "sat" : "unsat", a);
        }
        qv_buf_free(&text);
        qv_buf_free(&out);
      }
    }
    tiny_clear(&t);
  }
  if (missing) print_message("SKIPPED: the program z3 is not installed\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_definitions),   cmocka_unit_test(test_steps),    cmocka_unit_test(test_step_solvers),
      cmocka_unit_test(test_operations),    cmocka_unit_test(test_solvers),  cmocka_unit_test(test_tails),
      cmocka_unit_test(test_max_constant),  cmocka_unit_test(test_refusals), cmocka_unit_test(test_limits),
      cmocka_unit_test(test_hard_question), cmocka_unit_test(test_liars),    cmocka_unit_test(test_export),
      cmocka_unit_test(test_big_m)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
