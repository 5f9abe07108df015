/* qverify quantize: a float network to integers, exported, proved. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/quantized.h"

/* "W/A": bits of weights and activations. */
static bool read_bits(const char *s, qv_bits *b) {
  char tail;
  return sscanf(s, "%2d/%2d%c", &b->w, &b->a, &tail) == 2 && b->w >= 2 && b->w <= 16 && b->a >= 2 && b->a <= 16;
}

/* The group that NAME means: its tensor's name, or a node that reads it. */
static uint32_t find_group(const qv_fgraph *g, const qv_groups *x, const char *name, size_t len) {
  for (uint32_t i = 0; i < x->n; i++) {
    const char *t = g->tensor[x->group[i].tensor].name;
    if (strlen(t) == len && memcmp(t, name, len) == 0) return i;
    for (uint32_t j = 0; j < x->group[i].n; j++) {
      const char *n = g->node[x->group[i].node[j]].name;
      if (strlen(n) == len && memcmp(n, name, len) == 0) return i;
    }
  }
  return QV_NONE;
}

static int set_bits(const cli_cmd *cmd, const cli_val *val, const qv_fgraph *g, const qv_groups *x, int *a, int *w) {
  const char *all = cli_get(cmd, val, "bits");
  const cli_val *layer = cli_all(cmd, val, "layer");
  qv_bits b = {8, 8};
  if (all != NULL && !read_bits(all, &b)) return cli_usage(cmd, "--bits '%.20s': W/A with 2..16 bits each, e.g. 4/8", all);
  for (uint32_t t = 0; t < g->n_tensors; t++) a[t] = b.a;
  for (uint32_t k = 0; k < g->n_nodes; k++) w[k] = b.w;
  for (uint32_t i = 0; i < layer->n; i++) {
    const char *eq = strrchr(layer->v[i], '=');
    if (eq == NULL || !read_bits(eq + 1, &b)) return cli_usage(cmd, "--layer '%.80s': NAME=W/A, e.g. conv1=4/8", layer->v[i]);
    uint32_t k = find_group(g, x, layer->v[i], (size_t)(eq - layer->v[i]));
    if (k == QV_NONE) return cli_usage(cmd, "--layer '%.80s': no tensor or operator of that name has bits of its own", layer->v[i]);
    a[x->group[k].tensor] = b.a;
    for (uint32_t j = 0; j < x->group[k].n; j++) w[x->group[k].node[j]] = b.w;
  }
  return 0;
}

static int finish(const cli_cmd *cmd, const cli_val *val, const cli_floatnet *f, const qv_quantized *q, const char *path, qv_err *err) {
  const char *profile = cli_get(cmd, val, "profile"), *to = cli_get(cmd, val, "output");
  cli_quantized x = {0};
  qv_buf text = {0};
  int64_t acc_bits;
  if (!cli_get_int(&acc_bits, cmd, val, "acc-bits", 2, 64, 0)) return QV_EXIT_USAGE;
  qv_status st = cli_quantized_make(&x, q, f, profile != NULL ? profile : "ort-vnni", (int)acc_bits, cli_get(cmd, val, "no-check") == NULL, err);
  int rc = st == QV_OK ? 0 : cli_fail(st, path, err);
  if (rc == 0 && to != NULL && (st = cli_emit(to, &x.onnx, err)) != QV_OK) rc = cli_fail(st, to, err);
  if (rc == 0) {
    qv_verdict v = qv_ovcheck_verdict(&x.ov);
    cli_quantized_text(&text, &x, q, f);
    qv_buf_printf(&text, "\n%s: %s, profile %s; %" PRIu32 " of %" PRIu32 " obligations proved\n", qv_verdict_name(v),
                  v == QV_VERIFIED ? "no accumulator of the exported network can overflow" : "overflow of the exported network not excluded",
                  profile != NULL ? profile : "ort-vnni", x.ov.verified, x.ov.selected);
    bool quiet = to != NULL && strcmp(to, "-") == 0;
    if (!quiet && (st = cli_emit("-", &text, err)) != QV_OK) rc = cli_fail(st, NULL, err);
    const qv_tally tally = {.selected = x.ov.selected, .verified = x.ov.verified, .falsified = x.ov.falsified};
    if (rc == 0) rc = qv_cli_exit(QV_OK, &tally);
  }
  qv_buf_free(&text);
  cli_quantized_free(&x);
  return rc;
}

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  cli_floatnet f = {0};
  qv_groups groups = {0};
  qv_quantized q = {0};
  qv_err err = {0};
  int *a = NULL, *w = NULL;
  if (!cli_profile_ok(cmd, cli_get(cmd, val, "profile"))) return QV_EXIT_USAGE;
  int rc = cli_floatnet_load(&f, cmd, val, operand[0], &err);
  if (rc != 0) goto done;
  qv_status st = qv_groups_find(&groups, f.g, &err);
  a = calloc((size_t)f.g->n_tensors + 1, sizeof *a);
  w = calloc((size_t)f.g->n_nodes + 1, sizeof *w);
  if (st == QV_OK && (a == NULL || w == NULL)) st = QV_FAIL(&err, QV_E_NOMEM, "quantize");
  if (st == QV_OK && (rc = set_bits(cmd, val, f.g, &groups, a, w)) != 0) goto done;
  if (st == QV_OK) st = qv_quantize(&q, f.g, &f.calib, a, w, &f.quant, &err);
  rc = st == QV_OK ? finish(cmd, val, &f, &q, operand[0], &err) : cli_fail(st, operand[0], &err);
done:
  free(a);
  free(w);
  qv_quantized_clear(&q);
  qv_groups_clear(&groups);
  cli_floatnet_free(&f);
  return rc;
}

static const cli_opt opts[] = {
    CLI_FLOATNET_OPTS,
    {"bits", 'b', "W/A", false, "bits of weights and activations (default 8/8)"},
    {"layer", 0, "NAME=W/A", true, "the same for one activation tensor and what reads it"},
    {"profile", 'p', "NAME", false, "runtime that the exported model is read back and proved for (default ort-vnni)"},
    {"acc-bits", 0, "N", false, "judge every accumulator as N bits wide"},
    {"output", 'o', "FILE", false, "where the ONNX model goes (QuantizeLinear and DequantizeLinear around every operator)"},
    {"no-check", 0, NULL, false, "do not run the independent checker; the verdict line says so"},
    {.name = NULL},
};

const cli_cmd cli_quantize = {
    .name = "quantize",
    .operands = "FLOAT",
    .n_operands = 1,
    .summary = "quantize a float ONNX or TFLite network and prove what the integers do",
    .detail = "Ranges come from samples; scales, integer weights and biases from docs/quantize.md. The result is exported as ONNX, read back like any "
              "model, executed on the samples and proved free of accumulator overflow, all on exactly the integers of the exported file.",
    .example = "qverify quantize model.onnx --calib train.npy --bits 4/8 -o model_int.onnx",
    .opt = opts,
    .run = run,
};
