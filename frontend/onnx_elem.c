/* Elementwise operators. Between a DequantizeLinear and a QuantizeLinear they are tables over the integers, exact to the last
 * binary32 operation. */
#include <math.h>
#include <string.h>

#include "frontend/onnx_lower.h"

/* ---- one operand ---------------------------------------------------------------------------------------------------------- */

typedef struct {
  enum { F_CLIP, F_LEAKY, F_NEG, F_ABS, F_SIGMOID, F_TANH, F_BINARY } fn;
  bool real;         /* SIGMOID, TANH: the function of real numbers, rounded to binary32 (evaluated in binary64 first) */
  float lo, hi;      /* CLIP */
  float alpha;       /* LEAKY */
  ox_binary op;      /* BINARY with constant `c`, on the left if `left` */
  float c;
  bool left;
} unary;


static float apply(const unary *u, float x) {
  switch (u->fn) {
  case F_CLIP: return x < u->lo ? u->lo : x > u->hi ? u->hi : x;
  case F_LEAKY: return x >= 0 ? x : u->alpha * x;
  case F_NEG: return -x;
  case F_ABS: return fabsf(x);
  case F_SIGMOID: return u->real ? (float)(1 / (1 + exp(-(double)x))) : qv_onnx_logistic(x);
  case F_TANH: return u->real ? (float)tanh((double)x) : qv_onnx_tanh(x);
  case F_BINARY: return u->left ? ox_binary_f32(u->op, u->c, x) : ox_binary_f32(u->op, x, u->c);
  }
  return NAN;
}

/* y = u(x) for a dequantized x: a table of floats. */
static qv_status map_unary(ox *L, ox_value *x, const unary *u, ox_value *y) {
  qv_status st;
  const float *f;
  int64_t lo;
  uint32_t n;
  QV_TRY(ox_map_of(L, x, &f, &lo, &n));
  if (x->tail != NULL) return OX_UNSUP(L, x, "a float %s in front of this operator is not supported", x->tail);
  float *g = QV_NEW(&L->tmp, n, float);
  if (g == NULL) return ox_nomem(L);
  for (uint32_t i = 0; i < n; i++) g[i] = apply(u, f[i]);
  ox_set_int(y, x->net, x->type, &x->shape, x->cl);
  y->state = OX_MAP;
  y->map = g;
  y->map_lo = lo;
  y->map_n = n;
done:
  return st;
}

static qv_status clip_int(ox *L, ox_value *x, int64_t lo, int64_t hi, ox_value *y) {
  qv_status st;
  uint32_t in, net;
  bool cl;
  if (lo > hi) return OX_UNSUP(L, x, "a Clip with minimum above maximum is not supported");
  QV_TRY(ox_net_as_is(L, x, &in, &cl));
  ox_shape s = ox_stored_shape(&x->shape, cl);
  QV_TRY(ox_add_tensor(L, y, "", ox_dtype(x->type), &s, &net));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_CLAMP, .u.clamp = {lo, hi}}, &in, 1, net));
  ox_set_int(y, net, x->type, &x->shape, cl);
done:
  return st;
}

/* Relu and Clip behind a float operator wait with it. */
static qv_status clip_pending(ox *L, const ox_value *x, float lo, float hi, ox_value *y) {
  ox_pending p = *x->pend;
  if (p.has_lo || p.has_hi) return OX_UNSUP(L, x, "two clipping operators in a row are not supported");
  p.has_lo = lo > -INFINITY;
  p.has_hi = hi < INFINITY;
  p.lo = lo;
  p.hi = hi;
  return ox_set_pending(L, y, &p, x->net, x->cl, &x->shape);
}

qv_status ox_relu(ox *L) {
  qv_status st;
  ox_value *x, *y;
  QV_TRY(ox_arg(L, 0, &x));
  QV_TRY(ox_res(L, 0, &y));
  if (x->state == OX_ACC) return clip_pending(L, x, 0, INFINITY, y);
  if (x->state == OX_INT) return clip_int(L, x, 0, onx_range(x->type).hi, y);
  QV_TRY(map_unary(L, x, &(unary){.fn = F_CLIP, .lo = 0, .hi = INFINITY}, y));
done:
  return st;
}

/* Bound k of a Clip: scalar constant operand, else attribute `name`. Integers in *i if the operand is an integer. */
static qv_status clip_bound(ox *L, uint32_t k, const char *name, float *f, int64_t *i) {
  qv_status st;
  ox_value *v = ox_opt(L, k);
  const onx_const *c;
  if (v == NULL) return ox_attr_f(L, name, *f, f);
  if (v->state == OX_DQ_CONST && v->c->n == 1) {
    *f = v->qs[0] * (float)((int64_t)v->c->i[0] - v->qz[0]);
    return QV_OK;
  }
  QV_TRY(ox_const_of(L, v, &c));
  if (c->n != 1) return OX_PARSE(L, v, "a bound of a Clip must be one number");
  if (c->f != NULL) *f = c->f[0];
  else *i = c->i != NULL ? c->i[0] : c->l[0];
  if (c->f != NULL && isnan(*f)) return OX_PARSE(L, v, "a bound of a Clip is not a number");
done:
  return st;
}

qv_status ox_clip(ox *L) {
  qv_status st;
  ox_value *x, *y;
  QV_TRY(ox_arg(L, 0, &x));
  QV_TRY(ox_res(L, 0, &y));
  float lo = -INFINITY, hi = INFINITY;
  int64_t ilo = onx_range(x->type).lo, ihi = onx_range(x->type).hi;
  QV_TRY(clip_bound(L, 1, "min", &lo, &ilo));
  QV_TRY(clip_bound(L, 2, "max", &hi, &ihi));
  if (x->state == OX_INT) return clip_int(L, x, ilo, ihi, y);
  if (!(lo <= hi)) return OX_UNSUP(L, x, "a Clip with minimum above maximum is not supported");
  if (x->state == OX_ACC) return clip_pending(L, x, lo, hi, y);
  QV_TRY(map_unary(L, x, &(unary){.fn = F_CLIP, .lo = lo, .hi = hi}, y));
done:
  return st;
}

static qv_status one(ox *L, unary u) {
  qv_status st;
  ox_value *x, *y;
  QV_TRY(ox_arg(L, 0, &x));
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(map_unary(L, x, &u, y));
done:
  return st;
}

qv_status ox_leaky_relu(ox *L) {
  float alpha;
  qv_status st = ox_attr_f(L, "alpha", 0.01f, &alpha);
  return st != QV_OK ? st : one(L, (unary){.fn = F_LEAKY, .alpha = alpha});
}

qv_status ox_neg(ox *L) { return one(L, (unary){.fn = F_NEG}); }
qv_status ox_abs(ox *L) { return one(L, (unary){.fn = F_ABS}); }

/* ONNX Runtime's own approximation, or under the profile of the operators' text the function itself. */
static qv_status curve(ox *L, unary u) {
  u.real = L->prof->qdq == QV_QDQ_REAL && L->prof->rq == QV_ORQ_SPEC;
  if (u.real || L->prof->contrib) return one(L, u);
  return OX_UNSUP(L, NULL, "the last digits of this float function under profile %s are not known", L->prof->name);
}

qv_status ox_sigmoid(ox *L) { return curve(L, (unary){.fn = F_SIGMOID}); }
qv_status ox_tanh(ox *L) { return curve(L, (unary){.fn = F_TANH}); }

/* Is v an output that nobody else reads, or becomes one through QuantizeLinear and DequantizeLinear alone? */
static bool ends_model(const ox *L, const ox_value *v) {
  for (int k = 0; k < 3; k++) {
    if (v->is_output && v->uses == 0) return true;
    const Onnx__NodeProto *n = ox_only_user(L, v);
    if (n == NULL || !(ox_is_op(n, "QuantizeLinear") || ox_is_op(n, "DequantizeLinear"))) return false;
    if (strcmp(n->input[0], v->name) != 0 || n->n_output == 0 || n->output[0][0] == 0) return false;
    v = &L->val[qv_names_get(&L->index, n->output[0])];
  }
  return false;
}

/* At the end of a classifier: stays outside the integer claim, with the quantization of its result. Order is preserved. */
qv_status ox_softmax(ox *L) {
  qv_status st;
  ox_value *x, *y;
  int64_t axis;
  QV_TRY(ox_arg(L, 0, &x));
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(ox_attr_i(L, "axis", L->m->opset < 13 ? 1 : -1, &axis));
  if (axis < 0) axis += x->shape.rank;
  if (x->state != OX_DQ || x->tail != NULL || !ends_model(L, y))
    return OX_UNSUP(L, x, "this operator is supported only as the last one, behind a DequantizeLinear");
  if (axis + 1 != (int64_t)x->shape.rank) return OX_UNSUP(L, x, "this operator is supported along the last dimension only");
  const ox_value q = *x;
  ox_set_dq(y, &q, q.s, q.z);
  y->tail = ox_is_op(L->op, "Softmax") ? "SOFTMAX" : "LOG_SOFTMAX";
done:
  return st;
}

/* ---- two operands ----------------------------------------------------------------------------------------------------------- */

/* One constant float: a float constant, or a dequantized one. */
static bool scalar_const(const ox_value *v, float *f) {
  if (v->state == OX_CONST && v->c->f != NULL && v->c->n == 1) *f = v->c->f[0];
  else if (v->state == OX_DQ_CONST && v->c->n == 1) *f = v->qs[0] * (float)((int64_t)v->c->i[0] - v->qz[0]);
  else return false;
  return true;
}

static bool integer_const(const ox_value *v) { return v->state == OX_CONST && (v->c->l != NULL || v->c->type == ONX_INT32); }

/* Shape arithmetic. */
static qv_status fold_ints(ox *L, ox_binary op, const onx_const *a, const onx_const *b, ox_value *y) {
  const onx_const *big = a->n >= b->n ? a : b;
  if (a->type != b->type || a->rank > 1 || b->rank > 1 || !(a->n == b->n || a->n == 1 || b->n == 1))
    return OX_UNSUP(L, y, "integer arithmetic is supported on constant scalars and lists only");
  onx_const r = *big;
  if (r.rank == 0) r.rank = a->rank > b->rank ? a->rank : b->rank, r.dim[0] = 1;
  int64_t *l = OX_NEW(L, big->n, int64_t);
  int32_t *w = OX_NEW(L, big->n, int32_t);
  if (l == NULL || w == NULL) return ox_nomem(L);
  for (size_t i = 0; i < big->n; i++) {
    size_t ia = a->n == 1 ? 0 : i, ib = b->n == 1 ? 0 : i;
    int64_t p = a->l != NULL ? a->l[ia] : a->i[ia], q = b->l != NULL ? b->l[ib] : b->i[ib], v = 0;
    bool ok = true;
    switch (op) {
    case OX_ADD: ok = qv_add64(&v, p, q); break;
    case OX_SUB: ok = qv_sub64(&v, p, q); break;
    case OX_MUL: ok = qv_mul64(&v, p, q); break;
    case OX_DIV: /* the sign rules of the text are open; both must be non-negative */
      ok = p >= 0 && q > 0;
      v = ok ? p / q : 0;
      break;
    case OX_MAX: v = qv_max64(p, q); break;
    case OX_MIN: v = qv_min64(p, q); break;
    }
    if (!ok || (a->i != NULL && (v < INT32_MIN || v > INT32_MAX))) return OX_UNSUP(L, y, "integer arithmetic on shapes leaves its range");
    l[i] = v;
    w[i] = (int32_t)v; /* used if it is the type */
  }
  r.l = a->l != NULL ? l : NULL;
  r.i = a->i != NULL ? w : NULL;
  return ox_set_const(L, y, &r);
}

/* Operand v in shape s, plain or channels last. */
static qv_status in_shape(ox *L, ox_value *v, const ox_shape *s, bool cl, const ox_value *y, uint32_t *net) {
  qv_status st;
  size_t have, want;
  QV_TRY(ox_net_of(L, v, cl, net));
  if (!ox_count(&v->shape, &have) || !ox_count(s, &want)) return OX_PARSE(L, v, "the operand is empty or too large");
  if (have == want && v->shape.rank == s->rank) goto done;
  uint32_t wide;
  ox_shape stored = ox_stored_shape(s, cl);
  QV_TRY(ox_add_tensor(L, y, "/broadcast", L->net->tensor[*net].type, &stored, &wide));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_BROADCAST}}, net, 1, wide));
  *net = wide;
done:
  return st;
}

static bool one_element(const ox_shape *s) {
  size_t n;
  return ox_count(s, &n) && n == 1;
}

/* Is the first operand one value along the runtime's inner loop? The loop runs over the last dimensions that both operands share, or
 * that one of them repeats. Of two single values the first counts as repeated. */
static bool first_repeated(const ox_shape *k, const ox_shape *other, const ox_shape *out) {
  if (one_element(k)) return true;
  for (uint32_t i = 0; i < out->rank; i++) {
    uint32_t mine = i < k->rank ? k->dim[k->rank - 1 - i] : 1, his = i < other->rank ? other->dim[other->rank - 1 - i] : 1;
    if (mine != 1 || his != 1) return mine == 1;
  }
  return false;
}

typedef struct {
  ox_value *x[2], *y;
  float s[2];
  int32_t z[2];
  ox_shape out;
  ox_binary op;
  bool qlinear, as_u8;
} binary;

static qv_status mul_sums(ox *L, const binary *b, const uint32_t in[2], bool cl, uint32_t *acc) {
  qv_status st;
  ox_shape stored = ox_stored_shape(&b->out, cl);
  qv_acc wrap = L->prof->acc[0][0];
  wrap.raw = false;
  if (wrap.mode != QV_ACC_WRAP) wrap = (qv_acc){.mode = QV_ACC_EXACT};
  QV_TRY(ox_add_tensor(L, b->y, "/acc", QV_I32, &stored, acc));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_PRODUCT, .u.product = {.z0 = b->z[0], .z1 = b->z[1], .acc = wrap}}, in, 2, *acc));
done:
  return st;
}

/* Sum or difference of two tensors of more than 8 bits, whose scales are s and 2^k s: the sum of integers that it means. In binary32 that is
 * exact with powers of two as scales and sums below 2^24. *done: it is one of these. */
static qv_status wide_sum(ox *L, const binary *b, ox_pending *p, bool cl, uint32_t *acc, bool *done_) {
  static const float one = 1;
  qv_status st = QV_OK;
  ox_shape stored = ox_stored_shape(&b->out, cl);
  float s = b->s[0] < b->s[1] ? b->s[0] : b->s[1];
  int64_t *c = OX_NEW(L, 4, int64_t), most = 0;
  int e;
  if (c == NULL) return ox_nomem(L);
  *done_ = b->op == OX_ADD || b->op == OX_SUB;
  for (int k = 0; k < 2; k++) {
    float ratio = b->s[k] / s;
    qv_itv r = ox_values_of(L, p->in[k], p->type);
    c[k] = ratio <= 0x1p14f ? (int64_t)ratio : 0;
    c[2 + k] = b->z[k];
    *done_ = *done_ && c[k] > 0 && (c[k] & (c[k] - 1)) == 0 && s * (float)c[k] == b->s[k];
    most += c[k] * qv_max64(qv_max64(r.hi - b->z[k], b->z[k] - r.lo), 0);
  }
  if (b->op == OX_SUB) c[1] = -c[1];
  p->exact_f32 = L->prof->qdq != QV_QDQ_REAL;
  *done_ = *done_ && (!p->exact_f32 || (frexpf(s, &e) == 0.5f && most < (1 << 24)));
  if (!*done_) return QV_OK;
  p->kind = OX_P_GEMM;
  p->s[0] = s;
  p->alpha = 1;
  p->n_w = 1;
  p->w = &one;
  QV_TRY(ox_add_tensor(L, b->y, "/acc", QV_I64, &stored, acc));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_SUM, .u.sum = {.c = c, .z = c + 2, .acc = {.mode = QV_ACC_EXACT}}}, p->in, 2, *acc));
done:
  return st;
}

/* Both operands are integers with one scale each. */
static qv_status two_tensors(ox *L, const binary *b, ox_pending *p, ox_value *r) {
  qv_status st;
  uint32_t acc = QV_NONE;
  bool cl = b->x[0]->cl && b->x[1]->cl && ox_same_shape(&b->x[0]->shape, &b->x[1]->shape);
  if (b->x[0]->type != b->x[1]->type) return OX_UNSUP(L, b->x[1], "operands of different types (%s and %s)", onx_type_name(b->x[0]->type), onx_type_name(b->x[1]->type));
  for (int k = 0; k < 2; k++) QV_TRY(in_shape(L, b->x[k], &b->out, cl, b->y, &p->in[k]));
  if (b->qlinear && b->op == OX_MUL) {
    p->kind = OX_P_MUL;
    QV_TRY(mul_sums(L, b, p->in, cl, &acc));
  } else {
    bool sum = false;
    p->kind = OX_P_PAIR;
    if (onx_range(p->type).hi - onx_range(p->type).lo > 255) {
      QV_TRY(wide_sum(L, b, p, cl, &acc, &sum));
      if (!sum)
        return OX_UNSUP(L, b->x[0], "this operator on two %s tensors is evaluated in binary32 and not supported; supported: up to 8 bits, and sums "
                        "whose scales are powers of two apart, under %s", onx_type_name(p->type),
                        L->prof->qdq == QV_QDQ_REAL ? "this profile" : "this profile with powers of two as scales and below 2^24");
    } else acc = p->in[0];
  }
  QV_TRY(ox_set_pending(L, r, p, acc, cl, &b->out));
done:
  return st;
}

/* One operand is a single constant byte, and ONNX Runtime adds it with its own kernel. */
static qv_status tensor_and_byte(ox *L, const binary *b, int constant, ox_pending *p, ox_value *r) {
  qv_status st;
  ox_value *x = b->x[1 - constant];
  bool cl;
  p->kind = OX_P_PAIR;
  p->one = true;
  p->byte = b->x[constant]->c->i[0];
  p->s[0] = b->s[1 - constant];
  p->s[1] = b->s[constant];
  p->z[0] = b->z[1 - constant];
  p->z[1] = b->z[constant];
  p->first_scalar = constant == 1 && one_element(&x->shape); /* the byte is the second operand here, whatever it was */
  QV_TRY(ox_net_as_is(L, x, &p->in[0], &cl));
  if (!ox_same_shape(&x->shape, &b->out)) {
    cl = false;
    QV_TRY(in_shape(L, x, &b->out, false, b->y, &p->in[0]));
  }
  QV_TRY(ox_set_pending(L, r, p, p->in[0], cl, &b->out));
done:
  return st;
}

static qv_status pend_binary(ox *L, const binary *b, ox_value *r) {
  ox_pending p = {.qlinear = b->qlinear, .as_u8 = b->as_u8, .s = {b->s[0], b->s[1]}, .z = {b->z[0], b->z[1]}, .op = b->op, .type = b->x[0]->type};
  p.first_scalar = first_repeated(&b->x[0]->shape, &b->x[1]->shape, &b->out);
  for (int k = 0; k < 2; k++)
    if (b->x[k]->state == OX_DQ_CONST && b->x[k]->c->n == 1 && b->op == OX_ADD && b->qlinear && b->x[1 - k]->state == OX_DQ) {
      p.type = b->x[1 - k]->type;
      return tensor_and_byte(L, b, k, &p, r);
    }
  return two_tensors(L, b, &p, r);
}

/* Does ONNX Runtime's optimizer make a QLinearAdd or QLinearMul of it? */
static bool fused(const ox *L, const binary *b, bool *as_u8) {
  const Onnx__NodeProto *q = ox_quantizer(L, b->y);
  int32_t type[2];
  *as_u8 = false;
  if (L->prof->qdq != QV_QDQ_ORT || (b->op != OX_ADD && b->op != OX_MUL) || q == NULL) return false;
  for (int k = 0; k < 2; k++) {
    if ((b->x[k]->state != OX_DQ && b->x[k]->state != OX_DQ_CONST) || !b->x[k]->direct) return false;
    type[k] = b->x[k]->state == OX_DQ && b->x[k]->as_u8 ? ONX_UINT8 : b->x[k]->type;
  }
  *as_u8 = type[0] == ONX_UINT8 && b->x[0]->type == ONX_INT8;
  return type[0] == type[1] && type[0] == ox_written_type(L, q) && (type[0] == ONX_UINT8 || type[0] == ONX_INT8);
}

static qv_status float_binary(ox *L, binary *b) {
  qv_status st;
  float c;
  if (!ox_broadcast_shape(&b->x[0]->shape, &b->x[1]->shape, &b->out)) return OX_PARSE(L, b->y, "the operands' shapes do not broadcast");
  for (int k = 0; k < 2; k++)
    if ((b->op == OX_ADD || b->op == OX_MUL) && L->prof->qdq == QV_QDQ_ORT && (b->x[k]->state == OX_DQ || b->x[k]->state == OX_DQ_CONST) && !b->x[k]->direct)
      return OX_UNSUP(L, b->x[k], "under profile %s the DequantizeLinear must stand directly in front of the operator", L->prof->name);
  b->qlinear = fused(L, b, &b->as_u8);
  for (int k = 0; k < 2 && !b->qlinear; k++) {
    ox_value *x = b->x[1 - k];
    if (!scalar_const(b->x[k], &c) || x->state == OX_CONST || x->state == OX_DQ_CONST) continue;
    if (!ox_same_shape(&x->shape, &b->out)) return OX_UNSUP(L, x, "broadcasting to a higher rank by a constant is not supported");
    return map_unary(L, x, &(unary){.fn = F_BINARY, .op = b->op, .c = c, .left = k == 0}, b->y);
  }
  for (int k = 0; k < 2; k++) {
    ox_value *x = b->x[k];
    if (x->state == OX_DQ_CONST && x->n_q != 1) return OX_UNSUP(L, x, "an operand with one scale per index is not supported here");
    if (x->state != OX_DQ && x->state != OX_DQ_CONST)
      return OX_UNSUP(L, x, "this operand is not a DequantizeLinear of integers (or one constant number): float arithmetic makes no integer claim");
    if (x->tail != NULL) return OX_UNSUP(L, x, "a float %s in front of this operator is not supported", x->tail);
    b->s[k] = x->state == OX_DQ ? x->s : x->qs[0];
    b->z[k] = x->state == OX_DQ ? x->z : x->qz[0];
  }
  QV_TRY(pend_binary(L, b, b->y));
done:
  return st;
}

/* Larger or smaller of two integers: the float operator on integers with scale 1, which is exact. */
static qv_status integer_max_min(ox *L, const binary *b) {
  static const float one = 1;
  static const int32_t zero = 0;
  qv_status st;
  ox_value x[2], r = {.name = b->y->name, .producer = QV_NONE, .user = QV_NONE, .net = QV_NONE};
  binary f = {.op = b->op, .x = {&x[0], &x[1]}, .y = &r};
  int32_t type = b->x[0]->type;
  for (int k = 0; k < 2; k++) {
    x[k] = *b->x[k];
    if (!onx_is_int(type) || onx_range(type).hi > 255 || x[k].type != type)
      return OX_UNSUP(L, b->x[k], "operands of these types are not supported; supported: two of one type of at most 8 bits");
    if (x[k].state == OX_INT) ox_set_dq(&x[k], b->x[k], 1, 0);
    else if (x[k].state == OX_CONST) {
      x[k].state = OX_DQ_CONST;
      x[k].n_q = 1;
      x[k].qs = &one;
      x[k].qz = &zero;
    } else return OX_UNSUP(L, b->x[k], "this operand must be an integer tensor");
  }
  QV_TRY(float_binary(L, &f));
  QV_TRY(ox_quantize(L, &r, 1, 0, type, b->y));
done:
  return st;
}

static qv_status binary_op(ox *L, ox_binary op) {
  qv_status st;
  binary b = {.op = op};
  QV_TRY(ox_arg(L, 0, &b.x[0]));
  QV_TRY(ox_arg(L, 1, &b.x[1]));
  QV_TRY(ox_res(L, 0, &b.y));
  if (L->op->n_input != 2) return OX_UNSUP(L, b.y, "%zu operands; supported: 2", L->op->n_input);
  if (integer_const(b.x[0]) && integer_const(b.x[1])) return fold_ints(L, op, b.x[0]->c, b.x[1]->c, b.y);
  bool integers = b.x[0]->state == OX_INT || b.x[1]->state == OX_INT;
  if (integers && (op == OX_MAX || op == OX_MIN)) return integer_max_min(L, &b);
  for (int k = 0; k < 2; k++)
    if (b.x[k]->state == OX_INT) return OX_UNSUP(L, b.x[k], "integer arithmetic without quantization: overflow is not defined by the operator");
  QV_TRY(ox_want_elementwise(L));
  QV_TRY(float_binary(L, &b));
done:
  return st;
}

qv_status ox_add(ox *L) { return binary_op(L, OX_ADD); }
qv_status ox_sub(ox *L) { return binary_op(L, OX_SUB); }
qv_status ox_mul(ox *L) { return binary_op(L, OX_MUL); }
qv_status ox_div(ox *L) { return binary_op(L, OX_DIV); }
qv_status ox_max(ox *L) { return binary_op(L, OX_MAX); }
qv_status ox_min(ox *L) { return binary_op(L, OX_MIN); }

/* ---- QOperator forms of com.microsoft --------------------------------------------------------------------------------------- */

/* Integer operand k as if dequantized with scale and zero point k+1, k+2. */
static qv_status dequantized(ox *L, uint32_t k, ox_value *d) {
  qv_status st;
  ox_value *x;
  ox_quant q;
  QV_TRY(ox_arg(L, k, &x));
  QV_TRY(ox_one_quant(L, k + 1, x->type, &q));
  if (x->type != ONX_INT8 && x->type != ONX_UINT8) return OX_UNSUP(L, x, "operands of this type are not supported; supported: INT8, UINT8");
  if (q.type != x->type) return OX_PARSE(L, x, "the zero point is %s", onx_type_name(q.type));
  if (x->state == OX_CONST) {
    *d = *x;
    d->state = OX_DQ_CONST;
    d->n_q = 1;
    d->qs = q.s;
    d->qz = q.z;
    goto done;
  }
  if (x->state != OX_INT) return OX_UNSUP(L, x, "this operand must be an integer tensor");
  *d = (ox_value){.name = x->name};
  ox_set_dq(d, x, q.s[0], q.z[0]);
done:
  return st;
}

static qv_status qlinear_binary(ox *L, ox_binary op) {
  qv_status st;
  ox_value x[2], r = {.name = ""};
  binary b = {.x = {&x[0], &x[1]}, .op = op, .qlinear = true};
  ox_quant q;
  QV_TRY(dequantized(L, 0, &x[0]));
  QV_TRY(dequantized(L, 3, &x[1]));
  QV_TRY(ox_one_quant(L, 6, x[0].type, &q));
  QV_TRY(ox_res(L, 0, &b.y));
  r.name = b.y->name;
  for (int k = 0; k < 2; k++) {
    b.s[k] = x[k].state == OX_DQ ? x[k].s : x[k].qs[0];
    b.z[k] = x[k].state == OX_DQ ? x[k].z : x[k].qz[0];
  }
  if (!ox_broadcast_shape(&x[0].shape, &x[1].shape, &b.out)) return OX_PARSE(L, b.y, "the operands' shapes do not broadcast");
  QV_TRY(pend_binary(L, &b, &r));
  QV_TRY(ox_quantize(L, &r, q.s[0], q.z[0], q.type, b.y));
done:
  return st;
}

qv_status ox_qlinear_add(ox *L) { return qlinear_binary(L, OX_ADD); }
qv_status ox_qlinear_mul(ox *L) { return qlinear_binary(L, OX_MUL); }

static qv_status qlinear_unary(ox *L, unary u) {
  qv_status st;
  ox_value x, m = {.name = ""}, *y;
  ox_quant q;
  QV_TRY(dequantized(L, 0, &x));
  QV_TRY(ox_one_quant(L, 3, x.type, &q));
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(map_unary(L, &x, &u, &m));
  QV_TRY(ox_quantize(L, &m, q.s[0], q.z[0], q.type, y));
done:
  return st;
}

qv_status ox_qlinear_leaky_relu(ox *L) {
  float alpha;
  qv_status st = ox_attr_f(L, "alpha", 0.01f, &alpha);
  return st != QV_OK ? st : qlinear_unary(L, (unary){.fn = F_LEAKY, .alpha = alpha});
}

qv_status ox_qlinear_sigmoid(ox *L) { return qlinear_unary(L, (unary){.fn = F_SIGMOID}); }
