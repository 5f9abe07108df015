/* Certificates of robustness results, in terms of the net's tensors (docs/certificate.md section 7). */
#ifndef QV_ANALYSIS_ROBUST_EVIDENCE_H
#define QV_ANALYSIS_ROBUST_EVIDENCE_H

#include "analysis/robust.h"
#include "ir/base/buf.h"

/* Append the certificate of a VERIFIED result (run with opts.evidence) or of a FALSIFIED one. The hashes are those of the canonical
 * .qir and property texts, the property being the query's. Errors: QV_E_ARG (UNKNOWN, or no evidence was kept); QV_E_NOMEM. */
QV_NODISCARD qv_status qv_robust_certificate(qv_buf *out, const qv_robust *r, const qv_robust_query *q, const qv_robust_result *res,
                                             const char *net_sha256, const char *property_sha256, qv_err *err);

#endif
