#include "quant/sens_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/json.h"

struct qv_sens {
  cJSON *root, *losses; /* losses: a member of root */
  const char *key;
  bool changed;
};

static const char format[] = "qverify-sensitivities/1";

qv_sens *qv_sens_new(void) {
  qv_sens *s = calloc(1, sizeof *s);
  if (s == NULL) return NULL;
  s->root = cJSON_CreateObject();
  s->losses = cJSON_CreateObject();
  if (qv_json_add_str(s->root, "format", format) && qv_json_add(s->root, "losses", s->losses)) return s;
  qv_sens_free(s);
  return NULL;
}

void qv_sens_free(qv_sens *s) {
  if (s == NULL) return;
  cJSON_Delete(s->root);
  free(s);
}

static bool number(double *v, const char *s) {
  char *end;
  *v = strtod(s, &end);
  return *s != 0 && *end == 0 && isfinite(*v);
}

static qv_status check(const cJSON *losses, qv_err *err) {
  const cJSON *g, *c, *m;
  cJSON_ArrayForEach(g, losses) {
    if (!cJSON_IsObject(g)) return QV_FAIL(err, QV_E_PARSE, "losses: group \"%s\" is no object", g->string);
    cJSON_ArrayForEach(c, g) {
      if (!cJSON_IsObject(c)) return QV_FAIL(err, QV_E_PARSE, "losses: candidate \"%s\" of group \"%s\" is no object", c->string, g->string);
      cJSON_ArrayForEach(m, c) {
        double v;
        if ((!cJSON_IsString(m) && !cJSON_IsNumber(m)) || m->valuestring == NULL || !number(&v, m->valuestring))
          return QV_FAIL(err, QV_E_PARSE, "losses: \"%s\" of candidate \"%s\" of group \"%s\" is no finite decimal number", m->string, c->string, g->string);
      }
    }
  }
  return QV_OK;
}

qv_status qv_sens_read(qv_sens **out, const char *text, size_t n, qv_err *err) {
  qv_sens *s = calloc(1, sizeof *s);
  const char *name;
  const cJSON *losses, *key;
  qv_status st = s != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "sensitivities");
  if (st != QV_OK) return st;
  QV_TRY(qv_json_parse(&s->root, text, n, err));
  if (!cJSON_IsObject(s->root)) {
    st = QV_FAIL(err, QV_E_PARSE, "sensitivities: no object");
    goto done;
  }
  QV_TRY(qv_json_get_str(&name, s->root, "format", "sensitivities", err));
  if (strcmp(name, format) != 0) {
    st = QV_FAIL(err, QV_E_PARSE, "sensitivities: format is '%.60s', not '%s'", name, format);
    goto done;
  }
  QV_TRY(qv_json_get(&losses, s->root, "losses", "sensitivities", err));
  if (!cJSON_IsObject(losses)) {
    st = QV_FAIL(err, QV_E_PARSE, "sensitivities: losses is no object");
    goto done;
  }
  QV_TRY(check(losses, err));
  key = cJSON_GetObjectItemCaseSensitive(s->root, "key");
  s->key = cJSON_IsString(key) ? key->valuestring : NULL;
  s->losses = cJSON_GetObjectItemCaseSensitive(s->root, "losses");
  *out = s;
  s = NULL;
done:
  qv_sens_free(s);
  return st;
}

const char *qv_sens_key(const qv_sens *s) { return s->key; }
bool qv_sens_changed(const qv_sens *s) { return s->changed; }

bool qv_sens_get(double *v, const qv_sens *s, const char *group, const char *cand, const char *metric) {
  const cJSON *g = cJSON_GetObjectItemCaseSensitive(s->losses, group), *c = g != NULL ? cJSON_GetObjectItemCaseSensitive(g, cand) : NULL;
  const cJSON *m = c != NULL ? cJSON_GetObjectItemCaseSensitive(c, metric) : NULL;
  return m != NULL && m->valuestring != NULL && number(v, m->valuestring);
}

static cJSON *member(cJSON *o, const char *name) {
  cJSON *m = cJSON_GetObjectItemCaseSensitive(o, name);
  if (m != NULL) return m;
  m = cJSON_CreateObject();
  return qv_json_add(o, name, m) ? m : NULL;
}

bool qv_sens_put(qv_sens *s, const char *group, const char *cand, const char *metric, double v) {
  char text[40];
  cJSON *g = member(s->losses, group), *c = g != NULL ? member(g, cand) : NULL;
  if (c == NULL) return false;
  (void)snprintf(text, sizeof text, "%.17g", v);
  cJSON_DeleteItemFromObjectCaseSensitive(c, metric);
  s->changed = true;
  return qv_json_add_str(c, metric, text);
}

qv_status qv_sens_write(qv_buf *out, const qv_sens *s, const char *key, qv_err *err) {
  cJSON_DeleteItemFromObjectCaseSensitive(s->root, "key");
  if (!qv_json_add_str(s->root, "key", key)) return QV_FAIL(err, QV_E_NOMEM, "sensitivities");
  return qv_json_print(out, s->root, true, err);
}

qv_status qv_sens_hash(char out[QV_SHA256_HEX], const char *version, const qv_fgraph *g, const qv_calib *c, const qv_table_opts *o, qv_err *err) {
  const qv_quant_opts *q = &o->quant;
  char sha[QV_SHA256_HEX];
  qv_buf b = {0};
  qv_sha256_hex(sha, c->sample, c->n * qv_felems(&g->tensor[g->in]) * sizeof *c->sample);
  qv_buf_printf(&b, "%s\n%s nodes %u tensors %u\nsamples %zu %s\n", version, g->sha256, g->n_nodes, g->n_tensors, c->n, sha);
  if (o->label != NULL) {
    qv_sha256_hex(sha, o->label, c->n * sizeof *o->label);
    qv_buf_printf(&b, "labels %s\n", sha);
  }
  qv_buf_printf(&b, "range %d %.17g symmetric %d per_tensor %d pow2 %d pow2_weights %d qonnx %d acc %d round %d\n", (int)q->range, q->percentile, q->symmetric,
                q->per_tensor, q->pow2, q->pow2_weights, q->for_qonnx, q->acc_bits, q->round_to_output);
  qv_buf_printf(&b, "measured on %zu reference W%dA%d radius %.17g\n", o->samples, o->n_cand > 0 ? o->cand[0].w : 0, o->n_cand > 0 ? o->cand[0].a : 0, o->error_radius);
  if (!b.failed) qv_sha256_hex(out, b.p, b.n);
  bool failed = b.failed;
  qv_buf_free(&b);
  return failed ? QV_FAIL(err, QV_E_NOMEM, "sensitivities") : QV_OK;
}
