/* 16-bit against 32-bit accumulation on AVX2, on layers where 16 bits are proved to suffice.
 *
 *   bench [MODEL ...]     layer shapes of MobileNet, ResNet-8 and KWS with random weights, then model files (int8, one input, one output)
 *
 * Both sides are qverify's own AVX2 code, no VNNI: bytes widened to int16, vpmaddwd, vpaddd; and vpmaddubsw, vpaddw with as few spills as
 * the proof allows (kernels/exec_acc16.c). A layer's time is its whole op: padding, sums, requantization, store. Every time is the
 * shortest of many; outputs are compared bit for bit, at random inputs and at corners of the range. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "analysis/audit.h"
#include "analysis/facts.h"
#include "analysis/repair.h"
#include "frontend/load.h"
#include "ir/base/rng.h"
#include "kernels/exec_int.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static void die(const char *what) {
  fprintf(stderr, "bench: %s\n", what);
  exit(6);
}

static void *need(void *p) {
  if (p == NULL) die("out of memory");
  return p;
}

static void ok(qv_status st, const qv_err *err) {
  if (st != QV_OK) die(err->msg);
}

static double now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC_RAW, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- inner loops ------------------------------------------------------------------------------------------------------------------ */

#if defined(__x86_64__)
#define T2 __attribute__((target("avx2")))
enum { STEPS = 64, ROUNDS = 4000 };

/* Products per second: 8 accumulators, operands in the first-level cache. */
#define LOOP(name, products, body)                                                                                                  \
  T2 static double name(const uint8_t *x, const uint8_t *w) {                                                                       \
    double best = 1e9;                                                                                                              \
    for (int rep = 0; rep < 40; rep++) {                                                                                            \
      __m256i a[8];                                                                                                                 \
      const __m256i one = _mm256_set1_epi16(1);                                                                                     \
      (void)one;                                                                                                                    \
      for (int i = 0; i < 8; i++) a[i] = _mm256_setzero_si256();                                                                    \
      double t = now();                                                                                                             \
      for (int r = 0; r < ROUNDS; r++)                                                                                              \
        for (int k = 0; k < STEPS; k++) {                                                                                           \
          __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(w + 32 * k));                                              \
          _Pragma("GCC unroll 8") for (int i = 0; i < 8; i++) {                                                                     \
            int32_t g;                                                                                                              \
            memcpy(&g, x + 4 * k + 256 * i, 4);                                                                                     \
            __m256i b = _mm256_set1_epi32(g);                                                                                       \
            body;                                                                                                                   \
          }                                                                                                                         \
        }                                                                                                                           \
      t = now() - t;                                                                                                                \
      __m256i s = a[0];                                                                                                             \
      for (int i = 1; i < 8; i++) s = _mm256_xor_si256(s, a[i]);                                                                    \
      volatile int32_t sink = _mm256_extract_epi32(s, 0);                                                                           \
      (void)sink;                                                                                                                   \
      if (t < best) best = t;                                                                                                       \
    }                                                                                                                               \
    return (double)(products) * 8 * STEPS * ROUNDS / best;                                                                          \
  }

LOOP(loop32, 16, a[i] = _mm256_add_epi32(a[i], _mm256_madd_epi16(b, v)))
LOOP(loop_pairs, 32, a[i] = _mm256_add_epi32(a[i], _mm256_madd_epi16(_mm256_maddubs_epi16(b, v), one)))
LOOP(loop16, 32, a[i] = _mm256_add_epi16(a[i], _mm256_maddubs_epi16(b, v)))

static void loops(void) {
  static uint8_t x[256 * 9], w[32 * STEPS];
  for (size_t i = 0; i < sizeof x; i++) x[i] = (uint8_t)(i * 7);
  for (size_t i = 0; i < sizeof w; i++) w[i] = (uint8_t)(i * 11);
  double t32 = loop32(x, w), tp = loop_pairs(x, w), t16 = loop16(x, w);
  printf("inner loops, G products/s: 32 bits (vpmaddwd, vpaddd) %.1f; pairs, then 32 bits (vpmaddubsw, vpmaddwd, vpaddd) %.1f; 16 bits (vpmaddubsw, "
         "vpaddw) %.1f\n16 bits over 32: %.2f x; over pairs, then 32: %.2f x\n\n", t32 / 1e9, tp / 1e9, t16 / 1e9, t16 / t32, t16 / tp);
}
#else
static void loops(void) { printf("SKIPPED: not an x86-64 CPU\n"); }
#endif

/* ---- layers ------------------------------------------------------------------------------------------------------------------------ */

typedef struct {
  const char *name;
  uint32_t h, ic, oc, k, s;
  bool dw;
} shape;

static const shape shapes[] = {
    {"conv 1x1, 64 to 64, 25x25", 25, 64, 64, 1, 1, false},    {"conv 1x1, 128 to 128, 28x28", 28, 128, 128, 1, 1, false},
    {"conv 1x1, 256 to 256, 14x14", 14, 256, 256, 1, 1, false}, {"conv 1x1, 512 to 512, 7x7", 7, 512, 512, 1, 1, false},
    {"conv 3x3, 16 to 16, 32x32", 32, 16, 16, 3, 1, false},    {"conv 3x3, 32 to 32, 16x16", 16, 32, 32, 3, 1, false},
    {"conv 3x3, 64 to 64, 8x8", 8, 64, 64, 3, 1, false},       {"conv 3x3, 32 to 64, 16x16, stride 2", 16, 32, 64, 3, 2, false},
    {"depthwise 3x3, 64, 25x25", 25, 64, 64, 3, 1, true},      {"dense 256 to 128", 1, 256, 128, 1, 1, false},
};

/* A layer on uint8 values, weights of a bell curve on `levels` levels, requantized to uint8. The accumulator: two wrapping int16 lanes of
 * saturating pairs, the whole sum (or 32 bits). */
static qv_net *layer(const shape *s, int32_t levels, bool narrow) {
  qv_net *net = need(qv_net_new(0));
  qv_rng r = {s->ic * 7 + s->k};
  uint32_t o = (s->h + s->s - 1) / s->s, oc = s->dw ? s->ic : s->oc;
  size_t k = (size_t)s->k * s->k * (s->dw ? 1 : s->ic);
  int32_t *w = need(QV_NEW(&net->arena, oc * k, int32_t)), *zp = need(QV_NEW(&net->arena, 1, int32_t));
  int64_t *b = need(QV_NEW(&net->arena, oc, int64_t));
  qv_rq_par *par = need(QV_NEW(&net->arena, oc, qv_rq_par));
  uint32_t *in = need(QV_NEW(&net->arena, 2, uint32_t));
  for (size_t i = 0; i < oc * k; i++) {
    int64_t sum = 0;
    for (int j = 0; j < 6; j++) sum += qv_rng_range(&r, -64, 64);
    w[i] = (int32_t)(qv_clamp64(sum, -127, 127) * levels / 127);
  }
  for (uint32_t i = 0; i < oc; i++) par[i] = (qv_rq_par){.fn = QV_RQ_D, .m = 1900000000 - (int32_t)qv_rng_range(&r, 0, 1 << 28), .sh = -8};
  qv_tensor t = {.name = "x", .rank = 4, .dim = {1, s->h, s->h, s->ic}, .type = QV_U8, .lo = 0, .hi = 255};
  (void)qv_net_add_tensor(net, &t);
  t = (qv_tensor){.name = "sum", .rank = 4, .dim = {1, o, o, oc}, .type = QV_I32};
  (void)qv_net_add_tensor(net, &t);
  t = (qv_tensor){.name = "y", .rank = 4, .dim = {1, o, o, oc}, .type = QV_U8};
  (void)qv_net_add_tensor(net, &t);
  in[0] = 0, in[1] = 1;
  qv_node d = {.kind = QV_AFFINE, .op = "CONV_2D", .n_in = 1, .in = in, .out = 1};
  d.u.affine = (qv_affine){.win = {1, s->h, s->h, s->ic, o, o, oc, s->k, s->k, s->s, s->s, 1, 1, s->k / 2, s->k / 2, s->dw ? s->ic : 1},
                           .w = w, .n_w_zp = 1, .w_zp = zp, .b = b};
  d.u.affine.acc = narrow ? (qv_acc){.mode = QV_ACC_PAIRLANES, .bits = 32, .raw = true, .lane_bits = 16, .lanes = 2} : (qv_acc){.mode = QV_ACC_WRAP, .bits = 32};
  (void)qv_net_add_node(net, &d);
  d = (qv_node){.kind = QV_STEP, .op = "CONV_2D", .n_in = 1, .in = in + 1, .out = 2};
  d.u.step = (qv_step){.n_par = oc, .par = par, .inner = 1, .lo = 0, .hi = 255};
  (void)qv_net_add_node(net, &d);
  qv_err err = {0};
  if (!qv_net_add_in(net, &(qv_port){.tensor = 0, .end = QV_END_INT, .name = "x"}) || !qv_net_add_out(net, &(qv_port){.tensor = 2, .end = QV_END_INT, .name = "y"}))
    die("out of memory");
  ok(qv_ir_check(net, &err), &err);
  return net;
}

static size_t bytes_of(const qv_net *net, uint32_t t) { return qv_elems(&net->tensor[t]) * qv_dtype_bytes(net->tensor[t].type); }

/* Seconds per sample of the whole plan, inputs and outputs included. */
static double time_plan(qv_plan *p, const unsigned char *in, unsigned char *out, size_t n) {
  double best = 1e9;
  qv_err err = {0};
  for (int rep = 0; rep < 60; rep++) {
    double t = now();
    ok(qv_plan_run(p, n, (const void *const[]){in}, (void *const[]){out}, 1, &err), &err);
    t = (now() - t) / (double)n;
    if (t < best) best = t;
  }
  return best;
}

static double time_op(const qv_plan *p, int reps) {
  double best = 1e9;
  for (int rep = 0; rep < 60; rep++) {
    double t = now();
    for (int i = 0; i < reps; i++)
      if (p->op[0].run(&p->worker[0], &p->op[0]) != QV_OK) die("op failed");
    t = (now() - t) / reps;
    if (t < best) best = t;
  }
  return best;
}

static void fill(unsigned char *in, const qv_net *net, size_t n) {
  qv_rng r = {5};
  const qv_tensor *t = &net->tensor[net->in[0].tensor];
  for (size_t s = 0; s < n; s++)
    for (size_t e = 0; e < qv_elems(t); e++)
      in[s * qv_elems(t) + e] = (unsigned char)(s % 4 == 0 ? t->hi : s % 4 == 1 && e % 2 == 0 ? t->lo : qv_rng_range(&r, t->lo, t->hi));
}

enum { N = 8 };

/* Plan of a net without facts and plan of `narrow` with them: outputs equal, times. Returns the name of the narrow kernel. */
static const char *two_plans(double t[2], qv_net *wide, qv_net *narrow) {
  qv_err err = {0};
  qv_proof proof;
  qv_arena mem = {0};
  const qv_plan_fact *facts;
  qv_plan *p[2];
  size_t ni = bytes_of(wide, wide->in[0].tensor), no = bytes_of(wide, wide->out[0].tensor);
  unsigned char *in = need(malloc(N * ni)), *out[2] = {need(malloc(N * no)), need(malloc(N * no))};
  ok(qv_prove_overflow(&proof, narrow, NULL, NULL, &err), &err);
  ok(qv_proof_facts(&facts, &mem, narrow, &proof, &err), &err);
  ok(qv_plan_new(&p[0], wide, QV_ISA_AVX2, &err), &err);
  ok(qv_plan_new_proved(&p[1], narrow, QV_ISA_AVX2, facts, &err), &err);
  fill(in, wide, N);
  for (int i = 0; i < 2; i++) ok(qv_plan_run(p[i], N, (const void *const[]){in}, (void *const[]){out[i]}, 1, &err), &err);
  if (memcmp(out[0], out[1], N * no) != 0) die("the two plans differ");
  for (int i = 0; i < 2; i++) t[i] = time_op(p[i], 5);
  static char name[100];
  (void)snprintf(name, sizeof name, "%s", qv_plan_kernel(p[1], 0));
  for (int i = 0; i < 2; i++) qv_plan_free(p[i]), free(out[i]);
  free(in);
  qv_arena_clear(&mem);
  qv_proof_clear(&proof);
  return name;
}

/* The same weights in both nets: what the repair made of `narrow` is copied. */
static void copy_layer(qv_net *to, const qv_net *from) {
  qv_err err = {0};
  to->node[0].u.affine.w = from->node[0].u.affine.w;
  to->node[0].u.affine.b = from->node[0].u.affine.b;
  to->node[1].u.step.par = from->node[1].u.step.par;
  ok(qv_ir_check(to, &err), &err);
}

static void one_shape(const shape *s) {
  double half[2], whole[2];
  qv_net *wide = layer(s, 31, false), *same = layer(s, 31, false); /* 6 bits: spilled as often as needed */
  const char *how = two_plans(half, wide, same);
  bool windows = strstr(how, "16 bits") != NULL;
  qv_net *w2 = layer(s, 127, false), *n2 = layer(s, 127, true);
  qv_err err = {0};
  qv_repair f;
  ok(qv_repair_run(&f, n2, NULL, QV_REPAIR_SCALE, &err), &err);
  int64_t levels = f.n_layers == 1 ? f.layer[0].levels : 127;
  copy_layer(w2, n2);
  how = two_plans(whole, w2, n2);
  bool narrow = strstr(how, "16 bits") != NULL;
  printf("| %s | %.1f | ", s->name, whole[0] * 1e6);
  if (narrow) printf("%lld | %.1f | %.2f x | ", (long long)levels, whole[1] * 1e6, whole[0] / whole[1]);
  else printf("%lld | - | - | ", (long long)levels);
  if (windows) printf("%.1f | %.2f x |\n", half[1] * 1e6, half[0] / half[1]);
  else printf("- | - |\n");
  qv_repair_clear(&f);
  qv_net_free(wide);
  qv_net_free(same);
  qv_net_free(w2);
  qv_net_free(n2);
}

/* ---- models ------------------------------------------------------------------------------------------------------------------------ */

static void model(const char *path, const qv_kernel *kernel) {
  qv_err err = {0};
  qv_net *given = NULL, *oaq = NULL;
  qv_load_opts opts = {0};
  uint32_t layers, narrow = 0, affine = 0;
  qv_repair f;
  qv_proof proof;
  qv_arena mem = {0};
  const qv_plan_fact *facts;
  qv_plan *p[2];
  ok(qv_load_model(&given, path, &opts, &err), &err);
  ok(qv_load_model(&oaq, path, &opts, &err), &err);
  if (given->n_in != 1 || given->n_out != 1) die("one input and one output, please");
  ok(qv_kernel_assume(oaq, kernel, false, &layers, &err), &err);
  ok(qv_repair_run(&f, oaq, NULL, QV_REPAIR_SCALE, &err), &err);
  ok(qv_prove_overflow(&proof, oaq, NULL, NULL, &err), &err);
  ok(qv_proof_facts(&facts, &mem, oaq, &proof, &err), &err);
  ok(qv_plan_new(&p[0], given, QV_ISA_AVX2, &err), &err);
  ok(qv_plan_new_proved(&p[1], oaq, QV_ISA_AVX2, facts, &err), &err);
  for (uint32_t k = 0; k < oaq->n_nodes; k++) {
    affine += oaq->node[k].kind == QV_AFFINE;
    narrow += strstr(qv_plan_kernel(p[1], k), "16 bits") != NULL;
  }
  size_t ni = bytes_of(given, given->in[0].tensor), no = bytes_of(given, given->out[0].tensor);
  unsigned char *in = need(malloc(N * ni)), *out = need(malloc(N * no)), *want = need(malloc(N * no));
  fill(in, given, N);
  double t0 = time_plan(p[0], in, out, N), t1 = time_plan(p[1], in, out, N);
  qv_values v; /* the 16-bit plan against the reference */
  ok(qv_values_init(&v, oaq, &err), &err);
  for (size_t s = 0; s < N; s++) {
    const qv_tensor *t = &oaq->tensor[oaq->in[0].tensor], *y = &oaq->tensor[oaq->out[0].tensor];
    for (size_t e = 0; e < ni; e++) v.v[oaq->in[0].tensor][e] = t->type == QV_I8 ? (int8_t)in[s * ni + e] : in[s * ni + e];
    ok(qv_ref_run(oaq, &v, &err), &err);
    for (size_t e = 0; e < qv_elems(y); e++) want[s * no + e] = (unsigned char)v.v[oaq->out[0].tensor][e];
  }
  if (memcmp(out, want, N * no) != 0) die("the 16-bit plan differs from the reference");
  const char *name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
  printf("| %s, %s | %u of %u | %.1f | %.1f | %.2f x |\n", name, kernel->name, narrow, affine, t0 * 1e6, t1 * 1e6, t0 / t1);
  qv_values_clear(&v);
  free(in);
  free(out);
  free(want);
  for (int i = 0; i < 2; i++) qv_plan_free(p[i]);
  qv_arena_clear(&mem);
  qv_proof_clear(&proof);
  qv_repair_clear(&f);
  qv_net_free(given);
  qv_net_free(oaq);
}

int main(int argc, char **argv) {
  if (qv_isa_detect() < QV_ISA_AVX2) {
    printf("SKIPPED: this CPU has no AVX2\n");
    return 0;
  }
  loops();
  printf("| layer, requantization included | 32 bits, us | levels proved, no spill | 16 bits, us | ratio | 31 levels, spilled: us | ratio |\n|---|---|---|---|---|---|---|\n");
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) one_shape(&shapes[i]);
  if (argc > 1) printf("\n| model on AVX2, weights scaled for | layers in 16 bits | 32 bits, us a sample | 16 bits, us | ratio |\n|---|---|---|---|---|\n");
  static const qv_kernel whole = {.name = "whole sums in two lanes", .summary = "", .any_type = true,
                                  .acc = {.mode = QV_ACC_PAIRLANES, .bits = 32, .lane_bits = 16, .lanes = 2}};
  for (int i = 1; i < argc; i++) {
    model(argv[i], qv_kernel_find("mnn-oaq"));
    model(argv[i], &whole);
  }
  return 0;
}
