#include "cli/text.h"

#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/json.h"

static bool utf8;

void cli_text_init(void) {
  (void)setlocale(LC_CTYPE, "");
  utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

bool cli_utf8(void) { return utf8; }
const char *cli_dash(void) { return utf8 ? "\u2014" : "-"; }
const char *cli_times(void) { return utf8 ? "\u00d7" : "x"; }

/* Bytes of the printable character at p, 0 if it has to be escaped. C1 controls (U+0080..U+009F) can drive a terminal too, and
 * the bidirectional controls can make a line read differently from its bytes. */
static size_t printable(const unsigned char *p, size_t n) {
  if (p[0] < 0x80) return p[0] >= 0x20 && p[0] != 0x7F;
  size_t k = utf8 ? qv_utf8_len(p, n) : 0;
  if (k == 2 && p[0] == 0xC2 && p[1] < 0xA0) return 0;
  if (k == 3 && p[0] == 0xE2 && ((p[1] == 0x80 && p[2] >= 0x8B && p[2] <= 0xAF) || (p[1] == 0x81 && p[2] >= 0xA0 && p[2] <= 0xAF)))
    return 0;
  return k;
}

const char *cli_safe(qv_arena *a, const char *s) {
  const unsigned char *p = (const unsigned char *)s;
  size_t n = strlen(s), j = 0;
  char *out = n < SIZE_MAX / 8 ? qv_arena_alloc(a, 4 * n + 1, 1) : NULL;
  if (out == NULL) return "?";
  for (size_t i = 0, k; i < n; i += k) {
    k = printable(p + i, n - i);
    if (k > 0) memcpy(out + j, p + i, k);
    else (void)snprintf(out + j, 5, "\\x%02x", p[i]);
    j += k > 0 ? k : 4;
    if (k == 0) k = 1;
  }
  return out;
}

void cli_col(cli_table *t, const char *head, bool right) {
  if (t->cols == CLI_MAX_COLS) return;
  t->head[t->cols] = head;
  t->right[t->cols++] = right;
}

void cli_cell(cli_table *t, const char *fmt, ...) {
  if (t->failed) return;
  if (t->n == t->cap) {
    size_t cap = t->cap == 0 ? 256 : 2 * t->cap;
    const char **p = realloc(t->cell, cap * sizeof *p);
    if (p == NULL) {
      t->failed = true;
      return;
    }
    t->cell = p;
    t->cap = cap;
  }
  va_list ap, ap2;
  va_start(ap, fmt);
  va_copy(ap2, ap);
  int n = vsnprintf(NULL, 0, fmt, ap);
  char *s = n < 0 ? NULL : qv_arena_alloc(&t->arena, (size_t)n + 1, 1);
  if (s != NULL) (void)vsnprintf(s, (size_t)n + 1, fmt, ap2);
  va_end(ap2);
  va_end(ap);
  t->failed |= s == NULL;
  t->cell[t->n++] = s;
}

/* Columns on the screen, one per character: good enough for the names that occur. */
static size_t columns(const char *s) {
  size_t n = 0;
  for (; *s != 0; s++) n += ((unsigned char)*s & 0xC0) != 0x80;
  return n;
}

static void row(qv_buf *out, const cli_table *t, const char *const *cell, const size_t *width) {
  for (uint32_t c = 0; c < t->cols; c++) {
    size_t pad = width[c] - columns(cell[c]);
    qv_buf_str(out, "  ");
    if (t->right[c]) qv_buf_printf(out, "%*s", (int)pad, "");
    qv_buf_str(out, cell[c]);
    if (!t->right[c] && c + 1 < t->cols) qv_buf_printf(out, "%*s", (int)pad, "");
  }
  qv_buf_str(out, "\n");
}

void cli_table_print(qv_buf *out, cli_table *t) {
  size_t width[CLI_MAX_COLS] = {0};
  if (t->failed) out->failed = true;
  else {
    for (uint32_t c = 0; c < t->cols; c++) width[c] = columns(t->head[c]);
    for (size_t i = 0; i < t->n; i++) {
      size_t w = columns(t->cell[i]);
      if (w > width[i % t->cols]) width[i % t->cols] = w;
    }
    row(out, t, t->head, width);
    for (size_t i = 0; i + t->cols <= t->n; i += t->cols) row(out, t, t->cell + i, width);
  }
  free(t->cell);
  qv_arena_clear(&t->arena);
  *t = (cli_table){0};
}

void cli_wrap(qv_buf *out, const char *text, size_t indent, size_t width) {
  size_t col = indent;
  for (const char *p = text; *p != 0;) {
    size_t k = strcspn(p, " \n"), w = 0;
    for (size_t i = 0; i < k; i++) w += ((unsigned char)p[i] & 0xC0) != 0x80;
    if (col > indent && col + 1 + w > width) {
      qv_buf_printf(out, "\n%*s", (int)indent, "");
      col = indent;
    }
    if (col > indent) {
      qv_buf_str(out, " ");
      col++;
    }
    qv_buf_put(out, p, k);
    col += w;
    p += k;
    if (*p == '\n') {
      qv_buf_printf(out, "\n%*s", (int)indent, "");
      col = indent;
    }
    if (*p != 0) p++;
  }
  qv_buf_str(out, "\n");
}
