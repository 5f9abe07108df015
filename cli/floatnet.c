#include "cli/floatnet.h"

#include <stdlib.h>
#include <string.h>

#include "cli/labels.h"
#include "frontend/load.h"
#include "quant/measure.h"
#include "quant/samples.h"

#define CALIB_MAX 256
#define ACC_BITS 32 /* weights stay within such accumulators unless the command says otherwise */

static bool number(const char *s, double *v) {
  char *end;
  *v = strtod(s, &end);
  return *s != 0 && *end == 0 && *v - *v == 0;
}

static int set_range(cli_floatnet *f, const cli_cmd *cmd, const char *how) {
  f->quant.percentile = 0.9999;
  if (how == NULL || strcmp(how, "minmax") == 0) return 0;
  if (strcmp(how, "mse") == 0) {
    f->quant.range = QV_RANGE_MSE;
    return 0;
  }
  f->quant.range = QV_RANGE_PERCENTILE;
  if (strcmp(how, "percentile") == 0) return 0;
  if (strncmp(how, "percentile:", 11) == 0 && number(how + 11, &f->quant.percentile) && f->quant.percentile > 0.5 && f->quant.percentile <= 1) return 0;
  return cli_usage(cmd, "--range is minmax, percentile, percentile:P with 0.5 < P <= 1, or mse; not '%.60s'", how);
}

typedef struct {
  const cli_floatnet *f;
  double scale, offset;
  qv_err *err;
} source;

/* Samples of one file and the labels of another. */
static int read_set(const source *s, const char *path, const char *label_path, float **x, size_t *n, int64_t **label) {
  qv_array a = {0};
  const qv_fgraph *g = s->f->g;
  qv_status st = qv_array_read(&a, path, s->err);
  if (st == QV_OK) st = qv_fsamples(x, n, g, &a, s->scale, s->offset, path, s->err);
  qv_array_free(&a);
  if (st != QV_OK) return cli_fail(st == QV_E_IO || st == QV_E_NOMEM ? st : QV_E_PARSE, path, s->err);
  if (label_path == NULL) return 0;
  if ((*label = calloc(*n, sizeof **label)) == NULL) return cli_fail(QV_FAIL(s->err, QV_E_NOMEM, "labels"), label_path, s->err);
  st = cli_labels_read(*label, *n, qv_felems(&g->tensor[g->out]), label_path, s->err);
  return st == QV_OK ? 0 : cli_fail(st, label_path, s->err);
}

static qv_status classify(cli_floatnet *f, qv_err *err) {
  qv_fexec run = {0};
  size_t per = qv_felems(&f->g->tensor[f->g->in]), n_out = qv_felems(&f->g->tensor[f->g->out]);
  qv_status st;
  if ((f->test_class = calloc(f->n_test + 1, sizeof *f->test_class)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "classes");
  QV_TRY(qv_fexec_init(&run, f->g, err));
  for (size_t i = 0; i < f->n_test; i++) {
    qv_fexec_run(&run, f->test + i * per);
    float *y = run.v[f->g->out];
    for (size_t e = 0; f->least && e < n_out; e++) y[e] = -y[e];
    f->test_class[i] = (uint32_t)qv_first_max(y, n_out);
  }
done:
  qv_fexec_clear(&run);
  return st;
}

static qv_status read_graph(cli_floatnet *f, const qv_buf *file, const char *path, qv_err *err) {
  qv_arena a = {0};
  char *dir = qv_model_dir(&a, path);
  qv_status st = dir != NULL ? qv_fgraph_read_in(&f->g, file->p, file->n, path, dir, err) : QV_FAIL(err, QV_E_NOMEM, "%s: out of memory", path);
  qv_arena_clear(&a);
  return st;
}

int cli_floatnet_load(cli_floatnet *f, const cli_cmd *cmd, const cli_val *val, const char *path, qv_err *err) {
  const char *calib = cli_get(cmd, val, "calib"), *labels = cli_get(cmd, val, "labels"), *test = cli_get(cmd, val, "test"),
             *test_labels = cli_get(cmd, val, "test-labels"), *scale = cli_get(cmd, val, "pixel-scale"), *offset = cli_get(cmd, val, "pixel-offset");
  source s = {.f = f, .err = err};
  int64_t max;
  int rc;
  if (calib == NULL) return cli_usage(cmd, "--calib FILE is needed: ranges come from samples");
  if (test_labels != NULL && test == NULL) return cli_usage(cmd, "--test-labels needs --test");
  if (scale != NULL && (!number(scale, &s.scale) || s.scale == 0)) return cli_usage(cmd, "--pixel-scale '%.40s' is not a number other than 0", scale);
  if (offset != NULL && !number(offset, &s.offset)) return cli_usage(cmd, "--pixel-offset '%.40s' is not a number", offset);
  if (!cli_get_int(&max, cmd, val, "samples", 1, 1 << 24, CALIB_MAX)) return QV_EXIT_USAGE;
  if ((rc = set_range(f, cmd, cli_get(cmd, val, "range"))) != 0) return rc;
  f->quant.symmetric = cli_get(cmd, val, "symmetric") != NULL;
  f->quant.per_tensor = cli_get(cmd, val, "per-tensor") != NULL;
  f->quant.pow2 = cli_get(cmd, val, "pow2") != NULL;
  f->least = cli_get(cmd, val, "least") != NULL;
  f->quant.pow2_weights = cli_get(cmd, val, "pow2-weights") != NULL;
  f->quant.acc_bits = ACC_BITS;
  f->quant.round_to_output = cli_get(cmd, val, "round-to-output") != NULL;
  f->quant.correct_bias = cli_get(cmd, val, "correct-bias") != NULL;
  if (f->quant.pow2_weights && f->quant.round_to_output) return cli_usage(cmd, "--pow2-weights and --round-to-output exclude each other");
  qv_buf file = {0};
  qv_status st = qv_file_read(&file, path, (size_t)1 << 31, err);
  if (st == QV_OK) st = read_graph(f, &file, path, err);
  qv_buf_free(&file);
  if (st != QV_OK) return cli_fail(st, path, err);
  f->g->sum_out = cli_get(cmd, val, "sums") != NULL;
  if (f->g->sum_out && qv_fgraph_last_gemm(f->g) == QV_NONE) return cli_usage(cmd, "--sums: the network does not end in a Gemm or MatMul");
  if ((rc = read_set(&s, calib, labels, &f->sample, &f->n, &f->label)) != 0) return rc;
  f->own_test = test != NULL;
  f->test = f->sample, f->n_test = f->n, f->test_label = f->label;
  if (f->own_test) {
    f->test = NULL, f->test_label = NULL;
    if ((rc = read_set(&s, test, test_labels, &f->test, &f->n_test, &f->test_label)) != 0) return rc;
  }
  if (f->n > (size_t)max) f->n = (size_t)max;
  st = qv_calibrate(&f->calib, f->g, f->sample, f->n, err);
  if (st == QV_OK) st = classify(f, err);
  return st == QV_OK ? 0 : cli_fail(cli_data_error(st), calib, err);
}

void cli_floatnet_free(cli_floatnet *f) {
  qv_calib_clear(&f->calib);
  qv_fgraph_free(f->g);
  if (f->own_test) {
    free(f->test);
    free(f->test_label);
  }
  free(f->sample);
  free(f->label);
  free(f->test_class);
  *f = (cli_floatnet){0};
}
