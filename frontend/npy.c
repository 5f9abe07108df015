/* .npy: the format of numpy.lib.format, versions 1.0, 2.0 and 3.0 (https://numpy.org/doc/stable/reference/generated/
 * numpy.lib.format.html): magic, version, header length, a Python dict literal with exactly the keys descr, fortran_order
 * and shape, then the elements. */
#include <stdlib.h>
#include <string.h>

#include "frontend/array.h"
#include "frontend/array_util.h"

/* Cursor in the header's dict literal. */
typedef struct {
  const char *p, *end, *start;
  const char *what;
  qv_err *err;
} lit;

typedef struct {
  qv_elem type;
  bool big, boolean, fortran;
  bool have_descr, have_order, have_shape;
  uint32_t rank;
  size_t dim[QV_MAX_RANK];
} head;

static void skip_space(lit *l) {
  while (l->p < l->end && (*l->p == ' ' || *l->p == '\t' || *l->p == '\n' || *l->p == '\r')) l->p++;
}

static qv_status bad(const lit *l, const char *expected) {
  return QV_FAIL(l->err, QV_E_PARSE, "%s: .npy header: expected %s at character %td of the dictionary", l->what, expected,
                 l->p - l->start + 1);
}

/* Skip spaces; if the next character is c, take it. */
static bool take(lit *l, char c) {
  skip_space(l);
  if (l->p == l->end || *l->p != c) return false;
  l->p++;
  return true;
}

/* 'text' or "text" without escapes; *s points into the header. */
static qv_status quoted(lit *l, const char **s, size_t *len) {
  skip_space(l);
  char q = l->p < l->end ? *l->p : 0;
  if (q != '\'' && q != '"') return bad(l, "a quoted string");
  *s = ++l->p;
  while (l->p < l->end && *l->p != q) {
    if (*l->p < ' ' || *l->p > '~' || *l->p == '\\') return bad(l, "plain text in a quoted string");
    l->p++;
  }
  if (l->p == l->end) return bad(l, "the end of a quoted string");
  *len = (size_t)(l->p++ - *s);
  return QV_OK;
}

static bool word(lit *l, const char *w) {
  size_t n = strlen(w);
  skip_space(l);
  if ((size_t)(l->end - l->p) < n || memcmp(l->p, w, n) != 0) return false;
  l->p += n;
  return true;
}

static const char *kind_name(char kind) {
  static const struct { char kind; const char *name; } kinds[] = {
      {'O', "Python objects"}, {'S', "byte strings"}, {'a', "byte strings"}, {'U', "Unicode strings"}, {'V', "void or structured"},
      {'c', "complex"},        {'M', "datetime64"},   {'m', "timedelta64"},  {'f', "floats of this width"}};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (kinds[i].kind == kind) return kinds[i].name;
  return "unknown";
}

static qv_status descr_parse(head *h, const lit *l, const char *s, size_t len) {
  static const struct { char code[3]; qv_elem type; } types[] = {
      {"i1", QV_EL_I8},  {"u1", QV_EL_U8},  {"b1", QV_EL_U8},  {"i2", QV_EL_I16}, {"u2", QV_EL_U16}, {"i4", QV_EL_I32},
      {"u4", QV_EL_U32}, {"i8", QV_EL_I64}, {"u8", QV_EL_U64}, {"f4", QV_EL_F32}, {"f8", QV_EL_F64}};
  if (len == 0 || strchr("<>|=", s[0]) == NULL)
    return QV_FAIL(l->err, QV_E_PARSE, "%s: .npy element type '%.*s' does not start with a byte order (< > | =)", l->what,
                   len > 40 ? 40 : (int)len, s);
  for (size_t i = 0; len == 3 && i < sizeof types / sizeof *types; i++) {
    if (memcmp(s + 1, types[i].code, 2) != 0) continue;
    h->type = types[i].type;
    h->boolean = s[1] == 'b';
    h->big = s[0] == '>';
    if (s[0] == '|' && qv_elem_bytes(h->type) > 1)
      return QV_FAIL(l->err, QV_E_PARSE, "%s: .npy element type '%.3s' has no byte order", l->what, s);
    return QV_OK;
  }
  return QV_FAIL(l->err, QV_E_UNSUP, "%s: .npy element type '%.*s' (%s) is not supported; expected int8..int64, uint8..uint64, "
                 "bool, float32 or float64", l->what, len > 40 ? 40 : (int)len, s, len > 1 ? kind_name(s[1]) : "unknown");
}

static qv_status descr_value(head *h, lit *l) {
  const char *s;
  size_t len;
  skip_space(l);
  if (l->p < l->end && (*l->p == '[' || *l->p == '('))
    return QV_FAIL(l->err, QV_E_UNSUP, "%s: structured .npy element types are not supported; expected one integer or float type",
                   l->what);
  qv_status st = quoted(l, &s, &len);
  return st != QV_OK ? st : descr_parse(h, l, s, len);
}

static qv_status order_value(head *h, lit *l) {
  if (word(l, "True")) h->fortran = true;
  else if (word(l, "False")) h->fortran = false;
  else return bad(l, "True or False");
  return QV_OK;
}

/* (), (3,), (3, 4), (3, 4,); Python 2 wrote 3L. */
static qv_status shape_value(head *h, lit *l) {
  bool comma = true;
  if (!take(l, '(')) return bad(l, "'(' of the shape");
  while (!take(l, ')')) {
    size_t v = 0;
    skip_space(l);
    if (!comma) return bad(l, "',' or ')' in the shape");
    if (l->p == l->end || *l->p < '0' || *l->p > '9') return bad(l, "a number or ')' in the shape");
    for (; l->p < l->end && *l->p >= '0' && *l->p <= '9'; l->p++)
      if (!qv_mulz(&v, v, 10) || !qv_addz(&v, v, (size_t)(*l->p - '0'))) return bad(l, "a dimension below 2^64");
    if (l->p < l->end && *l->p == 'L') l->p++;
    if (h->rank == QV_MAX_RANK)
      return QV_FAIL(l->err, QV_E_UNSUP, "%s: .npy array has more than %d dimensions", l->what, QV_MAX_RANK);
    h->dim[h->rank++] = v;
    comma = take(l, ',');
  }
  return h->rank == 1 && !comma ? bad(l, "',' after the only dimension") : QV_OK; /* (3) is a number, not a shape */
}

static qv_status key_value(head *h, lit *l) {
  const char *key;
  size_t len;
  bool *seen;
  qv_status (*value)(head *, lit *);
  qv_status st = quoted(l, &key, &len);
  if (st != QV_OK) return st;
  if (len == 5 && memcmp(key, "descr", 5) == 0) seen = &h->have_descr, value = descr_value;
  else if (len == 13 && memcmp(key, "fortran_order", 13) == 0) seen = &h->have_order, value = order_value;
  else if (len == 5 && memcmp(key, "shape", 5) == 0) seen = &h->have_shape, value = shape_value;
  else return QV_FAIL(l->err, QV_E_PARSE, "%s: .npy header has an unknown key '%.*s'", l->what, len > 40 ? 40 : (int)len, key);
  if (*seen) return QV_FAIL(l->err, QV_E_PARSE, "%s: .npy header has the key '%.*s' twice", l->what, (int)len, key);
  *seen = true;
  if (!take(l, ':')) return bad(l, "':'");
  return value(h, l);
}

static qv_status head_parse(head *h, lit *l) {
  bool comma = true;
  if (!take(l, '{')) return bad(l, "'{'");
  while (!take(l, '}')) {
    if (!comma) return bad(l, "',' or '}'");
    qv_status st = key_value(h, l);
    if (st != QV_OK) return st;
    comma = take(l, ',');
  }
  skip_space(l);
  if (l->p != l->end) return bad(l, "only padding after '}'");
  if (h->have_descr && h->have_order && h->have_shape) return QV_OK;
  return QV_FAIL(l->err, QV_E_PARSE, "%s: .npy header has no '%s'", l->what,
                 !h->have_descr ? "descr" : !h->have_order ? "fortran_order" : "shape");
}

/* Copy column-major elements (first index fastest) to row-major order. */
static void copy_fortran(qv_array *out, const unsigned char *src) {
  size_t size = qv_elem_bytes(out->type), stride[QV_MAX_RANK], at[QV_MAX_RANK] = {0}, off = 0, step = 1;
  unsigned char *dst = out->data;
  for (uint32_t d = 0; d < out->rank; d++) {
    stride[d] = step;
    step *= out->dim[d];
  }
  for (size_t e = 0; e < out->count; e++) { /* INV: off = sum at[d]*stride[d]; at counts row-major */
    memcpy(dst + e * size, src + off * size, size);
    for (uint32_t d = out->rank; d-- > 0;) {
      off += stride[d];
      if (++at[d] < out->dim[d]) break;
      off -= stride[d] * out->dim[d];
      at[d] = 0;
    }
  }
}

/* Elements of a bool array are 0 and 1; anything else is not what the file claims. */
static qv_status check_bool(const qv_array *a, const char *what, qv_err *err) {
  const unsigned char *p = a->data;
  for (size_t e = 0; e < a->count; e++)
    if (p[e] > 1) return QV_FAIL(err, QV_E_PARSE, "%s: element %zu of a bool array is the byte %u", what, e, p[e]);
  return QV_OK;
}

/* Where the dictionary and the elements begin. */
static qv_status preamble(size_t *dict, size_t *body, const unsigned char *p, size_t n, const char *what, qv_err *err) {
  if (n < 6 || memcmp(p, "\x93NUMPY", 6) != 0)
    return QV_FAIL(err, QV_E_PARSE, "%s: not a .npy file: it does not start with \\x93NUMPY", what);
  if (n < 8) return QV_FAIL(err, QV_E_PARSE, "%s: truncated .npy file: no version", what);
  if (p[6] < 1 || p[6] > 3 || p[7] != 0)
    return QV_FAIL(err, QV_E_UNSUP, "%s: .npy version %u.%u; expected 1.0, 2.0 or 3.0", what, p[6], p[7]);
  size_t len_bytes = p[6] == 1 ? 2 : 4;
  *dict = 8 + len_bytes;
  if (n < *dict) return QV_FAIL(err, QV_E_PARSE, "%s: truncated .npy file: no header length", what);
  size_t len = len_bytes == 2 ? qv_le16(p + 8) : qv_le32(p + 8);
  if (len > n - *dict)
    return QV_FAIL(err, QV_E_PARSE, "%s: truncated .npy file: header of %zu bytes, but only %zu are left", what, len, n - *dict);
  *body = *dict + len;
  return QV_OK;
}

qv_status qv_npy_parse(qv_array *out, const void *data, size_t n, const char *what, qv_err *err) {
  const unsigned char *p = data;
  size_t dict = 0, body = 0;
  head h = {0};
  qv_status st = preamble(&dict, &body, p, n, what, err);
  if (st != QV_OK) return st;
  lit l = {.p = (const char *)p + dict, .end = (const char *)p + body, .start = (const char *)p + dict, .what = what, .err = err};
  QV_TRY(head_parse(&h, &l));
  QV_TRY(qv_array_make(out, h.type, h.rank, h.dim, n - body, what, err));
  if (h.fortran) copy_fortran(out, p + body);
  else if (n > body) memcpy(out->data, p + body, n - body);
  if (h.big) qv_array_swap_bytes(out);
  if (h.boolean) QV_TRY(check_bool(out, what, err));
done:
  if (st != QV_OK) qv_array_free(out);
  return st;
}

void qv_npy_write(qv_buf *out, qv_elem type, uint32_t rank, const size_t *dim, const void *data) {
  static const char *const descr[] = {[QV_EL_I8] = "|i1",  [QV_EL_U8] = "|u1",  [QV_EL_I16] = "<i2", [QV_EL_U16] = "<u2",
                                      [QV_EL_I32] = "<i4", [QV_EL_U32] = "<u4", [QV_EL_I64] = "<i8", [QV_EL_U64] = "<u8",
                                      [QV_EL_F32] = "<f4", [QV_EL_F64] = "<f8"};
  qv_buf dict = {0};
  size_t bytes = qv_elem_bytes(type);
  qv_buf_printf(&dict, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr[type]);
  for (uint32_t d = 0; d < rank; d++) {
    qv_buf_printf(&dict, "%s%zu%s", d == 0 ? "" : " ", dim[d], rank == 1 || d + 1 < rank ? "," : "");
    if (!qv_mulz(&bytes, bytes, dim[d])) out->failed = true;
  }
  qv_buf_str(&dict, "), }");
  while (!dict.failed && (10 + dict.n + 1) % 64 != 0) qv_buf_str(&dict, " "); /* elements start at a multiple of 64 */
  qv_buf_str(&dict, "\n");
  if (dict.failed) out->failed = true;
  unsigned char len[2] = {(unsigned char)(dict.n & 255), (unsigned char)(dict.n >> 8)}; /* at most 8 dimensions: < 300 */
  qv_buf_put(out, "\x93NUMPY\1\0", 8);
  qv_buf_put(out, len, 2);
  qv_buf_put(out, dict.p, dict.n);
  qv_buf_put(out, data, bytes);
  qv_buf_free(&dict);
}
