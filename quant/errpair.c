#include "quant/errpair.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/array.h"
#include "ir/base/rng.h"
#include "kernels/ref.h"
#include "quant/fexec.h"

#define SAMPLES 4 /* inputs that tensors are matched on */

size_t qv_errpair_at(const qv_ftensor *f, bool turned, size_t e) {
  if (!turned) return e;
  size_t c = f->dim[1], hw = (size_t)f->dim[2] * f->dim[3];
  return e % c * hw + e / c;
}

/* ---- matching ---------------------------------------------------------------------------------------------------------------------- */

typedef struct {
  qv_errpair *p;
  qv_fexec x;
  qv_values vals;
  double *diff;   /* [net tensors][float tensors][2] squared distance, summed over the samples */
  double *energy; /* [float tensors] */
  qv_err *err;
} matcher;

/* Could float tensor f be the same thing as integer tensor t? turned: with its channels last. */
static bool same_size(const matcher *m, uint32_t t, uint32_t f, bool turned) {
  const qv_ftensor *x = &m->p->fg->tensor[f];
  if (x->data != NULL || qv_felems(x) != qv_elems(&m->p->net->tensor[t])) return false;
  if (f != m->p->fg->in && qv_fgraph_writer(m->p->fg, f) == NULL) return false; /* left over from a node that is gone */
  return !turned || (x->rank == 4 && x->dim[1] > 1 && x->dim[2] * x->dim[3] > 1);
}

static bool scaled(const qv_errpair *p, uint32_t t) {
  return p->net->tensor[t].has_q && p->net->tensor[t].data == NULL && p->g->element[t] != NULL;
}

static void compare(matcher *m) {
  const qv_net *net = m->p->net;
  const qv_fgraph *fg = m->p->fg;
  for (uint32_t f = 0; f < fg->n_tensors; f++)
    for (size_t e = 0, n = fg->tensor[f].data == NULL ? qv_felems(&fg->tensor[f]) : 0; e < n; e++)
      m->energy[f] += (double)m->x.v[f][e] * (double)m->x.v[f][e];
  for (uint32_t t = 0; t < net->n_tensors; t++) {
    if (!scaled(m->p, t)) continue;
    const qv_tensor *q = &net->tensor[t];
    for (uint32_t f = 0; f < fg->n_tensors; f++)
      for (int turned = 0; turned < 2; turned++) {
        if (!same_size(m, t, f, turned == 1)) continue;
        double s = 0;
        for (size_t e = 0, n = qv_elems(q); e < n; e++) {
          double d = (double)q->scale * (double)(m->vals.v[t][e] - q->zp) - (double)m->x.v[f][qv_errpair_at(&fg->tensor[f], turned == 1, e)];
          s += d * d;
        }
        m->diff[((size_t)t * fg->n_tensors + f) * 2 + (size_t)turned] += s;
      }
  }
}

static qv_status run_sample(matcher *m, const float *in, qv_err *err) {
  const qv_net *net = m->p->net;
  const qv_tensor *t = &net->tensor[m->p->in];
  const qv_ftensor *f = &m->p->fg->tensor[m->p->fg->in];
  for (size_t e = 0, n = qv_elems(t); e < n; e++) {
    float x = in[qv_errpair_at(f, m->p->turned[m->p->in], e)];
    int64_t q;
    if (net->in[0].end == QV_END_INT) q = (int64_t)rint(fmin(1e9, fmax(-1e9, (double)x / (double)t->scale))) + t->zp;
    else if (qv_end_quantize(&q, net, 0, x, err) != QV_OK) return QV_FAIL(err, QV_E_UNSUP, "error bound: the integer network's input has no scale");
    m->vals.v[m->p->in][e] = qv_clamp64(q, t->lo, t->hi);
  }
  qv_fexec_run(&m->x, in);
  return qv_ref_run(net, &m->vals, err);
}

static void choose(matcher *m) {
  qv_errpair *p = m->p;
  for (uint32_t t = 0; t < p->net->n_tensors; t++) {
    double best = 1;
    if (!scaled(p, t)) continue;
    p->scaled++;
    if (p->match[t] != QV_NONE) { /* ends are given */
      p->matched++;
      continue;
    }
    for (uint32_t f = 0; f < p->fg->n_tensors; f++)
      for (int turned = 0; turned < 2; turned++) {
        double d = m->diff[((size_t)t * p->fg->n_tensors + f) * 2 + (size_t)turned] / (m->energy[f] + 1e-30);
        if (!same_size(m, t, f, turned == 1) || !(d < best)) continue;
        best = d;
        p->match[t] = f;
        p->turned[t] = turned == 1;
      }
    p->matched += p->match[t] != QV_NONE;
  }
}

static qv_status match(qv_errpair *p, const float *sample, size_t n, qv_err *err) {
  matcher m = {.p = p, .err = err};
  size_t per = qv_felems(&p->fg->tensor[p->fg->in]);
  qv_rng rng = {1};
  float lo, hi, *in = calloc(per, sizeof *in);
  m.diff = calloc((size_t)p->net->n_tensors * p->fg->n_tensors * 2, sizeof *m.diff);
  m.energy = calloc(p->fg->n_tensors, sizeof *m.energy);
  qv_status st = in != NULL && m.diff != NULL && m.energy != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "error bound");
  if (st == QV_OK) st = qv_fexec_init(&m.x, p->fg, err);
  if (st == QV_OK) st = qv_values_init(&m.vals, p->net, err);
  qv_errpair_codes(p, &lo, &hi);
  for (size_t i = 0; st == QV_OK && i < SAMPLES; i++) {
    if (n > 0 && i >= n) break;
    for (size_t e = 0; e < per; e++)
      in[e] = n > 0 ? sample[i * per + e] : lo + (hi - lo) * (float)(qv_rng_next(&rng) >> 40) * 0x1p-24f;
    st = run_sample(&m, in, err);
    if (st == QV_OK) compare(&m);
  }
  if (st == QV_OK) choose(&m);
  qv_fexec_clear(&m.x);
  qv_values_clear(&m.vals);
  free(in);
  free(m.diff);
  free(m.energy);
  return st;
}

/* ---- requantizations ----------------------------------------------------------------------------------------------------------------- */

/* From the definitions of docs/semantics.md section 2. */
qv_rq_line qv_rq_as_line(const qv_rq_par *p, int64_t zp) {
  double m = (double)p->m, tiny = 0x1p-40;
  int up = p->sh > 0 ? p->sh : 0, down = p->sh < 0 ? -p->sh : 0;
  switch (p->fn) {
  case QV_RQ_D:
  case QV_RQ_U: return (qv_rq_line){ldexp(m, up - 31 - down), 0, ldexp(0.5, -down) + (down > 0 ? 0.5 : 0), 0};
  case QV_RQ_S: return (qv_rq_line){ldexp(m, p->sh - 31), 0, 0.5, 0};
  case QV_RQ_64: return (qv_rq_line){ldexp((double)(p->m < 0x7FFF0000 ? (p->m + (1 << 15)) >> 16 : 0x7FFF), p->sh - 15), 0, 0.5, 0};
  case QV_RQ_T: return (qv_rq_line){ldexp(m, -p->sh), 0, 0.5, 0};
  case QV_RQ_TD: return (qv_rq_line){ldexp(m, -p->sh), 0, 0.5 + (p->sh > 31 ? ldexp(1, 30 - p->sh) : 0), 0};
  case QV_RQ_F32: return (qv_rq_line){p->M, 0, 0.5 + tiny, 0x1p-22};
  case QV_RQ_NDU: return (qv_rq_line){p->M, 0, 0.5, 0};
  case QV_RQ_F64A: return (qv_rq_line){p->M, 0, 0.5 + tiny, 0x1p-51};
  case QV_RQ_REF: return (qv_rq_line){p->M, 0, 0.5 + tiny + 0x1p-51 * fabs((double)zp), 0x1p-50};
  case QV_RQ_F32B: return (qv_rq_line){p->M, p->B, 0.5 + tiny + 0x1p-23 * fabs(p->B), 0x1p-21};
  case QV_RQ_DIV: return (qv_rq_line){1 / m, 0, 0.5, 0x1p-52};
  case QV_RQ_TDIV: return (qv_rq_line){1 / m, 0, 1, 0x1p-52};
  case QV_RQ_MEANF: return (qv_rq_line){p->M / m, p->B, 0.5 + tiny + 0x1p-23 * fabs(p->B), 0x1p-20};
  }
  return (qv_rq_line){0, 0, INFINITY, 0};
}

static void set_step(qv_evar *v, const qv_step *s, uint32_t channel) {
  qv_rq_line f = qv_rq_as_line(&s->par[channel], s->out_zp);
  double scale = v->s * f.mu;
  v->rho = ldexp(scale, (int)s->lshift);
  v->kappa = v->s * (f.off + (double)(s->out_zp - v->z)) - v->rho * (double)s->in_zp;
  v->off = v->s * ((double)(s->out_zp - v->z) + f.off);
  /* the roundings of rho and kappa themselves: two each, relative to what they are made of */
  v->alpha = v->s * f.alpha * (1 + 0x1p-50) + 0x1p-50 * (fabs(v->off) + fabs(v->rho * (double)s->in_zp));
  v->beta = f.beta + 0x1p-50;
  v->r_lo = v->s * (double)(s->lo - v->z);
  v->r_hi = v->s * (double)(s->hi - v->z);
}

/* ---- what each variable stands for --------------------------------------------------------------------------------------------------------- */

static void stand_for(qv_errpair *p, uint32_t t) {
  const qv_ftensor *f = p->match[t] == QV_NONE ? NULL : &p->fg->tensor[p->match[t]];
  const qv_tensor *q = &p->net->tensor[t];
  if (f == NULL || p->f.element[p->match[t]] == NULL) return;
  for (size_t e = 0, n = qv_elems(q); e < n; e++) {
    qv_element x = p->g->element[t][e];
    qv_felement y = p->f.element[p->match[t]][qv_errpair_at(f, p->turned[t], e)];
    if (x.var == QV_NONE || p->v[x.var].own || p->v[x.var].k != QV_NONE) continue;
    if (x.var >= p->g->n_in && p->g->unit[x.var].tensor != t && t != p->out) continue; /* it is another tensor's */
    qv_evar *v = &p->v[x.var];
    v->s = (double)q->scale;
    v->z = q->zp;
    v->k = y.var;
    v->a = y.var == QV_NONE ? 0 : 1;
    v->c = y.var == QV_NONE ? y.c : 0;
    v->own = y.var != QV_NONE;
  }
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------------------- */

typedef struct {
  qv_errpair *p;
  double *w, *abs;     /* [units] of the float terms being gathered */
  uint32_t *used;      /* [units] which */
  bool *is;
  uint32_t n;
} gather;

static void gather_add(gather *x, uint32_t k, double w) {
  if (!x->is[k]) {
    x->is[k] = true;
    x->used[x->n++] = k;
    x->w[k] = x->abs[k] = 0;
  }
  x->w[k] += w;
  x->abs[k] += fabs(w);
}

static bool room(qv_errpair *p, size_t n) {
  if (p->n_term + n <= p->cap_term) return true;
  size_t cap = p->cap_term == 0 ? 1 << 16 : p->cap_term;
  while (cap < p->n_term + n) cap *= 2;
  qv_eterm *t = realloc(p->term, cap * sizeof *t);
  if (t == NULL) return false;
  p->term = t;
  p->cap_term = cap;
  return true;
}

/* Terms of e_acc of v: the accumulator's real meaning less `a`. The two sums are combined unit by unit, so that weights and their
 * roundings cancel. False without memory. */
static bool make_row(gather *x, uint32_t at) {
  qv_errpair *p = x->p;
  const qv_graph *g = p->g;
  const qv_unit *u = &g->unit[at];
  qv_evar *v = &p->v[at];
  size_t n = 0;
  qv_i128 b = u->b; /* b + sum of w * Z */
  for (uint32_t i = u->seg; i < u->seg + u->n_seg; i++) n += g->seg[i].len;
  if (!room(p, n)) return false;
  v->e0 = p->n_term;
  v->b = v->kappa;
  v->b_abs = fabs(v->kappa);
  for (uint32_t i = u->seg; i < u->seg + u->n_seg; i++)
    for (uint32_t j = 0; j < g->seg[i].len; j++) {
      int32_t w = g->w[g->seg[i].w + j];
      const qv_evar *arg = &p->v[g->seg[i].var + j];
      if (w == 0) continue;
      double c = v->rho / arg->s * (double)w;
      b += (qv_i128)w * arg->z;
      p->term[p->n_term++] = (qv_eterm){g->seg[i].var + j, 0, c};
      if (arg->k != QV_NONE) gather_add(x, arg->k, c * arg->a);
      v->b += c * arg->c;
      v->b_abs += fabs(c * arg->c);
    }
  v->ne = (uint32_t)(p->n_term - v->e0);
  v->b += v->rho * (double)b;
  v->b_abs += fabs(v->rho * (double)b);
  if (v->own) { /* less the float unit's row */
    const qv_funit *f = &p->f.unit[v->k];
    for (uint32_t i = 0; i < f->n; i++) gather_add(x, p->f.var[f->first + i], -p->f.w[f->first + i]);
    v->b -= f->b;
    v->b_abs += fabs(f->b);
  } else { /* less L */
    if (v->k != QV_NONE) gather_add(x, v->k, -v->a);
    v->b -= v->c;
    v->b_abs += fabs(v->c);
  }
  if (!room(p, x->n)) return false;
  v->y0 = p->n_term;
  v->ny = x->n;
  for (uint32_t i = 0; i < x->n; i++) {
    uint32_t k = x->used[i];
    p->term[p->n_term++] = (qv_eterm){k, (float)x->abs[k] * 1.001f + 1e-37f, x->w[k]};
    x->is[k] = false;
  }
  x->n = 0;
  return true;
}

/* Where nothing in the float network is known to correspond: a linear image of the one float unit that the arguments stand for. */
static bool make_image(const qv_errpair *p, uint32_t at) {
  const qv_graph *g = p->g;
  const qv_unit *u = &g->unit[at];
  qv_evar *v = &p->v[at];
  double c = v->kappa + v->rho * (double)u->b, a = 0;
  uint32_t k = QV_NONE;
  for (uint32_t i = u->seg; i < u->seg + u->n_seg; i++)
    for (uint32_t j = 0; j < g->seg[i].len; j++) {
      const qv_evar *arg = &p->v[g->seg[i].var + j];
      double w = (double)g->w[g->seg[i].w + j];
      if (g->w[g->seg[i].w + j] == 0) continue;
      if (arg->k != QV_NONE && k != QV_NONE && arg->k != k) return false;
      if (arg->k != QV_NONE) k = arg->k;
      a += v->rho / arg->s * w * arg->a;
      c += v->rho / arg->s * w * arg->c + v->rho * w * (double)arg->z;
    }
  v->k = k;
  v->a = k == QV_NONE ? 0 : a;
  v->c = c;
  return true;
}

static bool float_row(const qv_funit *u) {
  return u->fn == QV_FU_CLIP || u->fn == QV_FU_LEAKY || u->fn == QV_FU_SIGMOID || u->fn == QV_FU_TANH;
}

/* A maximum over variables that stand for exactly the operands of the float maximum. */
static bool same_maximum(const qv_errpair *p, uint32_t at) {
  const qv_unit *u = &p->g->unit[at];
  const qv_node *n = &p->net->node[u->node];
  const qv_evar *v = &p->v[at];
  if (n->kind != QV_MAX || !v->own || p->f.unit[v->k].fn != QV_FU_MAX || p->f.unit[v->k].constant) return false;
  const qv_window *g = &n->u.max;
  const qv_funit *f = &p->f.unit[v->k];
  size_t c = u->el % g->oc, ox = u->el / g->oc % g->ow, oy = u->el / g->oc / g->ow % g->oh, b = u->el / g->oc / g->ow / g->oh;
  uint32_t found = 0;
  for (uint32_t ky = 0; ky < g->kh; ky++)
    for (uint32_t kx = 0; kx < g->kw; kx++) {
      size_t from;
      if (!qv_window_tap(&from, g, b, (uint32_t)oy, (uint32_t)ox, ky, kx)) continue;
      qv_element x = p->g->element[n->in[0]][from + c];
      bool known = false;
      if (x.var == QV_NONE || !p->v[x.var].own) return false;
      for (uint32_t i = 0; i < f->n && !known; i++) known = p->f.var[f->first + i] == p->v[x.var].k;
      if (!known || fabs(p->v[x.var].s - v->s) > 0 || p->v[x.var].z != v->z) return false;
      found++;
    }
  return found == f->n;
}

static bool make_max(qv_errpair *p, uint32_t at) {
  const qv_unit *u = &p->g->unit[at];
  const qv_node *n = &p->net->node[u->node];
  const qv_window *g = &n->u.max;
  size_t c = u->el % g->oc, ox = u->el / g->oc % g->ow, oy = u->el / g->oc / g->ow % g->oh, b = u->el / g->oc / g->ow / g->oh;
  if (!room(p, (size_t)g->kh * g->kw)) return false;
  p->v[at].e0 = p->n_term;
  for (uint32_t ky = 0; ky < g->kh; ky++)
    for (uint32_t kx = 0; kx < g->kw; kx++) {
      size_t from;
      if (qv_window_tap(&from, g, b, (uint32_t)oy, (uint32_t)ox, ky, kx))
        p->term[p->n_term++] = (qv_eterm){p->g->element[n->in[0]][from + c].var, 0, 1};
    }
  p->v[at].ne = (uint32_t)(p->n_term - p->v[at].e0);
  return true;
}

/* A table's argument stands where it stands: its own scale. */
static bool make_table(const qv_errpair *p, uint32_t at) {
  const qv_unit *u = &p->g->unit[at];
  qv_evar *v = &p->v[at];
  if (u->arg == QV_NONE) return false;
  const qv_evar *arg = &p->v[u->arg];
  if (!v->own || arg->k == QV_NONE || !float_row(&p->f.unit[v->k])) return false;
  v->rho = arg->s;
  v->kappa = -arg->s * (double)arg->z;
  return true;
}

static bool make_variable(gather *x, uint32_t at) {
  qv_errpair *p = x->p;
  const qv_unit *u = &p->g->unit[at];
  qv_evar *v = &p->v[at];
  bool row = u->fn == QV_UNIT_STEP || u->fn == QV_UNIT_CLAMP || u->fn == QV_UNIT_ID;
  if (u->fn == QV_UNIT_TABLE && make_table(p, at)) {
    v->kind = QV_EV_TABLE;
    return make_row(x, at);
  }
  if (row && qv_unit_increasing(p->g, at) && (v->k == QV_NONE || !v->own || float_row(&p->f.unit[v->k]))) {
    v->kind = QV_EV_ROW;
    if (u->fn == QV_UNIT_STEP) set_step(v, &p->net->node[u->node].u.step, u->channel);
    else {
      const qv_node *n = &p->net->node[u->node];
      v->rho = v->s;
      v->kappa = v->off = -v->s * (double)v->z;
      v->alpha = 0;
      v->beta = 0;
      v->r_lo = u->fn == QV_UNIT_CLAMP ? v->s * (double)(n->u.clamp.lo - v->z) : -INFINITY;
      v->r_hi = u->fn == QV_UNIT_CLAMP ? v->s * (double)(n->u.clamp.hi - v->z) : INFINITY;
    }
    if (v->k != QV_NONE || v->own || make_image(p, at)) return make_row(x, at);
  }
  v->kind = QV_EV_RANGE;
  if (same_maximum(p, at)) {
    v->kind = QV_EV_MAX;
    return make_max(p, at);
  }
  return true;
}

static qv_status make_variables(qv_errpair *p, qv_err *err) {
  gather x = {.p = p};
  size_t n = p->f.n + 1;
  x.w = calloc(n, sizeof *x.w);
  x.abs = calloc(n, sizeof *x.abs);
  x.used = calloc(n, sizeof *x.used);
  x.is = calloc(n, sizeof *x.is);
  bool ok = x.w != NULL && x.abs != NULL && x.used != NULL && x.is != NULL;
  for (uint32_t v = p->g->n_in; v < p->g->n && ok; v++) ok = make_variable(&x, v);
  free(x.w);
  free(x.abs);
  free(x.used);
  free(x.is);
  return ok ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "error bound");
}

/* ---- the whole -------------------------------------------------------------------------------------------------------------------- */

/* Does the integer tensor have its channels last where the float one has them first? Decided from the shapes. */
static bool is_turned(const qv_tensor *q, const qv_ftensor *f) {
  return f->rank == 4 && q->rank == 4 && f->dim[1] == q->dim[3] && f->dim[2] == q->dim[1] && f->dim[3] == q->dim[2] &&
         !(f->dim[1] == q->dim[1] && f->dim[2] == q->dim[2] && f->dim[3] == q->dim[3]);
}

/* Which outputs are compared: in front of a softmax where both networks have one. */
static qv_status find_ends(qv_errpair *p, qv_err *err) {
  const qv_net *net = p->net;
  const qv_fnode *last = qv_fgraph_writer(p->fg, p->fg->out);
  if (net->n_in != 1 || net->n_out != 1) return QV_FAIL(err, QV_E_UNSUP, "error bound: the integer network has not one input and one output");
  p->in = net->in[0].tensor;
  p->out = net->out[0].tensor;
  p->fout = p->fg->out;
  const qv_node *tail = NULL;
  for (uint32_t k = 0; k < net->n_nodes; k++)
    if (net->node[k].out == p->out && net->node[k].kind == QV_TAIL) tail = &net->node[k];
  p->logits = last != NULL && last->op == QF_SOFTMAX && (tail != NULL || net->out[0].tail != NULL);
  if (p->logits) p->fout = last->in[0];
  if (p->logits && tail != NULL) p->out = tail->in[0];
  const qv_tensor *in = &net->tensor[p->in], *out = &net->tensor[p->out];
  if (!p->logits && net->out[0].tail != NULL) return QV_FAIL(err, QV_E_UNSUP, "error bound: a float '%s' follows the integers only", net->out[0].tail);
  if (in->has_q && !(in->scale > 0x1p-100f && in->scale < 0x1p100f))
    return QV_FAIL(err, QV_E_UNSUP, "error bound: the integer network's input has a scale beyond 2^-100 .. 2^100");
  if (!in->has_q || !out->has_q || net->in[0].end == QV_END_F32_ORDER)
    return QV_FAIL(err, QV_E_UNSUP, "error bound: the integer network's input or output has no scale");
  if (qv_elems(in) != qv_felems(&p->fg->tensor[p->fg->in]) || qv_elems(out) != qv_felems(&p->fg->tensor[p->fout]))
    return QV_FAIL(err, QV_E_UNSUP, "error bound: %zu inputs and %zu outputs in float, %zu and %zu in integers",
                   qv_felems(&p->fg->tensor[p->fg->in]), qv_felems(&p->fg->tensor[p->fout]), qv_elems(in), qv_elems(out));
  p->match[p->in] = p->fg->in;
  p->match[p->out] = p->fout;
  p->turned[p->in] = is_turned(in, &p->fg->tensor[p->fg->in]);
  p->turned[p->out] = is_turned(out, &p->fg->tensor[p->fout]);
  return QV_OK;
}

qv_status qv_errpair_new(qv_errpair **out, const qv_fgraph *g, const qv_net *net, const float *sample, size_t n, qv_err *err) {
  qv_errpair *p = calloc(1, sizeof *p);
  bool *keep = calloc(g->n_tensors, sizeof *keep);
  qv_status st = p != NULL && keep != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "error bound");
  if (st != QV_OK) goto done;
  p->fg = g;
  p->net = net;
  p->match = QV_NEW(&p->arena, net->n_tensors, uint32_t);
  p->turned = QV_NEW(&p->arena, net->n_tensors, bool);
  if (p->match == NULL || p->turned == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "error bound");
    goto done;
  }
  for (uint32_t t = 0; t < net->n_tensors; t++) p->match[t] = QV_NONE;
  QV_TRY(find_ends(p, err));
  QV_TRY(qv_graph_new(&p->g, net, 0, err));
  QV_TRY(match(p, sample, n, err));
  for (uint32_t t = 0; t < net->n_tensors; t++)
    if (p->match[t] != QV_NONE) keep[p->match[t]] = true;
  QV_TRY(qv_funits_make(&p->f, g, keep, err));
  if ((p->v = QV_NEW(&p->arena, p->g->n, qv_evar)) == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "error bound");
    goto done;
  }
  for (uint32_t v = 0; v < p->g->n; v++) p->v[v] = (qv_evar){.kind = QV_EV_INPUT, .k = QV_NONE, .s = 1};
  stand_for(p, p->in);
  stand_for(p, p->out);
  for (uint32_t t = 0; t < net->n_tensors; t++)
    if (scaled(p, t)) stand_for(p, t);
  QV_TRY(make_variables(p, err));
  *out = p;
  p = NULL;
done:
  free(keep);
  qv_errpair_free(p);
  return st;
}

void qv_errpair_free(qv_errpair *p) {
  if (p == NULL) return;
  qv_graph_free(p->g);
  qv_funits_clear(&p->f);
  free(p->term);
  qv_arena_clear(&p->arena);
  free(p);
}

bool qv_errpair_logits(const qv_errpair *p) { return p->logits; }
size_t qv_errpair_outputs(const qv_errpair *p) { return qv_felems(&p->fg->tensor[p->fout]); }
size_t qv_errpair_inputs(const qv_errpair *p) { return qv_felems(&p->fg->tensor[p->fg->in]); }

void qv_errpair_matched(const qv_errpair *p, uint32_t *matched, uint32_t *all) {
  *matched = p->matched;
  *all = p->scaled;
}

void qv_errpair_codes(const qv_errpair *p, float *lo, float *hi) {
  const qv_tensor *t = &p->net->tensor[p->in];
  *lo = t->scale * (float)(t->lo - t->zp);
  *hi = t->scale * (float)(t->hi - t->zp);
}
