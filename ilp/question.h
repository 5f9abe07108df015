/* One question about a problem: least key under some limits (docs/allocation.md section 3); private to ilp/.
 *
 * The integers are the truth. Beside them stand doubles, shifted to a common scale, that only steer the search: x is about
 * (integer - offset) / 2^shift, where offsets are the least values of each group. */
#ifndef QV_ILP_QUESTION_H
#define QV_ILP_QUESTION_H

#include "ilp/alloc.h"

typedef struct {
  const qv_alloc *p;
  /* limited rows, ascending */
  uint32_t n;
  uint32_t *row;
  mpz_t *limit;
  /* keys */
  mpz_t *key;  /* [n_cands] */
  mpz_t *tkey; /* [n_terms] */
  /* doubles */
  int kshift, *ashift; /* [n] */
  mpz_t kbase;         /* sum over groups of the least key: what dk leaves out */
  double *dk;          /* [n_cands] >= 0 */
  double *da;          /* [n_cands * n] >= 0 */
  double *db;          /* [n]: limit minus the sum of the least costs, scaled */
  double *dtk, *dta;   /* [n_terms], [n_terms * n] */
  int32_t **combo;     /* [n_blocks][candidates of g * candidates of h]: term, or -1 */
  uint32_t *touch;     /* blocks of each group: list touch_of[touch[g] .. touch[g+1]) */
  uint32_t *touch_of;
  bool zero;           /* every key is 0 for steering: only feasibility is asked (T = +infinity) */
  qv_arena arena;
} qv_question;

/* key_row[0..n_key): rows of the key after the loss. front_row: this row has the limit front_limit whatever the problem says;
 * QV_ATABLE_NONE = none. *out must be {0}. */
QV_NODISCARD qv_status qv_question_init(qv_question *out, const qv_alloc *p, const uint32_t *key_row, uint32_t n_key, uint32_t front_row,
                                        mpz_srcptr front_limit, qv_err *err);
void qv_question_clear(qv_question *q);
/* Another limit for the front row: cheap. */
void qv_question_limit(qv_question *q, uint32_t front_row, mpz_srcptr limit);

/* Exact key of an assignment, and whether it keeps this question's limits, the class rule and forbidden pairs. */
void qv_question_key(mpz_t out, const qv_question *q, const uint32_t *choice);
bool qv_question_feasible(const qv_question *q, const uint32_t *choice);

/* (v - kbase) / 2^kshift, about. */
double qv_question_scaled(const qv_question *q, mpz_srcptr v);

#endif
