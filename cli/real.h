/* Integer outputs as real numbers: what the float end of the source model would hand to its caller. */
#ifndef QV_CLI_REAL_H
#define QV_CLI_REAL_H

#include "ir/ir.h"

/* n samples of net output `port`, stored as its tensor's type, to binary32: f32(scale * (q - zp)), then the port's float tail
 * row by row (rows = last dimension). The tails are not bit-exact with any runtime (LOG_SOFTMAX and SOFTMAX are float
 * library functions there), only the integers before them are.
 *   Errors: QV_E_UNSUP when the tensor has no scale or the tail is unknown. */
QV_NODISCARD qv_status qv_real_output(float *out, const qv_net *net, uint32_t port, const void *data, size_t n, qv_err *err);

#endif
