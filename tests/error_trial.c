#include "tests/error_trial.h"

#include <gmp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/array.h"
#include "frontend/load.h"
#include "ir/base/rng.h"
#include "kernels/ref.h"
#include "quant/errbound.h"
#include "quant/export.h"
#include "quant/quantize.h"

#define INPUTS 24

static void must(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "error_trial: %s\n", what);
  abort();
}

/* ---- a random network ------------------------------------------------------------------------------------------------------------------ */

static float uniform(qv_rng *r) { return (float)qv_rng_range(r, -1000, 1000) / 1000; }

static uint32_t constant(qv_fgraph *g, qv_rng *r, uint32_t rank, const uint32_t *dim) {
  size_t n = 1;
  for (uint32_t d = 0; d < rank; d++) n *= dim[d];
  float *v = QV_NEW(&g->arena, n, float);
  must(v != NULL, "memory");
  for (size_t e = 0; e < n; e++) v[e] = uniform(r);
  return qv_fgraph_tensor(g, "c", rank, dim, v);
}

static uint32_t add(qv_fgraph *g, qv_fnode n) {
  qv_err err = {0};
  char name[24];
  (void)snprintf(name, sizeof name, "n%u", g->n_nodes);
  n.name = "node";
  uint32_t t = qv_fgraph_node(g, &n, name, &err);
  if (t == QV_NONE) fprintf(stderr, "%s\n", err.msg);
  must(t != QV_NONE, "node");
  return t;
}

static uint32_t one(qv_fgraph *g, qv_fop op, uint32_t in) {
  qv_fnode n = {.op = op, .n_in = 1};
  n.in[0] = in;
  return add(g, n);
}

static uint32_t activation(qv_fgraph *g, qv_rng *r, uint32_t t, bool smooth) {
  int64_t k = qv_rng_range(r, 0, 5);
  if (smooth && k < 3) return one(g, k == 0 ? QF_SIGMOID : QF_TANH, t);
  if (k == 5) return t;
  qv_fnode n = {.op = k == 4 ? QF_LEAKY : QF_CLIP, .n_in = 1, .lo = k == 2 ? -0.5f : 0, .hi = k == 1 || k == 2 ? 1.5f : INFINITY, .alpha = 0.1f};
  n.in[0] = t;
  return add(g, n);
}

static uint32_t dense(qv_fgraph *g, qv_rng *r, uint32_t t, uint32_t m) {
  uint32_t k = g->tensor[t].dim[1], w[2] = {m, k};
  qv_fnode n = {.op = QF_GEMM, .n_in = 3};
  n.in[0] = t, n.in[1] = constant(g, r, 2, w), n.in[2] = constant(g, r, 1, &m);
  return add(g, n);
}

static uint32_t conv(qv_fgraph *g, qv_rng *r, uint32_t t) {
  uint32_t c = g->tensor[t].dim[1], oc = (uint32_t)qv_rng_range(r, 1, 3), k = (uint32_t)qv_rng_range(r, 1, 2), p = (uint32_t)qv_rng_range(r, 0, (int64_t)k - 1);
  bool depth = qv_rng_range(r, 0, 3) == 0;
  if (g->tensor[t].dim[2] < 2 || g->tensor[t].dim[3] < 2) k = 1, p = 0;
  if (depth) oc = c;
  uint32_t w[4] = {oc, depth ? 1 : c, k, k};
  qv_fnode n = {.op = QF_CONV, .n_in = 3, .kh = k, .kw = k, .sh = 1, .sw = 1, .dh = 1, .dw = 1, .pt = p, .pl = p, .pb = p, .pr = p, .groups = depth ? c : 1};
  n.in[0] = t, n.in[1] = constant(g, r, 4, w), n.in[2] = constant(g, r, 1, &oc);
  return add(g, n);
}

static uint32_t image_part(qv_fgraph *g, qv_rng *r, bool smooth) {
  uint32_t dim[4] = {1, (uint32_t)qv_rng_range(r, 1, 2), 3, (uint32_t)qv_rng_range(r, 2, 3)};
  uint32_t t = g->in = qv_fgraph_tensor(g, "in", 4, dim, NULL);
  for (int64_t i = qv_rng_range(r, 1, 2); i > 0; i--) {
    uint32_t side = t = activation(g, r, conv(g, r, t), smooth);
    switch (qv_rng_range(r, 0, 5)) {
    case 0: t = activation(g, r, conv(g, r, t), smooth); break;
    case 1: {
      qv_fnode n = {.op = qv_rng_range(r, 0, 2) == 0 ? QF_MUL : QF_ADD, .n_in = 2};
      n.in[0] = side, n.in[1] = activation(g, r, t, smooth);
      t = add(g, n);
      break;
    }
    case 2: {
      qv_fnode n = {.op = QF_CONCAT, .n_in = 2, .axis = 1};
      n.in[0] = side, n.in[1] = activation(g, r, t, smooth);
      if (n.in[1] != side) t = add(g, n);
      break;
    }
    case 3: {
      qv_fnode n = {.op = qv_rng_range(r, 0, 1) == 0 ? QF_MAXPOOL : QF_AVGPOOL, .n_in = 1, .kh = 2, .kw = 2, .sh = 1, .sw = 1, .dh = 1, .dw = 1, .groups = 1};
      n.in[0] = t;
      if (g->tensor[t].dim[2] >= 2 && g->tensor[t].dim[3] >= 2) t = add(g, n);
      break;
    }
    default: break;
    }
  }
  if (qv_rng_range(r, 0, 2) == 0) t = one(g, QF_MEAN, t);
  qv_fnode flat = {.op = QF_RESHAPE, .n_in = 1, .axis = 2, .perm = {1, (uint32_t)qv_felems(&g->tensor[t])}};
  flat.in[0] = t;
  return add(g, flat);
}

static qv_fgraph *network(qv_rng *r, bool smooth) {
  qv_fgraph *g = calloc(1, sizeof *g);
  uint32_t dim[2] = {1, (uint32_t)qv_rng_range(r, 1, 5)}, t;
  must(g != NULL, "memory");
  if (qv_rng_range(r, 0, 1) == 0) t = image_part(g, r, smooth);
  else t = g->in = qv_fgraph_tensor(g, "in", 2, dim, NULL);
  for (int64_t i = qv_rng_range(r, 0, 3); i > 0; i--) t = activation(g, r, dense(g, r, t, (uint32_t)qv_rng_range(r, 1, 6)), smooth);
  t = dense(g, r, t, (uint32_t)qv_rng_range(r, 1, 3));
  if (qv_rng_range(r, 0, 3) == 0) t = one(g, QF_SOFTMAX, t);
  g->out = t;
  return g;
}

/* ---- its value, exactly --------------------------------------------------------------------------------------------------------------------- */

/* Rationals, or (smooth) 300-bit numbers for which only additions, products and the functions below round. */
static double function(qv_fop op, double x) { return op == QF_TANH ? (double)tanhl((long double)x) : (double)(1 / (1 + expl(-(long double)x))); }

static size_t meets(const qv_ftensor *y, const qv_ftensor *b, size_t e) {
  size_t r = 0, step = 1;
  for (uint32_t d = y->rank; d-- > 0; e /= y->dim[d]) {
    r += (b->dim[d] == 1 ? 0 : e % y->dim[d]) * step;
    step *= b->dim[d];
  }
  return r;
}

static void windowed(mpq_t out, const qv_fgraph *g, const qv_fnode *n, mpq_t *const *v, size_t e) {
  const qv_ftensor *x = &g->tensor[n->in[0]], *y = &g->tensor[n->out];
  uint32_t H = x->dim[2], W = x->dim[3], ow = y->dim[3], oh = y->dim[2], ox = (uint32_t)(e % ow), oy = (uint32_t)(e / ow % oh), o = (uint32_t)(e / ow / oh);
  uint32_t kh = n->op == QF_MEAN ? H : n->kh, kw = n->op == QF_MEAN ? W : n->kw, gi = n->op == QF_CONV ? x->dim[1] / n->groups : 1;
  uint32_t first = n->op == QF_CONV ? o / (y->dim[1] / n->groups) * gi : o;
  unsigned long count = 0;
  mpq_t p;
  mpq_init(p);
  for (uint32_t c = 0; c < gi; c++)
    for (uint32_t i = 0; i < kh; i++)
      for (uint32_t j = 0; j < kw; j++) {
        int64_t iy = (int64_t)oy + i - n->pt, ix = (int64_t)ox + j - n->pl;
        if (iy < 0 || ix < 0 || iy >= H || ix >= W) continue;
        mpq_t *in = &v[n->in[0]][(((size_t)first + c) * H + (size_t)iy) * W + (size_t)ix];
        if (n->op == QF_MAXPOOL) {
          if (count++ == 0 || mpq_cmp(*in, out) > 0) mpq_set(out, *in);
          continue;
        }
        count++;
        if (n->op == QF_CONV) mpq_mul(p, *in, v[n->in[1]][(((size_t)o * gi + c) * kh + i) * kw + j]);
        else mpq_set(p, *in);
        mpq_add(out, out, p);
      }
  if (n->op == QF_CONV) mpq_add(out, out, v[n->in[2]][o]);
  if (n->op == QF_AVGPOOL || n->op == QF_MEAN) {
    mpq_set_ui(p, 1, count);
    mpq_mul(out, out, p);
  }
  mpq_clear(p);
}

static void element(mpq_t out, const qv_fgraph *g, const qv_fnode *n, mpq_t *const *v, size_t e) {
  const qv_ftensor *y = &g->tensor[n->out];
  mpq_t b;
  mpq_init(b);
  mpq_set_ui(out, 0, 1);
  switch (n->op) {
  case QF_CONV:
  case QF_MAXPOOL:
  case QF_AVGPOOL:
  case QF_MEAN: windowed(out, g, n, v, e); break;
  case QF_GEMM: {
    uint32_t k = g->tensor[n->in[1]].dim[1];
    mpq_set(out, v[n->in[2]][e]);
    for (uint32_t i = 0; i < k; i++) {
      mpq_mul(b, v[n->in[0]][i], v[n->in[1]][e * k + i]);
      mpq_add(out, out, b);
    }
    break;
  }
  case QF_ADD: mpq_add(out, v[n->in[0]][meets(y, &g->tensor[n->in[0]], e)], v[n->in[1]][meets(y, &g->tensor[n->in[1]], e)]); break;
  case QF_MUL: mpq_mul(out, v[n->in[0]][meets(y, &g->tensor[n->in[0]], e)], v[n->in[1]][meets(y, &g->tensor[n->in[1]], e)]); break;
  case QF_CLIP:
    mpq_set(out, v[n->in[0]][e]);
    mpq_set_d(b, (double)n->lo);
    if (mpq_cmp(out, b) < 0) mpq_set(out, b);
    if (n->hi < INFINITY) {
      mpq_set_d(b, (double)n->hi);
      if (mpq_cmp(out, b) > 0) mpq_set(out, b);
    }
    break;
  case QF_LEAKY:
    mpq_set(out, v[n->in[0]][e]);
    mpq_set_d(b, (double)n->alpha);
    if (mpq_sgn(out) < 0) mpq_mul(out, out, b);
    break;
  case QF_SIGMOID:
  case QF_TANH: mpq_set_d(out, function(n->op, mpq_get_d(v[n->in[0]][e]))); break;
  case QF_CONCAT: {
    size_t plane = (size_t)y->dim[2] * y->dim[3], first = g->tensor[n->in[0]].dim[1] * plane;
    mpq_set(out, e < first ? v[n->in[0]][e] : v[n->in[1]][e - first]);
    break;
  }
  case QF_RESHAPE: mpq_set(out, v[n->in[0]][e]); break;
  case QF_CHANNEL:
  case QF_SOFTMAX:
  case QF_TRANSPOSE:
  case QF_PAD: must(false, "operator"); break;
  }
  mpq_clear(b);
}

typedef struct {
  const qv_fgraph *g;
  mpq_t **v;
} exact;

static void exact_new(exact *x, const qv_fgraph *g) {
  x->g = g;
  x->v = calloc(g->n_tensors, sizeof *x->v);
  for (uint32_t t = 0; t < g->n_tensors; t++) {
    size_t n = qv_felems(&g->tensor[t]);
    x->v[t] = calloc(n, sizeof **x->v);
    for (size_t e = 0; e < n; e++) {
      mpq_init(x->v[t][e]);
      if (g->tensor[t].data != NULL) mpq_set_d(x->v[t][e], (double)g->tensor[t].data[e]);
    }
  }
}

static void exact_free(exact *x) {
  for (uint32_t t = 0; t < x->g->n_tensors; t++) {
    for (size_t e = 0, n = qv_felems(&x->g->tensor[t]); e < n; e++) mpq_clear(x->v[t][e]);
    free(x->v[t]);
  }
  free(x->v);
}

static void exact_run(exact *x, const float *in) {
  for (size_t e = 0, n = qv_felems(&x->g->tensor[x->g->in]); e < n; e++) mpq_set_d(x->v[x->g->in][e], (double)in[e]);
  for (uint32_t k = 0; k < x->g->n_nodes; k++)
    if (x->g->node[k].op != QF_SOFTMAX)
      for (size_t e = 0, n = qv_felems(&x->g->tensor[x->g->node[k].out]); e < n; e++) element(x->v[x->g->node[k].out][e], x->g, &x->g->node[k], x->v, e);
}

/* ---- trials ------------------------------------------------------------------------------------------------------------------------------ */

typedef struct {
  qv_fgraph *g;
  qv_calib c;
  float *samples;
  size_t per;
  qv_quantized q;
  qv_net *net;
  qv_errpair *pair;
  float *lo, *hi, *x;
  bool smooth;
} trial;

static bool make(trial *t, qv_rng *r) {
  static const int bits[][2] = {{8, 8}, {4, 8}, {3, 5}, {8, 4}, {2, 3}, {16, 16}, {8, 12}};
  static const char *const profile[] = {"ort-vnni", "ort-avx2", "onnx-spec", "onnx-spec"};
  qv_err err = {0};
  size_t n = 20, pick = (size_t)qv_rng_range(r, 0, 6);
  t->smooth = qv_rng_range(r, 0, 3) == 0;
  t->g = network(r, t->smooth);
  must(qv_fgraph_simplify(t->g, &err) == QV_OK, "simplify");
  t->per = qv_felems(&t->g->tensor[t->g->in]);
  t->samples = calloc(n * t->per, sizeof *t->samples);
  for (size_t e = 0; e < n * t->per; e++) t->samples[e] = uniform(r);
  must(qv_calibrate(&t->c, t->g, t->samples, n, &err) == QV_OK, "calibrate");
  qv_quant_opts o = {.range = (qv_range_method)qv_rng_range(r, 0, 2), .percentile = 0.9, .symmetric = qv_rng_range(r, 0, 2) == 0,
                     .per_tensor = qv_rng_range(r, 0, 1) == 0, .pow2 = qv_rng_range(r, 0, 3) == 0};
  int *a = calloc((size_t)t->g->n_tensors + 1, sizeof *a), *w = calloc((size_t)t->g->n_nodes + 1, sizeof *w);
  for (uint32_t i = 0; i < t->g->n_tensors; i++) a[i] = bits[pick][1];
  for (uint32_t i = 0; i < t->g->n_nodes; i++) w[i] = bits[pick][0];
  bool ok = qv_quantize(&t->q, t->g, &t->c, a, w, &o, &err) == QV_OK;
  free(a);
  free(w);
  must(ok, "quantize");
  qv_buf onnx = {0};
  must(qv_export_qdq(&onnx, &t->q, &err) == QV_OK, "export");
  const qv_load_opts load = {.profile = profile[bits[pick][1] > 8 ? 3 : qv_rng_range(r, 0, 3)]};
  ok = qv_load_bytes(&t->net, onnx.p, onnx.n, "net", &load, &err) == QV_OK;
  qv_buf_free(&onnx);
  if (!ok) return false; /* not every operator of every width has a kernel in every runtime */
  qv_status st = qv_errpair_new(&t->pair, t->g, t->net, t->samples, qv_rng_range(r, 0, 1) == 0 ? n : 0, &err);
  if (st != QV_OK) fprintf(stderr, "error_trial: %s\n", err.msg);
  must(st == QV_OK, "pair");
  t->lo = calloc(t->per, sizeof *t->lo);
  t->hi = calloc(t->per, sizeof *t->hi);
  t->x = calloc(t->per, sizeof *t->x);
  return true;
}

static void clear(trial *t) {
  qv_errpair_free(t->pair);
  qv_net_free(t->net);
  qv_quantized_clear(&t->q);
  qv_calib_clear(&t->c);
  qv_fgraph_free(t->g);
  free(t->samples);
  free(t->lo);
  free(t->hi);
  free(t->x);
}

static void domain(trial *t, qv_rng *r, qv_err_domain *d) {
  float clo, chi;
  int64_t kind = qv_rng_range(r, 0, 4);
  qv_errpair_codes(t->pair, &clo, &chi);
  for (size_t e = 0; e < t->per; e++) {
    float mid = uniform(r), width = kind == 1 ? 0.02f : kind == 2 ? 0 : fabsf(uniform(r)) * 2; /* beyond the codes' range too */
    t->lo[e] = kind == 0 ? clo : mid - width;
    t->hi[e] = kind == 0 ? chi : mid + width;
  }
  *d = (qv_err_domain){.lo = kind == 0 ? NULL : t->lo, .hi = kind == 0 ? NULL : t->hi, .effort = qv_rng_range(r, 0, 3) == 0 ? 1 : 0};
  d->grid = qv_rng_range(r, 0, 3) == 0;
}

/* An input of the domain; of a grid: a code's value, which binary32 must hold exactly (false: not this time). */
static bool input(trial *t, qv_rng *r, const qv_err_domain *d) {
  const qv_tensor *q = &t->net->tensor[t->net->in[0].tensor];
  int64_t how = qv_rng_range(r, 0, 3);
  for (size_t e = 0; e < t->per; e++) {
    float u = (float)qv_rng_range(r, 0, 4096) / 4096;
    t->x[e] = how == 0 ? (u < 0.5f ? t->lo[e] : t->hi[e]) : t->lo[e] + (t->hi[e] - t->lo[e]) * u;
    if (how == 1 || d->grid) { /* codes, or the middle between two */
      double k = rint((double)t->x[e] / (double)q->scale) + (d->grid ? 0 : 0.5), x = k * (double)q->scale;
      if (d->grid) k = fmin((double)(q->hi - q->zp), fmax((double)(q->lo - q->zp), k)), x = k * (double)q->scale;
      t->x[e] = (float)x;
      if (d->grid && fabs((double)t->x[e] - x) > 0) return false;
    }
    if (!d->grid) t->x[e] = fminf(t->hi[e], fmaxf(t->lo[e], t->x[e]));
    else if (t->x[e] < t->lo[e] || t->x[e] > t->hi[e]) return false;
  }
  return true;
}

/* |S (q - Z) - y| against the bound. */
static void compare(et_count *c, const trial *t, const qv_err_bound *b, const exact *x, const qv_values *vals, uint64_t seed, double scale, double *reached) {
  const qv_tensor *out = &t->net->tensor[t->net->out[0].tensor];
  const qv_fnode *last = qv_fgraph_writer(t->g, t->g->out);
  uint32_t fout = last->op == QF_SOFTMAX ? last->in[0] : t->g->out;
  mpq_t d, s, lo, hi;
  mpq_inits(d, s, lo, hi, (mpq_ptr)NULL);
  for (size_t e = 0; e < b->n; e++) {
    mpq_set_d(s, (double)out->scale);
    mpq_set_si(d, (long)(vals->v[t->net->out[0].tensor][e] - out->zp), 1);
    mpq_mul(d, d, s);
    mpq_sub(d, d, x->v[fout][e]);
    double slack = t->smooth ? 1e-9 : 0; /* the reference's functions round */
    mpq_set_d(lo, b->lo[e] * scale - slack);
    mpq_set_d(hi, b->hi[e] * scale + slack);
    double v = fabs(mpq_get_d(d)), top = fmax(fabs(b->lo[e]), fabs(b->hi[e]));
    if (top > 0) *reached = fmax(*reached, v / top);
    if ((mpq_cmp(d, lo) < 0 || mpq_cmp(d, hi) > 0) && c->broken[0] == 0)
      (void)snprintf(c->broken, sizeof c->broken, "seed %llu: output %zu is off by %.9g, proved [%.9g,%.9g]", (unsigned long long)seed, e, mpq_get_d(d), b->lo[e], b->hi[e]);
  }
  mpq_clears(d, s, lo, hi, (mpq_ptr)NULL);
}

void et_trial(et_count *c, uint64_t seed, double scale) {
  qv_rng r = {seed};
  trial t = {0};
  qv_err err = {0};
  qv_err_domain dom;
  qv_err_bound b = {0};
  qv_values vals = {0};
  exact x;
  double reached = 0;
  if (!make(&t, &r)) {
    clear(&t);
    return;
  }
  domain(&t, &r, &dom);
  qv_status st = seed % 5 == 0 ? qv_err_bound_split(&b, t.pair, &dom, 4, 0, &err) : qv_err_bound_run(&b, t.pair, &dom, &err);
  if (dom.grid && st == QV_E_ARG) { /* no code in the box */
    qv_err_bound_clear(&b);
    clear(&t);
    return;
  }
  must(st == QV_OK, err.msg);
  c->nets++;
  if (!(b.max < INFINITY)) c->unproved++;
  exact_new(&x, t.g);
  must(qv_values_init(&vals, t.net, &err) == QV_OK, "values");
  if (dom.lo == NULL) {
    float clo, chi;
    qv_errpair_codes(t.pair, &clo, &chi);
    for (size_t e = 0; e < t.per; e++) t.lo[e] = clo, t.hi[e] = chi;
  }
  for (int i = 0; i < INPUTS && b.max < INFINITY; i++) {
    if (!input(&t, &r, &dom)) continue;
    for (size_t e = 0; e < t.per; e++) must(qv_end_quantize(&vals.v[t.net->in[0].tensor][e], t.net, 0, t.x[e], &err) == QV_OK, "code");
    must(qv_ref_run(t.net, &vals, &err) == QV_OK, "run");
    exact_run(&x, t.x);
    compare(c, &t, &b, &x, &vals, seed, scale, &reached);
    c->points++;
  }
  c->share += reached;
  c->tightest = fmax(c->tightest, reached);
  exact_free(&x);
  qv_values_clear(&vals);
  qv_err_bound_clear(&b);
  clear(&t);
}
