/* ir/base: checked integers against GMP, arena, buffers, files, SHA-256, generator, status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ir/base/arena.h"
#include "ir/base/buf.h"
#include "ir/base/int.h"
#include "ir/base/rng.h"
#include "ir/base/status.h"

static size_t mult(void) {
  const char *s = getenv("QV_TEST_MULT");
  long m = s != NULL ? strtol(s, NULL, 10) : 1;
  return m > 1 ? (size_t)m : 1;
}

/* ---- integers against GMP ---------------------------------------------------------------------------------------------- */

static void set128(mpz_t z, qv_i128 v) {
  qv_u128 m = v < 0 ? (qv_u128)0 - (qv_u128)v : (qv_u128)v;
  uint64_t w[2] = {(uint64_t)m, (uint64_t)(m >> 64)};
  mpz_import(z, 2, -1, sizeof w[0], 0, 0, w);
  if (v < 0) mpz_neg(z, z);
}

static bool is128(const mpz_t z, qv_i128 v) {
  mpz_t t;
  mpz_init(t);
  set128(t, v);
  bool same = mpz_cmp(z, t) == 0;
  mpz_clear(t);
  return same;
}

/* Numbers of random length up to `bits` (1..127) bits, often a power of two or next to one, of either sign. */
static qv_i128 edgy(qv_rng *r, int bits) {
  int n = (int)qv_rng_range(r, 0, bits);
  qv_u128 m = n == 0 ? 0 : (qv_u128)1 << (n - 1);
  switch (qv_rng_next(r) % 4) {
  case 0: break;
  case 1: m = m > 0 ? m - 1 : 0; break;
  case 2: m += n > 1; break;
  case 3: m |= (((qv_u128)qv_rng_next(r) << 64) | qv_rng_next(r)) & (n == 0 ? 0 : m - 1); break;
  }
  return qv_rng_next(r) & 1 ? -(qv_i128)m : (qv_i128)m;
}

static int64_t edgy64(qv_rng *r) { return qv_rng_next(r) % 8 == 0 ? (qv_rng_next(r) & 1 ? INT64_MIN : INT64_MAX) : qv_sat64(edgy(r, 64)); }

static void overflow_against_gmp(void **state) {
  (void)state;
  uint64_t seed = 1;
  qv_rng r = {seed};
  mpz_t a, b, c;
  size_t fits = 0, leaves = 0;
  print_message("seed %llu\n", (unsigned long long)seed);
  mpz_inits(a, b, c, NULL);
  for (size_t i = 0; i < 100000 * mult(); i++) {
    int64_t x = edgy64(&r), y = edgy64(&r), z = 0;
    set128(a, x);
    set128(b, y);
    for (int op = 0; op < 3; op++) {
      bool ok;
      if (op == 0) ok = qv_add64(&z, x, y), mpz_add(c, a, b);
      else if (op == 1) ok = qv_sub64(&z, x, y), mpz_sub(c, a, b);
      else ok = qv_mul64(&z, x, y), mpz_mul(c, a, b);
      assert_int_equal(ok, mpz_fits_slong_p(c) != 0);
      if (ok) assert_int_equal(mpz_get_si(c), z);
      fits += ok;
      leaves += !ok;
    }
    size_t u = (size_t)x, v = (size_t)y, w = 0;
    mpz_set_ui(a, u);
    mpz_set_ui(b, v);
    mpz_mul(c, a, b);
    bool ok = qv_mulz(&w, u, v);
    assert_int_equal(ok, mpz_fits_ulong_p(c) != 0);
    if (ok) assert_true(mpz_get_ui(c) == w);
    mpz_add(c, a, b);
    ok = qv_addz(&w, u, v);
    assert_int_equal(ok, mpz_fits_ulong_p(c) != 0);
    if (ok) assert_true(mpz_get_ui(c) == w);
  }
  assert_true(fits > 0 && leaves > 0);
  mpz_clears(a, b, c, NULL);
}

/* Nearest, ties away from zero, from GMP's truncating division of 2|a| + b by 2b. */
static void gmp_rha(mpz_t q, const mpz_t a, const mpz_t b) {
  mpz_t d;
  mpz_init(d);
  mpz_abs(q, a);
  mpz_mul_2exp(q, q, 1);
  mpz_add(q, q, b);
  mpz_mul_2exp(d, b, 1);
  mpz_tdiv_q(q, q, d);
  if (mpz_sgn(a) < 0) mpz_neg(q, q);
  mpz_clear(d);
}

static void divisions_against_gmp(void **state) {
  (void)state;
  uint64_t seed = 2;
  qv_rng r = {seed};
  mpz_t a, b, q;
  print_message("seed %llu\n", (unsigned long long)seed);
  mpz_inits(a, b, q, NULL);
  for (size_t i = 0; i < 100000 * mult(); i++) {
    qv_i128 x = edgy(&r, 126), y = edgy(&r, qv_rng_next(&r) & 1 ? 126 : 32);
    int e = (int)qv_rng_range(&r, 0, 126), s = (int)qv_rng_range(&r, 0, 60);
    if (y < 0) y = -y;
    if (y == 0) y = 1;
    if (i % 4 == 0 && y < (qv_i128)1 << 40) x = y * (qv_i128)qv_rng_range(&r, -1000, 1000) + y / 2; /* at and next to ties */
    set128(a, x);
    set128(b, y);
    mpz_fdiv_q(q, a, b);
    assert_true(is128(q, qv_floor_div(x, y)));
    mpz_cdiv_q(q, a, b);
    assert_true(is128(q, qv_ceil_div(x, y)));
    gmp_rha(q, a, b);
    assert_true(is128(q, qv_rha_div(x, y)));
    mpz_fdiv_q_2exp(q, a, (mp_bitcnt_t)e);
    assert_true(is128(q, qv_floor_shift(x, e)));
    int64_t small = edgy64(&r);
    set128(a, small);
    mpz_mul_2exp(q, a, (mp_bitcnt_t)s);
    assert_true(is128(q, qv_scale2(small, s)));
  }
  mpz_clears(a, b, q, NULL);
}

/* All small cases against the definitions, by search. */
static void divisions_small(void **state) {
  (void)state;
  for (int64_t b = 1; b <= 17; b++)
    for (int64_t a = -100; a <= 100; a++) {
      int64_t f = -200, c = 200, n = -200;
      while ((f + 1) * b <= a) f++;               /* largest f with f*b <= a  */
      while ((c - 1) * b >= a) c--;               /* smallest c with c*b >= a */
      for (int64_t k = -200; k <= 200; k++) {     /* nearest; of two equally near the one farther from 0 */
        int64_t d = llabs(a - k * b), best = llabs(a - n * b);
        if (d < best || (d == best && llabs(k) > llabs(n))) n = k;
      }
      assert_true(qv_floor_div(a, b) == f);
      assert_true(qv_ceil_div(a, b) == c);
      assert_true(qv_rha_div(a, b) == n);
    }
}

static void wraps_against_gmp(void **state) {
  (void)state;
  uint64_t seed = 3;
  qv_rng r = {seed};
  mpz_t a, q;
  print_message("seed %llu\n", (unsigned long long)seed);
  mpz_inits(a, q, NULL);
  for (size_t i = 0; i < 100000 * mult(); i++) {
    qv_i128 x = edgy(&r, 126);
    int bits = (int)qv_rng_range(&r, 1, 64);
    if (i % 3 == 0) x = (qv_i128)1 << (bits - 1), x = (i % 2 == 0 ? -x : x) + qv_rng_range(&r, -2, 2);
    set128(a, x);
    mpz_fdiv_r_2exp(q, a, (mp_bitcnt_t)bits);
    if (mpz_tstbit(q, (mp_bitcnt_t)bits - 1)) {
      mpz_t m;
      mpz_init_set_ui(m, 1);
      mpz_mul_2exp(m, m, (mp_bitcnt_t)bits);
      mpz_sub(q, q, m);
      mpz_clear(m);
    }
    assert_true(is128(q, qv_wrap(x, bits)));
    int64_t sat = qv_sat64(x);
    assert_true(x > INT64_MAX ? sat == INT64_MAX : x < INT64_MIN ? sat == INT64_MIN : sat == x);
  }
  mpz_clears(a, q, NULL);
}

static void types_and_intervals(void **state) {
  (void)state;
  assert_true(qv_smin(1) == -1 && qv_smax(1) == 0 && qv_smin(8) == -128 && qv_smax(8) == 127);
  assert_true(qv_smin(32) == INT32_MIN && qv_smax(32) == INT32_MAX && qv_smin(64) == INT64_MIN && qv_smax(64) == INT64_MAX);
  assert_true(qv_smin(63) == INT64_MIN / 2 && qv_smax(63) == INT64_MAX / 2);
  assert_true(qv_min64(-1, 2) == -1 && qv_max64(-1, 2) == 2 && qv_min64(2, -1) == -1 && qv_max64(2, -1) == 2);
  assert_true(qv_clamp64(5, -1, 3) == 3 && qv_clamp64(-5, -1, 3) == -1 && qv_clamp64(2, -1, 3) == 2);
  static const struct { qv_itv a; int bits; } bits[] = {{{0, 0}, 1},   {{-1, 0}, 1},          {{0, 1}, 2},
                                                        {{-2, 1}, 2},  {{-3, 0}, 3},          {{-128, 127}, 8},
                                                        {{0, 128}, 9}, {{-129, 0}, 9},        {{INT32_MIN, INT32_MAX}, 32},
                                                        {{0, INT64_MAX}, 64}, {{INT64_MIN, INT64_MAX}, 64}};
  for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) assert_int_equal(qv_itv_bits(bits[i].a), bits[i].bits);
  for (int64_t a = -3; a <= 3; a++) /* all pairs of small intervals: hull and containment as sets */
    for (int64_t b = a; b <= 3; b++)
      for (int64_t c = -3; c <= 3; c++)
        for (int64_t d = c; d <= 3; d++) {
          qv_itv h = qv_itv_hull((qv_itv){a, b}, (qv_itv){c, d});
          bool inside = true;
          for (int64_t v = -3; v <= 3; v++) inside = inside && (v < a || v > b || (v >= c && v <= d));
          assert_int_equal(qv_itv_in((qv_itv){a, b}, (qv_itv){c, d}), inside);
          assert_true(h.lo == (a < c ? a : c) && h.hi == (b > d ? b : d));
        }
}

/* ---- arena ------------------------------------------------------------------------------------------------------------- */

/* Blocks are zeroed, aligned and disjoint, in any mix of sizes. */
static void arena_blocks(void **state) {
  (void)state;
  uint64_t seed = 4;
  qv_rng r = {seed};
  qv_arena a = {0};
  enum { N = 500 };
  unsigned char *p[N];
  size_t n[N], total = 0;
  print_message("seed %llu\n", (unsigned long long)seed);
  for (size_t i = 0; i < N; i++) {
    n[i] = (size_t)qv_rng_range(&r, 0, i % 50 == 0 ? 300000 : 300);
    p[i] = qv_arena_alloc(&a, n[i], 1);
    assert_non_null(p[i]);
    assert_int_equal((uintptr_t)p[i] % 16, 0);
    for (size_t k = 0; k < n[i]; k++) assert_int_equal(p[i][k], 0);
    memset(p[i], (int)(i % 255 + 1), n[i]);
    total += (n[i] + 15) / 16 * 16;
  }
  assert_int_equal(a.bytes, total);
  for (size_t i = 0; i < N; i++)
    for (size_t k = 0; k < n[i]; k++) assert_int_equal(p[i][k], i % 255 + 1);
  qv_arena_clear(&a);
  for (size_t first = 16; first < 200000; first += 16) { /* whatever is left of a block, 16 bytes more do not fit */
    unsigned char *x = qv_arena_alloc(&a, first, 1), *y = qv_arena_alloc(&a, 65536 - first % 65536 + 16, 1);
    assert_true(x != NULL && y != NULL);
    memset(x, 1, first);
    memset(y, 2, 65536 - first % 65536 + 16);
    assert_int_equal(x[first - 1], 1);
    qv_arena_clear(&a);
    if (first > 1000) first += 4000;
  }
  assert_null(a.head);
  assert_int_equal(a.bytes, 0);
  qv_arena_clear(&a); /* no-op */
}

static void arena_limits(void **state) {
  (void)state;
  qv_arena a = {.limit = 64};
  assert_null(qv_arena_alloc(&a, 65, 1));
  assert_null(qv_arena_alloc(&a, SIZE_MAX, 2)); /* n*size overflows */
  assert_null(qv_arena_alloc(&a, SIZE_MAX / 2 + 2, 2)); /* 2 modulo 2^64 */
  assert_null(qv_arena_alloc(&a, SIZE_MAX / 2, 1));
  assert_null(qv_arena_alloc(&a, SIZE_MAX, 1));
  assert_int_equal(a.bytes, 0);
  assert_non_null(qv_arena_alloc(&a, 48, 1));
  assert_null(qv_arena_alloc(&a, 17, 1)); /* 48 + 32 > 64 */
  assert_non_null(qv_arena_alloc(&a, 2, 8));
  assert_int_equal(a.bytes, 64);
  assert_null(qv_arena_alloc(&a, 1, 1));
  assert_non_null(qv_arena_alloc(&a, 0, 8)); /* nothing is always there */
  qv_arena_clear(&a);
  assert_int_equal(a.limit, 64);
  assert_non_null(qv_arena_alloc(&a, 64, 1)); /* usable again */
  qv_arena_clear(&a);
}

static void arena_faults(void **state) {
  (void)state;
  for (uint64_t fail = 1; fail <= 6; fail++) {
    qv_arena a = {.fail_after = fail};
    uint64_t failed = 0;
    for (uint64_t i = 1; i <= 8; i++)
      if (qv_arena_alloc(&a, 8, 1) == NULL) failed = failed == 0 ? i : 99;
    assert_int_equal(failed, fail); /* exactly one, exactly then */
    qv_arena_clear(&a);
  }
}

static void arena_strings(void **state) {
  (void)state;
  qv_arena a = {0};
  char *s = qv_arena_str(&a, "hello world", 5);
  assert_string_equal(s, "hello");
  assert_string_equal(qv_arena_str(&a, "", 0), "");
  assert_memory_equal(qv_arena_str(&a, "a\0b", 3), "a\0b", 4);
  assert_null(qv_arena_str(&a, "x", SIZE_MAX));
  assert_string_equal(qv_arena_printf(&a, "%s-%d", "net", 7), "net-7");
  char *big = qv_arena_printf(&a, "%0100000d", 1);
  assert_int_equal(strlen(big), 100000);
  assert_string_equal(s, "hello");
  a.fail_after = 1;
  assert_null(qv_arena_printf(&a, "%d", 1));
  a.fail_after = 1;
  assert_null(qv_arena_str(&a, "x", 1));
  qv_arena_clear(&a);
}

/* ---- buffer -------------------------------------------------------------------------------------------------------------- */

static void buf_grows(void **state) {
  (void)state;
  uint64_t seed = 5;
  qv_rng r = {seed};
  qv_buf b = {0};
  size_t cap = 1 << 20, n = 0;
  char *want = malloc(cap), t[64];
  assert_non_null(want);
  print_message("seed %llu\n", (unsigned long long)seed);
  while (n + 5000 < cap) {
    size_t k = (size_t)qv_rng_range(&r, 0, 4000);
    int64_t v = edgy64(&r);
    switch (qv_rng_next(&r) % 4) {
    case 0:
      for (size_t i = 0; i < k; i++) want[n + i] = (char)qv_rng_next(&r);
      qv_buf_put(&b, want + n, k);
      n += k;
      break;
    case 1:
      (void)snprintf(t, sizeof t, "%lld", (long long)v);
      qv_buf_str(&b, t);
      n += (size_t)sprintf(want + n, "%s", t);
      break;
    case 2:
      qv_buf_i64(&b, v);
      n += (size_t)sprintf(want + n, "%lld", (long long)v);
      break;
    case 3:
      qv_buf_printf(&b, "%*d", (int)k, 7);
      n += (size_t)sprintf(want + n, "%*d", (int)k, 7);
      break;
    }
    assert_int_equal(b.n, n);
  }
  assert_false(b.failed);
  assert_memory_equal(b.p, want, n);
  qv_buf_free(&b);
  assert_null(b.p);
  assert_int_equal(b.n, 0);
  free(want);
}

static void buf_integers(void **state) {
  (void)state;
  static const struct { int64_t v; const char *text; } cases[] = {
      {0, "0"}, {-1, "-1"}, {10, "10"}, {INT64_MAX, "9223372036854775807"}, {INT64_MIN, "-9223372036854775808"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    qv_buf b = {0};
    qv_buf_i64(&b, cases[i].v);
    assert_int_equal(b.n, strlen(cases[i].text));
    assert_memory_equal(b.p, cases[i].text, b.n);
    qv_buf_free(&b);
  }
}

/* A failed append is remembered, and later ones change nothing. */
static void buf_failure_sticks(void **state) {
  (void)state;
  qv_buf b = {0};
  qv_buf_str(&b, "kept");
  qv_buf_put(&b, "x", SIZE_MAX);
  assert_true(b.failed);
  qv_buf_str(&b, "more");
  qv_buf_printf(&b, "%d", 1);
  qv_buf_i64(&b, 5);
  assert_true(b.failed);
  assert_int_equal(b.n, 4);
  assert_memory_equal(b.p, "kept", 4);
  qv_buf_free(&b);
  assert_false(b.failed);
}

/* ---- files --------------------------------------------------------------------------------------------------------------- */

static char dir[64];

static int make_dir(void **state) {
  (void)state;
  strcpy(dir, "/tmp/qv_base_XXXXXX");
  return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state) {
  (void)state;
  return rmdir(dir); /* fails if a test or a failed write left something behind */
}

static const char *in_dir(const char *name) {
  static char path[128];
  (void)snprintf(path, sizeof path, "%s/%s", dir, name);
  return path;
}

static void expect_content(const char *path, const char *text) {
  qv_buf b = {0};
  qv_err err = {0};
  if (qv_file_read(&b, path, 1000, &err) != QV_OK) fail_msg("%s", err.msg);
  assert_int_equal(b.n, strlen(text));
  assert_memory_equal(b.p, text, b.n + 1); /* with the NUL that is not counted */
  qv_buf_free(&b);
}

static size_t entries(void) {
  DIR *d = opendir(dir);
  size_t n = 0;
  assert_non_null(d);
  while (readdir(d) != NULL) n++;
  (void)closedir(d);
  return n - 2;
}

static void file_round_trip(void **state) {
  (void)state;
  struct stat sb;
  mode_t um = umask(027);
  assert_int_equal(qv_file_write(in_dir("a"), "first", 5, NULL), QV_OK);
  expect_content(in_dir("a"), "first");
  assert_int_equal(stat(in_dir("a"), &sb), 0);
  assert_int_equal(sb.st_mode & 0777, 0640);
  (void)umask(um);
  assert_int_equal(qv_file_write(in_dir("a"), "2nd", 3, NULL), QV_OK); /* shorter: replaced, not overwritten */
  expect_content(in_dir("a"), "2nd");
  assert_int_equal(qv_file_write(in_dir("a"), "", 0, NULL), QV_OK);
  expect_content(in_dir("a"), "");
  assert_int_equal(entries(), 1); /* no temporary file stays */
  assert_int_equal(unlink(in_dir("a")), 0);
  size_t n = 3000001;
  char *big = malloc(n);
  qv_buf b = {0};
  assert_non_null(big);
  for (size_t i = 0; i < n; i++) big[i] = (char)(i * 7 >> 3);
  assert_int_equal(qv_file_write(in_dir("big"), big, n, NULL), QV_OK);
  assert_int_equal(qv_file_read(&b, in_dir("big"), n, NULL), QV_OK);
  assert_int_equal(b.n, n);
  assert_memory_equal(b.p, big, n);
  qv_buf_free(&b);
  free(big);
  assert_int_equal(unlink(in_dir("big")), 0);
}

static void expect_read(const char *path, size_t cap, qv_status want) {
  qv_buf b = {0};
  qv_err err = {0};
  assert_int_equal(qv_file_read(&b, path, cap, &err), want);
  assert_int_equal(err.code, want);
  if (want == QV_OK) qv_buf_free(&b);
  else assert_non_null(strstr(err.msg, path));
  assert_null(b.p);
  assert_int_equal(b.n, 0);
}

static void file_read_limits(void **state) {
  (void)state;
  assert_int_equal(qv_file_write(in_dir("a"), "12345", 5, NULL), QV_OK);
  expect_read(in_dir("a"), 5, QV_OK);
  expect_read(in_dir("a"), 4, QV_E_LIMIT);
  expect_read(in_dir("a"), 0, QV_E_LIMIT);
  assert_int_equal(unlink(in_dir("a")), 0);
  expect_read(in_dir("a"), 5, QV_E_IO);
  expect_read(dir, 5, QV_E_IO);
  expect_read("/dev/zero", 100000, QV_E_LIMIT); /* endless: stops soon after the cap */
  expect_read("/dev/null", 0, QV_OK);
}

static void file_read_pipe(void **state) {
  (void)state;
  assert_int_equal(mkfifo(in_dir("p"), 0600), 0);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) { /* in pieces, with more than a pipe's buffer in all */
    FILE *f = fopen(in_dir("p"), "w");
    for (int i = 0; f != NULL && i < 20000; i++) (void)fprintf(f, "%09d\n", i);
    _exit(f == NULL || fclose(f) != 0);
  }
  qv_buf b = {0};
  int rc;
  assert_int_equal(qv_file_read(&b, in_dir("p"), 1 << 20, NULL), QV_OK);
  assert_true(waitpid(child, &rc, 0) == child && rc == 0);
  assert_int_equal(b.n, 200000);
  assert_memory_equal(b.p + 199990, "000019999\n", 11);
  qv_buf_free(&b);
  assert_int_equal(unlink(in_dir("p")), 0);
}

static void expect_write(const char *path, qv_status want) {
  qv_err err = {0};
  assert_int_equal(qv_file_write(path, "x", 1, &err), want);
  assert_int_equal(err.code, want);
  if (want != QV_OK) assert_non_null(strstr(err.msg, path));
}

static void file_write_failures(void **state) {
  (void)state;
  /* Devices only through links of our own: a broken rename, run by root, would replace the device itself. */
  assert_int_equal(symlink("/dev/full", in_dir("full")), 0);
  expect_write(in_dir("full"), QV_E_IO);
  assert_int_equal(unlink(in_dir("full")), 0);
  assert_int_equal(symlink("/dev/null", in_dir("null")), 0);
  expect_write(in_dir("null"), QV_OK);
  assert_int_equal(unlink(in_dir("null")), 0);
  assert_int_equal(entries(), 0);
  expect_write(dir, QV_E_IO);
  expect_write(in_dir("missing/x"), QV_E_IO);
  expect_write("", QV_E_IO);
  assert_int_equal(mkdir(in_dir("closed"), 0500), 0);
  if (geteuid() != 0) expect_write(in_dir("closed/x"), QV_E_IO); /* root may write anywhere */
  assert_int_equal(rmdir(in_dir("closed")), 0);
  /* A disk that fills up half-way: the old file stays as it was, the temporary one goes. */
  static char big[100000];
  struct rlimit old, tight;
  qv_err err = {0};
  assert_int_equal(qv_file_write(in_dir("a"), "old", 3, NULL), QV_OK);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  tight = old;
  tight.rlim_cur = 4096;
  void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
  qv_status st = qv_file_write(in_dir("a"), big, sizeof big, &err);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
  (void)signal(SIGXFSZ, handler);
  assert_int_equal(st, QV_E_IO);
  assert_non_null(strstr(err.msg, strerror(EFBIG)));
  expect_content(in_dir("a"), "old");
  assert_int_equal(entries(), 1);
  assert_int_equal(unlink(in_dir("a")), 0);
}

/* A link is written through, never replaced: /dev/stdout is one, and may lead to a regular file. */
static void file_write_links(void **state) {
  (void)state;
  struct stat sb;
  assert_int_equal(qv_file_write(in_dir("target"), "something long", 14, NULL), QV_OK);
  assert_int_equal(symlink("target", in_dir("link")), 0);
  assert_int_equal(qv_file_write(in_dir("link"), "short", 5, NULL), QV_OK);
  expect_content(in_dir("target"), "short");
  assert_true(lstat(in_dir("link"), &sb) == 0 && S_ISLNK(sb.st_mode));
  assert_int_equal(entries(), 2);
  assert_int_equal(unlink(in_dir("link")), 0);
  assert_int_equal(unlink(in_dir("target")), 0);
}

/* "-" is standard output; an existing pipe is written to, not replaced. */
static void file_write_streams(void **state) {
  (void)state;
  struct stat sb;
  (void)fflush(stdout);
  int keep = dup(STDOUT_FILENO), fd = open(in_dir("out"), O_CREAT | O_RDWR | O_TRUNC, 0600), full = open("/dev/full", O_WRONLY);
  assert_true(keep >= 0 && fd >= 0 && full >= 0);
  assert_true(dup2(fd, STDOUT_FILENO) >= 0);
  qv_status a = qv_file_write("-", "one", 3, NULL);
  bool turned = dup2(full, STDOUT_FILENO) >= 0;
  qv_status b = qv_file_write("-", "x", 1, NULL);
  assert_true(dup2(keep, STDOUT_FILENO) >= 0);
  (void)close(keep);
  (void)close(fd);
  (void)close(full);
  assert_int_equal(a, QV_OK);
  assert_true(turned);
  assert_int_equal(b, QV_E_IO);
  expect_content(in_dir("out"), "one");
  assert_int_equal(unlink(in_dir("out")), 0);

  assert_int_equal(mkfifo(in_dir("p"), 0600), 0);
  int reader = open(in_dir("p"), O_RDONLY | O_NONBLOCK);
  char got[8] = "";
  assert_true(reader >= 0);
  assert_int_equal(qv_file_write(in_dir("p"), "two", 3, NULL), QV_OK);
  assert_int_equal(read(reader, got, sizeof got), 3);
  assert_memory_equal(got, "two", 3);
  assert_true(lstat(in_dir("p"), &sb) == 0 && S_ISFIFO(sb.st_mode));
  (void)close(reader);
  assert_int_equal(entries(), 1);
  assert_int_equal(unlink(in_dir("p")), 0);
}

/* ---- SHA-256, generator, status ---------------------------------------------------------------------------------------- */

/* FIPS 180-4 example messages (NIST, "Cryptographic Standards and Guidelines, Example Values", SHA-256). */
static void sha256_vectors(void **state) {
  (void)state;
  static const struct { const char *text, *hex; } v[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
       "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"}};
  char hex[QV_SHA256_HEX];
  for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
    qv_sha256_hex(hex, v[i].text, strlen(v[i].text));
    assert_string_equal(hex, v[i].hex);
  }
  char *million = malloc(1000000);
  assert_non_null(million);
  memset(million, 'a', 1000000);
  qv_sha256_hex(hex, million, 1000000);
  assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  free(million);
}

/* First outputs of the published generator (https://prng.di.unimi.it/splitmix64.c) for seed 1234567. */
static void splitmix_vectors(void **state) {
  (void)state;
  static const uint64_t want[] = {6457827717110365317u, 3203168211198807973u, 9817491932198370423u, 4593380528125082431u,
                                  16408922859458223821u};
  qv_rng r = {1234567};
  for (size_t i = 0; i < 5; i++) assert_true(qv_rng_next(&r) == want[i]);
  bool seen[7] = {false};
  for (int i = 0; i < 1000; i++) {
    int64_t v = qv_rng_range(&r, -3, 3);
    assert_true(v >= -3 && v <= 3);
    seen[v + 3] = true;
    assert_true(qv_rng_range(&r, INT64_MIN, INT64_MIN) == INT64_MIN);
    assert_true(qv_rng_range(&r, 0, INT64_MAX) >= 0);
  }
  for (int i = 0; i < 7; i++) assert_true(seen[i]);
}

static void status_records(void **state) {
  (void)state;
  qv_err err = {0};
  char longer[1000];
  assert_int_equal(QV_FAIL(&err, QV_E_PARSE, "first %d", 1), QV_E_PARSE);
  assert_int_equal(QV_FAIL(&err, QV_E_IO, "second"), QV_E_IO); /* the code is returned, the record keeps the first */
  assert_int_equal(err.code, QV_E_PARSE);
  assert_string_equal(err.msg, "first 1");
  assert_string_equal(err.where, "status_records");
  assert_int_equal(QV_FAIL(NULL, QV_E_LIMIT, "nobody listens"), QV_E_LIMIT);
  memset(longer, 'x', sizeof longer - 1);
  longer[sizeof longer - 1] = 0;
  err = (qv_err){0};
  (void)QV_FAIL(&err, QV_E_IO, "%s", longer);
  assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
  static const qv_status all[] = {QV_OK, QV_E_ARG, QV_E_PARSE, QV_E_UNSUP, QV_E_RANGE, QV_E_NOMEM, QV_E_IO, QV_E_LIMIT, QV_E_INTERNAL};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    for (size_t j = 0; j < i; j++) assert_string_not_equal(qv_status_name(all[i]), qv_status_name(all[j]));
  assert_string_equal(qv_verdict_name(QV_UNKNOWN), "UNKNOWN");
  assert_string_equal(qv_verdict_name(QV_FALSIFIED), "FALSIFIED");
  assert_string_equal(qv_verdict_name(QV_VERIFIED), "VERIFIED");
  assert_int_equal((qv_verdict){0}, QV_UNKNOWN); /* zeroed memory claims nothing */
}

static int hook_calls;
static const char *hook_cond;
static void hook(const char *cond, const char *file, int line) {
  hook_calls++;
  hook_cond = cond;
  assert_non_null(strstr(file, "test_base.c"));
  assert_true(line > 0);
}

static void assertions_use_the_hook(void **state) {
  (void)state;
  qv_assert_hook old = qv_on_assert;
  int one = 1;
  qv_on_assert = hook;
  QV_CHECK(one == 1);
  assert_int_equal(hook_calls, 0);
  QV_CHECK(one == 2);
  qv_on_assert = old;
  assert_int_equal(hook_calls, 1);
  assert_string_equal(hook_cond, "one == 2");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(overflow_against_gmp), cmocka_unit_test(divisions_against_gmp), cmocka_unit_test(divisions_small),
      cmocka_unit_test(wraps_against_gmp),    cmocka_unit_test(types_and_intervals),   cmocka_unit_test(arena_blocks),
      cmocka_unit_test(arena_limits),         cmocka_unit_test(arena_faults),          cmocka_unit_test(arena_strings),
      cmocka_unit_test(buf_grows),            cmocka_unit_test(buf_integers),          cmocka_unit_test(buf_failure_sticks),
      cmocka_unit_test_setup_teardown(file_round_trip, make_dir, remove_dir),
      cmocka_unit_test_setup_teardown(file_read_limits, make_dir, remove_dir),
      cmocka_unit_test_setup_teardown(file_read_pipe, make_dir, remove_dir),
      cmocka_unit_test_setup_teardown(file_write_failures, make_dir, remove_dir),
      cmocka_unit_test_setup_teardown(file_write_links, make_dir, remove_dir),
      cmocka_unit_test_setup_teardown(file_write_streams, make_dir, remove_dir),
      cmocka_unit_test(sha256_vectors),       cmocka_unit_test(splitmix_vectors),      cmocka_unit_test(status_records),
      cmocka_unit_test(assertions_use_the_hook)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
