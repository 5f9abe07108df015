/* The meaning of every node kind: scalar reference, exact, machine accumulators included. Slow, short, trusted. */
#ifndef QV_KERNELS_REF_H
#define QV_KERNELS_REF_H

#include "ir/ir.h"

/* Values of all tensors for one sample: v[t] has qv_elems(tensor t) values; constants included. */
typedef struct {
  int64_t **v;
  qv_arena arena;
} qv_values;

QV_NODISCARD qv_status qv_values_init(qv_values *vals, const qv_net *net, qv_err *err); /* allocates, fills constants */
void qv_values_clear(qv_values *vals);

/* Execute all nodes; net inputs must be in vals->v[net->in[i].tensor], within [lo,hi] (QV_E_RANGE otherwise).
 *   Errors: QV_E_UNSUP for OPAQUE; QV_E_RANGE "trap" when a TRAP accumulator leaves its range (undefined behaviour on the
 *   machine: err names node and channel). */
QV_NODISCARD qv_status qv_ref_run(const qv_net *net, qv_values *vals, qv_err *err);

/* One node. Same errors. */
QV_NODISCARD qv_status qv_ref_node(const qv_net *net, uint32_t node, qv_values *vals, qv_err *err);

/* Machine accumulation of K terms in kernel order, as qv_acc says; for AFFINE the corrected result.
 * Shared by qv_ref_node and by the tests of the accumulator modes.
 *   x[i], w[i]: bytes of term i (raw); inside[i] false = padded tap. *out = the machine's result; returns false on TRAP. */
bool qv_acc_run(int64_t *out, const qv_acc *a, size_t k, const int64_t *x, const int64_t *w, const bool *inside, int64_t x_zp,
                int64_t w_zp, int64_t b);

#endif
