/* Quant, BipolarQuant, Trunc, MultiThreshold, and QuantizeLinear over exact reals. Definitions: docs/onnx.md. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/onnx_qonnx.h"

/* ---- parameters ----------------------------------------------------------------------------------------------------------- */

/* One number. */
static qv_status scalar(ox *L, uint32_t k, qv_surd *x) {
  ox_value *v;
  qv_status st = ox_arg(L, k, &v);
  if (st != QV_OK) return st;
  if (!qx_is_const(v) || qx_numbers(v) != 1) return OX_UNSUP(L, v, "this operand must be one constant number");
  return qx_number(x, v, 0) ? QV_OK : OX_PARSE(L, v, "not a number");
}

static qv_status whole(ox *L, uint32_t k, int64_t lo, int64_t hi, int64_t *r) {
  qv_surd x;
  mpz_t z;
  qv_surd_init(&x);
  mpz_init(z);
  qv_status st = scalar(L, k, &x);
  bool ok = st == QV_OK && qv_surd_floor(z, &x) && mpz_cmp_si(z, lo) >= 0 && mpz_cmp_si(z, hi) <= 0;
  *r = ok ? mpz_get_si(z) : 0;
  if (st == QV_OK && !ok)
    st = OX_UNSUP(L, ox_opt(L, k), "the bit width must be a whole number from %lld to %lld", (long long)lo, (long long)hi);
  mpz_clear(z);
  qv_surd_clear(&x);
  return st;
}

static qv_status rounding(ox *L, const char *absent, qv_rounding *m) {
  static const struct {
    const char *name;
    qv_rounding m;
  } modes[] = {{"ROUND", QV_ROUND_EVEN},         {"HALF_EVEN", QV_ROUND_EVEN},  {"CEIL", QV_ROUND_CEIL},
               {"FLOOR", QV_ROUND_FLOOR},        {"UP", QV_ROUND_UP},           {"DOWN", QV_ROUND_DOWN},
               {"ROUND_TO_ZERO", QV_ROUND_DOWN}, {"HALF_UP", QV_ROUND_HALF_UP}, {"HALF_DOWN", QV_ROUND_HALF_DOWN}};
  const Onnx__AttributeProto *a = ox_attr(L, "rounding_mode");
  char t[32] = "";
  if (a != NULL && (!a->has_s || a->s.len >= sizeof t)) return OX_PARSE(L, NULL, "attribute 'rounding_mode' has the wrong type or size");
  if (a != NULL)
    for (size_t i = 0; i < a->s.len; i++) t[i] = (char)toupper(a->s.data[i]);
  else memcpy(t, absent, strlen(absent) + 1);
  for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
    if (strcmp(t, modes[i].name) == 0) {
      *m = modes[i].m;
      return QV_OK;
    }
  return OX_UNSUP(L, NULL, "rounding mode '%.31s' is not known", t);
}

/* Constant scale s_c != 0 and zero point z_c of tensor x, as the map k -> s*(k - z). */
typedef struct {
  qx_rule r;
  qv_surd *s, *z; /* [r.n] */
  qv_surd *a, *b; /* s, -s*z */
} scales;

static void scales_clear(scales *q) {
  for (uint32_t c = 0; q->s != NULL && c < q->r.n; c++) {
    qv_surd_clear(&q->s[c]);
    qv_surd_clear(&q->z[c]);
    qv_surd_clear(&q->a[c]);
    qv_surd_clear(&q->b[c]);
  }
}

static qv_status scales_new(ox *L, scales *q) {
  q->s = QV_NEW(&L->tmp, q->r.n, qv_surd);
  q->z = QV_NEW(&L->tmp, q->r.n, qv_surd);
  q->a = QV_NEW(&L->tmp, q->r.n, qv_surd);
  q->b = QV_NEW(&L->tmp, q->r.n, qv_surd);
  if (q->s == NULL || q->z == NULL || q->a == NULL || q->b == NULL) {
    q->s = NULL;
    return ox_nomem(L);
  }
  for (uint32_t c = 0; c < q->r.n; c++) {
    qv_surd_init(&q->s[c]);
    qv_surd_init(&q->z[c]);
    qv_surd_init(&q->a[c]);
    qv_surd_init(&q->b[c]);
  }
  return QV_OK;
}

/* a and b from s and z. */
static qv_status scales_done(ox *L, const ox_value *v, scales *q) {
  for (uint32_t c = 0; c < q->r.n; c++) {
    if (qv_surd_sign(&q->s[c]) == 0) return OX_PARSE(L, v, "a scale is 0");
    qv_surd_set(&q->a[c], &q->s[c]);
    if (!qv_surd_mul(&q->b[c], &q->s[c], &q->z[c])) return qx_inexact(L, v);
    mpq_neg(q->b[c].p, q->b[c].p);
    mpq_neg(q->b[c].q, q->b[c].q);
  }
  return QV_OK;
}

/* Operands k (scale) and, unless QV_NONE, kz (zero point) of x. */
static qv_status read_scales(ox *L, const ox_value *x, uint32_t k, uint32_t kz, scales *q) {
  qv_status st;
  ox_value *s, *z = NULL;
  qx_rule rs, rz = {1, 1};
  QV_TRY(ox_arg(L, k, &s));
  if (kz != QV_NONE) QV_TRY(ox_arg(L, kz, &z));
  if (!qx_is_const(s) || (z != NULL && !qx_is_const(z))) return OX_UNSUP(L, x, "scales and zero points must be constants");
  QV_TRY(qx_spread(L, s, &x->shape, &rs));
  if (z != NULL) QV_TRY(qx_spread(L, z, &x->shape, &rz));
  QV_TRY(qx_common(L, x, rs, rz, &q->r));
  QV_TRY(scales_new(L, q));
  for (uint32_t c = 0; c < q->r.n; c++) {
    size_t e = (size_t)c * q->r.inner;
    if (!qx_number(&q->s[c], s, qx_channel(rs, e)) || (z != NULL && !qx_number(&q->z[c], z, qx_channel(rz, e))))
      return OX_PARSE(L, s, "a scale or zero point is not a number");
  }
  QV_TRY(scales_done(L, s, q));
done:
  return st;
}

/* ---- rounding to levels ----------------------------------------------------------------------------------------------------- */

/* u = x/s + z, then the step function `levels`. */
typedef struct {
  const scales *q;
  const qv_pwa *levels;
} level_ctx;

static qv_status make_level(ox *L, const void *ctx, uint32_t c, qv_pwa **g) {
  const level_ctx *k = ctx;
  qv_surd inv, one;
  qv_surd_init(&inv);
  qv_surd_init(&one);
  qv_surd_set_i64(&one, 1);
  bool ok = qv_surd_div(&inv, &one, &k->q->s[c]);
  qv_pwa *u = ok ? qv_pwa_affine(&inv, &k->q->z[c]) : NULL;
  qv_surd_clear(&inv);
  qv_surd_clear(&one);
  if (!ok) return qx_inexact(L, NULL);
  qv_status st = u == NULL ? QV_E_NOMEM : qv_pwa_compose(g, k->levels, u);
  qv_pwa_free(u);
  return st == QV_E_NOMEM ? ox_nomem(L) : st != QV_OK ? qx_inexact(L, NULL) : QV_OK;
}

static qv_status quantize_levels(ox *L, const ox_value *x, ox_value *y, const scales *q, qv_pwa *levels, const scales *out) {
  qv_status st = qx_keep(L, levels);
  const level_ctx ctx = {q, levels};
  if (st == QV_OK)
    st = qx_quantize(L, x, y, &(qx_quantizer){.r = q->r, .make = make_level, .ctx = &ctx, .ra = out->r, .a = out->a, .b = out->b});
  return st;
}

/* sat[lo,hi](round(u)) of a rational u. */
static void round_number(mpz_t k, const qv_surd *u, qv_rounding m, int64_t lo, int64_t hi) {
  qv_surd edge;
  int64_t twice;
  int c = -1;
  bool closed;
  (void)qv_surd_floor(k, u);
  if (mpz_cmp_si(k, lo) < 0) mpz_set_si(k, lo); /* beyond both ends the choice below cannot matter any more */
  else if (mpz_cmp_si(k, hi) >= 0) mpz_set_si(k, hi);
  else {
    qv_surd_init(&edge);
    qv_round_boundary(m, mpz_get_si(k) + 1, &twice, &closed); /* the floor, or the next */
    mpq_set_si(edge.p, twice, 2);
    mpq_canonicalize(edge.p);
    bool ok = qv_surd_cmp(&c, u, &edge);
    QV_CHECK(ok);
    if (c > 0 || (c == 0 && closed)) mpz_add_ui(k, k, 1);
    qv_surd_clear(&edge);
  }
}

/* The same in binary64 where that decides: |u| < 2^20 has an error below 2^-30 after two operations, and no boundary (all are multiples
 * of 1/2) lies within 2^-21. s = 0: not known in binary64. */
static bool round_quickly(int32_t *k, double w, double s, double z, qv_rounding m, bool bipolar, int64_t lo, int64_t hi) {
  double u = s != 0 ? w / s + z : INFINITY, floor_u = floor(u);
  int64_t twice;
  bool closed;
  if (!(fabs(u) < 0x1p20) || fabs(2 * u - rint(2 * u)) < 0x1p-20) return false;
  qv_round_boundary(m, (int64_t)floor_u + 1, &twice, &closed);
  int64_t r = (int64_t)floor_u + (2 * u > (double)twice);
  *k = bipolar ? (u > 0 ? 1 : -1) : (int32_t)qv_clamp64(r, lo, hi);
  return true;
}

/* x if it is a binary64 number, else 0. */
static double as_double(const qv_surd *x) {
  qv_surd t;
  qv_surd_init(&t);
  double d = qv_surd_rational(x) ? mpq_get_d(x->p) : 0;
  bool exact = qv_surd_set_f64(&t, d) && mpq_equal(t.p, x->p);
  qv_surd_clear(&t);
  return exact ? d : 0;
}

/* Constants are rounded one by one: they may have far more levels than a node. */
static qv_status quantize_const(ox *L, const ox_value *x, ox_value *y, const scales *q, qv_rounding m, bool bipolar, int64_t lo,
                                int64_t hi) {
  qv_status st = QV_OK;
  onx_const r = *x->c;
  int32_t *k = OX_NEW(L, r.n, int32_t);
  double *d = QV_NEW(&L->tmp, 2 * (size_t)q->r.n, double);
  if (k == NULL || d == NULL) return ox_nomem(L);
  mpz_t z;
  qv_surd u;
  mpz_init(z);
  qv_surd_init(&u);
  for (uint32_t c = 0; c < q->r.n; c++) {
    d[2 * c] = as_double(&q->s[c]);
    d[2 * c + 1] = as_double(&q->z[c]);
    if (d[2 * c + 1] == 0 && qv_surd_sign(&q->z[c]) != 0) d[2 * c] = 0;
  }
  for (size_t e = 0; st == QV_OK && e < r.n; e++) {
    uint32_t c = qx_channel(q->r, e);
    bool plain = x->state == OX_CONST && r.f != NULL;
    if (plain && round_quickly(&k[e], (double)r.f[e], d[2 * c], d[2 * c + 1], m, bipolar, lo, hi)) continue;
    if (!qx_number(&u, x, e)) st = OX_PARSE(L, x, "element %zu is not a number", e);
    else if (!qv_surd_div(&u, &u, &q->s[c]) || !qv_surd_add(&u, &u, &q->z[c])) st = qx_inexact(L, x);
    else if (bipolar) k[e] = qv_surd_sign(&u) >= 0 ? 1 : -1;
    else {
      round_number(z, &u, m, lo, hi);
      k[e] = (int32_t)mpz_get_si(z);
    }
  }
  mpz_clear(z);
  qv_surd_clear(&u);
  if (st != QV_OK) return st;
  r.type = ONX_INT32;
  r.f = NULL;
  r.l = NULL;
  r.i = k;
  const ox_shape s = x->shape;
  QV_TRY(ox_set_const(L, y, &r));
  y->shape = s;
  const qv_pwa **f = QV_NEW(&L->tmp, q->r.n, const qv_pwa *);
  if (f == NULL) return ox_nomem(L);
  for (uint32_t c = 0; c < q->r.n; c++) {
    qv_pwa *p = qv_pwa_affine(&q->a[c], &q->b[c]);
    f[c] = p;
    QV_TRY(qx_keep(L, p));
  }
  const qx_real codes = {.leaf = QX_CODES};
  const ox_value like = {.c = y->c, .net = QV_NONE, .shape = s, .real = &codes};
  QV_TRY(qx_set(L, y, &like, q->r, f));
done:
  return st;
}

/* -1 below 0, 1 from 0 on. */
static qv_pwa *sign_levels(void) {
  qv_pwa *f = qv_pwa_new(2);
  if (f == NULL) return NULL;
  qv_surd_set_i64(&f->v[0].b, -1);
  qv_surd_set_i64(&f->v[1].b, 1);
  f->v[1].closed = true;
  return f;
}

qv_status qx_quant(ox *L) {
  qv_status st;
  ox_value *x, *y;
  scales q = {0};
  int64_t sign, narrow, bits;
  qv_rounding m;
  QV_TRY(ox_arg(L, 0, &x));
  if (!qx_is_const(x)) QV_TRY(qx_arg(L, 0, &x));
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(ox_attr_i(L, "signed", 1, &sign));
  QV_TRY(ox_attr_i(L, "narrow", 0, &narrow));
  QV_TRY(rounding(L, "ROUND", &m));
  QV_TRY(whole(L, 3, 1, qx_is_const(x) ? 32 : 16, &bits));
  QV_TRY(read_scales(L, x, 1, 2, &q));
  bool bipolar = bits == 1 && sign != 0;
  int64_t lo = sign != 0 ? -((int64_t)1 << (bits - 1)) + (narrow != 0) : 0;
  int64_t hi = sign != 0 ? ((int64_t)1 << (bits - 1)) - 1 : ((int64_t)1 << bits) - 1 - (narrow != 0);
  if (hi > INT32_MAX || lo > hi) {
    st = OX_UNSUP(L, x, "levels from %lld to %lld", (long long)lo, (long long)hi);
    goto done;
  }
  if (qx_is_const(x)) st = quantize_const(L, x, y, &q, m, bipolar, lo, hi);
  else st = quantize_levels(L, x, y, &q, bipolar ? sign_levels() : qv_pwa_round(m, lo, hi), &q);
done:
  scales_clear(&q);
  return st;
}

qv_status qx_bipolar(ox *L) {
  qv_status st;
  ox_value *x, *y;
  scales q = {0}, one = {.r = {1, 1}};
  QV_TRY(ox_arg(L, 0, &x));
  if (!qx_is_const(x)) QV_TRY(qx_arg(L, 0, &x));
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(read_scales(L, x, 1, QV_NONE, &q));
  QV_TRY(scales_new(L, &one)); /* the sign of x itself, whatever the scale's */
  qv_surd_set_i64(&one.s[0], 1);
  QV_TRY(scales_done(L, x, &one));
  if (qx_is_const(x)) {
    QV_TRY(quantize_const(L, x, y, &one, QV_ROUND_EVEN, true, -1, 1));
    const ox_value codes = *y;
    const qv_pwa **f = QV_NEW(&L->tmp, q.r.n, const qv_pwa *);
    st = f == NULL ? ox_nomem(L) : QV_OK;
    for (uint32_t c = 0; st == QV_OK && c < q.r.n; c++) {
      qv_pwa *p = qv_pwa_affine(&q.a[c], &q.b[c]);
      f[c] = p;
      st = qx_keep(L, p);
    }
    if (st == QV_OK) st = qx_set(L, y, &codes, q.r, f);
  } else st = quantize_levels(L, x, y, &one, sign_levels(), &q);
done:
  scales_clear(&q);
  scales_clear(&one);
  return st;
}

/* ---- Trunc -------------------------------------------------------------------------------------------------------------------- */

/* Levels lo..hi of mode(rne(u) / 2^d): level k begins at the first integer n with n / 2^d at k's boundary, and rne(u) >= n from
 * n - 1/2 on (n even) or behind it. */
static qv_pwa *trunc_levels(qv_rounding m, uint32_t d, int64_t lo, int64_t hi) {
  qv_pwa *f = qv_pwa_new((uint32_t)(hi - lo) + 1);
  for (uint32_t i = 0; f != NULL && i < f->n; i++) {
    int64_t twice, half;
    bool closed;
    qv_surd_set_i64(&f->v[i].b, lo + i);
    if (i == 0) continue;
    qv_round_boundary(m, lo + i, &twice, &closed);
    qv_i128 edge = qv_scale2(twice, (int)d); /* twice the boundary in n */
    int64_t n = (int64_t)qv_floor_div(edge, 2);
    if (!(closed && edge % 2 == 0)) n++;
    qv_round_boundary(QV_ROUND_EVEN, n, &half, &f->v[i].closed);
    mpq_set_si(f->v[i].from.p, half, 2);
    mpq_canonicalize(f->v[i].from.p);
  }
  return f;
}

/* Smallest and largest value of the reals x. */
static qv_status real_range(ox *L, const ox_value *x, qv_surd *lo, qv_surd *hi) {
  qv_surd v, at;
  bool ok = true, first = true;
  const qv_tensor *t = &L->net->tensor[x->net];
  if (x->real->leaf != QX_NET) return OX_UNSUP(L, x, "the float input reaches this operator before a quantizer");
  qv_surd_init(&v);
  qv_surd_init(&at);
  for (uint32_t c = 0; ok && c < x->real->n; c++) {
    ok = x->real->f[c]->n == 1;
    for (int end = 0; ok && end < 2; end++) {
      int d = 0;
      qv_surd_set_i64(&at, end ? t->hi : t->lo);
      ok = qv_pwa_at(&v, x->real->f[c], &at);
      if (ok && (first || (ok = qv_surd_cmp(&d, &v, lo), d < 0))) qv_surd_set(lo, &v);
      if (ok && (first || (ok = qv_surd_cmp(&d, &v, hi), d > 0))) qv_surd_set(hi, &v);
      first = false;
    }
  }
  qv_surd_clear(&v);
  qv_surd_clear(&at);
  return ok ? QV_OK : OX_UNSUP(L, x, "the range of this value is not known");
}

/* Levels that x can reach, where the operator does not clip. */
static qv_status reached(ox *L, const ox_value *x, const scales *q, qv_rounding m, uint32_t d, int64_t *lo, int64_t *hi) {
  qv_surd r[2], u, at;
  mpz_t k;
  for (int i = 0; i < 2; i++) qv_surd_init(&r[i]);
  qv_surd_init(&u);
  qv_surd_init(&at);
  mpz_init(k);
  qv_status st = real_range(L, x, &r[0], &r[1]);
  *lo = INT64_MAX;
  *hi = INT64_MIN;
  for (uint32_t c = 0; st == QV_OK && c < q->r.n; c++)
    for (int i = 0; st == QV_OK && i < 2; i++) {
      if (!qv_surd_div(&u, &r[i], &q->s[c]) || !qv_surd_add(&u, &u, &q->z[c])) st = qx_inexact(L, x);
      if (st != QV_OK) break;
      round_number(k, &u, QV_ROUND_EVEN, -((int64_t)1 << 40), (int64_t)1 << 40);
      mpq_set_z(at.p, k);
      mpq_div_2exp(at.p, at.p, d);
      round_number(k, &at, m, -((int64_t)1 << 40), (int64_t)1 << 40);
      *lo = qv_min64(*lo, mpz_get_si(k));
      *hi = qv_max64(*hi, mpz_get_si(k));
    }
  mpz_clear(k);
  qv_surd_clear(&u);
  qv_surd_clear(&at);
  for (int i = 0; i < 2; i++) qv_surd_clear(&r[i]);
  return st;
}

/* d = rne(log2(ratio)), ratio > 0: 2^(d - 1/2) < ratio < 2^(d + 1/2), decided by squares. */
static bool log2_nearest(const qv_surd *ratio, int64_t *d) {
  if (!qv_surd_rational(ratio) || qv_surd_sign(ratio) <= 0) return false;
  mpq_t sq, p;
  mpq_inits(sq, p, NULL);
  mpq_mul(sq, ratio->p, ratio->p);
  *d = (int64_t)mpz_sizeinbase(mpq_numref(ratio->p), 2) - (int64_t)mpz_sizeinbase(mpq_denref(ratio->p), 2) - 1;
  for (;; ++*d) { /* at most three steps; ratio^2 = 2^(2d+1) does not happen */
    int64_t e = 2 * *d + 1;
    mpq_set_ui(p, 1, 1);
    if (e >= 0) mpq_mul_2exp(p, p, (mp_bitcnt_t)e);
    else mpq_div_2exp(p, p, (mp_bitcnt_t)-e);
    if (mpq_cmp(sq, p) < 0) break;
  }
  mpq_clears(sq, p, NULL);
  return true;
}

qv_status qx_trunc(ox *L) {
  qv_status st;
  ox_value *x, *y;
  scales q = {0}, out = {0};
  qv_rounding m;
  bool second = ox_opt(L, 5) != NULL; /* version 2: output scale, output zero point, output bits */
  int64_t in_bits, out_bits, narrow, sign, d, lo, hi;
  qv_surd t;
  qv_surd_init(&t);
  QV_TRY(qx_arg(L, 0, &x));
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(rounding(L, "FLOOR", &m));
  QV_TRY(ox_attr_i(L, "narrow", 0, &narrow));
  QV_TRY(ox_attr_i(L, "signed", 1, &sign));
  QV_TRY(whole(L, 3, 1, 32, &in_bits));
  QV_TRY(whole(L, second ? 6 : 4, 1, second ? 16 : 32, &out_bits));
  QV_TRY(read_scales(L, x, 1, 2, &q));
  out.r = q.r;
  QV_TRY(scales_new(L, &out));
  bool ok = true;
  if (!second) {
    d = in_bits - out_bits;
    for (uint32_t c = 0; c < q.r.n; c++) qv_surd_set(&out.s[c], &q.s[c]), qv_surd_set(&out.z[c], &q.z[c]);
  } else {
    QV_TRY(scalar(L, 4, &out.s[0]));
    ok = q.r.n == 1 && qv_surd_div(&t, &out.s[0], &q.s[0]) && log2_nearest(&t, &d);
    if (ok) {
      qv_surd_set(&out.z[0], &q.z[0]);
      if (d >= 0) mpq_div_2exp(out.z[0].p, out.z[0].p, (mp_bitcnt_t)d);
    }
  }
  if (!ok || d < 0 || d > 31) {
    st = OX_UNSUP(L, x, "Trunc must drop 0 to 31 bits, with one scale");
    goto done;
  }
  if (second) {
    lo = sign != 0 ? -((int64_t)1 << (out_bits - 1)) + (narrow != 0) : 0;
    hi = sign != 0 ? ((int64_t)1 << (out_bits - 1)) - 1 : ((int64_t)1 << out_bits) - 1 - (narrow != 0);
  } else QV_TRY(reached(L, x, &q, m, (uint32_t)d, &lo, &hi));
  if (hi - lo >= 65536) {
    st = OX_UNSUP(L, x, "Trunc to more than 65536 levels");
    goto done;
  }
  QV_TRY(scales_done(L, x, &out));
  QV_TRY(quantize_levels(L, x, y, &q, trunc_levels(m, (uint32_t)d, lo, hi), &out));
done:
  qv_surd_clear(&t);
  scales_clear(&q);
  scales_clear(&out);
  return st;
}

/* ---- MultiThreshold --------------------------------------------------------------------------------------------------------- */

typedef struct {
  const onx_const *t; /* [C][k] */
  size_t k;
  const int32_t *code; /* [k+1] */
} threshold_ctx;

static int by_value(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static qv_status make_thresholds(ox *L, const void *ctx, uint32_t c, qv_pwa **g) {
  const threshold_ctx *q = ctx;
  float *t = QV_NEW(&L->tmp, q->k + 1, float);
  qv_pwa *f = qv_pwa_new((uint32_t)q->k + 1);
  if (t == NULL || f == NULL) {
    qv_pwa_free(f);
    return ox_nomem(L);
  }
  if (q->k > 0) memcpy(t, q->t->f + c * q->k, q->k * sizeof *t);
  qsort(t, q->k, sizeof *t, by_value);
  bool ok = true;
  uint32_t n = 1;
  qv_surd_set_i64(&f->v[0].b, q->code[0]);
  for (size_t i = 0; ok && i < q->k; i++) { /* equal thresholds count as many */
    if (i == 0 || t[i] != t[i - 1]) n++;
    ok = qv_surd_set_f64(&f->v[n - 1].from, (double)t[i]);
    f->v[n - 1].closed = true;
    qv_surd_set_i64(&f->v[n - 1].b, q->code[i + 1]);
  }
  f->n = n;
  *g = f;
  return ok ? QV_OK : (qv_pwa_free(f), *g = NULL, OX_PARSE(L, ox_opt(L, 1), "a threshold is not a finite number"));
}

/* Codes of the counts 0..k: the values scale*i + bias themselves if they are integers, else i + bias/scale if that is one, else i. */
static qv_status count_codes(ox *L, ox_value *v, size_t k, float scale, float bias, int32_t *code, qv_surd *a, qv_surd *b) {
  if (!(scale != 0)) return OX_UNSUP(L, v, "out_scale is 0");
  if (!qv_surd_set_f64(a, (double)scale) || !qv_surd_set_f64(b, (double)bias))
    return OX_PARSE(L, v, "out_scale or out_bias is not a number");
  bool whole_values = mpz_cmp_ui(mpq_denref(a->p), 1) == 0 && mpz_cmp_ui(mpq_denref(b->p), 1) == 0;
  double step = whole_values ? (double)scale : 1, from = whole_values ? (double)bias : 0;
  qv_surd q;
  qv_surd_init(&q);
  if (whole_values) {
    qv_surd_set_i64(a, 1);
    qv_surd_set_i64(b, 0);
  } else if (qv_surd_div(&q, b, a) && mpz_cmp_ui(mpq_denref(q.p), 1) == 0 && mpz_sizeinbase(mpq_numref(q.p), 2) < 30) {
    from = mpq_get_d(q.p);
    qv_surd_set_i64(b, 0);
  }
  qv_surd_clear(&q);
  if (!(fmin(from, from + step * (double)k) >= -0x1p31 && fmax(from, from + step * (double)k) < 0x1p31))
    return OX_UNSUP(L, v, "codes beyond 32 bits");
  for (size_t i = 0; i <= k; i++) code[i] = (int32_t)(from + step * (double)i); /* whole numbers below 2^53 */
  return QV_OK;
}

qv_status qx_multithreshold(ox *L) {
  qv_status st;
  ox_value *x, *y, *t;
  float scale, bias;
  const onx_const *c;
  qv_surd a, b;
  qv_surd_init(&a);
  qv_surd_init(&b);
  QV_TRY(qx_arg(L, 0, &x));
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(ox_arg(L, 1, &t));
  QV_TRY(ox_const_of(L, t, &c));
  QV_TRY(ox_attr_f(L, "out_scale", 1, &scale));
  QV_TRY(ox_attr_f(L, "out_bias", 0, &bias));
  (void)ox_attr(L, "out_dtype"); /* what the numbers are called; they are what scale and bias say */
  bool last = ox_attr_is(L, "data_layout", "NHWC", false),
       first = ox_attr_is(L, "data_layout", "NCHW", true) || ox_attr_is(L, "data_layout", "NC", false);
  uint32_t rank = x->shape.rank, axis = rank == 4 && !last ? 1 : rank - 1;
  if (!last && !first) st = OX_UNSUP(L, x, "this data_layout is not supported; supported: NCHW, NHWC");
  else if (c->f == NULL || c->rank != 2 || rank < 1) st = OX_UNSUP(L, t, "the thresholds must be a matrix of floats [channels, steps]");
  else if (c->dim[0] != 1 && c->dim[0] != x->shape.dim[axis])
    st = OX_PARSE(L, t, "%u rows of thresholds for %u channels", c->dim[0], x->shape.dim[axis]);
  else if (c->dim[1] > QV_MAX_THRESHOLDS || c->dim[0] > QX_MAX_CHANNELS) st = OX_UNSUP(L, t, "too many thresholds");
  if (st != QV_OK) goto done;
  qx_rule r = {c->dim[0], 1};
  for (uint32_t d = axis + 1; d < rank; d++) r.inner *= x->shape.dim[d];
  threshold_ctx ctx = {.t = c, .k = c->dim[1]};
  int32_t *code = QV_NEW(&L->tmp, ctx.k + 1, int32_t);
  if (code == NULL) {
    st = ox_nomem(L);
    goto done;
  }
  ctx.code = code;
  QV_TRY(count_codes(L, x, ctx.k, scale, bias, code, &a, &b));
  QV_TRY(qx_quantize(L, x, y, &(qx_quantizer){.r = r, .make = make_thresholds, .ctx = &ctx, .ra = {1, 1}, .a = &a, .b = &b}));
done:
  qv_surd_clear(&a);
  qv_surd_clear(&b);
  return st;
}

/* ---- QuantizeLinear, DequantizeLinear over the reals ---------------------------------------------------------------------------- */

/* Scale and zero point, one each or along `axis` of x; *type of the zero point. */
static qv_status linear_scales(ox *L, const ox_value *x, scales *q, int32_t *type) {
  qv_status st;
  int64_t axis;
  ox_value *s;
  ox_quant par;
  QV_TRY(ox_attr_i(L, "axis", 1, &axis));
  QV_TRY(ox_arg(L, 1, &s));
  QV_TRY(ox_quant_of(L, s, ox_opt(L, 2), *type, &par));
  *type = par.type;
  if (axis < 0) axis += x->shape.rank;
  q->r = (qx_rule){par.n, 1};
  if (par.n > 1 && (axis < 0 || axis >= (int64_t)x->shape.rank || x->shape.dim[axis] != par.n || par.n > QX_MAX_CHANNELS))
    return OX_PARSE(L, s, "%u scales do not fit axis %lld", par.n, (long long)axis);
  for (uint32_t d = (uint32_t)axis + 1; par.n > 1 && d < x->shape.rank; d++) q->r.inner *= x->shape.dim[d];
  QV_TRY(scales_new(L, q));
  for (uint32_t c = 0; c < par.n; c++) {
    if (!qv_surd_set_f64(&q->s[c], (double)par.s[c])) return OX_PARSE(L, s, "a scale is not a number");
    qv_surd_set_i64(&q->z[c], par.z[c]);
  }
  QV_TRY(scales_done(L, s, q));
done:
  return st;
}

/* sat(rne(x/s) + z): the zero point comes after the rounding, so ties go by x/s alone. */
typedef struct {
  const scales *q;
  qv_itv r;
} linear_ctx;

static qv_status make_linear(ox *L, const void *ctx, uint32_t c, qv_pwa **g) {
  const linear_ctx *k = ctx;
  int64_t z = mpz_get_si(mpq_numref(k->q->z[c].p)); /* an integer of 32 bits at most */
  qv_pwa *levels = qv_pwa_round(QV_ROUND_EVEN, k->r.lo - z, k->r.hi - z), *u = NULL;
  qv_surd inv, zero;
  qv_surd_init(&inv);
  qv_surd_init(&zero);
  qv_surd_set_i64(&inv, 1);
  bool ok = levels != NULL && qv_surd_div(&inv, &inv, &k->q->s[c]);
  if (ok) u = qv_pwa_affine(&inv, &zero);
  for (uint32_t i = 0; ok && i < levels->n; i++) qv_surd_set_i64(&levels->v[i].b, k->r.lo + i);
  qv_status st = u == NULL ? QV_E_NOMEM : qv_pwa_compose(g, levels, u);
  qv_pwa_free(levels);
  qv_pwa_free(u);
  qv_surd_clear(&inv);
  qv_surd_clear(&zero);
  return st == QV_OK ? QV_OK : st == QV_E_NOMEM ? ox_nomem(L) : qx_inexact(L, NULL);
}

qv_status qx_quantize_linear(ox *L) {
  qv_status st;
  ox_value *x, *y;
  scales q = {0}, one = {.r = {1, 1}};
  int32_t type = ONX_UINT8;
  QV_TRY(qx_arg(L, 0, &x));
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(linear_scales(L, x, &q, &type));
  QV_TRY(scales_new(L, &one));
  qv_surd_set_i64(&one.s[0], 1);
  QV_TRY(scales_done(L, x, &one));
  qv_itv r = onx_range(type);
  if (r.hi - r.lo >= 65536) {
    st = OX_UNSUP(L, x, "quantizing to more than 16 bits");
    goto done;
  }
  const linear_ctx ctx = {&q, r};
  QV_TRY(qx_quantize(L, x, y, &(qx_quantizer){.r = q.r, .make = make_linear, .ctx = &ctx, .ra = {1, 1}, .a = one.a, .b = one.b}));
done:
  scales_clear(&q);
  scales_clear(&one);
  return st;
}

static qv_status make_line(ox *L, const void *ctx, uint32_t c, qv_pwa **g) {
  const scales *q = ctx;
  return (*g = qv_pwa_affine(&q->a[c], &q->b[c])) != NULL ? QV_OK : ox_nomem(L);
}

qv_status qx_dequantize_linear(ox *L) {
  qv_status st;
  ox_value *x, *y;
  scales q = {0};
  QV_TRY(ox_arg(L, 0, &x));
  int32_t type = x->type == ONX_FLOAT ? ONX_UINT8 : x->type;
  QV_TRY(qx_arg(L, 0, &x));
  QV_TRY(ox_res(L, 0, &y));
  QV_TRY(linear_scales(L, x, &q, &type));
  QV_TRY(qx_compose(L, x, y, q.r, make_line, &q));
done:
  scales_clear(&q);
  return st;
}
