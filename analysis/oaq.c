#include "analysis/oaq.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/rescale.h"
#include "kernels/ref.h"

static size_t terms_per_output(const qv_window *g) { return (size_t)g->kh * g->kw * (g->ic / g->groups); }

/* ---- values of all samples, each tensor as long as a node will read it --------------------------------------------------------- */

typedef struct {
  const qv_net *net;
  size_t n;
  qv_values *v;     /* [n]; v[s].v[t] allocated by itself, constants shared */
  uint32_t *left;   /* [n_tensors] readers to come */
  int64_t **constant;
} values;

static bool values_new(values *s, const qv_net *net, size_t n, qv_arena *arena) {
  *s = (values){.net = net, .n = n, .v = QV_NEW(arena, n, qv_values), .left = QV_NEW(arena, net->n_tensors, uint32_t)};
  s->constant = QV_NEW(arena, net->n_tensors, int64_t *);
  if (s->v == NULL || s->left == NULL || s->constant == NULL) return false;
  for (uint32_t k = 0; k < net->n_nodes; k++)
    for (uint32_t i = 0; i < net->node[k].n_in; i++) s->left[net->node[k].in[i]]++;
  for (uint32_t t = 0; t < net->n_tensors; t++) {
    const qv_tensor *x = &net->tensor[t];
    if (x->data == NULL) continue;
    if ((s->constant[t] = QV_NEW(arena, qv_elems(x), int64_t)) == NULL) return false;
    for (size_t e = 0; e < qv_elems(x); e++) s->constant[t][e] = x->data[e];
  }
  for (size_t i = 0; i < n; i++) {
    if ((s->v[i].v = QV_NEW(arena, net->n_tensors, int64_t *)) == NULL) return false;
    for (uint32_t t = 0; t < net->n_tensors; t++) s->v[i].v[t] = s->constant[t];
  }
  return true;
}

static bool values_add(values *s, uint32_t t) {
  for (size_t i = 0; i < s->n; i++)
    if ((s->v[i].v[t] = calloc(qv_elems(&s->net->tensor[t]), sizeof(int64_t))) == NULL) return false;
  return true;
}

static void values_drop(values *s, uint32_t t) {
  if (s->constant[t] != NULL) return;
  for (size_t i = 0; i < s->n; i++) {
    free(s->v[i].v[t]);
    s->v[i].v[t] = NULL;
  }
}

static void values_free(values *s) {
  for (uint32_t t = 0; s->v != NULL && t < s->net->n_tensors; t++)
    if (s->constant != NULL && s->left != NULL && s->n > 0 && s->v[s->n - 1].v != NULL) values_drop(s, t);
}

/* ---- overflows ------------------------------------------------------------------------------------------------------------------ */

typedef struct {
  int64_t *x, *w;
  bool *inside;
} taps;

static void gather(taps *s, const qv_affine *a, const int64_t *x, uint32_t b, uint32_t oy, uint32_t ox, uint32_t group) {
  const qv_window *g = &a->win;
  uint32_t gic = g->ic / g->groups;
  size_t i = 0;
  for (uint32_t ky = 0; ky < g->kh; ky++)
    for (uint32_t kx = 0; kx < g->kw; kx++) {
      size_t at;
      bool in = qv_window_tap(&at, g, b, oy, ox, ky, kx);
      at += (size_t)group * gic;
      for (uint32_t c = 0; c < gic; c++, i++) s->inside[i] = in, s->x[i] = in ? x[at + c] : 0;
    }
}

/* Outputs of the layer with these weights and biases whose machine sum is not the exact one; counts up to `enough`. */
static uint64_t overflows(const qv_affine *a, const int32_t *w, const int64_t *b, const values *s, uint32_t in, uint64_t enough, taps *t) {
  const qv_window *g = &a->win;
  const qv_acc exact = {.mode = QV_ACC_EXACT};
  size_t k = terms_per_output(g);
  uint64_t n = 0;
  for (size_t i = 0; i < s->n; i++)
    for (uint32_t m = 0; m < g->n; m++)
      for (uint32_t p = 0; p < g->oh * g->ow; p++)
        for (uint32_t o = 0; o < g->oc; o++) {
          int64_t want, got, z = a->w_zp[a->n_w_zp == 1 ? 0 : o];
          if (o % (g->oc / g->groups) == 0) gather(t, a, s->v[i].v[in], m, p / g->ow, p % g->ow, o / (g->oc / g->groups));
          for (size_t j = 0; j < k; j++) t->w[j] = w[o * k + j];
          bool defined = qv_acc_run(&got, &a->acc, k, t->x, t->w, t->inside, a->x_zp, z, b[o]);
          (void)qv_acc_run(&want, &exact, k, t->x, t->w, t->inside, a->x_zp, z, b[o]);
          n += !defined || got != want;
          if (n >= enough) return n;
        }
  return n;
}

/* ---- the rule -------------------------------------------------------------------------------------------------------------------- */

typedef struct {
  qv_oaq *out;
  qv_net *net;
  values s;
  qv_err *err;
} rule;

static int64_t magnitude(const qv_affine *a) {
  size_t k = terms_per_output(&a->win);
  int64_t m = 0;
  for (size_t i = 0; i < a->win.oc * k; i++) {
    int64_t d = (int64_t)a->w[i] - a->w_zp[a->n_w_zp == 1 ? 0 : i / k];
    m = qv_max64(m, d < 0 ? -d : d);
  }
  return m;
}

/* The most levels without an overflow, from all of them downward. */
static int64_t most_levels(const rule *r, const qv_affine *a, uint32_t in, int64_t all, taps *t, int32_t *w, int64_t *b) {
  int64_t n = all - 1;
  for (; n > 0; n--) {
    qv_rescale_weights(w, a, n, all);
    for (uint32_t o = 0; o < a->win.oc; o++) b[o] = (int64_t)qv_rha_div((qv_i128)a->b[o] * n, all);
    if (overflows(a, w, b, &r->s, in, 1, t) == 0) break;
  }
  return n;
}

static qv_status layer(rule *r, uint32_t node) {
  qv_affine *a = &r->net->node[node].u.affine;
  uint32_t in = r->net->node[node].in[0];
  size_t k = terms_per_output(&a->win);
  qv_oaq_layer *l = &r->out->layer[r->out->n++];
  qv_arena tmp = {0};
  qv_status st = QV_OK;
  taps t = {QV_NEW(&tmp, k, int64_t), QV_NEW(&tmp, k, int64_t), QV_NEW(&tmp, k, bool)};
  int32_t *w = QV_NEW(&tmp, a->win.oc * k, int32_t);
  int64_t *b = QV_NEW(&tmp, a->win.oc, int64_t);
  if (t.x == NULL || t.w == NULL || t.inside == NULL || w == NULL || b == NULL) QV_TRY(QV_FAIL(r->err, QV_E_NOMEM, "overflows on samples"));
  *l = (qv_oaq_layer){.node = node, .of = magnitude(a)};
  l->levels = l->of;
  l->overflows = overflows(a, a->w, a->b, &r->s, in, UINT64_MAX, &t);
  if (l->overflows == 0) goto done;
  l->fixed = !qv_rescale_possible(r->net, node);
  if (l->fixed) goto done;
  l->levels = most_levels(r, a, in, l->of, &t, w, b);
  if (l->levels == 0) {
    l->fixed = true;
    l->levels = l->of;
    goto done;
  }
  QV_TRY(qv_rescale(r->net, node, l->levels, l->of, r->err));
  QV_TRY(qv_ir_check(r->net, r->err));
done:
  qv_arena_clear(&tmp);
  return st;
}

static qv_status run_node(rule *r, uint32_t k) {
  const qv_node *n = &r->net->node[k];
  qv_status st = QV_OK;
  if (n->kind == QV_AFFINE && n->u.affine.acc.mode != QV_ACC_EXACT) QV_TRY(layer(r, k));
  if (!values_add(&r->s, n->out)) QV_TRY(QV_FAIL(r->err, QV_E_NOMEM, "values of the samples; fewer samples need less memory"));
  for (size_t i = 0; i < r->s.n; i++) QV_TRY(qv_ref_node(r->net, k, &r->s.v[i], r->err));
  for (uint32_t i = 0; i < n->n_in; i++)
    if (--r->s.left[n->in[i]] == 0) values_drop(&r->s, n->in[i]);
done:
  return st;
}

qv_status qv_oaq_rule(qv_oaq *out, qv_net *net, size_t n, const int64_t *const *in, qv_err *err) {
  *out = (qv_oaq){0};
  rule r = {.out = out, .net = net, .err = err};
  qv_arena tmp = {0};
  qv_status st = QV_OK;
  out->layer = QV_NEW(&out->arena, net->n_nodes + (size_t)1, qv_oaq_layer);
  if (!values_new(&r.s, net, n, &tmp) || out->layer == NULL) QV_TRY(QV_FAIL(err, QV_E_NOMEM, "samples"));
  for (uint32_t i = 0; i < net->n_in; i++) {
    uint32_t t = net->in[i].tensor;
    size_t ne = qv_elems(&net->tensor[t]);
    if (!values_add(&r.s, t)) QV_TRY(QV_FAIL(err, QV_E_NOMEM, "samples"));
    for (size_t s = 0; s < n; s++) memcpy(r.s.v[s].v[t], in[i] + s * ne, ne * sizeof(int64_t));
  }
  for (uint32_t k = 0; k < net->n_nodes; k++) QV_TRY(run_node(&r, k));
done:
  values_free(&r.s);
  qv_arena_clear(&tmp);
  return st;
}

void qv_oaq_clear(qv_oaq *o) {
  qv_arena_clear(&o->arena);
  *o = (qv_oaq){0};
}
