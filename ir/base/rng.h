/* SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): small, seeded, the same bytes everywhere. Not for secrets. */
#ifndef QV_IR_BASE_RNG_H
#define QV_IR_BASE_RNG_H

#include <stdint.h>

typedef struct {
  uint64_t s;
} qv_rng;

static inline uint64_t qv_rng_next(qv_rng *r) {
  uint64_t z = (r->s += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

/* Uniform (up to 2^-64 bias) in [lo,hi], lo <= hi, hi - lo < 2^63. */
static inline int64_t qv_rng_range(qv_rng *r, int64_t lo, int64_t hi) {
  return lo + (int64_t)(qv_rng_next(r) % ((uint64_t)(hi - lo) + 1));
}

#endif
