/* qverify quantize: a float network to integers, exported, proved. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/errclaim.h"
#include "cli/quantized.h"
#include "kernels/profile/onnx.h"

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

/* Bits of the results, in front of a Softmax that ends the network. */
static void set_output(const qv_fgraph *g, int *a, int bits) {
  const qv_fnode *last = qv_fgraph_writer(g, g->out);
  uint32_t t = qv_quant_root(g, last != NULL && last->op == QF_SOFTMAX ? last->in[0] : g->out);
  if (t != QV_NONE) a[t] = bits;
}

/* Does this runtime add products of bytes in pairs of 16 bits? */
static bool adds_pairs(const char *profile) {
  const qv_onnx_profile *p = profile != NULL ? qv_onnx_profile_find(profile) : NULL;
  return p != NULL && p->acc[0][1].mode == QV_ACC_PAIR16 && p->acc[0][1].pairing == QV_PAIR_ADJACENT;
}

/* QONNX is asked for by --format, or by the name of the file. */
static bool wants_qonnx(const cli_cmd *cmd, const cli_val *val) {
  const char *format = cli_get(cmd, val, "format"), *to = cli_get(cmd, val, "output");
  size_t n = to != NULL ? strlen(to) : 0;
  return format != NULL ? strcmp(format, "qonnx") == 0 : n > 6 && strcmp(to + n - 6, ".qonnx") == 0;
}

/* --error-bound; its form has been checked. */
static bool read_claim(cli_error_claim *c, const cli_cmd *cmd, const cli_val *val) {
  const char *spec = cli_get(cmd, val, "error-bound");
  int64_t n = 10;
  bool ok = spec != NULL && cli_error_claim_read(c, spec) && cli_get_int(&n, cmd, val, "error-samples", 1, 1000000, 10);
  c->samples = (size_t)n;
  return ok;
}

static void put_claim(qv_buf *out, const cli_error_claim *c, double bound, bool proved, const cli_floatnet *f) {
  qv_buf_printf(out, "%s: the exported integers are within %.6g of the float network", proved ? "VERIFIED" : "UNKNOWN", proved ? bound * (1 + 1e-6) : c->within);
  if (c->around) qv_buf_printf(out, " for every input within %g of each of the first %zu calibration samples", c->radius, c->samples < f->n ? c->samples : f->n);
  else qv_buf_str(out, " for every input that the codes stand for");
  qv_buf_str(out, proved ? "\n" : "; no such bound was proved\n");
}

static const char *overflow_text(qv_verdict v, bool any) {
  if (!any) return "nothing to prove: the exported network has no accumulator";
  return v == QV_VERIFIED    ? "no accumulator of the exported network can overflow"
         : v == QV_FALSIFIED ? "an accumulator of the exported network can overflow"
                             : "overflow of the exported network not excluded";
}

static int finish(const cli_cmd *cmd, const cli_val *val, const cli_floatnet *f, const qv_quantized *q, int acc_bits, const char *path, qv_err *err) {
  const char *to = cli_get(cmd, val, "output");
  const cli_quantized_opts o = {.profile = cli_get(cmd, val, "profile"), .acc_bits = acc_bits, .check = cli_get(cmd, val, "no-check") == NULL,
                                .qonnx = wants_qonnx(cmd, val), .promise = true};
  cli_quantized x = {0};
  qv_buf text = {0};
  qv_status st = cli_quantized_make_as(&x, q, f, &o, err);
  int rc = st == QV_OK ? 0 : cli_fail(st, path, err);
  if (rc == 0 && to != NULL && (st = cli_emit(to, &x.onnx, err)) != QV_OK) rc = cli_fail(st, to, err);
  cli_error_claim claim = {0};
  double bound = 0;
  bool wanted = read_claim(&claim, cmd, val), near = true;
  if (rc == 0 && wanted && (st = cli_error_claim_bound(&bound, &claim, f, x.net, err)) != QV_OK) rc = cli_fail(st, path, err);
  near = bound <= claim.within && bound < INFINITY;
  if (rc == 0) {
    qv_verdict v = qv_ovcheck_verdict(&x.ov);
    cli_quantized_text(&text, &x, q, f);
    qv_buf_printf(&text, "\n%s: %s", qv_verdict_name(v), overflow_text(v, x.ov.selected > 0));
    if (x.proved_bits > 0) qv_buf_printf(&text, ", %d bits", acc_bits);
    qv_buf_printf(&text, ", profile %s; %" PRIu32 " of %" PRIu32 " obligations proved\n", x.profile, x.ov.verified, x.ov.selected);
    if (v != QV_VERIFIED && x.ov.selected > 0)
      qv_buf_printf(&text, "  next: %s; 'qverify overflow' on the written file says which layer\n",
                    acc_bits == 0 ? "--acc-bits N fits weights into N bits"
                                  : "weights are fitted into these bits, averages and additions cannot be: more bits, or narrower activations");
    bool wide = acc_bits > 0 && x.proved_bits == 0 && x.product_bits > acc_bits;
    if (acc_bits > 0 && x.proved_bits == 0)
      qv_buf_printf(&text, "Additions of tensors have no accumulator there; every other sum needs at most %d bits (proved)%s\n", x.product_bits,
                    wide ? ": more than asked for" : "");
    if (wanted) put_claim(&text, &claim, bound, near, f);
    bool quiet = to != NULL && strcmp(to, "-") == 0;
    if (!quiet && (st = cli_emit("-", &text, err)) != QV_OK) rc = cli_fail(st, NULL, err);
    const qv_tally tally = {.selected = x.ov.selected + wanted, .verified = x.ov.verified + (wanted && near), .falsified = x.ov.falsified};
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
  const char *format = cli_get(cmd, val, "format");
  int64_t acc_bits, out_bits;
  if (format != NULL && strcmp(format, "qdq") != 0 && strcmp(format, "qonnx") != 0) return cli_usage(cmd, "--format is qdq or qonnx, not '%.40s'", format);
  if (!cli_get_int(&acc_bits, cmd, val, "acc-bits", 2, 62, 0) || !cli_get_int(&out_bits, cmd, val, "output-bits", 2, 16, 0)) return QV_EXIT_USAGE;
  if (!cli_profile_ok(cmd, cli_get(cmd, val, "profile"))) return QV_EXIT_USAGE;
  cli_error_claim claim;
  const char *spec = cli_get(cmd, val, "error-bound");
  if (spec != NULL && !cli_error_claim_read(&claim, spec)) return cli_usage(cmd, "--error-bound '%.40s': X, X@R, or inf for X", spec);
  int rc = cli_floatnet_load(&f, cmd, val, operand[0], &err);
  if (rc != 0) goto done;
  if (f.g->sum_out && out_bits > 0) {
    rc = cli_usage(cmd, "--output-bits has nothing to do with --sums: the results are the sums themselves");
    goto done;
  }
  if (acc_bits > 0) f.quant.acc_bits = (int)acc_bits;
  f.quant.pairs = adds_pairs(cli_get(cmd, val, "profile"));
  f.quant.for_qonnx = wants_qonnx(cmd, val);
  qv_status st = qv_groups_find(&groups, f.g, &err);
  a = calloc((size_t)f.g->n_tensors + 1, sizeof *a);
  w = calloc((size_t)f.g->n_nodes + 1, sizeof *w);
  if (st == QV_OK && (a == NULL || w == NULL)) st = QV_FAIL(&err, QV_E_NOMEM, "quantize");
  if (st == QV_OK && (rc = set_bits(cmd, val, f.g, &groups, a, w)) != 0) goto done;
  if (st == QV_OK && out_bits > 0) set_output(f.g, a, (int)out_bits);
  if (st == QV_OK) st = qv_quantize(&q, f.g, &f.calib, a, w, &f.quant, &err);
  rc = st == QV_OK ? finish(cmd, val, &f, &q, (int)acc_bits, operand[0], &err) : cli_fail(st, operand[0], &err);
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
    {"output-bits", 0, "N", false, "bits of the results"},
    {"profile", 'p', "NAME", false, "runtime that the exported model is read back and proved for (default ort-vnni; onnx-spec where that refuses)"},
    {"acc-bits", 0, "N", false, "choose scales and weights so that no sum needs more than N bits, and prove it (default: 32 for weights)"},
    {"output", 'o', "FILE", false, "where the ONNX model goes"},
    {"format", 0, "NAME", false, "qdq (default): QuantizeLinear and DequantizeLinear around every operator; qonnx (default for *.qonnx): Quant"},
    {"error-bound", 0, "X", false, "also prove that no result is more than X from the float network's (docs/error-bound.md); X@R: within R of samples; inf: say what is proved"},
    {"error-samples", 0, "N", false, "... of the first N calibration samples (default 10)"},
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
