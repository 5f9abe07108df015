// Tails: docs/semantics.md section 7. All integers here are far below 2^62; binary32 operations round once each (requant.c
// insists on it).
#include "check.h"

#include <inttypes.h>

static int64_t sat(int64_t v, int64_t lo, int64_t hi) { return v < lo ? lo : v > hi ? hi : v; }
static int64_t sat16(int64_t v) { return sat(v, INT16_MIN, INT16_MAX); }
static int64_t sat32(int64_t v) { return sat(v, INT32_MIN, INT32_MAX); }
static int64_t high_product(int64_t a, int64_t b) { return (int64_t)srdhm(a, b); }
static int64_t shift_away(int64_t x, unsigned e) { return (int64_t)away_shift(x, e); }

// Leading zeros of a 32-bit word.
static unsigned leading(int64_t s) {
  unsigned h = 0;
  while (h < 32 && s < (int64_t)1 << (31 - h)) h++;
  return h;
}

static int64_t exp_q(int64_t t) { // t <= 0
  static const int64_t factor[] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
  if (t == 0) return INT32_MAX;
  int64_t a = (int64_t)(t - (int64_t)floor_shift(t, 24) * (1 << 24)) - (1 << 24), u = 32 * a + (1 << 28);
  int64_t u2 = high_product(u, u), u3 = high_product(u2, u), u4 = high_product(u2, u2);
  int64_t v = shift_away(high_product(shift_away(u4, 2) + u3, 715827883) + u2, 1);
  int64_t r = 1895147668 + high_product(1895147668, u + v);
  for (unsigned i = 24; i <= 30; i++) {
    if ((a - t) >> i & 1) r = high_product(r, factor[i - 24]);
  }
  return r;
}

static int64_t reciprocal(int64_t y) { // y >= 0
  int64_t hd = shift_away(y + INT32_MAX, 1), x = 1515870810 + high_product(hd, -1010580540);
  for (unsigned i = 0; i < 3; i++) x += sat32(4 * high_product(x, ((int64_t)1 << 29) - high_product(hd, x)));
  return sat32(2 * x);
}

int64_t tail_exp(const Tail *f, int64_t d) { return exp_q(high_product(d * ((int64_t)1 << f->rq.sh), f->rq.m)); }

static void softmax_q(const Node *n, const int64_t *x, int64_t *y, uint32_t row, int64_t top) {
  const Tail *f = n->tail;
  int64_t sum = 0;
  for (uint32_t i = 0; i < row; i++) {
    if (x[i] - top >= f->diff_min) sum += shift_away(tail_exp(f, x[i] - top), 12);
  }
  unsigned h = leading(sum), e = 12 - h + 31 - (unsigned)f->out_bits;
  if (sum >= (int64_t)1 << 32 || h > 12) rejected("tensor %" PRIu32 ": a softmax sum outside what is defined", n->out);
  int64_t r = reciprocal(sum * ((int64_t)1 << h) - ((int64_t)1 << 31));
  for (uint32_t i = 0; i < row; i++) {
    bool in = x[i] - top >= f->diff_min;
    y[i] = in ? sat(shift_away(high_product(r, tail_exp(f, x[i] - top)), e) + n->out_zp, n->lo, n->hi) : n->lo;
  }
}

static void softmax_f(const Node *n, const int64_t *x, int64_t *y, uint32_t row, int64_t top) {
  const Tail *f = n->tail;
  float sum = 0;
  for (uint32_t i = 0; i < row; i++) {
    if (top - x[i] > 255) rejected("tensor %" PRIu32 ": a softmax input outside its table", n->out);
    sum += f->exp[255 - (top - x[i])];
  }
  float scaled = sum * f->out_scale, inverse = 1 / scaled;
  for (uint32_t i = 0; i < row; i++) {
    float p = f->exp[255 - (top - x[i])] * inverse, half = p + 0.5f;
    i128 r;
    if (!round_float((double)(f->trunc ? half : p), f->trunc ? TO_ZERO : TO_AWAY, &r))
      rejected("tensor %" PRIu32 ": a softmax beyond 2^61", n->out);
    y[i] = (int64_t)clip(r + n->out_zp, n->lo, n->hi);
  }
}

static int64_t lookup(const int16_t *t, int64_t v) { // -2^15 <= v < 2^15
  int64_t i = (int64_t)floor_shift(v, 7), o = v - i * 128;
  i += 256;
  return sat16(t[i] + (int64_t)floor_shift((t[i + 1] - t[i]) * o + 64, 7));
}

static int64_t exp_16(const Node *n, int64_t d) {
  i128 r;
  if (!requant(&n->tail->rq, d, 0, &r)) rejected("tensor %" PRIu32 ": a softmax input beyond its multiplier's range", n->out);
  return lookup(n->tail->lut, sat16((int64_t)clip(r, INT32_MIN, INT32_MAX) + 32767));
}

static void softmax_16(const Node *n, const int64_t *x, int64_t *y, uint32_t row, int64_t top) {
  int64_t sum = 0;
  for (uint32_t i = 0; i < row; i++) sum += exp_16(n, x[i] - top);
  unsigned h = leading(sum);
  if (sum >= (int64_t)1 << 32 || h < 1 || h > 30) rejected("tensor %" PRIu32 ": a softmax sum outside what is defined", n->out);
  int64_t s = (sum * ((int64_t)1 << (h - 1)) + (1 << 13)) >> 14, r = lookup(n->tail->lut + 513, sat16(s - 98304));
  for (uint32_t i = 0; i < row; i++)
    y[i] = sat(((exp_16(n, x[i] - top) * r + ((int64_t)1 << (30 - h))) >> (31 - h)) + n->out_zp, n->lo, n->hi);
}

void tail_run(const Node *n, const int64_t *x, int64_t *y, uint32_t row) {
  int64_t top = x[0];
  for (uint32_t i = 1; i < row; i++) top = x[i] > top ? x[i] : top;
  switch (n->tail->fn) {
  case SOFTMAX_Q: softmax_q(n, x, y, row, top); break;
  case SOFTMAX_F: softmax_f(n, x, y, row, top); break;
  case SOFTMAX_16: softmax_16(n, x, y, row, top); break;
  }
}
