/* A quantized network as it will run: exported, read back under a profile, proved, counted. */
#ifndef QV_CLI_QUANTIZED_H
#define QV_CLI_QUANTIZED_H

#include "cli/floatnet.h"
#include "cli/ovcheck.h"

typedef struct {
  qv_buf onnx;      /* the exported file                                      */
  qv_net *net;      /* the same, lowered under the profile                    */
  qv_ovcheck ov;    /* overflow proof of exactly that                         */
  double sqnr_db, agree; /* simulated against float, calibration samples      */
  size_t right_float, right_int, n_test; /* labelled test samples; n_test = 0 without labels */
  size_t same;      /* test samples on which the integers give the float network's class */
  int bits;         /* widest accumulator that is needed                      */
  int proved_bits;  /* width that `ov` is about; 0: each accumulator's own      */
  bool exact;       /* the profile's runtime computes these very integers (docs/quantize.md) */
} cli_quantized;

/* *out must be {0}; cli_quantized_free in every case. acc_bits 0: each accumulator's own width; so it is too where the profile has sums
 * without a machine accumulator (additions in higher precision), which no width is about. check: run the independent checker. */
QV_NODISCARD qv_status cli_quantized_make(cli_quantized *out, const qv_quantized *q, const cli_floatnet *f, const char *profile, int acc_bits,
                                          bool check, qv_err *err);
void cli_quantized_free(cli_quantized *x);

/* Layer by layer: bits, scales, accumulators; then accuracy. */
void cli_quantized_text(qv_buf *out, const cli_quantized *x, const qv_quantized *q, const cli_floatnet *f);

#endif
