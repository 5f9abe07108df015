/* A scatter figure as SVG, alone or inside an HTML page: self-contained, light and dark. */
#ifndef QV_CLI_FIGURE_H
#define QV_CLI_FIGURE_H

#include <stdbool.h>
#include <stdint.h>

#include "ir/base/buf.h"

typedef struct {
  double x, y;
  const char *note; /* shown on hover; NULL = none */
  bool mark;        /* drawn filled */
} cli_fig_point;

typedef struct {
  const char *name;
  bool line; /* joined by steps: right of a point its y still holds */
  uint32_t n;
  const cli_fig_point *point;
} cli_fig_series;

typedef struct {
  const char *title, *x_name, *y_name;
  uint32_t n;
  const cli_fig_series *series;
} cli_figure;

/* Append the figure. The y axis has a square-root scale from 0, so that small losses can be told apart. below: lines of plain text
 * that stand under it ("" = none). */
void cli_figure_svg(qv_buf *out, const cli_figure *f, const char *below);
void cli_figure_html(qv_buf *out, const cli_figure *f, const char *below);

#endif
