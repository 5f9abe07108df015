/* Float networks: whatever is accepted can be simplified, executed, calibrated and quantized. */
#include <math.h>
#include <stdlib.h>

#include "quant/export.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool small(const qv_fgraph *g) {
  size_t all = 0;
  for (uint32_t t = 0; t < g->n_tensors; t++) all += qv_felems(&g->tensor[t]);
  return all < 1 << 16 && g->n_nodes < 64;
}

static void use(const qv_fgraph *g) {
  qv_calib c = {0};
  qv_quantized q = {0};
  qv_buf out = {0};
  qv_err err = {0};
  float *x = calloc(qv_felems(&g->tensor[g->in]), sizeof *x);
  int *a = calloc((size_t)g->n_tensors + 1, sizeof *a), *w = calloc((size_t)g->n_nodes + 1, sizeof *w);
  for (uint32_t t = 0; a != NULL && t < g->n_tensors; t++) a[t] = 8;
  for (uint32_t k = 0; w != NULL && k < g->n_nodes; k++) w[k] = 4;
  if (x != NULL && a != NULL && w != NULL && qv_calibrate(&c, g, x, 1, &err) == QV_OK &&
      qv_quantize(&q, g, &c, a, w, &(qv_quant_opts){.correct_bias = true}, &err) == QV_OK && qv_export_qdq(&out, &q, &err) != QV_OK)
    abort(); /* only for want of memory */
  qv_buf_free(&out);
  qv_quantized_clear(&q);
  qv_calib_clear(&c);
  free(x);
  free(a);
  free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  qv_fgraph *g = NULL;
  qv_err err = {0};
  if (qv_fgraph_read(&g, data, size, "fuzz", &err) == QV_OK && small(g)) use(g);
  qv_fgraph_free(g);
  return 0;
}
