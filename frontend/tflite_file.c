#include "frontend/tflite_file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_NAME 200 /* bytes of a name that are kept */

/* ---- names ----------------------------------------------------------------------------------------------------------- */

const char *tfl_type_name(int type) {
  static const char *const names[] = {"FLOAT32", "FLOAT16",   "INT32",  "UINT8",   "INT64",      "STRING", "BOOL",
                                      "INT16",   "COMPLEX64", "INT8",   "FLOAT64", "COMPLEX128", "UINT64", "RESOURCE",
                                      "VARIANT", "UINT32",    "UINT16", "INT4",    "BFLOAT16"};
  return type >= 0 && (size_t)type < sizeof names / sizeof *names ? names[type] : "unknown type";
}

const char *tfl_op_name(int32_t code) {
  static const char *const names[] = {
#define TFL_OP(name) name,
#include "frontend/tflite_ops.def"
#undef TFL_OP
  };
  return code >= 0 && (size_t)code < sizeof names / sizeof *names ? names[code] : "unknown operator";
}

bool tfl_is_float(int type) { return type == TFL_FLOAT32 || type == TFL_FLOAT16 || type == 10 || type == 18; }

size_t tfl_type_bits(int type) {
  static const unsigned char bits[] = {32, 16, 32, 8, 64, 0, 8, 16, 64, 8, 64, 128, 64, 0, 0, 32, 16, 4, 16};
  return type >= 0 && (size_t)type < sizeof bits ? bits[type] : 0;
}

/* Copy of a string field with everything but printable ASCII replaced by '?'; "" if absent; NULL when memory is short. */
static const char *string_field(tfl_model *m, const qv_fb_table *t, unsigned id) {
  qv_fb_vec v = qv_fb_vector(&m->fb, t, id, 1);
  size_t n = v.n < MAX_NAME ? v.n : MAX_NAME;
  char *s = qv_arena_str(&m->arena, v.n == 0 ? "" : (const char *)m->fb.p + v.pos, n);
  if (s == NULL) return NULL;
  for (size_t i = 0; i < n; i++)
    if (s[i] < 0x20 || s[i] > 0x7e) s[i] = '?';
  return s;
}

/* ---- tensors --------------------------------------------------------------------------------------------------------- */

/* Message prefix and the tensor it is about. */
#define BAD_TENSOR(m, i, t, ...) bad_tensor((m), (i), (t)->name, __VA_ARGS__)

static qv_status bad_tensor(tfl_model *m, uint32_t i, const char *name, const char *what) {
  return QV_FAIL(m->fb.err, QV_E_PARSE, "%s: tensor %u '%.120s': %s", m->fb.name, i, name, what);
}

static qv_status read_shape(tfl_model *m, uint32_t i, const qv_fb_table *ft, tfl_tensor *t) {
  qv_fb_vec shape = qv_fb_vector(&m->fb, ft, 0, 4), sig = qv_fb_vector(&m->fb, ft, 7, 4);
  if (m->fb.bad) return QV_E_PARSE;
  if (shape.n > QV_MAX_RANK)
    return QV_FAIL(m->fb.err, QV_E_UNSUP, "%s: tensor %u '%.120s' has %u dimensions; at most %d are supported", m->fb.name, i, t->name,
                   shape.n, QV_MAX_RANK);
  if (sig.n != 0 && sig.n != shape.n) return BAD_TENSOR(m, i, t, "its shape and its shape signature differ in rank");
  t->rank = shape.n;
  for (uint32_t d = 0; d < shape.n; d++) {
    int32_t v = qv_fb_at_i32(&m->fb, &shape, d), s = sig.n != 0 ? qv_fb_at_i32(&m->fb, &sig, d) : v;
    if (v < -1 || s < -1) return BAD_TENSOR(m, i, t, "a dimension is negative");
    if (v >= 0 && s >= 0 && v != s) return BAD_TENSOR(m, i, t, "its shape and its shape signature differ");
    t->dim[d] = v == -1 ? 1 : v;
    t->dyn[d] = v == -1 || s == -1;
  }
  return QV_OK;
}

/* Bytes of the tensor's elements; false if the type has no fixed size or the product leaves size_t. */
static bool tensor_bytes(const tfl_tensor *t, size_t *bytes) {
  size_t n = 1, bits = tfl_type_bits(t->type);
  for (uint32_t d = 0; d < t->rank; d++)
    if (!qv_mulz(&n, n, (size_t)t->dim[d])) return false;
  if (bits == 0 || !qv_mulz(&n, n, bits) || !qv_addz(&n, n, 7)) return false;
  *bytes = n / 8;
  return true;
}

/* The tensor's buffer: embedded bytes, or offset and size from the start of the file (files above 2 GiB). */
static qv_status read_buffer(tfl_model *m, uint32_t i, tfl_tensor *t, const qv_fb_vec *buffers, uint32_t number) {
  if (number >= buffers->n) {
    if (number == 0) return QV_OK; /* a file without any buffer: no constants */
    return BAD_TENSOR(m, i, t, "its buffer does not exist");
  }
  qv_fb_table b = qv_fb_at_table(&m->fb, buffers, number);
  qv_fb_vec data = qv_fb_vector(&m->fb, &b, 0, 1);
  uint64_t off = qv_fb_u64(&m->fb, &b, 1, 0), size = qv_fb_u64(&m->fb, &b, 2, 0);
  if (m->fb.bad) return QV_E_PARSE;
  if (data.n == 0 && off > 1) { /* 0 and 1 mean "none" in the schema */
    if (off > m->fb.n || size > m->fb.n - off) return BAD_TENSOR(m, i, t, "its external buffer lies outside the file");
    t->data = size != 0 ? m->fb.p + off : NULL;
    t->n_data = (size_t)size;
  } else if (data.n != 0) {
    t->data = m->fb.p + data.pos;
    t->n_data = data.n;
  }
  if (t->data == NULL || t->type == TFL_STRING) return QV_OK;
  size_t want;
  if (!tensor_bytes(t, &want)) return tfl_type_bits(t->type) == 0 ? QV_OK : BAD_TENSOR(m, i, t, "it is too large");
  if (t->n_data != want)
    return QV_FAIL(m->fb.err, QV_E_PARSE, "%s: tensor %u '%.120s': its buffer has %zu bytes, but shape and type %s need %zu", m->fb.name, i,
                   t->name, t->n_data, tfl_type_name(t->type), want);
  return QV_OK;
}

static qv_status read_quantization(tfl_model *m, uint32_t i, const qv_fb_table *ft, tfl_tensor *t) {
  qv_fb_table q = qv_fb_sub(&m->fb, ft, 4);
  t->scale = qv_fb_vector(&m->fb, &q, 2, 4);
  t->zp = qv_fb_vector(&m->fb, &q, 3, 8);
  t->custom_q = qv_fb_u8(&m->fb, &q, 4, 0) != 0;
  t->qdim = qv_fb_i32(&m->fb, &q, 6, 0);
  if (m->fb.bad) return QV_E_PARSE;
  if (t->zp.n > 1 && t->zp.n != t->scale.n) return BAD_TENSOR(m, i, t, "it has as many zero points as neither one nor its scales");
  for (uint32_t c = 0; c < t->scale.n; c++) {
    float s = tfl_scale(m, t, c);
    if (!isfinite(s) || s < 0) return BAD_TENSOR(m, i, t, "a quantization scale is negative, infinite or not a number");
  }
  return QV_OK;
}

static qv_status read_tensor(tfl_model *m, uint32_t i, const qv_fb_vec *tensors, const qv_fb_vec *buffers) {
  qv_status st;
  tfl_tensor *t = &m->tensor[i];
  qv_fb_table ft = qv_fb_at_table(&m->fb, tensors, i);
  t->name = string_field(m, &ft, 3);
  if (t->name == NULL) return QV_FAIL(m->fb.err, QV_E_NOMEM, "%s: out of memory", m->fb.name);
  t->type = qv_fb_i8(&m->fb, &ft, 1, 0);
  t->variable = qv_fb_bool(&m->fb, &ft, 5, false);
  t->sparse = qv_fb_sub(&m->fb, &ft, 6).pos != 0;
  QV_TRY(read_shape(m, i, &ft, t));
  QV_TRY(read_quantization(m, i, &ft, t));
  QV_TRY(read_buffer(m, i, t, buffers, qv_fb_u32(&m->fb, &ft, 2, 0)));
  st = m->fb.bad ? QV_E_PARSE : QV_OK;
done:
  return st;
}

/* ---- operators ------------------------------------------------------------------------------------------------------- */

static qv_status check_numbers(tfl_model *m, const qv_fb_vec *v, int32_t lowest, const char *what, uint32_t i) {
  for (uint32_t k = 0; k < v->n; k++) {
    int32_t t = qv_fb_at_i32(&m->fb, v, k);
    if (t < lowest || t >= (int64_t)m->n_tensors)
      return QV_FAIL(m->fb.err, QV_E_PARSE, "%s: %s %u: tensor number %d is out of range (the file has %u tensors)", m->fb.name, what, i, t,
                     m->n_tensors);
  }
  return QV_OK;
}

static qv_status read_op(tfl_model *m, uint32_t i, const qv_fb_vec *ops, const qv_fb_vec *codes) {
  qv_status st;
  tfl_op *op = &m->op[i];
  qv_fb_table fo = qv_fb_at_table(&m->fb, ops, i);
  uint32_t c = qv_fb_u32(&m->fb, &fo, 0, 0);
  if (m->fb.bad) return QV_E_PARSE;
  if (c >= codes->n)
    return QV_FAIL(m->fb.err, QV_E_PARSE, "%s: operator %u: operator code %u does not exist (the file has %u)", m->fb.name, i, c, codes->n);
  qv_fb_table fc = qv_fb_at_table(&m->fb, codes, c);
  int32_t old = qv_fb_i8(&m->fb, &fc, 0, 0), now = qv_fb_i32(&m->fb, &fc, 3, 0);
  op->code = old > now ? old : now; /* old files have only the 8-bit field, new ones both (schema.fbs, OperatorCode) */
  op->name = op->code == TFL_CUSTOM ? string_field(m, &fc, 1) : tfl_op_name(op->code);
  if (op->name == NULL) return QV_FAIL(m->fb.err, QV_E_NOMEM, "%s: out of memory", m->fb.name);
  op->in = qv_fb_vector(&m->fb, &fo, 1, 4);
  op->out = qv_fb_vector(&m->fb, &fo, 2, 4);
  op->opt_type = qv_fb_u8(&m->fb, &fo, 3, 0);
  op->opt = qv_fb_sub(&m->fb, &fo, 4);
  if (m->fb.bad) return QV_E_PARSE;
  QV_TRY(check_numbers(m, &op->in, -1, "operator", i));
  QV_TRY(check_numbers(m, &op->out, 0, "operator", i));
done:
  return st;
}

/* ---- the file -------------------------------------------------------------------------------------------------------- */

static qv_status read_subgraph(tfl_model *m, const qv_fb_table *root, const qv_fb_table *sub) {
  qv_status st;
  qv_fb_vec codes = qv_fb_vector(&m->fb, root, 1, 4), buffers = qv_fb_vector(&m->fb, root, 4, 4);
  qv_fb_vec tensors = qv_fb_vector(&m->fb, sub, 0, 4), ops = qv_fb_vector(&m->fb, sub, 3, 4);
  m->in = qv_fb_vector(&m->fb, sub, 1, 4);
  m->out = qv_fb_vector(&m->fb, sub, 2, 4);
  if (m->fb.bad) return QV_E_PARSE;
  m->tensor = QV_NEW(&m->arena, tensors.n, tfl_tensor);
  m->op = QV_NEW(&m->arena, ops.n, tfl_op);
  if (m->tensor == NULL || m->op == NULL) return QV_FAIL(m->fb.err, QV_E_NOMEM, "%s: out of memory", m->fb.name);
  m->n_tensors = tensors.n;
  m->n_ops = ops.n;
  for (uint32_t i = 0; i < tensors.n; i++) QV_TRY(read_tensor(m, i, &tensors, &buffers));
  for (uint32_t i = 0; i < ops.n; i++) QV_TRY(read_op(m, i, &ops, &codes));
  QV_TRY(check_numbers(m, &m->in, 0, "input list of subgraph", 0));
  QV_TRY(check_numbers(m, &m->out, 0, "output list of subgraph", 0));
done:
  return st;
}

qv_status tfl_model_read(tfl_model *m, const void *data, size_t n, const char *name, qv_err *err) {
  m->fb = (qv_fb){.p = data, .n = n, .name = name, .err = err};
  if (n < 8 || memcmp((const char *)data + 4, "TFL3", 4) != 0)
    return QV_FAIL(err, QV_E_PARSE, "%s: not a TFLite file (no identifier TFL3)", name);
  qv_fb_table root = qv_fb_root(&m->fb);
  uint32_t version = qv_fb_u32(&m->fb, &root, 0, 0);
  qv_fb_vec subs = qv_fb_vector(&m->fb, &root, 2, 4);
  if (m->fb.bad) return QV_E_PARSE;
  if (version != 3) return QV_FAIL(err, QV_E_UNSUP, "%s: TFLite schema version %u; version 3 is supported", name, version);
  if (subs.n == 0) return QV_FAIL(err, QV_E_PARSE, "%s: the file has no subgraph", name);
  m->n_subgraphs = subs.n;
  qv_fb_table sub = qv_fb_at_table(&m->fb, &subs, 0);
  if (m->fb.bad) return QV_E_PARSE;
  return read_subgraph(m, &root, &sub);
}

void tfl_model_clear(tfl_model *m) { qv_arena_clear(&m->arena); }

int32_t tfl_in(const tfl_model *m, const tfl_op *op, uint32_t k) { return k < op->in.n ? qv_fb_at_i32(&m->fb, &op->in, k) : -1; }

int32_t tfl_out(const tfl_model *m, const tfl_op *op, uint32_t k) { return k < op->out.n ? qv_fb_at_i32(&m->fb, &op->out, k) : -1; }

float tfl_scale(const tfl_model *m, const tfl_tensor *t, uint32_t c) { return qv_fb_at_f32(&m->fb, &t->scale, c); }

int64_t tfl_zp(const tfl_model *m, const tfl_tensor *t, uint32_t c) {
  return c < t->zp.n ? qv_fb_at_i64(&m->fb, &t->zp, c) : t->zp.n == 1 ? qv_fb_at_i64(&m->fb, &t->zp, 0) : 0;
}
