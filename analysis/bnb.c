#include "analysis/bnb.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/enumerate.h"
#include "kernels/threshold.h"

#define ENOUGH 0.05 /* a bound in doubles above this is worth an exact evaluation */
#define ROUND 16    /* nodes taken at a time, whatever the number of threads */
#define MOST_THREADS 64

typedef struct {
  double bound; /* of the parent */
  uint32_t node;
} entry;

/* Multipliers that the two children of a node start from: of the units, in order, then those of the root. */
typedef struct {
  double *s;
  uint32_t users;
} start;

typedef struct {
  double score;
  qv_split_kind le;
  uint32_t var;
  int64_t at; /* le side: <= at, other side: >= at + 1 */
} split;

/* One node's work, and what came out of it. */
typedef struct {
  uint32_t node;
  bool done, empty, closed, suspect, no_memory;
  uint64_t points; /* closed by executing so many inputs; 0 = by multipliers */
  double bound;
  split s;
  double *start; /* to be handed to the children */
  int64_t *x;    /* candidate inputs */
  uint32_t n_x;
  int scale; /* closed: as in qv_bnb_node */
  uint32_t n;
  uint32_t *var_s;
  int32_t *is, *root;
} task;

typedef struct search search;

typedef struct {
  search *b;
  qv_dual *d;
  uint32_t number;
  uint32_t low; /* variables from here on differ from the root's bounds */
  bool fresh;   /* hulls were made for the root's bounds */
  int32_t *is, *is_root;
} worker;

struct search {
  qv_bnb *out;
  const qv_graph *g;
  const qv_goal *goal;
  const qv_bnb_opts *o;
  qv_err *err;
  int64_t *lo, *hi; /* bounds of the root */
  qv_itv *acc;
  start *start; /* [cap] of each node */
  size_t cap;
  entry *heap;
  size_t n_heap;
  size_t held; /* bytes of multipliers in `start` and in leaves */
  worker w[MOST_THREADS];
  uint32_t n_w;
  task t[ROUND];
  uint32_t n_t;
  bool no_points;   /* an execution's candidate was none: lists of inputs close nothing here */
  atomic_uint next; /* task to be taken */
};

/* ---- bounds ------------------------------------------------------------------------------------------------------------- */

/* Does the row of v read a variable in [a,b]? */
static bool reads(const qv_graph *g, uint32_t v, uint32_t a, uint32_t b) {
  const qv_unit *u = &g->unit[v];
  for (uint32_t i = u->seg; i < u->seg + u->n_seg; i++)
    if (g->seg[i].var <= b && g->seg[i].var + g->seg[i].len > a) return true;
  return false;
}

/* Recompute units that read variables first..last, and what follows from them. Intervals only shrink. `all`: the values' bounds
 * do not yet follow from those of the accumulators. */
static bool tighten(const qv_graph *g, int64_t *lo, int64_t *hi, qv_itv *acc, uint32_t first, uint32_t last, bool all) {
  for (uint32_t v = first > g->n_in ? first : g->n_in; v < g->n; v++) {
    if (g->unit[v].fn == QV_UNIT_FREE || (!all && !reads(g, v, first, last))) continue;
    qv_itv a = qv_unit_acc(g, v, lo, hi);
    a = (qv_itv){qv_max64(a.lo, acc[v].lo), qv_min64(a.hi, acc[v].hi)};
    if (a.lo > a.hi) return false;
    if (!all && a.lo == acc[v].lo && a.hi == acc[v].hi) continue;
    acc[v] = a;
    qv_itv y = qv_unit_image(g, v, a);
    if (y.lo <= lo[v] && y.hi >= hi[v]) continue;
    lo[v] = qv_max64(lo[v], y.lo);
    hi[v] = qv_min64(hi[v], y.hi);
    if (lo[v] > hi[v]) return false;
    if (v > last) last = v;
  }
  return true;
}

void qv_bounds_propagate(const qv_graph *g, int64_t *lo, int64_t *hi, qv_itv *acc, bool *empty) {
  *empty = !tighten(g, lo, hi, acc, g->n_in, g->n - 1, true);
}

static bool restrict_acc(qv_dual *d, uint32_t v, qv_itv a) {
  a = (qv_itv){qv_max64(a.lo, d->acc[v].lo), qv_min64(a.hi, d->acc[v].hi)};
  if (a.lo > a.hi) return false;
  d->acc[v] = a;
  qv_itv y = qv_unit_image(d->g, v, a);
  d->lo[v] = qv_max64(d->lo[v], y.lo);
  d->hi[v] = qv_min64(d->hi[v], y.hi);
  return d->lo[v] <= d->hi[v];
}

/* Bounds of node k in w->d; t0,t1 of the goal. False: empty, or no value t. */
static bool enter(worker *w, uint32_t k, qv_goal *goal) {
  const search *b = w->b;
  qv_dual *d = w->d;
  uint32_t n = b->g->n, low = n, last = 0;
  bool ok = true;
  memcpy(d->lo, b->lo, n * sizeof *d->lo);
  memcpy(d->hi, b->hi, n * sizeof *d->hi);
  memcpy(d->acc, b->acc, n * sizeof *d->acc);
  *goal = *b->goal;
  for (uint32_t i = k; ok && i != QV_NONE; i = b->out->node[i].parent) {
    const qv_bnb_node *s = &b->out->node[i];
    switch (s->kind) {
    case QV_SPLIT_NONE: continue;
    case QV_SPLIT_ACC_LE: ok = restrict_acc(d, s->var, (qv_itv){INT64_MIN, s->at}); break;
    case QV_SPLIT_ACC_GE: ok = restrict_acc(d, s->var, (qv_itv){s->at, INT64_MAX}); break;
    case QV_SPLIT_VAL_LE: ok = (d->hi[s->var] = qv_min64(d->hi[s->var], s->at)) >= d->lo[s->var]; break;
    case QV_SPLIT_VAL_GE: ok = (d->lo[s->var] = qv_max64(d->lo[s->var], s->at)) <= d->hi[s->var]; break;
    }
    if (s->var < low) low = s->var;
    if (s->var > last) last = s->var;
  }
  if (ok && low < n) ok = tighten(d->g, d->lo, d->hi, d->acc, low, last, false);
  w->low = low < w->low ? low : w->low;
  return ok && (goal->kind != QV_GOAL_PAIR || qv_dual_levels(d, goal, &goal->t0, &goal->t1));
}

/* ---- tree --------------------------------------------------------------------------------------------------------------- */

static qv_status room(search *b) {
  if (b->out->n + 2 <= b->cap) return QV_OK;
  size_t cap = b->cap == 0 ? 64 : 2 * b->cap;
  qv_bnb_node *node = realloc(b->out->node, cap * sizeof *node);
  if (node != NULL) b->out->node = node;
  start *s = realloc(b->start, cap * sizeof *s);
  if (s != NULL) b->start = s;
  entry *h = realloc(b->heap, cap * sizeof *h);
  if (h != NULL) b->heap = h;
  if (node == NULL || s == NULL || h == NULL) return QV_FAIL(b->err, QV_E_NOMEM, "branch and bound");
  memset(s + b->cap, 0, (cap - b->cap) * sizeof *s);
  b->cap = cap;
  return QV_OK;
}

static bool before(entry p, entry q) { return p.bound < q.bound || (p.bound <= q.bound && p.node < q.node); }

static void heap_push(search *b, entry e) {
  size_t i = b->n_heap++;
  for (; i > 0 && before(e, b->heap[(i - 1) / 2]); i = (i - 1) / 2) b->heap[i] = b->heap[(i - 1) / 2];
  b->heap[i] = e;
}

static entry heap_pop(search *b) {
  entry top = b->heap[0], e = b->heap[--b->n_heap];
  size_t i = 0;
  for (size_t c; (c = 2 * i + 1) < b->n_heap; i = c) {
    if (c + 1 < b->n_heap && before(b->heap[c + 1], b->heap[c])) c++;
    if (!before(b->heap[c], e)) break;
    b->heap[i] = b->heap[c];
  }
  b->heap[i] = e;
  return top;
}

static void add_node(search *b, uint32_t parent, qv_split_kind kind, uint32_t var, int64_t at, double bound) {
  b->out->node[b->out->n] = (qv_bnb_node){.parent = parent, .kind = kind, .var = var, .at = at, .leaf = QV_LEAF_OPEN};
  heap_push(b, (entry){bound, b->out->n++});
}

static size_t starts(const search *b) { return b->g->n - b->g->n_in + qv_goal_roots(b->goal); }

static qv_status add_children(search *b, task *t) {
  qv_status st = room(b);
  if (st != QV_OK) return st;
  b->start[t->node] = (start){t->start, 2};
  t->start = NULL;
  b->held += starts(b) * sizeof(double);
  b->out->node[t->node].leaf = QV_LEAF_INNER;
  add_node(b, t->node, t->s.le, t->s.var, t->s.at, t->bound);
  add_node(b, t->node, t->s.le + 1, t->s.var, t->s.at + 1, t->bound);
  return QV_OK;
}

static void release(search *b, uint32_t node) {
  uint32_t k = b->out->node[node].parent;
  if (k == QV_NONE || --b->start[k].users > 0) return;
  free(b->start[k].s);
  b->start[k].s = NULL;
  b->held -= starts(b) * sizeof(double);
}

/* ---- branching ------------------------------------------------------------------------------------------------------------ */

/* Hull towards which m pushes, at x. */
static double hull_at(const qv_hull *h, double m, double x) {
  const qv_point *p = m >= 0 ? h->lo : h->up;
  uint32_t n = m >= 0 ? h->n_lo : h->n_up, i = 1;
  while (i + 1 < n && (double)p[i].x < x) i++;
  if (n < 2) return (double)p[0].y;
  return (double)p[i - 1].y + (double)(p[i].y - p[i - 1].y) * (x - (double)p[i - 1].x) / (double)(p[i].x - p[i - 1].x);
}

/* The clamp's kink inside the interval that the hull cuts off by most, if that is more than rounding can be. */
static bool kink(const qv_dual *d, uint32_t v, double m, const qv_thresholds *l, int64_t *at) {
  const qv_itv a = d->acc[v];
  const int64_t ends[2] = {l->at[1] - 1, l->at[l->n - 1] - 1};
  double most = 1.5;
  bool found = false;
  for (int k = 0; k < 2; k++) {
    if (ends[k] < a.lo || ends[k] >= a.hi) continue;
    double off = fabs((double)qv_unit_eval(d->g, v, ends[k]) - hull_at(&d->hull[v], m, (double)ends[k]));
    if (off <= most) continue;
    most = off;
    *at = ends[k];
    found = true;
  }
  return found;
}

/* Where the averaged relaxed solution leaves f_v most, and the cut that forbids it: the end of its run of equal values from
 * which the hull has to rise anew. */
static void best_unit(const qv_dual *d, split *best) {
  const qv_graph *g = d->g;
  for (uint32_t i = d->n_list; i-- > 0;) { /* ascending */
    uint32_t v = d->list[i];
    if (!qv_unit_function(g, v) || d->flat[v] || d->m[v] == 0 || isnan(d->x[v])) continue;
    double m = d->m[v], a = fmin((double)d->acc[v].hi, fmax((double)d->acc[v].lo, d->mean[v]));
    int64_t x = qv_clamp64(llrint(a), d->acc[v].lo, d->acc[v].hi), y = qv_unit_eval(g, v, x);
    double gap = m * ((double)y - hull_at(&d->hull[v], m, (double)x));
    if (!(gap > best->score)) continue;
    const qv_unit *u = &g->unit[v];
    int64_t at = x;
    if (u->fn == QV_UNIT_STEP && g->level[u->node][u->channel].at != NULL) {
      const qv_thresholds *l = &g->level[u->node][u->channel];
      int64_t down = y > l->lo ? l->at[y - l->lo] - 1 : INT64_MIN, up = y - l->lo + 1 < l->n ? l->at[y - l->lo + 1] - 1 : INT64_MAX;
      at = m > 0 ? down : up;
      if (at < d->acc[v].lo || at >= d->acc[v].hi) at = m > 0 ? up : down;
      (void)kink(d, v, m, l, &at);
    }
    if (u->fn == QV_UNIT_THRESHOLD) { /* between two pieces, at the end of this one where they rise (fall) into it */
      qv_itv run = qv_pieces_run(qv_unit_pieces(g, v), x);
      at = m > 0 ? run.lo - 1 : run.hi; /* run.lo >= -2^62, or INT64_MIN + 1 */
      if (at < d->acc[v].lo || at >= d->acc[v].hi) at = m > 0 ? run.hi : run.lo - 1;
    }
    if (at >= d->acc[v].hi) at = d->acc[v].hi - 1;
    if (at < d->acc[v].lo) at = d->acc[v].lo;
    if (at >= d->acc[v].hi) continue;
    if (u->arg != QV_NONE && !qv_graph_splits(g, u->arg)) continue;
    *best = u->arg != QV_NONE ? (split){gap, QV_SPLIT_VAL_LE, u->arg, at} : (split){gap, QV_SPLIT_ACC_LE, v, at};
  }
}

/* The value of f_y in a pair: distance of the averaged (acc_y, acc_j) from the violation. A split on acc_y, not on t alone: a
 * violation can have several t, and leaves that exclude different ones of them would not add up to a proof. */
static void best_level(const qv_dual *d, const qv_goal *goal, split *best) {
  if (goal->kind != QV_GOAL_PAIR || goal->t1 <= goal->t0 || goal->t1 - goal->t0 > 65536) return;
  if (d->g->unit[goal->y].fn == QV_UNIT_ID || d->g->unit[goal->y].arg != QV_NONE) return;
  double gap = INFINITY;
  int64_t t_min = goal->t0;
  for (int64_t t = goal->t0; t <= goal->t1; t++) {
    double miss = fmax(0, d->mean_root[0] - (double)qv_dual_a(d, goal->y, t)) +
                  fmax(0, (double)qv_dual_b(d, goal->j, t + goal->gap) - d->mean_root[1]);
    if (miss < gap) gap = miss, t_min = t;
  }
  if (gap > best->score) *best = (split){gap, QV_SPLIT_ACC_LE, goal->y, qv_dual_a(d, goal->y, t_min < goal->t1 ? t_min : t_min - 1)};
}

/* Last resort: the input by which the bound can move most, at the averaged value; where it moves by none, the middle of the widest. */
static void best_input(const qv_dual *d, split *best) {
  double score = -1;
  for (uint32_t v = 0; v < d->g->n_in; v++) {
    if (d->lo[v] == d->hi[v]) continue;
    double width = (double)(d->hi[v] - d->lo[v]), s = (fabs((double)d->coef[v]) + 1e-9) * width;
    if (s <= score) continue;
    score = s;
    double mean = d->coef[v] != 0 ? d->mean[v] : (double)d->lo[v] + 0.5 * width;
    int64_t at = qv_clamp64((int64_t)floor(mean), d->lo[v], d->hi[v] - 1);
    *best = (split){s, QV_SPLIT_VAL_LE, v, at};
  }
}

/* Saturated outputs first: the points (B_t, A_t) of a saturated t are far from the line of the others, and their common hull
 * says little. At most two such splits on any path. */
static bool saturation(const qv_dual *d, const qv_goal *goal, split *s) {
  if (goal->kind != QV_GOAL_PAIR || goal->t1 <= goal->t0 || d->g->unit[goal->y].fn != QV_UNIT_STEP || d->g->unit[goal->y].arg != QV_NONE)
    return false;
  const qv_unit *y = &d->g->unit[goal->y], *j = &d->g->unit[goal->j];
  const qv_thresholds *ly = &d->g->level[y->node][y->channel], *lj = &d->g->level[j->node][j->channel];
  if (goal->t0 + goal->gap <= lj->lo || goal->t0 == ly->lo) *s = (split){0, QV_SPLIT_ACC_LE, goal->y, qv_dual_a(d, goal->y, goal->t0)};
  else if (goal->t1 + 1 == ly->lo + ly->n) *s = (split){0, QV_SPLIT_ACC_LE, goal->y, qv_dual_a(d, goal->y, goal->t1 - 1)};
  else return false;
  return true;
}

/* Units with very many values can be halved for long without effect: after some of that, inputs are split, which ends in
 * points. */
static bool too_wide(const search *b, uint32_t k) {
  uint32_t halved = 0;
  for (; b->out->node[k].parent != QV_NONE; k = b->out->node[k].parent) {
    const qv_bnb_node *n = &b->out->node[k];
    if (n->var < b->g->n_in) continue;
    const qv_unit *u = &b->g->unit[n->var];
    halved += u->fn != QV_UNIT_STEP || b->g->level[u->node][u->channel].at == NULL;
  }
  return halved > 12;
}

/* Does the bound lean on the range of a free unit? Only splits of inputs lead on from there: every other one then. */
static bool leans_on_range(const search *b, const qv_dual *d, uint32_t k) {
  bool free_unit = false, odd = false;
  for (uint32_t i = 0; b->g->any_free && !free_unit && i < d->n_list; i++) {
    uint32_t v = d->list[i];
    free_unit = b->g->unit[v].fn == QV_UNIT_FREE && d->m[v] != 0 && d->lo[v] < d->hi[v];
  }
  for (; free_unit && b->out->node[k].parent != QV_NONE; k = b->out->node[k].parent) odd = !odd;
  return free_unit && odd;
}

static split choose(const worker *w, uint32_t k, const qv_goal *goal) {
  split s = {1e-3, QV_SPLIT_NONE, 0, 0};
  if (saturation(w->d, goal, &s)) return s;
  if (too_wide(w->b, k) || leans_on_range(w->b, w->d, k)) best_input(w->d, &s);
  if (s.le != QV_SPLIT_NONE) return s;
  best_unit(w->d, &s);
  best_level(w->d, goal, &s);
  if (s.le == QV_SPLIT_NONE) best_input(w->d, &s);
  return s;
}

/* ---- one node ------------------------------------------------------------------------------------------------------------- */

/* Close the node with the multipliers found, if the exact integers agree. *lost: by how much they are below the doubles. False: no
 * memory. */
static bool close(worker *w, task *t, const qv_goal *goal, double *lost) {
  const qv_graph *g = w->b->g;
  qv_i128 bound;
  *lost = INFINITY;
  qv_dual_round(w->d, goal, w->is, w->is_root, &t->scale);
  if (!qv_dual_exact(&bound, w->d, goal, w->is, w->is_root, t->scale)) return true;
  *lost = t->bound - ldexp((double)bound, -t->scale);
  if (bound <= 0) return true;
  uint32_t roots = qv_goal_roots(goal), i = 0;
  t->n = 0;
  for (uint32_t v = g->n_in; v < g->n; v++) t->n += w->is[v] != 0;
  t->var_s = malloc((t->n + 1) * sizeof *t->var_s);
  t->is = malloc((t->n + 1) * sizeof *t->is);
  t->root = malloc((roots + 1) * sizeof *t->root);
  if (t->var_s == NULL || t->is == NULL || t->root == NULL) return false;
  memcpy(t->root, w->is_root, roots * sizeof *t->root);
  for (uint32_t v = g->n_in; v < g->n; v++)
    if (w->is[v] != 0) {
      t->var_s[i] = v;
      t->is[i++] = w->is[v];
    }
  return t->closed = true;
}

/* One candidate more. NULL: no memory. */
static int64_t *add_candidate(task *t, uint32_t n_in) {
  int64_t *x = realloc(t->x, (t->n_x + 1) * (size_t)n_in * sizeof *x + 1);
  if (x == NULL) return NULL;
  t->x = x;
  return x + t->n_x++ * (size_t)n_in;
}

/* Close a node with few inputs by executing them all. False: no memory. */
static bool execute(worker *w, task *t) {
  const search *b = w->b;
  const qv_dual *d = w->d;
  uint32_t n = b->g->n_in;
  uint64_t points = b->o->leaf_points > 0 && !b->no_points ? qv_box_points(d->lo, d->hi, n) : UINT64_MAX;
  if (points > b->o->leaf_points) return true;
  int64_t *x = add_candidate(t, n);
  if (x == NULL) return false;
  qv_points_answer a = b->o->points(b->o->leaf, w->number, d->lo, d->hi, x);
  if (a != QV_POINTS_HIT) t->n_x--;
  t->suspect = a == QV_POINTS_HIT;
  if (a == QV_POINTS_NONE) {
    t->closed = true;
    t->points = points;
  }
  return true;
}

/* Two inputs that the search ended with. False: no memory. */
static bool add_candidates(task *t, const qv_dual *d) {
  uint32_t n = d->g->n_in;
  int64_t *x = add_candidate(t, n);
  for (uint32_t v = 0; x != NULL && v < n; v++) x[v] = qv_clamp64((int64_t)d->at[v], d->lo[v], d->hi[v]);
  if (x == NULL || (x = add_candidate(t, n)) == NULL) return false;
  for (uint32_t v = 0; v < n; v++) x[v] = qv_clamp64((int64_t)llrint(d->mean[v]), d->lo[v], d->hi[v]);
  return true;
}

#define EARLY 40 /* root steps after which inputs are tried: the search is still wide then */

/* Behind a split of the pair's own value the parent's multipliers of the root are far off. */
static bool saturated(const search *b, uint32_t k) {
  return b->goal->kind == QV_GOAL_PAIR && b->out->node[k].var == b->goal->y && b->out->node[k].kind <= QV_SPLIT_ACC_GE;
}

/* False: no memory. */
static bool process(worker *w, task *t) {
  search *b = w->b;
  qv_dual *d = w->d;
  size_t units = b->g->n - b->g->n_in, roots = qv_goal_roots(b->goal);
  qv_goal goal;
  uint32_t parent = b->out->node[t->node].parent;
  qv_err quiet = {0};
  t->empty = !enter(w, t->node, &goal);
  t->done = true;
  if (t->empty) return true;
  qv_status st = qv_dual_refresh(d, w->fresh ? w->low : 0, &quiet);
  if (st == QV_E_LIMIT) { /* as if nobody had looked at it */
    t->done = w->fresh = false;
    return true;
  }
  if (st != QV_OK || !qv_dual_goal(d, &goal)) return false;
  w->fresh = true;
  if (parent == QV_NONE || saturated(b, t->node)) {
    qv_dual_default(d, &goal);
  } else {
    memcpy(d->s + b->g->n_in, b->start[parent].s, units * sizeof *d->s);
    memcpy(d->root_s, b->start[parent].s + units, roots * sizeof *d->s);
  }
  uint32_t steps = parent == QV_NONE ? b->o->root_steps : b->o->node_steps;
  if (parent == QV_NONE && b->o->slope_steps > 0) t->bound = qv_dual_slopes(d, &goal, b->o->slope_steps, ENOUGH);
  if (parent == QV_NONE && steps > EARLY && !(t->bound > ENOUGH)) {
    t->bound = qv_dual_climb(d, &goal, EARLY, ENOUGH);
    if (!add_candidates(t, d)) return false;
    steps -= EARLY;
  }
  if (!(t->bound > ENOUGH)) t->bound = qv_dual_climb(d, &goal, steps, ENOUGH);
  double lost;
  if (t->bound > 0 && !close(w, t, &goal, &lost)) return false;
  if (t->bound > 0 && !t->closed && isfinite(lost)) { /* rounding takes more than ENOUGH: go on until it does not matter */
    t->bound = qv_dual_climb(d, &goal, b->o->node_steps, fmax(ENOUGH, 2 * lost));
    if (!close(w, t, &goal, &lost)) return false;
  }
  if (!t->closed && !execute(w, t)) return false;
  if (t->closed) return true;
  if (parent == QV_NONE && b->o->center != NULL) b->out->loss = qv_dual_losses(d, &goal, b->o->center);
  t->s = choose(w, t->node, &goal);
  if (t->s.le == QV_SPLIT_NONE) { /* a point, as far as there are units: doubles may have hidden a positive bound */
    if (!close(w, t, &goal, &lost)) return false;
    if (t->closed) return true;
  }
  t->start = malloc((units + roots) * sizeof *t->start + 1);
  if (t->start == NULL || !add_candidates(t, d)) return false;
  memcpy(t->start, d->s + b->g->n_in, units * sizeof *d->s);
  memcpy(t->start + units, d->root_s, roots * sizeof *d->s);
  return true;
}

static bool late(const search *b) { return b->o->deadline > 0 && qv_clock() > b->o->deadline; }

static void *work(void *p) {
  worker *w = p;
  search *b = w->b;
  for (uint32_t i; (i = atomic_fetch_add(&b->next, 1)) < b->n_t;) {
    if (b->t[i].node != 0 && late(b)) break; /* the root is always bounded once */
    b->t[i].no_memory = !process(w, &b->t[i]);
  }
  return NULL;
}

/* ---- rounds --------------------------------------------------------------------------------------------------------------- */

static void clear_task(task *t) {
  free(t->start);
  free(t->x);
  free(t->var_s);
  free(t->is);
  free(t->root);
  *t = (task){0};
}

static qv_status keep_leaf(search *b, task *t) {
  qv_bnb_node *n = &b->out->node[t->node];
  uint32_t roots = qv_goal_roots(b->goal);
  n->leaf = t->empty ? QV_LEAF_EMPTY : t->points > 0 ? QV_LEAF_POINTS : QV_LEAF_DUAL;
  b->out->n_leaves++;
  b->out->points += t->points;
  if (t->empty || t->points > 0 || !b->o->evidence) return QV_OK;
  n->scale = t->scale;
  n->n = t->n;
  n->var_s = QV_NEW(&b->out->arena, n->n, uint32_t);
  n->s = QV_NEW(&b->out->arena, n->n, int32_t);
  n->root = QV_NEW(&b->out->arena, roots, int32_t);
  if (n->var_s == NULL || n->s == NULL || n->root == NULL) return QV_FAIL(b->err, QV_E_NOMEM, "branch and bound");
  memcpy(n->var_s, t->var_s, n->n * sizeof *n->var_s);
  memcpy(n->s, t->is, n->n * sizeof *n->s);
  memcpy(n->root, t->root, roots * sizeof *n->root);
  size_t bytes = n->n * (sizeof *n->var_s + sizeof *n->s);
  b->held += bytes;
  b->out->kept += bytes;
  return QV_OK;
}

/* Enter the results in order. QV_E_LIMIT: a limit is reached. */
static qv_status commit(search *b) {
  qv_status st = QV_OK;
  for (uint32_t i = 0; i < b->n_t; i++) {
    task *t = &b->t[i];
    if (t->no_memory) return QV_FAIL(b->err, QV_E_NOMEM, "branch and bound");
    if (t->done && t->node == 0) b->out->root_margin = t->bound;
    if (t->points > b->o->points_max - b->out->points) { /* more than a checker has to take */
      t->closed = false;
      t->points = 0;
      t->done = false;
    }
    if (t->done && (t->empty || t->closed)) {
      release(b, t->node);
      if (keep_leaf(b, t) != QV_OK) return QV_E_NOMEM;
      continue;
    }
    if (t->done && t->s.le == QV_SPLIT_NONE) b->out->exhausted = true;
    if (!t->done || b->out->exhausted || b->out->n + 2 > b->o->max_nodes || b->held > b->o->memory) {
      if (!t->done) t->bound = -INFINITY; /* not looked at: its parent's bound is in no table any more */
      heap_push(b, (entry){t->bound, t->node});
      st = QV_E_LIMIT;
      continue;
    }
    release(b, t->node);
    if (add_children(b, t) != QV_OK) return QV_E_NOMEM;
  }
  return st;
}

/* Offer the candidates of all nodes that stayed open. */
static bool found(search *b) {
  uint32_t n = 0, n_in = b->g->n_in;
  bool suspected = false; /* an execution of all inputs of a node gave a candidate */
  for (uint32_t i = 0; i < b->n_t; i++) {
    n += b->t[i].closed ? 0 : b->t[i].n_x;
    suspected |= b->t[i].suspect;
  }
  if (b->o->probe == NULL || n == 0) return false;
  int64_t *x = malloc((size_t)n * n_in * sizeof *x + 1), *to = x;
  if (x == NULL) return false;
  for (uint32_t i = 0; i < b->n_t; i++) {
    if (b->t[i].closed || b->t[i].n_x == 0) continue;
    memcpy(to, b->t[i].x, b->t[i].n_x * (size_t)n_in * sizeof *x);
    to += b->t[i].n_x * (size_t)n_in;
  }
  bool hit = b->o->probe(b->o->ctx, x, n);
  free(x);
  b->no_points |= !hit && suspected;
  return hit;
}

static qv_status run_round(search *b) {
  pthread_t thread[MOST_THREADS];
  uint32_t started = 1;
  b->n_t = 0;
  while (b->n_t < ROUND && b->n_heap > 0) b->t[b->n_t++] = (task){.node = heap_pop(b).node};
  atomic_store(&b->next, 0);
  uint32_t want = b->n_w < b->n_t ? b->n_w : b->n_t;
  for (; started < want; started++)
    if (pthread_create(&thread[started], NULL, work, &b->w[started]) != 0) break;
  work(&b->w[0]);
  for (uint32_t i = 1; i < started; i++) (void)pthread_join(thread[i], NULL);
  qv_status st = QV_OK;
  if (found(b)) b->out->verdict = QV_FALSIFIED;
  else st = commit(b);
  for (uint32_t i = 0; i < b->n_t; i++) clear_task(&b->t[i]);
  return st;
}

static qv_status setup(search *b, qv_dual *const *d) {
  size_t n = b->g->n;
  qv_arena *a = &b->out->arena;
  b->lo = QV_NEW(a, n, int64_t);
  b->hi = QV_NEW(a, n, int64_t);
  b->acc = QV_NEW(a, n, qv_itv);
  if (b->lo == NULL || b->hi == NULL || b->acc == NULL) return QV_FAIL(b->err, QV_E_NOMEM, "branch and bound");
  memcpy(b->lo, d[0]->lo, n * sizeof *b->lo);
  memcpy(b->hi, d[0]->hi, n * sizeof *b->hi);
  memcpy(b->acc, d[0]->acc, n * sizeof *b->acc);
  uint32_t threads = b->o->threads < 1 ? 1 : b->o->threads;
  for (; b->n_w < threads && b->n_w < MOST_THREADS; b->n_w++) {
    worker *w = &b->w[b->n_w];
    *w = (worker){.b = b, .d = d[b->n_w], .number = b->n_w, .low = (uint32_t)n, .fresh = b->n_w == 0};
    w->is = QV_NEW(a, n, int32_t);
    w->is_root = QV_NEW(a, qv_goal_roots(b->goal), int32_t);
    if (w->is == NULL || w->is_root == NULL) return QV_FAIL(b->err, QV_E_NOMEM, "branch and bound");
    if (b->n_w > 0) { /* spans of the goal's parts are those of the root */
      memcpy(w->d->lo, b->lo, n * sizeof *b->lo);
      memcpy(w->d->hi, b->hi, n * sizeof *b->hi);
    }
    w->d->deadline = b->o->deadline;
    qv_status st = qv_dual_begin(w->d, b->goal, b->err);
    if (st != QV_OK) return st;
  }
  return room(b);
}

qv_status qv_bnb_run(qv_bnb *out, qv_dual *const *d, const qv_goal *goal, const qv_bnb_opts *opts, qv_err *err) {
  *out = (qv_bnb){0};
  search *b = calloc(1, sizeof *b);
  if (b == NULL) return QV_FAIL(err, QV_E_NOMEM, "branch and bound");
  b->out = out;
  b->g = d[0]->g;
  b->goal = goal;
  b->o = opts;
  b->err = err;
  qv_status st = setup(b, d);
  if (st != QV_OK) goto done;
  add_node(b, QV_NONE, QV_SPLIT_NONE, 0, 0, -INFINITY);
  while (b->n_heap > 0 && st == QV_OK && out->verdict == QV_UNKNOWN && !(out->n > 1 && late(b))) st = run_round(b);
  if (st == QV_E_LIMIT) st = QV_OK;
  if (st == QV_OK && b->n_heap == 0 && out->verdict == QV_UNKNOWN) out->verdict = QV_VERIFIED;
  out->margin = INFINITY;
  for (size_t i = 0; i < b->n_heap; i++)
    if (b->heap[i].bound > -INFINITY) out->margin = fmin(out->margin, b->heap[i].bound);
  if (out->margin > 0x1p1000) out->margin = out->root_margin;
done:
  if (b->lo != NULL && b->hi != NULL && b->acc != NULL) { /* the caller's bounds */
    memcpy(d[0]->lo, b->lo, b->g->n * sizeof *b->lo);
    memcpy(d[0]->hi, b->hi, b->g->n * sizeof *b->hi);
    memcpy(d[0]->acc, b->acc, b->g->n * sizeof *b->acc);
    qv_err quiet = {0}; /* at the deadline nobody needs what would be refreshed */
    if (st == QV_OK && qv_dual_refresh(d[0], 0, &quiet) == QV_E_NOMEM) st = QV_FAIL(err, QV_E_NOMEM, "%s", quiet.msg);
  }
  for (size_t k = 0; k < b->cap; k++) free(b->start[k].s);
  free(b->start);
  free(b->heap);
  free(b);
  return st;
}

void qv_bnb_clear(qv_bnb *b) {
  free(b->node);
  qv_arena_clear(&b->arena);
  *b = (qv_bnb){0};
}

uint32_t qv_bnb_restrictions(qv_restriction *r, const qv_bnb *b, const qv_graph *g, uint32_t node) {
  uint32_t n = 0;
  for (uint32_t k = node; b->node[k].parent != QV_NONE; k = b->node[k].parent, n++) {
    const qv_bnb_node *s = &b->node[k];
    const qv_unit *u = &g->unit[s->var];
    bool le = s->kind == QV_SPLIT_ACC_LE || s->kind == QV_SPLIT_VAL_LE, acc = s->kind == QV_SPLIT_ACC_LE || s->kind == QV_SPLIT_ACC_GE;
    if (r != NULL) r[n] = (qv_restriction){acc ? u->src : u->tensor, u->el, le ? (qv_itv){INT64_MIN, s->at} : (qv_itv){s->at, INT64_MAX}};
  }
  return n;
}
