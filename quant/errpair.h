/* Inside of the error bound: the pair of networks, shared by errpair.c and errbound.c.
 *
 * r_v = S_v * (x_v - Z_v) is the real meaning of integer variable v, L_v = a_v * y_(k_v) + c_v what it stands for in the float network (k_v
 * may be QV_NONE: L_v = c_v), and e_v = r_v - L_v its error. For a ROW variable
 *
 *   t_v = rho * acc_v + kappa = sum of ce * e_j + sum of cl * y_k + (constants)   the real meaning of its accumulator
 *   r_v = clip(t_v + d), |d| <= alpha + beta * |t_v|, between r_lo and r_hi       what its requantization makes of it
 *   e_v = r_v - f(a), a = the row of y_(k_v)                                      or r_v - L_v where v stands for no unit of its own. */
#ifndef QV_QUANT_ERRPAIR_H
#define QV_QUANT_ERRPAIR_H

#include "quant/errbound.h"

typedef enum {
  QV_EV_INPUT,
  QV_EV_ROW,   /* as above                                                        */
  QV_EV_TABLE, /* the same with a table of its own in place of the requantization */
  QV_EV_MAX,   /* maximum of variables that stand for the float maximum's operands */
  QV_EV_RANGE  /* nothing but e = r - L                                           */
} qv_evkind;

typedef struct {
  qv_evkind kind;
  bool own;           /* it stands for unit k itself: a = 1, c = 0, k's row is taken */
  uint32_t k;
  double a, c;        /* L */
  double s;           /* S, a binary32 value, or 1 */
  int64_t z;
  double rho, kappa;  /* of the accumulator */
  double alpha, beta; /* distance of the requantization from the identity: alpha in the units of r, beta relative to t - kappa */
  double off;         /* and r_lo, r_hi */
  double r_lo, r_hi;
  size_t e0, y0;      /* terms: e[e0 ..), y[y0 ..) */
  uint32_t ne, ny;
  double b, b_abs;    /* constant of e_acc, and the sum of its parts' sizes */
} qv_evar;

typedef struct {
  uint32_t var;
  float abs; /* y terms: sum of the sizes of what w is the rounded sum of; e terms: unused */
  double w;
} qv_eterm;

struct qv_errpair {
  const qv_fgraph *fg;
  const qv_net *net;
  qv_graph *g;
  qv_funits f;
  bool logits;
  uint32_t in, out, fout; /* tensors: integer input and output, float output */
  qv_evar *v;             /* [g->n] */
  qv_eterm *term;
  size_t n_term, cap_term;
  uint32_t matched, scaled;
  uint32_t *match;        /* [net->n_tensors] float tensor, or QV_NONE */
  bool *turned;           /* [net->n_tensors] the integer tensor has its channels last, the float one first */
  qv_arena arena;
};

/* A requantization as a line: |RQ(v) - (mu * v + off)| <= alpha + beta * |mu * v|, Lemma E1 of docs/error-bound.md. */
typedef struct {
  double mu, off, alpha, beta;
} qv_rq_line;
qv_rq_line qv_rq_as_line(const qv_rq_par *p, int64_t zp);

/* Number of the float element that element e of an integer tensor stands for. */
size_t qv_errpair_at(const qv_ftensor *f, bool turned, size_t e);

#endif
