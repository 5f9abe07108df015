#include "quant/entropy.h"

#include <gmp.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MOST 1024 /* fraction bits; equal decimals are found long before, unless the entropy is a decimal number itself */

/* lo <= 2^p log2 n <= hi, by squaring the mantissa and taking one binary digit a time; both ends of its interval decide each digit. */
static void log2_of(mpz_t lo, mpz_t hi, uint64_t n, unsigned p) {
  unsigned w = 2 * p + 80, k = 63 - (unsigned)__builtin_clzll(n), i = 0;
  mpz_t a, b, two;
  mpz_inits(a, b, two, (mpz_ptr)NULL);
  mpz_import(a, 1, -1, sizeof n, 0, 0, &n);
  mpz_mul_2exp(a, a, w - k); /* in [1,2), exact: w >= k */
  mpz_set(b, a);
  mpz_set_ui(two, 1);
  mpz_mul_2exp(two, two, w + 1);
  mpz_set_ui(lo, k);
  for (; i < p; i++) {
    mpz_mul(a, a, a);
    mpz_fdiv_q_2exp(a, a, w);
    mpz_mul(b, b, b);
    mpz_cdiv_q_2exp(b, b, w);
    bool one = mpz_cmp(a, two) >= 0;
    if (!one && mpz_cmp(b, two) >= 0) break; /* not decided: the digits so far */
    if (one) {
      mpz_fdiv_q_2exp(a, a, 1);
      mpz_cdiv_q_2exp(b, b, 1);
    }
    mpz_mul_2exp(lo, lo, 1);
    mpz_add_ui(lo, lo, one ? 1 : 0);
  }
  mpz_set(hi, lo);
  if ((n & (n - 1)) != 0) mpz_add_ui(hi, hi, 1); /* powers of two are exact */
  mpz_mul_2exp(lo, lo, p - i);
  mpz_mul_2exp(hi, hi, p - i);
  mpz_clears(a, b, two, (mpz_ptr)NULL);
}

/* Value of z / 2^p, below or above. */
static double scaled(const mpz_t z, unsigned p, bool above) {
  signed long e;
  double d = ldexp(mpz_get_d_2exp(&e, z), 0); /* truncated towards 0 */
  d = ldexp(d, (int)e - (int)p);
  return above ? nextafter(d, INFINITY) : d;
}

static bool same_decimal(double a, double b) {
  char s[40], t[40];
  (void)snprintf(s, sizeof s, "%.12g", a);
  (void)snprintf(t, sizeof t, "%.12g", b);
  return strcmp(s, t) == 0;
}

void qv_entropy_bits(double *lo, double *hi, const uint64_t *count, size_t n) {
  uint64_t all = 0;
  size_t used = 0;
  for (size_t k = 0; k < n; k++) all += count[k], used += count[k] > 0;
  *lo = *hi = 0;
  if (used <= 1) return;
  mpz_t l, h, a, b, m;
  mpz_inits(l, h, a, b, m, (mpz_ptr)NULL);
  for (unsigned p = 64; p <= MOST; p *= 2) {
    log2_of(l, h, all, p);
    mpz_import(m, 1, -1, sizeof all, 0, 0, &all);
    mpz_mul(l, l, m);
    mpz_mul(h, h, m);
    for (size_t k = 0; k < n; k++) {
      if (count[k] == 0) continue;
      log2_of(a, b, count[k], p);
      mpz_import(m, 1, -1, sizeof count[k], 0, 0, &count[k]);
      mpz_submul(l, b, m);
      mpz_submul(h, a, m);
    }
    *lo = mpz_sgn(l) > 0 ? scaled(l, p, false) : 0;
    *hi = scaled(h, p, mpz_cmp(l, h) != 0);
    if (same_decimal(*lo, *hi)) break;
  }
  mpz_clears(l, h, a, b, m, (mpz_ptr)NULL);
}
