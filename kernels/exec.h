/* Fast batch execution: equals qv_ref_run bit for bit, chosen SIMD at run time, threads over samples. */
#ifndef QV_KERNELS_EXEC_H
#define QV_KERNELS_EXEC_H

#include "ir/ir.h"

typedef enum { QV_ISA_BEST = 0, QV_ISA_PORTABLE, QV_ISA_AVX2, QV_ISA_AVX512VNNI } qv_isa;

typedef struct qv_plan qv_plan;

/* Best instruction set that this CPU has (cpuid), never QV_ISA_BEST. */
qv_isa qv_isa_detect(void);
const char *qv_isa_name(qv_isa isa);

/* Prepare a checked net: packs weights, picks a kernel per node (fast where the node's declared ranges prove that int32
 * arithmetic is exact, the reference otherwise). *out is owned by the caller; the net must outlive it.
 *   Errors: QV_E_UNSUP (OPAQUE node, or isa not on this CPU), QV_E_NOMEM. */
QV_NODISCARD qv_status qv_plan_new(qv_plan **out, const qv_net *net, qv_isa isa, qv_err *err);

/* What a caller has proved about a node for every input that a plan will be run on (qv_proof_facts, analysis/facts.h). The executor
 * relies on it and checks nothing of it. */
typedef struct {
  bool harmless;   /* the node's accumulator always gives the exact sum                                                  */
  const qv_itv *x; /* AFFINE: [ic] every element of input channel c lies in x[c]; NULL: nothing is known                  */
} qv_plan_fact;

/* As qv_plan_new, with facts: fact[k] is about node k, {0} = nothing. Nodes whose accumulator is harmless need no reference kernel,
 * and nodes with ranges may add byte products in 16-bit lanes, as many as provably fit (kernels/exec_acc16.c); without facts the
 * executor never does. For inputs for which a fact does not hold the results are undefined. `fact` is not kept.
 *   Same errors and results as qv_plan_new. */
QV_NODISCARD qv_status qv_plan_new_proved(qv_plan **out, const qv_net *net, qv_isa isa, const qv_plan_fact *fact, qv_err *err);
void qv_plan_free(qv_plan *p);

/* Run n samples on `threads` threads (0 = all cores). in[i] / out[j]: net input i / output j as n samples back to back, in
 * the tensor's storage type, little endian. Input values outside the tensor's [lo,hi] are QV_E_RANGE.
 *   Thread: a plan may be used by one call at a time. Same results for every isa and thread count. */
QV_NODISCARD qv_status qv_plan_run(qv_plan *p, size_t n, const void *const *in, void *const *out, unsigned threads, qv_err *err);

/* One line per node: which kernel was picked and why (for `qverify info -v` and the benchmarks). n < net->n_nodes. */
const char *qv_plan_kernel(const qv_plan *p, uint32_t node);

#endif
