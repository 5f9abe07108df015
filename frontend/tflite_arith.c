/* ADD, SUB, MUL of two tensors with broadcasting; constants are folded as far as their own rescaling goes. */
#include <math.h>
#include <string.h>

#include "frontend/tflite_lower.h"
#include "kernels/step.h"

typedef struct {
  int32_t x[2], y;
  tl_quant q[2], qy;
  tl_shape out;
  qv_itv act;
  bool wide; /* int16 */
} binary;

static bool broadcast_shape(const tl_shape *a, const tl_shape *b, tl_shape *r) {
  r->rank = a->rank > b->rank ? a->rank : b->rank;
  for (uint32_t d = 0; d < r->rank; d++) {
    uint32_t p = d + a->rank >= r->rank ? a->dim[d + a->rank - r->rank] : 1;
    uint32_t q = d + b->rank >= r->rank ? b->dim[d + b->rank - r->rank] : 1;
    if (p != q && p != 1 && q != 1) return false;
    r->dim[d] = p == 1 ? q : p;
  }
  return true;
}

/* `act` and `pot`: fields of the options table (MUL has no pot). */
static qv_status read_binary(tl *L, binary *b, bool has_pot) {
  qv_status st;
  QV_TRY(tl_arg(L, 0, &b->x[0]));
  QV_TRY(tl_arg(L, 1, &b->x[1]));
  QV_TRY(tl_res(L, 0, &b->y));
  for (int k = 0; k < 2; k++) {
    QV_TRY(tl_want_int(L, b->x[k], false));
    if (tl_tensor(L, b->x[k])->type != tl_tensor(L, b->y)->type) return TL_UNSUP(L, b->x[k], "operands and result differ in type");
    QV_TRY(tl_quant_of(L, b->x[k], &b->q[k]));
  }
  b->wide = tl_tensor(L, b->y)->type == TFL_INT16;
  QV_TRY(tl_quant_of(L, b->y, &b->qy));
  int act = tl_opt_i8(L, 0, 0);
  bool pot = has_pot && tl_opt_bool(L, 1, true);
  QV_TRY(tl_opts_ok(L));
  if (pot && b->wide && L->prof->add_pot16) {
    int e;
    if (frexpf(b->q[0].s, &e) == 0.5f && frexpf(b->q[1].s, &e) == 0.5f && frexpf(b->qy.s, &e) == 0.5f)
      return TL_UNSUP(L, b->y, "int16 with power-of-two scales takes a path of its own under profile %s, which is not modelled",
                      L->prof->name);
  }
  QV_TRY(tl_act_range(L, b->y, b->qy, act, &b->act));
  tl_shape s0 = tl_shape_of(L, b->x[0]), s1 = tl_shape_of(L, b->x[1]), computed;
  if (!broadcast_shape(&s0, &s1, &computed)) return TL_PARSE(L, b->y, "the operands' shapes do not broadcast");
  QV_TRY(tl_out_shape(L, b->y, &computed, &b->out));
  b->out = computed; /* broadcasting aligns dimensions: the file's shape may differ by dimensions of 1 */
done:
  return st;
}

/* ---- operands in the result's shape -------------------------------------------------------------------------------------- */

static qv_status broadcast(tl *L, const binary *b, int k, uint32_t *net) {
  size_t n = qv_elems(&L->net->tensor[*net]), want;
  (void)tl_count(&b->out, &want);
  if (n == want) return QV_OK;
  return tl_add_index(L, &(qv_index){.form = QV_IX_BROADCAST}, *net, b->y, k == 0 ? "/broadcast0" : "/broadcast1", &b->out, net);
}

/* Elements of constant operand k, repeated to the result's shape. */
static qv_status const_operand(tl *L, const binary *b, int k, int32_t **out, size_t *n) {
  qv_status st;
  const int32_t *v;
  size_t nv;
  tl_shape s = tl_shape_of(L, b->x[k]);
  QV_TRY(tl_elements(L, b->x[k], &v, &nv));
  (void)tl_count(&b->out, n);
  int32_t *r = TL_NEW(L, *n, int32_t);
  if (r == NULL) return tl_nomem(L);
  for (size_t e = 0; e < *n; e++) {
    size_t rest = e, from = 0, step = 1;
    for (uint32_t i = 0; i < b->out.rank && i < s.rank; i++) { /* from the last dimension */
      uint32_t have = s.dim[s.rank - 1 - i], dim = b->out.dim[b->out.rank - 1 - i];
      from += have == 1 ? 0 : rest % dim * step;
      rest /= dim;
      step *= have;
    }
    r[e] = v[from];
  }
  *out = r;
done:
  return st;
}

/* ---- ADD and SUB ---------------------------------------------------------------------------------------------------------- */

/* Rescale operand k: a STEP, or its result as a constant. */
static qv_status rescaled(tl *L, const binary *b, int k, double M, bool negate, uint32_t *net) {
  qv_status st;
  qv_step s = {.in_zp = b->q[k].z, .lshift = b->wide ? 15 : 20, .lo = -((int64_t)1 << 60), .hi = (int64_t)1 << 60};
  const char *suffix = k == 0 ? "/scaled0" : "/scaled1";
  qv_rq_par p = qv_rq_params(L->prof->rescale, M, L->prof->cap30);
  if (negate) p.m = -p.m;
  QV_TRY(tl_one_par(L, &s, p));
  qv_itv r = qv_step_image(&s, 0, tl_range(L, b->x[k])); /* not clamped by the runtime: the bounds are its image */
  s.lo = r.lo;
  s.hi = r.hi;
  if (tl_is_const(L, b->x[k])) {
    int32_t *v;
    size_t n;
    QV_TRY(const_operand(L, b, k, &v, &n));
    for (size_t i = 0; i < n; i++) v[i] = (int32_t)qv_step_eval(&s, 0, v[i]); /* |x - z| * 2^20 / 2 < 2^28 */
    return tl_add_const(L, b->y, suffix, QV_I32, &b->out, v, net);
  }
  uint32_t in;
  QV_TRY(tl_net_of(L, b->x[k], &in));
  tl_shape shape = tl_shape_of(L, b->x[k]);
  QV_TRY(tl_add_temp(L, b->y, suffix, QV_I32, &shape, net));
  QV_TRY(tl_add_node(L, &(qv_node){.kind = QV_STEP, .u.step = s}, in, *net));
  QV_TRY(broadcast(L, b, k, net));
done:
  return st;
}

/* c[0]*(x0 - z[0]) + c[1]*(x1 - z[1]) and the final step. */
static qv_status sum_and_step(tl *L, const binary *b, const uint32_t in[2], const int64_t c[2], const int64_t z[2], qv_rq_par par) {
  qv_status st;
  uint32_t acc;
  int64_t *cc = TL_NEW(L, 2, int64_t), *zz = TL_NEW(L, 2, int64_t);
  qv_step s = {.out_zp = b->qy.z, .lo = b->act.lo, .hi = b->act.hi};
  if (cc == NULL || zz == NULL) return tl_nomem(L);
  memcpy(cc, c, 2 * sizeof *cc);
  memcpy(zz, z, 2 * sizeof *zz);
  QV_TRY(tl_add_temp(L, b->y, "/acc", QV_I32, &b->out, &acc));
  QV_TRY(tl_add_node_n(L, &(qv_node){.kind = QV_SUM, .u.sum = {.c = cc, .z = zz, .acc = L->prof->acc32}}, in, 2, acc));
  QV_TRY(tl_one_par(L, &s, par));
  QV_TRY(tl_add_step(L, &s, acc, b->y, &b->out));
done:
  return st;
}

/* TFLite: both operands to a common scale with 20 (int16: 15) extra bits, then one rescale. */
static qv_status add_tflite(tl *L, const binary *b, bool sub) {
  qv_status st;
  float s0 = b->q[0].s, s1 = b->q[1].s, twice = 2 * (s0 > s1 ? s0 : s1), unit = (float)(1 << (b->wide ? 15 : 20)) * b->qy.s;
  bool minus = sub && L->prof->sub_subtracts;
  double m0 = (double)s0 / (double)twice, m1 = (double)s1 / (double)twice, my = (double)twice / (double)unit;
  uint32_t in[2];
  if (!(m0 > 0 && m1 > 0 && my > 0 && my < 1))
    return TL_UNSUP(L, b->y, "a rescaling factor is not between 0 and 1; the runtime refuses it");
  QV_TRY(rescaled(L, b, 0, m0, false, &in[0]));
  QV_TRY(rescaled(L, b, 1, m1, sub && !minus, &in[1]));
  const int64_t c[2] = {1, minus ? -1 : 1}, z[2] = {0, 0};
  QV_TRY(sum_and_step(L, b, in, c, z, qv_rq_params(L->prof->rescale, my, L->prof->cap30)));
done:
  return st;
}

/* Operand k as stored, in the result's shape. */
static qv_status plain(tl *L, const binary *b, int k, uint32_t *net) {
  qv_status st;
  if (tl_is_const(L, b->x[k])) {
    int32_t *v;
    size_t n;
    QV_TRY(const_operand(L, b, k, &v, &n));
    return tl_add_const(L, b->y, k == 0 ? "/const0" : "/const1", QV_I32, &b->out, v, net);
  }
  QV_TRY(tl_net_of(L, b->x[k], net));
  QV_TRY(broadcast(L, b, k, net));
done:
  return st;
}

/* XNNPACK: integer multipliers with n = 20 - exponent(largest ratio) fraction bits, one rounding shift. */
static qv_status add_xnnpack(tl *L, const binary *b, bool sub) {
  qv_status st;
  float r[2] = {b->q[0].s / b->qy.s, b->q[1].s / b->qy.s}, max = r[0] > r[1] ? r[0] : r[1];
  int64_t c[2], z[2] = {b->q[0].z, b->q[1].z};
  uint32_t in[2];
  int e;
  for (int k = 0; k < 2; k++)
    if (!(r[k] >= 0x1p-10f && r[k] < 0x1p8f))
      return TL_UNSUP(L, b->x[k], "scale ratio %g is outside [2^-10, 2^8); the arithmetic under profile %s is not known", (double)r[k],
                      L->prof->name);
  (void)frexpf(max, &e);
  int n = 20 - (e - 1);                                              /* within [13, 30] */
  for (int k = 0; k < 2; k++) c[k] = llrint(ldexp((double)r[k], n)); /* default rounding mode: ties to even */
  if (sub) c[1] = -c[1];
  QV_TRY(plain(L, b, 0, &in[0]));
  QV_TRY(plain(L, b, 1, &in[1]));
  QV_TRY(sum_and_step(L, b, in, c, z, (qv_rq_par){.fn = QV_RQ_S, .m = 1, .sh = 31 - n}));
done:
  return st;
}

static qv_status add_sub(tl *L, bool sub) {
  binary b = {0};
  qv_status st = read_binary(L, &b, true);
  if (st != QV_OK) return st;
  return L->prof->add == QV_ADD_XNNPACK && !b.wide ? add_xnnpack(L, &b, sub) : add_tflite(L, &b, sub);
}

qv_status tl_add_op(tl *L) { return add_sub(L, false); }
qv_status tl_sub_op(tl *L) { return add_sub(L, true); }

/* ---- MUL ------------------------------------------------------------------------------------------------------------------ */

/* Shortest period of v[0..n) that is a product of trailing dimensions. */
static size_t period(const int32_t *v, size_t n, const tl_shape *s) {
  size_t p = 1;
  for (uint32_t d = s->rank;; p *= s->dim[--d]) {
    bool ok = true;
    for (size_t e = p; e < n && ok; e++) ok = v[e] == v[e - p];
    if (ok || d == 0) return ok ? p : n;
  }
}

/* A constant factor is a weight: one AFFINE with a weight per channel, which keeps linear bounds linear. */
static qv_status mul_const(tl *L, const binary *b, int k, uint32_t *acc) {
  qv_status st;
  int32_t *w, *zp = TL_NEW(L, 1, int32_t);
  size_t n;
  uint32_t in;
  if (zp == NULL) return tl_nomem(L);
  QV_TRY(const_operand(L, b, k, &w, &n));
  QV_TRY(tl_net_of(L, b->x[1 - k], &in));
  QV_TRY(broadcast(L, b, 1 - k, &in));
  uint32_t c = (uint32_t)period(w, n, &b->out);
  int64_t *bias = TL_NEW(L, c, int64_t);
  if (bias == NULL) return tl_nomem(L);
  zp[0] = b->q[k].z;
  qv_affine a = {.win = {.n = (uint32_t)(n / c),
                         .ih = 1,
                         .iw = 1,
                         .ic = c,
                         .oh = 1,
                         .ow = 1,
                         .oc = c,
                         .kh = 1,
                         .kw = 1,
                         .sh = 1,
                         .sw = 1,
                         .dh = 1,
                         .dw = 1,
                         .groups = c},
                 .x_zp = b->q[1 - k].z,
                 .w = w,
                 .n_w_zp = 1,
                 .w_zp = zp,
                 .b = bias,
                 .acc = L->prof->acc32};
  QV_TRY(tl_add_temp(L, b->y, "/acc", QV_I32, &b->out, acc));
  QV_TRY(tl_add_node(L, &(qv_node){.kind = QV_AFFINE, .u.affine = a}, in, *acc));
done:
  return st;
}

static qv_status mul_product(tl *L, const binary *b, uint32_t *acc) {
  qv_status st;
  uint32_t in[2];
  QV_TRY(plain(L, b, 0, &in[0]));
  QV_TRY(plain(L, b, 1, &in[1]));
  QV_TRY(tl_add_temp(L, b->y, "/acc", QV_I32, &b->out, acc));
  qv_product p = {.z0 = b->q[0].z, .z1 = b->q[1].z, .acc = L->prof->acc32};
  QV_TRY(tl_add_node_n(L, &(qv_node){.kind = QV_PRODUCT, .u.product = p}, in, 2, *acc));
done:
  return st;
}

qv_status tl_mul_op(tl *L) {
  qv_status st;
  binary b = {0};
  uint32_t acc;
  QV_TRY(read_binary(L, &b, false));
  qv_gemm_form f = b.wide ? (qv_gemm_form){.ok = true, .rq = L->prof->rescale, .mult = QV_MULT_F64} : L->prof->mul8;
  double M = qv_real_multiplier(f.mult, b.q[0].s, b.q[1].s, b.qy.s);
  if (f.rq == QV_RQ_F32 && !(M >= 0x1p-16 && M < 0x1p8))
    return TL_UNSUP(L, b.y, "multiplier %g is outside [2^-16, 2^8); the arithmetic under profile %s is not known", M, L->prof->name);
  QV_TRY(tl_factor(L, b.y, M));
  bool c0 = tl_is_const(L, b.x[0]), c1 = tl_is_const(L, b.x[1]);
  QV_TRY(c0 != c1 ? mul_const(L, &b, c1 ? 1 : 0, &acc) : mul_product(L, &b, &acc));
  qv_step s = {.out_zp = b.qy.z, .lo = b.act.lo, .hi = b.act.hi};
  QV_TRY(tl_one_par(L, &s, qv_rq_params(f.rq, M, L->prof->cap30)));
  QV_TRY(tl_add_step(L, &s, acc, b.y, &b.out));
done:
  return st;
}
