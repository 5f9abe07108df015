/* Writes small TFLite files for tests: every field under the test's control, wrong ones included. */
#ifndef QV_TESTS_TFL_BUILD_H
#define QV_TESTS_TFL_BUILD_H

#include "frontend/tflite_file.h"
#include "ir/base/buf.h"

#define TB_MAX 24

typedef struct {
  const char *name;
  int type; /* TensorType */
  uint32_t rank;
  int32_t dim[TB_MAX];
  const int32_t *sig; /* shape signature [rank], or NULL */
  uint32_t n_scale, n_zp;
  float scale[TB_MAX];
  int64_t zp[TB_MAX];
  int32_t qdim;
  const void *data; /* constant: n_data bytes */
  size_t n_data;
  uint32_t buffer; /* not 0: this buffer number instead of the tensor's own */
  bool variable, sparse;
} tb_tensor;

/* Scalar field of an options table. */
typedef struct {
  unsigned id;
  unsigned bytes; /* 1 or 4; 0 ends the list */
  uint32_t value; /* bits */
} tb_field;

typedef struct {
  int32_t code;       /* BuiltinOperator */
  const char *custom; /* custom name */
  uint8_t old_code;   /* value of the deprecated 8-bit field; the new field holds `code` unless `only_old` */
  bool only_old;
  uint32_t n_in, n_out;
  int32_t in[TB_MAX], out[TB_MAX];
  uint8_t opt_type;
  tb_field opt[12];
  uint32_t code_index; /* not 0: operator code number instead of the right one */
} tb_op;

typedef struct {
  uint32_t version;     /* 3 */
  uint32_t n_subgraphs; /* 1 */
  uint32_t n_t, n_op, n_in, n_out;
  tb_tensor t[TB_MAX];
  tb_op op[TB_MAX];
  int32_t in[TB_MAX], out[TB_MAX];
} tb_model;

/* Append the file to *out (start it as {0}). */
void tb_build(qv_buf *out, const tb_model *m);

/* Shorthands. Each returns the tensor's number. */
int32_t tb_add(tb_model *m, const char *name, int type, uint32_t rank, const int32_t *dim, float scale, int64_t zp);
int32_t tb_const(tb_model *m, const char *name, int type, uint32_t rank, const int32_t *dim, float scale, int64_t zp, const void *data,
                 size_t n_data);
tb_op *tb_op_add(tb_model *m, int32_t code, uint8_t opt_type, int32_t x, int32_t w, int32_t b, int32_t y); /* -2: no operand */
void tb_opt(tb_op *op, unsigned id, unsigned bytes, uint32_t value);
void tb_opt_f32(tb_op *op, unsigned id, float value);

#endif
