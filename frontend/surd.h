/* Exact numbers p + q*sqrt(r), p, q, r rational: what is left of BatchNorm over the reals. Two numbers with different roots do not
 * meet in one, so such a sum or product fails instead of being rounded. Private to the front end. */
#ifndef QV_FRONTEND_SURD_H
#define QV_FRONTEND_SURD_H

#include <gmp.h>

#include "ir/base/int.h"
#include "ir/base/status.h"

#define QV_SURD_BITS 8192 /* an operation whose result has a numerator or denominator above this many bits fails */

typedef struct {
  mpq_t p, q, r; /* q = 0: rational, r = 0; else r > 0 is not the square of a rational */
} qv_surd;

void qv_surd_init(qv_surd *x); /* 0 */
void qv_surd_clear(qv_surd *x);
void qv_surd_set(qv_surd *z, const qv_surd *x);
void qv_surd_set_i64(qv_surd *z, int64_t v);
void qv_surd_set_q(qv_surd *z, mpq_srcptr v);
bool qv_surd_set_f64(qv_surd *z, double v); /* exactly; false for NaN and infinities */

/* z = x op y; z may be x or y. False: different roots, above QV_SURD_BITS, or division by 0; then z is undefined. */
QV_NODISCARD bool qv_surd_add(qv_surd *z, const qv_surd *x, const qv_surd *y);
QV_NODISCARD bool qv_surd_sub(qv_surd *z, const qv_surd *x, const qv_surd *y);
QV_NODISCARD bool qv_surd_mul(qv_surd *z, const qv_surd *x, const qv_surd *y);
QV_NODISCARD bool qv_surd_div(qv_surd *z, const qv_surd *x, const qv_surd *y);
/* z = sqrt(x) of a rational x >= 0; false otherwise. */
QV_NODISCARD bool qv_surd_sqrt(qv_surd *z, const qv_surd *x);

bool qv_surd_rational(const qv_surd *x);
int qv_surd_sign(const qv_surd *x); /* -1, 0, 1: squares are compared, nothing is approximated */
/* *c = sign of x - y. False: different roots. */
QV_NODISCARD bool qv_surd_cmp(int *c, const qv_surd *x, const qv_surd *y);
/* Largest integer <= x; returns whether x is that integer. */
bool qv_surd_floor(mpz_t z, const qv_surd *x);
/* Smallest binary32 value >= x (strict: > x) among all of them and +infinity, as its order number. Exact. */
int32_t qv_surd_order(const qv_surd *x, bool strict);

#endif
