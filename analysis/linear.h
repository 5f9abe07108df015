/* Linear bounds by backward substitution (docs/certificate.md section 4): tighter than intervals where several terms of a sum
 * depend on the same earlier values.
 *
 * All deciding arithmetic is in exact integers: coefficients at scale 2^-16 in checked int64, the constant at scale 2^-32 in
 * __int128 kept below 2^120. A row that leaves these is given up, never rounded. */
#ifndef QV_ANALYSIS_LINEAR_H
#define QV_ANALYSIS_LINEAR_H

#include "analysis/range.h"

typedef struct qv_linear qv_linear;

/* Working space for the rows of one net. `r` holds proved ranges of all tensors below the nodes asked for; harmless[k] says
 * that accumulating node k equals its exact sum at every position and channel. Both must outlive *out, may be tightened
 * between calls (qv_linear_forget), and *out is the caller's (qv_linear_free). Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_linear_new(qv_linear **out, const qv_net *net, const qv_range_result *r, const bool *harmless, qv_err *err);
void qv_linear_free(qv_linear *l);
/* Drop cached step lines after ranges changed. */
void qv_linear_forget(qv_linear *l);

/* Upper (hi) or lower bound on channel `channel` of affine node `node` over all output positions, substituting nodes
 * from..node-1. Sound: for all values inside the ranges of tensors produced below `from` (and the inputs). Stops at the first
 * position that shows the result to be no better than `need`; *bound is then no better than `need` either, and no bound.
 *   Errors: QV_E_LIMIT when `*work` multiply-adds are used up (decreased by what was spent) or numbers grow too large;
 *   QV_E_NOMEM. Cost: positions times the terms in the substituted cone. */
QV_NODISCARD qv_status qv_linear_bound(int64_t *bound, qv_linear *l, uint32_t node, uint32_t channel, bool hi, uint32_t from,
                                       int64_t need, uint64_t *work);

#endif
