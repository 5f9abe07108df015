/* Model files to nets: one entry for every format, told apart by content, not by name. */
#ifndef QV_FRONTEND_LOAD_H
#define QV_FRONTEND_LOAD_H

#include "ir/ir.h"
#include "kernels/profile/profile.h"

typedef struct {
  const char *profile;   /* NULL = the format's default (TFLite: tflite-double; ONNX has none) */
  bool opaque;           /* turn an unsupported operator into OPAQUE instead of refusing */
  const char *dir;       /* folder that an ONNX model's external data may lie in; NULL: none. qv_load_model sets it */
  size_t max_bytes;      /* file and arena limit; 0 = 2 GiB - 1 */
} qv_load_opts;

/* Read `path` (TFLite, ONNX, .qir, .qtxt, N2UQ as JSON) into a checked net. *out is owned by the caller.
 *   Errors: QV_E_IO; QV_E_PARSE (malformed: exit 2); QV_E_UNSUP (refused by name: exit 3); QV_E_RANGE; QV_E_LIMIT.
 *   A .qir, .qtxt or N2UQ file fixes its own arithmetic: giving a profile with it is QV_E_ARG. An ONNX file does not fix it at all: no
 *   profile, or one for another format, is QV_E_ARG. */
QV_NODISCARD qv_status qv_load_model(qv_net **out, const char *path, const qv_load_opts *opts, qv_err *err);

/* The folder of a file, for qv_load_opts.dir; NULL when memory is short. */
char *qv_model_dir(qv_arena *a, const char *path);

/* Same from memory; `name` is used in messages and as the net's source name. */
QV_NODISCARD qv_status qv_load_bytes(qv_net **out, const void *data, size_t n, const char *name, const qv_load_opts *opts, qv_err *err);

/* The single formats. data need not be aligned or trusted. */
QV_NODISCARD qv_status qv_tflite_read(qv_net **out, const void *data, size_t n, const char *name, const qv_load_opts *opts, qv_err *err);
QV_NODISCARD qv_status qv_onnx_read(qv_net **out, const void *data, size_t n, const char *name, const qv_load_opts *opts, qv_err *err);
bool qv_onnx_probe(const void *data, size_t n); /* does it look like one? */
QV_NODISCARD qv_status qv_n2uq_read(qv_net **out, const char *text, size_t n, const char *name, size_t limit, qv_err *err); /* JSON */
QV_NODISCARD qv_status qv_qtxt_read(qv_net **out, const char *text, size_t n, const char *name, qv_err *err);

#endif
