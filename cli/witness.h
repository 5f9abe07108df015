/* Counterexamples to "this accumulator does not overflow": found in closed form, believed only after execution. */
#ifndef QV_CLI_WITNESS_H
#define QV_CLI_WITNESS_H

#include "ir/ir.h"

/* One input of the whole net that was executed by the reference kernels. */
typedef struct {
  int64_t **in;       /* [net->n_in] -> one sample of input i, within its tensor's [lo,hi]                             */
  size_t element;     /* number of the node's output element where the two results differ                              */
  uint32_t channel;   /* of that element                                                                               */
  int64_t exact;      /* the mathematical value of that sum                                                            */
  int64_t machine;    /* what the accumulator gives instead; undefined if trap                                         */
  bool trap;          /* the machine's result is undefined behaviour                                                   */
  qv_arena arena;
} qv_witness;

/* The accumulator that an overflow question is about: the node's own for acc_bits 0, else one of the same kind that is acc_bits
 * wide (WRAP where the node's is unbounded). */
qv_acc qv_acc_judged(const qv_acc *own, int acc_bits);

/* Look for an input of the net that makes node's accumulator overflow. Works for an AFFINE node whose input elements each depend
 * on one element of a net input (the first layer): the corner of the input box that drives one sum farthest, tried at every
 * output position of `channel`, low and high side.
 *   Post: QV_OK, *found: *out holds an input within the net's input ranges, and executing the node on it with the judged
 *         accumulator gave another value than with an unbounded one (or undefined behaviour): replayed, not derived.
 *         QV_OK, !*found: nothing is claimed.
 *   Owner: qv_witness_clear. Cost: two executions of the net up to the node, plus positions * terms. Thread: pure. */
QV_NODISCARD qv_status qv_witness_find(qv_witness *out, bool *found, const qv_net *net, uint32_t node, uint32_t channel, int acc_bits,
                                       qv_err *err);
void qv_witness_clear(qv_witness *w);

#endif
