#include "quant/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/rng.h"
#include "quant/entropy.h"
#include "quant/sens_file.h"

#define PROBES 2       /* random vectors of a trace                       */
#define TRACE_SAMPLES 8
#define CODES 65536 /* of 16-bit weights */

struct qv_measure {
  const qv_fgraph *g;
  const qv_calib *c;
  const qv_groups *groups;
  const qv_table_opts *o;
  size_t n, per, n_out; /* samples, elements of one, elements of the logits */
  uint32_t logits;      /* tensor in front of a final softmax, or the output */
  float *ref;           /* [n][n_out] logits of the float network */
  double *trace;        /* [n_nodes] mean Hessian trace of the weights; HESSIAN */
  double *theta;        /* [groups]; ORM */
  qv_fakeq *fake;       /* [n_tensors] */
  float *w;             /* weights of one node, for exchange */
  uint64_t *count;      /* [CODES]; EAGL */
  double right;         /* samples that the float network gets right; ACCURACY */
  size_t most;          /* weights of the largest node */
  bool ready;           /* traces and the like are there */
  qv_fexec x;
  qv_arena arena;
};

static bool wants(const qv_measure *m, qv_metric k) {
  for (uint32_t i = 0; i < m->o->n_metric; i++)
    if (m->o->metric[i] == k) return true;
  return false;
}

size_t qv_first_max(const float *y, size_t n) {
  size_t best = 0;
  for (size_t i = 1; i < n; i++)
    if (y[i] > y[best]) best = i;
  return best;
}

/* ---- gradients -------------------------------------------------------------------------------------------------------------------- */

/* Gradient at the output of the loss of sample i: cross entropy with its label (without one: with the network's own answer), or half the
 * squared norm for a single output. */
static void loss_gradient(const qv_measure *m, size_t i, float *dout) {
  const float *y = m->x.v[m->g->out];
  size_t n = qv_felems(&m->g->tensor[m->g->out]);
  if (n == 1) {
    dout[0] = y[0];
    return;
  }
  size_t cls = m->o->label != NULL && m->o->label[i] >= 0 && (size_t)m->o->label[i] < n ? (size_t)m->o->label[i] : qv_first_max(y, n);
  if (m->logits != m->g->out) { /* probabilities */
    memset(dout, 0, n * sizeof *dout);
    dout[cls] = -1 / fmaxf(y[cls], 1e-6f);
    return;
  }
  float top = y[qv_first_max(y, n)], sum = 0;
  for (size_t e = 0; e < n; e++) sum += dout[e] = expf(y[e] - top);
  for (size_t e = 0; e < n; e++) dout[e] = dout[e] / sum - (e == cls ? 1 : 0);
}

static const float *sample(const qv_measure *m, size_t i) { return m->c->sample + i * m->per; }

static void gradients(qv_measure *m, size_t i, float *dout) {
  qv_fexec_run(&m->x, sample(m, i));
  loss_gradient(m, i, dout);
  qv_fexec_back(&m->x, dout);
}

/* Trace of the loss' Hessian in the weights of node k, over their number: v' H v for random signs v, H v by central differences of the
 * gradient (Hutchinson; HAWQ-V2). */
static double trace_of(qv_measure *m, uint32_t k, qv_rng *rng, float *dout, float *v, float *up) {
  uint32_t t = m->g->node[k].in[1];
  const float *w = m->g->tensor[t].data;
  size_t n = qv_felems(&m->g->tensor[t]), samples = m->n < TRACE_SAMPLES ? m->n : TRACE_SAMPLES;
  double norm = 0, sum = 0;
  for (size_t e = 0; e < n; e++) norm += (double)w[e] * (double)w[e];
  float h = (float)(1e-2 * sqrt(norm / (double)n) + 1e-6);
  for (int p = 0; p < PROBES; p++) {
    for (size_t e = 0; e < n; e++) v[e] = (qv_rng_next(rng) & 1) != 0 ? 1 : -1;
    for (size_t i = 0; i < samples; i++) {
      for (size_t e = 0; e < n; e++) m->w[e] = w[e] + h * v[e];
      m->x.v[t] = m->w;
      gradients(m, i, dout);
      memcpy(up, m->x.grad[t], n * sizeof *up);
      for (size_t e = 0; e < n; e++) m->w[e] = w[e] - h * v[e];
      gradients(m, i, dout);
      for (size_t e = 0; e < n; e++) sum += (double)v[e] * ((double)up[e] - (double)m->x.grad[t][e]) / (2 * (double)h);
    }
  }
  m->x.v[t] = m->g->tensor[t].data;
  return fabs(sum) / (double)(PROBES * samples * n);
}

static qv_status traces(qv_measure *m, size_t most, float *dout, qv_err *err) {
  qv_rng rng = {1};
  float *v = calloc(most, sizeof *v), *up = calloc(most, sizeof *up);
  m->trace = QV_NEW(&m->arena, m->g->n_nodes, double);
  bool ok = v != NULL && up != NULL && m->trace != NULL;
  for (uint32_t k = 0; ok && k < m->g->n_nodes; k++)
    if (qv_quant_linear(&m->g->node[k])) m->trace[k] = trace_of(m, k, &rng, dout, v, up);
  free(v);
  free(up);
  return ok ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "sensitivities");
}

/* ---- features --------------------------------------------------------------------------------------------------------------------- */

/* Centred Gram matrix of group i's tensor over the samples, divided by its Frobenius norm. */
static void centre(double *k, size_t n) {
  double all = 0, norm = 0;
  for (size_t i = 0; i < n * n; i++) all += k[i] / (double)(n * n);
  double *row = k + n * n; /* room for the means behind the matrix */
  for (size_t i = 0; i < n; i++) {
    row[i] = 0;
    for (size_t j = 0; j < n; j++) row[i] += k[i * n + j] / (double)n;
  }
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < n; j++) k[i * n + j] += all - row[i] - row[j]; /* symmetric: column means are row means */
  for (size_t i = 0; i < n * n; i++) norm += k[i] * k[i];
  for (size_t i = 0; i < n * n; i++) k[i] /= sqrt(norm) + 1e-30;
}

/* theta_i = exp(-sum over j != i of the cosine of the centred Gram matrices) (OMPQ's orthogonality metric). */
static qv_status orthogonality(qv_measure *m, qv_err *err) {
  size_t n = m->n, size = n * n + n;
  uint32_t groups = m->groups->n;
  double *gram = calloc(size * groups, sizeof *gram);
  m->theta = QV_NEW(&m->arena, groups, double);
  qv_status st = gram != NULL && m->theta != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "sensitivities");
  float **keep = calloc(n * groups, sizeof *keep);
  if (keep == NULL && st == QV_OK) st = QV_FAIL(err, QV_E_NOMEM, "sensitivities");
  for (size_t i = 0; st == QV_OK && i < n; i++) {
    qv_fexec_run(&m->x, sample(m, i));
    for (uint32_t k = 0; st == QV_OK && k < groups; k++) {
      size_t len = m->groups->group[k].elems;
      if ((keep[i * groups + k] = malloc(len * sizeof(float))) == NULL) st = QV_FAIL(err, QV_E_NOMEM, "sensitivities");
      else memcpy(keep[i * groups + k], m->x.v[m->groups->group[k].tensor], len * sizeof(float));
    }
  }
  for (uint32_t k = 0; st == QV_OK && k < groups; k++) {
    double *q = gram + k * size;
    for (size_t i = 0; i < n; i++)
      for (size_t j = 0; j <= i; j++) {
        double s = 0;
        for (size_t e = 0; e < m->groups->group[k].elems; e++) s += (double)keep[i * groups + k][e] * (double)keep[j * groups + k][e];
        q[i * n + j] = q[j * n + i] = s;
      }
    centre(q, n);
  }
  for (uint32_t k = 0; st == QV_OK && k < groups; k++) {
    double gamma = 0;
    for (uint32_t j = 0; j < groups; j++)
      for (size_t e = 0; j != k && e < n * n; e++) gamma += gram[k * size + e] * gram[j * size + e];
    m->theta[k] = exp(-gamma);
  }
  for (size_t i = 0; keep != NULL && i < n * groups; i++) free(keep[i]);
  free(keep);
  free(gram);
  return st;
}

/* ---- making ----------------------------------------------------------------------------------------------------------------------- */

static qv_status reference(qv_measure *m, qv_err *err) {
  m->ref = QV_NEW(&m->arena, m->n * m->n_out, float);
  if (m->ref == NULL) return QV_FAIL(err, QV_E_NOMEM, "sensitivities");
  for (size_t i = 0; i < m->n; i++) {
    qv_fexec_run(&m->x, sample(m, i));
    memcpy(m->ref + i * m->n_out, m->x.v[m->logits], m->n_out * sizeof *m->ref);
    if (m->o->label != NULL) m->right += (int64_t)qv_first_max(m->ref + i * m->n_out, m->n_out) == m->o->label[i];
  }
  return QV_OK;
}

static uint32_t logits_of(const qv_fgraph *g) {
  const qv_fnode *last = qv_fgraph_writer(g, g->out);
  return last != NULL && last->op == QF_SOFTMAX ? last->in[0] : g->out;
}

/* What the measures need beside one candidate: made when the first one is not known from a file. */
static qv_status prepare(qv_measure *m, qv_err *err) {
  const qv_fgraph *g = m->g;
  qv_status st = QV_OK;
  if (m->ready) return QV_OK;
  float *dout = NULL;
  m->fake = QV_NEW(&m->arena, g->n_tensors, qv_fakeq);
  m->w = QV_NEW(&m->arena, m->most, float);
  m->count = QV_NEW(&m->arena, CODES, uint64_t);
  dout = calloc(qv_felems(&g->tensor[g->out]), sizeof *dout);
  if (m->fake == NULL || m->w == NULL || m->count == NULL || dout == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "sensitivities");
    goto done;
  }
  QV_TRY(qv_fexec_init(&m->x, g, err));
  QV_TRY(reference(m, err));
  if (wants(m, QV_METRIC_FISHER) || wants(m, QV_METRIC_HESSIAN)) QV_TRY(qv_fexec_grads(&m->x, err));
  if (wants(m, QV_METRIC_HESSIAN)) QV_TRY(traces(m, m->most, dout, err));
  if (wants(m, QV_METRIC_ORM)) QV_TRY(orthogonality(m, err));
  m->ready = true;
done:
  free(dout);
  return st;
}

qv_status qv_measure_new(qv_measure **out, const qv_fgraph *g, const qv_calib *c, const qv_groups *groups, const qv_table_opts *o, qv_err *err) {
  qv_measure *m = calloc(1, sizeof *m);
  size_t most = 1;
  qv_status st = QV_OK;
  if (m == NULL) return QV_FAIL(err, QV_E_NOMEM, "sensitivities");
  *m = (qv_measure){.g = g, .c = c, .groups = groups, .o = o, .n = o->samples > 0 ? o->samples : 32, .per = qv_felems(&g->tensor[g->in])};
  if (m->n > c->n) m->n = c->n;
  m->logits = logits_of(g);
  m->n_out = qv_felems(&g->tensor[m->logits]);
  for (uint32_t k = 0; k < g->n_nodes; k++)
    if (qv_quant_linear(&g->node[k]) && qv_felems(&g->tensor[g->node[k].in[1]]) > most) most = qv_felems(&g->tensor[g->node[k].in[1]]);
  if (wants(m, QV_METRIC_ACCURACY) && o->label == NULL) {
    st = QV_FAIL(err, QV_E_ARG, "the metric 'accuracy' needs labels");
    goto done;
  }
  m->most = most;
  *out = m;
  m = NULL;
done:
  qv_measure_free(m);
  return st;
}

void qv_measure_free(qv_measure *m) {
  if (m == NULL) return;
  qv_fexec_clear(&m->x);
  qv_arena_clear(&m->arena);
  free(m);
}

/* ---- one candidate ------------------------------------------------------------------------------------------------------------------ */

static float weight(const qv_quantized *q, uint32_t k, size_t e) {
  const qv_ftensor *w = &q->g->tensor[q->g->node[k].in[1]];
  return (float)q->w[k].w[e] * q->w[k].s[q->w[k].n_s == 1 ? 0 : e / (qv_felems(w) / w->dim[0])];
}

/* Values of x with only this group quantized. *swap: memory for its weights, the caller's. */
static qv_status only_group(qv_measure *m, const qv_quantized *q, const qv_group *x, float **swap, qv_err *err) {
  size_t all = 1, at = 0;
  for (uint32_t i = 0; i < x->n; i++) all += qv_felems(&m->g->tensor[m->g->node[x->node[i]].in[1]]);
  if ((*swap = malloc(all * sizeof **swap)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "sensitivities");
  for (uint32_t t = 0; t < m->g->n_tensors; t++) {
    uint32_t root = qv_quant_root(m->g, t);
    m->fake[t] = root == x->tensor ? q->q[t] : (qv_fakeq){0};
  }
  for (uint32_t i = 0; i < x->n; i++) {
    uint32_t k = x->node[i], t = m->g->node[k].in[1];
    size_t n = qv_felems(&m->g->tensor[t]);
    m->x.v[t] = *swap + at;
    for (size_t e = 0; e < n; e++) (*swap)[at++] = weight(q, k, e);
  }
  m->x.fake = m->fake;
  return QV_OK;
}

static void as_before(qv_measure *m, const qv_group *x) {
  m->x.fake = NULL;
  for (uint32_t i = 0; i < x->n; i++) {
    uint32_t t = m->g->node[x->node[i]].in[1];
    m->x.v[t] = m->g->tensor[t].data;
  }
}

static double divergence(const float *p, const float *q, size_t n) {
  double tp = (double)p[qv_first_max(p, n)], tq = (double)q[qv_first_max(q, n)], sp = 0, sq = 0, kl = 0;
  for (size_t e = 0; e < n; e++) sp += exp((double)p[e] - tp), sq += exp((double)q[e] - tq);
  for (size_t e = 0; e < n; e++) {
    double lp = (double)p[e] - tp - log(sp), lq = (double)q[e] - tq - log(sq);
    kl += exp(lp) * (lp - lq);
  }
  return fmax(0, kl);
}

static double squared_change(const qv_quantized *q, uint32_t k, const float *grad) {
  const float *w = q->g->tensor[q->g->node[k].in[1]].data;
  double s = 0;
  for (size_t e = 0, n = qv_felems(&q->g->tensor[q->g->node[k].in[1]]); e < n; e++) {
    double d = ((double)weight(q, k, e) - (double)w[e]) * (grad != NULL ? (double)grad[e] : 1);
    s += d * d;
  }
  return s;
}

static double fisher(qv_measure *m, const qv_quantized *q, const qv_group *x, float *dout) {
  double s = 0;
  const qv_fakeq *p = &q->q[x->tensor];
  for (size_t i = 0; i < m->n; i++) {
    gradients(m, i, dout);
    for (size_t e = 0; e < x->elems; e++) {
      float v = m->x.v[x->tensor][e];
      double d = ((double)qv_fake(p, v) - (double)v) * (double)m->x.grad[x->tensor][e];
      s += d * d;
    }
    for (uint32_t j = 0; j < x->n; j++) s += squared_change(q, x->node[j], m->x.grad[m->g->node[x->node[j]].in[1]]);
  }
  return s / (double)m->n;
}

/* Entropy in bits of the codes of node k's weights, times their number: the middle of a certified interval. */
static double code_bits(const qv_quantized *q, uint32_t k, uint64_t *count) {
  double lo, hi;
  memset(count, 0, CODES * sizeof *count);
  for (size_t e = 0, n = qv_felems(&q->g->tensor[q->g->node[k].in[1]]); e < n; e++) count[q->w[k].w[e] + CODES / 2]++;
  qv_entropy_bits(&lo, &hi, count, CODES);
  return lo + (hi - lo) / 2;
}

static qv_status measure(double *loss, qv_measure *m, const qv_quantized *q, uint32_t group, qv_bits b, qv_err *err) {
  const qv_group *x = &m->groups->group[group];
  double noise = 0, signal = 1e-30, sqnr = 0, kl = 0, right = 0, of[QV_METRICS] = {0};
  int top = m->o->cand[0].w;
  float *swap = NULL, *dout = calloc(qv_felems(&m->g->tensor[m->g->out]), sizeof *dout);
  if (dout == NULL) return QV_FAIL(err, QV_E_NOMEM, "sensitivities");
  qv_status st = QV_OK;
  if (wants(m, QV_METRIC_NOISE) || wants(m, QV_METRIC_SQNR) || wants(m, QV_METRIC_KL) || wants(m, QV_METRIC_ACCURACY)) {
    QV_TRY(only_group(m, q, x, &swap, err));
    for (size_t i = 0; i < m->n; i++) {
      const float *ref = m->ref + i * m->n_out, *y = m->x.v[m->logits];
      double d2 = 0, s2 = 0;
      qv_fexec_run(&m->x, sample(m, i));
      for (size_t e = 0; e < m->n_out; e++) {
        d2 += ((double)y[e] - (double)ref[e]) * ((double)y[e] - (double)ref[e]);
        s2 += (double)ref[e] * (double)ref[e];
      }
      noise += d2;
      signal += s2;
      sqnr += s2 / (d2 + 1e-4 * (double)m->n_out) / (double)m->n; /* AIMET: mean(s^2) / (mean((s-q)^2) + 1e-4) */
      kl += divergence(ref, y, m->n_out) / (double)m->n;
      if (m->o->label != NULL) right += (int64_t)qv_first_max(y, m->n_out) == m->o->label[i];
    }
    as_before(m, x);
  }
  of[QV_METRIC_NOISE] = noise / signal;
  of[QV_METRIC_SQNR] = 1 / fmax(sqnr, 1e-30);
  of[QV_METRIC_KL] = kl;
  of[QV_METRIC_ACCURACY] = (m->right - right) / (double)m->n;
  if (wants(m, QV_METRIC_FISHER)) of[QV_METRIC_FISHER] = fisher(m, q, x, dout);
  for (uint32_t j = 0; j < x->n; j++) {
    if (m->trace != NULL) of[QV_METRIC_HESSIAN] += m->trace[x->node[j]] * squared_change(q, x->node[j], NULL);
    if (wants(m, QV_METRIC_EAGL)) of[QV_METRIC_EAGL] += code_bits(q, x->node[j], m->count) * (top - b.w) / top;
  }
  if (m->theta != NULL && x->n > 0) of[QV_METRIC_ORM] = m->theta[group] * (top - b.w) / 8;
  if (wants(m, QV_METRIC_ERROR)) QV_TRY(qv_measure_error(&of[QV_METRIC_ERROR], m->g, m->c, m->groups, m->o, group, b, err));
  for (uint32_t i = 0; i < m->o->n_metric; i++) loss[i] = of[m->o->metric[i]];
done:
  free(swap);
  free(dout);
  return st;
}

qv_status qv_measure_loss(double *loss, qv_measure *m, const qv_quantized *q, uint32_t group, qv_bits b, qv_err *err) {
  const char *name = m->g->tensor[m->groups->group[group].tensor].name;
  double now[QV_METRICS], known[QV_METRICS];
  bool have[QV_METRICS] = {false};
  uint32_t n = 0;
  char cand[QV_CAND_NAME];
  qv_cand_name(cand, b, NULL, m->groups->group[group].n > 0);
  for (uint32_t i = 0; i < m->o->n_metric; i++) {
    have[i] = m->o->sens != NULL && qv_sens_get(&known[i], m->o->sens, name, cand, qv_metric_name(m->o->metric[i]));
    if (!have[i] && m->o->metric[i] == QV_METRIC_USER)
      return QV_FAIL(err, QV_E_PARSE, "the metric 'user' needs a file of sensitivities with a value for %s of group \"%s\"", cand, name);
    n += have[i];
  }
  if (n < m->o->n_metric) {
    qv_status st = prepare(m, err);
    if (st == QV_OK) st = measure(now, m, q, group, b, err);
    if (st != QV_OK) return st;
  }
  for (uint32_t i = 0; i < m->o->n_metric; i++) {
    loss[i] = have[i] ? known[i] : now[i];
    if (!have[i] && m->o->sens != NULL && !qv_sens_put(m->o->sens, name, cand, qv_metric_name(m->o->metric[i]), loss[i]))
      return QV_FAIL(err, QV_E_NOMEM, "sensitivities");
  }
  return QV_OK;
}

qv_status qv_measure_whole(double *sqnr_db, double *agree, const qv_quantized *q, const qv_calib *c, qv_err *err) {
  const qv_fgraph *g = q->g;
  uint32_t logits = logits_of(g);
  size_t n = qv_felems(&g->tensor[logits]), per = qv_felems(&g->tensor[g->in]), same = 0;
  double noise = 1e-30, signal = 0;
  qv_fexec f = {0}, s = {0};
  qv_status st = qv_fexec_init(&f, g, err);
  if (st == QV_OK) st = qv_fexec_init(&s, g, err);
  if (st == QV_OK) st = qv_quant_simulate(&s, q, err);
  for (size_t i = 0; st == QV_OK && i < c->n; i++) {
    qv_fexec_run(&f, c->sample + i * per);
    qv_fexec_run(&s, c->sample + i * per);
    same += qv_first_max(f.v[logits], n) == qv_first_max(s.v[logits], n);
    for (size_t e = 0; e < n; e++) {
      double d = (double)f.v[logits][e] - (double)s.v[logits][e];
      noise += d * d;
      signal += (double)f.v[logits][e] * (double)f.v[logits][e];
    }
  }
  *sqnr_db = 10 * log10(signal / noise);
  *agree = c->n > 0 ? (double)same / (double)c->n : 0;
  qv_fexec_clear(&f);
  qv_fexec_clear(&s);
  return st;
}
