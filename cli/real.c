#include "cli/real.h"

#include <math.h>
#include <string.h>

#include "cli/storage.h"

/* exp is taken of x - max, so that it cannot overflow; sums are in double, so that their order does not matter visibly. */
static void softmax(float *x, size_t n, bool logarithm) {
  double top = (double)x[0], sum = 0;
  for (size_t i = 1; i < n; i++) top = fmax(top, (double)x[i]);
  for (size_t i = 0; i < n; i++) sum += exp((double)x[i] - top);
  for (size_t i = 0; i < n; i++) {
    double d = (double)x[i] - top;
    x[i] = (float)(logarithm ? d - log(sum) : exp(d) / sum);
  }
}

qv_status qv_real_output(float *out, const qv_net *net, uint32_t port, const void *data, size_t n, qv_err *err) {
  const qv_port *p = &net->out[port];
  const qv_tensor *t = &net->tensor[p->tensor];
  size_t count = n * qv_elems(t), row = t->rank > 0 ? t->dim[t->rank - 1] : 1;
  bool logarithm = p->tail != NULL && strcmp(p->tail, "LOG_SOFTMAX") == 0;
  if (!t->has_q) return QV_FAIL(err, QV_E_UNSUP, "output '%s': the model gives no scale, so there are no real values", p->name);
  if (p->tail != NULL && !logarithm && strcmp(p->tail, "SOFTMAX") != 0)
    return QV_FAIL(err, QV_E_UNSUP, "output '%s': real values after %s are not supported", p->name, p->tail);
  /* Exact in binary64 while |q - zp| < 2^29, so that the only rounding is the one to binary32. */
  for (size_t i = 0; i < count; i++) out[i] = (float)((double)t->scale * (double)(qv_fetch(data, t->type, i) - t->zp));
  if (p->tail != NULL)
    for (size_t i = 0; i + row <= count; i += row) softmax(out + i, row, logarithm);
  return QV_OK;
}
