#include "ilp/vector.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "ilp/build.h"

/* Position of block e's numbers in v->dual: blocks back to back, first side, then second. */
static size_t block_at(const qv_question *q, uint32_t e) {
  size_t at = 0;
  for (uint32_t i = 0; i < e; i++) at += q->p->group[q->p->block[i].g].n + q->p->group[q->p->block[i].h].n;
  return at;
}

qv_status qv_vector_init(qv_vector *v, const qv_question *q, qv_err *err) {
  const qv_alloc *p = q->p;
  v->q = q;
  mpz_inits(v->d, v->nb, v->t, v->w, (mpz_ptr)NULL);
  v->n = qv_mpz_array(&v->arena, q->n);
  v->r = qv_mpz_array(&v->arena, p->n_cands);
  v->dual = qv_mpz_array(&v->arena, block_at(q, p->n_blocks));
  v->has = QV_NEW(&v->arena, p->n_blocks, bool);
  if (v->n != NULL && v->r != NULL && v->dual != NULL && v->has != NULL) return QV_OK;
  qv_vector_clear(v);
  return QV_FAIL(err, QV_E_NOMEM, "out of memory");
}

void qv_vector_clear(qv_vector *v) {
  if (v->q == NULL) return;
  mpz_clears(v->d, v->nb, v->t, v->w, (mpz_ptr)NULL);
  qv_mpz_array_clear(v->n, v->q->n);
  qv_mpz_array_clear(v->r, v->q->p->n_cands);
  qv_mpz_array_clear(v->dual, block_at(v->q, v->q->p->n_blocks));
  qv_arena_clear(&v->arena);
  *v = (qv_vector){0};
}

/* out = the integer nearest to x * 2^e, with the 40 leading bits of x. */
static void round_to(mpz_t out, double x, int e) {
  int k;
  double f = frexp(x, &k);
  mpz_set_d(out, nearbyint(ldexp(f, 40)));
  e += k - 40;
  if (e >= 0) mpz_mul_2exp(out, out, (mp_bitcnt_t)e);
  else {
    if (e < -1) mpz_fdiv_q_2exp(out, out, (mp_bitcnt_t)(-e - 1));
    mpz_add_ui(out, out, 1);
    mpz_fdiv_q_2exp(out, out, 1);
  }
}

/* out += D * key + sum n * cost of a candidate (or of a pair term). */
static void add_weighted(mpz_t out, const qv_vector *v, mpz_srcptr key, mpz_t *cost) {
  if (mpz_cmp_ui(v->d, 1) == 0) mpz_add(out, out, key);
  else if (mpz_sgn(v->d) != 0) mpz_addmul(out, v->d, key);
  for (uint32_t m = 0; m < v->q->n; m++)
    if (mpz_sgn(v->n[m]) != 0) mpz_addmul(out, v->n[m], cost[1 + v->q->row[m]]);
}

static mpz_t *costs_of(const qv_alloc *p, uint32_t c) { return &p->val[(size_t)c * (1 + p->n_rows)]; }
static mpz_t *tcosts_of(const qv_alloc *p, uint32_t t) { return &p->tval[(size_t)t * (1 + p->n_rows)]; }

/* With D, n and the duals in place: r and nb. */
static void finish(qv_vector *v) {
  const qv_alloc *p = v->q->p;
  mpz_set_ui(v->nb, 0);
  for (uint32_t m = 0; m < v->q->n; m++) mpz_addmul(v->nb, v->n[m], v->q->limit[m]);
  for (uint32_t c = 0; c < p->n_cands; c++) {
    mpz_set_ui(v->r[c], 0);
    add_weighted(v->r[c], v, v->q->key[c], costs_of(p, c));
  }
  size_t at = 0;
  for (uint32_t e = 0; e < p->n_blocks; e++) {
    const qv_alloc_group *g = &p->group[p->block[e].g], *h = &p->group[p->block[e].h];
    for (uint32_t a = 0; v->has[e] && a < g->n; a++) mpz_add(v->r[g->first + a], v->r[g->first + a], v->dual[at + a]);
    for (uint32_t b = 0; v->has[e] && b < h->n; b++) mpz_add(v->r[h->first + b], v->r[h->first + b], v->dual[at + g->n + b]);
    at += g->n + h->n;
  }
  v->id = -1;
  v->used = true;
}

static void clear_duals(qv_vector *v) {
  const qv_alloc *p = v->q->p;
  size_t at = 0;
  for (uint32_t e = 0; e < p->n_blocks; e++) {
    size_t n = p->group[p->block[e].g].n + p->group[p->block[e].h].n;
    for (size_t i = 0; v->has[e] && i < n; i++) mpz_set_ui(v->dual[at + i], 0);
    v->has[e] = false;
    at += n;
  }
}

void qv_vector_plain(qv_vector *v, uint32_t row) {
  clear_duals(v);
  for (uint32_t m = 0; m < v->q->n; m++) mpz_set_ui(v->n[m], m == row);
  mpz_set_ui(v->d, row == QV_ATABLE_NONE);
  finish(v);
}

/* The only candidate of a group that is left. */
static uint32_t last_one(const qv_alloc *p, uint32_t g, const unsigned char *alive) {
  uint32_t c = p->group[g].first;
  while (!alive[c]) c++;
  return c - p->group[g].first;
}

/* u of the candidates of one side, the other side fixed: the value of the combination itself. */
static void fold_side(qv_vector *v, uint32_t e, size_t at, bool first_open, const unsigned char *alive) {
  const qv_alloc *p = v->q->p;
  const qv_alloc_block *b = &p->block[e];
  const qv_alloc_group *open = &p->group[first_open ? b->g : b->h];
  uint32_t fixed = last_one(p, first_open ? b->h : b->g, alive);
  if (!first_open) at += p->group[b->g].n;
  for (uint32_t c = 0; c < open->n; c++) {
    size_t combo = first_open ? (size_t)c * p->group[b->h].n + fixed : (size_t)fixed * p->group[b->h].n + c;
    int32_t t = v->q->combo[e][combo];
    if (t >= 0 && !p->term[t].forbidden) add_weighted(v->dual[at + c], v, v->q->tkey[t], tcosts_of(p, (uint32_t)t));
  }
}

static void round_duals(qv_vector *v, const qv_adual *d, int e2, const unsigned char *alive) {
  const qv_alloc *p = v->q->p;
  uint32_t open = 0;
  size_t at = 0;
  clear_duals(v);
  for (uint32_t e = 0; e < p->n_blocks; e++) {
    const qv_alloc_block *b = &p->block[e];
    bool i = d->where[b->g] != QV_ATABLE_NONE, j = d->where[b->h] != QV_ATABLE_NONE;
    size_t n = p->group[b->g].n + p->group[b->h].n;
    v->has[e] = i || j;
    if (i && j) {
      open++;
      for (size_t k = 0; k < n; k++) round_to(v->dual[at + k], d->warm[d->warm_at[e] + k], e2);
    } else if (i || j) fold_side(v, e, at, i, alive);
    at += n;
  }
  QV_ASSERT(open == d->n_blocks);
  (void)open;
}

void qv_vector_from(qv_vector *v, const qv_adual *d, const unsigned char *alive) {
  const qv_question *q = v->q;
  int s = 0, top = 0, e2;
  uint32_t nonzero = 0;
  for (uint32_t m = 0; m < q->n; m++) {
    if (d->lambda[m] > 0) nonzero++;
    if (q->ashift[m] - q->kshift + 40 > s) s = q->ashift[m] - q->kshift + 40;
    if (q->ashift[m] > top) top = q->ashift[m];
  }
  e2 = q->zero ? top + 40 : q->kshift + s;
  mpz_set_ui(v->d, 0);
  if (!q->zero) mpz_setbit(v->d, (mp_bitcnt_t)s);
  for (uint32_t m = 0; m < q->n; m++) {
    if (q->zero && nonzero == 1 && q->p->n_blocks == 0) mpz_set_ui(v->n[m], d->lambda[m] > 0);
    else round_to(v->n[m], d->lambda[m], e2 - q->ashift[m]);
  }
  if (q->p->n_blocks > 0) round_duals(v, d, e2, alive);
  finish(v);
}

/* ---- what follows -------------------------------------------------------------------------------------------------------------- */

/* Least r over the alive candidates of group g, or NULL. */
static mpz_srcptr least_r(const qv_vector *v, uint32_t g, const unsigned char *alive) {
  const qv_alloc_group *x = &v->q->p->group[g];
  mpz_srcptr best = NULL;
  for (uint32_t c = x->first; c < x->first + x->n; c++)
    if (alive[c] && (best == NULL || mpz_cmp(v->r[c], best) < 0)) best = v->r[c];
  return best;
}

/* s += q(e); false if nothing is left. */
static bool add_block(mpz_t s, qv_vector *v, uint32_t e, size_t at, const unsigned char *alive) {
  const qv_alloc *p = v->q->p;
  const qv_alloc_group *g = &p->group[p->block[e].g], *h = &p->group[p->block[e].h];
  bool any = false;
  for (uint32_t a = 0; a < g->n; a++) {
    if (!alive[g->first + a]) continue;
    for (uint32_t b = 0; b < h->n; b++) {
      int32_t t = v->q->combo[e][(size_t)a * h->n + b];
      if (!alive[h->first + b] || (t >= 0 && p->term[t].forbidden)) continue;
      mpz_set_ui(v->t, 0);
      if (t >= 0) add_weighted(v->t, v, v->q->tkey[t], tcosts_of(p, (uint32_t)t));
      if (v->has[e]) {
        mpz_sub(v->t, v->t, v->dual[at + a]);
        mpz_sub(v->t, v->t, v->dual[at + g->n + b]);
      }
      if (!any || mpz_cmp(v->t, v->w) < 0) mpz_swap(v->w, v->t);
      any = true;
    }
  }
  if (any) mpz_add(s, s, v->w);
  return any;
}

bool qv_vector_bound(mpz_t s, qv_vector *v, const unsigned char *alive) {
  const qv_alloc *p = v->q->p;
  mpz_neg(s, v->nb);
  for (uint32_t g = 0; g < p->n_groups; g++) {
    mpz_srcptr low = least_r(v, g, alive);
    if (low == NULL) return false;
    mpz_add(s, s, low);
  }
  size_t at = 0;
  for (uint32_t e = 0; e < p->n_blocks; e++) {
    if (!add_block(s, v, e, at, alive)) return false;
    at += p->group[p->block[e].g].n + p->group[p->block[e].h].n;
  }
  return true;
}

void qv_vector_threshold(mpz_t out, const qv_vector *v, mpz_srcptr target) {
  mpz_set_ui(out, 1);
  if (target == NULL || mpz_sgn(v->d) == 0) return;
  mpz_sub_ui(out, target, 1);
  mpz_mul(out, out, v->d);
  mpz_add_ui(out, out, 1);
}

uint32_t qv_vector_reduce(qv_vector *v, mpz_srcptr s, mpz_srcptr threshold, unsigned char *alive) {
  const qv_alloc *p = v->q->p;
  uint32_t gone = 0;
  for (uint32_t g = 0; g < p->n_groups; g++) {
    mpz_srcptr low = least_r(v, g, alive);
    mpz_sub(v->t, s, low);
    for (uint32_t c = p->group[g].first; c < p->group[g].first + p->group[g].n; c++) {
      if (!alive[c]) continue;
      mpz_add(v->w, v->t, v->r[c]);
      if (mpz_cmp(v->w, threshold) < 0) continue;
      alive[c] = 0; /* low stays: it points to the least number, not to a candidate */
      gone++;
    }
  }
  return gone;
}

qv_status qv_vector_put(qv_buf *out, const qv_vector *v, qv_err *err) {
  const qv_alloc *p = v->q->p;
  qv_status st;
  uint32_t rows = 0, duals = 0;
  size_t at = 0;
  for (uint32_t m = 0; m < v->q->n; m++) rows += mpz_sgn(v->n[m]) != 0;
  for (uint32_t e = 0; e < p->n_blocks; e++) duals += v->has[e];
  qv_buf_str(out, "mult ");
  QV_TRY(qv_put_mpz(out, v->d, err));
  qv_buf_printf(out, " %" PRIu32 " %" PRIu32, rows, duals);
  for (uint32_t m = 0; m < v->q->n; m++) {
    if (mpz_sgn(v->n[m]) == 0) continue;
    qv_buf_printf(out, " %" PRIu32 " ", v->q->row[m]);
    QV_TRY(qv_put_mpz(out, v->n[m], err));
  }
  qv_buf_str(out, "\n");
  for (uint32_t e = 0; e < p->n_blocks; e++) {
    size_t n = p->group[p->block[e].g].n + p->group[p->block[e].h].n;
    if (v->has[e]) {
      qv_buf_printf(out, "dual %" PRIu32, e);
      for (size_t i = 0; i < n; i++) {
        qv_buf_str(out, " ");
        QV_TRY(qv_put_mpz(out, v->dual[at + i], err));
      }
      qv_buf_str(out, "\n");
    }
    at += n;
  }
done:
  return st;
}
