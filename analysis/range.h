/* Interval analysis on the exact integers.
 *
 * Concretization: a qv_ranges r of a tensor with E elements stands for the set of all value vectors x with
 * r.itv[(e / r.inner) mod r.n].lo <= x[e] <= r.itv[..].hi for every element e. Every transformer returns a superset of the
 * image of the set it is given (Sound); where "exact" is said, the end points are attained. Lemmas: docs/overflow.md. */
#ifndef QV_ANALYSIS_RANGE_H
#define QV_ANALYSIS_RANGE_H

#include "ir/ir.h"

/* INV: n = 1, or n * inner divides E. */
typedef struct {
  uint32_t n;     /* number of intervals: 1, channels, or elements */
  uint32_t inner; /* elements that share an interval in a row; 1 = channel last */
  qv_itv *itv;
} qv_ranges;

/* Interval of element e. */
static inline qv_itv qv_ranges_at(const qv_ranges *r, size_t e) { return r->n == 1 ? r->itv[0] : r->itv[e / r->inner % r->n]; }

/* How much of a tensor's box the net's inputs really reach. Each level implies the ones before it. */
typedef enum {
  QV_REACH_HULL,    /* reachable vectors lie in the box, nothing more is known          */
  QV_REACH_CORNERS, /* every corner of the box is the value of some input of the domain */
  QV_REACH_ALL      /* every integer vector of the box is                               */
} qv_reach;

/* Stages before the final accumulator, of one channel: saturating pairs (PAIR16), narrow lanes (LANES), both (PAIRLANES). */
typedef struct {
  qv_itv itv;      /* hull of what has to fit the stage: pair sums; per lane and spill window the final (wrapping lanes) or
                      every prefix (saturating lanes); with unknown order, every pair or every subset of the terms         */
  uint32_t n;      /* pairs and (lane, window) combinations; 1 with unknown order of lanes                                */
  uint32_t unsafe; /* how many of them leave int16 or the lane width at some output position                              */
  qv_itv machine;  /* PAIR16: final value with saturated pairs, before it wraps; else unused                               */
} qv_stage_bound;

/* Quantities that only an uncorrected (acc.raw) kernel forms, of one channel. */
typedef struct {
  qv_itv sum;      /* sum of byte products x*w, final                                                        */
  qv_itv prefix;   /* the same, every prefix in stored order                                                 */
  qv_itv row;      /* any subset of sum x (needed when w_zp != 0, else [0,0])                                */
  int64_t col;     /* sum w (needed when x_zp != 0, else 0)                                                  */
  qv_itv fix;      /* complete byte sum plus any subset of the corrections and the bias                      */
  qv_itv all;      /* any subset of byte products, corrections and bias: whatever the order, all lies inside */
} qv_raw_bound;

/* Bounds on the accumulator of one AFFINE, SUM or PRODUCT node, per channel: the output channel of AFFINE, the interval of
 * the output's qv_ranges for SUM and PRODUCT. All are hulls over output positions (border positions enumerated), and are
 * about the exact sums, whatever the machine does with them. */
typedef struct {
  uint32_t node;
  uint32_t n;        /* channels */
  qv_itv *final;     /* bound 1: [b + sum tl, b + sum th] */
  qv_itv *prefix;    /* bound 2: every prefix in stored order, the bias where acc.bias says, the final value included */
  qv_itv *any;       /* bound 3: any order, every subset sum */
  qv_stage_bound *stage; /* bound 4: [n], PAIR16, LANES and PAIRLANES only, else NULL */
  qv_raw_bound *raw;     /* [n], acc.raw only, else NULL */
  int bits_final, bits_prefix, bits_any;          /* smallest signed widths that hold all channels */
  uint32_t worst_final, worst_prefix, worst_any;  /* channels that need them */
  bool by_position;  /* AFFINE: input intervals were taken position by position, not as hulls per channel */
  bool attained;     /* every end point of `final` is attained by a vector of the box of the node's inputs (Lemma O2) */
  bool exact;        /* ... by an input of the net within the domain (Lemma O6) */
  uint64_t k;        /* terms per output (taps inside the image times channels), the largest over positions */
  int bits_dtype;    /* AFFINE: A2Q data-type bound from K, widths of x - x_zp and w - w_zp, without bias; else 0 */
  int bits_l1;       /* AFFINE: A2Q L1 bound from ||w - w_zp||_1 and the width of x - x_zp, without bias; else 0 */
} qv_acc_bound;

typedef struct {
  qv_ranges *tensor;     /* [net->n_tensors] */
  qv_reach *reach;       /* [net->n_tensors] */
  uint32_t n_acc;
  qv_acc_bound *acc;     /* AFFINE, SUM and PRODUCT nodes in execution order */
  qv_arena arena;
} qv_range_result;

/* Terms that may be spent on windows whose input range varies by position; above it, per-channel hulls (sound, looser). */
#define QV_RANGE_EFFORT ((uint64_t)1 << 22)

/* Input domain. */
typedef struct {
  const qv_ranges *const *in; /* one per net input; a NULL entry or a NULL array = the input tensor's declared [lo,hi] */
  const qv_ranges *known;     /* one per tensor, or NULL: ranges proved elsewhere for outputs of affine nodes that are
                                 harmless at their own width (n = 0: nothing known); intersected with what is computed,
                                 and with `final` */
  uint64_t effort;            /* see QV_RANGE_EFFORT, which 0 stands for; 1 = never by position                         */
  size_t memory;              /* byte limit of the result and, again, of each node's scratch; 0 = none (QV_E_NOMEM)     */
} qv_domain;

/* Propagate through every kind. dom NULL = all declared ranges. *out is owned by the caller, also after an error
 * (qv_range_clear). Pre: checked net. Cost: O(weights * border classes + effort).
 *   Errors: QV_E_NOMEM; QV_E_ARG for a domain that is empty, out of type or does not tile its tensor.
 * Sound for machine semantics as well: where a node's accumulator may overflow under its own mode, its output range is what
 * the machine can give (Lemma O5), and qv_overflow_judge reports the node. */
QV_NODISCARD qv_status qv_range_run(qv_range_result *out, const qv_net *net, const qv_domain *dom, qv_err *err);
void qv_range_clear(qv_range_result *r);

#endif
