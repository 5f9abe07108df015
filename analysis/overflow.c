#include "analysis/overflow.h"

#include "analysis/acc_bound.h"
#include "analysis/range_form.h"
#include "kernels/step.h"

const qv_acc *qv_node_acc(const qv_node *n) {
  switch (n->kind) {
  case QV_AFFINE: return &n->u.affine.acc;
  case QV_SUM: return &n->u.sum.acc;
  case QV_PRODUCT: return &n->u.product.acc;
  case QV_STEP:
  case QV_TABLE:
  case QV_THRESHOLD:
  case QV_MAX:
  case QV_INDEX:
  case QV_CLAMP:
  case QV_WRAP:
  case QV_TAIL:
  case QV_OPAQUE:
  case QV_KINDS: break;
  }
  return NULL;
}

const char *qv_ov_name(qv_ov_class c) {
  switch (c) {
  case QV_OV_SAFE_ANY: return "safe in any order";
  case QV_OV_SAFE_ORDER: return "safe in stored order";
  case QV_OV_SAFE_FINAL: return "final value fits";
  case QV_OV_STAGE: return "pair or lane can overflow";
  case QV_OV_UNSAFE: return "can overflow";
  }
  return "?";
}

/* ---- verdicts ---------------------------------------------------------------------------------------------------------- */

static qv_itv width(int bits) { return (qv_itv){qv_smin(bits), qv_smax(bits)}; }
static bool fits(qv_itv v, int bits) { return qv_itv_in(v, width(bits)); }

static qv_ov_class classify(const qv_acc *a, int bits, const qv_acc_one *one) {
  if (a->mode == QV_ACC_EXACT) return QV_OV_SAFE_ANY;
  if (!fits(one->final, bits)) return QV_OV_UNSAFE;
  if (qv_acc_staged(a) && !fits(one->stage.itv, qv_acc_stage_bits(a))) return QV_OV_STAGE;
  bool sums = !a->raw || (fits(one->raw.row, bits) && fits((qv_itv){one->raw.col, one->raw.col}, bits));
  if (sums && fits(one->any, bits) && (!a->raw || fits(one->raw.all, bits))) return QV_OV_SAFE_ANY;
  bool order = a->raw ? sums && fits(one->raw.prefix, bits) && fits(one->raw.fix, bits) : fits(one->prefix, bits);
  return order && a->order == QV_ORDER_KERNEL ? QV_OV_SAFE_ORDER : QV_OV_SAFE_FINAL;
}

bool qv_acc_harmless(const qv_acc *a, int bits, const qv_acc_bound *b, uint32_t c) {
  qv_acc_one one = qv_acc_bound_at(b, c);
  return qv_acc_one_harmless(a, bits, &one);
}

/* Distance of v from leaving `limit`; negative if it does. */
static qv_i128 room(qv_itv v, qv_itv limit) {
  qv_i128 lo = (qv_i128)v.lo - limit.lo, hi = (qv_i128)limit.hi - v.hi;
  return lo < hi ? lo : hi;
}

static qv_ov_item judge(const qv_net *net, const qv_acc_bound *b, int acc_bits) {
  qv_acc a = *qv_node_acc(&net->node[b->node]);
  if (acc_bits != 0) {
    a.bits = (uint8_t)acc_bits;
    if (a.mode == QV_ACC_EXACT) a.mode = QV_ACC_WRAP;
  }
  qv_ov_item it = {.node = b->node, .bits = a.bits, .attained = b->attained, .exact = b->exact};
  qv_itv limit = width(a.bits > 0 ? a.bits : 64);
  for (uint32_t c = 0; c < b->n; c++) {
    qv_acc_one one = qv_acc_bound_at(b, c);
    qv_ov_class cls = classify(&a, a.bits, &one);
    bool worse = c == 0 || cls > it.cls || (cls == it.cls && room(one.final, limit) < room(b->final[it.channel], limit));
    if (worse) it.cls = cls, it.channel = c;
    it.n_unsafe += !qv_acc_one_harmless(&a, a.bits, &one);
  }
  it.verdict = b->n > 0 && it.n_unsafe == 0 ? QV_VERIFIED : QV_UNKNOWN;
  return it;
}

void qv_overflow_judge(qv_ov_item *items, const qv_net *net, const qv_range_result *r, int acc_bits) {
  for (uint32_t i = 0; i < r->n_acc; i++) items[i] = judge(net, &r->acc[i], acc_bits);
}

qv_verdict qv_overflow_verdict(const qv_net *net, const qv_ov_item *items, uint32_t n_items, const qv_obligation *obs,
                               uint32_t n_obs) {
  uint32_t proved = 0;
  for (uint32_t k = 0; k < net->n_nodes; k++)
    if (net->node[k].kind == QV_OPAQUE) return QV_UNKNOWN; /* what happens inside is an assumption */
  for (uint32_t i = 0; i < n_items; i++, proved++)
    if (items[i].verdict != QV_VERIFIED) return QV_UNKNOWN;
  for (uint32_t i = 0; i < n_obs; i++) {
    if (obs[i].informational) continue;
    if (!obs[i].holds) return QV_UNKNOWN;
    proved++;
  }
  return proved > 0 ? QV_VERIFIED : QV_UNKNOWN;
}

/* ---- obligations ------------------------------------------------------------------------------------------------------- */

const char *qv_ob_name(qv_ob_kind k) {
  switch (k) {
  case QV_OB_INPUT32: return "scaled input in int32";
  case QV_OB_SHIFT32: return "left-shifted input in int32";
  case QV_OB_RESULT32: return "result plus zero point in int32";
  case QV_OB_ACC48: return "accumulator in 48 bits";
  case QV_OB_TOSA: return "TOSA input range";
  case QV_OB_F32: return "float conversion exact (2^24)";
  case QV_OB_SUM32: return "sum in int32";
  }
  return "?";
}

typedef struct {
  qv_obligation *v;
  uint32_t n, cap;
  bool failed;
  qv_arena *arena;
} list;

static qv_obligation *append(list *l, const qv_obligation *o) {
  if (l->n == l->cap) {
    uint32_t cap = l->cap == 0 ? 32 : 2 * l->cap;
    qv_obligation *v = QV_NEW(l->arena, cap, qv_obligation);
    if (v == NULL) {
      l->failed = true;
      return NULL;
    }
    for (uint32_t i = 0; i < l->n; i++) v[i] = l->v[i];
    l->v = v;
    l->cap = cap;
  }
  l->v[l->n] = *o;
  return &l->v[l->n++];
}

/* Obligation `kind` of one channel: a new entry for the node, or the old one with the tighter of the two. */
static void oblige(list *l, uint32_t node, qv_ob_kind kind, uint32_t channel, qv_itv range, qv_itv limit, bool informational) {
  qv_obligation o = {node, kind, channel, range, limit, qv_itv_in(range, limit), informational};
  qv_obligation *old = NULL;
  for (uint32_t i = l->n; i-- > 0 && l->v[i].node == node;)
    if (l->v[i].kind == kind) old = &l->v[i];
  if (old == NULL) {
    (void)append(l, &o);
    return;
  }
  if (o.holds == old->holds ? room(range, limit) < room(old->range, old->limit) : !o.holds) *old = o;
}

static const qv_itv INT32 = {INT32_MIN, INT32_MAX};

/* Does the runtime of `fn` compute the rounded value, with the zero point, in int32 before it clamps? The float ones clamp
 * first (MLAS, XNNPACK) or use no integers at all (the ONNX reference). */
static bool result_int32(qv_rq fn) { return fn != QV_RQ_F32 && fn != QV_RQ_F32B && fn != QV_RQ_REF; }

static void step_channel(list *l, uint32_t node, const qv_step *s, uint32_t p, qv_itv x) {
  const qv_rq_par *par = &s->par[p];
  qv_rq fn = par->fn;
  qv_itv v = {(int64_t)qv_scale2((qv_i128)x.lo - s->in_zp, (int)s->lshift), (int64_t)qv_scale2((qv_i128)x.hi - s->in_zp, (int)s->lshift)};
  if (fn == QV_RQ_64) oblige(l, node, QV_OB_ACC48, p, v, (qv_itv){-((int64_t)1 << 47), ((int64_t)1 << 47) - 1}, false);
  else oblige(l, node, QV_OB_INPUT32, p, v, INT32, false);
  if ((fn == QV_RQ_D || fn == QV_RQ_U) && par->sh > 0) {
    qv_itv w = {(int64_t)qv_scale2(v.lo, par->sh), (int64_t)qv_scale2(v.hi, par->sh)}; /* within 2^62: qv_ir_check */
    oblige(l, node, QV_OB_SHIFT32, p, w, INT32, false);
  }
  if (fn == QV_RQ_T || fn == QV_RQ_TD) oblige(l, node, QV_OB_TOSA, p, v, (qv_itv){qv_smin(par->sh), qv_smax(par->sh)}, false);
  if (fn == QV_RQ_F32 || fn == QV_RQ_F32B || fn == QV_RQ_MEANF) oblige(l, node, QV_OB_F32, p, v, (qv_itv){-(1 << 24), 1 << 24}, true);
  if (result_int32(fn)) {
    int64_t a = qv_rq_eval(par, v.lo, s->out_zp), b = qv_rq_eval(par, v.hi, s->out_zp); /* monotone: Lemma S6 */
    qv_itv y = {qv_sat64((qv_i128)qv_min64(a, b) + s->out_zp), qv_sat64((qv_i128)qv_max64(a, b) + s->out_zp)};
    oblige(l, node, QV_OB_RESULT32, p, y, INT32, false);
  }
}

/* A rounding shift of a sum that is exact by definition: real numbers of a float runtime, or a net without a machine. No word holds
 * its input. */
static bool no_machine(const qv_net *net, uint32_t tensor, const qv_rq_par *p) {
  if (p->fn != QV_RQ_S || p->m != 1) return false;
  for (uint32_t k = 0; k < net->n_nodes; k++)
    if (net->node[k].out == tensor) {
      const qv_acc *a = qv_node_acc(&net->node[k]);
      return a != NULL && a->mode == QV_ACC_EXACT;
    }
  return false;
}

static void step(list *l, uint32_t node, const qv_net *net, const qv_range_result *r) {
  const qv_node *n = &net->node[node];
  const qv_step *s = &n->u.step;
  const qv_ranges *x = &r->tensor[n->in[0]];
  qv_form sets = {s->idx != NULL ? s->n_idx : s->n_par, s->inner};
  qv_form f = qv_form_common((qv_form){x->n, x->inner}, sets, qv_elems(&net->tensor[n->out]));
  for (uint32_t q = 0; q < f.n; q++) {
    size_t e = (size_t)q * f.inner;
    if (no_machine(net, n->in[0], &s->par[qv_step_channel(s, e)])) continue;
    step_channel(l, node, s, qv_step_channel(s, e), qv_ranges_at(x, e));
  }
}

qv_status qv_obligations(qv_obligation **out, uint32_t *n, const qv_net *net, const qv_range_result *r, qv_arena *arena,
                         qv_err *err) {
  list l = {.arena = arena};
  uint32_t acc = 0;
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    const qv_node *d = &net->node[k];
    if (d->kind == QV_STEP) step(&l, k, net, r);
    if (d->kind == QV_SUM && d->u.sum.acc.mode == QV_ACC_EXACT)
      for (uint32_t c = 0; c < r->acc[acc].n; c++) oblige(&l, k, QV_OB_SUM32, c, r->acc[acc].final[c], INT32, true);
    acc += qv_node_acc(d) != NULL;
  }
  *out = l.v;
  *n = l.n;
  return l.failed ? QV_FAIL(err, QV_E_NOMEM, "obligations") : QV_OK;
}

/* ---- A2Q --------------------------------------------------------------------------------------------------------------- */

int qv_a2q_bits(qv_u128 m) {
  int p = 1;
  while (p < 128 && ((qv_u128)1 << (p - 1)) - 1 < m) p++;
  return p;
}

int qv_a2q_dtype_bits(uint64_t k, int n_bits, bool x_signed, int m_bits) {
  int e = n_bits + m_bits - 1 - x_signed; /* 2^e bounds one product; at most 64 + 64 */
  return e < 0 ? qv_a2q_bits((k + 1) / 2) : qv_a2q_bits((qv_u128)k << e);
}

int qv_a2q_l1_bits(uint64_t l1, int n_bits, bool x_signed) { return qv_a2q_bits((qv_u128)l1 << (n_bits - x_signed)); }
