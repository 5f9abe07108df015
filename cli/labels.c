#include "cli/labels.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/storage.h"

static bool ends_with(const char *s, const char *tail) {
  size_t n = strlen(s), k = strlen(tail);
  return n >= k && strcasecmp(s + n - k, tail) == 0;
}


bool cli_array_int(int64_t *v, const qv_array *a, size_t i) {
  switch (a->type) {
  case QV_EL_I8: *v = qv_fetch(a->data, QV_I8, i); return true;
  case QV_EL_U8: *v = qv_fetch(a->data, QV_U8, i); return true;
  case QV_EL_I16: *v = qv_fetch(a->data, QV_I16, i); return true;
  case QV_EL_U16: *v = qv_fetch(a->data, QV_U16, i); return true;
  case QV_EL_I32: *v = qv_fetch(a->data, QV_I32, i); return true;
  case QV_EL_U32: *v = qv_fetch(a->data, QV_I32, i) & 0xFFFFFFFF; return true;
  case QV_EL_I64:
  case QV_EL_U64: *v = qv_fetch(a->data, QV_I64, i); return true; /* above 2^63: negative */
  case QV_EL_F32:
  case QV_EL_F64: break;
  }
  return false;
}

/* Whole numbers separated by blanks, commas or line ends. */
static qv_status text_labels(int64_t *out, size_t n, const char *path, qv_err *err) {
  qv_buf b = {0};
  qv_status st = qv_file_read(&b, path, (size_t)1 << 30, err);
  if (st != QV_OK) return st;
  const char *p = (const char *)b.p;
  size_t k = 0;
  for (;;) {
    while (*p != 0 && strchr(" \t\r\n,", *p) != NULL) p++;
    size_t len = strspn(p, "0123456789");
    if (len == 0 || len > 9) break;
    if (k < n) out[k] = strtol(p, NULL, 10);
    k++;
    p += len;
  }
  if (p != (const char *)b.p + b.n) st = QV_FAIL(err, QV_E_PARSE, "label %zu is not a whole number", k + 1);
  else if (k != n) st = QV_FAIL(err, QV_E_PARSE, "%zu labels for %zu samples", k, n);
  qv_buf_free(&b);
  return st;
}

static qv_status array_labels(int64_t *out, size_t n, const char *path, qv_err *err) {
  qv_array a = {0};
  qv_status st = qv_array_read(&a, path, err);
  if (st != QV_OK) return st;
  if (a.count != n) st = QV_FAIL(err, QV_E_PARSE, "%zu labels for %zu samples", a.count, n);
  for (size_t i = 0; st == QV_OK && i < n; i++) if (!cli_array_int(&out[i], &a, i)) st = QV_FAIL(err, QV_E_PARSE, "labels are whole numbers, not floats");
  qv_array_free(&a);
  return st;
}

qv_status cli_labels_read(int64_t *out, size_t n, size_t classes, const char *path, qv_err *err) {
  static const char *const binary[] = {".npy", ".npz", ".idx", ".gz", "-ubyte"};
  bool array = false;
  for (size_t i = 0; i < sizeof binary / sizeof binary[0]; i++) array |= ends_with(path, binary[i]);
  qv_status st = array ? array_labels(out, n, path, err) : text_labels(out, n, path, err);
  for (size_t i = 0; st == QV_OK && i < n; i++)
    if (out[i] < 0 || (uint64_t)out[i] >= classes)
      st = QV_FAIL(err, QV_E_PARSE, "label %zu is %" PRId64 ", not one of the %zu classes", i + 1, out[i], classes);
  return st == QV_E_RANGE || st == QV_E_ARG ? QV_E_PARSE : st; /* a bad file, whatever the layer below calls it */
}
