/* What a candidate costs that is not a plain count: memory at every step of the schedule, and measured time (docs/quantize.md section 4).
 * Both are exact sums over groups, so they become rows of the allocation table. */
#ifndef QV_QUANT_COST_H
#define QV_QUANT_COST_H

#include "quant/groups.h"

/* ---- memory ---------------------------------------------------------------------------------------------------------------- */

/* Elements of one buffer of a group's width that lives during a step. */
typedef struct {
  uint32_t group;
  uint64_t elems;
} qv_live;

/* One moment of the schedule. A node that may overwrite its operand is two: without its result, and without that operand. */
typedef struct {
  const char *name;   /* "ram@" and the node's name; unique */
  uint32_t node;
  uint32_t n;
  const qv_live *live; /* [n] */
  uint32_t acc_group;  /* group whose choice is the width of the accumulators, or QV_NONE */
  uint64_t accs;       /* accumulators that live during the step: one for every output channel */
  uint64_t fixed;      /* bytes of floats and of accumulators that nobody chooses */
} qv_moment;

typedef struct {
  uint32_t n;
  qv_moment *at;
  qv_arena arena;
} qv_schedule;

/* The nodes in their order in g. *out is the caller's (qv_schedule_clear), also after an error. Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_schedule_make(qv_schedule *out, const qv_fgraph *g, const qv_groups *groups, qv_err *err);
void qv_schedule_clear(qv_schedule *s);

/* Bytes of group `group` at that moment: codes of a bits, packed, or in whole bytes (two above 8 bits); accumulators of 2 bytes up to 16
 * bits, else 4. Bytes that no group chooses are in group 0. */
uint64_t qv_moment_bytes(const qv_moment *m, uint32_t group, int a, int acc_bits, bool packed);

/* ---- time -------------------------------------------------------------------------------------------------------------------- */

/* One measured kernel of one layer. */
typedef struct {
  const char *layer, *shape; /* which layers it is about: both that are not NULL must agree */
  uint32_t n;
  const char **cand; /* [n] candidates that run on it: "W4A8P16", or "W4A8" for every accumulator */
  int64_t ps;        /* median, picoseconds */
} qv_time_entry;

struct qv_times {
  uint32_t n;
  qv_time_entry *entry;
};

/* Time of node k at a candidate: the first entry that is about it. False: there is none. */
bool qv_times_find(int64_t *ps, const qv_times *t, const qv_fgraph *g, uint32_t k, qv_bits b, qv_accum acc);

#endif
