/* The JSON report qverify-report/1 (docs/report.md, docs/report.schema.json). */
#ifndef QV_CLI_REPORT_H
#define QV_CLI_REPORT_H

#include "analysis/audit.h"
#include "cli/cli.h"
#include "cli/ovcheck.h"
#include "cli/repair.h"
#include "ir/base/json.h"

/* What a report about robustness says instead of the parts about overflow. */
typedef struct {
  cJSON *obligations; /* list; taken over when the report is written */
  uint32_t selected, verified, falsified;
  bool checked;         /* the independent checker has accepted every proof */
  uint64_t seed;
  unsigned threads;
  double timeout;       /* seconds a question, 0 = none */
  uint32_t steps;       /* 0 = default */
  const char *engine, *question, *size, *condition; /* as asked; size may be NULL */
  const char *const *file; /* files that were read besides the model */
  uint32_t n_files;
} cli_report_robust;

/* Everything a report says. Pointers are borrowed until cli_report_write returns. */
typedef struct {
  const char *path;          /* where the report goes; NULL = no report, "-" = stdout */
  int argc;
  char *const *argv;
  const char *requested;     /* name of the command */
  int acc_bits;              /* as asked, 0 = each node's own */
  bool opaque;
  const char *profile_asked; /* or NULL */
  const char *model_path;
  const cli_model *model;    /* NULL until loaded */
  const qv_ovcheck *check;   /* NULL until done */
  const qv_err *err;         /* failure that ended the run, or NULL */
  const qv_audit *audit;     /* rows of `check`, NULL for other commands than audit */
  const char *kernel;        /* assumed kernel, or NULL; audit only */
  const cli_repair *repair;  /* NULL: none; audit only */
  const char *cert_path;     /* file of the certificate that was written, or NULL */
  const char *domain_path;   /* --domain or --calibrate file, or NULL */
  const qv_property *prop;   /* NULL until known */
  const char *cex_path;      /* file of the counterexample that was written, or NULL */
  cli_report_robust *robust; /* NULL for other commands; filled in when `done` */
  bool done;                 /* robust: the run came to its end */
  int exit_code;
  double seconds;            /* wall clock of the run */
} cli_report;

/* Say INCOMPLETE before anything can go wrong, so that a killed run is never read as a finished one. Nothing for "-" and for
 * what is no regular file (a pipe cannot be rewritten). */
QV_NODISCARD qv_status cli_report_begin(const cli_report *r, qv_err *err);

/* The final report, whole or not at all. */
QV_NODISCARD qv_status cli_report_write(const cli_report *r, qv_err *err);

/* Why an item has its verdict: one sentence, the same in the text and in the report. Lives in the arena. */
const char *cli_item_reason(qv_arena *a, const qv_net *net, const qv_ovcheck *o, uint32_t item);

#endif
