/* Any bytes as a VNN-LIB query: what is accepted is bound to two nets, and what comes out is a property that the strict reader takes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/vnnlib.h"
#include "ir/qir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "fuzz_vnnlib: %s\n", what);
  abort();
}

#define NET(type, quant, end, out)                                                                                              \
  "qir 1\nsource \"\"\nsha256 \"\"\nprofile \"\"\nformat \"qir\"\nnotes 0\ntensors 1\ntensor 0 name \"x\" type " type " dims 2 1 2 " quant \
  " const no\ninputs 1\ninput 0 tensor 0 lo -128 hi 127 end " end " name \"x\"\nnodes 0\noutputs 1\noutput 0 tensor 0 end " out    \
  " name \"x\" tail none\nend\n"

static void one(const qv_vnnlib *v, const char *text) {
  qv_net *net = NULL;
  qv_vnn_query q;
  qv_err err = {0};
  require(qv_qir_read(&net, text, strlen(text), &err) == QV_OK, err.msg);
  qv_status st = qv_vnnlib_lower(&q, v, net, &err);
  if (st != QV_OK) require(err.code == st && err.msg[0] != 0 && st != QV_E_INTERNAL, "an error without a proper message");
  for (size_t k = 0; st == QV_OK && k < q.n; k++) {
    qv_buf b = {0};
    qv_property p;
    require(qv_property_write(&b, &q.item[k].property, &err) == QV_OK, "write");
    require(qv_property_read(&p, (const char *)b.p, b.n, net, &err) == QV_OK, err.msg);
    qv_property_clear(&p);
    qv_buf_free(&b);
  }
  qv_vnn_query_clear(&q);
  qv_net_free(net);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  qv_vnnlib *v = NULL;
  qv_err err = {0};
  if (size > 1 << 16) return 0;
  qv_status st = qv_vnnlib_read(&v, (const char *)data, size, &err);
  require((st == QV_OK) == (v != NULL), "status and result");
  if (st != QV_OK) require(err.code == st && err.msg[0] != 0, "an error without a proper message");
  else {
    one(v, NET("i8", "scale 0x1.99999ap-4 zp 5", "int", "int"));
    one(v, NET("i8", "scale 0x1.99999ap-4 zp 5", "quant_even", "dequant"));
  }
  qv_vnnlib_free(v);
  return 0;
}
