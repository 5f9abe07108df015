/* TABLE.json: an accepted table gives a problem or a message; small problems are solved, and the answer keeps its limits. */
#include <stdlib.h>

#include "ilp/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok) {
  if (!ok) abort();
}

static void solve(const qv_alloc *p) {
  qv_alloc_result r = {0};
  qv_err err = {0};
  check(qv_alloc_solve(&r, p, &(qv_alloc_opts){.max_nodes = 200, .no_glpk = true}, &err) == QV_OK || err.code == QV_E_LIMIT || err.code == QV_E_NOMEM);
  if (r.has_choice) check(qv_alloc_feasible(p, r.choice));
  check((r.state == QV_ALLOC_UNKNOWN) == (r.cert.n == 0));
  qv_alloc_result_clear(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  qv_atable t = {0};
  qv_alloc *p = NULL;
  qv_err err = {0};
  qv_status st = qv_atable_read(&t, (const char *)data, size, NULL, &err);
  check(st == err.code);
  if (st != QV_OK) {
    check(err.msg[0] != 0 && t.group == NULL);
    return 0;
  }
  st = qv_alloc_build(&p, &t, &err);
  check(st == err.code && (st == QV_OK) == (p != NULL));
  if (st == QV_OK) {
    qv_buf text = {0};
    st = qv_alloc_text(&text, p, &err);
    check(st == QV_OK || st == QV_E_LIMIT);
    if (st == QV_OK && p->n_cands <= 40 && p->n_rows <= 6 && p->n_terms <= 60) solve(p);
    qv_buf_free(&text);
  }
  qv_alloc_free(p);
  qv_atable_free(&t);
  return 0;
}
