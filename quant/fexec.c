#include "quant/fexec.h"

#include <math.h>
#include <string.h>

/* ---- windows --------------------------------------------------------------------------------------------------------------------- */

typedef struct {
  uint32_t ic, ih, iw, oc, oh, ow;
} shape;

static shape shape_of(const qv_fgraph *g, const qv_fnode *n) {
  const qv_ftensor *x = &g->tensor[n->in[0]], *y = &g->tensor[n->out];
  return (shape){x->dim[1], x->dim[2], x->dim[3], y->dim[1], y->dim[2], y->dim[3]};
}

/* Output columns [*a,*b) whose input column under tap kx lies inside the image; *x0: input column of *a. */
static void columns(const qv_fnode *n, const shape *s, uint32_t kx, uint32_t *a, uint32_t *b, uint32_t *x0) {
  int64_t shift = (int64_t)kx * n->dw - n->pl, lo = shift >= 0 ? 0 : (-shift + n->sw - 1) / n->sw, hi = ((int64_t)s->iw - 1 - shift);
  hi = hi < 0 ? 0 : hi / n->sw + 1;
  if (hi > s->ow) hi = s->ow;
  if (lo > hi) lo = hi;
  *a = (uint32_t)lo;
  *b = (uint32_t)hi;
  *x0 = (uint32_t)(lo * n->sw + shift);
}

static bool row_of(const qv_fnode *n, const shape *s, uint32_t oy, uint32_t ky, uint32_t *iy) {
  int64_t y = (int64_t)oy * n->sh - n->pt + (int64_t)ky * n->dh;
  *iy = (uint32_t)y;
  return y >= 0 && y < s->ih;
}

static void axpy(float *restrict y, const float *restrict x, float w, uint32_t n, uint32_t stride) {
  if (stride == 1)
    for (uint32_t i = 0; i < n; i++) y[i] += w * x[i];
  else
    for (uint32_t i = 0; i < n; i++) y[i] += w * x[(size_t)i * stride];
}

static void axpy_out(float *restrict y, const float *restrict x, float w, uint32_t n, uint32_t stride) {
  for (uint32_t i = 0; i < n; i++) y[(size_t)i * stride] += w * x[i];
}

static float dot(const float *restrict a, const float *restrict b, uint32_t n, uint32_t stride) {
  float s = 0;
  for (uint32_t i = 0; i < n; i++) s += a[i] * b[(size_t)i * stride];
  return s;
}

static bool pointwise(const qv_fnode *n, const shape *s) {
  return n->kh == 1 && n->kw == 1 && n->sh == 1 && n->sw == 1 && (n->pt | n->pl) == 0 && s->ih == s->oh && s->iw == s->ow;
}

static void conv(const qv_fgraph *g, const qv_fnode *n, float *const *v) {
  shape s = shape_of(g, n);
  uint32_t gi = s.ic / n->groups, go = s.oc / n->groups, plane = s.oh * s.ow;
  const float *w = v[n->in[1]], *x = v[n->in[0]];
  float *y = v[n->out];
  for (uint32_t o = 0; o < s.oc; o++) {
    float *yo = y + (size_t)o * plane, b = n->n_in > 2 ? v[n->in[2]][o] : 0;
    for (uint32_t i = 0; i < plane; i++) yo[i] = b;
    for (uint32_t c = 0; c < gi; c++) {
      const float *xc = x + (size_t)(o / go * gi + c) * s.ih * s.iw, *wc = w + ((size_t)o * gi + c) * n->kh * n->kw;
      if (pointwise(n, &s)) {
        axpy(yo, xc, wc[0], plane, 1);
        continue;
      }
      for (uint32_t ky = 0; ky < n->kh; ky++)
        for (uint32_t kx = 0; kx < n->kw; kx++) {
          uint32_t a, e, x0, iy;
          columns(n, &s, kx, &a, &e, &x0);
          for (uint32_t oy = 0; oy < s.oh && a < e; oy++)
            if (row_of(n, &s, oy, ky, &iy)) axpy(yo + (size_t)oy * s.ow + a, xc + (size_t)iy * s.iw + x0, wc[ky * n->kw + kx], e - a, n->sw);
        }
    }
  }
}

static void conv_back(const qv_fgraph *g, const qv_fnode *n, float *const *v, float *const *d) {
  shape s = shape_of(g, n);
  uint32_t gi = s.ic / n->groups, go = s.oc / n->groups, plane = s.oh * s.ow;
  for (uint32_t o = 0; o < s.oc; o++) {
    const float *dy = d[n->out] + (size_t)o * plane;
    if (n->n_in > 2)
      for (uint32_t i = 0; i < plane; i++) d[n->in[2]][o] += dy[i];
    for (uint32_t c = 0; c < gi; c++) {
      size_t at = (size_t)(o / go * gi + c) * s.ih * s.iw, wat = ((size_t)o * gi + c) * n->kh * n->kw;
      for (uint32_t ky = 0; ky < n->kh; ky++)
        for (uint32_t kx = 0; kx < n->kw; kx++) {
          uint32_t a, e, x0, iy, k = ky * n->kw + kx;
          float w = v[n->in[1]][wat + k];
          columns(n, &s, kx, &a, &e, &x0);
          for (uint32_t oy = 0; oy < s.oh && a < e; oy++) {
            if (!row_of(n, &s, oy, ky, &iy)) continue;
            const float *row = dy + (size_t)oy * s.ow + a;
            d[n->in[1]][wat + k] += dot(row, v[n->in[0]] + at + (size_t)iy * s.iw + x0, e - a, n->sw);
            axpy_out(d[n->in[0]] + at + (size_t)iy * s.iw + x0, row, w, e - a, n->sw);
          }
        }
    }
  }
}

/* One tap of a pooling window after the other; back: distribute d[out]. */
static void pool(const qv_fgraph *g, const qv_fnode *n, float *const *v, float *const *d) {
  shape s = shape_of(g, n);
  bool max = n->op == QF_MAXPOOL;
  for (uint32_t c = 0; c < s.oc; c++)
    for (uint32_t oy = 0; oy < s.oh; oy++)
      for (uint32_t ox = 0; ox < s.ow; ox++) {
        size_t o = ((size_t)c * s.oh + oy) * s.ow + ox, best = 0;
        float sum = 0, top = -INFINITY;
        uint32_t count = 0, iy;
        for (int pass = 0; pass < (d != NULL && !max ? 2 : 1); pass++)
          for (uint32_t ky = 0; ky < n->kh; ky++)
            for (uint32_t kx = 0; kx < n->kw; kx++) {
              int64_t ix = (int64_t)ox * n->sw - n->pl + (int64_t)kx * n->dw;
              if (!row_of(n, &s, oy, ky, &iy) || ix < 0 || ix >= s.iw) continue;
              size_t i = ((size_t)c * s.ih + iy) * s.iw + (size_t)ix;
              float x = v[n->in[0]][i];
              if (pass == 1) {
                d[n->in[0]][i] += d[n->out][o] / (float)(n->count_pad ? n->kh * n->kw : count);
                continue;
              }
              count++;
              sum += x;
              if (x > top) top = x, best = i;
            }
        if (d == NULL) v[n->out][o] = max ? (count > 0 ? top : 0) : sum / (float)(n->count_pad ? n->kh * n->kw : count > 0 ? count : 1);
        else if (max && count > 0) d[n->in[0]][best] += d[n->out][o];
      }
}

/* ---- the rest -------------------------------------------------------------------------------------------------------------------- */

static void gemm(const qv_fgraph *g, const qv_fnode *n, float *const *v, float *const *d) {
  const qv_ftensor *w = &g->tensor[n->in[1]];
  uint32_t m = w->dim[0], k = w->dim[1];
  size_t rows = qv_felems(&g->tensor[n->in[0]]) / k;
  for (size_t r = 0; r < rows; r++)
    for (uint32_t o = 0; o < m; o++) {
      size_t y = r * m + o;
      const float *wo = v[n->in[1]] + (size_t)o * k, *x = v[n->in[0]] + r * k;
      if (d == NULL) {
        v[n->out][y] = dot(wo, x, k, 1) + (n->n_in > 2 ? v[n->in[2]][o] : 0);
        continue;
      }
      float dy = d[n->out][y];
      if (n->n_in > 2) d[n->in[2]][o] += dy;
      axpy(d[n->in[1]] + (size_t)o * k, x, dy, k, 1);
      axpy(d[n->in[0]] + r * k, wo, dy, k, 1);
    }
}

/* Element of operand b that meets element e of y under broadcasting. */
static size_t broadcast_at(const qv_ftensor *y, const qv_ftensor *b, size_t e) {
  size_t at = 0, step = 1;
  for (uint32_t d = y->rank; d-- > 0;) {
    size_t i = e % y->dim[d];
    e /= y->dim[d];
    if (d + b->rank < y->rank) continue;
    uint32_t bd = b->dim[d + b->rank - y->rank];
    if (bd != 1) at += i * step;
    step *= bd;
  }
  return at;
}

static void binary(const qv_fgraph *g, const qv_fnode *n, float *const *v, float *const *d) {
  const qv_ftensor *y = &g->tensor[n->out];
  for (size_t e = 0, m = qv_felems(y); e < m; e++) {
    size_t a = broadcast_at(y, &g->tensor[n->in[0]], e), b = broadcast_at(y, &g->tensor[n->in[1]], e);
    float p = v[n->in[0]][a], q = v[n->in[1]][b];
    if (d == NULL) {
      v[n->out][e] = n->op == QF_ADD ? p + q : p * q;
      continue;
    }
    d[n->in[0]][a] += d[n->out][e] * (n->op == QF_ADD ? 1 : q);
    d[n->in[1]][b] += d[n->out][e] * (n->op == QF_ADD ? 1 : p);
  }
}

static void unary(const qv_fgraph *g, const qv_fnode *n, float *const *v, float *const *d) {
  for (size_t e = 0, m = qv_felems(&g->tensor[n->out]); e < m; e++) {
    float x = v[n->in[0]][e], y, slope;
    if (n->op == QF_CLIP) y = fminf(n->hi, fmaxf(n->lo, x)), slope = x > n->lo && x < n->hi ? 1 : 0;
    else if (n->op == QF_LEAKY) y = x < 0 ? n->alpha * x : x, slope = x < 0 ? n->alpha : 1;
    else if (n->op == QF_SIGMOID) y = 1 / (1 + expf(-x)), slope = y * (1 - y);
    else y = tanhf(x), slope = 1 - y * y;
    if (d == NULL) v[n->out][e] = y;
    else d[n->in[0]][e] += slope * d[n->out][e];
  }
}

static void channel(const qv_fgraph *g, const qv_fnode *n, float *const *v, float *const *d) {
  const qv_ftensor *y = &g->tensor[n->out];
  size_t inner = 1;
  for (uint32_t k = n->axis + 1; k < y->rank; k++) inner *= y->dim[k];
  for (size_t e = 0, m = qv_felems(y); e < m; e++) {
    size_t c = e / inner % y->dim[n->axis];
    if (d == NULL) v[n->out][e] = v[n->in[0]][e] * v[n->in[1]][c] + v[n->in[2]][c];
    else d[n->in[0]][e] += d[n->out][e] * v[n->in[1]][c];
  }
}

static void softmax(const qv_fgraph *g, const qv_fnode *n, float *const *v, float *const *d) {
  const qv_ftensor *t = &g->tensor[n->out];
  size_t len = t->dim[t->rank - 1];
  for (size_t r = 0, m = qv_felems(t); r < m; r += len) {
    float *y = v[n->out] + r, sum = 0, top = -INFINITY;
    const float *x = v[n->in[0]] + r;
    if (d == NULL) {
      for (size_t i = 0; i < len; i++) top = fmaxf(top, x[i]);
      for (size_t i = 0; i < len; i++) sum += y[i] = expf(x[i] - top);
      for (size_t i = 0; i < len; i++) y[i] /= sum;
      continue;
    }
    for (size_t i = 0; i < len; i++) sum += y[i] * d[n->out][r + i];
    for (size_t i = 0; i < len; i++) d[n->in[0]][r + i] += y[i] * (d[n->out][r + i] - sum);
  }
}

static void mean(const qv_fgraph *g, const qv_fnode *n, float *const *v, float *const *d) {
  const qv_ftensor *x = &g->tensor[n->in[0]];
  size_t plane = (size_t)x->dim[2] * x->dim[3], c_n = (size_t)x->dim[0] * x->dim[1];
  for (size_t c = 0; c < c_n; c++) {
    float sum = 0;
    for (size_t i = 0; i < plane; i++) {
      if (d == NULL) sum += v[n->in[0]][c * plane + i];
      else d[n->in[0]][c * plane + i] += d[n->out][c] / (float)plane;
    }
    if (d == NULL) v[n->out][c] = sum / (float)plane;
  }
}

/* Data movement: y[e] is x[from], or nothing (padding). */
static void move(const qv_fgraph *g, const qv_fnode *n, float *const *v, float *const *d) {
  const qv_ftensor *y = &g->tensor[n->out];
  for (size_t e = 0, m = qv_felems(y); e < m; e++) {
    size_t rest = e, at = 0;
    uint32_t src = 0, i[QV_MAX_RANK] = {0}, j[QV_MAX_RANK] = {0};
    bool inside = true;
    for (uint32_t k = y->rank; k-- > 0; rest /= y->dim[k]) i[k] = (uint32_t)(rest % y->dim[k]);
    if (n->op == QF_CONCAT)
      while (i[n->axis] >= g->tensor[n->in[src]].dim[n->axis]) i[n->axis] -= g->tensor[n->in[src++]].dim[n->axis];
    const qv_ftensor *x = &g->tensor[n->in[src]];
    for (uint32_t k = 0; k < y->rank; k++) {
      if (n->op == QF_TRANSPOSE) j[n->perm[k]] = i[k];
      else if (n->op == QF_PAD) {
        inside = inside && i[k] >= n->pad[k] && i[k] - n->pad[k] < x->dim[k];
        j[k] = i[k] - n->pad[k];
      } else j[k] = i[k];
    }
    if (n->op == QF_RESHAPE) at = e;
    else
      for (uint32_t k = 0; k < x->rank; k++) at = at * x->dim[k] + j[k];
    if (d == NULL) v[n->out][e] = inside ? v[n->in[src]][at] : 0;
    else if (inside) d[n->in[src]][at] += d[n->out][e];
  }
}

static void node(const qv_fgraph *g, const qv_fnode *n, float *const *v, float *const *d) {
  switch (n->op) {
  case QF_CONV:
    if (d == NULL) conv(g, n, v);
    else conv_back(g, n, v, d);
    return;
  case QF_GEMM: gemm(g, n, v, d); return;
  case QF_CHANNEL: channel(g, n, v, d); return;
  case QF_ADD:
  case QF_MUL: binary(g, n, v, d); return;
  case QF_CLIP:
  case QF_LEAKY:
  case QF_SIGMOID:
  case QF_TANH: unary(g, n, v, d); return;
  case QF_SOFTMAX: softmax(g, n, v, d); return;
  case QF_MAXPOOL:
  case QF_AVGPOOL: pool(g, n, v, d); return;
  case QF_MEAN: mean(g, n, v, d); return;
  case QF_CONCAT:
  case QF_RESHAPE:
  case QF_TRANSPOSE:
  case QF_PAD: move(g, n, v, d); return;
  }
}

/* ---- the network ------------------------------------------------------------------------------------------------------------------- */

qv_status qv_fexec_init(qv_fexec *x, const qv_fgraph *g, qv_err *err) {
  *x = (qv_fexec){.g = g};
  x->v = QV_NEW(&x->arena, g->n_tensors, float *);
  if (x->v == NULL) return QV_FAIL(err, QV_E_NOMEM, "float execution");
  for (uint32_t t = 0; t < g->n_tensors; t++) {
    x->v[t] = g->tensor[t].data;
    if (x->v[t] == NULL && (x->v[t] = QV_NEW(&x->arena, qv_felems(&g->tensor[t]), float)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "float execution");
  }
  return QV_OK;
}

void qv_fexec_clear(qv_fexec *x) {
  qv_arena_clear(&x->arena);
  *x = (qv_fexec){0};
}

static void quantize(qv_fexec *x, uint32_t t) {
  const qv_fakeq *q = x->fake != NULL ? &x->fake[t] : NULL;
  if (q == NULL || !(q->s > 0)) return;
  for (size_t e = 0, n = qv_felems(&x->g->tensor[t]); e < n; e++) x->v[t][e] = qv_fake(q, x->v[t][e]);
}

void qv_fexec_run(qv_fexec *x, const float *in) {
  const qv_fgraph *g = x->g;
  memcpy(x->v[g->in], in, qv_felems(&g->tensor[g->in]) * sizeof *in);
  quantize(x, g->in);
  for (uint32_t k = 0; k < g->n_nodes; k++) {
    node(g, &g->node[k], x->v, NULL);
    quantize(x, g->node[k].out);
  }
}

qv_status qv_fexec_grads(qv_fexec *x, qv_err *err) {
  const qv_fgraph *g = x->g;
  x->grad = QV_NEW(&x->arena, g->n_tensors, float *);
  for (uint32_t t = 0; x->grad != NULL && t < g->n_tensors; t++)
    if ((x->grad[t] = QV_NEW(&x->arena, qv_felems(&g->tensor[t]), float)) == NULL) x->grad = NULL;
  return x->grad != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "float execution");
}

void qv_fexec_back(qv_fexec *x, const float *dout) {
  const qv_fgraph *g = x->g;
  for (uint32_t t = 0; t < g->n_tensors; t++) memset(x->grad[t], 0, qv_felems(&g->tensor[t]) * sizeof(float));
  memcpy(x->grad[g->out], dout, qv_felems(&g->tensor[g->out]) * sizeof *dout);
  for (uint32_t k = g->n_nodes; k-- > 0;) node(g, &g->node[k], x->v, x->grad);
}
