/* The JSON report qverify-allocation/1 (docs/allocation.md section 8, docs/allocation.schema.json). */
#ifndef QV_CLI_ALLOC_REPORT_H
#define QV_CLI_ALLOC_REPORT_H

#include "cli/alloctab.h"
#include "cli/realized.h"

/* One method at one budget, for `compare`. */
typedef struct {
  const char *method;
  const char *budget;    /* as asked; NULL in `allocate` */
  const uint32_t *choice; /* NULL: no answer */
  bool feasible;
  bool optimum;          /* this row is the certified optimum */
  const cli_realized *net; /* the choice as a network; NULL: a table, or no answer */
} cli_alloc_row_out;

/* What --explain found about one limit. */
typedef struct {
  uint32_t cost;
  bool possible;  /* moving this limit alone is enough */
  mpq_t least;    /* then: to this value */
  bool joint;     /* no limit alone is enough: all together are, if this one is `together` (its old value where that is enough) */
  mpq_t together;
  cli_check_result checked;
} cli_alloc_hint;

/* Pointers are borrowed until the report is written. */
typedef struct {
  const char *path;       /* NULL: no report; "-" = stdout */
  const char *command;    /* "allocate" or "compare" */
  const char *method;
  const char *table_path;
  const cli_alloc *a;     /* NULL until loaded */
  const qv_alloc_result *result; /* NULL: none (yet) */
  const qv_alloc_front *front;   /* NULL: none */
  uint32_t front_row;
  const cli_alloc_hint *hint;
  uint32_t n_hints;
  const cli_alloc_row_out *row;  /* compare */
  uint32_t n_rows;
  qv_alloc_state state;   /* OPTIMAL and INFEASIBLE only if proved */
  cli_check_result checked;
  const char *cert_path;
  const qv_buf *cert;
  bool complete;
  int exit_code;
  const qv_err *err;
  double seconds;
} cli_alloc_report;

/* "OPTIMAL", "INFEASIBLE", "UNKNOWN": only what the checker accepted is claimed. */
const char *cli_alloc_verdict(qv_alloc_state state, cli_check_result checked);

/* INCOMPLETE first, so that a killed run is never read as a finished one; then the final text. As cli/report.h. */
QV_NODISCARD qv_status cli_alloc_report_begin(const cli_alloc_report *r, qv_err *err);
QV_NODISCARD qv_status cli_alloc_report_write(const cli_alloc_report *r, qv_err *err);

#endif
