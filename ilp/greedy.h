/* How published and shipped tools would choose, on the same candidates, the same limits and the same exact objective. Definitions
 * and sources: docs/allocation.md section 6. */
#ifndef QV_ILP_GREEDY_H
#define QV_ILP_GREEDY_H

#include "ilp/alloc.h"

typedef enum {
  QV_GREEDY_AMP,        /* phases 1 and 2: sensitivity list, shortest prefix that keeps the limits       */
  QV_GREEDY_NNCF,       /* two widths; narrow the least sensitive until the limits hold                  */
  QV_GREEDY_NNCF_UNDO,  /* the same, then back to wide, most sensitive first, where the limits still hold */
  QV_GREEDY_RATIO,      /* from narrow, widen by loss per cost along each group's hull; stop at the first misfit */
  QV_GREEDY_RATIO_SKIP, /* ... skip what does not fit                                                    */
  QV_GREEDY_RATIO_UNDO, /* ... and then any single change that lowers the loss and fits                  */
  QV_GREEDY_RUSCI,      /* narrow the group with the largest share of a broken limit; looks at no loss   */
  QV_GREEDY_EAGL,       /* EAGL's and ALPS's knapsack: two widths, one limit, gains rounded to integers   */
  QV_GREEDY_HAWQ,       /* HAWQ-V3's integer program: two widths, one limit, GLPK believed                */
  QV_GREEDY_N
} qv_greedy;

const char *qv_greedy_name(qv_greedy m);    /* "amp", "nncf", ..; static */
const char *qv_greedy_summary(qv_greedy m); /* one line; static */

/* Run a method on p's limits. *has false: it ended without an assignment that keeps them (choice is then what it ended with, if
 * *tried). p needs at least one limited row, else QV_E_ARG. */
QV_NODISCARD qv_status qv_greedy_run(uint32_t *choice, bool *has, bool *tried, const qv_alloc *p, qv_greedy m, qv_err *err);

/* The optimum of the linear relaxation (choices may be shared out), exactly, in the table's loss: what the best multipliers prove before any
 * branching. Only for one limited row without couplings: false otherwise, and where even the cheapest choices break the limit. */
QV_NODISCARD qv_status qv_lp_bound(mpq_t out, bool *known, const qv_alloc *p, qv_err *err);

/* Every group at the candidate with this precision label (the one of least loss, if there are several); groups without it at
 * their costliest. False: no group has the label. */
bool qv_greedy_uniform(uint32_t *choice, const qv_alloc *p, const char *label);

#endif
