/* A proved bound on how far a quantized network is from the float network it came from.
 *
 * Claim: for every input x of a domain, lo[i] <= S_i * (q_i(x) - Z_i) - y_i(x) <= hi[i], where q_i is element i of the integer network's output with
 * its scale and zero point, for the code that x is quantized to, and y_i that of the float network as a function over the real numbers: its
 * stored binary32 weights, exact arithmetic. Everything is computed in binary64 with every rounding bounded. Lemmas: docs/error-bound.md.
 *
 * Which float tensor an integer tensor stands for is guessed, by running both networks on some inputs. A wrong guess makes the bound
 * wide, never wrong: what is bounded is the difference of the two, whatever they are. */
#ifndef QV_QUANT_ERRBOUND_H
#define QV_QUANT_ERRBOUND_H

#include "analysis/robust_graph.h"
#include "quant/float_units.h"

typedef struct qv_errpair qv_errpair;

/* Both networks as scalar equations, matched on n samples of the float input (none: made up from the codes' range). g and net must outlive
 * *out, which is the caller's (qv_errpair_free).
 * Errors: QV_E_UNSUP (not one input and one output, of equal sizes; no real meaning), QV_E_LIMIT (too large), QV_E_NOMEM. */
QV_NODISCARD qv_status qv_errpair_new(qv_errpair **out, const qv_fgraph *g, const qv_net *net, const float *sample, size_t n, qv_err *err);
void qv_errpair_free(qv_errpair *p);

/* What is compared: the outputs, or the logits in front of a softmax that ends the float network. */
bool qv_errpair_logits(const qv_errpair *p);
size_t qv_errpair_outputs(const qv_errpair *p);
size_t qv_errpair_inputs(const qv_errpair *p);
/* Quantized tensors that stand for a float tensor, and all that have a scale. */
void qv_errpair_matched(const qv_errpair *p, uint32_t *matched, uint32_t *all);
/* The reals that the input's codes stand for, of element 0 .. inputs-1: all the same. */
void qv_errpair_codes(const qv_errpair *p, float *lo, float *hi);

typedef struct {
  const float *lo, *hi; /* [inputs] every input element lies between them; NULL: the reals that the codes stand for      */
  bool grid;            /* only inputs that are codes: x = S * (q - Z) exactly                                             */
  uint64_t effort;      /* multiply-adds that may be spent on linear bounds; 0 = 2^31, 1 = intervals only                  */
} qv_err_domain;

typedef struct {
  size_t n;
  double *lo, *hi; /* [n] */
  double max;      /* largest |.| of all; INFINITY: nothing is proved */
  qv_arena arena;
} qv_err_bound;

/* *out is the caller's (qv_err_bound_clear), also after an error. Errors: QV_E_ARG (empty box), QV_E_NOMEM. */
QV_NODISCARD qv_status qv_err_bound_run(qv_err_bound *out, const qv_errpair *p, const qv_err_domain *dom, qv_err *err);
void qv_err_bound_clear(qv_err_bound *b);

/* The same over a cover of the box by at most `boxes` smaller ones: the one with the largest bound is halved across its widest side, until all
 * are at most `enough`. For networks of few inputs. Same errors. */
QV_NODISCARD qv_status qv_err_bound_split(qv_err_bound *out, const qv_errpair *p, const qv_err_domain *dom, size_t boxes, double enough, qv_err *err);

/* Look for an input of the box with a large error: *least is certainly reached by it (0: none was found). at: [inputs] that input, or NULL.
 * tries: inputs at random; as many outputs' gradients are followed to corners. Errors: QV_E_NOMEM, and what executing says. */
QV_NODISCARD qv_status qv_err_search(double *least, float *at, const qv_errpair *p, const float *lo, const float *hi, bool grid, size_t tries, qv_err *err);

#endif
