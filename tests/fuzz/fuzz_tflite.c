/* .tflite: whatever the bytes, a sensible status; an accepted file is a checked net whose reference run stays inside the
 * declared ranges. The first byte of the input picks the profile and whether unknown operators become opaque. */
#include <stdlib.h>

#include "frontend/load.h"
#include "kernels/ref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok) {
  if (!ok) abort();
}

static bool has_opaque(const qv_net *net) {
  for (uint32_t i = 0; i < net->n_nodes; i++)
    if (net->node[i].kind == QV_OPAQUE) return true;
  return false;
}

/* Small nets run at both ends of the input ranges. */
static void run(const qv_net *net) {
  size_t work = 0;
  for (uint32_t t = 0; t < net->n_tensors; t++)
    if ((work += qv_elems(&net->tensor[t])) > 100000) return;
  for (uint32_t i = 0; i < net->n_nodes; i++) {
    const qv_node *n = &net->node[i];
    size_t taps = n->kind == QV_AFFINE ? (size_t)n->u.affine.win.kh * n->u.affine.win.kw * n->u.affine.win.ic
                  : n->kind == QV_MAX  ? (size_t)n->u.max.kh * n->u.max.kw
                                       : 1;
    if (taps > 100000 || (work += taps * qv_elems(&net->tensor[n->out])) > 100000) return;
  }
  for (int end = 0; end < 2; end++) {
    qv_values v;
    qv_err err = {0};
    check(qv_values_init(&v, net, &err) == QV_OK);
    for (uint32_t k = 0; k < net->n_in; k++) {
      const qv_tensor *x = &net->tensor[net->in[k].tensor];
      for (size_t i = 0; i < qv_elems(x); i++) v.v[net->in[k].tensor][i] = end == 0 ? x->lo : x->hi;
    }
    check(qv_ref_run(net, &v, &err) == QV_OK);
    for (uint32_t t = 0; t < net->n_tensors; t++)
      for (size_t i = 0; i < qv_elems(&net->tensor[t]); i++) check(v.v[t][i] >= net->tensor[t].lo && v.v[t][i] <= net->tensor[t].hi);
    qv_values_clear(&v);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  qv_net *net = NULL;
  qv_err err = {0};
  if (size < 1) return 0;
  qv_load_opts opts = {.profile = qv_profile_at(data[0] % 4u)->name, .opaque = (data[0] & 0x80) != 0, .max_bytes = (size_t)1 << 26};
  qv_status st = qv_tflite_read(&net, data + 1, size - 1, "fuzz", &opts, &err);
  check(st == err.code && (st == QV_OK) == (net != NULL));
  if (st != QV_OK) check(err.msg[0] != 0 && st != QV_E_INTERNAL && st != QV_E_ARG);
  else {
    qv_err again = {0};
    check(qv_ir_check(net, &again) == QV_OK);
    if (!has_opaque(net)) run(net);
  }
  qv_net_free(net);
  return 0;
}
