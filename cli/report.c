#include "cli/report.h"

#include <gmp.h>
#include <inttypes.h>
#include <nettle/version.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zip.h>
#include <zlib.h>

#include "cli/qverify.h"
#include "cli/report_audit.h"
#include "cli/storage.h"
#include "ir/base/json.h"

const char *cli_item_reason(qv_arena *a, const qv_net *net, const qv_ovcheck *o, uint32_t item) {
  const qv_ov_item *it = &o->item[item];
  const qv_witness *w = &o->wit[item];
  const qv_acc *own = qv_node_acc(&net->node[it->node]);
  const char *s = NULL;
  switch (it->verdict) {
  case QV_VERIFIED: s = it->bits == 0 ? "unbounded accumulator" : qv_ov_name(it->cls); break;
  case QV_FALSIFIED:
    if (w->trap) s = "an input was executed on which the accumulator leaves its range (undefined behaviour)";
    else
      s = qv_arena_printf(a, "an input was executed on which channel %" PRIu32 " sums to %" PRId64 " and the %d-bit accumulator %s %" PRId64,
                          w->channel, w->exact, it->bits, own->mode == QV_ACC_EXACT || own->mode == QV_ACC_WRAP ? "wraps to" : "gives",
                          w->machine);
    break;
  case QV_UNKNOWN:
    if (w->state == QV_WIT_EXHAUSTED) s = "not excluded by the bounds, though no input overflows (all were executed)";
    else if (w->state == QV_WIT_REACHED) s = "not excluded: a step saturates on an executed input, whose result is right all the same";
    else s = qv_arena_printf(a, "not excluded: %s", qv_ov_name(it->cls));
    break;
  }
  return s != NULL ? s : "?";
}

/* ---- parts of the document: each returns a tree, or NULL when memory is short ------------------------------------------- */

static cJSON *interval(qv_itv v) {
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add_int(o, "lo", v.lo);
  ok = qv_json_add_int(o, "hi", v.hi) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static cJSON *tool(void) {
  cJSON *o = cJSON_CreateObject(), *libs = cJSON_CreateObject();
  char nettle[32];
  (void)snprintf(nettle, sizeof nettle, "%d.%d", NETTLE_VERSION_MAJOR, NETTLE_VERSION_MINOR);
  bool ok = qv_json_add_str(libs, "cjson", cJSON_Version());
  ok = qv_json_add_str(libs, "gmp", gmp_version) && ok;
  ok = qv_json_add_str(libs, "libzip", zip_libzip_version()) && ok;
  ok = qv_json_add_str(libs, "nettle", nettle) && ok;
  ok = qv_json_add_str(libs, "zlib", zlibVersion()) && ok;
  ok = qv_json_add(o, "libs", libs) && ok;
  ok = qv_json_add_str(o, "name", "qverify") && ok;
  ok = qv_json_add_str(o, "version", qverify_version()) && ok;
  ok = qv_json_add_str(o, "build", QV_BUILD ", " __VERSION__) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static cJSON *robust_config(const cli_report *r) {
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add_str(o, "condition", r->robust->condition);
  ok = qv_json_add_str(o, "engine", r->robust->engine) && ok;
  ok = qv_json_add_str(o, "profile", r->profile_asked) && ok;
  ok = qv_json_add_str(o, "question", r->robust->question) && ok;
  ok = qv_json_add_str(o, "size", r->robust->size) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static cJSON *robust_limits(const cli_report *r) {
  char secs[40];
  cJSON *o = cJSON_CreateObject();
  (void)snprintf(secs, sizeof secs, "%.3f", r->robust->timeout);
  bool ok = qv_json_add_str(o, "timeout_s", r->robust->timeout > 0 ? secs : NULL);
  ok = (r->robust->steps > 0 ? qv_json_add_int(o, "steps", r->robust->steps) : qv_json_add_str(o, "steps", NULL)) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static cJSON *config(const cli_report *r) {
  if (r->robust != NULL) return robust_config(r);
  cJSON *o = cJSON_CreateObject();
  bool ok = r->acc_bits == 0 ? qv_json_add_str(o, "acc_bits", NULL) : qv_json_add_num(o, "acc_bits", r->acc_bits);
  ok = qv_json_add_str(o, "domain", r->domain_path) && ok;
  if (r->kernel != NULL) ok = qv_json_add_str(o, "kernel", r->kernel) && ok;
  ok = qv_json_add_bool(o, "opaque", r->opaque) && ok;
  ok = qv_json_add_str(o, "profile", r->profile_asked) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

/* A data file that was read; without hash if it cannot be read as a whole (an entry of an archive). */
static cJSON *read_file(const char *path) {
  cJSON *o = cJSON_CreateObject();
  qv_buf b = {0};
  qv_err quiet = {0};
  char hex[QV_SHA256_HEX];
  bool have = qv_file_read(&b, path, ((size_t)1 << 31) - 1, &quiet) == QV_OK;
  if (have) qv_sha256_hex(hex, b.p, b.n);
  bool ok = qv_json_add_str(o, "path", path);
  ok = qv_json_add_str(o, "sha256", have ? hex : NULL) && ok;
  ok = (have ? qv_json_add_int(o, "bytes", (int64_t)b.n) : qv_json_add_str(o, "bytes", NULL)) && ok;
  qv_buf_free(&b);
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static cJSON *inputs(const cli_report *r) {
  cJSON *list = cJSON_CreateArray(), *o = cJSON_CreateObject();
  bool have = r->model != NULL && r->model->sha256[0] != 0;
  bool ok = qv_json_add_str(o, "path", r->model_path);
  ok = qv_json_add_str(o, "sha256", have ? r->model->sha256 : NULL) && ok;
  ok = (have ? qv_json_add_int(o, "bytes", (int64_t)r->model->bytes) : qv_json_add_str(o, "bytes", NULL)) && ok;
  ok = qv_json_push(list, o) && ok;
  for (uint32_t i = 0; r->robust != NULL && i < r->robust->n_files; i++) ok = qv_json_push(list, read_file(r->robust->file[i])) && ok;
  if (ok) return list;
  cJSON_Delete(list);
  return NULL;
}

static cJSON *domain(const cli_report *r) {
  const qv_net *net = r->model->net;
  cJSON *list = cJSON_CreateArray();
  bool ok = list != NULL;
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_tensor *t = &net->tensor[net->in[i].tensor];
    cJSON *o = cJSON_CreateObject();
    bool fine = qv_json_add_str(o, "input", net->in[i].name);
    fine = qv_json_add_str(o, "type", qv_dtype_name(t->type)) && fine;
    fine = qv_json_add(o, "range", interval(qv_property_hull(r->prop, i, t))) && fine;
    fine = qv_json_add_bool(o, "per_element", r->prop->in[i].n > 1) && fine;
    ok = qv_json_push(list, o) && fine && ok;
  }
  if (ok) return list;
  cJSON_Delete(list);
  return NULL;
}

static cJSON *certificate(const cli_report *r) {
  if (r->cert_path == NULL) return cJSON_CreateNull();
  cJSON *o = cJSON_CreateObject();
  char hex[QV_SHA256_HEX];
  qv_sha256_hex(hex, r->check->evidence.cert.p, r->check->evidence.cert.n);
  bool ok = qv_json_add_str(o, "path", r->cert_path);
  ok = qv_json_add_str(o, "sha256", hex) && ok;
  ok = qv_json_add_str(o, "format", "qvc 1") && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

/* What every kind of obligation has in common; the fields that intervals alone cannot fill are null. */
static bool common(cJSON *o, const cli_report *r, const char *id, const char *property, const qv_node *nd, qv_verdict v, const char *reason) {
  bool ok = qv_json_add_str(o, "id", id);
  ok = qv_json_add_str(o, "requirement", NULL) && ok;
  ok = qv_json_add_str(o, "property", property) && ok;
  ok = qv_json_add_int(o, "layer", nd->layer) && ok;
  ok = qv_json_add_str(o, "op", nd->op) && ok;
  ok = qv_json_add_str(o, "verdict", qv_verdict_name(v)) && ok;
  ok = qv_json_add_str(o, "reason", reason) && ok;
  ok = qv_json_add_str(o, "engine", v == QV_FALSIFIED ? "search" : "bounds") && ok;
  ok = qv_json_add_str(o, "effort", NULL) && ok;
  ok = qv_json_add_str(o, "time_s", NULL) && ok;
  ok = qv_json_add_str(o, "mem_kb", NULL) && ok;
  ok = qv_json_add(o, "certificate", certificate(r)) && ok;
  bool checked = v == QV_VERIFIED && r->check->checked == CLI_CHECK_ACCEPTED;
  return qv_json_add_str(o, "checked_by", checked ? "qverify-check" : NULL) && ok;
}

static cJSON *counterexample(const cli_report *r, const qv_witness *w, qv_arena *a) {
  if (!qv_witness_refutes(w)) return cJSON_CreateNull();
  const qv_net *net = r->model->net;
  cJSON *o = cJSON_CreateObject(), *list = cJSON_CreateArray();
  bool ok = qv_json_add_str(o, "path", r->cex_path);
  ok = qv_json_add_bool(o, "replayed", true) && ok;
  ok = qv_json_add_int(o, "element", (int64_t)w->element) && ok;
  ok = qv_json_add_int(o, "exact", w->exact) && ok;
  ok = (w->trap ? qv_json_add_str(o, "machine", NULL) : qv_json_add_int(o, "machine", w->machine)) && ok;
  for (uint32_t i = 0; i < net->n_in; i++) { /* identified, not repeated: tensors never go into JSON */
    const qv_tensor *t = &net->tensor[net->in[i].tensor];
    char hex[QV_SHA256_HEX];
    size_t bytes = qv_elems(t) * qv_dtype_bytes(t->type);
    void *raw = qv_arena_alloc(a, bytes, 1);
    if (raw != NULL) {
      qv_store(raw, t->type, w->input[i], qv_elems(t));
      qv_sha256_hex(hex, raw, bytes);
    }
    ok = qv_json_push(list, raw != NULL ? cJSON_CreateString(hex) : NULL) && ok;
  }
  ok = qv_json_add(o, "input_sha256", list) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

cJSON *cli_report_group(const qv_audit_group *g) {
  if (g->n == 0) return cJSON_CreateNull();
  cJSON *o = cJSON_CreateObject(), *terms = cJSON_CreateArray();
  bool ok = qv_json_add_int(o, "channel", g->channel);
  ok = qv_json_add_int(o, "element", (int64_t)g->element) && ok;
  ok = qv_json_add_int(o, "first", g->first) && ok;
  ok = qv_json_add_int(o, "step", g->step) && ok;
  ok = qv_json_add_int(o, "count", g->n) && ok;
  ok = qv_json_add_bool(o, "pairs", g->pairs) && ok;
  ok = qv_json_add(o, "sum", interval(g->sum)) && ok;
  for (uint32_t i = 0; i < 2 && i < g->n && !g->pairs; i++) {
    cJSON *t = cJSON_CreateObject();
    bool fine = qv_json_add_int(t, "weight", g->w[i]);
    fine = qv_json_add(t, "activation", interval(g->x[i])) && fine;
    ok = qv_json_push(terms, t) && fine && ok;
  }
  ok = qv_json_add(o, "terms", terms) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

/* Pairs or lane windows of one node; null where its kernel has none. */
static cJSON *stage(const qv_audit_row *row) {
  if (row->bits == 0) return cJSON_CreateNull();
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add_num(o, "bits", row->bits);
  ok = qv_json_add_int(o, "groups", (int64_t)row->n) && ok;
  ok = qv_json_add_int(o, "unsafe", (int64_t)row->unsafe) && ok;
  ok = qv_json_add_int(o, "unsafe_any_byte", (int64_t)row->unsafe_any) && ok;
  ok = qv_json_add(o, "worst", cli_report_group(&row->worst)) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static cJSON *overflow_item(const cli_report *r, uint32_t i, qv_arena *a) {
  const qv_net *net = r->model->net;
  const qv_ov_item *it = &r->check->item[i];
  const qv_acc_bound *b = &r->check->proof.range.acc[i];
  const qv_node *nd = &net->node[it->node];
  char id[48];
  (void)snprintf(id, sizeof id, "overflow/node%" PRIu32, it->node);
  cJSON *o = cJSON_CreateObject(), *acc = cJSON_CreateObject();
  bool ok = common(o, r, id, "no-accumulator-overflow", nd, it->verdict, cli_item_reason(a, net, r->check, i));
  ok = qv_json_add_int(o, "channel", it->verdict == QV_FALSIFIED ? r->check->wit[i].channel : it->channel) && ok;
  ok = qv_json_add(o, "bound", interval(qv_acc_hull(b))) && ok;
  ok = qv_json_add(o, "cex", counterexample(r, &r->check->wit[i], a)) && ok;
  ok = qv_json_add_str(acc, "mode", qv_acc_name(qv_acc_judged(qv_node_acc(nd), r->acc_bits).mode)) && ok;
  ok = (it->bits == 0 ? qv_json_add_str(acc, "bits", NULL) : qv_json_add_num(acc, "bits", it->bits)) && ok;
  ok = qv_json_add_num(acc, "bits_needed", b->bits_final) && ok;
  ok = qv_json_add_num(acc, "bits_needed_any_order", b->bits_any) && ok;
  ok = (b->bits_dtype == 0 ? qv_json_add_str(acc, "bits_datatype_bound", NULL) : qv_json_add_num(acc, "bits_datatype_bound", b->bits_dtype)) && ok;
  ok = (b->bits_l1 == 0 ? qv_json_add_str(acc, "bits_l1_bound", NULL) : qv_json_add_num(acc, "bits_l1_bound", b->bits_l1)) && ok;
  ok = qv_json_add_int(acc, "terms", (int64_t)b->k) && ok;
  ok = qv_json_add_bool(acc, "bound_attained", b->exact) && ok;
  ok = qv_json_add(o, "accumulator", acc) && ok;
  if (r->audit != NULL) ok = qv_json_add(o, "stage", stage(&r->audit->row[i])) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static cJSON *step_item(const cli_report *r, uint32_t i) {
  const qv_obligation *ob = &r->check->proof.obligation[i];
  const qv_node *nd = &r->model->net->node[ob->node];
  char id[64];
  (void)snprintf(id, sizeof id, "requantization/node%" PRIu32 "/%" PRIu32, ob->node, i);
  cJSON *o = cJSON_CreateObject();
  bool ok = common(o, r, id, qv_ob_name(ob->kind), nd, ob->holds ? QV_VERIFIED : QV_UNKNOWN,
                   ob->holds ? "range within limit" : "not excluded: range leaves the limit");
  ok = qv_json_add_int(o, "channel", ob->channel) && ok;
  ok = qv_json_add(o, "bound", interval(ob->range)) && ok;
  ok = qv_json_add(o, "limit", interval(ob->limit)) && ok;
  ok = qv_json_add_bool(o, "informational", ob->informational) && ok;
  ok = qv_json_add(o, "cex", cJSON_CreateNull()) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static cJSON *opaque_item(const cli_report *r, uint32_t node) {
  const qv_node *nd = &r->model->net->node[node];
  char id[48];
  (void)snprintf(id, sizeof id, "opaque/node%" PRIu32, node);
  cJSON *o = cJSON_CreateObject();
  bool ok = common(o, r, id, "operator-modelled", nd, QV_UNKNOWN, "opaque operator: any value of its output type is assumed");
  ok = qv_json_add(o, "channel", cJSON_CreateNull()) && ok;
  ok = qv_json_add(o, "bound", cJSON_CreateNull()) && ok;
  ok = qv_json_add(o, "cex", cJSON_CreateNull()) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static cJSON *obligations(const cli_report *r, qv_arena *a) {
  cJSON *list = cJSON_CreateArray();
  bool ok = list != NULL;
  for (uint32_t i = 0; ok && i < r->check->n; i++) ok = qv_json_push(list, overflow_item(r, i, a));
  for (uint32_t i = 0; ok && i < r->check->proof.n_obligation; i++) ok = qv_json_push(list, step_item(r, i));
  for (uint32_t i = 0; ok && i < r->model->net->n_nodes; i++)
    if (r->model->net->node[i].kind == QV_OPAQUE) ok = qv_json_push(list, opaque_item(r, i));
  if (ok) return list;
  cJSON_Delete(list);
  return NULL;
}

static bool add_notes(cJSON *doc, const qv_net *net) {
  cJSON *notes = cJSON_CreateArray();
  bool ok = notes != NULL;
  for (uint32_t i = 0; i < net->n_notes; i++) ok = qv_json_push(notes, cJSON_CreateString(net->note[i])) && ok;
  ok = qv_json_add(doc, "assumptions", notes) && ok;
  return qv_json_add_str(doc, "profile", net->profile[0] != 0 ? net->profile : NULL) && ok;
}

static bool add_counts(cJSON *doc, const char *requested, uint32_t selected, uint32_t verified, uint32_t falsified) {
  cJSON *sel = cJSON_CreateObject(), *tot = cJSON_CreateObject();
  bool ok = qv_json_add_str(sel, "requested", requested);
  ok = qv_json_add_int(sel, "matched", selected) && ok;
  ok = qv_json_add_int(sel, "unmatched", 0) && ok;
  ok = qv_json_add(doc, "selection", sel) && ok;
  ok = qv_json_add_int(tot, "selected", selected) && ok;
  ok = qv_json_add_int(tot, "verified", verified) && ok;
  ok = qv_json_add_int(tot, "falsified", falsified) && ok;
  ok = qv_json_add_int(tot, "unknown", (int64_t)selected - verified - falsified) && ok;
  return qv_json_add(doc, "totals", tot) && ok;
}

static bool add_results(cJSON *doc, const cli_report *r, qv_arena *a) {
  const qv_ovcheck *c = r->check;
  bool ok = add_notes(doc, r->model->net);
  ok = qv_json_add(doc, "domain", domain(r)) && ok;
  ok = add_counts(doc, r->requested, c->selected, c->verified, c->falsified) && ok;
  ok = qv_json_add(doc, "obligations", obligations(r, a)) && ok;
  if (r->audit != NULL) ok = qv_json_add(doc, "audit", cli_report_audit(r)) && ok;
  if (r->repair != NULL) ok = qv_json_add(doc, "repair", cli_report_repair(r->repair)) && ok;
  return qv_json_add_str(doc, "verdict", qv_verdict_name(qv_ovcheck_verdict(c))) && ok;
}

static bool add_robust(cJSON *doc, const cli_report *r) {
  cli_report_robust *b = r->robust;
  bool ok = add_notes(doc, r->model->net);
  ok = qv_json_add(doc, "domain", cJSON_CreateNull()) && ok;
  ok = add_counts(doc, r->requested, b->selected, b->verified, b->falsified) && ok;
  ok = qv_json_add(doc, "obligations", b->obligations) && ok;
  b->obligations = NULL;
  qv_verdict v = b->falsified > 0 ? QV_FALSIFIED : b->verified > 0 && b->verified == b->selected ? QV_VERIFIED : QV_UNKNOWN;
  return qv_json_add_str(doc, "verdict", qv_verdict_name(v)) && ok;
}

static bool add_nothing(cJSON *doc) {
  bool ok = qv_json_add(doc, "assumptions", cJSON_CreateArray());
  ok = qv_json_add(doc, "domain", cJSON_CreateNull()) && ok;
  ok = qv_json_add(doc, "profile", cJSON_CreateNull()) && ok;
  ok = qv_json_add(doc, "selection", cJSON_CreateNull()) && ok;
  ok = qv_json_add(doc, "totals", cJSON_CreateNull()) && ok;
  ok = qv_json_add(doc, "obligations", cJSON_CreateArray()) && ok;
  return qv_json_add_str(doc, "verdict", qv_verdict_name(QV_UNKNOWN)) && ok;
}

static cJSON *argv_list(const cli_report *r) {
  cJSON *list = cJSON_CreateArray();
  bool ok = list != NULL;
  for (int i = 0; i < r->argc; i++) ok = qv_json_push(list, cJSON_CreateString(r->argv[i])) && ok;
  if (ok) return list;
  cJSON_Delete(list);
  return NULL;
}

static const char *run_state(const cli_report *r) {
  if (r->robust != NULL) return !r->done ? "INCOMPLETE" : r->robust->selected == 0 ? "NOTHING_SELECTED" : "COMPLETE";
  if (r->check == NULL) return "INCOMPLETE";
  return r->check->selected == 0 ? "NOTHING_SELECTED" : "COMPLETE";
}

/* Everything but the clock and the hash. */
static cJSON *document(const cli_report *r, bool finished, qv_arena *a) {
  cJSON *doc = cJSON_CreateObject();
  bool ok = qv_json_add_str(doc, "schema", "qverify-report/1");
  ok = qv_json_add_str(doc, "run_state", finished ? run_state(r) : "INCOMPLETE") && ok;
  ok = qv_json_add(doc, "tool", tool()) && ok;
  ok = qv_json_add(doc, "argv", argv_list(r)) && ok;
  ok = qv_json_add(doc, "config_effective", config(r)) && ok;
  ok = qv_json_add(doc, "inputs", inputs(r)) && ok;
  const cli_report_robust *b = r->robust;
  ok = (b != NULL ? qv_json_add_int(doc, "seed", (int64_t)b->seed) : qv_json_add_str(doc, "seed", NULL)) && ok;
  ok = qv_json_add_num(doc, "threads", b != NULL && b->threads > 0 ? (int32_t)b->threads : 1) && ok;
  ok = qv_json_add(doc, "limits", b != NULL ? robust_limits(r) : cJSON_CreateNull()) && ok;
  bool checked = b != NULL ? r->done && b->checked : r->check != NULL && r->check->checked == CLI_CHECK_ACCEPTED;
  ok = qv_json_add_bool(doc, "independently_checked", checked) && ok;
  bool results = finished && (b != NULL ? r->done : r->check != NULL);
  ok = (!results ? add_nothing(doc) : b != NULL ? add_robust(doc, r) : add_results(doc, r, a)) && ok;
  ok = (finished ? qv_json_add_num(doc, "exit_code", r->exit_code) : qv_json_add(doc, "exit_code", cJSON_CreateNull())) && ok;
  ok = qv_json_add_str(doc, "error", finished && r->err != NULL && r->err->code != QV_OK ? r->err->msg : NULL) && ok;
  if (ok) return doc;
  cJSON_Delete(doc);
  return NULL;
}

/* The hash covers the compact text of the report without "content_sha256" and "timing". */
static qv_status write_doc(const cli_report *r, bool finished, qv_err *err) {
  qv_status st = QV_OK;
  qv_arena a = {0};
  qv_buf b = {0};
  char hex[QV_SHA256_HEX], secs[40];
  cJSON *doc = document(r, finished, &a), *timing = cJSON_CreateObject();
  if (doc == NULL || timing == NULL) {
    st = QV_FAIL(err, QV_E_INTERNAL, "out of memory while writing the report");
    goto done;
  }
  QV_TRY(qv_json_print(&b, doc, false, err));
  qv_sha256_hex(hex, b.p, b.n);
  qv_buf_free(&b);
  (void)snprintf(secs, sizeof secs, "%.3f", r->seconds);
  bool ok = qv_json_add_str(doc, "content_sha256", hex);
  ok = qv_json_add_str(timing, "total_s", finished ? secs : NULL) && ok;
  ok = qv_json_add(doc, "timing", timing) && ok;
  timing = NULL;
  if (!ok) {
    st = QV_FAIL(err, QV_E_INTERNAL, "out of memory while writing the report");
    goto done;
  }
  QV_TRY(qv_json_print(&b, doc, true, err));
  QV_TRY(cli_emit(r->path, &b, err));
done:
  cJSON_Delete(timing);
  cJSON_Delete(doc);
  qv_buf_free(&b);
  qv_arena_clear(&a);
  return st;
}

qv_status cli_report_begin(const cli_report *r, qv_err *err) {
  struct stat sb;
  if (r->path == NULL || strcmp(r->path, "-") == 0 || (stat(r->path, &sb) == 0 && !S_ISREG(sb.st_mode) && !S_ISDIR(sb.st_mode)))
    return QV_OK;
  return write_doc(r, false, err);
}

qv_status cli_report_write(const cli_report *r, qv_err *err) { return r->path == NULL ? QV_OK : write_doc(r, true, err); }
