/* CMSIS-NN's published unit-test vectors (ARM-software/CMSIS-NN 99f736a, Apache-2.0, as JSON) through hand-built integer
 * nets: the stored outputs come from TFLite's interpreter, so they are an oracle for the semantics of AFFINE, STEP, SUM,
 * PRODUCT, MAX, INDEX and TAIL that owes nothing to this program. */
#include <dirent.h>
#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/exec.h"
#include "kernels/ref.h"
#include "tests/cmsis_net.h"

#define MUST_RUN 106 /* of the 133 cases in the folder */

/* ---- one builder per family: inputs, nodes; returns the output tensor --------------------------------------------------- */

static uint32_t image_input(cmsis_net *b, cmsis_case *c) {
  uint32_t dim[4];
  cmsis_image(dim, c);
  return cmsis_input(b, cmsis_read(c, "input|input_tensor").type, 4, dim);
}

static uint32_t build_conv(cmsis_net *b, cmsis_case *c) { return cmsis_conv(b, c, image_input(b, c), false); }
static uint32_t build_depthwise(cmsis_net *b, cmsis_case *c) {
  uint32_t x = image_input(b, c);
  assert_int_equal(cmsis_dim(c, "CH_MULT") * cmsis_dim(c, "IN_CH"), cmsis_dim(c, "OUT_CH"));
  return cmsis_conv(b, c, x, true);
}
static uint32_t build_average_pool(cmsis_net *b, cmsis_case *c) { return cmsis_average_pool(b, c, image_input(b, c)); }
static uint32_t build_max_pool(cmsis_net *b, cmsis_case *c) { return cmsis_max_pool(b, c, image_input(b, c)); }

static uint32_t build_dense(cmsis_net *b, cmsis_case *c) {
  const uint32_t dim[2] = {cmsis_dim(c, "INPUT_BATCHES"), cmsis_dim(c, "ACCUMULATION_DEPTH")};
  return cmsis_dense(b, c, cmsis_input(b, cmsis_read(c, "input").type, 2, dim), cmsis_dim(c, "OUT_CH"));
}

static uint32_t vector_input(cmsis_net *b, cmsis_case *c, const char *name) {
  const uint32_t dim[1] = {cmsis_dim(c, "DST_SIZE")};
  return cmsis_input(b, cmsis_read(c, name).type, 1, dim);
}

static uint32_t build_add(cmsis_net *b, cmsis_case *c) {
  uint32_t x = vector_input(b, c, "input1"), y = vector_input(b, c, "input2");
  return cmsis_add(b, c, x, y);
}
static uint32_t build_mul(cmsis_net *b, cmsis_case *c) {
  uint32_t x = vector_input(b, c, "input1"), y = vector_input(b, c, "input2");
  return cmsis_mul(b, c, x, y);
}

static uint32_t build_pad(cmsis_net *b, cmsis_case *c) {
  const uint32_t dim[4] = {cmsis_dim(c, "INPUT_N"), cmsis_dim(c, "INPUT_H"), cmsis_dim(c, "INPUT_W"), cmsis_dim(c, "INPUT_C")};
  return cmsis_pad(b, c, cmsis_input(b, QV_I8, 4, dim));
}

/* The converted data lost shapes and permutations (macros over several lines). The permutation is in the name, or the
 * reversal where there is none; the shape is the one for which the stored output is that permutation of the stored input,
 * found once by trying all factorizations of the size. It is unique for nhcw, nwhc, ncwh, 3dim, default and matrix; for
 * nchw and wchn two neighbours stay neighbours and only their product (27, 63) is determined. */
static const struct {
  const char *name;
  uint32_t rank, dim[4], perm[4];
} transposes[] = {
    {"transpose_3dim", 3, {5, 4, 20}, {0, 2, 1}},
    {"transpose_default", 4, {4, 3, 3, 22}, {3, 2, 1, 0}},
    {"transpose_matrix", 2, {5, 20}, {1, 0}},
    {"transpose_nchw", 4, {4, 3, 9, 19}, {0, 3, 1, 2}},
    {"transpose_ncwh", 4, {5, 4, 3, 9}, {0, 3, 2, 1}},
    {"transpose_nhcw", 4, {1, 1, 128, 128}, {0, 1, 3, 2}},
    {"transpose_nwhc", 4, {1, 19, 3, 64}, {0, 2, 1, 3}},
    {"transpose_wchn", 4, {4, 3, 7, 9}, {2, 3, 1, 0}},
};

static uint32_t build_transpose(cmsis_net *b, cmsis_case *c) {
  for (size_t i = 0; i < sizeof transposes / sizeof transposes[0]; i++)
    if (strcmp(c->name, transposes[i].name) == 0)
      return cmsis_transpose(b, cmsis_input(b, QV_I8, transposes[i].rank, transposes[i].dim), transposes[i].perm);
  fail_msg("%s: the shape of this case is not known", c->name);
  return QV_NONE;
}

static uint32_t build_softmax(cmsis_net *b, cmsis_case *c) {
  const uint32_t dim[2] = {cmsis_dim(c, "NUM_ROWS"), cmsis_dim(c, "ROW_SIZE")};
  uint32_t x = cmsis_input(b, cmsis_read(c, "input").type, 2, dim);
  return cmsis_softmax(b, c, x, cmsis_read(c, "output_ref").type);
}

/* A keyword-spotting net from input to softmax. Layers are numbered from 1; the reshape before the dense layer has no
 * constants. The constants of the dense layer have inputs and outputs mixed up; OUTPUT_W is the number of outputs. */
static uint32_t build_ds_cnn(cmsis_net *b, cmsis_case *c) {
  static const char *const ops[] = {"CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "FULLY_CONNECTED", "SOFTMAX"};
  uint32_t x = QV_NONE;
  for (unsigned layer = 1; layer < 20; layer++)
    for (unsigned op = 0; op < 5; op++) {
      cmsis_scope(c, ops[op], layer);
      if (!cmsis_has(c, "OUT_CH")) continue;
      if (layer == 1) {
        uint32_t dim[4];
        cmsis_image(dim, c);
        x = cmsis_input(b, QV_I8, 4, dim);
      }
      switch (op) {
      case 0:
      case 1: x = cmsis_conv(b, c, x, op == 1); break;
      case 2: x = cmsis_average_pool(b, c, x); break;
      case 3: x = cmsis_dense(b, c, x, cmsis_dim(c, "OUTPUT_W")); break;
      case 4: x = cmsis_softmax(b, c, x, QV_I8); break;
      }
    }
  cmsis_scope(c, NULL, 0);
  return x;
}

/* ---- the families of cases ---------------------------------------------------------------------------------------------- */

typedef uint32_t (*builder)(cmsis_net *b, cmsis_case *c);

typedef struct {
  const char *pattern; /* of the name; the first that matches counts */
  builder build;       /* NULL: not run */
  const char *why;     /* if not run */
} family;

static const family families[] = {
    {"batch_matmul_*", NULL, "product of two variable matrices: no such node"},
    {"lstm_*", NULL, "recurrent net: state is outside the program's nets"},
    {"svdf*", NULL, "recurrent net: state is outside the program's nets"},
    {"transpose_conv_*", NULL, "transposed convolution: no such node"},
    {"reverse_transpose_conv_*", NULL, "transposed convolution: no such node"},
    {"minimum_*", NULL, "minimum of two tensors: no such node"},
    {"maximum_*", NULL, "maximum of two tensors: no such node"},
    {"conv_*", build_conv, NULL},
    {"basic_*int4", build_conv, NULL},
    {"kernel1x1*", build_conv, NULL},
    {"stride2pad1*", build_conv, NULL},
    {"grouped_conv_*", build_conv, NULL},
    {"int16xint8*", build_conv, NULL},
    {"requantize_s64", build_conv, NULL},
    {"depthwise_*", build_depthwise, NULL},
    {"dw_int16xint8*", build_depthwise, NULL},
    {"in_ch_one_out_ch_larger_one", build_depthwise, NULL},
    {"fully_connected*", build_dense, NULL},
    {"fc_*", build_dense, NULL},
    {"avgpooling*", build_average_pool, NULL},
    {"maxpool*", build_max_pool, NULL},
    {"add_s16*", build_add, NULL},
    {"mul", build_mul, NULL},
    {"mul_s16*", build_mul, NULL},
    {"pad_int8*", build_pad, NULL},
    {"transpose_*", build_transpose, NULL},
    {"softmax*", build_softmax, NULL},
    {"ds_cnn_*", build_ds_cnn, NULL},
};

static const family *family_of(const char *name) {
  for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
    if (fnmatch(families[i].pattern, name, 0) == 0) return &families[i];
  return NULL;
}

/* int4 convolutions: of the newer data set only the constants and half of the arrays survive (its input and its shifts have
 * the names of the older set's). The older set is whole but for these constants, which are those of its config_data.h in
 * the history of ARM-software/CMSIS-NN (Tests/UnitTest/TestCases/TestData/<case>, commits bc25bce and bfc54ed). The arrays
 * of basic_int4 and conv_3x3_dilation_5x5_input_int4 are younger than both: there the stored INPUT_OFFSET is right. */
static const struct {
  const char *name, *constants;
} older[] = {
    {"basic_2_int4", "INPUT_OFFSET=0"},
    {"conv_1_x_n_2_int4", "OUT_ACTIVATION_MIN=-111"},
    {"conv_1_x_n_3_int4", "INPUT_OFFSET=0 OUT_ACTIVATION_MIN=-111"},
    {"conv_1_x_n_4_int4", "INPUT_OFFSET=0 OUT_ACTIVATION_MIN=-88"},
    {"conv_1_x_n_5_int4", "INPUT_OFFSET=0 OUT_ACTIVATION_MIN=-88"},
    {"conv_2x2_dilation_5x5_input_int4", "INPUT_OFFSET=0 OUT_ACTIVATION_MIN=-61 OUT_ACTIVATION_MAX=107"},
    {"conv_2x2_dilation_int4", "INPUT_OFFSET=0 OUT_ACTIVATION_MIN=-61 OUT_ACTIVATION_MAX=107"},
    {"conv_2x3_dilation_int4", "INPUT_OFFSET=0 OUT_ACTIVATION_MIN=-61 OUT_ACTIVATION_MAX=107 DILATION_Y=2 PAD_Y=2"},
    {"conv_3x2_dilation_int4", "INPUT_OFFSET=0 OUT_ACTIVATION_MIN=-61 OUT_ACTIVATION_MAX=107"},
    {"conv_3x3_dilation_5x5_input_int4", "OUT_ACTIVATION_MIN=-61 OUT_ACTIVATION_MAX=107 INPUT_W=9 INPUT_H=11 OUTPUT_W=9 "
                                         "OUTPUT_H=11 DILATION_X=2 DILATION_Y=2 PAD_X=2 PAD_Y=2"},
    {"conv_5_int4", "OUT_ACTIVATION_MIN=-88"},
    {"conv_dilation_golden_int4", "INPUT_OFFSET=0 BATCH_SIZE=2"},
    {"conv_out_activation_int4", "INPUT_OFFSET=0 OUT_ACTIVATION_MIN=-61 OUT_ACTIVATION_MAX=107"},
    {"kernel1x1_int4_2", "INPUT_OFFSET=0 OUT_ACTIVATION_MIN=-126 INPUT_W=60 OUTPUT_W=60"},
    {"kernel1x1_stride_x_y_1_int4", "OUT_ACTIVATION_MIN=-126 BATCH_SIZE=2"},
    {"kernel1x1_stride_x_y_int4", "INPUT_OFFSET=0 BATCH_SIZE=3"},
};

static const char *older_constants(const char *name) {
  for (size_t i = 0; i < sizeof older / sizeof older[0]; i++)
    if (strcmp(name, older[i].name) == 0) return older[i].constants;
  return NULL;
}

/* ---- running one case --------------------------------------------------------------------------------------------------- */

typedef struct {
  cmsis_case c;
  cmsis_net b;
  cmsis_array expect;
  qv_values vals; /* after the reference run */
  uint32_t out;
} run;

static char folder[1024];

static void run_start(run *r, const char *name, qv_rq rounding) {
  const family *f = family_of(name);
  qv_err err = {0};
  assert_true(f != NULL && f->build != NULL);
  cmsis_load(&r->c, folder, name, older_constants(name));
  r->b = (cmsis_net){.net = qv_net_new(0), .rounding = rounding};
  assert_non_null(r->b.net);
  qv_net *net = r->b.net;
  r->out = f->build(&r->b, &r->c);
  assert_true(qv_net_add_out(net, &(qv_port){.tensor = r->out, .end = QV_END_INT, .name = "out"}));
  if (qv_ir_check(net, &err) != QV_OK) fail_msg("%s: %s", name, err.msg);
  if (qv_values_init(&r->vals, net, &err) != QV_OK) fail_msg("%s: %s", name, err.msg);
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_tensor *t = &net->tensor[net->in[i].tensor];
    cmsis_array x = cmsis_read(&r->c, net->n_in == 1 ? "input|input_tensor" : i == 0 ? "input1" : "input2");
    if (x.n != qv_elems(t) || x.type != t->type) fail_msg("%s: input of %zu elements, %zu wanted", name, x.n, qv_elems(t));
    memcpy(r->vals.v[net->in[i].tensor], x.v, x.n * sizeof *x.v);
  }
  if (qv_ref_run(net, &r->vals, &err) != QV_OK) fail_msg("%s: %s", name, err.msg);
  r->expect = cmsis_read(&r->c, "output_ref|output");
  if (r->expect.n != qv_elems(&net->tensor[r->out]) || r->expect.type != net->tensor[r->out].type)
    fail_msg("%s: %zu elements stored, %zu computed", name, r->expect.n, qv_elems(&net->tensor[r->out]));
}

static void run_end(run *r) {
  qv_values_clear(&r->vals);
  qv_net_free(r->b.net);
  cmsis_free(&r->c);
}

/* Elements that differ from the stored output; the first is described on stderr if `loud`. */
static size_t differing(const run *r, bool loud) {
  size_t n = 0;
  for (size_t i = 0; i < r->expect.n; i++) {
    int64_t got = r->vals.v[r->out][i];
    if (got == r->expect.v[i]) continue;
    if (loud && n == 0)
      (void)fprintf(stderr, "%s: element %zu is %lld, stored %lld\n", r->c.name, i, (long long)got, (long long)r->expect.v[i]);
    n++;
  }
  return n;
}

/* ---- the folder --------------------------------------------------------------------------------------------------------- */

static int is_case(const struct dirent *d) { return fnmatch("*.json", d->d_name, 0) == 0; }

static void need_folder(void) {
  DIR *dir = opendir(folder);
  if (dir == NULL) {
    (void)printf("SKIPPED: no CMSIS-NN vectors: there is no folder %s\n", folder);
    skip();
  }
  (void)closedir(dir);
}

/* Call f for every case, its name without ".json". */
static void each_case(void (*f)(const char *name, void *arg), void *arg) {
  struct dirent **list = NULL;
  need_folder();
  int n = scandir(folder, &list, is_case, alphasort);
  assert_true(n > 0);
  for (int i = 0; i < n; i++) {
    list[i]->d_name[strlen(list[i]->d_name) - strlen(".json")] = 0;
    f(list[i]->d_name, arg);
    free(list[i]);
  }
  free(list);
}

typedef struct {
  size_t ran, skipped, unknown, wrong, elements;
} tally;

static void one_reference(const char *name, void *arg) {
  tally *t = arg;
  const family *f = family_of(name);
  run r;
  if (f == NULL) {
    (void)printf("UNKNOWN  %s\n", name);
    t->unknown++;
    return;
  }
  if (f->build == NULL) {
    (void)printf("skipped  %s: %s\n", name, f->why);
    t->skipped++;
    return;
  }
  run_start(&r, name, QV_RQ_D);
  size_t bad = differing(&r, true);
  (void)printf("%s %s: %zu outputs\n", bad == 0 ? "ran     " : "WRONG   ", name, r.expect.n);
  t->ran++;
  t->wrong += bad != 0;
  t->elements += r.expect.n;
  run_end(&r);
}

static void reference_gives_the_stored_outputs(void **state) {
  (void)state;
  tally t = {0};
  each_case(one_reference, &t);
  (void)printf("CMSIS-NN vectors: %zu cases run (%zu outputs), %zu wrong, %zu skipped, %zu of unknown family\n", t.ran, t.elements, t.wrong,
               t.skipped, t.unknown);
  assert_int_equal(t.unknown, 0);
  assert_int_equal(t.wrong, 0);
  assert_true(t.ran >= MUST_RUN);
}

/* Nodes of the int16 softmax tables as another implementation publishes them (Cadence nnlib, softmax sym16s). */
static void softmax_tables_have_the_published_nodes(void **state) {
  (void)state;
  static const struct {
    int node, exp, reciprocal;
  } nodes[] = {
      {7, 2, 32326},       {63, 5, 29177},      {127, 18, 26255},    {191, 62, 23865},    {255, 217, 21874},   {287, 404, 20998},
      {319, 756, 20189},   {351, 1412, 19440},  {383, 2638, 18745},  {415, 4927, 18099},  {431, 6736, 17791},  {447, 9206, 17494},
      {463, 12583, 17208}, {479, 17199, 16930}, {495, 23509, 16660}, {503, 27485, 16529}, {511, 32133, 16400}, {512, 32767, 16384},
  };
  int16_t lut[2 * 513];
  cmsis_softmax_tables(lut);
  for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
    assert_int_equal(lut[nodes[i].node], nodes[i].exp);
    assert_int_equal(lut[513 + nodes[i].node], nodes[i].reciprocal);
  }
}

/* ---- single rounding is told apart --------------------------------------------------------------------------------------- */

/* Outputs that RQ_S in the place of RQ_D gets wrong, counted by a separate model; every case that is not here has none. */
static const struct {
  const char *name;
  size_t n;
} single[] = {
    {"add_s16_spill", 2},
    {"basic_2_int4", 43},
    {"conv_1_x_n_4_int4", 2},
    {"conv_1_x_n_7", 1},
    {"conv_2x2_dilation", 1},
    {"conv_2x2_dilation_5x5_input_int4", 1},
    {"conv_2x2_dilation_int4", 2},
    {"conv_3x3_dilation_5x5_input_int4", 2},
    {"conv_5", 1},
    {"conv_out_activation_int4", 1},
    {"depthwise_dilation", 1},
    {"depthwise_int4_1", 23},
    {"depthwise_int4_generic", 2},
    {"ds_cnn_s", 2},
    {"grouped_conv_4", 1},
    {"int16xint8xint32_4", 3},
    {"int16xint8xint32_5", 1},
    {"kernel1x1_int4_2", 125},
    {"kernel1x1_stride_x_y_int4", 9},
    {"softmax_s16", 4},
};

static void one_single(const char *name, void *arg) {
  size_t want = 0;
  const family *f = family_of(name);
  run r;
  if (f == NULL || f->build == NULL) return;
  for (size_t i = 0; i < sizeof single / sizeof single[0]; i++)
    if (strcmp(name, single[i].name) == 0) want = single[i].n, ++*(size_t *)arg;
  run_start(&r, name, QV_RQ_S);
  size_t got = differing(&r, false);
  run_end(&r);
  if (got != want) fail_msg("%s: %zu outputs differ under single rounding, %zu expected", name, got, want);
}

static void single_rounding_is_told_apart(void **state) {
  (void)state;
  size_t seen = 0;
  each_case(one_single, &seen);
  assert_int_equal(seen, sizeof single / sizeof single[0]);
}

/* On ds_cnn_l one logit moves from 8 to 9, which the softmax hides (same separate model). */
static void single_rounding_moves_a_logit(void **state) {
  (void)state;
  run d, s;
  need_folder();
  run_start(&d, "ds_cnn_l", QV_RQ_D);
  run_start(&s, "ds_cnn_l", QV_RQ_S);
  uint32_t logits = d.b.net->node[d.b.net->n_nodes - 1].in[0];
  size_t moved = 0;
  for (size_t i = 0; i < d.expect.n; i++) {
    int64_t p = d.vals.v[logits][i], q = s.vals.v[logits][i];
    if (p == q) continue;
    assert_int_equal(p, 8);
    assert_int_equal(q, 9);
    moved++;
  }
  assert_int_equal(moved, 1);
  run_end(&d);
  run_end(&s);
}

/* ---- the fast executor gives the stored outputs too ---------------------------------------------------------------------- */

enum { COPIES = 3 }; /* samples in one call: all the same, so that a slip between samples shows */

typedef struct {
  size_t ran[QV_ISA_AVX512VNNI + 1], wrong;
} fast_tally;

/* COPIES times n values in storage type `type`, little endian. */
static unsigned char *to_bytes(cmsis_case *c, qv_dtype type, const int64_t *v, size_t n) {
  size_t width = qv_dtype_bytes(type);
  unsigned char *p = qv_arena_alloc(&c->arena, COPIES * n, width);
  assert_non_null(p);
  for (size_t i = 0; i < COPIES * n; i++)
    for (size_t k = 0; k < width; k++) p[i * width + k] = (unsigned char)((uint64_t)v[i % n] >> (8 * k));
  return p;
}

/* Run r on one instruction set. */
static void run_fast(run *r, qv_isa isa, fast_tally *t) {
  const qv_net *net = r->b.net;
  const void *in[2] = {NULL, NULL};
  qv_plan *plan = NULL;
  qv_err err = {0};
  for (uint32_t i = 0; i < net->n_in; i++) {
    uint32_t x = net->in[i].tensor;
    in[i] = to_bytes(&r->c, net->tensor[x].type, r->vals.v[x], qv_elems(&net->tensor[x]));
  }
  size_t size = COPIES * r->expect.n * qv_dtype_bytes(r->expect.type);
  const unsigned char *want = to_bytes(&r->c, r->expect.type, r->expect.v, r->expect.n);
  void *got = qv_arena_alloc(&r->c.arena, size, 1);
  assert_non_null(got);
  if (qv_plan_new(&plan, net, isa, &err) != QV_OK || qv_plan_run(plan, COPIES, in, (void *const[]){got}, 2, &err) != QV_OK)
    fail_msg("%s: %s", r->c.name, err.msg);
  if (memcmp(got, want, size) != 0) {
    (void)fprintf(stderr, "%s: %s differs from the stored output; its first node runs as %s\n", r->c.name, qv_isa_name(isa),
                  qv_plan_kernel(plan, 0));
    t->wrong++;
  }
  t->ran[isa]++;
  qv_plan_free(plan);
}

static void one_fast(const char *name, void *arg) {
  const family *f = family_of(name);
  run r;
  if (f == NULL || f->build == NULL) return;
  run_start(&r, name, QV_RQ_D);
  for (qv_isa isa = QV_ISA_PORTABLE; isa <= qv_isa_detect(); isa++) run_fast(&r, isa, arg);
  run_end(&r);
}

static void fast_executor_gives_the_stored_outputs(void **state) {
  (void)state;
  fast_tally t = {0};
  each_case(one_fast, &t);
  for (qv_isa isa = QV_ISA_PORTABLE; isa <= qv_isa_detect(); isa++) {
    (void)printf("CMSIS-NN vectors: %zu cases run by the fast executor, %s\n", t.ran[isa], qv_isa_name(isa));
    assert_true(t.ran[isa] >= MUST_RUN);
  }
  assert_int_equal(t.wrong, 0);
}

int main(void) {
  const char *data = getenv("QV_DATA");
  (void)snprintf(folder, sizeof folder, "%s/overflow/cmsis_nn_int_vectors", data != NULL ? data : "../shared/data");
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(softmax_tables_have_the_published_nodes), cmocka_unit_test(reference_gives_the_stored_outputs),
      cmocka_unit_test(single_rounding_is_told_apart),           cmocka_unit_test(single_rounding_moves_a_logit),
      cmocka_unit_test(fast_executor_gives_the_stored_outputs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
