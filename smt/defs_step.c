/* Requantization as a floor where it has that form, else by its pieces. */
#include "kernels/step.h"
#include "smt/defs_int.h"

#define FEW 2 /* a step of at most so many more values than one is written as pieces rather than as a floor */

/* RQ(v) + zp as a floor, v = v_a * x + v_b; false if the function has no such form or the numbers are too large.
 * In the notation of docs/semantics.md section 2; identities: docs/smt.md section 2. */
typedef struct {
  qv_i128 a, b, d, jump;
  int64_t from;
} floor_form;

static bool mul128(qv_i128 *out, qv_i128 x, qv_i128 y) {
  return !__builtin_mul_overflow(x, y, out) && *out<QV_DEFS_MOST && * out> - QV_DEFS_MOST;
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
  case QV_RQ_64:
    *f = (vform){p->m < 0x7FFF0000 ? (p->m + (1 << 15)) >> 16 : 0x7FFF, one << (14 - p->sh), one << (15 - p->sh), 0, 0};
    return true;
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
  case QV_RQ_F32:
  case QV_RQ_F64A:
  case QV_RQ_REF:
  case QV_RQ_F32B:
  case QV_RQ_MEANF: return false; /* floating point */
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

static bool floor_step(qv_builder *b, qv_atom *out, const qv_step *s, uint32_t c, qv_atom x) {
  qv_itv r = qv_defs_itv(b, x);
  floor_form f;
  if (!step_form(&f, s, c, r)) return false;
  qv_i128 p = form_value(&f, r.lo), q = form_value(&f, r.hi);
  if (p > q) {
    qv_i128 t = p;
    p = q;
    q = t;
  }
  if (p < INT64_MIN / 2 || q > INT64_MAX / 2) return false;
  int64_t probe[5] = {r.lo, r.hi, r.lo + (int64_t)(((qv_i128)r.hi - r.lo) / 2), qv_clamp64(s->in_zp, r.lo, r.hi),
                      qv_clamp64(f.from, r.lo, r.hi)};
  for (int i = 0; i < 5; i++) /* a wrong identity must not become a wrong answer */
    if (qv_clamp64((int64_t)form_value(&f, probe[i]), s->lo, s->hi) != qv_step_eval(s, c, probe[i]))
      qv_defs_fail(b, QV_FAIL(b->err, QV_E_INTERNAL, "encoding of %s is not its definition", qv_rq_name(s->par[c].fn)));
  qv_def d = {.op = QV_DEF_FLOOR, .itv = {(int64_t)p, (int64_t)q}, .x = x.def, .y = QV_NONE};
  d.u.floor.a = f.a, d.u.floor.b = f.b, d.u.floor.d = f.d, d.u.floor.jump = f.jump, d.u.floor.from = f.from;
  *out = qv_defs_clamp(b, qv_defs_define(b, d), s->lo, s->hi);
  return true;
}

qv_atom qv_defs_step(qv_builder *b, const qv_step *s, uint32_t c, qv_atom x) {
  if (x.def == QV_NONE) return qv_defs_constant(qv_step_eval(s, c, x.c));
  qv_itv r = qv_defs_itv(b, x), y = qv_step_image(s, c, r);
  qv_atom out;
  if (y.lo == y.hi) return qv_defs_constant(y.lo);
  if (y.hi - y.lo > FEW && floor_step(b, &out, s, c, x)) return out;
  if (y.hi - y.lo >= QV_DEFS_PIECES) return qv_defs_refuse(b, "a requantization of more than 65536 values that is not a floor");
  b->n_piece = 0;
  for (int64_t at = r.lo; b->st == QV_OK;) {
    int64_t v = qv_step_eval(s, c, at);
    qv_itv same[2];
    qv_defs_piece(b, at, v);
    if (qv_step_preimage(same, s, c, QV_PRE_EQ, v, (qv_itv){at, r.hi}) != 1 || same[0].lo != at) {
      qv_defs_fail(b, QV_FAIL(b->err, QV_E_INTERNAL, "a step is not monotone"));
    } else {
      if (same[0].hi == r.hi) break;
      at = same[0].hi + 1;
    }
  }
  return qv_defs_pieces(b, x);
}

int64_t qv_def_floor(const qv_def *f, int64_t x) {
  floor_form g = {f->u.floor.a, f->u.floor.b, f->u.floor.d, f->u.floor.jump, f->u.floor.from};
  return (int64_t)form_value(&g, x);
}
