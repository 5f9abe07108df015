/* qverify overflow: prove that no accumulator overflows, or show an input on which one does. */
#include <inttypes.h>

#include "cli/checker.h"
#include "cli/cli.h"
#include "cli/domain.h"
#include "cli/ovcheck.h"
#include "cli/ovtext.h"
#include "cli/qverify.h"
#include "cli/report.h"
#include "kernels/profile/onnx.h"

/* ---- text --------------------------------------------------------------------------------------------------------------- */

static const char *verdict_word(qv_verdict v) {
  switch (v) {
  case QV_VERIFIED: return "proved";
  case QV_FALSIFIED: return "REFUTED";
  case QV_UNKNOWN: return "not excluded";
  }
  return "?";
}

static void item_row(cli_table *t, const qv_net *net, const qv_ovcheck *o, uint32_t i, qv_arena *a) {
  const qv_acc_bound *b = &o->proof.range.acc[i];
  const qv_ov_item *it = &o->item[i];
  const qv_node *nd = &net->node[it->node];
  qv_itv r = qv_acc_hull(b);
  qv_acc acc = qv_acc_judged(qv_node_acc(nd), o->acc_bits);
  cli_cell(t, "%" PRIu32, nd->layer);
  cli_cell(t, "%s", cli_safe(a, nd->op));
  cli_cell(t, "%" PRIu64, b->k);
  cli_cell(t, "%" PRId64, r.lo);
  cli_cell(t, "%" PRId64, r.hi);
  if (o->proof.tight) cli_cell(t, "%d", o->proof.interval.acc[i].bits_final);
  cli_cell(t, "%d", b->bits_final);
  if (it->bits == 0) {
    cli_cell(t, "unbounded");
    cli_cell(t, "-");
  } else {
    cli_cell(t, "%d %s", it->bits, qv_acc_name(acc.mode));
    cli_cell(t, "%d", it->bits - b->bits_final);
  }
  if (b->bits_dtype > 0) cli_cell(t, "%d", b->bits_dtype);
  else cli_cell(t, "-");
  if (b->bits_l1 > 0) cli_cell(t, "%d", b->bits_l1);
  else cli_cell(t, "-");
  cli_cell(t, "%s", it->verdict == QV_UNKNOWN ? cli_item_reason(a, net, o, i) : verdict_word(it->verdict));
}

static void item_table(qv_buf *out, const qv_net *net, const qv_ovcheck *o, qv_arena *a) {
  static const char *const head[] = {"layer", "operator", "terms", "proved min", "proved max", "interval bits", "bits needed", "accumulator",
                                     "headroom", "type bound", "L1 bound"};
  cli_table t = {0};
  for (size_t c = 0; c < sizeof head / sizeof head[0]; c++)
    if (c != 5 || o->proof.tight) cli_col(&t, head[c], c != 1 && c != 7);
  cli_col(&t, "verdict", false);
  for (uint32_t i = 0; i < o->n; i++) item_row(&t, net, o, i, a);
  cli_table_print(out, &t);
}

/* What to try: the width that is proved enough, where some width refuted is the only trouble. */
static void next_width(qv_buf *out, const qv_net *net, const qv_ovcheck *o) {
  int most = 0;
  for (uint32_t i = 0; i < o->n; i++) {
    const qv_acc acc = qv_acc_judged(qv_node_acc(&net->node[o->item[i].node]), o->acc_bits);
    if (o->item[i].verdict == QV_VERIFIED) continue;
    if (acc.mode != QV_ACC_WRAP && acc.mode != QV_ACC_SAT) {
      qv_buf_str(out, "  next: qverify audit shows the pairs or lanes, --repair mends them\n");
      return;
    }
    most = o->proof.range.acc[i].bits_final > most ? o->proof.range.acc[i].bits_final : most;
  }
  qv_buf_printf(out, "  next: %d-bit accumulators hold the sums refuted here; 'qverify oaq' and 'qverify quantize --acc-bits' fit weights to narrower ones\n", most);
}

static void conclusion(qv_buf *out, const qv_net *net, const qv_ovcheck *o, qv_arena *a) {
  const char *unchecked = cli_text_checked(o);
  qv_verdict v = qv_ovcheck_verdict(o);
  qv_buf_printf(out, "\n%s: ", qv_verdict_name(v));
  switch (v) {
  case QV_VERIFIED:
    qv_buf_printf(out, "no accumulator overflow; %" PRIu32 " of %" PRIu32 " obligations proved %s\n", o->verified, o->selected, unchecked);
    return;
  case QV_FALSIFIED:
    for (uint32_t i = 0; i < o->n; i++) {
      if (o->item[i].verdict != QV_FALSIFIED) continue;
      const qv_node *nd = &net->node[o->item[i].node];
      qv_buf_printf(out, "layer %" PRIu32 " %s: %s\n", nd->layer, cli_safe(a, nd->op), cli_item_reason(a, net, o, i));
      next_width(out, net, o);
      return;
    }
    return;
  case QV_UNKNOWN:
    if (o->selected == 0) qv_buf_str(out, "nothing to prove: the model has no accumulator\n");
    else
      qv_buf_printf(out, "overflow not excluded; %" PRIu32 " of %" PRIu32 " obligations proved %s\n  next: %s\n", o->verified, o->selected, unchecked,
                    o->n_opaque > 0 ? "a profile that models the opaque operators ('qverify profiles')"
                    : o->proof.tight ? "--domain FILE that says which inputs occur, or wider accumulators"
                                     : "--tight for closer bounds, or --domain FILE that says which inputs occur");
    return;
  }
}

static void text(qv_buf *out, const cli_report *r, const cli_model *m, const qv_ovcheck *o, bool verbose) {
  qv_arena a = {0};
  qv_buf_printf(out, "%s: accumulator overflow", cli_safe(&a, m->path));
  if (o->acc_bits != 0) qv_buf_printf(out, ", %d-bit accumulators", o->acc_bits);
  qv_buf_str(out, "\n\n");
  item_table(out, m->net, o, &a);
  for (uint32_t i = 0; i < m->net->n_nodes; i++)
    if (m->net->node[i].kind == QV_OPAQUE)
      qv_buf_printf(out, "  layer %" PRIu32 " %s: opaque, not proved\n", m->net->node[i].layer, cli_safe(&a, m->net->node[i].op));
  if (o->proof.n_own > 0)
    qv_buf_printf(out, "  accumulators that may overflow at their own width: %" PRIu32 "; behind them the ranges at %d bits are others\n", o->proof.n_own,
                  o->acc_bits);
  cli_text_obligations(out, m->net, o, verbose, &a);
  cli_text_assumptions(out, r, m->net, o, &a);
  conclusion(out, m->net, o, &a);
  qv_arena_clear(&a);
}

/* ---- the command ------------------------------------------------------------------------------------------------------------ */

/* Load, prove, check, print. Fills in the report as far as it gets; returns the exit code. */
static int prove(const cli_cmd *cmd, const cli_val *val, cli_report *r, cli_model *m, qv_property *prop, qv_ovcheck *o, qv_err *err) {
  const cli_val *cex = cli_all(cmd, val, "cex");
  const qv_prove_opts opts = {.tight = cli_get(cmd, val, "tight") != NULL};
  int rc = cli_load(m, cmd, r->model_path, r->profile_asked, r->opaque, err);
  r->model = m;
  if (rc != 0) return rc;
  if (cex->n > 0 && cex->n != m->net->n_in)
    return cli_usage(cmd, "the model has %" PRIu32 " inputs, but --cex is given %" PRIu32 " times", m->net->n_in, cex->n);
  if ((rc = cli_domain(prop, cmd, val, m->net, err)) != 0) return rc;
  if (r->acc_bits != 0) prop->acc_bits = r->acc_bits;
  r->prop = prop;
  r->acc_bits = prop->acc_bits;
  qv_status st = qv_ovcheck_run(o, m->net, prop, &opts, err);
  if (st == QV_OK && cli_get(cmd, val, "no-check") == NULL) st = qv_ovcheck_check(o, err);
  if (st != QV_OK) return cli_fail(st, r->model_path, err);
  r->check = o;
  qv_buf out = {0};
  text(&out, r, m, o, cli_get(cmd, val, "verbose") != NULL);
  if ((st = cli_results(cmd, val, r, o, &out, err)) != QV_OK) return cli_fail(st, NULL, err);
  const qv_tally tally = {.selected = o->selected, .verified = o->verified, .falsified = o->falsified};
  return qv_cli_exit(QV_OK, &tally);
}

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  double start = cli_now();
  int64_t bits;
  qv_err err = {0}, report_err = {0};
  cli_model m = {0};
  qv_ovcheck o = {0};
  qv_property prop = {0};
  cli_report r = {.requested = "overflow", .path = cli_get(cmd, val, "json"), .argc = cli_argc, .argv = cli_argv, .opaque = cli_get(cmd, val, "opaque") != NULL,
                  .profile_asked = cli_get(cmd, val, "profile"), .model_path = operand[0]};
  if (!cli_profile_ok(cmd, r.profile_asked) || !cli_get_int(&bits, cmd, val, "acc-bits", 2, 64, 0)) return QV_EXIT_USAGE;
  r.acc_bits = (int)bits;
  qv_status st = cli_report_begin(&r, &report_err);
  if (st != QV_OK) return cli_fail(st, r.path, &report_err);
  r.domain_path = cli_domain_path(cmd, val);
  r.exit_code = prove(cmd, val, &r, &m, &prop, &o, &err);
  r.err = &err;
  r.seconds = cli_now() - start;
  st = cli_report_write(&r, &report_err);
  int rc = st == QV_OK ? r.exit_code : cli_fail(st, r.path, &report_err);
  qv_ovcheck_clear(&o);
  qv_property_clear(&prop);
  cli_model_free(&m);
  return rc;
}

static const cli_opt opts[] = {
    {"profile", 'p', "NAME", false, "runtime whose arithmetic is meant (see 'qverify profiles')"},
    {"acc-bits", 'b', "N", false, "judge every accumulator as N bits wide (2..64) instead of its own width"},
    {"json", 'j', "FILE", false, "write a report (docs/report.md); '-' writes it to standard output in place of the text"},
    {"domain", 'D', "FILE", false, "inputs that the claim is about (docs/property.md); default: every value of the input types"},
    {"calibrate", 0, "FILE", true, "the claim is about the element-wise ranges that these samples span, once per model input (an assumption)"},
    {"tight", 0, NULL, false, "linear bounds on every channel, not only where the verdict needs them; prints both widths"},
    {"certificate", 'C', "FILE", false, "write the certificate, and beside it the net as .qir and the property as .qvp"},
    {"witness", 'w', "DIR", false, "write each found overflow as .npy inputs and C arrays with every layer's expected integers, and inputs that attain each bound"},
    {"no-check", 0, NULL, false, "do not run the independent checker; the verdict line says so"},
    {"cex", 'c', "FILE", true, "where a counterexample goes (.npy), once per model input; 'qverify run --input' reads it"},
    {"opaque", 0, NULL, false, "let an unsupported operator stand for any value; never a clean pass (exit 5)"},
    {"verbose", 'v', NULL, false, "list all obligations, not only those that do not hold"},
    {.name = NULL},
};

const cli_cmd cli_overflow = {
    .name = "overflow",
    .operands = "MODEL",
    .n_operands = 1,
    .summary = "prove that no accumulator overflows for any input, or show an input on which one does",
    .detail = "Proved min and max hold every sum that any input can produce, in exact integers: bias, zero points and image borders "
              "included. Type bound and L1 bound are the widths that the published formulas ask for (A2Q). A refutation is an input "
              "that was executed. A proof counts only after the independent checker, a separate program, has accepted its certificate. Exit codes: 0 all proved, 10 refuted, 5 not excluded.",
    .example = "qverify overflow model.tflite --acc-bits 16 --json report.json",
    .opt = opts,
    .run = run,
};
