#include "analysis/condition.h"

uint32_t qv_cond_targets(const qv_condition *c, const qv_net *net) {
  return c->kind == QV_AVOID ? c->n : (uint32_t)qv_elems(&net->tensor[net->out[c->out].tensor]);
}

bool qv_cond_tie_loses(const qv_condition *c, uint32_t t) { return c->kind == QV_KEEP_FIRST ? t < c->cls : t > c->cls; }

const qv_violation *qv_cond_violation(qv_cond_room *room, const qv_condition *c, uint32_t t) {
  if (c->kind == QV_AVOID) return &c->bad[t];
  uint32_t first = t > c->cls; /* terms ascend in the element */
  room->term[first] = (qv_out_term){c->out, t, 1};
  room->term[1 - first] = (qv_out_term){c->out, c->cls, -1};
  room->ineq = (qv_ineq){.n = 2, .term = room->term, .d = qv_cond_tie_loses(c, t) ? 0 : 1};
  room->v = (qv_violation){.n = 1, .ineq = &room->ineq};
  return &room->v;
}

/* d - sum c*o, saturated: positive iff the inequality does not hold. Products stay below 2^125; halves add up without overflow. */
static qv_i128 miss(const qv_ineq *q, const int64_t *const *o) {
  const qv_i128 word = (qv_i128)1 << 64, most = (qv_i128)1 << 125;
  qv_i128 hi = 0, lo = q->d;
  for (uint32_t i = 0; i < q->n; i++) {
    qv_i128 p = (qv_i128)q->term[i].c * o[q->term[i].out][q->term[i].el], h = qv_floor_div(p, word);
    hi -= h;
    lo -= p - h * word;
  }
  qv_i128 h = qv_floor_div(lo, word);
  hi += h;
  lo -= h * word;
  if (hi > most / word || hi < -most / word) return hi > 0 ? most : -most;
  return hi * word + lo;
}

int64_t qv_cond_slack(const qv_condition *c, uint32_t t, const int64_t *const *o) {
  qv_cond_room room;
  const qv_violation *v = qv_cond_violation(&room, c, t);
  qv_i128 slack = INT64_MIN;
  for (uint32_t k = 0; k < v->n; k++) {
    qv_i128 s = miss(&v->ineq[k], o);
    if (s > slack) slack = s;
  }
  return qv_sat64(slack);
}

int64_t qv_cond_gap(const qv_condition *c, const qv_net *net, const int64_t *const *o) {
  int64_t gap = INT64_MAX;
  for (uint32_t t = 0, n = qv_cond_targets(c, net); t < n; t++)
    if (qv_cond_is_target(c, t)) gap = qv_min64(gap, qv_cond_slack(c, t, o));
  return gap;
}
