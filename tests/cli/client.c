/* A stranger's program: only the installed header and library. Usage: client MODEL. */
#include <qverify.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what, const qverify_error *err) {
  fprintf(stderr, "client: %s: %s\n", what, err->message);
  return 1;
}

int main(int argc, char **argv) {
  qverify_error err = {0};
  qverify_model *m = NULL;
  qverify_overflow *o = NULL;
  if (argc != 2) return 2;
  printf("version %s\n", qverify_version());
  if (qverify_open(&m, "no such file", NULL, &err) != QVERIFY_E_IO || m != NULL || err.message[0] == 0) return fail("missing file", &err);
  if (qverify_open(&m, argv[1], "no-such-profile", &err) != QVERIFY_E_ARGUMENT) return fail("profile", &err);
  if (qverify_open(&m, argv[1], NULL, &err) != QVERIFY_OK) return fail("open", &err);
  qverify_port in = qverify_input(m, 0), out = qverify_output(m, 0);
  printf("inputs %zu outputs %zu, %s %zu bytes in [%lld,%lld], %s %zu bytes\n", qverify_inputs(m), qverify_outputs(m), in.type, in.bytes,
         (long long)in.lo, (long long)in.hi, out.type, out.bytes);

  void *x = calloc(2, in.bytes), *y = calloc(2, out.bytes);
  if (x == NULL || y == NULL) return 3;
  const void *const xs[] = {x};
  void *const ys[] = {y};
  if (qverify_run(m, 2, xs, ys, 1, &err) != QVERIFY_OK) return fail("run", &err);
  printf("equal samples give equal outputs: %s\n", memcmp(y, (char *)y + out.bytes, out.bytes) == 0 ? "yes" : "no");

  static const int width[] = {0, 16};
  for (int i = 0; i < 2; i++) {
    if (qverify_check_overflow(&o, m, width[i], &err) != QVERIFY_OK) return fail("overflow", &err);
    qverify_overflow_item it = qverify_overflow_get(o, 0);
    printf("width %d: verdict %d, %zu accumulators, the first (%s, layer %u) in [%lld,%lld] needs %d of %d bits\n", width[i],
           (int)qverify_overflow_verdict(o), qverify_overflow_count(o), it.op, (unsigned)it.layer, (long long)it.lo, (long long)it.hi,
           it.bits_needed, it.bits);
    const void *cex = qverify_overflow_input(o, 0);
    printf("counterexample: %s\n", cex != NULL ? "yes" : "no");
    const void *const cs[] = {cex};
    if (cex != NULL && qverify_run(m, 1, cs, ys, 0, NULL) != QVERIFY_OK) return 4;
    qverify_overflow_free(o);
  }
  if (qverify_check_overflow(&o, m, 1, &err) != QVERIFY_E_ARGUMENT || o != NULL) return fail("width 1", &err);
  free(x);
  free(y);
  qverify_close(m);
  qverify_close(NULL);
  qverify_overflow_free(NULL);
  return 0;
}
