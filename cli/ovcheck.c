#include "cli/ovcheck.h"

#include <stdlib.h>

static qv_status count_verdicts(qv_ovcheck *o, const qv_net *net, qv_err *err) {
  for (uint32_t i = 0; i < o->n; i++) {
    qv_ov_item *it = &o->item[i];
    if (it->verdict == QV_FALSIFIED) /* only an executed counterexample may say so */
      return QV_FAIL(err, QV_E_INTERNAL, "layer %u: refuted without a counterexample", net->node[it->node].layer);
    if (it->verdict == QV_VERIFIED) {
      o->verified++;
      continue;
    }
    bool found;
    qv_status st = qv_witness_find(&o->wit[i], &found, net, it->node, it->channel, o->acc_bits, err);
    if (st != QV_OK) return st;
    if (!found) continue;
    it->verdict = QV_FALSIFIED;
    o->falsified++;
  }
  o->selected = o->n + o->n_opaque;
  for (uint32_t i = 0; i < o->n_ob; i++) {
    o->selected += !o->ob[i].informational;
    o->verified += !o->ob[i].informational && o->ob[i].holds;
  }
  return QV_OK;
}

/* Self-checks: the verdict counted here is not better than the analysis' own, and every executed sum lies in its proved range. */
static qv_status cross_check(const qv_ovcheck *o, const qv_net *net, qv_err *err) {
  if (qv_ovcheck_verdict(o) == QV_VERIFIED && qv_overflow_verdict(net, o->item, o->n, o->ob, o->n_ob) != QV_VERIFIED)
    return QV_FAIL(err, QV_E_INTERNAL, "the verdict does not follow from the analysis");
  for (uint32_t i = 0; i < o->n; i++) {
    const qv_acc_bound *b = &o->ranges.acc[i];
    const qv_witness *w = &o->wit[i];
    if (w->in == NULL) continue;
    qv_itv r = b->final[w->channel < b->n ? w->channel : 0];
    if (w->exact < r.lo || w->exact > r.hi)
      return QV_FAIL(err, QV_E_INTERNAL, "layer %u: an executed sum lies outside its proved range", net->node[b->node].layer);
  }
  return QV_OK;
}

qv_status qv_ovcheck_run(qv_ovcheck *o, const qv_net *net, int acc_bits, qv_err *err) {
  qv_status st;
  o->acc_bits = acc_bits;
  for (uint32_t i = 0; i < net->n_nodes; i++) o->n_opaque += net->node[i].kind == QV_OPAQUE;
  QV_TRY(qv_range_run(&o->ranges, net, NULL, err));
  o->n = o->ranges.n_acc;
  o->item = calloc((size_t)o->n + 1, sizeof *o->item);
  o->wit = calloc((size_t)o->n + 1, sizeof *o->wit);
  if (o->item == NULL || o->wit == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  qv_overflow_judge(o->item, net, &o->ranges, acc_bits);
  QV_TRY(qv_obligations(&o->ob, &o->n_ob, net, &o->ranges, &o->ranges.arena, err));
  QV_TRY(count_verdicts(o, net, err));
  QV_TRY(cross_check(o, net, err));
done:
  return st;
}

void qv_ovcheck_clear(qv_ovcheck *o) {
  for (uint32_t i = 0; o->wit != NULL && i < o->n; i++) qv_witness_clear(&o->wit[i]);
  free(o->wit);
  free(o->item);
  qv_range_clear(&o->ranges);
  *o = (qv_ovcheck){0};
}

qv_itv qv_acc_hull(const qv_acc_bound *b) {
  qv_itv r = b->final[0];
  for (uint32_t i = 1; i < b->n; i++) r = qv_itv_hull(r, b->final[i]);
  return r;
}

qv_verdict qv_ovcheck_verdict(const qv_ovcheck *o) {
  if (o->falsified > 0) return QV_FALSIFIED;
  return o->verified > 0 && o->verified == o->selected ? QV_VERIFIED : QV_UNKNOWN;
}
