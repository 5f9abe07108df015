#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "kernels/profile/onnx.h"

int qv_cli_exit(qv_status st, const qv_tally *t) {
  switch (st) { /* no default: a new status has to be placed by hand */
  case QV_OK:
    if (t != NULL && t->falsified > 0) return 10;
    return t == NULL || (t->verified > 0 && t->verified == t->selected) ? 0 : 5;
  case QV_E_PARSE:
  case QV_E_IO: return 2;
  case QV_E_UNSUP: return 3;
  case QV_E_RANGE:
  case QV_E_NOMEM:
  case QV_E_LIMIT: return 5;
  case QV_E_ARG:
  case QV_E_INTERNAL: return 6;
  }
  return 6;
}

qv_status cli_data_error(qv_status st) { return st == QV_E_RANGE || st == QV_E_ARG ? QV_E_PARSE : st; }

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash != NULL && slash[1] != 0 ? slash + 1 : path;
}

/* The message without a leading "PATH: " or "BASENAME: ", which cli_fail puts there itself. */
static const char *strip_name(const char *msg, const char *path) {
  const char *names[2] = {path, base_name(path)};
  for (int i = 0; i < 2; i++) {
    size_t k = strlen(names[i]);
    if (k > 0 && strncmp(msg, names[i], k) == 0 && strncmp(msg + k, ": ", 2) == 0) return msg + k + 2;
  }
  return msg;
}

int cli_fail(qv_status st, const char *path, const qv_err *err) {
  qv_arena a = {0};
  const char *msg = err->msg[0] != 0 ? err->msg : qv_status_name(st);
  if (path != NULL) {
    char line[32] = "";
    if (err->line > 0 && strstr(msg, "line ") == NULL) (void)snprintf(line, sizeof line, "line %" PRId64 ": ", err->line);
    fprintf(stderr, "qverify: %s: %s%s\n", cli_safe(&a, path), line, cli_safe(&a, strip_name(msg, path)));
  }
  else fprintf(stderr, "qverify: %s\n", cli_safe(&a, msg));
  bool unwritable = strncmp(err->msg, "cannot write", 12) == 0; /* a mistyped path is no bug */
  if (st == QV_E_INTERNAL && err->where != NULL && !unwritable) fprintf(stderr, "qverify: this is a bug or a broken system; failed in %s\n", err->where);
  qv_arena_clear(&a);
  return qv_cli_exit(st, NULL);
}

qv_status cli_emit(const char *path, const qv_buf *out, qv_err *err) {
  qv_err why = {0};
  if (out->failed) return QV_FAIL(err, QV_E_INTERNAL, "out of memory while writing the result");
  if (qv_file_write(path, out->p, out->n, &why) == QV_OK) return QV_OK;
  return QV_FAIL(err, QV_E_INTERNAL, "cannot write the result: %s", why.msg);
}

bool cli_profile_ok(const cli_cmd *cmd, const char *name) {
  enum { MAX = 64 };
  const char *list[MAX];
  size_t n = 0;
  if (name == NULL || qv_profile_find(name) != NULL || qv_onnx_profile_find(name) != NULL) return true;
  for (const qv_profile *p; n < MAX && (p = qv_profile_at(n)) != NULL; n++) list[n] = p->name;
  const qv_onnx_profile *o;
  for (size_t i = 0; n < MAX && (o = qv_onnx_profile_at(i)) != NULL; i++) {
    list[n++] = o->name;
    if (o->usage == NULL || strcspn(name, ":@") != strlen(o->name) || strncmp(name, o->name, strlen(o->name)) != 0) continue;
    (void)cli_usage(cmd, "profile '%.80s': its form is %s, with GRID such as u8/255 (docs/onnx.md)", name, o->usage);
    return false;
  }
  const char *near = cli_nearest(name, list, n);
  if (near != NULL) (void)cli_usage(cmd, "unknown profile '%.80s'; did you mean '%s'? ('qverify profiles' lists them)", name, near);
  else (void)cli_usage(cmd, "unknown profile '%.80s' ('qverify profiles' lists them)", name);
  return false;
}

qv_status cli_try_load(cli_model *m, qv_buf *data, const char *path, const char *profile, bool opaque, qv_err *err) {
  qv_status st;
  qv_buf own = {0}, *file = data != NULL ? data : &own;
  qv_arena tmp = {0};
  const qv_load_opts opts = {.profile = profile, .opaque = opaque, .dir = qv_model_dir(&tmp, path)};
  *m = (cli_model){.path = path};
  QV_TRY(qv_file_read(file, path, ((size_t)1 << 31) - 1, err));
  m->bytes = file->n;
  qv_sha256_hex(m->sha256, file->p, file->n);
  QV_TRY(qv_load_bytes(&m->net, file->p, file->n, base_name(path), &opts, err));
done:
  qv_buf_free(&own);
  qv_arena_clear(&tmp);
  return st;
}

int cli_load_failed(const cli_cmd *cmd, qv_status st, const char *path, const qv_err *err) {
  if (st == QV_E_ARG) return cli_usage(cmd, "%.200s: %s", path, strip_name(err->msg, base_name(path)));
  return cli_fail(st, path, err);
}

int cli_load(cli_model *m, const cli_cmd *cmd, const char *path, const char *profile, bool opaque, qv_err *err) {
  qv_status st = cli_try_load(m, NULL, path, profile, opaque, err);
  return st == QV_OK ? 0 : cli_load_failed(cmd, st, path, err);
}

void cli_model_free(cli_model *m) {
  qv_net_free(m->net);
  m->net = NULL;
}

double cli_now(void) {
  struct timespec t;
  return clock_gettime(CLOCK_MONOTONIC, &t) == 0 ? (double)t.tv_sec + (double)t.tv_nsec * 1e-9 : 0;
}
