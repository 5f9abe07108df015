/* Inner loops of the robustness engines: floating point for the search, 64-bit integers for what decides. */
#ifndef QV_ANALYSIS_ROBUST_SIMD_H
#define QV_ANALYSIS_ROBUST_SIMD_H

#include <stddef.h>
#include <stdint.h>

/* y += s * w. */
void qv_rob_axpyf(float *y, const float *w, float s, size_t n);
/* sum w * x, in an unspecified order. */
float qv_rob_dotf(const float *w, const float *x, size_t n);
/* y += s * w. Pre: no sum leaves int64 (the caller has proved it). */
void qv_rob_axpyi(int64_t *y, const int32_t *w, int32_t s, size_t n);
/* sum min(c*lo, c*hi), in doubles; at[i] = the end that attains it. */
double qv_rob_boxf(float *at, const float *c, const float *lo, const float *hi, size_t n);

#endif
