/* Figures of the page. Coordinates are percent of the width and pixels of the height, so that text keeps its size on a phone. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ci_page.h"

#define MAX_ROWS 200   /* accumulators drawn for one network */
#define MAX_BINS 32    /* of a histogram */
#define MAX_POINTS 400 /* of a front */
#define MAX_SERIES 40  /* robustness obligations compared */

static const cJSON *report_of(const ci_merged *m, uint32_t item, uint32_t job) {
  const ci_outcome *o = &m->item[item];
  return m->plan->item[item].selected && o->report != NULL && job < o->n_jobs ? o->report[job] : NULL;
}

static void subtitle(qv_buf *b, const ci_item *i) {
  qv_buf_str(b, "<h3>");
  ci_escape(b, i->id);
  if (i->model != NULL) {
    qv_buf_str(b, " <span class=\"dim\">");
    ci_escape(b, i->model);
    qv_buf_str(b, "</span>");
  }
  qv_buf_str(b, "</h3>\n");
}

/* ---- accumulators: proved range against the machine's, on a signed logarithmic axis -------------------------------------------------------- */

typedef struct {
  const char *lo, *hi, *bits, *needed, *mode, *verdict; /* texts of the report; NULL: not there */
  const cJSON *x;
} accumulator;

static bool read_accumulator(accumulator *a, const cJSON *x) {
  const cJSON *acc = ci_get(x, "accumulator"), *range = ci_get(x, "bound");
  *a = (accumulator){ci_word(range, "lo"),
                     ci_word(range, "hi"),
                     ci_word(acc, "bits"),
                     ci_word(acc, "bits_needed"),
                     ci_word(acc, "mode"),
                     ci_word(x, "verdict"),
                     x};
  return cJSON_IsObject(acc) && isfinite(ci_real(a->lo)) && isfinite(ci_real(a->hi));
}

/* Where v stands on an axis that shows -2^top .. 2^top, in percent. */
static double place(double v, double top) {
  double s = log2(1 + fabs(v)) / top;
  return 50 + (v < 0 ? -50 : 50) * (s > 1 ? 1 : s);
}

static const char *colour(const char *verdict) {
  if (verdict != NULL && strcmp(verdict, "VERIFIED") == 0) return "VERIFIED";
  return verdict != NULL && strcmp(verdict, "FALSIFIED") == 0 ? "FALSIFIED" : "UNKNOWN";
}

static void accumulator_row(qv_buf *b, const accumulator *a, double top) {
  const char *c = colour(a->verdict);
  double bits = ci_real(a->bits), from = place(ci_real(a->lo), top), to = place(ci_real(a->hi), top);
  qv_buf_str(b, "<div class=\"acc\"><span class=\"l\">");
  ci_escape(b, ci_word(a->x, "layer"));
  qv_buf_str(b, " ");
  ci_escape(b, ci_word(a->x, "op"));
  qv_buf_str(b, "</span><span class=\"rail\" title=\"proved range [");
  ci_escape(b, a->lo);
  qv_buf_str(b, ", ");
  ci_escape(b, a->hi);
  qv_buf_str(b, "]\">");
  if (bits >= 1 && bits <= 128) { /* a report may have been tampered with */
    double l = place(-ldexp(1, (int)bits - 1), top), r = place(ldexp(1, (int)bits - 1) - 1, top);
    qv_buf_printf(b, "<i style=\"left:%.2f%%;width:%.2f%%\"></i>", l, r - l);
  }
  qv_buf_printf(b, "<b class=\"%s\" style=\"left:%.2f%%;width:%.2f%%\"></b></span><span class=\"n %s\">%s", c, from, to - from, c,
                strcmp(c, "VERIFIED") == 0    ? "&#10003; "
                : strcmp(c, "FALSIFIED") == 0 ? "&#10007; "
                                              : "? ");
  ci_escape(b, a->needed != NULL ? a->needed : "?");
  qv_buf_str(b, a->bits != NULL ? " of " : " bits, ");
  ci_escape(b, a->bits);
  qv_buf_str(b, " ");
  ci_escape(b, a->mode);
  qv_buf_str(b, "</span>");
  if (strcmp(c, "VERIFIED") != 0 && ci_word(a->x, "reason") != NULL) {
    qv_buf_str(b, "<small class=\"why\">");
    ci_escape(b, ci_word(a->x, "reason"));
    qv_buf_str(b, "</small>");
  }
  qv_buf_str(b, "</div>\n");
}

static void ticks(qv_buf *b, int top) {
  int step = top > 32 ? 16 : 8;
  qv_buf_str(b, "<div class=\"acc axis\"><span class=\"l\"></span><span class=\"ticks\">");
  for (int k = -top; k <= top; k += step)
    if (k == 0) qv_buf_str(b, "<span style=\"left:50%\">0</span>");
    else if (abs(k) != top)
      qv_buf_printf(b, "<span style=\"left:%.2f%%\">%s2<sup>%d</sup></span>", 50 + 50.0 * k / top, k < 0 ? "&#8722;" : "", abs(k));
  qv_buf_str(b, "</span><span class=\"n\"></span></div>\n");
}

static void accumulators(qv_buf *b, const ci_item *i, const cJSON *report) {
  const cJSON *x;
  accumulator a;
  double most = 8;
  int n = 0, row = 0;
  cJSON_ArrayForEach(x, ci_get(report, "obligations")) {
    if (!read_accumulator(&a, x)) continue;
    n++;
    double bits = ci_real(a.bits), size = log2(1 + fmax(fabs(ci_real(a.lo)), fabs(ci_real(a.hi))));
    most = fmax(most, fmax(isfinite(bits) ? bits - 1 : 0, size));
  }
  if (n == 0) return;
  const int top = most >= 120 ? 128 : 8 * ((int)most / 8 + 1);
  subtitle(b, i);
  qv_buf_printf(b, "<div style=\"--k:%d\">\n", 2 * top / (top > 32 ? 16 : 8));
  cJSON_ArrayForEach(x, ci_get(report, "obligations")) if (read_accumulator(&a, x) && row++ < MAX_ROWS) accumulator_row(b, &a, top);
  ticks(b, top);
  qv_buf_str(b, "</div>\n");
  if (n > MAX_ROWS) qv_buf_printf(b, "<p class=\"dim\">Showing %d of %d; all in the bundle.</p>\n", MAX_ROWS, n);
}

void ci_page_accumulators(const ci_page *p) {
  const size_t start = p->b->n;
  ci_heading(p->b, "accumulators", "Accumulators");
  qv_buf_str(p->b, "<p class=\"dim\">Bar: the range that every sum of the layer is proved to stay in, on a signed logarithmic scale. Frame "
                   "behind it: what the machine's accumulator holds. Right: bits needed of bits there are.</p>\n");
  const size_t empty = p->b->n;
  for (uint32_t k = 0; k < p->m->plan->n_item; k++) {
    const ci_check c = p->m->plan->item[k].check;
    if (c == CI_OVERFLOW || c == CI_AUDIT || c == CI_BASELINE) accumulators(p->b, &p->m->plan->item[k], report_of(p->m, k, 0));
  }
  if (p->b->n == empty) p->b->n = start;
}

/* ---- robustness: share of the questions by verdict, obligations beside each other ----------------------------------------------------------- */

/* What was asked, out of the first report: "eps 2". */
static void asked(qv_buf *b, const cJSON *report) {
  const cJSON *c = ci_get(report, "config_effective");
  if (ci_word(c, "question") == NULL) return;
  qv_buf_str(b, " <small>");
  ci_escape(b, ci_word(c, "question"));
  if (ci_word(c, "size") != NULL) {
    qv_buf_str(b, strcmp(ci_word(c, "question"), "radius") == 0 ? " up to " : " ");
    ci_escape(b, ci_word(c, "size"));
  }
  qv_buf_str(b, "</small>");
}

void ci_page_shares(const ci_page *p) {
  uint32_t rows = 0, more = 0;
  for (uint32_t k = 0; k < p->m->plan->n_item; k++) {
    const ci_item *i = &p->m->plan->item[k];
    const ci_outcome *o = &p->m->item[k];
    const uint32_t all = o->verified + o->falsified + o->unknown;
    if (!i->selected || (i->check != CI_ROBUST && i->check != CI_RADIUS) || all == 0) continue;
    if (rows >= MAX_SERIES) {
      more++;
      continue;
    }
    if (rows++ == 0) {
      ci_heading(p->b, "shares", "Robustness");
      qv_buf_str(p->b, "<p class=\"legend\"><span><i style=\"background:var(--ok)\"></i>verified</span><span><i "
                       "style=\"background:var(--open)\"></i>open</span><span><i style=\"background:var(--bad)\"></i>refuted</span></p>\n");
    }
    qv_buf_str(p->b, "<div class=\"acc\"><span class=\"l\">");
    ci_escape(p->b, i->id);
    asked(p->b, report_of(p->m, k, 0));
    qv_buf_str(p->b, "</span><span class=\"meter rail\" style=\"background:none\">");
    const uint32_t part[] = {o->verified, o->unknown, o->falsified};
    static const char *const name[] = {"ok", "open", "bad"};
    for (int v = 0; v < 3; v++)
      qv_buf_printf(p->b, "<i style=\"position:static;border:0;width:%.3f%%;background:var(--%s)\"></i>", 100.0 * part[v] / all, name[v]);
    qv_buf_printf(p->b, "</span><span class=\"n\">%" PRIu32 " of %" PRIu32 "</span></div>\n", o->verified, all);
  }
  if (more > 0)
    qv_buf_printf(p->b, "<p class=\"dim\">Showing %" PRIu32 " of %" PRIu32 " obligations; all are in the table above.</p>\n", rows,
                  rows + more);
}

/* ---- certified radii ---------------------------------------------------------------------------------------------------------------------- */

typedef struct {
  int64_t required;                         /* -1: none */
  int64_t most, width;                      /* largest proved radius; of a bin */
  uint32_t n, none;                         /* samples; of these without any proved radius, not even 0 */
  uint32_t exact[MAX_BINS], part[MAX_BINS]; /* radius known exactly; certified at least this, open above */
} radii;

static int64_t whole(const cJSON *o, const char *key) {
  double v = ci_real(ci_word(o, key));
  return v >= 0 && v < 1e15 ? (int64_t)v : -1;
}

/* pass 0: sizes; pass 1: bins */
static void count(radii *r, const ci_page *p, uint32_t item, int pass) {
  for (uint32_t j = 0; j < p->m->item[item].n_jobs - p->m->item[item].n_old; j++) {
    const cJSON *x;
    cJSON_ArrayForEach(x, ci_get(report_of(p->m, item, j), "obligations")) {
      const cJSON *d = ci_get(x, "radius");
      if (!cJSON_IsObject(d)) continue;
      const int64_t proved = whole(d, "proved"), refuted = whole(d, "refuted");
      if (pass == 0) {
        r->n++;
        r->none += proved < 0;
        r->required = whole(d, "required");
        if (proved > r->most) r->most = proved;
        continue;
      }
      if (proved < 0) continue;
      if (refuted == proved + 1) r->exact[proved / r->width]++;
      else r->part[proved / r->width]++;
    }
  }
}

static void histogram(qv_buf *b, const radii *r) {
  enum { H = 150, TOP = 16 };
  const int n = (int)(r->most / r->width) + 1;
  uint32_t most = 1;
  for (int k = 0; k < n; k++)
    if (r->exact[k] + r->part[k] > most) most = r->exact[k] + r->part[k];
  const double w = 100.0 / (n > 8 ? n : 8);
  qv_buf_printf(b,
                "<svg class=\"hist\" role=\"img\" aria-label=\"histogram of certified radii\" height=\"%d\">\n<line x1=\"0\" x2=\"100%%\" "
                "y1=\"%d\" y2=\"%d\"/>",
                H + 22, H, H);
  for (int k = 0; k < n; k++) {
    const uint32_t part[] = {r->exact[k], r->part[k]}, all = part[0] + part[1];
    const bool small = r->required >= 0 && (k + 1) * r->width - 1 < r->required;
    double y = H;
    for (int s = 0; s < 2; s++) {
      const double h = (double)(H - TOP) * part[s] / most;
      y -= h;
      if (part[s] > 0)
        qv_buf_printf(b,
                      "<rect class=\"%s%s\" x=\"%.2f%%\" width=\"%.2f%%\" y=\"%.1f\" height=\"%.1f\"><title>%" PRIu32 "%s</title></rect>",
                      small ? "short" : "bar", s == 1 ? " part" : "", k * w + 0.1 * w, 0.8 * w, y, h, part[s],
                      s == 1 ? " certified to this radius, open above" : " of exactly this radius");
    }
    if (all > 0) qv_buf_printf(b, "<text x=\"%.2f%%\" y=\"%.1f\" text-anchor=\"middle\">%" PRIu32 "</text>", (k + 0.5) * w, y - 4, all);
    if (n <= 16 || k % (n / 8) == 0)
      qv_buf_printf(b, "<text class=\"d\" x=\"%.2f%%\" y=\"%d\" text-anchor=\"middle\">%" PRId64 "</text>", (k + 0.5) * w, H + 15,
                    k * r->width);
  }
  if (r->required >= 0 && r->required / r->width < n)
    qv_buf_printf(b, "<line class=\"limit\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"0\" y2=\"%d\"/>", (double)r->required / (double)r->width * w,
                  (double)r->required / (double)r->width * w, H);
  qv_buf_str(b, "</svg>\n");
}

void ci_page_radii(const ci_page *p) {
  bool first = true;
  for (uint32_t k = 0; k < p->m->plan->n_item; k++) {
    radii r = {.required = -1, .width = 1};
    if (p->m->plan->item[k].check != CI_RADIUS) continue;
    count(&r, p, k, 0);
    if (r.n == 0) continue;
    r.width = r.most / MAX_BINS + 1;
    count(&r, p, k, 1);
    if (first) ci_heading(p->b, "radii", "Certified radii");
    first = false;
    subtitle(p->b, &p->m->plan->item[k]);
    qv_buf_printf(p->b,
                  "<p class=\"dim\">%" PRIu32
                  " samples by the largest distance, in integer steps, within which the answer is proved not to change",
                  r.n);
    if (r.width > 1) qv_buf_printf(p->b, " (%" PRId64 " distances a bar)", r.width);
    if (r.none > 0) qv_buf_printf(p->b, "; %" PRIu32 " without one, as the sample itself is refuted or open", r.none);
    qv_buf_str(p->b, ".</p>\n<p class=\"legend\"><span><i style=\"background:var(--blue)\"></i>certified</span>");
    if (r.required > 0)
      qv_buf_printf(p->b, "<span><i style=\"background:var(--bad)\"></i>below the required %" PRId64 "</span>", r.required);
    qv_buf_str(p->b, "<span>full: exact; pale: open above</span></p>\n");
    histogram(p->b, &r);
  }
}

/* ---- allocations: the front, its hull, the budget, the choice ---------------------------------------------------------------------------------- */

typedef struct {
  double x0, x1, y1; /* least and largest cost; largest loss. Losses are drawn as square roots, so that small ones can be told apart */
} frame;

enum { F_H = 260, F_TOP = 12, F_LEFT = 9, F_RIGHT = 97 }; /* px; percent */

static double fx(const frame *f, double x) {
  return F_LEFT + 4 + (F_RIGHT - F_LEFT - 6) * (f->x1 > f->x0 ? (x - f->x0) / (f->x1 - f->x0) : 0.5);
}
static double fy(const frame *f, double y) { return F_H - (F_H - F_TOP) * (f->y1 > 0 ? sqrt(fmax(y, 0) / f->y1) : 0) * 0.95; }

static double cost_of(const cJSON *point, const char *cost) { return ci_real(ci_word(ci_get(point, "costs"), cost)); }

static double limit_of(const cJSON *report, const char *cost) {
  const cJSON *l;
  cJSON_ArrayForEach(l, ci_get(report, "limits")) {
    const char *name = ci_word(l, "name");
    if (name != NULL && strcmp(name, cost) == 0) return ci_real(ci_word(l, "limit"));
  }
  return NAN;
}

static void cover(frame *f, double x, double y) {
  if (!isfinite(x)) return;
  f->x0 = fmin(f->x0, x);
  f->x1 = fmax(f->x1, x);
  if (isfinite(y)) f->y1 = fmax(f->y1, y);
}

static void spot(qv_buf *b, const char *class, double x, double y, double r, const char *what, const char *loss, double cost) {
  qv_buf_printf(b, "<circle class=\"%s\" cx=\"%.2f%%\" cy=\"%.1f\" r=\"%.1f\"><title>%s: loss ", class, x, y, r, what);
  ci_escape(b, loss);
  qv_buf_printf(b, ", cost %.10g</title></circle>", cost);
}

static void front(qv_buf *b, const cJSON *single, const cJSON *whole_front) {
  const cJSON *list = ci_get(ci_get(whole_front, "front"), "points"), *sol = ci_get(single, "solution"), *q;
  const char *cost = ci_word(ci_get(whole_front, "front"), "cost");
  frame f = {INFINITY, -INFINITY, 0};
  if (cost == NULL || list == NULL || list->child == NULL) return;
  const double limit = limit_of(single, cost), chosen = cJSON_IsObject(sol) ? cost_of(sol, cost) : NAN,
               loss = ci_real(ci_word(sol, "loss"));
  int n = 0, all = cJSON_GetArraySize(list), hull = 0;
  cJSON_ArrayForEach(q, list) {
    cover(&f, cost_of(q, cost), ci_real(ci_word(q, "loss")));
    hull += cJSON_IsTrue(ci_get(q, "hull"));
  }
  cover(&f, limit, NAN);
  cover(&f, chosen, loss);
  if (!(f.x1 >= f.x0)) return;
  qv_buf_printf(b,
                "<p class=\"legend\"><span><i style=\"border:2px solid var(--blue);border-radius:50%%\"></i>front, %d "
                "points</span><span><i style=\"background:var(--blue);border-radius:50%%\"></i>on its hull, %d</span>",
                all, hull);
  if (isfinite(limit)) qv_buf_printf(b, "<span><i style=\"background:var(--bad);width:3px\"></i>budget %.10g</span>", limit);
  if (isfinite(chosen))
    qv_buf_printf(b, "<span><i style=\"background:var(--ok);border-radius:50%%\"></i>chosen: loss %.6g, cost %.10g</span>", loss, chosen);
  qv_buf_printf(b, "</p>\n<svg class=\"hist\" role=\"img\" aria-label=\"front of loss and cost\" height=\"%d\">", F_H + 40);
  qv_buf_printf(b, "<line x1=\"%d%%\" x2=\"%d%%\" y1=\"%d\" y2=\"%d\"/><line x1=\"%d%%\" x2=\"%d%%\" y1=\"%d\" y2=\"%d\"/>\n", F_LEFT,
                F_RIGHT, F_H, F_H, F_LEFT, F_LEFT, F_TOP, F_H);
  for (int k = 0; k <= 4; k++) {
    const double y = f.y1 * (k / 4.0) * (k / 4.0), x = f.x0 + (f.x1 - f.x0) * k / 4;
    qv_buf_printf(b, "<text class=\"d\" x=\"%d%%\" dx=\"-4\" y=\"%.1f\" text-anchor=\"end\">%.2g</text>", F_LEFT, fy(&f, y) + 4, y);
    if (k % 2 == 0 && (k == 0 || f.x1 > f.x0))
      qv_buf_printf(b, "<text class=\"d\" x=\"%.2f%%\" y=\"%d\" text-anchor=\"middle\">%.4g</text>", fx(&f, x), F_H + 16, x);
  }
  qv_buf_printf(b, "<text class=\"d\" x=\"%d%%\" y=\"%d\" text-anchor=\"middle\">", (F_LEFT + F_RIGHT) / 2, F_H + 34);
  ci_escape(b, cost);
  qv_buf_str(b, "</text><text class=\"d\" x=\"0\" y=\"9\">loss</text>\n");
  if (isfinite(limit))
    qv_buf_printf(b, "<line class=\"limit\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"%d\" y2=\"%d\"/>\n", fx(&f, limit), fx(&f, limit), F_TOP, F_H);
  double px = NAN, py = NAN;
  qv_buf marks = {0};
  cJSON_ArrayForEach(q, list) {
    const double c = cost_of(q, cost), l = ci_real(ci_word(q, "loss"));
    if (!isfinite(c) || !isfinite(l) || n++ >= MAX_POINTS) continue;
    const double x = fx(&f, c), y = fy(&f, l);
    if (isfinite(px))
      qv_buf_printf(b,
                    "<line class=\"f\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"%.1f\" y2=\"%.1f\"/><line class=\"f\" x1=\"%.2f%%\" x2=\"%.2f%%\" "
                    "y1=\"%.1f\" y2=\"%.1f\"/>",
                    px, x, py, py, x, x, py, y);
    const bool on_hull = cJSON_IsTrue(ci_get(q, "hull"));
    spot(&marks,
         c > limit ? on_hull ? "h out" : "p out"
         : on_hull ? "h"
                   : "p",
         x, y, 4, on_hull ? "on the hull" : "front", ci_word(q, "loss"), c);
    px = x;
    py = y;
  }
  qv_buf_str(b, "\n");
  qv_buf_put(b, marks.p, marks.n);
  b->failed = b->failed || marks.failed;
  qv_buf_free(&marks);
  if (isfinite(chosen) && isfinite(loss)) spot(b, "c", fx(&f, chosen), fy(&f, loss), 7, "chosen", ci_word(sol, "loss"), chosen);
  qv_buf_str(b, "</svg>\n");
  if (n > MAX_POINTS) qv_buf_printf(b, "<p class=\"dim\">Showing %d of %d points; all in the bundle.</p>\n", MAX_POINTS, n);
}

void ci_page_fronts(const ci_page *p) {
  const size_t start = p->b->n;
  ci_heading(p->b, "front", "Allocation");
  const size_t empty = p->b->n;
  for (uint32_t k = 0; k < p->m->plan->n_item; k++) {
    const cJSON *single = report_of(p->m, k, 0), *whole_front = report_of(p->m, k, 1);
    if (p->m->plan->item[k].check != CI_ALLOCATION || single == NULL) continue;
    subtitle(p->b, &p->m->plan->item[k]);
    if (cJSON_IsObject(ci_get(whole_front, "front"))) front(p->b, single, whole_front);
    else qv_buf_str(p->b, "<p class=\"dim\">No front: it was not asked for, or not finished in its time.</p>\n");
    const cJSON *choice = ci_get(ci_get(single, "solution"), "choice"), *c;
    if (!cJSON_IsObject(choice)) continue;
    qv_buf_str(p->b, "<details><summary>What was chosen</summary><table><thead><tr><th>group</th><th>candidate</th></tr></thead><tbody>");
    cJSON_ArrayForEach(c, choice) {
      qv_buf_str(p->b, "<tr><td>");
      ci_escape(p->b, c->string);
      qv_buf_str(p->b, "</td><td>");
      ci_escape(p->b, c->valuestring);
      qv_buf_str(p->b, "</td></tr>\n");
    }
    qv_buf_str(p->b, "</tbody></table></details>\n");
  }
  if (p->b->n == empty) p->b->n = start;
}

/* ---- time --------------------------------------------------------------------------------------------------------------------------------------- */

void ci_page_timings(const ci_page *p) {
  double most = 0, all = 0;
  uint32_t rows = 0, n = 0, cached = 0;
  for (uint32_t k = 0; k < p->m->plan->n_item; k++) {
    cached += p->m->item[k].cached;
    most = fmax(most, p->m->item[k].seconds);
    all += p->m->item[k].seconds;
    n += p->m->plan->item[k].selected;
  }
  if (n == 0) return;
  ci_heading(p->b, "time", "Time and memory");
  qv_buf_printf(p->b,
                "<p class=\"dim\">%" PRIu32 " processes, %.1f s of their time together (several run at once, and finished ones are not run "
                                            "again). Bar: seconds of each obligation.",
                p->m->plan->n_job, all);
  if (cached > 0)
    qv_buf_printf(p->b, " The results of %" PRIu32 " came from the cache; their seconds are those of the runs that made them.", cached);
  qv_buf_str(p->b, "</p>\n");
  /* The longest ones: all that take at least a thousandth of the longest, up to a limit. */
  for (uint32_t k = 0; k < p->m->plan->n_item; k++) {
    const ci_outcome *o = &p->m->item[k];
    if (!p->m->plan->item[k].selected || o->seconds < most / 1000 || rows >= MAX_ROWS) continue;
    rows++;
    qv_buf_str(p->b, "<div class=\"acc\"><span class=\"l\">");
    ci_escape(p->b, p->m->plan->item[k].id);
    qv_buf_printf(p->b,
                  "</span><span class=\"meter rail\" style=\"background:none\"><i "
                  "style=\"position:static;border:0;width:%.2f%%;background:var(--blue)\"></i></span><span class=\"n\">%.2f s, %" PRIu64
                  " MB</span></div>\n",
                  most > 0 ? 100 * o->seconds / most : 0, o->seconds, o->max_rss_kb / 1024);
  }
  if (rows < n)
    qv_buf_printf(p->b, "<p class=\"dim\">Showing %" PRIu32 " of %" PRIu32 " obligations; the seconds of all are in the table above.</p>\n",
                  rows, n);
}
