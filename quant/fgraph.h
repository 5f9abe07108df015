/* A float network: what the quantizer starts from. Read from ONNX or TFLite, simplified, executed in binary32, never the subject
 * of a claim.
 *
 * One sample at a time: every dimension 0 is 1. Images are NCHW, as in ONNX; a model that keeps its channels last is read with
 * TRANSPOSE nodes where its order shows. Nodes are in execution order, every tensor is written once. */
#ifndef QV_QUANT_FGRAPH_H
#define QV_QUANT_FGRAPH_H

#include "ir/ir.h"

typedef enum {
  QF_CONV,      /* x, w [oc][ic/groups][kh][kw], optional b [oc]                       */
  QF_GEMM,      /* x [r][k], w [m][k], optional b [m]: y = x * w^T + b                 */
  QF_CHANNEL,   /* x, scale [c], shift [c]: y = x * scale + shift along `axis`         */
  QF_ADD,       /* x0 + x1, shapes equal or broadcast                                  */
  QF_MUL,       /* x0 * x1                                                             */
  QF_CLIP,      /* min(hi, max(lo, x)); Relu: lo = 0, hi = +inf                        */
  QF_LEAKY,     /* x < 0 ? alpha * x : x                                               */
  QF_SIGMOID,
  QF_TANH,
  QF_SOFTMAX,   /* along the last dimension                                            */
  QF_MAXPOOL,   /* window; taps outside the image do not count                         */
  QF_AVGPOOL,   /* window; `count_pad`: taps outside count as 0                        */
  QF_MEAN,      /* over all spatial dimensions of NCHW, which stay as 1                */
  QF_CONCAT,    /* along `axis`                                                        */
  QF_RESHAPE,   /* same elements in the same order                                     */
  QF_TRANSPOSE, /* output dimension d is input dimension perm[d]                       */
  QF_PAD        /* zeros: pad[d] before, pad[rank + d] after                           */
} qv_fop;

typedef struct {
  const char *name;
  uint32_t rank, dim[QV_MAX_RANK];
  float *data; /* constant, else NULL */
} qv_ftensor;

#define QF_MAX_IN 64
#define QF_MAX 0x1p60f /* largest weight that is accepted */

typedef struct {
  qv_fop op;
  const char *name; /* of the node in the source file, or made from its output's */
  uint32_t n_in, in[QF_MAX_IN], out;
  uint32_t kh, kw, sh, sw, dh, dw, pt, pl, pb, pr, groups; /* CONV and pools */
  bool count_pad;
  uint32_t axis;
  float lo, hi, alpha;
  uint32_t perm[QV_MAX_RANK], pad[2 * QV_MAX_RANK];
} qv_fnode;

typedef struct {
  uint32_t n_tensors, n_nodes;
  qv_ftensor *tensor;
  qv_fnode *node;
  uint32_t in, out; /* tensors; one of each */
  bool sum_out;     /* the GEMM that ends the network is not quantized: its sums are the outputs (set by the caller, before calibration) */
  char sha256[65];  /* of the source file */
  uint32_t cap_tensors, cap_nodes;
  qv_arena arena; /* names and data */
} qv_fgraph;

const char *qv_fop_name(qv_fop op);
size_t qv_felems(const qv_ftensor *t);

/* ONNX or TFLite by content. *out is the caller's (qv_fgraph_free). Weights stored as integers behind a DequantizeLinear or with
 * TFLite scales are dequantized. Errors: QV_E_PARSE, QV_E_UNSUP (names the node and operator), QV_E_LIMIT, QV_E_NOMEM. */
QV_NODISCARD qv_status qv_fgraph_read(qv_fgraph **out, const void *data, size_t n, const char *name, qv_err *err);
/* The same; weights in external data are looked for below the folder dir (qv_model_dir; NULL: refused). */
QV_NODISCARD qv_status qv_fgraph_read_in(qv_fgraph **out, const void *data, size_t n, const char *name, const char *dir, qv_err *err);
void qv_fgraph_free(qv_fgraph *g);

/* Number of nodes that read tensor t (each operand counted; the graph's output is one more). */
uint32_t qv_fgraph_uses(const qv_fgraph *g, uint32_t t);
/* The result of the GEMM that ends the network, but for RESHAPEs (for sum_out); QV_NONE: it ends otherwise. */
uint32_t qv_fgraph_last_gemm(const qv_fgraph *g);
/* The node that writes t, or NULL. */
qv_fnode *qv_fgraph_writer(const qv_fgraph *g, uint32_t t);

/* ---- for the readers ----------------------------------------------------------------------------------------------------- */

/* New tensor (name copied), QV_NONE without memory. data NULL: not constant. */
uint32_t qv_fgraph_tensor(qv_fgraph *g, const char *name, uint32_t rank, const uint32_t *dim, float *data);
/* Append a node; the output tensor is made from the inputs' shapes. Returns the output tensor, QV_NONE after QV_FAIL. */
uint32_t qv_fgraph_node(qv_fgraph *g, const qv_fnode *n, const char *out_name, qv_err *err);

/* Simplify: CHANNEL nodes folded into the CONV or GEMM before or behind them (products and sums in binary64, rounded once), else
 * turned into a depthwise 1x1 CONV; TRANSPOSE pairs cancelled; nodes without effect and unread nodes dropped. */
QV_NODISCARD qv_status qv_fgraph_simplify(qv_fgraph *g, qv_err *err);

QV_NODISCARD qv_status qv_fgraph_onnx(qv_fgraph *g, const void *data, size_t n, const char *name, const char *dir, qv_err *err);
QV_NODISCARD qv_status qv_fgraph_tflite(qv_fgraph *g, const void *data, size_t n, const char *name, qv_err *err);

#endif
