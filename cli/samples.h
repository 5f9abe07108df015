/* Sample inputs of --input, and how the outputs of two nets on them differ. */
#ifndef QV_CLI_SAMPLES_H
#define QV_CLI_SAMPLES_H

#include "cli/cli.h"

typedef struct {
  size_t n;
  void **in; /* [n_in] n samples back to back, in the storage types of the net's inputs */
  uint32_t n_in;
} cli_samples;

/* One file per input of the net; at most `most` samples of each (0 = all). *s must be {0}; cli_samples_free in every case.
 * Errors: QV_E_IO, QV_E_PARSE (also values that do not fit), QV_E_NOMEM. */
QV_NODISCARD qv_status cli_samples_read(cli_samples *s, const cli_val *files, const qv_net *net, size_t most, qv_err *err);
void cli_samples_free(cli_samples *s);

/* Outputs of `net` on all samples; *out is freed by cli_outputs_free, also after an error. */
QV_NODISCARD qv_status cli_samples_run(void ***out, const qv_net *net, const cli_samples *s, qv_err *err);
void cli_outputs_free(void **out, uint32_t n_out);

typedef struct {
  size_t samples;  /* with any output element that differs        */
  size_t elements;
  size_t argmax;   /* samples whose largest element of output 0 moved */
} cli_difference;

cli_difference cli_outputs_compare(const qv_net *net, size_t n, void *const *a, void *const *b);

/* No narrow stages: every product straight into the sum. */
void cli_net_widen(qv_net *net);

void cli_difference_text(qv_buf *out, const char *what, const cli_difference *d);

#endif
