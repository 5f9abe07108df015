/* The part of a net that a box can change, against the whole net: random nets and places, executed by the reference kernels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/subnet.h"
#include "kernels/ref.h"
#include "tests/gen.h"

static int effort(int n) {
  const char *e = getenv("QV_TEST_MULT");
  double k = e != NULL ? atof(e) : 1.0;
  return (int)(n * (k > 0 ? k : 1.0)) + 1;
}

static size_t inputs(const qv_net *net) {
  size_t n = 0;
  for (uint32_t i = 0; i < net->n_in; i++) n += qv_elems(&net->tensor[net->in[i].tensor]);
  return n;
}

/* Element `at` of all inputs, one after the other. */
static int64_t *input(const qv_net *net, qv_values *v, size_t at) {
  uint32_t i = 0;
  for (size_t n; at >= (n = qv_elems(&net->tensor[net->in[i].tensor])); i++) at -= n;
  return &v->v[net->in[i].tensor][at];
}

static const qv_tensor *owner(const qv_net *net, size_t at) {
  uint32_t i = 0;
  for (size_t n; at >= (n = qv_elems(&net->tensor[net->in[i].tensor])); i++) at -= n;
  return &net->tensor[net->in[i].tensor];
}

static int made, smaller, points, traps;

static void compare(qv_net *net, qv_rng *r, uint64_t seed) {
  qv_err err = {0};
  qv_values v, w;
  size_t n = inputs(net);
  bool *varies = calloc(n, sizeof *varies), ok;
  assert_int_equal(qv_values_init(&v, net, &err), QV_OK);
  gen_inputs(r, net, &v);
  if (qv_ref_run(net, &v, &err) != QV_OK) goto done; /* a trap at the start: no values for the constants */
  size_t first = (size_t)qv_rng_range(r, 0, (int64_t)n - 1), some = (size_t)qv_rng_range(r, 1, 6);
  for (size_t i = first; i < first + some && i < n; i++) varies[i] = qv_rng_next(r) % 4 != 0;
  qv_subnet part;
  assert_int_equal(qv_subnet_make(&part, &ok, net, (const int64_t *const *)v.v, varies, &err), QV_OK);
  if (!ok) {
    qv_subnet_clear(&part);
    goto done;
  }
  made++;
  smaller += 2 * part.work < part.whole;
  assert_int_equal(inputs(part.net), part.n);
  assert_int_equal(part.net->n_out, net->n_out);
  assert_int_equal(qv_values_init(&w, part.net, &err), QV_OK);
  for (int k = 0; k < 8; k++) {
    for (size_t i = 0; i < n; i++)
      if (varies[i]) *input(net, &v, i) = gen_value(r, owner(net, i));
    for (size_t i = 0; i < part.n; i++) *input(part.net, &w, i) = *input(net, &v, part.place[i]);
    qv_err e1 = {0}, e2 = {0};
    qv_status a = qv_ref_run(net, &v, &e1), b = qv_ref_run(part.net, &w, &e2);
    assert_int_equal(a, b);
    traps += a != QV_OK;
    for (uint32_t o = 0; a == QV_OK && o < net->n_out; o++) {
      uint32_t t = net->out[o].tensor, u = part.net->out[o].tensor;
      assert_int_equal(qv_elems(&net->tensor[t]), qv_elems(&part.net->tensor[u]));
      if (memcmp(v.v[t], w.v[u], qv_elems(&net->tensor[t]) * sizeof(int64_t)) != 0)
        fail_msg("seed %llu: output %u differs", (unsigned long long)seed, o);
    }
    points++;
  }
  qv_values_clear(&w);
  qv_subnet_clear(&part);
done:
  qv_values_clear(&v);
  free(varies);
}

static void random_nets(void **state) {
  (void)state;
  for (int it = 0; it < effort(3000); it++) {
    uint64_t seed = 61000 + (uint64_t)it;
    qv_rng r = {seed};
    qv_net *net =
        gen_net(&r, &(gen_opts){.max_in = it % 2 == 0 ? 300 : 40, .max_nodes = 10, .max_elems = 400, .max_k = 80, .layers = it % 4 < 2});
    assert_non_null(net);
    compare(net, &r, seed);
    qv_net_free(net);
  }
  printf("%d parts, %d of less than half the work; %d points, %d of them undefined\n", made, smaller, points, traps);
  assert_true(made > 200 && smaller > 50);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(random_nets)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
