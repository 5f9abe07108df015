/* Maximum matching in a graph (Edmonds 1965): as many disjoint edges as possible. */
#ifndef QV_ANALYSIS_MATCH_H
#define QV_ANALYSIS_MATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "ir/base/arena.h"

/* mate[v] = partner of v, QV_MATCH_NONE if it has none. edge[u * n + v] != 0 iff u, v are adjacent; symmetric, the diagonal is not
 * looked at. Errors: QV_E_NOMEM. Deterministic. Cost: O(n^3). */
#define QV_MATCH_NONE UINT32_MAX
QV_NODISCARD qv_status qv_match(uint32_t *mate, const uint8_t *edge, uint32_t n, qv_err *err);

#endif
