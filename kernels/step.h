/* Requantization: the one place where the functions of docs/semantics.md section 2 are written down.
 * Everything else (bounds, relaxations, encodings, branching) uses eval and preimage only. */
#ifndef QV_KERNELS_STEP_H
#define QV_KERNELS_STEP_H

#include "ir/ir.h"

/* RQ(v) for one channel. zp is read by QV_RQ_REF only.
 *   Pre: parameters valid (qv_ir_check), |v| * 2^max(sh,0) <= 2^62. Exact: the defining formula. Pure. */
int64_t qv_rq_eval(const qv_rq_par *p, int64_t v, int64_t zp);

/* y = f(acc) for parameter set c of a step: (acc - in_zp)*2^lshift, RQ, out_zp, clamp. Pre: |(acc - in_zp)*2^lshift| <= 2^62. */
int64_t qv_step_eval(const qv_step *s, uint32_t c, int64_t acc);

/* Parameter set of element e. */
uint32_t qv_step_channel(const qv_step *s, size_t e);

/* { acc in dom : f(acc) = y }, and with `le`/`ge` the sets f(acc) <= y, f(acc) >= y.
 *   Post: returns the number of maximal intervals written to out[0..1], in ascending order, each within dom.
 *         0 = empty. Every function here is monotone in acc (Lemma S6; decreasing for m < 0), so one interval suffices.
 *   Exact. Cost: O(64) evaluations. */
typedef enum { QV_PRE_EQ, QV_PRE_LE, QV_PRE_GE } qv_pre_rel;
int qv_step_preimage(qv_itv out[2], const qv_step *s, uint32_t c, qv_pre_rel rel, int64_t y, qv_itv dom);

/* Exact image of an interval: [min f, max f] (Lemma S6). */
qv_itv qv_step_image(const qv_step *s, uint32_t c, qv_itv acc);

/* Building blocks, exported for the unit tests and the fast kernels' proofs. */
int64_t qv_srdhm(int64_t a, int64_t b);     /* saturating rounding doubling high multiply, Lemma S1 */
int64_t qv_rdbp(qv_i128 x, int e);          /* rounding divide by power of two, nearest ties away, 0 <= e <= 62 */
int64_t qv_rne(double d);                   /* nearest, ties to even, |d| <= 2^62; independent of the rounding mode */

#endif
