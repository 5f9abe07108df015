#include "analysis/repair.h"

#include <stdlib.h>

#include "analysis/fit.h"
#include "analysis/permute.h"
#include "analysis/rescale.h"

const char *qv_repair_name(qv_repair_way w) {
  switch (w) {
  case QV_REPAIR_AUTO: return "auto";
  case QV_REPAIR_PERMUTE: return "permute";
  case QV_REPAIR_CLIP: return "clip";
  case QV_REPAIR_RANGE: return "range";
  case QV_REPAIR_SCALE: return "scale";
  }
  return "?";
}

typedef struct {
  qv_repair *out;
  qv_net *net;
  const qv_property *prop;
  qv_repair_way way;
  qv_proof proof;
  qv_err *err;
} repair;

static size_t terms_per_output(const qv_window *g) { return (size_t)g->kh * g->kw * (g->ic / g->groups); }

static bool harmless(const qv_affine *a, const qv_acc_bound *b) {
  for (uint32_t o = 0; o < b->n; o++)
    if (!qv_acc_harmless(&a->acc, a->acc.bits, b, o)) return false;
  return true;
}

static qv_repair_layer *note_layer(repair *p, uint32_t node, qv_repair_way way) {
  qv_repair *r = p->out;
  if (r->n_layers % 16 == 0) {
    qv_repair_layer *v = QV_NEW(&r->arena, r->n_layers + 16, qv_repair_layer);
    if (v == NULL) return NULL;
    for (uint32_t i = 0; i < r->n_layers; i++) v[i] = r->layer[i];
    r->layer = v;
  }
  r->layer[r->n_layers] = (qv_repair_layer){.node = node, .way = way};
  return &r->layer[r->n_layers++];
}

static qv_status short_of_memory(repair *p) { return QV_FAIL(p->err, QV_E_NOMEM, "repair"); }

/* ---- clip -------------------------------------------------------------------------------------------------------------------- */

static bool note_change(qv_repair *r, const qv_repair_change *c) {
  if (r->n == r->cap) {
    uint32_t cap = r->cap == 0 ? 64 : 2 * r->cap;
    qv_repair_change *v = QV_NEW(&r->arena, cap, qv_repair_change);
    if (v == NULL) return false;
    for (uint32_t i = 0; i < r->n; i++) v[i] = r->change[i];
    r->change = v;
    r->cap = cap;
  }
  r->change[r->n++] = *c;
  return true;
}

static bool note_clip(repair *p, const qv_fit *f, qv_repair_layer *l, uint32_t o, const int32_t *was, const int32_t *is) {
  for (uint32_t g = 0; g < f->n; g++) {
    bool any = false;
    for (uint32_t j = f->first[g]; j < f->first[g + 1]; j++) any = any || was[o * f->k + f->term[j]] != is[o * f->k + f->term[j]];
    p->out->groups += any;
  }
  for (size_t i = o * f->k; i < (o + 1) * f->k; i++) {
    if (was[i] == is[i]) continue;
    l->weights++;
    l->most = qv_max64(l->most, llabs((long long)was[i] - is[i]));
    if (!note_change(p->out, &(qv_repair_change){l->node, o, (uint32_t)(i - o * f->k), was[i], is[i]})) return false;
  }
  return true;
}

/* A layer with its weights clipped. */
typedef struct {
  qv_fit fit;
  int32_t *w;       /* in the net's arena */
  qv_least *least;  /* [oc]; 0 steps where the channel is proved, or where its bias alone is too large */
  qv_arena tmp;
} clipped;

static qv_status clip_weights(clipped *c, repair *p, const qv_acc_bound *b) {
  const qv_affine *a = &p->net->node[b->node].u.affine;
  uint32_t in = p->net->node[b->node].in[0];
  size_t k = terms_per_output(&a->win);
  qv_status st = QV_OK;
  *c = (clipped){.w = QV_NEW(&p->net->arena, a->win.oc * k, int32_t)};
  c->least = QV_NEW(&c->tmp, a->win.oc, qv_least);
  if (c->w == NULL || c->least == NULL) QV_TRY(short_of_memory(p));
  QV_TRY(qv_fit_new(&c->fit, &c->tmp, a, &p->proof.range.tensor[in], qv_elems(&p->net->tensor[in]), p->err));
  for (size_t i = 0; i < a->win.oc * k; i++) c->w[i] = a->w[i];
  for (uint32_t o = 0; o < a->win.oc; o++) {
    qv_err why = {0};
    if (qv_acc_harmless(&a->acc, a->acc.bits, b, o)) continue;
    st = qv_fit_clip(&c->least[o], &c->fit, c->w, a->b[o], o, &why);
    if (st == QV_E_UNSUP) {
      for (size_t i = o * k; i < (o + 1) * k; i++) c->w[i] = a->w[i];
      c->least[o] = (qv_least){0};
      st = QV_OK;
    }
    if (st != QV_OK) QV_TRY(QV_FAIL(p->err, st, "%s", why.msg));
  }
done:
  return st;
}

static qv_status keep_clipped(repair *p, clipped *c, uint32_t node, bool *changed) {
  qv_affine *a = &p->net->node[node].u.affine;
  qv_repair_layer *l = NULL;
  for (uint32_t o = 0; o < a->win.oc; o++) {
    if (c->least[o].steps == 0) continue;
    if (l == NULL && (l = note_layer(p, node, QV_REPAIR_CLIP)) == NULL) return short_of_memory(p);
    l->steps += (uint64_t)c->least[o].steps;
    l->bound += (uint64_t)c->least[o].bound;
    if (!note_clip(p, &c->fit, l, o, a->w, c->w)) return short_of_memory(p);
  }
  if (l == NULL) return QV_OK;
  p->out->steps += l->steps;
  p->out->bound += l->bound;
  a->w = c->w;
  *changed = true;
  return QV_OK;
}

/* ---- range, permute ----------------------------------------------------------------------------------------------------------- */

/* Is halving possible, enough, and less of a change than clipping: the sum of squared changes? */
static bool halving_is_better(const repair *p, uint32_t node, const clipped *c) {
  const qv_affine *a = &p->net->node[node].u.affine;
  size_t n = a->win.oc * terms_per_output(&a->win);
  qv_arena tmp = {0};
  int32_t *h = QV_NEW(&tmp, n, int32_t);
  int64_t *b = QV_NEW(&tmp, a->win.oc, int64_t), by_clip = 0, by_half = 0;
  bool better = h != NULL && b != NULL && qv_rescale_possible(p->net, node);
  if (better) {
    qv_rescale_weights(h, a, 1, 2);
    for (uint32_t o = 0; o < a->win.oc; o++) b[o] = (int64_t)qv_rha_div(a->b[o], 2);
    for (size_t i = 0; i < n; i++) {
      int64_t z = a->w_zp[a->n_w_zp == 1 ? 0 : i / c->fit.k], d = (int64_t)a->w[i] - c->w[i], e = a->w[i] - z - 2 * (h[i] - z);
      by_clip = qv_sat64((qv_i128)by_clip + (qv_i128)d * d);
      by_half += e * e; /* 0 or 1 each */
    }
    better = by_half < by_clip && qv_fit_all(&c->fit, h, b);
  }
  qv_arena_clear(&tmp);
  return better;
}

/* Weights times num/den; *changed = false if the layer's requantization cannot take that up. */
static qv_status rescale(repair *p, uint32_t node, qv_repair_way way, int64_t num, int64_t den, bool *changed) {
  qv_affine *a = &p->net->node[node].u.affine;
  const qv_affine was = *a;
  qv_err why = {0};
  *changed = false;
  if (!qv_rescale_possible(p->net, node)) return QV_OK;
  qv_step *s = &p->net->node[qv_sole_reader(p->net, p->net->node[node].out)].u.step;
  const qv_step step = *s;
  qv_status st = qv_rescale(p->net, node, num, den, &why);
  if (st == QV_E_UNSUP) return QV_OK;
  if (st == QV_OK && (st = qv_ir_check(p->net, &why)) == QV_E_RANGE) { /* the step's input times the larger scale has to fit 60 bits */
    *a = was;
    *s = step;
    return qv_ir_check(p->net, p->err);
  }
  if (st != QV_OK) return QV_FAIL(p->err, st, "%s", why.msg);
  qv_repair_layer *l = note_layer(p, node, way);
  if (l == NULL) return short_of_memory(p);
  if (way == QV_REPAIR_SCALE) l->levels = num, l->of = den;
  for (size_t i = 0, n = a->win.oc * terms_per_output(&a->win); i < n; i++) l->weights += was.w[i] != a->w[i];
  *changed = true;
  return QV_OK;
}

static qv_status scale(repair *p, uint32_t node, bool *changed) {
  qv_arena tmp = {0};
  qv_fit f;
  int64_t r, all;
  uint32_t in = p->net->node[node].in[0];
  qv_status st;
  *changed = false;
  QV_TRY(qv_fit_new(&f, &tmp, &p->net->node[node].u.affine, &p->proof.range.tensor[in], qv_elems(&p->net->tensor[in]), p->err));
  QV_TRY(qv_fit_levels(&r, &all, &f, p->err));
  if (r > 0 && r < all) QV_TRY(rescale(p, node, QV_REPAIR_SCALE, r, all, changed));
done:
  qv_arena_clear(&tmp);
  return st;
}

/* An order of the input channels, unless it needs more than a quarter of zeros and the way is `auto`. */
static qv_status permute(repair *p, uint32_t *node, bool *changed) {
  qv_arena tmp = {0};
  qv_order_found f;
  qv_status st;
  *changed = false;
  QV_TRY(qv_order_find(&f, &tmp, p->net, &p->proof, *node, p->err));
  if (!f.found || (p->way == QV_REPAIR_AUTO && f.added > f.channels / 4)) goto done;
  QV_TRY(qv_order_apply(p->net, node, &f, p->err));
  qv_repair_layer *l = note_layer(p, *node, QV_REPAIR_PERMUTE);
  if (l == NULL) QV_TRY(short_of_memory(p));
  l->channels = f.channels;
  l->added = f.added;
  *changed = true;
done:
  qv_arena_clear(&tmp);
  return st;
}

/* ---- all layers --------------------------------------------------------------------------------------------------------------- */

static qv_status refresh(repair *p) {
  static const qv_prove_opts intervals = {.work = 1};
  qv_proof_clear(&p->proof);
  return qv_prove_overflow(&p->proof, p->net, p->prop, &intervals, p->err);
}

/* One layer that is not proved: the way that was asked for, else clipping. */
static qv_status repair_layer(repair *p, const qv_acc_bound *b, bool *changed) {
  uint32_t node = b->node;
  qv_status st = QV_OK;
  clipped c;
  *changed = false;
  if (p->way == QV_REPAIR_PERMUTE || p->way == QV_REPAIR_AUTO) st = permute(p, &node, changed);
  if (p->way == QV_REPAIR_RANGE) st = rescale(p, node, QV_REPAIR_RANGE, 1, 2, changed);
  if (p->way == QV_REPAIR_SCALE) st = scale(p, node, changed);
  if (st != QV_OK || *changed || p->way == QV_REPAIR_PERMUTE) return st;
  st = clip_weights(&c, p, b);
  if (st == QV_OK && p->way == QV_REPAIR_AUTO && halving_is_better(p, node, &c)) st = rescale(p, node, QV_REPAIR_RANGE, 1, 2, changed);
  if (st == QV_OK && !*changed) st = keep_clipped(p, &c, node, changed);
  qv_arena_clear(&c.tmp);
  return st;
}

qv_status qv_repair_run(qv_repair *out, qv_net *net, const qv_property *prop, qv_repair_way way, qv_err *err) {
  *out = (qv_repair){0};
  repair p = {.out = out, .net = net, .prop = prop, .way = way, .err = err};
  qv_status st;
  QV_TRY(refresh(&p));
  for (uint32_t i = 0; i < p.proof.range.n_acc; i++) { /* the same accumulators in every proof, whatever nodes are added */
    const qv_acc_bound *b = &p.proof.range.acc[i];
    const qv_node *n = &net->node[b->node];
    bool changed = false;
    if (n->kind != QV_AFFINE || !qv_fit_possible(&n->u.affine.acc) || harmless(&n->u.affine, b)) continue;
    QV_TRY(repair_layer(&p, b, &changed));
    if (!changed) continue;
    QV_TRY(qv_ir_check(net, err));
    QV_TRY(refresh(&p));
  }
done:
  qv_proof_clear(&p.proof);
  return st;
}

void qv_repair_clear(qv_repair *r) {
  qv_arena_clear(&r->arena);
  *r = (qv_repair){0};
}
