/* Entropy of a list of counts, certified: EAGL compares layers by it, and a comparison must not hang on the roundings of a logarithm. */
#ifndef QV_QUANT_ENTROPY_H
#define QV_QUANT_ENTROPY_H

#include <stddef.h>
#include <stdint.h>

#include "ir/base/status.h"

/* *lo <= N log2 N - sum n_k log2 n_k <= *hi bits, N = sum n_k, by integer arithmetic; computed with more and more digits until both ends
 * are the same decimal number of 12 digits. Zeros count nothing. Pre: N < 2^63. */
void qv_entropy_bits(double *lo, double *hi, const uint64_t *count, size_t n);

#endif
