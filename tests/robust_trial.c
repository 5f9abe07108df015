#include "tests/robust_trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/load.h"

/* The condition once more, from its definition. */
bool rt_violates(const rt_trial *t) {
  const qv_condition *c = &t->cond;
  if (c->kind == QV_AVOID) {
    for (uint32_t k = 0; k < c->n; k++) {
      bool all = true;
      for (uint32_t i = 0; i < c->bad[k].n; i++) {
        const qv_ineq *q = &c->bad[k].ineq[i];
        qv_i128 s = 0;
        for (uint32_t j = 0; j < q->n; j++) s += (qv_i128)q->term[j].c * t->v.v[t->net->out[q->term[j].out].tensor][q->term[j].el];
        all = all && s >= q->d;
      }
      if (all) return true;
    }
    return false;
  }
  uint32_t out = t->net->out[c->out].tensor;
  const int64_t *o = t->v.v[out];
  size_t best = 0, n = qv_elems(&t->net->tensor[out]);
  for (size_t j = 1; j < n; j++)
    if (c->kind == QV_KEEP_FIRST ? o[j] > o[best] : o[j] >= o[best]) best = j;
  return best != c->cls;
}

/* Run the values in t->v: 1 violated, 0 kept, -1 undefined behaviour. */
int rt_run(rt_trial *t) {
  qv_err err = {0};
  qv_status st = qv_ref_run(t->net, &t->v, &err);
  if (st == QV_E_RANGE) return -1;
  if (st != QV_OK) fail_msg("%s", err.msg);
  return rt_violates(t);
}

/* Next point of the box in t->v. */
bool rt_next(rt_trial *t) {
  for (uint32_t i = 0; i < t->net->n_in; i++) {
    int64_t *x = t->v.v[t->net->in[i].tensor];
    for (size_t e = 0; e < qv_elems(&t->net->tensor[t->net->in[i].tensor]); e++) {
      if (x[e] < t->box[i][e].hi) {
        x[e]++;
        return true;
      }
      x[e] = t->box[i][e].lo;
    }
  }
  return false;
}

void rt_first(rt_trial *t) {
  for (uint32_t i = 0; i < t->net->n_in; i++)
    for (size_t e = 0; e < qv_elems(&t->net->tensor[t->net->in[i].tensor]); e++) t->v.v[t->net->in[i].tensor][e] = t->box[i][e].lo;
}

/* Violations of one or two inequalities over one or two outputs, which the point misses by a little. */
static void random_violations(rt_trial *t, qv_rng *r, bool ran) {
  t->cond.n = (uint32_t)qv_rng_range(r, 1, 3);
  for (uint32_t k = 0; k < t->cond.n; k++) {
    t->bad[k] = (qv_violation){.n = (uint32_t)qv_rng_range(r, 1, 2), .ineq = t->ineq[k]};
    for (uint32_t i = 0; i < t->bad[k].n; i++) {
      qv_ineq *q = &t->ineq[k][i];
      int64_t s = 0;
      *q = (qv_ineq){.term = t->term[k][i]};
      uint32_t want = (uint32_t)qv_rng_range(r, 1, 3);
      for (uint32_t out = 0; out < t->net->n_out && q->n < want; out++) {
        uint32_t tensor = t->net->out[out].tensor, el = 0, n = (uint32_t)qv_elems(&t->net->tensor[tensor]);
        while (q->n < want && (el += (uint32_t)qv_rng_range(r, 0, 2)) < n) {
          int64_t c = qv_rng_range(r, 1, 3) * (qv_rng_next(r) & 1 ? 1 : -1);
          t->term[k][i][q->n++] = (qv_out_term){out, el, c};
          s += ran ? c * qv_clamp64(t->v.v[tensor][el], -(1LL << 40), 1LL << 40) : 0;
          el++;
        }
      }
      if (q->n == 0) t->term[k][i][q->n++] = (qv_out_term){0, 0, 1};
      q->d = s + qv_rng_range(r, -1, 6);
    }
  }
}

/* A random box, condition and point for a net; false if the net does not suit. */
bool rt_make(rt_trial *t, qv_net *net, qv_rng *r) {
  qv_err err = {0};
  memset(t, 0, sizeof *t);
  t->net = net;
  if (net->n_in > 4 || net->n_out == 0) return false;
  if (qv_values_init(&t->v, net, &err) != QV_OK) fail_msg("%s", err.msg);
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_tensor *x = &net->tensor[net->in[i].tensor];
    size_t n = qv_elems(x);
    t->box[i] = calloc(n, sizeof(qv_itv));
    t->point[i] = calloc(n, sizeof(int64_t));
    for (size_t e = 0; e < n; e++) {
      int64_t a = qv_rng_range(r, x->lo, x->hi), b = qv_rng_range(r, x->lo, x->hi);
      t->box[i][e] = (qv_itv){qv_min64(a, b), qv_max64(a, b)};
      t->point[i][e] = qv_rng_range(r, t->box[i][e].lo, t->box[i][e].hi);
    }
  }
  t->q = (qv_robust_query){.box = (const qv_itv *const *)t->box, .point = (const int64_t *const *)t->point, .cond = &t->cond};
  t->cond = (qv_condition){.kind = (qv_cond_kind)qv_rng_range(r, 0, 2), .out = (uint32_t)qv_rng_range(r, 0, net->n_out - 1), .bad = t->bad};
  for (uint32_t i = 0; i < net->n_in; i++)
    memcpy(t->v.v[net->in[i].tensor], t->point[i], qv_elems(&net->tensor[net->in[i].tensor]) * sizeof(int64_t));
  bool ran = qv_ref_run(net, &t->v, &err) == QV_OK;
  /* mostly the class of the point itself */
  size_t n = qv_elems(&net->tensor[net->out[t->cond.out].tensor]);
  t->cond.cls = (uint32_t)qv_rng_range(r, 0, (int64_t)n - 1);
  if (ran && t->cond.kind != QV_AVOID && qv_rng_next(r) % 8 != 0)
    for (uint32_t c = 0; c < n; c++) {
      t->cond.cls = c;
      if (!rt_violates(t)) break;
    }
  if (t->cond.kind == QV_AVOID) random_violations(t, r, ran);
  rt_first(t);
  do {
    int x = rt_run(t);
    t->violated |= x == 1;
    t->trapped |= x == -1;
  } while (rt_next(t));
  return true;
}

void rt_clear(rt_trial *t) {
  for (int i = 0; i < 4; i++) {
    free(t->box[i]);
    free(t->point[i]);
  }
  qv_values_clear(&t->v);
  qv_net_free(t->net);
}

/* ---- small fixed-point nets: ties and saturation everywhere --------------------------------------------------------------- */

qv_net *rt_text(const char *text) {
  qv_net *net = NULL;
  qv_err err = {0};
  if (qv_qtxt_read(&net, text, strlen(text), "random.qtxt", &err) != QV_OK) fail_msg("%s\n%s", err.msg, text);
  return net;
}

/* `steep`: weights that cross many cells and both clamps, so that bounds need branching. */
qv_net *rt_fixed_net(qv_rng *r, bool steep) {
  char text[8192];
  int layers = steep ? 2 : (int)qv_rng_range(r, 1, 3), width = (int)qv_rng_range(r, steep ? 3 : 1, 4), q = (int)qv_rng_range(r, 2, 4);
  size_t n = (size_t)sprintf(text, "name t\ninput %d 0 %d\nlayers %d\n", width, (int)qv_rng_range(r, 1, 6), layers);
  for (int l = 0; l < layers; l++) {
    bool last = l == layers - 1;
    int out = (int)qv_rng_range(r, last ? 2 : 1, 5), shift = (int)qv_rng_range(r, 1, steep ? 3 : 4),
        w = 1 << qv_rng_range(r, steep ? 3 : 1, 4);
    n += (size_t)sprintf(text + n, "layer %d %d shift %d clamp %d %d\nbias", width, out, shift, last ? -(1 << (q - 1)) : 0,
                         last ? (1 << (q - 1)) - 1 : (1 << q) - 1);
    for (int o = 0; o < out; o++) n += (size_t)sprintf(text + n, " %d", (int)qv_rng_range(r, -2 * w, 2 * w));
    for (int i = 0; i < width; i++) {
      n += (size_t)sprintf(text + n, "\n");
      for (int o = 0; o < out; o++) n += (size_t)sprintf(text + n, "%s%d", o > 0 ? " " : "", (int)qv_rng_range(r, -w, w));
    }
    n += (size_t)sprintf(text + n, "\n");
    width = out;
  }
  return rt_text(text);
}
