#include "frontend/surd.h"

#include <math.h>

#include "ir/ir.h"

void qv_surd_init(qv_surd *x) { mpq_inits(x->p, x->q, x->r, NULL); }
void qv_surd_clear(qv_surd *x) { mpq_clears(x->p, x->q, x->r, NULL); }

void qv_surd_set(qv_surd *z, const qv_surd *x) {
  mpq_set(z->p, x->p);
  mpq_set(z->q, x->q);
  mpq_set(z->r, x->r);
}

void qv_surd_set_q(qv_surd *z, mpq_srcptr v) {
  mpq_set(z->p, v);
  mpq_set_ui(z->q, 0, 1);
  mpq_set_ui(z->r, 0, 1);
}

void qv_surd_set_i64(qv_surd *z, int64_t v) {
  mpq_set_si(z->p, v, 1);
  mpq_set_ui(z->q, 0, 1);
  mpq_set_ui(z->r, 0, 1);
}

bool qv_surd_set_f64(qv_surd *z, double v) {
  if (!isfinite(v)) return false;
  mpq_set_d(z->p, v);
  mpq_set_ui(z->q, 0, 1);
  mpq_set_ui(z->r, 0, 1);
  return true;
}

bool qv_surd_rational(const qv_surd *x) { return mpq_sgn(x->q) == 0; }

static bool small(mpq_srcptr v) {
  return mpz_sizeinbase(mpq_numref(v), 2) <= QV_SURD_BITS && mpz_sizeinbase(mpq_denref(v), 2) <= QV_SURD_BITS;
}

/* Canonical: no root where its factor is 0. */
static bool finish(qv_surd *z) {
  if (mpq_sgn(z->q) == 0) mpq_set_ui(z->r, 0, 1);
  return small(z->p) && small(z->q) && small(z->r);
}

/* The root of x and y together; false if they have two different ones. Equal only if written equally: r is as BatchNorm gave it. */
static bool common_root(mpq_srcptr *r, const qv_surd *x, const qv_surd *y) {
  *r = mpq_sgn(x->q) != 0 ? x->r : y->r;
  return mpq_sgn(x->q) == 0 || mpq_sgn(y->q) == 0 || mpq_equal(x->r, y->r);
}

static bool add(qv_surd *z, const qv_surd *x, const qv_surd *y, void (*op)(mpq_ptr, mpq_srcptr, mpq_srcptr)) {
  mpq_srcptr r;
  if (!common_root(&r, x, y)) return false;
  mpq_set(z->r, r);
  op(z->p, x->p, y->p);
  op(z->q, x->q, y->q);
  return true;
}

bool qv_surd_add(qv_surd *z, const qv_surd *x, const qv_surd *y) { return add(z, x, y, mpq_add) && finish(z); }
bool qv_surd_sub(qv_surd *z, const qv_surd *x, const qv_surd *y) { return add(z, x, y, mpq_sub) && finish(z); }

/* (a + b sqrt r)(c + d sqrt r) = ac + bd r + (ad + bc) sqrt r */
bool qv_surd_mul(qv_surd *z, const qv_surd *x, const qv_surd *y) {
  mpq_srcptr r;
  mpq_t p, q, t;
  if (!common_root(&r, x, y)) return false;
  mpq_inits(p, q, t, NULL);
  mpq_mul(p, x->p, y->p);
  mpq_mul(t, x->q, y->q);
  mpq_mul(t, t, r);
  mpq_add(p, p, t);
  mpq_mul(q, x->p, y->q);
  mpq_mul(t, x->q, y->p);
  mpq_add(q, q, t);
  mpq_set(z->r, r);
  mpq_set(z->p, p);
  mpq_set(z->q, q);
  mpq_clears(p, q, t, NULL);
  return finish(z);
}

/* 1/(c + d sqrt r) = (c - d sqrt r) / (c^2 - d^2 r); the divisor is 0 only if both are, because r is no square */
bool qv_surd_div(qv_surd *z, const qv_surd *x, const qv_surd *y) {
  qv_surd inv;
  mpq_t n, t;
  bool ok = mpq_sgn(y->p) != 0 || mpq_sgn(y->q) != 0;
  if (!ok) return false;
  qv_surd_init(&inv);
  mpq_inits(n, t, NULL);
  mpq_mul(n, y->p, y->p);
  mpq_mul(t, y->q, y->q);
  mpq_mul(t, t, y->r);
  mpq_sub(n, n, t);
  mpq_div(inv.p, y->p, n);
  mpq_div(inv.q, y->q, n);
  mpq_neg(inv.q, inv.q);
  mpq_set(inv.r, y->r);
  ok = qv_surd_mul(z, x, &inv);
  mpq_clears(n, t, NULL);
  qv_surd_clear(&inv);
  return ok;
}

bool qv_surd_sqrt(qv_surd *z, const qv_surd *x) {
  if (!qv_surd_rational(x) || mpq_sgn(x->p) < 0) return false;
  bool square = mpz_perfect_square_p(mpq_numref(x->p)) && mpz_perfect_square_p(mpq_denref(x->p)); /* in lowest terms */
  mpq_set(z->r, x->p);
  if (square) {
    mpz_sqrt(mpq_numref(z->p), mpq_numref(z->r));
    mpz_sqrt(mpq_denref(z->p), mpq_denref(z->r));
    mpq_set_ui(z->q, 0, 1);
  } else {
    mpq_set_ui(z->p, 0, 1);
    mpq_set_ui(z->q, 1, 1);
  }
  return finish(z);
}

int qv_surd_sign(const qv_surd *x) {
  int p = mpq_sgn(x->p), q = mpq_sgn(x->q);
  if (q == 0 || p == q) return p != 0 ? p : q;
  if (p == 0) return q;
  mpq_t a, b; /* |p| against |q| sqrt r */
  mpq_inits(a, b, NULL);
  mpq_mul(a, x->p, x->p);
  mpq_mul(b, x->q, x->q);
  mpq_mul(b, b, x->r);
  int c = mpq_cmp(a, b);
  mpq_clears(a, b, NULL);
  return c > 0 ? p : q; /* never 0: r is no square */
}

bool qv_surd_cmp(int *c, const qv_surd *x, const qv_surd *y) {
  qv_surd d;
  qv_surd_init(&d);
  bool ok = add(&d, x, y, mpq_sub); /* no limit: nothing is kept */
  if (ok) *c = qv_surd_sign(&d);
  qv_surd_clear(&d);
  return ok;
}

/* With p = a/b and q sqrt r = +-sqrt(n/d): b*sqrt(n/d) = sqrt(b^2 n / d), and floor(p + sqrt t) = floor((a + s) / b) for
 * s = floor(sqrt(b^2 t)), because a/b and the divisor b are integers; below 0 the root is rounded up instead. */
bool qv_surd_floor(mpz_t z, const qv_surd *x) {
  if (qv_surd_rational(x)) {
    mpz_fdiv_q(z, mpq_numref(x->p), mpq_denref(x->p));
    return mpz_cmp_ui(mpq_denref(x->p), 1) == 0;
  }
  mpq_t t, b;
  mpq_inits(t, b, NULL);
  mpq_set_z(b, mpq_denref(x->p));
  mpq_mul(t, x->q, x->q);
  mpq_mul(t, t, x->r);
  mpq_mul(t, t, b);
  mpq_mul(t, t, b); /* not a square, so never an integer's square: floor of the root of floor(t) is the floor of the root */
  mpz_fdiv_q(z, mpq_numref(t), mpq_denref(t));
  mpz_sqrt(z, z);
  if (mpq_sgn(x->q) < 0) { /* ceil of the root, subtracted */
    mpz_add_ui(z, z, 1);
    mpz_neg(z, z);
  }
  mpz_add(z, z, mpq_numref(x->p));
  mpz_fdiv_q(z, z, mpq_denref(x->p));
  mpq_clears(t, b, NULL);
  return false;
}

/* Is the float with order number o at or above x (strict: above)? Infinities are beyond every number. */
static bool reaches(int64_t o, const qv_surd *x, bool strict) {
  if (o >= QV_F32_ORDER_MAX || o <= -QV_F32_ORDER_MAX) return o > 0;
  qv_surd f;
  int c = 0;
  qv_surd_init(&f);
  bool ok = qv_surd_set_f64(&f, (double)qv_f32_of_order((int32_t)o)) && qv_surd_cmp(&c, &f, x);
  QV_CHECK(ok); /* f is rational */
  qv_surd_clear(&f);
  return strict ? c > 0 : c >= 0;
}

int32_t qv_surd_order(const qv_surd *x, bool strict) {
  int64_t lo = -QV_F32_ORDER_MAX, hi = QV_F32_ORDER_MAX; /* the answer is in (lo,hi] */
  double near = mpq_get_d(x->p) + (mpq_sgn(x->q) != 0 ? mpq_get_d(x->q) * sqrt(mpq_get_d(x->r)) : 0);
  if (fabs(near) < 0x1p127) { /* mostly right: then few comparisons are left */
    int64_t o = qv_f32_order((float)near);
    if (!reaches(o - 2, x, strict)) lo = o - 2;
    if (reaches(o + 2, x, strict)) hi = o + 2;
  }
  while (hi - lo > 1) {
    int64_t mid = lo + (hi - lo) / 2;
    if (reaches(mid, x, strict)) hi = mid;
    else lo = mid;
  }
  return (int32_t)hi;
}
