#include "cli/quantized.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/checker.h"
#include "cli/storage.h"
#include "frontend/array.h"
#include "kernels/exec.h"
#include "kernels/profile/onnx.h"
#include "quant/export.h"
#include "quant/measure.h"

static size_t first_class(const void *o, qv_dtype type, size_t n, bool least) {
  size_t best = 0;
  for (size_t i = 1; i < n; i++) {
    int64_t a = qv_fetch(o, type, i), b = qv_fetch(o, type, best);
    if (least ? a < b : a > b) best = i;
  }
  return best;
}

/* Output integers of every test sample: *y is the caller's, n_test * elements of the output. */
static qv_status outputs_of(void **y, const qv_net *net, const cli_floatnet *f, qv_err *err) {
  const qv_tensor *in = &net->tensor[net->in[0].tensor], *out = &net->tensor[net->out[0].tensor];
  size_t per = qv_elems(in), n = f->n_test;
  qv_plan *plan = NULL;
  void *codes = malloc(n * per * qv_dtype_bytes(in->type) + 1);
  *y = malloc(n * qv_elems(out) * qv_dtype_bytes(out->type) + 1);
  qv_status st = codes != NULL && *y != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "accuracy");
  if (st != QV_OK) goto done;
  if (per != qv_felems(&f->g->tensor[f->g->in]) || qv_elems(out) != qv_felems(&f->g->tensor[f->g->out])) {
    st = QV_FAIL(err, QV_E_INTERNAL, "the exported network has other inputs or outputs");
    goto done;
  }
  QV_TRY(qv_plan_new(&plan, net, QV_ISA_BEST, err));
  for (size_t e = 0; e < n * per; e++) {
    int64_t v;
    QV_TRY(qv_end_quantize(&v, net, 0, f->test[e], err));
    qv_store((unsigned char *)codes + e * qv_dtype_bytes(in->type), in->type, &v, 1);
  }
  QV_TRY(qv_plan_run(plan, n, (const void *const[]){codes}, (void *const[]){*y}, 0, err));
done:
  qv_plan_free(plan);
  free(codes);
  return st;
}

/* Classes of the integers on every test sample, beside those of the float network. */
static void count(cli_quantized *x, const cli_floatnet *f, const void *y) {
  const qv_tensor *out = &x->net->tensor[x->net->out[0].tensor];
  size_t n_out = qv_elems(out);
  for (size_t i = 0; i < f->n_test; i++) {
    size_t a = f->test_class[i], b = first_class((const char *)y + i * n_out * qv_dtype_bytes(out->type), out->type, n_out, f->least);
    x->same += a == b;
    if (f->test_label == NULL) continue;
    x->right_float += (int64_t)a == f->test_label[i];
    x->right_int += (int64_t)b == f->test_label[i];
  }
  if (f->test_label != NULL) x->n_test = f->n_test;
}

/* ---- what ONNX Runtime makes of it ------------------------------------------------------------------------------------------------- */

static const char ORT[] = "ort-vnni";

/* Outputs y against those of the same file under profile ort-vnni. */
static qv_status against_integers(cli_quantized *x, const cli_floatnet *f, const qv_net *ort, const void *y, qv_err *err) {
  const qv_tensor *a = &x->net->tensor[x->net->out[0].tensor], *b = &ort->tensor[ort->out[0].tensor];
  void *z = NULL;
  qv_status st = outputs_of(&z, ort, f, err);
  for (size_t e = 0; st == QV_OK && e < x->outputs; e++) x->differ += qv_fetch(y, a->type, e) != qv_fetch(z, b->type, e);
  free(z);
  return st;
}

/* Outputs y against binary32 operators between QuantizeLinear and DequantizeLinear; sums: against the floats f32(f32(sum) * scale). */
static qv_status against_floats(cli_quantized *x, const qv_quantized *q, const cli_floatnet *f, const void *y, qv_err *err) {
  const qv_fgraph *g = f->g;
  const qv_tensor *out = &x->net->tensor[x->net->out[0].tensor];
  const qv_fnode *last = qv_fgraph_writer(g, g->out);
  uint32_t t = last != NULL && last->op == QF_SOFTMAX ? last->in[0] : g->out;
  size_t per = qv_felems(&g->tensor[g->in]), n_out = qv_elems(out);
  float s = g->sum_out ? out->scale : q->q[t].s;
  qv_fexec run = {0};
  qv_status st;
  QV_TRY(qv_fexec_init(&run, g, err));
  QV_TRY(qv_quant_simulate(&run, q, err));
  for (size_t i = 0; i < f->n_test; i++) {
    qv_fexec_run(&run, f->test + i * per);
    for (size_t e = 0; e < n_out; e++) {
      int64_t v = qv_fetch(y, out->type, i * n_out + e);
      float got = run.v[t][e], want = (float)(g->sum_out ? v : v - q->q[t].zp) * s;
      x->differ += got < want || got > want;
    }
  }
done:
  qv_fexec_clear(&run);
  return st;
}

static qv_status find_promise(cli_quantized *x, const qv_quantized *q, const cli_floatnet *f, const void *y, qv_err *err) {
  qv_net *ort = NULL;
  qv_status st = QV_OK;
  x->outputs = f->n_test * qv_elems(&x->net->tensor[x->net->out[0].tensor]);
  const qv_onnx_profile *p = qv_onnx_profile_find(x->profile);
  if (p != NULL && p->qdq == QV_QDQ_ORT) {
    x->promise = CLI_RUNS_SAME;
    return QV_OK;
  }
  st = qv_load_bytes(&ort, x->onnx.p, x->onnx.n, "exported network", &(qv_load_opts){.profile = ORT}, &x->why);
  if (st == QV_OK) {
    x->promise = CLI_RUNS_INT;
    st = against_integers(x, f, ort, y, err);
  } else if (st == QV_E_UNSUP) {
    x->promise = CLI_RUNS_FLOAT;
    st = against_floats(x, q, f, y, err);
  } else *err = x->why;
  qv_net_free(ort);
  return st;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------------------ */

static qv_status read_back(cli_quantized *out, const cli_quantized_opts *o, qv_err *err) {
  out->profile = o->profile != NULL ? o->profile : o->qonnx ? "qonnx-exact" : ORT;
  qv_err first = {0};
  qv_status st = qv_load_bytes(&out->net, out->onnx.p, out->onnx.n, "exported network", &(qv_load_opts){.profile = out->profile}, &first);
  if (st != QV_E_UNSUP || o->profile != NULL || o->qonnx) {
    if (st != QV_OK && err != NULL) *err = first;
    return st;
  }
  out->profile = "onnx-spec";
  return qv_load_bytes(&out->net, out->onnx.p, out->onnx.n, "exported network", &(qv_load_opts){.profile = out->profile}, err);
}

/* Sums that no machine accumulator holds. additions: of tensors only, not of products. */
static bool has_unbounded_sums(const qv_net *net, bool additions) {
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    const qv_acc *a = qv_node_acc(&net->node[k]);
    if (a != NULL && a->mode == QV_ACC_EXACT && !(additions && net->node[k].kind == QV_AFFINE)) return true;
  }
  return false;
}

static void count_bits(cli_quantized *x) {
  for (uint32_t i = 0; i < x->ov.n; i++) {
    const qv_node *n = &x->net->node[x->ov.item[i].node];
    int bits = x->ov.proof.range.acc[i].bits_final;
    if (qv_node_acc(n)->mode != QV_ACC_EXACT && bits > x->bits) x->bits = bits;
    if (n->kind == QV_AFFINE && bits > x->product_bits) x->product_bits = bits;
  }
}

qv_status cli_quantized_make_as(cli_quantized *out, const qv_quantized *q, const cli_floatnet *f, const cli_quantized_opts *o, qv_err *err) {
  qv_property prop = {0};
  void *y = NULL;
  qv_status st;
  QV_TRY(qv_measure_whole(&out->sqnr_db, &out->agree, q, &f->calib, err));
  QV_TRY(o->qonnx ? qv_export_qonnx(&out->onnx, q, err) : qv_export_qdq(&out->onnx, q, err));
  QV_TRY(read_back(out, o, err));
  out->proved_bits = has_unbounded_sums(out->net, !o->own_sums) ? 0 : o->acc_bits;
  QV_TRY(qv_property_whole(&prop, out->net, out->proved_bits, err));
  QV_TRY(qv_ovcheck_run(&out->ov, out->net, &prop, &(qv_prove_opts){0}, err));
  if (o->check) QV_TRY(qv_ovcheck_check(&out->ov, err));
  count_bits(out);
  QV_TRY(outputs_of(&y, out->net, f, err));
  count(out, f, y);
  if (o->promise && !o->qonnx) st = find_promise(out, q, f, y, err);
done:
  qv_property_clear(&prop);
  free(y);
  return st;
}

qv_status cli_quantized_make(cli_quantized *out, const qv_quantized *q, const cli_floatnet *f, const char *profile, int acc_bits, bool check,
                             qv_err *err) {
  return cli_quantized_make_as(out, q, f, &(cli_quantized_opts){.profile = profile, .acc_bits = acc_bits, .own_sums = true, .check = check}, err);
}

void cli_quantized_free(cli_quantized *x) {
  qv_ovcheck_clear(&x->ov);
  qv_net_free(x->net);
  qv_buf_free(&x->onnx);
  *x = (cli_quantized){0};
}

/* Layers whose weights an accumulator limit has changed. */
static void put_fits(qv_buf *out, const qv_quantized *q, qv_arena *a) {
  cli_table t = {0};
  uint32_t n = 0;
  cli_col(&t, "fitted into its accumulator", false);
  cli_col(&t, "bits", true);
  cli_col(&t, "channels", true);
  cli_col(&t, "largest code", true);
  cli_col(&t, "noise of the weights", true);
  cli_col(&t, "sum, any input", true);
  for (uint32_t k = 0; k < q->g->n_nodes; k++) {
    const qv_fit_layer *f = &q->fit[k];
    if (f->channels == 0) continue;
    n++;
    cli_cell(&t, "%.40s", cli_safe(a, q->g->node[k].name));
    cli_cell(&t, "%d", f->bits);
    cli_cell(&t, "%" PRIu32 " of %" PRIu32, f->channels, q->g->tensor[q->g->node[k].in[1]].dim[0]);
    cli_cell(&t, "%" PRId32 " -> %" PRId32, f->levels_was, f->levels);
    cli_cell(&t, "%.1e -> %.1e", f->noise_was, f->noise);
    cli_cell(&t, "[%" PRId64 ",%" PRId64 "]", f->lo, f->hi);
  }
  if (n == 0) return;
  qv_buf_printf(out, "\n");
  cli_table_print(out, &t);
}

static void put_promise(qv_buf *out, const cli_quantized *x, qv_arena *a) {
  const char *what = x->promise == CLI_RUNS_INT ? "as profile ort-vnni rounds them" : "computed in binary32, simulated in one order of summation";
  if (x->promise == CLI_RUNS_UNKNOWN) return;
  if (x->promise == CLI_RUNS_SAME) {
    qv_buf_printf(out, "ONNX Runtime computes these very integers (profile %s%s).\n", x->profile,
                  strcmp(x->profile, ORT) == 0 ? "; on CPUs without VNNI see ort-avx2" : "");
    return;
  }
  qv_buf_printf(out, "The runtime may differ from profile %s: %zu of %zu output values of the test samples do, %s.\n", x->profile, x->differ, x->outputs, what);
  if (x->promise == CLI_RUNS_FLOAT) qv_buf_printf(out, "  ort-vnni: %s\n", cli_safe(a, x->why.msg));
}

void cli_quantized_text(qv_buf *out, const cli_quantized *x, const qv_quantized *q, const cli_floatnet *f) {
  const qv_fgraph *g = f->g;
  qv_arena a = {0};
  cli_table t = {0};
  cli_col(&t, "tensor or weights", false);
  cli_col(&t, "bits", true);
  cli_col(&t, "scale", true);
  cli_col(&t, "zero point", true);
  cli_col(&t, "values", true);
  for (uint32_t i = 0; i < g->n_tensors; i++) {
    if (q->a_bits[i] == 0) continue;
    cli_cell(&t, "%.40s", cli_safe(&a, g->tensor[i].name));
    cli_cell(&t, "%d", q->a_bits[i]);
    cli_cell(&t, "%.6g", (double)q->q[i].s);
    cli_cell(&t, "%d", q->q[i].zp);
    cli_cell(&t, "%zu", qv_felems(&g->tensor[i]));
    for (uint32_t k = 0; k < g->n_nodes; k++) {
      if (q->w[k].bits == 0 || qv_quant_root(g, g->node[k].in[0]) != i) continue;
      cli_cell(&t, "  -> %.36s", cli_safe(&a, g->node[k].name));
      cli_cell(&t, "%d", q->w[k].bits);
      if (q->w[k].n_s == 1) cli_cell(&t, "%.6g", (double)q->w[k].s[0]);
      else cli_cell(&t, "%" PRIu32 " scales", q->w[k].n_s);
      cli_cell(&t, "0");
      cli_cell(&t, "%zu", qv_felems(&g->tensor[g->node[k].in[1]]));
    }
  }
  cli_table_print(out, &t);
  qv_buf_printf(out, "\nSignal to quantization noise at the output: %.1f dB", x->sqnr_db);
  if (!f->least) qv_buf_printf(out, "; same class as in float on %.1f %% of %zu calibration samples", 100 * x->agree, f->n);
  qv_buf_printf(out, ".\n");
  qv_buf_printf(out, "The integers, executed: same class as in float on %zu of %zu samples", x->same, f->n_test);
  if (x->n_test > 0)
    qv_buf_printf(out, "; accuracy %.2f %% (float %.2f %%)", 100.0 * (double)x->right_int / (double)x->n_test, 100.0 * (double)x->right_float / (double)x->n_test);
  qv_buf_printf(out, ".\nWidest accumulator needed: ");
  if (x->bits > 0) qv_buf_printf(out, "%d bits.\n", x->bits);
  else qv_buf_printf(out, "none is a machine accumulator under profile %s.\n", x->profile);
  put_fits(out, q, &a);
  put_promise(out, x, &a);
  qv_arena_clear(&a);
}
