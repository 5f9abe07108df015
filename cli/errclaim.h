/* The claim "the integers are within X of the float network", as quantize --error-bound and allocate --require 'error<=X' make it. */
#ifndef QV_CLI_ERRCLAIM_H
#define QV_CLI_ERRCLAIM_H

#include "cli/floatnet.h"

typedef struct {
  double within; /* X; INFINITY: any finite bound */
  bool around;   /* "X@R": only within R of samples, else every real that the input's codes stand for */
  double radius;
  size_t samples; /* the first so many calibration samples */
} cli_error_claim;

/* "X", "X@R", or "inf" in place of X. False: neither. samples is not touched. */
bool cli_error_claim_read(cli_error_claim *c, const char *spec);

/* *bound: proved for net (INFINITY: nothing is). Stops early, with what it has, when that is above c->within. */
QV_NODISCARD qv_status cli_error_claim_bound(double *bound, const cli_error_claim *c, const cli_floatnet *f, const qv_net *net, qv_err *err);

#endif
