/* qverify audit: every place where a kernel's narrow stages can saturate or wrap. */
#include <inttypes.h>
#include <string.h>

#include "cli/checker.h"
#include "cli/domain.h"
#include "cli/ovtext.h"
#include "cli/qverify.h"
#include "cli/repair.h"

/* ---- text ----------------------------------------------------------------------------------------------------------------- */

static const char *finding(qv_verdict v) {
  switch (v) {
  case QV_VERIFIED: return "absent (proved)";
  case QV_FALSIFIED: return "REACHABLE";
  case QV_UNKNOWN: return "not excluded";
  }
  return "?";
}

/* How the kernel adds, in a few words. */
static const char *kernel_text(qv_arena *a, const qv_acc *acc) {
  const char *s = NULL;
  switch (acc->mode) {
  case QV_ACC_EXACT: return "unbounded";
  case QV_ACC_WRAP:
  case QV_ACC_SAT:
  case QV_ACC_TRAP: s = qv_arena_printf(a, "%s %d", qv_acc_name(acc->mode), acc->bits); break;
  case QV_ACC_PAIR16: s = qv_arena_printf(a, "%s pairs to 16", acc->pairing == QV_PAIR_ADJACENT ? "adjacent" : "k,k+8"); break;
  case QV_ACC_LANES:
    s = acc->spill != 0 ? qv_arena_printf(a, "%d-bit lanes of %" PRIu32, acc->lane_bits, acc->spill) : qv_arena_printf(a, "%d-bit lanes", acc->lane_bits);
    break;
  case QV_ACC_PAIRLANES:
    s = acc->spill != 0 ? qv_arena_printf(a, "16-bit lanes of %" PRIu32 " pairs", acc->spill) : qv_arena_printf(a, "16-bit lanes of pairs");
    break;
  }
  return s != NULL ? s : "?";
}

/* Steps that only move bytes into the kernel's type have nothing to overflow. */
static bool shown(const qv_net *net, const qv_ov_item *it) {
  const qv_node *n = &net->node[it->node];
  return n->kind == QV_AFFINE || qv_node_acc(n)->mode != QV_ACC_EXACT;
}

static void share(cli_table *t, uint64_t part, uint64_t all) {
  if (all == 0) cli_cell(t, "-");
  else cli_cell(t, "%" PRIu64 ".%" PRIu64 " %%", part * 100 / all, part * 1000 / all % 10);
}

static void count_cell(cli_table *t, bool there, uint64_t n) {
  if (there) cli_cell(t, "%" PRIu64, n);
  else cli_cell(t, "-");
}

static void table(qv_buf *out, const qv_net *net, const qv_ovcheck *o, const qv_audit *au, qv_arena *a) {
  static const char *const head[] = {"layer", "operator", "kernel", "groups", "can leave", "share", "any byte", "sum bits", "width", "sums on the way"};
  cli_table t = {0};
  for (size_t c = 0; c < sizeof head / sizeof head[0]; c++) cli_col(&t, head[c], c != 1 && c != 2 && c != 9);
  cli_col(&t, "wrong result", false);
  for (uint32_t i = 0; i < o->n; i++) {
    const qv_audit_row *r = &au->row[i];
    const qv_ov_item *it = &o->item[i];
    const qv_node *n = &net->node[it->node];
    if (!shown(net, it)) continue;
    const qv_acc *acc = qv_node_acc(n);
    cli_cell(&t, "%" PRIu32, n->layer);
    cli_cell(&t, "%s", cli_safe(a, n->op));
    cli_cell(&t, "%s", kernel_text(a, acc));
    count_cell(&t, r->bits != 0, r->n);
    count_cell(&t, r->bits != 0, r->unsafe);
    share(&t, r->unsafe, r->n);
    count_cell(&t, r->bits != 0 && r->worst.n != 0, r->unsafe_any);
    cli_cell(&t, "%d", o->proof.range.acc[i].bits_final);
    count_cell(&t, acc->bits != 0, acc->bits);
    cli_cell(&t, "%s", it->cls == QV_OV_STAGE || it->cls == QV_OV_UNSAFE ? "-" : qv_ov_name(it->cls));
    cli_cell(&t, "%s", finding(it->verdict));
  }
  cli_table_print(out, &t);
}

static void worst_text(qv_buf *out, const qv_audit_row *r, const qv_acc *acc) {
  const qv_audit_group *g = &r->worst;
  if (g->n == 0) return;
  bool pair = qv_acc_pairs(acc) && !g->pairs;
  qv_buf_printf(out, "    worst %s: channel %" PRIu32 ", ", pair ? "pair" : "lane window", g->channel);
  if (g->pairs) {
    qv_buf_printf(out, "%" PRIu32 " pairs from pair %" PRIu32 " in steps of %" PRIu32 ": sum in [%" PRId64 ",%" PRId64 "], stage holds [%" PRId64 ",%" PRId64 "]\n",
                  g->n, g->first, g->step, g->sum.lo, g->sum.hi, qv_smin(r->bits), qv_smax(r->bits));
    return;
  }
  if (g->n > 2) qv_buf_printf(out, "%" PRIu32 " terms from %" PRIu32 " in steps of %" PRIu32 ", first ", g->n, g->first, g->step);
  for (uint32_t i = 0; i < 2 && i < g->n; i++)
    qv_buf_printf(out, "%s%" PRId32 " * [%" PRId64 ",%" PRId64 "]", i > 0 ? (g->n > 2 ? ", " : " + ") : "", g->w[i], g->x[i].lo, g->x[i].hi);
  if (g->n <= 2) qv_buf_printf(out, " (term%s %" PRIu32, g->n == 2 ? "s" : "", g->first);
  if (g->n == 2) qv_buf_printf(out, ", %" PRIu32, g->first + g->step);
  qv_buf_printf(out, "%s: sum in [%" PRId64 ",%" PRId64 "], stage holds [%" PRId64 ",%" PRId64 "]\n", g->n <= 2 ? ")" : "", g->sum.lo, g->sum.hi,
                qv_smin(r->bits), qv_smax(r->bits));
}

/* Two lines for each layer that is not proved, or for every layer with a stage (`all`). */
static void details(qv_buf *out, const qv_net *net, const qv_ovcheck *o, const qv_audit *au, bool all, qv_arena *a) {
  bool first = true;
  for (uint32_t i = 0; i < o->n; i++) {
    const qv_ov_item *it = &o->item[i];
    const qv_node *n = &net->node[it->node];
    if (it->verdict == QV_VERIFIED && !(all && au->row[i].worst.n > 0)) continue;
    if (first) qv_buf_str(out, "\n");
    first = false;
    qv_buf_printf(out, "  layer %" PRIu32 " %s: %s\n", n->layer, cli_safe(a, n->op), cli_item_reason(a, net, o, i));
    worst_text(out, &au->row[i], qv_node_acc(n));
  }
}

/* Sums over all layers with a stage. */
static void totals(qv_buf *out, const qv_audit *au) {
  uint64_t n = 0, unsafe = 0, any = 0;
  for (uint32_t i = 0; i < au->n; i++) n += au->row[i].n, unsafe += au->row[i].unsafe, any += au->row[i].unsafe_any;
  if (n == 0) {
    qv_buf_str(out, "\nNo narrow stages: products go straight into the sum.\n");
    return;
  }
  qv_buf_printf(out,
                "\nGroups: %" PRIu64 " of %" PRIu64 " (%" PRIu64 ".%" PRIu64 " %%) can leave their stage for the proved ranges, %" PRIu64 " (%" PRIu64
                ".%" PRIu64 " %%) for some bytes\n",
                unsafe, n, unsafe * 100 / n, unsafe * 1000 / n % 10, any, any * 100 / n, any * 1000 / n % 10);
}

static void f32_line(qv_buf *out, const qv_proof *p) {
  uint32_t n = 0, exact = 0;
  for (uint32_t i = 0; i < p->n_obligation; i++) {
    n += p->obligation[i].kind == QV_OB_F32;
    exact += p->obligation[i].kind == QV_OB_F32 && p->obligation[i].holds;
  }
  if (n > 0) qv_buf_printf(out, "Sums that enter binary32: %" PRIu32 " of %" PRIu32 " steps proved within 2^24, so converted exactly\n", exact, n);
}

static void conclusion(qv_buf *out, const qv_net *net, const qv_ovcheck *o, bool repaired, qv_arena *a) {
  qv_verdict v = qv_ovcheck_verdict(o);
  qv_buf_printf(out, "\n%s: ", qv_verdict_name(v));
  switch (v) {
  case QV_VERIFIED:
    qv_buf_printf(out, "no stage and no accumulator changes a result; %" PRIu32 " of %" PRIu32 " obligations proved %s\n", o->verified, o->selected,
                  cli_text_checked(o));
    return;
  case QV_FALSIFIED:
    qv_buf_printf(out, "%" PRIu32 " layer%s with a wrong result on an executed input, first:", o->falsified, o->falsified == 1 ? "" : "s");
    for (uint32_t i = 0; i < o->n; i++) {
      if (o->item[i].verdict != QV_FALSIFIED) continue;
      const qv_node *n = &net->node[o->item[i].node];
      qv_buf_printf(out, " layer %" PRIu32 " %s\n", n->layer, cli_safe(a, n->op));
      if (!repaired) qv_buf_str(out, "  next: --repair OUT.qir changes weights so that no stage can change a result, and proves it\n");
      return;
    }
    return;
  case QV_UNKNOWN:
    if (o->selected == 0) qv_buf_str(out, "nothing to audit: the model has no accumulator\n");
    else
      qv_buf_printf(out, "not excluded%s; %" PRIu32 " of %" PRIu32 " obligations proved %s\n  next: %s\n", o->no_search ? ", no input searched (--no-search)" : "",
                    o->verified, o->selected, cli_text_checked(o),
                    o->no_search ? "without --no-search: closer bounds, and inputs looked for" : "--domain FILE that says which inputs occur, or --repair OUT.qir");
    return;
  }
}

static void text(qv_buf *out, const cli_report *r, const qv_ovcheck *o, const cli_repair *fix, const cli_cmd *cmd, const cli_val *val) {
  bool verbose = cli_get(cmd, val, "verbose") != NULL;
  const qv_net *net = r->model->net;
  qv_arena a = {0};
  qv_buf_printf(out, "%s: kernel audit", cli_safe(&a, r->model->path));
  if (r->kernel != NULL) qv_buf_printf(out, ", as if on %s", r->kernel);
  qv_buf_str(out, "\n\n");
  table(out, net, o, r->audit, &a);
  details(out, net, o, r->audit, verbose, &a);
  for (uint32_t i = 0; i < net->n_nodes; i++)
    if (net->node[i].kind == QV_OPAQUE) qv_buf_printf(out, "  layer %" PRIu32 " %s: opaque, not audited\n", net->node[i].layer, cli_safe(&a, net->node[i].op));
  totals(out, r->audit);
  f32_line(out, &o->proof);
  cli_text_obligations(out, net, o, verbose, &a);
  cli_text_assumptions(out, r, net, o, &a);
  if (fix != NULL) cli_repair_text(out, fix, &a);
  conclusion(out, net, o, fix != NULL, &a);
  qv_arena_clear(&a);
}

/* ---- the command ------------------------------------------------------------------------------------------------------------ */

/* The kernel named by --kernel, or NULL. False after a usage message. */
static bool get_kernel(const qv_kernel **k, const cli_cmd *cmd, const cli_val *val) {
  enum { MAX = 16 };
  const char *name = cli_get(cmd, val, "kernel"), *list[MAX];
  size_t n = 0;
  *k = NULL;
  if (name == NULL) return cli_get(cmd, val, "depthwise") == NULL || (cli_usage(cmd, "--depthwise goes with --kernel"), false);
  if ((*k = qv_kernel_find(name)) != NULL) return true;
  for (const qv_kernel *c; n < MAX && (c = qv_kernel_at(n)) != NULL; n++) list[n] = c->name;
  const char *near = cli_nearest(name, list, n);
  (void)cli_usage(cmd, "unknown kernel '%.80s'; did you mean '%s'?", name, near != NULL ? near : list[0]);
  return false;
}

/* The way of --by; `auto` without it. False after a usage message. */
static bool get_way(qv_repair_way *way, const cli_cmd *cmd, const cli_val *val) {
  static const qv_repair_way ways[] = {QV_REPAIR_AUTO, QV_REPAIR_PERMUTE, QV_REPAIR_CLIP, QV_REPAIR_RANGE, QV_REPAIR_SCALE};
  const char *name = cli_get(cmd, val, "by");
  *way = QV_REPAIR_AUTO;
  if (name == NULL) return true;
  if (cli_get(cmd, val, "repair") == NULL) return cli_usage(cmd, "--by goes with --repair"), false;
  for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
    if (strcmp(name, qv_repair_name(ways[i])) == 0) return *way = ways[i], true;
  return cli_usage(cmd, "unknown way of repair '%.80s': auto, permute, clip, range or scale", name), false;
}

/* What is audited: the model, lowered and put on the kernel. */
typedef struct {
  const cli_cmd *cmd;
  const cli_report *r;
  const qv_kernel *k;
  bool depthwise;
  qv_err *err;
} source;

static int load(cli_model *m, void *ctx) {
  const source *s = ctx;
  uint32_t layers = 0;
  int rc = cli_load(m, s->cmd, s->r->model_path, s->r->profile_asked, s->r->opaque, s->err);
  if (rc != 0 || s->k == NULL) return rc;
  qv_status st = qv_kernel_assume(m->net, s->k, s->depthwise, &layers, s->err);
  if (st == QV_OK && layers == 0) st = QV_FAIL(s->err, QV_E_UNSUP, "no layer would run on kernel %s", s->k->name);
  return st == QV_OK ? 0 : cli_fail(st, s->r->model_path, s->err);
}

/* Everything that an audit allocates. */
typedef struct {
  cli_repair fix;
  cli_model m;
  qv_property prop;
  qv_ovcheck o;
  qv_audit au;
} job;

/* Load, rewrite, prove, search, check, print. Fills in the report as far as it gets; returns the exit code. */
static int audit(const cli_cmd *cmd, const cli_val *val, cli_report *r, job *j, const qv_kernel *k, qv_repair_way way, qv_err *err) {
  const cli_val *cex = cli_all(cmd, val, "cex");
  const cli_val *in = cli_all(cmd, val, "input");
  const char *repair = cli_get(cmd, val, "repair");
  source src = {cmd, r, k, cli_get(cmd, val, "depthwise") != NULL, err};
  j->o.no_search = cli_get(cmd, val, "no-search") != NULL;
  const qv_prove_opts opts = {.work = j->o.no_search ? 1 : 0};
  int rc = load(&j->m, &src);
  r->model = &j->m;
  if (rc != 0) return rc;
  if (cex->n > 0 && cex->n != j->m.net->n_in)
    return cli_usage(cmd, "the model has %" PRIu32 " inputs, but --cex is given %" PRIu32 " times", j->m.net->n_in, cex->n);
  if (in->n > 0 && (repair == NULL || in->n != j->m.net->n_in))
    return cli_usage(cmd, "--input goes with --repair, once for each of the model's %" PRIu32 " inputs", j->m.net->n_in);
  if ((rc = cli_domain(&j->prop, cmd, val, j->m.net, err)) != 0) return rc;
  if (j->prop.acc_bits != 0) return cli_usage(cmd, "the domain asks for %d-bit accumulators; an audit judges the kernel's own", j->prop.acc_bits);
  r->prop = &j->prop;
  qv_status st = qv_ovcheck_run(&j->o, j->m.net, &j->prop, &opts, err);
  if (st == QV_OK) st = qv_audit_run(&j->au, j->m.net, &j->o.proof, err);
  if (st == QV_OK && cli_get(cmd, val, "no-check") == NULL) st = qv_ovcheck_check(&j->o, err);
  if (st != QV_OK) return cli_fail(st, r->model_path, err);
  r->check = &j->o;
  r->audit = &j->au;
  if (repair != NULL && (rc = cli_repair_run(&j->fix, cmd, val, j->m.net, &j->prop, repair, way, load, &src, err)) != 0) {
    r->check = NULL;
    return rc;
  }
  if (repair != NULL) r->repair = &j->fix;
  qv_buf out = {0};
  text(&out, r, &j->o, repair != NULL ? &j->fix : NULL, cmd, val);
  if ((st = cli_results(cmd, val, r, &j->o, &out, err)) != QV_OK) return cli_fail(st, NULL, err);
  const qv_tally tally = {.selected = j->o.selected, .verified = j->o.verified, .falsified = j->o.falsified};
  return qv_cli_exit(QV_OK, &tally);
}

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  double start = cli_now();
  qv_err err = {0}, report_err = {0};
  job j = {0};
  const qv_kernel *k;
  cli_report r = {.requested = "audit", .path = cli_get(cmd, val, "json"), .argc = cli_argc, .argv = cli_argv,
                  .opaque = cli_get(cmd, val, "opaque") != NULL, .profile_asked = cli_get(cmd, val, "profile"), .model_path = operand[0]};
  qv_repair_way way;
  if (!cli_profile_ok(cmd, r.profile_asked) || !get_kernel(&k, cmd, val) || !get_way(&way, cmd, val)) return QV_EXIT_USAGE;
  r.kernel = k != NULL ? k->name : NULL;
  r.domain_path = cli_domain_path(cmd, val);
  qv_status st = cli_report_begin(&r, &report_err);
  if (st != QV_OK) return cli_fail(st, r.path, &report_err);
  r.exit_code = audit(cmd, val, &r, &j, k, way, &err);
  r.err = &err;
  r.seconds = cli_now() - start;
  st = cli_report_write(&r, &report_err);
  int rc = st == QV_OK ? r.exit_code : cli_fail(st, r.path, &report_err);
  cli_repair_clear(&j.fix);
  qv_audit_clear(&j.au);
  qv_ovcheck_clear(&j.o);
  qv_property_clear(&j.prop);
  cli_model_free(&j.m);
  return rc;
}

static const cli_opt opts[] = {
    {"profile", 'p', "NAME", false, "runtime whose arithmetic is meant (see 'qverify profiles')"},
    {"kernel", 'k', "NAME", false, "judge the same integers as if on this kernel: avx2-u8s8, vnni-u8s8, neon-s8, mnn-oaq, fbgemm-acc16 (docs/audit.md)"},
    {"depthwise", 0, NULL, false, "with --kernel: depthwise convolutions run on it too (ONNX Runtime has exact kernels for them)"},
    {"json", 'j', "FILE", false, "write a report (docs/report.md); '-' writes it to standard output in place of the text"},
    {"domain", 'D', "FILE", false, "inputs that the claim is about (docs/property.md); default: every value of the input types"},
    {"calibrate", 0, "FILE", true, "the claim is about the element-wise ranges that these samples span, once per model input (an assumption)"},
    {"certificate", 'C', "FILE", false, "write the certificate, and beside it the net as .qir and the property as .qvp"},
    {"witness", 'w', "DIR", false, "write each input with a wrong result as .npy and as C arrays with every layer's expected integers"},
    {"cex", 'c', "FILE", true, "where the first such input goes (.npy), once per model input"},
    {"repair", 'r', "OUT.qir", false, "write the net changed so that no narrow stage can change a result, and prove it"},
    {"by", 'b', "WAY", false, "with --repair: permute (channels), clip (fewest weight steps), range (7-bit weights), scale (most weight levels) or auto (default)"},
    {"input", 'i', "FILE", true, "with --repair: samples on which the outputs are compared (default: those of --calibrate), once per model input"},
    {"no-search", 0, NULL, false, "proofs only: look for no input, and for no tighter bounds"},
    {"no-check", 0, NULL, false, "do not run the independent checker; the verdict line says so"},
    {"opaque", 0, NULL, false, "let an unsupported operator stand for any value; never a clean pass (exit 5)"},
    {"verbose", 'v', NULL, false, "the worst group of every layer, and all obligations"},
    {.name = NULL},
};

const cli_cmd cli_audit = {
    .name = "audit",
    .operands = "MODEL",
    .n_operands = 1,
    .summary = "find every place where a kernel's narrow stages saturate or wrap, and an input that gives a wrong result",
    .detail = "Groups are pairs of products or lane windows that share a narrow stage. 'can leave': not proved to fit for the proved "
              "ranges of the activations; 'any byte': would not fit for some bytes. REACHABLE is an input that was executed and whose "
              "machine result differs from exact arithmetic. Exit codes: 0 no result can change, 10 reachable, 5 not excluded.",
    .example = "qverify audit model.tflite --kernel avx2-u8s8 --json report.json",
    .opt = opts,
    .run = run,
};
