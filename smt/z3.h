/* Z3 through its C API, in a child process. */
#ifndef QV_SMT_Z3_H
#define QV_SMT_Z3_H

#include "smt/library.h"

/* Z3's answer to an SMT-LIB text, as text; its version first in a comment line. Errors and *end, *code as qv_child_run. */
QV_NODISCARD qv_status qv_z3_run(qv_buf *out, qv_child_end *end, int *code, const qv_buf *text, qv_limits lim, qv_err *err);

#endif
