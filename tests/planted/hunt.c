/* Make certificates for random nets until the checker rejects one: hunt N [--none]. Exit 0 if one of N was rejected; with
 * --none, exit 0 if none was. Linked against a prover with a planted bug by tests/planted/run.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/cert_env.h"
#include "tests/gen.h"

static ce_result one(uint64_t seed, char *text, size_t room) {
  const uint32_t conv = 1u << QV_AFFINE | 1u << QV_STEP | 1u << QV_SUM | 1u << QV_CLAMP | 1u << QV_TABLE | 1u << QV_INDEX;
  qv_rng r = {seed};
  gen_opts g = {.max_in = 48, .max_nodes = 8, .max_elems = 256, .max_k = 64};
  if (seed % 3 == 0) g = (gen_opts){.max_in = 16, .max_nodes = 14, .max_elems = 200, .max_k = 64, .kinds = conv, .layers = seed % 2 == 0};
  if (seed % 16 == 7) g.kinds = (1u << QV_KINDS) - 1;
  qv_net *net = gen_net(&r, &g);
  if (net == NULL) abort();
  if (seed % 2 == 0) ce_squeeze(net, &r);
  qv_property p;
  qv_proof proof;
  cli_evidence ev = {0};
  qv_err err = {0};
  ce_property(&p, net, seed % 4 == 1 ? (int)qv_rng_range(&r, 8, 24) : 0, &r);
  qv_status st = qv_prove_overflow(&proof, net, &p, &(qv_prove_opts){.tight = seed % 3 == 0, .work = 1 << 20}, &err);
  if (st == QV_OK) st = cli_evidence_make(&ev, net, &p, &proof, &err);
  ce_result res = CE_REJECTED; /* a prover that contradicts itself is caught as well */
  (void)snprintf(text, room, "%s\n", err.msg);
  if (st == QV_OK) {
    ce_answer a = ce_check(&ev.qir, &ev.property, &ev.cert);
    (void)snprintf(text, room, "%s", a.text);
    res = a.result;
  }
  cli_evidence_free(&ev);
  qv_proof_clear(&proof);
  qv_property_clear(&p);
  qv_net_free(net);
  return res;
}

int main(int argc, char **argv) {
  bool none = argc == 3 && strcmp(argv[2], "--none") == 0;
  long n = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
  char text[600];
  if (n < 1 || !ce_open()) return 2;
  ce_result res = CE_CHECKED;
  uint64_t seed = 1;
  while (res == CE_CHECKED && seed <= (uint64_t)n) res = one(seed++, text, sizeof text);
  ce_close();
  text[strcspn(text, "\n")] = 0;
  if (res == CE_CHECKED) printf("all %ld certificates accepted\n", n);
  else printf("certificate %llu %s: %s\n", (unsigned long long)seed - 1, ce_result_name(res), text);
  return res == CE_CHECKED || res == CE_REJECTED ? (res == CE_REJECTED) == none : 2;
}
