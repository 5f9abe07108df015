/* The options --domain and --calibrate: for which inputs a claim is made. */
#ifndef QV_CLI_DOMAIN_H
#define QV_CLI_DOMAIN_H

#include "cli/cli.h"
#include "ir/property.h"

/* Property that the options ask for; every input whole without them. Returns 0, or the exit code after a message. */
int cli_domain(qv_property *p, const cli_cmd *cmd, const cli_val *val, const qv_net *net, qv_err *err);

/* The file it comes from (the first one), or NULL. */
const char *cli_domain_path(const cli_cmd *cmd, const cli_val *val);

#endif
