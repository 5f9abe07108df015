/* AMP's phase 3 (arXiv 2302.05397, AIMET): after a greedy choice, fewer conversions between precisions, at the least operations. The
 * question becomes a table of its own, so that its answer is exact and has a certificate. docs/allocation.md section 6. */
#ifndef QV_ILP_CONVERT_H
#define QV_ILP_CONVERT_H

#include "ilp/alloc.h"

/* Where a value goes from group to group of a problem: converted wherever the two sides differ. */
typedef struct {
  uint32_t g, h; /* g < h */
  mpq_t weight;  /* >= 0 */
} qv_flow;

typedef struct {
  uint32_t n;
  qv_flow *edge; /* ascending, no two alike, no weight 0 */
  bool conversions; /* the table has no edges: taken from its conversions */
} qv_flows;

/* The edges of t between the groups of p, built from it; `ones`: each edge of the table counts 1, whatever its weight. *out must be {0}. */
QV_NODISCARD qv_status qv_flows_of(qv_flows *out, const qv_atable *t, const qv_alloc *p, bool ones, qv_err *err);
void qv_flows_clear(qv_flows *f);

/* kind: [p->n_cands] what has to differ for a conversion. out: sum of the weights of the edges whose ends differ. */
void qv_flows_cut(mpq_t out, const qv_flows *f, const qv_alloc *p, const char *const *kind, const uint32_t *choice);

typedef struct {
  const qv_alloc *p;
  const qv_flows *flows;
  const char *const *kind; /* [p->n_cands] */
  const uint32_t *from;    /* [p->n_groups] the choice of phase 2 */
  uint32_t row;            /* of p: what is made least */
  mpq_srcptr alpha;        /* share of the conversions of `from` that may remain */
} qv_convert_question;

/* The table of phase 3: each group's candidates are its own in `from` and those with no less of `row` and no more loss; their loss is
 * `row`, their costs are p's limited rows, with p's limits, and "conversions". keep: [p->n_cands] is set to the candidates that it has, which are
 * in p's order; pair terms, forbidden pairs and the rule on precisions of p stay. Errors: QV_E_LIMIT, QV_E_NOMEM. */
QV_NODISCARD qv_status qv_convert_table(qv_buf *json, bool *keep, const qv_convert_question *q, qv_err *err);

/* x: a choice of that table's problem; becomes one of p. */
void qv_convert_back(uint32_t *x, const qv_alloc *p, const bool *keep);

#endif
