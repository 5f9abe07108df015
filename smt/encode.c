#include "smt/encode.h"

void qv_buf_i128(qv_buf *b, qv_i128 v) {
  char s[48];
  size_t n = sizeof s;
  qv_u128 u = v < 0 ? -(qv_u128)v : (qv_u128)v;
  do s[--n] = (char)('0' + (int)(u % 10));
  while ((u /= 10) != 0);
  if (v < 0) s[--n] = '-';
  qv_buf_put(b, s + n, sizeof s - n);
}

typedef struct {
  qv_buf *o;
  const qv_defs *d;
} writer;

static void str(const writer *w, const char *s) { qv_buf_str(w->o, s); }

static void name(const writer *w, uint32_t def) {
  const qv_def *f = &w->d->def[def];
  if (f->op == QV_DEF_INPUT) qv_buf_printf(w->o, "i%u_%u", f->u.input.port, f->u.input.el);
  else qv_buf_printf(w->o, "v%u", def);
}

/* ---- integers --------------------------------------------------------------------------------------------------------- */

static void num(const writer *w, qv_i128 v) {
  if (v < 0) str(w, "(- ");
  qv_buf_i128(w->o, v < 0 ? -v : v);
  if (v < 0) str(w, ")");
}

static void int_lin(const writer *w, const qv_lin *l) {
  if (l->n == 0) {
    num(w, l->c);
    return;
  }
  str(w, "(+ ");
  num(w, l->c);
  for (uint32_t i = 0; i < l->n; i++) {
    str(w, l->t[i].w == 1 ? " " : " (* ");
    if (l->t[i].w != 1) num(w, l->t[i].w), str(w, " ");
    name(w, l->t[i].def);
    if (l->t[i].w != 1) str(w, ")");
  }
  str(w, ")");
}

static void int_declare(const writer *w, uint32_t def, qv_itv r) {
  str(w, "(declare-fun ");
  name(w, def);
  str(w, " () Int)\n(assert (and (<= ");
  num(w, r.lo);
  str(w, " ");
  name(w, def);
  str(w, ") (<= ");
  name(w, def);
  str(w, " ");
  num(w, r.hi);
  str(w, ")))\n");
}

/* 0 <= a*x + b + jump - d*y <= d - 1 */
static void int_floor(const writer *w, uint32_t def) {
  const qv_def *f = &w->d->def[def];
  str(w, "(assert (let ((r (+ ");
  num(w, f->u.floor.b);
  str(w, " (* ");
  num(w, f->u.floor.a);
  str(w, " ");
  name(w, f->x);
  str(w, ") (* ");
  num(w, -f->u.floor.d);
  str(w, " ");
  name(w, def);
  str(w, ")");
  if (f->u.floor.jump != 0) {
    str(w, " (ite (<= ");
    num(w, f->u.floor.from);
    str(w, " ");
    name(w, f->x);
    str(w, ") ");
    num(w, f->u.floor.jump);
    str(w, " 0)");
  }
  str(w, "))) (and (<= 0 r) (<= r ");
  num(w, f->u.floor.d - 1);
  str(w, "))))\n");
}

static void int_clamp(const writer *w, const qv_def *f) {
  qv_itv x = w->d->def[f->x].itv;
  bool low = x.lo<f->u.clamp.lo, high = x.hi> f->u.clamp.hi;
  if (low) {
    str(w, "(ite (<= ");
    name(w, f->x);
    str(w, " ");
    num(w, f->u.clamp.lo);
    str(w, ") ");
    num(w, f->u.clamp.lo);
    str(w, " ");
  }
  if (high) {
    str(w, "(ite (<= ");
    num(w, f->u.clamp.hi);
    str(w, " ");
    name(w, f->x);
    str(w, ") ");
    num(w, f->u.clamp.hi);
    str(w, " ");
  }
  name(w, f->x);
  str(w, low && high ? "))" : low || high ? ")" : "");
}

/* v[lo..hi] by halving */
static void int_pieces(const writer *w, const qv_def *f, uint32_t lo, uint32_t hi) {
  if (lo == hi) {
    num(w, f->u.pieces.v[lo]);
    return;
  }
  uint32_t mid = lo + (hi - lo) / 2;
  str(w, "(ite (<= ");
  num(w, f->u.pieces.at[mid]);
  str(w, " ");
  name(w, f->x);
  str(w, ") ");
  int_pieces(w, f, mid + 1, hi);
  str(w, " ");
  int_pieces(w, f, lo, mid);
  str(w, ")");
}

/* x = x' + 2^bits * k with x' in the range of that many bits */
static void int_wrap(const writer *w, uint32_t def) {
  const qv_def *f = &w->d->def[def];
  qv_itv x = w->d->def[f->x].itv;
  qv_i128 half = (qv_i128)1 << (f->u.bits - 1), k0 = qv_floor_shift(x.lo + half, f->u.bits), k1 = qv_floor_shift(x.hi + half, f->u.bits);
  qv_buf_printf(w->o, "(declare-fun k%u () Int)\n(assert (and (<= ", def);
  num(w, k0);
  qv_buf_printf(w->o, " k%u) (<= k%u ", def, def);
  num(w, k1);
  str(w, ")))\n(assert (= ");
  name(w, f->x);
  str(w, " (+ ");
  name(w, def);
  str(w, " (* ");
  num(w, 2 * half);
  qv_buf_printf(w->o, " k%u))))\n", def);
}

/* y = lo + sum 2^i b_i, x * y = lo * x + sum of (b_i ? 2^i * x : 0) */
static void int_mul(const writer *w, uint32_t def) {
  const qv_def *f = &w->d->def[def];
  qv_itv y = w->d->def[f->y].all;
  int bits = qv_i128_bits(0, (qv_i128)y.hi - y.lo) - 1;
  for (int i = 0; i < bits; i++) qv_buf_printf(w->o, "(declare-fun b%u_%d () Bool)\n", def, i);
  for (int pass = 0; pass < 2; pass++) {
    str(w, "(assert (= ");
    name(w, pass == 0 ? f->y : def);
    str(w, " (+ ");
    if (pass == 1) str(w, "(* ");
    num(w, y.lo);
    if (pass == 1) str(w, " "), name(w, f->x), str(w, ")");
    for (int i = 0; i < bits; i++) {
      qv_buf_printf(w->o, " (ite b%u_%d ", def, i);
      if (pass == 1) str(w, "(* ");
      num(w, (qv_i128)1 << i);
      if (pass == 1) str(w, " "), name(w, f->x), str(w, ")");
      str(w, " 0)");
    }
    str(w, ")))\n");
  }
}

static void int_def(const writer *w, uint32_t def) {
  const qv_def *f = &w->d->def[def];
  int_declare(w, def, f->itv);
  switch (f->op) {
  case QV_DEF_INPUT: return;
  case QV_DEF_FLOOR: int_floor(w, def); return;
  case QV_DEF_WRAP: int_wrap(w, def); return;
  case QV_DEF_MUL: int_mul(w, def); return;
  case QV_DEF_LIN:
  case QV_DEF_CLAMP:
  case QV_DEF_PIECES:
  case QV_DEF_MAX: break;
  }
  str(w, "(assert (= ");
  name(w, def);
  str(w, " ");
  if (f->op == QV_DEF_LIN) int_lin(w, &f->u.lin);
  if (f->op == QV_DEF_CLAMP) int_clamp(w, f);
  if (f->op == QV_DEF_PIECES) int_pieces(w, f, 0, f->u.pieces.n);
  if (f->op == QV_DEF_MAX) {
    str(w, "(ite (<= ");
    name(w, f->x);
    str(w, " ");
    name(w, f->y);
    str(w, ") ");
    name(w, f->y);
    str(w, " ");
    name(w, f->x);
    str(w, ")");
  }
  str(w, "))\n");
}

/* ---- bit-vectors ------------------------------------------------------------------------------------------------------ */

static int width(const writer *w, uint32_t def) { return qv_i128_bits(w->d->def[def].all.lo, w->d->def[def].all.hi); }

static void bv_num(const writer *w, qv_i128 v, int bits) {
  str(w, "(_ bv");
  qv_u128 u = (qv_u128)v & (bits >= 128 ? ~(qv_u128)0 : ((qv_u128)1 << bits) - 1);
  if (u >> 64 == 0 && u <= INT64_MAX) qv_buf_i64(w->o, (int64_t)u);
  else qv_buf_i128(w->o, (qv_i128)u); /* bits <= 127 */
  qv_buf_printf(w->o, " %d)", bits);
}

/* The value of a definition modulo 2^bits. */
static void bv_fit(const writer *w, uint32_t def, int bits) {
  int have = width(w, def);
  if (have < bits) qv_buf_printf(w->o, "((_ sign_extend %d) ", bits - have);
  if (have > bits) qv_buf_printf(w->o, "((_ extract %d 0) ", bits - 1);
  name(w, def);
  if (have != bits) str(w, ")");
}

static void bv_term(const writer *w, qv_i128 c, uint32_t def, int bits) {
  if (c == 1) {
    bv_fit(w, def, bits);
    return;
  }
  str(w, "(bvmul ");
  bv_num(w, c, bits);
  str(w, " ");
  bv_fit(w, def, bits);
  str(w, ")");
}

/* Sum of terms [lo,hi), hi > lo, as a balanced tree. */
static void bv_sum(const writer *w, const qv_lin *l, uint32_t lo, uint32_t hi, int bits) {
  if (hi - lo == 1) {
    bv_term(w, l->t[lo].w, l->t[lo].def, bits);
    return;
  }
  str(w, "(bvadd ");
  bv_sum(w, l, lo, lo + (hi - lo) / 2, bits);
  str(w, " ");
  bv_sum(w, l, lo + (hi - lo) / 2, hi, bits);
  str(w, ")");
}

static void bv_lin(const writer *w, const qv_lin *l, int bits) {
  if (l->n == 0 || l->c != 0) {
    if (l->n > 0) str(w, "(bvadd ");
    bv_num(w, l->c, bits);
    if (l->n > 0) str(w, " ");
  }
  if (l->n > 0) bv_sum(w, l, 0, l->n, bits);
  if (l->n > 0 && l->c != 0) str(w, ")");
}

/* (from <= x) */
static void bv_at_least(const writer *w, uint32_t x, int64_t from) {
  int bits = qv_i128_bits(from < w->d->def[x].all.lo ? from : w->d->def[x].all.lo, from > w->d->def[x].all.hi ? from : w->d->def[x].all.hi);
  str(w, "(bvsle ");
  bv_num(w, from, bits);
  str(w, " ");
  bv_fit(w, x, bits);
  str(w, ")");
}

/* The numerator moved to [0, ..) by a multiple of d, divided without sign, moved back: all modulo powers of two that hold it. */
static void bv_floor(const writer *w, const qv_def *f, int bits) {
  qv_itv x = w->d->def[f->x].all;
  qv_i128 a = f->u.floor.a, d = f->u.floor.d, j = f->u.floor.jump, p = a * x.lo, q = a * x.hi;
  qv_i128 lo = (p < q ? p : q) + f->u.floor.b + (j < 0 ? j : 0), hi = (p < q ? q : p) + f->u.floor.b + (j > 0 ? j : 0);
  bool power = (d & (d - 1)) == 0;
  qv_i128 back = power ? 0 : qv_floor_div(lo, d); /* quotient 0 belongs to this one */
  int n = qv_i128_bits(lo - back * d, hi - back * d), shift = 0;
  while (power && (qv_i128)1 << shift < d) shift++;
  int nd = qv_i128_bits(0, d);
  if (power && n <= shift) n = shift + 1;
  if (!power && n < nd) n = nd;
  if (!power) {
    str(w, "(bvadd ");
    bv_num(w, back, bits);
    str(w, " ");
  }
  int m = power ? n - shift : n; /* bits of the quotient */
  if (m < bits) qv_buf_printf(w->o, "((_ sign_extend %d) ", bits - m);
  if (m > bits) qv_buf_printf(w->o, "((_ extract %d 0) ", bits - 1);
  if (power) qv_buf_printf(w->o, "((_ extract %d %d) ", n - 1, shift);
  else str(w, "(bvudiv ");
  str(w, "(bvadd ");
  if (j != 0) {
    str(w, "(bvadd (ite ");
    bv_at_least(w, f->x, f->u.floor.from);
    str(w, " ");
    bv_num(w, j, n);
    str(w, " ");
    bv_num(w, 0, n);
    str(w, ") ");
  }
  bv_num(w, f->u.floor.b - back * d, n);
  if (j != 0) str(w, ")");
  str(w, " ");
  bv_term(w, a, f->x, n);
  str(w, ")");
  if (!power) {
    str(w, " ");
    bv_num(w, d, n);
  }
  str(w, ")");
  if (m != bits) str(w, ")");
  if (!power) str(w, ")");
}

static void bv_pieces(const writer *w, const qv_def *f, uint32_t lo, uint32_t hi, int bits) {
  if (lo == hi) {
    bv_num(w, f->u.pieces.v[lo], bits);
    return;
  }
  uint32_t mid = lo + (hi - lo) / 2;
  str(w, "(ite ");
  bv_at_least(w, f->x, f->u.pieces.at[mid]);
  str(w, " ");
  bv_pieces(w, f, mid + 1, hi, bits);
  str(w, " ");
  bv_pieces(w, f, lo, mid, bits);
  str(w, ")");
}

static void bv_clamp(const writer *w, const qv_def *f, int bits) {
  qv_itv x = w->d->def[f->x].itv;
  bool low = x.lo<f->u.clamp.lo, high = x.hi> f->u.clamp.hi;
  if (low) {
    str(w, "(ite (not ");
    bv_at_least(w, f->x, f->u.clamp.lo);
    str(w, ") ");
    bv_num(w, f->u.clamp.lo, bits);
    str(w, " ");
  }
  if (high) {
    str(w, "(ite ");
    bv_at_least(w, f->x, f->u.clamp.hi);
    str(w, " ");
    bv_num(w, f->u.clamp.hi, bits);
    str(w, " ");
  }
  bv_fit(w, f->x, bits);
  str(w, low && high ? "))" : low || high ? ")" : "");
}

static void bv_def(const writer *w, uint32_t def) {
  const qv_def *f = &w->d->def[def];
  int bits = width(w, def);
  str(w, "(declare-fun ");
  name(w, def);
  qv_buf_printf(w->o, " () (_ BitVec %d))\n", bits);
  if (f->op != QV_DEF_INPUT) {
    str(w, "(assert (= ");
    name(w, def);
    str(w, " ");
    switch (f->op) {
    case QV_DEF_LIN: bv_lin(w, &f->u.lin, bits); break;
    case QV_DEF_FLOOR: bv_floor(w, f, bits); break;
    case QV_DEF_CLAMP: bv_clamp(w, f, bits); break;
    case QV_DEF_WRAP: bv_fit(w, f->x, bits); break;
    case QV_DEF_PIECES: bv_pieces(w, f, 0, f->u.pieces.n, bits); break;
    case QV_DEF_MUL:
      str(w, "(bvmul ");
      bv_fit(w, f->x, bits);
      str(w, " ");
      bv_fit(w, f->y, bits);
      str(w, ")");
      break;
    case QV_DEF_MAX: {
      int wx = width(w, f->x), wy = width(w, f->y), m = wx > wy ? wx : wy;
      str(w, "(ite (bvsle ");
      bv_fit(w, f->x, m);
      str(w, " ");
      bv_fit(w, f->y, m);
      str(w, ") ");
      bv_fit(w, f->y, bits);
      str(w, " ");
      bv_fit(w, f->x, bits);
      str(w, ")");
      break;
    }
    case QV_DEF_INPUT: break;
    }
    str(w, "))\n");
  }
  if (f->op != QV_DEF_INPUT && !f->cut) return;
  str(w, "(assert (and ");
  bv_at_least(w, def, f->itv.lo);
  str(w, " (bvsle ");
  name(w, def);
  str(w, " ");
  bv_num(w, f->itv.hi, bits);
  str(w, ")))\n");
}

/* ---- the whole text --------------------------------------------------------------------------------------------------- */

static void goal(const writer *w, qv_smt_encoding e) {
  const qv_defs *d = w->d;
  str(w, "(assert (or false");
  for (uint32_t i = 0; i < d->n_case; i++) {
    str(w, "\n (and true");
    for (uint32_t k = 0; k < d->gcase[i].n; k++) {
      const qv_goal_ineq *q = &d->gcase[i].ineq[k];
      if (e == QV_SMT_INT) {
        str(w, " (<= 0 ");
        int_lin(w, &q->lin);
      } else {
        int bits = qv_i128_bits(q->lo, q->hi);
        str(w, " (bvsle ");
        bv_num(w, 0, bits);
        str(w, " ");
        bv_lin(w, &q->lin, bits);
      }
      str(w, ")");
    }
    str(w, ")");
  }
  str(w, "))\n");
}

qv_status qv_smtlib_write(qv_buf *out, const qv_defs *d, qv_smt_encoding e, bool model, qv_err *err) {
  writer w = {out, d};
  bool any = false;
  str(&w, "; Is there an input of the box whose output violates the condition? sat = yes.\n");
  if (model) str(&w, "(set-option :produce-models true)\n");
  str(&w, e == QV_SMT_INT ? "(set-logic QF_LIA)\n" : "(set-logic QF_BV)\n");
  for (uint32_t i = 0; i < d->n; i++) {
    if (!d->def[i].live) continue;
    qv_status st = i % 64 == 0 ? qv_defs_in_time(d, err) : QV_OK;
    if (st != QV_OK) return st;
    any = any || d->def[i].op == QV_DEF_INPUT;
    if (e == QV_SMT_INT) int_def(&w, i);
    else bv_def(&w, i);
  }
  goal(&w, e);
  str(&w, "(check-sat)\n");
  if (any && model) {
    str(&w, "(get-value (");
    for (uint32_t i = 0; i < d->n; i++)
      if (d->def[i].live && d->def[i].op == QV_DEF_INPUT) name(&w, i), str(&w, "\n");
    str(&w, "))\n");
  }
  if (!model) str(&w, "(exit)\n");
  return out->failed ? QV_FAIL(err, QV_E_NOMEM, "SMT-LIB text") : QV_OK;
}
