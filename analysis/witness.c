#include "analysis/witness.h"

#include <math.h>
#include <string.h>

#include "analysis/overflow.h"
#include "ir/base/rng.h"
#include "ir/index.h"
#include "kernels/step.h"
#include "kernels/threshold.h"

/* ---- one accumulator: its terms, and what the machine makes of them ------------------------------------------------------ */

typedef struct {
  size_t k;
  int64_t *x, *w;   /* as stored */
  bool *inside;
  uint32_t *src;    /* element of the source tensor, QV_NONE for padding */
  uint32_t *tensor; /* number of the source tensor */
  int64_t x_zp, w_zp, b;
} terms;

static size_t term_count(const qv_node *n) {
  const qv_window *g = &n->u.affine.win;
  return n->kind == QV_AFFINE ? (size_t)g->kh * g->kw * (g->ic / g->groups) : n->kind == QV_SUM ? n->n_in : 1;
}

static bool terms_alloc(terms *t, qv_arena *a, size_t k) {
  *t = (terms){.k = k, .x = QV_NEW(a, k, int64_t), .w = QV_NEW(a, k, int64_t), .inside = QV_NEW(a, k, bool),
               .src = QV_NEW(a, k, uint32_t), .tensor = QV_NEW(a, k, uint32_t)};
  return t->x != NULL && t->w != NULL && t->inside != NULL && t->src != NULL && t->tensor != NULL;
}

/* Which elements feed output element e of an affine node, in kernel order. */
static void affine_terms(terms *t, const qv_node *n, size_t e) {
  const qv_affine *a = &n->u.affine;
  const qv_window *g = &a->win;
  uint32_t o = (uint32_t)(e % g->oc), ox = (uint32_t)(e / g->oc % g->ow), oy = (uint32_t)(e / g->oc / g->ow % g->oh);
  size_t b = e / g->oc / g->ow / g->oh, i = 0;
  uint32_t gic = g->ic / g->groups, c0 = o / (g->oc / g->groups) * gic;
  for (uint32_t ky = 0; ky < g->kh; ky++)
    for (uint32_t kx = 0; kx < g->kw; kx++) {
      size_t at;
      bool in = qv_window_tap(&at, g, b, oy, ox, ky, kx);
      for (uint32_t c = 0; c < gic; c++, i++) {
        t->inside[i] = in;
        t->tensor[i] = n->in[0];
        t->src[i] = in ? (uint32_t)(at + c0 + c) : QV_NONE;
        t->w[i] = a->w[(size_t)o * t->k + i];
      }
    }
  t->x_zp = a->x_zp;
  t->w_zp = a->w_zp[a->n_w_zp == 1 ? 0 : o];
  t->b = a->b[o];
}

/* Sums and products are read as terms (x - x_zp) * w with everything but the running input folded into w when loaded. */
static void find_terms(terms *t, const qv_node *n, size_t e) {
  if (n->kind == QV_AFFINE) {
    affine_terms(t, n, e);
    return;
  }
  t->x_zp = t->w_zp = t->b = 0;
  for (size_t i = 0; i < t->k; i++) {
    t->inside[i] = true;
    t->tensor[i] = n->in[i];
    t->src[i] = (uint32_t)e;
  }
}

static void load_terms(terms *t, const qv_node *n, const qv_values *v) {
  for (size_t i = 0; i < t->k; i++) {
    t->x[i] = t->inside[i] ? v->v[t->tensor[i]][t->src[i]] : 0;
    if (n->kind == QV_SUM) t->x[i] -= n->u.sum.z[i], t->w[i] = n->u.sum.c[i];
  }
  if (n->kind == QV_PRODUCT) {
    t->x[0] -= n->u.product.z0;
    t->w[0] = v->v[n->in[1]][t->src[0]] - n->u.product.z1;
  }
}

static qv_acc judged_acc(const qv_node *n, int bits) {
  qv_acc a = *qv_node_acc(n);
  if (bits != 0) {
    a.bits = (uint8_t)bits;
    if (a.mode == QV_ACC_EXACT) a.mode = QV_ACC_WRAP;
  }
  return a;
}

/* Does the accumulator misbehave on the loaded terms? Fills the outcome. */
static bool misbehaves(qv_witness *w, const qv_acc *a, const terms *t) {
  const qv_acc exact = {.mode = QV_ACC_EXACT};
  qv_acc strict = *a;
  strict.mode = QV_ACC_TRAP;
  int64_t ignored;
  (void)qv_acc_run(&w->exact, &exact, t->k, t->x, t->w, t->inside, t->x_zp, t->w_zp, t->b);
  w->trap = !qv_acc_run(&w->machine, a, t->k, t->x, t->w, t->inside, t->x_zp, t->w_zp, t->b);
  w->saturates = a->mode == QV_ACC_SAT && !qv_acc_run(&ignored, &strict, t->k, t->x, t->w, t->inside, t->x_zp, t->w_zp, t->b);
  return w->trap || w->saturates || w->machine != w->exact;
}

/* ---- targets -------------------------------------------------------------------------------------------------------------- */

typedef struct {
  const qv_net *net;
  const qv_property *prop;
  const qv_proof *proof;
  const qv_wit_opts *opts;
  qv_witness *out;
  const qv_node *n;
  qv_acc acc;
  terms t;
  bool *in_group;    /* [k] terms whose sum is driven */
  int dir;           /* +1 up, -1 down */
  bool stage;        /* the group is a pair or a lane window, else a sum */
  qv_values v;
  double **grad;     /* [n_tensors] */
  int64_t **best;    /* [n_in] best input so far */
  double best_value;
  uint64_t cost;     /* multiply-adds of one execution up to the node */
  uint64_t left;     /* executions */
  qv_rng rng;
  qv_arena arena;
} search;

static qv_itv input_itv(const search *s, uint32_t i, size_t e) {
  const qv_prop_input *p = s->prop != NULL ? &s->prop->in[i] : NULL;
  const qv_tensor *t = &s->net->tensor[s->net->in[i].tensor];
  if (p == NULL || p->n == 0) return (qv_itv){t->lo, t->hi};
  return p->itv[p->n == 1 ? 0 : e];
}

/* Pairs and lanes of an uncorrected kernel see byte products; every other stage sees corrected terms. */
static bool raw_terms(const search *s) { return s->acc.raw && s->stage; }

/* Interval of one term from the proved ranges. */
static qv_itv term_itv(const search *s, size_t i) {
  const qv_node *n = s->n;
  bool raw = raw_terms(s);
  qv_itv x = s->t.inside[i] ? qv_ranges_at(&s->proof->range.tensor[s->t.tensor[i]], s->t.src[i]) : (qv_itv){s->t.x_zp, s->t.x_zp};
  if (n->kind == QV_PRODUCT) {
    qv_itv y = qv_ranges_at(&s->proof->range.tensor[n->in[1]], s->t.src[0]);
    qv_itv r = {INT64_MAX, INT64_MIN};
    for (int c = 0; c < 4; c++) {
      int64_t v = ((c & 1 ? x.hi : x.lo) - n->u.product.z0) * ((c & 2 ? y.hi : y.lo) - n->u.product.z1); /* within 2^62 */
      r = (qv_itv){qv_min64(r.lo, v), qv_max64(r.hi, v)};
    }
    return r;
  }
  if (!s->t.inside[i] && !raw) return (qv_itv){0, 0};
  int64_t z = n->kind == QV_SUM ? n->u.sum.z[i] : raw ? 0 : s->t.x_zp;
  int64_t w = n->kind == QV_SUM ? n->u.sum.c[i] : s->t.w[i] - (raw ? 0 : s->t.w_zp);
  int64_t p = w * (x.lo - z), q = w * (x.hi - z);
  return (qv_itv){qv_min64(p, q), qv_max64(p, q)};
}

/* A group of terms whose sum can leave its stage: from, from+step, ... below to, driven in direction dir by `excess`. */
typedef struct {
  size_t from, to, step;
  bool pairs; /* these are numbers of pairs, not of terms */
  int dir;
  qv_i128 excess; /* 0 = nothing leaves */
} group;

static void consider(group *g, qv_i128 lo, qv_i128 hi, int bits, size_t from, size_t to, size_t step, bool pairs) {
  qv_i128 up = hi - qv_smax(bits), down = qv_smin(bits) - lo;
  if (up > g->excess) *g = (group){from, to, step, pairs, 1, up};
  if (down > g->excess) *g = (group){from, to, step, pairs, -1, down};
}

static qv_itv pair_itv(const search *s, size_t p) {
  size_t i = qv_pair_at(&s->acc, p), j = i + qv_pair_distance(&s->acc);
  qv_itv t = term_itv(s, i), u = j < s->t.k ? term_itv(s, j) : (qv_itv){0, 0};
  return (qv_itv){t.lo + u.lo, t.hi + u.hi};
}

static void consider_pairs(const search *s, group *g) {
  for (size_t p = 0; p < qv_pair_count(&s->acc, s->t.k); p++) {
    qv_itv v = pair_itv(s, p);
    consider(g, v.lo, v.hi, 16, p, p + 1, 1, true);
  }
}

/* Lanes of terms, or of pairs. */
static void consider_lanes(const search *s, group *g) {
  const qv_acc *a = &s->acc;
  bool pairs = qv_acc_pairs(a);
  size_t all = pairs ? qv_pair_count(a, s->t.k) : s->t.k;
  for (size_t j = 0; j < a->lanes && j < all; j++) {
    qv_i128 lo = 0, hi = 0;
    size_t first = j, n = 0;
    for (size_t i = j; i < all; i += a->lanes) {
      qv_itv t = pairs ? pair_itv(s, i) : term_itv(s, i);
      lo += t.lo;
      hi += t.hi;
      bool spill = a->spill != 0 && ++n == a->spill;
      if (a->lane_sat || spill || i + a->lanes >= all) consider(g, lo, hi, a->lane_bits, first, i + 1, a->lanes, pairs);
      if (spill) lo = hi = 0, n = 0, first = i + a->lanes;
    }
  }
}

/* All terms, and for step-by-step accumulators every prefix. */
static void consider_sums(const search *s, group *g) {
  const qv_acc *a = &s->acc;
  int bits = a->bits > 0 ? a->bits : 64;
  bool prefixes = a->mode == QV_ACC_SAT || a->mode == QV_ACC_TRAP;
  qv_i128 early = a->bias == QV_BIAS_FIRST ? s->t.b : 0, lo = 0, hi = 0;
  for (size_t i = 0; i < s->t.k; i++) {
    qv_itv t = term_itv(s, i);
    lo += t.lo;
    hi += t.hi;
    if (prefixes) consider(g, lo + early, hi + early, bits, 0, i + 1, 1, false);
  }
  consider(g, lo + s->t.b, hi + s->t.b, bits, 0, s->t.k, 1, false);
}

/* The group of the terms at hand that leaves furthest: among pairs or lanes, or among sums. A lane that overflows need not
 * change the result, so both are worth a search. */
static group choose_group(const search *s) {
  group g = {.step = 1};
  if (!s->stage) consider_sums(s, &g);
  if (s->stage && qv_acc_pairs(&s->acc)) consider_pairs(s, &g);
  if (s->stage && qv_acc_lanes(&s->acc)) consider_lanes(s, &g);
  return g;
}

/* ---- execution and straight-through gradients ----------------------------------------------------------------------------- */

/* Run the net up to the target node on `in`; the driven sum times direction, or -inf on a trap before the node. */
static qv_status evaluate(search *s, int64_t *const *in, double *value, qv_err *err) {
  const qv_net *net = s->net;
  uint32_t target = s->out->node;
  for (uint32_t i = 0; i < net->n_in; i++)
    memcpy(s->v.v[net->in[i].tensor], in[i], qv_elems(&net->tensor[net->in[i].tensor]) * sizeof(int64_t));
  *value = -INFINITY;
  s->out->tried++;
  for (uint32_t k = 0; k < target; k++) {
    qv_err e = {0};
    qv_status st = qv_ref_node(net, k, &s->v, &e);
    if (st == QV_E_RANGE || st == QV_E_UNSUP) return QV_OK;
    if (st != QV_OK) return QV_FAIL(err, st, "%s", e.msg);
  }
  load_terms(&s->t, s->n, &s->v);
  double sum = 0;
  for (size_t i = 0; i < s->t.k; i++) {
    if (!s->in_group[i]) continue;
    bool raw = raw_terms(s);
    int64_t x = s->t.inside[i] ? s->t.x[i] - (raw ? 0 : s->t.x_zp) : raw ? s->t.x_zp : 0;
    sum += (double)x * (double)(s->t.w[i] - (raw ? 0 : s->t.w_zp));
  }
  *value = s->dir * sum;
  return QV_OK;
}

/* Average slope of y = f(x) over the proved range of x, a tenth of it where the point itself is flat. */
static double slope_of(int64_t l, int64_t u, int64_t fl, int64_t fu) { return u > l ? ((double)fu - (double)fl) / ((double)u - (double)l) : 0; }

static void back_affine(const qv_node *n, const double *gy, double *gx, size_t ne) {
  const qv_affine *a = &n->u.affine;
  const qv_window *g = &a->win;
  uint32_t gic = g->ic / g->groups;
  for (size_t e = 0; e < ne; e++) {
    if (gy[e] == 0) continue;
    uint32_t o = (uint32_t)(e % g->oc), ox = (uint32_t)(e / g->oc % g->ow), oy = (uint32_t)(e / g->oc / g->ow % g->oh);
    size_t b = e / g->oc / g->ow / g->oh;
    uint32_t c0 = o / (g->oc / g->groups) * gic;
    const int32_t *w = a->w + (size_t)o * g->kh * g->kw * gic;
    double wz = a->w_zp[a->n_w_zp == 1 ? 0 : o];
    for (uint32_t ky = 0; ky < g->kh; ky++)
      for (uint32_t kx = 0; kx < g->kw; kx++, w += gic) {
        size_t at;
        if (!qv_window_tap(&at, g, b, oy, ox, ky, kx)) continue;
        double *x = gx + at + c0;
        for (uint32_t c = 0; c < gic; c++) x[c] += gy[e] * (w[c] - wz);
      }
  }
}

static void back_max(const search *s, const qv_node *n, const double *gy, double *gx, size_t ne) {
  const qv_window *g = &n->u.max;
  const int64_t *x = s->v.v[n->in[0]], *y = s->v.v[n->out];
  for (size_t e = 0; e < ne; e++) {
    if (gy[e] == 0) continue;
    uint32_t c = (uint32_t)(e % g->oc), ox = (uint32_t)(e / g->oc % g->ow), oy = (uint32_t)(e / g->oc / g->ow % g->oh);
    size_t b = e / g->oc / g->ow / g->oh;
    bool done = false;
    for (uint32_t ky = 0; ky < g->kh && !done; ky++)
      for (uint32_t kx = 0; kx < g->kw && !done; kx++) {
        size_t at;
        if (!qv_window_tap(&at, g, b, oy, ox, ky, kx)) continue;
        at += c;
        if (x[at] == y[e]) gx[at] += gy[e], done = true;
      }
  }
}

static double local_slope(const search *s, const qv_node *n, size_t e) {
  int64_t x = s->v.v[n->in[0]][e];
  qv_itv r = qv_ranges_at(&s->proof->range.tensor[n->in[0]], e);
  if (n->kind == QV_CLAMP) return x >= n->u.clamp.lo && x <= n->u.clamp.hi ? 1 : 0.1;
  if (n->kind == QV_TABLE) {
    const qv_table *t = &n->u.table;
    int64_t a = qv_max64(x - 4, r.lo), b = qv_min64(x + 4, r.hi);
    return slope_of(a, b, t->t[a - t->lo], t->t[b - t->lo]) + 0.1 * slope_of(r.lo, r.hi, t->t[r.lo - t->lo], t->t[r.hi - t->lo]);
  }
  if (n->kind == QV_THRESHOLD) { /* from the piece below to the piece above, and the long way */
    const qv_pieces *p = qv_threshold_pieces(&n->u.threshold, e);
    qv_itv run = qv_pieces_run(p, x);
    int64_t a = run.lo > r.lo ? run.lo - 1 : r.lo, b = run.hi < r.hi ? run.hi + 1 : r.hi;
    return slope_of(a, b, qv_pieces_eval(p, a), qv_pieces_eval(p, b)) +
           0.1 * slope_of(r.lo, r.hi, qv_pieces_eval(p, r.lo), qv_pieces_eval(p, r.hi));
  }
  const qv_step *p = &n->u.step;
  uint32_t c = qv_step_channel(p, e);
  double all = slope_of(r.lo, r.hi, qv_step_eval(p, c, r.lo), qv_step_eval(p, c, r.hi));
  int64_t y = qv_step_eval(p, c, x);
  return y > p->lo && y < p->hi ? all : 0.1 * all;
}

static qv_status back_index(const search *s, const qv_node *n, const double *gy, qv_err *err) {
  size_t ne = qv_elems(&s->net->tensor[n->out]);
  qv_arena tmp = {0};
  qv_index_src *map = QV_NEW(&tmp, ne, qv_index_src);
  if (map == NULL) return QV_FAIL(err, QV_E_NOMEM, "index map");
  qv_index_map(map, s->net, n);
  for (size_t e = 0; e < ne; e++)
    if (map[e].src != QV_NONE) s->grad[n->in[map[e].src]][map[e].off] += gy[e];
  qv_arena_clear(&tmp);
  return QV_OK;
}

static qv_status back_node(const search *s, const qv_node *n, qv_err *err) {
  const double *gy = s->grad[n->out];
  double *gx = s->grad[n->in[0]];
  size_t ne = qv_elems(&s->net->tensor[n->out]);
  switch (n->kind) {
  case QV_AFFINE: back_affine(n, gy, gx, ne); return QV_OK;
  case QV_MAX: back_max(s, n, gy, gx, ne); return QV_OK;
  case QV_INDEX: return back_index(s, n, gy, err);
  case QV_STEP:
  case QV_TABLE:
  case QV_THRESHOLD:
  case QV_CLAMP:
    for (size_t e = 0; e < ne; e++)
      if (gy[e] != 0) gx[e] += gy[e] * local_slope(s, n, e);
    return QV_OK;
  case QV_WRAP:
    for (size_t e = 0; e < ne; e++) gx[e] += gy[e];
    return QV_OK;
  case QV_SUM:
    for (uint32_t k = 0; k < n->n_in; k++)
      for (size_t e = 0; e < ne; e++) s->grad[n->in[k]][e] += gy[e] * (double)n->u.sum.c[k];
    return QV_OK;
  case QV_PRODUCT:
    for (size_t e = 0; e < ne; e++) {
      gx[e] += gy[e] * (double)(s->v.v[n->in[1]][e] - n->u.product.z1);
      s->grad[n->in[1]][e] += gy[e] * (double)(s->v.v[n->in[0]][e] - n->u.product.z0);
    }
    return QV_OK;
  case QV_TAIL:
  case QV_OPAQUE:
  case QV_KINDS: return QV_OK;
  }
  return QV_OK;
}

/* Gradient of the driven sum with respect to the net inputs, at the values of the last evaluation. */
static qv_status gradient(search *s, qv_err *err) {
  for (uint32_t t = 0; t < s->net->n_tensors; t++)
    memset(s->grad[t], 0, qv_elems(&s->net->tensor[t]) * sizeof(double));
  for (size_t i = 0; i < s->t.k; i++)
    if (s->in_group[i] && s->t.inside[i])
      s->grad[s->t.tensor[i]][s->t.src[i]] += s->dir * (double)(s->t.w[i] - (raw_terms(s) ? 0 : s->t.w_zp));
  if (s->n->kind == QV_PRODUCT) s->grad[s->n->in[1]][s->t.src[0]] += s->dir * (double)s->t.x[0];
  for (uint32_t k = s->out->node; k-- > 0;) {
    qv_status st = back_node(s, &s->net->node[k], err);
    if (st != QV_OK) return st;
  }
  return QV_OK;
}

/* ---- search ---------------------------------------------------------------------------------------------------------------- */

static int64_t **new_input(search *s) {
  int64_t **x = QV_NEW(&s->arena, s->net->n_in, int64_t *);
  for (uint32_t i = 0; x != NULL && i < s->net->n_in; i++)
    if ((x[i] = QV_NEW(&s->arena, qv_elems(&s->net->tensor[s->net->in[i].tensor]), int64_t)) == NULL) return NULL;
  return x;
}

static void copy_input(const search *s, int64_t **to, int64_t *const *from) {
  for (uint32_t i = 0; i < s->net->n_in; i++)
    memcpy(to[i], from[i], qv_elems(&s->net->tensor[s->net->in[i].tensor]) * sizeof(int64_t));
}

/* Start points: middle, low, high, then random corners. */
static void start_input(search *s, int64_t **x, uint64_t which) {
  for (uint32_t i = 0; i < s->net->n_in; i++)
    for (size_t e = 0, n = qv_elems(&s->net->tensor[s->net->in[i].tensor]); e < n; e++) {
      qv_itv v = input_itv(s, i, e);
      bool up = which == 2 || (which > 2 && (qv_rng_next(&s->rng) & 1));
      x[i][e] = which == 0 ? v.lo + (v.hi - v.lo) / 2 : up ? v.hi : v.lo;
    }
}

/* Move along the gradient: elements whose magnitude is at least `share` of the largest go to the end that helps. */
static void move(const search *s, int64_t **x, double share) {
  double top = 0;
  for (uint32_t i = 0; i < s->net->n_in; i++) {
    const double *g = s->grad[s->net->in[i].tensor];
    for (size_t e = 0, n = qv_elems(&s->net->tensor[s->net->in[i].tensor]); e < n; e++) top = fmax(top, fabs(g[e]));
  }
  for (uint32_t i = 0; i < s->net->n_in; i++) {
    const double *g = s->grad[s->net->in[i].tensor];
    for (size_t e = 0, n = qv_elems(&s->net->tensor[s->net->in[i].tensor]); e < n; e++) {
      if (g[e] == 0 || fabs(g[e]) < share * top) continue;
      qv_itv v = input_itv(s, i, e);
      x[i][e] = g[e] > 0 ? v.hi : v.lo;
    }
  }
}

/* Evaluate x; when the accumulator misbehaves, keep x as the witness. */
static qv_status try_input(search *s, int64_t **x, double *value, bool *found, qv_err *err) {
  qv_status st = evaluate(s, x, value, err);
  s->left--;
  if (st != QV_OK || *value == -INFINITY) return st;
  *found = misbehaves(s->out, &s->acc, &s->t);
  if (*found || *value > s->best_value) {
    s->best_value = *value;
    copy_input(s, s->best, x);
  }
  return QV_OK;
}

/* Gradient ascent from one start point with shrinking moves. */
static qv_status climb(search *s, int64_t **x, int64_t **y, bool *found, qv_err *err) {
  double here, there;
  qv_status st = try_input(s, x, &here, found, err);
  for (int stuck = 0; st == QV_OK && !*found && s->left > 0 && stuck < 4 && here > -INFINITY;) {
    if ((st = gradient(s, err)) != QV_OK) break;
    static const double shares[4] = {0, 0.25, 0.5, 0.9};
    bool better = false;
    for (int k = stuck; k < 4 && !better && !*found && s->left > 0 && st == QV_OK; k++) {
      copy_input(s, y, x);
      move(s, y, shares[k]);
      if ((st = try_input(s, y, &there, found, err)) != QV_OK || *found) break;
      better = there > here;
      if (better) copy_input(s, x, y), here = there;
      stuck = better ? 0 : k + 1;
    }
    if (better || *found || st != QV_OK) continue;
    break;
  }
  return st;
}

/* Number of inputs of the domain, saturating. */
static uint64_t cardinality(const search *s) {
  qv_i128 n = 1;
  for (uint32_t i = 0; i < s->net->n_in; i++)
    for (size_t e = 0, ne = qv_elems(&s->net->tensor[s->net->in[i].tensor]); e < ne; e++) {
      qv_itv v = input_itv(s, i, e);
      n *= (qv_i128)v.hi - v.lo + 1;
      if (n > UINT32_MAX) return UINT64_MAX;
    }
  return (uint64_t)n;
}

static bool next_input(const search *s, int64_t **x) {
  for (uint32_t i = 0; i < s->net->n_in; i++)
    for (size_t e = 0, ne = qv_elems(&s->net->tensor[s->net->in[i].tensor]); e < ne; e++) {
      qv_itv v = input_itv(s, i, e);
      if (x[i][e] < v.hi) {
        x[i][e]++;
        return true;
      }
      x[i][e] = v.lo;
    }
  return false;
}

/* Every input of a small domain, every element of the node: decides. */
static qv_status exhaust(search *s, int64_t **x, bool *found, qv_err *err) {
  size_t ne = qv_elems(&s->net->tensor[s->n->out]);
  qv_status st = QV_OK;
  start_input(s, x, 1);
  do {
    double value;
    if ((st = evaluate(s, x, &value, err)) != QV_OK) return st;
    if (value == -INFINITY) continue;
    for (size_t e = 0; e < ne && !*found; e++) {
      find_terms(&s->t, s->n, e);
      load_terms(&s->t, s->n, &s->v);
      *found = misbehaves(s->out, &s->acc, &s->t);
      if (*found) s->out->element = e, copy_input(s, s->best, x);
    }
  } while (!*found && next_input(s, x));
  return st;
}

/* Multiply-adds of the nodes before and including the target. */
static uint64_t execution_cost(const qv_net *net, uint32_t node) {
  uint64_t c = 1;
  for (uint32_t k = 0; k <= node; k++) c += qv_elems(&net->tensor[net->node[k].out]) * (term_count(&net->node[k]) + 1);
  return c;
}

static bool prepare(search *s) {
  const qv_net *net = s->net;
  size_t k = term_count(s->n);
  s->in_group = QV_NEW(&s->arena, k, bool);
  s->grad = QV_NEW(&s->arena, net->n_tensors, double *);
  s->best = new_input(s);
  if (!terms_alloc(&s->t, &s->arena, k) || s->in_group == NULL || s->grad == NULL || s->best == NULL) return false;
  for (uint32_t t = 0; t < net->n_tensors; t++)
    if ((s->grad[t] = QV_NEW(&s->arena, qv_elems(&net->tensor[t]), double)) == NULL) return false;
  return true;
}

/* Find the element of the channel, and the group there, that leave the accumulator furthest. False if none does. */
static bool choose_element(search *s, uint32_t channel) {
  size_t ne = qv_elems(&s->net->tensor[s->n->out]), stride = s->n->kind == QV_AFFINE ? s->n->u.affine.win.oc : 1, seen = 0;
  group best = {0};
  for (size_t e = s->n->kind == QV_AFFINE ? channel : 0; e < ne && seen < 4096; e += stride, seen++) {
    find_terms(&s->t, s->n, e);
    group g = choose_group(s);
    if (g.excess > best.excess) best = g, s->out->element = e;
  }
  if (best.excess == 0) return false;
  find_terms(&s->t, s->n, s->out->element);
  memset(s->in_group, 0, s->t.k * sizeof *s->in_group);
  for (size_t u = best.from; u < best.to; u += best.step) {
    size_t i = best.pairs ? qv_pair_at(&s->acc, u) : u, j = i + qv_pair_distance(&s->acc);
    s->in_group[i] = true;
    if (best.pairs && j < s->t.k) s->in_group[j] = true;
  }
  s->dir = best.dir;
  return true;
}

static qv_status run_search(search *s, uint32_t channel, qv_err *err) {
  bool found = false;
  qv_status st = QV_OK;
  int64_t **x = new_input(s), **y = new_input(s);
  if (x == NULL || y == NULL) return QV_FAIL(err, QV_E_NOMEM, "witness search");
  uint64_t card = cardinality(s);
  if (card <= 65536 && card <= s->left * 256) {
    s->dir = 1;
    find_terms(&s->t, s->n, 0);
    if ((st = exhaust(s, x, &found, err)) != QV_OK) return st;
    s->out->state = found ? QV_WIT_REACHED : QV_WIT_EXHAUSTED;
    return QV_OK;
  }
  for (int stage = 1; stage >= 0 && !found; stage--) {
    s->best_value = -INFINITY;
    s->stage = stage != 0;
    if (!choose_element(s, channel)) continue;
    for (uint64_t k = 0, all = s->left; st == QV_OK && !found && s->left > (uint64_t)stage * all / 2 && k < 24; k++) {
      start_input(s, x, k);
      st = climb(s, x, y, &found, err);
    }
    s->out->state = found ? QV_WIT_REACHED : QV_WIT_NONE;
  }
  return st;
}

/* The input that was found, kept in the witness, and its replay from scratch. */
static qv_status keep(search *s, int bits, qv_err *err) {
  qv_witness *w = s->out;
  w->channel = s->n->kind == QV_AFFINE ? (uint32_t)(w->element % s->n->u.affine.win.oc) : 0;
  w->input = QV_NEW(&w->arena, s->net->n_in, int64_t *);
  if (w->input == NULL) return QV_FAIL(err, QV_E_NOMEM, "witness");
  for (uint32_t i = 0; i < s->net->n_in; i++) {
    size_t ne = qv_elems(&s->net->tensor[s->net->in[i].tensor]);
    if ((w->input[i] = QV_NEW(&w->arena, ne, int64_t)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "witness");
    memcpy(w->input[i], s->best[i], ne * sizeof(int64_t));
  }
  bool bad;
  qv_status st = qv_witness_replay(&bad, w, s->net, bits, err);
  if (st == QV_OK && !bad) return QV_FAIL(err, QV_E_INTERNAL, "a witness of node %u does not replay", w->node);
  return st;
}

qv_status qv_witness_search(qv_witness *out, const qv_net *net, const qv_property *prop, const qv_proof *proof, uint32_t item,
                            const qv_wit_opts *opts, qv_err *err) {
  static const qv_wit_opts defaults = {0};
  const qv_ov_item *it = &proof->item[item];
  *out = (qv_witness){.node = it->node, .channel = it->channel};
  search s = {.net = net, .prop = prop, .proof = proof, .opts = opts != NULL ? opts : &defaults, .out = out,
              .n = &net->node[it->node], .best_value = -INFINITY};
  s.acc = judged_acc(s.n, proof->acc_bits);
  s.rng.s = s.opts->seed;
  s.cost = execution_cost(net, it->node);
  uint64_t by_work = (s.opts->max_work != 0 ? s.opts->max_work : (uint64_t)1 << 31) / s.cost;
  if (by_work < 3 && s.cost < (uint64_t)1 << 26) by_work = 3; /* a start, a corner, and one more: enough for a first layer */
  s.left = s.opts->max_inputs != 0 ? s.opts->max_inputs : 400;
  if (by_work < s.left) s.left = by_work;
  qv_status st = QV_OK;
  if (!prepare(&s)) st = QV_FAIL(err, QV_E_NOMEM, "witness search");
  if (st == QV_OK) st = qv_values_init(&s.v, net, err);
  if (st == QV_OK) st = run_search(&s, it->channel, err);
  if (st == QV_OK && out->state == QV_WIT_REACHED) st = keep(&s, proof->acc_bits, err);
  qv_values_clear(&s.v);
  qv_arena_clear(&s.arena);
  return st;
}

void qv_witness_clear(qv_witness *w) {
  qv_arena_clear(&w->arena);
  *w = (qv_witness){0};
}

qv_status qv_witness_replay(bool *bad, qv_witness *w, const qv_net *net, int bits, qv_err *err) {
  const qv_node *n = &net->node[w->node];
  qv_values v;
  qv_arena tmp = {0};
  terms t;
  *bad = false;
  qv_status st = qv_values_init(&v, net, err);
  if (st != QV_OK) return st;
  for (uint32_t i = 0; i < net->n_in; i++)
    memcpy(v.v[net->in[i].tensor], w->input[i], qv_elems(&net->tensor[net->in[i].tensor]) * sizeof(int64_t));
  for (uint32_t k = 0; st == QV_OK && k < w->node; k++) {
    qv_err e = {0};
    st = qv_ref_node(net, k, &v, &e);
    if (st == QV_E_RANGE || st == QV_E_UNSUP) goto done; /* undefined or unknown before the node is reached: not a witness */
    if (st != QV_OK) (void)QV_FAIL(err, st, "%s", e.msg);
  }
  if (st == QV_OK && !terms_alloc(&t, &tmp, term_count(n))) st = QV_FAIL(err, QV_E_NOMEM, "witness replay");
  if (st == QV_OK) {
    qv_acc a = judged_acc(n, bits);
    find_terms(&t, n, w->element);
    load_terms(&t, n, &v);
    *bad = misbehaves(w, &a, &t);
  }
done:
  if (st == QV_E_RANGE || st == QV_E_UNSUP) st = QV_OK;
  qv_arena_clear(&tmp);
  qv_values_clear(&v);
  return st;
}

/* ---- the bound's own witness ------------------------------------------------------------------------------------------------ */

typedef struct {
  const qv_node *n;
  const qv_ranges *r;
  int64_t *x; /* or NULL: only the sum */
  bool hi;
} corner;

/* Extreme sum at output element e; the corner itself into x. */
static int64_t corner_sum(const corner *k, size_t e) {
  const qv_affine *a = &k->n->u.affine;
  const qv_window *g = &a->win;
  uint32_t o = (uint32_t)(e % g->oc), ox = (uint32_t)(e / g->oc % g->ow), oy = (uint32_t)(e / g->oc / g->ow % g->oh);
  size_t b = e / g->oc / g->ow / g->oh;
  uint32_t gic = g->ic / g->groups, c0 = o / (g->oc / g->groups) * gic;
  const int32_t *w = a->w + (size_t)o * g->kh * g->kw * gic;
  int64_t sum = a->b[o], wz = a->w_zp[a->n_w_zp == 1 ? 0 : o];
  for (uint32_t ky = 0; ky < g->kh; ky++)
    for (uint32_t kx = 0; kx < g->kw; kx++, w += gic) {
      size_t at;
      if (!qv_window_tap(&at, g, b, oy, ox, ky, kx)) continue;
      at += c0;
      for (uint32_t c = 0; c < gic; c++) {
        int64_t d = w[c] - wz;
        qv_itv v = qv_ranges_at(k->r, at + c);
        int64_t x = (d >= 0) == k->hi ? v.hi : v.lo;
        sum += d * (x - a->x_zp); /* a partial sum in the sense of qv_ir_check: within 2^62 */
        if (k->x != NULL) k->x[at + c] = x;
      }
    }
  return sum;
}

void qv_witness_node_input(int64_t *x, size_t *element, int64_t *value, const qv_net *net, const qv_range_result *r, uint32_t node,
                           uint32_t channel, bool hi) {
  const qv_node *n = &net->node[node];
  corner k = {n, &r->tensor[n->in[0]], NULL, hi};
  size_t ne = qv_elems(&net->tensor[n->out]), oc = n->u.affine.win.oc, seen = 0;
  for (size_t e = channel; e < ne && seen < 4096; e += oc, seen++) {
    int64_t v = corner_sum(&k, e);
    if (e == channel || (hi ? v > *value : v < *value)) *value = v, *element = e;
  }
  for (size_t e = 0, m = qv_elems(&net->tensor[n->in[0]]); e < m; e++) x[e] = qv_ranges_at(k.r, e).lo;
  k.x = x;
  (void)corner_sum(&k, *element);
}
