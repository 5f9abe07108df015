/* The overflow proof on real nets of the shared data: every certificate is accepted, by intervals alone and with linear
 * bounds; and no proved range is narrower than a value that real inputs reach. Widths side by side: docs/widths.md. */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "analysis/prove.h"
#include "frontend/array.h"
#include "frontend/load.h"
#include "tests/cert_env.h"
#include "tests/range_net.h"

static double now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- certificates ---------------------------------------------------------------------------------------------------- */

enum { MAX_FILES = 2000 };
static char *found[MAX_FILES];
static int n_found;

static int visit(const char *path, const struct stat *st, int type, struct FTW *f) {
  const char *dot = strrchr(path, '.');
  bool model = dot != NULL && (strcmp(dot, ".tflite") == 0 || strcmp(dot, ".qtxt") == 0 || (strcmp(dot, ".onnx") == 0 && rn_multiplier() >= 10));
  (void)st, (void)f;
  if (type == FTW_F && model && n_found < MAX_FILES) found[n_found++] = strdup(path);
  return 0;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Seconds for proof, texts and checker; the certificate must be accepted. */
static double certify(const qv_net *net, const char *path, bool tight, uint32_t *rows, bool *verified) {
  qv_property p;
  qv_proof proof;
  cli_evidence ev = {0};
  qv_err err = {0};
  double t = now();
  assert_int_equal(qv_property_whole(&p, net, 0, &err), QV_OK);
  const qv_prove_opts o = {.tight = tight, .work = rn_multiplier() >= 10 ? 0 : (uint64_t)1 << 24};
  if (qv_prove_overflow(&proof, net, &p, &o, &err) != QV_OK || cli_evidence_make(&ev, net, &p, &proof, &err) != QV_OK) fail_msg("%s: %s", path, err.msg);
  ce_answer a = ce_check(&ev.qir, &ev.property, &ev.cert);
  if (a.result != CE_CHECKED || a.verified != (proof.verdict == QV_VERIFIED)) fail_msg("%s%s: %s: %s", path, tight ? " --tight" : "", ce_result_name(a.result), a.text);
  *rows += proof.n_linear;
  *verified = a.verified;
  t = now() - t;
  cli_evidence_free(&ev);
  qv_proof_clear(&proof);
  qv_property_clear(&p);
  return t;
}

static void accepted(void **state) {
  (void)state;
  const char *dir = rn_data("tflite");
  if (dir == NULL) skip();
  const char *root = getenv("QV_DATA") != NULL ? getenv("QV_DATA") : "../shared/data";
  assert_int_equal(nftw(root, visit, 16, FTW_PHYS), 0);
  qsort(found, (size_t)n_found, sizeof *found, by_name);
  int nets = 0, refused = 0, proved = 0;
  uint32_t rows = 0;
  double tiny = 0, all = 0;
  for (int i = 0; i < n_found; i++) {
    qv_net *net = NULL;
    qv_err err = {0};
    qv_status st = qv_load_model(&net, found[i], &(qv_load_opts){0}, &err);
    if (st == QV_OK) {
      bool verified;
      uint32_t none = 0;
      double t = certify(net, found[i], false, &none, &verified);
      t += certify(net, found[i], true, &rows, &verified);
      if (strstr(found[i], "mlperf_tiny") != NULL) tiny += t;
      all += t;
      nets++, proved += verified;
    } else refused++;
    qv_net_free(net);
    free(found[i]);
  }
  print_message("%d nets (%d refused by the readers), all certificates accepted, %d verified; %u linear rows; MLPerf Tiny %.2f s, all %.2f s, both ways\n",
                nets, refused, proved, rows, tiny, all);
  assert_true(nets >= 15 && proved >= nets / 2);
}

/* ---- values ---------------------------------------------------------------------------------------------------------- */

typedef struct {
  const char *net, *inputs;
  int few, many;     /* samples by default, and at most */
} workload;

static int8_t *csv_pixels(const char *path, size_t row, size_t *n) {
  qv_buf b = {0};
  assert_int_equal(qv_file_read(&b, path, (size_t)1 << 28, NULL), QV_OK);
  int8_t *x = malloc(b.n);
  assert_non_null(x);
  size_t k = 0, at = 0;
  for (char *p = (char *)b.p, *end; *p != 0; p = end, k++) { /* label, then pixels */
    long v = strtol(p, &end, 10);
    if (end == p) break;
    if (k % row != 0) x[at++] = (int8_t)(v - 128);
    end += strspn(end, ", \r\n");
  }
  *n = k / row;
  qv_buf_free(&b);
  return x;
}

static int64_t element(const void *x, qv_dtype t, size_t i) {
  switch (t) {
  case QV_I8: return ((const int8_t *)x)[i];
  case QV_U8: return ((const uint8_t *)x)[i];
  case QV_I16: return ((const int16_t *)x)[i];
  case QV_U16:
  case QV_I32:
  case QV_I64:
  case QV_DTYPES: break;
  }
  fail_msg("input type");
  return 0;
}

static void compare(const char *name, const qv_net *net, const qv_proof *p, const qv_values *v, qv_itv *seen) {
  for (uint32_t t = 0; t < net->n_tensors; t++)
    for (size_t e = 0; e < qv_elems(&net->tensor[t]); e++) {
      qv_itv r = qv_ranges_at(&p->range.tensor[t], e);
      if (v->v[t][e] < r.lo || v->v[t][e] > r.hi)
        fail_msg("%s: tensor %s element %zu reaches %lld, proved [%lld,%lld]", name, net->tensor[t].name, e, (long long)v->v[t][e], (long long)r.lo, (long long)r.hi);
    }
  for (uint32_t i = 0; i < p->range.n_acc; i++) {
    const qv_acc_bound *b = &p->range.acc[i];
    const qv_node *n = &net->node[b->node];
    const int64_t *y = v->v[n->out];
    for (size_t e = 0; e < qv_elems(&net->tensor[n->out]); e++) {
      seen[i] = qv_itv_hull(seen[i], (qv_itv){y[e], y[e]});
      if (n->kind != QV_AFFINE || p->item[i].verdict != QV_VERIFIED) continue; /* then the machine's value is the exact sum */
      qv_itv f = b->final[e % b->n];
      if (y[e] < f.lo || y[e] > f.hi) fail_msg("%s: node %u channel %zu: sum %lld outside [%lld,%lld]", name, b->node, e % b->n, (long long)y[e], (long long)f.lo, (long long)f.hi);
    }
  }
}

static void run_workload(const workload *w) {
  char name[300];
  const char *path = rn_data(w->inputs);
  if (path == NULL) return;
  qv_array a = {0};
  void *x = NULL;
  size_t n = 0;
  qv_err err = {0};
  qv_net *net = NULL;
  char inputs[1024];
  (void)snprintf(inputs, sizeof inputs, "%s", path);
  (void)snprintf(name, sizeof name, "tflite/%s.tflite", w->net);
  path = rn_data(name);
  if (path == NULL) return;
  if (qv_load_model(&net, path, &(qv_load_opts){0}, &err) != QV_OK) fail_msg("%s", err.msg);
  const qv_tensor *t = &net->tensor[net->in[0].tensor];
  if (strstr(inputs, ".csv") != NULL) x = csv_pixels(inputs, qv_elems(t) + 1, &n);
  else {
    assert_int_equal(qv_array_read(&a, inputs, &err), QV_OK);
    if (qv_input_pack(&x, &n, net, 0, &a, inputs, &err) != QV_OK) fail_msg("%s", err.msg);
  }
  qv_proof p;
  assert_int_equal(qv_prove_overflow(&p, net, NULL, &(qv_prove_opts){.tight = true, .work = rn_multiplier() >= 10 ? 0 : (uint64_t)1 << 24}, &err), QV_OK);
  size_t samples = (size_t)w->few * rn_multiplier();
  if (rn_multiplier() >= 10 || samples > (size_t)w->many) samples = (size_t)w->many;
  if (samples > n) samples = n;
  qv_itv *seen = calloc(p.range.n_acc + 1, sizeof *seen);
  qv_values v;
  assert_non_null(seen);
  assert_int_equal(qv_values_init(&v, net, &err), QV_OK);
  for (size_t s = 0; s < samples; s++) {
    size_t at = samples < n ? s * (n / samples) : s;
    for (size_t e = 0; e < qv_elems(t); e++) v.v[net->in[0].tensor][e] = element(x, t->type, at * qv_elems(t) + e);
    if (qv_ref_run(net, &v, &err) != QV_OK) fail_msg("%s", err.msg);
    compare(w->net, net, &p, &v, seen);
  }
  printf("%s, %zu real inputs; bits seen/proved/interval/L1/type:", w->net, samples);
  for (uint32_t i = 0; i < p.range.n_acc; i++)
    printf(" %d/%d/%d/%d/%d", qv_itv_bits(seen[i]), p.range.acc[i].bits_final, p.interval.acc[i].bits_final, p.range.acc[i].bits_l1, p.range.acc[i].bits_dtype);
  printf("\n");
  free(seen);
  free(x);
  qv_values_clear(&v);
  qv_proof_clear(&p);
  qv_array_free(&a);
  qv_net_free(net);
}

static void reached(void **state) {
  (void)state;
  static const workload W[] = {{"tinymaix/mnist_arduino_q", "data/mnist/t10k-images-idx3-ubyte.gz", 200, 10000},
                               {"tinymaix/mnist_valid_q", "data/mnist/t10k-images-idx3-ubyte.gz", 100, 10000},
                               {"tinymaix/mnist_resnet_q", "data/mnist/t10k-images-idx3-ubyte.gz", 20, 10000},
                               {"tinyengine/ptq_mnist_lenet-300-100", "data/mnist/t10k-images-idx3-ubyte.gz", 10, 10000},
                               {"mlperf_tiny/kws_ref_model", "data/mlperf_tiny/kws01_features_int8.bin", 3, 1000},
                               {"mlperf_tiny/pretrainedResnet_quant", "data/eran/cifar10_test.csv", 1, 100}};
  if (rn_data("tflite") == NULL) skip();
  for (size_t i = 0; i < sizeof W / sizeof W[0]; i++) run_workload(&W[i]);
}

static int setup(void **state) {
  (void)state;
  return cr_open() ? 0 : -1;
}
static int teardown(void **state) {
  (void)state;
  cr_close();
  return 0;
}

int main(void) {
  const struct CMUnitTest t[] = {cmocka_unit_test(accepted), cmocka_unit_test(reached)};
  return cmocka_run_group_tests(t, setup, teardown);
}
