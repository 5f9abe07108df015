/* qverify info: what a model is, as qverify understands it. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/cli.h"
#include "kernels/exec.h"
#include "quant/fgraph.h"

/* "1x16x16x1", or "scalar". */
static const char *shape(qv_arena *a, const qv_tensor *t) {
  qv_buf b = {0};
  for (uint32_t d = 0; d < t->rank; d++) qv_buf_printf(&b, "%s%" PRIu32, d > 0 ? cli_times() : "", t->dim[d]);
  char *s = b.failed ? NULL : qv_arena_str(a, b.n > 0 ? (const char *)b.p : "scalar", b.n > 0 ? b.n : 6);
  qv_buf_free(&b);
  return s != NULL ? s : "?";
}

static const char *end_name(qv_end e) {
  switch (e) {
  case QV_END_INT: return "integer";
  case QV_END_QUANT_AWAY: return "float, quantized (nearest, ties away)";
  case QV_END_QUANT_EVEN: return "float, quantized (nearest, ties to even)";
  case QV_END_QUANT_INV: return "float, quantized (times 1/scale, ties to even)";
  case QV_END_F32_ORDER: return "float, compared with thresholds (order numbers)";
  case QV_END_DEQUANT: return "float, dequantized";
  }
  return "?";
}

static void ports(qv_buf *out, const qv_net *net, bool inputs, qv_arena *a) {
  cli_table t = {0};
  cli_col(&t, inputs ? "input" : "output", false);
  cli_col(&t, "type", false);
  cli_col(&t, "shape", false);
  cli_col(&t, "range", false);
  cli_col(&t, "scale", true);
  cli_col(&t, "zero point", true);
  cli_col(&t, "at the model's end", false);
  for (uint32_t i = 0; i < (inputs ? net->n_in : net->n_out); i++) {
    const qv_port *p = inputs ? &net->in[i] : &net->out[i];
    const qv_tensor *x = &net->tensor[p->tensor];
    cli_cell(&t, "%s", cli_safe(a, p->name));
    cli_cell(&t, "%s", qv_dtype_name(x->type));
    cli_cell(&t, "%s", shape(a, x));
    cli_cell(&t, "[%" PRId64 ",%" PRId64 "]", x->lo, x->hi);
    if (x->has_q) {
      cli_cell(&t, "%.9g", (double)x->scale);
      cli_cell(&t, "%" PRId32, x->zp);
    } else {
      cli_cell(&t, "-");
      cli_cell(&t, "-");
    }
    if (p->tail != NULL) cli_cell(&t, "%s, then %s", end_name(p->end), cli_safe(a, p->tail));
    else cli_cell(&t, "%s", end_name(p->end));
  }
  cli_table_print(out, &t);
  qv_buf_str(out, "\n");
}

/* Multiply-adds of one execution, padded taps counted. */
static uint64_t mul_adds(const qv_net *net, const qv_node *n) {
  if (n->kind != QV_AFFINE) return 0;
  const qv_window *w = &n->u.affine.win;
  return (uint64_t)qv_elems(&net->tensor[n->out]) * w->kh * w->kw * (w->ic / w->groups);
}

static uint64_t weights(const qv_node *n) {
  if (n->kind != QV_AFFINE) return 0;
  const qv_window *w = &n->u.affine.win;
  return (uint64_t)w->oc * w->kh * w->kw * (w->ic / w->groups);
}

/* One row per operator of the source file; its nodes stand next to each other. */
static void layers(qv_buf *out, const qv_net *net, const qv_plan *plan, qv_arena *a) {
  cli_table t = {0};
  uint64_t all_w = 0, all_m = 0;
  cli_col(&t, "layer", true);
  cli_col(&t, "operator", false);
  cli_col(&t, "output", false);
  cli_col(&t, "type", false);
  cli_col(&t, "weights", true);
  cli_col(&t, "multiply-adds", true);
  cli_col(&t, "nodes", false);
  for (uint32_t i = 0, j; i < net->n_nodes; i = j) {
    const qv_node *last = &net->node[i];
    qv_buf kinds = {0};
    uint64_t w = 0, m = 0;
    for (j = i; j < net->n_nodes && net->node[j].layer == net->node[i].layer; j++) {
      last = &net->node[j];
      w += weights(last);
      m += mul_adds(net, last);
      qv_buf_printf(&kinds, "%s%s", j > i ? " " : "", qv_kind_name(last->kind));
      if (plan != NULL) qv_buf_printf(&kinds, "(%s)", qv_plan_kernel(plan, j));
    }
    if (last->layer == QV_NONE) cli_cell(&t, "-");
    else cli_cell(&t, "%" PRIu32, last->layer);
    cli_cell(&t, "%s", cli_safe(a, last->op));
    cli_cell(&t, "%s", shape(a, &net->tensor[last->out]));
    cli_cell(&t, "%s", qv_dtype_name(net->tensor[last->out].type));
    if (w > 0) cli_cell(&t, "%" PRIu64, w);
    else cli_cell(&t, "-");
    if (m > 0) cli_cell(&t, "%" PRIu64, m);
    else cli_cell(&t, "-");
    cli_cell(&t, "%s", kinds.failed || kinds.n == 0 ? "?" : (const char *)kinds.p);
    qv_buf_free(&kinds);
    all_w += w;
    all_m += m;
  }
  cli_table_print(out, &t);
  qv_buf_printf(out, "\n  %" PRIu32 " nodes, %" PRIu64 " weights, %" PRIu64 " multiply-adds per sample\n", net->n_nodes, all_w, all_m);
}

static void describe(qv_buf *out, const cli_model *m, const qv_plan *plan) {
  qv_arena a = {0};
  const qv_net *net = m->net;
  qv_buf_printf(out, "%s: %s model, %zu bytes\n", cli_safe(&a, m->path), net->format, m->bytes);
  qv_buf_printf(out, "  sha256   %s\n", m->sha256);
  qv_buf_printf(out, "  profile  %s\n\n", net->profile[0] != 0 ? net->profile : "(arithmetic given by the file itself)");
  ports(out, net, true, &a);
  ports(out, net, false, &a);
  layers(out, net, plan, &a);
  for (uint32_t i = 0; i < net->n_notes; i++) {
    qv_buf_str(out, "  note: ");
    cli_wrap(out, cli_safe(&a, net->note[i]), 8, 110);
  }
  qv_arena_clear(&a);
}

/* ---- float networks: described, no claim ------------------------------------------------------------------------------------ */

static const char *float_shape(qv_arena *a, const qv_ftensor *t) {
  qv_tensor x = {.rank = t->rank};
  for (uint32_t d = 0; d < t->rank; d++) x.dim[d] = t->dim[d];
  return shape(a, &x);
}

/* Multiply-adds of one execution, padded taps counted. */
static uint64_t float_mul_adds(const qv_fgraph *g, const qv_fnode *n) {
  if (n->op != QF_CONV && n->op != QF_GEMM) return 0;
  const qv_ftensor *w = &g->tensor[n->in[1]];
  return (uint64_t)qv_felems(&g->tensor[n->out]) * (qv_felems(w) / w->dim[0]);
}

static void describe_float(qv_buf *out, const cli_model *m, const qv_fgraph *g) {
  qv_arena a = {0};
  cli_table t = {0};
  uint64_t all_w = 0, all_m = 0;
  qv_buf_printf(out, "%s: floating-point network, %zu bytes\n", cli_safe(&a, m->path), m->bytes);
  qv_buf_printf(out, "  sha256   %s\n", m->sha256);
  qv_buf_printf(out, "  input    %s, %s\n", cli_safe(&a, g->tensor[g->in].name), float_shape(&a, &g->tensor[g->in]));
  qv_buf_printf(out, "  output   %s, %s\n\n", cli_safe(&a, g->tensor[g->out].name), float_shape(&a, &g->tensor[g->out]));
  cli_col(&t, "node", true);
  cli_col(&t, "operator", false);
  cli_col(&t, "output", false);
  cli_col(&t, "weights", true);
  cli_col(&t, "multiply-adds", true);
  for (uint32_t k = 0; k < g->n_nodes; k++) {
    const qv_fnode *n = &g->node[k];
    uint64_t w = 0, mul = float_mul_adds(g, n);
    for (uint32_t i = 0; i < n->n_in; i++)
      if (g->tensor[n->in[i]].data != NULL) w += qv_felems(&g->tensor[n->in[i]]);
    cli_cell(&t, "%" PRIu32, k);
    cli_cell(&t, "%s", qv_fop_name(n->op));
    cli_cell(&t, "%s", float_shape(&a, &g->tensor[n->out]));
    if (w > 0) cli_cell(&t, "%" PRIu64, w);
    else cli_cell(&t, "-");
    if (mul > 0) cli_cell(&t, "%" PRIu64, mul);
    else cli_cell(&t, "-");
    all_w += w;
    all_m += mul;
  }
  cli_table_print(out, &t);
  qv_buf_printf(out, "\n  %" PRIu32 " nodes, %" PRIu64 " weights and biases, %" PRIu64 " multiply-adds per sample\n", g->n_nodes, all_w, all_m);
  qv_buf_str(out, "  No integer claim is made about floating-point arithmetic; 'qverify quantize' makes an integer network of it.\n");
  qv_arena_clear(&a);
}

/* What the integer reader refuses may be a float network. True: described in out. */
static bool try_float(qv_buf *out, const cli_model *m, const qv_buf *file) {
  qv_fgraph *g = NULL;
  qv_err ignored = {0};
  qv_arena a = {0};
  bool ok = qv_fgraph_read_in(&g, file->p, file->n, m->path, qv_model_dir(&a, m->path), &ignored) == QV_OK;
  qv_arena_clear(&a);
  if (ok) describe_float(out, m, g);
  qv_fgraph_free(g);
  return ok;
}

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  const char *profile = cli_get(cmd, val, "profile");
  if (!cli_profile_ok(cmd, profile)) return QV_EXIT_USAGE;
  cli_model m;
  qv_err err = {0};
  qv_buf out = {0}, file = {0};
  qv_plan *plan = NULL;
  const char *failed = operand[0];
  qv_status st = cli_try_load(&m, &file, operand[0], profile, cli_get(cmd, val, "opaque") != NULL, &err);
  bool described = st == QV_E_UNSUP && try_float(&out, &m, &file);
  qv_buf_free(&file);
  if (st != QV_OK && !described) return cli_load_failed(cmd, st, operand[0], &err);
  if (described) {
    err = (qv_err){0};
    failed = NULL;
    QV_TRY(cli_emit("-", &out, &err));
    goto done;
  }
  if (cli_get(cmd, val, "verbose") != NULL) QV_TRY(qv_plan_new(&plan, m.net, QV_ISA_BEST, &err));
  describe(&out, &m, plan);
  failed = NULL;
  QV_TRY(cli_emit("-", &out, &err));
done:
  qv_plan_free(plan);
  qv_buf_free(&out);
  cli_model_free(&m);
  return st == QV_OK ? qv_cli_exit(st, NULL) : cli_fail(st, failed, &err);
}

static const cli_opt opts[] = {
    {"profile", 'p', "NAME", false, "runtime whose arithmetic is meant (see 'qverify profiles')"},
    {"opaque", 0, NULL, false, "let an unsupported operator stand for any value instead of refusing the model"},
    {"verbose", 'v', NULL, false, "name the kernel that executes each node on this machine"},
    {.name = NULL},
};

const cli_cmd cli_info = {
    .name = "info",
    .operands = "MODEL",
    .n_operands = 1,
    .summary = "show inputs, outputs and layers of a model as qverify understands them",
    .detail = "MODEL is a quantized .tflite or .onnx file, exact integer text (.qir) or a fixed-point text net (.qtxt), told apart by "
              "content. A floating-point network is described, too: it is read, but no integer claim is made about it (exit code 0).",
    .example = "qverify info model.tflite",
    .opt = opts,
    .run = run,
};
