/* The question "does some input of the box violate the condition" as a list of scalar definitions: what the encoders write.
 *
 *   definition d:  v_d = an input element, or a function of earlier values;   goal: some violation's inequalities all hold
 *
 * Built straight from the net and docs/semantics.md, with an interval analysis of its own, element by element: of analysis/ only a
 * tail's order and gap are used (lemma S7), so that an answer from here is a second opinion. Data movement and constants are resolved, zero points folded in.
 * Machine accumulators are expanded into the clamps and wraps that the box does not exclude; what has no exact form is refused
 * (QV_E_UNSUP), never approximated. The one exception is `relaxed` below.
 *
 * Concretization: for every input in the box the values are the net's own (docs/smt.md lists the identities), each inside its
 * interval. */
#ifndef QV_SMT_DEFS_H
#define QV_SMT_DEFS_H

#include "ir/property.h"

/* A value: definition `def`, or the constant c where def is QV_NONE. */
typedef struct {
  uint32_t def;
  int64_t c;
} qv_atom;

typedef struct {
  int64_t w; /* not 0 */
  uint32_t def;
} qv_lterm;

/* c + sum of w * v; terms ascending by definition. */
typedef struct {
  qv_i128 c;
  uint32_t n;
  const qv_lterm *t;
} qv_lin;

typedef enum {
  QV_DEF_INPUT,  /* element `el` of net input `port`: any value of itv                           */
  QV_DEF_LIN,    /* lin                                                                          */
  QV_DEF_FLOOR,  /* floor((a*x + b + (x >= from ? jump : 0)) / d), d >= 1; jump = 0: no such part */
  QV_DEF_CLAMP,  /* min(hi, max(lo, x))                                                          */
  QV_DEF_WRAP,   /* the number of the signed `bits`-bit range congruent to x                     */
  QV_DEF_PIECES, /* v[number of i < n with at[i] <= x]                                           */
  QV_DEF_MAX,    /* max(x, y)                                                                    */
  QV_DEF_MUL     /* x * y, y's interval no wider than x's                                        */
} qv_def_op;

typedef struct {
  qv_def_op op;
  bool live;     /* the goal, or a cut, depends on it */
  bool cut;      /* itv is narrower than all, a demand */
  qv_itv all;    /* contains every value; lo < hi: what can have one value only is a constant, not a definition */
  qv_itv itv;    /* all, or the part of it that a cut leaves */
  uint32_t x, y; /* earlier definitions, where the operation has them */
  union {
    struct {
      uint32_t port, el;
    } input;
    qv_lin lin;
    struct {
      qv_i128 a, b, d, jump;
      int64_t from;
    } floor;
    struct {
      int64_t lo, hi;
    } clamp;
    int bits;
    struct {
      uint32_t n;
      const int64_t *at, *v;
    } pieces; /* at ascending, strictly; v has n + 1 entries */
  } u;
} qv_def;

/* lin >= 0 */
typedef struct {
  qv_lin lin;
  qv_i128 lo, hi; /* of lin; lo < 0 <= hi: decided inequalities are not listed */
} qv_goal_ineq;

typedef struct {
  uint32_t target; /* as in qv_condition */
  uint32_t n;      /* 0: every input of the box satisfies it */
  const qv_goal_ineq *ineq;
} qv_goal_case;

typedef struct {
  uint32_t n, cap;
  qv_def *def;
  uint32_t n_case; /* 0: no input can satisfy any (by intervals alone) */
  qv_goal_case *gcase;
  bool relaxed;    /* a tail was replaced by what follows from it: "no input" holds for the net, "some input" need not */
  size_t terms;    /* of all linear forms and pieces */
  double deadline; /* of building and writing, on the clock of qv_now; 0 = none */
  qv_arena arena;
} qv_defs;

/* A restriction of one element of one tensor, added to the box (a leaf of a split tree). */
typedef struct {
  uint32_t tensor;
  size_t el;
  qv_itv itv;
} qv_cut;

#define QV_DEFS_TERMS ((size_t)1 << 25) /* larger questions are refused: memory */

/* *out is the caller's (qv_defs_clear), also after an error. Pre: checked net; p read or built for it.
 *   Errors: QV_E_UNSUP (names node and reason), QV_E_LIMIT (too large, too late), QV_E_ARG (no box, no robustness claim, no such output), QV_E_NOMEM.
 * Cost: O(terms) time and memory. */
QV_NODISCARD qv_status qv_defs_build(qv_defs *out, const qv_net *net, const qv_property *p, const qv_cut *cut, uint32_t n_cut,
                                     double deadline, qv_err *err);
/* QV_E_LIMIT once the deadline has passed. */
QV_NODISCARD qv_status qv_defs_in_time(const qv_defs *d, qv_err *err);
void qv_defs_clear(qv_defs *d);

/* Value of a FLOOR definition at x. */
int64_t qv_def_floor(const qv_def *f, int64_t x);

/* Bits of the signed range that holds [lo,hi]. */
int qv_i128_bits(qv_i128 lo, qv_i128 hi);

#endif
