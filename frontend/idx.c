/* IDX, the format of the MNIST files (http://yann.lecun.com/exdb/mnist/, "THE IDX FILE FORMAT"): bytes 0, 0, type, rank,
 * then `rank` big-endian 32-bit dimensions, then big-endian elements, last dimension fastest. Plain or one gzip member
 * (RFC 1952). */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "frontend/array.h"
#include "frontend/array_util.h"

static qv_status plain_parse(qv_array *out, const unsigned char *p, size_t n, const char *what, qv_err *err) {
  static const struct { unsigned char code; qv_elem type; } types[] = {{0x08, QV_EL_U8},  {0x09, QV_EL_I8},  {0x0B, QV_EL_I16},
                                                                       {0x0C, QV_EL_I32}, {0x0D, QV_EL_F32}, {0x0E, QV_EL_F64}};
  size_t dim[QV_MAX_RANK], t = 0, head;
  if (n < 4 || p[0] != 0 || p[1] != 0) return QV_FAIL(err, QV_E_PARSE, "%s: not an IDX file: it does not start with two zero bytes", what);
  while (t < sizeof types / sizeof *types && types[t].code != p[2]) t++;
  if (t == sizeof types / sizeof *types)
    return QV_FAIL(err, QV_E_PARSE, "%s: IDX element type 0x%02x; expected 0x08, 0x09, 0x0b, 0x0c, 0x0d or 0x0e", what, p[2]);
  if (p[3] < 1 || p[3] > QV_MAX_RANK) return QV_FAIL(err, QV_E_UNSUP, "%s: IDX array of %u dimensions; expected 1..%d", what, p[3], QV_MAX_RANK);
  head = 4 + 4 * (size_t)p[3];
  if (n < head) return QV_FAIL(err, QV_E_PARSE, "%s: truncated IDX header: %zu of %zu bytes", what, n, head);
  for (size_t d = 0; d < p[3]; d++) dim[d] = qv_be32(p + 4 + 4 * d);
  qv_status st = qv_array_make(out, types[t].type, p[3], dim, n - head, what, err);
  if (st != QV_OK) return st;
  if (n > head) memcpy(out->data, p + head, n - head);
  qv_array_swap_bytes(out);
  out->pixels = out->type == QV_EL_U8;
  return QV_OK;
}

/* Unpack one gzip member into *out (malloc). The buffer grows with what really comes out. */
static qv_status gunzip(qv_buf *out, const unsigned char *p, size_t n, const char *what, qv_err *err) {
  unsigned char chunk[16384];
  z_stream z = {0};
  int r = inflateInit2(&z, 15 + 16); /* + 16: gzip wrapper, checksum tested */
  if (r != Z_OK) return QV_FAIL(err, QV_E_NOMEM, "%s: out of memory", what);
  qv_status st = QV_OK;
  size_t used = 0; /* bytes handed to z; avail_in is only 32 bits wide */
  z.next_in = (z_const Bytef *)(uintptr_t)p; /* zlib does not write here; z_const is empty unless ZLIB_CONST */
  while (r != Z_STREAM_END && st == QV_OK) {
    if (z.avail_in == 0 && used < n) {
      z.avail_in = n - used > (1u << 30) ? 1u << 30 : (uInt)(n - used);
      used += z.avail_in;
    }
    z.next_out = chunk;
    z.avail_out = sizeof chunk;
    r = inflate(&z, Z_NO_FLUSH);
    if (r == Z_MEM_ERROR) st = QV_FAIL(err, QV_E_NOMEM, "%s: out of memory", what);
    else if (r == Z_BUF_ERROR) st = QV_FAIL(err, QV_E_PARSE, "%s: truncated gzip file", what);
    else if (r != Z_OK && r != Z_STREAM_END) st = QV_FAIL(err, QV_E_PARSE, "%s: malformed gzip file: %s", what, z.msg != NULL ? z.msg : "preset dictionary");
    else if (out->n + (sizeof chunk - z.avail_out) > QV_ARRAY_MAX_BYTES)
      st = QV_FAIL(err, QV_E_LIMIT, "%s: unpacks to more than the limit of %zu bytes", what, QV_ARRAY_MAX_BYTES);
    else qv_buf_put(out, chunk, sizeof chunk - z.avail_out);
    if (out->failed && st == QV_OK) st = QV_FAIL(err, QV_E_NOMEM, "%s: out of memory", what);
  }
  if (st == QV_OK && (z.avail_in > 0 || used < n)) st = QV_FAIL(err, QV_E_PARSE, "%s: bytes after the end of the gzip data", what);
  (void)inflateEnd(&z);
  return st;
}

qv_status qv_idx_parse(qv_array *out, const void *data, size_t n, const char *what, qv_err *err) {
  const unsigned char *p = data;
  if (n < 2 || p[0] != 0x1f || p[1] != 0x8b) return plain_parse(out, p, n, what, err);
  qv_buf plain = {0};
  qv_status st = gunzip(&plain, p, n, what, err);
  if (st == QV_OK) st = plain_parse(out, plain.p, plain.n, what, err);
  qv_buf_free(&plain);
  return st;
}
