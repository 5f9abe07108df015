/* Repair of saturating byte pairs: the fewest steps by which weights have to move toward zero (docs/audit.md section 5). */
#ifndef QV_ANALYSIS_REPAIR_H
#define QV_ANALYSIS_REPAIR_H

#include "analysis/audit.h"

typedef struct {
  uint32_t node, channel, term; /* term in stored order; the weight is w[channel][term] */
  int32_t was, is;              /* stored weight */
} qv_repair_change;

typedef struct {
  qv_repair_change *change; /* [n] by node, channel, term */
  uint32_t n, cap;
  uint64_t pairs, steps;    /* pairs changed; sum of |was - is| */
  uint32_t layers;          /* nodes changed */
  qv_arena arena;
} qv_repair;

/* Change weights of `net` so that no pair of its PAIR16 nodes can saturate: uncorrected, in stored order, uint8 activations and
 * weights of 8 bits (other nodes are left alone). In execution order, each node for the ranges proved behind the repaired ones;
 * per input channel one range for all positions, the padding byte included. For these ranges the number of steps of every pair is
 * the least there is, and it is split as evenly as that allows.
 *   Pre: checked net. Post: checked net; weights only move toward zero, and only in pairs that were not safe. Whether the net is
 *   proved then is for qv_prove_overflow to say. *out is owned by the caller (qv_repair_clear), also after an error.
 *   Errors: QV_E_NOMEM, QV_E_ARG. Cost: one interval analysis per node changed. */
QV_NODISCARD qv_status qv_repair_clip(qv_repair *out, qv_net *net, const qv_property *prop, qv_err *err);
void qv_repair_clear(qv_repair *r);

#endif
