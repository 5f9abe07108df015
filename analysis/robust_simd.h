/* Inner loops of the robustness engines: floating point for the search, 64-bit integers for what decides. One call a row: rows of
 * convolutions are many short segments. */
#ifndef QV_ANALYSIS_ROBUST_SIMD_H
#define QV_ANALYSIS_ROBUST_SIMD_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint32_t var, len; /* variables var .. var+len-1 */
  uint32_t w;        /* their weights: w[w ..] */
} qv_segment;

/* y[var] += s * w, over a row's segments. */
void qv_rob_pushf(float *y, const float *w, float s, const qv_segment *seg, size_t n);
/* sum w * x[var], over a row's segments, in an unspecified but fixed order. */
double qv_rob_sumf(const float *w, const float *x, const qv_segment *seg, size_t n);
/* y[var] += s * w. Pre: no product or sum leaves int64 (the caller has proved it). */
void qv_rob_pushi(int64_t *y, const int32_t *w, int64_t s, const qv_segment *seg, size_t n);
/* sum min(c*lo, c*hi), in doubles; at[i] = the end that attains it. */
double qv_rob_boxf(float *at, const float *c, const float *lo, const float *hi, size_t n);

/* Least over p in [0,stride) of lin[p] + sum over i < n of m[i] * y[used[i]*stride + p]; and the first p that attains it. stride: a
 * multiple of 8. */
float qv_rob_jointf(const float *lin, const uint8_t *y, size_t stride, const float *m, const uint32_t *used, uint32_t n);
size_t qv_rob_joint_at(const float *lin, const uint8_t *y, size_t stride, const float *m, const uint32_t *used, uint32_t n);
/* In integers. Pre: no product or sum leaves int64. */
int64_t qv_rob_jointi(const int64_t *lin, const uint8_t *y, size_t stride, const int64_t *m, const uint32_t *used, uint32_t n);

#endif
