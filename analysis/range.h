/* Interval analysis on the exact integers.
 *
 * Concretization: a qv_ranges r of a tensor with E elements stands for the set of all value vectors x with
 * r.itv[(e / r.inner) mod r.n].lo <= x[e] <= r.itv[..].hi for every element e. Every transformer returns a superset of the
 * image of the set it is given (Sound); where "exact" is said, the end points are attained. */
#ifndef QV_ANALYSIS_RANGE_H
#define QV_ANALYSIS_RANGE_H

#include "ir/ir.h"

typedef struct {
  uint32_t n;     /* number of intervals: 1, channels, or elements */
  uint32_t inner; /* elements that share an interval in a row; 1 = channel last */
  qv_itv *itv;
} qv_ranges;

/* Bounds on the accumulator of one AFFINE, SUM or PRODUCT node, per output channel (docs/semantics.md section 5). */
typedef struct {
  uint32_t node;
  uint32_t n;        /* channels: oc for AFFINE; as the output's ranges for SUM and PRODUCT */
  qv_itv *final;     /* bound 1: hull over output positions (border positions enumerated) of [b + sum tl, b + sum th] */
  qv_itv *any;       /* bound 3: any order, every subset sum */
  int bits_final, bits_any; /* smallest signed widths that hold all channels */
  uint32_t worst_final, worst_any; /* channels that need them */
  bool exact;        /* every final end point is attained by some input of the *net* (first layer on a box, and wherever
                        no input element enters two terms and the incoming ranges are attained independently) */
  uint64_t k;        /* terms per output (taps inside the image times channels), the largest over positions */
  int bits_dtype;    /* data-type bound from K, storage widths of x and w (A2Q eq. (data type)), without bias */
  int bits_l1;       /* A2Q L1 bound from ||w - w_zp||_1 and the width of x, without bias */
} qv_acc_bound;

typedef struct {
  qv_ranges *tensor;     /* [net->n_tensors] */
  uint32_t n_acc;
  qv_acc_bound *acc;     /* AFFINE, SUM and PRODUCT nodes in execution order */
  qv_arena arena;
} qv_range_result;

/* Input domain: one qv_ranges per net input (NULL entry or NULL array = the input tensor's declared [lo,hi]). */
typedef struct {
  const qv_ranges *const *in;
} qv_domain;

/* Propagate through every kind. Cost: O(weights * border classes). Errors: QV_E_NOMEM; QV_E_ARG for an empty or
 * out-of-type domain. Sound for machine semantics as well: where a node's accumulator may overflow under its own mode, its
 * output range is the machine's whole range, and the node is reported unsafe. */
QV_NODISCARD qv_status qv_range_run(qv_range_result *out, const qv_net *net, const qv_domain *dom, qv_err *err);
void qv_range_clear(qv_range_result *r);

/* ---- overflow verdict ------------------------------------------------------------------------------------------------ */
typedef enum {
  QV_OV_SAFE_ANY,   /* no overflow in any summation order                                                             */
  QV_OV_SAFE_FINAL, /* the final value always fits; intermediate sums may not: safe for WRAP, order matters otherwise  */
  QV_OV_UNSAFE,     /* an input of this node within its proved input ranges overflows; reachable from the net's input
                       iff `exact`                                                                                    */
} qv_ov_class;

typedef struct {
  uint32_t node;
  int bits;           /* accumulator width the verdict is about */
  qv_ov_class cls;
  qv_verdict verdict; /* VERIFIED: this node's accumulator cannot overflow in a way that changes its result under its
                         mode; FALSIFIED is never returned here without a replayed input; else UNKNOWN */
  uint32_t channel;   /* worst channel */
} qv_ov_item;

/* acc_bits: 0 = each node's own mode and width; otherwise every accumulator is judged as a `acc_bits`-wide one of its own
 * kind (WRAP if the node is EXACT). items must have room for r->n_acc. */
void qv_overflow_judge(qv_ov_item *items, const qv_net *net, const qv_range_result *r, int acc_bits);

#endif
