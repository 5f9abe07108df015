/* What becomes of choices on a float network: each distinct one is quantized, exported, read back, bounded and executed once. */
#ifndef QV_CLI_REALIZED_H
#define QV_CLI_REALIZED_H

#include "cli/allocnet.h"

typedef struct {
  const char *refused;   /* NULL: built. Else why the profile's runtime does not compute it; the rest is 0 then */
  size_t bytes;          /* of the exported ONNX file */
  int bits;              /* widest accumulator that its integers need; 0: none is a machine accumulator */
  size_t n, same;        /* test samples; of these with the float network's class */
  double sqnr_db;        /* of the simulated network on the calibration samples */
  bool labelled;
  size_t right_float, right_int; /* labelled: samples with the label's class */
} cli_realized;

typedef struct {
  struct cli_realized_item *item;
  uint32_t n, cap;
  qv_arena arena;
} cli_realized_set;

/* *out lives as long as the set. Equal choices share one. p: any build of the same table; groups and candidates do not depend on limits.
 * Errors: as cli_allocnet_apply, but a network that cannot be read back exactly is `refused`, not an error. */
QV_NODISCARD qv_status cli_realize(const cli_realized **out, cli_realized_set *s, const cli_allocnet *x, const qv_alloc *p, const uint32_t *choice,
                                   qv_err *err);
void cli_realized_clear(cli_realized_set *s);

#endif
