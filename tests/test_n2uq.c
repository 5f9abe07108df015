/* N2UQ files: random nets against rational arithmetic from the same numbers (not from the file), fields of one net by hand, one mistake
 * per case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <gmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/array.h"
#include "frontend/load.h"
#include "ir/base/buf.h"
#include "ir/base/rng.h"
#include "kernels/ref.h"

static int mult(void) {
  const char *m = getenv("QV_TEST_MULT");
  return m != NULL && atoi(m) > 0 ? atoi(m) : 1;
}

static qv_status load(qv_net **net, const char *text, size_t n, qv_err *err) {
  *net = NULL;
  return qv_load_bytes(net, text, n, "t.json", NULL, err);
}

/* ---- random nets ----------------------------------------------------------------------------------------------------------- */

/* Numbers are k/1000. */
typedef struct {
  char op; /* 'm', 'a', 'p' */
  long v[8];
} step;

typedef struct {
  bool conv, bn;
  long oc, k, bits, w[8 * 72], scale[8], bn_p[4][8], n_then, levels, start, a[7], scale1, scale2;
  step then[3];
} layer;

typedef struct {
  qv_rng r;
  layer l[3];
  long n, h, c, bits, scale;
  bool floats;
  layer q; /* of the input, if floats */
} gen;

static long pick(gen *g, long lo, long hi) { return (long)qv_rng_range(&g->r, lo, hi); }

static void make_ltq(gen *g, layer *l) {
  l->levels = (1L << pick(g, 1, 3)) - 1;
  l->start = pick(g, -2000, 500);
  for (long i = 0; i < l->levels; i++) l->a[i] = pick(g, 0, 9) == 0 ? pick(g, -500, 2) : pick(g, 1, 24) * 125;
  l->scale1 = pick(g, 0, 3) == 0 ? -500 : pick(g, 1, 8) * 250;
  l->scale2 = pick(g, 1, 8) * 250;
}

static void make_layer(gen *g, layer *l, long in, bool conv) {
  *l = (layer){.conv = conv, .oc = pick(g, 1, 4), .bits = pick(g, 1, 3), .bn = pick(g, 0, 1)};
  long n = (1L << l->bits) - 1;
  l->k = in * (conv ? 9 : 1);
  for (long i = 0; i < l->oc * l->k; i++) l->w[i] = 2 * pick(g, 0, n) - n;
  for (long o = 0; o < l->oc; o++) {
    l->scale[o] = pick(g, 0, 5) == 0 ? -125 : pick(g, 1, 8) * 125;
    for (int i = 0; i < 4; i++) l->bn_p[i][o] = i == 3 ? pick(g, 1, 4000) : pick(g, -2000, 2000);
  }
  l->n_then = pick(g, 0, 3);
  for (long i = 0; i < l->n_then; i++) {
    l->then[i].op = "map"[pick(g, 0, 2)];
    for (long o = 0; o < l->oc; o++) l->then[i].v[o] = pick(g, -1500, 1500);
  }
  make_ltq(g, l);
}

static void make_net(gen *g) {
  g->h = pick(g, 2, 4);
  g->c = pick(g, 1, 2);
  g->bits = pick(g, 1, 3);
  g->scale = pick(g, 1, 8) * 125;
  g->floats = pick(g, 0, 2) == 0;
  make_ltq(g, &g->q);
  g->n = pick(g, 1, 3);
  make_layer(g, &g->l[0], g->c, true);
  long in = g->h * g->h * g->l[0].oc;
  for (long i = 1; i < g->n; i++) {
    if (in > 72) {
      g->n = i;
      break;
    }
    make_layer(g, &g->l[i], in, false);
    in = g->l[i].oc;
  }
}

/* ---- the file ------------------------------------------------------------------------------------------------------------------ */

static void put(qv_buf *b, const char *s) { qv_buf_str(b, s); }

static void number(qv_buf *b, long milli) {
  char t[32];
  (void)snprintf(t, sizeof t, "%s%ld.%03ld", milli < 0 ? "-" : "", labs(milli) / 1000, labs(milli) % 1000);
  put(b, t);
}

static void numbers(qv_buf *b, const char *key, const long *v, long n) {
  put(b, key);
  for (long i = 0; i < n; i++) put(b, i > 0 ? "," : "["), number(b, v[i]);
  put(b, "]");
}

static void write_ltq(qv_buf *b, const layer *l) {
  put(b, "\"ltq\":{\"start\":");
  number(b, l->start);
  numbers(b, ",\"a\":", l->a, l->levels);
  put(b, ",\"scale1\":");
  number(b, l->scale1);
  put(b, ",\"scale2\":");
  number(b, l->scale2);
  put(b, "}");
}

static void write_net(qv_buf *b, const gen *g) {
  char t[200];
  (void)snprintf(t, sizeof t, "{\"format\":\"n2uq\",\"version\":1,\"input\":{\"shape\":[%ld,%ld,%ld],", g->h, g->h, g->c);
  put(b, t);
  if (g->floats) write_ltq(b, &g->q);
  else {
    (void)snprintf(t, sizeof t, "\"bits\":%ld,\"scale\":", g->bits);
    put(b, t);
    number(b, g->scale);
  }
  put(b, "},\"layers\":[");
  for (long i = 0; i < g->n; i++) {
    const layer *l = &g->l[i];
    if (i == 1) put(b, "{\"type\":\"flatten\"},");
    (void)snprintf(t, sizeof t, "{\"type\":\"%s\",\"out\":%ld,\"bits\":%ld,%s\"weights\":[", l->conv ? "conv" : "dense", l->oc, l->bits,
                   l->conv ? "\"kernel\":[3,3],\"pad\":[1,1,1,1]," : "");
    put(b, t);
    for (long k = 0; k < l->oc * l->k; k++) {
      (void)snprintf(t, sizeof t, "%s%ld", k > 0 ? "," : "", l->w[k]);
      put(b, t);
    }
    numbers(b, "],\"scale\":", l->scale, l->oc);
    put(b, ",\"then\":[");
    if (l->bn) {
      numbers(b, "{\"op\":\"batchnorm\",\"scale\":", l->bn_p[0], l->oc);
      numbers(b, ",\"bias\":", l->bn_p[1], l->oc);
      numbers(b, ",\"mean\":", l->bn_p[2], l->oc);
      numbers(b, ",\"var\":", l->bn_p[3], l->oc);
      put(b, ",\"epsilon\":1e-3}");
    }
    for (long k = 0; k < l->n_then; k++) {
      put(b, k > 0 || l->bn ? ",{\"op\":\"" : "{\"op\":\"");
      put(b, l->then[k].op == 'm' ? "mul" : l->then[k].op == 'a' ? "add" : "prelu");
      numbers(b, "\",\"value\":", l->then[k].v, l->oc);
      put(b, "}");
    }
    put(b, "],");
    write_ltq(b, l);
    put(b, i + 1 < g->n ? "}," : "}]}");
  }
  assert_false(b->failed);
}

/* ---- the truth: a + s*sqrt(r), signs and squares ----------------------------------------------------------------------------------- */

typedef struct {
  mpq_t a, r;
  int s;
} real;

static void set_milli(mpq_t q, long v) {
  mpq_set_si(q, v, 1000);
  mpq_canonicalize(q);
}

/* Sign of x - t. */
static int above(const real *x, const mpq_t t) {
  mpq_t d, q;
  mpq_inits(d, q, NULL);
  mpq_sub(d, x->a, t);
  int sd = mpq_sgn(d), out = sd;
  if (x->s != 0 && sd != x->s) { /* opposite signs, or d = 0: the larger square decides */
    mpq_mul(q, d, d);
    int c = mpq_cmp(q, x->r);
    out = c > 0 ? sd : c < 0 ? x->s : 0;
  }
  mpq_clears(d, q, NULL);
  return out;
}

static void times(real *x, const mpq_t k) {
  mpq_mul(x->a, x->a, k);
  mpq_mul(x->r, x->r, k);
  mpq_mul(x->r, x->r, k);
  x->s *= mpq_sgn(k);
}

/* #{ i : x*scale1 > t_i } */
static long count_levels(const layer *l, real *x) {
  mpq_t k, t, half;
  long n = 0, before = 0;
  mpq_inits(k, t, half, NULL);
  set_milli(k, l->scale1);
  times(x, k);
  set_milli(t, l->start);
  for (long i = 0; i < l->levels; i++) {
    long a = l->a[i] < 1 ? 1 : l->a[i];
    mpq_set_si(half, before + a, 2000);
    mpq_canonicalize(half);
    mpq_add(t, t, half);
    before = a;
    n += above(x, t) > 0;
  }
  mpq_clears(k, t, half, NULL);
  return n;
}

/* Real value of the sum acc behind channel o of layer l; `in` = real value of one input step. */
static long output(const layer *l, long o, long acc, const mpq_t in) {
  real x;
  mpq_t k, zero;
  mpq_inits(x.a, x.r, k, zero, NULL);
  x.s = 0;
  mpq_set_si(x.a, acc, 1);
  mpq_mul(x.a, x.a, in);
  set_milli(k, l->scale[o]);
  mpq_mul(x.a, x.a, k);
  if (l->bn) { /* bias + sign(t) sqrt(t^2 / (var + 1/1000)), t = (x - mean) * scale */
    set_milli(k, l->bn_p[2][o]);
    mpq_sub(x.a, x.a, k);
    set_milli(k, l->bn_p[0][o]);
    mpq_mul(x.a, x.a, k);
    x.s = mpq_sgn(x.a);
    mpq_mul(x.r, x.a, x.a);
    set_milli(k, l->bn_p[3][o] + 1);
    mpq_div(x.r, x.r, k);
    set_milli(x.a, l->bn_p[1][o]);
  }
  for (long i = 0; i < l->n_then; i++) {
    set_milli(k, l->then[i].v[o]);
    if (l->then[i].op == 'a') mpq_add(x.a, x.a, k);
    else if (l->then[i].op == 'm' || above(&x, zero) < 0) times(&x, k);
  }
  long n = count_levels(l, &x);
  mpq_clears(x.a, x.r, k, zero, NULL);
  return n;
}

static void next_scale(mpq_t s, const layer *l) {
  mpq_t two;
  mpq_init(two);
  set_milli(s, l->scale2);
  mpq_set_si(two, 2, (unsigned long)l->levels);
  mpq_canonicalize(two);
  mpq_mul(s, s, two);
  mpq_clear(two);
}

/* Integers x[h][w][c] (or floats) to the integers of the last layer. */
static long truth(const gen *g, const long *x, const float *f, long *y) {
  long v[2][256] = {{0}}, n = g->h * g->h * g->c;
  mpq_t s;
  mpq_init(s);
  set_milli(s, g->scale);
  for (long i = 0; i < n; i++) {
    v[0][i] = x[i];
    if (!g->floats) continue;
    real u;
    mpq_inits(u.a, u.r, NULL);
    mpq_set_d(u.a, (double)f[i]);
    u.s = 0;
    v[0][i] = count_levels(&g->q, &u);
    mpq_clears(u.a, u.r, NULL);
  }
  if (g->floats) next_scale(s, &g->q);
  long c = g->c, *in = v[0], *out = v[1];
  for (long i = 0; i < g->n; i++) {
    const layer *l = &g->l[i];
    long e = 0, side = l->conv ? g->h : 1;
    for (long yy = 0; yy < side; yy++)
      for (long xx = 0; xx < side; xx++)
        for (long o = 0; o < l->oc; o++, e++) {
          long acc = 0;
          const long *w = l->w + o * l->k;
          if (!l->conv)
            for (long k = 0; k < l->k; k++) acc += w[k] * in[k];
          else
            for (long ky = 0; ky < 3; ky++)
              for (long kx = 0; kx < 3; kx++)
                for (long k = 0; k < c; k++) {
                  long iy = yy + ky - 1, ix = xx + kx - 1;
                  if (iy >= 0 && ix >= 0 && iy < g->h && ix < g->h) acc += w[(ky * 3 + kx) * c + k] * in[(iy * g->h + ix) * c + k];
                }
          out[e] = output(l, o, acc, s);
        }
    n = e;
    c = l->oc;
    next_scale(s, l);
    long *t = in;
    in = out;
    out = t;
  }
  memcpy(y, in, (size_t)n * sizeof *y);
  mpq_clear(s);
  return n;
}

static void test_random(void **state) {
  (void)state;
  uint64_t seed = 7000;
  long nets = 150L * mult(), folded = 0;
  print_message("seeds %llu to %llu\n", (unsigned long long)seed, (unsigned long long)seed + (unsigned long long)nets - 1);
  for (long i = 0; i < nets; i++, seed++) {
    gen g = {.r = {seed}};
    qv_buf b = {0};
    qv_err err = {0};
    qv_net *net;
    make_net(&g);
    write_net(&b, &g);
    if (load(&net, (const char *)b.p, b.n, &err) != QV_OK)
      fail_msg("seed %llu: %s\n%.*s", (unsigned long long)seed, err.msg, (int)b.n, (const char *)b.p);
    for (uint32_t k = 0; k < net->n_nodes; k++)
      if (net->node[k].kind == QV_THRESHOLD) folded += net->node[k].u.threshold.par[0].k > 7;
    qv_values v;
    assert_int_equal(qv_values_init(&v, net, &err), QV_OK);
    for (int s = 0; s < 6; s++) {
      long x[64], want[256], n = g.h * g.h * g.c;
      float f[64];
      int64_t *in = v.v[net->in[0].tensor];
      for (long e = 0; e < n; e++) {
        x[e] = pick(&g, 0, (1L << g.bits) - 1);
        f[e] = (float)pick(&g, -4000, 8000) / (pick(&g, 0, 1) ? 1000.0f : 1024.0f);
        if (g.floats) assert_int_equal(qv_end_quantize(&in[e], net, 0, f[e], &err), QV_OK);
        else in[e] = x[e];
      }
      if (qv_ref_run(net, &v, &err) != QV_OK) fail_msg("%s", err.msg);
      long n_out = truth(&g, x, f, want);
      assert_int_equal(n_out, (long)qv_elems(&net->tensor[net->out[0].tensor]));
      for (long e = 0; e < n_out; e++)
        if (v.v[net->out[0].tensor][e] != want[e])
          fail_msg("seed %llu, element %ld: %lld, not %ld", (unsigned long long)seed, e, (long long)v.v[net->out[0].tensor][e], want[e]);
    }
    qv_values_clear(&v);
    qv_net_free(net);
    qv_buf_free(&b);
  }
  print_message("%ld threshold nodes with levels on several intervals\n", folded);
  assert_true(folded > nets / 10);
}

/* ---- one net by hand --------------------------------------------------------------------------------------------------------------- */

#define NET                                                                                                                                \
  "{\"format\": \"n2uq\", \"version\": 1, \"name\": \"hand\",\n"                                                                           \
  " \"input\": {\"shape\": [2], \"bits\": 2, \"scale\": 0.5},\n"                                                                           \
  " \"layers\": [{\"type\": \"dense\", \"out\": 2, \"bits\": 2, \"weights\": [3, -1, 1, 1], \"scale\": [2, \"0x1p-1\"],\n"                 \
  "   \"then\": [{\"op\": \"prelu\", \"value\": [-1, 0.5]}, {\"op\": \"add\", \"value\": 0.25}],\n"                                        \
  "   \"ltq\": {\"start\": 1, \"a\": [1, 2, 0], \"scale1\": 1, \"scale2\": 3}, \"wrap_bits\": 6},\n"                                       \
  "  {\"type\": \"dense\", \"out\": 1, \"bits\": 1, \"weights\": [1, -1], \"scale\": 4, \"sat_bits\": 9}]}\n"

/* Thresholds 3/2, 3, 3 + (2 + 0.001)/2 = 4.0005. Channel 0: u = |acc| + 1/4, so levels begin above |acc| = 1.25, 2.75, 3.7505.
 * Channel 1: u = acc/4 + 1/4 for acc >= 0: above acc = 5, 11, 15.002; below 0 nothing. Step behind it: 3 * 2/3 = 2. */
static void test_hand(void **state) {
  (void)state;
  qv_err err = {0};
  qv_net *net;
  if (load(&net, NET, strlen(NET), &err) != QV_OK) fail_msg("%s", err.msg);
  assert_int_equal(net->n_nodes, 3);
  const qv_acc *a = &net->node[0].u.affine.acc, *c = &net->node[2].u.affine.acc;
  assert_true(a->mode == QV_ACC_WRAP && a->bits == 6 && c->mode == QV_ACC_SAT && c->bits == 9 && c->order == QV_ORDER_KERNEL);
  const qv_pieces *p = net->node[1].u.threshold.par;
  static const int64_t t0[] = {-3, -2, -1, 2, 3, 4}, t1[] = {6, 12, 16};
  static const int32_t v0[] = {3, 2, 1, 0, 1, 2, 3}, v1[] = {0, 1, 2, 3};
  assert_int_equal(p[0].k, 6);
  assert_memory_equal(p[0].t, t0, sizeof t0);
  assert_memory_equal(p[0].v, v0, sizeof v0);
  assert_int_equal(p[1].k, 3);
  assert_memory_equal(p[1].t, t1, sizeof t1);
  assert_memory_equal(p[1].v, v1, sizeof v1);
  assert_true(net->in[0].end == QV_END_INT && net->tensor[net->in[0].tensor].hi == 3 && net->out[0].end == QV_END_INT);
  assert_string_equal(net->format, "n2uq");
  qv_net_free(net);
}

/* ---- mistakes ------------------------------------------------------------------------------------------------------------------------ */

/* NET with `from` replaced by `to`: status and a part of the message. */
static const struct {
  const char *from, *to, *part;
  qv_status st;
} mistakes[] = {
    {"\"n2uq\"", "\"n3uq\"", "'format' must be \"n2uq\"", QV_E_PARSE},
    {"\"version\": 1", "\"version\": 2", "'version' must be a whole number from 1 to 1", QV_E_PARSE},
    {"\"name\"", "\"nmae\"", "unknown member 'nmae'", QV_E_PARSE},
    {"\"input\"", "\"output\"", "unknown member 'output'", QV_E_PARSE},
    {"{\"shape\": [2], \"bits\": 2, \"scale\": 0.5}", "5", "input: an object is expected", QV_E_PARSE},
    {"[2]", "[2, 2]", "'shape' must be an array of 3", QV_E_PARSE},
    {"[2]", "[0]", "'shape': whole numbers from 1", QV_E_PARSE},
    {"\"bits\": 2, \"scale\": 0.5", "\"bits\": 9, \"scale\": 0.5", "'bits' must be a whole number from 1 to 8", QV_E_PARSE},
    {"\"scale\": 0.5", "\"scale\": -0.5", "'scale' must be positive", QV_E_PARSE},
    {"\"scale\": 0.5", "\"scale\": 0.5, \"ltq\": {}", "takes neither 'bits' nor 'scale'", QV_E_PARSE},
    {"\"type\": \"dense\", \"out\": 2", "\"type\": \"denze\", \"out\": 2", "layer 0 (denze): 'type' must be", QV_E_PARSE},
    {"\"out\": 2", "\"out\": 0", "'out' must be a whole number", QV_E_PARSE},
    {"\"out\": 2, ", "", "'out' must be a whole number", QV_E_PARSE},
    {"[3, -1, 1, 1]", "[3, -1, 1]", "'weights' must be an array of 4", QV_E_PARSE},
    {"[3, -1, 1, 1]", "[3, -1, 0, 1]", "weight 2: odd whole numbers from -3 to 3", QV_E_PARSE},
    {"[3, -1, 1, 1]", "[5, -1, 1, 1]", "weight 0: odd whole numbers from -3 to 3", QV_E_PARSE},
    {"[3, -1, 1, 1]", "[3, -1, 1.0, 1]", "weight 2: odd", QV_E_PARSE},
    {"[2, \"0x1p-1\"]", "[2, \"0x1.0p-1\"]", "'scale' must be a number", QV_E_PARSE},
    {"[2, \"0x1p-1\"]", "[2, 1, 1]", "'scale' has 3 values for 2 channels", QV_E_PARSE},
    {"[2, \"0x1p-1\"]", "[2, 0]", "channel 1: the scale is 0", QV_E_PARSE},
    {"[2, \"0x1p-1\"]", "[2, 1e401]", "'scale' must be a number", QV_E_PARSE},
    {"[2, \"0x1p-1\"]", "[2, true]", "'scale' must be a number", QV_E_PARSE},
    {"\"prelu\", \"value\": [-1, 0.5]", "\"gelu\", \"value\": 1", "unknown op 'gelu'", QV_E_PARSE},
    {"\"prelu\", \"value\": [-1, 0.5]", "\"prelu\"", "'value' must be a number", QV_E_PARSE},
    {"\"prelu\", \"value\": [-1, 0.5]", "\"relu\", \"value\": 1", "relu takes no 'value'", QV_E_PARSE},
    {"\"prelu\", \"value\": [-1, 0.5]", "\"batchnorm\", \"scale\": 1, \"bias\": 0, \"mean\": 0, \"var\": -1, \"epsilon\": 1",
     "variance plus epsilon is not positive", QV_E_PARSE},
    {"\"prelu\", \"value\": [-1, 0.5]", "\"batchnorm\", \"scale\": 1", "'bias' must be a number", QV_E_PARSE},
    {"{\"op\": \"prelu\", \"value\": [-1, 0.5]}",
     "{\"op\": \"batchnorm\", \"scale\": 1, \"bias\": 0.5, \"mean\": 1, \"var\": 2, \"epsilon\": 0}, {\"op\": \"batchnorm\", \"scale\": 1, "
     "\"bias\": 0, "
     "\"mean\": 0, \"var\": 3, \"epsilon\": 0}",
     "two different square roots meet", QV_E_UNSUP},
    {"[{\"op\": \"prelu\", \"value\": [-1, 0.5]}, {\"op\": \"add\", \"value\": 0.25}]", "7", "'then' must be an array", QV_E_PARSE},
    {"[1, 2, 0]", "[]", "'a' must be an array of 1 to 255 numbers", QV_E_PARSE},
    {"[1, 2, 0]", "[1, \"x\", 0]", "'a' must be a number", QV_E_PARSE},
    {"\"scale1\": 1", "\"scale1\": 0", "'scale1' must not be 0", QV_E_PARSE},
    {"\"scale2\": 3", "\"scale2\": 0", "'scale2' be positive", QV_E_PARSE},
    {"\"start\": 1, ", "", "'start' must be a number", QV_E_PARSE},
    {"\"wrap_bits\": 6", "\"wrap_bits\": 1", "'wrap_bits' must be a whole number from 2 to 62", QV_E_PARSE},
    {"\"wrap_bits\": 6", "\"wrap_bits\": 6, \"sat_bits\": 7", "exclude each other", QV_E_PARSE},
    {",\n   \"ltq\": {\"start\": 1, \"a\": [1, 2, 0], \"scale1\": 1, \"scale2\": 3}", "", "a last layer without 'ltq'", QV_E_UNSUP},
    {"\"scale\": 4", "\"scale\": -4", "a last layer without 'ltq'", QV_E_UNSUP},
    {"{\"type\": \"dense\", \"out\": 1", "{\"type\": \"conv\", \"kernel\": [1, 1], \"out\": 1", "the kernel does not fit", QV_E_PARSE},
    {"\"version\": 1,", "\"version\": 1, \"version\": 1,", "", QV_E_PARSE},
};

static void test_mistakes(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
    const char *at = strstr(NET, mistakes[i].from);
    assert_non_null(at);
    qv_buf b = {0};
    qv_buf_put(&b, NET, (size_t)(at - NET));
    qv_buf_str(&b, mistakes[i].to);
    qv_buf_str(&b, at + strlen(mistakes[i].from));
    qv_err err = {0};
    qv_net *net;
    qv_status st = load(&net, (const char *)b.p, b.n, &err);
    if (st != mistakes[i].st || strstr(err.msg, mistakes[i].part) == NULL)
      fail_msg("%s -> %s: %s: %s", mistakes[i].from, mistakes[i].to, qv_status_name(st), err.msg);
    assert_null(net);
    qv_buf_free(&b);
  }
  qv_err err = {0};
  qv_net *net = NULL;
  const qv_load_opts opts = {.profile = "qonnx-exact"};
  assert_int_equal(qv_load_bytes(&net, NET, strlen(NET), "t.json", &opts, &err), QV_E_ARG);
  err = (qv_err){0};
  const qv_load_opts tight = {.max_bytes = 2000};
  assert_int_not_equal(qv_load_bytes(&net, NET, strlen(NET), "t.json", &tight, &err), QV_OK);
}

/* Every prefix of the text is refused, and nothing leaks or crashes. */
static void test_cut(void **state) {
  (void)state;
  for (size_t n = 0; n + 2 < strlen(NET); n++) {
    qv_err err = {0};
    qv_net *net;
    assert_int_equal(load(&net, NET, n, &err), QV_E_PARSE);
  }
}

static void test_example(void **state) {
  (void)state;
  qv_err err = {0};
  qv_net *net = NULL;
  if (qv_load_model(&net, "examples/n2uq/digits.json", NULL, &err) != QV_OK) fail_msg("%s", err.msg);
  assert_true(net->n_nodes == 6 && net->node[1].u.threshold.par[2].k == 6); /* the channel behind a negative slope */
  qv_net_free(net);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_hand), cmocka_unit_test(test_mistakes),
                                     cmocka_unit_test(test_cut), cmocka_unit_test(test_example)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
