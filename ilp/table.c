#include "ilp/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/json.h"

/* ---- exact numbers -------------------------------------------------------------------------------------------------------- */

static bool digits(const char **s) {
  const char *p = *s;
  while (*p >= '0' && *p <= '9') p++;
  bool any = p != *s;
  *s = p;
  return any;
}

/* p/q, both without exponent. */
static bool fraction(mpq_t out, const char *s) {
  const char *p = s + (*s == '-');
  if (!digits(&p) || *p != '/') return false;
  p++;
  if (!digits(&p) || *p != 0 || mpq_set_str(out, s, 10) != 0 || mpz_sgn(mpq_denref(out)) == 0) {
    mpq_set_ui(out, 0, 1);
    return false;
  }
  mpq_canonicalize(out);
  return true;
}

bool qv_atable_number(mpq_t out, const char *s) {
  char mantissa[1002];
  size_t n = 0, point = 0;
  long e = 0;
  bool dot = false, any = false;
  if (strlen(s) > 1000) return false;
  if (strchr(s, '/') != NULL) return fraction(out, s);
  if (*s == '-') mantissa[n++] = *s++;
  for (; (*s >= '0' && *s <= '9') || (*s == '.' && !dot); s++) {
    if (*s == '.') {
      dot = true;
      continue;
    }
    mantissa[n++] = *s;
    any = true;
    point += dot;
  }
  if (!any || s[-1] == '.') return false;
  if (*s == 'e' || *s == 'E') {
    bool minus = *++s == '-';
    if (*s == '-' || *s == '+') s++;
    if (*s < '0' || *s > '9') return false;
    for (; *s >= '0' && *s <= '9'; s++)
      if ((e = e * 10 + (*s - '0')) > 400) return false;
    if (minus) e = -e;
  }
  if (*s != 0) return false;
  mantissa[n] = 0;
  e -= (long)point;
  mpz_t ten;
  mpz_init(ten);
  mpz_ui_pow_ui(ten, 10, (unsigned long)labs(e));
  bool ok = mpz_set_str(mpq_numref(out), mantissa, 10) == 0;
  mpz_set_ui(mpq_denref(out), 1);
  mpz_mul(e < 0 ? mpq_denref(out) : mpq_numref(out), e < 0 ? mpq_denref(out) : mpq_numref(out), ten);
  mpq_canonicalize(out);
  mpz_clear(ten);
  return ok;
}

/* ---- helpers ---------------------------------------------------------------------------------------------------------------- */

/* n numbers, all 0, that live as long as the table. */
static qv_status numbers(mpq_t **out, qv_atable *t, size_t n, qv_err *err) {
  if (t->n_owned == t->cap_owned) {
    size_t cap = t->cap_owned == 0 ? 64 : 2 * t->cap_owned;
    mpq_t **p = realloc(t->owned, cap * sizeof *p);
    if (p != NULL) t->owned = p;
    size_t *k = realloc(t->owned_n, cap * sizeof *k);
    if (k != NULL) t->owned_n = k;
    if (p == NULL || k == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
    t->cap_owned = cap;
  }
  mpq_t *v = QV_NEW(&t->arena, n, mpq_t);
  if (v == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  for (size_t i = 0; i < n; i++) mpq_init(v[i]);
  t->owned[t->n_owned] = v;
  t->owned_n[t->n_owned++] = n;
  *out = v;
  return QV_OK;
}

void qv_atable_free(qv_atable *t) {
  for (size_t i = 0; i < t->n_owned; i++)
    for (size_t k = 0; k < t->owned_n[i]; k++) mpq_clear(t->owned[i][k]);
  free(t->owned);
  free(t->owned_n);
  qv_arena_clear(&t->arena);
  *t = (qv_atable){0};
}

/* Is every member of obj in the list (NULL-terminated)? */
static qv_status only(const cJSON *obj, const char *const *known, const char *what, qv_err *err) {
  if (!cJSON_IsObject(obj)) return QV_FAIL(err, QV_E_PARSE, "%.120s must be an object", what);
  for (const cJSON *m = obj->child; m != NULL; m = m->next) {
    size_t i = 0;
    while (known[i] != NULL && strcmp(known[i], m->string) != 0) i++;
    if (known[i] == NULL) return QV_FAIL(err, QV_E_PARSE, "%.120s has the unknown member \"%.80s\"", what, m->string);
  }
  return QV_OK;
}

static const cJSON *member(const cJSON *obj, const char *key) { return cJSON_GetObjectItemCaseSensitive(obj, key); }

static qv_status want_array(const cJSON *v, const char *what, qv_err *err) {
  return cJSON_IsArray(v) ? QV_OK : QV_FAIL(err, QV_E_PARSE, "%.120s must be a list", what);
}

static uint32_t length(const cJSON *list) {
  int n = cJSON_GetArraySize(list);
  return n < 0 ? 0 : (uint32_t)n;
}

static qv_status number(mpq_t out, const cJSON *v, const char *what, qv_err *err) {
  const char *s = cJSON_IsString(v) || cJSON_IsNumber(v) ? v->valuestring : NULL;
  if (s != NULL && qv_atable_number(out, s)) return QV_OK;
  return QV_FAIL(err, QV_E_PARSE, "%.200s: \"%.60s\" is not an exact number such as -0.25, 1e-3 or 7/3", what, s != NULL ? s : "?");
}

static qv_status text(const char **out, qv_atable *t, const cJSON *v, const char *what, qv_err *err) {
  if (!cJSON_IsString(v)) return QV_FAIL(err, QV_E_PARSE, "%.120s must be a string", what);
  *out = qv_arena_str(&t->arena, v->valuestring, strlen(v->valuestring));
  return *out != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "out of memory");
}

static uint32_t find_row(const qv_atable *t, const char *name) {
  for (uint32_t m = 0; m < t->n_rows; m++)
    if (strcmp(t->row[m], name) == 0) return m;
  return QV_ATABLE_NONE;
}

static qv_status find_group(uint32_t *out, const qv_atable *t, const cJSON *v, const char *what, qv_err *err) {
  if (!cJSON_IsString(v)) return QV_FAIL(err, QV_E_PARSE, "%.120s: a group name must be a string", what);
  for (uint32_t g = 0; g < t->n_groups; g++)
    if (strcmp(t->group[g].name, v->valuestring) == 0) {
      *out = g;
      return QV_OK;
    }
  return QV_FAIL(err, QV_E_PARSE, "%.120s: there is no group \"%.80s\"", what, v->valuestring);
}

static qv_status find_cand(uint32_t *out, const qv_atable_group *g, const cJSON *v, const char *what, qv_err *err) {
  if (!cJSON_IsString(v)) return QV_FAIL(err, QV_E_PARSE, "%.120s: a candidate name must be a string", what);
  for (uint32_t c = 0; c < g->n; c++)
    if (strcmp(g->cand[c].name, v->valuestring) == 0) {
      *out = c;
      return QV_OK;
    }
  return QV_FAIL(err, QV_E_PARSE, "%.120s: group \"%.80s\" has no candidate \"%.80s\"", what, g->name, v->valuestring);
}

static uint32_t find_peak(const qv_atable *t, const char *name) {
  for (uint32_t i = 0; i < t->n_peaks; i++)
    if (strcmp(t->peak[i].name, name) == 0) return i;
  return QV_ATABLE_NONE;
}

/* Rows that are no peak's: a candidate must name each of them. */
static uint32_t rows_of_their_own(const qv_atable *t) {
  uint32_t n = 0;
  for (uint32_t m = 0; m < t->n_rows; m++) n += t->peak_of[m] == QV_ATABLE_NONE;
  return n;
}

/* Costs out of an object {row name: number}. all: every row must be there, but for those of peaks: 0 where they are not. */
static qv_status costs(mpq_t *val, const qv_atable *t, const cJSON *obj, bool all, const char *what, qv_err *err) {
  uint32_t seen = 0;
  if (obj == NULL && !all) return QV_OK;
  if (!cJSON_IsObject(obj)) return QV_FAIL(err, QV_E_PARSE, "%.160s: \"cost\" must be an object", what);
  for (const cJSON *m = obj->child; m != NULL; m = m->next) {
    uint32_t row = find_row(t, m->string);
    if (row == QV_ATABLE_NONE) return QV_FAIL(err, QV_E_PARSE, "%.160s: \"%.80s\" is not in \"costs\"", what, m->string);
    seen += t->peak_of[row] == QV_ATABLE_NONE;
    qv_status st = number(val[1 + row], m, what, err);
    if (st != QV_OK) return st;
  }
  if (all && seen != rows_of_their_own(t)) return QV_FAIL(err, QV_E_PARSE, "%.160s: \"cost\" must give every cost of the table", what);
  return QV_OK;
}

/* ---- groups ------------------------------------------------------------------------------------------------------------------ */

static qv_status read_loss(mpq_t out, const qv_atable *t, const cJSON *v, const char *what, qv_err *err) {
  if (!cJSON_IsObject(v)) return number(out, v, what, err);
  const cJSON *m = t->metric != NULL ? member(v, t->metric) : length(v) == 1 ? v->child : NULL;
  if (m != NULL) return number(out, m, what, err);
  if (t->metric == NULL) return QV_FAIL(err, QV_E_PARSE, "%.160s has several losses: name one of them as metric", what);
  return QV_FAIL(err, QV_E_ARG, "%.160s has no loss \"%.80s\"", what, t->metric);
}

static qv_status read_cand(qv_atable_cand *c, qv_atable *t, const qv_atable_group *g, uint32_t before, const cJSON *v, qv_err *err) {
  static const char *const known[] = {"name", "precision", "loss", "cost", "note", NULL};
  qv_status st;
  char what[200];
  (void)snprintf(what, sizeof what, "group \"%.80s\" candidate %u", g->name, before);
  QV_TRY(only(v, known, what, err));
  QV_TRY(text(&c->name, t, member(v, "name"), what, err));
  (void)snprintf(what, sizeof what, "group \"%.80s\" candidate \"%.80s\"", g->name, c->name);
  for (uint32_t i = 0; i < before; i++)
    if (strcmp(g->cand[i].name, c->name) == 0) return QV_FAIL(err, QV_E_PARSE, "%s is there twice", what);
  c->label = c->name;
  if (member(v, "precision") != NULL) QV_TRY(text(&c->label, t, member(v, "precision"), what, err));
  QV_TRY(numbers(&c->val, t, 1 + (size_t)t->n_rows, err));
  if (member(v, "loss") == NULL) return QV_FAIL(err, QV_E_PARSE, "%s has no \"loss\"", what);
  QV_TRY(read_loss(c->val[0], t, member(v, "loss"), what, err));
  QV_TRY(costs(c->val, t, member(v, "cost"), t->n_rows > 0, what, err));
done:
  return st;
}

static qv_status read_group(qv_atable *t, uint32_t i, uint32_t *total, const cJSON *v, qv_err *err) {
  static const char *const known[] = {"name", "candidates", "note", NULL};
  qv_atable_group *g = &t->group[i];
  qv_status st;
  char what[120];
  (void)snprintf(what, sizeof what, "group %u", i);
  QV_TRY(only(v, known, what, err));
  QV_TRY(text(&g->name, t, member(v, "name"), what, err));
  for (uint32_t k = 0; k < i; k++)
    if (strcmp(t->group[k].name, g->name) == 0) return QV_FAIL(err, QV_E_PARSE, "group \"%.80s\" is there twice", g->name);
  (void)snprintf(what, sizeof what, "group \"%.80s\": candidates", g->name);
  const cJSON *list = member(v, "candidates"), *c;
  QV_TRY(want_array(list, what, err));
  uint32_t n = length(list);
  if (n == 0) return QV_FAIL(err, QV_E_PARSE, "group \"%.80s\" has no candidates", g->name);
  if (n > 4096 || (*total += n) > QV_ATABLE_MAX_CANDS) return QV_FAIL(err, QV_E_LIMIT, "more than 4096 candidates in a group, or 65536 in all");
  g->pin = QV_ATABLE_NONE;
  g->cand = QV_NEW(&t->arena, n, qv_atable_cand);
  if (g->cand == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  cJSON_ArrayForEach(c, list) {
    QV_TRY(read_cand(&g->cand[g->n], t, g, g->n, c, err));
    g->n++;
  }
done:
  return st;
}

static qv_status read_groups(qv_atable *t, const cJSON *list, qv_err *err) {
  qv_status st;
  uint32_t total = 0;
  const cJSON *v;
  QV_TRY(want_array(list, "\"groups\"", err));
  uint32_t n = length(list);
  if (n == 0) return QV_FAIL(err, QV_E_PARSE, "the table has no groups");
  if (n > QV_ATABLE_MAX_GROUPS) return QV_FAIL(err, QV_E_LIMIT, "more than %u groups", QV_ATABLE_MAX_GROUPS);
  t->group = QV_NEW(&t->arena, n, qv_atable_group);
  if (t->group == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  cJSON_ArrayForEach(v, list) {
    QV_TRY(read_group(t, t->n_groups, &total, v, err));
    t->n_groups++;
  }
done:
  return st;
}

static qv_status read_rows(qv_atable *t, const cJSON *list, qv_err *err) {
  qv_status st;
  const cJSON *v;
  QV_TRY(want_array(list, "\"costs\"", err));
  uint32_t n = length(list);
  if (n > QV_ATABLE_MAX_ROWS) return QV_FAIL(err, QV_E_LIMIT, "more than %u costs", QV_ATABLE_MAX_ROWS);
  mpq_t *values;
  QV_TRY(numbers(&values, t, n, err));
  t->row = QV_NEW(&t->arena, n, const char *);
  t->limit = QV_NEW(&t->arena, n, qv_atable_limit);
  if (t->row == NULL || t->limit == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  cJSON_ArrayForEach(v, list) {
    QV_TRY(text(&t->row[t->n_rows], t, v, "a name in \"costs\"", err));
    if (find_row(t, t->row[t->n_rows]) != QV_ATABLE_NONE || strchr(t->row[t->n_rows], '=') != NULL || t->row[t->n_rows][0] == 0)
      return QV_FAIL(err, QV_E_PARSE, "\"costs\": the name \"%.80s\" is there twice, empty, or has a '='", t->row[t->n_rows]);
    t->limit[t->n_rows].v = values[t->n_rows];
    t->n_rows++;
  }
done:
  return st;
}

/* "peaks": {"ram": ["ram@conv1", ..], ..} */
static qv_status read_peak(qv_atable *t, const cJSON *v, qv_err *err) {
  qv_atable_peak *p = &t->peak[t->n_peaks];
  const cJSON *r;
  if (find_row(t, v->string) != QV_ATABLE_NONE || find_peak(t, v->string) != QV_ATABLE_NONE || strchr(v->string, '=') != NULL || v->string[0] == 0)
    return QV_FAIL(err, QV_E_PARSE, "\"peaks\": the name \"%.80s\" is there twice, empty, or has a '='", v->string);
  if (!cJSON_IsArray(v) || length(v) == 0) return QV_FAIL(err, QV_E_PARSE, "\"peaks\": \"%.80s\" must be a list of costs, not empty", v->string);
  p->name = qv_arena_str(&t->arena, v->string, strlen(v->string));
  p->row = QV_NEW(&t->arena, length(v), uint32_t);
  if (p->name == NULL || p->row == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  cJSON_ArrayForEach(r, v) {
    uint32_t m = cJSON_IsString(r) ? find_row(t, r->valuestring) : QV_ATABLE_NONE;
    if (m == QV_ATABLE_NONE) return QV_FAIL(err, QV_E_PARSE, "\"peaks\": \"%.80s\" names a cost that is not in \"costs\"", v->string);
    if (t->peak_of[m] != QV_ATABLE_NONE) return QV_FAIL(err, QV_E_PARSE, "\"peaks\": \"%.80s\" is there twice", t->row[m]);
    t->peak_of[m] = t->n_peaks;
    p->row[p->n++] = m;
  }
  t->n_peaks++;
  return QV_OK;
}

static qv_status read_peaks(qv_atable *t, const cJSON *obj, qv_err *err) {
  qv_status st = QV_OK;
  t->peak_of = QV_NEW(&t->arena, t->n_rows, uint32_t);
  t->peak = QV_NEW(&t->arena, length(obj), qv_atable_peak);
  if (t->peak_of == NULL || t->peak == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  for (uint32_t m = 0; m < t->n_rows; m++) t->peak_of[m] = QV_ATABLE_NONE;
  if (obj == NULL) return QV_OK;
  if (!cJSON_IsObject(obj)) return QV_FAIL(err, QV_E_PARSE, "\"peaks\" must be an object");
  for (const cJSON *v = obj->child; v != NULL; v = v->next) QV_TRY(read_peak(t, v, err));
done:
  return st;
}

/* ---- limits and couplings ---------------------------------------------------------------------------------------------------- */

static bool limit_value(qv_atable_limit *l, const char *s) {
  static const char *const suffix[] = {"%range", "%", ""};
  static const qv_limit_kind kind[] = {QV_LIMIT_RANGE, QV_LIMIT_PERCENT, QV_LIMIT_VALUE};
  char buf[1002];
  size_t n = strlen(s);
  if (n > 1000) return false;
  for (int i = 0; i < 3; i++) {
    size_t k = strlen(suffix[i]);
    if (n <= k || strcmp(s + n - k, suffix[i]) != 0) continue;
    memcpy(buf, s, n - k);
    buf[n - k] = 0;
    l->kind = kind[i];
    return qv_atable_number(l->v, buf);
  }
  return false;
}

/* The limit of the cost or peak `name` (not terminated). Errors: `code`. */
static qv_status set_limit(qv_atable *t, const char *name, size_t n, const char *value, qv_status code, qv_err *err) {
  uint32_t peak = QV_ATABLE_NONE, found = 0;
  for (uint32_t i = 0; i < t->n_peaks; i++)
    if (strlen(t->peak[i].name) == n && memcmp(t->peak[i].name, name, n) == 0) peak = i;
  for (uint32_t m = 0; m < t->n_rows; m++) {
    bool own = strlen(t->row[m]) == n && memcmp(t->row[m], name, n) == 0;
    if (own && t->peak_of[m] != QV_ATABLE_NONE)
      return QV_FAIL(err, code, "\"%.80s\" has no limit of its own: set that of \"%.80s\"", t->row[m], t->peak[t->peak_of[m]].name);
    if (!own && (peak == QV_ATABLE_NONE || t->peak_of[m] != peak)) continue;
    found++;
    if (strcmp(value, "none") == 0) t->limit[m].kind = QV_LIMIT_NONE;
    else if (!limit_value(&t->limit[m], value))
      return QV_FAIL(err, code, "limit \"%.*s=%.80s\": not an exact number, a percentage or a range such as 1.5e6, 60%% or 25%%range", (int)(n > 80 ? 80 : n), name, value);
  }
  return found > 0 ? QV_OK : QV_FAIL(err, code, "the table has no cost \"%.*s\"", (int)(n > 80 ? 80 : n), name);
}

qv_status qv_atable_set_limit(qv_atable *t, const char *s, qv_err *err) {
  const char *eq = strchr(s, '=');
  if (eq == NULL) return QV_FAIL(err, QV_E_ARG, "a limit is NAME=VALUE, NAME=P%% or NAME=P%%range, not \"%.80s\"", s);
  return set_limit(t, s, (size_t)(eq - s), eq + 1, QV_E_ARG, err);
}

static qv_status read_limits(qv_atable *t, const cJSON *obj, qv_err *err) {
  qv_status st = QV_OK;
  if (obj == NULL) return QV_OK;
  if (!cJSON_IsObject(obj)) return QV_FAIL(err, QV_E_PARSE, "\"limits\" must be an object");
  for (const cJSON *m = obj->child; m != NULL; m = m->next) {
    const char *s = cJSON_IsString(m) || cJSON_IsNumber(m) ? m->valuestring : NULL;
    if (find_row(t, m->string) == QV_ATABLE_NONE && find_peak(t, m->string) == QV_ATABLE_NONE)
      return QV_FAIL(err, QV_E_PARSE, "\"limits\": \"%.80s\" is not in \"costs\"", m->string);
    if (s == NULL || strcmp(s, "none") == 0)
      return QV_FAIL(err, QV_E_PARSE, "\"limits\": \"%.80s\" is not a number, a percentage or a %%range", m->string);
    QV_TRY(set_limit(t, m->string, strlen(m->string), s, QV_E_PARSE, err));
  }
done:
  return st;
}

static qv_status read_links(qv_atable *t, const cJSON *list, qv_err *err) {
  qv_status st = QV_OK;
  const cJSON *v, *name;
  if (list == NULL) return QV_OK;
  QV_TRY(want_array(list, "\"links\"", err));
  t->link = QV_NEW(&t->arena, length(list), qv_atable_link);
  if (t->link == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  cJSON_ArrayForEach(v, list) {
    qv_atable_link *l = &t->link[t->n_links];
    QV_TRY(want_array(v, "a member of \"links\"", err));
    l->group = QV_NEW(&t->arena, length(v), uint32_t);
    if (l->group == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
    cJSON_ArrayForEach(name, v) QV_TRY(find_group(&l->group[l->n++], t, name, "\"links\"", err));
    t->n_links++;
  }
done:
  return st;
}

static qv_status read_pins(qv_atable *t, const cJSON *obj, qv_err *err) {
  qv_status st = QV_OK;
  if (obj == NULL) return QV_OK;
  if (!cJSON_IsObject(obj)) return QV_FAIL(err, QV_E_PARSE, "\"pins\" must be an object");
  for (const cJSON *m = obj->child; m != NULL; m = m->next) {
    uint32_t g = 0;
    while (g < t->n_groups && strcmp(t->group[g].name, m->string) != 0) g++;
    if (g == t->n_groups) return QV_FAIL(err, QV_E_PARSE, "\"pins\": there is no group \"%.80s\"", m->string);
    QV_TRY(find_cand(&t->group[g].pin, &t->group[g], m, "\"pins\"", err));
  }
done:
  return st;
}

/* The two groups of a conversion, pair or edge. */
static qv_status two_groups(uint32_t *g, uint32_t *h, const qv_atable *t, const cJSON *list, const char *what, qv_err *err) {
  qv_status st;
  if (!cJSON_IsArray(list) || length(list) != 2) return QV_FAIL(err, QV_E_PARSE, "%s needs two group names", what);
  QV_TRY(find_group(g, t, list->child, what, err));
  QV_TRY(find_group(h, t, list->child->next, what, err));
  if (*g == *h) return QV_FAIL(err, QV_E_PARSE, "%s: the two groups are the same, \"%.80s\"", what, t->group[*g].name);
done:
  return st;
}

static qv_status pair_values(qv_atable_pair *q, qv_atable *t, const cJSON *v, const char *what, qv_err *err) {
  qv_status st;
  QV_TRY(numbers(&q->val, t, 1 + (size_t)t->n_rows, err));
  if (member(v, "loss") != NULL) QV_TRY(number(q->val[0], member(v, "loss"), what, err));
  QV_TRY(costs(q->val, t, member(v, "cost"), false, what, err));
done:
  return st;
}

static qv_status read_conversions(qv_atable *t, const cJSON *list, qv_err *err) {
  static const char *const known[] = {"between", "loss", "cost", "note", NULL};
  qv_status st = QV_OK;
  const cJSON *v;
  cJSON_ArrayForEach(v, list) {
    qv_atable_pair *q = &t->pair[t->n_pairs++];
    q->a = q->b = QV_ATABLE_NONE;
    QV_TRY(only(v, known, "a conversion", err));
    QV_TRY(two_groups(&q->g, &q->h, t, member(v, "between"), "a conversion", err));
    QV_TRY(pair_values(q, t, v, "a conversion", err));
  }
done:
  return st;
}

static qv_status read_term(qv_atable *t, const qv_atable_pair *of, const cJSON *v, qv_err *err) {
  static const char *const known[] = {"choice", "loss", "cost", "forbidden", "note", NULL};
  qv_status st;
  qv_atable_pair *q = &t->pair[t->n_pairs++];
  q->g = of->g;
  q->h = of->h;
  QV_TRY(only(v, known, "a pair term", err));
  const cJSON *choice = member(v, "choice"), *no = member(v, "forbidden");
  if (!cJSON_IsArray(choice) || length(choice) != 2) return QV_FAIL(err, QV_E_PARSE, "a pair term's \"choice\" needs two candidate names");
  QV_TRY(find_cand(&q->a, &t->group[q->g], choice->child, "a pair term", err));
  QV_TRY(find_cand(&q->b, &t->group[q->h], choice->child->next, "a pair term", err));
  if (no != NULL && !cJSON_IsBool(no)) return QV_FAIL(err, QV_E_PARSE, "a pair term's \"forbidden\" is true or false");
  q->forbidden = no != NULL && cJSON_IsTrue(no);
  QV_TRY(pair_values(q, t, v, "a pair term", err));
done:
  return st;
}

static qv_status read_pairs(qv_atable *t, const cJSON *list, qv_err *err) {
  static const char *const known[] = {"groups", "terms", "note", NULL};
  qv_status st = QV_OK;
  const cJSON *v, *term;
  cJSON_ArrayForEach(v, list) {
    qv_atable_pair of = {0};
    QV_TRY(only(v, known, "a member of \"pairs\"", err));
    QV_TRY(two_groups(&of.g, &of.h, t, member(v, "groups"), "a member of \"pairs\"", err));
    QV_TRY(want_array(member(v, "terms"), "\"terms\" of a pair", err));
    cJSON_ArrayForEach(term, member(v, "terms")) QV_TRY(read_term(t, &of, term, err));
  }
done:
  return st;
}

static qv_status read_couplings(qv_atable *t, const cJSON *conversions, const cJSON *pairs, qv_err *err) {
  qv_status st = QV_OK;
  size_t n = 0;
  const cJSON *v;
  if (conversions != NULL) QV_TRY(want_array(conversions, "\"conversions\"", err));
  if (pairs != NULL) QV_TRY(want_array(pairs, "\"pairs\"", err));
  n += length(conversions);
  cJSON_ArrayForEach(v, pairs) n += length(member(v, "terms"));
  t->pair = QV_NEW(&t->arena, n, qv_atable_pair);
  if (t->pair == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  QV_TRY(read_conversions(t, conversions, err));
  QV_TRY(read_pairs(t, pairs, err));
done:
  return st;
}

static qv_status read_edges(qv_atable *t, const cJSON *list, qv_err *err) {
  static const char *const known[] = {"between", "weight", "note", NULL};
  qv_status st = QV_OK;
  const cJSON *v;
  if (list == NULL) return QV_OK;
  QV_TRY(want_array(list, "\"edges\"", err));
  if ((t->edge = QV_NEW(&t->arena, length(list), qv_atable_edge)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  cJSON_ArrayForEach(v, list) {
    qv_atable_edge *e = &t->edge[t->n_edges];
    QV_TRY(only(v, known, "an edge", err));
    QV_TRY(two_groups(&e->g, &e->h, t, member(v, "between"), "an edge", err));
    QV_TRY(numbers(&e->weight, t, 1, err));
    mpq_set_ui(e->weight[0], 1, 1);
    if (member(v, "weight") != NULL) QV_TRY(number(e->weight[0], member(v, "weight"), "an edge's \"weight\"", err));
    if (mpq_sgn(e->weight[0]) < 0) return QV_FAIL(err, QV_E_PARSE, "an edge's \"weight\" must not be negative");
    t->n_edges++;
  }
done:
  return st;
}

/* ---- the whole ----------------------------------------------------------------------------------------------------------------- */

static qv_status read_root(qv_atable *t, const cJSON *root, const char *metric, qv_err *err) {
  static const char *const known[] = {"format", "name",   "note",  "source",      "costs", "groups", "metric", "reference", "limits", "peaks",
                                      "links",  "pins",   "pairs", "conversions", "edges",  "at_most_precisions", NULL};
  qv_status st;
  const char *format;
  QV_TRY(only(root, known, "the table", err));
  QV_TRY(qv_json_get_str(&format, root, "format", "the table", err));
  if (strcmp(format, "qverify-table/1") != 0) return QV_FAIL(err, QV_E_PARSE, "the table's format is \"%.40s\", not \"qverify-table/1\"", format);
  t->name = "";
  if (member(root, "name") != NULL) QV_TRY(text(&t->name, t, member(root, "name"), "\"name\"", err));
  if (member(root, "reference") != NULL) QV_TRY(text(&t->reference, t, member(root, "reference"), "\"reference\"", err));
  if (member(root, "metric") != NULL) QV_TRY(text(&t->metric, t, member(root, "metric"), "\"metric\"", err));
  if (metric != NULL && (t->metric = qv_arena_str(&t->arena, metric, strlen(metric))) == NULL)
    return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  QV_TRY(read_rows(t, member(root, "costs"), err));
  QV_TRY(read_peaks(t, member(root, "peaks"), err));
  QV_TRY(read_groups(t, member(root, "groups"), err));
  QV_TRY(read_limits(t, member(root, "limits"), err));
  QV_TRY(read_links(t, member(root, "links"), err));
  QV_TRY(read_pins(t, member(root, "pins"), err));
  QV_TRY(read_couplings(t, member(root, "conversions"), member(root, "pairs"), err));
  QV_TRY(read_edges(t, member(root, "edges"), err));
  if (member(root, "at_most_precisions") != NULL) {
    int64_t k;
    QV_TRY(qv_json_get_int(&k, root, "at_most_precisions", 1, 65536, "the table", err));
    t->at_most = (uint32_t)k;
  }
done:
  return st;
}

qv_status qv_atable_read(qv_atable *out, const char *s, size_t n, const char *metric, qv_err *err) {
  cJSON *root = NULL;
  qv_status st;
  QV_TRY(qv_json_parse(&root, s, n, err));
  QV_TRY(read_root(out, root, metric, err));
done:
  cJSON_Delete(root);
  if (st != QV_OK) qv_atable_free(out);
  return st;
}
