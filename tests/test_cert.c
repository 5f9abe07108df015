/* Can the overflow proof be relied on? Every certificate is accepted by the checker, a separate process; every claim of it is
 * true when all inputs of tiny nets are executed; and no forged certificate is accepted unless what it says is true all the
 * same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/witness.h"
#include "cli/ovcheck.h"
#include "tests/cert_env.h"
#include "tests/cert_forge.h"
#include "tests/extreme.h"
#include "tests/gen.h"

static int effort(int n) {
  const char *e = getenv("QV_TEST_MULT");
  double k = e != NULL ? atof(e) : 1.0;
  return (int)(n * (k > 0 ? k : 1.0)) + 1;
}

static uint64_t base_seed(uint64_t own) {
  const char *s = getenv("QV_TEST_SEED");
  return s != NULL ? strtoull(s, NULL, 10) : own;
}

/* A net, what is asked, the proof and its three texts. */
typedef struct {
  uint64_t seed;
  qv_rng rng;
  qv_net *net;
  qv_property prop;
  qv_prove_opts opts;
  qv_proof proof;
  cli_evidence ev;
} one;

static void prove_it(one *o) {
  qv_err err = {0};
  if (qv_prove_overflow(&o->proof, o->net, &o->prop, &o->opts, &err) != QV_OK) fail_msg("seed %llu: %s", (unsigned long long)o->seed, err.msg);
  if (cli_evidence_make(&o->ev, o->net, &o->prop, &o->proof, &err) != QV_OK) fail_msg("seed %llu: %s", (unsigned long long)o->seed, err.msg);
}

/* Half of the widths asked for lie at the border between proved and not. */
static int pick_bits(one *o) {
  int64_t form = qv_rng_range(&o->rng, 0, 3);
  if (form < 2) return 0;
  int bits = (int)qv_rng_range(&o->rng, 2, 40);
  qv_range_result r;
  assert_int_equal(qv_range_run(&r, o->net, NULL, NULL), QV_OK);
  if (form == 2 && r.n_acc > 0) {
    bits = r.acc[qv_rng_range(&o->rng, 0, r.n_acc - 1)].bits_final + (int)qv_rng_range(&o->rng, -2, 1);
    bits = bits < 2 ? 2 : bits > 64 ? 64 : bits;
  }
  qv_range_clear(&r);
  return bits;
}

static void make(one *o, uint64_t seed, gen_opts g, bool squeeze) {
  *o = (one){.seed = seed, .rng = {seed}};
  if (g.kinds == 0) g.kinds = ((1u << QV_KINDS) - 1) & ~(1u << QV_OPAQUE);
  o->net = gen_net(&o->rng, &g);
  assert_non_null(o->net);
  if (squeeze) ce_squeeze(o->net, &o->rng);
  ce_property(&o->prop, o->net, pick_bits(o), &o->rng);
  o->opts = (qv_prove_opts){.tight = qv_rng_range(&o->rng, 0, 1) == 1, .work = qv_rng_range(&o->rng, 0, 9) == 0 ? 1 : 1 << 20};
  prove_it(o);
}

static void clear(one *o) {
  cli_evidence_free(&o->ev);
  qv_proof_clear(&o->proof);
  qv_property_clear(&o->prop);
  qv_net_free(o->net);
}

/* For a report: the three files, kept. */
static void keep(const one *o, const qv_buf *cert) {
  const qv_buf *const b[3] = {&o->ev.qir, &o->ev.property, cert};
  static const char *const name[3] = {"/tmp/qv-cert-failed.qir", "/tmp/qv-cert-failed.qvp", "/tmp/qv-cert-failed.qvc"};
  for (int i = 0; i < 3; i++)
    if (qv_file_write(name[i], b[i]->p, b[i]->n, NULL) != QV_OK) printf("cannot write %s\n", name[i]);
}

static void must_accept(const one *o) {
  ce_answer a = ce_check(&o->ev.qir, &o->ev.property, &o->ev.cert);
  if (a.result == CE_CHECKED && a.verified == (o->proof.verdict == QV_VERIFIED)) return;
  keep(o, &o->ev.cert);
  fail_msg("seed %llu: the prover's own certificate is %s (kept as /tmp/qv-cert-failed.*): %s", (unsigned long long)o->seed, ce_result_name(a.result),
           a.text);
}

/* The same question again gives the same bytes. */
static void must_repeat(const one *o) {
  one again = {.seed = o->seed, .net = o->net, .prop = o->prop, .opts = o->opts};
  prove_it(&again);
  assert_int_equal(again.ev.cert.n, o->ev.cert.n);
  assert_memory_equal(again.ev.cert.p, o->ev.cert.p, o->ev.cert.n);
  cli_evidence_free(&again.ev);
  qv_proof_clear(&again.proof);
}

/* ---- 1. every certificate is accepted -------------------------------------------------------------------------------- */

static const gen_opts SHAPES[] = {
    {.max_in = 64, .max_nodes = 8, .max_elems = 512, .max_k = 100},
    {.max_in = 200, .max_nodes = 3, .max_elems = 400, .max_k = 200, .kinds = 1u << QV_AFFINE | 1u << QV_STEP},
    {.max_in = 32, .max_nodes = 12, .max_elems = 128, .max_k = 64, .layers = true},
    {.max_in = 16, .max_nodes = 14, .max_elems = 200, .max_k = 64,
     .kinds = 1u << QV_AFFINE | 1u << QV_STEP | 1u << QV_SUM | 1u << QV_CLAMP | 1u << QV_TABLE | 1u << QV_THRESHOLD | 1u << QV_INDEX},
    {.max_in = 48, .max_nodes = 8, .max_elems = 256, .max_k = 64, .kinds = (1u << QV_KINDS) - 1},
    {.max_in = 100, .in_bits = 16, .max_nodes = 5, .max_elems = 256, .max_k = 100},
};

static void accepted(void **state) {
  (void)state;
  uint64_t seed = base_seed(700000);
  int n = getenv("QV_TEST_SEED") != NULL ? 1 : effort(400), verified = 0, rows = 0;
  print_message("seeds %llu..\n", (unsigned long long)seed);
  for (int i = 0; i < n; i++, seed++) {
    one o;
    make(&o, seed, SHAPES[seed % (sizeof SHAPES / sizeof SHAPES[0])], seed % 3 == 0);
    must_accept(&o);
    if (i % 10 == 0) must_repeat(&o);
    verified += o.proof.verdict == QV_VERIFIED;
    rows += o.proof.n_linear > 0;
    clear(&o);
  }
  print_message("%d certificates accepted, %d verdicts verified, %d with linear rows\n", n, verified, rows);
  assert_true(n == 1 || (verified > n / 20 && rows > n / 80));
}

/* Fields from their far ends: most such nets are refused, the rest must be proved about and accepted like any other. */
static void extreme(void **state) {
  (void)state;
  uint64_t seed = base_seed(600000);
  int n = getenv("QV_TEST_SEED") != NULL ? 1 : effort(3000), nets = 0, verified = 0;
  for (int i = 0; i < n; i++, seed++) {
    one o = {.seed = seed, .rng = {seed}};
    o.net = extreme_net(&o.rng, (qv_kind)(seed % QV_KINDS));
    assert_non_null(o.net);
    if (qv_ir_check(o.net, NULL) == QV_OK) {
      ce_property(&o.prop, o.net, qv_rng_range(&o.rng, 0, 1) == 0 ? 0 : (int)qv_rng_range(&o.rng, 2, 64), &o.rng);
      o.opts = (qv_prove_opts){.tight = qv_rng_range(&o.rng, 0, 1) == 1};
      prove_it(&o);
      must_accept(&o);
      nets++;
      verified += o.proof.verdict == QV_VERIFIED;
    }
    clear(&o);
  }
  print_message("%d of %d extreme nets valid, all certificates accepted, %d verified\n", nets, n, verified);
  assert_true(n == 1 || (nets > n / 100 && verified > 0));
}

/* Wide enough at the width asked about, but not at the node's own. The trap: behind it nothing is defined. The 8-bit wrap:
 * x in [0,127] times 4 wraps to [-128,127], times 4 fits 10 bits; in a net of 10-bit accumulators it would be 2032. */
static void own_width(void **state) {
  (void)state;
  static const struct {
    const char *file;
    int bits;
  } t[] = {{"tests/regress/ARM-software-CMSIS-NN-convolve-s16.qir", 40}, {"tests/regress/own-width-first.qir", 10}};
  for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
    qv_buf text = {0};
    qv_err err = {0};
    one o = {0};
    if (qv_file_read(&text, t[i].file, (size_t)1 << 20, &err) != QV_OK) fail_msg("%s (run from the repository root)", err.msg);
    o.net = ce_copy(&text);
    assert_int_equal(qv_property_whole(&o.prop, o.net, t[i].bits, &err), QV_OK);
    prove_it(&o);
    for (uint32_t k = 0; k < o.proof.range.n_acc; k++) assert_int_equal(o.proof.item[k].verdict, QV_VERIFIED);
    assert_int_equal(o.proof.n_own, 1);
    assert_int_equal(o.proof.verdict, QV_UNKNOWN);
    must_accept(&o);
    clear(&o);
    qv_buf_free(&text);
  }
}

/* ---- 2. every claim is true ------------------------------------------------------------------------------------------- */

static const gen_opts TINY[] = {
    {.max_in = 2, .in_bits = 4, .max_nodes = 5, .max_elems = 16, .max_k = 20},
    {.max_in = 3, .in_bits = 3, .max_nodes = 8, .max_elems = 16, .max_k = 24},
    {.max_in = 3, .in_bits = 3, .max_nodes = 7, .max_elems = 24, .max_k = 24, .layers = true},
    {.max_in = 2, .in_bits = 5, .max_nodes = 9, .max_elems = 16, .max_k = 16,
     .kinds = 1u << QV_AFFINE | 1u << QV_STEP | 1u << QV_SUM | 1u << QV_CLAMP | 1u << QV_TABLE | 1u << QV_THRESHOLD | 1u << QV_INDEX},
};
#define N_TINY (sizeof TINY / sizeof TINY[0])
#define ALL_INPUTS 4096

/* Interval of element e of input i. */
static qv_itv box(const one *o, uint32_t i, size_t e) {
  const qv_tensor *x = &o->net->tensor[o->net->in[i].tensor];
  return o->prop.in[i].n == 0 ? (qv_itv){x->lo, x->hi} : o->prop.in[i].itv[o->prop.in[i].n == 1 ? 0 : e];
}

/* A witness is an input of the domain, and misbehaves when replayed; exhausted means that none does. */
static void search(const one *o, const ce_truth *t, uint32_t i, int *reached, int *exhausted) {
  qv_witness w;
  bool bad = false;
  assert_int_equal(qv_witness_search(&w, o->net, &o->prop, &o->proof, i, NULL, NULL), QV_OK);
  if (w.state == QV_WIT_REACHED) {
    for (uint32_t k = 0; k < o->net->n_in; k++)
      for (size_t e = 0; e < qv_elems(&o->net->tensor[o->net->in[k].tensor]); e++)
        assert_true(w.input[k][e] >= box(o, k, e).lo && w.input[k][e] <= box(o, k, e).hi);
    assert_int_equal(qv_witness_replay(&bad, &w, o->net, o->prop.acc_bits, NULL), QV_OK);
    if (!bad || !t->overflows[w.node]) fail_msg("seed %llu node %u: a witness that shows nothing", (unsigned long long)o->seed, w.node);
    (*reached)++;
  }
  /* an input on which something before the node is undefined shows nothing; unknown order: the search executes the stored one */
  bool undefined = false;
  for (uint32_t k = 0; k < o->proof.item[i].node; k++) {
    const qv_acc *a = qv_node_acc(&o->net->node[k]);
    undefined = undefined || (a != NULL && a->mode == QV_ACC_TRAP && t->own_wrong[k]);
  }
  if (w.state == QV_WIT_EXHAUSTED && !undefined && t->wrong[o->proof.item[i].node]) {
    keep(o, &o->ev.cert);
    fail_msg("seed %llu node %u: exhausted, but an input misbehaves", (unsigned long long)o->seed, o->proof.item[i].node);
  }
  *exhausted += w.state == QV_WIT_EXHAUSTED;
  qv_witness_clear(&w);
}

/* What VERIFIED means in the end: the net whose accumulators all have the width asked about computes, on every input, what the
 * net of unbounded accumulators computes. */
static void same_as_exact(const one *o) {
  qv_net *net[2] = {ce_copy(&o->ev.qir), ce_copy(&o->ev.qir)};
  qv_values v[2];
  for (int i = 0; i < 2; i++) {
    for (uint32_t k = 0; k < net[i]->n_nodes; k++) {
      qv_node *n = &net[i]->node[k];
      qv_acc *a = n->kind == QV_AFFINE ? &n->u.affine.acc : n->kind == QV_SUM ? &n->u.sum.acc : n->kind == QV_PRODUCT ? &n->u.product.acc : NULL;
      if (a != NULL) *a = i == 0 ? qv_acc_judged(a, o->prop.acc_bits) : (qv_acc){.mode = QV_ACC_EXACT};
    }
    assert_int_equal(qv_values_init(&v[i], net[i], NULL), QV_OK);
  }
  for (uint32_t i = 0; i < o->net->n_in; i++)
    for (size_t e = 0; e < qv_elems(&o->net->tensor[o->net->in[i].tensor]); e++) v[0].v[o->net->in[i].tensor][e] = box(o, i, e).lo;
  bool more = true;
  while (more) {
    for (uint32_t i = 0; i < o->net->n_in; i++) {
      uint32_t t = o->net->in[i].tensor;
      memcpy(v[1].v[t], v[0].v[t], qv_elems(&o->net->tensor[t]) * sizeof(int64_t));
    }
    for (int i = 0; i < 2; i++)
      if (qv_ref_run(net[i], &v[i], NULL) != QV_OK) fail_msg("seed %llu: verified, but the net cannot be executed", (unsigned long long)o->seed);
    for (uint32_t t = 0; t < o->net->n_tensors; t++)
      if (memcmp(v[0].v[t], v[1].v[t], qv_elems(&o->net->tensor[t]) * sizeof(int64_t)) != 0)
        fail_msg("seed %llu: verified, but tensor %u is not what exact arithmetic gives", (unsigned long long)o->seed, t);
    more = false;
    for (uint32_t i = 0; !more && i < o->net->n_in; i++)
      for (size_t e = 0; !more && e < qv_elems(&o->net->tensor[o->net->in[i].tensor]); e++) {
        int64_t *x = &v[0].v[o->net->in[i].tensor][e];
        more = ++*x <= box(o, i, e).hi;
        if (!more) *x = box(o, i, e).lo;
      }
  }
  for (int i = 0; i < 2; i++) qv_values_clear(&v[i]), qv_net_free(net[i]);
}

static void enumerated(void **state) {
  (void)state;
  uint64_t seed = base_seed(800000);
  int n = getenv("QV_TEST_SEED") != NULL ? 1 : effort(400), reached = 0, exhausted = 0, proved = 0, nets = 0, whole = 0;
  print_message("seeds %llu..\n", (unsigned long long)seed);
  for (int i = 0; i < n; i++, seed++) {
    one o;
    ce_truth t;
    make(&o, seed, TINY[seed % N_TINY], seed % 4 != 0);
    must_accept(&o);
    if (ce_truth_run(&t, o.net, &o.prop, ALL_INPUTS)) {
      const char *why = ce_false_claim(&o.ev.cert, o.net, &o.prop, &t);
      if (why != NULL) {
        keep(&o, &o.ev.cert);
        fail_msg("seed %llu: false claim: %s", (unsigned long long)seed, why);
      }
      for (uint32_t k = 0; k < o.proof.range.n_acc; k++) {
        if (o.proof.item[k].verdict != QV_VERIFIED) search(&o, &t, k, &reached, &exhausted);
        else proved++;
      }
      if (o.proof.verdict == QV_VERIFIED) same_as_exact(&o), whole++;
      nets++;
    }
    ce_truth_clear(&t);
    clear(&o);
  }
  print_message("%d nets with all inputs executed: %d verified and equal to exact arithmetic; %d accumulators proved, %d reached, %d exhausted\n", nets,
                whole, proved, reached, exhausted);
  assert_true(n == 1 || (whole > n / 10 && proved > n / 2 && reached > n / 20 && exhausted > 0));
}

/* ---- 3. forgeries ------------------------------------------------------------------------------------------------------ */

typedef struct {
  int tried, accepted, lies; /* lies: forgeries that are false, all of which were rejected */
} tally;

/* Forged certificate for o's net and property (or others): accepted only if true. */
static void judge(const one *o, const qv_net *net, const qv_property *p, const ce_truth *t, const qv_buf *qir, const qv_buf *prop, const qv_buf *cert,
                  const char *what, tally *sum) {
  ce_answer a = ce_check(qir, prop, cert);
  const char *why = ce_false_claim(cert, net, p, t);
  if (a.result == CE_BROKEN || a.result == CE_UNUSABLE || (a.result == CE_CHECKED && why != NULL)) {
    keep(o, cert);
    fail_msg("seed %llu, %s: %s although %s (kept as /tmp/qv-cert-failed.*): %s", (unsigned long long)o->seed, what, ce_result_name(a.result),
             why != NULL ? why : "nothing is wrong", a.text);
  }
  sum->tried++;
  sum->accepted += a.result == CE_CHECKED;
  sum->lies += why != NULL;
}

/* The certificate's second hash line names another net or property: bind it to the new ones. */
static void bind(qv_buf *out, const qv_buf *cert, const qv_buf *qir, const qv_buf *prop) {
  char net[QV_SHA256_HEX], hex[QV_SHA256_HEX] = "-";
  qv_sha256_hex(net, qir->p, qir->n);
  if (prop->n > 0) qv_sha256_hex(hex, prop->p, prop->n);
  const char *rest = strstr((const char *)cert->p, "\nproperty ");
  assert_non_null(rest);
  rest = strchr(rest + 1, '\n') + 1;
  qv_buf_printf(out, "qvc 1\nclaim overflow\nnet %s\nproperty %s\n", net, hex);
  qv_buf_put(out, rest, cert->n - (size_t)(rest - (const char *)cert->p));
  ce_rehash(out);
}

static void end_string(qv_buf *b) {
  qv_buf_put(b, "", 1);
  assert_false(b->failed);
  b->n--;
}

static void forge_certs(one *o, const ce_truth *t, tally *sums) {
  uint32_t node = QV_NONE, out = QV_NONE;
  for (uint32_t k = 0; k < o->net->n_nodes; k++)
    if (o->net->node[k].kind == QV_AFFINE && (node == QV_NONE || qv_rng_range(&o->rng, 0, 1) == 1)) node = k, out = o->net->node[k].out;
  for (int kind = 0; kind < FG_KINDS; kind++)
    for (int rep = 0; rep < (kind == FG_SHRINK || kind == FG_LINEAR || kind == FG_NEW_LINEAR ? 3 : 1); rep++) {
      qv_buf bad = {0};
      if (forge(&bad, &o->ev.cert, (forge_kind)kind, node, out, &o->rng))
        judge(o, o->net, &o->prop, t, &o->ev.qir, &o->ev.property, &bad, forge_name((forge_kind)kind), &sums[kind]);
      qv_buf_free(&bad);
    }
}

/* Old ranges for a net with one number changed. */
static void forge_nets(one *o, tally *sum) {
  for (int rep = 0; rep < 4; rep++) {
    qv_net *net = ce_copy(&o->ev.qir);
    char what[128];
    qv_buf qir = {0}, cert = {0};
    ce_truth t = {0};
    if (forge_net(net, &o->rng, what, sizeof what) && qv_qir_write(&qir, net, NULL) == QV_OK && ce_truth_run(&t, net, &o->prop, ALL_INPUTS)) {
      bind(&cert, &o->ev.cert, &qir, &o->ev.property);
      judge(o, net, &o->prop, &t, &qir, &o->ev.property, &cert, what, sum);
    }
    ce_truth_clear(&t);
    qv_buf_free(&qir);
    qv_buf_free(&cert);
    qv_net_free(net);
  }
}

static void forge_properties(one *o, tally *sum) {
  for (int rep = 0; rep < 3; rep++) {
    qv_property p;
    qv_buf text = {0}, cert = {0};
    ce_truth t = {0};
    assert_int_equal(qv_property_whole(&p, o->net, o->prop.acc_bits, NULL), QV_OK);
    for (uint32_t i = 0; i < o->net->n_in; i++) {
      p.in[i].n = o->prop.in[i].n;
      p.in[i].itv = QV_NEW(&p.arena, p.in[i].n, qv_itv);
      for (size_t e = 0; e < p.in[i].n; e++) p.in[i].itv[e] = o->prop.in[i].itv[e];
    }
    if (forge_property(&p, o->net, &o->rng) && ce_truth_run(&t, o->net, &p, ALL_INPUTS)) {
      if (!qv_property_is_default(&p)) assert_int_equal(qv_property_write(&text, &p, NULL), QV_OK);
      bind(&cert, &o->ev.cert, &o->ev.qir, &text);
      judge(o, o->net, &p, &t, &o->ev.qir, &text, &cert, "another property", sum);
    }
    ce_truth_clear(&t);
    qv_buf_free(&text);
    qv_buf_free(&cert);
    qv_property_clear(&p);
  }
}

static void forged(void **state) {
  (void)state;
  static tally sums[FG_KINDS + 2];
  uint64_t seed = base_seed(900000);
  int n = getenv("QV_TEST_SEED") != NULL ? 1 : effort(75), total = 0, lies = 0;
  print_message("seeds %llu..\n", (unsigned long long)seed);
  memset(sums, 0, sizeof sums);
  for (int i = 0; i < n; i++, seed++) {
    one o;
    ce_truth t;
    make(&o, seed, TINY[seed % N_TINY], seed % 2 != 0);
    end_string(&o.ev.cert);
    if (ce_truth_run(&t, o.net, &o.prop, ALL_INPUTS)) {
      forge_certs(&o, &t, sums);
      forge_nets(&o, &sums[FG_KINDS]);
      forge_properties(&o, &sums[FG_KINDS + 1]);
    }
    ce_truth_clear(&t);
    clear(&o);
  }
  for (int k = 0; k < FG_KINDS + 2; k++) {
    print_message("  %-22s %5d tried, %5d of them false and rejected, %4d true and accepted\n",
                  k < FG_KINDS ? forge_name((forge_kind)k) : k == FG_KINDS ? "another net" : "another property", sums[k].tried, sums[k].lies,
                  sums[k].accepted);
    total += sums[k].tried, lies += sums[k].lies;
  }
  print_message("%d forgeries, %d of them false: none accepted\n", total, lies);
  assert_true(n == 1 || (total >= 1000 && lies >= 500));
}

/* One flipped bit anywhere is rejected. */
static void flipped(void **state) {
  (void)state;
  int n = 0, step = getenv("QV_TEST_MULT") != NULL && atof(getenv("QV_TEST_MULT")) >= 10 ? 1 : 7;
  for (uint64_t seed = 950000; n == 0; seed++) {
    one o;
    make(&o, seed, TINY[2], false);
    if (o.ev.property.n > 0 && o.proof.n_linear > 0) {
      qv_buf *const text[3] = {&o.ev.qir, &o.ev.property, &o.ev.cert};
      for (int f = 0; f < 3; f++)
        for (size_t i = (size_t)(f + 1); i < text[f]->n; i += (size_t)step) {
          unsigned char old = text[f]->p[i];
          text[f]->p[i] ^= (unsigned char)(1u << qv_rng_range(&o.rng, 0, 7));
          ce_answer a = ce_check(&o.ev.qir, &o.ev.property, &o.ev.cert);
          if (a.result == CE_CHECKED || a.result == CE_BROKEN) fail_msg("seed %llu: byte %zu of file %d: %s", (unsigned long long)seed, i, f, ce_result_name(a.result));
          text[f]->p[i] = old;
          n++;
        }
      must_accept(&o);
    }
    clear(&o);
  }
  print_message("%d flipped bits: all rejected\n", n);
}

/* A prover with a planted bug is caught by the checker: two of them here, all in the long run. */
static void planted(void **state) {
  (void)state;
  const char *e = getenv("QV_TEST_MULT");
  bool all = e != NULL && atof(e) >= 10;
  if (strcmp(QV_BUILD, "release") != 0) {
    print_message("SKIPPED: planted bugs are linked with the release build only\n");
    skip();
  }
  int rc = system(all ? "tests/planted/run.sh" : "tests/planted/run.sh pair_check_skipped step_image_off_by_one");
  assert_int_equal(rc, 0);
}

static int setup(void **state) {
  (void)state;
  return cr_open() ? 0 : -1;
}
static int teardown(void **state) {
  (void)state;
  cr_close();
  return 0;
}

int main(void) {
  const struct CMUnitTest t[] = {cmocka_unit_test(accepted), cmocka_unit_test(extreme), cmocka_unit_test(own_width),
                                 cmocka_unit_test(enumerated), cmocka_unit_test(forged), cmocka_unit_test(flipped), cmocka_unit_test(planted)};
  return cmocka_run_group_tests(t, setup, teardown);
}
