/* Robustness questions from the command line: samples, what may happen to them, and what must not come out. Shared by
 * `qverify robust`, `radius` and, from the solver down, `verify`. */
#ifndef QV_CLI_ROBUST_H
#define QV_CLI_ROBUST_H

#include <gmp.h>

#include "analysis/robust.h"
#include "cli/checker.h"
#include "cli/cli.h"
#include "frontend/query.h"

/* ---- the question (cli/rbspec.c) ------------------------------------------------------------------------------------------ */

typedef enum { RB_STEPS, RB_REAL, RB_BRIGHTNESS, RB_CONTRAST, RB_PROPERTY } rb_family;

typedef struct {
  size_t sample;    /* number in the input files */
  int64_t py, px;   /* top left corner of the patch, -1 = none */
} rb_case;

typedef struct {
  const qv_net *net;
  size_t n;                       /* samples in the files */
  void *raw[QV_MAX_INPUTS];       /* n samples each, in the tensor's storage type */
  float *real[QV_MAX_INPUTS];     /* n * elements, or NULL: given as integers */
  int64_t *label;                 /* [n] or NULL: the class is the net's own */
  uint32_t h, w, c;               /* input 0 as a picture; h = 0: it is none */
  bool chw;                       /* channels first */

  rb_family family;
  const char *size;               /* as given: eps, brightness, contrast; NULL: a property file */
  int64_t steps;                  /* STEPS, BRIGHTNESS */
  mpq_t real_eps;                 /* REAL, CONTRAST */
  int64_t pivot;                  /* CONTRAST */
  int64_t *mask[QV_MAX_INPUTS];   /* [elements] or NULL */
  bool patch, patch_all;
  uint32_t ph, pw;
  int64_t py, px;
  qv_buf property;                /* PROPERTY: its text */

  uint32_t out;                   /* output that the class is read from */
  bool last;                      /* ties: the last largest element counts */
  uint32_t top;                   /* stays among the `top` largest; 1 = keeps the class */
  bool has_margin;
  int64_t margin;
  bool given;                     /* --condition */
  qv_condition cond;
  const char *what;               /* kind of condition, for the report (static) */
  qv_arena arena;

  uint32_t part, parts;           /* only part `part` (from 1) of each box; parts 0 = all of it */

  rb_case *item;                  /* [n_items] in the order of the report */
  size_t n_items;
  const char *failed;             /* file a failure is about, or NULL */
} rb_job;

typedef struct {
  qv_verdict verdict;
  const char *engine;      /* static, or in the arena */
  const char *reason;      /* UNKNOWN: why */
  uint32_t cls;            /* kept class, or QV_NONE */
  uint32_t violated;       /* FALSIFIED: target */
  uint32_t got;            /* FALSIFIED and a class kept: the class it became */
  uint32_t nodes;
  double margin, rounding, kinks; /* UNKNOWN: bound reached; shares of it, or NAN */
  double seconds;          /* of the search */
  double check_seconds;    /* of the independent checker, in this run */
  bool checked;            /* VERIFIED: by qverify-check, in this run */
  uint32_t trusted;        /* UNKNOWN: proved but for so many leaves that rest on a solver's word */
  const char *second;      /* what the second engine of --cross-check says (static), or NULL */
  bool resumed;            /* the search was done by an earlier run */
  int64_t **input;         /* FALSIFIED: [net->n_in][elements] */
  float **real;            /* FALSIFIED with real distances: binary32 inputs at float ends, else NULL */
  char cert_sha256[QV_SHA256_HEX], property_sha256[QV_SHA256_HEX];
  const char *cert_path;   /* file that was kept, or NULL */
  struct rb_pending *pending; /* a proof that rb_confirm has to have accepted first, or NULL */
  qv_arena arena;
} rb_answer;

/* Options of every command that asks about samples. */
#define RB_SAMPLE_OPTS                                                                                                                      \
  {"input", 'i', "FILE", true, "samples for one model input, once per input, as for 'qverify run'"},                                        \
  {"index", 0, "LIST", false, "which samples, from 0: ranges A:B with both ends and numbers, e.g. 0:9,15; default all"},                    \
  {"label", 0, "L", false, "right class of every sample; default: the class that the net gives it"},                                       \
  {"labels", 'l', "FILE", false, "right classes of all samples in the files, one number a line (or .npy, .npz, IDX)"},                      \
  {"mask", 'm', "FILE", true, "element-wise factors of the distance, 0 = fixed, once per model input (without --eps: the distances)"},      \
  {"patch", 0, "HxW[@Y,X]", false, "only a patch of the picture changes: at row Y, column X, or, one question each, everywhere"},           \
  {"output", 0, "N", false, "number of the output that holds the classes (default 0)"},                                                    \
  {"ties", 0, "first|last", false, "which of several largest elements is the class (default first)"},                                      \
  {"top", 0, "K", false, "the class has to stay among the K largest (default 1)"},                                                         \
  {"margin", 0, "M", false, "the class has to stay M integer steps above every other"},                                                    \
  {"condition", 0, "FILE", false, "what has to hold: lines 'keep ..' or 'violations ..' of docs/property.md"},                              \
  {"profile", 'p', "NAME", false, "runtime whose arithmetic is meant (see 'qverify profiles')"}

/* Read options and files. Returns 0, or the exit code after its message. *j zeroed before; rb_free in every case.
 * radius: no --eps and the like is read. */
int rb_read(rb_job *j, const cli_cmd *cmd, const cli_val *val, const qv_net *net, bool radius, qv_err *err);
void rb_free(rb_job *j);

/* Integers of one sample: x[net->n_in][elements] in the arena. NULL when memory is short. */
const int64_t *const *rb_sample(const rb_job *j, size_t sample, qv_arena *a);

/* The property of one case, and the class that is kept (QV_NONE: a condition without one). Errors: QV_E_ARG "vacuous ..". */
QV_NODISCARD qv_status rb_property(qv_property *p, uint32_t *cls, const rb_job *j, const rb_case *c, qv_err *err);
/* Binary32 values for the float ends of a counterexample, within the real distance if that was what was asked. False: some integer has
 * none, so that no real input is a counterexample. Nothing to do without float ends. */
QV_NODISCARD qv_status rb_realize(bool *real, rb_answer *a, const rb_job *j, const rb_case *c, qv_err *err);
/* Name of a case for files and ids: "12" or "12-patch-3-4". Lives in the arena. */
const char *rb_name(qv_arena *a, const rb_job *j, const rb_case *c);
/* The same of the whole question, where only a part of its box is asked. */
const char *rb_case_name(qv_arena *a, const rb_job *j, const rb_case *c);

/* ---- answers (cli/rbsolve.c) ----------------------------------------------------------------------------------------------- */

typedef enum { RB_ALL, RB_INTERVAL, RB_ATTACK, RB_ENUMERATE, RB_LINEAR, RB_BNB, RB_SMT, RB_SMT_BV, RB_MILP, RB_CVC5, RB_BOOLECTOR } rb_engine;

typedef struct {
  rb_engine engine;
  double timeout;       /* seconds a question, 0 = none */
  double deadline;      /* of all questions together, on the clock of cli_now; 0 = none */
  unsigned inner;       /* threads that one question may use, 0 = 1 */
  uint32_t steps;       /* nodes of branch and bound, 0 = default */
  uint64_t seed;
  bool no_check, cross_check;
  bool ask_leaves;      /* --leaves smt: Z3 about leaves of the split tree that stay open */
  const char *cert_dir; /* or NULL */
  const char *journal;  /* or NULL */
  bool lazy_journal;    /* do not wait until its lines are on the disk */
} rb_opts;

/* What all questions about one net share; any thread may read it. */
typedef struct rb_session rb_session;
/* One per thread. */
typedef struct rb_worker rb_worker;

QV_NODISCARD qv_status rb_session_open(rb_session **out, const qv_net *net, const rb_opts *o, qv_err *err);
void rb_session_close(rb_session *s);
QV_NODISCARD qv_status rb_worker_open(rb_worker **out, rb_session *s, qv_err *err);
void rb_worker_close(rb_worker *w);

/* Decide one property, check the evidence. name: for the files of --certificate. centre: an input of the set to try first, or NULL.
 * VERIFIED only with a certificate that the independent checker accepted (no_check: said aloud); FALSIFIED only with an input that was
 * replayed here. Errors: QV_E_INTERNAL (evidence not accepted), QV_E_PARSE (journal), ... *out: rb_answer_clear in every case. */
QV_NODISCARD qv_status rb_solve(rb_answer *out, rb_worker *w, const qv_property *p, const int64_t *const *centre, const char *name, qv_err *err);
/* The same, but a proof may be left to rb_confirm: until then out->pending is set and the verdict UNKNOWN. It is in the journal already,
 * as a claim that a later run would have checked. */
QV_NODISCARD qv_status rb_search(rb_answer *out, rb_worker *w, const qv_property *p, const int64_t *const *centre, const char *name, qv_err *err);
/* Have the independent checker read n pending proofs in one run; if it does not accept them all, each in a run of its own. Any thread.
 * Errors: those of rb_solve; answers behind the failing one may stay pending. */
QV_NODISCARD qv_status rb_confirm(const rb_session *s, rb_answer *const *a, size_t n, qv_err *err);
void rb_answer_clear(rb_answer *a);

/* Outputs of the net on one input by the reference kernels: o[net->n_out][elements] in the arena. False: it cannot be executed (a trap). */
QV_NODISCARD qv_status rb_execute(int64_t ***o, qv_arena *a, const qv_net *net, const int64_t *const *x, bool *ran, qv_err *err);

/* What might help: one sentence, static. */
const char *rb_advice(const rb_answer *a);

/* Parse --engine, --timeout, --steps, --seed, --certificate, --no-check, --resume. 0 or the exit code of a usage error. */
int rb_options(rb_opts *o, const cli_cmd *cmd, const cli_val *val);
#define RB_SOLVE_OPTS                                                                                                                       \
  {"timeout", 'T', "S", false, "seconds a question (default 60; 0 = none; none with --steps)"},                                            \
  {"steps", 0, "N", false, "nodes of branch and bound a question: the result does not depend on the clock"},                               \
  {"seed", 0, "N", false, "seed of the search for counterexamples (default 1)"},                                                           \
  {"engine", 0, "NAME", false, "one engine alone (what is trivial is said by any): interval, attack, enumerate, linear, bnb; smt, bv, milp, cvc5, boolector (solvers: what they prove stays "          \
   "UNKNOWN); default: the first five in order"},                 \
  {"threads", 't', "N", false, "questions at a time, 0 = one per core (default); verdicts do not depend on it"},                           \
  {"certificate", 'C', "DIR", false, "keep net, properties and certificates in DIR"},                                                      \
  {"leaves", 0, "smt", false, "ask Z3 about parts of a proof that stay open; its word is no proof: the answer stays UNKNOWN and counts them"},  \
  {"cross-check", 0, NULL, false, "ask Z3 the same; opposite answers end the run with exit code 6 and a saved reproducer"},                \
  {"no-check", 0, NULL, false, "do not run the independent checker; the verdict lines say so"}

/* ---- journal (cli/rbjournal.c) ------------------------------------------------------------------------------------------------ */

typedef struct rb_journal rb_journal;

/* Open or make FILE. A torn last line is cut off. lazy: lines survive the end of this program, however it ends, but not that of the machine.
 * Errors: QV_E_PARSE if it is no journal, damaged, or about another net. */
QV_NODISCARD qv_status rb_journal_open(rb_journal **out, const char *path, bool lazy, const char *net_sha256, qv_err *err);
void rb_journal_close(rb_journal *j);
/* Fill in what an earlier run found under this key; *found false if nothing. VERIFIED and FALSIFIED are claims to be checked again. */
QV_NODISCARD qv_status rb_journal_find(bool *found, rb_answer *a, qv_buf *cert, rb_journal *j, const char *key, const qv_net *net, qv_err *err);
/* Add an answer, and its certificate: on disk when this returns. Any thread. */
QV_NODISCARD qv_status rb_journal_add(rb_journal *j, const char *key, const rb_answer *a, const qv_buf *cert, const qv_net *net, qv_err *err);

/* ---- many questions (cli/rbpool.c) ------------------------------------------------------------------------------------------------ */

/* Ask all n questions on `threads` threads (0 = cores); proofs that `ask` leaves pending are checked several at a time. make(ctx, i, ..) runs on the worker; done(ctx, i, answer) in order of i, on the
 * calling thread, as soon as the answer and all before it are there; the answer is cleared afterwards. Stops at the first error. */
typedef struct {
  qv_status (*ask)(void *ctx, size_t i, rb_worker *w, rb_answer *a, qv_err *err);
  qv_status (*done)(void *ctx, size_t i, rb_answer *a, qv_err *err);
  void *ctx;
  const bool *stop; /* or NULL: set by `done` to ask no more; the rest is not handed on */
} rb_jobs;
QV_NODISCARD qv_status rb_pool_run(rb_session *s, size_t n, unsigned threads, const rb_jobs *jobs, qv_err *err);

/* ---- results (cli/rbout.c) -------------------------------------------------------------------------------------------------------- */

/* DIR/NAME_inputI.npy and, for pictures, NAME_original.png, NAME_adversarial.png, NAME_difference.png. */
QV_NODISCARD qv_status rb_witness_files(const char *dir, const char *name, const rb_job *j, const rb_case *c, const rb_answer *a, qv_err *err);

#endif
