/* Names to numbers, and names that are new: for front ends, whose files use names freely and whose nets must not repeat one. */
#ifndef QV_FRONTEND_NAMES_H
#define QV_FRONTEND_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "ir/base/arena.h"

/* Open addressing; start as {0}. Memory: the arena given to _put, which must be the same one each time. */
typedef struct {
  const char **key;
  uint32_t *val;
  uint32_t n, cap; /* cap 0 or a power of two, at most half full */
} qv_names;

/* Number of key; UINT32_MAX if it is not there. */
uint32_t qv_names_get(const qv_names *s, const char *key);

/* Add key (not copied; must live as long as s) or change its number. False when memory is short. */
QV_NODISCARD bool qv_names_put(qv_names *s, qv_arena *a, const char *key, uint32_t val);

/* "<base><suffix>", with "#2", "#3", ... appended until it is new, in arena `out`; entered into s with number 0. The base is cut
 * at 200 characters. NULL when memory is short. */
const char *qv_names_unique(qv_names *s, qv_arena *a, qv_arena *out, const char *base, const char *suffix);

#endif
