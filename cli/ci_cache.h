/* Finished jobs of all checkouts of one user on one host, in one SQLite file.
 *
 * A row is a job's result and evidence under the job's key, sealed by a hash over all of it: damage makes a row (or the file) be ignored,
 * loudly, never believed. A row that somebody changed on purpose has a right seal; mode VERIFY takes evidence alone from the cache and has it
 * checked again (cli/ci_work.c). No function here fails a run: without a cache there is only more to do. */
#ifndef QV_CLI_CI_CACHE_H
#define QV_CLI_CI_CACHE_H

#include "cli/ci.h"

typedef enum { CI_CACHE_OFF, CI_CACHE_READ, CI_CACHE_READ_WRITE, CI_CACHE_VERIFY } ci_cache_mode;

/* "off", "read", "read-write", "verify". False: none of them. */
bool ci_cache_mode_read(ci_cache_mode *m, const char *word);

/* path NULL: $XDG_CACHE_HOME/qverify/ci.sqlite, or $HOME/.cache/..; folders are made. Least recently used rows go when the file's content
 * would exceed limit_mb. NULL (after a line on stderr, unless mode is OFF): go on without. */
ci_cache *ci_cache_open(ci_cache_mode mode, const char *path, uint64_t limit_mb);
void ci_cache_close(ci_cache *c); /* drops what is too much */

/* OFF for NULL. */
ci_cache_mode ci_cache_mode_of(const ci_cache *c);

/* Put a job's files into dir, the result last and under the extension `as`. False: not there, or damaged (said on stderr). */
bool ci_cache_get(ci_cache *c, const ci_job *j, const char *dir, const char *as);
/* Store what the job left in dir (modes READ_WRITE and VERIFY). */
void ci_cache_put(ci_cache *c, const ci_job *j, const char *dir);
void ci_cache_forget(ci_cache *c, const char *key);

#endif
