/* One CONV or GEMM of a quantized network as an integer net of its own: what is proved, and timed, about a layer. */
#ifndef QV_QUANT_LAYER_H
#define QV_QUANT_LAYER_H

#include "quant/quantize.h"

/* Accumulator of a candidate. */
typedef struct {
  int bits;   /* 2..32 */
  bool pairs; /* the kernel adds u8 x s8 products in saturating 16-bit pairs first */
} qv_accum;

qv_acc qv_accum_machine(qv_accum a);

/* Node k of q: its input takes every code of its tensor's width. step: behind it a requantization to uint8 of about the whole range, as
 * behind layers in exported networks; else the sums are the output. *out is the caller's (qv_net_free). Errors: QV_E_NOMEM, those of
 * qv_ir_check. */
QV_NODISCARD qv_status qv_layer_net(qv_net **out, const qv_quantized *q, uint32_t k, const qv_acc *acc, bool step, qv_err *err);

/* Is the accumulator of node k proved to compute the exact sum for every input? *range: hull of its final values; *bits: width that these
 * need. */
QV_NODISCARD qv_status qv_layer_safe(bool *safe, qv_itv *range, int *bits, const qv_quantized *q, uint32_t k, qv_accum acc, qv_err *err);

/* "conv 3x3 stride 1x1 dilation 1x1 groups 1 in 16x32x32 out 16x32x32", "gemm rows 1 in 784 out 256". name: at least 160 bytes. */
void qv_layer_shape(char *name, const qv_fgraph *g, uint32_t k);

#endif
