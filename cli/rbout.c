#include "cli/rbout.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/png.h"
#include "cli/storage.h"

static const qv_tensor *input(const qv_net *net, uint32_t i) { return &net->tensor[net->in[i].tensor]; }

/* ---- text -------------------------------------------------------------------------------------------------------------------- */

void rb_text_line(qv_buf *out, const rb_job *j, const rb_case *c, const rb_answer *a) {
  if (j->family == RB_PROPERTY) qv_buf_str(out, "property");
  else qv_buf_printf(out, "sample %zu", c->sample);
  if (c->py >= 0) qv_buf_printf(out, ", patch %" PRId64 ",%" PRId64, c->py, c->px);
  if (a->cls != QV_NONE) qv_buf_printf(out, ", class %" PRIu32, a->cls);
  qv_buf_printf(out, ": %s", qv_verdict_name(a->verdict));
  switch (a->verdict) {
  case QV_FALSIFIED:
    if (a->got != QV_NONE) qv_buf_printf(out, " -> %" PRIu32, a->got);
    else qv_buf_printf(out, ", violation %" PRIu32, a->violated);
    qv_buf_printf(out, " by %s", a->engine);
    break;
  case QV_VERIFIED: qv_buf_printf(out, " by %s%s", a->engine, a->checked ? "" : ", NOT independently checked"); break;
  case QV_UNKNOWN:
    qv_buf_printf(out, ": %s", a->reason != NULL ? a->reason : "?");
    if (isfinite(a->margin)) qv_buf_printf(out, ", margin %.4g", a->margin);
    if (isfinite(a->rounding)) qv_buf_printf(out, " (rounding %.0f %%, clamps %.0f %%)", 100 * a->rounding, 100 * a->kinks);
    if (rb_advice(a)[0] != 0) qv_buf_printf(out, "; %s", rb_advice(a));
    break;
  }
  if (a->second != NULL) qv_buf_printf(out, ", z3 %s", a->second);
  qv_buf_printf(out, ", %.2f s\n", a->seconds);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------------------- */

static cJSON *real(double v) {
  char s[40];
  (void)snprintf(s, sizeof s, "%.6g", v);
  return isfinite(v) ? cJSON_CreateString(s) : cJSON_CreateNull();
}

static cJSON *patch(const rb_job *j, const rb_case *c) {
  if (c->py < 0) return cJSON_CreateNull();
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add_int(o, "y", c->py);
  ok = qv_json_add_int(o, "x", c->px) && ok;
  ok = qv_json_add_int(o, "height", j->ph) && ok;
  ok = qv_json_add_int(o, "width", j->pw) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static cJSON *margin(const rb_answer *a) {
  if (a->verdict != QV_UNKNOWN) return cJSON_CreateNull();
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add(o, "bound", real(a->margin));
  ok = qv_json_add(o, "rounding", real(a->rounding)) && ok;
  ok = qv_json_add(o, "clamps", real(a->kinks)) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static cJSON *certificate(const rb_answer *a) {
  if (a->cert_path == NULL) return cJSON_CreateNull();
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add_str(o, "path", a->cert_path);
  ok = qv_json_add_str(o, "sha256", a->cert_sha256) && ok;
  ok = qv_json_add_str(o, "format", "qvc 1") && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

/* By how much output element cls is above the largest other one, in integer steps of the output, executed; null where it cannot be. */
static cJSON *lead(const rb_job *j, const int64_t *const *x, uint32_t cls) {
  qv_arena arena = {0};
  int64_t **y = NULL, other = INT64_MIN;
  bool ran = false;
  const size_t n = qv_elems(&j->net->tensor[j->net->out[j->out].tensor]);
  char s[48] = "";
  if (x != NULL && cls < n && n > 1 && rb_execute(&y, &arena, j->net, x, &ran, NULL) == QV_OK && ran) {
    for (size_t k = 0; k < n; k++)
      if (k != cls) other = qv_max64(other, y[j->out][k]);
    (void)snprintf(s, sizeof s, "%" PRId64, qv_sat64((qv_i128)y[j->out][cls] - other));
  }
  qv_arena_clear(&arena);
  return s[0] != 0 ? cJSON_CreateString(s) : cJSON_CreateNull();
}

static cJSON *leads(const rb_job *j, const rb_case *c, const rb_answer *a) {
  qv_arena arena = {0};
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add(o, "original", lead(j, j->family != RB_PROPERTY ? rb_sample(j, c->sample, &arena) : NULL, a->cls));
  ok = qv_json_add(o, "adversarial", lead(j, (const int64_t *const *)a->input, a->cls)) && ok;
  qv_arena_clear(&arena);
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static cJSON *counterexample(const rb_job *j, const rb_case *c, const rb_answer *a, const char *witness) {
  if (a->verdict != QV_FALSIFIED) return cJSON_CreateNull();
  cJSON *o = cJSON_CreateObject(), *list = cJSON_CreateArray();
  bool ok = qv_json_add_str(o, "path", witness);
  ok = qv_json_add_bool(o, "replayed", true) && ok;
  ok = qv_json_add_int(o, "target", a->violated) && ok;
  ok = (a->got != QV_NONE ? qv_json_add_int(o, "class", a->got) : qv_json_add_str(o, "class", NULL)) && ok;
  ok = qv_json_add(o, "lead", leads(j, c, a)) && ok;
  for (uint32_t i = 0; i < j->net->n_in; i++) { /* identified, not repeated: tensors never go into JSON */
    const qv_tensor *t = input(j->net, i);
    char hex[QV_SHA256_HEX];
    size_t bytes = qv_elems(t) * qv_dtype_bytes(t->type);
    void *raw = malloc(bytes);
    if (raw != NULL) {
      qv_store(raw, t->type, a->input[i], qv_elems(t));
      qv_sha256_hex(hex, raw, bytes);
    }
    ok = qv_json_push(list, raw != NULL ? cJSON_CreateString(hex) : NULL) && ok;
    free(raw);
  }
  ok = qv_json_add(o, "input_sha256", list) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

cJSON *rb_json(const rb_job *j, const rb_case *c, const rb_answer *a, const char *witness) {
  qv_arena arena = {0};
  const char *id = qv_arena_printf(&arena, "robust/%s", rb_name(&arena, j, c));
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add(o, "id", id != NULL ? cJSON_CreateString(id) : NULL);
  ok = qv_json_add_str(o, "requirement", NULL) && ok;
  ok = qv_json_add_str(o, "property", j->what) && ok;
  ok = qv_json_add_str(o, "property_sha256", a->property_sha256[0] != 0 ? a->property_sha256 : NULL) && ok;
  ok = (j->family != RB_PROPERTY ? qv_json_add_int(o, "sample", (int64_t)c->sample) : qv_json_add_str(o, "sample", NULL)) && ok;
  ok = qv_json_add(o, "patch", patch(j, c)) && ok;
  ok = (a->cls != QV_NONE ? qv_json_add_int(o, "class", a->cls) : qv_json_add_str(o, "class", NULL)) && ok;
  ok = qv_json_add_str(o, "verdict", qv_verdict_name(a->verdict)) && ok;
  ok = qv_json_add_str(o, "reason", a->verdict == QV_UNKNOWN ? a->reason : NULL) && ok;
  ok = qv_json_add_str(o, "engine", a->engine) && ok;
  ok = qv_json_add_str(o, "second_engine", a->second) && ok;
  ok = qv_json_add_int(o, "nodes", a->nodes) && ok;
  ok = qv_json_add(o, "margin", margin(a)) && ok;
  ok = qv_json_add_str(o, "effort", NULL) && ok;
  ok = qv_json_add_str(o, "time_s", NULL) && ok;
  ok = qv_json_add_str(o, "mem_kb", NULL) && ok;
  ok = qv_json_add(o, "certificate", certificate(a)) && ok;
  ok = qv_json_add_str(o, "checked_by", a->verdict == QV_VERIFIED && a->checked ? "qverify-check" : NULL) && ok;
  ok = qv_json_add(o, "cex", counterexample(j, c, a, witness)) && ok;
  qv_arena_clear(&arena);
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

/* ---- files -------------------------------------------------------------------------------------------------------------------- */

static qv_status npy(const char *path, const qv_tensor *t, const int64_t *v, const float *f, qv_err *err) {
  size_t dim[QV_MAX_RANK], n = qv_elems(t);
  qv_buf b = {0};
  void *data = calloc(n, qv_dtype_bytes(t->type));
  if (data == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  for (uint32_t d = 0; d < t->rank; d++) dim[d] = t->dim[d];
  qv_store(data, t->type, v, n);
  if (f != NULL) qv_npy_write(&b, QV_EL_F32, t->rank, dim, f);
  else qv_npy_write(&b, qv_storage_elem(t->type), t->rank, dim, data);
  qv_status st = cli_emit(path, &b, err);
  qv_buf_free(&b);
  free(data);
  return st;
}

static unsigned char shade(qv_i128 v, qv_i128 lo, qv_i128 hi) {
  qv_i128 s = hi > lo ? (v - lo) * 255 / (hi - lo) : 0;
  return (unsigned char)(s < 0 ? 0 : s > 255 ? 255 : s);
}

/* x as a picture; was NULL: itself, else the change from `was`, grey = none, the largest change black or white. */
static qv_status picture(const char *path, const rb_job *j, const int64_t *x, const int64_t *was, qv_err *err) {
  const qv_tensor *t = input(j->net, 0);
  uint32_t ch = j->c >= 3 ? 3 : 1;
  size_t n = (size_t)j->h * j->w;
  qv_buf b = {0};
  int64_t most = 1;
  unsigned char *p = malloc(n * ch);
  if (p == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  for (size_t e = 0; was != NULL && e < n * j->c; e++) most = qv_max64(most, qv_sat64(x[e] > was[e] ? (qv_i128)x[e] - was[e] : (qv_i128)was[e] - x[e]));
  for (size_t at = 0; at < n; at++)
    for (uint32_t k = 0; k < ch; k++) {
      size_t e = j->chw ? k * n + at : at * j->c + k;
      int64_t d = was != NULL ? (int64_t)(((qv_i128)x[e] - was[e]) * 127 / most) : 0;
      p[at * ch + k] = was == NULL ? shade(x[e], t->lo, t->hi) : (unsigned char)((128 + d) & 255);
    }
  cli_png(&b, p, j->w, j->h, ch);
  qv_status st = cli_emit(path, &b, err);
  qv_buf_free(&b);
  free(p);
  return st;
}

qv_status rb_witness_files(const char *dir, const char *name, const rb_job *j, const rb_case *c, const rb_answer *a, qv_err *err) {
  static const char *const kind[] = {"original", "adversarial", "difference"};
  qv_arena arena = {0};
  qv_status st = mkdir(dir, 0777) == 0 || errno == EEXIST ? QV_OK : QV_FAIL(err, QV_E_INTERNAL, "%s: %s", dir, strerror(errno));
  for (uint32_t i = 0; st == QV_OK && i < j->net->n_in; i++) {
    const char *path = qv_arena_printf(&arena, "%s/%s_input%" PRIu32 ".npy", dir, name, i);
    const float *f = a->real != NULL ? a->real[i] : NULL;
    st = path != NULL ? npy(path, input(j->net, i), a->input[i], f, err) : QV_FAIL(err, QV_E_NOMEM, "out of memory");
  }
  if (j->h > 0 && j->family != RB_PROPERTY) {
    const int64_t *const *x = rb_sample(j, c->sample, &arena);
    const int64_t *was = x != NULL ? x[0] : NULL, *now = a->input[0];
    if (was == NULL && st == QV_OK) st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
    for (int k = 0; st == QV_OK && k < 3; k++) {
      const char *path = qv_arena_printf(&arena, "%s/%s_%s.png", dir, name, kind[k]);
      st = path != NULL ? picture(path, j, k == 0 ? was : now, k == 2 ? was : NULL, err) : QV_FAIL(err, QV_E_NOMEM, "out of memory");
    }
  }
  qv_arena_clear(&arena);
  return st;
}
