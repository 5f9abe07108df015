#include "cli/evidence.h"

#include "ir/qir.h"

qv_status cli_evidence_make(cli_evidence *ev, const qv_net *net, const qv_property *prop, const qv_proof *proof, qv_err *err) {
  char sha[QV_SHA256_HEX];
  bool whole = qv_property_is_default(prop);
  qv_status st = qv_qir_write(&ev->qir, net, err);
  if (st != QV_OK) return st;
  qv_sha256_hex(ev->net_sha256, ev->qir.p, ev->qir.n);
  if (!whole) {
    if ((st = qv_property_write(&ev->property, prop, err)) != QV_OK) return st;
    qv_sha256_hex(sha, ev->property.p, ev->property.n);
  }
  return qv_proof_certificate(&ev->cert, proof, net, ev->net_sha256, whole ? NULL : sha, err);
}

void cli_evidence_free(cli_evidence *ev) {
  qv_buf_free(&ev->qir);
  qv_buf_free(&ev->property);
  qv_buf_free(&ev->cert);
}
