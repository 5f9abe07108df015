/* allocate --require: the chosen network must also keep a property; one that does not is excluded and the search goes on. */
#ifndef QV_CLI_REQUIRE_H
#define QV_CLI_REQUIRE_H

#include "cli/allocnet.h"
#include "cli/errclaim.h"

typedef struct {
  bool is_error;    /* a bound on the error, else robustness */
  cli_error_claim error;
  int64_t eps;      /* integer steps of the input that must not change the answer */
  int64_t samples;  /* on the first so many calibration samples */
  int64_t seconds;  /* a question */
} cli_requirement;

/* "robust:EPS", "error<=X" or "error<=X@R". False after a usage message. */
bool cli_require_read(cli_requirement *r, const cli_cmd *cmd, const cli_val *val, const char *spec);

/* Robustness: ask `qverify robust` about the exported network, in a process of its own. Error: bound it here. *code: 0 the requirement is
 * proved (and, of robustness, checked), else 5 or 10. */
QV_NODISCARD qv_status cli_require_check(int *code, const cli_requirement *r, const cli_allocnet *x, const cli_quantized *q, qv_err *err);

/* Exclude one choice: one more cost in the table's text, 1 for each candidate of the choice, with the limit groups - 1 (docs/allocation.md section 7). */
QV_NODISCARD qv_status cli_require_cut(qv_buf *json, uint32_t number, const qv_alloc *p, const uint32_t *choice, qv_err *err);

#endif
