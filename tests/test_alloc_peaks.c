/* Allocation with peaks (costs that are the largest of several rows) against enumeration; tables of 52 layers under several limits at once;
 * the LP bound against its definition, and against published figures (QV_DATA/alloc). */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

static double now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- peaks --------------------------------------------------------------------------------------------------------------------- */

enum { RAMS = 4 };

/* Costs size and ram@0..3, of which some candidates name only some. */
static void random_table(qv_buf *out, qv_rng *r) {
  qv_buf_str(out, "{\"format\":\"qverify-table/1\",\"costs\":[\"ram@0\",\"size\",\"ram@1\",\"ram@2\",\"ram@3\"],"
                  "\"peaks\":{\"ram\":[\"ram@0\",\"ram@1\",\"ram@2\",\"ram@3\"]},\"groups\":[");
  int groups = (int)qv_rng_range(r, 1, 5);
  for (int g = 0; g < groups; g++) {
    qv_buf_printf(out, "%s{\"name\":\"g%d\",\"candidates\":[", g > 0 ? "," : "", g);
    int n = (int)qv_rng_range(r, 1, 4);
    for (int c = 0; c < n; c++) {
      qv_buf_printf(out, "%s{\"name\":\"%d\",\"loss\":\"%" PRId64 "/7\",\"cost\":{\"size\":%" PRId64, c > 0 ? "," : "", c, qv_rng_range(r, 0, 20), qv_rng_range(r, 1, 9));
      for (int m = 0; m < RAMS; m++)
        if (qv_rng_range(r, 0, 2) > 0) qv_buf_printf(out, ",\"ram@%d\":\"%" PRId64 "/%d\"", m, qv_rng_range(r, 0, 12), m == 3 ? 2 : 1);
      qv_buf_str(out, "}}");
    }
    qv_buf_str(out, "]}");
  }
  qv_buf_str(out, "]}");
}

/* The largest ram row of assignment i; row 1 of the table is size. */
static void peak_of(mpq_t out, const ae_truth *all, uint32_t i) {
  static const uint32_t column[RAMS] = {1, 3, 4, 5};
  for (int m = 0; m < RAMS; m++)
    if (m == 0 || mpq_cmp(all->v[(size_t)i * all->columns + column[m]], out) > 0) mpq_set(out, all->v[(size_t)i * all->columns + column[m]]);
}

static void test_peaks(void **state) {
  (void)state;
  qv_rng r = {20261};
  uint32_t feasible = 0, infeasible = 0;
  bool checker = cr_open();
  for (int i = 0; i < 300 * (int)rn_multiplier(); i++) {
    qv_buf text = {0};
    ae_truth all;
    random_table(&text, &r);
    qv_atable t = table_of(&text);
    assert_true(ae_truth_run(&all, &t, 1024));
    int64_t ram = qv_rng_range(&r, 0, 40), size = qv_rng_range(&r, 1, 45);
    ae_set_limit(&t, "ram=%" PRId64, ram);
    ae_set_limit(&t, "size=%" PRId64, size);
    mpq_t best, v;
    bool any = false;
    mpq_inits(best, v, (mpq_ptr)NULL);
    for (uint32_t k = 0; k < all.n; k++) {
      peak_of(v, &all, k);
      if (mpq_cmp_si(v, ram, 1) > 0 || mpq_cmp_si(all.v[(size_t)k * all.columns + 2], size, 1) > 0) continue;
      if (!any || mpq_cmp(all.v[(size_t)k * all.columns], best) < 0) mpq_set(best, all.v[(size_t)k * all.columns]);
      any = true;
    }
    qv_alloc *p = ae_problem(&t);
    qv_alloc_result x = {0};
    assert_int_equal(p->n_costs, 2);
    assert_string_equal(p->cost[0].name, "ram");
    assert_int_equal(qv_alloc_solve(&x, p, &(qv_alloc_opts){0}, NULL), QV_OK);
    assert_int_equal(x.state, any ? QV_ALLOC_OPTIMAL : QV_ALLOC_INFEASIBLE);
    if (any) {
      qv_alloc_real(v, p, x.choice, 0);
      if (!mpq_equal(v, best)) fail_msg("table %d: loss %g, enumeration %g", i, mpq_get_d(v), mpq_get_d(best));
      qv_alloc_cost_of(v, p, x.choice, &p->cost[0]);
      assert_true(mpq_cmp_si(v, ram, 1) <= 0);
    }
    if (checker && i % 10 == 0) assert_true(ae_accepts_result(p, &x));
    feasible += any;
    infeasible += !any;
    mpq_clears(best, v, (mpq_ptr)NULL);
    qv_alloc_result_clear(&x);
    qv_alloc_free(p);
    ae_truth_clear(&all);
    qv_atable_free(&t);
    qv_buf_free(&text);
  }
  if (checker) cr_close();
  printf("%" PRIu32 " feasible, %" PRIu32 " not\n", feasible, infeasible);
  assert_true(feasible > 50 && infeasible > 50);
}

/* Percentages of a peak are of its largest row's totals. Row a: reference 30, least 10; row b: 20 and 16: full 30, range 16..30. */
static void test_percent(void **state) {
  (void)state;
  static const char text[] = "{\"format\":\"qverify-table/1\",\"costs\":[\"a\",\"b\"],\"peaks\":{\"m\":[\"a\",\"b\"]},\"groups\":[{\"name\":\"g\",\"candidates\":["
                             "{\"name\":\"8\",\"loss\":0,\"cost\":{\"a\":30,\"b\":20}},{\"name\":\"4\",\"loss\":1,\"cost\":{\"a\":10,\"b\":16}}]}]}";
  static const struct {
    const char *limit;
    double want;
  } k[] = {{"m=50%", 15}, {"m=50%range", 23}, {"m=0%range", 16}, {"m=17.5", 17.5}};
  qv_atable t = {0};
  assert_int_equal(qv_atable_read(&t, text, sizeof text - 1, NULL, NULL), QV_OK);
  for (size_t i = 0; i < sizeof k / sizeof k[0]; i++) {
    ae_set_limit(&t, "%s", k[i].limit);
    qv_alloc *p = ae_problem(&t);
    assert_true(p->cost[0].limited && p->row[0].limited && p->row[1].limited);
    if (mpq_get_d(p->cost[0].asked) != k[i].want) fail_msg("%s is %g", k[i].limit, mpq_get_d(p->cost[0].asked));
    assert_true(mpq_cmp_ui(p->cost[0].full, 30, 1) == 0);
    qv_alloc_free(p);
  }
  assert_int_equal(qv_atable_set_limit(&t, "a=3", NULL), QV_E_ARG);
  qv_atable_free(&t);
}

/* ---- larger tables --------------------------------------------------------------------------------------------------------------- */

/* 52 layers, 4 to 7 candidates, three limits at once, and memory at 51 steps: proved, and accepted by the checker. */
static void test_layers(void **state) {
  (void)state;
  qv_rng r = {52};
  bool checker = cr_open();
  for (int i = 0; i < 8 * (int)rn_multiplier(); i++) {
    qv_buf text = {0};
    ae_layer_table(&text, &r, 52, 4 + (uint32_t)i % 4, 3);
    if (i % 2 == 1) { /* a row of memory for every pair of neighbours: bits times elements, as a fourth and further costs */
      qv_buf more = {0}, rows = {0}, peak = {0};
      const char *s = (const char *)text.p, *end = s + text.n;
      for (int m = 0; m < 51; m++) {
        qv_buf_printf(&rows, ",\"ram@%d\"", m);
        qv_buf_printf(&peak, "%s\"ram@%d\"", m > 0 ? "," : "", m);
      }
      int g = -1;
      int64_t elems = 0;
      for (const char *c; s < end; s = c) {
        c = memchr(s + 1, '{', (size_t)(end - s - 1));
        if (c == NULL) c = end;
        if (strncmp(s, "{\"name\":\"g", 10) == 0) g++, elems = qv_rng_range(&r, 1000, 200000);
        qv_buf_put(&more, s, (size_t)(c - s));
        int bits = 0;
        if (c > s + 9 && sscanf(s, "{\"name\":\"%d\"", &bits) == 1 && bits > 0 && c < end) { /* the cost object follows */
          qv_buf_printf(&more, "{");
          for (int m = g - 1; m <= g; m++)
            if (m >= 0 && m < 51) qv_buf_printf(&more, "\"ram@%d\":%" PRId64 ",", m, elems * bits / 8);
          c++;
        }
      }
      qv_buf_free(&text);
      text = (qv_buf){0};
      const char *costs = strstr((const char *)more.p, "\"c2\"]"), *groups = costs + 4;
      qv_buf_put(&text, more.p, (size_t)(groups - (const char *)more.p));
      qv_buf_printf(&text, "%.*s],\"peaks\":{\"ram\":[%.*s]}", (int)rows.n, (const char *)rows.p, (int)peak.n, (const char *)peak.p);
      qv_buf_put(&text, groups + 1, more.n - (size_t)(groups + 1 - (const char *)more.p));
      qv_buf_free(&more);
      qv_buf_free(&rows);
      qv_buf_free(&peak);
    }
    qv_atable t = table_of(&text);
    for (int m = 0; m < 3; m++) ae_set_limit(&t, "c%d=65%%", m);
    if (i % 2 == 1) ae_set_limit(&t, "ram=75%%");
    qv_alloc *p = ae_problem(&t);
    qv_alloc_result x = {0};
    double start = now();
    assert_int_equal(qv_alloc_solve(&x, p, &(qv_alloc_opts){0}, NULL), QV_OK);
    printf("%d candidates, %" PRIu32 " limited rows: %" PRIu64 " nodes, %.3f s\n", 4 + i % 4, i % 2 == 1 ? 54 : 3, x.nodes, now() - start);
    assert_int_equal(x.state, QV_ALLOC_OPTIMAL);
    assert_true(qv_alloc_feasible(p, x.choice));
    if (checker) assert_true(ae_accepts_result(p, &x));
    qv_alloc_result_clear(&x);
    qv_alloc_free(p);
    qv_atable_free(&t);
    qv_buf_free(&text);
  }
  if (checker) cr_close();
}

/* ---- the LP bound ------------------------------------------------------------------------------------------------------------------ */

/* Largest of sum_g min_c (loss + l * cost) - l * limit over l >= 0: attained at 0 or where two candidates of a group are equal. */
static void lagrangian(mpq_t best, const qv_alloc *p) {
  mpq_t l, s, low, v;
  bool any = false;
  mpq_inits(l, s, low, v, (mpq_ptr)NULL);
  for (uint32_t g = 0; g < p->n_groups; g++)
    for (uint32_t a = 0; a < p->group[g].n; a++)
      for (uint32_t b = 0; b <= a; b++) {
        uint32_t x = p->group[g].first + a, y = p->group[g].first + b;
        mpq_set_ui(l, 0, 1);
        if (a != b) {
          mpz_sub(mpq_numref(l), qv_alloc_val(p, x, 0), qv_alloc_val(p, y, 0));
          mpz_sub(mpq_denref(l), qv_alloc_val(p, y, 1), qv_alloc_val(p, x, 1));
          if (mpz_sgn(mpq_denref(l)) == 0) continue;
          mpq_canonicalize(l);
          if (mpq_sgn(l) < 0) continue;
        }
        mpq_div(s, p->row[0].asked, p->row[0].unit);
        mpq_mul(s, s, l);
        mpq_neg(s, s);
        for (uint32_t h = 0; h < p->n_groups; h++)
          for (uint32_t c = 0; c < p->group[h].n; c++) {
            mpq_set_z(v, qv_alloc_val(p, p->group[h].first + c, 1));
            mpq_mul(v, v, l);
            mpz_addmul(mpq_numref(v), mpq_denref(v), qv_alloc_val(p, p->group[h].first + c, 0));
            if (c == 0 || mpq_cmp(v, low) < 0) mpq_set(low, v);
            if (c + 1 == p->group[h].n) mpq_add(s, s, low);
          }
        if (!any || mpq_cmp(s, best) > 0) mpq_set(best, s);
        any = true;
      }
  mpq_mul(best, best, p->loss_unit);
  mpq_clears(l, s, low, v, (mpq_ptr)NULL);
}

static void test_lp(void **state) {
  (void)state;
  qv_rng r = {77};
  uint32_t n = 0;
  for (int i = 0; i < 400 * (int)rn_multiplier(); i++) {
    qv_buf text = {0};
    ae_random_table(&text, &r, 6, 1, false);
    qv_atable t = table_of(&text);
    ae_set_limit(&t, "%s=%" PRId64 "%%range", t.row[0], qv_rng_range(&r, 0, 100));
    qv_alloc *p = ae_problem(&t);
    mpq_t want, got;
    bool known;
    mpq_inits(want, got, (mpq_ptr)NULL);
    assert_int_equal(qv_lp_bound(got, &known, p, NULL), QV_OK);
    if (known) {
      lagrangian(want, p);
      if (!mpq_equal(want, got)) fail_msg("table %d: %.17g instead of %.17g", i, mpq_get_d(got), mpq_get_d(want));
      n++;
    }
    mpq_clears(want, got, (mpq_ptr)NULL);
    qv_alloc_free(p);
    qv_atable_free(&t);
    qv_buf_free(&text);
  }
  printf("%" PRIu32 " bounds\n", n);
  assert_true(n > 200);
}

/* The bounds that come with the HAWQ-V3 optima, which another program computed, to their digits. */
static void test_lp_published(void **state) {
  (void)state;
  static const char *const row[3] = {"size", "bops", "latency"}, *const key[3] = {"modelsize", "bops", "latency"};
  qv_buf raw = {0}, hawq = {0}, text = {0};
  cJSON *doc = NULL;
  uint32_t n = 0;
  if (!ae_data(&raw, "hawqv3_resnet18_expected_optima.json") || !ae_data(&hawq, "hawqv3_resnet18.json")) skip();
  ae_hawq_table(&text, &hawq);
  qv_atable t = table_of(&text);
  assert_int_equal(qv_json_parse(&doc, (const char *)raw.p, raw.n, NULL), QV_OK);
  const cJSON *net = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(doc, "nets"), "resnet18"), *x;
  for (int m = 0; m < 3; m++) {
    cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(net, key[m])) {
      mpq_t got;
      bool known;
      double want = strtod(cJSON_GetObjectItemCaseSensitive(x, "lp_relaxation_bound")->valuestring, NULL);
      mpq_init(got);
      ae_set_limit(&t, "%s=%s%%range", row[m], cJSON_GetObjectItemCaseSensitive(x, "r_percent")->valuestring);
      qv_alloc *p = ae_problem(&t);
      assert_int_equal(qv_lp_bound(got, &known, p, NULL), QV_OK);
      assert_true(known);
      if (fabs(mpq_get_d(got) - want) > 1e-9 * want + 1e-11) fail_msg("%s %u: %.15g instead of %.15g", row[m], n, mpq_get_d(got), want);
      mpq_clear(got);
      qv_alloc_free(p);
      n++;
    }
    ae_set_limit(&t, "%s=none", row[m]);
  }
  assert_int_equal(n, 303);
  cJSON_Delete(doc);
  qv_atable_free(&t);
  qv_buf_free(&raw);
  qv_buf_free(&hawq);
  qv_buf_free(&text);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_peaks), cmocka_unit_test(test_percent), cmocka_unit_test(test_layers), cmocka_unit_test(test_lp),
                                     cmocka_unit_test(test_lp_published)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
