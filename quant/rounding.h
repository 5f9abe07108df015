/* Rounding weights so that a layer's output, not each weight, is kept. */
#ifndef QV_QUANT_ROUNDING_H
#define QV_QUANT_ROUNDING_H

#include "quant/quantize.h"

/* Coordinate descent over the codes of every CONV and GEMM: with e = w - s * code and H the second moments of the layer's inputs over the
 * calibration samples, e' H e becomes smaller with every step (the objective of AdaRound, arXiv 2004.10568, solved on integers). Layers
 * of more than 2048 taps keep their roundings. Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_round_to_output(qv_quantized *q, const qv_calib *c, qv_err *err);

#endif
