/* Evidence of a proof: the texts that an independent checker needs, and running that checker as a process of its own. */
#ifndef QV_CLI_EVIDENCE_H
#define QV_CLI_EVIDENCE_H

#include "analysis/prove.h"

typedef struct {
  qv_buf qir, property, cert; /* property stays empty for the default property */
  char net_sha256[QV_SHA256_HEX];
} cli_evidence;

/* What the checker said. Zeroed memory claims nothing. */
typedef enum { CLI_CHECK_NOT_RUN = 0, CLI_CHECK_REJECTED, CLI_CHECK_ACCEPTED } cli_check_result;

/* The three texts for a proof. *ev must be {0}; cli_evidence_free in every case. */
QV_NODISCARD qv_status cli_evidence_make(cli_evidence *ev, const qv_net *net, const qv_property *prop, const qv_proof *proof,
                                         qv_err *err);
void cli_evidence_free(cli_evidence *ev);

/* Write the certificate to `path`, and beside it, with the extension replaced, NAME.qir and (unless default) NAME.qvp. */
QV_NODISCARD qv_status cli_evidence_save(const cli_evidence *ev, const char *path, qv_err *err);

/* Run qverify-check (beside this program, else on PATH) on the texts, in a private temporary directory that is removed
 * afterwards. ACCEPTED only if it exits 0 after printing "s CHECKED" and the verdict line of the certificate's own verdict.
 * Errors: QV_E_INTERNAL when the checker cannot be run at all (a missing checker is never a pass); err names why. */
QV_NODISCARD qv_status cli_evidence_check(cli_check_result *out, const cli_evidence *ev, bool verified, qv_err *err);

/* Run the checker on three given files; its output goes to `text`. *code is its exit code, or 128 + signal. */
QV_NODISCARD qv_status cli_run_checker(int *code, qv_buf *text, const char *qir, const char *property, const char *cert, qv_err *err);

#endif
