/* One-operator nets against what live runtimes answered (tests/vectors/tflite_ops.bin, packed by
 * tests/make_tflite_vectors.py from nets of tests/oracles/gen.py: tflite-micro of 2026-02, TFLite 2.9.0 built-in kernels,
 * LiteRT 2.3.0 with XNNPACK). A net is equal byte for byte, or refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/array.h"
#include "frontend/load.h"
#include "frontend/tflite_fb.h"
#include "ir/base/buf.h"
#include "kernels/exec.h"

#define FILE_NAME "tests/vectors/tflite_ops.bin"

/* ---- the file ------------------------------------------------------------------------------------------------------------ */

typedef struct {
  const unsigned char *p;
  size_t n;
} bytes;

typedef struct {
  const unsigned char *p, *end;
} cursor;

static uint32_t number(cursor *c) {
  assert_true(c->end - c->p >= 4);
  uint32_t v = qv_le32(c->p);
  c->p += 4;
  return v;
}

static bytes blob(cursor *c) {
  bytes b = {.n = number(c)};
  assert_true((size_t)(c->end - c->p) >= b.n);
  b.p = c->p;
  c->p += b.n;
  return b;
}

#define MAX_IN 4
typedef struct {
  char name[64];
  bytes model, in[MAX_IN];
  uint32_t n_in;
} record;

static void text(char *out, size_t cap, bytes b) {
  assert_true(b.n < cap);
  memcpy(out, b.p, b.n);
  out[b.n] = 0;
}

/* ---- one net under one profile --------------------------------------------------------------------------------------------- */

typedef struct {
  size_t equal, refused, values;
} tally;

static void *pack(const qv_net *net, uint32_t port, bytes b, size_t *n) {
  qv_array a = {.type = QV_EL_U8, .rank = 1, .dim = {b.n}, .count = b.n, .raw = true};
  qv_err err = {0};
  void *x = NULL;
  assert_non_null(a.data = malloc(b.n));
  memcpy(a.data, b.p, b.n);
  if (qv_input_pack(&x, n, net, port, &a, "vector", &err) != QV_OK) fail_msg("%s", err.msg);
  qv_array_free(&a);
  return x;
}

static void compare(const record *r, const char *profile, bytes want, tally *t) {
  qv_net *net = NULL;
  qv_plan *plan = NULL;
  qv_err err = {0};
  void *x[MAX_IN] = {0}, *y;
  size_t n = 0;
  qv_status st = qv_tflite_read(&net, r->model.p, r->model.n, r->name, &(qv_load_opts){.profile = profile}, &err);
  if (st == QV_E_UNSUP) {
    assert_non_null(strstr(err.msg, "operator 0 ("));
    t->refused++;
    return;
  }
  if (st != QV_OK) fail_msg("%s under %s: %s", r->name, profile, err.msg);
  assert_int_equal(net->n_in, r->n_in);
  for (uint32_t i = 0; i < r->n_in; i++) x[i] = pack(net, i, r->in[i], &n);
  assert_non_null(y = malloc(want.n));
  const qv_tensor *out = &net->tensor[net->out[0].tensor];
  assert_int_equal(want.n, n * qv_elems(out) * qv_dtype_bytes(out->type));
  if (qv_plan_new(&plan, net, QV_ISA_BEST, &err) != QV_OK || qv_plan_run(plan, n, (const void *const *)x, &y, 1, &err) != QV_OK)
    fail_msg("%s", err.msg);
  if (memcmp(y, want.p, want.n) != 0) fail_msg("%s under %s: results differ", r->name, profile);
  t->equal++;
  t->values += n * qv_elems(out);
  qv_plan_free(plan);
  free(y);
  for (uint32_t i = 0; i < r->n_in; i++) free(x[i]);
  qv_net_free(net);
}

static void live_runtimes(void **state) {
  (void)state;
  qv_buf file = {0};
  qv_err err = {0};
  tally t = {0};
  if (qv_file_read(&file, FILE_NAME, 1 << 24, &err) != QV_OK) fail_msg("%s", err.msg);
  cursor c = {file.p, file.p + file.n};
  assert_memory_equal(file.p, "QVV1", 4);
  c.p += 4;
  while (c.p < c.end) {
    record r = {0};
    text(r.name, sizeof r.name, blob(&c));
    r.model = blob(&c);
    r.n_in = number(&c);
    assert_true(r.n_in <= MAX_IN);
    for (uint32_t i = 0; i < r.n_in; i++) r.in[i] = blob(&c);
    for (uint32_t k = number(&c); k > 0; k--) {
      char profile[32];
      text(profile, sizeof profile, blob(&c));
      compare(&r, profile, blob(&c), &t);
    }
  }
  qv_buf_free(&file);
  print_message("%zu nets equal (%zu values), %zu refused\n", t.equal, t.values, t.refused);
  assert_true(t.equal >= 350);
  assert_true(t.refused <= 60); /* INT16 without bias, int4 and 16-bit forms that differ between builds, LOG_SOFTMAX */
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(live_runtimes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
