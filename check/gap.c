// Lemma S7 of docs/semantics.md: when a tail keeps the order of its row, and how far apart two values must be for it to keep
// them apart.
#include "check.h"

static i128 floor_log(i128 v) {
  i128 b = 0;
  while (v >= 2) v /= 2, b++;
  return b;
}

static int64_t reach(const Node *n) { return n->tail->diff_min < -255 ? 255 : -(int64_t)n->tail->diff_min; }

bool tail_ordered(const Node *n) {
  const Tail *f = n->tail;
  // A sum times out_scale that becomes 0 would have no inverse; far above it nothing can go wrong.
  if (f->fn == SOFTMAX_F) return f->exp[255] >= 0x1p-32f;
  if (f->fn == SOFTMAX_16) return true;
  for (int64_t d = 1; d <= reach(n); d++) {
    if (tail_exp(f, -d) > tail_exp(f, -d + 1)) return false;
  }
  return tail_exp(f, -reach(n)) >= 0;
}

static bool gap_q(const Node *n, int64_t g, i128 row) {
  const Tail *f = n->tail;
  i128 most = row * pow2(19), difference = tail_exp(f, 0) - (g > reach(n) ? 0 : tail_exp(f, -g));
  if (n->lo > n->out_zp || n->out_zp + pow2((unsigned)f->out_bits - 1) >= n->hi) return false;
  for (unsigned h = 12;; h--) {
    i128 s = imin(most, pow2(32 - h) - 1);
    if ((pow2(62) - 7 * s * pow2(h)) * difference < pow2((unsigned)(74 - f->out_bits)) * s) return false;
    if (h == 0 || 31 - floor_log(most) >= h) return true; // down to the leading zeros of the largest sum
  }
}

// A binary32 number as a multiple of 2^-149.
static void exact_float(mpz_t r, float v) {
  mpf_t x;
  mpf_init2(x, 400);
  mpf_set_d(x, (double)v);
  mpf_mul_2exp(x, x, 149);
  mpz_set_f(r, x);
  mpf_clear(x);
}

// I * (E0 - Eg - 2^-22 (E0 + Eg)) >= 1 + 2^-10, times 2^(149+149+22).
static bool far_enough(float inverse, float e0, float eg) {
  mpz_t i, a, b, one, t;
  mpz_inits(i, a, b, one, t, NULL);
  exact_float(i, inverse), exact_float(a, e0), exact_float(b, eg);
  mpz_sub(t, a, b), mpz_mul_2exp(t, t, 22);
  mpz_sub(t, t, a), mpz_sub(t, t, b), mpz_mul(t, t, i);
  mpz_set_ui(one, 1025), mpz_mul_2exp(one, one, 149 + 149 + 22 - 10);
  bool far = mpz_cmp(t, one) >= 0;
  mpz_clears(i, a, b, one, t, NULL);
  return far;
}

static bool gap_f(const Node *n, int64_t g, uint32_t row) {
  const Tail *f = n->tail;
  float e0 = f->exp[255], sum = 0;
  i128 room = (i128)n->hi - n->out_zp - 1; // 1 <= 2 * out_scale * room, in binary64: room below 2^63, exact where it matters
  if (e0 < 0x1p-32f || f->out_scale < 0x1p-12f || f->out_scale > 1 || row > 65536 || n->lo > n->out_zp || room < 1) return false;
  if (room < 1 << 20 && 2 * (double)f->out_scale * (double)room < 1) return false; // 24 and 20 bits: exact
  for (uint32_t i = 0; i < row; i++) sum += e0;
  float scaled = sum * f->out_scale, inverse = 1 / scaled;
  return far_enough(inverse, e0, f->exp[255 - g]);
}

int64_t tail_gap(const Node *n, uint32_t row) {
  if (n->tail->fn == SOFTMAX_16 || row < 2 || !tail_ordered(n)) return 0;
  for (int64_t g = 1; g <= 255; g++) {
    if (n->tail->fn == SOFTMAX_Q ? gap_q(n, g, row) : gap_f(n, g, row)) return g;
  }
  return 0;
}
