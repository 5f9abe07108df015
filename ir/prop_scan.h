/* Scanner of the canonical property text (docs/property.md); not for use outside ir/. */
#ifndef QV_IR_PROP_SCAN_H
#define QV_IR_PROP_SCAN_H

#include <stdbool.h>

#include "ir/property.h"

typedef struct {
  const char *p, *end;
  int64_t line; /* 1-based, of p */
  qv_err *err;
} qv_scan;

/* Fail at the scanner's line. */
#define QV_SCAN_BAD(r, ...) qv_scan_bad((r), QV_FAIL((r)->err, QV_E_PARSE, __VA_ARGS__))
qv_status qv_scan_bad(qv_scan *r, qv_status st);

/* Consume the literal, if it is next. */
bool qv_scan_eat(qv_scan *r, const char *s);
/* Canonical decimal within int64: -?(0|[1-9][0-9]*), not -0. False and nothing consumed otherwise. */
bool qv_scan_int(qv_scan *r, int64_t *v);
/* The same within [lo,hi]. */
bool qv_scan_in(qv_scan *r, int64_t *v, int64_t lo, int64_t hi);
/* Is there room for n more pieces of at least `bytes` bytes each? Counts are not believed before the text that backs them is there. */
bool qv_scan_room(const qv_scan *r, uint64_t n, uint64_t bytes);

/* The condition of a robustness property: `keep ..` or `violations ..` with all that follows it. */
QV_NODISCARD qv_status qv_scan_condition(qv_condition *c, qv_scan *r, qv_arena *arena, const qv_net *net);

#endif
