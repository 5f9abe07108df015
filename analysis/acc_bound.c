#include "analysis/acc_bound.h"

void qv_acc_one_set(qv_acc_one *one, const qv_acc *a, const qv_seg *s, int64_t b) {
  one->final = (qv_itv){s->lo + b, s->hi + b};
  one->any = (qv_itv){s->amin + qv_min64(b, 0), s->amax + qv_max64(b, 0)};
  if (a->bias == QV_BIAS_FIRST) one->prefix = (qv_itv){s->pmin + b, s->pmax + b};
  else one->prefix = qv_itv_hull((qv_itv){s->pmin, s->pmax}, one->final);
}

static bool fits(qv_itv v, int bits) { return qv_itv_in(v, (qv_itv){qv_smin(bits), qv_smax(bits)}); }

bool qv_acc_one_harmless(const qv_acc *a, int bits, const qv_acc_one *one) {
  switch (a->mode) {
  case QV_ACC_EXACT: return true;
  case QV_ACC_WRAP: return fits(one->final, bits); /* a ring: also for uncorrected sums, whatever wraps on the way */
  case QV_ACC_SAT:
  case QV_ACC_TRAP: return fits(a->order == QV_ORDER_KERNEL ? one->prefix : one->any, bits);
  case QV_ACC_PAIR16:
  case QV_ACC_LANES:
  case QV_ACC_PAIRLANES: return fits(one->stage.itv, qv_acc_stage_bits(a)) && fits(one->final, bits);
  }
  return false;
}

qv_itv qv_acc_one_machine(const qv_acc *a, const qv_acc_one *one) {
  qv_itv all = {qv_smin(a->bits > 0 ? a->bits : 64), qv_smax(a->bits > 0 ? a->bits : 64)};
  if (qv_acc_one_harmless(a, a->bits, one)) return one->final;
  /* each saturating step keeps a within [max(smin, negative parts so far), min(smax, positive parts so far)] */
  if (a->mode == QV_ACC_SAT)
    return (qv_itv){qv_clamp64(one->any.lo, all.lo, all.hi), qv_clamp64(one->any.hi, all.lo, all.hi)};
  if (a->mode == QV_ACC_PAIR16 && qv_itv_in(one->stage.machine, all)) return one->stage.machine;
  return all;
}

bool qv_acc_bound_alloc(qv_acc_bound *b, qv_arena *arena, const qv_acc *a, uint32_t n) {
  b->n = n;
  b->final = QV_NEW(arena, n, qv_itv);
  b->prefix = QV_NEW(arena, n, qv_itv);
  b->any = QV_NEW(arena, n, qv_itv);
  bool staged = qv_acc_staged(a);
  b->stage = staged ? QV_NEW(arena, n, qv_stage_bound) : NULL;
  b->raw = a->raw ? QV_NEW(arena, n, qv_raw_bound) : NULL;
  return b->final != NULL && b->prefix != NULL && b->any != NULL && (!staged || b->stage != NULL) && (!a->raw || b->raw != NULL);
}

static void join(qv_itv *a, qv_itv b, bool first) { *a = first ? b : qv_itv_hull(*a, b); }

void qv_acc_bound_join(qv_acc_bound *b, uint32_t c, const qv_acc_one *one, bool first) {
  join(&b->final[c], one->final, first);
  join(&b->prefix[c], one->prefix, first);
  join(&b->any[c], one->any, first);
  if (b->stage != NULL) {
    join(&b->stage[c].itv, one->stage.itv, first);
    join(&b->stage[c].machine, one->stage.machine, first);
  }
  if (b->raw == NULL) return;
  qv_raw_bound *r = &b->raw[c];
  join(&r->sum, one->raw.sum, first);
  join(&r->prefix, one->raw.prefix, first);
  join(&r->row, one->raw.row, first);
  join(&r->fix, one->raw.fix, first);
  join(&r->all, one->raw.all, first);
  r->col = one->raw.col; /* of the weights alone: the same at every position */
}

qv_acc_one qv_acc_bound_at(const qv_acc_bound *b, uint32_t c) {
  qv_acc_one one = {.final = b->final[c], .prefix = b->prefix[c], .any = b->any[c]};
  if (b->stage != NULL) one.stage = b->stage[c];
  if (b->raw != NULL) one.raw = b->raw[c];
  return one;
}

/* Smallest width for all channels, and the first channel that needs it. */
static int widest(uint32_t *worst, const qv_itv *v, uint32_t n) {
  int bits = 0;
  for (uint32_t c = 0; c < n; c++) {
    int p = qv_itv_bits(v[c]);
    if (p > bits) bits = p, *worst = c;
  }
  return bits;
}

void qv_acc_bound_finish(qv_acc_bound *b) {
  b->bits_final = widest(&b->worst_final, b->final, b->n);
  b->bits_prefix = widest(&b->worst_prefix, b->prefix, b->n);
  b->bits_any = widest(&b->worst_any, b->any, b->n);
}
