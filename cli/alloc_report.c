#include "cli/alloc_report.h"

#include <gmp.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/qverify.h"
#include "ir/base/json.h"

const char *cli_alloc_verdict(qv_alloc_state state, cli_check_result checked) {
  if (checked != CLI_CHECK_ACCEPTED) return "UNKNOWN";
  switch (state) {
  case QV_ALLOC_OPTIMAL: return "OPTIMAL";
  case QV_ALLOC_INFEASIBLE: return "INFEASIBLE";
  case QV_ALLOC_UNKNOWN: break;
  }
  return "UNKNOWN";
}

static cJSON *keep(cJSON *o, bool ok) {
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static bool add_mpq(cJSON *o, const char *key, mpq_srcptr v, qv_arena *a) {
  const char *s = v == NULL ? NULL : cli_alloc_exact(a, v);
  return qv_json_add_str(o, key, s) && (v == NULL || s != NULL);
}

static cJSON *sums(const qv_alloc *p, const uint32_t *choice, qv_arena *a) {
  cJSON *o = cJSON_CreateObject();
  mpq_t v;
  bool ok = o != NULL;
  mpq_init(v);
  for (uint32_t m = 0; m < p->n_costs; m++) {
    qv_alloc_cost_of(v, p, choice, &p->cost[m]);
    ok = add_mpq(o, p->cost[m].name, v, a) && ok;
  }
  mpq_clear(v);
  return keep(o, ok);
}

static bool add_loss(cJSON *o, const qv_alloc *p, const uint32_t *choice, qv_arena *a) {
  mpq_t v;
  mpq_init(v);
  qv_alloc_real(v, p, choice, 0);
  bool ok = add_mpq(o, "loss", v, a);
  mpq_clear(v);
  return qv_json_add(o, "costs", sums(p, choice, a)) && ok;
}

static cJSON *choices(const qv_alloc *p, const uint32_t *choice) {
  cJSON *o = cJSON_CreateObject();
  bool ok = o != NULL;
  for (uint32_t i = 0; i < p->n_members; i++) {
    uint32_t g = p->member_of[i];
    ok = qv_json_add_str(o, p->member[i], p->cand[p->group[g].first + choice[g]].name) && ok;
  }
  return keep(o, ok);
}

static cJSON *limits(const qv_alloc *p, qv_arena *a) {
  cJSON *list = cJSON_CreateArray();
  bool ok = list != NULL;
  for (uint32_t m = 0; m < p->n_costs; m++) {
    const qv_alloc_cost *c = &p->cost[m];
    cJSON *o = cJSON_CreateObject();
    bool fine = qv_json_add_str(o, "name", c->name);
    fine = add_mpq(o, "limit", c->limited ? c->asked : NULL, a) && fine;
    fine = add_mpq(o, "full", c->full, a) && fine;
    fine = qv_json_add_int(o, "rows", c->n) && fine;
    ok = qv_json_push(list, keep(o, fine)) && ok;
  }
  return keep(list, ok);
}

static cJSON *solution(const cli_alloc_report *r, qv_arena *a) {
  const qv_alloc *p = r->a->p;
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add(o, "choice", choices(p, r->result->choice));
  ok = add_loss(o, p, r->result->choice, a) && ok;
  ok = qv_json_add_int(o, "optima", (int64_t)r->result->optima) && ok;
  ok = qv_json_add_bool(o, "optima_all", r->result->optima_all) && ok;
  ok = qv_json_add_bool(o, "first_of_optima", r->result->first) && ok;
  return keep(o, ok);
}

static cJSON *front(const cli_alloc_report *r, qv_arena *a) {
  const qv_alloc *p = r->a->p;
  cJSON *o = cJSON_CreateObject(), *list = cJSON_CreateArray();
  bool ok = list != NULL;
  for (uint32_t i = 0; i < r->front->n; i++) {
    const qv_alloc_point *x = &r->front->point[i];
    cJSON *e = cJSON_CreateObject();
    bool fine = qv_json_add(e, "choice", choices(p, x->choice));
    fine = add_loss(e, p, x->choice, a) && fine;
    fine = qv_json_add_bool(e, "hull", x->hull) && fine;
    ok = qv_json_push(list, keep(e, fine)) && ok;
  }
  ok = qv_json_add(o, "points", list) && ok;
  ok = qv_json_add_str(o, "cost", p->row[r->front_row].name) && ok;
  return keep(o, ok);
}

static cJSON *hints(const cli_alloc_report *r, qv_arena *a) {
  cJSON *list = cJSON_CreateArray();
  bool ok = list != NULL;
  for (uint32_t i = 0; i < r->n_hints; i++) {
    const cli_alloc_hint *h = &r->hint[i];
    cJSON *o = cJSON_CreateObject();
    bool fine = qv_json_add_str(o, "name", r->a->p->cost[h->cost].name);
    fine = add_mpq(o, "limit", r->a->p->cost[h->cost].asked, a) && fine;
    fine = add_mpq(o, "needed", h->possible ? h->least : NULL, a) && fine;
    fine = add_mpq(o, "together", h->joint ? h->together : NULL, a) && fine;
    fine = qv_json_add_bool(o, "independently_checked", h->checked == CLI_CHECK_ACCEPTED) && fine;
    ok = qv_json_push(list, keep(o, fine)) && ok;
  }
  return keep(list, ok);
}

/* A choice on a float network, executed. Counts, so that nobody has to round. */
static cJSON *network(const cli_realized *x) {
  cJSON *o = cJSON_CreateObject();
  bool built = x->refused == NULL, counted = built && x->labelled;
  bool ok = qv_json_add_str(o, "refused", x->refused);
  ok = (built ? qv_json_add_int(o, "onnx_bytes", (int64_t)x->bytes) : qv_json_add_str(o, "onnx_bytes", NULL)) && ok;
  ok = (built ? qv_json_add_num(o, "accumulator_bits", x->bits) : qv_json_add_str(o, "accumulator_bits", NULL)) && ok;
  ok = qv_json_add_int(o, "samples", (int64_t)x->n) && ok;
  ok = (built ? qv_json_add_int(o, "as_float", (int64_t)x->same) : qv_json_add_str(o, "as_float", NULL)) && ok;
  ok = (counted ? qv_json_add_int(o, "right", (int64_t)x->right_int) : qv_json_add_str(o, "right", NULL)) && ok;
  ok = (counted ? qv_json_add_int(o, "right_float", (int64_t)x->right_float) : qv_json_add_str(o, "right_float", NULL)) && ok;
  return keep(o, ok);
}

static cJSON *methods(const cli_alloc_report *r, qv_arena *a) {
  cJSON *list = cJSON_CreateArray();
  bool ok = list != NULL;
  for (uint32_t i = 0; i < r->n_rows; i++) {
    const cli_alloc_row_out *x = &r->row[i];
    cJSON *o = cJSON_CreateObject();
    bool fine = qv_json_add_str(o, "budget", x->budget);
    fine = qv_json_add_str(o, "method", x->method) && fine;
    fine = qv_json_add_bool(o, "feasible", x->feasible) && fine;
    fine = qv_json_add_bool(o, "optimum", x->optimum) && fine;
    fine = qv_json_add(o, "choice", x->choice == NULL ? cJSON_CreateNull() : choices(r->a->p, x->choice)) && fine;
    if (x->choice != NULL) fine = add_loss(o, r->a->p, x->choice, a) && fine;
    if (x->net != NULL) fine = qv_json_add(o, "network", network(x->net)) && fine;
    ok = qv_json_push(list, keep(o, fine)) && ok;
  }
  return keep(list, ok);
}

static cJSON *certificate(const cli_alloc_report *r) {
  char sha[QV_SHA256_HEX];
  cJSON *o = cJSON_CreateObject();
  qv_sha256_hex(sha, r->cert->p, r->cert->n);
  bool ok = qv_json_add_str(o, "format", "qva 1");
  ok = qv_json_add_str(o, "path", r->cert_path) && ok;
  ok = qv_json_add_str(o, "sha256", sha) && ok;
  return keep(o, ok);
}

static cJSON *effort(const cli_alloc_report *r) {
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add_int(o, "nodes", (int64_t)(r->result != NULL ? r->result->nodes : r->front != NULL ? r->front->nodes : 0));
  ok = qv_json_add_int(o, "states", (int64_t)(r->result != NULL ? r->result->states : r->front != NULL ? r->front->states : 0)) && ok;
  return keep(o, ok);
}

static cJSON *input(const cli_alloc_report *r) {
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add_str(o, "path", r->table_path);
  ok = (r->a == NULL ? qv_json_add_str(o, "bytes", NULL) : qv_json_add_int(o, "bytes", (int64_t)r->a->bytes)) && ok;
  ok = qv_json_add_str(o, "sha256", r->a == NULL ? NULL : r->a->sha256) && ok;
  ok = qv_json_add_str(o, "problem_sha256", r->a == NULL ? NULL : r->a->qap_sha256) && ok;
  return keep(o, ok);
}

static cJSON *tool(void) {
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add_str(o, "name", "qverify");
  ok = qv_json_add_str(o, "version", qverify_version()) && ok;
  ok = qv_json_add_str(o, "build", QV_BUILD ", " __VERSION__) && ok;
  ok = qv_json_add_str(o, "gmp", gmp_version) && ok;
  return keep(o, ok);
}

/* A part that may not exist: null then. */
static bool add_part(cJSON *doc, const char *key, bool there, cJSON *part) { return qv_json_add(doc, key, there ? part : cJSON_CreateNull()); }

static cJSON *document(const cli_alloc_report *r, bool finished, qv_arena *a) {
  bool loaded = r->a != NULL;
  cJSON *doc = cJSON_CreateObject(), *argv = cJSON_CreateArray();
  bool ok = qv_json_add_str(doc, "schema", "qverify-allocation/1");
  ok = qv_json_add_str(doc, "run_state", finished && r->complete ? "COMPLETE" : "INCOMPLETE") && ok;
  ok = qv_json_add(doc, "tool", tool()) && ok;
  for (int i = 0; i < cli_argc; i++) ok = qv_json_push(argv, cJSON_CreateString(cli_argv[i])) && ok;
  ok = qv_json_add(doc, "argv", argv) && ok;
  ok = qv_json_add_str(doc, "command", r->command) && ok;
  ok = qv_json_add_str(doc, "method", r->method) && ok;
  ok = qv_json_add(doc, "input", input(r)) && ok;
  ok = qv_json_add_str(doc, "metric", loaded ? r->a->table.metric : NULL) && ok;
  ok = add_part(doc, "limits", loaded, loaded ? limits(r->a->p, a) : NULL) && ok;
  ok = qv_json_add_str(doc, "verdict", finished ? cli_alloc_verdict(r->state, r->checked) : "UNKNOWN") && ok;
  ok = qv_json_add_bool(doc, "independently_checked", finished && r->checked == CLI_CHECK_ACCEPTED) && ok;
  bool solved = loaded && r->result != NULL && r->result->has_choice, drawn = loaded && r->front != NULL;
  ok = add_part(doc, "solution", solved, solved ? solution(r, a) : NULL) && ok;
  ok = add_part(doc, "front", drawn, drawn ? front(r, a) : NULL) && ok;
  ok = add_part(doc, "explanation", loaded && r->n_hints > 0, loaded && r->n_hints > 0 ? hints(r, a) : NULL) && ok;
  ok = add_part(doc, "methods", loaded && r->n_rows > 0, loaded && r->n_rows > 0 ? methods(r, a) : NULL) && ok;
  ok = add_part(doc, "certificate", r->cert_path != NULL && r->cert != NULL, r->cert_path != NULL && r->cert != NULL ? certificate(r) : NULL) && ok;
  ok = qv_json_add(doc, "effort", effort(r)) && ok;
  ok = qv_json_add_str(doc, "error", r->err != NULL && r->err->code != QV_OK ? r->err->msg : NULL) && ok;
  ok = (finished ? qv_json_add_num(doc, "exit_code", r->exit_code) : qv_json_add_str(doc, "exit_code", NULL)) && ok;
  return keep(doc, ok);
}

/* The hash covers the compact text without "content_sha256" and "timing". */
static qv_status write_doc(const cli_alloc_report *r, bool finished, qv_err *err) {
  qv_arena a = {0};
  qv_buf text = {0}, out = {0};
  char sha[QV_SHA256_HEX], seconds[40];
  cJSON *doc = document(r, finished, &a), *timing = cJSON_CreateObject();
  qv_status st = doc == NULL ? QV_FAIL(err, QV_E_NOMEM, "out of memory") : QV_OK;
  if (st == QV_OK) st = qv_json_print(&text, doc, false, err);
  if (st == QV_OK) {
    qv_sha256_hex(sha, text.p, text.n);
    (void)snprintf(seconds, sizeof seconds, "%.3f", r->seconds);
    bool ok = qv_json_add_str(doc, "content_sha256", sha);
    ok = qv_json_add_str(timing, "total_s", finished ? seconds : NULL) && ok;
    ok = qv_json_add(doc, "timing", timing) && ok;
    timing = NULL;
    st = ok ? qv_json_print(&out, doc, true, err) : QV_FAIL(err, QV_E_NOMEM, "out of memory");
    qv_buf_str(&out, "\n");
  }
  if (st == QV_OK) st = cli_emit(r->path, &out, err);
  cJSON_Delete(doc);
  cJSON_Delete(timing);
  qv_buf_free(&text);
  qv_buf_free(&out);
  qv_arena_clear(&a);
  return st;
}

qv_status cli_alloc_report_begin(const cli_alloc_report *r, qv_err *err) {
  struct stat s;
  if (r->path == NULL || strcmp(r->path, "-") == 0) return QV_OK;
  if (stat(r->path, &s) == 0 && !S_ISREG(s.st_mode)) return QV_OK;
  return write_doc(r, false, err);
}

qv_status cli_alloc_report_write(const cli_alloc_report *r, qv_err *err) { return r->path == NULL ? QV_OK : write_doc(r, true, err); }
