/* Does any input in an integer box change the answer of an exact integer net?
 *
 * Engines in order of use: replay of the given point, intervals, attack, enumeration, linear bounds, branch and bound. Each
 * can be switched off, so each can be run alone. VERIFIED is claimed by exact integer arithmetic only, FALSIFIED only for an
 * input inside the box that the reference kernels replayed; everything else is UNKNOWN. */
#ifndef QV_ANALYSIS_ROBUST_H
#define QV_ANALYSIS_ROBUST_H

#include "analysis/bnb.h"
#include "analysis/condition.h"

/* The input set is a box, or n_points listed inputs. */
typedef struct {
  const qv_itv *const *box;     /* [net->n_in][elements], inside the declared ranges; unused with n_points */
  const int64_t *const *point;  /* [net->n_in][elements] an input of the box to try first, or NULL */
  size_t n_points;              /* 0: the box */
  const int64_t *const *points; /* [net->n_in][n_points * elements] the listed inputs back to back */
  const qv_condition *cond;
} qv_robust_query;

typedef enum {
  QV_BY_NOTHING,
  QV_BY_REPLAY, /* the given point itself               */
  QV_BY_INTERVAL,
  QV_BY_ATTACK,
  QV_BY_ENUMERATION,
  QV_BY_LINEAR, /* one multiplier vector a target       */
  QV_BY_BRANCHING,
  QV_BY_SOLVER /* of a target: by a tree some of whose leaves rest on a solver's word. No verdict has this engine */
} qv_robust_engine;

typedef enum { QV_WORD_UNKNOWN, QV_WORD_NONE, QV_WORD_FOUND } qv_solver_word;

typedef struct {
  bool no_interval, no_attack, no_enumeration, no_linear, no_branching;
  bool no_joint;          /* minima of each unit alone (docs/certificate.md section 7.3, joint minima) */
  uint64_t seed;          /* of the attack */
  uint32_t attack_rounds; /* gradient rounds towards each target; 0 = 12..240, the more the smaller the net */
  uint64_t enumerate_max; /* boxes up to so many points at once; 0 = 300000. Larger ones, up to 2^24 points, if all else fails */
  uint32_t max_nodes;     /* of branch and bound, a query; 0 = 100000 */
  uint32_t threads;       /* of branch and bound and of enumeration; 0 = 1. Results do not depend on it */
  double seconds;         /* outer limit on the query; 0 = none. Only it makes a result depend on the clock */
  bool evidence;          /* keep the trees */
  /* Asked about the leaves that are open when branch and bound has used 60 % of the time, or its nodes: is there an input of the box,
   * restricted by r[n], that violates the condition? FOUND: x, the elements of all inputs, a candidate that is executed. NONE is not a proof:
   * the verdict stays UNKNOWN, the result counts such leaves. */
  qv_solver_word (*solver)(void *ctx, int64_t *x, const qv_restriction *r, uint32_t n, double seconds);
  void *solver_ctx;
  const char *solver_name; /* static, for the certificate */
  uint64_t leaf_points;   /* nodes of branch and bound with at most so many inputs are closed by executing them; 0 = 4096, fewer in large
                             nets */
  bool no_points;         /* ... are not */
} qv_robust_opts;

/* What excludes one target: a class, or a violation. */
typedef struct {
  uint32_t target;
  qv_robust_engine engine; /* NOTHING: not excluded */
  qv_goal goal;            /* LINEAR, BRANCHING: about the graph of the qv_robust (arrays of SUM goals live in the result) */
  double margin;           /* NOTHING: bound that was reached, in units of the goal; positive would be a proof */
  qv_losses loss;          /* NOTHING: where the bound at the root loses, in the same units; all 0 if it was not computed */
  uint32_t nodes, leaves;
  double joint_gain; /* what joint minima added to the bound at the root */
  uint64_t joint; /* groups of at most so many points count together in its tree; 0: none */
  qv_bnb tree;    /* LINEAR, BRANCHING with opts.evidence */
} qv_robust_target;

/* Bound on the accumulator of one unit (never of one without a row of its own), proved at the root of all trees of the query by multipliers (QV_GOAL_UNIT). */
typedef struct {
  uint32_t unit;
  int sign;      /* 1: lower bound, -1: upper bound */
  int64_t bound; /* of acc */
  int scale;
  uint32_t n;
  uint32_t *var_s;
  int32_t *s;
} qv_robust_bound;

typedef struct {
  qv_verdict verdict;
  qv_robust_engine engine; /* VERIFIED: the last one that was needed; FALSIFIED: that found the input */
  const char *reason;      /* UNKNOWN: why (static) */
  double margin;           /* UNKNOWN: the lowest margin of the targets left */
  qv_losses loss;          /* UNKNOWN: that target's */
  bool logits;             /* all goals are about the row in front of the kept output's tail (docs/certificate.md section 7.6) */
  uint32_t n_target;
  qv_robust_target *target; /* [n_target] in the order of the classes or violations */
  uint32_t n_bound;
  uint32_t n_joint;
  uint32_t *joint;        /* [n_joint] tensors whose elements' minima are taken together, ascending */
  qv_robust_bound *bound; /* in the order in which they were proved: later ones rest on earlier ones */
  int64_t **input;        /* FALSIFIED: [net->n_in][elements] */
  uint32_t violated;      /* FALSIFIED: target */
  uint64_t points;        /* ENUMERATION: of the input set */
  uint32_t trusted;       /* UNKNOWN: everything is excluded but for so many leaves, which a solver vouches for; 0 = not so */
  const char *word;       /* its name (static) */
  uint32_t nodes;         /* of all trees */
  double seconds;
  qv_arena arena;
} qv_robust_result;

/* A net prepared for queries. */
typedef struct qv_robust qv_robust;

/* *out is the caller's (qv_robust_free); the net must outlive it. Pre: checked net. Errors: QV_E_NOMEM, QV_E_LIMIT (too large). */
QV_NODISCARD qv_status qv_robust_new(qv_robust **out, const qv_net *net, qv_err *err);
/* The same until qv_clock() says `deadline` (0 = none): QV_E_LIMIT. */
QV_NODISCARD qv_status qv_robust_new_until(qv_robust **out, const qv_net *net, double deadline, qv_err *err);
/* Another one for the same net that reads the graph of `from`, which must outlive it: for a second thread. Any thread. */
QV_NODISCARD qv_status qv_robust_share(qv_robust **out, const qv_robust *from, qv_err *err);
void qv_robust_free(qv_robust *r);
const qv_graph *qv_robust_graph(const qv_robust *r);

/* Decide one query. *out is the caller's (qv_robust_clear), also after an error. Errors: QV_E_ARG (query), QV_E_NOMEM.
 * Thread: one call at a time on one qv_robust; any number of qv_robust of one net side by side. */
QV_NODISCARD qv_status qv_robust_run(qv_robust_result *out, qv_robust *r, const qv_robust_query *q, const qv_robust_opts *opts,
                                     qv_err *err);
void qv_robust_clear(qv_robust_result *res);

const char *qv_robust_engine_name(qv_robust_engine e);

#endif
