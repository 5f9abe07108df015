#include "tests/cmsis_net.h"

#include <fnmatch.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/step.h"

#define ARR(b, n, type) not_null(QV_NEW(&(b)->net->arena, (n), type))

static void *not_null(void *p) {
  assert_non_null(p);
  return p;
}

/* ---- tensors and nodes ------------------------------------------------------------------------------------------------ */

static uint32_t tensor(cmsis_net *b, qv_dtype type, uint32_t rank, const uint32_t *dim) {
  qv_tensor t = {.name = not_null(qv_arena_printf(&b->net->arena, "t%u", b->n_names++)), .rank = rank, .type = type};
  memcpy(t.dim, dim, rank * sizeof *dim);
  uint32_t k = qv_net_add_tensor(b->net, &t);
  assert_int_not_equal(k, QV_NONE);
  return k;
}

uint32_t cmsis_input(cmsis_net *b, qv_dtype type, uint32_t rank, const uint32_t *dim) {
  uint32_t t = tensor(b, type, rank, dim);
  qv_itv r = qv_dtype_range(type);
  b->net->tensor[t].lo = r.lo;
  b->net->tensor[t].hi = r.hi;
  assert_true(qv_net_add_in(b->net, &(qv_port){.tensor = t, .end = QV_END_INT, .name = b->net->tensor[t].name}));
  return t;
}

/* Append node n, which reads x (and y) and writes a new tensor. */
static uint32_t node(cmsis_net *b, qv_node n, uint32_t x, uint32_t y, qv_dtype type, uint32_t rank, const uint32_t *dim) {
  uint32_t *in = ARR(b, 2, uint32_t);
  in[0] = x;
  in[1] = y;
  n.in = in;
  n.n_in = y == QV_NONE ? 1 : 2;
  n.layer = b->net->n_nodes;
  n.out = tensor(b, type, rank, dim);
  assert_int_not_equal(qv_net_add_node(b->net, &n), QV_NONE);
  return n.out;
}

/* The same with the shape of x. */
static uint32_t node_like(cmsis_net *b, qv_node n, uint32_t x, uint32_t y, qv_dtype type) {
  qv_tensor t = b->net->tensor[x];
  return node(b, n, x, y, type, t.rank, t.dim);
}

static int32_t *copy32(cmsis_net *b, const int64_t *v, size_t n) {
  int32_t *w = ARR(b, n, int32_t);
  for (size_t i = 0; i < n; i++) w[i] = (int32_t)v[i]; /* arrays of at most 32 bits */
  return w;
}

static qv_step clamped(const cmsis_case *c, const qv_rq_par *par, uint32_t n_par) {
  return (qv_step){.n_par = n_par,
                   .par = par,
                   .inner = 1,
                   .out_zp = cmsis_def_or(c, "OUTPUT_OFFSET", 0),
                   .lo = cmsis_def(c, "OUT_ACTIVATION_MIN|ACTIVATION_MIN", INT16_MIN, INT16_MAX),
                   .hi = cmsis_def(c, "OUT_ACTIVATION_MAX|ACTIVATION_MAX", INT16_MIN, INT16_MAX)};
}

/* ---- convolution, dense ----------------------------------------------------------------------------------------------- */

void cmsis_image(uint32_t dim[4], const cmsis_case *c) {
  dim[0] = cmsis_dim(c, "BATCH_SIZE|INPUT_BATCHES"); /* pooling cases also define INPUT_N, which can be wrong */
  dim[1] = cmsis_dim(c, "INPUT_H");
  dim[2] = cmsis_dim(c, "INPUT_W");
  dim[3] = cmsis_dim(c, "IN_CH|INPUT_C");
}

static qv_window window(const cmsis_case *c) {
  uint32_t d[4];
  cmsis_image(d, c);
  return (qv_window){.n = d[0],
                     .ih = d[1],
                     .iw = d[2],
                     .ic = d[3],
                     .oh = cmsis_dim(c, "OUTPUT_H"),
                     .ow = cmsis_dim(c, "OUTPUT_W"),
                     .oc = cmsis_dim(c, "OUT_CH|OUTPUT_C"),
                     .kh = cmsis_dim(c, "FILTER_Y|FILTER_H"),
                     .kw = cmsis_dim(c, "FILTER_X|FILTER_W"),
                     .sh = cmsis_dim(c, "STRIDE_Y|STRIDE_H"),
                     .sw = cmsis_dim(c, "STRIDE_X|STRIDE_W"),
                     .dh = (uint32_t)cmsis_def_or(c, "DILATION_Y|DILATION_H", 1),
                     .dw = (uint32_t)cmsis_def_or(c, "DILATION_X|DILATION_W", 1),
                     .pt = (uint32_t)cmsis_def(c, "PAD_Y|PADDING_H", 0, 1 << 16),
                     .pl = (uint32_t)cmsis_def(c, "PAD_X|PADDING_W", 0, 1 << 16),
                     .groups = 1};
}

/* Requantization of an accumulator, of the channel or of all: 16x8 kernels with 64-bit bias use RQ_64. */
static qv_rq_par *requantize(cmsis_net *b, cmsis_case *c, uint32_t n, bool wide) {
  qv_rq fn = wide ? QV_RQ_64 : b->rounding;
  qv_rq_par *par = ARR(b, n, qv_rq_par);
  if (cmsis_has(c, "OUTPUT_MULTIPLIER")) {
    for (uint32_t o = 0; o < n; o++)
      par[o] = (qv_rq_par){
          .fn = fn, .m = (int32_t)cmsis_def(c, "OUTPUT_MULTIPLIER", 0, INT32_MAX), .sh = (int32_t)cmsis_def(c, "OUTPUT_SHIFT", -31, 30)};
    return par;
  }
  cmsis_array m = cmsis_read(c, "output_mult|output_multiplier"), s = cmsis_read(c, "output_shift");
  if (m.n != n || s.n != n) fail_msg("%s: %zu multipliers, %zu shifts, %u channels", c->name, m.n, s.n, n);
  for (uint32_t o = 0; o < n; o++) par[o] = (qv_rq_par){.fn = fn, .m = (int32_t)m.v[o], .sh = (int32_t)s.v[o]};
  return par;
}

/* Bias of n channels into a; zeros where the original passes a null pointer. Its type tells the accumulator's. */
static bool read_bias(cmsis_net *b, cmsis_case *c, qv_affine *a, uint32_t n) {
  int64_t *bias = ARR(b, n, int64_t);
  a->b = bias;
  if (!cmsis_has_array(c, "biases|bias|input_bias")) {
    if (strcmp(c->name, "fully_connected_int4_6") != 0) fail_msg("%s: no bias", c->name); /* made without one */
    return false;
  }
  cmsis_array v = cmsis_read(c, "biases|bias|input_bias");
  if (v.n != 0 && v.n != n) fail_msg("%s: %zu biases for %u channels", c->name, v.n, n);
  if (v.n != 0) memcpy(bias, v.v, n * sizeof *bias);
  return v.type == QV_I64;
}

static uint32_t affine_and_step(cmsis_net *b, cmsis_case *c, qv_affine a, const char *op, uint32_t x, uint32_t rank, const uint32_t *dim) {
  int32_t *zp = ARR(b, 1, int32_t);
  zp[0] = (int32_t)-cmsis_def_or(c, "FILTER_OFFSET", 0);
  a.n_w_zp = 1;
  a.w_zp = zp;
  a.x_zp = (int32_t)-cmsis_def(c, "INPUT_OFFSET", -255, 255);
  bool wide = read_bias(b, c, &a, a.win.oc);
  a.acc = (qv_acc){.mode = QV_ACC_WRAP, .bits = wide ? 64 : 32, .bias = QV_BIAS_LAST};
  qv_node n = {.kind = QV_AFFINE, .op = op, .u.affine = a};
  uint32_t acc = node(b, n, x, QV_NONE, wide ? QV_I64 : QV_I32, rank, dim);
  qv_node s = {.kind = QV_STEP, .op = op, .u.step = clamped(c, requantize(b, c, a.win.oc, wide), a.win.oc)};
  return node_like(b, s, acc, QV_NONE, b->net->tensor[x].type);
}

uint32_t cmsis_conv(cmsis_net *b, cmsis_case *c, uint32_t x, bool depthwise) {
  qv_affine a = {.win = window(c)};
  qv_window *g = &a.win;
  if (depthwise) g->groups = g->ic;
  else g->groups = g->ic / (uint32_t)cmsis_def_or(c, "FILTER_CH", g->ic);
  size_t taps = (size_t)g->kh * g->kw, n = taps * (g->ic / g->groups) * g->oc;
  cmsis_array w = cmsis_weights(c, "weights|input_weights", n, fnmatch("*int4*", c->name, 0) == 0);
  int32_t *packed = copy32(b, w.v, n);
  if (depthwise) /* stored [kh][kw][oc] */
    for (size_t o = 0; o < g->oc; o++)
      for (size_t t = 0; t < taps; t++) packed[o * taps + t] = (int32_t)w.v[t * g->oc + o];
  a.w = packed;
  const uint32_t dim[4] = {g->n, g->oh, g->ow, g->oc};
  return affine_and_step(b, c, a, depthwise ? "DEPTHWISE_CONV_2D" : "CONV_2D", x, 4, dim);
}

uint32_t cmsis_dense(cmsis_net *b, cmsis_case *c, uint32_t x, uint32_t outputs) {
  uint32_t rows = cmsis_dim(c, "INPUT_BATCHES"), depth = (uint32_t)(qv_elems(&b->net->tensor[x]) / rows);
  qv_affine a = {.win = {rows, 1, 1, depth, 1, 1, outputs, 1, 1, 1, 1, 1, 1, 0, 0, 1}};
  size_t n = (size_t)depth * outputs;
  a.w = copy32(b, cmsis_weights(c, "weights|input_weights", n, fnmatch("*int4*", c->name, 0) == 0).v, n);
  return affine_and_step(b, c, a, "FULLY_CONNECTED", x, 2, (const uint32_t[]){rows, outputs});
}

/* ---- pooling ---------------------------------------------------------------------------------------------------------- */

/* Taps of output position p that lie inside the image, along one axis. */
static uint32_t inside(uint32_t p, uint32_t size, uint32_t kernel, uint32_t stride, uint32_t pad) {
  int64_t from = (int64_t)p * stride - pad, to = from + kernel;
  return (uint32_t)(qv_min64(to, size) - qv_max64(from, 0));
}

/* Sum over the window, divided by the number of taps inside, which depends on the position. */
uint32_t cmsis_average_pool(cmsis_net *b, const cmsis_case *c, uint32_t x) {
  qv_affine a = {.win = window(c)};
  qv_window *g = &a.win;
  g->groups = g->ic;
  size_t taps = (size_t)g->kh * g->kw * g->ic;
  int32_t *ones = ARR(b, taps, int32_t);
  for (size_t i = 0; i < taps; i++) ones[i] = 1;
  a.w = ones;
  a.n_w_zp = 1;
  a.w_zp = ARR(b, 1, int32_t);
  a.b = ARR(b, g->oc, int64_t);
  a.acc = (qv_acc){.mode = QV_ACC_WRAP, .bits = 32, .bias = QV_BIAS_LAST};
  const uint32_t dim[4] = {g->n, g->oh, g->ow, g->oc}, places = g->oh * g->ow;
  qv_node n = {.kind = QV_AFFINE, .op = "AVERAGE_POOL_2D", .u.affine = a};
  uint32_t sum = node(b, n, x, QV_NONE, QV_I32, 4, dim);
  qv_rq_par *par = ARR(b, places, qv_rq_par);
  for (uint32_t p = 0; p < places; p++)
    par[p] = (qv_rq_par){.fn = QV_RQ_DIV,
                         .m = (int32_t)(inside(p / g->ow, g->ih, g->kh, g->sh, g->pt) * inside(p % g->ow, g->iw, g->kw, g->sw, g->pl))};
  qv_step s = clamped(c, par, places);
  s.inner = g->oc;
  s.out_zp = 0; /* same scale on both sides; whole nets store the zero point */
  return node_like(b, (qv_node){.kind = QV_STEP, .op = "AVERAGE_POOL_2D", .u.step = s}, sum, QV_NONE, b->net->tensor[x].type);
}

uint32_t cmsis_max_pool(cmsis_net *b, const cmsis_case *c, uint32_t x) {
  qv_window g = window(c);
  g.groups = g.ic;
  const uint32_t dim[4] = {g.n, g.oh, g.ow, g.oc};
  qv_dtype type = b->net->tensor[x].type;
  uint32_t m = node(b, (qv_node){.kind = QV_MAX, .op = "MAX_POOL_2D", .u.max = g}, x, QV_NONE, type, 4, dim);
  qv_step s = clamped(c, NULL, 0);
  return node_like(b, (qv_node){.kind = QV_CLAMP, .op = "MAX_POOL_2D", .u.clamp = {s.lo, s.hi}}, m, QV_NONE, type);
}

/* ---- elementwise ------------------------------------------------------------------------------------------------------ */

static uint32_t rescale(cmsis_net *b, uint32_t x, qv_step s, qv_dtype type) {
  return node_like(b, (qv_node){.kind = QV_STEP, .op = "ADD", .u.step = s}, x, QV_NONE, type);
}

static qv_rq_par *one_par(cmsis_net *b, const cmsis_case *c, const char *mult, const char *shift) {
  qv_rq_par *par = ARR(b, 1, qv_rq_par);
  *par = (qv_rq_par){.fn = b->rounding, .m = (int32_t)cmsis_def(c, mult, 0, INT32_MAX), .sh = (int32_t)cmsis_def(c, shift, -31, 30)};
  return par;
}

/* One operand of ADD: rescaled, not clamped by the runtime, so its range is the image of the operand's. */
static uint32_t addend(cmsis_net *b, const cmsis_case *c, uint32_t x, const char *offset, const char *mult, const char *shift) {
  qv_step s = {.in_zp = -cmsis_def(c, offset, -255, 255),
               .lshift = (uint32_t)cmsis_def(c, "LEFT_SHIFT", 0, 31),
               .n_par = 1,
               .par = one_par(b, c, mult, shift),
               .inner = 1,
               .lo = INT32_MIN,
               .hi = INT32_MAX};
  qv_itv r = qv_step_image(&s, 0, qv_dtype_range(b->net->tensor[x].type));
  s.lo = r.lo;
  s.hi = r.hi;
  return rescale(b, x, s, QV_I32);
}

uint32_t cmsis_add(cmsis_net *b, const cmsis_case *c, uint32_t x, uint32_t y) {
  qv_dtype type = b->net->tensor[x].type;
  uint32_t p = addend(b, c, x, "INPUT1_OFFSET", "INPUT1_MULT", "INPUT1_SHIFT");
  uint32_t q = addend(b, c, y, "INPUT2_OFFSET", "INPUT2_MULT", "INPUT2_SHIFT");
  int64_t *ones = ARR(b, 2, int64_t);
  ones[0] = ones[1] = 1;
  qv_sum sum = {.c = ones, .z = ARR(b, 2, int64_t), .acc = {.mode = QV_ACC_WRAP, .bits = 32}};
  uint32_t acc = node_like(b, (qv_node){.kind = QV_SUM, .op = "ADD", .u.sum = sum}, p, q, QV_I32);
  return rescale(b, acc, clamped(c, one_par(b, c, "OUTPUT_MULT", "OUTPUT_SHIFT"), 1), type);
}

uint32_t cmsis_mul(cmsis_net *b, const cmsis_case *c, uint32_t x, uint32_t y) {
  qv_product p = {.z0 = -cmsis_def(c, "INPUT1_OFFSET", -255, 255),
                  .z1 = -cmsis_def(c, "INPUT2_OFFSET", -255, 255),
                  .acc = {.mode = QV_ACC_WRAP, .bits = 32}};
  uint32_t acc = node_like(b, (qv_node){.kind = QV_PRODUCT, .op = "MUL", .u.product = p}, x, y, QV_I32);
  qv_node s = {.kind = QV_STEP, .op = "MUL", .u.step = clamped(c, one_par(b, c, "OUTPUT_MULT", "OUTPUT_SHIFT"), 1)};
  return node_like(b, s, acc, QV_NONE, b->net->tensor[x].type);
}

/* ---- data movement ---------------------------------------------------------------------------------------------------- */

uint32_t cmsis_pad(cmsis_net *b, const cmsis_case *c, uint32_t x) {
  static const char *const axis[4][2] = {
      {"PRE_PAD_N", "POST_PAD_N"}, {"PRE_PAD_H", "POST_PAD_H"}, {"PRE_PAD_W", "POST_PAD_W"}, {"PRE_PAD_C", "POST_PAD_C"}};
  qv_tensor t = b->net->tensor[x];
  qv_index ix = {.form = QV_IX_PAD, .value = (int32_t)cmsis_def(c, "PAD_VALUE", INT8_MIN, INT8_MAX)};
  for (int d = 0; d < 4; d++) {
    ix.a[d] = (int32_t)cmsis_def(c, axis[d][0], 0, 1 << 16);
    ix.b[d] = (int32_t)cmsis_def(c, axis[d][1], 0, 1 << 16);
    t.dim[d] += (uint32_t)ix.a[d] + (uint32_t)ix.b[d];
  }
  return node(b, (qv_node){.kind = QV_INDEX, .op = "PAD", .u.index = ix}, x, QV_NONE, t.type, 4, t.dim);
}

uint32_t cmsis_transpose(cmsis_net *b, uint32_t x, const uint32_t *perm) {
  qv_tensor t = b->net->tensor[x];
  qv_index ix = {.form = QV_IX_TRANSPOSE};
  uint32_t dim[QV_MAX_RANK];
  for (uint32_t d = 0; d < t.rank; d++) {
    ix.a[d] = (int32_t)perm[d];
    dim[d] = t.dim[perm[d]];
  }
  return node(b, (qv_node){.kind = QV_INDEX, .op = "TRANSPOSE", .u.index = ix}, x, QV_NONE, t.type, t.rank, dim);
}

/* ---- softmax ---------------------------------------------------------------------------------------------------------- */

static double reciprocal1p(double x) { return 1 / (1 + x); }

static void fill_table(int16_t *t, double (*f)(double), double lo, double hi) {
  double step = (hi - lo) / 512;
  for (int i = 0; i < 512; i++) {
    double x = lo + i * step, at = round(f(x) * 32768.0), next = f(lo + (i + 1) * step) * 32768.0;
    double middle = round((next + at) / 2), bias = round((middle - round(f(x + step / 2) * 32768.0)) / 2);
    t[i] = (int16_t)fmin(fmax(at - bias, -32768), 32767);
  }
  t[512] = (int16_t)fmin(fmax(round(f(hi) * 32768.0), -32768), 32767);
}

void cmsis_softmax_tables(int16_t lut[2 * 513]) {
  fill_table(lut, exp, -10, 0);
  fill_table(lut + 513, reciprocal1p, 0, 1);
}

uint32_t cmsis_softmax(cmsis_net *b, const cmsis_case *c, uint32_t x, qv_dtype out) {
  qv_itv r = qv_dtype_range(out);
  qv_tail t = {.mult = (int32_t)cmsis_def(c, "INPUT_MULT|MULT", 0, INT32_MAX),
               .ls = (int32_t)cmsis_def(c, "INPUT_LEFT_SHIFT|SHIFT", -31, 30)};
  if (b->net->tensor[x].type == QV_I16) {
    int16_t *lut = ARR(b, 2 * 513, int16_t);
    cmsis_softmax_tables(lut);
    t.fn = QV_TAIL_SOFTMAX_16;
    t.rq = b->rounding;
    t.lut = lut;
    t.lo = 0; /* probabilities in 1/32768 */
    t.hi = r.hi;
  } else {
    t.fn = QV_TAIL_SOFTMAX_Q;
    t.diff_min = (int32_t)cmsis_def(c, "DIFF_MIN", INT32_MIN, 0);
    t.out_bits = out == QV_I8 ? 8 : 16;
    t.out_zp = t.lo = r.lo;
    t.hi = r.hi;
  }
  return node_like(b, (qv_node){.kind = QV_TAIL, .op = "SOFTMAX", .u.tail = t}, x, QV_NONE, out);
}
