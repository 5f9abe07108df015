#include "analysis/least.h"

#include <stdlib.h>
#include <string.h>

/* Terms with the same gain are one kind: how the steps are spread inside it does not matter for the sums. */
typedef struct {
  int64_t up, down, most;
  int64_t d;            /* steps chosen */
} kind;

typedef struct {
  kind *k;              /* [n] */
  size_t n;
  size_t *order;        /* [n] scratch */
  int64_t *best;        /* [n] steps of the best solution so far, in all `steps` */
  int64_t steps;
  uint64_t nodes;       /* branches that may still be taken */
} problem;

/* The two needs as one: p * up + q * down. Every solution satisfies every such surrogate with p, q >= 0. */
typedef struct {
  int64_t p, q;
} ratio;

enum { RATIOS = 4096, COARSE = 256 };
static ratio ratio_at(int i) { return (ratio){RATIOS - i, i}; } /* from `up alone` to `down alone` */

static qv_i128 gain(const kind *k, ratio r) { return (qv_i128)r.p * k->up + (qv_i128)r.q * k->down; }

typedef struct {
  const problem *p;
  ratio r;
} by_gain;

static int compare_gain(const void *a, const void *b, void *ctx) {
  const by_gain *g = ctx;
  size_t i = *(const size_t *)a, j = *(const size_t *)b;
  qv_i128 x = gain(&g->p->k[i], g->r), y = gain(&g->p->k[j], g->r);
  return x > y ? -1 : x < y ? 1 : i < j ? -1 : i > j;
}

/* Kinds from `first` on, best gain first. */
static size_t sort_kinds(const problem *p, size_t first, ratio r) {
  by_gain g = {p, r};
  for (size_t i = first; i < p->n; i++) p->order[i - first] = i;
  qsort_r(p->order, p->n - first, sizeof *p->order, compare_gain, &g);
  return p->n - first;
}

/* Fewest steps of the kinds from `first` on for one surrogate: a step of the largest gain is never worse than another one.
 * INT64_MAX if all of them do not suffice. */
static int64_t surrogate(const problem *p, size_t first, ratio r, int64_t need_up, int64_t need_down) {
  qv_i128 need = (qv_i128)r.p * need_up + (qv_i128)r.q * need_down;
  int64_t steps = 0;
  if (need <= 0) return 0;
  size_t n = sort_kinds(p, first, r);
  for (size_t i = 0; i < n; i++) {
    const kind *k = &p->k[p->order[i]];
    qv_i128 g = gain(k, r);
    if (g <= 0) break;
    qv_i128 all = g * k->most;
    if (all >= need) return steps + (int64_t)qv_ceil_div(need, g);
    need -= all;
    steps += k->most;
  }
  return INT64_MAX;
}

/* The best of the surrogates is a lower bound on the steps of the kinds from `first` on; *at is its ratio. Every surrogate is a
 * bound, so the search for the best one (coarse, then finer around it) needs no justification. */
static int64_t lower_bound(const problem *p, size_t first, int64_t need_up, int64_t need_down, int *at) {
  bool both = need_up > 0 && need_down > 0;
  int64_t best = -1;
  for (int i = 0; i <= RATIOS; i += both ? COARSE : RATIOS) {
    int64_t v = surrogate(p, first, ratio_at(i), need_up, need_down);
    if (v > best) best = v, *at = i;
  }
  for (int step = COARSE / 2; both && step > 0 && best < INT64_MAX; step /= 2) {
    int from = *at;
    for (int i = from - step; i <= from + step; i += 2 * step) {
      if (i < 0 || i > RATIOS) continue;
      int64_t v = surrogate(p, first, ratio_at(i), need_up, need_down);
      if (v > best) best = v, *at = i;
    }
  }
  return best;
}

/* Steps of one kind, at most `most`, that are still of use. */
static int64_t useful(const kind *k, int64_t need_up, int64_t need_down) {
  int64_t a = need_up > 0 && k->up > 0 ? (int64_t)qv_ceil_div(need_up, k->up) : 0;
  int64_t b = need_down > 0 && k->down > 0 ? (int64_t)qv_ceil_div(need_down, k->down) : 0;
  return qv_min64(k->most, qv_max64(a, b));
}

static void keep(problem *p, int64_t steps) {
  if (steps >= p->steps) return;
  p->steps = steps;
  for (size_t i = 0; i < p->n; i++) p->best[i] = p->k[i].d;
}

/* Take kinds in the order of a surrogate until both needs are met. */
static void greedy(problem *p, ratio r, int64_t need_up, int64_t need_down) {
  int64_t steps = 0;
  size_t n = sort_kinds(p, 0, r);
  for (size_t i = 0; i < n; i++) p->k[i].d = 0;
  for (size_t i = 0; i < n && (need_up > 0 || need_down > 0); i++) {
    kind *k = &p->k[p->order[i]];
    k->d = useful(k, need_up, need_down);
    need_up -= k->up * k->d;
    need_down -= k->down * k->d;
    steps += k->d;
  }
  if (need_up <= 0 && need_down <= 0) keep(p, steps);
}

/* Every number of steps of kind i, the most first. False: no branches left. */
static bool branch(problem *p, size_t i, int64_t steps, int64_t need_up, int64_t need_down) {
  if (need_up <= 0 && need_down <= 0) {
    for (size_t j = i; j < p->n; j++) p->k[j].d = 0;
    keep(p, steps);
    return true;
  }
  if (i == p->n) return true;
  int ignored;
  int64_t rest = lower_bound(p, i, need_up, need_down, &ignored);
  if (rest == INT64_MAX || steps + rest >= p->steps) return true;
  kind *k = &p->k[i];
  for (int64_t d = useful(k, need_up, need_down); d >= 0; d--) {
    if (p->nodes == 0) return false;
    p->nodes--;
    k->d = d;
    if (!branch(p, i + 1, steps + d, need_up - k->up * d, need_down - k->down * d)) return false;
  }
  return true;
}

static qv_status solve(problem *p, int64_t need_up, int64_t need_down, qv_least *out, qv_err *err) {
  int best_ratio = 0;
  out->bound = lower_bound(p, 0, need_up, need_down, &best_ratio);
  p->steps = INT64_MAX;
  if (out->bound < INT64_MAX) greedy(p, ratio_at(best_ratio), need_up, need_down);
  for (int i = 0; i <= RATIOS && p->steps > out->bound; i += COARSE) greedy(p, ratio_at(i), need_up, need_down);
  if (p->steps == INT64_MAX) return QV_FAIL(err, QV_E_ARG, "the weights cannot be moved far enough");
  p->nodes = QV_LEAST_NODES / p->n + 1;
  if (p->steps > out->bound && branch(p, 0, 0, need_up, need_down)) out->bound = p->steps;
  out->steps = p->steps;
  return QV_OK;
}

/* ---- kinds to terms -------------------------------------------------------------------------------------------------------- */

static int compare_term(const void *a, const void *b, void *ctx) {
  const qv_least_term *t = ctx, *x = &t[*(const size_t *)a], *y = &t[*(const size_t *)b];
  if (x->up != y->up) return x->up > y->up ? -1 : 1;
  if (x->down != y->down) return x->down > y->down ? -1 : 1;
  return *(const size_t *)a < *(const size_t *)b ? -1 : 1;
}

static bool same_kind(const qv_least_term *a, const qv_least_term *b) { return a->up == b->up && a->down == b->down; }

/* `steps` over the terms at[0..n), as evenly as their numbers of steps allow: d[i] = min(most, level), and one more for some. */
static void spread(int64_t *d, const qv_least_term *t, const size_t *at, size_t n, int64_t steps) {
  int64_t lo = 0, hi = 0; /* largest level whose steps do not pass `steps` */
  for (size_t i = 0; i < n; i++) hi = qv_max64(hi, t[at[i]].most);
  while (lo < hi) {
    int64_t mid = lo + (hi - lo + 1) / 2, sum = 0;
    for (size_t i = 0; i < n; i++) sum += qv_min64(t[at[i]].most, mid);
    if (sum <= steps) lo = mid;
    else hi = mid - 1;
  }
  for (size_t i = 0; i < n; i++) steps -= d[at[i]] = qv_min64(t[at[i]].most, lo);
  for (size_t i = 0; i < n && steps > 0; i++)
    if (d[at[i]] < t[at[i]].most) d[at[i]]++, steps--;
}

/* Move steps from where most are to where fewest are while both sums still suffice. The number of steps stays. */
static void smooth(int64_t *d, const qv_least_term *t, size_t n, int64_t need_up, int64_t need_down) {
  int64_t up = -need_up, down = -need_down;
  for (size_t i = 0; i < n; i++) up += t[i].up * d[i], down += t[i].down * d[i];
  for (bool moved = true; moved;) {
    size_t from = n, to = n;
    for (size_t i = 0; i < n; i++)
      for (size_t j = 0; j < n; j++) {
        if (d[i] <= d[j] + 1 || d[j] >= t[j].most || up - t[i].up + t[j].up < 0 || down - t[i].down + t[j].down < 0) continue;
        if (from == n || d[i] - d[j] > d[from] - d[to]) from = i, to = j;
      }
    moved = from < n;
    if (!moved) break;
    d[from]--;
    d[to]++;
    up += t[to].up - t[from].up;
    down += t[to].down - t[from].down;
  }
}

qv_status qv_least_steps(int64_t *d, qv_least *out, const qv_least_term *t, size_t n, int64_t need_up, int64_t need_down, qv_err *err) {
  qv_arena tmp = {0};
  *out = (qv_least){0};
  for (size_t i = 0; i < n; i++) d[i] = 0;
  if (need_up <= 0 && need_down <= 0) return QV_OK;
  problem p = {.k = QV_NEW(&tmp, n, kind), .order = QV_NEW(&tmp, n, size_t), .best = QV_NEW(&tmp, n, int64_t)};
  size_t *at = QV_NEW(&tmp, n, size_t), *first = QV_NEW(&tmp, n + 1, size_t);
  if (p.k == NULL || p.order == NULL || p.best == NULL || at == NULL || first == NULL) {
    qv_arena_clear(&tmp);
    return QV_FAIL(err, QV_E_NOMEM, "fewest steps");
  }
  for (size_t i = 0; i < n; i++) at[i] = i;
  qsort_r(at, n, sizeof *at, compare_term, (void *)(uintptr_t)t);
  for (size_t i = 0; i < n; i++) {
    const qv_least_term *x = &t[at[i]];
    if (p.n == 0 || !same_kind(x, &t[at[i - 1]])) {
      first[p.n] = i;
      p.k[p.n++] = (kind){.up = x->up, .down = x->down};
    }
    p.k[p.n - 1].most += x->most;
  }
  first[p.n] = n;
  qv_status st = solve(&p, need_up, need_down, out, err);
  for (size_t k = 0; st == QV_OK && k < p.n; k++) spread(d, t, at + first[k], first[k + 1] - first[k], p.best[k]);
  if (st == QV_OK && n <= QV_LEAST_SMOOTH) smooth(d, t, n, need_up, need_down);
  qv_arena_clear(&tmp);
  return st;
}
