/* qverify profiles: what runtimes can be named. */
#include "cli/cli.h"
#include "kernels/profile/onnx.h"

static void row(cli_table *t, const char *name, const char *format, const char *summary, const char *evidence) {
  cli_cell(t, "%s", name);
  cli_cell(t, "%s", format);
  cli_cell(t, "%s", summary);
  if (evidence == NULL) return;
  cli_cell(t, "%s", "");
  cli_cell(t, "%s", "");
  cli_cell(t, "%s", evidence);
}

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  (void)operand;
  qv_buf out = {0};
  qv_err err = {0};
  bool verbose = cli_get(cmd, val, "verbose") != NULL;
  cli_table t = {0};
  cli_col(&t, "profile", false);
  cli_col(&t, "format", false);
  cli_col(&t, verbose ? "runtime; evidence" : "runtime", false);
  const qv_profile *p;
  const qv_onnx_profile *o;
  for (size_t i = 0; (p = qv_profile_at(i)) != NULL; i++) row(&t, p->name, "TFLite", p->summary, verbose ? p->evidence : NULL);
  for (size_t i = 0; (o = qv_onnx_profile_at(i)) != NULL; i++) row(&t, o->usage != NULL ? o->usage : o->name, "ONNX", o->summary, verbose ? o->evidence : NULL);
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
