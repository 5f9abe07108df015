#include "cert/robust_cert.h"

static void put(qv_buf *o, int64_t v) {
  qv_buf_put(o, " ", 1);
  qv_buf_i64(o, v);
}

static void put_mults(qv_buf *o, const qv_rcert_mults *m) {
  put(o, m->scale);
  put(o, m->n);
  for (uint32_t i = 0; i < m->n; i++) {
    put(o, m->m[i].tensor);
    put(o, (int64_t)m->m[i].pos);
    put(o, m->m[i].s);
  }
  if (m->n_joint > 0) {
    qv_buf_str(o, " joint");
    put(o, m->n_joint);
  }
  for (uint32_t i = 0; i < m->n_joint; i++) {
    put(o, m->joint[i]);
    put(o, (int64_t)m->limit);
  }
  qv_buf_str(o, "\n");
}

void qv_rcert_begin(qv_buf *o, const char *net_sha256, const char *property_sha256) {
  qv_buf_printf(o, "qvc 1\nclaim robust\nnet %s\nproperty %s\n", net_sha256, property_sha256);
}

void qv_rcert_points(qv_buf *o) { qv_buf_str(o, "points\n"); }

void qv_rcert_witness(qv_buf *o, const qv_net *net, const int64_t *const *input) {
  qv_buf_str(o, "witness\n");
  for (uint32_t i = 0; i < net->n_in; i++) {
    qv_buf_str(o, "input");
    put(o, i);
    for (size_t e = 0, n = qv_elems(&net->tensor[net->in[i].tensor]); e < n; e++) put(o, input[i][e]);
    qv_buf_str(o, "\n");
  }
}

void qv_rcert_goals(qv_buf *o, bool logits) { qv_buf_str(o, logits ? "goals logits\n" : "goals outputs\n"); }

void qv_rcert_bound(qv_buf *o, uint32_t tensor, uint32_t el, bool hi, int64_t v, const qv_rcert_mults *m) {
  qv_buf_str(o, "bound");
  put(o, tensor);
  put(o, el);
  qv_buf_str(o, hi ? " hi" : " lo");
  put(o, v);
  put_mults(o, m);
}

void qv_rcert_target(qv_buf *o, uint32_t j) {
  qv_buf_str(o, "target");
  put(o, j);
  qv_buf_str(o, "\n");
}

void qv_rcert_split(qv_buf *o, uint32_t tensor, uint32_t el, int64_t at) {
  qv_buf_str(o, "split");
  put(o, tensor);
  put(o, el);
  put(o, at);
  qv_buf_str(o, "\n");
}

void qv_rcert_empty(qv_buf *o) { qv_buf_str(o, "empty\n"); }

void qv_rcert_sum(qv_buf *o, uint32_t k, const int32_t *l, const qv_rcert_mults *m) {
  qv_buf_str(o, "dual sum");
  put(o, k);
  for (uint32_t i = 0; i < k; i++) put(o, l[i]);
  put_mults(o, m);
}

void qv_rcert_pair(qv_buf *o, int32_t p, int32_t q, const qv_rcert_mults *m) {
  qv_buf_str(o, "dual pair");
  put(o, p);
  put(o, q);
  put_mults(o, m);
}

void qv_rcert_trusted(qv_buf *o, const char *word) {
  qv_buf_str(o, "trusted ");
  qv_buf_str(o, word);
  qv_buf_str(o, "\n");
}

qv_status qv_rcert_end(qv_buf *o, size_t start, qv_rcert_verdict v, uint64_t trusted, qv_err *err) {
  switch (v) {
  case QV_RCERT_VERIFIED: qv_buf_str(o, "verdict verified\n"); break;
  case QV_RCERT_TRUSTED: qv_buf_printf(o, "verdict trusted %llu\n", (unsigned long long)trusted); break;
  case QV_RCERT_FALSIFIED: qv_buf_str(o, "verdict falsified\n"); break;
  }
  char hash[QV_SHA256_HEX];
  if (o->failed) return QV_FAIL(err, QV_E_NOMEM, "certificate text");
  qv_sha256_hex(hash, o->p + start, o->n - start);
  qv_buf_printf(o, "sha256 %s\n", hash);
  return o->failed ? QV_FAIL(err, QV_E_NOMEM, "certificate text") : QV_OK;
}
