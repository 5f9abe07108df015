/* The metric `error`: the proved bound on the output's distance from the float network (docs/error-bound.md). */
#include <math.h>
#include <stdlib.h>

#include "frontend/load.h"
#include "quant/errbound.h"
#include "quant/export.h"
#include "quant/measure.h"

#define AROUND 4 /* samples whose neighbourhoods are bounded */

/* The network with one group at b and the others at the reference, as integers. */
static qv_status build(qv_net **net, const qv_fgraph *g, const qv_calib *c, const qv_groups *groups, const qv_table_opts *o, uint32_t group, qv_bits b, qv_err *err) {
  qv_quantized q = {0};
  qv_buf onnx = {0};
  qv_status st = QV_OK;
  int *a = calloc((size_t)g->n_tensors + 1, sizeof *a), *w = calloc((size_t)g->n_nodes + 1, sizeof *w);
  if (a == NULL || w == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "sensitivities");
    goto done;
  }
  for (uint32_t t = 0; t < g->n_tensors; t++) a[t] = o->cand[0].a;
  for (uint32_t k = 0; k < g->n_nodes; k++) w[k] = o->cand[0].w;
  a[groups->group[group].tensor] = b.a;
  for (uint32_t i = 0; i < groups->group[group].n; i++) w[groups->group[group].node[i]] = b.w;
  QV_TRY(qv_quantize(&q, g, c, a, w, &o->quant, err));
  QV_TRY(qv_export_qdq(&onnx, &q, err));
  /* the operators' definition; where that is not known (float sigmoids), a runtime whose kernels are */
  if (qv_load_bytes(net, onnx.p, onnx.n, "candidate", &(qv_load_opts){.profile = "onnx-spec"}, err) != QV_OK)
    st = qv_load_bytes(net, onnx.p, onnx.n, "candidate", &(qv_load_opts){.profile = "ort-vnni"}, err);
done:
  qv_buf_free(&onnx);
  qv_quantized_clear(&q);
  free(a);
  free(w);
  return st;
}

qv_status qv_measure_error(double *bound, const qv_fgraph *g, const qv_calib *c, const qv_groups *groups, const qv_table_opts *o, uint32_t group, qv_bits b,
                           qv_err *err) {
  size_t per = qv_felems(&g->tensor[g->in]);
  qv_net *net = NULL;
  qv_errpair *pair = NULL;
  float *lo = malloc(per * sizeof *lo), *hi = malloc(per * sizeof *hi);
  qv_status st = lo != NULL && hi != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "sensitivities");
  bool around = !(o->error_radius < 0);
  float radius = 0;
  size_t boxes = !around ? 1 : c->n < AROUND ? c->n : AROUND;
  *bound = 0;
  if (st == QV_OK) st = build(&net, g, c, groups, o, group, b, err);
  if (st == QV_OK) st = qv_errpair_new(&pair, g, net, c->sample, c->n, err);
  if (st == QV_OK) radius = o->error_radius > 0 ? (float)o->error_radius : net->tensor[net->in[0].tensor].scale / 32;
  for (size_t i = 0; st == QV_OK && i < boxes; i++) {
    qv_err_bound r = {0};
    for (size_t e = 0; around && e < per; e++) {
      lo[e] = c->sample[i * per + e] - radius;
      hi[e] = c->sample[i * per + e] + radius;
    }
    st = qv_err_bound_run(&r, pair, &(qv_err_domain){.lo = around ? lo : NULL, .hi = around ? hi : NULL}, err);
    *bound += r.max / (double)boxes;
    qv_err_bound_clear(&r);
  }
  if (st == QV_OK && !(*bound < INFINITY)) st = QV_FAIL(err, QV_E_UNSUP, "metric 'error': nothing is proved for group \"%s\"", g->tensor[groups->group[group].tensor].name);
  qv_errpair_free(pair);
  qv_net_free(net);
  free(lo);
  free(hi);
  return st;
}
