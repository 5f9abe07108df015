/* What the lowering of every TFLite operator needs: failures, operands, constants, shapes, names, building nodes. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "frontend/tflite_lower.h"
#include "kernels/step.h"

/* ---- failures -------------------------------------------------------------------------------------------------------- */

qv_status tl_fail(tl *L, qv_status code, int32_t t, const char *fmt, ...) {
  char msg[256], tensor[160] = "";
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(msg, sizeof msg, fmt, ap);
  va_end(ap);
  if (t >= 0)
    (void)snprintf(tensor, sizeof tensor, ", tensor %d '%.60s' (%s)", t, tl_tensor(L, t)->name, tfl_type_name(tl_tensor(L, t)->type));
  if (L->op == NULL) return qv_fail(L->err, code, "tflite", "%.60s%s: %s", L->file, tensor, msg);
  return qv_fail(L->err, code, "tflite", "%.60s: operator %u (%.40s)%s: %s", L->file, L->op_number, L->op->name, tensor, msg);
}

qv_status tl_nomem(tl *L) { return QV_FAIL(L->err, QV_E_NOMEM, "%.60s: out of memory or above the size limit", L->file); }

/* ---- operands -------------------------------------------------------------------------------------------------------- */

qv_status tl_arg(tl *L, uint32_t k, int32_t *t) {
  *t = tfl_in(L->m, L->op, k);
  if (*t < 0) return TL_PARSE(L, -1, "operand %u is missing", k);
  if (tl_val(L, *t)->state != TL_UNSET) return QV_OK;
  if (tl_tensor(L, *t)->variable) return TL_UNSUP(L, *t, "the tensor is a state variable; only stateless networks are supported");
  return TL_PARSE(L, *t, "the operator reads a tensor that nothing has written");
}

qv_status tl_res(tl *L, uint32_t k, int32_t *t) {
  *t = tfl_out(L->m, L->op, k);
  return *t >= 0 ? tl_fresh(L, *t) : TL_PARSE(L, -1, "result %u is missing", k);
}

qv_status tl_fresh(tl *L, int32_t t) {
  tl_state s = tl_val(L, t)->state;
  if (s == TL_UNSET) return QV_OK;
  return TL_PARSE(L, t, s == TL_CONST ? "the operator writes a constant" : "the tensor is written twice");
}

bool tl_is_const(const tl *L, int32_t t) { return tl_tensor(L, t)->data != NULL || tl_val(L, t)->state == TL_INTS; }

qv_status tl_want_int(tl *L, int32_t t, bool wide) {
  const tfl_tensor *ft = tl_tensor(L, t);
  switch (ft->type) {
  case TFL_INT8:
  case TFL_UINT8:
  case TFL_INT16: return QV_OK;
  case TFL_INT32:
    if (wide) return QV_OK;
    break;
  default: break;
  }
  if (tfl_is_float(ft->type))
    return TL_UNSUP(L, t,
                    "float arithmetic; only integer networks are supported (float only at the ends, through QUANTIZE and DEQUANTIZE)");
  return TL_UNSUP(L, t, "this type is not supported here; supported: INT8, UINT8, INT16%s", wide ? ", INT32" : "");
}

static qv_dtype dtype_of(int type) {
  switch (type) {
  case TFL_UINT8: return QV_U8;
  case TFL_INT16: return QV_I16;
  case TFL_INT32: return QV_I32;
  case TFL_INT64: return QV_I64;
  default: return QV_I8; /* INT8, INT4 */
  }
}

qv_status tl_elements(tl *L, int32_t t, const int32_t **out, size_t *n) {
  const tfl_tensor *ft = tl_tensor(L, t);
  tl_shape s = tl_shape_of(L, t);
  if (ft->sparse) return TL_UNSUP(L, t, "sparse tensors are not supported");
  if (ft->data == NULL) return TL_PARSE(L, t, "the constant has no data");
  if (!tl_count(&s, n)) return TL_PARSE(L, t, "the constant is empty or too large");
  int32_t *v = TL_NEW(L, *n, int32_t);
  if (v == NULL) return tl_nomem(L);
  for (size_t i = 0; i < *n; i++) { /* the reader has compared n_data with shape and type */
    const unsigned char *p = ft->data;
    switch (ft->type) {
    case TFL_INT8: v[i] = (int8_t)p[i]; break;
    case TFL_UINT8: v[i] = p[i]; break;
    case TFL_INT16: v[i] = (int16_t)qv_le16(p + 2 * i); break;
    case TFL_INT32: v[i] = (int32_t)qv_le32(p + 4 * i); break;
    case TFL_INT4: { /* low nibble first, two's complement */
      int nibble = p[i / 2] >> (i % 2 * 4) & 15;
      v[i] = nibble >= 8 ? nibble - 16 : nibble;
      break;
    }
    default: return TL_UNSUP(L, t, "constants of this type are not supported here");
    }
  }
  *out = v;
  return QV_OK;
}

qv_status tl_net_of(tl *L, int32_t t, uint32_t *net) {
  qv_status st;
  tl_value *v = tl_val(L, t);
  const int32_t *data;
  size_t n;
  switch (v->state) {
  case TL_NET: *net = v->net; return QV_OK;
  case TL_UNSET: return TL_PARSE(L, t, "nothing has written this tensor"); /* tl_arg has refused it before */
  case TL_FLOAT_IN:
  case TL_FLOAT_OUT: return tl_want_int(L, t, false); /* names the float type */
  case TL_INTS: return TL_UNSUP(L, t, "a computed shape is used as data");
  case TL_CONST: break;
  }
  tl_shape s = tl_shape_of(L, t);
  QV_TRY(tl_elements(L, t, &data, &n));
  QV_TRY(tl_add_tensor(L, t, &s, net));
  L->net->tensor[*net].data = data;
  v->state = TL_NET;
  v->net = *net;
done:
  return st;
}

qv_status tl_ints(tl *L, int32_t t, uint32_t max, const int64_t **out, uint32_t *n) {
  const tl_value *v = tl_val(L, t);
  const tfl_tensor *ft = tl_tensor(L, t);
  tl_shape s = tl_shape_of(L, t);
  size_t count = 1;
  for (uint32_t d = 0; d < s.rank; d++) /* an empty list is legal here; the reader bounds dim by the file size if constant */
    if (!qv_mulz(&count, count, s.dim[d])) return TL_PARSE(L, t, "the list is too long");
  if (count > max) return TL_UNSUP(L, t, "a list of %zu numbers, at most %u are supported", count, max);
  *n = (uint32_t)count;
  if (v->state == TL_INTS) {
    *out = v->ints;
    return QV_OK;
  }
  if (ft->data == NULL) return TL_UNSUP(L, t, "the shape or index depends on the input data; it must be constant");
  if (ft->type != TFL_INT32 && ft->type != TFL_INT64) return TL_UNSUP(L, t, "shapes and indices must be INT32 or INT64");
  if (ft->sparse) return TL_UNSUP(L, t, "sparse tensors are not supported");
  int64_t *w = QV_NEW(&L->tmp, count, int64_t);
  if (w == NULL) return tl_nomem(L);
  for (size_t i = 0; i < count; i++) w[i] = ft->type == TFL_INT32 ? (int32_t)qv_le32(ft->data + 4 * i) : (int64_t)qv_le64(ft->data + 8 * i);
  *out = w;
  return QV_OK;
}

qv_itv tl_range(const tl *L, int32_t t) { return qv_dtype_range(dtype_of(tl_tensor(L, t)->type)); }

qv_status tl_quant_of(tl *L, int32_t t, tl_quant *q) {
  const tfl_tensor *ft = tl_tensor(L, t);
  if (ft->custom_q) return TL_UNSUP(L, t, "custom quantization is not supported");
  if (ft->scale.n == 0) return TL_PARSE(L, t, "the tensor has no quantization scale, which the operator needs");
  if (ft->scale.n > 1) return TL_UNSUP(L, t, "per-channel scales are supported for weights only");
  q->s = tfl_scale(L->m, ft, 0);
  int64_t z = tfl_zp(L->m, ft, 0);
  qv_itv r = tl_range(L, t);
  if (!(q->s > 0)) return TL_PARSE(L, t, "the quantization scale is zero");
  if (z < r.lo || z > r.hi) return TL_PARSE(L, t, "zero point %lld is outside the type's range", (long long)z);
  if (ft->type == TFL_INT16 && z != 0 && L->op->code != TFL_SOFTMAX)
    return TL_UNSUP(L, t, "INT16 activations need zero point 0, it is %lld", (long long)z);
  q->z = (int32_t)z;
  return QV_OK;
}

/* ---- shapes ---------------------------------------------------------------------------------------------------------- */

tl_shape tl_shape_of(const tl *L, int32_t t) {
  const tl_value *v = tl_val(L, t);
  tl_shape s = {.rank = v->rank};
  memcpy(s.dim, v->dim, sizeof s.dim);
  return s;
}

bool tl_same_shape(const tl_shape *a, const tl_shape *b) {
  return a->rank == b->rank && memcmp(a->dim, b->dim, a->rank * sizeof a->dim[0]) == 0;
}

bool tl_count(const tl_shape *s, size_t *n) {
  *n = 1;
  for (uint32_t d = 0; d < s->rank; d++)
    if (s->dim[d] == 0 || !qv_mulz(n, *n, s->dim[d]) || *n > QV_MAX_ELEMS) return false;
  return true;
}

static tl_shape without_ones(const tl_shape *s) {
  tl_shape r = {0};
  for (uint32_t d = 0; d < s->rank; d++)
    if (s->dim[d] != 1) r.dim[r.rank++] = s->dim[d];
  return r;
}

static void shape_text(char *buf, size_t n, const tl_shape *s) {
  size_t at = 0;
  buf[0] = 0;
  for (uint32_t d = 0; d < s->rank && at < n; d++) at += (size_t)snprintf(buf + at, n - at, d ? ",%u" : "%u", s->dim[d]);
}

qv_status tl_out_shape(tl *L, int32_t t, const tl_shape *computed, tl_shape *s) {
  const tfl_tensor *ft = tl_tensor(L, t);
  tl_shape file = tl_shape_of(L, t), a, b;
  size_t n;
  *s = *computed;
  if (!tl_count(computed, &n)) return TL_PARSE(L, t, "the result is empty or has more than %zu elements", QV_MAX_ELEMS);
  if (file.rank == 0) return QV_OK; /* scalar, or a shape that the file leaves open */
  if (file.rank == computed->rank)
    for (uint32_t d = 0; d < file.rank; d++)
      if (ft->dyn[d]) file.dim[d] = computed->dim[d];
  if (tl_same_shape(&file, computed)) return QV_OK;
  a = without_ones(&file);
  b = without_ones(computed);
  if (tl_same_shape(&a, &b)) {
    *s = file;
    return QV_OK;
  }
  char want[96], have[96];
  shape_text(want, sizeof want, computed);
  shape_text(have, sizeof have, &file);
  return TL_PARSE(L, t, "the file gives shape [%s], the operands give [%s]", have, want);
}

/* ---- names ----------------------------------------------------------------------------------------------------------- */

static uint32_t hash(const char *s) { /* FNV-1a */
  uint32_t h = 2166136261u;
  for (; *s; s++) h = (h ^ (unsigned char)*s) * 16777619u;
  return h;
}

/* Slot of s, or of the free place for it. */
static const char **slot(const char **set, uint32_t cap, const char *s) {
  uint32_t i = hash(s) & (cap - 1);
  while (set[i] != NULL && strcmp(set[i], s) != 0) i = (i + 1) & (cap - 1);
  return &set[i];
}

static bool grow_names(tl *L) {
  uint32_t cap = L->cap_names == 0 ? 256 : L->cap_names * 2;
  const char **set = QV_NEW(&L->tmp, cap, const char *);
  if (set == NULL) return false;
  for (uint32_t i = 0; i < L->cap_names; i++)
    if (L->names[i] != NULL) *slot(set, cap, L->names[i]) = L->names[i];
  L->names = set;
  L->cap_names = cap;
  return true;
}

/* "<base><suffix>", with "#2", "#3", ... appended until it is new. NULL when memory is short. */
static const char *unique_name(tl *L, int32_t t, const char *suffix) {
  const char *base = tl_tensor(L, t)->name;
  char number[24], stem[256];
  if (2 * (L->n_names + 1) > L->cap_names && !grow_names(L)) return NULL;
  if (base[0] == 0) (void)snprintf(number, sizeof number, "tensor%d", t);
  (void)snprintf(stem, sizeof stem, "%.200s%s", base[0] == 0 ? number : base, suffix);
  char *name = qv_arena_printf(&L->net->arena, "%s", stem);
  for (uint32_t k = 2; name != NULL && *slot(L->names, L->cap_names, name) != NULL; k++)
    name = qv_arena_printf(&L->net->arena, "%s#%u", stem, k);
  if (name == NULL) return NULL;
  *slot(L->names, L->cap_names, name) = name;
  L->n_names++;
  return name;
}

/* ---- building -------------------------------------------------------------------------------------------------------- */

void *tl_alloc(tl *L, size_t n, size_t size) { return qv_arena_alloc(&L->net->arena, n, size); }

qv_status tl_add_temp(tl *L, int32_t t, const char *suffix, qv_dtype type, const tl_shape *s, uint32_t *net) {
  qv_itv r = qv_dtype_range(type);
  qv_tensor nt = {.name = unique_name(L, t, suffix), .rank = s->rank, .type = type, .lo = r.lo, .hi = r.hi};
  memcpy(nt.dim, s->dim, sizeof nt.dim);
  if (nt.name == NULL) return tl_nomem(L);
  *net = qv_net_add_tensor(L->net, &nt);
  return *net == QV_NONE ? tl_nomem(L) : QV_OK;
}

qv_status tl_add_tensor(tl *L, int32_t t, const tl_shape *s, uint32_t *net) {
  const tfl_tensor *ft = tl_tensor(L, t);
  qv_status st = tl_add_temp(L, t, "", dtype_of(ft->type), s, net);
  if (st != QV_OK) return st;
  float scale = ft->scale.n == 1 ? tfl_scale(L->m, ft, 0) : 0;
  int64_t z = ft->scale.n == 1 ? tfl_zp(L->m, ft, 0) : 0;
  if (scale > 0 && z >= INT32_MIN && z <= INT32_MAX) {
    qv_tensor *nt = &L->net->tensor[*net];
    nt->has_q = true;
    nt->scale = scale;
    nt->zp = (int32_t)z;
  }
  return QV_OK;
}

qv_status tl_add_like(tl *L, int32_t t, const char *suffix, uint32_t like, const tl_shape *s, uint32_t *net) {
  qv_status st = tl_add_temp(L, t, suffix, L->net->tensor[like].type, s, net);
  if (st != QV_OK) return st;
  const qv_tensor *from = &L->net->tensor[like];
  qv_tensor *to = &L->net->tensor[*net];
  to->has_q = from->has_q;
  to->scale = from->scale;
  to->zp = from->zp;
  return QV_OK;
}

qv_status tl_add_const(tl *L, int32_t t, const char *suffix, qv_dtype type, const tl_shape *s, const int32_t *data, uint32_t *net) {
  qv_status st = tl_add_temp(L, t, suffix, type, s, net);
  if (st == QV_OK) L->net->tensor[*net].data = data;
  return st;
}

qv_status tl_add_node_n(tl *L, const qv_node *n, const uint32_t *in, uint32_t n_in, uint32_t out) {
  qv_node node = *n;
  uint32_t *copy = TL_NEW(L, n_in, uint32_t);
  if (copy == NULL) return tl_nomem(L);
  memcpy(copy, in, n_in * sizeof *copy);
  node.op = qv_arena_printf(&L->net->arena, "%s", L->op->name);
  if (node.op == NULL) return tl_nomem(L);
  node.layer = L->op_number;
  node.in = copy;
  node.n_in = n_in;
  node.out = out;
  return qv_net_add_node(L->net, &node) == QV_NONE ? tl_nomem(L) : QV_OK;
}

qv_status tl_add_node(tl *L, const qv_node *n, uint32_t in, uint32_t out) { return tl_add_node_n(L, n, &in, 1, out); }

qv_status tl_add_index(tl *L, const qv_index *ix, uint32_t in, int32_t t, const char *suffix, const tl_shape *s, uint32_t *out) {
  qv_status st;
  QV_TRY(tl_add_like(L, t, suffix, in, s, out));
  QV_TRY(tl_add_node(L, &(qv_node){.kind = QV_INDEX, .u.index = *ix}, in, *out));
done:
  return st;
}

void tl_set_net(tl *L, int32_t t, uint32_t net) {
  tl_value *v = tl_val(L, t);
  v->state = TL_NET;
  v->net = net;
  v->rank = L->net->tensor[net].rank;
  memcpy(v->dim, L->net->tensor[net].dim, sizeof v->dim);
}

/* ---- quantized results ----------------------------------------------------------------------------------------------- */

qv_status tl_act_range(tl *L, int32_t t, tl_quant q, int act, qv_itv *r) {
  static const struct {
    float lo, hi;
  } bound[] = {{-INFINITY, INFINITY}, {0, INFINITY}, {-1, 1}, {0, 6}}; /* NONE, RELU, RELU_N1_TO_1, RELU6 */
  int64_t b;
  *r = tl_range(L, t);
  if (act < 0 || act > 3) return TL_UNSUP(L, t, "fused activation %d is not supported; supported: NONE, RELU, RELU_N1_TO_1, RELU6", act);
  float tie = isfinite(bound[act].hi) ? fabsf(bound[act].hi / q.s) : 0;
  if (L->prof->act_tie_open && tie - floorf(tie) == 0.5f)
    return TL_UNSUP(L, t, "the activation bound lies on a rounding tie; its rounding under profile %s is not known", L->prof->name);
  if (isfinite(bound[act].lo)) {
    if (!qv_quantize_bound(&b, bound[act].lo, q.s, q.z)) return TL_PARSE(L, t, "the activation bound overflows at this scale");
    r->lo = qv_max64(r->lo, b);
  }
  if (isfinite(bound[act].hi)) {
    if (!qv_quantize_bound(&b, bound[act].hi, q.s, q.z)) return TL_PARSE(L, t, "the activation bound overflows at this scale");
    r->hi = qv_min64(r->hi, b);
  }
  return r->lo <= r->hi ? QV_OK : TL_UNSUP(L, t, "the activation's range is empty at this scale and zero point");
}

qv_status tl_factor(tl *L, int32_t t, double M) { return fabs(M) < 0x1p30 ? QV_OK : TL_UNSUP(L, t, "rescaling factor %g is too large", M); }

qv_status tl_one_par(tl *L, qv_step *step, qv_rq_par par) {
  qv_rq_par *p = TL_NEW(L, 1, qv_rq_par);
  if (p == NULL) return tl_nomem(L);
  *p = par;
  step->n_par = 1;
  step->par = p;
  step->inner = 1;
  return QV_OK;
}

qv_status tl_add_step(tl *L, const qv_step *step, uint32_t in, int32_t t, const tl_shape *s) {
  qv_status st;
  uint32_t y;
  QV_TRY(tl_add_tensor(L, t, s, &y));
  QV_TRY(tl_add_node(L, &(qv_node){.kind = QV_STEP, .u.step = *step}, in, y));
  tl_set_net(L, t, y);
done:
  return st;
}

qv_status tl_add_table(tl *L, const int32_t table[256], int32_t x, int32_t t) {
  qv_status st;
  uint32_t in, y;
  tl_shape s = tl_shape_of(L, x), out;
  int32_t *copy = TL_NEW(L, 256, int32_t);
  if (copy == NULL) return tl_nomem(L);
  memcpy(copy, table, 256 * sizeof *copy);
  QV_TRY(tl_net_of(L, x, &in));
  QV_TRY(tl_out_shape(L, t, &s, &out));
  QV_TRY(tl_add_tensor(L, t, &s, &y));
  QV_TRY(tl_add_node(L, &(qv_node){.kind = QV_TABLE, .u.table = {.lo = tl_range(L, x).lo, .n = 256, .t = copy}}, in, y));
  tl_set_net(L, t, y);
done:
  return st;
}
