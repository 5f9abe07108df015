/* Integers to and from the storage types of tensors (host byte order, which is little-endian here). */
#ifndef QV_CLI_STORAGE_H
#define QV_CLI_STORAGE_H

#include "frontend/array.h"
#include "ir/ir.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files hold little-endian elements and are read in place");

/* Pre: every v[i] is in the range of `type`. */
void qv_store(void *out, qv_dtype type, const int64_t *v, size_t n);

/* The array element type of a storage type. */
qv_elem qv_storage_elem(qv_dtype type);

/* Element i of data. */
int64_t qv_fetch(const void *data, qv_dtype type, size_t i);

#endif
