/* Validation once after load: structure, parameters, and the proof that no value of any evaluation leaves 2^62. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/ir.h"

#define LIMIT ((qv_i128)1 << 62)

typedef struct {
  qv_net *net;
  const qv_node *n; /* node under test */
  qv_err *err;
} ctx;

#define BAD(c, code, ...) bad_node((c), (code), __VA_ARGS__)

static qv_status bad_node(const ctx *c, qv_status code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static qv_status bad_node(const ctx *c, qv_status code, const char *fmt, ...) {
  char msg[256];
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(msg, sizeof msg, fmt, ap);
  va_end(ap);
  return qv_fail(c->err, code, "qv_ir_check", "layer %u %s '%s' (%s): %s", c->n->layer, c->n->op, c->net->tensor[c->n->out].name,
                 qv_kind_name(c->n->kind), msg);
}

static const qv_tensor *in(const ctx *c, uint32_t k) { return &c->net->tensor[c->n->in[k]]; }
static qv_tensor *out(const ctx *c) { return &c->net->tensor[c->n->out]; }

static qv_i128 abs128(qv_i128 v) { return v < 0 ? -v : v; }
static qv_i128 max128(qv_i128 a, qv_i128 b) { return a > b ? a : b; }
static bool same_shape(const qv_tensor *a, const qv_tensor *b) {
  return a->rank == b->rank && memcmp(a->dim, b->dim, a->rank * sizeof a->dim[0]) == 0;
}

/* ---- tensors ---------------------------------------------------------------------------------------------------------- */

static qv_status check_tensor(const qv_net *net, uint32_t i, qv_err *err) {
  const qv_tensor *t = &net->tensor[i];
  if (t->name == NULL || t->name[0] == 0) return QV_FAIL(err, QV_E_PARSE, "tensor %u has no name", i);
  if (t->rank > QV_MAX_RANK) return QV_FAIL(err, QV_E_UNSUP, "tensor '%s': rank %u is above %d", t->name, t->rank, QV_MAX_RANK);
  if ((unsigned)t->type >= QV_DTYPES) return QV_FAIL(err, QV_E_PARSE, "tensor '%s': unknown storage type", t->name);
  size_t n = 1;
  for (uint32_t d = 0; d < t->rank; d++)
    if (t->dim[d] == 0 || !qv_mulz(&n, n, t->dim[d]) || n > QV_MAX_ELEMS)
      return QV_FAIL(err, QV_E_RANGE, "tensor '%s': a dimension is 0 or it has more than %zu elements", t->name, QV_MAX_ELEMS);
  if (t->has_q && !(isfinite(t->scale) && t->scale > 0))
    return QV_FAIL(err, QV_E_PARSE, "tensor '%s': the scale is not a positive number", t->name);
  return QV_OK;
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static qv_status check_names(const qv_net *net, qv_err *err) {
  const char **name = calloc(net->n_tensors, sizeof *name);
  if (name == NULL) return QV_FAIL(err, QV_E_NOMEM, "tensor names");
  for (uint32_t i = 0; i < net->n_tensors; i++) name[i] = net->tensor[i].name;
  qsort(name, net->n_tensors, sizeof *name, by_name);
  qv_status st = QV_OK;
  for (uint32_t i = 1; st == QV_OK && i < net->n_tensors; i++)
    if (strcmp(name[i - 1], name[i]) == 0) st = QV_FAIL(err, QV_E_PARSE, "two tensors are named '%s'", name[i]);
  free(name);
  return st;
}

/* ---- accumulators ----------------------------------------------------------------------------------------------------- */

static qv_status check_acc(const ctx *c, const qv_acc *a) {
  bool affine = c->n->kind == QV_AFFINE;
  if ((unsigned)a->mode > QV_ACC_PAIRLANES || (unsigned)a->order > QV_ORDER_ANY || (unsigned)a->bias > QV_BIAS_FIRST ||
      (unsigned)a->pairing > QV_PAIR_K8)
    return BAD(c, QV_E_PARSE, "unknown accumulator attribute");
  if (a->mode == QV_ACC_EXACT ? a->bits != 0 : a->bits < 2 || a->bits > 64)
    return BAD(c, QV_E_PARSE, "accumulator mode %s with %d bits", qv_acc_name(a->mode), a->bits);
  if (qv_acc_staged(a) && (!affine || a->bits > 62)) return BAD(c, QV_E_PARSE, "pairs and lanes belong to affine nodes of at most 62 bits");
  if (a->raw && (!affine || a->mode == QV_ACC_SAT || a->mode == QV_ACC_TRAP))
    return BAD(c, QV_E_PARSE, "raw (uncorrected) sums need an affine node with exact, wrap, pairs or lanes");
  if (!qv_acc_pairs(a) && a->pairing != QV_PAIR_ADJACENT) return BAD(c, QV_E_PARSE, "a pairing without pairs");
  if (qv_acc_lanes(a)) {
    bool width = a->mode == QV_ACC_LANES ? a->lane_bits >= 8 && a->lane_bits <= 32 : a->lane_bits == 16;
    if (!width || a->lanes < 1 || a->lanes > 64)
      return BAD(c, QV_E_PARSE, "%u lanes of %u bits", a->lanes, a->lane_bits);
  } else if (a->lane_bits != 0 || a->lanes != 0 || a->spill != 0 || a->lane_sat)
    return BAD(c, QV_E_PARSE, "lane attributes without mode lanes");
  return QV_OK;
}

/* Output range of an accumulating node: `fin` encloses the exact value, `any` every partial sum. */
static void set_acc_range(const ctx *c, const qv_acc *a, qv_i128 fin_lo, qv_i128 fin_hi, qv_i128 any_lo, qv_i128 any_hi) {
  bool fits = a->mode == QV_ACC_EXACT || (!qv_acc_staged(a) && any_lo >= qv_smin(a->bits) && any_hi <= qv_smax(a->bits));
  out(c)->lo = fits ? (int64_t)fin_lo : qv_smin(a->bits);
  out(c)->hi = fits ? (int64_t)fin_hi : qv_smax(a->bits);
}

/* ---- window ----------------------------------------------------------------------------------------------------------- */

/* Every size field within 2^28, products of the views equal to the tensors' elements. *padded: some tap can fall outside. */
static qv_status check_window(const ctx *c, const qv_window *g, bool *padded) {
  const uint32_t f[] = {g->n, g->ih, g->iw, g->ic, g->oh, g->ow, g->oc, g->kh, g->kw, g->sh, g->sw, g->dh, g->dw, g->groups};
  for (size_t i = 0; i < sizeof f / sizeof f[0]; i++)
    if (f[i] == 0 || f[i] > QV_MAX_ELEMS) return BAD(c, QV_E_PARSE, "a window size is 0 or too large");
  if (g->pt > QV_MAX_ELEMS || g->pl > QV_MAX_ELEMS) return BAD(c, QV_E_PARSE, "the window's padding is too large");
  if (g->ic % g->groups != 0 || g->oc % g->groups != 0)
    return BAD(c, QV_E_PARSE, "%u groups do not divide %u input and %u output channels", g->groups, g->ic, g->oc);
  qv_i128 ne = (qv_i128)g->n * g->ih * g->iw * g->ic, no = (qv_i128)g->n * g->oh * g->ow * g->oc; /* each factor < 2^29 */
  if (ne != (qv_i128)qv_elems(in(c, 0)) || no != (qv_i128)qv_elems(out(c)))
    return BAD(c, QV_E_PARSE, "the window does not match the tensors' element counts");
  int64_t y1 = (int64_t)(g->oh - 1) * g->sh - g->pt + (int64_t)(g->kh - 1) * g->dh; /* last row that is read */
  int64_t x1 = (int64_t)(g->ow - 1) * g->sw - g->pl + (int64_t)(g->kw - 1) * g->dw;
  *padded = g->pt > 0 || g->pl > 0 || y1 >= g->ih || x1 >= g->iw;
  return QV_OK;
}

/* Does every output position have a tap inside the image along one axis? First tap at or after the image's start, then. */
static bool axis_covered(uint32_t o, uint32_t i, uint32_t k, uint32_t stride, uint32_t dil, uint32_t pad) {
  for (uint32_t p = 0; p < o; p++) {
    int64_t at = (int64_t)p * stride - pad;
    int64_t t = at >= 0 ? 0 : (int64_t)qv_ceil_div(-at, dil);
    if (t >= k || at + t * dil >= i) return false;
  }
  return true;
}

/* ---- kinds ------------------------------------------------------------------------------------------------------------ */

static qv_status check_affine(const ctx *c) {
  const qv_affine *a = &c->n->u.affine;
  const qv_window *g = &a->win;
  const qv_tensor *x = in(c, 0);
  bool padded;
  qv_status st;
  if ((st = check_window(c, g, &padded)) != QV_OK || (st = check_acc(c, &a->acc)) != QV_OK) return st;
  if (a->n_w_zp != 1 && a->n_w_zp != g->oc) return BAD(c, QV_E_PARSE, "%u weight zero points for %u channels", a->n_w_zp, g->oc);
  qv_i128 k = (qv_i128)g->kh * g->kw * (g->ic / g->groups);
  if (k * g->oc > (qv_i128)QV_MAX_ELEMS) return BAD(c, QV_E_RANGE, "more than %zu weights", QV_MAX_ELEMS);
  if (a->w == NULL || a->w_zp == NULL || a->b == NULL) return BAD(c, QV_E_PARSE, "weights or biases are missing");
  qv_i128 xl = (qv_i128)x->lo - a->x_zp, xh = (qv_i128)x->hi - a->x_zp; /* within 2^63 */
  qv_i128 rx = max128(max128(abs128(x->lo), abs128(x->hi)), abs128(a->x_zp));
  if (max128(abs128(xl), abs128(xh)) > ((qv_i128)1 << 62)) return BAD(c, QV_E_RANGE, "the input range is too wide");
  qv_i128 fl = 0, fh = 0, al = 0, ah = 0;
  for (uint32_t o = 0; o < g->oc; o++) {
    const int32_t *w = a->w + (size_t)o * (size_t)k;
    int64_t wz = a->w_zp[a->n_w_zp == 1 ? 0 : o], pos = 0, neg = 0, mag = 0; /* k <= 2^28, |w - wz| < 2^33: sums < 2^61 */
    for (size_t i = 0; i < (size_t)k; i++) {
      int64_t d = w[i] - wz;
      pos += d > 0 ? d : 0;
      neg += d < 0 ? d : 0;
      mag += llabs((int64_t)w[i]) + llabs(wz);
    }
    qv_i128 lo = pos * xl + neg * xh, hi = pos * xh + neg * xl;       /* all taps inside */
    qv_i128 alo = pos * (xl < 0 ? xl : 0) + neg * (xh > 0 ? xh : 0);  /* any subset of terms */
    qv_i128 ahi = pos * (xh > 0 ? xh : 0) + neg * (xl < 0 ? xl : 0);
    qv_i128 b = a->b[o];
    if (padded) lo = alo, hi = ahi;
    qv_i128 biggest = max128(abs128(alo), abs128(ahi)) + abs128(b);
    if (a->acc.raw) biggest = max128(biggest, (mag + llabs(wz) * (int64_t)k) * (rx + abs128(a->x_zp)) + abs128(b));
    if (biggest > LIMIT) return BAD(c, QV_E_RANGE, "channel %u: sums can leave 62 bits", o);
    alo += b < 0 ? b : 0;
    ahi += b > 0 ? b : 0;
    fl = o == 0 || lo + b < fl ? lo + b : fl;
    fh = o == 0 || hi + b > fh ? hi + b : fh;
    al = o == 0 || alo < al ? alo : al;
    ah = o == 0 || ahi > ah ? ahi : ah;
  }
  set_acc_range(c, &a->acc, fl, fh, al, ah);
  return QV_OK;
}

static bool is_f32(double v) { return (double)(float)v == v; }

/* Parameters of one channel, for |v| <= vmax. NULL if fine, else what is wrong. */
static const char *check_fixed(const qv_rq_par *p, qv_i128 vmax) {
  bool tosa = p->fn == QV_RQ_T || p->fn == QV_RQ_TD;
  if (p->M != 0 || p->B != 0) return "unused parameters are not 0";
  if (p->fn != QV_RQ_D && p->m < 0) return "the multiplier is negative";
  if (tosa ? p->sh < 2 || p->sh > 62 : p->sh < -31 || p->sh > (p->fn == QV_RQ_64 ? 7 : 30)) return "the shift is out of range";
  if (!tosa && p->sh > 0 && vmax > (LIMIT >> p->sh)) return "the shifted input can leave 62 bits";
  if (tosa && ((vmax * p->m) >> p->sh) >= LIMIT) return "the scaled input can leave 62 bits";
  return NULL;
}

static const char *check_float(const qv_rq_par *p, qv_i128 vmax) {
  bool biased = p->fn == QV_RQ_MEANF || p->fn == QV_RQ_F32B, single = biased || p->fn == QV_RQ_F32 || p->fn == QV_RQ_NDU;
  if (p->sh != 0 || (p->fn == QV_RQ_MEANF ? p->m < 1 : p->m != 0)) return "bad integer parameters";
  if (biased ? !(fabs(p->B) <= 0x1p31) || !is_f32(p->B) : p->B != 0) return "bad offset";
  if (!(p->M >= 0x1p-126 && p->M <= 0x1p62) || (single && !is_f32(p->M))) return "the scale is not a positive normal number";
  if ((double)vmax * p->M > 0x1p60) return "the scaled input can leave 60 bits";
  return NULL;
}

static const char *check_par(const qv_rq_par *p, qv_i128 vmax) {
  switch (p->fn) {
  case QV_RQ_D:
  case QV_RQ_U:
  case QV_RQ_S:
  case QV_RQ_64:
  case QV_RQ_T:
  case QV_RQ_TD: return check_fixed(p, vmax);
  case QV_RQ_F32:
  case QV_RQ_NDU:
  case QV_RQ_F64A:
  case QV_RQ_REF:
  case QV_RQ_F32B:
  case QV_RQ_MEANF: return check_float(p, vmax);
  case QV_RQ_DIV:
  case QV_RQ_TDIV: return p->m < 1 || p->sh != 0 || p->M != 0 || p->B != 0 ? "bad divisor" : NULL;
  }
  return "unknown requantization function";
}

static qv_status check_step(const ctx *c) {
  const qv_step *s = &c->n->u.step;
  const qv_tensor *x = in(c, 0), *y = out(c);
  if (!same_shape(x, y)) return BAD(c, QV_E_PARSE, "input and output shapes differ");
  if (s->lshift > 31 || s->n_par == 0 || s->par == NULL || s->inner == 0) return BAD(c, QV_E_PARSE, "bad step attributes");
  if ((s->idx == NULL) != (s->n_idx == 0)) return BAD(c, QV_E_PARSE, "bad parameter index");
  for (uint32_t i = 0; i < s->n_idx; i++)
    if (s->idx[i] >= s->n_par) return BAD(c, QV_E_PARSE, "parameter index %u is above %u", s->idx[i], s->n_par - 1);
  size_t period = (size_t)(s->idx != NULL ? s->n_idx : s->n_par) * s->inner;
  if (qv_elems(x) % period != 0 && period != s->inner) return BAD(c, QV_E_PARSE, "parameters do not tile the tensor");
  if (s->lo > s->hi || abs128(s->lo) > LIMIT || abs128(s->hi) > LIMIT || abs128(s->out_zp) > ((qv_i128)1 << 40))
    return BAD(c, QV_E_PARSE, "empty or too wide output range");
  qv_i128 a = (qv_i128)x->lo - s->in_zp, b = (qv_i128)x->hi - s->in_zp;
  qv_i128 vmax = max128(abs128(a), abs128(b));
  if (vmax > (LIMIT >> s->lshift)) return BAD(c, QV_E_RANGE, "the shifted input can leave 62 bits");
  vmax = qv_scale2(vmax, (int)s->lshift);
  for (uint32_t i = 0; i < s->n_par; i++) {
    const char *what = check_par(&s->par[i], vmax);
    if (what != NULL) return BAD(c, QV_E_RANGE, "%s, channel %u: %s", qv_rq_name(s->par[i].fn), i, what);
  }
  out(c)->lo = s->lo;
  out(c)->hi = s->hi;
  return QV_OK;
}

static qv_status check_table(const ctx *c) {
  const qv_table *t = &c->n->u.table;
  const qv_tensor *x = in(c, 0);
  if (!same_shape(x, out(c))) return BAD(c, QV_E_PARSE, "input and output shapes differ");
  if (t->n == 0 || t->n > 65536 || t->t == NULL) return BAD(c, QV_E_PARSE, "a table needs 1 to 65536 entries");
  if (x->lo < t->lo || (qv_i128)x->hi > (qv_i128)t->lo + t->n - 1)
    return BAD(c, QV_E_PARSE, "the table [%lld,+%u] does not cover the input range [%lld,%lld]", (long long)t->lo, t->n,
               (long long)x->lo, (long long)x->hi);
  int64_t lo = t->t[0], hi = t->t[0];
  for (uint32_t i = 1; i < t->n; i++) lo = qv_min64(lo, t->t[i]), hi = qv_max64(hi, t->t[i]);
  out(c)->lo = lo;
  out(c)->hi = hi;
  return QV_OK;
}

static qv_status check_threshold(const ctx *c) {
  const qv_threshold *h = &c->n->u.threshold;
  const qv_tensor *x = in(c, 0);
  if (!same_shape(x, out(c))) return BAD(c, QV_E_PARSE, "input and output shapes differ");
  if (h->n_par == 0 || h->par == NULL || h->inner == 0) return BAD(c, QV_E_PARSE, "bad threshold attributes");
  if (h->n_par > 1 && qv_elems(x) % ((size_t)h->n_par * h->inner) != 0) return BAD(c, QV_E_PARSE, "channels do not tile the tensor");
  size_t values = 0;
  qv_itv y = {INT64_MAX, INT64_MIN};
  for (uint32_t i = 0; i < h->n_par; i++) {
    const qv_pieces *p = &h->par[i];
    if (p->v == NULL || (p->t == NULL && p->k > 0)) return BAD(c, QV_E_PARSE, "channel %u: thresholds or values are missing", i);
    if (p->k > QV_MAX_THRESHOLDS || (values += (size_t)p->k + 1) > QV_MAX_PIECES)
      return BAD(c, QV_E_RANGE, "more than %u thresholds of a channel or %zu values", QV_MAX_THRESHOLDS, QV_MAX_PIECES);
    for (uint32_t k = 0; k < p->k; k++)
      if (abs128(p->t[k]) > LIMIT || (k > 0 && p->t[k] <= p->t[k - 1]))
        return BAD(c, QV_E_PARSE, "channel %u: threshold %u leaves 62 bits or does not increase", i, k);
    for (uint32_t k = 0; k <= p->k; k++) /* pieces that the declared range meets */
      if ((k == p->k || x->lo < p->t[k]) && (k == 0 || p->t[k - 1] <= x->hi)) y = qv_itv_hull(y, (qv_itv){p->v[k], p->v[k]});
  }
  out(c)->lo = y.lo;
  out(c)->hi = y.hi;
  return QV_OK;
}

static qv_status check_sum(const ctx *c) {
  const qv_sum *s = &c->n->u.sum;
  qv_status st = check_acc(c, &s->acc);
  if (st != QV_OK) return st;
  if (s->c == NULL || s->z == NULL) return BAD(c, QV_E_PARSE, "coefficients are missing");
  qv_i128 fl = 0, fh = 0, al = 0, ah = 0;
  for (uint32_t k = 0; k < c->n->n_in; k++) {
    const qv_tensor *x = in(c, k);
    if (qv_elems(x) != qv_elems(out(c))) return BAD(c, QV_E_PARSE, "operand '%s' has another element count", x->name);
    if (s->c[k] <= INT32_MIN || s->c[k] > INT32_MAX) return BAD(c, QV_E_RANGE, "coefficient %u is too large", k);
    if (abs128((qv_i128)x->lo - s->z[k]) > LIMIT || abs128((qv_i128)x->hi - s->z[k]) > LIMIT)
      return BAD(c, QV_E_RANGE, "operand %u minus its zero point can leave 62 bits", k);
    qv_i128 p = (qv_i128)s->c[k] * ((qv_i128)x->lo - s->z[k]), q = (qv_i128)s->c[k] * ((qv_i128)x->hi - s->z[k]);
    qv_i128 lo = p < q ? p : q, hi = p < q ? q : p;
    fl += lo;
    fh += hi;
    al += lo < 0 ? lo : 0;
    ah += hi > 0 ? hi : 0;
  }
  if (-al > LIMIT || ah > LIMIT || abs128(fl) > LIMIT || abs128(fh) > LIMIT) return BAD(c, QV_E_RANGE, "sums can leave 62 bits");
  set_acc_range(c, &s->acc, fl, fh, al, ah);
  return QV_OK;
}

static qv_status check_product(const ctx *c) {
  const qv_product *p = &c->n->u.product;
  const qv_tensor *x = in(c, 0), *w = in(c, 1);
  qv_status st = check_acc(c, &p->acc);
  if (st != QV_OK) return st;
  if (qv_elems(x) != qv_elems(out(c)) || qv_elems(w) != qv_elems(out(c)))
    return BAD(c, QV_E_PARSE, "operands and output differ in element count");
  qv_i128 a[2] = {(qv_i128)x->lo - p->z0, (qv_i128)x->hi - p->z0}, b[2] = {(qv_i128)w->lo - p->z1, (qv_i128)w->hi - p->z1};
  for (int i = 0; i < 2; i++)
    if (abs128(a[i]) > LIMIT || abs128(b[i]) > LIMIT) return BAD(c, QV_E_RANGE, "the operands are too wide");
  qv_i128 lo = a[0] * b[0], hi = lo;
  for (int i = 1; i < 4; i++) {
    qv_i128 v = a[i / 2] * b[i % 2];
    lo = v < lo ? v : lo;
    hi = v > hi ? v : hi;
  }
  if (lo < -LIMIT || hi > LIMIT) return BAD(c, QV_E_RANGE, "products can leave 62 bits");
  set_acc_range(c, &p->acc, lo, hi, lo < 0 ? lo : 0, hi > 0 ? hi : 0);
  return QV_OK;
}

static qv_status check_max(const ctx *c) {
  const qv_window *g = &c->n->u.max;
  bool padded;
  qv_status st = check_window(c, g, &padded);
  if (st != QV_OK) return st;
  if (g->ic != g->oc || g->groups != g->ic) return BAD(c, QV_E_PARSE, "max needs groups = input channels = output channels");
  if (!axis_covered(g->oh, g->ih, g->kh, g->sh, g->dh, g->pt) || !axis_covered(g->ow, g->iw, g->kw, g->sw, g->dw, g->pl))
    return BAD(c, QV_E_PARSE, "an output position has no tap inside the image");
  out(c)->lo = in(c, 0)->lo;
  out(c)->hi = in(c, 0)->hi;
  return QV_OK;
}

/* Shape rules of one data movement; y is the output. */
static const char *check_moves(const ctx *c, const qv_index *ix, const qv_tensor *x, const qv_tensor *y) {
  uint32_t seen = 0;
  switch (ix->form) {
  case QV_IX_RESHAPE: return qv_elems(x) == qv_elems(y) ? NULL : "reshape changes the element count";
  case QV_IX_TRANSPOSE:
    if (x->rank != y->rank) return "transpose changes the rank";
    for (uint32_t d = 0; d < y->rank; d++) {
      if (ix->a[d] < 0 || ix->a[d] >= (int32_t)x->rank || (seen >> ix->a[d] & 1)) return "not a permutation";
      seen |= 1u << ix->a[d];
      if (y->dim[d] != x->dim[ix->a[d]]) return "transpose does not match the shapes";
    }
    return NULL;
  case QV_IX_PAD:
    if (x->rank != y->rank) return "pad changes the rank";
    for (uint32_t d = 0; d < y->rank; d++)
      if (ix->a[d] < 0 || ix->b[d] < 0 || (int64_t)x->dim[d] + ix->a[d] + ix->b[d] != y->dim[d]) return "pad does not match the shapes";
    return NULL;
  case QV_IX_CONCAT: {
    int64_t sum = 0;
    if (ix->axis >= y->rank) return "the axis is out of range";
    for (uint32_t k = 0; k < c->n->n_in; k++) {
      const qv_tensor *t = in(c, k);
      if (t->rank != y->rank) return "concat changes the rank";
      for (uint32_t d = 0; d < y->rank; d++)
        if (d != ix->axis && t->dim[d] != y->dim[d]) return "concat does not match the shapes";
      sum += t->dim[ix->axis];
    }
    return sum == y->dim[ix->axis] ? NULL : "concat does not match the shapes";
  }
  case QV_IX_SLICE:
    if (x->rank != y->rank) return "slice changes the rank";
    for (uint32_t d = 0; d < y->rank; d++) {
      int64_t last = ix->a[d] + (int64_t)(y->dim[d] - 1) * ix->b[d];
      if (ix->b[d] == 0 || ix->a[d] < 0 || ix->a[d] >= (int64_t)x->dim[d] || last < 0 || last >= (int64_t)x->dim[d])
        return "the slice leaves the tensor";
    }
    return NULL;
  case QV_IX_BROADCAST:
    if (x->rank > y->rank) return "broadcast lowers the rank";
    for (uint32_t d = 0; d < x->rank; d++) {
      uint32_t want = y->dim[d + y->rank - x->rank];
      if (x->dim[d] != 1 && x->dim[d] != want) return "broadcast does not match the shapes";
    }
    return NULL;
  case QV_IX_GATHER:
    if (x->rank != y->rank || ix->axis >= y->rank || ix->g == NULL) return "bad gather";
    for (uint32_t d = 0; d < y->rank; d++)
      if (d != ix->axis && x->dim[d] != y->dim[d]) return "gather does not match the shapes";
    for (uint32_t i = 0; i < y->dim[ix->axis]; i++)
      if (ix->g[i] >= x->dim[ix->axis]) return "a gather index is out of range";
    return NULL;
  }
  return "unknown form of data movement";
}

static qv_status check_index(const ctx *c) {
  const qv_index *ix = &c->n->u.index;
  const char *what = check_moves(c, ix, in(c, 0), out(c));
  if (what != NULL) return BAD(c, QV_E_PARSE, "%s", what);
  if (ix->form != QV_IX_CONCAT && c->n->n_in != 1) return BAD(c, QV_E_PARSE, "this form takes one input");
  qv_itv r = {in(c, 0)->lo, in(c, 0)->hi};
  for (uint32_t k = 1; k < c->n->n_in; k++) r = qv_itv_hull(r, (qv_itv){in(c, k)->lo, in(c, k)->hi});
  if (ix->form == QV_IX_PAD) r = qv_itv_hull(r, (qv_itv){ix->value, ix->value});
  out(c)->lo = r.lo;
  out(c)->hi = r.hi;
  return QV_OK;
}

static qv_status check_tail(const ctx *c) {
  const qv_tail *t = &c->n->u.tail;
  const qv_tensor *x = in(c, 0), *y = out(c);
  if (!same_shape(x, y)) return BAD(c, QV_E_PARSE, "input and output shapes differ");
  if (t->lo > t->hi || abs128(t->lo) > LIMIT || abs128(t->hi) > LIMIT || abs128(t->out_zp) > ((qv_i128)1 << 31))
    return BAD(c, QV_E_PARSE, "empty or too wide output range");
  size_t row = y->rank == 0 ? 1 : y->dim[y->rank - 1];
  bool q = t->fn == QV_TAIL_SOFTMAX_Q, f = t->fn == QV_TAIL_SOFTMAX_F, s = t->fn == QV_TAIL_SOFTMAX_16;
  if (!q && !f && !s) return BAD(c, QV_E_PARSE, "unknown tail");
  if ((!s && (t->lut != NULL || t->rq != QV_RQ_D)) || (!f && (t->exp != NULL || t->out_scale != 0 || t->round != QV_TR_AWAY)) ||
      (f && (t->mult != 0 || t->ls != 0)) || (!q && (t->diff_min != 0 || t->out_bits != 0)))
    return BAD(c, QV_E_PARSE, "unused attributes are not 0");
  if ((q || f) && (qv_i128)x->hi - x->lo > 255) return BAD(c, QV_E_UNSUP, "softmax of more than 8-bit inputs");
  if (q && (t->mult < 0 || t->ls < 0 || t->ls > 30 || t->diff_min > 0 || (t->out_bits != 8 && t->out_bits != 16)))
    return BAD(c, QV_E_PARSE, "bad softmax parameters");
  if (q && row > 4096) return BAD(c, QV_E_UNSUP, "softmax over more than 4096 values"); /* 4096 * 2^19 < 2^32 */
  if (f) {
    if (t->exp == NULL || !(isfinite(t->out_scale) && t->out_scale > 0) || (unsigned)t->round > QV_TR_HALF_UP_TRUNC)
      return BAD(c, QV_E_PARSE, "bad softmax parameters");
    for (int i = 0; i < 256; i++)
      if (!(t->exp[i] >= 0 && t->exp[i] <= 1) || (i > 0 && t->exp[i] < t->exp[i - 1]))
        return BAD(c, QV_E_PARSE, "softmax table entry %d is not within [0,1] or lower than the one before", i);
    if (t->exp[255] <= 0 || t->out_scale < 0x1p-40f) return BAD(c, QV_E_PARSE, "bad softmax parameters");
  }
  if (s) {
    if (t->lut == NULL || (t->rq != QV_RQ_D && t->rq != QV_RQ_S) || t->mult < 0 || t->ls < -31 || t->ls > 30)
      return BAD(c, QV_E_PARSE, "bad softmax parameters");
    if (x->lo < INT16_MIN || x->hi > INT16_MAX || row > 65535) return BAD(c, QV_E_UNSUP, "int16 softmax input range");
    if (t->lut[511] < 1 << 14 || t->lut[512] < 1 << 14) return BAD(c, QV_E_PARSE, "softmax table is too small at 0");
    for (int i = 0; i < 1026; i++)
      if (t->lut[i] < 0 || (i > 0 && i < 513 && t->lut[i] < t->lut[i - 1]))
        return BAD(c, QV_E_PARSE, "softmax table entry %d is negative or lower than the one before", i);
  }
  out(c)->lo = t->lo;
  out(c)->hi = t->hi;
  return QV_OK;
}

/* Inputs, outputs and constants: a range inside the storage type, and inside 2^62. */
static qv_status check_range(const qv_tensor *t, const char *what, qv_err *err) {
  qv_itv type = qv_dtype_range(t->type);
  if (t->lo > t->hi || t->lo < type.lo || t->hi > type.hi || abs128(t->lo) > LIMIT || abs128(t->hi) > LIMIT)
    return QV_FAIL(err, QV_E_PARSE, "%s '%s': the range [%lld,%lld] is empty or leaves the storage type %s", what, t->name,
                   (long long)t->lo, (long long)t->hi, qv_dtype_name(t->type));
  return QV_OK;
}

static qv_status check_node(const ctx *c) {
  switch (c->n->kind) {
  case QV_AFFINE: return check_affine(c);
  case QV_STEP: return check_step(c);
  case QV_TABLE: return check_table(c);
  case QV_THRESHOLD: return check_threshold(c);
  case QV_SUM: return check_sum(c);
  case QV_PRODUCT: return check_product(c);
  case QV_MAX: return check_max(c);
  case QV_INDEX: return check_index(c);
  case QV_CLAMP:
  case QV_WRAP: {
    bool clamp = c->n->kind == QV_CLAMP;
    int bits = c->n->u.wrap.bits;
    if (!same_shape(in(c, 0), out(c))) return BAD(c, QV_E_PARSE, "input and output shapes differ");
    if (clamp ? c->n->u.clamp.lo > c->n->u.clamp.hi : bits < 2 || bits > 62) return BAD(c, QV_E_PARSE, "empty range or bad width");
    qv_itv r = clamp ? (qv_itv){c->n->u.clamp.lo, c->n->u.clamp.hi} : (qv_itv){qv_smin(bits), qv_smax(bits)};
    qv_itv x = {in(c, 0)->lo, in(c, 0)->hi};
    if (clamp) r = (qv_itv){qv_clamp64(x.lo, r.lo, r.hi), qv_clamp64(x.hi, r.lo, r.hi)};
    else if (qv_itv_in(x, r)) r = x;
    out(c)->lo = r.lo;
    out(c)->hi = r.hi;
    return QV_OK;
  }
  case QV_TAIL: return check_tail(c);
  case QV_OPAQUE: return check_range(out(c), "opaque output", c->err);
  case QV_KINDS: break;
  }
  return QV_FAIL(c->err, QV_E_PARSE, "unknown node kind");
}

/* ---- the net ---------------------------------------------------------------------------------------------------------- */

static const struct {
  uint32_t lo, hi;
} arity[QV_KINDS] = {
#define QV_KIND(e, word, lo, hi) {lo, hi},
#include "ir/ops.def"
#undef QV_KIND
};

static qv_status check_ports(qv_net *net, bool *written, qv_err *err) {
  if (net->n_in == 0 || net->n_out == 0) return QV_FAIL(err, QV_E_PARSE, "the net has no input or no output");
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_port *p = &net->in[i];
    if (p->tensor >= net->n_tensors || written[p->tensor] || p->name == NULL)
      return QV_FAIL(err, QV_E_PARSE, "input %u: bad or repeated tensor, or no name", i);
    qv_tensor *t = &net->tensor[p->tensor];
    if (t->data != NULL) return QV_FAIL(err, QV_E_PARSE, "input '%s' is a constant", t->name);
    if (p->end == QV_END_DEQUANT || (unsigned)p->end > QV_END_DEQUANT || p->tail != NULL)
      return QV_FAIL(err, QV_E_PARSE, "input '%s': bad end", t->name);
    bool order = p->end == QV_END_F32_ORDER;
    if (order && (t->lo < -QV_F32_ORDER_MAX || t->hi > QV_F32_ORDER_MAX))
      return QV_FAIL(err, QV_E_PARSE, "float input '%s': the range leaves the order numbers of binary32", t->name);
    if (p->end != QV_END_INT && !order && !t->has_q) return QV_FAIL(err, QV_E_PARSE, "float input '%s' has no scale", t->name);
    qv_status st = check_range(t, "input", err);
    if (st != QV_OK) return st;
    written[p->tensor] = true;
  }
  for (uint32_t i = 0; i < net->n_tensors; i++) {
    qv_tensor *t = &net->tensor[i];
    if (t->data == NULL) continue;
    t->lo = t->hi = t->data[0];
    for (size_t e = 1, n = qv_elems(t); e < n; e++) t->lo = qv_min64(t->lo, t->data[e]), t->hi = qv_max64(t->hi, t->data[e]);
    qv_status st = check_range(t, "constant", err);
    if (st != QV_OK) return st;
    written[i] = true;
  }
  return QV_OK;
}

static qv_status check_nodes(qv_net *net, bool *written, qv_err *err) {
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    const qv_node *n = &net->node[k];
    if ((unsigned)n->kind >= QV_KINDS || n->op == NULL) return QV_FAIL(err, QV_E_PARSE, "node %u: unknown kind or no op name", k);
    if (n->n_in < arity[n->kind].lo || n->n_in > arity[n->kind].hi || n->in == NULL)
      return QV_FAIL(err, QV_E_PARSE, "node %u (%s): %u inputs", k, qv_kind_name(n->kind), n->n_in);
    if (n->out >= net->n_tensors || written[n->out]) return QV_FAIL(err, QV_E_PARSE, "node %u: output missing or written twice", k);
    for (uint32_t i = 0; i < n->n_in; i++)
      if (n->in[i] >= net->n_tensors || !written[n->in[i]])
        return QV_FAIL(err, QV_E_PARSE, "node %u (%s '%s'): input %u is not written before", k, n->op, net->tensor[n->out].name, i);
    qv_status st = check_node(&(ctx){net, n, err});
    if (st != QV_OK) return st;
    written[n->out] = true;
  }
  return QV_OK;
}

static qv_status check_outputs(const qv_net *net, const bool *written, qv_err *err) {
  for (uint32_t i = 0; i < net->n_tensors; i++)
    if (!written[i]) return QV_FAIL(err, QV_E_PARSE, "tensor '%s' is never written", net->tensor[i].name);
  for (uint32_t i = 0; i < net->n_out; i++) {
    const qv_port *p = &net->out[i];
    if (p->tensor >= net->n_tensors || p->name == NULL) return QV_FAIL(err, QV_E_PARSE, "output %u: no such tensor, or no name", i);
    const qv_tensor *t = &net->tensor[p->tensor];
    if (p->end != QV_END_INT && p->end != QV_END_DEQUANT) return QV_FAIL(err, QV_E_PARSE, "output '%s': bad end", t->name);
    if (p->end == QV_END_DEQUANT && !t->has_q) return QV_FAIL(err, QV_E_PARSE, "float output '%s' has no scale", t->name);
    qv_status st = check_range(t, "output", err);
    if (st != QV_OK) return st;
  }
  return QV_OK;
}

/* 64 lower-case hexadecimal digits, or nothing. */
static bool is_sha256(const char *s) {
  size_t n = strspn(s, "0123456789abcdef");
  return s[n] == 0 && (n == 0 || n == 64);
}

static qv_status check_header(const qv_net *net, qv_err *err) {
  if (net->source == NULL || net->profile == NULL || net->format == NULL || memchr(net->sha256, 0, sizeof net->sha256) == NULL ||
      !is_sha256(net->sha256))
    return QV_FAIL(err, QV_E_PARSE, "the net's source, hash, profile or format is missing or malformed");
  for (uint32_t i = 0; i < net->n_notes; i++)
    if (net->note[i] == NULL) return QV_FAIL(err, QV_E_PARSE, "note %u is missing", i);
  return QV_OK;
}

qv_status qv_ir_check(qv_net *net, qv_err *err) {
  qv_status st = QV_OK;
  bool *written = calloc((size_t)net->n_tensors + 1, sizeof *written);
  if (written == NULL) return QV_FAIL(err, QV_E_NOMEM, "net of %u tensors", net->n_tensors);
  if (net->n_tensors == 0 || net->n_tensors > (1u << 24) || net->n_nodes > (1u << 24)) {
    st = QV_FAIL(err, QV_E_PARSE, "the net has no tensors or too many");
    goto done;
  }
  QV_TRY(check_header(net, err));
  for (uint32_t i = 0; i < net->n_tensors; i++) QV_TRY(check_tensor(net, i, err));
  QV_TRY(check_names(net, err));
  QV_TRY(check_ports(net, written, err));
  QV_TRY(check_nodes(net, written, err));
  QV_TRY(check_outputs(net, written, err));
done:
  free(written);
  return st;
}
