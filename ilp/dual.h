/* Good multipliers, in doubles: maximize the Lagrangian bound of docs/allocation-certificate.md section 3. Nothing here proves
 * anything: vector.h rounds the result to integers and evaluates it exactly. Private to ilp/. */
#ifndef QV_ILP_DUAL_H
#define QV_ILP_DUAL_H

#include "ilp/question.h"

/* A pair block between two groups that are both still open. */
typedef struct {
  uint32_t e, i, j; /* block; the two groups by position in the sub-problem */
  double *q;        /* [n_i * n_j]: key, BIG where forbidden */
  double *a;        /* [n_i * n_j * rows] */
  double *u, *v;    /* [n_i], [n_j] */
  uint32_t pick;    /* combination that attains the minimum */
} qv_adual_block;

/* The groups that have more than one candidate left; everything else is folded into base and b. */
typedef struct {
  const qv_question *q;
  uint32_t n_groups;
  uint32_t *gid;   /* group */
  uint32_t *first; /* [n_groups + 1]: candidates first[i] .. first[i+1]-1 of the arrays below */
  uint32_t *cid;   /* candidate of the problem */
  double *k, *a;   /* key and costs, scaled, with what fixed partners of pairs add */
  double base, *b; /* key of the fixed groups; limits left */
  uint32_t n_blocks;
  qv_adual_block *block;
  /* result of qv_adual_climb */
  double bound;
  double *lambda;  /* [rows] */
  double *theta;   /* reduced cost of each candidate at lambda */
  double *low;     /* [n_groups] least theta */
  uint32_t *pick;  /* [n_groups] a candidate that attains it */
  double *share;   /* about the fractional solution: weight of each candidate, sums to 1 per group */
  uint64_t evals;
  /* memory */
  uint32_t *nz_at, *nz_row; /* of each candidate of the problem, the rows in which it costs anything: nz_at[c] .. nz_at[c + 1] */
  double *nz;
  uint32_t *where; /* [groups]: position in the sub-problem, or QV_ATABLE_NONE */
  double *warm;    /* u, v of every block, by candidate of the problem: kept from call to call */
  size_t *warm_at; /* [blocks] */
  double *grad, *dir, *try_lambda, *best_lambda, *try_theta, *try_low, *scratch;
  uint32_t *try_pick;
  double *pool;    /* numbers of the blocks */
  size_t pool_n;
  qv_arena arena;
} qv_adual;

QV_NODISCARD qv_status qv_adual_init(qv_adual *d, const qv_question *q, qv_err *err); /* *d must be {0} */
void qv_adual_clear(qv_adual *d);

/* Take the sub-problem that is left where alive[candidate] != 0. Every group has a candidate left, and no candidate whose pairs
 * with a fixed partner are forbidden. */
void qv_adual_load(qv_adual *d, const unsigned char *alive);

/* Climb from `start` (rows numbers >= 0) until the bound reaches `target` or about `effort` evaluations are spent.
 * Feasibility only (q->zero): the multipliers sum to 1, and a bound above 0 shows that nothing is feasible. */
void qv_adual_climb(qv_adual *d, const double *start, double target, uint32_t effort);

#endif
