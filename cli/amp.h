/* AMP (arXiv 2302.05397) on a network with an accuracy target, as published: phase 2 measures the quantized network itself. */
#ifndef QV_CLI_AMP_H
#define QV_CLI_AMP_H

#include "cli/realized.h"

typedef struct {
  bool sqnr;     /* dB at the output over the calibration samples, else per cent of the test samples */
  bool relative; /* value is added to the float network's accuracy */
  double value;
} cli_target;

/* "accuracy=97.5" (per cent), "accuracy=float-0.5", "sqnr=30" (dB). False: none of these. */
bool cli_target_read(cli_target *t, const char *spec);

/* choice: [p->n_groups]. What was tried is appended to log. *met false: not even the best homogeneous candidate reaches the target, which is then the
 * choice. Errors: as cli_realize. */
QV_NODISCARD qv_status cli_amp(uint32_t *choice, bool *met, qv_buf *log, const cli_allocnet *x, const qv_alloc *p, const cli_target *t, qv_err *err);

/* The score of one choice, and whether it reaches the target. Errors: as cli_realize. */
QV_NODISCARD qv_status cli_amp_score(double *score, bool *met, const cli_allocnet *x, const qv_alloc *p, const cli_target *t, const uint32_t *choice,
                                     qv_err *err);

#endif
