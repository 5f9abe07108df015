#include "frontend/load.h"

#include <stdio.h>
#include <string.h>

#include "ir/base/buf.h"
#include "ir/qir.h"

#define DEFAULT_MAX ((size_t)INT32_MAX) /* 2 GiB - 1: FlatBuffer offsets */

/* First line that is neither blank nor a '#' comment, up to n bytes; NULL if there is none. */
static const char *first_statement(const char *p, const char *end) {
  while (p < end) {
    const char *nl = memchr(p, '\n', (size_t)(end - p)), *q = p;
    while (q < end && (*q == ' ' || *q == '\t' || *q == '\r')) q++;
    if (q < end && *q != '\n' && *q != '#') return q;
    if (nl == NULL) return NULL;
    p = nl + 1;
  }
  return NULL;
}

static bool word(const char *p, const char *end, const char *w) {
  size_t n = strlen(w);
  return (size_t)(end - p) > n && memcmp(p, w, n) == 0 && (p[n] == ' ' || p[n] == '\t');
}

static qv_status no_profile(const char *name, const char *format, const qv_load_opts *opts, qv_err *err) {
  if (opts == NULL || opts->profile == NULL) return QV_OK;
  return QV_FAIL(err, QV_E_ARG, "%s: a %s file fixes its own arithmetic; a profile cannot be given with it", name, format);
}

static qv_status dispatch(qv_net **out, const void *data, size_t n, const char *name, const qv_load_opts *opts, qv_err *err) {
  qv_status st;
  const char *text = data, *end = text + n, *s;
  if (n >= 8 && memcmp(text + 4, "TFL3", 4) == 0) return qv_tflite_read(out, data, n, name, opts, err);
  s = first_statement(text, n > 65536 ? text + 65536 : end);
  if (s != NULL && word(s, end, "qir")) {
    QV_TRY(no_profile(name, ".qir", opts, err));
    return qv_qir_read(out, text, n, err);
  }
  if (s != NULL && (word(s, end, "input") || word(s, end, "name"))) {
    QV_TRY(no_profile(name, ".qtxt", opts, err));
    return qv_qtxt_read(out, text, n, name, err);
  }
  if (s != NULL && *s == '{') {
    QV_TRY(no_profile(name, "N2UQ", opts, err));
    return qv_n2uq_read(out, text, n, name, opts != NULL && opts->max_bytes != 0 ? opts->max_bytes : DEFAULT_MAX, err);
  }
  if (qv_onnx_probe(data, n)) return qv_onnx_read(out, data, n, name, opts, err); /* no magic number, so after all others */
  st = QV_FAIL(err, QV_E_PARSE, "%s: not a model file that is supported (TFLite, ONNX, .qir, .qtxt, N2UQ)", name);
done:
  return st;
}

qv_status qv_load_bytes(qv_net **out, const void *data, size_t n, const char *name, const qv_load_opts *opts, qv_err *err) {
  qv_status st;
  qv_net *net = NULL;
  size_t max = opts != NULL && opts->max_bytes != 0 ? opts->max_bytes : DEFAULT_MAX;
  if (n > max) return QV_FAIL(err, QV_E_LIMIT, "%s: %zu bytes, more than the limit of %zu", name, n, max);
  QV_TRY(dispatch(&net, data, n, name, opts, err));
  /* A .qir file names the file it was lowered from, and has to stay byte for byte what its certificates are about. */
  if (n >= 4 && memcmp(data, "qir ", 4) == 0) {
    *out = net;
    return QV_OK;
  }
  qv_sha256_hex(net->sha256, data, n);
  net->source = qv_arena_printf(&net->arena, "%s", name);
  if (net->source == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "%s: out of memory", name);
    goto done;
  }
  *out = net;
  net = NULL;
done:
  qv_net_free(net);
  return st;
}

char *qv_model_dir(qv_arena *a, const char *path) {
  const char *slash = strrchr(path, '/');
  return slash == NULL ? qv_arena_str(a, ".", 1) : qv_arena_str(a, path, slash == path ? 1 : (size_t)(slash - path));
}

qv_status qv_load_model(qv_net **out, const char *path, const qv_load_opts *opts, qv_err *err) {
  qv_status st;
  qv_buf file = {0};
  qv_arena tmp = {0};
  const char *slash = strrchr(path, '/');
  qv_load_opts own = opts != NULL ? *opts : (qv_load_opts){0};
  size_t max = own.max_bytes != 0 ? own.max_bytes : DEFAULT_MAX;
  own.dir = qv_model_dir(&tmp, path);
  if (own.dir == NULL) return QV_FAIL(err, QV_E_NOMEM, "%s: out of memory", path);
  QV_TRY(qv_file_read(&file, path, max, err));
  QV_TRY(qv_load_bytes(out, file.p, file.n, slash != NULL ? slash + 1 : path, &own, err));
done:
  qv_buf_free(&file);
  qv_arena_clear(&tmp);
  return st;
}
