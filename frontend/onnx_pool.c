/* MaxPool, average pooling, means. */
#include <string.h>

#include "frontend/onnx_lower.h"
#include "frontend/onnx_window.h"

typedef struct {
  ox_value *x, *y;
  qv_window win; /* depthwise, channels last */
  ox_shape out;
} pool;

static bool global(const ox *L) { return strstr(L->op->op_type, "Global") != NULL; }

/* Window and result shape of a pooling operator on operand 0 (or on x, if it stands for it). */
static qv_status read_pool(ox *L, pool *p) {
  qv_status st;
  const ox_shape *s = &p->x->shape;
  ox_window_attrs a = {.stride = {1, 1}, .dilation = {1, 1}};
  size_t n;
  if (s->rank != 3 && s->rank != 4) return OX_UNSUP(L, p->x, "pooling over %d dimensions; supported: 1 and 2", (int)s->rank - 2);
  if (!ox_count(s, &n)) return OX_PARSE(L, p->x, "the input is empty or too large");
  if (global(L)) {
    a.kernel[0] = s->rank == 4 ? s->dim[2] : 1;
    a.kernel[1] = s->dim[s->rank - 1];
  } else QV_TRY(ox_window_read(L, s->rank - 2, NULL, &a));
  p->win.ic = p->win.oc = p->win.groups = s->dim[1];
  QV_TRY(ox_window_fit(L, p->x, &a, &p->win));
  p->out = *s;
  if (s->rank == 4) p->out.dim[2] = p->win.oh;
  p->out.dim[s->rank - 1] = p->win.ow;
done:
  return st;
}

/* ---- maximum -------------------------------------------------------------------------------------------------------------- */

qv_status ox_max_pool(ox *L) {
  qv_status st;
  pool p = {0};
  uint32_t in, net;
  int64_t order;
  QV_TRY(ox_arg(L, 0, &p.x));
  QV_TRY(ox_res(L, 0, &p.y));
  QV_TRY(ox_attr_i(L, "storage_order", 0, &order)); /* of the Indices result, which is refused */
  if (p.x->state == OX_MAP)
    for (uint32_t i = 1; i < p.x->map_n; i++)
      if (!(p.x->map[i - 1] <= p.x->map[i])) return OX_UNSUP(L, p.x, "MaxPool behind a float operator that does not preserve order");
  if (p.x->tail != NULL) return OX_UNSUP(L, p.x, "a float %s in front of this operator is not supported", p.x->tail);
  QV_TRY(read_pool(L, &p));
  QV_TRY(ox_net_of(L, p.x, true, &in));
  ox_shape stored = ox_stored_shape(&p.out, true);
  QV_TRY(ox_add_tensor(L, p.y, "", ox_dtype(p.x->type), &stored, &net));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_MAX, .u.max = p.win}, &in, 1, net));
  if (p.x->state == OX_CONST || p.x->state == OX_DQ_CONST) return OX_UNSUP(L, p.x, "pooling of a constant is not supported");
  const ox_value x = *p.x; /* the same floats of the integers, whatever they are: scales are positive, so order is preserved */
  const char *name = p.y->name;
  uint32_t uses = p.y->uses, user = p.y->user, producer = p.y->producer;
  bool is_output = p.y->is_output;
  *p.y = x;
  p.y->name = name;
  p.y->uses = uses;
  p.y->user = user;
  p.y->producer = producer;
  p.y->is_output = is_output;
  p.y->net = net;
  p.y->shape = p.out;
  p.y->cl = true;
  p.y->as_u8 = p.y->direct = false;
  if (ox_is_op(L->op, "MaxPool")) ox_stay_direct(L, p.y, &x); /* the optimizer sees through it */
done:
  return st;
}

/* ---- sums of windows ------------------------------------------------------------------------------------------------------ */

/* Weights of 1 for every tap: sums of x - z over the taps inside the image. */
static qv_status sum_node(ox *L, const pool *p, int32_t z, qv_acc acc, uint32_t *net) {
  qv_status st;
  const qv_window *w = &p->win;
  size_t n;
  uint32_t in;
  if (!qv_mulz(&n, (size_t)w->kh * w->kw, w->oc) || n > QV_MAX_ELEMS) return OX_UNSUP(L, p->x, "the window is too large");
  int32_t *ones = OX_NEW(L, n, int32_t), *zp = OX_NEW(L, 1, int32_t);
  int64_t *b = OX_NEW(L, w->oc, int64_t);
  if (ones == NULL || zp == NULL || b == NULL) return ox_nomem(L);
  for (size_t i = 0; i < n; i++) ones[i] = 1;
  qv_affine a = {.win = *w, .x_zp = z, .w = ones, .n_w_zp = 1, .w_zp = zp, .b = b, .acc = acc};
  ox_shape stored = ox_stored_shape(&p->out, true);
  QV_TRY(ox_net_of(L, p->x, true, &in));
  QV_TRY(ox_add_tensor(L, p->y, "/acc", QV_I32, &stored, net));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_AFFINE, .u.affine = a}, &in, 1, *net));
done:
  return st;
}

/* Taps inside the image at output position o along one axis. */
static uint32_t inside(uint32_t o, uint32_t in, uint32_t k, uint32_t stride, uint32_t dil, uint32_t before) {
  uint32_t n = 0;
  for (uint32_t t = 0; t < k; t++) {
    int64_t at = (int64_t)o * stride - before + (int64_t)t * dil;
    n += at >= 0 && at < in;
  }
  return n;
}

/* Divisor by position: one entry per distinct count. */
static qv_status counts(ox *L, const pool *p, bool all, ox_pending *r) {
  const qv_window *w = &p->win;
  size_t taps = (size_t)w->kh * w->kw;
  if (taps > (1u << 24) || (size_t)w->oh * w->ow > (1u << 24)) return OX_UNSUP(L, p->x, "the window is too large");
  uint32_t *known = QV_NEW(&L->tmp, taps + 1, uint32_t), *idx = OX_NEW(L, (size_t)w->oh * w->ow, uint32_t), *count = OX_NEW(L, taps, uint32_t);
  uint32_t *rows = QV_NEW(&L->tmp, w->oh, uint32_t), *cols = QV_NEW(&L->tmp, w->ow, uint32_t), at = 0;
  if (known == NULL || idx == NULL || count == NULL || rows == NULL || cols == NULL) return ox_nomem(L);
  for (uint32_t o = 0; o < w->oh; o++) rows[o] = all ? w->kh : inside(o, w->ih, w->kh, w->sh, w->dh, w->pt);
  for (uint32_t o = 0; o < w->ow; o++) cols[o] = all ? w->kw : inside(o, w->iw, w->kw, w->sw, w->dw, w->pl);
  r->n_count = 0;
  for (uint32_t y = 0; y < w->oh; y++)
    for (uint32_t x = 0; x < w->ow; x++) {
      uint32_t n = rows[y] * cols[x];
      if (n == 0) return OX_PARSE(L, p->x, "a window lies in the padding only");
      if (known[n] == 0) {
        count[r->n_count++] = n;
        known[n] = r->n_count;
      }
      idx[at++] = known[n] - 1;
    }
  r->count = count;
  r->inner = 1;
  if (r->n_count > 1) {
    r->idx = idx;
    r->n_idx = w->oh * w->ow;
    r->inner = w->oc;
  }
  return QV_OK;
}

/* Accumulator of integer sums: as wide as that of products, but never in pairs or lanes. */
static qv_acc sum_acc(const ox *L) {
  const qv_acc *a = &L->prof->acc[0][0];
  return (qv_acc){.mode = a->mode == QV_ACC_TRAP ? QV_ACC_TRAP : QV_ACC_WRAP, .bits = 32, .order = a->order, .bias = a->bias};
}

static bool power_of_two(float f) {
  for (int e = -60; e < 60; e++)
    if (f == (e < 0 ? 1.0f / (float)((uint64_t)1 << -e) : (float)((uint64_t)1 << e))) return true;
  return false;
}

/* Averages of x = s * (net - z), before the QuantizeLinear: result r. `qlinear`: the runtime has a kernel for quantized tensors. */
static qv_status averages(ox *L, pool *p, float s, int32_t z, bool qlinear, bool all, ox_value *r) {
  qv_status st;
  uint32_t acc;
  qv_itv range = onx_range(p->x->type);
  ox_pending q = {.kind = OX_P_MEAN, .s = {s}, .z = {z}, .type = p->x->type};
  size_t taps = (size_t)p->win.kh * p->win.kw;
  bool exact = L->prof->qdq != QV_QDQ_REAL && !qlinear;
  QV_TRY(counts(L, p, all, &q));
  if (exact && (!power_of_two(s) || (range.hi - range.lo) * (int64_t)taps >= 1 << 24))
    return OX_UNSUP(L, p->x, "the operator runs in binary32 under profile %s, which is exact only with powers of two as scales and sums below 2^24", L->prof->name);
  q.exact_f32 = exact;
  q.qlinear = qlinear && global(L);
  if (qlinear && !global(L)) q.kind = OX_P_AVERAGE;
  QV_TRY(sum_node(L, p, z, exact || q.kind == OX_P_AVERAGE ? (qv_acc){.mode = QV_ACC_EXACT} : sum_acc(L), &acc));
  QV_TRY(ox_set_pending(L, r, &q, acc, true, &p->out));
done:
  return st;
}

static qv_status want_dq(ox *L, const ox_value *x) {
  if (x->state != OX_DQ || x->tail != NULL) return OX_UNSUP(L, x, "the input is not a DequantizeLinear of integers: float arithmetic makes no integer claim");
  qv_itv r = onx_range(x->type);
  if (r.hi - r.lo > 65535) return OX_UNSUP(L, x, "inputs of this type are not supported");
  return ox_want_elementwise(L);
}

/* Does ONNX Runtime's optimizer make its quantized operator of it? */
static bool fused(const ox *L, const ox_value *x, const ox_value *y) {
  const Onnx__NodeProto *q = ox_quantizer(L, y);
  int32_t type = x->as_u8 ? ONX_UINT8 : x->type;
  return L->prof->qdq == QV_QDQ_ORT && q != NULL && type == ox_written_type(L, q) && (type == ONX_UINT8 || type == ONX_INT8);
}

qv_status ox_average_pool(ox *L) {
  qv_status st;
  pool p = {0};
  int64_t pad;
  QV_TRY(ox_arg(L, 0, &p.x));
  QV_TRY(ox_res(L, 0, &p.y));
  QV_TRY(want_dq(L, p.x));
  QV_TRY(ox_attr_i(L, "count_include_pad", 0, &pad));
  if (L->prof->qdq == QV_QDQ_ORT && !p.x->direct)
    return OX_UNSUP(L, p.x, "under profile %s the DequantizeLinear must stand directly in front of the operator", L->prof->name);
  QV_TRY(read_pool(L, &p));
  QV_TRY(averages(L, &p, p.x->s, p.x->z, fused(L, p.x, p.y), pad != 0, p.y));
done:
  return st;
}

static qv_status qlinear_pool(ox *L) {
  qv_status st;
  pool p = {0};
  ox_quant qx, qy;
  int64_t last, pad;
  ox_value r = {.name = ""}, x;
  QV_TRY(ox_arg(L, 0, &p.x));
  QV_TRY(ox_one_quant(L, 1, p.x->type, &qx));
  QV_TRY(ox_one_quant(L, 3, p.x->type, &qy));
  QV_TRY(ox_res(L, 0, &p.y));
  QV_TRY(ox_attr_i(L, "channels_last", 0, &last));
  QV_TRY(ox_attr_i(L, "count_include_pad", 0, &pad));
  if (last != 0) return OX_UNSUP(L, p.x, "channels_last is not supported");
  if (p.x->state != OX_INT || (p.x->type != ONX_INT8 && p.x->type != ONX_UINT8)) return OX_UNSUP(L, p.x, "the input must be an INT8 or UINT8 tensor of the network");
  if (qx.type != p.x->type || qy.type != p.x->type) return OX_PARSE(L, p.x, "a zero point has another type");
  x = *p.x;
  p.x = &x;
  QV_TRY(read_pool(L, &p));
  r.name = p.y->name;
  QV_TRY(averages(L, &p, qx.s[0], qx.z[0], true, pad != 0, &r));
  QV_TRY(ox_quantize(L, &r, qy.s[0], qy.z[0], qy.type, p.y));
done:
  return st;
}

qv_status ox_qlinear_global_average_pool(ox *L) { return qlinear_pool(L); }
qv_status ox_qlinear_average_pool(ox *L) { return qlinear_pool(L); }

/* ---- ReduceMean ------------------------------------------------------------------------------------------------------------- */

/* Axes as flags; none given means all. */
static qv_status read_axes(ox *L, const ox_value *x, bool gone[QV_MAX_RANK]) {
  qv_status st;
  const int64_t *a;
  uint32_t n;
  int64_t noop;
  QV_TRY(ox_attr_ints(L, "axes", QV_MAX_RANK, &a, &n));
  if (a == NULL) QV_TRY(ox_ints_arg(L, 1, QV_MAX_RANK, &a, &n));
  QV_TRY(ox_attr_i(L, "noop_with_empty_axes", 0, &noop));
  if (n == 0 && noop != 0) return OX_UNSUP(L, x, "a mean over no axes is not supported");
  for (uint32_t d = 0; n == 0 && d < x->shape.rank; d++) gone[d] = true;
  for (uint32_t i = 0; i < n; i++) {
    int64_t d = a[i] < 0 ? a[i] + x->shape.rank : a[i];
    if (d < 0 || d >= (int64_t)x->shape.rank) return OX_PARSE(L, x, "axis %lld is outside the tensor's dimensions", (long long)a[i]);
    gone[d] = true;
  }
done:
  return st;
}

/* One run of neighbouring reduced dimensions: the tensor is [before][n][after], channels = after. */
qv_status ox_reduce_mean(ox *L) {
  qv_status st;
  pool p = {0};
  bool gone[QV_MAX_RANK] = {false};
  int64_t keep;
  uint32_t in;
  QV_TRY(ox_arg(L, 0, &p.x));
  QV_TRY(ox_res(L, 0, &p.y));
  QV_TRY(want_dq(L, p.x));
  QV_TRY(read_axes(L, p.x, gone));
  QV_TRY(ox_attr_i(L, "keepdims", 1, &keep));
  const ox_shape s = p.x->shape;
  size_t part[3] = {1, 1, 1}, k = 0;
  ox_shape out = {0};
  for (uint32_t d = 0; d < s.rank; d++) {
    if (gone[d] && k == 0) k = 1;
    if (!gone[d] && k == 1 && s.dim[d] != 1) k = 2;
    if (gone[d] && k == 2 && s.dim[d] != 1) return OX_UNSUP(L, p.x, "a mean over dimensions that are not neighbours is not supported");
    part[gone[d] ? 1 : k == 1 ? 2 : k] *= s.dim[d];
    if (!gone[d] || keep != 0) out.dim[out.rank++] = gone[d] ? 1 : s.dim[d];
  }
  QV_TRY(ox_net_of(L, p.x, false, &in));
  ox_value flat = *p.x, r = {.name = p.y->name};
  flat.net = in;
  flat.cl = true; /* [before][n][after] read as rows of height 1, width n, channels `after` */
  flat.shape = (ox_shape){.rank = 3, .dim = {(uint32_t)part[0], (uint32_t)part[2], (uint32_t)part[1]}};
  p.x = &flat;
  p.win = (qv_window){.n = (uint32_t)part[0], .ih = 1, .iw = (uint32_t)part[1], .ic = (uint32_t)part[2], .oh = 1, .ow = 1, .oc = (uint32_t)part[2],
                      .kh = 1, .kw = (uint32_t)part[1], .sh = 1, .sw = 1, .dh = 1, .dw = 1, .groups = (uint32_t)part[2]};
  p.out = (ox_shape){.rank = 3, .dim = {(uint32_t)part[0], (uint32_t)part[2], 1}};
  QV_TRY(averages(L, &p, flat.s, flat.z, false, true, &r));
  /* [before][1][after] has the elements of the result in order */
  uint32_t acc;
  QV_TRY(ox_add_tensor(L, p.y, "/sums", QV_I32, &out, &acc));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_RESHAPE}}, &r.net, 1, acc));
  QV_TRY(ox_set_pending(L, p.y, r.pend, acc, false, &out));
done:
  return st;
}
