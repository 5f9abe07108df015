/* The TFLite front end: operators against naive integer loops (all scales 1, so that every runtime's rescaling is the
 * identity), one mistake per file with the expected message, truncated and damaged files, short memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/load.h"
#include "ir/base/rng.h"
#include "ir/qir.h"
#include "kernels/ref.h"
#include "tests/tfl_build.h"

static qv_rng rng = {20240611};

static size_t mult(void) {
  const char *s = getenv("QV_TEST_MULT");
  long m = s != NULL ? strtol(s, NULL, 10) : 1;
  return m > 1 ? (size_t)m : 1;
}

static int32_t rnd(int32_t lo, int32_t hi) { return (int32_t)qv_rng_range(&rng, lo, hi); }

#define DIMS(...) ((const int32_t[]){__VA_ARGS__})

/* ---- loading and running ------------------------------------------------------------------------------------------------- */

/* Parse an exact-size heap copy at an odd address, so that a sanitizer sees one byte too many and unaligned access. */
static qv_status read_copy(qv_net **net, const void *data, size_t n, const qv_load_opts *opts, qv_err *err) {
  char *p = malloc(n + 1);
  assert_non_null(p);
  if (n > 0) memcpy(p + 1, data, n);
  qv_status st = qv_tflite_read(net, p + 1, n, "model.tflite", opts, err);
  free(p);
  return st;
}

static qv_status load(qv_net **net, const tb_model *m, const qv_load_opts *opts, qv_err *err) {
  qv_buf b = {0};
  tb_build(&b, m);
  assert_false(b.failed);
  qv_status st = read_copy(net, b.p, b.n, opts, err);
  qv_buf_free(&b);
  return st;
}

static qv_net *load_ok(const tb_model *m, const char *profile) {
  qv_net *net = NULL;
  qv_err err = {0};
  if (load(&net, m, &(qv_load_opts){.profile = profile}, &err) != QV_OK) fail_msg("%s", err.msg);
  assert_non_null(net);
  return net;
}

static void run(const qv_net *net, const int64_t *const *x, int64_t *y) {
  qv_values v;
  qv_err err = {0};
  assert_int_equal(qv_values_init(&v, net, &err), QV_OK);
  for (uint32_t i = 0; i < net->n_in; i++) memcpy(v.v[net->in[i].tensor], x[i], qv_elems(&net->tensor[net->in[i].tensor]) * sizeof **x);
  if (qv_ref_run(net, &v, &err) != QV_OK) fail_msg("%s", err.msg);
  memcpy(y, v.v[net->out[0].tensor], qv_elems(&net->tensor[net->out[0].tensor]) * sizeof *y);
  qv_values_clear(&v);
}

static const char *const profiles[] = {"tflite-double", "tflite-single", "tflite-ruy-x86", "xnnpack"};
#define N_PROFILES (sizeof profiles / sizeof *profiles)

static int64_t sat8(int64_t v) { return qv_clamp64(v, -128, 127); }

/* Every lowered net has a text form that reads back to the same text. */
static void text_round_trip(const qv_net *net) {
  qv_buf a = {0}, b = {0};
  qv_net *again = NULL;
  qv_err err = {0};
  assert_int_equal(qv_qir_write(&a, net, &err), QV_OK);
  if (qv_qir_read(&again, (const char *)a.p, a.n, &err) != QV_OK) fail_msg("%s", err.msg);
  assert_int_equal(qv_qir_write(&b, again, &err), QV_OK);
  assert_int_equal(a.n, b.n);
  assert_memory_equal(a.p, b.p, a.n);
  qv_net_free(again);
  qv_buf_free(&a);
  qv_buf_free(&b);
}

/* m on random inputs under every profile; want(x, y) computes the expected result. */
typedef void (*oracle)(const int64_t *const *x, int64_t *y, const void *arg);

static void check_model(const tb_model *m, oracle want, const void *arg) {
  for (size_t p = 0; p < N_PROFILES; p++) {
    qv_net *net = load_ok(m, profiles[p]);
    assert_string_equal(net->profile, profiles[p]);
    text_round_trip(net);
    int64_t *x[4] = {0};
    for (uint32_t i = 0; i < net->n_in; i++) {
      const qv_tensor *t = &net->tensor[net->in[i].tensor];
      assert_non_null(x[i] = calloc(qv_elems(t), sizeof **x));
      for (size_t e = 0; e < qv_elems(t); e++) x[i][e] = qv_rng_range(&rng, t->lo, t->hi);
    }
    size_t n = qv_elems(&net->tensor[net->out[0].tensor]);
    int64_t *y = calloc(n, sizeof *y), *z = calloc(n, sizeof *z);
    assert_non_null(y);
    assert_non_null(z);
    run(net, (const int64_t *const *)x, y);
    want((const int64_t *const *)x, z, arg);
    for (size_t e = 0; e < n; e++)
      if (y[e] != z[e]) fail_msg("%s: element %zu: %lld, expected %lld", profiles[p], e, (long long)y[e], (long long)z[e]);
    for (int i = 0; i < 4; i++) free(x[i]);
    free(y);
    free(z);
    qv_net_free(net);
  }
}

/* ---- convolutions ---------------------------------------------------------------------------------------------------------- */

typedef struct {
  int32_t n, ih, iw, ic, oh, ow, oc, kh, kw, s, d, groups, pt, pl, zx, zw, zy;
  int type; /* TFL_INT8 or TFL_UINT8 */
  bool depthwise, int4;
  int32_t w[4096]; /* as in the file's order */
  int32_t b[64];
} conv_case;

static int64_t weight(const conv_case *c, int32_t o, int32_t y, int32_t x, int32_t i) {
  return c->depthwise ? c->w[(y * c->kw + x) * c->oc + o] : c->w[((o * c->kh + y) * c->kw + x) * (c->ic / c->groups) + i];
}

static void conv_oracle(const int64_t *const *x, int64_t *y, const void *arg) {
  const conv_case *c = arg;
  int64_t lo = c->type == TFL_UINT8 ? 0 : -128, hi = c->type == TFL_UINT8 ? 255 : 127;
  for (int32_t n = 0; n < c->n; n++)
    for (int32_t oy = 0; oy < c->oh; oy++)
      for (int32_t ox = 0; ox < c->ow; ox++)
        for (int32_t o = 0; o < c->oc; o++) {
          int64_t acc = c->b[o];
          int32_t per = c->ic / c->groups, first = o / (c->oc / c->groups) * per;
          for (int32_t ky = 0; ky < c->kh; ky++)
            for (int32_t kx = 0; kx < c->kw; kx++) {
              int32_t iy = oy * c->s - c->pt + ky * c->d, ix = ox * c->s - c->pl + kx * c->d;
              if (iy < 0 || ix < 0 || iy >= c->ih || ix >= c->iw) continue;
              for (int32_t i = 0; i < per; i++)
                acc += (weight(c, o, ky, kx, i) - c->zw) * (x[0][((n * c->ih + iy) * c->iw + ix) * c->ic + first + i] - c->zx);
            }
          y[((n * c->oh + oy) * c->ow + ox) * c->oc + o] = qv_clamp64(acc + c->zy, lo, hi);
        }
}

static void conv_dims(conv_case *c, bool same) {
  int32_t eh = (c->kh - 1) * c->d + 1, ew = (c->kw - 1) * c->d + 1;
  c->oh = same ? (c->ih + c->s - 1) / c->s : (c->ih - eh) / c->s + 1;
  c->ow = same ? (c->iw + c->s - 1) / c->s : (c->iw - ew) / c->s + 1;
  int32_t ph = (c->oh - 1) * c->s + eh - c->ih, pw = (c->ow - 1) * c->s + ew - c->iw;
  c->pt = same && ph > 0 ? ph / 2 : 0;
  c->pl = same && pw > 0 ? pw / 2 : 0;
}

static size_t pack_weights(const conv_case *c, size_t n, unsigned char *out) {
  if (!c->int4) {
    for (size_t i = 0; i < n; i++) out[i] = (unsigned char)c->w[i];
    return n;
  }
  memset(out, 0, (n + 1) / 2);
  for (size_t i = 0; i < n; i++) out[i / 2] = (unsigned char)(out[i / 2] | (c->w[i] & 15) << (i % 2 * 4));
  return (n + 1) / 2;
}

static void random_conv(conv_case *c, tb_model *m, unsigned char *wbytes, int kind) {
  bool same = rnd(0, 1), fc = kind == 2;
  *c = (conv_case){.type = TFL_INT8,
                   .depthwise = kind == 1,
                   .n = rnd(1, 2),
                   .ih = rnd(4, 7),
                   .iw = rnd(4, 7),
                   .kh = rnd(1, 3),
                   .kw = rnd(1, 3),
                   .s = rnd(1, 2),
                   .d = 1};
  if (rnd(0, 2) == 0) c->d = 2, c->s = 1, c->kh = c->kw = 2;
  int32_t mul = rnd(1, 2);
  c->groups = c->depthwise ? rnd(1, 4) : rnd(1, 2);
  c->ic = c->depthwise ? c->groups : c->groups * rnd(1, 3);
  c->oc = c->depthwise ? c->ic * mul : c->groups * rnd(1, 3);
  if (fc) c->ih = c->iw = c->kh = c->kw = c->s = c->d = c->groups = 1, same = false, c->oc = rnd(1, 5), c->ic = rnd(1, 9);
  conv_dims(c, same);
  if (c->groups == 1 && rnd(0, 2) == 0) c->type = TFL_UINT8;
  bool u8 = c->type == TFL_UINT8;
  c->zx = u8 ? rnd(0, 255) : rnd(-128, 127);
  c->zy = u8 ? rnd(0, 255) : rnd(-128, 127);
  c->zw = u8 ? rnd(0, 255) : fc ? rnd(-3, 3) : 0;
  size_t nw = (size_t)(c->kh * c->kw * c->oc * (c->ic / c->groups));
  for (size_t i = 0; i < nw; i++) c->w[i] = c->zw + rnd(-7, 7);
  for (size_t i = 0; u8 && i < nw; i++) c->w[i] = (int32_t)qv_clamp64(c->w[i], 0, 255);
  for (int32_t o = 0; o < c->oc; o++) c->b[o] = rnd(-300, 300);
  size_t bytes = pack_weights(c, nw, wbytes);
  *m = (tb_model){.version = 3, .n_subgraphs = 1, .n_in = 1, .n_out = 1};
  int32_t x =
      fc ? tb_add(m, "x", c->type, 2, DIMS(c->n, c->ic), 1, c->zx) : tb_add(m, "x", c->type, 4, DIMS(c->n, c->ih, c->iw, c->ic), 1, c->zx);
  int32_t w = fc             ? tb_const(m, "w", c->type, 2, DIMS(c->oc, c->ic), 1, c->zw, wbytes, bytes)
              : c->depthwise ? tb_const(m, "w", c->type, 4, DIMS(1, c->kh, c->kw, c->oc), 1, c->zw, wbytes, bytes)
                             : tb_const(m, "w", c->type, 4, DIMS(c->oc, c->kh, c->kw, c->ic / c->groups), 1, c->zw, wbytes, bytes);
  int32_t b = tb_const(m, "b", TFL_INT32, 1, DIMS(c->oc), 1, 0, c->b, (size_t)c->oc * 4);
  int32_t y =
      fc ? tb_add(m, "y", c->type, 2, DIMS(c->n, c->oc), 1, c->zy) : tb_add(m, "y", c->type, 4, DIMS(c->n, c->oh, c->ow, c->oc), 1, c->zy);
  if (!u8 && !fc && rnd(0, 1)) { /* one scale per channel, all 1 */
    m->t[w].n_scale = (uint32_t)c->oc;
    for (int32_t o = 0; o < c->oc; o++) m->t[w].scale[o] = 1;
    m->t[w].qdim = c->depthwise ? 3 : 0;
  }
  tb_op *op = fc ? tb_op_add(m, TFL_FULLY_CONNECTED, 8, x, w, b, y)
                 : tb_op_add(m, c->depthwise ? TFL_DEPTHWISE_CONV_2D : TFL_CONV_2D, c->depthwise ? 2 : 1, x, w, b, y);
  if (!fc) {
    tb_opt(op, 0, 1, same ? 0 : 1);
    tb_opt(op, 1, 4, (uint32_t)c->s);
    tb_opt(op, 2, 4, (uint32_t)c->s);
    tb_opt(op, c->depthwise ? 5 : 4, 4, (uint32_t)c->d);
    tb_opt(op, c->depthwise ? 6 : 5, 4, (uint32_t)c->d);
    if (c->depthwise) tb_opt(op, 3, 4, (uint32_t)mul);
  }
  m->in[0] = x;
  m->out[0] = y;
}

static void convolutions(void **state) {
  (void)state;
  conv_case *c = malloc(sizeof *c);
  tb_model *m = malloc(sizeof *m);
  unsigned char *w = malloc(4096);
  assert_true(c != NULL && m != NULL && w != NULL);
  for (size_t i = 0; i < 300 * mult(); i++) {
    random_conv(c, m, w, (int)(i % 3));
    check_model(m, conv_oracle, c);
  }
  free(c);
  free(m);
  free(w);
}

/* Four-bit weights: low nibble first, also an odd count; every value -8..7. The optimized runtimes are not all known. */
static void int4_weights(void **state) {
  (void)state;
  static conv_case c = {.type = TFL_INT8,
                        .int4 = true,
                        .n = 1,
                        .ih = 1,
                        .iw = 1,
                        .oh = 1,
                        .ow = 1,
                        .ic = 5,
                        .oc = 3,
                        .kh = 1,
                        .kw = 1,
                        .s = 1,
                        .d = 1,
                        .groups = 1,
                        .zx = -3,
                        .zy = 5};
  unsigned char w[8];
  for (int i = 0; i < 15; i++) c.w[i] = i - 8;
  tb_model m = {.version = 3, .n_subgraphs = 1, .n_in = 1, .n_out = 1};
  int32_t x = tb_add(&m, "x", TFL_INT8, 2, DIMS(1, 5), 1, -3);
  int32_t wt = tb_const(&m, "w", TFL_INT4, 2, DIMS(3, 5), 1, 0, w, pack_weights(&c, 15, w));
  int32_t y = tb_add(&m, "y", TFL_INT8, 2, DIMS(1, 3), 1, 5);
  tb_op_add(&m, TFL_FULLY_CONNECTED, 8, x, wt, -1, y);
  m.in[0] = x;
  m.out[0] = y;
  qv_net *net = load_ok(&m, NULL);
  int64_t in[5] = {-128, 3, 0, 90, 127}, got[3], want[3];
  run(net, (const int64_t *const[]){in}, got);
  conv_oracle((const int64_t *const[]){in}, want, &c);
  for (int o = 0; o < 3; o++) assert_int_equal(got[o], want[o]);
  qv_net_free(net);
}

/* ---- pooling, mean ---------------------------------------------------------------------------------------------------------- */

typedef struct {
  conv_case c; /* window */
  bool max;
} pool_case;

static void pool_oracle(const int64_t *const *x, int64_t *y, const void *arg) {
  const pool_case *p = arg;
  const conv_case *c = &p->c;
  for (int32_t e = 0; e < c->n * c->oh * c->ow * c->ic; e++) {
    int32_t ch = e % c->ic, ox = e / c->ic % c->ow, oy = e / c->ic / c->ow % c->oh, n = e / c->ic / c->ow / c->oh, k = 0;
    int64_t sum = 0, max = -128;
    for (int32_t iy = oy * c->s - c->pt; iy < oy * c->s - c->pt + c->kh; iy++)
      for (int32_t ix = ox * c->s - c->pl; ix < ox * c->s - c->pl + c->kw; ix++) {
        if (iy < 0 || ix < 0 || iy >= c->ih || ix >= c->iw) continue;
        int64_t v = x[0][((n * c->ih + iy) * c->iw + ix) * c->ic + ch];
        sum += v;
        max = v > max ? v : max;
        k++;
      }
    double mean = (double)sum / k; /* exact enough: |sum| < 2^13, k <= 9, ties are halves */
    y[e] = p->max ? max : (int64_t)(mean >= 0 ? floor(mean + 0.5) : -floor(-mean + 0.5));
  }
}

static void pooling(void **state) {
  (void)state;
  for (size_t i = 0; i < 120 * mult(); i++) {
    pool_case p = {
        .max = i % 2 == 0,
        .c = {.n = rnd(1, 2), .ih = rnd(3, 7), .iw = rnd(3, 7), .ic = rnd(1, 3), .kh = rnd(1, 3), .kw = rnd(1, 3), .s = rnd(1, 3), .d = 1}};
    bool same = rnd(0, 1);
    conv_dims(&p.c, same);
    tb_model m = {.version = 3, .n_subgraphs = 1, .n_in = 1, .n_out = 1};
    int32_t x = tb_add(&m, "x", TFL_INT8, 4, DIMS(p.c.n, p.c.ih, p.c.iw, p.c.ic), 1, 3);
    int32_t y = tb_add(&m, "y", TFL_INT8, 4, DIMS(p.c.n, p.c.oh, p.c.ow, p.c.ic), 1, 3);
    tb_op *op = tb_op_add(&m, p.max ? TFL_MAX_POOL_2D : TFL_AVERAGE_POOL_2D, 5, x, -2, -2, y);
    const uint32_t v[5] = {same ? 0 : 1, (uint32_t)p.c.s, (uint32_t)p.c.s, (uint32_t)p.c.kw, (uint32_t)p.c.kh};
    for (unsigned k = 0; k < 5; k++) tb_opt(op, k, k == 0 ? 1 : 4, v[k]);
    m.in[0] = x;
    m.out[0] = y;
    check_model(&m, pool_oracle, &p);
  }
}

typedef struct {
  int32_t dim[4];
  bool gone[4];
} mean_case;

static void mean_oracle(const int64_t *const *x, int64_t *y, const void *arg) {
  const mean_case *c = arg;
  int32_t n = 1, out = 0;
  for (int d = 0; d < 4; d++) n *= c->gone[d] ? c->dim[d] : 1;
  int64_t sum[512] = {0};
  for (int32_t e = 0; e < c->dim[0] * c->dim[1] * c->dim[2] * c->dim[3]; e++) {
    int32_t rest = e, at[4], o = 0;
    for (int d = 3; d >= 0; d--) at[d] = rest % c->dim[d], rest /= c->dim[d];
    for (int d = 0; d < 4; d++)
      if (!c->gone[d]) o = o * c->dim[d] + at[d];
    sum[o] += x[0][e];
    out = o + 1 > out ? o + 1 : out;
  }
  for (int32_t o = 0; o < out; o++) y[o] = sum[o] / n; /* the inputs make it exact */
}

/* Only inputs whose sums are multiples of n: every runtime agrees then. The input is a constant plus an ADD-free copy, so
 * take one value everywhere. */
static void means(void **state) {
  (void)state;
  for (size_t i = 0; i < 60 * mult(); i++) {
    mean_case c = {.dim = {rnd(1, 2), rnd(1, 4), rnd(1, 4), rnd(1, 4)}};
    int32_t axes[4], n = 0, kept[4], nk = 0;
    for (int d = 0; d < 4; d++)
      if ((c.gone[d] = rnd(0, 1))) axes[n++] = rnd(0, 1) ? d : d - 4;
    bool keep = rnd(0, 1);
    for (int d = 0; d < 4; d++)
      if (!c.gone[d] || keep) kept[nk++] = c.gone[d] ? 1 : c.dim[d];
    if (n == 0) continue;
    tb_model m = {.version = 3, .n_subgraphs = 1, .n_in = 1, .n_out = 1};
    int32_t x = tb_add(&m, "x", TFL_INT8, 4, c.dim, 1, 0), a = tb_const(&m, "axes", TFL_INT32, 1, DIMS(n), 0, 0, axes, (size_t)n * 4);
    int32_t y = tb_add(&m, "y", TFL_INT8, (uint32_t)nk, kept, 1, 0);
    tb_op *op = tb_op_add(&m, TFL_MEAN, 27, x, a, -2, y);
    tb_opt(op, 0, 1, keep);
    m.in[0] = x;
    m.out[0] = y;
    for (size_t p = 0; p < N_PROFILES; p++) {
      qv_net *net = load_ok(&m, profiles[p]);
      int64_t in[512], got[512], want[512], v = qv_rng_range(&rng, -128, 127);
      for (int k = 0; k < 512; k++) in[k] = v;
      run(net, (const int64_t *const[]){in}, got);
      mean_oracle((const int64_t *const[]){in}, want, &c);
      for (size_t e = 0; e < qv_elems(&net->tensor[net->out[0].tensor]); e++) assert_int_equal(got[e], want[e]);
      qv_net_free(net);
    }
  }
}

/* ---- ADD, SUB, MUL with broadcasting ------------------------------------------------------------------------------------------ */

typedef struct {
  int code;
  int32_t full[3], d[2][3];
  int32_t z[3];
  const int32_t *constant; /* operand 1, or NULL */
} bin_case;

static int64_t operand_at(const bin_case *c, int k, const int64_t *v, int32_t e) {
  int32_t at[3] = {e / c->full[2] / c->full[1], e / c->full[2] % c->full[1], e % c->full[2]}, i = 0;
  for (int d = 0; d < 3; d++) i = i * c->d[k][d] + (c->d[k][d] == 1 ? 0 : at[d]);
  return v[i] - c->z[k];
}

static void bin_oracle(const int64_t *const *x, int64_t *y, const void *arg) {
  const bin_case *c = arg;
  int64_t constant[64];
  for (int i = 0; c->constant != NULL && i < c->d[1][0] * c->d[1][1] * c->d[1][2]; i++) constant[i] = c->constant[i];
  for (int32_t e = 0; e < c->full[0] * c->full[1] * c->full[2]; e++) {
    int64_t a = operand_at(c, 0, x[0], e), b = operand_at(c, 1, c->constant != NULL ? constant : x[1], e);
    y[e] = sat8((c->code == TFL_ADD ? a + b : c->code == TFL_SUB ? a - b : a * b) + c->z[2]);
  }
}

static void arithmetic(void **state) {
  (void)state;
  for (size_t i = 0; i < 200 * mult(); i++) {
    bin_case c = {.code = (int[]){TFL_ADD, TFL_SUB, TFL_MUL}[i % 3],
                  .full = {rnd(1, 2), rnd(1, 3), rnd(1, 4)},
                  .z = {rnd(-9, 9), rnd(-9, 9), rnd(-9, 9)}};
    signed char bytes[64];
    int32_t values[64];
    for (int k = 0; k < 2; k++)
      for (int d = 0; d < 3; d++) c.d[k][d] = rnd(0, 2) == 0 ? 1 : c.full[d];
    for (int d = 0; d < 3; d++)
      if (c.d[0][d] == 1 && c.d[1][d] == 1) c.full[d] = 1;
    for (int k = 0; k < 64; k++) values[k] = bytes[k] = (signed char)rnd(-128, 127);
    bool constant = rnd(0, 1);
    size_t n1 = (size_t)(c.d[1][0] * c.d[1][1] * c.d[1][2]);
    tb_model m = {.version = 3, .n_subgraphs = 1, .n_in = constant ? 1 : 2, .n_out = 1};
    m.in[0] = tb_add(&m, "a", TFL_INT8, 3, c.d[0], 1, c.z[0]);
    m.in[1] = tb_add(&m, "b", TFL_INT8, 3, c.d[1], 1, c.z[1]);
    if (constant) m.t[1].data = bytes, m.t[1].n_data = n1, c.constant = values;
    m.out[0] = tb_add(&m, "y", TFL_INT8, 3, c.full, 1, c.z[2]);
    (void)tb_op_add(&m, c.code, c.code == TFL_ADD ? 11 : c.code == TFL_SUB ? 28 : 21, 0, 1, -2, 2);
    check_model(&m, bin_oracle, &c);
  }
}

/* ---- data movement ------------------------------------------------------------------------------------------------------------- */

/* A 4-dimensional pick: expected result given by a list of source elements (or a constant, encoded below -1000). */
typedef struct {
  size_t n;
  int32_t from[4096];
} moves;

static void move_oracle(const int64_t *const *x, int64_t *y, const void *arg) {
  const moves *m = arg;
  for (size_t i = 0; i < m->n; i++) y[i] = m->from[i] < -1000 ? m->from[i] + 2000 : x[0][m->from[i]];
}

static int32_t at4(const int32_t d[4], int32_t a, int32_t b, int32_t c, int32_t e) { return ((a * d[1] + b) * d[2] + c) * d[3] + e; }

static void movement(void **state) {
  (void)state;
  static moves mv;
  for (size_t round = 0; round < 120 * mult(); round++) {
    int32_t d[4] = {1, rnd(2, 5), rnd(2, 5), rnd(2, 4)}, out[4] = {1, 1, 1, 1}, c1[8] = {0}, c2[4], c3[4] = {1, 1, 1, 1};
    tb_model m = {.version = 3, .n_subgraphs = 1, .n_in = 1, .n_out = 1};
    int32_t x = tb_add(&m, "x", TFL_INT8, 4, d, 0.5f, 4), p, q, r;
    int kind = (int)(round % 5);
    mv.n = 0;
    tb_op *op;
    switch (kind) {
    case 0: { /* TRANSPOSE */
      const int32_t perms[3][4] = {{0, 2, 1, 3}, {0, 3, 1, 2}, {3, 0, 2, 1}};
      memcpy(c2, perms[rnd(0, 2)], sizeof c2);
      for (int k = 0; k < 4; k++) out[k] = d[c2[k]];
      p = tb_const(&m, "perm", TFL_INT32, 1, DIMS(4), 0, 0, c2, 16);
      op = tb_op_add(&m, TFL_TRANSPOSE, 26, x, p, -2, 2);
      for (int32_t e = 0; e < out[0] * out[1] * out[2] * out[3]; e++) {
        int32_t rest = e, o[4], s[4];
        for (int k = 3; k >= 0; k--) o[k] = rest % out[k], rest /= out[k];
        for (int k = 0; k < 4; k++) s[c2[k]] = o[k];
        mv.from[mv.n++] = at4(d, s[0], s[1], s[2], s[3]);
      }
      break;
    }
    case 1: /* PAD with the zero point */
      for (int k = 2; k < 6; k++) c1[k] = rnd(0, 2);
      for (int k = 0; k < 4; k++) out[k] = d[k] + c1[2 * k] + c1[2 * k + 1];
      p = tb_const(&m, "pads", TFL_INT32, 2, DIMS(4, 2), 0, 0, c1, 32);
      op = tb_op_add(&m, TFL_PAD, 22, x, p, -2, 2);
      for (int32_t b = 0; b < out[1]; b++)
        for (int32_t c = 0; c < out[2]; c++)
          for (int32_t e = 0; e < out[3]; e++) {
            bool in = b >= c1[2] && b < c1[2] + d[1] && c >= c1[4] && c < c1[4] + d[2];
            mv.from[mv.n++] = in ? at4(d, 0, b - c1[2], c - c1[4], e) : 4 - 2000;
          }
      break;
    case 2: /* STRIDED_SLICE with a negative stride in dimension 2 and masks in dimension 1 */
      c1[1] = rnd(0, 1), c1[2] = -1;
      c2[0] = 1, c2[1] = 99, c2[2] = -99, c2[3] = d[3];
      c3[1] = rnd(1, 2), c3[2] = -rnd(1, 2);
      p = tb_const(&m, "begin", TFL_INT32, 1, DIMS(4), 0, 0, c1, 16);
      q = tb_const(&m, "end", TFL_INT32, 1, DIMS(4), 0, 0, c2, 16);
      r = tb_const(&m, "strides", TFL_INT32, 1, DIMS(4), 0, 0, c3, 16);
      op = tb_op_add(&m, TFL_STRIDED_SLICE, 32, x, p, q, 4);
      op->in[op->n_in++] = r;
      tb_opt(op, 1, 4, round % 2 == 0 ? 2 : 6);                      /* end masks of dimensions 1 and 2 */
      if (round % 2 != 0) c1[2] = 0, c2[2] = 0, tb_opt(op, 0, 4, 4); /* begin mask of dimension 2: from the last element */
      out[1] = out[2] = 0;
      for (int32_t b = c1[1]; b < d[1]; b += c3[1]) out[1]++;
      for (int32_t c = d[2] - 1; c >= 0; c += c3[2]) out[2]++;
      out[3] = d[3];
      for (int32_t b = c1[1]; b < d[1]; b += c3[1])
        for (int32_t c = d[2] - 1; c >= 0; c += c3[2])
          for (int32_t e = 0; e < d[3]; e++) mv.from[mv.n++] = at4(d, 0, b, c, e);
      break;
    case 3: /* SLICE */
      for (int k = 1; k < 4; k++) c1[k] = rnd(0, d[k] - 1), out[k] = rnd(1, d[k] - c1[k]), c2[k] = out[k];
      c2[0] = -1;
      p = tb_const(&m, "begin", TFL_INT32, 1, DIMS(4), 0, 0, c1, 16);
      q = tb_const(&m, "size", TFL_INT32, 1, DIMS(4), 0, 0, c2, 16);
      op = tb_op_add(&m, TFL_SLICE, 48, x, p, q, 3);
      for (int32_t b = 0; b < out[1]; b++)
        for (int32_t c = 0; c < out[2]; c++)
          for (int32_t e = 0; e < out[3]; e++) mv.from[mv.n++] = at4(d, 0, b + c1[1], c + c1[2], e + c1[3]);
      break;
    default: /* RESIZE_NEAREST_NEIGHBOR by an integer factor */
      c2[0] = 2 * d[1], c2[1] = 3 * d[2];
      out[1] = c2[0], out[2] = c2[1], out[3] = d[3];
      p = tb_const(&m, "size", TFL_INT32, 1, DIMS(2), 0, 0, c2, 8);
      op = tb_op_add(&m, TFL_RESIZE_NEAREST_NEIGHBOR, 74, x, p, -2, 2);
      for (int32_t b = 0; b < out[1]; b++)
        for (int32_t c = 0; c < out[2]; c++)
          for (int32_t e = 0; e < d[3]; e++) mv.from[mv.n++] = at4(d, 0, b / 2, c / 3, e);
      break;
    }
    (void)op;
    m.in[0] = x;
    m.out[0] = tb_add(&m, "y", TFL_INT8, 4, out, 0.5f, 4);
    check_model(&m, move_oracle, &mv);
  }
}

/* SPLIT and CONCATENATION back in another order; SQUEEZE and EXPAND_DIMS around. */
static void split_concat(void **state) {
  (void)state;
  static moves mv;
  tb_model m = {.version = 3, .n_subgraphs = 1, .n_in = 1, .n_out = 1};
  const int32_t axis = 2, where = 0;
  int32_t x = tb_add(&m, "x", TFL_INT8, 3, DIMS(1, 2, 6), 1, 0);
  int32_t s = tb_add(&m, "s", TFL_INT8, 2, DIMS(2, 6), 1, 0), e = tb_add(&m, "e", TFL_INT8, 3, DIMS(1, 2, 6), 1, 0);
  int32_t a = tb_const(&m, "axis", TFL_INT32, 0, NULL, 0, 0, &axis, 4), w = tb_const(&m, "where", TFL_INT32, 0, NULL, 0, 0, &where, 4);
  int32_t p[3];
  for (int k = 0; k < 3; k++) p[k] = tb_add(&m, k == 1 ? "same name" : "part", TFL_INT8, 3, DIMS(1, 2, 2), 1, 0);
  int32_t y = tb_add(&m, "part", TFL_INT8, 3, DIMS(1, 2, 6), 1, 0);
  (void)tb_op_add(&m, TFL_SQUEEZE, 30, x, -2, -2, s);
  (void)tb_op_add(&m, TFL_EXPAND_DIMS, 52, s, w, -2, e);
  tb_op *op = tb_op_add(&m, TFL_SPLIT, 35, a, e, -2, p[0]);
  op->out[1] = p[1], op->out[2] = p[2], op->n_out = 3;
  op = tb_op_add(&m, TFL_CONCATENATION, 10, p[2], p[0], p[1], y);
  tb_opt(op, 0, 4, (uint32_t)-1);
  m.in[0] = x;
  m.out[0] = y;
  for (int32_t r = 0; r < 2; r++)
    for (int32_t k = 0; k < 6; k++) mv.from[mv.n++] = r * 6 + (k + 4) % 6;
  check_model(&m, move_oracle, &mv);
}

/* The shape of a RESHAPE computed by SHAPE, STRIDED_SLICE (its second number) and PACK, with an open batch. */
static void computed_shape(void **state) {
  (void)state;
  static moves mv;
  static const int32_t one = 1, two = 2, rest = -1;
  tb_model m = {.version = 3, .n_subgraphs = 1, .n_in = 1, .n_out = 1};
  int32_t x = tb_add(&m, "x", TFL_INT8, 3, DIMS(1, 3, 4), 1, 0);
  m.t[x].sig = DIMS(-1, 3, 4);
  int32_t sh = tb_add(&m, "shape", TFL_INT32, 1, DIMS(3), 0, 0), b = tb_const(&m, "b", TFL_INT32, 1, DIMS(1), 0, 0, &one, 4);
  int32_t e = tb_const(&m, "e", TFL_INT32, 1, DIMS(1), 0, 0, &two, 4), st = tb_const(&m, "st", TFL_INT32, 1, DIMS(1), 0, 0, &one, 4);
  int32_t n = tb_add(&m, "n", TFL_INT32, 0, NULL, 0, 0), r = tb_const(&m, "rest", TFL_INT32, 0, NULL, 0, 0, &rest, 4);
  int32_t to = tb_add(&m, "to", TFL_INT32, 1, DIMS(2), 0, 0), y = tb_add(&m, "y", TFL_INT8, 2, DIMS(3, 4), 1, 0);
  (void)tb_op_add(&m, TFL_SHAPE, 55, x, -2, -2, sh);
  tb_op *op = tb_op_add(&m, TFL_STRIDED_SLICE, 32, sh, b, e, n);
  op->in[op->n_in++] = st;
  tb_opt(op, 4, 4, 1);
  (void)tb_op_add(&m, TFL_PACK, 59, n, r, -2, to);
  (void)tb_op_add(&m, TFL_RESHAPE, 0, x, to, -2, y);
  m.in[0] = x;
  m.out[0] = y;
  for (int32_t k = 0; k < 12; k++) mv.from[mv.n++] = k;
  check_model(&m, move_oracle, &mv);
}

/* ---- ends, names, opaque operators ------------------------------------------------------------------------------------------------ */

/* float x -> RESHAPE -> QUANTIZE -> FULLY_CONNECTED (identity) -> DEQUANTIZE -> LOG_SOFTMAX. */
static tb_model float_ends(void) {
  static const signed char w[4] = {1, 0, 0, 1};
  tb_model m = {.version = 3, .n_subgraphs = 1, .n_in = 1, .n_out = 1};
  int32_t x = tb_add(&m, "x", TFL_FLOAT32, 2, DIMS(2, 4), 0, 0), r = tb_add(&m, "r", TFL_FLOAT32, 2, DIMS(4, 2), 0, 0);
  int32_t q = tb_add(&m, "q", TFL_INT8, 2, DIMS(4, 2), 0.5f, 3), wt = tb_const(&m, "w", TFL_INT8, 2, DIMS(2, 2), 1, 0, w, 4);
  int32_t y = tb_add(&m, "y", TFL_INT8, 2, DIMS(4, 2), 0.5f, 3), f = tb_add(&m, "f", TFL_FLOAT32, 2, DIMS(4, 2), 0, 0);
  int32_t l = tb_add(&m, "l", TFL_FLOAT32, 2, DIMS(4, 2), 0, 0);
  (void)tb_op_add(&m, TFL_RESHAPE, 0, x, -2, -2, r);
  (void)tb_op_add(&m, TFL_QUANTIZE, 0, r, -2, -2, q);
  (void)tb_op_add(&m, TFL_FULLY_CONNECTED, 8, q, wt, -1, y);
  (void)tb_op_add(&m, TFL_DEQUANTIZE, 0, y, -2, -2, f);
  (void)tb_op_add(&m, TFL_LOG_SOFTMAX, 0, f, -2, -2, l);
  m.in[0] = x;
  m.out[0] = l;
  return m;
}

static void ends(void **state) {
  (void)state;
  tb_model m = float_ends();
  const qv_end want[] = {QV_END_QUANT_AWAY, QV_END_QUANT_AWAY, QV_END_QUANT_INV, QV_END_QUANT_INV};
  for (size_t p = 0; p < N_PROFILES; p++) {
    qv_net *net = load_ok(&m, profiles[p]);
    assert_int_equal(net->in[0].end, want[p]);
    assert_int_equal(net->out[0].end, QV_END_DEQUANT);
    assert_string_equal(net->in[0].name, "x");
    assert_string_equal(net->out[0].name, "l");
    assert_string_equal(net->out[0].tail, "LOG_SOFTMAX");
    assert_int_equal(net->n_notes, 1);
    const qv_tensor *t = &net->tensor[net->in[0].tensor];
    assert_true(t->has_q && t->scale == 0.5f && t->zp == 3 && t->rank == 2 && t->dim[0] == 2 && t->dim[1] == 4);
    int64_t x[8] = {-128, 127, 0, 1, 2, 3, 4, 5}, y[8];
    run(net, (const int64_t *const[]){x}, y);
    assert_memory_equal(x, y, sizeof x);
    qv_net_free(net);
  }
}

/* Data movement between DEQUANTIZE and the output keeps the scale that turns the integers into reals; joining dequantized
 * tensors of two scales is float arithmetic. */
static void moved_ends(void **state) {
  (void)state;
  static const int32_t perm[2] = {1, 0};
  tb_model m = {.version = 3, .n_subgraphs = 1, .n_in = 1, .n_out = 1};
  int32_t x = tb_add(&m, "x", TFL_INT8, 2, DIMS(2, 3), 0.25f, 7), f = tb_add(&m, "f", TFL_FLOAT32, 2, DIMS(2, 3), 0, 0);
  int32_t p = tb_const(&m, "perm", TFL_INT32, 1, DIMS(2), 0, 0, perm, 8), y = tb_add(&m, "y", TFL_FLOAT32, 2, DIMS(3, 2), 0, 0);
  (void)tb_op_add(&m, TFL_DEQUANTIZE, 0, x, -2, -2, f);
  (void)tb_op_add(&m, TFL_TRANSPOSE, 26, f, p, -2, y);
  m.in[0] = x;
  m.out[0] = y;
  qv_net *net = load_ok(&m, NULL);
  const qv_tensor *t = &net->tensor[net->out[0].tensor];
  assert_int_equal(net->out[0].end, QV_END_DEQUANT);
  assert_true(t->has_q && t->scale == 0.25f && t->zp == 7 && t->dim[0] == 3);
  qv_net_free(net);
  net = NULL;
  qv_err err = {0};
  m.op[1] = (tb_op){.code = TFL_CONCATENATION, .opt_type = 10, .n_in = 2, .n_out = 1, .in = {f, f}, .out = {y}};
  tb_opt(&m.op[1], 0, 4, 0);
  m.t[y].dim[0] = 4;
  m.t[y].dim[1] = 3;
  assert_int_equal(load(&net, &m, NULL, &err), QV_E_UNSUP);
  assert_non_null(strstr(err.msg, "float arithmetic"));
}

/* The file may write a result's shape with other dimensions of 1; broadcasting follows the operands. */
static void odd_result_shape(void **state) {
  (void)state;
  static const signed char v[4] = {1, 2, 3, 4};
  tb_model m = {.version = 3, .n_subgraphs = 1, .n_in = 1, .n_out = 1};
  int32_t x = tb_add(&m, "x", TFL_INT8, 2, DIMS(4, 1), 1, 0), c = tb_const(&m, "c", TFL_INT8, 2, DIMS(4, 1), 1, 0, v, 4);
  int32_t y = tb_add(&m, "y", TFL_INT8, 2, DIMS(1, 4), 1, 0);
  (void)tb_op_add(&m, TFL_ADD, 11, x, c, -2, y);
  m.in[0] = x;
  m.out[0] = y;
  qv_net *net = load_ok(&m, NULL);
  int64_t in[4] = {10, 20, 30, 40}, out[4];
  run(net, (const int64_t *const[]){in}, out);
  for (int i = 0; i < 4; i++) assert_int_equal(out[i], in[i] + v[i]);
  qv_net_free(net);
}

/* An operator that is not supported, between two that are. */
static tb_model with_unsupported(int32_t code, const char *custom) {
  tb_model m = {.version = 3, .n_subgraphs = 1, .n_in = 1, .n_out = 1};
  int32_t x = tb_add(&m, "x", TFL_INT8, 2, DIMS(1, 4), 1, 0), a = tb_add(&m, "a", TFL_INT8, 2, DIMS(1, 4), 1, 0);
  int32_t b = tb_add(&m, "b", TFL_INT8, 2, DIMS(1, 6), 1, 0), y = tb_add(&m, "y", TFL_INT8, 2, DIMS(6, 1), 1, 0);
  (void)tb_op_add(&m, TFL_RELU, 0, x, -2, -2, a);
  tb_op_add(&m, code, 0, a, -2, -2, b)->custom = custom;
  (void)tb_op_add(&m, TFL_RESHAPE, 0, b, -2, -2, y);
  m.in[0] = x;
  m.out[0] = y;
  return m;
}

static void opaque(void **state) {
  (void)state;
  tb_model m = with_unsupported(TFL_CUSTOM, "my op");
  qv_net *net = NULL;
  qv_err err = {0};
  assert_int_equal(load(&net, &m, NULL, &err), QV_E_UNSUP);
  assert_non_null(strstr(err.msg, "operator 1 (my op), tensor 2 'b' (INT8)"));
  memset(&err, 0, sizeof err);
  assert_int_equal(load(&net, &m, &(qv_load_opts){.opaque = true}, &err), QV_OK);
  assert_int_equal(err.code, QV_OK);
  assert_int_equal(net->n_nodes, 3);
  assert_int_equal(net->node[1].kind, QV_OPAQUE);
  assert_int_equal(net->tensor[net->node[1].out].lo, -128);
  assert_int_equal(net->tensor[net->node[1].out].hi, 127);
  assert_int_equal(net->n_notes, 1);
  assert_non_null(strstr(net->note[0], "my op"));
  qv_net_free(net);
  net = NULL;
  m.t[2].type = TFL_FLOAT32; /* float results stay refused */
  assert_int_equal(load(&net, &m, &(qv_load_opts){.opaque = true}, &err), QV_E_UNSUP);
  assert_null(net);
  memset(&err, 0, sizeof err);
  m.t[2].type = TFL_INT8;
  m.op[1].in[0] = 99; /* inconsistent files stay refused as such */
  assert_int_equal(load(&net, &m, &(qv_load_opts){.opaque = true}, &err), QV_E_PARSE);
  assert_non_null(strstr(err.msg, "tensor number 99 is out of range"));
}

/* A supported operator in an unsupported form becomes opaque too, and what it had put into the net is taken back. */
static void opaque_form(void **state) {
  (void)state;
  static const signed char w[4] = {1, 2, 3, 4};
  tb_model m = {.version = 3, .n_subgraphs = 1, .n_in = 1, .n_out = 1};
  int32_t x = tb_add(&m, "x", TFL_INT8, 4, DIMS(1, 1, 1, 2), 1, 0), wt = tb_const(&m, "w", TFL_INT8, 4, DIMS(2, 1, 1, 2), 1, 5, w, 4);
  int32_t y = tb_add(&m, "y", TFL_INT8, 4, DIMS(1, 1, 1, 2), 1, 0);
  tb_op *op = tb_op_add(&m, TFL_CONV_2D, 1, x, wt, -1, y); /* weight zero point 5 */
  tb_opt(op, 1, 4, 1);
  tb_opt(op, 2, 4, 1);
  m.in[0] = x;
  m.out[0] = y;
  qv_net *net = NULL;
  qv_err err = {0};
  assert_int_equal(load(&net, &m, NULL, &err), QV_E_UNSUP);
  memset(&err, 0, sizeof err);
  if (load(&net, &m, &(qv_load_opts){.opaque = true}, &err) != QV_OK) fail_msg("%s", err.msg);
  assert_int_equal(net->n_nodes, 1);
  assert_int_equal(net->node[0].kind, QV_OPAQUE);
  qv_net_free(net);
}

/* What a refused operator had put into the net before it gave up is taken back: CONCATENATION rescales its first operand,
 * then meets one whose scale is beyond any kernel. */
static void opaque_rollback(void **state) {
  (void)state;
  tb_model m = {.version = 3, .n_subgraphs = 1, .n_in = 2, .n_out = 1};
  int32_t a = tb_add(&m, "a", TFL_UINT8, 2, DIMS(1, 2), 0.5f, 3), b = tb_add(&m, "b", TFL_UINT8, 2, DIMS(1, 2), 1e30f, 3);
  int32_t y = tb_add(&m, "y", TFL_UINT8, 2, DIMS(1, 4), 1, 3);
  tb_opt(tb_op_add(&m, TFL_CONCATENATION, 10, a, b, -2, y), 0, 4, 1);
  m.in[0] = a;
  m.in[1] = b;
  m.out[0] = y;
  qv_net *net = NULL;
  qv_err err = {0};
  qv_load_opts opts = {.profile = "tflite-ruy-x86"};
  assert_int_equal(load(&net, &m, &opts, &err), QV_E_UNSUP);
  assert_non_null(strstr(err.msg, "'b' (UINT8): the rescaling factor is too large"));
  memset(&err, 0, sizeof err);
  opts.opaque = true;
  if (load(&net, &m, &opts, &err) != QV_OK) fail_msg("%s", err.msg);
  assert_int_equal(net->n_nodes, 1);
  assert_int_equal(net->node[0].kind, QV_OPAQUE);
  assert_int_equal(net->n_tensors, 3);
  qv_net_free(net);
}

/* One float input behind two QUANTIZE operators: the same tensor if they agree, else refused. */
static void quantized_twice(void **state) {
  (void)state;
  tb_model m = {.version = 3, .n_subgraphs = 1, .n_in = 1, .n_out = 1};
  int32_t x = tb_add(&m, "x", TFL_FLOAT32, 2, DIMS(1, 8), 0, 0), p = tb_add(&m, "p", TFL_INT8, 2, DIMS(1, 8), 0.5f, 1);
  int32_t q = tb_add(&m, "q", TFL_INT8, 2, DIMS(1, 8), 0.5f, 1), y = tb_add(&m, "y", TFL_INT8, 2, DIMS(1, 8), 0.5f, 1);
  (void)tb_op_add(&m, TFL_QUANTIZE, 0, x, -2, -2, p);
  (void)tb_op_add(&m, TFL_QUANTIZE, 0, x, -2, -2, q);
  (void)tb_op_add(&m, TFL_ADD, 11, p, q, -2, y);
  m.in[0] = x;
  m.out[0] = y;
  qv_net *net = load_ok(&m, NULL);
  assert_int_equal(net->n_in, 1);
  qv_net_free(net);
  net = NULL;
  qv_err err = {0};
  m.t[q].scale[0] = 0.25f;
  assert_int_equal(load(&net, &m, NULL, &err), QV_E_UNSUP);
  assert_non_null(strstr(err.msg, "quantized in two ways"));
}

/* A field of an options table that points outside the table is damage, whatever the operator made of its default. */
static void damaged_options(void **state) {
  (void)state;
  tb_model m = {.version = 3, .n_subgraphs = 1, .n_in = 1, .n_out = 1};
  int32_t x = tb_add(&m, "x", TFL_INT8, 2, DIMS(1, 8), 0.5f, 1), y = tb_add(&m, "y", TFL_INT8, 2, DIMS(1, 8), 0x1p-8f, -128);
  tb_opt_f32(tb_op_add(&m, TFL_SOFTMAX, 9, x, -2, -2, y), 0, 1);
  m.in[0] = x;
  m.out[0] = y;
  qv_buf b = {0};
  tb_build(&b, &m);
  size_t hits = 0;
  for (size_t at = 0; at + 8 <= b.n; at++) { /* the only vtable with one field at offset 8 of a 16-byte table: beta's */
    const unsigned char vt[6] = {6, 0, 16, 0, 8, 0};
    if (memcmp(b.p + at, vt, 6) != 0) continue;
    b.p[at + 4] = 14; /* four bytes at 14 leave the table */
    qv_net *net = NULL;
    qv_err err = {0};
    qv_status st = read_copy(&net, b.p, b.n, NULL, &err);
    if (st != QV_OK) {
      assert_int_equal(st, QV_E_PARSE);
      assert_int_equal(err.code, QV_E_PARSE);
      assert_non_null(strstr(err.msg, "a field lies outside its table"));
      hits++;
    }
    qv_net_free(net);
    b.p[at + 4] = 8;
  }
  assert_true(hits >= 1);
  qv_buf_free(&b);
}

/* ---- one mistake per file ------------------------------------------------------------------------------------------------------------ */

/* CONV_2D (2x2, SAME) -> MAX_POOL_2D -> FULLY_CONNECTED -> SOFTMAX. */
enum { X, WC, BC, C, P, WF, BF, F, Y };

static tb_model base(void) {
  static const signed char w[24] = {1, -1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5};
  static const int32_t b[3] = {10, -20, 30};
  tb_model m = {.version = 3, .n_subgraphs = 1, .n_in = 1, .n_out = 1};
  tb_add(&m, "input", TFL_INT8, 4, DIMS(1, 4, 4, 2), 0.5f, -1);
  tb_const(&m, "conv/weights", TFL_INT8, 4, DIMS(3, 2, 2, 2), 0.25f, 0, w, 24);
  tb_const(&m, "conv/bias", TFL_INT32, 1, DIMS(3), 0.125f, 0, b, 12);
  tb_add(&m, "conv", TFL_INT8, 4, DIMS(1, 4, 4, 3), 1, 2);
  tb_add(&m, "pool", TFL_INT8, 4, DIMS(1, 2, 2, 3), 1, 2);
  tb_const(&m, "fc/weights", TFL_INT8, 2, DIMS(2, 12), 0.25f, 0, w, 24);
  tb_const(&m, "fc/bias", TFL_INT32, 1, DIMS(2), 0.25f, 0, b, 8);
  tb_add(&m, "fc", TFL_INT8, 2, DIMS(1, 2), 1, 0);
  tb_add(&m, "output", TFL_INT8, 2, DIMS(1, 2), 0x1p-8f, -128);
  tb_op *op = tb_op_add(&m, TFL_CONV_2D, 1, X, WC, BC, C);
  tb_opt(op, 0, 1, 0);
  tb_opt(op, 1, 4, 1);
  tb_opt(op, 2, 4, 1);
  tb_opt(op, 3, 1, 1);
  op = tb_op_add(&m, TFL_MAX_POOL_2D, 5, C, -2, -2, P);
  for (unsigned k = 1; k < 5; k++) tb_opt(op, k, 4, 2);
  (void)tb_op_add(&m, TFL_FULLY_CONNECTED, 8, P, WF, BF, F);
  op = tb_op_add(&m, TFL_SOFTMAX, 9, F, -2, -2, Y);
  tb_opt_f32(op, 0, 1);
  m.in[0] = X;
  m.out[0] = Y;
  return m;
}

/* The convolution becomes a RESHAPE of the input to [a,b], given by a constant operand. */
static void reshape_to(tb_model *m, int32_t a, int32_t b) {
  static int32_t to[2];
  to[0] = a;
  to[1] = b;
  m->t[BC] = (tb_tensor){.name = "shape", .type = TFL_INT32, .rank = 1, .dim = {2}, .data = to, .n_data = sizeof to};
  m->op[0] = (tb_op){.code = TFL_RESHAPE, .n_in = 2, .in = {X, BC}, .n_out = 1, .out = {C}};
}

static const int32_t other_signature[] = {1, 4, 5, 2};

/* tests/zoo/tflite/cases.def: ZOO(name, statements that spoil *m, status, text that the message must contain). */
#define ZOO(name, spoil, status, text)                                                                                                     \
  static void zoo_##name(tb_model *m) { spoil; }
#include "tests/zoo/tflite/cases.def"
#undef ZOO

static const struct {
  const char *name;
  void (*spoil)(tb_model *m);
  qv_status status;
  const char *text;
} zoo[] = {
#define ZOO(name, spoil, status, text) {#name, zoo_##name, status, text},
#include "tests/zoo/tflite/cases.def"
#undef ZOO
};

static void error_zoo(void **state) {
  (void)state;
  tb_model m = base();
  qv_net_free(load_ok(&m, NULL));
  size_t wrong = 0;
  for (size_t i = 0; i < sizeof zoo / sizeof *zoo; i++) {
    qv_net *net = NULL;
    qv_err err = {0};
    m = base();
    zoo[i].spoil(&m);
    qv_status st = load(&net, &m, NULL, &err);
    if (st == zoo[i].status && st == err.code && net == NULL && strstr(err.msg, zoo[i].text) != NULL &&
        strncmp(err.msg, "model.tflite", 12) == 0)
      continue;
    print_error("%s: %s: %s\n", zoo[i].name, qv_status_name(st), err.msg);
    qv_net_free(net);
    wrong++;
  }
  assert_int_equal(wrong, 0);
}

static void profiles_are_named(void **state) {
  (void)state;
  tb_model m = base();
  qv_net *net = NULL;
  qv_err err = {0};
  assert_int_equal(load(&net, &m, &(qv_load_opts){.profile = "no such thing"}, &err), QV_E_ARG);
  assert_non_null(strstr(err.msg, "no such thing"));
  net = load_ok(&m, "cmsis");
  assert_string_equal(net->profile, "tflite-double");
  assert_string_equal(net->format, "tflite");
  qv_net_free(net);
}

/* ---- damaged files --------------------------------------------------------------------------------------------------------------------- */

/* Either a sensible refusal or a net that the reference can run. */
static void survives(const unsigned char *p, size_t n) {
  qv_net *net = NULL;
  qv_err err = {0};
  qv_status st = read_copy(&net, p, n, NULL, &err);
  assert_int_equal(st, err.code);
  if (st != QV_OK) {
    assert_null(net);
    assert_true(err.msg[0] != 0);
    assert_true(st == QV_E_PARSE || st == QV_E_UNSUP || st == QV_E_RANGE || st == QV_E_NOMEM);
    return;
  }
  qv_err again = {0};
  assert_int_equal(qv_ir_check(net, &again), QV_OK);
  qv_net_free(net);
}

/* Prefixes: refused, or (when only padding is missing) the same net. */
static void truncated(const unsigned char *p, size_t n, size_t step) {
  for (size_t k = 0; k < n; k += step) survives(p, k);
}

static void damaged(const unsigned char *p, size_t n, size_t rounds) {
  unsigned char *q = malloc(n);
  assert_non_null(q);
  for (size_t r = 0; r < rounds; r++) {
    memcpy(q, p, n);
    for (int k = rnd(1, 3); k > 0; k--) {
      size_t at = (size_t)rnd(0, (int32_t)n - 1);
      const unsigned char edgy[] = {0, 1, 0x7f, 0x80, 0xff, (unsigned char)rnd(0, 255)};
      q[at] = edgy[rnd(0, 5)];
    }
    survives(q, n);
  }
  free(q);
}

static void damage_base(void **state) {
  (void)state;
  tb_model m[2] = {base(), float_ends()};
  for (int k = 0; k < 2; k++) {
    qv_buf b = {0};
    tb_build(&b, &m[k]);
    truncated(b.p, b.n, 1);
    damaged(b.p, b.n, 6000 * mult());
    qv_buf_free(&b);
  }
}

static void damage_file(const char *path, size_t step) {
  qv_buf b = {0};
  qv_err err = {0};
  if (qv_file_read(&b, path, 1 << 20, &err) != QV_OK) {
    print_message("SKIPPED: %s\n", err.msg);
    skip();
  }
  qv_net *net = NULL;
  if (read_copy(&net, b.p, b.n, NULL, &err) != QV_OK) fail_msg("%s", err.msg);
  qv_net_free(net);
  truncated(b.p, b.n, step);
  damaged(b.p, b.n, 1500 * mult());
  qv_buf_free(&b);
}

static void damage_example(void **state) {
  (void)state;
  damage_file("examples/shapes/shapes.tflite", 1);
}

static void damage_real(void **state) {
  (void)state;
  char path[512];
  const char *dir = getenv("QV_DATA");
  (void)snprintf(path, sizeof path, "%s/tflite/tflm/hello_world_int8.tflite", dir != NULL ? dir : "../shared/data");
  damage_file(path, 1);
}

/* Memory limits from nothing up to enough: QV_E_NOMEM each time, nothing leaks, then success. */
static void short_memory(void **state) {
  (void)state;
  tb_model m = base();
  size_t limit = 64, failures = 0;
  for (;; limit += 64) {
    qv_net *net = NULL;
    qv_err err = {0};
    qv_status st = load(&net, &m, &(qv_load_opts){.max_bytes = limit}, &err);
    if (st == QV_OK) {
      qv_net_free(net);
      break;
    }
    assert_int_equal(st, QV_E_NOMEM);
    assert_null(net);
    failures++;
    assert_true(limit < 1 << 20);
  }
  assert_true(failures > 20);
}

int main(void) {
  print_message("seed %llu\n", (unsigned long long)rng.s);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(convolutions),    cmocka_unit_test(int4_weights),     cmocka_unit_test(pooling),
      cmocka_unit_test(means),           cmocka_unit_test(arithmetic),       cmocka_unit_test(movement),
      cmocka_unit_test(split_concat),    cmocka_unit_test(computed_shape),   cmocka_unit_test(ends),
      cmocka_unit_test(moved_ends),      cmocka_unit_test(odd_result_shape), cmocka_unit_test(opaque),
      cmocka_unit_test(opaque_form),     cmocka_unit_test(opaque_rollback),  cmocka_unit_test(quantized_twice),
      cmocka_unit_test(damaged_options), cmocka_unit_test(error_zoo),        cmocka_unit_test(profiles_are_named),
      cmocka_unit_test(damage_base),     cmocka_unit_test(damage_example),   cmocka_unit_test(damage_real),
      cmocka_unit_test(short_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
