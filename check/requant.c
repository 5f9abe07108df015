// The requantization functions of docs/semantics.md section 2.
//
// Every function here is monotone in v, also for multipliers of either sign, so a step's image of an interval is given by its ends.
// The functions are guaranteed for abs(v) * 2^max(sh,0) <= 2^62 (RQ_T, RQ_TD: abs(v) * m / 2^sh < 2^62; floats: abs(v) * M <= 2^60);
// outside, requant says so and decides nothing: a caller then uses [lo,hi], which holds in any case.
#include "check.h"

#include <float.h>
#include <string.h>

#if FLT_EVAL_METHOD != 0
#error "binary32 and binary64 operations must be rounded once each: FLT_EVAL_METHOD 0 is needed"
#endif

void float_probe(void) {
  volatile float one = 1, ulp = 0x1p-23f, half = 0x1p-24f, tiny = 0x1p-126f;
  volatile double one64 = 1, ulp64 = 0x1p-52, half64 = 0x1p-53;
  bool even = one + half == one && (one + ulp) + half == one + 2 * ulp && -one - half == -one;
  bool even64 = one64 + half64 == one64 && (one64 + ulp64) + half64 == one64 + 2 * ulp64 && -one64 - half64 == -one64;
  bool subnormal = tiny * 0.5f > 0;
  if (!even || !even64 || !subnormal || FLT_MANT_DIG != 24 || DBL_MANT_DIG != 53)
    unusable("the floating-point unit does not round to nearest, ties to even");
}

i128 srdhm(i128 a, i128 b) { return a == b && a == INT32_MIN ? INT32_MAX : floor_shift(a * b + pow2(30), 31); }
i128 away_shift(i128 x, unsigned e) { // RDBP
  if (e == 0) return x;
  return x < 0 ? -floor_shift(-x + pow2(e - 1), e) : floor_shift(x + pow2(e - 1), e);
}

// A float value to an integer; all operations on doubles here are exact.
bool round_float(double x, Rounding how, i128 *r) {
  if (!(x >= -0x1p61 && x <= 0x1p61)) return false;
  int64_t i = (int64_t)x; // towards zero
  double d = x - (double)i;
  if (d < 0) d = -d;
  if (how != TO_ZERO && (d > 0.5 || (d == 0.5 && (how == TO_AWAY || i % 2 != 0)))) i += x < 0 ? -1 : 1;
  *r = i;
  return true;
}

// floor(v * M + 1/2) with the exact product: M = mantissa * 2^exponent.
static bool ndu(int64_t v, double M, i128 *r) {
  uint64_t bits;
  memcpy(&bits, &M, sizeof bits);
  int exponent = (int)(bits >> 52 & 2047) - 1075; // a binary32 number is never subnormal as binary64
  if (M == 0) {
    *r = 0;
    return true;
  }
  int64_t mantissa = (int64_t)((bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1 << 52);
  while (mantissa % 2 == 0) mantissa /= 2, exponent++; // at most 24 bits are left
  i128 p = (i128)v * (M < 0 ? -mantissa : mantissa);
  if (exponent < -100) *r = 0; // abs(v * M) < 2^86 * 2^-100
  else if (exponent < 0) *r = floor_shift(p + pow2((unsigned)-exponent - 1), (unsigned)-exponent);
  else if (p != 0 && (exponent > 61 || p > pow2(61) || p < -pow2(61))) return false;
  else *r = p == 0 ? 0 : p * pow2((unsigned)exponent);
  return *r >= -pow2(61) && *r <= pow2(61);
}

bool requant(const Par *p, i128 v, int64_t out_zp, i128 *r) {
  int32_t m = p->m, sh = p->sh;
  unsigned left = p->fn <= RQ_64 && sh > 0 ? (unsigned)sh : 0, right = sh < 0 ? (unsigned)-sh : 0;
  if (v < -pow2(62 - left) || v > pow2(62 - left)) return false;
  if ((p->fn == RQ_T || p->fn == RQ_TD) && (v < 0 ? -v : v) * m >= pow2((unsigned)(62 + sh))) return false;
  int64_t v64 = (int64_t)v, r64;
  bool real = p->fn >= RQ_F32 && p->fn != RQ_DIV && p->fn != RQ_TDIV;
  if (real && !((double)v64 * p->M >= -0x1p60 && (double)v64 * p->M <= 0x1p60)) return false;
  float v32 = (float)v64, M32 = 0, B32 = 0;
  if (p->fn != RQ_F64A && p->fn != RQ_REF) M32 = (float)p->M, B32 = (float)p->B;
  double x;
  switch (p->fn) {
  case RQ_D: *r = away_shift(srdhm(v * pow2(left), m), right); break;
  case RQ_U:
    *r = srdhm(v * pow2(left), m);
    if (right > 0) *r = floor_shift(*r + pow2(right - 1), right);
    break;
  case RQ_S: *r = floor_shift(v * m + pow2((unsigned)(30 - sh)), (unsigned)(31 - sh)); break;
  case RQ_64:
    r64 = m < 0x7FFF0000 ? ((int64_t)m + (1 << 15)) >> 16 : 0x7FFF;
    *r = floor_shift(v * r64 + pow2((unsigned)(14 - sh)), (unsigned)(15 - sh));
    break;
  case RQ_T: *r = floor_shift(v * m + pow2((unsigned)sh - 1), (unsigned)sh); break;
  case RQ_TD: *r = floor_shift(v * m + pow2((unsigned)sh - 1) + (sh <= 31 ? 0 : v >= 0 ? pow2(30) : -pow2(30)), (unsigned)sh); break;
  case RQ_F32: return round_float((double)(v32 * M32), TO_EVEN, r);
  case RQ_NDU: return ndu(v64, p->M, r);
  case RQ_F64A: return round_float((double)v64 * p->M, TO_AWAY, r);
  case RQ_REF:
    x = (double)v64 * p->M;
    x = x + (double)out_zp;
    if (!round_float(x, TO_EVEN, r)) return false;
    *r -= out_zp;
    break;
  case RQ_F32B:
    v32 = v32 * M32;
    v32 = v32 + B32;
    return round_float((double)v32, TO_EVEN, r);
  case RQ_DIV: *r = floor_div((v < 0 ? -v : v) * 2 + m, (i128)m * 2) * (v < 0 ? -1 : 1); break;
  case RQ_TDIV: *r = v / m; break;
  case RQ_MEANF:
    v32 = v32 / (float)m;
    v32 = v32 * M32;
    v32 = v32 + B32;
    return round_float((double)v32, TO_AWAY, r);
  }
  return true;
}
