/* Make robustness certificates for random nets until the checker rejects one: robust_hunt N [--none]. Exit 0 if one of N was rejected;
 * with --none, exit 0 if none was. Linked against a prover with a planted bug by tests/planted/run.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/robust_evidence.h"
#include "ir/property.h"
#include "tests/cert_env.h"
#include "tests/gen.h"
#include "tests/robust_trial.h"

static void property_of(qv_buf *out, const rt_trial *t) {
  qv_err err = {0};
  qv_property p;
  if (qv_property_whole(&p, t->net, 0, &err) != QV_OK) abort();
  p.claim = QV_CLAIM_ROBUST;
  p.cond = t->cond;
  for (uint32_t i = 0; i < t->net->n_in; i++) {
    p.in[i].n = qv_elems(&t->net->tensor[t->net->in[i].tensor]);
    if ((p.in[i].itv = QV_NEW(&p.arena, p.in[i].n, qv_itv)) == NULL) abort();
    memcpy(p.in[i].itv, t->box[i], p.in[i].n * sizeof(qv_itv));
  }
  if (qv_property_write(out, &p, &err) != QV_OK) abort();
  qv_property_clear(&p);
}

static ce_result one(uint64_t seed, char *text, size_t room) {
  static const qv_robust_opts opts[] = {
      {.no_enumeration = true, .max_nodes = 300, .evidence = true},
      {.no_interval = true, .no_enumeration = true, .no_linear = true, .max_nodes = 300, .evidence = true},
  };
  qv_rng r = {seed};
  qv_err err = {0};
  rt_trial t;
  ce_result worst = CE_CHECKED;
  const gen_opts g = {.max_in = 4, .in_bits = 1 + (uint32_t)(seed % 3), .max_nodes = 6, .max_elems = 24, .max_k = 30};
  if (!rt_make(&t, seed % 2 == 0 ? rt_fixed_net(&r, seed % 4 == 0) : gen_net(&r, &g), &r)) {
    rt_clear(&t);
    return CE_CHECKED;
  }
  qv_robust *rob = NULL;
  qv_buf qir = {0}, prop = {0};
  char net_sha[QV_SHA256_HEX], prop_sha[QV_SHA256_HEX];
  if (qv_robust_new(&rob, t.net, &err) != QV_OK || qv_qir_write(&qir, t.net, &err) != QV_OK) abort();
  property_of(&prop, &t);
  qv_sha256_hex(net_sha, qir.p, qir.n);
  qv_sha256_hex(prop_sha, prop.p, prop.n);
  for (size_t k = 0; k < sizeof opts / sizeof opts[0] && worst == CE_CHECKED; k++) {
    qv_robust_result res;
    qv_buf cert = {0};
    qv_err quiet = {0};
    if (qv_robust_run(&res, rob, &t.q, &opts[k], &quiet) == QV_OK && res.verdict == QV_VERIFIED &&
        qv_robust_certificate(&cert, rob, &t.q, &res, net_sha, prop_sha, &quiet) == QV_OK) {
      ce_answer a = ce_check(&qir, &prop, &cert);
      if (a.result != CE_CHECKED) {
        worst = a.result;
        const char *why = strstr(a.text, "reason: ");
        snprintf(text, room, "net %llu: %.*s", (unsigned long long)seed, (int)strcspn(why != NULL ? why : a.text, "\n"),
                 why != NULL ? why : a.text);
      }
    }
    qv_buf_free(&cert);
    qv_robust_clear(&res);
  }
  qv_buf_free(&qir);
  qv_buf_free(&prop);
  qv_robust_free(rob);
  rt_clear(&t);
  return worst;
}

int main(int argc, char **argv) {
  bool none = argc > 2 && strcmp(argv[2], "--none") == 0;
  char text[256] = "";
  uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 0, k = 0;
  if (n == 0 || !cr_open()) return 2;
  ce_result r = CE_CHECKED;
  for (; k < n && r == CE_CHECKED; k++) r = one(870000 + k, text, sizeof text);
  cr_close();
  if (r == CE_CHECKED) printf("%llu nets, every certificate accepted\n", (unsigned long long)k);
  else printf("%s after %llu nets (%s)\n", ce_result_name(r), (unsigned long long)k, text);
  return none ? r != CE_CHECKED : r != CE_REJECTED;
}
