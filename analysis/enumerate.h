/* Complete enumeration of boxes with few points: the engine for small boxes, and the points leaves of a split tree
 * (docs/certificate.md section 7.5). */
#ifndef QV_ANALYSIS_ENUMERATE_H
#define QV_ANALYSIS_ENUMERATE_H

#include "analysis/robust_batch.h"

/* Number of integer points of the box lo..hi, or UINT64_MAX if larger than that. */
uint64_t qv_box_points(const int64_t *lo, const int64_t *hi, size_t n);

/* Visit every point of the box. *found: the first point (in x) whose output violates the query, as the executor sees it;
 * otherwise the whole box was visited. Errors: those of the executor; QV_E_LIMIT at the deadline (0 = none). */
QV_NODISCARD qv_status qv_enumerate(bool *found, int64_t *x, qv_batch *b, const int64_t *lo, const int64_t *hi, size_t n, double deadline,
                                    qv_err *err);

/* A net made ready for one box and any number of boxes inside it: the part that the box can change (analysis/subnet.h) if that is less
 * work, and one executor for each thread that asks. */
typedef struct qv_box_net qv_box_net;

/* lo, hi: [all input elements] one input after the other, kept until the end. row: what the condition calls output 0 is this tensor, all
 * others are left out; QV_NONE: the net's own outputs. cond is kept. Pre: checked net that the executor takes. *out is the caller's
 * (qv_box_net_free). Errors: QV_E_NOMEM, QV_E_UNSUP. */
QV_NODISCARD qv_status qv_box_net_new(qv_box_net **out, const qv_net *net, const int64_t *lo, const int64_t *hi, uint32_t row,
                                      const qv_condition *cond, uint32_t workers, qv_err *err);
void qv_box_net_free(qv_box_net *b);
uint64_t qv_box_net_work(const qv_box_net *b); /* multiply-adds a point */

/* qv_enumerate of the box lo..hi inside the one it was made for, all in the order of the net's inputs. worker: one call at a time for each
 * number below `workers`. threads: of the executor. Errors: as there. */
QV_NODISCARD qv_status qv_box_net_run(bool *found, int64_t *x, qv_box_net *b, uint32_t worker, uint32_t threads, const int64_t *lo,
                                      const int64_t *hi, double deadline, qv_err *err);

#endif
