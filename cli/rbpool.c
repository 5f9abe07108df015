/* Many questions over threads, answers in order. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/progress.h"
#include "cli/robust.h"

typedef struct {
  rb_session *s;
  const rb_jobs *jobs;
  size_t n, next, solved, open; /* next: the first that nobody has taken; open: answers that are UNKNOWN */
  rb_answer *answer;            /* [n] */
  bool *ready;                  /* [n] */
  qv_status st;                 /* the first failure */
  qv_err err;
  pthread_mutex_t lock;
  pthread_cond_t change;
  size_t workers; /* that still run */
  bool stopped;
  size_t batch;   /* proofs that are checked at a time */
  size_t *wait;   /* [n_wait < batch] questions whose proofs are still to be checked */
  size_t n_wait;
  double waiting; /* since when, on the clock of cli_now */
} pool;

static void fail(pool *p, qv_status st, const qv_err *err) {
  if (p->st == QV_OK) {
    p->st = st;
    p->err = *err;
  }
}

static void answered(pool *p, size_t i) {
  p->ready[i] = true;
  p->solved++;
  p->open += p->answer[i].verdict == QV_UNKNOWN;
  (void)pthread_cond_signal(&p->change);
}

#define BATCH 16     /* proofs a run of the checker: most of the time of a short one goes into reading the net */
#define PATIENCE 0.5 /* seconds that a proof may wait for others */

/* Check the proofs that wait. Holds the lock but while the checker runs. */
static void confirm(pool *p) {
  rb_answer *a[BATCH];
  size_t who[BATCH], n = p->n_wait;
  qv_err err = {0};
  if (n == 0) return;
  for (size_t i = 0; i < n; i++) a[i] = &p->answer[who[i] = p->wait[i]];
  p->n_wait = 0;
  (void)pthread_mutex_unlock(&p->lock);
  qv_status st = rb_confirm(p->s, a, n, &err);
  (void)pthread_mutex_lock(&p->lock);
  if (st != QV_OK) fail(p, st, &err);
  for (size_t i = 0; i < n; i++) answered(p, who[i]);
}

static bool impatient(const pool *p) { return p->n_wait > 0 && cli_now() > p->waiting + PATIENCE; }

static void *work(void *arg) {
  pool *p = arg;
  qv_err err = {0};
  rb_worker *w = NULL;
  qv_status st = rb_worker_open(&w, p->s, &err);
  (void)pthread_mutex_lock(&p->lock);
  if (st != QV_OK) fail(p, st, &err);
  while (p->st == QV_OK && !p->stopped && p->next < p->n) {
    size_t i = p->next++;
    (void)pthread_mutex_unlock(&p->lock);
    err = (qv_err){0};
    st = p->jobs->ask(p->jobs->ctx, i, w, &p->answer[i], &err);
    (void)pthread_mutex_lock(&p->lock);
    if (st != QV_OK) fail(p, st, &err);
    if (st == QV_OK && p->answer[i].pending != NULL) {
      if (p->n_wait == 0) p->waiting = cli_now();
      p->wait[p->n_wait++] = i;
    } else answered(p, i);
    if (p->n_wait == p->batch || impatient(p)) confirm(p);
  }
  confirm(p);
  p->workers--;
  (void)pthread_cond_signal(&p->change);
  (void)pthread_mutex_unlock(&p->lock);
  rb_worker_close(w);
  return NULL;
}

/* Hand the answers on in order until all are there or something failed. Holds the lock but while `done` runs. */
static void collect(pool *p, cli_progress *bar) {
  size_t i = 0;
  double margin = 0;
  while (p->st == QV_OK && !p->stopped && i < p->n) {
    if (!p->ready[i]) {
      if (impatient(p)) { /* the workers are busy with something long */
        confirm(p);
        continue;
      }
      char what[96];
      struct timespec t;
      (void)snprintf(what, sizeof what, "questions answered, %zu of them open, last bound %.3g", p->open, margin);
      cli_progress_show(bar, p->solved, p->n, what);
      (void)clock_gettime(CLOCK_REALTIME, &t);
      t.tv_nsec += 200000000;
      if (t.tv_nsec >= 1000000000) t.tv_nsec -= 1000000000, t.tv_sec++;
      (void)pthread_cond_timedwait(&p->change, &p->lock, &t);
      continue;
    }
    if (p->answer[i].verdict == QV_UNKNOWN) margin = p->answer[i].margin;
    (void)pthread_mutex_unlock(&p->lock);
    cli_progress_end(bar);
    qv_err err = {0};
    qv_status st = p->jobs->done(p->jobs->ctx, i, &p->answer[i], &err);
    (void)pthread_mutex_lock(&p->lock);
    rb_answer_clear(&p->answer[i]);
    if (st != QV_OK) fail(p, st, &err);
    if (p->jobs->stop != NULL && *p->jobs->stop) p->stopped = true;
    i++;
  }
}

qv_status rb_pool_run(rb_session *s, size_t n, unsigned threads, const rb_jobs *jobs, qv_err *err) {
  pool p = {.s = s, .jobs = jobs, .n = n};
  cli_progress bar = {0};
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  size_t k = threads > 0 ? threads : cores > 0 ? (size_t)cores : 1, started = 0;
  if (k > n) k = n;
  pthread_t *t = calloc(k + 1, sizeof *t);
  p.answer = calloc(n + 1, sizeof *p.answer);
  p.ready = calloc(n + 1, sizeof *p.ready);
  p.batch = k > 8 ? 1 + 120 / k : BATCH; /* every proof under way holds two open files */
  p.wait = calloc(BATCH, sizeof *p.wait);
  (void)pthread_mutex_init(&p.lock, NULL);
  (void)pthread_cond_init(&p.change, NULL);
  if (t == NULL || p.answer == NULL || p.ready == NULL || p.wait == NULL) {
    fail(&p, QV_E_NOMEM, &(qv_err){0});
    goto done;
  }
  (void)pthread_mutex_lock(&p.lock);
  p.workers = k;
  while (started < k && pthread_create(&t[started], NULL, work, &p) == 0) started++;
  p.workers -= k - started;
  if (started == 0 && n > 0) fail(&p, QV_E_NOMEM, &(qv_err){.msg = "no thread could be started"});
  collect(&p, &bar);
  while (p.workers > 0) (void)pthread_cond_wait(&p.change, &p.lock);
  (void)pthread_mutex_unlock(&p.lock);
  for (size_t i = 0; i < started; i++) (void)pthread_join(t[i], NULL);
done:
  cli_progress_end(&bar);
  for (size_t i = 0; p.answer != NULL && i < n; i++) rb_answer_clear(&p.answer[i]);
  (void)pthread_cond_destroy(&p.change);
  (void)pthread_mutex_destroy(&p.lock);
  free(t);
  free(p.answer);
  free(p.ready);
  free(p.wait);
  if (p.st != QV_OK) *err = p.err;
  return p.st;
}
