#include "analysis/linear.h"

#include <stdlib.h>
#include <string.h>

#include "ir/index.h"
#include "kernels/step.h"
#include "kernels/threshold.h"

#define SCALE 16
#define ONE ((int64_t)1 << SCALE)
#define LINE_SPAN ((qv_i128)1 << 20) /* wider input intervals are taken as constants */
#define C_LIMIT ((qv_i128)1 << 120)

/* Coefficients on the elements of one tensor: dense array plus the list of elements touched. */
typedef struct {
  int64_t *a; /* [elements] or NULL while unused */
  bool *on;   /* [elements]: is in `list` */
  uint32_t *list;
  uint32_t n;
} coefs;

/* y = p*x + t at scale 2^-16. */
typedef struct {
  int64_t p;
  qv_i128 t;
} line;

/* y = f(x) for x in [l,u] lies between the lower and the upper line. */
typedef struct {
  uint32_t node, channel;
  int64_t l, u;
  line lower, upper;
  bool used;
} lines;

/* Points between which f is constant or, for a clamp, linear. */
typedef struct {
  int64_t x, y;
} corner;

struct qv_linear {
  const qv_net *net;
  const qv_range_result *r;
  const bool *harmless;
  coefs *t;              /* [n_tensors] */
  qv_index_src **map;    /* [n_nodes], lazily */
  lines *cache;          /* open addressing, power of two */
  size_t n_cache, cap_cache;
  corner *corner;        /* scratch of the function at hand */
  size_t n_corner, cap_corner;
  qv_i128 c;             /* constant, scale 2^-32 */
  bool hi;
  uint64_t *work;
  qv_arena arena;
};

qv_status qv_linear_new(qv_linear **out, const qv_net *net, const qv_range_result *r, const bool *harmless, qv_err *err) {
  qv_linear *l = calloc(1, sizeof *l);
  if (l == NULL) return QV_FAIL(err, QV_E_NOMEM, "linear bounds");
  *l = (qv_linear){.net = net, .r = r, .harmless = harmless};
  l->t = QV_NEW(&l->arena, net->n_tensors, coefs);
  l->map = QV_NEW(&l->arena, (size_t)net->n_nodes + 1, qv_index_src *);
  if (l->t == NULL || l->map == NULL) {
    qv_linear_free(l);
    return QV_FAIL(err, QV_E_NOMEM, "linear bounds");
  }
  *out = l;
  return QV_OK;
}

void qv_linear_free(qv_linear *l) {
  if (l == NULL) return;
  qv_arena_clear(&l->arena);
  free(l->cache);
  free(l->corner);
  free(l);
}

void qv_linear_forget(qv_linear *l) {
  if (l->cache != NULL) memset(l->cache, 0, l->cap_cache * sizeof *l->cache);
  l->n_cache = 0;
}

/* ---- arithmetic ------------------------------------------------------------------------------------------------------- */

/* Add v to the constant. */
static qv_status add_c(qv_linear *l, qv_i128 v) {
  l->c += v;
  return l->c > C_LIMIT || l->c < -C_LIMIT ? QV_E_LIMIT : QV_OK;
}

/* The end of a*[lo,hi] that counts for the bound, times 2^shift; a and the interval up to 2^63: fits 2^126; must fit the constant. */
static qv_status add_interval(qv_linear *l, int64_t a, qv_itv v, int shift) {
  qv_i128 p = (qv_i128)a * v.lo, q = (qv_i128)a * v.hi;
  qv_i128 e = (p > q) == l->hi ? p : q, limit = qv_floor_shift(C_LIMIT, shift);
  if (e > limit || e < -limit) return QV_E_LIMIT;
  return add_c(l, qv_scale2(e, shift));
}

static qv_status add_coef(qv_linear *l, uint32_t tensor, size_t e, int64_t a) {
  coefs *t = &l->t[tensor];
  if (a == 0) return QV_OK;
  if (t->a == NULL) {
    size_t n = qv_elems(&l->net->tensor[tensor]);
    t->a = QV_NEW(&l->arena, n, int64_t);
    t->on = QV_NEW(&l->arena, n, bool);
    t->list = QV_NEW(&l->arena, n, uint32_t);
    if (t->a == NULL || t->on == NULL || t->list == NULL) {
      t->a = NULL;
      return QV_E_NOMEM;
    }
  }
  if (!t->on[e]) {
    t->on[e] = true;
    t->list[t->n++] = (uint32_t)e;
  }
  return qv_add64(&t->a[e], t->a[e], a) ? QV_OK : QV_E_LIMIT;
}

static qv_status spend(qv_linear *l, uint64_t n) {
  if (*l->work < n) {
    *l->work = 0;
    return QV_E_LIMIT;
  }
  *l->work -= n;
  return QV_OK;
}

/* ---- replacements ----------------------------------------------------------------------------------------------------- */

/* a (scale 2^-16) times output element (position, channel o) of an affine node, replaced by its exact sum. */
static qv_status through_affine(qv_linear *l, const qv_node *n, size_t e, int64_t a) {
  const qv_affine *f = &n->u.affine;
  const qv_window *g = &f->win;
  uint32_t o = (uint32_t)(e % g->oc), ox = (uint32_t)(e / g->oc % g->ow), oy = (uint32_t)(e / g->oc / g->ow % g->oh);
  size_t b = e / g->oc / g->ow / g->oh;
  uint32_t gic = g->ic / g->groups, c0 = o / (g->oc / g->groups) * gic;
  int64_t wz = f->w_zp[f->n_w_zp == 1 ? 0 : o], sum = 0;
  const int32_t *w = f->w + (size_t)o * g->kh * g->kw * gic;
  qv_status st = spend(l, (uint64_t)g->kh * g->kw * gic);
  for (uint32_t ky = 0; st == QV_OK && ky < g->kh; ky++)
    for (uint32_t kx = 0; st == QV_OK && kx < g->kw; kx++, w += gic) {
      size_t at;
      if (!qv_window_tap(&at, g, b, oy, ox, ky, kx)) continue;
      at += c0;
      for (uint32_t c = 0; st == QV_OK && c < gic; c++) {
        int64_t d = w[c] - wz, ad;
        sum += d;
        st = qv_mul64(&ad, a, d) ? add_coef(l, n->in[0], at + c, ad) : QV_E_LIMIT;
      }
    }
  if (st != QV_OK) return st;
  qv_i128 k = f->b[o] - (qv_i128)f->x_zp * sum;
  if (k > INT64_MAX || k < INT64_MIN) return QV_E_LIMIT;
  return add_interval(l, a, (qv_itv){(int64_t)k, (int64_t)k}, SCALE);
}

static qv_status through_sum(qv_linear *l, const qv_node *n, size_t e, int64_t a) {
  const qv_sum *s = &n->u.sum;
  qv_status st = spend(l, n->n_in);
  for (uint32_t k = 0; st == QV_OK && k < n->n_in; k++) {
    int64_t ac, z;
    if (!qv_mul64(&ac, a, s->c[k]) || !qv_mul64(&z, s->c[k], s->z[k]) || z == INT64_MIN) return QV_E_LIMIT;
    if ((st = add_coef(l, n->in[k], e, ac)) == QV_OK) st = add_interval(l, a, (qv_itv){-z, -z}, SCALE);
  }
  return st;
}

static qv_status through_index(qv_linear *l, uint32_t node, size_t e, int64_t a) {
  const qv_node *n = &l->net->node[node];
  if (l->map[node] == NULL) {
    l->map[node] = QV_NEW(&l->arena, qv_elems(&l->net->tensor[n->out]), qv_index_src);
    if (l->map[node] == NULL) return QV_E_NOMEM;
    qv_index_map(l->map[node], l->net, n);
  }
  qv_index_src s = l->map[node][e];
  if (s.src == QV_NONE) return add_interval(l, a, (qv_itv){s.off, s.off}, SCALE);
  return add_coef(l, n->in[s.src], (size_t)s.off, a);
}

/* f of a step, table, threshold or clamp node at channel c. */
static int64_t value(const qv_node *n, uint32_t c, int64_t x) {
  if (n->kind == QV_STEP) return qv_step_eval(&n->u.step, c, x);
  if (n->kind == QV_TABLE) return n->u.table.t[x - n->u.table.lo];
  if (n->kind == QV_THRESHOLD) return qv_pieces_eval(&n->u.threshold.par[c], x);
  return qv_clamp64(x, n->u.clamp.lo, n->u.clamp.hi);
}

static uint32_t channel(const qv_node *n, size_t e) {
  return n->kind == QV_STEP ? qv_step_channel(&n->u.step, e) : n->kind == QV_THRESHOLD ? qv_threshold_channel(&n->u.threshold, e) : 0;
}

static bool add_corner(qv_linear *l, int64_t x, int64_t y) {
  if (l->n_corner == l->cap_corner) {
    size_t cap = l->cap_corner == 0 ? 1024 : 2 * l->cap_corner;
    corner *c = realloc(l->corner, cap * sizeof *c);
    if (c == NULL) return false;
    l->corner = c;
    l->cap_corner = cap;
  }
  l->corner[l->n_corner++] = (corner){x, y};
  return true;
}

/* Both ends of every run on which f is constant (gallop, then bisect: steps are monotone; tables run point by point, thresholds piece by
 * piece), or the
 * ends and kinks of a clamp. In ascending order. */
static bool find_corners(qv_linear *l, const qv_node *n, const lines *v) {
  bool ok = true;
  l->n_corner = 0;
  if (n->kind == QV_CLAMP) {
    const int64_t x[4] = {v->l, qv_clamp64(n->u.clamp.lo, v->l, v->u), qv_clamp64(n->u.clamp.hi, v->l, v->u), v->u};
    for (int i = 0; i < 4; i++) ok = ok && add_corner(l, x[i], value(n, 0, x[i]));
    return ok;
  }
  for (int64_t x = v->l; ok && x <= v->u;) {
    int64_t y = value(n, v->channel, x), good = x, step = 1;
    if (n->kind == QV_STEP) {
      while (good + step <= v->u && value(n, v->channel, good + step) == y) good += step, step *= 2;
      for (; step > 0; step /= 2)
        if (good + step <= v->u && value(n, v->channel, good + step) == y) good += step;
    }
    if (n->kind == QV_THRESHOLD) good = qv_min64(v->u, qv_pieces_run(&n->u.threshold.par[v->channel], x).hi);
    ok = add_corner(l, x, y) && (good == x || add_corner(l, good, y));
    x = good + 1;
  }
  return ok;
}

static int64_t slope(corner a, corner b) { return (int64_t)qv_floor_div(((qv_i128)b.y - a.y) * ONE, (qv_i128)b.x - a.x); }

/* Tightest parallel pair of slope p; kept where it is better at the middle of the interval. */
static void try_slope(const qv_linear *l, lines *v, int64_t p, bool first) {
  qv_i128 lo = 0, hi = 0, mid = (qv_i128)v->l + v->u;
  for (size_t i = 0; i < l->n_corner; i++) {
    qv_i128 t = (qv_i128)l->corner[i].y * ONE - (qv_i128)p * l->corner[i].x;
    lo = i == 0 || t < lo ? t : lo;
    hi = i == 0 || t > hi ? t : hi;
  }
  if (first || p * mid + 2 * hi < v->upper.p * mid + 2 * v->upper.t) v->upper = (line){p, hi};
  if (first || p * mid + 2 * lo > v->lower.p * mid + 2 * v->lower.t) v->lower = (line){p, lo};
}

static bool fit(qv_linear *l, lines *v, const qv_node *n) {
  if (!find_corners(l, n, v)) return false;
  size_t c = 0, d = l->n_corner - 1;
  try_slope(l, v, slope(l->corner[c], l->corner[d]), true);
  try_slope(l, v, 0, false);
  while (c + 1 < l->n_corner && l->corner[c + 1].y == l->corner[0].y) c++;
  while (d > 0 && l->corner[d - 1].y == l->corner[l->n_corner - 1].y) d--;
  if (c < d && l->corner[c].x < l->corner[d].x) try_slope(l, v, slope(l->corner[c], l->corner[d]), false);
  return true;
}

static bool cache_grow(qv_linear *l) {
  size_t cap = l->cap_cache == 0 ? 1024 : l->cap_cache * 2;
  lines *old = l->cache, *now = calloc(cap, sizeof *now);
  if (now == NULL) return false;
  for (size_t i = 0; i < l->cap_cache; i++) {
    if (!old[i].used) continue;
    size_t h = ((size_t)old[i].node * 0x9E3779B97F4A7C15u ^ (size_t)old[i].l * 0xBF58476D1CE4E5B9u ^ (size_t)old[i].channel * 0x94D049BB133111EBu) & (cap - 1);
    while (now[h].used) h = (h + 1) & (cap - 1);
    now[h] = old[i];
  }
  free(old);
  l->cache = now;
  l->cap_cache = cap;
  return true;
}

static const lines *find_lines(qv_linear *l, uint32_t node, uint32_t channel, qv_itv x) {
  if (2 * l->n_cache >= l->cap_cache && !cache_grow(l)) return NULL;
  size_t mask = l->cap_cache - 1;
  size_t h = ((size_t)node * 0x9E3779B97F4A7C15u ^ (size_t)x.lo * 0xBF58476D1CE4E5B9u ^ (size_t)channel * 0x94D049BB133111EBu) & mask;
  for (; l->cache[h].used; h = (h + 1) & mask) {
    lines *v = &l->cache[h];
    if (v->node == node && v->channel == channel && v->l == x.lo && v->u == x.hi) return v;
  }
  l->cache[h] = (lines){.node = node, .channel = channel, .l = x.lo, .u = x.hi, .used = true};
  l->n_cache++;
  return fit(l, &l->cache[h], &l->net->node[node]) ? &l->cache[h] : NULL;
}

/* *out = a*t if that is within the constant's limit. Divisions are for the rare t of 2^56 and more. */
static bool scaled(qv_i128 *out, int64_t a, qv_i128 t) {
  qv_i128 mag = t < 0 ? -t : t, am = a < 0 ? -(qv_i128)a : a;
  if (mag >= (qv_i128)1 << 56 && am > C_LIMIT / mag) return false;
  *out = a * t;
  return true;
}

static qv_status through_function(qv_linear *l, uint32_t node, size_t e, int64_t a) {
  const qv_node *n = &l->net->node[node];
  qv_itv x = qv_ranges_at(&l->r->tensor[n->in[0]], e);
  uint32_t c = channel(n, e);
  if (spend(l, 4) != QV_OK) return QV_E_LIMIT; /* about what a line costs, in multiply-adds */
  if (x.lo == x.hi) {
    int64_t y = value(n, c, x.lo);
    return add_interval(l, a, (qv_itv){y, y}, SCALE);
  }
  if ((qv_i128)x.hi - x.lo > LINE_SPAN) return add_interval(l, a, qv_ranges_at(&l->r->tensor[n->out], e), SCALE);
  const lines *v = find_lines(l, node, c, x);
  if (v == NULL) return QV_E_NOMEM;
  line k = (a > 0) == l->hi ? v->upper : v->lower;
  qv_i128 t = k.t;
  qv_i128 at;
  if (!scaled(&at, a, t)) return QV_E_LIMIT;
  qv_i128 ap = (qv_i128)a * k.p, q = qv_floor_shift(ap, SCALE);
  if (q > INT64_MAX || q < INT64_MIN) return QV_E_LIMIT;
  qv_status st = add_c(l, at);
  if (st == QV_OK) st = add_coef(l, n->in[0], e, (int64_t)q);
  return st == QV_OK ? add_interval(l, (int64_t)(ap - q * ONE), x, 0) : st;
}

static qv_status through(qv_linear *l, uint32_t node, size_t e, int64_t a) {
  const qv_node *n = &l->net->node[node];
  switch (n->kind) {
  case QV_AFFINE:
    if (l->harmless[node]) return through_affine(l, n, e, a);
    break;
  case QV_SUM:
    if (l->harmless[node]) return through_sum(l, n, e, a);
    break;
  case QV_INDEX: return through_index(l, node, e, a);
  case QV_STEP:
  case QV_TABLE:
  case QV_THRESHOLD:
  case QV_CLAMP: return through_function(l, node, e, a);
  case QV_PRODUCT:
  case QV_MAX:
  case QV_WRAP:
  case QV_TAIL:
  case QV_OPAQUE:
  case QV_KINDS: break;
  }
  return add_interval(l, a, qv_ranges_at(&l->r->tensor[n->out], e), SCALE);
}

/* Empty the coefficients of a tensor; `node` = its producer to substitute, QV_NONE = take its ranges. `drop`: only empty. */
static qv_status replace(qv_linear *l, uint32_t tensor, uint32_t node, bool drop) {
  coefs *t = &l->t[tensor];
  qv_status st = QV_OK;
  uint32_t n = t->n;
  t->n = 0;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t e = t->list[i];
    int64_t a = t->a[e];
    t->a[e] = 0;
    t->on[e] = false;
    if (drop || st != QV_OK || a == 0) continue;
    st = node != QV_NONE ? through(l, node, e, a) : add_interval(l, a, qv_ranges_at(&l->r->tensor[tensor], e), SCALE);
  }
  return st;
}

/* Bound on output element e of affine node `node`. */
static qv_status row(int64_t *bound, qv_linear *l, uint32_t node, size_t e, uint32_t from) {
  l->c = 0;
  qv_status st = through_affine(l, &l->net->node[node], e, ONE);
  for (uint32_t k = node; k-- > from;) {
    uint32_t out = l->net->node[k].out;
    if (l->t[out].n > 0) {
      qv_status now = replace(l, out, k, st != QV_OK);
      st = st == QV_OK ? now : st;
    }
  }
  for (uint32_t t = 0; t < l->net->n_tensors; t++)
    if (l->t[t].n > 0) {
      qv_status now = replace(l, t, QV_NONE, st != QV_OK);
      st = st == QV_OK ? now : st;
    }
  if (st != QV_OK) return st;
  qv_i128 b = l->hi ? qv_floor_shift(l->c, 32) : -qv_floor_shift(-l->c, 32);
  if (b > INT64_MAX || b < INT64_MIN) return QV_E_LIMIT;
  *bound = (int64_t)b;
  return QV_OK;
}

qv_status qv_linear_bound(int64_t *bound, qv_linear *l, uint32_t node, uint32_t channel, bool hi, uint32_t from, int64_t need,
                          uint64_t *work) {
  const qv_tensor *y = &l->net->tensor[l->net->node[node].out];
  uint32_t oc = l->net->node[node].u.affine.win.oc;
  l->hi = hi;
  l->work = work;
  for (size_t e = channel, n = qv_elems(y); e < n; e += oc) {
    int64_t b;
    qv_status st = row(&b, l, node, e, from);
    if (st != QV_OK) return st;
    *bound = e == channel ? b : hi ? qv_max64(*bound, b) : qv_min64(*bound, b);
    if (hi ? *bound >= need : *bound <= need) return QV_OK; /* the other positions cannot mend it */
  }
  return QV_OK;
}
