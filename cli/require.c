#include "cli/require.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "frontend/array.h"
#include "ir/base/json.h"

bool cli_require_read(cli_requirement *r, const cli_cmd *cmd, const cli_val *val, const char *spec) {
  char tail;
  long long eps = 0;
  r->is_error = strncmp(spec, "error<=", 7) == 0;
  if (r->is_error) {
    if (!cli_error_claim_read(&r->error, spec + 7)) {
      (void)cli_usage(cmd, "--require '%.40s': error<=X or error<=X@R, e.g. error<=0.5@0.01 (within 0.01 of the calibration samples)", spec);
      return false;
    }
  } else if (sscanf(spec, "robust:%lld%c", &eps, &tail) != 1 || eps < 0 || eps > 65535) {
    (void)cli_usage(cmd, "--require '%.40s': robust:EPS with EPS integer steps, e.g. robust:1, or error<=X", spec);
    return false;
  }
  r->eps = eps;
  bool ok = cli_get_int(&r->samples, cmd, val, "require-samples", 1, 1000000, 10) && cli_get_int(&r->seconds, cmd, val, "require-timeout", 1, 1000000, 10);
  r->error.samples = (size_t)r->samples;
  return ok;
}

static qv_status put_samples(const char *path, const cli_requirement *r, const cli_allocnet *x, size_t *n, qv_err *err) {
  const qv_ftensor *in = &x->f.g->tensor[x->f.g->in];
  size_t dim[QV_MAX_RANK + 1];
  uint32_t rank = in->rank > 0 ? in->rank : 1;
  qv_buf b = {0};
  *n = x->f.n < (size_t)r->samples ? x->f.n : (size_t)r->samples;
  for (uint32_t d = 1; d < rank; d++) dim[d] = in->dim[d];
  dim[0] = *n;
  if (qv_felems(in) != 1 && rank == 1) return QV_FAIL(err, QV_E_UNSUP, "a network without a batch dimension");
  qv_npy_write(&b, QV_EL_F32, rank, dim, x->f.sample);
  qv_status st = cli_emit(path, &b, err);
  qv_buf_free(&b);
  return st;
}

static qv_status check_error(int *code, const cli_requirement *r, const cli_allocnet *x, const qv_net *net, qv_err *err) {
  double bound = INFINITY;
  qv_status st = cli_error_claim_bound(&bound, &r->error, &x->f, net, err);
  *code = st == QV_OK && bound <= r->error.within && bound < INFINITY ? 0 : 5;
  return st;
}

qv_status cli_require_check(int *code, const cli_requirement *r, const cli_allocnet *x, const cli_quantized *q, qv_err *err) {
  if (r->is_error) return check_error(code, r, x, q->net, err);
  char self[4096], dir[] = "/tmp/qverify-require.XXXXXX", model[100] = "", samples[100] = "", eps[24], index[40], seconds[24];
  size_t n;
  int status;
  qv_status st;
  ssize_t k = readlink("/proc/self/exe", self, sizeof self - 1);
  if (k <= 0 || mkdtemp(dir) == NULL) return QV_FAIL(err, QV_E_INTERNAL, "temporary folder: %s", strerror(errno));
  self[k] = 0;
  (void)snprintf(model, sizeof model, "%s/net.onnx", dir);
  (void)snprintf(samples, sizeof samples, "%s/samples.npy", dir);
  QV_TRY(cli_emit(model, &q->onnx, err));
  QV_TRY(put_samples(samples, r, x, &n, err));
  (void)snprintf(eps, sizeof eps, "%" PRId64, r->eps);
  (void)snprintf(index, sizeof index, "0:%zu", n - 1);
  (void)snprintf(seconds, sizeof seconds, "%" PRId64, r->seconds);
  pid_t pid = fork();
  if (pid == 0) {
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0) _exit(127);
    (void)execl(self, "qverify", "robust", model, "--profile", q->profile, "--input", samples, "--index", index, "--eps", eps, "--timeout", seconds, (char *)NULL);
    _exit(127);
  }
  if (pid < 0) st = QV_FAIL(err, QV_E_INTERNAL, "no process: %s", strerror(errno));
  while (pid > 0 && waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) {
      st = QV_FAIL(err, QV_E_INTERNAL, "waiting: %s", strerror(errno));
      break;
    }
  if (st == QV_OK) *code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  if (st == QV_OK && *code != 0 && *code != 5 && *code != 10) st = QV_FAIL(err, QV_E_INTERNAL, "qverify robust on the chosen network: exit code %d", *code);
done:
  (void)unlink(model);
  (void)unlink(samples);
  (void)rmdir(dir);
  return st;
}

qv_status cli_require_cut(qv_buf *json, uint32_t number, const qv_alloc *p, const uint32_t *choice, qv_err *err) {
  cJSON *root = NULL, *groups, *group, *cand, *limits;
  char name[32], limit[24];
  uint32_t i = 0;
  bool ok = true;
  qv_status st = qv_json_parse(&root, (const char *)json->p, json->n, err);
  if (st != QV_OK) return st;
  (void)snprintf(name, sizeof name, "cut%" PRIu32, number);
  (void)snprintf(limit, sizeof limit, "%" PRIu32, p->n_members - 1);
  ok = qv_json_push(cJSON_GetObjectItemCaseSensitive(root, "costs"), cJSON_CreateString(name));
  groups = cJSON_GetObjectItemCaseSensitive(root, "groups");
  cJSON_ArrayForEach(group, groups) {
    const char *chosen = i < p->n_members ? p->cand[p->group[p->member_of[i]].first + choice[p->member_of[i]]].name : "";
    cJSON_ArrayForEach(cand, cJSON_GetObjectItemCaseSensitive(group, "candidates")) {
      const cJSON *is = cJSON_GetObjectItemCaseSensitive(cand, "name");
      ok = qv_json_add_str(cJSON_GetObjectItemCaseSensitive(cand, "cost"), name, cJSON_IsString(is) && strcmp(is->valuestring, chosen) == 0 ? "1" : "0") && ok;
    }
    i++;
  }
  if ((limits = cJSON_GetObjectItemCaseSensitive(root, "limits")) == NULL) {
    limits = cJSON_CreateObject();
    ok = qv_json_add(root, "limits", limits) && ok;
  }
  ok = ok && qv_json_add_str(limits, name, limit);
  qv_buf out = {0};
  st = ok ? qv_json_print(&out, root, true, err) : QV_FAIL(err, QV_E_NOMEM, "out of memory");
  cJSON_Delete(root);
  if (st == QV_OK) {
    qv_buf_free(json);
    *json = out;
  } else qv_buf_free(&out);
  return st;
}
