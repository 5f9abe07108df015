/* Fewest steps by which weights have to move toward zero so that one sum fits its stage: an exact integer search.
 *
 * A group of products has the largest sum  sum up[i] * v[i]  and the smallest  - sum down[i] * v[i]  for weights of magnitude v[i],
 * with up[i], down[i] >= 0 from the range of the activation (which contains 0). Each step takes one from one v[i]. Wanted are
 * 0 <= d[i] <= v[i] with
 *     sum up[i] * d[i] >= need_up,   sum down[i] * d[i] >= need_down,   sum d[i] least. */
#ifndef QV_ANALYSIS_LEAST_H
#define QV_ANALYSIS_LEAST_H

#include "ir/base/arena.h"
#include "ir/base/int.h"

typedef struct {
  int64_t up, down; /* >= 0; the sums of up * most and of down * most lie within 2^62 */
  int64_t most;     /* steps that there are: >= 0                                   */
} qv_least_term;

typedef struct {
  int64_t steps;    /* sum of d                                                                          */
  int64_t bound;    /* no solution has fewer: steps if the search ended, which it does but for odd cases */
} qv_least;

/* d[0..n). Among the solutions with as many steps: spread evenly over terms with the same up and down, and, for at most
 * QV_LEAST_SMOOTH terms, over all of them as far as the sums allow.
 *   Pre: all most together suffice. Errors: QV_E_ARG if they do not; QV_E_NOMEM. Deterministic.
 *   Cost: O(n log n) where one of the two sums decides or the first bound is met; else at most QV_LEAST_NODES / n branches of that. */
QV_NODISCARD qv_status qv_least_steps(int64_t *d, qv_least *out, const qv_least_term *t, size_t n, int64_t need_up, int64_t need_down,
                                      qv_err *err);

enum { QV_LEAST_SMOOTH = 16, QV_LEAST_NODES = 20000 };

#endif
