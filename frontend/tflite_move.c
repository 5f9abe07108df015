/* Operators that only move data: INDEX nodes; on constant shapes they are folded; on float ends they pass through.
 * Here: the common parts, RESHAPE, SQUEEZE, EXPAND_DIMS, TRANSPOSE, PAD, CONCATENATION, SPLIT. */
#include "frontend/tflite_move.h"

#include <math.h>
#include <string.h>

/* ---- operands and results: an integer tensor, or the integers behind a float output -------------------------------------- */

qv_status tl_move_operand(tl *L, int32_t x, uint32_t *net) {
  const tl_value *v = tl_val(L, x);
  if (v->state == TL_FLOAT_OUT) {
    if (v->tail != NULL) return TL_UNSUP(L, x, "data movement after a float %s is not supported", v->tail);
    *net = v->net;
    return QV_OK;
  }
  qv_status st = tl_want_int(L, x, true);
  return st == QV_OK ? tl_net_of(L, x, net) : st;
}

/* Record `net`, which operand x was turned into, as result y. */
qv_status tl_move_result(tl *L, int32_t x, int32_t y, uint32_t net) {
  if (tl_tensor(L, x)->type != tl_tensor(L, y)->type) return TL_PARSE(L, y, "input and result differ in type");
  tl_set_net(L, y, net);
  if (tl_val(L, x)->state == TL_FLOAT_OUT) {
    tl_val(L, y)->state = TL_FLOAT_OUT;
    tl_val(L, y)->tail = NULL;
  }
  return QV_OK;
}

/* Tensor for the last node of result y: named after y. */
qv_status tl_move_tensor(tl *L, int32_t y, uint32_t like, const tl_shape *s, uint32_t *net) {
  if (tfl_is_float(tl_tensor(L, y)->type)) return tl_add_like(L, y, "", like, s, net);
  return tl_add_tensor(L, y, s, net);
}

/* One INDEX node from x to y; the file must agree with the computed shape, which is used. */
qv_status tl_move(tl *L, int32_t x, int32_t y, const qv_index *ix, const tl_shape *computed) {
  qv_status st;
  uint32_t in, out;
  tl_shape file;
  QV_TRY(tl_move_operand(L, x, &in));
  QV_TRY(tl_out_shape(L, y, computed, &file));
  QV_TRY(tl_move_tensor(L, y, in, computed, &out));
  QV_TRY(tl_add_node(L, &(qv_node){.kind = QV_INDEX, .u.index = *ix}, in, out));
  QV_TRY(tl_move_result(L, x, y, out));
done:
  return st;
}

/* ---- RESHAPE, SQUEEZE, EXPAND_DIMS -------------------------------------------------------------------------------------------- */

static qv_status reshape_to(tl *L, int32_t x, int32_t y, const tl_shape *s) {
  if (tl_folds(L, x)) return tl_fold_same(L, x, y, s);
  if (tl_val(L, x)->state == TL_FLOAT_IN) { /* before QUANTIZE, which works element by element */
    *tl_val(L, y) = *tl_val(L, x);
    tl_val(L, y)->rank = s->rank;
    memcpy(tl_val(L, y)->dim, s->dim, sizeof s->dim);
    return QV_OK;
  }
  return tl_move(L, x, y, &(qv_index){.form = QV_IX_RESHAPE}, s);
}

/* New shape: second operand, else the option, else the result's own shape in the file. */
static qv_status wanted_shape(tl *L, int32_t y, tl_shape *s, int64_t v[QV_MAX_RANK], bool *given) {
  qv_status st = QV_OK;
  uint32_t n = 0;
  const int64_t *p;
  int32_t t = tfl_in(L->m, L->op, 1);
  qv_fb_vec o = L->op->opt_type == 17 ? qv_fb_vector(&L->m->fb, &L->op->opt, 0, 4) : (qv_fb_vec){0}; /* ReshapeOptions */
  QV_TRY(tl_opts_ok(L));
  *given = true;
  if (t >= 0) {
    QV_TRY(tl_ints(L, t, QV_MAX_RANK, &p, &n));
    memcpy(v, p, n * sizeof *v);
  } else if (o.n > 0) {
    if (o.n > QV_MAX_RANK) return TL_UNSUP(L, y, "a shape of %u dimensions; at most %d are supported", o.n, QV_MAX_RANK);
    for (n = 0; n < o.n; n++) v[n] = qv_fb_at_i32(&L->m->fb, &o, n);
  } else {
    *given = false;
    *s = tl_shape_of(L, y);
  }
  if (*given) s->rank = n;
done:
  return st;
}

qv_status tl_reshape(tl *L) {
  qv_status st;
  int32_t x, y;
  tl_shape s = {0};
  int64_t v[QV_MAX_RANK] = {0};
  bool given;
  size_t n, have = 1;
  QV_TRY(tl_arg(L, 0, &x));
  QV_TRY(tl_res(L, 0, &y));
  QV_TRY(wanted_shape(L, y, &s, v, &given));
  tl_shape in = tl_shape_of(L, x);
  if (!tl_count(&in, &n)) return TL_PARSE(L, x, "the input is empty or too large");
  if (given) {
    uint32_t open = QV_NONE;
    for (uint32_t d = 0; d < s.rank; d++) {
      if (v[d] == -1 && open == QV_NONE) open = d;
      else if (v[d] < 1 || v[d] > (int64_t)QV_MAX_ELEMS || !qv_mulz(&have, have, (size_t)v[d]))
        return TL_PARSE(L, y, "dimension %lld of the new shape is not possible", (long long)v[d]);
      else s.dim[d] = (uint32_t)v[d];
    }
    if (open != QV_NONE) {
      if (n % have != 0) return TL_PARSE(L, y, "%zu elements do not fit the new shape", n);
      s.dim[open] = (uint32_t)(n / have);
    }
  }
  if (!tl_count(&s, &have) || have != n) return TL_PARSE(L, y, "the new shape has %zu elements, the input %zu", have, n);
  tl_shape file = tl_shape_of(L, y);
  size_t nf;
  if (tl_tensor(L, y)->rank > 0 && tl_count(&file, &nf) && nf == n) s = file; /* what later operators were made for */
  else if (tl_tensor(L, y)->rank > 0) QV_TRY(tl_out_shape(L, y, &s, &file));
  QV_TRY(reshape_to(L, x, y, &s));
done:
  return st;
}

qv_status tl_squeeze(tl *L) {
  qv_status st;
  int32_t x, y;
  bool drop[QV_MAX_RANK] = {0};
  QV_TRY(tl_arg(L, 0, &x));
  QV_TRY(tl_res(L, 0, &y));
  tl_shape in = tl_shape_of(L, x), s = {0};
  qv_fb_vec dims = qv_fb_vector(&L->m->fb, &L->op->opt, 0, 4);
  QV_TRY(tl_opts_ok(L));
  for (uint32_t i = 0; i < dims.n; i++) {
    int64_t d = qv_fb_at_i32(&L->m->fb, &dims, i);
    if (d < 0) d += in.rank;
    if (d < 0 || d >= (int64_t)in.rank || in.dim[d] != 1) return TL_PARSE(L, x, "dimension %lld cannot be squeezed", (long long)d);
    drop[d] = true;
  }
  for (uint32_t d = 0; d < in.rank; d++)
    if (dims.n == 0 ? in.dim[d] != 1 : !drop[d]) s.dim[s.rank++] = in.dim[d];
  QV_TRY(reshape_to(L, x, y, &s));
done:
  return st;
}

qv_status tl_expand_dims(tl *L) {
  qv_status st;
  int32_t x, axis, y;
  const int64_t *a;
  uint32_t n;
  QV_TRY(tl_arg(L, 0, &x));
  QV_TRY(tl_arg(L, 1, &axis));
  QV_TRY(tl_res(L, 0, &y));
  QV_TRY(tl_ints(L, axis, 1, &a, &n));
  tl_shape in = tl_shape_of(L, x), s = {0};
  int64_t at = n == 1 && a[0] < 0 ? a[0] + in.rank + 1 : n == 1 ? a[0] : -1;
  if (at < 0 || at > (int64_t)in.rank || in.rank >= QV_MAX_RANK) return TL_PARSE(L, axis, "the axis does not exist");
  for (uint32_t d = 0; d <= in.rank; d++) {
    if ((int64_t)d == at) s.dim[s.rank++] = 1;
    if (d < in.rank) s.dim[s.rank++] = in.dim[d];
  }
  QV_TRY(reshape_to(L, x, y, &s));
done:
  return st;
}

/* ---- TRANSPOSE, PAD ---------------------------------------------------------------------------------------------------------- */

qv_status tl_transpose(tl *L) {
  qv_status st;
  int32_t x, perm, y;
  const int64_t *p;
  uint32_t n, seen = 0;
  QV_TRY(tl_arg(L, 0, &x));
  QV_TRY(tl_arg(L, 1, &perm));
  QV_TRY(tl_res(L, 0, &y));
  QV_TRY(tl_ints(L, perm, QV_MAX_RANK, &p, &n));
  tl_shape in = tl_shape_of(L, x), s = {.rank = in.rank};
  qv_index ix = {.form = QV_IX_TRANSPOSE};
  if (n != in.rank) return TL_PARSE(L, perm, "the permutation has %u numbers for %u dimensions", n, in.rank);
  for (uint32_t d = 0; d < n; d++) {
    int64_t a = p[d] < 0 ? p[d] + n : p[d];
    if (a < 0 || a >= (int64_t)n || (seen >> a & 1)) return TL_PARSE(L, perm, "not a permutation");
    seen |= 1u << a;
    ix.a[d] = (int32_t)a;
    s.dim[d] = in.dim[a];
  }
  QV_TRY(tl_move(L, x, y, &ix, &s));
done:
  return st;
}

/* PAD fills with the zero point, PADV2 with its third operand as stored. */
static qv_status pad_value(tl *L, int32_t x, int32_t y, int32_t *value) {
  qv_status st;
  tl_quant qx, qy;
  QV_TRY(tl_quant_of(L, x, &qx));
  QV_TRY(tl_quant_of(L, y, &qy));
  if (qx.s != qy.s || qx.z != qy.z) return TL_UNSUP(L, y, "padding between different scales or zero points; the kernels do not rescale");
  *value = qy.z;
  if (L->op->code == TFL_PADV2) {
    int32_t t;
    const int32_t *v;
    size_t n;
    QV_TRY(tl_arg(L, 2, &t));
    if (tl_tensor(L, t)->type != tl_tensor(L, x)->type) return TL_UNSUP(L, t, "the value differs in type from the input");
    if (!tl_is_const(L, t)) return TL_UNSUP(L, t, "the padding value must be constant");
    QV_TRY(tl_elements(L, t, &v, &n));
    if (n != 1) return TL_PARSE(L, t, "%zu padding values, expected one", n);
    *value = v[0];
  }
done:
  return st;
}

qv_status tl_pad(tl *L) {
  qv_status st;
  int32_t x, pads, y;
  const int64_t *p;
  uint32_t n;
  qv_index ix = {.form = QV_IX_PAD};
  QV_TRY(tl_arg(L, 0, &x));
  QV_TRY(tl_arg(L, 1, &pads));
  QV_TRY(tl_res(L, 0, &y));
  QV_TRY(tl_ints(L, pads, 2 * QV_MAX_RANK, &p, &n));
  tl_shape in = tl_shape_of(L, x), s = {.rank = in.rank};
  if (n != 2 * in.rank) return TL_PARSE(L, pads, "%u paddings for %u dimensions", n, in.rank);
  for (uint32_t d = 0; d < in.rank; d++) {
    if (p[2 * d] < 0 || p[2 * d + 1] < 0 || p[2 * d] > (int64_t)QV_MAX_ELEMS || p[2 * d + 1] > (int64_t)QV_MAX_ELEMS)
      return TL_PARSE(L, pads, "a padding is negative or too large");
    ix.a[d] = (int32_t)p[2 * d];
    ix.b[d] = (int32_t)p[2 * d + 1];
    s.dim[d] = (uint32_t)qv_min64((int64_t)in.dim[d] + p[2 * d] + p[2 * d + 1], UINT32_MAX);
  }
  if (tl_val(L, x)->state == TL_FLOAT_OUT || tl_val(L, x)->state == TL_FLOAT_IN) QV_TRY(tl_want_int(L, x, false));
  QV_TRY(pad_value(L, x, y, &ix.value));
  QV_TRY(tl_move(L, x, y, &ix, &s));
done:
  return st;
}

/* ---- CONCATENATION, SPLIT ------------------------------------------------------------------------------------------------------ */

/* uint8 with another scale: f32(f32(x*S) + B) rounded away, S = f32(s_i * f32(1/s_y)), B = f32(-z_i*S). */
static qv_status concat_rescale(tl *L, int32_t x, int32_t y, tl_quant qx, tl_quant qy, uint32_t k, uint32_t *net) {
  qv_status st;
  uint32_t in;
  int32_t *t = TL_NEW(L, 256, int32_t);
  if (t == NULL) return tl_nomem(L);
  float S = qx.s * (1.0f / qy.s), B = (float)-qx.z * S;
  for (int i = 0; i < 256; i++) {
    float p = (float)i * S;
    float v = roundf(p + B);
    if (!(fabsf(v) < 0x1p30f)) return TL_UNSUP(L, x, "the rescaling factor is too large");
    t[i] = (int32_t)qv_clamp64((int64_t)v + qy.z, 0, 255);
  }
  char *name = qv_arena_printf(&L->tmp, "/scaled%u", k);
  if (name == NULL) return tl_nomem(L);
  tl_shape s = tl_shape_of(L, x);
  QV_TRY(tl_net_of(L, x, &in));
  QV_TRY(tl_add_temp(L, y, name, QV_U8, &s, net));
  QV_TRY(tl_add_node(L, &(qv_node){.kind = QV_TABLE, .u.table = {.n = 256, .t = t}}, in, *net));
done:
  return st;
}

static qv_status concat_part(tl *L, int32_t x, int32_t y, uint32_t k, uint32_t *net) {
  qv_status st;
  tl_quant qx, qy;
  int type = tl_tensor(L, x)->type;
  if (type != tl_tensor(L, y)->type) return TL_PARSE(L, x, "operand and result differ in type");
  if (type == TFL_INT8 || type == TFL_UINT8) {
    QV_TRY(tl_quant_of(L, x, &qx));
    QV_TRY(tl_quant_of(L, y, &qy));
    if (qx.s != qy.s || qx.z != qy.z) {
      if (type == TFL_UINT8 && L->prof->concat_rescales) return concat_rescale(L, x, y, qx, qy, k, net);
      return TL_UNSUP(
          L, x, "scale or zero point differ from the result's: the runtime of profile %s refuses this (or its arithmetic is not known)",
          L->prof->name);
    }
  }
  QV_TRY(tl_want_int(L, x, true));
  QV_TRY(tl_move_operand(L, x, net)); /* int16 and int32 are copied as they are */
done:
  return st;
}

static qv_status fold_concat(tl *L, int32_t y) {
  qv_status st;
  int64_t v[TL_MAX_FOLD];
  uint32_t total = 0;
  for (uint32_t k = 0; k < L->op->in.n; k++) {
    const int64_t *p;
    uint32_t n;
    int32_t x;
    QV_TRY(tl_arg(L, k, &x));
    if (!tl_folds(L, x) || tl_shape_of(L, x).rank != 1) return TL_UNSUP(L, x, "this shape computation is not supported");
    QV_TRY(tl_ints(L, x, TL_MAX_FOLD - total, &p, &n));
    memcpy(v + total, p, n * sizeof *v);
    total += n;
  }
  tl_shape s = {.rank = 1, .dim = {total}};
  QV_TRY(tl_fold(L, y, v, &s));
done:
  return st;
}

qv_status tl_concat(tl *L) {
  qv_status st;
  int32_t x, y;
  uint32_t n = L->op->in.n, out;
  QV_TRY(tl_arg(L, 0, &x));
  QV_TRY(tl_res(L, 0, &y));
  int64_t axis = tl_opt_i32(L, 0, 0);
  int act = tl_opt_i8(L, 1, 0);
  QV_TRY(tl_opts_ok(L));
  if (tl_folds(L, x)) return fold_concat(L, y);
  if (act != 0) return TL_UNSUP(L, y, "CONCATENATION with a fused activation");
  if (n > QV_MAX_INPUTS) return TL_UNSUP(L, y, "%u operands; at most %d are supported", n, QV_MAX_INPUTS);
  tl_shape s = tl_shape_of(L, x), file;
  if (axis < 0) axis += s.rank;
  if (axis < 0 || axis >= (int64_t)s.rank) return TL_PARSE(L, y, "the axis does not exist");
  uint32_t *in = QV_NEW(&L->tmp, n, uint32_t);
  if (in == NULL) return tl_nomem(L);
  s.dim[axis] = 0;
  for (uint32_t k = 0; k < n; k++) {
    QV_TRY(tl_arg(L, k, &x));
    tl_shape p = tl_shape_of(L, x), q = p;
    if (p.rank != s.rank) return TL_PARSE(L, x, "the operands differ in rank");
    q.dim[axis] = s.dim[axis];
    if (!tl_same_shape(&q, &s)) return TL_PARSE(L, x, "the operands differ in a dimension other than the axis");
    if (p.dim[axis] > QV_MAX_ELEMS || (s.dim[axis] += p.dim[axis]) > QV_MAX_ELEMS) return TL_PARSE(L, x, "the result is too large");
    QV_TRY(concat_part(L, x, y, k, &in[k]));
  }
  QV_TRY(tl_out_shape(L, y, &s, &file));
  QV_TRY(tl_move_tensor(L, y, in[0], &s, &out));
  QV_TRY(tl_add_node_n(L, &(qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_CONCAT, .axis = (uint32_t)axis}}, in, n, out));
  QV_TRY(tl_move_result(L, x, y, out));
done:
  return st;
}

/* Results 0..n-1 of sizes size[k] along the axis. */
static qv_status split_into(tl *L, int32_t x, int64_t axis, const int64_t *size) {
  qv_status st = QV_OK;
  tl_shape in = tl_shape_of(L, x);
  int64_t at = 0;
  for (uint32_t k = 0; k < L->op->out.n; k++) {
    int32_t y;
    qv_index ix = {.form = QV_IX_SLICE};
    tl_shape s = in;
    QV_TRY(tl_res(L, k, &y));
    for (uint32_t d = 0; d < in.rank; d++) ix.b[d] = 1;
    ix.a[axis] = (int32_t)at;
    s.dim[axis] = (uint32_t)size[k];
    at += size[k];
    QV_TRY(tl_move(L, x, y, &ix, &s));
  }
done:
  return st;
}

static qv_status split_axis(tl *L, int32_t t, int32_t x, int64_t *axis) {
  const int64_t *a;
  uint32_t n;
  qv_status st = tl_ints(L, t, 1, &a, &n);
  if (st != QV_OK) return st;
  uint32_t rank = tl_shape_of(L, x).rank;
  *axis = n == 1 && a[0] < 0 ? a[0] + rank : n == 1 ? a[0] : -1;
  return *axis < 0 || *axis >= (int64_t)rank ? TL_PARSE(L, t, "the axis does not exist") : QV_OK;
}

qv_status tl_split(tl *L) {
  qv_status st;
  int32_t x, t;
  int64_t axis;
  uint32_t n = L->op->out.n;
  QV_TRY(tl_arg(L, 0, &t));
  QV_TRY(tl_arg(L, 1, &x));
  QV_TRY(split_axis(L, t, x, &axis));
  uint32_t dim = tl_shape_of(L, x).dim[axis];
  if (n == 0 || dim % n != 0 || dim == 0) return TL_PARSE(L, x, "dimension %u cannot be split into %u equal parts", dim, n);
  int64_t *size = QV_NEW(&L->tmp, n, int64_t);
  if (size == NULL) return tl_nomem(L);
  for (uint32_t k = 0; k < n; k++) size[k] = dim / n;
  QV_TRY(split_into(L, x, axis, size));
done:
  return st;
}

qv_status tl_split_v(tl *L) {
  qv_status st;
  int32_t x, t, ta;
  int64_t axis, sum = 0;
  const int64_t *v;
  uint32_t n, open = QV_NONE;
  QV_TRY(tl_arg(L, 0, &x));
  QV_TRY(tl_arg(L, 1, &t));
  QV_TRY(tl_arg(L, 2, &ta));
  QV_TRY(split_axis(L, ta, x, &axis));
  QV_TRY(tl_ints(L, t, QV_MAX_INPUTS, &v, &n));
  int64_t dim = tl_shape_of(L, x).dim[axis];
  if (n != L->op->out.n) return TL_PARSE(L, t, "%u sizes for %u results", n, L->op->out.n);
  int64_t *size = QV_NEW(&L->tmp, n, int64_t);
  if (size == NULL) return tl_nomem(L);
  for (uint32_t k = 0; k < n; k++) {
    size[k] = v[k];
    if (v[k] == -1 && open == QV_NONE) open = k;
    else if (v[k] < 1 || v[k] > dim) return TL_PARSE(L, t, "size %lld is not possible", (long long)v[k]);
    else sum += v[k];
  }
  if (open != QV_NONE) size[open] = dim - sum;
  if (open != QV_NONE ? size[open] < 1 : sum != dim) return TL_PARSE(L, t, "the sizes do not add up to dimension %lld", (long long)dim);
  QV_TRY(split_into(L, x, axis, size));
done:
  return st;
}
