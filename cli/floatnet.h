/* Options that quantize and allocate share: a float network, its calibration samples, how to quantize. */
#ifndef QV_CLI_FLOATNET_H
#define QV_CLI_FLOATNET_H

#include "cli/cli.h"
#include "quant/groups.h"

typedef struct {
  qv_fgraph *g;
  float *sample;   /* [n] calibration samples */
  size_t n;
  int64_t *label;  /* [n] or NULL */
  float *test;     /* [n_test] samples that accuracy is counted on: the calibration samples without --test */
  size_t n_test;
  int64_t *test_label; /* [n_test] or NULL */
  qv_calib calib;
  qv_quant_opts quant;
  uint32_t *test_class; /* [n_test] the float network's own answers */
  bool own_test;
  bool least;      /* a sample's class is its smallest output, not its largest */
} cli_floatnet;

/* For the commands' option lists. */
#define CLI_FLOATNET_OPTS                                                                                                                    \
  {"calib", 'i', "FILE", false, "samples to calibrate on: .npy, .npz, .idx, .csv, images, or raw float32"},                                 \
      {"labels", 0, "FILE", false, "their classes"},                                                                                       \
      {"test", 0, "FILE", false, "samples to count accuracy on (default: the calibration samples)"},                                        \
      {"test-labels", 0, "FILE", false, "their classes"},                                                                                    \
      {"samples", 0, "N", false, "use at most so many calibration samples (default 256)"},                                                  \
      {"pixel-scale", 0, "X", false, "a pixel or integer v of a file means v * X + offset (default: pixels 1/255, other integers 1)"},          \
      {"pixel-offset", 0, "X", false, "see --pixel-scale (default 0)"},                                                                        \
      {"range", 0, "HOW", false, "ranges of activations: minmax (default), percentile, percentile:0.999, mse"},                               \
      {"symmetric", 0, NULL, false, "signed activation codes with zero point 0"},                                                             \
      {"per-tensor", 0, NULL, false, "one weight scale a tensor, not one an output channel"},                                                 \
      {"pow2", 0, NULL, false, "powers of two as scales"},                                                                                    \
      {"pow2-weights", 0, NULL, false, "weight codes 0 and +-2^k"},                                                                           \
      {"sums", 0, NULL, false, "the sums of the Gemm that ends the network are its results, not requantized"},                               \
      {"least", 0, NULL, false, "the class of a sample is its first smallest output, not its first largest"},                                \
      {"correct-bias", 0, NULL, false, "shift biases so that each channel's mean over the calibration samples stays"}, \
      {"round-to-output", 0, NULL, false, "choose roundings of weights that keep each layer's output on the calibration samples"}

/* Read everything that the options name. Returns 0, or the exit code after a message. cli_floatnet_free in every case. */
int cli_floatnet_load(cli_floatnet *f, const cli_cmd *cmd, const cli_val *val, const char *path, qv_err *err);
void cli_floatnet_free(cli_floatnet *f);

#endif
