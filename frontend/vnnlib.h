/* VNN-LIB queries, versions 1.0 (SMT-LIB style, X_i and Y_j) and 2.0 (typed tensors), as properties of an integer net.
 *
 * A query asks whether inputs exist that satisfy all assertions together with the outputs they give. Its disjunctive normal form is
 * a list of input boxes with output conjunctions: here, of integer boxes with violations. All numbers are exact rationals. docs/vnnlib.md. */
#ifndef QV_FRONTEND_VNNLIB_H
#define QV_FRONTEND_VNNLIB_H

#include <gmp.h>

#include "ir/property.h"

/* What the elements of a declared variable are. */
typedef enum {
  QV_VNN_REAL,    /* real numbers: scale * (q - zp) where the tensor has a scale, binary32 values at a float input, else q     */
  QV_VNN_INT,     /* the integers of the tensor                                                                              */
  QV_VNN_FLOAT32  /* binary32 values of a float end                                                                          */
} qv_vnn_kind;

typedef struct {
  const char *name;      /* version 1: "X" or "Y", standing for all X_i or Y_j */
  const char *type;      /* as written: "int8", "Real", ...                    */
  const char *onnx;      /* name of the node in the model, or NULL             */
  bool output;
  uint32_t rank;
  uint32_t dim[QV_MAX_RANK];
  size_t first, count;   /* elements first .. first + count - 1 of all inputs (outputs), in the order of declaration */
  uint32_t port;         /* filled in by qv_vnnlib_lower: number of the net input or output   */
  size_t at;             /* version 1 with several ports: not used (first is)                 */
} qv_vnn_var;

typedef struct qv_vnnlib qv_vnnlib;

/* Parse. *out is the caller's (qv_vnnlib_free). Errors: QV_E_PARSE with err->line; QV_E_UNSUP for what the language has and this reader
 * refuses by name (several networks, hidden nodes, unknown types); QV_E_LIMIT (2^22 nodes, depth 256); QV_E_NOMEM. */
QV_NODISCARD qv_status qv_vnnlib_read(qv_vnnlib **out, const char *text, size_t len, qv_err *err);
void qv_vnnlib_free(qv_vnnlib *v);
int qv_vnnlib_version(const qv_vnnlib *v);         /* 1 or 2 */
const char *qv_vnnlib_network(const qv_vnnlib *v); /* declared name, "" in version 1 */

/* One input box and the violations that go with it. */
typedef struct {
  qv_property property;  /* claim robust, AVOID; behind a tail KEEP where that says the same */
  float **lo, **hi;      /* [net->n_in]; at float inputs [elements]: the binary32 interval behind the integer one, else NULL */
} qv_vnn_case;

typedef struct {
  uint32_t n_var;
  qv_vnn_var *var;
  qv_vnn_kind *kind;     /* [n_var] */
  size_t n;              /* 0: the input constraints contradict each other, nothing was asked */
  qv_vnn_case *item;     /* [n] */
  size_t dropped;        /* disjuncts whose input constraints contradict each other */
  qv_arena arena;
} qv_vnn_query;

/* Bind to a net. *q is the caller's (qv_vnn_query_clear), also after an error.
 * Errors: QV_E_PARSE (shapes or types that do not fit the net), QV_E_UNSUP (constraints between inputs, between inputs and outputs, products of
 * variables, a type without exact meaning here, numbers beyond 2^62 after scaling), QV_E_LIMIT (more than 10,000 disjuncts, 2^26 elements). */
QV_NODISCARD qv_status qv_vnnlib_lower(qv_vnn_query *q, const qv_vnnlib *v, const qv_net *net, qv_err *err);
void qv_vnn_query_clear(qv_vnn_query *q);

/* Is the assertion true for these values? x, y: values of all input and output elements in the order of declaration. Exact. Independent of
 * qv_vnnlib_lower: what is printed as a satisfying assignment has to pass this. */
QV_NODISCARD qv_status qv_vnnlib_holds(bool *yes, const qv_vnnlib *v, mpq_t *x, size_t n_x, mpq_t *y, size_t n_y, qv_err *err);

/* Append the exact decimal of a number whose denominator has no prime factors but 2 and 5. False otherwise. */
bool qv_vnn_decimal(qv_buf *out, mpq_srcptr q);

#endif
