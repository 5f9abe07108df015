#include "analysis/robust_graph.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/overflow.h"
#include "ir/index.h"
#include "kernels/step.h"
#include "kernels/threshold.h"

#define GAP 8       /* so many zero weights are stored rather than ending a segment: long loops are fast */
#define GROUP_VARS ((size_t)1 << 22) /* beyond, groups are not noted */
#define LEVELS 4096 /* output values of a step whose thresholds are stored */

/* Terms of the row being built; constants are folded into b, a variable that occurs twice is merged. */
typedef struct {
  uint32_t *var;
  int64_t *w, *pos; /* sum of the terms, and of the positive ones alone */
  uint32_t n;
  int64_t b;
  uint32_t *at; /* [variables] position + 1 in var */
  size_t cap, cap_at;
} row;

typedef struct {
  qv_graph *g;
  const qv_net *net;
  qv_range_result whole;
  bool *exact;    /* [n_nodes] the accumulator equals its exact sum */
  uint32_t *uses; /* [n_tensors] readers, outputs counted */
  uint32_t *fuse; /* [n_tensors] function node that takes over this tensor's rows, or QV_NONE */
  row r;
  double deadline; /* qv_clock, 0 = none */
  qv_err *err;
} builder;

static bool grow(void **p, size_t *cap, size_t need, size_t size) {
  if (need <= *cap) return true;
  size_t now = *cap == 0 ? 256 : *cap;
  while (now < need) now *= 2;
  void *q = realloc(*p, now * size);
  if (q == NULL) return false;
  *p = q;
  *cap = now;
  return true;
}

/* ---- rows ------------------------------------------------------------------------------------------------------------- */

static qv_status row_start(builder *b, size_t terms) {
  row *r = &b->r;
  for (uint32_t i = 0; i < r->n; i++) r->at[r->var[i]] = 0;
  r->n = 0;
  r->b = 0;
  if (terms > r->cap) {
    uint32_t *v = realloc(r->var, terms * sizeof *v);
    if (v != NULL) r->var = v;
    int64_t *w = realloc(r->w, terms * sizeof *w);
    if (w != NULL) r->w = w;
    int64_t *pos = realloc(r->pos, terms * sizeof *pos);
    if (pos != NULL) r->pos = pos;
    if (v == NULL || w == NULL || pos == NULL) return QV_FAIL(b->err, QV_E_NOMEM, "robustness graph");
    r->cap = terms;
  }
  if (b->g->n > r->cap_at) {
    size_t cap = 2 * (size_t)b->g->n;
    uint32_t *a = realloc(r->at, cap * sizeof *a);
    if (a == NULL) return QV_FAIL(b->err, QV_E_NOMEM, "robustness graph");
    memset(a + r->cap_at, 0, (cap - r->cap_at) * sizeof *a);
    r->at = a;
    r->cap_at = cap;
  }
  return QV_OK;
}

/* No overflow: qv_ir_check bounds every partial sum by 2^62. */
static void row_add(builder *b, qv_element e, int64_t w) {
  row *r = &b->r;
  if (w == 0) return;
  if (e.var == QV_NONE) {
    r->b += w * e.c;
  } else if (r->at[e.var] != 0) {
    r->w[r->at[e.var] - 1] += w;
    r->pos[r->at[e.var] - 1] += w > 0 ? w : 0;
  } else {
    r->var[r->n] = e.var;
    r->pos[r->n] = w > 0 ? w : 0;
    r->w[r->n++] = w;
    r->at[e.var] = r->n;
  }
}

static bool row_fits(const row *r) {
  for (uint32_t i = 0; i < r->n; i++)
    if (r->w[i] > INT32_MAX || r->w[i] < -INT32_MAX) return false;
  return true;
}

static qv_status new_unit(builder *b, qv_unit u, uint32_t *var) {
  qv_graph *g = b->g;
  if (g->n == QV_NONE - 1) return QV_FAIL(b->err, QV_E_LIMIT, "robustness graph: too many units");
  void *p = g->unit;
  if (!grow(&p, &g->cap_unit, (size_t)g->n + 1, sizeof *g->unit)) return QV_FAIL(b->err, QV_E_NOMEM, "robustness graph");
  g->unit = p;
  if (u.fn == QV_UNIT_FREE) g->any_free = true;
  *var = g->n;
  g->unit[g->n++] = u;
  return QV_OK;
}

static int by_var(const void *p, const void *q) {
  uint32_t a = *(const uint32_t *)p, b = *(const uint32_t *)q;
  return (a > b) - (a < b);
}

/* A unit with function fn over the row built last. */
static qv_status row_unit(builder *b, qv_unit u, uint32_t *var) {
  qv_graph *g = b->g;
  row *r = &b->r;
  if (!row_fits(r)) {
    u.fn = QV_UNIT_FREE;
    u.arg = u.src = QV_NONE;
    return new_unit(b, u, var);
  }
  u.loss = (uint32_t)g->n_loss;
  for (uint32_t i = 0; i < r->n; i++) {
    int64_t c = qv_min64(r->pos[i], r->pos[i] - r->w[i]);
    if (c == 0) continue;
    void *pl = g->loss;
    if (!grow(&pl, &g->cap_loss, g->n_loss + 1, sizeof *g->loss)) return QV_FAIL(b->err, QV_E_NOMEM, "robustness graph");
    g->loss = pl;
    g->loss[g->n_loss++] = (qv_loss){r->var[i], c};
  }
  u.n_loss = (uint32_t)g->n_loss - u.loss;
  /* ascending variables make long segments; `at` keeps each variable's weight through the sort */
  bool sorted = true;
  for (uint32_t i = 1; sorted && i < r->n; i++) sorted = r->var[i - 1] < r->var[i];
  if (!sorted) {
    int64_t *w = malloc(r->n * sizeof *w);
    if (w == NULL) return QV_FAIL(b->err, QV_E_NOMEM, "robustness graph");
    memcpy(w, r->w, r->n * sizeof *w);
    qsort(r->var, r->n, sizeof *r->var, by_var);
    for (uint32_t i = 0; i < r->n; i++) r->w[i] = w[r->at[r->var[i]] - 1];
    free(w);
    for (uint32_t i = 0; i < r->n; i++) r->at[r->var[i]] = i + 1;
  }
  void *ps = g->seg;
  size_t room = (size_t)r->n * (GAP + 1);
  if (g->n_w + r->n > QV_GRAPH_TERMS) return QV_FAIL(b->err, QV_E_LIMIT, "robustness graph: more than 2^25 terms");
  bool ok = grow(&ps, &g->cap_seg, g->n_seg + r->n, sizeof *g->seg);
  g->seg = ps;
  if (ok && g->n_w + room > g->cap_w) {
    size_t cap = 2 * (g->n_w + room);
    int32_t *w = realloc(g->w, cap * sizeof *w);
    if (w != NULL) g->w = w;
    float *wf = realloc(g->wf, cap * sizeof *wf);
    if (wf != NULL) g->wf = wf;
    ok = w != NULL && wf != NULL;
    if (ok) g->cap_w = cap;
  }
  if (!ok) return QV_FAIL(b->err, QV_E_NOMEM, "robustness graph");
  u.b = r->b;
  u.seg = (uint32_t)g->n_seg;
  for (uint32_t i = 0; i < r->n; i++) {
    qv_segment *last = g->n_seg > u.seg ? &g->seg[g->n_seg - 1] : NULL;
    uint32_t end = last != NULL ? last->var + last->len : 0;
    if (last != NULL && r->var[i] - end <= GAP && (r->var[i] < g->n_in || last->var >= g->n_in)) {
      for (; end < r->var[i]; end++) { /* zeros over the gap */
        g->w[g->n_w] = 0;
        g->wf[g->n_w++] = 0;
      }
      last->len = end - last->var + 1;
    } else {
      g->seg[g->n_seg++] = (qv_segment){r->var[i], 1, (uint32_t)g->n_w};
    }
    g->w[g->n_w] = (int32_t)r->w[i];
    g->wf[g->n_w++] = (float)r->w[i];
    double m = (double)(r->w[i] < 0 ? -r->w[i] : r->w[i]);
    if (m > u.w_max) u.w_max = m;
  }
  u.n_seg = (uint32_t)g->n_seg - u.seg;
  return new_unit(b, u, var);
}

/* The row of element e of an affine or sum node. */
static qv_status affine_row(builder *b, const qv_node *n, size_t e) {
  const qv_affine *f = &n->u.affine;
  const qv_window *g = &f->win;
  const qv_element *in = b->g->element[n->in[0]];
  uint32_t o = (uint32_t)(e % g->oc), ox = (uint32_t)(e / g->oc % g->ow), oy = (uint32_t)(e / g->oc / g->ow % g->oh);
  size_t image = e / g->oc / g->ow / g->oh;
  uint32_t gic = g->ic / g->groups, c0 = o / (g->oc / g->groups) * gic;
  int64_t wz = f->w_zp[f->n_w_zp == 1 ? 0 : o];
  const int32_t *w = f->w + (size_t)o * g->kh * g->kw * gic;
  qv_status st = row_start(b, (size_t)g->kh * g->kw * gic);
  if (st != QV_OK) return st;
  int64_t sum = 0;
  for (uint32_t ky = 0; ky < g->kh; ky++)
    for (uint32_t kx = 0; kx < g->kw; kx++, w += gic) {
      size_t at;
      if (!qv_window_tap(&at, g, image, oy, ox, ky, kx)) continue;
      const qv_element *x = in + at + c0;
      for (uint32_t c = 0; c < gic; c++) {
        row_add(b, x[c], w[c] - wz);
        sum += w[c] - wz;
      }
    }
  b->r.b += f->b[o] - f->x_zp * sum;
  return QV_OK;
}

static qv_status any_row(builder *b, const qv_node *n, size_t e) {
  if (n->kind == QV_AFFINE) return affine_row(b, n, e);
  qv_status st = row_start(b, n->n_in);
  for (uint32_t k = 0; st == QV_OK && k < n->n_in; k++) {
    row_add(b, b->g->element[n->in[k]][e], n->u.sum.c[k]);
    b->r.b -= n->u.sum.c[k] * n->u.sum.z[k];
  }
  return st;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------------ */

static bool is_function(qv_kind k) { return k == QV_STEP || k == QV_TABLE || k == QV_THRESHOLD || k == QV_CLAMP; }

static qv_unit_fn function_of(qv_kind k) {
  return k == QV_STEP ? QV_UNIT_STEP : k == QV_TABLE ? QV_UNIT_TABLE : k == QV_THRESHOLD ? QV_UNIT_THRESHOLD : QV_UNIT_CLAMP;
}

/* The units first..first+n-1 of position e (an element of src's output) of one channel group. */
static qv_status add_group(builder *b, const qv_node *src, size_t e, uint32_t first, uint32_t n) {
  qv_graph *g = b->g;
  const qv_window *win = &src->u.affine.win;
  uint32_t o = (uint32_t)(e % win->oc), ox = (uint32_t)(e / win->oc % win->ow), oy = (uint32_t)(e / win->oc / win->ow % win->oh);
  uint32_t gic = win->ic / win->groups, c0 = o / (win->oc / win->groups) * gic, taps = 0;
  qv_status st = row_start(b, (size_t)win->kh * win->kw * gic);
  if (st != QV_OK) return st;
  for (uint32_t ky = 0; ky < win->kh; ky++)
    for (uint32_t kx = 0; kx < win->kw; kx++) {
      size_t at;
      if (!qv_window_tap(&at, win, e / win->oc / win->ow / win->oh, oy, ox, ky, kx)) continue;
      for (uint32_t c = 0; c < gic; c++) {
        const qv_element *x = &g->element[src->in[0]][at + c0 + c];
        row_add(b, *x, 1);
        taps += x->var != QV_NONE;
      }
    }
  for (uint32_t v = first; v < first + n; v++)
    if (g->unit[v].fn == QV_UNIT_FREE || g->unit[v].fn == QV_UNIT_ID) return QV_OK;
  if (taps != b->r.n || taps == 0) return QV_OK;
  if (g->n_group_var + taps > GROUP_VARS) return QV_OK;
  void *pg = g->group, *pv = g->group_var;
  bool ok = grow(&pg, &g->cap_group, g->n_group + 1, sizeof *g->group);
  g->group = pg;
  ok = ok && grow(&pv, &g->cap_group_var, g->n_group_var + taps, sizeof *g->group_var);
  g->group_var = pv;
  if (!ok) return QV_FAIL(b->err, QV_E_NOMEM, "robustness graph");
  g->group[g->n_group++] = (qv_channels){first, n, (uint32_t)g->n_group_var, taps};
  memcpy(g->group_var + g->n_group_var, b->r.var, taps * sizeof *b->r.var);
  g->n_group_var += taps;
  return QV_OK;
}

/* Elements of a node's output, as units: rows of `src` (the node itself, or the affine or sum node in front of it). */
static qv_status add_units(builder *b, uint32_t k, const qv_node *src) {
  const qv_node *n = &b->net->node[k];
  qv_element *out = b->g->element[n->out];
  for (size_t e = 0, m = qv_elems(&b->net->tensor[n->out]); e < m; e++) {
    qv_unit u = {.node = k, .tensor = n->out, .el = (uint32_t)e, .arg = QV_NONE, .src = src != NULL ? src->out : QV_NONE};
    qv_status st = QV_OK;
    if (e % 64 == 0 && b->deadline > 0 && qv_clock() > b->deadline) return QV_FAIL(b->err, QV_E_LIMIT, "time limit");
    if (src == NULL) u.arg = b->g->element[n->in[0]][e].var;
    u.fn = is_function(n->kind) ? function_of(n->kind) : QV_UNIT_ID;
    if (n->kind == QV_STEP) u.channel = qv_step_channel(&n->u.step, e);
    if (n->kind == QV_THRESHOLD) u.channel = qv_threshold_channel(&n->u.threshold, e);
    if (src != NULL) st = any_row(b, src, e);
    else if ((st = row_start(b, 1)) == QV_OK) row_add(b, b->g->element[n->in[0]][e], 1);
    uint32_t var;
    if (st == QV_OK) st = row_unit(b, u, &var);
    if (st != QV_OK) return st;
    out[e] = (qv_element){var, 0};
  }
  if (src == NULL || src->kind != QV_AFFINE) return QV_OK;
  uint32_t per = src->u.affine.win.oc / src->u.affine.win.groups;
  qv_status st = QV_OK;
  for (size_t e = 0, m = qv_elems(&b->net->tensor[n->out]); st == QV_OK && e < m; e += per) st = add_group(b, src, e, out[e].var, per);
  return st;
}

static qv_status add_free(builder *b, uint32_t k) {
  const qv_node *n = &b->net->node[k];
  for (size_t e = 0, m = qv_elems(&b->net->tensor[n->out]); e < m; e++) {
    uint32_t var;
    qv_status st =
        new_unit(b, (qv_unit){.fn = QV_UNIT_FREE, .node = k, .tensor = n->out, .el = (uint32_t)e, .arg = QV_NONE, .src = QV_NONE}, &var);
    if (st != QV_OK) return st;
    b->g->element[n->out][e] = (qv_element){var, 0};
  }
  return QV_OK;
}

/* Taps of an element of a maximum or product: where they stand in the inputs, and their places in certificates. */
typedef struct {
  uint32_t n;
  struct {
    uint32_t tensor;
    size_t at;
    uint64_t pos;
  } *tap; /* [n] */
} taps;

static void find_taps(taps *t, const qv_node *n, size_t e) {
  t->n = 0;
  if (n->kind == QV_PRODUCT) {
    for (uint32_t k = 0; k < 2; k++, t->n++) {
      t->tap[k].tensor = n->in[k];
      t->tap[k].at = e;
      t->tap[k].pos = 2 * (uint64_t)e + k;
    }
    return;
  }
  const qv_window *g = &n->u.max;
  uint32_t c = (uint32_t)(e % g->oc), ox = (uint32_t)(e / g->oc % g->ow), oy = (uint32_t)(e / g->oc / g->ow % g->oh);
  for (uint32_t ky = 0; ky < g->kh; ky++)
    for (uint32_t kx = 0; kx < g->kw; kx++) {
      size_t at;
      if (!qv_window_tap(&at, g, e / g->oc / g->ow / g->oh, oy, ox, ky, kx)) continue;
      t->tap[t->n].tensor = n->in[0];
      t->tap[t->n].at = at + c;
      t->tap[t->n++].pos = (uint64_t)e * g->kh * g->kw + ky * g->kw + kx;
    }
}

/* One element of a maximum or exact product. Where a tap is a constant the unit is free: that is rare. */
static qv_status add_of_taps(builder *b, uint32_t k, size_t e, taps *t, uint32_t *var) {
  const qv_node *n = &b->net->node[k];
  qv_unit u = {.node = k, .tensor = n->out, .el = (uint32_t)e, .arg = QV_NONE, .src = QV_NONE};
  qv_status st = QV_OK;
  bool variable = true;
  find_taps(t, n, e);
  for (uint32_t i = 0; i < t->n; i++) variable &= b->g->element[t->tap[i].tensor][t->tap[i].at].var != QV_NONE;
  if (!variable || t->n == 0) return new_unit(b, u, var);
  uint32_t owner = b->g->n + t->n;
  for (uint32_t i = 0; i < t->n; i++) {
    qv_element x = b->g->element[t->tap[i].tensor][t->tap[i].at];
    qv_unit tap = {.fn = QV_UNIT_TAP,
                   .node = k,
                   .tensor = t->tap[i].tensor,
                   .el = (uint32_t)t->tap[i].at,
                   .arg = x.var,
                   .src = QV_NONE,
                   .owner = owner,
                   .pos = t->tap[i].pos};
    if ((st = row_start(b, 1)) != QV_OK) return st;
    row_add(b, x, 1);
    if ((st = row_unit(b, tap, var)) != QV_OK) return st;
  }
  u.fn = n->kind == QV_MAX ? QV_UNIT_MAX : QV_UNIT_PRODUCT;
  u.n_tap = t->n;
  if ((st = row_start(b, t->n)) != QV_OK) return st;
  for (uint32_t i = 0; i < t->n; i++) row_add(b, (qv_element){owner - t->n + i, 0}, 1);
  return row_unit(b, u, var);
}

static qv_status add_all_of_taps(builder *b, uint32_t k) {
  const qv_node *n = &b->net->node[k];
  size_t most = n->kind == QV_MAX ? (size_t)n->u.max.kh * n->u.max.kw : 2;
  taps t = {.tap = calloc(most, sizeof *t.tap)};
  qv_status st = t.tap != NULL ? QV_OK : QV_FAIL(b->err, QV_E_NOMEM, "robustness graph");
  for (size_t e = 0, m = qv_elems(&b->net->tensor[n->out]); st == QV_OK && e < m; e++) {
    uint32_t var;
    st = add_of_taps(b, k, e, &t, &var);
    if (st == QV_OK) b->g->element[n->out][e] = (qv_element){var, 0};
  }
  free(t.tap);
  return st;
}

static qv_status add_index(builder *b, const qv_node *n) {
  size_t m = qv_elems(&b->net->tensor[n->out]);
  qv_index_src *map = malloc((m > 0 ? m : 1) * sizeof *map);
  if (map == NULL) return QV_FAIL(b->err, QV_E_NOMEM, "robustness graph");
  qv_index_map(map, b->net, n);
  for (size_t e = 0; e < m; e++)
    b->g->element[n->out][e] = map[e].src == QV_NONE ? (qv_element){QV_NONE, map[e].off} : b->g->element[n->in[map[e].src]][map[e].off];
  free(map);
  return QV_OK;
}

static const qv_node *producer(const builder *b, uint32_t tensor) {
  for (uint32_t k = 0; k < b->net->n_nodes; k++)
    if (b->net->node[k].out == tensor) return &b->net->node[k];
  return NULL;
}

static qv_status add_node(builder *b, uint32_t k) {
  const qv_node *n = &b->net->node[k];
  if (b->fuse[n->out] != QV_NONE) return QV_OK; /* its rows belong to the one node that reads it */
  size_t m = qv_elems(&b->net->tensor[n->out]);
  b->g->element[n->out] = QV_NEW(&b->g->arena, m, qv_element);
  if (b->g->element[n->out] == NULL) return QV_FAIL(b->err, QV_E_NOMEM, "robustness graph");
  switch (n->kind) {
  case QV_AFFINE:
  case QV_SUM: return b->exact[k] ? add_units(b, k, n) : add_free(b, k);
  case QV_STEP:
  case QV_TABLE:
  case QV_THRESHOLD:
  case QV_CLAMP: return add_units(b, k, b->fuse[n->in[0]] == k ? producer(b, n->in[0]) : NULL);
  case QV_INDEX: return add_index(b, n);
  case QV_PRODUCT: return b->exact[k] ? add_all_of_taps(b, k) : add_free(b, k);
  case QV_MAX: return add_all_of_taps(b, k);
  case QV_WRAP:
  case QV_TAIL:
  case QV_OPAQUE:
  case QV_KINDS: break;
  }
  return add_free(b, k);
}

/* An exact affine or sum node read by one function and nobody else becomes the row of that function's units. */
static void find_fusions(builder *b) {
  const qv_net *net = b->net;
  for (uint32_t i = 0; i < net->n_out; i++) b->uses[net->out[i].tensor]++;
  for (uint32_t k = 0; k < net->n_nodes; k++)
    for (uint32_t i = 0; i < net->node[k].n_in; i++) b->uses[net->node[k].in[i]]++;
  for (uint32_t t = 0; t < net->n_tensors; t++) b->fuse[t] = QV_NONE;
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    const qv_node *n = &net->node[k];
    if ((n->kind != QV_AFFINE && n->kind != QV_SUM) || !b->exact[k] || b->uses[n->out] != 1) continue;
    for (uint32_t j = k + 1; j < net->n_nodes; j++)
      if (is_function(net->node[j].kind) && net->node[j].in[0] == n->out) b->fuse[n->out] = j;
  }
}

/* Wider sums are no rows in certificates (docs/certificate.md section 7.2). */
static bool narrow(qv_itv a) { return a.lo >= -((int64_t)1 << 61) && a.hi <= (int64_t)1 << 61; }

static qv_status find_exact(builder *b) {
  qv_status st = qv_range_run(&b->whole, b->net, NULL, b->err);
  for (uint32_t i = 0; st == QV_OK && i < b->whole.n_acc; i++) {
    const qv_acc_bound *a = &b->whole.acc[i];
    const qv_acc *acc = qv_node_acc(&b->net->node[a->node]);
    bool ok = true;
    for (uint32_t c = 0; ok && c < a->n; c++) ok = qv_acc_harmless(acc, acc->bits, a, c) && narrow(a->any[c]);
    b->exact[a->node] = ok;
  }
  return st;
}

static qv_status add_leaves(builder *b) {
  qv_graph *g = b->g;
  const qv_net *net = b->net;
  for (uint32_t t = 0; t < net->n_tensors; t++) {
    if (net->tensor[t].data == NULL) continue;
    size_t m = qv_elems(&net->tensor[t]);
    if ((g->element[t] = QV_NEW(&g->arena, m, qv_element)) == NULL) return QV_FAIL(b->err, QV_E_NOMEM, "robustness graph");
    for (size_t e = 0; e < m; e++) g->element[t][e] = (qv_element){QV_NONE, net->tensor[t].data[e]};
  }
  for (uint32_t i = 0; i < net->n_in; i++) {
    uint32_t t = net->in[i].tensor;
    size_t m = qv_elems(&net->tensor[t]);
    g->in_first[i] = g->n;
    if ((g->element[t] = QV_NEW(&g->arena, m, qv_element)) == NULL) return QV_FAIL(b->err, QV_E_NOMEM, "robustness graph");
    for (size_t e = 0; e < m; e++) {
      qv_status st =
          new_unit(b, (qv_unit){.fn = QV_UNIT_ID, .node = QV_NONE, .tensor = t, .el = (uint32_t)e, .arg = QV_NONE, .src = QV_NONE},
                   &g->element[t][e].var);
      if (st != QV_OK) return st;
    }
  }
  g->n_in = g->n;
  return QV_OK;
}

/* ---- thresholds of steps ------------------------------------------------------------------------------------------------ */

static bool decreasing(const qv_rq_par *p) { return (p->fn == QV_RQ_D || p->fn == QV_RQ_S) && p->m < 0; }

static qv_status add_levels(builder *b, uint32_t k) {
  const qv_net *net = b->net;
  const qv_step *s = &net->node[k].u.step;
  const qv_tensor *x = &net->tensor[net->node[k].in[0]], *y = &net->tensor[net->node[k].out];
  qv_itv dom = {x->lo, x->hi};
  qv_thresholds *l = b->g->level[k] = QV_NEW(&b->g->arena, s->n_par, qv_thresholds);
  if (l == NULL) return QV_FAIL(b->err, QV_E_NOMEM, "robustness graph");
  for (uint32_t c = 0; c < s->n_par; c++) {
    if (decreasing(&s->par[c]) || y->hi - y->lo >= LEVELS) continue;
    l[c].lo = y->lo;
    l[c].n = (uint32_t)(y->hi - y->lo + 1);
    l[c].at = QV_NEW(&b->g->arena, l[c].n, int64_t);
    if (l[c].at == NULL) return QV_FAIL(b->err, QV_E_NOMEM, "robustness graph");
    for (uint32_t i = 1; i < l[c].n; i++) {
      qv_itv p[2];
      l[c].at[i] = qv_step_preimage(p, s, c, QV_PRE_GE, y->lo + i, dom) == 0 ? dom.hi + 1 : p[0].lo;
    }
  }
  return QV_OK;
}

/* Longest chain of functions with rows of their own. */
static qv_status find_depth(qv_graph *g, qv_err *err) {
  uint32_t *at = calloc((size_t)g->n + 1, sizeof *at);
  if (at == NULL) return QV_FAIL(err, QV_E_NOMEM, "robustness graph");
  for (uint32_t v = g->n_in; v < g->n; v++) {
    const qv_unit *u = &g->unit[v];
    for (uint32_t i = u->seg; i < u->seg + u->n_seg; i++)
      for (uint32_t x = g->seg[i].var; x < g->seg[i].var + g->seg[i].len; x++)
        if (at[x] > at[v]) at[v] = at[x];
    at[v] += u->src != QV_NONE;
    if (at[v] > g->depth) g->depth = at[v];
  }
  free(at);
  return QV_OK;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------------- */

void qv_graph_free(qv_graph *g) {
  if (g == NULL) return;
  free(g->unit);
  free(g->seg);
  free(g->w);
  free(g->wf);
  free(g->loss);
  free(g->group);
  free(g->group_var);
  qv_arena_clear(&g->arena);
  free(g);
}

qv_status qv_graph_new(qv_graph **out, const qv_net *net, double deadline, qv_err *err) {
  qv_status st = QV_OK;
  builder b = {.net = net, .deadline = deadline, .err = err};
  qv_graph *g = b.g = calloc(1, sizeof *g);
  if (g == NULL) return QV_FAIL(err, QV_E_NOMEM, "robustness graph");
  g->net = net;
  g->element = QV_NEW(&g->arena, net->n_tensors, qv_element *);
  g->in_first = QV_NEW(&g->arena, net->n_in, uint32_t);
  g->level = QV_NEW(&g->arena, net->n_nodes, qv_thresholds *);
  b.exact = calloc((size_t)net->n_nodes + 1, sizeof *b.exact);
  b.uses = calloc((size_t)net->n_tensors + 1, sizeof *b.uses);
  b.fuse = calloc((size_t)net->n_tensors + 1, sizeof *b.fuse);
  if (g->element == NULL || g->in_first == NULL || g->level == NULL || b.exact == NULL || b.uses == NULL || b.fuse == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "robustness graph");
    goto done;
  }
  QV_TRY(find_exact(&b));
  find_fusions(&b);
  QV_TRY(add_leaves(&b));
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    QV_TRY(add_node(&b, k));
    if (net->node[k].kind == QV_STEP) QV_TRY(add_levels(&b, k));
  }
  QV_TRY(find_depth(g, err));
  *out = g;
  g = NULL;
done:
  qv_graph_free(g);
  qv_range_clear(&b.whole);
  free(b.exact);
  free(b.uses);
  free(b.fuse);
  free(b.r.var);
  free(b.r.w);
  free(b.r.pos);
  free(b.r.at);
  return st;
}

const qv_pieces *qv_unit_pieces(const qv_graph *g, uint32_t v) {
  const qv_unit *u = &g->unit[v];
  return &g->net->node[u->node].u.threshold.par[u->channel];
}

int64_t qv_unit_eval(const qv_graph *g, uint32_t v, int64_t acc) {
  const qv_unit *u = &g->unit[v];
  switch (u->fn) {
  case QV_UNIT_STEP: return qv_step_eval(&g->net->node[u->node].u.step, u->channel, acc);
  case QV_UNIT_TABLE: return g->net->node[u->node].u.table.t[acc - g->net->node[u->node].u.table.lo];
  case QV_UNIT_THRESHOLD: return qv_pieces_eval(qv_unit_pieces(g, v), acc);
  case QV_UNIT_CLAMP: return qv_clamp64(acc, g->net->node[u->node].u.clamp.lo, g->net->node[u->node].u.clamp.hi);
  case QV_UNIT_FREE:
  case QV_UNIT_ID:
  case QV_UNIT_TAP:
  case QV_UNIT_MAX:
  case QV_UNIT_PRODUCT: break;
  }
  return acc;
}

bool qv_unit_of_taps(const qv_graph *g, uint32_t v) { return g->unit[v].fn == QV_UNIT_MAX || g->unit[v].fn == QV_UNIT_PRODUCT; }

bool qv_unit_function(const qv_graph *g, uint32_t v) {
  return g->unit[v].fn != QV_UNIT_FREE && g->unit[v].fn != QV_UNIT_ID && g->unit[v].fn != QV_UNIT_TAP && !qv_unit_of_taps(g, v);
}

int64_t qv_unit_product(const qv_graph *g, uint32_t v, int64_t x0, int64_t x1) {
  const qv_product *p = &g->net->node[g->unit[v].node].u.product;
  return (x0 - p->z0) * (x1 - p->z1);
}

qv_itv qv_unit_image(const qv_graph *g, uint32_t v, qv_itv acc) {
  if (g->unit[v].fn == QV_UNIT_THRESHOLD) return qv_pieces_image(qv_unit_pieces(g, v), acc);
  int64_t p = qv_unit_eval(g, v, acc.lo), q = qv_unit_eval(g, v, acc.hi);
  qv_itv y = {qv_min64(p, q), qv_max64(p, q)};
  if (g->unit[v].fn == QV_UNIT_TABLE)
    for (int64_t x = acc.lo + 1; x < acc.hi; x++) {
      int64_t t = qv_unit_eval(g, v, x);
      y = qv_itv_hull(y, (qv_itv){t, t});
    }
  return y;
}

bool qv_unit_increasing(const qv_graph *g, uint32_t v) {
  const qv_unit *u = &g->unit[v];
  switch (u->fn) {
  case QV_UNIT_STEP: return !decreasing(&g->net->node[u->node].u.step.par[u->channel]);
  case QV_UNIT_CLAMP:
  case QV_UNIT_ID: return true;
  case QV_UNIT_THRESHOLD: return qv_pieces_monotone(qv_unit_pieces(g, v), (qv_itv){INT64_MIN, INT64_MAX}) > 0;
  case QV_UNIT_TABLE:
  case QV_UNIT_FREE:
  case QV_UNIT_TAP:
  case QV_UNIT_MAX:
  case QV_UNIT_PRODUCT: break;
  }
  return false;
}

bool qv_graph_splits(const qv_graph *g, uint32_t v) {
  if (v < g->n_in) return true;
  if (g->unit[v].fn == QV_UNIT_PRODUCT || g->unit[v].fn == QV_UNIT_TAP) return false;
  return g->unit[v].fn != QV_UNIT_FREE || g->net->node[g->unit[v].node].kind == QV_MAX;
}

static qv_itv taps_image(const qv_graph *g, uint32_t v, const int64_t *lo, const int64_t *hi) {
  uint32_t t = v - g->unit[v].n_tap;
  if (g->unit[v].fn == QV_UNIT_MAX) {
    qv_itv y = {lo[t], hi[t]};
    for (uint32_t i = t + 1; i < v; i++) y = (qv_itv){qv_max64(y.lo, lo[i]), qv_max64(y.hi, hi[i])};
    return y;
  }
  qv_itv y = {INT64_MAX, INT64_MIN};
  for (int k = 0; k < 4; k++) {
    int64_t p = qv_unit_product(g, v, k & 1 ? hi[t] : lo[t], k & 2 ? hi[t + 1] : lo[t + 1]);
    y = qv_itv_hull(y, (qv_itv){p, p});
  }
  return y;
}

qv_itv qv_unit_acc(const qv_graph *g, uint32_t v, const int64_t *lo, const int64_t *hi) {
  const qv_unit *u = &g->unit[v];
  if (u->fn == QV_UNIT_MAX || u->fn == QV_UNIT_PRODUCT) return taps_image(g, v, lo, hi);
  qv_itv a = {u->b, u->b};
  for (uint32_t i = u->seg; i < u->seg + u->n_seg; i++) {
    const int32_t *w = g->w + g->seg[i].w;
    const int64_t *l = lo + g->seg[i].var, *h = hi + g->seg[i].var;
    for (uint32_t k = 0; k < g->seg[i].len; k++) {
      int64_t p = w[k] * l[k], q = w[k] * h[k];
      a.lo += qv_min64(p, q);
      a.hi += qv_max64(p, q);
    }
  }
  for (uint32_t i = u->loss; i < u->loss + u->n_loss; i++) {
    int64_t d = g->loss[i].c * (hi[g->loss[i].var] - lo[g->loss[i].var]);
    a.lo -= d;
    a.hi += d;
  }
  return a;
}

int64_t qv_unit_sum(const qv_graph *g, uint32_t v, const int64_t *x) {
  const qv_unit *u = &g->unit[v];
  if (u->fn == QV_UNIT_MAX || u->fn == QV_UNIT_PRODUCT) return taps_image(g, v, x, x).lo;
  int64_t a = u->b;
  for (uint32_t i = u->seg; i < u->seg + u->n_seg; i++)
    for (uint32_t k = 0; k < g->seg[i].len; k++) a += g->w[g->seg[i].w + k] * x[g->seg[i].var + k];
  return a;
}
