/* SLICE, STRIDED_SLICE, GATHER, RESIZE_NEAREST_NEIGHBOR. */
#include <math.h>
#include <string.h>

#include "frontend/tflite_move.h"

/* ---- SLICE, STRIDED_SLICE ------------------------------------------------------------------------------------------------------- */

/* Apply a slice: node or folding; `keep[d]` false drops dimension d (which has size 1) afterwards. */
static qv_status apply_slice(tl *L, int32_t x, int32_t y, const qv_index *ix, const tl_shape *s, const bool keep[QV_MAX_RANK]) {
  qv_status st;
  tl_shape dropped = {0};
  for (uint32_t d = 0; d < s->rank; d++)
    if (keep[d]) dropped.dim[dropped.rank++] = s->dim[d];
  if (tl_folds(L, x)) {
    const int64_t *v;
    int64_t w[TL_MAX_FOLD];
    uint32_t n;
    QV_TRY(tl_ints(L, x, TL_MAX_FOLD, &v, &n));
    if (s->rank != 1) return TL_UNSUP(L, x, "this shape computation is not supported");
    for (uint32_t i = 0; i < s->dim[0]; i++) w[i] = v[ix->a[0] + (int32_t)i * ix->b[0]];
    return tl_fold(L, y, w, &dropped);
  }
  if (dropped.rank == s->rank) return tl_move(L, x, y, ix, s);
  uint32_t in, cut, out;
  tl_shape file;
  QV_TRY(tl_move_operand(L, x, &in));
  QV_TRY(tl_out_shape(L, y, &dropped, &file));
  QV_TRY(tl_add_index(L, ix, in, y, "/slice", s, &cut));
  QV_TRY(tl_move_tensor(L, y, in, &dropped, &out));
  QV_TRY(tl_add_node(L, &(qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_RESHAPE}}, cut, out));
  QV_TRY(tl_move_result(L, x, y, out));
done:
  return st;
}

qv_status tl_slice(tl *L) {
  qv_status st;
  int32_t x, tb, ts, y;
  const int64_t *b, *z;
  uint32_t nb, nz;
  qv_index ix = {.form = QV_IX_SLICE};
  bool keep[QV_MAX_RANK];
  QV_TRY(tl_arg(L, 0, &x));
  QV_TRY(tl_arg(L, 1, &tb));
  QV_TRY(tl_arg(L, 2, &ts));
  QV_TRY(tl_res(L, 0, &y));
  QV_TRY(tl_ints(L, tb, QV_MAX_RANK, &b, &nb));
  QV_TRY(tl_ints(L, ts, QV_MAX_RANK, &z, &nz));
  tl_shape in = tl_shape_of(L, x), s = in;
  if (nb != in.rank || nz != in.rank) return TL_PARSE(L, tb, "the slice does not have %u dimensions", in.rank);
  for (uint32_t d = 0; d < in.rank; d++) {
    int64_t size = z[d] == -1 ? (int64_t)in.dim[d] - b[d] : z[d];
    if (b[d] < 0 || b[d] >= (int64_t)in.dim[d] || size < 1 || size > (int64_t)in.dim[d] - b[d])
      return TL_PARSE(L, ts, "the slice leaves the tensor");
    ix.a[d] = (int32_t)b[d];
    ix.b[d] = 1;
    s.dim[d] = (uint32_t)size;
    keep[d] = true;
  }
  QV_TRY(apply_slice(L, x, y, &ix, &s, keep));
done:
  return st;
}

/* Begin or end of one dimension with TFLite's masks and negative numbers (strided_slice_logic.h). */
static int64_t slice_end(bool masked, int64_t v, int64_t dim, bool forward, bool begin) {
  int64_t lo = forward ? 0 : -1, hi = forward ? dim : dim - 1;
  if (masked) return forward == begin ? lo : hi;
  return qv_clamp64(v < 0 ? v + dim : v, lo, hi);
}

qv_status tl_strided_slice(tl *L) {
  qv_status st;
  int32_t x, t[3], y;
  const int64_t *v[3];
  uint32_t n[3];
  qv_index ix = {.form = QV_IX_SLICE};
  bool keep[QV_MAX_RANK];
  QV_TRY(tl_arg(L, 0, &x));
  for (uint32_t k = 0; k < 3; k++) {
    QV_TRY(tl_arg(L, k + 1, &t[k]));
    QV_TRY(tl_ints(L, t[k], QV_MAX_RANK, &v[k], &n[k]));
  }
  QV_TRY(tl_res(L, 0, &y));
  uint32_t bm = (uint32_t)tl_opt_i32(L, 0, 0), em = (uint32_t)tl_opt_i32(L, 1, 0), shrink = (uint32_t)tl_opt_i32(L, 4, 0);
  bool other = tl_opt_i32(L, 2, 0) != 0 || tl_opt_i32(L, 3, 0) != 0 || tl_opt_bool(L, 5, false);
  QV_TRY(tl_opts_ok(L));
  if (other) return TL_UNSUP(L, x, "ellipsis, new-axis and offset forms of STRIDED_SLICE are not supported");
  tl_shape in = tl_shape_of(L, x), s = in;
  if (n[0] != n[1] || n[0] != n[2] || n[0] > in.rank) return TL_PARSE(L, t[0], "begin, end and strides do not fit %u dimensions", in.rank);
  for (uint32_t d = 0; d < in.rank; d++) {
    keep[d] = true;
    ix.b[d] = 1;
    if (d >= n[0]) continue;
    int64_t dim = in.dim[d], stride = v[2][d];
    if (stride == 0 || stride < INT32_MIN || stride > INT32_MAX) return TL_PARSE(L, t[2], "stride %lld is not possible", (long long)stride);
    bool one = shrink >> d & 1, forward = stride > 0;
    int64_t from = slice_end(bm >> d & 1, v[0][d], dim, forward, true), to = slice_end(em >> d & 1, v[1][d], dim, forward, false);
    if (one) {
      if (from < 0 || from >= dim) return TL_PARSE(L, t[0], "the slice leaves the tensor");
      to = from + 1;
      stride = 1;
      keep[d] = false;
    }
    int64_t len = stride > 0 ? (to - from + stride - 1) / stride : (from - to - stride - 1) / -stride;
    if (len < 1) return TL_PARSE(L, y, "the slice is empty");
    ix.a[d] = (int32_t)from;
    ix.b[d] = (int32_t)stride;
    s.dim[d] = (uint32_t)len;
  }
  QV_TRY(apply_slice(L, x, y, &ix, &s, keep));
done:
  return st;
}

/* ---- GATHER, RESIZE_NEAREST_NEIGHBOR ---------------------------------------------------------------------------------------------- */

qv_status tl_gather(tl *L) {
  qv_status st;
  int32_t x, ti, y;
  const int64_t *v;
  uint32_t n;
  QV_TRY(tl_arg(L, 0, &x));
  QV_TRY(tl_arg(L, 1, &ti));
  QV_TRY(tl_res(L, 0, &y));
  int64_t axis = tl_opt_i32(L, 0, 0);
  int32_t batch = tl_opt_i32(L, 1, 0);
  QV_TRY(tl_opts_ok(L));
  if (batch != 0) return TL_UNSUP(L, x, "GATHER with batch dimensions is not supported");
  QV_TRY(tl_ints(L, ti, 65536, &v, &n));
  tl_shape in = tl_shape_of(L, x), s = in, is = tl_shape_of(L, ti);
  if (axis < 0) axis += in.rank;
  if (axis < 0 || axis >= (int64_t)in.rank) return TL_PARSE(L, x, "the axis does not exist");
  if (is.rank > 1) return TL_UNSUP(L, ti, "GATHER with indices of more than one dimension is not supported");
  if (n == 0) return TL_PARSE(L, ti, "there are no indices");
  uint32_t *g = TL_NEW(L, n, uint32_t);
  if (g == NULL) return tl_nomem(L);
  for (uint32_t i = 0; i < n; i++) {
    if (v[i] < 0 || v[i] >= (int64_t)in.dim[axis]) return TL_PARSE(L, ti, "index %lld is out of range", (long long)v[i]);
    g[i] = (uint32_t)v[i];
  }
  s.dim[axis] = n;
  if (tl_folds(L, x)) {
    const int64_t *src;
    int64_t w[TL_MAX_FOLD];
    uint32_t ns;
    QV_TRY(tl_ints(L, x, TL_MAX_FOLD, &src, &ns));
    if (in.rank != 1 || n > TL_MAX_FOLD) return TL_UNSUP(L, x, "this shape computation is not supported");
    for (uint32_t i = 0; i < n; i++) w[i] = src[g[i]];
    s.rank = is.rank;
    return tl_fold(L, y, w, &s);
  }
  if (is.rank == 0) return TL_UNSUP(L, ti, "GATHER with a scalar index is not supported");
  QV_TRY(tl_move(L, x, y, &(qv_index){.form = QV_IX_GATHER, .axis = (uint32_t)axis, .g = g}, &s));
done:
  return st;
}

/* Source row of each output row, in binary32 as the kernel computes it (reference/resize_nearest_neighbor.h). */
static const uint32_t *nearest(tl *L, uint32_t in, uint32_t out, bool align, bool half) {
  uint32_t *g = TL_NEW(L, out, uint32_t);
  if (g == NULL) return NULL;
  float scale = align && out > 1 ? (float)(in - 1) / (float)(out - 1) : (float)in / (float)out;
  for (uint32_t i = 0; i < out; i++) {
    float at = ((float)i + (half ? 0.5f : 0.0f)) * scale;
    int64_t k = (int64_t)(align ? roundf(at) : floorf(at));
    g[i] = (uint32_t)qv_clamp64(k, 0, (int64_t)in - 1);
  }
  return g;
}

qv_status tl_resize_nearest(tl *L) {
  qv_status st;
  int32_t x, t, y;
  const int64_t *size;
  uint32_t n, in, mid, out;
  QV_TRY(tl_arg(L, 0, &x));
  QV_TRY(tl_arg(L, 1, &t));
  QV_TRY(tl_res(L, 0, &y));
  QV_TRY(tl_ints(L, t, 2, &size, &n));
  bool align = tl_opt_bool(L, 0, false), half = tl_opt_bool(L, 1, false);
  QV_TRY(tl_opts_ok(L));
  tl_shape s = tl_shape_of(L, x), file;
  if (s.rank != 4 || n != 2) return TL_PARSE(L, x, "the input must have 4 dimensions and the size 2 numbers");
  for (int k = 0; k < 2; k++)
    if (size[k] < 1 || size[k] > 1 << 20 || s.dim[k + 1] > 1 << 20) return TL_UNSUP(L, t, "size %lld is not possible", (long long)size[k]);
  if (align && half) return TL_UNSUP(L, x, "align_corners together with half_pixel_centers");
  QV_TRY(tl_move_operand(L, x, &in));
  const uint32_t *gy = nearest(L, s.dim[1], (uint32_t)size[0], align, half), *gx = nearest(L, s.dim[2], (uint32_t)size[1], align, half);
  if (gy == NULL || gx == NULL) return tl_nomem(L);
  s.dim[1] = (uint32_t)size[0];
  size_t count;
  if (!tl_count(&s, &count)) return TL_PARSE(L, y, "the result is too large");
  QV_TRY(tl_add_index(L, &(qv_index){.form = QV_IX_GATHER, .axis = 1, .g = gy}, in, y, "/rows", &s, &mid));
  s.dim[2] = (uint32_t)size[1];
  QV_TRY(tl_out_shape(L, y, &s, &file));
  QV_TRY(tl_move_tensor(L, y, in, &s, &out));
  QV_TRY(tl_add_node(L, &(qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_GATHER, .axis = 2, .g = gx}}, mid, out));
  QV_TRY(tl_move_result(L, x, y, out));
done:
  return st;
}
