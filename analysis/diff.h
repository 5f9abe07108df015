/* One model file lowered under two profiles: where do the two integer nets differ, on how many values, and on which input?
 *
 * Tensors with the same name behind the same operator of the file correspond. Each is compared as a function of the corresponding
 * tensors in front of it; that is exact counting, over all values that are possible there. Equal functions everywhere make equal
 * nets (Lemma D1, docs/diff.md). FALSIFIED is claimed only for an input that the reference kernels executed on both nets. */
#ifndef QV_ANALYSIS_DIFF_H
#define QV_ANALYSIS_DIFF_H

#include "ir/ir.h"

typedef enum {
  QV_DIFF_EQUAL,  /* the same function, for all values in the ranges proved for the first net                             */
  QV_DIFF_VALUES, /* functions of one sum, or of one value: counted                                                       */
  QV_DIFF_PAIRS,  /* functions of two values: counted                                                                     */
  QV_DIFF_SUMS,   /* the machine sums themselves can differ: an accumulator of one net is not proved harmless; not counted */
  QV_DIFF_FORM    /* lowered to forms that are not compared with each other                                               */
} qv_diff_how;

typedef struct {
  uint32_t channel;
  qv_itv range;            /* VALUES: of the sum, proved for the first net                    */
  uint64_t values, differ; /* sums (pairs) that are possible, and on how many results differ  */
  int64_t at[2];           /* differ > 0: one of them; VALUES: at[0]                           */
  int64_t a, b;            /* ... and its results                                             */
} qv_diff_channel;

typedef struct {
  uint32_t layer;       /* operator number in the file */
  const char *op;
  const char *tensor;   /* that is compared */
  uint32_t out[2];      /* its number in the nets */
  qv_diff_how how;
  const char *why;      /* SUMS, FORM: what could not be compared (static); else NULL */
  qv_i128 values, differ; /* VALUES, PAIRS: over all channels */
  uint32_t n_channel;     /* VALUES, PAIRS, SUMS: channels, or 1 where all elements have the same function */
  uint32_t n_differ;      /* ... that differ somewhere; SUMS: whose accumulators are not both proved harmless */
  qv_diff_channel *channel; /* [n_channel] VALUES, PAIRS; else NULL */
  bool first;             /* reads inputs of the model only, through data movement at most */
  qv_verdict reached;     /* not EQUAL: FALSIFIED: an input was executed on which this tensor differs; VERIFIED: no input makes
                             it differ (given equal operands); UNKNOWN */
} qv_diff_node;

typedef enum {
  QV_DIFF_BY_NOTHING,
  QV_DIFF_BY_NODES,   /* VERIFIED: node by node                           */
  QV_DIFF_BY_ALL,     /* every input of the model was executed            */
  QV_DIFF_BY_SUMS,    /* FALSIFIED: an input built from a differing sum   */
  QV_DIFF_BY_SEARCH   /* FALSIFIED: random and corner inputs              */
} qv_diff_engine;

typedef struct {
  uint32_t n_node;    /* compared tensors, in execution order of the first net */
  qv_diff_node *node;
  uint32_t n_differ;  /* not EQUAL */
  bool ends_differ;   /* float ends of the model quantize or dequantize otherwise: then never VERIFIED */
  qv_verdict verdict; /* VERIFIED: no input gives different outputs; FALSIFIED: *input does */
  qv_diff_engine engine;
  const char *reason; /* UNKNOWN: why (static) */
  int64_t **input;    /* FALSIFIED: [n_in][elements] */
  uint32_t output;    /* ... number of the first output that differs, its first differing element, and the two values */
  size_t element;
  int64_t a, b;
  size_t n_elements;  /* ... elements of all outputs that differ */
  uint64_t tried;     /* inputs executed on both nets */
  qv_arena arena;
} qv_diff;

typedef struct {
  uint64_t work;   /* multiply-adds that the search may spend on each net; 0 = 2^35 */
  uint64_t inputs; /* ... and inputs; 0 = 65536 */
  uint64_t seed;
  bool no_search;      /* counting and proofs only: no random inputs    */
  bool no_enumeration; /* do not execute all inputs where they are few  */
} qv_diff_opts;

/* Pre: checked nets of one file. *out is owned by the caller (qv_diff_clear), also after an error. Deterministic by seed.
 * Errors: QV_E_UNSUP (inputs or outputs of different number, size or type), QV_E_NOMEM. */
QV_NODISCARD qv_status qv_diff_run(qv_diff *out, const qv_net *a, const qv_net *b, const qv_diff_opts *opts, qv_err *err);
void qv_diff_clear(qv_diff *d);

const char *qv_diff_how_name(qv_diff_how h);       /* "equal", "values", ... (static) */
const char *qv_diff_engine_name(qv_diff_engine e); /* (static) */

#endif
