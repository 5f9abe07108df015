/* What the claims rest on, and how anybody can check them without this program. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ci_page.h"
#include "cli/qverify.h"

#define MAX_JOBS 300 /* rows */

/* Value of an option among a job's arguments, or NULL. */
static const char *option(const ci_job *j, const char *name) {
  for (uint32_t i = 0; i + 1 < j->argc; i++)
    if (strcmp(j->argv[i], name) == 0) return j->argv[i + 1];
  return NULL;
}

/* ---- assumptions ------------------------------------------------------------------------------------------------------------------------ */

typedef struct {
  const char *what, *detail; /* one assumption: a sentence and what it is about */
} line;

typedef struct {
  line *v;
  uint32_t *item; /* [n] where it comes from */
  uint32_t n, cap;
  bool failed;
} lines;

static void note(lines *l, uint32_t item, const char *what, const char *detail) {
  if (detail == NULL) return;
  for (uint32_t k = 0; k < l->n; k++) /* once an obligation: its jobs say the same */
    if (l->item[k] == item && strcmp(l->v[k].what, what) == 0 && strcmp(l->v[k].detail, detail) == 0) return;
  if (l->n == l->cap) {
    uint32_t cap = l->cap == 0 ? 64 : 2 * l->cap;
    line *v = realloc(l->v, cap * sizeof *v);
    uint32_t *at = v != NULL ? realloc(l->item, cap * sizeof *at) : NULL;
    if (v != NULL) l->v = v;
    if (at == NULL) {
      l->failed = true;
      return;
    }
    l->item = at;
    l->cap = cap;
  }
  l->v[l->n] = (line){what, detail};
  l->item[l->n++] = item;
}

static void collect(lines *l, const ci_merged *m) {
  for (uint32_t k = 0; k < m->plan->n_item; k++) {
    const ci_outcome *o = &m->item[k];
    for (uint32_t j = 0; m->plan->item[k].selected && j < o->n_jobs && (j == 0 || o->n_jobs <= 64); j++) {
      const ci_job *job = &m->plan->job[o->first_job + j];
      const cJSON *x;
      note(l, k, "only inputs of this domain are claimed about", option(job, "--domain"));
      note(l, k, "inputs stay within the ranges that these samples span, element by element", option(job, "--calibrate"));
      note(l, k, "only the elements that this mask lets change", option(job, "--mask"));
      cJSON_ArrayForEach(x, ci_get(o->report != NULL ? o->report[j] : NULL, "assumptions")) if (cJSON_IsString(x))
          note(l, k, "of the model", x->valuestring);
    }
  }
}

/* The same assumption of several obligations is one line that names them. */
static void write_lines(qv_buf *b, const lines *l, const ci_plan *plan) {
  for (uint32_t k = 0; k < l->n; k++) {
    bool seen = false;
    for (uint32_t e = 0; e < k; e++)
      seen = seen || (strcmp(l->v[e].what, l->v[k].what) == 0 && strcmp(l->v[e].detail, l->v[k].detail) == 0);
    if (seen) continue;
    qv_buf_printf(b, "<li>%s: <b>", l->v[k].what);
    ci_escape(b, l->v[k].detail);
    qv_buf_str(b, "</b> <small>(");
    uint32_t n = 0;
    for (uint32_t e = k; e < l->n; e++) {
      if (strcmp(l->v[e].what, l->v[k].what) != 0 || strcmp(l->v[e].detail, l->v[k].detail) != 0) continue;
      if (n++ >= 10) continue;
      if (n > 1) qv_buf_str(b, ", ");
      ci_escape(b, plan->item[l->item[e]].id);
    }
    if (n > 10) qv_buf_printf(b, " and %" PRIu32 " more", n - 10);
    qv_buf_str(b, ")</small></li>\n");
  }
}

void ci_page_assumptions(const ci_page *p) {
  lines l = {0};
  collect(&l, p->m);
  ci_heading(p->b, "assumptions", "Assumptions");
  qv_buf_str(p->b, "<ul>\n");
  write_lines(p->b, &l, p->m->plan);
  qv_buf_str(p->b, "<li>Claims are about the integers that the named profiles compute, for every input of the stated sets (without a "
                   "domain: every value of the input types). Whether an implementation follows its profile, "
                   "and whether right answers are what one wants, is outside.</li>\n<li>VERIFIED: proved, and the certificate accepted by "
                   "qverify-check, a second program. FALSIFIED: an input was executed. Everything else is open and "
                   "counts as not passed.</li></ul>\n");
  if (l.failed) p->b->failed = true;
  free(l.v);
  free(l.item);
}

/* ---- files ------------------------------------------------------------------------------------------------------------------------------- */

/* A set of "path sha256 bytes" over all reports: sorted by first appearance. */
static void files(const ci_page *p) {
  const ci_merged *m = p->m;
  const cJSON **seen = NULL;
  uint32_t n = 0, cap = 0;
  for (uint32_t k = 0; k < m->plan->n_job; k++) {
    const cJSON *report = ci_get(m->doc[k], "report"), *x, *list = ci_get(report, "inputs");
    const cJSON *single = ci_get(report, "input");
    for (x = list != NULL ? list->child : single; x != NULL; x = list != NULL ? x->next : NULL) {
      const char *path = ci_word(x, "path"), *hash = ci_word(x, "sha256");
      bool known = path == NULL || hash == NULL;
      for (uint32_t e = 0; !known && e < n; e++)
        known = strcmp(ci_word(seen[e], "path"), path) == 0 && strcmp(ci_word(seen[e], "sha256"), hash) == 0;
      if (known || n >= MAX_JOBS) continue;
      if (n == cap) {
        cap = cap == 0 ? 64 : 2 * cap;
        const cJSON **v = realloc(seen, cap * sizeof *v);
        if (v == NULL) {
          p->b->failed = true;
          free(seen);
          return;
        }
        seen = v;
      }
      seen[n++] = x;
    }
  }
  qv_buf_str(p->b, "<h3>Files that were read</h3>\n<table><thead><tr><th>file</th><th class=\"n "
                   "wide\">bytes</th><th>SHA-256</th></tr></thead><tbody>\n<tr><td>");
  ci_escape(p->b, m->plan->path);
  qv_buf_printf(p->b, " <small>manifest</small></td><td class=\"wide\"></td><td><code>%s</code></td></tr>\n", m->plan->sha256);
  for (uint32_t k = 0; k < n; k++) {
    qv_buf_str(p->b, "<tr><td>");
    ci_escape(p->b, ci_word(seen[k], "path"));
    qv_buf_str(p->b, "</td><td class=\"n wide\">");
    ci_escape(p->b, ci_word(seen[k], "bytes"));
    qv_buf_str(p->b, "</td><td><code>");
    ci_escape(p->b, ci_word(seen[k], "sha256"));
    qv_buf_str(p->b, "</code></td></tr>\n");
  }
  qv_buf_str(p->b, "</tbody></table>\n");
  free(seen);
}

/* ---- evidence of each job ------------------------------------------------------------------------------------------------------------------ */

static void shell_word(qv_buf *b, const char *s) {
  const bool plain = *s != 0 && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:,=%+@-") == strlen(s);
  if (plain) {
    ci_escape(b, s);
    return;
  }
  qv_buf_str(b, "'");
  for (; *s != 0;) {
    char part[256];
    size_t n = strcspn(s, "'");
    if (n > sizeof part - 1) n = sizeof part - 1;
    memcpy(part, s, n);
    part[n] = 0;
    ci_escape(b, part);
    s += n;
    if (*s == '\'') {
      qv_buf_str(b, "'\\''");
      s++;
    }
  }
  qv_buf_str(b, "'");
}

/* What was run, without the names of the job's own files. */
static void command(qv_buf *b, const ci_job *j) {
  qv_buf_str(b, "qverify");
  for (uint32_t i = 0; i < j->argc; i++) {
    if (i + 1 < j->argc && j->argv[i + 1][0] == '@') {
      i++;
      continue;
    }
    qv_buf_str(b, " ");
    shell_word(b, j->argv[i]);
  }
}

/* Which certificates a job leaves, as the command that checks them. NULL: none, run it again. */
static const char *check_of(ci_check c) {
  switch (c) {
  case CI_OVERFLOW:
  case CI_AUDIT:
  case CI_BASELINE: return "qverify-check KEY.qir $P KEY.qvc";
  case CI_ROBUST:
  case CI_RADIUS: return "for c in KEY.evidence/*.qvc; do qverify-check KEY.evidence/net.qir \"${c%.qvc}.qvp\" \"$c\"; done";
  case CI_ALLOCATION: return "qverify-check alloc KEY.qap KEY.qva";
  case CI_DIFF:
  case CI_ACCURACY:
  case CI_ERROR_BOUND:
  case CI_CHECKS: break;
  }
  return NULL;
}

static void check_command(qv_buf *b, const ci_job *j, ci_check c) {
  for (const char *s = check_of(c); *s != 0;) {
    if (strncmp(s, "KEY", 3) == 0) {
      qv_buf_str(b, j->key);
      s += 3;
    } else if (strncmp(s, "$P", 2) == 0) { /* the default domain needs no file */
      if (option(j, "--domain") != NULL || option(j, "--calibrate") != NULL) qv_buf_printf(b, "%s.qvp", j->key);
      else qv_buf_str(b, "-");
      s += 2;
    } else {
      char one[2] = {*s++, 0};
      ci_escape(b, one);
    }
  }
}

void ci_page_recheck(const ci_page *p) {
  const ci_merged *m = p->m;
  qv_buf *b = p->b;
  uint32_t rows = 0;
  ci_heading(b, "check", "Check it yourself");
  qv_buf_str(b, "<p>Everything at once: <code>qverify bundle PLAN -o evidence &amp;&amp; sh evidence/CHECK</code> needs only "
                "qverify-check. One by one, in the results folder (or <code>evidence/</code> of a bundle); "
                "a certificate counts where the last line is <code>s CHECKED</code>. A question that was asked in parts also needs its "
                "cover, which CHECK has:</p>\n");
  qv_buf_printf(b,
                "<details%s><summary>Every process and its evidence (%" PRIu32
                ")</summary>\n<table><thead><tr><th>obligation</th><th>what was run, and how to check it</th></tr></thead><tbody>\n",
                m->plan->n_job <= 8 ? " open" : "", m->plan->n_job);
  for (uint32_t k = 0; k < m->plan->n_job && rows < MAX_JOBS; k++, rows++) {
    const ci_job *j = &m->plan->job[k];
    const ci_item *i = &m->plan->item[j->item];
    qv_buf_str(b, "<tr><td>");
    ci_escape(b, i->id);
    qv_buf_str(b, "<br><small>");
    ci_escape(b, j->part);
    qv_buf_str(b, "</small></td><td><code>");
    command(b, j);
    qv_buf_str(b, "</code><br>");
    if (check_of(i->check) != NULL) {
      qv_buf_str(b, "<code>");
      check_command(b, j, i->check);
      qv_buf_str(b, "</code>");
    } else qv_buf_printf(b, "<small>no certificate: run it again. Result <code>%s.json</code></small>", j->key);
    qv_buf_str(b, "</td></tr>\n");
  }
  qv_buf_str(b, "</tbody></table></details>\n");
  if (rows < m->plan->n_job)
    qv_buf_printf(b, "<p class=\"dim\">Showing %" PRIu32 " of %" PRIu32 "; all in the bundle.</p>\n", rows, m->plan->n_job);
  files(p);
  qv_buf_printf(b, "<p><small>qverify %s</small></p>\n", qverify_version());
}
