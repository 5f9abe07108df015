/* AVX-512 with VNNI (F, BW, VL, DQ, VNNI). Compiled on every x86-64 by function attributes; called after a cpuid test only. */
#include "kernels/exec_int.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define T512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define INLINE static inline __attribute__((always_inline)) T512
#define MAX_MR 8

static T512 __m512i ld(const void *p) { return _mm512_loadu_si512(p); }
static T512 void st(void *p, __m512i v) { _mm512_storeu_si512(p, v); }

/* ---- tiles ------------------------------------------------------------------------------------------------------------ */

/* MR rows by NR panels in registers. bytes: uint8 x int8 groups, else int16 pairs. dw: each channel has its own group.
 * All four are compile-time constants at every call, so that the loops unroll and acc stays in registers. */
INLINE void micro(int32_t *c, const uint8_t *const *a, const uint32_t *koff, size_t nk, const uint8_t *w, size_t stride,
                  const int32_t *init, const int mr, const int nr, const bool bytes, const bool dw) {
  __m512i acc[MAX_MR][4];
#pragma GCC unroll 8
  for (int r = 0; r < mr; r++)
#pragma GCC unroll 4
    for (int j = 0; j < nr; j++) acc[r][j] = ld(init + 16 * j);
  for (size_t k = 0; k < nk; k++) {
    __m512i v[4];
    size_t off = koff[k];
#pragma GCC unroll 4
    for (int j = 0; j < nr; j++) v[j] = ld(w + (size_t)j * stride + 64 * k);
#pragma GCC unroll 8
    for (int r = 0; r < mr; r++) {
      int32_t g;
      memcpy(&g, a[r] + off, sizeof g);
      __m512i x = _mm512_set1_epi32(g);
#pragma GCC unroll 4
      for (int j = 0; j < nr; j++) {
        if (dw) x = ld(a[r] + off + 64 * j);
        acc[r][j] = bytes ? _mm512_dpbusd_epi32(acc[r][j], x, v[j]) : _mm512_dpwssd_epi32(acc[r][j], x, v[j]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < mr; r++)
#pragma GCC unroll 4
    for (int j = 0; j < nr; j++) st(c + r * QV_TILE_COLS + 16 * j, acc[r][j]);
}

INLINE void tile(int32_t *c, const uint8_t *const *a, size_t rows, const uint32_t *koff, size_t nk, const uint8_t *w, size_t stride,
                 size_t panels, const int32_t *init, const bool bytes, const bool dw) {
#define ROWS(mr, nr)                                                                                                                       \
  for (size_t r = 0; r < rows; r += (mr)) micro(c + r * QV_TILE_COLS, a + r, koff, nk, w, stride, init, (mr), (nr), bytes, dw)
  if (panels == 4 && rows > 1) ROWS(6, 4);
  else if (panels == 4) ROWS(1, 4);
  else if (panels == 3) ROWS(8, 3);
  else if (panels == 2 && rows > 1) ROWS(8, 2);
  else if (panels == 2) ROWS(1, 2);
  else if (rows > 1) ROWS(8, 1);
  else ROWS(1, 1);
#undef ROWS
}

#define TILE(name, bytes, dw)                                                                                                              \
  static T512 void name(int32_t *c, const uint8_t *const *a, size_t rows, const uint32_t *koff, size_t nk, const uint8_t *w,               \
                        size_t stride, size_t panels, const int32_t *init) {                                                               \
    tile(c, a, rows, koff, nk, w, stride, panels, init, (bytes), (dw));                                                                    \
  }
TILE(gemm8, true, false)
TILE(gemm16, false, false)
TILE(dw8, true, true)
TILE(dw16, false, true)

/* Lanes of 128 bits in the order that makes unpack results contiguous: dwords 0,4,8,12, 1,5,9,13, ... of 64 bytes. */
INLINE __m512i spread(const void *p) {
  const __m512i idx = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_epi32(idx, ld(p));
}

static T512 void weave8(uint8_t *dst, const uint8_t *const row[4], size_t n) {
  for (size_t i = 0; i < n; i += 64, dst += 256) {
    __m512i a = spread(row[0] + i), b = spread(row[1] + i), c = spread(row[2] + i), d = spread(row[3] + i);
    __m512i ab = _mm512_unpacklo_epi8(a, b), cd = _mm512_unpacklo_epi8(c, d);
    st(dst, _mm512_unpacklo_epi16(ab, cd));
    st(dst + 64, _mm512_unpackhi_epi16(ab, cd));
    ab = _mm512_unpackhi_epi8(a, b), cd = _mm512_unpackhi_epi8(c, d);
    st(dst + 128, _mm512_unpacklo_epi16(ab, cd));
    st(dst + 192, _mm512_unpackhi_epi16(ab, cd));
  }
}

static T512 void weave16(int16_t *dst, const int16_t *const row[2], size_t n) {
  const __m512i idx = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
  for (size_t i = 0; i < n; i += 32, dst += 64) {
    __m512i a = _mm512_permutexvar_epi64(idx, ld(row[0] + i)), b = _mm512_permutexvar_epi64(idx, ld(row[1] + i));
    st(dst, _mm512_unpacklo_epi16(a, b));
    st(dst + 32, _mm512_unpackhi_epi16(a, b));
  }
}

/* ---- requantization --------------------------------------------------------------------------------------------------- */

INLINE void rq_fixed(int32_t *c, size_t rows, size_t ld_, const qv_vstep *v, size_t l, const bool away) {
  const __m512i shl = ld(v->shl + l), m = ld(v->m + l), mo = ld(v->m + l + 1), half = ld(v->half + l), e = ld(v->e + l);
  const __m512i sgn = ld(v->sgn + l), re = ld(v->re + l / 2), ro = ld(v->ro + l / 2);
  for (size_t r = 0; r < rows; r++, c += ld_) {
    __m512i a = _mm512_sllv_epi32(ld(c), shl);
    __m512i pe = _mm512_add_epi64(_mm512_mul_epi32(a, m), re);
    __m512i po = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(a, 32), mo), ro);
    __m512i h = _mm512_mask_shuffle_epi32(po, 0x5555, pe, _MM_PERM_DDBB); /* high halves of both */
    if (away) h = _mm512_sub_epi32(_mm512_add_epi32(h, half), _mm512_srlv_epi32(h, sgn));
    st(c, _mm512_srav_epi32(h, e));
  }
}

static T512 void rq_near(int32_t *c, size_t rows, size_t ld_, const qv_vstep *v, size_t l) { rq_fixed(c, rows, ld_, v, l, false); }
static T512 void rq_away(int32_t *c, size_t rows, size_t ld_, const qv_vstep *v, size_t l) { rq_fixed(c, rows, ld_, v, l, true); }

static T512 void rq_float(int32_t *c, size_t rows, size_t ld_, const qv_vstep *v, size_t l) {
  const __m512i shl = ld(v->shl + l);
  const __m512 M = _mm512_loadu_ps(v->M + l);
  for (size_t r = 0; r < rows; r++, c += ld_) {
    __m512 x = _mm512_cvt_roundepi32_ps(_mm512_sllv_epi32(ld(c), shl), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 p = _mm512_mul_round_ps(x, M, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    st(c, _mm512_cvt_roundps_epi32(p, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
}

/* trunc((v + sign(v) * d/2) / d) of 8 lanes */
INLINE __m256i div8(__m256i v, const double *dp) {
  const __m512d d = _mm512_loadu_pd(dp), sign = _mm512_set1_pd(-0.0);
  __m512d x = _mm512_cvtepi32_pd(v), h = _mm512_mul_pd(d, _mm512_set1_pd(0.5));
  x = _mm512_add_pd(x, _mm512_or_pd(_mm512_and_pd(x, sign), h));
  return _mm512_cvttpd_epi32(_mm512_div_pd(x, d));
}

static T512 void rq_div(int32_t *c, size_t rows, size_t ld_, const qv_vstep *v, size_t l) {
  const __m512i shl = ld(v->shl + l);
  for (size_t r = 0; r < rows; r++, c += ld_) {
    __m512i a = _mm512_sllv_epi32(ld(c), shl);
    __m256i lo = div8(_mm512_castsi512_si256(a), v->d + l), hi = div8(_mm512_extracti64x4_epi64(a, 1), v->d + l + 8);
    st(c, _mm512_inserti64x4(_mm512_castsi256_si512(lo), hi, 1));
  }
}

static void rq(int32_t *c, size_t rows, size_t ld_, size_t panels, const qv_vstep *v, size_t lane0) {
  for (size_t p = 0; p < panels; p++, c += QV_PANEL, lane0 += QV_PANEL) switch (v->form) {
    case QV_VF_FIXED: (v->away ? rq_away : rq_near)(c, rows, ld_, v, lane0); break;
    case QV_VF_FLOAT: rq_float(c, rows, ld_, v, lane0); break;
    case QV_VF_DIV: rq_div(c, rows, ld_, v, lane0); break;
    case QV_VF_NONE: break;
    }
}

/* ---- narrow, widen, elementwise --------------------------------------------------------------------------------------- */

/* 64 bytes from four vectors: saturation at 16 bits changes nothing, because |zp| <= 32000 and the result is a byte. */
INLINE __m512i pack4(__m512i a, __m512i b, __m512i c, __m512i d, __m512i zp, __m512i lo, __m512i hi, bool clamp) {
  const __m512i idx = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  a = _mm512_adds_epi16(_mm512_packs_epi32(a, b), zp);
  c = _mm512_adds_epi16(_mm512_packs_epi32(c, d), zp);
  a = _mm512_permutexvar_epi32(idx, _mm512_packus_epi16(a, c));
  return clamp ? _mm512_min_epu8(_mm512_max_epu8(a, lo), hi) : a;
}

static T512 void narrow8(uint8_t *dst, size_t ldd, const int32_t *src, size_t lds, size_t rows, size_t n, int32_t zp, int32_t lo,
                         int32_t hi) {
  const __m512i z = _mm512_set1_epi16((short)zp), l = _mm512_set1_epi8((char)lo), h = _mm512_set1_epi8((char)hi);
  const bool clamp = lo > 0 || hi < 255; /* else saturation to a byte is all */
  size_t r = 0;
  if (n == 16 && ldd == 16) /* four short rows are 64 contiguous bytes */
    for (; r + 4 <= rows; r += 4) {
      const int32_t *s = src + r * lds;
      st(dst + r * 16, pack4(ld(s), ld(s + lds), ld(s + 2 * lds), ld(s + 3 * lds), z, l, h, clamp));
    }
  if (n == 32 && ldd == 32)
    for (; r + 2 <= rows; r += 2) {
      const int32_t *s = src + r * lds;
      st(dst + r * 32, pack4(ld(s), ld(s + 16), ld(s + lds), ld(s + lds + 16), z, l, h, clamp));
    }
  for (; r < rows; r++) {
    const int32_t *s = src + r * lds;
    uint8_t *d = dst + r * ldd;
    size_t j = 0;
    for (; j + 64 <= n; j += 64) st(d + j, pack4(ld(s + j), ld(s + j + 16), ld(s + j + 32), ld(s + j + 48), z, l, h, clamp));
    if (j == n) continue;
    __m512i last = pack4(ld(s + j), ld(s + j + 16), ld(s + j + 32), ld(s + j + 48), z, l, h, clamp);
    _mm512_mask_storeu_epi8(d + j, ((__mmask64)1 << (n - j)) - 1, last);
  }
}

static T512 void widen8(int32_t *dst, const uint8_t *src, size_t n, int32_t off) {
  const __m512i o = _mm512_set1_epi32(off);
  for (size_t i = 0; i < n; i += 16)
    st(dst + i, _mm512_sub_epi32(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(src + i))), o));
}

static T512 void widen16(int32_t *dst, const int16_t *src, size_t n, int32_t off) {
  const __m512i o = _mm512_set1_epi32(off);
  for (size_t i = 0; i < n; i += 16)
    st(dst + i, _mm512_sub_epi32(_mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(src + i))), o));
}

static T512 void byte_to_16(int16_t *dst, const uint8_t *src, size_t n, int32_t off) {
  const __m512i o = _mm512_set1_epi16((short)off);
  for (size_t i = 0; i < n; i += 32) {
    __mmask32 k = n - i >= 32 ? ~(__mmask32)0 : ((__mmask32)1 << (n - i)) - 1;
    __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(src + i));
    _mm512_mask_storeu_epi16(dst + i, k, _mm512_sub_epi16(_mm512_cvtepu8_epi16(x), o));
  }
}

static T512 void shape32(int32_t *t, size_t n, int32_t zp, int32_t lo, int32_t hi, int32_t z, int32_t c) {
  const __m512i vz = _mm512_set1_epi32(zp), l = _mm512_set1_epi32(lo), h = _mm512_set1_epi32(hi), z1 = _mm512_set1_epi32(z);
  const __m512i vc = _mm512_set1_epi32(c);
  for (size_t i = 0; i < n; i += 16) {
    __m512i x = _mm512_min_epi32(_mm512_max_epi32(_mm512_add_epi32(ld(t + i), vz), l), h);
    x = _mm512_sub_epi32(x, z1);
    st(t + i, c == 1 ? x : _mm512_mullo_epi32(x, vc));
  }
}

static T512 void join32(int32_t *acc, const int32_t *t, size_t n, bool product) {
  for (size_t i = 0; i < n; i += 16) {
    __m512i a = ld(acc + i), b = ld(t + i);
    st(acc + i, product ? _mm512_mullo_epi32(a, b) : _mm512_add_epi32(a, b));
  }
}

static T512 void max8(uint8_t *dst, const uint8_t *src, size_t n) {
  for (size_t i = 0; i < n; i += 64) {
    __mmask64 k = n - i >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << (n - i)) - 1;
    __m512i m = _mm512_max_epu8(_mm512_maskz_loadu_epi8(k, dst + i), _mm512_maskz_loadu_epi8(k, src + i));
    _mm512_mask_storeu_epi8(dst + i, k, m);
  }
}

const qv_simd qv_simd_avx512 = {.gemm8 = gemm8,
                                .dw8 = dw8,
                                .gemm16 = gemm16,
                                .dw16 = dw16,
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
