#include "tests/real_graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <onnx.pb-c.h>
#include <stdlib.h>
#include <string.h>

#define MAX_VALUES 4096

struct rg {
  Onnx__ModelProto *m;
  rg_value value[MAX_VALUES];
  size_t n;
};

/* ---- numbers ------------------------------------------------------------------------------------------------------------- */

static rg_num *nums(size_t n) {
  rg_num *v = calloc(n + 1, sizeof *v);
  assert_non_null(v);
  for (size_t i = 0; i < n; i++) mpq_inits(v[i].a, v[i].b, NULL);
  return v;
}

static void nums_free(rg_num *v, size_t n) {
  for (size_t i = 0; v != NULL && i < n; i++) mpq_clears(v[i].a, v[i].b, NULL);
  free(v);
}

static void put(rg_num *z, const rg_num *x) {
  mpq_set(z->a, x->a);
  mpq_set(z->b, x->b);
  z->s = x->s;
}

static void rational(const rg_num *x) { assert_int_equal(x->s, 0); }

/* Sign of x - t. */
static int cmp_q(const rg_num *x, const mpq_t t) {
  mpq_t d, q;
  mpq_inits(d, q, NULL);
  mpq_sub(d, x->a, t);
  int sd = mpq_sgn(d), r;
  if (x->s == 0 || sd == x->s) r = x->s == 0 ? sd : x->s;
  else if (sd == 0) r = x->s;
  else {
    mpq_mul(q, d, d);
    int c = mpq_cmp(q, x->b);
    r = c > 0 ? sd : c < 0 ? x->s : 0;
  }
  mpq_clears(d, q, NULL);
  return r;
}

int rg_cmp_si(const rg_num *x, long y) {
  mpq_t t;
  mpq_init(t);
  mpq_set_si(t, y, 1);
  int r = cmp_q(x, t);
  mpq_clear(t);
  return r;
}

/* x - y = (A + s1 sqrt b1) - s2 sqrt b2 with A = a1 - a2: signs first, then squares. */
int rg_cmp(const rg_num *x, const rg_num *y) {
  mpq_t zero;
  rg_num d, sq;
  mpq_init(zero);
  mpq_inits(d.a, d.b, sq.a, sq.b, NULL);
  mpq_sub(d.a, x->a, y->a);
  mpq_set(d.b, x->b);
  d.s = x->s;
  int sd = cmp_q(&d, zero), r;
  if (y->s == 0) r = sd;
  else if (sd != y->s) r = sd > y->s ? 1 : -1; /* different signs, or d is 0 */
  else { /* same sign: compare d^2 = A^2 + b1 + 2 A s1 sqrt b1 with b2 */ mpq_mul(sq.a, d.a, d.a);
    mpq_add(sq.a, sq.a, d.b);
    mpq_mul(sq.b, d.a, d.a);
    mpq_mul(sq.b, sq.b, d.b);
    mpq_mul_2exp(sq.b, sq.b, 2);
    sq.s = d.s * mpq_sgn(d.a);
    if (d.s == 0) mpq_mul(sq.a, d.a, d.a);
    r = sd * cmp_q(&sq, y->b);
  }
  mpq_clear(zero);
  mpq_clears(d.a, d.b, sq.a, sq.b, NULL);
  return r;
}

static void mul(rg_num *z, const rg_num *x, const rg_num *y) {
  if (x->s != 0) {
    const rg_num *t = x;
    x = y;
    y = t;
  }
  rational(x);
  mpq_t k;
  mpq_init(k);
  mpq_set(k, x->a);
  mpq_mul(z->a, y->a, k);
  z->s = y->s * mpq_sgn(k);
  mpq_mul(z->b, y->b, k);
  mpq_mul(z->b, z->b, k);
  if (z->s == 0) mpq_set_ui(z->b, 0, 1);
  mpq_clear(k);
}

static void add(rg_num *z, const rg_num *x, const rg_num *y, bool minus) {
  assert_true(x->s == 0 || y->s == 0);
  if (minus) mpq_sub(z->a, x->a, y->a);
  else mpq_add(z->a, x->a, y->a);
  int s = x->s != 0 ? x->s : minus ? -y->s : y->s;
  mpq_set(z->b, x->s != 0 ? x->b : y->b);
  z->s = s;
}

/* By a rational, or by a pure root: x / (s sqrt b) = s sign(x) sqrt(x^2 / b). */
static void quotient(rg_num *z, const rg_num *x, const rg_num *y) {
  rg_num t;
  mpq_inits(t.a, t.b, NULL);
  t.s = 0;
  if (y->s == 0) {
    mpq_inv(t.a, y->a);
    mul(z, x, &t);
  } else {
    rational(x);
    assert_int_equal(mpq_sgn(y->a), 0);
    int s = y->s * mpq_sgn(x->a);
    mpq_mul(t.b, x->a, x->a);
    mpq_div(z->b, t.b, y->b);
    mpq_set_ui(z->a, 0, 1);
    z->s = s;
  }
  mpq_clears(t.a, t.b, NULL);
}

/* ---- graph --------------------------------------------------------------------------------------------------------------- */

static rg_value *at(const rg *g, const char *name) {
  for (size_t i = 0; i < g->n; i++)
    if (strcmp(g->value[i].name, name) == 0) return (rg_value *)(uintptr_t)&g->value[i];
  return NULL;
}

static rg_value *make(rg *g, const char *name) {
  rg_value *v = at(g, name);
  if (v != NULL) return v;
  assert_true(g->n < MAX_VALUES);
  v = &g->value[g->n++];
  v->name = name;
  return v;
}

const rg_value *rg_get(const rg *g, const char *name) { return at(g, name); }
const rg_value *rg_output(const rg *g, size_t i) { return at(g, g->m->graph->output[i]->name); }

static void shape(rg_value *v, size_t rank, const size_t *dim) {
  size_t n = 1;
  size_t copy[8];
  memcpy(copy, dim, rank * sizeof *dim);
  for (size_t d = 0; d < rank; d++) n *= copy[d];
  if (v->v != NULL && v->n != n) {
    nums_free(v->v, v->n);
    v->v = NULL;
  }
  v->rank = rank;
  memcpy(v->dim, copy, rank * sizeof *copy);
  v->n = n;
  if (v->v == NULL) v->v = nums(n);
}

static double element(const Onnx__TensorProto *t, size_t i) {
  if (t->data_type == 1) {
    float f;
    if (t->has_raw_data) return memcpy(&f, t->raw_data.data + 4 * i, 4), (double)f;
    return (double)t->float_data[i];
  }
  if (t->data_type == 7) {
    int64_t l;
    if (t->has_raw_data) return memcpy(&l, t->raw_data.data + 8 * i, 8), (double)l;
    return (double)t->int64_data[i];
  }
  assert_true(t->data_type == 6 || t->data_type == 2 || t->data_type == 3);
  return (double)t->int32_data[i];
}

static void constant(rg *g, const Onnx__TensorProto *t, const char *name) {
  size_t dim[8];
  rg_value *v = make(g, name);
  for (size_t d = 0; d < t->n_dims; d++) dim[d] = (size_t)t->dims[d];
  shape(v, t->n_dims, dim);
  for (size_t i = 0; i < v->n; i++) mpq_set_d(v->v[i].a, element(t, i));
  v->constant = true;
  v->type = t->data_type;
}

rg *rg_load(const void *data, size_t n) {
  rg *g = calloc(1, sizeof *g);
  assert_non_null(g);
  g->m = onnx__model_proto__unpack(NULL, n, data);
  assert_non_null(g->m);
  for (size_t i = 0; i < g->m->graph->n_initializer; i++) constant(g, g->m->graph->initializer[i], g->m->graph->initializer[i]->name);
  return g;
}

void rg_free(rg *g) {
  for (size_t i = 0; i < g->n; i++) nums_free(g->value[i].v, g->value[i].n);
  onnx__model_proto__free_unpacked(g->m, NULL);
  free(g);
}

void rg_input(rg *g, size_t i, const float *x) {
  for (size_t k = 0; k < g->m->graph->n_input; k++) {
    const Onnx__ValueInfoProto *in = g->m->graph->input[k];
    const rg_value *old = at(g, in->name);
    if (old != NULL && old->constant) continue;
    if (i-- > 0) continue;
    size_t dim[8];
    const Onnx__TensorShapeProto *s = in->type->tensor_type->shape;
    for (size_t d = 0; d < s->n_dim; d++) dim[d] = (size_t)s->dim[d]->dim_value;
    rg_value *v = make(g, in->name);
    shape(v, s->n_dim, dim);
    for (size_t e = 0; e < v->n; e++) mpq_set_d(v->v[e].a, (double)x[e]);
    return;
  }
  fail_msg("no such input");
}

/* ---- attributes ------------------------------------------------------------------------------------------------------------ */

typedef Onnx__NodeProto node;

static const Onnx__AttributeProto *attr(const node *n, const char *name) {
  for (size_t i = 0; i < n->n_attribute; i++)
    if (strcmp(n->attribute[i]->name, name) == 0) return n->attribute[i];
  return NULL;
}

static long attr_i(const node *n, const char *name, long absent) {
  const Onnx__AttributeProto *a = attr(n, name);
  return a != NULL ? (long)a->i : absent;
}

static double attr_f(const node *n, const char *name, float absent) {
  const Onnx__AttributeProto *a = attr(n, name);
  return a != NULL ? (double)a->f : (double)absent;
}

static void attr_s(const node *n, const char *name, const char *absent, char out[32]) {
  const Onnx__AttributeProto *a = attr(n, name);
  memset(out, 0, 32);
  if (a != NULL) memcpy(out, a->s.data, a->s.len < 31 ? a->s.len : 31);
  else strcpy(out, absent);
}

static long attr_k(const node *n, const char *name, size_t k, long absent) {
  const Onnx__AttributeProto *a = attr(n, name);
  return a != NULL && k < a->n_ints ? (long)a->ints[k] : absent;
}

/* ---- operators --------------------------------------------------------------------------------------------------------------- */

static const rg_value *in(const rg *g, const node *n, size_t k) {
  const rg_value *v = k < n->n_input && n->input[k][0] != 0 ? at(g, n->input[k]) : NULL;
  return v;
}

/* Element of x that broadcasting puts at element e of shape (rank, dim). */
static const rg_num *spread(const rg_value *x, size_t rank, const size_t *dim, size_t e) {
  size_t off = 0, stride = 1;
  for (size_t d = 0; d < rank; d++) {
    size_t i = e % dim[rank - 1 - d];
    e /= dim[rank - 1 - d];
    if (d >= x->rank) continue;
    size_t its = x->dim[x->rank - 1 - d];
    if (its != 1) off += i * stride;
    stride *= its;
  }
  return &x->v[off];
}

static void elementwise(rg_value *y, const rg_value *x, const rg_value *w, char op) {
  size_t rank = x->rank > w->rank ? x->rank : w->rank, dim[8];
  for (size_t d = 0; d < rank; d++) {
    size_t p = d < x->rank ? x->dim[x->rank - 1 - d] : 1, q = d < w->rank ? w->dim[w->rank - 1 - d] : 1;
    dim[rank - 1 - d] = p > q ? p : q;
  }
  shape(y, rank, dim);
  for (size_t e = 0; e < y->n; e++) {
    const rg_num *p = spread(x, rank, dim, e), *q = spread(w, rank, dim, e);
    if (op == '*') mul(&y->v[e], p, q);
    else if (op == '/') quotient(&y->v[e], p, q);
    else add(&y->v[e], p, q, op == '-');
  }
}

/* sat[lo,hi] of u, then rounded: clipping first, as in the operator's text. Integer k by bisection: no root is computed. */
static long round_clipped(const rg_num *u, const char *mode, long lo, long hi) {
  if (rg_cmp_si(u, lo) <= 0) return lo;
  if (rg_cmp_si(u, hi) >= 0) return hi;
  long a = lo, b = hi; /* a <= u < b */
  while (b - a > 1) {
    long m = a + (b - a) / 2;
    if (rg_cmp_si(u, m) >= 0) a = m;
    else b = m;
  }
  if (rg_cmp_si(u, a) == 0) return a;
  mpq_t half;
  mpq_init(half);
  mpq_set_si(half, 2 * a + 1, 2);
  mpq_canonicalize(half);
  int c = cmp_q(u, half);
  mpq_clear(half);
  bool positive = rg_cmp_si(u, 0) > 0;
  if (strcmp(mode, "CEIL") == 0) return a + 1;
  if (strcmp(mode, "FLOOR") == 0) return a;
  if (strcmp(mode, "UP") == 0) return positive ? a + 1 : a;
  if (strcmp(mode, "DOWN") == 0 || strcmp(mode, "ROUND_TO_ZERO") == 0) return positive ? a : a + 1;
  if (c != 0) return c > 0 ? a + 1 : a;
  if (strcmp(mode, "HALF_UP") == 0) return positive ? a + 1 : a;
  if (strcmp(mode, "HALF_DOWN") == 0) return positive ? a : a + 1;
  assert_true(strcmp(mode, "ROUND") == 0 || strcmp(mode, "HALF_EVEN") == 0);
  return a % 2 == 0 ? a : a + 1;
}

static void quant(const rg *g, const node *n, rg_value *y) {
  const rg_value *x = in(g, n, 0), *s = in(g, n, 1), *z = in(g, n, 2);
  long bits = (long)mpq_get_d(in(g, n, 3)->v[0].a), sign = attr_i(n, "signed", 1), narrow = attr_i(n, "narrow", 0);
  long lo = sign ? -(1L << (bits - 1)) + narrow : 0, hi = sign ? (1L << (bits - 1)) - 1 : (1L << bits) - 1 - narrow;
  char mode[32];
  attr_s(n, "rounding_mode", "ROUND", mode);
  shape(y, x->rank, x->dim);
  rg_num *u = nums(1);
  for (size_t e = 0; e < y->n; e++) {
    const rg_num *se = spread(s, x->rank, x->dim, e), *ze = spread(z, x->rank, x->dim, e);
    quotient(u, &x->v[e], se);
    add(u, u, ze, false);
    long k = bits == 1 && sign ? (rg_cmp_si(u, 0) >= 0 ? 1 : -1) : round_clipped(u, mode, lo, hi);
    mpq_set_si(u->a, k, 1);
    mpq_set_ui(u->b, 0, 1);
    u->s = 0;
    add(u, u, ze, true);
    mul(&y->v[e], u, se);
  }
  nums_free(u, 1);
}

static size_t inner_of(const rg_value *x, size_t axis) {
  size_t k = 1;
  for (size_t d = axis + 1; d < x->rank; d++) k *= x->dim[d];
  return k;
}

/* sat(rne(x/s) + z), or (x - z)*s; one s and z, or one per index of `axis`. */
static void linear(const rg *g, const node *n, rg_value *y, bool back) {
  const rg_value *x = in(g, n, 0), *s = in(g, n, 1), *z = in(g, n, 2);
  size_t axis = (size_t)attr_i(n, "axis", 1), inner = inner_of(x, axis);
  long lo = z->type == 3 ? -128 : 0, hi = z->type == 3 ? 127 : 255;
  shape(y, x->rank, x->dim);
  for (size_t e = 0; e < y->n; e++) {
    size_t c = s->n == 1 ? 0 : e / inner % x->dim[axis];
    long zp = (long)mpq_get_d(z->v[z->n == 1 ? 0 : c].a);
    if (back) {
      mpq_set_si(y->v[e].a, zp, 1);
      mpq_sub(y->v[e].a, x->v[e].a, y->v[e].a);
      mpq_mul(y->v[e].a, y->v[e].a, s->v[c].a);
    } else {
      quotient(&y->v[e], &x->v[e], &s->v[c]);
      mpq_set_si(y->v[e].a, round_clipped(&y->v[e], "ROUND", lo - zp, hi - zp) + zp, 1);
    }
    y->v[e].s = 0;
  }
}

static void bipolar(const rg *g, const node *n, rg_value *y) {
  const rg_value *x = in(g, n, 0), *s = in(g, n, 1);
  shape(y, x->rank, x->dim);
  for (size_t e = 0; e < y->n; e++) {
    const rg_num *se = spread(s, x->rank, x->dim, e);
    rational(se);
    if (rg_cmp_si(&x->v[e], 0) >= 0) mpq_set(y->v[e].a, se->a);
    else mpq_neg(y->v[e].a, se->a);
    y->v[e].s = 0;
  }
}

/* Version 1: (mode(rne(x/s + z) / 2^(in - out)) - z) * s. Version 2, with output scale and bits: sat before mode. */
static void trunc_op(const rg *g, const node *n, rg_value *y) {
  const rg_value *x = in(g, n, 0), *s = in(g, n, 1), *z = in(g, n, 2), *so = in(g, n, 5) != NULL ? in(g, n, 4) : NULL;
  long in_bits = (long)mpq_get_d(in(g, n, 3)->v[0].a), out_bits = (long)mpq_get_d(in(g, n, so != NULL ? 6 : 4)->v[0].a);
  long sign = attr_i(n, "signed", 1), narrow = attr_i(n, "narrow", 0), d = in_bits - out_bits, lo = -(1L << 40), hi = 1L << 40;
  char mode[32];
  attr_s(n, "rounding_mode", "FLOOR", mode);
  if (so != NULL) {
    double r = mpq_get_d(so->v[0].a) / mpq_get_d(s->v[0].a);
    for (d = 0; r > 1.4142; r /= 2) d++;
    lo = sign ? -(1L << (out_bits - 1)) + narrow : 0;
    hi = sign ? (1L << (out_bits - 1)) - 1 : (1L << out_bits) - 1 - narrow;
  }
  shape(y, x->rank, x->dim);
  rg_num *u = nums(1);
  for (size_t e = 0; e < y->n; e++) {
    const rg_num *se = spread(s, x->rank, x->dim, e), *ze = spread(z, x->rank, x->dim, e);
    quotient(u, &x->v[e], se);
    add(u, u, ze, false);
    mpq_set_si(u->a, round_clipped(u, "ROUND", -(1L << 40), 1L << 40), 1);
    u->s = 0;
    mpq_div_2exp(u->a, u->a, (mp_bitcnt_t)d);
    mpq_set_si(u->a, round_clipped(u, mode, lo, hi), 1);
    mpq_set(y->v[e].a, ze->a);
    if (so != NULL) mpq_div_2exp(y->v[e].a, y->v[e].a, (mp_bitcnt_t)d);
    mpq_sub(y->v[e].a, u->a, y->v[e].a);
    mpq_mul(y->v[e].a, y->v[e].a, so != NULL ? so->v[0].a : se->a);
    y->v[e].s = 0;
  }
  nums_free(u, 1);
}

static void multithreshold(const rg *g, const node *n, rg_value *y) {
  const rg_value *x = in(g, n, 0), *t = in(g, n, 1);
  char layout[32];
  attr_s(n, "data_layout", "NCHW", layout);
  size_t axis = x->rank == 4 && strcmp(layout, "NHWC") != 0 ? 1 : x->rank - 1, inner = inner_of(x, axis);
  double scale = attr_f(n, "out_scale", 1), bias = attr_f(n, "out_bias", 0);
  mpq_t q;
  mpq_init(q);
  shape(y, x->rank, x->dim);
  for (size_t e = 0; e < y->n; e++) {
    size_t c = t->dim[0] == 1 ? 0 : e / inner % x->dim[axis];
    long count = 0;
    for (size_t i = 0; i < t->dim[1]; i++) count += cmp_q(&x->v[e], t->v[c * t->dim[1] + i].a) >= 0;
    mpq_set_d(y->v[e].a, scale);
    mpq_set_si(q, count, 1);
    mpq_mul(y->v[e].a, y->v[e].a, q);
    mpq_set_d(q, bias);
    mpq_add(y->v[e].a, y->v[e].a, q);
    y->v[e].s = 0;
  }
  mpq_clear(q);
}

/* (x - mean) / sqrt(var + eps) * scale + bias = bias + sign(t) sqrt(t^2 / (var + eps)), t = (x - mean) * scale */
static void batchnorm(const rg *g, const node *n, rg_value *y) {
  const rg_value *x = in(g, n, 0), *p[4];
  for (size_t i = 0; i < 4; i++) p[i] = in(g, n, i + 1);
  size_t inner = inner_of(x, 1);
  mpq_t t, v;
  mpq_inits(t, v, NULL);
  shape(y, x->rank, x->dim);
  for (size_t e = 0; e < y->n; e++) {
    size_t c = e / inner % x->dim[1];
    rational(&x->v[e]);
    mpq_sub(t, x->v[e].a, p[2]->v[c].a);
    mpq_mul(t, t, p[0]->v[c].a);
    mpq_set_d(v, attr_f(n, "epsilon", 1e-5f));
    mpq_add(v, v, p[3]->v[c].a);
    mpq_set(y->v[e].a, p[1]->v[c].a);
    y->v[e].s = mpq_sgn(t);
    mpq_mul(t, t, t);
    mpq_div(y->v[e].b, t, v);
  }
  mpq_clears(t, v, NULL);
}

/* Product and sum of rationals; whole numbers in 64 bits where they are. */
typedef struct {
  bool small;
  long i;
  mpq_t q, t;
} sum;

static bool whole(const rg_num *x) { return x->s == 0 && mpz_cmp_ui(mpq_denref(x->a), 1) == 0 && mpz_fits_sint_p(mpq_numref(x->a)); }

static bool all_whole(const rg_value *x) {
  for (size_t i = 0; i < x->n; i++)
    if (!whole(&x->v[i])) return false;
  return true;
}

static long *longs(const rg_value *x) {
  long *v = calloc(x->n + 1, sizeof *v);
  assert_non_null(v);
  for (size_t i = 0; i < x->n; i++) v[i] = mpz_get_si(mpq_numref(x->v[i].a));
  return v;
}

/* y[i][o] = sum_k x[i][k] * w[k][o] (or w[o][k]). */
static void matmul(rg_value *y, const rg_value *x, const rg_value *w, bool transposed) {
  size_t k = x->dim[x->rank - 1], rows = x->n / k, o = transposed ? w->dim[w->rank - 2] : w->dim[w->rank - 1], dim[8];
  memcpy(dim, x->dim, sizeof dim);
  dim[x->rank - 1] = o;
  shape(y, x->rank, dim);
  bool small = all_whole(x) && all_whole(w);
  long *lx = small ? longs(x) : NULL, *lw = small ? longs(w) : NULL;
  mpq_t t;
  mpq_init(t);
  for (size_t i = 0; i < rows; i++)
    for (size_t c = 0; c < o; c++) {
      rg_num *z = &y->v[i * o + c];
      long s = 0;
      mpq_set_ui(z->a, 0, 1);
      z->s = 0;
      for (size_t j = 0; j < k; j++) {
        size_t at_w = transposed ? c * k + j : j * o + c;
        if (small) {
          s += lx[i * k + j] * lw[at_w];
          continue;
        }
        rational(&x->v[i * k + j]);
        rational(&w->v[at_w]);
        mpq_mul(t, x->v[i * k + j].a, w->v[at_w].a);
        mpq_add(z->a, z->a, t);
      }
      if (small) mpq_set_si(z->a, s, 1);
    }
  mpq_clear(t);
  free(lx);
  free(lw);
}

typedef enum { W_CONV, W_MAX, W_MEAN } window;

/* Convolution, maximum and mean of windows, NCHW, zero padding by `pads`. */
static void windows(const rg *g, const node *n, rg_value *y, window kind) {
  const rg_value *x = in(g, n, 0), *w = kind == W_CONV ? in(g, n, 1) : NULL, *b = kind == W_CONV ? in(g, n, 2) : NULL;
  bool global = strstr(n->op_type, "Global") != NULL;
  size_t ih = x->dim[2], iw = x->dim[3], kh = w != NULL ? w->dim[2] : global ? ih : (size_t)attr_k(n, "kernel_shape", 0, 1);
  size_t kw = w != NULL ? w->dim[3]
              : global  ? iw
                        : (size_t)attr_k(n, "kernel_shape", 1, 1),
         ic = x->dim[1], oc = w != NULL ? w->dim[0] : ic;
  long sh = attr_k(n, "strides", 0, 1), sw = attr_k(n, "strides", 1, 1), dh = attr_k(n, "dilations", 0, 1),
       dw = attr_k(n, "dilations", 1, 1);
  long pt = attr_k(n, "pads", 0, 0), pl = attr_k(n, "pads", 1, 0), pb = attr_k(n, "pads", 2, 0), pr = attr_k(n, "pads", 3, 0);
  size_t groups = (size_t)attr_i(n, "group", 1), gic = w != NULL ? ic / groups : 1;
  size_t oh = (size_t)(((long)ih + pt + pb - dh * ((long)kh - 1) - 1) / sh + 1),
         ow = (size_t)(((long)iw + pl + pr - dw * ((long)kw - 1) - 1) / sw + 1);
  size_t dim[4] = {x->dim[0], oc, oh, ow}, e = 0;
  mpq_t t;
  mpq_init(t);
  shape(y, 4, dim);
  for (size_t i = 0; i < dim[0]; i++)
    for (size_t o = 0; o < oc; o++)
      for (size_t oy = 0; oy < oh; oy++)
        for (size_t ox = 0; ox < ow; ox++, e++) {
          rg_num *z = &y->v[e];
          bool first = true;
          mpq_set_ui(z->a, 0, 1);
          z->s = 0;
          for (size_t c = 0; c < gic; c++)
            for (size_t ky = 0; ky < kh; ky++)
              for (size_t kx = 0; kx < kw; kx++) {
                long iy = (long)oy * sh - pt + (long)ky * dh, ix = (long)ox * sw - pl + (long)kx * dw;
                if (iy < 0 || ix < 0 || iy >= (long)ih || ix >= (long)iw) continue;
                size_t channel = w != NULL ? o / (oc / groups) * gic + c : o;
                const rg_num *v = &x->v[((i * ic + channel) * ih + (size_t)iy) * iw + (size_t)ix];
                if (kind == W_MAX) {
                  if (first || rg_cmp(v, z) > 0) put(z, v);
                  first = false;
                  continue;
                }
                rational(v);
                if (w != NULL) mpq_mul(t, v->a, w->v[((o * gic + c) * kh + ky) * kw + kx].a);
                else mpq_set(t, v->a);
                mpq_add(z->a, z->a, t);
              }
          if (kind == W_MEAN) { /* divided by the whole window: with padding, count_include_pad = 1 */
            mpq_set_ui(t, kh * kw, 1);
            mpq_div(z->a, z->a, t);
          }
          if (b != NULL) mpq_add(z->a, z->a, b->v[o].a);
        }
  mpq_clear(t);
}

/* x < 0: slope * x. */
static void negative_slope(rg_value *y, const rg_value *x, const rg_value *slope, double one) {
  rg_num *k = nums(1);
  shape(y, x->rank, x->dim);
  for (size_t e = 0; e < y->n; e++) {
    mpq_set_d(k->a, one);
    const rg_num *s = slope != NULL ? spread(slope, x->rank, x->dim, e) : k;
    if (rg_cmp_si(&x->v[e], 0) < 0) mul(&y->v[e], &x->v[e], s);
    else put(&y->v[e], &x->v[e]);
  }
  nums_free(k, 1);
}

static void clip(const rg *g, const node *n, rg_value *y) {
  const rg_value *x = in(g, n, 0), *lo = in(g, n, 1), *hi = in(g, n, 2);
  shape(y, x->rank, x->dim);
  for (size_t e = 0; e < y->n; e++) {
    const rg_num *v = &x->v[e];
    if (lo != NULL && rg_cmp(v, lo->v) < 0) v = lo->v;
    if (hi != NULL && rg_cmp(v, hi->v) > 0) v = hi->v;
    put(&y->v[e], v);
  }
}

static void transpose(const rg *g, const node *n, rg_value *y) {
  const rg_value *x = in(g, n, 0);
  size_t dim[8], perm[8], stride[8], s = 1;
  for (size_t d = x->rank; d-- > 0; s *= x->dim[d]) stride[d] = s;
  for (size_t d = 0; d < x->rank; d++) {
    perm[d] = (size_t)attr_k(n, "perm", d, (long)(x->rank - 1 - d));
    dim[d] = x->dim[perm[d]];
  }
  shape(y, x->rank, dim);
  for (size_t e = 0; e < y->n; e++) {
    size_t r = e, off = 0;
    for (size_t d = y->rank; d-- > 0; r /= dim[d]) off += r % dim[d] * stride[perm[d]];
    put(&y->v[e], &x->v[off]);
  }
}

/* [1,h,w,c] to [1,oh,ow,kh*kw*c], order (ky, kx, c). */
static void im2col(const rg *g, const node *n, rg_value *y) {
  const rg_value *x = in(g, n, 0);
  long h = (long)x->dim[1], w = (long)x->dim[2], c = (long)x->dim[3], kh = attr_k(n, "kernel_size", 0, 1),
       kw = attr_k(n, "kernel_size", 1, 1);
  long sh = attr_k(n, "stride", 0, 1), sw = attr_k(n, "stride", 1, 1), dh = attr_k(n, "dilations", 0, 1), dw = attr_k(n, "dilations", 1, 1);
  long p[4], fill = attr_i(n, "pad_value", 0);
  for (size_t i = 0; i < 4; i++) p[i] = attr_k(n, "pad_amount", i, 0);
  long oh = (h + p[0] + p[2] - dh * (kh - 1) - 1) / sh + 1, ow = (w + p[1] + p[3] - dw * (kw - 1) - 1) / sw + 1;
  size_t dim[4] = {1, (size_t)oh, (size_t)ow, (size_t)(kh * kw * c)}, e = 0;
  shape(y, 4, dim);
  for (long oy = 0; oy < oh; oy++)
    for (long ox = 0; ox < ow; ox++)
      for (long ky = 0; ky < kh; ky++)
        for (long kx = 0; kx < kw; kx++)
          for (long i = 0; i < c; i++, e++) {
            long iy = oy * sh + ky * dh - p[0], ix = ox * sw + kx * dw - p[1];
            if (iy >= 0 && ix >= 0 && iy < h && ix < w) put(&y->v[e], &x->v[(iy * w + ix) * c + i]);
            else mpq_set_si(y->v[e].a, fill, 1), y->v[e].s = 0;
          }
}

/* Number of equal bits. */
static void xnor(const rg *g, const node *n, rg_value *y) {
  const rg_value *x = in(g, n, 0), *w = in(g, n, 1);
  size_t k = x->dim[x->rank - 1], rows = x->n / k, o = w->dim[1], dim[8];
  memcpy(dim, x->dim, sizeof dim);
  dim[x->rank - 1] = o;
  shape(y, x->rank, dim);
  for (size_t i = 0; i < rows; i++)
    for (size_t c = 0; c < o; c++) {
      long same = 0;
      for (size_t j = 0; j < k; j++) same += mpq_equal(x->v[i * k + j].a, w->v[j * o + c].a) != 0;
      mpq_set_si(y->v[i * o + c].a, same, 1);
    }
}

static void copy_as(rg_value *y, const rg_value *x, size_t rank, const size_t *dim) {
  shape(y, rank, dim);
  assert_int_equal(y->n, x->n);
  for (size_t e = 0; e < y->n; e++) put(&y->v[e], &x->v[e]);
}

/* Reshapes, by whatever name. */
static bool reshapes(const rg *g, const node *n, rg_value *y) {
  const rg_value *x = in(g, n, 0);
  size_t dim[8], rank = 0, known = 1;
  if (strcmp(n->op_type, "Reshape") == 0) {
    const rg_value *s = in(g, n, 1);
    size_t open = 8;
    for (; rank < s->n; rank++) {
      long d = (long)mpq_get_d(s->v[rank].a);
      if (d < 0) open = rank, dim[rank] = 1;
      else known *= dim[rank] = d == 0 ? x->dim[rank] : (size_t)d;
    }
    if (open < 8) dim[open] = x->n / known;
  } else if (strcmp(n->op_type, "Flatten") == 0) {
    dim[0] = x->dim[0], dim[1] = x->n / x->dim[0], rank = 2;
  } else if (strcmp(n->op_type, "Unsqueeze") == 0) {
    size_t at_axis = (size_t)attr_k(n, "axes", 0, 0);
    for (size_t d = 0; d < x->rank + 1; d++) dim[rank++] = d == at_axis ? 1 : x->dim[d - (d > at_axis)];
  } else if (strcmp(n->op_type, "Squeeze") == 0) {
    size_t gone = (size_t)attr_k(n, "axes", 0, 0);
    for (size_t d = 0; d < x->rank; d++)
      if (d != gone) dim[rank++] = x->dim[d];
  } else if (strcmp(n->op_type, "Identity") == 0) {
    memcpy(dim, x->dim, sizeof dim), rank = x->rank;
  } else return false;
  copy_as(y, x, rank, dim);
  return true;
}

/* What a shape computation needs. */
static bool shapes(const rg *g, const node *n, rg_value *y) {
  const rg_value *x = in(g, n, 0);
  size_t one = 1;
  if (strcmp(n->op_type, "Shape") == 0) {
    shape(y, 1, &x->rank);
    for (size_t d = 0; d < x->rank; d++) mpq_set_ui(y->v[d].a, x->dim[d], 1);
  } else if (strcmp(n->op_type, "Gather") == 0) {
    shape(y, 0, &one);
    put(y->v, &x->v[(size_t)mpq_get_d(in(g, n, 1)->v[0].a)]);
  } else if (strcmp(n->op_type, "Concat") == 0) {
    size_t k = 0, total = 0;
    for (size_t i = 0; i < n->n_input; i++) total += in(g, n, i)->n;
    shape(y, 1, &total);
    for (size_t i = 0; i < n->n_input; i++)
      for (size_t e = 0; e < in(g, n, i)->n; e++) put(&y->v[k++], &in(g, n, i)->v[e]);
  } else return false;
  return true;
}

static void run_node(const rg *g, const node *n, rg_value *y) {
  const rg_value *x = in(g, n, 0), *w = in(g, n, 1);
  const char *op = n->op_type;
  if (reshapes(g, n, y) || shapes(g, n, y)) return;
  if (strcmp(op, "Add") == 0) elementwise(y, x, w, '+');
  else if (strcmp(op, "Sub") == 0) elementwise(y, x, w, '-');
  else if (strcmp(op, "Mul") == 0) elementwise(y, x, w, '*');
  else if (strcmp(op, "Div") == 0) elementwise(y, x, w, '/');
  else if (strcmp(op, "Pow") == 0) {
    assert_int_equal(mpq_cmp_si(w->v[0].a, 1, 2), 0);
    shape(y, x->rank, x->dim);
    for (size_t e = 0; e < y->n; e++) {
      rational(&x->v[e]);
      mpq_set(y->v[e].b, x->v[e].a);
      y->v[e].s = 1;
    }
  } else if (strcmp(op, "Quant") == 0) quant(g, n, y);
  else if (strcmp(op, "QuantizeLinear") == 0) linear(g, n, y, false);
  else if (strcmp(op, "DequantizeLinear") == 0) linear(g, n, y, true);
  else if (strcmp(op, "BipolarQuant") == 0) bipolar(g, n, y);
  else if (strcmp(op, "Trunc") == 0) trunc_op(g, n, y);
  else if (strcmp(op, "MultiThreshold") == 0) multithreshold(g, n, y);
  else if (strcmp(op, "BatchNormalization") == 0) batchnorm(g, n, y);
  else if (strcmp(op, "MatMul") == 0) matmul(y, x, w, false);
  else if (strcmp(op, "XnorPopcountMatMul") == 0) xnor(g, n, y);
  else if (strcmp(op, "Im2Col") == 0) im2col(g, n, y);
  else if (strcmp(op, "Gemm") == 0) {
    matmul(y, x, w, attr_i(n, "transB", 0) != 0);
    for (size_t e = 0; in(g, n, 2) != NULL && e < y->n; e++) add(&y->v[e], &y->v[e], &in(g, n, 2)->v[e % in(g, n, 2)->n], false);
  } else if (strcmp(op, "Conv") == 0) windows(g, n, y, W_CONV);
  else if (strstr(op, "MaxPool") != NULL) windows(g, n, y, W_MAX);
  else if (strstr(op, "AveragePool") != NULL) windows(g, n, y, W_MEAN);
  else if (strcmp(op, "Relu") == 0) negative_slope(y, x, NULL, 0);
  else if (strcmp(op, "LeakyRelu") == 0) negative_slope(y, x, NULL, attr_f(n, "alpha", 0.01f));
  else if (strcmp(op, "PRelu") == 0) negative_slope(y, x, w, 0);
  else if (strcmp(op, "Clip") == 0) clip(g, n, y);
  else if (strcmp(op, "Transpose") == 0) transpose(g, n, y);
  else if (strcmp(op, "TopK") == 0) copy_as(y, x, x->rank, x->dim); /* the values, in place of their order */
  else fail_msg("operator %s", op);
}

void rg_run(rg *g) {
  const Onnx__GraphProto *p = g->m->graph;
  for (size_t k = 0; k < p->n_node; k++) {
    const node *n = p->node[k];
    rg_value *y = make(g, n->output[0]);
    if (y->constant) continue; /* computed in an earlier run */
    run_node(g, n, y);
    bool all = n->n_input > 0;
    for (size_t i = 0; i < n->n_input; i++) all = all && (n->input[i][0] == 0 || at(g, n->input[i])->constant);
    y->constant = all;
    if (strcmp(n->op_type, "TopK") == 0) copy_as(make(g, n->output[1]), y, y->rank, y->dim);
  }
}
