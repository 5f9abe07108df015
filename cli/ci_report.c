#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ci.h"
#include "cli/qverify.h"

static const char *overall(const ci_merged *m) {
  switch (m->exit_code) {
  case 0: return "VERIFIED";
  case 10: return "FALSIFIED";
  default: return "UNKNOWN";
  }
}

static qv_status out_of_memory(qv_err *err) { return QV_FAIL(err, QV_E_NOMEM, "out of memory"); }

/* ---- JSON, qverify-ci-report/1 ------------------------------------------------------------------------------------------------------ */

/* SHA-256 over exit code, and name and verdict of each inner obligation: not over paths and times. */
static void digest(char hex[QV_SHA256_HEX], const cJSON *doc) {
  const cJSON *code = cJSON_GetObjectItemCaseSensitive(doc, "exit"), *report = cJSON_GetObjectItemCaseSensitive(doc, "report"), *x;
  qv_buf b = {0};
  qv_buf_printf(&b, "%s\n", code != NULL && code->valuestring != NULL ? code->valuestring : "-");
  const cJSON *list = report != NULL ? cJSON_GetObjectItemCaseSensitive(report, "obligations") : NULL;
  cJSON_ArrayForEach(x, list) {
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(x, "id"), *v = cJSON_GetObjectItemCaseSensitive(x, "verdict");
    if (cJSON_IsString(id) && cJSON_IsString(v)) qv_buf_printf(&b, "%s %s\n", id->valuestring, v->valuestring);
  }
  qv_sha256_hex(hex, b.p, b.n);
  qv_buf_free(&b);
}

static cJSON *job_json(const ci_job *j, const cJSON *doc) {
  cJSON *o = cJSON_CreateObject(), *argv = cJSON_CreateArray();
  char hex[QV_SHA256_HEX];
  if (doc != NULL) digest(hex, doc);
  bool ok = qv_json_add_str(o, "key", j->key);
  ok = qv_json_add_str(o, "part", j->part) && ok;
  ok = qv_json_add_str(o, "result_sha256", doc != NULL ? hex : NULL) && ok;
  for (uint32_t i = 0; i < j->argc; i++) ok = qv_json_push(argv, cJSON_CreateString(j->argv[i])) && ok;
  ok = qv_json_add(o, "argv", argv) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static cJSON *item_json(const ci_merged *m, uint32_t k) {
  const ci_item *i = &m->plan->item[k];
  const ci_outcome *r = &m->item[k];
  cJSON *o = cJSON_CreateObject(), *tags = cJSON_CreateArray(), *jobs = cJSON_CreateArray(), *counts = cJSON_CreateObject();
  bool ok = qv_json_add_str(o, "id", i->id);
  ok = qv_json_add_str(o, "requirement", i->requirement) && ok;
  ok = qv_json_add_str(o, "check", ci_check_name(i->check)) && ok;
  ok = qv_json_add_str(o, "model", i->model) && ok;
  ok = qv_json_add_str(o, "verdict", ci_verdict_name(r->verdict)) && ok;
  ok = qv_json_add_str(o, "reason", r->reason) && ok;
  ok = qv_json_add_str(o, "next", r->next) && ok;
  ok = qv_json_add_int(counts, "verified", r->verified) && ok;
  ok = qv_json_add_int(counts, "falsified", r->falsified) && ok;
  ok = qv_json_add_int(counts, "unknown", r->unknown) && ok;
  ok = qv_json_add(o, "counts", counts) && ok;
  for (uint32_t t = 0; t < i->n_tags; t++) ok = qv_json_push(tags, cJSON_CreateString(i->tag[t])) && ok;
  ok = qv_json_add(o, "tags", tags) && ok;
  for (uint32_t j = 0; j < r->n_jobs; j++) ok = qv_json_push(jobs, job_json(&m->plan->job[r->first_job + j], m->doc[r->first_job + j])) && ok;
  ok = qv_json_add(o, "jobs", jobs) && ok;
  if (r->queries != NULL) ok = qv_json_add(o, "queries", cJSON_Duplicate(r->queries, true)) && ok;
  if (r->baseline != NULL) ok = qv_json_add(o, "baseline", cJSON_Duplicate(r->baseline, true)) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static cJSON *totals(const ci_merged *m) {
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add_int(o, "selected", m->selected);
  ok = qv_json_add_int(o, "verified", m->verified) && ok;
  ok = qv_json_add_int(o, "falsified", m->falsified) && ok;
  ok = qv_json_add_int(o, "unknown", m->unknown) && ok;
  ok = qv_json_add_int(o, "error", m->error) && ok;
  ok = qv_json_add_int(o, "missing", m->missing) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static cJSON *timing(const ci_merged *m) {
  cJSON *o = cJSON_CreateObject();
  bool ok = o != NULL;
  for (uint32_t k = 0; k < m->plan->n_item; k++) {
    char s[32];
    if (m->item[k].n_jobs == 0) continue;
    (void)snprintf(s, sizeof s, "%.3f", m->item[k].seconds);
    ok = qv_json_add_str(o, m->plan->item[k].id, s) && ok;
  }
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

qv_status ci_json(qv_buf *out, const ci_merged *m, qv_err *err) {
  cJSON *o = cJSON_CreateObject(), *tool = cJSON_CreateObject(), *manifest = cJSON_CreateObject(), *list = cJSON_CreateArray();
  bool ok = qv_json_add_str(o, "schema", "qverify-ci-report/1");
  ok = qv_json_add_str(o, "run_state", m->state) && ok;
  ok = qv_json_add_str(o, "verdict", overall(m)) && ok;
  ok = qv_json_add_num(o, "exit_code", m->exit_code) && ok;
  ok = qv_json_add_str(tool, "name", "qverify") && ok;
  ok = qv_json_add_str(tool, "version", qverify_version()) && ok;
  ok = qv_json_add(o, "tool", tool) && ok;
  ok = qv_json_add_str(manifest, "path", m->plan->path) && ok;
  ok = qv_json_add_str(manifest, "sha256", m->plan->sha256) && ok;
  ok = qv_json_add_str(manifest, "name", m->plan->name) && ok;
  ok = qv_json_add(o, "manifest", manifest) && ok;
  ok = qv_json_add(o, "totals", totals(m)) && ok;
  for (uint32_t k = 0; k < m->plan->n_item; k++)
    if (m->plan->item[k].selected) ok = qv_json_push(list, item_json(m, k)) && ok;
  ok = qv_json_add(o, "obligations", list) && ok;
  qv_buf bare = {0};
  qv_status st = ok ? qv_json_print(&bare, o, false, err) : out_of_memory(err);
  if (st == QV_OK) {
    char hex[QV_SHA256_HEX];
    qv_sha256_hex(hex, bare.p, bare.n);
    ok = qv_json_add_str(o, "content_sha256", hex) && qv_json_add(o, "timing", timing(m));
    st = ok ? qv_json_print(out, o, true, err) : out_of_memory(err);
  }
  qv_buf_free(&bare);
  cJSON_Delete(o);
  return st;
}

/* ---- JUnit -------------------------------------------------------------------------------------------------------------------------- */

void ci_escape(qv_buf *b, const char *s) {
  for (; s != NULL && *s != 0;) {
    size_t n = qv_utf8_len((const unsigned char *)s, strlen(s));
    if (*s == '<') qv_buf_str(b, "&lt;");
    else if (*s == '>') qv_buf_str(b, "&gt;");
    else if (*s == '&') qv_buf_str(b, "&amp;");
    else if (*s == '"') qv_buf_str(b, "&quot;");
    else if (n == 0 || ((unsigned char)*s < 32 && *s != '\n' && *s != '\t') || *s == 127) qv_buf_str(b, "?");
    else qv_buf_put(b, s, n);
    s += n > 0 ? n : 1;
  }
}

qv_status ci_junit(qv_buf *out, const ci_merged *m, qv_err *err) {
  uint32_t not_selected = m->plan->n_item - m->selected;
  double all = 0;
  for (uint32_t k = 0; k < m->plan->n_item; k++) all += m->item[k].seconds;
  qv_buf_str(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"");
  ci_escape(out, m->plan->name != NULL ? m->plan->name : m->plan->path);
  qv_buf_printf(out, "\" tests=\"%" PRIu32 "\" failures=\"%" PRIu32 "\" errors=\"%" PRIu32 "\" skipped=\"%" PRIu32 "\" time=\"%.3f\">\n", m->plan->n_item, m->falsified,
                m->unknown + m->error + m->missing, not_selected, all);
  for (uint32_t k = 0; k < m->plan->n_item; k++) {
    const ci_item *i = &m->plan->item[k];
    const ci_outcome *o = &m->item[k];
    bool run = i->selected;
    qv_buf_str(out, "    <testcase classname=\"qverify.");
    qv_buf_str(out, ci_check_name(i->check));
    qv_buf_str(out, "\" name=\"");
    ci_escape(out, i->id);
    if (run) qv_buf_printf(out, " %s", ci_verdict_name(o->verdict));
    qv_buf_printf(out, "\" time=\"%.3f\">", o->seconds);
    if (!run) qv_buf_str(out, "<skipped/>");
    else if (o->verdict != CI_VERIFIED) {
      const char *element = o->verdict == CI_FALSIFIED ? "failure" : "error";
      qv_buf_printf(out, "<%s message=\"%s\" type=\"%s\">", element, ci_verdict_name(o->verdict), ci_check_name(i->check));
      ci_escape(out, o->reason);
      if (o->next != NULL) {
        qv_buf_str(out, "\nnext: ");
        ci_escape(out, o->next);
      }
      qv_buf_printf(out, "</%s>", element);
    }
    qv_buf_str(out, "</testcase>\n");
  }
  qv_buf_str(out, "  </testsuite>\n</testsuites>\n");
  return out->failed ? out_of_memory(err) : QV_OK;
}

/* ---- SARIF 2.1.0 -------------------------------------------------------------------------------------------------------------------- */

static cJSON *message(const char *s) {
  cJSON *o = cJSON_CreateObject();
  if (qv_json_add_str(o, "text", s)) return o;
  cJSON_Delete(o);
  return NULL;
}

/* A path as a URI reference: absolute ones with their scheme, bytes that may not stand in a URI escaped. Of a name "a:b" the colon is
 * escaped too, which would end a scheme. */
static bool add_uri(cJSON *o, const char *path) {
  qv_buf b = {0};
  if (*path == '/') qv_buf_str(&b, "file://");
  for (const char *s = path; *s != 0; s++) {
    if ((*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || strchr("-._~/", *s) != NULL) qv_buf_put(&b, s, 1);
    else qv_buf_printf(&b, "%%%02X", (unsigned)(unsigned char)*s);
  }
  qv_buf_put(&b, "", 1);
  bool ok = !b.failed && qv_json_add_str(o, "uri", (const char *)b.p);
  qv_buf_free(&b);
  return ok;
}

static cJSON *location(const ci_merged *m, const ci_item *i) {
  cJSON *o = cJSON_CreateObject(), *physical = cJSON_CreateObject(), *artifact = cJSON_CreateObject(), *logical = cJSON_CreateArray(), *name = cJSON_CreateObject();
  char full[400];
  (void)snprintf(full, sizeof full, "%.200s::%.150s", i->model != NULL ? i->model : "table", i->id);
  bool ok = add_uri(artifact, m->plan->path);
  ok = qv_json_add(physical, "artifactLocation", artifact) && ok;
  ok = qv_json_add(o, "physicalLocation", physical) && ok;
  ok = qv_json_add_str(name, "fullyQualifiedName", full) && ok;
  ok = qv_json_push(logical, name) && ok;
  ok = qv_json_add(o, "logicalLocations", logical) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static cJSON *sarif_result(const ci_merged *m, uint32_t k) {
  const ci_item *i = &m->plan->item[k];
  const ci_outcome *r = &m->item[k];
  cJSON *o = cJSON_CreateObject(), *places = cJSON_CreateArray(), *prints = cJSON_CreateObject();
  const char *kind = r->verdict == CI_VERIFIED ? "pass" : r->verdict == CI_FALSIFIED ? "fail" : "open";
  char rule[64], full[900];
  (void)snprintf(rule, sizeof rule, "qverify/%s", ci_check_name(i->check));
  (void)snprintf(full, sizeof full, "%s: %s: %s", i->id, ci_verdict_name(r->verdict), r->reason);
  bool ok = qv_json_add_str(o, "ruleId", rule);
  ok = qv_json_add_str(o, "kind", kind) && ok;
  ok = qv_json_add_str(o, "level", r->verdict == CI_FALSIFIED ? "error" : "none") && ok;
  ok = qv_json_add(o, "message", message(full)) && ok;
  ok = qv_json_push(places, location(m, i)) && ok;
  ok = qv_json_add(o, "locations", places) && ok;
  ok = qv_json_add_str(prints, "obligation/v1", i->id) && ok;
  ok = qv_json_add(o, "partialFingerprints", prints) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static cJSON *sarif_driver(void) {
  cJSON *driver = cJSON_CreateObject(), *rules = cJSON_CreateArray();
  bool ok = qv_json_add_str(driver, "name", "qverify");
  ok = qv_json_add_str(driver, "version", qverify_version()) && ok;
  for (unsigned c = 0; c < CI_CHECKS; c++) {
    cJSON *rule = cJSON_CreateObject();
    char id[64], what[100];
    (void)snprintf(id, sizeof id, "qverify/%s", ci_check_name((ci_check)c));
    (void)snprintf(what, sizeof what, "Obligation of kind '%s' (docs/ci.md)", ci_check_name((ci_check)c));
    ok = qv_json_add_str(rule, "id", id) && qv_json_add(rule, "shortDescription", message(what)) && ok;
    ok = qv_json_push(rules, rule) && ok;
  }
  ok = qv_json_add(driver, "rules", rules) && ok;
  if (ok) return driver;
  cJSON_Delete(driver);
  return NULL;
}

qv_status ci_sarif(qv_buf *out, const ci_merged *m, qv_err *err) {
  cJSON *log = cJSON_CreateObject(), *runs = cJSON_CreateArray(), *run = cJSON_CreateObject(), *tool = cJSON_CreateObject(), *results = cJSON_CreateArray(),
        *calls = cJSON_CreateArray(), *call = cJSON_CreateObject();
  bool ok = qv_json_add_str(log, "$schema", "https://json.schemastore.org/sarif-2.1.0.json");
  ok = qv_json_add_str(log, "version", "2.1.0") && ok;
  ok = qv_json_add(tool, "driver", sarif_driver()) && ok;
  ok = qv_json_add(run, "tool", tool) && ok;
  ok = qv_json_add_bool(call, "executionSuccessful", m->error == 0 && m->missing == 0 && m->selected > 0) && ok;
  ok = qv_json_add_num(call, "exitCode", m->exit_code) && ok;
  ok = qv_json_push(calls, call) && ok;
  ok = qv_json_add(run, "invocations", calls) && ok;
  for (uint32_t k = 0; k < m->plan->n_item; k++)
    if (m->plan->item[k].selected) ok = qv_json_push(results, sarif_result(m, k)) && ok;
  ok = qv_json_add(run, "results", results) && ok;
  ok = qv_json_push(runs, run) && ok;
  ok = qv_json_add(log, "runs", runs) && ok;
  qv_status st = ok ? qv_json_print(out, log, true, err) : out_of_memory(err);
  cJSON_Delete(log);
  return st;
}

/* ---- in-toto test-result statement ---------------------------------------------------------------------------------------------------- */

static cJSON *digest_of(const char *name, const char *sha256) {
  cJSON *o = cJSON_CreateObject(), *d = cJSON_CreateObject();
  bool ok = qv_json_add_str(o, "name", name);
  ok = qv_json_add_str(d, "sha256", sha256) && ok;
  ok = qv_json_add(o, "digest", d) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

/* Every file that some report names as an input, once. */
static bool subjects(cJSON *list, const ci_merged *m) {
  bool ok = true;
  for (uint32_t k = 0; k < m->plan->n_job; k++) {
    const cJSON *report = m->doc[k] != NULL ? cJSON_GetObjectItemCaseSensitive(m->doc[k], "report") : NULL, *in;
    const cJSON *inputs = report != NULL ? cJSON_GetObjectItemCaseSensitive(report, "inputs") : NULL;
    cJSON_ArrayForEach(in, inputs) {
      const cJSON *path = cJSON_GetObjectItemCaseSensitive(in, "path"), *hash = cJSON_GetObjectItemCaseSensitive(in, "sha256"), *x;
      bool known = !cJSON_IsString(path) || !cJSON_IsString(hash);
      cJSON_ArrayForEach(x, list) {
        const cJSON *name = cJSON_GetObjectItemCaseSensitive(x, "name");
        known = known || strcmp(name->valuestring, path->valuestring) == 0;
      }
      if (!known) ok = qv_json_push(list, digest_of(path->valuestring, hash->valuestring)) && ok;
    }
  }
  if (ok && cJSON_GetArraySize(list) == 0) ok = qv_json_push(list, digest_of(m->plan->path, m->plan->sha256));
  return ok;
}

qv_status ci_intoto(qv_buf *out, const ci_merged *m, qv_err *err) {
  cJSON *o = cJSON_CreateObject(), *subject = cJSON_CreateArray(), *predicate = cJSON_CreateObject(), *config = cJSON_CreateArray(), *pass = cJSON_CreateArray(),
        *warn = cJSON_CreateArray(), *fail = cJSON_CreateArray();
  bool ok = qv_json_add_str(o, "_type", "https://in-toto.io/Statement/v1");
  ok = subjects(subject, m) && ok;
  ok = qv_json_add(o, "subject", subject) && ok;
  ok = qv_json_add_str(o, "predicateType", "https://in-toto.io/attestation/test-result/v0.1") && ok;
  ok = qv_json_add_str(predicate, "result", m->exit_code == 0 ? "PASSED" : "FAILED") && ok;
  ok = qv_json_push(config, digest_of(m->plan->path, m->plan->sha256)) && ok;
  ok = qv_json_add(predicate, "configuration", config) && ok;
  for (uint32_t k = 0; k < m->plan->n_item; k++)
    if (m->plan->item[k].selected) ok = qv_json_push(m->item[k].verdict == CI_VERIFIED ? pass : fail, cJSON_CreateString(m->plan->item[k].id)) && ok;
  ok = qv_json_add(predicate, "passedTests", pass) && ok;
  ok = qv_json_add(predicate, "warnedTests", warn) && ok;
  ok = qv_json_add(predicate, "failedTests", fail) && ok;
  ok = qv_json_add(o, "predicate", predicate) && ok;
  qv_status st = ok ? qv_json_print(out, o, true, err) : out_of_memory(err);
  cJSON_Delete(o);
  return st;
}

/* ---- terminal ------------------------------------------------------------------------------------------------------------------------- */

void ci_text(qv_buf *out, const ci_merged *m) {
  qv_arena a = {0};
  cli_table t = {0};
  cli_col(&t, "obligation", false);
  cli_col(&t, "check", false);
  cli_col(&t, "verdict", false);
  cli_col(&t, "seconds", true);
  for (uint32_t k = 0; k < m->plan->n_item; k++) {
    if (!m->plan->item[k].selected) continue;
    cli_cell(&t, "%s", cli_safe(&a, m->plan->item[k].id));
    cli_cell(&t, "%s", ci_check_name(m->plan->item[k].check));
    cli_cell(&t, "%s", ci_verdict_name(m->item[k].verdict));
    cli_cell(&t, "%.2f", m->item[k].seconds);
  }
  if (m->selected > 0) cli_table_print(out, &t);
  for (uint32_t k = 0; k < m->plan->n_item; k++) {
    const ci_outcome *o = &m->item[k];
    if (!m->plan->item[k].selected || o->verdict == CI_VERIFIED) continue;
    qv_buf_printf(out, "\n%s: %s\n  why: %s\n", cli_safe(&a, m->plan->item[k].id), ci_verdict_name(o->verdict), cli_safe(&a, o->reason));
    if (o->next != NULL) qv_buf_printf(out, "  next: %s\n", cli_safe(&a, o->next));
  }
  if (m->selected == 0) qv_buf_printf(out, "NOTHING_SELECTED: none of %" PRIu32 " obligations matches\n", m->plan->n_item);
  else
    qv_buf_printf(out, "\n%s: %" PRIu32 " of %" PRIu32 " obligations hold (%" PRIu32 " refuted, %" PRIu32 " open, %" PRIu32 " failed, %" PRIu32 " missing)\n", overall(m), m->verified,
                  m->selected, m->falsified, m->unknown, m->error, m->missing);
  qv_arena_clear(&a);
}
