#include "smt/smt.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ref.h"
#include "smt/milp.h"
#include "smt/z3.h"

const char *qv_smt_engine_name(qv_smt_engine e) {
  switch (e) {
  case QV_SMT_Z3: return "z3";
  case QV_SMT_MILP: return "milp";
  case QV_SMT_CVC5: return "cvc5";
  case QV_SMT_BOOLECTOR: return "boolector";
  case QV_SMT_ENGINES: break;
  }
  return "?";
}

qv_status qv_smt_export(qv_buf *out, const qv_net *net, const qv_property *p, qv_smt_encoding e, qv_err *err) {
  qv_defs d = {0};
  qv_status st;
  QV_TRY(qv_defs_build(&d, net, p, NULL, 0, 0, err));
  QV_TRY(qv_smtlib_write(out, &d, e, true, err));
done:
  qv_defs_clear(&d);
  return st;
}

void qv_smt_clear(qv_smt_result *r) { qv_arena_clear(&r->arena); }

/* ---- reading an answer ------------------------------------------------------------------------------------------------- */

typedef struct {
  const char *p, *end;
} reader;

static void blanks(reader *r) {
  while (r->p < r->end && isspace((unsigned char)*r->p)) r->p++;
}

static bool eat(reader *r, const char *s) {
  size_t n = strlen(s);
  if ((size_t)(r->end - r->p) < n || memcmp(r->p, s, n) != 0) return false;
  r->p += n;
  return true;
}

/* The same, as a whole word. */
static bool word(reader *r, const char *s) {
  reader q = *r;
  if (!eat(&q, s) || (q.p < q.end && !isspace((unsigned char)*q.p))) return false;
  *r = q;
  return true;
}

static bool digits(reader *r, int base, qv_i128 *v) {
  const char *from = r->p;
  for (*v = 0; r->p < r->end; r->p++) {
    int c = tolower((unsigned char)*r->p), k = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
    if (k >= base) break;
    if (*v > (qv_i128)1 << 100) return false;
    *v = *v * base + k;
  }
  return r->p > from;
}

/* 5  -5  (- 5)  #b0101  #x05  (_ bv5 8) */
static bool value(reader *r, qv_i128 *v) {
  blanks(r);
  if (eat(r, "#b")) return digits(r, 2, v);
  if (eat(r, "#x")) return digits(r, 16, v);
  if (eat(r, "(_ bv")) return digits(r, 10, v);
  bool neg = eat(r, "(- ") || eat(r, "-");
  if (!digits(r, 10, v)) return false;
  if (neg) *v = -*v;
  return true;
}

/* The inputs named in the answer replace those of `in`, where the definitions have them. */
static void read_values(int64_t **in, const qv_net *net, const qv_defs *d, reader r, bool bv) {
  for (; r.p < r.end; r.p++) {
    qv_i128 port, el, v;
    bool starts = isspace((unsigned char)r.p[-1]) || r.p[-1] == '(';
    reader q = r;
    if (!starts || !eat(&q, "i") || !digits(&q, 10, &port) || !eat(&q, "_") || !digits(&q, 10, &el) || !value(&q, &v)) continue;
    if (port >= net->n_in || el >= (qv_i128)qv_elems(&net->tensor[net->in[port].tensor])) continue;
    for (uint32_t i = 0; bv && i < d->n && d->def[i].op == QV_DEF_INPUT; i++) /* two's complement in the width of the variable */
      if (d->def[i].u.input.port == port && d->def[i].u.input.el == el) v = qv_wrap(v, qv_i128_bits(d->def[i].all.lo, d->def[i].all.hi));
    in[port][el] = qv_sat64(v);
    r.p = q.p - 1;
  }
}

/* First word that is not in a comment line, which may hold the solver's version. */
static qv_smt_answer first_word(reader *r, char solver[64], bool *refused) {
  for (;;) {
    blanks(r);
    if (!eat(r, "; ")) break;
    size_t n = 0;
    while (r->p < r->end && *r->p != '\n') {
      if (n < 63) solver[n++] = *r->p;
      r->p++;
    }
    solver[n] = '\0';
  }
  if (word(r, "sat")) return QV_SMT_SAT;
  if (word(r, "unsat")) return QV_SMT_UNSAT;
  *refused = eat(r, "(error");
  return QV_SMT_UNKNOWN;
}

/* ---- replay ----------------------------------------------------------------------------------------------------------- */

static qv_itv box(const qv_net *net, const qv_property *p, uint32_t i, size_t e) {
  const qv_tensor *t = &net->tensor[net->in[i].tensor];
  const qv_prop_input *in = &p->in[i];
  return in->n == 0 ? (qv_itv){t->lo, t->hi} : in->itv[in->n == 1 ? 0 : e];
}

/* Some input of the box. */
static qv_status corner(qv_smt_result *out, const qv_net *net, const qv_property *p, qv_err *err) {
  if ((out->input = QV_NEW(&out->arena, net->n_in, int64_t *)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "counterexample");
  for (uint32_t i = 0; i < net->n_in; i++) {
    size_t n = qv_elems(&net->tensor[net->in[i].tensor]);
    if ((out->input[i] = QV_NEW(&out->arena, n, int64_t)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "counterexample");
    for (size_t e = 0; e < n; e++) out->input[i][e] = box(net, p, i, e).lo;
  }
  return QV_OK;
}

/* Is out->input inside the box, and does its execution violate the condition? */
static qv_status replay(bool *violates, qv_smt_result *out, const qv_net *net, const qv_property *p, qv_err *err) {
  qv_values vals = {0};
  const int64_t **o = calloc((size_t)net->n_out + 1, sizeof *o);
  qv_status st = o == NULL ? QV_FAIL(err, QV_E_NOMEM, "replay") : QV_OK;
  *violates = false;
  if (st != QV_OK) goto done;
  QV_TRY(qv_values_init(&vals, net, err));
  for (uint32_t i = 0; i < net->n_in; i++)
    for (size_t e = 0, n = qv_elems(&net->tensor[net->in[i].tensor]); e < n; e++) {
      qv_itv r = box(net, p, i, e);
      if (out->input[i][e] < r.lo || out->input[i][e] > r.hi) goto done;
      vals.v[net->in[i].tensor][e] = out->input[i][e];
    }
  QV_TRY(qv_ref_run(net, &vals, err));
  for (uint32_t i = 0; i < net->n_out; i++) o[i] = vals.v[net->out[i].tensor];
  out->violated = qv_condition_violated(&p->cond, net, o);
  *violates = out->violated != QV_NONE;
done:
  free(o);
  qv_values_clear(&vals);
  return st;
}

/* ---- solving ---------------------------------------------------------------------------------------------------------- */

static qv_status ask(qv_buf *answer, qv_child_end *end, int *code, const qv_smt_opts *o, const qv_buf *text, double deadline, qv_err *err) {
  static const char *const cvc5[] = {"cvc5", "--lang=smt2", "-q", NULL}, *const boolector[] = {"boolector", "--smt2", "-m", "-d", NULL};
  qv_limits lim = {deadline > 0 ? deadline - qv_now() : 0, o->bytes};
  if (deadline > 0 && lim.seconds <= 0) {
    *end = QV_CHILD_TIME;
    *code = 0;
    return QV_OK;
  }
  switch (o->engine) {
  case QV_SMT_Z3: return qv_z3_run(answer, end, code, text, lim, err);
  case QV_SMT_MILP: return qv_milp_run(answer, end, code, text, lim, err);
  case QV_SMT_CVC5: return qv_child_program(answer, end, code, cvc5, text, lim, err);
  case QV_SMT_BOOLECTOR: return qv_child_program(answer, end, code, boolector, text, lim, err);
  case QV_SMT_ENGINES: break;
  }
  return QV_FAIL(err, QV_E_ARG, "smt: engine %d", (int)o->engine);
}

/* Libraries in jobs of ours, not programs. */
static bool ours(const qv_smt_opts *o) { return o->engine == QV_SMT_Z3 || o->engine == QV_SMT_MILP; }

/* Exit codes that mean "not there": the loader's of our own jobs, the shell's of programs. */
static bool missing(const qv_smt_opts *o, qv_child_end end, int code) {
  return end == QV_CHILD_DONE && code == (ours(o) ? QV_NO_LIBRARY : 127);
}

#define Z3_MEMORY 101 /* ERR_MEMOUT of its util/error_codes.h: the exit code where Z3 cannot even report it */

static const char *why(qv_child_end end, int code, const qv_buf *answer) {
  const char *text = answer->p != NULL ? (const char *)answer->p : "";
  switch (end) {
  case QV_CHILD_TIME: return "time";
  case QV_CHILD_MEMORY: return "memory";
  case QV_CHILD_DIED: return "the solver died";
  case QV_CHILD_DONE: break;
  }
  return code == Z3_MEMORY || strstr(text, "memory") != NULL || strstr(text, "memout") != NULL ? "memory" : "the solver gave up";
}

/* Make something of the answer. */
static qv_status judge(qv_smt_result *out, const qv_net *net, const qv_property *p, const qv_smt_opts *o, const qv_defs *d,
                       const qv_buf *answer, qv_child_end end, int code, bool bv, qv_err *err) {
  reader r = {(const char *)answer->p, (const char *)answer->p + answer->n};
  bool refused = false, violates;
  qv_smt_answer a = first_word(&r, out->solver, &refused);
  out->reason = why(end, ours(o) ? code : 0, answer);
  if (a == QV_SMT_UNKNOWN && end == QV_CHILD_DONE && refused && strcmp(out->reason, "memory") != 0)
    return QV_FAIL(err, QV_E_INTERNAL, "%s rejects the question: %.200s", out->solver, (const char *)answer->p);
  if (a == QV_SMT_UNKNOWN && end == QV_CHILD_DONE && ours(o) && code != 0 && code != Z3_MEMORY) /* one of its exit() calls */
    return QV_FAIL(err, QV_E_INTERNAL, "%s ended its process, exit code %d, in place of an answer", out->solver, code);
  if (a == QV_SMT_UNKNOWN || (a == QV_SMT_UNSAT && end != QV_CHILD_DONE)) return QV_OK;
  if (a == QV_SMT_UNSAT) {
    out->answer = a;
    out->reason = NULL;
    return QV_OK;
  }
  qv_status st = corner(out, net, p, err);
  if (st != QV_OK) return st;
  read_values(out->input, net, d, r, bv);
  if ((st = replay(&violates, out, net, p, err)) != QV_OK) return st;
  if (violates) {
    out->answer = a;
    out->reason = NULL;
    return QV_OK;
  }
  out->input = NULL;
  if (end != QV_CHILD_DONE) return QV_OK; /* cut off while it was writing the input */
  out->reason = o->engine == QV_SMT_MILP ? "the solver's input does not replay: rounding"
                                         : "the solver's input does not replay: the tail's order alone does not decide";
  if (o->engine == QV_SMT_MILP || d->relaxed) return QV_OK;
  return QV_FAIL(err, QV_E_INTERNAL, "the input that %s gives does not violate the condition when it is executed", out->solver);
}

qv_status qv_smt_solve(qv_smt_result *out, const qv_net *net, const qv_property *p, const qv_smt_opts *o, qv_err *err) {
  double start = qv_now(), deadline = o->seconds > 0 ? start + o->seconds : 0;
  qv_defs d = {0};
  qv_buf text = {0}, answer = {0};
  qv_child_end end = QV_CHILD_DONE;
  int code = 0;
  bool bv = o->engine == QV_SMT_BOOLECTOR || (o->engine != QV_SMT_MILP && o->encoding == QV_SMT_BV);
  qv_status st;
  *out = (qv_smt_result){0};
  memcpy(out->solver, qv_smt_engine_name(o->engine), strlen(qv_smt_engine_name(o->engine)) + 1);
  QV_TRY(qv_defs_build(&d, net, p, o->cut, o->n_cut, deadline, err));
  if (d.n_case == 0) {
    out->answer = QV_SMT_UNSAT;
    out->by_interval = true;
    goto done;
  }
  if (o->engine == QV_SMT_MILP) QV_TRY(qv_milp_write(&text, &d, err));
  else QV_TRY(qv_smtlib_write(&text, &d, bv ? QV_SMT_BV : QV_SMT_INT, o->engine != QV_SMT_BOOLECTOR, err));
  qv_buf_put(&text, "", 1); /* a string for those who need one */
  if (text.failed) {
    st = QV_FAIL(err, QV_E_NOMEM, "text for a solver");
    goto done;
  }
  out->bytes = --text.n;
  QV_TRY(ask(&answer, &end, &code, o, &text, deadline, err));
  qv_buf_put(&answer, "", 1);
  if (answer.failed) {
    st = QV_FAIL(err, QV_E_NOMEM, "answer of a solver");
    goto done;
  }
  answer.n--;
  if (missing(o, end, code)) {
    st = QV_FAIL(err, QV_E_UNSUP, "the solver %s is not installed", out->solver);
    goto done;
  }
  QV_TRY(judge(out, net, p, o, &d, &answer, end, code, bv, err));
done:
  if (st == QV_E_LIMIT && deadline > 0 && qv_now() >= deadline) { /* an answer, not a failure */
    out->reason = "time";
    st = QV_OK;
    if (err != NULL && err->code == QV_E_LIMIT) *err = (qv_err){0};
  }
  out->seconds = qv_now() - start;
  qv_defs_clear(&d);
  qv_buf_free(&text);
  qv_buf_free(&answer);
  return st;
}
