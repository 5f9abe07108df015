#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/array.h"
#include "quant/errpair.h"

#define HUGE_LIMIT 1e150 /* beyond it nothing is claimed: below it no sum or product below can leave binary64 */
#define EFFORT ((uint64_t)1 << 31)
#define PIECES 256 /* of an accumulator's range, where a requantization stands for a curved function */

/* Upper bound of a sum of products: every addend's size is counted, so that the roundings of products and sums can be bounded together. */
typedef struct {
  double s, abs;
  size_t n;
} sum;

static void add(sum *x, double v) {
  x->s += v;
  x->abs += fabs(v);
  x->n++;
}

/* n additions and products err by less than (n + 4) * 2^-52 of the sum of the sizes. */
static double above(const sum *x) { return x->s + x->abs * ((double)x->n + 4) * 0x1p-52 + 0x1p-1000; }

static double size(qv_real x) { return fmax(fabs(x.lo), fabs(x.hi)); }
static qv_real meet(qv_real a, qv_real b) { return (qv_real){fmax(a.lo, b.lo), fmin(a.hi, b.hi)}; }
static qv_real wider(qv_real a) {
  double d = 0x1p-48 * size(a) + 0x1p-1000;
  return (qv_real){a.lo - d, a.hi + d};
}
/* a - b and a + b, outwards. */
static qv_real minus(qv_real a, qv_real b) { return (qv_real){qv_down(a.lo - b.hi), qv_up(a.hi - b.lo)}; }
static qv_real plus(qv_real a, qv_real b) { return (qv_real){qv_down(a.lo + b.lo), qv_up(a.hi + b.hi)}; }
static qv_real hull(qv_real a, qv_real b) { return (qv_real){fmin(a.lo, b.lo), fmax(a.hi, b.hi)}; }
static bool small(qv_real a) { return a.lo > -HUGE_LIMIT && a.hi < HUGE_LIMIT; } /* false for NaN */
/* Both contain the same value. Roundings are outwards, so they meet; if one is not a number the other is taken. */
static qv_real both(qv_real a, qv_real b) {
  if (!(b.lo <= b.hi)) return a;
  if (!(a.lo <= a.hi)) return b;
  qv_real m = meet(a, b);
  return m.lo <= m.hi ? m : a;
}

/* Lines around a function of one variable: x * lower_slope + lower <= f(x) <= x * upper_slope + upper. */
typedef struct {
  double ls, l, us, u;
} lines;

typedef struct {
  const qv_errpair *p;
  const qv_err_domain *dom;
  uint64_t effort, spent;
  int64_t *xlo, *xhi;      /* [vars] integers */
  qv_real *e, *r, *acc;    /* [vars] error, real meaning, error of the accumulator */
  double *rest;            /* [vars] how far the row's rounded terms can be off */
  lines *el;               /* [vars] of e_v around e_acc */
  qv_real *y, *a;          /* [units] value, row */
  double *yrest;           /* [units] */
  lines *yl;
  double *ce, *cy;         /* coefficients of a backward pass: all 0 between passes */
  uint32_t y_done;
  bool *want;              /* [vars] an output: gets its linear bound whatever was spent */
  bool broken;             /* a value beyond HUGE_LIMIT: no claim at all */
  qv_range_result range;
  qv_arena arena;
} engine;

/* ---- backward: a linear form of errors and float values, down to the inputs -------------------------------------------------------- */

typedef struct {
  sum c;          /* constant */
  double slack;   /* sum of (sizes of rounded coefficients) * (sizes of what they multiply) */
  uint32_t ve, vy; /* all coefficients are below these */
  bool bad;        /* a coefficient beyond HUGE_LIMIT */
} form;

static void push(form *f, double *c, uint32_t i, double t, double mag) {
  double n = c[i] + t;
  f->slack += (fabs(t) + fabs(n)) * mag;
  f->bad = f->bad || !(fabs(n) < HUGE_LIMIT);
  c[i] = n;
}

/* Upper bound of what is left, every variable at its worst. */
static double concrete(const engine *x, const form *f) {
  sum s = f->c;
  for (uint32_t v = 0; v < f->ve; v++)
    if (x->ce[v] > 0 || x->ce[v] < 0) add(&s, x->ce[v] * (x->ce[v] > 0 ? x->e[v].hi : x->e[v].lo));
  for (uint32_t k = 0; k < f->vy; k++)
    if (x->cy[k] > 0 || x->cy[k] < 0) add(&s, x->cy[k] * (x->cy[k] > 0 ? x->y[k].hi : x->y[k].lo));
  return above(&s) + f->slack * 0x1p-52 * 1.01;
}

static bool is_row(const qv_evar *v) { return v->kind == QV_EV_ROW || v->kind == QV_EV_TABLE; }

/* Add s * e_acc of v. */
static void push_row(engine *x, form *f, uint32_t at, double s) {
  const qv_evar *v = &x->p->v[at];
  const qv_eterm *t = x->p->term + v->e0;
  for (uint32_t i = 0; i < v->ne; i++) push(f, x->ce, t[i].var, s * t[i].w, size(x->e[t[i].var]));
  t = x->p->term + v->y0;
  for (uint32_t i = 0; i < v->ny; i++) {
    push(f, x->cy, t[i].var, s * t[i].w, size(x->y[t[i].var]));
    if (t[i].var >= f->vy) f->vy = t[i].var + 1;
  }
  add(&f->c, s * v->b);
  add(&f->c, fabs(s) * x->rest[at]);
  x->spent += 2 * (uint64_t)(v->ne + v->ny);
}

static void push_unit(engine *x, form *f, uint32_t k, double s) {
  const qv_funit *u = &x->p->f.unit[k];
  const uint32_t *var = x->p->f.var + u->first;
  const double *w = x->p->f.w + u->first;
  for (uint32_t i = 0; i < u->n; i++) push(f, x->cy, var[i], s * w[i], size(x->y[var[i]]));
  add(&f->c, s * u->b);
  add(&f->c, fabs(s) * x->yrest[k]);
  x->spent += u->n;
}

static bool float_row(const qv_funit *u) {
  return u->fn == QV_FU_CLIP || u->fn == QV_FU_LEAKY || u->fn == QV_FU_SIGMOID || u->fn == QV_FU_TANH;
}

/* Least upper bound found for the form in ce, cy, f, tried whenever the next tensor's variables are reached; ce and cy are 0 afterwards. */
static double eliminate(engine *x, form *f) {
  const qv_errpair *p = x->p;
  double best = INFINITY;
  uint32_t last = QV_NONE;
  for (uint32_t v = f->ve; v-- > p->g->n_in;) {
    double c = x->ce[v];
    if (!(c > 0) && !(c < 0)) continue;
    f->ve = v + 1;
    if (p->g->unit[v].tensor != last) best = fmin(best, concrete(x, f));
    last = p->g->unit[v].tensor;
    x->ce[v] = 0;
    f->ve = v;
    if (!is_row(&p->v[v])) add(&f->c, c * (c > 0 ? x->e[v].hi : x->e[v].lo));
    else {
      const lines *l = &x->el[v];
      double s = c * (c > 0 ? l->us : l->ls);
      f->slack += fabs(s) * size(x->acc[v]);
      add(&f->c, c * (c > 0 ? l->u : l->l));
      push_row(x, f, v, s);
    }
  }
  if (f->ve > p->g->n_in) f->ve = p->g->n_in;
  last = QV_NONE;
  for (uint32_t k = f->vy; k-- > p->f.n_in;) {
    double c = x->cy[k];
    if (!(c > 0) && !(c < 0)) continue;
    const qv_funit *u = &p->f.unit[k];
    f->vy = k + 1;
    if (u->tensor != last) best = fmin(best, concrete(x, f));
    last = u->tensor;
    x->cy[k] = 0;
    f->vy = k;
    if (!float_row(u)) add(&f->c, c * (c > 0 ? x->y[k].hi : x->y[k].lo));
    else {
      const lines *l = &x->yl[k];
      double s = c * (c > 0 ? l->us : l->ls);
      f->slack += fabs(s) * size(x->a[k]);
      add(&f->c, c * (c > 0 ? l->u : l->l));
      push_unit(x, f, k, s);
    }
  }
  if (f->vy > p->f.n_in) f->vy = p->f.n_in;
  best = fmin(best, concrete(x, f));
  bool bad = f->bad;
  memset(x->ce, 0, (bad ? p->g->n : p->g->n_in) * sizeof *x->ce);
  memset(x->cy, 0, (bad ? p->f.n : p->f.n_in) * sizeof *x->cy);
  return bad ? INFINITY : best;
}

/* Bounds of e_acc of v. */
static qv_real back_row(engine *x, uint32_t v) {
  qv_real r;
  for (int side = 0; side < 2; side++) {
    form f = {.ve = v};
    push_row(x, &f, v, side == 0 ? 1 : -1);
    double top = eliminate(x, &f);
    if (side == 0) r.hi = top;
    else r.lo = -top;
  }
  return r;
}

/* Bounds of the row of unit k. */
static qv_real back_unit(engine *x, uint32_t k) {
  qv_real r;
  for (int side = 0; side < 2; side++) {
    form f = {.vy = k};
    push_unit(x, &f, k, side == 0 ? 1 : -1);
    double top = eliminate(x, &f);
    if (side == 0) r.hi = top;
    else r.lo = -top;
  }
  return r;
}

static bool may_spend(const engine *x) { return x->spent < x->effort; }

/* ---- float values ------------------------------------------------------------------------------------------------------------------- */

/* Intercepts of two lines around f on [x.lo, x.hi], given slopes: f minus a line has its extremes at the ends and at `kink`. */
static lines around(const double *at, const double *lo, const double *hi, int n, double ls, double us) {
  lines l = {ls, INFINITY, us, -INFINITY};
  for (int i = 0; i < n; i++) {
    double p = ls * at[i], q = us * at[i];
    l.l = fmin(l.l, lo[i] - p - (fabs(lo[i]) + fabs(p)) * 0x1p-50);
    l.u = fmax(l.u, hi[i] - q + (fabs(hi[i]) + fabs(q)) * 0x1p-50);
  }
  return l;
}

/* Slopes: the chord on the convex side, the area-minimal one on the other. */
static lines float_lines(const qv_funit *u, qv_real a, qv_real y) {
  double at[4] = {a.lo, a.hi, 0, 0}, lo[4] = {0}, hi[4] = {0};
  int n = 2;
  double ls, us;
  qv_real k = qv_fu_slope(u, a);
  if (u->fn == QV_FU_SIGMOID || u->fn == QV_FU_TANH) {
    ls = us = k.lo; /* f - k.lo * x never falls */
    return around((double[]){a.lo, a.hi}, (double[]){qv_fu_image(u, (qv_real){a.lo, a.lo}).lo, y.hi}, (double[]){y.lo, qv_fu_image(u, (qv_real){a.hi, a.hi}).hi}, 2, ls, us);
  }
  double kink[2] = {u->fn == QV_FU_CLIP ? u->lo : 0, u->fn == QV_FU_CLIP ? u->hi : 0};
  bool below = a.lo < kink[0], over = u->fn == QV_FU_CLIP && a.hi > kink[1];
  for (int i = 0; i < 2; i++)
    if (kink[i] > a.lo && kink[i] < a.hi) at[n++] = kink[i];
  for (int i = 0; i < n; i++) {
    qv_real v = qv_fu_image(u, (qv_real){at[i], at[i]});
    lo[i] = v.lo;
    hi[i] = v.hi;
  }
  double width = a.hi - a.lo, chord = width > 0 ? (hi[1] - lo[0]) / width : 0;
  if (!(chord - chord >= 0)) chord = 0;
  ls = us = chord;
  if (k.hi <= k.lo) ls = us = k.lo;
  else if (u->fn == QV_FU_LEAKY) {
    if (u->alpha <= 1) ls = a.hi > -a.lo ? 1 : u->alpha;
    else us = a.hi > -a.lo ? 1 : u->alpha;
  } else if (below && !over) ls = a.hi > -a.lo ? 1 : 0;
  else if (over && !below) us = a.hi - u->hi < u->hi - a.lo ? 1 : 0;
  else if (below && over) {
    us = (u->hi - u->lo) / (u->hi - a.lo);
    ls = (u->hi - u->lo) / (a.hi - u->lo);
    if (!(us - us >= 0)) us = 0;
    if (!(ls - ls >= 0)) ls = 0;
  }
  return around(at, lo, hi, n, ls, us);
}

static qv_real unit_row(engine *x, uint32_t k) {
  const qv_funit *u = &x->p->f.unit[k];
  const uint32_t *var = x->p->f.var + u->first;
  const double *w = x->p->f.w + u->first;
  sum lo = {0}, hi = {0};
  double mag = u->b_abs;
  for (uint32_t i = 0; i < u->n; i++) {
    qv_real y = x->y[var[i]];
    add(&hi, w[i] * (w[i] > 0 ? y.hi : y.lo));
    add(&lo, -(w[i] * (w[i] > 0 ? y.lo : y.hi)));
    mag += fabs(w[i]) * size(y);
  }
  x->yrest[k] = u->rel * mag * 1.001;
  add(&hi, u->b);
  add(&lo, -u->b);
  add(&hi, x->yrest[k]);
  add(&lo, x->yrest[k]);
  x->spent += u->n;
  return (qv_real){-above(&lo), above(&hi)};
}

static qv_real product(qv_real a, qv_real b) {
  double p[4] = {a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi};
  return wider((qv_real){fmin(fmin(p[0], p[1]), fmin(p[2], p[3])), fmax(fmax(p[0], p[1]), fmax(p[2], p[3]))});
}

static void float_unit(engine *x, uint32_t k) {
  const qv_funit *u = &x->p->f.unit[k];
  const uint32_t *var = x->p->f.var + u->first;
  if (u->fn == QV_FU_INPUT) return; /* the domain */
  if (u->fn == QV_FU_UNIT) x->y[k] = (qv_real){0, 1};
  else if (u->fn == QV_FU_MUL) x->y[k] = product(x->y[var[0]], x->y[var[1]]);
  else if (u->fn == QV_FU_MAX) {
    qv_real m = u->constant ? (qv_real){u->b, u->b} : (qv_real){-INFINITY, -INFINITY};
    for (uint32_t i = 0; i < u->n; i++) m = (qv_real){fmax(m.lo, x->y[var[i]].lo), fmax(m.hi, x->y[var[i]].hi)};
    x->y[k] = u->n == 0 && !u->constant ? (qv_real){0, 0} : m;
  } else {
    x->a[k] = unit_row(x, k);
    qv_real s = qv_fu_slope(u, x->a[k]);
    if (s.lo < s.hi && may_spend(x) && u->n > 1) x->a[k] = both(x->a[k], back_unit(x, k));
    x->y[k] = qv_fu_image(u, x->a[k]);
    x->yl[k] = float_lines(u, x->a[k], x->y[k]);
    x->broken = x->broken || !small(x->a[k]);
  }
  x->broken = x->broken || !small(x->y[k]);
}

static void float_until(engine *x, uint32_t k) {
  for (; x->y_done <= k && x->y_done < x->p->f.n; x->y_done++) float_unit(x, x->y_done);
}

/* ---- requantizations ------------------------------------------------------------------------------------------------------------------- */

/* Is f the identity, or a clip? Then requantization less f is piecewise linear. */
static bool clips(const qv_errpair *p, const qv_evar *v) { return !v->own || p->f.unit[v->k].fn == QV_FU_CLIP; }

static double cut(double x, double lo, double hi) { return fmin(hi, fmax(lo, x)); }

/* clip(t + d) - f(t) over t in T, |d| <= distance: at the ends and the kinks. */
static qv_real clip_deviation(const qv_evar *v, double flo, double fhi, qv_real t, double d) {
  qv_real r = {INFINITY, -INFINITY};
  for (int side = 0; side < 2; side++) {
    double s = side == 0 ? -d : d, at[6] = {t.lo, t.hi, v->r_lo - s, v->r_hi - s, flo, fhi};
    for (int i = 0; i < 6; i++) {
      double p = cut(at[i], t.lo, t.hi), q = cut(p + s, v->r_lo, v->r_hi), y = cut(p, flo, fhi);
      double slack = (fabs(p) + fabs(s) + fabs(q) + fabs(y)) * 0x1p-48;
      r = hull(r, (qv_real){q - y - slack, q - y + slack});
    }
  }
  return r;
}

/* The same for a curved f that never falls: T in pieces. */
static qv_real curve_deviation(const qv_evar *v, const qv_funit *u, qv_real t, double d) {
  qv_real r = {INFINITY, -INFINITY};
  for (int i = 0; i < PIECES; i++) {
    double a = t.lo + (t.hi - t.lo) / PIECES * i, b = i == PIECES - 1 ? t.hi : t.lo + (t.hi - t.lo) / PIECES * (i + 1);
    qv_real y = qv_fu_image(u, (qv_real){a, b}), q = {cut(a - d, v->r_lo, v->r_hi), cut(b + d, v->r_lo, v->r_hi)};
    r = hull(r, wider(minus(wider(q), y)));
  }
  return r;
}

/* Every entry of the table that can be read. */
static qv_real table_deviation(engine *x, uint32_t at) {
  const qv_evar *v = &x->p->v[at];
  const qv_unit *un = &x->p->g->unit[at];
  const qv_funit *u = &x->p->f.unit[v->k];
  qv_real r = {INFINITY, -INFINITY};
  for (int64_t q = x->xlo[un->arg]; q <= x->xhi[un->arg]; q++) {
    double t = v->rho * (double)(q - x->p->v[un->arg].z), y = v->s * (double)(qv_unit_eval(x->p->g, at, q) - v->z); /* both exact below 2^29 */
    r = hull(r, wider(minus((qv_real){y, y}, qv_fu_image(u, wider((qv_real){t, t})))));
  }
  return r;
}

/* ---- errors ------------------------------------------------------------------------------------------------------------------------------ */

static qv_real error_row(engine *x, uint32_t at) {
  const qv_evar *v = &x->p->v[at];
  const qv_eterm *t = x->p->term + v->e0;
  sum lo = {0}, hi = {0};
  double mag = 0, ymag = v->b_abs;
  for (uint32_t i = 0; i < v->ne; i++) {
    qv_real e = x->e[t[i].var];
    add(&hi, t[i].w * (t[i].w > 0 ? e.hi : e.lo));
    add(&lo, -(t[i].w * (t[i].w > 0 ? e.lo : e.hi)));
    mag += fabs(t[i].w) * size(e);
  }
  t = x->p->term + v->y0;
  for (uint32_t i = 0; i < v->ny; i++) {
    qv_real y = x->y[t[i].var];
    add(&hi, t[i].w * (t[i].w > 0 ? y.hi : y.lo));
    add(&lo, -(t[i].w * (t[i].w > 0 ? y.lo : y.hi)));
    ymag += (double)t[i].abs * size(y);
  }
  /* roundings of the terms themselves (errpair.h), and of the float row's */
  double n = (double)v->ne + (double)v->ny + 16;
  x->rest[at] = (0x1p-50 * mag + n * 0x1p-52 * ymag) * 1.01 + (v->own ? x->yrest[v->k] : 0);
  add(&hi, v->b);
  add(&lo, -v->b);
  add(&hi, x->rest[at]);
  add(&lo, x->rest[at]);
  x->spent += v->ne + v->ny;
  return (qv_real){-above(&lo), above(&hi)};
}

/* k * e for slopes k and errors e, and lines around it. */
static qv_real sloped(lines *l, qv_real k, qv_real e) {
  double at[3] = {e.lo, e.hi, 0}, lo[3], hi[3];
  int n = e.lo < 0 && e.hi > 0 ? 3 : 2;
  for (int i = 0; i < n; i++) {
    qv_real p = wider((qv_real){fmin(k.lo * at[i], k.hi * at[i]), fmax(k.lo * at[i], k.hi * at[i])});
    lo[i] = p.lo;
    hi[i] = p.hi;
  }
  double width = e.hi - e.lo, ls = width > 0 ? (lo[1] - lo[0]) / width : k.lo, us = width > 0 ? (hi[1] - hi[0]) / width : k.lo;
  if (k.hi <= k.lo) ls = us = k.lo;
  if (!(ls - ls >= 0)) ls = k.lo;
  if (!(us - us >= 0)) us = k.lo;
  *l = around(at, lo, hi, n, ls, us);
  return (qv_real){fmin(lo[0], lo[1]), fmax(hi[0], hi[1])};
}

/* L of v: what it stands for. */
static qv_real meaning(const engine *x, const qv_evar *v) {
  if (v->k == QV_NONE) return (qv_real){v->c, v->c};
  if (v->own) return x->y[v->k];
  qv_real y = x->y[v->k];
  double p = v->a * y.lo, q = v->a * y.hi, d = (size(y) * fabs(v->a) + fabs(v->c)) * 0x1p-50;
  return (qv_real){fmin(p, q) + v->c - d, fmax(p, q) + v->c + d};
}

static void row_error(engine *x, uint32_t at) {
  const qv_errpair *p = x->p;
  const qv_evar *v = &p->v[at];
  static const qv_funit identity = {.fn = QV_FU_CLIP, .lo = -INFINITY, .hi = INFINITY};
  const qv_funit *u = v->own ? &p->f.unit[v->k] : &identity;
  qv_real e = error_row(x, at), a = v->own ? x->a[v->k] : meaning(x, v), t;
  qv_itv acc = qv_unit_acc(p->g, at, x->xlo, x->xhi);
  double l = v->rho * (double)acc.lo, h = v->rho * (double)acc.hi, d = (fabs(l) + fabs(h) + fabs(v->kappa)) * 0x1p-50;
  t = (qv_real){fmin(l, h) + v->kappa - d, fmax(l, h) + v->kappa + d};
  e = both(e, minus(t, a));
  qv_real k = qv_fu_slope(u, hull(t, a));
  if ((may_spend(x) || (x->effort > 1 && x->want[at])) && (k.lo < k.hi || v->ne > 1)) e = both(e, back_row(x, at));
  t = both(t, plus(a, e));
  a = both(a, minus(t, e));
  k = qv_fu_slope(u, hull(t, a));
  x->acc[at] = e;
  double far = fmax(fabs(t.lo - v->off), fabs(t.hi - v->off)) * (1 + 0x1p-50);
  double dist = qv_up(v->alpha + qv_up(v->beta * far));
  qv_real dev = v->kind == QV_EV_TABLE ? table_deviation(x, at)
                : clips(p, v)          ? clip_deviation(v, u->lo, u->hi, t, dist)
                                       : curve_deviation(v, u, t, dist);
  qv_real s = sloped(&x->el[at], k, e), direct = minus(qv_fu_image(u, t), qv_fu_image(u, a));
  x->e[at] = plus(both(s, direct), dev);
  x->el[at].l = qv_down(x->el[at].l + dev.lo);
  x->el[at].u = qv_up(x->el[at].u + dev.hi);
  if (v->own) x->y[v->k] = both(x->y[v->k], qv_fu_image(u, a));
  x->broken = x->broken || !small(e) || !small(t) || !small(a) || !small(dev);
}

/* The real meaning of the integers, and what errors and float values say about each other. */
static void refine(engine *x, uint32_t at) {
  const qv_evar *v = &x->p->v[at];
  qv_real l = meaning(x, v);
  double a = v->s * (double)(x->xlo[at] - v->z), b = v->s * (double)(x->xhi[at] - v->z);
  qv_real r = wider((qv_real){a, b});
  x->r[at] = both(r, plus(l, x->e[at]));
  x->e[at] = both(x->e[at], minus(x->r[at], l));
  if (v->own) x->y[v->k] = both(x->y[v->k], minus(x->r[at], x->e[at]));
  double lo = x->r[at].lo / v->s + (double)v->z, hi = x->r[at].hi / v->s + (double)v->z;
  if (fabs(lo) < 0x1p40 && (int64_t)ceil(lo - 0.01) > x->xlo[at]) x->xlo[at] = qv_min64((int64_t)ceil(lo - 0.01), x->xhi[at]);
  if (fabs(hi) < 0x1p40 && (int64_t)floor(hi + 0.01) < x->xhi[at]) x->xhi[at] = qv_max64((int64_t)floor(hi + 0.01), x->xlo[at]);
}

static void max_error(engine *x, uint32_t at) {
  const qv_evar *v = &x->p->v[at];
  const qv_eterm *t = x->p->term + v->e0;
  qv_real e = {INFINITY, -INFINITY};
  for (uint32_t i = 0; i < v->ne; i++) e = hull(e, x->e[t[i].var]);
  x->e[at] = e;
}

/* Does qv_unit_image of qv_unit_acc hold x_v's range? Without `default`: a new kind of unit has to be looked at here. */
static bool has_image(qv_unit_fn fn) {
  switch (fn) {
  case QV_UNIT_ID:
  case QV_UNIT_STEP:
  case QV_UNIT_TABLE:
  case QV_UNIT_THRESHOLD:
  case QV_UNIT_CLAMP:
  case QV_UNIT_TAP:
  case QV_UNIT_MAX:
  case QV_UNIT_PRODUCT: return true;
  case QV_UNIT_FREE: break;
  }
  return false;
}

static void integer_range(engine *x, uint32_t at) {
  const qv_graph *g = x->p->g;
  const qv_unit *u = &g->unit[at];
  qv_itv r = qv_ranges_at(&x->range.tensor[u->tensor], u->el);
  if (has_image(u->fn)) {
    qv_itv s = qv_unit_image(g, at, qv_unit_acc(g, at, x->xlo, x->xhi));
    r = (qv_itv){qv_max64(r.lo, s.lo), qv_min64(r.hi, s.hi)};
  }
  x->xlo[at] = r.lo;
  x->xhi[at] = r.hi;
}

static void variable(engine *x, uint32_t at) {
  const qv_evar *v = &x->p->v[at];
  if (v->k != QV_NONE) float_until(x, v->k);
  for (uint32_t i = 0; i < v->ny; i++) float_until(x, x->p->term[v->y0 + i].var);
  integer_range(x, at);
  x->e[at] = (qv_real){-INFINITY, INFINITY};
  if (is_row(v)) row_error(x, at);
  else if (v->kind == QV_EV_MAX) max_error(x, at);
  refine(x, at);
  x->broken = x->broken || !small(x->e[at]) || !small(x->r[at]);
}

/* ---- inputs -------------------------------------------------------------------------------------------------------------------------------- */

/* Code of x. A grid of codes, where the input is the codes themselves, has no rounding of its own. */
static qv_status code(int64_t *q, const qv_errpair *p, float x, bool upper, qv_err *err) {
  const qv_tensor *t = &p->net->tensor[p->in];
  if (p->net->in[0].end == QV_END_INT) {
    double c = (double)x / (double)t->scale + (double)t->zp;
    c = fmin(0x1p40, fmax(-0x1p40, c));
    *q = (int64_t)(upper ? floor(c + 1e-3) : ceil(c - 1e-3)); /* outwards: floats next to a code count as the code */
    return QV_OK;
  }
  return qv_end_quantize(q, p->net, 0, x, err);
}

static qv_status input(engine *x, uint32_t at, float lo, float hi, qv_err *err) {
  const qv_errpair *p = x->p;
  const qv_evar *v = &p->v[at];
  const qv_tensor *t = &p->net->tensor[p->in];
  bool grid = x->dom->grid || p->net->in[0].end == QV_END_INT;
  int64_t a, b;
  if (!(lo <= hi)) return QV_FAIL(err, QV_E_ARG, "error bound: an empty domain");
  qv_status st = code(&a, p, lo, false, err);
  if (st == QV_OK) st = code(&b, p, hi, true, err);
  if (st != QV_OK) return st;
  x->xlo[at] = qv_clamp64(a, t->lo, t->hi);
  x->xhi[at] = qv_clamp64(b, t->lo, t->hi);
  if (x->xlo[at] > x->xhi[at]) return QV_FAIL(err, QV_E_ARG, "error bound: no code lies in the domain");
  double rl = v->s * (double)(x->xlo[at] - v->z), rh = v->s * (double)(x->xhi[at] - v->z);
  x->r[at] = wider((qv_real){rl, rh});
  if (v->k == QV_NONE) {
    x->e[at] = minus(x->r[at], (qv_real){v->c, v->c});
    return QV_OK;
  }
  if (grid) {
    x->y[v->k] = x->r[at];
    x->e[at] = (qv_real){0, 0};
    return QV_OK;
  }
  /* |S * round(x/S) - x| <= S/2 and the roundings of the division; then the clip to the codes' range */
  x->y[v->k] = (qv_real){(double)lo, (double)hi};
  double d = v->s * 0.5 * (1 + 0x1p-50) + 0x1p-21 * size(x->y[v->k]) + 0x1p-140;
  qv_evar clip = {.r_lo = v->s * (double)(t->lo - v->z), .r_hi = v->s * (double)(t->hi - v->z)};
  x->e[at] = both(clip_deviation(&clip, -INFINITY, INFINITY, x->y[v->k], d), minus(x->r[at], x->y[v->k]));
  return QV_OK;
}

static qv_status inputs(engine *x, qv_err *err) {
  const qv_errpair *p = x->p;
  const qv_tensor *t = &p->net->tensor[p->in];
  const qv_ftensor *f = &p->fg->tensor[p->fg->in];
  float clo, chi;
  qv_errpair_codes(p, &clo, &chi);
  for (uint32_t e = 0; e < p->g->n_in; e++) {
    size_t at = qv_errpair_at(f, p->turned[p->in], e);
    qv_status st = input(x, e, x->dom->lo != NULL ? x->dom->lo[at] : clo, x->dom->hi != NULL ? x->dom->hi[at] : chi, err);
    if (st != QV_OK) return st;
  }
  qv_itv *itv = QV_NEW(&x->arena, p->g->n_in, qv_itv);
  if (itv == NULL) return QV_FAIL(err, QV_E_NOMEM, "error bound");
  for (uint32_t e = 0; e < p->g->n_in; e++) itv[e] = (qv_itv){x->xlo[e], x->xhi[e]};
  const qv_ranges box = {.n = (uint32_t)qv_elems(t), .inner = 1, .itv = itv}, *in[1] = {&box};
  return qv_range_run(&x->range, p->net, &(qv_domain){.in = in}, err);
}

/* ---- the whole ---------------------------------------------------------------------------------------------------------------------------- */

static bool allocate(engine *x) {
  size_t n = x->p->g->n, f = x->p->f.n;
  x->xlo = QV_NEW(&x->arena, n, int64_t);
  x->xhi = QV_NEW(&x->arena, n, int64_t);
  x->e = QV_NEW(&x->arena, n, qv_real);
  x->r = QV_NEW(&x->arena, n, qv_real);
  x->acc = QV_NEW(&x->arena, n, qv_real);
  x->rest = QV_NEW(&x->arena, n, double);
  x->el = QV_NEW(&x->arena, n, lines);
  x->y = QV_NEW(&x->arena, f, qv_real);
  x->a = QV_NEW(&x->arena, f, qv_real);
  x->yrest = QV_NEW(&x->arena, f, double);
  x->yl = QV_NEW(&x->arena, f, lines);
  x->ce = QV_NEW(&x->arena, n, double);
  x->cy = QV_NEW(&x->arena, f, double);
  x->want = QV_NEW(&x->arena, n, bool);
  return x->want != NULL && x->cy != NULL && x->ce != NULL && x->yl != NULL && x->yrest != NULL && x->a != NULL && x->y != NULL && x->el != NULL && x->rest != NULL &&
         x->acc != NULL && x->r != NULL && x->e != NULL && x->xhi != NULL && x->xlo != NULL;
}

/* Output element i: its variable's error where that is the error asked about, else the difference of the two ranges. */
static qv_real output(engine *x, size_t e, size_t *at) {
  const qv_errpair *p = x->p;
  const qv_tensor *t = &p->net->tensor[p->out];
  *at = qv_errpair_at(&p->fg->tensor[p->fout], p->turned[p->out], e);
  qv_element q = p->g->element[p->out][e];
  qv_felement y = p->f.element[p->fout][*at];
  const qv_evar *v = q.var == QV_NONE ? NULL : &p->v[q.var];
  qv_real yr = {y.c, y.c};
  if (y.var != QV_NONE) {
    float_until(x, y.var);
    yr = x->y[y.var];
  }
  int64_t lo = v == NULL ? q.c : x->xlo[q.var], hi = v == NULL ? q.c : x->xhi[q.var];
  double s = (double)t->scale;
  qv_real d = minus(wider((qv_real){s * (double)(lo - t->zp), s * (double)(hi - t->zp)}), yr);
  bool same = v != NULL && v->own && v->k == y.var && !(v->s < s) && !(v->s > s) && v->z == t->zp;
  return same ? both(x->e[q.var], d) : d;
}

qv_status qv_err_bound_run(qv_err_bound *out, const qv_errpair *p, const qv_err_domain *dom, qv_err *err) {
  engine x = {.p = p, .dom = dom, .effort = dom->effort == 0 ? EFFORT : dom->effort};
  qv_status st;
  *out = (qv_err_bound){.n = qv_errpair_outputs(p)};
  out->lo = QV_NEW(&out->arena, out->n, double);
  out->hi = QV_NEW(&out->arena, out->n, double);
  if (out->lo == NULL || out->hi == NULL || !allocate(&x)) {
    st = QV_FAIL(err, QV_E_NOMEM, "error bound");
    goto done;
  }
  QV_TRY(inputs(&x, err));
  x.y_done = p->f.n_in;
  for (size_t e = 0; e < out->n; e++)
    if (p->g->element[p->out][e].var != QV_NONE) x.want[p->g->element[p->out][e].var] = true;
  for (uint32_t v = p->g->n_in; v < p->g->n; v++) variable(&x, v);
  for (size_t e = 0; e < out->n; e++) {
    size_t at;
    qv_real r = output(&x, e, &at);
    if (x.broken || !small(r)) r = (qv_real){-INFINITY, INFINITY};
    out->lo[at] = r.lo;
    out->hi[at] = r.hi;
    out->max = fmax(out->max, size(r));
  }
done:
  qv_range_clear(&x.range);
  qv_arena_clear(&x.arena);
  return st;
}

void qv_err_bound_clear(qv_err_bound *b) {
  qv_arena_clear(&b->arena);
  *b = (qv_err_bound){0};
}
