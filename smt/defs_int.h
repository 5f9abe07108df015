/* Inside of smt/defs*.c: the builder that they share. */
#ifndef QV_SMT_DEFS_INT_H
#define QV_SMT_DEFS_INT_H

#include "smt/defs.h"

#define QV_DEFS_PIECES 65536
#define QV_DEFS_MOST ((qv_i128)1 << 124) /* of all numbers here */

typedef struct {
  uint32_t def;
  qv_i128 w;
} qv_fterm;

/* A linear form under construction; [lo,hi] contains it (terms taken one by one). */
typedef struct {
  qv_i128 c, lo, hi;
  size_t n, cap;
  qv_fterm *t;
} qv_form;

/* One term of a machine sum: w * x + c. */
typedef struct {
  qv_atom x;
  int64_t w, c;
} qv_mterm;

/* `st` keeps the first failure; after one, every function returns quickly and its value means nothing. */
typedef struct {
  qv_defs *d;
  const qv_net *net;
  const qv_property *p;
  qv_err *err;
  qv_status st;
  uint32_t node;
  qv_atom **v;   /* [n_tensors][elements]; NULL: not needed, or the result of a tail */
  bool *needed;  /* [n_tensors] the condition or a cut depends on it, or a trap that has to be excluded */
  qv_form f, f2; /* for one form at a time */
  qv_mterm *m;
  size_t n_m, cap_m;
  int64_t *at, *val; /* pieces being collected */
  size_t n_piece, cap_piece;
  bool empty; /* a cut excludes a constant */
  qv_arena mem;
} qv_builder;

/* ---- defs_ops.c: definitions, or constants where intervals leave one value -------------------------------------------------- */
void qv_defs_fail(qv_builder *b, qv_status st);
qv_atom qv_defs_refuse(qv_builder *b, const char *what); /* QV_E_UNSUP, naming b->node */
void qv_defs_nomem(qv_builder *b);
bool qv_defs_room(qv_builder *b, void **p, size_t *cap, size_t need, size_t size); /* for `need` elements of *p */
qv_atom qv_defs_constant(int64_t c);
qv_itv qv_defs_itv(const qv_builder *b, qv_atom a);
qv_atom qv_defs_define(qv_builder *b, qv_def q);

void qv_form_start(qv_form *f, qv_i128 c);
void qv_form_add(qv_builder *b, qv_form *f, qv_atom x, qv_i128 w);
void qv_form_shift(qv_form *f, qv_i128 c);
qv_lin qv_form_close(qv_builder *b, qv_form *f, qv_i128 *lo, qv_i128 *hi);
qv_atom qv_form_atom(qv_builder *b, qv_form *f);

qv_atom qv_defs_clamp(qv_builder *b, qv_atom x, int64_t lo, int64_t hi);
qv_atom qv_defs_wrap(qv_builder *b, qv_atom x, int bits);
qv_atom qv_defs_max(qv_builder *b, qv_atom x, qv_atom y);
qv_atom qv_defs_mul(qv_builder *b, qv_atom x, qv_atom y);

/* A piecewise constant function of x: b->n_piece = 0, its pieces in ascending order from x's lower end, then the definition. */
void qv_defs_piece(qv_builder *b, int64_t from, int64_t value);
qv_atom qv_defs_pieces(qv_builder *b, qv_atom x);
qv_atom qv_defs_table(qv_builder *b, const qv_table *t, qv_atom x);
qv_atom qv_defs_threshold(qv_builder *b, const qv_pieces *p, qv_atom x);

/* ---- defs_step.c */
qv_atom qv_defs_step(qv_builder *b, const qv_step *s, uint32_t c, qv_atom x);

/* ---- defs_acc.c: b->n_m = 0, the terms in kernel order, then what the machine makes of them, the corrections and the bias */
void qv_defs_term(qv_builder *b, qv_atom x, int64_t w, int64_t c);
qv_atom qv_defs_accumulate(qv_builder *b, const qv_acc *a, int64_t bias, const qv_mterm *fix, size_t n_fix);

#endif
