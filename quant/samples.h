/* Arrays as inputs of a float network. */
#ifndef QV_QUANT_SAMPLES_H
#define QV_QUANT_SAMPLES_H

#include "frontend/array.h"
#include "quant/fgraph.h"

/* n samples of g's input: floats as they are, integers and pixels v as v * scale + offset (scale 0: pixels 1/255, integers 1), raw bytes
 * as float32. The leading dimension is the number of samples. Images whose channels stand last are turned when the network wants them first.
 * *out is the caller's (free). Errors: QV_E_PARSE (shape), QV_E_NOMEM. */
QV_NODISCARD qv_status qv_fsamples(float **out, size_t *n, const qv_fgraph *g, const qv_array *a, double scale, double offset, const char *what,
                                   qv_err *err);

#endif
