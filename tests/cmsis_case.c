#include "tests/cmsis_case.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ir/base/buf.h"
#include "ir/base/json.h"

void cmsis_load(cmsis_case *c, const char *dir, const char *name, const char *fixed) {
  char path[1024];
  qv_buf text = {0};
  qv_err err = {0};
  *c = (cmsis_case){.name = name, .fixed = fixed};
  (void)snprintf(path, sizeof path, "%s/%s.json", dir, name);
  if (qv_file_read(&text, path, (size_t)1 << 26, &err) != QV_OK) fail_msg("%s: %s", path, err.msg);
  if (qv_json_parse(&c->root, (const char *)text.p, text.n, &err) != QV_OK) fail_msg("%s: %s", path, err.msg);
  qv_buf_free(&text);
  cmsis_scope(c, NULL, 0);
}

void cmsis_free(cmsis_case *c) {
  cJSON_Delete(c->root);
  qv_arena_clear(&c->arena);
}

static void change_case(char *s, int (*to)(int)) {
  for (; *s != 0; s++) *s = (char)to((unsigned char)*s);
}

void cmsis_scope(cmsis_case *c, const char *op, unsigned layer) {
  if (layer == 0) {
    (void)snprintf(c->defines, sizeof c->defines, "%s_", c->name);
    (void)snprintf(c->arrays, sizeof c->arrays, "%s_", c->name);
  } else {
    (void)snprintf(c->defines, sizeof c->defines, "%s_%u_", op, layer);
    (void)snprintf(c->arrays, sizeof c->arrays, "%s_layer_%u_%s_", c->name, layer, op);
  }
  change_case(c->defines, toupper);
  change_case(c->arrays, tolower);
}

/* Next of the alternatives at *names into key, with its prefix; false at the end. */
static bool next_name(char key[256], const char **names, const char *prefix) {
  size_t n = strcspn(*names, "|");
  if (n == 0) return false;
  assert_true((size_t)snprintf(key, 256, "%s%.*s", prefix, (int)n, *names) < 256);
  *names += n + ((*names)[n] == '|');
  return true;
}

static const cJSON *lookup(const cmsis_case *c, const char *table, const char *prefix, const char *names) {
  const cJSON *t = cJSON_GetObjectItemCaseSensitive(c->root, table), *hit = NULL;
  char key[256];
  while (hit == NULL && next_name(key, &names, prefix)) hit = cJSON_GetObjectItemCaseSensitive(t, key);
  return hit;
}

/* Value of one of the names in the fixed constants. */
static bool lookup_fixed(const cmsis_case *c, const char *names, int64_t *v) {
  char key[256];
  while (c->fixed != NULL && next_name(key, &names, "")) {
    size_t n = strlen(key);
    for (const char *p = c->fixed; (p = strstr(p, key)) != NULL; p += n)
      if ((p == c->fixed || p[-1] == ' ') && p[n] == '=') {
        *v = strtoll(p + n + 1, NULL, 10);
        return true;
      }
  }
  return false;
}

bool cmsis_has(const cmsis_case *c, const char *names) {
  int64_t v;
  return lookup_fixed(c, names, &v) || lookup(c, "defines", c->defines, names) != NULL;
}

int64_t cmsis_def(const cmsis_case *c, const char *names, int64_t lo, int64_t hi) {
  const cJSON *item = lookup(c, "defines", c->defines, names);
  int64_t v;
  qv_err err = {0};
  if (!lookup_fixed(c, names, &v)) {
    if (item == NULL) fail_msg("%s: no constant %s%s", c->name, c->defines, names);
    if (qv_json_int(&v, item, lo, hi, names, &err) != QV_OK) fail_msg("%s: %s", c->name, err.msg);
  }
  if (v < lo || v > hi) fail_msg("%s: constant %s is out of range", c->name, names);
  return v;
}

uint32_t cmsis_dim(const cmsis_case *c, const char *names) { return (uint32_t)cmsis_def(c, names, 1, 1 << 16); }

int64_t cmsis_def_or(const cmsis_case *c, const char *names, int64_t otherwise) {
  return cmsis_has(c, names) ? cmsis_def(c, names, INT32_MIN, INT32_MAX) : otherwise;
}

bool cmsis_has_array(const cmsis_case *c, const char *names) { return lookup(c, "arrays", c->arrays, names) != NULL; }

static qv_dtype type_of(const cmsis_case *c, const cJSON *array) {
  static const struct {
    const char *word;
    qv_dtype type;
  } words[] = {{"int8_t", QV_I8}, {"int16_t", QV_I16}, {"int32_t", QV_I32}, {"int64_t", QV_I64}};
  const char *w = "";
  qv_err err = {0};
  if (qv_json_get_str(&w, array, "type", "array", &err) != QV_OK) fail_msg("%s: %s", c->name, err.msg);
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
    if (strcmp(w, words[i].word) == 0) return words[i].type;
  fail_msg("%s: array of unknown type '%s'", c->name, w);
  return QV_DTYPES;
}

/* Elements of the array's type, read from their digits: never through a double, which would round 64-bit biases.
 * bytes: also 128..255, as packed bytes are written with or without a sign. */
static cmsis_array read_array(cmsis_case *c, const char *names, bool bytes) {
  const cJSON *a = lookup(c, "arrays", c->arrays, names), *item;
  qv_err err = {0};
  if (a == NULL) fail_msg("%s: no array %s%s", c->name, c->arrays, names);
  cmsis_array r = {.type = type_of(c, a)};
  if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(a, "null"))) return r;
  qv_itv range = qv_dtype_range(r.type);
  if (bytes) range.hi = UINT8_MAX;
  const cJSON *values = cJSON_GetObjectItemCaseSensitive(a, "values");
  int64_t n = 0;
  if (!cJSON_IsArray(values) || qv_json_get_int(&n, a, "n", 1, 1 << 24, "array", &err) != QV_OK || n != cJSON_GetArraySize(values))
    fail_msg("%s: array %s is not what it says", c->name, names);
  int64_t *v = QV_NEW(&c->arena, (size_t)n, int64_t);
  assert_non_null(v);
  cJSON_ArrayForEach(item, values) {
    if (qv_json_int(&v[r.n], item, range.lo, range.hi, names, &err) != QV_OK) fail_msg("%s: array %s: %s", c->name, names, err.msg);
    r.n++;
  }
  r.v = v;
  return r;
}

cmsis_array cmsis_read(cmsis_case *c, const char *names) { return read_array(c, names, false); }

cmsis_array cmsis_weights(cmsis_case *c, const char *names, size_t n, bool nibbles) {
  cmsis_array a = read_array(c, names, nibbles);
  if (a.n != (nibbles ? (n + 1) / 2 : n)) fail_msg("%s: %zu weights where %zu were expected", c->name, a.n, n);
  if (!nibbles) return a;
  int64_t *v = QV_NEW(&c->arena, n, int64_t);
  assert_non_null(v);
  for (size_t i = 0; i < n; i++) v[i] = qv_wrap(qv_floor_shift(a.v[i / 2], i % 2 == 0 ? 0 : 4), 4);
  return (cmsis_array){a.type, n, v};
}
