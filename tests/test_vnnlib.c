/* VNN-LIB: the integer question against the text itself, evaluated for every input; every mistake named with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/array.h"
#include "frontend/query.h"
#include "frontend/vnnlib.h"
#include "ir/base/rng.h"
#include "ir/qir.h"

static unsigned effort(unsigned n) {
  const char *s = getenv("QV_TEST_MULT");
  double m = s != NULL ? atof(s) : 1;
  return m > 0 ? (unsigned)(n * m) + 1 : n;
}

static qv_rng seeded(const char *what) {
  const char *s = getenv("QV_TEST_SEED");
  uint64_t seed = s != NULL ? strtoull(s, NULL, 0) : 20251121;
  print_message("%s: seed %" PRIu64 "\n", what, seed);
  return (qv_rng){seed};
}

/* Two inputs of one tensor, handed on as outputs. */
static qv_net *make_net(const char *type, const char *quant, int lo, int hi, const char *in_end, const char *out_end) {
  qv_net *net = NULL;
  qv_err err = {0};
  qv_buf b = {0};
  qv_buf_printf(&b,
                "qir 1\nsource \"\"\nsha256 \"\"\nprofile \"\"\nformat \"qir\"\nnotes 0\ntensors 1\ntensor 0 name \"x\" type %s dims 2 1 2 %s const no\n"
                "inputs 1\ninput 0 tensor 0 lo %d hi %d end %s name \"x\"\nnodes 0\noutputs 1\noutput 0 tensor 0 end %s name \"y\" tail none\nend\n",
                type, quant, lo, hi, in_end, out_end);
  if (qv_qir_read(&net, (const char *)b.p, b.n, &err) != QV_OK) fail_msg("%s", err.msg);
  qv_buf_free(&b);
  return net;
}

static qv_vnnlib *parse(const char *text) {
  qv_vnnlib *v = NULL;
  qv_err err = {0};
  if (qv_vnnlib_read(&v, text, strlen(text), &err) != QV_OK) fail_msg("line %" PRId64 ": %s\n%s", err.line, err.msg, text);
  return v;
}

/* ---- random queries ----------------------------------------------------------------------------------------------------------------- */

/* A constant near what values of these nets are, often exactly one of them. */
static void constant(qv_buf *b, qv_rng *r, const qv_tensor *t, bool integer) {
  mpq_t q, s;
  mpq_inits(q, s, NULL);
  int64_t k = qv_rng_range(r, t->lo - 2, t->hi + 2);
  mpq_set_d(s, !integer && t->has_q ? (double)t->scale : 1);
  mpq_set_si(q, (!integer && t->has_q ? k - t->zp : k) * 4 + (qv_rng_range(r, 0, 2) == 0 ? qv_rng_range(r, -3, 3) : 0), 4);
  mpq_canonicalize(q);
  mpq_mul(q, q, s);
  assert_true(qv_vnn_decimal(b, q));
  mpq_clears(q, s, NULL);
}

static const char *const rel[] = {"<=", "<", ">=", ">", "==", "!="};

static void var(qv_buf *b, int version, char name, int i) {
  if (version == 1) qv_buf_printf(b, "%c_%d", name, i);
  else qv_buf_printf(b, "%c[0,%d]", name, i);
}

/* order: outputs only against constants and each other. */
static void atom_text(qv_buf *b, qv_rng *r, int version, const qv_tensor *t, bool integer, bool order) {
  qv_buf_printf(b, "(%s ", rel[qv_rng_range(r, 0, 5)]);
  int kind = (int)qv_rng_range(r, 0, order ? 2 : 4);
  switch (kind) {
  case 0: var(b, version, 'X', (int)qv_rng_range(r, 0, 1)); break;
  case 1: var(b, version, 'Y', (int)qv_rng_range(r, 0, 1)); break;
  case 2:
    var(b, version, 'Y', 0);
    qv_buf_str(b, " ");
    var(b, version, 'Y', 1);
    qv_buf_str(b, ")");
    return;
  case 3:
    qv_buf_printf(b, "(+ (* %d ", (int)qv_rng_range(r, -3, 3));
    var(b, version, 'Y', 0);
    qv_buf_str(b, ") (- ");
    var(b, version, 'Y', 1);
    qv_buf_str(b, ") 0.5)");
    break;
  default:
    qv_buf_printf(b, "(- (* 2 %d ", (int)qv_rng_range(r, -2, 2));
    var(b, version, 'X', 1);
    qv_buf_str(b, ") 1)");
    break;
  }
  qv_buf_str(b, " ");
  constant(b, r, t, integer);
  qv_buf_str(b, ")");
}

static void formula(qv_buf *b, qv_rng *r, int version, const qv_tensor *t, bool integer, bool order, int depth) {
  if (depth == 0 || qv_rng_range(r, 0, 3) == 0) {
    atom_text(b, r, version, t, integer, order);
    return;
  }
  qv_buf_str(b, qv_rng_range(r, 0, 1) == 0 ? "(and" : "(or");
  for (int64_t k = qv_rng_range(r, 1, 3); k > 0; k--) {
    qv_buf_str(b, " ");
    formula(b, r, version, t, integer, order, depth - 1);
  }
  qv_buf_str(b, ")");
}

static void declare(qv_buf *b, int version, const char *type) {
  if (version == 1) qv_buf_str(b, "(declare-const X_0 Real)(declare-const X_1 Real)\n(declare-const Y_0 Real)\n(declare-fun Y_1 () Real)\n");
  else
    qv_buf_printf(b, "(vnnlib-version <2.0>)\n(declare-network f (declare-input X %s [1,2]) (declare-output Y %s [1,2])) ; comment (\n", type, type);
}

/* Does some case contain x and violate? The outputs are the inputs. */
static bool asked(const qv_vnn_query *q, const qv_net *net, const int64_t x[2]) {
  const int64_t *const o[1] = {x};
  for (size_t k = 0; k < q->n; k++) {
    const qv_prop_input *in = &q->item[k].property.in[0];
    bool inside = true;
    for (int e = 0; e < 2; e++) inside &= x[e] >= in->itv[e].lo && x[e] <= in->itv[e].hi;
    if (inside && qv_condition_violated(&q->item[k].property.cond, net, o) != QV_NONE) return true;
  }
  return false;
}

/* Integer ends, typed or real: the same truth for every input. */
static void test_integer_ends(void **state) {
  static const char *const quant[] = {"scale none", "scale 0x1p-2 zp 3", "scale 0x1.99999ap-4 zp -2", "scale 0x1.010102p-8 zp 0"};
  qv_rng r = seeded("integer ends");
  unsigned yes = 0, all = 0;
  (void)state;
  for (unsigned round = 0; round < effort(600); round++) {
    int version = (int)qv_rng_range(&r, 1, 2);
    bool integer = version == 2 && qv_rng_range(&r, 0, 1) == 0;
    qv_net *net = make_net("i8", quant[qv_rng_range(&r, 0, 3)], -5, 6, "int", "int");
    const qv_tensor *t = &net->tensor[0];
    qv_buf b = {0};
    declare(&b, version, integer ? "int8" : "real");
    for (int64_t k = qv_rng_range(&r, 1, 3); k > 0; k--) {
      qv_buf_str(&b, "(assert ");
      formula(&b, &r, version, t, integer, false, 3);
      qv_buf_str(&b, ")\n");
    }
    qv_buf_put(&b, "", 1);
    qv_vnnlib *v = parse((const char *)b.p);
    qv_vnn_query q;
    qv_err err = {0};
    qv_status st = qv_vnnlib_lower(&q, v, net, &err);
    if (st != QV_OK && st != QV_E_LIMIT) fail_msg("line %" PRId64 ": %s\n%s", err.line, err.msg, (const char *)b.p);
    mpq_t x[2], y[2];
    mpq_inits(x[0], x[1], y[0], y[1], NULL);
    for (int64_t p = st == QV_OK ? -5 : 7; p <= 6; p++)
      for (int64_t s = -5; s <= 6; s++) {
        const int64_t in[2] = {p, s};
        bool want;
        for (int e = 0; e < 2; e++) {
          mpq_set_si(x[e], !integer && t->has_q ? in[e] - t->zp : in[e], 1);
          if (!integer && t->has_q) {
            mpq_set_d(y[e], (double)t->scale);
            mpq_mul(x[e], x[e], y[e]);
          }
          mpq_set(y[e], x[e]);
        }
        assert_int_equal(qv_vnnlib_holds(&want, v, x, 2, y, 2, &err), QV_OK);
        if (asked(&q, net, in) != want) fail_msg("(%" PRId64 ",%" PRId64 "): the text says %d\n%s", p, s, want, (const char *)b.p);
        yes += want;
        all++;
      }
    mpq_clears(x[0], x[1], y[0], y[1], NULL);
    qv_vnn_query_clear(&q);
    qv_vnnlib_free(v);
    qv_net_free(net);
    qv_buf_free(&b);
  }
  assert_true(yes > all / 20 && yes < all - all / 20);
}

/* Float ends: every binary32 input that satisfies the text has its integers asked about; and integers of a case that violate come from
 * binary32 inputs that satisfy the text, where there are any in the case's intervals. */
static void test_float_ends(void **state) {
  static const char *const end[] = {"quant_away", "quant_even", "quant_inv"};
  qv_rng r = seeded("float ends");
  unsigned hits = 0, back = 0;
  (void)state;
  for (unsigned round = 0; round < effort(600); round++) {
    qv_net *net = make_net("i8", qv_rng_range(&r, 0, 1) == 0 ? "scale 0x1.99999ap-4 zp -2" : "scale 0x1p-2 zp 3", -128, 127, end[qv_rng_range(&r, 0, 2)], "dequant");
    const qv_tensor *t = &net->tensor[0];
    qv_tensor small = *t;
    qv_buf b = {0};
    small.lo = -6;
    small.hi = 6;
    declare(&b, 2, "float32");
    for (int64_t k = qv_rng_range(&r, 1, 3); k > 0; k--) {
      qv_buf_str(&b, "(assert ");
      formula(&b, &r, 2, &small, false, true, 2);
      qv_buf_str(&b, ")\n");
    }
    qv_buf_put(&b, "", 1);
    qv_vnnlib *v = parse((const char *)b.p);
    qv_vnn_query q;
    qv_err err = {0};
    if (qv_vnnlib_lower(&q, v, net, &err) != QV_OK) fail_msg("line %" PRId64 ": %s\n%s", err.line, err.msg, (const char *)b.p);
    mpq_t x[2], y[2];
    mpq_inits(x[0], x[1], y[0], y[1], NULL);
    for (int k = 0; k < 200; k++) {
      int64_t in[2];
      bool want;
      for (int e = 0; e < 2; e++) {
        float f = t->scale * (float)(qv_rng_range(&r, -40, 40) - 4 * t->zp) / 4;
        for (int64_t s = qv_rng_range(&r, -1, 1); s != 0; s -= s > 0 ? 1 : -1) f = qv_f32_of_order(qv_f32_order(f) + (s > 0 ? 1 : -1));
        assert_int_equal(qv_end_quantize(&in[e], net, 0, f, NULL), QV_OK);
        mpq_set_d(x[e], (double)f);
        mpq_set_d(y[e], (double)(t->scale * (float)(in[e] - t->zp)));
      }
      assert_int_equal(qv_vnnlib_holds(&want, v, x, 2, y, 2, &err), QV_OK);
      if (want && !asked(&q, net, in)) fail_msg("missed: (%" PRId64 ",%" PRId64 ")\n%s", in[0], in[1], (const char *)b.p);
      hits += want;
    }
    for (size_t k = 0; k < q.n; k++) {
      const qv_vnn_case *c = &q.item[k];
      for (int tries = 0; tries < 20; tries++) {
        int64_t in[2];
        const int64_t *const o[1] = {in};
        bool real = true, yes;
        float f[2];
        for (int e = 0; e < 2; e++) {
          in[e] = qv_rng_range(&r, c->property.in[0].itv[e].lo, c->property.in[0].itv[e].hi);
          real &= qv_query_float(&f[e], net, 0, in[e], c->lo[0][e], c->hi[0][e]);
        }
        if (!real || qv_condition_violated(&c->property.cond, net, o) == QV_NONE) continue;
        for (int e = 0; e < 2; e++) {
          mpq_set_d(x[e], (double)f[e]);
          mpq_set_d(y[e], (double)(t->scale * (float)(in[e] - t->zp)));
        }
        assert_int_equal(qv_vnnlib_holds(&yes, v, x, 2, y, 2, &err), QV_OK);
        if (!yes) fail_msg("(%a,%a) does not satisfy\n%s", (double)f[0], (double)f[1], (const char *)b.p);
        back++;
      }
    }
    mpq_clears(x[0], x[1], y[0], y[1], NULL);
    qv_vnn_query_clear(&q);
    qv_vnnlib_free(v);
    qv_net_free(net);
    qv_buf_free(&b);
  }
  assert_true(hits > 1000 && back > 1000);
}

/* ---- what the parts are ------------------------------------------------------------------------------------------------------------------ */

static void test_shapes(void **state) {
  (void)state;
  qv_net *net = make_net("i8", "scale 0x1p-1 zp 1", -100, 100, "int", "int");
  /* two boxes, the first with two violations; a third disjunct contradicts itself */
  static const char text[] = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)\n"
                             "(assert (or (and (>= X_0 -1) (<= X_0 1.3) (< X_1 0) (>= X_1 -0.2)) (and (<= X_0 -4) (>= X_0 -4) (<= X_1 99)) (and (> X_0 3) (< X_0 3.25))))\n"
                             "(assert (or (>= Y_0 Y_1) (>= Y_1 0.75)))";
  qv_vnnlib *v = parse(text);
  qv_vnn_query q;
  assert_int_equal(qv_vnnlib_version(v), 1);
  assert_int_equal(qv_vnnlib_lower(&q, v, net, NULL), QV_OK);
  assert_int_equal(q.n, 1); /* X_1 in [-0.2, 0) holds no multiple of 1/2: contradictory, too */
  assert_int_equal(q.dropped, 4);
  const qv_itv *b = q.item[0].property.in[0].itv;
  assert_true(b[0].lo == -7 && b[0].hi == -7 && b[1].lo == -100 && b[1].hi == 100);
  const qv_condition *c = &q.item[0].property.cond;
  assert_int_equal(c->n, 2);
  assert_true(c->bad[0].ineq[0].n == 2 && c->bad[0].ineq[0].term[0].c == 1 && c->bad[0].ineq[0].term[1].c == -1 && c->bad[0].ineq[0].d == 0);
  assert_true(c->bad[1].ineq[0].n == 1 && c->bad[1].ineq[0].term[0].el == 1 && c->bad[1].ineq[0].d == 3); /* 0.5 (q - 1) >= 0.75 */
  qv_vnn_query_clear(&q);
  qv_vnnlib_free(v);
  /* nothing at all */
  v = parse("(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)(assert (>= X_0 2))(assert (<= X_0 1))");
  assert_int_equal(qv_vnnlib_lower(&q, v, net, NULL), QV_OK);
  assert_true(q.n == 0 && q.dropped == 1);
  qv_vnn_query_clear(&q);
  qv_vnnlib_free(v);
  /* inputs only: any output will do */
  v = parse("(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)(assert (>= X_0 2))(assert (<= 1 2))");
  assert_int_equal(qv_vnnlib_lower(&q, v, net, NULL), QV_OK);
  assert_int_equal(q.n, 1);
  const int64_t x[2] = {-100, -100};
  const int64_t *const o[1] = {x};
  assert_int_equal(qv_condition_violated(&q.item[0].property.cond, net, o), 0);
  qv_vnn_query_clear(&q);
  qv_vnnlib_free(v);
  qv_net_free(net);
}

/* An order of all outputs behind a softmax: kept classes say the same, and engines know what to do with them. */
static void test_tail(void **state) {
  (void)state;
  qv_net *net = NULL;
  qv_err err = {0};
  qv_buf b = {0};
  qv_buf_str(&b, "qir 1\nsource \"\"\nsha256 \"\"\nprofile \"\"\nformat \"qir\"\nnotes 0\ntensors 2\ntensor 0 name \"x\" type i8 dims 2 1 4 scale none const no\n"
                 "tensor 1 name \"y\" type i8 dims 2 1 4 scale none const no\ninputs 1\ninput 0 tensor 0 lo -128 hi 127 end int name \"x\"\nnodes 1\n"
                 "node 0 tail op \"SOFTMAX\" layer 0 in 1 0 out 1\ntail softmax_q out_zp -128 lo -128 hi 127 mult 1073741824 ls 23 diff_min -31 out_bits 8\n"
                 "outputs 1\noutput 0 tensor 1 end int name \"y\" tail none\nend\n");
  if (qv_qir_read(&net, (const char *)b.p, b.n, &err) != QV_OK) fail_msg("line %" PRId64 ": %s", err.line, err.msg);
  qv_buf_free(&b);
  for (uint32_t cls = 0; cls < 4; cls++)
    for (int spoil = 0; spoil < 3; spoil++) { /* 1: one comparison is strict; 2: one class is left out */
      for (int i = 0; i < 4; i++) qv_buf_printf(&b, "(declare-const X_%d Real)(declare-const Y_%d Real)\n", i, i);
      qv_buf_str(&b, "(assert (or");
      for (uint32_t j = 0, seen = 0; j < 4; j++)
        if (j != cls && !(spoil == 2 && seen++ == 0)) qv_buf_printf(&b, " (and (%s Y_%" PRIu32 " Y_%" PRIu32 "))", spoil == 1 && seen++ == 0 ? ">" : ">=", j, cls);
      qv_buf_put(&b, "))", 3);
      qv_vnnlib *v = parse((const char *)b.p);
      qv_vnn_query q;
      assert_int_equal(qv_vnnlib_lower(&q, v, net, &err), QV_OK);
      assert_int_equal(q.n, spoil == 0 && cls > 0 && cls < 3 ? 2 : 1);
      for (size_t k = 0; k < q.n; k++) assert_int_equal(q.item[k].property.cond.kind == QV_AVOID, spoil != 0);
      for (int w = 0; w < 81; w++) {
        const int64_t y[4] = {w % 3, w / 3 % 3, w / 9 % 3, w / 27};
        const int64_t *const o[1] = {y};
        bool want = false, got = false;
        for (uint32_t j = 0, seen = 0; j < 4; j++)
          if (j != cls && !(spoil == 2 && seen++ == 0)) want |= spoil == 1 && seen++ == 0 ? y[j] > y[cls] : y[j] >= y[cls];
        for (size_t k = 0; k < q.n; k++) got |= qv_condition_violated(&q.item[k].property.cond, net, o) != QV_NONE;
        assert_int_equal(got, want);
      }
      qv_vnn_query_clear(&q);
      qv_vnnlib_free(v);
      qv_buf_free(&b);
    }
  qv_net_free(net);
}

/* ---- mistakes ------------------------------------------------------------------------------------------------------------------------------ */

#define V1 "(declare-const X_0 Real)\n(declare-const X_1 Real)\n(declare-const Y_0 Real)\n(declare-const Y_1 Real)\n"
#define V2 "(vnnlib-version <2.0>)\n(declare-network f\n(declare-input X int8 [1,2])\n(declare-output Y int8 [1,2]))\n"

typedef struct {
  int line;
  qv_status st;
  const char *text, *message;
} mistake;

/* Found by the reader. */
static const mistake bad_text[] = {
    {1, QV_E_PARSE, "", "no X_0"},
    {1, QV_E_PARSE, "(assert (<= 1 2))", "no X_0"},
    {5, QV_E_PARSE, V1 "", "no assertion"},
    {5, QV_E_PARSE, V1 "(assert (<= X_0 1)", "end of the file"},
    {5, QV_E_PARSE, V1 "(assert (<= X_0 1)))", "expected '('"},
    {5, QV_E_PARSE, V1 "(assert (<= X_2 1))", "not declared"},
    {5, QV_E_PARSE, V1 "(assert (<= Z 1))", "X_i or Y_j"},
    {5, QV_E_PARSE, V1 "(assert (<= X_0 1 2))", "takes 2"},
    {5, QV_E_PARSE, V1 "(assert (<= X_0))", "at least 2"},
    {5, QV_E_PARSE, V1 "(assert (and))", "at least 1"},
    {5, QV_E_PARSE, V1 "(assert (+ X_0 1))", "not a number"},
    {5, QV_E_PARSE, V1 "(assert (and X_0))", "operand 1"},
    {5, QV_E_PARSE, V1 "(assert (<= (and (<= 1 2)) 1))", "operand 1"},
    {5, QV_E_PARSE, V1 "(assert (<= X_0 1.2.3))", "not a number"},
    {5, QV_E_PARSE, V1 "(assert (<= X_0 1/2))", "not a number"},
    {5, QV_E_PARSE, V1 "(assert (foo X_0 1))", "unknown operator"},
    {5, QV_E_UNSUP, V1 "(assert (not (<= X_0 1)))", "'not'"},
    {5, QV_E_PARSE, V1 "(declare-const X_1 Real)", "twice"},
    {5, QV_E_UNSUP, V1 "(declare-const X_2 Int)", "'Int'"},
    {5, QV_E_PARSE, V1 "(declare-const Z_2 Real)", "expected X_i"},
    {5, QV_E_PARSE, V1 "(declare-const X_02 Real)", "expected X_i"},
    {5, QV_E_PARSE, V1 "(declare-const X_4000000 Real)", "leave none out"},
    {6, QV_E_PARSE, V1 "(declare-const X_3 Real)\n(assert (<= 1 2))", "X_2 is not declared"},
    {5, QV_E_PARSE, V1 "(frobnicate)", "unknown command"},
    {5, QV_E_PARSE, V1 "(declare-network f)", "1.0 and 2.0"},
    {5, QV_E_PARSE, V1 "(vnnlib-version <2.0>)", "comes first"},
    {1, QV_E_UNSUP, "(vnnlib-version <3.0>)", "version"},
    {1, QV_E_PARSE, "(vnnlib-version <2.0>)", "no network"},
    {5, QV_E_PARSE, V2 "", "no assertion"},
    {5, QV_E_PARSE, V2 "(assert (<= X 1))", "2 dimensions"},
    {5, QV_E_PARSE, V2 "(assert (<= X[0] 1))", "1 indices"},
    {5, QV_E_PARSE, V2 "(assert (<= X[0,2] 1))", "out of range"},
    {5, QV_E_PARSE, V2 "(assert (<= X[0,1,0] 1))", "2 dimensions"},
    {5, QV_E_PARSE, V2 "(assert (<= X[0 1] 1))", "expected ','"},
    {5, QV_E_PARSE, V2 "(assert (<= X[0,-1] 1))", "index"},
    {5, QV_E_PARSE, V2 "(assert (<= x[0,1] 1))", "not declared"},
    {5, QV_E_PARSE, V2 "(declare-const X_0 Real)", "1.0 and 2.0"},
    {5, QV_E_UNSUP, V2 "(declare-network g (declare-input A int8 [1]) (declare-output B int8 [1]))", "more than one network"},
    {6, QV_E_PARSE, V2 "(assert (<= 1 2))\n(declare-network g)", "behind an assertion"},
    {2, QV_E_UNSUP, "(vnnlib-version <2.0>)\n(declare-network f (declare-hidden H int8 [1] \"h\"))", "hidden"},
    {2, QV_E_UNSUP, "(vnnlib-version <2.0>)\n(declare-network f (equal-to g))", "equal-to"},
    {2, QV_E_PARSE, "(vnnlib-version <2.0>)\n(declare-network f (declare-input X int8 [0]))", "size 0"},
    {2, QV_E_PARSE, "(vnnlib-version <2.0>)\n(declare-network f (declare-input X int8 [1,]))", "dimension"},
    {2, QV_E_PARSE, "(vnnlib-version <2.0>)\n(declare-network f (declare-input X int8 [65536,65536]))", "2^28"},
    {2, QV_E_PARSE, "(vnnlib-version <2.0>)\n(declare-network f (declare-input X int8 [1]))", "an input and an output"},
    {2, QV_E_PARSE, "(vnnlib-version <2.0>)\n(declare-network f (declare-output Y int8 [1]) (declare-input X int8 [1]))", "behind an output"},
    {2, QV_E_PARSE, "(vnnlib-version <2.0>)\n(declare-network f (declare-input X int8 [1]) (declare-output X int8 [1]))", "twice"},
    {2, QV_E_PARSE, "(vnnlib-version <2.0>)\n(declare-network 5f)", "network's name"},
    {2, QV_E_PARSE, "(vnnlib-version <2.0>)\n(declare-network f (declare-input X int8 [1] \"x", "node's name"},
};

/* Found when the query meets the net (i8, scale 1/2, integer ends). */
static const mistake bad_fit[] = {
    {0, QV_E_PARSE, "(declare-const X_0 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)(assert (<= X_0 1))", "1 variables X_i"},
    {0, QV_E_PARSE, V1 "(declare-const Y_2 Real)(assert (<= X_0 1))", "3 variables Y_i"},
    {5, QV_E_UNSUP, V1 "(assert (<= X_0 X_1))", "between inputs"},
    {5, QV_E_UNSUP, V1 "(assert (<= X_0 Y_1))", "between inputs and outputs"},
    {5, QV_E_UNSUP, V1 "(assert (<= (* Y_0 Y_1) 1))", "product of variables"},
    {5, QV_E_UNSUP, V1 "(assert (<= (* 0.00000000000000000000001 Y_0) Y_1))", "2^62"},
    {0, QV_E_PARSE, "(vnnlib-version <2.0>)(declare-network f (declare-input X uint8 [1,2])(declare-output Y int8 [1,2]))(assert (<= 1 2))", "of the model is int8"},
    {0, QV_E_PARSE, "(vnnlib-version <2.0>)(declare-network f (declare-input X float32 [1,2])(declare-output Y int8 [1,2]))(assert (<= 1 2))", "of the model is int8"},
    {0, QV_E_UNSUP, "(vnnlib-version <2.0>)(declare-network f (declare-input X float64 [1,2])(declare-output Y int8 [1,2]))(assert (<= 1 2))", "element type 'float64'"},
    {0, QV_E_PARSE, "(vnnlib-version <2.0>)(declare-network f (declare-input X int8 [1,3])(declare-output Y int8 [1,2]))(assert (<= 1 2))", "another shape"},
    {0, QV_E_PARSE, "(vnnlib-version <2.0>)(declare-network f (declare-input X int8 [1,2])(declare-input Z int8 [1,2])(declare-output Y int8 [1,2]))(assert (<= 1 2))", "only 1 inputs"},
    {0, QV_E_PARSE, "(vnnlib-version <2.0>)(declare-network f (declare-input X int8 [1,2] \"a\")(declare-output Y int8 [1,2] \"y\"))(assert (<= 1 2))", "no input 'a'"},
    {0, QV_E_PARSE, "(vnnlib-version <2.0>)(declare-network f (declare-input X int8 [1,2] \"x\")(declare-output Y int8 [1,2]))(assert (<= 1 2))", "or none"},
};

static void test_mistakes(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof bad_text / sizeof bad_text[0]; i++) {
    const mistake *m = &bad_text[i];
    qv_vnnlib *v = NULL;
    qv_err err = {0};
    size_t n = strlen(m->text);
    char *exact = malloc(n + 1); /* (a byte for texts of length 0) */
    assert_non_null(exact);
    memcpy(exact, m->text, n);
    qv_status st = qv_vnnlib_read(&v, exact, n, &err);
    if (st != m->st || err.line != m->line || strstr(err.msg, m->message) == NULL)
      fail_msg("mistake %zu: %s line %" PRId64 ": %s\n%s", i, qv_status_name(st), err.line, err.msg, m->text);
    assert_null(v);
    free(exact);
  }
  qv_net *net = make_net("i8", "scale 0x1p-1 zp 1", -100, 100, "int", "int");
  for (size_t i = 0; i < sizeof bad_fit / sizeof bad_fit[0]; i++) {
    const mistake *m = &bad_fit[i];
    qv_vnnlib *v = parse(m->text);
    qv_vnn_query q;
    qv_err err = {0};
    qv_status st = qv_vnnlib_lower(&q, v, net, &err);
    if (st != m->st || err.line != m->line || strstr(err.msg, m->message) == NULL)
      fail_msg("misfit %zu: %s line %" PRId64 ": %s\n%s", i, qv_status_name(st), err.line, err.msg, m->text);
    qv_vnn_query_clear(&q);
    qv_vnnlib_free(v);
  }
  qv_net_free(net);
}

/* 2^14 disjuncts from 14 alternatives; nesting beyond the limit. */
static void test_limits(void **state) {
  (void)state;
  qv_buf b = {0};
  qv_err err = {0};
  qv_vnn_query q;
  qv_vnnlib *v = NULL;
  qv_net *net = make_net("i8", "scale 0x1p-1 zp 1", -100, 100, "int", "int");
  qv_buf_str(&b, V1);
  for (int i = 0; i < 14; i++) qv_buf_str(&b, "(assert (!= Y_0 Y_1))\n");
  qv_buf_put(&b, "", 1);
  v = parse((const char *)b.p);
  assert_int_equal(qv_vnnlib_lower(&q, v, net, &err), QV_E_LIMIT);
  qv_vnn_query_clear(&q);
  qv_vnnlib_free(v);
  v = NULL;
  qv_buf_free(&b);
  qv_buf_str(&b, V1 "(assert ");
  for (int i = 0; i < 100000; i++) qv_buf_str(&b, "(and ");
  assert_int_equal(qv_vnnlib_read(&v, (const char *)b.p, b.n, NULL), QV_E_LIMIT);
  qv_buf_free(&b);
  qv_net_free(net);
}

static void test_decimals(void **state) {
  static const struct {
    long num;
    unsigned long den;
    const char *text;
  } t[] = {{0, 1, "0"}, {-3, 1, "-3"}, {1, 2, "0.5"}, {-1, 8, "-0.125"}, {1001, 1000, "1.001"}, {1, 1024, "0.0009765625"}, {10, 1, "10"}, {7, 25, "0.28"}};
  (void)state;
  mpq_t q;
  mpq_init(q);
  for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
    qv_buf b = {0};
    mpq_set_si(q, t[i].num, t[i].den);
    mpq_canonicalize(q);
    assert_true(qv_vnn_decimal(&b, q));
    qv_buf_put(&b, "", 1);
    assert_string_equal((const char *)b.p, t[i].text);
    qv_buf_free(&b);
  }
  qv_buf b = {0};
  mpq_set_si(q, 1, 3);
  assert_false(qv_vnn_decimal(&b, q));
  qv_buf_free(&b);
  mpq_clear(q);
}

/* ---- files of the competition ------------------------------------------------------------------------------------------------------------- */

static unsigned read_folder(const char *dir) {
  struct dirent **list;
  unsigned n = 0;
  int k = scandir(dir, &list, NULL, alphasort);
  for (int i = 0; i < k; i++) {
    const char *dot = strrchr(list[i]->d_name, '.');
    if (dot != NULL && strcmp(dot, ".vnnlib") == 0) {
      char path[4096];
      qv_buf b = {0};
      qv_err err = {0};
      qv_vnnlib *v = NULL;
      (void)snprintf(path, sizeof path, "%s/%s", dir, list[i]->d_name);
      assert_int_equal(qv_file_read(&b, path, (size_t)1 << 26, &err), QV_OK);
      if (qv_vnnlib_read(&v, (const char *)b.p, b.n, &err) != QV_OK) fail_msg("%s: line %" PRId64 ": %s", path, err.line, err.msg);
      qv_vnnlib_free(v);
      qv_buf_free(&b);
      n++;
    }
    free(list[i]);
  }
  if (k >= 0) free(list);
  return n;
}

static void test_files(void **state) {
  static const char *const dirs[] = {"vnncomp/acasxu", "vnncomp/mnistfc", "vnncomp/test", "vnncomp/rl_benchmarks/vnnlib"};
  const char *data = getenv("QV_DATA");
  unsigned n = 0;
  char path[4096];
  (void)state;
  for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
    (void)snprintf(path, sizeof path, "%s/%s", data != NULL ? data : "../shared/data", dirs[i]);
    n += read_folder(path);
  }
  assert_int_equal(read_folder("tests/corpus/vnnlib"), 3);
  print_message("%u files read\n", n);
  if (n == 0) {
    print_message("SKIPPED: no VNN-LIB files of VNN-COMP\n");
    skip();
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_integer_ends), cmocka_unit_test(test_float_ends), cmocka_unit_test(test_shapes), cmocka_unit_test(test_tail),  cmocka_unit_test(test_mistakes),
      cmocka_unit_test(test_limits),       cmocka_unit_test(test_decimals),   cmocka_unit_test(test_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
