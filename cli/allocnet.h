/* Allocation from a float network: the table is measured and proved, and the choice becomes an exported network. */
#ifndef QV_CLI_ALLOCNET_H
#define QV_CLI_ALLOCNET_H

#include "cli/alloctab.h"
#include "cli/quantized.h"

#define CLI_MAX_CANDS 32

typedef struct {
  bool used;        /* the operand was a network, not a table */
  cli_floatnet f;
  qv_made_table made;
  qv_bits cand[CLI_MAX_CANDS];
  uint32_t n_cand;
  int acc_bits;     /* of the filter */
  const char *profile;
} cli_allocnet;

/* For the option lists of allocate and compare. */
#define CLI_ALLOCNET_OPTS                                                                                                                        \
  CLI_FLOATNET_OPTS, {"candidates", 0, "W/A,..", false, "float network: bits of weights and activations to choose from (default 8/8,6/8,4/8,3/8,2/8,8/4,4/4)"}, \
      {"acc-bits", 0, "N", false, "float network: width of accumulator that every candidate is proved safe for (2..32, default 32)"},               \
      {"pairs", 0, NULL, false, "float network: and of a kernel that adds byte products in saturating 16-bit pairs"},                               \
      {"keep-ends", 0, "W/A", false, "float network: candidate that the input and output groups keep"},                                              \
      {"profile", 'p', "NAME", false, "float network: runtime that the result is read back and proved for (default ort-vnni)"},                      \
      {"table", 0, "FILE", false, "float network: write the table that was measured"}

/* The table at path, or the network there, on which a table is measured and proved; then the problem under the options' limits. Returns 0, or
 * the exit code after a message. cli_allocnet_free and cli_alloc_free in every case. */
int cli_allocnet_load(cli_allocnet *x, cli_alloc *a, const cli_cmd *cmd, const cli_val *val, const char *path, qv_err *err);
void cli_allocnet_free(cli_allocnet *x);

/* The network of one choice: out and q must be {0}; freed by the caller in every case. */
QV_NODISCARD qv_status cli_allocnet_apply(cli_quantized *out, qv_quantized *q, const cli_allocnet *x, const qv_alloc *p, const uint32_t *choice,
                                          bool check, qv_err *err);

/* Candidates that were left out because their accumulators are not proved safe. */
void cli_allocnet_explain(qv_buf *out, const cli_allocnet *x);

#endif
