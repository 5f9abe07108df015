/* qverify diff: one model under two profiles. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/diff.h"
#include "cli/qverify.h"
#include "cli/storage.h"
#include "cli/witness_out.h"
#include "frontend/array.h"
#include "ir/base/json.h"
#include "kernels/exec.h"

/* Samples on which both nets were executed (--input). */
typedef struct {
  size_t n, differing; /* samples, and those with another output    */
  size_t elements;     /* output elements that differ, all together */
  int64_t most;        /* largest difference of one element         */
} on_samples;

typedef struct {
  const char *profile[2];
  cli_model m[2];
  qv_diff d;
  on_samples s;
  void *in[QV_MAX_INPUTS];
  int exit_code;
  double seconds;
  const char *path, *json;
} job;

/* ---- numbers -------------------------------------------------------------------------------------------------------------- */

/* Decimal text of v >= 0. */
static const char *big(qv_arena *a, qv_i128 v) {
  char b[48];
  size_t i = sizeof b;
  b[--i] = 0;
  do b[--i] = (char)('0' + (int)(v % 10)), v /= 10;
  while (v > 0);
  const char *s = qv_arena_str(a, b + i, sizeof b - 1 - i);
  return s != NULL ? s : "?";
}

/* part / all as a percentage with three significant digits; rounded, so never read as exact. */
static const char *share(qv_arena *a, qv_i128 part, qv_i128 all) {
  const char *s = all > 0 ? qv_arena_printf(a, "%.3g %%", 100.0 * (double)part / (double)all) : "-";
  return s != NULL ? s : "?";
}

static bool counted(const qv_diff_node *n) { return n->how == QV_DIFF_VALUES || n->how == QV_DIFF_PAIRS; }

static const char *verdict_word(qv_verdict v) { return v == QV_VERIFIED ? "EQUAL" : v == QV_FALSIFIED ? "DIFFERENT" : "UNKNOWN"; }

static const char *reached_text(const qv_diff_node *n) {
  switch (n->reached) {
  case QV_FALSIFIED: return "by an executed input";
  case QV_VERIFIED: return "by no input (proved)";
  case QV_UNKNOWN: break;
  }
  return n->how == QV_DIFF_EQUAL ? "-" : "not decided";
}

/* ---- text ----------------------------------------------------------------------------------------------------------------- */

static const qv_diff_channel *widest(const qv_diff_node *n) {
  const qv_diff_channel *w = NULL;
  for (uint32_t c = 0; c < n->n_channel; c++)
    if (n->channel[c].differ > 0 && (w == NULL || n->channel[c].differ > w->differ)) w = &n->channel[c];
  return w;
}

static void example(cli_table *t, const qv_diff_node *n) {
  const qv_diff_channel *w = counted(n) ? widest(n) : NULL;
  if (w == NULL) cli_cell(t, "-");
  else if (n->how == QV_DIFF_PAIRS) cli_cell(t, "(%" PRId64 ",%" PRId64 "): %" PRId64 ", %" PRId64, w->at[0], w->at[1], w->a, w->b);
  else cli_cell(t, "%" PRId64 ": %" PRId64 ", %" PRId64, w->at[0], w->a, w->b);
}

/* Names made of several layers' names are long: their end, unless all is wanted. */
static const char *shorter(qv_arena *a, const char *name, bool all) {
  size_t n = strlen(name);
  const char *s = all || n <= 32 ? name : qv_arena_printf(a, "..%s", name + n - 30);
  return s != NULL ? cli_safe(a, s) : "?";
}

static void table(qv_buf *out, const qv_diff *d, bool all, qv_arena *a) {
  static const char *const head[] = {"layer", "operator", "tensor", "comparison", "possible", "differ", "share", "channels", "example", "reached"};
  cli_table t = {0};
  for (size_t c = 0; c < sizeof head / sizeof head[0]; c++) cli_col(&t, head[c], c == 0 || (c >= 4 && c <= 7));
  for (uint32_t k = 0; k < d->n_node; k++) {
    const qv_diff_node *n = &d->node[k];
    if (n->how == QV_DIFF_EQUAL && !all) continue;
    cli_cell(&t, "%" PRIu32, n->layer);
    cli_cell(&t, "%s", cli_safe(a, n->op));
    cli_cell(&t, "%s", shorter(a, n->tensor, all));
    cli_cell(&t, "%s", qv_diff_how_name(n->how));
    if (counted(n)) {
      cli_cell(&t, "%s", big(a, n->values));
      cli_cell(&t, "%s", big(a, n->differ));
      cli_cell(&t, "%s", share(a, n->differ, n->values));
    } else {
      for (int i = 0; i < 3; i++) cli_cell(&t, "-");
    }
    if (counted(n) || n->how == QV_DIFF_SUMS) cli_cell(&t, "%" PRIu32 " of %" PRIu32, n->n_differ, n->n_channel);
    else cli_cell(&t, "-");
    example(&t, n);
    cli_cell(&t, "%s", reached_text(n));
  }
  cli_table_print(out, &t);
}

static void channels(qv_buf *out, const qv_diff *d, qv_arena *a) {
  for (uint32_t k = 0; k < d->n_node; k++) {
    const qv_diff_node *n = &d->node[k];
    if (n->how != QV_DIFF_VALUES || n->n_channel < 2) continue;
    cli_table t = {0};
    qv_buf_printf(out, "\n  layer %" PRIu32 " %s, channel by channel:\n", n->layer, cli_safe(a, n->op));
    cli_col(&t, "channel", true);
    cli_col(&t, "sums", true);
    cli_col(&t, "differ", true);
    cli_col(&t, "example", false);
    for (uint32_t c = 0; c < n->n_channel; c++) {
      const qv_diff_channel *ch = &n->channel[c];
      cli_cell(&t, "%" PRIu32, ch->channel);
      cli_cell(&t, "[%" PRId64 ",%" PRId64 "]", ch->range.lo, ch->range.hi);
      cli_cell(&t, "%" PRIu64, ch->differ);
      if (ch->differ > 0) cli_cell(&t, "%" PRId64 ": %" PRId64 ", %" PRId64, ch->at[0], ch->a, ch->b);
      else cli_cell(&t, "-");
    }
    cli_table_print(out, &t);
  }
}

static void conclusion(qv_buf *out, const job *j, qv_arena *a) {
  const qv_diff *d = &j->d;
  qv_buf_printf(out, "\n%s: ", verdict_word(d->verdict));
  switch (d->verdict) {
  case QV_VERIFIED:
    qv_buf_printf(out, "no input makes an output differ (%s; proved by this program, there is no certificate)\n", qv_diff_engine_name(d->engine));
    return;
  case QV_FALSIFIED:
    qv_buf_printf(out, "an executed input (%s) gives other outputs: output %s element %zu is %" PRId64 " under %s, %" PRId64 " under %s; %zu element%s\n",
                  qv_diff_engine_name(d->engine), cli_safe(a, j->m[0].net->out[d->output].name), d->element, d->a, j->profile[0], d->b, j->profile[1],
                  d->n_elements, d->n_elements == 1 ? " differs" : "s differ");
    return;
  case QV_UNKNOWN: break;
  }
  qv_buf_printf(out, "%s", d->reason);
  if (d->tried > 0) qv_buf_printf(out, " (%" PRIu64 " inputs executed)", d->tried);
  qv_buf_str(out, "\n  next: --inputs N executes more inputs, --input FILE runs both on samples\n");
}

static void text(qv_buf *out, const job *j, bool verbose) {
  qv_arena a = {0};
  const qv_diff *d = &j->d;
  uint32_t known = 0;
  qv_buf_printf(out, "%s: %s against %s\n\n", cli_safe(&a, j->path), j->profile[0], j->profile[1]);
  for (uint32_t k = 0; k < d->n_node; k++) known += counted(&d->node[k]);
  if (d->n_differ > 0 || verbose) table(out, d, verbose, &a);
  if (verbose) channels(out, d, &a);
  for (uint32_t k = 0; k < d->n_node; k++)
    if (d->node[k].why != NULL)
      qv_buf_printf(out, "  layer %" PRIu32 " %s: not counted: %s\n", d->node[k].layer, cli_safe(&a, d->node[k].op), d->node[k].why);
  qv_buf_printf(out, "%s%" PRIu32 " of %" PRIu32 " tensors are the same function of the tensors in front of them; %" PRIu32 " differ on counted values\n",
                d->n_differ > 0 || verbose ? "\n" : "", d->n_node - d->n_differ, d->n_node, known);
  if (d->ends_differ) qv_buf_str(out, "The float ends of the model differ: the same float input can become different integers.\n");
  if (j->s.n > 0)
    qv_buf_printf(out, "Samples: %zu of %zu have other outputs; %zu elements, by at most %" PRId64 "\n", j->s.differing, j->s.n, j->s.elements, j->s.most);
  for (uint32_t i = 0; i < j->m[0].net->n_notes; i++) {
    qv_buf_str(out, "note: ");
    cli_wrap(out, cli_safe(&a, j->m[0].net->note[i]), 6, 110);
  }
  conclusion(out, j, &a);
  qv_arena_clear(&a);
}

/* ---- the report qverify-diff/1 (docs/diff.md) ------------------------------------------------------------------------------- */

static bool add_big(cJSON *o, const char *key, qv_i128 v) {
  qv_arena a = {0};
  bool ok = qv_json_add_str(o, key, big(&a, v));
  qv_arena_clear(&a);
  return ok;
}

static bool push_channel(cJSON *list, const qv_diff_node *n, const qv_diff_channel *c) {
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add_int(o, "channel", c->channel);
  if (n->how == QV_DIFF_VALUES) {
    ok = qv_json_add_int(o, "lo", c->range.lo) && ok;
    ok = qv_json_add_int(o, "hi", c->range.hi) && ok;
  }
  ok = add_big(o, "possible", (qv_i128)c->values) && ok;
  ok = add_big(o, "differ", (qv_i128)c->differ) && ok;
  if (c->differ > 0) {
    cJSON *at = cJSON_CreateArray();
    bool fine = at != NULL;
    for (int i = 0; i < (n->how == QV_DIFF_PAIRS ? 2 : 1); i++) {
      char b[24];
      (void)snprintf(b, sizeof b, "%" PRId64, c->at[i]);
      fine = qv_json_push(at, cJSON_CreateString(b)) && fine;
    }
    ok = qv_json_add(o, "at", at) && fine && ok;
    ok = qv_json_add_int(o, "a", c->a) && ok;
    ok = qv_json_add_int(o, "b", c->b) && ok;
  }
  return qv_json_push(list, o) && ok;
}

static bool push_node(cJSON *list, const qv_diff_node *n) {
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add_int(o, "layer", n->layer);
  ok = qv_json_add_str(o, "op", n->op) && ok;
  ok = qv_json_add_str(o, "tensor", n->tensor) && ok;
  ok = qv_json_add_str(o, "comparison", qv_diff_how_name(n->how)) && ok;
  ok = qv_json_add_str(o, "why", n->why) && ok;
  ok = qv_json_add_bool(o, "first", n->first) && ok;
  ok = qv_json_add_str(o, "reached", n->reached == QV_FALSIFIED ? "yes" : n->reached == QV_VERIFIED ? "no" : NULL) && ok;
  ok = (counted(n) ? add_big(o, "possible", n->values) : qv_json_add_str(o, "possible", NULL)) && ok;
  ok = (counted(n) ? add_big(o, "differ", n->differ) : qv_json_add_str(o, "differ", NULL)) && ok;
  bool by_channel = counted(n) || n->how == QV_DIFF_SUMS;
  ok = (by_channel ? qv_json_add_int(o, "channels_total", n->n_channel) : qv_json_add_str(o, "channels_total", NULL)) && ok;
  ok = (by_channel ? qv_json_add_int(o, "channels_differ", n->n_differ) : qv_json_add_str(o, "channels_differ", NULL)) && ok;
  cJSON *ch = cJSON_CreateArray();
  for (uint32_t c = 0; counted(n) && c < n->n_channel; c++) ok = push_channel(ch, n, &n->channel[c]) && ok;
  ok = qv_json_add(o, "channels", ch) && ok;
  return qv_json_push(list, o) && ok;
}

static cJSON *document(const job *j, bool finished) {
  cJSON *doc = cJSON_CreateObject(), *nodes = cJSON_CreateArray(), *argv = cJSON_CreateArray(), *pair = cJSON_CreateArray();
  const qv_diff *d = &j->d;
  bool ok = qv_json_add_str(doc, "schema", "qverify-diff/1");
  ok = qv_json_add_str(doc, "run_state", finished ? "COMPLETE" : "INCOMPLETE") && ok;
  ok = qv_json_add_str(doc, "version", qverify_version()) && ok;
  for (int i = 0; i < cli_argc; i++) ok = qv_json_push(argv, cJSON_CreateString(cli_argv[i])) && ok;
  ok = qv_json_add(doc, "argv", argv) && ok;
  ok = qv_json_add_str(doc, "model", j->path) && ok;
  ok = qv_json_add_str(doc, "sha256", j->m[0].sha256[0] != 0 ? j->m[0].sha256 : NULL) && ok;
  for (int i = 0; i < 2; i++) ok = qv_json_push(pair, cJSON_CreateString(j->profile[i])) && ok;
  ok = qv_json_add(doc, "profiles", pair) && ok;
  for (uint32_t k = 0; k < d->n_node; k++) ok = push_node(nodes, &d->node[k]) && ok;
  ok = qv_json_add(doc, "tensors", nodes) && ok;
  ok = qv_json_add_bool(doc, "float_ends_differ", d->ends_differ) && ok;
  ok = qv_json_add_str(doc, "verdict", verdict_word(finished ? d->verdict : QV_UNKNOWN)) && ok;
  ok = qv_json_add_str(doc, "engine", qv_diff_engine_name(d->engine)) && ok;
  ok = qv_json_add_str(doc, "reason", d->reason) && ok;
  ok = add_big(doc, "inputs_executed", (qv_i128)d->tried) && ok;
  if (d->verdict == QV_FALSIFIED) {
    cJSON *w = cJSON_CreateObject();
    bool fine = qv_json_add_str(w, "output", j->m[0].net->out[d->output].name);
    fine = qv_json_add_int(w, "element", (int64_t)d->element) && fine;
    fine = qv_json_add_int(w, "a", d->a) && fine;
    fine = qv_json_add_int(w, "b", d->b) && fine;
    fine = qv_json_add_int(w, "elements", (int64_t)d->n_elements) && fine;
    ok = qv_json_add(doc, "witness", w) && fine && ok;
  }
  if (j->s.n > 0) {
    cJSON *s = cJSON_CreateObject();
    bool fine = qv_json_add_int(s, "samples", (int64_t)j->s.n);
    fine = qv_json_add_int(s, "differing", (int64_t)j->s.differing) && fine;
    fine = qv_json_add_int(s, "elements", (int64_t)j->s.elements) && fine;
    fine = qv_json_add_int(s, "largest", j->s.most) && fine;
    ok = qv_json_add(doc, "on_samples", s) && fine && ok;
  }
  ok = (finished ? qv_json_add_num(doc, "exit_code", j->exit_code) : qv_json_add_str(doc, "exit_code", NULL)) && ok;
  if (ok) return doc;
  cJSON_Delete(doc);
  return NULL;
}

static qv_status write_json(const job *j, bool finished, qv_err *err) {
  if (j->json == NULL || (!finished && strcmp(j->json, "-") == 0)) return QV_OK;
  qv_buf out = {0};
  cJSON *doc = document(j, finished);
  qv_status st = doc == NULL ? QV_FAIL(err, QV_E_NOMEM, "report") : qv_json_print(&out, doc, true, err);
  qv_buf_str(&out, "\n");
  if (st == QV_OK) st = cli_emit(j->json, &out, err);
  cJSON_Delete(doc);
  qv_buf_free(&out);
  return st;
}

/* ---- samples --------------------------------------------------------------------------------------------------------------------- */

static qv_status read_samples(job *j, const cli_val *files, qv_err *err) {
  qv_status st = QV_OK;
  for (uint32_t i = 0; st == QV_OK && i < files->n; i++) {
    qv_array a = {0};
    size_t n = 0;
    st = qv_array_read(&a, files->v[i], err);
    if (st == QV_OK) st = qv_input_pack(&j->in[i], &n, j->m[0].net, i, &a, files->v[i], err);
    if (st == QV_OK && i > 0 && n != j->s.n) st = QV_FAIL(err, QV_E_PARSE, "%zu samples, the first input has %zu", n, j->s.n);
    qv_array_free(&a);
    j->s.n = n;
  }
  return st;
}

/* Both nets on all samples, one after the other. */
static qv_status compare_samples(job *j, qv_err *err) {
  qv_status st = QV_OK;
  const qv_net *net = j->m[0].net;
  qv_arena a = {0};
  qv_plan *plan[2] = {NULL, NULL};
  void *out[2][QV_MAX_INPUTS];
  for (int i = 0; i < 2; i++) QV_TRY(qv_plan_new(&plan[i], j->m[i].net, QV_ISA_BEST, err));
  for (uint32_t o = 0; o < net->n_out; o++)
    for (int i = 0; i < 2; i++) {
      const qv_tensor *t = &net->tensor[net->out[o].tensor];
      if ((out[i][o] = qv_arena_alloc(&a, qv_elems(t), qv_dtype_bytes(t->type))) == NULL) {
        st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
        goto done;
      }
    }
  for (size_t k = 0; k < j->s.n; k++) {
    const void *in[QV_MAX_INPUTS];
    bool differs = false;
    for (uint32_t i = 0; i < net->n_in; i++) {
      const qv_tensor *t = &net->tensor[net->in[i].tensor];
      in[i] = (const char *)j->in[i] + k * qv_elems(t) * qv_dtype_bytes(t->type);
    }
    for (int i = 0; i < 2; i++) QV_TRY(qv_plan_run(plan[i], 1, in, out[i], 1, err));
    for (uint32_t o = 0; o < net->n_out; o++) {
      const qv_tensor *t = &net->tensor[net->out[o].tensor];
      for (size_t e = 0, n = qv_elems(t); e < n; e++) {
        int64_t p = qv_fetch(out[0][o], t->type, e), q = qv_fetch(out[1][o], t->type, e);
        if (p == q) continue;
        differs = true;
        j->s.elements++;
        j->s.most = qv_max64(j->s.most, p > q ? p - q : q - p);
      }
    }
    j->s.differing += differs;
  }
done:
  qv_plan_free(plan[0]);
  qv_plan_free(plan[1]);
  qv_arena_clear(&a);
  return st;
}

/* ---- the command -------------------------------------------------------------------------------------------------------------------- */

static qv_status write_cex(const job *j, const cli_val *to, qv_err *err) {
  qv_status st = QV_OK;
  const qv_witness w = {.input = j->d.input};
  for (uint32_t i = 0; j->d.verdict == QV_FALSIFIED && i < to->n; i++) QV_TRY(cli_witness_npy(to->v[i], j->m[0].net, &w, i, err));
done:
  return st;
}

static int diff(const cli_cmd *cmd, const cli_val *val, job *j, qv_err *err) {
  const cli_val *in = cli_all(cmd, val, "input"), *cex = cli_all(cmd, val, "cex");
  int64_t inputs;
  if (!cli_get_int(&inputs, cmd, val, "inputs", 0, 1 << 24, 65536)) return QV_EXIT_USAGE;
  for (int i = 0; i < 2; i++) {
    int rc = cli_load(&j->m[i], cmd, j->path, j->profile[i], cli_get(cmd, val, "opaque") != NULL, err);
    if (rc != 0) return rc;
  }
  uint32_t n_in = j->m[0].net->n_in;
  if (in->n > 0 && in->n != n_in) return cli_usage(cmd, "the model has %" PRIu32 " inputs, but --input is given %" PRIu32 " times", n_in, in->n);
  if (cex->n > 0 && cex->n != n_in) return cli_usage(cmd, "the model has %" PRIu32 " inputs, but --cex is given %" PRIu32 " times", n_in, cex->n);
  qv_status st = read_samples(j, in, err);
  if (st != QV_OK) return cli_fail(st, in->v[0], err);
  const qv_diff_opts opts = {.inputs = (uint64_t)inputs, .no_search = inputs == 0};
  QV_TRY(qv_diff_run(&j->d, j->m[0].net, j->m[1].net, &opts, err));
  if (j->s.n > 0) QV_TRY(compare_samples(j, err));
  QV_TRY(write_cex(j, cex, err));
done:
  if (st != QV_OK) return cli_fail(st, j->path, err);
  const qv_tally tally = {.selected = 1, .verified = j->d.verdict == QV_VERIFIED, .falsified = j->d.verdict == QV_FALSIFIED || j->s.differing > 0};
  return qv_cli_exit(QV_OK, &tally);
}

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  const cli_val *p = cli_all(cmd, val, "profile");
  if (p->n != 2) return cli_usage(cmd, "--profile is needed twice: the two runtimes to compare");
  if (!cli_profile_ok(cmd, p->v[0]) || !cli_profile_ok(cmd, p->v[1])) return QV_EXIT_USAGE;
  qv_err err = {0}, report = {0};
  job *j = calloc(1, sizeof *j);
  if (j == NULL) return cli_fail(QV_FAIL(&err, QV_E_NOMEM, "out of memory"), NULL, &err);
  j->path = operand[0];
  j->json = cli_get(cmd, val, "json");
  j->profile[0] = p->v[0];
  j->profile[1] = p->v[1];
  qv_status st = write_json(j, false, &report);
  int rc = st == QV_OK ? diff(cmd, val, j, &err) : cli_fail(st, j->json, &report);
  if (err.code == QV_OK && rc != QV_EXIT_USAGE && st == QV_OK) {
    qv_buf out = {0};
    j->exit_code = rc;
    st = write_json(j, true, &report);
    if (st == QV_OK && (j->json == NULL || strcmp(j->json, "-") != 0)) {
      text(&out, j, cli_get(cmd, val, "verbose") != NULL);
      st = cli_emit("-", &out, &report);
    }
    if (st != QV_OK) rc = cli_fail(st, j->json, &report);
    qv_buf_free(&out);
  }
  for (uint32_t i = 0; i < QV_MAX_INPUTS; i++) free(j->in[i]);
  qv_diff_clear(&j->d);
  cli_model_free(&j->m[0]);
  cli_model_free(&j->m[1]);
  free(j);
  return rc;
}

static const cli_opt opts[] = {
    {"profile", 'p', "NAME", true, "the two runtimes to compare; given twice (see 'qverify profiles')"},
    {"input", 'i', "FILE", true, "also execute both on these samples and count what differs, once per model input"},
    {"cex", 'c', "FILE", true, "where an input with different outputs goes (.npy), once per model input"},
    {"json", 'j', "FILE", false, "write a report (docs/diff.md); '-' writes it to standard output in place of the text"},
    {"inputs", 0, "N", false, "inputs to try at most when looking for a difference at the outputs (65536; 0: proofs only)"},
    {"opaque", 0, NULL, false, "let an unsupported operator stand for any value; never a proof"},
    {"verbose", 'v', NULL, false, "all tensors, and the counts of every channel"},
    {.name = NULL},
};

const cli_cmd cli_diff = {
    .name = "diff",
    .operands = "MODEL",
    .n_operands = 1,
    .summary = "where two runtimes differ on one model: exact counts per layer, and an input or a proof for the outputs",
    .detail = "Each layer is compared as a function of what it reads: 'values' counts sums, 'pairs' pairs of operands, for which the results "
              "differ. EQUAL: proved for all inputs. DIFFERENT: an input was executed on both and its outputs differ. Exit codes: 0 equal, "
              "10 different, 5 undecided.",
    .example = "qverify diff model.tflite --profile tflite-double --profile tflite-ruy-x86",
    .opt = opts,
    .run = run,
};
