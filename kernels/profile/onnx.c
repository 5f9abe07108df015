#include "kernels/profile/onnx.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/profile/profile.h"
#include "kernels/step.h"

#define WRAP32 {.mode = QV_ACC_WRAP, .bits = 32, .order = QV_ORDER_KERNEL, .bias = QV_BIAS_LAST}
#define RAW32 {.mode = QV_ACC_WRAP, .bits = 32, .order = QV_ORDER_KERNEL, .bias = QV_BIAS_LAST, .raw = true}
#define TRAP32 {.mode = QV_ACC_TRAP, .bits = 32, .order = QV_ORDER_KERNEL, .bias = QV_BIAS_LAST}
#define PAIR16 {.mode = QV_ACC_PAIR16, .bits = 32, .order = QV_ORDER_KERNEL, .bias = QV_BIAS_LAST, .raw = true, .pairing = QV_PAIR_ADJACENT}
/* Lane j of 8 takes products k = j mod 8. Spilled every two: k and k+8 of each block of 16 share an int16 lane, then widen. */
#define LANES8(s)                                                                                                          \
  {.mode = QV_ACC_LANES, .bits = 32, .order = QV_ORDER_KERNEL, .bias = QV_BIAS_LAST, .raw = true, .lane_bits = 16, .lanes = 8, .spill = (s)}
/* vpmaddubsw, vpaddsw; the kernel is called for blocks of K = 256 products, and adds its int16 lanes to 32 bits after each. */
#define ACC16                                                                                                              \
  {.mode = QV_ACC_PAIRLANES, .bits = 32, .order = QV_ORDER_KERNEL, .bias = QV_BIAS_LAST, .raw = true, .pairing = QV_PAIR_ADJACENT, \
   .lane_bits = 16, .lanes = 1, .lane_sat = true, .spill = 128}
#define ALL(a) .acc = {{a, a}, {a, a}}

static const qv_onnx_profile profiles[] = {
    {.name = "onnx-spec",
     .summary = "the text of the ONNX operators: rounded once, to nearest even, then zero point; QDQ groups as integer operators",
     .evidence = "ONNX operator documentation 1.22; node tests of ONNX 1.22",
     .rq = QV_ORQ_SPEC, .qdq = QV_QDQ_REAL, ALL(WRAP32), .qoperator = true, .elementwise = true},
    {.name = "onnx-ref",
     .summary = "ONNX's reference evaluator (Python): zero point added before rounding; QDQ groups in binary32 where exact",
     .evidence = "source of ONNX 1.22; node tests and random models against it",
     .rq = QV_ORQ_REF, .qdq = QV_QDQ_FLOAT, ALL(WRAP32), .qoperator = true, .elementwise = true},
    {.name = "ort-vnni",
     .summary = "ONNX Runtime on x86-64 with VNNI, all optimizations",
     .evidence = "measured: ONNX Runtime 1.30 and 1.31, stored outputs and random models",
     .rq = QV_ORQ_F32, .qdq = QV_QDQ_ORT, ALL(RAW32), .qoperator = true, .contrib = true, .elementwise = true},
    {.name = "ort-u8u8",
     .summary = "ONNX Runtime on any x86-64, all optimizations, models with uint8 activations and weights only",
     .evidence = "measured: ONNX Runtime 1.31 on VNNI and on an emulated AVX2 CPU, random models",
     .rq = QV_ORQ_F32, .qdq = QV_QDQ_ORT, .acc = {{RAW32}}, .qoperator = true, .contrib = true, .elementwise = true},
    {.name = "ort-avx2",
     .summary = "ONNX Runtime on x86-64 with AVX2 or AVX-512 but no VNNI, all optimizations: pairs of u8*s8 saturate at 16 bits",
     .evidence = "measured: ONNX Runtime 1.30 and 1.31 on an emulated AVX2 CPU, stored outputs and random models",
     .rq = QV_ORQ_F32, .qdq = QV_QDQ_ORT, .acc = {{RAW32, PAIR16}, {RAW32, RAW32}}, .dw_exact = true, .qoperator = true, .contrib = true,
     .elementwise = true},
    {.name = "ort-neon-s8",
     .summary = "ONNX Runtime on ARM64 without dot product instructions, int8 times int8, before the fix of #31573",
     .evidence = "microsoft/onnxruntime#31573 and #32057, arithmetic; not executed",
     .rq = QV_ORQ_F32, .qdq = QV_QDQ_REAL, .acc = {{{.bits = 0}}, {{.bits = 0}, LANES8(2)}}, .qoperator = true},
    {.name = "ort-float-qdq",
     .summary = "ONNX Runtime, optimizations disabled: QDQ groups in binary32, accepted where that is exact",
     .evidence = "measured: ONNX Runtime 1.30 and 1.31, stored outputs and random models",
     .rq = QV_ORQ_F32, .qdq = QV_QDQ_FLOAT, ALL(RAW32), .elementwise = true},
    {.name = "fbgemm-acc32",
     .summary = "PyTorch on x86-64 with FBGEMM, 32-bit accumulation, AVX2 or AVX-512 without VNNI",
     .evidence = "source of FBGEMM; lane facts measured",
     .rq = QV_ORQ_F32, .qdq = QV_QDQ_REAL, .acc = {{{.bits = 0}, PAIR16}}, .qoperator = true},
    {.name = "fbgemm-acc16",
     .summary = "PyTorch on x86-64 with FBGEMM, 16-bit accumulation: saturating pairs added into a saturating int16 lane, emptied every 128 pairs",
     .evidence = "source of FBGEMM (K blocks of 256, no outlier split); the instructions, measured",
     .rq = QV_ORQ_F32, .qdq = QV_QDQ_REAL, .acc = {{{.bits = 0}, ACC16}}, .qoperator = true},
    {.name = "qnnpack",
     .summary = "PyTorch with QNNPACK: zero points subtracted first",
     .evidence = "source of QNNPACK (SSE2); its int16 saturation never shows in 8-bit results",
     .rq = QV_ORQ_F32, .qdq = QV_QDQ_REAL, ALL(WRAP32), .qoperator = true},
    {.name = "mnn-oaq",
     .summary = "MNN overflow-aware kernels: 8 wrapping int16 lanes over the whole sum, ties away",
     .evidence = "source of MNN; not executed",
     .rq = QV_ORQ_AWAY, .qdq = QV_QDQ_REAL, .acc = {{{.bits = 0}}, {{.bits = 0}, LANES8(0)}}, .qoperator = true},
    {.name = "tosa",
     .summary = "TOSA: overflow is an error, double rounding rescale",
     .evidence = "TOSA reference model source; equal to TFLite's double rounding (Lemma S3)",
     .rq = QV_ORQ_TOSA, .qdq = QV_QDQ_REAL, ALL(TRAP32), .qoperator = true},
    {.name = "qonnx-exact", .usage = "qonnx-exact[@GRID]",
     .summary = "QONNX and FINN graphs over exact real numbers; exact accumulators",
     .evidence = "QONNX operator definitions; nets of the QONNX zoo and of FINN against rational arithmetic",
     .reals = QV_REALS_EXACT},
    {.name = "finn", .usage = "finn[:P][@GRID]",
     .summary = "QONNX and FINN graphs over exact real numbers; accumulators of the width that the model annotates, or P bits, wrapping",
     .evidence = "FINN data type annotations; stored net of FINN's own tests",
     .reals = QV_REALS_FINN},
    {.name = "wrapnet", .usage = "wrapnet:P[@GRID]",
     .summary = "QONNX and FINN graphs over exact real numbers; every accumulator wraps at P bits, as in WrapNet",
     .evidence = "arithmetic modulo 2^P by definition (arXiv 2007.13242)",
     .reals = QV_REALS_WRAP},
    {.name = "ap_fixed", .usage = "ap_fixed:W,I[,SAT][@GRID]",
     .summary = "QONNX and FINN graphs over exact real numbers; accumulators ap_fixed<W,I> of hls4ml, wrapping or saturating, bias first",
     .evidence = "hls4ml kernels and the definition of ap_fixed; not executed",
     .reals = QV_REALS_FIXED},
};

/* Whole number in [lo,hi] at *s, which moves behind it. */
static bool number(const char **s, long lo, long hi, long *v) {
  char *end;
  if (!isdigit((unsigned char)**s) && **s != '-') return false;
  errno = 0;
  *v = strtol(*s, &end, 10);
  bool ok = errno == 0 && end != *s && *v >= lo && *v <= hi;
  *s = end;
  return ok;
}

static bool word(const char **s, const char *w) {
  size_t n = strlen(w);
  if (strncmp(*s, w, n) != 0) return false;
  *s += n;
  return true;
}

/* "@u8/255": integers of 1 to 16 bits over a divisor. */
static bool parse_grid(qv_reals_params *p, const char **s) {
  long bits, div;
  bool sign = **s == 'i';
  if (!word(s, sign ? "i" : "u") || !number(s, 1, 16, &bits) || !word(s, "/") || !number(s, 1, 1 << 24, &div)) return false;
  p->grid = sign ? (qv_itv){qv_smin((int)bits), qv_smax((int)bits)} : (qv_itv){0, ((int64_t)1 << bits) - 1};
  p->grid_div = (uint32_t)div;
  return true;
}

bool qv_reals_parse(qv_reals_params *p, const char *text) {
  size_t n = strcspn(text, ":@");
  qv_reals kind = QV_REALS_NONE;
  long bits = 0, whole = 0;
  *p = (qv_reals_params){0};
  for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++)
    if (strlen(profiles[i].name) == n && memcmp(profiles[i].name, text, n) == 0) kind = profiles[i].reals;
  const char *s = text + n;
  bool has = word(&s, ":"), ok = kind != QV_REALS_NONE;
  switch (kind) {
  case QV_REALS_NONE: break;
  case QV_REALS_EXACT: ok = !has; break;
  case QV_REALS_FINN: ok = !has || number(&s, 2, 62, &bits); break;
  case QV_REALS_WRAP: ok = has && number(&s, 2, 62, &bits); break;
  case QV_REALS_FIXED:
    ok = has && number(&s, 2, 62, &bits) && word(&s, ",") && number(&s, -64, 64, &whole);
    if (ok && word(&s, ",")) p->saturate = word(&s, "SAT"), ok = p->saturate || word(&s, "WRAP");
    break;
  }
  p->bits = (int)bits;
  p->fraction = (int)(bits - whole);
  if (ok && word(&s, "@")) ok = parse_grid(p, &s);
  return ok && *s == 0;
}

const qv_onnx_profile *qv_onnx_profile_at(size_t i) { return i < sizeof profiles / sizeof *profiles ? &profiles[i] : NULL; }

const qv_onnx_profile *qv_onnx_profile_find(const char *name) {
  qv_reals_params p;
  bool reals = qv_reals_parse(&p, name);
  size_t n = reals ? strcspn(name, ":@") : strlen(name);
  for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++)
    if ((profiles[i].reals != QV_REALS_NONE) == reals && strlen(profiles[i].name) == n && memcmp(profiles[i].name, name, n) == 0) return &profiles[i];
  return NULL;
}

qv_rq_par qv_onnx_rq_par(qv_onnx_rq rq, float alpha, float s_x, float s_w, float s_y) {
  double real = (double)alpha * ((double)s_x * (double)s_w) / (double)s_y;
  float p = alpha * s_x; /* three binary32 roundings in the order of the kernels; exact for alpha = 1 */
  float q = p * s_w;
  float M = q / s_y;
  qv_rq_par par = {.fn = QV_RQ_F32, .M = (double)M};
  switch (rq) {
  case QV_ORQ_SPEC: return (qv_rq_par){.fn = QV_RQ_REF, .M = real};
  case QV_ORQ_REF: par.fn = QV_RQ_REF; break;
  case QV_ORQ_F32: break;
  case QV_ORQ_AWAY: return (qv_rq_par){.fn = QV_RQ_MEANF, .m = 1, .M = (double)M}; /* f32(v)/1 is exact, B = 0 */
  case QV_ORQ_TOSA: {
    int32_t m, sh;
    qv_quantize_multiplier(real, false, &m, &sh);
    return (qv_rq_par){.fn = QV_RQ_TD, .m = m, .sh = 31 - sh};
  }
  }
  return par;
}

int64_t qv_onnx_quantize(float x, float s, int32_t z, qv_itv range) {
  float v = x / s;
  if (!(v > (float)(range.lo - z))) return range.lo;
  if (v > (float)(range.hi - z)) return range.hi;
  return qv_clamp64(qv_rne((double)v) + z, range.lo, range.hi);
}

float qv_onnx_logistic(float x) {
  static const float alpha[] = {1.15627324459942e-07f, 6.08574864600143e-05f, 8.51377133304701e-03f, 2.48287947061529e-01f};
  static const float beta[] = {5.76102136993427e-09f, 6.29106785017040e-06f, 1.70198817374094e-03f, 1.16817656904453e-01f,
                               9.93151921023180e-01f};
  float v = x < -18.0f ? -18.0f : x > 18.0f ? 18.0f : x, w = v * v, p = 4.37031012579801e-11f, q = 6.10247389755681e-13f;
  for (int i = 0; i < 4; i++) p = fmaf(p, w, alpha[i]);
  for (int i = 0; i < 5; i++) q = fmaf(q, w, beta[i]);
  p = p * v;
  float d = p / q, y = d + 0.5f;
  return y < 0 ? 0 : y > 1 ? 1 : y;
}

float qv_onnx_tanh(float x) {
  static const float alpha[] = {2.00018790482477e-13f, -8.60467152213735e-11f, 5.12229709037114e-08f, 1.48572235717979e-05f, 6.37261928875436e-04f,
                                4.89352455891786e-03f};
  static const float beta[] = {1.18534705686654e-04f, 2.26843463243900e-03f, 4.89352518554385e-03f};
  float v = x < -9.0f ? -9.0f : x > 9.0f ? 9.0f : x, w = v * v, p = -2.76076847742355e-16f, q = 1.19825839466702e-06f;
  for (int i = 0; i < 6; i++) p = fmaf(p, w, alpha[i]);
  for (int i = 0; i < 3; i++) q = fmaf(q, w, beta[i]);
  p = p * v;
  return p / q;
}

/* The fused steps are the compiler's contractions in the published builds (GCC, -mfma), measured over all pairs of bytes. */
float qv_onnx_add_f32(const qv_onnx_add *p, int32_t a, int32_t b) {
  int s = p->first_scalar ? 1 : 0; /* operands change places: the repeated one is the second */
  float x = (float)(s ? b : a), y = (float)(s ? a : b), rx = p->s[s] / p->s_y, ry = p->s[1 - s] / p->s_y;
  float zy = ry * (float)p->z[1 - s], z = fmaf(rx, (float)p->z[s], zy), fixed = (float)p->z_y - z;
  return fmaf(x, rx, fmaf(y, ry, fixed));
}
