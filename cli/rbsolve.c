/* One robustness question: engine, replay, certificate, checker, journal. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analysis/robust_evidence.h"
#include "cli/qverify.h"
#include "cli/robust.h"
#include "ir/qir.h"
#include "kernels/ref.h"
#include "smt/smt.h"

struct rb_session {
  const qv_net *net;
  rb_opts opts;
  qv_buf qir;
  char net_sha256[QV_SHA256_HEX];
  int net_fd;           /* net.qir in memory, for the checker: nothing is left behind when the run is killed */
  char net_path[64];
  rb_journal *journal;  /* or NULL */
  pthread_mutex_t lock; /* of base */
  qv_robust *base;      /* the net as equations, which all workers read; NULL: not made yet */
};

struct rb_worker {
  rb_session *s;
  qv_robust *rob; /* NULL: not made yet, the first question pays for it */
};

static const qv_tensor *input(const qv_net *net, uint32_t i) { return &net->tensor[net->in[i].tensor]; }
static const qv_tensor *output(const qv_net *net, uint32_t i) { return &net->tensor[net->out[i].tensor]; }

/* ---- files in memory, which the checker opens through /proc ----------------------------------------------------------------------- */

static qv_status memory_file(int *fd, char path[64], qv_err *err) {
  if ((*fd = memfd_create("qverify", MFD_CLOEXEC)) < 0) return QV_FAIL(err, QV_E_INTERNAL, "memfd_create: %s", strerror(errno));
  (void)snprintf(path, 64, "/proc/%ld/fd/%d", (long)getpid(), *fd);
  return QV_OK;
}

static qv_status refill(int fd, const qv_buf *b, qv_err *err) {
  bool ok = !b->failed && ftruncate(fd, 0) == 0;
  for (size_t at = 0; ok && at < b->n;) {
    ssize_t k = pwrite(fd, b->p + at, b->n - at, (off_t)at);
    if (k > 0) at += (size_t)k;
    else ok = k < 0 && errno == EINTR;
  }
  return ok ? QV_OK : QV_FAIL(err, QV_E_INTERNAL, "what the checker is given: %s", b->failed ? "out of memory" : strerror(errno));
}

/* ---- sessions ----------------------------------------------------------------------------------------------------------------- */

qv_status rb_session_open(rb_session **out, const qv_net *net, const rb_opts *o, qv_err *err) {
  qv_status st;
  rb_session *s = calloc(1, sizeof *s);
  if (s == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  s->net_fd = -1;
  (void)pthread_mutex_init(&s->lock, NULL);
  s->net = net;
  s->opts = *o;
  QV_TRY(qv_qir_write(&s->qir, net, err));
  qv_sha256_hex(s->net_sha256, s->qir.p, s->qir.n);
  QV_TRY(memory_file(&s->net_fd, s->net_path, err));
  QV_TRY(refill(s->net_fd, &s->qir, err));
  if (o->cert_dir != NULL) {
    char path[4200];
    if (mkdir(o->cert_dir, 0777) != 0 && errno != EEXIST) {
      st = QV_FAIL(err, QV_E_INTERNAL, "%s: %s", o->cert_dir, strerror(errno));
      goto done;
    }
    (void)snprintf(path, sizeof path, "%.4000s/net.qir", o->cert_dir);
    QV_TRY(cli_emit(path, &s->qir, err));
  }
  if (o->journal != NULL) QV_TRY(rb_journal_open(&s->journal, o->journal, o->lazy_journal, s->net_sha256, err));
  *out = s;
  s = NULL;
done:
  rb_session_close(s);
  return st;
}

void rb_session_close(rb_session *s) {
  if (s == NULL) return;
  rb_journal_close(s->journal);
  if (s->net_fd >= 0) (void)close(s->net_fd);
  qv_robust_free(s->base);
  (void)pthread_mutex_destroy(&s->lock);
  qv_buf_free(&s->qir);
  free(s);
}

qv_status rb_worker_open(rb_worker **out, rb_session *s, qv_err *err) {
  rb_worker *w = calloc(1, sizeof *w);
  if (w == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  w->s = s;
  *out = w;
  return QV_OK;
}

void rb_worker_close(rb_worker *w) {
  if (w == NULL) return;
  qv_robust_free(w->rob);
  free(w);
}

/* A question whose answer is under way: what the checker and the files need. */
struct rb_pending {
  qv_buf property, cert;
  char key[QV_SHA256_HEX];
  char *name;
  double start, limit; /* of the search; limit 0 = none */
  double left;         /* seconds for the checker, 0 = any: what is left of the limit and a quarter of it, so that no late proof is lost */
};

static void pending_clear(struct rb_pending *p) {
  qv_buf_free(&p->property);
  qv_buf_free(&p->cert);
}

void rb_answer_clear(rb_answer *a) {
  if (a->pending != NULL) pending_clear(a->pending); /* it lives in the arena */
  qv_arena_clear(&a->arena);
  *a = (rb_answer){0};
}

/* ---- execution ------------------------------------------------------------------------------------------------------------------ */

qv_status rb_execute(int64_t ***o, qv_arena *a, const qv_net *net, const int64_t *const *x, bool *ran, qv_err *err) {
  qv_values v = {0};
  qv_err quiet = {0};
  qv_status st;
  *ran = false;
  *o = QV_NEW(a, net->n_out, int64_t *);
  QV_TRY(*o != NULL ? qv_values_init(&v, net, err) : QV_FAIL(err, QV_E_NOMEM, "out of memory"));
  for (uint32_t i = 0; i < net->n_in; i++) memcpy(v.v[net->in[i].tensor], x[i], qv_elems(input(net, i)) * sizeof(int64_t));
  st = qv_ref_run(net, &v, &quiet);
  *ran = st == QV_OK;
  if (st == QV_E_UNSUP || st == QV_E_RANGE) st = QV_OK; /* opaque, or undefined behaviour of the machine */
  if (st != QV_OK) st = QV_FAIL(err, st, "%s", quiet.msg);
  for (uint32_t i = 0; *ran && i < net->n_out; i++) {
    size_t n = qv_elems(output(net, i));
    if (((*o)[i] = QV_NEW(a, n, int64_t)) == NULL) {
      st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
      goto done;
    }
    memcpy((*o)[i], v.v[net->out[i].tensor], n * sizeof(int64_t));
  }
done:
  qv_values_clear(&v);
  return st;
}

/* Is x one of the property's inputs? */
static bool in_set(const qv_property *p, const qv_net *net, int64_t *const *x) {
  for (size_t k = 0; k < p->n_points; k++) {
    bool same = true;
    for (uint32_t i = 0; same && i < net->n_in; i++)
      same = memcmp(p->in[i].point + k * p->in[i].n, x[i], p->in[i].n * sizeof(int64_t)) == 0;
    if (same) return true;
  }
  for (uint32_t i = 0; p->n_points == 0 && i < net->n_in; i++) {
    const qv_tensor *t = input(net, i);
    const qv_prop_input *in = &p->in[i];
    for (size_t e = 0; e < qv_elems(t); e++) {
      qv_itv v = in->n == 0 ? (qv_itv){t->lo, t->hi} : in->itv[in->n == 1 ? 0 : e];
      if (x[i][e] < v.lo || x[i][e] > v.hi) return false;
    }
  }
  return p->n_points == 0;
}

/* The one place where an input becomes a counterexample: it is in the set, it was executed, its outputs violate the condition. */
static qv_status replay(bool *good, rb_answer *a, const qv_property *p, const qv_net *net, qv_err *err) {
  int64_t **o;
  bool ran = false;
  *good = false;
  if (!in_set(p, net, a->input)) return QV_OK;
  qv_status st = rb_execute(&o, &a->arena, net, (const int64_t *const *)a->input, &ran, err);
  if (st != QV_OK || !ran) return st;
  a->violated = qv_condition_violated(&p->cond, net, (const int64_t *const *)o);
  *good = a->violated != QV_NONE;
  a->got = QV_NONE;
  if (*good && p->cond.kind != QV_AVOID) a->got = qv_argmax(o[p->cond.out], qv_elems(output(net, p->cond.out)), p->cond.kind == QV_KEEP_FIRST);
  return QV_OK;
}

/* ---- the engine ------------------------------------------------------------------------------------------------------------------ */

static qv_status boxes(const qv_itv ***box, const qv_property *p, const qv_net *net, qv_arena *a, qv_err *err) {
  *box = QV_NEW(a, net->n_in, const qv_itv *);
  for (uint32_t i = 0; *box != NULL && i < net->n_in; i++) {
    const qv_tensor *t = input(net, i);
    size_t n = qv_elems(t);
    qv_itv *v = QV_NEW(a, n, qv_itv);
    if (v == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
    for (size_t e = 0; e < n; e++) v[e] = p->in[i].n == 0 ? (qv_itv){t->lo, t->hi} : p->in[i].itv[p->in[i].n == 1 ? 0 : e];
    (*box)[i] = v;
  }
  return *box != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "out of memory");
}

static qv_robust_opts engine_opts(const rb_opts *o, double seconds) {
  qv_robust_opts e = {.seed = o->seed, .max_nodes = o->steps, .seconds = seconds, .threads = o->inner, .evidence = true};
  if (o->engine == RB_ALL) return e;
  e.no_interval = o->engine != RB_INTERVAL;
  e.no_attack = o->engine != RB_ATTACK;
  e.no_enumeration = o->engine != RB_ENUMERATE;
  e.no_linear = o->engine != RB_LINEAR;
  e.no_branching = o->engine != RB_BNB;
  if (o->engine == RB_ENUMERATE) e.enumerate_max = (uint64_t)1 << 24; /* what a checker may be asked to repeat */
  return e;
}

/* ---- evidence --------------------------------------------------------------------------------------------------------------------- */

/* Run the independent checker on n proofs at once. */
static qv_status run_checker(int *code, qv_buf *text, const rb_session *s, struct rb_pending *const *p, size_t n, double seconds, qv_err *err) {
  qv_arena mem = {0};
  int *fd = QV_NEW(&mem, 2 * n, int);
  char(*path)[64] = qv_arena_alloc(&mem, 2 * n, sizeof *path);
  const char **argument = QV_NEW(&mem, 2 * n + 2, const char *);
  size_t made = 0;
  qv_status st = fd != NULL && path != NULL && argument != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "out of memory");
  if (st == QV_OK) argument[0] = s->net_path;
  for (size_t i = 0; st == QV_OK && i < 2 * n; i++) {
    st = memory_file(&fd[i], path[i], err);
    made += st == QV_OK;
    if (st == QV_OK) st = refill(fd[i], i % 2 == 0 ? &p[i / 2]->property : &p[i / 2]->cert, err);
    argument[i + 1] = path[i];
  }
  if (st == QV_OK) st = cli_run_checker_on(code, text, argument, seconds, err);
  while (made > 0) (void)close(fd[--made]);
  qv_arena_clear(&mem);
  return st;
}

static const char accepted[] = "c verdict verified\ns CHECKED\n";

static const char *trusted_words(char words[64], uint32_t n) {
  (void)snprintf(words, 64, "c verdict trusted %" PRIu32 "\ns CHECKED\n", n);
  return words;
}

/* One proof. Accepted: a->checked, VERIFIED. Out of time: UNKNOWN. Anything else is an error. */
static qv_status check(rb_answer *a, const rb_session *s, struct rb_pending *p, qv_err *err) {
  qv_buf text = {0};
  int code = -1;
  char words[64];
  double begin = cli_now();
  qv_status st = run_checker(&code, &text, s, &p, 1, p->left, err);
  if (st == QV_E_LIMIT) {
    *err = (qv_err){0};
    st = QV_OK;
    a->reason = "proved, but the independent checker ran out of time";
  } else if (st == QV_OK && a->trusted > 0 && cli_checker_said(&text, code, trusted_words(words, a->trusted))) {
    a->checked = true; /* all but the trusted leaves: UNKNOWN */
  } else if (st == QV_OK && a->trusted == 0 && cli_checker_said(&text, code, accepted)) {
    a->checked = true;
    a->verdict = QV_VERIFIED;
  } else if (st == QV_OK) {
    size_t n = text.n < 200 ? text.n : 200;
    while (n > 0 && text.p[n - 1] == '\n') n--;
    st = QV_FAIL(err, QV_E_INTERNAL, "the independent checker does not accept the certificate (exit %d): %.*s", code, (int)n,
                 n > 0 ? (const char *)text.p : "");
  }
  a->check_seconds += cli_now() - begin;
  qv_buf_free(&text);
  return st;
}

/* Did the checker accept n proofs, and say nothing else that counts? */
static bool all_accepted(const qv_buf *text, int code, size_t n) {
  size_t good = 0, said = 0;
  if (code != 0 || text->n == 0 || text->p[text->n - 1] != '\n') return false;
  for (const char *line = (const char *)text->p, *end = line + text->n; line < end;) {
    said += *line == 's';
    good += (size_t)(end - line) >= sizeof accepted - 1 && memcmp(line, accepted, sizeof accepted - 1) == 0;
    line = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1;
  }
  return good == n && said == n;
}

static qv_status keep_files(rb_answer *a, const rb_session *s, const qv_buf *property, const qv_buf *cert, const char *name, qv_err *err) {
  const char *dir = s->opts.cert_dir;
  if (dir == NULL || cert->n == 0) return QV_OK;
  char *qvp = qv_arena_printf(&a->arena, "%s/%s.qvp", dir, name), *qvc = qv_arena_printf(&a->arena, "%s/%s.qvc", dir, name);
  if (qvp == NULL || qvc == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  qv_status st = cli_emit(qvp, property, err);
  if (st == QV_OK) st = cli_emit(qvc, cert, err);
  if (st == QV_OK) a->cert_path = qvc;
  return st;
}

static qv_status copy_input(rb_answer *a, const qv_net *net, int64_t *const *x, qv_err *err) {
  if ((a->input = QV_NEW(&a->arena, net->n_in, int64_t *)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  for (uint32_t i = 0; i < net->n_in; i++) {
    size_t n = qv_elems(input(net, i));
    if ((a->input[i] = QV_NEW(&a->arena, n, int64_t)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
    memcpy(a->input[i], x[i], n * sizeof(int64_t));
  }
  return QV_OK;
}

/* Seconds for a question that begins now; 0 = no limit. */
static double time_left(const rb_opts *o, double now) {
  double left = o->deadline > 0 ? o->deadline - now : 0;
  if (o->deadline > 0 && left < 0.01) left = 0.01;
  return o->deadline <= 0 ? o->timeout : o->timeout > 0 && o->timeout < left ? o->timeout : left;
}

/* ---- solvers: a second opinion, or the only one ---------------------------------------------------------------------------------- */

static qv_status ask_solver(qv_smt_result *res, const qv_net *net, const qv_property *p, rb_engine e, double seconds, qv_err *err) {
  qv_smt_opts o = {.engine = QV_SMT_Z3, .encoding = QV_SMT_INT, .seconds = seconds, .bytes = (size_t)1 << 31};
  if (e == RB_SMT_BV) o.encoding = QV_SMT_BV;
  if (e == RB_MILP) o.engine = QV_SMT_MILP;
  if (e == RB_CVC5) o.engine = QV_SMT_CVC5;
  if (e == RB_BOOLECTOR) o.engine = QV_SMT_BOOLECTOR;
  return qv_smt_solve(res, net, p, &o, err);
}

/* A solver alone: what it refutes is replayed, what it proves comes without evidence and stays unknown. */
static qv_status solver_only(rb_answer *a, rb_worker *w, const qv_property *p, double seconds, qv_err *err) {
  qv_smt_result res = {0};
  qv_status st;
  QV_TRY(ask_solver(&res, w->s->net, p, w->s->opts.engine, seconds, err));
  a->engine = w->s->opts.engine == RB_MILP ? "milp" : w->s->opts.engine == RB_CVC5 ? "cvc5" : w->s->opts.engine == RB_BOOLECTOR ? "boolector" : "z3";
  a->margin = a->rounding = a->kinks = NAN;
  if (res.answer == QV_SMT_SAT) {
    a->verdict = QV_FALSIFIED;
    QV_TRY(copy_input(a, w->s->net, res.input, err));
  } else if (res.answer == QV_SMT_UNSAT) a->reason = "the solver finds no such input, but a solver's word comes without evidence";
  else a->reason = res.reason;
done:
  qv_smt_clear(&res);
  return st;
}

/* Two engines say opposite things: keep what is needed to look into it. */
static qv_status disagreement(rb_worker *w, const qv_property *p, const qv_buf *property, const char *name, const char *what, qv_err *err) {
  const char *dir = w->s->opts.cert_dir != NULL ? w->s->opts.cert_dir : ".";
  qv_arena a = {0};
  qv_buf smt = {0};
  qv_err quiet = {0};
  const char *base = qv_arena_printf(&a, "%s/disagreement-%s", dir, name);
  const char *qir = qv_arena_printf(&a, "%s.qir", base), *qvp = qv_arena_printf(&a, "%s.qvp", base), *smt2 = qv_arena_printf(&a, "%s.smt2", base);
  bool kept = base != NULL && qir != NULL && qvp != NULL && smt2 != NULL && cli_emit(qir, &w->s->qir, &quiet) == QV_OK &&
              cli_emit(qvp, property, &quiet) == QV_OK && qv_smt_export(&smt, w->s->net, p, QV_SMT_INT, &quiet) == QV_OK &&
              cli_emit(smt2, &smt, &quiet) == QV_OK;
  qv_status st = QV_FAIL(err, QV_E_INTERNAL, "engines disagree about question %s: %s; %s%s", name, what,
                         kept ? "net, property and SMT-LIB text are in " : "they could not be saved: ", kept ? base : quiet.msg);
  qv_buf_free(&smt);
  qv_arena_clear(&a);
  return st;
}

/* --cross-check: Z3 on the same question. What it cannot be asked (lists of points, what it does not model) is not compared. */
static qv_status second_opinion(rb_answer *a, rb_worker *w, const qv_property *p, const qv_buf *property, const char *name, qv_err *err) {
  qv_smt_result res = {0};
  qv_err why = {0};
  qv_status st = ask_solver(&res, w->s->net, p, RB_SMT, time_left(&w->s->opts, cli_now()), &why);
  if (st == QV_E_ARG || st == QV_E_UNSUP) {
    a->second = "not asked";
    st = QV_OK;
  } else if (st != QV_OK) st = QV_FAIL(err, st, "%s", why.msg);
  else if (res.answer == QV_SMT_UNKNOWN) a->second = "no answer";
  else if (res.answer == QV_SMT_SAT && a->verdict == QV_VERIFIED)
    st = disagreement(w, p, property, name, "proved and checked, but z3 found an input, which was replayed", err);
  else if (res.answer == QV_SMT_UNSAT && a->verdict == QV_FALSIFIED)
    st = disagreement(w, p, property, name, "an input was replayed, but z3 says there is none", err);
  else if (res.answer == QV_SMT_SAT && a->verdict == QV_UNKNOWN) {
    bool good;
    QV_TRY(copy_input(a, w->s->net, res.input, err));
    QV_TRY(replay(&good, a, p, w->s->net, err));
    if (!good) {
      st = disagreement(w, p, property, name, "z3 gives an input that does not replay", err);
      goto done;
    }
    a->verdict = QV_FALSIFIED;
    a->engine = "z3";
    a->second = "found it";
  } else a->second = res.by_interval ? "not needed: intervals of the encoding decide" : a->verdict == QV_UNKNOWN ? "finds none (without evidence)" : "agrees";
done:
  qv_smt_clear(&res);
  return st;
}

/* The worker's engine. Seconds that large nets need for it belong to the question. QV_E_LIMIT: they are over. */
static qv_status need_engine(rb_worker *w, double deadline, qv_err *err) {
  rb_session *s = w->s;
  if (w->rob != NULL) return QV_OK;
  (void)pthread_mutex_lock(&s->lock); /* whoever holds it has the same time limit */
  qv_status st = s->base != NULL ? QV_OK : qv_robust_new_until(&s->base, s->net, deadline, err);
  (void)pthread_mutex_unlock(&s->lock);
  return st == QV_OK ? qv_robust_share(&w->rob, s->base, err) : st;
}

/* An open leaf of the split tree, for Z3. */
typedef struct {
  const qv_net *net;
  const qv_property *p;
} leaf_question;

static qv_solver_word ask_leaf(void *ctx, int64_t *x, const qv_restriction *r, uint32_t n, double seconds) {
  const leaf_question *q = ctx;
  qv_smt_result res = {0};
  qv_err quiet = {0};
  qv_solver_word w = QV_WORD_UNKNOWN;
  qv_cut *cut = calloc(n + 1, sizeof *cut);
  for (uint32_t i = 0; cut != NULL && i < n; i++) cut[i] = (qv_cut){r[i].tensor, r[i].el, r[i].itv};
  const qv_smt_opts o = {.engine = QV_SMT_Z3, .encoding = QV_SMT_INT, .seconds = seconds, .bytes = (size_t)1 << 31, .n_cut = n, .cut = cut};
  if (cut != NULL && qv_smt_solve(&res, q->net, q->p, &o, &quiet) == QV_OK) {
    if (res.answer == QV_SMT_UNSAT) w = QV_WORD_NONE;
    if (res.answer == QV_SMT_SAT) w = QV_WORD_FOUND;
    for (uint32_t i = 0; res.answer == QV_SMT_SAT && i < q->net->n_in; i++) {
      size_t m = qv_elems(input(q->net, i));
      memcpy(x, res.input[i], m * sizeof *x);
      x += m;
    }
  }
  qv_smt_clear(&res);
  free(cut);
  return w;
}

/* What the engine says, with its certificate. The verdict still has to be confirmed. start: of the question, on the clock of cli_now. */
static qv_status fresh(rb_answer *a, qv_buf *cert, rb_worker *w, const qv_property *p, const int64_t *const *centre, double start, double seconds,
                       qv_err *err) {
  qv_robust_result res = {0};
  qv_arena arena = {0};
  const qv_net *net = w->s->net;
  const qv_itv **box = NULL;
  qv_status st = QV_OK;
  const int64_t **points = QV_NEW(&arena, net->n_in, const int64_t *);
  if (points == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  a->margin = a->rounding = a->kinks = NAN;
  a->engine = qv_robust_engine_name(QV_BY_NOTHING);
  st = need_engine(w, seconds > 0 ? start + seconds : 0, err);
  if (st == QV_E_LIMIT && seconds > 0 && cli_now() >= start + seconds) {
    a->reason = "time limit";
    *err = (qv_err){0};
    st = QV_OK;
    goto done;
  }
  QV_TRY(st);
  for (uint32_t i = 0; i < net->n_in; i++) points[i] = p->in[i].point;
  if (p->n_points == 0) QV_TRY(boxes(&box, p, net, &arena, err));
  const qv_robust_query q = {.box = box, .point = centre, .n_points = p->n_points, .points = p->n_points > 0 ? points : NULL, .cond = &p->cond};
  leaf_question leaf = {net, p};
  qv_robust_opts o = engine_opts(&w->s->opts, seconds > 0 ? fmax(1e-3, start + seconds - cli_now()) : 0);
  if (w->s->opts.ask_leaves && p->n_points == 0) {
    o.solver = ask_leaf;
    o.solver_ctx = &leaf;
    o.solver_name = "z3";
  }
  QV_TRY(qv_robust_run(&res, w->rob, &q, &o, err));
  a->verdict = res.verdict;
  a->engine = qv_robust_engine_name(res.engine);
  a->reason = res.reason;
  a->nodes = res.nodes;
  a->margin = isfinite(res.margin) ? res.margin : NAN;
  double lost = res.loss.input + res.loss.noise + res.loss.kink;
  a->rounding = res.verdict == QV_UNKNOWN && lost > 0 ? res.loss.noise / lost : NAN;
  a->kinks = res.verdict == QV_UNKNOWN && lost > 0 ? res.loss.kink / lost : NAN;
  if (res.verdict == QV_FALSIFIED) QV_TRY(copy_input(a, net, res.input, err));
  a->trusted = res.trusted;
  if (res.trusted > 0)
    a->reason = qv_arena_printf(&a->arena, "trusted: proved but for %" PRIu32 " %s on z3's word alone", res.trusted,
                               res.trusted == 1 ? "leaf of the split tree, which rests" : "leaves of the split tree, which rest");
  if (res.verdict != QV_UNKNOWN || res.trusted > 0) QV_TRY(qv_robust_certificate(cert, w->rob, &q, &res, w->s->net_sha256, a->property_sha256, err));
done:
  qv_robust_clear(&res);
  qv_arena_clear(&arena);
  return st;
}

/* ---- one question ------------------------------------------------------------------------------------------------------------------- */

/* Everything that the answer depends on. */
static void make_key(char key[QV_SHA256_HEX], const rb_session *s, const char *property_sha256) {
  char b[512];
  int n = snprintf(b, sizeof b, "qverify %s %s %s engine %d timeout %.17g steps %" PRIu32 " seed %" PRIu64 " check %d cross %d leaves %d", qverify_version(),
                   s->net_sha256, property_sha256, (int)s->opts.engine, s->opts.timeout, s->opts.steps, s->opts.seed, !s->opts.no_check, s->opts.cross_check, s->opts.ask_leaves);
  qv_sha256_hex(key, b, n > 0 ? (size_t)n : 0);
}

/* Everything but the checker. out->verdict VERIFIED: with a certificate in p that is still to be checked, if anything is. */
static qv_status search(rb_answer *out, struct rb_pending *p, rb_worker *w, const qv_property *prop, const int64_t *const *centre, const char *name,
                        qv_err *err) {
  qv_status st;
  const rb_session *s = w->s;
  uint32_t cls = out->cls;
  p->start = cli_now();
  p->limit = time_left(&s->opts, p->start);
  QV_TRY(qv_property_write(&p->property, prop, err));
  qv_sha256_hex(out->property_sha256, p->property.p, p->property.n);
  make_key(p->key, s, out->property_sha256);
  if (s->journal != NULL) QV_TRY(rb_journal_find(&out->resumed, out, &p->cert, s->journal, p->key, s->net, err));
  if (!out->resumed)
    QV_TRY(s->opts.engine >= RB_SMT ? solver_only(out, w, prop, p->limit, err) : fresh(out, &p->cert, w, prop, centre, p->start, p->limit, err));
  out->cls = cls;
  if (out->verdict == QV_FALSIFIED) {
    bool good;
    QV_TRY(replay(&good, out, prop, s->net, err));
    if (!good) {
      st = out->resumed ? QV_FAIL(err, QV_E_PARSE, "%s: the counterexample of question %s is none: the file was changed", s->opts.journal, name)
                        : QV_FAIL(err, QV_E_INTERNAL, "the counterexample of question %s does not replay", name);
      goto done;
    }
  }
  if (out->verdict == QV_VERIFIED && p->cert.n == 0 && !s->opts.no_check) {
    out->verdict = QV_UNKNOWN;
    out->reason = "proved, but not independently checked";
  }
  if (p->cert.n > 0) qv_sha256_hex(out->cert_sha256, p->cert.p, p->cert.n);
  double used = cli_now() - p->start;
  if (!out->resumed) out->seconds = used;
  p->left = p->limit <= 0 ? 0 : fmax(0.05, 1.25 * p->limit - used);
done:
  if (st != QV_OK) out->verdict = QV_UNKNOWN;
  return st;
}

static bool to_be_checked(const rb_answer *a, const rb_session *s) {
  return (a->verdict == QV_VERIFIED || (a->trusted > 0 && !a->resumed)) && !s->opts.no_check;
}

static qv_status record(rb_answer *a, const rb_session *s, const struct rb_pending *p, qv_err *err) {
  return s->journal != NULL && !a->resumed ? rb_journal_add(s->journal, p->key, a, &p->cert, s->net, err) : QV_OK;
}

qv_status rb_solve(rb_answer *out, rb_worker *w, const qv_property *p, const int64_t *const *centre, const char *name, qv_err *err) {
  struct rb_pending t = {.start = 0};
  qv_status st;
  QV_TRY(search(out, &t, w, p, centre, name, err));
  if (to_be_checked(out, w->s)) {
    out->verdict = QV_UNKNOWN; /* until accepted */
    QV_TRY(check(out, w->s, &t, err));
  }
  if (w->s->opts.cross_check && !out->resumed) QV_TRY(second_opinion(out, w, p, &t.property, name, err));
  if (out->verdict != QV_UNKNOWN || out->trusted > 0) QV_TRY(keep_files(out, w->s, &t.property, &t.cert, name, err));
  QV_TRY(record(out, w->s, &t, err));
done:
  if (st != QV_OK) out->verdict = QV_UNKNOWN;
  pending_clear(&t);
  return st;
}

qv_status rb_search(rb_answer *out, rb_worker *w, const qv_property *p, const int64_t *const *centre, const char *name, qv_err *err) {
  /* a second engine needs the first one's answer; what rests on a solver's word is no proof that could wait with others */
  if (w->s->opts.cross_check || w->s->opts.ask_leaves) return rb_solve(out, w, p, centre, name, err);
  qv_status st;
  struct rb_pending *t = QV_NEW(&out->arena, 1, struct rb_pending);
  if (t == NULL || (t->name = qv_arena_str(&out->arena, name, strlen(name))) == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  out->pending = t; /* rb_answer_clear frees its buffers */
  QV_TRY(search(out, t, w, p, centre, name, err));
  QV_TRY(record(out, w->s, t, err));
  if (to_be_checked(out, w->s)) {
    out->verdict = QV_UNKNOWN; /* until accepted */
    return QV_OK;
  }
  if (out->verdict != QV_UNKNOWN) QV_TRY(keep_files(out, w->s, &t->property, &t->cert, name, err));
done:
  if (st != QV_OK) out->verdict = QV_UNKNOWN;
  pending_clear(t);
  out->pending = NULL;
  return st;
}

qv_status rb_confirm(const rb_session *s, rb_answer *const *a, size_t n, qv_err *err) {
  double left = INFINITY, begin = cli_now();
  qv_buf text = {0};
  int code = -1;
  qv_err quiet = {0};
  bool all = false;
  struct rb_pending **p = calloc(n + 1, sizeof(struct rb_pending *));
  if (p == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  for (size_t i = 0; i < n; i++) {
    p[i] = a[i]->pending;
    if (p[i]->left > 0) left = fmin(left, p[i]->left);
  }
  if (n > 1) all = run_checker(&code, &text, s, p, n, isfinite(left) ? left : 0, &quiet) == QV_OK && all_accepted(&text, code, n);
  double each = n > 1 ? (cli_now() - begin) / (double)n : 0;
  qv_status st = QV_OK;
  for (size_t i = 0; st == QV_OK && i < n; i++) {
    a[i]->check_seconds += each;
    if (all) {
      a[i]->checked = true;
      a[i]->verdict = QV_VERIFIED;
    } else st = check(a[i], s, p[i], err);
    if (st == QV_OK && a[i]->verdict != QV_UNKNOWN) st = keep_files(a[i], s, &p[i]->property, &p[i]->cert, p[i]->name, err);
    if (st != QV_OK) a[i]->verdict = QV_UNKNOWN;
    pending_clear(p[i]);
    a[i]->pending = NULL;
  }
  qv_buf_free(&text);
  free(p);
  return st;
}

const char *rb_advice(const rb_answer *a) {
  if (a->reason == NULL) return "";
  if (strstr(a->reason, "time") != NULL) return "try a longer --timeout";
  if (strstr(a->reason, "node limit") != NULL) return "try more --steps";
  if (a->rounding > 0.5) return "most is lost to rounding: try --engine smt for a counterexample, or a mask";
  if (a->kinks > 0.5) return "most is lost at clamps: try more --steps or a longer --timeout";
  return "";
}

/* ---- options -------------------------------------------------------------------------------------------------------------------------- */

int rb_options(rb_opts *o, const cli_cmd *cmd, const cli_val *val) {
  static const char *const name[] = {"all", "interval", "attack", "enumerate", "linear", "bnb", "smt", "bv", "milp", "cvc5", "boolector"};
  enum { N = sizeof name / sizeof name[0] };
  const char *e = cli_get(cmd, val, "engine"), *t = cli_get(cmd, val, "timeout");
  int64_t steps, seed;
  if (!cli_get_int(&steps, cmd, val, "steps", 1, UINT32_MAX, 0) || !cli_get_int(&seed, cmd, val, "seed", 0, INT64_MAX, 1)) return QV_EXIT_USAGE;
  *o = (rb_opts){.timeout = steps > 0 ? 0 : 60, .steps = (uint32_t)steps, .seed = (uint64_t)seed, .cert_dir = cli_get(cmd, val, "certificate"),
                 .no_check = cli_get(cmd, val, "no-check") != NULL, .cross_check = cli_get(cmd, val, "cross-check") != NULL,
                 .ask_leaves = cli_get(cmd, val, "leaves") != NULL};
  if (o->ask_leaves && strcmp(cli_get(cmd, val, "leaves"), "smt") != 0) return cli_usage(cmd, "--leaves takes smt, not '%.40s'", cli_get(cmd, val, "leaves"));
  if (t != NULL) {
    char *end;
    o->timeout = strtod(t, &end);
    if (t[0] < '0' || t[0] > '9' || *end != 0 || !(o->timeout <= 1e7)) return cli_usage(cmd, "--timeout takes seconds, 0 for none, not '%s'", t);
  }
  if (e == NULL) return 0;
  for (size_t i = 0; i < N; i++)
    if (strcmp(e, name[i]) == 0) {
      o->engine = (rb_engine)i;
      return 0;
    }
  const char *near = cli_nearest(e, name, N);
  return near != NULL ? cli_usage(cmd, "unknown engine '%.40s'; did you mean '%s'?", e, near)
                      : cli_usage(cmd, "unknown engine '%.40s': all, interval, attack, enumerate, linear, bnb, smt, bv, milp, cvc5, boolector", e);
}
