/* RELU family, LEAKY_RELU, LOGISTIC, TANH, HARD_SWISH, SOFTMAX, LOG_SOFTMAX, QUANTIZE, DEQUANTIZE. */
#include <math.h>
#include <string.h>

#include "frontend/tflite_lower.h"
#include "kernels/step.h"

typedef struct {
  int32_t x, y;
  tl_quant qx, qy;
  tl_shape out;
  int tx, ty; /* types */
} unary;

static qv_status read_unary(tl *L, unary *u) {
  qv_status st;
  QV_TRY(tl_arg(L, 0, &u->x));
  QV_TRY(tl_res(L, 0, &u->y));
  u->tx = tl_tensor(L, u->x)->type;
  u->ty = tl_tensor(L, u->y)->type;
  QV_TRY(tl_want_int(L, u->x, false));
  QV_TRY(tl_want_int(L, u->y, false));
  QV_TRY(tl_quant_of(L, u->x, &u->qx));
  QV_TRY(tl_quant_of(L, u->y, &u->qy));
  tl_shape s = tl_shape_of(L, u->x);
  QV_TRY(tl_out_shape(L, u->y, &s, &u->out));
  u->out = s; /* elementwise nodes keep the shape */
done:
  return st;
}

static qv_status same_type(tl *L, const unary *u) { return u->tx == u->ty ? QV_OK : TL_UNSUP(L, u->y, "input and result differ in type"); }

static qv_status open_form(tl *L, int32_t t) {
  return TL_UNSUP(L, t, "the arithmetic of %s on this type under profile %s is not known", L->op->name, L->prof->name);
}

static qv_act_scales scales(const tl *L, const unary *u) {
  qv_itv in = tl_range(L, u->x), out = tl_range(L, u->y);
  return (qv_act_scales){.s_x = u->qx.s, .s_y = u->qy.s, .z_x = u->qx.z, .z_y = u->qy.z, .lo = in.lo, .olo = out.lo, .ohi = out.hi};
}

/* ---- RELU family ---------------------------------------------------------------------------------------------------------- */

/* Factor s_x / s_y as this runtime's activation kernels compute it. */
static double act_ratio(const tl *L, const unary *u) {
  return L->prof->act_f32 ? (double)(u->qx.s / u->qy.s) : (double)u->qx.s / (double)u->qy.s;
}

/* TFLite Micro's RELU6 clamps to [z, q(6)] of the input and copies; the result's scale plays no part. */
static qv_status relu6_clamp(tl *L, const unary *u) {
  qv_status st;
  int64_t six;
  uint32_t in, y;
  qv_itv r = tl_range(L, u->x);
  if (!qv_quantize_bound(&six, 6.0f, u->qx.s, u->qx.z)) return TL_PARSE(L, u->x, "the activation bound overflows at this scale");
  six = qv_clamp64(six, r.lo, r.hi);
  QV_TRY(tl_net_of(L, u->x, &in));
  QV_TRY(tl_add_tensor(L, u->y, &u->out, &y));
  QV_TRY(tl_add_node(L, &(qv_node){.kind = QV_CLAMP, .u.clamp = {.lo = u->qx.z, .hi = six}}, in, y));
  tl_set_net(L, u->y, y);
done:
  return st;
}

qv_status tl_relu(tl *L) {
  qv_status st;
  unary u = {0};
  uint32_t in;
  int64_t one;
  qv_itv r;
  QV_TRY(read_unary(L, &u));
  QV_TRY(same_type(L, &u));
  int32_t code = L->op->code;
  if (L->prof->relu6_clamps && u.tx == TFL_UINT8) return open_form(L, u.x);
  if ((!L->prof->relu_all || u.tx == TFL_INT16) && code != TFL_RELU && code != TFL_RELU6) return open_form(L, u.x);
  if (code == TFL_RELU6 && L->prof->relu6_clamps) return relu6_clamp(L, &u);
  if (code == TFL_RELU_0_TO_1) {
    if (!qv_quantize_bound(&one, 1.0f, u.qy.s, u.qy.z)) return TL_PARSE(L, u.y, "the activation bound overflows at this scale");
    r = tl_range(L, u.y);
    r.lo = u.qy.z;
    r.hi = qv_min64(r.hi, one);
  } else {
    QV_TRY(tl_act_range(L, u.y, u.qy, code == TFL_RELU ? 1 : code == TFL_RELU6 ? 3 : 2, &r));
  }
  qv_step s = {.in_zp = u.qx.z, .out_zp = u.qy.z, .lo = r.lo, .hi = r.hi};
  QV_TRY(tl_factor(L, u.y, act_ratio(L, &u)));
  QV_TRY(tl_net_of(L, u.x, &in));
  QV_TRY(tl_one_par(L, &s, qv_rq_params(L->prof->rescale, act_ratio(L, &u), L->prof->cap30)));
  QV_TRY(tl_add_step(L, &s, in, u.y, &u.out));
done:
  return st;
}

/* ---- LEAKY_RELU ----------------------------------------------------------------------------------------------------------- */

/* int16: RQ(max(x,0)) + RQalpha(min(x,0)); at most one term differs from 0. */
static qv_status leaky_wide(tl *L, const unary *u, qv_rq_par ident, qv_rq_par alpha) {
  qv_status st;
  uint32_t in, part[2], acc, y;
  qv_itv r = tl_range(L, u->y);
  QV_TRY(tl_net_of(L, u->x, &in));
  for (int k = 0; k < 2; k++) {
    uint32_t half;
    qv_itv h = k == 0 ? (qv_itv){0, r.hi} : (qv_itv){r.lo, 0};
    qv_step s = {.lo = -((int64_t)1 << 60), .hi = (int64_t)1 << 60};
    QV_TRY(tl_one_par(L, &s, k == 0 ? ident : alpha));
    qv_itv image = qv_step_image(&s, 0, h);
    s.lo = image.lo;
    s.hi = image.hi;
    QV_TRY(tl_add_temp(L, u->y, k == 0 ? "/positive" : "/negative", QV_I16, &u->out, &half));
    QV_TRY(tl_add_node(L, &(qv_node){.kind = QV_CLAMP, .u.clamp = {.lo = h.lo, .hi = h.hi}}, in, half));
    QV_TRY(tl_add_temp(L, u->y, k == 0 ? "/scaled0" : "/scaled1", QV_I64, &u->out, &part[k]));
    QV_TRY(tl_add_node(L, &(qv_node){.kind = QV_STEP, .u.step = s}, half, part[k]));
  }
  int64_t *c = TL_NEW(L, 2, int64_t), *z = TL_NEW(L, 2, int64_t);
  if (c == NULL || z == NULL) return tl_nomem(L);
  c[0] = c[1] = 1;
  QV_TRY(tl_add_temp(L, u->y, "/acc", QV_I64, &u->out, &acc));
  QV_TRY(tl_add_node_n(L, &(qv_node){.kind = QV_SUM, .u.sum = {.c = c, .z = z}}, part, 2, acc));
  QV_TRY(tl_add_tensor(L, u->y, &u->out, &y));
  QV_TRY(tl_add_node(L, &(qv_node){.kind = QV_CLAMP, .u.clamp = {.lo = r.lo, .hi = r.hi}}, acc, y));
  tl_set_net(L, u->y, y);
done:
  return st;
}

/* XNNPACK's 8-fraction-bit factor as RQ_S: floor((v*m + 128) / 256). */
static qv_rq_par eight_bits(float ratio) { return (qv_rq_par){.fn = QV_RQ_S, .m = (int32_t)llrint(ldexp((double)ratio, 8)), .sh = 23}; }

qv_status tl_leaky_relu(tl *L) {
  qv_status st;
  unary u = {0};
  qv_rq_par ident, slope;
  int32_t table[256];
  QV_TRY(read_unary(L, &u));
  QV_TRY(same_type(L, &u));
  float alpha = tl_opt_f32(L, 0, 0), ratio = u.qx.s / u.qy.s, aratio = ratio * alpha;
  QV_TRY(tl_opts_ok(L));
  if (!isfinite(alpha)) return TL_PARSE(L, u.x, "alpha is not a number");
  if (!L->prof->relu_all && u.tx == TFL_UINT8) return open_form(L, u.x);
  double a = L->prof->act_f32 ? (double)(u.qx.s * alpha / u.qy.s) : (double)u.qx.s * (double)alpha / (double)u.qy.s;
  QV_TRY(tl_factor(L, u.y, a));
  QV_TRY(tl_factor(L, u.y, act_ratio(L, &u)));
  bool own = L->prof->leaky_xnnpack && u.tx != TFL_INT16 && ratio >= 0x1p-8f && ratio <= 0x1p7f && fabsf(aratio) >= 0x1p-8f &&
             fabsf(aratio) <= 0x1p7f;
  if (own) {
    ident = eight_bits(ratio);
    slope = eight_bits(aratio);
  } else {
    if (a < 0 && L->prof->rescale != QV_RQ_D) return open_form(L, u.x);
    ident = qv_rq_params(L->prof->rescale, act_ratio(L, &u), L->prof->cap30);
    slope = qv_rq_params(L->prof->rescale, a, L->prof->cap30);
  }
  if (u.tx == TFL_INT16) return leaky_wide(L, &u, ident, slope);
  const qv_act_scales sc = scales(L, &u);
  qv_table_leaky(table, &ident, &slope, &sc);
  QV_TRY(tl_add_table(L, table, u.x, u.y));
done:
  return st;
}

/* ---- tables ----------------------------------------------------------------------------------------------------------------- */

static qv_status sigmoid(tl *L, qv_act_fn f) {
  qv_status st;
  unary u = {0};
  int32_t table[256];
  QV_TRY(read_unary(L, &u));
  QV_TRY(same_type(L, &u));
  if (u.tx == TFL_INT16 || (u.tx == TFL_UINT8 && !L->prof->act_lut)) return open_form(L, u.x);
  const qv_act_scales sc = scales(L, &u);
  int64_t z = sc.olo + (f == QV_FN_TANH ? 128 : 0);
  float s = f == QV_FN_TANH ? 0x1p-7f : 0x1p-8f;
  if (u.qy.z != z || u.qy.s != s) return TL_UNSUP(L, u.y, "the result must have scale %g and zero point %lld", (double)s, (long long)z);
  if (!(u.qx.s > 0x1p-26f && u.qx.s < 0x1p3f)) return TL_UNSUP(L, u.x, "input scale %g is outside the kernel's range", (double)u.qx.s);
  if (L->prof->act_lut) qv_table_lut(table, f, &sc, L->prof->lut_even);
  else qv_table_fixed(table, f, &sc);
  QV_TRY(tl_add_table(L, table, u.x, u.y));
done:
  return st;
}

qv_status tl_logistic(tl *L) { return sigmoid(L, QV_FN_LOGISTIC); }
qv_status tl_tanh(tl *L) { return sigmoid(L, QV_FN_TANH); }

qv_status tl_hard_swish(tl *L) {
  qv_status st;
  unary u = {0};
  int32_t table[256];
  QV_TRY(read_unary(L, &u));
  QV_TRY(same_type(L, &u));
  if (u.tx == TFL_INT16 || (u.tx == TFL_UINT8 && !L->prof->act_lut)) return open_form(L, u.x);
  const qv_act_scales sc = scales(L, &u);
  if (!qv_table_hard_swish(table, &sc)) return TL_UNSUP(L, u.y, "the kernel refuses these scales");
  QV_TRY(tl_add_table(L, table, u.x, u.y));
done:
  return st;
}

/* ---- SOFTMAX ---------------------------------------------------------------------------------------------------------------- */

/* TFLite refuses other result scales (softmax prepare functions). */
static qv_status softmax_scale(tl *L, const unary *u) {
  float s = u->ty != TFL_INT16 ? 0x1p-8f : u->tx == TFL_INT16 ? 0x1p-15f : 0x1p-16f;
  int64_t z = u->tx == TFL_INT16 ? 0 : tl_range(L, u->y).lo;
  if (u->qy.z == z && fabsf(u->qy.s - s) <= (u->ty == TFL_INT16 ? 0.001f * s : 0)) return QV_OK;
  return TL_UNSUP(L, u->y, "the result must have scale %g and zero point %lld", (double)s, (long long)z);
}

static qv_status softmax_fixed(tl *L, const unary *u, float beta, qv_tail *t) {
  double max = L->prof->cap30 ? 0x1p30 - 1 : 0x1p31 - 1, M = (double)beta * (double)u->qx.s * (double)(1 << 26);
  if (!(M > 1)) return TL_UNSUP(L, u->x, "input scale times beta is too small; the runtime refuses it");
  qv_quantize_multiplier(M < max ? M : max, false, &t->mult, &t->ls);
  t->fn = QV_TAIL_SOFTMAX_Q;
  t->diff_min = -qv_input_radius(5, t->ls);
  t->out_bits = u->ty == TFL_INT16 ? 16 : 8;
  return QV_OK;
}

static qv_status softmax_lut(tl *L, const unary *u, float beta, qv_tail *t) {
  float *exp = TL_NEW(L, 256, float);
  if (exp == NULL) return tl_nomem(L);
  qv_softmax_exp_table(exp, u->qx.s, beta);
  t->fn = QV_TAIL_SOFTMAX_F;
  t->exp = exp;
  t->out_scale = u->qy.s;
  t->round = u->ty == TFL_UINT8 ? QV_TR_HALF_UP_TRUNC : QV_TR_AWAY;
  return QV_OK;
}

static qv_status softmax_16(tl *L, const unary *u, float beta, qv_tail *t) {
  double M = (double)u->qx.s * (double)beta / (10.0 / 65535.0);
  int16_t *lut = TL_NEW(L, 1026, int16_t);
  if (lut == NULL) return tl_nomem(L);
  if (!(M < 0x1p15)) return TL_UNSUP(L, u->x, "input scale times beta is too large");
  qv_softmax_16_tables(lut, L->prof->softmax == QV_SOFTMAX_LUT);
  t->fn = QV_TAIL_SOFTMAX_16;
  t->rq = L->prof->rescale;
  qv_quantize_multiplier(M, L->prof->cap30, &t->mult, &t->ls);
  t->lut = lut;
  return QV_OK;
}

/* Float SOFTMAX or LOG_SOFTMAX after DEQUANTIZE: order-preserving, so the integers before it become the result. */
static qv_status float_tail(tl *L, int32_t x, int32_t y, const char *name) {
  tl_value *from = tl_val(L, x), *to = tl_val(L, y);
  if (from->tail != NULL) return TL_UNSUP(L, x, "float arithmetic after a float %s is not supported", from->tail);
  *to = *from;
  to->tail = name;
  return QV_OK;
}

qv_status tl_softmax(tl *L) {
  qv_status st;
  unary u = {0};
  uint32_t in, y;
  qv_tail t = {0};
  QV_TRY(tl_arg(L, 0, &u.x));
  QV_TRY(tl_res(L, 0, &u.y));
  float beta = tl_opt_f32(L, 0, 0);
  QV_TRY(tl_opts_ok(L));
  if (!(beta > 0 && beta < 0x1p20f)) return TL_UNSUP(L, u.x, "beta %g is not a positive number", (double)beta);
  if (tl_val(L, u.x)->state == TL_FLOAT_OUT && tl_tensor(L, u.y)->type == TFL_FLOAT32) return float_tail(L, u.x, u.y, "SOFTMAX");
  QV_TRY(read_unary(L, &u));
  if (u.tx != u.ty && !(u.tx == TFL_INT8 && u.ty == TFL_INT16))
    return TL_UNSUP(L, u.y, "SOFTMAX from %s to %s is not supported", tfl_type_name(u.tx), tfl_type_name(u.ty));
  QV_TRY(softmax_scale(L, &u));
  if (u.tx == TFL_INT16) QV_TRY(softmax_16(L, &u, beta, &t));
  else if (L->prof->softmax == QV_SOFTMAX_LUT) QV_TRY(softmax_lut(L, &u, beta, &t));
  else QV_TRY(softmax_fixed(L, &u, beta, &t));
  t.out_zp = u.qy.z;
  t.lo = tl_range(L, u.y).lo;
  t.hi = tl_range(L, u.y).hi;
  QV_TRY(tl_net_of(L, u.x, &in));
  QV_TRY(tl_add_tensor(L, u.y, &u.out, &y));
  QV_TRY(tl_add_node(L, &(qv_node){.kind = QV_TAIL, .u.tail = t}, in, y));
  tl_set_net(L, u.y, y);
done:
  return st;
}

qv_status tl_log_softmax(tl *L) {
  qv_status st;
  int32_t x, y;
  QV_TRY(tl_arg(L, 0, &x));
  QV_TRY(tl_res(L, 0, &y));
  if (tl_val(L, x)->state == TL_FLOAT_OUT && tl_tensor(L, y)->type == TFL_FLOAT32) return float_tail(L, x, y, "LOG_SOFTMAX");
  QV_TRY(tl_want_int(L, x, false));
  st = TL_UNSUP(L, x, "integer LOG_SOFTMAX is not supported; supported: float LOG_SOFTMAX after DEQUANTIZE at the end of the model");
done:
  return st;
}

/* ---- QUANTIZE and DEQUANTIZE -------------------------------------------------------------------------------------------------- */

/* A float input of the model becomes the integer tensor behind its QUANTIZE. */
static qv_status quantize_input(tl *L, int32_t x, int32_t y) {
  qv_status st;
  tl_quant q;
  uint32_t k = tl_val(L, x)->input;
  int32_t model_input = qv_fb_at_i32(&L->m->fb, &L->m->in, k);
  const tfl_tensor *mt = tl_tensor(L, model_input);
  tl_shape s = {.rank = mt->rank}, now = tl_shape_of(L, x);
  size_t n;
  QV_TRY(tl_want_int(L, y, false));
  QV_TRY(tl_quant_of(L, y, &q));
  for (uint32_t d = 0; d < mt->rank; d++) s.dim[d] = (uint32_t)mt->dim[d];
  (void)tl_count(&s, &n);
  uint32_t simd = L->prof->quant_simd8;
  if (L->prof->quant16_open && tl_tensor(L, y)->type == TFL_INT16) return open_form(L, y);
  if (simd != 0 && n % simd != 0)
    return TL_UNSUP(L, y, "QUANTIZE of %zu floats under profile %s rounds the last %zu differently, which is not modelled", n,
                    L->prof->name, n % simd);
  if (L->input_net[k] != QV_NONE) {
    const qv_tensor *t = &L->net->tensor[L->input_net[k]];
    qv_itv r = tl_range(L, y), have = qv_dtype_range(t->type);
    if (t->scale != q.s || t->zp != q.z || r.lo != have.lo || r.hi != have.hi)
      return TL_UNSUP(L, y, "the same float input is quantized in two ways");
  } else {
    QV_TRY(tl_add_tensor(L, y, &s, &L->input_net[k]));
  }
  uint32_t net = L->input_net[k];
  if (!tl_same_shape(&s, &now)) QV_TRY(tl_add_index(L, &(qv_index){.form = QV_IX_RESHAPE}, net, y, "/reshaped", &now, &net));
  tl_set_net(L, y, net);
done:
  return st;
}

/* ruy build, equal widths: the vectorised part (16 elements at a time) rounds ties up, the rest away. */
static qv_status requant_up(tl *L, const unary *u, qv_step *s, double M) {
  size_t n;
  (void)tl_count(&u->out, &n);
  uint32_t simd = (uint32_t)(n / 16 * 16);
  if (simd == n) return tl_one_par(L, s, qv_rq_params(QV_RQ_U, M, false));
  qv_rq_par *par = TL_NEW(L, 2, qv_rq_par);
  uint32_t *idx = TL_NEW(L, n, uint32_t);
  if (par == NULL || idx == NULL) return tl_nomem(L);
  par[0] = qv_rq_params(QV_RQ_U, M, false);
  par[1] = qv_rq_params(QV_RQ_D, M, false);
  for (uint32_t i = 0; i < n; i++) idx[i] = i >= simd;
  s->n_par = 2;
  s->par = par;
  s->inner = 1;
  s->n_idx = (uint32_t)n;
  s->idx = idx;
  return QV_OK;
}

static qv_status requant_par(tl *L, const unary *u, qv_step *s) {
  double M = (double)u->qx.s / (double)u->qy.s;
  float P = u->qx.s / u->qy.s;
  bool narrow = (u->tx == TFL_INT8 || u->tx == TFL_UINT8) && (u->ty == TFL_INT8 || u->ty == TFL_UINT8);
  qv_status st = tl_factor(L, u->y, M);
  if (st != QV_OK) return st;
  if (L->prof->req16_open && (!narrow || (u->tx != u->ty && M != 1))) return open_form(L, u->x);
  if (!narrow || L->prof->req8 == QV_REQ8_RESCALE) return tl_one_par(L, s, qv_rq_params(L->prof->rescale, M, L->prof->cap30));
  if (L->prof->req8 == QV_REQ8_XNNPACK && u->tx == u->ty && P >= 0x1p-8f && P <= 0x1p7f) return tl_one_par(L, s, eight_bits(P));
  return requant_up(L, u, s, M);
}

qv_status tl_quantize(tl *L) {
  qv_status st;
  unary u = {0};
  uint32_t in;
  QV_TRY(tl_arg(L, 0, &u.x));
  QV_TRY(tl_res(L, 0, &u.y));
  if (tl_val(L, u.x)->state == TL_FLOAT_IN) return quantize_input(L, u.x, u.y);
  u.tx = tl_tensor(L, u.x)->type;
  u.ty = tl_tensor(L, u.y)->type;
  QV_TRY(tl_want_int(L, u.x, L->prof->reference)); /* the optimized kernels' 32-bit forms have not been measured */
  QV_TRY(tl_want_int(L, u.y, L->prof->reference));
  if (L->prof->reference && u.tx == TFL_UINT8 && u.ty != TFL_INT8) return open_form(L, u.x);
  QV_TRY(tl_quant_of(L, u.x, &u.qx));
  QV_TRY(tl_quant_of(L, u.y, &u.qy));
  tl_shape s = tl_shape_of(L, u.x), ignored;
  QV_TRY(tl_out_shape(L, u.y, &s, &ignored));
  u.out = s;
  qv_itv r = tl_range(L, u.y);
  qv_step step = {.in_zp = u.qx.z, .out_zp = u.qy.z, .lo = r.lo, .hi = r.hi};
  QV_TRY(requant_par(L, &u, &step));
  QV_TRY(tl_net_of(L, u.x, &in));
  QV_TRY(tl_add_step(L, &step, in, u.y, &u.out));
done:
  return st;
}

qv_status tl_dequantize(tl *L) {
  qv_status st;
  int32_t x, y;
  tl_quant q;
  QV_TRY(tl_arg(L, 0, &x));
  QV_TRY(tl_res(L, 0, &y));
  if (tl_tensor(L, y)->type != TFL_FLOAT32) return TL_UNSUP(L, y, "the result must be FLOAT32");
  if (tl_is_const(L, x)) return TL_UNSUP(L, x, "weights stored as integers for float arithmetic; only integer networks are supported");
  QV_TRY(tl_want_int(L, x, false));
  QV_TRY(tl_quant_of(L, x, &q));
  tl_value *v = tl_val(L, y);
  *v = *tl_val(L, x);
  v->state = TL_FLOAT_OUT;
  v->tail = NULL;
done:
  return st;
}
