#include "cli/ovcheck.h"

#include <stdlib.h>

#include "analysis/audit.h"

/* Multiply-adds that the search for counterexamples may spend on the whole net. */
#define SEARCH_WORK ((uint64_t)1 << 28)

qv_acc qv_acc_judged(const qv_acc *own, int acc_bits) {
  qv_acc a = *own;
  if (acc_bits == 0) return a;
  if (a.mode == QV_ACC_EXACT) a.mode = QV_ACC_WRAP;
  a.bits = (uint8_t)acc_bits;
  return a;
}

bool qv_witness_refutes(const qv_witness *w) { return w->state == QV_WIT_REACHED && (w->trap || w->exact != w->machine); }

const qv_witness *qv_ovcheck_witness(const qv_ovcheck *o) {
  for (uint32_t i = 0; i < o->n; i++)
    if (o->item[i].verdict == QV_FALSIFIED) return &o->wit[i];
  return NULL;
}

/* Look for a counterexample to each item that was not proved. */
static qv_status refute(qv_ovcheck *o, const qv_net *net, const qv_property *prop, qv_err *err) {
  uint32_t open = 0;
  for (uint32_t i = 0; i < o->n; i++) open += o->item[i].verdict == QV_UNKNOWN;
  for (uint32_t i = 0; i < o->n; i++) {
    if (o->item[i].verdict == QV_FALSIFIED) /* only an executed counterexample may say so */
      return QV_FAIL(err, QV_E_INTERNAL, "layer %u: refuted without a counterexample", net->node[o->item[i].node].layer);
    if (o->item[i].verdict != QV_UNKNOWN) continue;
    qv_status st = qv_audit_witness(&o->wit[i], net, prop, &o->proof, i, SEARCH_WORK / open, err);
    if (st != QV_OK) return st;
    if (qv_witness_refutes(&o->wit[i])) o->item[i].verdict = QV_FALSIFIED;
  }
  return QV_OK;
}

static void count_verdicts(qv_ovcheck *o) {
  o->selected = o->n + o->n_opaque + o->proof.n_own;
  for (uint32_t i = 0; i < o->n; i++) {
    o->verified += o->item[i].verdict == QV_VERIFIED;
    o->falsified += o->item[i].verdict == QV_FALSIFIED;
  }
  for (uint32_t i = 0; i < o->proof.n_obligation; i++) {
    o->selected += !o->proof.obligation[i].informational;
    o->verified += !o->proof.obligation[i].informational && o->proof.obligation[i].holds;
  }
}

/* Number of the bound that a witness's sum belongs to: its channel's, or, of operators on elements, that of its element among the intervals of
 * the result, which are as many. */
static uint32_t bound_of(const qv_ovcheck *o, const qv_net *net, uint32_t i) {
  const qv_acc_bound *b = &o->proof.range.acc[i];
  const qv_node *n = &net->node[b->node];
  const qv_ranges *y = &o->proof.range.tensor[n->out];
  if (n->kind == QV_AFFINE || y->n != b->n) return o->wit[i].channel < b->n ? o->wit[i].channel : 0;
  return (uint32_t)(o->wit[i].element / y->inner % y->n);
}

/* Self-checks: the verdict counted here is not better than the analysis' own, and every executed sum lies in its proved range. */
static qv_status cross_check(const qv_ovcheck *o, const qv_net *net, qv_err *err) {
  if (qv_ovcheck_verdict(o) == QV_VERIFIED && o->proof.verdict != QV_VERIFIED)
    return QV_FAIL(err, QV_E_INTERNAL, "the verdict does not follow from the analysis");
  for (uint32_t i = 0; i < o->n; i++) {
    const qv_acc_bound *b = &o->proof.range.acc[i];
    const qv_witness *w = &o->wit[i];
    if (w->state != QV_WIT_REACHED) continue;
    qv_itv r = b->final[bound_of(o, net, i)];
    if (w->exact < r.lo || w->exact > r.hi)
      return QV_FAIL(err, QV_E_INTERNAL, "layer %u: an executed sum lies outside its proved range", net->node[b->node].layer);
  }
  return QV_OK;
}

static bool all_proved(const qv_ovcheck *o) {
  for (uint32_t i = 0; i < o->n; i++)
    if (o->proof.item[i].verdict != QV_VERIFIED) return false;
  return true;
}

static void take_items(qv_ovcheck *o) {
  for (uint32_t i = 0; i < o->n; i++)
    if (o->item[i].verdict != QV_FALSIFIED) o->item[i] = o->proof.item[i];
}

/* Intervals are cheap and usually enough; where they are not, a counterexample is cheaper than a tighter proof. */
qv_status qv_ovcheck_run(qv_ovcheck *o, const qv_net *net, const qv_property *prop, const qv_prove_opts *opts, qv_err *err) {
  const qv_prove_opts quick = {.work = 1};
  bool tight = opts != NULL && opts->tight;
  qv_status st;
  o->acc_bits = prop->acc_bits;
  for (uint32_t i = 0; i < net->n_nodes; i++) o->n_opaque += net->node[i].kind == QV_OPAQUE;
  QV_TRY(qv_prove_overflow(&o->proof, net, prop, tight ? opts : &quick, err));
  o->n = o->proof.range.n_acc;
  o->item = calloc((size_t)o->n + 1, sizeof *o->item);
  o->wit = calloc((size_t)o->n + 1, sizeof *o->wit);
  if (o->item == NULL || o->wit == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
    goto done;
  }
  take_items(o);
  if (!o->no_search) QV_TRY(refute(o, net, prop, err));
  bool refuted = qv_ovcheck_witness(o) != NULL;
  bool more = !tight && (opts == NULL || opts->work != quick.work);
  if (more && !refuted && !all_proved(o)) {
    qv_proof_clear(&o->proof);
    QV_TRY(qv_prove_overflow(&o->proof, net, prop, opts, err));
    take_items(o);
  }
  count_verdicts(o);
  QV_TRY(cross_check(o, net, err));
  QV_TRY(cli_evidence_make(&o->evidence, net, prop, &o->proof, err));
done:
  return st;
}

void qv_ovcheck_clear(qv_ovcheck *o) {
  for (uint32_t i = 0; o->wit != NULL && i < o->n; i++) qv_witness_clear(&o->wit[i]);
  free(o->wit);
  free(o->item);
  qv_proof_clear(&o->proof);
  cli_evidence_free(&o->evidence);
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
