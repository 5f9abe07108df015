#include "cli/errclaim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quant/errbound.h"

bool cli_error_claim_read(cli_error_claim *c, const char *spec) {
  char *end;
  c->within = strtod(spec, &end);
  c->around = *end == '@';
  c->radius = 0;
  if (end == spec || !(c->within >= 0)) return false; /* NaN too */
  if (!c->around) return *end == 0;
  const char *r = end + 1;
  c->radius = strtod(r, &end);
  return end != r && *end == 0 && c->radius >= 0 && c->radius < INFINITY;
}

static void around(float *lo, float *hi, const float *x, double radius, size_t n) {
  for (size_t e = 0; e < n; e++) {
    lo[e] = radius > 0 ? nextafterf((float)((double)x[e] - radius), -INFINITY) : x[e];
    hi[e] = radius > 0 ? nextafterf((float)((double)x[e] + radius), INFINITY) : x[e];
  }
}

qv_status cli_error_claim_bound(double *bound, const cli_error_claim *c, const cli_floatnet *f, const qv_net *net, qv_err *err) {
  size_t per = qv_felems(&f->g->tensor[f->g->in]), n = !c->around ? 1 : c->samples < f->n ? c->samples : f->n;
  float *lo = malloc(per * sizeof *lo), *hi = malloc(per * sizeof *hi);
  qv_errpair *pair = NULL;
  qv_status st = lo != NULL && hi != NULL ? qv_errpair_new(&pair, f->g, net, f->sample, f->n, err) : QV_FAIL(err, QV_E_NOMEM, "error bound");
  *bound = 0;
  for (size_t i = 0; st == QV_OK && i < n && *bound <= c->within; i++) {
    qv_err_bound b = {0};
    if (c->around) around(lo, hi, f->sample + i * per, c->radius, per);
    st = qv_err_bound_run(&b, pair, &(qv_err_domain){.lo = c->around ? lo : NULL, .hi = c->around ? hi : NULL}, err);
    *bound = fmax(*bound, b.max);
    qv_err_bound_clear(&b);
  }
  qv_errpair_free(pair);
  free(lo);
  free(hi);
  return st;
}
