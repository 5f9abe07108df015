/* qverify explain: what an exit code or a verdict means, and what to do next. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const struct {
  const char *word, *text;
} entries[] = {
    {"0", "Done. For commands that prove something: every selected obligation was proved, there was at least one, and the independent "
          "checker accepted the certificates.\n"},
    {"1", "Wrong usage: an unknown or missing option, operand or name. Nothing was read. 'qverify COMMAND --help' lists what there is.\n"},
    {"2", "A model, property, input or label file cannot be read or is not what it claims to be. The message names the file and, where "
          "there is one, the line, node or offset.\n"},
    {"3", "The model is fine, but uses an operator, type or form that qverify does not model under this profile, so nothing is claimed "
          "about it. The message names node, operator and type. "
          "Next: another profile (qverify profiles), or --opaque to let the operator stand for any value.\n"},
    {"5", "Inconclusive: neither proved nor refuted, or nothing to prove. Not a pass. Next: the reason in the output; a longer --timeout; "
          "a --domain that says which inputs occur; --tight; 'qverify radius' "
          "for the largest distance that is certified.\n"},
    {"6", "An internal error, a failed self-check, two engines that disagree, a certificate that the independent checker rejects, or a "
          "result that could not be written. Trust nothing of this run; the message "
          "says what failed, and a saved reproducer where there is one.\n"},
    {"10", "Refuted: at least one obligation is violated by an input that was executed bit for bit (or, for allocations, is proved "
           "infeasible). --cex and --witness save the input.\n"},
    {"126", "Not from qverify: the shell could not execute the program.\n"},
    {"127", "Not from qverify: the shell did not find the program, or (in 'qverify ci') a job's process could not be started.\n"},
    {"134", "The process was ended by SIGABRT: an assertion failed. This is a bug; please report it with the command and the input.\n"},
    {"137", "The process was ended by SIGKILL, usually by the system for want of memory, or by a limit of 'qverify ci'.\n"},
    {"VERIFIED", "The statement holds for every input of the stated set, under the stated profile; proved in exact integers, and accepted "
                 "by the independent checker.\n"},
    {"FALSIFIED", "An input of the stated set violates the statement; it was executed by the reference kernels.\n"},
    {"UNKNOWN", "Neither of the two. The output says why and what to try.\n"},
    {"ERROR", "(qverify ci) The job's process failed; its message is in the report. Next: run the command that the page shows for this "
              "job, alone.\n"},
    {"MISSING", "(qverify ci) There is no result for a job: a shard was not run, or its results are elsewhere. Next: qverify work PLAN, "
                "then merge again.\n"},
    {"COMPLETE", "A report of a run that came to its end. Only such a report claims anything.\n"},
    {"INCOMPLETE", "A report of a run that has not ended, or was ended from outside. It claims nothing. Next: run it again; finished jobs "
                   "are not done twice.\n"},
    {"PARTIAL", "A report of a part of a run. It claims what it lists, and nothing about the rest.\n"},
    {"NOTHING_SELECTED", "No obligation matched, or the model has none. Never a pass. Next: the spelling of --tag, --only or --index.\n"},
    {"REFUTED",
     "(qverify overflow) This layer overflows on an input that was executed. Next: the width in the column 'bits needed' is enough.\n"},
    {"REACHABLE", "(qverify audit) A wrong result that an executed input shows. Next: qverify audit --repair OUT.qir.\n"},
    {"OVERFLOWS", "(qverify oaq) With the published rule this layer still overflows on an executed input.\n"},
    {"EQUAL", "(qverify diff) The two profiles give the same outputs for every input; proved by this program, there is no certificate.\n"},
    {"DIFFERENT", "(qverify diff) An executed input gives other outputs under the two profiles. Next: --cex saves it.\n"},
    {"OPTIMAL",
     "(qverify allocate) No allocation within the limits has less loss; the certificate was accepted by the independent checker.\n"},
    {"INFEASIBLE", "(qverify allocate) No allocation keeps the limits; proved, and the certificate accepted. Next: --explain says which "
                   "limit has to move, and to what.\n"},
    {"BROKEN", "(qverify compare) The method's choice does not keep the limits, so its loss is no competitor.\n"},
    {"CHECKED",
     "(qverify-check) The certificate proves its claim; the line 'c verdict ..' says which. Exit code 0 comes after this line only.\n"},
    {"REJECTED",
     "(qverify-check) The certificate does not prove its claim, or is about other files. Nothing follows about the claim itself.\n"},
    {"FAILED", "A self-test or a check that did not come out as known. Trust nothing on this machine until it is understood.\n"},
    {"PASSED", "(in-toto statement) Every selected obligation is VERIFIED. Anything else is FAILED, open ones included.\n"},
    {"DAMAGED", "(qverify ci --cache) A stored result is not what was stored; it is dropped and the job is run again. Next: if this "
                "happens often, look at the disk.\n"},
    {"IGNORED", "(qverify ci --cache) The cache cannot be used and is left alone; everything is run. The line before says why.\n"},
    {"sat", "(qverify verify) The query has an assignment: the property that it negates is violated; the assignment was executed.\n"},
    {"unsat", "(qverify verify) The query has no assignment: proved, and accepted by the independent checker.\n"},
    {"unknown",
     "(qverify verify) Neither of the two, and not because of time. Next: a longer --timeout seldom helps; qverify robust says why.\n"},
    {"timed-out", "(qverify verify) The time limit came first. Next: a longer --timeout.\n"},
    {"trusted", "(qverify-check) A branch rests on the word of a solver, not on a proof. Such a verdict is shown as UNKNOWN.\n"},
    {"vacuous", "The set of inputs is empty, so that everything would hold of it. Never counted as proved. Next: correct the set.\n"},
    {"overflow", "(obligation of 'qverify ci', rule qverify/overflow) No accumulator leaves its width, for any input. docs/overflow.md.\n"},
    {"audit", "(obligation, rule qverify/audit) No narrow stage of the kernel (pairs, lanes) saturates or wraps. docs/audit.md.\n"},
    {"diff", "(obligation, rule qverify/diff) Two profiles give the same outputs for every input. docs/diff.md.\n"},
    {"robust", "(obligation, rule qverify/robust) A share of samples keeps its class under small changes. docs/robust.md.\n"},
    {"radius", "(obligation, rule qverify/radius) A share of samples has at least this certified radius. docs/robust.md.\n"},
    {"accuracy", "(obligation, rule qverify/accuracy) A share of labelled samples is right, executed bit for bit.\n"},
    {"allocation", "(obligation, rule qverify/allocation) A best allocation within limits exists, and is proved. docs/allocation.md.\n"},
    {"baseline", "(obligation, rule qverify/baseline) No accumulator has less headroom, and no verdict is lost, against an older network. "
                 "docs/ci.md. (Certified radii and robustness: member baseline of those obligations.)\n"},
    {"error", "(obligation, rule qverify/error) The integers stay within a distance of the float network. docs/error-bound.md.\n"},
};
enum { N_ENTRIES = sizeof entries / sizeof *entries };

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  const char *names[N_ENTRIES];
  qv_buf out = {0};
  qv_err err = {0};
  const char *word = strncmp(operand[0], "qverify/", 8) == 0 ? operand[0] + 8 : operand[0]; /* rules of SARIF reports */
  (void)val;
  for (size_t i = 0; i < N_ENTRIES; i++) {
    names[i] = entries[i].word;
    if (strcmp(word, entries[i].word) != 0) continue;
    qv_buf_printf(&out, "%s: ", entries[i].word);
    cli_wrap(&out, entries[i].text, 0, 79);
    qv_status st = cli_emit("-", &out, &err);
    qv_buf_free(&out);
    return st == QV_OK ? 0 : cli_fail(st, NULL, &err);
  }
  const char *near = cli_nearest(operand[0], names, N_ENTRIES);
  return cli_usage(cmd, "nothing is known about '%.40s'%s%s%s", operand[0], near != NULL ? "; did you mean '" : "",
                   near != NULL ? near : "", near != NULL ? "'?" : "");
}

static const cli_opt opts[] = {{.name = NULL}};

const cli_cmd cli_explain = {
    .name = "explain",
    .operands = "CODE",
    .n_operands = 1,
    .summary = "what an exit code or a verdict means, and what to do next",
    .detail = "CODE is an exit code (0, 1, 2, 3, 5, 6, 10, ...), a word of a report (VERIFIED, INCOMPLETE, REJECTED, ...) or the rule of "
              "an obligation (qverify/overflow, ...).",
    .example = "qverify explain 5",
    .opt = opts,
    .run = run,
};
