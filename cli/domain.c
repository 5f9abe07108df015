#include "cli/domain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/array.h"

/* A canonical property or the looser form for people. */
static qv_status read_domain(qv_property *p, const char *path, const qv_net *net, qv_err *err) {
  static const char first[] = "qvp ";
  qv_buf b = {0};
  qv_status st = qv_file_read(&b, path, (size_t)1 << 30, err);
  if (st != QV_OK) return st;
  bool canonical = b.n >= sizeof first - 1 && memcmp(b.p, first, sizeof first - 1) == 0;
  st = canonical ? qv_property_read(p, (char *)b.p, b.n, net, err) : qv_property_read_domain(p, (char *)b.p, b.n, net, err);
  qv_buf_free(&b);
  if (st == QV_OK && p->claim != QV_CLAIM_OVERFLOW) st = QV_FAIL(err, QV_E_PARSE, "a claim about robustness; this command needs one about overflow");
  return st;
}

/* Ranges that a calibration set spans, one file per model input. */
static qv_status calibrate(qv_property *p, const cli_val *files, const qv_net *net, qv_err *err) {
  qv_status st = qv_property_whole(p, net, 0, err);
  for (uint32_t i = 0; st == QV_OK && i < files->n; i++) {
    qv_array a = {0};
    void *samples = NULL;
    size_t n = 0;
    st = qv_array_read(&a, files->v[i], err);
    if (st == QV_OK) st = qv_input_pack(&samples, &n, net, i, &a, files->v[i], err);
    if (st == QV_OK) st = qv_property_from_samples(p, i, samples, n, net, err);
    free(samples);
    qv_array_free(&a);
  }
  return st;
}

const char *cli_domain_path(const cli_cmd *cmd, const cli_val *val) {
  const char *path = cli_get(cmd, val, "domain");
  return path == NULL && cli_all(cmd, val, "calibrate")->n > 0 ? cli_all(cmd, val, "calibrate")->v[0] : path;
}

int cli_domain(qv_property *p, const cli_cmd *cmd, const cli_val *val, const qv_net *net, qv_err *err) {
  const char *path = cli_get(cmd, val, "domain");
  const cli_val *cal = cli_all(cmd, val, "calibrate");
  if (path != NULL && cal->n > 0) return cli_usage(cmd, "--domain and --calibrate exclude each other");
  if (cal->n > 0 && cal->n != net->n_in)
    return cli_usage(cmd, "the model has %" PRIu32 " inputs, but --calibrate is given %" PRIu32 " times", net->n_in, cal->n);
  qv_status st = path != NULL    ? read_domain(p, path, net, err)
                 : cal->n > 0    ? calibrate(p, cal, net, err)
                                 : qv_property_whole(p, net, 0, err);
  if (st != QV_OK) {
    if (err->line > 0 && path != NULL) {
      char where[600];
      (void)snprintf(where, sizeof where, "%.500s: line %" PRId64, path, err->line);
      return cli_fail(st, where, err);
    }
    return cli_fail(st, cli_domain_path(cmd, val), err);
  }
  return 0;
}
