/* Random float networks, quantized, against the proved error bound: shared by test_error.c and planted/error_hunt.c. */
#ifndef QV_TESTS_ERROR_TRIAL_H
#define QV_TESTS_ERROR_TRIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  size_t nets, points, unproved; /* networks, inputs executed, networks without a finite bound */
  double tightest;               /* largest share of a bound that an executed input reached     */
  double share;                  /* sum over the networks of that share                          */
  char broken[200];              /* first violation, "" if none                                  */
} et_count;

/* One network from `seed`; violations are text in c->broken, anything else wrong aborts. scale < 1 shrinks the bound before it is tested. */
void et_trial(et_count *c, uint64_t seed, double scale);

#endif
