#include "cli/quantized.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/checker.h"
#include "cli/storage.h"
#include "frontend/array.h"
#include "kernels/exec.h"
#include "quant/export.h"
#include "quant/measure.h"

static size_t first_max_int(const void *o, qv_dtype type, size_t n) {
  size_t best = 0;
  for (size_t i = 1; i < n; i++)
    if (qv_fetch(o, type, i) > qv_fetch(o, type, best)) best = i;
  return best;
}

/* Classes of the integers on every test sample, beside those of the float network. */
static qv_status count(cli_quantized *x, const cli_floatnet *f, qv_err *err) {
  const qv_net *net = x->net;
  const qv_tensor *in = &net->tensor[net->in[0].tensor], *out = &net->tensor[net->out[0].tensor];
  size_t per = qv_elems(in), n_out = qv_elems(out), n = f->n_test, f_out = qv_felems(&f->g->tensor[f->g->out]);
  qv_plan *plan = NULL;
  void *codes = malloc(n * per * qv_dtype_bytes(in->type) + 1), *y = malloc(n * n_out * qv_dtype_bytes(out->type) + 1);
  qv_status st = codes != NULL && y != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "accuracy");
  if (st != QV_OK) goto done;
  if (per != qv_felems(&f->g->tensor[f->g->in]) || n_out != f_out) {
    st = QV_FAIL(err, QV_E_INTERNAL, "the exported network has other inputs or outputs");
    goto done;
  }
  QV_TRY(qv_plan_new(&plan, net, QV_ISA_BEST, err));
  for (size_t e = 0; e < n * per; e++) {
    int64_t v;
    QV_TRY(qv_end_quantize(&v, net, 0, f->test[e], err));
    qv_store((unsigned char *)codes + e * qv_dtype_bytes(in->type), in->type, &v, 1);
  }
  QV_TRY(qv_plan_run(plan, n, (const void *const[]){codes}, (void *const[]){y}, 0, err));
  for (size_t i = 0; i < n; i++) {
    size_t a = f->test_class[i], b = first_max_int((const char *)y + i * n_out * qv_dtype_bytes(out->type), out->type, n_out);
    x->same += a == b;
    if (f->test_label == NULL) continue;
    x->right_float += (int64_t)a == f->test_label[i];
    x->right_int += (int64_t)b == f->test_label[i];
  }
  if (f->test_label != NULL) x->n_test = n;
done:
  qv_plan_free(plan);
  free(codes);
  free(y);
  return st;
}

static bool has_unbounded_sums(const qv_net *net) {
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    const qv_acc *a = qv_node_acc(&net->node[k]);
    if (a != NULL && a->mode == QV_ACC_EXACT) return true;
  }
  return false;
}

qv_status cli_quantized_make(cli_quantized *out, const qv_quantized *q, const cli_floatnet *f, const char *profile, int acc_bits, bool check,
                             qv_err *err) {
  qv_property prop = {0};
  const qv_load_opts load = {.profile = profile};
  qv_status st;
  QV_TRY(qv_measure_whole(&out->sqnr_db, &out->agree, q, &f->calib, err));
  QV_TRY(qv_export_qdq(&out->onnx, q, err));
  QV_TRY(qv_load_bytes(&out->net, out->onnx.p, out->onnx.n, "exported network", &load, err));
  out->proved_bits = has_unbounded_sums(out->net) ? 0 : acc_bits;
  QV_TRY(qv_property_whole(&prop, out->net, out->proved_bits, err));
  QV_TRY(qv_ovcheck_run(&out->ov, out->net, &prop, &(qv_prove_opts){0}, err));
  if (check) QV_TRY(qv_ovcheck_check(&out->ov, err));
  for (uint32_t i = 0; i < out->ov.n; i++)
    if (qv_node_acc(&out->net->node[out->ov.item[i].node])->mode != QV_ACC_EXACT && out->ov.proof.range.acc[i].bits_final > out->bits)
      out->bits = out->ov.proof.range.acc[i].bits_final;
  QV_TRY(count(out, f, err));
done:
  qv_property_clear(&prop);
  return st;
}

void cli_quantized_free(cli_quantized *x) {
  qv_ovcheck_clear(&x->ov);
  qv_net_free(x->net);
  qv_buf_free(&x->onnx);
  *x = (cli_quantized){0};
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
  qv_buf_printf(out, "\nSignal to quantization noise at the output: %.1f dB; same class as in float on %.1f %% of %zu calibration samples.\n", x->sqnr_db,
                100 * x->agree, f->n);
  qv_buf_printf(out, "The integers, executed: same class as in float on %zu of %zu samples", x->same, f->n_test);
  if (x->n_test > 0)
    qv_buf_printf(out, "; accuracy %.2f %% (float %.2f %%)", 100.0 * (double)x->right_int / (double)x->n_test, 100.0 * (double)x->right_float / (double)x->n_test);
  qv_buf_printf(out, ".\nWidest accumulator needed: %d bits.\n", x->bits);
  qv_arena_clear(&a);
}
