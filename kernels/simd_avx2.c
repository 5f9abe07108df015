/* AVX2. Compiled on every x86-64 by function attributes; called after a cpuid test only. Bytes are widened to int16, because
 * vpmaddubsw saturates; vpmaddwd wraps in one case only (four times -32768), which is exact modulo 2^32. */
#include "kernels/exec_int.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define T2 __attribute__((target("avx2")))
#define INLINE static inline __attribute__((always_inline)) T2
#define MAX_MR 4

INLINE __m256i ld(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE void st(void *p, __m256i v) { _mm256_storeu_si256((__m256i *)p, v); }

/* ---- tiles ------------------------------------------------------------------------------------------------------------ */

/* MR rows by one panel (two vectors) in registers; mr and dw are compile-time constants. */
INLINE void micro(int32_t *c, const uint8_t *const *a, const uint32_t *koff, size_t nk, const uint8_t *w, const int32_t *init, const int mr,
                  const bool dw, size_t xoff) {
  __m256i acc[MAX_MR][2];
#pragma GCC unroll 4
  for (int r = 0; r < mr; r++) {
    acc[r][0] = ld(init);
    acc[r][1] = ld(init + 8);
  }
  for (size_t k = 0; k < nk; k++) {
    __m256i w0 = ld(w + 64 * k), w1 = ld(w + 64 * k + 32);
    size_t off = koff[k] + xoff;
#pragma GCC unroll 4
    for (int r = 0; r < mr; r++) {
      int32_t g;
      memcpy(&g, a[r] + off, sizeof g);
      __m256i x0 = dw ? ld(a[r] + off) : _mm256_set1_epi32(g), x1 = dw ? ld(a[r] + off + 32) : x0;
      acc[r][0] = _mm256_add_epi32(acc[r][0], _mm256_madd_epi16(x0, w0));
      acc[r][1] = _mm256_add_epi32(acc[r][1], _mm256_madd_epi16(x1, w1));
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < mr; r++) {
    st(c + r * QV_TILE_COLS, acc[r][0]);
    st(c + r * QV_TILE_COLS + 8, acc[r][1]);
  }
}

INLINE void tile(int32_t *c, const uint8_t *const *a, size_t rows, const uint32_t *koff, size_t nk, const uint8_t *w, size_t stride,
                 size_t panels, const int32_t *init, const bool dw) {
  for (size_t p = 0; p < panels; p++, c += QV_PANEL, w += stride, init += QV_PANEL) {
    size_t xoff = dw ? p * QV_PANEL * 4 : 0;
    if (rows == 1) micro(c, a, koff, nk, w, init, 1, dw, xoff);
    else
      for (size_t r = 0; r < rows; r += 4) micro(c + r * QV_TILE_COLS, a + r, koff, nk, w, init, 4, dw, xoff);
  }
}

static T2 void gemm16(int32_t *c, const uint8_t *const *a, size_t rows, const uint32_t *koff, size_t nk, const uint8_t *w, size_t stride,
                      size_t panels, const int32_t *init) {
  tile(c, a, rows, koff, nk, w, stride, panels, init, false);
}

static T2 void dw16(int32_t *c, const uint8_t *const *a, size_t rows, const uint32_t *koff, size_t nk, const uint8_t *w, size_t stride,
                    size_t panels, const int32_t *init) {
  tile(c, a, rows, koff, nk, w, stride, panels, init, true);
}

/* Sums in 16 bits: MR rows by one panel. c collects the windows. */
INLINE void micro_narrow(int32_t *c, const uint8_t *const *a, const uint32_t *koff, const uint8_t *w, const int32_t *init, size_t n, const size_t *end,
                         const int16_t *fix, const int mr, const bool dw, size_t xoff) {
  const __m256i one = _mm256_set1_epi16(1);
  for (size_t i = 0, k = 0; i < n; i++, fix += 2 * QV_PANEL) {
    __m256i acc[MAX_MR][2];
#pragma GCC unroll 4
    for (int r = 0; r < mr; r++) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
    for (size_t last = end[i]; k < last; k++) {
      __m256i w0 = ld(w + 64 * k), w1 = ld(w + 64 * k + 32);
      size_t off = koff[k] + xoff;
#pragma GCC unroll 4
      for (int r = 0; r < mr; r++) {
        int32_t g;
        memcpy(&g, a[r] + off, sizeof g);
        __m256i x0 = dw ? ld(a[r] + off) : _mm256_set1_epi32(g), x1 = dw ? ld(a[r] + off + 32) : x0;
        acc[r][0] = _mm256_add_epi16(acc[r][0], _mm256_maddubs_epi16(x0, w0));
        acc[r][1] = _mm256_add_epi16(acc[r][1], _mm256_maddubs_epi16(x1, w1));
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < mr; r++)
      for (int h = 0; h < 2; h++) { /* vpmaddwd by 1 adds the two lanes of a channel */
        int32_t *to = c + r * QV_TILE_COLS + 8 * h;
        __m256i s = _mm256_madd_epi16(_mm256_sub_epi16(acc[r][h], ld(fix + 16 * h)), one);
        st(to, _mm256_add_epi32(s, i == 0 ? ld(init + 8 * h) : ld(to)));
      }
  }
}

INLINE void tile_narrow(int32_t *c, const uint8_t *const *a, size_t rows, const uint32_t *koff, const uint8_t *w, size_t stride, size_t panels,
                        const int32_t *init, size_t n, const size_t *end, const int16_t *fix, const bool dw) {
  for (size_t p = 0; p < panels; p++, c += QV_PANEL, w += stride, init += QV_PANEL, fix += 2 * QV_PANEL * n) {
    size_t xoff = dw ? p * QV_PANEL * 4 : 0;
    if (rows == 1) micro_narrow(c, a, koff, w, init, n, end, fix, 1, dw, xoff);
    else
      for (size_t r = 0; r < rows; r += 4) micro_narrow(c + r * QV_TILE_COLS, a + r, koff, w, init, n, end, fix, 4, dw, xoff);
  }
}

static T2 void gemm_narrow(int32_t *c, const uint8_t *const *a, size_t rows, const uint32_t *koff, const uint8_t *w, size_t stride, size_t panels,
                           const int32_t *init, size_t n, const size_t *end, const int16_t *fix) {
  tile_narrow(c, a, rows, koff, w, stride, panels, init, n, end, fix, false);
}

static T2 void dw_narrow(int32_t *c, const uint8_t *const *a, size_t rows, const uint32_t *koff, const uint8_t *w, size_t stride, size_t panels,
                         const int32_t *init, size_t n, const size_t *end, const int16_t *fix) {
  tile_narrow(c, a, rows, koff, w, stride, panels, init, n, end, fix, true);
}

static T2 void weave8(uint8_t *dst, const uint8_t *const row[4], size_t n) {
  for (size_t i = 0; i < n; i += 16, dst += 64) {
    __m128i r[4], *d = (__m128i *)(void *)dst;
    for (int j = 0; j < 4; j++) r[j] = _mm_loadu_si128((const __m128i *)(const void *)(row[j] + i));
    __m128i a = _mm_unpacklo_epi8(r[0], r[1]), b = _mm_unpacklo_epi8(r[2], r[3]);
    _mm_storeu_si128(d, _mm_unpacklo_epi16(a, b));
    _mm_storeu_si128(d + 1, _mm_unpackhi_epi16(a, b));
    a = _mm_unpackhi_epi8(r[0], r[1]);
    b = _mm_unpackhi_epi8(r[2], r[3]);
    _mm_storeu_si128(d + 2, _mm_unpacklo_epi16(a, b));
    _mm_storeu_si128(d + 3, _mm_unpackhi_epi16(a, b));
  }
}

static T2 void weave16(int16_t *dst, const int16_t *const row[2], size_t n) {
  for (size_t i = 0; i < n; i += 16, dst += 32) {
    __m256i a = _mm256_permute4x64_epi64(ld(row[0] + i), 0xD8), b = _mm256_permute4x64_epi64(ld(row[1] + i), 0xD8);
    st(dst, _mm256_unpacklo_epi16(a, b));
    st(dst + 16, _mm256_unpackhi_epi16(a, b));
  }
}

/* ---- requantization --------------------------------------------------------------------------------------------------- */

INLINE void rq_fixed(int32_t *c, size_t rows, size_t ld_, const qv_vstep *v, size_t l, const bool away) {
  const __m256i shl = ld(v->shl + l), m = ld(v->m + l), mo = ld(v->m + l + 1), half = ld(v->half + l), e = ld(v->e + l);
  const __m256i sgn = ld(v->sgn + l), re = ld(v->re + l / 2), ro = ld(v->ro + l / 2);
  for (size_t r = 0; r < rows; r++, c += ld_) {
    __m256i a = _mm256_sllv_epi32(ld(c), shl);
    __m256i pe = _mm256_add_epi64(_mm256_mul_epi32(a, m), re);
    __m256i po = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(a, 32), mo), ro);
    __m256i h = _mm256_blend_epi32(_mm256_srli_epi64(pe, 32), po, 0xAA); /* high halves of both */
    if (away) h = _mm256_sub_epi32(_mm256_add_epi32(h, half), _mm256_srlv_epi32(h, sgn));
    st(c, _mm256_srav_epi32(h, e));
  }
}

static T2 void rq_near(int32_t *c, size_t rows, size_t ld_, const qv_vstep *v, size_t l) { rq_fixed(c, rows, ld_, v, l, false); }
static T2 void rq_away(int32_t *c, size_t rows, size_t ld_, const qv_vstep *v, size_t l) { rq_fixed(c, rows, ld_, v, l, true); }

static T2 void rq_float(int32_t *c, size_t rows, size_t ld_, const qv_vstep *v, size_t l) {
  const __m256i shl = ld(v->shl + l);
  const __m256 M = _mm256_loadu_ps(v->M + l);
  for (size_t r = 0; r < rows; r++, c += ld_) {
    __m256 x = _mm256_cvtepi32_ps(_mm256_sllv_epi32(ld(c), shl));
    st(c, _mm256_cvtps_epi32(_mm256_mul_ps(x, M)));
  }
}

/* trunc((v + sign(v) * d/2) / d) of 4 lanes */
INLINE __m128i div4(__m128i v, const double *dp) {
  const __m256d d = _mm256_loadu_pd(dp), sign = _mm256_set1_pd(-0.0);
  __m256d x = _mm256_cvtepi32_pd(v), h = _mm256_mul_pd(d, _mm256_set1_pd(0.5));
  x = _mm256_add_pd(x, _mm256_or_pd(_mm256_and_pd(x, sign), h));
  return _mm256_cvttpd_epi32(_mm256_div_pd(x, d));
}

static T2 void rq_div(int32_t *c, size_t rows, size_t ld_, const qv_vstep *v, size_t l) {
  const __m256i shl = ld(v->shl + l);
  for (size_t r = 0; r < rows; r++, c += ld_) {
    __m256i a = _mm256_sllv_epi32(ld(c), shl);
    __m128i lo = div4(_mm256_castsi256_si128(a), v->d + l), hi = div4(_mm256_extracti128_si256(a, 1), v->d + l + 4);
    st(c, _mm256_inserti128_si256(_mm256_castsi128_si256(lo), hi, 1));
  }
}

static void rq(int32_t *c, size_t rows, size_t ld_, size_t panels, const qv_vstep *v, size_t lane0) {
  for (size_t p = 0; p < 2 * panels; p++, c += 8, lane0 += 8) switch (v->form) {
    case QV_VF_FIXED: (v->away ? rq_away : rq_near)(c, rows, ld_, v, lane0); break;
    case QV_VF_FLOAT: rq_float(c, rows, ld_, v, lane0); break;
    case QV_VF_DIV: rq_div(c, rows, ld_, v, lane0); break;
    case QV_VF_NONE: break;
    }
}

/* ---- narrow, widen, elementwise --------------------------------------------------------------------------------------- */

/* 32 bytes from four vectors: saturation at 16 bits changes nothing, because |zp| <= 32000 and the result is a byte. */
INLINE __m256i pack4(const int32_t *s, __m256i zp, __m256i lo, __m256i hi) {
  __m256i a = _mm256_adds_epi16(_mm256_packs_epi32(ld(s), ld(s + 8)), zp);
  __m256i b = _mm256_adds_epi16(_mm256_packs_epi32(ld(s + 16), ld(s + 24)), zp);
  a = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(a, b), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  return _mm256_min_epu8(_mm256_max_epu8(a, lo), hi);
}

static T2 void narrow8(uint8_t *dst, size_t ldd, const int32_t *src, size_t lds, size_t rows, size_t n, int32_t zp, int32_t lo,
                       int32_t hi) {
  const __m256i z = _mm256_set1_epi16((short)zp), l = _mm256_set1_epi8((char)lo), h = _mm256_set1_epi8((char)hi);
  for (size_t r = 0; r < rows; r++)
    for (size_t j = 0; j < n; j += 32) {
      __m256i b = pack4(src + r * lds + j, z, l, h);
      uint8_t *d = dst + r * ldd + j, tmp[32];
      if (n - j >= 32) st(d, b);
      else if (n - j == 16) _mm_storeu_si128((__m128i *)(void *)d, _mm256_castsi256_si128(b));
      else {
        st(tmp, b);
        memcpy(d, tmp, n - j);
      }
    }
}

static T2 void widen8(int32_t *dst, const uint8_t *src, size_t n, int32_t off) {
  const __m256i o = _mm256_set1_epi32(off);
  for (size_t i = 0; i < n; i += 8)
    st(dst + i, _mm256_sub_epi32(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(src + i))), o));
}

static T2 void widen16(int32_t *dst, const int16_t *src, size_t n, int32_t off) {
  const __m256i o = _mm256_set1_epi32(off);
  for (size_t i = 0; i < n; i += 8)
    st(dst + i, _mm256_sub_epi32(_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(src + i))), o));
}

static T2 void byte_to_16(int16_t *dst, const uint8_t *src, size_t n, int32_t off) {
  const __m256i o = _mm256_set1_epi16((short)off);
  size_t i = 0;
  for (; i + 16 <= n; i += 16)
    st(dst + i, _mm256_sub_epi16(_mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(src + i))), o));
  for (; i < n; i++) dst[i] = (int16_t)(src[i] - off);
}

static T2 void shape32(int32_t *t, size_t n, int32_t zp, int32_t lo, int32_t hi, int32_t z, int32_t c) {
  const __m256i vz = _mm256_set1_epi32(zp), l = _mm256_set1_epi32(lo), h = _mm256_set1_epi32(hi), z1 = _mm256_set1_epi32(z);
  const __m256i vc = _mm256_set1_epi32(c);
  for (size_t i = 0; i < n; i += 8) {
    __m256i x = _mm256_min_epi32(_mm256_max_epi32(_mm256_add_epi32(ld(t + i), vz), l), h);
    x = _mm256_sub_epi32(x, z1);
    st(t + i, c == 1 ? x : _mm256_mullo_epi32(x, vc));
  }
}

static T2 void join32(int32_t *acc, const int32_t *t, size_t n, bool product) {
  for (size_t i = 0; i < n; i += 8) {
    __m256i a = ld(acc + i), b = ld(t + i);
    st(acc + i, product ? _mm256_mullo_epi32(a, b) : _mm256_add_epi32(a, b));
  }
}

static T2 void max8(uint8_t *dst, const uint8_t *src, size_t n) {
  size_t i = 0;
  for (; i + 32 <= n; i += 32) st(dst + i, _mm256_max_epu8(ld(dst + i), ld(src + i)));
  for (; i < n; i++) dst[i] = dst[i] > src[i] ? dst[i] : src[i];
}

const qv_simd qv_simd_avx2 = {.gemm16 = gemm16,
                              .dw16 = dw16,
                              .gemm_narrow = gemm_narrow,
                              .dw_narrow = dw_narrow,
                              .weave8 = weave8,
                              .weave16 = weave16,
                              .rq = rq,
                              .narrow8 = narrow8,
                              .widen8 = widen8,
                              .widen16 = widen16,
                              .byte_to_16 = byte_to_16,
                              .shape32 = shape32,
                              .join32 = join32,
                              .max8 = max8};
#endif
