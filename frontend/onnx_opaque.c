/* Operators that are not modelled, where the user has asked for it: their results may be anything. Integer results become OPAQUE
 * nodes; float results become so at their QuantizeLinear, with every operator in between (OX_ANY). */
#include <string.h>

#include "frontend/onnx_lower.h"

/* ---- what the file says about a value ----------------------------------------------------------------------------------------- */

static const Onnx__ValueInfoProto *info_of(const ox *L, const char *name) {
  const Onnx__GraphProto *g = L->m->graph;
  for (size_t i = 0; i < g->n_value_info; i++)
    if (g->value_info[i]->name != NULL && strcmp(g->value_info[i]->name, name) == 0) return g->value_info[i];
  for (size_t i = 0; i < g->n_output; i++)
    if (g->output[i]->name != NULL && strcmp(g->output[i]->name, name) == 0) return g->output[i];
  return NULL;
}

/* Element type and fixed shape that the file declares for v; an open first dimension is 1, as for inputs. */
static bool declared(const ox *L, const ox_value *v, int32_t *type, ox_shape *s) {
  const Onnx__ValueInfoProto *info = info_of(L, v->name);
  size_t n;
  if (info == NULL || info->type == NULL || info->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) return false;
  const Onnx__TypeProto__Tensor *t = info->type->tensor_type;
  if (t == NULL || t->shape == NULL || t->shape->n_dim > QV_MAX_RANK) return false;
  *type = t->elem_type;
  *s = (ox_shape){.rank = (uint32_t)t->shape->n_dim};
  for (uint32_t d = 0; d < s->rank; d++) {
    const Onnx__TensorShapeProto__Dimension *dim = t->shape->dim[d];
    bool fixed = dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE && dim->dim_value > 0;
    if (fixed && dim->dim_value <= (int64_t)QV_MAX_ELEMS) s->dim[d] = (uint32_t)dim->dim_value;
    else if (!fixed && d == 0) s->dim[d] = 1;
    else return false;
  }
  return ox_count(s, &n);
}

static const char *op_name(const Onnx__NodeProto *n) { return n->op_type != NULL ? n->op_type : ""; }

/* Operators on single elements: the result has the operands' shape, broadcast. */
static bool elementwise(const Onnx__NodeProto *n) {
  static const char *const names[] = {"Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu",
                                      "Gelu", "Mish", "Softplus", "Softsign", "Sigmoid", "HardSigmoid", "HardSwish", "Swish", "Tanh", "Neg", "Abs",
                                      "Exp", "Log", "Sqrt", "Reciprocal", "Erf", "Floor", "Ceil", "Round", "Sin", "Cos", "Softmax", "LogSoftmax",
                                      "BatchNormalization", "LayerNormalization", "InstanceNormalization", "DequantizeLinear", "QuantizeLinear"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (ox_is_op(n, names[i])) return true;
  return false;
}

/* Type and shape of result 0 without a declaration. */
static bool implied(ox *L, int32_t *type, ox_shape *s) {
  bool q = ox_is_op(L->op, "QuantizeLinear"), first = q || strstr(op_name(L->op), "Normalization") != NULL || ox_is_op(L->op, "DequantizeLinear");
  const ox_value *x = ox_opt(L, 0), *z = ox_opt(L, 2);
  size_t n;
  *type = q ? z != NULL ? z->type : ONX_UINT8 : ONX_FLOAT;
  *s = L->hint;
  if (L->hint.rank <= QV_MAX_RANK) return true;
  if (x == NULL || !elementwise(L->op)) return false;
  *s = x->shape;
  for (uint32_t k = 1; !first && k < L->op->n_input; k++) {
    const ox_value *v = ox_opt(L, k);
    const ox_shape so_far = *s;
    if (v != NULL && !ox_broadcast_shape(&so_far, &v->shape, s)) return false;
  }
  return ox_count(s, &n);
}

/* ---- what a value depends on ---------------------------------------------------------------------------------------------------- */

typedef struct {
  uint32_t t[QV_MAX_INPUTS], n;
} tensors;

static void add(tensors *d, uint32_t t) {
  for (uint32_t i = 0; i < d->n; i++)
    if (d->t[i] == t) return;
  if (t != QV_NONE && d->n < QV_MAX_INPUTS) d->t[d->n++] = t;
}

/* False: not known. */
static bool depends(tensors *d, const ox_value *v) {
  switch (v->state) {
  case OX_INT: case OX_DQ: case OX_MAP: add(d, v->net); return true;
  case OX_CONST: case OX_DQ_CONST: return true;
  case OX_ANY:
    for (uint32_t i = 0; i < v->n_dep; i++) add(d, v->dep[i]);
    return true;
  case OX_ACC:
    if (v->pend->kind == OX_P_PAIR) {
      add(d, v->pend->in[0]);
      if (!v->pend->one) add(d, v->pend->in[1]);
    } else if (v->pend->kind == OX_P_CONCAT) {
      for (uint32_t i = 0; i < v->pend->n_part; i++)
        if (!depends(d, v->pend->part[i])) return false;
    } else add(d, v->net);
    return true;
  case OX_UNSET: case OX_REAL: break;
  }
  return false;
}

/* ---- results -------------------------------------------------------------------------------------------------------------------- */

/* v becomes any integers of `type`. */
static qv_status any_integers(ox *L, ox_value *v, const ox_shape *s, int32_t type, const uint32_t *in, uint32_t n_in) {
  qv_status st;
  uint32_t net;
  qv_itv r = type == ONX_INT64 ? (qv_itv){-((int64_t)1 << 62), (int64_t)1 << 62} : onx_range(type);
  QV_TRY(ox_add_tensor(L, v, "", ox_dtype(type), s, &net));
  L->net->tensor[net].lo = r.lo;
  L->net->tensor[net].hi = r.hi;
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_OPAQUE}, in, n_in, net));
  ox_set_int(v, net, type, s, false);
done:
  return st;
}

qv_status ox_quantize_any(ox *L, const ox_value *x, float s, int32_t z, int32_t type, ox_value *y) {
  qv_status st = any_integers(L, y, &x->shape, type, x->dep, x->n_dep);
  if (st == QV_OK) ox_tag(L, y->net, s, z);
  return st;
}

static qv_status set_result(ox *L, ox_value *y, uint32_t k, const tensors *d) {
  int32_t type;
  ox_shape s;
  if (!declared(L, y, &type, &s) && !(k == 0 && implied(L, &type, &s))) return QV_E_UNSUP;
  if (onx_is_int(type) || type == ONX_INT64) return any_integers(L, y, &s, type, d->t, d->n);
  if (type != ONX_FLOAT) return QV_E_UNSUP;
  uint32_t *dep = QV_NEW(&L->tmp, d->n, uint32_t);
  if (dep == NULL) return ox_nomem(L);
  memcpy(dep, d->t, d->n * sizeof *dep);
  y->state = OX_ANY;
  y->type = type;
  y->shape = s;
  y->dep = dep;
  y->n_dep = d->n;
  return QV_OK;
}

static bool has_subgraph(const Onnx__NodeProto *n) {
  for (size_t i = 0; i < n->n_attribute; i++)
    if (n->attribute[i]->g != NULL || n->attribute[i]->n_graphs > 0) return true;
  return false; /* a subgraph reads values that are not among the operands */
}

qv_status ox_make_opaque(ox *L) {
  qv_status st = QV_E_UNSUP;
  tensors *d = QV_NEW(&L->tmp, 1, tensors);
  uint32_t made = 0;
  if (d == NULL) return ox_nomem(L);
  if (has_subgraph(L->op)) return QV_E_UNSUP;
  for (uint32_t k = 0; k < L->op->n_input; k++) {
    const ox_value *v = ox_opt(L, k);
    if (v != NULL && !depends(d, v)) return QV_E_UNSUP;
  }
  if (d->n == 0) return QV_E_UNSUP;
  for (uint32_t k = 0; k < L->op->n_output; k++) {
    ox_value *y;
    if (L->op->output[k][0] == 0) continue;
    y = &L->val[qv_names_get(&L->index, L->op->output[k])];
    if (y->uses == 0 && !y->is_output) continue;
    if (y->state != OX_UNSET) return QV_E_UNSUP;
    if ((st = set_result(L, y, k, d)) != QV_OK) return st;
    made++;
  }
  if (made == 0) return QV_E_UNSUP;
  char *note = qv_arena_printf(&L->tmp, "node %u (%.60s) is not modelled: its results may be any value of their type", L->op_number, op_name(L->op));
  return note != NULL && qv_net_add_note(L->net, note) ? QV_OK : ox_nomem(L);
}

/* An output that only operators without a model write: what they read is the net's output instead. */
qv_status ox_any_output(ox *L, const ox_value *v) {
  for (uint32_t i = 0; i < v->n_dep; i++) {
    qv_port p = {.tensor = v->dep[i], .end = QV_END_INT, .name = L->net->tensor[v->dep[i]].name};
    bool have = false;
    for (uint32_t k = 0; k < L->net->n_out; k++) have = have || L->net->out[k].tensor == p.tensor;
    if (!have && !qv_net_add_out(L->net, &p)) return ox_nomem(L);
  }
  char *note = qv_arena_printf(&L->tmp, "output '%.100s' is the float result of operators that are not modelled: the integers that they read are the "
                               "outputs instead", v->name);
  return note != NULL && qv_net_add_note(L->net, note) ? QV_OK : ox_nomem(L);
}
