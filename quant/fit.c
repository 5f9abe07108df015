#include "quant/fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SCALES 256 /* tried: up to 2^32 times the first */
#define HALVINGS 60

int32_t qv_weight_code(double u, int32_t top, bool powers) {
  double m = fabs(u), c;
  if (!powers) return (int32_t)fmin(top, fmax(-top, rint(u)));
  if (m <= 0.5) return 0;
  int e = m < 1 ? 0 : ilogb(m);
  c = ldexp(1, e);
  if (m - c > 2 * c - m) c *= 2;
  c = fmin(c, top);
  return (int32_t)(u < 0 ? -c : c);
}

/* One channel under one scale. */
typedef struct {
  size_t n;
  const float *w;
  double s;
  int64_t xl, xh; /* code of the input minus its zero point: xl <= 0 <= xh */
  int64_t b, lo, hi;
  bool powers;
  int32_t *code;
  bool pairs;
  int64_t top;         /* pairs: largest stored code of the input      */
  uint32_t ic, kernel; /* pairs: code[c * kernel + k], paired in the order of (k, c) */
} channel;

/* Place of term i of a kernel's order. */
static size_t place(const channel *c, size_t i) { return i % c->ic * c->kernel + i / c->ic; }

/* Weights of different sign cannot both pull one way while stored codes are not negative. */
static bool pair_fits(const channel *c, int32_t a, int32_t b) {
  int64_t up = (a > 0 ? a : 0) + (b > 0 ? b : 0), down = (a < 0 ? -a : 0) + (b < 0 ? -b : 0);
  return up * c->top <= INT16_MAX && -down * c->top >= INT16_MIN;
}

/* Least and largest sum without the bias. */
static void range_of(const channel *c, int64_t *least, int64_t *most) {
  int64_t pos = 0, neg = 0;
  for (size_t i = 0; i < c->n; i++) *(c->code[i] > 0 ? &pos : &neg) += c->code[i];
  *least = c->xl * pos + c->xh * neg;
  *most = c->xh * pos + c->xl * neg;
}

static bool fits(const channel *c) {
  int64_t least, most;
  range_of(c, &least, &most);
  for (size_t i = 0; c->pairs && i + 1 < c->n; i += 2)
    if (!pair_fits(c, c->code[place(c, i)], c->code[place(c, i + 1)])) return false;
  return qv_min64(least, c->b + least) >= c->lo && qv_max64(most, c->b + most) <= c->hi;
}

static double error_of(const channel *c) {
  double e = 0;
  for (size_t i = 0; i < c->n; i++) {
    double d = (double)c->w[i] - c->s * (double)c->code[i];
    e += d * d;
  }
  return e;
}

/* Lowering a code of size m to the next, n, adds (m-n)(2u-n-m) to the squared error, u = size of w/s, and takes (m-n)*x from the sum: the price
 * of a unit is (2u-n-m)/x, which rises with every step. All steps of at most this price, from m on. */
static int32_t lowered(int32_t m, double u, double x, double price, bool powers) {
  if (!(x > 0)) return m;
  if (!powers) return (int32_t)fmax(0, fmin(m, ceil((2 * u + 1 - price * x) / 2) - 1));
  while (m > 0 && 2 * u - m - m / 2 <= price * x) m /= 2;
  return m;
}

/* The largest sum (side > 0), or the least, is brought inside by the cheapest steps. from: codes to start at. */
static void lower_side(channel *c, int side, const int32_t *from) {
  double xp = (double)(side > 0 ? c->xh : -c->xl), xn = (double)(side > 0 ? -c->xl : c->xh), dear = 0, cheap = 0;
  for (size_t i = 0; i < c->n; i++) {
    double u = fabs((double)c->w[i]) / c->s, x = from[i] > 0 ? xp : xn;
    if (from[i] != 0 && x > 0) dear = fmax(dear, (2 * u + 1) / x), cheap = fmin(cheap, 2 * (u - abs(from[i])) / x);
  }
  cheap -= 1;
  for (int k = 0; k <= HALVINGS; k++) {
    double price = k == HALVINGS ? dear : cheap + (dear - cheap) / 2;
    for (size_t i = 0; i < c->n; i++) {
      int32_t m = lowered(abs(from[i]), fabs((double)c->w[i]) / c->s, from[i] > 0 ? xp : xn, price, c->powers);
      c->code[i] = from[i] < 0 ? -m : m;
    }
    int64_t least, most;
    range_of(c, &least, &most);
    bool in = side > 0 ? qv_max64(most, c->b + most) <= c->hi : qv_min64(least, c->b + least) >= c->lo;
    *(in ? &dear : &cheap) = price;
  }
  for (size_t i = 0; i < c->n; i++) { /* weights of one price went together: some need not have */
    int32_t m = abs(c->code[i]), up = c->powers ? (m == 0 ? 1 : 2 * m) : m + 1, old = c->code[i];
    double u = fabs((double)c->w[i]) / c->s, x = from[i] > 0 ? xp : xn;
    if (old == from[i] || (2 * u - up - m) / x < dear - 1e-9 * fabs(dear)) continue;
    c->code[i] = from[i] < 0 ? -up : up;
    int64_t least, most;
    range_of(c, &least, &most);
    if (side > 0 ? qv_max64(most, c->b + most) > c->hi : qv_min64(least, c->b + least) < c->lo) c->code[i] = old;
  }
}

/* What lowering code i by one step costs for what it takes. */
static double price_of(const channel *c, size_t i) {
  int32_t m = abs(c->code[i]);
  return 2 * fabs((double)c->w[i]) / c->s - m - (c->powers ? m / 2 : m - 1);
}

static void lower_pairs(channel *c) {
  for (size_t i = 0; i + 1 < c->n; i += 2) {
    size_t a = place(c, i), b = place(c, i + 1);
    while (!pair_fits(c, c->code[a], c->code[b])) {
      size_t j = c->code[a] == 0 || (c->code[b] != 0 && price_of(c, b) < price_of(c, a)) ? b : a;
      int32_t m = abs(c->code[j]), down = c->powers ? m / 2 : m - 1;
      c->code[j] = c->code[j] < 0 ? -down : down;
    }
  }
}

/* Codes that fit at c->s; false: the bias alone does not. from: room for the codes. */
static bool lower(channel *c, int32_t *from) {
  if (c->b < c->lo || c->b > c->hi) return false;
  if (c->pairs) lower_pairs(c);
  for (int side = 1; side >= -1 && !fits(c); side -= 2) {
    memcpy(from, c->code, c->n * sizeof *from);
    lower_side(c, side, from);
  }
  return fits(c);
}

/* Channels [first,first+n) of node k, which share a scale. */
typedef struct {
  const qv_quantized *q;
  const qv_qweights *r;
  const float *w;
  size_t per;
  uint32_t first, n;
  int32_t top;
  channel c;
  int32_t *code, *from; /* [n * per] of the scale at hand; room for a channel */
  int64_t *b;           /* [n] */
} block;

/* Codes at step k of the scales; *error. False: no codes fit. */
static bool try_scale(block *x, int k, double *error, bool *lowered_any) {
  float was = x->r->s[x->r->n_s == 1 ? 0 : x->first], s = qv_quant_scale((float)((double)was * exp2(x->q->opts.pow2 ? k : k / 8.0)), &x->q->opts);
  *error = 0;
  *lowered_any = false;
  x->c.s = (double)s;
  for (uint32_t o = 0; o < x->n; o++) {
    size_t at = (size_t)(x->first + o) * x->per;
    x->c.w = x->w + at;
    x->c.code = x->code + (size_t)o * x->per;
    x->c.b = x->b[o] = (int64_t)rint((double)x->r->b[x->first + o] * (double)was / (double)s);
    for (size_t i = 0; i < x->per; i++) x->c.code[i] = k == 0 ? x->r->w[at + i] : qv_weight_code((double)x->w[at + i] / (double)s, x->top, x->c.powers);
    if (!fits(&x->c)) {
      *lowered_any = true;
      if (!lower(&x->c, x->from)) return false;
    }
    *error += error_of(&x->c);
  }
  return true;
}

static void keep(block *x, int k, qv_qweights *r) {
  double error;
  bool lowered_any;
  uint32_t at = r->n_s == 1 ? 0 : x->first;
  float s = qv_quant_scale((float)((double)r->s[at] * exp2(x->q->opts.pow2 ? k : k / 8.0)), &x->q->opts);
  (void)try_scale(x, k, &error, &lowered_any);
  r->s[at] = s;
  for (uint32_t o = 0; o < x->n; o++) r->b[x->first + o] = (int32_t)x->b[o];
  memcpy(r->w + (size_t)x->first * x->per, x->code, (size_t)x->n * x->per * sizeof *r->w);
}

/* *changed: the block did not fit as it was. */
static qv_status fit_block(block *x, qv_qweights *r, const char *name, bool *changed, qv_err *err) {
  int best = -1;
  double least = INFINITY;
  *changed = false;
  for (int k = 0; k < SCALES; k++) {
    double e;
    bool any;
    bool ok = try_scale(x, k, &e, &any);
    if (k == 0 && ok && !any) return QV_OK;
    if (ok && e < least) least = e, best = k;
    if (ok && !any) break; /* a larger scale only rounds more */
  }
  if (best < 0) return QV_FAIL(err, QV_E_UNSUP, "node \"%s\": no scale keeps its sum within the accumulator", name);
  *changed = true;
  keep(x, best, r);
  return QV_OK;
}

static double noise_of(const qv_qweights *r, const float *w, size_t per, uint32_t oc) {
  double e = 0, all = 0;
  for (uint32_t o = 0; o < oc; o++)
    for (size_t i = 0; i < per; i++) {
      size_t at = (size_t)o * per + i;
      double d = (double)w[at] - (double)r->s[r->n_s == 1 ? 0 : o] * (double)r->w[at];
      e += d * d;
      all += (double)w[at] * (double)w[at];
    }
  return all > 0 ? e / all : 0;
}

static int32_t levels_of(const qv_qweights *r, size_t n) {
  int32_t m = 0;
  for (size_t i = 0; i < n; i++) m = abs(r->w[i]) > m ? abs(r->w[i]) : m;
  return m;
}

static qv_status fit_node(qv_quantized *q, uint32_t k, int bits, qv_err *err) {
  const qv_fgraph *g = q->g;
  const qv_ftensor *w = &g->tensor[g->node[k].in[1]];
  const qv_fakeq *p = &q->q[g->node[k].in[0]];
  qv_qweights *r = &q->w[k];
  qv_fit_layer *f = &q->fit[k];
  uint32_t oc = w->dim[0], n = r->n_s == 1 ? oc : 1;
  size_t per = qv_felems(w) / oc;
  block x = {.q = q, .r = r, .w = w->data, .per = per, .n = n, .top = qv_weight_top(r->bits, q->opts.pow2_weights)};
  x.c = (channel){.n = per, .xl = (int64_t)p->lo - p->zp, .xh = (int64_t)p->hi - p->zp, .lo = -((int64_t)1 << (bits - 1)), .powers = q->opts.pow2_weights};
  x.c.hi = -x.c.lo - 1;
  x.c.kernel = (uint32_t)(per / w->dim[1]);
  x.c.ic = w->dim[1];
  x.c.top = p->hi;
  x.c.pairs = q->opts.pairs && p->lo >= 0 && p->hi <= UINT8_MAX && !(g->node[k].op == QF_CONV && w->dim[1] == 1 && g->node[k].groups == oc);
  x.code = malloc((size_t)n * per * sizeof *x.code);
  x.from = malloc(per * sizeof *x.from);
  x.b = malloc(n * sizeof *x.b);
  qv_status st = x.code != NULL && x.from != NULL && x.b != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "weights within an accumulator");
  if (f->bits == 0) *f = (qv_fit_layer){.bits = bits, .levels_was = levels_of(r, per * oc), .noise_was = noise_of(r, w->data, per, oc)};
  for (; st == QV_OK && x.first < oc; x.first += n) {
    bool changed;
    st = fit_block(&x, r, g->node[k].name, &changed, err);
    f->channels += changed ? n : 0;
  }
  f->levels = levels_of(r, per * oc);
  f->noise = noise_of(r, w->data, per, oc);
  f->lo = f->hi = 0;
  for (uint32_t o = 0; o < oc; o++) {
    int64_t least, most;
    x.c.code = r->w + (size_t)o * per;
    range_of(&x.c, &least, &most);
    f->lo = qv_min64(f->lo, r->b[o] + least), f->hi = qv_max64(f->hi, r->b[o] + most);
  }
  free(x.code);
  free(x.from);
  free(x.b);
  return st;
}

qv_status qv_fit_weights(qv_quantized *q, int bits, qv_err *err) {
  qv_status st = QV_OK;
  for (uint32_t k = 0; st == QV_OK && k < q->g->n_nodes; k++) {
    int own = q->opts.node_acc_bits != NULL && q->opts.node_acc_bits[k] > 0 ? q->opts.node_acc_bits[k] : bits;
    if (q->w[k].bits > 0 && own > 0) st = fit_node(q, k, own, err);
  }
  return st;
}
