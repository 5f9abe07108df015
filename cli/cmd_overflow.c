/* qverify overflow: prove that no accumulator overflows, or show an input on which one does. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/checker.h"
#include "cli/cli.h"
#include "cli/ovcheck.h"
#include "cli/qverify.h"
#include "cli/report.h"
#include "cli/witness_out.h"
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

static void domain_line(qv_buf *out, const cli_report *r, const qv_net *net, uint32_t i, qv_arena *a) {
  char line[400];
  const qv_tensor *t = &net->tensor[net->in[i].tensor];
  qv_itv v = qv_property_hull(r->prop, i, t);
  bool each = r->prop->in[i].n > 1, whole = r->prop->in[i].n == 0;
  (void)snprintf(line, sizeof line, "Domain: %s %s value from %" PRId64 " to %" PRId64 " at every element of input '%s'%s%s.",
                 each ? "per element an interval, together every" : "every", qv_dtype_name(t->type), v.lo, v.hi,
                 cli_safe(a, net->in[i].name), whole ? "" : ", as given by ", whole ? "" : cli_safe(a, r->domain_path));
  bullet(out, line);
}

static void assumptions(qv_buf *out, const cli_report *r, const qv_net *net, const qv_ovcheck *o, qv_arena *a) {
  char line[400];
  qv_buf_str(out, "\nAssumptions\n");
  if (net->profile[0] != 0) {
    const qv_profile *p = qv_profile_find(net->profile);
    (void)snprintf(line, sizeof line, "Profile %s: %s. Another runtime or build may compute differently.", cli_safe(a, net->profile),
                   p != NULL ? p->summary : "?");
    bullet(out, line);
  } else bullet(out, "Arithmetic as written in the file itself.");
  for (uint32_t i = 0; i < net->n_in; i++) domain_line(out, r, net, i, a);
  if (o->acc_bits != 0) bullet(out, "A layer's verdict holds for inputs on which no earlier accumulator overflows.");
  bullet(out, "Claimed: the accumulators, and the integers inside requantization. Not claimed: that the network's answers are right, or "
              "that an implementation follows the profile.");
  for (uint32_t i = 0; i < net->n_notes; i++) bullet(out, cli_safe(a, net->note[i]));
}

static void conclusion(qv_buf *out, const qv_net *net, const qv_ovcheck *o, qv_arena *a) {
  const char *unchecked = o->checked == CLI_CHECK_ACCEPTED ? "(certificate accepted by qverify-check)" : "(NOT independently checked: --no-check)";
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

static void text(qv_buf *out, const cli_report *r, const cli_model *m, const qv_ovcheck *o, bool verbose) {
  qv_arena a = {0};
  qv_buf_printf(out, "%s: accumulator overflow", cli_safe(&a, m->path));
  if (o->acc_bits != 0) qv_buf_printf(out, ", %d-bit accumulators", o->acc_bits);
  qv_buf_str(out, "\n\n");
  item_table(out, m->net, o, &a);
  for (uint32_t i = 0; i < m->net->n_nodes; i++)
    if (m->net->node[i].kind == QV_OPAQUE)
      qv_buf_printf(out, "  layer %" PRIu32 " %s: opaque, not proved\n", m->net->node[i].layer, cli_safe(&a, m->net->node[i].op));
  obligations(out, m->net, o, verbose, &a);
  assumptions(out, r, m->net, o, &a);
  conclusion(out, m->net, o, &a);
  qv_arena_clear(&a);
}

/* ---- counterexample file --------------------------------------------------------------------------------------------------- */

/* The first counterexample as files that `qverify run --input` reads, one per model input. */
static qv_status write_cex(const cli_val *to, const qv_net *net, const qv_ovcheck *o, qv_err *err) {
  const qv_witness *w = qv_ovcheck_witness(o);
  qv_status st = QV_OK;
  for (uint32_t i = 0; w != NULL && st == QV_OK && i < to->n; i++) st = cli_witness_npy(to->v[i], net, w, i, err);
  return st;
}

/* ---- the domain -------------------------------------------------------------------------------------------------------------- */

/* A canonical property or the looser form for people. */
static qv_status read_domain(qv_property *p, const char *path, const qv_net *net, qv_err *err) {
  static const char first[] = "qvp ";
  qv_buf b = {0};
  qv_status st = qv_file_read(&b, path, (size_t)1 << 30, err);
  if (st != QV_OK) return st;
  bool canonical = b.n >= sizeof first - 1 && memcmp(b.p, first, sizeof first - 1) == 0;
  st = canonical ? qv_property_read(p, (char *)b.p, b.n, net, err) : qv_property_read_domain(p, (char *)b.p, b.n, net, err);
  qv_buf_free(&b);
  return st;
}

/* Ranges that a calibration set spans, one file per model input. */
static qv_status calibrate(qv_property *p, const cli_val *files, const qv_net *net, qv_err *err) {
  qv_status st = qv_property_whole(p, net, 0, err);
  for (uint32_t i = 0; st == QV_OK && i < files->n; i++) {
    qv_array a = {0};
    void *samples = NULL;
    size_t n = 0;
    st = qv_array_read(&a, files->v[i], err);
    if (st == QV_OK) st = qv_input_pack(&samples, &n, net, i, &a, files->v[i], err);
    if (st == QV_OK) st = qv_property_from_samples(p, i, samples, n, net, err);
    free(samples);
    qv_array_free(&a);
  }
  return st;
}

/* Property of this run into *p; returns 0 or the exit code after a message. */
static int get_property(qv_property *p, const cli_cmd *cmd, const cli_val *val, const cli_report *r, const qv_net *net, qv_err *err) {
  const char *path = cli_get(cmd, val, "domain");
  const cli_val *cal = cli_all(cmd, val, "calibrate");
  if (path != NULL && cal->n > 0) return cli_usage(cmd, "--domain and --calibrate exclude each other");
  if (cal->n > 0 && cal->n != net->n_in)
    return cli_usage(cmd, "the model has %" PRIu32 " inputs, but --calibrate is given %" PRIu32 " times", net->n_in, cal->n);
  qv_status st = path != NULL    ? read_domain(p, path, net, err)
                 : cal->n > 0    ? calibrate(p, cal, net, err)
                                 : qv_property_whole(p, net, 0, err);
  if (st != QV_OK) {
    if (err->line > 0 && path != NULL) {
      char where[600];
      (void)snprintf(where, sizeof where, "%.500s: line %" PRId64, path, err->line);
      return cli_fail(st, where, err);
    }
    return cli_fail(st, r->domain_path, err);
  }
  if (r->acc_bits != 0) p->acc_bits = r->acc_bits;
  return 0;
}

/* ---- the command ------------------------------------------------------------------------------------------------------------ */

static double now(void) {
  struct timespec t;
  return clock_gettime(CLOCK_MONOTONIC, &t) == 0 ? (double)t.tv_sec + (double)t.tv_nsec * 1e-9 : 0;
}

/* Everything that is written besides the report: counterexample, witnesses, certificate, text. */
static qv_status outputs(const cli_cmd *cmd, const cli_val *val, cli_report *r, const cli_model *m, const qv_ovcheck *o, qv_err *err) {
  const char *dir = cli_get(cmd, val, "witness"), *cert = cli_get(cmd, val, "certificate");
  uint32_t written = 0;
  qv_status st = write_cex(cli_all(cmd, val, "cex"), m->net, o, err);
  if (st == QV_OK && dir != NULL) st = cli_witness_files(&written, dir, m->net, o, err);
  if (st == QV_OK && cert != NULL) st = cli_evidence_save(&o->evidence, cert, err);
  if (st != QV_OK) return st;
  if (o->falsified > 0) r->cex_path = cli_get(cmd, val, "cex");
  r->cert_path = cert;
  if (r->path != NULL && strcmp(r->path, "-") == 0) return QV_OK;
  qv_buf out = {0};
  text(&out, r, m, o, cli_get(cmd, val, "verbose") != NULL);
  if (dir != NULL) qv_buf_printf(&out, "%" PRIu32 " witness%s written to %s\n", written, written == 1 ? "" : "es", dir);
  st = cli_emit("-", &out, err);
  qv_buf_free(&out);
  return st;
}

/* Load, prove, check, print. Fills in the report as far as it gets; returns the exit code. */
static int prove(const cli_cmd *cmd, const cli_val *val, cli_report *r, cli_model *m, qv_property *prop, qv_ovcheck *o, qv_err *err) {
  const cli_val *cex = cli_all(cmd, val, "cex");
  const qv_prove_opts opts = {.tight = cli_get(cmd, val, "tight") != NULL};
  int rc = cli_load(m, cmd, r->model_path, r->profile_asked, r->opaque, err);
  r->model = m;
  if (rc != 0) return rc;
  if (cex->n > 0 && cex->n != m->net->n_in)
    return cli_usage(cmd, "the model has %" PRIu32 " inputs, but --cex is given %" PRIu32 " times", m->net->n_in, cex->n);
  if ((rc = get_property(prop, cmd, val, r, m->net, err)) != 0) return rc;
  r->prop = prop;
  r->acc_bits = prop->acc_bits;
  qv_status st = qv_ovcheck_run(o, m->net, prop, &opts, err);
  if (st == QV_OK && cli_get(cmd, val, "no-check") == NULL) st = qv_ovcheck_check(o, err);
  if (st != QV_OK) return cli_fail(st, r->model_path, err);
  r->check = o;
  if ((st = outputs(cmd, val, r, m, o, err)) != QV_OK) return cli_fail(st, NULL, err);
  const qv_tally tally = {.selected = o->selected, .verified = o->verified, .falsified = o->falsified};
  return qv_cli_exit(QV_OK, &tally);
}

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  double start = now();
  int64_t bits;
  qv_err err = {0}, report_err = {0};
  cli_model m = {0};
  qv_ovcheck o = {0};
  qv_property prop = {0};
  cli_report r = {.path = cli_get(cmd, val, "json"), .argc = cli_argc, .argv = cli_argv, .opaque = cli_get(cmd, val, "opaque") != NULL,
                  .profile_asked = cli_get(cmd, val, "profile"), .model_path = operand[0]};
  if (!cli_profile_ok(cmd, r.profile_asked) || !cli_get_int(&bits, cmd, val, "acc-bits", 2, 64, 0)) return QV_EXIT_USAGE;
  r.acc_bits = (int)bits;
  qv_status st = cli_report_begin(&r, &report_err);
  if (st != QV_OK) return cli_fail(st, r.path, &report_err);
  r.domain_path = cli_get(cmd, val, "domain");
  if (r.domain_path == NULL && cli_all(cmd, val, "calibrate")->n > 0) r.domain_path = cli_all(cmd, val, "calibrate")->v[0];
  r.exit_code = prove(cmd, val, &r, &m, &prop, &o, &err);
  r.err = &err;
  r.seconds = now() - start;
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
    {"witness", 'w', "DIR", false, "write each found overflow as .npy inputs and as C arrays with every layer's expected integers"},
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
