#include "ir/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void default_hook(const char *cond, const char *file, int line) {
  fprintf(stderr, "qverify: internal check failed: %s (%s:%d)\n", cond, file, line);
  abort();
}

qv_assert_hook qv_on_assert = default_hook;

qv_status qv_fail(qv_err *err, qv_status code, const char *where, const char *fmt, ...) {
  if (err == NULL || err->code != QV_OK) return code;
  err->code = code;
  err->where = where;
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(err->msg, sizeof err->msg, fmt, ap);
  va_end(ap);
  return code;
}

const char *qv_status_name(qv_status s) {
  switch (s) {
  case QV_OK: return "ok";
  case QV_E_ARG: return "argument";
  case QV_E_PARSE: return "malformed input";
  case QV_E_UNSUP: return "unsupported";
  case QV_E_RANGE: return "out of range";
  case QV_E_NOMEM: return "out of memory";
  case QV_E_IO: return "input/output";
  case QV_E_LIMIT: return "limit reached";
  case QV_E_INTERNAL: return "internal";
  }
  return "?";
}

const char *qv_verdict_name(qv_verdict v) {
  switch (v) {
  case QV_UNKNOWN: return "UNKNOWN";
  case QV_FALSIFIED: return "FALSIFIED";
  case QV_VERIFIED: return "VERIFIED";
  }
  return "?";
}
