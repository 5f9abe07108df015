/* From multipliers to a good assignment: round, repair what breaks a limit, improve. In doubles; whoever takes the result tests it
 * in integers. Private to ilp/. */
#ifndef QV_ILP_REPAIR_H
#define QV_ILP_REPAIR_H

#include "ilp/dual.h"

typedef struct {
  const qv_question *q;
  double *over;        /* [rows] cost minus limit, scaled; > 0 is broken */
  double *delta;       /* [rows] */
  unsigned char *flag; /* [cands], free for the caller's use between calls */
  qv_arena arena;
} qv_arepair;

QV_NODISCARD qv_status qv_arepair_init(qv_arepair *r, const qv_question *q, qv_err *err); /* *r must be {0} */
void qv_arepair_clear(qv_arepair *r);

/* Start from d's picks (fixed groups from alive), write an assignment of alive candidates. */
void qv_arepair_run(qv_arepair *r, const qv_adual *d, const unsigned char *alive, uint32_t *choice);

#endif
