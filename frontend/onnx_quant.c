/* QuantizeLinear, DequantizeLinear, and what stands between an operator and its QuantizeLinear. */
#include <math.h>
#include <string.h>

#include "frontend/onnx_lower.h"
#include "kernels/step.h"

/* ---- what follows a value ------------------------------------------------------------------------------------------------- */

static bool has_rank(const ox *L, const Onnx__NodeProto *n, size_t k) {
  uint32_t i = k < n->n_input && n->input[k][0] ? qv_names_get(&L->index, n->input[k]) : UINT32_MAX;
  return i != UINT32_MAX && L->val[i].shape.rank > 0;
}

const Onnx__NodeProto *ox_quantizer(const ox *L, const ox_value *v) {
  const Onnx__NodeProto *n = ox_only_user(L, v);
  bool clip = n != NULL && (ox_is_op(n, "Relu") || ox_is_op(n, "Clip")) && n->n_output > 0 && strcmp(n->input[0], v->name) == 0;
  if (clip) n = ox_only_user(L, &L->val[qv_names_get(&L->index, n->output[0])]);
  if (n == NULL || !ox_is_op(n, "QuantizeLinear") || n->n_output == 0 || n->output[0][0] == 0) return NULL;
  return clip && (has_rank(L, n, 1) || has_rank(L, n, 2)) ? NULL : n; /* the optimizer looks through it for scalars only */
}

/* Constant zero point operand of a quantization node with all three operands; NULL otherwise. */
static const onx_const *third(const ox *L, const Onnx__NodeProto *n) {
  uint32_t z = n->n_input == 3 ? qv_names_get(&L->index, n->input[2]) : UINT32_MAX;
  return z != UINT32_MAX && L->val[z].state == OX_CONST && L->val[z].c->n == 1 && L->val[z].c->i != NULL ? L->val[z].c : NULL;
}

/* The optimizer rewrites a QuantizeLinear whose one reader is a DequantizeLinear that has one reader itself. */
bool ox_rewritten(const ox *L, const ox_value *q) {
  if (q->producer == QV_NONE) return false;
  const Onnx__NodeProto *n = L->m->graph->node[q->producer], *dq = ox_only_user(L, q);
  if (!ox_is_op(n, "QuantizeLinear") || dq == NULL || !ox_is_op(dq, "DequantizeLinear") || dq->n_output == 0) return false;
  const onx_const *a = third(L, n), *b = third(L, dq);
  if (a == NULL || b == NULL || a->type != ONX_INT8 || b->type != ONX_INT8 || a->i[0] != b->i[0]) return false;
  const ox_value *out = &L->val[qv_names_get(&L->index, dq->output[0])];
  return out->uses + (out->is_output ? 1u : 0u) == 1;
}

int32_t ox_written_type(const ox *L, const Onnx__NodeProto *q) {
  uint32_t z = q->n_input > 2 && q->input[2][0] ? qv_names_get(&L->index, q->input[2]) : UINT32_MAX;
  int32_t type = z != UINT32_MAX ? L->val[z].type : ONX_UINT8;
  return type == ONX_INT8 && ox_rewritten(L, &L->val[qv_names_get(&L->index, q->output[0])]) ? ONX_UINT8 : type;
}

qv_status ox_want_elementwise(ox *L) {
  if (L->prof->elementwise) return QV_OK;
  return OX_UNSUP(L, NULL, "the arithmetic of this operator under profile %s is not known", L->prof->name);
}

/* ---- floats as functions of integers ---------------------------------------------------------------------------------------- */

qv_status ox_map_of(ox *L, const ox_value *v, const float **map, int64_t *lo, uint32_t *n) {
  if (v->state == OX_MAP) {
    *map = v->map;
    *lo = v->map_lo;
    *n = v->map_n;
    return QV_OK;
  }
  qv_itv r = onx_range(v->type);
  if (v->state != OX_DQ) return OX_UNSUP(L, v, "this operand is not a DequantizeLinear of integers: float arithmetic makes no integer claim");
  if (r.hi - r.lo > 65535) return OX_UNSUP(L, v, "this operator on %s tensors is not supported; supported: up to 16 bits", onx_type_name(v->type));
  *lo = r.lo;
  *n = (uint32_t)(r.hi - r.lo + 1);
  float *f = QV_NEW(&L->tmp, *n, float);
  if (f == NULL) return ox_nomem(L);
  for (uint32_t i = 0; i < *n; i++) f[i] = v->s * (float)(r.lo + i - v->z); /* |x - z| < 2^17: exact, one rounding */
  *map = f;
  return QV_OK;
}

static qv_status add_table(ox *L, uint32_t in, bool cl, const ox_shape *shape, int64_t lo, uint32_t n, const int32_t *t, float s,
                           int32_t z, int32_t type, ox_value *v) {
  qv_status st;
  uint32_t net;
  ox_shape stored = ox_stored_shape(shape, cl && shape->rank >= 3);
  QV_TRY(ox_add_tensor(L, v, "", ox_dtype(type), &stored, &net));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_TABLE, .u.table = {.lo = lo, .n = n, .t = t}}, &in, 1, net));
  ox_tag(L, net, s, z);
  ox_set_int(v, net, type, shape, cl);
done:
  return st;
}

/* Quantize each entry of a table of floats. */
static qv_status table_of_map(ox *L, const ox_value *x, float s, int32_t z, int32_t type, ox_value *v) {
  qv_status st;
  const float *f;
  int64_t lo;
  uint32_t n;
  qv_itv r = onx_range(type);
  QV_TRY(ox_map_of(L, x, &f, &lo, &n));
  int32_t *t = OX_NEW(L, n, int32_t);
  if (t == NULL) return ox_nomem(L);
  for (uint32_t i = 0; i < n; i++) {
    if (isnan(f[i])) return OX_UNSUP(L, x, "the float operator gives NaN for some inputs");
    t[i] = (int32_t)qv_onnx_quantize(f[i], s, z, r);
  }
  QV_TRY(add_table(L, x->net, x->cl, &x->shape, lo, n, t, s, z, type, v));
done:
  return st;
}

/* ---- sums ------------------------------------------------------------------------------------------------------------------- */

qv_status ox_one_par(ox *L, qv_step *step, qv_rq_par par) {
  qv_rq_par *p = OX_NEW(L, 1, qv_rq_par);
  if (p == NULL) return ox_nomem(L);
  *p = par;
  step->n_par = 1;
  step->par = p;
  step->inner = 1;
  return QV_OK;
}

static qv_status gemm_pars(ox *L, const ox_pending *p, float s_y, qv_step *step) {
  qv_rq_par *par = OX_NEW(L, p->n_w, qv_rq_par);
  if (par == NULL) return ox_nomem(L);
  for (uint32_t k = 0; k < p->n_w; k++) par[k] = qv_onnx_rq_par(p->exact_f32 ? QV_ORQ_F32 : L->prof->rq, p->alpha, p->s[0], p->w[k], s_y);
  step->n_par = p->n_w;
  step->par = par;
  step->inner = 1;
  return QV_OK;
}

/* A Relu or Clip between the operator and its QuantizeLinear, as bounds on the result. Exact: quantizing is monotone. */
static qv_status fold_clip(ox *L, const ox_pending *p, float s, int32_t z, qv_itv *r, const ox_value *v) {
  qv_itv full = *r;
  if (p->has_lo) r->lo = qv_max64(r->lo, qv_onnx_quantize(p->lo, s, z, full));
  if (p->has_hi) r->hi = qv_min64(r->hi, qv_onnx_quantize(p->hi, s, z, full));
  if (r->lo > r->hi) return OX_UNSUP(L, v, "the Clip in front of the QuantizeLinear has an empty range");
  bool redundant = r->lo == full.lo && r->hi == full.hi;
  if (p->has_lo && !p->has_hi && p->lo == 0) redundant = z == full.lo; /* Relu: the runtime's own rule */
  if (L->prof->qdq == QV_QDQ_ORT && !p->exact_f32 && !redundant)
    return OX_UNSUP(L, v, "a Relu or Clip that cuts off part of the quantized range keeps ONNX Runtime from fusing; the operator then runs in binary32");
  return QV_OK;
}

/* Mean of `count` elements: f32(s / f32(s_y * n)) in ONNX Runtime's kernel and where everything is exact, else binary64. */
static qv_rq_par mean_par(const ox_pending *p, uint32_t count, float s_y) {
  float n = (float)count, d = s_y * n;
  if (p->exact_f32 || p->qlinear) return (qv_rq_par){.fn = QV_RQ_F32, .M = (double)(p->s[0] / d)};
  return (qv_rq_par){.fn = QV_RQ_REF, .M = (double)p->s[0] / ((double)s_y * (double)count)};
}

static qv_status mean_pars(ox *L, const ox_pending *p, float s_y, qv_step *step) {
  qv_rq_par *par = OX_NEW(L, p->n_count, qv_rq_par);
  if (par == NULL) return ox_nomem(L);
  for (uint32_t k = 0; k < p->n_count; k++) par[k] = mean_par(p, p->count[k], s_y);
  step->n_par = p->n_count;
  step->par = par;
  step->n_idx = p->n_idx;
  step->idx = p->idx;
  step->inner = p->inner;
  return QV_OK;
}

static bool is_pot(float f) {
  int e;
  return frexpf(f, &e) == 0.5f;
}

static bool exact_here(const ox_pending *p, float s_y) {
  bool ok = is_pot(s_y);
  for (uint32_t k = 0; p->kind == OX_P_MEAN && k < p->n_count; k++) ok = ok && is_pot((float)p->count[k]);
  return ok;
}

/* ONNX Runtime's QLinearAveragePool: binary32 sums of f32(s*(x-z)), divided by n, by s_y, z_y added, rounded. The sum's rounding
 * depends on the single terms, so the result is a function of the integer sum only if no error up to `err` can change it. */
static bool pool_value(const ox_pending *p, uint32_t n, int64_t sum, float s_y, int32_t z, int64_t *q) {
  double r = (double)sum * (double)p->s[0] / ((double)n * (double)s_y) + z;
  double err = 0x1p-23 * ((n + 3.0) * 255.0 * (double)p->s[0] / (double)s_y + fabs((double)z) + fabs(r) + 1.0);
  int64_t a = qv_rne(fmax(fmin(r - err, 1e6), -1e6)), b = qv_rne(fmax(fmin(r + err, 1e6), -1e6));
  *q = a;
  if (a == b) return true;
  if (!is_pot(p->s[0])) return false;
  float mean = (float)sum * p->s[0] / (float)n; /* |sum| < 2^24: both products exact, one rounding */
  float v = mean / s_y, w = v + (float)z;
  *q = qv_rne((double)fmaxf(fminf(w, 1e6f), -1e6f));
  return true;
}

static qv_status finish_average_pool(ox *L, const ox_value *x, float s, int32_t z, int32_t type, ox_value *v) {
  qv_status st;
  const ox_pending *p = x->pend;
  qv_itv in = onx_range(p->type), r = onx_range(type), cut = r;
  QV_TRY(fold_clip(L, p, s, z, &cut, x));
  if (p->n_count != 1) return OX_UNSUP(L, x, "windows of different sizes (padding that is not counted) under profile %s: binary32", L->prof->name);
  uint32_t n = p->count[0], size = (uint32_t)(in.hi - in.lo) * n + 1;
  if (size > 65536) return OX_UNSUP(L, x, "windows of %u elements under profile %s; supported: 256", n, L->prof->name);
  int32_t *t = OX_NEW(L, size, int32_t);
  if (t == NULL) return ox_nomem(L);
  int64_t lo = (in.lo - p->z[0]) * n, q;
  for (uint32_t i = 0; i < size; i++) {
    if (!pool_value(p, n, lo + i, s, z, &q))
      return OX_UNSUP(L, x, "ONNX Runtime averages in binary32, and the rounding of ties depends on the order of the sum; exact only without ties or "
                      "with a power of two as input scale");
    t[i] = (int32_t)qv_clamp64(q, r.lo, r.hi);
  }
  QV_TRY(add_table(L, x->net, x->cl, &x->shape, lo, size, t, s, z, type, v));
done:
  return st;
}

qv_status ox_requantize(ox *L, const ox_pending *p, uint32_t acc, bool cl, const ox_shape *shape, float s, int32_t z, int32_t type,
                        ox_value *v) {
  qv_status st;
  uint32_t net;
  qv_itv r = onx_range(type);
  if (!onx_is_int(type) || type == ONX_INT32) return OX_UNSUP(L, v, "results of type %s are not supported", onx_type_name(type));
  if (p->exact_f32 && !exact_here(p, s))
    return OX_UNSUP(L, v, "the operator runs in binary32 under profile %s, and the result's scale or the divisor is not a power of two", L->prof->name);
  QV_TRY(fold_clip(L, p, s, z, &r, v));
  qv_step step = {.out_zp = z, .lo = r.lo, .hi = r.hi};
  switch (p->kind) {
  case OX_P_GEMM: QV_TRY(gemm_pars(L, p, s, &step)); break;
  case OX_P_MEAN: QV_TRY(mean_pars(L, p, s, &step)); break;
  case OX_P_MUL: { /* the zero point is added in binary32 before rounding */
    float prod = p->s[0] * p->s[1], M = prod / s;
    int32_t up = p->as_u8 ? 128 : 0;
    QV_TRY(ox_one_par(L, &step, (qv_rq_par){.fn = QV_RQ_F32B, .M = (double)M, .B = (double)(z + up)}));
    step.out_zp = -up;
    break;
  }
  case OX_P_AVERAGE: case OX_P_PAIR: case OX_P_CONCAT: return QV_FAIL(L->err, QV_E_INTERNAL, "not a sum");
  }
  ox_shape stored = ox_stored_shape(shape, cl && shape->rank >= 3);
  if (step.par[0].fn == QV_RQ_REF && L->prof->rq == QV_ORQ_SPEC && z != 0) { /* the zero point comes after rounding */
    qv_step plus = {.out_zp = z, .lo = r.lo, .hi = r.hi};
    uint32_t raw = acc;
    step.out_zp = 0;
    step.lo -= z;
    step.hi -= z;
    QV_TRY(ox_add_tensor(L, v, "/rounded", QV_I32, &stored, &acc));
    QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_STEP, .u.step = step}, &raw, 1, acc));
    QV_TRY(ox_one_par(L, &plus, (qv_rq_par){.fn = QV_RQ_DIV, .m = 1}));
    step = plus;
  }
  QV_TRY(ox_add_tensor(L, v, "", ox_dtype(type), &stored, &net));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_STEP, .u.step = step}, &acc, 1, net));
  ox_tag(L, net, s, z);
  ox_set_int(v, net, type, shape, cl);
done:
  return st;
}

/* ---- pairs ------------------------------------------------------------------------------------------------------------------ */

float ox_binary_f32(ox_binary op, float a, float b) {
  switch (op) {
  case OX_ADD: return a + b;
  case OX_SUB: return a - b;
  case OX_MUL: return a * b;
  case OX_DIV: return a / b;
  case OX_MAX: return a > b ? a : b;
  case OX_MIN: return a < b ? a : b;
  }
  return NAN;
}

/* Result for integers x, y. False: NaN. */
static bool pair_value(const ox_pending *p, float s, int32_t z, qv_itv r, int32_t x, int32_t y, int32_t *out) {
  if (p->qlinear) {
    int32_t up = p->as_u8 ? 128 : 0; /* the result is rewritten as well: 128 comes off again after saturation */
    const qv_onnx_add k = {{p->s[0], p->s[1]}, s, {p->z[0] + up, p->z[1] + up}, z + up, p->first_scalar};
    float f = qv_onnx_add_f32(&k, x + up, y + up);
    int64_t q = f < -1e6f ? -1000000 : f > 1e6f ? 1000000 : qv_rne((double)f);
    *out = (int32_t)qv_clamp64(q - up, r.lo, r.hi);
    return !isnan(f);
  }
  float a = p->s[0] * (float)(x - p->z[0]), b = p->s[1] * (float)(y - p->z[1]), f = ox_binary_f32(p->op, a, b);
  if (p->has_lo && f < p->lo) f = p->lo;
  if (p->has_hi && f > p->hi) f = p->hi;
  *out = (int32_t)qv_onnx_quantize(f, s, z, r);
  return !isnan(f);
}

/* Is the table of an addition floor((m0*(x-z0) + m1*(y-z1) + 2^(k-1)) / 2^k) + z for some m, k? Then linear bounds work. All
 * 65,536 (or fewer) entries are compared. */
static bool linear_form(const ox_pending *p, const int32_t *t, float s, int32_t z, qv_itv r, qv_itv in, int64_t m[2], int *k) {
  double a = (double)p->s[0] / (double)s, b = (double)p->s[1] / (double)s, big = a > b ? a : b;
  int e;
  if (p->op != OX_ADD || p->one) return false;
  (void)frexp(big, &e);
  *k = 30 - e;
  if (*k < 2 || *k > 62) return false;
  m[0] = llrint(ldexp(a, *k)); /* < 2^31 */
  m[1] = llrint(ldexp(b, *k));
  for (int64_t x = in.lo; x <= in.hi; x++)
    for (int64_t y = in.lo; y <= in.hi; y++) {
      int64_t v = m[0] * (x - p->z[0]) + m[1] * (y - p->z[1]);
      int64_t q = qv_clamp64((int64_t)qv_floor_shift((qv_i128)v + ((qv_i128)1 << (*k - 1)), *k) + z, r.lo, r.hi);
      if (q != *t++) return false;
    }
  return true;
}

static qv_status pair_node(ox *L, const ox_pending *p, const ox_value *x, const int64_t c[2], const int64_t z[2], ox_value *v, uint32_t *net) {
  qv_status st;
  int64_t *cc = OX_NEW(L, 2, int64_t), *zz = OX_NEW(L, 2, int64_t);
  ox_shape stored = ox_stored_shape(&x->shape, x->cl);
  if (cc == NULL || zz == NULL) return ox_nomem(L);
  memcpy(cc, c, 2 * sizeof *cc);
  memcpy(zz, z, 2 * sizeof *zz);
  QV_TRY(ox_add_tensor(L, v, "/pair", QV_I64, &stored, net));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_SUM, .u.sum = {.c = cc, .z = zz, .acc = {.mode = QV_ACC_EXACT}}}, p->in, 2, *net));
done:
  return st;
}

static qv_status finish_pair(ox *L, const ox_value *x, float s, int32_t z, int32_t type, ox_value *v) {
  qv_status st;
  const ox_pending *p = x->pend;
  qv_itv in = onx_range(p->type), r = onx_range(type), cut = r;
  uint32_t n1 = (uint32_t)(in.hi - in.lo + 1), n = p->one ? n1 : n1 * n1, net, k = 0;
  int64_t m[2];
  int shift;
  if (p->qlinear) QV_TRY(fold_clip(L, p, s, z, &cut, x));
  int32_t *t = OX_NEW(L, n, int32_t);
  if (t == NULL) return ox_nomem(L);
  for (int64_t a = in.lo; a <= in.hi; a++)
    for (int64_t b = p->one ? p->byte : in.lo; b <= (p->one ? p->byte : in.hi); b++)
      if (!pair_value(p, s, z, r, (int32_t)a, (int32_t)b, &t[k++])) return OX_UNSUP(L, x, "the float operator gives NaN for some inputs");
  if (p->one) return add_table(L, p->in[0], x->cl, &x->shape, in.lo, n, t, s, z, type, v);
  if (linear_form(p, t, s, z, r, in, m, &shift)) {
    qv_step step = {.out_zp = z, .lo = r.lo, .hi = r.hi};
    ox_shape stored = ox_stored_shape(&x->shape, x->cl);
    uint32_t y;
    QV_TRY(pair_node(L, p, x, m, (int64_t[2]){p->z[0], p->z[1]}, v, &net));
    QV_TRY(ox_one_par(L, &step, (qv_rq_par){.fn = QV_RQ_S, .m = 1, .sh = 31 - shift}));
    QV_TRY(ox_add_tensor(L, v, "", ox_dtype(type), &stored, &y));
    QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_STEP, .u.step = step}, &net, 1, y));
    ox_tag(L, y, s, z);
    ox_set_int(v, y, type, &x->shape, x->cl);
    goto done;
  }
  QV_TRY(pair_node(L, p, x, (int64_t[2]){n1, 1}, (int64_t[2]){in.lo, in.lo}, v, &net));
  QV_TRY(add_table(L, net, x->cl, &x->shape, 0, n, t, s, z, type, v));
done:
  return st;
}

/* ---- joined values ------------------------------------------------------------------------------------------------------------ */

static qv_status finish_concat(ox *L, const ox_value *x, float s, int32_t z, int32_t type, ox_value *v) {
  qv_status st = QV_OK;
  const ox_pending *p = x->pend;
  qv_itv r = onx_range(type), cut = r;
  uint32_t *in = QV_NEW(&L->tmp, p->n_part, uint32_t), net;
  if (in == NULL) return ox_nomem(L);
  QV_TRY(fold_clip(L, p, s, z, &cut, x));
  for (uint32_t k = 0; k < p->n_part; k++) {
    ox_value part = *p->part[k], q = {.name = v->name, .net = QV_NONE};
    QV_TRY(ox_net_of(L, &part, false, &in[k]));
    part.net = in[k];
    part.cl = false;
    if (part.s == s && part.z == z && part.type == type) continue;
    QV_TRY(table_of_map(L, &part, s, z, type, &q));
    in[k] = q.net;
  }
  QV_TRY(ox_add_tensor(L, v, "", ox_dtype(type), &x->shape, &net));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_CONCAT, .axis = p->axis}}, in, p->n_part, net));
  ox_tag(L, net, s, z);
  ox_set_int(v, net, type, &x->shape, false);
  if (cut.lo == r.lo && cut.hi == r.hi) goto done;
  uint32_t y;
  QV_TRY(ox_add_tensor(L, v, "/clip", ox_dtype(type), &x->shape, &y));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_CLAMP, .u.clamp = {cut.lo, cut.hi}}, &net, 1, y));
  ox_tag(L, y, s, z);
  v->net = y;
done:
  return st;
}

qv_status ox_set_pending(ox *L, ox_value *v, const ox_pending *p, uint32_t acc, bool cl, const ox_shape *shape) {
  ox_pending *copy = QV_NEW(&L->tmp, 1, ox_pending);
  if (copy == NULL) return ox_nomem(L);
  *copy = *p;
  ox_set_int(v, acc, ONX_FLOAT, shape, cl);
  v->state = OX_ACC;
  v->pend = copy;
  return QV_OK;
}

/* ---- the two operators ---------------------------------------------------------------------------------------------------------- */

/* Axis of `n` parameters; QV_E_PARSE if they do not fit. */
static qv_status quant_axis(ox *L, const ox_value *x, uint32_t n, uint32_t *axis) {
  int64_t a, block;
  qv_status st;
  QV_TRY(ox_attr_i(L, "axis", 1, &a));
  QV_TRY(ox_attr_i(L, "block_size", 0, &block));
  if (block != 0) return OX_UNSUP(L, x, "blocked quantization is not supported");
  *axis = 0;
  if (n == 1) goto done;
  if (a < 0) a += x->shape.rank;
  if (a < 0 || a >= (int64_t)x->shape.rank) return OX_PARSE(L, x, "attribute 'axis' is outside the tensor's dimensions");
  *axis = (uint32_t)a;
  if (n != x->shape.dim[a]) return OX_PARSE(L, x, "%u scales for dimension %lld of size %u", n, (long long)a, x->shape.dim[a]);
done:
  return st;
}

/* Parameter number of element e. */
static uint32_t channel_of(const ox_shape *s, uint32_t n, uint32_t axis, size_t e) {
  size_t inner = 1;
  for (uint32_t d = axis + 1; n > 1 && d < s->rank; d++) inner *= s->dim[d];
  return n == 1 ? 0 : (uint32_t)(e / inner % n);
}

/* QuantizeLinear of a constant, folded. */
static qv_status quantize_const(ox *L, ox_value *x, const ox_quant *q, uint32_t axis, int32_t type, ox_value *y) {
  const onx_const *c = x->c;
  qv_itv r = onx_range(type);
  onx_const k = *c;
  int32_t *v = OX_NEW(L, c->n, int32_t);
  if (v == NULL) return ox_nomem(L);
  if (x->state == OX_CONST && c->f == NULL) return OX_UNSUP(L, x, "QuantizeLinear of integers is not supported");
  for (size_t e = 0; e < c->n; e++) {
    uint32_t i = channel_of(&x->shape, q->n, axis, e), j = x->state == OX_DQ_CONST ? channel_of(&x->shape, x->n_q, x->axis, e) : 0;
    float f = x->state == OX_CONST ? c->f[e] : x->qs[j] * (float)((int64_t)c->i[e] - x->qz[j]);
    if (isnan(f)) return OX_PARSE(L, x, "element %zu is not a number", e);
    v[e] = (int32_t)qv_onnx_quantize(f, q->s[i], q->z[i], r);
  }
  k.type = type;
  k.i = v;
  k.l = NULL;
  k.f = NULL;
  return ox_set_const(L, y, &k);
}

qv_status ox_quantize(ox *L, ox_value *x, float s, int32_t z, int32_t type, ox_value *y) {
  switch (x->state) {
  case OX_DQ:
    if (x->tail != NULL) { /* the end of the model (ox_softmax): the integers are those before the tail */
      ox_set_dq(y, x, x->s, x->z);
      y->tail = x->tail;
      y->type = type;
      return QV_OK;
    }
    if (x->s != s || x->z != z || x->type != type) return table_of_map(L, x, s, z, type, y);
    /* rne(f32(f32(s*k)/s)) = k: two roundings move k by less than 2^-22 k < 1/2 */
    ox_set_int(y, x->net, x->type, &x->shape, x->cl);
    return QV_OK;
  case OX_MAP: return table_of_map(L, x, s, z, type, y);
  case OX_ACC:
    if (x->pend->kind == OX_P_PAIR) return finish_pair(L, x, s, z, type, y);
    if (x->pend->kind == OX_P_CONCAT) return finish_concat(L, x, s, z, type, y);
    if (x->pend->kind == OX_P_AVERAGE) return finish_average_pool(L, x, s, z, type, y);
    return ox_requantize(L, x->pend, x->net, x->cl, &x->shape, s, z, type, y);
  case OX_ANY: return ox_quantize_any(L, x, s, z, type, y);
  case OX_INT: return OX_UNSUP(L, x, "QuantizeLinear of integers is not supported");
  case OX_UNSET: case OX_CONST: case OX_DQ_CONST: case OX_REAL: break;
  }
  return OX_PARSE(L, x, "nothing to quantize");
}

qv_status ox_quantize_linear(ox *L) {
  qv_status st;
  ox_value *x, *y;
  ox_quant q;
  uint32_t axis;
  int64_t out = 0, saturate, precision;
  QV_TRY(ox_arg(L, 0, &x));
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(ox_attr_i(L, "output_dtype", 0, &out));
  QV_TRY(ox_attr_i(L, "saturate", 1, &saturate)); /* float8 only */
  QV_TRY(ox_attr_i(L, "precision", 0, &precision));
  if (precision != 0 && precision != ONX_FLOAT) return OX_UNSUP(L, x, "attribute 'precision' other than FLOAT is not supported");
  QV_TRY(ox_quant_args(L, 1, out > 0 && out <= INT32_MAX ? (int32_t)out : ONX_UINT8, &q));
  QV_TRY(quant_axis(L, x, q.n, &axis));
  if (!onx_is_int(q.type) || q.type == ONX_INT32) return OX_UNSUP(L, y, "quantization to %s is not supported", onx_type_name(q.type));
  if (x->state == OX_CONST || x->state == OX_DQ_CONST) return quantize_const(L, x, &q, axis, q.type, y);
  if (q.n != 1) return OX_UNSUP(L, x, "%u scales for a tensor of the network; supported: one", q.n);
  QV_TRY(ox_quantize(L, x, q.s[0], q.z[0], q.type, y));
done:
  return st;
}

qv_status ox_dequantize_linear(ox *L) {
  qv_status st;
  ox_value *x, *y;
  ox_quant q;
  uint32_t axis;
  int64_t out;
  QV_TRY(ox_arg(L, 0, &x));
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(ox_attr_i(L, "output_dtype", 0, &out));
  if (out != 0 && out != ONX_FLOAT) return OX_UNSUP(L, x, "dequantization to %s is not supported", onx_type_name((int32_t)out));
  QV_TRY(ox_quant_args(L, 1, x->type, &q));
  QV_TRY(quant_axis(L, x, q.n, &axis));
  if (q.type != x->type) return OX_PARSE(L, x, "the zero point is %s", onx_type_name(q.type));
  if (x->state == OX_CONST && x->c->i != NULL && onx_is_int(x->type)) {
    QV_TRY(ox_set_const(L, y, x->c));
    y->state = OX_DQ_CONST;
    y->n_q = q.n;
    y->qs = q.s;
    y->qz = q.z;
    y->axis = axis;
    y->direct = ox_is_op(L->op, "DequantizeLinear");
    if (q.n == 1) { /* as an operand of elementwise operators it is like any dequantized tensor */
      y->s = q.s[0];
      y->z = q.z[0];
    }
    goto done;
  }
  if (x->state == OX_DQ && x->tail != NULL) { /* of a tail's quantized result, at the end of the model */
    ox_set_dq(y, x, x->s, x->z);
    y->tail = x->tail;
    goto done;
  }
  if (x->state != OX_INT) return OX_UNSUP(L, x, "DequantizeLinear of a value that is not an integer tensor");
  if (q.n != 1) return OX_UNSUP(L, x, "%u scales for a tensor of the network; supported: one", q.n);
  ox_set_dq(y, x, q.s[0], q.z[0]);
  y->as_u8 = L->prof->qdq == QV_QDQ_ORT && x->type == ONX_INT8 && ox_rewritten(L, x);
  y->direct = ox_is_op(L->op, "DequantizeLinear"); /* of the default domain */
done:
  return st;
}
