/* The library's public face: cli/qverify.h over the internal modules. */
#include "cli/qverify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/robust_evidence.h"
#include "cli/ovcheck.h"
#include "cli/storage.h"
#include "frontend/load.h"
#include "ir/qir.h"
#include "kernels/exec.h"
#include "kernels/profile/onnx.h"

struct qverify_model {
  qv_net *net;
  qv_plan *plan; /* made by the first run */
};

struct qverify_overflow {
  const qv_net *net;
  qv_ovcheck check;
  void **input; /* [net->n_in] the counterexample in storage type; NULL unless refuted */
};

const char *qverify_version(void) { return QV_VERSION; }

static qverify_status public_status(qv_status st) {
  switch (st) {
  case QV_OK: return QVERIFY_OK;
  case QV_E_ARG: return QVERIFY_E_ARGUMENT;
  case QV_E_PARSE: return QVERIFY_E_PARSE;
  case QV_E_UNSUP: return QVERIFY_E_UNSUPPORTED;
  case QV_E_RANGE: return QVERIFY_E_RANGE;
  case QV_E_NOMEM: return QVERIFY_E_MEMORY;
  case QV_E_IO: return QVERIFY_E_IO;
  case QV_E_LIMIT: return QVERIFY_E_LIMIT;
  case QV_E_INTERNAL: return QVERIFY_E_INTERNAL;
  }
  return QVERIFY_E_INTERNAL;
}

static qverify_verdict public_verdict(qv_verdict v) {
  switch (v) {
  case QV_UNKNOWN: return QVERIFY_UNKNOWN;
  case QV_FALSIFIED: return QVERIFY_FALSIFIED;
  case QV_VERIFIED: return QVERIFY_VERIFIED;
  }
  return QVERIFY_UNKNOWN;
}

static qverify_status report(qv_status st, const qv_err *e, qverify_error *err) {
  if (err != NULL) {
    err->status = public_status(st);
    (void)snprintf(err->message, sizeof err->message, "%s", st == QV_OK ? "" : e->msg[0] != 0 ? e->msg : qv_status_name(st));
  }
  return public_status(st);
}

qverify_status qverify_open(qverify_model **out, const char *path, const char *profile, qverify_error *err) {
  qv_status st;
  qv_err e = {0};
  *out = NULL;
  qverify_model *m = calloc(1, sizeof *m);
  if (m == NULL) {
    st = QV_FAIL(&e, QV_E_NOMEM, "out of memory");
    goto done;
  }
  if (profile != NULL && qv_profile_find(profile) == NULL && qv_onnx_profile_find(profile) == NULL) {
    st = QV_FAIL(&e, QV_E_ARG, "unknown profile '%.80s'", profile);
    goto done;
  }
  const qv_load_opts opts = {.profile = profile};
  QV_TRY(qv_load_model(&m->net, path, &opts, &e));
  *out = m;
  m = NULL;
done:
  qverify_close(m);
  return report(st, &e, err);
}

void qverify_close(qverify_model *m) {
  if (m == NULL) return;
  qv_plan_free(m->plan);
  qv_net_free(m->net);
  free(m);
}

size_t qverify_inputs(const qverify_model *m) { return m->net->n_in; }
size_t qverify_outputs(const qverify_model *m) { return m->net->n_out; }

static qverify_port port(const qv_net *net, const qv_port *p) {
  const qv_tensor *t = &net->tensor[p->tensor];
  qverify_port r = {.name = p->name, .type = qv_dtype_name(t->type), .bytes = qv_elems(t) * qv_dtype_bytes(t->type),
                    .rank = t->rank, .lo = t->lo, .hi = t->hi, .has_scale = t->has_q, .scale = t->scale, .zero_point = t->zp};
  for (uint32_t d = 0; d < t->rank; d++) r.dim[d] = t->dim[d];
  return r;
}

qverify_port qverify_input(const qverify_model *m, size_t i) { return port(m->net, &m->net->in[i]); }
qverify_port qverify_output(const qverify_model *m, size_t i) { return port(m->net, &m->net->out[i]); }

qverify_status qverify_run(qverify_model *m, size_t n, const void *const *in, void *const *out, unsigned threads, qverify_error *err) {
  qv_status st = QV_OK;
  qv_err e = {0};
  if (m->plan == NULL) QV_TRY(qv_plan_new(&m->plan, m->net, QV_ISA_BEST, &e));
  QV_TRY(qv_plan_run(m->plan, n, in, out, threads, &e));
done:
  return report(st, &e, err);
}

/* The first counterexample is the one that is kept. */
static qv_status keep_input(qverify_overflow *o, qv_err *e) {
  const qv_witness *w = qv_ovcheck_witness(&o->check);
  if (w == NULL) return QV_OK;
  if ((o->input = calloc(o->net->n_in, sizeof *o->input)) == NULL) return QV_FAIL(e, QV_E_NOMEM, "out of memory");
  for (uint32_t i = 0; i < o->net->n_in; i++) {
    const qv_tensor *t = &o->net->tensor[o->net->in[i].tensor];
    if ((o->input[i] = malloc(qv_elems(t) * qv_dtype_bytes(t->type))) == NULL) return QV_FAIL(e, QV_E_NOMEM, "out of memory");
    qv_store(o->input[i], t->type, w->input[i], qv_elems(t));
  }
  return QV_OK;
}

qverify_status qverify_check_overflow(qverify_overflow **out, const qverify_model *m, int acc_bits, qverify_error *err) {
  qv_status st;
  qv_err e = {0};
  qv_property whole = {0};
  *out = NULL;
  qverify_overflow *o = calloc(1, sizeof *o);
  if (o == NULL) {
    st = QV_FAIL(&e, QV_E_NOMEM, "out of memory");
    goto done;
  }
  o->net = m->net;
  if (acc_bits != 0 && (acc_bits < 2 || acc_bits > 64)) {
    st = QV_FAIL(&e, QV_E_ARG, "accumulator width %d: must be 0 or 2..64", acc_bits);
    goto done;
  }
  QV_TRY(qv_property_whole(&whole, m->net, acc_bits, &e));
  QV_TRY(qv_ovcheck_run(&o->check, m->net, &whole, NULL, &e));
  QV_TRY(keep_input(o, &e));
  *out = o;
  o = NULL;
done:
  qv_property_clear(&whole);
  qverify_overflow_free(o);
  return report(st, &e, err);
}

qverify_verdict qverify_overflow_verdict(const qverify_overflow *o) { return public_verdict(qv_ovcheck_verdict(&o->check)); }
size_t qverify_overflow_count(const qverify_overflow *o) { return o->check.n; }

qverify_overflow_item qverify_overflow_get(const qverify_overflow *o, size_t i) {
  const qv_acc_bound *b = &o->check.proof.range.acc[i];
  const qv_ov_item *it = &o->check.item[i];
  const qv_node *nd = &o->net->node[b->node];
  qv_itv r = qv_acc_hull(b);
  return (qverify_overflow_item){.layer = nd->layer, .op = nd->op, .lo = r.lo, .hi = r.hi, .bits_needed = b->bits_final,
                                 .bits = it->bits, .verdict = public_verdict(it->verdict)};
}

const void *qverify_overflow_input(const qverify_overflow *o, size_t i) {
  return o->input != NULL && i < o->net->n_in ? o->input[i] : NULL;
}

void qverify_overflow_free(qverify_overflow *o) {
  if (o == NULL) return;
  for (uint32_t i = 0; o->input != NULL && i < o->net->n_in; i++) free(o->input[i]);
  free(o->input);
  qv_ovcheck_clear(&o->check);
  free(o);
}

/* ---- robustness ---------------------------------------------------------------------------------------------------------------- */

struct qverify_robust {
  const qv_net *net;
  qv_verdict verdict;
  const char *reason;
  qv_buf qir, property, cert;
  void **input; /* [net->n_in] the counterexample in storage type; NULL unless refuted */
};

/* The question as a property. */
static qv_status box_property(qv_property *p, const qv_net *net, const qverify_robust_question *q, qv_err *e) {
  qv_status st = qv_property_whole(p, net, 0, e);
  if (st != QV_OK) return st;
  p->claim = QV_CLAIM_ROBUST;
  if (q->output > UINT32_MAX || q->label > UINT32_MAX) return QV_FAIL(e, QV_E_ARG, "no such output or label");
  p->cond = (qv_condition){.kind = QV_KEEP_FIRST, .out = (uint32_t)q->output, .cls = (uint32_t)q->label};
  if ((st = qv_condition_check(&p->cond, net, e)) != QV_OK) return st;
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_tensor *t = &net->tensor[net->in[i].tensor];
    size_t n = qv_elems(t);
    p->in[i].n = n;
    if ((p->in[i].itv = QV_NEW(&p->arena, n, qv_itv)) == NULL) return QV_FAIL(e, QV_E_NOMEM, "out of memory");
    for (size_t k = 0; k < n; k++) {
      qv_itv v = {q->lo[i][k], q->hi[i][k]};
      if (v.lo > v.hi || v.lo < t->lo || v.hi > t->hi)
        return QV_FAIL(e, QV_E_ARG, "input '%s', element %zu: [%lld,%lld] is empty or leaves [%lld,%lld]", net->in[i].name, k, (long long)v.lo,
                       (long long)v.hi, (long long)t->lo, (long long)t->hi);
      p->in[i].itv[k] = v;
    }
  }
  return qv_condition_targets(&p->cond, net) > 0 ? QV_OK : QV_FAIL(e, QV_E_ARG, "the output has one element: nothing could change");
}

static qv_status keep_robust(qverify_robust *r, const qv_robust *rob, const qv_robust_query *q, const qv_robust_result *res, qv_err *e) {
  char net_sha[QV_SHA256_HEX], prop_sha[QV_SHA256_HEX];
  r->verdict = res->verdict;
  r->reason = res->reason;
  if (res->verdict == QV_UNKNOWN) return QV_OK;
  qv_sha256_hex(net_sha, r->qir.p, r->qir.n);
  qv_sha256_hex(prop_sha, r->property.p, r->property.n);
  qv_status st = qv_robust_certificate(&r->cert, rob, q, res, net_sha, prop_sha, e);
  if (st != QV_OK || res->verdict == QV_VERIFIED) return st;
  if ((r->input = calloc(r->net->n_in, sizeof *r->input)) == NULL) return QV_FAIL(e, QV_E_NOMEM, "out of memory");
  for (uint32_t i = 0; i < r->net->n_in; i++) {
    const qv_tensor *t = &r->net->tensor[r->net->in[i].tensor];
    if ((r->input[i] = malloc(qv_elems(t) * qv_dtype_bytes(t->type))) == NULL) return QV_FAIL(e, QV_E_NOMEM, "out of memory");
    qv_store(r->input[i], t->type, res->input[i], qv_elems(t));
  }
  return QV_OK;
}

qverify_status qverify_check_robust(qverify_robust **out, const qverify_model *m, const qverify_robust_question *q, qverify_error *err) {
  qv_status st;
  qv_err e = {0};
  qv_property p = {0};
  qv_robust *rob = NULL;
  qv_robust_result res = {0};
  qv_arena a = {0};
  *out = NULL;
  qverify_robust *r = calloc(1, sizeof *r);
  const qv_itv **box = QV_NEW(&a, m->net->n_in, const qv_itv *);
  if (r == NULL || box == NULL) {
    st = QV_FAIL(&e, QV_E_NOMEM, "out of memory");
    goto done;
  }
  r->net = m->net;
  QV_TRY(box_property(&p, m->net, q, &e));
  QV_TRY(qv_qir_write(&r->qir, m->net, &e));
  QV_TRY(qv_property_write(&r->property, &p, &e));
  for (uint32_t i = 0; i < m->net->n_in; i++) box[i] = p.in[i].itv;
  QV_TRY(qv_robust_new(&rob, m->net, &e));
  const qv_robust_query query = {.box = box, .cond = &p.cond};
  const qv_robust_opts o = {.seconds = q->seconds, .max_nodes = q->steps, .seed = q->seed, .threads = q->threads, .evidence = true};
  QV_TRY(qv_robust_run(&res, rob, &query, &o, &e));
  QV_TRY(keep_robust(r, rob, &query, &res, &e));
  *out = r;
  r = NULL;
done:
  qv_robust_clear(&res);
  qv_robust_free(rob);
  qv_property_clear(&p);
  qv_arena_clear(&a);
  qverify_robust_free(r);
  return report(st, &e, err);
}

qverify_verdict qverify_robust_verdict(const qverify_robust *r) { return public_verdict(r->verdict); }
const char *qverify_robust_reason(const qverify_robust *r) { return r->verdict == QV_UNKNOWN && r->reason != NULL ? r->reason : ""; }
const void *qverify_robust_input(const qverify_robust *r, size_t i) { return r->input != NULL && i < r->net->n_in ? r->input[i] : NULL; }

static const char *text_of(const qv_buf *b, size_t *bytes) {
  *bytes = b->n;
  return b->n > 0 ? (const char *)b->p : "";
}

const char *qverify_robust_net(const qverify_robust *r, size_t *bytes) { return text_of(&r->qir, bytes); }
const char *qverify_robust_property(const qverify_robust *r, size_t *bytes) { return text_of(&r->property, bytes); }
const char *qverify_robust_certificate(const qverify_robust *r, size_t *bytes) { return text_of(&r->cert, bytes); }

void qverify_robust_free(qverify_robust *r) {
  if (r == NULL) return;
  for (uint32_t i = 0; r->input != NULL && i < r->net->n_in; i++) free(r->input[i]);
  free(r->input);
  qv_buf_free(&r->qir);
  qv_buf_free(&r->property);
  qv_buf_free(&r->cert);
  free(r);
}
