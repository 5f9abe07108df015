/* The independent checker as a process of its own. Part of the program, not of the library: libraries start no processes. */
#ifndef QV_CLI_CHECKER_H
#define QV_CLI_CHECKER_H

#include "cli/ovcheck.h"

/* Write the certificate to `path`, and beside it, with the extension replaced, NAME.qir and (unless default) NAME.qvp. */
QV_NODISCARD qv_status cli_evidence_save(const cli_evidence *ev, const char *path, qv_err *err);

/* Run qverify-check (beside this program, else on PATH) on the texts, in a private temporary directory that is removed
 * afterwards. ACCEPTED only if it exits 0 after printing "s CHECKED" and the verdict line of the certificate's own verdict.
 * Errors: QV_E_INTERNAL when the checker cannot be run at all (a missing checker is never a pass); err names why. */
QV_NODISCARD qv_status cli_evidence_check(cli_check_result *out, const cli_evidence *ev, bool verified, qv_err *err);

/* Run the checker on three given files; its output goes to `text`. *code is its exit code, or 128 + signal. */
QV_NODISCARD qv_status cli_run_checker(int *code, qv_buf *text, const char *qir, const char *property, const char *cert, qv_err *err);

/* The same, but killed after so many seconds (0 = never): QV_E_LIMIT. */
QV_NODISCARD qv_status cli_run_checker_for(int *code, qv_buf *text, const char *qir, const char *property, const char *cert, double seconds,
                                           qv_err *err);

/* The same with any arguments, NULL at the end. */
QV_NODISCARD qv_status cli_run_checker_on(int *code, qv_buf *text, const char *const *argument, double seconds, qv_err *err);

/* Exit code 0, and `tail` are the last lines of what it printed, exactly. */
bool cli_checker_said(const qv_buf *text, int code, const char *tail);

/* Run the independent checker on the evidence. A certificate that it does not accept is QV_E_INTERNAL: trust nothing. */
QV_NODISCARD qv_status qv_ovcheck_check(qv_ovcheck *o, qv_err *err);

#endif
