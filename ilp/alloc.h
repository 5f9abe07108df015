/* The allocation problem (docs/allocation.md section 2) and its exact solution with certificate.
 *
 *     qv_atable_read(&t, ...); qv_atable_set_limit(&t, "size=60%", ...);
 *     qv_alloc_build(&p, &t, ...); qv_alloc_text(&qap, p, ...);
 *     qv_alloc_solve(&r, p, &opts, ...);       r.state, r.choice, r.cert
 *
 * Losses and costs are integers of any size. Doubles only steer: every statement a result makes follows from integers, and a second
 * program can check it from qap and r.cert. */
#ifndef QV_ILP_ALLOC_H
#define QV_ILP_ALLOC_H

#include "ilp/table.h"
#include "ir/base/buf.h"

typedef struct {
  const char *name;
  bool limited;
  mpz_t limit;  /* in units, if limited */
  mpq_t unit;   /* > 0: table value = integer * unit */
  mpq_t asked;  /* the limit as asked, in the table's numbers, if limited */
  mpq_t full;   /* what 100 % means, in the table's numbers */
} qv_alloc_row;

/* A cost as people see it: one row, or the largest of the rows of a peak. */
typedef struct {
  const char *name;
  bool peak;
  uint32_t n, *row; /* n = 1 unless a peak */
  bool limited;
  mpq_t asked, full; /* as of a row; full of a peak: the largest of its rows' */
} qv_alloc_cost;

typedef struct {
  const char *name;
  uint32_t first, n; /* candidates first .. first+n-1; n >= 1 */
} qv_alloc_group;

typedef struct {
  const char *name;
  const char *label;
  uint32_t cls; /* 0 = counts for no class */
} qv_alloc_cand;

/* Pair block of two groups: terms first .. first+n-1, ascending. */
typedef struct {
  uint32_t g, h; /* g < h */
  uint32_t first, n;
} qv_alloc_block;

typedef struct {
  uint32_t a, b; /* candidate numbers within their groups */
  bool forbidden;
} qv_alloc_term;

/* INV: canonical in the sense of docs/allocation.md section 5; equal problems have equal texts. */
typedef struct {
  uint32_t n_rows, n_groups, n_cands, n_blocks, n_terms;
  uint32_t n_classes, max_classes; /* 0, 0: no class rule */
  qv_alloc_row *row;
  qv_alloc_group *group;
  qv_alloc_cand *cand;
  qv_alloc_block *block;
  qv_alloc_term *term;
  mpz_t *val;  /* [n_cands * (1 + n_rows)]: loss, costs */
  mpz_t *tval; /* [n_terms * (1 + n_rows)] */
  mpq_t loss_unit;
  uint32_t n_costs;         /* none in a relaxed problem */
  qv_alloc_cost *cost;      /* in the order of their (first) rows */
  uint32_t n_members;       /* groups of the table */
  const char **member;      /* their names */
  uint32_t *member_of;      /* the group each was merged into */
  qv_arena arena;
} qv_alloc;

static inline mpz_ptr qv_alloc_val(const qv_alloc *p, uint32_t cand, uint32_t column) {
  return p->val[(size_t)cand * (1 + p->n_rows) + column];
}
static inline mpz_ptr qv_alloc_tval(const qv_alloc *p, uint32_t term, uint32_t column) {
  return p->tval[(size_t)term * (1 + p->n_rows) + column];
}

/* Merge links, apply pins, number the classes, scale to integers. QV_E_PARSE: the table contradicts itself (a link without a common
 * candidate, a pin that is not there), QV_E_LIMIT: too large. *out is freed with _free. */
QV_NODISCARD qv_status qv_alloc_build(qv_alloc **out, const qv_atable *t, qv_err *err);
void qv_alloc_free(qv_alloc *p); /* NULL is fine */

/* The question "how low can the cost of `row` go under the other limits": p with that cost in place of the loss and no limit on it.
 * Names are p's own: *out must not outlive p. */
QV_NODISCARD qv_status qv_alloc_relax(qv_alloc **out, const qv_alloc *p, uint32_t row, qv_err *err);

/* The question "is there an assignment whose rows `row`[n] are all at most `limit`, under the other limits": p with those limits, and the
 * cost of row[0] in place of the loss. As _relax otherwise. */
QV_NODISCARD qv_status qv_alloc_within(qv_alloc **out, const qv_alloc *p, const uint32_t *row, uint32_t n, mpq_srcptr limit, qv_err *err);

/* Append the canonical text (.qap). */
QV_NODISCARD qv_status qv_alloc_text(qv_buf *out, const qv_alloc *p, qv_err *err);

/* Value of column 0 (loss) or 1 + row of an assignment (candidate numbers within their groups), in units. */
void qv_alloc_sum(mpz_t out, const qv_alloc *p, const uint32_t *choice, uint32_t column);
/* The same in the table's numbers. */
void qv_alloc_real(mpq_t out, const qv_alloc *p, const uint32_t *choice, uint32_t column);
/* Value of a cost in the table's numbers: of a peak, the largest of its rows. */
void qv_alloc_cost_of(mpq_t out, const qv_alloc *p, const uint32_t *choice, const qv_alloc_cost *c);
/* All limits, the class rule and forbidden pairs, exactly. */
bool qv_alloc_feasible(const qv_alloc *p, const uint32_t *choice);
/* Least (most) sum over groups of a column, pair blocks counted at their least (most): a bound, attained without pairs. */
void qv_alloc_least(mpz_t out, const qv_alloc *p, uint32_t column);
void qv_alloc_most(mpz_t out, const qv_alloc *p, uint32_t column);

/* ---- solving ------------------------------------------------------------------------------------------------------------ */

typedef enum {
  QV_ALLOC_UNKNOWN = 0, /* a limit of the search was reached; choice, if any, is feasible but not known to be best */
  QV_ALLOC_OPTIMAL,     /* choice is the answer of docs/allocation.md section 3, cert says so */
  QV_ALLOC_INFEASIBLE   /* cert says so */
} qv_alloc_state;

typedef enum { QV_ALLOC_TREE = 0, QV_ALLOC_DP } qv_alloc_engine;

typedef struct {
  qv_alloc_engine engine;
  uint64_t max_nodes;    /* of the search tree; 0 = 200000 */
  double seconds;        /* outer limit, 0 = none */
  bool no_cert;
  bool no_ties;          /* skip counting optima; choice is then some optimum of least key */
  bool no_glpk;          /* do not ask GLPK for a first solution */
} qv_alloc_opts;

typedef struct {
  qv_alloc_state state;
  bool has_choice;
  uint32_t *choice;     /* [groups] */
  bool lex;             /* the certificate covers the costs among equal losses */
  bool first;           /* choice is the lexicographically first of the optima */
  uint64_t optima;      /* optima of equal loss and limited costs that were counted; 0 = not counted */
  bool optima_all;      /* ... and there are no more */
  uint64_t nodes, vectors, states; /* effort: tree nodes, multiplier vectors, dominance states */
  double lp_bound;      /* about: the bound at the root, in the table's loss; NAN = none. For people only */
  qv_buf cert;          /* .qva */
} qv_alloc_result;

/* Solve. QV_E_UNSUP: DP asked for a problem it cannot do (docs/allocation-certificate.md section 4). *out must be {0}. */
QV_NODISCARD qv_status qv_alloc_solve(qv_alloc_result *out, const qv_alloc *p, const qv_alloc_opts *opts, qv_err *err);
void qv_alloc_result_clear(qv_alloc_result *r);

/* ---- the front ---------------------------------------------------------------------------------------------------------- */

typedef struct {
  uint32_t *choice;
  mpz_t cost, loss; /* in units */
  bool hull;
} qv_alloc_point;

typedef struct {
  qv_alloc_state state; /* OPTIMAL: complete */
  uint32_t n;
  qv_alloc_point *point; /* ascending cost */
  uint32_t n_groups;
  uint64_t nodes, states;
  bool by_dp;
  qv_buf cert;
} qv_alloc_front;

/* Full front of `row` under the other limits (and under row's own, if it has one). *out must be {0}. */
QV_NODISCARD qv_status qv_alloc_front_solve(qv_alloc_front *out, const qv_alloc *p, uint32_t row, const qv_alloc_opts *opts, qv_err *err);
void qv_alloc_front_clear(qv_alloc_front *f);

#endif
