/* qv_ir_check: every rule of ir/ir.h broken once, ranges computed by hand, and the width promise on extreme nets.
 * Memory: the .qir reader with the n-th allocation failing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/qir.h"
#include "kernels/ref.h"
#include "tests/extreme.h"
#include "tests/gen.h"

static unsigned effort(unsigned n) {
  const char *s = getenv("QV_TEST_MULT");
  double m = s != NULL ? atof(s) : 1;
  return m > 0 ? (unsigned)(n * m) + 1 : n;
}

static qv_rng seeded(const char *what) {
  const char *s = getenv("QV_TEST_SEED");
  uint64_t seed = s != NULL ? strtoull(s, NULL, 0) : 20240612;
  print_message("%s: seed %" PRIu64 "\n", what, seed);
  return (qv_rng){seed};
}

/* ---- a valid net per kind --------------------------------------------------------------------------------------------- */

/* One node; inputs x and k (a constant 1, 2, 3, 4), both [1,2,2,1]. All arrays live here, so that a test can change them. */
typedef struct {
  qv_net *net;
  qv_tensor *x, *k, *y;
  qv_node *n;
  qv_port *in, *out;
  uint32_t ref[4], idx[4], g[4];
  int32_t data[4], w[16], w_zp[4], t[256];
  int64_t b[4], c[4], z[4];
  qv_rq_par par[4];
  qv_pieces pieces[2];
  float exp[256];
  int16_t lut[1026];
} fixture;

static fixture F;

static void shape(qv_tensor *t, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  t->rank = 4;
  t->dim[0] = a, t->dim[1] = b, t->dim[2] = c, t->dim[3] = d;
}

static const qv_window dense = {1, 1, 1, 4, 1, 1, 2, 1, 1, 1, 1, 1, 1, 0, 0, 1};
static const qv_window pool = {1, 2, 2, 1, 1, 1, 1, 2, 2, 1, 1, 1, 1, 0, 0, 1};

static void attributes(qv_node *n) {
  switch (n->kind) {
  case QV_AFFINE:
    n->u.affine = (qv_affine){.win = dense, .w = F.w, .n_w_zp = 1, .w_zp = F.w_zp, .b = F.b};
    shape(F.y, 1, 1, 1, 2);
    break;
  case QV_STEP: n->u.step = (qv_step){.n_par = 1, .par = F.par, .inner = 1, .lo = -128, .hi = 127}; break;
  case QV_TABLE: n->u.table = (qv_table){.lo = -128, .n = 256, .t = F.t}; break;
  case QV_THRESHOLD:
    F.pieces[0] = (qv_pieces){.k = 2, .t = F.b, .v = F.data};
    F.pieces[1] = (qv_pieces){.k = 0, .v = F.data};
    n->u.threshold = (qv_threshold){.inner = 2, .n_par = 2, .par = F.pieces};
    break;
  case QV_SUM: n->u.sum = (qv_sum){.c = F.c, .z = F.z}; break;
  case QV_PRODUCT: n->u.product = (qv_product){.z0 = 0}; break;
  case QV_MAX:
    n->u.max = pool;
    shape(F.y, 1, 1, 1, 1);
    break;
  case QV_INDEX: n->u.index = (qv_index){.form = QV_IX_RESHAPE}; break;
  case QV_CLAMP: n->u.clamp.lo = -5, n->u.clamp.hi = 5; break;
  case QV_WRAP: n->u.wrap.bits = 4; break;
  case QV_TAIL: n->u.tail = (qv_tail){.mult = 1 << 30, .ls = 20, .diff_min = -1984, .out_bits = 8, .lo = -128, .hi = 127}; break;
  case QV_OPAQUE: F.y->lo = -7, F.y->hi = 7; break;
  case QV_KINDS: break;
  }
}

static void make(qv_kind kind) {
  F = (fixture){.net = qv_net_new(0), .ref = {0, 1}};
  assert_non_null(F.net);
  bool two = kind == QV_SUM || kind == QV_PRODUCT;
  for (int i = 0; i < 4; i++) F.data[i] = i + 1, F.b[i] = 10 * i, F.c[i] = i + 1;
  for (int i = 0; i < 16; i++) F.w[i] = i - 3;
  for (int i = 0; i < 256; i++) F.t[i] = 2 * i, F.exp[i] = 1;
  for (int i = 0; i < 1026; i++) F.lut[i] = 1 << 14;
  F.par[0] = (qv_rq_par){.fn = QV_RQ_D, .m = 1 << 30, .sh = -3};
  qv_tensor x = {.name = "x", .type = QV_I8, .lo = -128, .hi = 127}, k = {.name = "k", .type = QV_I32, .data = F.data},
            y = {.name = "y", .type = QV_I64};
  shape(&x, 1, 2, 2, 1);
  shape(&k, 1, 2, 2, 1);
  shape(&y, 1, 2, 2, 1);
  assert_true(qv_net_add_tensor(F.net, &x) == 0 && qv_net_add_tensor(F.net, &k) == 1 && qv_net_add_tensor(F.net, &y) == 2);
  qv_node n = {.kind = kind, .op = "OP", .n_in = two ? 2 : 1, .in = F.ref, .out = 2};
  assert_int_equal(qv_net_add_node(F.net, &n), 0);
  assert_true(qv_net_add_in(F.net, &(qv_port){.tensor = 0, .name = "x"}) && qv_net_add_out(F.net, &(qv_port){.tensor = 2, .name = "y"}));
  F.x = &F.net->tensor[0], F.k = &F.net->tensor[1], F.y = &F.net->tensor[2];
  F.n = &F.net->node[0], F.in = F.net->in, F.out = F.net->out;
  attributes(F.n);
}

/* Broken rules. `width`: refused because a value could leave 2^62, which has its own status. */
static void refused(bool width, const char *what, int line) {
  qv_err err = {0};
  qv_status st = qv_ir_check(F.net, &err);
  bool ok = width ? st == QV_E_RANGE : st == QV_E_PARSE || st == QV_E_RANGE || st == QV_E_UNSUP;
  if (!ok) fail_msg("line %d: %s: %s %s", line, what, qv_status_name(st), err.msg);
  assert_int_equal(err.code, st);
  assert_true(strlen(err.msg) > 5 && strchr(err.msg, '\n') == NULL);
  qv_net_free(F.net);
}

static void accepted(int64_t lo, int64_t hi, const char *what, int line) {
  qv_err err = {0};
  qv_status st = qv_ir_check(F.net, &err);
  if (st != QV_OK) fail_msg("line %d: %s: %s", line, what, err.msg);
  if (F.y->lo != lo || F.y->hi != hi) fail_msg("line %d: %s: [%" PRId64 ",%" PRId64 "]", line, what, F.y->lo, F.y->hi);
  qv_net_free(F.net);
}

#define BREAK(kind, ...) (make(QV_##kind), (void)(__VA_ARGS__), refused(false, #kind ": " #__VA_ARGS__, __LINE__))
#define WIDE(kind, ...) (make(QV_##kind), (void)(__VA_ARGS__), refused(true, #kind ": " #__VA_ARGS__, __LINE__))
/* Fine, with this output range. */
#define FINE(kind, lo, hi, ...) (make(QV_##kind), (void)(__VA_ARGS__), accepted(lo, hi, #kind ": " #__VA_ARGS__, __LINE__))

/* Short names of the attributes under test. */
#define AF F.n->u.affine
#define WI F.n->u.affine.win
#define MX F.n->u.max
#define ST F.n->u.step
#define TB F.n->u.table
#define TH F.n->u.threshold
#define SM F.n->u.sum
#define PR F.n->u.product
#define IX F.n->u.index
#define TL F.n->u.tail

#define TWO62 ((int64_t)1 << 62)
#define WRAP32 ((qv_acc){.mode = QV_ACC_WRAP, .bits = 32})

/* x in [-128,127]; k in [1,4]; w = -3 -2 -1 0 | 1 2 3 4; b = 0, 10. */
static void test_ranges(void **state) {
  (void)state;
  FINE(AFFINE, -1270, 1280, 0);
  FINE(AFFINE, -1370, 1180, AF.x_zp = 10);
  FINE(AFFINE, -2794, 2816, F.w_zp[0] = 4); /* -7-6-5-4 = -22 and -3-2-1 = -6 */
  FINE(AFFINE, -11 * 127, 11 * 128, AF.n_w_zp = 2, F.w_zp[0] = 2, F.w_zp[1] = 2, F.b[1] = 0, F.w[0] = -3, F.w[3] = 2, F.w[2] = -4,
       F.w[1] = 2); /* -5-6; -1+1+2 */
  FINE(AFFINE, -1270, 1280, AF.acc = WRAP32);
  FINE(AFFINE, -128, 127, AF.acc = WRAP32, AF.acc.bits = 8);
  FINE(AFFINE, -1024, 1023, AF.acc = WRAP32, AF.acc.mode = QV_ACC_SAT, AF.acc.bits = 11);
  FINE(AFFINE, -1270, 1280, AF.acc = WRAP32, AF.acc.mode = QV_ACC_TRAP, AF.acc.bits = 12);
  FINE(STEP, -128, 127, 0);
  FINE(STEP, -9, 11, ST.lo = -9, ST.hi = 11);
  FINE(TABLE, 0, 510, 0);
  FINE(TABLE, -1, 510, F.t[200] = -1);
  FINE(THRESHOLD, 1, 3, 0); /* v = 1 2 3 below 0, below 10, above */
  FINE(THRESHOLD, 1, 2, F.x->hi = 9);
  FINE(THRESHOLD, 2, 2, F.x->lo = 0, F.x->hi = 9, TH.n_par = 1);
  FINE(THRESHOLD, 1, 3, F.x->lo = 10, F.pieces[1].v = F.data);
  FINE(THRESHOLD, -9, 3, F.data[1] = -9); /* a valley */
  FINE(THRESHOLD, 1, 3, TH.n_par = 1, TH.inner = 77);
  FINE(THRESHOLD, 1, 1, F.b[0] = 128, F.b[1] = TWO62);
  FINE(THRESHOLD, 1, 3, F.b[0] = -TWO62);
  FINE(SUM, -128 + 2, 127 + 8, 0);
  FINE(SUM, -128 - 1, 127 + 2, F.c[0] = -1, F.c[1] = 1, F.z[0] = -1, F.z[1] = 2); /* -(x+1) + (k-2) */
  FINE(PRODUCT, -512, 508, 0);
  FINE(PRODUCT, -127 * 3, 128 * 3, PR.z0 = -1, PR.z1 = 1);
  FINE(MAX, -128, 127, 0);
  FINE(INDEX, -128, 127, 0);
  FINE(INDEX, -128, 300, IX.form = QV_IX_PAD, IX.a[1] = 1, IX.value = 300, shape(F.y, 1, 3, 2, 1));
  FINE(INDEX, -128, 127, IX.form = QV_IX_CONCAT, IX.axis = 3, F.n->n_in = 2, shape(F.y, 1, 2, 2, 2));
  FINE(CLAMP, -5, 5, 0);
  FINE(CLAMP, 500, 500, F.n->u.clamp.lo = 500, F.n->u.clamp.hi = 600);
  FINE(WRAP, -8, 7, 0);
  FINE(WRAP, -128, 127, F.n->u.wrap.bits = 8);
  FINE(TAIL, -128, 127, 0);
  FINE(OPAQUE, -7, 7, 0);
}

static void test_tensors(void **state) {
  (void)state;
  BREAK(CLAMP, F.y->name = NULL);
  BREAK(CLAMP, F.y->name = "");
  BREAK(CLAMP, F.y->name = "x");
  BREAK(CLAMP, F.y->rank = 9);
  BREAK(CLAMP, F.y->dim[3] = 0);
  BREAK(CLAMP, F.y->type = QV_DTYPES);
  BREAK(CLAMP, shape(F.x, 1 << 15, 1 << 14, 1, 1), *F.y = *F.x, F.y->name = "y");   /* 2^29 elements */
  BREAK(CLAMP, shape(F.x, 1u << 31, 1u << 31, 4, 1), *F.y = *F.x, F.y->name = "y"); /* 2^64 */
  BREAK(CLAMP, F.x->has_q = true);
  BREAK(CLAMP, F.x->has_q = true, F.x->scale = -1);
  BREAK(CLAMP, F.x->has_q = true, F.x->scale = INFINITY);
  BREAK(CLAMP, F.x->has_q = true, F.x->scale = NAN);
  BREAK(CLAMP, F.k->type = QV_I8, F.data[3] = 128);
  BREAK(CLAMP, F.k->type = QV_U8, F.data[3] = -1);
  BREAK(CLAMP, qv_net_add_tensor(F.net, &(qv_tensor){.name = "never written"}));
  BREAK(CLAMP, F.net->n_tensors = 0);
}

static void test_ports(void **state) {
  (void)state;
  BREAK(CLAMP, F.net->n_in = 0);
  BREAK(CLAMP, F.net->n_in = 0, F.x->data = F.data); /* nothing but constants */
  BREAK(CLAMP, F.in->tensor = 3);
  BREAK(CLAMP, F.in->tensor = QV_NONE);
  BREAK(CLAMP, F.in->tensor = 1);
  BREAK(CLAMP, assert_true(qv_net_add_in(F.net, &(qv_port){.tensor = 1, .name = "k"})));
  BREAK(CLAMP, assert_true(qv_net_add_in(F.net, F.in)));
  BREAK(CLAMP, F.x->lo = 5, F.x->hi = 4);
  BREAK(CLAMP, F.x->lo = -129);
  BREAK(CLAMP, F.x->hi = 128);
  BREAK(CLAMP, F.x->type = QV_U16, F.x->lo = 0, F.x->hi = 65536);
  BREAK(CLAMP, F.x->type = QV_I64, F.x->hi = TWO62 + 1);
  BREAK(CLAMP, F.x->type = QV_I64, F.x->lo = INT64_MIN);
  BREAK(CLAMP, F.in->end = QV_END_DEQUANT, F.x->has_q = true, F.x->scale = 1);
  BREAK(CLAMP, F.in->end = (qv_end)9, F.x->has_q = true, F.x->scale = 1);
  BREAK(CLAMP, F.in->end = QV_END_QUANT_AWAY);
  BREAK(CLAMP, F.in->tail = "SOFTMAX");
  BREAK(CLAMP, F.in->end = QV_END_F32_ORDER, F.x->type = QV_I32, F.x->hi = QV_F32_ORDER_MAX + INT64_C(1));
  BREAK(CLAMP, F.in->end = QV_END_F32_ORDER, F.x->type = QV_I32, F.x->lo = -QV_F32_ORDER_MAX - INT64_C(1));
  BREAK(CLAMP, F.out->end = QV_END_F32_ORDER);
  FINE(CLAMP, -5, 5, F.in->end = QV_END_F32_ORDER, F.x->type = QV_I32, F.x->lo = -QV_F32_ORDER_MAX, F.x->hi = QV_F32_ORDER_MAX);
  BREAK(CLAMP, F.net->n_out = 0);
  BREAK(CLAMP, F.out->tensor = 3);
  BREAK(CLAMP, F.out->end = QV_END_QUANT_EVEN, F.y->has_q = true, F.y->scale = 1);
  BREAK(CLAMP, F.out->end = QV_END_DEQUANT);
  BREAK(PRODUCT, F.y->type = QV_I8);
}

static void test_nodes(void **state) {
  (void)state;
  BREAK(CLAMP, F.n->kind = QV_KINDS);
  BREAK(CLAMP, F.n->op = NULL);
  BREAK(CLAMP, F.n->n_in = 0);
  BREAK(CLAMP, F.n->in = NULL);
  BREAK(AFFINE, F.n->n_in = 2);
  BREAK(STEP, F.n->n_in = 2);
  BREAK(TABLE, F.n->n_in = 2);
  BREAK(MAX, F.n->n_in = 2);
  BREAK(CLAMP, F.n->n_in = 2);
  BREAK(WRAP, F.n->n_in = 2);
  BREAK(TAIL, F.n->n_in = 2);
  BREAK(PRODUCT, F.n->n_in = 1);
  BREAK(PRODUCT, F.n->n_in = 3);
  BREAK(SUM, F.n->n_in = QV_MAX_INPUTS + 1);
  BREAK(OPAQUE, F.n->n_in = 0);
  BREAK(CLAMP, F.ref[0] = 3);
  BREAK(CLAMP, F.ref[0] = 2);
  BREAK(CLAMP, F.n->out = 3);
  BREAK(CLAMP, F.n->out = 0);
  BREAK(CLAMP, F.n->out = 1);
  BREAK(CLAMP, qv_net_add_node(F.net, F.n));
}

static void test_acc(void **state) {
  (void)state;
  BREAK(AFFINE, AF.acc.mode = (qv_acc_mode)7);
  BREAK(AFFINE, AF.acc.order = (qv_order)2);
  BREAK(AFFINE, AF.acc.bias = (qv_bias_place)2);
  BREAK(AFFINE, AF.acc.bits = 8);
  for (int bits = 0; bits < 256; bits += bits == 1 ? 64 : 1) BREAK(AFFINE, AF.acc = WRAP32, AF.acc.bits = (uint8_t)bits);
  BREAK(AFFINE, AF.acc = WRAP32, AF.acc.mode = QV_ACC_PAIR16, AF.acc.bits = 63);
  BREAK(AFFINE, AF.acc = WRAP32, AF.acc.mode = QV_ACC_PAIR16, AF.acc.pairing = (qv_pairing)2);
  BREAK(SUM, SM.acc = WRAP32, SM.acc.mode = QV_ACC_PAIR16);
  BREAK(PRODUCT, PR.acc = WRAP32, PR.acc.mode = QV_ACC_PAIR16);
  BREAK(SUM, SM.acc = WRAP32, SM.acc.mode = QV_ACC_LANES, SM.acc.lanes = 8, SM.acc.lane_bits = 16);
  BREAK(SUM, SM.acc = WRAP32, SM.acc.raw = true);
  BREAK(PRODUCT, PR.acc = WRAP32, PR.acc.raw = true);
  BREAK(AFFINE, AF.acc = WRAP32, AF.acc.mode = QV_ACC_SAT, AF.acc.raw = true);
  BREAK(AFFINE, AF.acc = WRAP32, AF.acc.mode = QV_ACC_TRAP, AF.acc.raw = true);
  BREAK(AFFINE, AF.acc = WRAP32, AF.acc.pairing = QV_PAIR_K8);
  BREAK(AFFINE, AF.acc = WRAP32, AF.acc.lane_bits = 16);
  BREAK(AFFINE, AF.acc = WRAP32, AF.acc.lanes = 8);
  BREAK(AFFINE, AF.acc = WRAP32, AF.acc.spill = 1);
  BREAK(AFFINE, AF.acc = WRAP32, AF.acc.lane_sat = true);
#define LANES AF.acc = WRAP32, AF.acc.mode = QV_ACC_LANES, AF.acc.lanes = 8, AF.acc.lane_bits = 16
  FINE(AFFINE, INT32_MIN, INT32_MAX, LANES);
  BREAK(AFFINE, LANES, AF.acc.bits = 63);
  BREAK(AFFINE, LANES, AF.acc.lane_bits = 7);
  BREAK(AFFINE, LANES, AF.acc.lane_bits = 33);
  BREAK(AFFINE, LANES, AF.acc.lanes = 0);
  BREAK(AFFINE, LANES, AF.acc.lanes = 65);
  BREAK(AFFINE, LANES, AF.acc.pairing = QV_PAIR_K8);
#define PAIRLANES LANES, AF.acc.mode = QV_ACC_PAIRLANES
  FINE(AFFINE, INT32_MIN, INT32_MAX, PAIRLANES, AF.acc.pairing = QV_PAIR_K8, AF.acc.lane_sat = true, AF.acc.spill = 3);
  BREAK(AFFINE, PAIRLANES, AF.acc.lane_bits = 15);
  BREAK(AFFINE, PAIRLANES, AF.acc.lane_bits = 17);
  BREAK(AFFINE, PAIRLANES, AF.acc.bits = 63);
  BREAK(AFFINE, PAIRLANES, AF.acc.lanes = 0);
  BREAK(AFFINE, PAIRLANES, AF.acc.lanes = 65);
  BREAK(SUM, SM.acc = WRAP32, SM.acc.mode = QV_ACC_PAIRLANES, SM.acc.lanes = 8, SM.acc.lane_bits = 16);
#undef PAIRLANES
#undef LANES
}

/* The i-th number of a window, in the order of the declaration. */
static uint32_t *field(qv_window *w, size_t i) {
  uint32_t *const f[] = {&w->n,  &w->ih, &w->iw, &w->ic, &w->oh, &w->ow,     &w->oc, &w->kh,
                         &w->kw, &w->sh, &w->sw, &w->dh, &w->dw, &w->groups, &w->pt, &w->pl};
  return f[i];
}

static void test_window(void **state) {
  (void)state;
  for (size_t i = 0; i < 14; i++) {
    BREAK(AFFINE, *field(&WI, i) = 0);
    BREAK(MAX, *field(&MX, i) = 0);
  }
  for (size_t i = 0; i < 16; i++) BREAK(AFFINE, *field(&WI, i) = UINT32_MAX);
  for (size_t i = 0; i < 7; i++) BREAK(AFFINE, ++*field(&WI, i)); /* no longer the tensors' element counts */
  BREAK(AFFINE, WI.groups = 3);
  BREAK(AFFINE, WI.groups = 4); /* divides ic = 4 but not oc = 2 */
  BREAK(AFFINE, AF.n_w_zp = 0);
  BREAK(AFFINE, AF.n_w_zp = 3);
  BREAK(AFFINE, AF.w = NULL);
  BREAK(AFFINE, AF.w_zp = NULL);
  BREAK(AFFINE, AF.b = NULL);
  BREAK(AFFINE, WI.kh = 1 << 14, WI.kw = 1 << 13);
  BREAK(AFFINE, WI.kh = 1 << 28, WI.kw = 1 << 28);
  BREAK(MAX, MX.groups = 2);
  BREAK(MAX, MX.iw = MX.kw = 1, MX.ic = MX.oc = 2, shape(F.y, 1, 1, 1, 2)); /* one group of two channels */
  BREAK(MAX, MX.oc = 2, shape(F.y, 1, 1, 1, 2));
  BREAK(MAX, MX.oh = 2, MX.kh = 1, MX.sh = 2, shape(F.y, 1, 2, 1, 1)); /* row 2 of 2 */
  BREAK(MAX, MX.ow = 2, MX.kw = 1, MX.sw = 2, shape(F.y, 1, 1, 2, 1));
  BREAK(MAX, MX.pt = 2);
  BREAK(MAX, MX.pl = 2);
  BREAK(MAX, MX.dh = 2, MX.pt = 1, MX.ih = 1, MX.iw = 4); /* rows -1 and 1 of one row */
  FINE(MAX, -128, 127, MX.oh = 3, MX.pt = 1, shape(F.y, 1, 3, 1, 1));
}

static void test_step(void **state) {
  (void)state;
  BREAK(STEP, shape(F.y, 1, 1, 4, 1));
  BREAK(STEP, F.y->rank = 3);
  BREAK(STEP, ST.n_par = 0);
  BREAK(STEP, ST.par = NULL);
  BREAK(STEP, ST.inner = 0);
  BREAK(STEP, ST.lshift = 32);
  BREAK(STEP, ST.idx = F.idx);
  BREAK(STEP, ST.idx = F.idx, ST.n_idx = 2, F.idx[1] = 1);
  BREAK(STEP, ST.idx = F.idx, ST.n_idx = 3);
  BREAK(STEP, ST.n_par = 3, F.par[1] = F.par[2] = F.par[0]);
  BREAK(STEP, ST.n_par = 2, F.par[1] = F.par[0], ST.inner = 4);
  FINE(STEP, -128, 127, ST.n_par = 2, F.par[1] = F.par[0], ST.inner = 2);
  BREAK(STEP, ST.lo = 1, ST.hi = 0);
  BREAK(STEP, ST.lo = -TWO62 - 1);
  BREAK(STEP, ST.hi = TWO62 + 1);
  BREAK(STEP, ST.out_zp = INT64_MAX);
  BREAK(STEP, ST.n_par = 2, F.par[1] = (qv_rq_par){.fn = QV_RQ_D, .m = 1, .sh = -32}); /* not the first set only */
  WIDE(STEP, ST.in_zp = INT64_MIN);
  WIDE(STEP, ST.in_zp = INT64_MAX);
  WIDE(STEP, ST.lshift = 31, F.x->type = QV_I64, F.x->hi = TWO62);
  FINE(STEP, -128, 127, ST.lshift = 31);
}

static void bad_par(qv_rq_par p, int line) {
  make(QV_STEP);
  F.par[0] = p;
  refused(false, "parameters", line);
}
static void good_par(qv_rq_par p, int line) {
  make(QV_STEP);
  F.par[0] = p;
  accepted(-128, 127, "parameters", line);
}
#define BAD_PAR(...) bad_par((qv_rq_par){__VA_ARGS__}, __LINE__)
#define GOOD_PAR(...) good_par((qv_rq_par){__VA_ARGS__}, __LINE__)

static void test_fixed_parameters(void **state) {
  (void)state;
  static const qv_rq fixed[] = {QV_RQ_D, QV_RQ_U, QV_RQ_S, QV_RQ_64, QV_RQ_T, QV_RQ_TD};
  for (size_t i = 0; i < 6; i++) {
    bool tosa = fixed[i] == QV_RQ_T || fixed[i] == QV_RQ_TD;
    int lo = tosa ? 2 : -31, hi = tosa ? 62 : fixed[i] == QV_RQ_64 ? 7 : 30;
    for (int sh = lo; sh <= hi; sh++) GOOD_PAR(.fn = fixed[i], .m = INT32_MAX, .sh = sh);
    GOOD_PAR(.fn = fixed[i], .m = 0, .sh = lo);
    BAD_PAR(.fn = fixed[i], .m = 1, .sh = lo - 1);
    BAD_PAR(.fn = fixed[i], .m = 1, .sh = hi + 1);
    BAD_PAR(.fn = fixed[i], .m = 1, .sh = INT32_MIN);
    BAD_PAR(.fn = fixed[i], .m = 1, .sh = INT32_MAX);
    BAD_PAR(.fn = fixed[i], .m = 1, .sh = hi, .M = 1);
    BAD_PAR(.fn = fixed[i], .m = 1, .sh = hi, .B = 1);
    if (fixed[i] != QV_RQ_D) BAD_PAR(.fn = fixed[i], .m = -1, .sh = hi);
    if (!tosa) WIDE(STEP, F.x->type = QV_I64, F.x->hi = ((int64_t)1 << 55) + 1, F.par[0] = (qv_rq_par){.fn = fixed[i], .m = 1, .sh = 7});
  }
  GOOD_PAR(.fn = QV_RQ_D, .m = INT32_MIN, .sh = 0);
  for (int i = 0; i < 2; i++) {
    qv_rq fn = i ? QV_RQ_DIV : QV_RQ_TDIV;
    GOOD_PAR(.fn = fn, .m = 1);
    GOOD_PAR(.fn = fn, .m = INT32_MAX);
    BAD_PAR(.fn = fn, .m = 0);
    BAD_PAR(.fn = fn, .m = -1);
    BAD_PAR(.fn = fn, .m = 1, .sh = 1);
    BAD_PAR(.fn = fn, .m = 1, .M = 1);
    BAD_PAR(.fn = fn, .m = 1, .B = 1);
  }
  BAD_PAR(.fn = (qv_rq)99, .m = 1);
}

static void test_float_parameters(void **state) {
  (void)state;
  static const qv_rq fn[] = {QV_RQ_F32, QV_RQ_NDU, QV_RQ_F64A, QV_RQ_REF, QV_RQ_F32B, QV_RQ_MEANF};
  for (size_t i = 0; i < 6; i++) {
    bool single = fn[i] != QV_RQ_F64A && fn[i] != QV_RQ_REF, biased = i >= 4;
    int32_t m = fn[i] == QV_RQ_MEANF;
    GOOD_PAR(.fn = fn[i], .m = m, .M = 0.5);
    GOOD_PAR(.fn = fn[i], .m = m, .M = 0x1p-126);
    BAD_PAR(.fn = fn[i], .m = m, .M = 0);
    BAD_PAR(.fn = fn[i], .m = m, .M = -0.5);
    BAD_PAR(.fn = fn[i], .m = m, .M = INFINITY);
    BAD_PAR(.fn = fn[i], .m = m, .M = NAN);
    BAD_PAR(.fn = fn[i], .m = m, .M = 0x1p-127);
    BAD_PAR(.fn = fn[i], .m = m, .M = 0.5, .sh = 1);
    BAD_PAR(.fn = fn[i], .m = 1 - m, .M = 0.5);
    WIDE(STEP, F.par[0] = (qv_rq_par){.fn = fn[i], .m = m, .M = 0x1p54}); /* 128 * 2^54 = 2^61 */
    if (single) BAD_PAR(.fn = fn[i], .m = m, .M = 0.1);
    else GOOD_PAR(.fn = fn[i], .m = m, .M = 0.1);
    if (!biased) {
      BAD_PAR(.fn = fn[i], .m = m, .M = 0.5, .B = 1);
      continue;
    }
    GOOD_PAR(.fn = fn[i], .m = m, .M = 0.5, .B = -0x1p31);
    BAD_PAR(.fn = fn[i], .m = m, .M = 0.5, .B = 0x1.000002p31);
    BAD_PAR(.fn = fn[i], .m = m, .M = 0.5, .B = 0.1);
    BAD_PAR(.fn = fn[i], .m = m, .M = 0.5, .B = INFINITY);
    BAD_PAR(.fn = fn[i], .m = m, .M = 0.5, .B = NAN);
  }
  BAD_PAR(.fn = QV_RQ_MEANF, .m = -1, .M = 0.5);
  BREAK(STEP, F.x->lo = F.x->hi = 0, F.par[0] = (qv_rq_par){.fn = QV_RQ_F32, .M = 0x1p63});
}

static void test_small_kinds(void **state) {
  (void)state;
  BREAK(THRESHOLD, F.b[1] = 0);
  BREAK(THRESHOLD, F.b[0] = 11);
  BREAK(THRESHOLD, F.b[1] = TWO62 + 1);
  BREAK(THRESHOLD, F.b[0] = -TWO62 - 1);
  BREAK(THRESHOLD, TH.n_par = 0);
  BREAK(THRESHOLD, TH.par = NULL);
  BREAK(THRESHOLD, TH.inner = 0);
  BREAK(THRESHOLD, TH.inner = 3);
  BREAK(THRESHOLD, TH.inner = 4);
  BREAK(THRESHOLD, F.pieces[0].t = NULL);
  BREAK(THRESHOLD, F.pieces[1].v = NULL);
  BREAK(THRESHOLD, F.pieces[1].k = QV_MAX_THRESHOLDS + 1, F.pieces[1].t = F.b);
  BREAK(THRESHOLD, shape(F.y, 1, 1, 1, 4));
  BREAK(TABLE, shape(F.y, 1, 1, 4, 1));
  BREAK(TABLE, TB.n = 0);
  BREAK(TABLE, TB.n = 65537);
  BREAK(TABLE, TB.t = NULL);
  BREAK(TABLE, TB.n = 255);
  BREAK(TABLE, TB.lo = -127);
  BREAK(TABLE, TB.lo = -129);
  BREAK(TABLE, TB.lo = INT64_MAX);
  BREAK(SUM, SM.c = NULL);
  BREAK(SUM, SM.z = NULL);
  BREAK(SUM, F.c[0] = (int64_t)1 << 31);
  BREAK(SUM, F.c[1] = -((int64_t)1 << 31));
  BREAK(SUM, shape(F.y, 1, 1, 1, 1));
  BREAK(SUM, shape(F.k, 1, 1, 1, 1));
  BREAK(PRODUCT, shape(F.y, 1, 1, 1, 1));
  BREAK(PRODUCT, shape(F.k, 1, 1, 1, 1));
  BREAK(CLAMP, F.n->u.clamp.lo = 6);
  BREAK(CLAMP, shape(F.y, 1, 1, 4, 1));
  BREAK(WRAP, F.n->u.wrap.bits = 0);
  BREAK(WRAP, F.n->u.wrap.bits = 1);
  BREAK(WRAP, F.n->u.wrap.bits = 63);
  BREAK(WRAP, shape(F.y, 1, 1, 4, 1));
  BREAK(OPAQUE, F.y->lo = 8);
}

static void test_index(void **state) {
  (void)state;
  BREAK(INDEX, IX.form = (qv_index_form)7);
  BREAK(INDEX, shape(F.y, 1, 1, 1, 1));
  for (int form = 0; form <= QV_IX_GATHER; form++)
    if (form != QV_IX_CONCAT) BREAK(INDEX, IX.form = (qv_index_form)form, F.n->n_in = 2);
#define TRANSPOSE IX.form = QV_IX_TRANSPOSE, IX.a[1] = 2, IX.a[2] = 3, IX.a[3] = 1, shape(F.y, 1, 2, 1, 2)
  FINE(INDEX, -128, 127, TRANSPOSE);
  BREAK(INDEX, TRANSPOSE, F.y->rank = 3);
  BREAK(INDEX, TRANSPOSE, IX.a[2] = 2);
  BREAK(INDEX, IX.form = QV_IX_TRANSPOSE, IX.a[1] = IX.a[2] = 1, IX.a[3] = 3); /* same shape, but dimension 1 twice */
  BREAK(INDEX, TRANSPOSE, IX.a[2] = 4);
  BREAK(INDEX, TRANSPOSE, IX.a[2] = -1);
  BREAK(INDEX, TRANSPOSE, IX.a[2] = INT32_MAX);
  BREAK(INDEX, TRANSPOSE, shape(F.y, 1, 2, 2, 1));
#undef TRANSPOSE
#define PAD IX.form = QV_IX_PAD, IX.a[1] = 1, IX.b[1] = 2, shape(F.y, 1, 5, 2, 1)
  FINE(INDEX, -128, 127, PAD);
  BREAK(INDEX, PAD, IX.a[1] = -1, IX.b[1] = 4);
  BREAK(INDEX, PAD, IX.a[1] = 4, IX.b[1] = -1);
  BREAK(INDEX, PAD, IX.b[1] = 3);
  BREAK(INDEX, PAD, IX.b[2] = INT32_MAX, IX.a[2] = INT32_MAX);
  BREAK(INDEX, PAD, F.y->rank = 5, F.y->dim[4] = 1);
  BREAK(INDEX, IX.form = QV_IX_PAD, F.y->rank = 3);
#undef PAD
#define CONCAT IX.form = QV_IX_CONCAT, IX.axis = 1, F.n->n_in = 2, shape(F.y, 1, 4, 2, 1)
  FINE(INDEX, -128, 127, CONCAT);
  BREAK(INDEX, CONCAT, IX.axis = 4);
  BREAK(INDEX, IX.form = QV_IX_CONCAT, IX.axis = 4, F.n->n_in = 2);
  BREAK(INDEX, CONCAT, IX.axis = QV_NONE);
  BREAK(INDEX, CONCAT, IX.axis = 2);
  BREAK(INDEX, CONCAT, shape(F.y, 1, 5, 2, 1));
  BREAK(INDEX, CONCAT, F.n->n_in = 1);
  BREAK(INDEX, CONCAT, shape(F.k, 1, 2, 1, 2));
  BREAK(INDEX, CONCAT, F.k->rank = 3);
#undef CONCAT
#define SLICE IX.form = QV_IX_SLICE, IX.a[1] = 1, IX.b[0] = IX.b[2] = IX.b[3] = 1, IX.b[1] = -1
  FINE(INDEX, -128, 127, SLICE);
  BREAK(INDEX, SLICE, IX.b[1] = 0);
  BREAK(INDEX, SLICE, IX.b[1] = 1);
  BREAK(INDEX, SLICE, IX.a[1] = 0);
  BREAK(INDEX, SLICE, IX.a[1] = 2);
  BREAK(INDEX, SLICE, IX.a[1] = -1, IX.b[1] = 1);
  BREAK(INDEX, SLICE, IX.b[1] = INT32_MIN);
  BREAK(INDEX, SLICE, IX.a[0] = 1);
  BREAK(INDEX, SLICE, F.y->rank = 3);
#undef SLICE
#define BROADCAST IX.form = QV_IX_BROADCAST, shape(F.y, 7, 2, 2, 3)
  FINE(INDEX, -128, 127, BROADCAST);
  BREAK(INDEX, BROADCAST, shape(F.y, 7, 4, 2, 3));
  BREAK(INDEX, BROADCAST, shape(F.y, 7, 2, 1, 3));
  BREAK(INDEX, BROADCAST, F.y->rank = 3);
#undef BROADCAST
#define GATHER IX.form = QV_IX_GATHER, IX.axis = 2, IX.g = F.g, F.g[2] = 1, shape(F.y, 1, 2, 3, 1)
  FINE(INDEX, -128, 127, GATHER);
  BREAK(INDEX, GATHER, IX.axis = 4);
  BREAK(INDEX, IX.form = QV_IX_GATHER, IX.axis = 4, IX.g = F.g);
  BREAK(INDEX, GATHER, IX.g = NULL);
  BREAK(INDEX, GATHER, F.g[1] = 2);
  BREAK(INDEX, GATHER, F.g[1] = UINT32_MAX);
  BREAK(INDEX, GATHER, shape(F.y, 1, 3, 3, 1));
  BREAK(INDEX, GATHER, F.y->rank = 3);
#undef GATHER
}

static void test_tail(void **state) {
  (void)state;
  BREAK(TAIL, TL.fn = (qv_tail_fn)9);
  BREAK(TAIL, TL = (qv_tail){.fn = (qv_tail_fn)9, .hi = 127});
  BREAK(TAIL, shape(F.y, 1, 1, 4, 1));
  BREAK(TAIL, TL.lo = 1, TL.hi = 0);
  BREAK(TAIL, TL.lo = INT64_MIN);
  BREAK(TAIL, TL.hi = INT64_MAX);
  BREAK(TAIL, TL.mult = -1);
  BREAK(TAIL, TL.ls = -1);
  BREAK(TAIL, TL.ls = 31);
  BREAK(TAIL, TL.diff_min = 1);
  BREAK(TAIL, TL.out_bits = 9);
  BREAK(TAIL, TL.out_bits = 0);
  BREAK(TAIL, TL.lut = F.lut);
  BREAK(TAIL, TL.exp = F.exp);
  BREAK(TAIL, TL.rq = QV_RQ_S);
  BREAK(TAIL, TL.out_scale = 1);
  BREAK(TAIL, TL.round = QV_TR_HALF_UP_TRUNC);
  BREAK(TAIL, F.x->type = QV_I16, F.x->hi = 128);
  BREAK(TAIL, shape(F.x, 1, 1, 1, 4097), shape(F.y, 1, 1, 1, 4097));
#define SOFTMAX_F TL = (qv_tail){.fn = QV_TAIL_SOFTMAX_F, .exp = F.exp, .out_scale = 0x1p-8f, .lo = -128, .hi = 127}
  FINE(TAIL, -128, 127, SOFTMAX_F);
  BREAK(TAIL, SOFTMAX_F, TL.exp = NULL);
  BREAK(TAIL, SOFTMAX_F, TL.out_scale = 0);
  BREAK(TAIL, SOFTMAX_F, TL.out_scale = 0x1p-41f);
  BREAK(TAIL, SOFTMAX_F, TL.out_scale = -1);
  BREAK(TAIL, SOFTMAX_F, TL.out_scale = INFINITY);
  BREAK(TAIL, SOFTMAX_F, TL.out_scale = NAN);
  BREAK(TAIL, SOFTMAX_F, TL.round = (qv_tail_round)3);
  BREAK(TAIL, SOFTMAX_F, F.exp[7] = 1.5f);
  BREAK(TAIL, SOFTMAX_F, F.exp[7] = -0.5f);
  BREAK(TAIL, SOFTMAX_F, F.exp[7] = NAN);
  BREAK(TAIL, SOFTMAX_F, F.exp[255] = 0);
  BREAK(TAIL, SOFTMAX_F, TL.mult = 1);
  BREAK(TAIL, SOFTMAX_F, TL.ls = 1);
  BREAK(TAIL, SOFTMAX_F, TL.diff_min = -1);
  BREAK(TAIL, SOFTMAX_F, TL.out_bits = 8);
  BREAK(TAIL, SOFTMAX_F, TL.lut = F.lut);
  BREAK(TAIL, SOFTMAX_F, TL.rq = QV_RQ_S);
  BREAK(TAIL, SOFTMAX_F, F.x->type = QV_I16, F.x->hi = 128);
#undef SOFTMAX_F
#define SOFTMAX_16 TL = (qv_tail){.fn = QV_TAIL_SOFTMAX_16, .lut = F.lut, .mult = 1 << 30, .lo = 0, .hi = 32767}
  FINE(TAIL, 0, 32767, SOFTMAX_16);
  BREAK(TAIL, SOFTMAX_16, TL.lut = NULL);
  BREAK(TAIL, SOFTMAX_16, TL.rq = QV_RQ_U);
  BREAK(TAIL, SOFTMAX_16, TL.mult = -1);
  BREAK(TAIL, SOFTMAX_16, TL.ls = 31);
  BREAK(TAIL, SOFTMAX_16, TL.ls = -32);
  BREAK(TAIL, SOFTMAX_16, TL.diff_min = -1);
  BREAK(TAIL, SOFTMAX_16, TL.exp = F.exp);
  BREAK(TAIL, SOFTMAX_16, F.lut[0] = -1);
  BREAK(TAIL, SOFTMAX_16, F.lut[512] = 0); /* a sum of 0 has no reciprocal */
  BREAK(TAIL, SOFTMAX_16, F.lut[511] = 0);
  BREAK(TAIL, SOFTMAX_16, F.x->type = QV_I32, F.x->lo = -32769);
  BREAK(TAIL, SOFTMAX_16, shape(F.x, 1, 1, 1, 65536), shape(F.y, 1, 1, 1, 65536));
  BREAK(TAIL, SOFTMAX_16, F.x->type = QV_I32, F.x->hi = 32768);
#undef SOFTMAX_16
}

/* ---- width ------------------------------------------------------------------------------------------------------------ */

static void test_width(void **state) {
  (void)state;
  WIDE(AFFINE, F.b[1] = TWO62);
  WIDE(AFFINE, F.b[0] = -TWO62);
  WIDE(AFFINE, F.b[0] = INT64_MIN);
  WIDE(AFFINE, F.x->type = QV_I64, F.x->hi = TWO62 / 10 + 1); /* 10 = sum of channel 1 */
  WIDE(AFFINE, F.x->type = QV_I64, F.x->lo = -TWO62);
  WIDE(AFFINE, F.x->type = QV_I64, F.x->hi = TWO62, AF.x_zp = -1, memset(F.w, 0, sizeof F.w)); /* x - x_zp alone */
  /* cancels in the end, but not on the way: 2^61 * (1 + 2) - 2^61 * (1 + 2) */
  WIDE(AFFINE, F.x->type = QV_I64, F.x->lo = F.x->hi = TWO62 / 2, F.w[0] = F.w[4] = 1, F.w[1] = F.w[5] = 2, F.w[2] = F.w[6] = -1,
       F.w[3] = F.w[7] = -2);
  /* raw terms are wider than corrected ones */
  for (int raw = 0; raw < 2; raw++) {
    make(QV_AFFINE);
    for (int i = 0; i < 8; i++) F.w[i] = INT32_MAX;
    F.w_zp[0] = INT32_MAX;
    AF.x_zp = INT32_MIN;
    AF.acc.raw = raw;
    if (raw) refused(true, "raw", __LINE__);
    else accepted(0, 10, "corrected", __LINE__);
  }
  FINE(AFFINE, -TWO62 + 1280, TWO62 - 1280, F.x->lo = -127, F.b[1] = -TWO62 + 1280 + 1270, F.b[0] = TWO62 - 1280 - 762);
  WIDE(SUM, F.z[0] = INT64_MIN);
  WIDE(SUM, F.z[1] = TWO62);
  WIDE(SUM, F.z[0] = TWO62, F.c[1] = 1000); /* the smaller term alone */
  WIDE(SUM, F.c[0] = INT32_MAX, F.x->type = QV_I64, F.x->hi = (int64_t)1 << 32);
  WIDE(SUM, F.c[0] = 1, F.c[1] = 1, F.z[0] = -TWO62, F.z[1] = TWO62); /* the final sum is small, the first term is not */
  WIDE(PRODUCT, PR.z0 = INT64_MIN);
  WIDE(PRODUCT, PR.z1 = INT64_MAX);
  WIDE(PRODUCT, F.data[1] = F.data[2] = F.data[3] = 1, PR.z1 = 1, PR.z0 = INT64_MIN); /* the product is 0 */
  WIDE(PRODUCT, F.x->lo = F.x->hi = 0, PR.z1 = INT64_MIN);
  WIDE(PRODUCT, F.x->type = QV_I64, F.x->lo = F.x->hi = TWO62 / 4 + 1);
  FINE(PRODUCT, TWO62 / 4, TWO62, F.x->type = QV_I64, F.x->lo = F.x->hi = TWO62 / 4);
}

static void test_late_rules(void **state) {
  (void)state;
  WIDE(SUM, F.c[0] = 0, F.z[0] = INT64_MIN);                         /* x - z leaves int64 although its coefficient is 0 */
  BREAK(OPAQUE, F.out->tensor = 0, F.y->hi = INT64_MAX);              /* no value leaves 2^62 */
  BREAK(OPAQUE, F.out->tensor = 0, F.y->type = QV_I8, F.y->hi = 128); /* range and storage type */
  /* tails are order-preserving (docs/semantics.md section 7): tables must not fall, reciprocals not be negative */
  BREAK(TAIL, TL = (qv_tail){.fn = QV_TAIL_SOFTMAX_F, .exp = F.exp, .out_scale = 0x1p-8f, .hi = 127}, F.exp[254] = 0.5f);
  BREAK(TAIL, TL = (qv_tail){.fn = QV_TAIL_SOFTMAX_16, .lut = F.lut, .mult = 1, .hi = 127}, F.lut[7] = 32767);
  BREAK(TAIL, TL = (qv_tail){.fn = QV_TAIL_SOFTMAX_16, .lut = F.lut, .mult = 1, .hi = 127}, F.lut[600] = -1);
  BREAK(CLAMP, F.in->name = NULL);
  BREAK(CLAMP, F.out->name = NULL);
  BREAK(CLAMP, F.net->source = NULL);
  BREAK(CLAMP, F.net->profile = NULL);
  BREAK(CLAMP, F.net->format = NULL);
  BREAK(CLAMP, F.net->sha256[0] = 'x');
}

static bool may_trap(const qv_node *n) {
  qv_acc_mode m = n->kind == QV_AFFINE ? n->u.affine.acc.mode : n->kind == QV_SUM ? n->u.sum.acc.mode : n->u.product.acc.mode;
  return (n->kind == QV_AFFINE || n->kind == QV_SUM || n->kind == QV_PRODUCT) && m == QV_ACC_TRAP;
}

/* The promise behind every plain int64_t in the reference: no accepted net leaves its ranges. Under UBSan also: no int64
 * overflow on the way. */
static void test_promise(void **state) {
  (void)state;
  qv_rng r = seeded("width promise");
  unsigned ran[QV_KINDS] = {0};
  for (unsigned i = 0, n = effort(20000); i < n; i++) {
    qv_kind kind = (qv_kind)(i % QV_OPAQUE);
    qv_net *net = extreme_net(&r, kind);
    assert_non_null(net);
    qv_values v;
    if (qv_ir_check(net, NULL) == QV_OK) {
      assert_int_equal(qv_values_init(&v, net, NULL), QV_OK);
      const qv_tensor *x = &net->tensor[0], *y = &net->tensor[1];
      for (int turn = 0; turn < 4; turn++) {
        for (size_t e = 0; e < qv_elems(x); e++) v.v[0][e] = turn == 0 ? x->lo : turn == 1 ? x->hi : extreme_int(&r, x->lo, x->hi);
        qv_err err = {0};
        qv_status st = qv_ref_run(net, &v, &err);
        if (st == QV_E_RANGE && may_trap(&net->node[0])) continue;
        if (st != QV_OK) fail_msg("%s: %s", qv_kind_name(kind), err.msg);
        for (size_t e = 0; e < qv_elems(y); e++) assert_true(y->lo <= v.v[1][e] && v.v[1][e] <= y->hi);
        ran[kind]++;
      }
      qv_values_clear(&v);
    }
    qv_net_free(net);
  }
  for (unsigned k = 0; k < QV_OPAQUE; k++) print_message("  %-8s %u runs\n", qv_kind_name((qv_kind)k), ran[k]);
  for (unsigned k = 0; k < QV_OPAQUE; k++) assert_true(ran[k] >= 50);
}

/* ---- building and memory ---------------------------------------------------------------------------------------------- */

static void test_builder(void **state) {
  (void)state;
  qv_net *net = qv_net_new(0);
  assert_non_null(net);
  for (uint32_t i = 0; i < 1000; i++) {
    char t[16];
    (void)snprintf(t, sizeof t, "note %u", (unsigned)(i % 500)); /* each twice */
    assert_true(qv_net_add_note(net, t));
    assert_int_equal(qv_net_add_tensor(net, &(qv_tensor){.name = "t", .zp = (int32_t)i}), i);
    assert_int_equal(qv_net_add_node(net, &(qv_node){.op = "n", .layer = i}), i);
    assert_true(qv_net_add_in(net, &(qv_port){.tensor = i}) && qv_net_add_out(net, &(qv_port){.tensor = 2 * i}));
  }
  assert_int_equal(net->n_notes, 500);
  assert_string_equal(net->note[499], "note 499");
  for (uint32_t i = 0; i < 1000; i++) {
    assert_true(net->tensor[i].zp == (int32_t)i && net->node[i].layer == i);
    assert_true(net->in[i].tensor == i && net->out[i].tensor == 2 * i);
  }
  qv_net_free(net);
  qv_net_free(NULL);
}

static qv_buf corpus(const char *path) {
  qv_buf b = {0};
  qv_err err = {0};
  if (qv_file_read(&b, path, (size_t)1 << 26, &err) != QV_OK) fail_msg("%s (run from the root of the source tree)", err.msg);
  return b;
}

/* Every allocation of the reader fails once; every byte limit below the need is kept. */
static void test_no_memory(void **state) {
  (void)state;
  qv_buf b = corpus("tests/corpus/qir/kinds.qir");
  uint64_t n = 0;
  size_t need = 0;
  for (qv_status st = QV_E_NOMEM; st != QV_OK;) {
    qv_net *net = qv_net_new(0);
    assert_non_null(net);
    net->arena.fail_after = ++n;
    qv_err err = {0};
    st = qv_qir_read_into(net, (const char *)b.p, b.n, &err);
    if (st != QV_OK) assert_int_equal(st, QV_E_NOMEM);
    assert_int_equal(err.code, st);
    need = net->arena.bytes;
    qv_net_free(net);
  }
  print_message("%" PRIu64 " allocations, %zu bytes\n", n - 1, need);
  assert_true(n > 100);
  for (size_t limit = 16; limit < need; limit += 1 + need / 300) {
    qv_net *net = qv_net_new(limit);
    assert_non_null(net);
    assert_int_equal(qv_qir_read_into(net, (const char *)b.p, b.n, NULL), QV_E_NOMEM);
    assert_true(net->arena.bytes <= limit);
    qv_net_free(net);
  }
  qv_net *net = qv_net_new(need);
  assert_int_equal(qv_qir_read_into(net, (const char *)b.p, b.n, NULL), QV_OK);
  qv_net_free(net);
  qv_buf_free(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ranges),
      cmocka_unit_test(test_tensors),
      cmocka_unit_test(test_ports),
      cmocka_unit_test(test_nodes),
      cmocka_unit_test(test_acc),
      cmocka_unit_test(test_window),
      cmocka_unit_test(test_step),
      cmocka_unit_test(test_fixed_parameters),
      cmocka_unit_test(test_float_parameters),
      cmocka_unit_test(test_small_kinds),
      cmocka_unit_test(test_index),
      cmocka_unit_test(test_tail),
      cmocka_unit_test(test_width),
      cmocka_unit_test(test_late_rules),
      cmocka_unit_test(test_promise),
      cmocka_unit_test(test_builder),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
