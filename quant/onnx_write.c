#include "quant/onnx_write.h"

#include <stdlib.h>
#include <string.h>

static void *mem(ow *w, size_t n, size_t size) {
  void *p = w->failed ? NULL : qv_arena_alloc(&w->arena, n, size);
  if (p == NULL) w->failed = true;
  return p;
}
#define MEM(w, n, type) ((type *)mem((w), (n), sizeof(type)))

static char *str(ow *w, const char *s) {
  char *p = w->failed ? NULL : qv_arena_str(&w->arena, s, strlen(s));
  if (p == NULL) w->failed = true;
  return p;
}

/* Room for one more pointer in a list that lives in the arena. */
static bool more(ow *w, void *list, size_t n, size_t *cap) {
  if (n < *cap) return true;
  size_t c = *cap == 0 ? 64 : 2 * *cap;
  void *old, *p = mem(w, c, sizeof(void *));
  if (p == NULL) return false;
  memcpy(&old, list, sizeof old);
  if (n > 0) memcpy(p, old, n * sizeof(void *));
  memcpy(list, &p, sizeof p);
  *cap = c;
  return true;
}

static void import(ow *w, const char *domain, int64_t version) {
  Onnx__OperatorSetIdProto *set = MEM(w, 1, Onnx__OperatorSetIdProto);
  if (set == NULL) return;
  onnx__operator_set_id_proto__init(set);
  set->domain = str(w, domain);
  set->has_version = true;
  set->version = version;
  w->model.opset_import[w->model.n_opset_import++] = set;
}

void ow_init(ow *w, const char *producer, int64_t opset, const char *domain) {
  memset(w, 0, sizeof *w);
  onnx__model_proto__init(&w->model);
  onnx__graph_proto__init(&w->graph);
  w->model.has_ir_version = true;
  w->model.ir_version = opset > 18 ? 10 : 8;
  w->model.producer_name = str(w, producer);
  w->model.graph = &w->graph;
  w->graph.name = str(w, "quantized");
  w->model.opset_import = MEM(w, 2, Onnx__OperatorSetIdProto *);
  if (w->failed) return;
  import(w, "", opset);
  if (domain != NULL) import(w, domain, 1);
}

void ow_clear(ow *w) {
  qv_arena_clear(&w->arena);
  memset(w, 0, sizeof *w);
}

const char *ow_name(ow *w, const char *base, const char *suffix) {
  const char *n = w->failed ? NULL : qv_names_unique(&w->names, &w->arena, &w->arena, base, suffix);
  if (n == NULL) w->failed = true;
  return n != NULL ? n : "";
}

static size_t product(uint32_t rank, const uint32_t *dim) {
  size_t n = 1;
  for (uint32_t d = 0; d < rank; d++) n *= dim[d];
  return n;
}

/* New initializer with room for n elements of `size` bytes; NULL without memory. */
static unsigned char *initializer(ow *w, const char *base, int32_t type, uint32_t rank, const uint32_t *dim, size_t bytes, const char **name) {
  Onnx__TensorProto *t = MEM(w, 1, Onnx__TensorProto);
  int64_t *dims = MEM(w, rank, int64_t);
  unsigned char *raw = MEM(w, bytes, unsigned char);
  *name = ow_name(w, base, "");
  if (w->failed || !more(w, &w->graph.initializer, w->graph.n_initializer, &w->cap_init)) return NULL;
  onnx__tensor_proto__init(t);
  for (uint32_t d = 0; d < rank; d++) dims[d] = dim[d];
  t->n_dims = rank;
  t->dims = dims;
  t->has_data_type = true;
  t->data_type = type;
  t->name = str(w, *name);
  t->has_raw_data = true;
  t->raw_data = (ProtobufCBinaryData){bytes, raw};
  w->graph.initializer[w->graph.n_initializer++] = t;
  return raw;
}

static void put(unsigned char *p, uint64_t v, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) p[i] = (unsigned char)(v >> (8 * i) & 255);
}

const char *ow_floats(ow *w, const char *base, uint32_t rank, const uint32_t *dim, const float *f) {
  const char *name;
  size_t n = product(rank, dim);
  unsigned char *raw = initializer(w, base, ONX_FLOAT, rank, dim, 4 * n, &name);
  for (size_t e = 0; raw != NULL && e < n; e++) {
    uint32_t bits;
    memcpy(&bits, &f[e], 4);
    put(raw + 4 * e, bits, 4);
  }
  return name;
}

const char *ow_ints(ow *w, const char *base, int32_t type, uint32_t rank, const uint32_t *dim, const int32_t *i) {
  const char *name;
  size_t n = product(rank, dim), bytes = type == ONX_INT64 ? 8 : type == ONX_INT32 ? 4 : type == ONX_INT16 || type == ONX_UINT16 ? 2 : 1;
  unsigned char *raw = initializer(w, base, type, rank, dim, bytes * n, &name);
  for (size_t e = 0; raw != NULL && e < n; e++) put(raw + bytes * e, (uint64_t)(int64_t)i[e], bytes);
  return name;
}

Onnx__NodeProto *ow_node(ow *w, const char *op, const char *out, uint32_t n_in, const char *const *in) {
  Onnx__NodeProto *n = MEM(w, 1, Onnx__NodeProto);
  if (n == NULL || !more(w, &w->graph.node, w->graph.n_node, &w->cap_node)) return NULL;
  onnx__node_proto__init(n);
  n->op_type = str(w, op);
  n->name = str(w, out);
  n->input = MEM(w, n_in, char *);
  n->output = MEM(w, 1, char *);
  n->attribute = MEM(w, 8, Onnx__AttributeProto *);
  if (w->failed) return NULL;
  for (uint32_t i = 0; i < n_in; i++) n->input[i] = str(w, in[i]);
  n->output[0] = str(w, out);
  n->n_input = n_in;
  n->n_output = 1;
  w->graph.node[w->graph.n_node++] = n;
  return n;
}

static Onnx__AttributeProto *attr(ow *w, Onnx__NodeProto *n, const char *name, Onnx__AttributeProto__AttributeType type) {
  Onnx__AttributeProto *a = n != NULL ? MEM(w, 1, Onnx__AttributeProto) : NULL;
  if (a == NULL || n->n_attribute == 8) return NULL;
  onnx__attribute_proto__init(a);
  a->name = str(w, name);
  a->has_type = true;
  a->type = type;
  n->attribute[n->n_attribute++] = a;
  return a;
}

void ow_domain(ow *w, Onnx__NodeProto *n, const char *domain) {
  if (n != NULL) n->domain = str(w, domain);
}

void ow_attr_s(ow *w, Onnx__NodeProto *n, const char *name, const char *v) {
  Onnx__AttributeProto *a = attr(w, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
  char *s = str(w, v);
  if (a == NULL || s == NULL) return;
  a->has_s = true;
  a->s = (ProtobufCBinaryData){strlen(s), (unsigned char *)s};
}

void ow_attr_i(ow *w, Onnx__NodeProto *n, const char *name, int64_t v) {
  Onnx__AttributeProto *a = attr(w, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
  if (a != NULL) a->has_i = true, a->i = v;
}

void ow_attr_f(ow *w, Onnx__NodeProto *n, const char *name, float v) {
  Onnx__AttributeProto *a = attr(w, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
  if (a != NULL) a->has_f = true, a->f = v;
}

void ow_attr_ints(ow *w, Onnx__NodeProto *n, const char *name, uint32_t k, const uint32_t *v) {
  Onnx__AttributeProto *a = attr(w, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
  int64_t *p = MEM(w, k, int64_t);
  if (a == NULL || p == NULL) return;
  for (uint32_t i = 0; i < k; i++) p[i] = v[i];
  a->ints = p;
  a->n_ints = k;
}

void ow_port(ow *w, bool input, const char *name, uint32_t rank, const uint32_t *dim) {
  Onnx__ValueInfoProto *v = MEM(w, 1, Onnx__ValueInfoProto), **list = MEM(w, 1, Onnx__ValueInfoProto *);
  Onnx__TypeProto *type = MEM(w, 1, Onnx__TypeProto);
  Onnx__TypeProto__Tensor *t = MEM(w, 1, Onnx__TypeProto__Tensor);
  Onnx__TensorShapeProto *shape = MEM(w, 1, Onnx__TensorShapeProto);
  Onnx__TensorShapeProto__Dimension *d = MEM(w, rank, Onnx__TensorShapeProto__Dimension), **dims = MEM(w, rank, Onnx__TensorShapeProto__Dimension *);
  if (w->failed) return;
  onnx__value_info_proto__init(v);
  onnx__type_proto__init(type);
  onnx__type_proto__tensor__init(t);
  onnx__tensor_shape_proto__init(shape);
  for (uint32_t i = 0; i < rank; i++) {
    onnx__tensor_shape_proto__dimension__init(&d[i]);
    d[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    d[i].dim_value = dim[i];
    dims[i] = &d[i];
  }
  shape->n_dim = rank;
  shape->dim = dims;
  t->has_elem_type = true;
  t->elem_type = ONX_FLOAT;
  t->shape = shape;
  type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
  type->tensor_type = t;
  v->name = str(w, name);
  v->type = type;
  list[0] = v;
  if (input) w->graph.input = list, w->graph.n_input = 1;
  else w->graph.output = list, w->graph.n_output = 1;
}

qv_status ow_finish(qv_buf *out, ow *w, qv_err *err) {
  if (w->failed) return QV_FAIL(err, QV_E_NOMEM, "ONNX model");
  size_t n = onnx__model_proto__get_packed_size(&w->model);
  unsigned char *p = malloc(n + 1);
  if (p == NULL) return QV_FAIL(err, QV_E_NOMEM, "ONNX model");
  (void)onnx__model_proto__pack(&w->model, p);
  qv_buf_put(out, p, n);
  free(p);
  return out->failed ? QV_FAIL(err, QV_E_NOMEM, "ONNX model") : QV_OK;
}
