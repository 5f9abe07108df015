/* Any bytes into the property readers: what the canonical one accepts is exactly what the writer writes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/property.h"
#include "ir/qir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "fuzz_property: %s\n", what);
  abort();
}

static const char text[] = "qir 1\nsource \"\"\nsha256 \"\"\nprofile \"\"\nformat \"qir\"\nnotes 0\ntensors 2\n"
                           "tensor 0 name \"a\" type i8 dims 2 2 2 scale none const no\n"
                           "tensor 1 name \"b\" type i64 dims 1 1 scale none const no\n"
                           "inputs 2\ninput 0 tensor 0 lo -128 hi 127 end int name \"a\"\n"
                           "input 1 tensor 1 lo -1000 hi 1000 end int name \"b\"\n"
                           "nodes 0\noutputs 2\noutput 0 tensor 0 end int name \"a\" tail none\n"
                           "output 1 tensor 1 end int name \"b\" tail none\nend\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static qv_net *net;
  qv_err err = {0};
  qv_property p;
  if (net == NULL) require(qv_qir_read(&net, text, sizeof text - 1, &err) == QV_OK, err.msg);
  qv_status st = qv_property_read(&p, (const char *)data, size, net, &err);
  require(p.arena.bytes <= 4096 + 8 * size, "memory beyond a small multiple of the text");
  if (st == QV_OK) {
    qv_buf out = {0};
    require(qv_property_write(&out, &p, &err) == QV_OK, err.msg);
    require(out.n == size && memcmp(out.p, data, size) == 0, "accepted text is not canonical");
    require(p.claim == QV_CLAIM_OVERFLOW || qv_condition_check(&p.cond, net, &err) == QV_OK, err.msg);
    qv_buf_free(&out);
  } else require(err.code == st && err.msg[0] != 0 && err.line > 0, "an error without a proper message and line");
  qv_property_clear(&p);
  (void)!qv_property_read_domain(&p, (const char *)data, size, net, NULL);
  qv_property_clear(&p);
  return 0;
}
