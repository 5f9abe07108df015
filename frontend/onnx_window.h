/* Window attributes shared by convolution and pooling. Private to the front end. */
#ifndef QV_FRONTEND_ONNX_WINDOW_H
#define QV_FRONTEND_ONNX_WINDOW_H

#include "frontend/onnx_lower.h"

/* Index 0: rows, 1: columns. One-dimensional windows are rows of height 1. */
typedef struct {
  int64_t kernel[2], stride[2], dilation[2], before[2], after[2]; /* kernel..dilation in [1, 2^28], padding in [0, 2^28] */
  enum { OX_PAD_GIVEN, OX_PAD_UPPER, OX_PAD_LOWER, OX_PAD_VALID } pad;
  bool ceil;
} ox_window_attrs;

/* auto_pad, pads, strides, dilations, kernel_shape (must agree with `kernel` unless that is NULL, else is required), ceil_mode
 * if `kernel` is NULL. `spatial` is 1 or 2 (QV_E_UNSUP otherwise). */
QV_NODISCARD qv_status ox_window_read(ox *L, uint32_t spatial, const int64_t *kernel, ox_window_attrs *a);

/* Fill n, ih, iw, oh, ow, kh, kw, strides, dilations and padding of w for input x ([N,C,W] or [N,C,H,W]). */
QV_NODISCARD qv_status ox_window_fit(ox *L, const ox_value *x, const ox_window_attrs *a, qv_window *w);

/* A convolution of x ([N,C,W] or [N,C,H,W]) by weights of shape wd[rank] ([OC, C/groups, kernel..]): attribute 'group' has been read into
 * w->groups, w->oc, kh and kw are set. Fills the rest of w, and the result's shape. QV_E_PARSE where they do not fit. */
QV_NODISCARD qv_status ox_conv_fit(ox *L, const ox_value *x, uint32_t rank, const uint32_t *wd, qv_window *w, ox_shape *out);

/* Attribute 'group', 1 .. 2^28. */
QV_NODISCARD qv_status ox_conv_groups(ox *L, uint32_t *groups);

#endif
