#include "ir/prop_scan.h"

#include <ctype.h>
#include <string.h>

qv_status qv_scan_bad(qv_scan *r, qv_status st) {
  if (r->err != NULL && r->err->line == 0) r->err->line = r->line;
  return st;
}

bool qv_scan_eat(qv_scan *r, const char *s) {
  size_t n = strlen(s);
  if ((size_t)(r->end - r->p) < n || memcmp(r->p, s, n) != 0) return false;
  for (size_t i = 0; i < n; i++) r->line += s[i] == '\n';
  r->p += n;
  return true;
}

bool qv_scan_int(qv_scan *r, int64_t *v) {
  const char *p = r->p;
  bool neg = p < r->end && *p == '-';
  p += neg;
  if (p == r->end || !isdigit((unsigned char)*p) || (*p == '0' && (neg || (p + 1 < r->end && isdigit((unsigned char)p[1]))))) return false;
  qv_i128 x = 0;
  for (; p < r->end && isdigit((unsigned char)*p); p++)
    if ((x = x * 10 + (*p - '0')) > ((qv_i128)1 << 63)) return false;
  if (neg) x = -x;
  if (x > INT64_MAX) return false;
  *v = (int64_t)x;
  r->p = p;
  return true;
}

bool qv_scan_in(qv_scan *r, int64_t *v, int64_t lo, int64_t hi) {
  const char *p = r->p;
  if (qv_scan_int(r, v) && *v >= lo && *v <= hi) return true;
  r->p = p;
  return false;
}

bool qv_scan_room(const qv_scan *r, uint64_t n, uint64_t bytes) { return n <= (uint64_t)(r->end - r->p) / bytes; }
