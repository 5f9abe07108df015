/* .npz: a zip archive of .npy files, stored or deflated (numpy.savez, numpy.savez_compressed). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zip.h>

#include "frontend/array.h"
#include "frontend/array_util.h"

/* Deflate cannot do better than 1032:1 (zlib's technical note), so a larger promise is a lie, told to make us allocate. */
#define MAX_RATIO 1100

/* Name of entry i for a message: printable ASCII, shortened. */
static void entry_text(char out[64], zip_t *z, zip_uint64_t i) {
  const char *s = zip_get_name(z, i, ZIP_FL_ENC_RAW);
  (void)snprintf(out, 64, "%.60s", s != NULL ? s : "?");
  for (char *p = out; *p != 0; p++)
    if (*p < ' ' || *p > '~') *p = '?';
}

static qv_status which(const char *problem, zip_t *z, zip_uint64_t n, const char *entry, const char *what, qv_err *err) {
  char list[200] = "", name[64];
  size_t k = 0;
  for (zip_uint64_t i = 0; i < n && k < 120; i++) {
    entry_text(name, z, i);
    k += (size_t)snprintf(list + k, sizeof list - k, " %s", name);
  }
  if (n == 0) return QV_FAIL(err, QV_E_PARSE, "%s: empty .npz file", what);
  return QV_FAIL(err, QV_E_PARSE, "%s: %s%s%s; it holds %llu:%s%s", what, problem, entry != NULL ? " " : "", entry != NULL ? entry : "",
                 (unsigned long long)n, list, k >= 120 ? " ..." : "");
}

/* Entry by its name, with or without .npy; without a name the only one. */
static qv_status find(zip_uint64_t *at, zip_t *z, const char *entry, const char *what, qv_err *err) {
  zip_int64_t total = zip_get_num_entries(z, 0);
  zip_uint64_t n = total > 0 ? (zip_uint64_t)total : 0, hits = 0;
  for (zip_uint64_t i = 0; i < n; i++) {
    const char *s = zip_get_name(z, i, ZIP_FL_ENC_RAW);
    if (s == NULL) continue;
    size_t len = entry != NULL ? strlen(entry) : 0;
    if (entry != NULL && (strncmp(s, entry, len) != 0 || (s[len] != 0 && strcmp(s + len, ".npy") != 0))) continue;
    *at = i;
    hits++;
  }
  if (hits == 1) return QV_OK;
  if (entry == NULL) return which("choose an array of this .npz file (file.npz:name)", z, n, NULL, what, err);
  return which(hits == 0 ? ".npz file has no array" : ".npz file has more than one array", z, n, entry, what, err);
}

/* Size of entry `at` after unpacking, if its claims are believable for an archive of n bytes. */
static qv_status unpacked_size(size_t *size, zip_t *z, zip_uint64_t at, size_t n, const char *what, qv_err *err) {
  zip_stat_t s;
  char name[64];
  const zip_uint64_t need = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
  zip_stat_init(&s);
  entry_text(name, z, at);
  if (zip_stat_index(z, at, 0, &s) != 0 || (s.valid & need) != need || s.comp_size > n)
    return QV_FAIL(err, QV_E_PARSE, "%s: .npz entry %s is malformed", what, name);
  if (s.encryption_method != ZIP_EM_NONE) return QV_FAIL(err, QV_E_UNSUP, "%s: .npz entry %s is encrypted", what, name);
  if (s.comp_method != ZIP_CM_STORE && s.comp_method != ZIP_CM_DEFLATE)
    return QV_FAIL(err, QV_E_UNSUP, "%s: .npz entry %s uses compression method %u; expected stored or deflated", what, name,
                   s.comp_method);
  if (s.size > QV_ARRAY_MAX_BYTES || s.size / MAX_RATIO > s.comp_size)
    return QV_FAIL(err, QV_E_LIMIT, "%s: .npz entry %s claims to unpack %llu bytes to %llu; the limit is %zu bytes and %d:1", what, name,
                   (unsigned long long)s.comp_size, (unsigned long long)s.size, QV_ARRAY_MAX_BYTES, MAX_RATIO);
  *size = (size_t)s.size;
  return QV_OK;
}

/* Unpack exactly `size` bytes; the read past the end makes libzip compare the CRC. */
static qv_status unpack(unsigned char *buf, size_t size, zip_t *z, zip_uint64_t at, const char *what, qv_err *err) {
  unsigned char past;
  size_t have = 0;
  zip_int64_t k = -1;
  zip_file_t *f = zip_fopen_index(z, at, 0);
  if (f == NULL) return QV_FAIL(err, QV_E_PARSE, "%s: .npz entry: %s", what, zip_strerror(z));
  while (have < size && (k = zip_fread(f, buf + have, size - have)) > 0) have += (size_t)k;
  if (have == size) k = zip_fread(f, &past, 1);
  qv_status st = QV_OK;
  if (k < 0) st = QV_FAIL(err, QV_E_PARSE, "%s: .npz entry: %s", what, zip_file_strerror(f));
  else if (have != size || k != 0) st = QV_FAIL(err, QV_E_PARSE, "%s: .npz entry does not unpack to the %zu bytes it claims", what, size);
  (void)zip_fclose(f);
  return st;
}

static qv_status read_entry(qv_array *out, zip_t *z, size_t n, const char *entry, const char *what, qv_err *err) {
  qv_status st;
  zip_uint64_t at = 0;
  size_t size = 0;
  unsigned char *buf = NULL;
  char name[64];
  qv_buf label = {0};
  QV_TRY(find(&at, z, entry, what, err));
  QV_TRY(unpacked_size(&size, z, at, n, what, err));
  entry_text(name, z, at);
  qv_buf_printf(&label, "%s:%s", what, name);
  buf = malloc(size + 1);
  if (buf == NULL || label.failed) {
    st = QV_FAIL(err, QV_E_NOMEM, "%s: out of memory (%zu bytes)", what, size);
    goto done;
  }
  QV_TRY(unpack(buf, size, z, at, what, err));
  QV_TRY(qv_npy_parse(out, buf, size, (const char *)label.p, err));
done:
  free(buf);
  qv_buf_free(&label);
  return st;
}

qv_status qv_npz_parse(qv_array *out, const void *data, size_t n, const char *entry, const char *what, qv_err *err) {
  zip_error_t ze;
  zip_error_init(&ze);
  zip_source_t *src = zip_source_buffer_create(data, n, 0, &ze);
  zip_t *z = src != NULL ? zip_open_from_source(src, ZIP_RDONLY | ZIP_CHECKCONS, &ze) : NULL;
  qv_status st;
  if (z != NULL) {
    st = read_entry(out, z, n, entry, what, err);
    zip_discard(z); /* frees src, too */
  } else {
    bool memory = zip_error_code_zip(&ze) == ZIP_ER_MEMORY;
    st = QV_FAIL(err, memory ? QV_E_NOMEM : QV_E_PARSE, "%s: not a readable .npz file: %s", what, zip_error_strerror(&ze));
    zip_source_free(src);
  }
  zip_error_fini(&ze);
  return st;
}
