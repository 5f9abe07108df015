#include "frontend/query.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(long) == 8, "mpz_*_si takes int64");

static const qv_tensor *input(const qv_net *net, uint32_t i) { return &net->tensor[net->in[i].tensor]; }
static int64_t mult_of(const qv_mask *m, uint32_t i, size_t e) { return m == NULL || m->mult == NULL || m->mult[i] == NULL ? 1 : m->mult[i][e]; }

/* ---- rational numbers ---------------------------------------------------------------------------------------------------- */

/* One decimal: digits and exponent to numerator and power of ten. */
static bool decimal(mpq_t q, const char *s, size_t n) {
  char digit[QV_RAT_DIGITS + 2];
  size_t k = 0, i = 0;
  long point = 0, e = 0;
  bool dot = false, neg = n > 0 && s[0] == '-', eneg = false;
  if (neg || (n > 0 && s[0] == '+')) i++;
  for (; i < n && (isdigit((unsigned char)s[i]) || (s[i] == '.' && !dot)); i++) {
    if (s[i] == '.') dot = true;
    else {
      if (k == QV_RAT_DIGITS) return false;
      digit[k++] = s[i];
      point += dot;
    }
  }
  if (k == 0) return false;
  digit[k] = 0;
  if (i < n && (s[i] == 'e' || s[i] == 'E')) {
    i++;
    if (i < n && (s[i] == '-' || s[i] == '+')) eneg = s[i++] == '-';
    size_t first = i;
    for (; i < n && isdigit((unsigned char)s[i]); i++)
      if ((e = e * 10 + (s[i] - '0')) > 999) return false;
    if (i == first) return false;
  }
  if (i != n) return false;
  mpz_t ten;
  mpz_init(ten);
  if (mpz_set_str(mpq_numref(q), digit, 10) != 0) k = 0; /* cannot happen: digits only */
  mpz_set_ui(mpq_denref(q), 1);
  long up = (eneg ? -e : e) - point;
  mpz_ui_pow_ui(ten, 10, (unsigned long)labs(up));
  mpz_mul(up > 0 ? mpq_numref(q) : mpq_denref(q), up > 0 ? mpq_numref(q) : mpq_denref(q), ten);
  mpz_clear(ten);
  mpq_canonicalize(q);
  if (neg) mpq_neg(q, q);
  return k > 0;
}

bool qv_rat_parse(mpq_t q, const char *s, size_t n) {
  const char *slash = memchr(s, '/', n);
  if (slash == NULL) return decimal(q, s, n);
  mpq_t d;
  mpq_init(d);
  bool ok = decimal(q, s, (size_t)(slash - s)) && decimal(d, slash + 1, n - (size_t)(slash - s) - 1) && mpq_sgn(d) != 0;
  if (ok) mpq_div(q, q, d);
  mpq_clear(d);
  return ok;
}

/* floor and ceil saturated to int64: far beyond every declared range, which lies within 2^62. */
static int64_t to_i64(const mpz_t z) { return mpz_fits_slong_p(z) ? mpz_get_si(z) : mpz_sgn(z) < 0 ? INT64_MIN : INT64_MAX; }

static int64_t rat_floor(mpq_srcptr q) {
  mpz_t z;
  mpz_init(z);
  mpz_fdiv_q(z, mpq_numref(q), mpq_denref(q));
  int64_t v = to_i64(z);
  mpz_clear(z);
  return v;
}

/* ---- binary32 ------------------------------------------------------------------------------------------------------------ */

static const int32_t top_order = QV_F32_ORDER_MAX - 1; /* FLT_MAX */

bool qv_float_near(float *x, mpq_srcptr r, bool up) {
  mpq_t q;
  int64_t lo = -(int64_t)top_order - 1, hi = (int64_t)top_order + 1; /* up: lo fails, hi holds (or is none); down: the other way round */
  mpq_init(q);
  while (hi - lo > 1) {
    int64_t mid = lo + (hi - lo) / 2;
    mpq_set_d(q, (double)qv_f32_of_order((int32_t)mid));
    int c = mpq_cmp(q, r);
    if (up ? c >= 0 : c > 0) hi = mid;
    else lo = mid;
  }
  mpq_clear(q);
  int64_t k = up ? hi : lo;
  if (k > top_order || k < -top_order) return false;
  *x = qv_f32_of_order((int32_t)k);
  return true;
}

/* q as the quantizer at this end gives it. The quantizers are monotone: division and multiplication by a positive constant, rounding,
 * a constant and a clamp are. */
static int64_t quantize(const qv_net *net, uint32_t port, float x) {
  int64_t q = 0;
  qv_err quiet = {0};
  qv_status st = qv_end_quantize(&q, net, port, x, &quiet);
  QV_CHECK(st == QV_OK); /* a float end with a scale, a finite value */
  return st == QV_OK ? q : 0;
}

bool qv_query_float(float *x, const qv_net *net, uint32_t port, int64_t q, float lo, float hi) {
  int64_t a = (int64_t)qv_f32_order(lo) - 1, b = (int64_t)qv_f32_order(hi) + 1; /* quantize(a) < q (or outside), quantize(b) >= q (or outside) */
  while (b - a > 1) {
    int64_t mid = a + (b - a) / 2;
    if (quantize(net, port, qv_f32_of_order((int32_t)mid)) >= q) b = mid;
    else a = mid;
  }
  if (b > qv_f32_order(hi) || quantize(net, port, qv_f32_of_order((int32_t)b)) != q) return false;
  *x = qv_f32_of_order((int32_t)b);
  return true;
}

static bool float_end(const qv_net *net, uint32_t i) { return net->in[i].end != QV_END_INT; }

/* The sample's real value at element e. */
static void centre(mpq_t r, const qv_net *net, uint32_t i, const qv_sample *s, size_t e) {
  const qv_tensor *t = input(net, i);
  if (float_end(net, i) && s->real != NULL && s->real[i] != NULL) {
    mpq_set_d(r, (double)s->real[i][e]);
    return;
  }
  if (net->in[i].end == QV_END_F32_ORDER) {
    mpq_set_d(r, (double)qv_f32_of_order((int32_t)s->x[i][e])); /* finite: looked at by has_real */
    return;
  }
  mpq_t k;
  mpq_init(k);
  mpz_set_si(mpq_numref(k), s->x[i][e]);
  mpz_set_si(mpq_denref(k), 1);
  mpq_set_si(r, t->zp, 1);
  mpq_sub(k, k, r);
  mpq_set_d(r, (double)t->scale);
  mpq_mul(r, r, k);
  mpq_clear(k);
}

/* Has element e a finite real value? */
static bool has_real(const qv_net *net, uint32_t i, const qv_sample *s, size_t e) {
  if (float_end(net, i) && s->real != NULL && s->real[i] != NULL) return isfinite(s->real[i][e]);
  return net->in[i].end != QV_END_F32_ORDER || isfinite(qv_f32_of_order((int32_t)s->x[i][e]));
}

bool qv_query_float_ends(float *lo, float *hi, const qv_net *net, uint32_t port, const qv_sample *s, size_t e, mpq_srcptr eps, int64_t mult) {
  mpq_t r, d, end;
  if (!has_real(net, port, s, e)) return false;
  mpq_inits(r, d, end, NULL);
  centre(r, net, port, s, e);
  mpq_set_si(d, mult, 1);
  mpq_mul(d, d, eps);
  mpq_sub(end, r, d);
  bool ok = qv_float_near(lo, end, true);
  mpq_add(end, r, d);
  ok = qv_float_near(hi, end, false) && ok && qv_f32_order(*lo) <= qv_f32_order(*hi);
  mpq_clears(r, d, end, NULL);
  return ok;
}

/* ---- boxes --------------------------------------------------------------------------------------------------------------- */

/* Canonical form of per-element intervals: one where there is one element. */
static qv_status make_box(qv_property *p, uint32_t i, const qv_tensor *t, qv_itv **v, qv_err *err) {
  size_t n = qv_elems(t);
  qv_prop_input *in = &p->in[i];
  in->n = n;
  if ((*v = in->itv = QV_NEW(&p->arena, n, qv_itv)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "input ranges");
  return QV_OK;
}

static qv_itv around(int64_t x, int64_t radius, const qv_tensor *t) {
  qv_i128 lo = (qv_i128)x - radius, hi = (qv_i128)x + radius;
  return (qv_itv){lo < t->lo ? t->lo : (int64_t)lo, hi > t->hi ? t->hi : (int64_t)hi};
}

/* mult * eps, saturated. */
static int64_t scaled(int64_t eps, int64_t mult) { return qv_sat64((qv_i128)eps * mult); }

qv_status qv_query_steps(qv_property *p, const qv_net *net, const qv_sample *s, int64_t eps, const qv_mask *mask, qv_err *err) {
  p->claim = QV_CLAIM_ROBUST;
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_tensor *t = input(net, i);
    qv_itv *v;
    qv_status st = make_box(p, i, t, &v, err);
    if (st != QV_OK) return st;
    for (size_t e = 0; e < qv_elems(t); e++) v[e] = around(s->x[i][e], scaled(eps, mult_of(mask, i, e)), t);
  }
  return QV_OK;
}

static qv_status real_element(qv_itv *v, const qv_net *net, uint32_t i, const qv_sample *s, size_t e, mpq_srcptr eps, int64_t mult, qv_err *err) {
  const qv_tensor *t = input(net, i);
  if (!float_end(net, i)) {
    mpq_t d, k;
    mpq_inits(d, k, NULL);
    mpq_set_d(d, (double)t->scale);
    mpq_div(d, eps, d);
    mpq_set_si(k, mult, 1);
    mpq_mul(d, d, k);
    *v = around(s->x[i][e], rat_floor(d), t);
    mpq_clears(d, k, NULL);
    return QV_OK;
  }
  float lo = 0, hi = 0;
  if (!qv_query_float_ends(&lo, &hi, net, i, s, e, eps, mult))
    return QV_FAIL(err, QV_E_ARG, "vacuous: no binary32 value lies within the given distance of element %zu of input '%s'", e, net->in[i].name);
  *v = (qv_itv){quantize(net, i, lo), quantize(net, i, hi)};
  if (v->lo > v->hi) return QV_FAIL(err, QV_E_INTERNAL, "the quantizer of input '%s' is not monotone", net->in[i].name);
  *v = (qv_itv){qv_max64(v->lo, t->lo), qv_min64(v->hi, t->hi)};
  if (v->lo > v->hi) return QV_FAIL(err, QV_E_ARG, "vacuous: element %zu of input '%s' cannot reach the declared range", e, net->in[i].name);
  return QV_OK;
}

qv_status qv_query_real(qv_property *p, const qv_net *net, const qv_sample *s, mpq_srcptr eps, const qv_mask *mask, qv_err *err) {
  p->claim = QV_CLAIM_ROBUST;
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_tensor *t = input(net, i);
    qv_itv *v;
    if (net->in[i].end != QV_END_F32_ORDER && (!t->has_q || !(t->scale > 0))) return QV_FAIL(err, QV_E_UNSUP, "input '%s' has no scale: give the distance in integer steps", net->in[i].name);
    qv_status st = make_box(p, i, t, &v, err);
    for (size_t e = 0; st == QV_OK && e < qv_elems(t); e++) st = real_element(&v[e], net, i, s, e, eps, mult_of(mask, i, e), err);
    if (st != QV_OK) return st;
  }
  return QV_OK;
}

/* ---- one-parameter families ------------------------------------------------------------------------------------------------ */

/* Room for at most n points of every input. */
static qv_status make_points(qv_property *p, const qv_net *net, size_t n, qv_err *err) {
  size_t total = 0, all;
  p->claim = QV_CLAIM_ROBUST;
  for (uint32_t i = 0; i < net->n_in; i++) total += qv_elems(input(net, i));
  if (!qv_mulz(&all, n, total) || all > (size_t)1 << 26 || n > (size_t)QV_MAX_POINTS)
    return QV_FAIL(err, QV_E_LIMIT, "the family has up to %zu inputs of %zu elements: too many to list", n, total);
  for (uint32_t i = 0; i < net->n_in; i++) {
    p->in[i].n = qv_elems(input(net, i));
    if ((p->in[i].point = QV_NEW(&p->arena, n * p->in[i].n, int64_t)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "points");
  }
  p->n_points = 0;
  return QV_OK;
}

/* The point just written stays unless it equals the one before it: in a family that is monotone in every element, equal inputs follow each
 * other. */
static void keep_point(qv_property *p) {
  bool same = p->n_points > 0;
  for (uint32_t i = 0; same && i < p->n_in; i++) {
    const int64_t *x = p->in[i].point + p->n_points * p->in[i].n;
    same = memcmp(x, x - p->in[i].n, p->in[i].n * sizeof *x) == 0;
  }
  if (!same) p->n_points++;
}

qv_status qv_query_brightness(qv_property *p, const qv_net *net, const qv_sample *s, int64_t by, const qv_mask *mask, qv_err *err) {
  if (by < 0 || by > QV_MAX_POINTS) return QV_FAIL(err, QV_E_LIMIT, "a brightness change of %lld steps", (long long)by);
  qv_status st = make_points(p, net, 2 * (size_t)by + 1, err);
  for (int64_t t = -by; st == QV_OK && t <= by; t++) {
    for (uint32_t i = 0; i < net->n_in; i++) {
      const qv_tensor *in = input(net, i);
      int64_t *x = p->in[i].point + p->n_points * p->in[i].n;
      for (size_t e = 0; e < p->in[i].n; e++) x[e] = mult_of(mask, i, e) == 0 ? s->x[i][e] : qv_clamp64(qv_sat64((qv_i128)s->x[i][e] + t), in->lo, in->hi);
    }
    keep_point(p);
  }
  return st;
}

/* Breakpoints of c -> floor(c * d + 1/2) for one distance d: c = (2k - 1) / (2|d|). As numerator over 2|d|. */
typedef struct {
  int64_t num, den; /* den > 0, both below 2^31 */
} frac;

static int by_value(const void *a, const void *b) {
  const frac *x = a, *y = b;
  int64_t l = x->num * y->den, r = y->num * x->den;
  return (l > r) - (l < r);
}

/* c * d + 1/2 rounded down, plus the pivot, clipped. */
static int64_t stretch(int64_t pivot, int64_t d, mpq_srcptr c, int64_t lo, int64_t hi) {
  mpz_t a, b;
  mpz_inits(a, b, NULL);
  mpz_mul_si(a, mpq_numref(c), d);
  mpz_mul_2exp(a, a, 1);
  mpz_add(a, a, mpq_denref(c));
  mpz_mul_2exp(b, mpq_denref(c), 1);
  mpz_fdiv_q(a, a, b);
  mpz_set_si(b, pivot);
  mpz_add(a, a, b);
  int64_t v = to_i64(a);
  mpz_clears(a, b, NULL);
  return qv_clamp64(v, lo, hi);
}

typedef struct {
  int64_t *d; /* distinct distances |x - pivot| of elements that may move, ascending */
  size_t n;
  frac *f;
  size_t n_f;
} family;

static int by_i64(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static qv_status distances(family *k, const qv_net *net, const qv_sample *s, int64_t pivot, const qv_mask *mask, qv_err *err) {
  size_t total = 0;
  for (uint32_t i = 0; i < net->n_in; i++) total += qv_elems(input(net, i));
  if ((k->d = calloc(total, sizeof *k->d)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "contrast");
  for (uint32_t i = 0; i < net->n_in; i++)
    for (size_t e = 0; e < qv_elems(input(net, i)); e++) {
      qv_i128 d = (qv_i128)s->x[i][e] - pivot;
      if (d > 1 << 20 || d < -(1 << 20)) return QV_FAIL(err, QV_E_LIMIT, "contrast: element %zu is more than 2^20 from the pivot", e);
      if (d != 0 && mult_of(mask, i, e) != 0) k->d[k->n++] = (int64_t)(d < 0 ? -d : d);
    }
  qsort(k->d, k->n, sizeof *k->d, by_i64);
  size_t n = 0;
  for (size_t j = 0; j < k->n; j++)
    if (n == 0 || k->d[j] != k->d[n - 1]) k->d[n++] = k->d[j];
  k->n = n;
  return QV_OK;
}

/* All c in [lo,hi] where some element steps. */
static qv_status breakpoints(family *k, mpq_srcptr lo, mpq_srcptr hi, qv_err *err) {
  mpq_t q;
  mpq_init(q);
  for (int pass = 0; pass < 2; pass++) {
    k->n_f = 0;
    for (size_t j = 0; j < k->n; j++) {
      /* odd numerators m with lo <= m / 2d <= hi */
      mpq_set_si(q, 2 * k->d[j], 1);
      mpq_mul(q, q, lo);
      int64_t first = rat_floor(q);
      mpq_set_si(q, 2 * k->d[j], 1);
      mpq_mul(q, q, hi);
      int64_t last = rat_floor(q);
      for (int64_t m = first - 1; m <= last; m++) {
        if (m % 2 == 0) continue;
        mpq_set_si(q, m, (unsigned long)(2 * k->d[j]));
        mpq_canonicalize(q);
        if (mpq_cmp(q, lo) < 0) continue;
        if (pass == 1) k->f[k->n_f] = (frac){m, 2 * k->d[j]};
        if (++k->n_f > (size_t)1 << 22) {
          mpq_clear(q);
          return QV_FAIL(err, QV_E_LIMIT, "contrast: more than 2^22 steps");
        }
      }
    }
    if (pass == 0 && (k->f = calloc(k->n_f + 1, sizeof *k->f)) == NULL) {
      mpq_clear(q);
      return QV_FAIL(err, QV_E_NOMEM, "contrast");
    }
  }
  mpq_clear(q);
  qsort(k->f, k->n_f, sizeof *k->f, by_value);
  size_t n = 0;
  for (size_t j = 0; j < k->n_f; j++)
    if (n == 0 || by_value(&k->f[j], &k->f[n - 1]) != 0) k->f[n++] = k->f[j];
  k->n_f = n;
  return QV_OK;
}

static void contrast_point(qv_property *p, const qv_net *net, const qv_sample *s, int64_t pivot, mpq_srcptr c, const qv_mask *mask) {
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_tensor *t = input(net, i);
    int64_t *x = p->in[i].point + p->n_points * p->in[i].n;
    for (size_t e = 0; e < p->in[i].n; e++)
      x[e] = mult_of(mask, i, e) == 0 ? s->x[i][e] : stretch(pivot, s->x[i][e] - pivot, c, t->lo, t->hi);
  }
  keep_point(p);
}

qv_status qv_query_contrast(qv_property *p, const qv_net *net, const qv_sample *s, mpq_srcptr by, int64_t pivot, const qv_mask *mask, qv_err *err) {
  family k = {0};
  mpq_t lo, hi, c, next;
  qv_status st;
  mpq_inits(lo, hi, c, next, NULL);
  mpq_set_si(c, 1, 1);
  mpq_sub(lo, c, by);
  mpq_add(hi, c, by);
  if (mpq_sgn(by) < 0 || mpq_sgn(lo) < 0) {
    st = QV_FAIL(err, QV_E_ARG, "a contrast change is between 0 and 1");
    goto done;
  }
  QV_TRY(distances(&k, net, s, pivot, mask, err));
  QV_TRY(breakpoints(&k, lo, hi, err));
  QV_TRY(make_points(p, net, 2 * k.n_f + 2, err));
  /* every breakpoint, the upper end, and a point between any two neighbours: the family is constant in between, and right of
   * the lower end unless that is a breakpoint */
  mpq_set(c, lo);
  for (size_t j = 0; j <= k.n_f; j++) {
    if (j < k.n_f) mpq_set_si(next, k.f[j].num, (unsigned long)k.f[j].den), mpq_canonicalize(next);
    else mpq_set(next, hi);
    mpq_add(c, c, next);
    mpq_div_2exp(c, c, 1);
    contrast_point(p, net, s, pivot, c, mask);
    contrast_point(p, net, s, pivot, next, mask);
    mpq_set(c, next);
  }
done:
  free(k.d);
  free(k.f);
  mpq_clears(lo, hi, c, next, NULL);
  return st;
}

/* ---- conditions ------------------------------------------------------------------------------------------------------------ */

uint32_t qv_argmax(const int64_t *o, size_t n, bool first) {
  size_t best = 0;
  for (size_t e = 1; e < n; e++)
    if (first ? o[e] > o[best] : o[e] >= o[best]) best = e;
  return (uint32_t)best;
}

static qv_status keep_args(size_t *n, const qv_net *net, uint32_t out, uint32_t cls, qv_err *err) {
  if (out >= net->n_out) return QV_FAIL(err, QV_E_ARG, "the net has no output %u", out);
  *n = qv_elems(&net->tensor[net->out[out].tensor]);
  if (cls >= *n) return QV_FAIL(err, QV_E_ARG, "output %u has %zu elements, no class %u", out, *n, cls);
  if (*n < 2) return QV_FAIL(err, QV_E_ARG, "vacuous: output %u has one element, nothing could change", out);
  return QV_OK;
}

/* o_j - o_cls >= d as terms in ascending order. */
static bool ahead(qv_ineq *q, qv_arena *a, uint32_t out, uint32_t cls, uint32_t j, int64_t d) {
  qv_out_term *t = QV_NEW(a, 2, qv_out_term);
  if (t == NULL) return false;
  t[j > cls] = (qv_out_term){out, j, 1};
  t[j < cls] = (qv_out_term){out, cls, -1};
  *q = (qv_ineq){2, t, d};
  return true;
}

qv_status qv_keep_margin(qv_condition *c, qv_arena *a, const qv_net *net, uint32_t out, uint32_t cls, int64_t margin, qv_err *err) {
  size_t n = 0;
  qv_status st = keep_args(&n, net, out, cls, err);
  if (st != QV_OK) return st;
  if (margin > QV_COND_MAX || margin < -QV_COND_MAX) return QV_FAIL(err, QV_E_ARG, "a margin beyond 2^62");
  qv_ineq *q = QV_NEW(a, n - 1, qv_ineq);
  qv_violation *v = QV_NEW(a, n - 1, qv_violation);
  if (q == NULL || v == NULL) return QV_FAIL(err, QV_E_NOMEM, "condition");
  for (uint32_t j = 0, k = 0; j < n; j++) {
    if (j == cls) continue;
    if (!ahead(&q[k], a, out, cls, j, 1 - margin)) return QV_FAIL(err, QV_E_NOMEM, "condition");
    v[k] = (qv_violation){1, &q[k]};
    k++;
  }
  *c = (qv_condition){.kind = QV_AVOID, .n = (uint32_t)n - 1, .bad = v};
  return QV_OK;
}

/* Sets of k of the m others, or 0 if more than 10,000. */
static uint32_t sets(uint64_t m, uint64_t k) {
  uint64_t s = 1;
  for (uint64_t i = 1; i <= k; i++) { /* C(m-k+i, i), which ascends */
    s = s * (m - k + i) / i;
    if (s > 10000) return 0;
  }
  return (uint32_t)s;
}

qv_status qv_keep_top(qv_condition *c, qv_arena *a, const qv_net *net, uint32_t out, uint32_t cls, uint32_t k, bool first, qv_err *err) {
  size_t n = 0;
  qv_status st = keep_args(&n, net, out, cls, err);
  if (st != QV_OK) return st;
  if (k == 0 || k >= n) return QV_FAIL(err, QV_E_ARG, "vacuous: among the %u largest of %zu elements", k, n);
  if (k == 1) {
    *c = (qv_condition){.kind = first ? QV_KEEP_FIRST : QV_KEEP_LAST, .out = out, .cls = cls};
    return QV_OK;
  }
  uint32_t count = sets(n - 1, k), pick[10000];
  if (count == 0 || k > 10000) return QV_FAIL(err, QV_E_LIMIT, "there are more than 10,000 sets of %u of the %zu other classes", k, n - 1);
  qv_ineq *one = QV_NEW(a, n, qv_ineq), *q = QV_NEW(a, (size_t)count * k, qv_ineq);
  qv_violation *v = QV_NEW(a, count, qv_violation);
  if (one == NULL || q == NULL || v == NULL) return QV_FAIL(err, QV_E_NOMEM, "condition");
  for (uint32_t j = 0; j < n; j++)
    if (j != cls && !ahead(&one[j], a, out, cls, j, (first ? j < cls : j > cls) ? 0 : 1)) return QV_FAIL(err, QV_E_NOMEM, "condition");
  for (uint32_t i = 0; i < k; i++) pick[i] = i; /* numbers of others, cls left out, ascending */
  for (uint32_t s = 0; s < count; s++) {
    v[s] = (qv_violation){k, q + (size_t)s * k};
    for (uint32_t i = 0; i < k; i++) q[(size_t)s * k + i] = one[pick[i] + (pick[i] >= cls)];
    uint32_t i = k; /* the next set in order */
    while (i > 0 && pick[i - 1] == n - 1 - k + (i - 1)) i--;
    if (i == 0) break;
    pick[i - 1]++;
    for (; i < k; i++) pick[i] = pick[i - 1] + 1;
  }
  *c = (qv_condition){.kind = QV_AVOID, .n = count, .bad = v};
  return QV_OK;
}
