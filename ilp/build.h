/* From the table to the problem; private to ilp/. */
#ifndef QV_ILP_BUILD_H
#define QV_ILP_BUILD_H

#include "ilp/alloc.h"

/* Append v in decimal. QV_E_LIMIT beyond 2000 digits. */
QV_NODISCARD qv_status qv_put_mpz(qv_buf *out, mpz_srcptr v, qv_err *err);

/* n zeroed integers from the arena; the caller clears them. NULL: no memory. */
mpz_t *qv_mpz_array(qv_arena *a, size_t n);
void qv_mpz_array_clear(mpz_t *v, size_t n); /* NULL is fine */

#endif
