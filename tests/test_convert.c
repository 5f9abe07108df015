/* AMP's phase 3 as a table of its own: against enumeration of the first table by the definition (docs/allocation.md section 6), on random tables
 * with edges, pair terms, forbidden pairs, limits; certificates past the checker. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ilp/convert.h"
#include "tests/alloc_env.h"
#include "tests/range_net.h"

enum { G = 5, C = 3 };

static int64_t upto(qv_rng *r, int64_t n) { return qv_rng_range(r, 0, n - 1); }

static void put_edges(qv_buf *out, qv_rng *r, int groups) {
  bool first = true;
  qv_buf_str(out, "],\"edges\":[");
  for (int i = 0; groups > 1 && i < 6; i++) {
    int g = (int)upto(r, groups), h = (int)upto(r, groups);
    if (g == h) continue;
    qv_buf_printf(out, "%s{\"between\":[\"g%d\",\"g%d\"]", first ? "" : ",", g, h);
    if (upto(r, 4) > 0) qv_buf_printf(out, ",\"weight\":\"%" PRId64 "/%" PRId64 "\"", upto(r, 5), 1 + upto(r, 3));
    qv_buf_str(out, "}");
    first = false;
  }
}

static void random_table(qv_buf *out, qv_rng *r) {
  int groups = (int)qv_rng_range(r, 2, G), n[G];
  bool tangled = upto(r, 2) == 0, wild = upto(r, 2) == 0; /* wild: costs and losses in no order, with ties */
  qv_buf_str(out, "{\"format\":\"qverify-table/1\",\"costs\":[\"size\",\"bops\"],\"groups\":[");
  for (int g = 0; g < groups; g++) {
    n[g] = (int)qv_rng_range(r, 1, C);
    qv_buf_printf(out, "%s{\"name\":\"g%d\",\"candidates\":[", g > 0 ? "," : "", g);
    for (int c = 0; c < n[g]; c++) {
      int64_t b = n[g] - c; /* mostly: more cost, less loss */
      qv_buf_printf(out, "%s{\"name\":\"c%d\",\"precision\":\"%" PRId64 "\",\"loss\":\"%" PRId64 "/7\",\"cost\":{\"size\":%" PRId64 ",\"bops\":\"%" PRId64 "/3\"}}",
                    c > 0 ? "," : "", c, upto(r, 3), (wild ? 0 : 4 * (C - b)) + upto(r, 5), 3 * b + upto(r, 3), (wild ? 0 : 5 * b) + upto(r, 5));
    }
    qv_buf_str(out, "]}");
  }
  put_edges(out, r, groups);
  qv_buf_str(out, "]");
  if (tangled) {
    int a = (int)upto(r, n[0]), b = (int)upto(r, n[1]);
    qv_buf_printf(out, ",\"pairs\":[{\"groups\":[\"g0\",\"g1\"],\"terms\":[{\"choice\":[\"c%d\",\"c%d\"],\"forbidden\":true}", a, b);
    if (n[0] > 1) qv_buf_printf(out, ",{\"choice\":[\"c%d\",\"c%d\"],\"loss\":1,\"cost\":{\"size\":%" PRId64 ",\"bops\":\"%" PRId64 "/2\"}}", (a + 1) % n[0], b, qv_rng_range(r, -2, 3), upto(r, 5));
    qv_buf_str(out, "]}]");
  }
  qv_buf_printf(out, ",\"limits\":{\"size\":\"%" PRId64 "%%\"}}", qv_rng_range(r, 75, 120));
}

/* ---- the definition, on the table's own numbers ------------------------------------------------------------------------------------ */

static void cut(mpq_t out, const qv_atable *t, const uint32_t *x, bool ones) {
  mpq_t one;
  mpq_init(one);
  mpq_set_ui(one, 1, 1);
  mpq_set_ui(out, 0, 1);
  for (uint32_t i = 0; i < t->n_edges; i++) {
    const qv_atable_edge *e = &t->edge[i];
    if (strcmp(t->group[e->g].cand[x[e->g]].label, t->group[e->h].cand[x[e->h]].label) == 0 || mpq_sgn(e->weight[0]) == 0) continue;
    mpq_add(out, out, ones ? one : e->weight[0]);
  }
  mpq_clear(one);
}

/* False: a forbidden pair. column: 0 loss, 1 size, 2 bops. */
static bool total(mpq_t out, const qv_atable *t, const uint32_t *x, int column) {
  mpq_set_ui(out, 0, 1);
  for (uint32_t g = 0; g < t->n_groups; g++) mpq_add(out, out, t->group[g].cand[x[g]].val[column]);
  for (uint32_t i = 0; i < t->n_pairs; i++) {
    const qv_atable_pair *q = &t->pair[i];
    if (x[q->g] != q->a || x[q->h] != q->b) continue;
    if (q->forbidden) return false;
    mpq_add(out, out, q->val[column]);
  }
  return true;
}

static bool size_fits(const qv_atable *t, const qv_alloc *p, const uint32_t *x) {
  mpq_t v;
  mpq_init(v);
  bool ok = total(v, t, x, 1) && mpq_cmp(v, p->row[0].asked) <= 0;
  mpq_clear(v);
  return ok;
}

static bool next(uint32_t *x, const qv_atable *t) {
  for (uint32_t g = 0; g < t->n_groups; g++) {
    if (++x[g] < t->group[g].n) return true;
    x[g] = 0;
  }
  return false;
}

/* Least bops by enumeration. False: nothing is allowed. */
static bool truth(mpq_t best, const qv_atable *t, const qv_alloc *p, const uint32_t *from, mpq_srcptr alpha, bool ones) {
  uint32_t x[G] = {0};
  bool any = false;
  mpq_t most, v;
  mpq_inits(most, v, (mpq_ptr)NULL);
  cut(most, t, from, ones);
  mpq_mul(most, most, alpha);
  do {
    bool ok = size_fits(t, p, x);
    for (uint32_t g = 0; g < t->n_groups; g++) {
      const qv_atable_cand *now = &t->group[g].cand[from[g]], *c = &t->group[g].cand[x[g]];
      ok = ok && (c == now || (mpq_cmp(c->val[2], now->val[2]) >= 0 && mpq_cmp(c->val[0], now->val[0]) <= 0));
    }
    cut(v, t, x, ones);
    if (!ok || mpq_cmp(v, most) > 0) continue;
    (void)total(v, t, x, 2);
    if (!any || mpq_cmp(v, best) < 0) mpq_set(best, v);
    any = true;
  } while (next(x, t));
  mpq_clears(most, v, (mpq_ptr)NULL);
  return any;
}

/* ---- */

static uint32_t answers, none, fewer;

static void one(const qv_atable *t, const qv_alloc *p, const uint32_t *from, mpq_srcptr alpha, bool ones, bool certify) {
  qv_flows flows = {0};
  const char *kind[G * C];
  bool keep[G * C];
  qv_buf json = {0};
  qv_atable t3 = {0};
  qv_alloc *p3 = NULL;
  qv_alloc_result r = {0};
  uint32_t x[G];
  mpq_t best, v, was;
  mpq_inits(best, v, was, (mpq_ptr)NULL);
  for (uint32_t c = 0; c < p->n_cands; c++) kind[c] = p->cand[c].label;
  assert_int_equal(qv_flows_of(&flows, t, p, ones, NULL), QV_OK);
  const qv_convert_question q = {.p = p, .flows = &flows, .kind = kind, .from = from, .row = 1, .alpha = alpha};
  assert_int_equal(qv_convert_table(&json, keep, &q, NULL), QV_OK);
  assert_int_equal(qv_atable_read(&t3, (const char *)json.p, json.n, NULL, NULL), QV_OK);
  assert_int_equal(qv_alloc_build(&p3, &t3, NULL), QV_OK);
  assert_int_equal(qv_alloc_solve(&r, p3, &(qv_alloc_opts){.no_cert = !certify}, NULL), QV_OK);
  bool any = truth(best, t, p, from, alpha, ones);
  assert_int_equal(r.state, any ? QV_ALLOC_OPTIMAL : QV_ALLOC_INFEASIBLE);
  if (certify) assert_true(ae_accepts_result(p3, &r));
  if (any) {
    memcpy(x, r.choice, p->n_groups * sizeof *x);
    qv_convert_back(x, p, keep);
    assert_true(total(v, t, x, 2));
    assert_true(mpq_equal(v, best));
    assert_true(size_fits(t, p, x));
    cut(was, t, from, ones);
    cut(v, t, x, ones);
    fewer += mpq_cmp(v, was) < 0;
    mpq_mul(was, was, alpha);
    assert_true(mpq_cmp(v, was) <= 0);
    qv_flows_cut(was, &flows, p, kind, x);
    assert_true(mpq_equal(v, was));
  }
  answers += any;
  none += !any;
  mpq_clears(best, v, was, (mpq_ptr)NULL);
  qv_alloc_result_clear(&r);
  qv_alloc_free(p3);
  qv_atable_free(&t3);
  qv_buf_free(&json);
  qv_flows_clear(&flows);
}

static void random_tables(void **state) {
  static const char *const alphas[] = {"1", "0.8", "1/2", "0"};
  uint64_t seed = 20261120;
  int n = 400 * (int)rn_multiplier();
  (void)state;
  printf("seed %" PRIu64 "\n", seed);
  for (int i = 0; i < n; i++) {
    qv_rng r = {seed + (uint64_t)i};
    qv_buf text = {0};
    qv_atable t = {0};
    qv_alloc *p = NULL;
    uint32_t from[G];
    mpq_t alpha;
    qv_err err = {0};
    random_table(&text, &r);
    if (qv_atable_read(&t, (const char *)text.p, text.n, NULL, &err) != QV_OK) fail_msg("table refused: %s", err.msg);
    assert_int_equal(qv_alloc_build(&p, &t, NULL), QV_OK);
    mpq_init(alpha);
    for (uint32_t g = 0; g < t.n_groups; g++) from[g] = (uint32_t)upto(&r, t.group[g].n);
    for (size_t k = 0; k < sizeof alphas / sizeof *alphas; k++) {
      assert_true(qv_atable_number(alpha, alphas[k]));
      one(&t, p, from, alpha, i % 2 == 0, i < 40);
    }
    mpq_clear(alpha);
    qv_alloc_free(p);
    qv_atable_free(&t);
    qv_buf_free(&text);
  }
  printf("%" PRIu32 " answers (%" PRIu32 " with fewer conversions), %" PRIu32 " without\n", answers, fewer, none);
  assert_true(answers > 200 && none > 200 && fewer > 100);
}

/* A refused table for each mistake. */
static void refused(void **state) {
#define HEAD "{\"format\":\"qverify-table/1\",\"costs\":[],\"groups\":[{\"name\":\"g\",\"candidates\":[{\"name\":\"a\",\"loss\":0,\"cost\":{}}]},{\"name\":\"h\",\"candidates\":[{\"name\":\"a\",\"loss\":0,\"cost\":{}}]}],\"edges\":"
  static const char *const bad[] = {HEAD "{}}", HEAD "[{}]}", HEAD "[{\"between\":[\"g\",\"g\"]}]}", HEAD "[{\"between\":[\"g\",\"x\"]}]}",
                                    HEAD "[{\"between\":[\"g\",\"h\"],\"weight\":-1}]}", HEAD "[{\"between\":[\"g\",\"h\"],\"weight\":\"NaN\"}]}",
                                    HEAD "[{\"between\":[\"g\",\"h\"],\"loss\":1}]}"};
  static const char good[] = HEAD "[{\"between\":[\"g\",\"h\"],\"weight\":\"1/3\"},{\"between\":[\"h\",\"g\"]}]}";
  qv_atable t = {0};
  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(qv_atable_read(&t, bad[i], strlen(bad[i]), NULL, NULL), QV_E_PARSE);
  assert_int_equal(qv_atable_read(&t, good, strlen(good), NULL, NULL), QV_OK);
  assert_int_equal(t.n_edges, 2);
  qv_atable_free(&t);
}

static int setup(void **state) {
  (void)state;
  return cr_open() ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  cr_close();
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(random_tables), cmocka_unit_test(refused)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
