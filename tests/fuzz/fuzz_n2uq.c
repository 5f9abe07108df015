/* N2UQ: an accepted text is a checked net that the reference can run. */
#include <stdlib.h>

#include "frontend/load.h"
#include "kernels/ref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok) {
  if (!ok) abort();
}

/* Small nets run at both ends of the input range; results must stay inside the declared ranges. */
static void run(const qv_net *net) {
  const qv_tensor *x = &net->tensor[net->in[0].tensor];
  size_t work = 0;
  for (uint32_t t = 0; t < net->n_tensors; t++) work += qv_elems(&net->tensor[t]);
  if (work > 20000) return;
  for (int end = 0; end < 2; end++) {
    qv_values v;
    qv_err err = {0};
    check(qv_values_init(&v, net, &err) == QV_OK);
    for (size_t i = 0; i < qv_elems(x); i++) v.v[net->in[0].tensor][i] = end == 0 ? x->lo : x->hi;
    check(qv_ref_run(net, &v, &err) == QV_OK);
    for (uint32_t t = 0; t < net->n_tensors; t++)
      for (size_t i = 0; i < qv_elems(&net->tensor[t]); i++) check(v.v[t][i] >= net->tensor[t].lo && v.v[t][i] <= net->tensor[t].hi);
    qv_values_clear(&v);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  qv_net *net = NULL;
  qv_err err = {0};
  qv_status st = qv_n2uq_read(&net, (const char *)data, size, "fuzz", (size_t)64 << 20, &err);
  check(st == err.code && (st == QV_OK) == (net != NULL));
  if (st != QV_OK) check(err.msg[0] != 0);
  else {
    qv_err again = {0};
    check(qv_ir_check(net, &again) == QV_OK);
    run(net);
  }
  qv_net_free(net);
  return 0;
}
