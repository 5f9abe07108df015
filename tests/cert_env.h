/* For the tests of overflow proofs: the checker as a process, what is true of a tiny net by executing all inputs, and whether
 * a certificate says only true things. None of it uses the prover, nor a line of the checker. */
#ifndef QV_TESTS_CERT_ENV_H
#define QV_TESTS_CERT_ENV_H

#include "cli/evidence.h"
#include "ir/base/rng.h"
#include "ir/qir.h"
#include "kernels/ref.h"
#include "tests/checker_run.h"

/* ---- the checker ---------------------------------------------------------------------------------------------------- */

typedef enum { CE_CHECKED, CE_REJECTED, CE_UNUSABLE, CE_BROKEN } ce_result; /* BROKEN: crash or breach of its contract */

typedef struct {
  ce_result result;
  bool verified;   /* the verdict line it printed */
  char text[CR_TEXT]; /* what it printed */
} ce_answer;

/* Run the checker on three texts; an empty property stands for "-". Needs cr_open. */
ce_answer ce_check(const qv_buf *qir, const qv_buf *property, const qv_buf *cert);
const char *ce_result_name(ce_result r);

/* ---- truth by enumeration ------------------------------------------------------------------------------------------- */

typedef struct {
  uint64_t inputs;      /* executed                                                                                   */
  bool *seen;           /* [n_tensors] some execution gave the tensor a value                                         */
  qv_itv **reached;     /* [n_tensors][element] hull of the values                                                    */
  bool *wrong;          /* [n_nodes] at the judged width: another result than the exact sum, or undefined, on some input */
  bool *overflows;      /* [n_nodes] ... or a step, pair or lane of it leaves its width, in the stored order or, for nodes
                           of unknown order, in any                                                                   */
  bool *own_wrong;      /* [n_nodes] at the node's own width                                                          */
  bool *obligation;     /* [n_nodes] some executed value of a STEP's input breaches docs/certificate.md section 5     */
  qv_arena mem;
} ce_truth;

/* Execute every input of the domain (at most `limit`; false if there are more, or the net cannot be executed). What depends
 * on a trapped node is not executed further. */
bool ce_truth_run(ce_truth *out, const qv_net *net, const qv_property *p, uint64_t limit);
void ce_truth_clear(ce_truth *t);

/* NULL if every claim of a certificate for this net and property is true, given the truth; else what is wrong with it.
 * Also demands the grammar's lines in their order, except the order and justification of `linear` lines. */
const char *ce_false_claim(const qv_buf *cert, const qv_net *net, const qv_property *p, const ce_truth *t);

/* ---- material ------------------------------------------------------------------------------------------------------- */

/* Make accumulators narrow now and then, so that each mode overflows sometimes. The net stays checked. */
void ce_squeeze(qv_net *net, qv_rng *r);

/* A random property: own widths or acc_bits, inputs whole, boxed, or boxed element by element. */
void ce_property(qv_property *p, const qv_net *net, int acc_bits, qv_rng *r);

/* Read text back: an own copy of the net. */
qv_net *ce_copy(const qv_buf *qir);

/* New own hash at the end of a certificate whose other lines were changed. */
void ce_rehash(qv_buf *cert);

#endif
