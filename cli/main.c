/* qverify: dispatch to the subcommands. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/opt.h"
#include "cli/qverify.h"

const cli_cmd *const cli_commands[] = {
  &cli_info, &cli_run, &cli_lower, &cli_profiles, &cli_overflow, &cli_audit, &cli_oaq, &cli_diff, &cli_robust,
  &cli_radius, &cli_verify, &cli_supports, &cli_quantize, &cli_error, &cli_allocate, &cli_compare,
  &cli_calibrate_cost, &cli_check, &cli_ci, &cli_plan, &cli_work, &cli_merge, &cli_bundle, &cli_explain,
  &cli_selftest, &cli_completion, NULL};
int cli_argc;
char *const *cli_argv;

enum { N_COMMANDS = sizeof cli_commands / sizeof cli_commands[0] - 1 };

static void top_help(qv_buf *out) {
  qv_buf_str(out, "qverify: exact integer arithmetic of quantized neural networks, executed and proved\n\n"
                  "Usage: qverify COMMAND [options]\n\nCommands:\n");
  for (size_t i = 0; i < N_COMMANDS; i++) {
    qv_buf_printf(out, "  %-15s", cli_commands[i]->name);
    cli_wrap(out, cli_commands[i]->summary, 17, 79);
  }
  qv_buf_str(out, "\nOptions:\n  -h, --help     this text; 'qverify COMMAND --help' for one command\n"
                  "  -V, --version  version and licence\n\n"
                  "Exit codes: 0 done, or everything proved; 10 refuted by a replayed counterexample;\n"
                  "5 inconclusive; 1 wrong usage; 2 unreadable or ill-formed input; 3 unsupported\n"
                  "operator or type; 6 internal error, or the result could not be written.\n\n"
                  "Example:\n  qverify overflow model.tflite --acc-bits 16\n");
}

static void version(qv_buf *out) {
  qv_buf_printf(out, "qverify %s\n", qverify_version());
  qv_buf_str(out, "Licence GPL-3.0-or-later: free software, without any warranty.\n");
}

/* Print and leave. A text that cannot be written is a failure like any other result. */
static int show(qv_buf *out) {
  qv_err err = {0};
  qv_status st = cli_emit("-", out, &err);
  qv_buf_free(out);
  return st == QV_OK ? qv_cli_exit(QV_OK, NULL) : cli_fail(st, NULL, &err);
}

static int unknown_command(const char *word) {
  const char *names[N_COMMANDS];
  for (size_t i = 0; i < N_COMMANDS; i++) names[i] = cli_commands[i]->name;
  if (word[0] == '-') return cli_usage(NULL, "unknown option '%.80s'", word);
  const char *near = cli_nearest(word, names, N_COMMANDS);
  if (near == NULL) return cli_usage(NULL, "unknown command '%.80s'", word);
  return cli_usage(NULL, "unknown command '%.80s'; did you mean '%s'?", word, near);
}

/* A closed standard stream would be given to the next file opened, and messages would end up in that file. */
static void hold_std_streams(void) {
  for (int fd = 0; fd <= 2; fd++)
    if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd) _exit(qv_cli_exit(QV_E_INTERNAL, NULL));
}

int main(int argc, char **argv) {
  static cli_args args; /* large; zeroed */
  qv_buf out = {0};
  cli_argc = argc;
  cli_argv = argv;
  hold_std_streams();
  cli_text_init();
  if (argc < 2) return cli_usage(NULL, "a command is missing");
  const char *word = argv[1];
  if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || (strcmp(word, "help") == 0 && argc == 2)) {
    top_help(&out);
    return show(&out);
  }
  if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
    version(&out);
    return show(&out);
  }
  if (strcmp(word, "--name") == 0) { /* the VNN-LIB standard's */
    qv_buf_str(&out, "qverify\n");
    return show(&out);
  }
  bool help = strcmp(word, "help") == 0;
  if (help) word = argv[2];
  for (size_t i = 0; i < N_COMMANDS; i++) {
    const cli_cmd *cmd = cli_commands[i];
    if (strcmp(cmd->name, word) != 0) continue;
    int rc = help ? 0 : cli_parse(&args, cmd, argc - 2, argv + 2);
    if (rc != 0) return rc;
    if (help || args.help) {
      cli_help(&out, cmd);
      return show(&out);
    }
    return cmd->run(cmd, args.operand, args.val);
  }
  return unknown_command(word);
}
