/* Shared inside the comparison of two nets. */
#ifndef QV_ANALYSIS_DIFF_INT_H
#define QV_ANALYSIS_DIFF_INT_H

#include "analysis/diff.h"
#include "analysis/overflow.h"
#include "analysis/range.h"

#define QV_DIFF_STAGES 12 /* nodes in a row that work on single values */

/* One net of the two. */
typedef struct {
  const qv_net *net;
  qv_range_result range;
  uint32_t *producer; /* [n_tensors] node, or QV_NONE */
  uint32_t *acc;      /* [n_nodes] index into range.acc, or QV_NONE */
  uint32_t *match;    /* [n_tensors] corresponding tensor of the other net, or QV_NONE */
} qv_diff_side;

/* A function of single values: `add`, then nodes in order, each with the parameter set of the element at hand. */
typedef struct {
  size_t n;
  const qv_node *node[QV_DIFF_STAGES];
  uint32_t set[QV_DIFF_STAGES]; /* STEP: parameter set */
  int64_t add;
} qv_diff_chain;

/* Nodes that work on single values: what a chain is made of. */
bool qv_diff_pointwise(const qv_net *net, const qv_node *n);
void qv_diff_choose_sets(qv_diff_chain *c, size_t e); /* parameter sets of element e */
int64_t qv_diff_value(const qv_diff_chain *c, int64_t x);

/* *count = number of x in dom with f(x) != g(x), exactly: both functions are followed from one value change to the next. The
 * differing x as ascending intervals go to runs (up to max_runs; *n_runs counts all). False: more than *steps value changes
 * (which is lowered by those met). Cost: O(value changes * log). */
QV_NODISCARD bool qv_diff_count(uint64_t *count, const qv_diff_chain *f, const qv_diff_chain *g, qv_itv dom, qv_itv *runs, size_t max_runs,
                                size_t *n_runs, uint64_t *steps);

/* The differing part of a compared tensor, with what is needed to build inputs for it. */
typedef struct {
  uint32_t node;      /* in qv_diff */
  uint32_t base[2];   /* VALUES, SUMS: tensors that the chains start from */
  size_t element;     /* an element with this function */
  uint32_t channel;
  qv_diff_chain chain[2];
  qv_itv *runs;       /* VALUES: differing values */
  size_t n_runs;
  bool all_runs;      /* runs holds all of them */
  uint32_t atom[2];   /* PAIRS: operands, tensors of the first net */
  uint32_t n_atom;
  int64_t (*pair)[2]; /* PAIRS: differing pairs */
  size_t n_pair;
} qv_diff_class;

typedef struct {
  qv_diff *out;
  qv_diff_side s[2];
  qv_diff_opts opts;
  qv_diff_class *cls;
  uint32_t n_cls, cap_cls;
  qv_itv *runs;       /* scratch of counting */
  uint8_t *memo;      /* [n_tensors of net 0] of qv_diff_same, with memo_b */
  uint32_t *memo_b;
  qv_arena tmp;
} qv_differ;

/* Are tensors ta and tb the same function of corresponding tensors, by form? */
bool qv_diff_same(qv_differ *d, uint32_t ta, uint32_t tb);

/* Is the accumulator of a node of net `side` proved harmless for all channels, so that its sum is the exact one? */
bool qv_diff_harmless(const qv_differ *d, int side, uint32_t node);
/* Inputs on which the differing tensors, and in the end the outputs, differ; proofs that there is none. Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_diff_search(qv_differ *d, qv_err *err);

#endif
