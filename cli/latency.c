#include "cli/latency.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/json.h"

static const cJSON *member(const cJSON *o, const char *key) { return cJSON_GetObjectItemCaseSensitive(o, key); }

static qv_status only(const cJSON *obj, const char *const *known, const char *what, qv_err *err) {
  if (!cJSON_IsObject(obj)) return QV_FAIL(err, QV_E_PARSE, "%.120s must be an object", what);
  for (const cJSON *m = obj->child; m != NULL; m = m->next) {
    size_t i = 0;
    while (known[i] != NULL && strcmp(known[i], m->string) != 0) i++;
    if (known[i] == NULL) return QV_FAIL(err, QV_E_PARSE, "%.120s has the unknown member \"%.80s\"", what, m->string);
  }
  return QV_OK;
}

/* A string member that may be missing: *out is NULL then. */
static qv_status text(const char **out, qv_arena *a, const cJSON *o, const char *key, const char *what, qv_err *err) {
  const cJSON *v = member(o, key);
  *out = NULL;
  if (v == NULL) return QV_OK;
  if (!cJSON_IsString(v)) return QV_FAIL(err, QV_E_PARSE, "%.120s: \"%s\" must be a string", what, key);
  *out = qv_arena_str(a, v->valuestring, strlen(v->valuestring));
  return *out != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "out of memory");
}

/* A decimal number, as a string or not, from 0 to `most`. */
static qv_status decimal(double *out, const cJSON *v, double most, const char *what, qv_err *err) {
  const char *s = cJSON_IsString(v) || cJSON_IsNumber(v) ? v->valuestring : "";
  char *end;
  *out = strtod(s, &end);
  if (*s != 0 && *end == 0 && *out >= 0 && *out <= most && strpbrk(s, "xXnN") == NULL) return QV_OK;
  return QV_FAIL(err, QV_E_PARSE, "%.200s: \"%.40s\" is not a number from 0 to %g", what, s, most);
}

static qv_status parse_file(cJSON **root, const char *path, const char *format, qv_err *err) {
  qv_buf file = {0};
  const char *is;
  qv_status st;
  QV_TRY(qv_file_read(&file, path, (size_t)1 << 28, err));
  QV_TRY(qv_json_parse(root, (const char *)file.p, file.n, err));
  QV_TRY(qv_json_get_str(&is, *root, "format", "the table", err));
  if (strcmp(is, format) != 0) st = QV_FAIL(err, QV_E_PARSE, "the table's format is \"%.40s\", not \"%s\"", is, format);
done:
  qv_buf_free(&file);
  return st;
}

/* ---- latency ------------------------------------------------------------------------------------------------------------------ */

static qv_status read_entry(cli_latency *l, qv_time_entry *e, const cJSON *v, const char *what, qv_err *err) {
  static const char *const known[] = {"kernel", "candidates", "median", "quartiles", "least", "runs", "samples", "note", NULL};
  const cJSON *list = member(v, "candidates"), *c;
  double ns;
  qv_status st;
  QV_TRY(only(v, known, what, err));
  QV_TRY(decimal(&ns, member(v, "median"), 1e15, what, err));
  e->ps = llround(ns * 1000);
  if (!cJSON_IsArray(list) || list->child == NULL) return QV_FAIL(err, QV_E_PARSE, "%.160s: \"candidates\" must be a list, not empty", what);
  if ((e->cand = QV_NEW(&l->arena, (size_t)cJSON_GetArraySize(list), const char *)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  cJSON_ArrayForEach(c, list) {
    qv_bits b;
    if (!cJSON_IsString(c) || !qv_cand_read(&b, NULL, c->valuestring) || b.w == 0)
      return QV_FAIL(err, QV_E_PARSE, "%.160s: \"%.40s\" is not a candidate such as W8A8 or W4A8P16", what,
                     cJSON_IsString(c) ? c->valuestring : "?");
    if ((e->cand[e->n++] = qv_arena_str(&l->arena, c->valuestring, strlen(c->valuestring))) == NULL)
      return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  }
done:
  return st;
}

static qv_status read_layer(cli_latency *l, const cJSON *v, qv_err *err) {
  static const char *const known[] = {"layer", "shape", "measured", "note", NULL};
  const char *layer, *shape;
  char what[200];
  qv_status st;
  QV_TRY(only(v, known, "a member of \"layers\"", err));
  QV_TRY(text(&layer, &l->arena, v, "layer", "a member of \"layers\"", err));
  QV_TRY(text(&shape, &l->arena, v, "shape", "a member of \"layers\"", err));
  if (layer == NULL && shape == NULL) return QV_FAIL(err, QV_E_PARSE, "a member of \"layers\" needs \"layer\" or \"shape\"");
  (void)snprintf(what, sizeof what, "layer \"%.150s\"", layer != NULL ? layer : shape);
  const cJSON *list = member(v, "measured"), *m;
  if (!cJSON_IsArray(list)) return QV_FAIL(err, QV_E_PARSE, "%s: \"measured\" must be a list", what);
  cJSON_ArrayForEach(m, list) {
    qv_time_entry *e = &l->times.entry[l->times.n++];
    e->layer = layer;
    e->shape = shape;
    QV_TRY(read_entry(l, e, m, what, err));
  }
done:
  return st;
}

qv_status cli_latency_read(cli_latency *l, const char *path, qv_err *err) {
  static const char *const known[] = {"format", "cpu", "isa", "threads", "unit", "note", "tool", "network", "layers", NULL};
  cJSON *root = NULL;
  const char *unit = NULL;
  size_t n = 0;
  qv_status st;
  QV_TRY(parse_file(&root, path, "qverify-latency/1", err));
  QV_TRY(only(root, known, "the latency table", err));
  QV_TRY(text(&l->cpu, &l->arena, root, "cpu", "the latency table", err));
  QV_TRY(text(&l->isa, &l->arena, root, "isa", "the latency table", err));
  QV_TRY(text(&unit, &l->arena, root, "unit", "the latency table", err));
  if (unit != NULL && strcmp(unit, "ns") != 0) {
    st = QV_FAIL(err, QV_E_PARSE, "the latency table: the unit is \"ns\", not \"%.20s\"", unit);
    goto done;
  }
  const cJSON *list = member(root, "layers"), *v;
  if (!cJSON_IsArray(list)) {
    st = QV_FAIL(err, QV_E_PARSE, "the latency table: \"layers\" must be a list");
    goto done;
  }
  cJSON_ArrayForEach(v, list) n += (size_t)cJSON_GetArraySize(member(v, "measured"));
  if ((l->times.entry = QV_NEW(&l->arena, n + 1, qv_time_entry)) == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
    goto done;
  }
  cJSON_ArrayForEach(v, list) QV_TRY(read_layer(l, v, err));
done:
  cJSON_Delete(root);
  return st;
}

void cli_latency_free(cli_latency *l) {
  qv_arena_clear(&l->arena);
  *l = (cli_latency){0};
}

/* ---- gains -------------------------------------------------------------------------------------------------------------------- */

qv_status cli_gains_read(const double **out, qv_arena *a, const char *path, const qv_fgraph *g, qv_err *err) {
  static const char *const known[] = {"format", "note", "source", "gains", NULL};
  cJSON *root = NULL;
  double *gain = QV_NEW(a, (size_t)g->n_nodes + 1, double);
  qv_status st;
  if (gain == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  QV_TRY(parse_file(&root, path, "qverify-gains/1", err));
  QV_TRY(only(root, known, "the gain table", err));
  for (uint32_t k = 0; k < g->n_nodes; k++) {
    char what[200];
    if (!qv_quant_linear(&g->node[k])) continue;
    (void)snprintf(what, sizeof what, "the gain of layer \"%.150s\"", g->node[k].name);
    const cJSON *v = member(member(root, "gains"), g->node[k].name);
    if (v == NULL) {
      st = QV_FAIL(err, QV_E_PARSE, "%s is missing", what);
      goto done;
    }
    QV_TRY(decimal(&gain[k], v, 1e30, what, err));
  }
  *out = gain;
done:
  cJSON_Delete(root);
  return st;
}
