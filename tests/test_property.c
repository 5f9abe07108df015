/* Properties: canonical text both ways, every mistake refused with its line, conditions evaluated exactly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <gmp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/property.h"
#include "ir/qir.h"
#include "ir/base/rng.h"

/* Two inputs (4 and 1 elements), two outputs (4 and 1 elements): outputs are the inputs. */
static const char net_text[] = "qir 1\nsource \"\"\nsha256 \"\"\nprofile \"\"\nformat \"qir\"\nnotes 0\ntensors 2\n"
                               "tensor 0 name \"a\" type i8 dims 2 2 2 scale none const no\n"
                               "tensor 1 name \"b\" type i64 dims 1 1 scale none const no\n"
                               "inputs 2\ninput 0 tensor 0 lo -128 hi 127 end int name \"a\"\n"
                               "input 1 tensor 1 lo -1000000000000 hi 1000000000000 end int name \"b\"\n"
                               "nodes 0\noutputs 2\noutput 0 tensor 0 end int name \"a\" tail none\n"
                               "output 1 tensor 1 end int name \"b\" tail none\nend\n";

static qv_net *net;

static int make_net(void **state) {
  qv_err err = {0};
  (void)state;
  if (qv_qir_read(&net, net_text, sizeof net_text - 1, &err) == QV_OK) return 0;
  print_message("%s (line %" PRId64 ")\n", err.msg, err.line);
  return 1;
}

static int free_net(void **state) {
  (void)state;
  qv_net_free(net);
  return 0;
}

/* Accepted, and written back byte for byte. */
static void accept(const char *text) {
  qv_property p;
  qv_err err = {0};
  qv_buf out = {0};
  qv_status st = qv_property_read(&p, text, strlen(text), net, &err);
  if (st != QV_OK) fail_msg("line %" PRId64 ": %s\n%s", err.line, err.msg, text);
  assert_int_equal(qv_property_write(&out, &p, &err), QV_OK);
  assert_int_equal(out.n, strlen(text));
  assert_memory_equal(out.p, text, out.n);
  if (p.claim == QV_CLAIM_ROBUST) assert_int_equal(qv_condition_check(&p.cond, net, &err), QV_OK);
  assert_false(p.claim == QV_CLAIM_ROBUST && qv_property_is_default(&p));
  qv_buf_free(&out);
  qv_property_clear(&p);
}

#define HEAD "qvp 1\nclaim robust\n"
#define BOX "input 0 all\ninput 1 all\n"

static void test_round_trips(void **state) {
  (void)state;
  accept("qvp 1\nclaim overflow\nacc-bits 0\ninput 0 all\ninput 1 all\nend\n");
  accept(HEAD BOX "keep first 0 output 0\nend\n");
  accept(HEAD BOX "keep last 3 output 0\nend\n");
  accept(HEAD BOX "keep first 0 output 1\nend\n");
  accept(HEAD "input 0 range -5 7\ninput 1 range 0 0\nkeep last 1 output 0\nend\n");
  accept(HEAD "input 0 elements 4\n12 20\n0 0\n-3 5\n100 108\ninput 1 all\nkeep first 2 output 0\nend\n");
  accept(HEAD "input 0 points 1\n1 2 3 4\ninput 1 points 1\n-7\nkeep first 2 output 0\nend\n");
  accept(HEAD "input 0 points 2\n1 2 3 4\n-128 127 0 -1\ninput 1 points 2\n-1000000000000\n1000000000000\nkeep first 2 output 0\nend\n");
  accept(HEAD BOX "violations 1\nviolation 1\nge 0 1 1 0 0\nend\n");
  accept(HEAD BOX "violations 2\nviolation 2\nge 0 1 1 0 0\nge -5 2 -1 0 3 7 1 0\nviolation 1\n"
                  "ge 4611686018427387904 2 -4611686018427387904 0 1 4611686018427387904 0 2\nend\n");
  /* counts are compared with the text that is left: as short as it can be, many times */
  qv_buf b = {0};
  qv_buf_str(&b, HEAD BOX "violations 500\n");
  for (int i = 0; i < 500; i++) qv_buf_str(&b, "violation 1\nge 0 1 1 0 0\n");
  qv_buf_put(&b, "end\n", 5); /* with the NUL */
  accept((const char *)b.p);
  qv_buf_free(&b);
  qv_buf_str(&b, HEAD BOX "violations 1\nviolation 500\n");
  for (int i = 0; i < 500; i++) qv_buf_str(&b, "ge 0 1 1 0 0\n");
  qv_buf_put(&b, "end\n", 5); /* with the NUL */
  accept((const char *)b.p);
  qv_buf_free(&b);
  qv_buf_str(&b, HEAD "input 0 points 300\n");
  for (int i = 0; i < 300; i++) qv_buf_str(&b, "0 0 0 0\n");
  qv_buf_str(&b, "input 1 points 300\n");
  for (int i = 0; i < 300; i++) qv_buf_str(&b, "0\n");
  qv_buf_put(&b, "keep first 0 output 0\nend\n", 27);
  accept((const char *)b.p);
  qv_buf_free(&b);
}

typedef struct {
  int line;
  const char *text, *message;
} mistake;

static const mistake mistakes[] = {
    {1, "", "qvp 1"},
    {1, "qvp 2\nclaim robust\n", "qvp 1"},
    {2, "qvp 1\nclaim robustness\n", "claim"},
    {2, "qvp 1\nclaim  robust\n", "claim"},
    {3, HEAD "acc-bits 0\n" BOX "keep first 0 output 0\nend\n", "input 0"},
    {3, "qvp 1\nclaim overflow\ninput 0 all\n", "acc-bits"},
    {3, HEAD "input 1 all\ninput 0 all\nkeep first 0 output 0\nend\n", "input 0"},
    {4, HEAD "input 0 all\nkeep first 0 output 0\nend\n", "input 1"},
    {5, HEAD BOX "input 2 all\nkeep first 0 output 0\nend\n", "condition"},
    {3, HEAD "input 0 range 5 4\n", "empty interval"},
    {3, HEAD "input 0 range -129 4\n", "leaves the range"},
    {3, HEAD "input 0 range 0 128\n", "leaves the range"},
    {3, HEAD "input 0 range 0  1\n", "interval"},
    {3, HEAD "input 0 range -0 1\n", "interval"},
    {3, HEAD "input 0 range 00 1\n", "interval"},
    {3, HEAD "input 0 range +0 1\n", "interval"},
    {3, HEAD "input 0 range 0 1 \n", "end of the line"},
    {3, HEAD "input 0 elements 3\n0 0\n0 0\n0 0\n", "elements 4"},
    {6, HEAD "input 0 elements 4\n0 0\n0 0\n3 2\n0 0\n", "empty interval"},
    {3, HEAD "input 0 points 0\n", "points"},
    {3, HEAD "input 0 points 16777217\n", "points"},
    {3, HEAD "input 0 points 16777216\n1 2 3 4\n", "points of 4"},
    {4, HEAD "input 0 points 1\n1 2 3\ninput 1 points 1\n0\nkeep first 0 output 0\nend\n", "elements"},
    {4, HEAD "input 0 points 1\n1 2 3 4 5\ninput 1 points 1\n0\nkeep first 0 output 0\nend\n", "end of the line"},
    {4, HEAD "input 0 points 1\n1 2 3 128\ninput 1 points 1\n0\nkeep first 0 output 0\nend\n", "127"},
    {4, HEAD "input 0 points 1\n1 2 3  4\ninput 1 points 1\n0\nkeep first 0 output 0\nend\n", "not an integer"},
    {5, HEAD "input 0 points 1\n1 2 3 4\ninput 1 all\nkeep first 0 output 0\nend\n", "points"},
    {5, HEAD "input 0 points 1\n1 2 3 4\ninput 1 points 2\n0\n0\nkeep first 0 output 0\nend\n", "points"},
    {4, HEAD "input 0 all\ninput 1 points 1\n0\nkeep first 0 output 0\nend\n", "expected 'all'"},
    {4, "qvp 1\nclaim overflow\nacc-bits 0\ninput 0 points 1\n1 2 3 4\n", "expected 'all'"},
    {5, HEAD BOX "end\n", "condition"},
    {5, HEAD BOX "keep 0 output 0\nend\n", "keep first"},
    {5, HEAD BOX "keep first 4 output 0\nend\n", "4 elements"},
    {5, HEAD BOX "keep first 1 output 1\nend\n", "1 elements"},
    {5, HEAD BOX "keep first 0 output 2\nend\n", "below 2"},
    {5, HEAD BOX "keep first -1 output 0\nend\n", "output"},
    {5, HEAD BOX "keep first 0 output 0 \nend\n", "end of the line"},
    {6, HEAD BOX "keep first 0 output 0\nkeep first 0 output 0\nend\n", "end"},
    {7, HEAD BOX "keep first 0 output 0\nend\nx", "end"},
    {6, HEAD BOX "keep first 0 output 0\nend", "end"},
    {5, HEAD BOX "violations 0\nend\n", "violations"},
    {5, HEAD BOX "violations 2\nviolation 1\nge 0 1 1 0 0\nend\n", "violations"},
    {8, HEAD BOX "violations 2\nviolation 1\nge 0 1 1 0 0\nend\n                                    \n", "violation K"},
    {6, HEAD BOX "violations 1\nviolation 0\nge 0 1 1 0 0\nend\n", "violation K"},
    {6, HEAD BOX "violations 1\nviolation 9\nge 0 1 1 0 0\nend\n", "violation K"},
    {7, HEAD BOX "violations 1\nviolation 1\nle 0 1 1 0 0\nend\n", "ge D"},
    {7, HEAD BOX "violations 1\nviolation 1\nge 4611686018427387905 1 1 0 0\nend\n", "2^62"},
    {7, HEAD BOX "violations 1\nviolation 1\nge 0 0 1 0 0\nend\n", "number of terms"},
    {7, HEAD BOX "violations 1\nviolation 1\nge 0 4000000000 1 0 0\nend\n", "number of terms"},
    {7, HEAD BOX "violations 1\nviolation 1\nge 0 1 0 0 0\nend\n", "coefficient"},
    {7, HEAD BOX "violations 1\nviolation 1\nge 0 1 -4611686018427387905 0 0\nend\n", "coefficient"},
    {7, HEAD BOX "violations 1\nviolation 1\nge 0 1 1 2 0\nend\n", "output"},
    {7, HEAD BOX "violations 1\nviolation 1\nge 0 1 1 0 4\nend\n", "element"},
    {7, HEAD BOX "violations 1\nviolation 1\nge 0 1 1 1 1\nend\n", "element"},
    {7, HEAD BOX "violations 1\nviolation 1\nge 0 2 1 0 1 1 0 1\nend\n", "ascend"},
    {7, HEAD BOX "violations 1\nviolation 1\nge 0 2 1 1 0 1 0 1\nend\n", "ascend"},
    {7, HEAD BOX "violations 1\nviolation 1\nge 0 1 1 0 0 1 0 1\nend\n", "end of the line"},
};

static void test_mistakes(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
    const mistake *m = &mistakes[i];
    qv_property p;
    qv_err err = {0};
    qv_status st = qv_property_read(&p, m->text, strlen(m->text), net, &err);
    if (st != QV_E_PARSE || err.line != m->line || strstr(err.msg, m->message) == NULL)
      fail_msg("mistake %zu: status %s line %" PRId64 ": %s\n%s", i, qv_status_name(st), err.line, err.msg, m->text);
    qv_property_clear(&p);
  }
}

/* No proper prefix of a good text is a good text. */
static void test_prefixes(void **state) {
  static const char text[] = HEAD "input 0 elements 4\n12 20\n0 0\n-3 5\n100 108\ninput 1 range -1 1\n"
                                  "violations 1\nviolation 2\nge 0 1 1 0 0\nge -5 2 -1 0 3 7 1 0\nend\n";
  (void)state;
  accept(text);
  for (size_t n = 0; n < sizeof text - 1; n++) {
    qv_property p;
    char *cut = malloc(n + 1); /* exact size: sanitizers see a byte too many */
    assert_non_null(cut);
    memcpy(cut, text, n);
    assert_int_not_equal(qv_property_read(&p, cut, n, net, NULL), QV_OK);
    qv_property_clear(&p);
    free(cut);
  }
}

/* One allocation after the other fails. */
static void test_memory(void **state) {
  static const char text[] = HEAD "input 0 points 2\n1 2 3 4\n5 6 7 8\ninput 1 points 2\n1\n2\n"
                                  "violations 1\nviolation 1\nge 0 1 1 0 0\nend\n";
  (void)state;
  qv_condition c;
  qv_err err = {0};
  const char *cond = strstr(text, "violations");
  for (uint64_t n = 1; n < 4; n++) {
    qv_arena a = {.fail_after = n};
    assert_int_equal(qv_condition_read(&c, &a, cond, strlen(cond) - 4, net, NULL), QV_E_NOMEM);
    qv_arena_clear(&a);
  }
  qv_arena a = {0};
  assert_int_equal(qv_condition_read(&c, &a, cond, strlen(cond) - 4, net, &err), QV_OK);
  assert_int_equal(qv_condition_targets(&c, net), 1);
  assert_int_equal(qv_condition_read(&c, &a, cond, strlen(cond), net, &err), QV_E_PARSE);
  assert_int_equal(err.line, 4);
  qv_arena_clear(&a);
}

static void test_hull(void **state) {
  static const char text[] = HEAD "input 0 points 2\n1 2 3 4\n5 -6 7 8\ninput 1 points 2\n1\n2\nkeep first 0 output 0\nend\n";
  qv_property p;
  (void)state;
  assert_int_equal(qv_property_read(&p, text, strlen(text), net, NULL), QV_OK);
  qv_itv h = qv_property_hull(&p, 0, &net->tensor[net->in[0].tensor]);
  assert_true(h.lo == -6 && h.hi == 8);
  h = qv_property_hull(&p, 1, &net->tensor[net->in[1].tensor]);
  assert_true(h.lo == 1 && h.hi == 2);
  qv_property_clear(&p);
}

/* ---- evaluation against GMP --------------------------------------------------------------------------------------------- */

static int64_t edgy(qv_rng *r, int bits) {
  int64_t m = (int64_t)1 << qv_rng_range(r, 0, bits), v = qv_rng_range(r, 0, m) - qv_rng_range(r, 0, m);
  switch (qv_rng_range(r, 0, 3)) {
  case 0: return m;
  case 1: return -m;
  default: return v;
  }
}

static bool truth(const qv_ineq *e, const int64_t *const *o) {
  mpz_t s, t, u;
  mpz_inits(s, t, u, NULL);
  for (uint32_t i = 0; i < e->n; i++) {
    mpz_set_si(t, e->term[i].c);
    mpz_set_si(u, o[e->term[i].out][e->term[i].el]);
    mpz_addmul(s, t, u);
  }
  mpz_set_si(t, e->d);
  bool yes = mpz_cmp(s, t) >= 0;
  mpz_clears(s, t, u, NULL);
  return yes;
}

static void test_evaluation(void **state) {
  qv_rng r = {20251120};
  unsigned yes = 0, rounds = 20000;
  (void)state;
  print_message("evaluation: seed %" PRIu64 "\n", r.s);
  for (unsigned k = 0; k < rounds; k++) {
    int64_t a[4], b[1];
    const int64_t *const o[2] = {a, b};
    for (int i = 0; i < 4; i++) a[i] = edgy(&r, 62);
    b[0] = edgy(&r, 62);
    qv_out_term t[5];
    qv_ineq e[2];
    for (int i = 0; i < 5; i++) {
      t[i] = (qv_out_term){i == 4, i == 4 ? 0 : (uint32_t)i, edgy(&r, 62)};
      if (t[i].c == 0) t[i].c = 1;
    }
    e[0] = (qv_ineq){(uint32_t)qv_rng_range(&r, 1, 5), t, edgy(&r, 62)};
    e[1] = (qv_ineq){1, &t[4], edgy(&r, 62)};
    const qv_violation v[2] = {{2, e}, {1, &e[1]}};
    const qv_condition c = {.kind = QV_AVOID, .n = 2, .bad = v};
    assert_int_equal(qv_condition_check(&c, net, NULL), QV_OK);
    bool t0 = truth(&e[0], o), t1 = truth(&e[1], o);
    assert_int_equal(qv_condition_violated(&c, net, o), t0 && t1 ? 0 : t1 ? 1 : QV_NONE);
    yes += t0;
  }
  assert_true(yes > rounds / 10 && yes < rounds - rounds / 10);
}

/* Every order of small values: the first (last) largest element by definition. */
static void test_argmax(void **state) {
  (void)state;
  for (int k = 0; k < 81; k++) {
    int64_t a[4] = {k % 3, k / 3 % 3, k / 9 % 3, k / 27}, b[1] = {0};
    const int64_t *const o[2] = {a, b};
    uint32_t first = 0, last = 0;
    for (uint32_t i = 1; i < 4; i++) {
      if (a[i] > a[first]) first = i;
      if (a[i] >= a[last]) last = i;
    }
    for (uint32_t cls = 0; cls < 4; cls++) {
      const qv_condition f = {.kind = QV_KEEP_FIRST, .cls = cls}, l = {.kind = QV_KEEP_LAST, .cls = cls};
      assert_int_equal(qv_condition_violated(&f, net, o) == QV_NONE, first == cls);
      assert_int_equal(qv_condition_violated(&l, net, o) == QV_NONE, last == cls);
    }
  }
}

static void test_check(void **state) {
  static const qv_out_term good[2] = {{0, 0, 1}, {0, 1, 1}}, far[1] = {{0, 4, 1}}, zero[1] = {{0, 0, 0}};
  (void)state;
  const struct {
    bool ok;
    qv_ineq e;
  } t[] = {{true, {2, good, 0}},  {false, {0, good, 0}}, {false, {1, far, 0}}, {false, {1, zero, 0}}, {false, {1, good, QV_COND_MAX + 1}},
           {true, {1, good, -QV_COND_MAX}}};
  for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
    const qv_violation v = {1, &t[i].e};
    const qv_condition c = {.kind = QV_AVOID, .n = 1, .bad = &v};
    assert_int_equal(qv_condition_check(&c, net, NULL) == QV_OK, t[i].ok);
  }
  const qv_condition none = {.kind = QV_AVOID}, cls = {.kind = QV_KEEP_LAST, .cls = 4}, out = {.kind = QV_KEEP_LAST, .out = 2};
  assert_int_equal(qv_condition_check(&none, net, NULL), QV_E_ARG);
  assert_int_equal(qv_condition_check(&cls, net, NULL), QV_E_ARG);
  assert_int_equal(qv_condition_check(&out, net, NULL), QV_E_ARG);
  const qv_condition single = {.kind = QV_KEEP_FIRST, .out = 1};
  assert_int_equal(qv_condition_targets(&single, net), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trips), cmocka_unit_test(test_mistakes), cmocka_unit_test(test_prefixes),   cmocka_unit_test(test_memory),
      cmocka_unit_test(test_hull),        cmocka_unit_test(test_check),    cmocka_unit_test(test_evaluation), cmocka_unit_test(test_argmax),
  };
  return cmocka_run_group_tests(tests, make_net, free_net);
}
