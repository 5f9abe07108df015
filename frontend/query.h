/* Robustness questions to properties: which integer inputs a perturbation of a sample reaches, and what they must not do.
 * Everything is exact: real numbers are decimals or fractions (GMP), binary32 values are what they are. docs/robust.md. */
#ifndef QV_FRONTEND_QUERY_H
#define QV_FRONTEND_QUERY_H

#include <gmp.h>

#include "frontend/array.h"
#include "ir/property.h"

/* A decimal ("-1", "0.03", ".5", "1e-3") or a fraction of two of them ("8/255"). q is initialised by the caller.
 * False if the text is anything else, or has more than QV_RAT_DIGITS digits, or an exponent beyond +-999. */
#define QV_RAT_DIGITS 4096
bool qv_rat_parse(mpq_t q, const char *s, size_t n);

/* One sample: the integers of every net input, and, at float ends, the binary32 values they came from (else NULL). */
typedef struct {
  const int64_t *const *x;    /* [net->n_in][elements], inside the declared ranges */
  const float *const *real;   /* [net->n_in] or NULL; each [elements] or NULL */
} qv_sample;

/* ---- input sets. Each starts from a property that qv_property_whole made and turns it into `claim robust`; the condition is
 * still to be set (qv_keep_class and the like). Errors: QV_E_NOMEM and those named. --------------------------------------- */

/* Per element of every input a radius, mult[i][e] * eps; mult NULL (or mult[i] NULL) = 1 everywhere. Clipped to the declared range. */
typedef struct {
  const int64_t *const *mult; /* [net->n_in] or NULL; values >= 0 */
} qv_mask;

/* |x' - x| <= mult * eps in integer steps. eps >= 0. */
QV_NODISCARD qv_status qv_query_steps(qv_property *p, const qv_net *net, const qv_sample *s, int64_t eps, const qv_mask *mask, qv_err *err);

/* |r' - r| <= mult * eps in real units. At an integer end r = scale * (q - zp): the input's radius is floor(mult * eps / scale). At a float
 * end r is the sample's binary32 value (scale * (q - zp) where the sample was given as integers), r' ranges over the binary32
 * values of that closed interval, and the integers are those from the quantizer's value at the smallest to its value at the
 * largest. QV_E_UNSUP if an input has no scale; QV_E_ARG ("vacuous") if no binary32 value lies in an interval. */
QV_NODISCARD qv_status qv_query_real(qv_property *p, const qv_net *net, const qv_sample *s, mpq_srcptr eps, const qv_mask *mask, qv_err *err);

/* All integer inputs clip(x + t), t = -by .. by, the same t for all elements; distinct ones, listed. */
QV_NODISCARD qv_status qv_query_brightness(qv_property *p, const qv_net *net, const qv_sample *s, int64_t by, const qv_mask *mask, qv_err *err);

/* All integer inputs clip(floor(pivot + c * (x - pivot) + 1/2)), 1 - by <= c <= 1 + by real, the same c for all elements; distinct
 * ones, listed. 0 <= by <= 1. An element whose mult is 0 stays. QV_E_LIMIT if they are too many (2^26 elements in all). */
QV_NODISCARD qv_status qv_query_contrast(qv_property *p, const qv_net *net, const qv_sample *s, mpq_srcptr by, int64_t pivot, const qv_mask *mask,
                                         qv_err *err);

/* ---- float ends -------------------------------------------------------------------------------------------------------------- */

/* Smallest (up) or largest (!up) finite binary32 value >= (<=) r. False if there is none. */
bool qv_float_near(float *x, mpq_srcptr r, bool up);
/* Smallest binary32 value in [lo,hi] whose quantization at input `port` is q. False if there is none. Pre: a float end. */
bool qv_query_float(float *x, const qv_net *net, uint32_t port, int64_t q, float lo, float hi);
/* Ends of the binary32 interval that qv_query_real used for one element. False if it is empty. */
bool qv_query_float_ends(float *lo, float *hi, const qv_net *net, uint32_t port, const qv_sample *s, size_t e, mpq_srcptr eps, int64_t mult);

/* ---- conditions; arrays live in the arena ------------------------------------------------------------------------------------ */

/* The class stays among the k largest of output `out`; where values tie, the lower number counts as larger (first) or the higher
 * one (!first). k = 1 is KEEP. QV_E_LIMIT if more than 10,000 sets of k others would have to be listed; QV_E_ARG for k = 0 or
 * k >= elements (nothing would be claimed). */
QV_NODISCARD qv_status qv_keep_top(qv_condition *c, qv_arena *a, const qv_net *net, uint32_t out, uint32_t cls, uint32_t k, bool first, qv_err *err);

/* o_cls - o_j >= margin for every other j. QV_E_ARG for an output of one element. */
QV_NODISCARD qv_status qv_keep_margin(qv_condition *c, qv_arena *a, const qv_net *net, uint32_t out, uint32_t cls, int64_t margin, qv_err *err);

/* First (last) largest of n values. */
uint32_t qv_argmax(const int64_t *o, size_t n, bool first);

#endif
