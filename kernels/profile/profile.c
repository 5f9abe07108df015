#include "kernels/profile/profile.h"

#include <string.h>

#define FORM(r, m)                                                                                                                         \
  { .ok = true, .rq = QV_RQ_##r, .mult = QV_MULT_##m }

/* TFLite reference kernels, in which every int32 accumulator goes through one rescale function R. TFLite Micro has no
 * uint8 kernels; the uint8 forms are TFLite's own reference kernels (reference/conv.h, depthwiseconv_uint8.h,
 * fully_connected.h), which use the same function and the per-tensor multiplier rule.
 *
 * Versions of TFLite Micro differ in how they derive three multipliers, measured on wheels of 2025-08, 2026-02 and 2026-10:
 * per-tensor int8 FULLY_CONNECTED (product in binary32 until 2026-02, then binary64), RELU and LEAKY_RELU (quotient in
 * binary32, then binary64), SUB (quotient in binary32, then binary64). These profiles are TFLite's own rules, which all
 * stored goldens follow: binary32, binary32, binary64. */
#define REFERENCE_GEMM(R)                                                                                                                  \
  .gemm = {[QV_GEMM_CONV_I8] = FORM(R, F64),      [QV_GEMM_CONV_GROUP] = FORM(R, F64),  [QV_GEMM_CONV_I4] = FORM(R, F64),                  \
           [QV_GEMM_CONV_U8] = FORM(R, F32PROD),  [QV_GEMM_CONV_16_64] = FORM(64, F64), [QV_GEMM_CONV_16_32] = FORM(R, F64),               \
           [QV_GEMM_DW_I8] = FORM(R, F64),        [QV_GEMM_DW_I4] = FORM(R, F64),       [QV_GEMM_DW_U8] = FORM(R, F32PROD),                \
           [QV_GEMM_DW_16_64] = FORM(64, F64),    [QV_GEMM_FC_I8] = FORM(R, F32PROD),   [QV_GEMM_FC_PC] = FORM(R, F64),                    \
           [QV_GEMM_FC_I4] = FORM(R, F32PROD),    [QV_GEMM_FC_U8] = FORM(R, F32PROD),   [QV_GEMM_FC_16_64] = FORM(64, F32PROD),            \
           [QV_GEMM_FC_16_64_PC] = FORM(64, F64), [QV_GEMM_FC_16_32] = FORM(R, F32PROD)}

#define UINT8_NOTE "uint8 tensors: the arithmetic is that of TFLite's own reference kernels; TFLite Micro has none for uint8"

#define WRAP(n)                                                                                                                            \
  { .mode = QV_ACC_WRAP, .bits = (n), .order = QV_ORDER_KERNEL, .bias = QV_BIAS_LAST }
#define ACCUMULATORS .acc32 = WRAP(32), .acc64 = WRAP(64)

static const qv_profile profiles[] = {
    {.name = "tflite-double",
     .summary = "TFLite Micro and CMSIS-NN, default build: reference kernels, double rounding",
     .evidence = "measured: tflite-micro on whole nets and one-operator nets; CMSIS-NN test vectors",
     REFERENCE_GEMM(D),
     .reference = true,
     .uint8_note = UINT8_NOTE,
     .rescale = QV_RQ_D,
     .sub_subtracts = true,
     .mul8 = FORM(D, F64),
     .relu6_clamps = true,
     .act_f32 = true,
     ACCUMULATORS},
    {.name = "tflite-single",
     .summary = "TFLite Micro and CMSIS-NN built with single rounding (TFLITE_SINGLE_ROUNDING)",
     .evidence = "measured: tflite-micro single-rounding build on whole nets; other operators from its source",
     REFERENCE_GEMM(S),
     .reference = true,
     .uint8_note = UINT8_NOTE,
     .rescale = QV_RQ_S,
     .sub_subtracts = true,
     .mul8 = FORM(S, F64),
     .relu6_clamps = true,
     .act_f32 = true,
     .cap30 = true,
     ACCUMULATORS},
    {.name = "tflite-ruy-x86",
     .summary = "TFLite 2.9 on x86-64, built-in kernels (ruy GEMM), no delegate",
     .evidence = "measured: TFLite 2.9.0 on whole nets and one-operator nets",
     .gemm = {[QV_GEMM_CONV_I8] = FORM(U, F64),
              [QV_GEMM_CONV_GROUP] = FORM(D, F64),
              [QV_GEMM_CONV_I4] = FORM(U, F64),
              [QV_GEMM_CONV_U8] = FORM(U, F32PROD),
              [QV_GEMM_CONV_16_64] = FORM(64, F64),
              [QV_GEMM_CONV_16_32] = FORM(U, F64),
              [QV_GEMM_DW_I8] = FORM(U, F64),
              [QV_GEMM_DW_U8] = FORM(D, F32PROD),
              [QV_GEMM_DW_16_64] = FORM(64, F64),
              [QV_GEMM_FC_I8] = FORM(U, F32PROD),
              [QV_GEMM_FC_PC] = FORM(U, F64),
              [QV_GEMM_FC_I4] = FORM(U, F32PROD),
              [QV_GEMM_FC_U8] = FORM(U, F32PROD),
              [QV_GEMM_FC_16_64] = FORM(64, F32PROD)},
     .dw_simd = 8,
     .conv_needs_bias = true,
     .rescale = QV_RQ_D,
     .add_pot16 = true,
     .mul8 = FORM(D, F64),
     .mean = QV_MEAN_TFL29,
     .softmax = QV_SOFTMAX_LUT,
     .req8 = QV_REQ8_UP,
     .act_f32 = true,
     .act_lut = true,
     .concat_rescales = true,
     .quant_inv = true,
     .quant_simd8 = 8,
     .relu_all = true,
     ACCUMULATORS},
    {.name = "xnnpack",
     .summary = "TFLite with the XNNPACK delegate on x86-64 (default of full TFLite builds)",
     .evidence = "measured: LiteRT 2.3.0 on x86-64 and XNNPACK on WebAssembly",
     .gemm = {[QV_GEMM_CONV_I8] = FORM(F32, F32),
              [QV_GEMM_CONV_GROUP] = FORM(F32, F32),
              [QV_GEMM_CONV_U8] = FORM(F32, F32),
              [QV_GEMM_CONV_16_64] = FORM(64, F64),
              [QV_GEMM_DW_I8] = FORM(F32, F32),
              [QV_GEMM_DW_U8] = FORM(F32, F32),
              [QV_GEMM_DW_16_64] = FORM(64, F64),
              [QV_GEMM_FC_I8] = FORM(F32, F32),
              [QV_GEMM_FC_PC] = FORM(F32, F32),
              [QV_GEMM_FC_U8] = FORM(F32, F32),
              [QV_GEMM_FC_16_64] = FORM(F64A, F64)},
     .conv_needs_bias = true,
     .rescale = QV_RQ_D,
     .add = QV_ADD_XNNPACK,
     .add_pot16 = true,
     .mul8 = FORM(F32, F32),
     .mean = QV_MEAN_XNNPACK,
     .softmax = QV_SOFTMAX_LUT,
     .req8 = QV_REQ8_XNNPACK,
     .act_f32 = true,
     .leaky_xnnpack = true,
     .act_lut = true,
     .concat_rescales = true,
     .quant_inv = true,
     .quant16_open = true,
     .req16_open = true,
     .act_tie_open = true,
     .lut_even = true,
     .relu_all = true,
     ACCUMULATORS},
};

static const struct {
  const char *alias, *name;
} aliases[] = {{"cmsis", "tflite-double"}, {"tflm", "tflite-double"}, {"xnnpack-fp32", "xnnpack"}};

const qv_profile *qv_profile_at(size_t i) { return i < sizeof profiles / sizeof *profiles ? &profiles[i] : NULL; }

const qv_profile *qv_profile_find(const char *name) {
  for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
    if (strcmp(aliases[i].alias, name) == 0) name = aliases[i].name;
  for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++)
    if (strcmp(profiles[i].name, name) == 0) return &profiles[i];
  return NULL;
}

const char *qv_gemm_case_name(qv_gemm_case c) {
  switch (c) {
  case QV_GEMM_CONV_I8: return "int8 CONV_2D";
  case QV_GEMM_CONV_GROUP: return "int8 CONV_2D with groups";
  case QV_GEMM_CONV_I4: return "CONV_2D with int4 weights";
  case QV_GEMM_CONV_U8: return "uint8 CONV_2D";
  case QV_GEMM_CONV_16_64: return "int16 CONV_2D with 64-bit bias";
  case QV_GEMM_CONV_16_32: return "int16 CONV_2D with 32-bit bias";
  case QV_GEMM_DW_I8: return "int8 DEPTHWISE_CONV_2D";
  case QV_GEMM_DW_I4: return "DEPTHWISE_CONV_2D with int4 weights";
  case QV_GEMM_DW_U8: return "uint8 DEPTHWISE_CONV_2D";
  case QV_GEMM_DW_16_64: return "int16 DEPTHWISE_CONV_2D with 64-bit bias";
  case QV_GEMM_DW_16_32: return "int16 DEPTHWISE_CONV_2D with 32-bit bias";
  case QV_GEMM_FC_I8: return "int8 FULLY_CONNECTED";
  case QV_GEMM_FC_PC: return "int8 FULLY_CONNECTED with per-channel weights";
  case QV_GEMM_FC_I4: return "FULLY_CONNECTED with int4 weights";
  case QV_GEMM_FC_I4_PC: return "FULLY_CONNECTED with per-channel int4 weights";
  case QV_GEMM_FC_U8: return "uint8 FULLY_CONNECTED";
  case QV_GEMM_FC_16_64: return "int16 FULLY_CONNECTED with 64-bit bias";
  case QV_GEMM_FC_16_64_PC: return "int16 FULLY_CONNECTED with 64-bit bias and per-channel weights";
  case QV_GEMM_FC_16_32: return "int16 FULLY_CONNECTED with 32-bit bias";
  case QV_GEMM_CASES: break;
  }
  return "?";
}
