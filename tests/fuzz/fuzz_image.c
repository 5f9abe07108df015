/* IDX, PGM, BMP and .npz: all or nothing, every element readable. */
#include <stdlib.h>
#include <string.h>

#include "frontend/array.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok) {
  if (!ok) abort();
}

static void check_result(qv_array *a, qv_status st, const qv_err *err) {
  size_t n = 1, sum = 0;
  check(st == err->code);
  if (st != QV_OK) check(a->data == NULL && a->count == 0 && err->msg[0] != 0);
  else {
    check(a->data != NULL && a->rank <= QV_MAX_RANK);
    for (uint32_t d = 0; d < a->rank; d++) n *= a->dim[d];
    check(n == a->count);
    const unsigned char *p = a->data;
    for (size_t i = 0; i < n * qv_elem_bytes(a->type); i++) sum += p[i];
    check(sum <= 255 * n * 8);
  }
  qv_array_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static qv_status (*const parse[])(qv_array *, const void *, size_t, const char *, qv_err *) = {qv_idx_parse, qv_pgm_parse, qv_bmp_parse};
  static const char *const entries[] = {NULL, "x", "y.npy"};
  for (size_t i = 0; i < 3; i++) {
    qv_array a = {0};
    qv_err err = {0};
    qv_status st = parse[i](&a, data, size, "fuzz", &err);
    check_result(&a, st, &err);
  }
  for (size_t i = 0; i < 3 && size >= 2 && memcmp(data, "PK", 2) == 0; i++) {
    qv_array a = {0};
    qv_err err = {0};
    qv_status st = qv_npz_parse(&a, data, size, entries[i], "fuzz", &err);
    check_result(&a, st, &err);
  }
  return 0;
}
