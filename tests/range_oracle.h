/* Bounds of one output element by plain loops over its terms: the oracle for analysis/range.h and analysis/overflow.h.
 * Written from docs/semantics.md sections 4 and 5; uses nothing of analysis/ but the types. With point intervals it gives
 * the sums themselves. */
#ifndef QV_TESTS_RANGE_ORACLE_H
#define QV_TESTS_RANGE_ORACLE_H

#include "analysis/range.h"

#define ORACLE_TERMS 4096

typedef struct {
  size_t k;
  qv_itv t[ORACLE_TERMS];     /* corrected terms in kernel order */
  qv_itv byte[ORACLE_TERMS];  /* raw terms (AFFINE)              */
  qv_itv x[ORACLE_TERMS];     /* input bytes, x_zp where padded  */
  int64_t b, x_zp, w_zp, sum_w;
  const qv_acc *acc;
} oracle_terms;

typedef struct {
  qv_itv final, prefix, any;
  qv_itv stage;               /* PAIR16, LANES */
  uint32_t n_stage;
  bool bad[2 * ORACLE_TERMS];
  qv_itv raw_sum, raw_prefix, row, fix, all;
  int64_t col;
} oracle_bound;

/* Terms of element e of the output of an AFFINE, SUM or PRODUCT node. v[t][i] = interval of element i of tensor t. */
void oracle_load(oracle_terms *o, const qv_net *net, const qv_node *n, size_t e, qv_itv *const *v);
void oracle_run(oracle_bound *out, const oracle_terms *o);

/* Channel of output element e in the node's qv_acc_bound. */
uint32_t oracle_channel(const qv_node *n, const qv_ranges *out, size_t e);

#endif
