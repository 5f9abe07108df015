/* Growable byte buffer, whole-file read with a size cap, atomic whole-file write, SHA-256. */
#ifndef QV_IR_BASE_BUF_H
#define QV_IR_BASE_BUF_H

#include <stdbool.h>
#include <stdint.h>

#include "ir/base/status.h"

/* Start as {0}. After a failed append `failed` stays set and later appends do nothing: test once at the end. */
typedef struct {
  unsigned char *p;
  size_t n, cap;
  bool failed;
} qv_buf;

void qv_buf_put(qv_buf *b, const void *data, size_t n);
void qv_buf_str(qv_buf *b, const char *s);
void qv_buf_printf(qv_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void qv_buf_i64(qv_buf *b, int64_t v); /* decimal, fast */
void qv_buf_free(qv_buf *b);

/* Read a whole regular file or pipe. QV_E_IO if it cannot be opened or read, QV_E_LIMIT above `cap` bytes. The buffer gets
 * one extra NUL byte after p[n-1] that is not counted. *out must be {0}. */
QV_NODISCARD qv_status qv_file_read(qv_buf *out, const char *path, size_t cap, qv_err *err);

/* Write to a temporary file beside `path`, fsync, rename: nobody ever sees a half-written file. "-" and non-regular
 * targets (/dev/stdout, pipes) are written directly. QV_E_IO on any failure; the old file is then untouched. */
QV_NODISCARD qv_status qv_file_write(const char *path, const void *data, size_t n, qv_err *err);

#define QV_SHA256_HEX 65
/* Lower-case hex SHA-256 (FIPS 180-4) of data[0..n), NUL-terminated. */
void qv_sha256_hex(char out[QV_SHA256_HEX], const void *data, size_t n);

#endif
