/* QONNX and FINN graphs: floats that are exact functions of integers. Private to the front end.
 *
 * A value of state OX_REAL is, element by element, f(i): i the integer of a net tensor, the order number of a float input, or a
 * constant integer, and f the exact piecewise affine function of the element's channel. Scales, biases, BatchNorm and activations
 * only compose f; a quantizer turns f into thresholds on i (frontend/pwa.h). Nothing is rounded on the way. */
#ifndef QV_FRONTEND_ONNX_QONNX_H
#define QV_FRONTEND_ONNX_QONNX_H

#include "frontend/onnx_lower.h"
#include "frontend/pwa.h"

typedef enum {
  QX_NET,   /* integers of net tensor `net`                     */
  QX_ORDER, /* the same, order numbers of binary32: f(the float) */
  QX_CODES  /* constant integers c->i                            */
} qx_leaf;

struct ox_real {
  qx_leaf leaf;
  uint32_t n, inner;      /* channel of ONNX element e: (e / inner) mod n; n = 1: all the same */
  const qv_pwa *const *f; /* [n] */
};
typedef struct ox_real qx_real;

/* What the profile and its parameters ask for. */
struct ox_qonnx {
  qv_pwa **made;            /* functions to be freed at the end */
  size_t n_made, cap_made;
  uint64_t pieces;          /* of all of them */
  uint32_t near;            /* thresholds within 2^-20 of an integer */
  uint32_t nodes;           /* accumulators and quantizers made */
};

#define QX_MAX_CHANNELS 65536u
#define QX_MAX_PIECES (1u << 20) /* of functions held at once: each takes some 600 bytes                          */
#define QX_MAX_LEVELS (1u << 22) /* thresholds of all channels of one quantizer: each takes a few exact operations */

qv_status qx_init(ox *L);
void qx_clear(ox *L);

/* ---- functions --------------------------------------------------------------------------------------------------------------- */
/* Take ownership of f (NULL: no memory). */
QV_NODISCARD qv_status qx_keep(ox *L, qv_pwa *f);
/* Error for a failed step of exact arithmetic. */
qv_status qx_inexact(ox *L, const ox_value *v);

/* Channel rule of a tensor. */
typedef struct {
  uint32_t n, inner;
} qx_rule;
/* Coarsest rule that refines both, for `count` elements; QV_E_UNSUP above QX_MAX_CHANNELS. */
QV_NODISCARD qv_status qx_common(ox *L, const ox_value *v, qx_rule a, qx_rule b, qx_rule *r);
static inline uint32_t qx_channel(qx_rule r, size_t e) { return r.n == 1 ? 0 : (uint32_t)(e / r.inner % r.n); }

/* ---- values ------------------------------------------------------------------------------------------------------------------ */
/* v as a real: OX_REAL itself; integers of the network and constants as identities. Constants of floats get the largest power of two
 * of which all are multiples (1 if all are integers). */
QV_NODISCARD qv_status qx_arg(ox *L, uint32_t k, ox_value **v);
bool qx_is_const(const ox_value *v);
/* Number that constant v holds at element e (FLOAT, integer, or OX_REAL with QX_CODES). */
QV_NODISCARD bool qx_number(qv_surd *x, const ox_value *v, size_t e);
size_t qx_numbers(const ox_value *v); /* how many */
/* How a constant broadcasts to shape s: element qx_channel(rule, e) of v at element e of s. At most one dimension may differ from 1,
 * unless v has the very shape s and is small. */
QV_NODISCARD qv_status qx_spread(ox *L, const ox_value *v, const ox_shape *s, qx_rule *r);

/* y = f applied to what x is made of, with the functions f[0..r.n) (kept already); equal functions are stored once. */
QV_NODISCARD qv_status qx_set(ox *L, ox_value *y, const ox_value *x, qx_rule r, const qv_pwa *const *f);
/* y = affine function a_c*k + b_c of net tensor `net` (stored channels last if cl). */
QV_NODISCARD qv_status qx_set_net(ox *L, ox_value *y, uint32_t net, const ox_shape *s, bool cl, qx_rule r, const qv_surd *a, const qv_surd *b);
/* y = g_c after x; g comes from `make`, which sees channel c of rule r. */
typedef qv_status (*qx_maker)(ox *L, const void *ctx, uint32_t c, qv_pwa **g);
QV_NODISCARD qv_status qx_compose(ox *L, const ox_value *x, ox_value *y, qx_rule r, qx_maker make, const void *ctx);

/* Quantizer: step functions g_c with integer values, of rule r; the real value of code k is a_c*k + b_c, of rule ra. */
typedef struct {
  qx_rule r;
  qx_maker make;
  const void *ctx;
  qx_rule ra;
  const qv_surd *a, *b;
} qx_quantizer;
QV_NODISCARD qv_status qx_quantize(ox *L, const ox_value *x, ox_value *y, const qx_quantizer *q);

/* x as a*k + b with integers k of a net tensor, one line per channel: a clipping that ends at integers becomes a CLAMP. */
QV_NODISCARD qv_status qx_settle(ox *L, ox_value *x);

/* Net tensor with x's integers, plain or channels last. */
QV_NODISCARD qv_status qx_plain(ox *L, const ox_value *x, bool cl, uint32_t *net);
/* While lowering, lo and hi of a net tensor enclose its integers: the storage type's range unless said here. */
void qx_range(ox *L, uint32_t net, int64_t lo, int64_t hi);

/* Storage type that holds [lo,hi]. */
qv_dtype qx_storage(int64_t lo, int64_t hi);
/* Accumulator of the node being lowered, whose result is y. */
QV_NODISCARD qv_status qx_acc(ox *L, const ox_value *y, qv_acc *acc);

/* Window and result shape of a pooling operator on x; and the rule of x's channels in a result of shape s. */
QV_NODISCARD qv_status qx_pool_window(ox *L, ox_value *x, qv_window *w, ox_shape *out);
QV_NODISCARD qv_status qx_pool_rule(ox *L, const ox_value *x, const ox_shape *s, qx_rule *r);

/* finn_datatype of a value by the model's annotations; false if there is none. */
bool qx_annotation(const ox *L, const char *name, char text[32]);

/* ---- the driver's hooks ------------------------------------------------------------------------------------------------------ */
bool qx_domain(const char *domain);                  /* of QONNX, FINN or Brevitas */
QV_NODISCARD qv_status qx_lower_node(ox *L);         /* instead of the operators of frontend/onnx_ops.def */
QV_NODISCARD qv_status qx_input(ox *L, ox_value *v, const ox_shape *s); /* a FLOAT input */
QV_NODISCARD qv_status qx_output(ox *L, ox_value *v);
QV_NODISCARD qv_status qx_finish(ox *L);

#define QX_OP(domain, name, fn) qv_status fn(ox *L);
#include "frontend/onnx_qonnx_ops.def"
#undef QX_OP

#endif
