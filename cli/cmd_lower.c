/* qverify lower: a model file as canonical .qir text. */
#include <string.h>

#include "cli/cli.h"
#include "ir/qir.h"

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  const char *profile = cli_get(cmd, val, "profile"), *to = cli_get(cmd, val, "output");
  if (to == NULL) return cli_usage(cmd, "lower needs --output FILE ('-' is standard output)");
  if (!cli_profile_ok(cmd, profile)) return QV_EXIT_USAGE;
  cli_model m;
  qv_err err = {0};
  int rc = cli_load(&m, cmd, operand[0], profile, cli_get(cmd, val, "opaque") != NULL, &err);
  if (rc != 0) return rc;
  qv_buf out = {0};
  qv_status st = qv_qir_write(&out, m.net, &err);
  if (st != QV_OK) rc = cli_fail(st, operand[0], &err);
  else rc = (st = cli_emit(to, &out, &err)) == QV_OK ? qv_cli_exit(st, NULL) : cli_fail(st, to, &err);
  qv_buf_free(&out);
  cli_model_free(&m);
  return rc;
}

static const cli_opt opts[] = {
    {"output", 'o', "FILE", false, "where the text goes; '-' is standard output"},
    {"profile", 'p', "NAME", false, "runtime whose arithmetic is meant (see 'qverify profiles')"},
    {"opaque", 0, NULL, false, "let an unsupported operator stand for any value instead of refusing the model"},
    {.name = NULL},
};

const cli_cmd cli_lower = {
    .name = "lower",
    .operands = "MODEL",
    .n_operands = 1,
    .summary = "write a model as exact integer text (.qir)",
    .detail = "The text contains everything that the result depends on: weights, rounding, accumulators, order. The same model and "
              "profile always give the same bytes, and qverify reads the text back like a model file. Format: docs/qir.md.",
    .example = "qverify lower model.tflite --profile tflite-double -o model.qir",
    .opt = opts,
    .run = run,
};
