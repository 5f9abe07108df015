#include "ilp/greedy.h"

#include <stdlib.h>
#include <string.h>

#include "ilp/build.h"
#include "ilp/dp.h"
#include "ilp/glpk.h"

#define NOMEM(err) QV_FAIL((err), QV_E_NOMEM, "out of memory")

const char *qv_greedy_name(qv_greedy m) {
  static const char *const name[QV_GREEDY_N] = {"amp",          "nncf",       "nncf-undo", "ratio",   "ratio-skip",
                                                "ratio-undo",   "rusci",      "eagl",      "hawq-v3"};
  return m < QV_GREEDY_N ? name[m] : "?";
}

const char *qv_greedy_summary(qv_greedy m) {
  static const char *const text[QV_GREEDY_N] = {
      "AMP phases 1 and 2: least sensitive changes first, until the limits hold",
      "NNCF's shape: least sensitive groups to the narrowest width, until the limits hold",
      "the same, then back to the widest where it still fits",
      "most loss per cost first, stop at the first that does not fit (Lagrangian, convex hull)",
      "most loss per cost first, skip what does not fit",
      "the same, then single changes while they help",
      "Rusci et al.: narrow the largest share, no loss considered",
      "EAGL's and ALPS's knapsack: two widths, first limit only, gains rounded to 1/1000 of the largest",
      "HAWQ-V3: two widths, first limit only, GLPK in natural units, believed",
  };
  return m < QV_GREEDY_N ? text[m] : "?";
}

/* ---- what all share ------------------------------------------------------------------------------------------------------------ */

typedef struct {
  const qv_alloc *p;
  uint32_t row;          /* first limited row: what "wide" and "narrow" mean */
  mpq_t *cost;           /* [cands] sum over limited rows of cost / (limit - least); one row: the cost itself */
  uint32_t *wide, *narrow; /* [groups] candidates of largest and least cost, ties to the lower loss, then index */
  qv_arena arena;
} bench;

static mpz_srcptr loss_at(const qv_alloc *p, uint32_t g, uint32_t c) { return qv_alloc_val(p, p->group[g].first + c, 0); }

static uint32_t limited(const qv_alloc *p) {
  uint32_t n = 0;
  for (uint32_t m = 0; m < p->n_rows; m++) n += p->row[m].limited;
  return n;
}

static void weigh(bench *b) {
  const qv_alloc *p = b->p;
  mpq_t x, room;
  mpz_t least;
  mpq_inits(x, room, (mpq_ptr)NULL);
  mpz_init(least);
  bool one = limited(p) == 1;
  for (uint32_t m = 0; m < p->n_rows; m++) {
    if (!p->row[m].limited) continue;
    qv_alloc_least(least, p, 1 + m);
    mpz_sub(mpq_numref(room), p->row[m].limit, least);
    mpz_set_ui(mpq_denref(room), 1);
    if (one || mpq_sgn(room) <= 0) mpq_set_ui(room, 1, 1);
    for (uint32_t c = 0; c < p->n_cands; c++) {
      mpq_set_z(x, qv_alloc_val(p, c, 1 + m));
      mpq_div(x, x, room);
      mpq_add(b->cost[c], b->cost[c], x);
    }
  }
  mpq_clears(x, room, (mpq_ptr)NULL);
  mpz_clear(least);
}

static void ends(bench *b) {
  const qv_alloc *p = b->p;
  for (uint32_t g = 0; g < p->n_groups; g++) {
    uint32_t f = p->group[g].first;
    b->wide[g] = b->narrow[g] = 0;
    for (uint32_t c = 1; c < p->group[g].n; c++) {
      int up = mpq_cmp(b->cost[f + c], b->cost[f + b->wide[g]]), down = mpq_cmp(b->cost[f + c], b->cost[f + b->narrow[g]]);
      if (up > 0 || (up == 0 && mpz_cmp(loss_at(p, g, c), loss_at(p, g, b->wide[g])) < 0)) b->wide[g] = c;
      if (down < 0 || (down == 0 && mpz_cmp(loss_at(p, g, c), loss_at(p, g, b->narrow[g])) < 0)) b->narrow[g] = c;
    }
  }
}

static void bench_clear(bench *b) {
  for (uint32_t c = 0; b->cost != NULL && c < b->p->n_cands; c++) mpq_clear(b->cost[c]);
  qv_arena_clear(&b->arena);
}

static qv_status bench_init(bench *b, const qv_alloc *p, qv_err *err) {
  *b = (bench){.p = p};
  while (b->row < p->n_rows && !p->row[b->row].limited) b->row++;
  if (b->row == p->n_rows) return QV_FAIL(err, QV_E_ARG, "a greedy method needs a limit");
  b->cost = QV_NEW(&b->arena, p->n_cands, mpq_t);
  b->wide = QV_NEW(&b->arena, p->n_groups, uint32_t);
  b->narrow = QV_NEW(&b->arena, p->n_groups, uint32_t);
  for (uint32_t c = 0; b->cost != NULL && c < p->n_cands; c++) mpq_init(b->cost[c]);
  if (b->cost == NULL || b->wide == NULL || b->narrow == NULL) {
    bench_clear(b);
    return NOMEM(err);
  }
  weigh(b);
  ends(b);
  return QV_OK;
}

/* A move: group g to candidate c; sorted by `by`, then by (g, c). */
typedef struct {
  mpq_t by;
  uint32_t g, c;
} move;

static int index_order(const move *x, const move *y) {
  if (x->g != y->g) return x->g < y->g ? -1 : 1;
  return x->c < y->c ? -1 : x->c > y->c;
}

static int ascending(const void *a, const void *b) {
  const move *x = a, *y = b;
  int s = mpq_cmp(x->by, y->by);
  return s != 0 ? s : index_order(x, y);
}

static int descending(const void *a, const void *b) {
  const move *x = a, *y = b;
  int s = mpq_cmp(y->by, x->by);
  return s != 0 ? s : index_order(x, y);
}

static move *moves_new(size_t n) {
  move *m = calloc(n + 1, sizeof *m);
  if (m != NULL)
    for (size_t i = 0; i < n; i++) mpq_init(m[i].by);
  return m;
}

static void moves_free(move *m, size_t n) {
  if (m != NULL)
    for (size_t i = 0; i < n; i++) mpq_clear(m[i].by);
  free(m);
}

static void loss_change(mpq_t out, const qv_alloc *p, uint32_t g, uint32_t from, uint32_t to) {
  mpz_sub(mpq_numref(out), loss_at(p, g, to), loss_at(p, g, from));
  mpz_set_ui(mpq_denref(out), 1);
}

/* ---- by sensitivity -------------------------------------------------------------------------------------------------------------- */

/* The list of AMP's phase 1 with the additive loss as score: every candidate but the baseline's, least loss first. */
static qv_status amp(const bench *b, uint32_t *x, qv_err *err) {
  const qv_alloc *p = b->p;
  move *m = moves_new(p->n_cands);
  size_t n = 0;
  if (m == NULL) return NOMEM(err);
  memcpy(x, b->wide, p->n_groups * sizeof *x);
  for (uint32_t g = 0; g < p->n_groups; g++)
    for (uint32_t c = 0; c < p->group[g].n; c++) {
      if (c == b->wide[g]) continue;
      m[n].g = g;
      m[n].c = c;
      loss_change(m[n++].by, p, g, b->wide[g], c);
    }
  qsort(m, n, sizeof *m, ascending);
  for (size_t i = 0; i < n && !qv_alloc_feasible(p, x); i++) x[m[i].g] = m[i].c;
  moves_free(m, p->n_cands);
  return QV_OK;
}

static qv_status nncf(const bench *b, uint32_t *x, bool undo, qv_err *err) {
  const qv_alloc *p = b->p;
  move *m = moves_new(p->n_groups);
  if (m == NULL) return NOMEM(err);
  memcpy(x, b->wide, p->n_groups * sizeof *x);
  for (uint32_t g = 0; g < p->n_groups; g++) {
    m[g].g = g;
    m[g].c = b->narrow[g];
    loss_change(m[g].by, p, g, b->wide[g], b->narrow[g]);
  }
  qsort(m, p->n_groups, sizeof *m, ascending);
  for (uint32_t i = 0; i < p->n_groups && !qv_alloc_feasible(p, x); i++) x[m[i].g] = m[i].c;
  if (undo && qv_alloc_feasible(p, x)) {
    qsort(m, p->n_groups, sizeof *m, descending);
    for (uint32_t i = 0; i < p->n_groups; i++) {
      uint32_t g = m[i].g, old = x[g];
      x[g] = b->wide[g];
      if (!qv_alloc_feasible(p, x)) x[g] = old;
    }
  }
  moves_free(m, p->n_groups);
  return QV_OK;
}

/* ---- by ratio -------------------------------------------------------------------------------------------------------------------- */

/* The candidate that follows `from` on the lower hull of (cost, loss) of group g, or QV_ATABLE_NONE; *ratio: loss saved per cost. */
static uint32_t next_on_hull(const bench *b, uint32_t g, uint32_t from, mpq_t ratio) {
  const qv_alloc *p = b->p;
  uint32_t f = p->group[g].first, best = QV_ATABLE_NONE;
  mpq_t r, dc;
  mpq_inits(r, dc, (mpq_ptr)NULL);
  for (uint32_t c = 0; c < p->group[g].n; c++) {
    if (mpq_cmp(b->cost[f + c], b->cost[f + from]) <= 0 || mpz_cmp(loss_at(p, g, c), loss_at(p, g, from)) >= 0) continue;
    loss_change(r, p, g, c, from);
    mpq_sub(dc, b->cost[f + c], b->cost[f + from]);
    mpq_div(r, r, dc);
    int s = best == QV_ATABLE_NONE ? 1 : mpq_cmp(r, ratio);
    if (s < 0 || (s == 0 && mpq_cmp(b->cost[f + c], b->cost[f + best]) <= 0)) continue; /* of equal slopes the farthest */
    mpq_set(ratio, r);
    best = c;
  }
  mpq_clears(r, dc, (mpq_ptr)NULL);
  return best;
}

static size_t hull_moves(const bench *b, move *m) {
  size_t n = 0;
  for (uint32_t g = 0; g < b->p->n_groups; g++)
    for (uint32_t c = b->narrow[g], to; (to = next_on_hull(b, g, c, m[n].by)) != QV_ATABLE_NONE; c = to) {
      m[n].g = g;
      m[n++].c = to;
    }
  return n;
}

/* Single changes that lower the loss and fit, the best first, until there are none. */
static void improve(const qv_alloc *p, uint32_t *x) {
  mpz_t now, then, best;
  mpz_inits(now, then, best, (mpz_ptr)NULL);
  for (bool again = true; again;) {
    uint32_t best_g = 0, best_c = 0;
    again = false;
    qv_alloc_sum(now, p, x, 0);
    mpz_set(best, now);
    for (uint32_t g = 0; g < p->n_groups; g++) {
      uint32_t old = x[g];
      for (uint32_t c = 0; c < p->group[g].n; c++) {
        x[g] = c;
        qv_alloc_sum(then, p, x, 0);
        if (mpz_cmp(then, best) >= 0 || !qv_alloc_feasible(p, x)) continue;
        mpz_set(best, then);
        best_g = g;
        best_c = c;
        again = true;
      }
      x[g] = old;
    }
    if (again) x[best_g] = best_c;
  }
  mpz_clears(now, then, best, (mpz_ptr)NULL);
}

static qv_status ratio(const bench *b, uint32_t *x, qv_greedy kind, qv_err *err) {
  const qv_alloc *p = b->p;
  move *m = moves_new(p->n_cands + 1);
  bool *stuck = calloc(p->n_groups, sizeof *stuck);
  if (m == NULL || stuck == NULL) {
    moves_free(m, m != NULL ? p->n_cands + 1 : 0);
    free(stuck);
    return NOMEM(err);
  }
  size_t n = hull_moves(b, m);
  qsort(m, n, sizeof *m, descending);
  memcpy(x, b->narrow, p->n_groups * sizeof *x);
  if (qv_alloc_feasible(p, x)) {
    for (size_t i = 0; i < n; i++) {
      uint32_t g = m[i].g, old = x[g];
      if (stuck[g]) continue; /* the way along this group's hull is blocked */
      x[g] = m[i].c;
      if (qv_alloc_feasible(p, x)) continue;
      x[g] = old;
      if (kind == QV_GREEDY_RATIO) break;
      stuck[g] = true;
    }
    if (kind == QV_GREEDY_RATIO_UNDO) improve(p, x);
  }
  moves_free(m, p->n_cands + 1);
  free(stuck);
  return QV_OK;
}

/* ---- by size only ---------------------------------------------------------------------------------------------------------------- */

/* Candidate of g with the next smaller cost in the row, or QV_ATABLE_NONE. */
static uint32_t next_narrower(const qv_alloc *p, uint32_t g, uint32_t from, uint32_t row) {
  uint32_t f = p->group[g].first, best = QV_ATABLE_NONE;
  for (uint32_t c = 0; c < p->group[g].n; c++) {
    if (mpz_cmp(qv_alloc_val(p, f + c, 1 + row), qv_alloc_val(p, f + from, 1 + row)) >= 0) continue;
    if (best == QV_ATABLE_NONE || mpz_cmp(qv_alloc_val(p, f + c, 1 + row), qv_alloc_val(p, f + best, 1 + row)) > 0) best = c;
  }
  return best;
}

/* Lowest index among the groups that can be narrowed and whose cost is within total/20 of the largest such cost. */
static uint32_t largest_share(const qv_alloc *p, const uint32_t *x, uint32_t row, mpz_srcptr total) {
  mpz_t most, v;
  uint32_t pick = QV_ATABLE_NONE;
  mpz_inits(most, v, (mpz_ptr)NULL);
  for (int pass = 0; pass < 2; pass++) {
    bool any = false;
    for (uint32_t g = 0; g < p->n_groups && pick == QV_ATABLE_NONE; g++) {
      mpz_srcptr c = qv_alloc_val(p, p->group[g].first + x[g], 1 + row);
      if (next_narrower(p, g, x[g], row) == QV_ATABLE_NONE) continue;
      if (pass == 0) {
        if (!any || mpz_cmp(c, most) > 0) mpz_set(most, c);
        any = true;
        continue;
      }
      mpz_sub(v, most, c); /* most - c < total / 20 */
      mpz_mul_ui(v, v, 20);
      if (mpz_cmp(v, total) < 0 || mpz_cmp(most, c) == 0) pick = g;
    }
    if (pass == 0 && !any) break;
  }
  mpz_clears(most, v, (mpz_ptr)NULL);
  return pick;
}

static void rusci(const bench *b, uint32_t *x) {
  const qv_alloc *p = b->p;
  mpz_t total;
  mpz_init(total);
  memcpy(x, b->wide, p->n_groups * sizeof *x);
  for (uint32_t m = 0; m < p->n_rows; m++) {
    if (!p->row[m].limited) continue;
    for (;;) {
      qv_alloc_sum(total, p, x, 1 + m);
      if (mpz_cmp(total, p->row[m].limit) <= 0) break;
      uint32_t g = largest_share(p, x, m, total);
      if (g == QV_ATABLE_NONE) break;
      x[g] = next_narrower(p, g, x[g], m);
    }
  }
  mpz_clear(total);
}

/* ---- knapsacks of two widths ----------------------------------------------------------------------------------------------------- */

/* Integer gains: 0 .. 1000 thousandths of the largest, to the nearest. */
static void integer_gains(const bench *b, uint32_t *gain) {
  const qv_alloc *p = b->p;
  mpz_t d, most;
  mpz_inits(d, most, (mpz_ptr)NULL);
  for (int pass = 0; pass < 2; pass++)
    for (uint32_t g = 0; g < p->n_groups; g++) {
      mpz_sub(d, loss_at(p, g, b->narrow[g]), loss_at(p, g, b->wide[g]));
      if (pass == 0) {
        if (mpz_cmp(d, most) > 0) mpz_set(most, d);
        continue;
      }
      gain[g] = 0;
      if (mpz_sgn(d) <= 0) continue;
      mpz_mul_ui(d, d, 2000);
      mpz_add(d, d, most);
      mpz_fdiv_q(d, d, most);
      gain[g] = (uint32_t)(mpz_get_ui(d) / 2);
    }
  mpz_clears(d, most, (mpz_ptr)NULL);
}

/* Least cost for every total gain; group by group, take[] remembers who was wide. */
static qv_status eagl(const bench *b, uint32_t *x, qv_err *err) {
  const qv_alloc *p = b->p;
  uint32_t *gain = calloc(p->n_groups, sizeof *gain);
  size_t top = 0, words;
  if (gain == NULL) return NOMEM(err);
  integer_gains(b, gain);
  for (uint32_t g = 0; g < p->n_groups; g++) top += gain[g];
  words = (top + 64) / 64;
  mpz_t *least = calloc(top + 1, sizeof *least), t, limit;
  bool *there = calloc(top + 1, sizeof *there);
  uint64_t *take = words * p->n_groups < (size_t)1 << 24 ? calloc(words * p->n_groups, sizeof *take) : NULL;
  if (least == NULL || there == NULL || take == NULL) {
    free(gain), free(least), free(there), free(take);
    return NOMEM(err);
  }
  mpz_inits(t, limit, (mpz_ptr)NULL);
  for (size_t i = 0; i <= top; i++) mpz_init(least[i]);
  there[0] = true;
  mpz_set(limit, p->row[b->row].limit);
  for (uint32_t g = 0; g < p->n_groups; g++) {
    mpz_srcptr lo = qv_alloc_val(p, p->group[g].first + b->narrow[g], 1 + b->row);
    mpz_sub(limit, limit, lo); /* count only what width adds */
    mpz_sub(t, qv_alloc_val(p, p->group[g].first + b->wide[g], 1 + b->row), lo);
    mpz_t add;
    mpz_init_set(add, t);
    for (size_t i = top + 1; i-- > gain[g];) {
      if (!there[i - gain[g]] || gain[g] == 0) continue;
      mpz_add(t, least[i - gain[g]], add);
      if (there[i] && mpz_cmp(least[i], t) <= 0) continue;
      mpz_set(least[i], t);
      there[i] = true;
      take[words * g + i / 64] |= (uint64_t)1 << (i % 64);
    }
    mpz_clear(add);
  }
  size_t at = top;
  while (at > 0 && !(there[at] && mpz_cmp(least[at], limit) <= 0)) at--;
  for (uint32_t g = p->n_groups; g-- > 0;) {
    bool wide = take[words * g + at / 64] >> (at % 64) & 1;
    x[g] = wide ? b->wide[g] : b->narrow[g];
    if (wide) at -= gain[g];
  }
  for (size_t i = 0; i <= top; i++) mpz_clear(least[i]);
  mpz_clears(t, limit, (mpz_ptr)NULL);
  free(gain), free(least), free(there), free(take);
  return QV_OK;
}

/* ---- one call -------------------------------------------------------------------------------------------------------------------- */

qv_status qv_greedy_run(uint32_t *x, bool *has, bool *tried, const qv_alloc *p, qv_greedy m, qv_err *err) {
  bench b;
  qv_status st = bench_init(&b, p, err);
  if (st != QV_OK) return st;
  *tried = true;
  switch (m) {
  case QV_GREEDY_AMP: st = amp(&b, x, err); break;
  case QV_GREEDY_NNCF:
  case QV_GREEDY_NNCF_UNDO: st = nncf(&b, x, m == QV_GREEDY_NNCF_UNDO, err); break;
  case QV_GREEDY_RATIO:
  case QV_GREEDY_RATIO_SKIP:
  case QV_GREEDY_RATIO_UNDO: st = ratio(&b, x, m, err); break;
  case QV_GREEDY_RUSCI: rusci(&b, x); break;
  case QV_GREEDY_EAGL: st = eagl(&b, x, err); break;
  case QV_GREEDY_HAWQ: st = qv_glpk_two_widths(x, tried, p, b.row, b.wide, b.narrow, err); break;
  case QV_GREEDY_N: st = QV_FAIL(err, QV_E_ARG, "no such method"); break;
  }
  *has = st == QV_OK && *tried && qv_alloc_feasible(p, x);
  bench_clear(&b);
  return st;
}

/* ---- the linear relaxation ---------------------------------------------------------------------------------------------------------- */

/* Steps along the hulls, the best ratio first, the last one in part: optimal for one row, as steps of a group come in order of ratio. */
static void fill_up(mpq_t loss, mpq_t room, const bench *b, const move *m, size_t n, uint32_t *x) {
  const qv_alloc *p = b->p;
  mpq_t cost, part;
  mpq_inits(cost, part, (mpq_ptr)NULL);
  for (size_t i = 0; i < n && mpq_sgn(room) > 0; i++) {
    uint32_t g = m[i].g, f = p->group[g].first;
    mpq_sub(cost, b->cost[f + m[i].c], b->cost[f + x[g]]);
    if (mpq_cmp(cost, room) > 0) mpq_set(cost, room);
    mpq_mul(part, m[i].by, cost);
    mpq_sub(loss, loss, part);
    mpq_sub(room, room, cost);
    x[g] = m[i].c;
  }
  mpq_clears(cost, part, (mpq_ptr)NULL);
}

qv_status qv_lp_bound(mpq_t out, bool *known, const qv_alloc *p, qv_err *err) {
  bench b;
  *known = false;
  if (limited(p) != 1 || p->n_blocks > 0 || p->n_classes > 0) return QV_OK;
  qv_status st = bench_init(&b, p, err);
  if (st != QV_OK) return st;
  move *m = moves_new(p->n_cands + 1);
  uint32_t *x = malloc(p->n_groups * sizeof *x);
  mpq_t room;
  mpq_init(room);
  if (m == NULL || x == NULL) st = NOMEM(err);
  else {
    size_t n = hull_moves(&b, m);
    qsort(m, n, sizeof *m, descending);
    memcpy(x, b.narrow, p->n_groups * sizeof *x);
    mpq_div(room, p->row[b.row].asked, p->row[b.row].unit); /* not rounded down to whole units, as in the table itself */
    for (uint32_t g = 0; g < p->n_groups; g++) mpq_sub(room, room, b.cost[p->group[g].first + x[g]]);
    qv_alloc_sum(mpq_numref(out), p, x, 0);
    mpz_set_ui(mpq_denref(out), 1);
    *known = mpq_sgn(room) >= 0;
    fill_up(out, room, &b, m, n, x);
    mpq_mul(out, out, p->loss_unit);
  }
  mpq_clear(room);
  moves_free(m, m != NULL ? p->n_cands + 1 : 0);
  free(x);
  bench_clear(&b);
  return st;
}

bool qv_greedy_uniform(uint32_t *x, const qv_alloc *p, const char *label) {
  bool any = false;
  for (uint32_t g = 0; g < p->n_groups; g++) {
    uint32_t f = p->group[g].first, best = QV_ATABLE_NONE, top = 0;
    for (uint32_t c = 0; c < p->group[g].n; c++) {
      if (p->n_rows > 0 && mpz_cmp(qv_alloc_val(p, f + c, 1), qv_alloc_val(p, f + top, 1)) > 0) top = c;
      if (strcmp(p->cand[f + c].label, label) != 0) continue;
      if (best == QV_ATABLE_NONE || mpz_cmp(loss_at(p, g, c), loss_at(p, g, best)) < 0) best = c;
    }
    any = any || best != QV_ATABLE_NONE;
    x[g] = best != QV_ATABLE_NONE ? best : top;
  }
  return any;
}
