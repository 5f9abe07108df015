/* An ONNX file as checked data: protobuf with caps before and after unpacking, constants decoded. Nothing here knows what an
 * operator does. Private to the front end. */
#ifndef QV_FRONTEND_ONNX_FILE_H
#define QV_FRONTEND_ONNX_FILE_H

#include <onnx.pb-c.h> /* generated at build time from the .proto text of the ONNX project */

#include "ir/ir.h"

/* TensorProto.DataType by number: newer than some .proto texts, so not taken from there. */
enum {
  ONX_FLOAT = 1, ONX_UINT8 = 2, ONX_INT8 = 3, ONX_UINT16 = 4, ONX_INT16 = 5, ONX_INT32 = 6, ONX_INT64 = 7, ONX_STRING = 8,
  ONX_BOOL = 9, ONX_FLOAT16 = 10, ONX_DOUBLE = 11, ONX_UINT32 = 12, ONX_UINT64 = 13, ONX_BFLOAT16 = 16, ONX_UINT4 = 21,
  ONX_INT4 = 22, ONX_UINT2 = 25, ONX_INT2 = 26
};
const char *onx_type_name(int32_t type); /* "INT8", ...; "type 99" is "?" */
/* Integer types of at most 32 bits, signed or not, except UINT32; BOOL is none of them. */
bool onx_is_int(int32_t type);
qv_itv onx_range(int32_t type); /* of an integer type (onx_is_int), or INT64 */

/* Decoded constant. The element type of the data is int32_t for integer types and BOOL, int64_t for INT64, float for FLOAT and
 * FLOAT16. */
typedef struct {
  int32_t type;
  uint32_t rank, dim[QV_MAX_RANK]; /* dimensions may be 0 */
  size_t n;
  const int32_t *i; /* exactly one of the three is set, also for n = 0 */
  const int64_t *l;
  const float *f;
} onx_const;

typedef struct {
  ProtobufCAllocator alloc; /* counts against `left` */
  size_t left;
  Onnx__ModelProto *proto;
  const Onnx__GraphProto *graph;
  int64_t opset;            /* of the default domain, >= 1 */
  const char *dir;          /* folder for external data, the caller's to set after reading; NULL: there is none */
} onx_model;

/* Unpack within `limit` bytes. Errors: QV_E_PARSE (malformed), QV_E_UNSUP (too new, functions), QV_E_LIMIT, QV_E_NOMEM.
 * onx_model_clear in every case. */
QV_NODISCARD qv_status onx_model_read(onx_model *m, const void *data, size_t n, size_t limit, const char *name, qv_err *err);
void onx_model_clear(onx_model *m);

/* Decode t into arena memory. On failure *why is a static text. QV_E_PARSE, QV_E_UNSUP, QV_E_NOMEM. */
QV_NODISCARD qv_status onx_const_read(onx_const *c, const Onnx__TensorProto *t, qv_arena *a, const char **why);
/* The same, with external data from below m->dir. */
QV_NODISCARD qv_status onx_const_read_in(onx_const *c, const onx_model *m, const Onnx__TensorProto *t, qv_arena *a, const char **why);

/* The `bytes` bytes of a tensor with external data, from a file below `dir` (onnx_external.c). Errors as above. */
QV_NODISCARD qv_status onx_external_read(unsigned char **data, const Onnx__TensorProto *t, size_t bytes, const char *dir, qv_arena *a,
                                         const char **why);

#endif
