/* How much a quantized network loses: the measures behind qv_metric. */
#ifndef QV_QUANT_MEASURE_H
#define QV_QUANT_MEASURE_H

#include "quant/groups.h"

typedef struct qv_measure qv_measure;

/* Reference outputs, gradients and whatever else the metrics need, once. *m is the caller's (qv_measure_free).
 * Errors: QV_E_ARG (ACCURACY without labels), QV_E_NOMEM. */
QV_NODISCARD qv_status qv_measure_new(qv_measure **m, const qv_fgraph *g, const qv_calib *c, const qv_groups *groups, const qv_table_opts *o, qv_err *err);
void qv_measure_free(qv_measure *m);

/* loss[k] of metric k when group `group` alone is quantized as q says (q: the whole network at this candidate). Not negative. */
QV_NODISCARD qv_status qv_measure_loss(double *loss, qv_measure *m, const qv_quantized *q, uint32_t group, qv_bits b, qv_err *err);

/* The metric ERROR: proved bound on the output's error with this group at b and all others at the reference candidate, over the inputs
 * that o->error_radius says. Errors: also QV_E_UNSUP and QV_E_LIMIT (docs/error-bound.md section 3). */
QV_NODISCARD qv_status qv_measure_error(double *bound, const qv_fgraph *g, const qv_calib *c, const qv_groups *groups, const qv_table_opts *o,
                                        uint32_t group, qv_bits b, qv_err *err);

/* SQNR in dB and share of equal first maxima of the whole network q against the float one, on all calibration samples. */
QV_NODISCARD qv_status qv_measure_whole(double *sqnr_db, double *agree, const qv_quantized *q, const qv_calib *c, qv_err *err);

/* Number of the first largest of n values. n >= 1. */
size_t qv_first_max(const float *y, size_t n);

#endif
