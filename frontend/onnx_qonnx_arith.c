/* Scales, biases, BatchNormalization and activations over exact reals: each composes a function of one variable. Arithmetic of
 * constants. Operators that move or reinterpret values. */
#include <math.h>
#include <string.h>

#include "frontend/onnx_qonnx.h"

/* ---- lines y = a*x + b with constants of a channel rule ----------------------------------------------------------------------- */

typedef struct {
  uint32_t n;
  qv_surd *a, *b;
} lines;

static qv_status lines_new(ox *L, lines *t, uint32_t n) {
  *t = (lines){n, QV_NEW(&L->tmp, n, qv_surd), QV_NEW(&L->tmp, n, qv_surd)};
  if (t->a == NULL || t->b == NULL) {
    t->n = 0;
    return ox_nomem(L);
  }
  for (uint32_t c = 0; c < n; c++) {
    qv_surd_init(&t->a[c]);
    qv_surd_init(&t->b[c]);
    qv_surd_set_i64(&t->a[c], 1);
  }
  return QV_OK;
}

static void lines_clear(lines *t) {
  for (uint32_t c = 0; c < t->n; c++) {
    qv_surd_clear(&t->a[c]);
    qv_surd_clear(&t->b[c]);
  }
}

static qv_status make_line(ox *L, const void *ctx, uint32_t c, qv_pwa **g) {
  const lines *t = ctx;
  return (*g = qv_pwa_affine(&t->a[c], &t->b[c])) != NULL ? QV_OK : ox_nomem(L);
}

/* ---- constants ------------------------------------------------------------------------------------------------------------------ */

typedef enum { C_ADD, C_SUB, C_MUL, C_DIV, C_POW } binary;

/* x^y for the exponents that stay in the field. */
static bool power(qv_surd *z, const qv_surd *x, const qv_surd *y) {
  qv_surd one;
  qv_surd_init(&one);
  qv_surd_set_i64(&one, 1);
  bool half = qv_surd_rational(y) && mpz_cmp_ui(mpq_denref(y->p), 2) == 0,
       whole = qv_surd_rational(y) && mpz_cmp_ui(mpq_denref(y->p), 1) == 0;
  bool small = whole || half ? mpz_cmpabs_ui(mpq_numref(y->p), half ? 1 : 2) <= 0 : false;
  bool ok = small;
  if (ok && half) ok = qv_surd_sqrt(z, x);
  else if (ok && mpz_cmpabs_ui(mpq_numref(y->p), 2) == 0) ok = qv_surd_mul(z, x, x);
  else if (ok && mpq_sgn(y->p) == 0) qv_surd_set(z, &one);
  else if (ok) qv_surd_set(z, x);
  if (ok && mpq_sgn(y->p) < 0) ok = qv_surd_div(z, &one, z);
  qv_surd_clear(&one);
  return ok;
}

static bool combine(qv_surd *z, binary op, const qv_surd *x, const qv_surd *y) {
  switch (op) {
  case C_ADD: return qv_surd_add(z, x, y);
  case C_SUB: return qv_surd_sub(z, x, y);
  case C_MUL: return qv_surd_mul(z, x, y);
  case C_DIV: return qv_surd_div(z, x, y);
  case C_POW: return power(z, x, y);
  }
  return false;
}

/* y = constant whose element e is value[e]: codes 0 and constant functions. */
static qv_status set_numbers(ox *L, ox_value *y, const ox_shape *s, uint32_t n, const qv_surd *value) {
  qv_status st;
  onx_const c = {.type = ONX_INT32, .rank = s->rank, .n = n};
  int32_t *zero = OX_NEW(L, n, int32_t);
  const qv_pwa **f = QV_NEW(&L->tmp, n, const qv_pwa *);
  if (zero == NULL || f == NULL) return ox_nomem(L);
  memcpy(c.dim, s->dim, sizeof c.dim);
  c.i = zero;
  QV_TRY(ox_set_const(L, y, &c));
  for (uint32_t e = 0; e < n; e++) {
    qv_pwa *p = qv_pwa_new(1);
    f[e] = p;
    QV_TRY(qx_keep(L, p));
    qv_surd_set(&p->v[0].b, &value[e]);
  }
  const qx_real codes = {.leaf = QX_CODES};
  const ox_value like = {.c = y->c, .net = QV_NONE, .shape = *s, .real = &codes};
  QV_TRY(qx_set(L, y, &like, (qx_rule){n, 1}, f));
done:
  return st;
}

/* Both operands constant, the result small: number by number. */
static qv_status fold(ox *L, const ox_value *x, const ox_value *w, binary op, ox_value *y) {
  ox_shape s;
  size_t n;
  qx_rule rx, rw;
  qv_status st;
  lines t = {0};
  qv_surd u, v;
  qv_surd_init(&u);
  qv_surd_init(&v);
  if (!ox_broadcast_shape(&x->shape, &w->shape, &s) || !ox_count(&s, &n)) st = OX_PARSE(L, x, "the shapes do not broadcast");
  else if (n > 4096) st = OX_UNSUP(L, x, "arithmetic on two constants of more than 4096 elements is not folded");
  else st = QV_OK;
  if (st != QV_OK) goto done;
  QV_TRY(qx_spread(L, x, &s, &rx));
  QV_TRY(qx_spread(L, w, &s, &rw));
  QV_TRY(lines_new(L, &t, (uint32_t)n));
  for (uint32_t e = 0; e < n; e++) {
    if (!qx_number(&u, x, qx_channel(rx, e)) || !qx_number(&v, w, qx_channel(rw, e))) st = OX_PARSE(L, x, "not a number");
    else if (!combine(&t.b[e], op, &u, &v)) st = qx_inexact(L, x);
    if (st != QV_OK) goto done;
  }
  QV_TRY(set_numbers(L, y, &s, (uint32_t)n, t.b));
done:
  qv_surd_clear(&u);
  qv_surd_clear(&v);
  lines_clear(&t);
  return st;
}

/* ---- Add, Sub, Mul, Div ------------------------------------------------------------------------------------------------------------ */

/* y = x op w with constant w; `swapped`: w op x. */
static qv_status with_constant(ox *L, ox_value *x, ox_value *w, binary op, bool swapped, ox_value *y) {
  qv_status st;
  qx_rule r;
  lines t = {0};
  ox_shape s;
  qv_surd k, zero, one;
  qv_surd_init(&k);
  qv_surd_init(&zero);
  qv_surd_init(&one);
  qv_surd_set_i64(&one, 1);
  if (!ox_broadcast_shape(&x->shape, &w->shape, &s) || s.rank < x->shape.rank) st = OX_PARSE(L, x, "the shapes do not broadcast");
  else {
    size_t have, want;
    st = ox_count(&x->shape, &have) && ox_count(&s, &want) && have == want
             ? QV_OK
             : OX_UNSUP(L, x, "the constant is larger than the tensor that it is combined with");
  }
  if (st != QV_OK) goto done;
  if (op == C_DIV && swapped) {
    st = OX_UNSUP(L, x, "division by a computed value has no integer form");
    goto done;
  }
  QV_TRY(qx_spread(L, w, &s, &r));
  QV_TRY(lines_new(L, &t, r.n));
  for (uint32_t c = 0; c < r.n; c++) {
    bool ok = qx_number(&k, w, c);
    if (ok && op == C_MUL) qv_surd_set(&t.a[c], &k);
    if (ok && op == C_DIV) ok = qv_surd_div(&t.a[c], &one, &k);
    if (ok && op == C_ADD) qv_surd_set(&t.b[c], &k);
    if (ok && op == C_SUB) ok = swapped ? (qv_surd_set(&t.b[c], &k), qv_surd_sub(&t.a[c], &zero, &one)) : qv_surd_sub(&t.b[c], &zero, &k);
    if (!ok) {
      st = qx_inexact(L, w);
      goto done;
    }
  }
  QV_TRY(qx_compose(L, x, y, r, make_line, &t));
  if (s.rank > x->shape.rank) { /* leading dimensions of 1 */
    y->shape = s;
    y->cl = false;
    if (x->cl) st = qx_plain(L, x, false, &y->net);
  }
done:
  qv_surd_clear(&k);
  qv_surd_clear(&zero);
  qv_surd_clear(&one);
  lines_clear(&t);
  return st;
}

/* Ratio of two slopes as integers p : q in lowest terms, |p|, |q| < 2^31; false if there is none. */
static bool ratio(const qv_surd *a, const qv_surd *b, int64_t *p, int64_t *q) {
  qv_surd t;
  qv_surd_init(&t);
  bool ok = qv_surd_div(&t, a, b) && qv_surd_rational(&t) && mpz_fits_sint_p(mpq_numref(t.p)) && mpz_fits_sint_p(mpq_denref(t.p));
  if (ok) {
    *p = mpz_get_si(mpq_numref(t.p));
    *q = mpz_get_si(mpq_denref(t.p));
    ok = *p > INT32_MIN;
  }
  qv_surd_clear(&t);
  return ok;
}

/* x + w or x - w of two computed tensors: integers at a common step. a_x : a_w = p : q, so with g = a_w / q the sum of reals is
 * g*(p*x + q*w) + b_x + b_w. */
static qv_status two_tensors(ox *L, ox_value *x, ox_value *w, bool minus, ox_value *y) {
  qv_status st;
  lines t = {0};
  qx_rule all;
  int64_t p = 0, q = 0, *c = OX_NEW(L, 4, int64_t);
  qv_surd k;
  qv_surd_init(&k);
  if (c == NULL) return ox_nomem(L);
  if (!ox_same_shape(&x->shape, &w->shape)) {
    st = OX_UNSUP(L, x, "the sum of two tensors of different shapes is not supported");
    goto done;
  }
  QV_TRY(qx_settle(L, x));
  QV_TRY(qx_settle(L, w));
  QV_TRY(qx_common(L, x, (qx_rule){x->real->n, x->real->inner}, (qx_rule){w->real->n, w->real->inner}, &all));
  QV_TRY(lines_new(L, &t, all.n));
  for (uint32_t i = 0; i < all.n; i++) {
    size_t e = (size_t)i * all.inner;
    const qv_piece *fx = x->real->f[qx_channel((qx_rule){x->real->n, x->real->inner}, e)]->v;
    const qv_piece *fw = w->real->f[qx_channel((qx_rule){w->real->n, w->real->inner}, e)]->v;
    int64_t pi, qi;
    if (!ratio(&fx->a, &fw->a, &pi, &qi)) {
      st = OX_UNSUP(L, x, "the scales of the two summands have no common step of 32 bits: there is no integer form");
      goto done;
    }
    if (i > 0 && (pi != p || qi != q)) {
      st = OX_UNSUP(L, x, "the ratio of the two summands' scales differs between channels: there is no integer form");
      goto done;
    }
    p = pi;
    q = qi;
    qv_surd_set_i64(&k, q);
    bool ok = qv_surd_div(&t.a[i], &fw->a, &k) && (minus ? qv_surd_sub(&t.b[i], &fx->b, &fw->b) : qv_surd_add(&t.b[i], &fx->b, &fw->b));
    if (!ok) {
      st = qx_inexact(L, x);
      goto done;
    }
  }
  bool cl = x->cl && w->cl;
  uint32_t in[2], net;
  qv_acc acc;
  QV_TRY(qx_plain(L, x, cl, &in[0]));
  QV_TRY(qx_plain(L, w, cl, &in[1]));
  QV_TRY(qx_acc(L, y, &acc));
  acc.bias = QV_BIAS_LAST;
  c[0] = p;
  c[1] = minus ? -q : q;
  const ox_shape s = x->shape;
  ox_shape stored = ox_stored_shape(&s, cl);
  QV_TRY(ox_add_tensor(L, y, "", acc.mode == QV_ACC_EXACT || acc.bits > 32 ? QV_I64 : QV_I32, &stored, &net));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_SUM, .u.sum = {.c = c, .z = c + 2, .acc = acc}}, in, 2, net));
  QV_TRY(qx_set_net(L, y, net, &s, cl, all, t.a, t.b));
done:
  qv_surd_clear(&k);
  lines_clear(&t);
  return st;
}

static qv_status arithmetic(ox *L, binary op) {
  qv_status st;
  ox_value *x, *w, *y;
  QV_TRY(ox_arg(L, 0, &x));
  QV_TRY(ox_arg(L, 1, &w));
  QV_TRY(ox_res(L, 0, &y));
  bool cx = qx_is_const(x), cw = qx_is_const(w);
  if (cx && cw) {
    size_t n = qx_numbers(x);
    if (n <= 4096 && qx_numbers(w) <= 4096) return fold(L, x, w, op, y);
  }
  if (!cw && cx) {
    QV_TRY(qx_arg(L, 1, &w));
    return with_constant(L, w, x, op, true, y);
  }
  QV_TRY(qx_arg(L, 0, &x));
  if (cw) return with_constant(L, x, w, op, false, y);
  if (op == C_MUL || op == C_DIV) return OX_UNSUP(L, x, "the product or quotient of two computed tensors is not supported");
  QV_TRY(qx_arg(L, 1, &w));
  QV_TRY(two_tensors(L, x, w, op == C_SUB, y));
done:
  return st;
}

qv_status qx_add(ox *L) { return arithmetic(L, C_ADD); }
qv_status qx_sub(ox *L) { return arithmetic(L, C_SUB); }
qv_status qx_mul(ox *L) { return arithmetic(L, C_MUL); }
qv_status qx_div(ox *L) { return arithmetic(L, C_DIV); }

qv_status qx_pow(ox *L) {
  ox_value *x, *w, *y;
  qv_status st;
  QV_TRY(ox_arg(L, 0, &x));
  QV_TRY(ox_arg(L, 1, &w));
  QV_TRY(ox_res(L, 0, &y));
  if (!qx_is_const(x) || !qx_is_const(w)) return OX_UNSUP(L, x, "powers of computed values have no integer form");
  QV_TRY(fold(L, x, w, C_POW, y));
done:
  return st;
}

qv_status qx_sqrt(ox *L) {
  ox_value *x, *y;
  qv_status st;
  static const float half = 0.5f;
  const onx_const c = {.type = ONX_FLOAT, .n = 1, .f = &half};
  const ox_value w = {.name = "1/2", .state = OX_CONST, .c = &c};
  QV_TRY(ox_arg(L, 0, &x));
  QV_TRY(ox_res(L, 0, &y));
  if (!qx_is_const(x)) return OX_UNSUP(L, x, "roots of computed values have no integer form");
  QV_TRY(fold(L, x, &w, C_POW, y));
done:
  return st;
}

/* ---- BatchNormalization ------------------------------------------------------------------------------------------------------------ */

/* y = (x - mean) / sqrt(var + epsilon) * scale + bias. */
qv_status qx_batchnorm(ox *L) {
  qv_status st;
  ox_value *x, *y, *p[4];
  float eps;
  int64_t training, spatial;
  lines t = {0};
  qv_surd v[4], e;
  for (int i = 0; i < 4; i++) qv_surd_init(&v[i]);
  qv_surd_init(&e);
  QV_TRY(qx_arg(L, 0, &x));
  QV_TRY(ox_res(L, 0, &y));
  for (uint32_t i = 0; i < 4; i++) {
    QV_TRY(ox_arg(L, i + 1, &p[i]));
    if (!qx_is_const(p[i]) || x->shape.rank < 2 || qx_numbers(p[i]) != x->shape.dim[1] || x->shape.dim[1] > QX_MAX_CHANNELS) {
      st = OX_UNSUP(L, p[i], "the parameters must be constants, one per channel");
      goto done;
    }
  }
  QV_TRY(ox_attr_f(L, "epsilon", 1e-5f, &eps));
  QV_TRY(ox_attr_i(L, "training_mode", 0, &training));
  QV_TRY(ox_attr_i(L, "spatial", 1, &spatial));
  (void)ox_attr(L, "momentum"); /* training only */
  if (training != 0 || spatial != 1 || !qv_surd_set_f64(&e, (double)eps)) {
    st = OX_UNSUP(L, x, "BatchNormalization in training mode, not spatial, or without a number for epsilon");
    goto done;
  }
  qx_rule r = {x->shape.dim[1], 1};
  for (uint32_t d = 2; d < x->shape.rank; d++) r.inner *= x->shape.dim[d];
  QV_TRY(lines_new(L, &t, r.n));
  for (uint32_t c = 0; c < r.n; c++) {
    bool ok = true;
    for (int i = 0; ok && i < 4; i++) ok = qx_number(&v[i], p[i], c); /* scale, bias, mean, var */
    ok = ok && qv_surd_add(&v[3], &v[3], &e) && qv_surd_sign(&v[3]) > 0 && qv_surd_sqrt(&v[3], &v[3]) &&
         qv_surd_div(&t.a[c], &v[0], &v[3]) && qv_surd_mul(&t.b[c], &t.a[c], &v[2]) && qv_surd_sub(&t.b[c], &v[1], &t.b[c]);
    if (!ok) {
      st = OX_UNSUP(L, x, "channel %u: the variance plus epsilon is not positive, or a parameter is not a number", c);
      goto done;
    }
  }
  QV_TRY(qx_compose(L, x, y, r, make_line, &t));
done:
  for (int i = 0; i < 4; i++) qv_surd_clear(&v[i]);
  qv_surd_clear(&e);
  lines_clear(&t);
  return st;
}

/* ---- activations ---------------------------------------------------------------------------------------------------------------------- */

/* x < 0: a*x; else b*x. */
static qv_status make_slopes(ox *L, const void *ctx, uint32_t c, qv_pwa **g) {
  const lines *t = ctx;
  return (*g = qv_pwa_slopes(&t->a[c], &t->b[c])) != NULL ? QV_OK : ox_nomem(L);
}

static qv_status slopes(ox *L, double below, double above) {
  qv_status st;
  ox_value *x, *y;
  lines t = {0};
  QV_TRY(qx_arg(L, 0, &x));
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(lines_new(L, &t, 1));
  if (!qv_surd_set_f64(&t.a[0], below) || !qv_surd_set_f64(&t.b[0], above)) st = OX_PARSE(L, x, "a slope is not a number");
  if (st == QV_OK) st = qx_compose(L, x, y, (qx_rule){1, 1}, make_slopes, &t);
done:
  lines_clear(&t);
  return st;
}

qv_status qx_relu(ox *L) { return slopes(L, 0, 1); }
qv_status qx_neg(ox *L) { return slopes(L, -1, -1); }
qv_status qx_abs(ox *L) { return slopes(L, -1, 1); }

qv_status qx_leaky_relu(ox *L) {
  float alpha;
  qv_status st = ox_attr_f(L, "alpha", 0.01f, &alpha);
  return st != QV_OK ? st : slopes(L, (double)alpha, 1);
}

qv_status qx_prelu(ox *L) {
  qv_status st;
  ox_value *x, *y, *w;
  lines t = {0};
  qx_rule r;
  QV_TRY(qx_arg(L, 0, &x));
  QV_TRY(ox_arg(L, 1, &w));
  QV_TRY(ox_res(L, 0, &y));
  if (!qx_is_const(w)) return OX_UNSUP(L, w, "the slope must be a constant");
  QV_TRY(qx_spread(L, w, &x->shape, &r));
  QV_TRY(lines_new(L, &t, r.n));
  for (uint32_t c = 0; st == QV_OK && c < r.n; c++) {
    qv_surd_set_i64(&t.b[c], 1);
    if (!qx_number(&t.a[c], w, c)) st = OX_PARSE(L, w, "a slope is not a number");
  }
  if (st == QV_OK) st = qx_compose(L, x, y, r, make_slopes, &t);
done:
  lines_clear(&t);
  return st;
}

typedef struct {
  const qv_surd *lo, *hi;
} bounds;

static qv_status make_clip(ox *L, const void *ctx, uint32_t c, qv_pwa **g) {
  const bounds *b = ctx;
  (void)c;
  return (*g = qv_pwa_clip(b->lo, b->hi)) != NULL ? QV_OK : ox_nomem(L);
}

/* Bound from an attribute (operator sets before 11) or operand k. */
static qv_status read_bound(ox *L, const char *attr, uint32_t k, qv_surd *x, bool *has) {
  const Onnx__AttributeProto *a = ox_attr(L, attr);
  ox_value *v = ox_opt(L, k);
  *has = a != NULL || v != NULL;
  if (a != NULL) {
    if (!a->has_f) return OX_PARSE(L, NULL, "attribute '%s' has the wrong type or size", attr);
    *has = fabsf(a->f) < 3e38f; /* the default is the largest number: no bound */
    return !*has || qv_surd_set_f64(x, (double)a->f) ? QV_OK : OX_PARSE(L, NULL, "attribute '%s' is not a number", attr);
  }
  if (v == NULL) return QV_OK;
  if (!qx_is_const(v) || qx_numbers(v) != 1) return OX_UNSUP(L, v, "bounds must be constant numbers");
  return qx_number(x, v, 0) ? QV_OK : OX_PARSE(L, v, "a bound is not a number");
}

qv_status qx_clip(ox *L) {
  qv_status st;
  ox_value *x, *y;
  qv_surd lo, hi;
  bool has_lo, has_hi;
  qv_surd_init(&lo);
  qv_surd_init(&hi);
  QV_TRY(qx_arg(L, 0, &x));
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(read_bound(L, "min", 1, &lo, &has_lo));
  QV_TRY(read_bound(L, "max", 2, &hi, &has_hi));
  const bounds b = {has_lo ? &lo : NULL, has_hi ? &hi : NULL};
  QV_TRY(qx_compose(L, x, y, (qx_rule){1, 1}, make_clip, &b));
done:
  qv_surd_clear(&lo);
  qv_surd_clear(&hi);
  return st;
}

/* ---- movement -------------------------------------------------------------------------------------------------------------------------- */

static ox_handler mover(const Onnx__NodeProto *n) {
  static const struct {
    const char *name;
    ox_handler fn;
  } table[] = {{"Reshape", ox_reshape},     {"Flatten", ox_flatten},   {"Squeeze", ox_squeeze}, {"Unsqueeze", ox_unsqueeze},
               {"Transpose", ox_transpose}, {"Pad", ox_pad},           {"Slice", ox_slice},     {"Split", ox_split},
               {"Concat", ox_concat},       {"Gather", ox_gather},     {"Expand", ox_expand},   {"Resize", ox_resize},
               {"Upsample", ox_resize},     {"Identity", ox_identity}, {"Dropout", ox_identity}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (ox_is_op(n, table[i].name)) return table[i].fn;
  return NULL;
}

/* Rule r of x's elements behind the movement that made y: false if channels do not stay whole. */
static bool moved_rule(const Onnx__NodeProto *n, const int64_t *perm, const ox_shape *x, const ox_shape *y, qx_rule *r) {
  static const char *const flat[] = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"};
  if (r->n == 1) return true;
  for (size_t i = 0; i < sizeof flat / sizeof *flat; i++)
    if (ox_is_op(n, flat[i])) return true; /* element numbers stay */
  uint32_t inner = 1, axis = x->rank;
  for (uint32_t d = x->rank; d-- > 0; inner *= x->dim[d])
    if (inner == r->inner && x->dim[d] == r->n) axis = d; /* of equal candidates the outermost: the others have size 1 */
  if (axis == x->rank) return false;
  if (ox_is_op(n, "Transpose")) {
    for (uint32_t d = 0; d < y->rank; d++)
      if ((perm != NULL ? perm[d] : (int64_t)(y->rank - 1 - d)) == (int64_t)axis) {
        axis = d;
        break;
      }
  } else if (x->rank != y->rank || y->dim[axis] != x->dim[axis] || ox_is_op(n, "Gather") || ox_is_op(n, "Slice")) {
    return false; /* a gather or slice of all indices may still change their order */
  }
  r->inner = 1;
  for (uint32_t d = axis + 1; d < y->rank; d++) r->inner *= y->dim[d];
  return y->dim[axis] == r->n;
}

/* The integer k with f(k) = v for a line f. */
static bool code_of(int32_t *k, const qx_real *r, const qv_surd *v) {
  qv_surd t;
  mpz_t z;
  if (r->n != 1 || r->f[0]->n != 1 || r->leaf == QX_ORDER) return false;
  qv_surd_init(&t);
  mpz_init(z);
  bool ok = qv_surd_sub(&t, v, &r->f[0]->v[0].b) && qv_surd_div(&t, &t, &r->f[0]->v[0].a) && qv_surd_floor(z, &t) && mpz_fits_sint_p(z);
  *k = ok ? (int32_t)mpz_get_si(z) : 0;
  mpz_clear(z);
  qv_surd_clear(&t);
  return ok;
}

/* The integer operator on the integers; the functions follow. */
qv_status qx_move(ox *L) {
  qv_status st;
  ox_value *x, *fill = NULL;
  ox_handler fn = mover(L->op);
  QV_TRY(ox_arg(L, 0, &x));
  if (x->state != OX_REAL) return fn(L);
  const ox_value saved = *x;
  ox_value saved_fill = {0};
  const qx_real *r = x->real;
  qx_rule rule = {r->n, r->inner};
  onx_const one = {.type = ONX_INT32, .n = 1};
  int32_t code = 0;
  const int64_t *perm;
  uint32_t n;
  if (ox_is_op(L->op, "Pad")) {
    qv_surd v;
    qv_surd_init(&v);
    fill = ox_opt(L, 2);
    bool ok = (fill == NULL || (qx_is_const(fill) && qx_numbers(fill) == 1 && qx_number(&v, fill, 0))) && code_of(&code, r, &v);
    qv_surd_clear(&v);
    if (!ok || (fill == NULL && code != 0)) return OX_UNSUP(L, x, "the padding value is not one of the quantized tensor's values");
  }
  QV_TRY(ox_attr_ints(L, "perm", QV_MAX_RANK, &perm, &n)); /* of a transposition; Transpose itself checks it */
  one.i = &code;
  if (fill != NULL) {
    saved_fill = *fill;
    fill->state = OX_CONST;
    fill->c = &one;
  }
  x->state = r->leaf == QX_CODES ? OX_CONST : OX_INT;
  st = fn(L);
  const ox_shape from = saved.shape;
  int64_t lo = 0, hi = 0;
  if (r->leaf != QX_CODES) lo = L->net->tensor[saved.net].lo, hi = L->net->tensor[saved.net].hi;
  *x = saved;
  if (fill != NULL) *fill = saved_fill;
  for (size_t k = 0; st == QV_OK && k < L->op->n_output; k++) {
    const char *name = L->op->output[k];
    ox_value *y = name[0] != 0 ? &L->val[qv_names_get(&L->index, name)] : NULL;
    if (y == NULL || y->state == OX_UNSET) continue;
    qx_rule to = rule;
    if (!moved_rule(L->op, perm, &from, &y->shape, &to))
      return OX_UNSUP(L, x, "this movement of a tensor whose channels have different scales is not supported");
    const ox_value moved = {.net = y->net, .cl = y->cl, .c = y->c, .shape = y->shape, .real = r};
    if (r->leaf != QX_CODES && y->net != saved.net) qx_range(L, y->net, qv_min64(lo, code), qv_max64(hi, code));
    QV_TRY(qx_set(L, y, &moved, to, r->f));
  }
done:
  return st;
}

/* Tensors with one and the same line, joined. */
qv_status qx_concat(ox *L) {
  qv_status st = QV_OK;
  ox_value *y, *x, *first = NULL;
  bool real = false;
  int64_t lo = INT64_MAX, hi = INT64_MIN;
  for (uint32_t k = 0; k < L->op->n_input; k++) {
    QV_TRY(ox_arg(L, k, &x));
    real = real || x->state == OX_REAL;
  }
  if (!real) return ox_concat(L);
  for (uint32_t k = 0; k < L->op->n_input; k++) {
    QV_TRY(qx_arg(L, k, &x));
    if (first == NULL) first = x;
    if (x->real->leaf == QX_CODES || x->real->leaf != first->real->leaf || x->real->n != 1 || first->real->n != 1 ||
        !qv_pwa_equal(x->real->f[0], first->real->f[0]))
      return OX_UNSUP(L, x, "joined tensors must be computed and have one and the same scale");
    lo = qv_min64(lo, L->net->tensor[x->net].lo);
    hi = qv_max64(hi, L->net->tensor[x->net].hi);
  }
  for (uint32_t k = 0; k < L->op->n_input; k++) ox_opt(L, k)->state = OX_INT;
  st = ox_concat(L);
  for (uint32_t k = 0; k < L->op->n_input; k++) ox_opt(L, k)->state = OX_REAL;
  QV_TRY(st);
  y = &L->val[qv_names_get(&L->index, L->op->output[0])];
  qx_range(L, y->net, lo, hi);
  const ox_value moved = {.net = y->net, .cl = y->cl, .shape = y->shape, .real = first->real};
  QV_TRY(qx_set(L, y, &moved, (qx_rule){1, 1}, first->real->f));
done:
  return st;
}

/* Reals and integers to FLOAT: the same numbers. */
qv_status qx_cast(ox *L) {
  qv_status st;
  ox_value *x, *y;
  int64_t to;
  QV_TRY(ox_arg(L, 0, &x));
  if (x->state != OX_REAL && x->state != OX_INT) return ox_cast(L);
  QV_TRY(ox_attr_i(L, "to", 0, &to));
  if (to != ONX_FLOAT)
    return OX_UNSUP(L, x, "conversion to %s is not supported here", to >= 0 && to < 64 ? onx_type_name((int32_t)to) : "?");
  QV_TRY(qx_arg(L, 0, &x));
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(qx_set(L, y, x, (qx_rule){x->real->n, x->real->inner}, x->real->f));
done:
  return st;
}

/* ---- ends of classifiers ----------------------------------------------------------------------------------------------------------------- */

/* Softmax, or the index of the largest value: named at the output, behind the integers. */
static qv_status end_operator(ox *L, const char *tail) {
  qv_status st;
  ox_value *x;
  QV_TRY(qx_arg(L, 0, &x));
  for (size_t k = 0; k < L->op->n_output; k++) {
    const char *name = L->op->output[k];
    ox_value *y = name[0] != 0 ? &L->val[qv_names_get(&L->index, name)] : NULL;
    if (y == NULL || (y->uses == 0 && !y->is_output)) continue;
    if (y->uses > 0) return OX_UNSUP(L, y, "%s is supported as the last operator only", tail);
    QV_TRY(qx_set(L, y, x, (qx_rule){x->real->n, x->real->inner}, x->real->f));
    y->tail = tail;
  }
done:
  return st;
}

/* Over the only dimension that is not 1. */
static bool whole_row(const ox_shape *s, int64_t axis) {
  if (axis < 0) axis += s->rank;
  for (uint32_t d = 0; d < s->rank; d++)
    if (d != axis && s->dim[d] != 1) return false;
  return axis >= 0 && axis < (int64_t)s->rank;
}

qv_status qx_softmax(ox *L) {
  qv_status st;
  ox_value *x;
  int64_t axis;
  QV_TRY(ox_arg(L, 0, &x));
  QV_TRY(ox_attr_i(L, "axis", L->m->opset < 13 ? 1 : -1, &axis));
  if (!whole_row(&x->shape, axis)) return OX_UNSUP(L, x, "Softmax over several rows is not supported");
  QV_TRY(end_operator(L, ox_is_op(L->op, "Softmax") ? "SOFTMAX" : "LOG_SOFTMAX"));
done:
  return st;
}

qv_status qx_argmax(ox *L) {
  qv_status st;
  ox_value *x, *kv = ox_opt(L, 1);
  int64_t axis, largest, sorted, keep, k, last;
  QV_TRY(ox_arg(L, 0, &x));
  bool topk = ox_is_op(L->op, "TopK"), label = !topk && !ox_is_op(L->op, "ArgMax");
  QV_TRY(ox_attr_i(L, "axis", topk || label ? -1 : 0, &axis));
  QV_TRY(ox_attr_i(L, "largest", 1, &largest));
  QV_TRY(ox_attr_i(L, "sorted", 1, &sorted));
  QV_TRY(ox_attr_i(L, "keepdims", 1, &keep));
  QV_TRY(ox_attr_i(L, "select_last_index", 0, &last));
  QV_TRY(ox_attr_i(L, label ? "K" : "k", 1, &k));
  if (label) (void)ox_attr(L, "Labels"), (void)ox_attr(L, "PE"), (void)ox_attr(L, "inputDataType"), (void)ox_attr(L, "numInputVectors");
  if (topk && kv != NULL) {
    const int64_t *v;
    uint32_t n;
    QV_TRY(ox_ints(L, kv, 1, &v, &n));
    k = n == 1 ? v[0] : 0;
  }
  if (k != 1 || largest != 1 || last != 0 || !whole_row(&x->shape, axis))
    return OX_UNSUP(L, x, "only the index of the largest value of one row is supported");
  QV_TRY(end_operator(L, "ARGMAX"));
done:
  return st;
}
