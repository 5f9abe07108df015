#include "analysis/robust_simd.h"

#include <string.h>

/* One copy for AVX2, one for every other CPU, chosen when the program is loaded. */
#if defined(__x86_64__) && defined(__linux__)
#define CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CLONES
#endif

typedef float f8 __attribute__((vector_size(32)));
typedef int64_t l4 __attribute__((vector_size(32)));
typedef int32_t i4 __attribute__((vector_size(16)));

CLONES void qv_rob_pushf(float *coef, const float *weight, float s, const qv_segment *seg, size_t n) {
  f8 k = {s, s, s, s, s, s, s, s};
  for (const qv_segment *end = seg + n; seg < end; seg++) {
    float *y = coef + seg->var;
    const float *w = weight + seg->w;
    size_t i = 0, len = seg->len;
    for (; i + 8 <= len; i += 8) {
      f8 a, b;
      memcpy(&a, y + i, sizeof a);
      memcpy(&b, w + i, sizeof b);
      a += k * b;
      memcpy(y + i, &a, sizeof a);
    }
    for (; i < len; i++) y[i] += s * w[i];
  }
}

/* t += a[0..8) * b[0..8). A macro, because it has to be part of every clone. */
#define DOT8(t, a, b)                                                                                                                      \
  do {                                                                                                                                     \
    f8 p_, q_;                                                                                                                             \
    memcpy(&p_, (a), sizeof p_);                                                                                                           \
    memcpy(&q_, (b), sizeof q_);                                                                                                           \
    (t) += p_ * q_;                                                                                                                        \
  } while (0)

CLONES double qv_rob_sumf(const float *weight, const float *value, const qv_segment *seg, size_t n) {
  double sum = 0;
  for (const qv_segment *end = seg + n; seg < end; seg++) {
    const float *w = weight + seg->w, *x = value + seg->var;
    size_t i = 0, len = seg->len;
    float rest = 0;
    f8 t0 = {0}, t1 = {0}, t2 = {0}, t3 = {0}; /* named: an array would live in memory */
    for (; i + 32 <= len; i += 32) {
      DOT8(t0, w + i, x + i);
      DOT8(t1, w + i + 8, x + i + 8);
      DOT8(t2, w + i + 16, x + i + 16);
      DOT8(t3, w + i + 24, x + i + 24);
    }
    for (; i + 8 <= len; i += 8) DOT8(t0, w + i, x + i);
    if (len >= 8) {
      f8 v = (t0 + t1) + (t2 + t3);
      for (int k = 0; k < 8; k++) rest += v[k];
    }
    for (; i < len; i++) rest += w[i] * x[i];
    sum += (double)rest;
  }
  return sum;
}

CLONES void qv_rob_pushi(int64_t *coef, const int32_t *weight, int64_t s, const qv_segment *seg, size_t n) {
  l4 k = {s, s, s, s};
  for (const qv_segment *end = seg + n; seg < end; seg++) {
    int64_t *y = coef + seg->var;
    const int32_t *w = weight + seg->w;
    size_t i = 0, len = seg->len;
    for (; i + 4 <= len; i += 4) {
      l4 a;
      i4 b;
      memcpy(&a, y + i, sizeof a);
      memcpy(&b, w + i, sizeof b);
      a += k * __builtin_convertvector(b, l4);
      memcpy(y + i, &a, sizeof a);
    }
    for (; i < len; i++) y[i] += s * w[i];
  }
}

CLONES double qv_rob_boxf(float *at, const float *c, const float *lo, const float *hi, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) {
    float x = c[i] > 0 ? lo[i] : hi[i];
    at[i] = x;
    sum += (double)(c[i] * x);
  }
  return sum;
}
