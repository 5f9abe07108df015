#include "quant/rounding.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES 64
#define POSITIONS 8192 /* patches a layer */
#define TAPS 2048
#define PASSES 8

/* Inputs of one output position: patch[k] in the order of one output's weights; group of a CONV. */
static void patch_at(float *patch, const qv_fgraph *g, const qv_fnode *n, const float *x, uint32_t group, uint32_t oy, uint32_t ox) {
  const qv_ftensor *in = &g->tensor[n->in[0]], *w = &g->tensor[n->in[1]];
  uint32_t ic = w->dim[1];
  if (n->op == QF_GEMM) {
    memcpy(patch, x + (size_t)oy * ic, ic * sizeof *patch);
    return;
  }
  for (uint32_t c = 0; c < ic; c++)
    for (uint32_t ky = 0; ky < n->kh; ky++)
      for (uint32_t kx = 0; kx < n->kw; kx++) {
        int64_t iy = (int64_t)oy * n->sh - n->pt + (int64_t)ky * n->dh, ix = (int64_t)ox * n->sw - n->pl + (int64_t)kx * n->dw;
        bool inside = iy >= 0 && iy < in->dim[2] && ix >= 0 && ix < in->dim[3];
        *patch++ = inside ? x[((size_t)(group * ic + c) * in->dim[2] + (size_t)iy) * in->dim[3] + (size_t)ix] : 0;
      }
}

/* h += patch * patch' (lower half). */
static void moments(double *h, const float *patch, size_t k) {
  for (size_t i = 0; i < k; i++)
    for (size_t j = 0; j <= i && patch[i] != 0; j++) h[i * k + j] += (double)patch[i] * (double)patch[j];
}

/* Codes of one output channel. e and he have room for k. */
static void descend(int32_t *code, const float *w, const double *h, size_t k, double s, int32_t top, double *e, double *he) {
  for (size_t i = 0; i < k; i++) e[i] = (double)w[i] - s * (double)code[i];
  for (size_t i = 0; i < k; i++) {
    he[i] = 0;
    for (size_t j = 0; j < k; j++) he[i] += h[i * k + j] * e[j];
  }
  for (int pass = 0; pass < PASSES; pass++) {
    bool moved = false;
    for (size_t i = 0; i < k; i++) {
      if (!(h[i * k + i] > 0)) continue;
      double want = (double)code[i] + rint(he[i] / (s * h[i * k + i]));
      int32_t now = (int32_t)fmin(top, fmax(-top, want));
      double step = s * (double)(now - code[i]);
      if (now == code[i] || !(he[i] * step * 2 > h[i * k + i] * step * step)) continue;
      for (size_t j = 0; j < k; j++) he[j] -= h[i * k + j] * step;
      code[i] = now;
      moved = true;
    }
    if (!moved) return;
  }
}

typedef struct {
  double *h, *e, *he; /* moments of one group; room for a row */
  float *patch;
} work;

static qv_status layer(qv_quantized *q, uint32_t node, const qv_calib *c, qv_fexec *x, qv_err *err) {
  const qv_fgraph *g = q->g;
  const qv_fnode *n = &g->node[node];
  const qv_ftensor *w = &g->tensor[n->in[1]], *y = &g->tensor[n->out];
  qv_qweights *r = &q->w[node];
  uint32_t oc = w->dim[0], groups = n->op == QF_CONV ? n->groups : 1, per = oc / groups, rows = n->op == QF_CONV ? y->dim[2] : y->dim[0], cols = n->op == QF_CONV ? y->dim[3] : 1;
  size_t k = qv_felems(w) / oc, samples = c->n < SAMPLES ? c->n : SAMPLES, in = qv_felems(&g->tensor[g->in]);
  uint32_t stride = 1;
  while ((size_t)samples * rows * cols / stride > POSITIONS) stride++;
  if (k > TAPS) return QV_OK;
  work b = {calloc((size_t)groups * k * k, sizeof(double)), calloc(k, sizeof(double)), calloc(k, sizeof(double)), calloc(k, sizeof(float))};
  qv_status st = b.h != NULL && b.e != NULL && b.he != NULL && b.patch != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "rounding");
  for (size_t i = 0, at = 0; st == QV_OK && i < samples; i++) {
    qv_fexec_run(x, c->sample + i * in);
    for (uint32_t p = 0; p < rows * cols; p++, at++)
      for (uint32_t o = 0; at % stride == 0 && o < groups; o++) {
        patch_at(b.patch, g, n, x->v[n->in[0]], o, p / cols, p % cols);
        moments(b.h + o * k * k, b.patch, k);
      }
  }
  for (uint32_t o = 0; st == QV_OK && o < groups; o++)
    for (size_t i = 0; i < k; i++)
      for (size_t j = 0; j < i; j++) b.h[(o * k + j) * k + i] = b.h[(o * k + i) * k + j];
  for (uint32_t o = 0; st == QV_OK && o < oc; o++)
    descend(r->w + o * k, w->data + o * k, b.h + o / per * k * k, k, (double)r->s[r->n_s == 1 ? 0 : o], (1 << (r->bits - 1)) - 1, b.e, b.he);
  free(b.h);
  free(b.e);
  free(b.he);
  free(b.patch);
  return st;
}

qv_status qv_round_to_output(qv_quantized *q, const qv_calib *c, qv_err *err) {
  qv_fexec x = {0};
  qv_status st = qv_fexec_init(&x, q->g, err);
  for (uint32_t k = 0; st == QV_OK && k < q->g->n_nodes; k++)
    if (q->w[k].bits > 0) st = layer(q, k, c, &x, err);
  qv_fexec_clear(&x);
  return st;
}
