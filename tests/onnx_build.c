#include "tests/onnx_build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static void *get(ob *b, size_t n, size_t size) {
  void *p = qv_arena_alloc(&b->a, n, size);
  assert_non_null(p);
  return p;
}

static char *text(ob *b, const char *s) {
  char *t = qv_arena_str(&b->a, s, strlen(s));
  assert_non_null(t);
  return t;
}

/* One more element of a pointer array that the arena owns. */
#define PUSH(b, array, count, item)                                    \
  do {                                                                 \
    void *grown_ = get((b), (count) + 1, sizeof(void *));              \
    if ((count) > 0) memcpy(grown_, (array), (count) * sizeof(void *)); \
    (array) = grown_;                                                  \
    (array)[(count)++] = (item);                                       \
  } while (0)

void ob_init(ob *b, int64_t opset) {
  memset(b, 0, sizeof *b);
  onnx__model_proto__init(&b->model);
  onnx__graph_proto__init(&b->graph);
  onnx__operator_set_id_proto__init(&b->opset);
  onnx__operator_set_id_proto__init(&b->ms);
  b->opset.has_version = b->ms.has_version = 1;
  b->opset.version = opset;
  b->ms.version = 1;
  b->ms.domain = text(b, "com.microsoft");
  b->opsets[0] = &b->opset;
  b->opsets[1] = &b->ms;
  b->model.has_ir_version = 1;
  b->model.ir_version = 8;
  b->model.n_opset_import = 2;
  b->model.opset_import = b->opsets;
  b->model.graph = &b->graph;
  b->graph.name = text(b, "g");
}

void ob_clear(ob *b) { qv_arena_clear(&b->a); }

static Onnx__ValueInfoProto *value(ob *b, const char *name, int type, size_t n, const int64_t *dim) {
  Onnx__ValueInfoProto *v = get(b, 1, sizeof *v);
  Onnx__TypeProto *t = get(b, 1, sizeof *t);
  Onnx__TypeProto__Tensor *tt = get(b, 1, sizeof *tt);
  Onnx__TensorShapeProto *s = get(b, 1, sizeof *s);
  onnx__value_info_proto__init(v);
  onnx__type_proto__init(t);
  onnx__type_proto__tensor__init(tt);
  onnx__tensor_shape_proto__init(s);
  v->name = text(b, name);
  v->type = t;
  t->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
  t->tensor_type = tt;
  tt->has_elem_type = 1;
  tt->elem_type = type;
  if (dim != NULL) tt->shape = s;
  for (size_t i = 0; i < n; i++) {
    Onnx__TensorShapeProto__Dimension *d = get(b, 1, sizeof *d);
    onnx__tensor_shape_proto__dimension__init(d);
    if (dim[i] >= 0) {
      d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
      d->dim_value = dim[i];
    }
    PUSH(b, s->dim, s->n_dim, d);
  }
  return v;
}

void ob_input(ob *b, const char *name, int type, size_t n, const int64_t *dim) {
  PUSH(b, b->graph.input, b->graph.n_input, value(b, name, type, n, dim));
}

void ob_output(ob *b, const char *name, int type) { PUSH(b, b->graph.output, b->graph.n_output, value(b, name, type, 0, NULL)); }

static Onnx__TensorProto *tensor(ob *b, int type, size_t n, const int64_t *dim, size_t *count) {
  Onnx__TensorProto *t = get(b, 1, sizeof *t);
  char name[16];
  onnx__tensor_proto__init(t);
  (void)snprintf(name, sizeof name, "c%u", b->counter++);
  t->name = text(b, name);
  t->has_data_type = 1;
  t->data_type = type;
  t->n_dims = n;
  t->dims = get(b, n, sizeof *t->dims);
  *count = 1;
  for (size_t i = 0; i < n; i++) *count *= (size_t)(t->dims[i] = dim[i]);
  PUSH(b, b->graph.initializer, b->graph.n_initializer, t);
  return t;
}

const char *ob_ints(ob *b, int type, size_t n, const int64_t *dim, const int64_t *v) {
  size_t count;
  Onnx__TensorProto *t = tensor(b, type, n, dim, &count);
  if (type == OB_I64) {
    t->n_int64_data = count;
    t->int64_data = get(b, count, sizeof *t->int64_data);
    for (size_t i = 0; i < count; i++) t->int64_data[i] = v[i];
  } else {
    t->n_int32_data = count;
    t->int32_data = get(b, count, sizeof *t->int32_data);
    for (size_t i = 0; i < count; i++) t->int32_data[i] = (int32_t)v[i];
  }
  return t->name;
}

const char *ob_floats(ob *b, size_t n, const int64_t *dim, const float *v) {
  size_t count;
  Onnx__TensorProto *t = tensor(b, OB_FLOAT, n, dim, &count);
  t->n_float_data = count;
  t->float_data = get(b, count, sizeof *t->float_data);
  memcpy(t->float_data, v, count * sizeof *v);
  return t->name;
}

const char *ob_int(ob *b, int type, int64_t v) { return ob_ints(b, type, 0, NULL, &v); }
const char *ob_float(ob *b, float v) { return ob_floats(b, 0, NULL, &v); }

Onnx__NodeProto *ob_node(ob *b, const char *domain, const char *op, const char *out, ...) {
  Onnx__NodeProto *n = get(b, 1, sizeof *n);
  va_list ap;
  onnx__node_proto__init(n);
  n->op_type = text(b, op);
  if (domain[0] != 0) n->domain = text(b, domain);
  PUSH(b, n->output, n->n_output, text(b, out));
  va_start(ap, out);
  for (const char *in; (in = va_arg(ap, const char *)) != NULL;) PUSH(b, n->input, n->n_input, text(b, in));
  va_end(ap);
  PUSH(b, b->graph.node, b->graph.n_node, n);
  return n;
}

static Onnx__AttributeProto *attr(ob *b, Onnx__NodeProto *n, const char *name, Onnx__AttributeProto__AttributeType type) {
  Onnx__AttributeProto *a = get(b, 1, sizeof *a);
  onnx__attribute_proto__init(a);
  a->name = text(b, name);
  a->has_type = 1;
  a->type = type;
  PUSH(b, n->attribute, n->n_attribute, a);
  return a;
}

void ob_attr_i(ob *b, Onnx__NodeProto *n, const char *name, int64_t v) {
  Onnx__AttributeProto *a = attr(b, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
  a->has_i = 1;
  a->i = v;
}

void ob_attr_f(ob *b, Onnx__NodeProto *n, const char *name, float v) {
  Onnx__AttributeProto *a = attr(b, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
  a->has_f = 1;
  a->f = v;
}

void ob_attr_s(ob *b, Onnx__NodeProto *n, const char *name, const char *v) {
  Onnx__AttributeProto *a = attr(b, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
  a->has_s = 1;
  a->s.len = strlen(v);
  a->s.data = (uint8_t *)text(b, v);
}

void ob_annotate(ob *b, const char *tensor_name, const char *finn_datatype) {
  Onnx__TensorAnnotation *a = get(b, 1, sizeof *a);
  Onnx__StringStringEntryProto *e = get(b, 1, sizeof *e);
  onnx__tensor_annotation__init(a);
  onnx__string_string_entry_proto__init(e);
  a->tensor_name = text(b, tensor_name);
  e->key = text(b, "finn_datatype");
  e->value = text(b, finn_datatype);
  PUSH(b, a->quant_parameter_tensor_names, a->n_quant_parameter_tensor_names, e);
  PUSH(b, b->graph.quantization_annotation, b->graph.n_quantization_annotation, a);
}

void ob_attr_ints(ob *b, Onnx__NodeProto *n, const char *name, size_t k, const int64_t *v) {
  Onnx__AttributeProto *a = attr(b, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
  a->n_ints = k;
  a->ints = get(b, k, sizeof *a->ints);
  memcpy(a->ints, v, k * sizeof *v);
}

void ob_pack(ob *b, qv_buf *out) {
  size_t n = onnx__model_proto__get_packed_size(&b->model);
  uint8_t *p = get(b, n + 1, 1);
  assert_int_equal(onnx__model_proto__pack(&b->model, p), n);
  qv_buf_put(out, p, n);
  assert_false(out->failed);
}
