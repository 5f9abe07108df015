#include "analysis/robust_dual.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "analysis/robust_simd.h"
#include "kernels/threshold.h"

#define CHUNKS 256                     /* pieces that enclose a function with too many values */
#define POINTS 2048                    /* a table on at most so many points is taken point by point */
#define TERM_LIMIT ((qv_i128)1 << 118) /* the certificate allows 2^120 */

double qv_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

qv_status qv_dual_new(qv_dual **out, const qv_graph *g, qv_err *err) {
  qv_dual *d = calloc(1, sizeof *d);
  if (d == NULL) return QV_FAIL(err, QV_E_NOMEM, "dual bounds");
  size_t n = g->n;
  d->g = g;
  d->lo = QV_NEW(&d->arena, n, int64_t);
  d->hi = QV_NEW(&d->arena, n, int64_t);
  d->acc = QV_NEW(&d->arena, n, qv_itv);
  d->flat = QV_NEW(&d->arena, n, bool);
  d->mark = QV_NEW(&d->arena, n, bool);
  d->list = QV_NEW(&d->arena, n, uint32_t);
  d->s = QV_NEW(&d->arena, n, double);
  d->mean = QV_NEW(&d->arena, n, double);
  d->m = QV_NEW(&d->arena, n, double);
  d->x = QV_NEW(&d->arena, n, double);
  d->grad = QV_NEW(&d->arena, n, double);
  d->move = QV_NEW(&d->arena, n, double);
  d->best = QV_NEW(&d->arena, n, double);
  d->slope[0] = QV_NEW(&d->arena, n, double);
  d->slope[1] = QV_NEW(&d->arena, n, double);
  d->at = QV_NEW(&d->arena, n, float);
  d->coef = QV_NEW(&d->arena, n, float);
  d->flo = QV_NEW(&d->arena, n, float);
  d->fhi = QV_NEW(&d->arena, n, float);
  d->hull = QV_NEW(&d->arena, n, qv_hull);
  d->icoef = QV_NEW(&d->arena, n, int64_t);
  if (d->lo == NULL || d->hi == NULL || d->acc == NULL || d->s == NULL || d->mean == NULL || d->m == NULL || d->x == NULL ||
      d->grad == NULL || d->move == NULL || d->best == NULL || d->at == NULL || d->coef == NULL || d->flo == NULL || d->fhi == NULL ||
      d->hull == NULL || d->icoef == NULL || d->flat == NULL || d->mark == NULL || d->slope[0] == NULL || d->slope[1] == NULL || d->list == NULL) {
    qv_dual_free(d);
    return QV_FAIL(err, QV_E_NOMEM, "dual bounds");
  }
  *out = d;
  return QV_OK;
}

static void hull_clear(qv_hull *h) { free(h->lo); }

void qv_dual_free(qv_dual *d) {
  if (d == NULL) return;
  for (size_t v = 0; d->hull != NULL && v < d->g->n; v++) hull_clear(&d->hull[v]);
  hull_clear(&d->root);
  free(d->root_s);
  free(d->pt);
  free(d->half);
  qv_arena_clear(&d->joint_arena);
  qv_arena_clear(&d->arena);
  free(d);
}

static void mark_row(qv_dual *d, uint32_t v) {
  const qv_unit *u = &d->g->unit[v];
  for (uint32_t i = u->seg; i < u->seg + u->n_seg; i++) memset(d->mark + d->g->seg[i].var, 1, d->g->seg[i].len);
}

/* Units that the goal's rows reach. The others get no multiplier. */
static void find_units(qv_dual *d, const qv_goal *goal) {
  const qv_graph *g = d->g;
  memset(d->mark, 0, g->n);
  switch (goal->kind) {
  case QV_GOAL_SUM:
    for (uint32_t k = 0; k < goal->n_part; k++)
      for (uint32_t i = 0; i < goal->part[k].n; i++) d->mark[goal->part[k].var[i]] = true;
    break;
  case QV_GOAL_PAIR: mark_row(d, goal->j); /* fallthrough */
  case QV_GOAL_UNIT: mark_row(d, goal->y); break;
  }
  d->n_list = 0;
  for (uint32_t v = g->n; v-- > g->n_in;) {
    d->s[v] = d->m[v] = 0;
    d->x[v] = NAN;
    if (!d->mark[v]) continue;
    d->list[d->n_list++] = v;
    mark_row(d, v);
  }
  for (d->in_lo = 0; d->in_lo < g->n_in && !d->mark[d->in_lo];) d->in_lo++;
  for (d->in_hi = g->n_in; d->in_hi > d->in_lo && !d->mark[d->in_hi - 1];) d->in_hi--;
}

qv_status qv_dual_begin(qv_dual *d, const qv_goal *goal, qv_err *err) {
  uint32_t n = qv_goal_roots(goal), cap = n < 2 ? 2 : n;
  if (cap > d->cap_root) {
    double *p = realloc(d->root_s, 5 * (size_t)cap * sizeof *p);
    if (p == NULL) return QV_FAIL(err, QV_E_NOMEM, "dual bounds");
    d->root_s = p;
    d->root_best = p + cap;
    d->root_move = p + 2 * (size_t)cap;
    d->root_span = p + 3 * (size_t)cap;
    d->root_at = p + 4 * (size_t)cap;
    d->cap_root = cap;
  }
  find_units(d, goal);
  for (uint32_t k = 0; k < n; k++) {
    d->root_s[k] = d->root_span[k] = 1;
    for (uint32_t i = 0; goal->kind == QV_GOAL_SUM && i < goal->part[k].n; i++) {
      uint32_t v = goal->part[k].var[i];
      d->root_span[k] += fabs((double)goal->part[k].c[i]) * (double)(d->hi[v] - d->lo[v]);
    }
  }
  return QV_OK;
}

/* ---- hulls ------------------------------------------------------------------------------------------------------------ */

static bool add_point(qv_dual *d, size_t *n, int64_t x, int64_t y) {
  if (*n == d->cap_pt) {
    size_t cap = d->cap_pt == 0 ? 1024 : 2 * d->cap_pt;
    qv_point *p = realloc(d->pt, cap * sizeof *p);
    if (p == NULL) return false;
    d->pt = p;
    d->cap_pt = cap;
  }
  d->pt[(*n)++] = (qv_point){x, y};
  return true;
}

/* > 0: c lies to the left of a -> b. Differences fit 2^63, products 2^126; 2^31 and 2^62 if `small`. */
static int turn(qv_point a, qv_point b, qv_point c, bool small) {
  if (small) {
    int64_t p = (b.x - a.x) * (c.y - a.y), q = (b.y - a.y) * (c.x - a.x);
    return (p > q) - (p < q);
  }
  qv_i128 p = ((qv_i128)b.x - a.x) * ((qv_i128)c.y - a.y), q = ((qv_i128)b.y - a.y) * ((qv_i128)c.x - a.x);
  return (p > q) - (p < q);
}

/* Lower (sign 1) or upper (sign -1) chain of p[0..n), ascending in x. */
static uint32_t chain(qv_point *out, const qv_point *p, size_t n, int sign, bool small) {
  uint32_t k = 0;
  for (size_t i = 0; i < n; i++) {
    if (k > 0 && out[k - 1].x == p[i].x) {
      if (sign > 0 ? p[i].y >= out[k - 1].y : p[i].y <= out[k - 1].y) continue;
      k--;
    }
    while (k >= 2 && sign * turn(out[k - 2], out[k - 1], p[i], small) <= 0) k--;
    out[k++] = p[i];
  }
  return k;
}

static bool all_small(const qv_point *p, size_t n) {
  int64_t lo = INT64_MAX, hi = INT64_MIN;
  for (size_t i = 0; i < n; i++) {
    lo = qv_min64(lo, qv_min64(p[i].x, p[i].y));
    hi = qv_max64(hi, qv_max64(p[i].x, p[i].y));
  }
  return lo > INT32_MIN / 2 && hi < INT32_MAX / 2;
}

/* Slopes of a chain's edges; returns that of the edge over x. */
static double rises(double *rise, const qv_point *p, uint32_t n, double x) {
  double over = 0;
  for (uint32_t i = 1; i < n; i++) {
    rise[i - 1] = (double)(p[i].y - p[i - 1].y) / (double)(p[i].x - p[i - 1].x);
    if (i == 1 || (double)p[i - 1].x < x) over = rise[i - 1];
  }
  return over;
}

/* Hulls are short even where their points are many: only what is needed is kept. */
static bool make_hull(qv_dual *d, qv_hull *h, size_t n) {
  if (d->cap_half < 2 * n) {
    qv_point *p = realloc(d->half, 2 * n * sizeof *p);
    if (p == NULL) return false;
    d->half = p;
    d->cap_half = 2 * n;
  }
  bool small = all_small(d->pt, n);
  h->n_lo = chain(d->half, d->pt, n, 1, small);
  h->n_up = chain(d->half + h->n_lo, d->pt, n, -1, small);
  uint32_t need = h->n_lo + h->n_up;
  if (h->cap < need) {
    free(h->lo);
    h->lo = malloc(need * (sizeof *h->lo + sizeof *h->rise_lo));
    h->cap = h->lo != NULL ? need : 0;
    if (h->cap == 0) return false;
  }
  memcpy(h->lo, d->half, need * sizeof *h->lo);
  h->up = h->lo + h->n_lo;
  h->rise_lo = (double *)(void *)(h->lo + h->cap);
  h->rise_up = h->rise_lo + h->n_lo;
  double mid = ((double)h->acc.lo + (double)h->acc.hi) / 2;
  h->mid_lo = rises(h->rise_lo, h->lo, h->n_lo, mid);
  h->mid_up = rises(h->rise_up, h->up, h->n_up, mid);
  return h->valid = true;
}

static const qv_thresholds *levels_of(const qv_graph *g, uint32_t v) {
  const qv_unit *u = &g->unit[v];
  if (u->fn != QV_UNIT_STEP || g->level[u->node][u->channel].at == NULL) return NULL;
  return &g->level[u->node][u->channel];
}

/* Points whose hull contains the graph of f_v on [a.lo, a.hi]. */
static bool unit_points(qv_dual *d, uint32_t v, qv_itv a, size_t *n) {
  const qv_graph *g = d->g;
  const qv_unit *u = &g->unit[v];
  const qv_thresholds *l = levels_of(g, v);
  if (l != NULL) { /* both ends of every run of equal values */
    int64_t y0 = qv_unit_eval(g, v, a.lo), y1 = qv_unit_eval(g, v, a.hi);
    bool ok = add_point(d, n, a.lo, y0);
    for (int64_t y = y0 + 1; ok && y <= y1; y++) {
      int64_t t = l->at[y - l->lo];
      if (y > y0 + 1 && t == l->at[y - 1 - l->lo]) { /* the value y-1 is skipped */
        d->pt[*n - 1].y = y;
        continue;
      }
      ok = add_point(d, n, t - 1, y - 1) && add_point(d, n, t, y);
    }
    return ok && add_point(d, n, a.hi, y1);
  }
  if (u->fn == QV_UNIT_ID) return add_point(d, n, a.lo, a.lo) && add_point(d, n, a.hi, a.hi);
  if (u->fn == QV_UNIT_THRESHOLD) { /* both ends of every piece */
    bool ok = true;
    for (int64_t x = a.lo; ok; x++) {
      int64_t y = qv_unit_eval(g, v, x), end = qv_min64(a.hi, qv_pieces_run(qv_unit_pieces(g, v), x).hi);
      ok = add_point(d, n, x, y) && (end == x || add_point(d, n, end, y));
      if ((x = end) == a.hi) break;
    }
    return ok;
  }
  if (u->fn == QV_UNIT_CLAMP) {
    qv_itv c = {d->g->net->node[u->node].u.clamp.lo, d->g->net->node[u->node].u.clamp.hi};
    const int64_t x[4] = {a.lo, qv_clamp64(c.lo, a.lo, a.hi), qv_clamp64(c.hi, a.lo, a.hi), a.hi};
    bool ok = true;
    for (int i = 0; ok && i < 4; i++) ok = add_point(d, n, x[i], qv_unit_eval(g, v, x[i]));
    return ok;
  }
  int64_t width = a.hi - a.lo, piece = width < POINTS ? 1 : width / CHUNKS + 1;
  bool ok = true;
  for (int64_t x = a.lo; ok; x += piece) { /* [x, x+piece-1] lies in the box of its image: monotone, or scanned */
    qv_itv in = {x, qv_min64(a.hi, x + piece - 1)}, y = qv_unit_image(g, v, in);
    ok = add_point(d, n, in.lo, y.lo) && add_point(d, n, in.lo, y.hi) && add_point(d, n, in.hi, y.lo) && add_point(d, n, in.hi, y.hi);
    if (in.hi == a.hi) break;
  }
  return ok;
}

qv_status qv_dual_join(qv_dual *d, const qv_joint *j, qv_err *err) {
  qv_arena_clear(&d->joint_arena);
  d->joint_arena = (qv_arena){0};
  d->joint = NULL;
  if (j == NULL) return QV_OK;
  d->live = QV_NEW(&d->joint_arena, j->n, bool);
  if (d->live == NULL || !qv_joint_room_for(&d->room, j, &d->joint_arena)) return QV_FAIL(err, QV_E_NOMEM, "dual bounds");
  d->joint = j;
  d->joint_most = j->limit;
  return QV_OK;
}

/* A split below the root may have cut an accumulator: the points that it excludes would count on. */
static void find_live(qv_dual *d) {
  for (uint32_t i = 0; d->joint != NULL && i < d->joint->n; i++) {
    const qv_joint_group *k = &d->joint->group[i];
    d->live[i] = true;
    for (uint32_t c = 0; d->live[i] && c < k->n; c++)
      d->live[i] = d->acc[k->unit + c].lo == k->acc[c].lo && d->acc[k->unit + c].hi == k->acc[c].hi;
  }
}

/* The group that unit v counts with. */
static const qv_joint_group *group_of(const qv_dual *d, uint32_t v) {
  if (d->joint == NULL || d->joint->of[v] == 0) return NULL;
  const qv_joint_group *k = &d->joint->group[d->joint->of[v] - 1];
  return k->points <= d->joint_most && d->live[d->joint->of[v] - 1] ? k : NULL;
}

qv_status qv_dual_refresh(qv_dual *d, uint32_t from, qv_err *err) {
  find_live(d);
  for (uint32_t v = from; v < d->g->n; v++) {
    if (v % 64 == 0 && d->deadline > 0 && qv_clock() > d->deadline) return QV_FAIL(err, QV_E_LIMIT, "time limit");
    d->flo[v] = (float)d->lo[v];
    d->fhi[v] = (float)d->hi[v];
    if (v < d->g->n_in || d->g->unit[v].fn == QV_UNIT_FREE || d->g->unit[v].fn == QV_UNIT_TAP || qv_unit_of_taps(d->g, v)) continue;
    qv_hull *h = &d->hull[v];
    if (h->valid && h->acc.lo == d->acc[v].lo && h->acc.hi == d->acc[v].hi) continue;
    size_t n = 0;
    h->valid = false;
    h->acc = d->acc[v];
    qv_itv y = qv_unit_image(d->g, v, h->acc);
    d->flat[v] = y.lo == y.hi; /* the bounds of the value may be closer than that of the image: only readers profit from them */
    if (d->flat[v]) {
      if (!add_point(d, &n, h->acc.lo, y.lo) || !add_point(d, &n, h->acc.hi, y.lo) || !make_hull(d, h, n))
        return QV_FAIL(err, QV_E_NOMEM, "dual bounds");
      continue;
    }
    if (!unit_points(d, v, h->acc, &n) || !make_hull(d, h, n)) return QV_FAIL(err, QV_E_NOMEM, "dual bounds");
  }
  return QV_OK;
}

/* ---- pairs ------------------------------------------------------------------------------------------------------------ */

bool qv_dual_can_pair(const qv_graph *g, uint32_t y, uint32_t j) {
  if (y == QV_NONE || j == QV_NONE || y == j || y < g->n_in || j < g->n_in) return false;
  if (g->unit[y].fn == QV_UNIT_ID && g->unit[j].fn == QV_UNIT_ID) return true;
  return levels_of(g, y) != NULL && levels_of(g, j) != NULL;
}

int64_t qv_dual_a(const qv_dual *d, uint32_t y, int64_t t) {
  const qv_thresholds *l = levels_of(d->g, y);
  int64_t top = d->acc[y].hi;
  if (l == NULL) return qv_min64(top, t);
  t = qv_max64(t, l->lo); /* below: nothing, of which this is a superset */
  return t + 1 - l->lo >= l->n ? top : qv_min64(top, l->at[t + 1 - l->lo] - 1);
}

int64_t qv_dual_b(const qv_dual *d, uint32_t j, int64_t t) {
  const qv_thresholds *l = levels_of(d->g, j);
  int64_t bottom = d->acc[j].lo;
  if (l == NULL) return qv_max64(bottom, t);
  return t <= l->lo ? bottom : qv_max64(bottom, l->at[t - l->lo]);
}

bool qv_dual_levels(const qv_dual *d, const qv_goal *goal, int64_t *t0, int64_t *t1) {
  int64_t s = goal->gap;
  /* t below f_y's least value cannot be reached by y, t above f_j's largest not by j; where A_t or B_t no longer moves, only
   * the loosest point counts */
  *t0 = qv_max64(d->lo[goal->y], d->lo[goal->j] - s);
  *t1 = qv_min64(d->hi[goal->y], d->hi[goal->j] - s);
  if (d->lo[goal->y] > d->hi[goal->j] - s) return false;
  if (*t0 > *t1) *t0 = *t1; /* every y value is below every j value: t = hi_y says it all */
  return true;
}

bool qv_dual_goal(qv_dual *d, const qv_goal *goal) {
  if (goal->kind != QV_GOAL_PAIR) return true;
  size_t n = 0;
  bool ends = d->g->unit[goal->y].fn == QV_UNIT_ID; /* A_t = t and B_t = t + gap: the ends span the segment */
  d->root.valid = false;
  for (int64_t t = goal->t0; t <= goal->t1; t += ends && goal->t1 > t ? goal->t1 - t : 1)
    if (!add_point(d, &n, qv_dual_b(d, goal->j, t + goal->gap), qv_dual_a(d, goal->y, t))) return false;
  return make_hull(d, &d->root, n);
}

/* ---- search in doubles -------------------------------------------------------------------------------------------------- */

/* Vertex that minimizes m*y - s*x: the one behind the last edge that falls. */
static qv_point least(const qv_hull *h, double m, double s) {
  const double *rise = m >= 0 ? h->rise_lo : h->rise_up;
  uint32_t lo = 0, hi = (m >= 0 ? h->n_lo : h->n_up) - 1;
  if (m == 0) return h->lo[s > 0 ? hi : 0];
  double r = s / m;
  if (m > 0) {
    while (lo < hi) {
      uint32_t k = (lo + hi) / 2;
      if (rise[k] < r) lo = k + 1;
      else hi = k;
    }
    return h->lo[lo];
  }
  while (lo < hi) {
    uint32_t k = (lo + hi) / 2;
    if (rise[k] > r) lo = k + 1;
    else hi = k;
  }
  return h->up[lo];
}

/* Multiplier whose line supports the hull at the middle of the interval. */
static double support(const qv_hull *h, double m) { return m * (m >= 0 ? h->mid_lo : h->mid_up); }

static void push(qv_dual *d, uint32_t v, double s, double *base) {
  const qv_unit *u = &d->g->unit[v];
  *base += s * (double)u->b;
  d->work += u->n_seg > 0 ? d->g->seg[u->seg + u->n_seg - 1].w + d->g->seg[u->seg + u->n_seg - 1].len - d->g->seg[u->seg].w : 0;
  qv_rob_pushf(d->coef, d->g->wf, (float)s, d->g->seg + u->seg, u->n_seg);
}

static double sum_at(const qv_dual *d, uint32_t v) {
  const qv_unit *u = &d->g->unit[v];
  return (double)u->b + qv_rob_sumf(d->g->wf, d->at, d->g->seg + u->seg, u->n_seg);
}

static bool is_unit(const qv_graph *g, uint32_t v) { return g->unit[v].fn != QV_UNIT_FREE; }
static bool has_multiplier(const qv_graph *g, uint32_t v) { return qv_unit_function(g, v) || g->unit[v].fn == QV_UNIT_TAP; }

/* ---- maxima and products -------------------------------------------------------------------------------------------------- */

/* What a tap x contributes at its worst with multiplier s where the maximum is y. */
static double below(double s, double lo, double hi, double y) { return fmax(s * lo, s * fmin(hi, y)); }

/* min of m*max(x) - sum s*x: some tap attains the maximum y, the others are at most y; for each tap linear between the ends of intervals
 * (docs/certificate.md section 7.3). x: where it is attained. */
static double least_max(const qv_dual *d, uint32_t v, const double *s, double m, double *x) {
  uint32_t t0 = v - d->g->unit[v].n_tap, winner = t0;
  double least_y = -INFINITY, best = INFINITY, best_y = 0;
  for (uint32_t t = t0; t < v; t++) least_y = fmax(least_y, (double)d->lo[t]);
  for (uint32_t k = t0; k <= v; k++) {
    double y = k == v ? least_y : (double)d->hi[k], all = 0;
    if (y < least_y) continue;
    for (uint32_t t = t0; t < v; t++) all += below(s[t], (double)d->lo[t], (double)d->hi[t], y);
    for (uint32_t t = t0; t < v; t++) {
      if ((double)d->hi[t] < y) continue;
      double now = (m - s[t]) * y - (all - below(s[t], (double)d->lo[t], (double)d->hi[t], y));
      if (!(now < best)) continue;
      best = now;
      best_y = y;
      winner = t;
    }
  }
  for (uint32_t t = t0; t < v; t++) x[t] = t == winner ? best_y : s[t] > 0 ? fmin((double)d->hi[t], best_y) : (double)d->lo[t];
  x[v] = best_y;
  return best;
}

static double least_product(const qv_dual *d, uint32_t v, const double *s, double m, double *x) {
  double best = INFINITY;
  for (int k = 0; k < 4; k++) {
    int64_t a = k & 1 ? d->hi[v - 2] : d->lo[v - 2], b = k & 2 ? d->hi[v - 1] : d->lo[v - 1];
    double y = (double)qv_unit_product(d->g, v, a, b), now = m * y - s[v - 2] * (double)a - s[v - 1] * (double)b;
    if (!(now < best)) continue;
    best = now;
    x[v - 2] = (double)a;
    x[v - 1] = (double)b;
    x[v] = y;
  }
  return best;
}

/* A line to begin with, at tap t of v: of a maximum the tap that is likely to win, or for upper bounds the range where that is better;
 * of a product its tangent at the middle. */
static double tap_slope(const qv_dual *d, uint32_t v, uint32_t t, bool lower) {
  uint32_t t0 = v - d->g->unit[v].n_tap, top = t0;
  if (d->g->unit[v].fn == QV_UNIT_PRODUCT) {
    uint32_t other = t == t0 ? t0 + 1 : t0;
    const qv_product *p = &d->g->net->node[d->g->unit[v].node].u.product;
    return ((double)d->lo[other] + (double)d->hi[other]) / 2 - (double)(t == t0 ? p->z1 : p->z0);
  }
  for (uint32_t i = t0 + 1; i < v; i++)
    if (d->lo[i] + d->hi[i] > d->lo[top] + d->hi[top]) top = i;
  if (t != top) return 0;
  int64_t others = INT64_MIN;
  for (uint32_t i = t0; i < v; i++)
    if (i != top) others = qv_max64(others, d->hi[i]);
  if (lower || others <= d->lo[top]) return 1;
  double range = (double)d->hi[v], line = ((double)d->lo[top] + (double)d->hi[top]) / 2 + (double)(others - d->lo[top]);
  return line < range ? 1 : 0;
}

/* Where multipliers come from: as they stand; lines at the middle; lines of the slopes in d->slope. */
typedef enum { AS_IS, MIDDLE, SLOPES } source;

static double multiplier(const qv_dual *d, uint32_t v, source from) {
  if (from == AS_IS) return d->s[v];
  if (d->flat[v]) return 0;
  if (from == MIDDLE && d->g->unit[v].fn == QV_UNIT_TAP) return d->m[v] * tap_slope(d, d->g->unit[v].owner, v, d->m[v] >= 0);
  return from == MIDDLE ? support(&d->hull[v], d->m[v]) : d->m[v] * d->slope[d->m[v] >= 0 ? 0 : 1][v];
}

/* The part of a group. Units that the goal does not reach have m = s = 0. */
static void evaluate_group(qv_dual *d, const qv_joint_group *k, source from, double *base) {
  bool any = false;
  for (uint32_t v = k->unit; v < k->unit + k->n; v++) {
    d->m[v] = (double)d->coef[v];
    d->s[v] = multiplier(d, v, from);
    any |= d->m[v] != 0 || d->s[v] != 0;
  }
  if (any) *base += qv_joint_least(k, d->m, d->s, d->x, d->at, &d->room);
  if (any) d->work += (double)k->points * k->n / 4; /* eight at a time, but no weights */
  for (uint32_t v = k->unit; v < k->unit + k->n; v++) {
    if (d->s[v] != 0) push(d, v, d->s[v], base);
    if (d->m[v] != 0 || d->s[v] != 0) continue;
    d->at[v] = d->flo[v];
    d->x[v] = NAN;
  }
}

/* The part of a maximum or product; its taps follow in the list and push their multipliers themselves. */
static void evaluate_taps(qv_dual *d, uint32_t v, source from, double *base) {
  bool any = d->m[v] != 0;
  for (uint32_t t = v - d->g->unit[v].n_tap; t < v; t++) {
    d->m[t] = d->m[v]; /* nothing else reads a tap */
    d->s[t] = multiplier(d, t, from);
    any |= d->s[t] != 0;
  }
  if (!any) {
    for (uint32_t t = v - d->g->unit[v].n_tap; t < v; t++) d->x[t] = NAN;
    d->x[v] = NAN;
    d->at[v] = d->flo[v];
    return;
  }
  *base += (d->g->unit[v].fn == QV_UNIT_MAX ? least_max : least_product)(d, v, d->s, d->m[v], d->x);
  d->at[v] = (float)d->x[v];
}

/* D(s); fills at, x, m, and s from where it is to come. */
static double evaluate(qv_dual *d, const qv_goal *goal, source from, qv_point *root) {
  const qv_graph *g = d->g;
  double base = 0;
  memset(d->coef, 0, g->n * sizeof *d->coef);
  switch (goal->kind) {
  case QV_GOAL_SUM:
    for (uint32_t k = 0; k < goal->n_part; k++) {
      const qv_goal_part *p = &goal->part[k];
      double l = d->root_s[k];
      if (l == 0) continue;
      base -= l * (double)p->d;
      for (uint32_t i = 0; i < p->n; i++) d->coef[p->var[i]] += (float)(l * (double)p->c[i]);
    }
    break;
  case QV_GOAL_UNIT: push(d, goal->y, goal->sign, &base); break;
  case QV_GOAL_PAIR:
    *root = least(&d->root, -d->root_s[0], -d->root_s[1]);
    base = -d->root_s[0] * (double)root->y + d->root_s[1] * (double)root->x;
    push(d, goal->y, d->root_s[0], &base);
    push(d, goal->j, -d->root_s[1], &base);
    break;
  }
  const qv_joint_group *last = NULL; /* a group's units stand side by side in the list */
  for (uint32_t i = 0; i < d->n_list; i++) {
    uint32_t v = d->list[i];
    const qv_joint_group *group = group_of(d, v);
    if (group != NULL) {
      if (group != last) evaluate_group(d, group, from, &base);
      last = group;
      continue;
    }
    if (g->unit[v].fn == QV_UNIT_TAP) {
      if (d->s[v] != 0) push(d, v, d->s[v], &base);
      continue;
    }
    double m = d->m[v] = (double)d->coef[v];
    if (qv_unit_of_taps(g, v)) {
      evaluate_taps(d, v, from, &base);
      continue;
    }
    if (!is_unit(g, v)) {
      base += qv_rob_boxf(d->at + v, d->coef + v, d->flo + v, d->fhi + v, 1);
    } else if (g->unit[v].fn == QV_UNIT_ID) { /* its value follows from those before it */
      d->s[v] = m;
      d->x[v] = NAN;
      if (m != 0) push(d, v, m, &base);
    } else if (d->flat[v]) {
      double y = (double)d->hull[v].lo[0].y;
      d->at[v] = (float)y;
      d->x[v] = (double)d->acc[v].lo;
      base += m * y;
      d->s[v] = multiplier(d, v, from);
      if (d->s[v] != 0) { /* a split may pin the value and still restrict the accumulator */
        d->x[v] = (double)(d->s[v] > 0 ? d->acc[v].hi : d->acc[v].lo);
        base -= d->s[v] * d->x[v];
        push(d, v, d->s[v], &base);
      }
    } else {
      d->s[v] = multiplier(d, v, from);
      if (m == 0 && d->s[v] == 0) {
        d->at[v] = d->flo[v];
        d->x[v] = NAN; /* not part of this goal */
        continue;
      }
      qv_point p = least(&d->hull[v], m, d->s[v]);
      d->at[v] = (float)p.y;
      d->x[v] = (double)p.x;
      base += m * (double)p.y - d->s[v] * (double)p.x;
      if (d->s[v] != 0) push(d, v, d->s[v], &base);
    }
  }
  return base + qv_rob_boxf(d->at + d->in_lo, d->coef + d->in_lo, d->flo + d->in_lo, d->fhi + d->in_lo, d->in_hi - d->in_lo);
}

#define CORNERS 32 /* violations of up to so many inequalities are tried one by one first */

void qv_dual_default(qv_dual *d, const qv_goal *goal) {
  qv_point root;
  uint32_t n = qv_goal_roots(goal), best = n;
  for (uint32_t k = 0; k < n; k++) d->root_s[k] = 1;
  if (goal->kind == QV_GOAL_SUM && n > 1) {
    double least_span = INFINITY, most = -INFINITY;
    for (uint32_t k = 0; k < n; k++) least_span = fmin(least_span, d->root_span[k]);
    for (uint32_t c = n <= CORNERS ? 0 : n; c <= n + 1; c++) { /* one alone, all together, and the best of these in the end */
      uint32_t pick = c == n + 1 ? best : c;
      for (uint32_t k = 0; k < n; k++) d->root_s[k] = pick == n ? least_span / d->root_span[k] : pick == k ? 1.0 : 0.0;
      double now = evaluate(d, goal, MIDDLE, &root);
      if (c <= n && now > most) most = now, best = c;
    }
    return;
  }
  if (goal->kind == QV_GOAL_PAIR) { /* both sides alike, or one alone: where the other is saturated nothing else helps */
    double now[3], tau = 0;
    for (int c = 0; c < 4; c++) {
      tau = c < 3 ? c - 1 : now[1] >= now[0] && now[1] >= now[2] ? 0 : now[0] > now[2] ? -1 : 1;
      d->root_s[0] = 1 + tau;
      d->root_s[1] = 1 - tau;
      double value = evaluate(d, goal, MIDDLE, &root);
      if (c < 3) now[c] = value;
    }
    return;
  }
  (void)evaluate(d, goal, MIDDLE, &root);
}

/* Values of the goal's parts at the relaxed solution: the gradient in L. */
static void parts_at(qv_dual *d, const qv_goal *goal) {
  for (uint32_t k = 0; k < goal->n_part; k++) {
    const qv_goal_part *p = &goal->part[k];
    d->root_at[k] = -(double)p->d;
    for (uint32_t i = 0; i < p->n; i++) d->root_at[k] += (double)p->c[i] * (double)d->at[p->var[i]];
  }
}

/* Steps of L stay on the set where the largest is 1 (SUM) or the sum 2 (PAIR), so that D has a fixed unit. */
static void step_roots(qv_dual *d, const qv_goal *goal, double step) {
  uint32_t n = qv_goal_roots(goal);
  if (goal->kind == QV_GOAL_PAIR) {
    double tau = fmin(1, fmax(-1, (d->root_s[0] - d->root_s[1]) / 2 + step * d->root_move[0]));
    d->root_s[0] = 1 + tau;
    d->root_s[1] = 1 - tau;
  } else if (n > 1) {
    double most = 0;
    for (uint32_t k = 0; k < n; k++) most = fmax(most, d->root_s[k] = fmax(0, d->root_s[k] + step * d->root_move[k]));
    for (uint32_t k = 0; k < n; k++) d->root_s[k] = most > 0 ? d->root_s[k] / most : 1;
  }
}

/* A unit takes part in the ascent if its function is not constant, or a split restricts its accumulator. */
static bool ascends(const qv_dual *d, uint32_t v) {
  if (!has_multiplier(d->g, v)) return false;
  return !d->flat[v] ? !isnan(d->x[v]) : d->s[v] != 0;
}

double qv_dual_climb(qv_dual *d, const qv_goal *goal, uint32_t steps, double enough) {
  const qv_graph *g = d->g;
  uint32_t stale = 0, n_root = qv_goal_roots(goal);
  bool pair = goal->kind == QV_GOAL_PAIR;
  double best = -INFINITY, rate = 1, weight = 0;
  for (uint32_t i = 0; i < d->n_list; i++) d->move[d->list[i]] = d->mean[d->list[i]] = 0;
  memset(d->mean, 0, g->n_in * sizeof *d->mean);
  memset(d->root_move, 0, n_root * sizeof *d->root_move);
  memcpy(d->root_best, d->root_s, n_root * sizeof *d->root_s);
  d->mean_root[0] = d->mean_root[1] = 0;
  double span = pair ? (double)(d->acc[goal->y].hi - d->acc[goal->y].lo + d->acc[goal->j].hi - d->acc[goal->j].lo + 2) : 1;
  for (uint32_t it = 0; it <= steps; it++) {
    qv_point root = {0, 0};
    double now = evaluate(d, goal, AS_IS, &root);
    if (now > best) {
      if (now > best + 1e-3 * fabs(best)) stale = 0;
      best = now;
      memcpy(d->root_best, d->root_s, n_root * sizeof *d->root_s);
      for (uint32_t i = 0; i < d->n_list; i++) d->best[d->list[i]] = d->s[d->list[i]];
    } else if (++stale >= 4) {
      rate *= 0.7;
      stale = 0;
    }
    if (best > enough) break;
    /* gradient: what the relaxed solution's accumulators really are, minus what the units assumed */
    double norm = 0, keep = 0.8, mix = 2.0 / (double)(it + 2);
    weight = 1 - mix;
    for (uint32_t i = d->in_lo; i < d->in_hi; i++) d->mean[i] = weight * d->mean[i] + mix * (double)d->at[i];
    for (uint32_t i = d->n_list; i-- > 0;) { /* ascending */
      uint32_t v = d->list[i];
      if (g->unit[v].fn == QV_UNIT_ID && d->m[v] != 0) d->at[v] = (float)sum_at(d, v);
      if (!ascends(d, v)) continue;
      double a = sum_at(d, v), width = (double)(d->acc[v].hi - d->acc[v].lo) + 1;
      d->mean[v] = weight * d->mean[v] + mix * a;
      d->grad[v] = a - d->x[v];
      d->move[v] = keep * d->move[v] + d->grad[v] / width / width;
      norm += d->move[v] * d->grad[v];
    }
    if (pair) {
      double ay = sum_at(d, goal->y), aj = sum_at(d, goal->j), grad = ay - (double)root.y + aj - (double)root.x;
      d->mean_root[0] = weight * d->mean_root[0] + mix * ay;
      d->mean_root[1] = weight * d->mean_root[1] + mix * aj;
      d->root_move[0] = keep * d->root_move[0] + grad / span / span;
      norm += d->root_move[0] * grad;
    } else if (n_root > 1) {
      parts_at(d, goal);
      for (uint32_t k = 0; k < n_root; k++) {
        double grad = d->root_at[k] - now; /* along the set of step_roots, up to its scaling */
        d->root_move[k] = keep * d->root_move[k] + grad / d->root_span[k] / d->root_span[k];
        norm += d->root_move[k] * grad;
      }
    }
    if (it == steps || (d->deadline > 0 && qv_clock() > d->deadline)) break;
    if (!(norm > 1e-30)) {
      for (uint32_t i = 0; i < d->n_list; i++) d->move[d->list[i]] = 0;
      memset(d->root_move, 0, n_root * sizeof *d->root_move);
      if (norm < 0) continue;
      break; /* no ascent direction left: D is the relaxation's optimum */
    }
    double step = rate * (enough + 0.05 * fabs(best) + 0.5 - now) / norm; /* Polyak's step, damped where it keeps failing */
    for (uint32_t i = 0; i < d->n_list; i++)
      if (ascends(d, d->list[i])) d->s[d->list[i]] += step * d->move[d->list[i]];
    step_roots(d, goal, step);
  }
  for (uint32_t i = 0; i < d->n_list; i++) d->s[d->list[i]] = d->best[d->list[i]];
  memcpy(d->root_s, d->root_best, n_root * sizeof *d->root_s);
  return best;
}

/* Steps of this size at the beginning and the end, in values of the function over the whole interval. */
#define FIRST_STEP 0.5
#define LAST_STEP 0.02

/* One value of the function at both ends: lines that differ by more are worse at one of them by more than rounding. */
static double slope_unit(const qv_dual *d, uint32_t v) { return 1 / ((double)(d->acc[v].hi - d->acc[v].lo) + 1); }

double qv_dual_slopes(qv_dual *d, const qv_goal *goal, uint32_t steps, double enough) {
  const qv_graph *g = d->g;
  qv_point root;
  double best = -INFINITY;
  for (uint32_t i = 0; i < d->n_list; i++) {
    uint32_t v = d->list[i];
    d->move[v] = d->grad[v] = 0;
    for (int k = 0; k < 2 && g->unit[v].fn == QV_UNIT_TAP; k++) d->slope[k][v] = tap_slope(d, g->unit[v].owner, v, k == 0);
    if (!qv_unit_function(g, v)) continue;
    d->slope[0][v] = d->hull[v].mid_lo;
    d->slope[1][v] = d->hull[v].mid_up;
  }
  for (uint32_t it = 0; it <= steps; it++) {
    double now = evaluate(d, goal, SLOPES, &root);
    if (now > best) {
      best = now;
      for (uint32_t i = 0; i < d->n_list; i++) d->best[d->list[i]] = d->s[d->list[i]];
    }
    if (best > enough || it == steps || (d->deadline > 0 && qv_clock() > d->deadline)) break;
    double size = FIRST_STEP * pow(LAST_STEP / FIRST_STEP, (double)it / steps);
    double first = 1 - pow(0.9, it + 1), second = 1 - pow(0.98, it + 1); /* weights of the means below */
    for (uint32_t i = d->n_list; i-- > 0;) {                             /* ascending: at becomes the derivative by m */
      uint32_t v = d->list[i];
      if (g->unit[v].fn == QV_UNIT_ID && d->m[v] != 0) d->at[v] = (float)sum_at(d, v);
      if (!has_multiplier(g, v) || d->flat[v] || isnan(d->x[v])) continue;
      double *slope = &d->slope[d->m[v] >= 0 ? 0 : 1][v], unit = slope_unit(d, v);
      double off = sum_at(d, v) - d->x[v], grad = d->m[v] * off * unit;
      uint32_t y = g->unit[v].fn == QV_UNIT_TAP ? g->unit[v].owner : v;
      d->at[y] = (float)((double)d->at[y] + *slope * off);
      d->move[v] = 0.9 * d->move[v] + 0.1 * grad; /* Adam */
      d->grad[v] = 0.98 * d->grad[v] + 0.02 * grad * grad;
      if (d->grad[v] > 0) *slope += size * unit * (d->move[v] / first) / (sqrt(d->grad[v] / second) + 1e-30);
    }
  }
  for (uint32_t i = 0; i < d->n_list; i++) d->s[d->list[i]] = d->best[d->list[i]];
  return best;
}

/* Can the unit be at a clamp's end, and elsewhere? */
static bool kinked(const qv_dual *d, uint32_t v) {
  const qv_unit *u = &d->g->unit[v];
  const qv_node *n = &d->g->net->node[u->node];
  qv_itv c = u->fn == QV_UNIT_STEP    ? (qv_itv){n->u.step.lo, n->u.step.hi}
             : u->fn == QV_UNIT_CLAMP ? (qv_itv){n->u.clamp.lo, n->u.clamp.hi}
                                      : (qv_itv){INT64_MIN, INT64_MAX};
  return (d->lo[v] <= c.lo && d->hi[v] > c.lo) || (d->hi[v] >= c.hi && d->lo[v] < c.hi);
}

qv_losses qv_dual_losses(qv_dual *d, const qv_goal *goal, const int64_t *x) {
  qv_losses l = {0};
  qv_point root;
  (void)evaluate(d, goal, AS_IS, &root);
  for (uint32_t v = d->in_lo; v < d->in_hi; v++) l.input += (double)d->coef[v] * ((double)x[v] - (double)d->at[v]);
  for (uint32_t i = 0; i < d->n_list; i++) {
    uint32_t v = d->list[i];
    double lost = 0;
    if (!is_unit(d->g, v)) lost = d->m[v] * ((double)x[v] - (double)d->at[v]);
    else if (d->g->unit[v].fn == QV_UNIT_TAP) lost = d->s[v] == 0 ? 0 : d->s[v] * (d->x[v] - (double)x[v]);
    else if (qv_unit_of_taps(d->g, v)) lost = isnan(d->x[v]) ? 0 : d->m[v] * ((double)x[v] - d->x[v]);
    else if (!isnan(d->x[v])) lost = d->m[v] * ((double)x[v] - (double)d->at[v]) - d->s[v] * ((double)qv_unit_sum(d->g, v, x) - d->x[v]);
    *(is_unit(d->g, v) && kinked(d, v) ? &l.kink : &l.noise) += lost;
  }
  return l;
}

/* ---- decision in integers ----------------------------------------------------------------------------------------------- */

void qv_dual_round(const qv_dual *d, const qv_goal *goal, int32_t *is, int32_t *is_root, int *scale) {
  double top = 1;
  int k = 30;
  for (uint32_t i = 0; i < d->n_list; i++) top = fmax(top, fabs(d->s[d->list[i]]));
  for (uint32_t i = 0; i < qv_goal_roots(goal); i++) top = fmax(top, d->root_s[i]);
  while (k > 0 && ldexp(top, k) > 0x1.fffp30) k--; /* as fine as 32 bits allow: behind an addition accumulators are 2^20 times finer */
  *scale = k;
  memset(is, 0, d->g->n * sizeof *is);
  for (uint32_t i = 0; i < d->n_list; i++) {
    uint32_t v = d->list[i];
    double x = has_multiplier(d->g, v) ? ldexp(d->s[v], k) : 0;
    is[v] = fabs(x) < 0x1p31 - 1 ? (int32_t)lrint(x) : 0;
  }
  for (uint32_t i = 0; i < qv_goal_roots(goal); i++) is_root[i] = (int32_t)lrint(ldexp(d->root_s[i], k));
}

/* Add to the bound; false when it leaves 2^120. */
static bool add(qv_i128 *sum, qv_i128 v) {
  if (v > TERM_LIMIT || v < -TERM_LIMIT) return false;
  *sum += v;
  return *sum<2 * TERM_LIMIT && * sum> - 2 * TERM_LIMIT;
}

/* min over the hull of m*y - s*x. |m|, |s| < 2^62, |y|, |x| <= 2^62: below 2^125. */
static qv_i128 least_exact(const qv_hull *h, int64_t m, int64_t s) {
  const qv_point *p = m >= 0 ? h->lo : h->up;
  uint32_t n = m >= 0 ? h->n_lo : h->n_up;
  qv_i128 best = (qv_i128)m * p[0].y - (qv_i128)s * p[0].x;
  for (uint32_t i = 1; i < n; i++) {
    qv_i128 v = (qv_i128)m * p[i].y - (qv_i128)s * p[i].x;
    if (v < best) best = v;
  }
  return best;
}

/* Every coefficient is a sum of goal coefficients and of s*w, each unit once: their sum so far, kept in d->weight, bounds them
 * all, and stays below 2^61. A sum of fewer than 2^32 positive doubles is too small by less than one part in 2^20. */
static bool fits(qv_dual *d, double s, double w) {
  d->weight += fabs(s) * w;
  return d->weight < 0x1p61;
}

static bool push_exact(qv_dual *d, uint32_t v, int64_t s, qv_i128 *sum) {
  const qv_unit *u = &d->g->unit[v];
  if (!fits(d, (double)s, u->w_max)) return false;
  qv_rob_pushi(d->icoef, d->g->w, s, d->g->seg + u->seg, u->n_seg);
  return add(sum, (qv_i128)s * u->b);
}

static bool goal_exact(qv_dual *d, const qv_goal *goal, const int32_t *is_root, int scale, qv_i128 *sum) {
  switch (goal->kind) {
  case QV_GOAL_SUM:
    for (uint32_t k = 0; k < goal->n_part; k++) {
      const qv_goal_part *p = &goal->part[k];
      if (is_root[k] < 0 || !add(sum, -(qv_i128)is_root[k] * p->d)) return false;
      for (uint32_t i = 0; i < p->n; i++) {
        if (!fits(d, (double)is_root[k], fabs((double)p->c[i]))) return false;
        d->icoef[p->var[i]] += is_root[k] * p->c[i];
      }
    }
    return true;
  case QV_GOAL_UNIT: return push_exact(d, goal->y, goal->sign * ((int64_t)1 << scale), sum);
  case QV_GOAL_PAIR: /* L must not be negative: A is an upper, B a lower limit */
    return is_root[0] >= 0 && is_root[1] >= 0 && d->root.valid &&
           add(sum, least_exact(&d->root, -(int64_t)is_root[0], -(int64_t)is_root[1])) && push_exact(d, goal->y, is_root[0], sum) &&
           push_exact(d, goal->j, -(int64_t)is_root[1], sum);
  }
  return false;
}

/* The minima of a group, in integers; alone where numbers are too large to take them together: a smaller bound. */
static bool group_exact(qv_dual *d, const qv_joint_group *k, const int32_t *is, qv_i128 *sum) {
  bool any = false;
  for (uint32_t v = k->unit; v < k->unit + k->n; v++) any |= d->icoef[v] != 0 || is[v] != 0;
  if (!any) return true;
  qv_i128 least;
  bool ok = true;
  if (qv_joint_exact(&least, k, d->icoef + k->unit, is + k->unit, &d->room)) ok = add(sum, least);
  else
    for (uint32_t v = k->unit; ok && v < k->unit + k->n; v++) ok = add(sum, least_exact(&d->hull[v], d->icoef[v], is[v]));
  for (uint32_t v = k->unit + k->n; ok && v-- > k->unit;)
    if (is[v] != 0) ok = push_exact(d, v, is[v], sum);
  return ok;
}

static qv_i128 min128(qv_i128 a, qv_i128 b) { return a < b ? a : b; }
static qv_i128 max128(qv_i128 a, qv_i128 b) { return a > b ? a : b; }

/* As `below`. abs(s) < 2^31, values below 2^62: no overflow, in sums of fewer than 2^31 taps neither. */
static qv_i128 below_exact(int64_t s, int64_t lo, int64_t hi, int64_t y) { return max128((qv_i128)s * lo, (qv_i128)s * qv_min64(hi, y)); }

static qv_i128 least_max_exact(const qv_dual *d, uint32_t v, int64_t m, const int32_t *s) {
  uint32_t t0 = v - d->g->unit[v].n_tap;
  int64_t least_y = INT64_MIN;
  bool first = true;
  qv_i128 best = 0;
  for (uint32_t t = t0; t < v; t++) least_y = qv_max64(least_y, d->lo[t]);
  for (uint32_t k = t0; k <= v; k++) {
    int64_t y = k == v ? least_y : d->hi[k];
    if (y < least_y) continue;
    qv_i128 all = 0;
    for (uint32_t t = t0; t < v; t++) all += below_exact(s[t], d->lo[t], d->hi[t], y);
    for (uint32_t t = t0; t < v; t++) {
      if (d->hi[t] < y) continue;
      qv_i128 now = ((qv_i128)m - s[t]) * y - (all - below_exact(s[t], d->lo[t], d->hi[t], y));
      best = first ? now : min128(best, now);
      first = false;
    }
  }
  return best;
}

static qv_i128 least_product_exact(const qv_dual *d, uint32_t v, int64_t m, const int32_t *s) {
  qv_i128 best = 0;
  for (int k = 0; k < 4; k++) {
    int64_t a = k & 1 ? d->hi[v - 2] : d->lo[v - 2], b = k & 2 ? d->hi[v - 1] : d->lo[v - 1];
    qv_i128 now = (qv_i128)m * qv_unit_product(d->g, v, a, b) - (qv_i128)s[v - 2] * a - (qv_i128)s[v - 1] * b;
    best = k == 0 ? now : min128(best, now);
  }
  return best;
}

/* A maximum or product: with no multiplier at any tap it is known by its range. */
static bool taps_exact(qv_dual *d, uint32_t v, const int32_t *is, qv_i128 *sum) {
  int64_t m = d->icoef[v];
  bool any = false;
  for (uint32_t t = v - d->g->unit[v].n_tap; t < v; t++) any |= is[t] != 0;
  if (!any) return add(sum, (qv_i128)m * (m > 0 ? d->lo[v] : d->hi[v]));
  return add(sum, d->g->unit[v].fn == QV_UNIT_MAX ? least_max_exact(d, v, m, is) : least_product_exact(d, v, m, is));
}

bool qv_dual_exact(qv_i128 *bound, qv_dual *d, const qv_goal *goal, const int32_t *is, const int32_t *is_root, int scale) {
  const qv_graph *g = d->g;
  qv_i128 sum = 0;
  if (scale < 0 || scale > 30) return false;
  memset(d->icoef, 0, g->n * sizeof *d->icoef);
  d->weight = 0;
  bool ok = goal_exact(d, goal, is_root, scale, &sum);
  for (uint32_t v = g->n; ok && v-- > g->n_in;) {
    int64_t m = d->icoef[v];
    const qv_joint_group *group = group_of(d, v);
    if (group != NULL) { /* the last one of its units: all others are met with it */
      ok = group_exact(d, group, is, &sum);
      v = group->unit;
      continue;
    }
    if (!is_unit(g, v)) {
      ok = add(&sum, (qv_i128)m * (m > 0 ? d->lo[v] : d->hi[v]));
      continue;
    }
    if (qv_unit_of_taps(g, v)) {
      ok = taps_exact(d, v, is, &sum);
      continue;
    }
    if (g->unit[v].fn == QV_UNIT_TAP) {
      if (is[v] != 0) ok = push_exact(d, v, is[v], &sum);
      continue;
    }
    bool id = g->unit[v].fn == QV_UNIT_ID;
    int64_t s = id ? m : is[v];
    if (m == 0 && s == 0) continue;
    if (!id) ok = add(&sum, least_exact(&d->hull[v], m, s));
    if (ok && s != 0) ok = push_exact(d, v, s, &sum);
  }
  for (uint32_t v = 0; ok && v < g->n_in; v++) ok = add(&sum, (qv_i128)d->icoef[v] * (d->icoef[v] > 0 ? d->lo[v] : d->hi[v]));
  *bound = sum;
  return ok;
}
