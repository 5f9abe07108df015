#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ilp/build.h"
#include "ilp/cert.h"
#include "ilp/dp.h"

#define NOMEM(err) QV_FAIL((err), QV_E_NOMEM, "out of memory")
#define MAX_STATES ((uint64_t)1 << 22)

void qv_alloc_front_clear(qv_alloc_front *f) {
  for (uint32_t i = 0; i < f->n; i++) {
    free(f->point[i].choice);
    mpz_clears(f->point[i].cost, f->point[i].loss, (mpz_ptr)NULL);
  }
  free(f->point);
  qv_buf_free(&f->cert);
  *f = (qv_alloc_front){0};
}

static qv_status add_point(qv_alloc_front *f, const qv_alloc *p, uint32_t row, const uint32_t *choice, qv_err *err) {
  qv_alloc_point *grown = realloc(f->point, ((size_t)f->n + 1) * sizeof *grown);
  uint32_t *copy = malloc(p->n_groups * sizeof *copy);
  if (grown != NULL) f->point = grown;
  if (grown == NULL || copy == NULL) {
    free(copy);
    return NOMEM(err);
  }
  qv_alloc_point *x = &f->point[f->n++];
  memcpy(copy, choice, p->n_groups * sizeof *copy);
  *x = (qv_alloc_point){.choice = copy};
  mpz_inits(x->cost, x->loss, (mpz_ptr)NULL);
  qv_alloc_sum(x->cost, p, choice, 1 + row);
  qv_alloc_sum(x->loss, p, choice, 0);
  return QV_OK;
}

/* Sign of the turn a -> b -> c in the (cost, loss) plane. */
static int turn(const qv_alloc_point *a, const qv_alloc_point *b, const qv_alloc_point *c) {
  mpz_t x, y, t;
  mpz_inits(x, y, t, (mpz_ptr)NULL);
  mpz_sub(x, b->cost, a->cost);
  mpz_sub(t, c->loss, a->loss);
  mpz_mul(x, x, t);
  mpz_sub(y, b->loss, a->loss);
  mpz_sub(t, c->cost, a->cost);
  mpz_mul(y, y, t);
  int s = mpz_cmp(x, y);
  mpz_clears(x, y, t, (mpz_ptr)NULL);
  return s;
}

static qv_status mark_hull(qv_alloc_front *f, qv_err *err) {
  uint32_t *stack = malloc(((size_t)f->n + 1) * sizeof *stack), n = 0;
  if (stack == NULL) return NOMEM(err);
  for (uint32_t i = 0; i < f->n; i++) {
    while (n >= 2 && turn(&f->point[stack[n - 2]], &f->point[stack[n - 1]], &f->point[i]) <= 0) n--;
    stack[n++] = i;
  }
  for (uint32_t i = 0; i < n; i++) f->point[stack[i]].hull = true;
  free(stack);
  return QV_OK;
}

static qv_status write_cert(qv_alloc_front *f, const qv_alloc *p, uint32_t row, const qv_buf *proof, qv_err *err) {
  qv_status st;
  QV_TRY(qv_cert_begin(&f->cert, p, err));
  if (f->n == 0) qv_buf_str(&f->cert, "claim infeasible\n");
  else qv_buf_printf(&f->cert, "claim front %" PRIu32 "\npoints %" PRIu32 "\n", row, f->n);
  for (uint32_t i = 0; i < f->n; i++) QV_TRY(qv_cert_choice(&f->cert, p, f->point[i].choice, err));
  qv_buf_put(&f->cert, proof->p, proof->n);
  if (proof->failed) f->cert.failed = true;
  QV_TRY(qv_cert_end(&f->cert, err));
done:
  return st;
}

static qv_status by_dp(qv_alloc_front *f, const qv_alloc *p, uint32_t row, qv_buf *proof, qv_err *err) {
  qv_dp d = {0};
  qv_status st;
  uint32_t *choice = malloc(p->n_groups * sizeof *choice);
  if (choice == NULL) return NOMEM(err);
  QV_TRY(qv_dp_run(&d, p, row, MAX_STATES, err));
  const qv_dp_front *last = &d.front[p->n_groups];
  for (uint32_t i = 0; i < last->n; i++) {
    qv_dp_choice(&d, p, i, choice);
    QV_TRY(add_point(f, p, row, choice, err));
  }
  f->by_dp = true;
  f->states = d.states;
  qv_dp_put(proof, &d);
done:
  qv_dp_clear(&d);
  free(choice);
  return st;
}

/* From the least loss down in cost: each point's limit is one unit below the cost of the one before. */
static qv_status by_chain(qv_alloc_front *f, const qv_alloc *p, uint32_t row, const qv_alloc_opts *opts, const qv_budget *b, qv_buf *proof,
                          qv_err *err) {
  qv_question q = {0};
  qv_status st;
  mpz_t limit, key;
  uint64_t vectors = 0;
  uint32_t *choice = calloc(2 * (size_t)p->n_groups, sizeof *choice);
  mpz_inits(limit, key, (mpz_ptr)NULL);
  if (choice == NULL) {
    st = NOMEM(err);
    goto done;
  }
  if (p->row[row].limited) mpz_set(limit, p->row[row].limit);
  else qv_alloc_most(limit, p, 1 + row);
  QV_TRY(qv_question_init(&q, p, &row, 1, row, limit, err));
  qv_buf_str(proof, "proof chain\n");
  for (;;) {
    bool found;
    QV_TRY(qv_stage_feasible(&found, &q, b, choice, choice + p->n_groups, &f->nodes, err));
    if (!found) break;
    QV_TRY(qv_stage_search(key, &q, b, choice, &f->nodes, NULL, err));
    if (!opts->no_cert) QV_TRY(qv_stage_prove(proof, &q, b, key, &f->nodes, &vectors, err));
    QV_TRY(add_point(f, p, row, choice, err));
    mpz_sub_ui(limit, f->point[f->n - 1].cost, 1);
    qv_question_limit(&q, row, limit);
  }
  for (uint32_t i = 0; i < f->n / 2; i++) { /* ascending cost */
    qv_alloc_point t = f->point[i];
    f->point[i] = f->point[f->n - 1 - i];
    f->point[f->n - 1 - i] = t;
  }
  if (f->n == 0) { /* nothing at all is feasible: a plain claim under the problem's own limits */
    proof->n = 0;
    qv_buf_str(proof, "proof tree\n");
    qv_question_clear(&q);
    QV_TRY(qv_question_init(&q, p, NULL, 0, QV_ATABLE_NONE, NULL, err));
  }
  if (!opts->no_cert) QV_TRY(qv_stage_prove(proof, &q, b, NULL, &f->nodes, &vectors, err));
done:
  mpz_clears(limit, key, (mpz_ptr)NULL);
  qv_question_clear(&q);
  free(choice);
  return st;
}

qv_status qv_alloc_front_solve(qv_alloc_front *f, const qv_alloc *p, uint32_t row, const qv_alloc_opts *opts, qv_err *err) {
  const qv_budget b = {.max_nodes = opts->max_nodes > 0 ? opts->max_nodes : 200000,
                       .deadline = opts->seconds > 0 ? qv_ilp_clock() + opts->seconds : 0};
  qv_buf proof = {0};
  qv_err local = {0};
  qv_status st = QV_E_LIMIT;
  if (row >= p->n_rows) return QV_FAIL(err, QV_E_ARG, "no such row");
  f->n_groups = p->n_groups;
  if (qv_dp_applies(p, row)) st = by_dp(f, p, row, &proof, &local);
  if (st == QV_E_LIMIT || (st == QV_OK && f->n == 0)) { /* too many states, or (rare) infeasible, which needs a tree */
    proof.n = 0;
    local = (qv_err){0};
    st = by_chain(f, p, row, opts, &b, &proof, &local);
    f->by_dp = false;
  }
  if (st == QV_E_LIMIT) {
    f->state = QV_ALLOC_UNKNOWN;
    st = QV_OK;
    goto done;
  }
  if (st != QV_OK) goto done;
  QV_TRY(mark_hull(f, &local));
  if (!opts->no_cert) QV_TRY(write_cert(f, p, row, &proof, &local));
  f->state = f->n > 0 ? QV_ALLOC_OPTIMAL : QV_ALLOC_INFEASIBLE;
done:
  qv_buf_free(&proof);
  if (st != QV_OK) {
    if (err != NULL && err->code == QV_OK) *err = local;
    qv_alloc_front_clear(f);
  }
  return st;
}
