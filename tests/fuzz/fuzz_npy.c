/* .npy: accepted arrays are written again and read back; whatever is accepted is packed into a few inputs. */
#include <stdlib.h>
#include <string.h>

#include "frontend/array.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok) {
  if (!ok) abort();
}

/* INV of every reader: all or nothing. */
static void check_result(const qv_array *a, qv_status st, const qv_err *err) {
  size_t n = 1;
  check(st == err->code);
  if (st != QV_OK) {
    check(a->data == NULL && a->count == 0 && err->msg[0] != 0);
    return;
  }
  check(a->data != NULL && a->rank <= QV_MAX_RANK);
  for (uint32_t d = 0; d < a->rank; d++) n *= a->dim[d];
  check(n == a->count);
}

/* Packing into one input of the array's own shape and into a flat one of two elements. */
static void pack(const qv_array *a) {
  static const qv_end ends[] = {QV_END_INT, QV_END_QUANT_AWAY, QV_END_QUANT_EVEN, QV_END_QUANT_INV};
  for (int i = 0; i < 16; i++) {
    qv_tensor t = {.name = "x", .type = (qv_dtype)(i % QV_DTYPES), .has_q = true, .scale = 0.25f, .zp = -3};
    for (uint32_t d = 0; d < a->rank; d++) {
      if (a->dim[d] > (1 << 20)) return;
      t.dim[t.rank++] = a->dim[d] > 0 ? (uint32_t)a->dim[d] : 1;
    }
    if (i >= 8) t.rank = 1, t.dim[0] = 2;
    t.lo = qv_dtype_range(t.type).lo;
    t.hi = qv_dtype_range(t.type).hi / 2;
    qv_port p = {.end = ends[i / 2 % 4], .name = "in"};
    qv_net net = {.n_tensors = 1, .tensor = &t, .n_in = 1, .in = &p};
    void *buf = NULL;
    size_t n = 0;
    qv_err err = {0};
    qv_status st = qv_input_pack(&buf, &n, &net, 0, a, "fuzz", &err);
    check(st == err.code && (st == QV_OK) == (buf != NULL) && (st != QV_OK || n > 0));
    if (st == QV_OK) { /* every byte is initialised, every value inside the range */
      size_t bytes = n * qv_elems(&t) * qv_dtype_bytes(t.type);
      unsigned char *copy = malloc(bytes);
      check(copy != NULL);
      memcpy(copy, buf, bytes);
      free(copy);
    }
    free(buf);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  qv_array a = {0}, b = {0};
  qv_err err = {0}, err2 = {0};
  qv_buf w = {0};
  qv_status st = qv_npy_parse(&a, data, size, "fuzz", &err);
  check_result(&a, st, &err);
  if (st == QV_OK) {
    qv_npy_write(&w, a.type, a.rank, a.dim, a.data);
    check(!w.failed);
    st = qv_npy_parse(&b, w.p, w.n, "again", &err2);
    check_result(&b, st, &err2);
    check(st == QV_OK && a.type == b.type && a.rank == b.rank && memcmp(a.dim, b.dim, sizeof a.dim) == 0);
    check(memcmp(a.data, b.data, a.count * qv_elem_bytes(a.type)) == 0);
    pack(&a);
    a.raw = a.type == QV_EL_U8 && a.rank == 1;
    if (a.raw) pack(&a);
    a.raw = false;
    a.pixels = a.type == QV_EL_U8;
    if (a.pixels) pack(&a);
  }
  qv_buf_free(&w);
  qv_array_free(&a);
  qv_array_free(&b);
  return 0;
}
