/* The overflow proof of a net over a property's domain: intervals first, linear bounds where intervals do not suffice, the
 * verdict, and the certificate that lets another program check it. */
#ifndef QV_ANALYSIS_PROVE_H
#define QV_ANALYSIS_PROVE_H

#include "analysis/overflow.h"
#include "cert/cert.h"
#include "ir/property.h"

typedef struct {
  bool tight;        /* linear bounds on every channel (width reports); default: only where the verdict needs them */
  uint64_t work;     /* multiply-adds that linear bounds may spend; 0 = QV_PROVE_WORK; 1 = no linear bounds         */
} qv_prove_opts;

#define QV_PROVE_WORK ((uint64_t)1 << 28)

typedef struct {
  qv_range_result interval; /* interval analysis alone */
  qv_range_result range;    /* with linear bounds */
  qv_ov_item *item;         /* [range.n_acc] */
  qv_obligation *obligation;
  uint32_t n_obligation;
  qv_cert_linear *linear;   /* rows that tightened something, in certificate order */
  uint32_t n_linear;
  int acc_bits;
  bool tight;               /* as asked */
  uint32_t n_own;           /* acc_bits != 0: accumulators that may overflow at their own width; the ranges behind them are not
                               those of a net with acc_bits-wide accumulators. Not 0: not VERIFIED */
  qv_verdict verdict;       /* VERIFIED or UNKNOWN */
  qv_arena arena;
} qv_proof;

/* Prove that no accumulator of `net` overflows, for all inputs in p (NULL: every input whole, own widths).
 *   Sound: VERIFIED only by exact integer bounds. Deterministic. *out is owned by the caller (qv_proof_clear), also after an
 *   error. Errors: QV_E_NOMEM, QV_E_ARG. Cost: interval analysis, plus at most opts->work multiply-adds. */
QV_NODISCARD qv_status qv_prove_overflow(qv_proof *out, const qv_net *net, const qv_property *p, const qv_prove_opts *opts,
                                         qv_err *err);
void qv_proof_clear(qv_proof *p);

/* Append the certificate (docs/certificate.md). Hashes as qv_cert says; property_sha256 NULL for the default property. */
QV_NODISCARD qv_status qv_proof_certificate(qv_buf *out, const qv_proof *p, const qv_net *net, const char *net_sha256,
                                            const char *property_sha256, qv_err *err);

#endif
