/* Random valid nets for property tests: every node kind, every accumulator mode, edge-loving parameters.
 * A generated net has passed qv_ir_check. The same seed and options give the same net. */
#ifndef QV_TESTS_GEN_H
#define QV_TESTS_GEN_H

#include "ir/base/rng.h"
#include "ir/ir.h"
#include "kernels/ref.h"

/* {0} asks for the defaults named here. */
typedef struct {
  uint32_t max_in;    /* elements of all net inputs together; 0 = 64                                                  */
  uint32_t in_bits;   /* an input's range has at most 2^in_bits values, 1..16; 0 = 8                                  */
  uint32_t max_nodes; /* 0 = 8                                                                                        */
  uint32_t max_elems; /* of any tensor; 0 = 4096                                                                      */
  uint32_t max_k;     /* weights per output channel of an AFFINE node; 0 = 300                                        */
  uint32_t kinds;     /* bit (1u << QV_AFFINE) etc. = kind allowed; 0 = all but OPAQUE                                */
  uint32_t modes;     /* bit (1u << QV_ACC_WRAP) etc. = accumulator mode allowed; 0 = all                             */
  uint32_t rqs;       /* bit (1u << QV_RQ_D) etc. = requantization function allowed; 0 = all                          */
  bool layers;        /* prefer the shape of real nets: 8-bit AFFINE -> STEP chains with WRAP(32)                     */
} gen_opts;

/* A net with 1..max_nodes nodes, or NULL (out of memory only). Free with qv_net_free. */
qv_net *gen_net(qv_rng *r, const gen_opts *o);

/* One random value of tensor t: uniform, or an end point of its range, or close to zero. */
int64_t gen_value(qv_rng *r, const qv_tensor *t);

/* Fill the net inputs of vals with gen_value. */
void gen_inputs(qv_rng *r, const qv_net *net, qv_values *vals);

/* Random requantization parameters for `fn` that map |v| <= vmax to about out_bits bits (now and then: far off, zero,
 * negative, extreme). They need not pass qv_ir_check: the check decides. */
qv_rq_par gen_rq_par(qv_rng *r, qv_rq fn, int64_t vmax, int out_bits);

#endif
