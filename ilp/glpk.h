/* GLPK as a proposer, in a child process: it prints, aborts and answers wrongly (docs/allocation.md section 7), so all that comes
 * back is a list of candidates that the caller tests in integers. Private to ilp/. */
#ifndef QV_ILP_GLPK_H
#define QV_ILP_GLPK_H

#include "ilp/question.h"

/* A proposal for the whole question, scaled to be kind to GLPK. *tried false: no answer (time, memory, pairs, GLPK's own trouble). */
QV_NODISCARD qv_status qv_glpk_propose(uint32_t *choice, bool *tried, const qv_question *q, double seconds, qv_err *err);

/* HAWQ-V3's program: every group wide or narrow, one limit, the table's own units, whatever GLPK says. */
QV_NODISCARD qv_status qv_glpk_two_widths(uint32_t *choice, bool *tried, const qv_alloc *p, uint32_t row, const uint32_t *wide,
                                          const uint32_t *narrow, qv_err *err);

#endif
