/* Command line to options. */
#ifndef QV_CLI_OPT_H
#define QV_CLI_OPT_H

#include "cli/cli.h"

#define CLI_MAX_OPTS 48
#define CLI_MAX_OPERANDS 4

typedef struct {
  cli_val val[CLI_MAX_OPTS]; /* same order as cmd->opt */
  const char *operand[CLI_MAX_OPERANDS];
  bool help;
} cli_args;

/* Parse argv[0..argc) (after the subcommand). Returns 0, or QV_EXIT_USAGE after a message. */
int cli_parse(cli_args *out, const cli_cmd *cmd, int argc, char **argv);

/* Text of `qverify CMD --help`. */
void cli_help(qv_buf *out, const cli_cmd *cmd);

#endif
