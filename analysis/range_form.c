#include "analysis/range_form.h"

#include <string.h>

static uint64_t gcd(uint64_t a, uint64_t b) {
  while (b != 0) {
    uint64_t t = a % b;
    a = b;
    b = t;
  }
  return a;
}

static bool same(qv_itv a, qv_itv b) { return a.lo == b.lo && a.hi == b.hi; }

/* The number of element e is a function of e mod n*inner, and constant on blocks of `inner`. So a common multiple of the
 * periods with a common divisor of the block lengths refines both. */
qv_form qv_form_common(qv_form a, qv_form b, size_t elems) {
  uint64_t pa = (uint64_t)a.n * a.inner, pb = (uint64_t)b.n * b.inner; /* each < 2^64 */
  uint64_t inner = a.n == 1 ? b.inner : b.n == 1 ? a.inner : gcd(a.inner, b.inner);
  if (a.n == 1 && b.n == 1) return (qv_form){1, 1};
  uint64_t period = a.n == 1 ? pb : b.n == 1 ? pa : 0;
  if (period == 0) {
    uint64_t f = pa / gcd(pa, pb);
    period = pb >= elems || f > elems / pb ? elems : f * pb; /* no overflow: f * pb <= elems in the second case */
  }
  if (period >= elems) return (qv_form){(uint32_t)((elems + inner - 1) / inner), (uint32_t)inner};
  return (qv_form){(uint32_t)(period / inner), (uint32_t)inner};
}

bool qv_ranges_pack(qv_ranges *out, bool *lossless, qv_arena *a, const qv_itv *v, size_t elems) {
  uint64_t inner = elems; /* every change of interval happens at a multiple of it */
  for (size_t e = 1; e < elems && inner > 1; e++)
    if (!same(v[e - 1], v[e])) inner = gcd(inner, e);
  size_t m = elems / inner, n = m; /* blocks; smallest period that divides them */
  for (size_t p = 1; p <= m / 2 && n == m; p++) {
    if (m % p != 0) continue;
    size_t q = p;
    while (q < m && same(v[q * inner], v[(q - p) * inner])) q++;
    if (q == m) n = p;
  }
  *lossless = n <= QV_FORM_ELEMS;
  *out = (qv_ranges){*lossless ? (uint32_t)n : 1, *lossless ? (uint32_t)inner : 1, NULL};
  if ((out->itv = QV_NEW(a, out->n, qv_itv)) == NULL) return false;
  if (*lossless) {
    for (size_t q = 0; q < n; q++) out->itv[q] = v[q * inner];
  } else {
    out->itv[0] = v[0];
    for (size_t e = 1; e < elems; e++) out->itv[0] = qv_itv_hull(out->itv[0], v[e]);
  }
  return true;
}

bool qv_ranges_by_channel(qv_itv *u, const qv_ranges *r, size_t elems, uint32_t channels) {
  uint64_t period = (uint64_t)r->n * r->inner;
  for (uint32_t c = 0; c < channels; c++) u[c] = qv_ranges_at(r, c);
  if (r->n == 1 || channels % period == 0 || channels == elems) return true;
  bool equal = true;
  uint32_t c = 0;
  for (size_t e = channels; e < elems; e++, c = c + 1 == channels ? 0 : c + 1) {
    qv_itv v = qv_ranges_at(r, e);
    if (same(u[c], v)) continue;
    equal = false;
    u[c] = qv_itv_hull(u[c], v);
  }
  return equal;
}

void qv_ranges_expand(qv_itv *v, const qv_ranges *r, size_t elems) {
  for (size_t e = 0; e < elems; e++) v[e] = qv_ranges_at(r, e);
}
