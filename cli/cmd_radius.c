/* qverify radius: the largest distance within which the answer cannot change, by bisection. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/rbout.h"

typedef struct {
  rb_job *job; /* workers copy it: each asks about another distance */
  int64_t most;
  const char *witness;
  uint32_t exact, open, n;
} run_state;

/* What bisection found about one sample. */
typedef struct {
  int64_t proved;    /* largest distance VERIFIED, -1: none */
  int64_t refuted;   /* smallest distance FALSIFIED, -1: none */
  const char *limit; /* why the two do not meet, or NULL */
} bracket;

/* Ask about distance eps. The answer is cleared by the caller. */
static qv_status ask_one(rb_answer *a, const run_state *r, const rb_case *c, rb_worker *w, int64_t eps, qv_err *err) {
  rb_job j = *r->job; /* shares all arrays */
  qv_property p = {0};
  qv_arena arena = {0};
  const int64_t *const *x = rb_sample(&j, c->sample, &arena);
  j.steps = eps;
  qv_status st = x != NULL ? rb_property(&p, &a->cls, &j, c, err) : QV_FAIL(err, QV_E_NOMEM, "out of memory");
  if (st == QV_OK) {
    const char *name = qv_arena_printf(&arena, "%s-eps%" PRId64, rb_name(&arena, &j, c), eps);
    st = name != NULL ? rb_solve(a, w, &p, x, name, err) : QV_FAIL(err, QV_E_NOMEM, "out of memory");
  }
  qv_property_clear(&p);
  qv_arena_clear(&arena);
  return st;
}

/* Bisection over distances: everything up to lo is VERIFIED, from hi on FALSIFIED (or beyond what is asked). An open question in
 * between lies in [open_lo,open_hi]; both sides of it go on closing. The last FALSIFIED answer becomes *out, its input the witness. */
static qv_status bisect(bracket *b, rb_answer *out, const run_state *r, const rb_case *c, rb_worker *w, qv_err *err) {
  int64_t lo = -1, hi = r->most + 1, open_lo = hi, open_hi = lo, step = 0;
  double seconds = 0;
  for (;;) {
    bool is_open = open_lo <= open_hi;
    int64_t below = is_open ? open_lo : hi, eps; /* first the proofs, then the counterexamples above what stays open */
    if (below - lo > 1) eps = hi > r->most && !is_open && step < hi ? step : lo + (below - lo) / 2;
    else if (is_open && hi - open_hi > 1) eps = hi > r->most && 2 * open_hi + 1 < hi ? 2 * open_hi + 1 : open_hi + (hi - open_hi) / 2;
    else break;
    rb_answer a = {.cls = QV_NONE};
    qv_status st = ask_one(&a, r, c, w, eps, err);
    seconds += a.seconds;
    if (st != QV_OK) {
      rb_answer_clear(&a);
      return st;
    }
    out->cls = a.cls;
    step = 2 * eps + 1; /* 0, 1, 3, 7, .. until something fails */
    if (a.verdict == QV_FALSIFIED) {
      hi = eps;
      if (eps < open_lo) open_lo = r->most + 1, open_hi = -1; /* what was open above is falsified with it */
      rb_answer_clear(out);
      *out = a;
      continue;
    }
    if (a.verdict == QV_VERIFIED) {
      lo = eps;
      if (eps > open_hi) open_lo = r->most + 1, open_hi = -1; /* what was open below is proved with it */
    } else {
      open_lo = qv_min64(open_lo, eps);
      open_hi = qv_max64(open_hi, eps);
    }
    rb_answer_clear(&a);
  }
  out->seconds = seconds;
  *b = (bracket){lo, hi <= r->most ? hi : -1, open_lo <= open_hi ? "open (try a longer --timeout)" : NULL};
  return QV_OK;
}

/* An answer of the pool carries the bracket: margin = proved, rounding = refuted, -1 for none. */
static qv_status ask(void *ctx, size_t i, rb_worker *w, rb_answer *a, qv_err *err) {
  const run_state *r = ctx;
  bracket b = {-1, -1, NULL};
  a->cls = QV_NONE;
  qv_status st = bisect(&b, a, r, &r->job->item[i], w, err);
  if (st == QV_E_ARG) { /* vacuous */
    a->reason = qv_arena_str(&a->arena, err->msg, strlen(err->msg));
    b.limit = a->reason;
    *err = (qv_err){0};
    st = QV_OK;
  }
  a->margin = (double)b.proved;
  a->rounding = (double)b.refuted;
  a->reason = b.limit;
  return st;
}

static qv_status done(void *ctx, size_t i, rb_answer *a, qv_err *err) {
  run_state *r = ctx;
  const rb_case *c = &r->job->item[i];
  qv_arena arena = {0};
  int64_t proved = (int64_t)a->margin, refuted = (int64_t)a->rounding;
  qv_status st = QV_OK;
  qv_buf line = {0};
  qv_buf_printf(&line, "sample %zu", c->sample);
  if (c->py >= 0) qv_buf_printf(&line, ", patch %" PRId64 ",%" PRId64, c->py, c->px);
  if (a->cls != QV_NONE) qv_buf_printf(&line, ", class %" PRIu32, a->cls);
  if (proved < 0) qv_buf_str(&line, ": not even the sample itself");
  else qv_buf_printf(&line, ": VERIFIED up to %" PRId64, proved);
  if (refuted >= 0) {
    qv_buf_printf(&line, ", FALSIFIED at %" PRId64, refuted);
    if (a->got != QV_NONE) qv_buf_printf(&line, " -> %" PRIu32, a->got);
  }
  if (a->reason != NULL) qv_buf_printf(&line, "; in between: %s", a->reason);
  else if (refuted < 0) qv_buf_str(&line, " (the whole range asked about)");
  qv_buf_printf(&line, ", %.2f s\n", a->seconds);
  r->exact += a->reason == NULL && proved >= 0;
  r->open += a->reason != NULL;
  r->n++;
  if (refuted >= 0 && r->witness != NULL) st = rb_witness_files(r->witness, rb_name(&arena, r->job, c), r->job, c, a, err);
  if (st == QV_OK && (line.failed || fwrite(line.p, 1, line.n, stdout) != line.n || fflush(stdout) != 0))
    st = QV_FAIL(err, QV_E_INTERNAL, "cannot write the result");
  qv_buf_free(&line);
  qv_arena_clear(&arena);
  return st;
}

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  static rb_job j; /* large; zeroed */
  qv_err err = {0};
  cli_model m = {0};
  rb_opts o;
  rb_session *s = NULL;
  int64_t threads;
  run_state state = {.job = &j, .witness = cli_get(cmd, val, "witness")};
  int rc = rb_options(&o, cmd, val);
  if (rc != 0) return rc;
  if (!cli_profile_ok(cmd, cli_get(cmd, val, "profile")) || !cli_get_int(&threads, cmd, val, "threads", 0, 1024, 0) ||
      !cli_get_int(&state.most, cmd, val, "max-eps", 0, (int64_t)1 << 40, 255))
    return QV_EXIT_USAGE;
  o.journal = cli_get(cmd, val, "resume");
  j.family = RB_STEPS;
  rc = cli_load(&m, cmd, operand[0], cli_get(cmd, val, "profile"), false, &err);
  if (rc == 0) rc = rb_read(&j, cmd, val, m.net, true, &err);
  if (rc == 0) {
    const rb_jobs jobs = {ask, done, &state, NULL};
    qv_status st = rb_session_open(&s, m.net, &o, &err);
    if (st == QV_OK) st = rb_pool_run(s, j.n_items, (unsigned)threads, &jobs, &err);
    rb_session_close(s);
    const qv_tally t = {.selected = (uint32_t)j.n_items, .verified = state.exact};
    if (st == QV_OK) {
      qv_buf out = {0};
      qv_buf_printf(&out, "%" PRIu32 " of %zu radii exact, %" PRIu32 " bracketed%s\n", state.exact, j.n_items, state.open,
                    o.no_check ? "; NOT independently checked" : "; every proof accepted by qverify-check");
      st = cli_emit("-", &out, &err);
      qv_buf_free(&out);
    }
    rc = st == QV_OK ? qv_cli_exit(QV_OK, &t) : cli_fail(st, operand[0], &err);
  }
  rb_free(&j);
  cli_model_free(&m);
  return rc;
}

static const cli_opt opts[] = {
    {"max-eps", 'e', "N", false, "largest distance to ask about, in integer steps (default 255)"},
    RB_SAMPLE_OPTS,
    RB_SOLVE_OPTS,
    {"witness", 'w', "DIR", false, "the counterexample at the smallest falsified distance, as for 'qverify robust'"},
    {"resume", 'r', "FILE", false, "journal of finished questions, as for 'qverify robust'"},
    {.name = NULL},
};

const cli_cmd cli_radius = {
    .name = "radius",
    .operands = "MODEL",
    .n_operands = 1,
    .summary = "find the largest distance within which the answer of the integer network cannot change",
    .detail = "By bisection over integer steps: the largest distance that is VERIFIED (a certificate was accepted by the independent checker) "
              "and the smallest that is FALSIFIED (an input was executed). The radius is exact where the two are neighbours; otherwise what "
              "lies between is open. With a mask the distances are multiples of it. Exit codes: 0 all radii exact, 5 otherwise.",
    .example = "qverify radius model.tflite --input images.npy --labels labels.txt --index 0:9 --certificate proofs --witness cex",
    .opt = opts,
    .run = run,
};
