/* Small nets by hand, for the tests of the range analysis. Everything is copied into the net; failures fail the test. */
#ifndef QV_TESTS_RANGE_NET_H
#define QV_TESTS_RANGE_NET_H

#include "analysis/overflow.h"

qv_net *rn_new(void);
/* Each returns the number of the new tensor. Shape: rank and dimensions. */
uint32_t rn_input(qv_net *net, qv_dtype type, int64_t lo, int64_t hi, uint32_t rank, const uint32_t *dim);
uint32_t rn_const(qv_net *net, const int32_t *v, uint32_t rank, const uint32_t *dim);
/* Any node: inputs in[0..n_in), output of the given shape. */
uint32_t rn_node(qv_net *net, qv_node n, uint32_t n_in, const uint32_t *in, uint32_t rank, const uint32_t *dim);
/* AFFINE with weights w (oc * K of them), biases b (oc, NULL = 0), one zero point per net. Output [n,oh,ow,oc]. */
typedef struct {
  qv_window win;
  int32_t x_zp, w_zp;
  const int32_t *w;
  const int64_t *b;
  qv_acc acc;
} rn_affine_arg;
uint32_t rn_affine(qv_net *net, uint32_t x, rn_affine_arg a);
qv_window rn_dense(uint32_t k, uint32_t oc);

/* Mark t as the output, check the net, run the analysis (effort 0 = default). dom: as in qv_domain.in. */
void rn_run(qv_range_result *r, qv_net *net, uint32_t t, const qv_ranges *const *dom, uint64_t effort);

void rn_itv(qv_itv got, int64_t lo, int64_t hi, const char *what); /* equal, or the test fails */

unsigned rn_multiplier(void); /* QV_TEST_MULT */
/* Path of a shared data file, or NULL after a loud line: the test must skip(). */
const char *rn_data(const char *file);

#endif
