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

CLONES void qv_rob_axpyf(float *y, const float *w, float s, size_t n) {
  f8 k = {s, s, s, s, s, s, s, s};
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    f8 a, b;
    memcpy(&a, y + i, sizeof a);
    memcpy(&b, w + i, sizeof b);
    a += k * b;
    memcpy(y + i, &a, sizeof a);
  }
  for (; i < n; i++) y[i] += s * w[i];
}

/* t += a[0..8) * b[0..8). A macro, because it has to be part of every clone. */
#define DOT8(t, a, b)                                                                                                                      \
  do {                                                                                                                                     \
    f8 p_, q_;                                                                                                                             \
    memcpy(&p_, (a), sizeof p_);                                                                                                           \
    memcpy(&q_, (b), sizeof q_);                                                                                                           \
    (t) += p_ * q_;                                                                                                                        \
  } while (0)

CLONES float qv_rob_dotf(const float *w, const float *x, size_t n) {
  f8 t0 = {0}, t1 = {0}, t2 = {0}, t3 = {0}; /* named: an array would live in memory */
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    DOT8(t0, w + i, x + i);
    DOT8(t1, w + i + 8, x + i + 8);
    DOT8(t2, w + i + 16, x + i + 16);
    DOT8(t3, w + i + 24, x + i + 24);
  }
  for (; i + 8 <= n; i += 8) DOT8(t0, w + i, x + i);
  f8 v = (t0 + t1) + (t2 + t3);
  float sum = 0;
  for (int k = 0; k < 8; k++) sum += v[k];
  for (; i < n; i++) sum += w[i] * x[i];
  return sum;
}

CLONES void qv_rob_axpyi(int64_t *y, const int32_t *w, int32_t s, size_t n) {
  l4 k = {s, s, s, s};
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    l4 a;
    i4 b;
    memcpy(&a, y + i, sizeof a);
    memcpy(&b, w + i, sizeof b);
    a += k * __builtin_convertvector(b, l4);
    memcpy(y + i, &a, sizeof a);
  }
  for (; i < n; i++) y[i] += (int64_t)s * w[i];
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
