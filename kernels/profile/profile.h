/* What each runtime does, as data plus small functions: how it derives multipliers, which requantization function it uses
 * per operator, how its accumulators behave. Front ends read a profile while lowering; engines never see one, because
 * everything it decides ends up as fields of IR nodes. Source of each entry: docs/semantics.md section 6. */
#ifndef QV_KERNELS_PROFILE_PROFILE_H
#define QV_KERNELS_PROFILE_PROFILE_H

#include "ir/ir.h"

/* How the real multiplier of CONV/DEPTHWISE/FC is computed from binary32 scales (s_x, s_w, s_y). */
typedef enum {
  QV_MULT_F64,     /* f64(f64(s_x)*f64(s_w)/f64(s_y))                                      */
  QV_MULT_F32PROD, /* f64(f64(f32(s_x*s_w)) / f64(s_y)): TFLite per-tensor FULLY_CONNECTED */
  QV_MULT_F32      /* f32(f32(s_x*s_w)/s_y): XNNPACK, MLAS                                 */
} qv_mult_rule;

typedef enum { QV_ADD_TFLITE, QV_ADD_XNNPACK } qv_add_form;
typedef enum { QV_MEAN_INT, QV_MEAN_FLOAT, QV_MEAN_OPT, QV_MEAN_XNNPACK } qv_mean_form;
typedef enum { QV_SOFTMAX_FIXED, QV_SOFTMAX_LUT } qv_softmax_form;

typedef struct {
  const char *name;     /* "tflite-double" */
  const char *summary;  /* one line: which runtime and build */
  const char *evidence; /* how we know: one line */
  qv_rq conv, dwconv, fc;        /* requantization of int32-accumulator convolutions and FC            */
  qv_rq rescale;                 /* ADD/SUB/MUL/QUANTIZE/LEAKY_RELU/... stages                          */
  qv_rq mean;
  qv_mult_rule conv_mult, fc_mult; /* fc_mult: per-tensor FULLY_CONNECTED                               */
  qv_add_form add;
  qv_mean_form mean_form;
  qv_softmax_form softmax;
  qv_end quant;                  /* float -> int8 at the input                                         */
  bool cap30;                    /* multiplier exponents above 30 are capped (single-rounding builds)  */
  qv_acc acc32, acc64;           /* accumulator of int8 and of 16x8-int64 kernels                      */
} qv_profile;

/* By name; NULL if there is none. Aliases are resolved ("cmsis" is tflite-double). */
const qv_profile *qv_profile_find(const char *name);
/* The i-th profile, NULL past the end. */
const qv_profile *qv_profile_at(size_t i);

/* QuantizeMultiplier (TFLite): M > 0 finite; M ~ m * 2^(sh-31), m in [2^30, 2^31) or 0. cap30: see qv_profile. */
void qv_quantize_multiplier(double M, bool cap30, int32_t *m, int32_t *sh);

#endif
