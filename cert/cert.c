#include "cert/cert.h"

static void put(qv_buf *o, const char *word, int64_t v) {
  qv_buf_str(o, word);
  qv_buf_i64(o, v);
}

static void put_tensor(qv_buf *o, const qv_cert_tensor *t) {
  put(o, "tensor ", t->tensor);
  put(o, " ", t->n);
  put(o, " ", t->inner);
  for (uint32_t i = 0; i < t->n; i++) {
    put(o, i == 0 ? "\n" : " ", t->itv[i].lo);
    put(o, " ", t->itv[i].hi);
  }
  qv_buf_str(o, "\n");
}

qv_status qv_cert_write(qv_buf *o, const qv_cert *c, qv_err *err) {
  size_t start = o->n;
  qv_buf_str(o, "qvc 1\nclaim overflow\nnet ");
  qv_buf_str(o, c->net_sha256);
  qv_buf_str(o, "\nproperty ");
  qv_buf_str(o, c->property_sha256 != NULL ? c->property_sha256 : "-");
  qv_buf_str(o, "\n");
  for (uint32_t i = 0; i < c->n_tensor; i++) put_tensor(o, &c->tensor[i]);
  for (uint32_t i = 0; i < c->n_acc; i++) {
    const qv_cert_acc *a = &c->acc[i];
    put(o, "acc ", a->node);
    put(o, " ", a->bits);
    qv_buf_str(o, a->harmless ? " harmless" : " open");
    qv_buf_str(o, a->by_position ? " position\n" : " channel\n");
  }
  for (uint32_t i = 0; i < c->n_linear; i++) {
    const qv_cert_linear *l = &c->linear[i];
    put(o, "linear ", l->node);
    put(o, l->hi ? " hi " : " lo ", l->channel);
    put(o, " ", l->from);
    qv_buf_str(o, "\n");
  }
  for (uint32_t i = 0; i < c->n_obligation; i++) {
    put(o, "obligation ", c->obligation[i].node);
    qv_buf_str(o, c->obligation[i].holds ? " holds\n" : " open\n");
  }
  qv_buf_str(o, c->verified ? "verdict verified\n" : "verdict unknown\n");
  char hash[QV_SHA256_HEX];
  if (o->failed) return QV_FAIL(err, QV_E_NOMEM, "certificate text");
  qv_sha256_hex(hash, o->p + start, o->n - start);
  qv_buf_str(o, "sha256 ");
  qv_buf_str(o, hash);
  qv_buf_str(o, "\n");
  return o->failed ? QV_FAIL(err, QV_E_NOMEM, "certificate text") : QV_OK;
}
