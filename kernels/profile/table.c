/* 8-bit activation functions as tables, and the tables of softmax. Binary32 expressions are evaluated as written: the
 * build uses neither contraction nor fast math. expf and tanhf are the C library's; every entry is a rounded value, and all
 * 256 entries were compared with the runtimes for the scales of tests/test_profile.c. */
#include <math.h>

#include "kernels/fixed.h"
#include "kernels/profile/profile.h"

/* ---- reference kernels: integers only --------------------------------------------------------------------------------- */

void qv_table_fixed(int32_t t[256], qv_act_fn f, const qv_act_scales *a) {
  int32_t m, ls;
  qv_quantize_multiplier((double)a->s_x * (double)(1 << 27), false, &m, &ls); /* input as Q4.27 */
  int64_t radius = qv_input_radius(4, ls);
  qv_rq_par p = {.fn = QV_RQ_D, .m = m, .sh = ls};
  for (int i = 0; i < 256; i++) {
    int64_t x = a->lo + i - a->z_x, y;
    int64_t v = qv_rq_eval(&p, qv_clamp64(x, -radius, radius), 0), mag = v < 0 ? -v : v;
    if (f == QV_FN_LOGISTIC) {
      int64_t r = qv_fx_recip1p(qv_fx_exp_neg(-mag, 4)); /* 1/(1+exp(-|x|)) */
      r = v > 0 ? r : v < 0 ? INT32_MAX - r : 1 << 30;
      y = x <= -radius ? a->olo : x >= radius ? a->ohi : qv_rdbp(r, 23) + a->olo;
    } else {
      int64_t r = v == 0 ? 0 : qv_fx_ratio1p(qv_fx_exp_neg(-mag, 5)); /* exp(-2|x|): Q4.27 read as Q5.26 */
      r = v < 0 ? -r : r;
      int64_t mid = a->olo + 128;
      y = x <= -radius ? a->olo : x >= radius ? a->ohi : qv_clamp64(qv_rdbp(r, 24), -128, 127) + mid;
    }
    t[i] = (int32_t)qv_clamp64(y, a->olo, a->ohi);
  }
}

static int16_t to_int16_multiplier(int32_t m) { return (int16_t)(m >= INT32_MAX - (1 << 15) ? INT16_MAX : (m + (1 << 15)) >> 16); }

/* Saturating rounding doubling high multiply of int16; the sign-dependent nudge and truncation are a floor (Lemma S1). */
static int64_t srdhm16(int64_t x, int64_t y) {
  return x == INT16_MIN && y == INT16_MIN ? INT16_MAX : (int64_t)qv_floor_shift((qv_i128)x * y + (1 << 14), 15);
}

static int64_t shl16(int64_t x, int e) { return qv_clamp64((int64_t)qv_scale2(x, e), INT16_MIN, INT16_MAX); }

bool qv_table_hard_swish(int32_t t[256], const qv_act_scales *a) {
  const float hires = (1.0f / 128.0f) * a->s_x, reluish = 3.0f / 32768.0f;
  int32_t om, oe, rm, re;
  if (!(hires / a->s_y <= 1.0f) || !(hires < 1.0f)) return false; /* the kernel asserts an output exponent of at most 0 */
  qv_quantize_multiplier((double)(hires / a->s_y), false, &om, &oe);
  qv_quantize_multiplier((double)(hires / reluish), false, &rm, &re);
  if (oe > 0 || oe < -31 || re > 31 || re < -31) return false;
  int16_t o16 = to_int16_multiplier(om), r16 = to_int16_multiplier(rm);
  for (int i = 0; i < 256; i++) {
    int64_t x = (a->lo + i - a->z_x) * 128; /* within int16: |x - z| <= 255 */
    int64_t pre = srdhm16(x, o16), r = x;
    if (re > 0) r = shl16(r, re - 1);
    r = srdhm16(r, r16);
    if (re > 0) r = shl16(r, 1);
    if (re < 0) r = qv_rdbp(r, -re);
    r = (int64_t)qv_floor_shift((qv_i128)r + (1 << 15), 1); /* relu6(x+3)/6 in Q0.15 */
    int64_t p = r * pre;
    p = p < 0 ? -(-p >> 15) : p >> 15; /* truncated: this product is not rounded */
    t[i] = (int32_t)qv_clamp64(qv_rdbp(p, -oe) + a->z_y, a->olo, a->ohi);
  }
  return true;
}

void qv_table_leaky(int32_t t[256], const qv_rq_par *ident, const qv_rq_par *alpha, const qv_act_scales *a) {
  for (int i = 0; i < 256; i++) {
    int64_t x = a->lo + i - a->z_x;
    t[i] = (int32_t)qv_clamp64(qv_rq_eval(x >= 0 ? ident : alpha, x, 0) + a->z_y, a->olo, a->ohi);
  }
}

/* ---- optimized kernels: binary32 -------------------------------------------------------------------------------------- */

/* Nearest, ties to even; exact for any float below 2^23 and independent of the rounding mode. */
static float round_even(float x) {
  float f = floorf(x), r = x - f;
  return r > 0.5f || (r == 0.5f && fmodf(f, 2.0f) != 0) ? f + 1 : f;
}

void qv_table_lut(int32_t t[256], qv_act_fn f, const qv_act_scales *a, bool even) {
  float inv = 1.0f / a->s_y;
  for (int i = 0; i < 256; i++) {
    float x = a->s_x * (float)(a->lo + i - a->z_x);
    float y = f == QV_FN_LOGISTIC ? 1.0f / (1.0f + expf(-x)) : tanhf(x);
    float q = y * inv;
    q = fminf(fmaxf(q, -1e6f), 1e6f); /* far outside every output type */
    t[i] = (int32_t)qv_clamp64((int64_t)(even ? round_even(q) : roundf(q)) + a->z_y, a->olo, a->ohi);
  }
}

void qv_softmax_exp_table(float table[256], float s, float beta) {
  float scale = -s * beta;
  for (int d = 0; d < 256; d++) table[255 - d] = expf(scale * (float)d);
}

/* Samples of f on [lo,hi] in Q0.15, each lowered by half the interpolation error in the middle of its segment. Once in
 * binary32 and once in binary64: the runtimes' two instances of one template. */
#define LUT16(name, real, rnd, min, max)                                                                                                   \
  static void name(int16_t lut[513], real (*f)(real), real lo, real hi) {                                                                  \
    const real step = (hi - lo) / 512, half = step / 2, unit = 32768;                                                                      \
    for (int i = 0; i < 512; i++) {                                                                                                        \
      real x = lo + (real)i * step, v = rnd(f(x) * unit);                                                                                  \
      real next = f(lo + (real)(i + 1) * step) * unit;                                                                                     \
      real error = rnd((next + v) / 2) - rnd(f(x + half) * unit);                                                                          \
      lut[i] = (int16_t)min(max(v - rnd(error / 2), (real)-32768), (real)32767);                                                           \
    }                                                                                                                                      \
    lut[512] = (int16_t)min(max(rnd(f(hi) * unit), (real)-32768), (real)32767);                                                            \
  }
LUT16(lut16_f32, float, roundf, fminf, fmaxf)
LUT16(lut16_f64, double, round, fmin, fmax)

static float recip1p_f32(float x) { return 1.0f / (1.0f + x); }
static double recip1p_f64(double x) { return 1.0 / (1.0 + x); }

void qv_softmax_16_tables(int16_t lut[1026], bool f64) {
  if (f64) {
    lut16_f64(lut, exp, -10.0, 0.0);
    lut16_f64(lut + 513, recip1p_f64, 0.0, 1.0);
  } else {
    lut16_f32(lut, expf, -10.0f, 0.0f);
    lut16_f32(lut + 513, recip1p_f32, 0.0f, 1.0f);
  }
}
