/* Enumeration: tiny random nets, every input of the domain executed by the reference, everything reached compared with what
 * qv_range_run and qv_overflow_judge claim. The sums are recomputed here by plain loops (tests/range_oracle.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/overflow.h"
#include "kernels/ref.h"
#include "tests/gen.h"
#include "tests/range_oracle.h"

enum { MAX_FREE = 10 };

static unsigned multiplier(void) {
  const char *s = getenv("QV_TEST_MULT");
  int m = s != NULL ? atoi(s) : 1;
  return m > 0 ? (unsigned)m : 1;
}

/* What enumeration has shown of one tensor. */
typedef struct {
  size_t n_free;           /* elements whose interval is not a point */
  size_t free[MAX_FREE];
  bool tracked;            /* few enough of them */
  bool *corner;            /* [2^n_free] */
  bool *vector;            /* [size of the box] when reach is ALL, else NULL */
  size_t box;
} seen;

typedef struct {
  qv_net *net;
  qv_range_result r;
  qv_values vals;
  qv_ov_item *item;        /* own mode */
  qv_ov_item *item_n;      /* for acc_bits */
  int acc_bits;
  qv_itv **point;          /* [tensor][element] the values as intervals */
  bool *poisoned;          /* tensor depends on a trap in this execution */
  seen *seen;
  qv_itv **reached;        /* [n_acc][channel] exact sums that occurred */
  bool **hit;              /* [n_acc][channel] */
  qv_rng *rng;
  uint64_t seed;
  qv_arena mem;
} state;

static const char *where(const state *s, uint32_t node) {
  static char buf[160];
  (void)snprintf(buf, sizeof buf, "seed %llu node %u (%s)", (unsigned long long)s->seed, node, qv_kind_name(s->net->node[node].kind));
  return buf;
}

#define CHECK(s, node, c)                                              \
  do {                                                                 \
    if (!(c)) fail_msg("%s: %s", where((s), (node)), #c);              \
  } while (0)

static bool within(qv_itv a, qv_itv b) { return b.lo <= a.lo && a.hi <= b.hi; }
static bool fits(qv_itv v, int bits) { return within(v, (qv_itv){qv_smin(bits), qv_smax(bits)}); }

/* Generated accumulators are mostly roomy: squeeze some so that every mode overflows now and then. */
static void squeeze(qv_net *net, qv_rng *r) {
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    qv_node *n = &net->node[k];
    qv_acc *a = n->kind == QV_AFFINE ? &n->u.affine.acc : n->kind == QV_SUM ? &n->u.sum.acc : n->kind == QV_PRODUCT ? &n->u.product.acc : NULL;
    if (a == NULL || a->mode == QV_ACC_EXACT || qv_rng_range(r, 0, 99) < 40) continue;
    qv_acc old = *a;
    a->bits = (uint8_t)qv_rng_range(r, 4, 20);
    if (a->mode == QV_ACC_LANES) a->lane_bits = (uint8_t)qv_rng_range(r, 8, 14);
    if (qv_ir_check(net, NULL) != QV_OK) *a = old;
  }
  assert_int_equal(qv_ir_check(net, NULL), QV_OK);
}

/* A random box inside the declared ranges, or NULL for all of them. */
static const qv_ranges *random_box(state *s, uint32_t input) {
  const qv_tensor *t = &s->net->tensor[s->net->in[input].tensor];
  if (qv_rng_range(s->rng, 0, 2) == 0) return NULL;
  qv_ranges *b = QV_NEW(&s->mem, 1, qv_ranges);
  b->inner = 1;
  b->n = qv_rng_range(s->rng, 0, 1) ? (uint32_t)qv_elems(t) : 1;
  b->itv = QV_NEW(&s->mem, b->n, qv_itv);
  for (uint32_t q = 0; q < b->n; q++) {
    int64_t x = qv_rng_range(s->rng, t->lo, t->hi), y = qv_rng_range(s->rng, t->lo, t->hi);
    b->itv[q] = (qv_itv){qv_min64(x, y), qv_max64(x, y)};
  }
  return b;
}

static void track(state *s, uint32_t t) {
  seen *v = &s->seen[t];
  v->tracked = true;
  v->box = 1;
  for (size_t e = 0; e < qv_elems(&s->net->tensor[t]); e++) {
    qv_itv r = qv_ranges_at(&s->r.tensor[t], e);
    if (r.lo == r.hi) continue;
    if (v->n_free == MAX_FREE || r.hi - r.lo > 65535 || v->box > 65536) {
      v->tracked = false;
      return;
    }
    v->free[v->n_free++] = e;
    v->box *= (size_t)(r.hi - r.lo + 1);
  }
  v->corner = QV_NEW(&s->mem, (size_t)1 << v->n_free, bool);
  if (s->r.reach[t] == QV_REACH_ALL && v->box <= 65536) v->vector = QV_NEW(&s->mem, v->box, bool);
}

static void record(state *s, uint32_t t) {
  seen *v = &s->seen[t];
  if (!v->tracked) return;
  size_t corner = 0, index = 0;
  bool is_corner = true;
  for (size_t i = 0; i < v->n_free; i++) {
    qv_itv r = qv_ranges_at(&s->r.tensor[t], v->free[i]);
    int64_t x = s->vals.v[t][v->free[i]];
    is_corner = is_corner && (x == r.lo || x == r.hi);
    corner = 2 * corner + (x == r.hi);
    index = index * (size_t)(r.hi - r.lo + 1) + (size_t)(x - r.lo);
  }
  if (is_corner) v->corner[corner] = true;
  if (v->vector != NULL) v->vector[index] = true;
}

/* ---- one execution ---------------------------------------------------------------------------------------------------- */

static void check_range(state *s, uint32_t node, uint32_t t) {
  for (size_t e = 0; e < qv_elems(&s->net->tensor[t]); e++) {
    int64_t x = s->vals.v[t][e];
    qv_itv r = qv_ranges_at(&s->r.tensor[t], e);
    if (x < r.lo || x > r.hi)
      fail_msg("%s: element %zu = %lld is outside its proved range [%lld,%lld]", where(s, node), e, (long long)x, (long long)r.lo,
               (long long)r.hi);
    s->point[t][e] = (qv_itv){x, x};
  }
  record(s, t);
}

/* Do all prefixes of some random permutations of the terms, the bias anywhere, fit? */
static bool permutations_fit(state *s, const oracle_terms *o, int bits) {
  static int64_t t[ORACLE_TERMS + 1];
  for (int rep = 0; rep < 2; rep++) {
    size_t n = 0;
    for (size_t i = 0; i < o->k; i++) t[n++] = o->t[i].lo;
    t[n++] = o->b;
    int64_t sum = 0;
    for (size_t i = n; i-- > 0;) {
      size_t j = (size_t)qv_rng_range(s->rng, 0, (int64_t)i);
      sum += t[j];
      t[j] = t[i];
      if (!fits((qv_itv){sum, sum}, bits)) return false;
    }
  }
  return true;
}

static void check_item(state *s, uint32_t node, const qv_ov_item *it, const oracle_terms *o, const oracle_bound *p) {
  if (it->bits == 0) return;
  if (it->cls <= QV_OV_STAGE) CHECK(s, node, fits(p->final, it->bits));
  if (it->cls <= QV_OV_SAFE_ORDER && !o->acc->raw) CHECK(s, node, fits(p->prefix, it->bits));
  if (it->cls <= QV_OV_SAFE_ORDER && o->acc->raw) CHECK(s, node, fits(p->raw_prefix, it->bits) && fits(p->fix, it->bits) && fits(p->row, it->bits));
  if (it->cls == QV_OV_SAFE_ANY) {
    CHECK(s, node, fits(p->any, it->bits) && permutations_fit(s, o, it->bits));
    if (o->acc->raw) CHECK(s, node, fits(p->all, it->bits));
  }
}

/* The machine with another width, for the judgement about acc_bits. */
static void check_other_width(state *s, uint32_t node, const qv_ov_item *it, const oracle_terms *o, const oracle_bound *p) {
  static int64_t x[ORACLE_TERMS], w[ORACLE_TERMS];
  static bool inside[ORACLE_TERMS];
  qv_acc a = *o->acc;
  if (it->verdict != QV_VERIFIED || a.raw) return;
  a.bits = (uint8_t)it->bits;
  if (a.mode == QV_ACC_EXACT) a.mode = QV_ACC_WRAP;
  for (size_t i = 0; i < o->k; i++) x[i] = o->t[i].lo, w[i] = 1, inside[i] = true;
  int64_t y = 0;
  CHECK(s, node, qv_acc_run(&y, &a, o->k, x, w, inside, 0, 0, o->b) && y == p->final.lo);
}

static void check_acc(state *s, uint32_t node, uint32_t i, bool trapped) {
  static oracle_terms o;
  static oracle_bound p;
  const qv_node *n = &s->net->node[node];
  const qv_acc_bound *b = &s->r.acc[i];
  for (size_t e = 0; e < qv_elems(&s->net->tensor[n->out]); e++) {
    uint32_t c = oracle_channel(n, &s->r.tensor[n->out], e);
    oracle_load(&o, s->net, n, e, s->point);
    oracle_run(&p, &o);
    CHECK(s, node, within(p.final, b->final[c]));
    CHECK(s, node, within(p.prefix, b->prefix[c]));
    CHECK(s, node, within(p.any, b->any[c]));
    if (b->stage != NULL) CHECK(s, node, within(p.stage, b->stage[c].itv));
    if (b->raw != NULL) {
      CHECK(s, node, within(p.raw_sum, b->raw[c].sum) && within(p.raw_prefix, b->raw[c].prefix));
      CHECK(s, node, within(p.row, b->raw[c].row) && within(p.all, b->raw[c].all) && within(p.fix, b->raw[c].fix));
      CHECK(s, node, p.col == b->raw[c].col);
    }
    if (s->item[i].verdict == QV_VERIFIED) CHECK(s, node, !trapped && s->vals.v[n->out][e] == p.final.lo);
    if (qv_acc_harmless(o.acc, o.acc->bits, b, c) && !trapped) CHECK(s, node, s->vals.v[n->out][e] == p.final.lo);
    check_item(s, node, &s->item[i], &o, &p);
    check_item(s, node, &s->item_n[i], &o, &p);
    check_other_width(s, node, &s->item_n[i], &o, &p);
    s->reached[i][c] = s->hit[i][c] ? qv_itv_hull(s->reached[i][c], p.final) : p.final;
    s->hit[i][c] = true;
  }
}

static void execute(state *s) {
  uint32_t i_acc = 0;
  memset(s->poisoned, 0, s->net->n_tensors * sizeof *s->poisoned);
  for (uint32_t k = 0; k < s->net->n_nodes; k++) {
    const qv_node *n = &s->net->node[k];
    uint32_t i = i_acc;
    bool acc = qv_node_acc(n) != NULL, poisoned = false;
    i_acc += acc;
    for (uint32_t j = 0; j < n->n_in; j++) poisoned = poisoned || s->poisoned[n->in[j]];
    if (poisoned) {
      s->poisoned[n->out] = true;
      continue;
    }
    qv_status st = qv_ref_node(s->net, k, &s->vals, NULL);
    bool trapped = st == QV_E_RANGE && acc;
    CHECK(s, k, st == QV_OK || trapped);
    if (trapped) s->poisoned[n->out] = true;
    else check_range(s, k, n->out);
    if (acc) check_acc(s, k, i, trapped);
  }
}

/* ---- all executions ---------------------------------------------------------------------------------------------------- */

/* Next point of the domain, like an odometer. */
static bool advance(state *s) {
  for (uint32_t i = 0; i < s->net->n_in; i++) {
    uint32_t t = s->net->in[i].tensor;
    for (size_t e = 0; e < qv_elems(&s->net->tensor[t]); e++) {
      qv_itv r = qv_ranges_at(&s->r.tensor[t], e);
      if (++s->vals.v[t][e] <= r.hi) return true;
      s->vals.v[t][e] = r.lo;
    }
  }
  return false;
}

static void check_claims(state *s) {
  for (uint32_t i = 0; i < s->r.n_acc; i++) {
    const qv_acc_bound *b = &s->r.acc[i];
    for (uint32_t c = 0; b->exact && c < b->n; c++)
      CHECK(s, b->node, s->hit[i][c] && s->reached[i][c].lo == b->final[c].lo && s->reached[i][c].hi == b->final[c].hi);
  }
  for (uint32_t t = 0; t < s->net->n_tensors; t++) {
    const seen *v = &s->seen[t];
    if (!v->tracked) continue;
    for (size_t i = 0; s->r.reach[t] >= QV_REACH_CORNERS && i < (size_t)1 << v->n_free; i++)
      if (!v->corner[i]) fail_msg("seed %llu tensor %s: a corner is not reached", (unsigned long long)s->seed, s->net->tensor[t].name);
    for (size_t i = 0; v->vector != NULL && i < v->box; i++)
      if (!v->vector[i]) fail_msg("seed %llu tensor %s: a vector is not reached", (unsigned long long)s->seed, s->net->tensor[t].name);
  }
}

/* With tight input intervals the bound is the hull of the plain loops' bounds over output elements. */
static void check_tight(state *s) {
  static oracle_terms o;
  static oracle_bound p, h;
  for (uint32_t t = 0; t < s->net->n_tensors; t++)
    for (size_t e = 0; e < qv_elems(&s->net->tensor[t]); e++) s->point[t][e] = qv_ranges_at(&s->r.tensor[t], e);
  for (uint32_t i = 0; i < s->r.n_acc; i++) {
    const qv_acc_bound *b = &s->r.acc[i];
    const qv_node *n = &s->net->node[b->node];
    if (n->kind == QV_AFFINE && !b->attained) continue; /* hulls were used */
    for (uint32_t c = 0; c < b->n; c++) {
      bool first = true;
      for (size_t e = 0; e < qv_elems(&s->net->tensor[n->out]); e++) {
        if (oracle_channel(n, &s->r.tensor[n->out], e) != c) continue;
        oracle_load(&o, s->net, n, e, s->point);
        oracle_run(&p, &o);
        if (first) h = p;
        first = false;
        h.final = qv_itv_hull(h.final, p.final), h.prefix = qv_itv_hull(h.prefix, p.prefix), h.any = qv_itv_hull(h.any, p.any);
        h.stage = qv_itv_hull(h.stage, p.stage), h.raw_sum = qv_itv_hull(h.raw_sum, p.raw_sum), h.all = qv_itv_hull(h.all, p.all);
        h.raw_prefix = qv_itv_hull(h.raw_prefix, p.raw_prefix), h.row = qv_itv_hull(h.row, p.row), h.fix = qv_itv_hull(h.fix, p.fix);
        for (uint32_t q = 0; q < p.n_stage; q++) h.bad[q] = h.bad[q] || p.bad[q];
      }
      CHECK(s, b->node, !first);
      CHECK(s, b->node, within(b->final[c], h.final) && within(h.final, b->final[c]));
      CHECK(s, b->node, within(b->prefix[c], h.prefix) && within(h.prefix, b->prefix[c]));
      CHECK(s, b->node, within(b->any[c], h.any) && within(h.any, b->any[c]));
      if (b->stage != NULL) {
        uint32_t bad = 0;
        for (uint32_t q = 0; q < h.n_stage; q++) bad += h.bad[q];
        CHECK(s, b->node, within(b->stage[c].itv, h.stage) && within(h.stage, b->stage[c].itv));
        if (o.acc->order == QV_ORDER_KERNEL) CHECK(s, b->node, b->stage[c].n == h.n_stage && b->stage[c].unsafe == bad);
        else CHECK(s, b->node, (b->stage[c].unsafe > 0) == (bad > 0));
      }
      if (b->raw != NULL) {
        CHECK(s, b->node, within(b->raw[c].sum, h.raw_sum) && within(h.raw_sum, b->raw[c].sum));
        CHECK(s, b->node, within(b->raw[c].prefix, h.raw_prefix) && within(h.raw_prefix, b->raw[c].prefix));
        CHECK(s, b->node, within(b->raw[c].row, h.row) && within(h.row, b->raw[c].row));
        CHECK(s, b->node, within(b->raw[c].fix, h.fix) && within(h.fix, b->raw[c].fix));
        CHECK(s, b->node, within(b->raw[c].all, h.all) && within(h.all, b->raw[c].all));
      }
    }
  }
}

static bool prepare(state *s) {
  const qv_ranges **in = QV_NEW(&s->mem, s->net->n_in, const qv_ranges *);
  for (uint32_t i = 0; i < s->net->n_in; i++) in[i] = random_box(s, i);
  qv_domain dom = {.in = in, .effort = qv_rng_range(s->rng, 0, 5) == 0};
  assert_int_equal(qv_range_run(&s->r, s->net, &dom, NULL), QV_OK);
  assert_int_equal(qv_values_init(&s->vals, s->net, NULL), QV_OK);
  uint32_t nt = s->net->n_tensors, na = s->r.n_acc;
  s->item = QV_NEW(&s->mem, na, qv_ov_item);
  s->item_n = QV_NEW(&s->mem, na, qv_ov_item);
  s->acc_bits = (int)qv_rng_range(s->rng, 4, 24);
  qv_overflow_judge(s->item, s->net, &s->r, 0);
  qv_overflow_judge(s->item_n, s->net, &s->r, s->acc_bits);
  s->point = QV_NEW(&s->mem, nt, qv_itv *);
  s->poisoned = QV_NEW(&s->mem, nt, bool);
  s->seen = QV_NEW(&s->mem, nt, seen);
  s->reached = QV_NEW(&s->mem, na, qv_itv *);
  s->hit = QV_NEW(&s->mem, na, bool *);
  for (uint32_t t = 0; t < nt; t++) s->point[t] = QV_NEW(&s->mem, qv_elems(&s->net->tensor[t]), qv_itv);
  for (uint32_t i = 0; i < na; i++) {
    s->reached[i] = QV_NEW(&s->mem, s->r.acc[i].n, qv_itv);
    s->hit[i] = QV_NEW(&s->mem, s->r.acc[i].n, bool);
  }
  check_tight(s);
  for (uint32_t t = 0; t < nt; t++) track(s, t);
  for (uint32_t i = 0; i < s->net->n_in; i++) {
    uint32_t t = s->net->in[i].tensor;
    for (size_t e = 0; e < qv_elems(&s->net->tensor[t]); e++) s->vals.v[t][e] = qv_ranges_at(&s->r.tensor[t], e).lo;
  }
  return true;
}

typedef struct {
  unsigned nets, exact, corners, harmless, unsafe, stage, inputs;
} tally;

static void one_net(uint64_t seed, tally *sum) {
  qv_rng rng = {seed};
  state s = {.rng = &rng, .seed = seed};
  gen_opts o = {.max_in = 3, .in_bits = 4, .max_nodes = 5, .max_elems = 24, .max_k = 24};
  s.net = gen_net(&rng, &o);
  if (s.net == NULL) fail_msg("seed %llu: no net", (unsigned long long)seed);
  squeeze(s.net, &rng);
  prepare(&s);
  do {
    for (uint32_t i = 0; i < s.net->n_in; i++) check_range(&s, 0, s.net->in[i].tensor);
    for (uint32_t t = 0; t < s.net->n_tensors; t++)
      if (s.net->tensor[t].data != NULL) check_range(&s, 0, t);
    execute(&s);
    sum->inputs++;
  } while (advance(&s));
  check_claims(&s);
  sum->nets++;
  for (uint32_t i = 0; i < s.r.n_acc; i++) {
    sum->exact += s.r.acc[i].exact;
    sum->harmless += s.item[i].verdict == QV_VERIFIED;
    sum->unsafe += s.item[i].cls == QV_OV_UNSAFE;
    sum->stage += s.item[i].cls == QV_OV_STAGE;
  }
  for (uint32_t t = 0; t < s.net->n_tensors; t++) sum->corners += s.net->tensor[t].data == NULL && s.r.reach[t] >= QV_REACH_CORNERS;
  qv_values_clear(&s.vals);
  qv_range_clear(&s.r);
  qv_arena_clear(&s.mem);
  qv_net_free(s.net);
}

static void test_enumeration(void **unused) {
  (void)unused;
  tally t = {0};
  const char *one = getenv("QV_TEST_SEED");
  unsigned n = one != NULL ? 1 : 1500 * multiplier();
  uint64_t base = one != NULL ? strtoull(one, NULL, 10) : 1;
  printf("seeds %llu to %llu\n", (unsigned long long)base, (unsigned long long)base + n - 1);
  for (unsigned i = 0; i < n; i++) one_net(base + i, &t);
  printf("%u nets, %u executions; accumulators: %u exact, %u harmless, %u unsafe stage, %u unsafe; %u tensors with all corners\n", t.nets,
         t.inputs, t.exact, t.harmless, t.stage, t.unsafe, t.corners);
  if (one == NULL) assert_true(t.exact > 50 && t.harmless > 50 && t.unsafe > 50 && t.corners > t.nets); /* not vacuous */
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_enumeration)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
