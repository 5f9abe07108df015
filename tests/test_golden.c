/* Whole nets, byte for byte, against outputs of real runtimes; accuracies against published ones; nets that must be refused.
 * The example of this repository always; everything else from the data folder (QV_DATA), skipped loudly without it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/array.h"
#include "frontend/load.h"
#include "ir/base/buf.h"
#include "kernels/exec.h"
#include "kernels/ref.h"

/* ---- files -------------------------------------------------------------------------------------------------------------- */

static const char *data_dir(void) {
  const char *dir = getenv("QV_DATA");
  return dir != NULL ? dir : "../shared/data";
}

#define PATH 1024
static void data_path(char out[PATH], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void data_path(char out[PATH], const char *fmt, ...) {
  int n = snprintf(out, PATH, "%s/", data_dir());
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(out + n, (size_t)(PATH - n), fmt, ap);
  va_end(ap);
}

static bool read_file(qv_buf *b, const char *path) {
  qv_err err = {0};
  return qv_file_read(b, path, (size_t)1 << 30, &err) == QV_OK;
}

/* Skip the test unless the data folder has this file. */
static void need(const char *path) {
  FILE *f = fopen(path, "rb");
  if (f == NULL) {
    print_message("SKIPPED: no data file %s (set QV_DATA)\n", path);
    skip();
  }
  assert_int_equal(fclose(f), 0);
}

/* ---- nets ------------------------------------------------------------------------------------------------------------------ */

static qv_net *load(const char *path, const char *profile) {
  qv_net *net = NULL;
  qv_err err = {0};
  if (qv_load_model(&net, path, &(qv_load_opts){.profile = profile}, &err) != QV_OK) fail_msg("%s: %s", profile, err.msg);
  return net;
}

static size_t sample_bytes(const qv_net *net, uint32_t tensor) {
  const qv_tensor *t = &net->tensor[tensor];
  return qv_elems(t) * qv_dtype_bytes(t->type);
}

/* All n samples of packed inputs through the batch executor: out must have n*sample_bytes. */
static void run_all(const qv_net *net, size_t n, const void *const *in, void *out) {
  qv_plan *plan = NULL;
  qv_err err = {0};
  if (qv_plan_new(&plan, net, QV_ISA_BEST, &err) != QV_OK || qv_plan_run(plan, n, in, &out, 0, &err) != QV_OK) fail_msg("%s", err.msg);
  qv_plan_free(plan);
}

/* The first sample through the reference, compared with what the executor gave. */
static void check_first(const qv_net *net, const void *const *in, const unsigned char *out) {
  qv_values v;
  qv_err err = {0};
  assert_int_equal(qv_values_init(&v, net, &err), QV_OK);
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_tensor *t = &net->tensor[net->in[i].tensor];
    for (size_t e = 0; e < qv_elems(t); e++)
      v.v[net->in[i].tensor][e] = t->type == QV_U8   ? ((const uint8_t *)in[i])[e]
                                  : t->type == QV_I8 ? ((const int8_t *)in[i])[e]
                                                     : ((const int16_t *)in[i])[e];
  }
  if (qv_ref_run(net, &v, &err) != QV_OK) fail_msg("%s", err.msg);
  const qv_tensor *t = &net->tensor[net->out[0].tensor];
  for (size_t e = 0; e < qv_elems(t); e++) {
    int64_t y = v.v[net->out[0].tensor][e];
    assert_int_equal((unsigned char)y, out[e * qv_dtype_bytes(t->type)]);
  }
  qv_values_clear(&v);
}

static void *pack(const qv_net *net, uint32_t port, const void *bytes, size_t n_bytes, size_t *n) {
  qv_array a = {.type = QV_EL_U8, .rank = 1, .dim = {n_bytes}, .count = n_bytes, .raw = true};
  qv_err err = {0};
  void *buf = NULL;
  assert_non_null(a.data = malloc(n_bytes));
  memcpy(a.data, bytes, n_bytes);
  if (qv_input_pack(&buf, n, net, port, &a, "input", &err) != QV_OK) fail_msg("%s", err.msg);
  qv_array_free(&a);
  return buf;
}

/* ---- goldens ---------------------------------------------------------------------------------------------------------------- */

/* Integer outputs must be equal; for a float LOG_SOFTMAX the golden row is recomputed in binary64 from our integers: within
 * 1e-5 and the same argmax. Returns the number of wrong values. */
static size_t compare(const qv_net *net, const unsigned char *got, const qv_buf *want, size_t n) {
  const qv_tensor *t = &net->tensor[net->out[0].tensor];
  size_t row = qv_elems(t), bad = 0;
  if (net->out[0].end == QV_END_INT) {
    assert_int_equal(want->n, n * sample_bytes(net, net->out[0].tensor));
    for (size_t i = 0; i < want->n; i++) bad += got[i] != want->p[i];
    return bad;
  }
  assert_string_equal(net->out[0].tail, "LOG_SOFTMAX");
  assert_int_equal(want->n, n * row * sizeof(float));
  for (size_t s = 0; s < n; s++) {
    double real[64], sum = 0;
    size_t a = 0, b = 0;
    float w[64];
    assert_true(row <= 64);
    memcpy(w, want->p + s * row * sizeof(float), row * sizeof(float));
    for (size_t e = 0; e < row; e++) sum += exp(real[e] = (double)t->scale * (((const int8_t *)got)[s * row + e] - t->zp));
    for (size_t e = 0; e < row; e++) {
      bad += !(fabs(real[e] - log(sum) - (double)w[e]) <= 1e-5);
      if (real[e] > real[a]) a = e;
      if (w[e] > w[b]) b = e;
    }
    bad += a != b;
  }
  return bad;
}

static void golden(const char *model, const char *profile, const char *in_path, const char *out_path) {
  qv_buf in = {0}, want = {0};
  assert_true(read_file(&in, in_path));
  assert_true(read_file(&want, out_path));
  qv_net *net = load(model, profile);
  size_t n;
  void *x = pack(net, 0, in.p, in.n, &n);
  unsigned char *y = malloc(n * sample_bytes(net, net->out[0].tensor));
  assert_non_null(y);
  run_all(net, n, (const void *const[]){x}, y);
  check_first(net, (const void *const[]){x}, y);
  size_t bad = compare(net, y, &want, n);
  if (bad != 0) fail_msg("%s under %s: %zu values differ from %s", model, profile, bad, out_path);
  free(x);
  free(y);
  qv_net_free(net);
  qv_buf_free(&in);
  qv_buf_free(&want);
}

static void example(void **state) {
  (void)state;
  const char *const nets[2][2] = {{"examples/shapes/shapes.tflite", "examples/shapes/golden_tflite_builtin.bin"},
                                  {"examples/shapes/wide.tflite", "examples/shapes/golden_wide_tflite_builtin.bin"}};
  for (int k = 0; k < 2; k++) {
    qv_net *net = load(nets[k][0], NULL);
    qv_array a = {0};
    qv_err err = {0};
    qv_buf want = {0};
    void *x = NULL;
    size_t n;
    assert_int_equal(qv_array_read(&a, "examples/shapes/test_images.npy", &err), QV_OK);
    if (qv_input_pack(&x, &n, net, 0, &a, "images", &err) != QV_OK) fail_msg("%s", err.msg);
    assert_int_equal(n, 200);
    assert_true(read_file(&want, nets[k][1]));
    unsigned char *y = malloc(want.n);
    assert_non_null(y);
    run_all(net, n, (const void *const[]){x}, y);
    check_first(net, (const void *const[]){x}, y);
    assert_int_equal(compare(net, y, &want, n), 0);
    free(x);
    free(y);
    qv_buf_free(&want);
    qv_array_free(&a);
    qv_net_free(net);
  }
}

static const struct {
  const char *profile, *file;
} runtimes[] = {
    {"tflite-double", "tflm_double"}, {"tflite-ruy-x86", "tflite2.9_x86"}, {"tflite-single", "tflm_single"}, {"xnnpack", "xnnpack_wasm"}};

/* Every net of the index that we support, under every runtime that could run it. A net that we refuse must be one of the
 * nets that have to be refused. */
static void index_nets(void **state) {
  (void)state;
  char path[PATH], model[PATH], in[PATH], out[PATH], line[1024];
  size_t runs = 0, refused = 0;
  data_path(path, "golden/tflite/INDEX.tsv");
  need(path);
  FILE *f = fopen(path, "r");
  assert_non_null(f);
  assert_non_null(fgets(line, sizeof line, f)); /* heading */
  while (fgets(line, sizeof line, f) != NULL) {
    char *end = strstr(line, ".tflite\t");
    assert_non_null(end);
    *end = 0;
    data_path(model, "%s.tflite", line);
    qv_net *net = NULL;
    qv_err err = {0};
    if (qv_load_model(&net, model, NULL, &err) != QV_OK) {
      assert_int_equal(err.code, QV_E_UNSUP);
      assert_true(strstr(line, "ToyCar") != NULL || strstr(line, "lstm") != NULL || strstr(line, "scrambled") != NULL);
      refused++;
      continue;
    }
    qv_net_free(net);
    data_path(in, "golden/%s/in.bin", line);
    for (size_t r = 0; r < sizeof runtimes / sizeof *runtimes; r++) {
      data_path(out, "golden/%s/out.%s.bin", line, runtimes[r].file);
      FILE *g = fopen(out, "rb");
      if (g == NULL) continue; /* that runtime could not run the net */
      assert_int_equal(fclose(g), 0);
      golden(model, runtimes[r].profile, in, out);
      runs++;
    }
  }
  assert_int_equal(fclose(f), 0);
  print_message("%zu runs equal, %zu nets refused\n", runs, refused);
  assert_true(runs >= 38);
}

/* A net made so that XNNPACK's binary32 rounding shows in the output. */
static void separated(void **state) {
  (void)state;
  char path[PATH];
  const char *const profile[] = {"tflite-double", "tflite-ruy-x86", "tflite-single", "xnnpack"};
  data_path(path, "golden/p585/p585.tflite");
  need(path);
  for (int p = 0; p < 4; p++) {
    qv_net *net = load(path, profile[p]);
    const int8_t x[5] = {-128, -1, 0, 1, 127};
    int8_t y[5];
    run_all(net, 5, (const void *const[]){x}, y);
    for (int i = 0; i < 5; i++) assert_int_equal(y[i], p == 3 ? -120 : -119);
    qv_net_free(net);
  }
}

/* ---- one-operator int16x8 nets with goldens in CSV ---------------------------------------------------------------------------- */

/* Numbers of a CSV file. */
static size_t read_csv(const char *path, int64_t **out) {
  qv_buf b = {0};
  size_t n = 0;
  *out = NULL;
  if (!read_file(&b, path)) return 0;
  assert_non_null(*out = calloc(b.n, sizeof **out));
  for (char *p = (char *)b.p, *end; *p != 0; p = *end != 0 ? end + 1 : end) {
    double v = strtod(p, &end);
    if (end == p) break;
    (*out)[n++] = (int64_t)v;
  }
  qv_buf_free(&b);
  return n;
}

static size_t seanet_net(const char *op, int k) {
  char path[PATH];
  int64_t *want = NULL;
  size_t n;
  data_path(path, "tflite/tflm_seanet_int16x8/%s/%s%d_golden_int16.csv", op, op, k);
  if ((n = read_csv(path, &want)) == 0) {
    data_path(path, "tflite/tflm_seanet_int16x8/%s/%s%d_golden_int32.csv", op, op, k);
    if ((n = read_csv(path, &want)) == 0) return 0;
  }
  data_path(path, "tflite/tflm_seanet_int16x8/%s/%s%d.tflite", op, op, k);
  qv_net *net = load(path, "tflite-double");
  qv_values v;
  qv_err err = {0};
  assert_int_equal(qv_values_init(&v, net, &err), QV_OK);
  for (uint32_t i = 0; i < net->n_in; i++) {
    int64_t *x;
    data_path(path, "tflite/tflm_seanet_int16x8/%s/%s%d_input%u_int16.csv", op, op, k, i);
    assert_int_equal(read_csv(path, &x), qv_elems(&net->tensor[net->in[i].tensor]));
    memcpy(v.v[net->in[i].tensor], x, qv_elems(&net->tensor[net->in[i].tensor]) * sizeof *x);
    free(x);
  }
  if (qv_ref_run(net, &v, &err) != QV_OK) fail_msg("%s", err.msg);
  assert_int_equal(n, qv_elems(&net->tensor[net->out[0].tensor]));
  for (size_t e = 0; e < n; e++)
    if (v.v[net->out[0].tensor][e] != want[e])
      fail_msg("%s%d: element %zu: %lld, expected %lld", op, k, e, (long long)v.v[net->out[0].tensor][e], (long long)want[e]);
  qv_values_clear(&v);
  qv_net_free(net);
  free(want);
  return 1;
}

static void seanet(void **state) {
  (void)state;
  char path[PATH];
  const char *const ops[] = {"add", "conv", "leaky_relu", "pad", "quantize", "strided_slice", "sub"};
  size_t n = 0;
  data_path(path, "tflite/tflm_seanet_int16x8/add/add0.tflite");
  need(path);
  for (size_t o = 0; o < sizeof ops / sizeof *ops; o++)
    for (int k = 0; k < 40; k++) n += seanet_net(ops[o], k);
  print_message("%zu nets equal\n", n);
  assert_true(n >= 60);
}

/* ---- accuracies ---------------------------------------------------------------------------------------------------------------- */

static size_t argmax(const unsigned char *y, size_t n, bool is_signed) {
  size_t best = 0;
  for (size_t i = 1; i < n; i++) {
    int a = is_signed ? (int8_t)y[i] : y[i], b = is_signed ? (int8_t)y[best] : y[best];
    if (a > b) best = i;
  }
  return best;
}

static size_t correct(const qv_net *net, const void *x, size_t n, const unsigned char *label) {
  const qv_tensor *t = &net->tensor[net->out[0].tensor];
  size_t row = qv_elems(t), hits = 0;
  unsigned char *y = malloc(n * row);
  assert_non_null(y);
  assert_int_equal(qv_dtype_bytes(t->type), 1);
  run_all(net, n, (const void *const[]){x}, y);
  for (size_t s = 0; s < n; s++) hits += argmax(y + s * row, row, t->type == QV_I8) == label[s];
  free(y);
  return hits;
}

/* Accuracies measured on the native runtime, MANIFEST.md of the data folder: percent of 10,000 images to one or two digits. */
static void mnist(void **state) {
  (void)state;
  const struct {
    const char *net;
    double percent, tolerance;
  } nets[] = {{"tinymaix/mnist_arduino_q", 86.7, 0.05},
              {"tinymaix/mnist_valid_q", 96.5, 0.05},
              {"tinymaix/mnist_resnet_q", 98.2, 0.05},
              {"tinyengine/ptq_mnist_lenet-300-100", 98.15, 0.005}};
  char path[PATH];
  qv_array images = {0}, labels = {0};
  qv_err err = {0};
  data_path(path, "data/mnist/t10k-images-idx3-ubyte.gz");
  need(path);
  assert_int_equal(qv_array_read(&images, path, &err), QV_OK);
  data_path(path, "data/mnist/t10k-labels-idx1-ubyte.gz");
  assert_int_equal(qv_array_read(&labels, path, &err), QV_OK);
  for (size_t k = 0; k < sizeof nets / sizeof *nets; k++) {
    data_path(path, "tflite/%s.tflite", nets[k].net);
    qv_net *net = load(path, "tflite-ruy-x86");
    void *x = NULL;
    size_t n;
    if (qv_input_pack(&x, &n, net, 0, &images, "images", &err) != QV_OK) fail_msg("%s", err.msg);
    assert_int_equal(n, 10000);
    double got = 100.0 * (double)correct(net, x, n, labels.data) / 10000.0;
    print_message("%s: %.2f %%\n", nets[k].net, got);
    assert_true(fabs(got - nets[k].percent) <= nets[k].tolerance + 1e-9);
    free(x);
    qv_net_free(net);
  }
  qv_array_free(&images);
  qv_array_free(&labels);
}

static void keywords(void **state) {
  (void)state;
  char path[PATH];
  qv_buf x = {0}, csv = {0};
  unsigned char label[1000];
  data_path(path, "data/mlperf_tiny/kws01_features_int8.bin");
  need(path);
  assert_true(read_file(&x, path));
  data_path(path, "data/mlperf_tiny/kws01_labels.csv");
  assert_true(read_file(&csv, path));
  char *p = strchr((char *)csv.p, '\n');
  for (int i = 0; i < 1000; i++) { /* index,file,label */
    assert_non_null(p);
    char *eol = strchr(p + 1, '\n'), *last = eol != NULL ? eol : p + strlen(p);
    while (last[-1] != ',') last--;
    label[i] = (unsigned char)strtol(last, NULL, 10);
    p = eol;
  }
  data_path(path, "tflite/mlperf_tiny/kws_ref_model.tflite");
  qv_net *net = load(path, "tflite-ruy-x86");
  double got = (double)correct(net, x.p, 1000, label) / 10.0;
  print_message("kws_ref_model: %.1f %%\n", got);
  assert_true(fabs(got - 90.1) < 0.001);
  qv_net_free(net);
  qv_buf_free(&x);
  qv_buf_free(&csv);
}

static void cifar(void **state) {
  (void)state;
  char path[PATH];
  int64_t *v;
  data_path(path, "data/eran/cifar10_test.csv");
  need(path);
  size_t n = read_csv(path, &v);
  assert_int_equal(n, 100 * 3073); /* label, then 32x32x3 values */
  int8_t *x = malloc(100 * 3072);
  unsigned char label[100];
  assert_non_null(x);
  for (size_t s = 0; s < 100; s++) {
    label[s] = (unsigned char)v[s * 3073];
    for (size_t e = 0; e < 3072; e++) x[s * 3072 + e] = (int8_t)(v[s * 3073 + 1 + e] - 128);
  }
  data_path(path, "tflite/mlperf_tiny/pretrainedResnet_quant.tflite");
  qv_net *net = load(path, "tflite-ruy-x86");
  assert_int_equal(correct(net, x, 100, label), 87);
  qv_net_free(net);
  free(x);
  free(v);
}

/* ---- refusals ------------------------------------------------------------------------------------------------------------------- */

static void refused(void **state) {
  (void)state;
  const struct {
    const char *net, *text;
  } nets[] = {
      {"tflm/trained_lstm_int8", "operator 0 (UNIDIRECTIONAL_SEQUENCE_LSTM)"},
      {"tflm/keyword_scrambled_8bit", "operator 1 (SVDF)"},
      {"tflm/audio_preprocessor_int8", "custom operator 'SignalWindow'"},
      {"tflm/person_detect_vela", "custom operator 'ethos-u'"},
      {"tflm/hello_world_float", "float arithmetic"},
      {"mlperf_tiny/model_ToyCar_quant", "hybrid operator"},
      {"mlperf_tiny/kws_ref_model_float32", "hybrid operator"},
      {"mlperf_tiny/ad01_fp32", "float arithmetic"},
      {"mlperf_tiny/pretrainedResnet", "float arithmetic"},
      {"tinymaix/mnist_valid_f", "float arithmetic"},
      {"tinymaix/mnist_resnet_f", "float arithmetic"},
      {"coral/model_invoking_error", "custom operator 'fake-op-double'"},
      {"tflm_seanet_int16x8/transpose_conv/transpose_conv1", "operator 0 (TRANSPOSE_CONV)"},
  };
  char path[PATH];
  data_path(path, "tflite/%s.tflite", nets[0].net);
  need(path);
  for (size_t k = 0; k < sizeof nets / sizeof *nets; k++) {
    qv_net *net = NULL;
    qv_err err = {0};
    const char *base = strrchr(nets[k].net, '/') + 1;
    data_path(path, "tflite/%s.tflite", nets[k].net);
    assert_int_equal(qv_load_model(&net, path, NULL, &err), QV_E_UNSUP);
    assert_null(net);
    if (strstr(err.msg, nets[k].text) == NULL || strncmp(err.msg, base, strlen(base)) != 0) fail_msg("%s", err.msg);
  }
}

/* Custom operators with float results stay refused; the LSTM has integer results and may become opaque. */
static void made_opaque(void **state) {
  (void)state;
  char path[PATH];
  qv_net *net = NULL;
  qv_err err = {0};
  data_path(path, "tflite/tflm/trained_lstm_int8.tflite");
  need(path);
  if (qv_load_model(&net, path, &(qv_load_opts){.opaque = true}, &err) != QV_OK) fail_msg("%s", err.msg);
  assert_int_equal(net->node[0].kind, QV_OPAQUE);
  assert_int_equal(net->n_notes, 1);
  assert_int_equal(strlen(net->sha256), 64);
  assert_string_equal(net->source, "trained_lstm_int8.tflite");
  qv_net_free(net);
  net = NULL;
  data_path(path, "tflite/coral/model_invoking_error.tflite");
  assert_int_equal(qv_load_model(&net, path, &(qv_load_opts){.opaque = true}, &err), QV_E_UNSUP);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(example), cmocka_unit_test(index_nets), cmocka_unit_test(separated),
      cmocka_unit_test(seanet),  cmocka_unit_test(mnist),      cmocka_unit_test(keywords),
      cmocka_unit_test(cifar),   cmocka_unit_test(refused),    cmocka_unit_test(made_opaque),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
