/* Arrays to net inputs. Which integer an element becomes (docs/inputs.md):
 *   raw bytes     elements of the source model's own input type, reinterpreted
 *   integers      themselves
 *   floats        the float end's quantizer; refused at an integer end
 *   pixels        by the tensor's type, see pixel_value */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/array.h"
#include "frontend/array_util.h"

static const char *const dtype_names[] = {[QV_I8] = "int8",   [QV_U8] = "uint8", [QV_I16] = "int16",
                                          [QV_U16] = "uint16", [QV_I32] = "int32", [QV_I64] = "int64"};

/* Element type of raw bytes for a storage type. */
static qv_elem dtype_elem(qv_dtype t) {
  switch (t) {
  case QV_I8: return QV_EL_I8;
  case QV_U8: return QV_EL_U8;
  case QV_I16: return QV_EL_I16;
  case QV_U16: return QV_EL_U16;
  case QV_I32: return QV_EL_I32;
  case QV_I64:
  case QV_DTYPES: break;
  }
  return QV_EL_I64;
}

/* Low qv_elem_bytes bytes of v, little endian: the two's complement of a value that fits the type. */
static void store(unsigned char *p, size_t bytes, int64_t v) { memcpy(p, &v, bytes); }

/* ---- the quantizer at a float end -------------------------------------------------------------------------------------- */

/* Saturate the integer-valued binary32 number r, plus zp, to rng. */
static int64_t saturate(float r, int32_t zp, qv_itv rng) {
  if (r >= 0x1p100f) return rng.hi; /* infinities, too; the type has at most 64 bits */
  if (r <= -0x1p100f) return rng.lo;
  return qv_clamp64(qv_sat64((qv_i128)r + zp), rng.lo, rng.hi);
}

qv_status qv_end_quantize(int64_t *q, const qv_net *net, uint32_t port, float x, qv_err *err) {
  if (port >= net->n_in) return QV_FAIL(err, QV_E_ARG, "the net has no input %u", port);
  const qv_port *end = &net->in[port];
  const qv_tensor *t = &net->tensor[end->tensor];
  float r = 0;
  if (end->end == QV_END_F32_ORDER && !isnan(x)) {
    *q = qv_f32_order(x);
    return QV_OK;
  }
  if (end->end == QV_END_F32_ORDER) return QV_FAIL(err, QV_E_RANGE, "input '%s': NaN cannot be quantized", end->name);
  if (end->end == QV_END_INT || end->end == QV_END_DEQUANT || !t->has_q)
    return QV_FAIL(err, QV_E_ARG, "input '%s' takes integers, not real numbers", end->name);
  switch (end->end) {
  case QV_END_QUANT_AWAY: r = roundf(x / t->scale); break;
  case QV_END_QUANT_EVEN: r = roundevenf(x / t->scale); break;
  case QV_END_QUANT_INV: {
    float inverse = 1.0f / t->scale;
    r = roundevenf(x * inverse);
    break;
  }
  case QV_END_INT:
  case QV_END_F32_ORDER:
  case QV_END_DEQUANT: break;
  }
  if (isnan(r)) return QV_FAIL(err, QV_E_RANGE, "input '%s': NaN cannot be quantized", end->name);
  *q = saturate(r, t->zp, qv_dtype_range(t->type));
  return QV_OK;
}

/* ---- shapes ------------------------------------------------------------------------------------------------------------ */

/* Drop the dimensions of size 1. */
static uint32_t squeeze(size_t out[QV_MAX_RANK], uint32_t rank, const size_t *dim) {
  uint32_t k = 0;
  for (uint32_t d = 0; d < rank; d++)
    if (dim[d] != 1) out[k++] = dim[d];
  return k;
}

static bool same(uint32_t ra, const size_t *a, uint32_t rb, const size_t *b) {
  return ra == rb && (ra == 0 || memcmp(a, b, ra * sizeof *a) == 0);
}

static size_t product(uint32_t rank, const size_t *dim) { /* of at most qv_array.count, or of a zero: cannot overflow */
  size_t p = 1;
  for (uint32_t d = 0; d < rank; d++) p *= dim[d];
  return p;
}

/* Number of samples of shape t in an array, by shape. A tensor that is one flat vector has no layout to confuse, so it
 * takes samples of any shape, in row-major order. False if neither fits. */
static bool count_samples(size_t *n, const qv_tensor *t, const qv_array *a) {
  size_t want[QV_MAX_RANK], have[QV_MAX_RANK], full[QV_MAX_RANK];
  for (uint32_t d = 0; d < t->rank; d++) full[d] = t->dim[d];
  uint32_t rw = squeeze(want, t->rank, full), rh = squeeze(have, a->rank, a->dim);
  if (a->count == 0) return false;
  if (rw == 1 && product(rh, have) == want[0]) {
    *n = 1;
    return true;
  }
  if (rw == 1 && rh > 0 && product(rh - 1, have + 1) == want[0]) {
    *n = have[0];
    return true;
  }
  if (same(rw, want, rh, have)) {
    *n = 1;
    return true;
  }
  if (rh > 0 && same(rw, want, rh - 1, have + 1)) {
    *n = have[0];
    return true;
  }
  return false;
}

/* ---- elements ---------------------------------------------------------------------------------------------------------- */

/* What one call of qv_input_pack needs everywhere. */
typedef struct {
  const qv_net *net;
  uint32_t port;
  const qv_tensor *t;
  bool is_float;   /* the source model's own input is float32 */
  const char *name;
  const char *what;
  qv_err *err;
} pack;

static bool elem_is_float(qv_elem t) { return t == QV_EL_F32 || t == QV_EL_F64; }

/* An integer element; false for a uint64 above INT64_MAX. */
static bool load_int(int64_t *v, qv_elem type, const unsigned char *p) {
  union { int8_t i8; uint8_t u8; int16_t i16; uint16_t u16; int32_t i32; uint32_t u32; int64_t i64; uint64_t u64; } e = {0};
  switch (type) {
  case QV_EL_I8: memcpy(&e.i8, p, sizeof e.i8); *v = e.i8; return true;
  case QV_EL_U8: memcpy(&e.u8, p, sizeof e.u8); *v = e.u8; return true;
  case QV_EL_I16: memcpy(&e.i16, p, sizeof e.i16); *v = e.i16; return true;
  case QV_EL_U16: memcpy(&e.u16, p, sizeof e.u16); *v = e.u16; return true;
  case QV_EL_I32: memcpy(&e.i32, p, sizeof e.i32); *v = e.i32; return true;
  case QV_EL_U32: memcpy(&e.u32, p, sizeof e.u32); *v = e.u32; return true;
  case QV_EL_I64: memcpy(&e.i64, p, sizeof e.i64); *v = e.i64; return true;
  case QV_EL_U64: memcpy(&e.u64, p, sizeof e.u64); *v = (int64_t)(e.u64 & INT64_MAX); return e.u64 <= INT64_MAX;
  case QV_EL_F32:
  case QV_EL_F64: break;
  }
  return false;
}

/* float64 is rounded to the model's float32 first, as numpy's astype does; infinities saturate later. */
static float load_float(qv_elem type, const unsigned char *p) {
  float f;
  double d;
  if (type == QV_EL_F32) {
    memcpy(&f, p, sizeof f);
    return f;
  }
  memcpy(&d, p, sizeof d);
  return (float)d;
}

static float pixel_real(unsigned char p) { return (float)p / 255.0f; }

static qv_status pixel_value(int64_t *v, const pack *k, unsigned char p) {
  bool whole = k->t->has_q && k->t->scale == 1 && k->t->zp == 0; /* floats that are the integers 0..255 themselves */
  if (k->is_float) return qv_end_quantize(v, k->net, k->port, whole ? (float)p : pixel_real(p), k->err);
  *v = k->t->type == QV_I8 ? p - 128 : p;
  return QV_OK;
}

static qv_status element(int64_t *v, const pack *k, const qv_array *a, size_t i, qv_elem type, size_t size) {
  const unsigned char *p = (const unsigned char *)a->data + i * size;
  if (a->pixels) return pixel_value(v, k, *p);
  if (elem_is_float(type)) return qv_end_quantize(v, k->net, k->port, load_float(type, p), k->err);
  if (load_int(v, type, p)) return QV_OK;
  return QV_FAIL(k->err, QV_E_RANGE, "%s: element %zu is above 2^63 - 1", k->what, i);
}

/* Post: out[0..count) of the storage type, every value in [lo,hi]. */
static qv_status convert(unsigned char *out, const pack *k, const qv_array *a, size_t count, qv_elem type) {
  size_t bytes = qv_dtype_bytes(k->t->type), size = qv_elem_bytes(type);
  const unsigned char *p = a->data;
  int64_t value[256]; /* of elements of one byte, once they have come up */
  bool known[256] = {false};
  for (size_t i = 0; i < count; i++) {
    int64_t v = 0;
    if (size == 1 && known[p[i]]) {
      store(out + i * bytes, bytes, value[p[i]]);
      continue;
    }
    qv_status st = element(&v, k, a, i, type, size);
    if (st != QV_OK) return st;
    if (v < k->t->lo || v > k->t->hi)
      return QV_FAIL(k->err, QV_E_RANGE, "%s: element %zu is %lld, outside [%lld,%lld] of input '%s'", k->what, i, (long long)v,
                     (long long)k->t->lo, (long long)k->t->hi, k->name);
    if (size == 1) known[p[i]] = true, value[p[i]] = v;
    store(out + i * bytes, bytes, v);
  }
  return QV_OK;
}

/* ---- matching ---------------------------------------------------------------------------------------------------------- */

static qv_status match_raw(size_t *n, size_t *count, qv_elem *type, const pack *k, const qv_array *a) {
  *type = k->is_float ? QV_EL_F32 : dtype_elem(k->t->type);
  size_t sample = qv_elems(k->t) * qv_elem_bytes(*type); /* at most QV_MAX_ELEMS * 8 */
  if (a->count == 0 || a->count % sample != 0)
    return QV_FAIL(k->err, QV_E_PARSE, "%s: input '%s' expects raw bytes in multiples of %zu (%zu elements of %s), found %zu bytes", k->what,
                   k->name, sample, qv_elems(k->t), qv_elem_name(*type), a->count);
  *n = a->count / sample;
  *count = a->count / qv_elem_bytes(*type);
  return QV_OK;
}

static qv_status match_typed(size_t *n, const pack *k, const qv_array *a) {
  char want[QV_SHAPE_TEXT], have[QV_SHAPE_TEXT];
  size_t dim[QV_MAX_RANK];
  const char *type = k->is_float ? "float32" : dtype_names[k->t->type];
  for (uint32_t d = 0; d < k->t->rank; d++) dim[d] = k->t->dim[d];
  qv_shape_text(want, k->t->rank, dim);
  qv_shape_text(have, a->rank, a->dim);
  if (!count_samples(n, k->t, a))
    return QV_FAIL(k->err, QV_E_PARSE, "%s: input '%s' expects shape %s of %s, or several such samples along one more leading dimension; "
                   "found %s of %s", k->what, k->name, want, type, have, qv_elem_name(a->type));
  if (elem_is_float(a->type) && !k->is_float)
    return QV_FAIL(k->err, QV_E_UNSUP, "%s: input '%s' expects %s of %s, found %s of %s; quantize the values first (the model has no float "
                   "input)", k->what, k->name, want, type, have, qv_elem_name(a->type));
  if (a->pixels && !k->is_float && k->t->type != QV_U8 && k->t->type != QV_I8)
    return QV_FAIL(k->err, QV_E_UNSUP, "%s: input '%s' expects %s of %s, which has no agreed meaning for the 8-bit pixels %s; give a .npy "
                   "array of integers", k->what, k->name, want, type, have);
  return QV_OK;
}

qv_status qv_input_pack(void **buf, size_t *n, const qv_net *net, uint32_t port, const qv_array *a, const char *what, qv_err *err) {
  if (port >= net->n_in) return QV_FAIL(err, QV_E_ARG, "%s: the net has no input %u", what, port);
  const qv_port *p = &net->in[port];
  const pack k = {.net = net, .port = port, .t = &net->tensor[p->tensor], .is_float = p->end != QV_END_INT, .name = p->name, .what = what,
                  .err = err};
  qv_status st;
  size_t samples = 0, count = a->count;
  qv_elem type = a->type;
  unsigned char *out = NULL;
  QV_TRY(a->raw ? match_raw(&samples, &count, &type, &k, a) : match_typed(&samples, &k, a));
  out = calloc(count, qv_dtype_bytes(k.t->type));
  if (out == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "%s: out of memory (%zu elements)", what, count);
    goto done;
  }
  QV_TRY(convert(out, &k, a, count, type));
  *buf = out;
  *n = samples;
  out = NULL;
done:
  free(out);
  return st;
}

qv_status qv_input_reals(float **buf, const qv_net *net, uint32_t port, const qv_array *a, const char *what, qv_err *err) {
  bool floats = a->raw || a->pixels || elem_is_float(a->type);
  *buf = NULL;
  if (port >= net->n_in || net->in[port].end == QV_END_INT || !floats) return QV_OK;
  qv_elem type = a->raw ? QV_EL_F32 : a->type;
  size_t count = a->raw ? a->count / sizeof(float) : a->count;
  float *out = calloc(count, sizeof *out);
  if (out == NULL) return QV_FAIL(err, QV_E_NOMEM, "%s: out of memory (%zu elements)", what, count);
  for (size_t i = 0; i < count; i++) {
    const unsigned char *p = (const unsigned char *)a->data + i * qv_elem_bytes(type);
    out[i] = a->pixels ? pixel_real(*p) : load_float(type, p);
  }
  *buf = out;
  return QV_OK;
}
