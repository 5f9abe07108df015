/* Sensitivities of a network's groups as a file: measured ones kept for the next run, or numbers that a user brings (docs/quantize.md section 9).
 *
 *   { "format": "qverify-sensitivities/1", "key": "<hash>" or absent,
 *     "losses": { "GROUP": { "W4A8": { "noise": "0.0123", .. }, .. }, .. } }
 *
 * GROUP is the name of the group's tensor, "W4A8" a candidate ("A8" in a group without weights), values are decimal strings. With a key the
 * numbers are this program's, for exactly the network, samples and options that were hashed; without one they are somebody's, and count as
 * they are. */
#ifndef QV_QUANT_SENS_FILE_H
#define QV_QUANT_SENS_FILE_H

#include "ir/base/buf.h"
#include "quant/groups.h"

typedef struct qv_sens qv_sens;

/* No numbers yet. NULL without memory. */
qv_sens *qv_sens_new(void);
void qv_sens_free(qv_sens *s);

/* *out is the caller's. Errors: QV_E_PARSE (form, a value that is no finite number, named), QV_E_NOMEM. */
QV_NODISCARD qv_status qv_sens_read(qv_sens **out, const char *text, size_t n, qv_err *err);
/* Its key, or NULL. */
const char *qv_sens_key(const qv_sens *s);

bool qv_sens_get(double *v, const qv_sens *s, const char *group, const char *cand, const char *metric);
/* Replaces; false without memory. */
bool qv_sens_put(qv_sens *s, const char *group, const char *cand, const char *metric, double v);
bool qv_sens_changed(const qv_sens *s); /* since it was made or read */

/* Append the file's text, with this key. Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_sens_write(qv_buf *out, const qv_sens *s, const char *key, qv_err *err);

/* Hash of everything that measured numbers depend on: version, network, samples, labels, options, reference candidate. */
QV_NODISCARD qv_status qv_sens_hash(char out[QV_SHA256_HEX], const char *version, const qv_fgraph *g, const qv_calib *c, const qv_table_opts *o, qv_err *err);

#endif
