#include "ilp/question.h"

#include <math.h>

#include "ilp/build.h"

#define NOMEM(err) QV_FAIL((err), QV_E_NOMEM, "out of memory")

/* v / 2^shift. */
static double shifted(mpz_srcptr v, int shift) {
  long e;
  double d = mpz_get_d_2exp(&e, v);
  return ldexp(d, (int)e - shift);
}

static int bits(mpz_srcptr v) { return mpz_sgn(v) == 0 ? 0 : (int)mpz_sizeinbase(v, 2); }

/* ---- keys -------------------------------------------------------------------------------------------------------------------- */

/* spread + 1 of docs/allocation.md section 3. */
static void spread1(mpz_t out, const qv_alloc *p, uint32_t row) {
  mpz_t lo;
  mpz_init(lo);
  qv_alloc_least(lo, p, 1 + row);
  qv_alloc_most(out, p, 1 + row);
  mpz_sub(out, out, lo);
  mpz_add_ui(out, out, 1);
  mpz_clear(lo);
}

/* key = ((loss * (spread1 of row 1) + cost 1) * (spread1 of row 2) + cost 2) ..: the same weights, by Horner. */
static void make_keys(qv_question *q, const uint32_t *key_row, uint32_t n_key) {
  const qv_alloc *p = q->p;
  mpz_t f;
  mpz_init(f);
  for (uint32_t c = 0; c < p->n_cands; c++) mpz_set(q->key[c], qv_alloc_val(p, c, 0));
  for (uint32_t t = 0; t < p->n_terms; t++) mpz_set(q->tkey[t], qv_alloc_tval(p, t, 0));
  for (uint32_t i = 0; i < n_key; i++) {
    spread1(f, p, key_row[i]);
    for (uint32_t c = 0; c < p->n_cands; c++) {
      mpz_mul(q->key[c], q->key[c], f);
      mpz_add(q->key[c], q->key[c], qv_alloc_val(p, c, 1 + key_row[i]));
    }
    for (uint32_t t = 0; t < p->n_terms; t++) {
      mpz_mul(q->tkey[t], q->tkey[t], f);
      mpz_add(q->tkey[t], q->tkey[t], qv_alloc_tval(p, t, 1 + key_row[i]));
    }
  }
  mpz_clear(f);
}

/* ---- doubles ----------------------------------------------------------------------------------------------------------------- */

/* Doubles of one column: cand[c * stride], term[t * stride]. Returns the shift; base += the sum of the group minima. */
static int steer(const qv_question *q, double *cand, double *term, uint32_t stride, mpz_ptr base, mpz_srcptr (*at)(const qv_question *, uint32_t, uint32_t),
                 mpz_srcptr (*at_term)(const qv_question *, uint32_t, uint32_t), uint32_t column) {
  const qv_alloc *p = q->p;
  mpz_t v;
  int shift = 0;
  mpz_init(v);
  for (int pass = 0; pass < 2; pass++) { /* find the shift, then fill */
    for (uint32_t g = 0; g < p->n_groups; g++) {
      uint32_t first = p->group[g].first, end = first + p->group[g].n, low = first;
      for (uint32_t c = first + 1; c < end; c++)
        if (mpz_cmp(at(q, c, column), at(q, low, column)) < 0) low = c;
      if (pass == 1) mpz_add(base, base, at(q, low, column));
      for (uint32_t c = first; c < end; c++) {
        mpz_sub(v, at(q, c, column), at(q, low, column));
        if (pass == 0) shift = bits(v) > shift ? bits(v) : shift;
        else cand[(size_t)c * stride] = shifted(v, shift);
      }
    }
    for (uint32_t t = 0; t < p->n_terms; t++) {
      mpz_srcptr w = at_term(q, t, column);
      if (pass == 0) shift = bits(w) > shift ? bits(w) : shift;
      else term[(size_t)t * stride] = shifted(w, shift);
    }
  }
  mpz_clear(v);
  return shift;
}

static mpz_srcptr key_at(const qv_question *q, uint32_t c, uint32_t column) { return (void)column, q->key[c]; }
static mpz_srcptr tkey_at(const qv_question *q, uint32_t t, uint32_t column) { return (void)column, q->tkey[t]; }
static mpz_srcptr cost_at(const qv_question *q, uint32_t c, uint32_t m) { return qv_alloc_val(q->p, c, 1 + q->row[m]); }
static mpz_srcptr tcost_at(const qv_question *q, uint32_t t, uint32_t m) { return qv_alloc_tval(q->p, t, 1 + q->row[m]); }

double qv_question_scaled(const qv_question *q, mpz_srcptr v) {
  mpz_t d;
  mpz_init(d);
  mpz_sub(d, v, q->kbase);
  double r = shifted(d, q->kshift);
  mpz_clear(d);
  return r;
}

/* Sum of the least costs of row number m (of the limited ones), pairs left out. */
static void group_minima(mpz_t out, const qv_question *q, uint32_t m) {
  const qv_alloc *p = q->p;
  mpz_set_ui(out, 0);
  for (uint32_t g = 0; g < p->n_groups; g++) {
    uint32_t low = p->group[g].first;
    for (uint32_t c = low + 1; c < p->group[g].first + p->group[g].n; c++)
      if (mpz_cmp(cost_at(q, c, m), cost_at(q, low, m)) < 0) low = c;
    mpz_add(out, out, cost_at(q, low, m));
  }
}

static void steer_limit(qv_question *q, uint32_t m) {
  mpz_t v;
  mpz_init(v);
  group_minima(v, q, m);
  mpz_sub(v, q->limit[m], v);
  q->db[m] = shifted(v, q->ashift[m]);
  mpz_clear(v);
}

static qv_status make_blocks(qv_question *q, qv_err *err) {
  const qv_alloc *p = q->p;
  q->combo = QV_NEW(&q->arena, p->n_blocks, int32_t *);
  q->touch = QV_NEW(&q->arena, (size_t)p->n_groups + 1, uint32_t);
  q->touch_of = QV_NEW(&q->arena, 2 * (size_t)p->n_blocks, uint32_t);
  if (q->combo == NULL || q->touch == NULL || q->touch_of == NULL) return NOMEM(err);
  for (uint32_t e = 0; e < p->n_blocks; e++) {
    const qv_alloc_block *b = &p->block[e];
    size_t n_h = p->group[b->h].n, n = p->group[b->g].n * n_h;
    if ((q->combo[e] = QV_NEW(&q->arena, n, int32_t)) == NULL) return NOMEM(err);
    for (size_t i = 0; i < n; i++) q->combo[e][i] = -1;
    for (uint32_t t = b->first; t < b->first + b->n; t++) q->combo[e][p->term[t].a * n_h + p->term[t].b] = (int32_t)t;
  }
  uint32_t k = 0;
  for (uint32_t g = 0; g < p->n_groups; g++) {
    q->touch[g] = k;
    for (uint32_t e = 0; e < p->n_blocks; e++)
      if (p->block[e].g == g || p->block[e].h == g) q->touch_of[k++] = e;
  }
  q->touch[p->n_groups] = k;
  return QV_OK;
}

/* ---- the question ------------------------------------------------------------------------------------------------------------ */

static qv_status make_rows(qv_question *q, uint32_t front_row, mpz_srcptr front_limit, qv_err *err) {
  const qv_alloc *p = q->p;
  q->row = QV_NEW(&q->arena, p->n_rows, uint32_t);
  q->ashift = QV_NEW(&q->arena, p->n_rows, int);
  q->limit = qv_mpz_array(&q->arena, p->n_rows);
  if (q->row == NULL || q->ashift == NULL || q->limit == NULL) return NOMEM(err);
  for (uint32_t m = 0; m < p->n_rows; m++) {
    if (!p->row[m].limited && m != front_row) continue;
    mpz_set(q->limit[q->n], m == front_row ? front_limit : p->row[m].limit);
    q->row[q->n++] = m;
  }
  return QV_OK;
}

qv_status qv_question_init(qv_question *q, const qv_alloc *p, const uint32_t *key_row, uint32_t n_key, uint32_t front_row,
                           mpz_srcptr front_limit, qv_err *err) {
  qv_status st;
  q->p = p;
  mpz_init(q->kbase);
  QV_TRY(make_rows(q, front_row, front_limit, err));
  q->key = qv_mpz_array(&q->arena, p->n_cands);
  q->tkey = qv_mpz_array(&q->arena, p->n_terms);
  q->dk = QV_NEW(&q->arena, p->n_cands, double);
  q->da = QV_NEW(&q->arena, (size_t)p->n_cands * q->n, double);
  q->db = QV_NEW(&q->arena, q->n, double);
  q->dtk = QV_NEW(&q->arena, p->n_terms, double);
  q->dta = QV_NEW(&q->arena, (size_t)p->n_terms * q->n, double);
  if (q->key == NULL || q->tkey == NULL || q->dk == NULL || q->da == NULL || q->db == NULL || q->dtk == NULL || q->dta == NULL) {
    st = NOMEM(err);
    goto done;
  }
  make_keys(q, key_row, n_key);
  q->kshift = steer(q, q->dk, q->dtk, 1, q->kbase, key_at, tkey_at, 0);
  mpz_t unused;
  mpz_init(unused);
  for (uint32_t m = 0; m < q->n; m++) {
    q->ashift[m] = steer(q, q->da + m, q->dta + m, q->n, unused, cost_at, tcost_at, m);
    steer_limit(q, m);
  }
  mpz_clear(unused);
  QV_TRY(make_blocks(q, err));
done:
  if (st != QV_OK) qv_question_clear(q);
  return st;
}

void qv_question_clear(qv_question *q) {
  if (q->p == NULL) return;
  mpz_clear(q->kbase);
  qv_mpz_array_clear(q->limit, q->p->n_rows);
  qv_mpz_array_clear(q->key, q->p->n_cands);
  qv_mpz_array_clear(q->tkey, q->p->n_terms);
  qv_arena_clear(&q->arena);
  *q = (qv_question){0};
}

void qv_question_limit(qv_question *q, uint32_t front_row, mpz_srcptr limit) {
  for (uint32_t m = 0; m < q->n; m++)
    if (q->row[m] == front_row) {
      mpz_set(q->limit[m], limit);
      steer_limit(q, m);
    }
}

void qv_question_key(mpz_t out, const qv_question *q, const uint32_t *choice) {
  const qv_alloc *p = q->p;
  mpz_set_ui(out, 0);
  for (uint32_t g = 0; g < p->n_groups; g++) mpz_add(out, out, q->key[p->group[g].first + choice[g]]);
  for (uint32_t e = 0; e < p->n_blocks; e++) {
    const qv_alloc_block *b = &p->block[e];
    int32_t t = q->combo[e][(size_t)choice[b->g] * p->group[b->h].n + choice[b->h]];
    if (t >= 0) mpz_add(out, out, q->tkey[t]);
  }
}

bool qv_question_feasible(const qv_question *q, const uint32_t *choice) {
  mpz_t v;
  bool ok = qv_alloc_feasible(q->p, choice);
  mpz_init(v);
  for (uint32_t m = 0; ok && m < q->n; m++) {
    qv_alloc_sum(v, q->p, choice, 1 + q->row[m]);
    ok = mpz_cmp(v, q->limit[m]) <= 0;
  }
  mpz_clear(v);
  return ok;
}
