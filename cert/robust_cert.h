/* Writer of robustness certificates (docs/certificate.md section 7): line by line, in the order of the document's grammar. Proves
 * nothing. Failures (no memory) stay in the buffer until qv_rcert_end. */
#ifndef QV_CERT_ROBUST_CERT_H
#define QV_CERT_ROBUST_CERT_H

#include "ir/base/buf.h"
#include "ir/ir.h"

typedef struct {
  uint32_t tensor;
  uint64_t pos;
  int32_t s;
} qv_rcert_mult;

typedef struct {
  int scale;
  uint32_t n;
  const qv_rcert_mult *m; /* [n] strictly ascending in (tensor, pos) */
  uint32_t n_joint;       /* joint minima: */
  const uint32_t *joint;  /* [n_joint] tensors, ascending */
  uint64_t limit;         /* points of a group, the same for all */
} qv_rcert_mults;

typedef enum { QV_RCERT_VERIFIED, QV_RCERT_TRUSTED, QV_RCERT_FALSIFIED } qv_rcert_verdict;

void qv_rcert_begin(qv_buf *o, const char *net_sha256, const char *property_sha256);

/* Either all inputs enumerated, or a violating input, or goals, bounds and targets with their trees in preorder. */
void qv_rcert_points(qv_buf *o); /* also a leaf */
void qv_rcert_witness(qv_buf *o, const qv_net *net, const int64_t *const *input);
void qv_rcert_goals(qv_buf *o, bool logits);
void qv_rcert_bound(qv_buf *o, uint32_t tensor, uint32_t el, bool hi, int64_t v, const qv_rcert_mults *m);
void qv_rcert_target(qv_buf *o, uint32_t j);
void qv_rcert_split(qv_buf *o, uint32_t tensor, uint32_t el, int64_t at);
void qv_rcert_empty(qv_buf *o);
void qv_rcert_sum(qv_buf *o, uint32_t k, const int32_t *l, const qv_rcert_mults *m);
void qv_rcert_pair(qv_buf *o, int32_t p, int32_t q, const qv_rcert_mults *m);
void qv_rcert_trusted(qv_buf *o, const char *word);

/* Verdict (trusted: leaves that only an engine vouches for) and own hash over what was written since `start`. Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_rcert_end(qv_buf *o, size_t start, qv_rcert_verdict v, uint64_t trusted, qv_err *err);

#endif
