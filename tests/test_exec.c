/* Fast batch execution against the scalar reference (kernels/ref.h), bit for bit: random nets over all kinds and accumulator
 * modes, real layer shapes, every requantization function, every instruction set of this CPU, several thread counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/exec.h"
#include "kernels/step.h"
#include "tests/gen.h"

#define MAX_OUT 16
#define MAX_SAMPLES 17

static uint64_t effort(void) {
  const char *s = getenv("QV_TEST_MULT");
  long v = s != NULL ? atol(s) : 1;
  return v > 0 ? (uint64_t)v : 1;
}

static const qv_isa isas[] = {QV_ISA_PORTABLE, QV_ISA_AVX2, QV_ISA_AVX512VNNI};
#define N_ISAS (sizeof isas / sizeof isas[0])

/* ---- which kernels have been compared ----------------------------------------------------------------------------------- */

static const char *seen[64];
static size_t n_seen;

static void note_kernels(const qv_plan *p, const qv_net *net) {
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    const char *name = qv_plan_kernel(p, k);
    size_t i = 0;
    while (i < n_seen && strcmp(seen[i], name) != 0) i++;
    if (i == n_seen && n_seen < sizeof seen / sizeof seen[0]) seen[n_seen++] = name;
  }
}

static bool was_seen(const char *name) {
  for (size_t i = 0; i < n_seen; i++)
    if (strcmp(seen[i], name) == 0) return true;
  return false;
}

/* ---- one net ------------------------------------------------------------------------------------------------------------ */

typedef struct {
  const qv_net *net;
  size_t n; /* samples */
  unsigned char *in[2], *want[MAX_OUT], *got[MAX_OUT];
  size_t out_bytes[MAX_OUT]; /* per sample */
  uint32_t n_out;
  qv_status st; /* of the reference: the first sample that fails */
} batch;

static size_t bytes_of(const qv_tensor *t) { return qv_elems(t) * qv_dtype_bytes(t->type); }

/* Little endian two's complement: the low bytes of the value. */
static void put(unsigned char *dst, const qv_tensor *t, const int64_t *v) {
  for (size_t e = 0; e < qv_elems(t); e++) memcpy(dst + e * qv_dtype_bytes(t->type), &v[e], qv_dtype_bytes(t->type));
}

static void put1(unsigned char *dst, const qv_tensor *t, size_t e, int64_t v) {
  memcpy(dst + e * qv_dtype_bytes(t->type), &v, qv_dtype_bytes(t->type));
}

static void *must(void *p) {
  assert_non_null(p);
  return p;
}

static void batch_init(batch *b, qv_rng *r, qv_net *net, size_t n) {
  *b = (batch){.net = net, .n = n, .n_out = net->n_out};
  assert_true(net->n_out <= MAX_OUT && net->n_in <= 2);
  qv_values vals;
  assert_int_equal(qv_values_init(&vals, net, NULL), QV_OK);
  for (uint32_t i = 0; i < net->n_in; i++) b->in[i] = must(calloc(n + 1, bytes_of(&net->tensor[net->in[i].tensor])));
  for (uint32_t i = 0; i < net->n_out; i++) {
    b->out_bytes[i] = bytes_of(&net->tensor[net->out[i].tensor]);
    b->want[i] = must(calloc(n + 1, b->out_bytes[i]));
    b->got[i] = must(calloc(n + 1, b->out_bytes[i]));
  }
  for (size_t s = 0; s < n; s++) {
    gen_inputs(r, net, &vals);
    for (uint32_t i = 0; i < net->n_in; i++) {
      const qv_tensor *t = &net->tensor[net->in[i].tensor];
      put(b->in[i] + s * bytes_of(t), t, vals.v[net->in[i].tensor]);
    }
    if (b->st != QV_OK) continue;
    b->st = qv_ref_run(net, &vals, NULL);
    for (uint32_t i = 0; i < net->n_out; i++)
      put(b->want[i] + s * b->out_bytes[i], &net->tensor[net->out[i].tensor], vals.v[net->out[i].tensor]);
  }
  qv_values_clear(&vals);
}

static void batch_clear(batch *b) {
  for (int i = 0; i < 2; i++) free(b->in[i]);
  for (int i = 0; i < MAX_OUT; i++) free(b->want[i]), free(b->got[i]);
}

/* Run the batch on one instruction set and compare. `what` names the net in messages. */
static void compare(batch *b, qv_isa isa, unsigned threads, const char *what, uint64_t seed) {
  qv_plan *p = NULL;
  qv_err err = {0};
  qv_status st = qv_plan_new(&p, b->net, isa, &err);
  if (st != QV_OK) fail_msg("%s seed %llu: plan: %s", what, (unsigned long long)seed, err.msg);
  for (uint32_t i = 0; i < b->n_out; i++) memset(b->got[i], 0xA5, (b->n + 1) * b->out_bytes[i]);
  st = qv_plan_run(p, b->n, (const void *const[]){b->in[0], b->in[1]}, (void *const *)b->got, threads, &err);
  if (st != b->st)
    fail_msg("%s seed %llu %s: status %s, reference %s (%s)", what, (unsigned long long)seed, qv_isa_name(isa), qv_status_name(st),
             qv_status_name(b->st), err.msg);
  for (uint32_t i = 0; st == QV_OK && i < b->n_out; i++) {
    for (size_t k = 0; k < b->out_bytes[i]; k++) assert_int_equal(b->got[i][b->n * b->out_bytes[i] + k], 0xA5); /* nothing past the end */
    if (memcmp(b->got[i], b->want[i], b->n * b->out_bytes[i]) == 0) continue;
    for (uint32_t k = 0; k < b->net->n_nodes; k++)
      print_message("  node %u %s -> %s: %s\n", k, qv_kind_name(b->net->node[k].kind), b->net->tensor[b->net->node[k].out].name,
                    qv_plan_kernel(p, k));
    fail_msg("%s seed %llu %s threads %u: output '%s' differs from the reference", what, (unsigned long long)seed, qv_isa_name(isa),
             threads, b->net->tensor[b->net->out[i].tensor].name);
  }
  note_kernels(p, b->net);
  qv_plan_free(p);
}

/* A generated net on every instruction set; the number of samples and threads varies with the seed. */
static void check_net(const char *what, uint64_t seed, const gen_opts *o) {
  static const size_t counts[] = {1, 2, 17, 0, 3};
  qv_rng r = {seed};
  qv_net *net = must(gen_net(&r, o));
  if (net->n_out <= MAX_OUT) {
    batch b;
    batch_init(&b, &r, net, counts[seed % 5]);
    for (size_t i = 0; i < N_ISAS; i++)
      if (isas[i] <= qv_isa_detect()) compare(&b, isas[i], (unsigned)(1 + seed % 3), what, seed);
    batch_clear(&b);
  }
  qv_net_free(net);
}

/* ---- tests -------------------------------------------------------------------------------------------------------------- */

static void random_nets(void **state) {
  (void)state;
  for (uint64_t i = 0; i < 400 * effort(); i++) check_net("any", i, NULL);
}

static void tiny_nets(void **state) {
  (void)state;
  for (uint64_t i = 0; i < 300 * effort(); i++)
    check_net("tiny", i, &(gen_opts){.max_in = 3, .in_bits = 4, .max_nodes = 5, .max_elems = 64});
}

static void layered_nets(void **state) {
  (void)state;
  for (uint64_t i = 0; i < 250 * effort(); i++)
    check_net("layers", i, &(gen_opts){.max_in = 1500, .max_nodes = 7, .max_elems = 3000, .max_k = 500, .layers = true});
}

/* Wide inputs: 16-bit activations, int64 accumulators. */
static void wide_nets(void **state) {
  (void)state;
  for (uint64_t i = 0; i < 250 * effort(); i++)
    check_net("wide", i, &(gen_opts){.max_in = 400, .in_bits = 16, .max_nodes = 4, .max_elems = 2000, .max_k = 3000});
}

/* Many channels: several panels and tiles per node. */
static void large_nets(void **state) {
  (void)state;
  for (uint64_t i = 0; i < 40 * effort(); i++)
    check_net("large", i,
              &(gen_opts){.max_in = 6000,
                          .max_nodes = 2,
                          .max_elems = 6000,
                          .max_k = 1200,
                          .layers = true,
                          .kinds = 1u << QV_AFFINE | 1u << QV_STEP | 1u << QV_SUM});
}

/* Only affine nodes and steps, in every accumulator mode. */
static void accumulators(void **state) {
  (void)state;
  for (unsigned mode = 0; mode <= QV_ACC_PAIRLANES; mode++)
    for (uint64_t i = 0; i < 60 * effort(); i++)
      check_net(
          "accumulator", i,
          &(gen_opts){
              .max_in = 200, .in_bits = i % 2 ? 8 : 4, .max_nodes = 3, .modes = 1u << mode, .kinds = 1u << QV_AFFINE | 1u << QV_STEP});
}

/* ---- accumulators at the very edge: one dense channel whose largest sum is exactly `top` ---------------------------------- */

/* k taps of weight w (the last one makes up for the rest), inputs in [0, xmax], zero point x_zp. */
static qv_net *edge_net(qv_acc acc, uint32_t k, int32_t w, int64_t xmax, int32_t x_zp, int64_t top) {
  qv_net *net = must(qv_net_new(0));
  uint32_t *in = must(QV_NEW(&net->arena, 1, uint32_t));
  int32_t *wt = must(QV_NEW(&net->arena, k, int32_t)), *zp = must(QV_NEW(&net->arena, 1, int32_t));
  int64_t *b = must(QV_NEW(&net->arena, 1, int64_t));
  int64_t left = top / (xmax - x_zp);
  for (uint32_t i = 0; i < k; i++) {
    wt[i] = (int32_t)(i + 1 < k && left > w ? w : left);
    left -= wt[i];
  }
  qv_node d = {.kind = QV_AFFINE, .op = "EDGE", .n_in = 1, .in = in, .out = 1};
  d.u.affine = (qv_affine){
      .win = {1, 1, 1, k, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1}, .x_zp = x_zp, .w = wt, .n_w_zp = 1, .w_zp = zp, .b = b, .acc = acc};
  assert_int_equal(qv_net_add_tensor(net, &(qv_tensor){.name = "x", .rank = 2, .dim = {1, k}, .type = QV_I16, .hi = xmax}), 0);
  assert_int_equal(qv_net_add_tensor(net, &(qv_tensor){.name = "y", .rank = 2, .dim = {1, 1}, .type = QV_I64}), 1);
  assert_int_equal(qv_net_add_node(net, &d), 0);
  assert_true(qv_net_add_in(net, &(qv_port){.tensor = 0, .end = QV_END_INT, .name = "x"}));
  assert_true(qv_net_add_out(net, &(qv_port){.tensor = 1, .end = QV_END_INT, .name = "y"}));
  assert_int_equal(qv_ir_check(net, NULL), QV_OK);
  return net;
}

static void check_edge(const char *what, qv_acc acc, uint32_t k, int32_t w, int64_t xmax, int32_t x_zp, int64_t top) {
  qv_net *net = edge_net(acc, k, w, xmax, x_zp, top);
  qv_values vals;
  batch b = {.net = net, .n = 1, .n_out = 1, .out_bytes = {8}};
  assert_int_equal(qv_values_init(&vals, net, NULL), QV_OK);
  for (uint32_t i = 0; i < k; i++) vals.v[0][i] = xmax; /* the largest sum */
  b.in[0] = must(calloc(k, 2));
  b.want[0] = must(calloc(2, 8));
  b.got[0] = must(calloc(2, 8));
  put(b.in[0], &net->tensor[0], vals.v[0]);
  b.st = qv_ref_run(net, &vals, NULL);
  put(b.want[0], &net->tensor[1], vals.v[1]);
  for (size_t i = 0; i < N_ISAS; i++)
    if (isas[i] <= qv_isa_detect()) compare(&b, isas[i], 1, what, (uint64_t)top);
  qv_values_clear(&vals);
  batch_clear(&b);
  qv_net_free(net);
}

static void accumulators_at_the_edge(void **state) {
  (void)state;
  for (int64_t d = -1; d <= 2; d++) {
    check_edge("sat", (qv_acc){.mode = QV_ACC_SAT, .bits = 16}, 400, 127, 1, 0, 32767 + d);
    check_edge("trap", (qv_acc){.mode = QV_ACC_TRAP, .bits = 16}, 400, 127, 1, 0, 32767 + d);
    check_edge("wrap16", (qv_acc){.mode = QV_ACC_WRAP, .bits = 16}, 400, 127, 1, 0, 32767 + d);
    check_edge("pair", (qv_acc){.mode = QV_ACC_PAIR16, .bits = 32}, 2, 127, 1 << 7, 0, (256 + d) << 7);
    check_edge("pair, raw", (qv_acc){.mode = QV_ACC_PAIR16, .bits = 32, .raw = true}, 2, 127, 256, 255, 128 + d);
    check_edge("lanes, wrap", (qv_acc){.mode = QV_ACC_LANES, .bits = 32, .lanes = 1, .lane_bits = 16}, 400, 127, 1, 0, 32767 + d);
    check_edge("lanes, sat", (qv_acc){.mode = QV_ACC_LANES, .bits = 32, .lanes = 1, .lane_bits = 16, .lane_sat = true}, 400, 127, 1, 0,
               32767 + d);
    check_edge("lanes, raw", (qv_acc){.mode = QV_ACC_LANES, .bits = 32, .lanes = 1, .lane_bits = 16, .raw = true}, 400, 127, 128, 127,
               255 + d);
    check_edge("lanes of pairs", (qv_acc){.mode = QV_ACC_PAIRLANES, .bits = 32, .lanes = 1, .lane_bits = 16, .lane_sat = true}, 400, 127, 1, 0,
               32767 + d);
    check_edge("lanes of pairs, raw", (qv_acc){.mode = QV_ACC_PAIRLANES, .bits = 32, .lanes = 1, .lane_bits = 16, .raw = true}, 400, 127, 128, 127,
               255 + d);
    check_edge("exact, 32 bits", (qv_acc){.mode = QV_ACC_EXACT}, 600, 127, 32767, 0, (65537 + d) * 32767);
    check_edge("exact, 40 bits", (qv_acc){.mode = QV_ACC_EXACT}, 3000, 127, 32767, 0, (int64_t)3000 * 127 * 32767 + d * 32767);
    check_edge("wrap 40", (qv_acc){.mode = QV_ACC_WRAP, .bits = 33}, 3000, 127, 32767, 0, (int64_t)3000 * 127 * 32767 + d * 32767);
  }
}

/* ---- requantization: nets of a single step, many channels, inputs at the edges ------------------------------------------- */

#define STEP_CHANNELS 24
#define STEP_ROWS 40

/* Parameters away from the usual: results far outside int32 or all zero, small or negative multipliers. */
static void vary(qv_rng *r, qv_rq_par *p) {
  int k = (int)qv_rng_range(r, 0, 14);
  if (p->M != 0) p->M *= k % 2 ? (double)(1 << k) : 1.0 / (1 << k);
  else if (p->fn != QV_RQ_DIV && p->fn != QV_RQ_TDIV) {
    if (k % 3 == 0) p->m >>= k * 2;
    if (p->fn == QV_RQ_D && k % 5 == 0) p->m = -p->m;
    p->sh += k % 2 ? k : -k;
  }
}

static qv_net *step_net(qv_rng *r, unsigned fn_a, unsigned fn_b, int bits) {
  qv_net *net = must(qv_net_new(0));
  int64_t lim = (int64_t)1 << bits;
  qv_tensor x = {.name = "x", .rank = 2, .dim = {STEP_ROWS, STEP_CHANNELS}, .type = bits < 8 ? QV_I8 : QV_I64, .lo = -lim, .hi = lim - 1},
            y = x;
  y.name = "y", y.type = QV_I64;
  uint32_t *in = must(QV_NEW(&net->arena, 1, uint32_t));
  qv_rq_par *p = must(QV_NEW(&net->arena, STEP_CHANNELS, qv_rq_par));
  qv_node d = {.kind = QV_STEP, .op = "STEP", .n_in = 1, .in = in, .out = 1};
  int ob = (int)qv_rng_range(r, 4, 31);
  bool small = qv_rng_next(r) % 2, far = qv_rng_next(r) % 4 == 0;
  d.u.step = (qv_step){.inner = 1, .n_par = qv_rng_next(r) % 4 == 0 ? 1 : STEP_CHANNELS, .par = p};
  if (small) ob = 8;
  d.u.step.lo = -((int64_t)1 << (ob - 1)), d.u.step.hi = -d.u.step.lo - 1;
  if (qv_rng_next(r) % 2) d.u.step.out_zp = qv_rng_range(r, d.u.step.lo, d.u.step.hi);
  if (qv_rng_next(r) % 4 == 0) d.u.step.lo = d.u.step.out_zp; /* ReLU */
  if (qv_rng_next(r) % 4 == 0) d.u.step.in_zp = qv_rng_range(r, -1000, 1000);
  if (bits < 20 && qv_rng_next(r) % 3 == 0) d.u.step.lshift = (uint32_t)qv_rng_range(r, 0, qv_rng_next(r) % 4 ? 28 - bits : 31);
  for (int i = 0; i < STEP_CHANNELS; i++) {
    p[i] = gen_rq_par(r, (qv_rq)(qv_rng_next(r) % 4 ? fn_a : fn_b), lim << d.u.step.lshift, ob);
    if (far) vary(r, &p[i]);
  }
  assert_int_equal(qv_net_add_tensor(net, &x), 0);
  assert_int_equal(qv_net_add_tensor(net, &y), 1);
  assert_int_equal(qv_net_add_node(net, &d), 0);
  assert_true(qv_net_add_in(net, &(qv_port){.tensor = 0, .end = QV_END_INT, .name = "x"}));
  assert_true(qv_net_add_out(net, &(qv_port){.tensor = 1, .end = QV_END_INT, .name = "y"}));
  if (qv_ir_check(net, NULL) == QV_OK) return net;
  qv_net_free(net);
  return NULL;
}

/* An input near the point where the output of channel c changes: where roundings disagree if they do at all. */
static int64_t near_edge(qv_rng *r, const qv_step *s, uint32_t c, const qv_tensor *x) {
  qv_itv out[2];
  qv_itv image = qv_step_image(s, s->n_par == 1 ? 0 : c, (qv_itv){x->lo, x->hi});
  int64_t y = qv_rng_range(r, image.lo, image.hi);
  if (qv_step_preimage(out, s, s->n_par == 1 ? 0 : c, QV_PRE_LE, y, (qv_itv){x->lo, x->hi}) == 0) return x->lo;
  return qv_clamp64((qv_rng_next(r) % 2 ? out[0].hi : out[0].lo) + qv_rng_range(r, -1, 1), x->lo, x->hi);
}

static void check_step_net(qv_rng *r, qv_net *net, const char *what, uint64_t seed) {
  batch b;
  batch_init(&b, r, net, 2);
  qv_tensor *x = &net->tensor[0], *y = &net->tensor[1];
  const qv_step *s = &net->node[0].u.step;
  for (size_t e = 0; e < qv_elems(x); e++) { /* sample 1: edges instead of random values */
    uint32_t c = (uint32_t)(e % STEP_CHANNELS);
    int64_t v = near_edge(r, s, c, x), q = qv_step_eval(s, s->n_par == 1 ? 0 : c, v);
    put1(b.in[0] + bytes_of(x), x, e, v);
    put1(b.want[0] + bytes_of(y), y, e, q);
  }
  for (size_t i = 0; i < N_ISAS; i++)
    if (isas[i] <= qv_isa_detect()) compare(&b, isas[i], 1, what, seed);
  batch_clear(&b);
}

static void requantization(void **state) {
  (void)state;
  for (unsigned fn = 0; fn <= QV_RQ_MEANF; fn++)
    for (uint64_t i = 0; i < 150 * effort(); i++) {
      qv_rng r = {i * 1000 + fn};
      unsigned other = i % 5 == 0 ? (unsigned)(qv_rng_next(&r) % (QV_RQ_MEANF + 1)) : fn;
      qv_net *net = step_net(&r, fn, other, (int)qv_rng_range(&r, 7, 31));
      if (net == NULL) continue; /* parameters that the check refuses */
      check_step_net(&r, net, qv_rq_name((qv_rq)fn), i);
      qv_net_free(net);
    }
}

/* ---- contract ----------------------------------------------------------------------------------------------------------- */

static void every_fast_kernel_was_compared(void **state) {
  (void)state;
  static const char *const portable[] = {"int16 gemm",  "int16 gemm + scalar step", "int16 depthwise", "table", "byte max", "copy",
                                         "vector join", "(done by the node before)"};
  static const char *const avx2[] = {"int16 gemm + step", "int16 depthwise + step", "vector step", "vector join + step",
                                     "(done by the node after)"};
  static const char *const vnni[] = {"uint8 x int8 gemm", "uint8 x int8 gemm + step", "uint8 x int8 gemm + scalar step",
                                     "uint8 x int8 depthwise", "uint8 x int8 depthwise + step"};
  for (size_t i = 0; i < n_seen; i++) print_message("  compared: %s\n", seen[i]);
  for (size_t i = 0; i < sizeof portable / sizeof portable[0]; i++) assert_true(was_seen(portable[i]));
  if (qv_isa_detect() < QV_ISA_AVX2) print_message("SKIPPED: no AVX2 on this CPU, its kernels were not compared\n");
  else
    for (size_t i = 0; i < sizeof avx2 / sizeof avx2[0]; i++) assert_true(was_seen(avx2[i]));
  if (qv_isa_detect() < QV_ISA_AVX512VNNI) print_message("SKIPPED: no AVX512-VNNI on this CPU, its kernels were not compared\n");
  else
    for (size_t i = 0; i < sizeof vnni / sizeof vnni[0]; i++) assert_true(was_seen(vnni[i]));
}

static void check_outside(int bits, int64_t delta) {
  qv_rng r = {5};
  qv_net *net = NULL;
  while (net == NULL) net = step_net(&r, QV_RQ_D, QV_RQ_D, bits);
  const qv_tensor *t = &net->tensor[0];
  const size_t n = qv_elems(t);
  unsigned char *x = must(calloc(3 * n, 8)), *y = must(calloc(3 * n, 8));
  put1(x, t, 2 * n + 7, delta > 0 ? t->hi + delta : t->lo + delta);
  qv_plan *p = NULL;
  assert_int_equal(qv_plan_new(&p, net, QV_ISA_BEST, NULL), QV_OK);
  for (unsigned threads = 1; threads <= 3; threads++) {
    qv_err err = {0};
    assert_int_equal(qv_plan_run(p, 3, (const void *const[]){x}, (void *const[]){y}, threads, &err), QV_E_RANGE);
    assert_non_null(strstr(err.msg, "element 7"));
    assert_int_equal(qv_plan_run(p, 2, (const void *const[]){x}, (void *const[]){y}, threads, &err), QV_OK);
  }
  qv_plan_free(p);
  qv_net_free(net);
  free(x);
  free(y);
}

static void input_outside_range(void **state) {
  (void)state;
  for (int bits = 3; bits <= 12; bits++) {
    if (bits == 7) continue; /* every byte is valid */
    check_outside(bits, 1);
    check_outside(bits, -1);
  }
}

static void missing_isa_is_refused(void **state) {
  (void)state;
  qv_rng r = {1};
  qv_net *net = must(gen_net(&r, NULL));
  for (size_t i = 0; i < N_ISAS; i++) {
    qv_plan *p = NULL;
    qv_err err = {0};
    assert_int_equal(qv_plan_new(&p, net, isas[i], &err), isas[i] <= qv_isa_detect() ? QV_OK : QV_E_UNSUP);
    qv_plan_free(p);
  }
  qv_net_free(net);
}

static void opaque_is_refused(void **state) {
  (void)state;
  for (uint64_t i = 0; i < 20; i++) {
    qv_rng r = {i};
    qv_net *net = must(gen_net(&r, &(gen_opts){.kinds = 1u << QV_OPAQUE | 1u << QV_STEP}));
    bool opaque = false;
    for (uint32_t k = 0; k < net->n_nodes; k++) opaque = opaque || net->node[k].kind == QV_OPAQUE;
    qv_plan *p = NULL;
    qv_err err = {0};
    assert_int_equal(qv_plan_new(&p, net, QV_ISA_BEST, &err), opaque ? QV_E_UNSUP : QV_OK);
    qv_plan_free(p);
    qv_net_free(net);
  }
}

int main(void) {
  print_message("best instruction set: %s; seeds count from 0; QV_TEST_MULT=%llu\n", qv_isa_name(qv_isa_detect()),
                (unsigned long long)effort());
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_nets),
      cmocka_unit_test(tiny_nets),
      cmocka_unit_test(layered_nets),
      cmocka_unit_test(large_nets),
      cmocka_unit_test(wide_nets),
      cmocka_unit_test(accumulators),
      cmocka_unit_test(accumulators_at_the_edge),
      cmocka_unit_test(requantization),
      cmocka_unit_test(input_outside_range),
      cmocka_unit_test(opaque_is_refused),
      cmocka_unit_test(missing_isa_is_refused),
      cmocka_unit_test(every_fast_kernel_was_compared),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
