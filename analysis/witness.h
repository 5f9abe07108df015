/* Witnesses: inputs of the net for which an accumulator really overflows, found by search and replayed on the reference.
 *
 * A target is a group of terms of one accumulator whose sum must be driven up or down: all terms (WRAP), a prefix (SAT, TRAP),
 * a pair (PAIR16, PAIRLANES), a lane window (LANES, PAIRLANES). On the first layer the sum is linear in the input box, so its maximum is a corner and
 * the search is exact; deeper, straight-through gradients and local moves look for one, and finding none proves nothing. */
#ifndef QV_ANALYSIS_WITNESS_H
#define QV_ANALYSIS_WITNESS_H

#include "analysis/prove.h"
#include "kernels/ref.h"

typedef enum {
  QV_WIT_NONE,      /* no violation found: not excluded                                                              */
  QV_WIT_REACHED,   /* found, replayed: see the other fields                                                          */
  QV_WIT_EXHAUSTED  /* every input of the domain was executed: there is none on which no earlier node traps           */
} qv_wit_state;

typedef struct {
  qv_wit_state state;
  uint32_t node, channel;
  size_t element;      /* of the node's output tensor                                                                 */
  int64_t exact;       /* exact value of the sum there                                                                */
  int64_t machine;     /* what the accumulator gives (meaningless when `trap`)                                        */
  bool trap;           /* the accumulator's behaviour is undefined on this input                                      */
  bool saturates;      /* SAT: a step saturates (the final value may still be right)                                  */
  int64_t **input;     /* [net->n_in] element values, owned by `arena`                                                */
  uint64_t tried;      /* inputs executed                                                                             */
  qv_arena arena;
} qv_witness;

typedef struct {
  uint64_t max_inputs; /* inputs executed at most; 0 = 400                                                            */
  uint64_t max_work;   /* multiply-adds at most; 0 = 2^31                                                             */
  uint64_t seed;
} qv_wit_opts;

/* Look for an input of the property's domain that makes item `item` of the proof (not VERIFIED) misbehave: result different
 * from the exact sum, a saturated step, or undefined behaviour, at the width the item is about.
 *   Post: QV_OK; state REACHED => replaying *input on the reference shows it (this function has done so).
 *   Deterministic by seed. *out is owned by the caller (qv_witness_clear). Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_witness_search(qv_witness *out, const qv_net *net, const qv_property *prop, const qv_proof *proof,
                                         uint32_t item, const qv_wit_opts *opts, qv_err *err);
void qv_witness_clear(qv_witness *w);

/* Execute the input on the reference, every accumulator as its own attribute says, and look at element `element` of `node`
 * with an accumulator of `bits` bits (0 = its own). Fills exact, machine, trap, saturates. Returns true if it misbehaves.
 * Nodes before `node` that trap make it return false. Used to re-check stored witnesses. Errors leave *bad false. */
QV_NODISCARD qv_status qv_witness_replay(bool *bad, qv_witness *w, const qv_net *net, int bits, qv_err *err);

/* The input of an affine node itself that attains an end of `final` of one channel, within the proved ranges of its input
 * tensor: every term at the end that helps (Lemma B1). x has room for the elements of the input tensor; those outside the
 * window at hand get their lower end. *element: output element; *value: the exact sum there, equal to the end of the bound
 * unless a linear bound or the effort limit (4096 positions) has made the bound another one. */
void qv_witness_node_input(int64_t *x, size_t *element, int64_t *value, const qv_net *net, const qv_range_result *r, uint32_t node,
                           uint32_t channel, bool hi);

#endif
