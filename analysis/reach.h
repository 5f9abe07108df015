/* Which values does a sum of independent bounded integers take?
 *
 * S = { b + sum d[i]*x[i] : x[i] an integer of x_range[i] }. Decided exactly, and with the x that give a value, as long as the
 * sets met on the way stay within a memory limit; with byte-wide inputs they always do (docs/diff.md, section 4). */
#ifndef QV_ANALYSIS_REACH_H
#define QV_ANALYSIS_REACH_H

#include "ir/base/arena.h"
#include "ir/base/int.h"

typedef struct {
  size_t n;
  const int64_t *d;
  const qv_itv *x;
  int64_t b;
} qv_linsum; /* no sum of |d|*max|x| and |b| leaves 2^62 */

typedef enum {
  QV_REACH_NO,   /* no value of S is in the wanted set: proved */
  QV_REACH_YES,  /* *value is, and x gives it */
  QV_REACH_OPEN  /* memory limit */
} qv_reach_answer;

#define QV_REACH_BITS ((uint64_t)1 << 29) /* default limit: bits of all stored sets */

/* A sum prepared for queries; lives in `arena`, as long as *s does. Errors: QV_E_NOMEM. */
typedef struct qv_reacher qv_reacher;
QV_NODISCARD qv_status qv_reacher_new(qv_reacher **out, const qv_linsum *s, uint64_t max_bits, qv_arena *arena, qv_err *err);

/* Is a value of want[0..n_want) (ascending, disjoint) in S? x: [s->n], filled with YES. Deterministic. */
qv_reach_answer qv_reacher_find(int64_t *value, int64_t *x, const qv_reacher *r, const qv_itv *want, size_t n_want);

#endif
