/* The periodic representation of qv_ranges: which element has which interval. No arithmetic on values happens here. */
#ifndef QV_ANALYSIS_RANGE_FORM_H
#define QV_ANALYSIS_RANGE_FORM_H

#include "analysis/range.h"

/* Above this many elements intervals are kept per channel, or per tensor, rather than per element. */
#define QV_FORM_ELEMS ((size_t)1 << 22)

/* Shape of a representation: element e has number (e / inner) mod n. */
typedef struct {
  uint32_t n, inner;
} qv_form;

/* Coarsest form that refines both: elements with the same number in it have the same number in a and in b.
 *   Pre: elems >= 1. Post: n * inner < elems + inner, so element q * inner exists for every q < n. */
qv_form qv_form_common(qv_form a, qv_form b, size_t elems);

/* Intervals of v[0..elems) in the most compact form, or as one hull when `elems` is above QV_FORM_ELEMS and they differ
 * (*lossless = false then). False: no memory. Cost: O(elems * divisors), early out. */
bool qv_ranges_pack(qv_ranges *out, bool *lossless, qv_arena *a, const qv_itv *v, size_t elems);

/* u[c] = hull of the intervals of all elements e = c (mod channels). Returns true if they are equal for each c, so that
 * nothing is lost. Pre: channels divides elems. */
bool qv_ranges_by_channel(qv_itv *u, const qv_ranges *r, size_t elems, uint32_t channels);

/* v[e] for every element. */
void qv_ranges_expand(qv_itv *v, const qv_ranges *r, size_t elems);

#endif
