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
typedef int32_t i8 __attribute__((vector_size(32)));
typedef uint8_t b8 __attribute__((vector_size(8)));

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

/* a = lin + sum of m*y for eight points. A macro for the same reason. */
#define JOINT8(a, p)                                                                                                                       \
  do {                                                                                                                                     \
    memcpy(&(a), lin + (p), sizeof(a));                                                                                                    \
    for (uint32_t i_ = 0; i_ < n; i_++) {                                                                                                  \
      b8 y_;                                                                                                                               \
      memcpy(&y_, y + used[i_] * stride + (p), sizeof y_);                                                                                 \
      (a) += __builtin_convertvector(__builtin_convertvector(y_, i8), f8) * m[i_];                                                         \
    }                                                                                                                                      \
  } while (0)

CLONES float qv_rob_jointf(const float *lin, const uint8_t *y, size_t stride, const float *m, const uint32_t *used, uint32_t n) {
  f8 best;
  JOINT8(best, 0);
  for (size_t p = 8; p < stride; p += 8) {
    f8 a;
    JOINT8(a, p);
    i8 less = a < best;
    best = (f8)((less & (i8)a) | (~less & (i8)best));
  }
  float least = best[0];
  for (int k = 1; k < 8; k++) least = best[k] < least ? best[k] : least;
  return least;
}

CLONES size_t qv_rob_joint_at(const float *lin, const uint8_t *y, size_t stride, const float *m, const uint32_t *used, uint32_t n) {
  size_t at = 0;
  float least = 0;
  for (size_t p = 0; p < stride; p += 8) {
    f8 a;
    JOINT8(a, p);
    for (size_t k = 0; k < 8; k++)
      if (p + k == 0 || a[k] < least) least = a[k], at = p + k;
  }
  return at;
}

CLONES int64_t qv_rob_jointi(const int64_t *lin, const uint8_t *y, size_t stride, const int64_t *m, const uint32_t *used, uint32_t n) {
  int64_t least = INT64_MAX;
  for (size_t p = 0; p < stride; p += 4) {
    l4 a;
    memcpy(&a, lin + p, sizeof a);
    for (uint32_t i = 0; i < n; i++) {
      const uint8_t *q = y + used[i] * stride + p;
      l4 v = {q[0], q[1], q[2], q[3]};
      a += v * m[i];
    }
    for (int k = 0; k < 4; k++) least = a[k] < least ? a[k] : least;
  }
  return least;
}
