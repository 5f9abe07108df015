/* What the array readers share; not for use outside frontend/. */
#ifndef QV_FRONTEND_ARRAY_UTIL_H
#define QV_FRONTEND_ARRAY_UTIL_H

#include "frontend/array.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "arrays hold little-endian elements in host order");

/* No array, file or decompressed stream may be larger: bounds what a small hostile file can make us allocate. */
#define QV_ARRAY_MAX_BYTES ((size_t)1 << 30)

static inline uint32_t qv_le16(const unsigned char *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }
static inline uint32_t qv_le32(const unsigned char *p) { return qv_le16(p) | qv_le16(p + 2) << 16; }
static inline uint32_t qv_be32(const unsigned char *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

const char *qv_elem_name(qv_elem t); /* "int8", ..., "float64" (static) */

#define QV_SHAPE_TEXT 192
/* "[2,28,28]", "[]" for rank 0. */
void qv_shape_text(char out[QV_SHAPE_TEXT], uint32_t rank, const size_t *dim);

/* Make `out` an array of this type and shape with uninitialised data.
 *   Pre: *out is {0}, rank <= QV_MAX_RANK. `have` = bytes of elements that the source really holds.
 *   Errors, *out still {0}: QV_E_LIMIT above QV_ARRAY_MAX_BYTES; QV_E_PARSE unless shape and type need exactly `have` bytes,
 *   which is tested before anything is allocated; QV_E_NOMEM. */
QV_NODISCARD qv_status qv_array_make(qv_array *out, qv_elem type, uint32_t rank, const size_t *dim, size_t have, const char *what,
                                     qv_err *err);

/* Reverse the bytes of each element (big-endian sources). */
void qv_array_swap_bytes(qv_array *a);

#endif
