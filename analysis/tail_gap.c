#include "analysis/tail_gap.h"

#include <gmp.h>

#include "kernels/tail.h"

#define MOST 255      /* entries of 8-bit rows differ by no more */
#define RECIP_ERROR 7 /* lemma S8 */

/* Lowest d that enters the sum of a softmax_q row. */
static int64_t depth(const qv_tail *t) { return qv_min64(MOST, -(int64_t)t->diff_min); }

bool qv_tail_ordered(const qv_tail *t) {
  if (t->fn != QV_TAIL_SOFTMAX_Q) return true;
  for (int64_t d = 1; d <= depth(t); d++)
    if (qv_tail_exp(t, -d) > qv_tail_exp(t, 1 - d)) return false;
  return qv_tail_exp(t, -depth(t)) >= 0;
}

/* ---- softmax_q ------------------------------------------------------------------------------------------------------------ */

static bool apart_q(const qv_tail *t, size_t n, int64_t g) {
  const qv_i128 one = 1;
  int64_t most = (int64_t)n << 19, eg = g > depth(t) ? 0 : qv_tail_exp(t, -g), diff = qv_tail_exp(t, 0) - eg;
  for (int h = 12; h >= __builtin_clz((uint32_t)most); h--) {
    int64_t s = qv_min64(most, ((int64_t)1 << (32 - h)) - 1);
    /* below 2^62 * 2^31 and 2^66 * 2^32 */
    if (((one << 62) - RECIP_ERROR * (qv_i128)s * (one << h)) * diff < (one << (74 - t->out_bits)) * s) return false;
  }
  return true;
}

static int gap_q(const qv_tail *t, size_t n) {
  if (!qv_tail_ordered(t) || n > 4096 || t->lo > t->out_zp || t->out_zp + ((int64_t)1 << (t->out_bits - 1)) >= t->hi) return 0;
  for (int g = 1; g <= MOST; g++)
    if (apart_q(t, n, g)) return g;
  return 0;
}

/* ---- softmax_f: exact in rationals ---------------------------------------------------------------------------------------- */

static int gap_f(const qv_tail *t, size_t n) {
  float top = t->exp[MOST], sum = 0;
  if (!(top >= 0x1p-32f && t->out_scale >= 0x1p-12f && t->out_scale <= 1) || n > 65536 || t->lo > t->out_zp) return 0;
  for (size_t i = 0; i < n; i++) sum += top;
  float scaled = sum * t->out_scale, least = 1.0f / scaled;
  int found = 0;
  mpq_t a, b, c;
  mpq_inits(a, b, c, NULL);
  mpz_t room;
  mpz_init_set_si(room, (long)qv_min64(t->hi - t->out_zp - 1, 1 << 30));
  mpq_set_d(a, (double)t->out_scale);
  mpq_set_z(b, room);
  mpq_mul(a, a, b);
  mpq_mul_2exp(a, a, 1);
  bool wide = mpq_cmp_ui(a, 1, 1) >= 0;
  for (int g = 1; wide && found == 0 && g <= MOST; g++) {
    mpq_set_d(a, (double)top);
    mpq_set_d(b, (double)t->exp[MOST - g]);
    mpq_add(c, a, b);
    mpq_div_2exp(c, c, 22);
    mpq_sub(a, a, b);
    mpq_sub(a, a, c);
    mpq_set_d(b, (double)least);
    mpq_mul(a, a, b);
    mpq_set_d(b, 1 + 0x1p-10);
    if (mpq_cmp(a, b) >= 0) found = g;
  }
  mpz_clear(room);
  mpq_clears(a, b, c, NULL);
  return found;
}

int qv_tail_gap(const qv_tail *t, size_t n) {
  if (n < 2) return 0;
  switch (t->fn) {
  case QV_TAIL_SOFTMAX_Q: return gap_q(t, n);
  case QV_TAIL_SOFTMAX_F: return gap_f(t, n);
  case QV_TAIL_SOFTMAX_16: return 0;
  }
  return 0;
}
