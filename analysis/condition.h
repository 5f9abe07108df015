/* Output conditions as the robustness engines see them: one target, one violation, one slack. */
#ifndef QV_ANALYSIS_CONDITION_H
#define QV_ANALYSIS_CONDITION_H

#include "ir/property.h"

/* Targets are numbered 0 .. count-1; one of them, the kept class, is none. */
uint32_t qv_cond_targets(const qv_condition *c, const qv_net *net);
static inline bool qv_cond_is_target(const qv_condition *c, uint32_t t) { return c->kind == QV_AVOID || t != c->cls; }
/* KEEP: does a tie between target t and the kept class lose it? */
bool qv_cond_tie_loses(const qv_condition *c, uint32_t t);

/* Target t as a violation: all of n inequalities hold. one: room for the inequality of a KEEP target. */
typedef struct {
  qv_out_term term[2];
  qv_ineq ineq;
  qv_violation v;
} qv_cond_room;
const qv_violation *qv_cond_violation(qv_cond_room *room, const qv_condition *c, uint32_t t);

/* o: [net->n_out][elements] values of the net outputs.
 * Slack: how far target t is from being violated; violated iff <= 0 (saturated: the sign counts). Gap: the least slack. */
int64_t qv_cond_slack(const qv_condition *c, uint32_t t, const int64_t *const *o);
int64_t qv_cond_gap(const qv_condition *c, const qv_net *net, const int64_t *const *o);

#endif
