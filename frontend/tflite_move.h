/* Data movement in the TFLite front end: what its files share. */
#ifndef QV_FRONTEND_TFLITE_MOVE_H
#define QV_FRONTEND_TFLITE_MOVE_H

#include "frontend/tflite_lower.h"

#define TL_MAX_FOLD 64 /* numbers in a folded shape computation */

/* Net tensor behind operand x: an integer tensor, or the integers behind a float output. */
QV_NODISCARD qv_status tl_move_operand(tl *L, int32_t x, uint32_t *net);
/* Record `net`, which operand x was turned into, as result y. */
QV_NODISCARD qv_status tl_move_result(tl *L, int32_t x, int32_t y, uint32_t net);
/* Tensor for the last node of result y: named after y. */
QV_NODISCARD qv_status tl_move_tensor(tl *L, int32_t y, uint32_t like, const tl_shape *s, uint32_t *net);
/* One INDEX node from x to y; the file must agree with the computed shape, which is used. */
QV_NODISCARD qv_status tl_move(tl *L, int32_t x, int32_t y, const qv_index *ix, const tl_shape *computed);

/* Is x shape arithmetic? (INT32 or INT64 constants are never activations.) */
bool tl_folds(const tl *L, int32_t x);
/* Result y is the constant v of shape s, at most TL_MAX_FOLD numbers. */
QV_NODISCARD qv_status tl_fold(tl *L, int32_t y, const int64_t *v, const tl_shape *s);
/* Result y has the numbers of x in shape s. */
QV_NODISCARD qv_status tl_fold_same(tl *L, int32_t x, int32_t y, const tl_shape *s);

#endif
