/* Repair of nets whose narrow stages can saturate or wrap (docs/audit.md section 5). Three ways, each layer by layer in execution
 * order, for the ranges proved behind the layers before it:
 *   permute  input channels in another order, so that products that do not fit together do not meet; where no order exists, with the
 *            fewest channels of zeros added. Nothing that the net computes changes.
 *   clip     the fewest steps of weights toward zero
 *   range    weights of 7 bits: halved, the requantization doubled
 *   scale    weights on the most levels that fit: times r/R, R the largest magnitude of the layer's weights, and the requantization
 *            times R/r (the knob of overflow-aware quantization)
 *   auto     permute where that is possible and adds at most a quarter of the channels, else clip or range, whichever changes the
 *            weights less (sum of squares) */
#ifndef QV_ANALYSIS_REPAIR_H
#define QV_ANALYSIS_REPAIR_H

#include "analysis/audit.h"

typedef enum { QV_REPAIR_AUTO, QV_REPAIR_PERMUTE, QV_REPAIR_CLIP, QV_REPAIR_RANGE, QV_REPAIR_SCALE } qv_repair_way;
const char *qv_repair_name(qv_repair_way w); /* "auto", "permute", .. */

typedef struct {
  uint32_t node, channel, term; /* term in stored order; the weight is w[channel][term] */
  int32_t was, is;              /* stored weight */
} qv_repair_change;

/* What was done to one layer. */
typedef struct {
  uint32_t node;        /* in the repaired net                                                                                    */
  qv_repair_way way;    /* not AUTO                                                                                               */
  uint64_t weights;     /* CLIP, RANGE, SCALE: weights changed                                                                    */
  uint64_t steps;       /* CLIP: sum of |was - is|                                                                                */
  uint64_t bound;       /* CLIP: no clipping of these channels has fewer (for the intervals of analysis/fit.h)                    */
  int64_t most;         /* CLIP: largest |was - is|                                                                               */
  uint32_t channels;    /* PERMUTE: input channels of a window group                                                              */
  uint32_t added;       /* PERMUTE: channels of zeros beside them                                                                 */
  int64_t levels, of;   /* SCALE: r and R; no larger r fits (for the intervals of analysis/fit.h)                                 */
} qv_repair_layer;

typedef struct {
  qv_repair_layer *layer;   /* [n_layers] in execution order */
  uint32_t n_layers;
  qv_repair_change *change; /* [n] clipped weights by node, channel, term */
  uint32_t n, cap;
  uint64_t groups, steps, bound; /* groups whose weights were clipped; totals of the layers */
  qv_arena arena;
} qv_repair;

/* Change `net` so that the stages of its affine nodes are harmless; nodes that are proved already are left alone, and so are those
 * whose accumulator does not allow the way; RANGE and SCALE clip layers whose sum does not go into one requantization by a scale.
 *   Pre: checked net. Post: checked net. Whether it is proved then is for qv_prove_overflow to say. *out is owned by the caller
 *   (qv_repair_clear), also after an error. Errors: QV_E_NOMEM, QV_E_ARG. Cost: one interval analysis per node changed. */
QV_NODISCARD qv_status qv_repair_run(qv_repair *out, qv_net *net, const qv_property *prop, qv_repair_way way, qv_err *err);
void qv_repair_clear(qv_repair *r);

#endif
