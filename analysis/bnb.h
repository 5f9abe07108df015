/* Branch and bound on one goal: can it be made non-positive (for a PAIR: can the violation happen) inside the bounds?
 *
 * A node adds splits to the root's bounds: on a unit's accumulator (clamp kinks and single output values alike) or on an
 * input. Every node is closed by an empty interval, by one integer evaluation of qv_dual_exact or, if it has few inputs, by executing
 * them all; both children of every split are kept, so the closed leaves cover the box. */
#ifndef QV_ANALYSIS_BNB_H
#define QV_ANALYSIS_BNB_H

#include "analysis/robust_dual.h"

typedef enum {
  QV_SPLIT_NONE,   /* the root                                                                    */
  QV_SPLIT_ACC_LE, /* acc of unit `var` <= at; a unit with a row of its own (qv_unit.src)         */
  QV_SPLIT_ACC_GE, /* acc of unit `var` >= at                                                     */
  QV_SPLIT_VAL_LE, /* variable `var` <= at: an input, or what a unit without a row of its own reads */
  QV_SPLIT_VAL_GE
} qv_split_kind;

/* How a leaf is closed. */
typedef enum {
  QV_LEAF_INNER, /* not a leaf: has two children                              */
  QV_LEAF_EMPTY, /* the splits leave an empty interval, or no value t of a PAIR */
  QV_LEAF_DUAL,  /* D(is) > 0                                                 */
  QV_LEAF_POINTS, /* no input of the node's box violates the target           */
  QV_LEAF_OPEN,  /* not closed: limit reached                                 */
  QV_LEAF_TRUSTED /* (set afterwards, qv_robust_opts.solver) a solver says that there is no violation: no proof */
} qv_leaf;

typedef enum {
  QV_POINTS_CANNOT, /* the inputs could not be executed */
  QV_POINTS_NONE,   /* none violates the target         */
  QV_POINTS_HIT     /* one seems to                     */
} qv_points_answer;

/* One node of the tree, in order of creation: children come after their parent, two in a row. */
typedef struct {
  uint32_t parent;
  qv_split_kind kind;
  uint32_t var;
  int64_t at;
  qv_leaf leaf;
  int scale;       /* DUAL: of the multipliers                         */
  int32_t *root;   /* DUAL: [qv_goal_roots] L                          */
  uint32_t n;      /* DUAL: non-zero multipliers                        */
  uint32_t *var_s; /* [n] units, ascending                             */
  int32_t *s;      /* [n]                                              */
} qv_bnb_node;

typedef struct {
  qv_verdict verdict; /* VERIFIED: excluded; FALSIFIED: the probe accepted a point; UNKNOWN  */
  uint32_t n;
  qv_bnb_node *node;  /* [n] the tree                                                        */
  uint32_t n_leaves;  /* closed ones                                                         */
  double margin;      /* UNKNOWN: the lowest bound among the open nodes, in goal units       */
  double root_margin; /* bound at the root after the search for slopes                       */
  qv_losses loss;     /* where that bound loses, if opts.center is given                     */
  bool exhausted;     /* UNKNOWN although nothing was left to split: free units decide       */
  uint64_t points;    /* inputs of all points leaves                                         */
  size_t kept;        /* bytes of multipliers in the leaves */
  qv_arena arena;
} qv_bnb;

typedef struct {
  uint32_t max_nodes;  /* 0 = 1: the root only, that is linear bounds alone */
  uint32_t root_steps; /* of the slope search at the root; 0 = lines at the middle only */
  uint32_t slope_steps; /* of the search for lines at the root before it */
  uint32_t node_steps;
  uint32_t threads;      /* at most so many of `d`; 0 = 1. The result does not depend on it */
  bool evidence;         /* keep the multipliers of the leaves */
  size_t memory;         /* bytes of multipliers that open nodes and leaves may hold */
  const int64_t *center; /* values of all variables in some execution, or NULL */
  double deadline;       /* qv_clock() value at which to stop, 0 = none */
  /* Offered candidate inputs (values of all input variables, one after the other); true: one is a counterexample, stop. May be NULL.
   * Called from the calling thread only. */
  bool (*probe)(void *ctx, const int64_t *x, uint32_t n);
  void *ctx;
  /* Nodes with at most leaf_points inputs (0 = none) that are not excluded otherwise are handed over: execute lo..hi (values of all input
   * variables); HIT: *x is a candidate for `probe`. points_max: inputs of all such leaves together. worker < threads: from several
   * threads at a time, one for each number. */
  uint64_t leaf_points, points_max;
  void *leaf;
  qv_points_answer (*points)(void *leaf, uint32_t worker, const int64_t *lo, const int64_t *hi, int64_t *x);
} qv_bnb_opts;

/* Shrink the bounds of all units to what the bounds of the inputs, of free units and their own imply. *empty: some interval
 * is (the rest is then unfinished). Exact integers. */
void qv_bounds_propagate(const qv_graph *g, int64_t *lo, int64_t *hi, qv_itv *acc, bool *empty);

/* Pre: d[0] holds the root's bounds, refreshed; they are restored before return (not refreshed if the deadline has passed). d[1..threads-1]: others for the same graph, their
 * bounds are overwritten. *out is the caller's (qv_bnb_clear), also after an error. Errors: QV_E_NOMEM.
 * Nodes are taken in rounds of a fixed number, whatever the threads, and their results are entered in order: as long as the
 * deadline is not reached the same call gives the same tree. */
QV_NODISCARD qv_status qv_bnb_run(qv_bnb *out, qv_dual *const *d, const qv_goal *goal, const qv_bnb_opts *opts, qv_err *err);
void qv_bnb_clear(qv_bnb *b);

/* An interval that one element of one tensor is restricted to. */
typedef struct {
  uint32_t tensor, el;
  qv_itv itv;
} qv_restriction;

/* The splits on the way from the root to a node, in the net's terms. Returns their number; r: [that many], or NULL to count. */
uint32_t qv_bnb_restrictions(qv_restriction *r, const qv_bnb *b, const qv_graph *g, uint32_t node);

#endif
