/* Forged certificates of allocation. False claims must be rejected whatever proof stands under them; certificates changed at random
 * may be accepted only if what they claim is true. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/alloc_env.h"
#include "tests/alloc_forge.h"
#include "tests/range_net.h"

enum { OPTIMUM, BY_DP, FRONT, KINDS };

typedef struct {
  qv_alloc *p;
  qv_buf qap, cert;
} sample;

static void clear(sample *s) {
  qv_alloc_free(s->p);
  qv_buf_free(&s->qap);
  qv_buf_free(&s->cert);
}

/* A certificate for a random small problem; false if this table has none of the kind. */
static bool make(sample *s, qv_rng *r, int kind) {
  qv_buf text = {0};
  qv_atable t = {0};
  *s = (sample){0};
  ae_random_table(&text, r, 4, 2, kind != BY_DP && qv_rng_range(r, 0, 1) == 1);
  assert_int_equal(qv_atable_read(&t, (const char *)text.p, text.n, NULL, NULL), QV_OK);
  for (uint32_t m = 0; m < t.n_rows; m++) {
    if (kind == BY_DP ? m > 0 : qv_rng_range(r, 0, 2) == 0) continue;
    t.limit[m].kind = QV_LIMIT_RANGE;
    mpq_set_si(t.limit[m].v, qv_rng_range(r, -3, 100), 1);
  }
  bool ok = qv_alloc_build(&s->p, &t, NULL) == QV_OK;
  if (ok && kind == FRONT && (ok = s->p->n_rows > 0)) {
    qv_alloc_front f = {0};
    assert_int_equal(qv_alloc_front_solve(&f, s->p, 0, &(qv_alloc_opts){0}, NULL), QV_OK);
    qv_buf_put(&s->cert, f.cert.p, f.cert.n);
    qv_alloc_front_clear(&f);
  } else if (ok) {
    qv_alloc_result a = {0};
    ok = qv_alloc_solve(&a, s->p, &(qv_alloc_opts){.engine = kind == BY_DP ? QV_ALLOC_DP : QV_ALLOC_TREE}, NULL) == QV_OK;
    if (ok) qv_buf_put(&s->cert, a.cert.p, a.cert.n);
    qv_alloc_result_clear(&a);
  }
  if (ok) assert_int_equal(qv_alloc_text(&s->qap, s->p, NULL), QV_OK);
  else clear(s);
  qv_buf_free(&text);
  qv_atable_free(&t);
  return ok;
}

/* The checker's answer to a forgery: true = accepted. Anything but a clean yes or no fails the test. */
static bool judge(const sample *s, const qv_buf *forged) {
  char text[512];
  int code = ae_check(&s->qap, forged, text);
  bool yes = strstr(text, "s CHECKED\n") != NULL, no = strstr(text, "s REJECTED\n") != NULL;
  if ((code == 0 && yes && !no) || (code == 1 && no && !yes)) return yes;
  fail_msg("exit %d: %s", code, text);
  return false;
}

static void genuine_claims_are_true(void **state) {
  qv_rng r = {11};
  (void)state;
  for (uint32_t i = 0; i < 30; i++) {
    sample s;
    if (!make(&s, &r, (int)(i % KINDS))) continue;
    assert_true(af_true(&s.cert, s.p));
    assert_true(judge(&s, &s.cert));
    clear(&s);
  }
}

static void random_changes(void **state) {
  qv_rng r = {20261121};
  uint32_t accepted = 0, rejected = 0, untrue = 0;
  (void)state;
  printf("seed %" PRIu64 "\n", r.s);
  for (uint32_t i = 0; i < 36 * rn_multiplier(); i++) {
    sample s;
    if (!make(&s, &r, (int)(i % KINDS))) continue;
    for (int k = 0; k < 8; k++) {
      qv_buf forged = {0};
      af_mutate(&forged, &s.cert, s.p, &r);
      bool yes = judge(&s, &forged), holds = af_true(&forged, s.p);
      if (yes && !holds)
        fail_msg("a false claim was accepted:\n%.*s\n%.*s", (int)s.qap.n, (const char *)s.qap.p, (int)forged.n, (const char *)forged.p);
      accepted += yes;
      rejected += !yes;
      untrue += !holds;
      qv_buf_free(&forged);
    }
    clear(&s);
  }
  printf("%u changed certificates: %u accepted (their claims are true), %u rejected, %u with a false claim\n", accepted + rejected, accepted, rejected, untrue);
  assert_true(rejected > accepted && untrue > 20);
}

/* Every other feasible assignment in place of the optimum, with its own right loss, under the genuine proof; and "infeasible". */
static void false_optima(void **state) {
  qv_rng r = {17};
  uint32_t tried = 0;
  (void)state;
  for (uint32_t i = 0; i < 20 * rn_multiplier(); i++) {
    sample s;
    if (!make(&s, &r, i % 2 == 0 ? OPTIMUM : BY_DP)) continue;
    uint32_t *x = calloc(s.p->n_groups, sizeof *x);
    assert_non_null(x);
    for (int k = 0; k < 10; k++) {
      qv_buf claim = {0}, forged = {0};
      for (uint32_t g = 0; g < s.p->n_groups; g++) x[g] = (uint32_t)qv_rng_range(&r, 0, s.p->group[g].n - 1);
      qv_buf_str(&claim, k == 0 ? "claim infeasible\n" : k % 2 == 0 ? "claim optimum lex\n" : "claim optimum loss\n");
      if (k > 0) af_choice(&claim, s.p, x);
      qv_buf_put(&claim, "", 1);
      af_claim(&forged, &s.cert, (const char *)claim.p);
      bool holds = af_true(&forged, s.p), yes = judge(&s, &forged);
      if (yes && !holds) fail_msg("accepted: %s", (const char *)claim.p);
      tried += !holds;
      qv_buf_free(&claim);
      qv_buf_free(&forged);
    }
    free(x);
    clear(&s);
  }
  printf("%u false claims, all rejected\n", tried);
  assert_true(tried > 30);
}

/* A front with a point left out, whatever point it is. */
static void fronts_with_a_hole(void **state) {
  qv_rng r = {23};
  uint32_t holes = 0;
  (void)state;
  for (uint32_t i = 0; i < 30 * rn_multiplier(); i++) {
    sample s;
    if (!make(&s, &r, FRONT)) continue;
    qv_buf_put(&s.cert, "", 1);
    s.cert.n--;
    const char *points = strstr((const char *)s.cert.p, "\npoints ");
    uint32_t n = points != NULL ? (uint32_t)strtoul(points + 8, NULL, 10) : 0;
    for (uint32_t skip_it = 0; n > 1 && skip_it < n; skip_it++) {
      qv_buf claim = {0}, forged = {0};
      const char *at = strchr(points + 1, '\n') + 1;
      qv_buf_printf(&claim, "claim front 0\npoints %" PRIu32 "\n", n - 1);
      for (uint32_t k = 0; k < n; k++, at = strchr(at, '\n') + 1)
        if (k != skip_it) qv_buf_put(&claim, at, (size_t)(strchr(at, '\n') + 1 - at));
      qv_buf_put(&claim, "", 1);
      af_claim(&forged, &s.cert, (const char *)claim.p);
      assert_false(judge(&s, &forged));
      holes++;
      qv_buf_free(&claim);
      qv_buf_free(&forged);
    }
    clear(&s);
  }
  printf("%u fronts with a hole\n", holes);
  assert_true(holes > 10);
}

/* Bound to the problem and to itself. */
static void wrong_hashes(void **state) {
  qv_rng r = {29};
  sample a, b;
  (void)state;
  while (!make(&a, &r, OPTIMUM)) continue;
  while (!make(&b, &r, OPTIMUM)) continue;
  assert_false(judge(&b, &a.cert)); /* another problem's certificate */
  for (size_t i = 0; i < a.cert.n; i += 1 + a.cert.n / 41) { /* any byte changed, nothing rehashed */
    unsigned char old = a.cert.p[i];
    a.cert.p[i] = (unsigned char)(old ^ 1);
    assert_false(judge(&a, &a.cert));
    a.cert.p[i] = old;
  }
  size_t n = a.cert.n;
  for (a.cert.n = 0; a.cert.n < n; a.cert.n += 1 + n / 23) assert_false(judge(&a, &a.cert)); /* cut short */
  a.cert.n = n;
  assert_true(judge(&a, &a.cert));
  clear(&a);
  clear(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(genuine_claims_are_true), cmocka_unit_test(random_changes), cmocka_unit_test(false_optima),
      cmocka_unit_test(fronts_with_a_hole),      cmocka_unit_test(wrong_hashes),
  };
  if (!cr_open()) return 1;
  int rc = cmocka_run_group_tests(tests, NULL, NULL);
  cr_close();
  return rc;
}
