/* Tiny robustness questions with their truth by enumeration: random boxes and conditions, small fixed-point nets. */
#ifndef QV_TESTS_ROBUST_TRIAL_H
#define QV_TESTS_ROBUST_TRIAL_H

#include "analysis/robust.h"
#include "ir/base/rng.h"
#include "kernels/ref.h"

typedef struct {
  qv_net *net;
  qv_itv *box[4];
  int64_t *point[4];
  qv_robust_query q;
  qv_condition cond;
  qv_violation bad[3];
  qv_ineq ineq[3][2];
  qv_out_term term[3][2][3];
  qv_values v;
  bool violated, trapped; /* by some point of the box */
} rt_trial;

/* A random box, condition and point for a net, and what is true of them; false if the net does not suit. The net becomes the trial's. */
bool rt_make(rt_trial *t, qv_net *net, qv_rng *r);
void rt_clear(rt_trial *t);

/* The condition once more, from its definition, about the values in t->v. */
bool rt_violates(const rt_trial *t);
/* Run the values in t->v: 1 violated, 0 kept, -1 undefined behaviour. */
int rt_run(rt_trial *t);
/* First and next point of the box in t->v. */
void rt_first(rt_trial *t);
bool rt_next(rt_trial *t);

qv_net *rt_text(const char *qtxt);
/* Fixed-point nets of a few neurons. `steep`: weights that cross many cells and both clamps, so that bounds need branching. */
qv_net *rt_fixed_net(qv_rng *r, bool steep);

#endif
