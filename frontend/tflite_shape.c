/* Shape arithmetic on constants: SHAPE, PACK, CAST, and the folding used by the operators that move data. */
#include <string.h>

#include "frontend/tflite_move.h"

/* ---- folding ---------------------------------------------------------------------------------------------------------------- */

/* Is x shape arithmetic? (INT32 or INT64 constants are never activations.) */
bool tl_folds(const tl *L, int32_t x) {
  int type = tl_tensor(L, x)->type;
  return tl_is_const(L, x) && (type == TFL_INT32 || type == TFL_INT64);
}

qv_status tl_fold(tl *L, int32_t y, const int64_t *v, const tl_shape *s) {
  size_t n = 1;
  for (uint32_t d = 0; d < s->rank; d++) n *= s->dim[d]; /* callers: at most TL_MAX_FOLD */
  int64_t *copy = QV_NEW(&L->tmp, n, int64_t);
  if (copy == NULL) return tl_nomem(L);
  if (n != 0) memcpy(copy, v, n * sizeof *copy);
  tl_value *to = tl_val(L, y);
  to->state = TL_INTS;
  to->ints = copy;
  to->rank = s->rank;
  memcpy(to->dim, s->dim, sizeof to->dim);
  return QV_OK;
}

qv_status tl_fold_same(tl *L, int32_t x, int32_t y, const tl_shape *s) {
  const int64_t *v;
  uint32_t n;
  qv_status st = tl_ints(L, x, TL_MAX_FOLD, &v, &n);
  return st == QV_OK ? tl_fold(L, y, v, s) : st;
}

qv_status tl_shape_op(tl *L) {
  qv_status st;
  int32_t x, y;
  int64_t v[QV_MAX_RANK];
  QV_TRY(tl_arg(L, 0, &x));
  QV_TRY(tl_res(L, 0, &y));
  tl_shape s = tl_shape_of(L, x), r = {.rank = 1, .dim = {s.rank}};
  for (uint32_t d = 0; d < s.rank; d++) v[d] = s.dim[d];
  QV_TRY(tl_fold(L, y, v, &r));
done:
  return st;
}

qv_status tl_pack(tl *L) {
  qv_status st;
  int32_t x, y;
  int64_t v[TL_MAX_FOLD];
  QV_TRY(tl_res(L, 0, &y));
  if (L->op->in.n == 0 || L->op->in.n > TL_MAX_FOLD)
    return TL_UNSUP(L, y, "PACK of %u operands; 1 to %d are supported", L->op->in.n, TL_MAX_FOLD);
  for (uint32_t k = 0; k < L->op->in.n; k++) {
    const int64_t *p;
    uint32_t n;
    QV_TRY(tl_arg(L, k, &x));
    if (!tl_folds(L, x) || tl_shape_of(L, x).rank != 0) return TL_UNSUP(L, x, "PACK is supported for numbers of constant shapes only");
    QV_TRY(tl_ints(L, x, 1, &p, &n));
    v[k] = p[0];
  }
  tl_shape r = {.rank = 1, .dim = {L->op->in.n}};
  QV_TRY(tl_fold(L, y, v, &r));
done:
  return st;
}

qv_status tl_cast(tl *L) {
  qv_status st;
  int32_t x, y;
  QV_TRY(tl_arg(L, 0, &x));
  QV_TRY(tl_res(L, 0, &y));
  int to = tl_tensor(L, y)->type;
  if (!tl_folds(L, x) || (to != TFL_INT32 && to != TFL_INT64))
    return TL_UNSUP(L, x, "CAST is supported for numbers of constant shapes only");
  tl_shape s = tl_shape_of(L, x);
  const int64_t *v;
  uint32_t n;
  QV_TRY(tl_ints(L, x, TL_MAX_FOLD, &v, &n));
  for (uint32_t i = 0; i < n; i++)
    if (to == TFL_INT32 && (v[i] < INT32_MIN || v[i] > INT32_MAX)) return TL_UNSUP(L, x, "the value does not fit INT32");
  QV_TRY(tl_fold(L, y, v, &s));
done:
  return st;
}
