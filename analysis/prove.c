#include "analysis/prove.h"

#include <stdlib.h>

#include "analysis/linear.h"

typedef struct {
  qv_proof *out;
  const qv_net *net;
  const qv_property *prop;
  const qv_prove_opts *opts;
  qv_ranges *known;   /* [n_tensors] linear bounds found so far, per output channel */
  bool *harmless;     /* [n_nodes] at the node's own width, every channel */
  uint32_t cap_linear;
  uint64_t work;
  qv_err *err;
} prover;

static const qv_acc_bound *bound_of(const qv_range_result *r, uint32_t node) {
  for (uint32_t i = 0; i < r->n_acc; i++)
    if (r->acc[i].node == node) return &r->acc[i];
  return NULL;
}

static qv_status run_ranges(prover *p, qv_range_result *r) {
  const qv_ranges **in = QV_NEW(&p->out->arena, p->net->n_in, const qv_ranges *);
  qv_ranges *v = QV_NEW(&p->out->arena, p->net->n_in, qv_ranges);
  if (in == NULL || v == NULL) return QV_FAIL(p->err, QV_E_NOMEM, "domain");
  for (uint32_t i = 0; p->prop != NULL && i < p->net->n_in; i++) {
    const qv_prop_input *d = &p->prop->in[i];
    if (d->n == 0) continue;
    v[i] = (qv_ranges){(uint32_t)d->n, 1, d->itv};
    in[i] = &v[i];
  }
  return qv_range_run(r, p->net, &(qv_domain){.in = in, .known = p->known}, p->err);
}

static void find_harmless(prover *p) {
  const qv_range_result *r = &p->out->range;
  for (uint32_t i = 0; i < r->n_acc; i++) {
    const qv_acc *a = qv_node_acc(&p->net->node[r->acc[i].node]);
    bool ok = true;
    for (uint32_t c = 0; ok && c < r->acc[i].n; c++) ok = qv_acc_harmless(a, a->bits, &r->acc[i], c);
    p->harmless[r->acc[i].node] = ok;
  }
}

static qv_status refresh(prover *p) {
  qv_range_clear(&p->out->range);
  qv_status st = run_ranges(p, &p->out->range);
  if (st == QV_OK) find_harmless(p);
  return st;
}

static bool add_row(prover *p, const qv_cert_linear *row) {
  qv_proof *o = p->out;
  if (o->n_linear == p->cap_linear) {
    uint32_t cap = p->cap_linear == 0 ? 64 : 2 * p->cap_linear;
    qv_cert_linear *v = QV_NEW(&o->arena, cap, qv_cert_linear);
    if (v == NULL) return false;
    for (uint32_t i = 0; i < o->n_linear; i++) v[i] = o->linear[i];
    o->linear = v;
    p->cap_linear = cap;
  }
  o->linear[o->n_linear++] = *row;
  return true;
}

/* Best linear bound on one side of one channel, substituting ever more of the net while the work lasts. */
static qv_status improve(prover *p, qv_linear *lin, uint32_t node, uint32_t channel, bool hi, qv_itv *v, bool *better) {
  uint32_t best_from = QV_NONE;
  qv_status st = QV_OK;
  for (uint32_t from = node; st == QV_OK && p->work > 0 && from-- > 0;) {
    if (p->net->node[from].kind != QV_AFFINE) continue;
    int64_t b;
    uint64_t share = (p->work + 31) / 32, left = share; /* so that one channel never spends what the others need */
    st = qv_linear_bound(&b, lin, node, channel, hi, from, hi ? v->hi : v->lo, &left);
    p->work -= share - left;
    if (st != QV_OK || (hi ? b >= v->hi : b <= v->lo)) continue;
    if (hi) v->hi = b;
    else v->lo = b;
    best_from = from;
  }
  if (st == QV_E_NOMEM) return QV_FAIL(p->err, st, "linear bounds");
  if (best_from == QV_NONE) return QV_OK;
  *better = true;
  return add_row(p, &(qv_cert_linear){node, channel, best_from, hi}) ? QV_OK : QV_FAIL(p->err, QV_E_NOMEM, "linear rows");
}

/* Would this channel's verdict profit from a tighter final value? Prefix and stage bounds are not improved by linear rows. */
static bool wanted(const prover *p, const qv_acc_bound *b, uint32_t c) {
  if (p->opts->tight) return true;
  qv_acc a = *qv_node_acc(&p->net->node[b->node]);
  if (p->out->acc_bits != 0) {
    a.bits = (uint8_t)p->out->acc_bits;
    if (a.mode == QV_ACC_EXACT) a.mode = QV_ACC_WRAP;
  }
  return a.mode == QV_ACC_WRAP && !qv_acc_harmless(&a, a.bits, b, c);
}

/* With v in place of the final bound, is every channel harmless at the node's own width? Only then is v a fact about what the
 * node gives, and not just about the exact sum. */
static bool harmless_with(const qv_net *net, const qv_acc_bound *b, qv_itv *v) {
  qv_acc_bound cut = *b;
  const qv_acc *a = qv_node_acc(&net->node[b->node]);
  cut.final = v;
  for (uint32_t c = 0; c < b->n; c++)
    if (!qv_acc_harmless(a, a->bits, &cut, c)) return false;
  return true;
}

static qv_status tighten_node(prover *p, qv_linear *lin, uint32_t node, bool *better) {
  const qv_acc_bound *b = bound_of(&p->out->range, node);
  uint32_t rows = p->out->n_linear;
  qv_itv *v = QV_NEW(&p->out->arena, b->n, qv_itv);
  if (v == NULL) return QV_FAIL(p->err, QV_E_NOMEM, "linear bounds");
  for (uint32_t c = 0; c < b->n; c++) {
    v[c] = b->final[c];
    if (!wanted(p, b, c)) continue;
    qv_status st = improve(p, lin, node, c, false, &v[c], better);
    if (st == QV_OK) st = improve(p, lin, node, c, true, &v[c], better);
    if (st != QV_OK) return st;
    if (v[c].lo > v[c].hi) return QV_FAIL(p->err, QV_E_INTERNAL, "contradicting bounds on node %u channel %u", node, c);
  }
  if (*better && !harmless_with(p->net, b, v)) {
    p->out->n_linear = rows;
    *better = false;
  }
  if (*better) p->known[p->net->node[node].out] = (qv_ranges){b->n, 1, v};
  return QV_OK;
}

static qv_status tighten(prover *p) {
  for (uint32_t k = 0; k < p->net->n_nodes && p->work > 1; k++) {
    if (p->net->node[k].kind != QV_AFFINE) continue;
    qv_linear *lin = NULL;
    bool better = false;
    qv_status st = qv_linear_new(&lin, p->net, &p->out->range, p->harmless, p->err);
    if (st == QV_OK) st = tighten_node(p, lin, k, &better);
    qv_linear_free(lin);
    if (st == QV_OK && better) st = refresh(p);
    if (st != QV_OK) return st;
  }
  return QV_OK;
}

/* Are all accumulators proved by what is in out->range? Fills the items. */
static bool judge(prover *p) {
  qv_proof *o = p->out;
  qv_overflow_judge(o->item, p->net, &o->range, o->acc_bits);
  for (uint32_t i = 0; i < o->range.n_acc; i++)
    if (o->item[i].verdict != QV_VERIFIED) return false;
  return true;
}

/* See qv_proof.n_own. */
static uint32_t open_at_own_width(const prover *p) {
  uint32_t n = 0;
  for (uint32_t i = 0; p->out->acc_bits != 0 && i < p->out->range.n_acc; i++) n += !p->harmless[p->out->range.acc[i].node];
  return n;
}

qv_status qv_prove_overflow(qv_proof *out, const qv_net *net, const qv_property *prop, const qv_prove_opts *opts, qv_err *err) {
  static const qv_prove_opts defaults = {0};
  *out = (qv_proof){.acc_bits = prop != NULL ? prop->acc_bits : 0};
  prover p = {.out = out, .net = net, .prop = prop, .opts = opts != NULL ? opts : &defaults, .err = err};
  qv_status st = QV_OK;
  out->tight = p.opts->tight;
  p.work = p.opts->work != 0 ? p.opts->work : QV_PROVE_WORK;
  p.known = QV_NEW(&out->arena, net->n_tensors, qv_ranges);
  p.harmless = QV_NEW(&out->arena, (size_t)net->n_nodes + 1, bool);
  if (p.known == NULL || p.harmless == NULL) return QV_FAIL(err, QV_E_NOMEM, "overflow proof");
  QV_TRY(run_ranges(&p, &out->interval));
  QV_TRY(refresh(&p));
  if ((out->item = QV_NEW(&out->arena, (size_t)out->range.n_acc + 1, qv_ov_item)) == NULL) QV_TRY(QV_FAIL(err, QV_E_NOMEM, "overflow proof"));
  if (!judge(&p) || p.opts->tight) {
    QV_TRY(tighten(&p));
    (void)judge(&p);
  }
  QV_TRY(qv_obligations(&out->obligation, &out->n_obligation, net, &out->range, &out->arena, err));
  out->n_own = open_at_own_width(&p);
  out->verdict = out->n_own > 0 ? QV_UNKNOWN : qv_overflow_verdict(net, out->item, out->range.n_acc, out->obligation, out->n_obligation);
done:
  return st;
}

void qv_proof_clear(qv_proof *p) {
  qv_range_clear(&p->interval);
  qv_range_clear(&p->range);
  qv_arena_clear(&p->arena);
  *p = (qv_proof){0};
}

/* Every obligation of one step node holds. */
static bool holds(const qv_proof *p, uint32_t node) {
  for (uint32_t i = 0; i < p->n_obligation; i++)
    if (p->obligation[i].node == node && !p->obligation[i].informational && !p->obligation[i].holds) return false;
  return true;
}

qv_status qv_proof_certificate(qv_buf *out, const qv_proof *p, const qv_net *net, const char *net_sha256,
                               const char *property_sha256, qv_err *err) {
  qv_cert c = {.net_sha256 = net_sha256, .property_sha256 = property_sha256, .linear = p->linear, .n_linear = p->n_linear,
               .verified = p->verdict == QV_VERIFIED};
  qv_status st = QV_OK;
  qv_arena tmp = {0};
  qv_cert_tensor *t = QV_NEW(&tmp, net->n_tensors, qv_cert_tensor);
  qv_cert_acc *a = QV_NEW(&tmp, (size_t)p->range.n_acc + 1, qv_cert_acc);
  qv_cert_obligation *o = QV_NEW(&tmp, (size_t)net->n_nodes + 1, qv_cert_obligation);
  if (t == NULL || a == NULL || o == NULL) QV_TRY(QV_FAIL(err, QV_E_NOMEM, "certificate"));
  for (uint32_t i = 0; i < net->n_tensors; i++)
    if (net->tensor[i].data == NULL)
      t[c.n_tensor++] = (qv_cert_tensor){i, p->range.tensor[i].n, p->range.tensor[i].inner, p->range.tensor[i].itv};
  for (uint32_t i = 0; i < p->range.n_acc; i++) {
    const qv_acc_bound *b = &p->range.acc[i];
    bool position = net->node[b->node].kind != QV_AFFINE || b->by_position;
    a[c.n_acc++] = (qv_cert_acc){b->node, p->item[i].bits, p->item[i].verdict == QV_VERIFIED, position};
  }
  for (uint32_t k = 0; k < net->n_nodes; k++)
    if (net->node[k].kind == QV_STEP) o[c.n_obligation++] = (qv_cert_obligation){k, holds(p, k)};
  c.tensor = t;
  c.acc = a;
  c.obligation = o;
  QV_TRY(qv_cert_write(out, &c, err));
done:
  qv_arena_clear(&tmp);
  return st;
}
