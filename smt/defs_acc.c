/* Machine accumulators (docs/semantics.md section 4), expanded into what the box does not exclude. */
#include <stdlib.h>
#include <string.h>

#include "smt/defs_int.h"

/* Running sum that a machine keeps in `bits` bits: after each term it is clamped or wrapped, where the box does not exclude that. */
typedef struct {
  qv_form *f;
  int bits;
  bool sat;
} stage;

static bool fits(qv_i128 lo, qv_i128 hi, int bits) { return lo >= qv_smin(bits) && hi <= qv_smax(bits); }

static void stage_settle(qv_builder *b, const stage *s) {
  if (fits(s->f->lo, s->f->hi, s->bits)) return;
  qv_atom a = qv_form_atom(b, s->f);
  a = s->sat ? qv_defs_clamp(b, a, qv_smin(s->bits), qv_smax(s->bits)) : qv_defs_wrap(b, a, s->bits);
  qv_form_start(s->f, 0);
  qv_form_add(b, s->f, a, 1);
}

static void form_add_term(qv_builder *b, qv_form *f, const qv_mterm *t) {
  qv_form_add(b, f, t->x, t->w);
  qv_form_shift(f, t->c);
}

static qv_itv term_itv(const qv_builder *b, const qv_mterm *t) {
  qv_itv r = qv_defs_itv(b, t->x);
  int64_t p = t->w * r.lo + t->c, q = t->w * r.hi + t->c;
  return p < q ? (qv_itv){p, q} : (qv_itv){q, p};
}

static qv_atom run_sat(qv_builder *b, const qv_acc *a, int64_t bias) {
  stage s = {&b->f, a->bits, true};
  qv_form_start(&b->f, a->bias == QV_BIAS_FIRST ? bias : 0);
  stage_settle(b, &s);
  for (size_t i = 0; i < b->n_m; i++) {
    form_add_term(b, &b->f, &b->m[i]);
    stage_settle(b, &s);
  }
  if (a->bias == QV_BIAS_LAST) qv_form_shift(&b->f, bias);
  stage_settle(b, &s);
  return qv_form_atom(b, &b->f);
}

static qv_atom run_trap(qv_builder *b, const qv_acc *a, int64_t bias) {
  qv_form_start(&b->f, a->bias == QV_BIAS_FIRST ? bias : 0);
  bool ok = fits(b->f.lo, b->f.hi, a->bits);
  for (size_t i = 0; i < b->n_m; i++) {
    form_add_term(b, &b->f, &b->m[i]);
    ok = ok && fits(b->f.lo, b->f.hi, a->bits);
  }
  if (a->bias == QV_BIAS_LAST) qv_form_shift(&b->f, bias);
  if (!ok || !fits(b->f.lo, b->f.hi, a->bits)) return qv_defs_refuse(b, "an accumulator that may trap on this box");
  return qv_form_atom(b, &b->f);
}

/* Pairs sat16(t + t') in place of the terms; a missing second term is 0. */
static void pair_terms(qv_builder *b, const qv_acc *a) {
  size_t n = qv_pair_count(a, b->n_m);
  qv_mterm *pair = malloc((n + 1) * sizeof *pair);
  if (pair == NULL) {
    qv_defs_nomem(b);
    return;
  }
  for (size_t p = 0; p < n; p++) {
    size_t i = qv_pair_at(a, p), j = i + qv_pair_distance(a);
    qv_form_start(&b->f, 0);
    form_add_term(b, &b->f, &b->m[i]);
    if (j < b->n_m) form_add_term(b, &b->f, &b->m[j]);
    pair[p] = (qv_mterm){qv_defs_clamp(b, qv_form_atom(b, &b->f), INT16_MIN, INT16_MAX), 1, 0};
  }
  memcpy(b->m, pair, n * sizeof *pair); /* n <= n_m */
  b->n_m = n;
  free(pair);
}

/* Add all terms, by way of the lanes, to the wide sum in b->f. */
static void run_lanes(qv_builder *b, const qv_acc *a) {
  qv_form lane = {0};
  stage s = {&lane, a->lane_bits, a->lane_sat};
  qv_form_start(&b->f, 0);
  for (size_t j = 0; j < a->lanes && j < b->n_m; j++) {
    uint32_t steps = 0;
    qv_form_start(&lane, 0);
    for (size_t i = j; i < b->n_m; i += a->lanes) {
      form_add_term(b, &lane, &b->m[i]);
      if (a->lane_sat) stage_settle(b, &s);
      if (++steps == a->spill || i + a->lanes >= b->n_m) { /* wrapping lanes: once at the end of a window (Lemma B3) */
        stage_settle(b, &s);
        for (size_t k = 0; k < lane.n; k++) qv_form_add(b, &b->f, (qv_atom){lane.t[k].def, 0}, lane.t[k].w);
        qv_form_shift(&b->f, lane.c);
        qv_form_start(&lane, 0);
        steps = 0;
      }
    }
  }
  free(lane.t);
}

/* Order unknown: exact only if every subset of the terms (pairs: any two) fits. */
static bool any_order_fits(const qv_builder *b, int bits, bool pairs, int64_t bias) {
  qv_i128 lo = 0, hi = 0;
  qv_i128 l2[2] = {0, 0}, h2[2] = {0, 0}; /* two smallest and largest terms */
  for (size_t i = 0; i < b->n_m; i++) {
    qv_itv t = term_itv(b, &b->m[i]);
    lo += qv_min64(t.lo, 0);
    hi += qv_max64(t.hi, 0);
    if (t.lo < l2[0]) l2[1] = l2[0], l2[0] = t.lo;
    else if (t.lo < l2[1]) l2[1] = t.lo;
    if (t.hi > h2[0]) h2[1] = h2[0], h2[0] = t.hi;
    else if (t.hi > h2[1]) h2[1] = t.hi;
  }
  if (pairs) return fits(l2[0] + l2[1], h2[0] + h2[1], bits);
  return fits(lo + qv_min64(bias, 0), hi + qv_max64(bias, 0), bits);
}

static void plain_sum(qv_builder *b) {
  qv_form_start(&b->f, 0);
  for (size_t i = 0; i < b->n_m; i++) form_add_term(b, &b->f, &b->m[i]);
}

/* What the machine makes of the terms b->m, the correction (of raw sums) and the bias. */
qv_atom qv_defs_accumulate(qv_builder *b, const qv_acc *a, int64_t bias, const qv_mterm *fix, size_t n_fix) {
  bool any = a->order == QV_ORDER_ANY;
  if (b->st != QV_OK) return qv_defs_constant(0);
  switch (a->mode) {
  case QV_ACC_EXACT:
  case QV_ACC_WRAP: plain_sum(b); break;
  case QV_ACC_SAT:
    if (any && !any_order_fits(b, a->bits, false, bias)) return qv_defs_refuse(b, "a saturating sum in unknown order");
    return run_sat(b, a, bias);
  case QV_ACC_TRAP:
    if (any && !any_order_fits(b, a->bits, false, bias)) return qv_defs_refuse(b, "an accumulator that may trap on this box");
    return run_trap(b, a, bias);
  case QV_ACC_PAIR16:
  case QV_ACC_LANES:
  case QV_ACC_PAIRLANES:
    if (any && qv_acc_pairs(a) && !any_order_fits(b, 16, true, 0)) return qv_defs_refuse(b, "saturating pairs in unknown order");
    if (qv_acc_pairs(a)) pair_terms(b, a);
    if (any && qv_acc_lanes(a) && !any_order_fits(b, a->lane_bits, false, 0)) return qv_defs_refuse(b, "narrow lanes in unknown order");
    if (qv_acc_lanes(a)) run_lanes(b, a);
    else plain_sum(b);
    break;
  }
  for (size_t i = 0; i < n_fix; i++) form_add_term(b, &b->f, &fix[i]);
  qv_form_shift(&b->f, bias);
  qv_atom y = qv_form_atom(b, &b->f);
  return a->mode == QV_ACC_EXACT ? y : qv_defs_wrap(b, y, a->bits);
}

void qv_defs_term(qv_builder *b, qv_atom x, int64_t w, int64_t c) {
  void *p = b->m;
  if (!qv_defs_room(b, &p, &b->cap_m, b->n_m + 1, sizeof *b->m)) return;
  b->m = p;
  b->m[b->n_m++] = (qv_mterm){x, w, c};
}
