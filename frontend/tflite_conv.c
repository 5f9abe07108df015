/* CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED: one AFFINE and one STEP (docs/semantics.md, TFLite kernels). */
#include <math.h>
#include <string.h>

#include "frontend/tflite_lower.h"

#define MAX_WINDOW 4096 /* kernel size, stride, dilation: keeps what a small file can ask for small */

/* One such operator after its options and shapes have been understood. */
typedef struct {
  int32_t x, w, b, y; /* file tensors; b = -1: no bias */
  qv_window win;
  tl_shape out;
  int act;
  int32_t wdim; /* dimension of w that holds the output channels */
  bool depthwise, fc;
} gemm;

/* ---- which kernel ------------------------------------------------------------------------------------------------------ */

static qv_status pick_case(tl *L, const gemm *g, qv_gemm_case *c) {
  int x = tl_tensor(L, g->x)->type, w = tl_tensor(L, g->w)->type;
  bool pc = tl_tensor(L, g->w)->scale.n > 1;
  int bias = g->b < 0 ? TFL_INT64 : tl_tensor(L, g->b)->type;
  if (tfl_is_float(x) && (w == TFL_INT8 || w == TFL_UINT8 || w == TFL_INT4))
    return TL_UNSUP(L, g->w, "hybrid operator: integer weights with float activations; only integer activations are supported");
  qv_status st = tl_want_int(L, g->x, false);
  if (st != QV_OK) return st;
  if (tl_tensor(L, g->y)->type != x) return TL_UNSUP(L, g->y, "the result's type must be the input's (%s)", tfl_type_name(x));
  if (x == TFL_UINT8 && w == TFL_UINT8) *c = g->fc ? QV_GEMM_FC_U8 : g->depthwise ? QV_GEMM_DW_U8 : QV_GEMM_CONV_U8;
  else if (x == TFL_INT8 && w == TFL_INT4)
    *c = g->fc ? (pc ? QV_GEMM_FC_I4_PC : QV_GEMM_FC_I4) : g->depthwise ? QV_GEMM_DW_I4 : QV_GEMM_CONV_I4;
  else if (x == TFL_INT8 && w == TFL_INT8)
    *c = g->fc               ? (pc ? QV_GEMM_FC_PC : QV_GEMM_FC_I8)
         : g->depthwise      ? QV_GEMM_DW_I8
         : g->win.groups > 1 ? QV_GEMM_CONV_GROUP
                             : QV_GEMM_CONV_I8;
  else if (x == TFL_INT16 && w == TFL_INT8 && bias == TFL_INT32)
    *c = g->fc ? QV_GEMM_FC_16_32 : g->depthwise ? QV_GEMM_DW_16_32 : QV_GEMM_CONV_16_32;
  else if (x == TFL_INT16 && w == TFL_INT8)
    *c = g->fc ? (pc ? QV_GEMM_FC_16_64_PC : QV_GEMM_FC_16_64) : g->depthwise ? QV_GEMM_DW_16_64 : QV_GEMM_CONV_16_64;
  else
    return TL_UNSUP(
        L, g->w, "weights %s with activations %s are not supported; supported: INT8 or INT4 with INT8, INT8 with INT16, UINT8 with UINT8",
        tfl_type_name(w), tfl_type_name(x));
  if (g->win.groups > 1 && !g->depthwise && *c != QV_GEMM_CONV_GROUP && !L->prof->reference)
    return TL_UNSUP(L, g->w, "%s with groups: the arithmetic under profile %s is not known", qv_gemm_case_name(*c), L->prof->name);
  if (!L->prof->gemm[*c].ok)
    return TL_UNSUP(L, g->w, "%s: the arithmetic under profile %s is not known (or that runtime refuses it)", qv_gemm_case_name(*c),
                    L->prof->name);
  if (g->b >= 0 || *c == QV_GEMM_DW_16_64) return QV_OK;
  if (!g->fc && L->prof->conv_needs_bias) return TL_UNSUP(L, g->w, "without a bias: the runtime of profile %s refuses it", L->prof->name);
  if (x == TFL_INT16) return TL_UNSUP(L, g->w, "int16 without a bias: versions of the runtime of profile %s differ", L->prof->name);
  return QV_OK;
}

static bool wide_acc(qv_gemm_case c) {
  return c == QV_GEMM_CONV_16_64 || c == QV_GEMM_DW_16_64 || c == QV_GEMM_FC_16_64 || c == QV_GEMM_FC_16_64_PC;
}

/* ---- weights and bias -------------------------------------------------------------------------------------------------- */

/* [kh][kw][oc] to [oc][kh][kw][1]. */
static const int32_t *by_channel(tl *L, const int32_t *w, const qv_window *g) {
  size_t taps = (size_t)g->kh * g->kw;
  int32_t *r = TL_NEW(L, taps * g->oc, int32_t);
  if (r == NULL) return NULL;
  for (size_t k = 0; k < taps; k++)
    for (size_t o = 0; o < g->oc; o++) r[o * taps + k] = w[k * g->oc + o];
  return r;
}

static qv_status weights(tl *L, const gemm *g, qv_affine *a) {
  qv_status st;
  size_t n;
  const tfl_tensor *w = tl_tensor(L, g->w);
  if (w->data == NULL) return TL_UNSUP(L, g->w, "the weights are computed by the network; only constant weights are supported");
  QV_TRY(tl_elements(L, g->w, &a->w, &n));
  if (g->depthwise && (a->w = by_channel(L, a->w, &g->win)) == NULL) return tl_nomem(L);
  if (w->custom_q) return TL_UNSUP(L, g->w, "custom quantization is not supported");
  if (w->scale.n == 0) return TL_PARSE(L, g->w, "the weights have no quantization scale");
  if (w->scale.n > 1 && (w->scale.n != g->win.oc || w->qdim != g->wdim))
    return TL_PARSE(L, g->w, "%u scales along dimension %d do not fit %u output channels in dimension %d", w->scale.n, w->qdim, g->win.oc,
                    g->wdim);
  int32_t *zp = TL_NEW(L, 1, int32_t);
  if (zp == NULL) return tl_nomem(L);
  a->n_w_zp = 1;
  a->w_zp = zp;
  for (uint32_t c = 0; c < w->scale.n; c++) {
    int64_t z = tfl_zp(L->m, w, c);
    if (!(tfl_scale(L->m, w, c) > 0)) return TL_PARSE(L, g->w, "the quantization scale of channel %u is zero", c);
    if (w->type == TFL_UINT8 && (z < 0 || z > 255)) return TL_PARSE(L, g->w, "zero point %lld is outside the type's range", (long long)z);
    if (w->type == TFL_UINT8 || (g->fc && w->scale.n == 1 && w->type == TFL_INT8 && z >= INT8_MIN && z <= INT8_MAX)) zp[0] = (int32_t)z;
    else if (z != 0) return TL_UNSUP(L, g->w, "weight zero point %lld; the kernels of this operator assume 0", (long long)z);
  }
  if (w->type == TFL_UINT8 && w->scale.n > 1) return TL_UNSUP(L, g->w, "UINT8 weights with per-channel scales");
done:
  return st;
}

static qv_status bias(tl *L, const gemm *g, qv_affine *a) {
  uint32_t oc = g->win.oc;
  int64_t *b = TL_NEW(L, oc, int64_t);
  if (b == NULL) return tl_nomem(L);
  a->b = b;
  if (g->b < 0) return QV_OK;
  const tfl_tensor *t = tl_tensor(L, g->b);
  if (t->type != TFL_INT32 && !(t->type == TFL_INT64 && tl_tensor(L, g->x)->type == TFL_INT16))
    return TL_UNSUP(L, g->b, "the bias must be INT32 (or INT64 with INT16 activations)");
  if (t->data == NULL)
    return tl_val(L, g->b)->state == TL_UNSET ? TL_PARSE(L, g->b, "the bias has no data")
                                              : TL_UNSUP(L, g->b, "the bias is computed by the network; it must be constant");
  if (t->sparse) return TL_UNSUP(L, g->b, "sparse tensors are not supported");
  size_t size = t->type == TFL_INT32 ? 4 : 8;
  if (t->n_data != oc * size) return TL_PARSE(L, g->b, "%zu bias values for %u output channels", t->n_data / size, oc);
  for (size_t o = 0; o < oc; o++) b[o] = size == 4 ? (int32_t)qv_le32(t->data + 4 * o) : (int64_t)qv_le64(t->data + 8 * o);
  return QV_OK;
}

/* ---- requantization ---------------------------------------------------------------------------------------------------- */

/* Kernels that fold one scale for all channels refuse a bias whose scale is not s_x*s_w (kernel_util.cc,
 * GetQuantizedConvolutionMultipler). */
static qv_status check_bias_scale(tl *L, const gemm *g, tl_quant x, float s_w, tl_quant y) {
  if (g->b < 0) return QV_OK;
  const tfl_tensor *b = tl_tensor(L, g->b);
  double s_b = b->scale.n > 0 ? (double)tfl_scale(L->m, b, 0) : 0;
  if (fabs((double)x.s * (double)s_w - s_b) / (double)y.s > 0.02)
    return TL_PARSE(L, g->b, "the bias scale %g is not input scale times weight scale %g", s_b, (double)x.s * (double)s_w);
  return QV_OK;
}

/* Last `rest` channels of a vectorised kernel use the scalar function: one parameter set per channel then. */
static qv_status gemm_pars(tl *L, const gemm *g, qv_gemm_case c, tl_quant x, tl_quant y, qv_step *s) {
  qv_gemm_form f = L->prof->gemm[c];
  const tfl_tensor *w = tl_tensor(L, g->w);
  uint32_t oc = g->win.oc, simd = c == QV_GEMM_DW_I8 && L->prof->dw_simd != 0 ? oc / L->prof->dw_simd * L->prof->dw_simd : oc;
  s->n_par = w->scale.n > 1 || (simd != 0 && simd != oc) ? oc : 1;
  s->inner = 1;
  qv_rq_par *par = TL_NEW(L, s->n_par, qv_rq_par);
  if (par == NULL) return tl_nomem(L);
  for (uint32_t o = 0; o < s->n_par; o++) {
    double M = qv_real_multiplier(f.mult, x.s, tfl_scale(L->m, w, w->scale.n > 1 ? o : 0), y.s);
    if (f.rq == QV_RQ_F32 && !(M >= 0x1p-32 && M < 256.0))
      return TL_UNSUP(L, g->w, "multiplier %g of channel %u is outside [2^-32, 256), which profile %s needs", M, o, L->prof->name);
    qv_status st = tl_factor(L, g->w, M);
    if (st != QV_OK) return st;
    par[o] = qv_rq_params(o < simd ? f.rq : L->prof->rescale, M, L->prof->cap30);
  }
  s->par = par;
  return QV_OK;
}

static qv_status finish(tl *L, const gemm *g) {
  qv_status st;
  qv_gemm_case c = QV_GEMM_CASES;
  tl_quant x, y;
  uint32_t in, acc;
  qv_affine a = {.win = g->win};
  qv_step s = {0};
  qv_itv r;
  QV_TRY(pick_case(L, g, &c));
  QV_TRY(tl_quant_of(L, g->x, &x));
  QV_TRY(tl_quant_of(L, g->y, &y));
  QV_TRY(tl_net_of(L, g->x, &in));
  QV_TRY(weights(L, g, &a));
  QV_TRY(bias(L, g, &a));
  if (L->prof->gemm[c].mult == QV_MULT_F32PROD) QV_TRY(check_bias_scale(L, g, x, tfl_scale(L->m, tl_tensor(L, g->w), 0), y));
  a.x_zp = x.z;
  a.acc = wide_acc(c) ? L->prof->acc64 : L->prof->acc32;
  QV_TRY(gemm_pars(L, g, c, x, y, &s));
  QV_TRY(tl_act_range(L, g->y, y, g->act, &r));
  s.out_zp = y.z;
  s.lo = r.lo;
  s.hi = r.hi;
  QV_TRY(tl_add_temp(L, g->y, "/acc", wide_acc(c) ? QV_I64 : QV_I32, &g->out, &acc));
  QV_TRY(tl_add_node(L, &(qv_node){.kind = QV_AFFINE, .u.affine = a}, in, acc));
  QV_TRY(tl_add_step(L, &s, acc, g->y, &g->out));
done:
  return st;
}

/* ---- shapes ------------------------------------------------------------------------------------------------------------ */

static qv_status operands(tl *L, gemm *g) {
  qv_status st;
  QV_TRY(tl_arg(L, 0, &g->x));
  QV_TRY(tl_arg(L, 1, &g->w));
  g->b = tfl_in(L->m, L->op, 2);
  QV_TRY(tl_res(L, 0, &g->y));
done:
  return st;
}

qv_status tl_window_axis(tl *L, int padding, uint32_t in, int32_t k, int32_t stride, int32_t dil, uint32_t *out, uint32_t *before) {
  if (padding != 0 && padding != 1) return TL_PARSE(L, -1, "padding mode %d does not exist", padding);
  if (stride < 1 || dil < 1 || k < 1) return TL_PARSE(L, -1, "a stride, dilation or kernel size is below 1");
  if (stride > MAX_WINDOW || dil > MAX_WINDOW || k > MAX_WINDOW)
    return TL_UNSUP(L, -1, "a stride, dilation or kernel size is above %d", MAX_WINDOW);
  int64_t span = ((int64_t)k - 1) * dil + 1, o, total;
  o = padding == 0 ? ((int64_t)in + stride - 1) / stride : ((int64_t)in - span + stride) / stride;
  if (o < 1 || (padding == 1 && in < span)) return TL_PARSE(L, -1, "the kernel does not fit into the image");
  total = (o - 1) * stride + span - in;
  *out = (uint32_t)o; /* <= in + stride */
  *before = total > 0 && padding == 0 ? (uint32_t)qv_min64(total / 2, (int64_t)QV_MAX_ELEMS) : 0;
  return QV_OK;
}

/* Fields shared by the options of both convolutions start at these numbers. */
static qv_status conv_window(tl *L, gemm *g, unsigned act, unsigned dil, const tl_shape *x, const tl_shape *w) {
  qv_status st;
  int pad = tl_opt_i8(L, 0, 0);
  int32_t sw = tl_opt_i32(L, 1, 0), sh = tl_opt_i32(L, 2, 0), dw = tl_opt_i32(L, dil, 1), dh = tl_opt_i32(L, dil + 1, 1);
  g->act = tl_opt_i8(L, act, 0);
  QV_TRY(tl_opts_ok(L));
  qv_window *v = &g->win;
  *v = (qv_window){.n = x->dim[0],
                   .ih = x->dim[1],
                   .iw = x->dim[2],
                   .ic = x->dim[3],
                   .kh = w->dim[1],
                   .kw = w->dim[2],
                   .sh = (uint32_t)sh,
                   .sw = (uint32_t)sw,
                   .dh = (uint32_t)dh,
                   .dw = (uint32_t)dw};
  QV_TRY(tl_window_axis(L, pad, v->ih, (int32_t)v->kh, sh, dh, &v->oh, &v->pt));
  QV_TRY(tl_window_axis(L, pad, v->iw, (int32_t)v->kw, sw, dw, &v->ow, &v->pl));
done:
  return st;
}

static qv_status conv_shapes(tl *L, const gemm *g, tl_shape *x, tl_shape *w) {
  size_t n;
  *x = tl_shape_of(L, g->x);
  *w = tl_shape_of(L, g->w);
  if (x->rank != 4 || !tl_count(x, &n)) return TL_PARSE(L, g->x, "the input must have 4 dimensions, none of them 0");
  if (w->rank != 4 || !tl_count(w, &n)) return TL_PARSE(L, g->w, "the weights must have 4 dimensions, none of them 0");
  return QV_OK;
}

static qv_status conv_result(tl *L, gemm *g) {
  const qv_window *v = &g->win;
  tl_shape computed = {.rank = 4, .dim = {v->n, v->oh, v->ow, v->oc}};
  return tl_out_shape(L, g->y, &computed, &g->out);
}

qv_status tl_conv_2d(tl *L) {
  qv_status st;
  gemm g = {0};
  tl_shape x, w;
  QV_TRY(operands(L, &g));
  QV_TRY(conv_shapes(L, &g, &x, &w));
  QV_TRY(conv_window(L, &g, 3, 4, &x, &w));
  if (x.dim[3] % w.dim[3] != 0 || w.dim[0] % (x.dim[3] / w.dim[3]) != 0)
    return TL_PARSE(L, g.w, "weights for %u input and %u output channels do not fit %u input channels", w.dim[3], w.dim[0], x.dim[3]);
  g.win.oc = w.dim[0];
  g.win.groups = x.dim[3] / w.dim[3];
  QV_TRY(conv_result(L, &g));
  QV_TRY(finish(L, &g));
done:
  return st;
}

qv_status tl_depthwise(tl *L) {
  qv_status st;
  gemm g = {.depthwise = true, .wdim = 3};
  tl_shape x, w;
  QV_TRY(operands(L, &g));
  QV_TRY(conv_shapes(L, &g, &x, &w));
  QV_TRY(conv_window(L, &g, 4, 5, &x, &w));
  if (w.dim[0] != 1 || w.dim[3] % x.dim[3] != 0)
    return TL_PARSE(L, g.w, "depthwise weights [%u,...,%u] do not fit %u input channels", w.dim[0], w.dim[3], x.dim[3]);
  int32_t mult = tl_opt_i32(L, 3, 0);
  if (mult != 0 && (uint32_t)mult != w.dim[3] / x.dim[3])
    return TL_PARSE(L, g.w, "depth multiplier %d, but the shapes give %u", mult, w.dim[3] / x.dim[3]);
  g.win.oc = w.dim[3];
  g.win.groups = x.dim[3];
  QV_TRY(conv_result(L, &g));
  QV_TRY(finish(L, &g));
done:
  return st;
}

qv_status tl_fully_connected(tl *L) {
  qv_status st;
  gemm g = {.fc = true};
  size_t n;
  QV_TRY(operands(L, &g));
  tl_shape x = tl_shape_of(L, g.x), w = tl_shape_of(L, g.w), computed = {0};
  if (!tl_count(&x, &n)) return TL_PARSE(L, g.x, "the input is empty or too large");
  size_t nw;
  if (w.rank != 2 || !tl_count(&w, &nw)) return TL_PARSE(L, g.w, "the weights must have 2 dimensions, none of them 0");
  if (n % w.dim[1] != 0) return TL_PARSE(L, g.w, "weights for %u inputs do not fit %zu input values", w.dim[1], n);
  g.act = tl_opt_i8(L, 0, 0);
  int format = tl_opt_i8(L, 1, 0);
  bool keep = tl_opt_bool(L, 2, false);
  QV_TRY(tl_opts_ok(L));
  if (format != 0) return TL_UNSUP(L, g.w, "shuffled weights are not supported");
  uint32_t batch = (uint32_t)(n / w.dim[1]);
  g.win = (qv_window){.n = batch,
                      .ih = 1,
                      .iw = 1,
                      .ic = w.dim[1],
                      .oh = 1,
                      .ow = 1,
                      .oc = w.dim[0],
                      .kh = 1,
                      .kw = 1,
                      .sh = 1,
                      .sw = 1,
                      .dh = 1,
                      .dw = 1,
                      .groups = 1};
  if (keep) {
    if (x.rank == 0 || x.dim[x.rank - 1] != w.dim[1])
      return TL_PARSE(L, g.x, "the last dimension does not fit weights for %u inputs", w.dim[1]);
    computed = x;
    computed.dim[x.rank - 1] = w.dim[0];
  } else {
    computed = (tl_shape){.rank = 2, .dim = {batch, w.dim[0]}};
  }
  QV_TRY(tl_out_shape(L, g.y, &computed, &g.out));
  QV_TRY(finish(L, &g));
done:
  return st;
}
