#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ci.h"

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
  qv_err *err;
} merger;

static const cJSON *get(const cJSON *o, const char *key) { return o != NULL ? cJSON_GetObjectItemCaseSensitive(o, key) : NULL; }
static const char *text(const cJSON *o, const char *key) {
  const cJSON *m = get(o, key);
  return m != NULL && m->valuestring != NULL ? m->valuestring : NULL;
}
static long number(const cJSON *o, const char *key, long absent) {
  const char *s = text(o, key);
  return s != NULL ? strtol(s, NULL, 10) : absent;
}

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
  const char *key = text(*doc, "key"), *format = text(*doc, "format");
  if (st == QV_OK && (key == NULL || format == NULL || strcmp(key, j->key) != 0 || strcmp(format, "qverify-ci-result/1") != 0)) st = QV_E_PARSE;
  qv_buf_free(&b);
  if (st != QV_OK) return QV_FAIL(g->err, QV_E_INTERNAL, "%s: not a result of this job: %s", path, quiet.msg);
  return QV_OK;
}

static const char *inner_verdict(const cJSON *report, const char *id) {
  const cJSON *x;
  cJSON_ArrayForEach(x, get(report, "obligations")) {
    const char *name = text(x, "id");
    if (name != NULL && strcmp(name, id) == 0) return text(x, "verdict");
  }
  return NULL;
}

/* Two results of one job may differ in how far they got, not in what they found. */
static bool contradict(const cJSON *a, const cJSON *b) {
  long p = number(a, "exit", 5), q = number(b, "exit", 5);
  const cJSON *x;
  if (p != q && p != 5 && q != 5) return true;
  cJSON_ArrayForEach(x, get(get(a, "report"), "obligations")) {
    const char *v = text(x, "verdict"), *w = text(x, "id") != NULL ? inner_verdict(get(b, "report"), text(x, "id")) : NULL;
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
      bool differ = contradict(*have, doc);
      cJSON_Delete(doc);
      if (differ) return QV_FAIL(g->err, QV_E_INTERNAL, "two results of a job contradict each other: job %s (obligation %s)", j->key, g->m->plan->item[j->item].id);
    }
  }
  return QV_OK;
}

/* ---- judgement ------------------------------------------------------------------------------------------------------------------------ */

static void set(ci_outcome *o, ci_verdict v, const char *reason, const char *next) {
  o->verdict = v;
  o->reason = reason;
  o->next = next;
}

/* A job that ended without saying what an obligation needs to hear. True if so. */
static bool failed(merger *g, ci_outcome *o, const cJSON *doc) {
  long code = number(doc, "exit", -1);
  const char *e = text(doc, "stderr");
  if (cJSON_IsTrue(get(doc, "timeout"))) set(o, CI_UNKNOWN, say(g, "ended at its time limit"), "raise \"seconds\"");
  else if (code < 0 && number(doc, "signal", 0) == 9) set(o, CI_UNKNOWN, say(g, "ended by the system, probably for want of memory"), "raise \"memory_mb\"");
  else if (code < 0) set(o, CI_ERROR, say(g, "ended by signal %ld", number(doc, "signal", 0)), NULL);
  else if (code != 0 && code != 10 && code != 5)
    set(o, CI_ERROR, say(g, "exit code %ld: %.400s", code, e != NULL && e[0] != 0 ? e : "no message"), code == 127 ? NULL : "qverify explain says more about exit codes");
  else return false;
  return true;
}

/* Verdicts of the inner obligations of a report. */
static void tally(ci_outcome *o, const cJSON *report) {
  const cJSON *x;
  cJSON_ArrayForEach(x, get(report, "obligations")) {
    const char *v = text(x, "verdict");
    if (v == NULL || cJSON_IsTrue(get(x, "informational"))) continue;
    o->verified += strcmp(v, "VERIFIED") == 0;
    o->falsified += strcmp(v, "FALSIFIED") == 0;
    o->unknown += strcmp(v, "UNKNOWN") == 0;
  }
}

static const char *first_reason(const cJSON *report, const char *verdict) {
  const cJSON *x;
  cJSON_ArrayForEach(x, get(report, "obligations")) {
    const char *v = text(x, "verdict");
    if (v != NULL && strcmp(v, verdict) == 0 && text(x, "reason") != NULL) return text(x, "reason");
  }
  return "no reason given";
}

static bool complete(const cJSON *report) {
  const char *s = text(report, "run_state");
  return s != NULL && strcmp(s, "COMPLETE") == 0;
}

static const char *advice(ci_check c) {
  switch (c) {
  case CI_OVERFLOW: return "qverify overflow MODEL --tight, or a --domain that says which inputs occur";
  case CI_AUDIT: return "qverify audit MODEL --repair FILE";
  case CI_DIFF: return "qverify diff MODEL with --inputs for a longer search";
  case CI_ROBUST: return "a longer \"timeout\", or a smaller \"eps\"; qverify radius finds the largest";
  case CI_RADIUS: return "a longer \"timeout\", or a smaller \"radius\"";
  case CI_ALLOCATION: return "qverify allocate TABLE --explain says which limit has to move";
  case CI_ACCURACY:
  case CI_BASELINE:
  case CI_CHECKS: break;
  }
  return NULL;
}

/* One process whose exit code is the answer; VERIFIED also needs a complete report that says so. */
static void judge_plain(merger *g, const ci_item *i, ci_outcome *o, const cJSON *doc) {
  const cJSON *report = get(doc, "report");
  if (failed(g, o, doc)) return;
  if (i->check == CI_DIFF) {
    long code = number(doc, "exit", -1);
    if (code == 0 && complete(report)) set(o, CI_VERIFIED, "proved: the two profiles give the same outputs for every input", NULL);
    else if (code == 0) set(o, CI_ERROR, "ended well without a complete report", NULL);
    else if (code == 10) set(o, CI_FALSIFIED, "an input was executed on which the outputs of the two profiles differ", NULL);
    else set(o, CI_UNKNOWN, text(report, "reason") != NULL ? say(g, "%.500s", text(report, "reason")) : "no difference found, none excluded", advice(i->check));
    return;
  }
  tally(o, report);
  switch (number(doc, "exit", -1)) {
  case 0:
    if (complete(report)) set(o, CI_VERIFIED, say(g, "%u of %u proved", o->verified, o->verified + o->falsified + o->unknown), NULL);
    else set(o, CI_ERROR, "ended well without a complete report", NULL);
    return;
  case 10: set(o, CI_FALSIFIED, say(g, "%.500s", first_reason(report, "FALSIFIED")), i->check == CI_AUDIT ? advice(i->check) : NULL); return;
  default: set(o, CI_UNKNOWN, say(g, "%.500s", first_reason(report, "UNKNOWN")), advice(i->check));
  }
}

static void judge_allocation(merger *g, ci_outcome *o, const cJSON *doc) {
  if (failed(g, o, doc)) return;
  long code = number(doc, "exit", -1);
  if (code == 0 && !complete(get(doc, "report"))) set(o, CI_ERROR, "ended well without a complete report", NULL);
  else if (code == 0) set(o, CI_VERIFIED, "an allocation within the limits is proved to be the best", NULL);
  else if (code == 10) set(o, CI_FALSIFIED, "proved: no allocation keeps the limits", advice(CI_ALLOCATION));
  else set(o, CI_UNKNOWN, "neither an optimum nor infeasibility is proved", NULL);
}

static void judge_accuracy(merger *g, const ci_item *i, ci_outcome *o, const cJSON *doc) {
  const char *out = text(doc, "stdout"), *at = out != NULL ? strstr(out, "accuracy: ") : NULL;
  unsigned long right, all;
  if (failed(g, o, doc)) return;
  if (number(doc, "exit", -1) != 0 || at == NULL || sscanf(at, "accuracy: %lu of %lu", &right, &all) != 2 || all == 0) {
    set(o, CI_ERROR, "no accuracy was counted", NULL);
    return;
  }
  bool enough = (double)right >= i->at_least * (double)all;
  set(o, enough ? CI_VERIFIED : CI_FALSIFIED, say(g, "%lu of %lu right (%.2f %%), %.2f %% asked", right, all, 100.0 * (double)right / (double)all, 100 * i->at_least), NULL);
}

/* Bits that accumulator k of a report needs, and its width; false: there is none. */
static bool accumulator(const cJSON *report, int k, long *needed, long *width, const char **verdict, const char **op) {
  const cJSON *x;
  cJSON_ArrayForEach(x, get(report, "obligations")) {
    const cJSON *a = get(x, "accumulator");
    if (!cJSON_IsObject(a) || k-- > 0) continue;
    *needed = number(a, "bits_needed", 0);
    *width = number(a, "bits", 0);
    *verdict = text(x, "verdict");
    *op = text(x, "op");
    return true;
  }
  return false;
}

/* The new network must not need more bits anywhere, nor lose a verdict. */
static void judge_baseline(merger *g, ci_outcome *o, const cJSON *now, const cJSON *old) {
  long n0, n1, w0, w1;
  const char *v0, *v1, *op0, *op1;
  if (failed(g, o, now) || failed(g, o, old)) return;
  const cJSON *a = get(old, "report"), *b = get(now, "report");
  if (!complete(a) || !complete(b)) {
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
    if (w1 - n1 < w0 - n0) {
      set(o, CI_FALSIFIED, say(g, "accumulator %d (%.40s): %ld bits of headroom left, were %ld", k, op1 != NULL ? op1 : "?", w1 - n1, w0 - n0), NULL);
      return;
    }
  }
  set(o, CI_VERIFIED, say(g, "%d accumulators, none with less headroom than before", k), NULL);
}

static void judge_robust(merger *g, const ci_item *i, ci_outcome *o) {
  const ci_merged *m = g->m;
  const char *bad = NULL, *open = NULL;
  for (uint32_t k = 0; k < o->n_jobs; k++) {
    const cJSON *doc = m->doc[o->first_job + k], *report = get(doc, "report");
    if (failed(g, o, doc)) return;
    if (!complete(report)) {
      set(o, CI_ERROR, "a part without a complete report", NULL);
      return;
    }
    uint32_t f = o->falsified, u = o->unknown;
    tally(o, report);
    if (o->falsified > f && bad == NULL) bad = first_reason(report, "FALSIFIED");
    if (o->unknown > u && open == NULL) open = first_reason(report, "UNKNOWN");
  }
  uint32_t all = o->verified + o->falsified + o->unknown;
  double least = i->has_at_least ? i->at_least : 1;
  const char *count = say(g, "%u of %u verified, %u falsified, %u open%s%.300s", o->verified, all, o->falsified, o->unknown,
                          bad != NULL ? "; first: " : open != NULL ? "; first open: " : "", bad != NULL ? bad : open != NULL ? open : "");
  if (all == 0) set(o, CI_UNKNOWN, "no queries", NULL);
  else if ((double)o->verified >= least * (double)all) set(o, CI_VERIFIED, count, NULL);
  else if ((double)(o->verified + o->unknown) < least * (double)all) set(o, CI_FALSIFIED, count, NULL);
  else set(o, CI_UNKNOWN, count, advice(i->check));
}

static void judge(merger *g, uint32_t k) {
  ci_merged *m = g->m;
  const ci_item *i = &m->plan->item[k];
  ci_outcome *o = &m->item[k];
  for (uint32_t j = 0; j < o->n_jobs; j++) {
    const cJSON *doc = m->doc[o->first_job + j];
    const char *s = text(doc, "seconds");
    if (doc == NULL) {
      set(o, CI_MISSING, say(g, "no result for part \"%s\"", m->plan->job[o->first_job + j].part), "run the missing shard: qverify work");
      return;
    }
    o->seconds += s != NULL ? strtod(s, NULL) : 0;
    uint64_t rss = (uint64_t)number(doc, "max_rss_kb", 0);
    if (rss > o->max_rss_kb) o->max_rss_kb = rss;
  }
  const cJSON *doc = m->doc[o->first_job];
  switch (i->check) {
  case CI_OVERFLOW:
  case CI_AUDIT:
  case CI_DIFF: judge_plain(g, i, o, doc); break;
  case CI_ROBUST:
  case CI_RADIUS: judge_robust(g, i, o); break;
  case CI_ACCURACY: judge_accuracy(g, i, o, doc); break;
  case CI_ALLOCATION: judge_allocation(g, o, doc); break;
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
  merger g = {m, err};
  *m = (ci_merged){.plan = p};
  m->item = QV_NEW(&m->arena, (size_t)p->n_item + 1, ci_outcome);
  m->doc = QV_NEW(&m->arena, (size_t)p->n_job + 1, cJSON *);
  if (m->item == NULL || m->doc == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  for (uint32_t k = 0; k < p->n_job; k++) {
    ci_outcome *o = &m->item[p->job[k].item];
    if (o->n_jobs++ == 0) o->first_job = k;
    qv_status st = collect(&g, k, dir, n);
    if (st != QV_OK) return st;
  }
  for (uint32_t k = 0; k < p->n_item; k++) {
    ci_outcome *o = &m->item[k];
    if (!p->item[k].selected || o->n_jobs == 0) continue;
    o->report = QV_NEW(&m->arena, o->n_jobs, const cJSON *);
    if (o->report == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
    for (uint32_t j = 0; j < o->n_jobs; j++) {
      const cJSON *r = get(m->doc[o->first_job + j], "report");
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
  qv_arena_clear(&m->arena);
  *m = (ci_merged){0};
}
