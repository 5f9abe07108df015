/* Allocation from a float network: the table is measured and proved, and the choice becomes an exported network. */
#ifndef QV_CLI_ALLOCNET_H
#define QV_CLI_ALLOCNET_H

#include "cli/alloctab.h"
#include "cli/latency.h"
#include "cli/quantized.h"

#define CLI_MAX_CANDS 32
#define CLI_MAX_ACCS 8

typedef struct {
  bool used;        /* the operand was a network, not a table */
  cli_floatnet f;
  qv_made_table made;
  qv_bits cand[CLI_MAX_CANDS];
  uint32_t n_cand;
  qv_accum acc[CLI_MAX_ACCS]; /* the first is the reference */
  uint32_t n_acc;
  int widest;       /* of them */
  bool fit;         /* weights of candidates are fitted into their accumulators */
  cli_latency latency;
  qv_arena arena;
  const char *profile; /* as asked for; NULL: ort-vnni, or onnx-spec for a choice that it does not take */
} cli_allocnet;

/* Widths to choose from, for the option lists of allocate, compare and calibrate-cost. */
#define CLI_CANDIDATE_OPTS                                                                                                                       \
  {"candidates", 0, "W/A,..", false, "float network: bits of weights and activations to choose from (default 8/8,6/8,4/8,3/8,2/8,8/4,4/4)"},      \
      {"acc-bits", 0, "N,..", false, "float network: accumulators to choose from; each candidate is proved safe for its own (2..32, default 32; pairs32: 32 bits behind saturating 16-bit pairs)"}, \
      {"no-fit", 0, NULL, false, "float network: leave out what does not fit its accumulator, instead of fitting the weights"},                          \
      {"pairs", 0, NULL, false, "float network: all accumulators behind saturating 16-bit pairs of byte products"}
/* For the option lists of allocate and compare. */
#define CLI_ALLOCNET_OPTS                                                                                                                        \
  CLI_FLOATNET_OPTS, CLI_CANDIDATE_OPTS,                                                                                                         \
      {"keep-ends", 0, "W/A", false, "float network: candidate that the input and output groups keep"},                                              \
      {"also", 0, "METRIC,..", false, "float network: further losses for the table, which methods of compare that have their own take: hessian for hawq-v3 (eagl is always there)"}, \
      {"sensitivities", 0, "FILE", false, "float network: losses from this file where it has them; measured ones are written there for the next run (docs/quantize.md section 9)"}, \
      {"error-radius", 0, "R", false, "float network: the metric 'error' is about inputs within R of 4 calibration samples (default: 1/32 of a step of the input's codes), or 'all' inputs"}, \
      {"alps", 0, "FILE", false, "float network: ALPS's gains per layer (docs/quantize.md section 8)"},                                                \
      {"latency", 0, "FILE", false, "float network: measured times, from 'qverify calibrate-cost' or your own: a cost 'latency'"},                     \
      {"unpacked", 0, NULL, false, "float network: in the cost 'ram', codes below 8 bits take a byte each, as in our executor"},                        \
      {"profile", 'p', "NAME", false, "float network: runtime that the result is read back and proved for (default ort-vnni; onnx-spec where that refuses)"},                    \
      {"table", 0, "FILE", false, "float network: write the table that was measured"}

/* --candidates, --acc-bits, --pairs. Returns 0, or the exit code after a message. */
int cli_allocnet_widths(cli_allocnet *x, const cli_cmd *cmd, const cli_val *val);

/* The table at path, or the network there, on which a table is measured and proved; then the problem under the options' limits. Returns 0, or
 * the exit code after a message. cli_allocnet_free and cli_alloc_free in every case. */
int cli_allocnet_load(cli_allocnet *x, cli_alloc *a, const cli_cmd *cmd, const cli_val *val, const char *path, qv_err *err);
void cli_allocnet_free(cli_allocnet *x);

/* The network of one choice: out and q must be {0}; freed by the caller in every case. */
QV_NODISCARD qv_status cli_allocnet_apply(cli_quantized *out, qv_quantized *q, const cli_allocnet *x, const qv_alloc *p, const uint32_t *choice,
                                          bool check, qv_err *err);

/* Every layer's accumulator on the final integers of `built`, which q became: it must need no more than the choice says. One line about
 * it. Errors: QV_E_INTERNAL names the layer for which it needs more, or that is not found. */
QV_NODISCARD qv_status cli_allocnet_accumulators(qv_buf *out, const cli_allocnet *x, const qv_alloc *p, const uint32_t *choice, const qv_quantized *q,
                                                 const cli_quantized *built, qv_err *err);

/* Candidates that were left out because their accumulators are not proved safe. */
void cli_allocnet_explain(qv_buf *out, const cli_allocnet *x);

#endif
