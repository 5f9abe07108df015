/* What an overflow proof lets the executor rely on (qv_plan_new_proved). */
#ifndef QV_ANALYSIS_FACTS_H
#define QV_ANALYSIS_FACTS_H

#include "analysis/prove.h"
#include "kernels/exec.h"

/* One fact per node of the net: affine nodes that the proof says are harmless at their own width, and the hull of the proved ranges
 * of each input channel of every affine node. Facts hold for the inputs of the property that was proved, and no others: whoever runs the
 * plan sees to that. They are in `arena`. Pre: `proof` is one of this net. Errors: QV_E_NOMEM. Cost: O(size of the tensors). */
QV_NODISCARD qv_status qv_proof_facts(const qv_plan_fact **out, qv_arena *arena, const qv_net *net, const qv_proof *proof, qv_err *err);

#endif
