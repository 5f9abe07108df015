/* qverify radius: the largest distance within which the answer cannot change, by bisection. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/rbout.h"
#include "cli/report.h"

/* What bisection found about one sample. */
typedef struct {
  int64_t proved;    /* largest distance VERIFIED, -1: none */
  int64_t refuted;   /* smallest distance FALSIFIED, -1: none */
  const char *limit; /* why the two do not meet, or NULL; lives in the answer */
  bool checked;      /* the checker has accepted the proof of `proved` */
} bracket;

typedef struct {
  rb_job *job;                  /* workers copy it: each asks about another distance */
  int64_t most, least;          /* largest distance asked about; radius that is required, -1: none */
  const char *witness, *advice; /* advice: what is said of an open question */
  bracket *b;                   /* [job->n_items], each written by the worker that has the item */
  bool quiet;
  cJSON *list; /* of the report */
  uint32_t exact, open, verified, falsified, checked;
} run_state;

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
  rb_answer best = {.cls = QV_NONE}; /* of lo */
  qv_status st = QV_OK;
  for (;;) {
    bool is_open = open_lo <= open_hi;
    int64_t below = is_open ? open_lo : hi, eps; /* first the proofs, then the counterexamples above what stays open */
    if (below - lo > 1) eps = hi > r->most && !is_open && step < hi ? step : lo + (below - lo) / 2;
    else if (is_open && hi - open_hi > 1) eps = hi > r->most && 2 * open_hi + 1 < hi ? 2 * open_hi + 1 : open_hi + (hi - open_hi) / 2;
    else break;
    rb_answer a = {.cls = QV_NONE};
    st = ask_one(&a, r, c, w, eps, err);
    seconds += a.seconds;
    if (st != QV_OK) {
      rb_answer_clear(&a);
      goto done;
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
      rb_answer_clear(&best);
      best = a;
      continue;
    }
    open_lo = qv_min64(open_lo, eps);
    open_hi = qv_max64(open_hi, eps);
    rb_answer_clear(&a);
  }
  *b = (bracket){lo, hi <= r->most ? hi : -1, open_lo <= open_hi ? r->advice : NULL, best.checked};
  /* The evidence of the answer is that of what the obligation asks: the counterexample where it refutes, else the largest proof. */
  if (hi > r->most || hi > r->least) {
    out->cert_path = best.cert_path != NULL ? qv_arena_str(&out->arena, best.cert_path, strlen(best.cert_path)) : NULL;
    memcpy(out->cert_sha256, best.cert_sha256, sizeof out->cert_sha256);
    memcpy(out->property_sha256, best.property_sha256, sizeof out->property_sha256);
    out->engine = best.engine;
    out->nodes = best.nodes;
  }
  out->seconds = seconds;
done:
  rb_answer_clear(&best);
  return st;
}

static qv_status ask(void *ctx, size_t i, rb_worker *w, rb_answer *a, qv_err *err) {
  const run_state *r = ctx;
  bracket b = {-1, -1, NULL, false};
  a->cls = QV_NONE;
  qv_status st = bisect(&b, a, r, &r->job->item[i], w, err);
  if (st == QV_E_ARG) { /* vacuous */
    b.limit = qv_arena_str(&a->arena, err->msg, strlen(err->msg));
    *err = (qv_err){0};
    st = QV_OK;
  }
  if (a->engine == NULL) a->engine = "nothing";
  r->b[i] = b;
  return st;
}

/* Without a required radius the question is how large it is: answered where the bracket is closed. */
static qv_verdict judge(const run_state *r, const bracket *b) {
  if (r->least < 0) return b->limit == NULL && b->proved >= 0 ? QV_VERIFIED : QV_UNKNOWN;
  return b->proved >= r->least ? QV_VERIFIED : b->refuted >= 0 && b->refuted <= r->least ? QV_FALSIFIED : QV_UNKNOWN;
}

static cJSON *distance(int64_t v) {
  char s[32];
  (void)snprintf(s, sizeof s, "%" PRId64, v);
  return v < 0 ? cJSON_CreateNull() : cJSON_CreateString(s);
}

static const char *why(qv_arena *arena, const run_state *r, const bracket *b) {
  const char *limit = b->limit != NULL ? b->limit : "the sample itself is not proved";
  if (b->limit == NULL && b->refuted == 0) limit = "the sample itself is refuted";
  if (r->least < 0) return limit;
  return qv_arena_printf(arena, "certified up to %" PRId64 ", %" PRId64 " required: %s", b->proved, r->least, limit);
}

/* As an answer of 'qverify robust', and what was found of the radius. */
static cJSON *obligation(const run_state *r, const rb_case *c, rb_answer *a, const bracket *b, const char *witness) {
  qv_arena arena = {0};
  const char *id = qv_arena_printf(&arena, "radius/%s", rb_name(&arena, r->job, c));
  cJSON *radius = cJSON_CreateObject();
  a->margin = a->rounding = a->kinks = NAN;
  a->verdict = judge(r, b);
  a->checked = b->checked;
  a->reason = a->verdict == QV_UNKNOWN ? why(&arena, r, b) : NULL;
  cJSON *o = rb_json(r->job, c, a, witness);
  bool ok = o != NULL && id != NULL && cJSON_ReplaceItemInObjectCaseSensitive(o, "id", cJSON_CreateString(id));
  ok = qv_json_add(radius, "proved", distance(b->proved)) && ok;
  ok = qv_json_add(radius, "refuted", distance(b->refuted)) && ok;
  ok = qv_json_add(radius, "required", distance(r->least)) && ok;
  if (o == NULL) cJSON_Delete(radius);
  else ok = qv_json_add(o, "radius", radius) && ok;
  qv_arena_clear(&arena);
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static qv_status done(void *ctx, size_t i, rb_answer *a, qv_err *err) {
  run_state *r = ctx;
  const rb_case *c = &r->job->item[i];
  qv_arena arena = {0};
  const bracket *b = &r->b[i];
  const int64_t proved = b->proved, refuted = b->refuted;
  const char *file = NULL;
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
  if (b->limit != NULL) qv_buf_printf(&line, "; in between: %s", b->limit);
  else if (refuted < 0) qv_buf_str(&line, " (the whole range asked about)");
  qv_buf_printf(&line, ", %.2f s\n", a->seconds);
  const qv_verdict v = judge(r, b);
  r->exact += b->limit == NULL && proved >= 0;
  r->open += b->limit != NULL;
  r->verified += v == QV_VERIFIED;
  r->falsified += v == QV_FALSIFIED;
  r->checked += v == QV_VERIFIED && b->checked;
  if (refuted >= 0 && r->witness != NULL) {
    st = rb_witness_files(r->witness, rb_name(&arena, r->job, c), r->job, c, a, err);
    file = qv_arena_printf(&arena, "%s/%s_input0.npy", r->witness, rb_name(&arena, r->job, c));
  }
  if (st == QV_OK && r->list != NULL && !qv_json_push(r->list, obligation(r, c, a, b, file)))
    st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
  if (st == QV_OK && !r->quiet && (line.failed || fwrite(line.p, 1, line.n, stdout) != line.n || fflush(stdout) != 0))
    st = QV_FAIL(err, QV_E_INTERNAL, "cannot write the result");
  qv_buf_free(&line);
  qv_arena_clear(&arena);
  return st;
}

static void conclusion(qv_buf *out, const run_state *r, bool no_check) {
  const size_t n = r->job->n_items;
  qv_buf_printf(out, "%" PRIu32 " of %zu radii exact, %" PRIu32 " bracketed%s\n", r->exact, n, r->open,
                no_check ? "; NOT independently checked" : "; every proof accepted by qverify-check");
  if (r->least < 0) return;
  const qv_verdict v = r->falsified > 0 ? QV_FALSIFIED : n > 0 && r->verified == n ? QV_VERIFIED : QV_UNKNOWN;
  qv_buf_printf(out, "%s: radius %" PRId64 " certified for %" PRIu32 " of %zu, refuted for %" PRIu32 "\n", qv_verdict_name(v), r->least,
                r->verified, n, r->falsified);
}

static int solve(cli_report *r, run_state *state, const rb_opts *o, qv_err *err) {
  rb_job *j = state->job;
  rb_session *s = NULL;
  const rb_jobs jobs = {ask, done, state, NULL};
  state->list = cJSON_CreateArray();
  state->b = calloc(j->n_items + 1, sizeof *state->b);
  qv_status st = state->list != NULL && state->b != NULL ? rb_session_open(&s, j->net, o, err) : QV_FAIL(err, QV_E_NOMEM, "out of memory");
  if (st == QV_OK) st = rb_pool_run(s, j->n_items, r->robust->threads, &jobs, err);
  rb_session_close(s);
  free(state->b);
  r->robust->obligations = state->list;
  if (st != QV_OK) return cli_fail(st, r->model_path, err);
  r->robust->selected = (uint32_t)j->n_items;
  r->robust->verified = state->verified;
  r->robust->falsified = state->falsified;
  r->robust->checked = state->verified > 0 && state->checked == state->verified;
  r->done = true;
  if (!state->quiet) {
    qv_buf out = {0};
    conclusion(&out, state, o->no_check);
    st = cli_emit("-", &out, err);
    qv_buf_free(&out);
  }
  const qv_tally t = {.selected = r->robust->selected, .verified = state->verified, .falsified = state->falsified};
  return st == QV_OK ? qv_cli_exit(QV_OK, &t) : cli_fail(st, NULL, err);
}

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  static rb_job j; /* large; zeroed */
  double start = cli_now();
  qv_err err = {0}, report_err = {0};
  cli_model m = {0};
  rb_opts o;
  int64_t threads;
  char size[32];
  cli_report_robust rb = {.question = "radius", .size = size};
  const char *file[4 * QV_MAX_INPUTS];
  cli_report r = {.requested = "radius",
                  .path = cli_get(cmd, val, "json"),
                  .argc = cli_argc,
                  .argv = cli_argv,
                  .profile_asked = cli_get(cmd, val, "profile"),
                  .model_path = operand[0],
                  .robust = &rb};
  run_state state = {.job = &j, .witness = cli_get(cmd, val, "witness"), .quiet = r.path != NULL && strcmp(r.path, "-") == 0};
  int rc = rb_options(&o, cmd, val);
  if (rc != 0) return rc;
  if (!cli_profile_ok(cmd, r.profile_asked) || !cli_get_int(&threads, cmd, val, "threads", 0, 1024, 0) ||
      !cli_get_int(&state.most, cmd, val, "max-eps", 0, (int64_t)1 << 40, 255) ||
      !cli_get_int(&state.least, cmd, val, "at-least", 0, (int64_t)1 << 40, -1))
    return QV_EXIT_USAGE;
  if (state.least > state.most) return cli_usage(cmd, "--at-least %" PRId64 " is beyond --max-eps %" PRId64, state.least, state.most);
  o.journal = cli_get(cmd, val, "resume");
  static const char *const named[] = {"input", "labels", "mask", "condition"};
  for (size_t k = 0; k < sizeof named / sizeof named[0]; k++)
    for (uint32_t i = 0; i < cli_all(cmd, val, named[k])->n && rb.n_files < 4 * QV_MAX_INPUTS; i++)
      file[rb.n_files++] = cli_all(cmd, val, named[k])->v[i];
  rb.file = file;
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  rb.threads = threads > 0 ? (unsigned)threads : cores > 0 ? (unsigned)cores : 1;
  rb.seed = o.seed;
  rb.timeout = o.timeout;
  rb.steps = o.steps;
  rb.engine = cli_get(cmd, val, "engine") != NULL ? cli_get(cmd, val, "engine") : "all";
  (void)snprintf(size, sizeof size, "%" PRId64, state.most);
  qv_status st = cli_report_begin(&r, &report_err);
  if (st != QV_OK) return cli_fail(st, r.path, &report_err);
  state.advice = o.steps > 0 ? "open (try more --steps)" : "open (try a longer --timeout)";
  j.family = RB_STEPS;
  rc = cli_load(&m, cmd, r.model_path, r.profile_asked, false, &err);
  r.model = &m;
  if (rc == 0) rc = rb_read(&j, cmd, val, m.net, true, &err);
  if (rc == 0) {
    rb.condition = j.what;
    rc = solve(&r, &state, &o, &err);
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
    {"max-eps", 'e', "N", false, "largest distance to ask about, in integer steps (default 255)"},
    {"at-least", 0, "N", false,
     "the radius that every sample has to have: VERIFIED where one of N or more is proved, FALSIFIED where N is refuted"},
    RB_SAMPLE_OPTS,
    RB_SOLVE_OPTS,
    {"witness", 'w', "DIR", false, "the counterexample at the smallest falsified distance, as for 'qverify robust'"},
    {"resume", 'r', "FILE", false, "journal of finished questions, as for 'qverify robust'"},
    {"json", 'j', "FILE", false, "write a report (docs/report.md); '-' writes it to standard output in place of the text"},
    {.name = NULL},
};

const cli_cmd cli_radius = {
    .name = "radius",
    .operands = "MODEL",
    .n_operands = 1,
    .summary = "find the largest distance within which the answer of the integer network cannot change",
    .detail =
        "By bisection over integer steps: the largest distance that is VERIFIED (a certificate was accepted by the independent checker) "
        "and the smallest that is FALSIFIED (an input was executed). The radius is exact where the two are neighbours; otherwise what "
        "lies between is open. With a mask the distances are multiples of it. Exit codes: 0 all radii exact, 5 otherwise; with --at-least "
        "0 all that large, 10 some refuted, 5 otherwise.",
    .example = "qverify radius model.tflite --input images.npy --labels labels.txt --index 0:9 --certificate proofs --witness cex",
    .opt = opts,
    .run = run,
};
