/* Evaluates an ONNX graph as it stands, over the real numbers: rationals, and a + s*sqrt(b) behind a BatchNormalization. Written from
 * the operators' definitions and shares nothing with the front end: the truth that it is tested against. Misuse fails the test. */
#ifndef QV_TESTS_REAL_GRAPH_H
#define QV_TESTS_REAL_GRAPH_H

#include <gmp.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct {
  mpq_t a, b;
  int s; /* the number is a + s*sqrt(b), s in -1, 0, 1 */
} rg_num;

typedef struct {
  const char *name;
  size_t rank, dim[8], n;
  rg_num *v; /* NULL: not computed */
  bool constant;
  int type; /* of an initializer: TensorProto.DataType */
} rg_value;

typedef struct rg rg;

rg *rg_load(const void *data, size_t n);
void rg_free(rg *g);
void rg_input(rg *g, size_t i, const float *x); /* input i of those that are no initializers */
void rg_run(rg *g);
const rg_value *rg_get(const rg *g, const char *name);
const rg_value *rg_output(const rg *g, size_t i);

int rg_cmp(const rg_num *x, const rg_num *y);
int rg_cmp_si(const rg_num *x, long y);

#endif
