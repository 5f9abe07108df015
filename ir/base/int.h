/* Checked and exact integer arithmetic. The only place with raw >> or / on signed data.
 *
 * Platform assumptions, asserted here once: two's complement, arithmetic right shift, binary32/binary64 floats evaluated
 * in their own precision. */
#ifndef QV_IR_BASE_INT_H
#define QV_IR_BASE_INT_H

#include <float.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "ir/base/status.h"

__extension__ typedef __int128 qv_i128;
__extension__ typedef unsigned __int128 qv_u128;

_Static_assert((-1 >> 1) == -1, "arithmetic right shift");
_Static_assert((int8_t)-128 == -128 && INT64_MIN + INT64_MAX == -1, "two's complement");
_Static_assert(FLT_EVAL_METHOD == 0, "binary32 expressions are evaluated in binary32");
_Static_assert(FLT_MANT_DIG == 24 && DBL_MANT_DIG == 53, "IEEE binary32 and binary64");
_Static_assert(CHAR_BIT == 8 && sizeof(size_t) == 8, "64-bit platform");

/* *out = a op b; false (out undefined) if the result leaves int64. */
static inline QV_NODISCARD bool qv_add64(int64_t *out, int64_t a, int64_t b) { return !__builtin_add_overflow(a, b, out); }
static inline QV_NODISCARD bool qv_sub64(int64_t *out, int64_t a, int64_t b) { return !__builtin_sub_overflow(a, b, out); }
static inline QV_NODISCARD bool qv_mul64(int64_t *out, int64_t a, int64_t b) { return !__builtin_mul_overflow(a, b, out); }
/* *out = a*b; false if it leaves size_t (sizes of hostile inputs). */
static inline QV_NODISCARD bool qv_mulz(size_t *out, size_t a, size_t b) { return !__builtin_mul_overflow(a, b, out); }
static inline QV_NODISCARD bool qv_addz(size_t *out, size_t a, size_t b) { return !__builtin_add_overflow(a, b, out); }

static inline int64_t qv_min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t qv_max64(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t qv_clamp64(int64_t v, int64_t lo, int64_t hi) { return v < lo ? lo : v > hi ? hi : v; }

/* floor(a / 2^e), 0 <= e <= 126. */
static inline qv_i128 qv_floor_shift(qv_i128 a, int e) { return a >> e; }

/* floor(a / b) and ceil(a / b), b > 0. */
static inline qv_i128 qv_floor_div(qv_i128 a, qv_i128 b) {
  qv_i128 q = a / b;
  return q - (a % b < 0);
}
static inline qv_i128 qv_ceil_div(qv_i128 a, qv_i128 b) {
  qv_i128 q = a / b;
  return q + (a % b > 0);
}

/* a * 2^e, 0 <= e; the caller has proved that it fits. Multiplication, because a left shift of a negative is undefined. */
static inline qv_i128 qv_scale2(qv_i128 a, int e) { return a * ((qv_i128)1 << e); }

/* Nearest, ties away from zero, of a / b, b > 0. */
static inline qv_i128 qv_rha_div(qv_i128 a, qv_i128 b) {
  return a >= 0 ? qv_floor_div(a + b / 2, b) : -qv_floor_div(-a + b / 2, b);
}

/* v clamped to int64. Only for values whose saturation is part of the definition or has been excluded before. */
static inline int64_t qv_sat64(qv_i128 v) { return v < INT64_MIN ? INT64_MIN : v > INT64_MAX ? INT64_MAX : (int64_t)v; }

/* Extremes of the signed P-bit type, 1 <= P <= 64. */
static inline int64_t qv_smin(int bits) { return bits >= 64 ? INT64_MIN : -((int64_t)1 << (bits - 1)); }
static inline int64_t qv_smax(int bits) { return bits >= 64 ? INT64_MAX : ((int64_t)1 << (bits - 1)) - 1; }

/* v mod 2^P mapped to the signed P-bit range, 1 <= P <= 64. */
static inline int64_t qv_wrap(qv_i128 v, int bits) {
  qv_u128 m = (qv_u128)v & (((qv_u128)1 << bits) - 1);
  return (int64_t)((qv_i128)m - (((m >> (bits - 1)) & 1) ? (qv_i128)1 << bits : 0));
}

/* Closed interval of integers { x : lo <= x <= hi }; INV: lo <= hi (there is no empty interval). */
typedef struct {
  int64_t lo, hi;
} qv_itv;

static inline qv_itv qv_itv_hull(qv_itv a, qv_itv b) { return (qv_itv){qv_min64(a.lo, b.lo), qv_max64(a.hi, b.hi)}; }
static inline bool qv_itv_in(qv_itv a, qv_itv b) { return b.lo <= a.lo && a.hi <= b.hi; }

/* Smallest P >= 1 such that [lo,hi] lies in the signed P-bit range. */
static inline int qv_itv_bits(qv_itv a) {
  int p = 1;
  while (p < 64 && (a.lo < qv_smin(p) || a.hi > qv_smax(p))) p++;
  return p;
}

#endif
