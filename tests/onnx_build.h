/* Small ONNX models built in memory, for tests. Everything lives in an arena; misuse fails the test. */
#ifndef QV_TESTS_ONNX_BUILD_H
#define QV_TESTS_ONNX_BUILD_H

#include <onnx.pb-c.h>

#include "ir/base/arena.h"
#include "ir/base/buf.h"

enum { OB_FLOAT = 1, OB_U8 = 2, OB_I8 = 3, OB_I32 = 6, OB_I64 = 7 };

typedef struct {
  qv_arena a;
  Onnx__ModelProto model;
  Onnx__GraphProto graph;
  Onnx__OperatorSetIdProto opset, ms;
  Onnx__OperatorSetIdProto *opsets[2];
  unsigned counter;
} ob;

void ob_init(ob *b, int64_t opset);
void ob_clear(ob *b);
/* Declared input or output; n dimensions. */
void ob_input(ob *b, const char *name, int type, size_t n, const int64_t *dim);
void ob_output(ob *b, const char *name, int type);
/* Initializers; return their name. n dimensions (0: scalar); elements in `v`, one int64_t (or float) each. */
const char *ob_ints(ob *b, int type, size_t n, const int64_t *dim, const int64_t *v);
const char *ob_floats(ob *b, size_t n, const int64_t *dim, const float *v);
const char *ob_int(ob *b, int type, int64_t v);
const char *ob_float(ob *b, float v);
/* Node with inputs up to NULL; "" is an absent operand. Returns it for attributes. */
Onnx__NodeProto *ob_node(ob *b, const char *domain, const char *op, const char *out, ...);
void ob_attr_i(ob *b, Onnx__NodeProto *n, const char *name, int64_t v);
void ob_attr_f(ob *b, Onnx__NodeProto *n, const char *name, float v);
void ob_attr_s(ob *b, Onnx__NodeProto *n, const char *name, const char *v);
void ob_annotate(ob *b, const char *tensor, const char *finn_datatype); /* FINN's quantization annotation */
void ob_attr_ints(ob *b, Onnx__NodeProto *n, const char *name, size_t k, const int64_t *v);
/* The file. */
void ob_pack(ob *b, qv_buf *out);

#endif
