#include "quant/fgraph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/buf.h"

const char *qv_fop_name(qv_fop op) {
  switch (op) {
  case QF_CONV: return "Conv";
  case QF_GEMM: return "Gemm";
  case QF_CHANNEL: return "BatchNormalization";
  case QF_ADD: return "Add";
  case QF_MUL: return "Mul";
  case QF_CLIP: return "Clip";
  case QF_LEAKY: return "LeakyRelu";
  case QF_SIGMOID: return "Sigmoid";
  case QF_TANH: return "Tanh";
  case QF_SOFTMAX: return "Softmax";
  case QF_MAXPOOL: return "MaxPool";
  case QF_AVGPOOL: return "AveragePool";
  case QF_MEAN: return "GlobalAveragePool";
  case QF_CONCAT: return "Concat";
  case QF_RESHAPE: return "Reshape";
  case QF_TRANSPOSE: return "Transpose";
  case QF_PAD: return "Pad";
  }
  return "?";
}

size_t qv_felems(const qv_ftensor *t) {
  size_t n = 1;
  for (uint32_t d = 0; d < t->rank; d++) n *= t->dim[d];
  return n;
}

void qv_fgraph_free(qv_fgraph *g) {
  if (g == NULL) return;
  free(g->tensor);
  free(g->node);
  qv_arena_clear(&g->arena);
  free(g);
}

uint32_t qv_fgraph_uses(const qv_fgraph *g, uint32_t t) {
  uint32_t n = g->out == t;
  for (uint32_t k = 0; k < g->n_nodes; k++)
    for (uint32_t i = 0; i < g->node[k].n_in; i++) n += g->node[k].in[i] == t;
  return n;
}

qv_fnode *qv_fgraph_writer(const qv_fgraph *g, uint32_t t) {
  for (uint32_t k = 0; k < g->n_nodes; k++)
    if (g->node[k].out == t) return &g->node[k];
  return NULL;
}

uint32_t qv_fgraph_last_gemm(const qv_fgraph *g) {
  uint32_t t = g->out;
  for (;;) {
    const qv_fnode *w = qv_fgraph_uses(g, t) == 1 ? qv_fgraph_writer(g, t) : NULL;
    if (w == NULL || (w->op != QF_GEMM && w->op != QF_RESHAPE)) return QV_NONE;
    if (w->op == QF_GEMM) return t;
    t = w->in[0];
  }
}

/* ---- building --------------------------------------------------------------------------------------------------------------- */

static bool room(void **p, uint32_t *cap, uint32_t n, size_t size) {
  if (n < *cap) return true;
  uint32_t c = *cap == 0 ? 64 : 2 * *cap;
  void *q = realloc(*p, (size_t)c * size);
  if (q == NULL) return false;
  *p = q;
  *cap = c;
  return true;
}

uint32_t qv_fgraph_tensor(qv_fgraph *g, const char *name, uint32_t rank, const uint32_t *dim, float *data) {
  void *p = g->tensor;
  if (!room(&p, &g->cap_tensors, g->n_tensors, sizeof *g->tensor)) return QV_NONE;
  g->tensor = p;
  qv_ftensor t = {.rank = rank, .data = data};
  if ((t.name = qv_arena_str(&g->arena, name, strlen(name))) == NULL) return QV_NONE;
  if (rank > 0) memcpy(t.dim, dim, rank * sizeof *dim);
  g->tensor[g->n_tensors] = t;
  return g->n_tensors++;
}

/* Shape of the output; false: the operands do not fit together. */
static bool window_shape(const qv_fnode *n, const qv_ftensor *x, uint32_t oc, qv_ftensor *y) {
  if (x->rank != 4 || n->kh == 0 || n->kw == 0 || n->sh == 0 || n->sw == 0) return false;
  int64_t h = (int64_t)x->dim[2] + n->pt + n->pb - ((int64_t)n->kh - 1) * n->dh - 1;
  int64_t w = (int64_t)x->dim[3] + n->pl + n->pr - ((int64_t)n->kw - 1) * n->dw - 1;
  if (h < 0 || w < 0) return false;
  y->rank = 4;
  y->dim[0] = x->dim[0];
  y->dim[1] = oc;
  y->dim[2] = (uint32_t)(h / n->sh + 1);
  y->dim[3] = (uint32_t)(w / n->sw + 1);
  return true;
}

static bool broadcast(const qv_ftensor *a, const qv_ftensor *b, qv_ftensor *y) {
  y->rank = a->rank > b->rank ? a->rank : b->rank;
  for (uint32_t d = 0; d < y->rank; d++) {
    uint32_t p = d + a->rank >= y->rank ? a->dim[d + a->rank - y->rank] : 1, q = d + b->rank >= y->rank ? b->dim[d + b->rank - y->rank] : 1;
    if (p != q && p != 1 && q != 1) return false;
    y->dim[d] = p == 1 ? q : p;
  }
  return true;
}

static bool shape_of(const qv_fgraph *g, const qv_fnode *n, qv_ftensor *y) {
  const qv_ftensor *x = &g->tensor[n->in[0]], *b = n->n_in > 1 ? &g->tensor[n->in[1]] : NULL;
  *y = *x;
  y->data = NULL;
  switch (n->op) {
  case QF_CONV:
    return b != NULL && b->rank == 4 && x->rank == 4 && n->groups > 0 && b->dim[0] % n->groups == 0 && x->dim[1] == b->dim[1] * n->groups &&
           b->dim[2] == n->kh && b->dim[3] == n->kw && (n->n_in < 3 || qv_felems(&g->tensor[n->in[2]]) == b->dim[0]) &&
           window_shape(n, x, b->dim[0], y);
  case QF_GEMM:
    if (b == NULL || b->rank != 2 || x->rank != 2 || x->dim[1] != b->dim[1]) return false;
    y->dim[1] = b->dim[0];
    return n->n_in < 3 || qv_felems(&g->tensor[n->in[2]]) == b->dim[0];
  case QF_CHANNEL: return n->n_in == 3 && n->axis < x->rank && qv_felems(b) == x->dim[n->axis] && qv_felems(&g->tensor[n->in[2]]) == x->dim[n->axis];
  case QF_ADD:
  case QF_MUL: return b != NULL && broadcast(x, b, y);
  case QF_CLIP:
  case QF_LEAKY:
  case QF_SIGMOID:
  case QF_TANH: return true;
  case QF_SOFTMAX: return x->rank > 0;
  case QF_MAXPOOL:
  case QF_AVGPOOL: return x->rank == 4 && window_shape(n, x, x->dim[1], y);
  case QF_MEAN:
    if (x->rank != 4) return false;
    y->dim[2] = y->dim[3] = 1;
    return true;
  case QF_CONCAT:
    if (n->axis >= x->rank) return false;
    for (uint32_t i = 1; i < n->n_in; i++) {
      const qv_ftensor *t = &g->tensor[n->in[i]];
      if (t->rank != x->rank) return false;
      for (uint32_t d = 0; d < x->rank; d++)
        if (d != n->axis && t->dim[d] != x->dim[d]) return false;
      y->dim[n->axis] += t->dim[n->axis];
    }
    return true;
  case QF_RESHAPE: return false; /* the caller gives the shape */
  case QF_TRANSPOSE: {
    uint32_t seen = 0;
    for (uint32_t d = 0; d < x->rank; d++) {
      if (n->perm[d] >= x->rank || (seen >> n->perm[d] & 1) != 0) return false;
      seen |= 1u << n->perm[d];
      y->dim[d] = x->dim[n->perm[d]];
    }
    return true;
  }
  case QF_PAD:
    for (uint32_t d = 0; d < x->rank; d++) {
      uint64_t s = (uint64_t)x->dim[d] + n->pad[d] + n->pad[x->rank + d];
      if (s > UINT32_MAX) return false;
      y->dim[d] = (uint32_t)s;
    }
    return true;
  }
  return false;
}

uint32_t qv_fgraph_node(qv_fgraph *g, const qv_fnode *n, const char *out_name, qv_err *err) {
  qv_ftensor y;
  void *p = g->node;
  qv_fnode node = *n;
  if (n->op == QF_RESHAPE) {
    y = (qv_ftensor){.rank = n->axis}; /* new shape in perm[0..axis) */
    memcpy(y.dim, n->perm, n->axis * sizeof *n->perm);
    if (qv_felems(&y) != qv_felems(&g->tensor[n->in[0]])) {
      (void)QV_FAIL(err, QV_E_PARSE, "node \"%s\" (Reshape): the numbers of elements differ", n->name);
      return QV_NONE;
    }
  } else if (!shape_of(g, n, &y)) {
    (void)QV_FAIL(err, QV_E_UNSUP, "node \"%s\" (%s): the operands' shapes do not fit, or are not images of one sample", n->name, qv_fop_name(n->op));
    return QV_NONE;
  }
  if (qv_felems(&y) > QV_MAX_ELEMS || qv_felems(&y) == 0) {
    (void)QV_FAIL(err, QV_E_LIMIT, "node \"%s\" (%s): its result has no elements or too many", n->name, qv_fop_name(n->op));
    return QV_NONE;
  }
  uint32_t t = qv_fgraph_tensor(g, out_name, y.rank, y.dim, NULL);
  node.name = qv_arena_str(&g->arena, n->name, strlen(n->name));
  if (t == QV_NONE || node.name == NULL || !room(&p, &g->cap_nodes, g->n_nodes, sizeof *g->node)) {
    (void)QV_FAIL(err, QV_E_NOMEM, "float network");
    return QV_NONE;
  }
  g->node = p;
  node.out = t;
  g->node[g->n_nodes++] = node;
  return t;
}

/* ---- simplification ----------------------------------------------------------------------------------------------------------- */

static void rewire(qv_fgraph *g, uint32_t from, uint32_t to) {
  for (uint32_t k = 0; k < g->n_nodes; k++)
    for (uint32_t i = 0; i < g->node[k].n_in; i++)
      if (g->node[k].in[i] == from) g->node[k].in[i] = to;
  if (g->out == from) g->out = to;
}

static void drop(qv_fgraph *g, uint32_t k) {
  memmove(g->node + k, g->node + k + 1, (g->n_nodes - k - 1) * sizeof *g->node);
  g->n_nodes--;
}

/* Fresh constant of n floats, shape [n], or NULL. */
static float *new_const(qv_fgraph *g, const char *name, uint32_t n, uint32_t *tensor) {
  float *v = QV_NEW(&g->arena, n, float);
  if (v != NULL && (*tensor = qv_fgraph_tensor(g, name, 1, &n, v)) == QV_NONE) return NULL;
  return v;
}

/* The weights of f get a copy of their own, scaled: output o by s[o]; the bias becomes bias * s + t. */
static qv_status scale_outputs(qv_fgraph *g, qv_fnode *f, const float *s, const float *t, qv_err *err) {
  qv_ftensor w = g->tensor[f->in[1]];
  uint32_t oc = w.dim[0], wt, bt;
  size_t per = qv_felems(&w) / oc;
  float *nw = QV_NEW(&g->arena, per * oc, float), *nb = new_const(g, "bias", oc, &bt);
  if (nw == NULL || nb == NULL || (wt = qv_fgraph_tensor(g, w.name, w.rank, w.dim, nw)) == QV_NONE)
    return QV_FAIL(err, QV_E_NOMEM, "float network");
  for (uint32_t o = 0; o < oc; o++) {
    for (size_t i = 0; i < per; i++) nw[o * per + i] = (float)((double)w.data[o * per + i] * (double)s[o]);
    double b = f->n_in > 2 ? (double)g->tensor[f->in[2]].data[o] : 0;
    nb[o] = (float)(b * (double)s[o] + (double)t[o]);
  }
  f->in[1] = wt;
  f->in[2] = bt;
  f->n_in = 3;
  return QV_OK;
}

/* y = W (s*x + t) + b: only exact in real numbers where no padding adds zeros behind the shift. */
static qv_status scale_inputs(qv_fgraph *g, qv_fnode *f, const float *s, const float *t, qv_err *err) {
  qv_ftensor w = g->tensor[f->in[1]];
  uint32_t oc = w.dim[0], ic = w.dim[1], wt, bt;
  size_t taps = qv_felems(&w) / oc / ic;
  float *nw = QV_NEW(&g->arena, taps * oc * ic, float), *nb = new_const(g, "bias", oc, &bt);
  if (nw == NULL || nb == NULL || (wt = qv_fgraph_tensor(g, w.name, w.rank, w.dim, nw)) == QV_NONE)
    return QV_FAIL(err, QV_E_NOMEM, "float network");
  for (uint32_t o = 0; o < oc; o++) {
    double b = f->n_in > 2 ? (double)g->tensor[f->in[2]].data[o] : 0;
    uint32_t c0 = f->op == QF_CONV ? o / (oc / f->groups) * ic : 0;
    for (uint32_t c = 0; c < ic; c++)
      for (size_t k = 0; k < taps; k++) {
        size_t at = ((size_t)o * ic + c) * taps + k;
        b += (double)w.data[at] * (double)t[c0 + c];
        nw[at] = (float)((double)w.data[at] * (double)s[c0 + c]);
      }
    nb[o] = (float)b;
  }
  f->in[1] = wt;
  f->in[2] = bt;
  f->n_in = 3;
  return QV_OK;
}

static bool is_linear(const qv_fnode *n) { return n != NULL && (n->op == QF_CONV || n->op == QF_GEMM); }

static qv_fnode *only_reader(const qv_fgraph *g, uint32_t t) {
  if (qv_fgraph_uses(g, t) != 1) return NULL;
  for (uint32_t k = 0; k < g->n_nodes; k++)
    if (g->node[k].in[0] == t) return &g->node[k];
  return NULL;
}

/* CHANNEL n in front of a RESHAPE into one row: behind it, one value for every element. */
static qv_status swap_reshape(qv_fgraph *g, qv_fnode *n, qv_fnode *r, qv_err *err) {
  const qv_ftensor *x = &g->tensor[n->in[0]];
  size_t all = qv_felems(x), inner = 1;
  uint32_t s = QV_NONE, t = QV_NONE, mid = n->out, c = x->dim[n->axis];
  for (uint32_t d = n->axis + 1; d < x->rank; d++) inner *= x->dim[d];
  const float *os = g->tensor[n->in[1]].data, *ot = g->tensor[n->in[2]].data;
  float *ns = new_const(g, "scale", (uint32_t)all, &s), *nt = new_const(g, "shift", (uint32_t)all, &t);
  if (ns == NULL || nt == NULL) return QV_FAIL(err, QV_E_NOMEM, "float network");
  for (size_t e = 0; e < all; e++) ns[e] = os[e / inner % c], nt[e] = ot[e / inner % c];
  qv_fnode channel = *n;
  qv_ftensor flat = g->tensor[r->out];
  uint32_t out = r->out;
  *n = *r; /* the reshape first: it writes what was between the two */
  n->in[0] = channel.in[0];
  n->out = mid;
  g->tensor[mid].rank = flat.rank;
  memcpy(g->tensor[mid].dim, flat.dim, sizeof flat.dim);
  *r = channel;
  r->in[0] = mid;
  r->in[1] = s;
  r->in[2] = t;
  r->out = out;
  r->axis = flat.rank - 1;
  return QV_OK;
}

static bool into_one_row(const qv_fgraph *g, const qv_fnode *r) {
  if (r == NULL || r->op != QF_RESHAPE) return false;
  const qv_ftensor *y = &g->tensor[r->out];
  return y->rank > 0 && y->dim[y->rank - 1] == qv_felems(y);
}

/* Dimension of RESHAPE or TRANSPOSE p's operand along which elements run as along `axis` of its result; QV_NONE: none. */
static uint32_t axis_before(const qv_fgraph *g, const qv_fnode *p, uint32_t axis) {
  const qv_ftensor *x = &g->tensor[p->in[0]], *y = &g->tensor[p->out];
  size_t want = 1, inner = 1;
  if (p->op == QF_TRANSPOSE) return p->perm[axis];
  for (uint32_t d = axis + 1; d < y->rank; d++) want *= y->dim[d];
  for (uint32_t d = x->rank; d-- > 0; inner *= x->dim[d])
    if (inner == want && x->dim[d] == y->dim[axis]) return d;
  return QV_NONE;
}

/* CHANNEL n behind movement p that it alone reads, with a CONV or GEMM further back that could take it over: does it go in front of p? */
static bool linear_behind(const qv_fgraph *g, const qv_fnode *n, const qv_fnode *p) {
  uint32_t axis = n->axis, t = n->in[0];
  while (p != NULL && (p->op == QF_RESHAPE || p->op == QF_TRANSPOSE) && qv_fgraph_uses(g, t) == 1) {
    if ((axis = axis_before(g, p, axis)) == QV_NONE) return false;
    t = p->in[0];
    p = qv_fgraph_writer(g, t);
  }
  return t != n->in[0] && is_linear(p) && qv_fgraph_uses(g, t) == 1 && axis == (p->op == QF_CONV ? 1 : g->tensor[t].rank - 1);
}

/* The two change places. */
static qv_status swap_back(qv_fgraph *g, qv_fnode *n, qv_fnode *p, qv_err *err) {
  qv_fnode channel = *n, move = *p;
  const qv_ftensor x = g->tensor[p->in[0]];
  uint32_t mid = qv_fgraph_tensor(g, g->tensor[p->out].name, x.rank, x.dim, NULL);
  if (mid == QV_NONE) return QV_FAIL(err, QV_E_NOMEM, "float network");
  channel.axis = axis_before(g, p, n->axis);
  channel.in[0] = move.in[0];
  channel.out = move.in[0] = mid;
  move.out = n->out;
  *p = channel;
  *n = move;
  return QV_OK;
}

/* CHANNEL node k: into its producer, its consumer, past data movement, or a convolution of its own. */
static qv_status fold_channel(qv_fgraph *g, uint32_t k, qv_err *err) {
  qv_fnode *n = &g->node[k], *p = qv_fgraph_writer(g, n->in[0]), *r = only_reader(g, n->out);
  const float *s = g->tensor[n->in[1]].data, *t = g->tensor[n->in[2]].data;
  const qv_ftensor *x = &g->tensor[n->in[0]];
  uint32_t from = n->out, to = n->in[0], c = x->dim[n->axis];
  if (is_linear(p) && qv_fgraph_uses(g, n->in[0]) == 1 && n->axis == (p->op == QF_CONV ? 1 : x->rank - 1)) {
    qv_status st = scale_outputs(g, p, s, t, err);
    if (st != QV_OK) return st;
  } else if (is_linear(r) && n->axis == (r->op == QF_CONV ? 1 : x->rank - 1) && (r->pt | r->pl | r->pb | r->pr) == 0) {
    qv_status st = scale_inputs(g, r, s, t, err);
    if (st != QV_OK) return st;
  } else if (linear_behind(g, n, p)) {
    return swap_back(g, n, p, err);
  } else if (into_one_row(g, r)) {
    return swap_reshape(g, n, r, err);
  } else if (x->rank == 4 && n->axis == 1) {
    uint32_t wd[4] = {c, 1, 1, 1}, wt = qv_fgraph_tensor(g, g->tensor[n->in[1]].name, 4, wd, g->tensor[n->in[1]].data);
    if (wt == QV_NONE) return QV_FAIL(err, QV_E_NOMEM, "float network");
    n->op = QF_CONV;
    n->in[1] = wt;
    n->kh = n->kw = n->sh = n->sw = n->dh = n->dw = 1;
    n->groups = c;
    return QV_OK;
  } else {
    return QV_FAIL(err, QV_E_UNSUP, "node \"%s\": a scale and shift by channel that no Conv or Gemm next to it can take over", n->name);
  }
  drop(g, k);
  rewire(g, from, to);
  return QV_OK;
}

static bool no_effect(const qv_fgraph *g, const qv_fnode *n) {
  const qv_ftensor *x = &g->tensor[n->in[0]], *y = &g->tensor[n->out];
  if (n->op == QF_RESHAPE) return x->rank == y->rank && memcmp(x->dim, y->dim, x->rank * sizeof *x->dim) == 0;
  if (n->op == QF_CLIP) return !(n->lo > -INFINITY) && !(n->hi < INFINITY);
  if (n->op == QF_TRANSPOSE)
    for (uint32_t d = 0; d < x->rank; d++)
      if (n->perm[d] != d) return false;
  if (n->op == QF_PAD)
    for (uint32_t d = 0; d < 2 * x->rank; d++)
      if (n->pad[d] != 0) return false;
  return n->op == QF_TRANSPOSE || n->op == QF_PAD || (n->op == QF_CONCAT && n->n_in == 1);
}

/* A TRANSPOSE that moves no two dimensions of size above 1 past each other is a reshape: the elements keep their order. */
static bool keeps_order(const qv_fgraph *g, const qv_fnode *n) {
  const qv_ftensor *x = &g->tensor[n->in[0]];
  uint32_t last = 0;
  for (uint32_t d = 0; d < x->rank; d++) {
    if (x->dim[n->perm[d]] == 1) continue;
    if (n->perm[d] < last) return false;
    last = n->perm[d];
  }
  return true;
}

static void drop_unread(qv_fgraph *g) {
  for (uint32_t k = g->n_nodes; k-- > 0;)
    if (qv_fgraph_uses(g, g->node[k].out) == 0) drop(g, k);
}

static void simplify_moves(qv_fgraph *g) {
  for (uint32_t k = 0; k < g->n_nodes;) {
    qv_fnode *n = &g->node[k], *p = qv_fgraph_writer(g, n->in[0]);
    if (n->op == QF_TRANSPOSE && p != NULL && p->op == QF_TRANSPOSE) {
      for (uint32_t d = 0; d < g->tensor[n->out].rank; d++) n->perm[d] = p->perm[n->perm[d]];
      n->in[0] = p->in[0];
    }
    if (n->op == QF_TRANSPOSE && keeps_order(g, n)) n->op = QF_RESHAPE;
    if (n->op == QF_RESHAPE && p != NULL && p->op == QF_RESHAPE) n->in[0] = p->in[0];
    if (!no_effect(g, n)) {
      k++;
      continue;
    }
    uint32_t from = n->out, to = n->in[0];
    drop(g, k);
    rewire(g, from, to);
  }
  drop_unread(g);
}

qv_status qv_fgraph_simplify(qv_fgraph *g, qv_err *err) {
  simplify_moves(g);
  for (uint32_t k = 0; k < g->n_nodes;) {
    if (g->node[k].op != QF_CHANNEL) {
      k++;
      continue;
    }
    qv_status st = fold_channel(g, k, err);
    if (st != QV_OK) return st;
    k = 0; /* it may have moved */
  }
  simplify_moves(g); /* a CHANNEL between two of them may have gone */
  return QV_OK;
}

static qv_status check_constants(const qv_fgraph *g, qv_err *err) {
  for (uint32_t t = 0; t < g->n_tensors; t++)
    for (size_t e = 0, n = g->tensor[t].data != NULL ? qv_felems(&g->tensor[t]) : 0; e < n; e++)
      if (!(fabsf(g->tensor[t].data[e]) <= QF_MAX))
        return QV_FAIL(err, QV_E_UNSUP, "constant \"%s\": element %zu is above 2^60 or not a number", g->tensor[t].name, e);
  return QV_OK;
}

qv_status qv_fgraph_read(qv_fgraph **out, const void *data, size_t n, const char *name, qv_err *err) {
  return qv_fgraph_read_in(out, data, n, name, NULL, err);
}

qv_status qv_fgraph_read_in(qv_fgraph **out, const void *data, size_t n, const char *name, const char *dir, qv_err *err) {
  qv_fgraph *g = calloc(1, sizeof *g);
  if (g == NULL) return QV_FAIL(err, QV_E_NOMEM, "float network");
  bool tflite = n >= 8 && memcmp((const unsigned char *)data + 4, "TFL3", 4) == 0;
  qv_sha256_hex(g->sha256, data, n);
  qv_status st = tflite ? qv_fgraph_tflite(g, data, n, name, err) : qv_fgraph_onnx(g, data, n, name, dir, err);
  if (st == QV_OK) st = qv_fgraph_simplify(g, err);
  if (st == QV_OK) st = check_constants(g, err);
  if (st == QV_OK && g->n_nodes == 0) st = QV_FAIL(err, QV_E_UNSUP, "%s: a network without operators", name);
  if (st != QV_OK) {
    qv_fgraph_free(g);
    return st;
  }
  *out = g;
  return QV_OK;
}
