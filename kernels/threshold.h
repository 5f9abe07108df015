/* Threshold nodes: piecewise constant functions of one integer (docs/semantics.md section 3). */
#ifndef QV_KERNELS_THRESHOLD_H
#define QV_KERNELS_THRESHOLD_H

#include "kernels/step.h"

/* Channel of element e, and its pieces. */
uint32_t qv_threshold_channel(const qv_threshold *h, size_t e);
const qv_pieces *qv_threshold_pieces(const qv_threshold *h, size_t e);

/* y = v[number of i with t[i] <= x]. Cost: O(log k). */
int64_t qv_pieces_eval(const qv_pieces *p, int64_t x);

/* The piece that x lies in: largest interval around x between two thresholds. Open ends are INT64_MIN + 1 and INT64_MAX - 1. */
qv_itv qv_pieces_run(const qv_pieces *p, int64_t x);

/* Exact image of a non-empty interval. Cost: O(pieces met). */
qv_itv qv_pieces_image(const qv_pieces *p, qv_itv x);

/* Direction on an interval: 1 never decreases (constants too), -1 never increases, 0 neither. */
int qv_pieces_monotone(const qv_pieces *p, qv_itv x);

/* { x in dom : f(x) = y } (LE, GE likewise) as maximal disjoint intervals in ascending order: the first `cap` of them go to out.
 * Returns their number, at most k + 1. Pre: dom not empty. */
uint32_t qv_pieces_preimage(qv_itv *out, uint32_t cap, const qv_pieces *p, qv_pre_rel rel, int64_t y, qv_itv dom);

#endif
