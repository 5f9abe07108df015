/* The overflow question for a whole net: interval proof, then counterexamples where the proof fails. */
#ifndef QV_CLI_OVCHECK_H
#define QV_CLI_OVCHECK_H

#include "analysis/overflow.h"
#include "cli/witness.h"

typedef struct {
  int acc_bits;         /* as asked: 0 = each node's own accumulator                                            */
  uint32_t n;           /* accumulating nodes = ranges.n_acc                                                     */
  qv_range_result ranges;
  qv_ov_item *item;     /* [n]; verdict FALSIFIED only where wit[i].in is set                                    */
  qv_witness *wit;      /* [n]; .in NULL = no counterexample                                                     */
  qv_obligation *ob;    /* [n_ob] what the requantization steps ask for; in ranges.arena                         */
  uint32_t n_ob;
  uint32_t n_opaque;    /* OPAQUE nodes: each is an obligation that nobody can prove                             */
  uint32_t selected;    /* n + obligations that are not informational + n_opaque                                 */
  uint32_t verified, falsified;
} qv_ovcheck;

/* *out must be {0}; qv_ovcheck_clear in every case. acc_bits 0 or 2..64. The net's declared input ranges are the domain. */
QV_NODISCARD qv_status qv_ovcheck_run(qv_ovcheck *out, const qv_net *net, int acc_bits, qv_err *err);
void qv_ovcheck_clear(qv_ovcheck *o);

/* Hull of the final ranges of all channels. */
qv_itv qv_acc_hull(const qv_acc_bound *b);

/* FALSIFIED if any item is; VERIFIED if something was selected and all of it is verified; else UNKNOWN. */
qv_verdict qv_ovcheck_verdict(const qv_ovcheck *o);

#endif
