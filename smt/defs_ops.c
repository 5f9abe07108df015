#include <stdlib.h>
#include <string.h>

#include "kernels/threshold.h"
#include "smt/defs_int.h"

void qv_defs_fail(qv_builder *b, qv_status st) {
  if (b->st == QV_OK) b->st = st;
}

qv_atom qv_defs_refuse(qv_builder *b, const char *what) {
  const qv_node *n = &b->net->node[b->node];
  if (b->st == QV_OK)
    b->st = QV_FAIL(b->err, QV_E_UNSUP, "layer %u %s '%s': no exact encoding of %s", n->layer, n->op, b->net->tensor[n->out].name, what);
  return (qv_atom){QV_NONE, 0};
}

void qv_defs_nomem(qv_builder *b) {
  if (b->st == QV_OK) b->st = QV_FAIL(b->err, QV_E_NOMEM, "encoding");
}

bool qv_defs_room(qv_builder *b, void **p, size_t *cap, size_t need, size_t size) {
  if (need <= *cap) return true;
  size_t now = *cap == 0 ? 256 : *cap;
  while (now < need) now *= 2;
  void *q = realloc(*p, now * size);
  if (q == NULL) {
    qv_defs_nomem(b);
    return false;
  }
  *p = q;
  *cap = now;
  return true;
}

static bool spend(qv_builder *b, size_t terms) {
  b->d->terms += terms;
  if (b->d->terms > QV_DEFS_TERMS && b->st == QV_OK) b->st = QV_FAIL(b->err, QV_E_LIMIT, "encoding: more than 2^25 terms");
  return b->st == QV_OK;
}

/* ---- definitions ------------------------------------------------------------------------------------------------------ */

qv_atom qv_defs_constant(int64_t c) { return (qv_atom){QV_NONE, c}; }

qv_itv qv_defs_itv(const qv_builder *b, qv_atom a) { return a.def == QV_NONE ? (qv_itv){a.c, a.c} : b->d->def[a.def].itv; }

qv_atom qv_defs_define(qv_builder *b, qv_def q) {
  if (b->st != QV_OK) return qv_defs_constant(0);
  if (q.itv.lo == q.itv.hi) return qv_defs_constant(q.itv.lo);
  qv_defs *d = b->d;
  void *p = d->def;
  size_t cap = d->cap;
  if (d->n >= QV_NONE / 4 || !qv_defs_room(b, &p, &cap, (size_t)d->n + 1, sizeof *d->def)) {
    qv_defs_nomem(b);
    return qv_defs_constant(0);
  }
  d->def = p;
  d->cap = (uint32_t)cap;
  q.all = q.itv;
  d->def[d->n] = q;
  return (qv_atom){d->n++, 0};
}

/* ---- linear forms ----------------------------------------------------------------------------------------------------- */

void qv_form_start(qv_form *f, qv_i128 c) {
  f->c = f->lo = f->hi = c;
  f->n = 0;
}

/* |w * value| <= 2^62 for sums of the net (qv_ir_check), <= 2^124 for a term of a condition. */
void qv_form_add(qv_builder *b, qv_form *f, qv_atom x, qv_i128 w) {
  if (w == 0 || b->st != QV_OK) return;
  qv_itv r = qv_defs_itv(b, x);
  qv_i128 p = w * r.lo, q = w * r.hi;
  f->lo += p < q ? p : q;
  f->hi += p < q ? q : p;
  if (f->lo < -QV_DEFS_MOST || f->hi > QV_DEFS_MOST) qv_defs_fail(b, QV_FAIL(b->err, QV_E_RANGE, "encoding: a sum leaves 124 bits"));
  if (x.def == QV_NONE) {
    f->c += p;
    return;
  }
  void *t = f->t;
  if (!qv_defs_room(b, &t, &f->cap, f->n + 1, sizeof *f->t)) return;
  f->t = t;
  f->t[f->n++] = (qv_fterm){x.def, w};
}

void qv_form_shift(qv_form *f, qv_i128 c) {
  f->c += c;
  f->lo += c;
  f->hi += c;
}

static int by_def(const void *p, const void *q) {
  const qv_fterm *a = p, *c = q;
  return (a->def > c->def) - (a->def < c->def);
}

/* Sorted and merged, with the exact interval over the box of its definitions. */
qv_lin qv_form_close(qv_builder *b, qv_form *f, qv_i128 *lo, qv_i128 *hi) {
  qv_lin l = {.c = f->c};
  *lo = *hi = f->c;
  bool sorted = true;
  for (size_t i = 1; sorted && i < f->n; i++) sorted = f->t[i - 1].def < f->t[i].def;
  if (!sorted) qsort(f->t, f->n, sizeof *f->t, by_def);
  size_t n = 0;
  for (size_t i = 0; i < f->n;) {
    qv_fterm t = f->t[i++];
    while (i < f->n && f->t[i].def == t.def) t.w += f->t[i++].w;
    if (t.w != 0) f->t[n++] = t;
  }
  f->n = n;
  if (n > UINT32_MAX || !spend(b, n)) return l;
  qv_lterm *t = QV_NEW(&b->d->arena, n, qv_lterm);
  if (t == NULL) {
    qv_defs_nomem(b);
    return l;
  }
  for (size_t i = 0; i < n; i++) {
    qv_i128 w = f->t[i].w;
    qv_itv r = b->d->def[f->t[i].def].itv;
    if (w > INT64_MAX || w < -INT64_MAX) qv_defs_fail(b, QV_FAIL(b->err, QV_E_RANGE, "encoding: a coefficient leaves 64 bits"));
    t[i] = (qv_lterm){(int64_t)w, f->t[i].def};
    *lo += w * (w > 0 ? r.lo : r.hi);
    *hi += w * (w > 0 ? r.hi : r.lo);
  }
  l.n = (uint32_t)n;
  l.t = t;
  return l;
}

qv_atom qv_form_atom(qv_builder *b, qv_form *f) {
  qv_i128 lo, hi;
  qv_lin l = qv_form_close(b, f, &lo, &hi);
  if (b->st != QV_OK) return qv_defs_constant(0);
  if (lo < INT64_MIN || hi > INT64_MAX) {
    qv_defs_fail(b, QV_FAIL(b->err, QV_E_RANGE, "encoding: a sum leaves 64 bits"));
    return qv_defs_constant(0);
  }
  if (l.n == 1 && l.t[0].w == 1 && l.c == 0) return (qv_atom){l.t[0].def, 0};
  return qv_defs_define(b, (qv_def){.op = QV_DEF_LIN, .itv = {(int64_t)lo, (int64_t)hi}, .x = QV_NONE, .y = QV_NONE, .u.lin = l});
}

/* ---- the other operations --------------------------------------------------------------------------------------------- */

qv_atom qv_defs_clamp(qv_builder *b, qv_atom x, int64_t lo, int64_t hi) {
  qv_itv r = qv_defs_itv(b, x), y = {qv_clamp64(r.lo, lo, hi), qv_clamp64(r.hi, lo, hi)};
  if (y.lo == y.hi) return qv_defs_constant(y.lo);
  if (qv_itv_in(r, (qv_itv){lo, hi})) return x;
  return qv_defs_define(b, (qv_def){.op = QV_DEF_CLAMP, .itv = y, .x = x.def, .y = QV_NONE, .u.clamp = {lo, hi}});
}

qv_atom qv_defs_wrap(qv_builder *b, qv_atom x, int bits) {
  qv_itv r = qv_defs_itv(b, x);
  if (bits >= 64 || qv_itv_in(r, (qv_itv){qv_smin(bits), qv_smax(bits)})) return x;
  if (x.def == QV_NONE) return qv_defs_constant(qv_wrap(x.c, bits));
  qv_i128 half = (qv_i128)1 << (bits - 1), k = qv_floor_shift(r.lo + half, bits);
  if (k == qv_floor_shift(r.hi + half, bits)) { /* one turn: a shift */
    qv_form_start(&b->f2, qv_scale2(-k, bits));
    qv_form_add(b, &b->f2, x, 1);
    return qv_form_atom(b, &b->f2);
  }
  return qv_defs_define(b, (qv_def){.op = QV_DEF_WRAP, .itv = {qv_smin(bits), qv_smax(bits)}, .x = x.def, .y = QV_NONE, .u.bits = bits});
}

qv_atom qv_defs_max(qv_builder *b, qv_atom x, qv_atom y) {
  qv_itv p = qv_defs_itv(b, x), q = qv_defs_itv(b, y);
  if (x.def == y.def || p.lo >= q.hi) return x;
  if (q.lo >= p.hi) return y;
  qv_itv r = {qv_max64(p.lo, q.lo), qv_max64(p.hi, q.hi)};
  return qv_defs_define(b, (qv_def){.op = QV_DEF_MAX, .itv = r, .x = x.def, .y = y.def});
}

qv_atom qv_defs_mul(qv_builder *b, qv_atom x, qv_atom y) {
  if (x.def == QV_NONE || y.def == QV_NONE) {
    qv_form_start(&b->f2, 0);
    qv_form_add(b, &b->f2, x.def == QV_NONE ? y : x, x.def == QV_NONE ? x.c : y.c);
    return qv_form_atom(b, &b->f2);
  }
  qv_itv p = qv_defs_itv(b, x), q = qv_defs_itv(b, y);
  qv_i128 c[4] = {(qv_i128)p.lo * q.lo, (qv_i128)p.lo * q.hi, (qv_i128)p.hi * q.lo, (qv_i128)p.hi * q.hi}, lo = c[0], hi = c[0];
  for (int i = 1; i < 4; i++) {
    if (c[i] < lo) lo = c[i];
    if (c[i] > hi) hi = c[i];
  }
  bool swap = (qv_i128)p.hi - p.lo < (qv_i128)q.hi - q.lo;
  if (lo < INT64_MIN || hi > INT64_MAX) {
    qv_defs_fail(b, QV_FAIL(b->err, QV_E_RANGE, "encoding: a product leaves 64 bits"));
    return qv_defs_constant(0);
  }
  return qv_defs_define(
      b, (qv_def){.op = QV_DEF_MUL, .itv = {(int64_t)lo, (int64_t)hi}, .x = swap ? y.def : x.def, .y = swap ? x.def : y.def});
}

/* ---- pieces ----------------------------------------------------------------------------------------------------------- */

void qv_defs_piece(qv_builder *b, int64_t from, int64_t value) {
  if (b->n_piece > 0 && b->val[b->n_piece - 1] == value) return;
  void *p = b->at, *q = b->val;
  size_t cap = b->cap_piece;
  if (!qv_defs_room(b, &p, &cap, b->n_piece + 1, sizeof *b->at)) return;
  b->at = p;
  if (!qv_defs_room(b, &q, &b->cap_piece, b->n_piece + 1, sizeof *b->val)) return;
  b->val = q;
  b->at[b->n_piece] = from;
  b->val[b->n_piece++] = value;
  if (b->n_piece > QV_DEFS_PIECES) (void)qv_defs_refuse(b, "a function with more than 65536 pieces");
}

/* The function of x collected by qv_defs_piece(): the first piece starts at x's lower end. */
qv_atom qv_defs_pieces(qv_builder *b, qv_atom x) {
  size_t n = b->n_piece;
  if (b->st != QV_OK || n == 0 || !spend(b, n)) return qv_defs_constant(0);
  if (n == 1) return qv_defs_constant(b->val[0]);
  int64_t *at = QV_NEW(&b->d->arena, n, int64_t), *v = QV_NEW(&b->d->arena, n, int64_t);
  if (at == NULL || v == NULL) {
    qv_defs_nomem(b);
    return qv_defs_constant(0);
  }
  memcpy(at, b->at + 1, (n - 1) * sizeof *at);
  memcpy(v, b->val, n * sizeof *v);
  qv_itv r = {v[0], v[0]};
  for (size_t i = 1; i < n; i++) r = qv_itv_hull(r, (qv_itv){v[i], v[i]});
  return qv_defs_define(b, (qv_def){.op = QV_DEF_PIECES, .itv = r, .x = x.def, .y = QV_NONE, .u.pieces = {(uint32_t)n - 1, at, v}});
}

qv_atom qv_defs_table(qv_builder *b, const qv_table *t, qv_atom x) {
  qv_itv r = qv_defs_itv(b, x);
  b->n_piece = 0;
  for (int64_t i = r.lo; i <= r.hi; i++) qv_defs_piece(b, i, t->t[i - t->lo]);
  return x.def == QV_NONE ? qv_defs_constant(t->t[x.c - t->lo]) : qv_defs_pieces(b, x);
}

qv_atom qv_defs_threshold(qv_builder *b, const qv_pieces *p, qv_atom x) {
  if (x.def == QV_NONE) return qv_defs_constant(qv_pieces_eval(p, x.c));
  qv_itv r = qv_defs_itv(b, x);
  b->n_piece = 0;
  qv_defs_piece(b, r.lo, qv_pieces_eval(p, r.lo));
  for (uint32_t i = 0; i < p->k; i++)
    if (p->t[i] > r.lo && p->t[i] <= r.hi) qv_defs_piece(b, p->t[i], p->v[i + 1]);
  return qv_defs_pieces(b, x);
}
