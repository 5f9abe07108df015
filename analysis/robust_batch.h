/* Many inputs through the fast executor at once, judged by a query's output condition. */
#ifndef QV_ANALYSIS_ROBUST_BATCH_H
#define QV_ANALYSIS_ROBUST_BATCH_H

#include "analysis/robust.h"
#include "kernels/exec.h"

#define QV_BATCH 256 /* samples at a time */

/* Inputs are vectors over the graph's input variables: all net inputs, one after the other. */
typedef struct {
  const qv_net *net;
  const qv_robust_query *q;
  qv_plan *plan; /* NULL: the net cannot be executed (opaque nodes) */
  unsigned char **in, **out;
  int64_t **o;      /* [net->n_out] one sample's values */
  uint32_t n;       /* samples put in */
  uint32_t threads; /* 0 = 1 */
  double deadline;  /* qv_clock() value at which those who search with it stop; 0 = none */
  qv_arena arena;
} qv_batch;

QV_NODISCARD qv_status qv_batch_init(qv_batch *b, const qv_net *net, qv_err *err);
void qv_batch_clear(qv_batch *b);
void qv_batch_put(qv_batch *b, const int64_t *x); /* Pre: b->n < QV_BATCH */
/* Run what was put in, then empty. Errors: those of qv_plan_run. */
QV_NODISCARD qv_status qv_batch_run(qv_batch *b, qv_err *err);
/* All net outputs of sample i of the last run, in b->o. */
const int64_t *const *qv_batch_output(qv_batch *b, uint32_t i);
/* Does sample i of the last run violate the query? */
bool qv_batch_violated(qv_batch *b, uint32_t i);

#endif
