#include "analysis/attack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/robust_simd.h"

/* Buffers of one gradient search. */
typedef struct {
  const qv_dual *d;
  const qv_goal *goal;
  float *x, *grad, *mean; /* [n] variables, gradient, its running mean (inputs only) */
  double *acc;            /* [n] of units */
  double leak;            /* share of the slope that counts where a unit is saturated, so that it can be moved back */
  bool smooth;            /* functions without their stairs: easier to descend */
  int64_t *xi;            /* [n_in] */
} ascent;

/* Average slope of f_v between its saturated ends, within the bounds; outside them a share of it. */
static double slope(const qv_dual *d, uint32_t v, double acc, double leak) {
  const qv_graph *g = d->g;
  const qv_unit *u = &g->unit[v];
  if (d->lo[v] == d->hi[v]) return 0;
  if (u->fn == QV_UNIT_STEP && g->level[u->node][u->channel].at != NULL) {
    const qv_thresholds *l = &g->level[u->node][u->channel];
    double from = (double)l->at[1], to = (double)l->at[l->n - 1], per = (double)(l->n - 1) / (to - from + 1);
    return acc < from - 1 || acc > to ? per * leak : per;
  }
  return (double)(qv_unit_eval(g, v, d->acc[v].hi) - qv_unit_eval(g, v, d->acc[v].lo)) / (double)(d->acc[v].hi - d->acc[v].lo);
}

/* The line between a step's saturated ends. */
static double without_stairs(const qv_dual *d, uint32_t v, double acc) {
  const qv_unit *u = &d->g->unit[v];
  const qv_thresholds *l = &d->g->level[u->node][u->channel];
  double from = (double)l->at[1], to = (double)l->at[l->n - 1];
  double y = (double)l->lo + 0.5 + (acc - from) * (double)(l->n - 2) / (to - from + 1);
  return fmin((double)d->hi[v], fmax((double)d->lo[v], y));
}

static bool has_stairs(const qv_graph *g, uint32_t v) {
  const qv_unit *u = &g->unit[v];
  return u->fn == QV_UNIT_STEP && g->level[u->node][u->channel].at != NULL && g->level[u->node][u->channel].n > 2;
}

/* The tap that a maximum takes its value from. */
static uint32_t winner(const ascent *a, uint32_t v) {
  uint32_t w = v - a->d->g->unit[v].n_tap;
  for (uint32_t t = w + 1; t < v; t++)
    if (a->x[t] > a->x[w]) w = t;
  return w;
}

static float of_taps(const ascent *a, uint32_t v) {
  if (a->d->g->unit[v].fn == QV_UNIT_MAX) return a->x[winner(a, v)];
  return (float)qv_unit_product(a->d->g, v, llrintf(a->x[v - 2]), llrintf(a->x[v - 1]));
}

static void push_taps(ascent *a, uint32_t v) {
  float grad = a->grad[v];
  if (a->d->g->unit[v].fn == QV_UNIT_MAX) {
    a->grad[winner(a, v)] += grad;
    return;
  }
  const qv_product *p = &a->d->g->net->node[a->d->g->unit[v].node].u.product;
  a->grad[v - 2] += grad * (a->x[v - 1] - (float)p->z1);
  a->grad[v - 1] += grad * (a->x[v - 2] - (float)p->z0);
}

static void forward(ascent *a) {
  const qv_graph *g = a->d->g;
  for (uint32_t v = g->n_in; v < g->n; v++) {
    const qv_unit *u = &g->unit[v];
    if (u->fn == QV_UNIT_FREE) {
      a->x[v] = (float)(a->d->lo[v] + a->d->hi[v]) / 2;
      continue;
    }
    if (qv_unit_of_taps(g, v)) {
      a->x[v] = of_taps(a, v);
      continue;
    }
    double s = (double)u->b + qv_rob_sumf(g->wf, a->x, g->seg + u->seg, u->n_seg);
    a->acc[v] = s;
    if (a->smooth && has_stairs(g, v)) {
      a->x[v] = (float)without_stairs(a->d, v, s);
      continue;
    }
    a->x[v] = a->d->lo[v] == a->d->hi[v] ? (float)a->d->lo[v]
                                         : (float)qv_unit_eval(g, v, qv_clamp64(llrint(s), a->d->acc[v].lo, a->d->acc[v].hi));
  }
}

static void push(ascent *a, uint32_t v, double s) {
  const qv_graph *g = a->d->g;
  const qv_unit *u = &g->unit[v];
  qv_rob_pushf(a->grad, g->wf, (float)s, g->seg + u->seg, u->n_seg);
}

static void backward(ascent *a) {
  const qv_graph *g = a->d->g;
  const qv_goal *goal = a->goal;
  memset(a->grad, 0, g->n * sizeof *a->grad);
  switch (goal->kind) {
  case QV_GOAL_SUM:
    for (uint32_t k = 0; k < goal->n_part; k++)
      for (uint32_t i = 0; i < goal->part[k].n; i++) a->grad[goal->part[k].var[i]] += (float)goal->part[k].c[i];
    break;
  case QV_GOAL_UNIT: push(a, goal->y, goal->sign); break;
  case QV_GOAL_PAIR:
    push(a, goal->y, 1);
    push(a, goal->j, -1);
    break;
  }
  for (uint32_t v = g->n; v-- > g->n_in;) {
    if (a->grad[v] == 0 || g->unit[v].fn == QV_UNIT_FREE) continue;
    if (qv_unit_of_taps(g, v)) {
      push_taps(a, v);
      continue;
    }
    double s = (double)a->grad[v] * slope(a->d, v, a->acc[v], a->leak);
    if (s != 0) push(a, v, s);
  }
}

/* A start: the middle of the box, or a random corner or point. */
static void begin(ascent *a, uint32_t restart, qv_rng *rng) {
  const qv_dual *d = a->d;
  bool corner = restart % 2 == 1;
  memset(a->mean, 0, d->g->n_in * sizeof *a->mean);
  for (uint32_t v = 0; v < d->g->n_in; v++) {
    int64_t x = restart == 0 ? d->lo[v] + (d->hi[v] - d->lo[v]) / 2
                : corner     ? (qv_rng_next(rng) & 1 ? d->lo[v] : d->hi[v])
                             : qv_rng_range(rng, d->lo[v], d->hi[v]);
    a->x[v] = (float)x;
  }
}

static qv_status flush(bool *found, int64_t *x, qv_batch *b, const int64_t *kept, size_t n, qv_err *err) {
  uint32_t m = b->n;
  qv_status st = m > 0 ? qv_batch_run(b, err) : QV_OK;
  for (uint32_t i = 0; st == QV_OK && i < m && !*found; i++)
    if (qv_batch_violated(b, i)) {
      *found = true;
      memcpy(x, kept + i * n, n * sizeof *x);
    }
  return st;
}

static bool late(const qv_batch *b) { return b->deadline > 0 && qv_clock() > b->deadline; }

#define PER_START 6 /* rounds from one start, jumping from corner to corner */
#define PER_WALK 24 /* rounds of a walk in ever smaller steps */
#define CANDIDATES 8

/* Down the gradient, into the box: to the corner it points to, or a share of the way. */
static void step(ascent *a, double share) {
  const qv_dual *d = a->d;
  for (size_t v = 0; v < d->g->n_in; v++) {
    a->mean[v] = 0.5F * a->mean[v] + a->grad[v];
    if (a->mean[v] == 0) continue; /* no influence: leave the value where it is */
    double to = (double)(a->mean[v] > 0 ? d->lo[v] : d->hi[v]), width = (double)(d->hi[v] - d->lo[v]);
    double x = (double)a->x[v] + (a->mean[v] > 0 ? -1 : 1) * share * width;
    a->x[v] = (float)(share >= 1 ? to : fmin((double)d->hi[v], fmax((double)d->lo[v], x)));
  }
}

qv_status qv_attack_gradient(bool *found, int64_t *x, qv_batch *b, const qv_dual *d, const qv_goal *goal, uint32_t rounds, qv_rng *rng,
                             qv_err *err) {
  size_t n = d->g->n, n_in = d->g->n_in;
  qv_arena arena = {0};
  ascent a = {.d = d, .goal = goal};
  a.x = QV_NEW(&arena, n, float);
  a.grad = QV_NEW(&arena, n, float);
  a.mean = QV_NEW(&arena, n_in, float);
  a.acc = QV_NEW(&arena, n, double);
  a.xi = QV_NEW(&arena, n_in * CANDIDATES, int64_t);
  qv_status st = QV_OK;
  *found = false;
  if (a.x == NULL || a.grad == NULL || a.mean == NULL || a.acc == NULL || a.xi == NULL) st = QV_FAIL(err, QV_E_NOMEM, "attack");
  uint32_t start = 0, left = 0;
  for (uint32_t it = 0; st == QV_OK && it < rounds && !*found && !late(b); it++, left--) {
    if (left == 0) {
      a.smooth = start % 3 == 2;
      a.leak = start % 2 == 0 ? 0.25 : 0;
      left = a.smooth ? PER_WALK : PER_START;
      begin(&a, start++, rng);
    }
    forward(&a);
    backward(&a);
    step(&a, a.smooth ? 0.3 * left / PER_WALK : 1);
    int64_t *xi = a.xi + b->n * n_in;
    for (size_t v = 0; v < n_in; v++) xi[v] = qv_clamp64(llrintf(a.x[v]), d->lo[v], d->hi[v]);
    qv_batch_put(b, xi);
    if (b->n == CANDIDATES) st = flush(found, x, b, a.xi, n_in, err);
  }
  if (st == QV_OK && !*found) st = flush(found, x, b, a.xi, n_in, err);
  qv_arena_clear(&arena);
  return st;
}

qv_status qv_attack_local(bool *found, int64_t *x, qv_batch *b, const int64_t *lo, const int64_t *hi, size_t n, uint32_t rounds,
                          qv_rng *rng, qv_err *err) {
  const uint32_t tries = 64;
  qv_status st = QV_OK;
  int64_t best = INT64_MAX, *kept = malloc(tries * n * sizeof *kept + 1), *base = malloc(n * sizeof *base + 1);
  *found = false;
  if (kept == NULL || base == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "attack");
    goto done;
  }
  memcpy(base, x, n * sizeof *x);
  for (uint32_t r = 0; r < rounds && !*found && !late(b); r++) {
    for (uint32_t i = 0; i < tries; i++) {
      int64_t *p = kept + i * n;
      memcpy(p, base, n * sizeof *p);
      int64_t moves = i == 0 ? 0 : qv_rng_range(rng, 1, 1 + (int64_t)n / 16);
      for (int64_t k = 0; k < moves; k++) {
        size_t v = (size_t)qv_rng_range(rng, 0, (int64_t)n - 1);
        p[v] = qv_rng_next(rng) % 4 == 0 ? qv_rng_range(rng, lo[v], hi[v]) : p[v] == lo[v] ? hi[v] : lo[v];
      }
      qv_batch_put(b, p);
    }
    QV_TRY(qv_batch_run(b, err));
    for (uint32_t i = 0; i < tries && !*found; i++) {
      int64_t gap = qv_cond_gap(b->q->cond, b->net, qv_batch_output(b, i));
      *found = gap <= 0;
      if (gap > best) continue;
      best = gap;
      memcpy(*found ? x : base, kept + i * n, n * sizeof *x);
    }
  }
done:
  free(kept);
  free(base);
  return st;
}
