/* Stages of a solution and the frame of certificates (docs/allocation-certificate.md section 1), shared by single solutions and fronts;
 * private to ilp/. */
#ifndef QV_ILP_CERT_H
#define QV_ILP_CERT_H

#include "ilp/tree.h"

/* "qva 1" and the problem line; one choice line; the closing hash. */
QV_NODISCARD qv_status qv_cert_begin(qv_buf *out, const qv_alloc *p, qv_err *err);
QV_NODISCARD qv_status qv_cert_choice(qv_buf *out, const qv_alloc *p, const uint32_t *choice, qv_err *err);
QV_NODISCARD qv_status qv_cert_end(qv_buf *out, qv_err *err);

typedef struct {
  uint64_t max_nodes; /* of each tree */
  double deadline;
  bool glpk;          /* may be asked */
} qv_budget;

void qv_budget_set(qv_tree *t, const qv_budget *b, qv_tree_mode mode);

/* Any feasible assignment into choice; *found false: there is none. pick: scratch, one number per group. */
QV_NODISCARD qv_status qv_stage_feasible(bool *found, qv_question *q, const qv_budget *b, uint32_t *choice, uint32_t *pick, uint64_t *nodes,
                                         qv_err *err);
/* From a feasible choice to one of least key. QV_E_LIMIT: choice is the best found. */
QV_NODISCARD qv_status qv_stage_search(mpz_t key, qv_question *q, const qv_budget *b, uint32_t *choice, uint64_t *nodes, double *root,
                                       qv_err *err);
/* Append "mults .." and the tree for target (NULL = +infinity). */
QV_NODISCARD qv_status qv_stage_prove(qv_buf *out, qv_question *q, const qv_budget *b, mpz_srcptr target, uint64_t *nodes, uint64_t *vectors,
                                      qv_err *err);

#endif
