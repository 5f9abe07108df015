/* Any bytes into the ONNX reader: it must answer within its memory limit, and what it accepts must be a checked net that the text
 * form can carry. The size picks the profile
 * and whether unsupported operators become opaque. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/load.h"
#include "ir/qir.h"
#include "kernels/profile/onnx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "fuzz_onnx: %s\n", what);
  abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  qv_err err = {0};
  qv_net *net = NULL;
  size_t profiles = 0;
  if (size == 0) return 0;
  while (qv_onnx_profile_at(profiles) != NULL) profiles++;
  const qv_onnx_profile *p = qv_onnx_profile_at(size % profiles);
  const char *name = p->reals == QV_REALS_WRAP ? "wrapnet:9@u4/3" : p->reals == QV_REALS_FIXED ? "ap_fixed:16,6,SAT" : p->name;
  const qv_load_opts opts = {.profile = name, .max_bytes = (size_t)64 << 20,
                             .opaque = size / profiles % 2 == 1};
  (void)qv_onnx_probe(data, size);
  qv_status st = qv_onnx_read(&net, data, size, "fuzz.onnx", &opts, &err);
  if (st == QV_OK) {
    qv_buf out = {0};
    require(net->arena.bytes <= opts.max_bytes, "memory beyond the limit");
    require(qv_ir_check(net, &err) == QV_OK, "an unchecked net");
    require(qv_qir_write(&out, net, &err) == QV_OK || err.code == QV_E_NOMEM, err.msg);
    qv_buf_free(&out);
  } else {
    require(net == NULL && err.code == st && err.msg[0] != 0, "an error without a proper message");
    require(st != QV_E_INTERNAL, err.msg);
  }
  qv_net_free(net);
  return 0;
}
