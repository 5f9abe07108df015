/* What all subcommands share: options, loading a model, printing, exit codes. Only cli/ may write to the terminal or exit. */
#ifndef QV_CLI_CLI_H
#define QV_CLI_CLI_H

#include "cli/text.h"
#include "frontend/load.h"
#include "ir/base/buf.h"
#include "ir/ir.h"

/* ---- exit codes (docs/cli.md) ------------------------------------------------------------------------------------------ */

enum { QV_EXIT_USAGE = 1 };

/* What a run established. `verified` counts obligations, `selected` all that were asked for. */
typedef struct {
  uint32_t selected, verified, falsified;
} qv_tally;

/* The one place where results become a number. t NULL: the command proves nothing, so success is success.
 * A file that cannot be written is reported as QV_E_INTERNAL by cli_emit (6); QV_E_IO here is an unreadable input (2). */
int qv_cli_exit(qv_status st, const qv_tally *t);

/* ---- options ----------------------------------------------------------------------------------------------------------- */

#define CLI_MAX_REPEAT QV_MAX_INPUTS

/* One long option; `arg` NULL = flag. Options may stand anywhere, as --name VALUE or --name=VALUE; "--" ends them. */
typedef struct {
  const char *name; /* without "--" */
  char letter;      /* short form, 0 = none */
  const char *arg;  /* name of the value in --help */
  bool many;        /* may be repeated, values in order */
  const char *help;
} cli_opt;

typedef struct {
  uint32_t n;                        /* how often it was given */
  const char *v[CLI_MAX_REPEAT + 1]; /* its values; "" for a flag */
} cli_val;

typedef struct cli_cmd {
  const char *name;
  const char *operands; /* "MODEL", or "" */
  uint32_t n_operands;
  const char *summary; /* one line */
  const char *detail;  /* paragraph(s) of --help */
  const char *example; /* one command line */
  const cli_opt *opt;  /* ends with name NULL */
  int (*run)(const struct cli_cmd *cmd, const char *const *operand, const cli_val *val);
} cli_cmd;

/* The whole command line, for reports. Set by main. */
extern int cli_argc;
extern char *const *cli_argv;

extern const cli_cmd cli_info, cli_run, cli_overflow, cli_audit, cli_diff, cli_check, cli_lower, cli_profiles, cli_quantize, cli_calibrate_cost, cli_ci, cli_plan, cli_work, cli_merge, cli_bundle, cli_explain, cli_selftest, cli_completion;
extern const cli_cmd *const cli_commands[]; /* all of them, NULL at the end; main.c */
extern const cli_cmd cli_oaq, cli_error;
extern const cli_cmd cli_allocate, cli_compare;
extern const cli_cmd cli_robust, cli_radius, cli_verify, cli_supports;

/* Value of option `name`: the only one, or NULL if it was not given. The name must be in cmd->opt. */
const char *cli_get(const cli_cmd *cmd, const cli_val *val, const char *name);
const cli_val *cli_all(const cli_cmd *cmd, const cli_val *val, const char *name);

/* Decimal value of option `name`, `dflt` when absent. False after a usage message. */
bool cli_get_int(int64_t *out, const cli_cmd *cmd, const cli_val *val, const char *name, int64_t lo, int64_t hi, int64_t dflt);

/* Message on stderr, with a pointer to --help; returns QV_EXIT_USAGE. */
int cli_usage(const cli_cmd *cmd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The name in list[0..n) nearest to `word` (edit distance), or NULL if none is near. */
const char *cli_nearest(const char *word, const char *const *list, size_t n);

/* ---- models ------------------------------------------------------------------------------------------------------------ */

typedef struct {
  const char *path;
  size_t bytes;
  char sha256[QV_SHA256_HEX];
  qv_net *net;
} cli_model;

/* Read a model. Returns 0, or the exit code after its message. err keeps the failure for a report. */
int cli_load(cli_model *m, const cli_cmd *cmd, const char *path, const char *profile, bool opaque, qv_err *err);
/* The same without a message; the failure is in err. `data` (or NULL) gets the file's bytes, also after an error. */
QV_NODISCARD qv_status cli_try_load(cli_model *m, qv_buf *data, const char *path, const char *profile, bool opaque, qv_err *err);
/* What cli_load says about a failure of it, and the exit code. */
int cli_load_failed(const cli_cmd *cmd, qv_status st, const char *path, const qv_err *err);
void cli_model_free(cli_model *m);

/* False after a usage message if `name` is not NULL and no profile. */
bool cli_profile_ok(const cli_cmd *cmd, const char *name);

/* ---- clock ---------------------------------------------------------------------------------------------------------------- */

double cli_now(void); /* seconds of a monotonic clock */

/* ---- messages and output ------------------------------------------------------------------------------------------------ */

/* "qverify: PATH: message" on stderr, then the exit code for st. path may be NULL. */
int cli_fail(qv_status st, const char *path, const qv_err *err);

/* What is wrong with a file of data is wrong with that file, whatever the layer below calls it: exit 2, not "inconclusive". */
qv_status cli_data_error(qv_status st);

/* Write a result, whole or not at all. path "-" is stdout. Failure (also out->failed) is QV_E_INTERNAL: exit 6. */
QV_NODISCARD qv_status cli_emit(const char *path, const qv_buf *out, qv_err *err);

#endif
