/* Inside of the fast executor: shared by exec*.c and simd_*.c, by nobody else.
 *
 * A plan turns every node into one op, or into nothing when a neighbour does its work. Values live in the narrowest of four
 * forms that holds the tensor's proved range [lo,hi] (never in the declared type: that one is for input and output).
 * Exactness: vector code computes modulo 2^32. It is used where the true result lies in int32 by the proved range, or where
 * the machine itself wraps at <= 32 bits, so that arithmetic modulo 2^32 is the definition (each condition stands where the
 * op is built). Everything else calls qv_ref_node or qv_step_eval. */
#ifndef QV_KERNELS_EXEC_INT_H
#define QV_KERNELS_EXEC_INT_H

#include "ir/ir.h"
#include "kernels/exec.h"
#include "kernels/ref.h"

#define QV_PANEL 16     /* output channels of one weight panel: one 512-bit vector of int32                              */
#define QV_TILE_ROWS 24 /* output positions of a tile: a multiple of every micro-kernel's row count                      */
#define QV_TILE_COLS 64 /* output channels of a tile: four panels                                                        */
#define QV_SLACK 320    /* bytes that may be read (never written) past the end of every buffer: five vectors             */
#define QV_EW_BLOCK 1024 /* elements that an elementwise op handles at once                                              */

/* ---- requantization in vector form: rq(v) for int32 v = x - in_zp --------------------------------------------------------
 * FIXED: a = v << shl;  h = (a*m + r) >> 32 in 64 bits;  y = h >> e, or when `away`: y = (h + half - (h >>> sgn)) >> e.
 * FLOAT: y = rne(f32(f32(v << shl) * M)).     DIV: y = (v << shl) / d to nearest, ties away.     Proofs: exec_step.c. */
typedef enum { QV_VF_NONE, QV_VF_FIXED, QV_VF_FLOAT, QV_VF_DIV } qv_vform;

typedef struct {
  const qv_step *s;
  qv_vform form;    /* NONE: only qv_step_eval will do                                                                   */
  bool away;        /* FIXED: some lane rounds ties away from 0, so half is not part of r                                */
  size_t lanes;     /* length of the arrays below, a multiple of QV_PANEL                                                */
  int32_t *shl, *m; /* shl 0..31                                                                                         */
  int32_t *half;    /* 0 or 2^(e-1)                                                                                      */
  int32_t *e;       /* 0..31                                                                                             */
  int32_t *sgn;     /* logical shift count: 31 extracts the sign bit of h, 32 gives 0                                    */
  int64_t *re, *ro; /* r of the even and of the odd lanes: lane l has [l/2]                                              */
  float *M;
  double *d;
} qv_vstep;

/* ---- instruction sets ----------------------------------------------------------------------------------------------------
 * Weights are packed in panels of 16 channels: panel p is [nk][16] groups of 4 bytes: 4 int8, or 2 int16.
 *
 * Tile: for r < rows, j < 16*panels:
 *   c[r*QV_TILE_COLS + j] = init[j] + sum over k < nk of group(r,k,j) . w[(j/16)*stride + 64*k + 4*(j%16)]   modulo 2^32
 * where group(r,k,j) is at a[r] + koff[k] (gemm: the same for all channels) or at a[r] + koff[k] + 4*j (dw), 4 uint8 (..8)
 * or 2 int16 (..16). a has QV_TILE_ROWS valid pointers whatever `rows` is; rows of c past `rows` may be overwritten. */
typedef void qv_tile_fn(int32_t *c, const uint8_t *const *a, size_t rows, const uint32_t *koff, size_t nk, const uint8_t *w,
                        size_t stride, size_t panels, const int32_t *init);

/* The same for groups of 4 uint8 by 4 int8 added in 16 bits (kernels/exec_acc16.c): per channel two int16 lanes, pairs of products
 * saturate, lanes wrap. After weight group end[i] - 1, i < n, each lane less its fix (modulo 2^16) is added to c, which starts as init,
 * and cleared. fix: [panels][n][16][2]. */
typedef void qv_tile_narrow_fn(int32_t *c, const uint8_t *const *a, size_t rows, const uint32_t *koff, const uint8_t *w, size_t stride,
                               size_t panels, const int32_t *init, size_t n, const size_t *end, const int16_t *fix);

typedef struct {
  qv_tile_fn *gemm8, *dw8; /* NULL: bytes are widened to int16 first */
  qv_tile_narrow_fn *gemm_narrow, *dw_narrow; /* NULL: no use beside gemm8 */
  qv_tile_fn *gemm16, *dw16;
  /* dst = rows interleaved: groups of 4 bytes, or of 2 int16. May write QV_SLACK - 64 bytes past the end. */
  void (*weave8)(uint8_t *dst, const uint8_t *const row[4], size_t n);
  void (*weave16)(int16_t *dst, const int16_t *const row[2], size_t n);
  /* In place on rows of 16*panels lanes, ld apart; parameters from lane0 on. */
  void (*rq)(int32_t *c, size_t rows, size_t ld, size_t panels, const qv_vstep *v, size_t lane0);
  /* dst[r*ldd + j] = min(hi, max(lo, src[r*lds + j] + zp)), j < n. Pre: 0 <= lo <= hi <= 255, |zp| <= 32000. */
  void (*narrow8)(uint8_t *dst, size_t ldd, const int32_t *src, size_t lds, size_t rows, size_t n, int32_t zp, int32_t lo, int32_t hi);
  /* dst[i] = src[i] - off; writes up to the next multiple of 16 elements. */
  void (*widen8)(int32_t *dst, const uint8_t *src, size_t n, int32_t off);
  void (*widen16)(int32_t *dst, const int16_t *src, size_t n, int32_t off);
  void (*byte_to_16)(int16_t *dst, const uint8_t *src, size_t n, int32_t off); /* writes n elements only */
  /* t[i] = c * (min(hi, max(lo, t[i] + zp)) - z) modulo 2^32, n a multiple of 16 */
  void (*shape32)(int32_t *t, size_t n, int32_t zp, int32_t lo, int32_t hi, int32_t z, int32_t c);
  /* acc[i] = acc[i] + t[i], or acc[i] * t[i], modulo 2^32, n a multiple of 16 */
  void (*join32)(int32_t *acc, const int32_t *t, size_t n, bool product);
  void (*max8)(uint8_t *dst, const uint8_t *src, size_t n); /* dst[i] = max(dst[i], src[i]) */
} qv_simd;

extern const qv_simd qv_simd_portable;
#if defined(__x86_64__)
extern const qv_simd qv_simd_avx2, qv_simd_avx512;
#endif

/* ---- plan --------------------------------------------------------------------------------------------------------------- */

typedef enum { QV_XU8, QV_XI16, QV_XI32, QV_XI64 } qv_xtype;

typedef struct {
  qv_xtype type;
  int64_t bias;               /* XU8: value = byte - bias; 0 otherwise                                                   */
  size_t n;                   /* elements                                                                                */
  size_t off;                 /* byte offset in a thread's activations, SIZE_MAX when not stored                         */
  const unsigned char *constant; /* constant tensor                                                                      */
} qv_xtensor;

static inline size_t qv_xsize(qv_xtype t) { return t == QV_XU8 ? 1 : t == QV_XI16 ? 2 : t == QV_XI32 ? 4 : 8; }

typedef struct qv_op qv_op;

/* What one thread needs to run a sample. */
typedef struct {
  const qv_plan *p;
  unsigned char **at; /* per tensor: its values */
  unsigned char *pad, *weave; /* padded input; interleaved rows */
  int32_t *c, *t;             /* QV_TILE_ROWS x QV_TILE_COLS, or blocks of QV_EW_BLOCK elements */
  int64_t *c64;
  qv_values ref;              /* int64 values of the tensors of a node that runs through qv_ref_node */
  int64_t *ref_mem;
  void *mem;
  qv_err err;
} qv_worker;

struct qv_op {
  qv_status (*run)(qv_worker *w, const qv_op *op); /* NULL: nothing to do, another op does it */
  uint32_t node;
  uint32_t n_in, *in; /* tensors read; may differ from the node's after fusion */
  uint32_t out;       /* tensor written */
  const qv_vstep *post; /* fused STEP, or NULL */
  void *data;           /* of this kind of op */
  const char *name;     /* for qv_plan_kernel */
};

struct qv_plan {
  const qv_net *net;
  const qv_plan_fact *fact; /* while the plan is made; may be NULL */
  qv_isa isa;
  const qv_simd *simd;
  qv_arena arena;
  qv_xtensor *x;      /* per tensor */
  qv_op *op;          /* per node */
  qv_itv *range;      /* per tensor: proved range, within the declared one                                               */
  uint32_t *uses;     /* per tensor: reads by nodes + net outputs */
  uint32_t *consumer; /* per tensor: a node that reads it, or QV_NONE */
  uint32_t *producer; /* per tensor: the node that writes it, or QV_NONE */
  size_t act_bytes, pad_bytes, weave_bytes, ref_elems; /* per worker */
  qv_worker *worker;
  unsigned n_workers;
};

/* Value of element e, and its inverse. Pre: the value is in the tensor's range. */
static inline int64_t qv_xget(const qv_xtensor *x, const unsigned char *p, size_t e) {
  switch (x->type) {
  case QV_XU8: return p[e] - x->bias;
  case QV_XI16: return ((const int16_t *)(const void *)p)[e];
  case QV_XI32: return ((const int32_t *)(const void *)p)[e];
  case QV_XI64: return ((const int64_t *)(const void *)p)[e];
  }
  return 0;
}

static inline void qv_xput(const qv_xtensor *x, unsigned char *p, size_t e, int64_t v) {
  switch (x->type) {
  case QV_XU8: p[e] = (unsigned char)(v + x->bias); break;
  case QV_XI16: ((int16_t *)(void *)p)[e] = (int16_t)v; break;
  case QV_XI32: ((int32_t *)(void *)p)[e] = (int32_t)v; break;
  case QV_XI64: ((int64_t *)(void *)p)[e] = v; break;
  }
}

/* v modulo 2^32 as int32. */
static inline int32_t qv_low32(int64_t v) { return (int32_t)(uint32_t)(uint64_t)v; }

/* Build the vector form of s for inputs in x. lane l stands for element elem[l] (QV_NONE: unused lane).
 *   Post: *out = NULL when memory is short; form NONE when no vector form is proved exact. */
void qv_vstep_new(const qv_vstep **out, qv_plan *p, const qv_step *s, qv_itv x, size_t lanes, const uint32_t *elem);
/* Same for a step whose parameters repeat along the elements of a tensor with n elements. */
void qv_vstep_periodic(const qv_vstep **out, qv_plan *p, const qv_step *s, qv_itv x, size_t n);
/* The node that is the only reader of tensor t and a STEP, or QV_NONE. */
uint32_t qv_sole_step(const qv_plan *p, uint32_t t);
/* Requantize and store a tile of accumulators: rows of n, the row r starting at element e0 + r*oc of the output. */
void qv_store_tile(qv_worker *w, const qv_op *op, size_t e0, size_t oc, size_t rows, size_t n, size_t panels, size_t lane0);

/* ---- sums in 16 bits (exec_acc16.c) ---------------------------------------------------------------------------------------- */

/* Windows of weight groups whose sums fit 16-bit lanes. */
typedef struct {
  size_t n, *end; /* [n] window i ends before weight group end[i] */
  int16_t *fix;   /* [panels of all groups][n][16][2] what the zero point adds to each lane, modulo 2^16 */
} qv_narrow;

/* What it has to know about a packed layer. */
typedef struct {
  const uint8_t *w;      /* [panels][nk][16][4] int8                                                             */
  size_t panels, nk;     /* panels of all window groups                                                          */
  int64_t bias, zero;    /* byte = value + bias; the byte that stands for the zero point (and for padding)       */
  bool padded;           /* a byte can be padding                                                                */
  void *ctx;             /* range of the value that byte j of weight group k meets in lane l of a panel:         */
  qv_itv (*range)(void *ctx, size_t panel, size_t k, size_t j, size_t l);
} qv_narrow_layer;

/* Cut the weight groups into as few windows as possible. False: a pair of products can leave 16 bits, windows would be too short to
 * gain anything, or (*st = QV_E_NOMEM) no memory. */
bool qv_narrow_cut(qv_narrow *out, qv_arena *arena, const qv_narrow_layer *l, qv_status *st);

/* Op builders: true if they took the node. QV_E_NOMEM through *st. */
bool qv_plan_affine(qv_plan *p, uint32_t node, qv_status *st);
bool qv_plan_elementwise(qv_plan *p, uint32_t node, qv_status *st);
bool qv_plan_move(qv_plan *p, uint32_t node, qv_status *st);
bool qv_plan_max(qv_plan *p, uint32_t node, qv_status *st);

#endif
