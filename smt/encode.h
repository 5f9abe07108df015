/* Definitions as SMT-LIB 2.6: the text that is exported is the text that is solved.
 *
 * Theorem: the text is satisfiable iff some values of the input elements, inside their intervals, make a case of the goal hold
 * (docs/smt.md section 3). Inputs are named iP_E (net input P, element E), other definitions vD. */
#ifndef QV_SMT_ENCODE_H
#define QV_SMT_ENCODE_H

#include "ir/base/buf.h"
#include "smt/defs.h"

typedef enum {
  QV_SMT_INT, /* QF_LIA: a floor is two inequalities, a product by a variable a sum over the bits of one factor */
  QV_SMT_BV   /* QF_BV: every value in the bits that its interval needs, balanced sums                          */
} qv_smt_encoding;

/* Append; `model`: with the commands that ask for the inputs' values. Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_smtlib_write(qv_buf *out, const qv_defs *d, qv_smt_encoding e, bool model, qv_err *err);

/* Decimal, of any 128-bit integer. */
void qv_buf_i128(qv_buf *b, qv_i128 v);

#endif
