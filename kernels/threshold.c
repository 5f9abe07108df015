#include "kernels/threshold.h"

uint32_t qv_threshold_channel(const qv_threshold *h, size_t e) { return h->n_par == 1 ? 0 : (uint32_t)(e / h->inner % h->n_par); }

const qv_pieces *qv_threshold_pieces(const qv_threshold *h, size_t e) { return &h->par[qv_threshold_channel(h, e)]; }

/* Number of i with t[i] <= x. */
static uint32_t count(const qv_pieces *p, int64_t x) {
  uint32_t lo = 0, hi = p->k; /* the answer is in [lo,hi] */
  while (lo < hi) {
    uint32_t mid = lo + (hi - lo) / 2;
    if (p->t[mid] <= x) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

int64_t qv_pieces_eval(const qv_pieces *p, int64_t x) { return p->v[count(p, x)]; }

static qv_itv piece(const qv_pieces *p, uint32_t i) {
  return (qv_itv){i == 0 ? INT64_MIN + 1 : p->t[i - 1], i == p->k ? INT64_MAX - 1 : p->t[i] - 1};
}

qv_itv qv_pieces_run(const qv_pieces *p, int64_t x) { return piece(p, count(p, x)); }

qv_itv qv_pieces_image(const qv_pieces *p, qv_itv x) {
  uint32_t i = count(p, x.lo), last = count(p, x.hi);
  qv_itv y = {p->v[i], p->v[i]};
  for (; i <= last; i++) y = qv_itv_hull(y, (qv_itv){p->v[i], p->v[i]});
  return y;
}

int qv_pieces_monotone(const qv_pieces *p, qv_itv x) {
  bool up = true, down = true;
  for (uint32_t i = count(p, x.lo), last = count(p, x.hi); i < last; i++) {
    up = up && p->v[i] <= p->v[i + 1];
    down = down && p->v[i] >= p->v[i + 1];
  }
  return up ? 1 : down ? -1 : 0;
}

static bool holds(qv_pre_rel rel, int64_t v, int64_t y) {
  switch (rel) {
  case QV_PRE_EQ: return v == y;
  case QV_PRE_LE: return v <= y;
  case QV_PRE_GE: return v >= y;
  }
  return false;
}

uint32_t qv_pieces_preimage(qv_itv *out, uint32_t cap, const qv_pieces *p, qv_pre_rel rel, int64_t y, qv_itv dom) {
  uint32_t n = 0, last = count(p, dom.hi);
  bool open = false; /* the last interval ends where this piece begins */
  for (uint32_t i = count(p, dom.lo); i <= last; i++) {
    bool in = holds(rel, p->v[i], y);
    qv_itv x = piece(p, i);
    x = (qv_itv){qv_max64(x.lo, dom.lo), qv_min64(x.hi, dom.hi)};
    if (in && !open && n++ < cap) out[n - 1] = x;
    if (in && open && n <= cap) out[n - 1].hi = x.hi;
    open = in;
  }
  return n;
}
