/* Text for people: aligned tables, names made harmless, UTF-8 only where the locale has it. */
#ifndef QV_CLI_TEXT_H
#define QV_CLI_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "ir/base/arena.h"
#include "ir/base/buf.h"

/* Read the locale from the environment; call once at start. Numbers are always formatted as in the C locale. */
void cli_text_init(void);
bool cli_utf8(void);
const char *cli_dash(void); /* an em dash, or "-" */
const char *cli_times(void); /* a multiplication sign, or "x" */

/* Copy of s (a name out of a file) fit for a terminal: control bytes and whatever the locale cannot show become \xNN. Lives in
 * the arena; "?" when memory is short. */
const char *cli_safe(qv_arena *a, const char *s);

/* A table is filled cell by cell, row by row, and printed with columns as wide as needed. Start as {0}. */
#define CLI_MAX_COLS 16
typedef struct {
  uint32_t cols;
  const char *head[CLI_MAX_COLS];
  bool right[CLI_MAX_COLS]; /* align right (numbers) */
  const char **cell;        /* [n], row-major */
  size_t n, cap;
  bool failed;
  qv_arena arena;
} cli_table;

void cli_col(cli_table *t, const char *head, bool right);
void cli_cell(cli_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Append the table to out, indented by two columns, and free it. */
void cli_table_print(qv_buf *out, cli_table *t);

/* Wrap text at word boundaries to `width` columns, each line after the first starting with `indent` spaces. */
void cli_wrap(qv_buf *out, const char *text, size_t indent, size_t width);

#endif
