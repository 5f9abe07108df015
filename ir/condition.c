/* Output conditions: text form (docs/property.md section 3) and evaluation. */
#include <string.h>

#include "ir/prop_scan.h"

static size_t out_elems(const qv_net *net, uint32_t o) { return qv_elems(&net->tensor[net->out[o].tensor]); }

size_t qv_condition_targets(const qv_condition *c, const qv_net *net) {
  switch (c->kind) {
  case QV_KEEP_FIRST:
  case QV_KEEP_LAST: return out_elems(net, c->out) - 1;
  case QV_AVOID: return c->n;
  }
  return 0;
}

static qv_status check_ineq(const qv_ineq *e, const qv_net *net, qv_err *err) {
  if (e->n == 0) return QV_FAIL(err, QV_E_ARG, "an inequality without terms");
  if (e->d > QV_COND_MAX || e->d < -QV_COND_MAX) return QV_FAIL(err, QV_E_ARG, "an inequality's bound exceeds 2^62");
  for (uint32_t i = 0; i < e->n; i++) {
    const qv_out_term *t = &e->term[i];
    if (t->out >= net->n_out || t->el >= out_elems(net, t->out))
      return QV_FAIL(err, QV_E_ARG, "the net has no element %u of an output %u", t->el, t->out);
    if (t->c == 0 || t->c > QV_COND_MAX || t->c < -QV_COND_MAX) return QV_FAIL(err, QV_E_ARG, "an inequality's coefficient is 0 or exceeds 2^62");
    if (i > 0 && (t->out < t[-1].out || (t->out == t[-1].out && t->el <= t[-1].el)))
      return QV_FAIL(err, QV_E_ARG, "an inequality's terms are not in ascending order");
  }
  return QV_OK;
}

qv_status qv_condition_check(const qv_condition *c, const qv_net *net, qv_err *err) {
  if (c->kind != QV_AVOID) {
    if (c->out >= net->n_out || c->cls >= out_elems(net, c->out))
      return QV_FAIL(err, QV_E_ARG, "the net has no element %u of an output %u", c->cls, c->out);
    return QV_OK;
  }
  if (c->n == 0) return QV_FAIL(err, QV_E_ARG, "a condition without violations");
  for (uint32_t k = 0; k < c->n; k++) {
    if (c->bad[k].n == 0) return QV_FAIL(err, QV_E_ARG, "a violation without inequalities");
    for (uint32_t i = 0; i < c->bad[k].n; i++) {
      qv_status st = check_ineq(&c->bad[k].ineq[i], net, err);
      if (st != QV_OK) return st;
    }
  }
  return QV_OK;
}

/* ---- writing ----------------------------------------------------------------------------------------------------------- */

void qv_condition_write(qv_buf *out, const qv_condition *c) {
  if (c->kind != QV_AVOID) {
    qv_buf_printf(out, "keep %s %u output %u\n", c->kind == QV_KEEP_FIRST ? "first" : "last", c->cls, c->out);
    return;
  }
  qv_buf_printf(out, "violations %u\n", c->n);
  for (uint32_t k = 0; k < c->n; k++) {
    qv_buf_printf(out, "violation %u\n", c->bad[k].n);
    for (uint32_t i = 0; i < c->bad[k].n; i++) {
      const qv_ineq *e = &c->bad[k].ineq[i];
      qv_buf_str(out, "ge ");
      qv_buf_i64(out, e->d);
      qv_buf_printf(out, " %u", e->n);
      for (uint32_t j = 0; j < e->n; j++) {
        qv_buf_str(out, " ");
        qv_buf_i64(out, e->term[j].c);
        qv_buf_printf(out, " %u %u", e->term[j].out, e->term[j].el);
      }
      qv_buf_str(out, "\n");
    }
  }
}

/* ---- reading ----------------------------------------------------------------------------------------------------------- */

static qv_status scan_term(qv_out_term *t, const qv_out_term *before, qv_scan *r, const qv_net *net) {
  int64_t c, o, e;
  if (!qv_scan_eat(r, " ") || !qv_scan_in(r, &c, -QV_COND_MAX, QV_COND_MAX) || c == 0)
    return QV_SCAN_BAD(r, "expected a coefficient, not 0 and at most 2^62");
  if (!qv_scan_eat(r, " ") || !qv_scan_in(r, &o, 0, (int64_t)net->n_out - 1)) return QV_SCAN_BAD(r, "expected the number of an output");
  if (!qv_scan_eat(r, " ") || !qv_scan_in(r, &e, 0, (int64_t)out_elems(net, (uint32_t)o) - 1))
    return QV_SCAN_BAD(r, "expected an element of output %lld, which has %zu", (long long)o, out_elems(net, (uint32_t)o));
  *t = (qv_out_term){(uint32_t)o, (uint32_t)e, c};
  if (before != NULL && (t->out < before->out || (t->out == before->out && t->el <= before->el)))
    return QV_SCAN_BAD(r, "elements of an inequality must ascend");
  return QV_OK;
}

static qv_status scan_ineq(qv_ineq *e, qv_scan *r, qv_arena *arena, const qv_net *net) {
  int64_t m;
  if (!qv_scan_eat(r, "ge ") || !qv_scan_in(r, &e->d, -QV_COND_MAX, QV_COND_MAX)) return QV_SCAN_BAD(r, "expected 'ge D ..', abs(D) at most 2^62");
  if (!qv_scan_eat(r, " ") || !qv_scan_in(r, &m, 1, UINT32_MAX) || !qv_scan_room(r, (uint64_t)m, 6)) /* " 1 0 0" */
    return QV_SCAN_BAD(r, "expected the number of terms, and the terms");
  qv_out_term *t = QV_NEW(arena, (size_t)m, qv_out_term);
  if (t == NULL) return QV_FAIL(r->err, QV_E_NOMEM, "inequality");
  for (int64_t i = 0; i < m; i++) {
    qv_status st = scan_term(&t[i], i > 0 ? &t[i - 1] : NULL, r, net);
    if (st != QV_OK) return st;
  }
  if (!qv_scan_eat(r, "\n")) return QV_SCAN_BAD(r, "expected the end of the line");
  e->n = (uint32_t)m;
  e->term = t;
  return QV_OK;
}

static qv_status scan_violation(qv_violation *v, qv_scan *r, qv_arena *arena, const qv_net *net) {
  int64_t k;
  if (!qv_scan_eat(r, "violation ") || !qv_scan_in(r, &k, 1, UINT32_MAX) || !qv_scan_room(r, (uint64_t)k, 13) || !qv_scan_eat(r, "\n"))
    return QV_SCAN_BAD(r, "expected 'violation K', K at least 1, and K inequalities"); /* "ge 0 1 1 0 0\n" */
  qv_ineq *e = QV_NEW(arena, (size_t)k, qv_ineq);
  if (e == NULL) return QV_FAIL(r->err, QV_E_NOMEM, "violation");
  for (int64_t i = 0; i < k; i++) {
    qv_status st = scan_ineq(&e[i], r, arena, net);
    if (st != QV_OK) return st;
  }
  v->n = (uint32_t)k;
  v->ineq = e;
  return QV_OK;
}

static qv_status scan_keep(qv_condition *c, qv_scan *r, const qv_net *net) {
  int64_t cls, out;
  bool first = qv_scan_eat(r, "first ");
  if (!first && !qv_scan_eat(r, "last ")) return QV_SCAN_BAD(r, "expected 'keep first C output O' or 'keep last C output O'");
  if (!qv_scan_in(r, &cls, 0, UINT32_MAX) || !qv_scan_eat(r, " output ") || !qv_scan_in(r, &out, 0, (int64_t)net->n_out - 1))
    return QV_SCAN_BAD(r, "expected 'C output O' with O below %u", net->n_out);
  if ((size_t)cls >= out_elems(net, (uint32_t)out))
    return QV_SCAN_BAD(r, "class %lld: output %lld has %zu elements", (long long)cls, (long long)out, out_elems(net, (uint32_t)out));
  if (!qv_scan_eat(r, "\n")) return QV_SCAN_BAD(r, "expected the end of the line");
  *c = (qv_condition){.kind = first ? QV_KEEP_FIRST : QV_KEEP_LAST, .out = (uint32_t)out, .cls = (uint32_t)cls};
  return QV_OK;
}

qv_status qv_scan_condition(qv_condition *c, qv_scan *r, qv_arena *arena, const qv_net *net) {
  int64_t n;
  if (qv_scan_eat(r, "keep ")) return scan_keep(c, r, net);
  if (!qv_scan_eat(r, "violations ")) return QV_SCAN_BAD(r, "expected a condition: 'keep ..' or 'violations ..'");
  if (!qv_scan_in(r, &n, 1, UINT32_MAX) || !qv_scan_room(r, (uint64_t)n, 25) || !qv_scan_eat(r, "\n")) /* "violation 1\nge 0 1 1 0 0\n" */
    return QV_SCAN_BAD(r, "expected 'violations N', N at least 1, and N violations");
  qv_violation *v = QV_NEW(arena, (size_t)n, qv_violation);
  if (v == NULL) return QV_FAIL(r->err, QV_E_NOMEM, "condition");
  for (int64_t k = 0; k < n; k++) {
    qv_status st = scan_violation(&v[k], r, arena, net);
    if (st != QV_OK) return st;
  }
  *c = (qv_condition){.kind = QV_AVOID, .n = (uint32_t)n, .bad = v};
  return QV_OK;
}

qv_status qv_condition_read(qv_condition *c, qv_arena *arena, const char *text, size_t len, const qv_net *net, qv_err *err) {
  qv_scan r = {text, text + len, 1, err};
  *c = (qv_condition){0};
  qv_status st = qv_scan_condition(c, &r, arena, net);
  return st == QV_OK && r.p != r.end ? QV_SCAN_BAD(&r, "expected nothing after the condition") : st;
}

/* ---- evaluation -------------------------------------------------------------------------------------------------------- */

static bool holds(const qv_ineq *e, const int64_t *const *o) {
  qv_i128 s = 0; /* the sum can leave 128 bits only with more than 2^2 terms of 2^62 * 2^62: split off the high part */
  qv_i128 high = 0;
  const qv_i128 cut = (qv_i128)1 << 124;
  for (uint32_t i = 0; i < e->n; i++) {
    s += (qv_i128)e->term[i].c * o[e->term[i].out][e->term[i].el]; /* |product| <= 2^124, |s| < 2^124 before */
    while (s >= cut) s -= cut, high++;
    while (s <= -cut) s += cut, high--;
  }
  s -= e->d; /* |s| < 2^125 */
  while (s >= cut) s -= cut, high++;
  while (s < 0) s += cut, high--;
  return high >= 0; /* value = high * 2^124 + s with 0 <= s < 2^124 */
}

uint32_t qv_condition_violated(const qv_condition *c, const qv_net *net, const int64_t *const *o) {
  if (c->kind == QV_AVOID) {
    for (uint32_t k = 0; k < c->n; k++) {
      bool all = true;
      for (uint32_t i = 0; all && i < c->bad[k].n; i++) all = holds(&c->bad[k].ineq[i], o);
      if (all) return k;
    }
    return QV_NONE;
  }
  const int64_t *y = o[c->out];
  for (uint32_t j = 0; j < out_elems(net, c->out); j++) {
    bool tie_loses = c->kind == QV_KEEP_FIRST ? j < c->cls : j > c->cls;
    if (j != c->cls && (tie_loses ? y[j] >= y[c->cls] : y[j] > y[c->cls])) return j;
  }
  return QV_NONE;
}
