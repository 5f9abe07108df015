/* Any bytes into the .qir reader: it must answer, stay within its memory bound, and whatever it accepts must be exactly
 * what the writer writes (one text per net). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/qir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "fuzz_qir: %s\n", what);
  abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  qv_err err = {0};
  qv_net *net = qv_net_new(0);
  require(net != NULL, "out of memory");
  qv_status st = qv_qir_read_into(net, (const char *)data, size, &err);
  require(net->arena.bytes <= 4096 + 32 * size, "memory beyond a small multiple of the text");
  if (st == QV_OK) {
    qv_buf out = {0};
    require(qv_qir_write(&out, net, &err) == QV_OK, err.msg);
    require(out.n == size && memcmp(out.p, data, size) == 0, "accepted text is not canonical");
    qv_buf_free(&out);
  } else {
    require(err.code == st && err.msg[0] != 0 && strchr(err.msg, '\n') == NULL, "an error without a proper message");
  }
  qv_net_free(net);
  return 0;
}
