/* qverify run: execute a model bit-exactly. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/cli.h"
#include "cli/labels.h"
#include "cli/progress.h"
#include "cli/real.h"
#include "cli/storage.h"
#include "frontend/array.h"
#include "kernels/exec.h"

typedef struct {
  cli_model m;
  qv_plan *plan;
  size_t n;           /* samples                                         */
  void *in[QV_MAX_INPUTS], *out[QV_MAX_INPUTS];
  int64_t *label;     /* [n] or NULL                                     */
  const char *failed; /* file a failure is about, NULL = none in particular */
} job;

static bool is_npy(const char *path) {
  size_t n = strlen(path);
  return n >= 4 && strcasecmp(path + n - 4, ".npy") == 0;
}

static qv_status read_input(job *j, uint32_t i, const char *path, qv_err *err) {
  qv_status st;
  qv_array a = {0};
  size_t n = 0;
  j->failed = path;
  QV_TRY(qv_array_read(&a, path, err));
  QV_TRY(qv_input_pack(&j->in[i], &n, j->m.net, i, &a, path, err));
  if (n == 0) {
    st = QV_FAIL(err, QV_E_PARSE, "no samples");
    goto done;
  }
  if (i > 0 && n != j->n) {
    st = QV_FAIL(err, QV_E_PARSE, "%zu samples, but the input before it has %zu", n, j->n);
    goto done;
  }
  j->n = n;
  j->failed = NULL;
done:
  qv_array_free(&a);
  return cli_data_error(st);
}

static qv_status read_labels(job *j, const char *path, qv_err *err) {
  size_t classes = qv_elems(&j->m.net->tensor[j->m.net->out[0].tensor]);
  j->failed = path;
  if ((j->label = calloc(j->n, sizeof *j->label)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  qv_status st = cli_labels_read(j->label, j->n, classes, path, err);
  if (st == QV_OK) j->failed = NULL;
  return st;
}

/* Samples whose largest element of output 0 (the first one, where several are equal) is the labelled one. */
static size_t count_right(const job *j) {
  const qv_tensor *t = &j->m.net->tensor[j->m.net->out[0].tensor];
  size_t k = qv_elems(t), right = 0;
  for (size_t s = 0; s < j->n; s++) {
    size_t best = 0;
    for (size_t e = 1; e < k; e++)
      if (qv_fetch(j->out[0], t->type, s * k + e) > qv_fetch(j->out[0], t->type, s * k + best)) best = e;
    right += (int64_t)best == j->label[s];
  }
  return right;
}

/* ---- execution ---------------------------------------------------------------------------------------------------------- */

static qv_status execute(job *j, qv_isa isa, unsigned threads, qv_err *err) {
  qv_status st = QV_OK;
  const qv_net *net = j->m.net;
  enum { CHUNK = 256 }; /* samples between two looks at the clock */
  cli_progress bar = {0};
  j->failed = j->m.path;
  QV_TRY(qv_plan_new(&j->plan, net, isa, err));
  for (uint32_t o = 0; o < net->n_out; o++) {
    const qv_tensor *t = &net->tensor[net->out[o].tensor];
    size_t bytes;
    if (!qv_mulz(&bytes, j->n, qv_elems(t) * qv_dtype_bytes(t->type)) || (j->out[o] = malloc(bytes)) == NULL)
      return QV_FAIL(err, QV_E_NOMEM, "out of memory for %zu samples of output '%s'", j->n, net->out[o].name);
  }
  for (size_t s = 0; s < j->n; s += CHUNK) {
    const void *in[QV_MAX_INPUTS];
    void *out[QV_MAX_INPUTS];
    for (uint32_t i = 0; i < net->n_in; i++) {
      const qv_tensor *t = &net->tensor[net->in[i].tensor];
      in[i] = (const char *)j->in[i] + s * qv_elems(t) * qv_dtype_bytes(t->type);
    }
    for (uint32_t o = 0; o < net->n_out; o++) {
      const qv_tensor *t = &net->tensor[net->out[o].tensor];
      out[o] = (char *)j->out[o] + s * qv_elems(t) * qv_dtype_bytes(t->type);
    }
    QV_TRY(qv_plan_run(j->plan, j->n - s < CHUNK ? j->n - s : CHUNK, in, out, threads, err));
    cli_progress_show(&bar, s, j->n, "samples");
  }
  j->failed = NULL;
done:
  cli_progress_end(&bar);
  return st;
}

/* ---- output ------------------------------------------------------------------------------------------------------------- */

/* [N, shape], where a leading batch dimension of 1 becomes N. */
static uint32_t batch_shape(size_t dim[QV_MAX_RANK + 1], const qv_tensor *t, size_t n) {
  uint32_t skip = t->rank > 0 && (t->dim[0] == 1 || t->rank == QV_MAX_RANK) ? 1 : 0;
  dim[0] = skip != 0 ? n * t->dim[0] : n;
  for (uint32_t d = skip; d < t->rank; d++) dim[d - skip + 1] = t->dim[d];
  return t->rank - skip + 1;
}

static qv_status write_output(job *j, uint32_t o, const char *path, bool real, qv_err *err) {
  qv_status st = QV_OK;
  const qv_tensor *t = &j->m.net->tensor[j->m.net->out[o].tensor];
  size_t count = j->n * qv_elems(t), dim[QV_MAX_RANK + 1];
  float *f = NULL;
  qv_buf b = {0};
  qv_elem type = real ? QV_EL_F32 : qv_storage_elem(t->type);
  if (real) {
    j->failed = j->m.path;
    if ((f = calloc(count, sizeof *f)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
    QV_TRY(qv_real_output(f, j->m.net, o, j->out[o], j->n, err));
  }
  const void *data = real ? (const void *)f : j->out[o];
  if (is_npy(path)) qv_npy_write(&b, type, batch_shape(dim, t, j->n), dim, data);
  else qv_buf_put(&b, data, count * qv_elem_bytes(type));
  j->failed = path;
  QV_TRY(cli_emit(path, &b, err));
  j->failed = NULL;
done:
  qv_buf_free(&b);
  free(f);
  return st;
}

static void job_free(job *j) {
  qv_plan_free(j->plan);
  for (uint32_t i = 0; j->m.net != NULL && i < j->m.net->n_in; i++) free(j->in[i]);
  for (uint32_t o = 0; j->m.net != NULL && o < j->m.net->n_out; o++) free(j->out[o]);
  free(j->label);
  cli_model_free(&j->m);
}

/* Names of the model's inputs or outputs, for the message that says how many are needed. */
static int count_mismatch(const cli_cmd *cmd, const qv_net *net, bool inputs, uint32_t given) {
  qv_buf b = {0};
  uint32_t n = inputs ? net->n_in : net->n_out;
  for (uint32_t i = 0; i < n && i < 8; i++)
    qv_buf_printf(&b, "%s'%s'", i > 0 ? ", " : "", inputs ? net->in[i].name : net->out[i].name);
  int rc = cli_usage(cmd, "the model has %" PRIu32 " %s%s (%s%s), but --%s is given %" PRIu32 " time%s", n, inputs ? "input" : "output",
                     n == 1 ? "" : "s", b.failed ? "?" : (const char *)b.p, n > 8 ? ", ..." : "", inputs ? "input" : "output", given,
                     given == 1 ? "" : "s");
  qv_buf_free(&b);
  return rc;
}

/* ISA by name; false after a usage message. */
static bool parse_isa(qv_isa *isa, const cli_cmd *cmd, const char *name) {
  static const qv_isa all[] = {QV_ISA_BEST, QV_ISA_PORTABLE, QV_ISA_AVX2, QV_ISA_AVX512VNNI};
  qv_buf list = {0};
  *isa = QV_ISA_BEST;
  if (name == NULL || strcmp(name, "best") == 0) return true;
  for (size_t i = 1; i < sizeof all / sizeof all[0]; i++) {
    if (strcasecmp(name, qv_isa_name(all[i])) == 0) {
      *isa = all[i];
      qv_buf_free(&list);
      return true;
    }
    qv_buf_printf(&list, ", %s", qv_isa_name(all[i]));
  }
  (void)cli_usage(cmd, "--isa takes one of: best%s", list.failed ? "" : (const char *)list.p);
  qv_buf_free(&list);
  return false;
}

static qv_status work(job *j, const cli_cmd *cmd, const cli_val *val, qv_isa isa, unsigned threads, qv_err *err) {
  qv_status st = QV_OK;
  const cli_val *in = cli_all(cmd, val, "input"), *out = cli_all(cmd, val, "output");
  const char *labels = cli_get(cmd, val, "labels");
  bool real = cli_get(cmd, val, "real") != NULL, to_stdout = false;
  for (uint32_t i = 0; i < in->n; i++) QV_TRY(read_input(j, i, in->v[i], err));
  if (labels != NULL) QV_TRY(read_labels(j, labels, err));
  QV_TRY(execute(j, isa, threads, err));
  for (uint32_t o = 0; o < out->n; o++) {
    to_stdout |= strcmp(out->v[o], "-") == 0;
    QV_TRY(write_output(j, o, out->v[o], real, err));
  }
  if (labels != NULL) {
    qv_buf b = {0};
    size_t right = count_right(j), hundredths = (size_t)(((qv_i128)right * 20000 + (qv_i128)j->n) / (2 * (qv_i128)j->n));
    qv_buf_printf(&b, "accuracy: %zu of %zu (%zu.%02zu %%)\n", right, j->n, hundredths / 100, hundredths % 100);
    if (to_stdout && !b.failed) fprintf(stderr, "%s", (const char *)b.p); /* stdout holds the tensor and nothing else */
    else st = cli_emit("-", &b, err);
    qv_buf_free(&b);
  }
done:
  return st;
}

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  static job j; /* large; zeroed */
  qv_err err = {0};
  qv_isa isa;
  int64_t threads;
  const cli_val *in = cli_all(cmd, val, "input"), *out = cli_all(cmd, val, "output");
  const char *profile = cli_get(cmd, val, "profile");
  bool labels = cli_get(cmd, val, "labels") != NULL;
  if (!cli_profile_ok(cmd, profile) || !parse_isa(&isa, cmd, cli_get(cmd, val, "isa"))) return QV_EXIT_USAGE;
  if (!cli_get_int(&threads, cmd, val, "threads", 0, 1024, 0)) return QV_EXIT_USAGE;
  if (out->n == 0 && !labels) return cli_usage(cmd, "run needs --output FILE, --labels FILE, or both");
  int rc = cli_load(&j.m, cmd, operand[0], profile, false, &err);
  if (rc != 0) return rc;
  const qv_net *net = j.m.net;
  if (in->n != net->n_in) rc = count_mismatch(cmd, net, true, in->n);
  else if (out->n != net->n_out && !(out->n == 0 && labels)) rc = count_mismatch(cmd, net, false, out->n);
  else {
    qv_status st = work(&j, cmd, val, isa, (unsigned)threads, &err);
    rc = st == QV_OK ? qv_cli_exit(st, NULL) : cli_fail(st, j.failed, &err);
  }
  job_free(&j);
  return rc;
}

static const cli_opt opts[] = {
    {"input", 'i', "FILE", true,
     "samples for one model input; give it once per input, in the order of 'qverify info'. .npy, .npz (FILE.npz:entry), IDX "
     "(also .gz), .pgm and .bmp by content and extension; any other file is raw little-endian tensor bytes, N samples back to back"},
    {"output", 'o', "FILE", true,
     "where one model output goes, once per output, in order; .npy, or else raw little-endian bytes of the integer output tensor; "
     "'-' is standard output"},
    {"labels", 'l', "FILE", false,
     "right classes, one number a line (or .npy, .npz, IDX): print the accuracy of the first output, first largest element"},
    {"real", 0, NULL, false, "write float32 real values (dequantized, float tail applied) instead of integers"},
    {"profile", 'p', "NAME", false, "runtime whose arithmetic is meant (see 'qverify profiles')"},
    {"isa", 0, "NAME", false, "instruction set: best (default), portable, avx2, avx512vnni; the result is the same"},
    {"threads", 't', "N", false, "threads over samples, 0 = one per core (default); the result is the same"},
    {.name = NULL},
};

const cli_cmd cli_run = {
    .name = "run",
    .operands = "MODEL",
    .n_operands = 1,
    .summary = "execute a model bit for bit as the named runtime does",
    .detail = "Pixels (IDX, .pgm, .bmp) become q = pixel - 128 for an int8 input, the byte itself for uint8, pixel/255 for a float "
              "input. Integer arrays are taken as they are and must fit; floats go through the model's own quantizer.",
    .example = "qverify run model.tflite --input images.npy --output scores.npy --labels labels.txt",
    .opt = opts,
    .run = run,
};
