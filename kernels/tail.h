/* Tails: functions of a whole row (docs/semantics.md section 7). */
#ifndef QV_KERNELS_TAIL_H
#define QV_KERNELS_TAIL_H

#include "ir/ir.h"

/* y[0..n) = tail of x[0..n), n >= 1. Pre: checked node, x within the tensor's range. Exact. */
void qv_tail_row(int64_t *y, const int64_t *x, size_t n, const qv_tail *t);

/* softmax_q: E(d), d <= 0, whatever diff_min says. */
int64_t qv_tail_exp(const qv_tail *t, int64_t d);

#endif
