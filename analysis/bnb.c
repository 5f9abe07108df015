#include "analysis/bnb.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/threshold.h"

#define HELD_LIMIT ((size_t)1 << 30) /* bytes of multipliers that open nodes may hold */
#define ENOUGH 0.05                  /* a bound in doubles above this is worth an exact evaluation */

typedef struct {
  double bound; /* of the parent */
  uint32_t node;
} entry;

/* Multipliers that the two children of a node start from. */
typedef struct {
  double *s; /* of the units, in order, then those of the root */
  uint32_t users;
} start;

typedef struct {
  qv_bnb *out;
  qv_dual *d;
  const qv_goal *goal;
  const qv_bnb_opts *o;
  qv_err *err;
  int64_t *lo, *hi; /* bounds of the root */
  qv_itv *acc;
  start *start; /* [cap] of each node */
  size_t cap;
  entry *heap;
  size_t n_heap;
  size_t held; /* bytes of multipliers in `start` */
  int32_t *is, *is_root;
  int64_t *x;
  uint32_t low; /* variables from here on differ from the root's bounds */
} search;

double qv_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

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

static bool restrict_acc(search *b, uint32_t v, qv_itv a) {
  qv_dual *d = b->d;
  a = (qv_itv){qv_max64(a.lo, d->acc[v].lo), qv_min64(a.hi, d->acc[v].hi)};
  if (a.lo > a.hi) return false;
  d->acc[v] = a;
  qv_itv y = qv_unit_image(d->g, v, a);
  d->lo[v] = qv_max64(d->lo[v], y.lo);
  d->hi[v] = qv_min64(d->hi[v], y.hi);
  return d->lo[v] <= d->hi[v];
}

/* Bounds of node k in b->d; t0,t1 of the goal. False: empty, or no value t. */
static bool enter(search *b, uint32_t k, qv_goal *goal) {
  qv_dual *d = b->d;
  uint32_t n = d->g->n, low = n, last = 0;
  bool ok = true;
  memcpy(d->lo, b->lo, n * sizeof *d->lo);
  memcpy(d->hi, b->hi, n * sizeof *d->hi);
  memcpy(d->acc, b->acc, n * sizeof *d->acc);
  *goal = *b->goal;
  for (uint32_t i = k; ok && i != QV_NONE; i = b->out->node[i].parent) {
    const qv_bnb_node *s = &b->out->node[i];
    switch (s->kind) {
    case QV_SPLIT_NONE: continue;
    case QV_SPLIT_ACC_LE: ok = restrict_acc(b, s->var, (qv_itv){INT64_MIN, s->at}); break;
    case QV_SPLIT_ACC_GE: ok = restrict_acc(b, s->var, (qv_itv){s->at, INT64_MAX}); break;
    case QV_SPLIT_IN_LE: ok = (d->hi[s->var] = qv_min64(d->hi[s->var], s->at)) >= d->lo[s->var]; break;
    case QV_SPLIT_IN_GE: ok = (d->lo[s->var] = qv_max64(d->lo[s->var], s->at)) <= d->hi[s->var]; break;
    }
    if (s->var < low) low = s->var;
    if (s->var > last) last = s->var;
  }
  if (ok && low < n) ok = tighten(d->g, d->lo, d->hi, d->acc, low, last, false);
  b->low = low < b->low ? low : b->low;
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

static size_t start_bytes(const search *b) { return (b->d->g->n - b->d->g->n_in + qv_goal_roots(b->goal)) * sizeof(double); }

static qv_status add_children(search *b, uint32_t k, qv_split_kind le, uint32_t var, int64_t at, double bound) {
  qv_status st = room(b);
  if (st != QV_OK) return st;
  size_t units = b->d->g->n - b->d->g->n_in;
  start *s = &b->start[k];
  if ((s->s = malloc(start_bytes(b) + 1)) == NULL) return QV_FAIL(b->err, QV_E_NOMEM, "branch and bound");
  memcpy(s->s, b->d->s + b->d->g->n_in, units * sizeof *s->s);
  memcpy(s->s + units, b->d->root_s, qv_goal_roots(b->goal) * sizeof *s->s);
  b->held += start_bytes(b);
  s->users = 2;
  b->out->node[k].leaf = QV_LEAF_INNER;
  add_node(b, k, le, var, at, bound);
  add_node(b, k, le + 1, var, at + 1, bound);
  return QV_OK;
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

typedef struct {
  double score;
  qv_split_kind le;
  uint32_t var;
  int64_t at; /* le side: <= at, other side: >= at + 1 */
} split;

/* Where the averaged relaxed solution leaves f_v most, and the cut that forbids it: the end of its run of equal values from
 * which the hull has to rise anew. */
static void best_unit(const search *b, split *best) {
  const qv_dual *d = b->d;
  const qv_graph *g = d->g;
  for (uint32_t v = g->n_in; v < g->n; v++) {
    if (g->unit[v].fn == QV_UNIT_FREE || g->unit[v].fn == QV_UNIT_ID || d->lo[v] == d->hi[v] || d->m[v] == 0 || isnan(d->x[v])) continue;
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
    }
    if (u->fn == QV_UNIT_THRESHOLD) { /* between two pieces, at the end of this one where they rise (fall) into it */
      qv_itv run = qv_pieces_run(qv_unit_pieces(g, v), x);
      at = m > 0 ? run.lo - 1 : run.hi; /* run.lo >= -2^62, or INT64_MIN + 1 */
      if (at < d->acc[v].lo || at >= d->acc[v].hi) at = m > 0 ? run.hi : run.lo - 1;
    }
    if (at >= d->acc[v].hi) at = d->acc[v].hi - 1;
    if (at < d->acc[v].lo) at = d->acc[v].lo;
    if (at >= d->acc[v].hi) continue;
    *best = (split){gap, QV_SPLIT_ACC_LE, v, at};
  }
}

/* The value of f_y in a pair: distance of the averaged (acc_y, acc_j) from the violation. A split on acc_y, not on t alone: a
 * violation can have several t, and leaves that exclude different ones of them would not add up to a proof. */
static void best_level(const search *b, const qv_goal *goal, split *best) {
  if (goal->kind != QV_GOAL_PAIR || goal->t1 <= goal->t0 || goal->t1 - goal->t0 > 65536) return;
  if (b->d->g->unit[goal->y].fn == QV_UNIT_ID) return;
  double gap = INFINITY;
  int64_t t_min = goal->t0;
  for (int64_t t = goal->t0; t <= goal->t1; t++) {
    double miss = fmax(0, b->d->mean_root[0] - (double)qv_dual_a(b->d, goal->y, t)) +
                  fmax(0, (double)qv_dual_b(b->d, goal->j, t + goal->strict) - b->d->mean_root[1]);
    if (miss < gap) gap = miss, t_min = t;
  }
  if (gap > best->score) *best = (split){gap, QV_SPLIT_ACC_LE, goal->y, qv_dual_a(b->d, goal->y, t_min < goal->t1 ? t_min : t_min - 1)};
}

/* Last resort: the widest input that the bound depends on, at the averaged value; then any. */
static void best_input(const search *b, split *best) {
  const qv_dual *d = b->d;
  double score = -1;
  for (uint32_t v = 0; v < d->g->n_in; v++) {
    if (d->lo[v] == d->hi[v]) continue;
    double s = fabs((double)d->coef[v]) * (double)(d->hi[v] - d->lo[v]);
    if (s <= score) continue;
    score = s;
    int64_t at = qv_clamp64((int64_t)floor(d->mean[v]), d->lo[v], d->hi[v] - 1);
    *best = (split){s, QV_SPLIT_IN_LE, v, at};
  }
}

/* Saturated outputs first: the points (B_t, A_t) of a saturated t are far from the line of the others, and their common hull
 * says little. At most two such splits on any path. */
static bool saturation(const search *b, const qv_goal *goal, split *s) {
  const qv_dual *d = b->d;
  if (goal->kind != QV_GOAL_PAIR || goal->t1 <= goal->t0 || d->g->unit[goal->y].fn != QV_UNIT_STEP) return false;
  const qv_unit *y = &d->g->unit[goal->y], *j = &d->g->unit[goal->j];
  const qv_thresholds *ly = &d->g->level[y->node][y->channel], *lj = &d->g->level[j->node][j->channel];
  if (goal->t0 + goal->strict <= lj->lo || goal->t0 == ly->lo) *s = (split){0, QV_SPLIT_ACC_LE, goal->y, qv_dual_a(d, goal->y, goal->t0)};
  else if (goal->t1 + 1 == ly->lo + ly->n) *s = (split){0, QV_SPLIT_ACC_LE, goal->y, qv_dual_a(d, goal->y, goal->t1 - 1)};
  else return false;
  return true;
}

/* Units with very many values can be halved for long without effect: after some of that, inputs are split, which ends in
 * points. */
static bool too_wide(const search *b, uint32_t k) {
  const qv_graph *g = b->d->g;
  uint32_t halved = 0;
  for (; b->out->node[k].parent != QV_NONE; k = b->out->node[k].parent) {
    const qv_bnb_node *n = &b->out->node[k];
    if (n->kind != QV_SPLIT_ACC_LE && n->kind != QV_SPLIT_ACC_GE) continue;
    const qv_unit *u = &g->unit[n->var];
    halved += u->fn != QV_UNIT_STEP || g->level[u->node][u->channel].at == NULL;
  }
  return halved > 12;
}

static split choose(const search *b, uint32_t k, const qv_goal *goal) {
  split s = {1e-3, QV_SPLIT_NONE, 0, 0};
  if (saturation(b, goal, &s)) return s;
  if (too_wide(b, k)) best_input(b, &s);
  if (s.le != QV_SPLIT_NONE) return s;
  best_unit(b, &s);
  best_level(b, goal, &s);
  if (s.le == QV_SPLIT_NONE) best_input(b, &s);
  return s;
}

/* ---- one node ------------------------------------------------------------------------------------------------------------- */

static bool probe(search *b) {
  const qv_dual *d = b->d;
  if (b->o->probe == NULL) return false;
  for (uint32_t v = 0; v < d->g->n_in; v++) b->x[v] = qv_clamp64((int64_t)d->at[v], d->lo[v], d->hi[v]);
  if (b->o->probe(b->o->ctx, b->x)) return true;
  for (uint32_t v = 0; v < d->g->n_in; v++) b->x[v] = qv_clamp64((int64_t)llrint(d->mean[v]), d->lo[v], d->hi[v]);
  return b->o->probe(b->o->ctx, b->x);
}

/* Close node k with the multipliers found, if the exact integers agree. */
static qv_status close(search *b, uint32_t k, const qv_goal *goal, bool *closed) {
  qv_bnb_node *n = &b->out->node[k];
  qv_i128 bound;
  *closed = false;
  qv_dual_round(b->d, goal, b->is, b->is_root, &n->scale);
  if (!qv_dual_exact(&bound, b->d, goal, b->is, b->is_root, n->scale) || bound <= 0) return QV_OK;
  for (uint32_t v = 0; v < b->d->g->n; v++) n->n += b->is[v] != 0;
  n->var_s = QV_NEW(&b->out->arena, n->n, uint32_t);
  n->s = QV_NEW(&b->out->arena, n->n, int32_t);
  n->root = QV_NEW(&b->out->arena, qv_goal_roots(goal), int32_t);
  if (n->var_s == NULL || n->s == NULL || n->root == NULL) return QV_FAIL(b->err, QV_E_NOMEM, "branch and bound");
  memcpy(n->root, b->is_root, qv_goal_roots(goal) * sizeof *n->root);
  for (uint32_t v = 0, i = 0; v < b->d->g->n; v++)
    if (b->is[v] != 0) {
      n->var_s[i] = v;
      n->s[i++] = b->is[v];
    }
  n->leaf = QV_LEAF_DUAL;
  b->out->n_leaves++;
  *closed = true;
  return QV_OK;
}

static void release(search *b, uint32_t k) {
  if (--b->start[k].users > 0) return;
  free(b->start[k].s);
  b->start[k].s = NULL;
  b->held -= start_bytes(b);
}

static void load_start(search *b, uint32_t k, const qv_goal *goal) {
  uint32_t p = b->out->node[k].parent;
  if (p == QV_NONE) {
    qv_dual_default(b->d, goal);
    return;
  }
  start *s = &b->start[p];
  size_t units = b->d->g->n - b->d->g->n_in;
  memcpy(b->d->s + b->d->g->n_in, s->s, units * sizeof *s->s);
  memcpy(b->d->root_s, s->s + units, qv_goal_roots(goal) * sizeof *s->s);
  release(b, p);
}

static qv_status process(search *b, uint32_t k) {
  qv_goal goal;
  qv_bnb_node *n = &b->out->node[k];
  bool ok = enter(b, k, &goal), closed;
  if (!ok) {
    n->leaf = QV_LEAF_EMPTY;
    b->out->n_leaves++;
    if (n->parent != QV_NONE) release(b, n->parent);
    return QV_OK;
  }
  qv_status st = qv_dual_refresh(b->d, k == 0 ? 0 : b->low, b->err);
  if (st == QV_OK && !qv_dual_goal(b->d, &goal)) st = QV_FAIL(b->err, QV_E_NOMEM, "branch and bound");
  if (st != QV_OK) return st;
  load_start(b, k, &goal);
  double bound = qv_dual_climb(b->d, &goal, k == 0 ? b->o->root_steps : b->o->node_steps, ENOUGH);
  if (k == 0) b->out->root_margin = bound;
  if (bound > 0) {
    if ((st = close(b, k, &goal, &closed)) != QV_OK || closed) return st;
  }
  if (probe(b)) {
    b->out->verdict = QV_FALSIFIED;
    return QV_OK;
  }
  if (b->out->n + 2 > b->o->max_nodes || b->held > HELD_LIMIT) {
    heap_push(b, (entry){bound, k});
    return QV_E_LIMIT;
  }
  split s = choose(b, k, &goal);
  if (s.le == QV_SPLIT_NONE) { /* a point, as far as there are units: doubles may have hidden a positive bound */
    if ((st = close(b, k, &goal, &closed)) == QV_OK && !closed) b->out->exhausted = true;
    return st;
  }
  return add_children(b, k, s.le, s.var, s.at, bound);
}

static qv_status setup(search *b) {
  size_t n = b->d->g->n;
  qv_arena *a = &b->out->arena;
  b->lo = QV_NEW(a, n, int64_t);
  b->hi = QV_NEW(a, n, int64_t);
  b->acc = QV_NEW(a, n, qv_itv);
  b->is = QV_NEW(a, n, int32_t);
  b->is_root = QV_NEW(a, qv_goal_roots(b->goal), int32_t);
  b->x = QV_NEW(a, n, int64_t);
  if (b->lo == NULL || b->hi == NULL || b->acc == NULL || b->is == NULL || b->is_root == NULL || b->x == NULL)
    return QV_FAIL(b->err, QV_E_NOMEM, "branch and bound");
  memcpy(b->lo, b->d->lo, n * sizeof *b->lo);
  memcpy(b->hi, b->d->hi, n * sizeof *b->hi);
  memcpy(b->acc, b->d->acc, n * sizeof *b->acc);
  b->low = (uint32_t)n;
  qv_status st = qv_dual_begin(b->d, b->goal, b->err);
  return st == QV_OK ? room(b) : st;
}

qv_status qv_bnb_run(qv_bnb *out, qv_dual *d, const qv_goal *goal, const qv_bnb_opts *opts, qv_err *err) {
  *out = (qv_bnb){0};
  search b = {.out = out, .d = d, .goal = goal, .o = opts, .err = err};
  qv_status st = setup(&b);
  if (st != QV_OK) goto done;
  add_node(&b, QV_NONE, QV_SPLIT_NONE, 0, 0, -INFINITY);
  while (b.n_heap > 0 && st == QV_OK && out->verdict == QV_UNKNOWN && !out->exhausted) {
    if (out->n > 1 && opts->deadline > 0 && qv_clock() > opts->deadline) break;
    st = process(&b, heap_pop(&b).node);
  }
  if (st == QV_E_LIMIT) st = QV_OK;
  if (st == QV_OK && b.n_heap == 0 && out->verdict == QV_UNKNOWN && !out->exhausted) out->verdict = QV_VERIFIED;
  out->margin = b.n_heap > 0 ? b.heap[0].bound : out->root_margin;
done:
  if (b.lo != NULL && b.hi != NULL && b.acc != NULL) { /* the caller's bounds */
    memcpy(d->lo, b.lo, d->g->n * sizeof *d->lo);
    memcpy(d->hi, b.hi, d->g->n * sizeof *d->hi);
    memcpy(d->acc, b.acc, d->g->n * sizeof *d->acc);
    if (st == QV_OK) st = qv_dual_refresh(d, 0, err);
  }
  for (size_t k = 0; k < b.cap; k++) free(b.start[k].s);
  free(b.start);
  free(b.heap);
  return st;
}

void qv_bnb_clear(qv_bnb *b) {
  free(b->node);
  qv_arena_clear(&b->arena);
  *b = (qv_bnb){0};
}
