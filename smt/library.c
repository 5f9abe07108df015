#include "smt/library.h"

#include <dlfcn.h>
#include <string.h>

qv_status qv_solver_run(qv_buf *out, qv_child_end *end, int *code, qv_job job, const qv_buf *text, qv_limits lim, qv_err *err) {
  qv_solver_query q = {text, lim};
  return qv_child_run(out, end, code, job, &q, lim, err);
}

void *qv_library(const char *const *names) {
  void *h = NULL;
  for (; *names != NULL && h == NULL; names++) h = dlopen(*names, RTLD_NOW | RTLD_LOCAL);
  return h;
}

void qv_symbol(void *fn, void *library, const char *name) {
  void *p = dlsym(library, name);
  memcpy(fn, &p, sizeof p); /* POSIX: an object pointer holds a function's address */
}

void qv_job_say(int fd, const char *text) { qv_job_write(fd, text, strlen(text)); }
