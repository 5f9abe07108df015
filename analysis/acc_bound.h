/* Bounds on one sum b + t_1 + ... + t_K of terms in intervals, and what a machine accumulator makes of it.
 *
 * int64 throughout: qv_ir_check guarantees, from declared ranges that contain the ones used here, that |b| plus the sum of
 * the largest positive (or of the negative) parts of all terms, byte products and corrections is within 2^62. Every sum
 * formed here is a subset of those. Where two such sums are added, __int128 is used. */
#ifndef QV_ANALYSIS_ACC_BOUND_H
#define QV_ANALYSIS_ACC_BOUND_H

#include "analysis/range.h"

/* A sequence of terms, summed up. Concatenation is associative. {0} = no terms. */
typedef struct {
  int64_t lo, hi;     /* sum of all terms                                    */
  int64_t pmin, pmax; /* every prefix, the empty one included: pmin <= 0 <= pmax */
  int64_t amin, amax; /* every subset                                        */
} qv_seg;

/* { d * x : x in itv } */
static inline qv_itv qv_term(int64_t d, qv_itv x) {
  int64_t p = d * x.lo, q = d * x.hi;
  return d >= 0 ? (qv_itv){p, q} : (qv_itv){q, p};
}

static inline void qv_seg_add(qv_seg *s, qv_itv t) {
  s->lo += t.lo;
  s->hi += t.hi;
  s->pmin = qv_min64(s->pmin, s->lo);
  s->pmax = qv_max64(s->pmax, s->hi);
  s->amin += qv_min64(t.lo, 0);
  s->amax += qv_max64(t.hi, 0);
}

/* a, then b. */
static inline qv_seg qv_seg_cat(qv_seg a, qv_seg b) {
  return (qv_seg){a.lo + b.lo,     a.hi + b.hi,     qv_min64(a.pmin, a.lo + b.pmin), qv_max64(a.pmax, a.hi + b.pmax),
                  a.amin + b.amin, a.amax + b.amax};
}

/* Bounds of one channel at one class of positions; fields as in qv_acc_bound. */
typedef struct {
  qv_itv final, prefix, any;
  qv_stage_bound stage; /* itv and machine only */
  qv_raw_bound raw;
} qv_acc_one;

/* Bounds 1 to 3 of b + terms. */
void qv_acc_one_set(qv_acc_one *one, const qv_acc *a, const qv_seg *s, int64_t b);

/* Does `one` prove that the machine's result is the exact one, at this accumulator width (Lemma O4)? */
bool qv_acc_one_harmless(const qv_acc *a, int bits, const qv_acc_one *one);

/* What the machine can give (Lemma O5): `final` if harmless. */
qv_itv qv_acc_one_machine(const qv_acc *a, const qv_acc_one *one);

/* Arrays of a bound with n channels, its stage and raw arrays as `a` needs them. False: no memory. */
bool qv_acc_bound_alloc(qv_acc_bound *b, qv_arena *arena, const qv_acc *a, uint32_t n);
/* Channel c |= one. `first`: nothing is there yet. */
void qv_acc_bound_join(qv_acc_bound *b, uint32_t c, const qv_acc_one *one, bool first);
/* Channel c as a qv_acc_one. */
qv_acc_one qv_acc_bound_at(const qv_acc_bound *b, uint32_t c);
/* Widths and worst channels, after the last join. */
void qv_acc_bound_finish(qv_acc_bound *b);

#endif
