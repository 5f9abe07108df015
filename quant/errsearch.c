/* Inputs with a large error, executed: what a bound has to be compared with. Steered by floating point, certified at the end. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/array.h"
#include "ir/base/rng.h"
#include "kernels/ref.h"
#include "quant/errpair.h"
#include "quant/fexec.h"

#define STEPS 3 /* corners that each output's gradient leads to, one after the other */

typedef struct {
  const qv_errpair *p;
  const float *lo, *hi;
  bool grid;
  size_t per, n_out;
  qv_fexec x;
  qv_values vals;
  float *in, *dout, *best;
  double most; /* of about the error at best */
  qv_err *err;
} seeker;

/* Both networks at s->in; the largest error, about. */
static qv_status look(seeker *s) {
  const qv_errpair *p = s->p;
  const qv_tensor *in = &p->net->tensor[p->in], *out = &p->net->tensor[p->out];
  double most = 0;
  for (size_t e = 0; e < s->per; e++) {
    size_t at = qv_errpair_at(&p->fg->tensor[p->fg->in], p->turned[p->in], e);
    int64_t q = (int64_t)rint(fmin(1e9, fmax(-1e9, (double)s->in[at] / (double)in->scale))) + in->zp;
    if (p->net->in[0].end != QV_END_INT) {
      qv_status st = qv_end_quantize(&q, p->net, 0, s->in[at], s->err);
      if (st != QV_OK) return st;
    }
    q = qv_clamp64(q, in->lo, in->hi);
    s->vals.v[p->in][e] = q;
    if (s->grid) s->in[at] = in->scale * (float)(q - in->zp);
  }
  qv_status st = qv_ref_run(p->net, &s->vals, s->err);
  if (st != QV_OK) return st;
  qv_fexec_run(&s->x, s->in);
  for (size_t e = 0; e < s->n_out; e++) {
    size_t at = qv_errpair_at(&p->fg->tensor[p->fout], p->turned[p->out], e);
    most = fmax(most, fabs((double)out->scale * (double)(s->vals.v[p->out][e] - out->zp) - (double)s->x.v[p->fout][at]));
  }
  if (most > s->most) {
    s->most = most;
    memcpy(s->best, s->in, s->per * sizeof *s->in);
  }
  return QV_OK;
}

static void anywhere(seeker *s, size_t i, qv_rng *rng) {
  for (size_t e = 0; e < s->per; e++) {
    uint64_t r = qv_rng_next(rng);
    float f = i == 0 ? 0.5f : i % 2 == 1 ? (float)(r >> 63) : (float)(r >> 40) * 0x1p-24f;
    s->in[e] = fminf(s->hi[e], fmaxf(s->lo[e], s->lo[e] + (s->hi[e] - s->lo[e]) * f));
  }
}

/* Corners where output o is large (or small): there calibrated ranges are left. */
static qv_status climb(seeker *s, size_t o, float sign) {
  qv_status st = QV_OK;
  size_t all = qv_felems(&s->p->fg->tensor[s->p->fg->out]);
  for (size_t e = 0; e < s->per; e++) s->in[e] = s->lo[e] / 2 + s->hi[e] / 2;
  for (int k = 0; k < STEPS && st == QV_OK; k++) {
    qv_fexec_run(&s->x, s->in);
    memset(s->dout, 0, all * sizeof *s->dout);
    s->dout[o] = sign;
    qv_fexec_back(&s->x, s->dout);
    for (size_t e = 0; e < s->per; e++) {
      float d = s->x.grad[s->p->fg->in][e];
      if (d > 0) s->in[e] = s->hi[e];
      else if (d < 0) s->in[e] = s->lo[e];
    }
    st = look(s);
  }
  return st;
}

qv_status qv_err_search(double *least, float *at, const qv_errpair *p, const float *lo, const float *hi, bool grid, size_t tries, qv_err *err) {
  seeker s = {.p = p, .lo = lo, .hi = hi, .grid = grid, .per = qv_errpair_inputs(p), .n_out = qv_errpair_outputs(p), .err = err};
  qv_rng rng = {7};
  qv_err_bound b = {0};
  qv_status st = QV_OK;
  s.in = calloc(s.per, sizeof *s.in);
  s.best = calloc(s.per, sizeof *s.best);
  s.dout = calloc(qv_felems(&p->fg->tensor[p->fg->out]), sizeof *s.dout);
  *least = 0;
  if (s.in == NULL || s.best == NULL || s.dout == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "error bound");
    goto done;
  }
  QV_TRY(qv_fexec_init(&s.x, p->fg, err));
  QV_TRY(qv_fexec_grads(&s.x, err));
  QV_TRY(qv_values_init(&s.vals, p->net, err));
  for (size_t i = 0; i < tries; i++) {
    anywhere(&s, i, &rng);
    QV_TRY(look(&s));
  }
  for (size_t o = 0; o < s.n_out && 2 * o < tries; o++) {
    QV_TRY(climb(&s, o, 1));
    QV_TRY(climb(&s, o, -1));
  }
  if (at != NULL) memcpy(at, s.best, s.per * sizeof *at);
  if (s.most > 0) QV_TRY(qv_err_bound_run(&b, p, &(qv_err_domain){.lo = s.best, .hi = s.best, .grid = grid, .effort = 1}, err));
  for (size_t e = 0; e < b.n; e++) *least = fmax(*least, fmax(b.lo[e], -b.hi[e]));
done:
  qv_err_bound_clear(&b);
  qv_fexec_clear(&s.x);
  qv_values_clear(&s.vals);
  free(s.in);
  free(s.best);
  free(s.dout);
  return st;
}
