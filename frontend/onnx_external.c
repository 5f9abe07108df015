/* Tensor data in files beside the model. The path comes out of the model file, so it is not trusted: it may name files below the
 * model's folder only. Every part of it is opened by itself, without following symbolic links. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frontend/onnx_file.h"

typedef struct {
  const char *location;
  uint64_t offset, length;
  bool has_length;
} place;

/* Decimal digits only. */
static bool number(const char *s, uint64_t *v) {
  size_t n = strspn(s, "0123456789");
  if (n == 0 || n > 18 || s[n] != 0) return false;
  *v = 0;
  for (; *s != 0; s++) *v = *v * 10 + (uint64_t)(*s - '0');
  return true;
}

static bool read_place(place *p, const Onnx__TensorProto *t) {
  *p = (place){0};
  for (size_t i = 0; i < t->n_external_data; i++) {
    const Onnx__StringStringEntryProto *e = t->external_data[i];
    const char *key = e->key != NULL ? e->key : "", *value = e->value != NULL ? e->value : "";
    if (strcmp(key, "location") == 0) p->location = value;
    else if (strcmp(key, "offset") == 0) {
      if (!number(value, &p->offset)) return false;
    } else if (strcmp(key, "length") == 0) {
      if (!number(value, &p->length)) return false;
      p->has_length = true;
    } else if (strcmp(key, "checksum") != 0) return false; /* of the whole file, by another hash: not looked at */
  }
  return p->location != NULL;
}

/* Next part of a relative path, or false: empty parts, "." and ".." are refused, and so are names above 255 bytes. */
static bool next_part(const char **path, char part[256]) {
  size_t n = strcspn(*path, "/");
  if (n == 0 || n > 255) return false;
  memcpy(part, *path, n);
  part[n] = 0;
  *path += n;
  return strcmp(part, ".") != 0 && strcmp(part, "..") != 0;
}

/* Open `path` below `dir`; -1: *why says. */
static int open_below(const char *dir, const char *path, const char **why) {
  char part[256];
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  *why = "the model's folder cannot be opened";
  while (fd >= 0) {
    *why = "the path of the external data must stay in the model's folder: relative, without '..', '.' and empty parts";
    bool ok = next_part(&path, part), last = *path == 0;
    int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (last ? 0 : O_DIRECTORY);
    int next = ok ? openat(fd, part, flags) : -1;
    if (ok && next < 0) *why = errno == ELOOP || errno == ENOTDIR ? "the external data is behind a symbolic link, which is not followed" : "the external data cannot be opened";
    (void)close(fd);
    fd = next;
    if (last) break;
    path++;
  }
  return fd;
}

static bool read_all(int fd, unsigned char *p, size_t n, uint64_t offset) {
  while (n > 0) {
    ssize_t k = pread(fd, p, n < (1u << 30) ? n : (1u << 30), (off_t)offset);
    if (k < 0 && errno == EINTR) continue;
    if (k <= 0) return false;
    p += k;
    n -= (size_t)k;
    offset += (uint64_t)k;
  }
  return true;
}

qv_status onx_external_read(unsigned char **data, const Onnx__TensorProto *t, size_t bytes, const char *dir, qv_arena *a, const char **why) {
  place p;
  struct stat sb;
  qv_status st = QV_E_PARSE;
  *why = "the external data of the tensor is not described by a location, an offset and a length";
  if (!read_place(&p, t)) return QV_E_PARSE;
  *why = "external data needs a model that is read from a file";
  if (dir == NULL) return QV_E_UNSUP;
  *why = "the length of the external data does not fit the dimensions";
  if (p.has_length && p.length != bytes) return QV_E_PARSE;
  int fd = open_below(dir, p.location, why);
  if (fd < 0) return QV_E_PARSE;
  *why = "the external data is no regular file, or ends before the tensor does";
  if (fstat(fd, &sb) == 0 && S_ISREG(sb.st_mode) && p.offset <= (uint64_t)sb.st_size && bytes <= (uint64_t)sb.st_size - p.offset) {
    st = (*data = qv_arena_alloc(a, bytes, 1)) == NULL ? QV_E_NOMEM : QV_OK;
    if (st == QV_OK && !read_all(fd, *data, bytes, p.offset)) st = QV_E_PARSE;
  }
  (void)close(fd);
  return st;
}
