#include "smt/defs.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/tail_gap.h"
#include "ir/index.h"
#include "kernels/threshold.h"
#include "smt/child.h"

#define FEW 2           /* a step of so many more values than one is written as pieces rather than as a floor */
#define MAX_PIECES 65536
#define LIMIT ((qv_i128)1 << 124) /* of all numbers here */

typedef struct {
  uint32_t def;
  qv_i128 w;
} fterm;

/* A linear form under construction; [lo,hi] contains it (terms taken one by one). */
typedef struct {
  qv_i128 c, lo, hi;
  size_t n, cap;
  fterm *t;
} form;

/* One term of a machine sum: w * x + c. */
typedef struct {
  qv_atom x;
  int64_t w, c;
} mterm;

/* `st` keeps the first failure; after one, every function returns quickly and its value means nothing. */
typedef struct {
  qv_defs *d;
  const qv_net *net;
  const qv_property *p;
  qv_err *err;
  qv_status st;
  uint32_t node;
  qv_atom **v;      /* [n_tensors][elements]; NULL: not needed, or the result of a tail */
  bool *needed;     /* [n_tensors] the condition or a cut depends on it, or a trap that has to be excluded */
  form f, f2;       /* for one form at a time */
  mterm *m;
  size_t n_m, cap_m;
  int64_t *at, *val; /* pieces being collected */
  size_t n_piece, cap_piece;
  bool empty;       /* a cut excludes a constant */
  qv_arena mem;
} builder;

static void fail(builder *b, qv_status st) {
  if (b->st == QV_OK) b->st = st;
}

static qv_atom refuse(builder *b, const char *what) {
  const qv_node *n = &b->net->node[b->node];
  if (b->st == QV_OK)
    b->st = QV_FAIL(b->err, QV_E_UNSUP, "layer %u %s '%s': no exact encoding of %s", n->layer, n->op, b->net->tensor[n->out].name, what);
  return (qv_atom){QV_NONE, 0};
}

static void nomem(builder *b) {
  if (b->st == QV_OK) b->st = QV_FAIL(b->err, QV_E_NOMEM, "encoding");
}

/* Room for `need` elements of *p. */
static bool room(builder *b, void **p, size_t *cap, size_t need, size_t size) {
  if (need <= *cap) return true;
  size_t now = *cap == 0 ? 256 : *cap;
  while (now < need) now *= 2;
  void *q = realloc(*p, now * size);
  if (q == NULL) {
    nomem(b);
    return false;
  }
  *p = q;
  *cap = now;
  return true;
}

static bool spend(builder *b, size_t terms) {
  b->d->terms += terms;
  if (b->d->terms > QV_DEFS_TERMS && b->st == QV_OK) b->st = QV_FAIL(b->err, QV_E_LIMIT, "encoding: more than 2^25 terms");
  return b->st == QV_OK;
}

/* ---- definitions ------------------------------------------------------------------------------------------------------ */

static qv_atom constant(int64_t c) { return (qv_atom){QV_NONE, c}; }

static qv_itv itv_of(const builder *b, qv_atom a) { return a.def == QV_NONE ? (qv_itv){a.c, a.c} : b->d->def[a.def].itv; }

static qv_atom define(builder *b, qv_def q) {
  if (b->st != QV_OK) return constant(0);
  if (q.itv.lo == q.itv.hi) return constant(q.itv.lo);
  qv_defs *d = b->d;
  void *p = d->def;
  size_t cap = d->cap;
  if (d->n >= QV_NONE / 4 || !room(b, &p, &cap, (size_t)d->n + 1, sizeof *d->def)) {
    nomem(b);
    return constant(0);
  }
  d->def = p;
  d->cap = (uint32_t)cap;
  q.all = q.itv;
  d->def[d->n] = q;
  return (qv_atom){d->n++, 0};
}

/* ---- linear forms ----------------------------------------------------------------------------------------------------- */

static void form_start(form *f, qv_i128 c) {
  f->c = f->lo = f->hi = c;
  f->n = 0;
}

/* |w * value| <= 2^62 for sums of the net (qv_ir_check), <= 2^124 for a term of a condition. */
static void form_add(builder *b, form *f, qv_atom x, qv_i128 w) {
  if (w == 0 || b->st != QV_OK) return;
  qv_itv r = itv_of(b, x);
  qv_i128 p = w * r.lo, q = w * r.hi;
  f->lo += p < q ? p : q;
  f->hi += p < q ? q : p;
  if (f->lo < -LIMIT || f->hi > LIMIT) fail(b, QV_FAIL(b->err, QV_E_RANGE, "encoding: a sum leaves 124 bits"));
  if (x.def == QV_NONE) {
    f->c += p;
    return;
  }
  void *t = f->t;
  if (!room(b, &t, &f->cap, f->n + 1, sizeof *f->t)) return;
  f->t = t;
  f->t[f->n++] = (fterm){x.def, w};
}

static void form_shift(form *f, qv_i128 c) {
  f->c += c;
  f->lo += c;
  f->hi += c;
}

static int by_def(const void *p, const void *q) {
  const fterm *a = p, *c = q;
  return (a->def > c->def) - (a->def < c->def);
}

/* Sorted and merged, with the exact interval over the box of its definitions. */
static qv_lin form_close(builder *b, form *f, qv_i128 *lo, qv_i128 *hi) {
  qv_lin l = {.c = f->c};
  *lo = *hi = f->c;
  bool sorted = true;
  for (size_t i = 1; sorted && i < f->n; i++) sorted = f->t[i - 1].def < f->t[i].def;
  if (!sorted) qsort(f->t, f->n, sizeof *f->t, by_def);
  size_t n = 0;
  for (size_t i = 0; i < f->n;) {
    fterm t = f->t[i++];
    while (i < f->n && f->t[i].def == t.def) t.w += f->t[i++].w;
    if (t.w != 0) f->t[n++] = t;
  }
  f->n = n;
  if (n > UINT32_MAX || !spend(b, n)) return l;
  qv_lterm *t = QV_NEW(&b->d->arena, n, qv_lterm);
  if (t == NULL) {
    nomem(b);
    return l;
  }
  for (size_t i = 0; i < n; i++) {
    qv_i128 w = f->t[i].w;
    qv_itv r = b->d->def[f->t[i].def].itv;
    if (w > INT64_MAX || w < -INT64_MAX) fail(b, QV_FAIL(b->err, QV_E_RANGE, "encoding: a coefficient leaves 64 bits"));
    t[i] = (qv_lterm){(int64_t)w, f->t[i].def};
    *lo += w * (w > 0 ? r.lo : r.hi);
    *hi += w * (w > 0 ? r.hi : r.lo);
  }
  l.n = (uint32_t)n;
  l.t = t;
  return l;
}

static qv_atom form_atom(builder *b, form *f) {
  qv_i128 lo, hi;
  qv_lin l = form_close(b, f, &lo, &hi);
  if (b->st != QV_OK) return constant(0);
  if (lo < INT64_MIN || hi > INT64_MAX) {
    fail(b, QV_FAIL(b->err, QV_E_RANGE, "encoding: a sum leaves 64 bits"));
    return constant(0);
  }
  if (l.n == 1 && l.t[0].w == 1 && l.c == 0) return (qv_atom){l.t[0].def, 0};
  return define(b, (qv_def){.op = QV_DEF_LIN, .itv = {(int64_t)lo, (int64_t)hi}, .x = QV_NONE, .y = QV_NONE, .u.lin = l});
}

/* ---- the other operations --------------------------------------------------------------------------------------------- */

static qv_atom clamp(builder *b, qv_atom x, int64_t lo, int64_t hi) {
  qv_itv r = itv_of(b, x), y = {qv_clamp64(r.lo, lo, hi), qv_clamp64(r.hi, lo, hi)};
  if (y.lo == y.hi) return constant(y.lo);
  if (qv_itv_in(r, (qv_itv){lo, hi})) return x;
  return define(b, (qv_def){.op = QV_DEF_CLAMP, .itv = y, .x = x.def, .y = QV_NONE, .u.clamp = {lo, hi}});
}

static qv_atom wrap(builder *b, qv_atom x, int bits) {
  qv_itv r = itv_of(b, x);
  if (bits >= 64 || qv_itv_in(r, (qv_itv){qv_smin(bits), qv_smax(bits)})) return x;
  if (x.def == QV_NONE) return constant(qv_wrap(x.c, bits));
  qv_i128 half = (qv_i128)1 << (bits - 1), k = qv_floor_shift(r.lo + half, bits);
  if (k == qv_floor_shift(r.hi + half, bits)) { /* one turn: a shift */
    form_start(&b->f2, qv_scale2(-k, bits));
    form_add(b, &b->f2, x, 1);
    return form_atom(b, &b->f2);
  }
  return define(b, (qv_def){.op = QV_DEF_WRAP, .itv = {qv_smin(bits), qv_smax(bits)}, .x = x.def, .y = QV_NONE, .u.bits = bits});
}

static qv_atom max2(builder *b, qv_atom x, qv_atom y) {
  qv_itv p = itv_of(b, x), q = itv_of(b, y);
  if (x.def == y.def || p.lo >= q.hi) return x;
  if (q.lo >= p.hi) return y;
  qv_itv r = {qv_max64(p.lo, q.lo), qv_max64(p.hi, q.hi)};
  return define(b, (qv_def){.op = QV_DEF_MAX, .itv = r, .x = x.def, .y = y.def});
}

static qv_atom mul(builder *b, qv_atom x, qv_atom y) {
  if (x.def == QV_NONE || y.def == QV_NONE) {
    form_start(&b->f2, 0);
    form_add(b, &b->f2, x.def == QV_NONE ? y : x, x.def == QV_NONE ? x.c : y.c);
    return form_atom(b, &b->f2);
  }
  qv_itv p = itv_of(b, x), q = itv_of(b, y);
  qv_i128 c[4] = {(qv_i128)p.lo * q.lo, (qv_i128)p.lo * q.hi, (qv_i128)p.hi * q.lo, (qv_i128)p.hi * q.hi}, lo = c[0], hi = c[0];
  for (int i = 1; i < 4; i++) {
    if (c[i] < lo) lo = c[i];
    if (c[i] > hi) hi = c[i];
  }
  bool swap = (qv_i128)p.hi - p.lo < (qv_i128)q.hi - q.lo;
  if (lo < INT64_MIN || hi > INT64_MAX) {
    fail(b, QV_FAIL(b->err, QV_E_RANGE, "encoding: a product leaves 64 bits"));
    return constant(0);
  }
  return define(b, (qv_def){.op = QV_DEF_MUL, .itv = {(int64_t)lo, (int64_t)hi}, .x = swap ? y.def : x.def, .y = swap ? x.def : y.def});
}

/* ---- pieces ----------------------------------------------------------------------------------------------------------- */

static void piece(builder *b, int64_t from, int64_t value) {
  if (b->n_piece > 0 && b->val[b->n_piece - 1] == value) return;
  void *p = b->at, *q = b->val;
  size_t cap = b->cap_piece;
  if (!room(b, &p, &cap, b->n_piece + 1, sizeof *b->at)) return;
  b->at = p;
  if (!room(b, &q, &b->cap_piece, b->n_piece + 1, sizeof *b->val)) return;
  b->val = q;
  b->at[b->n_piece] = from;
  b->val[b->n_piece++] = value;
  if (b->n_piece > MAX_PIECES) (void)refuse(b, "a function with more than 65536 pieces");
}

/* The function of x collected by piece(): the first piece starts at x's lower end. */
static qv_atom pieces(builder *b, qv_atom x) {
  size_t n = b->n_piece;
  if (b->st != QV_OK || n == 0 || !spend(b, n)) return constant(0);
  if (n == 1) return constant(b->val[0]);
  int64_t *at = QV_NEW(&b->d->arena, n, int64_t), *v = QV_NEW(&b->d->arena, n, int64_t);
  if (at == NULL || v == NULL) {
    nomem(b);
    return constant(0);
  }
  memcpy(at, b->at + 1, (n - 1) * sizeof *at);
  memcpy(v, b->val, n * sizeof *v);
  qv_itv r = {v[0], v[0]};
  for (size_t i = 1; i < n; i++) r = qv_itv_hull(r, (qv_itv){v[i], v[i]});
  return define(b, (qv_def){.op = QV_DEF_PIECES, .itv = r, .x = x.def, .y = QV_NONE, .u.pieces = {(uint32_t)n - 1, at, v}});
}

static qv_atom table(builder *b, const qv_table *t, qv_atom x) {
  qv_itv r = itv_of(b, x);
  b->n_piece = 0;
  for (int64_t i = r.lo; i <= r.hi; i++) piece(b, i, t->t[i - t->lo]);
  return x.def == QV_NONE ? constant(t->t[x.c - t->lo]) : pieces(b, x);
}

static qv_atom threshold(builder *b, const qv_pieces *p, qv_atom x) {
  if (x.def == QV_NONE) return constant(qv_pieces_eval(p, x.c));
  qv_itv r = itv_of(b, x);
  b->n_piece = 0;
  piece(b, r.lo, qv_pieces_eval(p, r.lo));
  for (uint32_t i = 0; i < p->k; i++)
    if (p->t[i] > r.lo && p->t[i] <= r.hi) piece(b, p->t[i], p->v[i + 1]);
  return pieces(b, x);
}

/* ---- steps ------------------------------------------------------------------------------------------------------------ */

/* RQ(v) + zp as a floor, v = v_a * x + v_b; false if the function has no such form or the numbers are too large.
 * In the notation of docs/semantics.md section 2; identities: docs/smt.md section 2. */
typedef struct {
  qv_i128 a, b, d, jump;
  int64_t from;
} floor_form;

static bool mul128(qv_i128 *out, qv_i128 x, qv_i128 y) {
  return !__builtin_mul_overflow(x, y, out) && *out < LIMIT && *out > -LIMIT;
}

/* floor((n*v + k + (v >= v0 ? jump : 0)) / d), without the step's own v and zp. */
typedef struct {
  qv_i128 n, k, d, jump, v0;
} vform;

/* Double rounding with m != -2^31: SRDHM(v 2^l, m) = floor(A / 2^31), A = v 2^l m + 2^30; then to nearest by r bits, where ties
 * go away from 0 (one less in the numerator when A < 0). */
static bool double_rounding(vform *f, const qv_rq_par *p) {
  int l = p->sh > 0 ? p->sh : 0, r = p->sh < 0 ? -p->sh : 0;
  qv_i128 n = qv_scale2(p->m, l), half = (qv_i128)1 << 30;
  if (p->m == INT32_MIN) return false;
  *f = (vform){n, half, (qv_i128)1 << 31, 0, 0};
  if (r == 0) return true;
  f->d = (qv_i128)1 << (31 + r);
  f->k = half + ((qv_i128)1 << (30 + r)); /* for A >= 0 */
  qv_i128 less = (qv_i128)1 << 31;
  if (n > 0) { /* A >= 0 from v = ceil(-2^30 / n) on */
    f->k -= less;
    f->jump = less;
    f->v0 = qv_ceil_div(-half, n);
  } else if (n < 0) { /* A < 0 from v = floor(2^30 / -n) + 1 on */
    f->jump = -less;
    f->v0 = qv_floor_div(half, -n) + 1;
  }
  return true;
}

static bool exact_product(vform *f, double M) { /* RQ_NDU */
  int e = 0;
  double q = __builtin_frexp(M, &e);
  int s = 24 - e;
  if (s < 1 || s > 62) return false;
  *f = (vform){(qv_i128)__builtin_ldexp(q, 24), (qv_i128)1 << (s - 1), (qv_i128)1 << s, 0, 0};
  return true;
}

static bool rq_form(vform *f, const qv_rq_par *p) {
  qv_i128 m = p->m, one = 1;
  int r = p->sh < 0 ? -p->sh : 0;
  switch (p->fn) {
  case QV_RQ_D: return double_rounding(f, p);
  case QV_RQ_U:
    *f = (vform){qv_scale2(m, p->sh > 0 ? p->sh : 0), (one << 30) + (r > 0 ? one << (30 + r) : 0), one << (31 + r), 0, 0};
    return true;
  case QV_RQ_S: *f = (vform){m, one << (30 - p->sh), one << (31 - p->sh), 0, 0}; return true;
  case QV_RQ_64: *f = (vform){p->m < 0x7FFF0000 ? (p->m + (1 << 15)) >> 16 : 0x7FFF, one << (14 - p->sh), one << (15 - p->sh), 0, 0}; return true;
  case QV_RQ_T: *f = (vform){m, one << (p->sh - 1), one << p->sh, 0, 0}; return true;
  case QV_RQ_TD:
    *f = (vform){m, one << (p->sh - 1), one << p->sh, 0, 0};
    if (p->sh > 31) f->k -= one << 30, f->jump = one << 31;
    return true;
  case QV_RQ_NDU: return exact_product(f, p->M);
  case QV_RQ_DIV: /* v < 0: ceil((v - floor(m/2)) / m) = floor((v + m - 1 - floor(m/2)) / m) */
    *f = (vform){1, m - 1 - m / 2, m, m / 2 - (m - 1 - m / 2), 0};
    return true;
  case QV_RQ_TDIV: *f = (vform){1, m - 1, m, 1 - m, 0}; return true;
  case QV_RQ_F32: case QV_RQ_F64A: case QV_RQ_REF: case QV_RQ_F32B: case QV_RQ_MEANF: return false; /* floating point */
  }
  return false;
}

/* The same as a function of x = in_zp + v / 2^lshift, the output zero point inside. */
static bool step_form(floor_form *o, const qv_step *s, uint32_t c, qv_itv x) {
  vform f;
  if (!rq_form(&f, &s->par[c])) return false;
  qv_i128 scale = (qv_i128)1 << s->lshift, t;
  *o = (floor_form){.d = f.d, .jump = f.jump};
  if (!mul128(&o->a, f.n, scale) || !mul128(&t, o->a, s->in_zp)) return false;
  o->b = f.k - t;
  if (!mul128(&t, s->out_zp, f.d)) return false;
  o->b += t;
  qv_i128 from = s->in_zp + qv_ceil_div(f.v0, scale); /* v >= v0 iff x - in_zp >= v0 / 2^lshift */
  if (o->jump == 0 || from > x.hi) o->jump = 0;
  else if (from <= x.lo) o->b += o->jump, o->jump = 0;
  else o->from = (int64_t)from;
  return mul128(&t, o->a, x.lo) && mul128(&t, o->a, x.hi);
}

static qv_i128 form_value(const floor_form *f, int64_t x) {
  return qv_floor_div(f->a * x + f->b + (f->jump != 0 && x >= f->from ? f->jump : 0), f->d);
}

static bool floor_step(builder *b, qv_atom *out, const qv_step *s, uint32_t c, qv_atom x) {
  qv_itv r = itv_of(b, x);
  floor_form f;
  if (!step_form(&f, s, c, r)) return false;
  qv_i128 p = form_value(&f, r.lo), q = form_value(&f, r.hi);
  if (p > q) {
    qv_i128 t = p;
    p = q;
    q = t;
  }
  if (p < INT64_MIN / 2 || q > INT64_MAX / 2) return false;
  int64_t probe[5] = {r.lo, r.hi, r.lo + (int64_t)(((qv_i128)r.hi - r.lo) / 2), qv_clamp64(s->in_zp, r.lo, r.hi), qv_clamp64(f.from, r.lo, r.hi)};
  for (int i = 0; i < 5; i++) /* a wrong identity must not become a wrong answer */
    if (qv_clamp64((int64_t)form_value(&f, probe[i]), s->lo, s->hi) != qv_step_eval(s, c, probe[i]))
      fail(b, QV_FAIL(b->err, QV_E_INTERNAL, "encoding of %s is not its definition", qv_rq_name(s->par[c].fn)));
  qv_def d = {.op = QV_DEF_FLOOR, .itv = {(int64_t)p, (int64_t)q}, .x = x.def, .y = QV_NONE};
  d.u.floor.a = f.a, d.u.floor.b = f.b, d.u.floor.d = f.d, d.u.floor.jump = f.jump, d.u.floor.from = f.from;
  *out = clamp(b, define(b, d), s->lo, s->hi);
  return true;
}

static qv_atom step(builder *b, const qv_step *s, uint32_t c, qv_atom x) {
  if (x.def == QV_NONE) return constant(qv_step_eval(s, c, x.c));
  qv_itv r = itv_of(b, x), y = qv_step_image(s, c, r);
  qv_atom out;
  if (y.lo == y.hi) return constant(y.lo);
  if (y.hi - y.lo > FEW && floor_step(b, &out, s, c, x)) return out;
  if (y.hi - y.lo >= MAX_PIECES) return refuse(b, "a requantization of more than 65536 values that is not a floor");
  b->n_piece = 0;
  for (int64_t at = r.lo; b->st == QV_OK;) {
    int64_t v = qv_step_eval(s, c, at);
    qv_itv same[2];
    piece(b, at, v);
    if (qv_step_preimage(same, s, c, QV_PRE_EQ, v, (qv_itv){at, r.hi}) != 1 || same[0].lo != at) {
      fail(b, QV_FAIL(b->err, QV_E_INTERNAL, "a step is not monotone"));
    } else {
      if (same[0].hi == r.hi) break;
      at = same[0].hi + 1;
    }
  }
  return pieces(b, x);
}

/* ---- machine accumulators (docs/semantics.md section 4) ----------------------------------------------------------------- */

/* Running sum that a machine keeps in `bits` bits: after each term it is clamped or wrapped, where the box does not exclude that. */
typedef struct {
  form *f;
  int bits;
  bool sat;
} stage;

static bool fits(qv_i128 lo, qv_i128 hi, int bits) { return lo >= qv_smin(bits) && hi <= qv_smax(bits); }

static void stage_settle(builder *b, const stage *s) {
  if (fits(s->f->lo, s->f->hi, s->bits)) return;
  qv_atom a = form_atom(b, s->f);
  a = s->sat ? clamp(b, a, qv_smin(s->bits), qv_smax(s->bits)) : wrap(b, a, s->bits);
  form_start(s->f, 0);
  form_add(b, s->f, a, 1);
}

static void form_add_term(builder *b, form *f, const mterm *t) {
  form_add(b, f, t->x, t->w);
  form_shift(f, t->c);
}

static qv_itv term_itv(const builder *b, const mterm *t) {
  qv_itv r = itv_of(b, t->x);
  int64_t p = t->w * r.lo + t->c, q = t->w * r.hi + t->c;
  return p < q ? (qv_itv){p, q} : (qv_itv){q, p};
}

static qv_atom run_sat(builder *b, const qv_acc *a, int64_t bias) {
  stage s = {&b->f, a->bits, true};
  form_start(&b->f, a->bias == QV_BIAS_FIRST ? bias : 0);
  stage_settle(b, &s);
  for (size_t i = 0; i < b->n_m; i++) {
    form_add_term(b, &b->f, &b->m[i]);
    stage_settle(b, &s);
  }
  if (a->bias == QV_BIAS_LAST) form_shift(&b->f, bias);
  stage_settle(b, &s);
  return form_atom(b, &b->f);
}

static qv_atom run_trap(builder *b, const qv_acc *a, int64_t bias) {
  form_start(&b->f, a->bias == QV_BIAS_FIRST ? bias : 0);
  bool ok = fits(b->f.lo, b->f.hi, a->bits);
  for (size_t i = 0; i < b->n_m; i++) {
    form_add_term(b, &b->f, &b->m[i]);
    ok = ok && fits(b->f.lo, b->f.hi, a->bits);
  }
  if (a->bias == QV_BIAS_LAST) form_shift(&b->f, bias);
  if (!ok || !fits(b->f.lo, b->f.hi, a->bits)) return refuse(b, "an accumulator that may trap on this box");
  return form_atom(b, &b->f);
}

/* Pairs sat16(t + t') in place of the terms; a missing second term is 0. */
static void pair_terms(builder *b, const qv_acc *a) {
  size_t n = qv_pair_count(a, b->n_m);
  mterm *pair = malloc((n + 1) * sizeof *pair);
  if (pair == NULL) {
    nomem(b);
    return;
  }
  for (size_t p = 0; p < n; p++) {
    size_t i = qv_pair_at(a, p), j = i + qv_pair_distance(a);
    form_start(&b->f, 0);
    form_add_term(b, &b->f, &b->m[i]);
    if (j < b->n_m) form_add_term(b, &b->f, &b->m[j]);
    pair[p] = (mterm){clamp(b, form_atom(b, &b->f), INT16_MIN, INT16_MAX), 1, 0};
  }
  memcpy(b->m, pair, n * sizeof *pair); /* n <= n_m */
  b->n_m = n;
  free(pair);
}

/* Add all terms, by way of the lanes, to the wide sum in b->f. */
static void run_lanes(builder *b, const qv_acc *a) {
  form lane = {0};
  stage s = {&lane, a->lane_bits, a->lane_sat};
  form_start(&b->f, 0);
  for (size_t j = 0; j < a->lanes && j < b->n_m; j++) {
    uint32_t steps = 0;
    form_start(&lane, 0);
    for (size_t i = j; i < b->n_m; i += a->lanes) {
      form_add_term(b, &lane, &b->m[i]);
      if (a->lane_sat) stage_settle(b, &s);
      if (++steps == a->spill || i + a->lanes >= b->n_m) { /* wrapping lanes: once at the end of a window (Lemma B3) */
        stage_settle(b, &s);
        for (size_t k = 0; k < lane.n; k++) form_add(b, &b->f, (qv_atom){lane.t[k].def, 0}, lane.t[k].w);
        form_shift(&b->f, lane.c);
        form_start(&lane, 0);
        steps = 0;
      }
    }
  }
  free(lane.t);
}

/* Order unknown: exact only if every subset of the terms (pairs: any two) fits. */
static bool any_order_fits(const builder *b, int bits, bool pairs, int64_t bias) {
  qv_i128 lo = 0, hi = 0;
  qv_i128 l2[2] = {0, 0}, h2[2] = {0, 0}; /* two smallest and largest terms */
  for (size_t i = 0; i < b->n_m; i++) {
    qv_itv t = term_itv(b, &b->m[i]);
    lo += qv_min64(t.lo, 0);
    hi += qv_max64(t.hi, 0);
    if (t.lo < l2[0]) l2[1] = l2[0], l2[0] = t.lo;
    else if (t.lo < l2[1]) l2[1] = t.lo;
    if (t.hi > h2[0]) h2[1] = h2[0], h2[0] = t.hi;
    else if (t.hi > h2[1]) h2[1] = t.hi;
  }
  if (pairs) return fits(l2[0] + l2[1], h2[0] + h2[1], bits);
  return fits(lo + qv_min64(bias, 0), hi + qv_max64(bias, 0), bits);
}

static void plain_sum(builder *b) {
  form_start(&b->f, 0);
  for (size_t i = 0; i < b->n_m; i++) form_add_term(b, &b->f, &b->m[i]);
}

/* What the machine makes of the terms b->m, the correction (of raw sums) and the bias. */
static qv_atom accumulate(builder *b, const qv_acc *a, int64_t bias, const mterm *fix, size_t n_fix) {
  bool any = a->order == QV_ORDER_ANY;
  if (b->st != QV_OK) return constant(0);
  switch (a->mode) {
  case QV_ACC_EXACT:
  case QV_ACC_WRAP: plain_sum(b); break;
  case QV_ACC_SAT:
    if (any && !any_order_fits(b, a->bits, false, bias)) return refuse(b, "a saturating sum in unknown order");
    return run_sat(b, a, bias);
  case QV_ACC_TRAP:
    if (any && !any_order_fits(b, a->bits, false, bias)) return refuse(b, "an accumulator that may trap on this box");
    return run_trap(b, a, bias);
  case QV_ACC_PAIR16:
  case QV_ACC_LANES:
  case QV_ACC_PAIRLANES:
    if (any && qv_acc_pairs(a) && !any_order_fits(b, 16, true, 0)) return refuse(b, "saturating pairs in unknown order");
    if (qv_acc_pairs(a)) pair_terms(b, a);
    if (any && qv_acc_lanes(a) && !any_order_fits(b, a->lane_bits, false, 0)) return refuse(b, "narrow lanes in unknown order");
    if (qv_acc_lanes(a)) run_lanes(b, a);
    else plain_sum(b);
    break;
  }
  for (size_t i = 0; i < n_fix; i++) form_add_term(b, &b->f, &fix[i]);
  form_shift(&b->f, bias);
  qv_atom y = form_atom(b, &b->f);
  return a->mode == QV_ACC_EXACT ? y : wrap(b, y, a->bits);
}

static void add_mterm(builder *b, qv_atom x, int64_t w, int64_t c) {
  void *p = b->m;
  if (!room(b, &p, &b->cap_m, b->n_m + 1, sizeof *b->m)) return;
  b->m = p;
  b->m[b->n_m++] = (mterm){x, w, c};
}

/* ---- nodes ------------------------------------------------------------------------------------------------------------ */

static qv_atom affine(builder *b, const qv_affine *f, const qv_atom *in, size_t e) {
  const qv_window *g = &f->win;
  uint32_t o = (uint32_t)(e % g->oc), ox = (uint32_t)(e / g->oc % g->ow), oy = (uint32_t)(e / g->oc / g->ow % g->oh);
  size_t image = e / g->oc / g->ow / g->oh, n_fix = 0;
  uint32_t gic = g->ic / g->groups, c0 = o / (g->oc / g->groups) * gic;
  int64_t xz = f->x_zp, wz = f->w_zp[f->n_w_zp == 1 ? 0 : o];
  const int32_t *w = f->w + (size_t)o * g->kh * g->kw * gic;
  /* sums modulo 2^P do not see how the terms are written: only narrow stages need the raw form */
  bool raw = f->acc.raw && f->acc.mode != QV_ACC_EXACT && f->acc.mode != QV_ACC_WRAP;
  mterm *fix = NULL;
  if (raw) {
    size_t k = (size_t)g->kh * g->kw * gic;
    if ((fix = malloc((k + 1) * sizeof *fix)) == NULL) {
      nomem(b);
      return constant(0);
    }
    fix[n_fix++] = (mterm){constant(0), 0, (int64_t)k * xz * wz};
  }
  b->n_m = 0;
  for (uint32_t ky = 0; ky < g->kh; ky++)
    for (uint32_t kx = 0; kx < g->kw; kx++, w += gic) {
      size_t at;
      bool inside = qv_window_tap(&at, g, image, oy, ox, ky, kx);
      for (uint32_t c = 0; c < gic; c++) {
        qv_atom x = inside ? in[at + c0 + c] : constant(xz);
        if (raw) {
          add_mterm(b, x, w[c], 0);
          fix[0].c -= xz * w[c];
          fix[n_fix++] = (mterm){x, -wz, 0};
        } else {
          int64_t d = inside ? w[c] - wz : 0;
          add_mterm(b, x, d, -d * xz);
        }
      }
    }
  qv_atom y = accumulate(b, &f->acc, f->b[o], fix, n_fix);
  free(fix);
  return y;
}

static qv_atom sum(builder *b, const qv_node *n, size_t e) {
  const qv_sum *s = &n->u.sum;
  b->n_m = 0;
  for (uint32_t k = 0; k < n->n_in; k++) add_mterm(b, b->v[n->in[k]][e], s->c[k], -s->c[k] * s->z[k]);
  return accumulate(b, &s->acc, 0, NULL, 0);
}

static qv_atom minus(builder *b, qv_atom x, int64_t z) {
  form_start(&b->f, -(qv_i128)z);
  form_add(b, &b->f, x, 1);
  return form_atom(b, &b->f);
}

static qv_atom product(builder *b, const qv_node *n, size_t e) {
  const qv_product *p = &n->u.product;
  qv_atom x = minus(b, b->v[n->in[0]][e], p->z0), y = minus(b, b->v[n->in[1]][e], p->z1);
  b->n_m = 0;
  add_mterm(b, mul(b, x, y), 1, 0);
  return accumulate(b, &p->acc, 0, NULL, 0);
}

static qv_atom max_window(builder *b, const qv_window *g, const qv_atom *in, size_t e) {
  uint32_t c = (uint32_t)(e % g->oc), ox = (uint32_t)(e / g->oc % g->ow), oy = (uint32_t)(e / g->oc / g->ow % g->oh);
  size_t image = e / g->oc / g->ow / g->oh, at;
  int64_t least = INT64_MIN, known = INT64_MIN; /* the maximum is at least; the largest constant */
  for (uint32_t t = 0; t < g->kh * g->kw; t++) {
    if (!qv_window_tap(&at, g, image, oy, ox, t / g->kw, t % g->kw)) continue;
    qv_atom x = in[at + c];
    least = qv_max64(least, itv_of(b, x).lo);
    if (x.def == QV_NONE) known = qv_max64(known, x.c);
  }
  qv_atom y = constant(least);
  for (uint32_t t = 0; t < g->kh * g->kw; t++) {
    if (!qv_window_tap(&at, g, image, oy, ox, t / g->kw, t % g->kw)) continue;
    qv_atom x = in[at + c];
    if (x.def == QV_NONE || itv_of(b, x).hi <= least) continue;
    y = y.def == QV_NONE ? x : max2(b, y, x);
  }
  if (y.def == QV_NONE || known <= itv_of(b, y).lo) return y;
  return clamp(b, y, known, itv_of(b, y).hi);
}

static void index_node(builder *b, const qv_node *n, size_t elems) {
  qv_index_src *map = malloc(elems * sizeof *map);
  if (map == NULL) {
    nomem(b);
    return;
  }
  qv_index_map(map, b->net, n);
  for (size_t e = 0; e < elems; e++) b->v[n->out][e] = map[e].src == QV_NONE ? constant(map[e].off) : b->v[n->in[map[e].src]][map[e].off];
  free(map);
}

static bool allocate(builder *b, uint32_t t) {
  b->v[t] = QV_NEW(&b->mem, qv_elems(&b->net->tensor[t]), qv_atom);
  if (b->v[t] == NULL) nomem(b);
  return b->st == QV_OK;
}

static void cut_tensor(builder *b, uint32_t t, const qv_cut *cut, uint32_t n) {
  for (uint32_t i = 0; i < n && b->st == QV_OK; i++) {
    if (cut[i].tensor != t) continue;
    if (cut[i].el >= qv_elems(&b->net->tensor[t]) || cut[i].itv.lo > cut[i].itv.hi) {
      fail(b, QV_FAIL(b->err, QV_E_ARG, "encoding: a cut of tensor %u", t));
      return;
    }
    if (b->v[t] == NULL) {
      (void)refuse(b, "a cut of a softmax tail");
      return;
    }
    qv_atom a = b->v[t][cut[i].el];
    qv_itv r = itv_of(b, a), c = {qv_max64(r.lo, cut[i].itv.lo), qv_min64(r.hi, cut[i].itv.hi)};
    if (c.lo > c.hi) b->empty = true;
    else if (a.def != QV_NONE && !(c.lo == r.lo && c.hi == r.hi)) b->d->def[a.def].itv = c, b->d->def[a.def].cut = true;
  }
}

static bool must_be_seen(const qv_node *n) { /* whether or not anything depends on it */
  switch (n->kind) {
  case QV_AFFINE: return n->u.affine.acc.mode == QV_ACC_TRAP;
  case QV_SUM: return n->u.sum.acc.mode == QV_ACC_TRAP;
  case QV_PRODUCT: return n->u.product.acc.mode == QV_ACC_TRAP;
  case QV_OPAQUE: return true;
  case QV_STEP: case QV_TABLE: case QV_THRESHOLD: case QV_MAX: case QV_INDEX: case QV_CLAMP: case QV_WRAP: case QV_TAIL: case QV_KINDS: break;
  }
  return false;
}

static void mark_needed(builder *b, const qv_cut *cut, uint32_t n_cut) {
  const qv_net *net = b->net;
  const qv_condition *c = &b->p->cond;
  if ((b->needed = QV_NEW(&b->mem, net->n_tensors, bool)) == NULL) {
    nomem(b);
    return;
  }
  if (c->kind != QV_AVOID) b->needed[net->out[c->out].tensor] = true;
  for (uint32_t i = 0; c->kind == QV_AVOID && i < c->n; i++)
    for (uint32_t k = 0; k < c->bad[i].n; k++)
      for (uint32_t j = 0; j < c->bad[i].ineq[k].n; j++) b->needed[net->out[c->bad[i].ineq[k].term[j].out].tensor] = true;
  for (uint32_t i = 0; i < n_cut; i++)
    if (cut[i].tensor < net->n_tensors) b->needed[cut[i].tensor] = true;
  for (uint32_t k = net->n_nodes; k-- > 0;) {
    const qv_node *n = &net->node[k];
    b->needed[n->out] = b->needed[n->out] || must_be_seen(n);
    for (uint32_t i = 0; b->needed[n->out] && i < n->n_in; i++) b->needed[n->in[i]] = true;
  }
}

static void add_node(builder *b, uint32_t k) {
  const qv_node *n = &b->net->node[k];
  size_t elems = qv_elems(&b->net->tensor[n->out]);
  const qv_atom *x = n->n_in > 0 ? b->v[n->in[0]] : NULL;
  b->node = k;
  for (uint32_t i = 0; i < n->n_in; i++)
    if (b->v[n->in[i]] == NULL) (void)refuse(b, "what follows a softmax tail");
  if (n->kind == QV_TAIL || b->st != QV_OK || !allocate(b, n->out)) return; /* tails: only at the output, see goal_tail */
  qv_atom *y = b->v[n->out];
  if (n->kind == QV_INDEX) {
    index_node(b, n, elems);
    return;
  }
  for (size_t e = 0; e < elems && b->st == QV_OK; e++) {
    if (e % 64 == 0) fail(b, qv_defs_in_time(b->d, b->err));
    switch (n->kind) {
    case QV_AFFINE: y[e] = affine(b, &n->u.affine, x, e); break;
    case QV_STEP: y[e] = step(b, &n->u.step, qv_step_channel(&n->u.step, e), x[e]); break;
    case QV_TABLE: y[e] = table(b, &n->u.table, x[e]); break;
    case QV_THRESHOLD: y[e] = threshold(b, qv_threshold_pieces(&n->u.threshold, e), x[e]); break;
    case QV_SUM: y[e] = sum(b, n, e); break;
    case QV_PRODUCT: y[e] = product(b, n, e); break;
    case QV_MAX: y[e] = max_window(b, &n->u.max, x, e); break;
    case QV_CLAMP: y[e] = clamp(b, x[e], n->u.clamp.lo, n->u.clamp.hi); break;
    case QV_WRAP: y[e] = wrap(b, x[e], n->u.wrap.bits); break;
    case QV_OPAQUE: (void)refuse(b, "an opaque operator"); break;
    case QV_INDEX:
    case QV_TAIL:
    case QV_KINDS: break;
    }
  }
}

static void add_leaves(builder *b) {
  for (uint32_t t = 0; t < b->net->n_tensors && b->st == QV_OK; t++) {
    const qv_tensor *x = &b->net->tensor[t];
    if (x->data == NULL || !allocate(b, t)) continue;
    for (size_t e = 0; e < qv_elems(x); e++) b->v[t][e] = constant(x->data[e]);
  }
  for (uint32_t i = 0; i < b->net->n_in && b->st == QV_OK; i++) {
    uint32_t t = b->net->in[i].tensor;
    const qv_tensor *x = &b->net->tensor[t];
    const qv_prop_input *in = &b->p->in[i];
    size_t elems = qv_elems(x);
    if (in->n > 1 && in->n != elems) fail(b, QV_FAIL(b->err, QV_E_ARG, "encoding: box of input %u", i));
    if (!allocate(b, t)) return;
    for (size_t e = 0; e < elems && b->st == QV_OK; e++) {
      qv_itv r = in->n == 0 ? (qv_itv){x->lo, x->hi} : in->itv[in->n == 1 ? 0 : e];
      if (r.lo > r.hi || r.lo < x->lo || r.hi > x->hi) fail(b, QV_FAIL(b->err, QV_E_ARG, "encoding: box of input %u", i));
      b->v[t][e] = define(b, (qv_def){.op = QV_DEF_INPUT, .itv = r, .x = QV_NONE, .y = QV_NONE, .u.input = {i, (uint32_t)e}});
    }
  }
}

/* ---- the goal --------------------------------------------------------------------------------------------------------- */

typedef struct {
  qv_goal_ineq *ineq;
  uint32_t n;
  bool never;
} goal_case;

/* Close b->f as `form >= 0`. */
static void goal_ineq(builder *b, goal_case *g) {
  qv_i128 lo, hi;
  qv_lin l = form_close(b, &b->f, &lo, &hi);
  if (hi < 0) g->never = true;
  else if (lo < 0) g->ineq[g->n++] = (qv_goal_ineq){l, lo, hi};
}

static void goal_add(builder *b, const goal_case *g, uint32_t target) {
  if (!g->never && b->st == QV_OK) b->d->gcase[b->d->n_case++] = (qv_goal_case){target, g->n, g->ineq};
}

/* Node that writes a tensor, or QV_NONE. */
static uint32_t writer_of(const qv_net *net, uint32_t t) {
  for (uint32_t k = 0; k < net->n_nodes; k++)
    if (net->node[k].out == t) return k;
  return QV_NONE;
}

static const qv_atom *output(builder *b, uint32_t out, uint32_t el) {
  if (out >= b->net->n_out || el >= qv_elems(&b->net->tensor[b->net->out[out].tensor])) {
    fail(b, QV_FAIL(b->err, QV_E_ARG, "encoding: output %u element %u", out, el));
    return NULL;
  }
  uint32_t t = b->net->out[out].tensor;
  if (b->v[t] == NULL) {
    b->node = writer_of(b->net, t);
    (void)refuse(b, "inequalities over the results of a softmax tail");
    return NULL;
  }
  return &b->v[t][el];
}

/* By how much o_j must exceed o_C (or x_j x_C, where a tail is replaced by its input row) to violate. */
typedef struct {
  const qv_atom *row;
  uint32_t n;
  int64_t tie_wins, tie_loses; /* where a tie keeps the class; where it loses it */
} kept_row;

/* The tail's input in its place: no j with x_j - x_C >= 1 - g (or 1) means that the class is kept (docs/semantics.md, lemma S7). */
static bool goal_tail(builder *b, kept_row *k, const qv_condition *c, uint32_t t) {
  uint32_t node = b->node = writer_of(b->net, t);
  const qv_node *n = &b->net->node[node];
  const qv_tensor *y = &b->net->tensor[t];
  bool losing = c->kind == QV_KEEP_FIRST ? c->cls > 0 : c->cls + 1 < k->n;
  int gap = 0;
  if ((y->rank > 0 ? y->dim[y->rank - 1] : 1) != k->n) (void)refuse(b, "a softmax tail over several rows");
  else if (!qv_tail_ordered(&n->u.tail)) (void)refuse(b, "a softmax tail that does not keep the order");
  else if ((gap = qv_tail_gap(&n->u.tail, k->n)) == 0 && losing) (void)refuse(b, "a softmax tail in which no difference excludes a tie");
  k->row = b->v[n->in[0]];
  k->tie_loses = 1 - gap;
  b->d->relaxed = true;
  return b->st == QV_OK;
}

static void goal_keep(builder *b, const qv_condition *c) {
  uint32_t t = b->net->out[c->out].tensor;
  kept_row k = {.row = b->v[t], .n = (uint32_t)qv_elems(&b->net->tensor[t]), .tie_wins = 1, .tie_loses = 0};
  if (k.row == NULL && !goal_tail(b, &k, c, t)) return;
  if ((b->d->gcase = QV_NEW(&b->d->arena, k.n, qv_goal_case)) == NULL) nomem(b);
  for (uint32_t j = 0; j < k.n && b->st == QV_OK; j++) {
    goal_case g = {.ineq = QV_NEW(&b->d->arena, 1, qv_goal_ineq)};
    if (g.ineq == NULL) nomem(b);
    if (j == c->cls || b->st != QV_OK) continue;
    bool loses = c->kind == QV_KEEP_FIRST ? j < c->cls : j > c->cls;
    form_start(&b->f, -(loses ? k.tie_loses : k.tie_wins));
    form_add(b, &b->f, k.row[j], 1);
    form_add(b, &b->f, k.row[c->cls], -1);
    goal_ineq(b, &g);
    goal_add(b, &g, j);
  }
}

static void goal_avoid(builder *b, const qv_condition *c) {
  if ((b->d->gcase = QV_NEW(&b->d->arena, c->n, qv_goal_case)) == NULL) nomem(b);
  for (uint32_t i = 0; i < c->n && b->st == QV_OK; i++) {
    const qv_violation *v = &c->bad[i];
    goal_case g = {.ineq = QV_NEW(&b->d->arena, v->n, qv_goal_ineq)};
    if (g.ineq == NULL) nomem(b);
    for (uint32_t k = 0; k < v->n && b->st == QV_OK; k++) {
      form_start(&b->f, -(qv_i128)v->ineq[k].d);
      for (uint32_t j = 0; j < v->ineq[k].n && b->st == QV_OK; j++) {
        const qv_atom *o = output(b, v->ineq[k].term[j].out, v->ineq[k].term[j].el);
        if (o != NULL) form_add(b, &b->f, *o, v->ineq[k].term[j].c);
      }
      goal_ineq(b, &g);
    }
    goal_add(b, &g, i);
  }
}

static void mark_lin(qv_defs *d, const qv_lin *l) {
  for (uint32_t i = 0; i < l->n; i++) d->def[l->t[i].def].live = true;
}

static void mark_live(qv_defs *d) {
  for (uint32_t i = 0; i < d->n_case; i++)
    for (uint32_t k = 0; k < d->gcase[i].n; k++) mark_lin(d, &d->gcase[i].ineq[k].lin);
  for (uint32_t i = d->n; i-- > 0;) {
    qv_def *f = &d->def[i];
    f->live = f->live || f->cut;
    if (!f->live) continue;
    if (f->op == QV_DEF_LIN) mark_lin(d, &f->u.lin);
    if (f->x != QV_NONE) d->def[f->x].live = true;
    if (f->y != QV_NONE) d->def[f->y].live = true;
  }
}

qv_status qv_defs_build(qv_defs *out, const qv_net *net, const qv_property *p, const qv_cut *cut, uint32_t n_cut, double deadline,
                        qv_err *err) {
  builder b = {.d = out, .net = net, .p = p, .err = err, .st = QV_OK};
  *out = (qv_defs){.deadline = deadline};
  if ((b.st = qv_condition_check(&p->cond, net, err)) != QV_OK) return b.st;
  if (p->claim != QV_CLAIM_ROBUST || p->n_points != 0 || p->n_in != net->n_in)
    return QV_FAIL(err, QV_E_ARG, "encoding: the property is not a box with an output condition for this net");
  b.v = QV_NEW(&b.mem, net->n_tensors, qv_atom *);
  if (b.v == NULL) nomem(&b);
  mark_needed(&b, cut, n_cut);
  add_leaves(&b);
  for (uint32_t t = 0; t < net->n_tensors && b.st == QV_OK; t++)
    if (b.v[t] != NULL) cut_tensor(&b, t, cut, n_cut);
  for (uint32_t k = 0; k < net->n_nodes && b.st == QV_OK; k++) {
    if (!b.needed[net->node[k].out]) continue;
    add_node(&b, k);
    if (b.st == QV_OK) cut_tensor(&b, net->node[k].out, cut, n_cut);
  }
  if (b.st == QV_OK && !b.empty) {
    if (p->cond.kind == QV_AVOID) goal_avoid(&b, &p->cond);
    else goal_keep(&b, &p->cond);
  }
  if (b.st == QV_OK) mark_live(out);
  free(b.f.t);
  free(b.f2.t);
  free(b.m);
  free(b.at);
  free(b.val);
  qv_arena_clear(&b.mem);
  return b.st;
}

qv_status qv_defs_in_time(const qv_defs *d, qv_err *err) {
  return d->deadline > 0 && qv_now() >= d->deadline ? QV_FAIL(err, QV_E_LIMIT, "the time limit passed while the question was written") : QV_OK;
}

void qv_defs_clear(qv_defs *d) {
  free(d->def);
  qv_arena_clear(&d->arena);
  *d = (qv_defs){0};
}

int64_t qv_def_floor(const qv_def *f, int64_t x) {
  floor_form g = {f->u.floor.a, f->u.floor.b, f->u.floor.d, f->u.floor.jump, f->u.floor.from};
  return (int64_t)form_value(&g, x);
}

int qv_i128_bits(qv_i128 lo, qv_i128 hi) {
  int p = 1;
  while (p < 127 && (lo < -((qv_i128)1 << (p - 1)) || hi >= (qv_i128)1 << (p - 1))) p++;
  return p;
}
