/* Public reports of wrong or undefined integer sums (tests/regress, one file per report): the broken form is refuted by an
 * executed input, the published operands give the published values, the fixed form is proved, and the checker agrees. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/witness.h"
#include "tests/cert_env.h"

enum { FILE_COL, BITS, VERDICT, NODE, INPUT, ELEMENT, EXACT, MACHINE, COLUMNS };

static int64_t number(const char *s) {
  char *end;
  errno = 0;
  int64_t v = strtoll(s, &end, 10);
  if (errno != 0 || end == s || (*end != 0 && *end != ',' && *end != '*')) fail_msg("not a number: %s", s);
  return v;
}

/* "5,0*7" is 5 and seven zeros. */
static void fill(int64_t *x, size_t n, const char *s) {
  size_t at = 0;
  for (; s != NULL; s = strchr(s, ',') != NULL ? strchr(s, ',') + 1 : NULL) {
    const char *star = strchr(s, '*'), *comma = strchr(s, ',');
    int64_t v = number(s), times = star != NULL && (comma == NULL || star < comma) ? number(star + 1) : 1;
    for (; times > 0 && at < n; times--) x[at++] = v;
  }
  assert_int_equal(at, n);
}

/* The published operands on the reference. */
static void published(const qv_net *net, char *const *col, int bits) {
  qv_witness w = {.node = (uint32_t)number(col[NODE]), .element = (size_t)number(col[ELEMENT])};
  qv_arena a = {0};
  bool bad = false;
  size_t n = qv_elems(&net->tensor[net->in[0].tensor]);
  w.input = QV_NEW(&a, 1, int64_t *);
  w.input[0] = QV_NEW(&a, n, int64_t);
  fill(w.input[0], n, col[INPUT]);
  assert_int_equal(qv_witness_replay(&bad, &w, net, bits, NULL), QV_OK);
  if (!bad) fail_msg("%s: the published operands do no harm", col[FILE_COL]);
  if (w.exact != number(col[EXACT])) fail_msg("%s: exact %lld", col[FILE_COL], (long long)w.exact);
  assert_int_equal(w.trap, strcmp(col[MACHINE], "trap") == 0);
  if (!w.trap && w.machine != number(col[MACHINE])) fail_msg("%s: machine %lld", col[FILE_COL], (long long)w.machine);
  qv_arena_clear(&a);
}

/* The tool's own answer, and the checker's. */
static void judged(const qv_net *net, char *const *col, int bits) {
  qv_property p;
  qv_proof proof;
  cli_evidence ev = {0};
  qv_err err = {0};
  assert_int_equal(qv_property_whole(&p, net, bits, &err), QV_OK);
  assert_int_equal(qv_prove_overflow(&proof, net, &p, NULL, &err), QV_OK);
  assert_int_equal(cli_evidence_make(&ev, net, &p, &proof, &err), QV_OK);
  ce_answer a = ce_check(&ev.qir, &ev.property, &ev.cert);
  if (a.result != CE_CHECKED) fail_msg("%s: %s", col[FILE_COL], a.text);
  bool verified = strcmp(col[VERDICT], "verified") == 0, found = false;
  if (a.verified != verified || (proof.verdict == QV_VERIFIED) != verified) fail_msg("%s: not %s", col[FILE_COL], col[VERDICT]);
  for (uint32_t i = 0; i < proof.range.n_acc && !verified; i++) {
    if (proof.item[i].verdict == QV_VERIFIED) continue;
    qv_witness w;
    bool bad = false;
    assert_int_equal(qv_witness_search(&w, net, &p, &proof, i, NULL, &err), QV_OK);
    if (w.state == QV_WIT_REACHED) {
      assert_int_equal(qv_witness_replay(&bad, &w, net, bits, &err), QV_OK);
      found = found || (bad && (w.trap || w.exact != w.machine));
    }
    qv_witness_clear(&w);
  }
  if (!verified && !found) fail_msg("%s: no input found that shows it", col[FILE_COL]);
  cli_evidence_free(&ev);
  qv_proof_clear(&proof);
  qv_property_clear(&p);
}

static void one(char *const *col) {
  char path[300];
  qv_buf text = {0};
  (void)snprintf(path, sizeof path, "tests/regress/%s", col[FILE_COL]);
  if (qv_file_read(&text, path, (size_t)1 << 24, NULL) != QV_OK) fail_msg("%s cannot be read (run from the repository root)", path);
  qv_net *net = ce_copy(&text);
  int bits = (int)number(col[BITS]);
  judged(net, col, bits);
  if (strcmp(col[INPUT], "-") != 0) published(net, col, bits);
  qv_net_free(net);
  qv_buf_free(&text);
}

static void fixtures(void **state) {
  (void)state;
  qv_buf b = {0};
  int rows = 0, refuted = 0;
  if (qv_file_read(&b, "tests/regress/expected.tsv", (size_t)1 << 24, NULL) != QV_OK) fail_msg("tests/regress/expected.tsv: run from the repository root");
  char *line = strchr((char *)b.p, '\n') + 1;
  while (*line != 0) {
    char *col[COLUMNS], *end = strchr(line, '\n');
    *end = 0;
    for (int c = 0; c < COLUMNS; c++) {
      col[c] = line;
      line += strcspn(line, "\t");
      assert_true((*line == 0) == (c + 1 == COLUMNS));
      if (*line != 0) *line++ = 0;
    }
    one(col);
    refuted += strcmp(col[VERDICT], "falsified") == 0;
    rows++;
    line = end + 1;
  }
  print_message("%d fixtures: %d refuted by execution, %d proved and checked\n", rows, refuted, rows - refuted);
  assert_true(rows >= 50 && refuted >= 25);
  qv_buf_free(&b);
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
  const struct CMUnitTest t[] = {cmocka_unit_test(fixtures)};
  return cmocka_run_group_tests(t, setup, teardown);
}
