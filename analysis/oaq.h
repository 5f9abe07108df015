/* The published rule of overflow-aware quantization (Xie et al., arXiv 2005.13297), on an integer net: shrink a layer's weights until
 * no output of it overflows on sample data. What is proved instead is qv_repair_run with QV_REPAIR_SCALE; docs/oaq.md compares both. */
#ifndef QV_ANALYSIS_OAQ_H
#define QV_ANALYSIS_OAQ_H

#include "ir/ir.h"

typedef struct {
  uint32_t node;
  uint64_t overflows;  /* outputs of the layer as given that are not the exact sum, on all samples, behind the layers before it    */
  int64_t levels, of;  /* most levels r of R without one: weights times r/R, requantization times R/r; r = R: as given             */
  bool fixed;          /* there are overflows, but the layer's sum does not go into one requantization by a scale: left as given    */
} qv_oaq_layer;

typedef struct {
  qv_oaq_layer *layer; /* [n] affine nodes with a bounded accumulator, in execution order */
  uint32_t n;
  qv_arena arena;
} qv_oaq;

/* Apply the rule to every affine node with an accumulator other than EXACT, in execution order, each on the values that the net gives
 * with the layers before it as the rule left them. in[i]: input i, n samples back to back.
 *   Pre: checked net, samples within the inputs' ranges. Post: checked net. *out is owned by the caller (qv_oaq_clear), also after an
 *   error. Errors: QV_E_NOMEM, QV_E_RANGE (a trap), QV_E_UNSUP (an opaque node). Deterministic.
 *   Cost: n executions on the reference, and one evaluation of a layer's sums for every number of levels tried. */
QV_NODISCARD qv_status qv_oaq_rule(qv_oaq *out, qv_net *net, size_t n, const int64_t *const *in, qv_err *err);
void qv_oaq_clear(qv_oaq *o);

#endif
