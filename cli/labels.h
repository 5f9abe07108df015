/* Class labels of samples, from any file that holds whole numbers. */
#ifndef QV_CLI_LABELS_H
#define QV_CLI_LABELS_H

#include <stdint.h>

#include "frontend/array.h"

/* n labels: .npy, .npz, IDX, or text (whole numbers separated by blanks, commas or line ends). Errors: QV_E_PARSE (not n of them, not whole
 * numbers, or not in [0,classes)), QV_E_IO, QV_E_NOMEM. */
QV_NODISCARD qv_status cli_labels_read(int64_t *out, size_t n, size_t classes, const char *path, qv_err *err);

/* Element i of an integer array; false for float arrays. */
bool cli_array_int(int64_t *v, const qv_array *a, size_t i);

#endif
