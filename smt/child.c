#include "smt/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_OUTPUT ((size_t)64 << 20)

double qv_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void qv_job_write(int fd, const char *s, size_t n) {
  while (n > 0) {
    ssize_t k = write(fd, s, n);
    if (k < 0 && errno == EINTR) continue;
    if (k <= 0) return;
    s += k;
    n -= (size_t)k;
  }
}

_Noreturn void qv_job_end(int code) { _exit(code); } /* child */

/* ---- the child's side ------------------------------------------------------------------------------------------------- */

/* Address space in use. */
static rlim_t own_size(void) {
  char s[64] = "";
  int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  ssize_t n = fd >= 0 ? read(fd, s, sizeof s - 1) : 0;
  if (fd >= 0) close(fd);
  rlim_t pages = 0;
  for (ssize_t i = 0; i < n && s[i] >= '0' && s[i] <= '9'; i++) pages = 10 * pages + (rlim_t)(s[i] - '0');
  return pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static void lower(int what, rlim_t value) {
  struct rlimit r;
  if (getrlimit((__rlimit_resource_t)what, &r) != 0) return;
  if (r.rlim_max != RLIM_INFINITY && value > r.rlim_max) value = r.rlim_max;
  r.rlim_cur = r.rlim_max = value;
  (void)setrlimit((__rlimit_resource_t)what, &r);
}

/* The parent may be gone before the kernel is told to end us with it: `parent` tells. */
static void prepare(int fd, qv_limits lim, pid_t parent, bool program) {
  (void)setpgid(0, 0);
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) (void)kill(getpid(), SIGKILL);
  sigset_t none;
  sigemptyset(&none);
  struct sigaction dfl = {.sa_handler = SIG_DFL};
  for (int s = 1; s < 32; s++) (void)sigaction(s, &dfl, NULL);
  (void)sigprocmask(SIG_SETMASK, &none, NULL);
  int null = open("/dev/null", O_RDWR);
  for (int i = 0; i < 3 && null >= 0; i++) (void)dup2(null, i);
  /* pipes of other threads' children must not stay open here; what is passed on comes last */
  if (dup2(fd, 3) == 3) (void)close_range(4, ~0U, 0);
  lower(RLIMIT_CORE, 0);
  if (lim.seconds > 0) lower(RLIMIT_CPU, (rlim_t)lim.seconds + 2);
  if (lim.bytes > 0) lower(RLIMIT_AS, (program ? 0 : own_size()) + lim.bytes);
}

/* ---- the parent's side ------------------------------------------------------------------------------------------------ */

/* Read until the end of the output or the deadline. False at the deadline. */
static bool collect(qv_buf *out, int fd, double deadline) {
  char chunk[65536];
  size_t total = 0;
  for (;;) {
    int ms = -1;
    if (deadline > 0) {
      double left = deadline - qv_now();
      if (left <= 0) return false;
      ms = left > 1e6 ? 1000000000 : (int)(left * 1e3) + 1;
    }
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int k = poll(&p, 1, ms);
    if (k < 0 && errno != EINTR) return true;
    if (k <= 0) continue;
    ssize_t n = read(fd, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return true;
    if (total < MAX_OUTPUT) qv_buf_put(out, chunk, (size_t)n);
    total += (size_t)n;
  }
}

/* Reap; with the output closed the child is about to end, but is not trusted to. False: it had to be killed at the deadline. */
static bool reap(pid_t pid, int *status, double deadline) {
  for (useconds_t nap = 100;; nap = nap < 5000 ? 2 * nap : nap) {
    pid_t k = waitpid(pid, status, deadline > 0 ? WNOHANG : 0);
    if (k == pid) return true;
    if (k < 0 && errno != EINTR) { /* SIGCHLD is ignored in this process: the kernel has reaped it */
      *status = 0;
      return true;
    }
    if (deadline > 0 && qv_now() >= deadline) break;
    if (k == 0) usleep(nap);
  }
  (void)kill(-pid, SIGKILL);
  (void)kill(pid, SIGKILL);
  while (waitpid(pid, status, 0) < 0 && errno == EINTR) {}
  return false;
}

static qv_status run(qv_buf *out, qv_child_end *end, int *code, qv_job job, void *arg, qv_limits lim, bool program, qv_err *err) {
  int fd[2];
  double deadline = lim.seconds > 0 ? qv_now() + lim.seconds : 0;
  if (pipe2(fd, O_CLOEXEC) != 0) return QV_FAIL(err, QV_E_IO, "no pipe for a solver: %s", strerror(errno));
  pid_t parent = getpid(), pid = fork();
  if (pid < 0) {
    close(fd[0]);
    close(fd[1]);
    return QV_FAIL(err, QV_E_IO, "no process for a solver: %s", strerror(errno));
  }
  if (pid == 0) {
    prepare(fd[1], lim, parent, program);
    _exit(job(3, arg));
  }
  close(fd[1]);
  (void)setpgid(pid, pid);
  bool in_time = collect(out, fd[0], deadline);
  close(fd[0]);
  int status = 0;
  in_time = reap(pid, &status, in_time ? deadline : qv_now()) && in_time;
  (void)kill(-pid, SIGKILL); /* whatever it has started */
  if (out->failed) return QV_FAIL(err, QV_E_NOMEM, "answer of a solver");
  *code = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
  if (!in_time || (WIFSIGNALED(status) && *code == SIGXCPU)) *end = QV_CHILD_TIME;
  else if (WIFSIGNALED(status)) *end = lim.bytes > 0 ? QV_CHILD_MEMORY : QV_CHILD_DIED;
  else *end = *code == QV_JOB_MEMORY ? QV_CHILD_MEMORY : QV_CHILD_DONE;
  return QV_OK;
}

qv_status qv_child_run(qv_buf *out, qv_child_end *end, int *code, qv_job job, void *arg, qv_limits lim, qv_err *err) {
  return run(out, end, code, job, arg, lim, false, err);
}

typedef struct {
  const char *const *argv;
  const qv_buf *text;
} program;

static int exec_job(int fd, void *arg) {
  const program *p = arg;
  int in = memfd_create("query", 0);
  if (in < 0) return 126;
  qv_job_write(in, (const char *)p->text->p, p->text->n);
  if (lseek(in, 0, SEEK_SET) != 0 || dup2(in, 0) != 0 || dup2(fd, 1) != 1) return 126;
  (void)close_range(3, ~0U, 0);
  union {
    const char *const *c;
    char *const *v;
  } argv = {p->argv}; /* execvp does not write to them */
  execvp(p->argv[0], argv.v);
  return 127;
}

qv_status qv_child_program(qv_buf *out, qv_child_end *end, int *code, const char *const *argv, const qv_buf *text, qv_limits lim,
                           qv_err *err) {
  program p = {argv, text};
  return run(out, end, code, exec_job, &p, lim, true, err);
}
