/* CMSIS-NN operators as integer nets, built by hand with the builder of ir/ir.h from one case's constants. The arithmetic
 * is that of docs/semantics.md section 6 for the C reference: int32 accumulators that wrap, bias last, taps outside the
 * image contribute nothing. CMSIS-NN's offsets are added, so an input or weight offset is a negated zero point. */
#ifndef QV_TESTS_CMSIS_NET_H
#define QV_TESTS_CMSIS_NET_H

#include "tests/cmsis_case.h"

typedef struct {
  qv_net *net;
  qv_rq rounding; /* of 32-bit accumulators: QV_RQ_D is what CMSIS-NN does; QV_RQ_S to see that it matters */
  unsigned n_names;
} cmsis_net;

/* Each appends nodes for the operator at the case's present scope and returns the number of the result. */
uint32_t cmsis_input(cmsis_net *b, qv_dtype type, uint32_t rank, const uint32_t *dim);
uint32_t cmsis_conv(cmsis_net *b, cmsis_case *c, uint32_t x, bool depthwise);
uint32_t cmsis_dense(cmsis_net *b, cmsis_case *c, uint32_t x, uint32_t outputs);
uint32_t cmsis_average_pool(cmsis_net *b, const cmsis_case *c, uint32_t x);
uint32_t cmsis_max_pool(cmsis_net *b, const cmsis_case *c, uint32_t x);
uint32_t cmsis_add(cmsis_net *b, const cmsis_case *c, uint32_t x, uint32_t y);
uint32_t cmsis_mul(cmsis_net *b, const cmsis_case *c, uint32_t x, uint32_t y);
uint32_t cmsis_pad(cmsis_net *b, const cmsis_case *c, uint32_t x);
uint32_t cmsis_transpose(cmsis_net *b, uint32_t x, const uint32_t *perm);
uint32_t cmsis_softmax(cmsis_net *b, const cmsis_case *c, uint32_t x, qv_dtype out);

/* Shape [batch][height][width][channels] of the input that a convolution or pooling wants. */
void cmsis_image(uint32_t dim[4], const cmsis_case *c);

/* The two tables of the int16 softmax, as TFLite makes them (tensorflow/lite/kernels/internal/common.h, gen_lut, 2.6): 512
 * segments of exp over [-10,0] and of 1/(1+x) over [0,1], each node moved by half the error at its segment's middle. */
void cmsis_softmax_tables(int16_t lut[2 * 513]);

#endif
