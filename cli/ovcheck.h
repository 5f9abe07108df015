/* The overflow question for a whole net: proof by exact bounds, then counterexamples where the proof fails. */
#ifndef QV_CLI_OVCHECK_H
#define QV_CLI_OVCHECK_H

#include "analysis/witness.h"
#include "cli/evidence.h"

typedef struct {
  bool no_search;       /* set by the caller before the run: look for no counterexample                          */
  int acc_bits;         /* as asked: 0 = each node's own accumulator                                             */
  qv_proof proof;       /* ranges, obligations, the analysis' verdict; items by number                           */
  uint32_t n;           /* accumulating nodes = proof.range.n_acc                                                */
  qv_ov_item *item;     /* [n] copy of the proof's items; FALSIFIED only where wit[i] was executed and shows it  */
  qv_witness *wit;      /* [n]; state NONE where nothing was searched or found                                   */
  uint32_t n_opaque;    /* OPAQUE nodes: each is an obligation that nobody can prove                             */
  uint32_t selected;    /* n + obligations that are not informational + n_opaque + proof.n_own                   */
  uint32_t verified, falsified;
  cli_evidence evidence;      /* .qir, property and certificate of the proof                                     */
  cli_check_result checked;   /* what the independent checker said                                               */
} qv_ovcheck;

/* Prove, then search where the proof fails, then write the evidence. *out must be {0} but for no_search; qv_ovcheck_clear in
 * every case. Domain and width come from the property. The checker is not run here. */
QV_NODISCARD qv_status qv_ovcheck_run(qv_ovcheck *out, const qv_net *net, const qv_property *prop, const qv_prove_opts *opts,
                                      qv_err *err);

void qv_ovcheck_clear(qv_ovcheck *o);

/* The accumulator that an overflow question is about: the node's own for acc_bits 0, else one of the same kind that is acc_bits
 * wide (WRAP where the node's is unbounded). */
qv_acc qv_acc_judged(const qv_acc *own, int acc_bits);

/* Does the executed witness refute the claim, that is, is the machine's result another one (or undefined)? */
bool qv_witness_refutes(const qv_witness *w);

/* The first refuting witness, or NULL. */
const qv_witness *qv_ovcheck_witness(const qv_ovcheck *o);

/* Hull of the final ranges of all channels. */
qv_itv qv_acc_hull(const qv_acc_bound *b);

/* FALSIFIED if any item is; VERIFIED if something was selected and all of it is verified; else UNKNOWN. */
qv_verdict qv_ovcheck_verdict(const qv_ovcheck *o);

#endif
