/* Parameter derivations of TFLite, TFLite Micro and XNNPACK (docs/semantics.md section 3). */
#include <math.h>

#include "kernels/profile/profile.h"

void qv_quantize_multiplier(double M, bool cap30, int32_t *m, int32_t *sh) {
  *m = 0;
  *sh = 0;
  if (M == 0) return;
  int e;
  int64_t q = (int64_t)round(frexp(M, &e) * 2147483648.0); /* nearest, ties away: TfLiteRound is std::round */
  if (q == (int64_t)1 << 31) {
    q /= 2;
    e++;
  }
  if (e < -31) return;
  if (cap30 && e > 30) {
    e = 30;
    q = INT32_MAX;
  }
  *m = (int32_t)q;
  *sh = e;
}

double qv_real_multiplier(qv_mult_rule rule, float s_x, float s_w, float s_y) {
  float p = s_x * s_w;
  switch (rule) {
  case QV_MULT_F64: return (double)s_x * (double)s_w / (double)s_y;
  case QV_MULT_F32PROD: return (double)p / (double)s_y;
  case QV_MULT_F32: return (double)(p / s_y);
  }
  return 0;
}

qv_rq_par qv_rq_params(qv_rq fn, double M, bool cap30) {
  qv_rq_par p = {.fn = fn};
  if (fn == QV_RQ_F32 || fn == QV_RQ_NDU || fn == QV_RQ_F64A || fn == QV_RQ_REF) p.M = M;
  else qv_quantize_multiplier(M, cap30, &p.m, &p.sh);
  return p;
}

int32_t qv_input_radius(int bits, int ls) {
  double r = ldexp((double)((1 << bits) - 1), 31 - bits - ls);
  return r >= 2147483647.0 ? INT32_MAX : (int32_t)floor(r);
}

bool qv_quantize_bound(int64_t *q, float f, float s, int32_t zp) {
  float r = roundf(f / s);
  if (!(r >= -2147483648.0f && r < 2147483648.0f)) return false;
  *q = zp + (int64_t)r;
  return true;
}
