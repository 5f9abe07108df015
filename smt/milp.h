/* Definitions as a mixed integer linear program, and GLPK to solve it: for comparison with exact engines. GLPK computes in doubles
 * with tolerances (its optimum can be infeasible and its "infeasible" wrong), so an input it finds counts once it is replayed,
 * and "infeasible" never counts as proof. */
#ifndef QV_SMT_MILP_H
#define QV_SMT_MILP_H

#include "smt/defs.h"
#include "smt/library.h"

/* Append CPLEX LP text: feasible, in real arithmetic with exact integers, iff the goal can hold. No big-M beyond the proved ranges.
 *   Errors: QV_E_UNSUP (a number does not fit a double exactly), QV_E_NOMEM. */
QV_NODISCARD qv_status qv_milp_write(qv_buf *out, const qv_defs *d, qv_err *err);

/* GLPK's answer in the form of an SMT solver's: a comment with its version, then sat, unsat or unknown, then the inputs' values. */
QV_NODISCARD qv_status qv_milp_run(qv_buf *out, qv_child_end *end, int *code, const qv_buf *text, qv_limits lim, qv_err *err);

#endif
