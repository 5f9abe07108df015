/* Exact piecewise affine functions of one real variable, with numbers p + q*sqrt(r): what stands between an integer sum and the
 * quantizer behind it (scale, bias, BatchNorm, Relu, PRelu, Clip, and quantizers themselves), and its image in integers:
 * the thresholds of a QV_THRESHOLD node. Jumps are allowed. Private to the front end. */
#ifndef QV_FRONTEND_PWA_H
#define QV_FRONTEND_PWA_H

#include "frontend/surd.h"
#include "ir/ir.h"

/* a*x + b from `from` on (closed: including it), up to where the next piece begins; the first piece begins at -infinity. */
typedef struct {
  qv_surd from;
  bool closed;
  qv_surd a, b;
} qv_piece;

typedef struct {
  uint32_t n, cap; /* n >= 1 */
  qv_piece *v;     /* ascending; of two at the same point the first is closed and the second is not */
} qv_pwa;

/* New function of n pieces, all numbers 0, to be filled; NULL: no memory. */
qv_pwa *qv_pwa_new(uint32_t n);
void qv_pwa_free(qv_pwa *f);
qv_pwa *qv_pwa_affine(const qv_surd *a, const qv_surd *b); /* a*x + b */

/* g after f. QV_E_NOMEM, or QV_E_UNSUP where two different roots would meet or numbers become too large. *out is new. */
QV_NODISCARD qv_status qv_pwa_compose(qv_pwa **out, const qv_pwa *g, const qv_pwa *f);

/* Functions to compose with. NULL: no memory (QV_E_NOMEM). */
qv_pwa *qv_pwa_slopes(const qv_surd *below, const qv_surd *above);      /* x < 0: below*x, else above*x */
qv_pwa *qv_pwa_clip(const qv_surd *lo, const qv_surd *hi);              /* NULL: no bound; hi wins where lo > hi */

/* Value at x. False: different roots, too large. */
QV_NODISCARD bool qv_pwa_at(qv_surd *y, const qv_pwa *f, const qv_surd *x);
bool qv_pwa_equal(const qv_pwa *f, const qv_pwa *g); /* written equally; may be false for equal functions of other form */
bool qv_pwa_is_step(const qv_pwa *f);                /* every piece is constant */
/* Never decreases. False also where that cannot be decided (different roots). */
bool qv_pwa_rises(const qv_pwa *f);

/* The rounding functions of QONNX, and that of hls4ml's ap_fixed that it lacks. A level k is reached from boundary(k) on. */
typedef enum { QV_ROUND_EVEN, QV_ROUND_CEIL, QV_ROUND_FLOOR, QV_ROUND_UP, QV_ROUND_DOWN, QV_ROUND_HALF_UP, QV_ROUND_HALF_DOWN } qv_rounding;
/* round(u) >= k if and only if u >= *twice/2 (*closed) or u > *twice/2. */
void qv_round_boundary(qv_rounding mode, int64_t k, int64_t *twice, bool *closed);
/* sat[lo,hi](round(u)), hi - lo < 65536. NULL: no memory. */
qv_pwa *qv_pwa_round(qv_rounding mode, int64_t lo, int64_t hi);

/* f as a function of integers, or (order) of binary32 numbers given by their order numbers: thresholds and values. Every piece of
 * f must be constant and an int32 (QV_E_UNSUP otherwise), and there may be at most QV_MAX_THRESHOLDS. *near counts boundaries that lie
 * within 2^-20 of an integer: there a binary32 evaluation of the same formula may land on the other side.
 *   p is filled in `arena`. */
QV_NODISCARD qv_status qv_pwa_pieces(qv_pieces *p, uint32_t *near, const qv_pwa *f, bool order, qv_arena *arena);

#endif
