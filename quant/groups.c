#include "quant/groups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/prove.h"
#include "quant/measure.h"

const char *qv_metric_name(qv_metric m) {
  switch (m) {
  case QV_METRIC_NOISE: return "noise";
  case QV_METRIC_KL: return "kl";
  case QV_METRIC_FISHER: return "fisher";
  case QV_METRIC_HESSIAN: return "hessian";
  case QV_METRIC_EAGL: return "eagl";
  case QV_METRIC_ORM: return "orm";
  case QV_METRIC_ACCURACY: return "accuracy";
  case QV_METRICS: break;
  }
  return "?";
}

void qv_bits_name(char *name, qv_bits b, bool weights) {
  if (weights) (void)snprintf(name, 16, "W%dA%d", b.w, b.a);
  else (void)snprintf(name, 16, "A%d", b.a);
}

bool qv_bits_read(qv_bits *b, const char *name) {
  char tail;
  *b = (qv_bits){0, 0};
  if (sscanf(name, "W%2dA%2d%c", &b->w, &b->a, &tail) == 2) return b->w >= 2 && b->w <= 16 && b->a >= 2 && b->a <= 16;
  b->w = 0;
  return sscanf(name, "A%2d%c", &b->a, &tail) == 1 && b->a >= 2 && b->a <= 16;
}

/* ---- groups --------------------------------------------------------------------------------------------------------------------- */

static uint64_t macs_of(const qv_fgraph *g, const qv_fnode *n) {
  const qv_ftensor *w = &g->tensor[n->in[1]], *y = &g->tensor[n->out];
  return (uint64_t)qv_felems(y) * (qv_felems(w) / w->dim[0]);
}

qv_status qv_groups_find(qv_groups *out, const qv_fgraph *g, qv_err *err) {
  *out = (qv_groups){0};
  out->of = QV_NEW(&out->arena, g->n_tensors, uint32_t);
  out->group = QV_NEW(&out->arena, g->n_tensors, qv_group);
  if (out->of == NULL || out->group == NULL) return QV_FAIL(err, QV_E_NOMEM, "groups");
  for (uint32_t t = 0; t < g->n_tensors; t++) {
    out->of[t] = QV_NONE;
    if (qv_quant_root(g, t) != t) continue;
    qv_group *x = &out->group[out->of[t] = out->n++];
    x->tensor = t;
    x->elems = qv_felems(&g->tensor[t]);
    if ((x->node = QV_NEW(&out->arena, g->n_nodes, uint32_t)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "groups");
    for (uint32_t k = 0; k < g->n_nodes; k++) {
      const qv_fnode *n = &g->node[k];
      if (!qv_quant_linear(n) || qv_quant_root(g, n->in[0]) != t) continue;
      x->node[x->n++] = k;
      x->macs += macs_of(g, n);
      x->weights += qv_felems(&g->tensor[n->in[1]]);
      x->channels += g->tensor[n->in[1]].dim[0];
    }
  }
  return QV_OK;
}

void qv_groups_clear(qv_groups *x) {
  qv_arena_clear(&x->arena);
  *x = (qv_groups){0};
}

/* ---- the proof of one candidate --------------------------------------------------------------------------------------------------- */

/* Node k of q as a net of its own: its input takes every code. */
static qv_status layer_net(qv_net **out, const qv_quantized *q, uint32_t k, const qv_acc *acc, qv_err *err) {
  const qv_fgraph *g = q->g;
  const qv_fnode *n = &g->node[k];
  const qv_ftensor *x = &g->tensor[n->in[0]], *y = &g->tensor[n->out], *w = &g->tensor[n->in[1]];
  const qv_fakeq *p = &q->q[n->in[0]];
  bool conv = n->op == QF_CONV;
  qv_net *net = qv_net_new(0);
  if (net == NULL) return QV_FAIL(err, QV_E_NOMEM, "layer");
  uint32_t oc = w->dim[0], ic = w->dim[1], kh = conv ? n->kh : 1, kw = conv ? n->kw : 1;
  int32_t *v = QV_NEW(&net->arena, qv_felems(w), int32_t), *zero = QV_NEW(&net->arena, 1, int32_t);
  int64_t *b = QV_NEW(&net->arena, oc, int64_t);
  qv_status st = QV_E_NOMEM;
  if (v == NULL || zero == NULL || b == NULL) goto done;
  for (uint32_t o = 0; o < oc; o++) {
    b[o] = q->w[k].b[o];
    for (uint32_t c = 0; c < ic; c++)
      for (uint32_t i = 0; i < kh * kw; i++) v[((size_t)o * kh * kw + i) * ic + c] = q->w[k].w[((size_t)o * ic + c) * kh * kw + i];
  }
  qv_tensor in = {.name = "x", .rank = 4, .type = p->hi > 255 || p->lo < -128 ? (p->lo < 0 ? QV_I16 : QV_U16) : p->lo < 0 ? QV_I8 : QV_U8, .lo = p->lo, .hi = p->hi};
  qv_tensor res = {.name = "y", .rank = 4, .type = QV_I64};
  qv_window win = {.n = conv ? 1 : x->dim[0], .ih = conv ? x->dim[2] : 1, .iw = conv ? x->dim[3] : 1, .ic = x->dim[1],
                   .oh = conv ? y->dim[2] : 1, .ow = conv ? y->dim[3] : 1, .oc = oc, .kh = kh, .kw = kw, .sh = 1, .sw = 1, .dh = 1, .dw = 1, .groups = 1};
  if (conv) win.sh = n->sh, win.sw = n->sw, win.dh = n->dh, win.dw = n->dw, win.pt = n->pt, win.pl = n->pl, win.groups = n->groups;
  in.dim[0] = res.dim[0] = win.n;
  in.dim[1] = win.ih, in.dim[2] = win.iw, in.dim[3] = win.ic;
  res.dim[1] = win.oh, res.dim[2] = win.ow, res.dim[3] = oc;
  uint32_t ti = qv_net_add_tensor(net, &in), to = qv_net_add_tensor(net, &res), *list = QV_NEW(&net->arena, 1, uint32_t);
  if (ti == QV_NONE || to == QV_NONE || list == NULL) goto done;
  list[0] = ti;
  qv_node node = {.kind = QV_AFFINE, .op = "layer", .n_in = 1, .in = list, .out = to};
  node.u.affine = (qv_affine){.win = win, .x_zp = p->zp, .w = v, .n_w_zp = 1, .w_zp = zero, .b = b, .acc = *acc};
  if (qv_net_add_node(net, &node) == QV_NONE || !qv_net_add_in(net, &(qv_port){.tensor = ti, .end = QV_END_INT, .name = "x"}) ||
      !qv_net_add_out(net, &(qv_port){.tensor = to, .end = QV_END_INT, .name = "y"}))
    goto done;
  st = qv_ir_check(net, err);
done:
  if (st == QV_E_NOMEM) (void)QV_FAIL(err, st, "layer");
  if (st == QV_OK) *out = net;
  else qv_net_free(net);
  return st;
}

/* Is every accumulator of node k proved to stay inside `acc`? *range: hull of its final values. */
static qv_status layer_safe(bool *safe, qv_itv *range, const qv_quantized *q, uint32_t k, const qv_acc *acc, qv_err *err) {
  qv_net *net = NULL;
  qv_proof proof = {0};
  qv_status st = layer_net(&net, q, k, acc, err);
  if (st != QV_OK) return st;
  st = qv_prove_overflow(&proof, net, NULL, &(qv_prove_opts){.work = 1}, err);
  if (st == QV_OK) {
    *safe = proof.verdict == QV_VERIFIED;
    *range = proof.range.acc[0].final[0];
    for (uint32_t c = 1; c < proof.range.acc[0].n; c++) *range = qv_itv_hull(*range, proof.range.acc[0].final[c]);
  }
  qv_proof_clear(&proof);
  qv_net_free(net);
  return st;
}

/* ---- the table -------------------------------------------------------------------------------------------------------------------- */

typedef struct {
  const qv_fgraph *g;
  const qv_calib *c;
  const qv_table_opts *o;
  qv_made_table *t;
  qv_quantized *whole; /* [n_cand] the network with every group at that candidate */
  qv_measure *m;
  qv_err *err;
} maker;

#define PUT(k, ...) qv_buf_printf(&(k)->t->json, __VA_ARGS__)

static qv_status quantize_all(maker *k) {
  int *a = calloc((size_t)k->g->n_tensors + 1, sizeof *a), *w = calloc((size_t)k->g->n_nodes + 1, sizeof *w);
  qv_status st = a != NULL && w != NULL ? QV_OK : QV_FAIL(k->err, QV_E_NOMEM, "allocation table");
  qv_quant_opts plain = k->o->quant;
  plain.correct_bias = false; /* depends on every other choice */
  for (uint32_t i = 0; st == QV_OK && i < k->o->n_cand; i++) {
    for (uint32_t t = 0; t < k->g->n_tensors; t++) a[t] = k->o->cand[i].a;
    for (uint32_t n = 0; n < k->g->n_nodes; n++) w[n] = k->o->cand[i].w;
    st = qv_quantize(&k->whole[i], k->g, k->c, a, w, &plain, k->err);
  }
  free(a);
  free(w);
  return st;
}

static qv_acc accumulator(const qv_table_opts *o) {
  if (!o->pairs) return (qv_acc){.mode = QV_ACC_WRAP, .bits = (uint8_t)o->acc_bits, .order = QV_ORDER_ANY};
  return (qv_acc){.mode = QV_ACC_PAIR16, .bits = (uint8_t)o->acc_bits, .order = QV_ORDER_KERNEL, .raw = true, .pairing = QV_PAIR_ADJACENT};
}

/* *fits: every consumer's accumulator is proved safe at candidate i. */
static qv_status filter(maker *k, uint32_t group, uint32_t i, bool *fits) {
  const qv_group *x = &k->t->groups.group[group];
  qv_acc acc = accumulator(k->o);
  *fits = true;
  for (uint32_t j = 0; *fits && j < x->n; j++) {
    qv_itv range = {0, 0};
    qv_status st = layer_safe(fits, &range, &k->whole[i], x->node[j], &acc, k->err);
    if (st != QV_OK) return st;
    if (!*fits) k->t->out[k->t->n_out++] = (qv_left_out){group, i, x->node[j], range.lo, range.hi};
  }
  return QV_OK;
}

/* Bits of weights, biases (32) and scales (32, one a channel or one), and of the tensor's own scale and zero point. */
static uint64_t size_bits(const maker *k, const qv_group *x, qv_bits b) {
  return x->weights * (uint64_t)b.w + x->channels * 32 + (k->o->quant.per_tensor ? x->n : x->channels) * 32 + 64;
}

static void put_json_string(maker *k, const char *s) {
  PUT(k, "\"");
  for (; *s != 0; s++) {
    if ((unsigned char)*s < 0x20 || *s == '"' || *s == '\\') PUT(k, "\\u%04x", (unsigned)(unsigned char)*s);
    else PUT(k, "%c", *s);
  }
  PUT(k, "\"");
}

static bool at_end(const maker *k, const qv_group *x) { return x->tensor == k->g->in || x->tensor == qv_quant_root(k->g, k->g->out); }

static qv_status put_candidate(maker *k, uint32_t group, uint32_t i, bool first) {
  const qv_group *x = &k->t->groups.group[group];
  qv_bits b = k->o->cand[i];
  double loss[QV_METRICS];
  char name[16];
  qv_status st = qv_measure_loss(loss, k->m, &k->whole[i], group, b, k->err);
  if (st != QV_OK) return st;
  qv_bits_name(name, b, x->n > 0);
  PUT(k, "%s\n      {\"name\": \"%s\", \"precision\": \"%s\", \"loss\": {", first ? "" : ",", name, name);
  for (uint32_t j = 0; j < k->o->n_metric; j++) PUT(k, "%s\"%s\": \"%.12g\"", j > 0 ? ", " : "", qv_metric_name(k->o->metric[j]), loss[j]);
  PUT(k, "}, \"cost\": {\"size\": \"%llu\", \"bops\": \"%llu\", \"activations\": \"%llu\"}}", (unsigned long long)size_bits(k, x, b),
      (unsigned long long)(x->macs * (uint64_t)b.w * (uint64_t)b.a), (unsigned long long)(x->elems * (uint64_t)b.a));
  return QV_OK;
}

static qv_status put_group(maker *k, uint32_t group) {
  const qv_group *x = &k->t->groups.group[group];
  uint32_t n = 0;
  qv_bits fixed = {0, 0};
  bool keep = k->o->fixed_first_last != NULL && at_end(k, x) && qv_bits_read(&fixed, k->o->fixed_first_last);
  PUT(k, "%s\n    {\"name\": ", group > 0 ? "," : "");
  put_json_string(k, k->g->tensor[x->tensor].name);
  PUT(k, ", \"candidates\": [");
  for (uint32_t i = 0; i < k->o->n_cand; i++) {
    bool fits, again = false;
    for (uint32_t j = 0; x->n == 0 && j < i; j++) again = again || k->o->cand[j].a == k->o->cand[i].a;
    if (again || (keep && (k->o->cand[i].a != fixed.a || (x->n > 0 && k->o->cand[i].w != fixed.w)))) continue;
    qv_status st = filter(k, group, i, &fits);
    if (st == QV_OK && fits) st = put_candidate(k, group, i, n++ == 0);
    if (st != QV_OK) return st;
  }
  PUT(k, "\n    ]}");
  if (n > 0) return QV_OK;
  const qv_left_out *l = k->t->n_out > 0 ? &k->t->out[k->t->n_out - 1] : NULL;
  if (l == NULL || l->group != group) return QV_FAIL(k->err, QV_E_ARG, "group \"%s\": the candidate that input and output keep is not among the candidates", k->g->tensor[x->tensor].name);
  return QV_FAIL(k->err, QV_E_UNSUP,
                 "group \"%s\": no candidate is proved safe for a %d-bit accumulator; the last one left out, for node \"%s\", ranges over [%lld,%lld]",
                 k->g->tensor[x->tensor].name, k->o->acc_bits, k->g->node[l->node].name, (long long)l->lo, (long long)l->hi);
}

qv_status qv_make_table(qv_made_table *out, const qv_fgraph *g, const qv_calib *c, const qv_table_opts *o, qv_err *err) {
  *out = (qv_made_table){0};
  maker k = {.g = g, .c = c, .o = o, .t = out, .err = err};
  qv_status st = qv_groups_find(&out->groups, g, err);
  if (st != QV_OK) return st;
  out->out = QV_NEW(&out->arena, (size_t)out->groups.n * o->n_cand, qv_left_out);
  k.whole = calloc(o->n_cand > 0 ? o->n_cand : 1, sizeof *k.whole);
  if (out->out == NULL || k.whole == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "allocation table");
    goto done;
  }
  if (o->n_cand == 0 || o->n_metric == 0) {
    st = QV_FAIL(err, QV_E_ARG, "no candidate, or no metric");
    goto done;
  }
  QV_TRY(quantize_all(&k));
  QV_TRY(qv_measure_new(&k.m, g, c, &out->groups, o, err));
  char reference[16];
  qv_bits_name(reference, o->cand[0], true);
  PUT(&k, "{ \"format\": \"qverify-table/1\", \"costs\": [\"size\", \"bops\", \"activations\"], \"reference\": \"%s\", \"metric\": \"%s\",\n  \"groups\": [", reference,
      qv_metric_name(o->metric[0]));
  for (uint32_t i = 0; i < out->groups.n; i++) QV_TRY(put_group(&k, i));
  PUT(&k, "\n  ]\n}\n");
  if (out->json.failed) st = QV_FAIL(err, QV_E_NOMEM, "allocation table");
done:
  qv_measure_free(k.m);
  for (uint32_t i = 0; k.whole != NULL && i < o->n_cand; i++) qv_quantized_clear(&k.whole[i]);
  free(k.whole);
  return st;
}

void qv_made_table_clear(qv_made_table *t) {
  qv_groups_clear(&t->groups);
  qv_buf_free(&t->json);
  qv_arena_clear(&t->arena);
  *t = (qv_made_table){0};
}
