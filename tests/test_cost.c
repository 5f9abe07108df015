/* Costs of candidates: memory over a schedule (by hand, and against a simulation that allocates and frees), measured times, accumulators,
 * the rows of the table. Nothing here reads a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ilp/alloc.h"
#include "ir/base/rng.h"
#include "kernels/exec.h"
#include "quant/cost.h"

static int effort(void) {
  const char *m = getenv("QV_TEST_MULT");
  return m != NULL && atoi(m) > 0 ? atoi(m) : 1;
}

static uint32_t constant(qv_fgraph *g, qv_rng *r, uint32_t rank, const uint32_t *dim) {
  size_t n = 1;
  for (uint32_t d = 0; d < rank; d++) n *= dim[d];
  float *v = QV_NEW(&g->arena, n, float);
  for (size_t e = 0; e < n; e++) v[e] = (float)qv_rng_range(r, -1000, 1000) / 1000;
  return qv_fgraph_tensor(g, "c", rank, dim, v);
}

static uint32_t add(qv_fgraph *g, qv_fnode n, const char *name) {
  qv_err err = {0};
  n.name = name;
  uint32_t t = qv_fgraph_node(g, &n, name, &err);
  if (t == QV_NONE) fail_msg("%s", err.msg);
  return t;
}

static uint32_t conv1x1(qv_fgraph *g, qv_rng *r, uint32_t t, uint32_t oc, const char *name) {
  qv_fnode n = {.op = QF_CONV, .n_in = 3, .kh = 1, .kw = 1, .sh = 1, .sw = 1, .dh = 1, .dw = 1, .groups = 1};
  uint32_t wd[4] = {oc, g->tensor[t].dim[1], 1, 1};
  n.in[0] = t;
  n.in[1] = constant(g, r, 4, wd);
  n.in[2] = constant(g, r, 1, &oc);
  return add(g, n, name);
}

static uint32_t unary(qv_fgraph *g, qv_fop op, uint32_t t, const char *name) {
  qv_fnode n = {.op = op, .n_in = 1, .lo = 0, .hi = INFINITY};
  n.in[0] = t;
  return add(g, n, name);
}

static uint32_t flat_gemm(qv_fgraph *g, qv_rng *r, uint32_t t, uint32_t m) {
  qv_fnode flat = {.op = QF_RESHAPE, .n_in = 1, .axis = 2}, dense = {.op = QF_GEMM, .n_in = 3};
  flat.in[0] = t;
  flat.perm[0] = 1, flat.perm[1] = (uint32_t)qv_felems(&g->tensor[t]);
  uint32_t wd[2] = {m, flat.perm[1]};
  dense.in[0] = add(g, flat, "flat");
  dense.in[1] = constant(g, r, 2, wd);
  dense.in[2] = constant(g, r, 1, wd);
  return add(g, dense, "gemm");
}

static qv_fgraph *begin(uint32_t c, uint32_t side) {
  qv_fgraph *g = calloc(1, sizeof *g);
  uint32_t dim[4] = {1, c, side, side};
  g->in = qv_fgraph_tensor(g, "in", 4, dim, NULL);
  return g;
}

/* in 1x4x4 - conv1 (2 channels, Relu) - r1 - conv2 (2) - t2; sum = r1 + t2; sig = sigmoid(sum); gemm of 3; softmax. */
static qv_fgraph *by_hand(void) {
  qv_rng r = {1};
  qv_fgraph *g = begin(1, 4);
  uint32_t r1 = unary(g, QF_CLIP, conv1x1(g, &r, g->in, 2, "conv1"), "relu"), t2 = conv1x1(g, &r, r1, 2, "conv2");
  qv_fnode sum = {.op = QF_ADD, .n_in = 2};
  sum.in[0] = r1, sum.in[1] = t2;
  uint32_t y = flat_gemm(g, &r, unary(g, QF_SIGMOID, add(g, sum, "sum"), "sig"), 3);
  g->out = unary(g, QF_SOFTMAX, y, "softmax");
  return g;
}

enum { IN, R1, T2, SUM, SIG, Y, GROUPS };

static void test_schedule(void **state) {
  (void)state;
  qv_fgraph *g = by_hand();
  qv_groups groups;
  qv_schedule s;
  assert_int_equal(qv_groups_find(&groups, g, NULL), QV_OK);
  assert_int_equal(groups.n, GROUPS);
  assert_int_equal(qv_schedule_make(&s, g, &groups, NULL), QV_OK);
  /* Bytes of every group at 3 bits and 32-bit accumulators, packed: 16 codes are 6 bytes, 32 are 12, 3 are 2. */
  static const struct {
    const char *name;
    uint64_t bytes[GROUPS];
  } want[] = {
      {"ram@conv1", {6 + 2 * 4, 12, 0, 0, 0, 0}}, /* 2 accumulators: one for each channel */
      {"ram@conv2", {0, 12 + 2 * 4, 12, 0, 0, 0}}, /* the input is dead, r1 is not */
      {"ram@sum:before", {0, 12, 12, 0, 0, 0}},    /* the sum may be written over r1 */
      {"ram@sum:after", {0, 0, 12, 12, 0, 0}},
      {"ram@sig:before", {0, 0, 0, 12, 0, 0}},
      {"ram@sig:after", {0, 0, 0, 0, 12, 0}},
      {"ram@gemm", {0, 0, 0, 0, 12 + 3 * 4, 2}},   /* the Reshape is no copy */
      {"ram@softmax", {12, 0, 0, 0, 0, 2}},        /* 3 floats, which nobody chooses, count with group 0 */
  };
  assert_int_equal(s.n, sizeof want / sizeof want[0]);
  for (uint32_t i = 0; i < s.n; i++) {
    assert_string_equal(s.at[i].name, want[i].name);
    for (uint32_t k = 0; k < GROUPS; k++)
      if (qv_moment_bytes(&s.at[i], k, 3, 32, true) != want[i].bytes[k])
        fail_msg("%s, group %u: %llu bytes", want[i].name, k, (unsigned long long)qv_moment_bytes(&s.at[i], k, 3, 32, true));
  }
  assert_int_equal(qv_moment_bytes(&s.at[0], IN, 3, 16, true), 6 + 2 * 2);
  assert_int_equal(qv_moment_bytes(&s.at[0], IN, 3, 17, true), 6 + 2 * 4);
  assert_int_equal(qv_moment_bytes(&s.at[0], IN, 3, 32, false), 16 + 2 * 4);
  assert_int_equal(qv_moment_bytes(&s.at[0], IN, 9, 32, false), 32 + 2 * 4);
  assert_int_equal(qv_moment_bytes(&s.at[0], IN, 9, 32, true), 18 + 2 * 4);
  qv_schedule_clear(&s);
  qv_groups_clear(&groups);
  qv_fgraph_free(g);
}

/* ---- against a simulation ------------------------------------------------------------------------------------------------------ */

/* Chains with branches, every operator that the schedule treats in a way of its own. */
static qv_fgraph *random_graph(qv_rng *r) {
  qv_fgraph *g = begin((uint32_t)qv_rng_range(r, 1, 3), (uint32_t)qv_rng_range(r, 2, 4));
  uint32_t t = g->in, side = QV_NONE;
  for (int k = (int)qv_rng_range(r, 1, 6); k > 0; k--) {
    char *name = qv_arena_printf(&g->arena, "n%d", k);
    switch (qv_rng_range(r, 0, 6)) {
    case 0: t = conv1x1(g, r, t, (uint32_t)qv_rng_range(r, 1, 4), name); break;
    case 1: t = unary(g, QF_CLIP, conv1x1(g, r, t, g->tensor[t].dim[1], name), "r"); break;
    case 2: t = unary(g, QF_SIGMOID, t, name); break;
    case 3: t = unary(g, QF_CLIP, t, name); break;
    case 5: { /* two readers with weights: one group */
      qv_fnode sum = {.op = QF_ADD, .n_in = 2};
      sum.in[0] = conv1x1(g, r, t, 2, name), sum.in[1] = conv1x1(g, r, t, 2, "other");
      t = add(g, sum, "both");
      break;
    }
    case 4: {
      qv_fnode turn = {.op = QF_TRANSPOSE, .n_in = 1, .perm = {0, 1, 3, 2}};
      turn.in[0] = t;
      t = add(g, turn, name);
      break;
    }
    default:
      if (side != QV_NONE && qv_felems(&g->tensor[side]) == qv_felems(&g->tensor[t]) && g->tensor[side].dim[1] == g->tensor[t].dim[1]) {
        qv_fnode sum = {.op = QF_ADD, .n_in = 2};
        sum.in[0] = t, sum.in[1] = side;
        t = add(g, sum, name);
      }
      side = t;
    }
  }
  g->out = flat_gemm(g, r, t, 3);
  if (qv_rng_range(r, 0, 1) == 1) g->out = unary(g, QF_SOFTMAX, g->out, "softmax");
  return g;
}

typedef struct {
  const qv_fgraph *g;
  const int *a;      /* [n_tensors] bits of roots */
  int *reads;        /* [n_tensors] reads that are still to come */
  uint64_t *block;   /* [n_tensors] bytes held, 0: none */
  uint32_t *owner;   /* [n_tensors] tensor whose block this one is in */
  uint64_t now, peak;
} memory;

static uint64_t bytes_of(const memory *m, uint32_t t) {
  uint32_t root = qv_quant_root(m->g, t);
  uint64_t n = qv_felems(&m->g->tensor[t]);
  return root == QV_NONE ? 4 * n : (n * (uint64_t)m->a[root] + 7) / 8;
}

static void note(memory *m, uint64_t n) { m->peak = n > m->peak ? n : m->peak; }

static void take(memory *m, uint32_t t) { m->now += m->block[m->owner[t] = t] = bytes_of(m, t); }

static void read_once(memory *m, uint32_t t) {
  if (m->g->tensor[t].data != NULL || --m->reads[m->owner[t]] > 0) return;
  m->now -= m->block[m->owner[t]];
}

/* Execute: allocate results, free operands after their last read, count what is held. */
static uint64_t simulate(const qv_fgraph *g, const int *a, const int *acc) {
  memory m = {.g = g, .a = a, .reads = calloc(g->n_tensors, sizeof(int)), .block = calloc(g->n_tensors, sizeof(uint64_t)), .owner = calloc(g->n_tensors, sizeof(uint32_t))};
  for (uint32_t k = 0; k < g->n_nodes; k++)
    for (uint32_t i = 0; i < g->node[k].n_in; i++) m.reads[g->node[k].in[i]]++;
  m.reads[g->out]++;
  take(&m, g->in);
  for (uint32_t k = 0; k < g->n_nodes; k++) {
    const qv_fnode *n = &g->node[k];
    bool linear = n->op == QF_CONV || n->op == QF_GEMM, element = n->op == QF_CLIP || n->op == QF_SIGMOID || n->op == QF_ADD;
    uint32_t out = n->out, over = QV_NONE, last = k;
    if (n->op == QF_RESHAPE) {
      m.owner[out] = m.owner[n->in[0]];
      m.reads[m.owner[out]] += m.reads[out] - 1;
      continue;
    }
    /* A Relu that alone reads a result is computed with it. */
    if (k + 1 < g->n_nodes && g->node[k + 1].op == QF_CLIP && g->node[k + 1].in[0] == out && m.reads[out] == 1 && n->op != QF_CLIP && n->op != QF_TRANSPOSE)
      out = g->node[last = k + 1].out;
    for (uint32_t i = 0; element && i < n->n_in && over == QV_NONE; i++) {
      uint32_t in = m.owner[n->in[i]], times = 0;
      for (uint32_t j = 0; j < n->n_in; j++) times += g->tensor[n->in[j]].data == NULL && m.owner[n->in[j]] == in;
      if (in != g->in && m.reads[in] == (int)times && qv_felems(&g->tensor[in]) == qv_felems(&g->tensor[out])) over = in;
    }
    take(&m, out);
    uint64_t accs = linear ? (uint64_t)g->tensor[n->in[1]].dim[0] * (acc[qv_quant_root(g, n->in[0])] <= 16 ? 2 : 4) : 0;
    if (over == QV_NONE) note(&m, m.now + accs);
    else {
      note(&m, m.now - m.block[out]);
      note(&m, m.now - m.block[over]);
    }
    for (uint32_t i = 0; i < n->n_in; i++) read_once(&m, n->in[i]);
    k = last;
  }
  free(m.reads);
  free(m.block);
  free(m.owner);
  return m.peak;
}

static void cost_value(mpq_t v, const qv_alloc *p, const uint32_t *x, const char *name) {
  for (uint32_t i = 0; i < p->n_costs; i++)
    if (strcmp(p->cost[i].name, name) == 0) {
      qv_alloc_cost_of(v, p, x, &p->cost[i]);
      return;
    }
  fail_msg("no cost %s", name);
}

static void expect(const qv_alloc *p, const uint32_t *x, const char *name, uint64_t want) {
  mpq_t v;
  mpq_init(v);
  cost_value(v, p, x, name);
  if (mpq_cmp_ui(v, want, 1) != 0) fail_msg("%s is %g, not %llu", name, mpq_get_d(v), (unsigned long long)want);
  mpq_clear(v);
}

/* Width of the sums of node k, written out, every position of the window inside the image (1x1 kernels). */
static int needed(const qv_fgraph *g, const qv_quantized *q, uint32_t k) {
  const qv_ftensor *w = &g->tensor[g->node[k].in[1]];
  const qv_fakeq *p = &q->q[g->node[k].in[0]];
  int bits = 1;
  for (uint32_t o = 0; o < w->dim[0]; o++) {
    int64_t lo = q->w[k].b[o], hi = lo;
    for (uint32_t c = 0; c < w->dim[1]; c++) {
      int64_t u = (int64_t)q->w[k].w[o * w->dim[1] + c] * (p->lo - p->zp), v = (int64_t)q->w[k].w[o * w->dim[1] + c] * (p->hi - p->zp);
      lo += u < v ? u : v;
      hi += u < v ? v : u;
    }
    while (lo < -((int64_t)1 << (bits - 1)) || hi >= (int64_t)1 << (bits - 1)) bits++;
  }
  return bits;
}

static void test_table(void **state) {
  (void)state;
  qv_rng r = {2031};
  const qv_bits cand[] = {{8, 8}, {4, 8}, {3, 5}, {8, 3}, {2, 10}};
  const qv_accum acc[] = {{32, false}, {14, false}};
  const qv_metric metric = QV_METRIC_EAGL;
  size_t narrow = 0, left_out = 0;
  for (int i = 0; i < 60 * effort(); i++) {
    qv_fgraph *g = random_graph(&r);
    float in[2 * 48];
    for (size_t e = 0; e < sizeof in / sizeof in[0]; e++) in[e] = (float)qv_rng_range(&r, -1000, 1000) / 500;
    qv_calib c = {0};
    qv_made_table t = {0};
    qv_atable table = {0};
    qv_alloc *p = NULL;
    qv_err err = {0};
    double *gain = calloc(g->n_nodes, sizeof *gain);
    for (uint32_t k = 0; k < g->n_nodes; k++) gain[k] = k + 1;
    assert_int_equal(qv_calibrate(&c, g, in, 2, &err), QV_OK);
    const qv_table_opts o = {.n_cand = 5, .cand = cand, .n_acc = 2, .acc = acc, .samples = 2, .n_metric = 1, .metric = &metric, .gain = gain, .fit = i % 2 == 1};
    if (qv_make_table(&t, g, &c, &o, &err) != QV_OK) fail_msg("%s", err.msg);
    if (qv_atable_read(&table, (const char *)t.json.p, t.json.n, "alps", &err) != QV_OK) fail_msg("%s", err.msg);
    if (qv_alloc_build(&p, &table, &err) != QV_OK) fail_msg("%s", err.msg);
    left_out += t.n_out;
    if (o.fit) assert_int_equal(t.n_out, 0); /* these weights can all be fitted into 14 bits */
    for (int trial = 0; trial < 20; trial++) {
      uint32_t x[64];
      int *a = calloc(g->n_tensors, sizeof *a), *w = calloc(g->n_nodes + 1, sizeof *w), *wide = calloc(g->n_tensors, sizeof *wide), *bits = calloc(g->n_nodes + 1, sizeof *bits);
      uint64_t macs_acc = 0, size = 0;
      double alps = 0;
      for (uint32_t k = 0; k < p->n_groups; k++) {
        qv_bits b;
        qv_accum is;
        const qv_group *grp = &t.groups.group[k];
        x[k] = (uint32_t)qv_rng_range(&r, 0, p->group[k].n - 1);
        assert_true(qv_cand_read(&b, &is, p->cand[p->group[k].first + x[k]].name));
        a[grp->tensor] = b.a;
        wide[grp->tensor] = is.bits;
        size += 64;
        for (uint32_t n = 0; n < grp->n; n++) {
          const qv_fnode *f = &g->node[grp->node[n]];
          const qv_ftensor *ft = &g->tensor[f->in[1]];
          w[grp->node[n]] = b.w;
          bits[grp->node[n]] = is.bits;
          size += qv_felems(ft) * (uint64_t)b.w + 64 * (uint64_t)ft->dim[0];
          macs_acc += qv_felems(&g->tensor[f->out]) * ft->dim[1] * (uint64_t)is.bits;
          alps += gain[grp->node[n]] * (8 - b.w) / 6; /* from 8 to 2 bits */
          narrow += is.bits == 14;
        }
      }
      expect(p, x, "ram", simulate(g, a, wide));
      expect(p, x, "acc", macs_acc);
      expect(p, x, "size", size);
      mpq_t v;
      mpq_init(v);
      qv_alloc_real(v, p, x, 0);
      if (fabs(mpq_get_d(v) - alps) > 1e-9 * (1 + alps)) fail_msg("alps: %g, not %g", mpq_get_d(v), alps);
      mpq_clear(v);
      qv_quantized q = {0};
      uint64_t widest = 0;
      qv_quant_opts fitted = {.node_acc_bits = o.fit ? bits : NULL};
      assert_int_equal(qv_quantize(&q, g, &c, a, w, &fitted, &err), QV_OK);
      for (uint32_t k = 0; k < g->n_nodes; k++) {
        if (!qv_quant_linear(&g->node[k])) continue;
        uint64_t n = (uint64_t)needed(g, &q, k);
        widest = n > widest ? n : widest;
        assert_true((int)n <= wide[qv_quant_root(g, g->node[k].in[0])]);
      }
      expect(p, x, "max-acc", widest);
      qv_quantized_clear(&q);
      free(a);
      free(w);
      free(wide);
      free(bits);
    }
    qv_alloc_free(p);
    qv_atable_free(&table);
    qv_made_table_clear(&t);
    qv_calib_clear(&c);
    qv_fgraph_free(g);
    free(gain);
  }
  printf("%zu layers chosen at 14 bits; %zu candidates left out\n", narrow, left_out);
  assert_true(narrow > 100 && left_out > 20);
}

/* ---- times and names ------------------------------------------------------------------------------------------------------------ */

static void test_times(void **state) {
  (void)state;
  qv_fgraph *g = by_hand();
  char shape[160];
  qv_layer_shape(shape, g, 0);
  assert_string_equal(shape, "conv 1x1 stride 1x1 dilation 1x1 groups 1 in 1x4x4 out 2x4x4");
  qv_layer_shape(shape, g, 6);
  assert_string_equal(shape, "gemm rows 1 in 32 out 3");
  const char *one[] = {"W8A8P32", "W4A8P32"}, *any[] = {"W8A8"}, *last[] = {"W4A8"};
  qv_time_entry e[] = {
      {.layer = "conv1", .n = 2, .cand = one, .ps = 1000},
      {.shape = "conv 1x1 stride 1x1 dilation 1x1 groups 1 in 1x4x4 out 2x4x4", .n = 1, .cand = any, .ps = 2000},
      {.layer = "gemm", .shape = "gemm rows 1 in 32 out 4", .n = 1, .cand = last, .ps = 3000}, /* another shape */
      {.layer = "gemm", .shape = "gemm rows 1 in 32 out 3", .n = 1, .cand = last, .ps = 4000},
  };
  const qv_times t = {.n = 4, .entry = e};
  int64_t ps = 0;
  assert_true(qv_times_find(&ps, &t, g, 0, (qv_bits){8, 8}, (qv_accum){32, false}) && ps == 1000);
  assert_true(qv_times_find(&ps, &t, g, 0, (qv_bits){8, 8}, (qv_accum){16, false}) && ps == 2000);
  assert_false(qv_times_find(&ps, &t, g, 0, (qv_bits){4, 8}, (qv_accum){32, true}));
  assert_true(qv_times_find(&ps, &t, g, 6, (qv_bits){4, 8}, (qv_accum){32, false}) && ps == 4000);
  assert_false(qv_times_find(&ps, &t, g, 2, (qv_bits){8, 8}, (qv_accum){32, false}));
  qv_fgraph_free(g);
}

static void test_names(void **state) {
  (void)state;
  static const struct {
    const char *name;
    qv_bits b;
    qv_accum acc;
  } good[] = {{"A8", {0, 8}, {0, false}}, {"W4A16", {4, 16}, {0, false}}, {"W8A8P16", {8, 8}, {16, false}}, {"W2A10Q32", {2, 10}, {32, true}}};
  static const char *const bad[] = {"", "A1", "A17", "W8", "W1A8", "W8A8P", "W8A8P1", "W8A8P33", "W8A8R16", "W8A8P16x", "A8P16"};
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    qv_bits b;
    qv_accum acc;
    char name[QV_CAND_NAME];
    assert_true(qv_cand_read(&b, &acc, good[i].name));
    assert_int_equal(b.w, good[i].b.w);
    assert_int_equal(b.a, good[i].b.a);
    assert_int_equal(acc.bits, good[i].acc.bits);
    assert_int_equal(acc.pairs, good[i].acc.pairs);
    qv_cand_name(name, b, acc.bits > 0 ? &acc : NULL, b.w > 0);
    assert_string_equal(name, good[i].name);
  }
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    qv_bits b;
    if (qv_cand_read(&b, NULL, bad[i])) fail_msg("'%s' is read", bad[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_schedule), cmocka_unit_test(test_table), cmocka_unit_test(test_times), cmocka_unit_test(test_names)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
