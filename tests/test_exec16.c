/* Layers whose products are added in 16 bits on the strength of a proof: equal to the reference on every instruction set that has them,
 * at the corners of the proved ranges and between them; never without facts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/facts.h"
#include "ir/base/rng.h"
#include "kernels/ref.h"
#include "tests/range_net.h"

static void ok(qv_status st, const qv_err *err) {
  if (st != QV_OK) fail_msg("%s", err->msg);
}

static void *must(void *p) {
  assert_non_null(p);
  return p;
}

/* A layer of any geometry on 8-bit values, requantized or not. Weights large enough that few or several windows are needed. */
static qv_net *layer(uint64_t seed) {
  qv_rng r = {seed};
  qv_net *net = rn_new();
  bool u8 = qv_rng_range(&r, 0, 1) == 0, dw = qv_rng_range(&r, 0, 3) == 0;
  qv_window g = {.n = 1, .ih = (uint32_t)qv_rng_range(&r, 1, 6), .iw = (uint32_t)qv_rng_range(&r, 1, 6), .sh = 1, .sw = 1, .dh = 1, .dw = 1, .groups = 1};
  g.ic = (uint32_t)qv_rng_range(&r, 1, qv_rng_range(&r, 0, 2) == 0 ? 70 : 20);
  g.oc = (uint32_t)qv_rng_range(&r, 1, 40);
  g.kh = (uint32_t)qv_rng_range(&r, 1, g.ih < 3 ? g.ih : 3);
  g.kw = (uint32_t)qv_rng_range(&r, 1, g.iw < 3 ? g.iw : 3);
  if (qv_rng_range(&r, 0, 1) == 0) g.pt = g.kh / 2, g.pl = g.kw / 2;
  if (qv_rng_range(&r, 0, 3) == 0) g.sh = g.sw = 2;
  if (qv_rng_range(&r, 0, 5) == 0 && g.kw > 1 && g.iw > 2 * (g.kw - 1)) g.dw = 2;
  if (dw) g.groups = g.oc = g.ic;
  else if (g.ic % 2 == 0 && g.oc % 2 == 0 && qv_rng_range(&r, 0, 3) == 0) g.groups = 2;
  g.oh = (g.ih + g.pt - (g.kh - 1) * g.dh - 1) / g.sh + 1;
  g.ow = (g.iw + g.pl - (g.kw - 1) * g.dw - 1) / g.sw + 1;
  size_t k = (size_t)g.kh * g.kw * (g.ic / g.groups);
  int32_t *w = must(calloc(g.oc * k, sizeof *w)), zp = (int32_t)qv_rng_range(&r, -5, 5), m = (int32_t)qv_rng_range(&r, 3, 66);
  int64_t *b = must(calloc(g.oc, sizeof *b));
  for (size_t i = 0; i < g.oc * k; i++) w[i] = (int32_t)qv_rng_range(&r, -m, m) + zp;
  for (uint32_t o = 0; o < g.oc; o++) b[o] = qv_rng_range(&r, -3000, 3000);
  const uint32_t dim[4] = {1, g.ih, g.iw, g.ic};
  int64_t lo = u8 ? 0 : -128;
  uint32_t x = rn_input(net, u8 ? QV_U8 : QV_I8, lo, lo + 255, 4, dim);
  static const qv_acc acc[] = {{.mode = QV_ACC_WRAP, .bits = 32}, {.mode = QV_ACC_EXACT}, {.mode = QV_ACC_WRAP, .bits = 32, .raw = true}, {.mode = QV_ACC_WRAP, .bits = 24}};
  uint32_t y = rn_affine(net, x, (rn_affine_arg){.win = g, .x_zp = (int32_t)(lo + qv_rng_range(&r, 0, 255)), .w_zp = zp, .w = w, .b = b, .acc = acc[qv_rng_range(&r, 0, 3)]});
  if (qv_rng_range(&r, 0, 2) > 0) {
    qv_rq_par *p = must(QV_NEW(&net->arena, 1, qv_rq_par));
    *p = (qv_rq_par){.fn = QV_RQ_D, .m = 1518500250, .sh = -(int32_t)qv_rng_range(&r, 3, 9)};
    qv_tensor t = net->tensor[y];
    y = rn_node(net, (qv_node){.kind = QV_STEP, .u.step = {.n_par = 1, .par = p, .inner = 1, .lo = -128, .hi = 127, .out_zp = -3}}, 1, &y, t.rank, t.dim);
    net->tensor[y].type = QV_I8;
  } else {
    net->tensor[y].type = QV_I32;
  }
  free(w);
  free(b);
  qv_err err = {0};
  assert_true(qv_net_add_out(net, &(qv_port){.tensor = y, .end = QV_END_INT, .name = "y"}));
  ok(qv_ir_check(net, &err), &err);
  return net;
}

/* A range for every element: that of its channel, mostly narrower than the type. */
static void domain(qv_prop_input *p, qv_itv *v, const qv_net *net, uint64_t seed) {
  qv_rng r = {seed * 31};
  const qv_tensor *t = &net->tensor[net->in[0].tensor];
  uint32_t ic = net->node[0].u.affine.win.ic;
  for (size_t e = 0; e < qv_elems(t); e++) {
    if (e >= ic) {
      v[e] = v[e % ic];
      continue;
    }
    int64_t a = qv_rng_range(&r, t->lo, t->hi), b = qv_rng_range(&r, t->lo, t->hi);
    v[e] = qv_rng_range(&r, 0, 3) == 0 ? (qv_itv){t->lo, t->hi} : (qv_itv){qv_min64(a, b), qv_max64(a, b)};
  }
  *p = (qv_prop_input){.n = qv_elems(t), .itv = v};
}

/* Sample s: at one output position the corner that drives output channel s / 2 up or down; anything in the range elsewhere. */
static void sample(int64_t *x, const qv_net *net, const qv_itv *v, qv_rng *r, size_t s) {
  const qv_affine *a = &net->node[0].u.affine;
  const qv_window *g = &a->win;
  uint32_t gic = g->ic / g->groups, o = (uint32_t)(s / 2 % g->oc), first = o / (g->oc / g->groups) * gic;
  uint32_t oy = (uint32_t)qv_rng_range(r, 0, g->oh - 1), ox = (uint32_t)qv_rng_range(r, 0, g->ow - 1);
  const int32_t *w = a->w + (size_t)o * g->kh * g->kw * gic;
  for (size_t e = 0; e < qv_elems(&net->tensor[net->in[0].tensor]); e++) x[e] = qv_rng_range(r, v[e].lo, v[e].hi);
  for (uint32_t ky = 0; ky < g->kh; ky++)
    for (uint32_t kx = 0; kx < g->kw; kx++, w += gic) {
      size_t at;
      if (!qv_window_tap(&at, g, 0, oy, ox, ky, kx)) continue;
      for (uint32_t c = 0; c < gic; c++) x[at + first + c] = (w[c] > a->w_zp[0]) == (s % 2 == 0) ? v[at + first + c].hi : v[at + first + c].lo;
    }
}

typedef struct {
  int narrow, refused, differ;
} tally;

static void run_one(tally *t, uint64_t seed) {
  enum { N = 24 };
  static const qv_isa isas[] = {QV_ISA_PORTABLE, QV_ISA_AVX2};
  qv_net *net = layer(seed);
  const qv_tensor *in = &net->tensor[net->in[0].tensor], *out = &net->tensor[net->out[0].tensor];
  size_t ni = qv_elems(in), no = qv_elems(out), so = qv_dtype_bytes(out->type);
  qv_itv *v = must(calloc(ni, sizeof *v));
  qv_prop_input pi;
  domain(&pi, v, net, seed);
  const qv_property prop = {.n_in = 1, .in = &pi};
  qv_err err = {0};
  qv_proof p;
  qv_arena mem = {0};
  const qv_plan_fact *facts;
  qv_rng r = {seed};
  qv_values val;
  unsigned char *x = must(malloc(N * ni)), *want = must(calloc(N * no, so)), *got = must(calloc(N * no, so));
  ok(qv_prove_overflow(&p, net, &prop, NULL, &err), &err);
  ok(qv_proof_facts(&facts, &mem, net, &p, &err), &err);
  ok(qv_values_init(&val, net, &err), &err);
  for (size_t s = 0; s < N; s++) {
    sample(val.v[net->in[0].tensor], net, v, &r, s);
    for (size_t e = 0; e < ni; e++) x[s * ni + e] = (unsigned char)val.v[net->in[0].tensor][e];
    ok(qv_ref_run(net, &val, &err), &err);
    for (size_t e = 0; e < no; e++) memcpy(want + (s * no + e) * so, &val.v[net->out[0].tensor][e], so);
  }
  for (size_t i = 0; i < sizeof isas / sizeof isas[0]; i++) {
    qv_plan *plan;
    if (isas[i] == QV_ISA_AVX2 && qv_isa_detect() < QV_ISA_AVX2) continue;
    ok(qv_plan_new(&plan, net, isas[i], &err), &err);
    assert_null(strstr(qv_plan_kernel(plan, 0), "16 bits")); /* never on its own */
    qv_plan_free(plan);
    ok(qv_plan_new_proved(&plan, net, isas[i], facts, &err), &err);
    bool narrow = strstr(qv_plan_kernel(plan, 0), "in 16 bits") != NULL;
    memset(got, 0xA5, N * no * so);
    ok(qv_plan_run(plan, N, (const void *const[]){x}, (void *const[]){got}, 1, &err), &err);
    if (memcmp(got, want, N * no * so) != 0) fail_msg("layer %d on %s (%s) differs", (int)seed, qv_isa_name(isas[i]), qv_plan_kernel(plan, 0));
    t->narrow += narrow;
    t->refused += !narrow;
    qv_plan_free(plan);
  }
  free(x);
  free(want);
  free(got);
  free(v);
  qv_values_clear(&val);
  qv_arena_clear(&mem);
  qv_proof_clear(&p);
  qv_net_free(net);
}

static void test_equal(void **s) {
  (void)s;
  tally t = {0};
  for (uint64_t seed = 1; seed <= 1500 * rn_multiplier(); seed++) run_one(&t, seed);
  print_message("%d plans with 16-bit sums, %d without\n", t.narrow, t.refused);
  assert_true(t.narrow > 300 && t.refused > 100);
}

/* Pairs and lanes at the very edge of 16 bits. */
static void test_edges(void **s) {
  (void)s;
  static const struct {
    int32_t w;
    int64_t hi;
    uint32_t k;
    bool narrow;
  } row[] = {
      {64, 255, 4, true},     /* a pair is 32,640 */
      {65, 255, 4, false},    /* 33,150 */
      {-64, 255, 4, true},    {-65, 255, 4, false}, /* -33,150 */
      {127, 129, 4, true},    /* 32,766 */
      {127, 130, 4, false},   {-128, 128, 4, true}, /* -32,768 */
      {64, 255, 8, false},    /* windows of one group each: not worth it */
      {31, 255, 64, true},
      {32, 128, 48, true},    /* 8 products of 4,096 in a lane are 32,768: windows of three groups */
      {-32, 128, 48, true},   /* -32,768 fits: windows of four */
  };
  for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
    qv_net *net = rn_new();
    int32_t w[64];
    for (int j = 0; j < 64; j++) w[j] = row[i].w;
    uint32_t y = rn_affine(net, rn_input(net, QV_U8, 0, 255, 1, &row[i].k), (rn_affine_arg){.win = rn_dense(row[i].k, 1), .w = w, .acc = {.mode = QV_ACC_WRAP, .bits = 32}});
    net->tensor[y].type = QV_I32;
    qv_err err = {0};
    assert_true(qv_net_add_out(net, &(qv_port){.tensor = y, .end = QV_END_INT, .name = "y"}));
    ok(qv_ir_check(net, &err), &err);
    qv_itv *x = must(calloc(row[i].k, sizeof *x));
    for (uint32_t c = 0; c < row[i].k; c++) x[c].hi = row[i].hi;
    const qv_plan_fact fact = {.x = x};
    qv_plan *plan;
    unsigned char in[64];
    int32_t out = 0;
    ok(qv_plan_new_proved(&plan, net, QV_ISA_PORTABLE, &fact, &err), &err);
    if ((strstr(qv_plan_kernel(plan, 0), "16 bits") != NULL) != row[i].narrow) fail_msg("row %zu: %s", i, qv_plan_kernel(plan, 0));
    memset(in, (int)row[i].hi, sizeof in);
    ok(qv_plan_run(plan, 1, (const void *const[]){in}, (void *const[]){&out}, 1, &err), &err);
    assert_int_equal(out, (int64_t)row[i].k * row[i].w * row[i].hi);
    qv_plan_free(plan);
    free(x);
    qv_net_free(net);
  }
}

/* Depthwise, 17 channels, three products of 100 in a row: fits for bytes up to 100, not to 255. It is the 17th that counts. */
static void test_depthwise_ranges(void **s) {
  (void)s;
  enum { C = 17 };
  for (int wide = 0; wide < 2; wide++) {
    const uint32_t dim[4] = {1, 1, 3, C};
    int32_t w[3 * C];
    qv_itv x[C];
    unsigned char in[3 * C];
    int32_t out[C];
    for (int i = 0; i < 3 * C; i++) w[i] = 100;
    for (int c = 0; c < C; c++) x[c] = (qv_itv){0, wide && c == C - 1 ? 255 : 100};
    for (int i = 0; i < 3 * C; i++) in[i] = (unsigned char)x[i % C].hi;
    qv_net *net = rn_new();
    uint32_t y = rn_affine(net, rn_input(net, QV_U8, 0, 255, 4, dim), (rn_affine_arg){.win = {1, 1, 3, C, 1, 1, C, 1, 3, 1, 1, 1, 1, 0, 0, C}, .w = w, .acc = {.mode = QV_ACC_WRAP, .bits = 32}});
    net->tensor[y].type = QV_I32;
    qv_err err = {0};
    assert_true(qv_net_add_out(net, &(qv_port){.tensor = y, .end = QV_END_INT, .name = "y"}));
    ok(qv_ir_check(net, &err), &err);
    const qv_plan_fact fact = {.x = x};
    qv_plan *plan;
    ok(qv_plan_new_proved(&plan, net, QV_ISA_PORTABLE, &fact, &err), &err);
    assert_int_equal(strstr(qv_plan_kernel(plan, 0), "depthwise in 16 bits") != NULL, !wide);
    ok(qv_plan_run(plan, 1, (const void *const[]){in}, (void *const[]){out}, 1, &err), &err);
    for (int c = 0; c < C; c++) assert_int_equal(out[c], 300 * x[c].hi);
    qv_plan_free(plan);
    qv_net_free(net);
  }
}

/* A harmless accumulator with lanes needs no reference kernel once that is known. */
static void test_harmless(void **s) {
  (void)s;
  const int32_t w[4] = {100, 90, -60, 70};
  const uint32_t k = 4;
  qv_net *net = rn_new();
  uint32_t y = rn_affine(net, rn_input(net, QV_U8, 0, 255, 1, &k), (rn_affine_arg){.win = rn_dense(4, 1), .w = w, .acc = {.mode = QV_ACC_LANES, .bits = 32, .lanes = 2, .lane_bits = 16, .raw = true}});
  net->tensor[y].type = QV_I32;
  qv_err err = {0};
  assert_true(qv_net_add_out(net, &(qv_port){.tensor = y, .end = QV_END_INT, .name = "y"}));
  ok(qv_ir_check(net, &err), &err);
  qv_proof p;
  qv_arena mem = {0};
  const qv_plan_fact *facts;
  qv_itv v = {0, 100};
  const qv_property prop = {.n_in = 1, .in = &(qv_prop_input){.n = 1, .itv = &v}};
  qv_plan *plan;
  for (int narrow = 0; narrow < 2; narrow++) {
    ok(qv_prove_overflow(&p, net, narrow ? &prop : NULL, NULL, &err), &err);
    ok(qv_proof_facts(&facts, &mem, net, &p, &err), &err);
    assert_int_equal(facts[0].harmless, narrow == 1);
    ok(qv_plan_new_proved(&plan, net, QV_ISA_PORTABLE, facts, &err), &err);
    assert_int_equal(strstr(qv_plan_kernel(plan, 0), "reference") == NULL, narrow == 1);
    qv_plan_free(plan);
    qv_proof_clear(&p);
  }
  qv_arena_clear(&mem);
  qv_net_free(net);
}

int main(void) {
  const struct CMUnitTest t[] = {cmocka_unit_test(test_equal), cmocka_unit_test(test_edges), cmocka_unit_test(test_depthwise_ranges), cmocka_unit_test(test_harmless)};
  return cmocka_run_group_tests(t, NULL, NULL);
}
