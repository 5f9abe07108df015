/* Convolutions and matrix products: one AFFINE, and one STEP behind it (docs/onnx.md). */
#include <math.h>
#include <string.h>

#include "frontend/onnx_lower.h"
#include "frontend/onnx_window.h"

typedef struct {
  ox_value *x;          /* activations: OX_INT or OX_DQ                                     */
  int32_t x_zp;
  bool as_u8;           /* ONNX Runtime computes with x + 128, type uint8                   */
  ox_shape x_shape;     /* of x as it enters the window; a matrix product flattens it       */
  bool conv;            /* channels last; else dense, plain storage                         */
  int32_t w_type;
  const int32_t *w;     /* [oc][kh][kw][ic/groups] */
  uint32_t n_w_zp;
  const int32_t *w_zp;
  const int64_t *b;     /* [oc] */
  qv_window win;
  ox_shape out;         /* ONNX shape of the sums */
} gemm;

/* ---- weights, zero points, bias ------------------------------------------------------------------------------------------ */

/* Weights: a constant of integers, plain or dequantized; its quantization if dequantized. */
static qv_status weight_const(ox *L, ox_value *v, const onx_const **c) {
  if (v->state != OX_CONST && v->state != OX_DQ_CONST)
    return OX_UNSUP(L, v, "the weights are computed by the network; only constant weights are supported");
  if (v->c->i == NULL || !onx_is_int(v->c->type)) return OX_UNSUP(L, v, "weights of this type are not supported; supported: integers of at most 16 bits%s",
                                         v->c->f != NULL ? " (quantize the weights: DequantizeLinear in front of them)" : "");
  if (v->c->type == ONX_INT32) return OX_UNSUP(L, v, "weights of this type are not supported; supported: integers of at most 16 bits");
  *c = v->c;
  return QV_OK;
}

/* Conv weights [oc][ic/g][kh][kw] (or without kh) to [oc][kh][kw][ic/g]. */
static qv_status conv_weights(ox *L, ox_value *v, gemm *g, uint32_t n_groups) {
  const onx_const *c;
  qv_status st = weight_const(L, v, &c);
  if (st != QV_OK) return st;
  if (c->rank != 3 && c->rank != 4) return OX_UNSUP(L, v, "convolutions over %u dimensions; supported: 1 and 2", c->rank >= 2 ? c->rank - 2 : 0);
  if (c->n == 0) return OX_PARSE(L, v, "the weights are empty");
  uint32_t oc = c->dim[0], gic = c->dim[1], kh = c->rank == 4 ? c->dim[2] : 1, kw = c->dim[c->rank - 1];
  int32_t *w = OX_NEW(L, c->n, int32_t);
  if (w == NULL) return ox_nomem(L);
  size_t taps = (size_t)kh * kw;
  for (size_t o = 0; o < oc; o++)
    for (size_t i = 0; i < gic; i++)
      for (size_t t = 0; t < taps; t++) w[(o * taps + t) * gic + i] = c->i[(o * gic + i) * taps + t];
  g->w = w;
  g->w_type = c->type;
  g->win.oc = oc;
  g->win.kh = kh;
  g->win.kw = kw;
  g->win.groups = n_groups;
  return QV_OK;
}

/* ---- stacks of matrices: one group of a grouped product per matrix ------------------------------------------------------------ */

typedef struct {
  uint32_t n;      /* matrices; 1: none */
  ox_shape x;      /* of the operand, [.., M, K] */
  ox_value moved;  /* operand as [M][n][K] */
} stack;

/* How many matrices v holds. */
static uint32_t stack_count(const ox_value *v) {
  uint32_t n = 1;
  if ((v->state != OX_CONST && v->state != OX_DQ_CONST) || v->c->n == 0) return 1;
  for (uint32_t d = 0; d + 2 < v->c->rank; d++) n *= v->c->dim[d]; /* within the element limit */
  return n;
}

static qv_status swapped(ox *L, const ox_value *name, const char *suffix, const ox_shape *from, uint32_t in, uint32_t *out) {
  qv_status st;
  ox_shape to = {.rank = 3, .dim = {from->dim[1], from->dim[0], from->dim[2]}};
  qv_index ix = {.form = QV_IX_TRANSPOSE, .a = {1, 0, 2}};
  uint32_t flat;
  QV_TRY(ox_add_tensor(L, name, suffix, L->net->tensor[in].type, from, &flat));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_RESHAPE}}, &in, 1, flat));
  QV_TRY(ox_add_tensor(L, name, suffix, L->net->tensor[in].type, &to, out));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_INDEX, .u.index = ix}, &flat, 1, *out));
done:
  return st;
}

/* Weights [.., K, N], the operand with the same leading dimensions: w becomes [n*N][K], g->x the operand as [M][n][K]. */
static qv_status stack_operands(ox *L, ox_value *w, gemm *g, stack *s) {
  qv_status st;
  const onx_const *c = w->c;
  const ox_shape *x = &g->x->shape;
  uint32_t r = c->rank, k = c->dim[r - 2], n = c->dim[r - 1], in;
  if (c->i == NULL || !onx_is_int(c->type) || c->type == ONX_INT32) return OX_UNSUP(L, w, "weights of this type are not supported");
  bool same = x->rank == r && x->dim[r - 1] == k;
  for (uint32_t d = 0; same && d + 2 < r; d++) same = x->dim[d] == c->dim[d];
  if (!same) return OX_UNSUP(L, w, "a stack of weight matrices whose dimensions are not those of the operand's matrices");
  uint32_t m = x->dim[r - 2];
  int32_t *p = OX_NEW(L, c->n, int32_t);
  if (p == NULL) return ox_nomem(L);
  for (size_t b = 0; b < s->n; b++)
    for (size_t i = 0; i < k; i++)
      for (size_t o = 0; o < n; o++) p[(b * n + o) * k + i] = c->i[(b * k + i) * n + o];
  const ox_shape from = {.rank = 3, .dim = {s->n, m, k}};
  s->x = *x;
  s->moved = *g->x;
  s->moved.cl = false;
  s->moved.shape = (ox_shape){.rank = 3, .dim = {m, s->n, k}};
  QV_TRY(ox_net_of(L, g->x, false, &in));
  QV_TRY(swapped(L, g->x, "/stack", &from, in, &s->moved.net));
  g->x = &s->moved;
  g->w = p;
  g->w_type = c->type;
  g->win = (qv_window){.n = m, .ih = 1, .iw = 1, .ic = s->n * k, .oh = 1, .ow = 1, .oc = s->n * n, .kh = 1, .kw = 1,
                       .sh = 1, .sw = 1, .dh = 1, .dw = 1, .groups = s->n};
  g->x_shape = s->moved.shape;
  g->out = (ox_shape){.rank = 3, .dim = {m, s->n, n}};
done:
  return st;
}

/* The result [M][n][N] back to [.., M, N]. */
static qv_status stack_result(ox *L, ox_value *y, const stack *s) {
  qv_status st;
  uint32_t net, out;
  const ox_shape from = {.rank = 3, .dim = {y->shape.dim[0], y->shape.dim[1], y->shape.dim[2]}};
  ox_shape to = s->x;
  to.dim[to.rank - 1] = from.dim[2];
  QV_TRY(swapped(L, y, "/unstack", &from, y->net, &net));
  QV_TRY(ox_add_tensor(L, y, "/out", L->net->tensor[y->net].type, &to, &out));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_RESHAPE}}, &net, 1, out));
  if (L->net->tensor[y->net].has_q) ox_tag(L, out, L->net->tensor[y->net].scale, L->net->tensor[y->net].zp);
  ox_set_int(y, out, y->type, &to, false);
done:
  return st;
}

/* Matrix [K][N] (transposed: [N][K]) to [N][K]. */
static qv_status dense_weights(ox *L, ox_value *v, gemm *g, bool transposed, uint32_t *k) {
  const onx_const *c;
  qv_status st = weight_const(L, v, &c);
  if (st != QV_OK) return st;
  uint32_t r = c->rank;
  for (uint32_t d = 0; d + 2 < r; d++)
    if (c->dim[d] != 1) return OX_UNSUP(L, v, "a stack of weight matrices; only one matrix is supported");
  if (r < 2 || c->n == 0) return OX_UNSUP(L, v, "the weights must be a matrix, not empty");
  uint32_t rows = c->dim[r - 2], cols = c->dim[r - 1];
  *k = transposed ? cols : rows;
  g->win.oc = transposed ? rows : cols;
  g->w_type = c->type;
  g->w = c->i;
  if (transposed) return QV_OK;
  int32_t *w = OX_NEW(L, c->n, int32_t);
  if (w == NULL) return ox_nomem(L);
  for (size_t i = 0; i < rows; i++)
    for (size_t o = 0; o < cols; o++) w[o * rows + i] = c->i[i * cols + o];
  g->w = w;
  return QV_OK;
}

static qv_status weight_zps(ox *L, const ox_value *v, gemm *g, uint32_t n, const int32_t *z) {
  if (n != 1 && n != g->win.oc) return OX_PARSE(L, v, "%u zero points for %u output channels", n, g->win.oc);
  g->n_w_zp = n;
  g->w_zp = z;
  return QV_OK;
}

static qv_status no_bias(ox *L, gemm *g) {
  g->b = OX_NEW(L, g->win.oc, int64_t);
  return g->b != NULL ? QV_OK : ox_nomem(L);
}

/* INT32 bias of one value per output channel, or one for all (scalar allowed in matrix products only). */
static qv_status int_bias(ox *L, const ox_value *v, gemm *g) {
  uint32_t oc = g->win.oc;
  int64_t *b = OX_NEW(L, oc, int64_t);
  if (b == NULL) return ox_nomem(L);
  const onx_const *c = v->c;
  if (v->state != OX_CONST && v->state != OX_DQ_CONST) return OX_UNSUP(L, v, "the bias must be a constant");
  if (c->type != ONX_INT32)
    return OX_UNSUP(L, v, "the bias must be INT32%s", c->f != NULL ? "; float biases are not supported (quantize the bias too)" : "");
  bool row = c->n == oc && (c->rank == 0 || c->dim[c->rank - 1] == oc);
  if (!row && !(c->n == 1 && !g->conv)) return OX_UNSUP(L, v, "%zu bias values for %u output channels", c->n, oc);
  for (size_t o = 0; o < oc; o++) b[o] = c->i[c->n == 1 ? 0 : o];
  g->b = b;
  return QV_OK;
}

/* ---- shapes ---------------------------------------------------------------------------------------------------------------- */

static qv_status conv_shape(ox *L, gemm *g, const ox_value *w) {
  g->x_shape = g->x->shape;
  g->conv = true;
  return ox_conv_fit(L, g->x, w->c->rank, w->c->dim, &g->win, &g->out);
}

static qv_status dense_shape(ox *L, gemm *g, uint32_t k) {
  const ox_shape *x = &g->x->shape;
  size_t n;
  if (x->rank < 1 || x->dim[x->rank - 1] != k) return OX_PARSE(L, g->x, "the last dimension does not fit weights for %u inputs", k);
  if (!ox_count(x, &n)) return OX_PARSE(L, g->x, "the input is empty or too large");
  g->win = (qv_window){.n = (uint32_t)(n / k), .ih = 1, .iw = 1, .ic = k, .oh = 1, .ow = 1, .oc = g->win.oc, .kh = 1, .kw = 1,
                       .sh = 1, .sw = 1, .dh = 1, .dw = 1, .groups = 1};
  g->x_shape = *x;
  g->out = *x;
  g->out.dim[x->rank - 1] = g->win.oc;
  return QV_OK;
}

/* ---- accumulators ---------------------------------------------------------------------------------------------------------- */

static bool wide(int32_t type) { return type == ONX_INT16 || type == ONX_UINT16; }

static bool same_w_zps(const gemm *g) {
  for (uint32_t o = 1; o < g->n_w_zp; o++)
    if (g->w_zp[o] != g->w_zp[0]) return false;
  return true;
}

/* `weights_first`: the runtime's matrix product has the weights on the left, over (channel, row, column): only then and without
 * pairs or lanes, or where that order is ours, the accumulator is known. */
static qv_status pick_acc(ox *L, const gemm *g, bool weights_first, qv_acc *acc) {
  int32_t xt = g->as_u8 ? ONX_UINT8 : g->x->type;
  bool xs = onx_range(xt).lo < 0, ws = onx_range(g->w_type).lo < 0;
  *acc = weights_first ? L->prof->acc[ws][xs] : L->prof->acc[xs][ws];
  if (acc->bits == 0)
    return OX_UNSUP(L, g->x, "activations %s with weights %s: the arithmetic under profile %s is not known (or that runtime does not have it)",
                    onx_type_name(xt), onx_type_name(g->w_type), L->prof->name);
  if (weights_first && qv_acc_staged(acc) && g->win.kh * (uint64_t)g->win.kw > 1 && g->win.ic / g->win.groups > 1)
    return OX_UNSUP(L, g->x, "profile %s adds the products in another order (channel by channel), which is not modelled", L->prof->name);
  bool depthwise = g->conv && !weights_first && g->win.groups == g->win.ic && g->win.oc == g->win.ic && same_w_zps(g);
  if (depthwise && L->prof->dw_exact)
    *acc = (qv_acc){.mode = QV_ACC_WRAP, .bits = acc->bits, .order = acc->order, .bias = acc->bias, .raw = true};
  return QV_OK;
}

/* x + 128 as uint8: the bytes that the kernel multiplies. */
static qv_status shift_to_u8(ox *L, const gemm *g, bool cl, uint32_t *in) {
  qv_status st;
  uint32_t u8;
  ox_shape s = ox_stored_shape(&g->x_shape, cl);
  int64_t *c = OX_NEW(L, 2, int64_t);
  if (c == NULL) return ox_nomem(L);
  c[0] = 1;
  c[1] = -128;
  QV_TRY(ox_add_tensor(L, g->x, "/u8", QV_U8, &s, &u8));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_SUM, .u.sum = {.c = c, .z = c + 1, .acc = {.mode = QV_ACC_EXACT}}}, in, 1, u8));
  *in = u8;
done:
  return st;
}

static qv_status sums(ox *L, gemm *g, const qv_acc *acc, ox_value *y, const char *suffix, uint32_t *net) {
  qv_status st;
  uint32_t in;
  qv_affine a = {.win = g->win, .x_zp = g->x_zp, .w = g->w, .n_w_zp = g->n_w_zp, .w_zp = g->w_zp, .b = g->b, .acc = *acc};
  QV_TRY(ox_net_of(L, g->x, g->conv, &in));
  if (g->as_u8 && qv_acc_pairs(acc)) { /* otherwise the shift changes nothing */
    QV_TRY(shift_to_u8(L, g, g->conv, &in));
    a.x_zp += 128;
  }
  ox_shape s = ox_stored_shape(&g->out, g->conv);
  QV_TRY(ox_add_tensor(L, y, suffix, acc->mode == QV_ACC_EXACT ? QV_I64 : QV_I32, &s, net));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_AFFINE, .u.affine = a}, &in, 1, *net));
done:
  return st;
}

/* ---- QOperator form ------------------------------------------------------------------------------------------------------- */

static qv_status want_qoperator(ox *L) {
  if (L->prof->qoperator) return QV_OK;
  return OX_UNSUP(L, NULL, "profile %s is about QDQ models; name ort-vnni, ort-avx2 or another profile for this operator", L->prof->name);
}

static qv_status int_operand(ox *L, gemm *g, const ox_quant *q) {
  if (g->x->state == OX_CONST) return OX_UNSUP(L, g->x, "a constant operand in this place is not supported");
  if (g->x->state != OX_INT) return OX_UNSUP(L, g->x, "this operand must be an integer tensor of the network");
  if (g->x->type == ONX_INT32) return OX_UNSUP(L, g->x, "operands of this type are not supported");
  if (q != NULL && q->type != g->x->type) return OX_PARSE(L, g->x, "the zero point is %s", onx_type_name(q->type));
  g->x_zp = q != NULL ? q->z[0] : 0;
  return QV_OK;
}

/* x, x_scale, x_zp, w, w_scale, w_zp, y_scale, y_zp at operands 0..2, w0..w0+2, y0..y0+1. */
static qv_status qlinear(ox *L, gemm *g, ox_value *w, uint32_t y0, float alpha, const ox_quant *qx, const ox_quant *qw) {
  qv_status st;
  ox_quant qy;
  ox_value *y;
  qv_acc acc;
  uint32_t net;
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(weight_zps(L, w, g, qw->n, qw->z));
  QV_TRY(ox_one_quant(L, y0, ONX_UINT8, &qy));
  QV_TRY(pick_acc(L, g, false, &acc));
  if (L->prof->qdq == QV_QDQ_ORT && g->x->type == ONX_INT8 && g->w_type == ONX_UINT8)
    return OX_UNSUP(L, g->x, "the runtime of profile %s has no kernel for activations INT8 with weights UINT8", L->prof->name);
  if (L->prof->qdq == QV_QDQ_ORT && (wide(g->x->type) || wide(g->w_type) || onx_range(qy.type).hi > 255 || onx_range(g->w_type).hi < 127))
    return OX_UNSUP(L, g->x, "the operator takes 8-bit tensors only");
  QV_TRY(sums(L, g, &acc, y, "/acc", &net));
  const ox_pending p = {.kind = OX_P_GEMM, .s = {qx->s[0]}, .alpha = alpha, .n_w = qw->n, .w = qw->s, .type = g->x->type};
  QV_TRY(ox_requantize(L, &p, net, g->conv, &g->out, qy.s[0], qy.z[0], qy.type, y));
done:
  return st;
}

qv_status ox_qlinear_conv(ox *L) {
  qv_status st;
  gemm g = {0};
  ox_value *w, *b = ox_opt(L, 8);
  ox_quant qx, qw;
  uint32_t groups;
  QV_TRY(want_qoperator(L));
  QV_TRY(ox_arg(L, 0, &g.x));
  QV_TRY(ox_arg(L, 3, &w));
  QV_TRY(ox_one_quant(L, 1, ONX_UINT8, &qx));
  QV_TRY(ox_quant_args(L, 4, ONX_UINT8, &qw));
  QV_TRY(int_operand(L, &g, &qx));
  QV_TRY(ox_conv_groups(L, &groups));
  QV_TRY(conv_weights(L, w, &g, groups));
  if (qw.type != g.w_type) return OX_PARSE(L, w, "the zero point is %s", onx_type_name(qw.type));
  QV_TRY(conv_shape(L, &g, w));
  if ((b != NULL || qw.n > 1) && g.x->shape.rank == 3 && L->prof->rq == QV_ORQ_REF)
    return OX_UNSUP(L, w, "the reference evaluator gives the result of a one-dimensional convolution with bias, or with a zero point per channel, another shape");
  QV_TRY(b != NULL ? int_bias(L, b, &g) : no_bias(L, &g));
  QV_TRY(qlinear(L, &g, w, 6, 1, &qx, &qw));
done:
  return st;
}

qv_status ox_qlinear_matmul(ox *L) {
  qv_status st;
  gemm g = {0};
  ox_value *w, *y;
  ox_quant qx, qw;
  stack s = {0};
  uint32_t k;
  QV_TRY(want_qoperator(L));
  QV_TRY(ox_arg(L, 0, &g.x));
  QV_TRY(ox_arg(L, 3, &w));
  QV_TRY(ox_one_quant(L, 1, ONX_UINT8, &qx));
  QV_TRY(ox_quant_args(L, 4, ONX_UINT8, &qw));
  QV_TRY(int_operand(L, &g, &qx));
  s.n = stack_count(w);
  if (s.n > 1) {
    if (qw.n != 1) return OX_UNSUP(L, w, "a stack of weight matrices with %u scales; supported: one", qw.n);
    QV_TRY(stack_operands(L, w, &g, &s));
  } else {
    QV_TRY(dense_weights(L, w, &g, false, &k));
  }
  if (qw.type != g.w_type) return OX_PARSE(L, w, "the zero point is %s", onx_type_name(qw.type));
  if (s.n <= 1) QV_TRY(dense_shape(L, &g, k));
  QV_TRY(no_bias(L, &g));
  QV_TRY(qlinear(L, &g, w, 6, 1, &qx, &qw));
  if (s.n > 1) {
    y = &L->val[qv_names_get(&L->index, L->op->output[0])];
    QV_TRY(stack_result(L, y, &s));
  }
done:
  return st;
}

qv_status ox_qgemm(ox *L) {
  qv_status st;
  gemm g = {0};
  ox_value *w, *b = ox_opt(L, 6);
  ox_quant qx, qw;
  uint32_t k;
  int64_t ta, tb;
  float alpha;
  QV_TRY(want_qoperator(L));
  QV_TRY(ox_arg(L, 0, &g.x));
  QV_TRY(ox_arg(L, 3, &w));
  QV_TRY(ox_one_quant(L, 1, ONX_UINT8, &qx));
  QV_TRY(ox_quant_args(L, 4, ONX_UINT8, &qw));
  QV_TRY(ox_attr_i(L, "transA", 0, &ta));
  QV_TRY(ox_attr_i(L, "transB", 0, &tb));
  QV_TRY(ox_attr_f(L, "alpha", 1, &alpha));
  if (ta != 0) return OX_UNSUP(L, g.x, "transA is not supported");
  if (!(alpha > 0 && isfinite(alpha))) return OX_UNSUP(L, NULL, "alpha %g is not supported", (double)alpha);
  if (ox_opt(L, 7) == NULL) return OX_UNSUP(L, NULL, "a float result (no y_scale) makes no integer claim");
  QV_TRY(int_operand(L, &g, &qx));
  QV_TRY(dense_weights(L, w, &g, tb != 0, &k));
  if (qw.type != g.w_type) return OX_PARSE(L, w, "the zero point is %s", onx_type_name(qw.type));
  QV_TRY(dense_shape(L, &g, k));
  QV_TRY(b != NULL ? int_bias(L, b, &g) : no_bias(L, &g));
  QV_TRY(qlinear(L, &g, w, 7, alpha, &qx, &qw));
done:
  return st;
}

/* ---- sums as results -------------------------------------------------------------------------------------------------------- */

/* Zero point operand k of tensor v: constant integers of v's type; absent: one 0. */
static qv_status zp_operand(ox *L, uint32_t k, const ox_value *v, uint32_t *n, const int32_t **z) {
  ox_value *t = ox_opt(L, k);
  const onx_const *c;
  *n = 1;
  if (t == NULL) return (*z = OX_NEW(L, 1, int32_t)) != NULL ? QV_OK : ox_nomem(L);
  qv_status st = ox_const_of(L, t, &c);
  if (st != QV_OK) return st;
  if (c->i == NULL || c->type != v->type || c->n == 0 || c->rank > 1) return OX_UNSUP(L, t, "zero points must be one value or a list, of the tensor's type");
  *n = (uint32_t)c->n;
  *z = c->i;
  return QV_OK;
}

static qv_status integer_result(ox *L, gemm *g, ox_value *w, bool weights_first) {
  qv_status st;
  ox_value *y;
  qv_acc acc;
  uint32_t net, n;
  const int32_t *z;
  QV_TRY(want_qoperator(L));
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(zp_operand(L, 2, g->x, &n, &z));
  if (n != 1) return OX_UNSUP(L, g->x, "one zero point per row is not supported");
  g->x_zp = z[0];
  QV_TRY(zp_operand(L, 3, w, &n, &z));
  QV_TRY(weight_zps(L, w, g, n, z));
  QV_TRY(no_bias(L, g));
  QV_TRY(pick_acc(L, g, weights_first, &acc));
  QV_TRY(sums(L, g, &acc, y, "", &net));
  ox_set_int(y, net, ONX_INT32, &g->out, g->conv);
done:
  return st;
}

qv_status ox_conv_integer(ox *L) {
  qv_status st;
  gemm g = {0};
  ox_value *w;
  uint32_t groups;
  QV_TRY(ox_arg(L, 0, &g.x));
  QV_TRY(ox_arg(L, 1, &w));
  QV_TRY(int_operand(L, &g, NULL));
  QV_TRY(ox_conv_groups(L, &groups));
  QV_TRY(conv_weights(L, w, &g, groups));
  QV_TRY(conv_shape(L, &g, w));
  QV_TRY(integer_result(L, &g, w, L->prof->contrib)); /* ONNX Runtime: weights times unrolled image */
done:
  return st;
}

qv_status ox_matmul_integer(ox *L) {
  qv_status st;
  gemm g = {0};
  ox_value *w;
  uint32_t k;
  QV_TRY(ox_arg(L, 0, &g.x));
  QV_TRY(ox_arg(L, 1, &w));
  QV_TRY(int_operand(L, &g, NULL));
  QV_TRY(dense_weights(L, w, &g, false, &k));
  QV_TRY(dense_shape(L, &g, k));
  QV_TRY(integer_result(L, &g, w, false));
done:
  return st;
}

/* ---- QDQ form ---------------------------------------------------------------------------------------------------------------- */

static bool power_of_two(float f) {
  int e;
  return frexpf(f, &e) == 0.5f && e > -60 && e < 60;
}

qv_itv ox_values_of(const ox *L, uint32_t t, int32_t type) {
  qv_itv all = onx_range(type), r;
  for (uint32_t k = L->net->n_nodes; k-- > 0;) {
    const qv_node *n = &L->net->node[k];
    if (n->out != t) continue;
    if (n->kind == QV_INDEX && n->n_in == 1 && n->u.index.form != QV_IX_PAD) {
      t = n->in[0];
      continue;
    }
    if (n->kind != QV_TABLE) return all;
    r = (qv_itv){n->u.table.t[0], n->u.table.t[0]};
    for (uint32_t i = 1; i < n->u.table.n; i++) r = qv_itv_hull(r, (qv_itv){n->u.table.t[i], n->u.table.t[i]});
    return r;
  }
  return all;
}

/* Binary32 evaluation is exact in any order: powers of two as scales, every partial sum below 2^24. `bias_unit`: all bias values
 * are multiples of s_x * s_w. */
static qv_status float_is_exact(ox *L, const gemm *g, const ox_value *x, const ox_value *w, float alpha, const char *why) {
  bool ok = power_of_two(x->s) && power_of_two(alpha);
  for (uint32_t k = 0; k < w->n_q; k++) ok = ok && power_of_two(w->qs[k]);
  qv_itv r = ox_values_of(L, x->net, x->type);
  int64_t mag = qv_max64(0, qv_max64(x->z - r.lo, r.hi - x->z));
  size_t taps = (size_t)g->win.kh * g->win.kw * (g->win.ic / g->win.groups);
  for (size_t o = 0; ok && o < g->win.oc; o++) {
    qv_i128 sum = g->b[o] < 0 ? -(qv_i128)g->b[o] : g->b[o];
    for (size_t i = 0; i < taps; i++) {
      int64_t d = (int64_t)g->w[o * taps + i] - g->w_zp[g->n_w_zp == 1 ? 0 : o];
      sum += (qv_i128)(d < 0 ? -d : d) * mag;
    }
    ok = sum < ((qv_i128)1 << 24);
  }
  if (ok) return QV_OK;
  return OX_UNSUP(L, x, "%s under profile %s: binary32, which is exact only with powers of two as scales and sums below 2^24", why, L->prof->name);
}

/* The bias's scale is s_x * s_w (up to one rounding), as the integer operators assume. */
static bool bias_scale_fits(const ox_value *b, const ox_value *x, const ox_value *w, float alpha) {
  for (uint32_t k = 0; k < b->n_q || k < w->n_q; k++) {
    double want = (double)alpha * (double)x->s * (double)w->qs[w->n_q == 1 ? 0 : k], have = (double)b->qs[b->n_q == 1 ? 0 : k];
    if (b->n_q != 1 && w->n_q != 1 && b->n_q != w->n_q) return false;
    if (fabs(want - have) > want * 0x1p-22 || b->qz[b->n_q == 1 ? 0 : k] != 0) return false;
  }
  return true;
}

/* Is y an output that nobody reads, or becomes one through Reshapes alone? */
static bool ends_model(const ox *L, const ox_value *y) {
  for (int k = 0; k < 4; k++) {
    if (y->is_output) return y->uses == 0;
    const Onnx__NodeProto *n = ox_only_user(L, y);
    if (n == NULL || !ox_is_op(n, "Reshape") || n->n_output == 0 || strcmp(n->input[0], y->name) != 0) return false;
    y = &L->val[qv_names_get(&L->index, n->output[0])];
  }
  return false;
}

/* Does ONNX Runtime (x86-64, all optimizations) make an integer operator of it? NULL: yes; else why not. */
static const char *ort_fuses(const ox *L, const gemm *g, const ox_value *y, bool s8_allowed) {
  const Onnx__NodeProto *q = ox_quantizer(L, y);
  bool sum = ends_model(L, y) && ox_is_op(L->op, "Gemm"); /* QGemm without y_scale */
  if (!sum && (q == NULL || q->n_input < 2)) return "without a QuantizeLinear of its own behind it, the operator runs";
  int32_t in_type = g->as_u8 ? ONX_UINT8 : g->x->type, out_type = sum ? in_type : ox_written_type(L, q);
  if (in_type != out_type) return "with different types before and after it, the operator runs";
  if (in_type != ONX_UINT8 && in_type != ONX_INT8) return "with activations of this type, the operator runs";
  if (g->w_type != ONX_UINT8 && g->w_type != ONX_INT8) return "with weights of this type, the operator runs";
  if (in_type == ONX_INT8 && (!s8_allowed || g->w_type != ONX_INT8)) return "with int8 activations that the optimizer does not turn into uint8, the operator runs";
  return NULL;
}

/* Data movement between a DequantizeLinear and this operator: whether the optimizer sees through it is not modelled. */
static qv_status want_direct(ox *L, const ox_value *v) {
  if (v == NULL || v->direct || L->prof->qdq != QV_QDQ_ORT) return QV_OK;
  return OX_UNSUP(L, v, "under profile %s the DequantizeLinear must stand directly in front of the operator", L->prof->name);
}

static qv_status qdq(ox *L, gemm *g, ox_value *w, ox_value *b, float alpha, bool s8_allowed) {
  qv_status st;
  ox_value *y;
  qv_acc acc;
  uint32_t net;
  const ox_value *x = g->x;
  ox_pending p = {.kind = OX_P_GEMM, .s = {x->s}, .alpha = alpha, .n_w = w->n_q, .w = w->qs, .type = x->as_u8 ? ONX_UINT8 : x->type};
  L->hint = g->out;
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(weight_zps(L, w, g, w->n_q, w->qz));
  g->x_zp = x->z;
  g->as_u8 = x->as_u8;
  QV_TRY(b != NULL ? int_bias(L, b, g) : no_bias(L, g));
  const char *why = L->prof->qdq == QV_QDQ_FLOAT ? "the operator runs" : L->prof->qdq == QV_QDQ_ORT ? ort_fuses(L, g, y, s8_allowed) : NULL;
  if (b != NULL && (why != NULL || L->prof->qdq == QV_QDQ_REAL) && !bias_scale_fits(b, x, w, alpha))
    return OX_UNSUP(L, b, "the bias scale is not input scale times weight scale");
  if (why != NULL) {
    QV_TRY(float_is_exact(L, g, x, w, alpha, why));
    p.exact_f32 = true;
    acc = (qv_acc){.mode = QV_ACC_EXACT};
  } else if (wide(x->type) || wide(g->w_type)) {
    acc = (qv_acc){.mode = QV_ACC_EXACT}; /* real arithmetic: no machine of that profile has this operator */
  } else QV_TRY(pick_acc(L, g, false, &acc));
  QV_TRY(sums(L, g, &acc, y, "/acc", &net));
  QV_TRY(ox_set_pending(L, y, &p, net, g->conv, &g->out));
done:
  return st;
}

static qv_status qdq_operands(ox *L, gemm *g, ox_value **w, ox_value **b) {
  qv_status st;
  QV_TRY(ox_arg(L, 0, &g->x));
  QV_TRY(ox_arg(L, 1, w));
  *b = ox_opt(L, 2);
  if (g->x->state != OX_DQ) return OX_UNSUP(L, g->x, "the input is not a DequantizeLinear of integers: float arithmetic makes no integer claim");
  if (g->x->tail != NULL) return OX_UNSUP(L, g->x, "a float %s in front of the operator is not supported", g->x->tail);
  if (g->x->type == ONX_INT32) return OX_UNSUP(L, g->x, "activations of this type are not supported");
  if ((*w)->state != OX_DQ_CONST)
    return OX_UNSUP(L, *w, "the weights must be constants behind a DequantizeLinear; float weights and weights computed by the network are not supported");
  if (*b != NULL && (*b)->state != OX_DQ_CONST) return OX_UNSUP(L, *b, "the bias must be an INT32 constant behind a DequantizeLinear");
  QV_TRY(want_direct(L, g->x));
  QV_TRY(want_direct(L, *w));
  QV_TRY(want_direct(L, *b));
done:
  return st;
}

qv_status ox_conv(ox *L) {
  qv_status st;
  gemm g = {0};
  ox_value *w, *b;
  uint32_t groups;
  QV_TRY(qdq_operands(L, &g, &w, &b));
  if (w->n_q > 1 && w->axis != 0) return OX_UNSUP(L, w, "scales along dimension %u; supported: one scale, or one per output channel", w->axis);
  QV_TRY(ox_conv_groups(L, &groups));
  QV_TRY(conv_weights(L, w, &g, groups));
  QV_TRY(conv_shape(L, &g, w));
  QV_TRY(qdq(L, &g, w, b, 1, false));
done:
  return st;
}

static qv_status matrix_scales(ox *L, const ox_value *w, bool transposed) {
  if (w->n_q == 1 || w->axis == (transposed ? 0 : w->shape.rank - 1)) return QV_OK;
  return OX_UNSUP(L, w, "scales along dimension %u; supported: one scale, or one per column of the result", w->axis);
}

qv_status ox_matmul(ox *L) {
  qv_status st;
  gemm g = {0};
  ox_value *w, *b;
  uint32_t k;
  QV_TRY(qdq_operands(L, &g, &w, &b));
  QV_TRY(matrix_scales(L, w, false));
  QV_TRY(dense_weights(L, w, &g, false, &k));
  QV_TRY(dense_shape(L, &g, k));
  QV_TRY(qdq(L, &g, w, NULL, 1, false));
done:
  return st;
}

qv_status ox_gemm(ox *L) {
  qv_status st;
  gemm g = {0};
  ox_value *w, *b;
  uint32_t k;
  int64_t ta, tb;
  float alpha, beta;
  QV_TRY(qdq_operands(L, &g, &w, &b));
  QV_TRY(ox_attr_i(L, "transA", 0, &ta));
  QV_TRY(ox_attr_i(L, "transB", 0, &tb));
  QV_TRY(ox_attr_f(L, "alpha", 1, &alpha));
  QV_TRY(ox_attr_f(L, "beta", 1, &beta));
  if (ta != 0) return OX_UNSUP(L, g.x, "transA is not supported");
  if (!(alpha > 0 && isfinite(alpha))) return OX_UNSUP(L, NULL, "alpha %g is not supported", (double)alpha);
  if (b != NULL && beta != 1) return OX_UNSUP(L, b, "beta %g is not supported", (double)beta);
  QV_TRY(matrix_scales(L, w, tb != 0));
  QV_TRY(dense_weights(L, w, &g, tb != 0, &k));
  QV_TRY(dense_shape(L, &g, k));
  QV_TRY(qdq(L, &g, w, b, alpha, true));
done:
  return st;
}
