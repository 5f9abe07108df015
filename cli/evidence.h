/* Evidence of a proof: the texts that an independent checker needs. (cli/checker.h runs it.) */
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

#endif
