/* Solver libraries in child processes. They are looked up when they are used: nothing else of qverify needs them, no other run pays for
 * loading them, and their global state, their exit() calls and their memory stay in the child. */
#ifndef QV_SMT_LIBRARY_H
#define QV_SMT_LIBRARY_H

#include "smt/child.h"

#define QV_NO_LIBRARY 118 /* exit code of a child: the solver's library is not installed */

/* What a solver's job is given. */
typedef struct {
  const qv_buf *text;
  qv_limits lim;
} qv_solver_query;

/* Run a job on a qv_solver_query. Errors and *end, *code as qv_child_run. */
QV_NODISCARD qv_status qv_solver_run(qv_buf *out, qv_child_end *end, int *code, qv_job job, const qv_buf *text, qv_limits lim, qv_err *err);

/* For jobs: open a shared library by the first of these names that is there (NULL-terminated), and look up a function; fn: pointer to a
 * function pointer, NULL if not found. */
void *qv_library(const char *const *names);
void qv_symbol(void *fn, void *library, const char *name);

/* In a job: the library's function f as p_f, or the job's end. */
#define QV_FUNCTION(library, f)                                                                                                            \
  __typeof__(&f) p_##f;                                                                                                                    \
  qv_symbol(&p_##f, library, #f);                                                                                                          \
  if (p_##f == NULL) return QV_NO_LIBRARY;

/* In a job: append text to the answer. */
void qv_job_say(int fd, const char *text);

#endif
