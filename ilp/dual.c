#include "ilp/dual.h"

#include <math.h>
#include <string.h>

#define BIG 1e6 /* far above every scaled key, which is at most 1: stands for "forbidden" */
#define NOMEM(err) QV_FAIL((err), QV_E_NOMEM, "out of memory")

qv_status qv_adual_init(qv_adual *d, const qv_question *q, qv_err *err) {
  const qv_alloc *p = q->p;
  size_t warm = 0, pool = 0;
  d->q = q;
  d->gid = QV_NEW(&d->arena, p->n_groups, uint32_t);
  d->first = QV_NEW(&d->arena, (size_t)p->n_groups + 1, uint32_t);
  d->cid = QV_NEW(&d->arena, p->n_cands, uint32_t);
  d->k = QV_NEW(&d->arena, p->n_cands, double);
  d->a = QV_NEW(&d->arena, (size_t)p->n_cands * q->n, double);
  d->b = QV_NEW(&d->arena, q->n, double);
  d->block = QV_NEW(&d->arena, p->n_blocks, qv_adual_block);
  d->lambda = QV_NEW(&d->arena, q->n, double);
  d->theta = QV_NEW(&d->arena, p->n_cands, double);
  d->low = QV_NEW(&d->arena, p->n_groups, double);
  d->pick = QV_NEW(&d->arena, p->n_groups, uint32_t);
  d->share = QV_NEW(&d->arena, p->n_cands, double);
  d->where = QV_NEW(&d->arena, p->n_groups, uint32_t);
  d->warm_at = QV_NEW(&d->arena, p->n_blocks, size_t);
  d->grad = QV_NEW(&d->arena, q->n, double);
  d->dir = QV_NEW(&d->arena, q->n, double);
  d->try_lambda = QV_NEW(&d->arena, q->n, double);
  d->best_lambda = QV_NEW(&d->arena, q->n, double);
  d->try_theta = QV_NEW(&d->arena, p->n_cands, double);
  d->try_low = QV_NEW(&d->arena, p->n_groups, double);
  d->try_pick = QV_NEW(&d->arena, p->n_groups, uint32_t);
  d->scratch = QV_NEW(&d->arena, p->n_cands, double);
  for (uint32_t e = 0; d->warm_at != NULL && e < p->n_blocks; e++) {
    size_t ng = p->group[p->block[e].g].n, nh = p->group[p->block[e].h].n;
    d->warm_at[e] = warm;
    warm += ng + nh;
    pool += ng * nh * (1 + (size_t)q->n) + ng + nh;
  }
  d->warm = QV_NEW(&d->arena, warm, double);
  d->pool = QV_NEW(&d->arena, pool, double);
  size_t nonzero = 0;
  for (size_t i = 0; i < (size_t)p->n_cands * q->n; i++) nonzero += q->da[i] != 0;
  d->nz_at = QV_NEW(&d->arena, (size_t)p->n_cands + 1, uint32_t);
  d->nz_row = QV_NEW(&d->arena, nonzero, uint32_t);
  d->nz = QV_NEW(&d->arena, nonzero, double);
  bool ok = d->nz_at != NULL && d->nz_row != NULL && d->nz != NULL && d->gid != NULL && d->first != NULL && d->cid != NULL && d->k != NULL && d->a != NULL && d->b != NULL && d->block != NULL &&
            d->lambda != NULL && d->theta != NULL && d->low != NULL && d->pick != NULL && d->share != NULL && d->where != NULL &&
            d->warm_at != NULL && d->grad != NULL && d->dir != NULL && d->try_lambda != NULL && d->best_lambda != NULL && d->try_theta != NULL &&
            d->try_low != NULL && d->try_pick != NULL && d->scratch != NULL && d->warm != NULL && d->pool != NULL;
  if (!ok) {
    qv_adual_clear(d);
    return NOMEM(err);
  }
  for (uint32_t c = 0; c < p->n_cands; c++) {
    uint32_t at = d->nz_at[c];
    for (uint32_t m = 0; m < q->n; m++) {
      double v = q->da[(size_t)c * q->n + m];
      if (v == 0) continue;
      d->nz_row[at] = m;
      d->nz[at++] = v;
    }
    d->nz_at[c + 1] = at;
  }
  return QV_OK;
}

void qv_adual_clear(qv_adual *d) {
  qv_arena_clear(&d->arena);
  *d = (qv_adual){0};
}

/* ---- the sub-problem ---------------------------------------------------------------------------------------------------------- */

static void load_groups(qv_adual *d, const unsigned char *alive) {
  const qv_question *q = d->q;
  const qv_alloc *p = q->p;
  uint32_t n = 0;
  d->n_groups = 0;
  d->base = 0;
  memcpy(d->b, q->db, q->n * sizeof *d->b);
  for (uint32_t g = 0; g < p->n_groups; g++) {
    uint32_t from = n;
    for (uint32_t c = p->group[g].first; c < p->group[g].first + p->group[g].n; c++) {
      if (!alive[c]) continue;
      d->cid[n] = c;
      d->k[n] = q->zero ? 0 : q->dk[c];
      memcpy(d->a + (size_t)n * q->n, q->da + (size_t)c * q->n, q->n * sizeof *d->a);
      n++;
    }
    d->where[g] = QV_ATABLE_NONE;
    if (n - from > 1) {
      d->where[g] = d->n_groups;
      d->gid[d->n_groups] = g;
      d->first[d->n_groups++] = from;
      continue;
    }
    d->base += d->k[from];
    for (uint32_t m = 0; m < q->n; m++) d->b[m] -= d->a[(size_t)from * q->n + m];
    n = from; /* fixed: its candidate is found through alive where needed */
  }
  d->first[d->n_groups] = n;
}

static uint32_t only_alive(const qv_alloc *p, uint32_t g, const unsigned char *alive) {
  uint32_t c = p->group[g].first;
  while (!alive[c]) c++;
  return c - p->group[g].first;
}

/* Key and costs of combination (a, b) of block e, into the key k and costs v (added). */
static void add_combo(const qv_question *q, uint32_t e, uint32_t a, uint32_t b, double *k, double *v, double sign) {
  const qv_alloc *p = q->p;
  int32_t t = q->combo[e][(size_t)a * p->group[p->block[e].h].n + b];
  if (t < 0) return;
  if (p->term[t].forbidden) {
    *k += BIG;
    return;
  }
  if (!q->zero) *k += q->dtk[t];
  for (uint32_t m = 0; m < q->n; m++) v[m] += sign * q->dta[(size_t)t * q->n + m];
}

static void load_open_block(qv_adual *d, uint32_t e) {
  const qv_question *q = d->q;
  const qv_alloc *p = q->p;
  const qv_alloc_block *b = &p->block[e];
  qv_adual_block *x = &d->block[d->n_blocks++];
  x->e = e;
  x->i = d->where[b->g];
  x->j = d->where[b->h];
  uint32_t ni = d->first[x->i + 1] - d->first[x->i], nj = d->first[x->j + 1] - d->first[x->j];
  x->q = d->pool + d->pool_n;
  x->a = x->q + (size_t)ni * nj;
  x->u = x->a + (size_t)ni * nj * q->n;
  x->v = x->u + ni;
  d->pool_n += (size_t)ni * nj * (1 + (size_t)q->n) + ni + nj;
  memset(x->q, 0, (size_t)ni * nj * (1 + (size_t)q->n) * sizeof *x->q);
  uint32_t fg = p->group[b->g].first, fh = p->group[b->h].first;
  double *warm = d->warm + d->warm_at[e];
  for (uint32_t s = 0; s < ni; s++) {
    uint32_t a = d->cid[d->first[x->i] + s] - fg;
    x->u[s] = warm[a];
    for (uint32_t t = 0; t < nj; t++)
      add_combo(q, e, a, d->cid[d->first[x->j] + t] - fh, &x->q[(size_t)s * nj + t], &x->a[((size_t)s * nj + t) * q->n], 1);
  }
  for (uint32_t t = 0; t < nj; t++) x->v[t] = warm[p->group[b->g].n + d->cid[d->first[x->j] + t] - fh];
}

static void load_blocks(qv_adual *d, const unsigned char *alive) {
  const qv_question *q = d->q;
  const qv_alloc *p = q->p;
  d->n_blocks = 0;
  d->pool_n = 0;
  for (uint32_t e = 0; e < p->n_blocks; e++) {
    const qv_alloc_block *b = &p->block[e];
    uint32_t i = d->where[b->g], j = d->where[b->h];
    if (i != QV_ATABLE_NONE && j != QV_ATABLE_NONE) load_open_block(d, e);
    else if (i != QV_ATABLE_NONE) {
      uint32_t y = only_alive(p, b->h, alive);
      for (uint32_t c = d->first[i]; c < d->first[i + 1]; c++)
        add_combo(q, e, d->cid[c] - p->group[b->g].first, y, &d->k[c], &d->a[(size_t)c * q->n], 1);
    } else if (j != QV_ATABLE_NONE) {
      uint32_t x = only_alive(p, b->g, alive);
      for (uint32_t c = d->first[j]; c < d->first[j + 1]; c++)
        add_combo(q, e, x, d->cid[c] - p->group[b->h].first, &d->k[c], &d->a[(size_t)c * q->n], 1);
    } else add_combo(q, e, only_alive(p, b->g, alive), only_alive(p, b->h, alive), &d->base, d->b, -1);
  }
}

void qv_adual_load(qv_adual *d, const unsigned char *alive) {
  load_groups(d, alive);
  if (d->q->p->n_blocks > 0) load_blocks(d, alive);
  for (uint32_t c = 0; c < d->first[d->n_groups]; c++) d->share[c] = 0;
}

/* ---- evaluation ---------------------------------------------------------------------------------------------------------------- */

static double weighted(const double *a, const double *lambda, uint32_t n) {
  double s = 0;
  for (uint32_t m = 0; m < n; m++) s += a[m] * lambda[m];
  return s;
}

/* The same for a candidate of the sub-problem. Rows of memory limits touch few groups each: most of a is 0. (What fixed partners of pairs add
 * is in a alone.) */
static double cost_at(const qv_adual *d, uint32_t c, const double *lambda) {
  if (d->q->p->n_blocks > 0) return weighted(d->a + (size_t)c * d->q->n, lambda, d->q->n);
  double s = 0;
  for (uint32_t i = d->nz_at[d->cid[c]]; i < d->nz_at[d->cid[c] + 1]; i++) s += d->nz[i] * lambda[d->nz_row[i]];
  return s;
}

static void add_gradient(qv_adual *d, uint32_t c) {
  if (d->q->p->n_blocks > 0) {
    for (uint32_t m = 0; m < d->q->n; m++) d->grad[m] += d->a[(size_t)c * d->q->n + m];
    return;
  }
  for (uint32_t i = d->nz_at[d->cid[c]]; i < d->nz_at[d->cid[c] + 1]; i++) d->grad[d->nz_row[i]] += d->nz[i];
}

/* Bound at lambda; theta, low and pick go to the given arrays, the subgradient to d->grad. */
static double evaluate(qv_adual *d, const double *lambda, double *theta, double *low, uint32_t *pick) {
  uint32_t rows = d->q->n;
  double bound = d->base;
  d->evals++;
  for (uint32_t m = 0; m < rows; m++) {
    d->grad[m] = -d->b[m];
    bound -= lambda[m] * d->b[m];
  }
  for (uint32_t c = 0; c < d->first[d->n_groups]; c++) theta[c] = d->k[c] + cost_at(d, c, lambda);
  for (uint32_t e = 0; e < d->n_blocks; e++) {
    qv_adual_block *x = &d->block[e];
    uint32_t fi = d->first[x->i], fj = d->first[x->j], ni = d->first[x->i + 1] - fi, nj = d->first[x->j + 1] - fj;
    double best = INFINITY;
    for (uint32_t s = 0; s < ni; s++) theta[fi + s] += x->u[s];
    for (uint32_t t = 0; t < nj; t++) theta[fj + t] += x->v[t];
    for (uint32_t s = 0; s < ni; s++)
      for (uint32_t t = 0; t < nj; t++) {
        uint32_t at = s * nj + t;
        double v = x->q[at] + weighted(x->a + (size_t)at * rows, lambda, rows) - x->u[s] - x->v[t];
        if (v < best) {
          best = v;
          x->pick = at;
        }
      }
    bound += best;
    for (uint32_t m = 0; m < rows; m++) d->grad[m] += x->a[(size_t)x->pick * rows + m];
  }
  for (uint32_t i = 0; i < d->n_groups; i++) {
    uint32_t best = d->first[i];
    for (uint32_t c = best + 1; c < d->first[i + 1]; c++)
      if (theta[c] < theta[best]) best = c;
    low[i] = theta[best];
    pick[i] = best;
    bound += theta[best];
    add_gradient(d, best);
  }
  return bound;
}

/* One round of max-product linear programming: each block takes the halves of its two sides' least sums. Never lowers the bound. */
static void sweep_blocks(qv_adual *d, const double *lambda) {
  uint32_t rows = d->q->n;
  double *theta = d->scratch;
  for (uint32_t c = 0; c < d->first[d->n_groups]; c++) theta[c] = d->k[c] + weighted(d->a + (size_t)c * rows, lambda, rows);
  for (uint32_t e = 0; e < d->n_blocks; e++) {
    const qv_adual_block *x = &d->block[e];
    for (uint32_t c = d->first[x->i]; c < d->first[x->i + 1]; c++) theta[c] += x->u[c - d->first[x->i]];
    for (uint32_t c = d->first[x->j]; c < d->first[x->j + 1]; c++) theta[c] += x->v[c - d->first[x->j]];
  }
  for (uint32_t e = 0; e < d->n_blocks; e++) {
    qv_adual_block *x = &d->block[e];
    double *ti = theta + d->first[x->i], *tj = theta + d->first[x->j];
    uint32_t ni = d->first[x->i + 1] - d->first[x->i], nj = d->first[x->j + 1] - d->first[x->j];
    for (uint32_t s = 0; s < ni; s++) ti[s] -= x->u[s], x->u[s] = INFINITY;
    for (uint32_t t = 0; t < nj; t++) tj[t] -= x->v[t], x->v[t] = INFINITY;
    for (uint32_t s = 0; s < ni; s++)
      for (uint32_t t = 0; t < nj; t++) {
        uint32_t at = s * nj + t;
        double v = x->q[at] + weighted(x->a + (size_t)at * rows, lambda, rows);
        x->u[s] = fmin(x->u[s], v + tj[t]);
        x->v[t] = fmin(x->v[t], v + ti[s]);
      }
    for (uint32_t s = 0; s < ni; s++) x->u[s] = (x->u[s] - ti[s]) / 2, ti[s] += x->u[s];
    for (uint32_t t = 0; t < nj; t++) x->v[t] = (x->v[t] - tj[t]) / 2, tj[t] += x->v[t];
  }
}

/* ---- climbing ------------------------------------------------------------------------------------------------------------------ */

/* Evaluate at lambda after improving the pairs' parts; keep the best; remember who was picked. Returns the bound. */
static double visit(qv_adual *d, const double *lambda, double weight, bool sweep) {
  uint32_t n = d->first[d->n_groups], rows = d->q->n;
  double *theta = d->try_theta, *low = d->try_low;
  uint32_t *pick = d->try_pick;
  if (sweep && d->n_blocks > 0) sweep_blocks(d, lambda);
  double bound = evaluate(d, lambda, theta, low, pick);
  for (uint32_t c = 0; c < n; c++) d->share[c] *= 1 - weight;
  for (uint32_t i = 0; i < d->n_groups; i++) d->share[pick[i]] += weight;
  if (bound > d->bound || d->n_blocks > 0) { /* with pairs, u and v have moved: the last state is the one that can be used */
    d->bound = bound;
    if (lambda != d->lambda) memcpy(d->lambda, lambda, rows * sizeof *lambda);
    memcpy(d->theta, theta, n * sizeof *theta);
    memcpy(d->low, low, d->n_groups * sizeof *low);
    memcpy(d->pick, pick, d->n_groups * sizeof *pick);
  }
  return bound;
}

/* Exact maximum along row m, the others fixed at d->try_lambda: where the lines of the last points left and right of it meet. The
 * bound is concave and piecewise linear, so this ends. */
static void climb_row(qv_adual *d, uint32_t m, double target) {
  double *l = d->try_lambda;
  double lo = 0, f_lo, g_lo, hi, f_hi = 0, g_hi = 0, first = l[m];
  l[m] = 0;
  f_lo = visit(d, l, 0.05, true);
  g_lo = d->grad[m];
  if (g_lo <= 0 || d->bound >= target) return;
  hi = first > 0 ? first : 1;
  for (int i = 0;; i++) { /* a point to the right of the maximum */
    l[m] = hi;
    f_hi = visit(d, l, 0.3, true);
    g_hi = d->grad[m];
    if (g_hi <= 0 || d->bound >= target || i == 60) break;
    lo = hi, f_lo = f_hi, g_lo = g_hi;
    hi *= 4;
  }
  for (int i = 0; i < 60 && g_hi <= 0 && d->bound < target; i++) {
    double x = (f_hi - f_lo + g_lo * lo - g_hi * hi) / (g_lo - g_hi), at = f_lo + g_lo * (x - lo);
    if (!(x > lo && x < hi)) break;
    l[m] = x;
    double f = visit(d, l, 0.3, true), g = d->grad[m];
    if (f >= at - 1e-14 * (fabs(at) + 1)) break;
    if (g > 0) lo = x, f_lo = f, g_lo = g;
    else hi = x, f_hi = f, g_hi = g;
  }
  l[m] = d->lambda[m];
}

static double norm2(const double *v, uint32_t n) { return weighted(v, v, n); }

/* Onto { l >= 0 }, or onto the simplex of sum 1 where only feasibility is asked. */
static void project(const qv_adual *d, double *l) {
  uint32_t n = d->q->n;
  double sum = 0;
  for (uint32_t m = 0; m < n; m++) {
    if (!(l[m] > 0)) l[m] = 0;
    sum += l[m];
  }
  if (!d->q->zero) return;
  for (uint32_t m = 0; m < n; m++) l[m] = sum > 0 ? l[m] / sum : 1.0 / n;
}

/* How far up to aim: the target, or a little above the best where there is none. */
static double aim(const qv_adual *d, double best, double target) { return d->q->zero || !isfinite(target) ? best + 0.1 * (fabs(best) + 0.1) : target; }

/* Subgradient steps of Polyak's length toward the target, with a little memory of the direction. */
static void climb_steps(qv_adual *d, double target, uint32_t effort) {
  uint32_t n = d->q->n, idle = 0;
  double *l = d->try_lambda, rho = 1;
  memset(d->dir, 0, n * sizeof *d->dir);
  for (uint32_t it = 0; it < effort && rho > 0.003; it++) {
    double old = d->bound, bound = visit(d, l, it < 20 ? 0.2 : 0.08, false);
    if (d->bound >= target) return;
    if (bound > old + 1e-9 * fabs(old)) idle = 0;
    else if (++idle == 6) {
      rho /= 2;
      idle = 0;
      memcpy(l, d->lambda, n * sizeof *l);
      memset(d->dir, 0, n * sizeof *d->dir);
    }
    for (uint32_t m = 0; m < n; m++) {
      d->dir[m] = d->grad[m] + 0.3 * d->dir[m];
      if (l[m] <= 0 && d->dir[m] < 0) d->dir[m] = 0;
    }
    double len = norm2(d->dir, n);
    if (len < 1e-24) return;
    double step = rho * (aim(d, d->bound, target) - bound) / len;
    for (uint32_t m = 0; m < n; m++) l[m] += step * d->dir[m];
    project(d, l);
  }
}

static void keep_warm(qv_adual *d) {
  const qv_alloc *p = d->q->p;
  for (uint32_t e = 0; e < d->n_blocks; e++) {
    const qv_adual_block *x = &d->block[e];
    const qv_alloc_block *b = &p->block[x->e];
    double *warm = d->warm + d->warm_at[x->e];
    for (uint32_t c = d->first[x->i]; c < d->first[x->i + 1]; c++) warm[d->cid[c] - p->group[b->g].first] = x->u[c - d->first[x->i]];
    for (uint32_t c = d->first[x->j]; c < d->first[x->j + 1]; c++)
      warm[p->group[b->g].n + d->cid[c] - p->group[b->h].first] = x->v[c - d->first[x->j]];
  }
}

/* u and v as keep_warm left them. */
static void take_warm(qv_adual *d) {
  const qv_alloc *p = d->q->p;
  for (uint32_t e = 0; e < d->n_blocks; e++) {
    qv_adual_block *x = &d->block[e];
    const qv_alloc_block *b = &p->block[x->e];
    const double *warm = d->warm + d->warm_at[x->e];
    for (uint32_t c = d->first[x->i]; c < d->first[x->i + 1]; c++) x->u[c - d->first[x->i]] = warm[d->cid[c] - p->group[b->g].first];
    for (uint32_t c = d->first[x->j]; c < d->first[x->j + 1]; c++)
      x->v[c - d->first[x->j]] = warm[p->group[b->g].n + d->cid[c] - p->group[b->h].first];
  }
}

/* Squared length of the subgradient: limits, and every side of a block that picked another candidate than its group did. */
static double slope2(const qv_adual *d) {
  double len = norm2(d->grad, d->q->n);
  for (uint32_t e = 0; e < d->n_blocks; e++) {
    const qv_adual_block *x = &d->block[e];
    uint32_t nj = d->first[x->j + 1] - d->first[x->j];
    len += 2 * (d->first[x->i] + x->pick / nj != d->pick[x->i]) + 2 * (d->first[x->j] + x->pick % nj != d->pick[x->j]);
  }
  return len;
}

static void step_pairs(qv_adual *d, double step) {
  for (uint32_t e = 0; e < d->n_blocks; e++) {
    qv_adual_block *x = &d->block[e];
    uint32_t nj = d->first[x->j + 1] - d->first[x->j];
    x->u[d->pick[x->i] - d->first[x->i]] += step;
    x->u[x->pick / nj] -= step;
    x->v[d->pick[x->j] - d->first[x->j]] += step;
    x->v[x->pick % nj] -= step;
  }
}

/* With pairs: rounds of message passing first, then subgradient steps on multipliers and messages together. */
static void climb_pairs(qv_adual *d, double target, uint32_t effort) {
  uint32_t n = d->q->n, idle = 0;
  double *l = d->try_lambda, rho = 1, best = -INFINITY;
  for (uint32_t it = 0; it < 4 * effort && rho > 0.01; it++) {
    double bound = visit(d, l, 0.1, it < 12 || it % 16 == 0);
    if (bound > best + 1e-9 * fabs(best)) idle = 0;
    else idle++;
    if (bound > best) {
      best = bound;
      memcpy(d->best_lambda, l, n * sizeof *l);
      keep_warm(d);
      if (best >= target) return;
    }
    if (it < 12 && idle < 3 && n == 0) continue;
    if (idle == 8) {
      rho /= 2;
      idle = 0;
      memcpy(l, d->best_lambda, n * sizeof *l);
      take_warm(d);
      bound = visit(d, l, 0.1, true);
    }
    for (uint32_t m = 0; m < n; m++)
      if (l[m] <= 0 && d->grad[m] < 0) d->grad[m] = 0;
    double len = slope2(d);
    if (len < 1e-24) break;
    double step = rho * (aim(d, best, target) - bound) / len;
    for (uint32_t m = 0; m < n; m++) l[m] += step * d->grad[m];
    project(d, l);
    step_pairs(d, step);
  }
  take_warm(d);
  (void)visit(d, d->best_lambda, 0.1, true);
}

void qv_adual_climb(qv_adual *d, const double *start, double target, uint32_t effort) {
  uint32_t n = d->q->n;
  memcpy(d->try_lambda, start, n * sizeof *start);
  project(d, d->try_lambda);
  d->bound = -INFINITY;
  (void)visit(d, d->try_lambda, 1, true);
  if (d->bound >= target) return;
  if (d->n_blocks > 0) {
    climb_pairs(d, target, effort);
    keep_warm(d);
    return;
  }
  if (n == 1 && !d->q->zero) climb_row(d, 0, target);
  else if (n > 0) {
    if (!d->q->zero && effort > 150) /* at the root: row by row first */
      for (uint32_t m = 0; m < n && n <= 16 && d->bound < target; m++) climb_row(d, m, target);
    if (d->bound < target) climb_steps(d, target, effort);
  }
}
