/* Words and number forms shared by the .qir reader and writer; private to them and to their tests. */
#ifndef QV_IR_QIR_TEXT_H
#define QV_IR_QIR_TEXT_H

#include "ir/ir.h"

/* A closed set of words: the i-th one, NULL past the end. The order is that of the enum it spells. */
typedef const char *(*qv_qir_words)(unsigned i);

const char *qv_qir_kind(unsigned i);    /* qv_kind       */
const char *qv_qir_dtype(unsigned i);   /* qv_dtype      */
const char *qv_qir_rq(unsigned i);      /* qv_rq         */
const char *qv_qir_acc(unsigned i);     /* qv_acc_mode   */
const char *qv_qir_order(unsigned i);   /* qv_order      */
const char *qv_qir_bias(unsigned i);    /* qv_bias_place */
const char *qv_qir_form(unsigned i);    /* qv_acc.raw    */
const char *qv_qir_pairing(unsigned i); /* qv_pairing    */
const char *qv_qir_lane(unsigned i);    /* qv_acc.lane_sat */
const char *qv_qir_index(unsigned i);   /* qv_index_form */
const char *qv_qir_tail(unsigned i);    /* qv_tail_fn    */
const char *qv_qir_round(unsigned i);   /* qv_tail_round */
const char *qv_qir_end(unsigned i);     /* qv_end        */
const char *qv_qir_yes(unsigned i);     /* bool          */

/* The fields of qv_rq_par that a requantization function reads, in the order in which .qir writes them. */
enum { QV_QIR_M = 1, QV_QIR_SH = 2, QV_QIR_FM = 4, QV_QIR_FB = 8, QV_QIR_F32 = 16 /* FM and FB are binary32 */ };
unsigned qv_qir_rq_fields(qv_rq fn);

enum { QV_QIR_EXP = 256, QV_QIR_LUT = 2 * 513 }; /* elements of qv_tail.exp and qv_tail.lut */

/* The window's numbers in .qir order: key, place in qv_window, least value. key NULL ends the list. */
typedef struct {
  const char *key; /* " ih " */
  size_t offset;   /* of a uint32_t */
  uint32_t least;
} qv_qir_field;
extern const qv_qir_field qv_qir_window[];

/* Canonical hexadecimal spelling of a finite double (docs/qir.md): -0x1.fffffffffffffp-1074 is the longest kind.
 * NUL-terminated; returns the length. Own code, so that no C library's %a can change a byte. */
#define QV_QIR_FLOAT_MAX 32
size_t qv_qir_float_put(char out[QV_QIR_FLOAT_MAX], double v);

/* Exact inverse: reads s[0..n), true iff that is the canonical spelling of some finite double. */
QV_NODISCARD bool qv_qir_float_get(double *v, const char *s, size_t n);

#endif
