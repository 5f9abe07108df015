/* A quantized network as an ONNX file. */
#ifndef QV_QUANT_EXPORT_H
#define QV_QUANT_EXPORT_H

#include "ir/base/buf.h"
#include "quant/quantize.h"

/* Append the network as a QDQ ONNX model: every quantized tensor is a QuantizeLinear and a DequantizeLinear, weights are integers behind a
 * DequantizeLinear, codes narrower than 8 (16) bits are clipped 8-bit (16-bit) ones. What it computes is decided by the runtime that
 * loads it: read it back with a profile. Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_export_qdq(qv_buf *out, const qv_quantized *q, qv_err *err);

#endif
