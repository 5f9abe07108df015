#include "cli/alloctab.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/checker.h"

qv_status cli_alloc_rebuild(cli_alloc *a, qv_err *err) {
  qv_status st;
  qv_alloc_free(a->p);
  a->p = NULL;
  qv_buf_free(&a->qap);
  a->qap = (qv_buf){0};
  QV_TRY(qv_alloc_build(&a->p, &a->table, err));
  QV_TRY(qv_alloc_text(&a->qap, a->p, err));
  qv_sha256_hex(a->qap_sha256, a->qap.p, a->qap.n);
done:
  return st;
}

int cli_alloc_load_text(cli_alloc *a, const cli_cmd *cmd, const char *path, const qv_buf *text, const char *metric, const cli_val *limits, qv_err *err) {
  qv_status st;
  a->path = path;
  a->bytes = text->n;
  qv_sha256_hex(a->sha256, text->p, text->n);
  QV_TRY(qv_atable_read(&a->table, (const char *)text->p, text->n, metric, err));
  for (uint32_t i = 0; i < limits->n; i++) QV_TRY(qv_atable_set_limit(&a->table, limits->v[i], err));
  QV_TRY(cli_alloc_rebuild(a, err));
done:
  if (st == QV_OK) return 0;
  return st == QV_E_ARG ? cli_usage(cmd, "%s", err->msg) : cli_fail(st, path, err);
}

void cli_alloc_free(cli_alloc *a) {
  qv_alloc_free(a->p);
  qv_atable_free(&a->table);
  qv_buf_free(&a->qap);
  *a = (cli_alloc){0};
}

uint32_t cli_alloc_row(const cli_alloc *a, const char *name) {
  for (uint32_t m = 0; m < a->p->n_rows; m++)
    if (strcmp(a->p->row[m].name, name) == 0) return m;
  return QV_ATABLE_NONE;
}

uint32_t cli_alloc_cost(const cli_alloc *a, const char *name) {
  for (uint32_t m = 0; m < a->p->n_costs; m++)
    if (strcmp(a->p->cost[m].name, name) == 0) return m;
  return QV_ATABLE_NONE;
}

/* ---- the checker ---------------------------------------------------------------------------------------------------------------- */

static qv_status refuse(const qv_buf *text, int code, qv_err *err) {
  size_t n = text->n < 200 ? text->n : 200;
  while (n > 0 && text->p[n - 1] == '\n') n--;
  return QV_FAIL(err, QV_E_INTERNAL, "the independent checker does not accept the certificate (exit %d): %.*s", code, (int)n,
                 n > 0 ? (const char *)text->p : "");
}

qv_status cli_alloc_check(cli_check_result *out, const qv_buf *qap, const qv_buf *qva, const char *line, qv_err *err) {
  const char *tmp = getenv("TMPDIR");
  char dir[4096], problem[4200], cert[4200], tail[4200];
  qv_buf text = {0};
  int code = -1;
  qv_status st;
  *out = CLI_CHECK_NOT_RUN;
  if (line == NULL || snprintf(tail, sizeof tail, "%s\ns CHECKED\n", line) >= (int)sizeof tail) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  (void)snprintf(dir, sizeof dir, "%s/qverify.XXXXXX", tmp != NULL && tmp[0] != 0 && strlen(tmp) < 3900 ? tmp : "/tmp");
  if (mkdtemp(dir) == NULL) return QV_FAIL(err, QV_E_INTERNAL, "%s: %s", dir, strerror(errno));
  (void)snprintf(problem, sizeof problem, "%s/problem.qap", dir);
  (void)snprintf(cert, sizeof cert, "%s/claim.qva", dir);
  QV_TRY(cli_emit(problem, qap, err));
  QV_TRY(cli_emit(cert, qva, err));
  QV_TRY(cli_run_checker(&code, &text, "alloc", problem, cert, err));
  if (cli_checker_said(&text, code, tail)) *out = CLI_CHECK_ACCEPTED;
  else if (code != 2) {
    *out = CLI_CHECK_REJECTED;
    st = refuse(&text, code, err);
  }
done:
  (void)unlink(problem);
  (void)unlink(cert);
  (void)rmdir(dir);
  qv_buf_free(&text);
  return st;
}

const char *cli_alloc_line(qv_arena *a, const qv_alloc *p, const qv_alloc_result *r) {
  if (r->state == QV_ALLOC_INFEASIBLE) return "c infeasible";
  mpq_t v;
  mpq_init(v);
  qv_alloc_real(v, p, r->choice, 0);
  const char *s = cli_alloc_exact(a, v);
  mpq_clear(v);
  return s == NULL ? NULL : qv_arena_printf(a, "c optimum %s", s);
}

qv_status cli_alloc_save(const char *path, const qv_buf *qap, const qv_buf *qva, qv_err *err) {
  const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
  size_t stem = dot != NULL && (slash == NULL || dot > slash + 1) && dot != path ? (size_t)(dot - path) : strlen(path);
  qv_arena a = {0};
  char *beside = qv_arena_printf(&a, "%.*s.qap", (int)stem, path);
  qv_status st;
  if (beside == NULL) st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
  else if (strcmp(path, "-") == 0 || strcmp(beside, path) == 0)
    st = QV_FAIL(err, QV_E_ARG, "%s: a certificate needs a file name of its own, beside which the .qap goes", path);
  else {
    st = cli_emit(beside, qap, err);
    if (st == QV_OK) st = cli_emit(path, qva, err);
  }
  qv_arena_clear(&a);
  return st;
}

/* ---- numbers ------------------------------------------------------------------------------------------------------------------------ */

const char *cli_alloc_exact(qv_arena *a, mpq_srcptr v) {
  char *s = QV_NEW(a, mpz_sizeinbase(mpq_numref(v), 10) + mpz_sizeinbase(mpq_denref(v), 10) + 3, char);
  return s == NULL ? NULL : mpq_get_str(s, 10, v);
}

const char *cli_alloc_num(qv_arena *a, mpq_srcptr v) {
  const char *exact = cli_alloc_exact(a, v);
  if (exact != NULL && (mpz_cmp_ui(mpq_denref(v), 1) == 0 && strlen(exact) <= 15)) return exact;
  const char *s = qv_arena_printf(a, "%.12g", mpq_get_d(v));
  return s != NULL ? s : "?";
}
