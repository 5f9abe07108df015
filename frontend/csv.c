/* .csv: one sample a line, numbers separated by commas or semicolons; a first line that does not begin with a number is a heading. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/array_util.h"

#define CSV_NUMBER 64 /* characters of one number */

typedef struct {
  const char *p, *end;
  size_t line;
  const char *what;
  qv_err *err;
} text;

static void blanks(text *t) {
  while (t->p < t->end && (*t->p == ' ' || *t->p == '\t' || *t->p == '\r')) t->p++;
}

/* One number; *last: it ends its line. */
static qv_status number(text *t, double *v, bool *last) {
  char word[CSV_NUMBER + 1], *stop;
  size_t n = 0;
  blanks(t);
  while (t->p < t->end && strchr(",;\n \t\r", *t->p) == NULL && n < CSV_NUMBER) word[n++] = *t->p++;
  word[n] = 0;
  blanks(t);
  bool digits = n > 0 && strspn(word, "0123456789+-.eE") == n;
  *v = digits ? strtod(word, &stop) : NAN;
  if (!digits || *stop != 0 || !isfinite(*v)) return QV_FAIL(t->err, QV_E_PARSE, "%s: line %zu: '%s' is not a finite number", t->what, t->line, word);
  *last = t->p == t->end || *t->p == '\n';
  if (!*last && *t->p != ',' && *t->p != ';') return QV_FAIL(t->err, QV_E_PARSE, "%s: line %zu: text behind '%s'", t->what, t->line, word);
  if (t->p < t->end) t->p++;
  return QV_OK;
}

/* Count (out NULL) or store the numbers. */
static qv_status scan(text t, double *out, size_t *rows, size_t *columns) {
  *rows = 0;
  for (t.line = 1; t.p < t.end; t.line++) {
    size_t k = 0;
    bool last = false;
    blanks(&t);
    if (t.p < t.end && *t.p == '\n') { /* empty line */
      t.p++;
      continue;
    }
    if (t.line == 1 && t.p < t.end && strchr("0123456789+-.", *t.p) == NULL) {
      while (t.p < t.end && *t.p++ != '\n') {}
      continue;
    }
    if (t.p == t.end) break;
    while (!last) {
      double v;
      qv_status st = number(&t, &v, &last);
      if (st != QV_OK) return st;
      if (out != NULL) *out++ = v;
      k++;
    }
    if (*rows > 0 && k != *columns) return QV_FAIL(t.err, QV_E_PARSE, "%s: line %zu has %zu numbers, the lines before %zu", t.what, t.line, k, *columns);
    *columns = k;
    ++*rows;
  }
  return *rows > 0 ? QV_OK : QV_FAIL(t.err, QV_E_PARSE, "%s: no numbers", t.what);
}

qv_status qv_csv_parse(qv_array *out, const void *data, size_t n, const char *what, qv_err *err) {
  text t = {.p = data, .end = (const char *)data + n, .what = what, .err = err};
  size_t dim[2] = {0, 0};
  qv_status st = scan(t, NULL, &dim[0], &dim[1]);
  if (st == QV_OK) st = qv_array_make(out, QV_EL_F64, 2, dim, dim[0] * dim[1] * sizeof(double), what, err);
  if (st == QV_OK) st = scan(t, out->data, &dim[0], &dim[1]);
  return st;
}
