/* 8-bit images: PGM (http://netpbm.sourceforge.net/doc/pgm.html) and uncompressed BMP (BITMAPFILEHEADER, BITMAPINFOHEADER
 * and its longer versions). */
#include <string.h>

#include "frontend/array.h"
#include "frontend/array_util.h"

/* ---- PGM ------------------------------------------------------------------------------------------------------------- */

static bool pgm_space(unsigned char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Next decimal number of the header, white space and comments before it; false if there is none or it is absurd. */
static bool pgm_number(uint32_t *out, const unsigned char *p, size_t n, size_t *at) {
  size_t i = *at;
  uint32_t v = 0;
  while (i < n && (pgm_space(p[i]) || p[i] == '#')) {
    if (p[i] == '#')
      while (i < n && p[i] != '\n' && p[i] != '\r') i++;
    else i++;
  }
  if (i == n || i == *at || p[i] < '0' || p[i] > '9') return false;
  for (; i < n && p[i] >= '0' && p[i] <= '9'; i++) {
    if (v >= 100000000) return false;
    v = v * 10 + (uint32_t)(p[i] - '0');
  }
  *out = v;
  *at = i;
  return true;
}

qv_status qv_pgm_parse(qv_array *out, const void *data, size_t n, const char *what, qv_err *err) {
  const unsigned char *p = data;
  size_t at = 2;
  uint32_t width, height, maxval;
  if (n >= 2 && p[0] == 'P' && p[1] >= '1' && p[1] <= '7' && p[1] != '5')
    return QV_FAIL(err, QV_E_UNSUP, "%s: netpbm format P%c; expected P5 (binary PGM)", what, p[1]);
  if (n < 2 || p[0] != 'P' || p[1] != '5') return QV_FAIL(err, QV_E_PARSE, "%s: not a PGM file: it does not start with P5", what);
  if (!pgm_number(&width, p, n, &at) || !pgm_number(&height, p, n, &at) || !pgm_number(&maxval, p, n, &at))
    return QV_FAIL(err, QV_E_PARSE, "%s: PGM header: expected width, height and maximum as numbers below 10^9", what);
  if (width == 0 || height == 0) return QV_FAIL(err, QV_E_PARSE, "%s: PGM image of %u x %u pixels", what, width, height);
  if (maxval != 255) return QV_FAIL(err, QV_E_UNSUP, "%s: PGM maximum %u; expected 255", what, maxval);
  if (at == n || !pgm_space(p[at])) return QV_FAIL(err, QV_E_PARSE, "%s: PGM header: expected one white space after the maximum", what);
  at++;
  qv_status st = qv_array_make(out, QV_EL_U8, 2, (const size_t[]){height, width}, n - at, what, err);
  if (st != QV_OK) return st;
  memcpy(out->data, p + at, n - at);
  out->pixels = true;
  return QV_OK;
}

/* ---- BMP ------------------------------------------------------------------------------------------------------------- */

typedef struct {
  size_t width, height, stride; /* stride: bytes of a stored row, a multiple of 4       */
  bool top_down;
  uint32_t bits;                /* 8 or 24 per pixel                                     */
  size_t body;                  /* offset of the first stored row                        */
  size_t palette, n_palette;    /* offset and number of the blue, green, red, 0 entries  */
} bmp;

static qv_status bmp_size(bmp *b, const unsigned char *p, size_t n, const char *what, qv_err *err) {
  int64_t w = (int32_t)qv_le32(p + 18), h = (int32_t)qv_le32(p + 22);
  size_t end;
  if (w <= 0 || h == 0) return QV_FAIL(err, QV_E_PARSE, "%s: BMP image of %lld x %lld pixels", what, (long long)w, (long long)h);
  b->top_down = h < 0;
  b->width = (size_t)w;
  b->height = (size_t)(h < 0 ? -h : h);
  b->stride = (b->width * b->bits + 31) / 32 * 4; /* < 2^31 * 24 */
  b->body = qv_le32(p + 10);
  if (!qv_mulz(&end, b->stride, b->height) || !qv_addz(&end, end, b->body) || end != n)
    return QV_FAIL(err, QV_E_PARSE, "%s: BMP image of %zu x %zu pixels of %u bits from byte %zu on does not end where the file does, at %zu",
                   what, b->width, b->height, b->bits, b->body, n);
  return QV_OK;
}

static qv_status bmp_head(bmp *b, const unsigned char *p, size_t n, const char *what, qv_err *err) {
  if (n < 2 || p[0] != 'B' || p[1] != 'M') return QV_FAIL(err, QV_E_PARSE, "%s: not a BMP file: it does not start with BM", what);
  if (n < 18) return QV_FAIL(err, QV_E_PARSE, "%s: truncated BMP header: %zu bytes", what, n);
  if (qv_le32(p + 2) != n) return QV_FAIL(err, QV_E_PARSE, "%s: BMP header says %u bytes, the file has %zu", what, qv_le32(p + 2), n);
  size_t info = qv_le32(p + 14);
  if (info != 40 && info != 52 && info != 56 && info != 108 && info != 124)
    return QV_FAIL(err, QV_E_UNSUP, "%s: BMP information header of %zu bytes; expected 40, 52, 56, 108 or 124", what, info);
  if (n < 14 + info) return QV_FAIL(err, QV_E_PARSE, "%s: truncated BMP header: %zu bytes", what, n);
  if (qv_le16(p + 26) != 1) return QV_FAIL(err, QV_E_PARSE, "%s: BMP image of %u planes; expected 1", what, qv_le16(p + 26));
  b->bits = qv_le16(p + 28);
  if (b->bits != 8 && b->bits != 24) return QV_FAIL(err, QV_E_UNSUP, "%s: BMP image of %u bits per pixel; expected 8 or 24", what, b->bits);
  if (qv_le32(p + 30) != 0) return QV_FAIL(err, QV_E_UNSUP, "%s: BMP compression %u; expected 0", what, qv_le32(p + 30));
  uint32_t colours = qv_le32(p + 46);
  b->palette = 14 + info;
  b->n_palette = colours == 0 && b->bits == 8 ? 256 : colours;
  if (b->n_palette > 256) return QV_FAIL(err, QV_E_PARSE, "%s: BMP palette of %u colours", what, colours);
  if (qv_le32(p + 10) > n || b->palette + 4 * b->n_palette > qv_le32(p + 10))
    return QV_FAIL(err, QV_E_PARSE, "%s: BMP pixels start at byte %u, inside the headers or after the end", what, qv_le32(p + 10));
  return bmp_size(b, p, n, what, err);
}

static qv_status bmp_grey(unsigned char grey[256], const bmp *b, const unsigned char *p, const char *what, qv_err *err) {
  for (size_t i = 0; i < b->n_palette; i++) {
    const unsigned char *c = p + b->palette + 4 * i;
    if (c[0] != c[1] || c[1] != c[2])
      return QV_FAIL(err, QV_E_UNSUP, "%s: BMP palette colour %zu is not grey (red %u, green %u, blue %u); save the image as 24-bit BMP", what,
                     i, c[2], c[1], c[0]);
    grey[i] = c[0];
  }
  return QV_OK;
}

static qv_status bmp_pixels(qv_array *out, const bmp *b, const unsigned char *p, const char *what, qv_err *err) {
  unsigned char grey[256];
  qv_status st = b->bits == 8 ? bmp_grey(grey, b, p, what, err) : QV_OK;
  if (st != QV_OK) return st;
  unsigned char *dst = out->data;
  for (size_t y = 0; y < b->height; y++) {
    const unsigned char *row = p + b->body + (b->top_down ? y : b->height - 1 - y) * b->stride;
    for (size_t x = 0; x < b->width; x++) {
      if (b->bits == 24) { /* stored as blue, green, red */
        for (size_t c = 0; c < 3; c++) *dst++ = row[3 * x + 2 - c];
        continue;
      }
      if (row[x] >= b->n_palette)
        return QV_FAIL(err, QV_E_PARSE, "%s: BMP pixel %zu,%zu has colour %u of a palette of %zu", what, x, y, row[x], b->n_palette);
      *dst++ = grey[row[x]];
    }
  }
  out->pixels = true;
  return QV_OK;
}

qv_status qv_bmp_parse(qv_array *out, const void *data, size_t n, const char *what, qv_err *err) {
  const unsigned char *p = data;
  bmp b = {0};
  qv_status st;
  QV_TRY(bmp_head(&b, p, n, what, err));
  size_t channels = b.bits / 8;
  QV_TRY(qv_array_make(out, QV_EL_U8, channels == 1 ? 2 : 3, (const size_t[]){b.height, b.width, channels}, b.height * b.width * channels,
                       what, err));
  QV_TRY(bmp_pixels(out, &b, p, what, err));
done:
  if (st != QV_OK) qv_array_free(out);
  return st;
}
