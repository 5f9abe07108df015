#include "cli/figure.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 860, HEIGHT = 520, LEFT = 84, RIGHT = 200, TOP = 44, BOTTOM = 56, LINE = 16 };

/* Colours by class, so that one place knows both themes. */
static const char style[] =
    "svg{font:13px system-ui,sans-serif;background:#fff;color:#1b1f24}"
    ".a{stroke:#8a929c;fill:none}.g{stroke:#e3e6ea;fill:none}text{fill:#1b1f24}.t{font-size:15px;font-weight:600}"
    ".s0{--c:#0b57d0}.s1{--c:#c5221f}.s2{--c:#e37400}.s3{--c:#188038}.s4{--c:#8430ce}.s5{--c:#007b83}.s6{--c:#a50e6b}.s7{--c:#6b5300}"
    ".s8{--c:#5f6368}.s9{--c:#b06000}.s10{--c:#3c4043}.s11{--c:#2e7d9a}.p{stroke:var(--c);fill:none;stroke-width:1.4}.m{stroke:var(--c);fill:var(--c)}"
    "@media(prefers-color-scheme:dark){svg,body{background:#14171b!important;color:#e6e9ee}text{fill:#e6e9ee}.g{stroke:#2a2f36}"
    ".s0{--c:#8ab4f8}.s1{--c:#f28b82}.s2{--c:#fdb662}.s3{--c:#81c995}.s4{--c:#c58af9}.s5{--c:#78d9ec}.s6{--c:#ff8bcb}.s7{--c:#d7c37c}"
    ".s8{--c:#bdc1c6}.s9{--c:#fcad70}.s10{--c:#e8eaed}.s11{--c:#7fc7e0}}";

static void escaped(qv_buf *out, const char *s, size_t n) {
  for (; n > 0; n--, s++) {
    if (*s == '&') qv_buf_str(out, "&amp;");
    else if (*s == '<') qv_buf_str(out, "&lt;");
    else if (*s == '>') qv_buf_str(out, "&gt;");
    else if (*s == '"') qv_buf_str(out, "&quot;");
    else if ((unsigned char)*s >= 0x20) qv_buf_put(out, s, 1);
  }
}

typedef struct {
  double x0, x1, y1; /* data ranges; y starts at y0 */
  double y0;
} frame;

static double px(const frame *f, double x) { return LEFT + (WIDTH - LEFT - RIGHT) * (f->x1 > f->x0 ? (x - f->x0) / (f->x1 - f->x0) : 0.5); }

static double py(const frame *f, double y) {
  double s = f->y1 > f->y0 ? sqrt(fmax(y - f->y0, 0) / (f->y1 - f->y0)) : 0;
  return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * s;
}

static frame frame_of(const cli_figure *f) {
  frame r = {INFINITY, -INFINITY, 0, 0};
  for (uint32_t i = 0; i < f->n; i++)
    for (uint32_t k = 0; k < f->series[i].n; k++) {
      const cli_fig_point *p = &f->series[i].point[k];
      r.x0 = fmin(r.x0, p->x);
      r.x1 = fmax(r.x1, p->x);
      r.y0 = fmin(r.y0, p->y);
      r.y1 = fmax(r.y1, p->y);
    }
  return r;
}

/* A round step that cuts `span` into about `n` parts. */
static double round_step(double span, int n) {
  double raw = span / n, p = pow(10, floor(log10(raw)));
  return raw <= p ? p : raw <= 2 * p ? 2 * p : raw <= 5 * p ? 5 * p : 10 * p;
}

static void axes(qv_buf *out, const cli_figure *f, const frame *r) {
  double bottom = HEIGHT - BOTTOM;
  if (r->x1 > r->x0) {
    double s = round_step(r->x1 - r->x0, 7);
    for (double x = ceil(r->x0 / s) * s; x <= r->x1 * (1 + 1e-12); x += s)
      qv_buf_printf(out, "<path class=\"g\" d=\"M%.1f %d V%.1f\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.6g</text>\n", px(r, x), TOP, bottom,
                    px(r, x), bottom + 18, x);
  }
  for (int i = 0; i <= 6 && r->y1 > r->y0; i++) {
    double y = r->y0 + (r->y1 - r->y0) * (i / 6.0) * (i / 6.0);
    qv_buf_printf(out, "<path class=\"g\" d=\"M%d %.1f H%d\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.3g</text>\n", LEFT, py(r, y), WIDTH - RIGHT,
                  LEFT - 8, py(r, y) + 4, y);
  }
  qv_buf_printf(out, "<path class=\"a\" d=\"M%d %d V%.1f H%d\"/>\n<text class=\"t\" x=\"%d\" y=\"24\">", LEFT, TOP, bottom, WIDTH - RIGHT, LEFT);
  escaped(out, f->title, strlen(f->title));
  qv_buf_printf(out, "</text>\n<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14);
  escaped(out, f->x_name, strlen(f->x_name));
  qv_buf_printf(out, "</text>\n<text x=\"18\" y=\"%d\" text-anchor=\"middle\" transform=\"rotate(-90 18 %d)\">", HEIGHT / 2, HEIGHT / 2);
  escaped(out, f->y_name, strlen(f->y_name));
  qv_buf_str(out, "</text>\n");
}

/* Marks differ in shape as well as in colour. */
static void mark(qv_buf *out, unsigned shape, double x, double y, bool filled, double size) {
  const char *c = filled ? "m" : "p";
  switch (shape % 4) {
  case 0: qv_buf_printf(out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"", c, x, y, size); break;
  case 1: qv_buf_printf(out, "<path class=\"%s\" d=\"M%.1f %.1f l%.1f %.1f l%.1f 0 z\"", c, x, y - size, size, 2 * size, -2 * size); break;
  case 2: qv_buf_printf(out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"", c, x - size, y - size, 2 * size, 2 * size); break;
  default:
    qv_buf_printf(out, "<path class=\"%s\" d=\"M%.1f %.1f l%.1f %.1f m0 %.1f l%.1f %.1f\"", c, x - size, y - size, 2 * size, 2 * size, -2 * size, -2 * size,
                  2 * size);
  }
}

static void series(qv_buf *out, const cli_fig_series *s, unsigned i, const frame *r) {
  qv_buf_printf(out, "<g class=\"s%u\">\n", i % 12);
  if (s->line && s->n > 0) {
    qv_buf_printf(out, "<path class=\"p\" d=\"M%.1f %.1f", px(r, s->point[0].x), py(r, s->point[0].y));
    for (uint32_t k = 1; k < s->n; k++) qv_buf_printf(out, " H%.1f V%.1f", px(r, s->point[k].x), py(r, s->point[k].y));
    qv_buf_str(out, "\"/>\n");
  }
  for (uint32_t k = 0; k < s->n; k++) {
    const cli_fig_point *p = &s->point[k];
    mark(out, i, px(r, p->x), py(r, p->y), p->mark, 3.2);
    if (p->note == NULL) {
      qv_buf_str(out, "/>\n");
      continue;
    }
    qv_buf_str(out, "><title>");
    escaped(out, p->note, strlen(p->note));
    static const char *const end[] = {"</title></circle>\n", "</title></path>\n", "</title></rect>\n", "</title></path>\n"};
    qv_buf_str(out, end[i % 4]);
  }
  double y = TOP + 14 + 20.0 * i;
  mark(out, i, WIDTH - RIGHT + 22, y - 4, true, 4);
  qv_buf_printf(out, "/>\n<text x=\"%d\" y=\"%.1f\">", WIDTH - RIGHT + 34, y);
  escaped(out, s->name, strlen(s->name));
  qv_buf_str(out, "</text>\n</g>\n");
}

static void body(qv_buf *out, const cli_figure *f) {
  frame r = frame_of(f);
  axes(out, f, &r);
  for (uint32_t i = f->n; i-- > 0;) series(out, &f->series[i], i, &r); /* the first on top */
}

/* Longest line and number of lines. */
static int measure(int *most, const char *text) {
  int n = 0;
  *most = 0;
  while (*text != 0) {
    size_t len = strcspn(text, "\n");
    if (len < 10000 && (int)len > *most) *most = (int)len;
    if (n < 10000) n++;
    text += len + (text[len] == '\n');
  }
  return n;
}

void cli_figure_svg(qv_buf *out, const cli_figure *f, const char *below) {
  int most, n = measure(&most, below), height = HEIGHT + (n > 0 ? LINE * (n + 1) : 0), width = LINE * most / 2 + 2 * LINE;
  if (width < WIDTH) width = WIDTH;
  qv_buf_printf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\">\n<style>%s.l{font:11px monospace;white-space:pre}</style>\n",
                width, height, width, height, style);
  body(out, f);
  for (int y = HEIGHT + LINE; *below != 0; y += LINE) {
    size_t len = strcspn(below, "\n");
    qv_buf_printf(out, "<text class=\"l\" xml:space=\"preserve\" x=\"%d\" y=\"%d\">", LINE, y);
    escaped(out, below, len);
    qv_buf_str(out, "</text>\n");
    below += len + (below[len] == '\n');
  }
  qv_buf_str(out, "</svg>\n");
}

void cli_figure_html(qv_buf *out, const cli_figure *f, const char *below) {
  qv_buf_str(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>");
  escaped(out, f->title, strlen(f->title));
  qv_buf_printf(out, "</title><style>body{margin:16px;background:#fff;color:#1b1f24;font:14px system-ui,sans-serif}pre{overflow-x:auto}svg{max-width:100%%;height:auto}%s</style></head><body>\n",
                style);
  qv_buf_printf(out, "<svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\">\n", WIDTH, HEIGHT, WIDTH, HEIGHT);
  body(out, f);
  qv_buf_str(out, "</svg>\n<pre>");
  for (const char *s = below; *s != 0; s++) { /* line breaks stay */
    if (*s == '\n') qv_buf_str(out, "\n");
    else escaped(out, s, 1);
  }
  qv_buf_str(out, "</pre>\n</body></html>\n");
}
