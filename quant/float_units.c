#include "quant/float_units.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
  qv_funits *f;
  const qv_fgraph *g;
  const bool *keep;
  qv_err *err;
  bool failed, large;
} maker;

static bool linear(qv_fop op) {
  return op == QF_CONV || op == QF_GEMM || op == QF_CHANNEL || op == QF_ADD || op == QF_AVGPOOL || op == QF_MEAN;
}

static bool function(qv_fop op) { return op == QF_CLIP || op == QF_LEAKY || op == QF_SIGMOID || op == QF_TANH; }

/* The function that alone reads t, which nobody wants to see, or NULL. */
static const qv_fnode *fused_into(const maker *m, uint32_t t) {
  const qv_fnode *w = qv_fgraph_writer(m->g, t);
  if (w == NULL || !linear(w->op) || m->keep[t] || t == m->g->out || qv_fgraph_uses(m->g, t) != 1) return NULL;
  for (uint32_t k = 0; k < m->g->n_nodes; k++)
    if (function(m->g->node[k].op) && m->g->node[k].in[0] == t) return &m->g->node[k];
  return NULL;
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------------ */

static qv_funit *start(maker *m) {
  qv_funits *f = m->f;
  if (f->n == f->cap) {
    uint32_t cap = f->cap == 0 ? 1024 : 2 * f->cap;
    qv_funit *u = realloc(f->unit, cap * sizeof *u);
    if (u == NULL) {
      m->failed = true;
      return NULL;
    }
    f->unit = u;
    f->cap = cap;
  }
  f->unit[f->n] = (qv_funit){.fn = QV_FU_CLIP, .lo = -INFINITY, .hi = INFINITY, .first = f->n_terms};
  return &f->unit[f->n];
}

static void constant(qv_funit *u, double c) {
  u->b += c;
  u->b_abs += fabs(c);
}

/* Append a term to the unit begun last. Constants: the product of two binary32 values is exact, their sum is not (`rel` covers it). */
static void term(maker *m, qv_felement x, double w) {
  qv_funits *f = m->f;
  qv_funit *u = &f->unit[f->n];
  if (x.var == QV_NONE) {
    constant(u, w * x.c);
    if (w * x.c < 0 || w * x.c > 0) u->rel = fmax(u->rel, 0x1p-36);
    return;
  }
  if (f->n_terms == f->cap_terms) {
    size_t cap = f->cap_terms == 0 ? 4096 : 2 * f->cap_terms;
    if (f->n_terms >= QV_FUNITS_TERMS) m->large = true;
    uint32_t *v = m->large ? NULL : realloc(f->var, cap * sizeof *v);
    if (v != NULL) f->var = v;
    double *d = v == NULL ? NULL : realloc(f->w, cap * sizeof *d);
    if (d == NULL) {
      m->failed = true;
      return;
    }
    f->w = d;
    f->cap_terms = cap;
  }
  f->var[f->n_terms] = x.var;
  f->w[f->n_terms++] = w;
  u->n++;
}

static qv_felement *elements(maker *m, uint32_t t) {
  qv_felement *e = QV_NEW(&m->f->arena, qv_felems(&m->g->tensor[t]), qv_felement);
  if (e == NULL) m->failed = true;
  return e;
}

static qv_felement at(const maker *m, uint32_t t, size_t e) {
  const qv_ftensor *x = &m->g->tensor[t];
  return x->data != NULL ? (qv_felement){QV_NONE, (double)x->data[e]} : m->f->element[t][e];
}

/* ---- linear operators -------------------------------------------------------------------------------------------------------------- */

static void window_row(maker *m, const qv_fnode *n, size_t e) {
  const qv_ftensor *x = &m->g->tensor[n->in[0]], *y = &m->g->tensor[n->out];
  uint32_t ih = x->dim[2], iw = x->dim[3], ow = y->dim[3], oh = y->dim[2], oc = y->dim[1];
  uint32_t ox = (uint32_t)(e % ow), oy = (uint32_t)(e / ow % oh), o = (uint32_t)(e / ow / oh % oc);
  bool conv = n->op == QF_CONV, mean = n->op == QF_MEAN;
  uint32_t kh = mean ? ih : n->kh, kw = mean ? iw : n->kw, gi = conv ? x->dim[1] / n->groups : 1, c0 = conv ? o / (oc / n->groups) * gi : o, taps = 0;
  size_t first = m->f->n_terms;
  for (uint32_t c = 0; c < gi; c++)
    for (uint32_t ky = 0; ky < kh; ky++)
      for (uint32_t kx = 0; kx < kw; kx++) {
        int64_t iy = mean ? ky : (int64_t)oy * n->sh - n->pt + (int64_t)ky * n->dh, ix = mean ? kx : (int64_t)ox * n->sw - n->pl + (int64_t)kx * n->dw;
        if (iy < 0 || iy >= ih || ix < 0 || ix >= iw) continue;
        double w = conv ? (double)m->g->tensor[n->in[1]].data[(((size_t)o * gi + c) * kh + ky) * kw + kx] : 1;
        taps++;
        term(m, at(m, n->in[0], (((size_t)c0 + c) * ih + (size_t)iy) * iw + (size_t)ix), w);
      }
  qv_funit *u = &m->f->unit[m->f->n];
  if (conv) {
    if (n->n_in > 2) constant(u, (double)m->g->tensor[n->in[2]].data[o]);
    return;
  }
  double share = 1 / (double)(n->count_pad || mean ? kh * kw : taps > 0 ? taps : 1);
  for (size_t i = first; i < m->f->n_terms; i++) m->f->w[i] = share;
  u->b *= share;
  u->b_abs *= share;
  u->rel = fmax(u->rel, 0x1p-50);
}

static void gemm_row(maker *m, const qv_fnode *n, size_t e) {
  const qv_ftensor *w = &m->g->tensor[n->in[1]];
  size_t k = w->dim[1], o = e % w->dim[0], r = e / w->dim[0];
  for (size_t i = 0; i < k; i++) term(m, at(m, n->in[0], r * k + i), (double)w->data[o * k + i]);
  if (n->n_in > 2) constant(&m->f->unit[m->f->n], (double)m->g->tensor[n->in[2]].data[o]);
}

/* Element of operand b that meets element e of y under broadcasting. */
static size_t broadcast_at(const qv_ftensor *y, const qv_ftensor *b, size_t e) {
  size_t r = 0, step = 1;
  for (uint32_t d = y->rank; d-- > 0; e /= y->dim[d]) {
    if (y->rank - d > b->rank) continue;
    uint32_t k = d - (y->rank - b->rank);
    if (b->dim[k] != 1) r += e % y->dim[d] * step;
    step *= b->dim[k];
  }
  return r;
}

static void row_of(maker *m, const qv_fnode *n, size_t e) {
  const qv_ftensor *y = &m->g->tensor[n->out];
  if (n->op == QF_GEMM) gemm_row(m, n, e);
  else if (n->op == QF_ADD)
    for (uint32_t i = 0; i < 2; i++) term(m, at(m, n->in[i], broadcast_at(y, &m->g->tensor[n->in[i]], e)), 1);
  else if (n->op == QF_CHANNEL) {
    size_t inner = 1, c;
    for (uint32_t d = n->axis + 1; d < y->rank; d++) inner *= y->dim[d];
    c = e / inner % y->dim[n->axis];
    term(m, at(m, n->in[0], e), (double)m->g->tensor[n->in[1]].data[c]);
    constant(&m->f->unit[m->f->n], (double)m->g->tensor[n->in[2]].data[c]);
  } else window_row(m, n, e);
}

/* ---- functions and the rest ---------------------------------------------------------------------------------------------------------- */

static void set_function(qv_funit *u, const qv_fnode *n) {
  u->fn = n->op == QF_CLIP ? QV_FU_CLIP : n->op == QF_LEAKY ? QV_FU_LEAKY : n->op == QF_SIGMOID ? QV_FU_SIGMOID : QV_FU_TANH;
  if (n->op == QF_CLIP) u->lo = (double)n->lo, u->hi = (double)n->hi;
  if (n->op == QF_LEAKY) u->alpha = (double)n->alpha;
}

static void product(maker *m, const qv_fnode *n, size_t e) {
  const qv_ftensor *y = &m->g->tensor[n->out];
  qv_felement a = at(m, n->in[0], broadcast_at(y, &m->g->tensor[n->in[0]], e)), b = at(m, n->in[1], broadcast_at(y, &m->g->tensor[n->in[1]], e));
  if (a.var == QV_NONE || b.var == QV_NONE) {
    qv_felement x = a.var == QV_NONE ? b : a, c = a.var == QV_NONE ? a : b;
    term(m, x, c.c);
    return;
  }
  m->f->unit[m->f->n].fn = QV_FU_MUL;
  term(m, a, 1);
  term(m, b, 1);
}

static void maximum(maker *m, const qv_fnode *n, size_t e) {
  const qv_ftensor *x = &m->g->tensor[n->in[0]], *y = &m->g->tensor[n->out];
  uint32_t ih = x->dim[2], iw = x->dim[3], ow = y->dim[3], oh = y->dim[2];
  uint32_t ox = (uint32_t)(e % ow), oy = (uint32_t)(e / ow % oh);
  size_t c = e / ow / oh;
  m->f->unit[m->f->n].fn = QV_FU_MAX;
  for (uint32_t ky = 0; ky < n->kh; ky++)
    for (uint32_t kx = 0; kx < n->kw; kx++) {
      int64_t iy = (int64_t)oy * n->sh - n->pt + (int64_t)ky * n->dh, ix = (int64_t)ox * n->sw - n->pl + (int64_t)kx * n->dw;
      if (iy < 0 || iy >= ih || ix < 0 || ix >= iw) continue;
      qv_felement v = at(m, n->in[0], (c * ih + (size_t)iy) * iw + (size_t)ix);
      qv_funit *u = &m->f->unit[m->f->n];
      if (v.var != QV_NONE) term(m, v, 1);
      else {
        u->b = u->constant ? fmax(u->b, v.c) : v.c;
        u->constant = true;
      }
    }
}

/* One unit an element. */
static void units(maker *m, const qv_fnode *n, const qv_fnode *src) {
  qv_felement *out = elements(m, n->out);
  for (size_t e = 0, k = qv_felems(&m->g->tensor[n->out]); e < k && !m->failed; e++) {
    if (start(m) == NULL) return;
    if (linear(n->op)) row_of(m, n, e);
    else if (function(n->op)) {
      if (src != NULL) row_of(m, src, e);
      else term(m, at(m, n->in[0], e), 1);
      set_function(&m->f->unit[m->f->n], n);
    } else if (n->op == QF_MUL) product(m, n, e);
    else if (n->op == QF_MAXPOOL) maximum(m, n, e);
    else m->f->unit[m->f->n].fn = QV_FU_UNIT;
    m->f->unit[m->f->n].tensor = n->out;
    out[e] = (qv_felement){m->f->n++, 0};
  }
  m->f->element[n->out] = out;
}

/* Source element of element e of data movement n, or the constant 0. */
static qv_felement moved(const maker *m, const qv_fnode *n, size_t e) {
  const qv_ftensor *y = &m->g->tensor[n->out];
  size_t coord[QV_MAX_RANK] = {0}, r = 0;
  for (uint32_t d = y->rank; d-- > 0; e /= y->dim[d]) coord[d] = e % y->dim[d];
  if (n->op == QF_CONCAT) {
    uint32_t i = 0;
    size_t c = coord[n->axis];
    for (; c >= m->g->tensor[n->in[i]].dim[n->axis]; i++) c -= m->g->tensor[n->in[i]].dim[n->axis];
    coord[n->axis] = c;
    for (uint32_t d = 0; d < y->rank; d++) r = r * m->g->tensor[n->in[i]].dim[d] + coord[d];
    return at(m, n->in[i], r);
  }
  const qv_ftensor *x = &m->g->tensor[n->in[0]];
  size_t from[QV_MAX_RANK] = {0};
  for (uint32_t d = 0; d < y->rank; d++) {
    if (n->op == QF_TRANSPOSE) from[n->perm[d]] = coord[d];
    else if (coord[d] < n->pad[d] || coord[d] - n->pad[d] >= x->dim[d]) return (qv_felement){QV_NONE, 0};
    else from[d] = coord[d] - n->pad[d];
  }
  for (uint32_t d = 0; d < x->rank; d++) r = r * x->dim[d] + from[d];
  return at(m, n->in[0], r);
}

static void movement(maker *m, const qv_fnode *n) {
  qv_felement *out = elements(m, n->out);
  for (size_t e = 0, k = qv_felems(&m->g->tensor[n->out]); e < k && !m->failed; e++)
    out[e] = n->op == QF_RESHAPE ? at(m, n->in[0], e) : moved(m, n, e);
  m->f->element[n->out] = out;
}

qv_status qv_funits_make(qv_funits *out, const qv_fgraph *g, const bool *keep, qv_err *err) {
  *out = (qv_funits){.g = g};
  maker m = {.f = out, .g = g, .keep = keep, .err = err};
  out->element = QV_NEW(&out->arena, g->n_tensors, qv_felement *);
  if (out->element == NULL) return QV_FAIL(err, QV_E_NOMEM, "error bound");
  qv_felement *in = out->element[g->in] = elements(&m, g->in);
  for (size_t e = 0, k = qv_felems(&g->tensor[g->in]); e < k && !m.failed; e++) {
    qv_funit *u = start(&m);
    if (u != NULL) u->fn = QV_FU_INPUT, u->tensor = g->in, in[e] = (qv_felement){out->n++, 0};
  }
  out->n_in = out->n;
  for (uint32_t k = 0; k < g->n_nodes && !m.failed; k++) {
    const qv_fnode *n = &g->node[k];
    if (n->op == QF_RESHAPE || n->op == QF_TRANSPOSE || n->op == QF_PAD || n->op == QF_CONCAT) movement(&m, n);
    else if (fused_into(&m, n->out) == NULL) {
      const qv_fnode *w = function(n->op) ? qv_fgraph_writer(g, n->in[0]) : NULL;
      units(&m, n, w != NULL && fused_into(&m, n->in[0]) == n ? w : NULL);
    }
  }
  if (m.large) return QV_FAIL(err, QV_E_LIMIT, "error bound: the float network has more than %zu multiply-adds", QV_FUNITS_TERMS);
  return m.failed ? QV_FAIL(err, QV_E_NOMEM, "error bound") : QV_OK;
}

void qv_funits_clear(qv_funits *f) {
  free(f->unit);
  free(f->var);
  free(f->w);
  qv_arena_clear(&f->arena);
  *f = (qv_funits){0};
}

/* ---- functions over intervals ---------------------------------------------------------------------------------------------------------- */

static double clip(const qv_funit *u, double x) { return fmin(u->hi, fmax(u->lo, x)); }

qv_real qv_fu_image(const qv_funit *u, qv_real x) {
  switch (u->fn) {
  case QV_FU_CLIP: return (qv_real){clip(u, x.lo), clip(u, x.hi)};
  case QV_FU_LEAKY: {
    double a = x.lo < 0 ? qv_down(u->alpha * x.lo) : x.lo, b = x.hi < 0 ? qv_up(u->alpha * x.hi) : x.hi;
    if (u->alpha >= 0) return (qv_real){a, b};
    double p = x.lo < 0 ? qv_up(u->alpha * x.lo) : x.lo, q = x.hi < 0 ? qv_down(u->alpha * x.hi) : x.hi; /* falls, then grows */
    return (qv_real){x.lo < 0 && x.hi > 0 ? 0 : fmin(x.lo < 0 ? q : x.lo, q), fmax(p, b)};
  }
  case QV_FU_SIGMOID: return (qv_real){qv_enclose_sigmoid(x.lo).lo, qv_enclose_sigmoid(x.hi).hi};
  case QV_FU_TANH: return (qv_real){qv_enclose_tanh(x.lo).lo, qv_enclose_tanh(x.hi).hi};
  case QV_FU_UNIT: return (qv_real){0, 1};
  case QV_FU_INPUT:
  case QV_FU_MAX:
  case QV_FU_MUL: break;
  }
  return x;
}

/* Slope of sigmoid, s(1-s), or of tanh, 1-t^2: both fall with |x|. */
static qv_real slope_at(const qv_funit *u, double x) {
  if (u->fn == QV_FU_SIGMOID) {
    qv_real s = qv_enclose_sigmoid(-fabs(x)); /* <= 1/2, where s(1-s) grows */
    return (qv_real){qv_down(s.lo * qv_down(1 - s.lo)), fmin(0.25, qv_up(s.hi * qv_up(1 - s.hi)))};
  }
  qv_real t = qv_enclose_tanh(fabs(x));
  return (qv_real){fmax(0, qv_down(1 - qv_up(t.hi * t.hi))), fmin(1, qv_up(1 - qv_down(t.lo * t.lo)))};
}

qv_real qv_fu_slope(const qv_funit *u, qv_real x) {
  switch (u->fn) {
  case QV_FU_CLIP:
    if (x.lo >= u->lo && x.hi <= u->hi) return (qv_real){1, 1};
    if (x.hi <= u->lo || x.lo >= u->hi) return (qv_real){0, 0};
    return (qv_real){0, 1};
  case QV_FU_LEAKY:
    if (x.lo >= 0) return (qv_real){1, 1};
    if (x.hi <= 0) return (qv_real){u->alpha, u->alpha};
    return (qv_real){fmin(1, u->alpha), fmax(1, u->alpha)};
  case QV_FU_SIGMOID:
  case QV_FU_TANH: {
    double far = fmax(fabs(x.lo), fabs(x.hi)), near = x.lo <= 0 && x.hi >= 0 ? 0 : fmin(fabs(x.lo), fabs(x.hi));
    return (qv_real){fmax(0, slope_at(u, far).lo), slope_at(u, near).hi};
  }
  case QV_FU_INPUT:
  case QV_FU_MAX:
  case QV_FU_MUL:
  case QV_FU_UNIT: break;
  }
  return (qv_real){1, 1};
}
