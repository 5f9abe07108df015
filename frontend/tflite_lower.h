/* Lowering of a TFLite file to the integer net: shared by the files of the operator families. Private to the front end. */
#ifndef QV_FRONTEND_TFLITE_LOWER_H
#define QV_FRONTEND_TFLITE_LOWER_H

#include "frontend/load.h"
#include "frontend/tflite_file.h"

/* What a tensor of the file has become so far. */
typedef enum {
  TL_UNSET,    /* no operator has written it yet                                                                      */
  TL_NET,      /* integer tensor `net`                                                                                */
  TL_CONST,    /* constant of the file, not yet in the net                                                            */
  TL_INTS,     /* folded constant (shape arithmetic): `ints`                                                          */
  TL_FLOAT_IN, /* float input number `input` of the model, possibly reshaped, before its QUANTIZE                     */
  TL_FLOAT_OUT /* DEQUANTIZE of integer tensor `net`, then `tail` if not NULL                                         */
} tl_state;

typedef struct {
  tl_state state;
  uint32_t net;
  uint32_t input;
  const char *tail;
  const int64_t *ints;
  uint32_t rank, dim[QV_MAX_RANK]; /* the shape in force; each >= 1 unless constant */
} tl_value;

typedef struct {
  uint32_t rank, dim[QV_MAX_RANK];
} tl_shape;

typedef struct {
  tfl_model *m; /* the reader inside is needed for operator options */
  const qv_profile *prof;
  qv_net *net;
  qv_err *err;
  const char *file;    /* for messages */
  tl_value *val;       /* [m->n_tensors] */
  uint32_t *input_net; /* [m->in.n] net tensor of each model input, QV_NONE until known */
  const tfl_op *op;    /* operator being lowered */
  uint32_t op_number;
  const char **names; /* open-addressing set of net tensor names; cap_names is a power of two */
  uint32_t n_names, cap_names;
  qv_arena tmp; /* scratch of the lowering */
} tl;

typedef qv_status (*tl_handler)(tl *L);

/* ---- failures: each names file, operator number and name, and the tensor if t >= 0 ------------------------------------- */
qv_status tl_fail(tl *L, qv_status code, int32_t t, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
#define TL_PARSE(L, t, ...) tl_fail((L), QV_E_PARSE, (t), __VA_ARGS__)
#define TL_UNSUP(L, t, ...) tl_fail((L), QV_E_UNSUP, (t), __VA_ARGS__)
qv_status tl_nomem(tl *L);

/* ---- options of the operator: field `id` of its table, or the schema's default ------------------------------------------- */
static inline int32_t tl_opt_i32(tl *L, unsigned id, int32_t absent) { return qv_fb_i32(&L->m->fb, &L->op->opt, id, absent); }
static inline int tl_opt_i8(tl *L, unsigned id, int8_t absent) { return qv_fb_i8(&L->m->fb, &L->op->opt, id, absent); }
static inline bool tl_opt_bool(tl *L, unsigned id, bool absent) { return qv_fb_bool(&L->m->fb, &L->op->opt, id, absent); }
static inline float tl_opt_f32(tl *L, unsigned id, float absent) { return qv_fb_f32(&L->m->fb, &L->op->opt, id, absent); }
/* QV_E_PARSE if any of them was damaged. Call once after reading them. */
static inline qv_status tl_opts_ok(const tl *L) { return L->m->fb.bad ? QV_E_PARSE : QV_OK; }

/* ---- operands ---------------------------------------------------------------------------------------------------------- */

/* Operand k as tensor number of the file: present and written, or constant; QV_E_PARSE otherwise. */
QV_NODISCARD qv_status tl_arg(tl *L, uint32_t k, int32_t *t);
/* Result k. */
QV_NODISCARD qv_status tl_res(tl *L, uint32_t k, int32_t *t);
static inline const tfl_tensor *tl_tensor(const tl *L, int32_t t) { return &L->m->tensor[t]; }
static inline tl_value *tl_val(const tl *L, int32_t t) { return &L->val[t]; }

/* Integer net tensor of file tensor t; constants enter the net here. Float and unset tensors are refused. */
QV_NODISCARD qv_status tl_net_of(tl *L, int32_t t, uint32_t *net);
/* Refuse t unless it is an integer activation tensor or constant of type int8, uint8 or int16 (or int32 if wide). */
QV_NODISCARD qv_status tl_want_int(tl *L, int32_t t, bool wide);
bool tl_is_const(const tl *L, int32_t t); /* constant of the file or folded */

/* Elements of a small int32/int64 constant (axes, shapes, paddings): up to `max` of them. */
QV_NODISCARD qv_status tl_ints(tl *L, int32_t t, uint32_t max, const int64_t **v, uint32_t *n);
/* All elements of an integer constant of the file as int32, in the net's arena: int4, 8, 16, 32 bits. */
QV_NODISCARD qv_status tl_elements(tl *L, int32_t t, const int32_t **v, size_t *n);

/* Scale and zero point of a per-tensor quantized tensor: scale > 0 finite, zp within the type (QV_E_PARSE otherwise). */
typedef struct {
  float s;
  int32_t z;
} tl_quant;
QV_NODISCARD qv_status tl_quant_of(tl *L, int32_t t, tl_quant *q);

/* ---- shapes ------------------------------------------------------------------------------------------------------------ */
tl_shape tl_shape_of(const tl *L, int32_t t);
bool tl_same_shape(const tl_shape *a, const tl_shape *b);
/* Element count; false if above QV_MAX_ELEMS or a dimension is 0. */
bool tl_count(const tl_shape *s, size_t *n);
/* Shape of result t given the shape computed from the operands: the file must agree up to dimensions of 1 and unknown
 * ones, and is then preferred where it says more. QV_E_PARSE otherwise. */
QV_NODISCARD qv_status tl_out_shape(tl *L, int32_t t, const tl_shape *computed, tl_shape *s);

/* Output size and padding before, along one image axis. `padding`: 0 SAME, 1 VALID. */
QV_NODISCARD qv_status tl_window_axis(tl *L, int padding, uint32_t in, int32_t k, int32_t stride, int32_t dil, uint32_t *out,
                                      uint32_t *before);

/* ---- building ---------------------------------------------------------------------------------------------------------- */

void *tl_alloc(tl *L, size_t n, size_t size); /* net arena */
#define TL_NEW(L, n, type) ((type *)tl_alloc((L), (n), sizeof(type)))

/* New net tensor for file tensor t (its name, type and quantization). */
QV_NODISCARD qv_status tl_add_tensor(tl *L, int32_t t, const tl_shape *s, uint32_t *net);
/* New intermediate tensor "<name of t>/<suffix>". */
QV_NODISCARD qv_status tl_add_temp(tl *L, int32_t t, const char *suffix, qv_dtype type, const tl_shape *s, uint32_t *net);
/* New tensor "<name of t>/<suffix>" with type and quantization of net tensor `like`. */
QV_NODISCARD qv_status tl_add_like(tl *L, int32_t t, const char *suffix, uint32_t like, const tl_shape *s, uint32_t *net);
/* New constant tensor. */
QV_NODISCARD qv_status tl_add_const(tl *L, int32_t t, const char *suffix, qv_dtype type, const tl_shape *s, const int32_t *data,
                                    uint32_t *net);
/* Append a node with one input; fills in, n_in, op, layer. n->kind and n->u are the caller's. */
QV_NODISCARD qv_status tl_add_node(tl *L, const qv_node *n, uint32_t in, uint32_t out);
QV_NODISCARD qv_status tl_add_node_n(tl *L, const qv_node *n, const uint32_t *in, uint32_t n_in, uint32_t out);
/* INDEX node from tensor `in` to a new temporary of shape s. */
QV_NODISCARD qv_status tl_add_index(tl *L, const qv_index *ix, uint32_t in, int32_t t, const char *suffix, const tl_shape *s,
                                    uint32_t *out);
/* Record that file tensor t is net tensor `net`. */
void tl_set_net(tl *L, int32_t t, uint32_t net);
/* Refuse if t has been written already or is a constant (each tensor is written once). */
QV_NODISCARD qv_status tl_fresh(tl *L, int32_t t);

/* ---- quantized results --------------------------------------------------------------------------------------------------- */

qv_itv tl_range(const tl *L, int32_t t); /* of the storage type of t: int8, uint8, int16, int32 */
/* Clamp range of a fused activation at result t with quantization q (docs/semantics.md: activation bounds). */
QV_NODISCARD qv_status tl_act_range(tl *L, int32_t t, tl_quant q, int act, qv_itv *r);
/* Refuse a rescaling factor that no kernel was made for (above 2^30, or not a number). */
QV_NODISCARD qv_status tl_factor(tl *L, int32_t t, double M);
/* STEP from net tensor `in` to result t, which gets shape s; par is copied. */
QV_NODISCARD qv_status tl_add_step(tl *L, const qv_step *step, uint32_t in, int32_t t, const tl_shape *s);
/* Profile step with one parameter set. */
QV_NODISCARD qv_status tl_one_par(tl *L, qv_step *step, qv_rq_par par);
/* TABLE of 256 entries from file tensor x to result t. */
QV_NODISCARD qv_status tl_add_table(tl *L, const int32_t table[256], int32_t x, int32_t t);

/* ---- handlers ------------------------------------------------------------------------------------------------------------ */
qv_status tl_conv_2d(tl *L);
qv_status tl_depthwise(tl *L);
qv_status tl_fully_connected(tl *L);
qv_status tl_average_pool(tl *L);
qv_status tl_max_pool(tl *L);
qv_status tl_mean(tl *L);
qv_status tl_add_op(tl *L);
qv_status tl_sub_op(tl *L);
qv_status tl_mul_op(tl *L);
qv_status tl_relu(tl *L);
qv_status tl_leaky_relu(tl *L);
qv_status tl_logistic(tl *L);
qv_status tl_tanh(tl *L);
qv_status tl_hard_swish(tl *L);
qv_status tl_softmax(tl *L);
qv_status tl_log_softmax(tl *L);
qv_status tl_quantize(tl *L);
qv_status tl_dequantize(tl *L);
qv_status tl_reshape(tl *L);
qv_status tl_squeeze(tl *L);
qv_status tl_expand_dims(tl *L);
qv_status tl_transpose(tl *L);
qv_status tl_pad(tl *L);
qv_status tl_concat(tl *L);
qv_status tl_split(tl *L);
qv_status tl_split_v(tl *L);
qv_status tl_slice(tl *L);
qv_status tl_strided_slice(tl *L);
qv_status tl_gather(tl *L);
qv_status tl_resize_nearest(tl *L);
qv_status tl_shape_op(tl *L);
qv_status tl_pack(tl *L);
qv_status tl_cast(tl *L);

#endif
