/* Forged certificates of allocation: mutants with a right self-hash, and whether what a certificate claims is true, by enumerating the
 * problem. */
#ifndef QV_TESTS_ALLOC_FORGE_H
#define QV_TESTS_ALLOC_FORGE_H

#include "ilp/alloc.h"
#include "ir/base/rng.h"

/* Append the certificate's lines (without its sha256 line) changed at random in one place, then the right hash. */
void af_mutate(qv_buf *out, const qv_buf *cert, const qv_alloc *p, qv_rng *r);
/* The certificate with its claim replaced by these lines (up to the proof), then the right hash. */
void af_claim(qv_buf *out, const qv_buf *cert, const char *claim);
/* "choice LOSS c .." for an assignment. */
void af_choice(qv_buf *out, const qv_alloc *p, const uint32_t *choice);

/* Is the claim of this certificate true of the problem? At most 2^20 assignments. Malformed claims are false. */
bool af_true(const qv_buf *cert, const qv_alloc *p);

#endif
