/* The part of a net that a small box of inputs can change, as a net of its own: images are cropped to what depends on the box, and
 * the rest stands in constants. Equal to the net on the box, accumulators' terms and their order included, at a fraction of the cost. */
#ifndef QV_ANALYSIS_SUBNET_H
#define QV_ANALYSIS_SUBNET_H

#include "ir/ir.h"

typedef struct {
  qv_net *net;          /* same outputs; one input for each input of the whole net that varies */
  size_t n;             /* elements of its inputs, in order */
  uint32_t *place;      /* [n] their numbers among all input elements of the whole net */
  uint64_t work, whole; /* multiply-adds a sample, and those of the whole net */
} qv_subnet;

/* value: [n_tensors][elements] of the whole net at some input of the box. varies: [input elements]. False in *ok: not worth it, or a form
 * that cannot be cropped. *out is the caller's (qv_subnet_clear). Pre: checked net that can be executed. Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_subnet_make(qv_subnet *out, bool *ok, const qv_net *net, const int64_t *const *value, const bool *varies,
                                      qv_err *err);
void qv_subnet_clear(qv_subnet *s);

/* Rough cost of one execution: multiply-adds, and a few for every element of other nodes. */
uint64_t qv_net_work(const qv_net *net);

#endif
