/* Data movement as one map, so that every engine handles all INDEX forms with one loop. */
#ifndef QV_IR_INDEX_H
#define QV_IR_INDEX_H

#include "ir/ir.h"

/* Source of one output element: input `src` element `off`, or the constant `off` when src == QV_NONE. */
typedef struct {
  uint32_t src;
  int32_t off;
} qv_index_src;

/* Fill map[0..elems(out)) for an INDEX node of a checked net. Cost: O(elements). */
void qv_index_map(qv_index_src *map, const qv_net *net, const qv_node *node);

/* True if out[e] = in[e] for all e (RESHAPE, and any form that moves nothing): nothing needs to be copied. */
bool qv_index_is_identity(const qv_net *net, const qv_node *node);

#endif
