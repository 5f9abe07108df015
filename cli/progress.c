#include "cli/progress.h"

#include <stdio.h>
#include <unistd.h>

static double seconds(const struct timespec *a, const struct timespec *b) {
  return difftime(b->tv_sec, a->tv_sec) + (double)(b->tv_nsec - a->tv_nsec) * 1e-9;
}

void cli_progress_show(cli_progress *p, size_t done, size_t total, const char *what) {
  struct timespec now;
  if (!isatty(STDERR_FILENO) || clock_gettime(CLOCK_MONOTONIC, &now) != 0) return;
  if (!p->running) {
    p->running = true;
    p->start = p->last = now;
  }
  if (seconds(&p->start, &now) < 2 || seconds(&p->last, &now) < 0.2) return;
  p->last = now;
  p->shown = true;
  fprintf(stderr, "\r%zu of %zu %s", done, total, what);
}

void cli_progress_end(cli_progress *p) {
  if (p->shown) fprintf(stderr, "\r%60s\r", "");
  *p = (cli_progress){0};
}
