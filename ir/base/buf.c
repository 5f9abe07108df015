#include "ir/base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ir/base/int.h"

static bool grow(qv_buf *b, size_t n) {
  size_t need;
  if (b->failed || !qv_addz(&need, b->n, n) || need > SIZE_MAX / 4) {
    b->failed = true;
    return false;
  }
  if (need < b->cap) return true;
  size_t cap = b->cap < 256 ? 256 : b->cap;
  while (cap <= need) cap *= 2;
  unsigned char *p = realloc(b->p, cap);
  if (p == NULL) {
    b->failed = true;
    return false;
  }
  b->p = p;
  b->cap = cap;
  return true;
}

void qv_buf_put(qv_buf *b, const void *data, size_t n) {
  if (n == 0 || !grow(b, n)) return;
  memcpy(b->p + b->n, data, n);
  b->n += n;
}

void qv_buf_str(qv_buf *b, const char *s) { qv_buf_put(b, s, strlen(s)); }

void qv_buf_printf(qv_buf *b, const char *fmt, ...) {
  va_list ap, ap2;
  va_start(ap, fmt);
  va_copy(ap2, ap);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  if (n < 0) b->failed = true;
  else if (grow(b, (size_t)n + 1)) {
    (void)vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, ap2);
    b->n += (size_t)n;
  }
  va_end(ap2);
}

void qv_buf_i64(qv_buf *b, int64_t v) {
  char t[24];
  size_t i = sizeof t;
  uint64_t u = v < 0 ? (uint64_t)0 - (uint64_t)v : (uint64_t)v;
  do t[--i] = (char)('0' + u % 10);
  while ((u /= 10) != 0);
  if (v < 0) t[--i] = '-';
  qv_buf_put(b, t + i, sizeof t - i);
}

void qv_buf_free(qv_buf *b) {
  free(b->p);
  *b = (qv_buf){0};
}

qv_status qv_file_read(qv_buf *out, const char *path, size_t cap, qv_err *err) {
  qv_status st = QV_OK;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return QV_FAIL(err, QV_E_IO, "%s: %s", path, strerror(errno));
  struct stat sb;
  if (fstat(fd, &sb) == 0 && S_ISREG(sb.st_mode) && sb.st_size > 0 && (size_t)sb.st_size <= cap)
    (void)grow(out, (size_t)sb.st_size + 1); /* one allocation for the usual case */
  for (;;) {
    if (!grow(out, 1 + (out->n + 65536 <= out->cap ? 0 : 65536))) {
      st = QV_FAIL(err, QV_E_NOMEM, "%s: out of memory", path);
      break;
    }
    ssize_t k = read(fd, out->p + out->n, out->cap - out->n - 1);
    if (k < 0 && errno == EINTR) continue;
    if (k < 0) {
      st = QV_FAIL(err, QV_E_IO, "%s: %s", path, strerror(errno));
      break;
    }
    if (k == 0) break;
    out->n += (size_t)k;
    if (out->n > cap) {
      st = QV_FAIL(err, QV_E_LIMIT, "%s: larger than the limit of %zu bytes", path, cap);
      break;
    }
  }
  (void)close(fd);
  if (st != QV_OK) qv_buf_free(out);
  else out->p[out->n] = 0;
  return st;
}

static qv_status write_fd(int fd, const char *path, const unsigned char *p, size_t n, qv_err *err) {
  while (n > 0) {
    ssize_t k = write(fd, p, n);
    if (k < 0 && errno == EINTR) continue;
    if (k <= 0) return QV_FAIL(err, QV_E_IO, "%s: %s", path, strerror(errno));
    p += k;
    n -= (size_t)k;
  }
  return QV_OK;
}

qv_status qv_file_write(const char *path, const void *data, size_t n, qv_err *err) {
  struct stat sb;
  if (strcmp(path, "-") == 0) return write_fd(STDOUT_FILENO, "standard output", data, n, err);
  /* lstat: a rename would replace a symbolic link itself, /dev/stdout included when it leads to a regular file. */
  if (lstat(path, &sb) == 0 && !S_ISREG(sb.st_mode)) {
    if (S_ISDIR(sb.st_mode)) return QV_FAIL(err, QV_E_IO, "%s: is a directory", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return QV_FAIL(err, QV_E_IO, "%s: %s", path, strerror(errno));
    qv_status st = write_fd(fd, path, data, n, err);
    if (close(fd) != 0 && st == QV_OK) st = QV_FAIL(err, QV_E_IO, "%s: %s", path, strerror(errno));
    return st;
  }
  qv_buf tmp = {0};
  qv_buf_printf(&tmp, "%s.XXXXXX", path);
  if (tmp.failed) {
    qv_buf_free(&tmp);
    return QV_FAIL(err, QV_E_NOMEM, "%s: out of memory", path);
  }
  qv_status st;
  int fd = mkostemp((char *)tmp.p, O_CLOEXEC);
  if (fd < 0) {
    st = QV_FAIL(err, QV_E_IO, "%s: %s", path, strerror(errno));
    qv_buf_free(&tmp);
    return st;
  }
  mode_t um = umask(0);
  (void)umask(um);
  st = write_fd(fd, path, data, n, err);
  if (st == QV_OK && (fchmod(fd, 0666 & ~um) != 0 || fsync(fd) != 0))
    st = QV_FAIL(err, QV_E_IO, "%s: %s", path, strerror(errno));
  if (close(fd) != 0 && st == QV_OK) st = QV_FAIL(err, QV_E_IO, "%s: %s", path, strerror(errno));
  if (st == QV_OK && rename((char *)tmp.p, path) != 0) st = QV_FAIL(err, QV_E_IO, "%s: %s", path, strerror(errno));
  if (st != QV_OK) (void)unlink((char *)tmp.p);
  qv_buf_free(&tmp);
  return st;
}

void qv_sha256_hex(char out[QV_SHA256_HEX], const void *data, size_t n) {
  struct sha256_ctx c;
  uint8_t d[SHA256_DIGEST_SIZE];
  sha256_init(&c);
  sha256_update(&c, n, data);
  sha256_digest(&c, sizeof d, d);
  for (size_t i = 0; i < sizeof d; i++) (void)snprintf(out + 2 * i, 3, "%02x", d[i]);
}
