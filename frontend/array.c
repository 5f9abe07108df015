/* Arrays: memory, shapes, and which reader a file gets. */
#include "frontend/array.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "frontend/array_util.h"

void qv_array_free(qv_array *a) {
  free(a->data);
  *a = (qv_array){0};
}

size_t qv_elem_bytes(qv_elem t) {
  switch (t) {
  case QV_EL_I8:
  case QV_EL_U8: return 1;
  case QV_EL_I16:
  case QV_EL_U16: return 2;
  case QV_EL_I32:
  case QV_EL_U32:
  case QV_EL_F32: return 4;
  case QV_EL_I64:
  case QV_EL_U64:
  case QV_EL_F64: return 8;
  }
  return 1;
}

const char *qv_elem_name(qv_elem t) {
  switch (t) {
  case QV_EL_I8: return "int8";
  case QV_EL_U8: return "uint8";
  case QV_EL_I16: return "int16";
  case QV_EL_U16: return "uint16";
  case QV_EL_I32: return "int32";
  case QV_EL_U32: return "uint32";
  case QV_EL_I64: return "int64";
  case QV_EL_U64: return "uint64";
  case QV_EL_F32: return "float32";
  case QV_EL_F64: return "float64";
  }
  return "?";
}

void qv_shape_text(char out[QV_SHAPE_TEXT], uint32_t rank, const size_t *dim) {
  size_t k = 0;
  out[k++] = '[';
  for (uint32_t d = 0; d < rank && d < QV_MAX_RANK; d++) /* 8 * (1 + 20 digits) + 3 < QV_SHAPE_TEXT */
    k += (size_t)snprintf(out + k, QV_SHAPE_TEXT - k, "%s%zu", d == 0 ? "" : ",", dim[d]);
  (void)snprintf(out + k, QV_SHAPE_TEXT - k, "]");
}

qv_status qv_array_make(qv_array *out, qv_elem type, uint32_t rank, const size_t *dim, size_t have, const char *what, qv_err *err) {
  char shape[QV_SHAPE_TEXT];
  size_t count = 1, bytes = 0;
  bool fits = true;
  for (uint32_t d = 0; d < rank; d++) fits = fits && qv_mulz(&count, count, dim[d]);
  fits = fits && qv_mulz(&bytes, count, qv_elem_bytes(type));
  qv_shape_text(shape, rank, dim);
  if (!fits || bytes > QV_ARRAY_MAX_BYTES)
    return QV_FAIL(err, QV_E_LIMIT, "%s: shape %s of %s is larger than the limit of %zu bytes", what, shape, qv_elem_name(type),
                   QV_ARRAY_MAX_BYTES);
  if (bytes != have)
    return QV_FAIL(err, QV_E_PARSE, "%s: shape %s of %s needs %zu bytes of elements, found %zu", what, shape, qv_elem_name(type),
                   bytes, have);
  void *data = malloc(bytes > 0 ? bytes : 1);
  if (data == NULL) return QV_FAIL(err, QV_E_NOMEM, "%s: out of memory (%zu bytes)", what, bytes);
  *out = (qv_array){.type = type, .rank = rank, .count = count, .data = data};
  for (uint32_t d = 0; d < rank; d++) out->dim[d] = dim[d];
  return QV_OK;
}

void qv_array_swap_bytes(qv_array *a) {
  size_t size = qv_elem_bytes(a->type);
  unsigned char *p = a->data;
  for (size_t e = 0; size > 1 && e < a->count; e++, p += size) {
    for (size_t i = 0; i < size / 2; i++) {
      unsigned char t = p[i];
      p[i] = p[size - 1 - i];
      p[size - 1 - i] = t;
    }
  }
}

static qv_status raw_parse(qv_array *out, const void *data, size_t n, const char *what, qv_err *err) {
  qv_status st = qv_array_make(out, QV_EL_U8, 1, &n, n, what, err);
  if (st != QV_OK) return st;
  if (n > 0) memcpy(out->data, data, n);
  out->raw = true;
  return QV_OK;
}

static bool is_npy(const void *data, size_t n) { return n >= 6 && memcmp(data, "\x93NUMPY", 6) == 0; }

static bool ends_with(const char *s, const char *suffix) {
  size_t a = strlen(s), b = strlen(suffix);
  return a >= b && strcasecmp(s + a - b, suffix) == 0;
}

/* The name says what the user believes the file to be, so it decides, and the reader insists on its own magic. Two
 * exceptions where the content is unmistakable: .npy and .npz are told apart by it (as numpy.load does), and a file of
 * another name that starts with the six magic bytes of .npy is not taken for raw bytes. */
static qv_status parse_named(qv_array *out, const void *data, size_t n, const char *path, const char *entry, qv_err *err) {
  if (entry != NULL) return qv_npz_parse(out, data, n, entry, path, err);
  if (is_npy(data, n) || ends_with(path, ".npy")) return qv_npy_parse(out, data, n, path, err);
  if (ends_with(path, ".npz")) return qv_npz_parse(out, data, n, NULL, path, err);
  if (ends_with(path, ".idx") || ends_with(path, ".gz") || ends_with(path, "-ubyte")) return qv_idx_parse(out, data, n, path, err);
  if (ends_with(path, ".pgm")) return qv_pgm_parse(out, data, n, path, err);
  if (ends_with(path, ".bmp")) return qv_bmp_parse(out, data, n, path, err);
  if (ends_with(path, ".csv")) return qv_csv_parse(out, data, n, path, err);
  return raw_parse(out, data, n, path, err);
}

qv_status qv_array_read(qv_array *out, const char *path, qv_err *err) {
  qv_status st;
  qv_buf file = {0};
  char *name = strdup(path);
  const char *entry = NULL;
  if (name == NULL) return QV_FAIL(err, QV_E_NOMEM, "%s: out of memory", path);
  for (char *p = name; (p = strcasestr(p, ".npz:")) != NULL; p += 4) { /* file.npz:entry, the last one wins */
    if (strcasestr(p + 4, ".npz:") != NULL) continue;
    p[4] = 0;
    entry = p + 5;
    break;
  }
  QV_TRY(qv_file_read(&file, name, QV_ARRAY_MAX_BYTES, err));
  QV_TRY(parse_named(out, file.p, file.n, name, entry, err));
done:
  qv_buf_free(&file);
  free(name);
  return st;
}
