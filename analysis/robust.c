#include "analysis/robust.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/attack.h"
#include "analysis/enumerate.h"
#include "analysis/overflow.h"
#include "analysis/tail_gap.h"
#include "kernels/ref.h"

#define ATTACK_WORK 2e7 /* multiply-adds of the gradient rounds towards one target, and 50 times as many of the local search */
#define ENUMERATE_MAX 300000
#define LAST_WORK 1e11 /* multiply-adds of a last enumeration where no time limit is given */
#define MAX_NODES 100000
#define LARGE 2e5 /* terms of all rows of a net in which a few thousand nodes are all there is time for */
#define ROOT_STEPS 300 /* fewer for large nets, see root_steps */
#define SLOPE_STEPS 100
#define NODE_STEPS 24
#define UNIT_STEPS 30
#define FEW 4 /* fewer steps are not worth their price */
/* Multiply-adds that better lines for bounds of deeper units may cost a query, and half of what these bounds may cost in all. */
#define UNIT_WORK 2e9
#define JOINT_POINTS ((uint64_t)1 << 18) /* of a group whose units count together */
#define JOINT_BYTES ((size_t)32 << 20)   /* values of all groups */
#define JOINT_SHARE 8                    /* units times points of groups in a node's search, per term of the net */
#define JOINT_TREE 0x1p34                /* nodes of a tree times these: a checker takes 2^36 in a certificate */
#define MEMORY ((size_t)600 << 20) /* bytes of multipliers: open nodes, and all leaves that are kept */

struct qv_robust {
  const qv_net *net;
  qv_graph *graph;
  bool borrowed; /* graph is another one's */
  qv_dual **dual; /* [n_dual] one per thread, made when first needed */
  uint32_t n_dual;
  qv_joint *joint; /* of the query under way */
  qv_batch batch; /* plan NULL: cannot be executed */
  bool can_run;
  bool may_trap;  /* some accumulator may reach undefined behaviour: only enumeration can say it does not */
  bool unordered; /* some accumulator's result may depend on an order that is not known: inputs have no single output */
  bool opaque;
};

/* One query under way. */
typedef struct {
  qv_robust *r;
  const qv_robust_query *q;
  qv_robust_opts o;
  qv_robust_result *res;
  qv_range_result range;
  qv_rng rng;
  double start, deadline;
  int64_t *lo, *hi, *x; /* [graph n_in] */
  int64_t *center;      /* [graph n] values of all variables at the given point; NULL: it could not be executed */
  uint32_t n_bounded;   /* units whose accumulators get bounds of their own */
  bool rounding;        /* branching was given up */
  bool bounded;         /* every target has its goal */
  uint32_t row;         /* tensor in front of the tail that goals are about, or QV_NONE */
  int64_t gap;          /* of that tail, 0 = none */
  bool unordered;       /* of the box's inputs not all have one output */
  size_t kept;          /* bytes of multipliers in trees of the result */
  uint32_t trusted;     /* leaves that a solver vouches for */
  uint64_t leaf_points; /* inputs executed at leaves of these trees */
  qv_status inner;      /* failure inside a probe */
  qv_err *err;
} query;

const char *qv_robust_engine_name(qv_robust_engine e) {
  switch (e) {
  case QV_BY_NOTHING: return "nothing";
  case QV_BY_REPLAY: return "replay";
  case QV_BY_INTERVAL: return "interval";
  case QV_BY_ATTACK: return "attack";
  case QV_BY_ENUMERATION: return "enumeration";
  case QV_BY_LINEAR: return "linear";
  case QV_BY_BRANCHING: return "branching";
  case QV_BY_SOLVER: return "solver";
  }
  return "?";
}

/* ---- prepared nets ------------------------------------------------------------------------------------------------------ */

static bool by_trap(const qv_acc *a) { return a->mode == QV_ACC_TRAP; }
static bool by_order(const qv_acc *a) { return a->order == QV_ORDER_ANY && a->mode != QV_ACC_EXACT && a->mode != QV_ACC_WRAP; }

/* Is some accumulator of the kind asked about not proved to give the exact sum? */
static bool harmful(const qv_net *net, const qv_range_result *range, bool (*kind)(const qv_acc *)) {
  for (uint32_t i = 0; i < range->n_acc; i++) {
    const qv_acc *a = qv_node_acc(&net->node[range->acc[i].node]);
    for (uint32_t c = 0; kind(a) && c < range->acc[i].n; c++)
      if (!qv_acc_harmless(a, a->bits, &range->acc[i], c)) return true;
  }
  return false;
}

static qv_status find_traps(qv_robust *r, qv_err *err) {
  qv_range_result range = {0};
  qv_status st = qv_range_run(&range, r->net, NULL, err);
  r->may_trap = st == QV_OK && harmful(r->net, &range, by_trap);
  r->unordered = st == QV_OK && harmful(r->net, &range, by_order);
  for (uint32_t i = 0; i < r->net->n_nodes; i++) r->opaque |= r->net->node[i].kind == QV_OPAQUE;
  qv_range_clear(&range);
  return st;
}

static qv_status more_duals(qv_robust *r, uint32_t n, qv_err *err) {
  if (n <= r->n_dual) return QV_OK;
  qv_dual **d = realloc(r->dual, n * sizeof(qv_dual *));
  if (d == NULL) return QV_FAIL(err, QV_E_NOMEM, "robustness");
  r->dual = d;
  qv_status st = QV_OK;
  for (; st == QV_OK && r->n_dual < n; r->n_dual += st == QV_OK) st = qv_dual_new(&d[r->n_dual], r->graph, err);
  return st;
}

/* The executor. A net that it cannot take is no failure. */
static qv_status make_batch(qv_robust *r, qv_err *err) {
  qv_err quiet = {0};
  qv_status st = qv_batch_init(&r->batch, r->net, &quiet);
  r->can_run = st == QV_OK;
  return st == QV_OK || st == QV_E_UNSUP ? QV_OK : QV_FAIL(err, st, "%s", quiet.msg);
}

qv_status qv_robust_new_until(qv_robust **out, const qv_net *net, double deadline, qv_err *err) {
  qv_status st;
  qv_robust *r = calloc(1, sizeof *r);
  if (r == NULL) return QV_FAIL(err, QV_E_NOMEM, "robustness");
  r->net = net;
  QV_TRY(find_traps(r, err));
  QV_TRY(qv_graph_new(&r->graph, net, deadline, err));
  QV_TRY(make_batch(r, err));
  *out = r;
  r = NULL;
done:
  qv_robust_free(r);
  return st;
}

qv_status qv_robust_new(qv_robust **out, const qv_net *net, qv_err *err) { return qv_robust_new_until(out, net, 0, err); }

qv_status qv_robust_share(qv_robust **out, const qv_robust *from, qv_err *err) {
  qv_robust *r = calloc(1, sizeof *r);
  if (r == NULL) return QV_FAIL(err, QV_E_NOMEM, "robustness");
  *r = (qv_robust){.net = from->net, .graph = from->graph, .borrowed = true, .may_trap = from->may_trap, .unordered = from->unordered,
                   .opaque = from->opaque};
  qv_status st = make_batch(r, err);
  if (st == QV_OK) *out = r;
  else qv_robust_free(r);
  return st;
}

void qv_robust_free(qv_robust *r) {
  if (r == NULL) return;
  qv_batch_clear(&r->batch);
  for (uint32_t i = 0; i < r->n_dual; i++) qv_dual_free(r->dual[i]);
  free(r->dual);
  qv_joint_free(r->joint);
  if (!r->borrowed) qv_graph_free(r->graph);
  free(r);
}

const qv_graph *qv_robust_graph(const qv_robust *r) { return r->graph; }

/* Listed input p in k->x. */
static void load_point(query *k, size_t p) {
  for (uint32_t i = 0; i < k->r->net->n_in; i++) {
    size_t n = qv_elems(&k->r->net->tensor[k->r->net->in[i].tensor]);
    memcpy(k->x + k->r->graph->in_first[i], k->q->points[i] + p * n, n * sizeof(int64_t));
  }
}

/* ---- replay ------------------------------------------------------------------------------------------------------------- */

/* Ranges of the box lo..hi (graph order). *out is the caller's, also after an error. */
static qv_status ranges_of(qv_range_result *out, query *k, const int64_t *lo, const int64_t *hi) {
  const qv_net *net = k->r->net;
  qv_arena a = {0};
  qv_ranges *in = QV_NEW(&a, net->n_in, qv_ranges);
  const qv_ranges **p = QV_NEW(&a, net->n_in, const qv_ranges *);
  bool ok = in != NULL && p != NULL;
  for (uint32_t i = 0; ok && i < net->n_in; i++) {
    size_t n = qv_elems(&net->tensor[net->in[i].tensor]), first = k->r->graph->in_first[i];
    in[i] = (qv_ranges){.n = (uint32_t)n, .inner = 1, .itv = QV_NEW(&a, n, qv_itv)};
    p[i] = &in[i];
    if (!(ok = in[i].itv != NULL)) break;
    for (size_t e = 0; e < n; e++) in[i].itv[e] = (qv_itv){lo[first + e], hi[first + e]};
  }
  qv_status st = ok ? qv_range_run(out, net, &(qv_domain){.in = p}, k->err) : QV_FAIL(k->err, QV_E_NOMEM, "robustness");
  qv_arena_clear(&a);
  return st;
}

/* Is the output at x the same in every order of summation? */
static bool has_value(query *k, const int64_t *x, qv_status *st) {
  qv_range_result range = {0};
  *st = ranges_of(&range, k, x, x);
  bool same = *st == QV_OK && !harmful(k->r->net, &range, by_order);
  qv_range_clear(&range);
  return same;
}

/* Run x (graph order) through the reference kernels; if it violates the query it becomes the verdict. */
static qv_status replay(query *k, const int64_t *x, qv_robust_engine by, bool *found) {
  const qv_net *net = k->r->net;
  qv_values v = {0};
  qv_err quiet = {0};
  *found = false;
  qv_status st = qv_values_init(&v, net, k->err);
  if (st != QV_OK) goto done;
  for (uint32_t i = 0; i < net->n_in; i++) {
    size_t n = qv_elems(&net->tensor[net->in[i].tensor]);
    for (size_t e = 0; e < n; e++) {
      size_t at = k->r->graph->in_first[i] + e;
      if (x[at] < k->lo[at] || x[at] > k->hi[at]) goto done; /* outside the box: no counterexample */
      v.v[net->in[i].tensor][e] = x[at];
    }
  }
  if (k->r->unordered && !has_value(k, x, &st)) goto done;
  st = qv_ref_run(net, &v, &quiet);
  if (st == QV_E_UNSUP || st == QV_E_RANGE) { /* opaque, or a trap: nothing that could be shown */
    st = QV_OK;
    goto done;
  }
  if (st != QV_OK) {
    st = QV_FAIL(k->err, st, "%s", quiet.msg);
    goto done;
  }
  qv_robust_result *res = k->res;
  const int64_t **o = QV_NEW(&res->arena, net->n_out, const int64_t *);
  if (by == QV_BY_REPLAY) k->center = QV_NEW(&res->arena, k->r->graph->n, int64_t);
  if (o == NULL || (by == QV_BY_REPLAY && k->center == NULL)) {
    st = QV_FAIL(k->err, QV_E_NOMEM, "counterexample");
    goto done;
  }
  for (uint32_t u = 0; by == QV_BY_REPLAY && u < k->r->graph->n; u++)
    k->center[u] = v.v[k->r->graph->unit[u].tensor][k->r->graph->unit[u].el];
  for (uint32_t i = 0; i < net->n_out; i++) o[i] = v.v[net->out[i].tensor];
  uint32_t bad = qv_condition_violated(k->q->cond, net, o);
  if (bad == QV_NONE) goto done;
  res->input = QV_NEW(&res->arena, net->n_in, int64_t *);
  bool ok = res->input != NULL;
  for (uint32_t i = 0; ok && i < net->n_in; i++) {
    size_t n = qv_elems(&net->tensor[net->in[i].tensor]);
    ok = (res->input[i] = QV_NEW(&res->arena, n, int64_t)) != NULL;
    if (ok) memcpy(res->input[i], x + k->r->graph->in_first[i], n * sizeof *x);
  }
  if (!ok) {
    st = QV_FAIL(k->err, QV_E_NOMEM, "counterexample");
    goto done;
  }
  res->violated = bad;
  res->engine = by;
  res->verdict = QV_FALSIFIED;
  *found = true;
done:
  qv_values_clear(&v);
  return st;
}

/* Candidates of branch and bound: the executor first, then the reference. */
static bool probe(void *ctx, const int64_t *x, uint32_t n) {
  query *k = ctx;
  qv_batch *b = &k->r->batch;
  bool found = false;
  qv_err quiet = {0};
  if (!k->r->can_run || k->inner != QV_OK || n > QV_BATCH) return false;
  for (uint32_t i = 0; i < n; i++) qv_batch_put(b, x + (size_t)i * k->r->graph->n_in);
  if (qv_batch_run(b, &quiet) != QV_OK) return false;
  for (uint32_t i = 0; i < n && !found && k->inner == QV_OK; i++)
    if (qv_batch_violated(b, i)) k->inner = replay(k, x + (size_t)i * k->r->graph->n_in, QV_BY_BRANCHING, &found);
  return found;
}

static bool late(const query *k) { return k->deadline > 0 && qv_clock() > k->deadline; }

/* ---- bounds ------------------------------------------------------------------------------------------------------------- */

/* Bounds in force at the root: the box, ranges of free units, and intervals along the rows (docs/certificate.md section 7.2). Hulls
 * are not made yet: the attack does without. */
static qv_status root_bounds(query *k) {
  const qv_graph *g = k->r->graph;
  qv_dual *d = k->r->dual[0];
  for (uint32_t v = 0; v < g->n; v++) {
    const qv_unit *u = &g->unit[v];
    if (v < g->n_in) {
      d->lo[v] = k->lo[v];
      d->hi[v] = k->hi[v];
      continue;
    }
    qv_itv y = u->fn == QV_UNIT_FREE ? qv_ranges_at(&k->range.tensor[u->tensor], u->el)
                                     : qv_unit_image(g, v, d->acc[v] = qv_unit_acc(g, v, d->lo, d->hi));
    d->lo[v] = y.lo;
    d->hi[v] = y.hi;
  }
  d->deadline = k->deadline;
  return QV_OK;
}

static qv_status keep_bound(query *k, uint32_t v, int sign, int64_t bound, const int32_t *is, int scale) {
  const qv_graph *g = k->r->graph;
  qv_robust_result *res = k->res;
  qv_robust_bound *b = &res->bound[res->n_bound++];
  *b = (qv_robust_bound){.unit = v, .sign = sign, .bound = bound, .scale = scale};
  for (uint32_t i = 0; i < g->n; i++) b->n += is[i] != 0;
  b->var_s = QV_NEW(&res->arena, b->n, uint32_t);
  b->s = QV_NEW(&res->arena, b->n, int32_t);
  if (b->var_s == NULL || b->s == NULL) return QV_FAIL(k->err, QV_E_NOMEM, "robustness");
  for (uint32_t i = 0, j = 0; i < g->n; i++)
    if (is[i] != 0) {
      b->var_s[j] = i;
      b->s[j++] = is[i];
    }
  return QV_OK;
}

/* Tighten one side of acc of unit v by multipliers. */
static qv_status tighten_side(query *k, uint32_t v, int sign, int32_t *is, bool *better) {
  qv_dual *d = k->r->dual[0];
  qv_goal goal = {.kind = QV_GOAL_UNIT, .y = v, .sign = sign};
  qv_i128 bound;
  int scale;
  qv_status st = qv_dual_begin(d, &goal, k->err);
  if (st != QV_OK) return st;
  double before = d->work;
  qv_dual_default(d, &goal);
  double steps = fmin(UNIT_STEPS, UNIT_WORK / (4 * (double)k->n_bounded * (d->work - before + 1)));
  if (steps >= FEW) (void)qv_dual_slopes(d, &goal, (uint32_t)steps, INFINITY);
  qv_dual_round(d, &goal, is, NULL, &scale);
  if (!qv_dual_exact(&bound, d, &goal, is, NULL, scale)) return QV_OK;
  qv_i128 b = qv_ceil_div(bound, (qv_i128)1 << scale);
  qv_itv *a = &d->acc[v];
  if (sign > 0 ? b <= a->lo : -b >= a->hi) return QV_OK;
  if (b > INT64_MAX || b < -INT64_MAX || (sign > 0 ? b > a->hi : -b < a->lo)) return QV_FAIL(k->err, QV_E_INTERNAL, "bounds cross");
  if (sign > 0) a->lo = (int64_t)b;
  else a->hi = (int64_t)-b;
  *better = true;
  return keep_bound(k, v, sign, (int64_t)b * sign, is, scale);
}

static bool reads_units(const qv_graph *g, uint32_t v) {
  for (uint32_t i = g->unit[v].seg; i < g->unit[v].seg + g->unit[v].n_seg; i++)
    if (g->seg[i].var + g->seg[i].len > g->n_in) return true;
  return false;
}

/* A function of a row of its own that reads other units: intervals forget what these have in common. */
static bool worth_bounding(const qv_graph *g, uint32_t v) {
  return qv_unit_function(g, v) && g->unit[v].src != QV_NONE && reads_units(g, v);
}

/* Bounds of the units behind the first layer: intervals forget what their inputs have in common. */
static qv_status deeper_bounds(query *k) {
  const qv_graph *g = k->r->graph;
  qv_dual *d = k->r->dual[0];
  uint32_t n = 0, last = QV_NONE;
  bool *read = calloc(g->n, sizeof *read);
  int32_t *is = calloc(g->n, sizeof *is);
  qv_status st = QV_OK;
  if (read == NULL || is == NULL) {
    st = QV_FAIL(k->err, QV_E_NOMEM, "robustness");
    goto done;
  }
  for (uint32_t i = 0; i < g->n_seg; i++) memset(read + g->seg[i].var, 1, g->seg[i].len);
  for (uint32_t i = 0; i < k->res->n_target; i++) { /* the ends of a pair decide which of its values count */
    const qv_robust_target *t = &k->res->target[i];
    if (t->engine == QV_BY_NOTHING && t->goal.kind == QV_GOAL_PAIR) read[t->goal.y] = read[t->goal.j] = true;
  }
  for (uint32_t v = g->n_in; v < g->n; v++) n += worth_bounding(g, v) && read[v] && d->lo[v] < d->hi[v];
  k->n_bounded = n;
  k->res->bound = QV_NEW(&k->res->arena, 2 * (size_t)n, qv_robust_bound);
  if (k->res->bound == NULL) {
    st = QV_FAIL(k->err, QV_E_NOMEM, "robustness");
    goto done;
  }
  QV_TRY(qv_dual_refresh(d, 0, k->err));
  bool moved = false;
  d->work = 0;
  for (uint32_t v = g->n_in; v < g->n; v++) {
    if (!worth_bounding(g, v) || !read[v] || d->lo[v] == d->hi[v]) continue;
    if (late(k) || d->work > 2 * UNIT_WORK) break;
    if (moved && g->unit[v].node != last) { /* a new layer: what has been gained so far counts */
      bool empty;
      qv_bounds_propagate(g, d->lo, d->hi, d->acc, &empty);
      if (empty) st = QV_FAIL(k->err, QV_E_INTERNAL, "bounds cross");
      if (st == QV_OK) st = qv_dual_refresh(d, 0, k->err);
      moved = false;
      if (st != QV_OK) goto done;
    }
    last = g->unit[v].node;
    bool better = false;
    QV_TRY(tighten_side(k, v, 1, is, &better));
    QV_TRY(tighten_side(k, v, -1, is, &better));
    if (!better) continue;
    qv_itv y = qv_unit_image(g, v, d->acc[v]);
    d->lo[v] = qv_max64(d->lo[v], y.lo);
    d->hi[v] = qv_min64(d->hi[v], y.hi);
    moved = true;
  }
  if (moved) {
    bool empty;
    qv_bounds_propagate(g, d->lo, d->hi, d->acc, &empty);
    if (empty) st = QV_FAIL(k->err, QV_E_INTERNAL, "bounds cross");
  }
  if (st == QV_OK) st = qv_dual_refresh(d, 0, k->err);
done:
  free(read);
  free(is);
  return st;
}

/* ---- targets ------------------------------------------------------------------------------------------------------------ */

/* Can goals be about the row in front of the kept output's tail (docs/certificate.md section 7.6)? All of them or none. */
static void find_row(query *k) {
  const qv_net *net = k->r->net;
  const qv_condition *c = k->q->cond;
  k->row = QV_NONE;
  if (c->kind == QV_AVOID) return;
  uint32_t out = net->out[c->out].tensor;
  const qv_tensor *o = &net->tensor[out];
  size_t n = qv_elems(o);
  for (uint32_t i = 0; i < net->n_nodes; i++) {
    const qv_node *t = &net->node[i];
    if (t->out != out || t->kind != QV_TAIL || o->rank == 0 || o->dim[o->rank - 1] != n || !qv_tail_ordered(&t->u.tail)) continue;
    k->gap = qv_tail_gap(&t->u.tail, n);
    bool ties = false;
    for (uint32_t j = 0; j < n; j++) ties |= j != c->cls && qv_cond_tie_loses(c, j);
    if (k->gap > 0 || !ties) k->row = t->in[0];
  }
}

/* Target t on what the goals are about: outputs, or the row in front of the tail. */
static const qv_violation *violation_of(const query *k, qv_cond_room *room, uint32_t t) {
  const qv_violation *v = qv_cond_violation(room, k->q->cond, t);
  if (k->row != QV_NONE && qv_cond_tie_loses(k->q->cond, t)) room->ineq.d = 1 - k->gap;
  return v;
}

static uint32_t tensor_of(const query *k, uint32_t out) { return k->row != QV_NONE ? k->row : k->r->net->out[out].tensor; }

/* d - sum c*o of one inequality, on the graph's variables. */
static qv_status make_part(query *k, const qv_ineq *q, qv_goal_part *p) {
  uint32_t *var = QV_NEW(&k->res->arena, q->n, uint32_t);
  int64_t *c = QV_NEW(&k->res->arena, q->n, int64_t);
  if (var == NULL || c == NULL) return QV_FAIL(k->err, QV_E_NOMEM, "robustness");
  *p = (qv_goal_part){.var = var, .c = c, .d = -q->d};
  for (uint32_t i = 0; i < q->n; i++) {
    const qv_element *e = &k->r->graph->element[tensor_of(k, q->term[i].out)][q->term[i].el];
    int64_t x;
    if (e->var == QV_NONE) {
      if (!qv_mul64(&x, q->term[i].c, e->c) || !qv_add64(&p->d, p->d, x))
        return QV_FAIL(k->err, QV_E_ARG, "an inequality's numbers are too large");
    } else {
      var[p->n] = e->var;
      c[p->n++] = -q->term[i].c;
    }
  }
  return QV_OK;
}

static qv_status make_goal(query *k, uint32_t t, qv_goal *goal) {
  const qv_condition *c = k->q->cond;
  qv_cond_room room;
  const qv_violation *v = violation_of(k, &room, t);
  if (c->kind != QV_AVOID) {
    const qv_element *o = k->r->graph->element[tensor_of(k, c->out)];
    *goal = (qv_goal){.kind = QV_GOAL_PAIR, .y = o[c->cls].var, .j = o[t].var, .gap = v->ineq[0].d};
    if (qv_dual_can_pair(k->r->graph, goal->y, goal->j)) return QV_OK;
  }
  qv_goal_part *part = QV_NEW(&k->res->arena, v->n, qv_goal_part);
  if (part == NULL) return QV_FAIL(k->err, QV_E_NOMEM, "robustness");
  *goal = (qv_goal){.kind = QV_GOAL_SUM, .n_part = v->n, .part = part};
  qv_status st = QV_OK;
  for (uint32_t i = 0; st == QV_OK && i < v->n; i++) st = make_part(k, &v->ineq[i], &part[i]);
  return st;
}

/* Bounds of free units do not move with splits: nothing below the root can prove such a goal. */
static bool only_free(const query *k, const qv_goal *goal) {
  uint32_t terms = 0;
  for (uint32_t p = 0; goal->kind == QV_GOAL_SUM && p < goal->n_part; p++)
    for (uint32_t i = 0; i < goal->part[p].n; i++, terms++)
      if (k->r->graph->unit[goal->part[p].var[i]].fn != QV_UNIT_FREE) return false;
  return terms > 0;
}

static bool excluded_by_interval(const query *k, uint32_t t) {
  qv_cond_room room;
  const qv_violation *v = violation_of(k, &room, t);
  for (uint32_t j = 0; j < v->n; j++) {
    const qv_ineq *q = &v->ineq[j];
    qv_i128 least = q->d; /* of d - sum c*o; products stay below 2^124 */
    bool fits = true;
    for (uint32_t i = 0; fits && i < q->n; i++) {
      qv_itv y = qv_ranges_at(&k->range.tensor[tensor_of(k, q->term[i].out)], q->term[i].el);
      fits = !__builtin_sub_overflow(least, (qv_i128)q->term[i].c * (q->term[i].c > 0 ? y.hi : y.lo), &least);
    }
    if (fits && least > 0) return true;
  }
  return false;
}

/* ---- engines ------------------------------------------------------------------------------------------------------------ */

/* What the executor calls a counterexample is believed only after the replay. Errors of the executor (a trap) end the
 * engine, not the query. */
static qv_status judge(query *k, qv_status st, const qv_err *quiet, bool found, qv_robust_engine by) {
  if (st == QV_E_NOMEM) return QV_FAIL(k->err, st, "%s", quiet->msg);
  return st == QV_OK && found ? replay(k, k->x, by, &found) : QV_OK;
}

static qv_status attack_target(query *k, const qv_robust_target *t, uint32_t rounds) {
  bool found = false;
  qv_err quiet = {0};
  k->r->batch.n = 0;
  qv_status st = qv_attack_gradient(&found, k->x, &k->r->batch, k->r->dual[0], &t->goal, rounds, &k->rng, &quiet);
  return judge(k, st, &quiet, found, QV_BY_ATTACK);
}

static qv_status attack_local(query *k, uint32_t rounds) {
  bool found = false;
  qv_err quiet = {0};
  k->r->batch.n = 0;
  for (uint32_t v = 0; v < k->r->graph->n_in; v++) k->x[v] = k->lo[v] + (k->hi[v] - k->lo[v]) / 2;
  qv_status st = qv_attack_local(&found, k->x, &k->r->batch, k->lo, k->hi, k->r->graph->n_in, rounds, &k->rng, &quiet);
  return judge(k, st, &quiet, found, QV_BY_ATTACK);
}

static bool open_left(const query *k) {
  for (uint32_t i = 0; i < k->res->n_target; i++)
    if (k->res->target[i].engine == QV_BY_NOTHING) return true;
  return false;
}

static qv_status run_attack(query *k, uint32_t rounds) {
  qv_status st = QV_OK;
  for (uint32_t i = 0; st == QV_OK && i < k->res->n_target && k->res->verdict == QV_UNKNOWN && !late(k); i++)
    if (k->res->target[i].engine == QV_BY_NOTHING) st = attack_target(k, &k->res->target[i], rounds);
  return st;
}

/* All listed inputs. */
static qv_status run_points(query *k, bool *complete) {
  const qv_net *net = k->r->net;
  qv_batch *b = &k->r->batch;
  qv_err quiet = {0};
  qv_status st = QV_OK;
  *complete = false;
  for (size_t p = 0; p < k->q->n_points && k->res->verdict == QV_UNKNOWN;) {
    size_t first = p;
    uint32_t m = 0;
    for (; m < QV_BATCH && p < k->q->n_points; m++, p++) {
      load_point(k, p);
      qv_batch_put(b, k->x);
    }
    if ((st = qv_batch_run(b, &quiet)) != QV_OK) return judge(k, st, &quiet, false, QV_BY_ENUMERATION);
    for (uint32_t i = 0; i < m && k->res->verdict == QV_UNKNOWN; i++) {
      if (!qv_batch_violated(b, i)) continue;
      load_point(k, first + i);
      if ((st = judge(k, QV_OK, &quiet, true, QV_BY_ENUMERATION)) != QV_OK) return st;
      if (k->res->verdict == QV_UNKNOWN)
        return QV_FAIL(k->err, QV_E_INTERNAL, "the executor finds a counterexample that the reference does not, net %s", net->source);
    }
    if (late(k)) return QV_OK;
    k->res->points = p;
  }
  *complete = k->res->verdict == QV_UNKNOWN;
  return QV_OK;
}

/* most: multiply-adds that are worth it; INFINITY: the clock decides. */
static qv_status run_enumeration(query *k, uint64_t points, double most, bool *complete) {
  bool found = false;
  qv_err quiet = {0};
  qv_box_net *b = NULL;
  qv_status st = qv_box_net_new(&b, k->r->net, k->lo, k->hi, QV_NONE, k->q->cond, 1, &quiet);
  *complete = false;
  if (st == QV_OK && (double)points * (double)qv_box_net_work(b) > most) {
    qv_box_net_free(b);
    return QV_OK;
  }
  if (st == QV_OK) st = qv_box_net_run(&found, k->x, b, 0, k->o.threads, k->lo, k->hi, k->deadline, &quiet);
  qv_box_net_free(b);
  *complete = st == QV_OK && !found;
  k->res->points = points;
  return judge(k, st, &quiet, found, QV_BY_ENUMERATION);
}

/* ---- points leaves -------------------------------------------------------------------------------------------------------- */

#define LEAF_POINTS 4096                      /* inputs of a node that are executed at most */
#define LEAF_WORK 1e8                         /* and multiply-adds that this may take: a checker needs far longer for them */
#define ALL_POINTS ((uint64_t)QV_MAX_POINTS) /* of all leaves, or of a last enumeration: what a checker may be asked to repeat */

/* What is executed at the leaves of one target's tree: under goals about logits that target's inequality on the row, else the net. */
typedef struct {
  qv_cond_room room;
  qv_violation v;
  qv_condition cond;
  qv_box_net *net;
} leaf_net;

static qv_points_answer execute_leaf(void *ctx, uint32_t worker, const int64_t *lo, const int64_t *hi, int64_t *x) {
  leaf_net *l = ctx;
  bool found;
  qv_err quiet = {0};
  if (qv_box_net_run(&found, x, l->net, worker, 1, lo, hi, 0, &quiet) != QV_OK) return QV_POINTS_CANNOT;
  return found ? QV_POINTS_HIT : QV_POINTS_NONE;
}

/* Does an execution of every input of a box prove anything, and is it wanted? */
static bool can_execute(const query *k) { return k->r->can_run && !k->unordered && !k->o.no_points; }

/* l->net NULL: no points leaves here. */
static qv_status leaf_begin(leaf_net *l, query *k, uint32_t target) {
  qv_err quiet = {0};
  *l = (leaf_net){.cond = *k->q->cond};
  if (!can_execute(k)) return QV_OK;
  if (k->row != QV_NONE) { /* a violation on output 0 of a net that has only the row */
    l->v = *violation_of(k, &l->room, target);
    for (uint32_t i = 0; i < l->room.ineq.n; i++) l->room.term[i].out = 0;
    l->cond = (qv_condition){.kind = QV_AVOID, .n = 1, .bad = &l->v};
  }
  qv_status st = qv_box_net_new(&l->net, k->r->net, k->lo, k->hi, k->row, &l->cond, k->o.threads, &quiet);
  return st == QV_E_NOMEM ? QV_FAIL(k->err, st, "%s", quiet.msg) : QV_OK;
}

/* A long search pays where nodes are cheap: it costs 3e7 multiply-adds, or 60 steps. */
static uint32_t root_steps(const query *k) { return (uint32_t)fmin(ROOT_STEPS, fmax(60, 3e7 / ((double)k->r->graph->n_w + 1))); }

/* Rows behind rows behind rows: there lines have to move together. */
static uint32_t slope_steps(const query *k) { return k->r->graph->depth > 2 ? SLOPE_STEPS : 0; }

/* Minima that are taken together, for goals only: for bounds of units they were tried, and made intervals little shorter at many times
 * the cost. */
static qv_status join(query *k) {
  qv_robust *r = k->r;
  qv_dual *d = r->dual[0];
  if (k->o.no_joint) return QV_OK;
  qv_status st = qv_joint_new(&r->joint, r->graph, d->lo, d->hi, d->acc, JOINT_POINTS, JOINT_BYTES, k->err);
  for (uint32_t i = 0; st == QV_OK && i < r->n_dual; i++) st = qv_dual_join(r->dual[i], r->joint, k->err);
  if (st != QV_OK || r->joint == NULL) return st;
  if ((st = qv_dual_refresh(d, r->graph->n, k->err)) != QV_OK) return st;
  k->res->n_joint = r->joint->n_tensor;
  k->res->joint = QV_NEW(&k->res->arena, r->joint->n_tensor, uint32_t);
  if (k->res->joint == NULL) return QV_FAIL(k->err, QV_E_NOMEM, "robustness");
  memcpy(k->res->joint, r->joint->tensor, r->joint->n_tensor * sizeof *k->res->joint);
  return QV_OK;
}

/* Joint minima are worth much at the root; below it they must not make nodes slow where they bring little: they stay if without them the
 * bound would lack a fifth more. */
static void set_joint(query *k, qv_robust_target *t, bool root) {
  const qv_joint *j = k->r->joint;
  t->joint = j == NULL ? 0 : root || t->joint_gain > -0.2 * t->margin ? j->limit : qv_joint_limit(j, JOINT_SHARE * (double)k->r->graph->n_w);
  for (uint32_t i = 0; i < k->r->n_dual; i++) k->r->dual[i]->joint_most = t->joint;
}

#define TREE_SHARE 0.6    /* of the time, if a solver is asked afterwards */
#define LEAF_SECONDS 10.0 /* a leaf, without a limit */

/* Have the solver look at the leaves that are open. *closed: it has found nothing in any of them. */
static qv_status ask_solver(query *k, qv_bnb *b, bool *closed) {
  const qv_graph *g = k->r->graph;
  uint32_t open = 0;
  for (uint32_t i = 0; i < b->n; i++) open += b->node[i].leaf == QV_LEAF_OPEN;
  for (uint32_t i = 0; i < b->n && open > 0 && !late(k); i++) {
    if (b->node[i].leaf != QV_LEAF_OPEN) continue;
    uint32_t n = k->res->n_bound, m = qv_bnb_restrictions(NULL, b, g, i);
    qv_restriction *r = malloc((n + m + 1) * sizeof *r);
    if (r == NULL) return QV_FAIL(k->err, QV_E_NOMEM, "robustness");
    for (uint32_t j = 0; j < n; j++) { /* proved, so they restrict nothing, but help */
      const qv_robust_bound *u = &k->res->bound[j];
      r[j] = (qv_restriction){g->unit[u->unit].src, g->unit[u->unit].el,
                              u->sign > 0 ? (qv_itv){u->bound, INT64_MAX} : (qv_itv){INT64_MIN, u->bound}};
    }
    (void)qv_bnb_restrictions(r + n, b, g, i);
    double seconds = k->deadline > 0 ? (k->deadline - qv_clock()) / open : LEAF_SECONDS;
    qv_solver_word w = k->o.solver(k->o.solver_ctx, k->x, r, n + m, fmax(0.01, seconds));
    free(r);
    if (w == QV_WORD_FOUND && probe(k, k->x, 1)) return k->inner;
    if (w != QV_WORD_NONE) return k->inner;
    b->node[i].leaf = QV_LEAF_TRUSTED;
    open--;
    k->trusted++;
  }
  *closed = open == 0;
  return QV_OK;
}

/* Bound one target: the root alone (linear), or the tree. */
static qv_status bound_target(query *k, qv_robust_target *t, uint32_t max_nodes, uint32_t *used) {
  qv_bnb b;
  qv_bnb_opts o = {.max_nodes = max_nodes,
                   .root_steps = root_steps(k),
                   .slope_steps = slope_steps(k),
                   .node_steps = NODE_STEPS,
                   .threads = max_nodes > 1 ? k->o.threads : 1,
                   .evidence = k->o.evidence,
                   .memory = MEMORY > k->kept ? MEMORY - k->kept : 0,
                   .center = k->center,
                   .deadline = k->deadline,
                   .probe = probe,
                   .ctx = k,
                   .points_max = ALL_POINTS - k->leaf_points,
                   .points = execute_leaf};
  leaf_net leaf = {.net = NULL};
  if (max_nodes > 1 && k->o.solver != NULL && k->deadline > 0) o.deadline = qv_clock() + TREE_SHARE * (k->deadline - qv_clock());
  if (max_nodes > 1) {
    qv_status made = leaf_begin(&leaf, k, t->target);
    if (made != QV_OK) return made;
  }
  if (leaf.net != NULL) {
    o.leaf = &leaf;
    o.leaf_points = k->o.leaf_points > 0 ? k->o.leaf_points : (uint64_t)fmin(LEAF_POINTS, fmax(1, LEAF_WORK / ((double)qv_box_net_work(leaf.net) + 1)));
  }
  set_joint(k, t, max_nodes == 1);
  if (t->joint > 0 && max_nodes > 1) o.max_nodes = (uint32_t)fmin(max_nodes, fmax(1, JOINT_TREE / qv_joint_work(k->r->joint, t->joint)));
  qv_status st = qv_bnb_run(&b, k->r->dual, &t->goal, &o, k->err);
  qv_box_net_free(leaf.net);
  if (st == QV_OK) st = k->inner;
  *used = b.n;
  t->nodes = b.n;
  t->leaves = b.n_leaves;
  t->margin = b.margin;
  t->loss = b.loss;
  bool word = false;
  if (st == QV_OK && b.verdict == QV_UNKNOWN && max_nodes > 1 && k->o.solver != NULL) st = ask_solver(k, &b, &word);
  if (st == QV_OK && (b.verdict == QV_VERIFIED || word)) {
    t->engine = word ? QV_BY_SOLVER : b.n == 1 && b.points == 0 ? QV_BY_LINEAR : QV_BY_BRANCHING;
    k->leaf_points += b.points;
    if (k->o.evidence) {
      k->kept += b.kept;
      t->tree = b;
      return QV_OK;
    }
  }
  qv_bnb_clear(&b);
  return st;
}

static int by_margin(const void *p, const void *q) {
  const qv_robust_target *a = *(const qv_robust_target *const *)p, *b = *(const qv_robust_target *const *)q;
  if (a->margin < b->margin) return -1;
  if (a->margin > b->margin) return 1;
  return (a->target > b->target) - (a->target < b->target);
}

/* One vector of multipliers a target. */
static qv_status linear_pass(query *k) {
  qv_status st = QV_OK;
  for (uint32_t i = 0; st == QV_OK && i < k->res->n_target && k->res->verdict == QV_UNKNOWN && !late(k); i++) {
    uint32_t used;
    qv_robust_target *t = &k->res->target[i];
    double alone = t->margin;
    if (t->engine != QV_BY_NOTHING) continue;
    st = bound_target(k, t, 1, &used);
    t->joint_gain = k->r->joint != NULL ? t->margin - alone : 0;
    if (k->r->joint != NULL && t->joint_gain < -0.05 * t->margin) break; /* clamps or wide units decide here: not worth the time */
  }
  return st;
}

/* Once more with joint minima, for what neither bounds of units alone nor the attack have decided. */
static qv_status run_joint(query *k) {
  qv_status st = join(k);
  return st == QV_OK && k->r->joint != NULL ? linear_pass(k) : st;
}

/* In a large net only kinks and inputs can be split often enough to count, and if these lost nothing at all the bound would still not be a
 * proof: what is left is rounding, where splits do nothing (docs/robust-engine.md section 7). */
static bool hopeless(const query *k, const qv_robust_target *t) {
  if ((double)k->r->graph->n_w < LARGE || t->loss.noise <= 0) return false;
  return t->margin + fmax(0, t->loss.kink) + fmax(0, t->loss.input) < 0;
}

/* Open targets in ascending margin, so that a counterexample is met early; the first that stays open ends the query. */
static qv_status run_branching(query *k) {
  uint32_t n = 0, left = k->o.max_nodes;
  qv_robust_target **open = QV_NEW(&k->res->arena, k->res->n_target, qv_robust_target *);
  if (open == NULL) return QV_FAIL(k->err, QV_E_NOMEM, "robustness");
  for (uint32_t i = 0; i < k->res->n_target; i++)
    if (k->res->target[i].engine == QV_BY_NOTHING) open[n++] = &k->res->target[i];
  qsort(open, n, sizeof *open, by_margin);
  bool few = can_execute(k) && qv_box_points(k->lo, k->hi, k->r->graph->n_in) <= ALL_POINTS; /* for lists of inputs, if all else fails */
  qv_status st = QV_OK;
  for (uint32_t i = 0; st == QV_OK && i < n && k->res->verdict == QV_UNKNOWN && !late(k) && left > 0; i++) {
    uint32_t used;
    if (only_free(k, &open[i]->goal) && !few) break;
    if (!few && hopeless(k, open[i])) {
      k->rounding = true;
      break;
    }
    st = bound_target(k, open[i], left, &used);
    k->res->nodes += used;
    left -= used < left ? used : left;
  }
  return st;
}

/* ---- the query ---------------------------------------------------------------------------------------------------------- */

static qv_status check_query(const qv_net *net, const qv_robust_query *q, qv_err *err) {
  qv_status st = qv_condition_check(q->cond, net, err);
  if (st != QV_OK) return st;
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_tensor *t = &net->tensor[net->in[i].tensor];
    size_t m = qv_elems(t);
    for (size_t e = 0; q->n_points == 0 && e < m; e++)
      if (q->box[i][e].lo > q->box[i][e].hi || q->box[i][e].lo < t->lo || q->box[i][e].hi > t->hi)
        return QV_FAIL(err, QV_E_ARG, "input %u, element %zu: empty interval, or outside the declared range", i, e);
    for (size_t e = 0; e < q->n_points * m; e++)
      if (q->points[i][e] < t->lo || q->points[i][e] > t->hi)
        return QV_FAIL(err, QV_E_ARG, "input %u, point %zu: outside the declared range", i, e / m);
  }
  return QV_OK;
}

/* The box; of listed points their hull. */
static void input_bounds(query *k) {
  const qv_net *net = k->r->net;
  const qv_robust_query *q = k->q;
  for (uint32_t i = 0; i < net->n_in; i++)
    for (size_t e = 0, m = qv_elems(&net->tensor[net->in[i].tensor]); e < m; e++) {
      size_t v = k->r->graph->in_first[i] + e;
      k->lo[v] = q->n_points == 0 ? q->box[i][e].lo : q->points[i][e];
      k->hi[v] = q->n_points == 0 ? q->box[i][e].hi : q->points[i][e];
      for (size_t p = 1; p < q->n_points; p++) {
        k->lo[v] = qv_min64(k->lo[v], q->points[i][p * m + e]);
        k->hi[v] = qv_max64(k->hi[v], q->points[i][p * m + e]);
      }
      k->x[v] = q->n_points > 0 ? q->points[i][e] : q->point != NULL ? q->point[i][e] : k->lo[v] + (k->hi[v] - k->lo[v]) / 2;
    }
}

/* Nothing of the last query's. */
static qv_status part(qv_robust *r, qv_err *err) {
  qv_status st = QV_OK;
  for (uint32_t i = 0; st == QV_OK && i < r->n_dual; i++) st = qv_dual_join(r->dual[i], NULL, err);
  qv_joint_free(r->joint);
  r->joint = NULL;
  return st;
}

static qv_status setup(query *k) {
  const qv_condition *c = k->q->cond;
  size_t n = k->r->graph->n_in;
  uint32_t targets = qv_cond_targets(c, k->r->net);
  qv_arena *a = &k->res->arena;
  k->lo = QV_NEW(a, n, int64_t);
  k->hi = QV_NEW(a, n, int64_t);
  k->x = QV_NEW(a, n, int64_t);
  k->res->target = QV_NEW(a, (size_t)targets + 1, qv_robust_target);
  if (k->lo == NULL || k->hi == NULL || k->x == NULL || k->res->target == NULL) return QV_FAIL(k->err, QV_E_NOMEM, "robustness");
  input_bounds(k);
  for (uint32_t t = 0; t < targets; t++)
    if (qv_cond_is_target(c, t)) k->res->target[k->res->n_target++].target = t;
  k->r->batch.q = k->q;
  k->r->batch.n = 0;
  k->r->batch.deadline = k->deadline;
  return QV_OK;
}

static void by_enumeration(query *k) {
  for (uint32_t i = 0; i < k->res->n_target; i++)
    if (k->res->target[i].engine == QV_BY_NOTHING) k->res->target[i].engine = QV_BY_ENUMERATION;
}

/* All engines in order; stops as soon as the verdict is FALSIFIED or no target is open. */
static qv_status engines(query *k) {
  qv_status st;
  qv_robust_result *res = k->res;
  bool found;
  QV_TRY(replay(k, k->x, QV_BY_REPLAY, &found));
  if (found) return QV_OK;
  if (k->q->n_points > 0) {
    bool complete = false;
    if (k->r->can_run && !k->r->unordered) QV_TRY(run_points(k, &complete));
    if (complete) by_enumeration(k);
    return QV_OK;
  }
  QV_TRY(ranges_of(&k->range, k, k->lo, k->hi));
  k->unordered = k->r->unordered && harmful(k->r->net, &k->range, by_order);
  find_row(k);
  res->logits = k->row != QV_NONE;
  for (uint32_t i = 0; i < res->n_target; i++)
    if (!k->o.no_interval && !k->r->may_trap && excluded_by_interval(k, res->target[i].target)) res->target[i].engine = QV_BY_INTERVAL;
  if (!open_left(k) || late(k)) return QV_OK;
  QV_TRY(root_bounds(k));
  for (uint32_t i = 0; i < res->n_target; i++) QV_TRY(make_goal(k, res->target[i].target, &res->target[i].goal));
  k->bounded = true;
  bool attack = !k->o.no_attack && k->r->can_run;
  if (attack) QV_TRY(run_attack(k, 3));
  if (res->verdict != QV_UNKNOWN || late(k)) return QV_OK;
  uint64_t points = qv_box_points(k->lo, k->hi, k->r->graph->n_in);
  bool enumerable = !k->o.no_enumeration && k->r->can_run && !k->unordered;
  if (enumerable && points <= k->o.enumerate_max) {
    bool complete;
    QV_TRY(run_enumeration(k, points, INFINITY, &complete));
    if (complete) by_enumeration(k);
    if (complete || res->verdict != QV_UNKNOWN) return QV_OK;
  }
  if (late(k)) return QV_OK;
  if (!k->r->may_trap && !(k->o.no_linear && k->o.no_branching)) QV_TRY(deeper_bounds(k));
  if (!k->r->may_trap && !k->o.no_linear) QV_TRY(linear_pass(k));
  if (res->verdict != QV_UNKNOWN || !open_left(k)) return QV_OK;
  if (attack) QV_TRY(run_attack(k, k->o.attack_rounds));
  if (attack && res->verdict == QV_UNKNOWN && !late(k)) QV_TRY(attack_local(k, k->o.attack_rounds));
  if (!k->r->may_trap && !k->o.no_linear && res->verdict == QV_UNKNOWN && !late(k)) QV_TRY(run_joint(k));
  if (!k->r->may_trap && !k->o.no_branching && res->verdict == QV_UNKNOWN) QV_TRY(run_branching(k));
  if (res->verdict == QV_UNKNOWN && open_left(k) && !late(k) && enumerable && points <= ALL_POINTS) {
    bool complete;
    QV_TRY(run_enumeration(k, points, k->deadline > 0 ? INFINITY : LAST_WORK, &complete));
    if (complete) by_enumeration(k);
  }
done:
  return st;
}

static void conclude(query *k) {
  qv_robust_result *res = k->res;
  if (res->verdict == QV_FALSIFIED) return;
  res->verdict = QV_VERIFIED;
  res->engine = QV_BY_INTERVAL;
  res->margin = INFINITY;
  for (uint32_t i = 0; i < res->n_target; i++) {
    const qv_robust_target *t = &res->target[i];
    if (t->engine > res->engine) res->engine = t->engine;
    if (t->engine != QV_BY_NOTHING) continue;
    res->verdict = QV_UNKNOWN;
    if (t->margin >= res->margin) continue;
    res->margin = t->margin;
    res->loss = t->loss;
  }
  /* only a complete enumeration has excluded a trap, even where no target is open */
  if ((k->r->may_trap && res->engine != QV_BY_ENUMERATION) || k->r->opaque) res->verdict = QV_UNKNOWN;
  if (res->verdict == QV_VERIFIED && res->engine == QV_BY_SOLVER) { /* nothing is open, but not everything is proved */
    res->verdict = QV_UNKNOWN;
    res->engine = QV_BY_NOTHING;
    res->trusted = k->trusted;
    res->word = k->o.solver_name;
    res->margin = INFINITY;
    res->reason = "a solver's word";
    return;
  }
  if (res->verdict == QV_VERIFIED) return;
  res->engine = QV_BY_NOTHING;
  bool tail = false;
  for (uint32_t i = 0; k->bounded && i < res->n_target; i++)
    tail |= res->target[i].engine == QV_BY_NOTHING && only_free(k, &res->target[i].goal);
  res->reason = k->r->opaque     ? "an operator of the net is opaque"
                : k->unordered   ? "an accumulator's result may depend on the order of summation"
                : k->r->may_trap ? "an accumulator may reach undefined behaviour"
                : tail           ? "the output is known by its range only: a tail, a maximum, a product or an accumulator that may overflow"
                : k->rounding    ? "rounding alone loses more than the bound lacks, in a net too large for branching"
                : late(k)        ? "time limit"
                                 : "bounds too loose within the node limit";
}

qv_status qv_robust_run(qv_robust_result *out, qv_robust *r, const qv_robust_query *q, const qv_robust_opts *opts, qv_err *err) {
  *out = (qv_robust_result){0};
  query k = {.r = r, .q = q, .res = out, .err = err, .start = qv_clock()};
  if (opts != NULL) k.o = *opts;
  double rounds = ATTACK_WORK / (2 * (double)r->graph->n_w + 1);
  if (k.o.attack_rounds == 0) k.o.attack_rounds = (uint32_t)fmin(240, fmax(12, rounds));
  if (k.o.enumerate_max == 0) k.o.enumerate_max = ENUMERATE_MAX;
  if (k.o.max_nodes == 0) k.o.max_nodes = MAX_NODES;
  if (k.o.threads == 0) k.o.threads = 1;
  k.deadline = k.o.seconds > 0 ? k.start + k.o.seconds : 0;
  k.rng.s = k.o.seed;
  qv_status st = check_query(r->net, q, err);
  if (st == QV_OK) st = more_duals(r, k.o.threads, err);
  if (st == QV_OK) st = part(r, err);
  if (st == QV_OK) st = setup(&k);
  if (st == QV_OK) st = engines(&k);
  if (st == QV_E_LIMIT && late(&k)) { /* inside some engine: targets that are done stay done */
    if (err != NULL) *err = (qv_err){0};
    st = QV_OK;
  }
  if (st == QV_OK) conclude(&k);
  else out->verdict = QV_UNKNOWN;
  out->seconds = qv_clock() - k.start;
  qv_range_clear(&k.range);
  return st;
}

void qv_robust_clear(qv_robust_result *res) {
  for (uint32_t i = 0; i < res->n_target; i++) qv_bnb_clear(&res->target[i].tree);
  qv_arena_clear(&res->arena);
  *res = (qv_robust_result){0};
}
