/* A quantized network as an ONNX file. */
#ifndef QV_QUANT_EXPORT_H
#define QV_QUANT_EXPORT_H

#include "ir/base/buf.h"
#include "quant/quantize.h"

/* Append the network as a QDQ ONNX model: every quantized tensor is a QuantizeLinear and a DequantizeLinear, weights are integers behind a
 * DequantizeLinear, codes narrower than 8 (16) bits are clipped 8-bit (16-bit) ones. What it computes is decided by the runtime that
 * loads it: read it back with a profile. Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_export_qdq(qv_buf *out, const qv_quantized *q, qv_err *err);

/* Append the network as a QONNX model (domain qonnx.custom_op.general): every quantized tensor and every weight goes through a Quant node of
 * its very width. A bias is a Quant node of 32 bits at the scale of the sum where binary32 holds its multiples, else floats. The meaning is
 * arithmetic over the reals (docs/onnx.md); with opts.for_qonnx it is that of the QDQ model with the same integers. Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_export_qonnx(qv_buf *out, const qv_quantized *q, qv_err *err);

#endif
