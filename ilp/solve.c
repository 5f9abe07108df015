#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ilp/build.h"
#include "ilp/cert.h"
#include "ilp/dp.h"
#include "ilp/glpk.h"
#include "ilp/tree.h"

#define NOMEM(err) QV_FAIL((err), QV_E_NOMEM, "out of memory")
#define MAX_STATES ((uint64_t)1 << 22)
#define MAX_OPTIMA 1000u
#define HESITATION 3000u /* nodes after which GLPK is asked */

void qv_alloc_result_clear(qv_alloc_result *r) {
  free(r->choice);
  qv_buf_free(&r->cert);
  *r = (qv_alloc_result){0};
}

/* ---- certificates ------------------------------------------------------------------------------------------------------------- */

qv_status qv_cert_begin(qv_buf *out, const qv_alloc *p, qv_err *err) {
  qv_buf text = {0};
  char sha[QV_SHA256_HEX];
  qv_status st = qv_alloc_text(&text, p, err);
  if (st == QV_OK) {
    qv_sha256_hex(sha, text.p, text.n);
    qv_buf_printf(out, "qva 1\nproblem %s\n", sha);
  }
  qv_buf_free(&text);
  return st;
}

qv_status qv_cert_choice(qv_buf *out, const qv_alloc *p, const uint32_t *choice, qv_err *err) {
  mpz_t loss;
  mpz_init(loss);
  qv_alloc_sum(loss, p, choice, 0);
  qv_buf_str(out, "choice ");
  qv_status st = qv_put_mpz(out, loss, err);
  for (uint32_t g = 0; g < p->n_groups; g++) qv_buf_printf(out, " %" PRIu32, choice[g]);
  qv_buf_str(out, "\n");
  mpz_clear(loss);
  return st;
}

qv_status qv_cert_end(qv_buf *out, qv_err *err) {
  char sha[QV_SHA256_HEX];
  if (out->failed) return NOMEM(err);
  qv_sha256_hex(sha, out->p, out->n);
  qv_buf_printf(out, "sha256 %s\n", sha);
  return out->failed ? NOMEM(err) : QV_OK;
}

/* ---- the stages --------------------------------------------------------------------------------------------------------------- */

void qv_budget_set(qv_tree *t, const qv_budget *b, qv_tree_mode mode) {
  t->mode = mode;
  t->max_nodes = b->max_nodes;
  t->deadline = b->deadline;
}

/* Does the cheapest assignment of a single row settle feasibility? */
static void offer_cheapest(qv_tree *t, const qv_question *q, uint32_t *pick) {
  const qv_alloc *p = q->p;
  for (uint32_t g = 0; g < p->n_groups; g++) {
    double best = INFINITY;
    for (uint32_t c = 0; c < p->group[g].n; c++) {
      double w = 0;
      for (uint32_t m = 0; m < q->n; m++) w += q->da[(size_t)(p->group[g].first + c) * q->n + m];
      if (w < best) best = w, pick[g] = c;
    }
  }
  qv_tree_offer(t, q, pick);
}

qv_status qv_stage_feasible(bool *found, qv_question *q, const qv_budget *b, uint32_t *choice, uint32_t *pick, uint64_t *nodes, qv_err *err) {
  qv_tree t;
  qv_status st = QV_OK;
  qv_tree_init(&t);
  t.choice = choice;
  offer_cheapest(&t, q, pick);
  if (!t.found) {
    qv_budget_set(&t, b, QV_TREE_SEARCH);
    q->zero = true;
    st = qv_tree_run(&t, q, choice, err);
    q->zero = false;
  }
  *found = t.found;
  *nodes += t.nodes;
  qv_tree_clear(&t);
  return st;
}

/* Where our own search hesitates GLPK may propose; what it says counts only if it is feasible and better, in integers. */
static qv_status ask_glpk(qv_tree *t, const qv_question *q, qv_err *err) {
  uint32_t *pick = calloc(q->p->n_groups, sizeof *pick);
  bool answered;
  if (pick == NULL) return NOMEM(err);
  qv_status st = qv_glpk_propose(pick, &answered, q, 2, err);
  if (st == QV_OK && answered) qv_tree_offer(t, q, pick);
  free(pick);
  return st == QV_E_NOMEM ? st : QV_OK;
}

qv_status qv_stage_search(mpz_t key, qv_question *q, const qv_budget *b, uint32_t *choice, uint64_t *nodes, double *root, qv_err *err) {
  qv_tree t;
  qv_err first = {0};
  qv_tree_init(&t);
  qv_budget_set(&t, b, QV_TREE_SEARCH);
  t.finite = true; /* start from the feasible assignment in choice */
  t.choice = choice;
  qv_question_key(t.target, q, choice);
  if (b->glpk && t.max_nodes > HESITATION) t.max_nodes = HESITATION;
  qv_status st = qv_tree_run(&t, q, choice, &first);
  if (st == QV_E_LIMIT && t.max_nodes < b->max_nodes) {
    t.max_nodes = b->max_nodes;
    st = ask_glpk(&t, q, err);
    if (st == QV_OK) st = qv_tree_run(&t, q, choice, err);
  } else if (st != QV_OK && err != NULL && err->code == QV_OK) *err = first;
  mpz_set(key, t.target);
  *nodes += t.nodes;
  if (root != NULL) *root = t.root_bound;
  qv_tree_clear(&t);
  return st;
}

qv_status qv_stage_prove(qv_buf *out, qv_question *q, const qv_budget *b, mpz_srcptr target, uint64_t *nodes, uint64_t *vectors, qv_err *err) {
  qv_tree t;
  qv_tree_init(&t);
  qv_budget_set(&t, b, QV_TREE_PROVE);
  t.finite = target != NULL;
  if (target != NULL) mpz_set(t.target, target);
  q->zero = target == NULL;
  qv_status st = qv_tree_run(&t, q, NULL, err);
  q->zero = false;
  if (st == QV_OK) qv_tree_put(out, &t);
  *nodes += t.nodes;
  *vectors += t.vectors;
  qv_tree_clear(&t);
  return st;
}

/* One pass over the assignments with the least key, below key + 1. */
static qv_status over_optima(qv_tree *t, qv_alloc_result *r, const qv_question *q, const qv_budget *b, qv_tree_mode mode, mpz_srcptr key, uint32_t *first) {
  qv_err ignored = {0};
  qv_tree_init(t);
  qv_budget_set(t, b, mode);
  if (t->max_nodes > 20000) t->max_nodes = 20000;
  t->max_count = MAX_OPTIMA;
  t->finite = true;
  mpz_add_ui(t->target, key, 1);
  qv_status st = qv_tree_run(t, q, first, &ignored);
  r->nodes += t->nodes;
  return st;
}

/* Count the optima and take the first. A count that was not finished needs a second pass, in order, for the first. */
static void count_optima(qv_alloc_result *r, qv_question *q, const qv_budget *b, mpz_srcptr key) {
  qv_tree t;
  uint32_t *first = calloc(q->p->n_groups, sizeof *first);
  if (first == NULL) return;
  qv_status st = over_optima(&t, r, q, b, QV_TREE_COUNT, key, first);
  r->optima = t.count;
  r->optima_all = r->first = t.found && st == QV_OK && !t.stopped;
  qv_tree_clear(&t);
  if (!r->optima_all) {
    (void)over_optima(&t, r, q, b, QV_TREE_FIRST, key, first);
    r->first = t.found;
    qv_tree_clear(&t);
  }
  if (r->first) memcpy(r->choice, first, q->p->n_groups * sizeof *first);
  free(first);
}

/* ---- one solution --------------------------------------------------------------------------------------------------------------- */

static qv_status write_optimum(qv_alloc_result *r, const qv_alloc *p, const qv_buf *proof, qv_err *err) {
  qv_status st;
  QV_TRY(qv_cert_begin(&r->cert, p, err));
  qv_buf_printf(&r->cert, "claim optimum %s\n", r->lex ? "lex" : "loss");
  QV_TRY(qv_cert_choice(&r->cert, p, r->choice, err));
  qv_buf_put(&r->cert, proof->p, proof->n);
  if (proof->failed) r->cert.failed = true;
  QV_TRY(qv_cert_end(&r->cert, err));
done:
  return st;
}

static qv_status write_infeasible(qv_alloc_result *r, qv_question *q, const qv_budget *b, qv_err *err) {
  qv_status st;
  QV_TRY(qv_cert_begin(&r->cert, q->p, err));
  qv_buf_str(&r->cert, "claim infeasible\nproof tree\n");
  QV_TRY(qv_stage_prove(&r->cert, q, b, NULL, &r->nodes, &r->vectors, err));
  QV_TRY(qv_cert_end(&r->cert, err));
done:
  return st;
}

/* Search and proof with one kind of key, from the feasible r->choice on. */
static qv_status best_with(qv_alloc_result *r, qv_question *q, const qv_alloc_opts *opts, const qv_budget *b, bool lex, qv_err *err) {
  qv_buf proof = {0};
  mpz_t key;
  double root;
  qv_status st;
  mpz_init(key);
  QV_TRY(qv_stage_search(key, q, b, r->choice, &r->nodes, &root, err));
  mpz_t scaled; /* root bound back to the table's loss, roughly */
  mpz_init(scaled);
  mpz_set_d(scaled, root > -1e15 && root < 1e15 ? floor(ldexp(root, 10)) : 0);
  mpz_mul_2exp(scaled, scaled, (mp_bitcnt_t)q->kshift);
  mpz_fdiv_q_2exp(scaled, scaled, 10);
  mpz_add(scaled, scaled, q->kbase);
  mpz_t whole, loss;
  mpz_inits(whole, loss, (mpz_ptr)NULL);
  qv_question_key(whole, q, r->choice);
  qv_alloc_sum(loss, q->p, r->choice, 0);
  r->lp_bound = mpz_sgn(whole) == 0 ? NAN : mpz_get_d(scaled) * (mpz_get_d(loss) / mpz_get_d(whole)) * mpq_get_d(q->p->loss_unit);
  mpz_clears(scaled, whole, loss, (mpz_ptr)NULL);
  r->lex = lex;
  r->first = false;
  if (!opts->no_ties) count_optima(r, q, b, key);
  if (!opts->no_cert) {
    qv_buf_str(&proof, "proof tree\n");
    QV_TRY(qv_stage_prove(&proof, q, b, key, &r->nodes, &r->vectors, err));
    QV_TRY(write_optimum(r, q->p, &proof, err));
  }
  r->state = QV_ALLOC_OPTIMAL;
done:
  mpz_clear(key);
  qv_buf_free(&proof);
  return st;
}

static uint32_t limited_rows(const qv_alloc *p, uint32_t *row) {
  uint32_t n = 0;
  for (uint32_t m = 0; m < p->n_rows; m++)
    if (p->row[m].limited) row[n++] = m;
  return n;
}

static qv_status by_tree(qv_alloc_result *r, const qv_alloc *p, const qv_alloc_opts *opts, const qv_budget *b, const uint32_t *rows,
                         uint32_t n_rows, qv_err *err) {
  qv_question q = {0};
  qv_status st;
  qv_err local = {0};
  uint32_t *pick = calloc(p->n_groups, sizeof *pick);
  if (pick == NULL) return NOMEM(err);
  QV_TRY(qv_question_init(&q, p, rows, n_rows, QV_ATABLE_NONE, NULL, err));
  QV_TRY(qv_stage_feasible(&r->has_choice, &q, b, r->choice, pick, &r->nodes, err));
  if (!r->has_choice) {
    if (!opts->no_cert) QV_TRY(write_infeasible(r, &q, b, err));
    r->state = QV_ALLOC_INFEASIBLE;
    goto done;
  }
  st = best_with(r, &q, opts, b, true, &local);
  if (st != QV_E_LIMIT || n_rows == 0) {
    if (st != QV_OK && err != NULL) *err = local;
    goto done;
  }
  qv_question_clear(&q); /* too many ties or nearly so: settle for the loss alone */
  qv_buf_free(&r->cert);
  r->cert = (qv_buf){0};
  QV_TRY(qv_question_init(&q, p, NULL, 0, QV_ATABLE_NONE, NULL, err));
  QV_TRY(best_with(r, &q, opts, b, false, err));
done:
  qv_question_clear(&q);
  free(pick);
  return st;
}

static qv_status by_dp(qv_alloc_result *r, const qv_alloc *p, const qv_alloc_opts *opts, const qv_budget *b, const uint32_t *rows,
                       uint32_t n_rows, qv_err *err) {
  qv_dp d = {0};
  qv_question q = {0};
  qv_buf proof = {0};
  qv_status st;
  mpz_t key;
  mpz_init(key);
  if (n_rows != 1 || !qv_dp_applies(p, rows[0])) {
    mpz_clear(key);
    return QV_FAIL(err, QV_E_UNSUP, "the dominance method needs exactly one limit, and neither pairs, conversions nor at_most_precisions");
  }
  QV_TRY(qv_question_init(&q, p, rows, n_rows, QV_ATABLE_NONE, NULL, err));
  QV_TRY(qv_dp_run(&d, p, rows[0], MAX_STATES, err));
  r->states = d.states;
  const qv_dp_front *last = &d.front[p->n_groups];
  if (last->n == 0) {
    if (!opts->no_cert) QV_TRY(write_infeasible(r, &q, b, err));
    r->state = QV_ALLOC_INFEASIBLE;
    goto done;
  }
  qv_dp_choice(&d, p, last->n - 1, r->choice); /* the least loss, and the least cost among equals, for the front is strict */
  r->has_choice = r->lex = true;
  qv_question_key(key, &q, r->choice);
  if (!opts->no_ties) count_optima(r, &q, b, key);
  if (!opts->no_cert) {
    qv_dp_put(&proof, &d);
    QV_TRY(write_optimum(r, p, &proof, err));
  }
  r->state = QV_ALLOC_OPTIMAL;
done:
  mpz_clear(key);
  qv_buf_free(&proof);
  qv_dp_clear(&d);
  qv_question_clear(&q);
  return st;
}

qv_status qv_alloc_solve(qv_alloc_result *r, const qv_alloc *p, const qv_alloc_opts *opts, qv_err *err) {
  const qv_budget b = {.max_nodes = opts->max_nodes > 0 ? opts->max_nodes : 200000,
                       .deadline = opts->seconds > 0 ? qv_ilp_clock() + opts->seconds : 0,
                       .glpk = !opts->no_glpk};
  qv_err local = {0};
  uint32_t *rows = calloc((size_t)p->n_rows + 1, sizeof *rows);
  r->choice = calloc(p->n_groups, sizeof *r->choice);
  r->lp_bound = NAN;
  qv_status st = NOMEM(&local);
  if (rows != NULL && r->choice != NULL) {
    uint32_t n = limited_rows(p, rows);
    local = (qv_err){0};
    switch (opts->engine) {
    case QV_ALLOC_TREE: st = by_tree(r, p, opts, &b, rows, n, &local); break;
    case QV_ALLOC_DP: st = by_dp(r, p, opts, &b, rows, n, &local); break;
    }
  }
  free(rows);
  if (st == QV_E_LIMIT) { /* honest ignorance is a result, not a failure */
    r->state = QV_ALLOC_UNKNOWN;
    qv_buf_free(&r->cert);
    r->cert = (qv_buf){0};
    return QV_OK;
  }
  if (st != QV_OK) {
    if (err != NULL && err->code == QV_OK) *err = local;
    qv_alloc_result_clear(r);
  }
  return st;
}
