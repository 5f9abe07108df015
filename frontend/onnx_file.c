#include "frontend/onnx_file.h"

#include <stdlib.h>
#include <string.h>

#include "frontend/load.h"

/* ---- types ------------------------------------------------------------------------------------------------------------- */

static const struct {
  int32_t type;
  const char *name;
  uint8_t bits; /* of an integer type of at most 32 bits; else 0 */
  bool sign;
} types[] = {
    {ONX_FLOAT, "FLOAT", 0, true},    {ONX_UINT8, "UINT8", 8, false},   {ONX_INT8, "INT8", 8, true},
    {ONX_UINT16, "UINT16", 16, false}, {ONX_INT16, "INT16", 16, true},  {ONX_INT32, "INT32", 32, true},
    {ONX_INT64, "INT64", 0, true},    {ONX_STRING, "STRING", 0, false}, {ONX_BOOL, "BOOL", 0, false},
    {ONX_FLOAT16, "FLOAT16", 0, true}, {ONX_DOUBLE, "DOUBLE", 0, true}, {ONX_UINT32, "UINT32", 0, false},
    {ONX_UINT64, "UINT64", 0, false}, {14, "COMPLEX64", 0, true},       {15, "COMPLEX128", 0, true},
    {ONX_BFLOAT16, "BFLOAT16", 0, true}, {17, "FLOAT8E4M3FN", 0, true}, {18, "FLOAT8E4M3FNUZ", 0, true},
    {19, "FLOAT8E5M2", 0, true},      {20, "FLOAT8E5M2FNUZ", 0, true},  {ONX_UINT4, "UINT4", 4, false},
    {ONX_INT4, "INT4", 4, true},      {23, "FLOAT4E2M1", 0, true},      {24, "FLOAT8E8M0", 0, true},
    {ONX_UINT2, "UINT2", 2, false},   {ONX_INT2, "INT2", 2, true},
};

static int type_row(int32_t type) {
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (types[i].type == type) return (int)i;
  return -1;
}

const char *onx_type_name(int32_t type) {
  int r = type_row(type);
  return r < 0 ? "?" : types[r].name;
}

bool onx_is_int(int32_t type) {
  int r = type_row(type);
  return r >= 0 && types[r].bits != 0;
}

qv_itv onx_range(int32_t type) {
  int r = type_row(type), bits = r >= 0 && types[r].bits != 0 ? types[r].bits : 64;
  if (bits < 64 && !types[r].sign) return (qv_itv){0, ((int64_t)1 << bits) - 1};
  return (qv_itv){qv_smin(bits), qv_smax(bits)};
}

/* ---- the wire format, before anything is unpacked ------------------------------------------------------------------------ */

#define MAX_DEPTH 24              /* graph > node > attribute > tensor is 4; subgraphs add 3 each */
#define MAX_MESSAGES (1u << 22)   /* each costs protobuf-c some 200 bytes */

typedef struct {
  const unsigned char *p, *end;
} wire;

static bool varint(wire *w, uint64_t *v) {
  *v = 0;
  for (unsigned shift = 0; shift < 64 && w->p < w->end; shift += 7) {
    unsigned char b = *w->p++;
    *v |= (uint64_t)(b & 127) << shift;
    if (b < 128) return true;
  }
  return false;
}

/* Next field: number, wire type, and the payload of a length-delimited one. False at a malformed one. */
static bool field(wire *w, uint32_t *number, unsigned *type, wire *payload) {
  uint64_t tag, len;
  if (!varint(w, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff) return false;
  *number = (uint32_t)(tag >> 3);
  *type = (unsigned)(tag & 7);
  switch (*type) {
  case 0: return varint(w, &len);
  case 1: len = 8; break;
  case 5: len = 4; break;
  case 2:
    if (!varint(w, &len)) return false;
    break;
  default: return false; /* groups do not occur in ONNX */
  }
  if (len > (uint64_t)(w->end - w->p)) return false;
  *payload = (wire){w->p, w->p + len};
  w->p += len;
  return true;
}

/* Depth and number of messages; false if malformed, too deep or too many (*what says which). */
static bool scan(const ProtobufCMessageDescriptor *d, wire w, unsigned depth, uint32_t *messages, const char **what) {
  *what = "nested too deeply";
  if (depth > MAX_DEPTH) return false;
  *what = "too many parts";
  if (++*messages > MAX_MESSAGES) return false;
  while (w.p < w.end) {
    uint32_t number;
    unsigned type;
    wire in = {0};
    *what = "malformed protobuf";
    if (!field(&w, &number, &type, &in)) return false;
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(d, number);
    if (f == NULL || f->type != PROTOBUF_C_TYPE_MESSAGE) continue;
    if (type != 2) return false;
    if (!scan(f->descriptor, in, depth + 1, messages, what)) return false;
  }
  return true;
}

/* Protobuf fields from the first byte on, known ones, with a graph unless the file breaks off. */
bool qv_onnx_probe(const void *data, size_t n) {
  wire w = {data, (const unsigned char *)data + n}, in;
  uint32_t number, seen = 0;
  unsigned type;
  bool graph = false;
  while (w.p < w.end && field(&w, &number, &type, &in)) {
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(&onnx__model_proto__descriptor, number);
    if (f == NULL && seen == 0) return false;
    if (number == 1 && type != 0) return false;
    if (number == 7 && type != 2) return false;
    graph = graph || number == 7;
    seen++;
  }
  return graph || (seen >= 2 && ((const unsigned char *)data)[0] == 0x08);
}

/* ---- unpacking ----------------------------------------------------------------------------------------------------------- */

static void *limited_alloc(void *ctx, size_t size) {
  onx_model *m = ctx;
  if (size > m->left) return NULL;
  m->left -= size;
  return malloc(size > 0 ? size : 1);
}

static void limited_free(void *ctx, void *p) { (void)ctx, free(p); }

void onx_model_clear(onx_model *m) {
  if (m->proto != NULL) onnx__model_proto__free_unpacked(m->proto, &m->alloc);
  m->proto = NULL;
}

static qv_status opsets(onx_model *m, const char *name, qv_err *err) {
  for (size_t i = 0; i < m->proto->n_opset_import; i++) {
    const Onnx__OperatorSetIdProto *o = m->proto->opset_import[i];
    bool plain = o->domain == NULL || o->domain[0] == 0 || strcmp(o->domain, "ai.onnx") == 0;
    if (plain && o->has_version) m->opset = o->version;
  }
  if (m->opset < 1) return QV_FAIL(err, QV_E_PARSE, "%.60s: the model imports no operator set of ONNX", name);
  return QV_OK;
}

qv_status onx_model_read(onx_model *m, const void *data, size_t n, size_t limit, const char *name, qv_err *err) {
  uint32_t messages = 0;
  const char *what = "";
  *m = (onx_model){.alloc = {limited_alloc, limited_free, m}, .left = limit};
  if (!scan(&onnx__model_proto__descriptor, (wire){data, (const unsigned char *)data + n}, 0, &messages, &what))
    return QV_FAIL(err, QV_E_PARSE, "%.60s: not a readable ONNX file: %s", name, what);
  m->proto = onnx__model_proto__unpack(&m->alloc, n, data);
  if (m->proto == NULL)
    return QV_FAIL(err, m->left < 4096 ? QV_E_LIMIT : QV_E_PARSE, "%.60s: not a readable ONNX file, or above the size limit", name);
  m->graph = m->proto->graph;
  if (m->graph == NULL) return QV_FAIL(err, QV_E_PARSE, "%.60s: the ONNX model has no graph", name);
  if (m->proto->n_functions > 0) return QV_FAIL(err, QV_E_UNSUP, "%.60s: functions defined by the model are not supported", name);
  if (m->graph->n_sparse_initializer > 0) return QV_FAIL(err, QV_E_UNSUP, "%.60s: sparse initializers are not supported", name);
  return opsets(m, name, err);
}

/* ---- constants ----------------------------------------------------------------------------------------------------------- */

static uint32_t le16(const unsigned char *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }
static uint32_t le32(const unsigned char *p) { return le16(p) | le16(p + 2) << 16; }
static uint64_t le64(const unsigned char *p) { return le32(p) | (uint64_t)le32(p + 4) << 32; }

static float f32_of_bits(uint32_t u) {
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}

/* Every binary16 value is a binary32 value. */
static float f32_of_half(uint32_t h) {
  uint32_t sign = (h & 0x8000) << 16, e = h >> 10 & 31, m = h & 1023;
  if (e == 31) return f32_of_bits(sign | 0x7f800000 | m << 13);
  float v = e == 0 ? (float)m * 0x1p-24f : f32_of_bits((e + 112) << 23 | m << 13);
  return sign != 0 ? -v : v;
}

/* Element k of the packed or plain bytes at p; the caller has compared lengths. */
static int32_t int_at(const unsigned char *p, size_t k, int32_t type, unsigned bits, bool sign) {
  uint32_t u;
  if (bits < 8) u = (uint32_t)p[k * bits / 8] >> (k * bits % 8); /* first element in the low bits */
  else if (bits == 8 || type == ONX_BOOL) u = p[k];
  else if (bits == 16) u = le16(p + 2 * k);
  else u = le32(p + 4 * k);
  if (bits == 32) return (int32_t)u;
  u &= (1u << bits) - 1;
  return sign && u >> (bits - 1) ? (int32_t)u - (1 << bits) : (int32_t)u;
}

static bool dims(onx_const *c, const Onnx__TensorProto *t) {
  if (t->n_dims > QV_MAX_RANK) return false;
  c->rank = (uint32_t)t->n_dims;
  c->n = 1;
  for (uint32_t d = 0; d < c->rank; d++) {
    if (t->dims[d] < 0 || t->dims[d] > (int64_t)QV_MAX_ELEMS) return false;
    c->dim[d] = (uint32_t)t->dims[d];
    if (!qv_mulz(&c->n, c->n, c->dim[d]) || c->n > QV_MAX_ELEMS) return false;
  }
  return true;
}

static qv_status read_float(onx_const *c, const Onnx__TensorProto *t, qv_arena *a, const char **why) {
  float *f = QV_NEW(a, c->n, float);
  size_t size = c->type == ONX_FLOAT ? 4 : 2;
  if (f == NULL) return QV_E_NOMEM;
  *why = "the data does not fit the dimensions";
  if (t->has_raw_data) {
    if (t->raw_data.len != c->n * size) return QV_E_PARSE;
    for (size_t k = 0; k < c->n; k++)
      f[k] = size == 4 ? f32_of_bits(le32(t->raw_data.data + 4 * k)) : f32_of_half(le16(t->raw_data.data + 2 * k));
  } else if (size == 4) {
    if (t->n_float_data != c->n) return QV_E_PARSE;
    for (size_t k = 0; k < c->n; k++) f[k] = t->float_data[k];
  } else {
    if (t->n_int32_data != c->n) return QV_E_PARSE;
    for (size_t k = 0; k < c->n; k++) f[k] = f32_of_half((uint32_t)t->int32_data[k] & 0xffff);
  }
  c->f = f;
  return QV_OK;
}

static qv_status read_long(onx_const *c, const Onnx__TensorProto *t, qv_arena *a, const char **why) {
  int64_t *l = QV_NEW(a, c->n, int64_t);
  if (l == NULL) return QV_E_NOMEM;
  *why = "the data does not fit the dimensions";
  if (t->has_raw_data ? t->raw_data.len != c->n * 8 : t->n_int64_data != c->n) return QV_E_PARSE;
  for (size_t k = 0; k < c->n; k++) l[k] = t->has_raw_data ? (int64_t)le64(t->raw_data.data + 8 * k) : t->int64_data[k];
  c->l = l;
  return QV_OK;
}

static qv_status read_int(onx_const *c, const Onnx__TensorProto *t, qv_arena *a, const char **why) {
  int row = type_row(c->type);
  unsigned bits = c->type == ONX_BOOL ? 8 : types[row].bits;
  bool sign = types[row].sign;
  size_t bytes = bits < 8 ? (c->n * bits + 7) / 8 : c->n * (bits / 8);
  int32_t *v = QV_NEW(a, c->n, int32_t);
  if (v == NULL) return QV_E_NOMEM;
  *why = "the data does not fit the dimensions";
  if (t->has_raw_data) {
    if (t->raw_data.len != bytes) return QV_E_PARSE;
    for (size_t k = 0; k < c->n; k++) v[k] = int_at(t->raw_data.data, k, c->type, bits, sign);
  } else {
    if (t->n_int32_data != (bits < 8 ? bytes : c->n)) return QV_E_PARSE;
    *why = "a value is outside the element type";
    qv_itv r = c->type == ONX_BOOL ? (qv_itv){0, 1} : onx_range(c->type);
    for (size_t k = 0; k < c->n; k++) {
      int32_t x = t->int32_data[bits < 8 ? k * bits / 8 : k];
      unsigned char byte = (unsigned char)x;
      if (bits < 8 ? x < -128 || x > 255 : x < r.lo || x > r.hi) return QV_E_PARSE;
      v[k] = bits < 8 ? int_at(&byte, k % (8 / bits), c->type, bits, sign) : x;
    }
  }
  c->i = v;
  return QV_OK;
}

/* Bytes of the raw form of c. */
static size_t raw_bytes(const onx_const *c) {
  if (c->type == ONX_FLOAT) return 4 * c->n;
  if (c->type == ONX_FLOAT16) return 2 * c->n;
  if (c->type == ONX_INT64) return 8 * c->n;
  unsigned bits = c->type == ONX_BOOL ? 8 : types[type_row(c->type)].bits;
  return bits < 8 ? (c->n * bits + 7) / 8 : c->n * (bits / 8);
}

qv_status onx_const_read_in(onx_const *c, const onx_model *m, const Onnx__TensorProto *t, qv_arena *a, const char **why) {
  *c = (onx_const){.type = t->data_type};
  *why = "segmented tensors are not supported";
  if (t->segment != NULL) return QV_E_UNSUP;
  *why = "the dimensions are negative, too many or too large";
  if (!dims(c, t)) return QV_E_PARSE;
  *why = "constants of this element type are not supported";
  bool is_float = c->type == ONX_FLOAT || c->type == ONX_FLOAT16, is_int = onx_is_int(c->type) || c->type == ONX_BOOL;
  if (!is_float && !is_int && c->type != ONX_INT64) return QV_E_UNSUP;
  qv_arena tmp = {.limit = m != NULL ? m->left : 0};
  Onnx__TensorProto inside = *t;
  qv_status st = QV_OK;
  if (t->n_external_data > 0 || (t->has_data_location && t->data_location != ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT)) {
    inside.has_raw_data = true;
    inside.raw_data.len = raw_bytes(c);
    st = onx_external_read(&inside.raw_data.data, t, inside.raw_data.len, m != NULL ? m->dir : NULL, &tmp, why);
  }
  if (st == QV_OK) st = is_float ? read_float(c, &inside, a, why) : is_int ? read_int(c, &inside, a, why) : read_long(c, &inside, a, why);
  qv_arena_clear(&tmp);
  return st;
}

qv_status onx_const_read(onx_const *c, const Onnx__TensorProto *t, qv_arena *a, const char **why) { return onx_const_read_in(c, NULL, t, a, why); }
