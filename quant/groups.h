/* What an allocation chooses: groups of an activation tensor and the weights of everything that reads it (AMP, arXiv 2302.05397), each with
 * candidates of activation and weight bits; what a candidate costs, what it loses, and whether its accumulators are proved safe. The result
 * is an allocation table (docs/allocation.md section 1) as text. */
#ifndef QV_QUANT_GROUPS_H
#define QV_QUANT_GROUPS_H

#include "ir/base/buf.h"
#include "quant/layer.h"

/* Loss of a candidate: what it adds when everything else stays in float. docs/quantize.md has the formulas. */
typedef enum {
  QV_METRIC_NOISE,    /* noise to signal at the output: AMP's SQNR as a ratio (arXiv 2302.05397)         */
  QV_METRIC_SQNR,     /* one over AMP's score in phase 1, sample by sample (AIMET)                        */
  QV_METRIC_KL,       /* Kullback-Leibler divergence of the output distributions (OHQ, arXiv 2309.01945) */
  QV_METRIC_FISHER,   /* squared gradient times squared change, activations and weights (ModelOpt)       */
  QV_METRIC_HESSIAN,  /* mean Hessian trace of the weights times their squared change (HAWQ-V2)          */
  QV_METRIC_EAGL,     /* entropy of the weight codes that is lost (EAGL, arXiv 2301.13330)               */
  QV_METRIC_ORM,      /* orthogonality of the layer's features times bits taken away (OMPQ)              */
  QV_METRIC_ACCURACY, /* share of labelled samples lost                                                  */
  QV_METRIC_ERROR,    /* proved bound on the output's error (docs/error-bound.md)                          */
  QV_METRIC_USER,     /* from a file only: qv_table_opts.sens                                              */
  QV_METRICS
} qv_metric;
const char *qv_metric_name(qv_metric m); /* "noise", ... */

typedef struct {
  int w, a; /* bits; w = 0 in a group without weights */
} qv_bits;

typedef struct {
  uint32_t tensor; /* root */
  uint32_t n;      /* CONV and GEMM nodes that read it */
  uint32_t *node;
  uint64_t macs, weights, channels, elems; /* of all of them; elements of the tensor */
} qv_group;

typedef struct {
  uint32_t n;
  qv_group *group;
  uint32_t *of; /* [n_tensors] group of a root, QV_NONE otherwise */
  qv_arena arena;
} qv_groups;

/* *out is the caller's (qv_groups_clear). Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_groups_find(qv_groups *out, const qv_fgraph *g, qv_err *err);
void qv_groups_clear(qv_groups *x);

typedef struct qv_times qv_times; /* quant/cost.h */

typedef struct {
  qv_quant_opts quant;
  uint32_t n_cand;
  const qv_bits *cand;    /* the first is the reference: 100 % of every cost */
  uint32_t n_acc;         /* accumulators and kernels: each candidate of each is one of the table, if it is proved safe for it */
  const qv_accum *acc;
  bool fit;               /* weights of a candidate are fitted into its accumulator (quant/fit.h) instead of left out */
  bool unpacked;          /* memory: codes below 8 bits take a byte, as in our executor; else bits are counted */
  const qv_times *times;  /* measured times, or NULL: no cost `latency` */
  const double *gain;     /* [n_nodes] ALPS's gains, or NULL: becomes the loss `alps` */
  size_t samples;         /* that losses are measured on; 0 = 32 */
  double error_radius;    /* ERROR: within so much of samples; 0: 1/32 of a step of the input's codes; < 0: over all inputs */
  struct qv_sens *sens;   /* losses that are known (quant/sens_file.h); measured ones are added. NULL: none */
  const int64_t *label;   /* [calibration samples] or NULL */
  uint32_t n_metric;
  const qv_metric *metric; /* each becomes a loss of the table; the first is its own choice */
  const char *fixed_first_last; /* "W8A8": candidate that input and output groups keep, or NULL */
} qv_table_opts;

/* A candidate that was left out, for --explain. */
typedef struct {
  uint32_t group, cand, acc, node;
  int64_t lo, hi; /* proved range of the accumulator that does not fit */
  int bits;       /* width that it needs */
} qv_left_out;

typedef struct {
  qv_groups groups;
  uint32_t n_out;
  qv_left_out *out; /* by group, then candidate, then accumulator */
  qv_buf json; /* the table */
  qv_arena arena;
} qv_made_table;

/* Measure, prove, write the table. *out is the caller's (qv_made_table_clear), also after an error.
 * Errors: QV_E_ARG, QV_E_UNSUP (a group without any safe candidate: err names it and what would be needed), QV_E_NOMEM.
 * Cost: groups * candidates * samples executions of the float network and less. */
QV_NODISCARD qv_status qv_make_table(qv_made_table *out, const qv_fgraph *g, const qv_calib *c, const qv_table_opts *o, qv_err *err);
void qv_made_table_clear(qv_made_table *t);

#define QV_CAND_NAME 24
/* Name of a candidate: "W4A8" or, without weights, "A8"; with acc (not NULL, only with weights) "W4A8P16", or "W4A8Q32" for pairs. */
void qv_cand_name(char *name, qv_bits b, const qv_accum *acc, bool weights);
/* And back; *acc (may be NULL) is {0} where the name does not say. */
bool qv_cand_read(qv_bits *b, qv_accum *acc, const char *name);

#endif
