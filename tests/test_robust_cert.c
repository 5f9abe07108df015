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
    {"no enumeration", {.no_enumeration = true, .no_points = true, .evidence = true}},
    {"branching", {.no_interval = true, .no_attack = true, .no_enumeration = true, .no_linear = true, .no_points = true, .evidence = true}},
    {"small leaves", {.no_interval = true, .no_attack = true, .no_enumeration = true, .no_linear = true, .leaf_points = 1, .evidence = true}},
    {"leaves", {.no_attack = true, .no_enumeration = true, .leaf_points = 7, .evidence = true}},
    {"linear", {.no_interval = true, .no_attack = true, .no_enumeration = true, .no_branching = true, .evidence = true}},
    {"two threads", {.no_interval = true, .no_enumeration = true, .threads = 2, .evidence = true}},
};
#define N_ENGINES (sizeof engines / sizeof engines[0])

static int accepted[N_ENGINES][QV_VERIFIED + 1], kinds[5], with_points;

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
      kinds[4] += has(&cert, "\nsplit ") && has(&cert, "\npoints\n");
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
  for (size_t k = 0; k < N_ENGINES; k++)
    printf("  %-14s verified %d, falsified %d\n", engines[k].name, accepted[k][QV_VERIFIED], accepted[k][QV_FALSIFIED]);
  printf("  with splits %d, with bounds %d, on logits %d, with multipliers %d, with points leaves %d\n", kinds[0], kinds[1], kinds[2], kinds[3],
         kinds[4]);
  with_points += kinds[4];
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
  assert_true(with_points > 0);
}

/* ---- threads ---------------------------------------------------------------------------------------------------------------- */

static const char zeros[65] = "0000000000000000000000000000000000000000000000000000000000000000";

static void threads(void **state) {
  (void)state;
  int proofs = 0, nodes = 0;
  for (int it = 0; it < effort(60); it++) {
    uint64_t seed = 830000 + (uint64_t)it;
    qv_rng r = {seed};
    qv_err err = {0};
    rt_trial t;
    qv_robust *rob = NULL;
    if (!rt_make(&t, rt_fixed_net(&r, true), &r)) fail();
    assert_int_equal(qv_robust_new(&rob, t.net, &err), QV_OK);
    qv_buf text[3] = {{0}, {0}, {0}};
    for (uint32_t k = 0; k < 3; k++) {
      qv_robust_result res;
      const qv_robust_opts o = {.no_interval = true,
                                .no_attack = true,
                                .no_enumeration = true,
                                .no_linear = true,
                                .no_points = it % 2 == 0,
                                .leaf_points = 5,
                                .threads = 1 + 2 * k,
                                .max_nodes = 200,
                                .evidence = true};
      assert_int_equal(qv_robust_run(&res, rob, &t.q, &o, &err), QV_OK);
      if (res.verdict != QV_UNKNOWN) {
        assert_int_equal(qv_robust_certificate(&text[k], rob, &t.q, &res, zeros, zeros, &err), QV_OK);
        proofs++;
      }
      nodes += (int)res.nodes;
      qv_robust_clear(&res);
      assert_int_equal(text[k].n, text[0].n);
      if (text[k].n > 0) assert_memory_equal(text[k].p, text[0].p, text[0].n);
    }
    for (int k = 0; k < 3; k++) qv_buf_free(&text[k]);
    qv_robust_free(rob);
    rt_clear(&t);
  }
  printf("%d certificates, the same bytes with 1, 3 and 5 threads; %d nodes\n", proofs, nodes);
  assert_true(nodes > proofs);
}

/* ---- leaves that rest on a solver's word ---------------------------------------------------------------------------------------- */

typedef struct {
  rt_trial *t;
  bool lies;
  int asked;
} oracle;

/* Every input of the box inside the restrictions, by the reference kernels. */
static qv_solver_word tell(void *ctx, int64_t *x, const qv_restriction *r, uint32_t n, double seconds) {
  oracle *o = ctx;
  rt_trial *t = o->t;
  assert_true(seconds > 0);
  o->asked++;
  if (o->lies) return QV_WORD_NONE;
  rt_first(t);
  do {
    int says = rt_run(t);
    bool inside = says >= 0;
    for (uint32_t i = 0; inside && i < n; i++) {
      int64_t v = t->v.v[r[i].tensor][r[i].el];
      inside = v >= r[i].itv.lo && v <= r[i].itv.hi;
    }
    if (!inside || says != 1) continue;
    for (uint32_t i = 0; i < t->net->n_in; i++) {
      size_t m = qv_elems(&t->net->tensor[t->net->in[i].tensor]);
      memcpy(x, t->v.v[t->net->in[i].tensor], m * sizeof *x);
      x += m;
    }
    return QV_WORD_FOUND;
  } while (rt_next(t));
  return QV_WORD_NONE;
}

/* They are counted, never VERIFIED, and the checker says the same; what the solver finds is a counterexample. */
static void trusted_leaves(void **state) {
  (void)state;
  int counted = 0, found = 0, lied = 0;
  for (int it = 0; it < effort(600); it++) {
    uint64_t seed = 850000 + (uint64_t)it;
    qv_rng r = {seed};
    qv_err err = {0};
    rt_trial t;
    qv_robust *rob = NULL;
    qv_robust_result res;
    if (!rt_make(&t, rt_fixed_net(&r, true), &r)) fail();
    oracle o = {&t, it % 3 == 0, 0};
    const qv_robust_opts opts = {.no_attack = true, .no_enumeration = true, .no_linear = true, .no_points = true, .max_nodes = 2 + 2 * ((uint32_t)it % 3),
                                 .evidence = true, .solver = tell, .solver_ctx = &o, .solver_name = "oracle"};
    assert_int_equal(qv_robust_new(&rob, t.net, &err), QV_OK);
    if (qv_robust_run(&res, rob, &t.q, &opts, &err) != QV_OK) fail_msg("%s", err.msg);
    if (res.verdict == QV_VERIFIED) assert_true(!t.violated && res.trusted == 0);
    if (res.verdict == QV_FALSIFIED) assert_true(t.violated);
    found += res.verdict == QV_FALSIFIED && o.asked > 0;
    if (res.trusted > 0) {
      qv_buf qir = {0}, prop = {0}, cert = {0};
      char net_sha[QV_SHA256_HEX], prop_sha[QV_SHA256_HEX], want[64];
      assert_int_equal(res.verdict, QV_UNKNOWN);
      assert_true(o.lies || !t.violated);
      counted++;
      lied += t.violated;
      assert_int_equal(qv_qir_write(&qir, t.net, &err), QV_OK);
      property_of(&prop, &t);
      qv_sha256_hex(net_sha, qir.p, qir.n);
      qv_sha256_hex(prop_sha, prop.p, prop.n);
      if (qv_robust_certificate(&cert, rob, &t.q, &res, net_sha, prop_sha, &err) != QV_OK) fail_msg("%s", err.msg);
      ce_answer a = ce_check(&qir, &prop, &cert);
      (void)snprintf(want, sizeof want, "c verdict trusted %u\ns CHECKED\n", res.trusted);
      if (strcmp(a.text, want) != 0 || a.verified) fail_msg("seed %llu: %s", (unsigned long long)seed, a.text);
      qv_buf_free(&qir);
      qv_buf_free(&prop);
      qv_buf_free(&cert);
    }
    qv_robust_clear(&res);
    qv_robust_free(rob);
    rt_clear(&t);
  }
  printf("%d answers that count trusted leaves (%d of them on the word of a liar), %d counterexamples found at leaves\n", counted, lied, found);
  assert_true(counted > 5 && lied > 0);
}

/* ---- forgeries -------------------------------------------------------------------------------------------------------------- */

static bool violated(rt_trial *t) {
  rt_first(t);
  do
    if (rt_run(t) == 1) return true;
  while (rt_next(t));
  return false;
}

/* The box grown by one value after the other until it holds a violation. */
static bool grow(rt_trial *t, qv_rng *r) {
  for (int tries = 0; tries < 40; tries++) {
    uint32_t i = (uint32_t)qv_rng_range(r, 0, t->net->n_in - 1);
    const qv_tensor *x = &t->net->tensor[t->net->in[i].tensor];
    qv_itv *b = &t->box[i][qv_rng_range(r, 0, (int64_t)qv_elems(x) - 1)];
    if (qv_rng_next(r) & 1) b->lo = qv_max64(x->lo, b->lo - 1);
    else b->hi = qv_min64(x->hi, b->hi + 1);
    if (tries % 2 == 1 && violated(t)) return true;
  }
  return false;
}

/* One number behind the header becomes another one. */
static void change_number(qv_buf *out, const qv_buf *in, qv_rng *r) {
  size_t start = (size_t)((const unsigned char *)memmem(in->p, in->n, "\ngoals", 6) - in->p), n = 0, at = 0, len = 0;
  for (int pass = 0; pass < 2; pass++) {
    int64_t pick = n > 0 ? qv_rng_range(r, 0, (int64_t)n - 1) : 0;
    n = 0;
    for (size_t i = start; i + 72 < in->n; i++) {
      bool digit = (in->p[i] >= '0' && in->p[i] <= '9') || in->p[i] == '-';
      if (!digit || in->p[i - 1] != ' ') continue;
      if (pass == 1 && (int64_t)n == pick) {
        at = i;
        for (len = 1; in->p[i + len] >= '0' && in->p[i + len] <= '9';) len++;
      }
      n++;
    }
  }
  if (n == 0) {
    qv_buf_put(out, in->p, in->n);
    return;
  }
  int64_t v = strtoll((const char *)in->p + at, NULL, 10), w = v;
  switch (qv_rng_range(r, 0, 4)) {
  case 0: w = v + 1; break;
  case 1: w = v - 1; break;
  case 2: w = -v; break;
  case 3: w = v / 2; break;
  case 4: w = v * 3 + qv_rng_range(r, -5, 5); break;
  }
  qv_buf_put(out, in->p, at);
  qv_buf_i64(out, w);
  qv_buf_put(out, in->p + at + len, in->n - at - len);
}

static void forgeries(void **state) {
  (void)state;
  int tried = 0, boxes = 0;
  for (int it = 0; it < effort(160); it++) {
    uint64_t seed = 840000 + (uint64_t)it;
    qv_rng r = {seed};
    qv_err err = {0};
    rt_trial t;
    qv_net *net = it % 2 == 0 ? rt_fixed_net(&r, it % 4 == 0)
                              : gen_net(&r, &(gen_opts){.max_in = 4, .in_bits = 2, .max_nodes = 6, .max_elems = 24, .max_k = 30});
    qv_robust *rob = NULL;
    qv_robust_result res;
    const qv_robust_opts o = {
        .no_interval = it % 3 == 0, .no_enumeration = true, .no_points = it % 2 == 0, .leaf_points = 7, .max_nodes = 300, .evidence = true};
    if (!rt_make(&t, net, &r)) {
      rt_clear(&t);
      continue;
    }
    assert_int_equal(qv_robust_new(&rob, t.net, &err), QV_OK);
    assert_int_equal(qv_robust_run(&res, rob, &t.q, &o, &err), QV_OK);
    if (res.verdict == QV_VERIFIED && grow(&t, &r)) {
      qv_buf qir = {0}, prop = {0};
      char net_sha[QV_SHA256_HEX], prop_sha[QV_SHA256_HEX];
      boxes++;
      assert_int_equal(qv_qir_write(&qir, t.net, &err), QV_OK);
      property_of(&prop, &t);
      qv_sha256_hex(net_sha, qir.p, qir.n);
      qv_sha256_hex(prop_sha, prop.p, prop.n);
      for (int k = 0; k < 8; k++) {
        qv_buf cert[2] = {{0}, {0}};
        assert_int_equal(qv_robust_certificate(&cert[0], rob, &t.q, &res, net_sha, prop_sha, &err), QV_OK);
        int last = 0;
        for (int changes = 0; changes < k % 4; changes++, last = 1 - last) {
          cert[1 - last].n = 0;
          change_number(&cert[1 - last], &cert[last], &r);
        }
        ce_rehash(&cert[last]);
        ce_answer a = ce_check(&qir, &prop, &cert[last]);
        tried++;
        if (a.result == CE_BROKEN || (a.result == CE_CHECKED && a.verified)) {
          keep("/tmp/red.qir", &qir);
          keep("/tmp/red.qvp", &prop);
          keep("/tmp/red.qvc", &cert[last]);
          fail_msg("seed %llu: a proof about a box with a counterexample is %s: %s", (unsigned long long)seed, ce_result_name(a.result),
                   a.text);
        }
        qv_buf_free(&cert[0]);
        qv_buf_free(&cert[1]);
      }
      qv_buf_free(&qir);
      qv_buf_free(&prop);
    }
    qv_robust_clear(&res);
    qv_robust_free(rob);
    rt_clear(&t);
  }
  printf("%d proofs, honest and forged, offered for %d boxes with counterexamples: none accepted\n", tried, boxes);
  assert_true(20 * boxes >= effort(160));
}

int main(void) {
  if (!cr_open()) return 1;
  const struct CMUnitTest tests[] = {cmocka_unit_test(random_nets), cmocka_unit_test(fixed_point_nets), cmocka_unit_test(threads),
                                     cmocka_unit_test(trusted_leaves), cmocka_unit_test(forgeries)};
  int bad = cmocka_run_group_tests(tests, NULL, NULL);
  cr_close();
  return bad;
}
