/* The fixed-point text nets: the lowered net against the format's own formula, against published results on MNIST, and
 * one file per mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "frontend/array.h"
#include "frontend/load.h"
#include "ir/base/buf.h"
#include "ir/base/rng.h"
#include "kernels/ref.h"

static size_t mult(void) {
  const char *s = getenv("QV_TEST_MULT");
  long m = s != NULL ? strtol(s, NULL, 10) : 1;
  return m > 1 ? (size_t)m : 1;
}

/* Parse an exact-size heap copy, so that a sanitizer sees one byte too many. */
static qv_status parse(qv_net **net, const char *text, size_t n, qv_err *err) {
  char *p = malloc(n > 0 ? n : 1);
  assert_non_null(p);
  if (n > 0) memcpy(p, text, n);
  qv_status st = qv_qtxt_read(net, p, n, "dir/F.qtxt", err);
  free(p);
  return st;
}

static qv_net *parse_ok(const char *text, size_t n) {
  qv_net *net = NULL;
  qv_err err = {0};
  if (parse(&net, text, n, &err) != QV_OK) fail_msg("%s", err.msg);
  assert_non_null(net);
  return net;
}

static void run(const qv_net *net, qv_values *v, const int64_t *x, int64_t *y) {
  qv_err err = {0};
  memcpy(v->v[net->in[0].tensor], x, qv_elems(&net->tensor[net->in[0].tensor]) * sizeof *x);
  if (qv_ref_run(net, v, &err) != QV_OK) fail_msg("%s", err.msg);
  memcpy(y, v->v[net->out[0].tensor], qv_elems(&net->tensor[net->out[0].tensor]) * sizeof *y);
}

/* ---- by hand ----------------------------------------------------------------------------------------------------------- */

static const char tiny[] = "# comment\nname tiny\ninput 2 0 255\nlayers 2\n"
                           "layer 2 3 shift 9 clamp 0 15\nbias 512 -256 0\n100 -7 1\n20 30 -2\n"
                           "layer 3 2 shift 3 clamp -8 7\nbias 8 -4\n1 -1\n2 3\n-3 0\n";

static void lowers_tiny(void **state) {
  (void)state;
  qv_net *net = parse_ok(tiny, sizeof tiny - 1);
  assert_string_equal(net->source, "F.qtxt");
  assert_string_equal(net->format, "qtxt");
  assert_string_equal(net->profile, "");
  assert_int_equal(strlen(net->sha256), 64);
  assert_int_equal(net->n_nodes, 4);
  assert_int_equal(net->n_in, 1);
  assert_int_equal(net->n_out, 1);
  const qv_tensor *x = &net->tensor[net->in[0].tensor], *y = &net->tensor[net->out[0].tensor];
  assert_int_equal(x->type, QV_U8);
  assert_int_equal(x->lo, 0);
  assert_int_equal(x->hi, 255);
  assert_int_equal(qv_elems(x), 2);
  assert_int_equal(y->type, QV_I8);
  assert_int_equal(y->lo, -8);
  assert_int_equal(y->hi, 7);
  assert_int_equal(qv_elems(y), 2);
  assert_int_equal(net->in[0].end, QV_END_INT);
  assert_int_equal(net->out[0].end, QV_END_INT);
  const qv_node *a = &net->node[0];
  static const int32_t w[] = {100, 20, -7, 30, 1, -2}; /* [oc][ic] */
  static const int64_t b[] = {512, -256, 0};
  assert_int_equal(a->kind, QV_AFFINE);
  assert_memory_equal(a->u.affine.w, w, sizeof w);
  assert_memory_equal(a->u.affine.b, b, sizeof b);
  assert_int_equal(a->u.affine.acc.mode, QV_ACC_EXACT);
  assert_int_equal(net->tensor[a->out].type, QV_I32);
  assert_int_equal(net->tensor[a->out].lo, 512 - 256 - 7 * 255 < -2 * 255 ? 0 - 256 - 7 * 255 : -2 * 255);
  assert_int_equal(net->tensor[a->out].hi, 512 + 120 * 255);
  assert_int_equal(net->node[1].kind, QV_STEP);
  assert_int_equal(net->node[1].u.step.par[0].fn, QV_RQ_S);
  assert_int_equal(net->node[1].u.step.par[0].m, 1);
  assert_int_equal(net->node[1].u.step.par[0].sh, 31 - 9);
  assert_int_equal(net->node[3].u.step.par[0].sh, 31 - 3);
  assert_int_equal(net->node[2].layer, 1);
  /* x = (10, 200): acc 512+1000+4000 = 5512, -256-70+6000 = 5674, 10-400 = -390; (acc+256)>>9: 11, 11, -1 -> 11, 11, 0.
   * then 8+11+22-0 = 41, -4-11+33 = 18; (acc+4)>>3: 5, 2. */
  qv_values v;
  int64_t out[2];
  assert_int_equal(qv_values_init(&v, net, NULL), QV_OK);
  run(net, &v, (const int64_t[]){10, 200}, out);
  assert_int_equal(v.v[net->node[0].out][0], 5512);
  assert_int_equal(v.v[net->node[0].out][1], 5674);
  assert_int_equal(v.v[net->node[0].out][2], -390);
  assert_int_equal(v.v[net->node[1].out][0], 11);
  assert_int_equal(v.v[net->node[1].out][1], 11);
  assert_int_equal(v.v[net->node[1].out][2], 0);
  assert_int_equal(out[0], 5);
  assert_int_equal(out[1], 2);
  qv_values_clear(&v);
  qv_net_free(net);
}

/* Ties of the rounding: half up, also for negative sums. */
static void rounds_half_up(void **state) {
  (void)state;
  static const char text[] = "input 1 -100 100\nlayer 1 1 shift 2 clamp -100 100\nbias 0\n1\n";
  static const int64_t in[] = {-7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 5, 6}, want[] = {-2, -1, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 2};
  qv_net *net = parse_ok(text, sizeof text - 1);
  qv_values v;
  assert_int_equal(qv_values_init(&v, net, NULL), QV_OK);
  for (size_t i = 0; i < sizeof in / sizeof *in; i++) {
    int64_t y;
    run(net, &v, &in[i], &y);
    if (y != want[i]) fail_msg("%lld: %lld, expected %lld", (long long)in[i], (long long)y, (long long)want[i]);
  }
  qv_values_clear(&v);
  qv_net_free(net);
}

static void input_types(void **state) {
  (void)state;
  static const struct { int64_t lo, hi; qv_dtype type; } cases[] = {
      {0, 255, QV_U8},      {0, 127, QV_U8},        {0, 0, QV_U8},           {-1, 127, QV_I8},           {-128, -128, QV_I8},
      {0, 256, QV_U16},     {0, 65535, QV_U16},     {-1, 128, QV_I16},       {-32768, 32767, QV_I16},    {0, 65536, QV_I32},
      {-1, 32768, QV_I32},  {-129, 0, QV_I16},      {0, 2147483647, QV_I32}, {0, 2147483648, QV_I64},    {-2147483649, 0, QV_I64}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[256];
    int n = snprintf(text, sizeof text, "input 1 %lld %lld\nlayer 1 1 shift 1 clamp 0 1\nbias 0\n1\n", (long long)cases[i].lo,
                     (long long)cases[i].hi);
    qv_net *net = parse_ok(text, (size_t)n);
    const qv_tensor *x = &net->tensor[net->in[0].tensor];
    if (x->type != cases[i].type) fail_msg("[%lld,%lld]: %s", (long long)cases[i].lo, (long long)cases[i].hi, qv_dtype_name(x->type));
    assert_int_equal(x->lo, cases[i].lo);
    assert_int_equal(x->hi, cases[i].hi);
    qv_net_free(net);
  }
}

static void corpus_is_good(void **state) {
  (void)state;
  static const char *const names[] = {"two_layers", "bare_crlf", "wide"};
  for (size_t i = 0; i < 3; i++) {
    char path[128];
    qv_buf b = {0};
    qv_err err = {0};
    (void)snprintf(path, sizeof path, "tests/corpus/qtxt/%s.qtxt", names[i]);
    if (qv_file_read(&b, path, 1 << 20, &err) != QV_OK) fail_msg("%s (run from the source directory)", err.msg);
    qv_net_free(parse_ok((const char *)b.p, b.n));
    qv_buf_free(&b);
  }
}

/* ---- random nets against the formula ------------------------------------------------------------------------------------- */

enum { MAX_N = 9, MAX_LAYERS = 4 };

typedef struct {
  int64_t n[MAX_LAYERS + 1], shift[MAX_LAYERS], lo[MAX_LAYERS], hi[MAX_LAYERS], b[MAX_LAYERS][MAX_N], w[MAX_LAYERS][MAX_N][MAX_N];
  size_t layers;
} plain;

static void random_plain(plain *p, qv_rng *r) {
  p->layers = (size_t)qv_rng_range(r, 1, MAX_LAYERS);
  for (size_t l = 0; l <= p->layers; l++) p->n[l] = qv_rng_range(r, 1, MAX_N);
  for (size_t l = 0; l < p->layers; l++) {
    int64_t wmax = (int64_t)1 << qv_rng_range(r, 0, 12);
    p->shift[l] = qv_rng_range(r, 1, qv_rng_next(r) % 8 == 0 ? 62 : 14);
    p->lo[l] = qv_rng_range(r, -300, 300);
    p->hi[l] = qv_rng_range(r, p->lo[l], 600);
    for (int64_t o = 0; o < p->n[l + 1]; o++) {
      p->b[l][o] = qv_rng_range(r, -5000, 5000);
      for (int64_t i = 0; i < p->n[l]; i++) p->w[l][i][o] = qv_rng_range(r, -wmax, wmax);
    }
  }
}

static void print_plain(qv_buf *b, const plain *p, int64_t lo, int64_t hi) {
  qv_buf_printf(b, "input %lld %lld %lld\n", (long long)p->n[0], (long long)lo, (long long)hi);
  for (size_t l = 0; l < p->layers; l++) {
    qv_buf_printf(b, "layer %lld %lld shift %lld clamp %lld %lld\nbias", (long long)p->n[l], (long long)p->n[l + 1],
                  (long long)p->shift[l], (long long)p->lo[l], (long long)p->hi[l]);
    for (int64_t o = 0; o < p->n[l + 1]; o++) qv_buf_printf(b, " %lld", (long long)p->b[l][o]);
    for (int64_t i = 0; i < p->n[l]; i++) {
      qv_buf_str(b, "\n");
      for (int64_t o = 0; o < p->n[l + 1]; o++) qv_buf_printf(b, "%s%lld", o > 0 ? " " : "", (long long)p->w[l][i][o]);
    }
    qv_buf_str(b, "\n");
  }
  assert_false(b->failed);
}

/* The format's definition, word for word; sums here stay below 2^40, so 2^(s-1) is added only when it fits. */
static void formula(const plain *p, const int64_t *x, int64_t *y) {
  int64_t cur[MAX_N], next[MAX_N];
  memcpy(cur, x, sizeof cur);
  for (size_t l = 0; l < p->layers; l++) {
    for (int64_t o = 0; o < p->n[l + 1]; o++) {
      int64_t acc = p->b[l][o], d = (int64_t)1 << p->shift[l];
      for (int64_t i = 0; i < p->n[l]; i++) acc += p->w[l][i][o] * cur[i];
      int64_t v = acc + d / 2, q = v / d - (v % d < 0);
      next[o] = q < p->lo[l] ? p->lo[l] : q > p->hi[l] ? p->hi[l] : q;
    }
    memcpy(cur, next, sizeof cur);
  }
  memcpy(y, cur, sizeof cur);
}

static void random_nets(void **state) {
  (void)state;
  uint64_t seed = 4711;
  qv_rng r = {seed};
  print_message("seed %llu\n", (unsigned long long)seed);
  for (size_t round = 0; round < 300 * mult(); round++) {
    plain p;
    qv_buf b = {0};
    qv_values v;
    int64_t lo = qv_rng_range(&r, -200, 200), hi = qv_rng_range(&r, lo, 400), x[MAX_N] = {0}, want[MAX_N], got[MAX_N];
    random_plain(&p, &r);
    print_plain(&b, &p, lo, hi);
    qv_net *net = parse_ok((const char *)b.p, b.n);
    assert_int_equal(qv_values_init(&v, net, NULL), QV_OK);
    for (int k = 0; k < 20; k++) {
      for (int64_t i = 0; i < p.n[0]; i++) x[i] = k == 0 ? lo : k == 1 ? hi : qv_rng_range(&r, lo, hi);
      formula(&p, x, want);
      run(net, &v, x, got);
      assert_memory_equal(got, want, (size_t)p.n[p.layers] * sizeof *got);
    }
    qv_values_clear(&v);
    qv_net_free(net);
    qv_buf_free(&b);
  }
}

/* ---- mistakes --------------------------------------------------------------------------------------------------------------- */

static void zoo(void **state) {
  (void)state;
#define IN "input 1 0 9\n"
#define LAYER "layer 1 2 shift 3 clamp 0 7\n"
  static const struct { const char *in; int64_t line; const char *text; } cases[] = {
      {"", 0, "no 'input'"},
      {"# only a comment\n", 1, "no 'input'"},
      {IN, 1, "no 'layer'"},
      {"hello\n", 1, "expected 'name', 'input', 'layers' or 'layer', found 'hello'"},
      {"\xff\x01\n", 1, "found '\?\?'"},
      {"inputs 1 0 9\n", 1, "found 'inputs'"},
      {"input\n", 1, "expected the number of inputs, found the end of the line"},
      {"input 0 0 9\n", 1, "the number of inputs is 0, outside [1,268435456]"},
      {"input -1 0 9\n", 1, "the number of inputs is -1"},
      {"input 268435457 0 9\n", 1, "outside [1,268435456]"},
      {"input 1 0\n", 1, "expected the largest input value, found the end"},
      {"input 1 9 0\n", 1, "input range [9,0] is empty"},
      {"input 1 0 9 9\n", 1, "end of the line after the input range, found '9'"},
      {"input 1 0 9x\n", 1, "found '9x'"},
      {"input 1 0 +9\n", 1, "found '+9'"},
      {"input 1 0 0x9\n", 1, "found '0x9'"},
      {"input 1 0 9.0\n", 1, "(an integer), found '9.0'"},
      {"input 1 - 9\n", 1, "found '-'"},
      {"input 1 --1 9\n", 1, "found '--1'"},
      {"input 1 0 9223372036854775808\n", 1, "the largest input value is 9223372036854775808, outside"},
      {"input 1 -9223372036854775809 0\n", 1, "the smallest input value is -9223372036854775809"},
      {"input 1 0 99999999999999999999999999999999999999999\n", 1, "outside"},
      {IN IN, 2, "a second 'input'"},
      {"name a\nname b\n", 2, "a second 'name'"},
      {"name\n", 1, "expected a name"},
      {"name a b\n", 1, "after the name, found 'b'"},
      {"layers 1\nlayers 1\n", 2, "a second 'layers'"},
      {"layers 0\n", 1, "the number of layers is 0"},
      {"layers 1 1\n", 1, "after the number of layers, found '1'"},
      {LAYER, 1, "expected 'input' before the first layer"},
      {IN "layer\n", 2, "expected the number of layer inputs"},
      {IN "layer 1 0 shift 3 clamp 0 7\n", 2, "the number of layer outputs is 0"},
      {IN "layer 2 2 shift 3 clamp 0 7\n", 2, "layer with 2 inputs after an input of 1"},
      {IN "layer 1 2 3 clamp 0 7\n", 2, "expected 'shift', found '3'"},
      {IN "layer 1 2 shift 0 clamp 0 7\n", 2, "the shift is 0, outside [1,62]"},
      {IN "layer 1 2 shift 63 clamp 0 7\n", 2, "the shift is 63, outside [1,62]"},
      {IN "layer 1 2 shift -1 clamp 0 7\n", 2, "the shift is -1"},
      {IN "layer 1 2 shift 3 clam 0 7\n", 2, "expected 'clamp', found 'clam'"},
      {IN "layer 1 2 shift 3 clamps 0 7\n", 2, "expected 'clamp', found 'clamps'"},
      {IN "layer 1 2 shift 3 clamp 0\n", 2, "expected the upper clamp"},
      {IN "layer 1 2 shift 3 clamp 7 0\n", 2, "clamp range [7,0] is empty"},
      {IN "layer 1 2 shift 3 clamp 0 7 8\n", 2, "after the clamp range, found '8'"},
      {IN "layer 1 2 shift 3", 2, "expected 'clamp', found 'the end of the line'"},
      {IN LAYER, 2, "a layer of 1 x 2 weights, but only 0 characters follow"},
      {IN "layer 1 268435456 shift 3 clamp 0 7\nbias 1 2\n1 2\n", 2, "a layer of 1 x 268435456 weights, but only 13 characters follow"},
      {IN LAYER "1 2\n1 2\n1\n", 3, "expected 'bias', found '1'"},
      {IN LAYER "bias 1\n1 2\n", 3, "expected a bias, found the end of the line"},
      {IN LAYER "bias 1 2 3\n1 2\n", 3, "after the last bias, found '3'"},
      {IN LAYER "bias 1 9223372036854775808\n1 2\n", 3, "a bias is 9223372036854775808"},
      {IN LAYER "bias 1 184467440737095516160\n1 2\n", 3, "a bias is 184467440737095516160"}, /* small again modulo 2^64 */
      {IN LAYER "bias 1 2\n", 3, "expected row 1 of 1 weight rows, found the end of the file"},
      {IN LAYER "bias 1 2\n\n#\n", 5, "expected row 1 of 1 weight rows, found the end of the file"},
      {IN LAYER "bias 1 2\n1\n2\n", 4, "expected a weight, found the end of the line"},
      {IN LAYER "bias 1 2\n1 2 3\n", 4, "after the last weight of a row, found '3'"},
      {IN LAYER "bias 1 2\n1 2 # end\n", 4, "after the last weight of a row, found '#'"},
      {IN LAYER "bias 1 2\n1 2147483648\n", 4, "a weight is 2147483648, outside [-2147483648,2147483647]"},
      {IN LAYER "bias 1 2\n1 -2147483649\n", 4, "a weight is -2147483649"},
      {IN LAYER "bias 1 2\n1 b\n", 4, "expected a weight (an integer), found 'b'"},
      {IN LAYER "bias 1 2\n1 2\n1 2\n", 5, "expected 'layer' or the end of the file, found '1'"},
      {IN LAYER "bias 1 2\n1 2\n" IN, 5, "'input' after the first layer"},
      {IN LAYER "bias 1 2\n1 2\nlayers 1\n", 5, "'layers' after the first layer"},
      {IN LAYER "bias 1 2\n1 2\nlayer 3 1 shift 1 clamp 0 1\n", 5, "layer with 3 inputs after a layer of 2"},
      {IN "layers 2\n" LAYER "bias 1 2\n1 2\n", 5, "the file promises 2 layers and has 1"},
      {IN "layers 1\n" LAYER "bias 1 2\n1 2\nlayer 2 1 shift 1 clamp 0 1\nbias 0\n1\n1\n", 9, "promises 1 layers and has 2"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    qv_net *net = NULL;
    qv_err err = {0};
    char at[64];
    qv_status st = parse(&net, cases[i].in, strlen(cases[i].in), &err);
    (void)snprintf(at, sizeof at, "dir/F.qtxt:%lld: ", (long long)cases[i].line);
    if (st != QV_E_PARSE || err.code != st || err.line != cases[i].line || strncmp(err.msg, at, strlen(at)) != 0 ||
        strstr(err.msg, cases[i].text) == NULL || net != NULL)
      fail_msg("case %zu: expected line %lld '%s', got %s line %lld '%s'", i, (long long)cases[i].line, cases[i].text, qv_status_name(st),
               (long long)err.line, err.msg);
  }
}

/* Ranges that the check refuses: sums that could leave 62 bits. */
static void ranges(void **state) {
  (void)state;
  static const char *const bad[] = {
      "input 1 0 4611686018427387904\nlayer 1 1 shift 1 clamp 0 1\nbias 0\n2\n",
      "input 1 0 1\nlayer 1 1 shift 1 clamp 0 1\nbias 4611686018427387905\n0\n",
      "input 1 0 4611686018427387905\nlayer 1 1 shift 1 clamp 0 1\nbias 0\n0\n",
      "input 1 0 1\nlayer 1 1 shift 1 clamp 0 4611686018427387905\nbias 0\n0\n",
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    qv_net *net = NULL;
    qv_err err = {0};
    qv_status st = parse(&net, bad[i], strlen(bad[i]), &err);
    if (st != QV_E_RANGE && st != QV_E_PARSE) fail_msg("case %zu: %s", i, qv_status_name(st));
    assert_null(net);
    assert_true(err.msg[0] != 0);
  }
}

static void truncated(void **state) {
  (void)state;
  size_t first = (size_t)(strstr(tiny, "layer 3 2") - tiny);
  for (size_t n = 0; n < sizeof tiny - 2; n++) { /* without the last newline the text is still whole */
    qv_net *net = NULL;
    qv_err err = {0};
    qv_status st = parse(&net, tiny, n, &err);
    if (st == QV_OK) fail_msg("prefix of %zu bytes was accepted", n);
    assert_null(net);
  }
  qv_net *net = NULL; /* without `layers` a file that ends after a layer is a net */
  char text[256];
  const char *p = strstr(tiny, "layers 2\n") + 9;
  int n = snprintf(text, sizeof text, "input 2 0 255\n%.*s", (int)(tiny + first - p), p);
  net = parse_ok(text, (size_t)n);
  assert_int_equal(net->n_nodes, 2);
  qv_net_free(net);
}

/* ---- published results ------------------------------------------------------------------------------------------------------ */

enum { IMAGES = 10000, PIXELS = 784 };

static const char *data_root(void) {
  const char *root = getenv("QV_DATA");
  return root != NULL ? root : "../shared/data";
}

static void data_path(char path[512], const char *rest) {
  (void)snprintf(path, 512, "%s/%s", data_root(), rest);
  if (access(path, R_OK) != 0) {
    print_message("SKIPPED: %s is not there (set QV_DATA)\n", path);
    skip();
  }
}

typedef struct {
  qv_net *net;
  qv_values v;
  size_t classes;
} model;

static void open_model(model *m, const char *name) {
  char path[512], rest[64];
  qv_buf b = {0};
  qv_err err = {0};
  (void)snprintf(rest, sizeof rest, "verif/int_nets/%s.qtxt", name);
  data_path(path, rest);
  assert_int_equal(qv_file_read(&b, path, 1 << 24, &err), QV_OK);
  if (qv_qtxt_read(&m->net, (const char *)b.p, b.n, path, &err) != QV_OK) fail_msg("%s", err.msg);
  qv_buf_free(&b);
  assert_int_equal(qv_values_init(&m->v, m->net, &err), QV_OK);
  m->classes = qv_elems(&m->net->tensor[m->net->out[0].tensor]);
  assert_int_equal(qv_elems(&m->net->tensor[m->net->in[0].tensor]), PIXELS);
}

static void close_model(model *m) {
  qv_values_clear(&m->v);
  qv_net_free(m->net);
}

/* First largest output over all classes, dummy ones included. */
static int classify(model *m, const unsigned char *image, int64_t *y) {
  int64_t x[PIXELS], own[64];
  if (y == NULL) y = own;
  assert_true(m->classes <= 64);
  for (size_t i = 0; i < PIXELS; i++) x[i] = image[i];
  run(m->net, &m->v, x, y);
  size_t best = 0;
  for (size_t c = 1; c < m->classes; c++)
    if (y[c] > y[best]) best = c;
  return (int)best;
}

static void mnist(qv_array *images, qv_array *labels) {
  char path[512];
  qv_err err = {0};
  data_path(path, "data/mnist/t10k-images-idx3-ubyte.gz");
  assert_int_equal(qv_array_read(images, path, &err), QV_OK);
  data_path(path, "data/mnist/t10k-labels-idx1-ubyte.gz");
  assert_int_equal(qv_array_read(labels, path, &err), QV_OK);
  assert_int_equal(images->count, (size_t)IMAGES * PIXELS);
  assert_int_equal(labels->count, IMAGES);
}

/* Integer accuracy, as stated in the nets' own first lines and recounted with numpy's int64 matrix product: over the first
 * 300 images, over all with QV_TEST_MULT >= 10. */
static void accuracy(void **state) {
  (void)state;
  static const struct { const char *name; int right, of_300; } nets[] = {
      {"P1-4", 9680, 292}, {"P1-6", 9708, 294}, {"P2-6", 9758, 294}, {"P2-8", 9745, 296}, {"P3-6", 9712, 296}};
  qv_array images = {0}, labels = {0};
  bool all = mult() >= 10;
  int n = all ? IMAGES : 300;
  mnist(&images, &labels);
  for (size_t k = 0; k < sizeof nets / sizeof *nets; k++) {
    model m = {0};
    int right = 0;
    open_model(&m, nets[k].name);
    for (int i = 0; i < n; i++)
      right += classify(&m, (unsigned char *)images.data + i * PIXELS, NULL) == ((unsigned char *)labels.data)[i];
    print_message("%s: %d of %d right\n", nets[k].name, right, n);
    assert_int_equal(right, all ? nets[k].right : nets[k].of_300);
    close_model(&m);
  }
  qv_array_free(&images);
  qv_array_free(&labels);
}

/* The next comma-separated field; quotes (only in the last column) are not taken apart. */
static char *field(char **line) {
  char *s = *line, *e = strchr(s, ',');
  *line = e != NULL ? e + 1 : s + strlen(s);
  if (e != NULL) *e = 0;
  return s;
}

/* Published verdicts about unperturbed images: "misclassified" exactly where the published net is wrong. The `id` column of
 * P1-6 and P3-6 rows of Table 3 is misaligned in the source, so those rows do not count. */
static void published_misclassified(void **state) {
  (void)state;
  qv_array images = {0}, labels = {0};
  char path[512];
  qv_buf b = {0};
  qv_err err = {0};
  mnist(&images, &labels);
  data_path(path, "verif/queries_mnist.csv");
  assert_int_equal(qv_file_read(&b, path, 1 << 24, &err), QV_OK);
  static const char *const names[] = {"P1-4", "P1-6", "P2-6", "P2-8"};
  model m[4] = {{0}};
  signed char *class_of = malloc(4 * IMAGES); /* the same image comes with several radii */
  assert_non_null(class_of);
  memset(class_of, -1, 4 * IMAGES);
  int wrong[4] = {0}, rows[4] = {0}, aaai_wrong = 0;
  for (size_t k = 0; k < 4; k++) open_model(&m[k], names[k]);
  char *save = NULL;
  for (char *line = strtok_r((char *)b.p, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
    char *rest = line, *name = field(&rest);
    (void)field(&rest); /* radius */
    long id = strtol(field(&rest), NULL, 10), label = strtol(field(&rest), NULL, 10);
    bool bad = strcmp(field(&rest), "1") == 0;
    char *aaai = field(&rest);
    size_t k = 0;
    while (k < 4 && strcmp(names[k], name) != 0) k++;
    if (k == 4 || (k == 1 && *aaai == 0)) continue;
    assert_true(id >= 0 && id < IMAGES);
    if (((unsigned char *)labels.data)[id] != label) fail_msg("%s %ld: label", name, id);
    signed char *c = &class_of[k * IMAGES + (size_t)id];
    if (*c < 0) *c = (signed char)classify(&m[k], (unsigned char *)images.data + id * PIXELS, NULL);
    bool is_bad = *c != label;
    if (is_bad != bad || (*aaai != 0 && bad != (strcmp(aaai, "misclassified") == 0))) fail_msg("%s image %ld: published %d", name, id, bad);
    wrong[k] += is_bad;
    rows[k]++;
    aaai_wrong += *aaai != 0 && is_bad;
  }
  for (size_t k = 0; k < 4; k++) {
    print_message("%s: %d rows, %d misclassified as published\n", names[k], rows[k], wrong[k]);
    close_model(&m[k]);
  }
  assert_int_equal(rows[0], 600); /* 576 + 24 */
  assert_int_equal(rows[1], 400); /* 391 + 9: the AAAI'21 set */
  assert_int_equal(rows[2], 600); /* 585 + 15 */
  assert_int_equal(rows[3], 600); /* 579 + 21 */
  assert_int_equal(wrong[0], 24);
  assert_int_equal(aaai_wrong, 9);
  assert_int_equal(wrong[2], 15);
  assert_int_equal(wrong[3], 21);
  free(class_of);
  qv_buf_free(&b);
  qv_array_free(&images);
  qv_array_free(&labels);
}

static int hex(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

/* Counterexamples to published "Robust" verdicts: each lies in its box and changes the class, by the margin stated. */
static void replays_counterexamples(void **state) {
  (void)state;
  qv_array images = {0}, labels = {0};
  char path[512], line[4096];
  model m = {0};
  int replayed = 0;
  mnist(&images, &labels);
  data_path(path, "verif/qvip_refuted_P2-8.csv.gz");
  open_model(&m, "P2-8");
  gzFile f = gzopen(path, "rb");
  assert_non_null(f);
  assert_non_null(gzgets(f, line, sizeof line)); /* header */
  while (gzgets(f, line, sizeof line) != NULL) {
    char *rest = line;
    unsigned char cex[PIXELS];
    int64_t y[64];
    assert_string_equal(field(&rest), "P2-8");
    (void)field(&rest);
    (void)field(&rest);
    long radius = strtol(field(&rest), NULL, 10), id = strtol(field(&rest), NULL, 10), label = strtol(field(&rest), NULL, 10);
    long want = strtol(field(&rest), NULL, 10), margin = strtol(field(&rest), NULL, 10);
    assert_string_equal(field(&rest), "Robust");
    assert_true(id >= 0 && id < IMAGES);
    const unsigned char *image = (unsigned char *)images.data + id * PIXELS;
    for (size_t i = 0; i < PIXELS; i++) {
      int hi = hex(rest[2 * i]), lo = hex(rest[2 * i + 1]);
      assert_true(hi >= 0 && lo >= 0);
      cex[i] = (unsigned char)(16 * hi + lo);
      if (labs((long)cex[i] - image[i]) > radius) fail_msg("image %ld radius %ld: pixel %zu leaves the box", id, radius, i);
    }
    assert_int_equal(classify(&m, image, NULL), label);
    assert_int_equal(classify(&m, cex, y), want);
    assert_true(want != label);
    assert_int_equal(y[want] - y[label], margin);
    replayed++;
  }
  (void)gzclose(f);
  print_message("%d counterexamples replayed\n", replayed);
  assert_int_equal(replayed, 246);
  close_model(&m);
  qv_array_free(&images);
  qv_array_free(&labels);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lowers_tiny), cmocka_unit_test(rounds_half_up),          cmocka_unit_test(input_types),
      cmocka_unit_test(corpus_is_good), cmocka_unit_test(random_nets),          cmocka_unit_test(zoo),
      cmocka_unit_test(ranges),      cmocka_unit_test(truncated),               cmocka_unit_test(accuracy),
      cmocka_unit_test(published_misclassified), cmocka_unit_test(replays_counterexamples)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
