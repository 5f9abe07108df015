/* Z3 through its C API, in a child process. The library is looked up when it is used: nothing else of qverify needs it, no other
 * run pays for loading it, and its global state, its exit() calls and its memory stay in the child. */
#ifndef QV_SMT_Z3_H
#define QV_SMT_Z3_H

#include "smt/child.h"

#define QV_NO_LIBRARY 118 /* exit code of a child: the solver's library is not installed */

/* Z3's answer to an SMT-LIB text, as text; its version first in a comment line. Errors and *end, *code as qv_child_run. */
QV_NODISCARD qv_status qv_z3_run(qv_buf *out, qv_child_end *end, int *code, const qv_buf *text, qv_limits lim, qv_err *err);

/* Open a shared library by the first of these names that is there (NULL-terminated), and look up a function. For jobs of child
 * processes only. */
void *qv_library(const char *const *names);
void qv_symbol(void *fn, void *library, const char *name); /* fn: pointer to a function pointer, NULL if not found */

#endif
