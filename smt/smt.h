/* Solvers for one robustness question at a time: Z3, other SMT solvers, a MILP solver.
 *
 * SAT is claimed only for an input that lies in the box and whose execution by the reference kernels violates the condition.
 * UNSAT is what the solver says: it comes without evidence, and whoever reports it has to say that it is trusted. All limits are
 * hard: the solver runs in a child process that is killed. */
#ifndef QV_SMT_SMT_H
#define QV_SMT_SMT_H

#include "smt/defs.h"
#include "smt/encode.h"

typedef enum {
  QV_SMT_Z3,        /* libz3 in a child process         */
  QV_SMT_MILP,      /* libglpk in a child process       */
  QV_SMT_CVC5,      /* programs on PATH                 */
  QV_SMT_BOOLECTOR, /* bit-vectors only                 */
  QV_SMT_ENGINES
} qv_smt_engine;

typedef enum { QV_SMT_UNKNOWN = 0, QV_SMT_SAT, QV_SMT_UNSAT } qv_smt_answer;

typedef struct {
  qv_smt_answer answer;
  bool by_interval;   /* UNSAT without a solver: the intervals of the encoder exclude it. No evidence either     */
  const char *reason; /* UNKNOWN: "time", "memory", "the solver gave up", ...; else NULL                          */
  char solver[64];    /* name and version as the solver gives them, or its name                                  */
  int64_t **input;    /* SAT: [net->n_in][elements], replayed                                                     */
  uint32_t violated;  /* SAT: target                                                                             */
  double seconds;     /* of the whole call                                                                       */
  size_t bytes;       /* of the question's text                                                                  */
  qv_arena arena;
} qv_smt_result;

typedef struct {
  qv_smt_engine engine;
  qv_smt_encoding encoding; /* MILP: not used; BOOLECTOR: BV always                     */
  double seconds;           /* <= 0: none                                               */
  size_t bytes;             /* of memory beyond what the process has; 0: none           */
  uint32_t n_cut;           /* restrictions added to the property's box, see smt/defs.h */
  const qv_cut *cut;
} qv_smt_opts;

/* Append the question as SMT-LIB 2.6 text: exactly what Z3 and cvc5 are given. p: claim robust, box. Errors: qv_defs_build's. */
QV_NODISCARD qv_status qv_smt_export(qv_buf *out, const qv_net *net, const qv_property *p, qv_smt_encoding e, qv_err *err);

/* *out is the caller's (qv_smt_clear), also after an error.
 *   Errors: qv_defs_build's; QV_E_UNSUP also for a solver that is not installed, or MILP numbers beyond doubles; QV_E_IO;
 *   QV_E_INTERNAL: the solver rejects the text, or an exact solver's input does not replay (never trust either).
 * Thread: may be called from several threads. */
QV_NODISCARD qv_status qv_smt_solve(qv_smt_result *out, const qv_net *net, const qv_property *p, const qv_smt_opts *o, qv_err *err);
void qv_smt_clear(qv_smt_result *r);

const char *qv_smt_engine_name(qv_smt_engine e); /* "z3", "milp", "cvc5", "boolector" */

#endif
