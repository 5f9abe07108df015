/* qverify overflow: prove that no accumulator overflows, or show an input on which one does. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/ovcheck.h"
#include "cli/qverify.h"
#include "cli/report.h"
#include "cli/storage.h"
#include "frontend/array.h"

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
  static const char *const head[] = {"layer", "operator", "terms", "proved min", "proved max", "bits needed", "accumulator", "headroom",
                                     "type bound", "L1 bound"};
  cli_table t = {0};
  for (size_t c = 0; c < sizeof head / sizeof head[0]; c++) cli_col(&t, head[c], c != 1 && c != 6);
  cli_col(&t, "verdict", false);
  for (uint32_t i = 0; i < o->n; i++) item_row(&t, net, o, i, a);
  cli_table_print(out, &t);
}

/* One line per obligation that does not hold; the others are only counted, unless asked for. */
static void obligations(qv_buf *out, const qv_net *net, const qv_ovcheck *o, bool all, qv_arena *a) {
  uint32_t asked = 0, held = 0;
  for (uint32_t i = 0; i < o->proof.n_obligation; i++) {
    asked += !o->proof.obligation[i].informational;
    held += !o->proof.obligation[i].informational && o->proof.obligation[i].holds;
  }
  qv_buf_printf(out, "\nObligations of requantization: %" PRIu32 " of %" PRIu32 " hold\n", held, asked);
  for (uint32_t i = 0; i < o->proof.n_obligation; i++) {
    const qv_obligation *b = &o->proof.obligation[i];
    const qv_node *nd = &net->node[b->node];
    if (b->holds && !all) continue;
    qv_buf_printf(out, "  layer %" PRIu32 " %s, channel %" PRIu32 ": %s: [%" PRId64 ",%" PRId64 "] in [%" PRId64 ",%" PRId64 "]: %s%s\n",
                  nd->layer, cli_safe(a, nd->op), b->channel, qv_ob_name(b->kind), b->range.lo, b->range.hi, b->limit.lo, b->limit.hi,
                  b->holds ? "holds" : "not excluded", b->informational ? " (for information)" : "");
  }
}

static void bullet(qv_buf *out, const char *text) {
  qv_buf_str(out, "  - ");
  cli_wrap(out, text, 4, 100);
}

static void assumptions(qv_buf *out, const qv_net *net, const qv_ovcheck *o, qv_arena *a) {
  char line[400];
  qv_buf_str(out, "\nAssumptions\n");
  if (net->profile[0] != 0) {
    const qv_profile *p = qv_profile_find(net->profile);
    (void)snprintf(line, sizeof line, "Profile %s: %s. Another runtime or build may compute differently.", cli_safe(a, net->profile),
                   p != NULL ? p->summary : "?");
    bullet(out, line);
  } else bullet(out, "Arithmetic as written in the file itself.");
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_tensor *t = &net->tensor[net->in[i].tensor];
    (void)snprintf(line, sizeof line, "Domain: every %s value from %" PRId64 " to %" PRId64 " at every element of input '%s'.",
                   qv_dtype_name(t->type), t->lo, t->hi, cli_safe(a, net->in[i].name));
    bullet(out, line);
  }
  if (o->acc_bits != 0) bullet(out, "A layer's verdict holds for inputs on which no earlier accumulator overflows.");
  bullet(out, "Claimed: the accumulators, and the integers inside requantization. Not claimed: that the network's answers are right, or "
              "that an implementation follows the profile.");
  for (uint32_t i = 0; i < net->n_notes; i++) bullet(out, cli_safe(a, net->note[i]));
}

static void conclusion(qv_buf *out, const qv_net *net, const qv_ovcheck *o, qv_arena *a) {
  const char *unchecked = "(not yet independently checked)";
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
      return;
    }
    return;
  case QV_UNKNOWN:
    if (o->selected == 0) qv_buf_str(out, "nothing to prove: the model has no accumulator\n");
    else
      qv_buf_printf(out, "overflow not excluded; %" PRIu32 " of %" PRIu32 " obligations proved %s\n", o->verified, o->selected, unchecked);
    return;
  }
}

static void text(qv_buf *out, const cli_model *m, const qv_ovcheck *o, bool verbose) {
  qv_arena a = {0};
  qv_buf_printf(out, "%s: accumulator overflow", cli_safe(&a, m->path));
  if (o->acc_bits != 0) qv_buf_printf(out, ", %d-bit accumulators", o->acc_bits);
  qv_buf_str(out, "\n\n");
  item_table(out, m->net, o, &a);
  for (uint32_t i = 0; i < m->net->n_nodes; i++)
    if (m->net->node[i].kind == QV_OPAQUE)
      qv_buf_printf(out, "  layer %" PRIu32 " %s: opaque, not proved\n", m->net->node[i].layer, cli_safe(&a, m->net->node[i].op));
  obligations(out, m->net, o, verbose, &a);
  assumptions(out, m->net, o, &a);
  conclusion(out, m->net, o, &a);
  qv_arena_clear(&a);
}

/* ---- counterexample file --------------------------------------------------------------------------------------------------- */

/* The first counterexample as files that `qverify run --input` reads, one per model input. */
static qv_status write_cex(const cli_val *to, const qv_net *net, const qv_ovcheck *o, qv_err *err) {
  const qv_witness *w = qv_ovcheck_witness(o);
  if (w == NULL) return QV_OK;
  for (uint32_t i = 0; i < to->n; i++) {
    const qv_tensor *t = &net->tensor[net->in[i].tensor];
    size_t dim[QV_MAX_RANK], n = qv_elems(t);
    qv_buf b = {0};
    void *data = calloc(n, qv_dtype_bytes(t->type));
    if (data == NULL) return QV_FAIL(err, QV_E_INTERNAL, "out of memory while writing the counterexample");
    for (uint32_t d = 0; d < t->rank; d++) dim[d] = t->dim[d];
    qv_store(data, t->type, w->input[i], n);
    qv_npy_write(&b, qv_storage_elem(t->type), t->rank, dim, data);
    qv_status st = cli_emit(to->v[i], &b, err);
    qv_buf_free(&b);
    free(data);
    if (st != QV_OK) return st;
  }
  return QV_OK;
}

/* ---- the command ------------------------------------------------------------------------------------------------------------ */

static double now(void) {
  struct timespec t;
  return clock_gettime(CLOCK_MONOTONIC, &t) == 0 ? (double)t.tv_sec + (double)t.tv_nsec * 1e-9 : 0;
}

/* Load, prove, print. Fills in the report as far as it gets; returns the exit code. */
static int prove(const cli_cmd *cmd, const cli_val *val, cli_report *r, cli_model *m, qv_ovcheck *o, qv_err *err) {
  const cli_val *cex = cli_all(cmd, val, "cex");
  qv_buf out = {0};
  int rc = cli_load(m, cmd, r->model_path, r->profile_asked, r->opaque, err);
  r->model = m;
  if (rc != 0) return rc;
  if (cex->n > 0 && cex->n != m->net->n_in)
    return cli_usage(cmd, "the model has %" PRIu32 " inputs, but --cex is given %" PRIu32 " times", m->net->n_in, cex->n);
  qv_status st = qv_ovcheck_run(o, m->net, r->acc_bits, err);
  if (st != QV_OK) return cli_fail(st, r->model_path, err);
  if ((st = write_cex(cex, m->net, o, err)) != QV_OK) return cli_fail(st, NULL, err);
  if (o->falsified > 0) r->cex_path = cli_get(cmd, val, "cex");
  r->check = o;
  if (r->path == NULL || strcmp(r->path, "-") != 0) {
    text(&out, m, o, cli_get(cmd, val, "verbose") != NULL);
    st = cli_emit("-", &out, err);
    qv_buf_free(&out);
    if (st != QV_OK) return cli_fail(st, NULL, err);
  }
  const qv_tally tally = {.selected = o->selected, .verified = o->verified, .falsified = o->falsified};
  return qv_cli_exit(QV_OK, &tally);
}

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  double start = now();
  int64_t bits;
  qv_err err = {0}, report_err = {0};
  cli_model m = {0};
  qv_ovcheck o = {0};
  cli_report r = {.path = cli_get(cmd, val, "json"), .argc = cli_argc, .argv = cli_argv, .opaque = cli_get(cmd, val, "opaque") != NULL,
                  .profile_asked = cli_get(cmd, val, "profile"), .model_path = operand[0]};
  if (!cli_profile_ok(cmd, r.profile_asked) || !cli_get_int(&bits, cmd, val, "acc-bits", 2, 64, 0)) return QV_EXIT_USAGE;
  r.acc_bits = (int)bits;
  qv_status st = cli_report_begin(&r, &report_err);
  if (st != QV_OK) return cli_fail(st, r.path, &report_err);
  r.exit_code = prove(cmd, val, &r, &m, &o, &err);
  r.err = &err;
  r.seconds = now() - start;
  st = cli_report_write(&r, &report_err);
  int rc = st == QV_OK ? r.exit_code : cli_fail(st, r.path, &report_err);
  qv_ovcheck_clear(&o);
  cli_model_free(&m);
  return rc;
}

static const cli_opt opts[] = {
    {"profile", 'p', "NAME", false, "runtime whose arithmetic is meant (see 'qverify profiles')"},
    {"acc-bits", 'b', "N", false, "judge every accumulator as N bits wide (2..64) instead of its own width"},
    {"json", 'j', "FILE", false, "write a report (docs/report.md); '-' writes it to standard output in place of the text"},
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
              "that was executed. Exit codes: 0 all proved, 10 refuted, 5 not excluded.",
    .example = "qverify overflow model.tflite --acc-bits 16 --json report.json",
    .opt = opts,
    .run = run,
};
