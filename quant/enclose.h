/* Certified enclosures of the functions that float networks use: intervals of binary64 that contain the real value, from integer
 * arithmetic alone. The C library's functions carry no such promise. */
#ifndef QV_QUANT_ENCLOSE_H
#define QV_QUANT_ENCLOSE_H

#include <math.h>
#include <stdbool.h>

typedef struct {
  double lo, hi;
} qv_real; /* every real between them; lo <= hi */

/* Next binary64 value down and up: turns a result rounded to nearest into a bound. */
static inline double qv_down(double x) { return nextafter(x, -INFINITY); }
static inline double qv_up(double x) { return nextafter(x, INFINITY); }

/* exp(-x), x >= 0; 1/(1+exp(-x)); tanh(x). x finite. Width below 2^-50. */
qv_real qv_enclose_exp_neg(double x);
qv_real qv_enclose_sigmoid(double x);
qv_real qv_enclose_tanh(double x);

#endif
