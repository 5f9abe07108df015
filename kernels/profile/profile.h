/* What each runtime does, as data plus small functions: how it derives multipliers, which requantization function it uses
 * per operator, how its accumulators behave. Front ends read a profile while lowering; engines never see one, because
 * everything it decides ends up as fields of IR nodes. Source of each entry: docs/semantics.md section 6. */
#ifndef QV_KERNELS_PROFILE_PROFILE_H
#define QV_KERNELS_PROFILE_PROFILE_H

#include "ir/ir.h"

/* How the real multiplier of CONV/DEPTHWISE/FC is computed from binary32 scales (s_x, s_w, s_y). */
typedef enum {
  QV_MULT_F64,     /* f64(f64(s_x)*f64(s_w)/f64(s_y))                                                             */
  QV_MULT_F32PROD, /* f64(f64(f32(s_x*s_w)) / f64(s_y)): TFLite per-tensor FULLY_CONNECTED, legacy uint8          */
  QV_MULT_F32      /* f32(f32(s_x*s_w)/s_y): XNNPACK, MLAS                                                        */
} qv_mult_rule;

/* What a runtime does with an op, or a form of it. Zero = the runtime refuses it, or we do not know: refused by name. */
typedef struct {
  bool ok;
  qv_rq rq;
  qv_mult_rule mult;
} qv_gemm_form;

/* The forms of CONV_2D (CONV), DEPTHWISE_CONV_2D (DW) and FULLY_CONNECTED (FC) that runtimes treat differently. */
typedef enum {
  QV_GEMM_CONV_I8,    /* int8 activations and weights                       */
  QV_GEMM_CONV_GROUP, /* the same, with groups                              */
  QV_GEMM_CONV_I4,    /* int8 activations, int4 weights                     */
  QV_GEMM_CONV_U8,    /* legacy uint8                                       */
  QV_GEMM_CONV_16_64, /* int16 activations, int8 weights, 64-bit or no bias */
  QV_GEMM_CONV_16_32, /* int16 activations, int8 weights, 32-bit bias       */
  QV_GEMM_DW_I8,
  QV_GEMM_DW_I4,
  QV_GEMM_DW_U8,
  QV_GEMM_DW_16_64,
  QV_GEMM_DW_16_32,
  QV_GEMM_FC_I8, /* weights with one scale                             */
  QV_GEMM_FC_PC, /* one scale per channel                              */
  QV_GEMM_FC_I4,
  QV_GEMM_FC_I4_PC,
  QV_GEMM_FC_U8,
  QV_GEMM_FC_16_64,
  QV_GEMM_FC_16_64_PC,
  QV_GEMM_FC_16_32,
  QV_GEMM_CASES
} qv_gemm_case;
const char *qv_gemm_case_name(qv_gemm_case c); /* "int8 CONV_2D with groups" */

typedef enum { QV_ADD_TFLITE, QV_ADD_XNNPACK } qv_add_form;
typedef enum {
  QV_MEAN_INT,    /* multiplier m*2^k/n, rescale function                                                            */
  QV_MEAN_TFL29,  /* TFLite 2.9 builtin kernels: three forms by shape and scales                                     */
  QV_MEAN_XNNPACK /* 8 bits: rne(f32(f32(f32(sum)*M) + c)); int16 as QV_MEAN_INT                                     */
} qv_mean_form;
typedef enum {
  QV_SOFTMAX_FIXED, /* 8 bits: fixed point; 16: tables from binary32  */
  QV_SOFTMAX_LUT    /* 8 bits: binary32 table; 16: tables from binary64 */
} qv_softmax_form;
/* QUANTIZE between 8-bit tensors of one type. */
typedef enum { QV_REQ8_RESCALE, QV_REQ8_UP, QV_REQ8_XNNPACK } qv_req8_form;

typedef struct {
  const char *name;     /* "tflite-double" */
  const char *summary;  /* one line: which runtime and build */
  const char *evidence; /* how we know: one line */
  qv_gemm_form gemm[QV_GEMM_CASES];
  uint32_t dw_simd;       /* not 0: int8 DEPTHWISE channels from the last multiple of this on use `rescale`     */
  bool conv_needs_bias;   /* CONV_2D, 8-bit DEPTHWISE_CONV_2D without a bias are refused by the runtime         */
  bool reference;         /* every kernel is the reference one                                                  */
  const char *uint8_note; /* said of nets with uint8 tensors, or NULL                                           */
  qv_rq rescale;          /* ADD/SUB/MUL/QUANTIZE/RELU/LEAKY_RELU/... stages                                    */
  qv_add_form add;        /* of 8-bit ADD and SUB; int16 is always QV_ADD_TFLITE                                */
  bool sub_subtracts;     /* SUB: difference of the rescaled operands, not a sum with a negated multiplier      */
  bool add_pot16;         /* int16 ADD/SUB with power-of-two scales take a shift-only path (TFLite, not TFLM)   */
  qv_gemm_form mul8;      /* 8-bit MUL; int16 is always rescale with QV_MULT_F64                                */
  qv_mean_form mean;
  qv_softmax_form softmax;
  qv_req8_form req8;
  bool relu6_clamps;    /* RELU6 as an op of its own clamps in the input's scale, without rescaling (TFLM)    */
  bool act_f32;         /* RELU*, LEAKY_RELU: multipliers from binary32 quotients                             */
  bool leaky_xnnpack;   /* 8-bit LEAKY_RELU: 8 fraction bits, ties up                                         */
  bool act_lut;         /* 8-bit LOGISTIC, TANH: table from binary32 libm (else fixed point)                  */
  bool concat_rescales; /* uint8 CONCATENATION rescales inputs of other scales                                */
  bool quant_inv;       /* float QUANTIZE: rne(x * (1/s)) instead of nearest-away of x/s                      */
  uint32_t quant_simd8; /* not 0: that holds up to the last multiple of this many elements only               */
  bool quant16_open;    /* float QUANTIZE to int16 differs between builds                                     */
  bool act_tie_open;    /* activation bounds f/s that end in exactly .5: rounding not known                   */
  bool lut_even;        /* act_lut: entries rounded ties to even (else away)                                  */
  bool relu_all;        /* 8-bit RELU_N1_TO_1 and RELU_0_TO_1 exist as operators of their own                 */
  bool req16_open;      /* int16 QUANTIZE, and int8 <-> uint8 of unequal scales, differ between builds        */
  bool cap30;           /* multiplier exponents above 30 are capped (single-rounding builds)                  */
  qv_acc acc32, acc64;  /* accumulator of int8 and of 16x8-int64 kernels                                      */
} qv_profile;

/* By name; NULL if there is none. Aliases are resolved ("cmsis" is tflite-double). */
const qv_profile *qv_profile_find(const char *name);
/* The i-th profile, NULL past the end. */
const qv_profile *qv_profile_at(size_t i);

/* ---- TFLite's parameter derivations (docs/semantics.md section 3) ----------------------------------------------------- */

/* QuantizeMultiplier: M >= 0 finite; M ~ m * 2^(sh-31), m in [2^30, 2^31) or 0. cap30: see qv_profile. */
void qv_quantize_multiplier(double M, bool cap30, int32_t *m, int32_t *sh);

/* Real multiplier by rule; holds the binary32 value where the rule says binary32. */
double qv_real_multiplier(qv_mult_rule rule, float s_x, float s_w, float s_y);

/* Parameter set of function fn for the real multiplier M. Pre: fn takes (m,sh) or M alone. */
qv_rq_par qv_rq_params(qv_rq fn, double M, bool cap30);

/* CalculateInputRadius: floor((2^bits - 1) * 2^(31-bits) / 2^ls), the largest |x| whose scaled value fits `bits` integer bits. */
int32_t qv_input_radius(int bits, int ls);

/* Quantized activation bound q(f) = zp + nearest-away(f32(f/s)); false if it leaves int32. */
bool qv_quantize_bound(int64_t *q, float f, float s, int32_t zp);

/* ---- 8-bit function tables: t[i] = f(lo + i), i = 0..255, in the output type's range [olo,ohi] ------------------------- */

typedef struct {
  float s_x, s_y;
  int32_t z_x, z_y;
  int64_t lo;       /* input of entry 0: -128 or 0 */
  int64_t olo, ohi; /* output range */
} qv_act_scales;

typedef enum { QV_FN_LOGISTIC, QV_FN_TANH } qv_act_fn;
void qv_table_fixed(int32_t t[256], qv_act_fn f, const qv_act_scales *a);          /* gemmlowp fixed point; reference kernels    */
void qv_table_lut(int32_t t[256], qv_act_fn f, const qv_act_scales *a, bool even); /* binary32; optimized kernels       */
bool qv_table_hard_swish(int32_t t[256], const qv_act_scales *a);                  /* false: the kernel refuses these scales     */
/* y = x >= z_x ? RQ(x - z_x, ident) : RQ(x - z_x, alpha). */
void qv_table_leaky(int32_t t[256], const qv_rq_par *ident, const qv_rq_par *alpha, const qv_act_scales *a);

/* SOFTMAX_F: the table `exp` of qv_tail for input scale s and beta. */
void qv_softmax_exp_table(float table[256], float s, float beta);
/* SOFTMAX_16: both tables of qv_tail.lut, 1026 entries, computed in binary32 or binary64. */
void qv_softmax_16_tables(int16_t lut[1026], bool f64);

#endif
