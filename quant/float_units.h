/* A float network as one list of scalar equations over the real numbers: y_k = f(b + sum of w * (earlier y)). Data movement is folded into the
 * numbering. The meaning is that of the network's stored binary32 weights in exact arithmetic, never of a machine's roundings. */
#ifndef QV_QUANT_FLOAT_UNITS_H
#define QV_QUANT_FLOAT_UNITS_H

#include "quant/enclose.h"
#include "quant/fgraph.h"

typedef enum {
  QV_FU_INPUT,
  QV_FU_CLIP,    /* min(hi, max(lo, x)); the identity with lo = -inf, hi = inf */
  QV_FU_LEAKY,   /* x < 0 ? alpha * x : x */
  QV_FU_SIGMOID,
  QV_FU_TANH,
  QV_FU_MAX,     /* of the row's variables and, if `constant`, of b; weights are 1 */
  QV_FU_MUL,     /* of the row's two variables */
  QV_FU_UNIT     /* anything in [0,1]: an element of a softmax */
} qv_fu;

typedef struct {
  qv_fu fn;
  bool constant;
  double lo, hi, alpha;
  double b, b_abs;   /* constant, and the sum of the sizes of what it is the rounded sum of */
  double rel;        /* true weights and constant are within rel * |w| and rel * b_abs of these (means: 1/taps is rounded) */
  uint32_t tensor;   /* that this is an element of */
  size_t first;      /* of var and w */
  uint32_t n;
} qv_funit;

typedef struct {
  uint32_t var; /* QV_NONE: the constant c */
  double c;
} qv_felement;

typedef struct {
  const qv_fgraph *g;
  uint32_t n, n_in, cap;
  qv_funit *unit;
  uint32_t *var;
  double *w;
  size_t n_terms, cap_terms;
  qv_felement **element; /* [n_tensors][elements]; NULL: constants, and what is fused into the function behind it */
  qv_arena arena;
} qv_funits;

#define QV_FUNITS_TERMS ((size_t)1 << 24) /* larger networks are refused: memory */

/* keep[t]: tensor t gets units of its own even where one function alone reads it. *out is the caller's (qv_funits_clear), also after an error.
 * Errors: QV_E_NOMEM, QV_E_LIMIT. */
QV_NODISCARD qv_status qv_funits_make(qv_funits *out, const qv_fgraph *g, const bool *keep, qv_err *err);
void qv_funits_clear(qv_funits *f);

/* f of a row's value in x: enclosure, smallest and largest slope over x. Not for MAX, MUL, UNIT. */
qv_real qv_fu_image(const qv_funit *u, qv_real x);
qv_real qv_fu_slope(const qv_funit *u, qv_real x);

#endif
