/* Dominance fronts over group prefixes: exact, for problems where one limit row suffices (docs/allocation-certificate.md section 4,
 * `proof dp`). A second engine beside the tree, and the fast way to a whole front. Private to ilp/. */
#ifndef QV_ILP_DP_H
#define QV_ILP_DP_H

#include "ilp/alloc.h"
#include "ir/base/int.h"

typedef struct {
  qv_i128 u, v;    /* cost, loss of the prefix */
  uint32_t from;   /* state of the front before */
  uint32_t c;      /* candidate of the last group */
} qv_dp_state;

typedef struct {
  uint32_t n;
  qv_dp_state *s; /* ascending u, strictly descending v */
} qv_dp_front;

typedef struct {
  uint32_t row;
  uint32_t n_fronts;  /* groups + 1: front 0 is the empty prefix */
  qv_dp_front *front;
  uint64_t states;
} qv_dp;

/* Is the method sound here: no pairs, no class rule, every other limited row cannot bind? */
bool qv_dp_applies(const qv_alloc *p, uint32_t row);

/* All fronts, under the row's own limit if it has one. QV_E_LIMIT: more than max_states in all, or numbers beyond 120 bits.
 * *out must be {0}. An infeasible limit gives an empty last front. */
QV_NODISCARD qv_status qv_dp_run(qv_dp *out, const qv_alloc *p, uint32_t row, uint64_t max_states, qv_err *err);
void qv_dp_clear(qv_dp *d);

/* Candidates on the way to state i of the last front. */
void qv_dp_choice(const qv_dp *d, const qv_alloc *p, uint32_t i, uint32_t *choice);

/* Append "proof dp ROW" and the fronts. */
void qv_dp_put(qv_buf *out, const qv_dp *d);

void qv_i128_to_mpz(mpz_t out, qv_i128 v);

#endif
