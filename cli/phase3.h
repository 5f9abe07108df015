/* AMP's phase 3 on a choice: fewer conversions between precisions, certified. docs/allocation.md section 6. */
#ifndef QV_CLI_PHASE3_H
#define QV_CLI_PHASE3_H

#include "cli/amp.h"

/* For the option lists of allocate and compare. */
#define CLI_PHASE3_OPTS                                                                                                                       \
  {"phase3", 0, "ALPHA,..", false,                                                                                                            \
   "AMP's phase 3: at most ALPHA times as many conversions between precisions as after phase 2, at the least bops; the last ALPHA of the "   \
   "list that can be kept counts"},                                                                                                           \
      {"conversions", 0, "HOW", false, "... an edge counts as many as it carries elements (elements, default) or 1 (ones)"}

typedef struct {
  const char *alphas; /* NULL: no phase 3 */
  bool ones;
} cli_phase3;

/* False after a usage message. */
bool cli_phase3_read(cli_phase3 *out, const cli_cmd *cmd, const cli_val *val);

/* choice: that of phase 2, [a->p->n_groups]; becomes that of phase 3, if any alpha can be kept, within the limits of a, and with a target (may be
 * NULL) as measured on the network. log (may be NULL): what was found for every alpha. check: each claim of a least is put before
 * qverify-check, and counts only if that accepts. Errors: of the solver, of cli_realize; QV_E_ARG: the table has no edges. */
QV_NODISCARD qv_status cli_phase3_run(uint32_t *choice, qv_buf *log, const cli_phase3 *x, const cli_alloc *a, const cli_allocnet *net,
                                      const cli_target *target, bool check, qv_err *err);

#endif
