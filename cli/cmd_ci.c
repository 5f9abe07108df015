/* qverify ci, plan, work, merge: many obligations, one verdict. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ci_cache.h"
#include "cli/ci_split.h"

#define MANIFEST "qverify.json"
#define RESULTS ".qverify-ci"
#define CACHE_MB 1024

static int fail(qv_status st, const char *path, const qv_err *err) { return cli_fail(st, path, err); }

static const char *or_default(const char *s, const char *dflt) { return s != NULL ? s : dflt; }

/* "k/N", 1-based: into 0-based shard and its number. */
static bool read_shard(const char *s, ci_work_opts *o) {
  char tail;
  unsigned k, n;
  if (sscanf(s, "%9u/%9u%c", &k, &n, &tail) != 2 || k < 1 || n < 1 || k > n) return false;
  o->shard = k - 1;
  o->of = n;
  return true;
}

static int work_opts(ci_work_opts *o, const cli_cmd *cmd, const cli_val *val) {
  int64_t jobs;
  const char *shard = cmd->n_operands > 0 && strcmp(cmd->name, "work") == 0 ? cli_get(cmd, val, "shard") : NULL;
  *o = (ci_work_opts){.of = 1, .grace = 5};
  if (!cli_get_int(&jobs, cmd, val, "jobs", 0, 256, 0)) return QV_EXIT_USAGE;
  o->jobs = (unsigned)jobs;
  o->dir = or_default(cli_get(cmd, val, "results"), RESULTS);
  const char *mode = cli_get(cmd, val, "cache");
  ci_cache_mode m;
  if (mode != NULL && !ci_cache_mode_read(&m, mode)) return cli_usage(cmd, "--cache is off, read, read-write or verify, not '%.40s'", mode);
  if (shard != NULL && !read_shard(shard, o)) return cli_usage(cmd, "--shard '%.40s': K/N with 1 <= K <= N", shard);
  return 0;
}

/* The work, with the cache that the options or the plan ask for. */
static qv_status work(ci_worked *done, const cli_cmd *cmd, const cli_val *val, const ci_plan *p, ci_work_opts *o, qv_err *err) {
  ci_cache_mode mode = CI_CACHE_OFF;
  int64_t mb;
  const char *word = or_default(cli_get(cmd, val, "cache"), p->cache);
  if (word != NULL && !ci_cache_mode_read(&mode, word)) return QV_FAIL(err, QV_E_PARSE, "unknown cache mode");
  if (!cli_get_int(&mb, cmd, val, "cache-limit", 0, 1 << 30, CACHE_MB)) return QV_E_ARG;
  o->cache = ci_cache_open(mode, cli_get(cmd, val, "cache-file"), (uint64_t)mb);
  qv_status st = ci_work(done, p, o, err);
  ci_cache_close(o->cache);
  if (st == QV_OK && mode != CI_CACHE_OFF)
    (void)fprintf(stderr, "qverify: cache: %" PRIu32 " jobs taken, %" PRIu32 " taken and checked again, %" PRIu32 " rejected, %" PRIu32 " run\n", done->cached, done->checked,
                  done->rejected, done->ran);
  return st;
}

/* ---- reports ---------------------------------------------------------------------------------------------------------------------------- */

typedef struct {
  const char *option;
  qv_status (*write)(qv_buf *out, const ci_merged *m, qv_err *err);
} format;

static const format formats[] = {{"json", ci_json}, {"junit", ci_junit}, {"sarif", ci_sarif}, {"intoto", ci_intoto}};
enum { N_FORMATS = sizeof formats / sizeof *formats };

/* Before anything runs: a killed run must not leave an older report behind. */
static int mark(const cli_cmd *cmd, const cli_val *val) {
  const char *path = cli_get(cmd, val, "json");
  qv_buf b = {0};
  qv_err err = {0};
  if (path == NULL || strcmp(path, "-") == 0) return 0;
  qv_buf_str(&b, "{\n  \"run_state\": \"INCOMPLETE\",\n  \"schema\": \"qverify-ci-report/1\"\n}\n");
  qv_status st = cli_emit(path, &b, &err);
  qv_buf_free(&b);
  return st == QV_OK ? 0 : fail(st, path, &err);
}

static int write_one(const char *path, qv_buf *b, qv_status st, qv_err *err) {
  if (st == QV_OK) st = cli_emit(path, b, err);
  qv_buf_free(b);
  return st == QV_OK ? 0 : fail(st, path, err);
}

static int report(const cli_cmd *cmd, const cli_val *val, const ci_merged *m, const char *const *dir, uint32_t n_dir) {
  qv_err err = {0};
  int rc = 0;
  bool quiet = false;
  for (int k = 0; rc == 0 && k < N_FORMATS; k++) {
    const char *path = cli_get(cmd, val, formats[k].option);
    qv_buf b = {0};
    if (path == NULL) continue;
    quiet = quiet || strcmp(path, "-") == 0;
    rc = write_one(path, &b, formats[k].write(&b, m, &err), &err);
  }
  const char *html = cli_get(cmd, val, "html");
  if (rc == 0 && html != NULL) {
    qv_buf b = {0};
    rc = write_one(html, &b, ci_html(&b, m, dir, n_dir, &err), &err);
  }
  if (rc == 0 && !quiet) {
    qv_buf b = {0};
    ci_text(&b, m);
    rc = write_one("-", &b, QV_OK, &err);
  }
  return rc;
}

static int merge(const cli_cmd *cmd, const cli_val *val, const ci_plan *p, const char *const *dir, uint32_t n_dir) {
  ci_merged m;
  qv_err err = {0};
  qv_status st = ci_merge(&m, p, dir, n_dir, &err);
  int rc = st == QV_OK ? report(cmd, val, &m, dir, n_dir) : fail(st, NULL, &err);
  if (rc == 0) {
    rc = m.exit_code;
    if (m.error > 0) (void)fprintf(stderr, "qverify: %" PRIu32 " of %" PRIu32 " obligations failed to run\n", m.error, m.selected);
  }
  ci_merged_clear(&m);
  return rc;
}

/* ---- commands --------------------------------------------------------------------------------------------------------------------------- */

static int plan_of(ci_plan *p, const cli_cmd *cmd, const cli_val *val, const char *path, qv_err *err) {
  int64_t batch, split;
  if (!cli_get_int(&batch, cmd, val, "batch", 1, 1000000, 0) || !cli_get_int(&split, cmd, val, "split", 1, CI_PARTS_MAX, 0)) return QV_EXIT_USAGE;
  const ci_filter filter = {.tag = cli_get(cmd, val, "tag"), .id = cli_get(cmd, val, "only"), .batch = (uint32_t)batch, .split = (uint32_t)split};
  qv_status st = ci_plan_make(p, path, &filter, err);
  return st == QV_OK ? 0 : fail(st, path, err);
}

static int run_ci(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  ci_plan p = {0};
  ci_work_opts o;
  qv_err err = {0};
  ci_worked done;
  (void)operand;
  int rc = work_opts(&o, cmd, val);
  if (rc == 0) rc = plan_of(&p, cmd, val, or_default(cli_get(cmd, val, "manifest"), MANIFEST), &err);
  if (rc == 0) rc = mark(cmd, val);
  if (rc == 0) {
    qv_status st = work(&done, cmd, val, &p, &o, &err);
    rc = st == QV_OK ? merge(cmd, val, &p, &o.dir, 1) : fail(st, o.dir, &err);
  }
  ci_plan_clear(&p);
  return rc;
}

static int run_plan(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  ci_plan p = {0};
  qv_err err = {0};
  qv_buf b = {0};
  const char *to = cli_get(cmd, val, "output");
  if (to == NULL) return cli_usage(cmd, "plan needs --output FILE ('-' is standard output)");
  int rc = plan_of(&p, cmd, val, operand[0], &err);
  if (rc == 0) {
    uint32_t selected = 0;
    for (uint32_t k = 0; k < p.n_item; k++) selected += p.item[k].selected;
    rc = write_one(to, &b, ci_plan_write(&b, &p, &err), &err);
    if (rc == 0 && selected == 0) {
      (void)cli_fail(QV_E_LIMIT, operand[0], &(qv_err){.code = QV_E_LIMIT, .msg = "no obligation matches"});
      rc = qv_cli_exit(QV_E_LIMIT, NULL);
    }
  }
  ci_plan_clear(&p);
  return rc;
}

static int run_work(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  ci_plan p = {0};
  ci_work_opts o;
  qv_err err = {0};
  ci_worked worked;
  qv_buf b = {0};
  int rc = work_opts(&o, cmd, val);
  if (rc != 0) return rc;
  qv_status st = ci_plan_read(&p, operand[0], &err);
  if (st != QV_OK) rc = fail(st, operand[0], &err);
  else if ((st = work(&worked, cmd, val, &p, &o, &err)) != QV_OK) rc = fail(st, o.dir, &err);
  if (rc == 0) {
    qv_buf_printf(&b, "%" PRIu32 " jobs run, results in %s\n", worked.ran, o.dir);
    rc = write_one("-", &b, QV_OK, &err);
  }
  ci_plan_clear(&p);
  return rc;
}

static int run_merge(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  static const char *const dflt = RESULTS;
  const cli_val *dirs = cli_all(cmd, val, "results");
  ci_plan p = {0};
  qv_err err = {0};
  int rc = mark(cmd, val);
  if (rc != 0) return rc;
  qv_status st = ci_plan_read(&p, operand[0], &err);
  if (st != QV_OK) rc = fail(st, operand[0], &err);
  else rc = dirs->n > 0 ? merge(cmd, val, &p, dirs->v, dirs->n) : merge(cmd, val, &p, &dflt, 1);
  ci_plan_clear(&p);
  return rc;
}

#define SELECT_OPTS                                                                                     \
  {"tag", 't', "TAG", false, "only obligations with this tag"},                                       \
      {"only", 0, "PATTERN", false, "only obligations whose id matches this shell pattern"},           \
      {"batch", 0, "N", false, "robustness queries that one process decides (default 100)"},            \
      {"split", 0, "N", false, "cut the box of every robustness query into N parts that are queries of their own"}
#define WORK_OPTS                                                                                                                   \
  {"results", 'r', "DIR", false, "where finished jobs are kept and found again (default .qverify-ci)"},                            \
      {"jobs", 0, "N", false, "processes at a time (default: one a core)"},                                                        \
      {"cache", 0, "MODE", false, "finished jobs of other folders: off (default), read, read-write; verify: evidence is checked again"}, \
      {"cache-file", 0, "FILE", false, "the cache, an SQLite file (default $XDG_CACHE_HOME/qverify/ci.sqlite or ~/.cache/..)"},      \
      {"cache-limit", 0, "MB", false, "what was not used for longest goes when the cache is larger (default 1024)"}
#define REPORT_OPTS                                                                                     \
  {"json", 'j', "FILE", false, "report (docs/ci.md); '-' in place of the text"},                      \
      {"junit", 0, "FILE", false, "JUnit XML"}, {"sarif", 0, "FILE", false, "SARIF 2.1.0"},            \
      {"intoto", 0, "FILE", false, "in-toto test-result statement, unsigned"},                         \
      {"html", 0, "FILE", false, "one page for people, without other resources"}

static const cli_opt ci_opts[] = {
    {"manifest", 'm', "FILE", false, "obligations (default qverify.json)"},
    SELECT_OPTS,
    REPORT_OPTS,
    WORK_OPTS,
    {.name = NULL},
};

const cli_cmd cli_ci = {
    .name = "ci",
    .operands = "",
    .n_operands = 0,
    .summary = "decide every obligation of a manifest; one verdict, reports for people and machines",
    .detail = "Every obligation is decided by a process of its own with hard limits. Finished jobs are kept under a hash of everything they depend on: a run that was "
              "killed goes on where it was, and what has not changed is not done again. Exit codes: 0 all hold, 10 something is refuted, 5 something is open or nothing was selected, 6 something failed to run.",
    .example = "qverify ci --manifest qverify.json --html report.html --junit report.xml",
    .opt = ci_opts,
    .run = run_ci,
};

static const cli_opt plan_opts[] = {SELECT_OPTS, {"output", 'o', "FILE", false, "where the plan goes; '-' is standard output"}, {.name = NULL}};

const cli_cmd cli_plan = {
    .name = "plan",
    .operands = "MANIFEST",
    .n_operands = 1,
    .summary = "turn a manifest into a plan: one line a job, to be worked on anywhere",
    .detail = "A plan does not change; each job's key is a hash of everything that its result depends on. Then: qverify work PLAN --shard K/N on each machine, qverify merge PLAN on one.",
    .example = "qverify plan qverify.json -o plan.jsonl",
    .opt = plan_opts,
    .run = run_plan,
};

static const cli_opt work_options[] = {
    {"shard", 0, "K/N", false, "do the K-th of N parts (from 1)"},
    WORK_OPTS,
    {.name = NULL},
};

const cli_cmd cli_work = {
    .name = "work",
    .operands = "PLAN",
    .n_operands = 1,
    .summary = "do a shard of a plan; what has a result already is not done again",
    .detail = "Results are files that appear whole or not at all: several workers may share a folder, and a worker may be killed at any moment.",
    .example = "qverify work plan.jsonl --shard 3/20 --results /shared/results",
    .opt = work_options,
    .run = run_work,
};

static const cli_opt merge_opts[] = {REPORT_OPTS, {"results", 'r', "DIR", true, "results of a worker (repeatable; default .qverify-ci)"}, {.name = NULL}};

const cli_cmd cli_merge = {
    .name = "merge",
    .operands = "PLAN",
    .n_operands = 1,
    .summary = "collect results into one verdict and its reports",
    .detail = "A job without a result makes the run INCOMPLETE (exit 5); two that contradict each other are an error (6).",
    .example = "qverify merge plan.jsonl --results a --results b --html report.html",
    .opt = merge_opts,
    .run = run_merge,
};
