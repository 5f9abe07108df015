/* A .tflite file as the lowering sees it: schema version 3 (tensorflow/compiler/mlir/lite/schema/schema.fbs), only the
 * fields that decide the arithmetic. Everything here has been checked for being inside the file and for cross-references;
 * what an operator means is the lowering's business. */
#ifndef QV_FRONTEND_TFLITE_FILE_H
#define QV_FRONTEND_TFLITE_FILE_H

#include "frontend/tflite_fb.h"
#include "ir/ir.h"

/* TensorType of the schema. */
typedef enum {
  TFL_FLOAT32 = 0,
  TFL_FLOAT16 = 1,
  TFL_INT32 = 2,
  TFL_UINT8 = 3,
  TFL_INT64 = 4,
  TFL_STRING = 5,
  TFL_BOOL = 6,
  TFL_INT16 = 7,
  TFL_INT8 = 9,
  TFL_INT4 = 17
} tfl_type;

/* BuiltinOperator of the schema: those with a meaning here. */
typedef enum {
  TFL_ADD = 0,
  TFL_AVERAGE_POOL_2D = 1,
  TFL_CONCATENATION = 2,
  TFL_CONV_2D = 3,
  TFL_DEPTHWISE_CONV_2D = 4,
  TFL_DEQUANTIZE = 6,
  TFL_FULLY_CONNECTED = 9,
  TFL_LOGISTIC = 14,
  TFL_MAX_POOL_2D = 17,
  TFL_MUL = 18,
  TFL_RELU = 19,
  TFL_RELU_N1_TO_1 = 20,
  TFL_RELU6 = 21,
  TFL_RESHAPE = 22,
  TFL_SOFTMAX = 25,
  TFL_TANH = 28,
  TFL_CUSTOM = 32,
  TFL_PAD = 34,
  TFL_GATHER = 36,
  TFL_TRANSPOSE = 39,
  TFL_MEAN = 40,
  TFL_SUB = 41,
  TFL_SQUEEZE = 43,
  TFL_STRIDED_SLICE = 45,
  TFL_SPLIT = 49,
  TFL_LOG_SOFTMAX = 50,
  TFL_CAST = 53,
  TFL_PADV2 = 60,
  TFL_SLICE = 65,
  TFL_EXPAND_DIMS = 70,
  TFL_SHAPE = 77,
  TFL_PACK = 83,
  TFL_RESIZE_NEAREST_NEIGHBOR = 97,
  TFL_LEAKY_RELU = 98,
  TFL_SPLIT_V = 102,
  TFL_QUANTIZE = 114,
  TFL_HARD_SWISH = 117,
  TFL_RELU_0_TO_1 = 152
} tfl_op_code;

typedef struct {
  const char *name; /* printable ASCII, arena; "" if the file has none                                      */
  int type;         /* TensorType as stored: values outside tfl_type occur                                   */
  uint32_t rank;
  int32_t dim[QV_MAX_RANK];  /* each >= 0; a -1 of the file or of its shape signature is 1                            */
  bool dyn[QV_MAX_RANK];     /* -1 in the shape signature                                                             */
  const unsigned char *data; /* constant: n_data bytes in the file, unaligned; else NULL                              */
  size_t n_data;
  qv_fb_vec scale, zp; /* binary32 scales, int64 zero points; n = 0 or one or one per channel                   */
  int32_t qdim;
  bool variable, sparse, custom_q;
} tfl_tensor;

typedef struct {
  int32_t code;      /* BuiltinOperator, the larger of the old and the new field                              */
  const char *name;  /* "CONV_2D"; for a custom operator its custom name                                      */
  qv_fb_vec in, out; /* int32 tensor numbers, each in range; -1 in `in` = omitted                             */
  uint8_t opt_type;  /* BuiltinOptions union tag                                                              */
  qv_fb_table opt;
} tfl_op;

typedef struct {
  qv_fb fb;
  uint32_t n_tensors, n_ops, n_subgraphs;
  tfl_tensor *tensor;
  tfl_op *op;
  qv_fb_vec in, out; /* int32 tensor numbers of subgraph 0, each in range                                     */
  qv_arena arena;
} tfl_model;

/* Parse data[0..n); the model refers into data. *m must be zeroed; tfl_model_clear frees it, also after an error.
 *   Errors: QV_E_PARSE (with offset), QV_E_UNSUP (schema version), QV_E_NOMEM. Cost: linear in n. */
QV_NODISCARD qv_status tfl_model_read(tfl_model *m, const void *data, size_t n, const char *name, qv_err *err);
void tfl_model_clear(tfl_model *m);

/* Tensor number of an operand, -1 if omitted or beyond the list. */
int32_t tfl_in(const tfl_model *m, const tfl_op *op, uint32_t k);
int32_t tfl_out(const tfl_model *m, const tfl_op *op, uint32_t k);

float tfl_scale(const tfl_model *m, const tfl_tensor *t, uint32_t c); /* c < t->scale.n */
int64_t tfl_zp(const tfl_model *m, const tfl_tensor *t, uint32_t c);  /* 0 if the file stores none for c */

const char *tfl_type_name(int type);   /* "INT8"; "type 99" is "unknown type" */
const char *tfl_op_name(int32_t code); /* "CONV_2D", or "unknown operator" */
bool tfl_is_float(int type);           /* FLOAT32, FLOAT16, BFLOAT16, FLOAT64 */
size_t tfl_type_bits(int type);        /* of one element; 0 for STRING and unknown types */

#endif
