/* One page without any other resource: verdict, obligations with a filter, accumulators against their widths, pictures of counterexamples. */
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ci.h"
#include "cli/qverify.h"

#define MAX_PICTURES 24
#define MAX_ROWS 60 /* accumulators drawn for one network */

static const char STYLE[] =
    ":root{--bg:#fff;--fg:#1b1f24;--dim:#57606a;--line:#d0d7de;--ok:#1a7f37;--bad:#cf222e;--open:#9a6700;--bar:#54aeff;--card:#f6f8fa}"
    "@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--dim:#8b949e;--line:#30363d;--ok:#3fb950;--bad:#f85149;--open:#d29922;--bar:#1f6feb;--card:#161b22}}"
    "*{box-sizing:border-box}body{margin:0 auto;max-width:70rem;padding:1rem;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}"
    "h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.1rem;margin:2rem 0 .5rem}small,.dim{color:var(--dim)}code{font:13px ui-monospace,monospace;word-break:break-all}"
    ".verdict{padding:1rem;border-radius:.5rem;border-left:.5rem solid;background:var(--card)}.VERIFIED{color:var(--ok)}.FALSIFIED{color:var(--bad)}"
    ".UNKNOWN,.ERROR,.MISSING{color:var(--open)}.verdict strong{font-size:1.3rem}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .5rem;border-bottom:1px solid var(--line);vertical-align:top}td.n{text-align:right}"
    ".filter{display:flex;gap:.5rem;flex-wrap:wrap;margin:.5rem 0}.filter input,.filter select{font:inherit;padding:.3rem .5rem;border:1px solid var(--line);border-radius:.3rem;background:var(--bg);color:var(--fg)}"
    ".scroll{overflow-x:auto}svg text{fill:var(--fg);font:11px system-ui,sans-serif}svg .axis{stroke:var(--line)}svg .need{fill:var(--bar)}svg .have{stroke:var(--bad);stroke-width:2}"
    ".gallery{display:flex;flex-wrap:wrap;gap:1rem}.gallery figure{margin:0;max-width:8rem}.gallery img{width:8rem;image-rendering:pixelated;border:1px solid var(--line)}"
    "figcaption{font-size:12px;color:var(--dim);word-break:break-all}@media(max-width:40rem){.wide{display:none}}"
    "@media print{.filter{display:none}body{max-width:none}}";

static const char SCRIPT[] =
    "const q=document.getElementById('q'),v=document.getElementById('v'),c=document.getElementById('c');"
    "function f(){let n=0;for(const r of document.querySelectorAll('#t tbody tr')){const s=(!v.value||r.dataset.v===v.value)&&r.textContent.toLowerCase().includes(q.value.toLowerCase());"
    "r.hidden=!s;n+=s}c.textContent=n+' shown'}q.oninput=v.onchange=f;f();";

static const cJSON *get(const cJSON *o, const char *key) { return o != NULL ? cJSON_GetObjectItemCaseSensitive(o, key) : NULL; }
static const char *text(const cJSON *o, const char *key) {
  const cJSON *m = get(o, key);
  return m != NULL && m->valuestring != NULL ? m->valuestring : NULL;
}

/* ---- parts -------------------------------------------------------------------------------------------------------------------------- */

static void header(qv_buf *b, const ci_merged *m) {
  const char *v = m->exit_code == 0 ? "VERIFIED" : m->exit_code == 10 ? "FALSIFIED" : "UNKNOWN";
  qv_buf_str(b, "<h1>");
  ci_escape(b, m->plan->name != NULL ? m->plan->name : m->plan->path);
  qv_buf_printf(b, "</h1><div class=\"verdict %s\"><strong>%s</strong><br><span style=\"color:var(--fg)\">%" PRIu32 " of %" PRIu32 " obligations hold", v, v, m->verified, m->selected);
  if (m->falsified > 0) qv_buf_printf(b, ", %" PRIu32 " refuted by executed inputs or proofs", m->falsified);
  if (m->unknown > 0) qv_buf_printf(b, ", %" PRIu32 " open", m->unknown);
  if (m->error > 0) qv_buf_printf(b, ", %" PRIu32 " failed to run", m->error);
  if (m->missing > 0) qv_buf_printf(b, ", %" PRIu32 " without a result", m->missing);
  qv_buf_printf(b, ". Run state %s, exit code %d.</span></div>", m->state, m->exit_code);
}

static void obligations(qv_buf *b, const ci_merged *m) {
  qv_buf_str(b, "<h2>Obligations</h2><div class=\"filter\"><input id=\"q\" type=\"search\" placeholder=\"filter\" aria-label=\"filter\"><select id=\"v\" aria-label=\"verdict\"><option value=\"\">all verdicts</option>");
  for (int v = 0; v < 5; v++) qv_buf_printf(b, "<option>%s</option>", ci_verdict_name((ci_verdict)v));
  qv_buf_str(b, "</select><span class=\"dim\" id=\"c\"></span></div><div class=\"scroll\"><table id=\"t\"><thead><tr><th>obligation</th><th>verdict</th><th>why</th><th class=\"wide\">requirement</th>"
                "<th class=\"wide\">seconds</th></tr></thead><tbody>\n");
  for (uint32_t k = 0; k < m->plan->n_item; k++) {
    const ci_item *i = &m->plan->item[k];
    const ci_outcome *o = &m->item[k];
    if (!i->selected) continue;
    const char *v = ci_verdict_name(o->verdict);
    qv_buf_printf(b, "<tr data-v=\"%s\"><td><b>", v);
    ci_escape(b, i->id);
    qv_buf_printf(b, "</b><br><small>%s", ci_check_name(i->check));
    if (i->model != NULL) {
      qv_buf_str(b, " of ");
      ci_escape(b, i->model);
    }
    qv_buf_printf(b, "</small></td><td class=\"%s\">%s</td><td>", v, v);
    ci_escape(b, o->reason);
    if (o->next != NULL) {
      qv_buf_str(b, "<br><small>next: ");
      ci_escape(b, o->next);
      qv_buf_str(b, "</small>");
    }
    qv_buf_str(b, "</td><td class=\"wide\">");
    ci_escape(b, i->requirement);
    qv_buf_printf(b, "</td><td class=\"wide n\">%.2f</td></tr>\n", o->seconds);
  }
  qv_buf_str(b, "</tbody></table></div>");
}

/* Bits that a decimal number needs as a signed one, as a length: log2 of its size plus one. */
static double size_of(const char *s) {
  double v = s != NULL ? fabs(strtod(s, NULL)) : 0;
  return v < 1 ? 1 : log2(v + 1) + 1;
}

static void accumulators(qv_buf *b, const char *title, const cJSON *report) {
  const cJSON *x;
  int n = 0, row = 0;
  cJSON_ArrayForEach(x, get(report, "obligations")) n += cJSON_IsObject(get(x, "accumulator"));
  if (n == 0) return;
  if (n > MAX_ROWS) n = MAX_ROWS;
  qv_buf_str(b, "<h2>Accumulators: ");
  ci_escape(b, title);
  qv_buf_printf(b, "</h2><p class=\"dim\">Proved range of each layer's sum, in bits (a logarithmic scale), against the width of the machine's accumulator (line).</p>"
                   "<div class=\"scroll\"><svg role=\"img\" viewBox=\"0 0 700 %d\" width=\"700\" height=\"%d\">", 18 * n + 24, 18 * n + 24);
  for (int bits = 0; bits <= 64; bits += 8)
    qv_buf_printf(b, "<line class=\"axis\" x1=\"%d\" y1=\"0\" x2=\"%d\" y2=\"%d\"/><text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%d</text>", 170 + bits * 8, 170 + bits * 8, 18 * n, 170 + bits * 8,
                  18 * n + 14, bits);
  cJSON_ArrayForEach(x, get(report, "obligations")) {
    const cJSON *a = get(x, "accumulator"), *range = get(x, "bound");
    if (!cJSON_IsObject(a) || row >= MAX_ROWS) continue;
    const char *needed = text(a, "bits_needed"), *width = text(a, "bits"), *op = text(x, "op"), *layer = text(x, "layer");
    double lo = size_of(text(range, "lo")), hi = size_of(text(range, "hi")), top = lo > hi ? lo : hi;
    qv_buf_printf(b, "<text x=\"0\" y=\"%d\">%s ", 18 * row + 13, layer != NULL ? layer : "");
    ci_escape(b, op);
    qv_buf_printf(b, "</text><rect class=\"need\" x=\"170\" y=\"%d\" width=\"%.1f\" height=\"12\"><title>[%s, %s], %s bits</title></rect>", 18 * row + 3, top * 8,
                  text(range, "lo") != NULL ? text(range, "lo") : "?", text(range, "hi") != NULL ? text(range, "hi") : "?", needed != NULL ? needed : "?");
    if (width != NULL) qv_buf_printf(b, "<line class=\"have\" x1=\"%ld\" y1=\"%d\" x2=\"%ld\" y2=\"%d\"/>", 170 + strtol(width, NULL, 10) * 8, 18 * row + 1, 170 + strtol(width, NULL, 10) * 8, 18 * row + 17);
    row++;
  }
  qv_buf_str(b, "</svg></div>");
}

static void base64(qv_buf *b, const unsigned char *p, size_t n) {
  static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < n; i += 3) {
    uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
    const char c[4] = {abc[v >> 18], abc[v >> 12 & 63], i + 1 < n ? abc[v >> 6 & 63] : '=', i + 2 < n ? abc[v & 63] : '='};
    qv_buf_put(b, c, 4);
  }
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

/* Pictures in the witness folders of the jobs, up to MAX_PICTURES. */
static void gallery(qv_buf *b, const ci_merged *m, const char *const *dir, uint32_t n_dir) {
  int shown = 0;
  for (uint32_t k = 0; k < m->plan->n_job; k++)
    for (uint32_t d = 0; d < n_dir; d++) {
      char path[4400];
      struct dirent **list = NULL;
      (void)snprintf(path, sizeof path, "%.4000s/%s.witness", dir[d], m->plan->job[k].key);
      int n = scandir(path, &list, NULL, by_name);
      for (int i = 0; i < n; i++) {
        size_t len = strlen(list[i]->d_name);
        qv_buf png = {0};
        char file[4700];
        (void)snprintf(file, sizeof file, "%s/%.255s", path, list[i]->d_name);
        if (shown < MAX_PICTURES && len > 4 && strcmp(list[i]->d_name + len - 4, ".png") == 0 && qv_file_read(&png, file, (size_t)1 << 18, NULL) == QV_OK) {
          if (shown++ == 0) qv_buf_str(b, "<h2>Counterexamples</h2><p class=\"dim\">Inputs that were executed: original, adversarial, difference.</p><div class=\"gallery\">");
          qv_buf_str(b, "<figure><img alt=\"");
          ci_escape(b, list[i]->d_name);
          qv_buf_str(b, "\" src=\"data:image/png;base64,");
          base64(b, png.p, png.n);
          qv_buf_str(b, "\"><figcaption>");
          ci_escape(b, m->plan->item[m->plan->job[k].item].id);
          qv_buf_str(b, " ");
          ci_escape(b, list[i]->d_name);
          qv_buf_str(b, "</figcaption></figure>");
        }
        qv_buf_free(&png);
        free(list[i]);
      }
      free(list);
    }
  if (shown > 0) qv_buf_str(b, "</div>");
}

static void provenance(qv_buf *b, const ci_merged *m) {
  qv_buf_str(b, "<h2>Assumptions</h2><ul>");
  for (uint32_t k = 0; k < m->plan->n_job; k++) {
    const cJSON *report = get(m->doc[k], "report"), *x;
    if (k > 0 && strcmp(m->plan->item[m->plan->job[k].item].id, m->plan->item[m->plan->job[k - 1].item].id) == 0) continue;
    cJSON_ArrayForEach(x, get(report, "assumptions")) {
      if (!cJSON_IsString(x)) continue;
      qv_buf_str(b, "<li><small>");
      ci_escape(b, m->plan->item[m->plan->job[k].item].id);
      qv_buf_str(b, "</small> ");
      ci_escape(b, x->valuestring);
      qv_buf_str(b, "</li>");
    }
  }
  qv_buf_str(b, "<li>Claims are about the integers that the named profiles compute, for the stated inputs; not that the answers are right.</li></ul><h2>Check it yourself</h2><p>Each job left its evidence in the "
                "results folder under its key: <code>KEY.qvc</code> with <code>KEY.qir</code> beside it, <code>KEY.evidence/</code> for robustness, <code>KEY.qva</code> with <code>KEY.qap</code>. "
                "<code>qverify check KEY.qvc</code>, or the checker alone: <code>qverify-check KEY.qir - KEY.qvc</code>.</p><div class=\"scroll\"><table><thead><tr><th>obligation</th><th>part</th><th>key</th></tr></thead><tbody>");
  for (uint32_t k = 0; k < m->plan->n_job && k < 500; k++) {
    qv_buf_str(b, "<tr><td>");
    ci_escape(b, m->plan->item[m->plan->job[k].item].id);
    qv_buf_str(b, "</td><td>");
    ci_escape(b, m->plan->job[k].part);
    qv_buf_printf(b, "</td><td><code>%s</code></td></tr>", m->plan->job[k].key);
  }
  qv_buf_printf(b, "</tbody></table></div><p><small>qverify %s, manifest <code>", qverify_version());
  ci_escape(b, m->plan->path);
  qv_buf_printf(b, "</code> SHA-256 <code>%s</code></small></p>", m->plan->sha256);
}

qv_status ci_html(qv_buf *out, const ci_merged *m, const char *const *dir, uint32_t n_dir, qv_err *err) {
  qv_buf_str(out, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">"
                  "<link rel=\"icon\" href=\"data:,\"><title>qverify: ");
  ci_escape(out, m->plan->name != NULL ? m->plan->name : m->plan->path);
  qv_buf_printf(out, "</title><style>%s</style></head><body>\n", STYLE);
  header(out, m);
  obligations(out, m);
  for (uint32_t k = 0; k < m->plan->n_item; k++) {
    ci_check c = m->plan->item[k].check;
    if (m->plan->item[k].selected && m->item[k].n_jobs > 0 && (c == CI_OVERFLOW || c == CI_AUDIT)) accumulators(out, m->plan->item[k].id, get(m->doc[m->item[k].first_job], "report"));
  }
  gallery(out, m, dir, n_dir);
  provenance(out, m);
  qv_buf_printf(out, "<script>%s</script></body></html>\n", SCRIPT);
  return out->failed ? QV_FAIL(err, QV_E_NOMEM, "out of memory") : QV_OK;
}
