/* Search for an input of a box that violates a query: straight-through gradients (a step counts as its average slope), then
 * random exact local search. Deterministic by seed. Proves nothing; what it finds must be replayed. */
#ifndef QV_ANALYSIS_ATTACK_H
#define QV_ANALYSIS_ATTACK_H

#include "analysis/robust_batch.h"
#include "ir/base/rng.h"

/* Gradient rounds towards one goal, from the middle of the bounds in force in d and from random points. *found: x violates the
 * query as the executor sees it. Errors: those of the executor; QV_E_NOMEM. Cost: rounds * two passes over the net. */
QV_NODISCARD qv_status qv_attack_gradient(bool *found, int64_t *x, qv_batch *b, const qv_dual *d, const qv_goal *goal, uint32_t rounds,
                                          qv_rng *rng, qv_err *err);

/* Random moves of a few inputs to other values, `rounds` batches, keeping the best point, from *x on (in the box lo..hi of n
 * inputs). Best: the lowest qv_cond_gap. */
QV_NODISCARD qv_status qv_attack_local(bool *found, int64_t *x, qv_batch *b, const int64_t *lo, const int64_t *hi, size_t n,
                                       uint32_t rounds, qv_rng *rng, qv_err *err);

#endif
