#include "tests/alloc_forge.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_LINES = 20000 };

/* Lines of the certificate, the sha256 line left out. */
static uint32_t lines_of(const qv_buf *cert, const char **line, size_t *len) {
  uint32_t n = 0;
  for (size_t i = 0; i < cert->n;) {
    const char *s = (const char *)cert->p + i, *end = memchr(s, '\n', cert->n - i);
    assert_non_null(end);
    assert_true(n < MAX_LINES);
    line[n] = s;
    len[n++] = (size_t)(end - s);
    i += (size_t)(end - s) + 1;
  }
  return n - 1;
}

static void seal(qv_buf *out) {
  char sha[QV_SHA256_HEX];
  qv_sha256_hex(sha, out->p, out->n);
  qv_buf_printf(out, "sha256 %s\n", sha);
}

static void put_line(qv_buf *out, const char *s, size_t n) {
  qv_buf_put(out, s, n);
  qv_buf_str(out, "\n");
}

/* One number of the line moved, replaced or negated; a line without numbers gets one. */
static void bend(qv_buf *out, const char *s, size_t n, qv_rng *r) {
  size_t at[64], words = 0;
  for (size_t i = 1; i < n && words < 64; i++)
    if (s[i - 1] == ' ' && (s[i] == '-' || (s[i] >= '0' && s[i] <= '9'))) at[words++] = i;
  if (words == 0) {
    qv_buf_put(out, s, n);
    qv_buf_str(out, " 0\n");
    return;
  }
  size_t i = at[qv_rng_range(r, 0, (int64_t)words - 1)], end = i;
  while (end < n && s[end] != ' ') end++;
  mpz_t v;
  char number[2100];
  assert_true(end - i < sizeof number);
  memcpy(number, s + i, end - i);
  number[end - i] = 0;
  mpz_init(v);
  if (mpz_set_str(v, number, 10) != 0) mpz_set_ui(v, 0);
  switch (qv_rng_range(r, 0, 6)) {
  case 0: mpz_add_ui(v, v, 1); break;
  case 1: mpz_sub_ui(v, v, 1); break;
  case 2: mpz_neg(v, v); break;
  case 3: mpz_mul_2exp(v, v, 1); break;
  case 4: mpz_fdiv_q_2exp(v, v, 1); break;
  case 5: mpz_set_ui(v, 0); break;
  default: mpz_set_si(v, (long)qv_rng_range(r, 0, 5)); break;
  }
  qv_buf_put(out, s, i);
  char *t = mpz_get_str(NULL, 10, v);
  qv_buf_str(out, t);
  free(t);
  put_line(out, s + end, n - end);
  mpz_clear(v);
}

static void random_choice(qv_buf *out, const qv_alloc *p, qv_rng *r) {
  uint32_t *x = calloc(p->n_groups, sizeof *x);
  assert_non_null(x);
  for (uint32_t g = 0; g < p->n_groups; g++) x[g] = (uint32_t)qv_rng_range(r, 0, p->group[g].n - 1);
  af_choice(out, p, x);
  free(x);
}

void af_choice(qv_buf *out, const qv_alloc *p, const uint32_t *x) {
  mpz_t v;
  mpz_init(v);
  qv_alloc_sum(v, p, x, 0);
  char *s = mpz_get_str(NULL, 10, v);
  qv_buf_printf(out, "choice %s", s);
  for (uint32_t g = 0; g < p->n_groups; g++) qv_buf_printf(out, " %" PRIu32, x[g]);
  qv_buf_str(out, "\n");
  free(s);
  mpz_clear(v);
}

void af_mutate(qv_buf *out, const qv_buf *cert, const qv_alloc *p, qv_rng *r) {
  static const char *line[MAX_LINES];
  static size_t len[MAX_LINES];
  uint32_t n = lines_of(cert, line, len), at = (uint32_t)qv_rng_range(r, 2, n - 1), other = (uint32_t)qv_rng_range(r, 2, n - 1);
  int64_t how = qv_rng_range(r, 0, 9);
  if (how >= 8) /* aim at a choice */
    for (at = 2; at + 1 < n && memcmp(line[at], "choice ", 7 < len[at] ? 7 : len[at]) != 0;) at++;
  for (uint32_t i = 0; i < n; i++) {
    if (i != at) {
      if (how == 4 && i == other) put_line(out, line[at], len[at]);
      else put_line(out, line[i], len[i]);
      continue;
    }
    if (how <= 2) bend(out, line[i], len[i], r);
    else if (how == 3) continue; /* dropped */
    else if (how == 4) put_line(out, line[other], len[other]); /* swapped */
    else if (how == 5) put_line(out, line[i], len[i]), put_line(out, line[i], len[i]);
    else if (how == 6) put_line(out, "empty", 5);
    else if (how == 7) put_line(out, "bound 0", 7);
    else random_choice(out, p, r);
  }
  seal(out);
}

void af_claim(qv_buf *out, const qv_buf *cert, const char *claim) {
  static const char *line[MAX_LINES];
  static size_t len[MAX_LINES];
  uint32_t n = lines_of(cert, line, len), i = 2;
  put_line(out, line[0], len[0]);
  put_line(out, line[1], len[1]);
  qv_buf_str(out, claim);
  while (i < n && (len[i] < 6 || memcmp(line[i], "proof ", 6) != 0)) i++;
  for (; i < n; i++) put_line(out, line[i], len[i]);
  seal(out);
}

/* ---- truth ----------------------------------------------------------------------------------------------------------------- */

/* Numbers of a choice line. False if it is none, or they are out of range, or the loss is wrong, or it is infeasible. */
static bool read_choice(uint32_t *x, const char *s, size_t n, const qv_alloc *p) {
  char copy[4200], *save = NULL;
  if (n >= sizeof copy) return false;
  memcpy(copy, s, n);
  copy[n] = 0;
  char *w = strtok_r(copy, " ", &save);
  if (w == NULL || strcmp(w, "choice") != 0) return false;
  w = strtok_r(NULL, " ", &save);
  mpz_t want, loss;
  mpz_inits(want, loss, (mpz_ptr)NULL);
  bool ok = w != NULL && mpz_set_str(want, w, 10) == 0;
  for (uint32_t g = 0; ok && g < p->n_groups; g++) {
    w = strtok_r(NULL, " ", &save);
    unsigned long c = w != NULL ? strtoul(w, NULL, 10) : ULONG_MAX;
    ok = c < p->group[g].n;
    if (ok) x[g] = (uint32_t)c;
  }
  ok = ok && strtok_r(NULL, " ", &save) == NULL;
  if (ok) qv_alloc_sum(loss, p, x, 0);
  ok = ok && mpz_cmp(want, loss) == 0 && qv_alloc_feasible(p, x);
  mpz_clears(want, loss, (mpz_ptr)NULL);
  return ok;
}

static bool next(const qv_alloc *p, uint32_t *x) {
  for (uint32_t g = 0; g < p->n_groups; g++) {
    if (++x[g] < p->group[g].n) return true;
    x[g] = 0;
  }
  return false;
}

/* (loss, costs of the limited rows) of x against y; only the loss unless lex. */
static int order(const qv_alloc *p, const uint32_t *x, const uint32_t *y, bool lex) {
  mpz_t a, b;
  int s = 0;
  mpz_inits(a, b, (mpz_ptr)NULL);
  for (uint32_t m = 0; m <= p->n_rows && s == 0; m++) {
    if (m > 0 && (!lex || !p->row[m - 1].limited)) continue;
    qv_alloc_sum(a, p, x, m);
    qv_alloc_sum(b, p, y, m);
    s = mpz_cmp(a, b);
  }
  mpz_clears(a, b, (mpz_ptr)NULL);
  return s;
}

static bool covered(const qv_alloc *p, const uint32_t *x, uint32_t row, const uint32_t *points, uint32_t n) {
  mpz_t a, b;
  bool ok = false;
  mpz_inits(a, b, (mpz_ptr)NULL);
  for (uint32_t i = 0; i < n && !ok; i++) {
    const uint32_t *y = points + (size_t)i * p->n_groups;
    qv_alloc_sum(a, p, y, 0);
    qv_alloc_sum(b, p, x, 0);
    ok = mpz_cmp(a, b) <= 0;
    qv_alloc_sum(a, p, y, 1 + row);
    qv_alloc_sum(b, p, x, 1 + row);
    ok = ok && mpz_cmp(a, b) <= 0;
  }
  mpz_clears(a, b, (mpz_ptr)NULL);
  return ok;
}

static bool is(const char *s, size_t n, const char *want) { return n == strlen(want) && memcmp(s, want, n) == 0; }

bool af_true(const qv_buf *cert, const qv_alloc *p) {
  static const char *line[MAX_LINES];
  static size_t len[MAX_LINES];
  uint32_t n = lines_of(cert, line, len), row = 0, points = 0, stride = p->n_groups;
  if (n < 4) return false;
  bool lex = is(line[2], len[2], "claim optimum lex"), loss = is(line[2], len[2], "claim optimum loss"), none = is(line[2], len[2], "claim infeasible");
  bool front = !lex && !loss && !none;
  uint32_t *x = calloc(stride, sizeof *x), *claimed = calloc((size_t)n * stride, sizeof *claimed);
  assert_true(x != NULL && claimed != NULL);
  bool ok = true;
  if (front) {
    ok = len[2] > 12 && memcmp(line[2], "claim front ", 12) == 0;
    if (ok) row = (uint32_t)strtoul(line[2] + 12, NULL, 10);
    ok = ok && row < p->n_rows;
  }
  for (uint32_t i = front ? 4 : 3; ok && i < n && len[i] > 7 && memcmp(line[i], "choice ", 7) == 0; i++)
    ok = read_choice(claimed + (size_t)points++ * stride, line[i], len[i], p);
  ok = ok && (none ? points == 0 : front ? points > 0 : points == 1);
  if (ok) {
    do {
      if (!qv_alloc_feasible(p, x)) continue;
      if (none) ok = false;
      else if (front) ok = covered(p, x, row, claimed, points);
      else ok = order(p, x, claimed, lex) >= 0;
    } while (next(p, x) && ok);
  }
  for (uint32_t i = 1; ok && front && i < points; i++) { /* strictly ascending cost: no point covers another */
    ok = !covered(p, claimed + (size_t)i * stride, row, claimed + (size_t)(i - 1) * stride, 1) &&
         !covered(p, claimed + (size_t)(i - 1) * stride, row, claimed + (size_t)i * stride, 1);
  }
  free(x);
  free(claimed);
  return ok;
}
