#include "tests/range_net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void *copy(qv_net *net, const void *p, size_t n, size_t size) {
  void *q = qv_arena_alloc(&net->arena, n, size);
  assert_non_null(q);
  if (p != NULL) memcpy(q, p, n * size);
  return q;
}

qv_net *rn_new(void) {
  qv_net *net = qv_net_new(0);
  assert_non_null(net);
  net->source = net->profile = net->format = "";
  return net;
}

static uint32_t add(qv_net *net, qv_tensor t, uint32_t rank, const uint32_t *dim) {
  t.name = qv_arena_printf(&net->arena, "t%u", (unsigned)net->n_tensors);
  assert_non_null(t.name);
  t.rank = rank;
  if (rank > 0) memcpy(t.dim, dim, rank * sizeof *dim);
  uint32_t k = qv_net_add_tensor(net, &t);
  assert_int_not_equal(k, QV_NONE);
  return k;
}

uint32_t rn_input(qv_net *net, qv_dtype type, int64_t lo, int64_t hi, uint32_t rank, const uint32_t *dim) {
  uint32_t t = add(net, (qv_tensor){.type = type, .lo = lo, .hi = hi}, rank, dim);
  assert_true(qv_net_add_in(net, &(qv_port){.tensor = t, .end = QV_END_INT, .name = net->tensor[t].name}));
  return t;
}

uint32_t rn_const(qv_net *net, const int32_t *v, uint32_t rank, const uint32_t *dim) {
  size_t n = 1;
  for (uint32_t d = 0; d < rank; d++) n *= dim[d];
  return add(net, (qv_tensor){.type = QV_I32, .data = copy(net, v, n, sizeof *v)}, rank, dim);
}

uint32_t rn_node(qv_net *net, qv_node n, uint32_t n_in, const uint32_t *in, uint32_t rank, const uint32_t *dim) {
  n.op = "TEST";
  n.layer = net->n_nodes;
  n.n_in = n_in;
  n.in = copy(net, in, n_in, sizeof *in);
  n.out = add(net, (qv_tensor){.type = QV_I64}, rank, dim);
  assert_int_not_equal(qv_net_add_node(net, &n), QV_NONE);
  return n.out;
}

uint32_t rn_affine(qv_net *net, uint32_t x, rn_affine_arg a) {
  const qv_window *g = &a.win;
  size_t k = (size_t)g->kh * g->kw * (g->ic / g->groups);
  qv_node n = {.kind = QV_AFFINE,
               .u.affine = {.win = a.win,
                            .x_zp = a.x_zp,
                            .w = copy(net, a.w, g->oc * k, sizeof *a.w),
                            .n_w_zp = 1,
                            .w_zp = copy(net, &a.w_zp, 1, sizeof a.w_zp),
                            .b = copy(net, a.b, g->oc, sizeof *a.b),
                            .acc = a.acc}};
  return rn_node(net, n, 1, &x, 4, (const uint32_t[]){g->n, g->oh, g->ow, g->oc});
}

qv_window rn_dense(uint32_t k, uint32_t oc) {
  return (qv_window){.n = 1, .ih = 1, .iw = 1, .ic = k, .oh = 1, .ow = 1, .oc = oc, .kh = 1, .kw = 1, .sh = 1, .sw = 1, .dh = 1, .dw = 1, .groups = 1};
}

void rn_run(qv_range_result *r, qv_net *net, uint32_t t, const qv_ranges *const *dom, uint64_t effort) {
  qv_err err = {0};
  assert_true(qv_net_add_out(net, &(qv_port){.tensor = t, .end = QV_END_INT, .name = net->tensor[t].name}));
  if (qv_ir_check(net, &err) != QV_OK) fail_msg("%s", err.msg);
  const qv_domain d = {.in = dom, .effort = effort};
  if (qv_range_run(r, net, &d, &err) != QV_OK) fail_msg("%s", err.msg);
}

void rn_itv(qv_itv got, int64_t lo, int64_t hi, const char *what) {
  if (got.lo != lo || got.hi != hi)
    fail_msg("%s: [%lld,%lld], expected [%lld,%lld]", what, (long long)got.lo, (long long)got.hi, (long long)lo, (long long)hi);
}

unsigned rn_multiplier(void) {
  const char *s = getenv("QV_TEST_MULT");
  int m = s != NULL ? atoi(s) : 1;
  return m > 0 ? (unsigned)m : 1;
}

const char *rn_data(const char *file) {
  static char path[1024];
  const char *dir = getenv("QV_DATA");
  (void)snprintf(path, sizeof path, "%s/%s", dir != NULL ? dir : "../shared/data", file);
  if (access(path, R_OK) == 0) return path;
  printf("SKIPPED: %s is not there\n", path);
  return NULL;
}
