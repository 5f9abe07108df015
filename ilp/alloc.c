#include "ilp/alloc.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ilp/build.h"

void qv_alloc_free(qv_alloc *p) {
  if (p == NULL) return;
  size_t columns = 1 + (size_t)p->n_rows;
  if (p->val != NULL)
    for (size_t i = 0; i < p->n_cands * columns; i++) mpz_clear(p->val[i]);
  if (p->tval != NULL)
    for (size_t i = 0; i < p->n_terms * columns; i++) mpz_clear(p->tval[i]);
  if (p->row != NULL)
    for (uint32_t m = 0; m < p->n_rows; m++) {
      mpz_clear(p->row[m].limit);
      mpq_clears(p->row[m].unit, p->row[m].asked, p->row[m].full, (mpq_ptr)NULL);
    }
  for (uint32_t i = 0; i < p->n_costs; i++) mpq_clears(p->cost[i].asked, p->cost[i].full, (mpq_ptr)NULL);
  mpq_clear(p->loss_unit);
  qv_arena_clear(&p->arena);
  free(p);
}

/* ---- sums ------------------------------------------------------------------------------------------------------------------- */

/* The term of block b for candidates a of its first and d of its second group, or n_terms. Terms ascend. */
static uint32_t find_term(const qv_alloc *p, const qv_alloc_block *b, uint32_t a, uint32_t d) {
  uint32_t lo = b->first, hi = b->first + b->n;
  while (lo < hi) {
    uint32_t mid = lo + (hi - lo) / 2;
    const qv_alloc_term *t = &p->term[mid];
    if (t->a < a || (t->a == a && t->b < d)) lo = mid + 1;
    else hi = mid;
  }
  return lo < b->first + b->n && p->term[lo].a == a && p->term[lo].b == d ? lo : p->n_terms;
}

void qv_alloc_sum(mpz_t out, const qv_alloc *p, const uint32_t *choice, uint32_t column) {
  mpz_set_ui(out, 0);
  for (uint32_t g = 0; g < p->n_groups; g++) mpz_add(out, out, qv_alloc_val(p, p->group[g].first + choice[g], column));
  for (uint32_t e = 0; e < p->n_blocks; e++) {
    const qv_alloc_block *b = &p->block[e];
    uint32_t t = find_term(p, b, choice[b->g], choice[b->h]);
    if (t < p->n_terms) mpz_add(out, out, qv_alloc_tval(p, t, column));
  }
}

void qv_alloc_real(mpq_t out, const qv_alloc *p, const uint32_t *choice, uint32_t column) {
  mpq_t v;
  mpq_init(v);
  qv_alloc_sum(mpq_numref(v), p, choice, column);
  mpq_mul(out, v, column == 0 ? p->loss_unit : p->row[column - 1].unit);
  mpq_clear(v);
}

void qv_alloc_cost_of(mpq_t out, const qv_alloc *p, const uint32_t *choice, const qv_alloc_cost *c) {
  mpq_t v;
  mpq_init(v);
  for (uint32_t i = 0; i < c->n; i++) {
    qv_alloc_real(v, p, choice, 1 + c->row[i]);
    if (i == 0 || mpq_cmp(v, out) > 0) mpq_set(out, v);
  }
  mpq_clear(v);
}

static uint32_t classes_used(const qv_alloc *p, const uint32_t *choice) {
  uint64_t used = 0;
  for (uint32_t g = 0; g < p->n_groups; g++) {
    uint32_t c = p->cand[p->group[g].first + choice[g]].cls;
    if (c > 0) used |= (uint64_t)1 << (c - 1);
  }
  return (uint32_t)__builtin_popcountll(used);
}

bool qv_alloc_feasible(const qv_alloc *p, const uint32_t *choice) {
  bool ok = p->n_classes == 0 || classes_used(p, choice) <= p->max_classes;
  for (uint32_t e = 0; ok && e < p->n_blocks; e++) {
    const qv_alloc_block *b = &p->block[e];
    uint32_t t = find_term(p, b, choice[b->g], choice[b->h]);
    ok = t == p->n_terms || !p->term[t].forbidden;
  }
  mpz_t v;
  mpz_init(v);
  for (uint32_t m = 0; ok && m < p->n_rows; m++) {
    if (!p->row[m].limited) continue;
    qv_alloc_sum(v, p, choice, 1 + m);
    ok = mpz_cmp(v, p->row[m].limit) <= 0;
  }
  mpz_clear(v);
  return ok;
}

/* sign -1: least, +1: most. */
static void extreme(mpz_t out, const qv_alloc *p, uint32_t column, int sign) {
  mpz_set_ui(out, 0);
  for (uint32_t g = 0; g < p->n_groups; g++) {
    uint32_t best = p->group[g].first;
    for (uint32_t c = best + 1; c < p->group[g].first + p->group[g].n; c++)
      if (mpz_cmp(qv_alloc_val(p, c, column), qv_alloc_val(p, best, column)) * sign > 0) best = c;
    mpz_add(out, out, qv_alloc_val(p, best, column));
  }
  for (uint32_t e = 0; e < p->n_blocks; e++) {
    const qv_alloc_block *b = &p->block[e];
    mpz_srcptr best = NULL;
    for (uint32_t t = b->first; t < b->first + b->n; t++) {
      mpz_srcptr v = qv_alloc_tval(p, t, column);
      if (!p->term[t].forbidden && mpz_sgn(v) * sign > 0 && (best == NULL || mpz_cmp(v, best) * sign > 0)) best = v;
    }
    if (best != NULL) mpz_add(out, out, best);
  }
}

void qv_alloc_least(mpz_t out, const qv_alloc *p, uint32_t column) { extreme(out, p, column, -1); }
void qv_alloc_most(mpz_t out, const qv_alloc *p, uint32_t column) { extreme(out, p, column, 1); }

/* ---- canonical text ------------------------------------------------------------------------------------------------------------ */

qv_status qv_put_mpz(qv_buf *out, mpz_srcptr v, qv_err *err) {
  char small[1024], *s = small;
  size_t room = mpz_sizeinbase(v, 10) + 2;
  if (room > 2002) return QV_FAIL(err, QV_E_LIMIT, "a number of the problem has more than 2000 digits");
  if (room > sizeof small && (s = malloc(room)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  (void)mpz_get_str(s, 10, v);
  qv_buf_str(out, s);
  if (s != small) free(s);
  return QV_OK;
}

static void put_string(qv_buf *out, const char *s) {
  static const char hex[] = "0123456789abcdef";
  qv_buf_str(out, "\"");
  for (; *s != 0; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\') qv_buf_printf(out, "\\%c", c);
    else if (c >= 0x20 && c < 0x7f) qv_buf_put(out, s, 1);
    else qv_buf_printf(out, "\\x%c%c", hex[c >> 4], hex[c & 15]);
  }
  qv_buf_str(out, "\"");
}

static qv_status put_unit(qv_buf *out, mpq_srcptr u, qv_err *err) {
  qv_status st;
  QV_TRY(qv_put_mpz(out, mpq_numref(u), err));
  qv_buf_str(out, "/");
  QV_TRY(qv_put_mpz(out, mpq_denref(u), err));
done:
  return st;
}

static qv_status put_values(qv_buf *out, mpz_t *val, uint32_t n, qv_err *err) {
  qv_status st = QV_OK;
  for (uint32_t i = 0; i < n && st == QV_OK; i++) {
    qv_buf_str(out, " ");
    st = qv_put_mpz(out, val[i], err);
  }
  qv_buf_str(out, "\n");
  return st;
}

static qv_status put_rows(qv_buf *out, const qv_alloc *p, qv_err *err) {
  qv_status st = QV_OK;
  qv_buf_printf(out, "rows %" PRIu32 "\n", p->n_rows);
  for (uint32_t m = 0; m < p->n_rows; m++) {
    qv_buf_str(out, "row ");
    put_string(out, p->row[m].name);
    qv_buf_str(out, p->row[m].limited ? " " : " -");
    if (p->row[m].limited) QV_TRY(qv_put_mpz(out, p->row[m].limit, err));
    qv_buf_str(out, " ");
    QV_TRY(put_unit(out, p->row[m].unit, err));
    qv_buf_str(out, "\n");
  }
done:
  return st;
}

static qv_status put_groups(qv_buf *out, const qv_alloc *p, qv_err *err) {
  qv_status st = QV_OK;
  for (uint32_t g = 0; g < p->n_groups; g++) {
    qv_buf_str(out, "group ");
    put_string(out, p->group[g].name);
    qv_buf_printf(out, " %" PRIu32 "\n", p->group[g].n);
    for (uint32_t c = p->group[g].first; c < p->group[g].first + p->group[g].n; c++) {
      qv_buf_str(out, "cand ");
      put_string(out, p->cand[c].name);
      qv_buf_printf(out, " %" PRIu32, p->cand[c].cls);
      QV_TRY(put_values(out, &p->val[(size_t)c * (1 + p->n_rows)], 1 + p->n_rows, err));
    }
  }
done:
  return st;
}

static qv_status put_blocks(qv_buf *out, const qv_alloc *p, qv_err *err) {
  qv_status st = QV_OK;
  for (uint32_t e = 0; e < p->n_blocks; e++) {
    const qv_alloc_block *b = &p->block[e];
    qv_buf_printf(out, "pair %" PRIu32 " %" PRIu32 " %" PRIu32 "\n", b->g, b->h, b->n);
    for (uint32_t t = b->first; t < b->first + b->n; t++) {
      qv_buf_printf(out, "term %" PRIu32 " %" PRIu32, p->term[t].a, p->term[t].b);
      if (p->term[t].forbidden) qv_buf_str(out, " forbidden\n");
      else QV_TRY(put_values(out, &p->tval[(size_t)t * (1 + p->n_rows)], 1 + p->n_rows, err));
    }
  }
done:
  return st;
}

qv_status qv_alloc_text(qv_buf *out, const qv_alloc *p, qv_err *err) {
  qv_status st;
  qv_buf_str(out, "qap 1\nloss ");
  QV_TRY(put_unit(out, p->loss_unit, err));
  qv_buf_str(out, "\n");
  QV_TRY(put_rows(out, p, err));
  qv_buf_printf(out, "classes %" PRIu32 " %" PRIu32 "\ngroups %" PRIu32 "\n", p->n_classes, p->max_classes, p->n_groups);
  QV_TRY(put_groups(out, p, err));
  qv_buf_printf(out, "pairs %" PRIu32 "\n", p->n_blocks);
  QV_TRY(put_blocks(out, p, err));
  qv_buf_str(out, "end\n");
  if (out->failed) st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
done:
  return st;
}
