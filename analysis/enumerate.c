#include "analysis/enumerate.h"

#include <stdlib.h>
#include <string.h>

uint64_t qv_box_points(const int64_t *lo, const int64_t *hi, size_t n) {
  uint64_t points = 1;
  for (size_t i = 0; i < n; i++)
    if (__builtin_mul_overflow(points, (uint64_t)(hi[i] - lo[i]) + 1, &points)) return UINT64_MAX;
  return points;
}

/* The next point, the last variable moving fastest; false after the last one. */
static bool next(int64_t *x, const int64_t *lo, const int64_t *hi, size_t n) {
  for (size_t i = n; i-- > 0;) {
    if (x[i] < hi[i]) {
      x[i]++;
      return true;
    }
    x[i] = lo[i];
  }
  return false;
}

qv_status qv_enumerate(bool *found, int64_t *x, qv_batch *b, const int64_t *lo, const int64_t *hi, size_t n, double deadline, qv_err *err) {
  qv_status st = QV_OK;
  *found = false;
  int64_t *first = malloc((n > 0 ? n : 1) * sizeof *first); /* of the batch */
  if (first == NULL) return QV_FAIL(err, QV_E_NOMEM, "enumeration");
  memcpy(x, lo, n * sizeof *x);
  for (bool more = true; more && !*found;) {
    uint32_t m = 0;
    memcpy(first, x, n * sizeof *x);
    for (; more && m < QV_BATCH; m++) {
      qv_batch_put(b, x);
      more = next(x, lo, hi, n);
    }
    QV_TRY(qv_batch_run(b, err));
    for (uint32_t i = 0; i < m; i++) {
      if (!qv_batch_violated(b, i)) continue;
      *found = true;
      memcpy(x, first, n * sizeof *x);
      while (i-- > 0) (void)next(x, lo, hi, n);
      break;
    }
    if (more && !*found && deadline > 0 && qv_clock() > deadline) {
      st = QV_E_LIMIT;
      goto done;
    }
  }
done:
  free(first);
  return st;
}
