/* Sums of products over exact reals: the integers behind activations and weights make an affine node, their scales a line behind it.
 * Means. */
#include <string.h>

#include "frontend/onnx_qonnx.h"
#include "frontend/onnx_window.h"

/* real result of channel o = a_o * acc + b_o, acc = the affine node's sum. */
typedef struct {
  ox_value *x, *y;
  ox_value *w;    /* QX_CODES */
  bool conv;      /* channels last */
  qv_window win;  /* oc, kh, kw, groups from the weights */
  size_t k;       /* weights per output channel */
  int32_t *iw;    /* [oc][kh][kw][ic/groups] */
  int32_t *wz;    /* [oc] */
  qv_surd *s;     /* [oc] weight scale */
  qv_surd *a, *b; /* [oc] of the result */
  int64_t *bias;  /* [oc] */
  int32_t xz;
  bool single; /* each sum's inputs have one function                                      */
  int32_t *m;  /* else: [functions of x] a_x = step * m                                    */
  qv_surd *step;
  ox_shape out;
} gemm;

static qv_surd *surds(ox *L, size_t n) {
  qv_surd *v = QV_NEW(&L->tmp, n, qv_surd);
  for (size_t i = 0; v != NULL && i < n; i++) qv_surd_init(&v[i]);
  return v;
}

static void gemm_clear(gemm *g) {
  if (g->step != NULL) qv_surd_clear(g->step);
  for (uint32_t o = 0; o < g->win.oc; o++) {
    if (g->s != NULL) qv_surd_clear(&g->s[o]);
    if (g->a != NULL) qv_surd_clear(&g->a[o]);
    if (g->b != NULL) qv_surd_clear(&g->b[o]);
  }
}

static qv_status gemm_alloc(ox *L, gemm *g) {
  size_t n;
  uint32_t oc = g->win.oc;
  if (!qv_mulz(&n, g->k, oc) || n > QV_MAX_ELEMS) return OX_UNSUP(L, g->w, "too many weights");
  g->iw = OX_NEW(L, n, int32_t);
  g->wz = OX_NEW(L, oc, int32_t);
  g->bias = OX_NEW(L, oc, int64_t);
  g->s = surds(L, oc);
  g->a = surds(L, oc);
  g->b = surds(L, oc);
  return g->iw != NULL && g->wz != NULL && g->bias != NULL && g->s != NULL && g->a != NULL && g->b != NULL ? QV_OK : ox_nomem(L);
}

/* z with f(z) = 0 for the line f; false if it is no int32. */
static bool zero_of(int32_t *z, const qv_piece *f) {
  qv_surd t;
  mpz_t k;
  qv_surd_init(&t);
  mpz_init(k);
  bool ok = qv_surd_div(&t, &f->b, &f->a) && qv_surd_floor(k, &t);
  if (ok) mpz_neg(k, k);
  ok = ok && mpz_fits_sint_p(k);
  *z = ok ? (int32_t)mpz_get_si(k) : 0;
  mpz_clear(k);
  qv_surd_clear(&t);
  return ok;
}

static const qv_pwa *fn_at(const qx_real *r, size_t e) { return r->f[qx_channel((qx_rule){r->n, r->inner}, e)]; }

/* Scale and zero point of the weights of output channel o, whose elements are e(i), i < k: one line for all of them. */
static qv_status weight_line(ox *L, gemm *g, uint32_t o, const qv_pwa *f) {
  if (f->n != 1 || qv_surd_sign(&f->v[0].a) == 0 || !qv_surd_rational(&f->v[0].a))
    return OX_UNSUP(L, g->w, "these weights are not integers times a rational scale");
  if (!zero_of(&g->wz[o], &f->v[0])) return OX_UNSUP(L, g->w, "the zero point of these weights is not an integer");
  qv_surd_set(&g->s[o], &f->v[0].a);
  return QV_OK;
}

static qv_status one_line(ox *L, const gemm *g, const qv_pwa *f, size_t e) {
  const qv_pwa *other = fn_at(g->w->real, e);
  return other == f || qv_pwa_equal(other, f)
             ? QV_OK
             : OX_UNSUP(L, g->w, "weights of one output channel have different scales: there is no integer form");
}

static qv_status weight_operand(ox *L, uint32_t k, gemm *g) {
  qv_status st;
  QV_TRY(ox_arg(L, k, &g->w));
  if (!qx_is_const(g->w)) return OX_UNSUP(L, g->w, "the weights are computed by the network; only constant weights are supported");
  QV_TRY(qx_arg(L, k, &g->w));
done:
  return st;
}

/* Matrix [K][N] (transposed: [N][K]). */
static qv_status dense_weights(ox *L, gemm *g, bool transposed) {
  qv_status st;
  const ox_shape *s = &g->w->shape;
  for (uint32_t d = 0; d + 2 < s->rank; d++)
    if (s->dim[d] != 1) return OX_UNSUP(L, g->w, "a stack of weight matrices; only one matrix is supported");
  if (s->rank < 2 || g->w->c->n == 0) return OX_UNSUP(L, g->w, "the weights must be a matrix, not empty");
  uint32_t rows = s->dim[s->rank - 2], cols = s->dim[s->rank - 1];
  g->k = transposed ? cols : rows;
  g->win.oc = transposed ? rows : cols;
  QV_TRY(gemm_alloc(L, g));
  for (uint32_t o = 0; o < g->win.oc; o++) {
    const qv_pwa *f = fn_at(g->w->real, transposed ? (size_t)o * cols : o);
    QV_TRY(weight_line(L, g, o, f));
    for (size_t i = 0; i < g->k; i++) {
      size_t e = transposed ? o * g->k + i : i * cols + o;
      if (g->w->real->n > 1) QV_TRY(one_line(L, g, f, e));
      g->iw[o * g->k + i] = g->w->c->i[e];
    }
  }
done:
  return st;
}

static qv_status dense_shape(ox *L, gemm *g) {
  const ox_shape *x = &g->x->shape;
  size_t n;
  if (x->rank < 1 || x->dim[x->rank - 1] != g->k || !ox_count(x, &n))
    return OX_PARSE(L, g->x, "the last dimension does not fit weights for %zu inputs", g->k);
  g->win = (qv_window){.n = (uint32_t)(n / g->k),
                       .ih = 1,
                       .iw = 1,
                       .ic = (uint32_t)g->k,
                       .oh = 1,
                       .ow = 1,
                       .oc = g->win.oc,
                       .kh = 1,
                       .kw = 1,
                       .sh = 1,
                       .sw = 1,
                       .dh = 1,
                       .dw = 1,
                       .groups = 1};
  g->out = *x;
  g->out.dim[x->rank - 1] = g->win.oc;
  return QV_OK;
}

/* Convolution weights [oc][ic/g][kh][kw], or without kh. */
static qv_status conv_weights(ox *L, gemm *g) {
  qv_status st;
  const ox_shape *s = &g->w->shape;
  if (s->rank != 3 && s->rank != 4) return OX_UNSUP(L, g->w, "convolutions over %d dimensions; supported: 1 and 2", (int)s->rank - 2);
  if (g->w->c->n == 0) return OX_PARSE(L, g->w, "the weights are empty");
  uint32_t gic = s->dim[1], kh = s->rank == 4 ? s->dim[2] : 1, kw = s->dim[s->rank - 1];
  size_t taps = (size_t)kh * kw;
  g->win.oc = s->dim[0];
  g->win.kh = kh;
  g->win.kw = kw;
  g->k = g->w->c->n / g->win.oc;
  QV_TRY(gemm_alloc(L, g));
  for (uint32_t o = 0; o < g->win.oc; o++) {
    const qv_pwa *f = fn_at(g->w->real, o * g->k);
    QV_TRY(weight_line(L, g, o, f));
    for (size_t i = 0; i < g->k; i++) {
      size_t e = o * g->k + i;
      if (g->w->real->n > 1) QV_TRY(one_line(L, g, f, e));
      g->iw[o * g->k + i % taps * gic + i / taps] = g->w->c->i[e];
    }
  }
done:
  return st;
}

static qv_status conv_shape(ox *L, gemm *g) {
  qv_status st = ox_conv_groups(L, &g->win.groups);
  g->conv = true;
  return st != QV_OK ? st : ox_conv_fit(L, g->x, g->w->shape.rank, g->w->shape.dim, &g->win, &g->out);
}

static bool padded(const qv_window *g) {
  int64_t y1 = (int64_t)(g->oh - 1) * g->sh - g->pt + (int64_t)(g->kh - 1) * g->dh;
  int64_t x1 = (int64_t)(g->ow - 1) * g->sw - g->pl + (int64_t)(g->kw - 1) * g->dw;
  return g->pt > 0 || g->pl > 0 || y1 >= g->ih || x1 >= g->iw;
}

/* Which of x's functions weight i (as stored in iw) of output channel o meets. */
static uint32_t class_of(const gemm *g, uint32_t o, size_t i) {
  const qx_real *r = g->x->real;
  uint32_t gic = g->win.ic / g->win.groups;
  if (r->n == 1) return 0;
  return g->conv ? o / (g->win.oc / g->win.groups) * gic + (uint32_t)(i % gic) : qx_channel((qx_rule){r->n, r->inner}, i);
}

static const qv_piece *line_of(const gemm *g, uint32_t c) { return g->x->real->f[c]->v; } /* settled: one piece */

/* Do the channels of x's functions lie along the inputs of a sum? And no function may be constant. */
static qv_status input_classes(ox *L, gemm *g) {
  const qx_real *r = g->x->real;
  const ox_shape *x = &g->x->shape;
  size_t spatial = 1;
  for (uint32_t d = 2; d < x->rank; d++) spatial *= x->dim[d];
  bool along = g->conv ? r->inner == spatial && r->n == g->win.ic : g->k % ((size_t)r->n * r->inner) == 0;
  if (r->n > 1 && !along) return OX_UNSUP(L, g->x, "the inputs of one sum have different scales from row to row: there is no integer form");
  for (uint32_t c = 0; c < r->n; c++)
    if (qv_surd_sign(&line_of(g, c)->a) == 0) return OX_UNSUP(L, g->x, "the input of this operator is constant");
  g->single = r->n == 1 || (g->conv && g->win.groups == g->win.ic);
  return QV_OK;
}

/* Scales a_c of the inputs of one sum as integers times a common step: a_c = step * m_c. */
static qv_status common_inputs(ox *L, gemm *g) {
  qv_status st = QV_OK;
  uint32_t n = g->x->real->n;
  if (g->single) return QV_OK;
  g->m = QV_NEW(&L->tmp, n, int32_t);
  g->step = surds(L, 1);
  if (g->m == NULL || g->step == NULL) return ox_nomem(L);
  qv_surd t;
  mpz_t den, num;
  qv_surd_init(&t);
  mpz_init_set_ui(den, 1);
  mpz_init(num);
  bool ok = true;
  for (uint32_t c = 0; ok && c < n; c++) { /* least common denominator of a_c / a_0 */
    ok = qv_surd_div(&t, &line_of(g, c)->a, &line_of(g, 0)->a) && qv_surd_rational(&t);
    mpz_lcm(den, den, mpq_denref(t.p));
    ok = ok && mpz_sizeinbase(den, 2) < 64;
  }
  for (uint32_t c = 0; ok && c < n; c++) {
    ok = qv_surd_div(&t, &line_of(g, c)->a, &line_of(g, 0)->a);
    mpz_mul(num, den, mpq_numref(t.p));
    mpz_divexact(num, num, mpq_denref(t.p));
    ok = ok && mpz_fits_sint_p(num);
    g->m[c] = ok ? (int32_t)mpz_get_si(num) : 0;
  }
  qv_surd_set_i64(&t, 0);
  mpq_set_z(t.p, den);
  ok = ok && qv_surd_div(g->step, &line_of(g, 0)->a, &t);
  mpz_clear(den);
  mpz_clear(num);
  qv_surd_clear(&t);
  if (!ok) st = OX_UNSUP(L, g->x, "the scales of one sum's inputs have no common step of 32 bits: there is no integer form");
  return st;
}

/* Zero point of the inputs: their lines' common integer zero; else none, and what is left goes into b (impossible with padding, where
 * a real 0 must be an integer). *fold: it does. */
static qv_status input_zero(ox *L, gemm *g, bool *fold) {
  bool same = true;
  for (uint32_t c = 0; c < g->x->real->n; c++) {
    int32_t z = 0;
    same = zero_of(&z, line_of(g, c)) && (c == 0 || z == g->xz) && same;
    if (c == 0) g->xz = z;
  }
  *fold = !same;
  if (*fold) g->xz = 0;
  if (*fold && padded(&g->win)) return OX_UNSUP(L, g->x, "padding with 0, which is not one of the quantized input's values");
  return QV_OK;
}

/* Line of channel o without bias: a = a_x * s_w, b = sum over the weights of w * s_w * b_x if the zero points are folded. */
static bool result_line(gemm *g, uint32_t o, bool fold, qv_i128 *sum, qv_surd *t) {
  uint32_t n = g->x->real->n;
  bool ok = qv_surd_mul(&g->a[o], g->single ? &line_of(g, class_of(g, o, 0))->a : g->step, &g->s[o]);
  if (!fold) return ok;
  for (uint32_t c = 0; c < n; c++) sum[c] = 0;
  for (size_t i = 0; i < g->k; i++) sum[class_of(g, o, i)] += (int64_t)g->iw[o * g->k + i] - g->wz[o];
  for (uint32_t c = 0; ok && c < n; c++) {
    if (sum[c] == 0) continue;
    qv_surd_set_i64(t, (int64_t)sum[c]); /* at most 2^28 terms below 2^33 */
    ok = qv_surd_mul(t, t, &g->s[o]) && qv_surd_mul(t, t, &line_of(g, c)->b) && qv_surd_add(&g->b[o], &g->b[o], t);
  }
  return ok;
}

static qv_status result_lines(ox *L, gemm *g, bool fold) {
  qv_status st = QV_OK;
  qv_surd t;
  qv_i128 *sum = QV_NEW(&L->tmp, g->x->real->n, qv_i128);
  if (sum == NULL) return ox_nomem(L);
  qv_surd_init(&t);
  for (uint32_t o = 0; st == QV_OK && o < g->win.oc; o++) {
    if (!result_line(g, o, fold, sum, &t)) st = qx_inexact(L, g->x);
    for (size_t i = 0; st == QV_OK && g->m != NULL && i < g->k; i++) { /* the common step is the accumulator's */
      int64_t w = ((int64_t)g->iw[o * g->k + i] - g->wz[o]), p;
      if (!qv_mul64(&p, w, g->m[class_of(g, o, i)]) || p < INT32_MIN || p > INT32_MAX)
        st = OX_UNSUP(L, g->x, "the weights times the ratios of the inputs' scales need more than 32 bits");
      else g->iw[o * g->k + i] = (int32_t)p;
    }
    if (g->m != NULL) g->wz[o] = 0;
  }
  qv_surd_clear(&t);
  return st;
}

/* Add the real bias v (one value, or one per channel) times beta: to the integers where it is a multiple of the accumulator's step,
 * else to b. */
static qv_status add_bias(ox *L, gemm *g, ox_value *v, const qv_surd *beta) {
  qv_status st = QV_OK;
  uint32_t oc = g->win.oc;
  size_t n = qx_is_const(v) ? qx_numbers(v) : 0;
  if (n != 1 && n != oc) return OX_UNSUP(L, v, "the bias must be constant, with one value per output channel");
  qv_surd x, t;
  mpz_t k;
  qv_surd_init(&x);
  qv_surd_init(&t);
  mpz_init(k);
  for (uint32_t o = 0; st == QV_OK && o < oc; o++) {
    bool ok = qx_number(&x, v, n == 1 ? 0 : o) && qv_surd_mul(&x, &x, beta);
    bool whole = ok && qv_surd_div(&t, &x, &g->a[o]) && qv_surd_floor(k, &t) && mpz_sizeinbase(k, 2) < 53;
    if (whole) g->bias[o] = mpz_get_si(k);
    else if (!ok || !qv_surd_add(&g->b[o], &g->b[o], &x)) st = qx_inexact(L, v);
  }
  mpz_clear(k);
  qv_surd_clear(&x);
  qv_surd_clear(&t);
  return st;
}

/* Under ap_fixed the accumulator counts in units of 2^-F: each channel's step must be a multiple of it. */
static qv_status fixed_point(ox *L, gemm *g) {
  qv_status st = QV_OK;
  const qv_reals_params *p = &L->reals;
  qv_surd unit, t;
  mpz_t k;
  if (L->prof->reals != QV_REALS_FIXED) return QV_OK;
  qv_surd_init(&unit);
  qv_surd_init(&t);
  mpz_init(k);
  qv_surd_set_i64(&unit, 1);
  if (p->fraction >= 0) mpq_div_2exp(unit.p, unit.p, (mp_bitcnt_t)p->fraction);
  else mpq_mul_2exp(unit.p, unit.p, (mp_bitcnt_t)-p->fraction);
  for (uint32_t o = 0; st == QV_OK && o < g->win.oc; o++) {
    bool ok = qv_surd_div(&t, &g->a[o], &unit) && qv_surd_rational(&t) && qv_surd_floor(k, &t) && mpz_sizeinbase(k, 2) < 31;
    int64_t m = ok ? mpz_get_si(k) : 0;
    for (size_t i = 0; ok && i < g->k; i++) {
      int64_t w = (int64_t)g->iw[o * g->k + i] * m;
      ok = w >= INT32_MIN && w <= INT32_MAX;
      g->iw[o * g->k + i] = (int32_t)w;
    }
    int64_t z = g->wz[o] * m;
    ok = ok && z >= INT32_MIN && z <= INT32_MAX && qv_mul64(&g->bias[o], g->bias[o], m);
    g->wz[o] = (int32_t)z;
    qv_surd_set(&g->a[o], &unit);
    if (!ok)
      st = OX_UNSUP(L, g->x, "products finer than the accumulator's 2^-%d would be rounded one by one, which is not modelled", p->fraction);
    else if (qv_surd_sign(&g->b[o]) != 0) st = OX_UNSUP(L, g->x, "a bias that is no multiple of 2^-%d", p->fraction);
  }
  mpz_clear(k);
  qv_surd_clear(&unit);
  qv_surd_clear(&t);
  return st;
}

/* Hull of the sums, for the tensor's range while lowering. */
static void sum_range(const ox *L, const gemm *g, const qv_acc *acc, uint32_t in, int64_t *lo, int64_t *hi) {
  const qv_tensor *t = &L->net->tensor[in];
  qv_i128 xl = (qv_i128)t->lo - g->xz, xh = (qv_i128)t->hi - g->xz, l = 0, h = 0;
  bool pad = padded(&g->win), wide = xl < -((qv_i128)1 << 62) || xh > ((qv_i128)1 << 62);
  for (uint32_t o = 0; o < g->win.oc; o++) {
    qv_i128 a = g->bias[o], b = a;
    for (size_t i = 0; i < g->k; i++) {
      qv_i128 w = (int64_t)g->iw[o * g->k + i] - g->wz[o], p = w * xl, q = w * xh;
      qv_i128 tl = p < q ? p : q, th = p < q ? q : p;
      a += pad && tl > 0 ? 0 : tl;
      b += pad && th < 0 ? 0 : th;
    }
    l = o == 0 || a < l ? a : l;
    h = o == 0 || b > h ? b : h;
  }
  bool fits = !wide && (acc->bits == 0 ? l >= INT64_MIN / 2 && h <= INT64_MAX / 2 : l >= qv_smin(acc->bits) && h <= qv_smax(acc->bits));
  *lo = fits ? (int64_t)l : acc->bits == 0 ? INT64_MIN : qv_smin(acc->bits);
  *hi = fits ? (int64_t)h : acc->bits == 0 ? INT64_MAX : qv_smax(acc->bits);
}

static qv_status emit(ox *L, gemm *g) {
  qv_status st;
  qv_acc acc;
  uint32_t in, net;
  int64_t lo, hi;
  QV_TRY(fixed_point(L, g));
  QV_TRY(qx_acc(L, g->y, &acc));
  QV_TRY(qx_plain(L, g->x, g->conv, &in));
  bool one_wz = true;
  for (uint32_t o = 1; o < g->win.oc; o++) one_wz = one_wz && g->wz[o] == g->wz[0];
  const qv_affine a = {.win = g->win, .x_zp = g->xz, .w = g->iw, .n_w_zp = one_wz ? 1 : g->win.oc, .w_zp = g->wz, .b = g->bias, .acc = acc};
  ox_shape stored = ox_stored_shape(&g->out, g->conv);
  QV_TRY(ox_add_tensor(L, g->y, "", acc.bits == 0 || acc.bits > 32 ? QV_I64 : QV_I32, &stored, &net));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_AFFINE, .u.affine = a}, &in, 1, net));
  sum_range(L, g, &acc, in, &lo, &hi);
  qx_range(L, net, lo, hi);
  qx_rule r = {g->win.oc, 1};
  if (g->conv) r.inner = g->win.oh * g->win.ow;
  QV_TRY(qx_set_net(L, g->y, net, &g->out, g->conv, r, g->a, g->b));
done:
  return st;
}

static qv_status input_operand(ox *L, gemm *g) {
  qv_status st;
  QV_TRY(qx_arg(L, 0, &g->x));
  QV_TRY(ox_res(L, 0, &g->y));
  if (qx_is_const(g->x)) return OX_UNSUP(L, g->x, "a constant operand in this place is not supported");
  QV_TRY(qx_settle(L, g->x));
done:
  return st;
}

static qv_status products(ox *L, gemm *g, ox_value *bias, const qv_surd *beta) {
  qv_status st;
  bool fold;
  if (g->win.oc > QX_MAX_CHANNELS) return OX_UNSUP(L, g->w, "more than %u output channels", QX_MAX_CHANNELS);
  QV_TRY(input_classes(L, g));
  QV_TRY(common_inputs(L, g));
  QV_TRY(input_zero(L, g, &fold));
  QV_TRY(result_lines(L, g, fold));
  if (bias != NULL) QV_TRY(add_bias(L, g, bias, beta));
  QV_TRY(emit(L, g));
done:
  return st;
}

qv_status qx_matmul(ox *L) {
  qv_status st;
  gemm g = {0};
  QV_TRY(input_operand(L, &g));
  QV_TRY(weight_operand(L, 1, &g));
  QV_TRY(dense_weights(L, &g, false));
  QV_TRY(dense_shape(L, &g));
  QV_TRY(products(L, &g, NULL, NULL));
done:
  gemm_clear(&g);
  return st;
}

qv_status qx_gemm(ox *L) {
  qv_status st;
  gemm g = {0};
  int64_t ta, tb;
  float alpha, beta;
  qv_surd one, f;
  qv_surd_init(&one);
  qv_surd_init(&f);
  QV_TRY(ox_attr_i(L, "transA", 0, &ta));
  QV_TRY(ox_attr_i(L, "transB", 0, &tb));
  QV_TRY(ox_attr_f(L, "alpha", 1, &alpha));
  QV_TRY(ox_attr_f(L, "beta", 1, &beta));
  (void)ox_attr(L, "broadcast"); /* operator sets before 7 */
  QV_TRY(input_operand(L, &g));
  QV_TRY(weight_operand(L, 1, &g));
  if (ta != 0 || alpha == 0 || !qv_surd_set_f64(&f, (double)alpha) || !qv_surd_set_f64(&one, (double)beta)) {
    st = OX_UNSUP(L, g.x, "transA, or an alpha or beta that is 0 or not a number");
    goto done;
  }
  QV_TRY(dense_weights(L, &g, tb != 0));
  for (uint32_t o = 0; o < g.win.oc; o++)
    if (!qv_surd_mul(&g.s[o], &g.s[o], &f)) {
      st = qx_inexact(L, g.w);
      goto done;
    }
  QV_TRY(dense_shape(L, &g));
  ox_value *bias = ox_opt(L, 2);
  if (bias != NULL) QV_TRY(ox_arg(L, 2, &bias));
  QV_TRY(products(L, &g, bias, &one));
done:
  qv_surd_clear(&one);
  qv_surd_clear(&f);
  gemm_clear(&g);
  return st;
}

qv_status qx_conv(ox *L) {
  qv_status st;
  gemm g = {0};
  qv_surd one;
  qv_surd_init(&one);
  qv_surd_set_i64(&one, 1);
  QV_TRY(input_operand(L, &g));
  QV_TRY(weight_operand(L, 1, &g));
  QV_TRY(conv_weights(L, &g));
  QV_TRY(conv_shape(L, &g));
  ox_value *bias = ox_opt(L, 2);
  if (bias != NULL) QV_TRY(ox_arg(L, 2, &bias));
  QV_TRY(products(L, &g, bias, &one));
done:
  qv_surd_clear(&one);
  gemm_clear(&g);
  return st;
}

/* Number of positions where bits x and w agree: sum over k of x*(2w - 1) + (1 - w), for x and w in {0,1}. */
qv_status qx_xnor(ox *L) {
  qv_status st;
  gemm g = {0};
  qv_surd zero, one;
  qv_surd_init(&zero);
  qv_surd_init(&one);
  qv_surd_set_i64(&one, 1);
  QV_TRY(input_operand(L, &g));
  QV_TRY(weight_operand(L, 1, &g));
  const qv_piece *f = g.x->real->f[0]->v;
  const qv_tensor *t = &L->net->tensor[g.x->net];
  bool bits =
      g.x->real->n == 1 && mpq_equal(f->a.p, one.p) && qv_surd_rational(&f->a) && qv_surd_sign(&f->b) == 0 && t->lo >= 0 && t->hi <= 1;
  if (!bits) {
    st = OX_UNSUP(L, g.x, "XnorPopcountMatMul needs inputs 0 and 1");
    goto done;
  }
  QV_TRY(dense_weights(L, &g, false));
  QV_TRY(dense_shape(L, &g));
  for (uint32_t o = 0; o < g.win.oc; o++) {
    for (size_t i = 0; i < g.k; i++) {
      int32_t *w = &g.iw[o * g.k + i];
      bool ok = mpq_equal(g.s[o].p, one.p) && g.wz[o] == 0 && (*w == 0 || *w == 1);
      if (!ok) {
        st = OX_UNSUP(L, g.w, "XnorPopcountMatMul needs weights 0 and 1");
        goto done;
      }
      g.bias[o] += 1 - *w;
      *w = 2 * *w - 1;
    }
    qv_surd_set(&g.a[o], &one);
  }
  if (L->prof->reals == QV_REALS_FIXED) {
    st = OX_UNSUP(L, g.x, "XnorPopcountMatMul has no fixed-point accumulator");
    goto done;
  }
  QV_TRY(emit(L, &g));
done:
  qv_surd_clear(&zero);
  qv_surd_clear(&one);
  gemm_clear(&g);
  return st;
}

/* ---- means ------------------------------------------------------------------------------------------------------------------------------ */

/* Sum of the window's integers; the mean is one n-th of it. */
qv_status qx_average_pool(ox *L) {
  qv_status st;
  gemm g = {0};
  int64_t include;
  qx_rule r;
  qv_surd n, n_inv;
  qv_surd_init(&n);
  qv_surd_init(&n_inv);
  QV_TRY(input_operand(L, &g));
  QV_TRY(ox_attr_i(L, "count_include_pad", 0, &include));
  QV_TRY(qx_pool_window(L, g.x, &g.win, &g.out));
  QV_TRY(qx_pool_rule(L, g.x, &g.out, &r));
  g.w = g.x;
  g.conv = true;
  g.k = (size_t)g.win.kh * g.win.kw;
  if (padded(&g.win) && include == 0) {
    st = OX_UNSUP(L, g.x, "means over windows of different sizes at the border are not supported");
    goto done;
  }
  QV_TRY(gemm_alloc(L, &g));
  qv_surd_set_i64(&n_inv, 1);
  qv_surd_set_i64(&n, (int64_t)g.k);
  bool ok = qv_surd_div(&n_inv, &n_inv, &n);
  for (uint32_t o = 0; ok && o < g.win.oc; o++) {
    qv_surd_set(&g.s[o], &n_inv);
    for (size_t i = 0; i < g.k; i++) g.iw[o * g.k + i] = 1;
  }
  if (!ok) {
    st = qx_inexact(L, g.x);
    goto done;
  }
  QV_TRY(products(L, &g, NULL, NULL));
done:
  qv_surd_clear(&n);
  qv_surd_clear(&n_inv);
  gemm_clear(&g);
  return st;
}
