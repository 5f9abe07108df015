/* Minima of several units taken together: the channels of one position of an affine layer read the same few variables, and where these
 * have few values in all, every combination of the channels' values is known (docs/certificate.md section 7.3, joint minima). That
 * recovers what their roundings have in common; it is what narrow first layers lose most by. */
#ifndef QV_ANALYSIS_ROBUST_JOINT_H
#define QV_ANALYSIS_ROBUST_JOINT_H

#include "analysis/robust_graph.h"

/* The points of one group: all combinations of its variables' values, the first variable fastest, as blocks over the first variables. */
typedef struct {
  uint32_t unit, n; /* units unit..unit+n-1 */
  uint32_t n_var;   /* variables that vary */
  const uint32_t *var;
  int64_t *lo;
  uint32_t *values; /* [n_var] numbers of values */
  int32_t *w;       /* [n][n_var] */
  int64_t *a0, *y0; /* [n] accumulators where all variables are at lo; least values */
  qv_itv *acc;      /* [n] that the points were made for */
  uint64_t points;
  uint32_t inner;        /* variables that vary inside a block */
  size_t block, stride;  /* points of a block; rounded up to 8 (the rest repeats the first point) */
  uint64_t blocks;
  uint32_t *out;  /* [n] plane that is 1 where the unit's accumulator is outside acc: the point does not count with it; 0: none such */
  uint32_t n_out; /* planes n..n+n_out-1 */
  uint8_t *y;     /* [blocks][n + n_out planes][stride]; of the first n, values above y0 */
} qv_joint_group;

typedef struct {
  uint32_t n;
  qv_joint_group *group; /* [n] ascending in points */
  uint32_t *of; /* [graph n] group + 1 of a unit, or 0 */
  uint64_t limit; /* every group of the graph's with at most so many points, if its values fit 8 bits, is here */
  size_t bytes;   /* of all values */
  uint32_t n_tensor;
  uint32_t *tensor; /* [n_tensor] ascending: that the units write */
  size_t room;         /* points of the largest block */
  uint32_t most_units; /* of a group */
  qv_arena arena;
} qv_joint;

/* Scratch of one thread. */
typedef struct {
  float *lin, *m;
  uint32_t *used;
  int64_t *acc, *ilin, *im;
} qv_joint_room;

/* Groups whose points inside lo..hi (acc: accumulators there) number at most `points` (<= 2^20), the small ones first, as long as their
 * values take at most `bytes` in all. *out is the caller's (qv_joint_free) and NULL if there is none. Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_joint_new(qv_joint **out, const qv_graph *g, const int64_t *lo, const int64_t *hi, const qv_itv *acc,
                                    uint64_t points, size_t bytes, qv_err *err);
void qv_joint_free(qv_joint *j);
/* The largest limit with which all groups below it have at most `work` points times units. */
uint64_t qv_joint_limit(const qv_joint *j, double work);
/* Points times units of the groups up to a limit. */
double qv_joint_work(const qv_joint *j, uint64_t limit);
bool qv_joint_room_for(qv_joint_room *r, const qv_joint *j, qv_arena *a);

/* Least sum of m*y - s*acc over the group's points, in doubles; m, s, x, at are indexed by variable, as in qv_dual. x and at get the
 * accumulators and values that attain it. */
double qv_joint_least(const qv_joint_group *k, const double *m, const double *s, double *x, float *at, qv_joint_room *r);

/* The same in integers, exactly; 0 if no point counts. m, s: [k->n]. False: numbers too large. */
bool qv_joint_exact(qv_i128 *least, const qv_joint_group *k, const int64_t *m, const int32_t *s, qv_joint_room *r);

#endif
