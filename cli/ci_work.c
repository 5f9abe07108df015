/* Jobs as processes: limits, results, what to do when one breaks.
 *
 * A job that is a batch of robustness queries keeps a journal of the finished ones. When its process is killed, the next one goes on behind
 * them; when it breaks, every query of the batch gets a process of its own, so that a query that crashes or runs out of memory or time costs
 * only itself. A worker holds KEY.lock while a job is its own; the lock ends with the worker, however that ends. */
#include <dirent.h>
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

#include "cli/checker.h"
#include "cli/ci_cache.h"
#include "cli/ci_doc.h"

#define MAX_RUNNING 256
#define KEEP_TEXT 4000  /* last bytes of a job's streams that its result keeps */
#define LOOK_AGAIN 0.25 /* seconds until a job that another worker has is looked at again */

typedef enum {
  WHOLE, /* the job as it is */
  ALONE, /* one of its queries, after the batch broke */
  LOWER  /* its model as .qir, to be compared with that of a cached proof */
} phase;

typedef struct {
  const ci_job *job;
  pid_t pid;
  int lock;        /* KEY.lock, or -1: this file system has no locks */
  phase what;
  double begun;    /* the job */
  double start;    /* the process */
  double seconds;  /* limit of the process */
  bool killed;
  bool cached;     /* evidence of the cache is being checked again */
  bool renewed;    /* a damaged journal was thrown away */
  int64_t at, hi;  /* ALONE: the query, the last one */
  cJSON *list;     /* ALONE: obligations so far */
  uint32_t broken; /* ALONE: queries that crashed */
  uint64_t max_rss_kb;
  qv_buf trouble;  /* what is told about broken queries */
} running;

typedef struct {
  const ci_plan *p;
  const ci_work_opts *o;
  ci_worked *done;
  char self[4096];
  running run[MAX_RUNNING];
  unsigned n_run;
  qv_err *err;
} worker;

/* File of a job: DIR/KEY.ext */
static void path_of(char out[4200], const worker *w, const ci_job *j, const char *ext) { (void)snprintf(out, 4200, "%.4000s/%s%s", w->o->dir, j->key, ext); }

static bool exists(const char *path) { return access(path, F_OK) == 0; }

static void remove_ext(const worker *w, const ci_job *j, const char *ext) {
  char path[4200];
  path_of(path, w, j, ext);
  (void)unlink(path);
}

/* KEY.origin beside a result says that it is the cache's; for the page only. */
static qv_status mark_origin(const worker *w, const ci_job *j) {
  static const char text[] = "cache\n";
  char path[4200];
  path_of(path, w, j, ".origin");
  return qv_file_write(path, text, sizeof text - 1, w->err);
}

static void remove_journal(const worker *w, const ci_job *j) {
  char path[4200], file[4500];
  remove_ext(w, j, ".journal");
  path_of(path, w, j, ".journal.d");
  DIR *d = opendir(path);
  for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
    (void)snprintf(file, sizeof file, "%s/%.255s", path, e->d_name);
    if (e->d_name[0] != '.') (void)unlink(file);
  }
  if (d != NULL) (void)closedir(d);
  (void)rmdir(path);
}

/* ---- one child ---------------------------------------------------------------------------------------------------------------------- */

static void limit(__rlimit_resource_t what, uint64_t v) {
  struct rlimit r = {(rlim_t)v, (rlim_t)v};
  (void)setrlimit(what, &r);
}

/* In the child: never returns. */
static void become(const worker *w, const running *r, pid_t parent, char *const *argv, const char *out, const char *err_path) {
  int null = open("/dev/null", O_RDONLY), o = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0666), e = open(err_path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  sigset_t none;
  (void)sigemptyset(&none);
  (void)sigprocmask(SIG_SETMASK, &none, NULL);
  if (null < 0 || o < 0 || e < 0 || dup2(null, 0) < 0 || dup2(o, 1) < 0 || dup2(e, 2) < 0) _exit(127);
  (void)setpgid(0, 0); /* what it starts ends with it */
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127); /* who died before that */
#ifndef __SANITIZE_ADDRESS__           /* which reserves terabytes of addresses */
  limit(RLIMIT_AS, r->job->memory_mb << 20);
#endif
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_CPU, (uint64_t)(r->seconds + w->o->grace) + 2);
  execv(w->self, argv);
  _exit(127);
}

/* Arguments of the process, NULL at the end; NULL when memory is short. */
static char **arguments(const worker *w, const running *r) {
  const ci_job *j = r->job;
  const struct {
    const char *word, *ext;
  } file[] = {{"@json", ".report"},
              {"@cert", strcmp(j->argv[0], "robust") == 0 || strcmp(j->argv[0], "radius") == 0 ? ".evidence" : strcmp(j->argv[0], "allocate") == 0 ? ".qva" : ".qvc"},
              {"@witness", ".witness"},
              {"@journal", ".journal"},
              {"@net", ".now.qir"}};
  int64_t lo, hi;
  uint32_t index = 0, n = 0;
  char **argv = calloc((size_t)j->argc + 8, sizeof *argv), path[4200];
  if (argv == NULL) return NULL;
  bool ok = (argv[n++] = strdup("qverify")) != NULL, ranged = r->what == ALONE && ci_range(j, &lo, &hi, &index);
  const char *lower[8] = {"lower", j->argv[1], "--output", "@net"};
  uint32_t n_lower = 4;
  for (uint32_t i = 2; r->what == LOWER && i + 1 < j->argc; i++)
    if (strcmp(j->argv[i], "--profile") == 0) lower[n_lower++] = "--profile", lower[n_lower++] = j->argv[i + 1];
  const char *const *v = r->what == LOWER ? lower : j->argv;
  for (uint32_t i = 0, end = r->what == LOWER ? n_lower : j->argc; ok && i < end; i++) {
    const char *a = v[i];
    if (r->lock < 0 && strcmp(a, "--resume") == 0 && i + 1 < end) { /* a journal needs a lock too */
      i++;
      continue;
    }
    for (size_t k = 0; k < sizeof file / sizeof *file; k++)
      if (strcmp(a, file[k].word) == 0) {
        path_of(path, w, j, file[k].ext);
        a = path;
      }
    if (ranged && i == index) {
      (void)snprintf(path, sizeof path, "%" PRId64 ":%" PRId64, r->at, r->at);
      a = path;
    }
    ok = (argv[n++] = strdup(a)) != NULL;
  }
  if (ok) return argv;
  for (uint32_t i = 0; i < n; i++) free(argv[i]);
  free(argv);
  return NULL;
}

static qv_status launch(worker *w, running *r) {
  char out[4200], err_path[4200];
  pid_t parent = getpid();
  char **argv = arguments(w, r);
  qv_status st = argv != NULL ? QV_OK : QV_FAIL(w->err, QV_E_NOMEM, "out of memory");
  path_of(out, w, r->job, ".out");
  path_of(err_path, w, r->job, ".err");
  remove_ext(w, r->job, ".report");
  r->killed = false;
  r->start = cli_now();
  if (st == QV_OK) {
    r->pid = fork();
    if (r->pid == 0) become(w, r, parent, argv, out, err_path);
    if (r->pid < 0) st = QV_FAIL(w->err, QV_E_INTERNAL, "no process can be started: %s", strerror(errno));
  }
  for (uint32_t i = 0; argv != NULL && argv[i] != NULL; i++) free(argv[i]);
  free(argv);
  return st;
}

/* ---- its result ------------------------------------------------------------------------------------------------------------------------ */

/* The last KEEP_TEXT bytes of a stream, NULL if there is none. The buffer owns them. */
static const char *tail(qv_buf *b, const worker *w, const ci_job *j, const char *ext) {
  char path[4200];
  path_of(path, w, j, ext);
  if (qv_file_read(b, path, (size_t)1 << 28, NULL) != QV_OK) return NULL;
  size_t from = b->n > KEEP_TEXT ? b->n - KEEP_TEXT : 0;
  for (size_t i = from; i < b->n; i++)
    if (b->p[i] == 0) b->p[i] = '?';
  return (const char *)b->p + from;
}

static bool add_tail(cJSON *o, const worker *w, const ci_job *j, const char *key, const char *ext) {
  qv_buf b = {0};
  bool ok = qv_json_add_str(o, key, tail(&b, w, j, ext));
  qv_buf_free(&b);
  return ok;
}

static cJSON *read_json(const worker *w, const ci_job *j, const char *ext) {
  char path[4200];
  qv_buf b = {0};
  cJSON *doc = NULL;
  path_of(path, w, j, ext);
  bool have = qv_file_read(&b, path, (size_t)1 << 30, NULL) == QV_OK && qv_json_parse(&doc, (const char *)b.p, b.n, NULL) == QV_OK;
  qv_buf_free(&b);
  return have ? doc : NULL;
}

/* What a process left, as a result. NULL: no memory. */
static cJSON *result_of(const worker *w, const running *r, int status) {
  cJSON *o = cJSON_CreateObject(), *report = read_json(w, r->job, ".report");
  char text[32];
  bool ok = qv_json_add_str(o, "format", "qverify-ci-result/1");
  ok = qv_json_add_str(o, "key", r->job->key) && ok;
  ok = (WIFEXITED(status) ? qv_json_add_num(o, "exit", WEXITSTATUS(status)) : qv_json_add_str(o, "exit", NULL)) && ok;
  ok = (WIFSIGNALED(status) ? qv_json_add_num(o, "signal", WTERMSIG(status)) : qv_json_add_str(o, "signal", NULL)) && ok;
  ok = qv_json_add_bool(o, "timeout", r->killed || (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)) && ok;
  (void)snprintf(text, sizeof text, "%.3f", cli_now() - r->begun);
  ok = qv_json_add_str(o, "seconds", text) && ok;
  ok = qv_json_add_int(o, "max_rss_kb", (int64_t)r->max_rss_kb) && ok;
  ok = add_tail(o, w, r->job, "stdout", ".out") && ok;
  ok = add_tail(o, w, r->job, "stderr", ".err") && ok;
  ok = qv_json_add(o, "report", report != NULL ? report : cJSON_CreateNull()) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

/* What a job needs while it runs. */
static void tidy(const worker *w, const ci_job *j) {
  static const char *const ext[] = {".out", ".err", ".report", ".cached", ".now.qir"};
  for (size_t i = 0; i < sizeof ext / sizeof *ext; i++) remove_ext(w, j, ext[i]);
  remove_journal(w, j);
}

static void free_running(const worker *w, running *r) {
  cJSON_Delete(r->list);
  qv_buf_free(&r->trouble);
  if (r->lock >= 0) {
    remove_ext(w, r->job, ".lock");
    (void)close(r->lock);
  }
}

/* The job is done: its result, the cache, and nothing of what it only needed while it ran. Takes doc. */
static qv_status finish(worker *w, running *r, cJSON *doc) {
  char path[4200];
  qv_buf b = {0};
  path_of(path, w, r->job, ".json");
  qv_status st = doc != NULL ? qv_json_print(&b, doc, true, w->err) : QV_FAIL(w->err, QV_E_NOMEM, "out of memory");
  if (st == QV_OK) st = qv_file_write(path, b.p, b.n, w->err);
  if (st == QV_OK && !r->cached && r->what == WHOLE && ci_ended_well(doc)) ci_cache_put(w->o->cache, r->job, w->o->dir);
  if (st == QV_OK && r->cached) {
    w->done->checked++;
    st = mark_origin(w, r->job);
  }
  if (st == QV_OK) tidy(w, r->job);
  cJSON_Delete(doc);
  qv_buf_free(&b);
  return st;
}

/* ---- batches that break -------------------------------------------------------------------------------------------------------------- */

/* An answer of every query? Wrong usage, files and models are what they are, for each query alone as well. */
static bool broke(const cJSON *doc) {
  long code = ci_long(doc, "exit", -1);
  if (code == 1 || code == 2 || code == 3) return false;
  return !ci_ended_well(doc) || !ci_complete(ci_get(doc, "report"));
}

static const char *how_it_broke(const cJSON *doc, bool *crash, char text[300]) {
  long code = ci_long(doc, "exit", -1), signal = ci_long(doc, "signal", 0);
  const char *e = ci_word(doc, "stderr");
  *crash = false;
  if (cJSON_IsTrue(ci_get(doc, "timeout"))) return "ended at its time limit";
  if (code < 0 && signal == SIGKILL) return "ended by the system, probably for want of memory";
  if (code == 5) return "ended for want of memory";
  *crash = true;
  if (code < 0) (void)snprintf(text, 300, "ended by signal %ld", signal);
  else (void)snprintf(text, 300, "exit code %ld: %.200s", code, e != NULL && e[0] != 0 ? e : "no message");
  return text;
}

/* One query's answer into the list; if it broke, that it is open, and why. */
static bool add_alone(running *r, const cJSON *doc) {
  const cJSON *report = ci_get(doc, "report"), *x;
  bool ok = true;
  if (!broke(doc) && ci_ended_well(doc)) {
    cJSON_ArrayForEach(x, ci_get(report, "obligations")) ok = qv_json_push(r->list, cJSON_Duplicate(x, true)) && ok;
    return ok;
  }
  char id[64], text[300];
  bool crash;
  const char *why = how_it_broke(doc, &crash, text);
  cJSON *o = cJSON_CreateObject();
  (void)snprintf(id, sizeof id, "robust/%" PRId64, r->at);
  ok = qv_json_add_str(o, "id", id);
  ok = qv_json_add_str(o, "verdict", "UNKNOWN") && ok;
  ok = qv_json_add_str(o, "reason", why) && ok;
  ok = qv_json_add_str(o, "engine", "nothing") && ok;
  r->broken += crash;
  if (crash && r->trouble.n < 1000) qv_buf_printf(&r->trouble, "query %" PRId64 ": %s\n", r->at, why);
  return qv_json_push(r->list, o) && ok;
}

/* The batch's result, of its queries'. Exit code as the command itself gives it; 6 if some crashed. */
static cJSON *assemble(running *r) {
  uint32_t n = 0, verified = 0, falsified = 0;
  const cJSON *x;
  cJSON_ArrayForEach(x, r->list) {
    n++;
    verified += ci_is(x, "verdict", "VERIFIED");
    falsified += ci_is(x, "verdict", "FALSIFIED");
  }
  cJSON *o = cJSON_CreateObject(), *report = cJSON_CreateObject();
  char text[32];
  bool ok = qv_json_add_str(report, "run_state", "COMPLETE");
  ok = qv_json_add(report, "obligations", r->list) && ok;
  r->list = NULL;
  ok = qv_json_add_str(o, "format", "qverify-ci-result/1") && ok;
  ok = qv_json_add_str(o, "key", r->job->key) && ok;
  ok = qv_json_add_num(o, "exit", r->broken > 0 ? 6 : falsified > 0 ? 10 : n > 0 && verified == n ? 0 : 5) && ok;
  ok = qv_json_add_str(o, "signal", NULL) && ok;
  ok = qv_json_add_bool(o, "timeout", false) && ok;
  ok = qv_json_add_bool(o, "one_by_one", true) && ok;
  (void)snprintf(text, sizeof text, "%.3f", cli_now() - r->begun);
  ok = qv_json_add_str(o, "seconds", text) && ok;
  ok = qv_json_add_int(o, "max_rss_kb", (int64_t)r->max_rss_kb) && ok;
  ok = qv_json_add_str(o, "stdout", NULL) && ok;
  ok = qv_json_add_str(o, "stderr", r->trouble.failed ? NULL : (const char *)r->trouble.p) && ok;
  ok = qv_json_add(o, "report", report) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

/* ---- cached evidence that is not taken on trust ----------------------------------------------------------------------------------------- */

static bool same_file(const char *a, const char *b) {
  qv_buf x = {0}, y = {0};
  bool same = qv_file_read(&x, a, (size_t)1 << 31, NULL) == QV_OK && qv_file_read(&y, b, (size_t)1 << 31, NULL) == QV_OK && x.n == y.n && memcmp(x.p, y.p, x.n) == 0;
  qv_buf_free(&x);
  qv_buf_free(&y);
  return same;
}

/* Is the property in the file what `overflow MODEL [--acc-bits N]` asks: every input whole? */
static bool whole_inputs(const char *path, const char *bits) {
  qv_buf b = {0}, want = {0};
  bool same = false;
  if (qv_file_read(&b, path, (size_t)1 << 20, NULL) == QV_OK) {
    uint32_t lines = 0;
    for (size_t i = 0; i < b.n; i++) lines += b.p[i] == '\n';
    qv_buf_printf(&want, "qvp 1\nclaim overflow\nacc-bits %s\n", bits);
    for (uint32_t i = 0; i + 4 < lines; i++) qv_buf_printf(&want, "input %" PRIu32 " all\n", i);
    qv_buf_str(&want, "end\n");
    same = !want.failed && want.n == b.n && memcmp(want.p, b.p, b.n) == 0;
  }
  qv_buf_free(&b);
  qv_buf_free(&want);
  return same;
}

/* Is the cached certificate one of this job's net and question, and does the checker accept it? */
static bool accepted(const worker *w, const running *r) {
  char now[4200], qir[4200], qvp[4200], qvc[4200];
  const char *bits = NULL;
  qv_buf text = {0};
  qv_err err = {0};
  int code = -1;
  path_of(now, w, r->job, ".now.qir");
  path_of(qir, w, r->job, ".qir");
  path_of(qvp, w, r->job, ".qvp");
  path_of(qvc, w, r->job, ".qvc");
  for (uint32_t i = 0; i + 1 < r->job->argc; i++)
    if (strcmp(r->job->argv[i], "--acc-bits") == 0) bits = r->job->argv[i + 1];
  bool plain = !exists(qvp);
  bool good = same_file(now, qir) && (plain ? bits == NULL : bits != NULL && whole_inputs(qvp, bits)) &&
              cli_run_checker_for(&code, &text, qir, plain ? "-" : qvp, qvc, r->job->seconds, &err) == QV_OK &&
              cli_checker_said(&text, code, "c verdict verified\ns CHECKED\n");
  qv_buf_free(&text);
  (void)unlink(now);
  return good;
}

/* The certificate covers the verdict of every obligation; numbers beside it are the report's. */
static bool all_verified(const cJSON *doc) {
  const cJSON *x;
  uint32_t n = 0;
  cJSON_ArrayForEach(x, ci_get(ci_get(doc, "report"), "obligations")) {
    if (cJSON_IsTrue(ci_get(x, "informational"))) continue;
    if (!ci_is(x, "verdict", "VERIFIED")) return false;
    n++;
  }
  return n > 0 && ci_long(doc, "exit", -1) == 0 && ci_complete(ci_get(doc, "report"));
}

/* What can be checked again without doing the work again: robustness (its journal: proofs go through the checker, counterexamples are
 * executed) and overflow proofs about all inputs. Everything else is run. */
static bool can_check(const ci_job *j) {
  if (strcmp(j->argv[0], "robust") == 0) return true;
  if (strcmp(j->argv[0], "overflow") != 0) return false;
  for (uint32_t i = 0; i < j->argc; i++)
    if (strcmp(j->argv[i], "--domain") == 0 || strcmp(j->argv[i], "--calibrate") == 0 || strcmp(j->argv[i], "--opaque") == 0) return false;
  return true;
}

/* The cache's row was no good: say so, forget it, and begin as if there had been none. */
static qv_status reject(worker *w, running *r) {
  static const char *const made[] = {".cached", ".qvc", ".qvp", ".qir", ".origin"};
  (void)fprintf(stderr, "qverify: cache: REJECTED: the evidence of job %.16s.. does not prove what it says; the job is run again\n", r->job->key);
  ci_cache_forget(w->o->cache, r->job->key);
  for (size_t i = 0; i < sizeof made / sizeof *made; i++) remove_ext(w, r->job, made[i]);
  remove_journal(w, r->job);
  w->done->rejected++;
  w->done->ran++;
  r->cached = false;
  r->what = WHOLE;
  r->begun = cli_now();
  return launch(w, r);
}

/* ---- processes that end ------------------------------------------------------------------------------------------------------------------ */

static bool journal_in_use(const cJSON *doc) {
  const char *e = ci_word(doc, "stderr");
  return ci_long(doc, "exit", -1) == 6 && e != NULL && strstr(e, "is in use by another run") != NULL;
}

/* A cached overflow proof: its model has been lowered once more. Takes nothing. */
static qv_status compare(worker *w, running *r, bool *over) {
  cJSON *old = read_json(w, r->job, ".cached");
  remove_ext(w, r->job, ".cached");
  *over = all_verified(old) && accepted(w, r);
  if (*over) return finish(w, r, old);
  cJSON_Delete(old);
  return reject(w, r);
}

/* The batch broke: begin with its first query. */
static qv_status one_by_one(worker *w, running *r, int64_t lo, int64_t hi) {
  r->what = ALONE;
  r->at = lo;
  r->hi = hi;
  r->seconds = r->job->seconds / (double)(hi - lo + 1);
  r->list = cJSON_CreateArray();
  return r->list != NULL ? launch(w, r) : QV_FAIL(w->err, QV_E_NOMEM, "out of memory");
}

static qv_status next_alone(worker *w, running *r, const cJSON *doc, bool *over) {
  if (!add_alone(r, doc)) return QV_FAIL(w->err, QV_E_NOMEM, "out of memory");
  if (++r->at <= r->hi) return launch(w, r);
  *over = true;
  return finish(w, r, assemble(r));
}

/* A journal that the command refuses: not this run's, or damaged. Once, the job begins without it. */
static qv_status without_journal(worker *w, running *r) {
  (void)fprintf(stderr, "qverify: job %.16s..: the journal of an earlier run is damaged and ignored\n", r->job->key);
  remove_journal(w, r->job);
  r->renewed = true;
  return launch(w, r);
}

/* What follows when a process of slot r has ended. *over: the job is done. */
static qv_status next(worker *w, running *r, int status, bool *over) {
  cJSON *doc = result_of(w, r, status);
  char journal[4200];
  uint32_t index;
  int64_t lo, hi;
  qv_status st;
  *over = false;
  if (doc == NULL) return QV_FAIL(w->err, QV_E_NOMEM, "out of memory");
  path_of(journal, w, r->job, ".journal");
  bool batch = strcmp(r->job->argv[0], "robust") == 0 && ci_range(r->job, &lo, &hi, &index) && hi > lo;
  if (r->what == LOWER) st = compare(w, r, over);
  else if (journal_in_use(doc)) { /* a process of a worker that was just killed has not quite ended */
    (void)nanosleep(&(struct timespec){0, 50000000}, NULL);
    st = launch(w, r);
  } else if (r->cached && (broke(doc) || !ci_ended_well(doc))) st = reject(w, r);
  else if (ci_long(doc, "exit", -1) == 2 && exists(journal) && !r->renewed) st = without_journal(w, r);
  else if (r->what == ALONE) st = next_alone(w, r, doc, over);
  else if (batch && broke(doc)) st = one_by_one(w, r, lo, hi);
  else {
    *over = true;
    st = finish(w, r, doc);
    doc = NULL;
  }
  cJSON_Delete(doc);
  return st;
}

/* Collect what has ended; end what is too late. */
static qv_status attend(worker *w, bool *progress) {
  for (unsigned i = 0; i < w->n_run;) {
    running *r = &w->run[i];
    struct rusage use;
    int status;
    bool over;
    pid_t got = wait4(r->pid, &status, WNOHANG, &use);
    if (got == r->pid) {
      (void)kill(-r->pid, SIGKILL); /* what it left behind */
      if ((uint64_t)use.ru_maxrss > r->max_rss_kb) r->max_rss_kb = (uint64_t)use.ru_maxrss;
      r->pid = 0;
      *progress = true;
      qv_status st = next(w, r, status, &over);
      if (st != QV_OK) return st;
      if (over) {
        free_running(w, r);
        w->run[i] = w->run[--w->n_run];
      } else i++;
      continue;
    }
    if (got < 0 && errno != EINTR) return QV_FAIL(w->err, QV_E_INTERNAL, "waiting for a job: %s", strerror(errno));
    if (!r->killed && cli_now() - r->start > r->seconds + w->o->grace) {
      r->killed = true;
      if (kill(-r->pid, SIGKILL) != 0) (void)kill(r->pid, SIGKILL);
    }
    i++;
  }
  return QV_OK;
}

static void stop_all(worker *w) {
  for (unsigned i = 0; i < w->n_run; i++) {
    running *r = &w->run[i];
    if (r->pid > 0) {
      (void)kill(-r->pid, SIGKILL);
      (void)kill(r->pid, SIGKILL);
      while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR) {}
    }
    free_running(w, r);
  }
}

/* ---- jobs that begin ----------------------------------------------------------------------------------------------------------------------- */

/* Is job j dealt to this shard? By its key, so that plans of other orders deal alike. */
static bool mine(const ci_job *j, const ci_work_opts *o) {
  char head[9] = "";
  memcpy(head, j->key, 8);
  return strtoul(head, NULL, 16) % (o->of > 0 ? o->of : 1) == o->shard;
}

/* Take the job. False: another worker has it. */
static bool take(worker *w, const ci_job *j, int *lock) {
  char path[4200];
  struct flock only = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  path_of(path, w, j, ".lock");
  *lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (*lock < 0) return true;
  if (fcntl(*lock, F_SETLK, &only) == 0) return true;
  bool held = errno == EACCES || errno == EAGAIN;
  (void)close(*lock);
  *lock = -1;
  return !held;
}

/* A job that has its result; a worker that was killed just behind it may have left the rest. */
static void sweep(worker *w, const ci_job *j) {
  char path[4200];
  int lock;
  path_of(path, w, j, ".lock");
  if (!exists(path) || !take(w, j, &lock)) return;
  tidy(w, j);
  (void)unlink(path);
  if (lock >= 0) (void)close(lock);
}

/* Begin job j, or take its result from the cache. *later: another worker has it. */
static qv_status begin(worker *w, const ci_job *j, bool *later) {
  char path[4200];
  int lock = -1;
  *later = false;
  path_of(path, w, j, ".json");
  if (exists(path)) {
    sweep(w, j);
    return QV_OK;
  }
  for (unsigned n = 0; n < w->n_run; n++) /* the same job under two obligations runs once */
    if (strcmp(w->run[n].job->key, j->key) == 0) return QV_OK;
  if (!take(w, j, &lock)) {
    *later = true;
    return QV_OK;
  }
  running *r = &w->run[w->n_run++];
  *r = (running){.job = j, .lock = lock, .begun = cli_now(), .seconds = j->seconds, .what = WHOLE};
  if (exists(path)) { /* done between the look and the lock */
    free_running(w, r);
    w->n_run--;
    return QV_OK;
  }
  ci_cache_mode mode = ci_cache_mode_of(w->o->cache);
  if (mode == CI_CACHE_READ || mode == CI_CACHE_READ_WRITE) {
    if (ci_cache_get(w->o->cache, j, w->o->dir, ".json")) {
      qv_status st = mark_origin(w, j);
      w->done->cached++;
      free_running(w, r);
      w->n_run--;
      return st;
    }
  } else if (mode == CI_CACHE_VERIFY && can_check(j) && ci_cache_get(w->o->cache, j, w->o->dir, ".cached")) {
    cJSON *old = read_json(w, j, ".cached");
    bool journal = strcmp(j->argv[0], "robust") == 0;
    r->cached = journal || all_verified(old); /* a refuted or open overflow has no certificate of that: it is run */
    if (!journal && r->cached) r->what = LOWER;
    else remove_ext(w, j, ".cached");
    cJSON_Delete(old);
    if (r->cached) return launch(w, r);
  }
  ++w->done->ran;
  remove_ext(w, j, ".origin");
  return launch(w, r);
}

qv_status ci_work(ci_worked *done, const ci_plan *p, const ci_work_opts *o, qv_err *err) {
  worker *w = calloc(1, sizeof *w);
  uint32_t *todo = calloc((size_t)p->n_job + 1, sizeof *todo), n_todo = 0, at = 0, put_off = 0;
  qv_status st = QV_OK;
  sigset_t child, before;
  *done = (ci_worked){0};
  (void)sigemptyset(&child);
  (void)sigaddset(&child, SIGCHLD);
  if (w == NULL || todo == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
    goto done;
  }
  *w = (worker){.p = p, .o = o, .done = done, .err = err};
  ssize_t k = readlink("/proc/self/exe", w->self, sizeof w->self - 1);
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  unsigned most = o->jobs > 0 ? o->jobs : cores > 0 ? (unsigned)cores : 1;
  if (most > MAX_RUNNING) most = MAX_RUNNING;
  if (k <= 0) st = QV_FAIL(err, QV_E_INTERNAL, "/proc/self/exe: %s", strerror(errno));
  if (st == QV_OK && mkdir(o->dir, 0777) != 0 && errno != EEXIST) st = QV_FAIL(err, QV_E_IO, "%s: %s", o->dir, strerror(errno));
  for (uint32_t i = 0; i < p->n_job; i++)
    if (mine(&p->job[i], o)) todo[n_todo++] = i;
  (void)sigprocmask(SIG_BLOCK, &child, &before); /* a child that ends is waited for, not a clock */
  /* todo[at..n_todo): not begun; todo[0..put_off): in the hands of another worker, looked at again behind them */
  for (double again = 0; st == QV_OK && (at < n_todo || put_off > 0 || w->n_run > 0);) {
    bool progress = false, later;
    if (at == n_todo && put_off > 0 && cli_now() >= again) {
      n_todo = put_off;
      at = put_off = 0;
      again = cli_now() + LOOK_AGAIN;
    }
    while (st == QV_OK && at < n_todo && w->n_run < most) {
      uint32_t job = todo[at++];
      st = begin(w, &p->job[job], &later);
      if (later) todo[put_off++] = job;
    }
    if (st == QV_OK) st = attend(w, &progress);
    if (st == QV_OK && !progress) (void)sigtimedwait(&child, NULL, &(struct timespec){0, 50000000}); /* until one ends; limits are looked at meanwhile */
  }
  stop_all(w);
  (void)sigprocmask(SIG_SETMASK, &before, NULL);
done:
  free(todo);
  free(w);
  return st;
}
