/* One page without any other resource: verdict, assumptions, obligations with a filter, charts, counterexamples, evidence. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ci_page.h"
#include "cli/qverify.h"

#define MAX_QUESTIONS 2000 /* rows; those that are not proved come first */

double ci_real(const char *s) {
  char *end;
  if (s == NULL) return NAN;
  double v = strtod(s, &end);
  if (end == s) return NAN;
  if (*end != '/') return *end == 0 ? v : NAN;
  double d = strtod(end + 1, &end);
  return *end == 0 && d > 0 ? v / d : NAN;
}

void ci_heading(qv_buf *b, const char *id, const char *title) { qv_buf_printf(b, "<h2 id=\"%s\">%s</h2>\n", id, title); }

static const char *glyph(const char *verdict) {
  switch (verdict[0]) {
  case 'V': return "&#10003;"; /* not by colour alone */
  case 'F': return "&#10007;";
  case 'E': return "!";
  case 'M': return "&#8211;";
  default: return "?";
  }
}

/* A verdict out of a report is one of the known words, or shown as UNKNOWN. */
static const char *known(const char *v) {
  for (int k = CI_VERIFIED; v != NULL && k <= CI_MISSING; k++)
    if (strcmp(v, ci_verdict_name((ci_verdict)k)) == 0) return ci_verdict_name((ci_verdict)k);
  return "UNKNOWN";
}

static void tag(qv_buf *b, const char *v) { qv_buf_printf(b, "<span class=\"tag %s\">%s %s</span>", v, glyph(v), v); }

static const char *title(const ci_merged *m) { return m->plan->name != NULL ? m->plan->name : m->plan->path; }

/* ---- verdict -------------------------------------------------------------------------------------------------------------------------- */

static void header(const ci_page *p) {
  const ci_merged *m = p->m;
  qv_buf *b = p->b;
  const char *v = m->exit_code == 0 ? "VERIFIED" : m->exit_code == 10 ? "FALSIFIED" : "UNKNOWN";
  qv_buf_str(b, "<h1>");
  ci_escape(b, title(m));
  qv_buf_printf(b, "</h1>\n<div class=\"verdict %s\"><strong>%s %s</strong><div>%" PRIu32 " of %" PRIu32 " obligations hold", v, glyph(v),
                v, m->verified, m->selected);
  if (m->falsified > 0) qv_buf_printf(b, ", %" PRIu32 " refuted by executed inputs or proofs", m->falsified);
  if (m->unknown > 0) qv_buf_printf(b, ", %" PRIu32 " open", m->unknown);
  if (m->error > 0) qv_buf_printf(b, ", %" PRIu32 " failed to run", m->error);
  if (m->missing > 0) qv_buf_printf(b, ", %" PRIu32 " without a result", m->missing);
  if (m->plan->n_item > m->selected) qv_buf_printf(b, "; %" PRIu32 " not selected", m->plan->n_item - m->selected);
  qv_buf_printf(b, ". Run state %s, exit code %d.</div></div>\n", m->state, m->exit_code);
}

/* ---- obligations ------------------------------------------------------------------------------------------------------------------------ */

static void filter(qv_buf *b, const char *table, bool checks) {
  qv_buf_printf(b,
                "<div class=\"filter\" data-for=\"%s\"><input type=\"search\" placeholder=\"filter: name, model, reason ..\" "
                "aria-label=\"filter\"><select name=\"v\" aria-label=\"verdict\"><option value=\"\">all verdicts</option>",
                table);
  for (int v = 0; v <= (checks ? CI_MISSING : CI_UNKNOWN); v++) qv_buf_printf(b, "<option>%s</option>", ci_verdict_name((ci_verdict)v));
  qv_buf_str(b, "</select>");
  if (checks) {
    qv_buf_str(b, "<select name=\"k\" aria-label=\"kind\"><option value=\"\">all kinds</option>");
    for (int c = 0; c < CI_CHECKS; c++) qv_buf_printf(b, "<option>%s</option>", ci_check_name((ci_check)c));
    qv_buf_str(b, "</select>");
  }
  qv_buf_str(b, "<output class=\"dim\"></output><button type=\"button\" hidden>show all</button></div>\n");
}

#define MAX_LOSSES 10 /* lines an obligation; the JSON report has all */

/* What an obligation has lost against its baseline. */
static void losses(qv_buf *b, const cJSON *baseline) {
  const cJSON *list = ci_get(baseline, "losses"), *x;
  int n = 0;
  cJSON_ArrayForEach(x, list) {
    if (n++ >= MAX_LOSSES) continue;
    const char *v = known(ci_word(x, "verdict"));
    qv_buf_printf(b, "<br><small class=\"loss\">%s ", glyph(v));
    ci_escape(b, ci_word(x, "reason"));
    qv_buf_str(b, "</small>");
  }
  if (n > MAX_LOSSES) qv_buf_printf(b, "<br><small>and %d more, in the JSON report</small>", n - MAX_LOSSES);
}

static void obligations(const ci_page *p) {
  qv_buf *b = p->b;
  const ci_merged *m = p->m;
  ci_heading(b, "obligations", "Obligations");
  filter(b, "t", true);
  qv_buf_str(b, "<table id=\"t\"><thead><tr><th>obligation</th><th>verdict</th><th>why</th><th>requirement</th><th "
                "class=\"n\">seconds</th></tr></thead><tbody>\n");
  for (uint32_t k = 0; k < m->plan->n_item; k++) {
    const ci_item *i = &m->plan->item[k];
    const ci_outcome *o = &m->item[k];
    if (!i->selected) continue;
    const char *v = ci_verdict_name(o->verdict);
    qv_buf_printf(b, "<tr data-v=\"%s\" data-k=\"%s\"><td><b>", v, ci_check_name(i->check));
    ci_escape(b, i->id);
    qv_buf_printf(b, "</b><br><small>%s", ci_check_name(i->check));
    if (i->model != NULL) {
      qv_buf_str(b, " of ");
      ci_escape(b, i->model);
    }
    for (uint32_t t = 0; t < i->n_tags; t++) {
      qv_buf_str(b, " #");
      ci_escape(b, i->tag[t]);
    }
    qv_buf_str(b, "</small></td><td>");
    tag(b, v);
    qv_buf_str(b, "</td><td>");
    ci_escape(b, o->reason);
    losses(b, o->baseline);
    if (o->next != NULL) {
      qv_buf_str(b, "<br><small>next: ");
      ci_escape(b, o->next);
      qv_buf_str(b, "</small>");
    }
    qv_buf_str(b, "</td><td>");
    ci_escape(b, i->requirement);
    qv_buf_printf(b, "</td><td class=\"n wide\">%.2f", o->seconds);
    if (o->cached > 0) qv_buf_printf(b, "<br><small>cached: %" PRIu32 " of %" PRIu32 "</small>", o->cached, o->n_jobs);
    qv_buf_str(b, "</td></tr>\n");
  }
  qv_buf_str(b, "</tbody></table>\n");
}

/* ---- single questions of robustness and radii --------------------------------------------------------------------------------------------- */

static void add(qv_buf *b, const char *before, const char *s, const char *after) {
  if (s == NULL) return;
  qv_buf_str(b, before);
  ci_escape(b, s);
  qv_buf_str(b, after);
}

static void question(qv_buf *b, const ci_item *i, const cJSON *x) {
  const cJSON *cex = ci_get(x, "cex"), *radius = ci_get(x, "radius"), *lead = ci_get(cex, "lead");
  const char *v = known(ci_word(x, "verdict")), *id = ci_word(x, "id"), *slash = id != NULL ? strchr(id, '/') : NULL,
             *refuted = ci_word(radius, "refuted");
  qv_buf_printf(b, "<tr data-v=\"%s\"><td>", v);
  ci_escape(b, i->id);
  add(b, " <b>", slash != NULL ? slash + 1 : id, "</b>");
  qv_buf_printf(b, "</td><td class=\"%s\">%s %s</td><td>", v, glyph(v), v);
  add(b, "class ", ci_word(x, "class"), "");
  add(b, " &#8594; ", ci_word(cex, "class"), "");
  add(b, ", lead ", ci_word(lead, "original"), "");
  add(b, " &#8594; ", ci_word(lead, "adversarial"), "");
  if (cJSON_IsObject(radius)) {
    const char *proved = ci_word(radius, "proved");
    qv_buf_str(b, "; radius ");
    ci_escape(b, proved != NULL ? proved : "none");
    add(b, ", refuted at ", refuted, "");
  }
  add(b, "", ci_word(x, "parts_verified"), " of ");
  add(b, "", ci_word(x, "parts"), " parts proved");
  add(b, "; ", ci_word(x, "reason"), "");
  add(b, " (margin ", ci_word(ci_get(x, "margin"), "bound"), ")");
  qv_buf_str(b, "</td><td class=\"wide\">");
  ci_escape(b, ci_word(x, "engine"));
  qv_buf_str(b, "</td></tr>\n");
}

static bool asks(ci_check c) { return c == CI_ROBUST || c == CI_RADIUS; }

typedef struct {
  qv_buf rows;
  bool proved;       /* which questions are listed now */
  uint32_t n, shown; /* questions; rows */
} table;

static void add_rows(table *t, const ci_item *i, const cJSON *list) {
  const cJSON *x;
  cJSON_ArrayForEach(x, list) {
    if ((strcmp(known(ci_word(x, "verdict")), "VERIFIED") == 0) != t->proved) continue;
    t->n++;
    if (t->shown >= MAX_QUESTIONS) continue;
    t->shown++;
    question(&t->rows, i, x);
  }
}

/* What was asked in parts has one verdict, that of the whole: a part's is no answer. */
static void question_rows(table *t, const ci_merged *m, bool proved) {
  t->proved = proved;
  for (uint32_t k = 0; k < m->plan->n_item; k++) {
    const ci_outcome *o = &m->item[k];
    if (!asks(m->plan->item[k].check)) continue;
    if (o->queries != NULL) add_rows(t, &m->plan->item[k], o->queries);
    for (uint32_t j = 0; o->queries == NULL && o->report != NULL && j < o->n_jobs - o->n_old; j++)
      add_rows(t, &m->plan->item[k], ci_get(o->report[j], "obligations"));
  }
}

static void questions(const ci_page *p) {
  table t = {0};
  question_rows(&t, p->m, false);
  question_rows(&t, p->m, true);
  const uint32_t n = t.n, shown = t.shown;
  if (n > 0) {
    qv_buf_printf(p->b,
                  "<details id=\"questions\"%s><summary>Every question (%" PRIu32
                  ")</summary>\n<p class=\"dim\">What is not proved comes first. Lead: the right class above the best other one, in "
                  "integer steps of the output, executed.",
                  n <= 40 ? " open" : "", n);
    if (shown < n) qv_buf_printf(p->b, " Showing %" PRIu32 " of %" PRIu32 "; all in the bundle.", shown, n);
    qv_buf_str(p->b, "</p>");
    filter(p->b, "qs", false);
    qv_buf_str(p->b, "<table id=\"qs\"><thead><tr><th>question</th><th>verdict</th><th>what came out</th><th "
                     "class=\"wide\">by</th></tr></thead><tbody>\n");
    qv_buf_put(p->b, t.rows.p, t.rows.n);
    qv_buf_str(p->b, "</tbody></table></details>\n");
    p->b->failed = p->b->failed || t.rows.failed;
  }
  qv_buf_free(&t.rows);
}

/* ---- the page --------------------------------------------------------------------------------------------------------------------------- */

/* Links to the sections that are there. */
static void nav(qv_buf *b, const qv_buf *body) {
  static const struct {
    const char *id, *name;
  } part[] = {{"assumptions", "Assumptions"},
              {"obligations", "Obligations"},
              {"accumulators", "Accumulators"},
              {"shares", "Robustness"},
              {"radii", "Radii"},
              {"gallery", "Counterexamples"},
              {"questions", "Questions"},
              {"front", "Allocation"},
              {"time", "Time"},
              {"check", "Check it yourself"}};
  qv_buf_str(b, "<nav>");
  for (size_t k = 0; k < sizeof part / sizeof *part; k++) {
    char id[40] = "id=\"";
    (void)strcat(strcat(id, part[k].id), "\"");
    if (body->p != NULL && memmem(body->p, body->n, id, strlen(id)) != NULL)
      qv_buf_printf(b, "<a href=\"#%s\">%s</a>", part[k].id, part[k].name);
  }
  qv_buf_str(b, "</nav>\n");
}

qv_status ci_html(qv_buf *out, const ci_merged *m, const char *const *dir, uint32_t n_dir, qv_err *err) {
  qv_buf body = {0};
  const ci_page p = {out, m, dir, n_dir};
  ci_page q = p;
  q.b = &body;
  ci_page_assumptions(&q);
  obligations(&q);
  ci_page_accumulators(&q);
  ci_page_shares(&q);
  ci_page_radii(&q);
  ci_page_gallery(&q);
  questions(&q);
  ci_page_fronts(&q);
  ci_page_timings(&q);
  ci_page_recheck(&q);
  qv_buf_str(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
                  "content=\"width=device-width,initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">"
                  "<link rel=\"icon\" href=\"data:,\"><title>qverify: ");
  ci_escape(out, title(m));
  qv_buf_str(out, "</title><style>");
  for (int k = 0; ci_page_style[k] != NULL; k++) qv_buf_str(out, ci_page_style[k]);
  qv_buf_str(out, "</style></head><body>\n");
  header(&p);
  nav(out, &body);
  qv_buf_put(out, body.p, body.n);
  qv_buf_printf(out, "<script>%s</script></body></html>\n", ci_page_script);
  bool failed = out->failed || body.failed;
  qv_buf_free(&body);
  return failed ? QV_FAIL(err, QV_E_NOMEM, "out of memory") : QV_OK;
}
