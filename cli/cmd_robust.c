/* qverify robust: can an input within a distance of a sample change the answer? */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/ci_split.h"
#include "cli/rbout.h"
#include "cli/report.h"
#include "ir/qir.h"
#include "smt/smt.h"

typedef struct {
  const rb_job *job;
  const char *witness; /* directory or NULL */
  const char *smtlib;  /* file or directory, or NULL */
  const char *evidence; /* --certificate */
  bool quiet;          /* the report goes to standard output */
  cJSON *list;
  uint32_t verified, falsified, checked, resumed;
  double search, checking; /* seconds, all questions together */
} run_state;

/* --smtlib: one question goes into the file, several into a folder. */
static qv_status export(const run_state *r, size_t i, const qv_property *p, qv_err *err) {
  qv_buf b = {0};
  qv_arena a = {0};
  bool one = r->job->n_items == 1;
  const char *path = one ? r->smtlib : qv_arena_printf(&a, "%s/%s.smt2", r->smtlib, rb_name(&a, r->job, &r->job->item[i]));
  qv_status st = path == NULL                                               ? QV_FAIL(err, QV_E_NOMEM, "out of memory")
                 : !one && mkdir(r->smtlib, 0777) != 0 && errno != EEXIST ? QV_FAIL(err, QV_E_INTERNAL, "%s: %s", r->smtlib, strerror(errno))
                                                                            : qv_smt_export(&b, r->job->net, p, QV_SMT_INT, err);
  if (st == QV_E_ARG) st = QV_FAIL(err, QV_E_UNSUP, "a list of inputs has no SMT-LIB form");
  if (st == QV_OK) st = cli_emit(path, &b, err);
  qv_buf_free(&b);
  qv_arena_clear(&a);
  return st;
}

/* --part: replace the question by a part of it. Beside its certificates, part 1 leaves the whole's property and how it was cut. */
static qv_status part_of(qv_property *p, const rb_job *j, const rb_case *c, const char *dir, qv_err *err) {
  qv_buf whole = {0}, qir = {0}, cover = {0};
  qv_arena a = {0};
  char sha[2][QV_SHA256_HEX];
  qv_status st;
  QV_TRY(qv_property_write(&whole, p, err));
  QV_TRY(qv_qir_write(&qir, j->net, err));
  qv_sha256_hex(sha[0], qir.p, qir.n);
  qv_sha256_hex(sha[1], whole.p, whole.n);
  QV_TRY(ci_split(p, j->net, j->part, j->parts, &cover, sha[0], sha[1], err));
  if (j->part == 1 && dir != NULL) {
    const char *name = rb_case_name(&a, j, c), *qvp = qv_arena_printf(&a, "%s/%s-whole.qvp", dir, name), *tree = qv_arena_printf(&a, "%s/%s.cover", dir, name);
    if (qvp == NULL || tree == NULL) {
      st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
      goto done;
    }
    QV_TRY(cli_emit(qvp, &whole, err));
    QV_TRY(cli_emit(tree, &cover, err));
  }
done:
  qv_buf_free(&whole);
  qv_buf_free(&qir);
  qv_buf_free(&cover);
  qv_arena_clear(&a);
  return st;
}

/* The input of the part that is nearest to the sample. NULL: no memory. */
static const int64_t *const *nearest(const qv_property *p, const qv_net *net, const int64_t *const *x, qv_arena *a) {
  int64_t **v = QV_NEW(a, net->n_in, int64_t *);
  for (uint32_t i = 0; v != NULL && i < net->n_in; i++) {
    if ((v[i] = QV_NEW(a, p->in[i].n, int64_t)) == NULL) return NULL;
    for (size_t e = 0; e < p->in[i].n; e++) v[i][e] = x[i][e] < p->in[i].itv[e].lo ? p->in[i].itv[e].lo : x[i][e] > p->in[i].itv[e].hi ? p->in[i].itv[e].hi : x[i][e];
  }
  return (const int64_t *const *)v;
}

static qv_status ask(void *ctx, size_t i, rb_worker *w, rb_answer *a, qv_err *err) {
  const run_state *r = ctx;
  const rb_job *j = r->job;
  const rb_case *c = &j->item[i];
  qv_property p = {0};
  qv_status st;
  bool real;
  qv_arena arena = {0};
  st = rb_property(&p, &a->cls, j, c, err);
  if (st == QV_OK && j->parts > 0) st = part_of(&p, j, c, r->evidence, err);
  if (st == QV_E_ARG) { /* vacuous: no answer, and no failure of the run */
    a->reason = qv_arena_str(&a->arena, err->msg, strlen(err->msg));
    a->engine = "nothing";
    a->margin = a->rounding = a->kinks = NAN;
    *err = (qv_err){0};
    st = QV_OK;
    goto done;
  }
  QV_TRY(st);
  if (r->smtlib != NULL) QV_TRY(export(r, i, &p, err));
  const bool inside = j->family == RB_STEPS || j->family == RB_REAL; /* (a family lists the sample itself) */
  const int64_t *const *x = inside ? rb_sample(j, c->sample, &arena) : NULL;
  if (x != NULL && j->parts > 0) x = nearest(&p, j->net, x, &arena);
  if (inside && x == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
    goto done;
  }
  QV_TRY(rb_search(a, w, &p, x, rb_name(&arena, j, c), err));
  if (a->verdict != QV_FALSIFIED) goto done;
  QV_TRY(rb_realize(&real, a, j, c, err));
  if (!real && j->family == RB_REAL) {
    a->verdict = QV_UNKNOWN;
    a->reason = "integers were found that change the answer, but no binary32 input in the interval gives them";
    a->margin = a->rounding = a->kinks = NAN;
  }
done:
  qv_property_clear(&p);
  qv_arena_clear(&arena);
  return st;
}

static qv_status done(void *ctx, size_t i, rb_answer *a, qv_err *err) {
  run_state *r = ctx;
  const rb_case *c = &r->job->item[i];
  qv_arena arena = {0};
  qv_buf line = {0};
  qv_status st = QV_OK;
  const char *name = rb_name(&arena, r->job, c), *file = NULL;
  if (a->verdict == QV_FALSIFIED && r->witness != NULL) {
    QV_TRY(rb_witness_files(r->witness, name, r->job, c, a, err));
    file = qv_arena_printf(&arena, "%s/%s_input0.npy", r->witness, name);
  }
  r->verified += a->verdict == QV_VERIFIED;
  r->falsified += a->verdict == QV_FALSIFIED;
  r->checked += a->verdict == QV_VERIFIED && a->checked;
  r->resumed += a->resumed;
  r->search += a->resumed ? 0 : a->seconds;
  r->checking += a->check_seconds;
  if (r->list != NULL && !qv_json_push(r->list, rb_json(r->job, c, a, file))) {
    st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
    goto done;
  }
  if (r->quiet) goto done;
  rb_text_line(&line, r->job, c, a);
  if (line.failed || fwrite(line.p, 1, line.n, stdout) != line.n || fflush(stdout) != 0) st = QV_FAIL(err, QV_E_INTERNAL, "cannot write the result");
done:
  qv_buf_free(&line);
  qv_arena_clear(&arena);
  return st;
}

static void conclusion(qv_buf *out, const run_state *r, size_t n, bool no_check, double seconds) {
  qv_buf_printf(out, "%" PRIu32 " verified, %" PRIu32 " falsified, %zu unknown of %zu in %.2f s (search %.2f s, checker %.2f s)", r->verified,
                r->falsified, n - r->verified - r->falsified, n, seconds, r->search, r->checking);
  if (r->resumed > 0) qv_buf_printf(out, "; %" PRIu32 " searched by an earlier run", r->resumed);
  if (r->verified > 0) qv_buf_str(out, no_check ? "; NOT independently checked" : "; every proof accepted by qverify-check");
  qv_verdict v = r->falsified > 0 ? QV_FALSIFIED : n > 0 && r->verified == n ? QV_VERIFIED : QV_UNKNOWN;
  qv_buf_printf(out, "\n%s\n", qv_verdict_name(v));
}

static int solve(const cli_cmd *cmd, const cli_val *val, cli_report *r, rb_job *j, const rb_opts *o, unsigned threads, run_state *state, qv_err *err) {
  rb_session *s = NULL;
  qv_buf text = {0};
  double start = cli_now();
  state->job = j;
  state->witness = cli_get(cmd, val, "witness");
  state->smtlib = cli_get(cmd, val, "smtlib");
  state->evidence = o->cert_dir;
  state->quiet = r->path != NULL && strcmp(r->path, "-") == 0;
  state->list = cJSON_CreateArray();
  const rb_jobs jobs = {ask, done, state, NULL};
  rb_opts opts = *o;
  opts.inner = r->robust->threads > j->n_items && j->n_items > 0 ? r->robust->threads / (unsigned)j->n_items : 1; /* idle cores help with one question */
  qv_status st = rb_session_open(&s, j->net, &opts, err);
  if (st == QV_OK) st = rb_pool_run(s, j->n_items, threads, &jobs, err);
  rb_session_close(s);
  r->robust->obligations = state->list;
  if (st != QV_OK) return cli_fail(st, r->model_path, err);
  r->robust->selected = (uint32_t)j->n_items;
  r->robust->verified = state->verified;
  r->robust->falsified = state->falsified;
  r->robust->checked = state->verified > 0 && state->checked == state->verified;
  r->done = true;
  if (!state->quiet) {
    conclusion(&text, state, j->n_items, o->no_check, cli_now() - start);
    st = cli_emit("-", &text, err);
    qv_buf_free(&text);
    if (st != QV_OK) return cli_fail(st, NULL, err);
  }
  const qv_tally t = {.selected = r->robust->selected, .verified = r->robust->verified, .falsified = r->robust->falsified};
  return qv_cli_exit(QV_OK, &t);
}

static const char *const family_name[] = {"eps", "eps-real", "brightness", "contrast", "property"};

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  static rb_job j; /* large; zeroed */
  double start = cli_now();
  qv_err err = {0}, report_err = {0};
  cli_model m = {0};
  rb_opts o;
  run_state state = {0};
  int64_t threads;
  cli_report_robust rb = {0};
  const char *file[4 * QV_MAX_INPUTS];
  cli_report r = {.requested = "robust", .path = cli_get(cmd, val, "json"), .argc = cli_argc, .argv = cli_argv,
                  .profile_asked = cli_get(cmd, val, "profile"), .model_path = operand[0], .robust = &rb};
  int rc = rb_options(&o, cmd, val);
  if (rc != 0) return rc;
  if (!cli_profile_ok(cmd, r.profile_asked) || !cli_get_int(&threads, cmd, val, "threads", 0, 1024, 0)) return QV_EXIT_USAGE;
  o.journal = cli_get(cmd, val, "resume");
  o.lazy_journal = cli_get(cmd, val, "no-sync") != NULL;
  const char *part = cli_get(cmd, val, "part");
  uint32_t at = 0, of = 0;
  if (part != NULL && !ci_read_part(part, &at, &of)) return cli_usage(cmd, "--part '%.40s': K/N with 1 <= K <= N <= %d", part, CI_PARTS_MAX);
  static const char *const named[] = {"input", "labels", "mask", "condition", "property"};
  for (size_t k = 0; k < sizeof named / sizeof named[0]; k++)
    for (uint32_t i = 0; i < cli_all(cmd, val, named[k])->n && rb.n_files < 4 * QV_MAX_INPUTS; i++) file[rb.n_files++] = cli_all(cmd, val, named[k])->v[i];
  rb.file = file;
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  rb.threads = threads > 0 ? (unsigned)threads : cores > 0 ? (unsigned)cores : 1;
  rb.seed = o.seed;
  rb.timeout = o.timeout;
  rb.steps = o.steps;
  rb.engine = cli_get(cmd, val, "engine") != NULL ? cli_get(cmd, val, "engine") : "all";
  qv_status st = cli_report_begin(&r, &report_err);
  if (st != QV_OK) return cli_fail(st, r.path, &report_err);
  rc = cli_load(&m, cmd, r.model_path, r.profile_asked, false, &err);
  r.model = &m;
  if (rc == 0) rc = rb_read(&j, cmd, val, m.net, false, &err);
  j.part = at;
  j.parts = of;
  if (rc == 0) {
    rb.question = family_name[j.family];
    rb.size = j.size;
    rb.condition = j.what;
    rc = solve(cmd, val, &r, &j, &o, (unsigned)threads, &state, &err);
  }
  r.exit_code = rc;
  r.err = &err;
  r.seconds = cli_now() - start;
  st = cli_report_write(&r, &report_err);
  if (st != QV_OK) rc = cli_fail(st, r.path, &report_err);
  cJSON_Delete(rb.obligations);
  rb_free(&j);
  cli_model_free(&m);
  return rc;
}

static const cli_opt opts[] = {
    {"eps", 'e', "N", false, "every element may change by up to N integer steps, within the input's range"},
    {"eps-real", 0, "R", false, "... by up to R in the model's real units, e.g. 0.03 or 8/255, exactly"},
    {"brightness", 0, "N", false, "the same shift by up to N integer steps for all elements"},
    {"contrast", 0, "C", false, "all elements stretched about the pivot by the same factor between 1-C and 1+C"},
    {"pivot", 0, "V", false, "integer that --contrast leaves where it is (default: middle of the input's range)"},
    {"property", 'P', "FILE", false, "the whole question as a .qvp file (docs/property.md) in place of samples"},
    RB_SAMPLE_OPTS,
    RB_SOLVE_OPTS,
    {"part", 0, "K/N", false, "only part K of N of each question's box (docs/ci.md); all parts together are the question"},
    {"witness", 'w', "DIR", false, "every counterexample as .npy, and pictures: original, adversarial, difference as .png"},
    {"smtlib", 0, "FILE", false, "write the question as SMT-LIB 2.6 text; several questions: a folder of such files"},
    {"resume", 'r', "FILE", false, "journal of finished questions: a later run with the same FILE goes on where this one was stopped"},
    {"no-sync", 0, NULL, false, "with --resume: do not wait for the disk; lines survive the end of the run, but not that of the machine"},
    {"json", 'j', "FILE", false, "write a report (docs/report.md); '-' writes it to standard output in place of the text"},
    {.name = NULL},
};

const cli_cmd cli_robust = {
    .name = "robust",
    .operands = "MODEL",
    .n_operands = 1,
    .summary = "decide whether an input within a distance of a sample changes the answer of the integer network",
    .detail = "One question per sample (and position of a patch). VERIFIED: no input of the set changes the answer; its certificate was "
              "accepted by the independent checker. FALSIFIED: an input that does was executed; a sample that the net itself gets wrong is "
              "one. UNKNOWN: everything else, with the reason and how near the proof came. Exit codes: 0 all verified, 10 some falsified, "
              "5 otherwise.",
    .example = "qverify robust model.tflite --input images.npy --labels labels.txt --index 0:99 --eps 2 --witness cex",
    .opt = opts,
    .run = run,
};
