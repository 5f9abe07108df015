#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/ci.h"

#define MAX_RUNNING 256
#define KEEP_TEXT 4000 /* last bytes of a job's streams that its result keeps */

typedef struct {
  const ci_job *job;
  pid_t pid;
  double start;
  bool killed;
} running;

typedef struct {
  const ci_plan *p;
  const ci_work_opts *o;
  char self[4096];
  running run[MAX_RUNNING];
  unsigned n_run;
  qv_err *err;
} worker;

/* File of a job: DIR/KEY.ext */
static void path_of(char out[4200], const worker *w, const ci_job *j, const char *ext) { (void)snprintf(out, 4200, "%.4000s/%s%s", w->o->dir, j->key, ext); }

static bool exists(const char *path) { return access(path, F_OK) == 0; }

/* ---- one child ---------------------------------------------------------------------------------------------------------------------- */

static void limit(__rlimit_resource_t what, uint64_t v) {
  struct rlimit r = {(rlim_t)v, (rlim_t)v};
  (void)setrlimit(what, &r);
}

/* In the child: never returns. */
static void become(const worker *w, const ci_job *j, char *const *argv, const char *out, const char *err_path) {
  int null = open("/dev/null", O_RDONLY), o = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0666), e = open(err_path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (null < 0 || o < 0 || e < 0 || dup2(null, 0) < 0 || dup2(o, 1) < 0 || dup2(e, 2) < 0) _exit(127);
  (void)setpgid(0, 0); /* what it starts ends with it */
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
#ifndef __SANITIZE_ADDRESS__ /* which reserves terabytes of addresses */
  limit(RLIMIT_AS, j->memory_mb << 20);
#endif
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_CPU, (uint64_t)(j->seconds + w->o->grace) + 2);
  execv(w->self, argv);
  _exit(127);
}

static qv_status start(worker *w, const ci_job *j) {
  char out[4200], err_path[4200], json[4200], cert[4200], witness[4200];
  char **argv = calloc((size_t)j->argc + 2, sizeof *argv);
  bool ok = argv != NULL;
  path_of(out, w, j, ".out");
  path_of(err_path, w, j, ".err");
  path_of(json, w, j, ".report");
  path_of(cert, w, j, strcmp(j->argv[0], "robust") == 0 || strcmp(j->argv[0], "radius") == 0 ? ".evidence" : strcmp(j->argv[0], "allocate") == 0 ? ".qva" : ".qvc");
  path_of(witness, w, j, ".witness");
  (void)unlink(json);
  if (ok) ok = (argv[0] = strdup("qverify")) != NULL;
  for (uint32_t i = 0; ok && i < j->argc; i++) {
    const char *a = j->argv[i];
    ok = (argv[i + 1] = strdup(strcmp(a, "@json") == 0 ? json : strcmp(a, "@cert") == 0 ? cert : strcmp(a, "@witness") == 0 ? witness : a)) != NULL;
  }
  qv_status st = ok ? QV_OK : QV_FAIL(w->err, QV_E_NOMEM, "out of memory");
  if (ok) {
    pid_t pid = fork();
    if (pid == 0) become(w, j, argv, out, err_path);
    if (pid < 0) st = QV_FAIL(w->err, QV_E_INTERNAL, "no process can be started: %s", strerror(errno));
    else w->run[w->n_run++] = (running){j, pid, cli_now(), false};
  }
  for (uint32_t i = 0; argv != NULL && i <= j->argc; i++) free(argv[i]);
  free(argv);
  return st;
}

/* ---- its result ------------------------------------------------------------------------------------------------------------------------ */

static bool add_tail(cJSON *o, const char *key, const char *path) {
  qv_buf b = {0};
  bool ok = true;
  if (qv_file_read(&b, path, (size_t)1 << 28, NULL) == QV_OK) {
    size_t from = b.n > KEEP_TEXT ? b.n - KEEP_TEXT : 0;
    for (size_t i = from; i < b.n; i++)
      if (b.p[i] == 0) b.p[i] = '?';
    ok = qv_json_add_str(o, key, (const char *)b.p + from);
  } else ok = qv_json_add_str(o, key, NULL);
  qv_buf_free(&b);
  return ok;
}

static bool add_report(cJSON *o, const char *path) {
  qv_buf b = {0};
  cJSON *doc = NULL;
  bool have = qv_file_read(&b, path, (size_t)1 << 30, NULL) == QV_OK && qv_json_parse(&doc, (const char *)b.p, b.n, NULL) == QV_OK;
  qv_buf_free(&b);
  return qv_json_add(o, "report", have ? doc : cJSON_CreateNull());
}

static qv_status finish(worker *w, const running *r, int status, const struct rusage *use) {
  char path[4200], text[32];
  qv_buf b = {0};
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add_str(o, "format", "qverify-ci-result/1");
  ok = qv_json_add_str(o, "key", r->job->key) && ok;
  ok = (WIFEXITED(status) ? qv_json_add_num(o, "exit", WEXITSTATUS(status)) : qv_json_add_str(o, "exit", NULL)) && ok;
  ok = (WIFSIGNALED(status) ? qv_json_add_num(o, "signal", WTERMSIG(status)) : qv_json_add_str(o, "signal", NULL)) && ok;
  ok = qv_json_add_bool(o, "timeout", r->killed || (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)) && ok;
  (void)snprintf(text, sizeof text, "%.3f", cli_now() - r->start);
  ok = qv_json_add_str(o, "seconds", text) && ok;
  ok = qv_json_add_int(o, "max_rss_kb", use->ru_maxrss) && ok;
  path_of(path, w, r->job, ".out");
  ok = add_tail(o, "stdout", path) && ok;
  (void)unlink(path);
  path_of(path, w, r->job, ".err");
  ok = add_tail(o, "stderr", path) && ok;
  (void)unlink(path);
  path_of(path, w, r->job, ".report");
  ok = add_report(o, path) && ok;
  (void)unlink(path);
  qv_status st = ok ? qv_json_print(&b, o, true, w->err) : QV_FAIL(w->err, QV_E_NOMEM, "out of memory");
  path_of(path, w, r->job, ".json");
  if (st == QV_OK) st = qv_file_write(path, b.p, b.n, w->err);
  cJSON_Delete(o);
  qv_buf_free(&b);
  return st;
}

/* Collect what has ended; end what is too late. */
static qv_status attend(worker *w, bool *progress) {
  for (unsigned i = 0; i < w->n_run;) {
    running *r = &w->run[i];
    struct rusage use;
    int status;
    pid_t got = wait4(r->pid, &status, WNOHANG, &use);
    if (got == r->pid) {
      running done = *r;
      (void)kill(-r->pid, SIGKILL); /* what it left behind */
      w->run[i] = w->run[--w->n_run];
      *progress = true;
      qv_status st = finish(w, &done, status, &use);
      if (st != QV_OK) return st;
      continue;
    }
    if (got < 0 && errno != EINTR) return QV_FAIL(w->err, QV_E_INTERNAL, "waiting for a job: %s", strerror(errno));
    if (!r->killed && cli_now() - r->start > r->job->seconds + w->o->grace) {
      r->killed = true;
      if (kill(-r->pid, SIGKILL) != 0) (void)kill(r->pid, SIGKILL);
    }
    i++;
  }
  return QV_OK;
}

static void stop_all(worker *w) {
  for (unsigned i = 0; i < w->n_run; i++) {
    (void)kill(-w->run[i].pid, SIGKILL);
    (void)kill(w->run[i].pid, SIGKILL);
    while (waitpid(w->run[i].pid, NULL, 0) < 0 && errno == EINTR) {}
  }
}

/* Is job j dealt to this shard? By its key, so that plans of other orders deal alike. */
static bool mine(const ci_job *j, const ci_work_opts *o) {
  char head[9] = "";
  memcpy(head, j->key, 8);
  return strtoul(head, NULL, 16) % (o->of > 0 ? o->of : 1) == o->shard;
}

qv_status ci_work(uint32_t *ran, const ci_plan *p, const ci_work_opts *o, qv_err *err) {
  worker *w = calloc(1, sizeof *w);
  qv_status st = QV_OK;
  *ran = 0;
  if (w == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  *w = (worker){.p = p, .o = o, .err = err};
  ssize_t k = readlink("/proc/self/exe", w->self, sizeof w->self - 1);
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  unsigned most = o->jobs > 0 ? o->jobs : cores > 0 ? (unsigned)cores : 1;
  if (most > MAX_RUNNING) most = MAX_RUNNING;
  if (k <= 0) st = QV_FAIL(err, QV_E_INTERNAL, "/proc/self/exe: %s", strerror(errno));
  if (st == QV_OK && mkdir(o->dir, 0777) != 0 && errno != EEXIST) st = QV_FAIL(err, QV_E_IO, "%s: %s", o->dir, strerror(errno));
  for (uint32_t i = 0; st == QV_OK && (i < p->n_job || w->n_run > 0);) {
    bool progress = false;
    while (st == QV_OK && i < p->n_job && w->n_run < most) {
      const ci_job *j = &p->job[i++];
      char path[4200];
      path_of(path, w, j, ".json");
      if (!mine(j, o) || exists(path)) continue;
      bool twice = false; /* the same job under two obligations runs once */
      for (unsigned n = 0; n < w->n_run; n++) twice = twice || strcmp(w->run[n].job->key, j->key) == 0;
      if (twice) continue;
      st = start(w, j);
      ++*ran;
    }
    if (st == QV_OK) st = attend(w, &progress);
    if (st == QV_OK && w->n_run > 0 && !progress) (void)nanosleep(&(struct timespec){0, 2000000}, NULL);
  }
  stop_all(w);
  free(w);
  return st;
}
