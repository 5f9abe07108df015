/* Input and output arrays: .npy, .npz, IDX(.gz), raw bytes, 8-bit PGM and BMP. */
#ifndef QV_FRONTEND_ARRAY_H
#define QV_FRONTEND_ARRAY_H

#include "ir/base/buf.h"
#include "ir/ir.h"

typedef enum { QV_EL_I8, QV_EL_U8, QV_EL_I16, QV_EL_U16, QV_EL_I32, QV_EL_U32, QV_EL_I64, QV_EL_U64, QV_EL_F32, QV_EL_F64 } qv_elem;

/* Row-major little-endian (host order) elements. */
typedef struct {
  qv_elem type;
  uint32_t rank;
  size_t dim[QV_MAX_RANK];
  size_t count;        /* product of dim */
  void *data;          /* count * size bytes, malloc; qv_array_free */
  bool pixels;         /* from an image format (IDX u8, PGM, BMP): 0..255 intensities, see qv_input_pack */
  bool raw;            /* untyped bytes of a file in no known format (type U8, rank 1), see qv_input_pack   */
} qv_array;

void qv_array_free(qv_array *a);
size_t qv_elem_bytes(qv_elem t);

/* Parsers from memory (no file access; fuzzed). *out must be {0}; on error it stays empty. `what` names the source. */
QV_NODISCARD qv_status qv_npy_parse(qv_array *out, const void *data, size_t n, const char *what, qv_err *err);
QV_NODISCARD qv_status qv_npz_parse(qv_array *out, const void *data, size_t n, const char *entry, const char *what, qv_err *err); /* entry NULL = the only one, else an error that lists them */
QV_NODISCARD qv_status qv_idx_parse(qv_array *out, const void *data, size_t n, const char *what, qv_err *err); /* gzip allowed */
QV_NODISCARD qv_status qv_pgm_parse(qv_array *out, const void *data, size_t n, const char *what, qv_err *err); /* P5, maxval 255: [H,W] */
QV_NODISCARD qv_status qv_bmp_parse(qv_array *out, const void *data, size_t n, const char *what, qv_err *err); /* 8-bit grey palette [H,W], 24-bit [H,W,3] RGB */

QV_NODISCARD qv_status qv_csv_parse(qv_array *out, const void *data, size_t n, const char *what, qv_err *err); /* [rows,columns] F64 */

/* Read a file by content and extension: .npy .npz (file.npz:entry) .idx .gz *-ubyte .pgm .bmp .csv; anything else is raw bytes
 * (type QV_EL_U8, rank 1, not pixels). */
QV_NODISCARD qv_status qv_array_read(qv_array *out, const char *path, qv_err *err);

/* Append a version-1.0 .npy image of count elements. */
void qv_npy_write(qv_buf *out, qv_elem type, uint32_t rank, const size_t *dim, const void *data);

/* Turn an array into n samples of net input `port`, in the tensor's storage type, values checked against [lo,hi].
 *   - raw bytes: reinterpreted as the source model's input type (float32 for a float end, else the storage type);
 *     the byte count must be a multiple of one sample.
 *   - typed arrays: integers are taken as integers (any integer type, values must fit), floats go through the float end's
 *     quantizer; a float array for an integer end is QV_E_UNSUP with a hint.
 *   - pixels (0..255): for a u8 tensor as they are, for an i8 tensor q = pixel - 128, for a float end pixel/255, or the
 *     pixel where the end has scale 1 and zero point 0.
 *   The leading dimension is the number of samples when the rest matches the tensor's shape (dimensions of size 1 are
 *   ignored in the match); an array of exactly one sample is n = 1.
 *   Post: *buf (malloc, caller frees), *n. Errors name expected and found shape and type. */
QV_NODISCARD qv_status qv_input_pack(void **buf, size_t *n, const qv_net *net, uint32_t port, const qv_array *a, const char *what, qv_err *err);

/* The binary32 values that qv_input_pack quantizes at a float end, in the same order; *buf (malloc, caller frees) is NULL where the
 * array holds integers or the input takes them. Pre: qv_input_pack has accepted the array. */
QV_NODISCARD qv_status qv_input_reals(float **buf, const qv_net *net, uint32_t port, const qv_array *a, const char *what, qv_err *err);

/* The profile's own quantizer at a float end, one value: sat(round(x/scale) + zp). NaN is QV_E_RANGE. */
QV_NODISCARD qv_status qv_end_quantize(int64_t *q, const qv_net *net, uint32_t port, float x, qv_err *err);

#endif
