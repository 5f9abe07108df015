#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/checker.h"
#include "cli/ci_doc.h"

const char *ci_verdict_name(ci_verdict v) {
  switch (v) {
  case CI_VERIFIED: return "VERIFIED";
  case CI_FALSIFIED: return "FALSIFIED";
  case CI_UNKNOWN: return "UNKNOWN";
  case CI_ERROR: return "ERROR";
  case CI_MISSING: return "MISSING";
  }
  return "?";
}

typedef struct {
  ci_merged *m;
  const char *const *dir;
  uint32_t n_dir;
  qv_err *err;
} merger;

static const char *say(merger *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static const char *say(merger *g, const char *fmt, ...) {
  char b[600];
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(b, sizeof b, fmt, ap);
  va_end(ap);
  for (char *p = b; *p != 0; p++)
    if ((unsigned char)*p < 32) *p = ' ';
  const char *s = qv_arena_str(&g->m->arena, b, strlen(b));
  return s != NULL ? s : "out of memory";
}

/* ---- result files ------------------------------------------------------------------------------------------------------------------- */

static qv_status load(merger *g, const char *dir, const ci_job *j, cJSON **doc) {
  char path[4200];
  qv_buf b = {0};
  qv_err quiet = {0};
  *doc = NULL;
  (void)snprintf(path, sizeof path, "%.4000s/%s.json", dir, j->key);
  qv_status st = qv_file_read(&b, path, (size_t)1 << 30, &quiet);
  if (st == QV_E_IO) return QV_OK; /* not there */
  if (st == QV_OK) st = qv_json_parse(doc, (const char *)b.p, b.n, &quiet);
  const char *key = ci_word(*doc, "key"), *format = ci_word(*doc, "format");
  if (st == QV_OK && (key == NULL || format == NULL || strcmp(key, j->key) != 0 || strcmp(format, "qverify-ci-result/1") != 0)) st = QV_E_PARSE;
  qv_buf_free(&b);
  if (st != QV_OK) return QV_FAIL(g->err, QV_E_INTERNAL, "%s: not a result of this job: %s", path, quiet.msg);
  return QV_OK;
}

static const char *inner_verdict(const cJSON *report, const char *id) {
  const cJSON *x;
  cJSON_ArrayForEach(x, ci_get(report, "obligations")) {
    const char *name = ci_word(x, "id");
    if (name != NULL && strcmp(name, id) == 0) return ci_word(x, "verdict");
  }
  return NULL;
}

/* Two results of one job may differ in how far they got, not in what they found. */
static bool contradict(const cJSON *a, const cJSON *b) {
  long p = ci_long(a, "exit", 5), q = ci_long(b, "exit", 5);
  const cJSON *x;
  if (p != q && p != 5 && q != 5) return true;
  cJSON_ArrayForEach(x, ci_get(ci_get(a, "report"), "obligations")) {
    const char *v = ci_word(x, "verdict"), *w = ci_word(x, "id") != NULL ? inner_verdict(ci_get(b, "report"), ci_word(x, "id")) : NULL;
    if (v != NULL && w != NULL && strcmp(v, w) != 0 && strcmp(v, "UNKNOWN") != 0 && strcmp(w, "UNKNOWN") != 0) return true;
  }
  return false;
}

static qv_status collect(merger *g, uint32_t k, const char *const *dir, uint32_t n) {
  cJSON **have = &g->m->doc[k];
  const ci_job *j = &g->m->plan->job[k];
  for (uint32_t d = 0; d < n; d++) {
    cJSON *doc;
    qv_status st = load(g, dir[d], j, &doc);
    if (st != QV_OK) {
      cJSON_Delete(doc);
      return st;
    }
    if (*have == NULL) *have = doc;
    else if (doc != NULL) {
      bool differ = contradict(*have, doc), better = !ci_ended_well(*have) && ci_ended_well(doc);
      cJSON_Delete(better ? *have : doc);
      if (better) *have = doc;
      if (differ) return QV_FAIL(g->err, QV_E_INTERNAL, "two results of a job contradict each other: job %s (obligation %s)", j->key, g->m->plan->item[j->item].id);
    }
  }
  return QV_OK;
}

/* Did a worker take the job's result from the cache? */
static bool from_cache(const merger *g, const ci_job *j) {
  for (uint32_t d = 0; d < g->n_dir; d++) {
    char path[4200];
    (void)snprintf(path, sizeof path, "%.4000s/%s.origin", g->dir[d], j->key);
    if (access(path, F_OK) == 0) return true;
  }
  return false;
}

/* ---- judgement ------------------------------------------------------------------------------------------------------------------------ */

static void set(ci_outcome *o, ci_verdict v, const char *reason, const char *next) {
  o->verdict = v;
  o->reason = reason;
  o->next = next;
}

/* A job that ended without saying what an obligation needs to hear. True if so. */
static bool failed(merger *g, ci_outcome *o, const cJSON *doc) {
  long code = ci_long(doc, "exit", -1);
  const char *e = ci_word(doc, "stderr");
  if (cJSON_IsTrue(ci_get(doc, "timeout"))) set(o, CI_UNKNOWN, say(g, "ended at its time limit"), "raise \"seconds\"");
  else if (code < 0 && ci_long(doc, "signal", 0) == 9) set(o, CI_UNKNOWN, say(g, "ended by the system, probably for want of memory"), "raise \"memory_mb\"");
  else if (code < 0) set(o, CI_ERROR, say(g, "ended by signal %ld", ci_long(doc, "signal", 0)), NULL);
  else if (code != 0 && code != 10 && code != 5)
    set(o, CI_ERROR, say(g, "exit code %ld: %.400s", code, e != NULL && e[0] != 0 ? e : "no message"), code == 127 ? NULL : "qverify explain says more about exit codes");
  else return false;
  return true;
}

/* Verdicts of the inner obligations of a report. */
static void tally(ci_outcome *o, const cJSON *report) {
  const cJSON *x;
  cJSON_ArrayForEach(x, ci_get(report, "obligations")) {
    const char *v = ci_word(x, "verdict");
    if (v == NULL || cJSON_IsTrue(ci_get(x, "informational"))) continue;
    o->verified += strcmp(v, "VERIFIED") == 0;
    o->falsified += strcmp(v, "FALSIFIED") == 0;
    o->unknown += strcmp(v, "UNKNOWN") == 0;
  }
}

static const char *first_reason(const cJSON *report, const char *verdict) {
  const cJSON *x;
  cJSON_ArrayForEach(x, ci_get(report, "obligations")) {
    const char *v = ci_word(x, "verdict");
    if (v != NULL && strcmp(v, verdict) == 0 && ci_word(x, "reason") != NULL) return ci_word(x, "reason");
  }
  return "no reason given";
}

static const char *advice(ci_check c) {
  switch (c) {
  case CI_OVERFLOW: return "qverify overflow MODEL --tight, or a --domain that says which inputs occur";
  case CI_AUDIT: return "qverify audit MODEL --repair FILE";
  case CI_DIFF: return "qverify diff MODEL with --inputs for a longer search";
  case CI_ROBUST: return "a longer \"timeout\", or a smaller \"eps\"; qverify radius finds the largest";
  case CI_RADIUS: return "a longer \"timeout\", or a smaller \"radius\"";
  case CI_ALLOCATION: return "qverify allocate TABLE --explain says which limit has to move";
  case CI_ERROR_BOUND: return "a smaller domain (\"range\", or \"input\" and \"radius\"), or a larger \"within\"";
  case CI_ACCURACY:
  case CI_BASELINE:
  case CI_CHECKS: break;
  }
  return NULL;
}

/* One process whose exit code is the answer; VERIFIED also needs a complete report that says so. */
static void judge_plain(merger *g, const ci_item *i, ci_outcome *o, const cJSON *doc) {
  const cJSON *report = ci_get(doc, "report");
  if (failed(g, o, doc)) return;
  if (i->check == CI_DIFF) {
    long code = ci_long(doc, "exit", -1);
    if (code == 0 && ci_complete(report)) set(o, CI_VERIFIED, "proved: the two profiles give the same outputs for every input", NULL);
    else if (code == 0) set(o, CI_ERROR, "ended well without a complete report", NULL);
    else if (code == 10) set(o, CI_FALSIFIED, "an input was executed on which the outputs of the two profiles differ", NULL);
    else set(o, CI_UNKNOWN, ci_word(report, "reason") != NULL ? say(g, "%.500s", ci_word(report, "reason")) : "no difference found, none excluded", advice(i->check));
    return;
  }
  tally(o, report);
  switch (ci_long(doc, "exit", -1)) {
  case 0:
    if (ci_complete(report)) set(o, CI_VERIFIED, say(g, "%u of %u proved", o->verified, o->verified + o->falsified + o->unknown), NULL);
    else set(o, CI_ERROR, "ended well without a complete report", NULL);
    return;
  case 10: set(o, CI_FALSIFIED, say(g, "%.500s", first_reason(report, "FALSIFIED")), i->check == CI_AUDIT ? advice(i->check) : NULL); return;
  default: set(o, CI_UNKNOWN, say(g, "%.500s", first_reason(report, "UNKNOWN")), advice(i->check));
  }
}

static void judge_allocation(merger *g, ci_outcome *o, const cJSON *doc) {
  if (failed(g, o, doc)) return;
  long code = ci_long(doc, "exit", -1);
  if (code == 0 && !ci_complete(ci_get(doc, "report"))) set(o, CI_ERROR, "ended well without a complete report", NULL);
  else if (code == 0) set(o, CI_VERIFIED, "an allocation within the limits is proved to be the best", NULL);
  else if (code == 10) set(o, CI_FALSIFIED, "proved: no allocation keeps the limits", advice(CI_ALLOCATION));
  else set(o, CI_UNKNOWN, "neither an optimum nor infeasibility is proved", NULL);
}

/* A bound that no second program checks; the text says so. */
static void judge_error(merger *g, ci_outcome *o, const cJSON *doc) {
  const cJSON *report = ci_get(doc, "report");
  const char *bound = ci_word(report, "bound"), *within = ci_word(report, "within"), *seen = ci_word(report, "observed"), *why = ci_word(report, "reason");
  long code = ci_long(doc, "exit", -1);
  if (failed(g, o, doc)) return;
  bool whole = cJSON_IsTrue(ci_get(report, "complete"));
  if (code == 0 && whole && ci_is(report, "verdict", "verified") && bound != NULL && within != NULL)
    set(o, CI_VERIFIED, say(g, "proved: no output is further than %.60s from the float network's, %.60s allowed (no second program checks this)", bound, within), NULL);
  else if (code == 10 && whole && ci_is(report, "verdict", "falsified"))
    set(o, CI_FALSIFIED, say(g, "an input was executed on which an output is at least %.60s from the float network's, %.60s allowed", seen != NULL ? seen : "?", within != NULL ? within : "?"), NULL);
  else if (code == 5 && whole) set(o, CI_UNKNOWN, say(g, "%.300s; proved so far: %.60s", why != NULL ? why : "not proved", bound != NULL ? bound : "no bound"), advice(CI_ERROR_BOUND));
  else set(o, CI_ERROR, "no complete report", NULL);
}

static void judge_accuracy(merger *g, const ci_item *i, ci_outcome *o, const cJSON *doc) {
  const char *out = ci_word(doc, "stdout"), *at = out != NULL ? strstr(out, "accuracy: ") : NULL;
  unsigned long right, all;
  if (failed(g, o, doc)) return;
  if (ci_long(doc, "exit", -1) != 0 || at == NULL || sscanf(at, "accuracy: %lu of %lu", &right, &all) != 2 || all == 0) {
    set(o, CI_ERROR, "no accuracy was counted", NULL);
    return;
  }
  bool enough = (double)right >= i->at_least * (double)all;
  set(o, enough ? CI_VERIFIED : CI_FALSIFIED, say(g, "%lu of %lu right (%.2f %%), %.2f %% asked", right, all, 100.0 * (double)right / (double)all, 100 * i->at_least), NULL);
}

/* Bits that accumulator k of a report needs, and its width; false: there is none. */
static bool accumulator(const cJSON *report, int k, long *needed, long *width, const char **verdict, const char **op) {
  const cJSON *x;
  cJSON_ArrayForEach(x, ci_get(report, "obligations")) {
    const cJSON *a = ci_get(x, "accumulator");
    if (!cJSON_IsObject(a) || k-- > 0) continue;
    *needed = ci_long(a, "bits_needed", 0);
    *width = ci_long(a, "bits", 0);
    *verdict = ci_word(x, "verdict");
    *op = ci_word(x, "op");
    return true;
  }
  return false;
}

/* The new network must not need more bits anywhere, nor lose a verdict. */
static void judge_baseline(merger *g, ci_outcome *o, const cJSON *now, const cJSON *old) {
  long n0, n1, w0, w1;
  const char *v0, *v1, *op0, *op1;
  if (failed(g, o, now) || failed(g, o, old)) return;
  const cJSON *a = ci_get(old, "report"), *b = ci_get(now, "report");
  if (!ci_complete(a) || !ci_complete(b)) {
    set(o, CI_ERROR, "no complete reports to compare", NULL);
    return;
  }
  int k = 0;
  for (;; k++) {
    bool x = accumulator(a, k, &n0, &w0, &v0, &op0), y = accumulator(b, k, &n1, &w1, &v1, &op1);
    if (x != y) {
      set(o, CI_UNKNOWN, say(g, "the networks have different numbers of accumulators (after %d in common)", k), "make a new baseline");
      return;
    }
    if (!x) break;
    if (v0 != NULL && v1 != NULL && strcmp(v0, "VERIFIED") == 0 && strcmp(v1, "VERIFIED") != 0) {
      set(o, CI_FALSIFIED, say(g, "accumulator %d (%.40s): %s, was VERIFIED", k, op1 != NULL ? op1 : "?", v1), NULL);
      return;
    }
    if ((w0 > 0 || w1 > 0) && w1 - n1 < w0 - n0) { /* (an exact sum has no width) */
      set(o, CI_FALSIFIED, say(g, "accumulator %d (%.40s): %ld bits of headroom left, were %ld", k, op1 != NULL ? op1 : "?", w1 - n1, w0 - n0), NULL);
      return;
    }
  }
  set(o, CI_VERIFIED, say(g, "%d accumulators, none with less headroom than before", k), NULL);
}

/* ---- robustness: the verdicts of queries, whole, alone or in parts -------------------------------------------------------------------------- */

typedef struct {
  merger *g;
  const ci_item *i;
  ci_outcome *o;
  const char *bad, *open, *crash; /* the first reasons */
  const char *next;               /* what to try */
} queries;

/* What happened to a refuted query: "sample 7, class 1 becomes 2". */
static const char *refutation(merger *g, const cJSON *x) {
  const char *id = ci_word(x, "id"), *cls = ci_word(x, "class"), *now = ci_word(ci_get(x, "cex"), "class"), *slash = id != NULL ? strchr(id, '/') : NULL;
  if (slash == NULL) return "an input was executed that violates it";
  if (cls == NULL || now == NULL) return say(g, "sample %.80s, an input was executed that violates it", slash + 1);
  return say(g, "sample %.80s, class %.20s becomes %.20s", slash + 1, cls, now);
}

static void count(queries *q, const char *verdict, const char *why) {
  if (verdict == NULL) return;
  bool v = strcmp(verdict, "VERIFIED") == 0, f = strcmp(verdict, "FALSIFIED") == 0;
  q->o->verified += v;
  q->o->falsified += f;
  q->o->unknown += !v && !f;
  if (f && q->bad == NULL) q->bad = why != NULL ? why : "no reason given";
  if (!v && !f && q->open == NULL) q->open = why != NULL ? why : "no reason given";
}

/* How many queries a job asks, as far as its arguments tell. */
static uint32_t asked(const ci_job *j) {
  int64_t lo, hi;
  uint32_t at;
  return ci_range(j, &lo, &hi, &at) ? (uint32_t)(hi - lo + 1) : 1;
}

/* A job without an answer: why, in *why; true if it crashed. */
static bool no_answer(queries *q, const cJSON *doc, const char **why) {
  ci_outcome o = {0};
  if (!failed(q->g, &o, doc)) set(&o, CI_UNKNOWN, "ended for want of memory or without a complete report", "raise \"memory_mb\"");
  *why = o.reason;
  if (q->next == NULL) q->next = o.next;
  return o.verdict == CI_ERROR;
}

static bool answered(const cJSON *doc) { return ci_ended_well(doc) && ci_complete(ci_get(doc, "report")); }

static void judge_batch(queries *q, const ci_job *j, const cJSON *doc) {
  const cJSON *report = ci_get(doc, "report"), *x;
  const char *why;
  bool alone = cJSON_IsTrue(ci_get(doc, "one_by_one"));
  if (!answered(doc)) {
    bool crash = no_answer(q, doc, &why);
    if (crash && q->crash == NULL) q->crash = why;
    for (uint32_t n = asked(j); !crash && !alone && n > 0; n--) count(q, "UNKNOWN", why);
    if (!alone) return;
  }
  cJSON_ArrayForEach(x, ci_get(report, "obligations")) {
    const char *reason = ci_word(x, "reason");
    count(q, ci_word(x, "verdict"), reason == NULL && ci_is(x, "verdict", "FALSIFIED") ? refutation(q->g, x) : reason);
  }
}

/* The obligation's name in front of "-part-". */
static size_t base_of(const char *id) {
  const char *at = strstr(id, "-part-");
  return at != NULL ? (size_t)(at - id) : strlen(id);
}

static const cJSON *part_of(const cJSON *doc, const char *id, size_t n) {
  const cJSON *x;
  if (!answered(doc)) return NULL;
  cJSON_ArrayForEach(x, ci_get(ci_get(doc, "report"), "obligations")) {
    const char *s = ci_word(x, "id");
    if (s != NULL && base_of(s) == n && strncmp(s, id, n) == 0) return x;
  }
  return NULL;
}

/* DIR/KEY.evidence/NAME.ext of a job, in the folder that has it. */
static const char *evidence(merger *g, const ci_job *j, const char *name, size_t n, const char *ext) {
  for (uint32_t d = 0; d < g->n_dir; d++) {
    const char *path = qv_arena_printf(&g->m->arena, "%s/%s.evidence/%.*s%s", g->dir[d], j->key, (int)n, name, ext);
    if (path == NULL) return NULL;
    if (access(path, R_OK) == 0) return path;
  }
  return NULL;
}

static uint32_t parts_in(const char *cover) {
  qv_buf b = {0};
  uint32_t n = 0;
  if (qv_file_read(&b, cover, (size_t)1 << 28, NULL) == QV_OK)
    for (const char *s = (const char *)b.p; (s = strstr(s, "\npart\n")) != NULL; s += 5) n++;
  qv_buf_free(&b);
  return n;
}

const char *const *ci_cover(ci_merged *m, uint32_t first, uint32_t of, const char *id, const char *const *dir, uint32_t n_dir) {
  merger g = {m, dir, n_dir, NULL};
  const ci_job *j = &m->plan->job[first];
  size_t n = base_of(id) - strlen("robust/");
  const char *name = id + strlen("robust/");
  const char **v = QV_NEW(&m->arena, 2 * (size_t)of + 6, const char *);
  if (v == NULL) return NULL;
  v[0] = "cover";
  v[1] = evidence(&g, j, "net", 3, ".qir");
  v[2] = evidence(&g, j, name, n, "-whole.qvp");
  v[3] = evidence(&g, j, name, n, ".cover");
  uint32_t parts = v[3] != NULL ? parts_in(v[3]) : 0;
  bool have = v[1] != NULL && v[2] != NULL && parts > 0 && parts <= of;
  for (uint32_t k = 0; have && k < parts; k++) {
    char part[64];
    (void)snprintf(part, sizeof part, "-part-%u-%u", k + 1, of);
    const char *full = qv_arena_printf(&m->arena, "%.*s%s", (int)n, name, part);
    if (full == NULL) return NULL;
    v[4 + 2 * k] = evidence(&g, &j[k], full, strlen(full), ".qvp");
    v[5 + 2 * k] = evidence(&g, &j[k], full, strlen(full), ".qvc");
    have = v[4 + 2 * k] != NULL && v[5 + 2 * k] != NULL;
  }
  return have ? v : NULL;
}

/* All parts are proved: does the checker accept that they cover the whole, and each of them? */
static bool covered(queries *q, uint32_t first, uint32_t of, const char *id, const char **why) {
  const char *const *v = ci_cover(q->g->m, first, of, id, q->g->dir, q->g->n_dir);
  qv_buf text = {0};
  qv_err err = {0};
  int code = -1;
  bool good = v != NULL && cli_run_checker_on(&code, &text, v, q->g->m->plan->job[first].seconds * of, &err) == QV_OK &&
              cli_checker_said(&text, code, "c verdict verified\ns CHECKED\n");
  if (!good) *why = v == NULL ? "every part is proved, but not all of the evidence is here" : say(q->g, "every part is proved, but qverify-check does not accept the cover (exit %d) %s", code, err.msg);
  qv_buf_free(&text);
  return good;
}

/* One query of `of` jobs, one for each part of its box. */
static void judge_parts(queries *q, uint32_t first, uint32_t of) {
  const ci_merged *m = q->g->m;
  const cJSON *x, *list = NULL;
  const char *why = NULL;
  for (uint32_t k = 0; k < of; k++) {
    const cJSON *doc = m->doc[first + k];
    if (answered(doc) && list == NULL) list = ci_get(ci_get(doc, "report"), "obligations");
    if (!answered(doc) && no_answer(q, doc, &why) && q->crash == NULL) q->crash = why;
  }
  if (list == NULL) count(q, "UNKNOWN", why);
  cJSON_ArrayForEach(x, list) { /* more than one where a patch has several places */
    const char *id = ci_word(x, "id"), *reason = why;
    uint32_t verified = 0;
    bool falsified = false;
    const char *broken = NULL;
    if (id == NULL || strncmp(id, "robust/", 7) != 0) continue;
    size_t n = base_of(id);
    for (uint32_t k = 0; k < of; k++) {
      const cJSON *p = part_of(m->doc[first + k], id, n);
      verified += ci_is(p, "verdict", "VERIFIED");
      if (ci_is(p, "verdict", "FALSIFIED")) falsified = true, broken = refutation(q->g, p);
      else if (p != NULL && !ci_is(p, "verdict", "VERIFIED") && reason == NULL) reason = say(q->g, "part %u of %u: %.200s", k + 1, of, ci_word(p, "reason") != NULL ? ci_word(p, "reason") : "open");
    }
    bool proved = !falsified && verified == of && covered(q, first, of, id, &reason);
    count(q, falsified ? "FALSIFIED" : proved ? "VERIFIED" : "UNKNOWN", falsified ? broken : reason);
    cJSON *o = cJSON_CreateObject();
    bool ok = qv_json_add(o, "id", cJSON_CreateString(say(q->g, "%.*s", (int)n, id)));
    ok = qv_json_add_str(o, "verdict", falsified ? "FALSIFIED" : proved ? "VERIFIED" : "UNKNOWN") && ok;
    ok = qv_json_add_str(o, "reason", falsified || proved ? NULL : reason) && ok;
    ok = qv_json_add_int(o, "parts", of) && ok;
    ok = qv_json_add_int(o, "parts_verified", verified) && ok;
    if (q->o->queries == NULL) q->o->queries = cJSON_CreateArray();
    if (!qv_json_push(q->o->queries, o) || !ok) q->crash = "out of memory";
  }
}

static void judge_robust(merger *g, const ci_item *i, ci_outcome *o) {
  queries q = {.g = g, .i = i, .o = o};
  const ci_job *j = &g->m->plan->job[o->first_job];
  const uint32_t n = o->n_jobs - o->n_old;
  uint32_t part, of;
  for (uint32_t k = 0; k < n;) {
    bool parts = ci_part(&j[k], &part, &of);
    if (!parts) judge_batch(&q, &j[k], g->m->doc[o->first_job + k]);
    else if (part != 1 || of > n - k) q.crash = "parts of a query are missing in the plan";
    else judge_parts(&q, o->first_job + k, of);
    k += parts && part == 1 && of <= n - k ? of : 1;
  }
  uint32_t all = o->verified + o->falsified + o->unknown;
  double least = i->has_at_least ? i->at_least : 1;
  const char *count_text = say(g, "%u of %u verified, %u falsified, %u open%s%.300s", o->verified, all, o->falsified, o->unknown,
                               q.bad != NULL ? "; first: " : q.open != NULL ? "; first open: " : "", q.bad != NULL ? q.bad : q.open != NULL ? q.open : "");
  if (q.crash != NULL) set(o, CI_ERROR, all > 0 ? say(g, "%.300s (%u verified, %u falsified, %u open)", q.crash, o->verified, o->falsified, o->unknown) : q.crash, NULL);
  else if (all == 0) set(o, CI_UNKNOWN, "no queries", NULL);
  else if ((double)o->verified >= least * (double)all) set(o, CI_VERIFIED, count_text, NULL);
  else if ((double)(o->verified + o->unknown) < least * (double)all) set(o, CI_FALSIFIED, count_text, NULL);
  else set(o, CI_UNKNOWN, count_text, q.next != NULL ? q.next : advice(i->check));
}

/* ---- against an older network ----------------------------------------------------------------------------------------------------- */

typedef struct {
  queries q; /* of the old network: only for what ended without an answer */
  uint32_t compared, lost, open;
  const char *first_lost, *first_open;
  cJSON *list; /* what is lost or open */
} comparison;

/* Largest distance at which a question is VERIFIED, and smallest at which it is FALSIFIED; a question about a single distance has distance 0.
 * -1: none. */
static long proved_at(const cJSON *x) {
  const cJSON *radius = ci_get(x, "radius");
  return cJSON_IsObject(radius) ? ci_long(radius, "proved", -1) : ci_is(x, "verdict", "VERIFIED") ? 0 : -1;
}
static long refuted_at(const cJSON *x) {
  const cJSON *radius = ci_get(x, "radius");
  return cJSON_IsObject(radius) ? ci_long(radius, "refuted", -1) : ci_is(x, "verdict", "FALSIFIED") ? 0 : -1;
}

/* What the new network's answer x (NULL: none) has lost of what was certified of the old one's; NULL: nothing. *refuted: an executed input lies
 * within what was certified; else it is only not proved any more. */
static const char *loss(merger *g, const cJSON *old, const cJSON *x, bool *refuted) {
  const char *c0 = ci_word(old, "class"), *c1 = ci_word(x, "class"), *id = ci_word(old, "id"), *slash = id != NULL ? strchr(id, '/') : NULL;
  const char *name = slash != NULL ? slash + 1 : "?";
  const long was = proved_at(old), now = proved_at(x), bad = refuted_at(x);
  const bool moved = c0 != NULL && c1 != NULL && strcmp(c0, c1) != 0; /* (without labels each network's own class is asked about) */
  *refuted = moved || (bad >= 0 && bad <= was);
  if (was < 0 || (now >= was && !*refuted)) return NULL;
  if (x == NULL) return say(g, "sample %.80s: no answer, certified on the baseline", name);
  if (moved) return say(g, "sample %.80s: class %.20s, certified as class %.20s on the baseline", name, c1, c0);
  if (!cJSON_IsObject(ci_get(old, "radius"))) return say(g, "sample %.80s: %.20s, VERIFIED on the baseline", name, ci_word(x, "verdict") != NULL ? ci_word(x, "verdict") : "no answer");
  const char *kept = now >= 0 ? say(g, "certified up to %ld", now) : "nothing certified";
  return bad >= 0 ? say(g, "sample %.80s: %s, up to %ld on the baseline; refuted at %ld", name, kept, was, bad) : say(g, "sample %.80s: %s, up to %ld on the baseline", name, kept, was);
}

static void compare_one(comparison *c, const cJSON *old, const cJSON *x) {
  bool refuted;
  const char *why = loss(c->q.g, old, x, &refuted);
  c->compared++;
  if (why == NULL) return;
  c->lost += refuted;
  c->open += !refuted;
  if (refuted && c->first_lost == NULL) c->first_lost = why;
  if (!refuted && c->first_open == NULL) c->first_open = why;
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add_str(o, "id", ci_word(old, "id"));
  ok = qv_json_add_str(o, "verdict", refuted ? "FALSIFIED" : "UNKNOWN") && ok;
  ok = qv_json_add_str(o, "reason", why) && ok;
  if (!qv_json_push(c->list, o) || !ok) c->q.crash = "out of memory";
}

/* Jobs that asked the same questions: every answer of the old network's needs one of the new's. */
static void compare_jobs(comparison *c, const cJSON *old, const cJSON *now) {
  const cJSON *x;
  const char *why;
  if (!answered(old)) {
    bool crash = no_answer(&c->q, old, &why);
    if (crash && c->q.crash == NULL) c->q.crash = why;
    if (!crash && c->q.open == NULL) c->q.open = why;
    return;
  }
  cJSON_ArrayForEach(x, ci_get(ci_get(old, "report"), "obligations")) {
    const char *id = ci_word(x, "id");
    const cJSON *same = NULL, *y, *list = answered(now) ? ci_get(ci_get(now, "report"), "obligations") : NULL;
    if (id == NULL || ci_word(x, "verdict") == NULL) {
      c->q.crash = "its report has answers without a name or a verdict";
      return;
    }
    cJSON_ArrayForEach(y, list) if (ci_is(y, "id", id)) same = y;
    compare_one(c, x, same);
  }
}

static const char unpaired[] = "the plan does not ask the baseline what it asks the model";

/* The parts of the plan in their order: the new network's jobs, then as many of the old one's? */
static bool paired(const merger *g, const ci_outcome *o) {
  const uint32_t n = o->n_jobs - o->n_old;
  bool good = o->n_old == n;
  for (uint32_t k = 0; k < o->n_jobs; k++) good = good && ci_old(&g->m->plan->job[o->first_job + k]) == (k >= n);
  return good;
}

static void judge_against_old(merger *g, ci_outcome *o) {
  comparison c = {.q = {.g = g, .o = o}, .list = cJSON_CreateArray()};
  const uint32_t n = o->n_jobs - o->n_old;
  for (uint32_t k = 0; k < n; k++) compare_jobs(&c, g->m->doc[o->first_job + n + k], g->m->doc[o->first_job + k]);
  cJSON *b = cJSON_CreateObject();
  bool ok = qv_json_add_int(b, "compared", c.compared);
  ok = qv_json_add_int(b, "lost", c.lost) && ok;
  ok = qv_json_add_int(b, "open", c.open) && ok;
  ok = qv_json_add(b, "losses", c.list) && ok;
  o->baseline = b;
  if (!ok) c.q.crash = "out of memory";
  const char *first = c.first_lost != NULL ? c.first_lost : c.first_open, *told = o->reason;
  const char *text = say(g, "%.300s; against the baseline: %u of %u lost, %u open%s%.160s", told, c.lost, c.compared, c.open, first != NULL ? ", first: " : "", first != NULL ? first : "");
  if (o->verdict == CI_ERROR) return;
  if (o->verdict == CI_FALSIFIED || c.lost > 0) set(o, CI_FALSIFIED, text, o->next);
  else if (c.q.crash != NULL) set(o, CI_ERROR, say(g, "the baseline: %.400s", c.q.crash), NULL);
  else if (c.q.open != NULL || c.compared == 0) set(o, CI_UNKNOWN, say(g, "%.300s; no answers of the baseline to compare with: %.200s", told, c.q.open != NULL ? c.q.open : "no questions"), c.q.next);
  else if (c.open > 0) set(o, CI_UNKNOWN, text, "a longer \"timeout\", or more \"steps\"");
  else set(o, o->verdict, say(g, "%.400s; nothing lost against the baseline (%u compared)", told, c.compared), o->next);
}

/* Accumulators against an older network: what kind `baseline` asks, beside what the obligation itself asks. */
static void judge_accumulators(merger *g, const ci_item *i, ci_outcome *o, const cJSON *now, const cJSON *old) {
  ci_outcome b = {0};
  judge_plain(g, i, o, now);
  if (o->n_old == 0 || o->verdict == CI_ERROR) return;
  if (!paired(g, o)) {
    set(o, CI_ERROR, unpaired, NULL);
    return;
  }
  judge_baseline(g, &b, now, old);
  const char *text = say(g, "%.300s; against the baseline: %.250s", o->reason, b.reason);
  if (o->verdict == CI_FALSIFIED || b.verdict == CI_FALSIFIED) set(o, CI_FALSIFIED, text, o->next);
  else if (b.verdict == CI_ERROR) set(o, CI_ERROR, text, b.next);
  else set(o, o->verdict == CI_VERIFIED ? b.verdict : o->verdict, text, o->next != NULL ? o->next : b.next);
}

static void judge_samples(merger *g, const ci_item *i, ci_outcome *o) {
  if (o->n_old > 0 && !paired(g, o)) {
    set(o, CI_ERROR, unpaired, NULL);
    return;
  }
  judge_robust(g, i, o);
  if (o->n_old > 0) judge_against_old(g, o);
}

static void judge(merger *g, uint32_t k) {
  ci_merged *m = g->m;
  const ci_item *i = &m->plan->item[k];
  ci_outcome *o = &m->item[k];
  for (uint32_t j = 0; j < o->n_jobs; j++) {
    const cJSON *doc = m->doc[o->first_job + j];
    const char *s = ci_word(doc, "seconds");
    if (doc == NULL) {
      set(o, CI_MISSING, say(g, "no result for part \"%s\"", m->plan->job[o->first_job + j].part), "run the missing shard: qverify work");
      return;
    }
    o->seconds += s != NULL ? strtod(s, NULL) : 0;
    uint64_t rss = (uint64_t)ci_long(doc, "max_rss_kb", 0);
    if (rss > o->max_rss_kb) o->max_rss_kb = rss;
  }
  const cJSON *doc = m->doc[o->first_job];
  switch (i->check) {
  case CI_OVERFLOW:
  case CI_AUDIT: judge_accumulators(g, i, o, doc, o->n_jobs > 1 ? m->doc[o->first_job + 1] : NULL); break;
  case CI_DIFF: judge_plain(g, i, o, doc); break;
  case CI_ROBUST:
  case CI_RADIUS: judge_samples(g, i, o); break;
  case CI_ACCURACY: judge_accuracy(g, i, o, doc); break;
  case CI_ALLOCATION: judge_allocation(g, o, doc); break;
  case CI_ERROR_BOUND: judge_error(g, o, doc); break;
  case CI_BASELINE: judge_baseline(g, o, doc, m->doc[o->first_job + 1]); break;
  case CI_CHECKS: break;
  }
}

/* The one place where outcomes become an exit code. */
static void conclude(ci_merged *m) {
  m->state = m->selected == 0 ? "NOTHING_SELECTED" : m->missing > 0 ? "INCOMPLETE" : "COMPLETE";
  if (m->falsified > 0) m->exit_code = 10;
  else if (m->error > 0) m->exit_code = 6;
  else if (m->selected > 0 && m->verified == m->selected) m->exit_code = 0;
  else m->exit_code = 5;
}

qv_status ci_merge(ci_merged *m, const ci_plan *p, const char *const *dir, uint32_t n, qv_err *err) {
  merger g = {m, dir, n, err};
  *m = (ci_merged){.plan = p};
  m->item = QV_NEW(&m->arena, (size_t)p->n_item + 1, ci_outcome);
  m->doc = QV_NEW(&m->arena, (size_t)p->n_job + 1, cJSON *);
  if (m->item == NULL || m->doc == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  for (uint32_t k = 0; k < p->n_job; k++) {
    ci_outcome *o = &m->item[p->job[k].item];
    if (o->n_jobs++ == 0) o->first_job = k;
    const ci_check check = p->item[p->job[k].item].check;
    o->n_old += check != CI_BASELINE && ci_old(&p->job[k]); /* (of that kind both jobs are its question) */
    qv_status st = collect(&g, k, dir, n);
    if (st != QV_OK) return st;
    o->cached += from_cache(&g, &p->job[k]);
  }
  for (uint32_t k = 0; k < p->n_item; k++) {
    ci_outcome *o = &m->item[k];
    if (!p->item[k].selected || o->n_jobs == 0) continue;
    o->report = QV_NEW(&m->arena, o->n_jobs, const cJSON *);
    if (o->report == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
    for (uint32_t j = 0; j < o->n_jobs; j++) {
      const cJSON *r = ci_get(m->doc[o->first_job + j], "report");
      o->report[j] = cJSON_IsObject(r) ? r : NULL;
    }
    judge(&g, k);
    m->selected++;
    m->verified += o->verdict == CI_VERIFIED;
    m->falsified += o->verdict == CI_FALSIFIED;
    m->unknown += o->verdict == CI_UNKNOWN;
    m->error += o->verdict == CI_ERROR;
    m->missing += o->verdict == CI_MISSING;
  }
  conclude(m);
  return QV_OK;
}

void ci_merged_clear(ci_merged *m) {
  for (uint32_t k = 0; m->doc != NULL && k < m->plan->n_job; k++) cJSON_Delete(m->doc[k]);
  for (uint32_t k = 0; m->item != NULL && k < m->plan->n_item; k++) {
    cJSON_Delete(m->item[k].queries);
    cJSON_Delete(m->item[k].baseline);
  }
  qv_arena_clear(&m->arena);
  *m = (ci_merged){0};
}
