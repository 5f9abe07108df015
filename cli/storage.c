#include "cli/storage.h"

#include <string.h>

void qv_store(void *out, qv_dtype type, const int64_t *v, size_t n) {
  size_t k = qv_dtype_bytes(type);
  unsigned char *p = out;
  for (size_t i = 0; i < n; i++) memcpy(p + i * k, &v[i], k); /* little-endian: the low bytes come first */
}

int64_t qv_fetch(const void *data, qv_dtype type, size_t i) {
  const unsigned char *p = (const unsigned char *)data + i * qv_dtype_bytes(type);
  uint16_t h;
  uint32_t w;
  int64_t d;
  switch (type) {
  case QV_I8: return (int8_t)*p;
  case QV_U8: return *p;
  case QV_I16: memcpy(&h, p, sizeof h); return (int16_t)h;
  case QV_U16: memcpy(&h, p, sizeof h); return h;
  case QV_I32: memcpy(&w, p, sizeof w); return (int32_t)w;
  case QV_I64: memcpy(&d, p, sizeof d); return d;
  case QV_DTYPES: break;
  }
  return 0;
}

qv_elem qv_storage_elem(qv_dtype type) {
  switch (type) {
  case QV_I8: return QV_EL_I8;
  case QV_U8: return QV_EL_U8;
  case QV_I16: return QV_EL_I16;
  case QV_U16: return QV_EL_U16;
  case QV_I32: return QV_EL_I32;
  case QV_I64:
  case QV_DTYPES: break;
  }
  return QV_EL_I64;
}
