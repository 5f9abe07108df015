/* ONNX front end against truth from outside: ONNX's own node tests, outputs of ONNX Runtime on two kinds of CPU, published bugs of
 * kernels, and plain loops over the operators' text. What is not modelled must be refused, never computed differently.
 *
 * Data: tests/golden/onnx_ort.gz (made by tests/make_onnx_golden.py), tests/zoo/onnx; the rest from QV_DATA. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "frontend/array.h"
#include "frontend/load.h"
#include "ir/base/json.h"
#include "ir/base/rng.h"
#include "kernels/profile/onnx.h"
#include "kernels/ref.h"
#include "tests/onnx_build.h"
#include "tests/range_net.h"

#define ZOO "tests/zoo/onnx"
#define GOLDEN "tests/golden/onnx_ort.gz"

static const char *path_in(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static const char *path_in(const char *fmt, ...) {
  static char path[1024];
  const char *dir = getenv("QV_DATA");
  int n = snprintf(path, sizeof path, "%s/", dir != NULL ? dir : "../shared/data");
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(path + n, sizeof path - (size_t)n, fmt, ap);
  va_end(ap);
  return path;
}

static void need(const char *path) {
  FILE *f = fopen(path, "rb");
  if (f == NULL) {
    print_message("SKIPPED: %s is not there (set QV_DATA)\n", path);
    skip();
  }
  assert_int_equal(fclose(f), 0);
}

static void slurp(qv_buf *b, const char *path) {
  qv_err err = {0};
  if (qv_file_read(b, path, (size_t)1 << 28, &err) != QV_OK) fail_msg("%s", err.msg);
}

/* ---- running --------------------------------------------------------------------------------------------------------------- */

static qv_status load(qv_net **net, const qv_buf *file, const char *profile, qv_err *err) {
  const qv_load_opts opts = {.profile = profile};
  *net = NULL;
  return qv_load_bytes(net, file->p, file->n, "test.onnx", &opts, err);
}

static qv_net *must_load(const qv_buf *file, const char *profile) {
  qv_net *net;
  qv_err err = {0};
  if (load(&net, file, profile, &err) != QV_OK) fail_msg("%s: %s", profile, err.msg);
  return net;
}

/* Real value of element e of output k. */
static float real_out(const qv_net *net, const qv_values *v, uint32_t k, size_t e) {
  const qv_tensor *t = &net->tensor[net->out[k].tensor];
  int64_t q = v->v[net->out[k].tensor][e];
  return net->out[k].end == QV_END_DEQUANT ? t->scale * (float)(q - t->zp) : (float)q;
}

static void run_ref(const qv_net *net, qv_values *v) {
  qv_err err = {0};
  if (qv_ref_run(net, v, &err) != QV_OK) fail_msg("%s", err.msg);
}

static void init_values(const qv_net *net, qv_values *v) {
  qv_err err = {0};
  if (qv_values_init(v, net, &err) != QV_OK) fail_msg("%s", err.msg);
}

/* Net of one input and output, int64 in and out. */
static void run_ints(const qv_buf *file, const char *profile, const int64_t *x, int64_t *y) {
  qv_net *net = must_load(file, profile);
  qv_values v;
  init_values(net, &v);
  assert_int_equal(net->n_in, 1);
  memcpy(v.v[net->in[0].tensor], x, qv_elems(&net->tensor[net->in[0].tensor]) * sizeof *x);
  run_ref(net, &v);
  memcpy(y, v.v[net->out[0].tensor], qv_elems(&net->tensor[net->out[0].tensor]) * sizeof *y);
  qv_values_clear(&v);
  qv_net_free(net);
}

/* ---- stored outputs of ONNX Runtime on a CPU with VNNI and on one with AVX2 only ----------------------------------------------- */


static size_t flat(const cJSON *a, int64_t *out) { /* nested arrays of integers, row-major */
  size_t n = 0;
  qv_err err = {0};
  for (const cJSON *c = a->child; c != NULL; c = c->next) {
    if (cJSON_IsArray(c)) n += flat(c, out + n);
    else assert_int_equal(qv_json_int(&out[n++], c, -65536, 65536, "element", &err), QV_OK);
  }
  return n;
}

static void test_saturating_conv(void **state) {
  (void)state;
  qv_buf model = {0}, text = {0};
  qv_err err = {0};
  cJSON *root;
  need(path_in("golden/onnx_ort_avx2/u8s8_conv.onnx"));
  slurp(&model, path_in("golden/onnx_ort_avx2/u8s8_conv.onnx"));
  slurp(&text, path_in("golden/onnx_ort_avx2/u8s8_conv.json"));
  assert_int_equal(qv_json_parse(&root, (const char *)text.p, text.n, &err), QV_OK);
  size_t compared = 0, differ = 0;
  static int64_t x[4096], a[4096], b[4096], ya[4096], yb[4096];
  for (const cJSON *c = cJSON_GetObjectItemCaseSensitive(root, "cases")->child; c != NULL; c = c->next) {
    (void)flat(cJSON_GetObjectItemCaseSensitive(c, "x"), x);
    size_t n = flat(cJSON_GetObjectItemCaseSensitive(c, "ort_vnni_or_exact"), a);
    assert_int_equal(flat(cJSON_GetObjectItemCaseSensitive(c, "ort_haswell"), b), n);
    run_ints(&model, "ort-vnni", x, ya);
    run_ints(&model, "ort-avx2", x, yb);
    for (size_t e = 0; e < n; e++, compared++) {
      assert_int_equal(ya[e], a[e]);
      assert_int_equal(yb[e], b[e]);
      differ += a[e] != b[e];
    }
  }
  assert_int_equal(compared, 5120);
  assert_int_equal(differ, 4317); /* the data does separate the two */
  cJSON_Delete(root);
  qv_buf_free(&model);
  qv_buf_free(&text);
}

/* ---- random models with outputs of ONNX Runtime 1.31 ----------------------------------------------------------------------------- */

typedef struct {
  unsigned char *p, *end;
} cursor;

static uint32_t take_u32(cursor *c) {
  assert_true(c->end - c->p >= 4);
  uint32_t v = (uint32_t)c->p[0] | (uint32_t)c->p[1] << 8 | (uint32_t)c->p[2] << 16 | (uint32_t)c->p[3] << 24;
  c->p += 4;
  return v;
}

static cursor take(cursor *c) { /* length-prefixed bytes */
  uint32_t n = take_u32(c);
  assert_true((size_t)(c->end - c->p) >= n);
  cursor r = {c->p, c->p + n};
  c->p += n;
  return r;
}

/* Element of little-endian type code 'B' u8, 'b' s8, 'i' s32, 'f' float. */
static double element(const cursor *c, char code, size_t e) {
  float f;
  int32_t i;
  switch (code) {
  case 'B': return c->p[e];
  case 'b': return (int8_t)c->p[e];
  case 'i': memcpy(&i, c->p + 4 * e, 4); return i;
  default: memcpy(&f, c->p + 4 * e, 4); return (double)f;
  }
}

static size_t code_size(char code) { return code == 'B' || code == 'b' ? 1 : 4; }

typedef struct {
  size_t models, refused, elements;
} tally;

/* One model under one profile: every element of every sample, or a refusal. */
static void replay(const char *kind, const cursor *model, const char *profile, uint32_t samples, uint32_t n_in, const cursor *in,
                   const char *in_code, char out_code, const cursor *out, tally *t) {
  qv_buf file = {0};
  qv_err err = {0};
  qv_net *net;
  qv_values v;
  qv_buf_put(&file, model->p, (size_t)(model->end - model->p));
  qv_status st = load(&net, &file, profile, &err);
  t->models++;
  if (st == QV_E_UNSUP) {
    t->refused++;
    qv_buf_free(&file);
    return;
  }
  if (st != QV_OK) fail_msg("%s under %s: %s", kind, profile, err.msg);
  init_values(net, &v);
  assert_int_equal(net->n_in, n_in);
  size_t n_out = qv_elems(&net->tensor[net->out[0].tensor]);
  assert_int_equal((size_t)(out->end - out->p), n_out * code_size(out_code) * samples);
  for (uint32_t s = 0; s < samples; s++) {
    for (uint32_t k = 0; k < n_in; k++) {
      size_t n = qv_elems(&net->tensor[net->in[k].tensor]);
      for (size_t e = 0; e < n; e++) {
        double x = element(&in[k], in_code[k], s * n + e);
        int64_t q = (int64_t)x;
        if (in_code[k] == 'f') assert_int_equal(qv_end_quantize(&q, net, k, (float)x, &err), QV_OK);
        v.v[net->in[k].tensor][e] = q;
      }
    }
    run_ref(net, &v);
    for (size_t e = 0; e < n_out; e++, t->elements++) {
      double want = element(out, out_code, s * n_out + e);
      if ((double)real_out(net, &v, 0, e) != want)
        fail_msg("%s under %s, sample %u, element %zu: %g, the runtime gave %g", kind, profile, s, e, (double)real_out(net, &v, 0, e), want);
    }
  }
  qv_values_clear(&v);
  qv_net_free(net);
  qv_buf_free(&file);
}

static void unpack_golden(qv_buf *b) {
  gzFile f = gzopen(GOLDEN, "rb");
  static unsigned char chunk[65536];
  int n;
  if (f == NULL) fail_msg("%s is missing", GOLDEN);
  while ((n = gzread(f, chunk, sizeof chunk)) > 0) qv_buf_put(b, chunk, (size_t)n);
  assert_int_equal(n, 0);
  assert_int_equal(gzclose(f), Z_OK);
  assert_false(b->failed);
}

static void test_runtime_outputs(void **state) {
  (void)state;
  qv_buf b = {0};
  unpack_golden(&b);
  cursor c = {b.p, b.p + b.n};
  tally vnni = {0}, avx2 = {0};
  while (c.p < c.end) {
    cursor kind = take(&c), model = take(&c), in[8], out[2];
    char name[64], in_code[8];
    uint32_t samples = take_u32(&c), n_in = take_u32(&c);
    assert_true(n_in >= 1 && n_in <= 8);
    (void)snprintf(name, sizeof name, "%.*s", (int)(kind.end - kind.p), (const char *)kind.p);
    for (uint32_t k = 0; k < n_in; k++) {
      in_code[k] = (char)take_u32(&c);
      in[k] = take(&c);
    }
    char code = (char)take_u32(&c);
    out[0] = take(&c);
    out[1] = take(&c);
    replay(name, &model, "ort-vnni", samples, n_in, in, in_code, code, &out[0], &vnni);
    replay(name, &model, "ort-avx2", samples, n_in, in, in_code, code, &out[1], &avx2);
  }
  print_message("%zu models: ort-vnni %zu elements equal, %zu refused; ort-avx2 %zu elements equal, %zu refused\n", vnni.models, vnni.elements,
                vnni.refused, avx2.elements, avx2.refused);
  assert_true(vnni.models > 200 && vnni.refused * 8 < vnni.models && avx2.refused * 8 < avx2.models);
  qv_buf_free(&b);
}

/* ---- ONNX's node tests ---------------------------------------------------------------------------------------------------------- */

typedef struct {
  qv_buf file[9];       /* input and output tensors */
  Onnx__ModelProto *m;
  Onnx__TensorProto *in[8], *out[8];
  size_t n_in, n_out;
} node_case;

static Onnx__TensorProto *read_pb(const char *dir, const char *what, size_t k) {
  qv_buf b = {0};
  qv_err err = {0};
  if (qv_file_read(&b, path_in("onnx/onnx_node_tests_v1.22.0/%s/test_data_set_0/%s_%zu.pb", dir, what, k), 1 << 26, &err) != QV_OK) return NULL;
  Onnx__TensorProto *t = onnx__tensor_proto__unpack(NULL, b.n, b.p);
  qv_buf_free(&b);
  return t;
}

static void read_case(node_case *c, const char *dir) {
  qv_buf b = {0};
  *c = (node_case){0};
  slurp(&b, path_in("onnx/onnx_node_tests_v1.22.0/%s/model.onnx", dir));
  c->m = onnx__model_proto__unpack(NULL, b.n, b.p);
  assert_non_null(c->m);
  qv_buf_free(&b);
  while (c->n_in < 8 && (c->in[c->n_in] = read_pb(dir, "input", c->n_in)) != NULL) c->n_in++;
  while (c->n_out < 8 && (c->out[c->n_out] = read_pb(dir, "output", c->n_out)) != NULL) c->n_out++;
}

static void free_case(node_case *c, size_t baked_from) {
  for (size_t k = 0; k < c->n_out; k++) onnx__tensor_proto__free_unpacked(c->out[k], NULL);
  for (size_t k = 0; k < c->n_in && k < baked_from; k++) onnx__tensor_proto__free_unpacked(c->in[k], NULL);
  onnx__model_proto__free_unpacked(c->m, NULL); /* owns the baked ones */
}

/* Inputs from number `from` on become initializers. */
static void bake(node_case *c, size_t from) {
  Onnx__GraphProto *g = c->m->graph;
  for (size_t k = from; k < c->n_in && k < g->n_input; k++) {
    Onnx__TensorProto **grown = realloc(g->initializer, (g->n_initializer + 1) * sizeof *grown);
    assert_non_null(grown);
    free(c->in[k]->name);
    c->in[k]->name = strdup(g->input[k]->name);
    g->initializer = grown;
    g->initializer[g->n_initializer++] = c->in[k];
  }
}

static void pack(const node_case *c, qv_buf *out) {
  size_t n = onnx__model_proto__get_packed_size(c->m);
  uint8_t *p = malloc(n + 1);
  assert_non_null(p);
  assert_int_equal(onnx__model_proto__pack(c->m, p), n);
  qv_buf_put(out, p, n);
  free(p);
}

/* Elements of a stored tensor as reals; 0 if the type is none of those compared. */
static size_t reals(const Onnx__TensorProto *t, double *out) {
  size_t n = 1;
  for (size_t d = 0; d < t->n_dims; d++) n *= (size_t)t->dims[d];
  const unsigned char *p = t->raw_data.data;
  unsigned char small[4096];
  if (n > 4096) return 0;
  if (!t->has_raw_data && t->n_float_data == n) {
    for (size_t e = 0; e < n; e++) out[e] = (double)t->float_data[e];
    return n;
  }
  if (!t->has_raw_data) { /* bytes, in one number each */
    if (t->data_type == 4 || t->data_type == 5 || t->data_type == 6 || t->n_int32_data > sizeof small) return 0;
    for (size_t e = 0; e < t->n_int32_data; e++) small[e] = (unsigned char)t->int32_data[e];
    p = small;
  }
  for (size_t e = 0; e < n; e++) {
    float f;
    int16_t h;
    int32_t i;
    switch (t->data_type) {
    case 1: memcpy(&f, p + 4 * e, 4); out[e] = (double)f; break;
    case 2: out[e] = p[e]; break;
    case 3: out[e] = (int8_t)p[e]; break;
    case 4: memcpy(&h, p + 2 * e, 2); out[e] = (uint16_t)h; break;
    case 5: memcpy(&h, p + 2 * e, 2); out[e] = h; break;
    case 6: memcpy(&i, p + 4 * e, 4); out[e] = i; break;
    case 21: out[e] = p[e / 2] >> (e % 2 * 4) & 15; break;
    case 22: out[e] = ((p[e / 2] >> (e % 2 * 4) & 15) ^ 8) - 8; break;
    case 25: out[e] = p[e / 4] >> (e % 4 * 2) & 3; break;
    case 26: out[e] = ((p[e / 4] >> (e % 4 * 2) & 3) ^ 2) - 2; break;
    default: return 0;
    }
  }
  return n;
}

/* True if the case was computed (and then it was right), false if it was refused. */
static bool node_test(const char *dir, const char *profile) {
  static double x[4096], want[4096];
  node_case c;
  qv_buf file = {0};
  qv_err err = {0};
  qv_net *net;
  qv_values v;
  read_case(&c, dir);
  bake(&c, 1);
  pack(&c, &file);
  qv_status st = load(&net, &file, profile, &err);
  bool ok = st == QV_OK;
  if (!ok && st != QV_E_UNSUP && st != QV_E_PARSE && st != QV_E_RANGE) fail_msg("%s: %s", dir, err.msg);
  if (!ok && err.msg[0] == 0) fail_msg("%s: no message", dir);
  if (st == QV_E_PARSE && strstr(dir, "float") == NULL) print_message("%s: %s\n", dir, err.msg);
  if (ok) {
    size_t n = reals(c.in[0], x), m = reals(c.out[0], want);
    init_values(net, &v);
    if (n != qv_elems(&net->tensor[net->in[0].tensor]) || m != qv_elems(&net->tensor[net->out[0].tensor])) fail_msg("%s: %zu in, %zu out", dir, n, m);
    for (size_t e = 0; e < n; e++) {
      int64_t q = (int64_t)x[e];
      if (net->in[0].end != QV_END_INT) assert_int_equal(qv_end_quantize(&q, net, 0, (float)x[e], &err), QV_OK);
      v.v[net->in[0].tensor][e] = q;
    }
    run_ref(net, &v);
    for (size_t e = 0; e < m; e++)
      if ((double)real_out(net, &v, 0, e) != want[e]) fail_msg("%s under %s, element %zu: %g, expected %g", dir, profile, e, (double)real_out(net, &v, 0, e), want[e]);
    qv_values_clear(&v);
    qv_net_free(net);
  }
  qv_buf_free(&file);
  free_case(&c, 1);
  return ok;
}

static void test_node_tests(void **state) {
  (void)state;
  static const char *const computed[] = {
      "test_convinteger_with_padding", "test_convinteger_without_padding", "test_matmulinteger", "test_qlinearmatmul_2D_int8_float32",
      "test_qlinearmatmul_2D_uint8_float32", "test_qlinearmatmul_2D_int8_float16", "test_qlinearmatmul_2D_uint8_float16",
      "test_dequantizelinear", "test_dequantizelinear_int16", "test_dequantizelinear_int2", "test_dequantizelinear_uint2",
      "test_quantizelinear_int16", "test_quantizelinear_uint16", "test_maxpool_2d_uint8", "test_clip_default_int8_max",
      "test_clip_default_int8_min", "test_clip_default_int8_inbounds", "test_qlinearmatmul_3D_int8_float16", "test_qlinearmatmul_3D_uint8_float16", "test_max_int8", "test_min_int8", "test_min_uint8"};
  need(path_in("onnx/onnx_node_tests_v1.22.0/test_matmulinteger/model.onnx"));
  static const char *const profile[] = {"onnx-spec", "onnx-ref"};
  for (int p = 0; p < 2; p++)
    for (size_t i = 0; i < sizeof computed / sizeof *computed; i++)
      if (!node_test(computed[i], profile[p])) fail_msg("%s under %s is refused", computed[i], profile[p]);
  size_t all = 0, done = 0; /* the rest is right or refused */
  DIR *d = opendir(path_in("onnx/onnx_node_tests_v1.22.0"));
  assert_non_null(d);
  for (const struct dirent *e; (e = readdir(d)) != NULL;) {
    if (strncmp(e->d_name, "test_", 5) != 0) continue;
    all++;
    done += node_test(e->d_name, "onnx-ref");
  }
  assert_int_equal(closedir(d), 0);
  print_message("node tests: %zu computed, %zu refused\n", done, all - done);
  assert_true(all > 150);
}

/* Operators that only move data: the stored floats are all different, so they tell where each element of the result comes from; the
 * same model on 16-bit integers must move the same way. */
static bool movement_test(const char *dir) {
  static double x[4096], y[4096];
  node_case c;
  qv_buf file = {0};
  qv_err err = {0};
  qv_net *net;
  qv_values v;
  read_case(&c, dir);
  size_t n = reals(c.in[0], x), m = reals(c.out[0], y), moved = 0;
  bake(&c, 1);
  c.m->graph->input[0]->type->tensor_type->elem_type = 4; /* UINT16 */
  for (size_t k = 0; k < c.m->graph->n_initializer; k++) /* the padding value: nowhere among the numbers used */
    if (c.m->graph->initializer[k]->data_type == 1) {
      Onnx__TensorProto *t = c.m->graph->initializer[k];
      t->data_type = 4;
      free(t->raw_data.data);
      t->raw_data.data = calloc(2, 1);
      t->raw_data.len = 2;
      memset(t->raw_data.data, 0xff, 2);
    }
  pack(&c, &file);
  bool ok = load(&net, &file, NULL, &err) == QV_OK; /* moving needs no profile */
  if (!ok) print_message("%s: %s\n", dir, err.msg);
  if (ok) {
    init_values(net, &v);
    assert_int_equal(qv_elems(&net->tensor[net->out[0].tensor]), m);
    for (size_t e = 0; e < n; e++) v.v[net->in[0].tensor][e] = (int64_t)e;
    run_ref(net, &v);
    for (size_t e = 0; e < m; e++) {
      int64_t from = v.v[net->out[0].tensor][e];
      if (from == 0xffff) continue;
      assert_true(from >= 0 && from < (int64_t)n);
      if (x[from] != y[e]) fail_msg("%s, element %zu: taken from %lld", dir, e, (long long)from);
      moved++;
    }
    assert_true(moved * 4 >= m || moved == n);
    qv_values_clear(&v);
    qv_net_free(net);
  }
  qv_buf_free(&file);
  free_case(&c, 1);
  return ok;
}

static void test_movements(void **state) {
  (void)state;
  static const char *const dirs[] = {
      "test_transpose_all_permutations_1", "test_transpose_all_permutations_3", "test_transpose_all_permutations_4", "test_transpose_default",
      "test_reshape_extended_dims", "test_reshape_negative_dim", "test_reshape_negative_extended_dims", "test_reshape_one_dim",
      "test_reshape_reduced_dims", "test_reshape_reordered_last_dims", "test_reshape_zero_and_negative_dim", "test_reshape_zero_dim",
      "test_flatten_axis2", "test_flatten_default_axis", "test_flatten_negative_axis2", "test_squeeze", "test_squeeze_negative_axes",
      "test_unsqueeze_axis_1", "test_unsqueeze_axis_2", "test_unsqueeze_negative_axes", "test_unsqueeze_three_axes",
      "test_unsqueeze_unsorted_axes", "test_constant_pad_axes", "test_constant_pad_negative_axes"};
  need(path_in("onnx/onnx_node_tests_v1.22.0/test_squeeze/model.onnx"));
  for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
    if (!movement_test(dirs[i])) fail_msg("%s is refused", dirs[i]);
}

/* ---- stored QDQ models --------------------------------------------------------------------------------------------------------- */

static size_t base64(const char *s, unsigned char *out) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  uint32_t acc = 0;
  int bits = 0;
  size_t n = 0;
  for (; *s != 0 && *s != '='; s++) {
    const char *d = strchr(digits, *s);
    assert_non_null(d);
    acc = acc << 6 | (uint32_t)(d - digits);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out[n++] = (unsigned char)(acc >> bits);
    }
  }
  return n;
}

static double stored(const cJSON *tensor, const unsigned char *bytes, size_t e) {
  const char *type = cJSON_GetObjectItemCaseSensitive(tensor, "type")->valuestring;
  const cursor c = {(unsigned char *)(uintptr_t)bytes, NULL};
  return element(&c, strcmp(type, "float32") == 0 ? 'f' : strcmp(type, "uint8") == 0 ? 'B' : 'b', e);
}

/* Under which profile the stored outputs must come out; NULL: must be refused under both. */
static void stored_model(const char *name, const char *profile, const char *key, bool computed) {
  qv_buf text = {0}, file = {0};
  qv_err err = {0};
  cJSON *root;
  qv_net *net;
  qv_values v;
  static unsigned char bytes[1 << 20];
  slurp(&text, path_in("golden/onnx_ort1.30/onnx__ort_testdata__%s.json", name));
  slurp(&file, path_in("onnx/ort_testdata/%s.onnx", name));
  qv_status st = load(&net, &file, profile, &err);
  if (!computed) {
    if (st != QV_E_UNSUP) fail_msg("%s under %s is not refused: %s", name, profile, err.msg);
    goto done;
  }
  if (st != QV_OK) fail_msg("%s under %s: %s", name, profile, err.msg);
  assert_int_equal(qv_json_parse(&root, (const char *)text.p, text.n, &err), QV_OK);
  init_values(net, &v);
  size_t cases = 0;
  for (const cJSON *c = cJSON_GetObjectItemCaseSensitive(root, "cases")->child; c != NULL && cases < 4; c = c->next, cases++) {
    const cJSON *in = cJSON_GetObjectItemCaseSensitive(c, "inputs"), *out = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(c, key), 0);
    for (uint32_t k = 0; k < net->n_in; k++) {
      const cJSON *t = NULL;
      cJSON_ArrayForEach(t, in) if (strcmp(cJSON_GetObjectItemCaseSensitive(t, "name")->valuestring, net->in[k].name) == 0) break;
      assert_non_null(t);
      assert_true(base64(cJSON_GetObjectItemCaseSensitive(t, "data")->valuestring, bytes) <= sizeof bytes);
      for (size_t e = 0; e < qv_elems(&net->tensor[net->in[k].tensor]); e++) {
        double x = stored(t, bytes, e);
        int64_t q = (int64_t)x;
        if (net->in[k].end != QV_END_INT) assert_int_equal(qv_end_quantize(&q, net, k, (float)x, &err), QV_OK);
        v.v[net->in[k].tensor][e] = q;
      }
    }
    run_ref(net, &v);
    size_t n = base64(cJSON_GetObjectItemCaseSensitive(out, "data")->valuestring, bytes);
    size_t elems = qv_elems(&net->tensor[net->out[0].tensor]);
    assert_true(n == elems || n == 4 * elems);
    for (size_t e = 0; e < elems; e++)
      if ((double)real_out(net, &v, 0, e) != stored(out, bytes, e))
        fail_msg("%s under %s, case %zu, element %zu: %g, the runtime gave %g", name, profile, cases, e, (double)real_out(net, &v, 0, e), stored(out, bytes, e));
  }
  assert_true(cases > 0);
  qv_values_clear(&v);
  cJSON_Delete(root);
  qv_net_free(net);
done:
  qv_buf_free(&text);
  qv_buf_free(&file);
}

static void test_stored_models(void **state) {
  (void)state;
  need(path_in("golden/onnx_ort1.30/onnx__ort_testdata__qdq_conv.json"));
  stored_model("qdq_conv", "ort-vnni", "ort_node_all", true);
  stored_model("conv_qdq_s8s8", "ort-vnni", "ort_node_all", true);
  stored_model("conv_qdq_s8s8_perchannel", "ort-vnni", "ort_node_all", true);
  stored_model("nnapi_internal_uint8_support", "ort-vnni", "ort_node_all", true);
  stored_model("nnapi_internal_uint8_support", "ort-float-qdq", "ort_node_disabled", true);
  stored_model("conv.int4_weights.qdq", "onnx-spec", "ort_node_all", true); /* ONNX Runtime computes it in binary32, equal here */
  stored_model("conv.int4_weights.qdq", "ort-vnni", "ort_node_all", false);
  stored_model("layout_transform_reshape.qdq", "ort-vnni", "ort_node_all", false); /* ReduceMean in binary32 */
  stored_model("constant_folding_qdq_node_unit", "ort-vnni", "ort_node_all", false); /* a float sum is the output */
  stored_model("qdq_with_multi_consumer_q_dq_axis", "ort-vnni", "ort_node_all", false); /* float results before quantization are outputs */
}

/* ---- arithmetic of the profiles ------------------------------------------------------------------------------------------------- */

/* y = QLinearMatMul(x [1,k], w [k,n]) or, with s_x = 0, MatMulInteger. Types by OB_ code. */
typedef struct {
  int xt, wt;
  int64_t m, k, n;
  const int64_t *w;
  int64_t zx, zw, zy;
  float sx, sw, sy;
} product;

static void product_model(const product *p, qv_buf *out) {
  ob b;
  ob_init(&b, 13);
  ob_input(&b, "x", p->xt, 2, (const int64_t[]){p->m, p->k});
  const char *w = ob_ints(&b, p->wt, 2, (const int64_t[]){p->k, p->n}, p->w);
  if (p->sx == 0) (void)ob_node(&b, "", "MatMulInteger", "y", "x", w, ob_int(&b, p->xt, p->zx), ob_int(&b, p->wt, p->zw), (const char *)NULL);
  else
    (void)ob_node(&b, "", "QLinearMatMul", "y", "x", ob_float(&b, p->sx), ob_int(&b, p->xt, p->zx), w, ob_float(&b, p->sw), ob_int(&b, p->wt, p->zw),
                  ob_float(&b, p->sy), ob_int(&b, p->xt, p->zy), (const char *)NULL);
  ob_output(&b, "y", p->sx == 0 ? OB_I32 : p->xt);
  ob_pack(&b, out);
  ob_clear(&b);
}

static void check_product(const product *p, const char *profile, const int64_t *x, const int64_t *want) {
  qv_buf f = {0};
  static int64_t y[64];
  product_model(p, &f);
  run_ints(&f, profile, x, y);
  for (int64_t e = 0; e < p->m * p->n; e++)
    if (y[e] != want[e]) fail_msg("%s: element %lld is %lld, expected %lld", profile, (long long)e, (long long)y[e], (long long)want[e]);
  qv_buf_free(&f);
}

static void check_refused(const product *p, const char *profile) {
  qv_buf f = {0};
  qv_err err = {0};
  qv_net *net;
  product_model(p, &f);
  if (load(&net, &f, profile, &err) != QV_E_UNSUP || strstr(err.msg, profile) == NULL) fail_msg("%s: %s", profile, err.msg);
  qv_buf_free(&f);
}

static void test_rounding(void **state) {
  (void)state;
  /* acc = 1, M = 1/2, zp = 1: the reference evaluator adds the zero point before rounding */
  static const int64_t one = 1;
  product p = {OB_U8, OB_I8, 1, 1, 1, &one, .zy = 1, .sx = 0.5f, .sw = 1, .sy = 1};
  check_product(&p, "onnx-spec", (const int64_t[]){1}, (const int64_t[]){1});
  check_product(&p, "onnx-ref", (const int64_t[]){1}, (const int64_t[]){2});
  check_product(&p, "ort-vnni", (const int64_t[]){1}, (const int64_t[]){1});
  check_product(&p, "qnnpack", (const int64_t[]){1}, (const int64_t[]){1});
  check_product(&p, "tosa", (const int64_t[]){1}, (const int64_t[]){2}); /* 1/2 rounds up */
  p.xt = OB_I8;
  check_product(&p, "mnn-oaq", (const int64_t[]){1}, (const int64_t[]){2});  /* away from zero */
  check_product(&p, "mnn-oaq", (const int64_t[]){-1}, (const int64_t[]){0});
  check_product(&p, "ort-neon-s8", (const int64_t[]){3}, (const int64_t[]){3}); /* 3/2 to even, + 1 */
  /* acc = 585, product exactly 6.5 in binary32 (tensorflow/tensorflow#102943): only RQ_F32 gives -120 */
  static const int64_t w585 = 65;
  product q = {OB_I8, OB_I8, 1, 1, 1, &w585, .zy = -126, .sx = 0.05296124517917633f, .sw = 0.024093778803944588f, .sy = 0.11484327912330627f};
  check_product(&q, "ort-vnni", (const int64_t[]){9}, (const int64_t[]){-120});
  check_product(&q, "onnx-spec", (const int64_t[]){9}, (const int64_t[]){-119});
  check_product(&q, "tosa", (const int64_t[]){9}, (const int64_t[]){-119});
  /* 16 * 8 = 128 saturates (a code generator wrote -128, emx-onnx-cgen#735) */
  static const int64_t w8 = 8;
  product s = {OB_I8, OB_I8, 1, 1, 1, &w8, .sx = 1, .sw = 1, .sy = 1};
  check_product(&s, "onnx-spec", (const int64_t[]){16}, (const int64_t[]){127});
  check_product(&s, "onnx-spec", (const int64_t[]){-17}, (const int64_t[]){-128});
}

static void test_accumulators(void **state) {
  (void)state;
  /* microsoft/onnxruntime#7524: MatMulInteger on AVX2 */
  static const int64_t a[] = {238, 115, 94, 245, 111, 102, 158, 225, 48}, w[] = {25, 36, 125, 42, -123, 76, -81, -86, 35};
  product p = {OB_U8, OB_I8, 3, 3, 3, w, .zx = 42, .zw = -26};
  qv_buf f = {0};
  int64_t exact[9], pairs[9];
  product_model(&p, &f);
  run_ints(&f, "ort-vnni", a, exact);
  run_ints(&f, "ort-avx2", a, pairs);
  static const int64_t exact3[] = {40214, 41351, 36548}, pair3[] = {34491, 35057, 32465};
  for (int r = 0; r < 3; r++) {
    assert_int_equal(exact[3 * r + 2], exact3[r]);
    assert_int_equal(pairs[3 * r + 2], pair3[r]);
  }
  qv_buf_free(&f);
  /* pytorch/pytorch#44939: 211*71 + 171*107 = 33278 -> 32767 */
  static const int64_t w2[] = {71, 107}, x2[] = {211, 171};
  product fb = {OB_U8, OB_I8, 1, 2, 1, w2, .sx = 0};
  check_product(&fb, "fbgemm-acc32", x2, (const int64_t[]){32767});
  check_product(&fb, "qnnpack", x2, (const int64_t[]){33278});
  check_product(&fb, "ort-avx2", x2, (const int64_t[]){32767});
  /* microsoft/onnxruntime#31573: products 0 and 8 share an int16 lane, which wraps */
  int64_t w16[16] = {0}, x16[16] = {0};
  w16[0] = w16[8] = x16[0] = x16[8] = -128;
  product neon = {OB_I8, OB_I8, 1, 16, 1, w16, .sx = 0};
  check_product(&neon, "ort-neon-s8", x16, (const int64_t[]){-32768});
  check_product(&neon, "ort-vnni", x16, (const int64_t[]){32768});
  check_product(&neon, "ort-avx2", x16, (const int64_t[]){32768}); /* signed by signed has exact kernels there */
  check_product(&neon, "tosa", x16, (const int64_t[]){32768});
  /* a lane that is never spilled: 3 * 127 * 127 = 48387 wraps to -17149; spilled every two, 2 * 127 * 127 fits */
  int64_t w24[24] = {0}, x24[24] = {0};
  w24[1] = w24[9] = w24[17] = x24[1] = x24[9] = x24[17] = 127;
  product lane = {OB_I8, OB_I8, 1, 24, 1, w24, .sx = 0};
  check_product(&lane, "mnn-oaq", x24, (const int64_t[]){48387 - 65536});
  check_product(&lane, "ort-neon-s8", x24, (const int64_t[]){48387});
  /* unknown combinations */
  product u = {OB_U8, OB_U8, 1, 1, 1, w2, .sx = 1, .sw = 1, .sy = 1};
  check_refused(&u, "fbgemm-acc32");
  check_refused(&u, "mnn-oaq");
  u.wt = OB_I8;
  check_refused(&u, "ort-u8u8");
  check_refused(&u, "ort-float-qdq");
  u.xt = OB_I8;
  u.wt = OB_U8;
  check_refused(&u, "ort-vnni"); /* has no such kernel */
}

/* DequantizeLinear, MatMul [k] by [k,1] of 127s or Gemm with a bias, QuantizeLinear; all scales 1 but the bias's. */
static void qdq_product(qv_buf *f, int64_t k, float bias_scale) {
  ob b;
  static int64_t w[4096];
  static const int64_t bias = 5;
  for (int64_t i = 0; i < k; i++) w[i] = 127;
  ob_init(&b, 13);
  ob_input(&b, "x", OB_U8, 2, (const int64_t[]){1, k});
  const char *one = ob_float(&b, 1);
  (void)ob_node(&b, "", "DequantizeLinear", "d", "x", one, (const char *)NULL);
  (void)ob_node(&b, "", "DequantizeLinear", "w", ob_ints(&b, OB_I8, 2, (const int64_t[]){k, 1}, w), one, (const char *)NULL);
  if (bias_scale == 0) (void)ob_node(&b, "", "MatMul", "m", "d", "w", (const char *)NULL);
  else {
    (void)ob_node(&b, "", "DequantizeLinear", "b", ob_ints(&b, OB_I32, 1, (const int64_t[]){1}, &bias), ob_float(&b, bias_scale), (const char *)NULL);
    (void)ob_node(&b, "", "Gemm", "m", "d", "w", "b", (const char *)NULL);
  }
  (void)ob_node(&b, "", "QuantizeLinear", "y", "m", ob_float(&b, 4096), (const char *)NULL);
  ob_output(&b, "y", OB_U8);
  ob_pack(&b, f);
  ob_clear(&b);
}

static qv_status qdq_status(int64_t k, float bias_scale, const char *profile) {
  qv_buf f = {0};
  qv_err err = {0};
  qv_net *net;
  qdq_product(&f, k, bias_scale);
  qv_status st = load(&net, &f, profile, &err);
  qv_net_free(net);
  qv_buf_free(&f);
  return st;
}

/* Sums of k products 255 * 127 = 32,385 are exact in binary32 up to 2^24: 518 of them, not 519. */
static void test_binary32_limit(void **state) {
  (void)state;
  static const char *const profile[] = {"ort-float-qdq", "onnx-ref"};
  for (int p = 0; p < 2; p++) {
    assert_int_equal(qdq_status(518, 0, profile[p]), QV_OK);
    assert_int_equal(qdq_status(519, 0, profile[p]), QV_E_UNSUP);
  }
  assert_int_equal(qdq_status(519, 0, "onnx-spec"), QV_OK);
  assert_int_equal(qdq_status(519, 0, "ort-vnni"), QV_OK);
  assert_int_equal(qdq_status(8, 1, "onnx-spec"), QV_OK); /* the bias's scale is input scale times weight scale */
  assert_int_equal(qdq_status(8, 1.001f, "onnx-spec"), QV_E_UNSUP);
  assert_int_equal(qdq_status(8, 1.001f, "ort-vnni"), QV_OK); /* not looked at */
}

/* ---- QLinearConv against plain loops over NCHW ----------------------------------------------------------------------------------- */

typedef struct {
  int64_t n, c, h, w, oc, groups, kh, kw, sh, sw, dh, dw, pt, pl, pb, pr, oh, ow;
} conv;

static void random_conv(qv_rng *r, conv *k) {
  k->groups = qv_rng_range(r, 1, 3);
  k->c = k->groups * qv_rng_range(r, 1, 3);
  k->oc = k->groups * qv_rng_range(r, 1, 3);
  k->n = qv_rng_range(r, 1, 2);
  k->h = qv_rng_range(r, 3, 6);
  k->w = qv_rng_range(r, 3, 6);
  k->kh = qv_rng_range(r, 1, 3);
  k->kw = qv_rng_range(r, 1, 3);
  k->sh = qv_rng_range(r, 1, 2);
  k->sw = qv_rng_range(r, 1, 2);
  k->dh = k->kh == 2 ? qv_rng_range(r, 1, 2) : 1;
  k->dw = k->kw == 2 ? qv_rng_range(r, 1, 2) : 1;
  k->pt = qv_rng_range(r, 0, 1);
  k->pl = qv_rng_range(r, 0, 1);
  k->pb = qv_rng_range(r, 0, 1);
  k->pr = qv_rng_range(r, 0, 1);
  k->oh = (k->h + k->pt + k->pb - (k->kh - 1) * k->dh - 1) / k->sh + 1;
  k->ow = (k->w + k->pl + k->pr - (k->kw - 1) * k->dw - 1) / k->sw + 1;
}

static void test_conv_loops(void **state) {
  (void)state;
  unsigned rounds = 150 * rn_multiplier();
  qv_rng r = {20240611};
  print_message("seed %llu\n", (unsigned long long)r.s);
  for (unsigned t = 0; t < rounds; t++) {
    conv k;
    ob b;
    qv_buf f = {0};
    static int64_t x[4096], w[1024], bias[16], wz[16], y[8192];
    float sw[16];
    random_conv(&r, &k);
    bool per = qv_rng_range(&r, 0, 1) != 0, has_bias = qv_rng_range(&r, 0, 1) != 0;
    int64_t gic = k.c / k.groups, zx = qv_rng_range(&r, 0, 255), zy = qv_rng_range(&r, 0, 255), nx = k.n * k.c * k.h * k.w;
    int64_t nw = k.oc * gic * k.kh * k.kw;
    for (int64_t i = 0; i < nx; i++) x[i] = qv_rng_range(&r, 0, 255);
    for (int64_t i = 0; i < nw; i++) w[i] = qv_rng_range(&r, -128, 127);
    for (int64_t o = 0; o < k.oc; o++) {
      bias[o] = qv_rng_range(&r, -2000, 2000);
      wz[o] = per || o == 0 ? qv_rng_range(&r, -3, 3) : wz[0];
      sw[o] = per || o == 0 ? (float)qv_rng_range(&r, 1, 1 << 20) / (1 << 24) : sw[0];
    }
    float sx = (float)qv_rng_range(&r, 1, 1 << 20) / (1 << 24), sy = 60 * sx * sw[0] * (float)qv_rng_range(&r, 1, 300);
    ob_init(&b, 13);
    ob_input(&b, "x", OB_U8, 4, (const int64_t[]){k.n, k.c, k.h, k.w});
    size_t np = per ? 1 : 0;
    Onnx__NodeProto *n = ob_node(&b, "", "QLinearConv", "y", "x", ob_float(&b, sx), ob_int(&b, OB_U8, zx),
                                 ob_ints(&b, OB_I8, 4, (const int64_t[]){k.oc, gic, k.kh, k.kw}, w), ob_floats(&b, np, &k.oc, sw), ob_ints(&b, OB_I8, np, &k.oc, wz),
                                 ob_float(&b, sy), ob_int(&b, OB_U8, zy), has_bias ? ob_ints(&b, OB_I32, 1, &k.oc, bias) : "", (const char *)NULL);
    ob_attr_i(&b, n, "group", k.groups);
    ob_attr_ints(&b, n, "strides", 2, (const int64_t[]){k.sh, k.sw});
    ob_attr_ints(&b, n, "dilations", 2, (const int64_t[]){k.dh, k.dw});
    ob_attr_ints(&b, n, "pads", 4, (const int64_t[]){k.pt, k.pl, k.pb, k.pr});
    ob_output(&b, "y", OB_U8);
    ob_pack(&b, &f);
    ob_clear(&b);
    run_ints(&f, "onnx-spec", x, y);
    for (int64_t i = 0, e = 0; i < k.n; i++)
      for (int64_t o = 0; o < k.oc; o++)
        for (int64_t p = 0; p < k.oh; p++)
          for (int64_t q = 0; q < k.ow; q++, e++) {
            int64_t acc = has_bias ? bias[o] : 0, g = o / (k.oc / k.groups);
            for (int64_t c = 0; c < gic; c++)
              for (int64_t u = 0; u < k.kh; u++)
                for (int64_t v = 0; v < k.kw; v++) {
                  int64_t iy = p * k.sh - k.pt + u * k.dh, ix = q * k.sw - k.pl + v * k.dw;
                  if (iy < 0 || iy >= k.h || ix < 0 || ix >= k.w) continue;
                  acc += (w[((o * gic + c) * k.kh + u) * k.kw + v] - wz[o]) * (x[((i * k.c + g * gic + c) * k.h + iy) * k.w + ix] - zx);
                }
            double real = (double)acc * ((double)sx * (double)sw[o] / (double)sy);
            double want = fmin(fmax(nearbyint(real) + (double)zy, 0), 255);
            if ((double)y[e] != want) fail_msg("round %u, element %lld: %lld, expected %g (real %g)", t, (long long)e, (long long)y[e], want, real);
          }
    qv_buf_free(&f);
  }
}

/* ---- refusals and damage --------------------------------------------------------------------------------------------------------- */

static void conv_model(qv_buf *f) {
  ob b;
  static const int64_t w[12] = {1, -2, 3, -4, 5, -6, 7, -8, 9, -10, 11, -12};
  ob_init(&b, 13);
  ob_input(&b, "x", OB_FLOAT, 4, (const int64_t[]){1, 1, 3, 3});
  const char *s = ob_float(&b, 0.5f), *z = ob_int(&b, OB_U8, 3);
  (void)ob_node(&b, "", "QuantizeLinear", "q", "x", s, z, (const char *)NULL);
  (void)ob_node(&b, "", "DequantizeLinear", "d", "q", s, z, (const char *)NULL);
  (void)ob_node(&b, "", "DequantizeLinear", "w", ob_ints(&b, OB_I8, 4, (const int64_t[]){3, 1, 2, 2}, w), s, (const char *)NULL);
  (void)ob_node(&b, "", "Conv", "c", "d", "w", (const char *)NULL);
  (void)ob_node(&b, "", "QuantizeLinear", "p", "c", s, z, (const char *)NULL);
  (void)ob_node(&b, "", "DequantizeLinear", "y", "p", s, z, (const char *)NULL);
  ob_output(&b, "y", OB_FLOAT);
  ob_pack(&b, f);
  ob_clear(&b);
}

static void test_profiles(void **state) {
  (void)state;
  qv_buf f = {0};
  qv_net *net;
  conv_model(&f);
  qv_err err = {0};
  assert_int_equal(load(&net, &f, NULL, &err), QV_E_ARG);
  for (size_t i = 0; qv_onnx_profile_at(i) != NULL; i++) assert_non_null(strstr(err.msg, qv_onnx_profile_at(i)->name));
  err = (qv_err){0};
  assert_int_equal(load(&net, &f, "tflite-double", &err), QV_E_ARG);
  net = must_load(&f, "ort-vnni");
  assert_string_equal(net->profile, "ort-vnni");
  assert_string_equal(net->format, "onnx");
  assert_int_equal(net->in[0].end, QV_END_QUANT_EVEN);
  assert_int_equal(net->out[0].end, QV_END_DEQUANT);
  assert_string_equal(net->in[0].name, "x");
  assert_string_equal(net->out[0].name, "y");
  qv_net_free(net);
  qv_buf_free(&f);
}

static void test_damage(void **state) {
  (void)state;
  qv_buf f = {0};
  qv_rng r = {77};
  conv_model(&f);
  size_t whole = 0;
  for (size_t n = 0; n < f.n; n++) { /* every prefix: an error with a message; the file without its second operator set is whole */
    qv_err err = {0};
    qv_net *net = NULL;
    unsigned char *exact = malloc(n + 1);
    assert_non_null(exact);
    memcpy(exact, f.p, n);
    qv_status st = qv_load_bytes(&net, exact, n, "cut.onnx", &(qv_load_opts){.profile = "ort-vnni"}, &err);
    whole += st == QV_OK;
    assert_true(st == QV_OK || (err.msg[0] != 0 && strchr(err.msg, '\n') == NULL));
    assert_true(st == QV_OK || st == QV_E_PARSE || st == QV_E_UNSUP);
    qv_net_free(net);
    free(exact);
  }
  assert_int_equal(whole, 1);
  for (unsigned t = 0; t < 3000 * rn_multiplier(); t++) {
    qv_buf g = {0};
    qv_err err = {0};
    qv_net *net = NULL;
    qv_buf_put(&g, f.p, f.n);
    for (int64_t k = qv_rng_range(&r, 1, 4); k > 0; k--) g.p[qv_rng_range(&r, 0, (int64_t)g.n - 1)] = (unsigned char)qv_rng_range(&r, 0, 255);
    qv_status st = load(&net, &g, "ort-avx2", &err);
    assert_true(st == QV_OK || err.msg[0] != 0);
    assert_true(st != QV_E_INTERNAL);
    qv_net_free(net);
    qv_buf_free(&g);
  }
  for (size_t limit = 256; limit < 65536; limit += 512) { /* short memory is an error, never a crash */
    qv_err err = {0};
    qv_net *net = NULL;
    qv_status st = qv_onnx_read(&net, f.p, f.n, "small.onnx", &(qv_load_opts){.profile = "ort-vnni", .max_bytes = limit}, &err);
    assert_true(st == QV_OK || st == QV_E_NOMEM || st == QV_E_LIMIT || st == QV_E_PARSE);
    qv_net_free(net);
  }
  qv_buf_free(&f);
}

/* tests/zoo/onnx: NAME.onnx has one mistake or one thing that is not supported; NAME.expect is the status and a part of the message. */
static void test_zoo(void **state) {
  (void)state;
  size_t files = 0;
  DIR *d = opendir(ZOO);
  assert_non_null(d);
  for (const struct dirent *e; (e = readdir(d)) != NULL;) {
    char path[512];
    size_t n = strlen(e->d_name);
    if (n < 6 || strcmp(e->d_name + n - 5, ".onnx") != 0) continue;
    qv_buf file = {0}, want = {0};
    qv_err err = {0};
    qv_net *net;
    (void)snprintf(path, sizeof path, ZOO "/%s", e->d_name);
    slurp(&file, path);
    (void)snprintf(path, sizeof path, ZOO "/%.*s.expect", (int)(n - 5), e->d_name);
    slurp(&want, path);
    char *text = (char *)want.p, *part = strchr(text, ' ');
    assert_non_null(part);
    *part++ = 0;
    part[strcspn(part, "\n")] = 0;
    qv_status st = load(&net, &file, "ort-vnni", &err);
    qv_status expected = strcmp(text, "parse") == 0 ? QV_E_PARSE : QV_E_UNSUP;
    if (st != expected || strstr(err.msg, part) == NULL) fail_msg("%s: %s: %s", e->d_name, qv_status_name(st), err.msg);
    qv_net_free(net);
    qv_buf_free(&file);
    qv_buf_free(&want);
    files++;
  }
  assert_int_equal(closedir(d), 0);
  print_message("%zu files\n", files);
  assert_true(files >= 30);
}

/* ---- external data ------------------------------------------------------------------------------------------------------------ */

static char folder[64];

static void put_file(const char *name, const void *data, size_t n) {
  char path[256];
  qv_err err = {0};
  (void)snprintf(path, sizeof path, "%s/%s", folder, name);
  if (qv_file_write(path, data, n, &err) != QV_OK) fail_msg("%s", err.msg);
}

static char *words(ob *b, const char *s) {
  char *p = qv_arena_str(&b->a, s, strlen(s));
  assert_non_null(p);
  return p;
}

/* y = MatMulInteger(x [1,2], w [2,2]); w lies outside: location, offset and length as given (NULL: absent). */
static qv_status external(const char *location, const char *offset, const char *length, const char *dir, int64_t y[2], qv_err *err) {
  ob b;
  qv_buf f = {0};
  qv_net *net = NULL;
  const char *key[3] = {"location", "offset", "length"}, *val[3] = {location, offset, length};
  ob_init(&b, 13);
  ob_input(&b, "x", OB_U8, 2, (const int64_t[]){1, 2});
  const char *w = ob_ints(&b, OB_I8, 2, (const int64_t[]){2, 2}, (const int64_t[]){0, 0, 0, 0});
  Onnx__TensorProto *t = b.graph.initializer[b.graph.n_initializer - 1];
  t->n_int32_data = 0;
  t->has_data_location = 1;
  t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
  t->external_data = QV_NEW(&b.a, 3, Onnx__StringStringEntryProto *);
  for (int k = 0; k < 3; k++) {
    if (val[k] == NULL) continue;
    Onnx__StringStringEntryProto *e = QV_NEW(&b.a, 1, Onnx__StringStringEntryProto);
    onnx__string_string_entry_proto__init(e);
    e->key = words(&b, key[k]);
    e->value = words(&b, val[k]);
    t->external_data[t->n_external_data++] = e;
  }
  (void)ob_node(&b, "", "MatMulInteger", "y", "x", w, (const char *)NULL);
  ob_output(&b, "y", OB_I32);
  ob_pack(&b, &f);
  ob_clear(&b);
  qv_status st = qv_load_bytes(&net, f.p, f.n, "external.onnx", &(qv_load_opts){.profile = "onnx-spec", .dir = dir}, err);
  if (st == QV_OK) {
    qv_values v;
    init_values(net, &v);
    v.v[net->in[0].tensor][0] = 1;
    v.v[net->in[0].tensor][1] = 10;
    run_ref(net, &v);
    for (int k = 0; k < 2; k++) y[k] = v.v[net->out[0].tensor][k];
    qv_values_clear(&v);
  }
  qv_net_free(net);
  qv_buf_free(&f);
  return st;
}

static void test_external_data(void **state) {
  (void)state;
  char path[256], link[256];
  int64_t y[2];
  qv_err err = {0};
  (void)snprintf(folder, sizeof folder, "/tmp/qverify-external-XXXXXX");
  assert_non_null(mkdtemp(folder));
  (void)snprintf(path, sizeof path, "%s/model", folder);
  assert_int_equal(mkdir(path, 0700), 0);
  (void)snprintf(path, sizeof path, "%s/model/sub", folder);
  assert_int_equal(mkdir(path, 0700), 0);
  static const signed char data[8] = {99, 99, 1, 2, 3, -4, 99, 99};
  put_file("secret", data, 8);
  put_file("model/w", data, 8);
  put_file("model/sub/w", data, 8);
  put_file("model/short", data, 5);
  (void)snprintf(link, sizeof link, "%s/model/link", folder);
  assert_int_equal(symlink("../secret", link), 0);
  (void)snprintf(link, sizeof link, "%s/model/out", folder);
  assert_int_equal(symlink("..", link), 0);
  (void)snprintf(link, sizeof link, "%s/model/pipe", folder);
  assert_int_equal(mkfifo(link, 0600), 0);
  (void)snprintf(path, sizeof path, "%s/model", folder);
  if (external("w", "2", "4", path, y, &err) != QV_OK) fail_msg("%s", err.msg);
  assert_true(y[0] == 31 && y[1] == -38);
  assert_int_equal(external("sub/w", "2", NULL, path, y, &err), QV_OK);
  assert_true(y[0] == 31 && y[1] == -38);
  assert_int_equal(external("w", NULL, NULL, path, y, &err), QV_OK);
  assert_true(y[0] == 99 + 10 && y[1] == 99 + 20);
  char absolute[256];
  (void)snprintf(absolute, sizeof absolute, "%s/secret", folder);
  const struct {
    const char *location, *offset, *length, *says;
  } bad[] = {
      {"../secret", "2", "4", "must stay in the model's folder"}, {"sub/../../secret", "2", "4", "must stay"}, {absolute, "2", "4", "must stay"},
      {"sub/../w", "2", "4", "must stay"}, {"./w", "2", "4", "must stay"}, {"sub//w", "2", "4", "must stay"}, {"", "2", "4", "must stay"},
      {"sub/", "2", "4", "must stay"}, {"link", "2", "4", "symbolic link"}, {"out/secret", "2", "4", "symbolic link"},
      {"none", "2", "4", "cannot be opened"}, {"w/x", "2", "4", "cannot be opened"}, {"sub", "0", "4", "no regular file"}, {"pipe", "0", "4", "no regular file"},
      {"w", "2", "5", "does not fit the dimensions"}, {"w", "2", "3", "does not fit"}, {"w", "5", "4", "ends before"}, {"short", "2", "4", "ends before"},
      {"w", "9", NULL, "ends before"}, {"w", "999999999999999999", NULL, "ends before"}, {"w", "-1", "4", "not described"},
      {"w", "1e1", "4", "not described"}, {"w", "9999999999999999999", "4", "not described"}, {NULL, "2", "4", "not described"},
  };
  for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
    qv_err e = {0};
    qv_status st = external(bad[k].location, bad[k].offset, bad[k].length, path, y, &e);
    if (bad[k].location != NULL && strcmp(bad[k].location, "w/x") == 0) assert_int_equal(st, QV_E_PARSE); /* said in one of two ways */
    else if (st != QV_E_PARSE || strstr(e.msg, bad[k].says) == NULL)
      fail_msg("%s %s: %s", bad[k].location != NULL ? bad[k].location : "-", bad[k].offset, e.msg);
  }
  err = (qv_err){0};
  assert_int_equal(external("w", "2", "4", NULL, y, &err), QV_E_UNSUP);
  static const char *const made[] = {"model/pipe", "model/out", "model/link", "model/short", "model/sub/w", "model/w", "secret", "model/sub", "model", ""};
  for (size_t k = 0; k < sizeof made / sizeof *made; k++) {
    (void)snprintf(path, sizeof path, "%s/%s", folder, made[k]);
    assert_int_equal(remove(path), 0);
  }
}

/* DequantizeLinear, Softmax, QuantizeLinear and perhaps DequantizeLinear at the end: the integers before the Softmax are the net's. */
static void test_softmax_end(void **state) {
  (void)state;
  for (int dequantized = 0; dequantized < 2; dequantized++) {
    ob b;
    qv_buf f = {0};
    ob_init(&b, 13);
    ob_input(&b, "x", OB_I8, 2, (const int64_t[]){1, 5});
    (void)ob_node(&b, "", "DequantizeLinear", "d", "x", ob_float(&b, 0.25f), ob_int(&b, OB_I8, 3), (const char *)NULL);
    (void)ob_node(&b, "", "Softmax", "s", "d", (const char *)NULL);
    const char *sy = ob_float(&b, 1.0f / 256), *zy = ob_int(&b, OB_U8, 0);
    (void)ob_node(&b, "", "QuantizeLinear", dequantized ? "q" : "y", "s", sy, zy, (const char *)NULL);
    if (dequantized) (void)ob_node(&b, "", "DequantizeLinear", "y", "q", sy, zy, (const char *)NULL);
    ob_output(&b, "y", dequantized ? OB_FLOAT : OB_U8);
    ob_pack(&b, &f);
    ob_clear(&b);
    qv_net *net = must_load(&f, "ort-vnni");
    assert_int_equal(net->out[0].tensor, net->in[0].tensor);
    assert_int_equal(net->out[0].end, QV_END_DEQUANT);
    assert_string_equal(net->out[0].tail, "SOFTMAX");
    assert_int_equal(net->n_notes, 1);
    assert_non_null(strstr(net->note[0], "before the float SOFTMAX and the quantization of its result"));
    qv_net_free(net);
    qv_buf_free(&f);
  }
}

/* x -> DequantizeLinear -> Erf -> Add (a constant row) -> QuantizeLinear -> MaxPool, with Erf and the addition unknown. */
static void opaque_chain(qv_buf *f, bool end) {
  ob b;
  static const float row[3] = {1, 2, 3};
  ob_init(&b, 13);
  ob_input(&b, "x", OB_I8, 4, (const int64_t[]){1, 2, 1, 3});
  const char *s = ob_float(&b, 0.25f), *z = ob_int(&b, OB_I8, 3), *r = ob_floats(&b, 1, (const int64_t[]){3}, row);
  (void)ob_node(&b, "", "DequantizeLinear", "d", "x", s, z, (const char *)NULL);
  (void)ob_node(&b, "", "Erf", "e", "d", (const char *)NULL);
  (void)ob_node(&b, "", "Add", end ? "y" : "a", "e", r, (const char *)NULL);
  if (!end) {
    (void)ob_node(&b, "", "QuantizeLinear", "q", "a", s, ob_int(&b, OB_U8, 7), (const char *)NULL);
    Onnx__NodeProto *p = ob_node(&b, "", "MaxPool", "y", "q", (const char *)NULL);
    ob_attr_ints(&b, p, "kernel_shape", 2, (const int64_t[]){1, 2});
  }
  ob_output(&b, "y", end ? OB_FLOAT : OB_U8);
  ob_pack(&b, f);
  ob_clear(&b);
}

static void test_opaque(void **state) {
  (void)state;
  qv_net *net = NULL;
  for (int end = 0; end < 2; end++) {
    qv_buf f = {0};
    qv_err err = {0};
    opaque_chain(&f, end);
    assert_int_equal(load(&net, &f, "ort-vnni", &err), QV_E_UNSUP);
    assert_non_null(strstr(err.msg, "(Erf, opset 13)"));
    const qv_load_opts o = {.profile = "ort-vnni", .opaque = true};
    err = (qv_err){0};
    if (qv_load_bytes(&net, f.p, f.n, "opaque.onnx", &o, &err) != QV_OK) fail_msg("%s", err.msg);
    if (end) { /* the integers that the unknown operators read */
      assert_int_equal(net->n_nodes, 0);
      assert_int_equal(net->n_out, 1);
      assert_int_equal(net->out[0].tensor, net->in[0].tensor);
      assert_int_equal(net->n_notes, 3);
    } else {
      uint32_t opaque = 0;
      for (uint32_t k = 0; k < net->n_nodes; k++) {
        const qv_node *n = &net->node[k];
        if (n->kind != QV_OPAQUE) continue;
        opaque++;
        const qv_tensor *t = &net->tensor[n->out];
        assert_true(t->type == QV_U8 && t->lo == 0 && t->hi == 255 && t->rank == 4 && t->dim[3] == 3);
        assert_true(n->n_in == 1 && n->in[0] == net->in[0].tensor);
      }
      assert_int_equal(opaque, 1);
      assert_int_equal(net->n_notes, 2);
      assert_int_equal(net->tensor[net->out[0].tensor].dim[3], 2);
    }
    qv_net_free(net);
    qv_buf_free(&f);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_saturating_conv), cmocka_unit_test(test_runtime_outputs), cmocka_unit_test(test_node_tests), cmocka_unit_test(test_external_data), cmocka_unit_test(test_opaque), cmocka_unit_test(test_softmax_end),
      cmocka_unit_test(test_movements),       cmocka_unit_test(test_stored_models),   cmocka_unit_test(test_rounding),
      cmocka_unit_test(test_accumulators),    cmocka_unit_test(test_binary32_limit), cmocka_unit_test(test_conv_loops),      cmocka_unit_test(test_profiles),
      cmocka_unit_test(test_damage),          cmocka_unit_test(test_zoo),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
