/* Windows over exact reals: Im2Col, MaxPool, and what pooling operators share. */
#include <string.h>

#include "frontend/onnx_qonnx.h"
#include "frontend/onnx_window.h"

static qv_status int_pair(ox *L, const char *name, uint32_t n, int64_t min, int64_t absent, int64_t *out) {
  const int64_t *v;
  uint32_t have;
  qv_status st = ox_attr_ints(L, name, 4, &v, &have);
  if (st != QV_OK) return st;
  for (uint32_t i = 0; i < n; i++) out[i] = absent;
  if (v == NULL) return absent >= min ? QV_OK : OX_PARSE(L, NULL, "attribute '%s' is missing", name);
  if (have != n) return OX_PARSE(L, NULL, "attribute '%s' has %u values", name, have);
  for (uint32_t i = 0; i < n; i++) {
    if (v[i] < min || v[i] > 1 << 20) return OX_PARSE(L, NULL, "attribute '%s': %lld is out of range", name, (long long)v[i]);
    out[i] = v[i];
  }
  return QV_OK;
}

/* [1,h,w,c] to [1,oh,ow,kh*kw*c]: reshaped to one row with one padding element at its end, gathered, reshaped. */
qv_status qx_im2col(ox *L) {
  qv_status st;
  ox_value *x, *y;
  int64_t k[2], s[2], d[2], p[4], fill, depthwise;
  uint32_t flat, ext, cols, net, in;
  qv_surd v;
  mpz_t z;
  qv_surd_init(&v);
  mpz_init(z);
  QV_TRY(qx_arg(L, 0, &x));
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(int_pair(L, "kernel_size", 2, 1, 0, k));
  QV_TRY(int_pair(L, "stride", 2, 1, 0, s));
  QV_TRY(int_pair(L, "dilations", 2, 1, 1, d));
  QV_TRY(int_pair(L, "pad_amount", 4, 0, 0, p));
  QV_TRY(ox_attr_i(L, "pad_value", 0, &fill));
  QV_TRY(ox_attr_i(L, "depthwise", 0, &depthwise)); /* says how the products are arranged in hardware, not what they are */
  (void)ox_attr(L, "input_shape");
  const qx_real *r = x->real;
  int64_t h = x->shape.dim[1], w = x->shape.dim[2], c = x->shape.dim[3];
  bool ok = x->shape.rank == 4 && x->shape.dim[0] == 1 && r->leaf == QX_NET && r->n == 1 && r->f[0]->n == 1 &&
            qv_surd_sign(&r->f[0]->v[0].a) != 0;
  if (!ok) {
    st = OX_UNSUP(L, x, "Im2Col needs one image [1,h,w,c] of quantized values with one scale");
    goto done;
  }
  int64_t oh = (h + p[0] + p[2] - d[0] * (k[0] - 1) - 1) / s[0] + 1, ow = (w + p[1] + p[3] - d[1] * (k[1] - 1) - 1) / s[1] + 1;
  bool room = h + p[0] + p[2] - d[0] * (k[0] - 1) >= 1 && w + p[1] + p[3] - d[1] * (k[1] - 1) >= 1;
  const ox_shape out = {.rank = 4, .dim = {1, (uint32_t)oh, (uint32_t)ow, (uint32_t)(k[0] * k[1] * c)}};
  size_t n, count;
  if (!room || k[0] * k[1] > (1 << 20) || !ox_count(&out, &n) || !ox_count(&x->shape, &count)) {
    st = OX_UNSUP(L, x, "the kernel does not fit into the image, or the result is too large");
    goto done;
  }
  bool pads = p[0] + p[1] + p[2] + p[3] > 0;
  qv_surd_set_i64(&v, fill);
  ok = qv_surd_sub(&v, &v, &r->f[0]->v[0].b) && qv_surd_div(&v, &v, &r->f[0]->v[0].a) && qv_surd_floor(z, &v) && mpz_fits_sint_p(z);
  if (pads && !ok) {
    st = OX_UNSUP(L, x, "the padding value is not one of the quantized tensor's values");
    goto done;
  }
  int32_t code = pads ? (int32_t)mpz_get_si(z) : 0;
  uint32_t *g = OX_NEW(L, n, uint32_t), at = 0;
  if (g == NULL) {
    st = ox_nomem(L);
    goto done;
  }
  for (int64_t oy = 0; oy < oh; oy++)
    for (int64_t ox_ = 0; ox_ < ow; ox_++)
      for (int64_t ky = 0; ky < k[0]; ky++)
        for (int64_t kx = 0; kx < k[1]; kx++)
          for (int64_t ch = 0; ch < c; ch++) {
            int64_t iy = oy * s[0] + ky * d[0] - p[0], ix = ox_ * s[1] + kx * d[1] - p[1];
            bool in_image = iy >= 0 && iy < h && ix >= 0 && ix < w;
            g[at++] = in_image ? (uint32_t)((iy * w + ix) * c + ch) : (uint32_t)count;
          }
  const ox_shape one = {.rank = 1, .dim = {(uint32_t)count}}, more = {.rank = 1, .dim = {(uint32_t)count + pads}},
                 row = {.rank = 1, .dim = {(uint32_t)n}};
  QV_TRY(qx_plain(L, x, false, &in));
  qv_dtype type = L->net->tensor[in].type;
  int64_t lo = qv_min64(L->net->tensor[in].lo, pads ? code : INT64_MAX), hi = qv_max64(L->net->tensor[in].hi, pads ? code : INT64_MIN);
  QV_TRY(ox_add_tensor(L, y, "/flat", type, &one, &flat));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_RESHAPE}}, &in, 1, flat));
  ext = flat;
  if (pads) {
    QV_TRY(ox_add_tensor(L, y, "/pad", type, &more, &ext));
    QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_PAD, .b = {1}, .value = code}}, &flat, 1, ext));
  }
  QV_TRY(ox_add_tensor(L, y, "/cols", type, &row, &cols));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_GATHER, .axis = 0, .g = g}}, &ext, 1, cols));
  QV_TRY(ox_add_tensor(L, y, "", type, &out, &net));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_RESHAPE}}, &cols, 1, net));
  qx_range(L, net, lo, hi);
  const ox_value moved = {.net = net, .shape = out, .real = r};
  QV_TRY(qx_set(L, y, &moved, (qx_rule){1, 1}, r->f));
done:
  mpz_clear(z);
  qv_surd_clear(&v);
  return st;
}

/* ---- pooling ------------------------------------------------------------------------------------------------------------------------- */

qv_status qx_pool_window(ox *L, ox_value *x, qv_window *w, ox_shape *out) {
  qv_status st;
  const ox_shape *s = &x->shape;
  ox_window_attrs a = {.stride = {1, 1}, .dilation = {1, 1}};
  size_t n;
  if (s->rank != 3 && s->rank != 4) return OX_UNSUP(L, x, "pooling over %d dimensions; supported: 1 and 2", (int)s->rank - 2);
  if (!ox_count(s, &n)) return OX_PARSE(L, x, "the input is empty or too large");
  if (strstr(L->op->op_type, "Global") != NULL) {
    a.kernel[0] = s->rank == 4 ? s->dim[2] : 1;
    a.kernel[1] = s->dim[s->rank - 1];
  } else QV_TRY(ox_window_read(L, s->rank - 2, NULL, &a));
  w->ic = w->oc = w->groups = s->dim[1];
  QV_TRY(ox_window_fit(L, x, &a, w));
  *out = *s;
  if (s->rank == 4) out->dim[2] = w->oh;
  out->dim[s->rank - 1] = w->ow;
done:
  return st;
}

qv_status qx_pool_rule(ox *L, const ox_value *x, const ox_shape *s, qx_rule *r) {
  size_t in = 1, out = 1;
  for (uint32_t d = 2; d < s->rank; d++) in *= x->shape.dim[d], out *= s->dim[d];
  *r = (qx_rule){x->real->n, (uint32_t)out};
  if (r->n == 1) r->inner = 1;
  return r->n == 1 || (x->real->inner == in && r->n == s->dim[1]) ? QV_OK : OX_UNSUP(L, x, "pooling over values with different scales");
}

qv_status qx_max_pool(ox *L) {
  qv_status st;
  ox_value *x, *y;
  qv_window w = {0};
  ox_shape out;
  qx_rule r;
  uint32_t in, net;
  int64_t order;
  QV_TRY(qx_arg(L, 0, &x));
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(ox_attr_i(L, "storage_order", 0, &order)); /* of the Indices result, which is refused */
  if (qx_is_const(x)) return OX_UNSUP(L, x, "pooling of a constant is not supported");
  QV_TRY(qx_pool_window(L, x, &w, &out));
  QV_TRY(qx_pool_rule(L, x, &out, &r));
  for (uint32_t c = 0; c < x->real->n; c++)
    if (!qv_pwa_rises(x->real->f[c])) return OX_UNSUP(L, x, "MaxPool over values that fall as their integers rise");
  QV_TRY(qx_plain(L, x, true, &in));
  ox_shape stored = ox_stored_shape(&out, true);
  QV_TRY(ox_add_tensor(L, y, "", L->net->tensor[in].type, &stored, &net));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_MAX, .u.max = w}, &in, 1, net));
  qx_range(L, net, L->net->tensor[in].lo, L->net->tensor[in].hi);
  const ox_value moved = {.net = net, .cl = out.rank >= 3, .shape = out, .real = x->real};
  QV_TRY(qx_set(L, y, &moved, r, x->real->f));
done:
  return st;
}
