/* A job in a child process with hard limits: whatever a solver library or program does (exit, abort, endless loops, any amount of
 * memory), the caller gets control back in time. The child is killed at the deadline and always reaped; it dies with its parent. */
#ifndef QV_SMT_CHILD_H
#define QV_SMT_CHILD_H

#include <stdbool.h>

#include "ir/base/buf.h"

typedef enum {
  QV_CHILD_DONE,   /* exited with `code`                                        */
  QV_CHILD_TIME,   /* killed at the deadline                                    */
  QV_CHILD_MEMORY, /* died while its memory was limited: by signal, or as `oom` */
  QV_CHILD_DIED    /* died by signal `code` otherwise                           */
} qv_child_end;

typedef struct {
  double seconds; /* wall clock, <= 0 = none                                                                      */
  size_t bytes;   /* address space beyond what the process has when the job starts (program: in all), 0 = none */
} qv_limits;

/* Runs in the child: writes to file descriptor `fd`; its result is the exit code. Standard streams are /dev/null. */
typedef int (*qv_job)(int fd, void *arg);
#define QV_JOB_MEMORY 119 /* exit code: the job itself noticed that memory is short */

/* Output that was written before the end, whatever the end, is appended to *out (at most 64 MiB).
 *   Errors: QV_E_IO (pipe, fork), QV_E_NOMEM. Thread: may be called from several threads. */
QV_NODISCARD qv_status qv_child_run(qv_buf *out, qv_child_end *end, int *code, qv_job job, void *arg, qv_limits lim, qv_err *err);

/* The same for a program found on PATH, argv[0] its name: `text` is its standard input, its standard output goes to *out.
 * code 127: not found. */
QV_NODISCARD qv_status qv_child_program(qv_buf *out, qv_child_end *end, int *code, const char *const *argv, const qv_buf *text,
                                        qv_limits lim, qv_err *err);

/* Seconds of a monotonic clock. */
double qv_now(void);

/* In a job: end it, where it cannot return. */
_Noreturn void qv_job_end(int code);

/* In a job: write all of s[0..n). */
void qv_job_write(int fd, const char *s, size_t n);

#endif
