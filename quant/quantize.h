/* From a float network to integers: calibration, ranges, scales, integer weights and biases.
 *
 * Where a tensor is quantized: the input, and the result of every operator that computes something, behind the Clip or Relu that
 * alone reads it. Data movement and max pooling keep the parameters of what they read. A Softmax that ends the network stays in
 * float behind the quantized logits. */
#ifndef QV_QUANT_QUANTIZE_H
#define QV_QUANT_QUANTIZE_H

#include "quant/fexec.h"

typedef enum { QV_RANGE_MINMAX, QV_RANGE_PERCENTILE, QV_RANGE_MSE } qv_range_method;

typedef struct {
  qv_range_method range; /* of activations; weights use MINMAX, or MSE if this is MSE         */
  double percentile;     /* PERCENTILE: share of values kept, e.g. 0.9999                     */
  bool symmetric;        /* activations: signed codes, zero point 0; else unsigned, asymmetric */
  bool per_tensor;       /* weights: one scale a tensor instead of one an output channel       */
  bool pow2;             /* all scales rounded up to powers of two                             */
  bool pow2_weights;     /* weight codes 0 and +-2^k, k = 0 .. min(2^(bits-1)-2, 6)            */
  bool for_qonnx;        /* scales rounded up to 12 significant bits, products of two are binary32 numbers; even zero points, because
                            QONNX rounds behind them */
  bool pairs;            /* with acc_bits: and no two neighbouring products (row, column, channel) of stored codes leave 16 bits */
  int acc_bits;          /* weights within this accumulator for every input (quant/fit.h); 0: no limit */
  const int *node_acc_bits; /* [n_nodes] the same for single nodes where it is not 0; NULL: for none. Read by qv_quantize only */
  bool correct_bias;     /* make each channel's mean over the calibration set what it was      */
  bool round_to_output;  /* choose roundings of weights that keep each layer's output (quant/rounding.h) */
} qv_quant_opts;

#define QV_HIST 2048

/* Statistics of one tensor over the calibration samples. */
typedef struct {
  float lo, hi;       /* 0 included */
  uint64_t *count;    /* [QV_HIST] over [lo,hi], NULL where the tensor is not quantized */
} qv_calib_tensor;

typedef struct {
  size_t n;         /* samples */
  const float *sample; /* [n][elements of the input], borrowed */
  qv_calib_tensor *t; /* [n_tensors] */
  qv_arena arena;
} qv_calib;

/* Run the samples through the float network. *c is the caller's (qv_calib_clear). samples must outlive it.
 * Errors: QV_E_ARG (no sample, not finite), QV_E_NOMEM. */
QV_NODISCARD qv_status qv_calibrate(qv_calib *c, const qv_fgraph *g, const float *samples, size_t n, qv_err *err);
void qv_calib_clear(qv_calib *c);

/* The tensor whose quantization t carries: itself, or what data movement leads back to; QV_NONE: t stays inside a fused
 * operator, is a float behind the logits, or is left over from a node that is gone. */
uint32_t qv_quant_root(const qv_fgraph *g, uint32_t t);
/* Does node n have weights that are quantized? */
static inline bool qv_quant_linear(const qv_fnode *n) { return n->op == QF_CONV || n->op == QF_GEMM; }

/* Integer weights of one CONV or GEMM. */
typedef struct {
  int bits;
  uint32_t n_s;      /* 1 or oc */
  float *s;          /* scales  */
  int32_t *w;        /* as the float weights are ordered; |w| <= qv_weight_top */
  int32_t *b;        /* [oc] at scale f32(s_x * s_w) */
} qv_qweights;

/* Largest weight code. */
static inline int32_t qv_weight_top(int bits, bool powers) {
  if (!powers) return (1 << (bits - 1)) - 1;
  return bits > 3 ? 64 : 1 << ((1 << (bits - 1)) - 2);
}

/* What fitting a layer into its accumulator has changed. */
typedef struct {
  int bits;                   /* of the accumulator; 0: not fitted                                         */
  uint32_t channels;          /* that did not fit as they were                                             */
  int32_t levels_was, levels; /* largest code                                                              */
  double noise_was, noise;    /* squared error of the weights over their sum of squares                    */
  int64_t lo, hi;             /* of the sum over all codes of its input, all channels, with and without bias */
} qv_fit_layer;

typedef struct {
  const qv_fgraph *g;
  qv_quant_opts opts;
  int *a_bits;        /* [n_tensors] 0: not quantized; roots only: 2..8, or 9..16 in 16-bit codes */
  qv_fakeq *q;        /* [n_tensors] of every tensor with a root; s = 0 otherwise */
  qv_qweights *w;     /* [n_nodes] bits 0: none */
  qv_fit_layer *fit;  /* [n_nodes] */
  qv_arena arena;
} qv_quantized;

/* Quantize with a_bits[t] for root tensors (other entries are ignored) and w_bits[k] for nodes with weights.
 * *out is the caller's (qv_quantized_clear), also after an error. Errors: QV_E_ARG (bits), QV_E_NOMEM. */
QV_NODISCARD qv_status qv_quantize(qv_quantized *out, const qv_fgraph *g, const qv_calib *c, const int *a_bits, const int *w_bits,
                                   const qv_quant_opts *opts, qv_err *err);
void qv_quantized_clear(qv_quantized *q);

/* The network with integer weights and quantized activations, in binary32: copies of the weights in x->v are replaced and x->fake set. x must
 * have been made by qv_fexec_init and not outlive q. Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_quant_simulate(qv_fexec *x, const qv_quantized *q, qv_err *err);

/* s as the options allow it, no smaller. */
float qv_quant_scale(float s, const qv_quant_opts *o);

/* Parameters of a tensor with this range at `bits`. */
qv_fakeq qv_quant_params(float lo, float hi, int bits, const qv_quant_opts *o);

#endif
