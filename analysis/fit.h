/* The groups of products of a layer that share a narrow stage, as conditions on the magnitudes of its weights: what repairs and
 * overflow-aware quantization change weights for (docs/audit.md section 5, docs/oaq.md).
 *
 * Every activation is taken to range over one interval per input channel: the hull over all positions, of the bytes of padding
 * where a tap can fall there, and of 0. Because of the 0 each weight only adds to the largest and to the smallest sum, so a sum that
 * fits also fits in every prefix, in every subset of its terms and, with pairs, in every pair. Enough for the machine to be exact;
 * and for these intervals and wrapping lanes, saturating pairs and plain sums also necessary. */
#ifndef QV_ANALYSIS_FIT_H
#define QV_ANALYSIS_FIT_H

#include "analysis/least.h"
#include "analysis/range.h"

/* Groups partition the terms 0..k-1 of one output channel. */
typedef struct {
  const qv_affine *a;
  size_t k;              /* terms of an output channel                                                           */
  bool raw;              /* the stage sees stored bytes; else zero points are subtracted                         */
  qv_itv limit;          /* what a group's sum (with the bias, if there is no narrow stage) has to fit            */
  uint32_t gic;          /* input channels of a window group                                                      */
  qv_itv *x;             /* [ic] factor of the weight                                                             */
  uint32_t n, *first;    /* group g has terms term[first[g]] .. term[first[g + 1] - 1]                            */
  uint32_t *term;
} qv_fit;

/* Can the conditions be said for this accumulator? Not for unbounded ones, and not for pairs in unknown order. */
bool qv_fit_possible(const qv_acc *a);

/* Conditions of node n for the proved ranges x of its input (with `elems` elements). Everything is in `arena`. Pre: possible.
 * Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_fit_new(qv_fit *f, qv_arena *arena, const qv_affine *a, const qv_ranges *x, size_t elems, qv_err *err);

/* Weight i of channel o as the stage sees it, for stored weights w[oc * k]. */
static inline int64_t qv_fit_weight(const qv_fit *f, const int32_t *w, uint32_t o, size_t i) {
  return (int64_t)w[o * f->k + i] - (f->raw ? 0 : f->a->w_zp[f->a->n_w_zp == 1 ? 0 : o]);
}

/* What one step of weight i toward zero gains, and how many there are. */
qv_least_term qv_fit_term(const qv_fit *f, const int32_t *w, uint32_t o, size_t i);

/* By how much group g of channel o passes its limits at the top and at the bottom; <= 0: it fits. b = bias of the channel. */
void qv_fit_excess(const qv_fit *f, const int32_t *w, int64_t b, uint32_t o, uint32_t g, int64_t *top, int64_t *bottom);
/* No group of the layer (of channel o) passes its limits. */
bool qv_fit_all(const qv_fit *f, const int32_t *w, const int64_t *b);
bool qv_fit_channel(const qv_fit *f, const int32_t *w, int64_t b, uint32_t o);

/* Largest magnitude of the layer's weights without zero point: *all. The most levels *r <= *all such that the weights on r levels
 * (qv_rescale_weights with r / *all, biases alike) pass no limit; 0 if there is none. By trying them all. Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_fit_levels(int64_t *r, int64_t *all, const qv_fit *f, qv_err *err);

/* Move the weights of channel o toward zero, in place, with the fewest steps in each group. *out: sums over the groups.
 * Errors: QV_E_UNSUP (the bias alone does not fit), QV_E_NOMEM. */
QV_NODISCARD qv_status qv_fit_clip(qv_least *out, const qv_fit *f, int32_t *w, int64_t b, uint32_t o, qv_err *err);

#endif
