/* A stranger's program: only the installed header and library. Usage: client MODEL DIR; DIR gets client.qir, .qvp and .qvc. */
#include <qverify.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what, const qverify_error *err) {
  fprintf(stderr, "client: %s: %s\n", what, err->message);
  return 1;
}

static int put(const char *dir, const char *ext, const char *text, size_t n) {
  char path[4096];
  (void)snprintf(path, sizeof path, "%s/client.%s", dir, ext);
  FILE *f = fopen(path, "wb");
  int ok = f != NULL && fwrite(text, 1, n, f) == n;
  return f != NULL && fclose(f) == 0 && ok;
}

int main(int argc, char **argv) {
  qverify_error err = {0};
  qverify_model *m = NULL;
  qverify_overflow *o = NULL;
  if (argc != 3) return 2;
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

  size_t label = 0; /* what the sample of zeros is */
  for (size_t k = 1; k < out.bytes; k++)
    if (((const signed char *)y)[k] > ((const signed char *)y)[label]) label = k;

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
  /* two boxes: the sample alone, and everything; both verdicts have their evidence */
  size_t elements = in.bytes / (strcmp(in.type, "i8") == 0 || strcmp(in.type, "u8") == 0 ? 1 : 2);
  int64_t *lo = calloc(elements, sizeof *lo), *hi = calloc(elements, sizeof *hi);
  if (lo == NULL || hi == NULL) return 3;
  if (strcmp(out.type, "i8") != 0 || in.lo > 0 || in.hi < 0) return 2;
  for (int wide = 0; wide < 2; wide++) {
    for (size_t e = 0; e < elements; e++) {
      lo[e] = wide ? in.lo : 0;
      hi[e] = wide ? in.hi : 0;
    }
    const int64_t *const los[] = {lo}, *const his[] = {hi};
    qverify_robust_question q = {.lo = los, .hi = his,  .label = label, .seconds = 20};
    qverify_robust *r = NULL;
    size_t n[3];
    if (qverify_check_robust(&r, m, &q, &err) != QVERIFY_OK) return fail("robust", &err);
    (void)qverify_robust_net(r, &n[0]);
    (void)qverify_robust_property(r, &n[1]);
    (void)qverify_robust_certificate(r, &n[2]);
    printf("box %d: verdict %d, counterexample %s, texts %s, reason '%s'\n", wide, (int)qverify_robust_verdict(r),
           qverify_robust_input(r, 0) != NULL ? "yes" : "no", n[0] > 0 && n[1] > 0 && n[2] > 0 ? "yes" : "no", qverify_robust_reason(r));
    if (wide == 0) {
      const char *const text[] = {qverify_robust_net(r, &n[0]), qverify_robust_property(r, &n[1]), qverify_robust_certificate(r, &n[2])};
      static const char *const ext[] = {"qir", "qvp", "qvc"};
      for (int k = 0; k < 3; k++)
        if (!put(argv[2], ext[k], text[k], n[k])) return 3;
    }
    qverify_robust_free(r);
    q.label = 99999;
    if (qverify_check_robust(&r, m, &q, &err) != QVERIFY_E_ARGUMENT || r != NULL) return fail("label", &err);
    q.label = label;
    hi[0] = lo[0] - 1;
    if (qverify_check_robust(&r, m, &q, &err) != QVERIFY_E_ARGUMENT || r != NULL) return fail("empty box", &err);
  }
  qverify_robust_free(NULL);
  free(lo);
  free(hi);
  free(x);
  free(y);
  qverify_close(m);
  qverify_close(NULL);
  qverify_overflow_free(NULL);
  return 0;
}
