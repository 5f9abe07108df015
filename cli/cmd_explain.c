/* qverify explain: what an exit code or a verdict means, and what to do next. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const struct {
  const char *word, *text;
} entries[] = {
    {"0", "Done. For commands that prove something: every selected obligation was proved, there was at least one, and the independent checker accepted the certificates.\n"},
    {"1", "Wrong usage: an unknown or missing option, operand or name. Nothing was read. 'qverify COMMAND --help' lists what there is.\n"},
    {"2", "A model, property, input or label file cannot be read or is not what it claims to be. The message names the file and, where there is one, the line, node or offset.\n"},
    {"3", "The model is fine, but uses an operator, type or form that qverify does not model under this profile, so nothing is claimed about it. The message names node, operator and type. "
          "Next: another profile (qverify profiles), or --opaque to let the operator stand for any value.\n"},
    {"5", "Inconclusive: neither proved nor refuted, or nothing to prove. Not a pass. Next: the reason in the output; a longer --timeout; a --domain that says which inputs occur; --tight; 'qverify radius' "
          "for the largest distance that is certified.\n"},
    {"6", "An internal error, a failed self-check, two engines that disagree, a certificate that the independent checker rejects, or a result that could not be written. Trust nothing of this run; the message "
          "says what failed, and a saved reproducer where there is one.\n"},
    {"10", "Refuted: at least one obligation is violated by an input that was executed bit for bit (or, for allocations, is proved infeasible). --cex and --witness save the input.\n"},
    {"126", "Not from qverify: the shell could not execute the program.\n"},
    {"127", "Not from qverify: the shell did not find the program, or (in 'qverify ci') a job's process could not be started.\n"},
    {"134", "The process was ended by SIGABRT: an assertion failed. This is a bug; please report it with the command and the input.\n"},
    {"137", "The process was ended by SIGKILL, usually by the system for want of memory, or by a limit of 'qverify ci'.\n"},
    {"VERIFIED", "The statement holds for every input of the stated set, under the stated profile; proved in exact integers, and accepted by the independent checker.\n"},
    {"FALSIFIED", "An input of the stated set violates the statement; it was executed by the reference kernels.\n"},
    {"UNKNOWN", "Neither of the two. The output says why and what to try.\n"},
    {"ERROR", "(qverify ci) The job's process failed; its message is in the report.\n"},
    {"MISSING", "(qverify ci) There is no result for a job: a shard was not run, or its results are elsewhere.\n"},
    {"INCOMPLETE", "A report of a run that has not ended, or was ended from outside. It claims nothing.\n"},
    {"NOTHING_SELECTED", "No obligation matched, or the model has none. Never a pass.\n"},
};
enum { N_ENTRIES = sizeof entries / sizeof *entries };

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  const char *names[N_ENTRIES];
  qv_buf out = {0};
  qv_err err = {0};
  (void)val;
  for (size_t i = 0; i < N_ENTRIES; i++) {
    names[i] = entries[i].word;
    if (strcmp(operand[0], entries[i].word) != 0) continue;
    qv_buf_printf(&out, "%s: ", entries[i].word);
    cli_wrap(&out, entries[i].text, 0, 79);
    qv_status st = cli_emit("-", &out, &err);
    qv_buf_free(&out);
    return st == QV_OK ? 0 : cli_fail(st, NULL, &err);
  }
  const char *near = cli_nearest(operand[0], names, N_ENTRIES);
  return cli_usage(cmd, "nothing is known about '%.40s'%s%s%s", operand[0], near != NULL ? "; did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
}

static const cli_opt opts[] = {{.name = NULL}};

const cli_cmd cli_explain = {
    .name = "explain",
    .operands = "CODE",
    .n_operands = 1,
    .summary = "what an exit code or a verdict means, and what to do next",
    .detail = "CODE is an exit code (0, 1, 2, 3, 5, 6, 10, ...) or a word of a report (VERIFIED, INCOMPLETE, ...).",
    .example = "qverify explain 5",
    .opt = opts,
    .run = run,
};
