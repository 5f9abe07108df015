/* Execution of a float network in binary32, forwards and backwards. A guide for choosing quantization parameters; nothing here
 * decides a verdict. Sums are taken in a fixed order, so results are reproducible on one machine. */
#ifndef QV_QUANT_FEXEC_H
#define QV_QUANT_FEXEC_H

#include "quant/fgraph.h"

/* Quantize-dequantize of a tensor: s * (clamp(rne(x / s) + zp, lo, hi) - zp). s = 0: leave it. */
typedef struct {
  float s;
  int32_t zp, lo, hi;
} qv_fakeq;

static inline float qv_fake(const qv_fakeq *q, float x) {
  float r = __builtin_rintf(x / q->s) + (float)q->zp;
  r = r < (float)q->lo ? (float)q->lo : r > (float)q->hi ? (float)q->hi : r;
  return q->s * (r - (float)q->zp);
}

typedef struct {
  const qv_fgraph *g;
  float **v;             /* [n_tensors] values; constants point into the graph unless replaced  */
  float **grad;          /* [n_tensors] filled by qv_fexec_back; of constants too               */
  const qv_fakeq *fake;  /* [n_tensors] or NULL: applied to every computed tensor and the input */
  qv_arena arena;
} qv_fexec;

/* *x is the caller's (qv_fexec_clear), also after an error. Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_fexec_init(qv_fexec *x, const qv_fgraph *g, qv_err *err);
void qv_fexec_clear(qv_fexec *x);

/* Run one sample: `in` has the elements of the input tensor. Afterwards x->v[t] is tensor t. */
void qv_fexec_run(qv_fexec *x, const float *in);

/* Gradients of sum(dout * output) with respect to every tensor, constants included, at the last run; quantization is passed
 * straight through. Pre: qv_fexec_grads has been called once. */
QV_NODISCARD qv_status qv_fexec_grads(qv_fexec *x, qv_err *err);
void qv_fexec_back(qv_fexec *x, const float *dout);

#endif
