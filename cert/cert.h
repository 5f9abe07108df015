/* Certificate data model and writer (docs/certificate.md). Proves nothing: it writes down what analyses claim. */
#ifndef QV_CERT_CERT_H
#define QV_CERT_CERT_H

#include "ir/base/buf.h"
#include "ir/ir.h"

typedef struct {
  uint32_t tensor, n, inner;
  const qv_itv *itv; /* [n] */
} qv_cert_tensor;

typedef struct {
  uint32_t node;
  int bits;         /* width the claim is about; 0 = exact */
  bool harmless;    /* else open */
  bool by_position; /* else by channel */
} qv_cert_acc;

typedef struct {
  uint32_t node, channel, from;
  bool hi;
} qv_cert_linear;

typedef struct {
  uint32_t node;
  bool holds;
} qv_cert_obligation;

/* One overflow certificate. Arrays in the order that docs/certificate.md asks for; nothing is owned. */
typedef struct {
  const char *net_sha256;      /* of the canonical .qir bytes */
  const char *property_sha256; /* of the property bytes; NULL = default property "-" */
  const qv_cert_tensor *tensor;
  const qv_cert_acc *acc;
  const qv_cert_linear *linear;
  const qv_cert_obligation *obligation;
  uint32_t n_tensor, n_acc, n_linear, n_obligation;
  bool verified;
} qv_cert;

/* Append the certificate's text, own hash included. The same data gives the same bytes. Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_cert_write(qv_buf *out, const qv_cert *c, qv_err *err);

#endif
