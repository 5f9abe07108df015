#include "tests/alloc_env.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ir/base/json.h"

/* ---- the checker ---------------------------------------------------------------------------------------------------- */

int ae_check(const qv_buf *qap, const qv_buf *qva, char text[CR_TEXT]) {
  const qv_buf *file[2] = {qap, qva};
  return cr_run("alloc", file, 2, text);
}

bool ae_accepts(const qv_buf *qap, const qv_buf *qva, const char *line) {
  char text[512], want[512];
  int code = ae_check(qap, qva, text);
  (void)snprintf(want, sizeof want, "%s\ns CHECKED\n", line);
  if (code == 0 && strcmp(text, want) == 0) return true;
  printf("checker: exit %d, expected \"%s\", said: %s\n", code, line, text);
  return false;
}

static bool accepts(const qv_alloc *p, const qv_buf *cert, const char *line) {
  qv_buf qap = {0};
  assert_int_equal(qv_alloc_text(&qap, p, NULL), QV_OK);
  bool ok = ae_accepts(&qap, cert, line);
  qv_buf_free(&qap);
  return ok;
}

bool ae_accepts_result(const qv_alloc *p, const qv_alloc_result *r) {
  char line[400] = "c infeasible";
  if (r->state == QV_ALLOC_UNKNOWN) return false;
  if (r->state == QV_ALLOC_OPTIMAL) {
    mpq_t v;
    mpq_init(v);
    qv_alloc_real(v, p, r->choice, 0);
    (void)gmp_snprintf(line, sizeof line, "c optimum %Qd", v);
    mpq_clear(v);
  }
  return accepts(p, &r->cert, line);
}

bool ae_accepts_front(const qv_alloc *p, const qv_alloc_front *f) {
  char line[40] = "c infeasible";
  if (f->state == QV_ALLOC_UNKNOWN) return false;
  if (f->state == QV_ALLOC_OPTIMAL) (void)snprintf(line, sizeof line, "c front %" PRIu32, f->n);
  return accepts(p, &f->cert, line);
}

/* ---- tables --------------------------------------------------------------------------------------------------------- */

bool ae_data(qv_buf *out, const char *name) {
  const char *dir = getenv("QV_DATA");
  char path[4200];
  (void)snprintf(path, sizeof path, "%s/alloc/%s", dir != NULL ? dir : "../shared/data", name);
  if (qv_file_read(out, path, (size_t)1 << 28, NULL) == QV_OK) return true;
  printf("SKIPPED: %s is not there\n", path);
  return false;
}

static const cJSON *at(const cJSON *obj, const char *key) {
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(obj, key);
  assert_non_null(v);
  return v;
}

static const char *text_at(const cJSON *list, int i) {
  const cJSON *v = cJSON_GetArrayItem(list, i);
  assert_non_null(v);
  return v->valuestring;
}

static void put_mpq(qv_buf *out, mpq_srcptr v) {
  char *s = mpq_get_str(NULL, 10, v);
  qv_buf_str(out, s);
  free(s);
}

void ae_hawq_table(qv_buf *out, const qv_buf *hawq) {
  cJSON *h = NULL;
  mpq_t trace, x, base;
  assert_int_equal(qv_json_parse(&h, (const char *)hawq->p, hawq->n, NULL), QV_OK);
  mpq_inits(trace, x, base, (mpq_ptr)NULL);
  int n = cJSON_GetArraySize(at(h, "layers"));
  qv_buf_str(out, "{\"format\":\"qverify-table/1\",\"costs\":[\"size\",\"bops\",\"latency\"],\"reference\":\"8\",\"groups\":[");
  for (int i = 0; i < n; i++) {
    assert_true(qv_atable_number(trace, text_at(at(h, "hessian_trace_normalised"), i)));
    assert_true(qv_atable_number(base, text_at(at(at(h, "delta_w_sq"), "8"), i)));
    mpq_mul(base, base, trace);
    qv_buf_printf(out, "%s{\"name\":\"%s\",\"candidates\":[", i > 0 ? "," : "", text_at(at(h, "layers"), i));
    for (int k = 0; k < 2; k++) {
      const char *bits = k == 0 ? "8" : "4";
      int64_t b = k == 0 ? 8 : 4, params, macs;
      assert_int_equal(qv_json_int(&params, cJSON_GetArrayItem(at(h, "params"), i), 0, INT64_MAX / 64, "", NULL), QV_OK);
      assert_int_equal(qv_json_int(&macs, cJSON_GetArrayItem(at(h, "macs"), i), 0, INT64_MAX / 64, "", NULL), QV_OK);
      assert_true(qv_atable_number(x, text_at(at(at(h, "delta_w_sq"), bits), i)));
      mpq_mul(x, x, trace);
      mpq_sub(x, x, base);
      qv_buf_printf(out, "%s{\"name\":\"%s\",\"loss\":\"", k > 0 ? "," : "", bits);
      put_mpq(out, x);
      qv_buf_printf(out, "\",\"cost\":{\"size\":%" PRId64 ",\"bops\":%" PRId64 ",\"latency\":\"%s\"}}", params * b, macs * b * b,
                    text_at(at(at(h, "latency_ms_T4"), bits), i));
    }
    qv_buf_str(out, "]}");
  }
  qv_buf_str(out, "],\"links\":[");
  const cJSON *link, *l;
  bool first = true;
  cJSON_ArrayForEach(link, at(h, "links_equal_bits")) {
    qv_buf_str(out, first ? "[" : ",[");
    first = false;
    cJSON_ArrayForEach(l, link)
      qv_buf_printf(out, "%s\"%s\"", l == link->child ? "" : ",", text_at(at(h, "layers"), (int)strtol(l->valuestring, NULL, 10)));
    qv_buf_str(out, "]");
  }
  qv_buf_str(out, "]}");
  mpq_clears(trace, x, base, (mpq_ptr)NULL);
  cJSON_Delete(h);
}

static int64_t upto(qv_rng *r, int64_t n) { return qv_rng_range(r, 0, n - 1); }

/* A number of one of four kinds: tiny integers (many ties), decimals, signed fractions, wide integers. */
static void put_number(qv_buf *out, qv_rng *r, int64_t kind) {
  if (kind == 0) qv_buf_printf(out, "%" PRId64, upto(r, 7));
  else if (kind == 1) qv_buf_printf(out, "\"%" PRId64 ".%03" PRId64 "\"", upto(r, 3), upto(r, 1000));
  else if (kind == 2) qv_buf_printf(out, "\"%" PRId64 "/%" PRId64 "\"", qv_rng_range(r, -9, 9), qv_rng_range(r, 1, 7));
  else qv_buf_printf(out, "\"%" PRId64 "e-3\"", qv_rng_range(r, -3, 1000000000000));
}

static void put_costs(qv_buf *out, qv_rng *r, uint32_t rows, const int64_t *kind) {
  qv_buf_str(out, "\"loss\":");
  put_number(out, r, kind[0]);
  qv_buf_str(out, ",\"cost\":{");
  for (uint32_t m = 0; m < rows; m++) {
    qv_buf_printf(out, "%s\"c%" PRIu32 "\":", m > 0 ? "," : "", m);
    put_number(out, r, kind[1 + m]);
  }
  qv_buf_str(out, "}");
}

enum { NAMES = 6, MAX_ROWS = 8 };

static void two(qv_rng *r, uint32_t n, uint32_t *g, uint32_t *h) {
  *g = (uint32_t)upto(r, n);
  *h = (uint32_t)((*g + 1 + upto(r, n - 1)) % n);
}

/* Which of the six names a group has: bit set. */
static uint32_t some_names(qv_rng *r) {
  uint32_t set = 0;
  for (int64_t i = 0, n = qv_rng_range(r, 1, 4); i < n; i++) set |= 1u << upto(r, NAMES);
  return set;
}

static int any_name(qv_rng *r, uint32_t set) {
  int c;
  do c = (int)upto(r, NAMES);
  while (!(set >> c & 1));
  return c;
}

static void put_couplings(qv_buf *out, qv_rng *r, uint32_t n, uint32_t rows, const uint32_t *set, const int64_t *kind) {
  uint32_t g, h;
  if (upto(r, 3) == 0) {
    two(r, n, &g, &h);
    qv_buf_printf(out, ",\"links\":[[\"g%" PRIu32 "\",\"g%" PRIu32 "\"]]", g, h);
  }
  if (upto(r, 5) == 0) {
    g = (uint32_t)upto(r, n);
    qv_buf_printf(out, ",\"pins\":{\"g%" PRIu32 "\":\"%c\"}", g, 'a' + any_name(r, set[g]));
  }
  if (upto(r, 2) == 0) qv_buf_printf(out, ",\"at_most_precisions\":%" PRId64, qv_rng_range(r, 1, 3));
  qv_buf_str(out, ",\"conversions\":[");
  for (int64_t i = 0, k = upto(r, 3); i < k; i++) {
    two(r, n, &g, &h);
    qv_buf_printf(out, "%s{\"between\":[\"g%" PRIu32 "\",\"g%" PRIu32 "\"],", i > 0 ? "," : "", g, h);
    put_costs(out, r, rows, kind);
    qv_buf_str(out, "}");
  }
  qv_buf_str(out, "],\"pairs\":[");
  for (int64_t i = 0, k = upto(r, 3); i < k; i++) {
    two(r, n, &g, &h);
    qv_buf_printf(out, "%s{\"groups\":[\"g%" PRIu32 "\",\"g%" PRIu32 "\"],\"terms\":[", i > 0 ? "," : "", g, h);
    for (int64_t t = 0, m = qv_rng_range(r, 1, 4); t < m; t++) {
      qv_buf_printf(out, "%s{\"choice\":[\"%c\",\"%c\"],", t > 0 ? "," : "", 'a' + any_name(r, set[g]), 'a' + any_name(r, set[h]));
      if (upto(r, 4) == 0) qv_buf_str(out, "\"forbidden\":true");
      else put_costs(out, r, rows, kind);
      qv_buf_str(out, "}");
    }
    qv_buf_str(out, "]}");
  }
  qv_buf_str(out, "]");
}

void ae_random_table(qv_buf *out, qv_rng *r, uint32_t groups, uint32_t rows, bool couplings) {
  static const char *const label[] = {"2", "4", "8", "16", ""};
  const char *of[NAMES];
  int64_t kind[1 + MAX_ROWS];
  uint32_t n = (uint32_t)qv_rng_range(r, 1, groups), set[16];
  assert_true(groups <= 16 && rows <= MAX_ROWS);
  for (uint32_t i = 0; i <= rows; i++) kind[i] = upto(r, 4);
  for (int i = 0; i < NAMES; i++) of[i] = label[upto(r, 5)];
  qv_buf_str(out, "{\"format\":\"qverify-table/1\",\"costs\":[");
  for (uint32_t m = 0; m < rows; m++) qv_buf_printf(out, "%s\"c%" PRIu32 "\"", m > 0 ? "," : "", m);
  qv_buf_str(out, "],\"groups\":[");
  for (uint32_t g = 0; g < n; g++) {
    bool first = true;
    set[g] = some_names(r);
    qv_buf_printf(out, "%s{\"name\":\"g%" PRIu32 "\",\"candidates\":[", g > 0 ? "," : "", g);
    for (int c = 0; c < NAMES; c++) {
      if (!(set[g] >> c & 1)) continue;
      qv_buf_printf(out, "%s{\"name\":\"%c\",\"precision\":\"%s\",", first ? "" : ",", 'a' + c, of[c]);
      first = false;
      put_costs(out, r, rows, kind);
      qv_buf_str(out, "}");
    }
    qv_buf_str(out, "]}");
  }
  qv_buf_str(out, "]");
  if (couplings && n > 1) put_couplings(out, r, n, rows, set, kind);
  qv_buf_str(out, "}");
}

void ae_layer_table(qv_buf *out, qv_rng *r, uint32_t groups, uint32_t cands, uint32_t rows) {
  static const int64_t width[] = {8, 6, 4, 2, 3, 5, 7};
  qv_buf_str(out, "{\"format\":\"qverify-table/1\",\"costs\":[");
  for (uint32_t m = 0; m < rows; m++) qv_buf_printf(out, "%s\"c%" PRIu32 "\"", m > 0 ? "," : "", m);
  qv_buf_str(out, "],\"groups\":[");
  for (uint32_t g = 0; g < groups; g++) {
    int64_t params = qv_rng_range(r, 100, 2400000), macs = qv_rng_range(r, 1000000, 200000000), sens = (int64_t)1 << upto(r, 14);
    qv_buf_printf(out, "%s{\"name\":\"g%" PRIu32 "\",\"candidates\":[", g > 0 ? "," : "", g);
    for (uint32_t c = 0; c < cands; c++) {
      int64_t b = width[c % 7];
      qv_buf_printf(out, "%s{\"name\":\"%" PRId64 "\",\"loss\":\"%" PRId64 "e-12\",\"cost\":{", c > 0 ? "," : "", b,
                    sens * ((int64_t)1 << (2 * (8 - b))) * qv_rng_range(r, 700, 1400));
      for (uint32_t m = 0; m < rows; m++) {
        int64_t v = m == 0 ? params * b : m == 1 ? macs * b * b : macs / 1000 * (b + 2) * qv_rng_range(r, 700, 1200);
        qv_buf_printf(out, "%s\"c%" PRIu32 "\":\"%" PRId64 "\"", m > 0 ? "," : "", m, v);
      }
      qv_buf_str(out, "}}");
    }
    qv_buf_str(out, "]}");
  }
  qv_buf_str(out, "]}");
}

void ae_set_limit(qv_atable *t, const char *fmt, ...) {
  char s[80];
  va_list args;
  va_start(args, fmt);
  (void)vsnprintf(s, sizeof s, fmt, args);
  va_end(args);
  assert_int_equal(qv_atable_set_limit(t, s, NULL), QV_OK);
}

qv_alloc *ae_problem(const qv_atable *t) {
  qv_alloc *p = NULL;
  assert_int_equal(qv_alloc_build(&p, t, NULL), QV_OK);
  return p;
}

/* ---- truth ---------------------------------------------------------------------------------------------------------- */

static const char *name_of(const qv_atable *t, uint32_t g, const uint32_t *x) { return t->group[g].cand[x[g]].name; }
static const char *label_of(const qv_atable *t, uint32_t g, const uint32_t *x) { return t->group[g].cand[x[g]].label; }

static bool allowed(const qv_atable *t, const uint32_t *x) {
  for (uint32_t g = 0; g < t->n_groups; g++)
    if (t->group[g].pin != QV_ATABLE_NONE && t->group[g].pin != x[g]) return false;
  for (uint32_t l = 0; l < t->n_links; l++)
    for (uint32_t i = 1; i < t->link[l].n; i++)
      if (strcmp(name_of(t, t->link[l].group[0], x), name_of(t, t->link[l].group[i], x)) != 0) return false;
  for (uint32_t i = 0; i < t->n_pairs; i++)
    if (t->pair[i].forbidden && x[t->pair[i].g] == t->pair[i].a && x[t->pair[i].h] == t->pair[i].b) return false;
  uint32_t labels = 0;
  for (uint32_t g = 0; g < t->n_groups; g++) {
    uint32_t k = 0;
    while (k < g && strcmp(label_of(t, g, x), label_of(t, k, x)) != 0) k++;
    labels += k == g && label_of(t, g, x)[0] != 0;
  }
  return t->at_most == 0 || labels <= t->at_most;
}

static void value(mpq_t *v, const qv_atable *t, const uint32_t *x) {
  for (uint32_t m = 0; m <= t->n_rows; m++) {
    for (uint32_t g = 0; g < t->n_groups; g++) mpq_add(v[m], v[m], t->group[g].cand[x[g]].val[m]);
    for (uint32_t i = 0; i < t->n_pairs; i++) {
      const qv_atable_pair *q = &t->pair[i];
      bool on = q->a == QV_ATABLE_NONE ? strcmp(label_of(t, q->g, x), label_of(t, q->h, x)) != 0 : x[q->g] == q->a && x[q->h] == q->b;
      if (on) mpq_add(v[m], v[m], q->val[m]);
    }
  }
}

bool ae_truth_run(ae_truth *out, const qv_atable *t, uint32_t max) {
  uint64_t all = 1;
  for (uint32_t g = 0; g < t->n_groups; g++)
    if ((all *= t->group[g].n) > max) return false;
  uint32_t x[64] = {0};
  assert_true(t->n_groups <= 64);
  *out = (ae_truth){.columns = 1 + t->n_rows};
  out->v = calloc(all * out->columns, sizeof *out->v);
  assert_non_null(out->v);
  for (uint64_t i = 0; i < all; i++) {
    if (allowed(t, x)) {
      mpq_t *v = &out->v[(size_t)out->n++ * out->columns];
      for (uint32_t m = 0; m < out->columns; m++) mpq_init(v[m]);
      value(v, t, x);
    }
    for (uint32_t g = 0; g < t->n_groups && ++x[g] == t->group[g].n; g++) x[g] = 0;
  }
  return true;
}

void ae_truth_clear(ae_truth *t) {
  for (size_t i = 0; i < (size_t)t->n * t->columns; i++) mpq_clear(t->v[i]);
  free(t->v);
  *t = (ae_truth){0};
}
