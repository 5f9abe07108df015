/* Counting where two functions of one integer differ. */
#include "analysis/diff_int.h"
#include "ir/index.h"
#include "kernels/ref.h"
#include "kernels/step.h"
#include "kernels/threshold.h"

bool qv_diff_pointwise(const qv_net *net, const qv_node *n) {
  switch (n->kind) {
  case QV_STEP:
  case QV_TABLE:
  case QV_THRESHOLD:
  case QV_CLAMP:
  case QV_WRAP: return true;
  case QV_SUM: return n->n_in == 1 && n->u.sum.acc.mode == QV_ACC_EXACT;
  case QV_INDEX: return n->n_in == 1 && qv_index_is_identity(net, n);
  case QV_AFFINE:
  case QV_PRODUCT:
  case QV_MAX:
  case QV_TAIL:
  case QV_OPAQUE:
  case QV_KINDS: break;
  }
  return false;
}

static int64_t stage(const qv_node *n, uint32_t set, int64_t x) {
  switch (n->kind) {
  case QV_STEP: return qv_step_eval(&n->u.step, set, x);
  case QV_TABLE: return n->u.table.t[x - n->u.table.lo];
  case QV_THRESHOLD: return qv_pieces_eval(&n->u.threshold.par[set], x);
  case QV_CLAMP: return qv_clamp64(x, n->u.clamp.lo, n->u.clamp.hi);
  case QV_WRAP: return qv_wrap(x, n->u.wrap.bits);
  case QV_SUM: return n->u.sum.c[0] * (x - n->u.sum.z[0]);
  case QV_INDEX: return x;
  case QV_AFFINE:
  case QV_PRODUCT:
  case QV_MAX:
  case QV_TAIL:
  case QV_OPAQUE:
  case QV_KINDS: break;
  }
  QV_CHECK(false); /* not pointwise */
  return 0;
}

/* The first n nodes of the chain. */
static int64_t prefix(const qv_diff_chain *c, size_t n, int64_t x) {
  x += c->add;
  for (size_t k = 0; k < n; k++) x = stage(c->node[k], c->set[k], x);
  return x;
}

int64_t qv_diff_value(const qv_diff_chain *c, int64_t x) { return prefix(c, c->n, x); }

/* How many nodes from the start on make a monotone function (Lemma S6; compositions of monotone functions are monotone). */
static size_t monotone(const qv_diff_chain *c) {
  static const qv_itv all = {INT64_MIN / 2, INT64_MAX / 2};
  size_t n = 0;
  for (; n < c->n; n++) {
    const qv_node *k = c->node[n];
    if (k->kind == QV_TABLE || k->kind == QV_WRAP) break;
    if (k->kind == QV_THRESHOLD && qv_pieces_monotone(&k->u.threshold.par[c->set[n]], all) == 0) break;
  }
  return n;
}

/* One of the functions while x moves up. */
typedef struct {
  const qv_diff_chain *c;
  size_t mono;
  int64_t y;    /* value at the current x, constant up to `end` */
  int64_t end;
  int64_t last; /* length of the run before: where to look first */
} walker;

static void enter(walker *w, int64_t x, int64_t hi) {
  int64_t v = prefix(w->c, w->mono, x);
  w->y = v;
  for (size_t k = w->mono; k < w->c->n; k++) w->y = stage(w->c->node[k], w->c->set[k], w->y);
  /* largest end with an equal prefix value: gallop from the length of the last run, then halve */
  int64_t good = x, bad, step = w->last > 1 ? w->last - 1 : 1;
  for (;;) {
    int64_t at = step > hi - good ? hi : good + step;
    if (at == good) {
      w->end = good; /* hi */
      w->last = w->end - x + 1;
      return;
    }
    if (prefix(w->c, w->mono, at) != v) {
      bad = at;
      break;
    }
    step = good == x ? 1 : step > INT64_MAX / 4 ? step : 2 * step; /* after the guess small steps first */
    good = at;
  }
  if (bad - good > 4 && prefix(w->c, w->mono, bad - 2) == v) good = bad - 2; /* runs differ by one or so in length */
  while (bad - good > 1) {
    int64_t mid = good + (bad - good) / 2;
    if (prefix(w->c, w->mono, mid) == v) good = mid;
    else bad = mid;
  }
  w->end = good;
  w->last = w->end - x + 1;
}

bool qv_diff_count(uint64_t *count, const qv_diff_chain *f, const qv_diff_chain *g, qv_itv dom, qv_itv *runs, size_t max_runs,
                   size_t *n_runs, uint64_t *steps) {
  walker a = {.c = f, .mono = monotone(f)}, b = {.c = g, .mono = monotone(g)};
  bool open = false; /* the last run ends right before x */
  *count = 0;
  *n_runs = 0;
  if (f->n == 0 && g->n == 0) { /* x + constant */
    if (f->add == g->add) return true;
    *count = (uint64_t)dom.hi - (uint64_t)dom.lo + 1;
    *n_runs = 1;
    if (max_runs > 0) runs[0] = dom;
    return true;
  }
  enter(&a, dom.lo, dom.hi);
  enter(&b, dom.lo, dom.hi);
  for (int64_t x = dom.lo;;) {
    int64_t end = qv_min64(a.end, b.end);
    if ((*steps)-- == 0) {
      *steps = 0;
      return false;
    }
    if (a.y != b.y) {
      *count += (uint64_t)end - (uint64_t)x + 1;
      if (!open) ++*n_runs;
      if (*n_runs <= max_runs) {
        if (!open) runs[*n_runs - 1].lo = x;
        runs[*n_runs - 1].hi = end;
      }
    }
    open = a.y != b.y;
    if (end == dom.hi) return true;
    x = end + 1;
    if (a.end < x) enter(&a, x, dom.hi);
    if (b.end < x) enter(&b, x, dom.hi);
  }
}
