/* What overflow and audit have in common: parts of the text, and what they write. */
#ifndef QV_CLI_OVTEXT_H
#define QV_CLI_OVTEXT_H

#include "cli/report.h"

/* One line per obligation that does not hold; the others are only counted, unless asked for (`all`). */
void cli_text_obligations(qv_buf *out, const qv_net *net, const qv_ovcheck *o, bool all, qv_arena *a);

/* What the claim rests on: profile, domain, remarks of the net. */
void cli_text_assumptions(qv_buf *out, const cli_report *r, const qv_net *net, const qv_ovcheck *o, qv_arena *a);

/* Whether a checker has looked at the certificate, in brackets (static). */
const char *cli_text_checked(const qv_ovcheck *o);

/* Counterexample, witnesses and certificate into the files that the options name, then the text to standard output (unless the
 * report goes there); notes the files in *r. Frees the text. Errors: QV_E_INTERNAL when something cannot be written. */
QV_NODISCARD qv_status cli_results(const cli_cmd *cmd, const cli_val *val, cli_report *r, const qv_ovcheck *o, qv_buf *text, qv_err *err);

#endif
