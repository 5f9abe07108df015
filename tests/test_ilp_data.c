/* Allocation on published tables (QV_DATA/alloc): HAWQ-V3 ResNet18, the knapsacks of Sony's MCT, the LP that GLPK 5.0 answers
 * wrongly. Expected values come with the data and were computed by other programs. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ilp/greedy.h"
#include "ir/base/json.h"
#include "tests/alloc_env.h"
#include "tests/range_net.h"

static qv_atable table_of(const qv_buf *text) {
  qv_atable t = {0};
  qv_err err = {0};
  if (qv_atable_read(&t, (const char *)text->p, text->n, NULL, &err) != QV_OK) fail_msg("table refused: %s", err.msg);
  return t;
}

static bool hawq(qv_atable *t, cJSON **doc) {
  qv_buf raw = {0}, text = {0};
  if (!ae_data(&raw, "hawqv3_resnet18.json")) return false;
  ae_hawq_table(&text, &raw);
  *t = table_of(&text);
  if (doc != NULL) assert_int_equal(qv_json_parse(doc, (const char *)raw.p, raw.n, NULL), QV_OK);
  qv_buf_free(&raw);
  qv_buf_free(&text);
  return true;
}

static void assert_loss(const qv_alloc *p, const uint32_t *choice, const char *want) {
  mpq_t v, w;
  mpq_inits(v, w, (mpq_ptr)NULL);
  qv_alloc_real(v, p, choice, 0);
  assert_true(qv_atable_number(w, want));
  if (!mpq_equal(v, w)) fail_msg("loss %.17g instead of %s", mpq_get_d(v), want);
  mpq_clears(v, w, (mpq_ptr)NULL);
}

/* Solve by both engines where both apply; certificates to the checker. */
static void solve(const qv_atable *t, const char *want, bool check, uint32_t *choice) {
  qv_alloc *p = ae_problem(t);
  for (int e = 0; e < 2; e++) {
    qv_alloc_result r = {0};
    qv_status st = qv_alloc_solve(&r, p, &(qv_alloc_opts){.engine = e == 0 ? QV_ALLOC_TREE : QV_ALLOC_DP}, NULL);
    if (e == 1 && st == QV_E_UNSUP) break;
    assert_int_equal(st, QV_OK);
    assert_int_equal(r.state, QV_ALLOC_OPTIMAL);
    assert_loss(p, r.choice, want);
    if (check) assert_true(ae_accepts_result(p, &r));
    if (choice != NULL && e == 0) memcpy(choice, r.choice, p->n_groups * sizeof *choice);
    qv_alloc_result_clear(&r);
  }
  qv_alloc_free(p);
}

static const char *const hawq_row[3] = {"size", "bops", "latency"}, *const hawq_key[3] = {"modelsize", "bops", "latency"};

static const cJSON *item(const cJSON *o, const char *key) {
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
  assert_non_null(v);
  return v;
}

static void resnet18_optima(void **state) {
  qv_atable t;
  qv_buf raw = {0};
  cJSON *doc = NULL;
  uint32_t n = 0;
  (void)state;
  if (!ae_data(&raw, "hawqv3_resnet18_expected_optima.json") || !hawq(&t, NULL)) skip();
  assert_int_equal(qv_json_parse(&doc, (const char *)raw.p, raw.n, NULL), QV_OK);
  for (int m = 0; m < 3; m++) {
    const cJSON *list = item(item(item(doc, "nets"), "resnet18"), hawq_key[m]), *x;
    cJSON_ArrayForEach(x, list) {
      const char *percent = item(x, "r_percent")->valuestring;
      ae_set_limit(&t, "%s=%s%%range", hawq_row[m], percent);
      solve(&t, item(x, "optimum_exact")->valuestring, n % 3 == 0 || rn_multiplier() > 1, NULL);
      n++;
    }
    ae_set_limit(&t, "%s=none", hawq_row[m]);
  }
  printf("%" PRIu32 " optima\n", n);
  assert_int_equal(n, 303);
  cJSON_Delete(doc);
  qv_buf_free(&raw);
  qv_atable_free(&t);
}

static void resnet18_fronts(void **state) {
  qv_atable t;
  qv_buf raw = {0};
  cJSON *doc = NULL;
  (void)state;
  if (!ae_data(&raw, "hawqv3_resnet18_expected_optima.json") || !hawq(&t, NULL)) skip();
  assert_int_equal(qv_json_parse(&doc, (const char *)raw.p, raw.n, NULL), QV_OK);
  qv_alloc *p = ae_problem(&t);
  for (uint32_t row = 0; row < 2; row++) {
    const cJSON *list = item(item(item(doc, "nets"), "resnet18"), row == 0 ? "modelsize_pareto" : "bops_pareto"), *x;
    qv_alloc_front f = {0};
    uint32_t hull = 0, i = 0;
    assert_int_equal(qv_alloc_front_solve(&f, p, row, &(qv_alloc_opts){0}, NULL), QV_OK);
    assert_int_equal(f.n, row == 0 ? 29 : 24);
    for (uint32_t k = 0; k < f.n; k++) hull += f.point[k].hull;
    assert_int_equal(hull, 17);
    assert_true(ae_accepts_front(p, &f));
    cJSON_ArrayForEach(x, list) { /* ascending savings: descending cost */
      assert_true(i < f.n);
      assert_loss(p, f.point[f.n - 1 - i].choice, item(x, "loss_exact")->valuestring);
      i++;
    }
    assert_int_equal(i, f.n);
    qv_alloc_front_clear(&f);
  }
  qv_alloc_free(p);
  cJSON_Delete(doc);
  qv_buf_free(&raw);
  qv_atable_free(&t);
}

/* size, bops and latency together. Decimal prefixes as published with the data; the value itself comes from the certificate. */
static void resnet18_joint(void **state) {
  static const struct {
    int r;
    const char *digits;
  } row[] = {{25, "0.4561661341"}, {50, "0.2114314487"}, {75, "0.0757068240"}};
  qv_atable t;
  (void)state;
  if (!hawq(&t, NULL)) skip();
  for (size_t i = 0; i < 3; i++) {
    for (int m = 0; m < 3; m++) ae_set_limit(&t, "%s=%d%%range", hawq_row[m], row[i].r);
    qv_alloc *p = ae_problem(&t);
    qv_alloc_result r = {0};
    assert_int_equal(qv_alloc_solve(&r, p, &(qv_alloc_opts){0}, NULL), QV_OK);
    assert_true(r.state == QV_ALLOC_OPTIMAL && ae_accepts_result(p, &r));
    mpq_t v, w;
    mpq_inits(v, w, (mpq_ptr)NULL);
    qv_alloc_real(v, p, r.choice, 0);
    assert_true(qv_atable_number(w, row[i].digits));
    mpq_sub(v, v, w);
    mpq_abs(v, v);
    assert_true(mpq_cmp_ui(v, 1, 10000000000u) < 0);
    mpq_clears(v, w, (mpq_ptr)NULL);
    qv_alloc_result_clear(&r);
    qv_alloc_free(p);
  }
  qv_atable_free(&t);
}

/* The nine published bit configurations, layer by layer. */
static void resnet18_published(void **state) {
  static const char *const share[3] = {"0.25", "0.5", "0.75"};
  static const int percent[3] = {25, 50, 75};
  qv_atable t;
  cJSON *doc = NULL;
  uint32_t same = 0;
  (void)state;
  if (!hawq(&t, &doc)) skip();
  for (int m = 0; m < 3; m++) {
    for (int s = 0; s < 3; s++) {
      char key[40];
      (void)snprintf(key, sizeof key, "%s_%s", hawq_key[m], share[s]);
      ae_set_limit(&t, "%s=%d%%range", hawq_row[m], percent[s]);
      qv_alloc *p = ae_problem(&t);
      qv_alloc_result r = {0};
      assert_int_equal(qv_alloc_solve(&r, p, &(qv_alloc_opts){0}, NULL), QV_OK);
      assert_int_equal(r.state, QV_ALLOC_OPTIMAL);
      const cJSON *bits = item(item(doc, "published_bit_configs"), key);
      assert_int_equal(cJSON_GetArraySize(bits), p->n_members);
      for (uint32_t i = 0; i < p->n_members; i++) {
        const char *mine = p->cand[p->group[p->member_of[i]].first + r.choice[p->member_of[i]]].name;
        assert_string_equal(mine, cJSON_GetArrayItem(bits, (int)i)->valuestring);
      }
      same++;
      qv_alloc_result_clear(&r);
      qv_alloc_free(p);
    }
    ae_set_limit(&t, "%s=none", hawq_row[m]);
  }
  assert_int_equal(same, 9);
  cJSON_Delete(doc);
  qv_atable_free(&t);
}

/* The gap table: mean and largest excess over the optimum in percent, and optima, over 99 budgets. Rounded as published: to whole
 * percents, means below 10 to one decimal. */
static void resnet18_gaps(void **state) {
  static const qv_greedy method[4] = {QV_GREEDY_NNCF, QV_GREEDY_NNCF_UNDO, QV_GREEDY_RATIO, QV_GREEDY_RATIO_SKIP};
  static const struct {
    double mean, most;
    int optimal;
  } want[4][3] = {{{32, 85, 29}, {3, 21, 78}, {8, 61, 56}},
                  {{0.7, 19, 90}, {0.3, 10, 96}, {3.8, 61, 73}},
                  {{4.8, 41, 78}, {1.8, 13, 77}, {5.4, 70, 62}},
                  {{3.7, 41, 84}, {0.7, 9, 83}, {1.4, 18, 74}}};
  qv_atable t;
  (void)state;
  if (!hawq(&t, NULL)) skip();
  for (int m = 0; m < 3; m++) {
    double sum[4] = {0}, most[4] = {0};
    int optimal[4] = {0};
    for (int r = 1; r <= 99; r++) {
      ae_set_limit(&t, "%s=%d%%range", hawq_row[m], r);
      qv_alloc *p = ae_problem(&t);
      qv_alloc_result best = {0};
      mpq_t a, b;
      mpq_inits(a, b, (mpq_ptr)NULL);
      uint32_t *x = calloc(p->n_groups, sizeof *x);
      assert_int_equal(qv_alloc_solve(&best, p, &(qv_alloc_opts){.no_cert = true, .no_ties = true}, NULL), QV_OK);
      qv_alloc_real(a, p, best.choice, 0);
      for (int k = 0; k < 4; k++) {
        bool has, tried;
        assert_int_equal(qv_greedy_run(x, &has, &tried, p, method[k], NULL), QV_OK);
        assert_true(has);
        qv_alloc_real(b, p, x, 0);
        optimal[k] += mpq_equal(a, b);
        mpq_div(b, b, a);
        double gap = 100 * (mpq_get_d(b) - 1);
        sum[k] += gap;
        if (gap > most[k]) most[k] = gap;
      }
      free(x);
      mpq_clears(a, b, (mpq_ptr)NULL);
      qv_alloc_result_clear(&best);
      qv_alloc_free(p);
    }
    ae_set_limit(&t, "%s=none", hawq_row[m]);
    for (int k = 0; k < 4; k++) {
      double mean = sum[k] / 99, slack = want[k][m].mean != (int)want[k][m].mean ? 0.05001 : 0.5001;
      printf("%s %s: mean %.2f %%, max %.1f %%, optimal %d\n", hawq_row[m], qv_greedy_name(method[k]), mean, most[k], optimal[k]);
      assert_true(mean - want[k][m].mean <= slack && want[k][m].mean - mean <= slack);
      assert_true(most[k] - want[k][m].most <= 0.5001 && want[k][m].most - most[k] <= 0.5001);
      assert_int_equal(optimal[k], want[k][m].optimal);
    }
  }
  qv_atable_free(&t);
}

/* GLPK 5.0's "INTEGER OPTIMAL" 0.5544541886 on this file is wrong; by enumeration the optimum is 3563797923/7812500000. */
static void the_lp_that_glpk_gets_wrong(void **state) {
  qv_buf raw = {0}, text = {0};
  char *s, *save = NULL, term[16][3][40];
  int n = 0, costs = 0;
  (void)state;
  if (!ae_data(&raw, "glpk50_wrong_optimum.lp")) skip();
  qv_buf_put(&raw, "", 1);
  double need = 0;
  for (s = strtok_r((char *)raw.p, " \n", &save); s != NULL; s = strtok_r(NULL, " \n", &save)) { /* obj: c y0 + ..; row: +c y0 .. >= b */
    if (strcmp(s, "Binary") == 0) break;
    if ((*s == '+' && s[1] != 0) || (*s >= '0' && *s <= '9')) {
      char *y = strtok_r(NULL, " \n", &save);
      assert_non_null(y);
      if (*y != 'y') break;
      int i = (int)strtol(y + 1, NULL, 10);
      assert_true(i >= 0 && i < 16);
      (void)snprintf(term[i][costs > 0], sizeof term[i][0], "%s", s + (*s == '+'));
      n++;
    } else if (strcmp(s, "bops:") == 0) costs = 1;
    else if (strcmp(s, ">=") == 0) {
      s = strtok_r(NULL, " \n", &save);
      assert_non_null(s);
      need = strtod(s, NULL);
    }
  }
  assert_int_equal(n, 32);
  qv_buf_str(&text, "{\"format\":\"qverify-table/1\",\"costs\":[\"saved\"],\"groups\":[");
  for (int i = 0; i < 16; i++)
    qv_buf_printf(&text, "%s{\"name\":\"y%d\",\"candidates\":[{\"name\":\"0\",\"loss\":0,\"cost\":{\"saved\":0}},{\"name\":\"1\",\"loss\":\"%s\",\"cost\":{\"saved\":\"-%s\"}}]}",
                  i > 0 ? "," : "", i, term[i][0], term[i][1]);
  qv_buf_printf(&text, "],\"limits\":{\"saved\":\"-%.0f\"}}", need);
  qv_atable t = table_of(&text);
  uint32_t choice[16];
  solve(&t, "3563797923/7812500000", true, choice);
  static const uint32_t ones[16] = {0, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  assert_memory_equal(choice, ones, sizeof ones);
  qv_atable_free(&t);
  qv_buf_free(&raw);
  qv_buf_free(&text);
}

/* Multiple-choice knapsacks with 1, 4 or 12 rows and decimal limits: the choices of its authors' tests, all unique. */
static void mct_cases(void **state) {
  qv_buf raw = {0};
  cJSON *doc = NULL;
  uint32_t n = 0;
  (void)state;
  if (!ae_data(&raw, "mct_lp_cases.json")) skip();
  assert_int_equal(qv_json_parse(&doc, (const char *)raw.p, raw.n, NULL), QV_OK);
  const cJSON *c;
  cJSON_ArrayForEach(c, item(doc, "cases")) {
    qv_buf text = {0};
    const cJSON *limits = item(c, "limits"), *costs = item(c, "cost_rows_per_candidate"), *want = item(c, "expected_choice"), *g, *s;
    int rows = cJSON_GetArraySize(limits), k = 0;
    qv_buf_str(&text, "{\"format\":\"qverify-table/1\",\"costs\":[");
    for (int m = 0; m < rows; m++) qv_buf_printf(&text, "%s\"r%d\"", m > 0 ? "," : "", m);
    qv_buf_str(&text, "],\"limits\":{");
    for (int m = 0; m < rows; m++) qv_buf_printf(&text, "%s\"r%d\":\"%s\"", m > 0 ? "," : "", m, cJSON_GetArrayItem(limits, m)->valuestring);
    qv_buf_str(&text, "},\"groups\":[");
    cJSON_ArrayForEach(g, item(c, "sensitivity")) {
      int i = 0;
      qv_buf_printf(&text, "%s{\"name\":\"%s\",\"candidates\":[", g == item(c, "sensitivity")->child ? "" : ",", g->string);
      cJSON_ArrayForEach(s, g) {
        qv_buf_printf(&text, "%s{\"name\":\"%d\",\"loss\":\"%s\",\"cost\":{", i > 0 ? "," : "", i, s->valuestring);
        for (int m = 0; m < rows; m++)
          qv_buf_printf(&text, "%s\"r%d\":\"%s\"", m > 0 ? "," : "", m, cJSON_GetArrayItem(cJSON_GetArrayItem(costs, k), m)->valuestring);
        qv_buf_str(&text, "}}");
        i++, k++;
      }
      qv_buf_str(&text, "]}");
    }
    qv_buf_str(&text, "]}");
    qv_atable t = table_of(&text);
    qv_alloc *p = ae_problem(&t);
    qv_alloc_result r = {0};
    assert_int_equal(qv_alloc_solve(&r, p, &(qv_alloc_opts){0}, NULL), QV_OK);
    assert_int_equal(r.state, cJSON_IsNull(want) ? QV_ALLOC_INFEASIBLE : QV_ALLOC_OPTIMAL);
    assert_true(ae_accepts_result(p, &r));
    if (!cJSON_IsNull(want)) {
      assert_true(r.optima == 1 && r.optima_all);
      for (uint32_t i = 0; i < p->n_groups; i++) assert_int_equal(r.choice[i], strtol(cJSON_GetArrayItem(want, (int)i)->valuestring, NULL, 10));
    }
    n++;
    qv_alloc_result_clear(&r);
    qv_alloc_free(p);
    qv_atable_free(&t);
    qv_buf_free(&text);
  }
  assert_int_equal(n, 11);
  cJSON_Delete(doc);
  qv_buf_free(&raw);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(resnet18_optima), cmocka_unit_test(resnet18_fronts),    cmocka_unit_test(resnet18_joint),
      cmocka_unit_test(resnet18_published), cmocka_unit_test(resnet18_gaps), cmocka_unit_test(the_lp_that_glpk_gets_wrong),
      cmocka_unit_test(mct_cases),
  };
  if (!cr_open()) return 1;
  int rc = cmocka_run_group_tests(tests, NULL, NULL);
  cr_close();
  return rc;
}
