/* schema_check SCHEMA DOCUMENT: does the JSON document match the schema? Knows the part of JSON Schema that docs/report.schema.json
 * uses, and refuses any keyword it does not know, so that no rule is ever silently ignored. Exit 0 = valid. */
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "ir/base/json.h"

static const cJSON *root;

static int bad(const char *path, const char *why) {
  fprintf(stderr, "schema_check: %s: %s\n", path, why);
  return 1;
}

static bool is_int(const cJSON *v) {
  int64_t n;
  return cJSON_IsNumber(v) && qv_json_int(&n, v, INT64_MIN, INT64_MAX, "", NULL) == QV_OK;
}

static bool has_type(const cJSON *v, const char *type) {
  if (strcmp(type, "object") == 0) return cJSON_IsObject(v);
  if (strcmp(type, "array") == 0) return cJSON_IsArray(v);
  if (strcmp(type, "string") == 0) return cJSON_IsString(v);
  if (strcmp(type, "boolean") == 0) return cJSON_IsBool(v);
  if (strcmp(type, "null") == 0) return cJSON_IsNull(v);
  if (strcmp(type, "integer") == 0) return is_int(v);
  return false;
}

static bool contains(const cJSON *list, const cJSON *v) {
  for (const cJSON *m = list->child; m != NULL; m = m->next)
    if (cJSON_Compare(m, v, true)) return true;
  return false;
}

static bool matches(const char *pattern, const char *s) {
  regex_t re;
  if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0) return false;
  bool ok = regexec(&re, s, 0, NULL, 0) == 0;
  regfree(&re);
  return ok;
}

static int check(const cJSON *v, const cJSON *schema, const char *path);

/* One keyword k of a schema against v. */
static int keyword(const cJSON *v, const cJSON *schema, const cJSON *k, const char *path) {
  const char *name = k->string;
  char sub[512];
  int rc = 0;
  if (strcmp(name, "type") == 0) {
    bool ok = cJSON_IsString(k) && has_type(v, k->valuestring);
    for (const cJSON *t = cJSON_IsArray(k) ? k->child : NULL; t != NULL; t = t->next) ok |= has_type(v, t->valuestring);
    return ok ? 0 : bad(path, "wrong type");
  }
  if (strcmp(name, "const") == 0) return cJSON_Compare(v, k, true) ? 0 : bad(path, "not the constant");
  if (strcmp(name, "enum") == 0) return contains(k, v) ? 0 : bad(path, "not one of the allowed values");
  if (strcmp(name, "pattern") == 0)
    return !cJSON_IsString(v) || matches(k->valuestring, v->valuestring) ? 0 : bad(path, "does not match the pattern");
  if (strcmp(name, "minimum") == 0) return !cJSON_IsNumber(v) || v->valuedouble >= k->valuedouble ? 0 : bad(path, "too small");
  if (strcmp(name, "maximum") == 0) return !cJSON_IsNumber(v) || v->valuedouble <= k->valuedouble ? 0 : bad(path, "too large");
  if (strcmp(name, "minItems") == 0) return !cJSON_IsArray(v) || cJSON_GetArraySize(v) >= k->valuedouble ? 0 : bad(path, "too few items");
  if (strcmp(name, "required") == 0) {
    for (const cJSON *r = cJSON_IsObject(v) ? k->child : NULL; r != NULL; r = r->next)
      if (!cJSON_HasObjectItem(v, r->valuestring)) rc |= bad(path, r->valuestring), rc |= bad(path, "is missing");
    return rc;
  }
  if (strcmp(name, "properties") == 0) {
    for (const cJSON *p = k->child; p != NULL; p = p->next) {
      const cJSON *m = cJSON_GetObjectItemCaseSensitive(v, p->string);
      (void)snprintf(sub, sizeof sub, "%s.%s", path, p->string);
      if (m != NULL) rc |= check(m, p, sub);
    }
    return rc;
  }
  if (strcmp(name, "additionalProperties") == 0) {
    if (!cJSON_IsFalse(k) && !cJSON_IsObject(k)) return bad(path, "additionalProperties other than false or a schema is not supported");
    const cJSON *known = cJSON_GetObjectItemCaseSensitive(schema, "properties");
    for (const cJSON *m = cJSON_IsObject(v) ? v->child : NULL; m != NULL; m = m->next) {
      if (cJSON_GetObjectItemCaseSensitive(known, m->string) != NULL) continue;
      (void)snprintf(sub, sizeof sub, "%s.%s", path, m->string);
      if (cJSON_IsObject(k)) rc |= check(m, k, sub);
      else rc |= bad(path, m->string), rc |= bad(path, "is not allowed");
    }
    return rc;
  }
  if (strcmp(name, "items") == 0) {
    int i = 0;
    for (const cJSON *m = cJSON_IsArray(v) ? v->child : NULL; m != NULL; m = m->next) {
      (void)snprintf(sub, sizeof sub, "%s[%d]", path, i++);
      rc |= check(m, k, sub);
    }
    return rc;
  }
  if (strcmp(name, "anyOf") == 0) {
    for (const cJSON *s = k->child; s != NULL; s = s->next)
      if (check(v, s, "(alternative)") == 0) return 0;
    return bad(path, "matches no alternative");
  }
  if (strcmp(name, "$ref") == 0) {
    const cJSON *def = NULL;
    if (strncmp(k->valuestring, "#/$defs/", 8) == 0)
      def = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(root, "$defs"), k->valuestring + 8);
    return def != NULL ? check(v, def, path) : bad(path, "unknown $ref");
  }
  if (strcmp(name, "$schema") == 0 || strcmp(name, "title") == 0 || strcmp(name, "description") == 0 || strcmp(name, "$defs") == 0) return 0;
  return bad(path, "the schema uses a keyword that this program does not know");
}

static int check(const cJSON *v, const cJSON *schema, const char *path) {
  int rc = 0;
  for (const cJSON *k = schema->child; k != NULL; k = k->next) rc |= keyword(v, schema, k, path);
  return rc;
}

static cJSON *load(const char *path) {
  qv_buf b = {0};
  qv_err err = {0};
  cJSON *v = NULL;
  if (qv_file_read(&b, path, (size_t)1 << 30, &err) != QV_OK || qv_json_parse(&v, (const char *)b.p, b.n, &err) != QV_OK)
    fprintf(stderr, "schema_check: %s: %s\n", path, err.msg);
  qv_buf_free(&b);
  return v;
}

int main(int argc, char **argv) {
  if (argc != 3) return bad("usage", "schema_check SCHEMA DOCUMENT");
  cJSON *schema = load(argv[1]), *doc = load(argv[2]);
  root = schema;
  int rc = schema == NULL || doc == NULL ? 2 : check(doc, schema, "$");
  cJSON_Delete(schema);
  cJSON_Delete(doc);
  return rc;
}
