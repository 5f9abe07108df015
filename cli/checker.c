#include "cli/checker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"

extern char **environ;

/* path with everything after the last dot of its file name replaced. NULL: no memory. */
static char *sibling(const char *path, const char *ext) {
  const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
  size_t stem = dot != NULL && (slash == NULL || dot > slash + 1) && dot != path ? (size_t)(dot - path) : strlen(path);
  char *s = malloc(stem + strlen(ext) + 1);
  if (s == NULL) return NULL;
  memcpy(s, path, stem);
  memcpy(s + stem, ext, strlen(ext) + 1);
  return s;
}

static qv_status save_beside(const char *path, const char *ext, const qv_buf *b, qv_err *err) {
  char *s = sibling(path, ext);
  qv_status st = s == NULL               ? QV_FAIL(err, QV_E_NOMEM, "out of memory")
                 : strcmp(s, path) == 0  ? QV_FAIL(err, QV_E_ARG, "%s: a certificate needs another name than the net beside it", path)
                                         : cli_emit(s, b, err);
  free(s);
  return st;
}

qv_status cli_evidence_save(const cli_evidence *ev, const char *path, qv_err *err) {
  qv_status st = save_beside(path, ".qir", &ev->qir, err);
  if (st == QV_OK && ev->property.n > 0) st = save_beside(path, ".qvp", &ev->property, err);
  return st == QV_OK ? cli_emit(path, &ev->cert, err) : st;
}

/* The checker that belongs to this program, or its bare name for a search on PATH. */
static void checker_path(char *out, size_t n) {
  char self[4000];
  ssize_t k = readlink("/proc/self/exe", self, sizeof self - 1);
  self[k > 0 ? k : 0] = 0;
  char *slash = strrchr(self, '/');
  if (slash != NULL) {
    *slash = 0;
    (void)snprintf(out, n, "%s/qverify-check", self);
    if (access(out, X_OK) == 0) return;
  }
  (void)snprintf(out, n, "qverify-check");
}

/* Read until the other side closes. False: the deadline (0 = none) came first. */
static bool drain(qv_buf *text, int fd, double deadline) {
  char b[4096];
  for (;;) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    double left = deadline > 0 ? deadline - cli_now() : 0;
    if (deadline > 0 && left <= 0) return false;
    int ready = poll(&p, 1, deadline > 0 ? (int)(left < 1e6 ? left * 1000 + 1 : 1e9) : -1);
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    ssize_t k = read(fd, b, sizeof b);
    if (k > 0 && text->n < (size_t)1 << 20) qv_buf_put(text, b, (size_t)k);
    if (k == 0 || (k < 0 && errno != EINTR)) return true;
  }
}

qv_status cli_run_checker(int *code, qv_buf *text, const char *qir, const char *property, const char *cert, qv_err *err) {
  return cli_run_checker_for(code, text, qir, property, cert, 0, err);
}

static void free_words(char **argv) {
  for (size_t i = 0; argv != NULL && argv[i] != NULL; i++) free(argv[i]);
  free(argv);
}

qv_status cli_run_checker_for(int *code, qv_buf *text, const char *qir, const char *property, const char *cert, double seconds, qv_err *err) {
  const char *const argument[] = {qir, property, cert, NULL};
  return cli_run_checker_on(code, text, argument, seconds, err);
}

/* path and the arguments, each a copy; NULL: no memory. */
static char **copy_words(const char *path, const char *const *argument) {
  size_t n = 0;
  while (argument[n] != NULL) n++;
  char **argv = calloc(n + 2, sizeof *argv);
  bool ok = argv != NULL;
  for (size_t i = 0; ok && i <= n; i++) ok = (argv[i] = strdup(i == 0 ? path : argument[i - 1])) != NULL;
  if (ok) return argv;
  free_words(argv);
  return NULL;
}

qv_status cli_run_checker_on(int *code, qv_buf *text, const char *const *argument, double seconds, qv_err *err) {
  char path[4096];
  int fd[2], status;
  pid_t pid;
  qv_status st = QV_OK;
  checker_path(path, sizeof path);
  char **argv = copy_words(path, argument);
  if (argv == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  if (pipe2(fd, O_CLOEXEC) != 0) {
    st = QV_FAIL(err, QV_E_INTERNAL, "pipe: %s", strerror(errno));
    goto done;
  }
  posix_spawn_file_actions_t fa;
  bool ready = posix_spawn_file_actions_init(&fa) == 0;
  int rc = !ready                                                               ? ENOMEM
           : posix_spawn_file_actions_adddup2(&fa, fd[1], STDOUT_FILENO) != 0   ? ENOMEM
                                                                                : posix_spawnp(&pid, path, &fa, NULL, argv, environ);
  if (ready) (void)posix_spawn_file_actions_destroy(&fa);
  (void)close(fd[1]);
  if (rc != 0) st = QV_FAIL(err, QV_E_INTERNAL, "the independent checker %s cannot be run: %s", path, strerror(rc));
  else {
    bool ended = drain(text, fd[0], seconds > 0 ? cli_now() + seconds : 0);
    if (!ended) (void)kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0)
      if (errno != EINTR) {
        st = QV_FAIL(err, QV_E_INTERNAL, "waiting for the checker: %s", strerror(errno));
        break;
      }
    if (st == QV_OK && !ended) st = QV_FAIL(err, QV_E_LIMIT, "the independent checker needs more than %.1f s", seconds);
    if (st == QV_OK) *code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + (WIFSIGNALED(status) ? WTERMSIG(status) : 0);
  }
  (void)close(fd[0]);
  if (st == QV_OK && text->failed) st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
done:
  free_words(argv);
  return st;
}

static qv_status put_temp(const char *dir, const char *name, const qv_buf *b, char path[4200], qv_err *err) {
  (void)snprintf(path, 4200, "%s/%s", dir, name);
  return cli_emit(path, b, err);
}

bool cli_checker_said(const qv_buf *text, int code, const char *tail) {
  size_t n = strlen(tail);
  return code == 0 && text->n >= n && memcmp(text->p + text->n - n, tail, n) == 0 && (text->n == n || text->p[text->n - n - 1] == '\n');
}

qv_status cli_evidence_check(cli_check_result *out, const cli_evidence *ev, bool verified, qv_err *err) {
  const char *tmp = getenv("TMPDIR");
  char dir[4096], qir[4200] = "", qvp[4200] = "", qvc[4200] = "";
  qv_buf text = {0};
  int code = -1;
  *out = CLI_CHECK_NOT_RUN;
  (void)snprintf(dir, sizeof dir, "%s/qverify.XXXXXX", tmp != NULL && tmp[0] != 0 && strlen(tmp) < 3900 ? tmp : "/tmp");
  if (mkdtemp(dir) == NULL) return QV_FAIL(err, QV_E_INTERNAL, "%s: %s", dir, strerror(errno));
  qv_status st = put_temp(dir, "net.qir", &ev->qir, qir, err);
  if (st == QV_OK) st = put_temp(dir, "claim.qvc", &ev->cert, qvc, err);
  if (st == QV_OK && ev->property.n > 0) st = put_temp(dir, "claim.qvp", &ev->property, qvp, err);
  if (st == QV_OK) st = cli_run_checker(&code, &text, qir, ev->property.n > 0 ? qvp : "-", qvc, err);
  if (st == QV_OK) {
    bool good = cli_checker_said(&text, code, verified ? "c verdict verified\ns CHECKED\n" : "c verdict unknown\ns CHECKED\n");
    *out = good ? CLI_CHECK_ACCEPTED : CLI_CHECK_REJECTED;
    if (!good) {
      size_t n = text.n < 200 ? text.n : 200;
      while (n > 0 && text.p[n - 1] == '\n') n--;
      (void)QV_FAIL(err, QV_E_INTERNAL, "the independent checker does not accept the certificate (exit %d): %.*s", code, (int)n,
                    n > 0 ? (const char *)text.p : "");
    }
  }
  if (qir[0] != 0) (void)unlink(qir);
  if (qvc[0] != 0) (void)unlink(qvc);
  if (qvp[0] != 0) (void)unlink(qvp);
  (void)rmdir(dir);
  qv_buf_free(&text);
  return st;
}

qv_status qv_ovcheck_check(qv_ovcheck *o, qv_err *err) {
  qv_status st = cli_evidence_check(&o->checked, &o->evidence, o->proof.verdict == QV_VERIFIED, err);
  return st != QV_OK ? st : o->checked == CLI_CHECK_ACCEPTED ? QV_OK : QV_E_INTERNAL;
}
