/* Array readers and input packing. Seeds in tests/corpus were written by numpy or field by field
 * (tests/make_array_seeds.py); the values expected of them stand here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "frontend/array.h"
#include "ir/base/rng.h"

static size_t mult(void) {
  const char *s = getenv("QV_TEST_MULT");
  long m = s != NULL ? strtol(s, NULL, 10) : 1;
  return m > 1 ? (size_t)m : 1;
}

/* ---- helpers ----------------------------------------------------------------------------------------------------------- */

typedef qv_status (*parser)(qv_array *, const void *, size_t, const char *, qv_err *);

static qv_status npz_only(qv_array *out, const void *data, size_t n, const char *what, qv_err *err) {
  return qv_npz_parse(out, data, n, NULL, what, err);
}
static qv_status npz_x(qv_array *out, const void *data, size_t n, const char *what, qv_err *err) {
  return qv_npz_parse(out, data, n, "x", what, err);
}

static void load(qv_buf *b, const char *dir, const char *name) {
  char path[256];
  qv_err err = {0};
  (void)snprintf(path, sizeof path, "tests/corpus/%s/%s", dir, name);
  if (qv_file_read(b, path, 1 << 20, &err) != QV_OK) fail_msg("%s (run from the source directory)", err.msg);
}

/* Parse an exact-size heap copy, so that a sanitizer sees one byte too many. */
static qv_status parse_copy(qv_array *a, parser f, const void *data, size_t n, qv_err *err) {
  unsigned char *p = malloc(n > 0 ? n : 1);
  assert_non_null(p);
  if (n > 0) memcpy(p, data, n);
  qv_status st = f(a, p, n, "F", err);
  free(p);
  return st;
}

static void expect_bad(parser f, const void *data, size_t n, qv_status want, const char *text) {
  qv_array a = {0};
  qv_err err = {0};
  qv_status st = parse_copy(&a, f, data, n, &err);
  if (st != want || err.code != want || strstr(err.msg, text) == NULL || strncmp(err.msg, "F", 1) != 0)
    fail_msg("expected %s '%s', got %s '%s'", qv_status_name(want), text, qv_status_name(st), err.msg);
  assert_null(a.data);
  assert_int_equal(a.count, 0);
  assert_int_equal(a.rank, 0);
}

static void expect_ok(qv_array *a, parser f, const void *data, size_t n) {
  qv_err err = {0};
  if (parse_copy(a, f, data, n, &err) != QV_OK) fail_msg("%s", err.msg);
  assert_int_equal(err.code, QV_OK);
}

static void expect_shape(const qv_array *a, qv_elem type, uint32_t rank, const size_t *dim) {
  size_t n = 1;
  assert_int_equal(a->type, type);
  assert_int_equal(a->rank, rank);
  for (uint32_t d = 0; d < rank; d++) {
    assert_int_equal(a->dim[d], dim[d]);
    n *= dim[d];
  }
  assert_int_equal(a->count, n);
}

/* Every proper prefix and one byte more are refused. */
static void expect_only_whole(parser f, const qv_buf *b) {
  for (size_t n = 0; n < b->n; n++) {
    qv_array a = {0};
    qv_err err = {0};
    if (parse_copy(&a, f, b->p, n, &err) == QV_OK) fail_msg("prefix of %zu of %zu bytes was accepted", n, b->n);
    assert_null(a.data);
    assert_true(err.code != QV_OK && err.msg[0] != 0);
  }
  qv_buf more = {0};
  qv_array a = {0};
  qv_buf_put(&more, b->p, b->n);
  qv_buf_put(&more, "", 1);
  assert_true(parse_copy(&a, f, more.p, more.n, NULL) != QV_OK);
  assert_null(a.data);
  qv_buf_free(&more);
}

/* ---- .npy -------------------------------------------------------------------------------------------------------------- */

typedef struct {
  const char *name;
  qv_elem type;
  uint32_t rank;
  size_t dim[QV_MAX_RANK];
  int64_t v[8];
} int_seed;

static int64_t int_at(const qv_array *a, size_t i) {
  union { int8_t i8; uint8_t u8; int16_t i16; uint16_t u16; int32_t i32; uint32_t u32; int64_t i64; } e = {0};
  memcpy(&e, (const char *)a->data + i * qv_elem_bytes(a->type), qv_elem_bytes(a->type));
  switch (a->type) {
  case QV_EL_I8: return e.i8;
  case QV_EL_U8: return e.u8;
  case QV_EL_I16: return e.i16;
  case QV_EL_U16: return e.u16;
  case QV_EL_I32: return e.i32;
  case QV_EL_U32: return e.u32;
  case QV_EL_I64:
  case QV_EL_U64: return e.i64; /* bit pattern */
  case QV_EL_F32:
  case QV_EL_F64: break;
  }
  fail_msg("not an integer array");
  return 0;
}

static void npy_integers(void **state) {
  (void)state;
  static const int_seed seeds[] = {
      {"i1.npy", QV_EL_I8, 2, {2, 3}, {-128, -1, 0, 1, 2, 127}},
      {"u1.npy", QV_EL_U8, 2, {2, 3}, {0, 1, 2, 3, 128, 255}},
      {"b1.npy", QV_EL_U8, 1, {3}, {1, 0, 1}},
      {"i2_le.npy", QV_EL_I16, 1, {4}, {-32768, -2, 258, 32767}},
      {"i2_be.npy", QV_EL_I16, 1, {4}, {-32768, -2, 258, 32767}},
      {"u2_le.npy", QV_EL_U16, 1, {3}, {0, 258, 65535}},
      {"u2_be.npy", QV_EL_U16, 1, {3}, {0, 258, 65535}},
      {"i4_le.npy", QV_EL_I32, 1, {4}, {INT32_MIN, -2, 16909060, INT32_MAX}},
      {"i4_be.npy", QV_EL_I32, 1, {4}, {INT32_MIN, -2, 16909060, INT32_MAX}},
      {"u4_le.npy", QV_EL_U32, 1, {3}, {0, 16909060, 4294967295}},
      {"u4_be.npy", QV_EL_U32, 1, {3}, {0, 16909060, 4294967295}},
      {"i8_le.npy", QV_EL_I64, 1, {4}, {INT64_MIN, -2, 72623859790382856, INT64_MAX}},
      {"i8_be.npy", QV_EL_I64, 1, {4}, {INT64_MIN, -2, 72623859790382856, INT64_MAX}},
      {"u8_le.npy", QV_EL_U64, 1, {3}, {0, 72623859790382856, -1}},
      {"u8_be.npy", QV_EL_U64, 1, {3}, {0, 72623859790382856, -1}},
      {"scalar.npy", QV_EL_I16, 0, {0}, {7}},
      {"rank8.npy", QV_EL_U8, 8, {1, 2, 1, 1, 2, 1, 1, 1}, {0, 1, 2, 3}},
      {"v2.npy", QV_EL_I16, 2, {2, 3}, {0, 1, 2, 3, 4, 5}},
      {"v3.npy", QV_EL_I16, 2, {2, 3}, {0, 1, 2, 3, 4, 5}},
  };
  for (size_t s = 0; s < sizeof seeds / sizeof *seeds; s++) {
    qv_buf b = {0};
    qv_array a = {0};
    load(&b, "npy", seeds[s].name);
    expect_ok(&a, qv_npy_parse, b.p, b.n);
    expect_shape(&a, seeds[s].type, seeds[s].rank, seeds[s].dim);
    assert_false(a.pixels);
    assert_false(a.raw);
    for (size_t i = 0; i < a.count; i++)
      if (int_at(&a, i) != seeds[s].v[i]) fail_msg("%s: element %zu", seeds[s].name, i);
    qv_array_free(&a);
    expect_only_whole(qv_npy_parse, &b);
    qv_buf_free(&b);
  }
}

static void npy_floats(void **state) {
  (void)state;
  static const char *const names[] = {"f4_le.npy", "f4_be.npy", "f8_le.npy", "f8_be.npy"};
  static const float f[] = {0.0f, -0.5f, 1.5f, 3.25e38f, INFINITY};
  static const double d[] = {0.0, -0.5, 1.5, 1e300, -INFINITY};
  for (size_t s = 0; s < 4; s++) {
    qv_buf b = {0};
    qv_array a = {0};
    load(&b, "npy", names[s]);
    expect_ok(&a, qv_npy_parse, b.p, b.n);
    expect_shape(&a, s < 2 ? QV_EL_F32 : QV_EL_F64, 1, (const size_t[]){5});
    assert_memory_equal(a.data, s < 2 ? (const void *)f : (const void *)d, s < 2 ? sizeof f : sizeof d);
    qv_array_free(&a);
    expect_only_whole(qv_npy_parse, &b);
    qv_buf_free(&b);
  }
}

static void npy_empty_and_fortran(void **state) {
  (void)state;
  qv_buf b = {0};
  qv_array a = {0};
  load(&b, "npy", "empty.npy");
  expect_ok(&a, qv_npy_parse, b.p, b.n);
  expect_shape(&a, QV_EL_F32, 3, (const size_t[]){3, 0, 2});
  qv_array_free(&a);
  qv_buf_free(&b);
  load(&b, "npy", "fortran.npy"); /* arange(24).reshape(2,3,4) stored with the first index fastest */
  expect_ok(&a, qv_npy_parse, b.p, b.n);
  expect_shape(&a, QV_EL_I32, 3, (const size_t[]){2, 3, 4});
  for (size_t i = 0; i < 24; i++) assert_int_equal(int_at(&a, i), i);
  qv_array_free(&a);
  expect_only_whole(qv_npy_parse, &b);
  qv_buf_free(&b);
}

/* Version 1.0 file from its dictionary text and elements. */
static void npy_text(qv_buf *b, const char *dict, const void *body, size_t n) {
  size_t len = strlen(dict);
  unsigned char head[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)(len & 255), (unsigned char)(len >> 8)};
  b->n = 0;
  qv_buf_put(b, head, sizeof head);
  qv_buf_put(b, dict, len);
  qv_buf_put(b, body, n);
  assert_false(b->failed);
}

static void npy_header_forms(void **state) {
  (void)state;
  static const char *const good[] = {
      "{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }  \n",
      "{\"descr\": \"<i2\", \"fortran_order\": False, \"shape\": (2,)}\n",
      "{'shape': (2,), 'fortran_order': True, 'descr': '<i2'}",
      "{'descr':'=i2','fortran_order':False,'shape':(2L,),}\n",
      " { 'descr' : '<i2' , 'fortran_order' : False , 'shape' : ( 2 , ) , } \n",
      "{'descr': '<i2', 'fortran_order': False, 'shape': (0000002,)}\n",
  };
  const unsigned char body[4] = {1, 2, 0xFE, 0xFF};
  qv_buf b = {0};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    qv_array a = {0};
    npy_text(&b, good[i], body, sizeof body);
    expect_ok(&a, qv_npy_parse, b.p, b.n);
    expect_shape(&a, QV_EL_I16, 1, (const size_t[]){2});
    assert_int_equal(int_at(&a, 0), 513);
    assert_int_equal(int_at(&a, 1), -2);
    qv_array_free(&a);
  }
  qv_buf_free(&b);
}

static void npy_zoo(void **state) {
  (void)state;
  static const struct { const char *dict; qv_status st; const char *text; } zoo[] = {
      {"", QV_E_PARSE, "expected '{' at character 1"},
      {"{", QV_E_PARSE, "a quoted string"},
      {"{}", QV_E_PARSE, "no 'descr'"},
      {"{'descr': '<i2', 'shape': (2,)}", QV_E_PARSE, "no 'fortran_order'"},
      {"{'descr': '<i2', 'fortran_order': False}", QV_E_PARSE, "no 'shape'"},
      {"{'fortran_order': False, 'shape': (2,)}", QV_E_PARSE, "no 'descr'"},
      {"{'descr': '<i2', 'descr': '<i2', 'fortran_order': False, 'shape': (2,)}", QV_E_PARSE, "'descr' twice"},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (2,), 'x': 1}", QV_E_PARSE, "unknown key 'x'"},
      {"{'descr': '<i2' 'fortran_order': False, 'shape': (2,)}", QV_E_PARSE, "',' or '}'"},
      {"{'descr' '<i2', 'fortran_order': False, 'shape': (2,)}", QV_E_PARSE, "expected ':'"},
      {"{'descr': '<i2, 'fortran_order': False, 'shape': (2,)}", QV_E_UNSUP, "element type '<i2, '"},
      {"{'descr': <i2, 'fortran_order': False, 'shape': (2,)}", QV_E_PARSE, "a quoted string"},
      {"{'descr': '<i2", QV_E_PARSE, "the end of a quoted string"},
      {"{'descr': '<i\\x32', 'fortran_order': False, 'shape': (2,)}", QV_E_PARSE, "plain text"},
      {"{'descr': '<i2\x01', 'fortran_order': False, 'shape': (2,)}", QV_E_PARSE, "plain text"},
      {"{'descr': '<i2', 'fortran_order': 0, 'shape': (2,)}", QV_E_PARSE, "True or False"},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': 2}", QV_E_PARSE, "'(' of the shape"},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (2)}", QV_E_PARSE, "',' after the only dimension"},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (2 1)}", QV_E_PARSE, "',' or ')' in the shape"},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (,)}", QV_E_PARSE, "a number or ')'"},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (2,,)}", QV_E_PARSE, "a number or ')'"},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (-2,)}", QV_E_PARSE, "a number or ')'"},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (2.0,)}", QV_E_PARSE, "',' or ')' in the shape"},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (2,", QV_E_PARSE, "a number or ')'"},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (99999999999999999999,)}", QV_E_PARSE, "below 2^64"},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", QV_E_LIMIT, "larger than the limit"},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (18446744073709551615,)}", QV_E_LIMIT, "larger than the limit"},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (536870913,)}", QV_E_LIMIT, "larger than the limit"},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (536870912,)}", QV_E_PARSE, "needs 1073741824 bytes of elements, found 4"},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,2)}", QV_E_UNSUP, "more than 8 dimensions"},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (3,)}", QV_E_PARSE, "shape [3] of int16 needs 6 bytes of elements, found 4"},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (1,)}", QV_E_PARSE, "shape [1] of int16 needs 2 bytes of elements, found 4"},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (2, 2)}", QV_E_PARSE, "shape [2,2] of int16 needs 8"},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': ()}", QV_E_PARSE, "shape [] of int16 needs 2"},
      {"{'descr': '<i2', 'fortran_order': False, 'shape': (2,)}x", QV_E_PARSE, "only padding after '}'"},
      {"{'descr': '|i2', 'fortran_order': False, 'shape': (2,)}", QV_E_PARSE, "has no byte order"},
      {"{'descr': 'i2', 'fortran_order': False, 'shape': (2,)}", QV_E_PARSE, "does not start with a byte order"},
      {"{'descr': '', 'fortran_order': False, 'shape': (2,)}", QV_E_PARSE, "does not start with a byte order"},
      {"{'descr': '<', 'fortran_order': False, 'shape': (2,)}", QV_E_UNSUP, "'<' (unknown)"},
      {"{'descr': '<i3', 'fortran_order': False, 'shape': (2,)}", QV_E_UNSUP, "'<i3' (unknown)"},
      {"{'descr': '<i22', 'fortran_order': False, 'shape': (2,)}", QV_E_UNSUP, "'<i22'"},
      {"{'descr': '<f16', 'fortran_order': False, 'shape': (2,)}", QV_E_UNSUP, "'<f16' (floats of this width)"},
      {"{'descr': ('<i2', (2,)), 'fortran_order': False, 'shape': (2,)}", QV_E_UNSUP, "structured"},
      {"{'descr': '|b1', 'fortran_order': False, 'shape': (4,)}", QV_E_PARSE, "element 1 of a bool array is the byte 2"},
  };
  const unsigned char body[4] = {1, 2, 3, 4};
  qv_buf b = {0};
  for (size_t i = 0; i < sizeof zoo / sizeof *zoo; i++) {
    npy_text(&b, zoo[i].dict, body, sizeof body);
    expect_bad(qv_npy_parse, b.p, b.n, zoo[i].st, zoo[i].text);
  }
  qv_buf_free(&b);
  expect_bad(qv_npy_parse, "\x93NUMPX\1\0\0\0", 10, QV_E_PARSE, "not a .npy file");
  expect_bad(qv_npy_parse, "\x93NUMPY\0\0\0\0", 10, QV_E_UNSUP, ".npy version 0.0");
  expect_bad(qv_npy_parse, "\x93NUMPY\4\0\0\0\0\0", 12, QV_E_UNSUP, ".npy version 4.0");
  expect_bad(qv_npy_parse, "\x93NUMPY\1\1\0\0", 10, QV_E_UNSUP, ".npy version 1.1");
  expect_bad(qv_npy_parse, "\x93NUMPY\2\0\377\377\377\377", 12, QV_E_PARSE, "header of 4294967295 bytes, but only 0");
}

static void npy_refused_types(void **state) {
  (void)state;
  static const struct { const char *name, *text; } bad[] = {
      {"bad_f2.npy", "'<f2' (floats of this width)"}, {"bad_c8.npy", "'<c8' (complex)"},      {"bad_string.npy", "'|S2' (byte strings)"},
      {"bad_unicode.npy", "(Unicode strings)"},       {"bad_object.npy", "(Python objects)"}, {"bad_struct.npy", "structured"},
      {"bad_struct_v3.npy", "structured"},            {"bad_date.npy", "(datetime64)"},       {"bad_void.npy", "(void or structured)"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    qv_buf b = {0};
    load(&b, "npy", bad[i].name);
    expect_bad(qv_npy_parse, b.p, b.n, QV_E_UNSUP, bad[i].text);
    qv_buf_free(&b);
  }
}

static void npy_writes(void **state) {
  (void)state;
  qv_buf b = {0};
  const int16_t v[6] = {1, -1, 258, 0, 5, 6};
  qv_buf_str(&b, "head"); /* appends, and aligns its own image */
  qv_npy_write(&b, QV_EL_I16, 2, (const size_t[]){2, 3}, v);
  static const char want[] = "\x93NUMPY\1\0\x76\0{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }";
  assert_int_equal(b.n, 4 + 128 + 12);
  assert_memory_equal(b.p + 4, want, sizeof want - 1);
  for (size_t i = 4 + sizeof want - 1; i < 4 + 127; i++) assert_int_equal(b.p[i], ' ');
  assert_int_equal(b.p[4 + 127], '\n');
  assert_memory_equal(b.p + 4 + 128, "\1\0\377\377\2\1\0\0\5\0\6\0", 12);
  qv_buf_free(&b);
  static const qv_elem types[] = {QV_EL_I8,  QV_EL_U8,  QV_EL_I16, QV_EL_U16, QV_EL_I32,
                                  QV_EL_U32, QV_EL_I64, QV_EL_U64, QV_EL_F32, QV_EL_F64};
  unsigned char data[64];
  for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(37 * i + 1);
  const size_t dim[QV_MAX_RANK] = {2, 1, 1, 2, 1, 1, 2, 1};
  for (size_t t = 0; t < sizeof types / sizeof *types; t++)
    for (uint32_t rank = 0; rank <= QV_MAX_RANK; rank++) {
      qv_array a = {0};
      qv_npy_write(&b, types[t], rank, dim, data);
      assert_int_equal((b.p[8] + 256 * b.p[9] + 10) % 64, 0);
      expect_ok(&a, qv_npy_parse, b.p, b.n);
      expect_shape(&a, types[t], rank, dim);
      assert_memory_equal(a.data, data, a.count * qv_elem_bytes(types[t]));
      qv_array_free(&a);
      qv_buf_free(&b);
    }
}

/* Column-major order of random shapes against the definition, index by index. */
static void npy_fortran_random(void **state) {
  (void)state;
  uint64_t seed = 20240611;
  qv_rng r = {seed};
  print_message("seed %llu\n", (unsigned long long)seed);
  for (size_t round = 0; round < 200 * mult(); round++) {
    qv_buf b = {0}, dict = {0};
    qv_array a = {0};
    size_t dim[QV_MAX_RANK], n = 1;
    uint32_t rank = (uint32_t)qv_rng_range(&r, 0, 4);
    unsigned char src[625], back[625];
    qv_buf_str(&dict, "{'descr': '|u1', 'fortran_order': True, 'shape': (");
    for (uint32_t d = 0; d < rank; d++) {
      dim[d] = (size_t)qv_rng_range(&r, 1, 5);
      n *= dim[d];
      qv_buf_printf(&dict, "%zu,", dim[d]);
    }
    qv_buf_put(&dict, ")}", 3);
    for (size_t i = 0; i < n; i++) src[i] = (unsigned char)qv_rng_next(&r);
    npy_text(&b, (const char *)dict.p, src, n);
    expect_ok(&a, qv_npy_parse, b.p, b.n);
    for (size_t e = 0; e < n; e++) { /* element number e in row-major order, by division */
      size_t rest = e, off = 0;
      for (uint32_t d = rank; d-- > 0; rest /= dim[d]) {
        size_t stride = 1;
        for (uint32_t k = 0; k < d; k++) stride *= dim[k];
        off += rest % dim[d] * stride;
      }
      back[e] = src[off];
    }
    assert_memory_equal(a.data, back, n);
    qv_array_free(&a);
    qv_buf_free(&b);
    qv_buf_free(&dict);
  }
}

/* ---- .npz -------------------------------------------------------------------------------------------------------------- */

static void npz_reads(void **state) {
  (void)state;
  qv_buf b = {0};
  qv_array a = {0};
  qv_err err = {0};
  load(&b, "npy", "one.npz");
  expect_ok(&a, npz_only, b.p, b.n);
  expect_shape(&a, QV_EL_I16, 2, (const size_t[]){2, 3});
  for (size_t i = 0; i < 6; i++) assert_int_equal(int_at(&a, i), i);
  qv_array_free(&a);
  expect_ok(&a, npz_x, b.p, b.n);
  qv_array_free(&a);
  expect_only_whole(npz_only, &b);
  qv_buf_free(&b);

  load(&b, "npy", "two.npz");
  expect_bad(npz_only, b.p, b.n, QV_E_PARSE, "choose an array of this .npz file (file.npz:name); it holds 2: x.npy y.npy");
  assert_int_equal(qv_npz_parse(&a, b.p, b.n, "z", "F", &err), QV_E_PARSE);
  assert_non_null(strstr(err.msg, "has no array z; it holds 2: x.npy y.npy"));
  static const char *const names[] = {"y", "y.npy"};
  for (size_t i = 0; i < 2; i++) {
    assert_int_equal(qv_npz_parse(&a, b.p, b.n, names[i], "F", NULL), QV_OK);
    expect_shape(&a, QV_EL_F64, 1, (const size_t[]){1});
    assert_true(*(double *)a.data == 4.5);
    qv_array_free(&a);
  }
  assert_int_equal(qv_npz_parse(&a, b.p, b.n, "", "F", NULL), QV_E_PARSE);
  assert_int_equal(qv_npz_parse(&a, b.p, b.n, "y.npyx", "F", NULL), QV_E_PARSE);
  assert_int_equal(qv_npz_parse(&a, b.p, b.n, "y.np", "F", NULL), QV_E_PARSE);
  qv_buf_free(&b);

  load(&b, "npy", "deflated.npz");
  assert_int_equal(qv_npz_parse(&a, b.p, b.n, "x", "F", NULL), QV_OK);
  expect_shape(&a, QV_EL_U8, 1, (const size_t[]){5000});
  qv_array_free(&a);
  assert_int_equal(qv_npz_parse(&a, b.p, b.n, "y", "F", NULL), QV_OK);
  expect_shape(&a, QV_EL_I32, 1, (const size_t[]){300});
  for (size_t i = 0; i < 300; i++) assert_int_equal(int_at(&a, i), i);
  qv_array_free(&a);
  expect_only_whole(npz_x, &b);
  qv_buf_free(&b);
}

/* Offset of the k-th occurrence of a 4-byte signature. */
static size_t find_sig(const qv_buf *b, const char *sig, int k) {
  for (size_t i = 0; i + 4 <= b->n; i++)
    if (memcmp(b->p + i, sig, 4) == 0 && k-- == 0) return i;
  fail_msg("signature not found");
  return 0;
}

static void put32(unsigned char *p, uint32_t v) {
  for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> (8 * i));
}

/* One field of entry x of one.npz replaced, in the local and in the central header. */
static void npz_patched(size_t local, size_t central, size_t bytes, uint32_t v, qv_status want, const char *text) {
  qv_buf b = {0};
  unsigned char t[4];
  load(&b, "npy", "one.npz");
  put32(t, v);
  memcpy(b.p + find_sig(&b, "PK\3\4", 0) + local, t, bytes);
  memcpy(b.p + find_sig(&b, "PK\1\2", 0) + central, t, bytes);
  expect_bad(npz_only, b.p, b.n, want, text);
  qv_buf_free(&b);
}

static void npz_zoo(void **state) {
  (void)state;
  qv_buf b = {0};
  npz_patched(8, 10, 2, 12, QV_E_UNSUP, "compression method 12");
  npz_patched(8, 10, 2, 8, QV_E_PARSE, ".npz entry: "); /* stored data read as deflate */
  npz_patched(14, 16, 4, 0x12345678, QV_E_PARSE, ".npz entry: CRC error");
  npz_patched(6, 8, 2, 1, QV_E_UNSUP, "x.npy is encrypted");
  load(&b, "npy", "one.npz"); /* the last element changed: the CRC notices */
  b.p[find_sig(&b, "PK\1\2", 0) - 2] ^= 1;
  expect_bad(npz_only, b.p, b.n, QV_E_PARSE, ".npz entry: CRC error");
  qv_buf_free(&b);
  expect_bad(npz_only, "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22, QV_E_PARSE, "empty .npz file");
  expect_bad(npz_only, "\x93NUMPY\1\0", 8, QV_E_PARSE, "not a readable .npz file");
  expect_bad(npz_only, "", 0, QV_E_PARSE, "empty .npz file");
}

/* Sizes that the archive cannot back: refused before memory is asked for. */
static void npz_bomb(void **state) {
  (void)state;
  static const struct { uint32_t size; qv_status st; const char *text; } bombs[] = {
      {0x7fffffff, QV_E_LIMIT, "the limit is 1073741824 bytes"}, {0x3fffffff, QV_E_LIMIT, "1100:1"}};
  for (size_t i = 0; i < 2; i++) {
    qv_buf b = {0};
    qv_array a = {0};
    qv_err err = {0};
    load(&b, "npy", "deflated.npz");
    size_t c = find_sig(&b, "PK\1\2", 0), l = find_sig(&b, "PK\3\4", 0), name = (size_t)(b.p[l + 26] + 256 * b.p[l + 27]);
    put32(b.p + c + 24, bombs[i].size);
    if (b.p[l + 28] >= 20) { /* numpy writes a ZIP64 extra field in the local header: sizes there */
      put32(b.p + l + 30 + name + 4, bombs[i].size);
      put32(b.p + l + 30 + name + 8, 0);
    } else put32(b.p + l + 22, bombs[i].size);
    qv_status st = qv_npz_parse(&a, b.p, b.n, "x", "F", &err);
    if (st != bombs[i].st || strstr(err.msg, bombs[i].text) == NULL) fail_msg("%s: %s", qv_status_name(st), err.msg);
    qv_buf_free(&b);
  }
}

/* ---- IDX --------------------------------------------------------------------------------------------------------------- */

static void idx_reads(void **state) {
  (void)state;
  static const int_seed seeds[] = {
      {"u1.idx", QV_EL_U8, 2, {2, 3}, {0, 1, 2, 127, 128, 255}},
      {"u1.idx.gz", QV_EL_U8, 2, {2, 3}, {0, 1, 2, 127, 128, 255}},
      {"i1.idx", QV_EL_I8, 2, {2, 3}, {-128, -1, 0, 1, 2, 127}},
      {"i2.idx", QV_EL_I16, 2, {2, 3}, {-32768, -1, 0, 1, 258, 32767}},
      {"i4.idx", QV_EL_I32, 2, {2, 3}, {INT32_MIN, -1, 0, 1, 16909060, INT32_MAX}},
  };
  static const float f[] = {0.0f, -0.5f, 1.5f, 2.0f, 4.0f, 8.0f};
  static const double d[] = {0.0, -0.5, 1.5, 2.0, 4.0, 1e300};
  qv_buf b = {0};
  qv_array a = {0};
  for (size_t s = 0; s < sizeof seeds / sizeof *seeds; s++) {
    load(&b, "image", seeds[s].name);
    expect_ok(&a, qv_idx_parse, b.p, b.n);
    expect_shape(&a, seeds[s].type, 2, seeds[s].dim);
    assert_int_equal(a.pixels, seeds[s].type == QV_EL_U8);
    for (size_t i = 0; i < 6; i++) assert_int_equal(int_at(&a, i), seeds[s].v[i]);
    qv_array_free(&a);
    expect_only_whole(qv_idx_parse, &b);
    qv_buf_free(&b);
  }
  for (int s = 0; s < 2; s++) {
    load(&b, "image", s == 0 ? "f4.idx" : "f8.idx");
    expect_ok(&a, qv_idx_parse, b.p, b.n);
    expect_shape(&a, s == 0 ? QV_EL_F32 : QV_EL_F64, 2, (const size_t[]){2, 3});
    assert_memory_equal(a.data, s == 0 ? (const void *)f : (const void *)d, s == 0 ? sizeof f : sizeof d);
    assert_false(a.pixels);
    qv_array_free(&a);
    qv_buf_free(&b);
  }
}

static void idx_zoo(void **state) {
  (void)state;
  static const struct { const char *bytes; size_t n; qv_status st; const char *text; } zoo[] = {
      {"\0\1\x08\1\0\0\0\1\7", 9, QV_E_PARSE, "two zero bytes"},
      {"\1\0\x08\1\0\0\0\1\7", 9, QV_E_PARSE, "two zero bytes"},
      {"\0\0\x0a\1\0\0\0\1\7", 9, QV_E_PARSE, "element type 0x0a"},
      {"\0\0\x08\0\7", 5, QV_E_UNSUP, "0 dimensions"},
      {"\0\0\x08\11\7", 5, QV_E_UNSUP, "9 dimensions"},
      {"\0\0\x08\2\0\0\0\1", 8, QV_E_PARSE, "truncated IDX header: 8 of 12"},
      {"\0\0\x08\1\0\0\0\2\7", 9, QV_E_PARSE, "shape [2] of uint8 needs 2 bytes of elements, found 1"},
      {"\0\0\x08\1\0\0\0\1\7\7", 10, QV_E_PARSE, "shape [1] of uint8 needs 1 bytes of elements, found 2"},
      {"\0\0\x0e\2\377\377\377\377\377\377\377\377", 12, QV_E_LIMIT, "larger than the limit"},
      {"\x1f\x8b\x08", 3, QV_E_PARSE, "truncated gzip"},
      {"\x1f\x8b\x09\0\0\0\0\0\0\0", 10, QV_E_PARSE, "malformed gzip"},
  };
  for (size_t i = 0; i < sizeof zoo / sizeof *zoo; i++) expect_bad(qv_idx_parse, zoo[i].bytes, zoo[i].n, zoo[i].st, zoo[i].text);
  qv_buf b = {0}, twice = {0};
  load(&b, "image", "u1.idx.gz");
  b.p[b.n - 8] ^= 1; /* CRC of the gzip trailer */
  expect_bad(qv_idx_parse, b.p, b.n, QV_E_PARSE, "malformed gzip file: incorrect data check");
  b.p[b.n - 8] ^= 1;
  b.p[b.n - 4] ^= 1; /* length */
  expect_bad(qv_idx_parse, b.p, b.n, QV_E_PARSE, "malformed gzip file: incorrect length check");
  b.p[b.n - 4] ^= 1;
  qv_buf_put(&twice, b.p, b.n);
  qv_buf_put(&twice, b.p, b.n);
  expect_bad(qv_idx_parse, twice.p, twice.n, QV_E_PARSE, "bytes after the end of the gzip data");
  qv_buf_free(&twice);
  qv_buf_free(&b);
}

/* Gzip of n zeros after an IDX header. */
static void gzip_zeros(qv_buf *out, size_t n) {
  static const unsigned char zeros[65536];
  unsigned char head[8] = {0, 0, 8, 1}, chunk[65536];
  for (size_t i = 0; i < 4; i++) head[4 + i] = (unsigned char)(n >> (8 * (3 - i)));
  z_stream z = {0};
  assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
  size_t left = n + sizeof head;
  int r = Z_OK;
  bool first = true;
  while (r != Z_STREAM_END) {
    if (z.avail_in == 0 && left > 0) {
      z.next_in = (z_const Bytef *)(uintptr_t)(first ? head : zeros);
      z.avail_in = (uInt)(first ? sizeof head : left < sizeof zeros ? left : sizeof zeros);
      left -= z.avail_in;
      first = false;
    }
    z.next_out = chunk;
    z.avail_out = sizeof chunk;
    r = deflate(&z, left == 0 ? Z_FINISH : Z_NO_FLUSH);
    assert_true(r == Z_OK || r == Z_STREAM_END);
    qv_buf_put(out, chunk, sizeof chunk - z.avail_out);
  }
  (void)deflateEnd(&z);
}

static void idx_gzip_sizes(void **state) {
  (void)state;
  qv_buf b = {0};
  qv_array a = {0};
  gzip_zeros(&b, 100000); /* several output chunks */
  expect_ok(&a, qv_idx_parse, b.p, b.n);
  expect_shape(&a, QV_EL_U8, 1, (const size_t[]){100000});
  qv_array_free(&a);
  qv_buf_free(&b);
  if (mult() < 10) return;
  gzip_zeros(&b, (size_t)1 << 30); /* with its header just above the limit */
  expect_bad(qv_idx_parse, b.p, b.n, QV_E_LIMIT, "unpacks to more than the limit");
  qv_buf_free(&b);
}

/* ---- images ------------------------------------------------------------------------------------------------------------ */

static void pgm_reads(void **state) {
  (void)state;
  static const char *const names[] = {"plain.pgm", "comment.pgm"};
  for (size_t i = 0; i < 2; i++) {
    qv_buf b = {0};
    qv_array a = {0};
    load(&b, "image", names[i]);
    expect_ok(&a, qv_pgm_parse, b.p, b.n);
    expect_shape(&a, QV_EL_U8, 2, (const size_t[]){2, 3});
    assert_true(a.pixels);
    assert_memory_equal(a.data, "\0\1\2\200\376\377", 6);
    qv_array_free(&a);
    expect_only_whole(qv_pgm_parse, &b);
    qv_buf_free(&b);
  }
}

static void pgm_zoo(void **state) {
  (void)state;
  static const struct { const char *text_in; qv_status st; const char *text; } zoo[] = {
      {"P2\n1 1\n255\n7", QV_E_UNSUP, "netpbm format P2"},
      {"P6\n1 1\n255\n777", QV_E_UNSUP, "netpbm format P6"},
      {"Q5\n1 1\n255\n7", QV_E_PARSE, "does not start with P5"},
      {"P51 1\n255\n7", QV_E_PARSE, "expected width, height"},
      {"P5\n1\n", QV_E_PARSE, "expected width, height"},
      {"P5\n-1 1\n255\n7", QV_E_PARSE, "expected width, height"},
      {"P5\n1x1\n255\n7", QV_E_PARSE, "expected width, height"},
      {"P5\n1000000000 1\n255\n7", QV_E_PARSE, "below 10^9"},
      {"P5\n0 1\n255\n", QV_E_PARSE, "0 x 1 pixels"},
      {"P5\n1 0\n255\n", QV_E_PARSE, "1 x 0 pixels"},
      {"P5\n1 1\n65535\n77", QV_E_UNSUP, "PGM maximum 65535"},
      {"P5\n1 1\n15\n7", QV_E_UNSUP, "PGM maximum 15"},
      {"P5\n1 1\n255", QV_E_PARSE, "one white space"},
      {"P5\n1 1\n255#\n7", QV_E_PARSE, "one white space"},
      {"P5\n1 1\n255\n", QV_E_PARSE, "shape [1,1] of uint8 needs 1 bytes of elements, found 0"},
      {"P5\n1 1\n255\r\n7", QV_E_PARSE, "needs 1 bytes of elements, found 2"},
      {"P5\n1 1\n255\n7P5\n1 1\n255\n7", QV_E_PARSE, "needs 1 bytes of elements, found 13"},
      {"P5\n999999999 999999999\n255\n7", QV_E_LIMIT, "larger than the limit"},
      {"P5\n# no end", QV_E_PARSE, "expected width, height"},
  };
  for (size_t i = 0; i < sizeof zoo / sizeof *zoo; i++)
    expect_bad(qv_pgm_parse, zoo[i].text_in, strlen(zoo[i].text_in), zoo[i].st, zoo[i].text);
}

static void bmp_reads(void **state) {
  (void)state;
  static const struct { const char *name; uint32_t rank; size_t dim[3]; const char *want; } seeds[] = {
      {"grey.bmp", 2, {2, 3, 0}, "\0\12\24\36\50\0"},
      {"grey_top.bmp", 2, {2, 3, 0}, "\0\12\24\36\50\0"},
      {"rgb.bmp", 3, {2, 2, 3}, "\1\2\3\4\5\6\7\10\11\12\13\14"},
      {"rgb_top_v5.bmp", 3, {2, 2, 3}, "\1\2\3\4\5\6\7\10\11\12\13\14"}};
  for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
    qv_buf b = {0};
    qv_array a = {0};
    load(&b, "image", seeds[i].name);
    expect_ok(&a, qv_bmp_parse, b.p, b.n);
    expect_shape(&a, QV_EL_U8, seeds[i].rank, seeds[i].dim);
    assert_true(a.pixels);
    assert_memory_equal(a.data, seeds[i].want, a.count);
    qv_array_free(&a);
    expect_only_whole(qv_bmp_parse, &b);
    qv_buf_free(&b);
  }
}

/* One 32-bit (or, bytes = 2, 16-bit) header field of a seed replaced. */
static void bmp_patched(const char *seed, size_t at, size_t bytes, uint32_t v, qv_status want, const char *text) {
  qv_buf b = {0};
  unsigned char t[4];
  load(&b, "image", seed);
  put32(t, v);
  memcpy(b.p + at, t, bytes);
  expect_bad(qv_bmp_parse, b.p, b.n, want, text);
  qv_buf_free(&b);
}

static void bmp_zoo(void **state) {
  (void)state;
  qv_buf b = {0};
  load(&b, "image", "bad_colour.bmp");
  expect_bad(qv_bmp_parse, b.p, b.n, QV_E_UNSUP, "colour 1 is not grey (red 2, green 1, blue 1)");
  qv_buf_free(&b);
  bmp_patched("grey.bmp", 0, 2, 0x4d41, QV_E_PARSE, "does not start with BM");
  bmp_patched("grey.bmp", 2, 4, 83, QV_E_PARSE, "header says 83 bytes, the file has 82");
  bmp_patched("grey.bmp", 10, 4, 73, QV_E_PARSE, "inside the headers");
  bmp_patched("grey.bmp", 10, 4, 75, QV_E_PARSE, "does not end where the file does");
  bmp_patched("grey.bmp", 10, 4, 0xffffffff, QV_E_PARSE, "after the end");
  bmp_patched("grey.bmp", 14, 4, 12, QV_E_UNSUP, "information header of 12 bytes");
  bmp_patched("grey.bmp", 14, 4, 0xffffffff, QV_E_UNSUP, "information header of 4294967295");
  bmp_patched("grey.bmp", 14, 4, 124, QV_E_PARSE, "truncated BMP header");
  bmp_patched("grey.bmp", 18, 4, 0, QV_E_PARSE, "0 x 2 pixels");
  bmp_patched("grey.bmp", 18, 4, 0x80000000, QV_E_PARSE, "-2147483648 x 2 pixels");
  bmp_patched("grey.bmp", 18, 4, 0x7fffffff, QV_E_PARSE, "does not end where the file does");
  bmp_patched("grey.bmp", 18, 4, 5, QV_E_PARSE, "does not end where the file does");
  bmp_patched("grey.bmp", 22, 4, 0, QV_E_PARSE, "3 x 0 pixels");
  bmp_patched("grey.bmp", 22, 4, 1, QV_E_PARSE, "does not end where the file does");
  bmp_patched("grey.bmp", 22, 4, 0x80000000, QV_E_PARSE, "does not end where the file does");
  bmp_patched("grey.bmp", 26, 2, 2, QV_E_PARSE, "2 planes");
  bmp_patched("grey.bmp", 28, 2, 4, QV_E_UNSUP, "4 bits per pixel");
  bmp_patched("grey.bmp", 28, 2, 32, QV_E_UNSUP, "32 bits per pixel");
  bmp_patched("grey.bmp", 28, 2, 24, QV_E_PARSE, "does not end where the file does");
  bmp_patched("grey.bmp", 30, 4, 1, QV_E_UNSUP, "compression 1");
  bmp_patched("grey.bmp", 46, 4, 4, QV_E_PARSE, "pixel 1,1 has colour 4 of a palette of 4");
  bmp_patched("grey.bmp", 46, 4, 0, QV_E_PARSE, "inside the headers"); /* 0 means 256 */
  bmp_patched("grey.bmp", 46, 4, 257, QV_E_PARSE, "palette of 257 colours");
  bmp_patched("grey.bmp", 46, 4, 0xffffffff, QV_E_PARSE, "palette of 4294967295 colours");
}

/* ---- which reader a file gets ------------------------------------------------------------------------------------------ */

static void write_at(char path[128], const char *dir, const char *name, const void *p, size_t n) {
  (void)snprintf(path, 128, "%s/%s", dir, name);
  assert_int_equal(qv_file_write(path, p, n, NULL), QV_OK);
}

static void reads_by_name(void **state) {
  (void)state;
  static const struct { const char *dir, *seed, *name; qv_elem type; uint32_t rank; bool pixels, raw; } files[] = {
      {"npy", "v2.npy", "a.npy", QV_EL_I16, 2, false, false},      {"npy", "v2.npy", "a.NPY", QV_EL_I16, 2, false, false},
      {"npy", "v2.npy", "a.bin", QV_EL_I16, 2, false, false},      {"npy", "v2.npy", "a.npz", QV_EL_I16, 2, false, false},
      {"npy", "one.npz", "b.npz", QV_EL_I16, 2, false, false},     {"npy", "one.npz", "b.bin", QV_EL_U8, 1, false, true},
      {"image", "u1.idx", "c.idx", QV_EL_U8, 2, true, false},      {"image", "u1.idx", "c-idx3-ubyte", QV_EL_U8, 2, true, false},
      {"image", "u1.idx.gz", "c-ubyte.gz", QV_EL_U8, 2, true, false}, {"image", "u1.idx", "c.gz", QV_EL_U8, 2, true, false},
      {"image", "u1.idx", "c.bin", QV_EL_U8, 1, false, true},      {"image", "plain.pgm", "d.pgm", QV_EL_U8, 2, true, false},
      {"image", "plain.pgm", "d", QV_EL_U8, 1, false, true},       {"image", "rgb.bmp", "e.bmp", QV_EL_U8, 3, true, false}};
  char dir[] = "/tmp/qv_array_XXXXXX", path[128], entry[160];
  assert_non_null(mkdtemp(dir));
  qv_array a = {0};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    qv_buf b = {0};
    qv_err err = {0};
    load(&b, files[i].dir, files[i].seed);
    write_at(path, dir, files[i].name, b.p, b.n);
    if (qv_array_read(&a, path, &err) != QV_OK) fail_msg("%s", err.msg);
    assert_int_equal(a.type, files[i].type);
    assert_int_equal(a.rank, files[i].rank);
    assert_int_equal(a.pixels, files[i].pixels);
    assert_int_equal(a.raw, files[i].raw);
    if (a.raw) {
      assert_int_equal(a.dim[0], b.n);
      assert_memory_equal(a.data, b.p, b.n);
    }
    qv_array_free(&a);
    assert_int_equal(unlink(path), 0);
    qv_buf_free(&b);
  }
  static const struct { const char *name, *text; } wrong[] = {{"a.npy", "not a .npy file"}, {"a.npz", "not a readable .npz"},
                                                              {"a.idx", "not an IDX file"}, {"a.pgm", "not a PGM file"},
                                                              {"a.bmp", "not a BMP file"}, {"a.gz", "not an IDX file"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    qv_err err = {0};
    write_at(path, dir, wrong[i].name, "hello", 5);
    assert_int_equal(qv_array_read(&a, path, &err), QV_E_PARSE);
    assert_non_null(strstr(err.msg, wrong[i].text));
    assert_non_null(strstr(err.msg, path)); /* names the file */
    assert_int_equal(unlink(path), 0);
  }
  qv_buf b = {0};
  qv_err err = {0};
  load(&b, "npy", "two.npz");
  write_at(path, dir, "f.npz", b.p, b.n);
  (void)snprintf(entry, sizeof entry, "%s:y", path);
  assert_int_equal(qv_array_read(&a, entry, &err), QV_OK);
  assert_int_equal(a.type, QV_EL_F64);
  qv_array_free(&a);
  (void)snprintf(entry, sizeof entry, "%s:z", path);
  assert_int_equal(qv_array_read(&a, entry, &err), QV_E_PARSE);
  assert_int_equal(qv_array_read(&a, path, NULL), QV_E_PARSE);
  assert_int_equal(unlink(path), 0);
  err = (qv_err){0};
  assert_int_equal(qv_array_read(&a, path, &err), QV_E_IO);
  assert_non_null(strstr(err.msg, path));
  write_at(path, dir, "empty", "", 0);
  assert_int_equal(qv_array_read(&a, path, &err), QV_OK);
  assert_int_equal(a.count, 0);
  qv_array_free(&a);
  assert_int_equal(unlink(path), 0);
  qv_buf_free(&b);
  assert_int_equal(rmdir(dir), 0);
}

/* ---- packing ----------------------------------------------------------------------------------------------------------- */

/* A net of one input and nothing else: all that packing looks at. */
typedef struct {
  qv_net net;
  qv_tensor t;
  qv_port p;
} one_input;

static void make_input(one_input *o, qv_dtype type, qv_end end, float scale, int32_t zp, uint32_t rank, const uint32_t *dim) {
  *o = (one_input){.t = {.name = "x", .rank = rank, .type = type, .has_q = true, .scale = scale, .zp = zp}};
  for (uint32_t d = 0; d < rank; d++) o->t.dim[d] = dim[d];
  o->t.lo = qv_dtype_range(type).lo;
  o->t.hi = qv_dtype_range(type).hi;
  o->p = (qv_port){.tensor = 0, .end = end, .name = "image"};
  o->net = (qv_net){.n_tensors = 1, .tensor = &o->t, .n_in = 1, .in = &o->p};
}

static qv_array view(qv_elem type, uint32_t rank, const size_t *dim, const void *data) {
  qv_array a = {.type = type, .rank = rank, .count = 1, .data = (void *)(uintptr_t)data};
  for (uint32_t d = 0; d < rank; d++) a.count *= a.dim[d] = dim[d];
  return a;
}

static void pack_ok(const one_input *o, const qv_array *a, size_t want_n, const void *want, size_t bytes) {
  void *buf = NULL;
  size_t n = 0;
  qv_err err = {0};
  if (qv_input_pack(&buf, &n, &o->net, 0, a, "F", &err) != QV_OK) fail_msg("%s", err.msg);
  assert_int_equal(n, want_n);
  assert_memory_equal(buf, want, bytes);
  free(buf);
}

static void pack_bad(const one_input *o, const qv_array *a, qv_status want, const char *text) {
  void *buf = NULL;
  size_t n = 77;
  qv_err err = {0};
  qv_status st = qv_input_pack(&buf, &n, &o->net, 0, a, "F", &err);
  if (st != want || strstr(err.msg, text) == NULL) fail_msg("expected %s '%s', got %s '%s'", qv_status_name(want), text, qv_status_name(st), err.msg);
  assert_null(buf);
  assert_int_equal(n, 77);
}

static void pack_shapes(void **state) {
  (void)state;
  static const struct { uint32_t rt; uint32_t t[4]; uint32_t ra; size_t a[5]; size_t n; /* 0 = refused */ } cases[] = {
      {4, {1, 2, 3, 1}, 4, {1, 2, 3, 1}, 1}, {4, {1, 2, 3, 1}, 2, {2, 3}, 1},          {4, {1, 2, 3, 1}, 3, {5, 2, 3}, 5},
      {4, {1, 2, 3, 1}, 5, {5, 1, 2, 3, 1}, 5}, {4, {1, 2, 3, 1}, 4, {1, 5, 2, 3}, 5},  {4, {1, 2, 3, 1}, 2, {3, 2}, 0},
      {4, {1, 2, 3, 1}, 1, {6}, 0},          {4, {1, 2, 3, 1}, 2, {5, 6}, 0},          {4, {1, 2, 3, 1}, 4, {5, 2, 2, 3}, 0},
      {4, {1, 2, 3, 3}, 4, {1, 3, 2, 3}, 0}, {4, {1, 2, 3, 3}, 3, {2, 3, 3}, 1},       {2, {2, 2}, 2, {2, 2}, 1},
      {2, {2, 2}, 3, {2, 2, 2}, 2},          {2, {1, 1}, 1, {1}, 1},                   {2, {1, 1}, 1, {5}, 5},
      {2, {1, 1}, 2, {5, 1}, 5},             {2, {1, 1}, 2, {5, 2}, 0},                {0, {0}, 0, {0}, 1},
      {0, {0}, 1, {4}, 4},                   {1, {6}, 1, {6}, 1},                      {1, {6}, 2, {5, 6}, 5},
      {1, {6}, 2, {2, 3}, 1},                {1, {6}, 3, {5, 2, 3}, 5},                {2, {1, 6}, 3, {5, 2, 3}, 5},
      {1, {6}, 3, {2, 5, 3}, 0},             {1, {6}, 2, {6, 6}, 6},                   {1, {6}, 1, {12}, 0},
      {1, {6}, 2, {0, 6}, 0},                {1, {6}, 1, {0}, 0},
      {2, {2, 2}, 1, {2}, 0},                      {3, {1, 1, 6}, 2, {1, 6}, 1}};
  int8_t data[256];
  for (int i = 0; i < 256; i++) data[i] = (int8_t)(i - 128);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    one_input o;
    make_input(&o, QV_I8, QV_END_INT, 1, 0, cases[i].rt, cases[i].t);
    qv_array a = view(QV_EL_I8, cases[i].ra, cases[i].a, data);
    if (cases[i].n > 0) pack_ok(&o, &a, cases[i].n, data, a.count);
    else pack_bad(&o, &a, QV_E_PARSE, "expects shape");
  }
  one_input o;
  make_input(&o, QV_I8, QV_END_INT, 1, 0, 4, (const uint32_t[]){1, 2, 3, 1});
  qv_array a = view(QV_EL_F64, 2, (const size_t[]){3, 2}, data);
  pack_bad(&o, &a, QV_E_PARSE, "F: input 'image' expects shape [1,2,3,1] of int8, or several such samples along one more leading dimension; "
           "found [3,2] of float64");
}

static void pack_integers(void **state) {
  (void)state;
  static const uint32_t two[] = {2};
  static const size_t dim[] = {2};
  one_input o;
  make_input(&o, QV_I16, QV_END_INT, 1, 0, 1, two);
  static const int16_t want[] = {-2, 100};
  static const int8_t i8[] = {-2, 100};
  static const int32_t i32[] = {-2, 100}, i32_far[] = {0, 32768};
  static const int64_t i64[] = {-2, 100}, i64_far[] = {INT64_MIN, 0};
  static const uint64_t u64_far[] = {0, 0x8000000000000000u};
  qv_array a = view(QV_EL_I8, 1, dim, i8);
  pack_ok(&o, &a, 1, want, sizeof want);
  a = view(QV_EL_I16, 1, dim, want);
  pack_ok(&o, &a, 1, want, sizeof want);
  a = view(QV_EL_I32, 1, dim, i32);
  pack_ok(&o, &a, 1, want, sizeof want);
  a = view(QV_EL_I64, 1, dim, i64);
  pack_ok(&o, &a, 1, want, sizeof want);
  a = view(QV_EL_I32, 1, dim, i32_far);
  pack_bad(&o, &a, QV_E_RANGE, "element 1 is 32768, outside [-32768,32767] of input 'image'");
  a = view(QV_EL_I64, 1, dim, i64_far);
  pack_bad(&o, &a, QV_E_RANGE, "element 0 is -9223372036854775808");
  a = view(QV_EL_U64, 1, dim, u64_far);
  pack_bad(&o, &a, QV_E_RANGE, "element 1 is above 2^63 - 1");
  o.t.hi = 99; /* the declared range is narrower than the type */
  a = view(QV_EL_I8, 1, dim, i8);
  pack_bad(&o, &a, QV_E_RANGE, "element 1 is 100, outside [-32768,99]");

  static const uint8_t u8[] = {0, 200};
  make_input(&o, QV_I8, QV_END_INT, 1, 0, 1, two);
  a = view(QV_EL_U8, 1, dim, u8); /* typed: 200 is not an int8, whatever its byte looks like */
  pack_bad(&o, &a, QV_E_RANGE, "element 1 is 200, outside [-128,127]");
  make_input(&o, QV_U8, QV_END_INT, 1, 0, 1, two);
  pack_ok(&o, &a, 1, u8, 2);
  make_input(&o, QV_I64, QV_END_INT, 1, 0, 1, two);
  pack_ok(&o, &a, 1, (const int64_t[]){0, 200}, 16);
  make_input(&o, QV_I8, QV_END_QUANT_AWAY, 0.5f, 3, 1, two); /* integers at a float end are the integers themselves */
  a = view(QV_EL_I64, 1, dim, i64);
  pack_ok(&o, &a, 1, i8, 2);
  static const uint16_t u16[] = {7, 65535};
  static const uint32_t u32[] = {7, 4294967295u};
  make_input(&o, QV_U16, QV_END_INT, 1, 0, 1, two);
  a = view(QV_EL_U16, 1, dim, u16);
  pack_ok(&o, &a, 1, u16, 4);
  make_input(&o, QV_I32, QV_END_INT, 1, 0, 1, two);
  pack_ok(&o, &a, 1, (const int32_t[]){7, 65535}, 8);
  a = view(QV_EL_U32, 1, dim, u32);
  pack_bad(&o, &a, QV_E_RANGE, "element 1 is 4294967295");
  pack_bad(&(one_input){.net = {.n_in = 0}}, &a, QV_E_ARG, "no input 0");
}

static void pack_raw(void **state) {
  (void)state;
  one_input o;
  static const unsigned char bytes[] = {0xFE, 0xFF, 0x64, 0x00, 0x01, 0x80};
  qv_array a = view(QV_EL_U8, 1, (const size_t[]){6}, bytes);
  a.raw = true;
  make_input(&o, QV_I8, QV_END_INT, 1, 0, 2, (const uint32_t[]){1, 3});
  pack_ok(&o, &a, 2, bytes, 6);
  make_input(&o, QV_I16, QV_END_INT, 1, 0, 2, (const uint32_t[]){1, 3});
  pack_ok(&o, &a, 1, (const int16_t[]){-2, 100, -32767}, 6);
  o.t.lo = -32766;
  pack_bad(&o, &a, QV_E_RANGE, "element 2 is -32767");
  make_input(&o, QV_I8, QV_END_INT, 1, 0, 1, (const uint32_t[]){4});
  pack_bad(&o, &a, QV_E_PARSE, "raw bytes in multiples of 4 (4 elements of int8), found 6 bytes");
  static const float f[] = {1.0f, -1.25f, 1e9f, 0.0f}; /* the source model's input is float32 */
  a = view(QV_EL_U8, 1, (const size_t[]){16}, f);
  a.raw = true;
  make_input(&o, QV_I8, QV_END_QUANT_AWAY, 0.5f, 3, 1, (const uint32_t[]){2});
  pack_ok(&o, &a, 2, (const int8_t[]){5, 0, 127, 3}, 4);
  make_input(&o, QV_I8, QV_END_QUANT_AWAY, 0.5f, 3, 1, (const uint32_t[]){3});
  pack_bad(&o, &a, QV_E_PARSE, "raw bytes in multiples of 12 (3 elements of float32), found 16 bytes");
  a = view(QV_EL_U8, 1, (const size_t[]){0}, f);
  a.raw = true;
  pack_bad(&o, &a, QV_E_PARSE, "found 0 bytes");
}

static void pack_floats(void **state) {
  (void)state;
  one_input o;
  static const size_t dim[] = {1, 4};
  static const float f[] = {0.25f, -0.25f, 0.75f, -100.0f};
  static const double d[] = {0.25, -0.25, 0.75, -1e300}; /* the last one overflows binary32 and saturates */
  qv_array a = view(QV_EL_F32, 2, dim, f), b = view(QV_EL_F64, 2, dim, d);
  make_input(&o, QV_I8, QV_END_QUANT_AWAY, 0.5f, 3, 1, (const uint32_t[]){4});
  pack_ok(&o, &a, 1, (const int8_t[]){4, 2, 5, -128}, 4);
  pack_ok(&o, &b, 1, (const int8_t[]){4, 2, 5, -128}, 4);
  make_input(&o, QV_I8, QV_END_QUANT_EVEN, 0.5f, 3, 1, (const uint32_t[]){4});
  pack_ok(&o, &a, 1, (const int8_t[]){3, 3, 5, -128}, 4);
  o.t.lo = -127; /* saturation is to the type; the declared range is checked afterwards */
  pack_bad(&o, &a, QV_E_RANGE, "element 3 is -128, outside [-127,127]");
  make_input(&o, QV_I8, QV_END_INT, 0.5f, 3, 1, (const uint32_t[]){4});
  pack_bad(&o, &a, QV_E_UNSUP, "quantize the values first");
  static const float nan4[] = {0, 0, NAN, 0};
  a = view(QV_EL_F32, 2, dim, nan4);
  make_input(&o, QV_I8, QV_END_QUANT_AWAY, 0.5f, 3, 1, (const uint32_t[]){4});
  pack_bad(&o, &a, QV_E_RANGE, "NaN");
}

/* Order numbers: consecutive for neighbours, the same for both zeros, monotone; pixels become pixel/255 first. */
static void pack_order(void **state) {
  (void)state;
  one_input o;
  static const float f[] = {-INFINITY, -0x1p-149f, -0.0f, 0.0f, 0x1p-149f, 1.0f, 1.0f + 0x1p-23f, INFINITY};
  static const int32_t want[] = {-2139095040, -1, 0, 0, 1, 0x3f800000, 0x3f800001, 2139095040};
  static const unsigned char px[2] = {51, 255};
  qv_array a = view(QV_EL_F32, 1, (const size_t[]){8}, f);
  make_input(&o, QV_I32, QV_END_F32_ORDER, 1, 0, 1, (const uint32_t[]){8});
  o.t.has_q = false;
  pack_ok(&o, &a, 1, want, 4 * 8);
  for (int i = 0; i < 8; i++)
    if (i != 2) assert_memory_equal(&f[i], &(float){qv_f32_of_order(want[i])}, 4);
  for (float x = -3.4e38f; x < 3.4e38f;) { /* steps of many sizes */
    float y = nextafterf(x, INFINITY);
    assert_int_equal(qv_f32_order(y) - qv_f32_order(x), y == 0 && x == 0 ? 0 : 1);
    x = x < -1e-44f ? x / 3 : x > 1e-44f ? x * 3 : y;
  }
  qv_array p = view(QV_EL_U8, 1, (const size_t[]){2}, px);
  p.pixels = true;
  make_input(&o, QV_I32, QV_END_F32_ORDER, 1, 0, 1, (const uint32_t[]){2});
  o.t.has_q = false;
  pack_ok(&o, &p, 1, (const int32_t[]){qv_f32_order(0.2f), 0x3f800000}, 8);
  static const float bad[] = {0, NAN};
  a = view(QV_EL_F32, 1, (const size_t[]){2}, bad);
  pack_bad(&o, &a, QV_E_RANGE, "NaN");
}

static void pack_pixels(void **state) {
  (void)state;
  unsigned char px[256];
  int8_t minus[256], quant[256];
  for (int i = 0; i < 256; i++) {
    px[i] = (unsigned char)i;
    minus[i] = (int8_t)(i - 128);
    /* scale 1/255 in binary32, zero point -128: correctly rounded quotients, computed in binary64 (53 >= 2*24 + 2) */
    float real = (float)((double)i / 255.0), unit = 1.0f / 255.0f;
    quant[i] = (int8_t)(floor((double)(float)((double)real / (double)unit) + 0.5) - 128);
  }
  qv_array a = view(QV_EL_U8, 2, (const size_t[]){16, 16}, px);
  a.pixels = true;
  one_input o;
  static const uint32_t dim[] = {1, 16, 16, 1};
  make_input(&o, QV_U8, QV_END_INT, 1, 0, 4, dim);
  pack_ok(&o, &a, 1, px, 256);
  make_input(&o, QV_I8, QV_END_INT, 1, 0, 4, dim);
  pack_ok(&o, &a, 1, minus, 256);
  make_input(&o, QV_I8, QV_END_QUANT_AWAY, 1.0f / 255.0f, -128, 4, dim);
  pack_ok(&o, &a, 1, quant, 256);
  assert_memory_equal(quant, minus, 256); /* that is why -128 is the rule for int8 */
  int32_t exact[256]; /* pixel/255 itself, to 30 fraction bits */
  for (int i = 0; i < 256; i++) exact[i] = (int32_t)floor((double)(float)((double)i / 255.0) * 0x1p30 + 0.5);
  make_input(&o, QV_I32, QV_END_QUANT_AWAY, 0x1p-30f, 0, 4, dim);
  pack_ok(&o, &a, 1, exact, sizeof exact);
  make_input(&o, QV_I16, QV_END_INT, 1, 0, 4, dim);
  pack_bad(&o, &a, QV_E_UNSUP, "no agreed meaning for the 8-bit pixels [16,16]");
  make_input(&o, QV_U8, QV_END_INT, 1, 0, 4, dim);
  o.t.hi = 100;
  pack_bad(&o, &a, QV_E_RANGE, "element 101 is 101, outside [0,100]");
}

/* ---- quantizers against binary64 ------------------------------------------------------------------------------------------ */

static double round_half_even(double v) {
  double f = floor(v), d = v - f;
  return d > 0.5 || (d == 0.5 && fmod(f, 2) != 0) ? f + 1 : f;
}

/* Quotient and product of two binary32 numbers, rounded once: binary64 is wide enough (Figueroa 1995). */
static double expected(qv_end end, float x, float s, int32_t zp, qv_itv rng) {
  float inv = (float)(1.0 / (double)s);
  double r = end == QV_END_QUANT_INV ? (double)(float)((double)x * (double)inv) : (double)(float)((double)x / (double)s);
  double q = end == QV_END_QUANT_AWAY ? copysign(floor(fabs(r) + 0.5), r) : round_half_even(r);
  if (isinf(r)) q = r;
  q += zp;
  return q < (double)rng.lo ? (double)rng.lo : q > (double)rng.hi ? (double)rng.hi : q;
}

static void quantizers(void **state) {
  (void)state;
  static const qv_end ends[] = {QV_END_QUANT_AWAY, QV_END_QUANT_EVEN, QV_END_QUANT_INV};
  static const qv_dtype types[] = {QV_I8, QV_U8, QV_I16, QV_I32};
  uint64_t seed = 77;
  qv_rng r = {seed};
  size_t inv_differs = 0, tie_differs = 0;
  print_message("seed %llu\n", (unsigned long long)seed);
  for (size_t round = 0; round < 200000 * mult(); round++) {
    one_input o;
    float s = ldexpf((float)qv_rng_range(&r, 1, 1 << 24), (int)qv_rng_range(&r, -40, -10)), x;
    if (round % 3 == 0) x = s * ((float)qv_rng_range(&r, -400, 400) + 0.5f); /* at and next to ties */
    else x = ldexpf((float)qv_rng_range(&r, -(1 << 24), 1 << 24), (int)qv_rng_range(&r, -40, 0));
    int32_t zp = (int32_t)qv_rng_range(&r, -128, 127);
    int64_t q[3];
    for (int e = 0; e < 3; e++) {
      make_input(&o, types[round % 4], ends[e], s, zp, 0, NULL);
      assert_int_equal(qv_end_quantize(&q[e], &o.net, 0, x, NULL), QV_OK);
      double want = expected(ends[e], x, s, zp, qv_dtype_range(o.t.type));
      if ((double)q[e] != want) fail_msg("end %d x %a s %a zp %d: %lld, expected %g", e, (double)x, (double)s, zp, (long long)q[e], want);
    }
    tie_differs += q[0] != q[1];
    inv_differs += q[1] != q[2];
  }
  assert_true(tie_differs > 0 && inv_differs > 0); /* the three ends were really told apart */
}

static void quantizer_edges(void **state) {
  (void)state;
  static const struct { qv_end end; float x, s; int32_t zp; int64_t q; } cases[] = {
      {QV_END_QUANT_AWAY, 0.5f, 1, 0, 1},        {QV_END_QUANT_AWAY, -0.5f, 1, 0, -1},      {QV_END_QUANT_AWAY, 2.5f, 1, 0, 3},
      {QV_END_QUANT_EVEN, 0.5f, 1, 0, 0},        {QV_END_QUANT_EVEN, -0.5f, 1, 0, 0},       {QV_END_QUANT_EVEN, 2.5f, 1, 0, 2},
      {QV_END_QUANT_EVEN, 3.5f, 1, 0, 4},        {QV_END_QUANT_INV, -1.5f, 1, 0, -2},       {QV_END_QUANT_AWAY, 0x1.fffffep-2f, 1, 0, 0},
      {QV_END_QUANT_AWAY, INFINITY, 1, -5, 127}, {QV_END_QUANT_AWAY, -INFINITY, 1, 5, -128}, {QV_END_QUANT_EVEN, 3e38f, 1e-30f, -128, 127},
      {QV_END_QUANT_AWAY, 127.4f, 1, 1, 127},    {QV_END_QUANT_AWAY, -0.0f, 1, 4, 4},       {QV_END_QUANT_AWAY, 1e-45f, 1e-45f, 4, 5}};
  one_input o;
  int64_t q = 0;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    make_input(&o, QV_I8, cases[i].end, cases[i].s, cases[i].zp, 0, NULL);
    assert_int_equal(qv_end_quantize(&q, &o.net, 0, cases[i].x, NULL), QV_OK);
    if (q != cases[i].q) fail_msg("case %zu: %lld", i, (long long)q);
  }
  qv_err err = {0};
  q = 77;
  make_input(&o, QV_I8, QV_END_QUANT_AWAY, 1, 0, 0, NULL);
  assert_int_equal(qv_end_quantize(&q, &o.net, 0, NAN, &err), QV_E_RANGE);
  assert_int_equal(qv_end_quantize(&q, &o.net, 1, 0, NULL), QV_E_ARG);
  make_input(&o, QV_I8, QV_END_QUANT_INV, 1e-45f, 0, 0, NULL); /* 1/scale is infinite: 0 * inf is no number */
  assert_int_equal(qv_end_quantize(&q, &o.net, 0, 0, NULL), QV_E_RANGE);
  make_input(&o, QV_I8, QV_END_INT, 1, 0, 0, NULL);
  assert_int_equal(qv_end_quantize(&q, &o.net, 0, 0, NULL), QV_E_ARG);
  make_input(&o, QV_I8, QV_END_DEQUANT, 1, 0, 0, NULL);
  assert_int_equal(qv_end_quantize(&q, &o.net, 0, 0, NULL), QV_E_ARG);
  assert_int_equal(q, 77);
}

/* ---- real files ----------------------------------------------------------------------------------------------------------- */

static void real_files(void **state) {
  (void)state;
  const char *root = getenv("QV_DATA");
  char path[512];
  qv_array a = {0};
  qv_err err = {0};
  if (root == NULL) root = "../shared/data";
  (void)snprintf(path, sizeof path, "%s/data/mnist/t10k-images-idx3-ubyte.gz", root);
  if (access(path, R_OK) != 0) {
    print_message("SKIPPED: %s is not there (set QV_DATA)\n", path);
    skip();
  }
  assert_int_equal(qv_array_read(&a, path, &err), QV_OK);
  expect_shape(&a, QV_EL_U8, 3, (const size_t[]){10000, 28, 28});
  assert_true(a.pixels);
  qv_array_free(&a);
  (void)snprintf(path, sizeof path, "%s/data/tflm/person.bmp", root); /* 96 x 96, palette entry i = grey i, bottom up */
  qv_buf b = {0};
  assert_int_equal(qv_file_read(&b, path, 1 << 20, &err), QV_OK);
  assert_int_equal(qv_array_read(&a, path, &err), QV_OK);
  expect_shape(&a, QV_EL_U8, 2, (const size_t[]){96, 96});
  for (size_t y = 0; y < 96; y++) assert_memory_equal((unsigned char *)a.data + 96 * y, b.p + 1078 + 96 * (95 - y), 96);
  qv_array_free(&a);
  qv_buf_free(&b);
  (void)snprintf(path, sizeof path, "%s/onnx/finn/build_dataflow_input.npy", root);
  assert_int_equal(qv_array_read(&a, path, &err), QV_OK);
  expect_shape(&a, QV_EL_F32, 4, (const size_t[]){4, 1, 28, 28});
  qv_array_free(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(npy_integers),      cmocka_unit_test(npy_floats),     cmocka_unit_test(npy_empty_and_fortran),
      cmocka_unit_test(npy_header_forms),  cmocka_unit_test(npy_zoo),        cmocka_unit_test(npy_refused_types),
      cmocka_unit_test(npy_writes),        cmocka_unit_test(npy_fortran_random), cmocka_unit_test(npz_reads),
      cmocka_unit_test(npz_zoo),           cmocka_unit_test(npz_bomb),       cmocka_unit_test(idx_reads),
      cmocka_unit_test(idx_zoo),           cmocka_unit_test(idx_gzip_sizes), cmocka_unit_test(pgm_reads),
      cmocka_unit_test(pgm_zoo),           cmocka_unit_test(bmp_reads),      cmocka_unit_test(bmp_zoo),
      cmocka_unit_test(reads_by_name),     cmocka_unit_test(pack_shapes),    cmocka_unit_test(pack_integers),
      cmocka_unit_test(pack_raw),          cmocka_unit_test(pack_floats),    cmocka_unit_test(pack_order), cmocka_unit_test(pack_pixels),
      cmocka_unit_test(quantizers),        cmocka_unit_test(quantizer_edges), cmocka_unit_test(real_files)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
