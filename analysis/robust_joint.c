#include "analysis/robust_joint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/robust_simd.h"

#define BLOCK 256 /* points, or fewer: a block and its sums stay in the first cache */
#define LANES 8

typedef struct {
  uint32_t group;
  uint64_t points;
  size_t bytes;
} candidate;

static int by_points(const void *p, const void *q) {
  const candidate *a = p, *b = q;
  if (a->points != b->points) return a->points < b->points ? -1 : 1;
  return (a->group > b->group) - (a->group < b->group);
}

/* Number of points of a group; 0: more than `most`. */
static uint64_t points_of(const qv_graph *g, const qv_channels *k, const int64_t *lo, const int64_t *hi, uint64_t most) {
  uint64_t n = 1;
  for (uint32_t i = 0; i < k->n_var; i++) {
    uint32_t v = g->group_var[k->var + i];
    uint64_t width = (uint64_t)(hi[v] - lo[v]) + 1;
    if (width > most / n) return 0;
    n *= width;
  }
  return n;
}

/* Worth having: some unit is not constant, and all values fit 8 bits. */
static bool usable(const qv_graph *g, const qv_channels *k, const qv_itv *acc) {
  bool moves = false;
  for (uint32_t v = k->unit; v < k->unit + k->n_unit; v++) {
    qv_itv y = qv_unit_image(g, v, acc[v]);
    if (y.hi - y.lo > UINT8_MAX) return false;
    moves |= y.hi > y.lo;
  }
  return moves;
}

static int32_t weight_of(const qv_graph *g, uint32_t unit, uint32_t var) {
  const qv_unit *u = &g->unit[unit];
  for (uint32_t i = u->seg; i < u->seg + u->n_seg; i++)
    if (var >= g->seg[i].var && var - g->seg[i].var < g->seg[i].len) return g->w[g->seg[i].w + (var - g->seg[i].var)];
  return 0;
}

/* Accumulators of all units at the point number p of the group, and how far each variable is above its lower end. */
static void decode(const qv_joint_group *k, uint64_t p, int64_t *acc) {
  memcpy(acc, k->a0, k->n * sizeof *acc);
  for (uint32_t i = 0; i < k->n_var; i++) {
    int64_t d = (int64_t)(p % k->values[i]);
    p /= k->values[i];
    for (uint32_t c = 0; d != 0 && c < k->n; c++) acc[c] += d * k->w[c * k->n_var + i];
  }
}

static size_t block_bytes(const qv_joint_group *k) { return (size_t)(k->n + k->n_out) * k->stride; }

/* Can the accumulator of unit c leave acc? A bound of its own may say more than its variables do. */
static bool leaves(const qv_joint_group *k, uint32_t c) {
  qv_itv a = {k->a0[c], k->a0[c]};
  for (uint32_t i = 0; i < k->n_var; i++) {
    int64_t w = (int64_t)k->w[c * k->n_var + i] * (k->values[i] - 1);
    a.lo += qv_min64(w, 0);
    a.hi += qv_max64(w, 0);
  }
  return a.lo < k->acc[c].lo || a.hi > k->acc[c].hi;
}

/* Values of unit c at all points: f's table over the accumulators, points by an odometer. False: no memory. */
static bool fill(qv_joint_group *k, const qv_graph *g, uint32_t c) {
  qv_itv a = k->acc[c];
  size_t width = (size_t)(a.hi - a.lo) + 1;
  bool table = width <= 4 * k->points + 4096;
  uint8_t *t = table ? malloc(width) : NULL;
  uint32_t *digit = calloc(k->n_var + 1, sizeof *digit);
  bool ok = digit != NULL && (t != NULL || !table);
  for (size_t i = 0; ok && table && i < width; i++) t[i] = (uint8_t)(qv_unit_eval(g, k->unit + c, a.lo + (int64_t)i) - k->y0[c]);
  int64_t acc = k->a0[c];
  for (uint64_t b = 0; ok && b < k->blocks; b++) {
    uint8_t *y = k->y + b * block_bytes(k) + c * k->stride, *off = k->out[c] > 0 ? y + (k->out[c] - c) * k->stride : NULL;
    for (size_t p = 0; p < k->block; p++) {
      bool in = acc >= a.lo && acc <= a.hi;
      y[p] = !in ? 0 : table ? t[acc - a.lo] : (uint8_t)(qv_unit_eval(g, k->unit + c, acc) - k->y0[c]);
      if (off != NULL) off[p] = !in;
      for (uint32_t i = 0; i < k->n_var; i++) { /* the next point */
        int64_t w = k->w[c * k->n_var + i];
        if (++digit[i] < k->values[i]) {
          acc += w;
          break;
        }
        acc -= w * (int64_t)(k->values[i] - 1);
        digit[i] = 0;
      }
    }
    memset(y + k->block, y[0], k->stride - k->block);
    if (off != NULL) memset(off + k->block, off[0], k->stride - k->block);
  }
  free(t);
  free(digit);
  return ok;
}

static bool make_group(qv_joint *j, qv_joint_group *k, const qv_graph *g, const qv_channels *from, const int64_t *lo, const int64_t *hi,
                       const qv_itv *acc) {
  qv_arena *a = &j->arena;
  *k = (qv_joint_group){.unit = from->unit, .n = from->n_unit};
  uint32_t *var = QV_NEW(a, from->n_var, uint32_t);
  if (var == NULL) return false;
  for (uint32_t i = 0; i < from->n_var; i++) {
    uint32_t v = g->group_var[from->var + i];
    if (hi[v] > lo[v]) var[k->n_var++] = v;
  }
  k->var = var;
  k->lo = QV_NEW(a, k->n_var, int64_t);
  k->values = QV_NEW(a, k->n_var, uint32_t);
  k->w = QV_NEW(a, (size_t)k->n * k->n_var, int32_t);
  k->a0 = QV_NEW(a, k->n, int64_t);
  k->y0 = QV_NEW(a, k->n, int64_t);
  k->acc = QV_NEW(a, k->n, qv_itv);
  k->out = QV_NEW(a, k->n, uint32_t);
  if (k->lo == NULL || k->values == NULL || k->w == NULL || k->a0 == NULL || k->y0 == NULL || k->acc == NULL || k->out == NULL)
    return false;
  k->points = k->block = 1;
  for (uint32_t i = 0; i < k->n_var; i++) {
    k->lo[i] = lo[var[i]];
    k->values[i] = (uint32_t)(hi[var[i]] - lo[var[i]]) + 1;
    k->points *= k->values[i];
    if (i == k->inner && k->block * k->values[i] <= BLOCK) {
      k->block *= k->values[i];
      k->inner++;
    }
  }
  for (uint32_t c = 0; c < k->n; c++) {
    uint32_t v = k->unit + c;
    k->acc[c] = acc[v];
    k->y0[c] = qv_unit_image(g, v, acc[v]).lo;
    k->a0[c] = qv_unit_sum(g, v, lo);
    for (uint32_t i = 0; i < k->n_var; i++) k->w[c * k->n_var + i] = weight_of(g, v, var[i]);
    if (leaves(k, c)) k->out[c] = k->n + k->n_out++;
    j->of[v] = (uint32_t)(k - j->group) + 1;
  }
  k->stride = (k->block + LANES - 1) / LANES * LANES;
  k->blocks = k->points / k->block;
  k->y = QV_NEW(a, (size_t)k->blocks * block_bytes(k), uint8_t);
  if (k->y == NULL) return false;
  for (uint32_t c = 0; c < k->n; c++)
    if (!fill(k, g, c)) return false;
  j->bytes += (size_t)k->blocks * block_bytes(k);
  if (k->stride > j->room) j->room = k->stride;
  if (k->n + k->n_out > j->most_units) j->most_units = k->n + k->n_out;
  return true;
}

/* The tensors written, ascending. Groups are in ascending order of units, not of tensors. */
static bool note_tensor(qv_joint *j, uint32_t t) {
  uint32_t i = 0;
  while (i < j->n_tensor && j->tensor[i] < t) i++;
  if (i < j->n_tensor && j->tensor[i] == t) return true;
  uint32_t *p = QV_NEW(&j->arena, j->n_tensor + 1, uint32_t);
  if (p == NULL) return false;
  for (uint32_t k = 0; k < j->n_tensor; k++) p[k < i ? k : k + 1] = j->tensor[k];
  p[i] = t;
  j->tensor = p;
  j->n_tensor++;
  return true;
}

qv_status qv_joint_new(qv_joint **out, const qv_graph *g, const int64_t *lo, const int64_t *hi, const qv_itv *acc, uint64_t points,
                       size_t bytes, qv_err *err) {
  *out = NULL;
  if (g->n_group == 0) return QV_OK;
  candidate *c = malloc(g->n_group * sizeof *c);
  qv_joint *j = calloc(1, sizeof *j);
  uint32_t n = 0, keep = 0;
  size_t sum = 0;
  bool ok = c != NULL && j != NULL;
  for (uint32_t k = 0; ok && k < g->n_group; k++) {
    uint64_t p = points_of(g, &g->group[k], lo, hi, points);
    if (p > 1 && usable(g, &g->group[k], acc)) c[n++] = (candidate){k, p, (size_t)(p + LANES) * g->group[k].n_unit};
  }
  if (ok && n > 0) qsort(c, n, sizeof *c, by_points);
  /* all of one size or none, so that one limit says which */
  for (uint32_t k = 0, first = 0; ok && k < n && (sum += c[k].bytes) <= bytes; k++) {
    if (c[k].points != c[first].points) first = k;
    if (k + 1 == n || c[k + 1].points != c[k].points) keep = k + 1;
  }
  if (ok && keep > 0) {
    j->limit = c[keep - 1].points;
    j->group = QV_NEW(&j->arena, keep, qv_joint_group);
    j->of = QV_NEW(&j->arena, g->n, uint32_t);
    ok = j->group != NULL && j->of != NULL;
    for (uint32_t k = 0; ok && k < keep; k++) {
      const qv_channels *from = &g->group[c[k].group];
      ok = make_group(j, &j->group[j->n++], g, from, lo, hi, acc) && note_tensor(j, g->unit[from->unit].tensor);
    }
  }
  free(c);
  if (!ok || keep == 0) {
    qv_joint_free(j);
    return ok ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "joint minima");
  }
  *out = j;
  return QV_OK;
}

void qv_joint_free(qv_joint *j) {
  if (j == NULL) return;
  qv_arena_clear(&j->arena);
  free(j);
}

uint64_t qv_joint_limit(const qv_joint *j, double work) {
  uint64_t limit = 0;
  for (uint32_t i = 0; j != NULL && i < j->n; i++) {
    const qv_joint_group *k = &j->group[i];
    if ((work -= (double)k->points * k->n) < 0) break;
    if (i + 1 == j->n || j->group[i + 1].points > k->points) limit = k->points;
  }
  return limit;
}

double qv_joint_work(const qv_joint *j, uint64_t limit) {
  double work = 0;
  for (uint32_t i = 0; j != NULL && i < j->n && j->group[i].points <= limit; i++) work += (double)j->group[i].points * j->group[i].n;
  return work;
}

/* ---- minima ------------------------------------------------------------------------------------------------------------- */

#define OUTSIDE 1e30F                          /* on points that do not count */
#define OUTSIDE_EXACT ((int64_t)1 << 54)
#define MOST_VARS 32 /* that vary: at least two values each, at most 2^20 points */

/* The block that follows: how far the variables outside it are above their lower ends. */
static void next_block(const qv_joint_group *k, uint32_t *digit) {
  for (uint32_t i = k->inner; i < k->n_var; i++) {
    if (++digit[i] < k->values[i]) return;
    digit[i] = 0;
  }
}

static uint64_t point_number(const qv_joint_group *k, uint64_t block, size_t p) { return block * k->block + p; }

double qv_joint_least(const qv_joint_group *k, const double *m, const double *s, double *x, float *at, qv_joint_room *r) {
  double base = 0, best = INFINITY, slope[MOST_VARS] = {0};
  uint32_t n = 0, digit[MOST_VARS] = {0};
  uint64_t best_block = 0;
  for (uint32_t c = 0; c < k->n; c++) {
    uint32_t v = k->unit + c;
    base += m[v] * (double)k->y0[c] - s[v] * (double)k->a0[c];
    for (uint32_t i = 0; s[v] != 0 && i < k->n_var; i++) slope[i] -= s[v] * (double)k->w[c * k->n_var + i];
    if (k->out[c] > 0 && (m[v] != 0 || s[v] != 0)) {
      r->m[n] = OUTSIDE;
      r->used[n++] = k->out[c];
    }
    if (m[v] == 0) continue;
    r->m[n] = (float)m[v];
    r->used[n++] = c;
  }
  size_t size = 1;
  r->lin[0] = 0;
  for (uint32_t i = 0; i < k->inner; i++) {
    for (uint32_t d = 1; d < k->values[i]; d++)
      for (size_t p = 0; p < size; p++) r->lin[d * size + p] = r->lin[p] + (float)(d * slope[i]);
    size *= k->values[i];
  }
  for (size_t p = size; p < k->stride; p++) r->lin[p] = 0;
  for (uint64_t b = 0; b < k->blocks; b++, next_block(k, digit)) {
    double outer = 0;
    for (uint32_t i = k->inner; i < k->n_var; i++) outer += slope[i] * digit[i];
    double now = outer + (double)qv_rob_jointf(r->lin, k->y + b * block_bytes(k), k->stride, r->m, r->used, n);
    if (now < best) {
      best = now;
      best_block = b;
    }
  }
  const uint8_t *y = k->y + best_block * block_bytes(k);
  size_t p = qv_rob_joint_at(r->lin, y, k->stride, r->m, r->used, n);
  if (p >= k->block) p = 0;
  decode(k, point_number(k, best_block, p), r->acc);
  for (uint32_t c = 0; c < k->n; c++) {
    x[k->unit + c] = (double)r->acc[c];
    at[k->unit + c] = (float)(k->y0[c] + y[c * k->stride + p]);
  }
  return base + best;
}

bool qv_joint_exact(qv_i128 *least, const qv_joint_group *k, const int64_t *m, const int32_t *s, qv_joint_room *r) {
  int64_t slope[MOST_VARS] = {0};
  double size_of = 0; /* bound on every sum below, within one part in 2^40 */
  qv_i128 base = 0;
  uint32_t n = 0, digit[MOST_VARS] = {0};
  for (uint32_t c = 0; c < k->n; c++) {
    base += (qv_i128)m[c] * k->y0[c] - (qv_i128)s[c] * k->a0[c];
    size_of += fabs((double)m[c]) * UINT8_MAX;
    for (uint32_t i = 0; i < k->n_var; i++) {
      double width = (double)k->values[i];
      size_of += fabs((double)s[c]) * fabs((double)k->w[c * k->n_var + i]) * width;
    }
  }
  if (!(size_of < 0x1p52) || k->n > 200) return false; /* 200 points outside and everything else stay below 2^62 */
  for (uint32_t c = 0; c < k->n; c++) {
    for (uint32_t i = 0; i < k->n_var; i++) slope[i] -= (int64_t)s[c] * k->w[c * k->n_var + i];
    if (k->out[c] > 0 && (m[c] != 0 || s[c] != 0)) {
      r->im[n] = OUTSIDE_EXACT;
      r->used[n++] = k->out[c];
    }
    if (m[c] == 0) continue;
    r->im[n] = m[c];
    r->used[n++] = c;
  }
  size_t size = 1;
  r->ilin[0] = 0;
  for (uint32_t i = 0; i < k->inner; i++) {
    for (int64_t d = 1; d < (int64_t)k->values[i]; d++)
      for (size_t p = 0; p < size; p++) r->ilin[(size_t)d * size + p] = r->ilin[p] + d * slope[i];
    size *= k->values[i];
  }
  for (size_t p = size; p < k->stride; p++) r->ilin[p] = 0; /* the first point again, as in y */
  int64_t best = INT64_MAX;
  for (uint64_t b = 0; b < k->blocks; b++, next_block(k, digit)) {
    int64_t outer = 0;
    for (uint32_t i = k->inner; i < k->n_var; i++) outer += slope[i] * (int64_t)digit[i];
    best = qv_min64(best, outer + qv_rob_jointi(r->ilin, k->y + b * block_bytes(k), k->stride, r->im, r->used, n));
  }
  *least = best > OUTSIDE_EXACT / 2 ? 0 : base + best;
  return true;
}

bool qv_joint_room_for(qv_joint_room *r, const qv_joint *j, qv_arena *a) {
  *r = (qv_joint_room){.lin = QV_NEW(a, j->room, float),
                       .m = QV_NEW(a, j->most_units, float),
                       .used = QV_NEW(a, j->most_units, uint32_t),
                       .acc = QV_NEW(a, j->most_units, int64_t),
                       .ilin = QV_NEW(a, j->room, int64_t),
                       .im = QV_NEW(a, j->most_units, int64_t)};
  return r->lin != NULL && r->m != NULL && r->used != NULL && r->acc != NULL && r->ilin != NULL && r->im != NULL;
}
