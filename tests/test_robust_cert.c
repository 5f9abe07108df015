/* Robustness certificates against the checker, a separate process: every one that the engines give is accepted, whatever engines
 * are switched on; what is accepted is true by enumeration; nothing that contradicts a counterexample is accepted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/robust_evidence.h"
#include "ir/property.h"
#include "tests/cert_env.h"
#include "tests/gen.h"
#include "tests/robust_trial.h"

static int effort(int n) {
  const char *e = getenv("QV_TEST_MULT");
  double k = e != NULL ? atof(e) : 1.0;
  return (int)(n * (k > 0 ? k : 1.0)) + 1;
}

static const struct {
  const char *name;
  qv_robust_opts o;
} engines[] = {
    {"all", {.evidence = true}},
    {"no enumeration", {.no_enumeration = true, .evidence = true}},
    {"branching", {.no_interval = true, .no_attack = true, .no_enumeration = true, .no_linear = true, .evidence = true}},
    {"linear", {.no_interval = true, .no_attack = true, .no_enumeration = true, .no_branching = true, .evidence = true}},
    {"two threads", {.no_interval = true, .no_enumeration = true, .threads = 2, .evidence = true}},
};
#define N_ENGINES (sizeof engines / sizeof engines[0])

static int accepted[N_ENGINES][QV_VERIFIED + 1], kinds[4];

/* The query of a trial as a property. */
static void property_of(qv_buf *out, const rt_trial *t) {
  qv_err err = {0};
  qv_property p;
  assert_int_equal(qv_property_whole(&p, t->net, 0, &err), QV_OK);
  p.claim = QV_CLAIM_ROBUST;
  p.cond = t->cond;
  for (uint32_t i = 0; i < t->net->n_in; i++) {
    size_t n = qv_elems(&t->net->tensor[t->net->in[i].tensor]);
    p.in[i].n = n;
    p.in[i].itv = QV_NEW(&p.arena, n, qv_itv);
    memcpy(p.in[i].itv, t->box[i], n * sizeof(qv_itv));
  }
  if (qv_property_write(out, &p, &err) != QV_OK) fail_msg("%s", err.msg);
  qv_property_clear(&p);
}

static bool has(const qv_buf *b, const char *word) { return memmem(b->p, b->n, word, strlen(word)) != NULL; }

static void keep(const char *name, const qv_buf *b) {
  FILE *f = fopen(name, "wb");
  if (f == NULL) return;
  (void)fwrite(b->p, 1, b->n, f);
  (void)fclose(f);
}

static void check_trial(rt_trial *t, uint64_t seed) {
  qv_err err = {0};
  qv_robust *r = NULL;
  qv_buf qir = {0}, prop = {0};
  char net_sha[QV_SHA256_HEX], prop_sha[QV_SHA256_HEX];
  if (qv_robust_new(&r, t->net, &err) != QV_OK || qv_qir_write(&qir, t->net, &err) != QV_OK) fail_msg("%s", err.msg);
  property_of(&prop, t);
  qv_sha256_hex(net_sha, qir.p, qir.n);
  qv_sha256_hex(prop_sha, prop.p, prop.n);
  for (size_t k = 0; k < N_ENGINES; k++) {
    qv_robust_result res;
    qv_robust_opts o = engines[k].o;
    o.seed = seed;
    o.max_nodes = 400;
    if (qv_robust_run(&res, r, &t->q, &o, &err) != QV_OK) fail_msg("seed %llu, %s: %s", (unsigned long long)seed, engines[k].name, err.msg);
    qv_buf cert = {0};
    qv_status st = qv_robust_certificate(&cert, r, &t->q, &res, net_sha, prop_sha, &err);
    assert_int_equal(st, res.verdict == QV_UNKNOWN ? QV_E_ARG : QV_OK);
    err = (qv_err){0};
    if (st == QV_OK) {
      ce_answer a = ce_check(&qir, &prop, &cert);
      if (a.result != CE_CHECKED || a.verified != (res.verdict == QV_VERIFIED)) {
        keep("/tmp/red.qir", &qir);
        keep("/tmp/red.qvp", &prop);
        keep("/tmp/red.qvc", &cert);
        fail_msg("seed %llu, %s: %s, %s (/tmp/red.*)", (unsigned long long)seed, engines[k].name, ce_result_name(a.result), a.text);
      }
      if (a.verified) assert_false(t->violated || t->trapped);
      accepted[k][res.verdict]++;
      kinds[0] += has(&cert, "\nsplit ");
      kinds[1] += has(&cert, "\nbound ");
      kinds[2] += has(&cert, "\ngoals logits");
      kinds[3] += has(&cert, "\ndual ");
    }
    qv_buf_free(&cert);
    qv_robust_clear(&res);
  }
  qv_buf_free(&qir);
  qv_buf_free(&prop);
  qv_robust_free(r);
}

static void print_counts(const char *what) {
  printf("%s, accepted:\n", what);
  for (size_t k = 0; k < N_ENGINES; k++) printf("  %-14s verified %d, falsified %d\n", engines[k].name, accepted[k][QV_VERIFIED], accepted[k][QV_FALSIFIED]);
  printf("  with splits %d, with bounds %d, on logits %d, with multipliers %d\n", kinds[0], kinds[1], kinds[2], kinds[3]);
  memset(accepted, 0, sizeof accepted);
  memset(kinds, 0, sizeof kinds);
}

static void random_nets(void **state) {
  (void)state;
  for (int it = 0; it < effort(250); it++) {
    uint64_t seed = 710000 + (uint64_t)it;
    qv_rng r = {seed};
    qv_net *net = gen_net(&r, &(gen_opts){.max_in = 4, .in_bits = 1 + (uint32_t)it % 3, .max_nodes = 6, .max_elems = 24, .max_k = 30});
    rt_trial t;
    if (rt_make(&t, net, &r)) check_trial(&t, seed);
    rt_clear(&t);
  }
  print_counts("random nets of every kind");
}

static void fixed_point_nets(void **state) {
  (void)state;
  for (int it = 0; it < effort(150); it++) {
    uint64_t seed = 810000 + (uint64_t)it;
    qv_rng r = {seed};
    rt_trial t;
    if (rt_make(&t, rt_fixed_net(&r, it % 3 != 0), &r)) check_trial(&t, seed);
    rt_clear(&t);
  }
  print_counts("fixed-point nets");
}

int main(void) {
  if (!ce_open()) return 1;
  const struct CMUnitTest tests[] = {cmocka_unit_test(random_nets), cmocka_unit_test(fixed_point_nets)};
  int bad = cmocka_run_group_tests(tests, NULL, NULL);
  ce_close();
  return bad;
}
