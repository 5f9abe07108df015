#include "ilp/repair.h"

#include <math.h>
#include <string.h>

#define EPS 1e-12
#define BIG 1e6 /* a forbidden pair */

qv_status qv_arepair_init(qv_arepair *r, const qv_question *q, qv_err *err) {
  r->q = q;
  r->over = QV_NEW(&r->arena, q->n, double);
  r->delta = QV_NEW(&r->arena, q->n, double);
  r->flag = QV_NEW(&r->arena, q->p->n_cands, unsigned char);
  if (r->over != NULL && r->delta != NULL && r->flag != NULL) return QV_OK;
  qv_arepair_clear(r);
  return QV_FAIL(err, QV_E_NOMEM, "out of memory");
}

void qv_arepair_clear(qv_arepair *r) {
  qv_arena_clear(&r->arena);
  *r = (qv_arepair){0};
}

/* Add sign times a pair's key and costs. */
static double add_pair(const qv_question *q, uint32_t e, uint32_t a, uint32_t b, double sign, double *rows) {
  const qv_alloc *p = q->p;
  int32_t t = q->combo[e][(size_t)a * p->group[p->block[e].h].n + b];
  if (t < 0) return 0;
  if (p->term[t].forbidden) return sign * BIG;
  for (uint32_t m = 0; m < q->n; m++) rows[m] += sign * q->dta[(size_t)t * q->n + m];
  return sign * q->dtk[t];
}

/* Change of the key when group g moves to candidate `to`; the change of the rows goes to r->delta. */
static double move_delta(qv_arepair *r, const uint32_t *choice, uint32_t g, uint32_t to) {
  const qv_question *q = r->q;
  const qv_alloc *p = q->p;
  size_t x = p->group[g].first + to, y = p->group[g].first + choice[g];
  double dk = q->dk[x] - q->dk[y];
  for (uint32_t m = 0; m < q->n; m++) r->delta[m] = q->da[x * q->n + m] - q->da[y * q->n + m];
  for (uint32_t i = q->touch[g]; i < q->touch[g + 1]; i++) {
    uint32_t e = q->touch_of[i];
    bool first = p->block[e].g == g;
    uint32_t other = choice[first ? p->block[e].h : p->block[e].g];
    dk += first ? add_pair(q, e, to, other, 1, r->delta) + add_pair(q, e, choice[g], other, -1, r->delta)
                : add_pair(q, e, other, to, 1, r->delta) + add_pair(q, e, other, choice[g], -1, r->delta);
  }
  return dk;
}

static void measure(qv_arepair *r, const uint32_t *choice) {
  const qv_question *q = r->q;
  const qv_alloc *p = q->p;
  for (uint32_t m = 0; m < q->n; m++) r->over[m] = -q->db[m];
  for (uint32_t g = 0; g < p->n_groups; g++)
    for (uint32_t m = 0; m < q->n; m++) r->over[m] += q->da[(size_t)(p->group[g].first + choice[g]) * q->n + m];
  for (uint32_t e = 0; e < p->n_blocks; e++) (void)add_pair(q, e, choice[p->block[e].g], choice[p->block[e].h], 1, r->over);
}

/* Score of a move, the least is best; INFINITY = not allowed. Repairing: key paid per violation removed. Improving: key. */
static double score(const qv_arepair *r, double dk, bool repairing) {
  double less = 0;
  for (uint32_t m = 0; m < r->q->n; m++) {
    double after = r->over[m] + r->delta[m];
    less += (r->over[m] > 0 ? r->over[m] : 0) - (after > 0 ? after : 0);
    if (!repairing && after > EPS) return INFINITY;
  }
  if (!repairing) return dk < -EPS ? dk : INFINITY;
  if (less <= EPS) return INFINITY;
  return dk < 0 ? dk * less : (dk + 1e-9) / less;
}

static bool broken(const qv_arepair *r) {
  for (uint32_t m = 0; m < r->q->n; m++)
    if (r->over[m] > EPS) return true;
  return false;
}

/* One best move; false if there is none. */
static bool step(qv_arepair *r, const qv_adual *d, uint32_t *choice, bool repairing) {
  const qv_alloc *p = r->q->p;
  double best = INFINITY;
  uint32_t best_g = 0, best_c = 0;
  for (uint32_t i = 0; i < d->n_groups; i++) {
    uint32_t g = d->gid[i];
    for (uint32_t c = d->first[i]; c < d->first[i + 1]; c++) {
      uint32_t to = d->cid[c] - p->group[g].first;
      if (to == choice[g]) continue;
      /* Without pairs the key alone says that this improves nothing. */
      if (!repairing && p->n_blocks == 0 && !r->q->zero && r->q->dk[d->cid[c]] - r->q->dk[p->group[g].first + choice[g]] >= -EPS) continue;
      double dk = move_delta(r, choice, g, to), sc = score(r, r->q->zero ? 0 : dk, repairing);
      if (sc < best) best = sc, best_g = g, best_c = to;
    }
  }
  if (!isfinite(best)) return false;
  choice[best_g] = best_c;
  measure(r, choice);
  return true;
}

void qv_arepair_run(qv_arepair *r, const qv_adual *d, const unsigned char *alive, uint32_t *choice) {
  const qv_alloc *p = r->q->p;
  for (uint32_t g = 0; g < p->n_groups; g++) {
    uint32_t c = p->group[g].first;
    while (!alive[c]) c++;
    choice[g] = c - p->group[g].first;
  }
  for (uint32_t i = 0; i < d->n_groups; i++) choice[d->gid[i]] = d->cid[d->pick[i]] - p->group[d->gid[i]].first;
  measure(r, choice);
  for (uint32_t i = 0; i < 4 * d->n_groups && broken(r); i++)
    if (!step(r, d, choice, true)) return;
  for (uint32_t i = 0; i < 4 * d->n_groups; i++)
    if (!step(r, d, choice, false)) return;
}
