#include "quant/layer.h"

#include <stdio.h>

#include "analysis/prove.h"

qv_acc qv_accum_machine(qv_accum a) {
  if (!a.pairs) return (qv_acc){.mode = QV_ACC_WRAP, .bits = (uint8_t)a.bits, .order = QV_ORDER_ANY};
  return (qv_acc){.mode = QV_ACC_PAIR16, .bits = (uint8_t)a.bits, .order = QV_ORDER_KERNEL, .raw = true, .pairing = QV_PAIR_ADJACENT};
}

static qv_window window_of(const qv_fgraph *g, const qv_fnode *n) {
  const qv_ftensor *x = &g->tensor[n->in[0]], *y = &g->tensor[n->out], *w = &g->tensor[n->in[1]];
  if (n->op != QF_CONV)
    return (qv_window){.n = x->dim[0],
                       .ih = 1,
                       .iw = 1,
                       .ic = x->dim[1],
                       .oh = 1,
                       .ow = 1,
                       .oc = w->dim[0],
                       .kh = 1,
                       .kw = 1,
                       .sh = 1,
                       .sw = 1,
                       .dh = 1,
                       .dw = 1,
                       .groups = 1};
  return (qv_window){.n = 1,
                     .ih = x->dim[2],
                     .iw = x->dim[3],
                     .ic = x->dim[1],
                     .oh = y->dim[2],
                     .ow = y->dim[3],
                     .oc = w->dim[0],
                     .kh = n->kh,
                     .kw = n->kw,
                     .sh = n->sh,
                     .sw = n->sw,
                     .dh = n->dh,
                     .dw = n->dw,
                     .pt = n->pt,
                     .pl = n->pl,
                     .groups = n->groups};
}

void qv_layer_shape(char *name, const qv_fgraph *g, uint32_t k) {
  const qv_fnode *n = &g->node[k];
  qv_window w = window_of(g, n);
  if (n->op != QF_CONV) (void)snprintf(name, 160, "gemm rows %u in %u out %u", w.n, w.ic, w.oc);
  else
    (void)snprintf(name, 160, "conv %ux%u stride %ux%u dilation %ux%u groups %u in %ux%ux%u out %ux%ux%u", w.kh, w.kw, w.sh, w.sw, w.dh,
                   w.dw, w.groups, w.ic, w.ih, w.iw, w.oc, w.oh, w.ow);
}

/* Weights as [oc][kh][kw][ic], biases as they are. */
static bool fill(qv_affine *a, qv_arena *arena, const qv_quantized *q, uint32_t k, uint32_t ic) {
  const qv_fnode *n = &q->g->node[k];
  bool conv = n->op == QF_CONV;
  uint32_t oc = a->win.oc, kh = conv ? n->kh : 1, kw = conv ? n->kw : 1;
  int32_t *v = QV_NEW(arena, (size_t)oc * ic * kh * kw, int32_t), *zero = QV_NEW(arena, 1, int32_t);
  int64_t *b = QV_NEW(arena, oc, int64_t);
  if (v == NULL || zero == NULL || b == NULL) return false;
  for (uint32_t o = 0; o < oc; o++) {
    b[o] = q->w[k].b[o];
    for (uint32_t c = 0; c < ic; c++)
      for (uint32_t i = 0; i < kh * kw; i++) v[((size_t)o * kh * kw + i) * ic + c] = q->w[k].w[((size_t)o * ic + c) * kh * kw + i];
  }
  a->w = v;
  a->n_w_zp = 1;
  a->w_zp = zero;
  a->b = b;
  return true;
}

static qv_dtype type_of(const qv_fakeq *p) {
  if (p->hi > 255 || p->lo < -128) return p->lo < 0 ? QV_I16 : QV_U16;
  return p->lo < 0 ? QV_I8 : QV_U8;
}

/* Largest size of a sum: what the multiplier of the requantization is made for. */
static double largest(const qv_affine *a, const qv_fakeq *p, uint32_t ic) {
  double most = 1;
  size_t per = (size_t)a->win.kh * a->win.kw * ic;
  for (uint32_t o = 0; o < a->win.oc; o++) {
    double s = (double)(a->b[o] < 0 ? -a->b[o] : a->b[o]);
    for (size_t i = 0; i < per; i++)
      s += (double)(a->w[o * per + i] < 0 ? -a->w[o * per + i] : a->w[o * per + i]) * ((double)p->hi - (double)p->lo);
    if (s > most) most = s;
  }
  return most;
}

static bool add_step(qv_net *net, uint32_t *out, const qv_tensor *sums, double most) {
  qv_tensor y = *sums;
  qv_rq_par *par = QV_NEW(&net->arena, 1, qv_rq_par);
  uint32_t *list = QV_NEW(&net->arena, 1, uint32_t);
  if (par == NULL || list == NULL) return false;
  *par = (qv_rq_par){.fn = QV_RQ_F32, .M = (double)(float)(127 / most)};
  y.name = "z";
  y.type = QV_U8;
  list[0] = *out;
  uint32_t to = qv_net_add_tensor(net, &y);
  qv_node node = {.kind = QV_STEP, .op = "requantization", .n_in = 1, .in = list, .out = to};
  node.u.step = (qv_step){.n_par = 1, .par = par, .inner = 1, .out_zp = 128, .lo = 0, .hi = 255};
  *out = to;
  return to != QV_NONE && qv_net_add_node(net, &node) != QV_NONE;
}

qv_status qv_layer_net(qv_net **out, const qv_quantized *q, uint32_t k, const qv_acc *acc, bool step, qv_err *err) {
  const qv_fnode *n = &q->g->node[k];
  const qv_fakeq *p = &q->q[n->in[0]];
  uint32_t ic = q->g->tensor[n->in[1]].dim[1];
  qv_net *net = qv_net_new(0);
  if (net == NULL) return QV_FAIL(err, QV_E_NOMEM, "layer");
  qv_status st = QV_E_NOMEM;
  qv_tensor in = {.name = "x", .rank = 4, .type = type_of(p), .lo = p->lo, .hi = p->hi}, res = {.name = "y", .rank = 4, .type = QV_I64};
  qv_node node = {.kind = QV_AFFINE, .op = "layer", .n_in = 1};
  node.u.affine = (qv_affine){.win = window_of(q->g, n), .x_zp = p->zp, .acc = *acc};
  const qv_window *win = &node.u.affine.win;
  if (!fill(&node.u.affine, &net->arena, q, k, ic)) goto done;
  in.dim[0] = res.dim[0] = win->n;
  in.dim[1] = win->ih, in.dim[2] = win->iw, in.dim[3] = win->ic;
  res.dim[1] = win->oh, res.dim[2] = win->ow, res.dim[3] = win->oc;
  uint32_t ti = qv_net_add_tensor(net, &in), to = qv_net_add_tensor(net, &res), *list = QV_NEW(&net->arena, 1, uint32_t);
  if (ti == QV_NONE || to == QV_NONE || list == NULL) goto done;
  list[0] = ti;
  node.in = list;
  node.out = to;
  if (qv_net_add_node(net, &node) == QV_NONE || (step && !add_step(net, &to, &res, largest(&node.u.affine, p, ic))) ||
      !qv_net_add_in(net, &(qv_port){.tensor = ti, .end = QV_END_INT, .name = "x"}) ||
      !qv_net_add_out(net, &(qv_port){.tensor = to, .end = QV_END_INT, .name = "y"}))
    goto done;
  st = qv_ir_check(net, err);
done:
  if (st == QV_E_NOMEM) (void)QV_FAIL(err, st, "layer");
  if (st == QV_OK) *out = net;
  else qv_net_free(net);
  return st;
}

qv_status qv_layer_safe(bool *safe, qv_itv *range, int *bits, const qv_quantized *q, uint32_t k, qv_accum accum, qv_err *err) {
  qv_net *net = NULL;
  qv_proof proof = {0};
  qv_acc acc = qv_accum_machine(accum);
  qv_status st = qv_layer_net(&net, q, k, &acc, false, err);
  if (st != QV_OK) return st;
  st = qv_prove_overflow(&proof, net, NULL, &(qv_prove_opts){.work = 1}, err);
  if (st == QV_OK) {
    *safe = proof.verdict == QV_VERIFIED;
    *bits = proof.range.acc[0].bits_final;
    *range = proof.range.acc[0].final[0];
    for (uint32_t c = 1; c < proof.range.acc[0].n; c++) *range = qv_itv_hull(*range, proof.range.acc[0].final[c]);
  }
  qv_proof_clear(&proof);
  qv_net_free(net);
  return st;
}
