#include "frontend/onnx_window.h"

static qv_status list(ox *L, const char *name, uint32_t spatial, uint32_t per, int64_t min, int64_t absent, int64_t *out) {
  const int64_t *v;
  uint32_t n;
  qv_status st = ox_attr_ints(L, name, 2 * QV_MAX_RANK, &v, &n);
  if (st != QV_OK) return st;
  for (uint32_t i = 0; i < spatial * per; i++) out[i] = absent;
  if (v == NULL) return QV_OK;
  if (n != spatial * per) return OX_PARSE(L, NULL, "attribute '%s' has %u values, %u are needed", name, n, spatial * per);
  for (uint32_t i = 0; i < n; i++) {
    if (v[i] < min || v[i] > (int64_t)QV_MAX_ELEMS) return OX_PARSE(L, NULL, "attribute '%s': %lld is out of range", name, (long long)v[i]);
    out[i] = v[i];
  }
  return QV_OK;
}

static qv_status auto_pad(ox *L, ox_window_attrs *a) {
  static const char *const names[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
  for (int i = 0; i < 4; i++)
    if (ox_attr_is(L, "auto_pad", names[i], i == 0)) {
      a->pad = i == 0 ? OX_PAD_GIVEN : i == 1 ? OX_PAD_UPPER : i == 2 ? OX_PAD_LOWER : OX_PAD_VALID;
      return QV_OK;
    }
  return OX_UNSUP(L, NULL, "this value of attribute 'auto_pad' is not supported");
}

qv_status ox_window_read(ox *L, uint32_t spatial, const int64_t *kernel, ox_window_attrs *a) {
  qv_status st;
  int64_t k[2], s[2], d[2], p[4], ceil = 0;
  *a = (ox_window_attrs){.kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}};
  if (spatial != 1 && spatial != 2) return OX_UNSUP(L, NULL, "windows over %u dimensions; supported: 1 and 2", spatial);
  QV_TRY(list(L, "kernel_shape", spatial, 1, 1, 0, k));
  QV_TRY(list(L, "strides", spatial, 1, 1, 1, s));
  QV_TRY(list(L, "dilations", spatial, 1, 1, 1, d));
  QV_TRY(list(L, "pads", spatial, 2, 0, 0, p));
  QV_TRY(auto_pad(L, a));
  if (kernel == NULL) QV_TRY(ox_attr_i(L, "ceil_mode", 0, &ceil));
  a->ceil = ceil != 0;
  for (uint32_t i = 0; i < spatial; i++) {
    uint32_t to = i + 2 - spatial;
    if (kernel != NULL && k[i] != 0 && k[i] != kernel[i]) return OX_PARSE(L, NULL, "attribute 'kernel_shape' does not fit the weights");
    if (kernel == NULL && k[i] == 0) return OX_PARSE(L, NULL, "attribute 'kernel_shape' is missing");
    a->kernel[to] = kernel != NULL ? kernel[i] : k[i];
    a->stride[to] = s[i];
    a->dilation[to] = d[i];
    a->before[to] = p[i];
    a->after[to] = p[i + spatial];
  }
  if (a->kernel[0] < 1 || a->kernel[1] < 1) return OX_PARSE(L, NULL, "an empty kernel");
done:
  return st;
}

/* Output size and padding before, along one axis; all values within 2^28, so int64 does not overflow. */
static qv_status axis(ox *L, const ox_value *x, const ox_window_attrs *a, int i, int64_t in, uint32_t *out, uint32_t *before) {
  int64_t span = (a->kernel[i] - 1) * a->dilation[i] + 1, s = a->stride[i], o, pad = a->before[i];
  if (a->pad == OX_PAD_UPPER || a->pad == OX_PAD_LOWER) {
    o = (in + s - 1) / s;
    int64_t total = qv_max64((o - 1) * s + span - in, 0);
    pad = a->pad == OX_PAD_UPPER ? total / 2 : total - total / 2;
  } else {
    int64_t after = a->after[i];
    if (a->pad == OX_PAD_VALID) pad = after = 0;
    int64_t room = in + pad + after - span;
    if (room < 0) return OX_PARSE(L, x, "the kernel does not fit into the image");
    o = (room + (a->ceil ? s - 1 : 0)) / s + 1;
    if (a->ceil && (o - 1) * s >= in + pad) o--; /* a window must start inside the image or the padding before it */
  }
  if (o < 1 || o > (int64_t)QV_MAX_ELEMS || pad > (int64_t)QV_MAX_ELEMS) return OX_PARSE(L, x, "the window does not fit into the image");
  *out = (uint32_t)o;
  *before = (uint32_t)pad;
  return QV_OK;
}

qv_status ox_window_fit(ox *L, const ox_value *x, const ox_window_attrs *a, qv_window *w) {
  qv_status st;
  const ox_shape *s = &x->shape;
  w->n = s->dim[0];
  w->ih = s->rank == 4 ? s->dim[2] : 1;
  w->iw = s->dim[s->rank - 1];
  w->kh = (uint32_t)a->kernel[0];
  w->kw = (uint32_t)a->kernel[1];
  w->sh = (uint32_t)a->stride[0];
  w->sw = (uint32_t)a->stride[1];
  w->dh = (uint32_t)a->dilation[0];
  w->dw = (uint32_t)a->dilation[1];
  QV_TRY(axis(L, x, a, 0, w->ih, &w->oh, &w->pt));
  QV_TRY(axis(L, x, a, 1, w->iw, &w->ow, &w->pl));
  size_t n;
  ox_shape out = {.rank = 4, .dim = {w->n, w->oh, w->ow, w->oc}};
  if (w->oc != 0 && !ox_count(&out, &n)) return OX_PARSE(L, x, "the result has more than %zu elements", QV_MAX_ELEMS);
done:
  return st;
}

qv_status ox_conv_groups(ox *L, uint32_t *groups) {
  int64_t v;
  qv_status st = ox_attr_i(L, "group", 1, &v);
  if (st == QV_OK && (v < 1 || v > (int64_t)QV_MAX_ELEMS)) st = OX_PARSE(L, NULL, "%lld groups", (long long)v);
  *groups = (uint32_t)v;
  return st;
}

qv_status ox_conv_fit(ox *L, const ox_value *x, uint32_t rank, const uint32_t *wd, qv_window *w, ox_shape *out) {
  qv_status st;
  const ox_shape *s = &x->shape;
  ox_window_attrs a;
  if (s->rank != rank) return OX_PARSE(L, x, "the input has %u dimensions, the weights %u", s->rank, rank);
  const int64_t kernel[2] = {w->kh, w->kw};
  QV_TRY(ox_window_read(L, rank - 2, rank == 4 ? kernel : kernel + 1, &a));
  if (s->dim[1] != wd[1] * (uint64_t)w->groups || w->oc % w->groups != 0)
    return OX_PARSE(L, x, "%u input channels do not fit %u groups of weights for %u", s->dim[1], w->groups, wd[1]);
  w->ic = s->dim[1];
  QV_TRY(ox_window_fit(L, x, &a, w));
  *out = *s;
  out->dim[1] = w->oc;
  if (rank == 4) out->dim[2] = w->oh;
  out->dim[rank - 1] = w->ow;
done:
  return st;
}
