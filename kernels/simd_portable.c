/* The portable kernels: plain C, and the yardstick for the others. */
#include <math.h>
#include <string.h>

#include "kernels/exec_int.h"

static inline void tile16(int32_t *c, const uint8_t *const *a, size_t rows, const uint32_t *koff, size_t nk, const uint8_t *w,
                          size_t stride, size_t panels, const int32_t *init, const size_t step) {
  for (size_t p = 0; p < panels; p++, w += stride)
    for (size_t r = 0; r < rows; r++) {
      uint32_t acc[QV_PANEL]; /* unsigned: modulo 2^32 */
      memcpy(acc, init + p * QV_PANEL, sizeof acc);
      for (size_t k = 0; k < nk; k++) {
        const uint8_t *x = a[r] + koff[k] + p * QV_PANEL * step;
        int16_t xs[2 * QV_PANEL], ws[2 * QV_PANEL];
        memcpy(xs, x, step == 0 ? 4 : sizeof xs);
        memcpy(ws, w + k * 64, sizeof ws);
        for (size_t i = 0; i < QV_PANEL; i++) {
          size_t j = step == 0 ? 0 : 2 * i;
          acc[i] += (uint32_t)(xs[j] * ws[2 * i]) + (uint32_t)(xs[j + 1] * ws[2 * i + 1]);
        }
      }
      memcpy(c + r * QV_TILE_COLS + p * QV_PANEL, acc, sizeof acc);
    }
}

static void gemm16(int32_t *c, const uint8_t *const *a, size_t rows, const uint32_t *koff, size_t nk, const uint8_t *w, size_t stride,
                   size_t panels, const int32_t *init) {
  tile16(c, a, rows, koff, nk, w, stride, panels, init, 0);
}

static void dw16(int32_t *c, const uint8_t *const *a, size_t rows, const uint32_t *koff, size_t nk, const uint8_t *w, size_t stride,
                 size_t panels, const int32_t *init) {
  tile16(c, a, rows, koff, nk, w, stride, panels, init, 4);
}

/* A lane, as a signed number, added modulo 2^32. */
static inline uint32_t add_lane(uint32_t sum, uint16_t lane) {
  int32_t v = (int16_t)lane;
  return sum + (uint32_t)v;
}

static inline void tile_narrow(int32_t *c, const uint8_t *const *a, size_t rows, const uint32_t *koff, const uint8_t *w, size_t stride, size_t panels,
                               const int32_t *init, size_t n, const size_t *end, const int16_t *fix, const size_t step) {
  for (size_t p = 0; p < panels; p++, w += stride)
    for (size_t r = 0; r < rows; r++) {
      uint32_t sum[QV_PANEL];
      memcpy(sum, init + p * QV_PANEL, sizeof sum);
      for (size_t i = 0, k = 0; i < n; i++) {
        uint16_t lane[2 * QV_PANEL] = {0}; /* modulo 2^16 */
        for (; k < end[i]; k++) {
          const uint8_t *x = a[r] + koff[k] + p * QV_PANEL * step;
          const int8_t *v = (const int8_t *)w + k * 64;
          for (size_t j = 0; j < 2 * QV_PANEL; j++) {
            size_t at = step == 0 ? 2 * (j % 2) : 2 * j;
            lane[j] = (uint16_t)(lane[j] + x[at] * v[2 * j] + x[at + 1] * v[2 * j + 1]);
          }
        }
        const int16_t *f = fix + (p * n + i) * 2 * QV_PANEL;
        for (size_t j = 0; j < 2 * QV_PANEL; j++) sum[j / 2] = add_lane(sum[j / 2], (uint16_t)(lane[j] - (uint16_t)f[j]));
      }
      memcpy(c + r * QV_TILE_COLS + p * QV_PANEL, sum, sizeof sum);
    }
}

static void gemm_narrow(int32_t *c, const uint8_t *const *a, size_t rows, const uint32_t *koff, const uint8_t *w, size_t stride, size_t panels,
                        const int32_t *init, size_t n, const size_t *end, const int16_t *fix) {
  tile_narrow(c, a, rows, koff, w, stride, panels, init, n, end, fix, 0);
}

static void dw_narrow(int32_t *c, const uint8_t *const *a, size_t rows, const uint32_t *koff, const uint8_t *w, size_t stride, size_t panels,
                      const int32_t *init, size_t n, const size_t *end, const int16_t *fix) {
  tile_narrow(c, a, rows, koff, w, stride, panels, init, n, end, fix, 4);
}

static void weave8(uint8_t *dst, const uint8_t *const row[4], size_t n) {
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < 4; j++) dst[4 * i + j] = row[j][i];
}

static void weave16(int16_t *dst, const int16_t *const row[2], size_t n) {
  for (size_t i = 0; i < n; i++) {
    dst[2 * i] = row[0][i];
    dst[2 * i + 1] = row[1][i];
  }
}

static int32_t rq_fixed(const qv_vstep *v, size_t l, int32_t x) {
  int64_t p = (int64_t)qv_low32((int64_t)x * ((int64_t)1 << v->shl[l])) * v->m[l] + (l % 2 == 0 ? v->re : v->ro)[l / 2];
  int64_t h = (int64_t)qv_floor_shift(p, 32);
  if (v->away) h = h + v->half[l] - (h < 0 && v->sgn[l] == 31);
  return (int32_t)qv_floor_shift(h, v->e[l]);
}

static int32_t rq_float(const qv_vstep *v, size_t l, int32_t x) {
  return (int32_t)lrintf((float)qv_low32((int64_t)x * ((int64_t)1 << v->shl[l])) * v->M[l]);
}

static int32_t rq_div(const qv_vstep *v, size_t l, int32_t x) {
  double t = (double)qv_low32((int64_t)x * ((int64_t)1 << v->shl[l]));
  return qv_low32((int64_t)((t + copysign(v->d[l] * 0.5, t)) / v->d[l]));
}

static void rq(int32_t *c, size_t rows, size_t ld, size_t panels, const qv_vstep *v, size_t lane0) {
  for (size_t r = 0; r < rows; r++, c += ld)
    for (size_t j = 0; j < panels * QV_PANEL; j++) switch (v->form) {
      case QV_VF_FIXED: c[j] = rq_fixed(v, lane0 + j, c[j]); break;
      case QV_VF_FLOAT: c[j] = rq_float(v, lane0 + j, c[j]); break;
      case QV_VF_DIV: c[j] = rq_div(v, lane0 + j, c[j]); break;
      case QV_VF_NONE: break;
      }
}

static void narrow8(uint8_t *dst, size_t ldd, const int32_t *src, size_t lds, size_t rows, size_t n, int32_t zp, int32_t lo, int32_t hi) {
  for (size_t r = 0; r < rows; r++)
    for (size_t j = 0; j < n; j++) dst[r * ldd + j] = (uint8_t)qv_clamp64((int64_t)src[r * lds + j] + zp, lo, hi);
}

static void widen8(int32_t *dst, const uint8_t *src, size_t n, int32_t off) {
  for (size_t i = 0; i < n; i++) dst[i] = qv_low32((int64_t)src[i] - off);
}

static void widen16(int32_t *dst, const int16_t *src, size_t n, int32_t off) {
  for (size_t i = 0; i < n; i++) dst[i] = qv_low32((int64_t)src[i] - off);
}

static void byte_to_16(int16_t *dst, const uint8_t *src, size_t n, int32_t off) {
  for (size_t i = 0; i < n; i++) dst[i] = (int16_t)(src[i] - off);
}

static void shape32(int32_t *t, size_t n, int32_t zp, int32_t lo, int32_t hi, int32_t z, int32_t c) {
  for (size_t i = 0; i < n; i++) t[i] = qv_low32((qv_clamp64((int64_t)t[i] + zp, lo, hi) - z) * c);
}

static void join32(int32_t *acc, const int32_t *t, size_t n, bool product) {
  for (size_t i = 0; i < n; i++) acc[i] = qv_low32(product ? (int64_t)acc[i] * t[i] : (int64_t)acc[i] + t[i]);
}

static void max8(uint8_t *dst, const uint8_t *src, size_t n) {
  for (size_t i = 0; i < n; i++) dst[i] = dst[i] > src[i] ? dst[i] : src[i];
}

const qv_simd qv_simd_portable = {.gemm16 = gemm16,
                                  .dw16 = dw16,
                                  .weave16 = weave16,
                                  .gemm_narrow = gemm_narrow,
                                  .dw_narrow = dw_narrow,
                                  .weave8 = weave8,
                                  .rq = rq,
                                  .narrow8 = narrow8,
                                  .widen8 = widen8,
                                  .widen16 = widen16,
                                  .byte_to_16 = byte_to_16,
                                  .shape32 = shape32,
                                  .join32 = join32,
                                  .max8 = max8};
