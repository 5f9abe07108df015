/* Lowering of an ONNX graph to the integer net: shared by the files of the operator families. Private to the front end.
 *
 * Every value of the graph is known exactly as a function of integer tensors of the net: a float between a DequantizeLinear and
 * a QuantizeLinear is never a tensor of the net, but one of the forms OX_DQ, OX_MAP and OX_ACC, and becomes integers again at
 * its QuantizeLinear. A float that is none of them is refused. */
#ifndef QV_FRONTEND_ONNX_LOWER_H
#define QV_FRONTEND_ONNX_LOWER_H

#include "frontend/load.h"
#include "frontend/names.h"
#include "frontend/onnx_file.h"
#include "kernels/profile/onnx.h"

typedef struct {
  uint32_t rank, dim[QV_MAX_RANK];
} ox_shape;

typedef enum {
  OX_UNSET,    /* no node has written it yet                                                                          */
  OX_INT,      /* integers: net tensor `net`                                                                          */
  OX_CONST,    /* constant `c`, integer or float                                                                      */
  OX_DQ,       /* the floats f32(s * (net - z))                                                                       */
  OX_DQ_CONST, /* the floats f32(qs[k] * (c - qz[k])), k along `axis` (or one for all)                                 */
  OX_MAP,      /* the floats map[net - map_lo]                                                                        */
  OX_REAL,     /* exact functions of integers: `real` (profiles over the reals, frontend/onnx_qonnx.h)                 */
  OX_ANY,      /* floats that nobody knows: results of operators made opaque, which depend on `dep`                    */
  OX_ACC       /* the real numbers a float operator makes of integer sums, before its QuantizeLinear: `pend`           */
} ox_state;

/* Float operators that wait for the QuantizeLinear behind them. */
typedef enum {
  OX_P_GEMM,  /* alpha * s[0] * w[channel] * acc                                                           */
  OX_P_MEAN,  /* s[0] * acc / count of the position                                                        */
  OX_P_AVERAGE, /* the same by ONNX Runtime's QLinearAveragePool: binary32                                 */
  OX_P_MUL,   /* s[0] * s[1] * acc, acc = product of two tensors                                           */
  OX_P_PAIR,  /* function of two tensors `in` of at most 8 bits and of one shape; or of in[0] and one byte */
  OX_P_CONCAT /* `part`s joined along `axis`, each with its own scale                                      */
} ox_kind;
typedef enum { OX_ADD, OX_SUB, OX_MUL, OX_DIV, OX_MAX, OX_MIN } ox_binary;

struct ox_value;
typedef struct {
  ox_kind kind;
  bool exact_f32;     /* computed in binary32, without rounding before the QuantizeLinear      */
  bool qlinear;       /* MEAN, PAIR: ONNX Runtime's kernel for quantized tensors               */
  float s[2];         /* scales of the operands                                                */
  int32_t z[2];       /* AVERAGE, PAIR: their zero points                                      */
  int32_t type;       /* element type of the operands                                          */
  bool as_u8;         /* MUL, PAIR: ONNX Runtime computes with x + 128, type uint8                  */
  float alpha;        /* GEMM */
  uint32_t n_w;       /* GEMM: weight scales, 1 or one per output channel (the last dimension) */
  const float *w;
  uint32_t n_count;   /* MEAN, AVERAGE: different numbers of elements                          */
  const uint32_t *count;
  uint32_t n_idx, inner; /* MEAN: index into count by position, as in qv_step; n_idx = 0: all the same */
  const uint32_t *idx;
  ox_binary op;       /* PAIR */
  uint32_t in[2];     /* PAIR */
  bool one;           /* PAIR: the second operand is `byte`                                    */
  bool first_scalar;  /* PAIR: the first operand is one value per inner loop of the runtime    */
  int32_t byte;
  struct ox_value *const *part; /* CONCAT */
  uint32_t n_part, axis;
  bool has_lo, has_hi; /* Relu or Clip behind the operator */
  float lo, hi;
} ox_pending;

typedef struct ox_value {
  const char *name;
  ox_state state;
  uint32_t uses;       /* nodes that read it (each operand counted)                                      */
  uint32_t user;       /* one of them, QV_NONE if none                                                   */
  uint32_t producer;   /* node, QV_NONE for inputs and initializers                                      */
  bool is_output;      /* of the graph                                                                   */
  int32_t type;        /* ONNX element type: of the integers for OX_INT, OX_DQ, OX_MAP; of c for OX_CONST, OX_DQ_CONST */
  ox_shape shape;      /* as in ONNX; each dimension >= 1 unless constant                                */
  uint32_t net;
  bool cl;             /* the net tensor is stored channels last: [N, spatial.., C]                      */
  float s;
  int32_t z;
  bool as_u8;          /* OX_DQ: ONNX Runtime on x86 rewrites this int8 tensor to uint8 (x + 128)        */
  bool direct;         /* OX_DQ, OX_DQ_CONST: result of a DequantizeLinear itself, or one that ONNX Runtime's optimizer puts behind
                          the data movement it has gone through                                         */
  const onx_const *c;
  uint32_t n_q;        /* OX_DQ_CONST: 1, or the size of dimension `axis`                                */
  const float *qs;
  const int32_t *qz;
  uint32_t axis;
  const float *map;    /* [map_n] */
  int64_t map_lo;
  uint32_t map_n;
  const ox_pending *pend;
  const struct ox_real *real; /* OX_REAL */
  const uint32_t *dep; /* OX_ANY: net tensors [n_dep] */
  uint32_t n_dep;
  const char *tail;    /* OX_DQ: order-preserving float op behind it, or NULL                            */
} ox_value;

typedef struct {
  onx_model *m;
  const qv_onnx_profile *prof;
  qv_net *net;
  qv_err *err;
  const char *file;
  ox_value *val;
  uint32_t n_val;
  qv_names index;      /* value name to its number in val */
  qv_names net_names;
  const Onnx__NodeProto *op; /* node being lowered */
  uint32_t op_number;
  bool opaque;         /* operators that are not supported become opaque */
  ox_shape hint;       /* shape of the node's float result where its handler has found it; rank > QV_MAX_RANK: not yet */
  uint64_t attr_used;  /* bit k: attribute k of the node has been read */
  qv_arena tmp;
  qv_reals_params reals;  /* of profiles over the reals */
  struct ox_qonnx *qx;    /* NULL under other profiles */
} ox;

typedef qv_status (*ox_handler)(ox *L);

/* ---- failures: each names file, node and operator, and the value v unless NULL --------------------------------------------- */
qv_status ox_fail(ox *L, qv_status code, const ox_value *v, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
#define OX_PARSE(L, v, ...) ox_fail((L), QV_E_PARSE, (v), __VA_ARGS__)
#define OX_UNSUP(L, v, ...) ox_fail((L), QV_E_UNSUP, (v), __VA_ARGS__)
qv_status ox_nomem(ox *L);

/* ---- attributes ------------------------------------------------------------------------------------------------------------ */
const Onnx__AttributeProto *ox_attr(ox *L, const char *name); /* NULL if absent; marks it as read */
/* QV_E_PARSE if it has another type. */
QV_NODISCARD qv_status ox_attr_i(ox *L, const char *name, int64_t absent, int64_t *v);
QV_NODISCARD qv_status ox_attr_f(ox *L, const char *name, float absent, float *v);
QV_NODISCARD qv_status ox_attr_ints(ox *L, const char *name, uint32_t max, const int64_t **v, uint32_t *n); /* absent: *v = NULL */
bool ox_attr_is(ox *L, const char *name, const char *value, bool absent); /* string attribute equal to value? */

/* ---- operands -------------------------------------------------------------------------------------------------------------- */
ox_value *ox_opt(ox *L, uint32_t k);                                /* operand k, NULL if absent */
QV_NODISCARD qv_status ox_arg(ox *L, uint32_t k, ox_value **v);     /* QV_E_PARSE if absent or not written yet */
QV_NODISCARD qv_status ox_res(ox *L, uint32_t k, ox_value **v);     /* result k, not written yet */
/* The node behind v if v is read by exactly one operand and is no output of the graph; else NULL. */
const Onnx__NodeProto *ox_only_user(const ox *L, const ox_value *v);
bool ox_is_op(const Onnx__NodeProto *n, const char *op);            /* of the default domain */

/* Constant operands. ox_const_of: any constant; OX_DQ_CONST is none. ox_ints: up to max integers of an INT64 or INT32 list. */
QV_NODISCARD qv_status ox_const_of(ox *L, ox_value *v, const onx_const **c);
QV_NODISCARD qv_status ox_ints(ox *L, ox_value *v, uint32_t max, const int64_t **x, uint32_t *n);
QV_NODISCARD qv_status ox_ints_arg(ox *L, uint32_t k, uint32_t max, const int64_t **x, uint32_t *n); /* absent: *x = NULL */

/* Scales and zero points: n = 1 or more values, each scale > 0 and finite, each zero point in `type`. z NULL: zeros. */
typedef struct {
  uint32_t n;
  const float *s;
  const int32_t *z;
  int32_t type; /* of the zero point, or the default */
} ox_quant;
QV_NODISCARD qv_status ox_quant_of(ox *L, ox_value *scale, ox_value *zp, int32_t default_type, ox_quant *q);
QV_NODISCARD qv_status ox_quant_args(ox *L, uint32_t k, int32_t default_type, ox_quant *q); /* operands k (scale), k+1 (zero point) */
QV_NODISCARD qv_status ox_one_quant(ox *L, uint32_t k, int32_t default_type, ox_quant *q);  /* the same, n = 1 */

/* ---- shapes ---------------------------------------------------------------------------------------------------------------- */
bool ox_same_shape(const ox_shape *a, const ox_shape *b);
bool ox_count(const ox_shape *s, size_t *n); /* false if above QV_MAX_ELEMS or a dimension is 0 */
bool ox_broadcast_shape(const ox_shape *a, const ox_shape *b, ox_shape *r);
ox_shape ox_stored_shape(const ox_shape *s, bool cl); /* of the net tensor */

/* ---- building -------------------------------------------------------------------------------------------------------------- */
void *ox_alloc(ox *L, size_t n, size_t size); /* net arena */
#define OX_NEW(L, n, type) ((type *)ox_alloc((L), (n), sizeof(type)))
qv_dtype ox_dtype(int32_t type);
/* New net tensor "<name of v><suffix>" of stored shape s. */
QV_NODISCARD qv_status ox_add_tensor(ox *L, const ox_value *v, const char *suffix, qv_dtype type, const ox_shape *s, uint32_t *net);
QV_NODISCARD qv_status ox_add_node(ox *L, const qv_node *n, const uint32_t *in, uint32_t n_in, uint32_t out);
/* Net tensor holding v's integers (OX_INT, OX_DQ, OX_MAP; constants enter the net), in plain or channels-last storage. */
QV_NODISCARD qv_status ox_net_of(ox *L, ox_value *v, bool cl, uint32_t *net);
/* The same in whatever storage it has: *cl says which. */
QV_NODISCARD qv_status ox_net_as_is(ox *L, ox_value *v, uint32_t *net, bool *cl);
/* v becomes the integers of net tensor `net`. */
void ox_set_int(ox_value *v, uint32_t net, int32_t type, const ox_shape *shape, bool cl);
/* y is DequantizeLinear value x moved by an operator that ONNX Runtime's optimizer sees through, if x has no other reader. */
void ox_stay_direct(const ox *L, ox_value *y, const ox_value *x);
/* v becomes s * (net - z). */
void ox_set_dq(ox_value *v, const ox_value *q, float s, int32_t z);
void ox_tag(ox *L, uint32_t net, float s, int32_t z); /* record scale and zero point of a net tensor for reports */
QV_NODISCARD qv_status ox_set_const(ox *L, ox_value *v, const onx_const *c);

/* ---- integers behind sums -------------------------------------------------------------------------------------------------- */
QV_NODISCARD qv_status ox_one_par(ox *L, qv_step *step, qv_rq_par par);
/* Sums `acc` of shape `shape`, kind and scales `p`, quantized with (s, z) to `type`: result v. */
QV_NODISCARD qv_status ox_requantize(ox *L, const ox_pending *p, uint32_t acc, bool cl, const ox_shape *shape, float s, int32_t z,
                                     int32_t type, ox_value *v);
/* QuantizeLinear of value x of the network: DQ, MAP or ACC. */
QV_NODISCARD qv_status ox_quantize(ox *L, ox_value *x, float s, int32_t z, int32_t type, ox_value *y);
/* Is v the result of a matrix product, one scale for all, not clipped, whose sums could be an output? */
bool ox_is_sum(const ox_value *v);
/* v becomes OX_ACC. */
QV_NODISCARD qv_status ox_set_pending(ox *L, ox_value *v, const ox_pending *p, uint32_t acc, bool cl, const ox_shape *shape);
/* Element type of the tensor that this QuantizeLinear writes; ONNX Runtime's rewriting of int8 (ox_rewritten) included. */
int32_t ox_written_type(const ox *L, const Onnx__NodeProto *q);
float ox_binary_f32(ox_binary op, float a, float b); /* one binary32 operation */
/* Refuse if the profile knows nothing but convolution, matrix product and data movement. */
QV_NODISCARD qv_status ox_want_elementwise(ox *L);
/* QuantizeLinear node that takes v (behind at most one Relu or Clip, every value in between read once); NULL if there is none. */
const Onnx__NodeProto *ox_quantizer(const ox *L, const ox_value *v);
/* Does ONNX Runtime on x86 rewrite the int8 result of this QuantizeLinear to uint8? */
bool ox_rewritten(const ox *L, const ox_value *q);
/* Integers that net tensor t may hold: of a table (a Clip) what it gives, else all of the type. */
qv_itv ox_values_of(const ox *L, uint32_t t, int32_t type);
/* Table of the floats of a DQ or MAP value, one per integer of its type; QV_E_UNSUP for wider types than 16 bits. */
QV_NODISCARD qv_status ox_map_of(ox *L, const ox_value *v, const float **map, int64_t *lo, uint32_t *n);

/* ---- operators made opaque (frontend/onnx_opaque.c) ------------------------------------------------------------------------ */
/* The node at hand, all of whose results are unset, becomes opaque. QV_E_UNSUP without a message: it cannot. */
QV_NODISCARD qv_status ox_make_opaque(ox *L);
QV_NODISCARD qv_status ox_quantize_any(ox *L, const ox_value *x, float s, int32_t z, int32_t type, ox_value *y);
QV_NODISCARD qv_status ox_any_output(ox *L, const ox_value *v);

/* ---- handlers (frontend/onnx_ops.def) -------------------------------------------------------------------------------------- */
#define ONX_OP(domain, name, fn, profile) qv_status fn(ox *L);
#include "frontend/onnx_ops.def"
#undef ONX_OP

#endif
