#include "ir/qir_text.h"

#include <stddef.h>
#include <string.h>

/* Switches, so that the compiler asks for the word of a new enum value. */
const char *qv_qir_order(unsigned i) {
  switch ((qv_order)i) {
  case QV_ORDER_KERNEL: return "kernel";
  case QV_ORDER_ANY: return "any";
  }
  return NULL;
}

const char *qv_qir_bias(unsigned i) {
  switch ((qv_bias_place)i) {
  case QV_BIAS_LAST: return "last";
  case QV_BIAS_FIRST: return "first";
  }
  return NULL;
}

const char *qv_qir_pairing(unsigned i) {
  switch ((qv_pairing)i) {
  case QV_PAIR_ADJACENT: return "adjacent";
  case QV_PAIR_K8: return "k8";
  }
  return NULL;
}

const char *qv_qir_index(unsigned i) {
  switch ((qv_index_form)i) {
  case QV_IX_RESHAPE: return "reshape";
  case QV_IX_TRANSPOSE: return "transpose";
  case QV_IX_PAD: return "pad";
  case QV_IX_CONCAT: return "concat";
  case QV_IX_SLICE: return "slice";
  case QV_IX_BROADCAST: return "broadcast";
  case QV_IX_GATHER: return "gather";
  }
  return NULL;
}

const char *qv_qir_tail(unsigned i) {
  switch ((qv_tail_fn)i) {
  case QV_TAIL_SOFTMAX_Q: return "softmax_q";
  case QV_TAIL_SOFTMAX_F: return "softmax_f";
  case QV_TAIL_SOFTMAX_16: return "softmax_16";
  }
  return NULL;
}

const char *qv_qir_round(unsigned i) {
  switch ((qv_tail_round)i) {
  case QV_TR_AWAY: return "away";
  case QV_TR_HALF_UP_TRUNC: return "half_up_trunc";
  }
  return NULL;
}

const char *qv_qir_end(unsigned i) {
  switch ((qv_end)i) {
  case QV_END_INT: return "int";
  case QV_END_QUANT_AWAY: return "quant_away";
  case QV_END_QUANT_EVEN: return "quant_even";
  case QV_END_QUANT_INV: return "quant_inv";
  case QV_END_F32_ORDER: return "f32_order";
  case QV_END_DEQUANT: return "dequant";
  }
  return NULL;
}

/* Words of flags: false, true. */
static const char *flag(unsigned i, const char *no, const char *yes) { return i == 0 ? no : i == 1 ? yes : NULL; }
const char *qv_qir_form(unsigned i) { return flag(i, "corrected", "raw"); }
const char *qv_qir_lane(unsigned i) { return flag(i, "wrap", "sat"); }
const char *qv_qir_yes(unsigned i) { return flag(i, "no", "yes"); }

const char *qv_qir_kind(unsigned i) { return i < QV_KINDS ? qv_kind_name((qv_kind)i) : NULL; }
const char *qv_qir_dtype(unsigned i) { return i < QV_DTYPES ? qv_dtype_name((qv_dtype)i) : NULL; }
const char *qv_qir_rq(unsigned i) { return i <= QV_RQ_MEANF ? qv_rq_name((qv_rq)i) : NULL; }
const char *qv_qir_acc(unsigned i) { return i <= QV_ACC_PAIRLANES ? qv_acc_name((qv_acc_mode)i) : NULL; }

unsigned qv_qir_rq_fields(qv_rq fn) {
  switch (fn) {
  case QV_RQ_D:
  case QV_RQ_U:
  case QV_RQ_S:
  case QV_RQ_64:
  case QV_RQ_T:
  case QV_RQ_TD: return QV_QIR_M | QV_QIR_SH;
  case QV_RQ_F32:
  case QV_RQ_NDU: return QV_QIR_FM | QV_QIR_F32;
  case QV_RQ_F64A:
  case QV_RQ_REF: return QV_QIR_FM;
  case QV_RQ_F32B: return QV_QIR_FM | QV_QIR_FB | QV_QIR_F32;
  case QV_RQ_DIV:
  case QV_RQ_TDIV: return QV_QIR_M;
  case QV_RQ_MEANF: return QV_QIR_M | QV_QIR_FM | QV_QIR_FB | QV_QIR_F32;
  }
  return 0;
}

#define FIELD(f, least)                                                                                                                    \
  { " " #f " ", offsetof(qv_window, f), least }
const qv_qir_field qv_qir_window[] = {
    FIELD(n, 1),  FIELD(ih, 1), FIELD(iw, 1), FIELD(ic, 1), FIELD(oh, 1), FIELD(ow, 1), FIELD(oc, 1),     FIELD(kh, 1), FIELD(kw, 1),
    FIELD(sh, 1), FIELD(sw, 1), FIELD(dh, 1), FIELD(dw, 1), FIELD(pt, 0), FIELD(pl, 0), FIELD(groups, 1), {NULL, 0, 0},
};

/* ---- binary64 as 0x1.<hex>p<exp> ------------------------------------------------------------------------------------- */

#define FRAC_BITS 52
#define FRAC_MASK (((uint64_t)1 << FRAC_BITS) - 1)
#define MIN_NORMAL (-1022)
#define MAX_EXP 1023

size_t qv_qir_float_put(char out[QV_QIR_FLOAT_MAX], double v) {
  uint64_t bits;
  memcpy(&bits, &v, sizeof bits);
  uint64_t frac = bits & FRAC_MASK;
  int exp = (int)(bits >> FRAC_BITS & 0x7ff);
  char *p = out;
  if (bits >> 63) *p++ = '-';
  *p++ = '0';
  *p++ = 'x';
  if (exp == 0 && frac == 0) {
    *p++ = '0';
  } else {
    if (exp == 0) { /* subnormal: move the leading one into place, so that the spelling depends on the value only */
      exp = MIN_NORMAL;
      while (!(frac >> FRAC_BITS)) {
        frac <<= 1;
        exp--;
      }
      frac &= FRAC_MASK;
    } else {
      exp -= MAX_EXP;
    }
    *p++ = '1';
    if (frac != 0) *p++ = '.';
    for (; frac != 0; frac = (frac << 4) & FRAC_MASK) *p++ = "0123456789abcdef"[frac >> (FRAC_BITS - 4)];
  }
  *p++ = 'p';
  *p++ = exp < 0 ? '-' : '+';
  char digit[8];
  size_t n = 0;
  unsigned e = (unsigned)(exp < 0 ? -exp : exp);
  do digit[n++] = (char)('0' + e % 10);
  while ((e /= 10) != 0);
  while (n > 0) *p++ = digit[--n];
  *p = 0;
  return (size_t)(p - out);
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

/* Bits of the binary64 number 1.frac * 2^exp, or of zero, cut off where it has too many digits; false if out of range. */
static bool assemble(uint64_t *bits, bool one, uint64_t frac, int exp) {
  if (exp > MAX_EXP || exp < MIN_NORMAL - FRAC_BITS) return false;
  if (!one) *bits = 0;
  else if (exp >= MIN_NORMAL) *bits = (uint64_t)(exp + MAX_EXP) << FRAC_BITS | frac;
  else *bits = (frac | (uint64_t)1 << FRAC_BITS) >> (MIN_NORMAL - exp);
  return true;
}

bool qv_qir_float_get(double *v, const char *s, size_t n) {
  size_t i = 0;
  bool neg = i < n && s[i] == '-';
  i += neg;
  if (n - i < 5 || s[i] != '0' || s[i + 1] != 'x' || (s[i + 2] != '0' && s[i + 2] != '1')) return false;
  bool one = s[i + 2] == '1';
  i += 3;
  uint64_t frac = 0;
  if (s[i] == '.') {
    int shift = FRAC_BITS;
    for (i++; i < n && hex_digit(s[i]) >= 0; i++) {
      if (shift == 0) return false;
      shift -= 4;
      frac |= (uint64_t)hex_digit(s[i]) << shift;
    }
  }
  if (n - i < 3 || s[i] != 'p' || (s[i + 1] != '+' && s[i + 1] != '-')) return false;
  bool eneg = s[i + 1] == '-';
  int exp = 0;
  for (i += 2; i < n; i++) {
    if (s[i] < '0' || s[i] > '9' || exp > MAX_EXP * 10) return false;
    exp = exp * 10 + (s[i] - '0');
  }
  uint64_t bits;
  if (!assemble(&bits, one, frac, eneg ? -exp : exp)) return false;
  bits |= (uint64_t)neg << 63;
  memcpy(v, &bits, sizeof bits);
  /* Whatever rule was broken (digits too many, zeros too many, 0x0p+1, p-0): one value has one text. */
  char canon[QV_QIR_FLOAT_MAX];
  return qv_qir_float_put(canon, *v) == n && memcmp(canon, s, n) == 0;
}
