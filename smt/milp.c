#include "smt/milp.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <glpk.h>

#include "smt/encode.h"

#define EXACT ((qv_i128)1 << 53)
#define EASY ((qv_i128)1 << 31) /* beyond it tolerances bite: stairs, where there are few */
#define STAIRS 1024             /* a floor of numbers too large for doubles may have so many values */

/* ---- writing ---------------------------------------------------------------------------------------------------------- */

typedef struct {
  qv_buf *rows, bounds, general, binary;
  const qv_defs *d;
  bool inexact;
} writer;

static void num(writer *w, qv_buf *o, qv_i128 v) {
  w->inexact = w->inexact || v > EXACT || v < -EXACT;
  qv_buf_i128(o, v);
}

static void name(const writer *w, qv_buf *o, uint32_t def) {
  const qv_def *f = &w->d->def[def];
  if (f->op == QV_DEF_INPUT) qv_buf_printf(o, "i%u_%u", f->u.input.port, f->u.input.el);
  else qv_buf_printf(o, "v%u", def);
}

/* " +- c name" */
static void coef(writer *w, qv_i128 c) {
  qv_buf_str(w->rows, c < 0 ? " - " : " + ");
  num(w, w->rows, c < 0 ? -c : c);
  qv_buf_str(w->rows, " ");
}
static void term(writer *w, qv_i128 c, uint32_t def) {
  if (c == 0) return;
  coef(w, c);
  name(w, w->rows, def);
}
/* A variable of the definition's own: letter, number. */
static void own(writer *w, qv_i128 c, char letter, uint32_t def, uint32_t i) {
  if (c == 0) return;
  coef(w, c);
  qv_buf_printf(w->rows, "%c%u_%u", letter, def, i);
}
static void end(writer *w, const char *rel, qv_i128 rhs) {
  qv_buf_str(w->rows, rel);
  num(w, w->rows, rhs);
  qv_buf_str(w->rows, "\n");
}

static void bound(writer *w, uint32_t def) {
  qv_itv r = w->d->def[def].itv;
  qv_buf_str(&w->bounds, " ");
  num(w, &w->bounds, r.lo);
  qv_buf_str(&w->bounds, " <= ");
  name(w, &w->bounds, def);
  qv_buf_str(&w->bounds, " <= ");
  num(w, &w->bounds, r.hi);
  qv_buf_str(&w->bounds, "\n");
}

static void integral(writer *w, uint32_t def) {
  qv_buf_str(&w->general, " ");
  name(w, &w->general, def);
  qv_buf_str(&w->general, "\n");
}

static void choice(writer *w, char letter, uint32_t def, uint32_t i) { qv_buf_printf(&w->binary, " %c%u_%u\n", letter, def, i); }

static void lin(writer *w, uint32_t def) {
  const qv_lin *l = &w->d->def[def].u.lin;
  term(w, 1, def);
  for (uint32_t i = 0; i < l->n; i++) term(w, -(qv_i128)l->t[i].w, l->t[i].def);
  end(w, " = ", l->c);
}

/* Stairs with binaries b_1 >= b_2 >= .., b_k = 1 iff x >= at[k]:
 * l + sum (at[k] - at[k-1]) b_k <= x <= at[1] - 1 + sum (at[k+1] - at[k]) b_k, at[0] = l, at[n+1] = u + 1; y = v_0 + sum of differences. */
static void stairs(writer *w, uint32_t def, uint32_t n, const int64_t *at, const int64_t *v) {
  uint32_t x = w->d->def[def].x;
  qv_itv r = w->d->def[x].all;
  for (uint32_t k = 0; k < n; k++) choice(w, 'b', def, k);
  for (uint32_t k = 0; k + 1 < n; k++) {
    own(w, 1, 'b', def, k);
    own(w, -1, 'b', def, k + 1);
    end(w, " >= ", 0);
  }
  term(w, 1, x);
  for (uint32_t k = 0; k < n; k++) own(w, (k == 0 ? r.lo : at[k - 1]) - (qv_i128)at[k], 'b', def, k);
  end(w, " >= ", r.lo);
  term(w, 1, x);
  for (uint32_t k = 0; k < n; k++) own(w, at[k] - (k + 1 == n ? (qv_i128)r.hi + 1 : at[k + 1]), 'b', def, k);
  end(w, " <= ", (qv_i128)at[0] - 1);
  term(w, 1, def);
  for (uint32_t k = 0; k < n; k++) own(w, (qv_i128)v[k] - v[k + 1], 'b', def, k);
  end(w, " = ", v[0]);
}

/* 0 <= a*x + b - d*y <= d - 1 where doubles hold the numbers with room to spare, else the stairs. */
static qv_status floor_rows(writer *w, uint32_t def, qv_err *err) {
  const qv_def *f = &w->d->def[def];
  qv_itv x = w->d->def[f->x].all;
  qv_i128 p = f->u.floor.a * x.lo, q = f->u.floor.a * x.hi;
  qv_i128 most = f->all.hi - f->all.lo < STAIRS ? EASY : EXACT;
  bool small = f->u.floor.jump == 0 && f->u.floor.d < most && p < most && p > -most && q < most && q > -most && f->u.floor.b < most &&
               f->u.floor.b > -most;
  if (small) {
    for (int side = 0; side < 2; side++) {
      term(w, f->u.floor.a, f->x);
      term(w, -f->u.floor.d, def);
      end(w, side == 0 ? " >= " : " <= ", side == 0 ? -f->u.floor.b : f->u.floor.d - 1 - f->u.floor.b);
    }
    integral(w, def);
    return QV_OK;
  }

  int64_t at[STAIRS], v[STAIRS + 1];
  uint32_t n = 0;
  if (f->all.hi - f->all.lo >= STAIRS) return QV_FAIL(err, QV_E_UNSUP, "milp: a requantization with numbers too large for doubles");
  v[0] = qv_def_floor(f, x.lo);
  for (int64_t from = x.lo; v[n] != qv_def_floor(f, x.hi);) { /* monotone: bisect for the next change */
    int64_t lo = from, hi = x.hi;
    while (hi - lo > 1) {
      int64_t mid = lo + (hi - lo) / 2;
      if (qv_def_floor(f, mid) == v[n]) lo = mid;
      else hi = mid;
    }
    from = at[n] = hi;
    v[++n] = qv_def_floor(f, hi);
  }
  stairs(w, def, n, at, v);
  return QV_OK;
}

/* y = x + p - q, p = max(0, lo - x), q = max(0, x - hi), each with a binary that says whether it may be positive. */
static void clamp(writer *w, uint32_t def) {
  const qv_def *f = &w->d->def[def];
  qv_itv x = w->d->def[f->x].all;
  int64_t lo = f->u.clamp.lo, hi = f->u.clamp.hi;
  bool low = x.lo<lo, high = x.hi> hi;
  term(w, 1, def);
  term(w, -1, f->x);
  if (low) own(w, -1, 'p', def, 0);
  if (high) own(w, 1, 'q', def, 0);
  end(w, " = ", 0);
  if (low) {
    choice(w, 'b', def, 0);
    own(w, 1, 'p', def, 0), term(w, 1, f->x), end(w, " >= ", lo);
    own(w, 1, 'p', def, 0), own(w, -((qv_i128)lo - x.lo), 'b', def, 0), end(w, " <= ", 0);
    own(w, 1, 'p', def, 0), term(w, 1, f->x), own(w, (qv_i128)x.hi - lo, 'b', def, 0), end(w, " <= ", x.hi);
  }
  if (high) {
    choice(w, 'b', def, 1);
    own(w, 1, 'q', def, 0), term(w, -1, f->x), end(w, " >= ", -(qv_i128)hi);
    own(w, 1, 'q', def, 0), own(w, -((qv_i128)x.hi - hi), 'b', def, 1), end(w, " <= ", 0);
    own(w, 1, 'q', def, 0), term(w, -1, f->x), own(w, (qv_i128)hi - x.lo, 'b', def, 1), end(w, " <= ", -(qv_i128)x.lo);
  }
}

static void wrap(writer *w, uint32_t def) {
  const qv_def *f = &w->d->def[def];
  qv_itv x = w->d->def[f->x].all;
  qv_i128 half = (qv_i128)1 << (f->u.bits - 1);
  term(w, 1, f->x);
  term(w, -1, def);
  own(w, -2 * half, 'k', def, 0);
  end(w, " = ", 0);
  qv_buf_str(&w->bounds, " ");
  num(w, &w->bounds, qv_floor_shift(x.lo + half, f->u.bits));
  qv_buf_printf(&w->bounds, " <= k%u_0 <= ", def);
  num(w, &w->bounds, qv_floor_shift(x.hi + half, f->u.bits));
  qv_buf_str(&w->bounds, "\n");
  qv_buf_printf(&w->general, " k%u_0\n", def);
  integral(w, def);
}

static void max(writer *w, uint32_t def) {
  const qv_def *f = &w->d->def[def];
  qv_itv x = w->d->def[f->x].all, y = w->d->def[f->y].all;
  choice(w, 'b', def, 0); /* 1: y is the maximum */
  term(w, 1, def), term(w, -1, f->x), end(w, " >= ", 0);
  term(w, 1, def), term(w, -1, f->y), end(w, " >= ", 0);
  term(w, 1, def), term(w, -1, f->x), own(w, -((qv_i128)y.hi - x.lo), 'b', def, 0), end(w, " <= ", 0);
  term(w, 1, def), term(w, -1, f->y), own(w, (qv_i128)x.hi - y.lo, 'b', def, 0), end(w, " <= ", (qv_i128)x.hi - y.lo);
}

/* y = lo + sum 2^i b_i; p_i = b_i * x by its four inequalities; x * y = lo * x + sum 2^i p_i */
static void mul(writer *w, uint32_t def) {
  const qv_def *f = &w->d->def[def];
  qv_itv x = w->d->def[f->x].all, y = w->d->def[f->y].all;
  uint32_t bits = (uint32_t)qv_i128_bits(0, (qv_i128)y.hi - y.lo) - 1;
  for (uint32_t i = 0; i < bits; i++) {
    choice(w, 'b', def, i);
    qv_buf_printf(&w->bounds, " p%u_%u free\n", def, i);
    own(w, 1, 'p', def, i), own(w, -(qv_i128)x.lo, 'b', def, i), end(w, " >= ", 0);
    own(w, 1, 'p', def, i), own(w, -(qv_i128)x.hi, 'b', def, i), end(w, " <= ", 0);
    own(w, 1, 'p', def, i), term(w, -1, f->x), own(w, -(qv_i128)x.hi, 'b', def, i), end(w, " >= ", -(qv_i128)x.hi);
    own(w, 1, 'p', def, i), term(w, -1, f->x), own(w, -(qv_i128)x.lo, 'b', def, i), end(w, " <= ", -(qv_i128)x.lo);
  }
  term(w, 1, f->y);
  for (uint32_t i = 0; i < bits; i++) own(w, -((qv_i128)1 << i), 'b', def, i);
  end(w, " = ", y.lo);
  term(w, 1, def);
  term(w, -(qv_i128)y.lo, f->x);
  for (uint32_t i = 0; i < bits; i++) own(w, -((qv_i128)1 << i), 'p', def, i);
  end(w, " = ", 0);
}

static void goal(writer *w) {
  const qv_defs *d = w->d;
  for (uint32_t i = 0; i < d->n_case; i++) {
    choice(w, 'g', i, 0);
    own(w, 1, 'g', i, 0);
  }
  if (d->n_case == 0) qv_buf_str(w->rows, " none"); /* a variable that is 0 */
  end(w, " >= ", 1);
  for (uint32_t i = 0; i < d->n_case; i++)
    for (uint32_t k = 0; k < d->gcase[i].n; k++) {
      const qv_goal_ineq *q = &d->gcase[i].ineq[k];
      for (uint32_t t = 0; t < q->lin.n; t++) term(w, q->lin.t[t].w, q->lin.t[t].def);
      own(w, q->lo, 'g', i, 0);
      end(w, " >= ", q->lo - q->lin.c);
    }
}

qv_status qv_milp_write(qv_buf *out, const qv_defs *d, qv_err *err) {
  writer w = {.rows = out, .d = d};
  qv_status st = QV_OK;
  qv_buf_str(out,
             "\\ Is there an input of the box whose output violates the condition? feasible = yes.\nMinimize\n obj: none\nSubject To\n");
  for (uint32_t i = 0; i < d->n; i++) {
    const qv_def *f = &d->def[i];
    if (!f->live) continue;
    if (i % 64 == 0) QV_TRY(qv_defs_in_time(d, err));
    bound(&w, i);
    switch (f->op) {
    case QV_DEF_INPUT: integral(&w, i); break;
    case QV_DEF_LIN: lin(&w, i); break;
    case QV_DEF_FLOOR: QV_TRY(floor_rows(&w, i, err)); break;
    case QV_DEF_CLAMP: clamp(&w, i); break;
    case QV_DEF_WRAP: wrap(&w, i); break;
    case QV_DEF_PIECES: stairs(&w, i, f->u.pieces.n, f->u.pieces.at, f->u.pieces.v); break;
    case QV_DEF_MAX: max(&w, i); break;
    case QV_DEF_MUL: mul(&w, i); break;
    }
  }
  goal(&w);
  qv_buf_str(out, "Bounds\n none = 0\n");
  qv_buf_put(out, w.bounds.p, w.bounds.n);
  qv_buf_str(out, "Generals\n");
  qv_buf_put(out, w.general.p, w.general.n);
  qv_buf_str(out, "Binaries\n");
  qv_buf_put(out, w.binary.p, w.binary.n);
  qv_buf_str(out, "End\n");
  if (out->failed || w.bounds.failed || w.general.failed || w.binary.failed) st = QV_FAIL(err, QV_E_NOMEM, "LP text");
  else if (w.inexact) st = QV_FAIL(err, QV_E_UNSUP, "milp: a number of the encoding is beyond 2^53 and would be rounded by the solver");
done:
  qv_buf_free(&w.bounds);
  qv_buf_free(&w.general);
  qv_buf_free(&w.binary);
  return st;
}

/* ---- solving ---------------------------------------------------------------------------------------------------------- */

#define FUNCTIONS(F)                                                                                                                       \
  F(glp_version)                                                                                                                           \
  F(glp_term_hook) F(glp_error_hook) F(glp_create_prob) F(glp_read_lp) F(glp_init_iocp) F(glp_intopt) F(glp_mip_status) F(glp_get_num_cols)                   \
      F(glp_get_col_name) F(glp_mip_col_val)

/* GLPK ends the process when something is wrong, after it has said why: no memory, an assertion of its own (numerical trouble: it gives
 * up), or a call that it does not understand, which is our mistake. The answer says so instead. */
typedef struct {
  int fd;
  bool memory, own; /* what it has said was about that */
} complaint;

static int listen(void *info, const char *s) {
  complaint *c = info;
  c->memory = c->memory || strstr(s, "memory") != NULL;
  c->own = c->own || strstr(s, "Assertion failed") != NULL;
  return 1; /* nothing is printed */
}

static void give_up(void *info) {
  const complaint *c = info;
  if (!c->memory) qv_job_say(c->fd, c->own ? "unknown\n" : "(error \"a wrong call of GLPK\")\n");
  qv_job_end(c->memory ? QV_JOB_MEMORY : c->own ? 0 : 1);
}

static int job(int fd, void *arg) {
  static const char *const names[] = {"libglpk.so.40", "libglpk.so", NULL};
  const qv_solver_query *q = arg;
  void *lib = qv_library(names);
  if (lib == NULL) return QV_NO_LIBRARY;
#define F(f) QV_FUNCTION(lib, f)
  FUNCTIONS(F)
#undef F
  char s[300];
  int in = memfd_create("query", 0);
  if (in < 0) return 1;
  qv_job_write(in, (const char *)q->text->p, q->text->n);
  (void)snprintf(s, sizeof s, "; GLPK %s\n", p_glp_version());
  qv_job_say(fd, s);
  complaint c = {.fd = fd};
  p_glp_term_hook(listen, &c);
  p_glp_error_hook(give_up, &c);
  glp_prob *p = p_glp_create_prob();
  (void)snprintf(s, sizeof s, "/proc/self/fd/%d", in);
  if (p_glp_read_lp(p, NULL, s) != 0) {
    qv_job_say(fd, "(error \"GLPK does not read the problem\")\n");
    return 1;
  }
  glp_iocp o;
  p_glp_init_iocp(&o);
  o.msg_lev = GLP_MSG_OFF;
  o.presolve = GLP_ON;
  o.tol_int = 1e-9;
  if (q->lim.seconds > 0 && q->lim.seconds < 2e6) o.tm_lim = (int)(q->lim.seconds * 1000);
  int rc = p_glp_intopt(p, &o), status = p_glp_mip_status(p);
  bool none = rc == GLP_ENOPFS || (rc == 0 && status == GLP_NOFEAS), some = status == GLP_OPT || status == GLP_FEAS;
  const char *word = none ? "unsat\n" : some ? "sat\n(" : "unknown\n";
  qv_job_say(fd, word);
  for (int j = 1, n = some && !none ? p_glp_get_num_cols(p) : 0; j <= n; j++) {
    const char *col = p_glp_get_col_name(p, j);
    double v = p_glp_mip_col_val(p, j);
    if (col == NULL || col[0] != 'i' || fabs(v) > 1e15) continue;
    (void)snprintf(s, sizeof s, "(%.200s %.0f)\n", col, v);
    qv_job_say(fd, s);
  }
  if (some && !none) qv_job_say(fd, ")\n");
  return 0;
}

qv_status qv_milp_run(qv_buf *out, qv_child_end *end_, int *code, const qv_buf *text, qv_limits lim, qv_err *err) {
  return qv_solver_run(out, end_, code, job, text, lim, err);
}
