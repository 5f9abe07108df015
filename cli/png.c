#include "cli/png.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void be32(unsigned char p[4], uint32_t v) {
  for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> (24 - 8 * i));
}

static void chunk(qv_buf *out, const char type[4], const unsigned char *data, uint32_t n) {
  unsigned char word[4];
  be32(word, n);
  qv_buf_put(out, word, 4);
  qv_buf_put(out, type, 4);
  qv_buf_put(out, data, n);
  uLong crc = crc32(crc32(0, Z_NULL, 0), (const unsigned char *)type, 4);
  if (n > 0) crc = crc32(crc, data, n);
  be32(word, (uint32_t)crc);
  qv_buf_put(out, word, 4);
}

void cli_png(qv_buf *out, const unsigned char *pixel, uint32_t w, uint32_t h, uint32_t channels) {
  static const unsigned char magic[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  unsigned char head[13] = {0};
  size_t row = (size_t)w * channels, n = (row + 1) * h; /* each row starts with its filter: 0 */
  uLongf packed = compressBound(n);
  unsigned char *raw = calloc(n, 1), *z = malloc(packed);
  if (raw != NULL && z != NULL)
    for (uint32_t y = 0; y < h; y++) memcpy(raw + (row + 1) * y + 1, pixel + row * y, row);
  if (raw == NULL || z == NULL || compress2(z, &packed, raw, n, 9) != Z_OK || packed > INT32_MAX) out->failed = true;
  else {
    be32(head, w);
    be32(head + 4, h);
    head[8] = 8;                      /* bits */
    head[9] = channels == 3 ? 2 : 0;  /* colour type */
    qv_buf_put(out, magic, sizeof magic);
    chunk(out, "IHDR", head, sizeof head);
    chunk(out, "IDAT", z, (uint32_t)packed);
    chunk(out, "IEND", head, 0);
  }
  free(raw);
  free(z);
}
