/* Numbers and one-node nets from the far ends of every field: what random nets of ordinary size never reach. */
#ifndef QV_TESTS_EXTREME_H
#define QV_TESTS_EXTREME_H

#include "ir/base/rng.h"
#include "ir/ir.h"

/* A value of [lo,hi]: an end point, close to 0, close to a power of two, or of random length. */
int64_t extreme_int(qv_rng *r, int64_t lo, int64_t hi);
/* Positive and finite, subnormal now and then. */
float extreme_scale(qv_rng *r);
/* Any finite value, -0 and subnormal included. */
double extreme_double(qv_rng *r);

/* A net of one node of this kind, input "x" and output "y", fields drawn from their whole width. Most of these nets are
 * refused by qv_ir_check, which has not been called. NULL: out of memory. */
qv_net *extreme_net(qv_rng *r, qv_kind kind);

#endif
