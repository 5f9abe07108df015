/* A net as one list of scalar equations, the form in which the robustness engines bound and branch:
 *
 *   variable v < n_in:  an element of a net input
 *   variable v >= n_in: a unit, x_v = f_v(acc_v), acc_v = b_v + sum of w * (earlier variables),
 *                       f_v a step, table, threshold or clamp of the net, or the identity; or a free unit, of which only an interval
 *                       is known (tails, opaque nodes, accumulators that may overflow), or the maximum or product of a few
 *                       others.
 *
 * Zero points are folded into b and w, data movement into the numbering. Equality with the net holds for every input in the
 * declared ranges: a row stands for an accumulator only if the interval analysis of the whole net proves that the machine's
 * result is the exact sum. Shared by all queries on the net. */
#ifndef QV_ANALYSIS_ROBUST_GRAPH_H
#define QV_ANALYSIS_ROBUST_GRAPH_H

#include "analysis/range.h"
#include "analysis/robust_simd.h"

typedef enum {
  QV_UNIT_FREE,
  QV_UNIT_ID,
  QV_UNIT_STEP,
  QV_UNIT_TABLE,
  QV_UNIT_THRESHOLD,
  QV_UNIT_CLAMP,
  QV_UNIT_TAP,    /* what a maximum or product reads: x_v = x_arg, with a multiplier of its own */
  QV_UNIT_MAX,    /* of its taps, the n_tap units in front of it; its row is their sum, which says only what it depends on */
  QV_UNIT_PRODUCT /* likewise; two taps */
} qv_unit_fn;

typedef struct {
  qv_unit_fn fn;
  uint32_t node;       /* of f; the producing node of a free or identity unit */
  uint32_t channel;    /* parameter set of a step or threshold */
  uint32_t tensor, el; /* where its value stands in the net */
  uint32_t arg;        /* variable that f reads directly (its row is 1*arg); QV_NONE: the row is that of an affine or sum node,
                          whose output is tensor src, element el; both QV_NONE: f of a constant, or a free unit */
  uint32_t src;
  int64_t b;
  uint32_t seg, n_seg;
  uint32_t loss, n_loss; /* of g->loss */
  double w_max;          /* largest |w| */
  uint32_t n_tap;        /* MAX, PRODUCT */
  uint32_t owner;        /* TAP: the maximum or product */
  uint64_t pos;          /* TAP: place of its multiplier in a certificate (docs/certificate.md section 7.3) */
} qv_unit;

/* Terms of opposite signs on one variable are one weight in a row, but not for the interval of the sum, which is that of the
 * net's terms one by one (docs/certificate.md section 7.2): its ends are c*(hi-lo) further out. */
typedef struct {
  uint32_t var;
  int64_t c;
} qv_loss;

/* Value of a tensor element. */
typedef struct {
  uint32_t var; /* QV_NONE: the constant c */
  int64_t c;
} qv_element;

/* Inverse of an increasing step of one channel: f(x) >= lo + k iff x >= at[k], k in 1..n-1 (at[0] is unused). */
typedef struct {
  int64_t lo;
  uint32_t n;
  int64_t *at; /* NULL: decreasing, or too many values */
} qv_thresholds;

/* Units unit..unit+n_unit-1, functions of the channels of one position of an affine node, that all read the same n_var variables
 * group_var[var..], no one of them twice. */
typedef struct {
  uint32_t unit, n_unit, var, n_var;
} qv_channels;

typedef struct {
  const qv_net *net;
  uint32_t n_in, n; /* input variables, all variables */
  qv_unit *unit;    /* [n], entries below n_in unused */
  qv_segment *seg;
  int32_t *w;
  float *wf;
  qv_loss *loss;
  qv_channels *group;
  uint32_t *group_var;
  size_t n_seg, n_w, n_loss, n_group, n_group_var, cap_seg, cap_w, cap_unit, cap_loss, cap_group, cap_group_var;
  qv_element **element;  /* [n_tensors][elements]; NULL for outputs that only exist inside a unit's row */
  uint32_t *in_first;    /* [net->n_in] first variable of each input */
  qv_thresholds **level; /* [n_nodes][channels] of step nodes */
  bool any_free;
  uint32_t depth; /* functions behind one another with a row of their own in front, at most */
  qv_arena arena;
} qv_graph;

#define QV_GRAPH_TERMS ((size_t)1 << 25) /* larger nets are refused: memory */

double qv_clock(void); /* seconds, monotonic */

/* *out is owned by the caller (qv_graph_free). Pre: checked net. deadline: qv_clock() value, 0 = none. Errors: QV_E_NOMEM, QV_E_LIMIT (too
 * large, or the deadline). */
QV_NODISCARD qv_status qv_graph_new(qv_graph **out, const qv_net *net, double deadline, qv_err *err);
void qv_graph_free(qv_graph *g);

/* Value and image of f_v. Pre: not a free unit. image is exact for monotone f and the hull for tables and thresholds. */
int64_t qv_unit_eval(const qv_graph *g, uint32_t v, int64_t acc);
qv_itv qv_unit_image(const qv_graph *g, uint32_t v, qv_itv acc);
/* Of a threshold unit. */
const qv_pieces *qv_unit_pieces(const qv_graph *g, uint32_t v);
/* Has v a function with hulls, that is no free, identity, maximum, product or tap? */
bool qv_unit_function(const qv_graph *g, uint32_t v);
/* Is it the maximum or product of its taps? */
bool qv_unit_of_taps(const qv_graph *g, uint32_t v);
/* (x_0 - z0) * (x_1 - z1) of a product unit. No overflow for values in its taps' ranges. */
int64_t qv_unit_product(const qv_graph *g, uint32_t v, int64_t x0, int64_t x1);
/* True if f_v never decreases (decided from its definition, not by sampling). */
bool qv_unit_increasing(const qv_graph *g, uint32_t v);

/* May the interval of variable v be split? Not where a certificate may not (docs/certificate.md section 7.2). */
bool qv_graph_splits(const qv_graph *g, uint32_t v);

/* Interval of acc_v for variables in [lo,hi], term by term. */
qv_itv qv_unit_acc(const qv_graph *g, uint32_t v, const int64_t *lo, const int64_t *hi);
/* acc_v at a point. */
int64_t qv_unit_sum(const qv_graph *g, uint32_t v, const int64_t *x);

#endif
