/* A quantized network as it will run: exported, read back under a profile, proved, counted. */
#ifndef QV_CLI_QUANTIZED_H
#define QV_CLI_QUANTIZED_H

#include "cli/floatnet.h"
#include "cli/ovcheck.h"

/* docs/quantize.md section 3. */
typedef enum {
  CLI_RUNS_UNKNOWN, /* nobody asked, or not a file for ONNX Runtime                                         */
  CLI_RUNS_SAME,    /* ONNX Runtime computes these integers                                                 */
  CLI_RUNS_INT,     /* it computes in integers, rounded otherwise: `differ` counts profile ort-vnni against these */
  CLI_RUNS_FLOAT    /* it computes in binary32: `differ` counts a simulation of that against these          */
} cli_promise;

typedef struct {
  qv_buf onnx;      /* the exported file                                      */
  qv_net *net;      /* the same, lowered under the profile                    */
  qv_ovcheck ov;    /* overflow proof of exactly that                         */
  double sqnr_db, agree; /* simulated against float, calibration samples      */
  size_t right_float, right_int, n_test; /* labelled test samples; n_test = 0 without labels */
  size_t same;      /* test samples on which the integers give the float network's class */
  int bits;         /* widest accumulator that is needed                      */
  int product_bits; /* widest sum of products, machine accumulator or not     */
  int proved_bits;  /* width that `ov` is about; 0: each accumulator's own      */
  const char *profile;   /* that it was read back under                       */
  cli_promise promise;   /* does ONNX Runtime compute these integers?         */
  qv_err why;            /* not SAME: what the profile for ONNX Runtime said  */
  size_t differ, outputs; /* DIFFERS, FLOAT: output integers of the test samples that the runtime's own arithmetic gives otherwise; of how many */
} cli_quantized;

typedef struct {
  const char *profile; /* NULL: ort-vnni, or onnx-spec where that does not take the network; QONNX: qonnx-exact */
  int acc_bits;        /* 0: each accumulator's own width */
  bool own_sums;       /* acc_bits is about nothing where the profile has any sum without a machine accumulator; else only where it has such
                          additions of tensors (in floating point), and product_bits says what the rest needs */
  bool check;          /* run the independent checker     */
  bool qonnx;          /* export as QONNX                 */
  bool promise;        /* find out                        */
} cli_quantized_opts;

/* *out must be {0}; cli_quantized_free in every case. _make: with own_sums, without a promise. */
QV_NODISCARD qv_status cli_quantized_make(cli_quantized *out, const qv_quantized *q, const cli_floatnet *f, const char *profile, int acc_bits,
                                          bool check, qv_err *err);
QV_NODISCARD qv_status cli_quantized_make_as(cli_quantized *out, const qv_quantized *q, const cli_floatnet *f, const cli_quantized_opts *opts, qv_err *err);
void cli_quantized_free(cli_quantized *x);

/* Layer by layer: bits, scales, accumulators; then accuracy. */
void cli_quantized_text(qv_buf *out, const cli_quantized *x, const qv_quantized *q, const cli_floatnet *f);

#endif
