/* A robustness query cut into parts that are queries of their own. */
#ifndef QV_CLI_CI_SPLIT_H
#define QV_CLI_CI_SPLIT_H

#include "ir/property.h"

#define CI_PARTS_MAX 4096 /* what a checker accepts (docs/certificate.md 7.7) */

/* "K/N" with 1 <= K <= N <= CI_PARTS_MAX. */
bool ci_read_part(const char *s, uint32_t *part, uint32_t *of);

/* Cut the property's boxes into `of` parts and keep part `part` of them: the same parts for the same net and property, wherever and whenever.
 * Each cut halves the parts; it goes through the element that moves the outputs most. A box of fewer inputs than parts is cut into single
 * inputs, and the last part stands for those that are left over. cover (may be NULL) gets the certificate of the cut, for a property whose
 * text has this hash. Errors: QV_E_ARG for a list of points, which is not cut; QV_E_NOMEM. */
QV_NODISCARD qv_status ci_split(qv_property *p, const qv_net *net, uint32_t part, uint32_t of, qv_buf *cover, const char *net_sha256, const char *property_sha256,
                                qv_err *err);

#endif
