/* Multiplier vectors in integers, and what follows from them (docs/allocation-certificate.md section 3). This is the code on which
 * every claim rests; it mirrors the document line by line. Private to ilp/. */
#ifndef QV_ILP_VECTOR_H
#define QV_ILP_VECTOR_H

#include "ilp/dual.h"

typedef struct {
  const qv_question *q;
  mpz_t d;       /* denominator D >= 0 */
  mpz_t *n;      /* [rows] >= 0 */
  mpz_t nb;      /* sum of n * limit */
  mpz_t *r;      /* [n_cands]: D * key + sum n * cost + u + v */
  mpz_t *dual;   /* u, v of every block; NULL without blocks */
  bool *has;     /* [blocks]: not all 0 */
  int64_t id;    /* number in the certificate, -1 = not written yet */
  bool used;     /* holds a vector */
  mpz_t t, w;    /* scratch */
  qv_arena arena;
} qv_vector;

QV_NODISCARD qv_status qv_vector_init(qv_vector *v, const qv_question *q, qv_err *err); /* *v must be {0} */
void qv_vector_clear(qv_vector *v);

/* Round the multipliers of a sub-problem. Blocks with a fixed side get the u or v that makes their minimum exact. */
void qv_vector_from(qv_vector *v, const qv_adual *d, const unsigned char *alive);
/* D = 1 and nothing else (row = QV_ATABLE_NONE), or D = 0 and multiplier 1 for row number `row` of the limited ones. */
void qv_vector_plain(qv_vector *v, uint32_t row);

/* S over the alive candidates. False if some group or block has nothing left (then `empty` is the word). */
QV_NODISCARD bool qv_vector_bound(mpz_t s, qv_vector *v, const unsigned char *alive);
/* D * (T - 1) + 1, or 1 for T = +infinity (target NULL). */
void qv_vector_threshold(mpz_t out, const qv_vector *v, mpz_srcptr target);
/* `reduce`: clear alive[] of every candidate that S excludes. Returns how many went. */
uint32_t qv_vector_reduce(qv_vector *v, mpz_srcptr s, mpz_srcptr threshold, unsigned char *alive);

/* Append the `mult` line and its `dual` lines. */
QV_NODISCARD qv_status qv_vector_put(qv_buf *out, const qv_vector *v, qv_err *err);

#endif
