#include "ir/base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/int.h"

size_t qv_utf8_len(const unsigned char *p, size_t n) {
  static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
  if (p[0] < 0x80) return 1;
  size_t k = p[0] >= 0xF0 && p[0] < 0xF8 ? 4 : p[0] >= 0xE0 && p[0] < 0xF0 ? 3 : p[0] >= 0xC2 && p[0] < 0xE0 ? 2 : 0;
  if (k == 0 || k > n) return 0;
  uint32_t c = p[0] & (0x7Fu >> k);
  for (size_t i = 1; i < k; i++) {
    if ((p[i] & 0xC0) != 0x80) return 0;
    c = c << 6 | (p[i] & 0x3Fu);
  }
  return c < least[k] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000) ? 0 : k;
}

/* ---- strict scan: the grammar, and where each number stands -------------------------------------------------------------- */

typedef struct {
  const unsigned char *s;
  size_t n, i;
  const char *bad; /* first complaint, NULL while all is well */
  size_t *num;     /* offsets of number tokens, in document order; NULL on the counting pass */
  size_t n_num;
} scan;

static int peek(const scan *c) { return c->i < c->n ? c->s[c->i] : -1; }

static bool fail(scan *c, const char *why) {
  if (c->bad == NULL) c->bad = why;
  return false;
}

static void blank(scan *c) {
  while (c->i < c->n && strchr(" \t\r\n", c->s[c->i]) != NULL && c->s[c->i] != 0) c->i++;
}

static bool word(scan *c, const char *w) {
  size_t k = strlen(w);
  if (c->n - c->i < k || memcmp(c->s + c->i, w, k) != 0) return fail(c, "unknown word");
  c->i += k;
  return true;
}

static bool digits(scan *c) {
  size_t from = c->i;
  while (peek(c) >= '0' && peek(c) <= '9') c->i++;
  return c->i > from || fail(c, "digit expected");
}

static bool number(scan *c) {
  size_t from = c->i;
  if (c->num != NULL) c->num[c->n_num] = c->i;
  c->n_num++;
  if (peek(c) == '-') c->i++;
  if (peek(c) == '0') {
    c->i++;
    if (peek(c) >= '0' && peek(c) <= '9') return fail(c, "leading zero");
  } else if (!digits(c)) return false;
  if (peek(c) == '.') {
    c->i++;
    if (!digits(c)) return false;
  }
  if (peek(c) == 'e' || peek(c) == 'E') {
    c->i++;
    if (peek(c) == '+' || peek(c) == '-') c->i++;
    if (!digits(c)) return false;
  }
  return c->i - from < 60 || fail(c, "number too long"); /* cJSON 1.7.15 copies a number into 64 bytes */
}

/* Four hex digits after \u; the value, or -1. */
static int32_t hex4(scan *c) {
  int32_t v = 0;
  for (int k = 0; k < 4; k++, c->i++) {
    int d = peek(c);
    if (d >= '0' && d <= '9') d -= '0';
    else if ((d | 32) >= 'a' && (d | 32) <= 'f') d = (d | 32) - 'a' + 10;
    else return -1;
    v = v * 16 + d;
  }
  return v;
}

static bool escape(scan *c) {
  int k = peek(c);
  c->i++;
  if (k > 0 && strchr("\"\\/bfnrt", k) != NULL) return true;
  if (k != 'u') return fail(c, "unknown escape");
  int32_t v = hex4(c);
  if (v < 0) return fail(c, "four hex digits expected after \\u");
  if (v == 0) return fail(c, "\\u0000 is not allowed");
  if (v >= 0xDC00 && v < 0xE000) return fail(c, "lone surrogate");
  if (v < 0xD800 || v >= 0xE000) return true;
  if (peek(c) != '\\' || c->i + 1 >= c->n || c->s[c->i + 1] != 'u') return fail(c, "lone surrogate");
  c->i += 2;
  v = hex4(c);
  return (v >= 0xDC00 && v < 0xE000) || fail(c, "lone surrogate");
}

static bool string(scan *c) {
  if (peek(c) != '"') return fail(c, "string expected");
  for (c->i++; peek(c) != '"';) {
    if (peek(c) < 0) return fail(c, "unterminated string");
    if (peek(c) < 0x20) return fail(c, "control character in a string");
    if (peek(c) == '\\') {
      c->i++;
      if (!escape(c)) return false;
      continue;
    }
    size_t k = qv_utf8_len(c->s + c->i, c->n - c->i);
    if (k == 0) return fail(c, "not UTF-8");
    c->i += k;
  }
  c->i++;
  return true;
}

static bool value(scan *c, int depth);

/* After '[' or '{': the members up to and including the closing bracket. */
static bool members(scan *c, int depth, int close) {
  blank(c);
  if (peek(c) == close) {
    c->i++;
    return true;
  }
  for (;;) {
    blank(c);
    if (close == '}') {
      if (!string(c)) return false;
      blank(c);
      if (peek(c) != ':') return fail(c, "':' expected");
      c->i++;
    }
    if (!value(c, depth)) return false;
    blank(c);
    int k = peek(c);
    if (k != ',' && k != close) return fail(c, close == '}' ? "',' or '}' expected" : "',' or ']' expected");
    c->i++;
    if (k == close) return true;
  }
}

static bool value(scan *c, int depth) {
  blank(c);
  if (depth >= QV_JSON_DEPTH) return fail(c, "nested too deeply");
  int k = peek(c);
  if (k == '{' || k == '[') {
    c->i++;
    return members(c, depth + 1, k == '{' ? '}' : ']');
  }
  if (k == '"') return string(c);
  if (k == 't') return word(c, "true");
  if (k == 'f') return word(c, "false");
  if (k == 'n') return word(c, "null");
  if (k == '-' || (k >= '0' && k <= '9')) return number(c);
  return fail(c, k < 0 ? "unexpected end" : "value expected");
}

static bool document(scan *c) {
  c->i = c->n_num = 0;
  if (!value(c, 0)) return false;
  blank(c);
  return c->i == c->n || fail(c, "text after the value");
}

static int by_key(const void *a, const void *b) {
  return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

/* Members of an object in key order (malloc, *n of them); NULL when memory is short. */
static const cJSON **sorted(const cJSON *obj, size_t *n) {
  *n = 0;
  for (const cJSON *m = obj->child; m != NULL; m = m->next) ++*n;
  const cJSON **v = calloc(*n + 1, sizeof *v);
  if (v == NULL) return NULL;
  size_t i = 0;
  for (const cJSON *m = obj->child; m != NULL; m = m->next) v[i++] = m;
  qsort(v, *n, sizeof *v, by_key);
  return v;
}

/* Refuse duplicate keys and hand each number its text, in document order (cJSON keeps it). */
static qv_status finish(cJSON *v, const scan *c, size_t *next, qv_err *err) {
  if (cJSON_IsNumber(v)) {
    size_t at = c->num[(*next)++], end = at;
    while (end < c->n && c->s[end] != 0 && strchr("+-.eE0123456789", c->s[end]) != NULL) end++;
    v->valuestring = cJSON_malloc(end - at + 1);
    if (v->valuestring == NULL) return QV_FAIL(err, QV_E_NOMEM, "JSON: out of memory");
    memcpy(v->valuestring, c->s + at, end - at);
    v->valuestring[end - at] = 0;
  }
  if (cJSON_IsObject(v)) {
    size_t n;
    const cJSON **m = sorted(v, &n);
    if (m == NULL) return QV_FAIL(err, QV_E_NOMEM, "JSON: out of memory");
    for (size_t i = 1; i < n; i++)
      if (strcmp(m[i - 1]->string, m[i]->string) == 0) {
        qv_status st = QV_FAIL(err, QV_E_PARSE, "JSON: duplicate key \"%.80s\"", m[i]->string);
        free(m);
        return st;
      }
    free(m);
  }
  for (cJSON *k = v->child; k != NULL; k = k->next) {
    qv_status st = finish(k, c, next, err);
    if (st != QV_OK) return st;
  }
  return QV_OK;
}

static int64_t line_of(const scan *c) {
  int64_t line = 1;
  for (size_t i = 0; i < c->i && i < c->n; i++) line += c->s[i] == '\n';
  return line;
}

qv_status qv_json_parse(cJSON **out, const char *text, size_t len, qv_err *err) {
  qv_status st = QV_OK;
  cJSON *v = NULL;
  scan c = {.s = (const unsigned char *)text, .n = len};
  if (!document(&c)) {
    st = QV_FAIL(err, QV_E_PARSE, "JSON, line %" PRId64 ": %s", line_of(&c), c.bad);
    if (err != NULL && err->line == 0) {
      err->line = line_of(&c);
      err->offset = (int64_t)c.i;
    }
    return st;
  }
  c.num = calloc(c.n_num + 1, sizeof *c.num);
  if (c.num == NULL || !document(&c)) {
    st = QV_FAIL(err, QV_E_NOMEM, "JSON: out of memory");
    goto done;
  }
  v = cJSON_ParseWithLengthOpts(text, len, NULL, 0);
  if (v == NULL) { /* the grammar was right, so only memory is left */
    st = QV_FAIL(err, QV_E_NOMEM, "JSON: out of memory");
    goto done;
  }
  size_t next = 0;
  QV_TRY(finish(v, &c, &next, err));
  *out = v;
  v = NULL;
done:
  free(c.num);
  cJSON_Delete(v);
  return st;
}

qv_status qv_json_get(const cJSON **out, const cJSON *obj, const char *key, const char *what, qv_err *err) {
  if (!cJSON_IsObject(obj)) return QV_FAIL(err, QV_E_PARSE, "%s: not an object", what);
  *out = cJSON_GetObjectItemCaseSensitive(obj, key);
  return *out != NULL ? QV_OK : QV_FAIL(err, QV_E_PARSE, "%s: \"%s\" is missing", what, key);
}

qv_status qv_json_get_str(const char **out, const cJSON *obj, const char *key, const char *what, qv_err *err) {
  const cJSON *v;
  qv_status st = qv_json_get(&v, obj, key, what, err);
  if (st != QV_OK) return st;
  if (!cJSON_IsString(v)) return QV_FAIL(err, QV_E_PARSE, "%s: \"%s\" is not a string", what, key);
  *out = v->valuestring;
  return QV_OK;
}

qv_status qv_json_int(int64_t *out, const cJSON *item, int64_t lo, int64_t hi, const char *what, qv_err *err) {
  const char *s = cJSON_IsNumber(item) || cJSON_IsString(item) ? item->valuestring : NULL;
  const char *d = s != NULL && s[0] == '-' ? s + 1 : s;
  if (d == NULL || d[0] == 0 || strspn(d, "0123456789") != strlen(d) || (d[0] == '0' && d[1] != 0))
    return QV_FAIL(err, QV_E_PARSE, "%s: not an integer", what);
  errno = 0;
  int64_t v = strtoll(s, NULL, 10);
  if (errno != 0 || v < lo || v > hi)
    return QV_FAIL(err, QV_E_PARSE, "%s: %.40s is not in [%" PRId64 ",%" PRId64 "]", what, s, lo, hi);
  *out = v;
  return QV_OK;
}

qv_status qv_json_get_int(int64_t *out, const cJSON *obj, const char *key, int64_t lo, int64_t hi, const char *what, qv_err *err) {
  const cJSON *v;
  char name[160];
  qv_status st = qv_json_get(&v, obj, key, what, err);
  if (st != QV_OK) return st;
  (void)snprintf(name, sizeof name, "%s: \"%s\"", what, key);
  return qv_json_int(out, v, lo, hi, name, err);
}

/* ---- writing ------------------------------------------------------------------------------------------------------------- */

bool qv_json_add(cJSON *obj, const char *key, cJSON *item) {
  if (obj != NULL && item != NULL && cJSON_AddItemToObject(obj, key, item)) return true;
  cJSON_Delete(item);
  return false;
}

bool qv_json_push(cJSON *array, cJSON *item) {
  if (array != NULL && item != NULL && cJSON_AddItemToArray(array, item)) return true;
  cJSON_Delete(item);
  return false;
}

bool qv_json_add_str(cJSON *obj, const char *key, const char *s) {
  return qv_json_add(obj, key, s == NULL ? cJSON_CreateNull() : cJSON_CreateString(s));
}

bool qv_json_add_int(cJSON *obj, const char *key, int64_t v) {
  char t[24];
  (void)snprintf(t, sizeof t, "%" PRId64, v);
  return qv_json_add(obj, key, cJSON_CreateString(t));
}

bool qv_json_add_num(cJSON *obj, const char *key, int32_t v) {
  char t[16];
  (void)snprintf(t, sizeof t, "%" PRId32, v);
  return qv_json_add(obj, key, cJSON_CreateRaw(t));
}

bool qv_json_add_bool(cJSON *obj, const char *key, bool v) { return qv_json_add(obj, key, cJSON_CreateBool(v)); }

static void print_str(qv_buf *out, const char *s) {
  const unsigned char *p = (const unsigned char *)s;
  size_t n = strlen(s);
  qv_buf_str(out, "\"");
  for (size_t i = 0, k; i < n; i += k) {
    k = qv_utf8_len(p + i, n - i);
    if (k == 0) {
      qv_buf_str(out, "\xEF\xBF\xBD");
      k = 1;
    } else if (p[i] == '"' || p[i] == '\\') qv_buf_printf(out, "\\%c", p[i]);
    else if (p[i] < 0x20 || p[i] == 0x7F) qv_buf_printf(out, "\\u%04x", p[i]);
    else qv_buf_put(out, p + i, k);
  }
  qv_buf_str(out, "\"");
}

static void newline(qv_buf *out, bool indent, int depth) {
  if (indent) qv_buf_printf(out, "\n%*s", 2 * depth, "");
}

static qv_status print(qv_buf *out, const cJSON *v, bool indent, int depth, qv_err *err) {
  qv_status st = QV_OK;
  if (cJSON_IsString(v)) print_str(out, v->valuestring);
  else if (cJSON_IsTrue(v) || cJSON_IsFalse(v)) qv_buf_str(out, cJSON_IsTrue(v) ? "true" : "false");
  else if (cJSON_IsNull(v)) qv_buf_str(out, "null");
  else if ((cJSON_IsRaw(v) || cJSON_IsNumber(v)) && v->valuestring != NULL) qv_buf_str(out, v->valuestring);
  else if (cJSON_IsArray(v) || cJSON_IsObject(v)) {
    size_t n = 0, i = 0;
    const cJSON **m = NULL, *next = v->child;
    if (cJSON_IsObject(v) && (m = sorted(v, &n)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "JSON: out of memory");
    qv_buf_str(out, m != NULL ? "{" : "[");
    for (; st == QV_OK && (m != NULL ? i < n : next != NULL); i++) {
      if (i > 0) qv_buf_str(out, ",");
      newline(out, indent, depth + 1);
      if (m != NULL) {
        print_str(out, m[i]->string);
        qv_buf_str(out, indent ? ": " : ":");
      }
      st = print(out, m != NULL ? m[i] : next, indent, depth + 1, err);
      if (m == NULL) next = next->next;
    }
    if (i > 0) newline(out, indent, depth);
    qv_buf_str(out, m != NULL ? "}" : "]");
    free(m);
  } else st = QV_FAIL(err, QV_E_ARG, "JSON: a number without its text");
  return st;
}

qv_status qv_json_print(qv_buf *out, const cJSON *v, bool indent, qv_err *err) {
  qv_status st = print(out, v, indent, 0, err);
  if (st == QV_OK && indent) qv_buf_str(out, "\n");
  return st == QV_OK && out->failed ? QV_FAIL(err, QV_E_NOMEM, "JSON: out of memory") : st;
}
