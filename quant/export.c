#include "quant/export.h"

#include <math.h>
#include <string.h>

#include "quant/onnx_write.h"

typedef struct {
  ow w;
  const qv_quantized *q;
  const qv_fgraph *g;
  const char **value; /* [n_tensors] name of the floats that readers take                    */
  const char **s, **z; /* [n_tensors] names of scale and zero point, of roots                 */
  bool qonnx;
} writer;

#define QONNX "qonnx.custom_op.general"

static int32_t type_of(const writer *x, uint32_t root) {
  bool sign = x->q->opts.symmetric, wide = x->q->a_bits[root] > 8;
  return wide ? (sign ? ONX_INT16 : ONX_UINT16) : (sign ? ONX_INT8 : ONX_UINT8);
}

static const char *node(writer *x, const char *op, const char *base, const char *suffix, uint32_t n_in, const char *const *in) {
  const char *out = ow_name(&x->w, base, suffix);
  (void)ow_node(&x->w, op, out, n_in, in);
  return out;
}

/* Q and DQ behind the floats `v`, with the parameters of `root`. */
static const char *q_dq(writer *x, const char *v, uint32_t root, const char *base) {
  const char *in[3] = {v, x->s[root], x->z[root]};
  in[0] = node(x, "QuantizeLinear", base, "_q", 3, in);
  return node(x, "DequantizeLinear", base, "_dq", 3, in);
}

/* Quant behind the floats v: n scales along dimension 0 of a tensor of this rank. */
static const char *quant(writer *x, const char *base, const char *v, uint32_t rank, uint32_t n, const float *s, int32_t zp, int bits, bool sign) {
  uint32_t dim[QV_MAX_RANK] = {n, 1, 1, 1, 1, 1, 1, 1};
  float z = (float)zp, b = (float)bits;
  const char *in[4] = {v, ow_floats(&x->w, base, n > 1 ? rank : 0, dim, s), ow_floats(&x->w, base, 0, NULL, &z), ow_floats(&x->w, base, 0, NULL, &b)};
  const char *out = ow_name(&x->w, base, "_q");
  Onnx__NodeProto *o = ow_node(&x->w, "Quant", out, 4, in);
  ow_domain(&x->w, o, QONNX);
  ow_attr_i(&x->w, o, "signed", sign);
  ow_attr_i(&x->w, o, "narrow", 0);
  ow_attr_s(&x->w, o, "rounding_mode", "ROUND");
  return out;
}

/* Tensor t, whose floats are called v, becomes what readers take. */
static void done(writer *x, uint32_t t, const char *v) {
  uint32_t root = qv_quant_root(x->g, t);
  const qv_ftensor *f = &x->g->tensor[t];
  x->value[t] = v;
  if (root == QV_NONE) return;
  if (x->qonnx) {
    if (root == t) x->value[t] = quant(x, f->name, v, f->rank, 1, &x->q->q[t].s, x->q->q[t].zp, x->q->a_bits[t], x->q->opts.symmetric);
    return;
  }
  if (root == t) {
    int32_t zp = x->q->q[t].zp;
    x->s[t] = ow_floats(&x->w, f->name, 0, NULL, &x->q->q[t].s);
    x->z[t] = ow_ints(&x->w, f->name, type_of(x, t), 0, NULL, &zp);
  }
  x->value[t] = q_dq(x, v, root, f->name);
  int bits = x->q->a_bits[root];
  if (root != t || bits == 8 || bits == 16) return;
  const qv_fakeq *q = &x->q->q[t];
  float lo = q->s * (float)(q->lo - q->zp), hi = q->s * (float)(q->hi - q->zp);
  const char *in[3] = {x->value[t], ow_floats(&x->w, f->name, 0, NULL, &lo), ow_floats(&x->w, f->name, 0, NULL, &hi)};
  x->value[t] = q_dq(x, node(x, "Clip", f->name, "_narrow", 3, in), root, f->name);
}

/* ---- operators --------------------------------------------------------------------------------------------------------------------- */

static Onnx__NodeProto *emit(writer *x, const qv_fnode *n, const char *op, uint32_t n_in, const char *const *in, const char **out) {
  *out = ow_name(&x->w, x->g->tensor[n->out].name, "");
  return ow_node(&x->w, op, *out, n_in, in);
}

static void window(writer *x, Onnx__NodeProto *o, const qv_fnode *n) {
  const uint32_t k[2] = {n->kh, n->kw}, s[2] = {n->sh, n->sw}, d[2] = {n->dh, n->dw}, p[4] = {n->pt, n->pl, n->pb, n->pr};
  ow_attr_ints(&x->w, o, "kernel_shape", 2, k);
  ow_attr_ints(&x->w, o, "strides", 2, s);
  ow_attr_ints(&x->w, o, "pads", 4, p);
  if (n->dh != 1 || n->dw != 1) ow_attr_ints(&x->w, o, "dilations", 2, d);
}

/* Floats of n codes: value k is s[k / per] (or s[0]) times code k. */
static float *floats_of(writer *x, const int32_t *code, size_t n, size_t per, const float *s, bool each) {
  float *f = QV_NEW(&x->w.arena, n, float);
  if (f == NULL) x->w.failed = true;
  for (size_t i = 0; f != NULL && i < n; i++) f[i] = s[each ? i / per : 0] * (float)code[i];
  return f;
}

#define FLOAT_BIAS (1 << 23) /* a larger multiple of a scale is not rounded to less than half of it */

/* Weights (k = 1) or bias of `linear` as floats behind a Quant. */
static const char *quant_operand(writer *x, const qv_qweights *r, const qv_ftensor *w, int k, const float *bs) {
  uint32_t oc = w->dim[0];
  size_t n = k == 1 ? qv_felems(w) : oc;
  const float *s = k == 1 ? r->s : bs;
  bool each = r->n_s > 1, exact = true;
  float *f = floats_of(x, k == 1 ? r->w : r->b, n, n / oc, s, each);
  if (f == NULL) return "";
  for (size_t i = 0; k == 2 && i < n; i++) exact = exact && r->b[i] > -FLOAT_BIAS && r->b[i] < FLOAT_BIAS;
  const char *v = ow_floats(&x->w, w->name, k == 1 ? w->rank : 1, k == 1 ? w->dim : &oc, f);
  return exact ? quant(x, w->name, v, k == 1 ? w->rank : 1, r->n_s, s, 0, k == 2 ? 32 : x->q->opts.pow2_weights ? 8 : r->bits, true) : v;
}

static const char *linear(writer *x, const qv_fnode *n, const qv_qweights *r) {
  const qv_ftensor *w = &x->g->tensor[n->in[1]];
  uint32_t oc = w->dim[0];
  const char *in[3] = {x->value[n->in[0]], "", ""}, *out;
  bool each = r->n_s > 1;
  float *bs = QV_NEW(&x->w.arena, oc, float);
  int32_t *zero = QV_NEW(&x->w.arena, oc, int32_t);
  if (bs == NULL || zero == NULL) {
    x->w.failed = true;
    return "";
  }
  for (uint32_t o = 0; o < r->n_s; o++) bs[o] = x->q->q[n->in[0]].s * r->s[o];
  for (int k = 1; k <= 2; k++) { /* weights and bias, each behind its DequantizeLinear */
    if (x->qonnx) {
      in[k] = quant_operand(x, r, w, k, bs);
      continue;
    }
    uint32_t rank = k == 1 ? w->rank : 1, one = r->n_s, sr = each ? 1 : 0;
    const uint32_t *dim = k == 1 ? w->dim : &oc;
    const char *base = w->name, *suffix = k == 1 ? "_w" : "_b";
    int32_t type = k == 2 ? ONX_INT32 : r->bits > 8 ? ONX_INT16 : ONX_INT8;
    const char *dq[3] = {ow_ints(&x->w, base, type, rank, dim, k == 1 ? r->w : r->b), ow_floats(&x->w, base, sr, &one, k == 1 ? r->s : bs),
                         ow_ints(&x->w, base, type, sr, &one, zero)};
    in[k] = ow_name(&x->w, base, suffix);
    Onnx__NodeProto *o = ow_node(&x->w, "DequantizeLinear", in[k], 3, dq);
    if (each) ow_attr_i(&x->w, o, "axis", 0);
  }
  Onnx__NodeProto *o = emit(x, n, n->op == QF_CONV ? "Conv" : "Gemm", 3, in, &out);
  if (n->op == QF_CONV) {
    window(x, o, n);
    ow_attr_i(&x->w, o, "group", n->groups);
  } else ow_attr_i(&x->w, o, "transB", 1);
  return out;
}

static const char *clip(writer *x, const qv_fnode *n) {
  const char *in[3] = {x->value[n->in[0]], "", ""}, *out;
  bool relu = !(n->lo < 0) && !(n->lo > 0) && !(n->hi < INFINITY);
  if (!relu && n->lo > -INFINITY) in[1] = ow_floats(&x->w, x->g->tensor[n->out].name, 0, NULL, &n->lo);
  if (!relu && n->hi < INFINITY) in[2] = ow_floats(&x->w, x->g->tensor[n->out].name, 0, NULL, &n->hi);
  (void)emit(x, n, relu ? "Relu" : "Clip", relu ? 1 : 3, in, &out);
  return out;
}

/* Mean over a window that never leaves the image, or counts what is outside as 0: a depthwise convolution with weights 1 at scale
 * 1/taps, because integer convolution is exact in runtimes that average in binary32. */
static const char *average(writer *x, const qv_fnode *n) {
  const qv_ftensor *in_t = &x->g->tensor[n->in[0]];
  qv_fnode c = *n;
  if (n->op == QF_MEAN) {
    c.kh = in_t->dim[2], c.kw = in_t->dim[3];
    c.sh = c.sw = c.dh = c.dw = 1;
  }
  uint32_t dim[4] = {in_t->dim[1], 1, c.kh, c.kw};
  float s = 1 / (float)(c.kh * c.kw);
  int32_t zero = 0, *one = QV_NEW(&x->w.arena, (size_t)dim[0] * c.kh * c.kw, int32_t);
  const char *base = x->g->tensor[n->out].name, *in[2] = {x->value[n->in[0]], ""}, *out;
  if (one == NULL) {
    x->w.failed = true;
    return "";
  }
  for (size_t e = 0; e < (size_t)dim[0] * c.kh * c.kw; e++) one[e] = 1;
  if (x->qonnx) {
    float *f = floats_of(x, one, (size_t)dim[0] * c.kh * c.kw, 1, &s, false);
    in[1] = f != NULL ? quant(x, base, ow_floats(&x->w, base, 4, dim, f), 4, 1, &s, 0, 2, true) : "";
  } else {
    const char *dq[3] = {ow_ints(&x->w, base, ONX_INT8, 4, dim, one), ow_floats(&x->w, base, 0, NULL, &s), ow_ints(&x->w, base, ONX_INT8, 0, NULL, &zero)};
    in[1] = node(x, "DequantizeLinear", base, "_w", 3, dq);
  }
  Onnx__NodeProto *o = emit(x, n, "Conv", 2, in, &out);
  window(x, o, &c);
  ow_attr_i(&x->w, o, "group", dim[0]);
  return out;
}

static bool sums_all(const qv_fnode *n) { return n->op == QF_MEAN || (n->op == QF_AVGPOOL && (n->count_pad || (n->pt | n->pl | n->pb | n->pr) == 0)); }

static const char *with_ints(writer *x, const qv_fnode *n, const char *op, const uint32_t *v, uint32_t k) {
  int32_t *i = QV_NEW(&x->w.arena, k, int32_t);
  const char *in[2] = {x->value[n->in[0]], ""}, *out;
  if (i == NULL) {
    x->w.failed = true;
    return "";
  }
  for (uint32_t d = 0; d < k; d++) i[d] = (int32_t)v[d];
  in[1] = ow_ints(&x->w, x->g->tensor[n->out].name, ONX_INT64, 1, &k, i);
  (void)emit(x, n, op, 2, in, &out);
  return out;
}

static const char *other(writer *x, const qv_fnode *n) {
  const char *in[QF_MAX_IN], *out = "";
  const qv_ftensor *y = &x->g->tensor[n->out];
  uint32_t rank = x->g->tensor[n->in[0]].rank;
  Onnx__NodeProto *o;
  for (uint32_t i = 0; i < n->n_in; i++) in[i] = x->value[n->in[i]];
  switch (n->op) {
  case QF_CONV:
  case QF_GEMM:
  case QF_CHANNEL:
  case QF_MEAN:
  case QF_CLIP: break; /* elsewhere */
  case QF_ADD:
  case QF_MUL:
  case QF_SIGMOID:
  case QF_TANH: (void)emit(x, n, qv_fop_name(n->op), n->n_in, in, &out); break;
  case QF_LEAKY:
    o = emit(x, n, "LeakyRelu", 1, in, &out);
    ow_attr_f(&x->w, o, "alpha", n->alpha);
    break;
  case QF_SOFTMAX:
    o = emit(x, n, "Softmax", 1, in, &out);
    ow_attr_i(&x->w, o, "axis", -1);
    break;
  case QF_MAXPOOL:
  case QF_AVGPOOL:
    o = emit(x, n, n->op == QF_MAXPOOL ? "MaxPool" : "AveragePool", 1, in, &out);
    window(x, o, n);
    if (n->count_pad) ow_attr_i(&x->w, o, "count_include_pad", 1);
    break;
  case QF_CONCAT:
    o = emit(x, n, "Concat", n->n_in, in, &out);
    ow_attr_i(&x->w, o, "axis", n->axis);
    break;
  case QF_RESHAPE: return with_ints(x, n, "Reshape", y->dim, y->rank);
  case QF_TRANSPOSE:
    o = emit(x, n, "Transpose", 1, in, &out);
    ow_attr_ints(&x->w, o, "perm", rank, n->perm);
    break;
  case QF_PAD: return with_ints(x, n, "Pad", n->pad, 2 * rank);
  }
  return out;
}

static qv_status export(qv_buf *out, const qv_quantized *q, bool qonnx, qv_err *err) {
  writer x = {.q = q, .g = q->g, .qonnx = qonnx};
  const qv_fgraph *g = q->g;
  bool wide = false;
  for (uint32_t t = 0; t < g->n_tensors; t++) wide = wide || q->a_bits[t] > 8;
  for (uint32_t k = 0; k < g->n_nodes; k++) wide = wide || q->w[k].bits > 8;
  ow_init(&x.w, "qverify", wide && !qonnx ? 21 : 13, qonnx ? QONNX : NULL);
  x.value = QV_NEW(&x.w.arena, g->n_tensors, const char *);
  x.s = QV_NEW(&x.w.arena, g->n_tensors, const char *);
  x.z = QV_NEW(&x.w.arena, g->n_tensors, const char *);
  if (x.value == NULL || x.s == NULL || x.z == NULL) x.w.failed = true;
  if (!x.w.failed) {
    const qv_ftensor *in = &g->tensor[g->in], *y = &g->tensor[g->out];
    const char *name = ow_name(&x.w, in->name, "");
    ow_port(&x.w, true, name, in->rank, in->dim);
    done(&x, g->in, name);
    for (uint32_t k = 0; k < g->n_nodes && !x.w.failed; k++) {
      const qv_fnode *n = &g->node[k];
      done(&x, n->out, qv_quant_linear(n) ? linear(&x, n, &q->w[k]) : n->op == QF_CLIP ? clip(&x, n) : sums_all(n) ? average(&x, n) : other(&x, n));
    }
    if (!x.w.failed) ow_port(&x.w, false, x.value[g->out], y->rank, y->dim);
  }
  qv_status st = ow_finish(out, &x.w, err);
  ow_clear(&x.w);
  return st;
}

qv_status qv_export_qdq(qv_buf *out, const qv_quantized *q, qv_err *err) { return export(out, q, false, err); }
qv_status qv_export_qonnx(qv_buf *out, const qv_quantized *q, qv_err *err) { return export(out, q, true, err); }
