/* Branch and bound over one question: find the least key, prove it, count the optima. Private to ilp/. */
#ifndef QV_ILP_TREE_H
#define QV_ILP_TREE_H

#include "ilp/vector.h"

typedef enum {
  QV_TREE_SEARCH, /* find an assignment of least key below the target                                 */
  QV_TREE_PROVE,  /* write the tree that shows: no key below the target                               */
  QV_TREE_COUNT,  /* visit every assignment with a key below the target; choice is the first of those visited */
  QV_TREE_FIRST   /* find the lexicographically first assignment with a key below the target          */
} qv_tree_mode;

typedef struct {
  qv_tree_mode mode;
  bool finite;         /* target is a number, not +infinity */
  mpz_t target;        /* SEARCH lowers it to the key of the best found */
  uint32_t *choice;    /* [groups]: SEARCH: best so far; COUNT, FIRST: the first seen */
  bool found;
  uint64_t count, max_count;   /* COUNT: how many, and where to stop (then `stopped`) */
  bool stopped;
  uint64_t nodes, max_nodes;
  double deadline;     /* of the monotonic clock, 0 = none */
  uint64_t vectors;
  double root_bound;   /* scaled; NAN = none */
  qv_buf mults, tree;  /* PROVE */
} qv_tree;

void qv_tree_init(qv_tree *t);
void qv_tree_clear(qv_tree *t);

/* Run one mode. QV_E_LIMIT: nodes, time or depth used up (SEARCH: what was found stays). */
QV_NODISCARD qv_status qv_tree_run(qv_tree *t, const qv_question *q, uint32_t *choice, qv_err *err);

/* A proposed assignment: taken (SEARCH) if it is feasible and better than the best so far, all in integers. */
void qv_tree_offer(qv_tree *t, const qv_question *q, const uint32_t *choice);

/* Append "mults .." and the tree after PROVE. */
void qv_tree_put(qv_buf *out, const qv_tree *t);

double qv_ilp_clock(void); /* seconds */

#endif
