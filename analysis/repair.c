#include "analysis/repair.h"

#include "analysis/range_form.h"

typedef struct {
  qv_repair *out;
  qv_net *net;
  const qv_property *prop;
  qv_proof proof;
  qv_err *err;
} repair;

static size_t terms_per_output(const qv_window *g) { return (size_t)g->kh * g->kw * (g->ic / g->groups); }

/* Nodes whose pairs are products of a byte in [0,255] and one in [-128,127]: then one product alone always fits, and only two of
 * the same sign can leave 16 bits. */
static bool repairable(const qv_net *net, const qv_node *n) {
  if (n->kind != QV_AFFINE) return false;
  const qv_affine *a = &n->u.affine;
  if (a->acc.mode != QV_ACC_PAIR16 || !a->acc.raw || a->acc.order != QV_ORDER_KERNEL || net->tensor[n->in[0]].type != QV_U8) return false;
  if (a->x_zp < 0 || a->x_zp > UINT8_MAX) return false;
  for (size_t i = 0, k = a->win.oc * terms_per_output(&a->win); i < k; i++)
    if (a->w[i] < INT8_MIN || a->w[i] > INT8_MAX) return false;
  return true;
}

static bool leaves_axis(uint32_t o, uint32_t in, uint32_t k, uint32_t stride, uint32_t dil, uint32_t pad) {
  return pad > 0 || (uint64_t)(o - 1) * stride + (uint64_t)(k - 1) * dil >= in;
}

/* Can a tap of the window be padding? */
static bool padded(const qv_window *g) {
  return leaves_axis(g->oh, g->ih, g->kh, g->sh, g->dh, g->pt) || leaves_axis(g->ow, g->iw, g->kw, g->sw, g->dw, g->pl);
}

static int64_t magnitude(int32_t w, int sign) { return sign * w > 0 ? (int64_t)sign * w : 0; }

/* Fewest steps d[0] + d[1] with (b[0] - d[0]) * u[0] + (b[1] - d[1]) * u[1] <= limit, d[i] <= b[i]. A step of the weight with the
 * larger u gains most, so no split needs fewer than taking those first; steps are moved to the other weight while that still
 * gains enough. Pre: b[i] >= 0, u[i] >= 0, b[i] * u[i] <= limit. */
static void fewest_steps(int64_t d[2], const int64_t b[2], const int64_t u[2], int64_t limit) {
  int64_t over = b[0] * u[0] + b[1] * u[1] - limit;
  d[0] = d[1] = 0;
  if (over <= 0) return; /* from here both products are positive */
  int big = u[1] > u[0], small = !big;
  d[big] = qv_min64(b[big], (int64_t)qv_ceil_div(over, u[big]));
  if (d[big] * u[big] < over) d[small] = (int64_t)qv_ceil_div(over - d[big] * u[big], u[small]);
  while (d[big] > d[small] + 1 && d[small] < b[small] && (d[big] - 1) * u[big] + (d[small] + 1) * u[small] >= over) {
    d[big]--;
    d[small]++;
  }
}

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
  r->steps += (uint64_t)(c->was > c->is ? c->was - c->is : c->is - c->was);
  return true;
}

/* Terms i and j of channel o; top[t] = largest byte that term t can meet. */
static bool clip_pair(repair *p, uint32_t node, uint32_t o, int32_t *w, size_t i, size_t j, const int64_t *top, bool *changed) {
  const size_t at[2] = {i, j};
  const int64_t u[2] = {top[i], top[j]};
  bool any = false;
  for (int sign = 1; sign >= -1; sign -= 2) {
    const int64_t b[2] = {magnitude(w[i], sign), magnitude(w[j], sign)};
    int64_t d[2];
    fewest_steps(d, b, u, sign > 0 ? INT16_MAX : -(int64_t)INT16_MIN);
    for (int t = 0; t < 2; t++) {
      if (d[t] == 0) continue;
      int32_t is = (int32_t)(w[at[t]] - sign * d[t]);
      if (!note_change(p->out, &(qv_repair_change){node, o, (uint32_t)at[t], w[at[t]], is})) return false;
      w[at[t]] = is;
      any = true;
    }
  }
  p->out->pairs += any;
  *changed = *changed || any;
  return true;
}

/* top[t] of the terms of one group of input channels. */
static void tops(int64_t *top, const qv_affine *a, const qv_itv *x, uint32_t c0) {
  uint32_t gic = a->win.ic / a->win.groups;
  int64_t pad = padded(&a->win) ? a->x_zp : 0;
  for (size_t t = 0, k = terms_per_output(&a->win); t < k; t++) top[t] = qv_max64(x[c0 + t % gic].hi, pad);
}

static qv_status clip_node(repair *p, uint32_t node, bool *changed) {
  qv_status st = QV_OK;
  qv_node *n = &p->net->node[node];
  qv_affine *a = &n->u.affine;
  const qv_window *g = &a->win;
  size_t k = terms_per_output(g), d = a->acc.pairing == QV_PAIR_ADJACENT ? 1 : 8;
  qv_arena tmp = {0};
  qv_itv *x = QV_NEW(&tmp, g->ic, qv_itv);
  int64_t *top = QV_NEW(&tmp, k, int64_t);
  int32_t *w = QV_NEW(&p->net->arena, g->oc * k, int32_t);
  if (x == NULL || top == NULL || w == NULL) QV_TRY(QV_FAIL(p->err, QV_E_NOMEM, "repair"));
  (void)qv_ranges_by_channel(x, &p->proof.range.tensor[n->in[0]], qv_elems(&p->net->tensor[n->in[0]]), g->ic);
  for (size_t i = 0; i < g->oc * k; i++) w[i] = a->w[i];
  for (uint32_t o = 0; o < g->oc; o++) {
    tops(top, a, x, o / (g->oc / g->groups) * (g->ic / g->groups));
    for (size_t i = 0; i + d < k; i++)
      if (i / d % 2 == 0 && !clip_pair(p, node, o, w + o * k, i, i + d, top, changed)) QV_TRY(QV_FAIL(p->err, QV_E_NOMEM, "repair"));
  }
  a->w = w;
done:
  qv_arena_clear(&tmp);
  return st;
}

static qv_status refresh(repair *p) {
  static const qv_prove_opts intervals = {.work = 1};
  qv_proof_clear(&p->proof);
  return qv_prove_overflow(&p->proof, p->net, p->prop, &intervals, p->err);
}

qv_status qv_repair_clip(qv_repair *out, qv_net *net, const qv_property *prop, qv_err *err) {
  *out = (qv_repair){0};
  repair p = {.out = out, .net = net, .prop = prop, .err = err};
  qv_status st;
  QV_TRY(refresh(&p));
  for (uint32_t i = 0; i < p.proof.range.n_acc; i++) { /* the same nodes in every proof */
    uint32_t node = p.proof.range.acc[i].node;
    bool changed = false;
    if (!repairable(net, &net->node[node])) continue;
    QV_TRY(clip_node(&p, node, &changed));
    if (!changed) continue;
    out->layers++;
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
