#include "quant/quantize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quant/fit.h"
#include "quant/rounding.h"

#define LEAST 0x1p-60f /* values and scales below count as 0; together with QF_MAX no product of two scales leaves binary32 */

/* ---- where ----------------------------------------------------------------------------------------------------------------------- */

static const qv_fnode *only_reader(const qv_fgraph *g, uint32_t t) {
  const qv_fnode *r = NULL;
  if (qv_fgraph_uses(g, t) != 1 || g->out == t) return NULL;
  for (uint32_t k = 0; k < g->n_nodes && r == NULL; k++)
    for (uint32_t i = 0; i < g->node[k].n_in; i++)
      if (g->node[k].in[i] == t) r = &g->node[k];
  return r;
}

static bool moves(qv_fop op) { return op == QF_RESHAPE || op == QF_TRANSPOSE || op == QF_MAXPOOL || op == QF_PAD; }

uint32_t qv_quant_root(const qv_fgraph *g, uint32_t t) {
  for (;;) {
    const qv_fnode *w = qv_fgraph_writer(g, t), *r = only_reader(g, t);
    if (g->tensor[t].data != NULL) return QV_NONE;
    if (w == NULL) return t == g->in ? t : QV_NONE;
    if (moves(w->op)) {
      t = w->in[0];
      continue;
    }
    if (w->op == QF_SOFTMAX && w->out == g->out) return QV_NONE;
    if (g->sum_out && t == qv_fgraph_last_gemm(g)) return QV_NONE;
    if (r != NULL && r->op == QF_CLIP && w->op != QF_CLIP) return QV_NONE;
    return t;
  }
}

/* ---- calibration ------------------------------------------------------------------------------------------------------------------ */

static qv_status count_sample(qv_calib *c, const qv_fexec *x, bool bins, qv_err *err) {
  for (uint32_t t = 0; t < x->g->n_tensors; t++) {
    qv_calib_tensor *s = &c->t[t];
    if (s->count == NULL) continue;
    double scale = QV_HIST / fmax((double)s->hi - (double)s->lo, 1e-30);
    for (size_t e = 0, n = qv_felems(&x->g->tensor[t]); e < n; e++) {
      float v = x->v[t][e];
      if (!(fabsf(v) <= QF_MAX)) return QV_FAIL(err, QV_E_ARG, "calibration: a value of tensor \"%s\" is above 2^60 or not a number", x->g->tensor[t].name);
      if (bins) {
        int b = (int)(((double)v - (double)s->lo) * scale);
        s->count[b < 0 ? 0 : b >= QV_HIST ? QV_HIST - 1 : b]++;
      } else {
        s->lo = fminf(s->lo, v);
        s->hi = fmaxf(s->hi, v);
      }
    }
  }
  return QV_OK;
}

qv_status qv_calibrate(qv_calib *c, const qv_fgraph *g, const float *samples, size_t n, qv_err *err) {
  qv_fexec x = {0};
  qv_status st = QV_OK;
  *c = (qv_calib){.n = n, .sample = samples};
  if (n == 0) return QV_FAIL(err, QV_E_ARG, "calibration: no sample");
  if ((c->t = QV_NEW(&c->arena, g->n_tensors, qv_calib_tensor)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "calibration");
  for (uint32_t t = 0; t < g->n_tensors; t++)
    if (qv_quant_root(g, t) == t && (c->t[t].count = QV_NEW(&c->arena, QV_HIST, uint64_t)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "calibration");
  QV_TRY(qv_fexec_init(&x, g, err));
  size_t per = qv_felems(&g->tensor[g->in]);
  for (int bins = 0; bins < 2; bins++)
    for (size_t i = 0; i < n; i++) {
      qv_fexec_run(&x, samples + i * per);
      QV_TRY(count_sample(c, &x, bins == 1, err));
    }
done:
  qv_fexec_clear(&x);
  return st;
}

void qv_calib_clear(qv_calib *c) {
  qv_arena_clear(&c->arena);
  *c = (qv_calib){0};
}

/* ---- scales ----------------------------------------------------------------------------------------------------------------------- */

static float up_to_pow2(float s) {
  int e;
  float f = frexpf(s, &e);
  return f == 0.5f ? s : ldexpf(1, e);
}

float qv_quant_scale(float s, const qv_quant_opts *o) {
  int e;
  if (o->pow2) return up_to_pow2(s);
  if (!o->for_qonnx) return s;
  float f = frexpf(s, &e);
  return ldexpf(ceilf(ldexpf(f, 12)), e - 12);
}

qv_fakeq qv_quant_params(float lo, float hi, int bits, const qv_quant_opts *o) {
  qv_fakeq q = {.lo = 0, .hi = (1 << bits) - 1};
  lo = fminf(lo, 0);
  hi = fmaxf(hi, 0);
  if (o->symmetric) {
    q.hi = (1 << (bits - 1)) - 1;
    q.lo = -q.hi - 1;
    q.s = fmaxf(-lo, hi) / (float)q.hi;
  } else {
    q.s = (float)(((double)hi - (double)lo) / (double)q.hi);
  }
  if (!(q.s >= LEAST)) q.s = 1; /* a tensor that is always 0 */
  q.s = qv_quant_scale(q.s, o);
  int step = o->for_qonnx ? 2 : 1;
  if (!o->symmetric) q.zp = (int32_t)fmin(q.hi / step, fmax(0, rint(-(double)lo / (double)q.s / step))) * step;
  return q;
}

/* Squared error of the histogram under q: every bin at its middle. */
static double hist_error(const qv_calib_tensor *t, const qv_fakeq *q) {
  double e = 0, step = ((double)t->hi - (double)t->lo) / QV_HIST;
  for (int b = 0; b < QV_HIST; b++) {
    if (t->count[b] == 0) continue;
    float x = (float)((double)t->lo + (b + 0.5) * step);
    double d = (double)qv_fake(q, x) - (double)x;
    e += (double)t->count[b] * (d * d + step * step / 12);
  }
  return e;
}

static qv_fakeq tensor_params(const qv_calib_tensor *t, int bits, const qv_quant_opts *o) {
  float lo = t->lo, hi = t->hi;
  double step = ((double)hi - (double)lo) / QV_HIST;
  if (o->range == QV_RANGE_PERCENTILE) {
    uint64_t all = 0, cut, seen = 0;
    int a = 0, b = QV_HIST - 1;
    for (int i = 0; i < QV_HIST; i++) all += t->count[i];
    cut = (uint64_t)((1 - o->percentile) / 2 * (double)all);
    for (; a < QV_HIST && seen + t->count[a] <= cut; a++) seen += t->count[a];
    for (seen = 0; b > a && seen + t->count[b] <= cut; b--) seen += t->count[b];
    lo = (float)((double)t->lo + a * step);
    hi = (float)((double)t->lo + (b + 1) * step);
  }
  qv_fakeq best = qv_quant_params(lo, hi, bits, o);
  if (o->range != QV_RANGE_MSE) return best;
  double least = hist_error(t, &best);
  for (int i = 98; i >= 20; i -= 2) {
    qv_fakeq q = qv_quant_params(lo * (float)i / 100, hi * (float)i / 100, bits, o);
    double e = hist_error(t, &q);
    if (e < least) least = e, best = q;
  }
  return best;
}

/* ---- weights ---------------------------------------------------------------------------------------------------------------------- */

static double weight_error(const float *w, size_t n, float s, int32_t top, bool powers) {
  double e = 0;
  for (size_t i = 0; i < n; i++) {
    double d = (double)w[i] - (double)qv_weight_code((double)w[i] / (double)s, top, powers) * (double)s;
    e += d * d;
  }
  return e;
}

/* The scale of least squared error: 40 to 100 % of base; for powers of two as codes, half of base to twice. */
static float best_scale(const float *w, size_t n, float base, int32_t top, const qv_quant_opts *o) {
  double least = INFINITY;
  float best = base;
  for (int k = 0; k <= 30; k++) {
    float s = qv_quant_scale(o->pow2_weights ? (o->pow2 ? ldexpf(base, k / 10 - 1) : base * exp2f((float)(k - 15) / 15)) : base * (float)(100 - 2 * k) / 100, o);
    double e = weight_error(w, n, s, top, o->pow2_weights);
    if (e < least) least = e, best = s;
  }
  return best;
}

static float weight_scale(const float *w, size_t n, int32_t top, const qv_quant_opts *o) {
  float max = 0;
  for (size_t i = 0; i < n; i++) max = fmaxf(max, fabsf(w[i]));
  if (!(max >= LEAST)) return 1;
  bool search = o->pow2_weights || (o->range == QV_RANGE_MSE && !o->pow2);
  return search ? best_scale(w, n, max / (float)top, top, o) : qv_quant_scale(max / (float)top, o);
}

/* Integer bias at scale f32(s_x * s); the scale of a channel grows until the bias fits 30 bits, so that sums have room. */
static int32_t bias_code(float b, float s_x, float *s, const qv_quant_opts *o) {
  while (fabs((double)b) / (double)(s_x * *s) >= 0x1p30) *s = qv_quant_scale(*s * (o->pow2 ? 2.0f : 1.5f), o);
  return (int32_t)rint((double)b / (double)(s_x * *s));
}

static qv_status quantize_weights(qv_quantized *q, uint32_t k, int bits, qv_err *err) {
  const qv_fgraph *g = q->g;
  const qv_fnode *n = &g->node[k];
  const qv_ftensor *w = &g->tensor[n->in[1]];
  uint32_t oc = w->dim[0];
  size_t per = qv_felems(w) / oc;
  int32_t top = qv_weight_top(bits, q->opts.pow2_weights);
  float s_x = q->q[n->in[0]].s;
  qv_qweights *r = &q->w[k];
  *r = (qv_qweights){.bits = bits, .n_s = q->opts.per_tensor || (g->sum_out && n->out == qv_fgraph_last_gemm(g)) ? 1 : oc};
  r->s = QV_NEW(&q->arena, oc, float);
  r->w = QV_NEW(&q->arena, per * oc, int32_t);
  r->b = QV_NEW(&q->arena, oc, int32_t);
  if (r->s == NULL || r->w == NULL || r->b == NULL) return QV_FAIL(err, QV_E_NOMEM, "quantization");
  for (uint32_t o = 0; o < r->n_s; o++) r->s[o] = weight_scale(w->data + o * per, r->n_s == 1 ? per * oc : per, top, &q->opts);
  for (uint32_t o = 0; o < oc; o++) /* first the scales: a shared one must suit every bias */
    if (n->n_in > 2) (void)bias_code(g->tensor[n->in[2]].data[o], s_x, &r->s[r->n_s == 1 ? 0 : o], &q->opts);
  for (uint32_t o = 0; o < oc; o++) {
    float s = r->s[r->n_s == 1 ? 0 : o];
    if (n->n_in > 2) r->b[o] = bias_code(g->tensor[n->in[2]].data[o], s_x, &s, &q->opts);
    for (size_t i = 0; i < per; i++) r->w[o * per + i] = qv_weight_code((double)w->data[o * per + i] / (double)s, top, q->opts.pow2_weights);
  }
  return QV_OK;
}

/* ---- corrections on the calibration set --------------------------------------------------------------------------------------------- */

/* Mean of every channel of t's last run, added to sum[]. */
static void add_means(const qv_fexec *x, uint32_t t, double *sum, uint32_t c_n, bool last) {
  size_t n = qv_felems(&x->g->tensor[t]), inner = last ? 1 : n / c_n;
  for (size_t e = 0; e < n; e++) sum[e / inner % c_n] += (double)x->v[t][e] * (double)c_n / (double)n;
}

/* Layer by layer in order: the mean of each channel in the quantized network, up to here, becomes the float network's. */
static qv_status correct_biases(qv_quantized *q, const qv_calib *c, qv_err *err) {
  const qv_fgraph *g = q->g;
  size_t per = qv_felems(&g->tensor[g->in]), n = c->n < 64 ? c->n : 64;
  qv_fexec f = {0}, s = {0};
  qv_status st = QV_OK;
  double *mean = NULL;
  QV_TRY(qv_fexec_init(&f, g, err));
  for (uint32_t k = 0; k < g->n_nodes; k++) {
    if (q->w[k].bits == 0) continue;
    uint32_t t = g->node[k].out, oc = g->tensor[g->node[k].in[1]].dim[0];
    bool last = g->node[k].op == QF_GEMM;
    free(mean);
    if ((mean = calloc(oc, sizeof *mean)) == NULL) {
      st = QV_FAIL(err, QV_E_NOMEM, "bias correction");
      goto done;
    }
    qv_fexec_clear(&s);
    QV_TRY(qv_fexec_init(&s, g, err));
    QV_TRY(qv_quant_simulate(&s, q, err));
    for (size_t i = 0; i < n; i++) {
      qv_fexec_run(&s, c->sample + i * per);
      add_means(&s, t, mean, oc, last);
    }
    for (uint32_t o = 0; o < oc; o++) mean[o] = -mean[o];
    for (size_t i = 0; i < n; i++) {
      qv_fexec_run(&f, c->sample + i * per);
      add_means(&f, t, mean, oc, last);
    }
    for (uint32_t o = 0; o < oc; o++) {
      double step = (double)(q->q[g->node[k].in[0]].s * q->w[k].s[q->w[k].n_s == 1 ? 0 : o]);
      double b = (double)q->w[k].b[o] + rint(mean[o] / (double)n / step);
      if (fabs(b) < 0x1p30) q->w[k].b[o] = (int32_t)b;
    }
  }
done:
  free(mean);
  qv_fexec_clear(&f);
  qv_fexec_clear(&s);
  return st;
}

qv_status qv_quant_simulate(qv_fexec *x, const qv_quantized *q, qv_err *err) {
  const qv_fgraph *g = q->g;
  x->fake = q->q;
  for (uint32_t k = 0; k < g->n_nodes; k++) {
    const qv_fnode *n = &g->node[k];
    const qv_qweights *r = &q->w[k];
    if (r->bits == 0) continue;
    const qv_ftensor *w = &g->tensor[n->in[1]];
    uint32_t oc = w->dim[0];
    size_t all = qv_felems(w);
    float *v = QV_NEW(&x->arena, all, float), *b = QV_NEW(&x->arena, oc, float), s_x = q->q[n->in[0]].s;
    if (v == NULL || b == NULL) return QV_FAIL(err, QV_E_NOMEM, "simulation");
    for (size_t i = 0; i < all; i++) v[i] = (float)r->w[i] * r->s[r->n_s == 1 ? 0 : i / (all / oc)];
    x->v[n->in[1]] = v;
    if (n->n_in < 3) continue;
    for (uint32_t o = 0; o < oc; o++) b[o] = (float)r->b[o] * (s_x * r->s[r->n_s == 1 ? 0 : o]);
    x->v[n->in[2]] = b;
  }
  return QV_OK;
}

/* ---- the whole -------------------------------------------------------------------------------------------------------------------- */

/* Every linear node has a bias of its own, so that corrections have a place; weights shared by two nodes are refused. */
static qv_status check(const qv_fgraph *g, const int *a_bits, const int *w_bits, qv_err *err) {
  for (uint32_t t = 0; t < g->n_tensors; t++)
    if (qv_quant_root(g, t) == t && (a_bits[t] < 2 || a_bits[t] > 16))
      return QV_FAIL(err, QV_E_ARG, "tensor \"%s\": %d bits; activations have 2 to 16", g->tensor[t].name, a_bits[t]);
  for (uint32_t k = 0; k < g->n_nodes; k++) {
    if (!qv_quant_linear(&g->node[k])) continue;
    if (w_bits[k] < 2 || w_bits[k] > 16) return QV_FAIL(err, QV_E_ARG, "node \"%s\": %d bits; weights have 2 to 16", g->node[k].name, w_bits[k]);
    if (qv_quant_root(g, g->node[k].in[0]) == QV_NONE)
      return QV_FAIL(err, QV_E_UNSUP, "node \"%s\" reads a tensor that is not quantized", g->node[k].name);
  }
  return QV_OK;
}

/* q on the coarser scale s. */
static void rescale(qv_fakeq *q, float s, const qv_quant_opts *o) {
  double lo = (double)q->s * (q->lo - q->zp);
  int step = o->for_qonnx ? 2 : 1;
  q->s = s;
  if (!o->symmetric) q->zp = (int32_t)fmin(q->hi / step, fmax(0, rint(-lo / (double)s / step))) * step;
}

/* Roots of the operands of ADD node n, of which one has more than 8 bits. */
static bool wide_sum(const qv_quantized *q, const qv_fnode *n, uint32_t root[2]) {
  if (n->op != QF_ADD) return false;
  for (int i = 0; i < 2; i++)
    if ((root[i] = qv_quant_root(q->g, n->in[i])) == QV_NONE) return false;
  return q->a_bits[root[0]] > 8 || q->a_bits[root[1]] > 8;
}

/* v[t] becomes the least of all tensors that t is added to, over others too. */
static void spread_least(const qv_quantized *q, float *v) {
  uint32_t r[2];
  for (bool changed = true; changed;) {
    changed = false;
    for (uint32_t k = 0; k < q->g->n_nodes; k++) {
      if (!wide_sum(q, &q->g->node[k], r)) continue;
      float s = fminf(v[r[0]], v[r[1]]);
      for (int i = 0; i < 2; i++)
        if (v[r[i]] > s) v[r[i]] = s, changed = true;
    }
  }
}

#define APART 0x1p14f /* scales of two operands, at most */

/* Tensors of more than 8 bits that are added to each other, directly or over others, get scales that are powers of two apart, each no smaller
 * than it was: such a sum is one of integers. A tensor that is always 0 takes the scale of the others. */
static qv_status align_sums(qv_quantized *q, const qv_calib *c, qv_err *err) {
  uint32_t n = q->g->n_tensors;
  float *least = QV_NEW(&q->arena, n, float), *most = QV_NEW(&q->arena, n, float);
  if (least == NULL || most == NULL) return QV_FAIL(err, QV_E_NOMEM, "quantization");
  for (uint32_t t = 0; t < n; t++) {
    bool zero = !(c->t[t].hi > c->t[t].lo);
    least[t] = zero ? INFINITY : q->q[t].s;
    most[t] = zero ? 0 : -q->q[t].s;
  }
  spread_least(q, least);
  spread_least(q, most);
  for (uint32_t t = 0; t < n; t++) {
    bool zero = !(c->t[t].hi > c->t[t].lo);
    float s = least[t];
    if (!(s > 0 && s < INFINITY)) continue;
    while (s * APART < -most[t] || (!zero && s < q->q[t].s)) s *= 2;
    if (zero ? s < q->q[t].s : s > q->q[t].s) rescale(&q->q[t], s, &q->opts);
  }
  return QV_OK;
}

qv_status qv_quantize(qv_quantized *out, const qv_fgraph *g, const qv_calib *c, const int *a_bits, const int *w_bits,
                      const qv_quant_opts *opts, qv_err *err) {
  *out = (qv_quantized){.g = g, .opts = *opts};
  out->a_bits = QV_NEW(&out->arena, g->n_tensors, int);
  out->q = QV_NEW(&out->arena, g->n_tensors, qv_fakeq);
  out->w = QV_NEW(&out->arena, g->n_nodes, qv_qweights);
  out->fit = QV_NEW(&out->arena, g->n_nodes, qv_fit_layer);
  if (out->a_bits == NULL || out->q == NULL || out->w == NULL || out->fit == NULL) return QV_FAIL(err, QV_E_NOMEM, "quantization");
  if (opts->pow2_weights && opts->round_to_output) return QV_FAIL(err, QV_E_ARG, "powers of two as weights: roundings are not chosen by the output");
  qv_status st = check(g, a_bits, w_bits, err);
  if (st != QV_OK) return st;
  for (uint32_t t = 0; t < g->n_tensors; t++) {
    if (qv_quant_root(g, t) != t) continue;
    out->a_bits[t] = a_bits[t];
    out->q[t] = tensor_params(&c->t[t], a_bits[t], opts);
  }
  if ((st = align_sums(out, c, err)) != QV_OK) return st;
  for (uint32_t t = 0; t < g->n_tensors; t++) {
    uint32_t root = qv_quant_root(g, t);
    if (root != QV_NONE) out->q[t] = out->q[root];
  }
  for (uint32_t k = 0; k < g->n_nodes; k++)
    if (qv_quant_linear(&g->node[k]) && (st = quantize_weights(out, k, w_bits[k], err)) != QV_OK) return st;
  if (opts->round_to_output) QV_TRY(qv_round_to_output(out, c, err));
  bool fit = opts->acc_bits > 0 || opts->node_acc_bits != NULL;
  if (fit) QV_TRY(qv_fit_weights(out, opts->acc_bits, err));
  if (opts->correct_bias) QV_TRY(correct_biases(out, c, err));
  if (opts->correct_bias && fit) st = qv_fit_weights(out, opts->acc_bits, err);
done:
  out->opts.node_acc_bits = NULL; /* the caller's */
  return st;
}

void qv_quantized_clear(qv_quantized *q) {
  qv_arena_clear(&q->arena);
  *q = (qv_quantized){0};
}
