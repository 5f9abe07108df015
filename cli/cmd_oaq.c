/* qverify oaq: overflow-aware quantization, proved: how far each layer's weights have to shrink before a narrow accumulator provably
 * cannot overflow, beside what the published rule finds on samples. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/oaq.h"
#include "analysis/permute.h"
#include "cli/checker.h"
#include "cli/domain.h"
#include "cli/ovtext.h"
#include "cli/qverify.h"
#include "cli/repair.h"
#include "cli/report.h"
#include "cli/samples.h"
#include "cli/storage.h"
#include "ir/qir.h"

/* One net of the comparison: the model on the narrow accumulator, changed in some way. */
typedef cli_repair variant;

typedef struct {
  const cli_cmd *cmd;
  const cli_val *val;
  const char *path, *profile;
  qv_kernel kernel;
  qv_property prop;
  qv_repair_way way;
  cli_model exact;         /* the model with its own accumulators */
  variant given, rule, scale, clip, chosen; /* chosen: used for ways that are neither scale nor clip */
  variant *result;         /* what --by asks for */
  bool sampled;
  cli_samples s;
  qv_oaq oaq;
  cli_difference as_given, by_rule, by_scale, by_clip, by_result;
  qv_err *err;
} job;

/* ---- the nets ------------------------------------------------------------------------------------------------------------------ */

static int load_narrow(cli_model *m, const job *j) {
  uint32_t layers = 0;
  int rc = cli_load(m, j->cmd, j->path, j->profile, false, j->err);
  if (rc != 0) return rc;
  qv_status st = qv_kernel_assume(m->net, &j->kernel, cli_get(j->cmd, j->val, "depthwise") != NULL, &layers, j->err);
  if (st == QV_OK && layers == 0) st = QV_FAIL(j->err, QV_E_UNSUP, "no layer would run on %s", j->kernel.name);
  return st == QV_OK ? 0 : cli_fail(st, j->path, j->err);
}

/* The model, changed by `way` (given: not at all), and its proof. */
static int make(variant *v, const job *j, bool given, qv_repair_way way) {
  static const qv_prove_opts intervals = {.work = 1};
  int rc = load_narrow(&v->m, j);
  if (rc != 0) return rc;
  qv_status st = QV_OK;
  if (!given) st = qv_repair_run(&v->fix, v->m.net, &j->prop, way, j->err);
  v->o.no_search = true;
  if (st == QV_OK) st = qv_ovcheck_run(&v->o, v->m.net, &j->prop, given ? &intervals : NULL, j->err);
  return st == QV_OK ? 0 : cli_fail(st, j->path, j->err);
}

/* Samples as int64, one array per input. */
static qv_status widen_samples(int64_t ***out, const job *j) {
  const qv_net *net = j->given.m.net;
  int64_t **v = calloc(net->n_in, sizeof *v);
  if (v == NULL) return QV_FAIL(j->err, QV_E_NOMEM, "samples");
  *out = v;
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_tensor *t = &net->tensor[net->in[i].tensor];
    size_t n = j->s.n * qv_elems(t);
    if ((v[i] = calloc(n, sizeof **v)) == NULL) return QV_FAIL(j->err, QV_E_NOMEM, "samples");
    for (size_t e = 0; e < n; e++) v[i][e] = qv_fetch(j->s.in[i], t->type, e);
  }
  return QV_OK;
}

/* The rule's net, judged for all inputs: proof, then a search for inputs that overflow all the same. */
static int apply_rule(job *j) {
  int64_t **in = NULL;
  int rc = load_narrow(&j->rule.m, j);
  if (rc != 0) return rc;
  qv_status st = widen_samples(&in, j);
  if (st == QV_OK) st = qv_oaq_rule(&j->oaq, j->rule.m.net, j->s.n, (const int64_t *const *)in, j->err);
  j->rule.o.no_search = cli_get(j->cmd, j->val, "no-search") != NULL;
  if (st == QV_OK) st = qv_ovcheck_run(&j->rule.o, j->rule.m.net, &j->prop, NULL, j->err);
  for (uint32_t i = 0; in != NULL && i < j->given.m.net->n_in; i++) free(in[i]);
  free(in);
  return st == QV_OK ? 0 : cli_fail(st, j->path, j->err);
}

static qv_status compare(cli_difference *d, const job *j, void *const *want, const qv_net *net) {
  void **got = NULL;
  qv_status st = cli_samples_run(&got, net, &j->s, j->err);
  if (st == QV_OK) *d = cli_outputs_compare(net, j->s.n, want, got);
  cli_outputs_free(got, net->n_out);
  return st;
}

static qv_status compare_all(job *j) {
  void **want = NULL;
  qv_status st;
  QV_TRY(cli_samples_run(&want, j->exact.net, &j->s, j->err));
  QV_TRY(compare(&j->as_given, j, want, j->given.m.net));
  QV_TRY(compare(&j->by_rule, j, want, j->rule.m.net));
  QV_TRY(compare(&j->by_scale, j, want, j->scale.m.net));
  QV_TRY(compare(&j->by_clip, j, want, j->clip.m.net));
  QV_TRY(compare(&j->by_result, j, want, j->result->m.net));
done:
  cli_outputs_free(want, j->exact.net->n_out);
  return st;
}

/* ---- text ----------------------------------------------------------------------------------------------------------------------- */

static const qv_repair_layer *changed(const variant *v, uint32_t node) {
  for (uint32_t i = 0; i < v->fix.n_layers; i++)
    if (v->fix.layer[i].node == node) return &v->fix.layer[i];
  return NULL;
}

static const qv_oaq_layer *ruled(const job *j, uint32_t node) {
  for (uint32_t i = 0; i < j->oaq.n; i++)
    if (j->oaq.layer[i].node == node) return &j->oaq.layer[i];
  return NULL;
}

static void rule_cells(cli_table *t, const job *j, uint32_t i, uint32_t node) {
  const qv_oaq_layer *l = ruled(j, node);
  if (!j->sampled || l == NULL) {
    for (int c = 0; c < 3; c++) cli_cell(t, "-");
    return;
  }
  cli_cell(t, "%" PRIu64, l->overflows);
  cli_cell(t, "%" PRId64 "%s", l->levels, l->fixed ? " (kept)" : "");
  switch (j->rule.o.item[i].verdict) {
  case QV_VERIFIED: cli_cell(t, "none (proved)"); return;
  case QV_FALSIFIED: cli_cell(t, "OVERFLOWS"); return;
  case QV_UNKNOWN: cli_cell(t, "not excluded"); return;
  }
}

static void proved_cells(cli_table *t, const job *j, uint32_t node, int64_t all) {
  const qv_repair_layer *s = changed(&j->scale, node), *c = changed(&j->clip, node);
  if (s == NULL) cli_cell(t, "%" PRId64, all);
  else if (s->way == QV_REPAIR_SCALE) cli_cell(t, "%" PRId64, s->levels);
  else cli_cell(t, "clipped");
  if (c == NULL) cli_cell(t, "0");
  else cli_cell(t, "%" PRIu64 "%s", c->steps, c->bound < c->steps ? " (*)" : "");
  cli_cell(t, "%" PRIu64, c == NULL ? 0 : c->weights);
  cli_cell(t, "%" PRId64, c == NULL ? 0 : c->most);
}

static int64_t magnitude(const qv_affine *a) {
  size_t k = (size_t)a->win.kh * a->win.kw * (a->win.ic / a->win.groups);
  int64_t m = 0;
  for (size_t i = 0; i < a->win.oc * k; i++) {
    int64_t d = (int64_t)a->w[i] - a->w_zp[a->n_w_zp == 1 ? 0 : i / k];
    m = qv_max64(m, llabs(d));
  }
  return m;
}

/* Would another order of the input channels do, without a change of weights? */
static qv_status order_cell(cli_table *t, const job *j, uint32_t item, qv_err *err) {
  qv_arena a = {0};
  qv_order_found f;
  qv_status st = qv_order_find(&f, &a, j->given.m.net, &j->given.o.proof, j->given.o.item[item].node, err);
  if (st == QV_OK) cli_cell(t, "%s", f.found && f.added == 0 ? "yes" : f.found ? "with zeros" : f.impossible ? "no (proved)" : "none found");
  qv_arena_clear(&a);
  return st;
}

static qv_status table(qv_buf *out, const job *j, qv_arena *a) {
  static const char *const head[] = {"layer", "operator", "terms", "levels", "as given", "order", "on samples", "rule", "rule, any input", "proved", "clip steps", "weights", "largest"};
  const qv_net *net = j->given.m.net;
  qv_status st = QV_OK;
  cli_table t = {0};
  for (size_t c = 0; c < sizeof head / sizeof head[0]; c++) cli_col(&t, head[c], c != 1 && c != 4 && c != 5 && c != 8);
  for (uint32_t i = 0; st == QV_OK && i < j->given.o.n; i++) {
    const qv_ov_item *it = &j->given.o.item[i];
    const qv_node *n = &net->node[it->node];
    if (n->kind != QV_AFFINE || (it->verdict == QV_VERIFIED && n->u.affine.acc.mode != j->kernel.acc.mode)) continue;
    int64_t all = magnitude(&n->u.affine);
    cli_cell(&t, "%" PRIu32, n->layer);
    cli_cell(&t, "%s", cli_safe(a, n->op));
    cli_cell(&t, "%" PRIu64, j->given.o.proof.range.acc[i].k);
    cli_cell(&t, "%" PRId64, all);
    cli_cell(&t, "%s", it->verdict == QV_VERIFIED ? "safe (proved)" : "can overflow");
    if (it->verdict == QV_VERIFIED) cli_cell(&t, "-");
    else st = order_cell(&t, j, i, j->err);
    rule_cells(&t, j, i, it->node);
    proved_cells(&t, j, it->node, all);
  }
  if (st == QV_OK) cli_table_print(out, &t);
  return st;
}

static void rule_lines(qv_buf *out, const job *j, qv_arena *a) {
  uint32_t shown = 0;
  for (uint32_t i = 0; i < j->rule.o.n; i++) {
    if (j->rule.o.item[i].verdict != QV_FALSIFIED) continue;
    const qv_node *n = &j->rule.m.net->node[j->rule.o.item[i].node];
    if (shown++ == 0) qv_buf_str(out, "\nWhere the rule's net overflows all the same\n");
    qv_buf_printf(out, "  layer %" PRIu32 " %s: %s\n", n->layer, cli_safe(a, n->op), cli_item_reason(a, j->rule.m.net, &j->rule.o, i));
  }
}

static qv_status text(qv_buf *out, const job *j, const char *file) {
  qv_arena a = {0};
  const variant *v = j->result;
  qv_buf_printf(out, "%s: overflow-aware quantization for %s: %s\n\n", cli_safe(&a, j->path), j->kernel.name, j->kernel.summary);
  qv_status st = table(out, j, &a);
  if (j->clip.fix.bound < j->clip.fix.steps) qv_buf_printf(out, "(*) the least number lies between these %" PRIu64 " in all and %" PRIu64 "\n", j->clip.fix.steps, j->clip.fix.bound);
  rule_lines(out, j, &a);
  if (j->sampled) {
    qv_buf_printf(out, "\nOn %zu samples, against the given weights with wide accumulators\n", j->s.n);
    cli_difference_text(out, "as given, narrow accumulators", &j->as_given);
    cli_difference_text(out, "the rule's net", &j->by_rule);
    cli_difference_text(out, "proved, by scale", &j->by_scale);
    cli_difference_text(out, "proved, by clipping", &j->by_clip);
    if (j->result == &j->chosen) cli_difference_text(out, "proved, as asked", &j->by_result);
  }
  qv_buf_printf(out, "\n%s: by %s, %" PRIu32 " layers changed%s%s; %" PRIu32 " of %" PRIu32 " obligations proved %s\n", qv_verdict_name(qv_ovcheck_verdict(&v->o)),
                qv_repair_name(j->way), v->fix.n_layers, file != NULL ? ", written to " : "", file != NULL ? cli_safe(&a, file) : "", v->o.verified,
                v->o.selected, cli_text_checked(&v->o));
  if (qv_ovcheck_verdict(&v->o) != QV_VERIFIED) qv_buf_str(out, "  next: another --by (scale, clip, permute, auto), or more bits; 'qverify overflow' on the written net says which layer\n");
  qv_arena_clear(&a);
  return st;
}

/* ---- the command ---------------------------------------------------------------------------------------------------------------- */

static bool get_way(job *j) {
  static const qv_repair_way ways[] = {QV_REPAIR_SCALE, QV_REPAIR_CLIP, QV_REPAIR_PERMUTE, QV_REPAIR_AUTO};
  const char *name = cli_get(j->cmd, j->val, "by");
  j->way = QV_REPAIR_SCALE;
  if (name == NULL) return true;
  for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
    if (strcmp(name, qv_repair_name(ways[i])) == 0) return j->way = ways[i], true;
  return cli_usage(j->cmd, "unknown way '%.80s': scale, clip, permute or auto", name), false;
}

/* --kernel (default mnn-oaq), or plain wrapping accumulators of --acc-bits. */
static bool get_kernel(job *j) {
  int64_t bits;
  const char *name = cli_get(j->cmd, j->val, "kernel");
  if (!cli_get_int(&bits, j->cmd, j->val, "acc-bits", 8, 32, 0)) return false;
  if (bits != 0) {
    if (name != NULL) return cli_usage(j->cmd, "--acc-bits and --kernel are two accumulators"), false;
    j->kernel = (qv_kernel){.name = "accumulators of --acc-bits", .summary = "one wrapping sum per output, bias included", .any_type = true,
                            .acc = {.mode = QV_ACC_WRAP, .bits = (uint8_t)bits, .order = QV_ORDER_KERNEL, .bias = QV_BIAS_LAST}};
    return true;
  }
  const qv_kernel *k = qv_kernel_find(name != NULL ? name : "mnn-oaq");
  if (k == NULL) return cli_usage(j->cmd, "unknown kernel '%.80s' (see 'qverify audit --help')", name), false;
  j->kernel = *k;
  return true;
}

static int read_samples(job *j) {
  const cli_val *files = cli_all(j->cmd, j->val, "input");
  int64_t most;
  if (!cli_get_int(&most, j->cmd, j->val, "samples", 1, 1000000, 64)) return QV_EXIT_USAGE;
  if (files->n == 0) return 0;
  if (files->n != j->given.m.net->n_in) return cli_usage(j->cmd, "--input is given %" PRIu32 " times, for %" PRIu32 " model inputs", files->n, j->given.m.net->n_in);
  qv_status st = cli_samples_read(&j->s, files, j->given.m.net, (size_t)most, j->err);
  j->sampled = st == QV_OK;
  return st == QV_OK ? 0 : cli_fail(st, files->v[0], j->err);
}

static qv_status write_net(const job *j, const char *file) {
  qv_buf b = {0};
  qv_status st = qv_qir_write(&b, j->result->m.net, j->err);
  if (st == QV_OK) st = cli_emit(file, &b, j->err);
  qv_buf_free(&b);
  return st;
}

/* What the report says: the net of --by, how it was made, and how its outputs differ. */
static void fill_report(cli_report *r, const job *j, const char *file) {
  variant *v = j->result;
  v->path = file != NULL ? file : "";
  v->way = j->way;
  v->samples = j->s.n;
  v->audited = j->as_given;
  v->repaired = j->by_result;
  r->model = &v->m;
  r->prop = &j->prop;
  r->check = &v->o;
  r->repair = v;
}

static int work(job *j, cli_report *r) {
  const char *file = cli_get(j->cmd, j->val, "output");
  int rc = cli_load(&j->exact, j->cmd, j->path, j->profile, false, j->err);
  if (rc == 0) rc = cli_domain(&j->prop, j->cmd, j->val, j->exact.net, j->err);
  if (rc == 0) rc = make(&j->given, j, true, j->way);
  if (rc == 0) rc = read_samples(j);
  if (rc == 0 && j->sampled) rc = apply_rule(j);
  if (rc == 0) rc = make(&j->scale, j, false, QV_REPAIR_SCALE);
  if (rc == 0) rc = make(&j->clip, j, false, QV_REPAIR_CLIP);
  j->result = j->way == QV_REPAIR_SCALE ? &j->scale : j->way == QV_REPAIR_CLIP ? &j->clip : &j->chosen;
  if (rc == 0 && j->result == &j->chosen) rc = make(&j->chosen, j, false, j->way);
  if (rc != 0) return rc;
  qv_ovcheck *o = &j->result->o;
  qv_buf out = {0};
  qv_status st = cli_get(j->cmd, j->val, "no-check") == NULL ? qv_ovcheck_check(o, j->err) : QV_OK;
  if (st == QV_OK && j->sampled) st = compare_all(j);
  if (st == QV_OK && file != NULL) st = write_net(j, file);
  if (st == QV_OK) st = text(&out, j, file);
  if (st == QV_OK) fill_report(r, j, file);
  if (st == QV_OK && (r->path == NULL || strcmp(r->path, "-") != 0)) st = cli_emit("-", &out, j->err);
  qv_buf_free(&out);
  if (st != QV_OK) return cli_fail(st, j->path, j->err);
  const qv_tally tally = {.selected = o->selected, .verified = o->verified, .falsified = o->falsified};
  return qv_cli_exit(QV_OK, &tally);
}

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  double start = cli_now();
  qv_err err = {0}, report_err = {0};
  job j = {.cmd = cmd, .val = val, .path = operand[0], .profile = cli_get(cmd, val, "profile"), .err = &err};
  cli_report r = {.requested = "oaq", .path = cli_get(cmd, val, "json"), .argc = cli_argc, .argv = cli_argv, .profile_asked = j.profile, .model_path = j.path};
  if (!cli_profile_ok(cmd, j.profile) || !get_way(&j) || !get_kernel(&j)) return QV_EXIT_USAGE;
  r.kernel = j.kernel.name;
  r.domain_path = cli_domain_path(cmd, val);
  qv_status st = cli_report_begin(&r, &report_err);
  if (st != QV_OK) return cli_fail(st, r.path, &report_err);
  r.exit_code = work(&j, &r);
  r.err = &err;
  r.seconds = cli_now() - start;
  st = cli_report_write(&r, &report_err);
  int rc = st == QV_OK ? r.exit_code : cli_fail(st, r.path, &report_err);
  variant *const all[] = {&j.given, &j.rule, &j.scale, &j.clip, &j.chosen};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) cli_repair_clear(all[i]);
  cli_model_free(&j.exact);
  cli_samples_free(&j.s);
  qv_oaq_clear(&j.oaq);
  qv_property_clear(&j.prop);
  return rc;
}

static const cli_opt opts[] = {
    {"profile", 'p', "NAME", false, "runtime whose arithmetic is meant (see 'qverify profiles')"},
    {"kernel", 'k', "NAME", false, "the narrow accumulator: mnn-oaq (default), fbgemm-acc16, avx2-u8s8, neon-s8 (docs/audit.md)"},
    {"acc-bits", 'a', "N", false, "instead of a kernel: one wrapping N-bit sum per output, bias included (8..32)"},
    {"depthwise", 0, NULL, false, "depthwise convolutions too"},
    {"by", 'b', "WAY", false, "what is proved, and written: scale (fewer weight levels, default), clip (fewest steps), permute (channels), auto"},
    {"output", 'o', "OUT.qir", false, "write the net with these weights"},
    {"json", 'j', "FILE", false, "write a report about the net of --by (docs/report.md); '-' writes it to standard output in place of the text"},
    {"input", 'i', "FILE", true, "samples for the published rule and for the comparison of outputs, once per model input"},
    {"samples", 'n', "N", false, "use the first N of them (default 64)"},
    {"domain", 'D', "FILE", false, "inputs that the claim is about (docs/property.md); default: every value of the input types"},
    {"calibrate", 0, "FILE", true, "the claim is about the element-wise ranges that these samples span, once per model input (an assumption)"},
    {"no-search", 0, NULL, false, "look for no input on which the rule's net overflows"},
    {"no-check", 0, NULL, false, "do not run the independent checker; the verdict line says so"},
    {.name = NULL},
};

const cli_cmd cli_oaq = {
    .name = "oaq",
    .operands = "MODEL",
    .n_operands = 1,
    .summary = "shrink weights until a narrow accumulator provably cannot overflow, beside what the published rule finds on samples",
    .detail = "Per layer: the magnitude of its weights (levels); whether the accumulator can overflow as given; whether another order of input "
              "channels would do; overflows on the samples and the levels that the published rule arrives at, and whether an input overflows "
              "all the same; the most levels, and the fewest weight steps, for which no input overflows. The verdict is about the net of --by. "
              "Exit codes: 0 proved, 5 not.",
    .example = "qverify oaq model.tflite --input features.bin --output narrow.qir",
    .opt = opts,
    .run = run,
};
