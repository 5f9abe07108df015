/* Building an ONNX file in memory. Nothing here knows what an operator does. */
#ifndef QV_QUANT_ONNX_WRITE_H
#define QV_QUANT_ONNX_WRITE_H

#include <onnx.pb-c.h>

#include "frontend/names.h"
#include "frontend/onnx_file.h"
#include "ir/base/buf.h"

/* Memory is short: `failed` is set, everything later does nothing, and ow_finish says so. */
typedef struct {
  Onnx__ModelProto model;
  Onnx__GraphProto graph;
  size_t cap_node, cap_init;
  qv_names names; /* of values: no two are alike */
  bool failed;
  qv_arena arena;
} ow;

/* Start a model; ow_clear in every case. domain: of further operators, version 1; NULL: none. */
void ow_init(ow *w, const char *producer, int64_t opset, const char *domain);
void ow_clear(ow *w);
/* A new value name "<base><suffix>". */
const char *ow_name(ow *w, const char *base, const char *suffix);
/* Constants; the name is made from `base`. ONX_FLOAT from f; integer types, INT64 included, from i. */
const char *ow_floats(ow *w, const char *base, uint32_t rank, const uint32_t *dim, const float *f);
const char *ow_ints(ow *w, const char *base, int32_t type, uint32_t rank, const uint32_t *dim, const int32_t *i);
/* Append a node with one output named `out`; operands "" are omitted ones. */
Onnx__NodeProto *ow_node(ow *w, const char *op, const char *out, uint32_t n_in, const char *const *in);
void ow_domain(ow *w, Onnx__NodeProto *n, const char *domain);
void ow_attr_s(ow *w, Onnx__NodeProto *n, const char *name, const char *v);
void ow_attr_i(ow *w, Onnx__NodeProto *n, const char *name, int64_t v);
void ow_attr_f(ow *w, Onnx__NodeProto *n, const char *name, float v);
void ow_attr_ints(ow *w, Onnx__NodeProto *n, const char *name, uint32_t k, const uint32_t *v);
/* Float input or output of the graph. */
void ow_port(ow *w, bool input, const char *name, uint32_t rank, const uint32_t *dim);
/* Append the file's bytes. Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status ow_finish(qv_buf *out, ow *w, qv_err *err);

#endif
