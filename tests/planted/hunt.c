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

/* What random parameters seldom give: lanes that saturate on the way to a sum that fits, left shifts whose result fits. */
static void provoke(qv_net *net, qv_rng *r) {
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    qv_node *n = &net->node[k], old = *n;
    qv_rq_par *p = n->kind == QV_STEP ? (qv_rq_par *)(uintptr_t)n->u.step.par : NULL, first = p != NULL ? p[0] : (qv_rq_par){.fn = QV_RQ_D};
    if (n->kind == QV_AFFINE && n->u.affine.acc.mode == QV_ACC_LANES) {
      n->u.affine.acc.lane_bits = (uint8_t)qv_rng_range(r, 8, 16);
      n->u.affine.acc.lane_sat = true;
      n->u.affine.acc.order = QV_ORDER_KERNEL;
      n->u.affine.acc.lanes = (uint16_t)qv_rng_range(r, 1, 3);
      n->u.affine.acc.spill = 0;
      n->u.affine.acc.raw = false;
      n->u.affine.x_zp = (int32_t)net->tensor[n->in[0]].lo - 20; /* terms of one sign: prefixes leave what the end is in */
    }
    if (p != NULL && p[0].fn == QV_RQ_D) p[0].m = 1 << 14, p[0].sh = (int32_t)qv_rng_range(r, 8, 30);
    if (qv_ir_check(net, NULL) == QV_OK) continue;
    *n = old;
    if (p != NULL) p[0] = first;
  }
  if (qv_ir_check(net, NULL) != QV_OK) abort();
}

static ce_result one(uint64_t seed, char *text, size_t room) {
  const uint32_t conv = 1u << QV_AFFINE | 1u << QV_STEP | 1u << QV_SUM | 1u << QV_CLAMP | 1u << QV_TABLE | 1u << QV_THRESHOLD | 1u << QV_INDEX;
  qv_rng r = {seed};
  gen_opts g = {.max_in = 48, .max_nodes = 8, .max_elems = 256, .max_k = 64};
  if (seed % 3 == 0) g = (gen_opts){.max_in = 16, .max_nodes = 14, .max_elems = 200, .max_k = 64, .kinds = conv, .layers = seed % 2 == 0};
  if (seed % 16 == 7) g.kinds = (1u << QV_KINDS) - 1;
  if (seed % 16 == 5 || seed % 16 == 14) /* staged accumulators by themselves */
    g = (gen_opts){.max_in = 40, .in_bits = 5, .max_nodes = 2, .max_elems = 100, .max_k = 40, .kinds = 1u << QV_AFFINE,
                   .modes = seed % 16 == 5 ? 1u << QV_ACC_LANES : 1u << QV_ACC_PAIR16};
  if (seed % 16 == 10) /* left shifts before the multiplication */
    g = (gen_opts){.max_in = 40, .in_bits = 16, .max_nodes = 3, .max_elems = 100, .kinds = 1u << QV_STEP | 1u << QV_AFFINE, .max_k = 10,
                   .rqs = 1u << QV_RQ_D | 1u << QV_RQ_U};
  if (g.kinds == 0) g.kinds = ((1u << QV_KINDS) - 1) & ~(1u << QV_OPAQUE);
  qv_net *net = gen_net(&r, &g);
  if (net == NULL) abort();
  if (seed % 16 == 5 || seed % 16 == 10) provoke(net, &r);
  if (seed % 2 == 0) ce_squeeze(net, &r);
  qv_property p;
  qv_proof proof;
  cli_evidence ev = {0};
  qv_err err = {0};
  ce_property(&p, net, seed % 4 == 1 ? (int)qv_rng_range(&r, 8, 24) : 0, &r);
  qv_status st = qv_prove_overflow(&proof, net, &p, &(qv_prove_opts){.tight = seed % 3 == 0, .work = 1 << 20}, &err);
  if (st == QV_OK) st = cli_evidence_make(&ev, net, &p, &proof, &err);
  ce_result res = CE_CHECKED; /* a prover that contradicts itself claims nothing */
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
  if (n < 1 || !cr_open()) return 2;
  ce_result res = CE_CHECKED;
  uint64_t seed = 1;
  while (res == CE_CHECKED && seed <= (uint64_t)n) res = one(seed++, text, sizeof text);
  cr_close();
  text[strcspn(text, "\n")] = 0;
  if (res == CE_CHECKED) printf("all %ld certificates accepted\n", n);
  else printf("certificate %llu %s: %s\n", (unsigned long long)seed - 1, ce_result_name(res), text);
  return res == CE_CHECKED || res == CE_REJECTED ? (res == CE_REJECTED) == none : 2;
}
