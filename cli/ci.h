/* Continuous integration: a manifest of obligations, each decided by a qverify process of its own, merged into one verdict.
 *
 * manifest --ci_plan--> jobs --ci_work--> results/KEY.json --ci_merge--> report. A job's key is the SHA-256 of everything that its result
 * depends on: what runs, with which arguments, on which bytes. So a result that is there need not be made again, wherever it was made.
 * Formats: docs/ci.md. */
#ifndef QV_CLI_CI_H
#define QV_CLI_CI_H

#include "cli/cli.h"
#include "ir/base/json.h"

typedef struct ci_cache ci_cache; /* cli/ci_cache.h */

typedef enum {
#define CI_CHECK(e, word) CI_##e,
#include "cli/ci_checks.def"
#undef CI_CHECK
  CI_CHECKS
} ci_check;
const char *ci_check_name(ci_check c);

/* One process: `qverify argv...`. */
typedef struct {
  char key[QV_SHA256_HEX];
  uint32_t item;     /* its obligation */
  const char *part;  /* "" or what this job is of it: "0:99" */
  uint32_t argc;
  const char **argv; /* behind the program's name; "@json", "@cert": files of the job */
  double seconds;    /* limits */
  uint64_t memory_mb;
} ci_job;

typedef struct {
  const char *id, *requirement, *model; /* requirement, model: NULL = none */
  uint32_t n_tags;
  const char **tag;
  ci_check check;
  bool has_at_least;
  double at_least;   /* share in 0..1 that has to be verified, or right */
  bool selected;
} ci_item;

typedef struct {
  const char *path, *name;
  const char *cache; /* mode that the manifest asks for, or NULL */
  char sha256[QV_SHA256_HEX];
  uint32_t n_item, n_job;
  ci_item *item;
  ci_job *job;       /* in the order of the items; only of selected ones */
  qv_arena arena;
} ci_plan;

typedef struct {
  const char *tag, *id; /* NULL: all; id: shell pattern */
  uint32_t batch;       /* queries a job; 0 = 100 */
  uint32_t split;       /* parts of a query, where the manifest does not say; 0, 1 = none */
} ci_filter;

/* Read a manifest and make its jobs. *p is the caller's (ci_plan_clear), also after an error. Errors: QV_E_PARSE, QV_E_IO, QV_E_NOMEM. */
QV_NODISCARD qv_status ci_plan_make(ci_plan *p, const char *path, const ci_filter *filter, qv_err *err);
/* The plan as text, one job a line, and back: a plan stands on its own. */
QV_NODISCARD qv_status ci_plan_write(qv_buf *out, const ci_plan *p, qv_err *err);
QV_NODISCARD qv_status ci_plan_read(ci_plan *p, const char *path, qv_err *err);
void ci_plan_clear(ci_plan *p);

typedef struct {
  const char *dir;     /* results */
  uint32_t shard, of;  /* this process takes the jobs with number shard (0-based) of `of` parts, dealt by key */
  unsigned jobs;       /* processes at a time; 0 = one a core */
  double grace;        /* seconds between the time limit of a job and its end by force */
  ci_cache *cache;     /* or NULL */
} ci_work_opts;

typedef struct {
  uint32_t ran;      /* jobs that were run */
  uint32_t cached;   /* taken from the cache */
  uint32_t checked;  /* taken from the cache after their evidence was checked again */
  uint32_t rejected; /* of the cache, whose evidence was none; they were run */
} ci_worked;

/* Do what has no result yet. Several workers may share the folder: each job is one worker's. Errors: QV_E_IO, QV_E_NOMEM, QV_E_INTERNAL
 * (no process can be started). */
QV_NODISCARD qv_status ci_work(ci_worked *done, const ci_plan *p, const ci_work_opts *o, qv_err *err);

typedef enum { CI_VERIFIED, CI_FALSIFIED, CI_UNKNOWN, CI_ERROR, CI_MISSING } ci_verdict;
const char *ci_verdict_name(ci_verdict v);

typedef struct {
  ci_verdict verdict;
  const char *reason; /* one sentence */
  const char *next;   /* what to try, or NULL */
  uint32_t verified, falsified, unknown; /* of its queries or inner obligations */
  double seconds;
  uint64_t max_rss_kb;
  cJSON *queries; /* verdicts of queries that were asked in parts, or NULL */
  const cJSON **report; /* [jobs of the item] reports, NULL where there is none; owned by the merged result */
  cJSON *baseline;        /* what was lost against an older network (docs/ci.md 1.1), or NULL */
  uint32_t first_job, n_jobs;
  uint32_t n_old;         /* the last so many of its jobs asked the older network */
  uint32_t cached;        /* jobs whose results came from the cache, as far as the folders know */
} ci_outcome;

typedef struct {
  const ci_plan *plan;
  ci_outcome *item; /* [plan->n_item]; not selected ones are zero */
  uint32_t selected, verified, falsified, unknown, error, missing;
  int exit_code;
  const char *state; /* "COMPLETE", "INCOMPLETE", "NOTHING_SELECTED" */
  cJSON **doc;       /* [plan->n_job] result files */
  qv_arena arena;
} ci_merged;

/* Collect results from n directories. Two different results of one job are QV_E_INTERNAL (exit 6). *m is the caller's
 * (ci_merged_clear), also after an error. */
QV_NODISCARD qv_status ci_merge(ci_merged *m, const ci_plan *p, const char *const *dir, uint32_t n, qv_err *err);
void ci_merged_clear(ci_merged *m);
/* Arguments of the checker that a query in parts is proved by: "cover", the files, NULL. Its jobs are first .. first+of-1, id is that of one of
 * its obligations. NULL if some of the files are in none of the folders. Lives in m's arena. */
const char *const *ci_cover(ci_merged *m, uint32_t first, uint32_t of, const char *id, const char *const *dir, uint32_t n_dir);

/* Reports. The same merged results give the same bytes, times apart. Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status ci_json(qv_buf *out, const ci_merged *m, qv_err *err);
QV_NODISCARD qv_status ci_junit(qv_buf *out, const ci_merged *m, qv_err *err);
QV_NODISCARD qv_status ci_sarif(qv_buf *out, const ci_merged *m, qv_err *err);
QV_NODISCARD qv_status ci_intoto(qv_buf *out, const ci_merged *m, qv_err *err);
/* One page without other resources; pictures come from the result directories. */
QV_NODISCARD qv_status ci_html(qv_buf *out, const ci_merged *m, const char *const *dir, uint32_t n_dir, qv_err *err);
void ci_text(qv_buf *out, const ci_merged *m);
/* s (NULL: nothing) as text of an XML or HTML document: markup escaped, what is no valid character replaced. */
void ci_escape(qv_buf *out, const char *s);

#endif
