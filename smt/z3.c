#include "smt/z3.h"

#include <stdio.h>
#include <string.h>

#include <z3.h>

/* The default handler ends the process; errors come back as text in the answer instead. */
static void ignore(Z3_context c, Z3_error_code e) {
  (void)c;
  (void)e;
}

#define FUNCTIONS(F)                                                                                                                       \
  F(Z3_global_param_set) F(Z3_get_full_version) F(Z3_mk_config) F(Z3_mk_context) F(Z3_set_error_handler) F(Z3_eval_smtlib2_string)

static int job(int fd, void *arg) {
  static const char *const names[] = {"libz3.so.4", "libz3.so", NULL};
  const qv_solver_query *q = arg;
  void *lib = qv_library(names);
  if (lib == NULL) return QV_NO_LIBRARY;
#define F(f) QV_FUNCTION(lib, f)
  FUNCTIONS(F)
#undef F
  char mb[32];
  if (q->lim.bytes > 0) { /* a soft limit a little below the hard one gives a better answer than dying */
    (void)snprintf(mb, sizeof mb, "%zu", (q->lim.bytes - q->lim.bytes / 8) >> 20);
    p_Z3_global_param_set("memory_max_size", mb);
  }
  const char *version = p_Z3_get_full_version();
  qv_job_say(fd, "; Z3 ");
  if (strncmp(version, "Z3 ", 3) == 0) version += 3;
  qv_job_say(fd, version);
  qv_job_say(fd, "\n");
  Z3_context c = p_Z3_mk_context(p_Z3_mk_config());
  p_Z3_set_error_handler(c, ignore);
  const char *answer = p_Z3_eval_smtlib2_string(c, (const char *)q->text->p);
  if (answer == NULL) return QV_JOB_MEMORY;
  qv_job_say(fd, answer);
  if (strncmp(answer, "unknown", 7) == 0 && (answer = p_Z3_eval_smtlib2_string(c, "(get-info :reason-unknown)")) != NULL)
    qv_job_say(fd, answer);
  return 0;
}

qv_status qv_z3_run(qv_buf *out, qv_child_end *end, int *code, const qv_buf *text, qv_limits lim, qv_err *err) {
  return qv_solver_run(out, end, code, job, text, lim, err);
}
