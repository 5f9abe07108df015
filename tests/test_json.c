/* Strict JSON: what is refused, what keeps its digits, what the writer prints. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ir/base/json.h"
#include "ir/base/rng.h"

static qv_status parse(cJSON **v, const char *text, qv_err *err) { return qv_json_parse(v, text, strlen(text), err); }

static void refused(void **state) {
  (void)state;
  static const struct { const char *text, *why; } bad[] = {
      {"", "unexpected end"},
      {"{} x", "text after"},
      {"{}{}", "text after"},
      {"01", "leading zero"},
      {"-01", "leading zero"},
      {"1.", "digit expected"},
      {".5", "value expected"},
      {"+1", "value expected"},
      {"1e", "digit expected"},
      {"- 1", "digit expected"},
      {"nul", "unknown word"},
      {"True", "value expected"},
      {"[1,]", "value expected"},
      {"[1 2]", "',' or ']'"},
      {"{\"a\":1,}", "string expected"},
      {"{\"a\" 1}", "':' expected"},
      {"{a:1}", "string expected"},
      {"[1}", "',' or ']'"},
      {"\"abc", "unterminated"},
      {"\"a\nb\"", "control character"},
      {"\"\\x\"", "unknown escape"},
      {"\"\\u00g0\"", "four hex digits"},
      {"\"\\u0000abc\"", "\\u0000"},
      {"\"\\ud800\"", "lone surrogate"},
      {"\"\\udc00\"", "lone surrogate"},
      {"\"\\ud800\\u0041\"", "lone surrogate"},
      {"\"\xC0\x80\"", "not UTF-8"},
      {"\"\xED\xA0\x80\"", "not UTF-8"},
      {"\"\xF5\x80\x80\x80\"", "not UTF-8"},
      {"\"\xE2\x82\"", "not UTF-8"},
      {"\xEF\xBB\xBF{}", "value expected"},
      {"// c\n{}", "value expected"},
      {"NaN", "value expected"},
      {"{\"a\":1,\"b\":{\"c\":1,\"c\":2}}", "duplicate key \"c\""},
      {"{\"a\":1,\"\\u0061\":2}", "duplicate key \"a\""},
      {"123456789012345678901234567890123456789012345678901234567890", "number too long"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    cJSON *v = NULL;
    qv_err err = {0};
    assert_int_equal(parse(&v, bad[i].text, &err), QV_E_PARSE);
    assert_null(v);
    if (strstr(err.msg, bad[i].why) == NULL) fail_msg("%s: said '%s', expected '%s'", bad[i].text, err.msg, bad[i].why);
  }
}

static void truncated(void **state) {
  (void)state;
  const char *text = "{\"a\":[1,-2.5e3,\"x\\u00e9\\ud83d\\ude00\\n\",true,false,null],\"b\":{}}";
  for (size_t n = 0; n < strlen(text); n++) {
    cJSON *v = NULL;
    char copy[128];
    memcpy(copy, text, n);
    assert_int_equal(qv_json_parse(&v, copy, n, NULL), QV_E_PARSE);
  }
  cJSON *v = NULL;
  assert_int_equal(parse(&v, text, NULL), QV_OK);
  cJSON_Delete(v);
}

static void depth(void **state) {
  (void)state;
  for (size_t n = QV_JSON_DEPTH - 2; n < QV_JSON_DEPTH + 3; n++) {
    char text[512];
    memset(text, '[', n);
    memset(text + n, ']', n);
    cJSON *v = NULL;
    qv_err err = {0};
    qv_status st = qv_json_parse(&v, text, 2 * n, &err);
    assert_int_equal(st, n <= QV_JSON_DEPTH ? QV_OK : QV_E_PARSE);
    cJSON_Delete(v);
  }
}

static void position(void **state) {
  (void)state;
  cJSON *v = NULL;
  qv_err err = {0};
  assert_int_equal(parse(&v, "{\n \"a\": 1,\n \"b\": 02\n}", &err), QV_E_PARSE);
  assert_int_equal(err.line, 3);
  assert_int_equal(err.offset, 18);
}

static void integers(void **state) {
  (void)state;
  static const struct { const char *text; bool ok; int64_t v; } c[] = {
      {"9007199254740993", true, 9007199254740993},
      {"9223372036854775807", true, INT64_MAX},
      {"-9223372036854775808", true, INT64_MIN},
      {"9223372036854775808", false, 0},
      {"-9223372036854775809", false, 0},
      {"99999999999999999999999", false, 0},
      {"3000000000", true, 3000000000},
      {"0", true, 0},
      {"-0", true, 0},
      {"1.0", false, 0},
      {"3.0000000000000001", false, 0},
      {"1e3", false, 0},
      {"1e400", false, 0},
      {"\"9007199254740993\"", true, 9007199254740993},
      {"\"-5\"", true, -5},
      {"\"05\"", false, 0},
      {"\"\"", false, 0},
      {"\"-\"", false, 0},
      {"\" 5\"", false, 0},
      {"\"5 \"", false, 0},
      {"\"0x5\"", false, 0},
      {"true", false, 0},
      {"null", false, 0},
      {"[5]", false, 0},
  };
  for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
    cJSON *v = NULL;
    int64_t got = 77;
    assert_int_equal(parse(&v, c[i].text, NULL), QV_OK);
    qv_status st = qv_json_int(&got, v, INT64_MIN, INT64_MAX, "v", NULL);
    if (st != (c[i].ok ? QV_OK : QV_E_PARSE)) fail_msg("%s: status %d", c[i].text, (int)st);
    assert_true(got == (c[i].ok ? c[i].v : 77));
    cJSON_Delete(v);
  }
}

static void members(void **state) {
  (void)state;
  cJSON *v = NULL;
  int64_t n = 0;
  const char *s = NULL;
  qv_err err = {0};
  assert_int_equal(parse(&v, "{\"Scale\": \"x\", \"n\": 300}", NULL), QV_OK);
  assert_int_equal(qv_json_get_str(&s, v, "scale", "net", &err), QV_E_PARSE); /* keys are case-sensitive */
  assert_string_equal(err.msg, "net: \"scale\" is missing");
  assert_int_equal(qv_json_get_str(&s, v, "Scale", "net", NULL), QV_OK);
  assert_string_equal(s, "x");
  assert_int_equal(qv_json_get_str(&s, v, "n", "net", NULL), QV_E_PARSE);
  assert_int_equal(qv_json_get_int(&n, v, "n", 0, 300, "net", NULL), QV_OK);
  assert_int_equal(n, 300);
  err = (qv_err){0};
  assert_int_equal(qv_json_get_int(&n, v, "n", 0, 299, "net", &err), QV_E_PARSE);
  assert_string_equal(err.msg, "net: \"n\": 300 is not in [0,299]");
  const cJSON *m;
  assert_int_equal(qv_json_get(&m, cJSON_GetObjectItem(v, "n"), "x", "n", NULL), QV_E_PARSE);
  cJSON_Delete(v);
}

static void writer(void **state) {
  (void)state;
  cJSON *o = cJSON_CreateObject(), *a = cJSON_CreateArray();
  assert_true(qv_json_add_int(o, "z", 9007199254740993));
  assert_true(qv_json_add_num(o, "m", -7));
  assert_true(qv_json_add_str(o, "B", "q\"\\\n\x01\xC3\xA9\xFF"));
  assert_true(qv_json_add_str(o, "nil", NULL));
  assert_true(qv_json_add_bool(o, "t", true));
  assert_true(qv_json_push(a, cJSON_CreateObject()));
  assert_true(qv_json_push(a, cJSON_CreateArray()));
  assert_true(qv_json_add(o, "a", a));
  assert_false(qv_json_add(o, "x", NULL));
  qv_buf b = {0};
  assert_int_equal(qv_json_print(&b, o, false, NULL), QV_OK);
  qv_buf_put(&b, "", 1);
  assert_string_equal((char *)b.p, "{\"B\":\"q\\\"\\\\\\u000a\\u0001\xC3\xA9\xEF\xBF\xBD\",\"a\":[{},[]],\"m\":-7,\"nil\":null,"
                                   "\"t\":true,\"z\":\"9007199254740993\"}");
  qv_buf_free(&b);
  assert_int_equal(qv_json_print(&b, o, true, NULL), QV_OK);
  qv_buf_put(&b, "", 1);
  assert_non_null(strstr((char *)b.p, "\n  \"a\": [\n    {},\n    []\n  ],\n  \"m\": -7,\n"));
  qv_buf_free(&b);
  assert_true(qv_json_add(o, "d", cJSON_CreateNumber(0.5))); /* a double has no place in a report */
  assert_int_equal(qv_json_print(&b, o, true, NULL), QV_E_ARG);
  qv_buf_free(&b);
  cJSON_Delete(o);
}

/* Random documents: print, parse, print again gives the same bytes. Integers keep every digit. */
static cJSON *random_value(qv_rng *r, int level) {
  static const char *const word[] = {"a", "b\n", "\xC3\xA9", "\"", "zz", "\xF0\x9F\x98\x80"};
  int64_t pick = qv_rng_range(r, 0, level > 3 ? 3 : 5);
  if (pick == 0) return cJSON_CreateString(word[qv_rng_range(r, 0, 5)]);
  if (pick == 1) return cJSON_CreateBool((int)qv_rng_range(r, 0, 1));
  if (pick == 2) return cJSON_CreateNull();
  if (pick == 3) {
    char t[24];
    (void)snprintf(t, sizeof t, "%" PRId64, (int64_t)qv_rng_next(r));
    return cJSON_CreateRaw(t);
  }
  cJSON *v = pick == 4 ? cJSON_CreateArray() : cJSON_CreateObject();
  int64_t n = qv_rng_range(r, 0, 4);
  for (int64_t i = 0; i < n; i++) {
    char key[24];
    (void)snprintf(key, sizeof key, "%" PRId64 "k%" PRId64, qv_rng_range(r, 0, 99), i);
    cJSON *m = random_value(r, level + 1);
    assert_true(pick == 4 ? qv_json_push(v, m) : qv_json_add(v, key, m));
  }
  return v;
}

static void round_trip(void **state) {
  (void)state;
  qv_rng r = {20240601};
  print_message("seed %" PRIu64 "\n", r.s);
  for (int i = 0; i < 500; i++) {
    cJSON *v = random_value(&r, 0), *w = NULL;
    qv_buf a = {0}, b = {0};
    bool indent = i % 2 == 0;
    assert_int_equal(qv_json_print(&a, v, indent, NULL), QV_OK);
    assert_int_equal(qv_json_parse(&w, (char *)a.p, a.n, NULL), QV_OK);
    assert_int_equal(qv_json_print(&b, w, indent, NULL), QV_OK);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.p, b.p, a.n);
    cJSON_Delete(v);
    cJSON_Delete(w);
    qv_buf_free(&a);
    qv_buf_free(&b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(refused), cmocka_unit_test(truncated), cmocka_unit_test(depth),  cmocka_unit_test(position),
      cmocka_unit_test(integers), cmocka_unit_test(members),  cmocka_unit_test(writer), cmocka_unit_test(round_trip),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
