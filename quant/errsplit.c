/* The bound over a box as the worst over a cover of it by smaller boxes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quant/errbound.h"

typedef struct {
  float *lo, *hi;  /* [inputs] */
  double *elo, *ehi; /* [outputs] */
  double max;
} part;

static qv_status bound(part *b, const qv_errpair *p, const qv_err_domain *dom, size_t n_out, qv_err *err) {
  qv_err_bound r = {0};
  const qv_err_domain d = {.lo = b->lo, .hi = b->hi, .grid = dom->grid, .effort = dom->effort};
  qv_status st = qv_err_bound_run(&r, p, &d, err);
  if (st == QV_OK) {
    memcpy(b->elo, r.lo, n_out * sizeof *r.lo);
    memcpy(b->ehi, r.hi, n_out * sizeof *r.hi);
    b->max = r.max;
  } else if (st == QV_E_ARG && dom->grid) { /* between two codes: no input of the grid lies here */
    st = QV_OK;
    b->max = -1;
  }
  qv_err_bound_clear(&r);
  return st;
}

static bool make(part *b, qv_arena *a, size_t per, size_t n_out) {
  b->lo = QV_NEW(a, per, float);
  b->hi = QV_NEW(a, per, float);
  b->elo = QV_NEW(a, n_out, double);
  b->ehi = QV_NEW(a, n_out, double);
  return b->lo != NULL && b->hi != NULL && b->elo != NULL && b->ehi != NULL;
}

/* Halve b across its widest side; both halves contain the cut. False: it is a point. */
static bool halve(part *b, part *c, size_t per) {
  size_t widest = 0;
  for (size_t e = 1; e < per; e++)
    if (b->hi[e] - b->lo[e] > b->hi[widest] - b->lo[widest]) widest = e;
  float mid = b->lo[widest] / 2 + b->hi[widest] / 2;
  if (!(mid > b->lo[widest]) || !(mid < b->hi[widest])) return false;
  memcpy(c->lo, b->lo, per * sizeof *c->lo);
  memcpy(c->hi, b->hi, per * sizeof *c->hi);
  b->hi[widest] = mid;
  c->lo[widest] = mid;
  return true;
}

qv_status qv_err_bound_split(qv_err_bound *out, const qv_errpair *p, const qv_err_domain *dom, size_t boxes, double enough, qv_err *err) {
  size_t per = qv_errpair_inputs(p), n = 1;
  qv_arena a = {0};
  qv_status st = QV_OK;
  float clo, chi;
  *out = (qv_err_bound){.n = qv_errpair_outputs(p)};
  part *b = calloc(boxes + 1, sizeof *b);
  out->lo = QV_NEW(&out->arena, out->n, double);
  out->hi = QV_NEW(&out->arena, out->n, double);
  if (b == NULL || out->lo == NULL || out->hi == NULL || !make(&b[0], &a, per, out->n)) {
    st = QV_FAIL(err, QV_E_NOMEM, "error bound");
    goto done;
  }
  qv_errpair_codes(p, &clo, &chi);
  for (size_t e = 0; e < per; e++) {
    b[0].lo[e] = dom->lo != NULL ? dom->lo[e] : clo;
    b[0].hi[e] = dom->hi != NULL ? dom->hi[e] : chi;
  }
  QV_TRY(bound(&b[0], p, dom, out->n, err));
  while (n < boxes) {
    size_t worst = 0;
    for (size_t i = 1; i < n; i++)
      if (b[i].max > b[worst].max) worst = i;
    if (b[worst].max <= enough) break;
    if (!make(&b[n], &a, per, out->n)) {
      st = QV_FAIL(err, QV_E_NOMEM, "error bound");
      goto done;
    }
    if (!halve(&b[worst], &b[n], per)) break;
    QV_TRY(bound(&b[worst], p, dom, out->n, err));
    QV_TRY(bound(&b[n], p, dom, out->n, err));
    n++;
  }
  bool first = true;
  for (size_t i = 0; i < n; i++) {
    if (b[i].max < 0) continue;
    for (size_t e = 0; e < out->n; e++) {
      out->lo[e] = first ? b[i].elo[e] : fmin(out->lo[e], b[i].elo[e]);
      out->hi[e] = first ? b[i].ehi[e] : fmax(out->hi[e], b[i].ehi[e]);
    }
    out->max = fmax(out->max, b[i].max);
    first = false;
  }
  if (first) st = QV_FAIL(err, QV_E_ARG, "error bound: no code lies in the domain");
done:
  free(b);
  qv_arena_clear(&a);
  return st;
}
