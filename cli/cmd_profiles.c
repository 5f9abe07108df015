/* qverify profiles: what runtimes can be named. */
#include "cli/cli.h"

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  (void)operand;
  qv_buf out = {0};
  qv_err err = {0};
  bool verbose = cli_get(cmd, val, "verbose") != NULL;
  cli_table t = {0};
  cli_col(&t, "profile", false);
  cli_col(&t, verbose ? "runtime; evidence" : "runtime", false);
  const qv_profile *p;
  for (size_t i = 0; (p = qv_profile_at(i)) != NULL; i++) {
    cli_cell(&t, "%s", p->name);
    cli_cell(&t, "%s", p->summary);
    if (!verbose) continue;
    cli_cell(&t, "%s", "");
    cli_cell(&t, "%s", p->evidence);
  }
  cli_table_print(&out, &t);
  qv_status st = cli_emit("-", &out, &err);
  qv_buf_free(&out);
  return st == QV_OK ? qv_cli_exit(st, NULL) : cli_fail(st, NULL, &err);
}

static const cli_opt opts[] = {
    {"verbose", 'v', NULL, false, "also say how each profile's arithmetic was established"},
    {.name = NULL},
};

const cli_cmd cli_profiles = {
    .name = "profiles",
    .operands = "",
    .summary = "list the runtimes whose integer arithmetic can be named with --profile",
    .detail = "A model file does not say how its kernels round, saturate and accumulate: that differs between runtimes, and even "
              "between builds of one runtime. A profile fixes it, operator by operator.",
    .example = "qverify profiles --verbose",
    .opt = opts,
    .run = run,
};
