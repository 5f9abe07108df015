/* The exact integer network: tensors, nodes, per-node arithmetic. Meaning: docs/semantics.md section 3; text form:
 * docs/qir.md. Every engine speaks only of this.
 *
 * A net is a list of nodes in execution order over tensors that are written once. All values are mathematical integers
 * held in int64_t; qv_ir_check proves, from the declared ranges alone, that none can leave int64 (it refuses the net
 * otherwise), so the reference evaluation needs no overflow tests of its own. What the *machine* does when its narrower
 * accumulator overflows (wrap, saturate, trap, lanes) is the node's qv_acc, and is semantics.
 *
 * Element order is row-major, last dimension fastest; images are NHWC. */
#ifndef QV_IR_IR_H
#define QV_IR_IR_H

#include <stdbool.h>

#include "ir/base/arena.h"
#include "ir/base/int.h"
#include "ir/base/status.h"

#define QV_MAX_RANK 8
#define QV_MAX_INPUTS 1024
#define QV_NONE UINT32_MAX
#define QV_MAX_ELEMS ((size_t)1 << 28) /* elements of one tensor */

/* Storage type of a tensor: what input and output files hold. The value range is qv_tensor.lo/hi. */
typedef enum { QV_I8, QV_U8, QV_I16, QV_U16, QV_I32, QV_I64, QV_DTYPES } qv_dtype;

typedef struct {
  const char *name;          /* unique within the net, never NULL; from the file (for reports and .qir)                */
  uint32_t rank;             /* 0..QV_MAX_RANK; rank 0 = scalar with one element                                       */
  uint32_t dim[QV_MAX_RANK]; /* each >= 1                                                                              */
  qv_dtype type;
  bool has_q;                /* scale and zp below are the file's: real = scale * (q - zp). Reports and I/O only:      */
  float scale;               /*   no node reads them. binary32, finite, > 0                                            */
  int32_t zp;
  const int32_t *data;       /* constant tensor: its elements; NULL otherwise                                          */
  int64_t lo, hi;            /* every element lies in [lo,hi]. Given for net inputs (within the storage type) and
                                opaque outputs; computed by qv_ir_check for all others                                 */
} qv_tensor;

/* ---- machine accumulator: what really happens to b + sum t_i (docs/semantics.md section 4) --------------------------- */
typedef enum {
  QV_ACC_EXACT,  /* mathematical integer                                                                             */
  QV_ACC_WRAP,   /* wrap to `bits` (two's complement)                                                                */
  QV_ACC_SAT,    /* a = sat(a + t), step by step, in order                                                           */
  QV_ACC_TRAP,   /* any prefix outside `bits` is undefined behaviour                                                 */
  QV_ACC_PAIR16, /* sum of sat16(t_i + t_i') over pairs, then wrap to `bits`                                         */
  QV_ACC_LANES,  /* `lanes` lanes of `lane_bits`, lane j takes terms i = j (mod lanes), spilled to the wider stage
                    every `spill` terms per lane (0 = never), then wrap to `bits`                                    */
  QV_ACC_PAIRLANES /* the same with the pairs sat16(t_i + t_i') of PAIR16 in place of the terms, in lanes of 16 bits */
} qv_acc_mode;
typedef enum { QV_ORDER_KERNEL, QV_ORDER_ANY } qv_order;            /* stored weight order, or unknown                */
typedef enum { QV_BIAS_LAST, QV_BIAS_FIRST } qv_bias_place;         /* where b enters the running sum                 */
typedef enum { QV_PAIR_ADJACENT, QV_PAIR_K8 } qv_pairing;           /* (2i,2i+1), or k with k+8 in each block of 16   */

typedef struct {
  qv_acc_mode mode;
  uint8_t bits;            /* width of the final accumulator, 2..64 (PAIR16, LANES, PAIRLANES: 2..62); 0 iff EXACT   */
  qv_order order;
  qv_bias_place bias;
  bool raw;                /* AFFINE only, not SAT or TRAP: products of uncorrected bytes x*w; zero points are corrected by row and column sums;
                              padded taps contribute the byte x_zp. False: products (x-x_zp)*(w-w_zp), padded taps 0 */
  qv_pairing pairing;      /* PAIR16, PAIRLANES only                                                                 */
  uint8_t lane_bits;       /* LANES: 8..32; PAIRLANES: 16; else 0                                                    */
  bool lane_sat;           /* LANES, PAIRLANES only: lanes saturate (else wrap)                                      */
  uint16_t lanes;          /* LANES, PAIRLANES only: 1..64                                                           */
  uint32_t spill;          /* LANES, PAIRLANES only                                                                  */
} qv_acc;

/* Which narrow stages come before the wide sum. */
static inline bool qv_acc_pairs(const qv_acc *a) { return a->mode == QV_ACC_PAIR16 || a->mode == QV_ACC_PAIRLANES; }
static inline bool qv_acc_lanes(const qv_acc *a) { return a->mode == QV_ACC_LANES || a->mode == QV_ACC_PAIRLANES; }
static inline bool qv_acc_staged(const qv_acc *a) { return qv_acc_pairs(a) || qv_acc_lanes(a); }
/* Width of the stage in bits. Pre: staged. */
static inline int qv_acc_stage_bits(const qv_acc *a) { return a->mode == QV_ACC_LANES ? a->lane_bits : 16; }
/* Pairs of k terms: their number; first term of pair p; how much further its second one is (which may be missing: >= k). */
static inline size_t qv_pair_distance(const qv_acc *a) { return a->pairing == QV_PAIR_ADJACENT ? 1 : 8; }
static inline size_t qv_pair_at(const qv_acc *a, size_t p) { return a->pairing == QV_PAIR_ADJACENT ? 2 * p : p / 8 * 16 + p % 8; }
static inline size_t qv_pair_count(const qv_acc *a, size_t k) {
  if (a->pairing == QV_PAIR_ADJACENT) return k / 2 + k % 2;
  return k / 16 * 8 + (k % 16 < 8 ? k % 16 : 8);
}

/* ---- sliding window, shared by AFFINE and MAX ------------------------------------------------------------------------
 * The input tensor is read as [n][ih][iw][ic], the output as [n][oh][ow][oc]. Tap (y,x) of output position (oy,ox) reads
 * input row oy*sh - pt + y*dh, column ox*sw - pl + x*dw; outside the image it is padding. Output channel o belongs to
 * group o / (oc/groups) and reads that group's ic/groups input channels. Dense: n = rows, ih=iw=oh=ow=kh=kw=1. */
typedef struct {
  uint32_t n, ih, iw, ic, oh, ow, oc;
  uint32_t kh, kw, sh, sw, dh, dw; /* kernel, stride, dilation: each >= 1                                            */
  uint32_t pt, pl;                 /* rows above and columns left of the image                                       */
  uint32_t groups;                 /* divides ic and oc                                                              */
} qv_window;

/* Where tap (ky,kx) of output position (oy,ox) of image b reads: *at = number of channel 0 of that pixel in the input, or 0.
 * False if the tap falls into the padding. */
static inline bool qv_window_tap(size_t *at, const qv_window *g, size_t b, uint32_t oy, uint32_t ox, uint32_t ky, uint32_t kx) {
  int64_t iy = (int64_t)oy * g->sh - g->pt + (int64_t)ky * g->dh, ix = (int64_t)ox * g->sw - g->pl + (int64_t)kx * g->dw;
  bool in = iy >= 0 && iy < g->ih && ix >= 0 && ix < g->iw;
  *at = in ? ((b * g->ih + (size_t)iy) * g->iw + (size_t)ix) * g->ic : 0;
  return in;
}

/* acc[o] = b[o] + sum over taps inside the image of (w - w_zp[o]) * (x - x_zp). */
typedef struct {
  qv_window win;
  int32_t x_zp;
  const int32_t *w;      /* [oc][kh][kw][ic/groups], raw (w_zp not yet subtracted)                                   */
  uint32_t n_w_zp;       /* 1 (all channels) or oc                                                                   */
  const int32_t *w_zp;   /* [n_w_zp]                                                                                 */
  const int64_t *b;      /* [oc]                                                                                     */
  qv_acc acc;
} qv_affine;

/* ---- requantization functions (docs/semantics.md section 2). v is the scaled input of the step. ---------------------- */
typedef enum {
  QV_RQ_D,    /* m,sh: double rounding (TFLite, CMSIS-NN default)            */
  QV_RQ_U,    /* m,sh: double rounding, ties up (TFLite native x86, ruy)     */
  QV_RQ_S,    /* m,sh: single rounding; m = 1, sh = 31-s is (v + 2^(s-1)) >> s */
  QV_RQ_64,   /* m,sh: 16-bit multiplier, int64 accumulator (16x8)           */
  QV_RQ_T,    /* m,sh: TOSA apply_scale_32, single; shift s = sh             */
  QV_RQ_TD,   /* m,sh: TOSA apply_scale_32, double; shift s = sh             */
  QV_RQ_F32,  /* M binary32: rne(f32(f32(v) * M))                            */
  QV_RQ_NDU,  /* M binary32: floor(v*M + 1/2), exact                         */
  QV_RQ_F64A, /* M binary64: nearest, ties away, of f64(v * M)               */
  QV_RQ_REF,  /* M binary64: rne(f64(f64(v * M) + out_zp)) - out_zp          */
  QV_RQ_F32B, /* M, B binary32: rne(f32(f32(f32(v) * M) + B)) (XNNPACK MEAN)  */
  QV_RQ_DIV,  /* m >= 1: nearest, ties away, of v / m                        */
  QV_RQ_TDIV, /* m >= 1: v / m truncated toward 0                            */
  QV_RQ_MEANF /* m = n, M = S, B: nearest, ties away, of f32(f32(f32(v/n)*S) + B) (TFLite float MEAN) */
} qv_rq;

/* Requantization of one channel: the function and its parameters; which are used is said at qv_rq, the others are 0.
 * The function is a field of the channel because real kernels treat the last channels of a row differently from the
 * vectorised ones (docs/semantics.md section 6). */
typedef struct {
  qv_rq fn;
  int32_t m;
  int32_t sh;
  double M; /* holds the binary32 value exactly where the function says binary32 */
  double B;
} qv_rq_par;

/* |v| * 2^max(sh,0) stays within 2^62 (checked), also where a runtime computes in fewer bits (an obligation of its own).
 * y = min(hi, max(lo, RQ((x - in_zp) * 2^lshift; par[c]) + out_zp)), c = channel of the element:
 * q = (e / inner) mod n, n = idx ? n_idx : n_par; c = idx ? idx[q] : q, e = element number. */
typedef struct {
  int64_t in_zp;
  uint32_t lshift;       /* 0..31 */
  uint32_t n_par;        /* >= 1 */
  const qv_rq_par *par;  /* [n_par] */
  uint32_t inner;        /* >= 1; 1 for a channel-last tensor */
  uint32_t n_idx;        /* 0 when idx is NULL */
  const uint32_t *idx;   /* [n_idx] values < n_par, or NULL */
  int64_t out_zp, lo, hi;
} qv_step;

/* y = t[x - lo], x in [lo, lo + n - 1]; n <= 65536. */
typedef struct {
  int64_t lo;
  uint32_t n;
  const int32_t *t;
} qv_table;

/* Piecewise constant: y = v[number of i < k with t[i] <= x], t strictly increasing within 2^62, values in any order. */
typedef struct {
  uint32_t k;       /* <= QV_MAX_THRESHOLDS */
  const int64_t *t; /* [k] */
  const int32_t *v; /* [k + 1] */
} qv_pieces;

/* Pieces of channel floor(e / inner) mod n_par; x of any width. */
typedef struct {
  uint32_t inner; /* >= 1; 1 for a channel-last tensor */
  uint32_t n_par; /* >= 1 */
  const qv_pieces *par;
} qv_threshold;
#define QV_MAX_THRESHOLDS 65535u
#define QV_MAX_PIECES ((size_t)1 << 24) /* values of all channels of a node */

/* y[e] = sum_k c[k] * (x_k[e] - z[k]); all inputs have the output's element count. */
typedef struct {
  const int64_t *c; /* [n_in], |c| < 2^31 */
  const int64_t *z; /* [n_in] */
  qv_acc acc;       /* mode EXACT, WRAP, SAT or TRAP */
} qv_sum;

/* y[e] = (x_0[e] - z0) * (x_1[e] - z1). */
typedef struct {
  int64_t z0, z1;
  qv_acc acc; /* mode EXACT, WRAP, SAT or TRAP */
} qv_product;

/* Data movement. Every form is a gather; qv_index_map (ir/index.h) turns each into the one map that engines use. */
typedef enum {
  QV_IX_RESHAPE,   /* same elements, new shape                                                                        */
  QV_IX_TRANSPOSE, /* out dim d = in dim a[d]                                                                         */
  QV_IX_PAD,       /* a[d] elements before, b[d] after, of value `value`                                              */
  QV_IX_CONCAT,    /* inputs joined along `axis`                                                                      */
  QV_IX_SLICE,     /* out[i] = in[a[d] + i*b[d]]; b[d] may be negative, never 0                                       */
  QV_IX_BROADCAST, /* in (aligned at the last dimension) repeated to the output's shape                               */
  QV_IX_GATHER     /* along `axis`: out[i] = in[g[i]] (resize nearest, gather with constant indices)                  */
} qv_index_form;

typedef struct {
  qv_index_form form;
  int32_t a[QV_MAX_RANK], b[QV_MAX_RANK];
  uint32_t axis;
  int32_t value;
  const uint32_t *g; /* GATHER only: [out.dim[axis]] */
} qv_index;

/* Tails: order-preserving functions of a whole row that end a classifier. Rows are the last dimension. */
typedef enum {
  QV_TAIL_SOFTMAX_Q,  /* fixed-point softmax (TFLite reference kernels): mult, ls, diff_min, out_bits                  */
  QV_TAIL_SOFTMAX_F,  /* table of 256 binary32 exponentials, binary32 sum in order (TFLite optimized kernels)          */
  QV_TAIL_SOFTMAX_16  /* int16 softmax with two interpolated tables: rq, mult, ls, lut                                 */
} qv_tail_fn;

typedef enum { QV_TR_AWAY, QV_TR_HALF_UP_TRUNC } qv_tail_round; /* rha(p); trunc(f32(p + 0.5)) */

typedef struct {
  qv_tail_fn fn;
  int32_t mult, ls;           /* SOFTMAX_Q, SOFTMAX_16: input multiplier and shift                                    */
  int32_t diff_min;           /* SOFTMAX_Q: entries with x - max < diff_min give lo and do not enter the sum          */
  int32_t out_bits;           /* SOFTMAX_Q: fraction bits of the result, 8 or 16                                      */
  qv_rq rq;                   /* SOFTMAX_16: QV_RQ_D or QV_RQ_S; QV_RQ_D otherwise                                    */
  const int16_t *lut;         /* SOFTMAX_16: [0..512] exp on [-10,0], [513..1025] 1/(1+x) on [0,1]; both part of the net */
  const float *exp;           /* SOFTMAX_F: [256] exp[255 - d] is the exponential used for max - x = d; part of the net */
  float out_scale;            /* SOFTMAX_F: output scale                                                              */
  qv_tail_round round;        /* SOFTMAX_F                                                                            */
  int64_t out_zp, lo, hi;     /* result = sat[lo,hi](value + out_zp)                                                  */
} qv_tail;

typedef enum {
#define QV_KIND(e, word, lo, hi) QV_##e,
#include "ir/ops.def"
#undef QV_KIND
  QV_KINDS
} qv_kind;

typedef struct {
  qv_kind kind;
  const char *op;     /* runtime op it comes from, e.g. "CONV_2D"; for reports                                         */
  uint32_t layer;     /* number of that op in the source file; nodes lowered from one op share it                       */
  uint32_t n_in;
  const uint32_t *in; /* tensor numbers */
  uint32_t out;       /* tensor number */
  union {
    qv_affine affine;
    qv_step step;
    qv_table table;
    qv_threshold threshold;
    qv_sum sum;
    qv_product product;
    qv_window max; /* y = maximum of the taps inside the image, channel by channel; groups = ic = oc */
    qv_index index;
    struct { int64_t lo, hi; } clamp;
    struct { uint8_t bits; } wrap;
    qv_tail tail;
    /* OPAQUE has no attributes: any value of the output tensor's [lo,hi], and no execution */
  } u;
} qv_node;

/* How a float end of the source model maps to the integer tensor at that end. */
typedef enum {
  QV_END_INT,         /* the model's own input or output is the integer tensor                                          */
  QV_END_QUANT_AWAY,  /* input: q = sat(rha(f32(x / scale)) + zp)          (TFLite QUANTIZE)                            */
  QV_END_QUANT_EVEN,  /* input: q = sat(rne(f32(x / scale)) + zp)          (ONNX QuantizeLinear)                        */
  QV_END_QUANT_INV,   /* input: q = sat(rne(f32(x * f32(1 / scale))) + zp) (XNNPACK)                                    */
  QV_END_F32_ORDER,   /* input: q = order number of the binary32 value x, no scale (docs/semantics.md section 8)          */
  QV_END_DEQUANT      /* output: real = scale * (q - zp), then `tail` if any                                            */
} qv_end;

#define QV_F32_ORDER_MAX 2139095040 /* order number of +infinity */

typedef struct {
  uint32_t tensor;
  qv_end end;
  const char *name; /* the source model's name of this input or output */
  const char *tail; /* outputs: order-preserving float op after the integers ("LOG_SOFTMAX", "SOFTMAX"), or NULL        */
} qv_port;

typedef struct {
  const char *source;        /* base name of the file it was lowered from, or "" */
  char sha256[65];           /* of that file, lower-case hex, or "" */
  const char *profile;       /* name of the profile used, or "" (arithmetic given by the file itself) */
  const char *format;        /* "tflite", "qtxt", "qir", ... */
  uint32_t n_tensors, n_nodes, n_in, n_out, n_notes;
  qv_tensor *tensor;
  qv_node *node;
  qv_port *in, *out;
  const char **note;         /* assumptions and remarks that every report repeats, e.g. opaque ops */
  qv_arena arena;            /* owns everything above */
} qv_net;

/* Order number of a binary32 value, not NaN, and the value of an order number within [-QV_F32_ORDER_MAX, QV_F32_ORDER_MAX]. */
int32_t qv_f32_order(float x);
float qv_f32_of_order(int32_t q);

/* ---- functions ------------------------------------------------------------------------------------------------------ */

/* Number of elements. 1 for rank 0. Precondition: checked net (no overflow). */
size_t qv_elems(const qv_tensor *t);

const char *qv_kind_name(qv_kind k);   /* .qir keyword */
const char *qv_rq_name(qv_rq f);       /* "RQ_D", ... */
const char *qv_dtype_name(qv_dtype t); /* "i8", ... */
size_t qv_dtype_bytes(qv_dtype t);
qv_itv qv_dtype_range(qv_dtype t);
const char *qv_acc_name(qv_acc_mode m); /* "exact", "wrap", ... */

/* Free a net (NULL is fine). Nets are made by front ends with calloc + arena. */
void qv_net_free(qv_net *net);
/* New empty net, or NULL. `limit` bytes for its arena (0 = none). */
qv_net *qv_net_new(size_t limit);

/* Builder: append and return the number, or QV_NONE when memory is short. Pointers in *t and *n must live in the net's
 * arena (name, data, in, ...). Cost: amortised O(1). */
uint32_t qv_net_add_tensor(qv_net *net, const qv_tensor *t);
uint32_t qv_net_add_node(qv_net *net, const qv_node *n);
QV_NODISCARD bool qv_net_add_in(qv_net *net, const qv_port *p);
QV_NODISCARD bool qv_net_add_out(qv_net *net, const qv_port *p);
QV_NODISCARD bool qv_net_add_note(qv_net *net, const char *text); /* copies text; the same text twice is kept once */

/* Validate once after load, and compute lo/hi of every tensor that is neither input, constant nor opaque.
 *   Post: QV_OK     => every index, shape, window, parameter and range is as documented in this file, tensors are written
 *                      exactly once and before use, and no value or partial sum of any evaluation leaves
 *                      [-2^62, 2^62]
 *         otherwise QV_E_PARSE (structure), QV_E_RANGE (values), QV_E_UNSUP; err names the node.
 *   Cost: O(size of the net). */
QV_NODISCARD qv_status qv_ir_check(qv_net *net, qv_err *err);

#endif
