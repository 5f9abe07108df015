#include "quant/samples.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double element(const qv_array *a, size_t i) {
  switch (a->type) {
  case QV_EL_I8: return ((const int8_t *)a->data)[i];
  case QV_EL_U8: return ((const uint8_t *)a->data)[i];
  case QV_EL_I16: return ((const int16_t *)a->data)[i];
  case QV_EL_U16: return ((const uint16_t *)a->data)[i];
  case QV_EL_I32: return ((const int32_t *)a->data)[i];
  case QV_EL_U32: return ((const uint32_t *)a->data)[i];
  case QV_EL_I64: return (double)((const int64_t *)a->data)[i];
  case QV_EL_U64: return (double)((const uint64_t *)a->data)[i];
  case QV_EL_F32: return (double)((const float *)a->data)[i];
  case QV_EL_F64: return ((const double *)a->data)[i];
  }
  return NAN;
}

/* Sample dimensions of the array, those of size 1 left out, are the channels-last form of the network's channels-first input. */
static bool channels_last(const qv_ftensor *in, const qv_array *a) {
  if (in->rank != 4 || a->rank < 3 || in->dim[1] == 1) return false;
  const size_t *d = a->dim + a->rank - 3;
  return d[0] == in->dim[2] && d[1] == in->dim[3] && d[2] == in->dim[1] && !(d[0] == in->dim[1] && d[1] == in->dim[2] && d[2] == in->dim[3]);
}

qv_status qv_fsamples(float **out, size_t *n, const qv_fgraph *g, const qv_array *a, double scale, double offset, const char *what,
                      qv_err *err) {
  const qv_ftensor *in = &g->tensor[g->in];
  size_t per = qv_felems(in), all = a->raw ? a->count / 4 : a->count;
  bool real = a->raw || a->type == QV_EL_F32 || a->type == QV_EL_F64, turn = channels_last(in, a);
  if (scale == 0) scale = a->pixels ? 1.0 / 255 : 1;
  if (all == 0 || all % per != 0 || (a->raw && a->count % 4 != 0))
    return QV_FAIL(err, QV_E_PARSE, "%s: %zu values are no whole number of samples of %zu", what, all, per);
  float *v = malloc(all * sizeof *v);
  if (v == NULL) return QV_FAIL(err, QV_E_NOMEM, "%s: no memory", what);
  size_t c_n = in->rank == 4 ? in->dim[1] : 1, plane = per / c_n;
  for (size_t e = 0; e < all; e++) {
    size_t s = e / per, r = e % per, from = turn ? s * per + r % plane * c_n + r / plane : e;
    if (a->raw) memcpy(&v[e], (const unsigned char *)a->data + 4 * from, 4);
    else v[e] = (float)(real ? element(a, from) : element(a, from) * scale + offset);
    if (!isfinite(v[e])) {
      free(v);
      return QV_FAIL(err, QV_E_PARSE, "%s: value %zu is not finite", what, e);
    }
  }
  *out = v;
  *n = all / per;
  return QV_OK;
}
