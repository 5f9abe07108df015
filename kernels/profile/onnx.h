/* Runtimes that execute ONNX models in QOperator or QDQ form, as data. Front ends read a profile while lowering; engines never
 * see one. Source of each entry: docs/onnx.md. */
#ifndef QV_KERNELS_PROFILE_ONNX_H
#define QV_KERNELS_PROFILE_ONNX_H

#include "ir/ir.h"

/* Requantization of a sum acc by s_x * s_w / s_y. */
typedef enum {
  QV_ORQ_SPEC, /* rne(f64(acc * M)) + zp, M = f64(f64(s_x*s_w)/s_y): the operator's text, evaluated in binary64 */
  QV_ORQ_REF,  /* RQ_REF, M = f32(f32(s_x*s_w)/s_y): ONNX's reference evaluator, zp added before rounding        */
  QV_ORQ_F32,  /* RQ_F32, same M                                                                                  */
  QV_ORQ_AWAY, /* nearest, ties away, of f32(f32(acc)*M), same M                                                  */
  QV_ORQ_TOSA  /* RQ_TD, multiplier and shift from M = f64(f64(s_x*s_w)/s_y)                                       */
} qv_onnx_rq;

/* What a DequantizeLinear .. operator .. QuantizeLinear group becomes. */
typedef enum {
  QV_QDQ_REAL,  /* the integer operator that it means, whatever its types                                                */
  QV_QDQ_ORT,   /* what ONNX Runtime's optimizer makes of it on x86-64; the rest is binary32                              */
  QV_QDQ_FLOAT  /* binary32, operator by operator: accepted only where it is exact                                        */
} qv_onnx_qdq;

/* Profiles over exact reals (QONNX, FINN graphs): who says what the accumulators do. */
typedef enum {
  QV_REALS_NONE,  /* not such a profile                                                                  */
  QV_REALS_EXACT, /* exact sums                                                                          */
  QV_REALS_FINN,  /* the model's annotations, or the parameter: wrap                                     */
  QV_REALS_WRAP,  /* the parameter: wrap                                                                 */
  QV_REALS_FIXED  /* ap_fixed<W,I>: W bits, the lowest worth 2^(I-W); wrap or saturate, bias first       */
} qv_reals;

/* Parameters behind such a profile's name: NAME[:PARAMETERS][@GRID], e.g. "wrapnet:12", "ap_fixed:16,6,SAT", "qonnx-exact@u8/255". */
typedef struct {
  int bits;          /* accumulator width, 0 = none given                                                */
  int fraction;      /* ap_fixed: W - I                                                                  */
  bool saturate;     /* ap_fixed                                                                         */
  uint32_t grid_div; /* float inputs hold q / grid_div for integers q in grid; 0 = any float             */
  qv_itv grid;
} qv_reals_params;

typedef struct {
  const char *name;     /* "ort-vnni" */
  const char *usage;    /* over the reals: with its parameters, "finn[:P][@GRID]"; else NULL */
  const char *summary;  /* one line: which runtime and machine */
  const char *evidence; /* how we know: one line */
  qv_onnx_rq rq;
  qv_onnx_qdq qdq;
  qv_acc acc[2][2];     /* of convolution and matrix product by [activations signed][weights signed], 8-bit types or fewer;
                           bits = 0: not known, refused                                                                  */
  bool dw_exact;        /* depthwise convolutions with one weight zero point have a kernel of their own, without the pair
                           or lane stage of acc                                                                          */
  bool qoperator;       /* QLinearConv, QLinearMatMul, ... are known                                                     */
  bool contrib;         /* operators of the domain com.microsoft are known                                               */
  qv_reals reals;
  bool elementwise;     /* anything beside convolution, matrix product and data movement is known                        */
} qv_onnx_profile;

/* Parameters of a profile over the reals; false if `text` is not one with well-formed parameters. */
bool qv_reals_parse(qv_reals_params *p, const char *text);

/* By name (profiles over the reals: with parameters, which must be well-formed); NULL if there is none. */
const qv_onnx_profile *qv_onnx_profile_find(const char *name);
/* The i-th profile, NULL past the end. */
const qv_onnx_profile *qv_onnx_profile_at(size_t i);

/* Requantization of one channel under `rq`. zp is not part of it. QV_ORQ_SPEC gives RQ_REF for a step whose out_zp is 0. */
qv_rq_par qv_onnx_rq_par(qv_onnx_rq rq, float alpha, float s_x, float s_w, float s_y);

/* sat[lo,hi](rne(f32(x/s)) + z): QuantizeLinear in binary32. NaN gives lo. */
int64_t qv_onnx_quantize(float x, float s, int32_t z, qv_itv range);

/* ONNX Runtime's logistic function in binary32 on x86-64 with FMA: a rational approximation (mlas/lib/logistic.cpp). */
float qv_onnx_logistic(float x);
/* Its hyperbolic tangent, likewise (mlas/lib/tanh.cpp). */
float qv_onnx_tanh(float x);

/* ONNX Runtime's QLinearAdd on x86-64 with AVX2, before rounding and saturation: a and b are bytes. first_scalar: the first operand
 * is one value per inner loop and the second is not. */
typedef struct {
  float s[2], s_y;
  int32_t z[2], z_y;
  bool first_scalar;
} qv_onnx_add;
float qv_onnx_add_f32(const qv_onnx_add *p, int32_t a, int32_t b);

#endif
