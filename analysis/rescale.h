/* A layer on fewer weight levels: weights and bias times num/den, rounded, and the requantization behind it times den/num. The range
 * of what the layer computes stays; its accumulators shrink. This is how reduced-range quantization (7-bit weights) and
 * overflow-aware quantization change a layer. */
#ifndef QV_ANALYSIS_RESCALE_H
#define QV_ANALYSIS_RESCALE_H

#include "ir/ir.h"

/* Node that alone reads tensor t, QV_NONE if there is none or if t is an output of the net. */
uint32_t qv_sole_reader(const qv_net *net, uint32_t t);

/* Is there a requantization that can take up the factor: a STEP that alone reads the node's output, does not subtract anything from
 * it, and multiplies by a scale? */
bool qv_rescale_possible(const qv_net *net, uint32_t node);

/* New weights of affine node `node`: w_zp + rha((w - w_zp) * num / den), 0 < num <= den. out has oc * k elements. */
void qv_rescale_weights(int32_t *out, const qv_affine *a, int64_t num, int64_t den);

/* Do it: the weights, biases rha(b * num / den), and the multipliers of the step: fixed-point ones anew from their real value in
 * binary64, binary32 ones rounded once. The arrays are new ones in the net's arena. Pre: possible. The net has to be checked again.
 * Errors: QV_E_UNSUP if a multiplier leaves its range (the net is unchanged then), QV_E_NOMEM. */
QV_NODISCARD qv_status qv_rescale(qv_net *net, uint32_t node, int64_t num, int64_t den, qv_err *err);

#endif
