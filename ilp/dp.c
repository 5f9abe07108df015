#include "ilp/dp.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NOMEM(err) QV_FAIL((err), QV_E_NOMEM, "out of memory")

void qv_i128_to_mpz(mpz_t out, qv_i128 v) {
  qv_u128 m = v < 0 ? -(qv_u128)v : (qv_u128)v;
  mpz_set_ui(out, (unsigned long)(m >> 64));
  mpz_mul_2exp(out, out, 64);
  mpz_add_ui(out, out, (unsigned long)(m & UINT64_MAX));
  if (v < 0) mpz_neg(out, out);
}

/* |v| < 2^100 */
static qv_i128 to_i128(mpz_srcptr v) {
  qv_u128 m = 0;
  for (size_t i = mpz_size(v); i-- > 0;) m = m << 64 | mpz_getlimbn(v, (mp_size_t)i);
  return mpz_sgn(v) < 0 ? -(qv_i128)m : (qv_i128)m;
}

static bool cannot_bind(const qv_alloc *p, uint32_t row) {
  mpz_t most;
  mpz_init(most);
  qv_alloc_most(most, p, 1 + row);
  bool yes = mpz_cmp(most, p->row[row].limit) <= 0;
  mpz_clear(most);
  return yes;
}

bool qv_dp_applies(const qv_alloc *p, uint32_t row) {
  bool ok = p->n_blocks == 0 && p->n_classes == 0 && row < p->n_rows;
  for (uint32_t m = 0; ok && m < p->n_rows; m++) ok = m == row || !p->row[m].limited || cannot_bind(p, m);
  return ok;
}

/* Sums of at most 4096 numbers below 2^100 stay below 2^112: nothing here can overflow. */
static bool small_enough(const qv_alloc *p, uint32_t row) {
  for (uint32_t c = 0; c < p->n_cands; c++)
    if (mpz_sizeinbase(qv_alloc_val(p, c, 0), 2) > 100 || mpz_sizeinbase(qv_alloc_val(p, c, 1 + row), 2) > 100) return false;
  return true;
}

/* Append s unless an earlier state, which costs no more, has no more loss. Callers append in ascending (u, v). */
static void append(qv_dp_front *f, qv_dp_state s) {
  if (f->n > 0 && f->s[f->n - 1].v <= s.v) return;
  f->s[f->n++] = s;
}

/* dst = a merged with the states of `from` moved by candidate c. */
static void merge(qv_dp_front *dst, const qv_dp_front *a, const qv_dp_front *from, uint32_t c, qv_i128 cost, qv_i128 loss, qv_i128 top) {
  uint32_t i = 0, k = 0;
  dst->n = 0;
  while (i < a->n || k < from->n) {
    qv_dp_state s = {0};
    if (k < from->n) s = (qv_dp_state){.u = from->s[k].u + cost, .v = from->s[k].v + loss, .from = k, .c = c};
    if (k < from->n && s.u > top) {
      k = from->n; /* ascending: the rest is above the limit too */
      continue;
    }
    bool take = k < from->n && (i == a->n || s.u < a->s[i].u || (s.u == a->s[i].u && s.v < a->s[i].v));
    if (take) append(dst, s), k++;
    else append(dst, a->s[i++]);
  }
}

static qv_i128 least_cost(const qv_alloc *p, uint32_t g, uint32_t column) {
  qv_i128 low = to_i128(qv_alloc_val(p, p->group[g].first, column));
  for (uint32_t c = p->group[g].first + 1; c < p->group[g].first + p->group[g].n; c++) {
    qv_i128 v = to_i128(qv_alloc_val(p, c, column));
    if (v < low) low = v;
  }
  return low;
}

/* One more group: front k + 1 from front k. `rest`: least cost of the groups after it; top: the limit. */
static qv_status extend(qv_dp *d, const qv_alloc *p, uint32_t k, qv_i128 top, qv_err *err) {
  const qv_alloc_group *g = &p->group[k];
  const qv_dp_front *from = &d->front[k];
  size_t room = (size_t)from->n * g->n + 1;
  qv_dp_front a = {.s = malloc(room * sizeof *a.s)}, b = {.s = malloc(room * sizeof *b.s)};
  if (a.s == NULL || b.s == NULL) {
    free(a.s);
    free(b.s);
    return NOMEM(err);
  }
  for (uint32_t c = 0; c < g->n; c++) {
    merge(&b, &a, from, c, to_i128(qv_alloc_val(p, g->first + c, 1 + d->row)), to_i128(qv_alloc_val(p, g->first + c, 0)), top);
    qv_dp_front t = a;
    a = b;
    b = t;
  }
  free(b.s);
  qv_dp_state *fit = realloc(a.s, (size_t)(a.n + 1) * sizeof *fit);
  d->front[k + 1] = (qv_dp_front){.n = a.n, .s = fit != NULL ? fit : a.s};
  d->states += a.n;
  return QV_OK;
}

qv_status qv_dp_run(qv_dp *d, const qv_alloc *p, uint32_t row, uint64_t max_states, qv_err *err) {
  qv_status st = QV_OK;
  qv_i128 rest = 0, top = 0;
  const bool limited = p->row[row].limited && mpz_sizeinbase(p->row[row].limit, 2) <= 115; /* a wider one cannot bind, or never holds */
  if (!small_enough(p, row)) return QV_FAIL(err, QV_E_LIMIT, "losses or costs of more than 100 bits");
  if (p->row[row].limited && !limited && mpz_sgn(p->row[row].limit) < 0) return QV_FAIL(err, QV_E_LIMIT, "a limit of more than 115 bits");
  d->row = row;
  d->n_fronts = p->n_groups + 1;
  d->front = calloc(d->n_fronts, sizeof *d->front);
  if (d->front == NULL || (d->front[0].s = calloc(1, sizeof *d->front[0].s)) == NULL) {
    st = NOMEM(err);
    goto done;
  }
  d->front[0].n = 1;
  for (uint32_t g = 0; g < p->n_groups; g++) rest += least_cost(p, g, 1 + row);
  top = limited ? to_i128(p->row[row].limit) : (qv_i128)1 << 118;
  for (uint32_t g = 0; g < p->n_groups; g++) {
    rest -= least_cost(p, g, 1 + row);
    if ((uint64_t)d->front[g].n * p->group[g].n + d->states > max_states) {
      st = QV_FAIL(err, QV_E_LIMIT, "more than %" PRIu64 " dominance states", max_states);
      goto done;
    }
    QV_TRY(extend(d, p, g, limited ? top - rest : top, err));
  }
done:
  if (st != QV_OK) qv_dp_clear(d);
  return st;
}

void qv_dp_clear(qv_dp *d) {
  for (uint32_t i = 0; d->front != NULL && i < d->n_fronts; i++) free(d->front[i].s);
  free(d->front);
  *d = (qv_dp){0};
}

void qv_dp_choice(const qv_dp *d, const qv_alloc *p, uint32_t i, uint32_t *choice) {
  for (uint32_t g = p->n_groups; g-- > 0;) {
    const qv_dp_state *s = &d->front[g + 1].s[i];
    choice[g] = s->c;
    i = s->from;
  }
}

static void put_i128(qv_buf *out, qv_i128 v) {
  char s[48], *p = s + sizeof s;
  qv_u128 m = v < 0 ? -(qv_u128)v : (qv_u128)v;
  do *--p = (char)('0' + (int)(m % 10));
  while ((m /= 10) != 0);
  if (v < 0) *--p = '-';
  qv_buf_put(out, p, (size_t)(s + sizeof s - p));
}

void qv_dp_put(qv_buf *out, const qv_dp *d) {
  qv_buf_printf(out, "proof dp %" PRIu32 "\n", d->row);
  for (uint32_t k = 1; k < d->n_fronts; k++) {
    qv_buf_printf(out, "front %" PRIu32 "\n", d->front[k].n);
    for (uint32_t i = 0; i < d->front[k].n; i++) {
      put_i128(out, d->front[k].s[i].u);
      qv_buf_str(out, " ");
      put_i128(out, d->front[k].s[i].v);
      qv_buf_str(out, "\n");
    }
  }
}
