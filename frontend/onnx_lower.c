/* Lowering of ONNX graphs: the driver, operands, constants, ends. One file per operator family does the rest. */
#include "frontend/onnx_lower.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "frontend/onnx_qonnx.h"

#define SUPPORTED "see docs/onnx.md for the supported operators and types"

/* ---- failures ---------------------------------------------------------------------------------------------------------- */

static const char *op_name(const Onnx__NodeProto *n) { return n->op_type != NULL ? n->op_type : ""; }

static const char *op_domain(const Onnx__NodeProto *n) {
  return n->domain == NULL || strcmp(n->domain, "ai.onnx") == 0 ? "" : n->domain;
}

qv_status ox_fail(ox *L, qv_status code, const ox_value *v, const char *fmt, ...) {
  char msg[240], value[96] = "";
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(msg, sizeof msg, fmt, ap);
  va_end(ap);
  if (v != NULL) (void)snprintf(value, sizeof value, ", value '%.50s' (%s)", v->name, onx_type_name(v->type));
  if (L->op == NULL) return qv_fail(L->err, code, "onnx", "%.60s%s: %s", L->file, value, msg);
  const char *dom = op_domain(L->op), *node = L->op->name;
  return qv_fail(L->err, code, "onnx", "%.60s: node %u%s%.30s%s (%.20s%s%.30s, opset %lld)%s: %s", L->file, L->op_number,
                 node != NULL && node[0] ? " '" : "", node != NULL ? node : "", node != NULL && node[0] ? "'" : "", dom, dom[0] ? "." : "",
                 op_name(L->op), (long long)L->m->opset, value, msg);
}

qv_status ox_nomem(ox *L) { return QV_FAIL(L->err, QV_E_NOMEM, "%.60s: out of memory or above the size limit", L->file); }

/* ---- attributes -------------------------------------------------------------------------------------------------------- */

const Onnx__AttributeProto *ox_attr(ox *L, const char *name) {
  for (size_t k = 0; k < L->op->n_attribute && k < 64; k++) {
    const Onnx__AttributeProto *a = L->op->attribute[k];
    if (a->name == NULL || strcmp(a->name, name) != 0) continue;
    L->attr_used |= (uint64_t)1 << k;
    return a;
  }
  return NULL;
}

static qv_status wrong_attr(ox *L, const char *name) { return OX_PARSE(L, NULL, "attribute '%s' has the wrong type or size", name); }

qv_status ox_attr_i(ox *L, const char *name, int64_t absent, int64_t *v) {
  const Onnx__AttributeProto *a = ox_attr(L, name);
  *v = a == NULL ? absent : a->i;
  return a == NULL || a->has_i ? QV_OK : wrong_attr(L, name);
}

qv_status ox_attr_f(ox *L, const char *name, float absent, float *v) {
  const Onnx__AttributeProto *a = ox_attr(L, name);
  *v = a == NULL ? absent : a->f;
  return a == NULL || a->has_f ? QV_OK : wrong_attr(L, name);
}

qv_status ox_attr_ints(ox *L, const char *name, uint32_t max, const int64_t **v, uint32_t *n) {
  const Onnx__AttributeProto *a = ox_attr(L, name);
  *v = NULL;
  *n = 0;
  if (a == NULL) return QV_OK;
  if (a->n_ints > max || a->has_i || a->has_f) return wrong_attr(L, name);
  static const int64_t none = 0;
  *v = a->n_ints > 0 ? a->ints : &none;
  *n = (uint32_t)a->n_ints;
  return QV_OK;
}

bool ox_attr_is(ox *L, const char *name, const char *value, bool absent) {
  const Onnx__AttributeProto *a = ox_attr(L, name);
  if (a == NULL) return absent;
  return a->has_s && a->s.len == strlen(value) && memcmp(a->s.data, value, a->s.len) == 0;
}

/* An attribute that no handler has read could change the meaning. */
static qv_status check_attrs(ox *L) {
  for (size_t k = 0; k < L->op->n_attribute; k++)
    if (k >= 64 || !(L->attr_used >> k & 1)) {
      const char *name = L->op->attribute[k]->name;
      return OX_UNSUP(L, NULL, "attribute '%.40s' is not supported", name != NULL ? name : "");
    }
  return QV_OK;
}

/* ---- operands ---------------------------------------------------------------------------------------------------------- */

static ox_value *value_of(const ox *L, const char *name) {
  uint32_t i = qv_names_get(&L->index, name);
  return i == UINT32_MAX ? NULL : &L->val[i];
}

ox_value *ox_opt(ox *L, uint32_t k) {
  if (k >= L->op->n_input || L->op->input[k][0] == 0) return NULL;
  return value_of(L, L->op->input[k]);
}

qv_status ox_arg(ox *L, uint32_t k, ox_value **v) {
  *v = ox_opt(L, k);
  if (*v == NULL) return OX_PARSE(L, NULL, "operand %u is missing", k);
  if ((*v)->state == OX_UNSET) return OX_PARSE(L, *v, "the node reads a value that nothing has written yet");
  return QV_OK;
}

qv_status ox_res(ox *L, uint32_t k, ox_value **v) {
  *v = NULL;
  if (k < L->op->n_output && L->op->output[k][0] != 0) *v = value_of(L, L->op->output[k]);
  if (*v == NULL) return OX_PARSE(L, NULL, "result %u is missing", k);
  if ((*v)->state != OX_UNSET) return OX_PARSE(L, *v, "the value is written twice");
  for (size_t i = 1; k == 0 && i < L->op->n_output; i++) { /* optional results that somebody wants */
    const ox_value *o = L->op->output[i][0] != 0 ? value_of(L, L->op->output[i]) : NULL;
    if (o != NULL && (o->uses > 0 || o->is_output) && !ox_is_op(L->op, "Split"))
      return OX_UNSUP(L, o, "result %zu of this operator is not supported", i);
  }
  return QV_OK;
}

bool ox_is_op(const Onnx__NodeProto *n, const char *op) { return op_domain(n)[0] == 0 && strcmp(op_name(n), op) == 0; }

const Onnx__NodeProto *ox_only_user(const ox *L, const ox_value *v) {
  return v->uses == 1 && !v->is_output ? L->m->graph->node[v->user] : NULL;
}

qv_status ox_const_of(ox *L, ox_value *v, const onx_const **c) {
  *c = v->c;
  return v->state == OX_CONST ? QV_OK : OX_UNSUP(L, v, "this operand must be a constant of the model");
}

qv_status ox_ints(ox *L, ox_value *v, uint32_t max, const int64_t **x, uint32_t *n) {
  const onx_const *c;
  qv_status st = ox_const_of(L, v, &c);
  if (st != QV_OK) return st;
  if (c->rank > 1 || c->n > max) return OX_UNSUP(L, v, "a list of %zu numbers, at most %u are supported", c->n, max);
  *n = (uint32_t)c->n;
  if (c->l != NULL) {
    *x = c->l;
    return QV_OK;
  }
  if (c->i == NULL) return OX_PARSE(L, v, "shapes and indices must be integers");
  int64_t *w = QV_NEW(&L->tmp, c->n, int64_t);
  if (w == NULL) return ox_nomem(L);
  for (uint32_t k = 0; k < *n; k++) w[k] = c->i[k];
  *x = w;
  return QV_OK;
}

qv_status ox_ints_arg(ox *L, uint32_t k, uint32_t max, const int64_t **x, uint32_t *n) {
  ox_value *v = ox_opt(L, k);
  *x = NULL;
  *n = 0;
  return v == NULL ? QV_OK : ox_ints(L, v, max, x, n);
}

/* ---- quantization parameters ------------------------------------------------------------------------------------------- */

qv_status ox_quant_of(ox *L, ox_value *scale, ox_value *zp, int32_t default_type, ox_quant *q) {
  qv_status st;
  const onx_const *s, *z = NULL;
  QV_TRY(ox_const_of(L, scale, &s));
  if (zp != NULL) QV_TRY(ox_const_of(L, zp, &z));
  if (s->f == NULL || s->n == 0) return OX_PARSE(L, scale, "scales must be floats");
  if (s->type != ONX_FLOAT && L->prof->qdq == QV_QDQ_ORT) return OX_UNSUP(L, scale, "FLOAT16 scales are not supported under profile %s", L->prof->name);
  if (s->rank > 1) return OX_UNSUP(L, scale, "blocks of scales are not supported; supported: one scale, or one per index of an axis");
  *q = (ox_quant){.n = (uint32_t)s->n, .s = s->f, .type = z != NULL ? z->type : default_type};
  for (uint32_t k = 0; k < q->n; k++)
    if (!(isfinite(s->f[k]) && s->f[k] >= 0x1p-126f)) return OX_PARSE(L, scale, "scale %u is not a positive normal number", k);
  int32_t *zero = OX_NEW(L, q->n, int32_t);
  if (zero == NULL) return ox_nomem(L);
  q->z = zero;
  if (z == NULL) goto done;
  if (z->n != s->n) return OX_PARSE(L, zp, "%zu zero points for %zu scales", z->n, s->n);
  if (z->i == NULL || !onx_is_int(z->type)) return OX_UNSUP(L, zp, "zero points of this type are not supported");
  q->z = z->i; /* of their own type, hence within its range */
done:
  return st;
}

qv_status ox_quant_args(ox *L, uint32_t k, int32_t default_type, ox_quant *q) {
  ox_value *s;
  qv_status st = ox_arg(L, k, &s);
  return st != QV_OK ? st : ox_quant_of(L, s, ox_opt(L, k + 1), default_type, q);
}

qv_status ox_one_quant(ox *L, uint32_t k, int32_t default_type, ox_quant *q) {
  qv_status st = ox_quant_args(L, k, default_type, q);
  if (st == QV_OK && q->n != 1) st = OX_UNSUP(L, ox_opt(L, k), "%u scales; this operand takes one scale for the whole tensor", q->n);
  return st;
}

/* ---- shapes ------------------------------------------------------------------------------------------------------------ */

bool ox_same_shape(const ox_shape *a, const ox_shape *b) {
  return a->rank == b->rank && memcmp(a->dim, b->dim, a->rank * sizeof a->dim[0]) == 0;
}

bool ox_count(const ox_shape *s, size_t *n) {
  *n = 1;
  for (uint32_t d = 0; d < s->rank; d++)
    if (s->dim[d] == 0 || !qv_mulz(n, *n, s->dim[d]) || *n > QV_MAX_ELEMS) return false;
  return true;
}

bool ox_broadcast_shape(const ox_shape *a, const ox_shape *b, ox_shape *r) {
  *r = (ox_shape){.rank = a->rank > b->rank ? a->rank : b->rank};
  for (uint32_t d = 0; d < r->rank; d++) {
    uint32_t p = d + a->rank >= r->rank ? a->dim[d + a->rank - r->rank] : 1;
    uint32_t q = d + b->rank >= r->rank ? b->dim[d + b->rank - r->rank] : 1;
    if (p != q && p != 1 && q != 1) return false;
    r->dim[d] = p == 1 ? q : p;
  }
  return true;
}

ox_shape ox_stored_shape(const ox_shape *s, bool cl) {
  ox_shape r = *s;
  if (!cl) return r;
  for (uint32_t d = 1; d + 1 < s->rank; d++) r.dim[d] = s->dim[d + 1];
  r.dim[s->rank - 1] = s->dim[1];
  return r;
}

/* ---- building ---------------------------------------------------------------------------------------------------------- */

void *ox_alloc(ox *L, size_t n, size_t size) { return qv_arena_alloc(&L->net->arena, n, size); }

qv_dtype ox_dtype(int32_t type) {
  switch (type) {
  case ONX_UINT8: case ONX_UINT4: case ONX_UINT2: return QV_U8;
  case ONX_INT8: case ONX_INT4: case ONX_INT2: return QV_I8;
  case ONX_UINT16: return QV_U16;
  case ONX_INT16: return QV_I16;
  case ONX_INT64: return QV_I64;
  default: return QV_I32;
  }
}

qv_status ox_add_tensor(ox *L, const ox_value *v, const char *suffix, qv_dtype type, const ox_shape *s, uint32_t *net) {
  qv_itv r = qv_dtype_range(type);
  qv_tensor t = {.rank = s->rank, .type = type, .lo = r.lo, .hi = r.hi};
  t.name = qv_names_unique(&L->net_names, &L->tmp, &L->net->arena, v->name[0] ? v->name : "value", suffix);
  memcpy(t.dim, s->dim, sizeof t.dim);
  if (t.name == NULL) return ox_nomem(L);
  *net = qv_net_add_tensor(L->net, &t);
  return *net == QV_NONE ? ox_nomem(L) : QV_OK;
}

qv_status ox_add_node(ox *L, const qv_node *n, const uint32_t *in, uint32_t n_in, uint32_t out) {
  qv_node node = *n;
  uint32_t *copy = OX_NEW(L, n_in, uint32_t);
  if (copy == NULL) return ox_nomem(L);
  memcpy(copy, in, n_in * sizeof *copy);
  node.op = qv_arena_printf(&L->net->arena, "%.60s", L->op != NULL ? op_name(L->op) : "Output");
  if (node.op == NULL) return ox_nomem(L);
  node.layer = L->op_number;
  node.in = copy;
  node.n_in = n_in;
  node.out = out;
  return qv_net_add_node(L->net, &node) == QV_NONE ? ox_nomem(L) : QV_OK;
}

static qv_status const_to_net(ox *L, ox_value *v) {
  const onx_const *c = v->c;
  ox_shape s = {.rank = c->rank};
  size_t n;
  uint32_t net;
  memcpy(s.dim, c->dim, sizeof s.dim);
  if (c->i == NULL || !onx_is_int(c->type)) return OX_UNSUP(L, v, "a constant of this type is used as data of an integer operator");
  if (!ox_count(&s, &n)) return OX_PARSE(L, v, "the constant is empty or too large");
  qv_status st = ox_add_tensor(L, v, "", ox_dtype(c->type), &s, &net);
  if (st != QV_OK) return st;
  L->net->tensor[net].data = c->i;
  v->net = net;
  v->cl = false;
  return QV_OK;
}

/* Integers of a constant, whether dequantized or not, become a net tensor once. */
static qv_status materialize(ox *L, ox_value *v) {
  qv_status st = QV_OK;
  switch (v->state) {
  case OX_INT: case OX_DQ: case OX_MAP: return QV_OK;
  case OX_CONST: case OX_DQ_CONST:
    if (v->net == QV_NONE) st = const_to_net(L, v);
    return st;
  case OX_UNSET: return OX_PARSE(L, v, "the node reads a value that nothing has written yet");
  case OX_REAL:
  case OX_ANY:
  case OX_ACC: break;
  }
  return OX_UNSUP(L, v, "the result of a float operator is used before a QuantizeLinear");
}

qv_status ox_net_as_is(ox *L, ox_value *v, uint32_t *net, bool *cl) {
  qv_status st = materialize(L, v);
  *net = v->net;
  *cl = v->cl;
  return st;
}

qv_status ox_net_of(ox *L, ox_value *v, bool cl, uint32_t *net) {
  qv_status st;
  QV_TRY(materialize(L, v));
  *net = v->net;
  if (cl == v->cl || v->shape.rank < 3) goto done;
  ox_shape have = ox_stored_shape(&v->shape, v->cl), want = ox_stored_shape(&v->shape, cl);
  qv_index ix = {.form = QV_IX_TRANSPOSE};
  bool moves = false; /* nothing moves if at most one of channels and positions is not 1 */
  uint32_t c = v->shape.dim[1];
  for (uint32_t d = 2; d < v->shape.rank; d++) moves = moves || (c > 1 && v->shape.dim[d] > 1);
  for (uint32_t d = 0; d < have.rank; d++) {
    if (d == 0) ix.a[d] = 0;
    else if (cl) ix.a[d] = d + 1 == have.rank ? 1 : (int32_t)d + 1;
    else ix.a[d] = d == 1 ? (int32_t)have.rank - 1 : (int32_t)d - 1;
  }
  if (!moves) ix = (qv_index){.form = QV_IX_RESHAPE};
  QV_TRY(ox_add_tensor(L, v, cl ? "/nhwc" : "/nchw", L->net->tensor[v->net].type, &want, net));
  if (L->net->tensor[v->net].has_q) ox_tag(L, *net, L->net->tensor[v->net].scale, L->net->tensor[v->net].zp);
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_INDEX, .u.index = ix}, &v->net, 1, *net));
done:
  return st;
}

void ox_set_int(ox_value *v, uint32_t net, int32_t type, const ox_shape *shape, bool cl) {
  v->state = OX_INT;
  v->net = net;
  v->type = type;
  v->shape = *shape;
  v->cl = cl && shape->rank >= 3;
}

void ox_set_dq(ox_value *v, const ox_value *q, float s, int32_t z) {
  ox_set_int(v, q->net, q->type, &q->shape, q->cl);
  v->state = OX_DQ;
  v->s = s;
  v->z = z;
  v->as_u8 = false;
  v->direct = false;
}

void ox_tag(ox *L, uint32_t net, float s, int32_t z) {
  qv_tensor *t = &L->net->tensor[net];
  t->has_q = true;
  t->scale = s;
  t->zp = z;
}

qv_status ox_set_const(ox *L, ox_value *v, const onx_const *c) {
  onx_const *copy = QV_NEW(&L->tmp, 1, onx_const);
  if (copy == NULL) return ox_nomem(L);
  *copy = *c;
  v->state = OX_CONST;
  v->c = copy;
  v->type = c->type;
  v->net = QV_NONE;
  v->cl = false;
  v->shape = (ox_shape){.rank = c->rank};
  memcpy(v->shape.dim, c->dim, sizeof v->shape.dim);
  return QV_OK;
}

/* ---- the driver -------------------------------------------------------------------------------------------------------- */

static const struct {
  const char *domain, *name;
  ox_handler fn;
  bool profile;
} ops[] = {
#define ONX_OP(domain, name, fn, profile) {domain, name, fn, profile},
#include "frontend/onnx_ops.def"
#undef ONX_OP
};

static qv_status need_profile(ox *L) {
  char list[300] = "";
  size_t at = 0;
  const qv_onnx_profile *p;
  for (size_t i = 0; (p = qv_onnx_profile_at(i)) != NULL && at < sizeof list; i++)
    at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i > 0 ? ", " : "", p->name);
  return QV_FAIL(L->err, QV_E_ARG, "%.60s: an ONNX file does not fix its arithmetic; name the runtime with a profile: %s", L->file, list);
}

static bool is_float_type(int32_t t) { return t == ONX_FLOAT || t == ONX_FLOAT16 || t == ONX_DOUBLE || t == ONX_BFLOAT16; }

static qv_status lower_node(ox *L, bool has_profile) {
  const char *dom = op_domain(L->op), *name = op_name(L->op);
  L->attr_used = 0;
  L->hint.rank = QV_MAX_RANK + 1;
  if (L->op->n_input > QV_MAX_INPUTS || L->op->n_output > QV_MAX_INPUTS) return OX_UNSUP(L, NULL, "more than %d operands or results", QV_MAX_INPUTS);
  if (L->qx != NULL) {
    qv_status st = qx_lower_node(L);
    return st == QV_OK ? check_attrs(L) : st;
  }
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
    if (strcmp(ops[i].domain, dom) != 0 || strcmp(ops[i].name, name) != 0) continue;
    if (ops[i].profile && !has_profile) return need_profile(L);
    if (dom[0] != 0 && ops[i].profile && !L->prof->contrib)
      return OX_UNSUP(L, NULL, "the operators of %s are known under the profiles of ONNX Runtime only, not under %s", dom, L->prof->name);
    qv_status st = ops[i].fn(L);
    return st == QV_OK ? check_attrs(L) : st;
  }
  const ox_value *in = ox_opt(L, 0);
  return OX_UNSUP(L, in, "the operator is not supported; " SUPPORTED);
}

/* A node that is not supported becomes opaque. What its handler has built by then is taken back. */
static qv_status lower_or_opaque(ox *L, bool has_profile) {
  const Onnx__NodeProto *n = L->op;
  qv_err why = {0}, *err = L->err;
  uint32_t n_tensors = L->net->n_tensors, n_nodes = L->net->n_nodes;
  size_t n_val = n->n_input + n->n_output, k = 0;
  uint32_t *number = QV_NEW(&L->tmp, n_val, uint32_t);
  ox_value *before = QV_NEW(&L->tmp, n_val, ox_value);
  if (number == NULL || before == NULL) return ox_nomem(L);
  for (size_t i = 0; i < n_val; i++) {
    const char *name = i < n->n_input ? n->input[i] : n->output[i - n->n_input];
    uint32_t v = name[0] != 0 ? qv_names_get(&L->index, name) : UINT32_MAX;
    if (v == UINT32_MAX) continue;
    number[k] = v;
    before[k++] = L->val[v];
  }
  L->err = &why;
  qv_status st = lower_node(L, has_profile);
  L->err = err;
  if (st == QV_E_UNSUP) {
    L->net->n_tensors = n_tensors;
    L->net->n_nodes = n_nodes;
    for (size_t i = 0; i < k; i++) L->val[number[i]] = before[i];
    st = ox_make_opaque(L);
    if (st != QV_E_UNSUP) return st;
  }
  return st == QV_OK ? QV_OK : qv_fail(err, st, why.where, "%s", why.msg);
}

/* Every name of the graph becomes a value; reads are counted. */
static qv_status name_value(ox *L, const char *name, uint32_t *i) {
  *i = qv_names_get(&L->index, name);
  if (*i != UINT32_MAX) return QV_OK;
  *i = L->n_val++;
  L->val[*i] = (ox_value){.name = name, .user = QV_NONE, .producer = QV_NONE, .net = QV_NONE};
  return qv_names_put(&L->index, &L->tmp, name, *i) ? QV_OK : ox_nomem(L);
}

static qv_status name_values(ox *L) {
  qv_status st = QV_OK;
  const Onnx__GraphProto *g = L->m->graph;
  size_t max = g->n_input + g->n_output + g->n_initializer;
  uint32_t v;
  if (g->n_node > (1u << 24)) return OX_PARSE(L, NULL, "more than %u nodes", 1u << 24);
  for (size_t k = 0; k < g->n_node; k++) max += g->node[k]->n_input + g->node[k]->n_output; /* each took bytes of the file */
  L->val = QV_NEW(&L->tmp, max, ox_value);
  if (L->val == NULL) return ox_nomem(L);
  for (uint32_t k = 0; k < g->n_node; k++) {
    const Onnx__NodeProto *n = g->node[k];
    for (size_t i = 0; i < n->n_input; i++) {
      if (n->input[i][0] == 0) continue;
      QV_TRY(name_value(L, n->input[i], &v));
      L->val[v].uses++;
      L->val[v].user = k;
    }
    for (size_t i = 0; i < n->n_output; i++) {
      if (n->output[i][0] == 0) continue;
      QV_TRY(name_value(L, n->output[i], &v));
      L->val[v].producer = k;
    }
  }
  for (size_t i = 0; i < g->n_output; i++) {
    if (g->output[i]->name == NULL || g->output[i]->name[0] == 0) return OX_PARSE(L, NULL, "output %zu of the model has no name", i);
    QV_TRY(name_value(L, g->output[i]->name, &v));
    L->val[v].is_output = true;
  }
done:
  return st;
}

static qv_status initializers(ox *L) {
  qv_status st = QV_OK;
  const Onnx__GraphProto *g = L->m->graph;
  for (size_t i = 0; i < g->n_initializer; i++) {
    const Onnx__TensorProto *t = g->initializer[i];
    onx_const c;
    const char *why = "";
    uint32_t v;
    if (t->name == NULL || t->name[0] == 0) return OX_PARSE(L, NULL, "initializer %zu has no name", i);
    QV_TRY(name_value(L, t->name, &v));
    if (L->val[v].state != OX_UNSET) return OX_PARSE(L, &L->val[v], "two initializers have this name");
    L->val[v].type = t->data_type;
    if ((st = onx_const_read_in(&c, L->m, t, &L->net->arena, &why)) != QV_OK) return st == QV_E_NOMEM ? ox_nomem(L) : ox_fail(L, st, &L->val[v], "%s", why);
    QV_TRY(ox_set_const(L, &L->val[v], &c));
  }
done:
  return st;
}

/* ---- inputs ------------------------------------------------------------------------------------------------------------ */

static qv_status input_shape(ox *L, const ox_value *v, const Onnx__TypeProto__Tensor *t, ox_shape *s) {
  if (t->shape == NULL) return OX_UNSUP(L, v, "the input has no shape; only fixed shapes are supported");
  if (t->shape->n_dim > QV_MAX_RANK) return OX_UNSUP(L, v, "the input has more than %d dimensions", QV_MAX_RANK);
  *s = (ox_shape){.rank = (uint32_t)t->shape->n_dim};
  for (uint32_t d = 0; d < s->rank; d++) {
    const Onnx__TensorShapeProto__Dimension *dim = t->shape->dim[d];
    bool fixed = dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE && dim->dim_value > 0;
    if (fixed && dim->dim_value <= (int64_t)QV_MAX_ELEMS) s->dim[d] = (uint32_t)dim->dim_value;
    else if (!fixed && d == 0) s->dim[d] = 1; /* batch size left open: one sample */
    else return OX_UNSUP(L, v, "dimension %u of the input is open or too large; only the first may be open", d);
  }
  size_t n;
  return ox_count(s, &n) ? QV_OK : OX_UNSUP(L, v, "the input has more than %zu elements", QV_MAX_ELEMS);
}

/* Operators that only move the elements of operand 0: quantizing before or after them is the same. */
static bool only_moves(const Onnx__NodeProto *n) {
  static const char *const names[] = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Slice", "Gather"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (ox_is_op(n, names[i])) return true;
  return false;
}

static qv_status float_graph(ox *L, const ox_value *v, const Onnx__NodeProto *n) {
  return OX_UNSUP(L, v, "the float input reaches %.30s before a QuantizeLinear: float arithmetic makes no integer claim; quantize the model "
                  "(QOperator or QDQ)", n != NULL ? op_name(n) : "an output");
}

/* The one quantization that all readers of float value v apply, seen through data movement. q->n = 0: none seen yet. */
static qv_status input_quant(ox *L, ox_value *v, ox_quant *q, unsigned depth) {
  qv_status st = QV_OK;
  const Onnx__GraphProto *g = L->m->graph;
  if (v->is_output || depth > 64) return float_graph(L, v, NULL);
  for (uint32_t k = 0; k < g->n_node; k++) {
    const Onnx__NodeProto *n = g->node[k];
    for (size_t i = 0; i < n->n_input; i++) {
      if (strcmp(n->input[i], v->name) != 0 || ox_is_op(n, "Shape")) continue;
      ox_value *y = n->n_output > 0 && n->output[0][0] ? value_of(L, n->output[0]) : NULL;
      if (i != 0 || y == NULL) return float_graph(L, v, n);
      if (only_moves(n)) {
        QV_TRY(input_quant(L, y, q, depth + 1));
        continue;
      }
      if (strcmp(op_name(n), "QuantizeLinear") != 0 || n->n_input < 2) return float_graph(L, v, n);
      ox_value *s = value_of(L, n->input[1]), *z = n->n_input > 2 && n->input[2][0] ? value_of(L, n->input[2]) : NULL;
      ox_quant mine;
      if (s == NULL) return OX_PARSE(L, v, "the QuantizeLinear of the input has no scale");
      QV_TRY(ox_quant_of(L, s, z, ONX_UINT8, &mine));
      if (mine.n != 1) return OX_UNSUP(L, v, "the input is quantized with %u scales; inputs take one", mine.n);
      if (q->n != 0 && (q->s[0] != mine.s[0] || q->z[0] != mine.z[0] || q->type != mine.type))
        return OX_UNSUP(L, v, "the float input is quantized in two different ways");
      *q = mine;
    }
  }
done:
  return st;
}

static qv_status lower_input(ox *L, const Onnx__ValueInfoProto *info) {
  qv_status st;
  uint32_t i;
  ox_shape s;
  if (info->name == NULL || info->name[0] == 0) return OX_PARSE(L, NULL, "an input of the model has no name");
  QV_TRY(name_value(L, info->name, &i));
  ox_value *v = &L->val[i];
  if (v->state == OX_CONST) goto done; /* an initializer with a default that callers could override: taken as constant */
  if (v->state != OX_UNSET) return OX_PARSE(L, v, "the same input is listed twice");
  if (info->type == NULL || info->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) return OX_UNSUP(L, v, "the input is not a tensor");
  const Onnx__TypeProto__Tensor *t = info->type->tensor_type;
  v->type = t->elem_type;
  if (v->uses == 0 && !v->is_output) {
    v->state = OX_UNSET; /* nobody reads it: not an input of the integer net */
    char *note = qv_arena_printf(&L->tmp, "input '%.100s' is not used", v->name);
    if (note == NULL || !qv_net_add_note(L->net, note)) return ox_nomem(L);
    goto done;
  }
  QV_TRY(input_shape(L, v, t, &s));
  qv_port p = {.end = QV_END_INT, .name = qv_arena_printf(&L->net->arena, "%s", info->name)};
  if (p.name == NULL) return ox_nomem(L);
  ox_quant q = {.type = v->type};
  if (v->type == ONX_FLOAT && L->qx != NULL) return qx_input(L, v, &s);
  if (v->type == ONX_FLOAT) {
    QV_TRY(input_quant(L, v, &q, 0));
    if (q.n == 0) return float_graph(L, v, NULL);
    p.end = QV_END_QUANT_EVEN;
  } else if (!onx_is_int(v->type) || v->type == ONX_INT32) {
    return OX_UNSUP(L, v, "inputs of this type are not supported; supported: integers of at most 16 bits, and FLOAT through QuantizeLinear");
  }
  QV_TRY(ox_add_tensor(L, v, "", ox_dtype(q.type), &s, &p.tensor));
  L->net->tensor[p.tensor].lo = onx_range(q.type).lo;
  L->net->tensor[p.tensor].hi = onx_range(q.type).hi;
  ox_set_int(v, p.tensor, q.type, &s, false);
  if (v->type == ONX_INT32) return OX_UNSUP(L, v, "the input is quantized to INT32");
  if (p.end == QV_END_QUANT_EVEN) {
    ox_tag(L, p.tensor, q.s[0], q.z[0]);
    ox_set_dq(v, v, q.s[0], q.z[0]);
  }
  if (!qv_net_add_in(L->net, &p)) return ox_nomem(L);
done:
  return st;
}

/* ---- outputs ----------------------------------------------------------------------------------------------------------- */

bool ox_is_sum(const ox_value *v) {
  const ox_pending *p = v->pend;
  return v->state == OX_ACC && p->kind == OX_P_GEMM && p->n_w == 1 && !p->has_lo && !p->has_hi && !v->cl;
}

/* The model ends in a matrix product without a QuantizeLinear: its outputs are the sums. */
static qv_status sum_output(ox *L, ox_value *v) {
  const ox_pending *p = v->pend;
  const qv_port port = {.tensor = v->net, .end = QV_END_DEQUANT, .name = qv_arena_printf(&L->net->arena, "%s", v->name)};
  const char *note = qv_arena_printf(&L->tmp, "output '%.100s': properties are decided on the integer sums; the float results f32(f32(sum)*scale) have their order", v->name);
  ox_tag(L, v->net, p->alpha * p->s[0] * p->w[0], 0);
  return port.name != NULL && note != NULL && qv_net_add_note(L->net, note) && qv_net_add_out(L->net, &port) ? QV_OK : ox_nomem(L);
}

static qv_status add_output(ox *L, ox_value *v) {
  qv_status st = QV_OK;
  qv_port p = {.end = v->state == OX_DQ ? QV_END_DEQUANT : QV_END_INT, .tail = v->tail};
  char *note = NULL;
  if (v->state == OX_UNSET) return OX_PARSE(L, v, "nothing writes this output of the model");
  if (v->state == OX_CONST || v->state == OX_DQ_CONST) {
    note = qv_arena_printf(&L->tmp, "output '%.100s' does not depend on the inputs and is left out", v->name);
    return note != NULL && qv_net_add_note(L->net, note) ? QV_OK : ox_nomem(L);
  }
  if (v->state == OX_REAL) return qx_output(L, v);
  if (v->state == OX_ANY) return ox_any_output(L, v);
  if (ox_is_sum(v)) return sum_output(L, v);
  if (v->state != OX_INT && v->state != OX_DQ)
    return OX_UNSUP(L, v, "this output is the float result of an operator without a QuantizeLinear behind it: it makes no integer claim");
  QV_TRY(ox_net_of(L, v, false, &p.tensor));
  const qv_tensor *t = &L->net->tensor[p.tensor];
  if (p.end == QV_END_DEQUANT && t->has_q && (t->scale != v->s || t->zp != v->z)) { /* read with another scale than it was written with */
    uint32_t copy;
    QV_TRY(ox_add_tensor(L, v, "/out", t->type, &v->shape, &copy));
    QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_RESHAPE}}, &p.tensor, 1, copy));
    p.tensor = copy;
  }
  if (p.end == QV_END_DEQUANT) ox_tag(L, p.tensor, v->s, v->z);
  p.name = qv_arena_printf(&L->net->arena, "%s", v->name);
  if (p.name == NULL || !qv_net_add_out(L->net, &p)) return ox_nomem(L);
  if (v->tail != NULL) {
    note = qv_arena_printf(&L->tmp, "output '%.100s': properties are decided on the integers before the float %s%s", v->name, v->tail,
                          v->producer != QV_NONE && strstr(op_name(L->m->graph->node[v->producer]), "Softmax") == NULL ? " and the quantization of its result" : "");
    if (note == NULL || !qv_net_add_note(L->net, note)) return ox_nomem(L);
  }
done:
  return st;
}

/* A model without any quantization operator gets one clear sentence. */
static bool quantized(const Onnx__GraphProto *g) {
  for (size_t k = 0; k < g->n_node; k++)
    if (strstr(op_name(g->node[k]), "Quantize") != NULL || strstr(op_name(g->node[k]), "QLinear") != NULL ||
        strstr(op_name(g->node[k]), "Integer") != NULL || qx_domain(op_domain(g->node[k])) || strcmp(op_name(g->node[k]), "QGemm") == 0)
      return true;
  for (size_t i = 0; i < g->n_input; i++) {
    const Onnx__TypeProto *t = g->input[i]->type;
    if (t != NULL && t->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE && !is_float_type(t->tensor_type->elem_type)) return true;
  }
  return false;
}

static qv_status lower(ox *L, bool has_profile) {
  qv_status st;
  const Onnx__GraphProto *g = L->m->graph;
  if (L->qx == NULL && !quantized(g))
    return OX_UNSUP(L, NULL, "the model computes in floating point: float graphs make no integer claim; quantize it (QOperator or QDQ)");
  for (uint32_t k = 0; L->qx == NULL && k < g->n_node; k++) {
    if (!qx_domain(op_domain(g->node[k]))) continue;
    if (!has_profile) return need_profile(L);
    L->op = g->node[k];
    L->op_number = k;
    return OX_UNSUP(L, NULL, "an operator over real numbers; name a profile such as qonnx-exact or finn, not %s", L->prof->name);
  }
  QV_TRY(name_values(L));
  QV_TRY(initializers(L));
  for (size_t i = 0; i < g->n_input; i++) QV_TRY(lower_input(L, g->input[i]));
  for (L->op_number = 0; L->op_number < g->n_node; L->op_number++) {
    L->op = g->node[L->op_number];
    QV_TRY(L->opaque && L->qx == NULL ? lower_or_opaque(L, has_profile) : lower_node(L, has_profile));
  }
  L->op = NULL;
  for (size_t i = 0; i < g->n_output; i++) QV_TRY(add_output(L, &L->val[qv_names_get(&L->index, g->output[i]->name)]));
  if (L->net->n_in == 0) return OX_UNSUP(L, NULL, "the model has no inputs that it uses");
  if (L->net->n_out == 0) return OX_UNSUP(L, NULL, "no output of the model depends on an input");
  if (L->qx != NULL) st = qx_finish(L);
done:
  return st;
}

qv_status qv_onnx_read(qv_net **out, const void *data, size_t n, const char *name, const qv_load_opts *opts, qv_err *err) {
  qv_status st;
  qv_net *net = NULL;
  onx_model m = {0};
  ox L = {.m = &m, .err = err, .file = name};
  bool has_profile = opts != NULL && opts->profile != NULL;
  size_t limit = opts != NULL && opts->max_bytes != 0 ? opts->max_bytes : INT32_MAX;
  L.prof = qv_onnx_profile_find(has_profile ? opts->profile : "onnx-spec");
  if (L.prof == NULL) return QV_FAIL(err, QV_E_ARG, "%.60s: profile '%.60s' is not one for ONNX files", name, opts != NULL ? opts->profile : "");
  L.tmp.limit = limit;
  L.opaque = opts != NULL && opts->opaque;
  QV_TRY(onx_model_read(&m, data, n, limit, name, err));
  m.dir = opts != NULL ? opts->dir : NULL;
  net = L.net = qv_net_new(limit);
  if (net == NULL) {
    st = ox_nomem(&L);
    goto done;
  }
  if (L.prof->reals != QV_REALS_NONE) {
    QV_TRY(qx_init(&L));
    (void)qv_reals_parse(&L.reals, opts->profile); /* qv_onnx_profile_find has */
  }
  QV_TRY(lower(&L, has_profile));
  net->source = qv_arena_printf(&net->arena, "%s", name);
  net->profile = has_profile ? qv_arena_printf(&net->arena, "%s", L.qx != NULL ? opts->profile : L.prof->name) : "";
  net->format = "onnx";
  if (net->source == NULL || net->profile == NULL) {
    st = ox_nomem(&L);
    goto done;
  }
  QV_TRY(qv_ir_check(net, err));
  *out = net;
  net = NULL;
done:
  qv_net_free(net);
  qx_clear(&L);
  onx_model_clear(&m);
  qv_arena_clear(&L.tmp);
  return st;
}
