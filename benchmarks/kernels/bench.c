/* How fast qv_plan_run is, as a share of what the core can do.
 *
 *   bench [MODEL ...]     nets with the layer shapes of the KWS DS-CNN and of ResNet-8 (random weights: time does not depend on
 *                         them), then any model files. One thread.
 *
 * The peak is measured in the same run: vpdpbusd on 24 independent register accumulators, 64 multiply-adds each. Every time
 * is the shortest of many short repetitions, because the machine may be shared. A layer's time includes everything that
 * its op does: padding, interleaving, requantization to int8, store. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frontend/load.h"
#include "ir/base/rng.h"
#include "kernels/exec_int.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---- time ------------------------------------------------------------------------------------------------------------- */

static double now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC_RAW, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#if defined(__x86_64__)
/* Multiply-adds per second of a loop that does nothing but vpdpbusd. */
__attribute__((target("avx512f,avx512vnni"))) static double peak_vnni(void) {
  double best = 1e9;
  for (int rep = 0; rep < 200; rep++) {
    __m512i a[24], x = _mm512_set1_epi8(3), w = _mm512_set1_epi8(5);
#pragma GCC unroll 24
    for (int i = 0; i < 24; i++) a[i] = _mm512_set1_epi32(i);
    double t = now();
    for (int k = 0; k < 2000; k++) {
#pragma GCC unroll 24
      for (int i = 0; i < 24; i++) __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(a[i]) : "v"(x), "v"(w));
    }
    t = now() - t;
    if (t < best) best = t;
  }
  return 2000.0 * 24 * 64 / best;
}
#endif

/* ---- nets ------------------------------------------------------------------------------------------------------------- */

typedef struct {
  qv_net *net;
  qv_rng r;
} builder;

static void die(const char *what) {
  fprintf(stderr, "bench: %s\n", what);
  exit(6);
}

static void *need(void *p) {
  if (p == NULL) die("out of memory");
  return p;
}

#define ARRAY(b, n, type) ((type *)need(QV_NEW(&(b)->net->arena, (n), type)))

static uint32_t tensor(builder *b, uint32_t h, uint32_t w, uint32_t c) {
  qv_tensor t = {.rank = 4, .dim = {1, h, w, c}, .type = QV_I8, .lo = -128, .hi = 127};
  t.name = need(qv_arena_printf(&b->net->arena, "t%u", b->net->n_tensors));
  return qv_net_add_tensor(b->net, &t);
}

static uint32_t add_node(builder *b, qv_node d, uint32_t x, uint32_t x2, uint32_t h, uint32_t w, uint32_t c, qv_dtype type) {
  uint32_t *in = ARRAY(b, 2, uint32_t);
  in[0] = x, in[1] = x2;
  d.n_in = x2 == QV_NONE ? 1 : 2;
  d.in = in;
  d.layer = b->net->n_nodes;
  d.out = tensor(b, h, w, c);
  b->net->tensor[d.out].type = type;
  if (qv_net_add_node(b->net, &d) == QV_NONE) die("out of memory");
  return d.out;
}

/* Requantization to int8 by RQ_D with one multiplier per channel. */
static uint32_t step(builder *b, uint32_t x, uint32_t n_par, qv_rq_par p, int64_t in_zp, uint32_t lshift, bool wide) {
  const qv_tensor t = b->net->tensor[x];
  qv_rq_par *par = ARRAY(b, n_par, qv_rq_par);
  for (uint32_t i = 0; i < n_par; i++) {
    par[i] = p;
    if (n_par > 1) par[i].m -= (int32_t)qv_rng_range(&b->r, 0, 1 << 28);
  }
  qv_node d = {.kind = QV_STEP, .op = "STEP"};
  d.u.step = (qv_step){.in_zp = in_zp,
                       .lshift = lshift,
                       .n_par = n_par,
                       .par = par,
                       .inner = 1,
                       .out_zp = wide ? 0 : -128,
                       .lo = wide ? INT32_MIN / 2 : -128,
                       .hi = wide ? INT32_MAX / 2 : 127};
  return add_node(b, d, x, QV_NONE, t.dim[1], t.dim[2], t.dim[3], wide ? QV_I32 : QV_I8);
}

static uint32_t conv(builder *b, uint32_t x, uint32_t kh, uint32_t kw, uint32_t s, uint32_t oc, bool dw) {
  const qv_tensor t = b->net->tensor[x];
  uint32_t ih = t.dim[1], iw = t.dim[2], ic = t.dim[3], oh = (ih + s - 1) / s, ow = (iw + s - 1) / s;
  int ph = (int)((oh - 1) * s + kh) - (int)ih, pw = (int)((ow - 1) * s + kw) - (int)iw; /* SAME padding */
  size_t k = (size_t)kh * kw * (dw ? 1 : ic);
  int32_t *w = ARRAY(b, oc * k, int32_t), *zp = ARRAY(b, 1, int32_t);
  int64_t *bias = ARRAY(b, oc, int64_t);
  for (size_t i = 0; i < oc * k; i++) w[i] = (int32_t)qv_rng_range(&b->r, -127, 127);
  for (uint32_t i = 0; i < oc; i++) bias[i] = qv_rng_range(&b->r, -5000, 5000);
  qv_node d = {.kind = QV_AFFINE, .op = dw ? "DEPTHWISE_CONV_2D" : "CONV_2D"};
  d.u.affine = (qv_affine){.win = {.n = 1,
                                   .ih = ih,
                                   .iw = iw,
                                   .ic = ic,
                                   .oh = oh,
                                   .ow = ow,
                                   .oc = oc,
                                   .kh = kh,
                                   .kw = kw,
                                   .sh = s,
                                   .sw = s,
                                   .dh = 1,
                                   .dw = 1,
                                   .pt = ph > 0 ? (uint32_t)ph / 2 : 0,
                                   .pl = pw > 0 ? (uint32_t)pw / 2 : 0,
                                   .groups = dw ? ic : 1},
                           .x_zp = -128,
                           .w = w,
                           .n_w_zp = 1,
                           .w_zp = zp,
                           .b = bias,
                           .acc = {.mode = QV_ACC_WRAP, .bits = 32}};
  x = add_node(b, d, x, QV_NONE, oh, ow, oc, QV_I32);
  return step(b, x, oc, (qv_rq_par){.fn = QV_RQ_D, .m = 1900000000, .sh = -8}, 0, 0, false);
}

/* TFLite's ADD: two steps, a sum, a step. */
static uint32_t add(builder *b, uint32_t x, uint32_t y) {
  const qv_tensor t = b->net->tensor[x];
  x = step(b, x, 1, (qv_rq_par){.fn = QV_RQ_D, .m = 1700000000, .sh = -1}, -128, 20, true);
  y = step(b, y, 1, (qv_rq_par){.fn = QV_RQ_D, .m = 1500000000, .sh = 0}, -128, 20, true);
  int64_t *c = ARRAY(b, 2, int64_t), *z = ARRAY(b, 2, int64_t);
  c[0] = c[1] = 1;
  qv_node d = {.kind = QV_SUM, .op = "ADD"};
  d.u.sum = (qv_sum){.c = c, .z = z, .acc = {.mode = QV_ACC_WRAP, .bits = 32}};
  x = add_node(b, d, x, y, t.dim[1], t.dim[2], t.dim[3], QV_I32);
  return step(b, x, 1, (qv_rq_par){.fn = QV_RQ_D, .m = 1600000000, .sh = -19}, 0, 0, false);
}

/* Mean over the image, dense layer, softmax. */
static uint32_t head(builder *b, uint32_t x, uint32_t classes) {
  const qv_tensor t = b->net->tensor[x];
  uint32_t h = t.dim[1], w = t.dim[2], c = t.dim[3];
  int32_t *one = ARRAY(b, (size_t)h * w * c, int32_t), *zp = ARRAY(b, 1, int32_t);
  for (size_t i = 0; i < (size_t)h * w * c; i++) one[i] = 1;
  qv_node d = {.kind = QV_AFFINE, .op = "AVERAGE_POOL_2D"};
  d.u.affine = (qv_affine){
      .win =
          {.n = 1, .ih = h, .iw = w, .ic = c, .oh = 1, .ow = 1, .oc = c, .kh = h, .kw = w, .sh = 1, .sw = 1, .dh = 1, .dw = 1, .groups = c},
      .w = one,
      .n_w_zp = 1,
      .w_zp = zp,
      .b = ARRAY(b, c, int64_t),
      .acc = {.mode = QV_ACC_WRAP, .bits = 32}};
  x = add_node(b, d, x, QV_NONE, 1, 1, c, QV_I32);
  x = step(b, x, 1, (qv_rq_par){.fn = QV_RQ_DIV, .m = (int32_t)(h * w)}, 0, 0, false);
  x = conv(b, x, 1, 1, 1, classes, false);
  d = (qv_node){.kind = QV_TAIL, .op = "SOFTMAX"};
  d.u.tail = (qv_tail){
      .fn = QV_TAIL_SOFTMAX_Q, .mult = 1077952640, .ls = 22, .diff_min = -496, .out_bits = 8, .out_zp = -128, .lo = -128, .hi = 127};
  return add_node(b, d, x, QV_NONE, 1, 1, classes, QV_I8);
}

static qv_net *finish(builder *b, uint32_t y) {
  qv_err err = {0};
  if (!qv_net_add_in(b->net, &(qv_port){.tensor = 0, .end = QV_END_INT, .name = "in"}) ||
      !qv_net_add_out(b->net, &(qv_port){.tensor = y, .end = QV_END_INT, .name = "out"}))
    die("out of memory");
  if (qv_ir_check(b->net, &err) != QV_OK) die(err.msg);
  return b->net;
}

static qv_net *kws(void) {
  builder b = {need(qv_net_new(0)), {1}};
  uint32_t x = conv(&b, tensor(&b, 49, 10, 1), 10, 4, 2, 64, false);
  for (int i = 0; i < 4; i++) x = conv(&b, conv(&b, x, 3, 3, 1, 64, true), 1, 1, 1, 64, false);
  return finish(&b, head(&b, x, 12));
}

static qv_net *resnet8(void) {
  builder b = {need(qv_net_new(0)), {2}};
  uint32_t x = conv(&b, tensor(&b, 32, 32, 3), 3, 3, 1, 16, false);
  for (uint32_t c = 16; c <= 64; c *= 2) {
    uint32_t s = c == 16 ? 1 : 2, y = conv(&b, conv(&b, x, 3, 3, s, c, false), 3, 3, 1, c, false);
    if (s == 2) x = conv(&b, x, 1, 1, s, c, false);
    x = add(&b, x, y);
  }
  return finish(&b, head(&b, x, 10));
}

/* ---- measurement ------------------------------------------------------------------------------------------------------ */

static double macs(const qv_node *d) {
  const qv_window *g = &d->u.affine.win;
  return d->kind == QV_AFFINE ? (double)g->n * g->oh * g->ow * g->oc * g->kh * g->kw * (g->ic / g->groups) : 0;
}

typedef struct {
  qv_plan *p;
  unsigned char *in, *out;
  size_t n;
} bench_run;

/* Seconds per sample of the whole net. */
static double time_net(bench_run *r) {
  double best = 1e9;
  qv_err err = {0};
  for (int rep = 0; rep < 100; rep++) {
    double t = now();
    if (qv_plan_run(r->p, r->n, (const void *const[]){r->in}, (void *const[]){r->out}, 1, &err) != QV_OK) die(err.msg);
    t = (now() - t) / (double)r->n;
    if (t < best) best = t;
  }
  return best;
}

/* Seconds of one op on the values that the last sample left behind. Its inputs may have been overwritten by later tensors:
 * then it runs on other bytes in the same time. */
static double time_op(bench_run *r, uint32_t k, int reps) {
  double best = 1e9;
  const qv_op *op = &r->p->op[k];
  if (op->run == NULL) return 0;
  for (int rep = 0; rep < 30; rep++) {
    double t = now();
    for (int i = 0; i < reps; i++)
      if (op->run(&r->p->worker[0], op) != QV_OK) die("op failed");
    t = (now() - t) / reps;
    if (t < best) best = t;
  }
  return best;
}

#define N_ISAS 3
static const qv_isa isas[N_ISAS] = {QV_ISA_AVX512VNNI, QV_ISA_AVX2, QV_ISA_PORTABLE};

static size_t io_bytes(const qv_net *net, uint32_t t) { return qv_elems(&net->tensor[t]) * qv_dtype_bytes(net->tensor[t].type); }

static bool is_small(const qv_net *net) { return net->n_in == 1 && net->n_out == 1; }

static void random_bytes(bench_run *r, const qv_net *net) {
  qv_rng g = {3};
  const qv_tensor *t = &net->tensor[net->in[0].tensor];
  size_t sz = qv_dtype_bytes(t->type);
  for (size_t i = 0; i < qv_elems(t) * r->n; i++) {
    int64_t v = qv_rng_range(&g, t->lo, t->hi);
    memcpy(r->in + i * sz, &v, sz);
  }
}

static void bench_net(const char *name, const qv_net *net, double peak) {
  bench_run r[N_ISAS] = {{0}};
  double total = 0, best = 0, layer_macs = 0;
  if (!is_small(net)) {
    printf("\n%s: skipped, needs one input and one output\n", name);
    return;
  }
  for (uint32_t k = 0; k < net->n_nodes; k++) total += macs(&net->node[k]);
  printf("\n## %s: %.3f million multiply-adds\n", name, total / 1e6);
  printf("%-34s %9s %7s | %9s %6s | %9s %6s | %9s %6s\n", "layer (op: kernel)", "MAC", "share%", "vnni us", "%peak", "avx2 us", "ratio",
         "plain us", "ratio");
  for (int i = 0; i < N_ISAS; i++) {
    qv_err err = {0};
    r[i].n = isas[i] == QV_ISA_PORTABLE ? 1 : isas[i] == QV_ISA_AVX2 ? 4 : 16; /* bursts shorter than a time slice */
    if (isas[i] > qv_isa_detect()) continue;
    if (qv_plan_new(&r[i].p, net, isas[i], &err) != QV_OK) die(err.msg);
    r[i].in = need(calloc(r[i].n, io_bytes(net, net->in[0].tensor)));
    r[i].out = need(calloc(r[i].n, io_bytes(net, net->out[0].tensor)));
    random_bytes(&r[i], net);
  }
  double t[N_ISAS] = {0};
  for (int i = 0; i < N_ISAS; i++)
    if (r[i].p != NULL) t[i] = time_net(&r[i]);
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    double m = macs(&net->node[k]), u[N_ISAS] = {0};
    for (int i = 0; i < N_ISAS; i++)
      if (r[i].p != NULL) u[i] = time_op(&r[i], k, i == 2 ? 1 : 10);
    if (u[N_ISAS - 1] == 0) continue; /* fused */
    const qv_window *g = &net->node[k].u.affine.win;
    char label[64];
    if (m > 0)
      (void)snprintf(label, sizeof label, "%s %ux%u %u->%u %ux%u", g->groups > 1 ? "dw" : "conv", g->kh, g->kw, g->ic, g->oc, g->oh, g->ow);
    else (void)snprintf(label, sizeof label, "%s (%s)", net->node[k].op, qv_kind_name(net->node[k].kind));
    printf("%-34s %9.0f %7.2f | %9.2f", label, m, 100 * m / total, u[0] * 1e6);
    if (m > 0 && u[0] > 0) printf(" %6.1f", 100 * m / u[0] / peak), best += u[0], layer_macs += m;
    else printf(" %6s", "");
    printf(" | %9.2f %6.1f | %9.2f %6.1f\n", u[1] * 1e6, u[0] > 0 ? u[1] / u[0] : 0, u[2] * 1e6, u[0] > 0 ? u[2] / u[0] : 0);
  }
  if (best > 0) printf("affine layers with requantization: %.1f %% of peak (weighted by multiply-adds)\n", 100 * layer_macs / best / peak);
  for (int i = 0; i < N_ISAS; i++)
    if (r[i].p != NULL)
      printf("whole net, %-10s %9.0f samples/s  %8.2f us/sample  %5.1f %% of peak  %5.1f x plain\n", qv_isa_name(isas[i]), 1 / t[i],
             t[i] * 1e6, peak > 0 ? 100 * total / t[i] / peak : 0, t[2] / t[i]);
    else printf("whole net, %-10s SKIPPED: not on this CPU\n", qv_isa_name(isas[i]));
  if (r[0].p != NULL)
    printf("memory per thread (vnni): %zu KiB of activations, %zu KiB of scratch\n", r[0].p->act_bytes >> 10,
           (r[0].p->pad_bytes + r[0].p->weave_bytes) >> 10);
  for (int i = 0; i < N_ISAS; i++) {
    qv_plan_free(r[i].p);
    free(r[i].in);
    free(r[i].out);
  }
}

int main(int argc, char **argv) {
  double peak = 0;
#if defined(__x86_64__)
  if (qv_isa_detect() == QV_ISA_AVX512VNNI) {
    peak = peak_vnni();
    printf("int8 peak of this core (register-only vpdpbusd): %.1f G multiply-adds/s\n", peak / 1e9);
  }
#endif
  if (peak == 0) printf("SKIPPED: no AVX512-VNNI on this CPU, shares of the peak cannot be given\n");
  qv_net *nets[2] = {kws(), resnet8()};
  bench_net("KWS DS-CNN", nets[0], peak);
  bench_net("ResNet-8", nets[1], peak);
  qv_net_free(nets[0]);
  qv_net_free(nets[1]);
  for (int i = 1; i < argc; i++) {
    qv_net *net = NULL;
    qv_err err = {0};
    if (qv_load_model(&net, argv[i], &(qv_load_opts){0}, &err) != QV_OK) {
      printf("\n%s: SKIPPED: %s\n", argv[i], err.msg);
      continue;
    }
    bench_net(argv[i], net, peak);
    qv_net_free(net);
  }
  return 0;
}
