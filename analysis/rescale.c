#include "analysis/rescale.h"

#include <math.h>

#include "kernels/profile/profile.h"

uint32_t qv_sole_reader(const qv_net *net, uint32_t t) {
  uint32_t reader = QV_NONE;
  for (uint32_t i = 0; i < net->n_out; i++)
    if (net->out[i].tensor == t) return QV_NONE;
  for (uint32_t k = 0; k < net->n_nodes; k++)
    for (uint32_t i = 0; i < net->node[k].n_in; i++) {
      if (net->node[k].in[i] != t) continue;
      if (reader != QV_NONE) return QV_NONE;
      reader = k;
    }
  return reader;
}

static bool takes_scale(qv_rq fn) {
  switch (fn) {
  case QV_RQ_D:
  case QV_RQ_U:
  case QV_RQ_S:
  case QV_RQ_64:
  case QV_RQ_T:
  case QV_RQ_TD:
  case QV_RQ_F32:
  case QV_RQ_NDU:
  case QV_RQ_F64A:
  case QV_RQ_REF:
  case QV_RQ_F32B:
  case QV_RQ_MEANF: return true;
  case QV_RQ_DIV:
  case QV_RQ_TDIV: return false;
  }
  return false;
}

bool qv_rescale_possible(const qv_net *net, uint32_t node) {
  const qv_node *n = &net->node[node];
  if (n->kind != QV_AFFINE) return false;
  uint32_t r = qv_sole_reader(net, n->out);
  if (r == QV_NONE || net->node[r].kind != QV_STEP || net->node[r].u.step.in_zp != 0) return false;
  for (uint32_t i = 0; i < net->node[r].u.step.n_par; i++)
    if (!takes_scale(net->node[r].u.step.par[i].fn)) return false;
  return true;
}

static size_t terms_per_output(const qv_window *g) { return (size_t)g->kh * g->kw * (g->ic / g->groups); }

void qv_rescale_weights(int32_t *out, const qv_affine *a, int64_t num, int64_t den) {
  size_t k = terms_per_output(&a->win);
  for (uint32_t o = 0; o < a->win.oc; o++) {
    int64_t z = a->w_zp[a->n_w_zp == 1 ? 0 : o];
    for (size_t i = o * k; i < (o + 1) * k; i++) out[i] = (int32_t)(z + qv_rha_div(((qv_i128)a->w[i] - z) * num, den)); /* between w and z */
  }
}

/* Fixed-point multiplier m * 2^e times `by`, for shifts that a runtime writes as sh = e + 31 or s = -e. */
static bool scale_fixed(qv_rq_par *p, double by) {
  bool tosa = p->fn == QV_RQ_T || p->fn == QV_RQ_TD;
  double real = ldexp((double)p->m, tosa ? -p->sh : p->sh - 31) * by;
  int32_t m, sh;
  if (p->m < 0) return false;
  qv_quantize_multiplier(real, false, &m, &sh);
  if (m == 0 && p->m != 0) return false;
  p->m = m;
  p->sh = tosa ? 31 - sh : sh;
  if (tosa) return p->sh >= 2 && p->sh <= 62;
  return p->sh <= (p->fn == QV_RQ_64 ? 7 : 30);
}

static bool scale_par(qv_rq_par *p, double by) {
  switch (p->fn) {
  case QV_RQ_D:
  case QV_RQ_U:
  case QV_RQ_S:
  case QV_RQ_64:
  case QV_RQ_T:
  case QV_RQ_TD: return scale_fixed(p, by);
  case QV_RQ_F32:
  case QV_RQ_NDU:
  case QV_RQ_F32B:
  case QV_RQ_MEANF: p->M = (double)(float)(p->M * by); return p->M != 0 && fabs(p->M) <= 0x1p62;
  case QV_RQ_F64A:
  case QV_RQ_REF: p->M *= by; return p->M != 0 && fabs(p->M) <= 0x1p62;
  case QV_RQ_DIV:
  case QV_RQ_TDIV: return false;
  }
  return false;
}

qv_status qv_rescale(qv_net *net, uint32_t node, int64_t num, int64_t den, qv_err *err) {
  qv_affine *a = &net->node[node].u.affine;
  qv_step *s = &net->node[qv_sole_reader(net, net->node[node].out)].u.step;
  int32_t *w = QV_NEW(&net->arena, a->win.oc * terms_per_output(&a->win), int32_t);
  int64_t *b = QV_NEW(&net->arena, a->win.oc, int64_t);
  qv_rq_par *par = QV_NEW(&net->arena, s->n_par, qv_rq_par);
  if (w == NULL || b == NULL || par == NULL) return QV_FAIL(err, QV_E_NOMEM, "rescaled layer");
  for (uint32_t i = 0; i < s->n_par; i++) {
    par[i] = s->par[i];
    if (!scale_par(&par[i], (double)den / (double)num))
      return QV_FAIL(err, QV_E_UNSUP, "layer %u: the multiplier of channel %u leaves its range", net->node[node].layer, i);
  }
  for (uint32_t o = 0; o < a->win.oc; o++) b[o] = (int64_t)qv_rha_div((qv_i128)a->b[o] * num, den);
  qv_rescale_weights(w, a, num, den);
  a->w = w;
  a->b = b;
  s->par = par;
  return QV_OK;
}
