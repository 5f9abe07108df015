/* Weights under an accumulator limit that holds for every input. */
#ifndef QV_QUANT_FIT_H
#define QV_QUANT_FIT_H

#include "quant/quantize.h"

/* With opts.pairs, products of stored codes are added in pairs of 16 bits first (vpmaddubsw), but for depthwise convolutions: two weights of one sign
 * whose pair does not fit are lowered, the cheaper one step by step.
 *
 * Scales and codes of every CONV and GEMM such that its sum, bias included, stays within `bits` bits for all codes of its input, with or
 * without the bias, in any order. A channel (a layer, where all share a scale) that is within already is left alone. For any other one
 * the scales s, s*2^(1/8), s*2^(2/8), .. (powers of two: s, 2s, ..) are tried; at each, codes are lowered towards zero by least squared
 * error until the sum fits, exactly so where the input is never negative; kept is the scale of least squared error (docs/quantize.md).
 * Nodes with a limit of their own in q->opts.node_acc_bits have that; bits 0: only those. Fills q->fit. Errors: QV_E_NOMEM, QV_E_UNSUP (no scale will do). */
QV_NODISCARD qv_status qv_fit_weights(qv_quantized *q, int bits, qv_err *err);

/* The code, of at most `top` in size, that is nearest to u: an integer (ties to even), or 0 or a power of two (ties down). */
int32_t qv_weight_code(double u, int32_t top, bool powers);

#endif
