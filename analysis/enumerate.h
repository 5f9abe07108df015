/* Complete enumeration of a box: the engine for boxes with few points. */
#ifndef QV_ANALYSIS_ENUMERATE_H
#define QV_ANALYSIS_ENUMERATE_H

#include "analysis/robust_batch.h"

/* Number of integer points of the box lo..hi, or UINT64_MAX if larger than that. */
uint64_t qv_box_points(const int64_t *lo, const int64_t *hi, size_t n);

/* Visit every point of the box. *found: the first point (in x) whose output violates the query, as the executor sees it;
 * otherwise the whole box was visited. Errors: those of the executor; QV_E_LIMIT at the deadline (0 = none). */
QV_NODISCARD qv_status qv_enumerate(bool *found, int64_t *x, qv_batch *b, const int64_t *lo, const int64_t *hi, size_t n, double deadline,
                                    qv_err *err);

#endif
