/* One line of progress on standard error, only for people (a terminal) and only when the work takes long. */
#ifndef QV_CLI_PROGRESS_H
#define QV_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

typedef struct {
  struct timespec start, last;
  bool running, shown;
} cli_progress;

/* "done of total what"; call as often as you like. Start as {0}. */
void cli_progress_show(cli_progress *p, size_t done, size_t total, const char *what);
/* Wipe the line. */
void cli_progress_end(cli_progress *p);

#endif
