/* What `allocate` and `compare` share: table and problem, the checker, numbers for people. */
#ifndef QV_CLI_ALLOCTAB_H
#define QV_CLI_ALLOCTAB_H

#include "cli/cli.h"
#include "cli/evidence.h"
#include "cli/ovcheck.h"
#include "ilp/alloc.h"

typedef struct {
  const char *path;
  size_t bytes;
  char sha256[QV_SHA256_HEX];
  qv_atable table;
  qv_alloc *p;
  qv_buf qap;
  char qap_sha256[QV_SHA256_HEX];
} cli_alloc;

/* Read a table's text, apply the limits, build the problem. Returns 0, or the exit code after its message. *a must be {0}. */
int cli_alloc_load_text(cli_alloc *a, const cli_cmd *cmd, const char *path, const qv_buf *text, const char *metric, const cli_val *limits, qv_err *err);
/* The problem again, after qv_atable_set_limit. */
QV_NODISCARD qv_status cli_alloc_rebuild(cli_alloc *a, qv_err *err);
void cli_alloc_free(cli_alloc *a);

uint32_t cli_alloc_row(const cli_alloc *a, const char *name); /* QV_ATABLE_NONE if there is none */
uint32_t cli_alloc_cost(const cli_alloc *a, const char *name); /* a row or a peak; as above */

/* Let qverify-check judge a certificate. ACCEPTED only if it exits 0 after `line` and "s CHECKED"; NOT_RUN if it says that it
 * cannot use what it was given (exit 2), for instance because it is too old; anything else is QV_E_INTERNAL. */
QV_NODISCARD qv_status cli_alloc_check(cli_check_result *out, const qv_buf *qap, const qv_buf *qva, const char *line, qv_err *err);
/* Lines for it, in the arena; NULL = no memory. */
const char *cli_alloc_line(qv_arena *a, const qv_alloc *p, const qv_alloc_result *r);

/* Write the certificate to path, and beside it, with the extension replaced, the problem as .qap. */
QV_NODISCARD qv_status cli_alloc_save(const char *path, const qv_buf *qap, const qv_buf *qva, qv_err *err);

/* 12 digits, or exactly where that is shorter; exactly, as NUM/DEN. In the arena. */
const char *cli_alloc_num(qv_arena *a, mpq_srcptr v);
const char *cli_alloc_exact(qv_arena *a, mpq_srcptr v);

#endif
