#include "analysis/facts.h"

#include "analysis/range_form.h"

static bool harmless(const qv_affine *a, const qv_acc_bound *b) {
  for (uint32_t o = 0; o < b->n; o++)
    if (!qv_acc_harmless(&a->acc, a->acc.bits, b, o)) return false;
  return true;
}

qv_status qv_proof_facts(const qv_plan_fact **out, qv_arena *arena, const qv_net *net, const qv_proof *proof, qv_err *err) {
  qv_plan_fact *f = QV_NEW(arena, net->n_nodes, qv_plan_fact);
  if (f == NULL) return QV_FAIL(err, QV_E_NOMEM, "facts");
  for (uint32_t i = 0; i < proof->range.n_acc; i++) {
    const qv_acc_bound *b = &proof->range.acc[i];
    const qv_node *n = &net->node[b->node];
    if (n->kind != QV_AFFINE) continue;
    const qv_affine *a = &n->u.affine;
    qv_itv *x = QV_NEW(arena, a->win.ic, qv_itv);
    if (x == NULL) return QV_FAIL(err, QV_E_NOMEM, "facts");
    (void)qv_ranges_by_channel(x, &proof->range.tensor[n->in[0]], qv_elems(&net->tensor[n->in[0]]), a->win.ic);
    f[b->node] = (qv_plan_fact){.harmless = harmless(a, b), .x = x};
  }
  *out = f;
  return QV_OK;
}
