/* Operators that only move data, shape arithmetic, constants. All of them work on integers, on the floats that stand for them, and
 * on constants. */
#include <string.h>

#include "frontend/onnx_lower.h"
#include "ir/index.h"

/* ---- any movement ----------------------------------------------------------------------------------------------------------- */

/* Constant c moved by ix to shape s: the net's own index map on a two-tensor net. `fill` of PAD is in ix. */
static qv_status move_const(ox *L, ox_value *x, const qv_index *ix, const ox_shape *s, ox_value *y) {
  const onx_const *c = x->c;
  onx_const r = {.type = c->type, .rank = s->rank};
  qv_tensor t[2] = {{.rank = c->rank}, {.rank = s->rank}};
  uint32_t in = 0;
  qv_net net = {.tensor = t, .n_tensors = 2};
  const qv_node node = {.kind = QV_INDEX, .n_in = 1, .in = &in, .out = 1, .u.index = *ix};
  if (c->n == 0 || !ox_count(s, &r.n)) return OX_UNSUP(L, x, "an empty constant is not supported here");
  if (ix->form == QV_IX_PAD && c->i == NULL) return OX_UNSUP(L, x, "padding of a constant of this type is not supported");
  memcpy(t[0].dim, c->dim, sizeof c->dim);
  memcpy(t[1].dim, s->dim, sizeof s->dim);
  memcpy(r.dim, s->dim, sizeof s->dim);
  qv_index_src *map = QV_NEW(&L->tmp, r.n, qv_index_src);
  int32_t *i = c->i != NULL ? OX_NEW(L, r.n, int32_t) : NULL;
  int64_t *l = c->l != NULL ? OX_NEW(L, r.n, int64_t) : NULL;
  float *f = c->f != NULL ? OX_NEW(L, r.n, float) : NULL;
  if (map == NULL || (i == NULL && l == NULL && f == NULL)) return ox_nomem(L);
  qv_index_map(map, &net, &node);
  for (size_t e = 0; e < r.n; e++) {
    if (i != NULL) i[e] = map[e].src == QV_NONE ? map[e].off : c->i[map[e].off];
    if (l != NULL) l[e] = c->l[map[e].off];
    if (f != NULL) f[e] = c->f[map[e].off];
  }
  r.i = i;
  r.l = l;
  r.f = f;
  return ox_set_const(L, y, &r);
}

/* The dimension that `axis` of x becomes; false if its indices do not stay whole. */
static bool moved_axis(const qv_index *ix, const ox_shape *x, const ox_shape *y, uint32_t *axis) {
  size_t before = 1, seen = 1;
  switch (ix->form) {
  case QV_IX_TRANSPOSE:
    for (uint32_t d = 0; d < y->rank; d++)
      if (ix->a[d] == (int32_t)*axis) {
        *axis = d;
        return true;
      }
    return false;
  case QV_IX_RESHAPE:
    for (uint32_t d = 0; d < *axis; d++) before *= x->dim[d];
    for (uint32_t d = 0; d < y->rank; d++) {
      if (seen == before && y->dim[d] == x->dim[*axis]) {
        *axis = d;
        return true;
      }
      seen *= y->dim[d];
    }
    return false;
  case QV_IX_PAD: case QV_IX_CONCAT: case QV_IX_SLICE: case QV_IX_BROADCAST: case QV_IX_GATHER: return false;
  }
  return false;
}

/* Operators that ONNX Runtime's optimizer sees through: it puts QuantizeLinear and DequantizeLinear behind them, with the same
 * parameters. Measured; Flatten, Gather, Pad are none of them. */
static bool seen_through(const Onnx__NodeProto *n) {
  static const char *const names[] = {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Slice", "Identity"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (ox_is_op(n, names[i])) return true;
  return false;
}

void ox_stay_direct(const ox *L, ox_value *y, const ox_value *x) {
  y->direct = x->direct && x->uses == 1 && !x->is_output;
  y->as_u8 = y->direct && x->type == ONX_INT8 && L->prof->qdq == QV_QDQ_ORT;
}

/* y is to net tensor `net` what x is to its own. */
static void like(const ox *L, ox_value *y, const ox_value *x, uint32_t net, const ox_shape *s, bool cl) {
  ox_value r = *x;
  r.name = y->name;
  r.uses = y->uses;
  r.user = y->user;
  r.producer = y->producer;
  r.is_output = y->is_output;
  r.net = net;
  r.shape = *s;
  r.cl = cl && s->rank >= 3;
  r.as_u8 = r.direct = false;
  if (seen_through(L->op)) ox_stay_direct(L, &r, x);
  *y = r;
}

static qv_status movable(ox *L, const ox_value *x) {
  if (x->state == OX_ACC) return OX_UNSUP(L, x, "the result of a float operator is moved before its QuantizeLinear");
  if (x->tail != NULL) return OX_UNSUP(L, x, "a float %s in front of this operator is not supported", x->tail);
  return QV_OK;
}

/* Sums of a matrix product in another shape stay sums. */
static qv_status reshape_sums(ox *L, const ox_value *x, const ox_shape *s, ox_value *y) {
  qv_status st;
  uint32_t net;
  QV_TRY(ox_add_tensor(L, y, "/acc", L->net->tensor[x->net].type, s, &net));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_RESHAPE}}, &x->net, 1, net));
  like(L, y, x, net, s, false);
done:
  return st;
}

/* y = x moved by ix (in ONNX dimensions) to shape s. Slices, pads and gathers keep channels-last storage. */
static qv_status move(ox *L, ox_value *x, const qv_index *ix, const ox_shape *s, ox_value *y) {
  qv_status st;
  uint32_t in, net;
  bool cl;
  size_t n;
  if (ox_is_sum(x) && ix->form == QV_IX_RESHAPE && ox_count(s, &n)) return reshape_sums(L, x, s, y);
  QV_TRY(movable(L, x));
  if (x->state == OX_CONST) return move_const(L, x, ix, s, y);
  if (x->state == OX_DQ_CONST) {
    const ox_value d = *x;
    uint32_t axis = d.axis;
    if (d.n_q > 1 && !moved_axis(ix, &d.shape, s, &axis)) return OX_UNSUP(L, x, "movement of a constant with one scale per index is not supported here");
    QV_TRY(move_const(L, x, ix, s, y));
    y->state = OX_DQ_CONST;
    y->n_q = d.n_q;
    y->qs = d.qs;
    y->qz = d.qz;
    y->axis = axis;
    y->direct = false;
    y->s = d.s;
    y->z = d.z;
    goto done;
  }
  if (!ox_count(s, &n)) return OX_UNSUP(L, x, "the result is empty or has more than %zu elements", QV_MAX_ELEMS);
  QV_TRY(ox_net_as_is(L, x, &in, &cl));
  qv_index own = *ix;
  bool keeps = ix->form == QV_IX_SLICE || ix->form == QV_IX_PAD || ix->form == QV_IX_GATHER;
  if (cl && keeps) {
    uint32_t r = x->shape.rank;
    for (uint32_t d = 1; d < r; d++) { /* stored dimension d is ONNX dimension d + 1, the last one is channels */
      own.a[d] = ix->a[d + 1 < r ? d + 1 : 1];
      own.b[d] = ix->b[d + 1 < r ? d + 1 : 1];
    }
    own.axis = ix->axis == 0 ? 0 : ix->axis == 1 ? r - 1 : ix->axis - 1;
  } else if (cl) {
    QV_TRY(ox_net_of(L, x, false, &in));
    cl = false;
  }
  ox_shape stored = ox_stored_shape(s, cl);
  QV_TRY(ox_add_tensor(L, y, "", L->net->tensor[in].type, &stored, &net));
  if (L->net->tensor[in].has_q) ox_tag(L, net, L->net->tensor[in].scale, L->net->tensor[in].zp);
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_INDEX, .u.index = own}, &in, 1, net));
  like(L, y, x, net, s, cl);
done:
  return st;
}

static qv_status ends(ox *L, ox_value **x, ox_value **y) {
  qv_status st;
  QV_TRY(ox_arg(L, 0, x));
  QV_TRY(ox_res(L, 0, y));
done:
  return st;
}

static qv_status norm_axis(ox *L, const ox_value *x, int64_t axis, uint32_t rank, uint32_t *d) {
  int64_t a = axis < 0 ? axis + rank : axis;
  *d = 0;
  if (a < 0 || a >= (int64_t)rank) return OX_PARSE(L, x, "axis %lld is outside %u dimensions", (long long)axis, rank);
  *d = (uint32_t)a;
  return QV_OK;
}

/* ---- shapes ----------------------------------------------------------------------------------------------------------------- */

static qv_status reshape_to(ox *L, ox_value *x, const ox_shape *s, ox_value *y) {
  return move(L, x, &(qv_index){.form = QV_IX_RESHAPE}, s, y);
}

qv_status ox_reshape(ox *L) {
  qv_status st;
  ox_value *x, *y;
  const int64_t *want;
  uint32_t n;
  int64_t allowzero;
  size_t total = 1, known = 1;
  ox_shape s = {0};
  QV_TRY(ends(L, &x, &y));
  QV_TRY(ox_attr_i(L, "allowzero", 0, &allowzero));
  QV_TRY(ox_attr_ints(L, "shape", QV_MAX_RANK, &want, &n)); /* operator set 1 */
  if (want == NULL) QV_TRY(ox_ints_arg(L, 1, QV_MAX_RANK, &want, &n));
  if (want == NULL) return OX_PARSE(L, x, "the new shape is missing");
  for (uint32_t d = 0; d < x->shape.rank; d++)
    if (!qv_mulz(&total, total, x->shape.dim[d])) return OX_PARSE(L, x, "the input is too large");
  int infer = -1;
  s.rank = n;
  for (uint32_t d = 0; d < n; d++) {
    int64_t v = want[d];
    if (v == 0 && allowzero == 0) {
      if (d >= x->shape.rank) return OX_PARSE(L, x, "the new shape copies a dimension that does not exist");
      v = x->shape.dim[d];
    }
    if (v == -1) {
      if (infer >= 0) return OX_PARSE(L, x, "the new shape leaves two dimensions open");
      infer = (int)d;
      continue;
    }
    if (v < 1 || v > (int64_t)QV_MAX_ELEMS || !qv_mulz(&known, known, (size_t)v)) return OX_PARSE(L, x, "the new shape has a dimension of %lld", (long long)v);
    s.dim[d] = (uint32_t)v;
  }
  if (infer >= 0 && total % known == 0 && total / known <= QV_MAX_ELEMS) {
    s.dim[infer] = (uint32_t)(total / known);
    known = total;
  }
  if (known != total) return OX_PARSE(L, x, "the new shape has %zu elements instead of %zu", known, total);
  QV_TRY(reshape_to(L, x, &s, y));
done:
  return st;
}

qv_status ox_flatten(ox *L) {
  qv_status st;
  ox_value *x, *y;
  int64_t axis;
  ox_shape s = {.rank = 2, .dim = {1, 1}};
  QV_TRY(ends(L, &x, &y));
  QV_TRY(ox_attr_i(L, "axis", 1, &axis));
  if (axis < 0) axis += x->shape.rank;
  if (axis < 0 || axis > (int64_t)x->shape.rank) return OX_PARSE(L, x, "attribute 'axis' is outside the tensor's dimensions");
  for (uint32_t d = 0; d < x->shape.rank; d++) s.dim[d < axis ? 0 : 1] *= x->shape.dim[d]; /* within the element limit */
  QV_TRY(reshape_to(L, x, &s, y));
done:
  return st;
}

static qv_status axes_list(ox *L, const int64_t **a, uint32_t *n) {
  qv_status st = ox_attr_ints(L, "axes", QV_MAX_RANK, a, n);
  return st != QV_OK || *a != NULL ? st : ox_ints_arg(L, 1, QV_MAX_RANK, a, n);
}

qv_status ox_squeeze(ox *L) {
  qv_status st;
  ox_value *x, *y;
  const int64_t *a;
  uint32_t n, d;
  ox_shape s = {0};
  bool gone[QV_MAX_RANK] = {false};
  QV_TRY(ends(L, &x, &y));
  QV_TRY(axes_list(L, &a, &n));
  for (uint32_t i = 0; a != NULL && i < n; i++) {
    QV_TRY(norm_axis(L, x, a[i], x->shape.rank, &d));
    if (x->shape.dim[d] != 1) return OX_PARSE(L, x, "dimension %u is not 1", d);
    gone[d] = true;
  }
  for (d = 0; d < x->shape.rank; d++)
    if (!(a == NULL ? x->shape.dim[d] == 1 : gone[d])) s.dim[s.rank++] = x->shape.dim[d];
  QV_TRY(reshape_to(L, x, &s, y));
done:
  return st;
}

qv_status ox_unsqueeze(ox *L) {
  qv_status st;
  ox_value *x, *y;
  const int64_t *a;
  uint32_t n, d, from = 0;
  bool fresh[QV_MAX_RANK] = {false};
  ox_shape s = {0};
  QV_TRY(ends(L, &x, &y));
  QV_TRY(axes_list(L, &a, &n));
  s.rank = x->shape.rank + n;
  if (a == NULL || s.rank > QV_MAX_RANK) return OX_UNSUP(L, x, "the axes are missing, or the result has more than %d dimensions", QV_MAX_RANK);
  for (uint32_t i = 0; i < n; i++) {
    QV_TRY(norm_axis(L, x, a[i], s.rank, &d));
    if (fresh[d]) return OX_PARSE(L, x, "axis %u is given twice", d);
    fresh[d] = true;
  }
  for (d = 0; d < s.rank; d++) s.dim[d] = fresh[d] ? 1 : x->shape.dim[from++];
  QV_TRY(reshape_to(L, x, &s, y));
done:
  return st;
}

qv_status ox_transpose(ox *L) {
  qv_status st;
  ox_value *x, *y;
  const int64_t *perm;
  uint32_t n, seen = 0, net;
  qv_index ix = {.form = QV_IX_TRANSPOSE};
  bool cl;
  QV_TRY(ends(L, &x, &y));
  QV_TRY(ox_attr_ints(L, "perm", QV_MAX_RANK, &perm, &n));
  uint32_t r = x->shape.rank;
  ox_shape s = {.rank = r};
  if (perm != NULL && n != r) return OX_PARSE(L, x, "a permutation of %u numbers for %u dimensions", n, r);
  for (uint32_t d = 0; d < r; d++) {
    int64_t p = perm != NULL ? perm[d] : (int64_t)(r - 1 - d);
    if (p < 0 || p >= (int64_t)r || (seen >> p & 1)) return OX_PARSE(L, x, "attribute 'perm' is not a permutation");
    seen |= 1u << p;
    ix.a[d] = (int32_t)p;
    s.dim[d] = x->shape.dim[p];
  }
  bool to_last = r >= 3 && ix.a[0] == 0 && ix.a[r - 1] == 1, to_first = r >= 3 && ix.a[0] == 0 && ix.a[1] == (int32_t)r - 1;
  for (uint32_t d = 1; d + 1 < r; d++) {
    to_last = to_last && ix.a[d] == (int32_t)d + 1;
    to_first = to_first && ix.a[d + 1] == (int32_t)d;
  }
  QV_TRY(movable(L, x));
  if (x->state != OX_CONST && x->state != OX_DQ_CONST) { /* storage may already have the order asked for */
    QV_TRY(ox_net_as_is(L, x, &net, &cl));
    if ((cl && to_last) || (!cl && to_first)) {
      like(L, y, x, net, &s, !cl);
      goto done;
    }
  }
  QV_TRY(move(L, x, &ix, &s, y));
done:
  return st;
}

/* ---- parts -------------------------------------------------------------------------------------------------------------------- */

/* The integer that the float `f` stands for in x, or the integer constant itself. */
static qv_status pad_value(ox *L, const ox_value *x, const ox_value *v, int32_t *q) {
  float f = 0;
  if (x->state == OX_INT || x->state == OX_CONST) {
    if (v != NULL && (v->state != OX_CONST || v->c->i == NULL || v->c->n != 1)) return OX_UNSUP(L, v, "the padding value must be one constant of the tensor's type");
    *q = v != NULL ? v->c->i[0] : 0;
    return QV_OK;
  }
  if (v != NULL) {
    if (v->state == OX_CONST && v->c->f != NULL && v->c->n == 1) f = v->c->f[0];
    else if (v->state == OX_DQ_CONST && v->c->n == 1) f = v->qs[0] * (float)((int64_t)v->c->i[0] - v->qz[0]);
    else return OX_UNSUP(L, v, "the padding value must be one constant number");
  }
  if (x->state != OX_DQ) return OX_UNSUP(L, x, "padding behind a float operator is not supported");
  qv_itv r = onx_range(x->type);
  int64_t k = qv_onnx_quantize(f, x->s, x->z, r);
  if (x->s * (float)(k - x->z) != f) return OX_UNSUP(L, x, "the padding value %g is not a value of the quantized tensor", (double)f);
  *q = (int32_t)k;
  return QV_OK;
}

qv_status ox_pad(ox *L) {
  qv_status st;
  ox_value *x, *y, *value = NULL;
  const int64_t *p, *axes = NULL;
  uint32_t n, n_axes = 0;
  qv_index ix = {.form = QV_IX_PAD}, cut = {.form = QV_IX_SLICE};
  bool cuts = false;
  QV_TRY(ends(L, &x, &y));
  if (!ox_attr_is(L, "mode", "constant", true)) return OX_UNSUP(L, x, "padding other than with a constant is not supported");
  QV_TRY(ox_attr_ints(L, "pads", 2 * QV_MAX_RANK, &p, &n));
  if (p == NULL) {
    QV_TRY(ox_ints_arg(L, 1, 2 * QV_MAX_RANK, &p, &n));
    value = ox_opt(L, 2);
    QV_TRY(ox_ints_arg(L, 3, QV_MAX_RANK, &axes, &n_axes));
  } else {
    float f;
    QV_TRY(ox_attr_f(L, "value", 0, &f));
    if (f != 0) return OX_UNSUP(L, x, "padding with a value other than 0 in this operator set is not supported");
  }
  uint32_t r = x->shape.rank, m = axes != NULL ? n_axes : r, d;
  if (p == NULL || n != 2 * m) return OX_PARSE(L, x, "%u numbers of padding for %u dimensions", n, m);
  ox_shape s = x->shape, inner;
  for (d = 0; d < r; d++) cut.b[d] = 1;
  for (uint32_t i = 0; i < m; i++) {
    QV_TRY(norm_axis(L, x, axes != NULL ? axes[i] : (int64_t)i, r, &d));
    int64_t a = p[i], b = p[i + m], keep = (int64_t)s.dim[d] + qv_min64(a, 0) + qv_min64(b, 0);
    if (a < -(int64_t)QV_MAX_ELEMS || a > (int64_t)QV_MAX_ELEMS || b < -(int64_t)QV_MAX_ELEMS || b > (int64_t)QV_MAX_ELEMS || keep < 1)
      return OX_PARSE(L, x, "padding of %lld and %lld", (long long)a, (long long)b);
    cuts = cuts || a < 0 || b < 0;
    cut.a[d] = (int32_t)(a < 0 ? -a : 0);
    ix.a[d] = (int32_t)qv_max64(a, 0);
    ix.b[d] = (int32_t)qv_max64(b, 0);
    s.dim[d] = (uint32_t)keep;
  }
  inner = s;
  for (d = 0; d < r; d++) s.dim[d] += (uint32_t)ix.a[d] + (uint32_t)ix.b[d];
  QV_TRY(pad_value(L, x, value, &ix.value));
  ox_value part = {.name = y->name};
  if (cuts) QV_TRY(move(L, x, &cut, &inner, &part));
  QV_TRY(move(L, cuts ? &part : x, &ix, &s, y));
done:
  return st;
}

qv_status ox_slice(ox *L) {
  qv_status st;
  ox_value *x, *y;
  const int64_t *from, *to, *axes, *steps = NULL;
  uint32_t n, n2, n_axes, n_steps = 0, d;
  qv_index ix = {.form = QV_IX_SLICE};
  QV_TRY(ends(L, &x, &y));
  QV_TRY(ox_attr_ints(L, "starts", QV_MAX_RANK, &from, &n));
  if (from != NULL) { /* operator sets before 10 */
    QV_TRY(ox_attr_ints(L, "ends", QV_MAX_RANK, &to, &n2));
    QV_TRY(ox_attr_ints(L, "axes", QV_MAX_RANK, &axes, &n_axes));
  } else {
    QV_TRY(ox_ints_arg(L, 1, QV_MAX_RANK, &from, &n));
    QV_TRY(ox_ints_arg(L, 2, QV_MAX_RANK, &to, &n2));
    QV_TRY(ox_ints_arg(L, 3, QV_MAX_RANK, &axes, &n_axes));
    QV_TRY(ox_ints_arg(L, 4, QV_MAX_RANK, &steps, &n_steps));
  }
  if (from == NULL || to == NULL || n2 != n || (axes != NULL && n_axes != n) || (steps != NULL && n_steps != n) || n > x->shape.rank)
    return OX_PARSE(L, x, "starts, ends, axes and steps do not fit each other");
  ox_shape s = x->shape;
  for (d = 0; d < s.rank; d++) ix.b[d] = 1;
  for (uint32_t i = 0; i < n; i++) {
    QV_TRY(norm_axis(L, x, axes != NULL ? axes[i] : (int64_t)i, s.rank, &d));
    int64_t size = x->shape.dim[d], step = steps != NULL ? steps[i] : 1, a = from[i], b = to[i];
    if (step == 0 || step < -(int64_t)QV_MAX_ELEMS || step > (int64_t)QV_MAX_ELEMS) return OX_UNSUP(L, x, "a step of %lld", (long long)step);
    a = a < 0 ? qv_max64(a, INT64_MIN / 2) + size : a;
    b = b < 0 ? qv_max64(b, INT64_MIN / 2) + size : b;
    a = step > 0 ? qv_clamp64(a, 0, size) : qv_clamp64(a, 0, size - 1);
    b = step > 0 ? qv_clamp64(b, 0, size) : qv_clamp64(b, -1, size - 1);
    int64_t count = step > 0 ? (b - a + step - 1) / step : (a - b - step - 1) / -step;
    if (count < 1) return OX_UNSUP(L, x, "an empty slice");
    ix.a[d] = (int32_t)a;
    ix.b[d] = (int32_t)step;
    s.dim[d] = (uint32_t)count;
  }
  QV_TRY(move(L, x, &ix, &s, y));
done:
  return st;
}

qv_status ox_split(ox *L) {
  qv_status st;
  ox_value *x, *y;
  const int64_t *sizes;
  uint32_t n, d, at = 0, n_out = (uint32_t)L->op->n_output;
  int64_t axis, num;
  QV_TRY(ox_arg(L, 0, &x));
  QV_TRY(ox_attr_i(L, "axis", 0, &axis));
  QV_TRY(ox_attr_i(L, "num_outputs", n_out, &num));
  QV_TRY(norm_axis(L, x, axis, x->shape.rank, &d));
  QV_TRY(ox_attr_ints(L, "split", QV_MAX_INPUTS, &sizes, &n));
  if (sizes == NULL) QV_TRY(ox_ints_arg(L, 1, QV_MAX_INPUTS, &sizes, &n));
  if (num != (int64_t)n_out || n_out == 0 || (sizes != NULL && n != n_out)) return OX_PARSE(L, x, "the number of parts and of results differ");
  uint32_t each = (x->shape.dim[d] + n_out - 1) / n_out;
  for (uint32_t k = 0; k < n_out; k++) {
    qv_index ix = {.form = QV_IX_SLICE};
    ox_shape s = x->shape;
    int64_t size = sizes != NULL ? sizes[k] : qv_min64(each, (int64_t)x->shape.dim[d] - at);
    if (size < 1 || size > (int64_t)x->shape.dim[d] - at) return OX_UNSUP(L, x, "parts that are empty or do not fit dimension %u", d);
    for (uint32_t i = 0; i < s.rank; i++) ix.b[i] = 1;
    ix.a[d] = (int32_t)at;
    s.dim[d] = (uint32_t)size;
    QV_TRY(ox_res(L, k, &y));
    QV_TRY(move(L, x, &ix, &s, y));
    at += (uint32_t)size;
  }
  if (at != x->shape.dim[d]) return OX_PARSE(L, x, "the parts do not cover dimension %u", d);
done:
  return st;
}

qv_status ox_gather(ox *L) {
  qv_status st;
  ox_value *x, *v, *y;
  const onx_const *c;
  int64_t axis;
  uint32_t d;
  QV_TRY(ends(L, &x, &y));
  QV_TRY(ox_arg(L, 1, &v));
  QV_TRY(ox_const_of(L, v, &c));
  QV_TRY(ox_attr_i(L, "axis", 0, &axis));
  QV_TRY(norm_axis(L, x, axis, x->shape.rank, &d));
  if ((c->l == NULL && c->type != ONX_INT32) || c->n == 0 || c->rank > 1) return OX_UNSUP(L, v, "the indices must be a scalar or a list of integers");
  uint32_t *g = OX_NEW(L, c->n, uint32_t);
  if (g == NULL) return ox_nomem(L);
  for (size_t i = 0; i < c->n; i++) {
    int64_t k = c->l != NULL ? c->l[i] : c->i[i];
    k += k < 0 ? x->shape.dim[d] : 0;
    if (k < 0 || k >= (int64_t)x->shape.dim[d]) return OX_PARSE(L, v, "index %lld is out of range", (long long)k);
    g[i] = (uint32_t)k;
  }
  ox_shape s = x->shape, flat = {0};
  s.dim[d] = (uint32_t)c->n;
  const qv_index ix = {.form = QV_IX_GATHER, .axis = d, .g = g};
  if (c->rank == 1) return move(L, x, &ix, &s, y);
  ox_value part = {.name = y->name}; /* a scalar index drops the dimension */
  QV_TRY(move(L, x, &ix, &s, &part));
  for (uint32_t i = 0; i < s.rank; i++)
    if (i != d) flat.dim[flat.rank++] = s.dim[i];
  QV_TRY(reshape_to(L, &part, &flat, y));
done:
  return st;
}

qv_status ox_expand(ox *L) {
  qv_status st;
  ox_value *x, *y;
  const int64_t *v;
  uint32_t n;
  ox_shape want = {0}, s;
  QV_TRY(ends(L, &x, &y));
  QV_TRY(ox_ints_arg(L, 1, QV_MAX_RANK, &v, &n));
  if (v == NULL) return OX_PARSE(L, x, "the new shape is missing");
  want.rank = n;
  for (uint32_t d = 0; d < n; d++) {
    if (v[d] < 1 || v[d] > (int64_t)QV_MAX_ELEMS) return OX_UNSUP(L, x, "a dimension of %lld", (long long)v[d]);
    want.dim[d] = (uint32_t)v[d];
  }
  if (!ox_broadcast_shape(&x->shape, &want, &s)) return OX_PARSE(L, x, "the shapes do not broadcast");
  QV_TRY(move(L, x, &(qv_index){.form = QV_IX_BROADCAST}, &s, y));
done:
  return st;
}

/* ---- joining -------------------------------------------------------------------------------------------------------------------- */

/* Constants of one type: a constant. */
static qv_status concat_const(ox *L, ox_value *const *x, uint32_t n, uint32_t axis, const ox_shape *s, ox_value *y) {
  onx_const r = {.type = x[0]->type, .rank = s->rank, .n = 1};
  size_t outer = 1, at = 0;
  for (uint32_t d = 0; d < s->rank; d++) {
    r.dim[d] = s->dim[d];
    if (!qv_mulz(&r.n, r.n, s->dim[d]) || r.n > QV_MAX_ELEMS) return OX_PARSE(L, y, "the result is too large");
    if (d < axis) outer *= s->dim[d];
  }
  const onx_const *c0 = x[0]->c;
  int32_t *i = c0->i != NULL ? OX_NEW(L, r.n, int32_t) : NULL;
  int64_t *l = c0->l != NULL ? OX_NEW(L, r.n, int64_t) : NULL;
  float *f = c0->f != NULL ? OX_NEW(L, r.n, float) : NULL;
  if (i == NULL && l == NULL && f == NULL) return ox_nomem(L);
  for (size_t o = 0; o < outer; o++)
    for (uint32_t k = 0; k < n; k++) {
      const onx_const *c = x[k]->c;
      size_t run = c->n / outer;
      if (i != NULL) memcpy(i + at, c->i + o * run, run * sizeof *i);
      if (l != NULL) memcpy(l + at, c->l + o * run, run * sizeof *l);
      if (f != NULL) memcpy(f + at, c->f + o * run, run * sizeof *f);
      at += run;
    }
  r.i = i;
  r.l = l;
  r.f = f;
  return ox_set_const(L, y, &r);
}

static qv_status concat_shape(ox *L, ox_value *const *x, uint32_t n, int64_t axis, uint32_t *d, ox_shape *s) {
  qv_status st;
  QV_TRY(norm_axis(L, x[0], axis, x[0]->shape.rank, d));
  *s = x[0]->shape;
  uint64_t sum = 0;
  for (uint32_t k = 0; k < n; k++) {
    const ox_shape *t = &x[k]->shape;
    for (uint32_t i = 0; i < s->rank; i++)
      if (t->rank != s->rank || (i != *d && t->dim[i] != s->dim[i])) return OX_PARSE(L, x[k], "the operands' shapes do not fit");
    sum += t->dim[*d];
  }
  if (sum > QV_MAX_ELEMS) return OX_PARSE(L, x[0], "the result is too large");
  s->dim[*d] = (uint32_t)sum;
done:
  return st;
}

/* Integers joined; channels last if all are. */
static qv_status concat_int(ox *L, ox_value *const *x, uint32_t n, uint32_t axis, const ox_shape *s, ox_value *y) {
  qv_status st;
  uint32_t *in = QV_NEW(&L->tmp, n, uint32_t), net;
  bool cl = true;
  size_t total;
  if (in == NULL) return ox_nomem(L);
  if (!ox_count(s, &total)) return OX_UNSUP(L, y, "the result is empty or too large");
  for (uint32_t k = 0; k < n; k++) cl = cl && x[k]->cl;
  for (uint32_t k = 0; k < n; k++) QV_TRY(ox_net_of(L, x[k], cl, &in[k]));
  ox_shape stored = ox_stored_shape(s, cl);
  uint32_t at = !cl || axis == 0 ? axis : axis == 1 ? s->rank - 1 : axis - 1;
  QV_TRY(ox_add_tensor(L, y, "", L->net->tensor[in[0]].type, &stored, &net));
  if (L->net->tensor[in[0]].has_q) ox_tag(L, net, L->net->tensor[in[0]].scale, L->net->tensor[in[0]].zp);
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_CONCAT, .axis = at}}, in, n, net));
  like(L, y, x[0], net, s, cl);
done:
  return st;
}

static qv_status pend_concat(ox *L, ox_value *const *x, uint32_t n, uint32_t axis, const ox_shape *s, ox_value *y) {
  ox_value **copy = QV_NEW(&L->tmp, n, ox_value *);
  if (copy == NULL) return ox_nomem(L);
  memcpy(copy, x, n * sizeof *copy);
  const ox_pending p = {.kind = OX_P_CONCAT, .part = copy, .n_part = n, .axis = axis, .exact_f32 = true};
  return ox_set_pending(L, y, &p, QV_NONE, false, s);
}

/* A dequantized constant as if it came from the net. */
static qv_status as_dq(ox *L, ox_value *x) {
  uint32_t net;
  bool cl;
  if (x->state != OX_DQ_CONST || x->n_q != 1) return QV_OK;
  qv_status st = ox_net_as_is(L, x, &net, &cl);
  if (st == QV_OK) x->state = OX_DQ;
  return st;
}

qv_status ox_concat(ox *L) {
  qv_status st;
  ox_value *y;
  uint32_t n = (uint32_t)L->op->n_input, d;
  ox_value **x = QV_NEW(&L->tmp, n, ox_value *);
  const Onnx__AttributeProto *a = ox_attr(L, "axis");
  ox_shape s;
  bool consts = true, ints = true, floats = true, same = true;
  if (x == NULL) return ox_nomem(L);
  if (n == 0) return OX_PARSE(L, NULL, "no operands");
  QV_TRY(ox_res(L, 0, &y));
  for (uint32_t k = 0; k < n; k++) QV_TRY(ox_arg(L, k, &x[k]));
  QV_TRY(concat_shape(L, x, n, a != NULL && a->has_i ? a->i : 1, &d, &s));
  for (uint32_t k = 0; k < n; k++) consts = consts && x[k]->state == OX_CONST && x[k]->type == x[0]->type;
  if (consts) return concat_const(L, x, n, d, &s, y);
  for (uint32_t k = 0; k < n; k++) {
    QV_TRY(as_dq(L, x[k]));
    QV_TRY(movable(L, x[k]));
    ints = ints && (x[k]->state == OX_INT || x[k]->state == OX_CONST) && x[k]->type == x[0]->type;
    floats = floats && x[k]->state == OX_DQ;
    same = same && x[k]->s == x[0]->s && x[k]->z == x[0]->z && x[k]->type == x[0]->type;
  }
  for (uint32_t k = 1; k < n && ints && x[0]->state == OX_CONST; k++) /* `like` copies from the first */
    if (x[k]->state == OX_INT) return OX_UNSUP(L, x[0], "a constant as the first of several joined tensors is not supported");
  if (ints || (floats && same)) return concat_int(L, x, n, d, &s, y);
  if (!floats) return OX_UNSUP(L, y, "joined operands must be integers, or each behind a DequantizeLinear");
  QV_TRY(pend_concat(L, x, n, d, &s, y));
done:
  return st;
}

/* Y_scale, Y_zp, then tensor, scale and zero point of each operand. */
qv_status ox_qlinear_concat(ox *L) {
  qv_status st;
  ox_value *y, r = {.name = ""};
  uint32_t n = L->op->n_input < 2 ? 0 : (uint32_t)(L->op->n_input - 2) / 3, d;
  ox_value *part = QV_NEW(&L->tmp, n, ox_value), **x = QV_NEW(&L->tmp, n, ox_value *);
  ox_quant qy, q;
  int64_t axis;
  ox_shape s;
  if (part == NULL || x == NULL) return ox_nomem(L);
  if (n == 0 || L->op->n_input != 2 + 3 * n) return OX_PARSE(L, NULL, "%zu operands", L->op->n_input);
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(ox_attr_i(L, "axis", 0, &axis));
  QV_TRY(ox_one_quant(L, 0, ONX_UINT8, &qy));
  for (uint32_t k = 0; k < n; k++) {
    QV_TRY(ox_arg(L, 2 + 3 * k, &x[k]));
    QV_TRY(ox_one_quant(L, 3 + 3 * k, x[k]->type, &q));
    if (q.type != x[k]->type) return OX_PARSE(L, x[k], "the zero point is %s", onx_type_name(q.type));
    if (x[k]->type != ONX_INT8 && x[k]->type != ONX_UINT8) return OX_UNSUP(L, x[k], "operands of this type are not supported; supported: INT8, UINT8");
    uint32_t net;
    bool cl;
    QV_TRY(ox_net_as_is(L, x[k], &net, &cl));
    part[k] = (ox_value){.name = x[k]->name};
    ox_set_dq(&part[k], x[k], q.s[0], q.z[0]);
    x[k] = &part[k];
  }
  QV_TRY(concat_shape(L, x, n, axis, &d, &s));
  r.name = y->name;
  QV_TRY(pend_concat(L, x, n, d, &s, &r));
  QV_TRY(ox_quantize(L, &r, qy.s[0], qy.z[0], qy.type, y));
done:
  return st;
}

/* ---- resize ----------------------------------------------------------------------------------------------------------------------- */

/* Source row of output row o: nearest, asymmetric, floor, with a whole factor; other rules are refused. */
static qv_status resize_axis(ox *L, ox_value *x, uint32_t d, uint32_t out, const char *name, ox_value *y) {
  ox_shape s = x->shape;
  uint32_t in = s.dim[d];
  uint32_t *g = OX_NEW(L, out, uint32_t);
  if (g == NULL) return ox_nomem(L);
  for (uint32_t o = 0; o < out; o++) g[o] = (uint32_t)((uint64_t)o * in / out);
  s.dim[d] = out;
  y->name = name;
  return move(L, x, &(qv_index){.form = QV_IX_GATHER, .axis = d, .g = g}, &s, y);
}

qv_status ox_resize(ox *L) {
  qv_status st;
  ox_value *x, *y, *v;
  bool upsample = ox_is_op(L->op, "Upsample");
  const onx_const *c = NULL;
  const int64_t *sizes = NULL;
  uint32_t n = 0;
  QV_TRY(ends(L, &x, &y));
  if (!ox_attr_is(L, "mode", "nearest", true)) return OX_UNSUP(L, x, "interpolation other than nearest is not supported");
  bool asymmetric = ox_attr_is(L, "coordinate_transformation_mode", "asymmetric", upsample || L->m->opset < 11);
  bool half = ox_attr_is(L, "coordinate_transformation_mode", "half_pixel", !upsample && L->m->opset >= 11);
  bool lower = ox_attr_is(L, "nearest_mode", "floor", upsample || L->m->opset < 11), prefer = ox_attr_is(L, "nearest_mode", "round_prefer_floor", true);
  (void)ox_attr(L, "cubic_coeff_a"); /* not for nearest */
  (void)ox_attr(L, "extrapolation_value");
  (void)ox_attr(L, "exclude_outside");
  v = ox_opt(L, upsample || L->m->opset < 11 ? 1 : 2);
  if (v != NULL && v->state == OX_CONST && v->c->n > 0) QV_TRY(ox_const_of(L, v, &c));
  if (c == NULL && !upsample) QV_TRY(ox_ints_arg(L, 3, QV_MAX_RANK, &sizes, &n));
  if ((c == NULL || c->f == NULL || c->n != x->shape.rank) && (sizes == NULL || n != x->shape.rank))
    return OX_UNSUP(L, x, "constant scales or sizes, one per dimension, are needed");
  ox_value cur = *x;
  for (uint32_t d = 0; d < x->shape.rank; d++) {
    uint32_t in = x->shape.dim[d];
    double out = sizes != NULL ? (double)sizes[d] : (double)c->f[d] * in;
    if (!(out >= 1 && out <= (double)QV_MAX_ELEMS)) return OX_UNSUP(L, x, "a size of %g", out);
    uint32_t want = (uint32_t)out;
    if (want == in) continue;
    /* With a whole factor k, asymmetric+floor and half_pixel+round_prefer_floor both read row floor(o/k): (o + 1/2)/k - 1/2 is
     * within (-1/2, 1/2) of it, never at +1/2. */
    if (want % in != 0 || (double)want != out || !((asymmetric && lower) || (half && prefer)))
      return OX_UNSUP(L, x, "resizing other than by a whole factor with asymmetric+floor or half_pixel+round_prefer_floor is not supported");
    ox_value next = {.name = y->name};
    QV_TRY(resize_axis(L, &cur, d, want, y->name, &next));
    cur = next;
  }
  like(L, y, &cur, cur.net, &cur.shape, cur.cl);
done:
  return st;
}

/* ---- constants and names ------------------------------------------------------------------------------------------------------ */

qv_status ox_identity(ox *L) {
  qv_status st;
  ox_value *x, *y;
  QV_TRY(ends(L, &x, &y));
  if (ox_is_op(L->op, "Dropout")) { /* inference: operand 0 unchanged */
    ox_value *training = ox_opt(L, 2);
    (void)ox_attr(L, "ratio");
    (void)ox_attr(L, "seed");
    if (training != NULL && !(training->state == OX_CONST && training->c->i != NULL && training->c->n == 1 && training->c->i[0] == 0))
      return OX_UNSUP(L, training, "Dropout in training mode is not supported");
  }
  like(L, y, x, x->net, &x->shape, x->cl);
done:
  return st;
}

qv_status ox_constant(ox *L) {
  qv_status st;
  ox_value *y;
  onx_const c;
  const char *why = "";
  const Onnx__AttributeProto *a;
  QV_TRY(ox_res(L, 0, &y));
  if ((a = ox_attr(L, "value")) != NULL && a->t != NULL) {
    y->type = a->t->data_type;
    if ((st = onx_const_read_in(&c, L->m, a->t, &L->net->arena, &why)) != QV_OK) return st == QV_E_NOMEM ? ox_nomem(L) : ox_fail(L, st, y, "%s", why);
    return ox_set_const(L, y, &c);
  }
  const bool f1 = (a = ox_attr(L, "value_float")) != NULL, i1 = !f1 && (a = ox_attr(L, "value_int")) != NULL;
  const bool fn = !f1 && !i1 && (a = ox_attr(L, "value_floats")) != NULL, in = !f1 && !i1 && !fn && (a = ox_attr(L, "value_ints")) != NULL;
  if (a == NULL) return OX_UNSUP(L, y, "this kind of constant is not supported");
  c = (onx_const){.type = f1 || fn ? ONX_FLOAT : ONX_INT64, .rank = fn || in ? 1 : 0, .n = fn ? a->n_floats : in ? a->n_ints : 1};
  if (c.n > QV_MAX_ELEMS) return OX_PARSE(L, y, "the constant is too large");
  c.dim[0] = (uint32_t)c.n;
  float *f = OX_NEW(L, c.n, float);
  int64_t *l = OX_NEW(L, c.n, int64_t);
  if (f == NULL || l == NULL) return ox_nomem(L);
  for (size_t k = 0; k < c.n; k++) {
    f[k] = fn ? a->floats[k] : a->f;
    l[k] = in ? a->ints[k] : a->i;
  }
  if (f1 || fn) c.f = f;
  else c.l = l;
  QV_TRY(ox_set_const(L, y, &c));
done:
  return st;
}

qv_status ox_constant_of_shape(ox *L) {
  qv_status st;
  ox_value *y;
  const int64_t *v;
  uint32_t n;
  onx_const one = {.type = ONX_FLOAT, .n = 1}, c;
  const char *why = "";
  static const float zero = 0;
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(ox_ints_arg(L, 0, QV_MAX_RANK, &v, &n));
  if (v == NULL) return OX_PARSE(L, y, "the shape is missing");
  const Onnx__AttributeProto *a = ox_attr(L, "value");
  one.f = &zero;
  if (a != NULL && a->t != NULL && (st = onx_const_read_in(&one, L->m, a->t, &L->tmp, &why)) != QV_OK) return st == QV_E_NOMEM ? ox_nomem(L) : ox_fail(L, st, y, "%s", why);
  if (one.n != 1) return OX_PARSE(L, y, "the value must be one number");
  c = (onx_const){.type = one.type, .rank = n, .n = 1};
  for (uint32_t d = 0; d < n; d++) {
    if (v[d] < 0 || v[d] > (int64_t)QV_MAX_ELEMS || !qv_mulz(&c.n, c.n, (size_t)v[d]) || c.n > QV_MAX_ELEMS) return OX_PARSE(L, y, "a dimension of %lld", (long long)v[d]);
    c.dim[d] = (uint32_t)v[d];
  }
  int32_t *i = one.i != NULL ? OX_NEW(L, c.n, int32_t) : NULL;
  int64_t *l = one.l != NULL ? OX_NEW(L, c.n, int64_t) : NULL;
  float *f = one.f != NULL ? OX_NEW(L, c.n, float) : NULL;
  if (i == NULL && l == NULL && f == NULL) return ox_nomem(L);
  for (size_t e = 0; e < c.n; e++) {
    if (i != NULL) i[e] = one.i[0];
    if (l != NULL) l[e] = one.l[0];
    if (f != NULL) f[e] = one.f[0];
  }
  c.i = i;
  c.l = l;
  c.f = f;
  QV_TRY(ox_set_const(L, y, &c));
done:
  return st;
}

qv_status ox_shape_op(ox *L) {
  qv_status st;
  ox_value *x, *y;
  int64_t start, end;
  QV_TRY(ends(L, &x, &y));
  int64_t r = x->shape.rank;
  QV_TRY(ox_attr_i(L, "start", 0, &start));
  QV_TRY(ox_attr_i(L, "end", r, &end));
  start = qv_clamp64(start < 0 ? qv_max64(start, -r) + r : start, 0, r);
  end = qv_clamp64(end < 0 ? qv_max64(end, -r) + r : end, start, r);
  onx_const c = {.type = ONX_INT64, .rank = 1, .dim = {(uint32_t)(end - start)}, .n = (size_t)(end - start)};
  int64_t *l = OX_NEW(L, c.n, int64_t);
  if (l == NULL) return ox_nomem(L);
  for (size_t k = 0; k < c.n; k++) l[k] = x->shape.dim[start + (int64_t)k];
  c.l = l;
  QV_TRY(ox_set_const(L, y, &c));
done:
  return st;
}

/* Of constants between INT32 and INT64; of anything to its own type. */
qv_status ox_cast(ox *L) {
  qv_status st;
  ox_value *x, *y;
  int64_t to;
  QV_TRY(ends(L, &x, &y));
  QV_TRY(ox_attr_i(L, "to", 0, &to));
  (void)ox_attr(L, "saturate"); /* float8 only */
  if (to == x->type && (x->state == OX_INT || x->state == OX_CONST)) {
    like(L, y, x, x->net, &x->shape, x->cl);
    goto done;
  }
  if (x->state != OX_CONST || x->c->f != NULL || (to != ONX_INT32 && to != ONX_INT64) || x->c->type == ONX_BOOL)
    return OX_UNSUP(L, x, "conversion to %s is not supported", to >= 0 && to < 64 ? onx_type_name((int32_t)to) : "?");
  onx_const c = *x->c;
  int64_t *l = OX_NEW(L, c.n, int64_t);
  int32_t *i = OX_NEW(L, c.n, int32_t);
  if (l == NULL || i == NULL) return ox_nomem(L);
  for (size_t k = 0; k < c.n; k++) {
    l[k] = x->c->l != NULL ? x->c->l[k] : x->c->i[k];
    if (to == ONX_INT32 && (l[k] < INT32_MIN || l[k] > INT32_MAX)) return OX_UNSUP(L, x, "a value does not fit INT32");
    i[k] = (int32_t)l[k];
  }
  c.type = (int32_t)to;
  c.l = to == ONX_INT64 ? l : NULL;
  c.i = to == ONX_INT32 ? i : NULL;
  QV_TRY(ox_set_const(L, y, &c));
done:
  return st;
}
