/* Shared by the transformers of qv_range_run; nobody else includes this. */
#ifndef QV_ANALYSIS_RANGE_INT_H
#define QV_ANALYSIS_RANGE_INT_H

#include "analysis/acc_bound.h"
#include "analysis/range.h"

typedef struct {
  const qv_net *net;
  qv_range_result *out;
  const qv_ranges *known; /* qv_domain.known */
  uint64_t *deps;  /* [n_tensors] net inputs that a tensor depends on, one bit each (inputs from 63 on share one) */
  uint64_t effort; /* terms left for evaluation by position */
  qv_arena tmp;    /* cleared after every node */
  qv_err *err;
} qv_range_ctx;

/* Take `cost` from the effort if it is there. */
static inline bool qv_range_afford(qv_range_ctx *c, uint64_t cost) {
  if (cost > c->effort) return false;
  c->effort -= cost;
  return true;
}

/* Output row or column class: which taps along one axis lie inside the image. */
typedef struct {
  int64_t at;     /* image row (column) of tap 0, of one position of the class */
  uint32_t t0, t1; /* taps inside: t0 <= tap < t1; t0 = t1 = 0 if none */
} qv_axis;

/* Distinct classes along one axis; cls has room for o. Returns their number. Cost: O(o * classes). */
uint32_t qv_axis_classes(qv_axis *cls, uint32_t o, uint32_t in, uint32_t k, uint32_t stride, uint32_t dil, uint32_t pad);
/* The class of one position. */
qv_axis qv_axis_at(uint32_t p, uint32_t in, uint32_t k, uint32_t stride, uint32_t dil, uint32_t pad);

/* No input element is a tap of two output positions. */
bool qv_window_disjoint(const qv_window *g);

/* AFFINE: bounds into *b, output into out->tensor and out->reach. */
QV_NODISCARD qv_status qv_range_affine(qv_range_ctx *c, const qv_node *n, qv_acc_bound *b);

#endif
