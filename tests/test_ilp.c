/* Allocation: tables, problems, exact optima against enumeration, fronts, two engines against each other, every certificate past
 * the checker. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ilp/glpk.h"
#include "ilp/greedy.h"
#include "tests/alloc_env.h"
#include "tests/range_net.h"

static qv_atable read_ok(const char *text) {
  qv_atable t = {0};
  qv_err err = {0};
  if (qv_atable_read(&t, text, strlen(text), NULL, &err) != QV_OK) fail_msg("table refused: %s", err.msg);
  return t;
}

static qv_alloc *build_ok(const qv_atable *t) {
  qv_alloc *p = NULL;
  qv_err err = {0};
  if (qv_alloc_build(&p, t, &err) != QV_OK) fail_msg("problem refused: %s", err.msg);
  return p;
}

/* ---- numbers and tables ------------------------------------------------------------------------------------------------ */

static void numbers(void **state) {
  static const struct {
    const char *text, *value; /* NULL = refused */
  } row[] = {{"0", "0"},        {"-12.5e-3", "-1/80"}, {"7/3", "7/3"},    {"-7/21", "-1/3"}, {".5", "1/2"},   {"1e3", "1000"}, {"1E+2", "100"},
             {"5.", NULL},      {"", NULL},            {"-", NULL},       {"1/0", NULL},     {"1//2", NULL},  {"1/-2", NULL},  {"+1", NULL},
             {"1e", NULL},      {"1e401", NULL},       {"0x10", NULL},    {"NaN", NULL},     {"inf", NULL},   {" 1", NULL},    {"1 ", NULL},
             {"1.2.3", NULL},   {"1/2/3", NULL},       {"1e2/3", NULL},   {"--1", NULL},     {"0.10", "1/10"}, {"1e-401", NULL}};
  mpq_t v;
  (void)state;
  mpq_init(v);
  for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
    bool ok = qv_atable_number(v, row[i].text);
    if (ok != (row[i].value != NULL)) fail_msg("'%s' %s", row[i].text, ok ? "accepted" : "refused");
    if (!ok) continue;
    char *s = mpq_get_str(NULL, 10, v);
    assert_string_equal(s, row[i].value);
    free(s);
  }
  mpq_clear(v);
}

#define HEAD "{\"format\":\"qverify-table/1\",\"costs\":[\"size\"],\"groups\":["
#define G(name, cands) "{\"name\":\"" name "\",\"candidates\":[" cands "]}"
#define C(name, loss, size) "{\"name\":\"" name "\",\"loss\":\"" loss "\",\"cost\":{\"size\":\"" size "\"}}"

/* One mistake each, and what the message must say. */
static void refused_tables(void **state) {
  static const struct {
    const char *text, *says;
  } row[] = {
      {"{}", "format"},
      {"{\"format\":\"qverify-table/2\"}", "qverify-table/1"},
      {"{\"format\":\"qverify-table/1\",\"costs\":[],\"groups\":[]}", "no groups"},
      {"{\"format\":\"qverify-table/1\",\"costs\":[],\"groupz\":[]}", "unknown member \"groupz\""},
      {"{\"format\":\"qverify-table/1\",\"costs\":[\"a\",\"a\"],\"groups\":[]}", "there twice"},
      {HEAD G("g", "") "]}", "no candidates"},
      {HEAD G("g", C("a", "1", "1")) "," G("g", C("a", "1", "1")) "]}", "group \"g\" is there twice"},
      {HEAD G("g", C("a", "1", "1") "," C("a", "1", "1")) "]}", "candidate \"a\" is there twice"},
      {HEAD G("g", C("a", "nan", "1")) "]}", "not an exact number"},
      {HEAD G("g", "{\"name\":\"a\",\"loss\":1,\"cost\":{}}") "]}", "every cost"},
      {HEAD G("g", "{\"name\":\"a\",\"cost\":{\"size\":1}}") "]}", "no \"loss\""},
      {HEAD G("g", "{\"name\":\"a\",\"loss\":1,\"cost\":{\"sise\":1}}") "]}", "\"sise\" is not in \"costs\""},
      {HEAD G("g", "{\"name\":\"a\",\"loss\":{\"x\":1,\"y\":2},\"cost\":{\"size\":1}}") "]}", "several losses"},
      {HEAD G("g", C("a", "1", "1")) "],\"limits\":{\"bops\":1}}", "\"bops\" is not in \"costs\""},
      {HEAD G("g", C("a", "1", "1")) "],\"limits\":{\"size\":\"x%\"}}", "percentage"},
      {HEAD G("g", C("a", "1", "1")) "],\"links\":[[\"g\",\"h\"]]}", "no group \"h\""},
      {HEAD G("g", C("a", "1", "1")) "],\"pins\":{\"g\":\"b\"}}", "no candidate \"b\""},
      {HEAD G("g", C("a", "1", "1")) "],\"at_most_precisions\":0}", "at_most_precisions"},
      {HEAD G("g", C("a", "1", "1")) "],\"conversions\":[{\"between\":[\"g\",\"g\"]}]}", "the same"},
      {HEAD G("g", C("a", "1", "1")) "," G("h", C("b", "1", "1")) "],\"pairs\":[{\"groups\":[\"g\",\"h\"],\"terms\":[{\"choice\":[\"a\"]}]}]}", "two candidate"},
      {HEAD G("g", C("a", "1", "1")) "]} x", ""},
  };
  (void)state;
  for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
    qv_atable t = {0};
    qv_err err = {0};
    if (qv_atable_read(&t, row[i].text, strlen(row[i].text), NULL, &err) == QV_OK) fail_msg("accepted: %s", row[i].text);
    if (strstr(err.msg, row[i].says) == NULL) fail_msg("%s: message '%s' lacks '%s'", row[i].text, err.msg, row[i].says);
    assert_null(t.group);
  }
}

static void contradictory_tables(void **state) {
  static const struct {
    const char *text, *says;
  } row[] = {
      {HEAD G("g", C("a", "1", "1")) "," G("h", C("b", "1", "1")) "],\"links\":[[\"g\",\"h\"]]}", "no candidate is common"},
      {HEAD G("g", C("a", "1", "1") "," C("b", "1", "1")) "," G("h", C("a", "1", "1") "," C("b", "1", "1"))
       "],\"links\":[[\"g\",\"h\"]],\"pins\":{\"g\":\"a\",\"h\":\"b\"}}", "no candidate is common"},
      {HEAD G("g", "{\"name\":\"a\",\"precision\":\"4\",\"loss\":1,\"cost\":{\"size\":1}}") "," G("h", C("a", "1", "1"))
       "],\"links\":[[\"g\",\"h\"]]}", "have precisions"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
    qv_atable t = read_ok(row[i].text);
    qv_alloc *p = NULL;
    qv_err err = {0};
    assert_int_equal(qv_alloc_build(&p, &t, &err), QV_E_PARSE);
    if (strstr(err.msg, row[i].says) == NULL) fail_msg("message '%s' lacks '%s'", err.msg, row[i].says);
    qv_atable_free(&t);
  }
}

/* The example of docs/allocation.md section 5, byte for byte; and its optimum, worked out in section 6 of the other document. */
static void documented_example(void **state) {
  static const char table[] =
      "{ \"format\": \"qverify-table/1\", \"name\": \"two layers\", \"costs\": [\"size\", \"bops\"], \"groups\": ["
      "{ \"name\": \"conv1\", \"candidates\": ["
      "{ \"name\": \"w8\", \"precision\": \"8\", \"loss\": \"0.001\", \"cost\": {\"size\": \"288\", \"bops\": \"1e6\"} },"
      "{ \"name\": \"w4\", \"precision\": \"4\", \"loss\": \"1/3\", \"cost\": {\"size\": \"144\", \"bops\": \"0.5e6\"} } ] },"
      "{ \"name\": \"conv2\", \"candidates\": ["
      "{ \"name\": \"w8\", \"precision\": \"8\", \"loss\": \"0\", \"cost\": {\"size\": \"512\", \"bops\": \"4e6\"} },"
      "{ \"name\": \"w4\", \"precision\": \"4\", \"loss\": \"0.02\", \"cost\": {\"size\": \"256\", \"bops\": \"2e6\"} } ] } ],"
      "\"limits\": {\"size\": \"75%\"} }";
  static const char want[] = "qap 1\nloss 1/3000\nrows 2\nrow \"size\" 37 16/1\nrow \"bops\" - 500000/1\nclasses 0 0\ngroups 2\n"
                             "group \"conv1\" 2\ncand \"w8\" 0 3 18 2\ncand \"w4\" 0 1000 9 1\n"
                             "group \"conv2\" 2\ncand \"w8\" 0 0 32 8\ncand \"w4\" 0 60 16 4\npairs 0\nend\n";
  (void)state;
  qv_atable t = read_ok(table);
  qv_alloc *p = build_ok(&t);
  qv_buf text = {0}, hand = {0};
  assert_int_equal(qv_alloc_text(&text, p, NULL), QV_OK);
  assert_int_equal(text.n, sizeof want - 1);
  assert_memory_equal(text.p, want, text.n);
  qv_alloc_result r = {0};
  assert_int_equal(qv_alloc_solve(&r, p, &(qv_alloc_opts){0}, NULL), QV_OK);
  assert_true(r.state == QV_ALLOC_OPTIMAL && r.choice[0] == 0 && r.choice[1] == 1);
  assert_true(ae_accepts_result(p, &r));
  char sha[QV_SHA256_HEX]; /* the certificate that the document writes by hand */
  qv_sha256_hex(sha, text.p, text.n);
  qv_buf_printf(&hand, "qva 1\nproblem %s\nclaim optimum lex\nchoice 63 0 1\nproof tree\nmults 3\nmult 1 1 0 0 99\nmult 0 1 0 0 1\nmult 1 0 0\n"
                       "reduce 0\nsplit 1 1 0\nbound 1\nbound 2\n", sha);
  qv_sha256_hex(sha, hand.p, hand.n);
  qv_buf_printf(&hand, "sha256 %s\n", sha);
  assert_true(ae_accepts(&text, &hand, "c optimum 21/1000"));
  qv_buf_free(&text);
  qv_buf_free(&hand);
  qv_alloc_result_clear(&r);
  qv_alloc_free(p);
  qv_atable_free(&t);
}

static void limit_forms(void **state) {
  static const struct {
    const char *text, *asked; /* asked NULL = refused */
  } row[] = {{"size=100", "100"}, {"size=60%", "12"}, {"size=25%range", "47/4"}, {"size=1e1", "10"}, {"size=x", NULL}, {"bops=1", NULL}, {"size", NULL}, {"size=%", NULL}};
  (void)state;
  /* reference: "b" (9) of g, and the largest (11) of h, which has no "b"; least 4 + 5, largest 9 + 11, so 25 % of the range is 9 + 11/4 */
  qv_atable t = read_ok("{\"format\":\"qverify-table/1\",\"costs\":[\"size\"],\"reference\":\"b\",\"groups\":["
                       G("g", C("a", "1", "4") "," C("b", "0", "9")) "," G("h", C("a", "1", "5") "," C("c", "0", "11") "," C("d", "2", "10")) "]}");
  for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
    qv_err err = {0};
    qv_status st = qv_atable_set_limit(&t, row[i].text, &err);
    assert_int_equal(st, row[i].asked != NULL ? QV_OK : QV_E_ARG);
    if (st != QV_OK) continue;
    qv_alloc *p = build_ok(&t);
    char *s = mpq_get_str(NULL, 10, p->row[0].asked);
    assert_string_equal(s, row[i].asked);
    free(s);
    qv_alloc_free(p);
  }
  qv_atable_free(&t);
}

/* ---- against enumeration --------------------------------------------------------------------------------------------------- */

static bool within(const ae_truth *all, uint32_t i, const qv_alloc *p) {
  for (uint32_t m = 0; m < p->n_rows; m++)
    if (p->row[m].limited && mpq_cmp(all->v[(size_t)i * all->columns + 1 + m], p->row[m].asked) > 0) return false;
  return true;
}

/* -1, 0, 1: (loss, limited costs) of assignment i against the values in w. */
static int compare(const ae_truth *all, uint32_t i, mpq_t *w, const qv_alloc *p) {
  mpq_t *v = &all->v[(size_t)i * all->columns];
  for (uint32_t m = 0; m < all->columns; m++) {
    int s = m > 0 && !p->row[m - 1].limited ? 0 : mpq_cmp(v[m], w[m]);
    if (s != 0) return s < 0 ? -1 : 1;
  }
  return 0;
}

/* The result says exactly what enumeration says: state, values, number of optima. */
static void same_as_truth(const qv_alloc *p, const qv_alloc_result *r, const ae_truth *all) {
  uint32_t feasible = 0, equal = 0;
  mpq_t *got = calloc(all->columns, sizeof *got);
  assert_non_null(got);
  for (uint32_t m = 0; m < all->columns; m++) mpq_init(got[m]);
  for (uint32_t m = 0; r->has_choice && m < all->columns; m++) qv_alloc_real(got[m], p, r->choice, m);
  for (uint32_t i = 0; i < all->n; i++) {
    if (!within(all, i, p)) continue;
    feasible++;
    if (!r->has_choice) continue;
    int s = compare(all, i, got, p);
    if (s < 0) fail_msg("something better exists");
    equal += s == 0;
  }
  assert_int_equal(r->state, feasible > 0 ? QV_ALLOC_OPTIMAL : QV_ALLOC_INFEASIBLE);
  if (feasible > 0) {
    assert_true(equal > 0 && r->lex && r->first && r->optima_all);
    assert_int_equal(r->optima, equal);
    assert_true(qv_alloc_feasible(p, r->choice));
  }
  for (uint32_t m = 0; m < all->columns; m++) mpq_clear(got[m]);
  free(got);
}

/* Points of the front by enumeration: each point of the answer is feasible and no assignment dominates it or escapes it. */
static void front_is_true(const qv_alloc *p, const qv_alloc_front *f, uint32_t row, const ae_truth *all) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < all->n; i++) { /* count the nondominated value pairs, each at its first assignment */
    mpq_t *v = &all->v[(size_t)i * all->columns];
    bool keep = within(all, i, p);
    for (uint32_t k = 0; keep && k < all->n; k++) {
      mpq_t *w = &all->v[(size_t)k * all->columns];
      if (k == i || !within(all, k, p)) continue;
      int a = mpq_cmp(w[1 + row], v[1 + row]), b = mpq_cmp(w[0], v[0]);
      keep = !(a <= 0 && b <= 0 && (a < 0 || b < 0 || k < i));
    }
    if (!keep) continue;
    count++;
    bool found = false;
    mpq_t x, y;
    mpq_inits(x, y, (mpq_ptr)NULL);
    for (uint32_t k = 0; k < f->n && !found; k++) {
      qv_alloc_real(x, p, f->point[k].choice, 1 + row);
      qv_alloc_real(y, p, f->point[k].choice, 0);
      found = mpq_equal(x, v[1 + row]) && mpq_equal(y, v[0]);
    }
    mpq_clears(x, y, (mpq_ptr)NULL);
    assert_true(found);
  }
  assert_int_equal(f->n, count);
  assert_int_equal(f->state, count > 0 ? QV_ALLOC_OPTIMAL : QV_ALLOC_INFEASIBLE);
}

/* Limits at values that are attained, so that they bind exactly. */
static void random_limits(qv_atable *t, const ae_truth *all, qv_rng *r) {
  for (uint32_t m = 0; m < t->n_rows && all->n > 0; m++) {
    if (qv_rng_range(r, 0, 3) == 0) continue;
    mpq_set(t->limit[m].v, all->v[(size_t)qv_rng_range(r, 0, all->n - 1) * all->columns + 1 + m]);
    t->limit[m].kind = QV_LIMIT_VALUE;
  }
}

static void check_random(qv_rng *r, uint32_t groups, bool couplings, uint32_t *seen) {
  qv_buf text = {0};
  qv_atable t = {0};
  ae_truth all;
  qv_alloc *p = NULL;
  qv_err err = {0};
  ae_random_table(&text, r, groups, (uint32_t)qv_rng_range(r, 0, 3), couplings);
  if (qv_atable_read(&t, (const char *)text.p, text.n, NULL, &err) != QV_OK) fail_msg("%s\n%.*s", err.msg, (int)text.n, (const char *)text.p);
  assert_true(ae_truth_run(&all, &t, 1 << 16));
  random_limits(&t, &all, r);
  qv_status st = qv_alloc_build(&p, &t, &err);
  if (st != QV_OK) {
    assert_true(st == QV_E_PARSE && all.n == 0); /* links, pins and forbidden pairs that leave nothing */
    seen[3]++;
    goto done;
  }
  qv_alloc_result a = {0}, b = {0};
  assert_int_equal(qv_alloc_solve(&a, p, &(qv_alloc_opts){0}, &err), QV_OK);
  same_as_truth(p, &a, &all);
  assert_true(ae_accepts_result(p, &a));
  seen[a.state]++;
  st = qv_alloc_solve(&b, p, &(qv_alloc_opts){.engine = QV_ALLOC_DP}, NULL);
  if (st == QV_OK) {
    same_as_truth(p, &b, &all);
    assert_true(ae_accepts_result(p, &b));
    if (b.has_choice) assert_memory_equal(a.choice, b.choice, p->n_groups * sizeof *a.choice); /* the same first optimum */
    seen[4]++;
  } else assert_int_equal(st, QV_E_UNSUP);
  if (p->n_rows > 0) {
    qv_alloc_front f = {0};
    uint32_t row = (uint32_t)qv_rng_range(r, 0, p->n_rows - 1);
    assert_int_equal(qv_alloc_front_solve(&f, p, row, &(qv_alloc_opts){0}, &err), QV_OK);
    front_is_true(p, &f, row, &all);
    assert_true(ae_accepts_front(p, &f));
    seen[f.by_dp ? 5 : 6]++;
    qv_alloc_front_clear(&f);
  }
  qv_alloc_result_clear(&a);
  qv_alloc_result_clear(&b);
done:
  qv_alloc_free(p);
  ae_truth_clear(&all);
  qv_atable_free(&t);
  qv_buf_free(&text);
}

static void random_against_enumeration(void **state) {
  qv_rng r = {20261120};
  uint32_t seen[7] = {0}, n = 120 * (uint32_t)rn_multiplier();
  (void)state;
  printf("seed %" PRIu64 "\n", r.s);
  for (uint32_t i = 0; i < n; i++) check_random(&r, i % 3 == 0 ? 3 : 5, i % 2 == 0, seen);
  printf("%u optimal, %u infeasible, %u impossible tables, %u by dominance, fronts %u + %u\n", seen[1], seen[2], seen[3], seen[4], seen[5], seen[6]);
  if (n >= 100) assert_true(seen[1] > 20 && seen[2] > 5 && seen[4] > 5 && seen[5] > 5 && seen[6] > 20);
}

/* ---- larger: engines against each other -------------------------------------------------------------------------------------- */

static void larger_tables(void **state) {
  qv_rng r = {7};
  (void)state;
  for (uint32_t i = 0; i < 3 * rn_multiplier(); i++) {
    qv_buf text = {0};
    ae_layer_table(&text, &r, 50, 4, i % 3 == 0 ? 1 : 3);
    qv_atable t = {0};
    assert_int_equal(qv_atable_read(&t, (const char *)text.p, text.n, NULL, NULL), QV_OK);
    for (uint32_t m = 0; m < t.n_rows; m++) {
      t.limit[m].kind = QV_LIMIT_PERCENT;
      mpq_set_si(t.limit[m].v, qv_rng_range(&r, 40, 80), 1);
    }
    qv_alloc *p = build_ok(&t);
    qv_alloc_result a = {0}, b = {0};
    assert_int_equal(qv_alloc_solve(&a, p, &(qv_alloc_opts){0}, NULL), QV_OK);
    assert_true(a.state != QV_ALLOC_UNKNOWN && ae_accepts_result(p, &a));
    if (t.n_rows == 1) {
      assert_int_equal(qv_alloc_solve(&b, p, &(qv_alloc_opts){.engine = QV_ALLOC_DP}, NULL), QV_OK);
      assert_true(ae_accepts_result(p, &b));
      assert_memory_equal(a.choice, b.choice, p->n_groups * sizeof *a.choice);
    }
    qv_alloc_result_clear(&a);
    qv_alloc_result_clear(&b);
    qv_alloc_free(p);
    qv_atable_free(&t);
    qv_buf_free(&text);
  }
}

/* Pair terms of either sign on a chain and between all groups. What the checker accepts is optimal; enumeration covers the small. */
static void pair_tables(void **state) {
  qv_rng r = {13};
  (void)state;
  for (uint32_t i = 0; i < 2 + rn_multiplier(); i++) {
    qv_buf text = {0};
    uint32_t n = i % 2 == 0 ? 40 : 11;
    bool first = true;
    ae_layer_table(&text, &r, n, 3, 1);
    text.n--; /* the closing brace */
    qv_buf_str(&text, ",\"limits\":{\"c0\":\"50%\"},\"pairs\":[");
    for (uint32_t g = 0; g < n; g++)
      for (uint32_t h = g + 1; h < (i % 2 == 0 && g + 2 < n ? g + 2 : n); h++) {
        qv_buf_printf(&text, "%s{\"groups\":[\"g%" PRIu32 "\",\"g%" PRIu32 "\"],\"terms\":[", first ? "" : ",", g, h);
        first = false;
        for (uint32_t k = 0; k < 4; k++)
          qv_buf_printf(&text, "%s{\"choice\":[\"%s\",\"%s\"],\"loss\":\"%" PRId64 "e-9\"}", k > 0 ? "," : "", k & 1 ? "4" : "6", k & 2 ? "4" : "6",
                        qv_rng_range(&r, -4000, 4000));
        qv_buf_str(&text, "]}");
      }
    qv_buf_str(&text, "]}");
    qv_buf_put(&text, "", 1);
    qv_atable t = read_ok((const char *)text.p);
    qv_alloc *p = build_ok(&t);
    qv_alloc_result a = {0};
    assert_int_equal(qv_alloc_solve(&a, p, &(qv_alloc_opts){0}, NULL), QV_OK);
    assert_int_equal(a.state, QV_ALLOC_OPTIMAL);
    assert_true(ae_accepts_result(p, &a));
    qv_alloc_result_clear(&a);
    qv_alloc_free(p);
    qv_atable_free(&t);
    qv_buf_free(&text);
  }
}

/* Many equal optima: counted up to a limit, the first one reported. */
static void ties(void **state) {
  qv_buf text = {0};
  (void)state;
  qv_buf_str(&text, HEAD);
  for (int g = 0; g < 12; g++) qv_buf_printf(&text, "%s{\"name\":\"g%d\",\"candidates\":[" C("a", "1", "1") "," C("b", "1", "1") "]}", g > 0 ? "," : "", g);
  qv_buf_str(&text, "]}");
  qv_buf_put(&text, "", 1);
  qv_atable t = read_ok((const char *)text.p);
  qv_alloc *p = build_ok(&t);
  qv_alloc_result r = {0};
  assert_int_equal(qv_alloc_solve(&r, p, &(qv_alloc_opts){0}, NULL), QV_OK);
  assert_true(r.state == QV_ALLOC_OPTIMAL && r.first && !r.optima_all && r.optima == 1000);
  for (int g = 0; g < 12; g++) assert_int_equal(r.choice[g], 0);
  qv_alloc_result_clear(&r);
  qv_alloc_free(p);
  qv_atable_free(&t);
  qv_buf_free(&text);
}

/* A search that may not take a step claims nothing. */
static void limits_of_the_search(void **state) {
  qv_rng r = {9};
  qv_buf text = {0};
  (void)state;
  ae_layer_table(&text, &r, 40, 4, 3);
  qv_buf_put(&text, "", 1);
  qv_atable t = read_ok((const char *)text.p);
  for (uint32_t m = 0; m < 3; m++) {
    t.limit[m].kind = QV_LIMIT_PERCENT;
    mpq_set_ui(t.limit[m].v, 55, 1);
  }
  qv_alloc *p = build_ok(&t);
  qv_alloc_result a = {0};
  assert_int_equal(qv_alloc_solve(&a, p, &(qv_alloc_opts){.max_nodes = 1}, NULL), QV_OK);
  assert_int_equal(a.state, QV_ALLOC_UNKNOWN);
  assert_int_equal(a.cert.n, 0);
  assert_true(a.has_choice && qv_alloc_feasible(p, a.choice));
  qv_alloc_result_clear(&a);
  qv_alloc_free(p);
  qv_atable_free(&t);
  qv_buf_free(&text);
}

/* GLPK, well scaled and in its child process, proposes something that keeps the limits; nothing of it reaches our streams. */
static void glpk_proposes(void **state) {
  qv_rng r = {3};
  uint32_t kept = 0, choice[30];
  (void)state;
  for (int i = 0; i < 5; i++) {
    qv_buf text = {0};
    ae_layer_table(&text, &r, 30, 4, 2);
    qv_buf_put(&text, "", 1);
    qv_atable t = read_ok((const char *)text.p);
    for (uint32_t m = 0; m < 2; m++) {
      t.limit[m].kind = QV_LIMIT_PERCENT;
      mpq_set_ui(t.limit[m].v, 60, 1);
    }
    qv_alloc *p = build_ok(&t);
    qv_question q = {0};
    bool tried = false;
    assert_int_equal(qv_question_init(&q, p, NULL, 0, QV_ATABLE_NONE, NULL, NULL), QV_OK);
    assert_int_equal(qv_glpk_propose(choice, &tried, &q, 5, NULL), QV_OK);
    kept += tried && qv_question_feasible(&q, choice);
    qv_question_clear(&q);
    qv_alloc_free(p);
    qv_atable_free(&t);
    qv_buf_free(&text);
  }
  assert_true(kept >= 4); /* (its tolerances may break a limit by a unit) */
}

/* ---- greedy methods, by hand --------------------------------------------------------------------------------------------------- */

/* Three groups, two widths, extra loss d and saving v at 4 bit: (1, 4), (2, 20), (3, 6); limit: save at least 6 of 30. */
static void greedy_by_hand(void **state) {
  static const struct {
    qv_greedy m;
    uint32_t narrow; /* bit g: group g is at 4 bit in the end */
  } row[] = {{QV_GREEDY_AMP, 3},        /* group 0 saves 4, then group 1: 24, enough                                */
             {QV_GREEDY_NNCF, 3},       /* the same                                                                 */
             {QV_GREEDY_NNCF_UNDO, 2},  /* group 1 back leaves 4, no; group 0 back leaves 20                        */
             {QV_GREEDY_RATIO, 2},      /* d/v: group 2 wide (24 left), group 0 wide (20 left), group 1 would leave 0 */
             {QV_GREEDY_RATIO_SKIP, 2}, {QV_GREEDY_RATIO_UNDO, 2},
             {QV_GREEDY_RUSCI, 2},      /* the largest share is group 1                                             */
             {QV_GREEDY_EAGL, 2},       /* gains 333, 667, 1000: 0 and 2 wide add 10 of 24 and gain most            */
             {QV_GREEDY_HAWQ, 2}};      /* the optimum of two widths                                                */
  (void)state;
  qv_atable t = read_ok(HEAD G("g0", C("8", "0", "8") "," C("4", "1", "4")) "," G("g1", C("8", "0", "40") "," C("4", "2", "20")) ","
                           G("g2", C("8", "0", "12") "," C("4", "3", "6")) "],\"limits\":{\"size\":54}}");
  qv_alloc *p = build_ok(&t);
  for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
    uint32_t x[3] = {9, 9, 9}, narrow;
    bool has = false, tried = false;
    assert_int_equal(qv_greedy_run(x, &has, &tried, p, row[i].m, NULL), QV_OK);
    assert_true(tried && has);
    narrow = x[0] | x[1] << 1 | x[2] << 2;
    if (narrow != row[i].narrow) fail_msg("%s: %u instead of %u", qv_greedy_name(row[i].m), narrow, row[i].narrow);
  }
  uint32_t x[3];
  assert_true(qv_greedy_uniform(x, p, "4") && x[0] == 1 && x[1] == 1 && x[2] == 1);
  assert_false(qv_greedy_uniform(x, p, "5"));
  qv_alloc_free(p);
  qv_atable_free(&t);
}

/* Every greedy answer that claims to keep the limits does, and none beats the optimum. */
static void greedy_never_beats_optimum(void **state) {
  qv_rng r = {5};
  (void)state;
  for (uint32_t i = 0; i < 10 * rn_multiplier(); i++) {
    qv_buf text = {0};
    ae_layer_table(&text, &r, 12, (uint32_t)qv_rng_range(&r, 2, 4), 1 + i % 3);
    qv_buf_put(&text, "", 1);
    qv_atable t = read_ok((const char *)text.p);
    for (uint32_t m = 0; m < t.n_rows; m++) {
      t.limit[m].kind = QV_LIMIT_PERCENT;
      mpq_set_si(t.limit[m].v, qv_rng_range(&r, 45, 90), 1);
    }
    qv_alloc *p = build_ok(&t);
    qv_alloc_result best = {0};
    mpz_t a, b;
    mpz_inits(a, b, (mpz_ptr)NULL);
    assert_int_equal(qv_alloc_solve(&best, p, &(qv_alloc_opts){.no_cert = true}, NULL), QV_OK);
    if (best.has_choice) qv_alloc_sum(a, p, best.choice, 0);
    for (unsigned m = 0; m < QV_GREEDY_N; m++) {
      uint32_t *x = calloc(p->n_groups, sizeof *x);
      bool has, tried;
      assert_int_equal(qv_greedy_run(x, &has, &tried, p, (qv_greedy)m, NULL), QV_OK);
      if (has) {
        assert_true(best.state == QV_ALLOC_OPTIMAL && qv_alloc_feasible(p, x));
        qv_alloc_sum(b, p, x, 0);
        assert_true(mpz_cmp(b, a) >= 0);
      }
      free(x);
    }
    mpz_clears(a, b, (mpz_ptr)NULL);
    qv_alloc_result_clear(&best);
    qv_alloc_free(p);
    qv_atable_free(&t);
    qv_buf_free(&text);
  }
}

/* ---- what would have to move ---------------------------------------------------------------------------------------------------- */

static void relaxation(void **state) {
  qv_rng r = {31};
  (void)state;
  for (uint32_t i = 0; i < 30 * rn_multiplier(); i++) {
    qv_buf text = {0};
    qv_atable t = {0};
    ae_truth all;
    qv_alloc *p = NULL, *x = NULL;
    ae_random_table(&text, &r, 4, 2, i % 2 == 0);
    assert_int_equal(qv_atable_read(&t, (const char *)text.p, text.n, NULL, NULL), QV_OK);
    assert_true(ae_truth_run(&all, &t, 1 << 12));
    random_limits(&t, &all, &r);
    if (qv_alloc_build(&p, &t, NULL) == QV_OK) {
      qv_alloc_result s = {0};
      mpq_t least, v;
      bool any = false;
      mpq_inits(least, v, (mpq_ptr)NULL);
      p->row[0].limited = false;
      for (uint32_t k = 0; k < all.n; k++)
        if (within(&all, k, p) && (!any || mpq_cmp(all.v[(size_t)k * 3 + 1], least) < 0)) mpq_set(least, all.v[(size_t)k * 3 + 1]), any = true;
      p->row[0].limited = true;
      assert_int_equal(qv_alloc_relax(&x, p, 0, NULL), QV_OK);
      assert_int_equal(qv_alloc_solve(&s, x, &(qv_alloc_opts){0}, NULL), QV_OK);
      assert_int_equal(s.state, any ? QV_ALLOC_OPTIMAL : QV_ALLOC_INFEASIBLE);
      assert_true(ae_accepts_result(x, &s));
      if (any) {
        qv_alloc_real(v, x, s.choice, 0);
        assert_true(mpq_equal(v, least));
      }
      mpq_clears(least, v, (mpq_ptr)NULL);
      qv_alloc_result_clear(&s);
      qv_alloc_free(x);
      qv_alloc_free(p);
    }
    ae_truth_clear(&all);
    qv_atable_free(&t);
    qv_buf_free(&text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(numbers),
      cmocka_unit_test(refused_tables),
      cmocka_unit_test(contradictory_tables),
      cmocka_unit_test(limit_forms),
      cmocka_unit_test(documented_example),
      cmocka_unit_test(random_against_enumeration),
      cmocka_unit_test(larger_tables),
      cmocka_unit_test(pair_tables),
      cmocka_unit_test(ties),
      cmocka_unit_test(limits_of_the_search),
      cmocka_unit_test(glpk_proposes),
      cmocka_unit_test(greedy_by_hand),
      cmocka_unit_test(greedy_never_beats_optimum),
      cmocka_unit_test(relaxation),
  };
  if (!cr_open()) return 1;
  int rc = cmocka_run_group_tests(tests, NULL, NULL);
  cr_close();
  return rc;
}
