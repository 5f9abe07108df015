#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/tflite_file.h"
#include "quant/fgraph.h"

/* A tensor of the file: images are kept as NCHW where an operator has made them so, and turned back where their order shows. */
typedef struct {
  uint32_t t; /* QV_NONE: not computed (constant, or not yet) */
  bool nchw;
  const float *c; /* constant, decoded when first asked for */
} value;

typedef struct {
  qv_fgraph *g;
  tfl_model m;
  value *val; /* [m.n_tensors] */
  const tfl_op *op;
  uint32_t number; /* of op */
  char name[256];
  qv_err *err;
} reader;

#define FAIL(r, code, ...) fail_at((r), (code), __VA_ARGS__)
static qv_status fail_at(reader *r, qv_status code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static qv_status fail_at(reader *r, qv_status code, const char *fmt, ...) {
  char text[200];
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  return QV_FAIL(r->err, code, "operator %u (%s): %s", r->number, r->op->name, text);
}
#define NOMEM(r) FAIL((r), QV_E_NOMEM, "no memory")

static int32_t opt_i32(reader *r, unsigned id, int32_t absent) { return qv_fb_i32(&r->m.fb, &r->op->opt, id, absent); }
static int opt_i8(reader *r, unsigned id) { return qv_fb_i8(&r->m.fb, &r->op->opt, id, 0); }

/* ---- operands -------------------------------------------------------------------------------------------------------------------- */

static float half(uint16_t h) {
  int e = h >> 10 & 31, f = h & 1023;
  float v = e == 31 ? (f != 0 ? NAN : INFINITY) : e == 0 ? ldexpf((float)f, -24) : ldexpf((float)(1024 + f), e - 25);
  return (h & 0x8000) != 0 ? -v : v;
}

static uint32_t elems(const tfl_tensor *t) {
  uint64_t n = 1;
  for (uint32_t d = 0; d < t->rank; d++) {
    n *= (uint64_t)t->dim[d];
    if (n > QV_MAX_ELEMS) return 0;
  }
  return (uint32_t)n;
}

static float stored(const tfl_model *m, const tfl_tensor *t, size_t e, uint32_t c) {
  uint32_t bits;
  float f;
  switch (t->type) {
  case TFL_FLOAT32:
    bits = qv_le32(t->data + 4 * e);
    memcpy(&f, &bits, 4);
    return f;
  case TFL_FLOAT16: return half(qv_le16(t->data + 2 * e));
  case TFL_INT8: return tfl_scale(m, t, c) * (float)((int8_t)t->data[e] - tfl_zp(m, t, c));
  case TFL_UINT8: return tfl_scale(m, t, c) * (float)(t->data[e] - tfl_zp(m, t, c));
  default: return NAN;
  }
}

/* Floats of constant tensor k, integer weights dequantized; NULL after a failure. */
static const float *constant(reader *r, int32_t k) {
  if (k < 0 || r->val[k].t != QV_NONE) {
    (void)FAIL(r, QV_E_UNSUP, "an operand that has to be a constant is not");
    return NULL;
  }
  if (r->val[k].c != NULL) return r->val[k].c;
  const tfl_tensor *t = &r->m.tensor[k];
  uint32_t n = elems(t), nq = t->scale.n;
  bool integer = t->type == TFL_INT8 || t->type == TFL_UINT8;
  size_t bytes = t->type == TFL_FLOAT32 ? 4 : t->type == TFL_FLOAT16 ? 2 : 1;
  uint32_t axis = nq > 1 ? (uint32_t)t->qdim : 0, inner = 1;
  if (t->data == NULL || n == 0 || (!integer && bytes == 1) || (integer && nq == 0) || t->n_data < n * bytes ||
      (nq > 1 && (t->qdim < 0 || axis >= t->rank || (uint32_t)t->dim[axis] != nq))) {
    (void)FAIL(r, QV_E_UNSUP, "constant \"%s\" of type %s is no float and not quantized", t->name, tfl_type_name(t->type));
    return NULL;
  }
  float *f = QV_NEW(&r->g->arena, n, float);
  if (f == NULL) {
    (void)NOMEM(r);
    return NULL;
  }
  for (uint32_t d = axis + 1; nq > 1 && d < t->rank; d++) inner *= (uint32_t)t->dim[d];
  for (uint32_t e = 0; e < n; e++) f[e] = stored(&r->m, t, e, nq > 1 ? e / inner % nq : 0);
  return r->val[k].c = f;
}

static qv_status ints(reader *r, int32_t k, int64_t *out, uint32_t max, uint32_t *n) {
  const tfl_tensor *t = k >= 0 ? &r->m.tensor[k] : NULL;
  if (t == NULL || t->data == NULL || t->type != TFL_INT32 || (*n = elems(t)) > max || t->n_data < 4 * (size_t)*n)
    return FAIL(r, QV_E_UNSUP, "a list of integers that is no int32 constant");
  for (uint32_t i = 0; i < *n; i++) out[i] = (int32_t)qv_le32(t->data + 4 * (size_t)i);
  return QV_OK;
}

/* ---- nodes ----------------------------------------------------------------------------------------------------------------------- */

static uint32_t emit(reader *r, qv_fnode n, const char *suffix) {
  char out[320];
  int32_t y = tfl_out(&r->m, r->op, 0);
  (void)snprintf(out, sizeof out, "%.200s%s", r->m.tensor[y].name[0] != 0 ? r->m.tensor[y].name : r->name, suffix);
  n.name = r->name;
  return qv_fgraph_node(r->g, &n, out, r->err);
}

static uint32_t permuted(reader *r, uint32_t t, const uint32_t perm[4], const char *suffix) {
  qv_fnode n = {.op = QF_TRANSPOSE, .n_in = 1};
  n.in[0] = t;
  memcpy(n.perm, perm, 4 * sizeof *perm);
  return emit(r, n, suffix);
}

/* Operand k as an image NCHW (`image`) or with the file's own order; QV_NONE after a failure. */
static uint32_t operand(reader *r, uint32_t k, bool image) {
  static const uint32_t to_nchw[4] = {0, 3, 1, 2}, to_nhwc[4] = {0, 2, 3, 1};
  int32_t i = tfl_in(&r->m, r->op, k);
  if (i < 0 || r->val[i].t == QV_NONE) {
    (void)FAIL(r, QV_E_UNSUP, "operand %u is missing or a constant", k);
    return QV_NONE;
  }
  const value *v = &r->val[i];
  if (r->g->tensor[v->t].rank != 4) {
    if (image) (void)FAIL(r, QV_E_UNSUP, "operand %u is no image", k);
    return image ? QV_NONE : v->t;
  }
  if (v->nchw == image) return v->t;
  return permuted(r, v->t, image ? to_nchw : to_nhwc, image ? "/nchw" : "/nhwc");
}

static qv_status result(reader *r, uint32_t t, bool nchw) {
  if (t == QV_NONE) return r->err->code;
  int32_t y = tfl_out(&r->m, r->op, 0);
  if (y < 0 || r->val[y].t != QV_NONE) return FAIL(r, QV_E_PARSE, "its result is missing or written twice");
  r->val[y] = (value){t, nchw, NULL};
  return QV_OK;
}

/* A fused activation behind t. */
static uint32_t activated(reader *r, uint32_t t, int act) {
  qv_fnode n = {.op = QF_CLIP, .n_in = 1, .lo = 0, .hi = INFINITY};
  if (t == QV_NONE || act == 0) return t;
  n.in[0] = t;
  if (act == 2) n.lo = -1, n.hi = 1;
  else if (act == 3) n.hi = 6;
  else if (act == 4) n.op = QF_TANH;
  else if (act != 1) {
    (void)FAIL(r, QV_E_UNSUP, "fused activation %d", act);
    return QV_NONE;
  }
  return emit(r, n, "/act");
}

static bool axis_window(uint32_t in, int padding, int32_t k, int32_t s, int32_t d, uint32_t *before, uint32_t *after) {
  if (k < 1 || s < 1 || d < 1 || k > 65536 || s > 65536 || d > 65536) return false;
  int64_t out = ((int64_t)in + s - 1) / s, all = (out - 1) * s + ((int64_t)k - 1) * d + 1 - in;
  *before = *after = 0;
  if (padding == 0 && all > 0) {
    *before = (uint32_t)all / 2;
    *after = (uint32_t)all - *before;
  }
  return padding == 0 || padding == 1;
}

static qv_status set_window(reader *r, qv_fnode *n, int32_t kh, int32_t kw, int padding, int32_t sh, int32_t sw, int32_t dh, int32_t dw) {
  const qv_ftensor *x = &r->g->tensor[n->in[0]];
  if (!axis_window(x->dim[2], padding, kh, sh, dh, &n->pt, &n->pb) || !axis_window(x->dim[3], padding, kw, sw, dw, &n->pl, &n->pr))
    return FAIL(r, QV_E_PARSE, "impossible window");
  n->kh = (uint32_t)kh, n->kw = (uint32_t)kw, n->sh = (uint32_t)sh, n->sw = (uint32_t)sw, n->dh = (uint32_t)dh, n->dw = (uint32_t)dw;
  return QV_OK;
}

static qv_status bias(reader *r, qv_fnode *n, uint32_t oc) {
  int32_t k = tfl_in(&r->m, r->op, 2);
  n->n_in = 2;
  if (k < 0) return QV_OK;
  const float *b = constant(r, k);
  if (b == NULL) return r->err->code;
  if (elems(&r->m.tensor[k]) != oc) return FAIL(r, QV_E_PARSE, "a bias of another size");
  float *copy = QV_NEW(&r->g->arena, oc, float);
  if (copy == NULL) return NOMEM(r);
  memcpy(copy, b, oc * sizeof *b);
  n->in[2] = qv_fgraph_tensor(r->g, r->m.tensor[k].name, 1, &oc, copy);
  n->n_in = 3;
  return n->in[2] == QV_NONE ? NOMEM(r) : QV_OK;
}

static qv_status do_conv(reader *r) {
  bool depthwise = r->op->code == TFL_DEPTHWISE_CONV_2D;
  qv_fnode n = {.op = QF_CONV, .groups = 1};
  int32_t k = tfl_in(&r->m, r->op, 1);
  const float *w = constant(r, k);
  if (w == NULL || (n.in[0] = operand(r, 0, true)) == QV_NONE) return r->err->code;
  const tfl_tensor *t = &r->m.tensor[k];
  if (t->rank != 4) return FAIL(r, QV_E_PARSE, "weights of rank %u", t->rank);
  uint32_t h = (uint32_t)t->dim[1], wd = (uint32_t)t->dim[2], c = (uint32_t)t->dim[3];
  uint32_t oc = depthwise ? c : (uint32_t)t->dim[0], ic = depthwise ? 1 : c, dim[4] = {oc, ic, h, wd};
  if (depthwise) n.groups = r->g->tensor[n.in[0]].dim[1];
  else if (ic > 0 && r->g->tensor[n.in[0]].dim[1] % ic == 0) n.groups = r->g->tensor[n.in[0]].dim[1] / ic;
  float *v = QV_NEW(&r->g->arena, elems(t), float);
  if (v == NULL) return NOMEM(r);
  for (uint32_t o = 0; o < oc; o++)
    for (uint32_t i = 0; i < ic; i++)
      for (uint32_t y = 0; y < h; y++)
        for (uint32_t x = 0; x < wd; x++)
          v[((o * ic + i) * h + y) * wd + x] = w[depthwise ? (y * wd + x) * c + o : ((o * h + y) * wd + x) * c + i];
  n.in[1] = qv_fgraph_tensor(r->g, t->name, 4, dim, v);
  if (n.in[1] == QV_NONE) return NOMEM(r);
  unsigned dil = depthwise ? 5 : 4;
  qv_status st = set_window(r, &n, (int32_t)h, (int32_t)wd, opt_i8(r, 0), opt_i32(r, 2, 0), opt_i32(r, 1, 0), opt_i32(r, dil + 1, 1), opt_i32(r, dil, 1));
  if (st == QV_OK) st = bias(r, &n, oc);
  if (st != QV_OK) return st;
  return result(r, activated(r, emit(r, n, ""), opt_i8(r, depthwise ? 4 : 3)), true);
}

static qv_status do_dense(reader *r) {
  qv_fnode n = {.op = QF_GEMM}, flat = {.op = QF_RESHAPE, .n_in = 1, .axis = 2};
  int32_t k = tfl_in(&r->m, r->op, 1);
  const float *w = constant(r, k);
  if (w == NULL || (n.in[0] = operand(r, 0, false)) == QV_NONE) return r->err->code;
  const tfl_tensor *t = &r->m.tensor[k];
  if (t->rank != 2) return FAIL(r, QV_E_PARSE, "weights of rank %u", t->rank);
  uint32_t dim[2] = {(uint32_t)t->dim[0], (uint32_t)t->dim[1]};
  const qv_ftensor *x = &r->g->tensor[n.in[0]];
  if (x->rank != 2 || x->dim[1] != dim[1]) { /* rows of as many features as the weights have */
    size_t all = qv_felems(x);
    if (dim[1] == 0 || all % dim[1] != 0) return FAIL(r, QV_E_PARSE, "%zu inputs for weights of %u columns", all, dim[1]);
    flat.in[0] = n.in[0];
    flat.perm[0] = (uint32_t)(all / dim[1]), flat.perm[1] = dim[1];
    if ((n.in[0] = emit(r, flat, "/rows")) == QV_NONE) return r->err->code;
  }
  float *copy = QV_NEW(&r->g->arena, elems(t), float);
  if (copy == NULL) return NOMEM(r);
  memcpy(copy, w, elems(t) * sizeof *w);
  n.in[1] = qv_fgraph_tensor(r->g, t->name, 2, dim, copy);
  if (n.in[1] == QV_NONE) return NOMEM(r);
  qv_status st = bias(r, &n, dim[0]);
  if (st != QV_OK) return st;
  return result(r, activated(r, emit(r, n, ""), opt_i8(r, 0)), false);
}

static qv_status do_pool(reader *r) {
  qv_fnode n = {.op = r->op->code == TFL_MAX_POOL_2D ? QF_MAXPOOL : QF_AVGPOOL, .n_in = 1, .groups = 1};
  if ((n.in[0] = operand(r, 0, true)) == QV_NONE) return r->err->code;
  qv_status st = set_window(r, &n, opt_i32(r, 4, 0), opt_i32(r, 3, 0), opt_i8(r, 0), opt_i32(r, 2, 0), opt_i32(r, 1, 0), 1, 1);
  return st == QV_OK ? result(r, activated(r, emit(r, n, ""), opt_i8(r, 5)), true) : st;
}

static qv_status do_mean(reader *r) {
  qv_fnode n = {.op = QF_MEAN, .n_in = 1}, flat = {.op = QF_RESHAPE, .n_in = 1, .axis = 2};
  bool keep = qv_fb_bool(&r->m.fb, &r->op->opt, 0, false);
  int64_t axes[4];
  uint32_t k;
  qv_status st = ints(r, tfl_in(&r->m, r->op, 1), axes, 4, &k);
  if (st != QV_OK) return st;
  if (k != 2 || axes[0] + axes[1] != 3 || axes[0] * axes[1] != 2) return FAIL(r, QV_E_UNSUP, "only the mean over both spatial dimensions of an image");
  if ((n.in[0] = operand(r, 0, true)) == QV_NONE) return r->err->code;
  uint32_t t = emit(r, n, keep ? "" : "/mean");
  if (keep || t == QV_NONE) return result(r, t, true);
  flat.in[0] = t;
  flat.perm[0] = r->g->tensor[t].dim[0], flat.perm[1] = r->g->tensor[t].dim[1];
  return result(r, emit(r, flat, ""), false);
}

/* x * s + t with constants that vary along the last dimension at most, or one value. */
static qv_status with_constant(reader *r, uint32_t k, const float *c, uint32_t n_c) {
  int32_t i = tfl_in(&r->m, r->op, k);
  bool nchw = i >= 0 && r->val[i].nchw;
  uint32_t x = operand(r, k, nchw);
  if (x == QV_NONE) return r->err->code;
  const qv_ftensor *t = &r->g->tensor[x];
  uint32_t axis = nchw ? 1 : t->rank - 1;
  if (t->rank == 0 || (n_c != 1 && n_c != t->dim[axis])) return FAIL(r, QV_E_UNSUP, "a constant operand that varies along more than the channels");
  uint32_t n = t->dim[axis];
  float *s = QV_NEW(&r->g->arena, n, float), *b = QV_NEW(&r->g->arena, n, float);
  if (s == NULL || b == NULL) return NOMEM(r);
  for (uint32_t e = 0; e < n; e++) {
    float v = c[n_c == 1 ? 0 : e];
    s[e] = r->op->code == TFL_MUL ? v : r->op->code == TFL_SUB && k == 1 ? -1 : 1;
    b[e] = r->op->code == TFL_MUL ? 0 : r->op->code == TFL_SUB && k == 0 ? -v : v;
  }
  qv_fnode f = {.op = QF_CHANNEL, .n_in = 3, .axis = axis};
  f.in[0] = x;
  f.in[1] = qv_fgraph_tensor(r->g, "scale", 1, &n, s);
  f.in[2] = qv_fgraph_tensor(r->g, "shift", 1, &n, b);
  if (f.in[1] == QV_NONE || f.in[2] == QV_NONE) return NOMEM(r);
  return result(r, activated(r, emit(r, f, ""), opt_i8(r, 0)), nchw);
}

static qv_status do_binary(reader *r) {
  int32_t a = tfl_in(&r->m, r->op, 0), b = tfl_in(&r->m, r->op, 1);
  if (a < 0 || b < 0) return FAIL(r, QV_E_PARSE, "an operand is missing");
  if (r->val[a].t == QV_NONE || r->val[b].t == QV_NONE) {
    uint32_t k = r->val[a].t == QV_NONE;
    int32_t ck = k == 1 ? a : b;
    const float *c = constant(r, ck);
    return c == NULL ? r->err->code : with_constant(r, k, c, elems(&r->m.tensor[ck]));
  }
  if (r->op->code == TFL_SUB) return FAIL(r, QV_E_UNSUP, "the difference of two computed tensors");
  qv_fnode n = {.op = r->op->code == TFL_ADD ? QF_ADD : QF_MUL, .n_in = 2};
  bool nchw = r->val[a].nchw && r->g->tensor[r->val[a].t].rank == 4 && r->g->tensor[r->val[b].t].rank == 4;
  if ((n.in[0] = operand(r, 0, nchw)) == QV_NONE || (n.in[1] = operand(r, 1, nchw)) == QV_NONE) return r->err->code;
  return result(r, activated(r, emit(r, n, ""), opt_i8(r, 0)), nchw);
}

static qv_status do_unary(reader *r) {
  qv_fnode n = {.n_in = 1, .lo = 0, .hi = INFINITY};
  int32_t i = tfl_in(&r->m, r->op, 0);
  bool nchw = i >= 0 && r->val[i].nchw;
  switch (r->op->code) {
  case TFL_RELU: n.op = QF_CLIP; break;
  case TFL_RELU6: n.op = QF_CLIP, n.hi = 6; break;
  case TFL_RELU_N1_TO_1: n.op = QF_CLIP, n.lo = -1, n.hi = 1; break;
  case TFL_LEAKY_RELU: n.op = QF_LEAKY, n.alpha = qv_fb_f32(&r->m.fb, &r->op->opt, 0, 0); break;
  case TFL_LOGISTIC: n.op = QF_SIGMOID; break;
  case TFL_TANH: n.op = QF_TANH; break;
  default:
    n.op = QF_SOFTMAX, nchw = false;
    if (qv_fb_f32(&r->m.fb, &r->op->opt, 0, 1) != 1) return FAIL(r, QV_E_UNSUP, "beta other than 1");
  }
  if ((n.in[0] = operand(r, 0, nchw)) == QV_NONE) return r->err->code;
  return result(r, emit(r, n, ""), nchw);
}

static qv_status do_reshape(reader *r) {
  qv_fnode n = {.op = QF_RESHAPE, .n_in = 1};
  int32_t y = tfl_out(&r->m, r->op, 0);
  if (y < 0 || (n.in[0] = operand(r, 0, false)) == QV_NONE) return y < 0 ? FAIL(r, QV_E_PARSE, "no result") : r->err->code;
  const tfl_tensor *t = &r->m.tensor[y];
  n.axis = t->rank;
  for (uint32_t d = 0; d < t->rank; d++) n.perm[d] = (uint32_t)t->dim[d];
  return result(r, emit(r, n, ""), false);
}

static qv_status do_transpose(reader *r) {
  qv_fnode n = {.op = QF_TRANSPOSE, .n_in = 1};
  int64_t p[QV_MAX_RANK];
  uint32_t k;
  qv_status st = ints(r, tfl_in(&r->m, r->op, 1), p, QV_MAX_RANK, &k);
  if (st != QV_OK) return st;
  if ((n.in[0] = operand(r, 0, false)) == QV_NONE) return r->err->code;
  for (uint32_t d = 0; d < k; d++) n.perm[d] = (uint32_t)p[d];
  if (k != r->g->tensor[n.in[0]].rank) return FAIL(r, QV_E_PARSE, "%u dimensions", k);
  return result(r, emit(r, n, ""), false);
}

static qv_status do_pad(reader *r) {
  static const uint32_t nchw[4] = {0, 2, 3, 1}; /* dimension of NCHW that a dimension of NHWC is */
  qv_fnode n = {.op = QF_PAD, .n_in = 1};
  int64_t p[2 * QV_MAX_RANK];
  uint32_t k;
  qv_status st = ints(r, tfl_in(&r->m, r->op, 1), p, 2 * QV_MAX_RANK, &k);
  if (st != QV_OK) return st;
  if (k != 8 || r->op->code != TFL_PAD) return FAIL(r, QV_E_UNSUP, "only zeros around an image");
  if ((n.in[0] = operand(r, 0, true)) == QV_NONE) return r->err->code;
  for (uint32_t d = 0; d < 4; d++)
    for (uint32_t side = 0; side < 2; side++) {
      if (p[2 * d + side] < 0 || p[2 * d + side] > 65535) return FAIL(r, QV_E_PARSE, "a pad of %lld", (long long)p[2 * d + side]);
      n.pad[(d == 0 ? 0 : d == 3 ? 1 : nchw[d]) + 4 * side] = (uint32_t)p[2 * d + side];
    }
  return result(r, emit(r, n, ""), true);
}

static qv_status do_concat(reader *r) {
  static const uint32_t nchw[4] = {0, 2, 3, 1};
  qv_fnode n = {.op = QF_CONCAT, .n_in = r->op->in.n};
  int32_t first = tfl_in(&r->m, r->op, 0);
  if (n.n_in == 0 || n.n_in > QF_MAX_IN || first < 0) return FAIL(r, QV_E_LIMIT, "%u operands", n.n_in);
  bool image = r->m.tensor[first].rank == 4;
  int32_t axis = opt_i32(r, 0, 0), rank = (int32_t)r->m.tensor[first].rank;
  axis += axis < 0 ? rank : 0;
  if (axis < 1 || axis >= rank) return FAIL(r, QV_E_UNSUP, "axis %d", axis);
  n.axis = image ? (axis == 3 ? 1 : nchw[axis]) : (uint32_t)axis;
  for (uint32_t k = 0; k < n.n_in; k++)
    if ((n.in[k] = operand(r, k, image)) == QV_NONE) return r->err->code;
  return result(r, activated(r, emit(r, n, ""), opt_i8(r, 1)), image);
}

/* DEQUANTIZE of a constant: the weights of a model that stores them as integers or halves. */
static qv_status do_dequantize(reader *r) {
  int32_t x = tfl_in(&r->m, r->op, 0), y = tfl_out(&r->m, r->op, 0);
  if (x < 0 || y < 0 || r->m.tensor[x].data == NULL) return FAIL(r, QV_E_UNSUP, "the model is quantized already (give it to qverify as it is)");
  const float *c = constant(r, x);
  if (c == NULL) return r->err->code;
  r->val[y].c = c;
  return QV_OK;
}

static qv_status one_op(reader *r) {
  switch (r->op->code) {
  case TFL_CONV_2D:
  case TFL_DEPTHWISE_CONV_2D: return do_conv(r);
  case TFL_FULLY_CONNECTED: return do_dense(r);
  case TFL_AVERAGE_POOL_2D:
  case TFL_MAX_POOL_2D: return do_pool(r);
  case TFL_MEAN: return do_mean(r);
  case TFL_ADD:
  case TFL_SUB:
  case TFL_MUL: return do_binary(r);
  case TFL_RELU:
  case TFL_RELU6:
  case TFL_RELU_N1_TO_1:
  case TFL_LEAKY_RELU:
  case TFL_LOGISTIC:
  case TFL_TANH:
  case TFL_SOFTMAX: return do_unary(r);
  case TFL_RESHAPE:
  case TFL_SQUEEZE:
  case TFL_EXPAND_DIMS: return do_reshape(r);
  case TFL_TRANSPOSE: return do_transpose(r);
  case TFL_PAD: return do_pad(r);
  case TFL_CONCATENATION: return do_concat(r);
  case TFL_DEQUANTIZE: return do_dequantize(r);
  default: return FAIL(r, QV_E_UNSUP, "this operator is not known to the quantizer");
  }
}

static qv_status read_all(reader *r, const char *name) {
  uint32_t dim[QV_MAX_RANK];
  qv_fgraph *g = r->g;
  if (r->m.in.n != 1 || r->m.out.n != 1) return QV_FAIL(r->err, QV_E_UNSUP, "%s: a network with %u inputs and %u outputs: the quantizer takes one of each", name, r->m.in.n, r->m.out.n);
  for (uint32_t t = 0; t < r->m.n_tensors; t++) r->val[t].t = QV_NONE;
  int32_t in = qv_fb_at_i32(&r->m.fb, &r->m.in, 0), out = qv_fb_at_i32(&r->m.fb, &r->m.out, 0);
  const tfl_tensor *t = &r->m.tensor[in];
  if (t->type != TFL_FLOAT32 || elems(t) == 0) return QV_FAIL(r->err, QV_E_UNSUP, "%s: input \"%s\" is %s: the quantizer starts from a float network", name, t->name, tfl_type_name(t->type));
  for (uint32_t d = 0; d < t->rank; d++) dim[d] = (uint32_t)t->dim[d];
  g->in = qv_fgraph_tensor(g, t->name[0] != 0 ? t->name : "input", t->rank, dim, NULL);
  if (g->in == QV_NONE) return QV_FAIL(r->err, QV_E_NOMEM, "float network");
  r->val[in] = (value){g->in, false, NULL};
  for (uint32_t k = 0; k < r->m.n_ops; k++) {
    r->op = &r->m.op[k];
    r->number = k;
    if (tfl_out(&r->m, r->op, 0) < 0) return FAIL(r, QV_E_PARSE, "no result");
    (void)snprintf(r->name, sizeof r->name, "%s_%u", r->op->name, k);
    qv_status st = one_op(r);
    if (st == QV_OK && r->m.fb.bad) st = QV_E_PARSE;
    if (st != QV_OK) return st;
  }
  value *v = &r->val[out];
  if (v->t == QV_NONE) return QV_FAIL(r->err, QV_E_PARSE, "%s: output \"%s\" is not computed", name, r->m.tensor[out].name);
  if (v->nchw && g->tensor[v->t].rank == 4) {
    static const uint32_t to_nhwc[4] = {0, 2, 3, 1};
    if ((v->t = permuted(r, v->t, to_nhwc, "/nhwc")) == QV_NONE) return r->err->code;
  }
  g->out = v->t;
  return QV_OK;
}

qv_status qv_fgraph_tflite(qv_fgraph *g, const void *data, size_t n, const char *name, qv_err *err) {
  reader r = {.g = g, .err = err};
  qv_status st = tfl_model_read(&r.m, data, n, name, err);
  if (st == QV_OK && (r.val = calloc((size_t)r.m.n_tensors + 1, sizeof *r.val)) == NULL) st = QV_FAIL(err, QV_E_NOMEM, "float network");
  if (st == QV_OK) st = read_all(&r, name);
  free(r.val);
  tfl_model_clear(&r.m);
  return st;
}
