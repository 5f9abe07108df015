#include "analysis/fit.h"

#include "analysis/range_form.h"
#include "analysis/rescale.h"

bool qv_fit_possible(const qv_acc *a) {
  if (a->mode == QV_ACC_EXACT) return false;
  return a->mode != QV_ACC_PAIR16 || a->order == QV_ORDER_KERNEL;
}

static bool leaves_axis(uint32_t o, uint32_t in, uint32_t k, uint32_t stride, uint32_t dil, uint32_t pad) {
  return pad > 0 || (uint64_t)(o - 1) * stride + (uint64_t)(k - 1) * dil >= in;
}

/* Can a tap of the window be padding? */
static bool padded(const qv_window *g) {
  return leaves_axis(g->oh, g->ih, g->kh, g->sh, g->dh, g->pt) || leaves_axis(g->ow, g->iw, g->kw, g->sw, g->dw, g->pl);
}

/* ---- groups ---------------------------------------------------------------------------------------------------------------- */

/* Group of term i: its pair, its lane window, or the one sum that there is. Numbers need not be dense. */
static size_t group_of(const qv_fit *f, size_t i) {
  const qv_acc *a = &f->a->acc;
  size_t u = i;
  if (qv_acc_pairs(a)) u = a->pairing == QV_PAIR_ADJACENT ? i / 2 : i / 16 * 8 + i % 8;
  if (a->mode == QV_ACC_PAIR16) return u;
  if (!qv_acc_lanes(a) || a->order == QV_ORDER_ANY) return 0; /* any terms may share a lane */
  return u % a->lanes + a->lanes * (a->spill != 0 ? u / a->lanes / a->spill : 0);
}

/* Counting sort of the terms by group. */
static bool make_groups(qv_fit *f, qv_arena *arena) {
  size_t top = 0;
  for (size_t i = 0; i < f->k; i++) top = group_of(f, i) > top ? group_of(f, i) : top;
  uint32_t *count = QV_NEW(arena, top + 2, uint32_t), *next = QV_NEW(arena, top + 1, uint32_t);
  f->first = QV_NEW(arena, top + 2, uint32_t);
  f->term = QV_NEW(arena, f->k, uint32_t);
  if (count == NULL || next == NULL || f->first == NULL || f->term == NULL) return false;
  for (size_t i = 0; i < f->k; i++) count[group_of(f, i)]++;
  uint32_t at = 0;
  for (size_t g = 0; g <= top; g++) {
    next[g] = at;
    if (count[g] != 0) f->first[f->n++] = at;
    at += count[g];
  }
  f->first[f->n] = at;
  for (size_t i = 0; i < f->k; i++) f->term[next[group_of(f, i)]++] = (uint32_t)i;
  return true;
}

qv_status qv_fit_new(qv_fit *f, qv_arena *arena, const qv_affine *a, const qv_ranges *x, size_t elems, qv_err *err) {
  const qv_window *g = &a->win;
  const qv_acc *acc = &a->acc;
  bool staged = qv_acc_staged(acc);
  int bits = staged ? qv_acc_stage_bits(acc) : acc->bits;
  *f = (qv_fit){.a = a, .gic = g->ic / g->groups, .raw = staged && acc->raw, .limit = {qv_smin(bits), qv_smax(bits)}};
  f->k = (size_t)g->kh * g->kw * f->gic;
  f->x = QV_NEW(arena, g->ic, qv_itv);
  if (f->x == NULL || !make_groups(f, arena)) return QV_FAIL(err, QV_E_NOMEM, "groups of products");
  (void)qv_ranges_by_channel(f->x, x, elems, g->ic);
  for (uint32_t c = 0; c < g->ic; c++) {
    if (f->raw && padded(g)) f->x[c] = qv_itv_hull(f->x[c], (qv_itv){a->x_zp, a->x_zp});
    int64_t z = f->raw ? 0 : a->x_zp; /* a padded tap is 0 then */
    f->x[c] = qv_itv_hull((qv_itv){f->x[c].lo - z, f->x[c].hi - z}, (qv_itv){0, 0});
  }
  return QV_OK;
}

/* ---- sums ------------------------------------------------------------------------------------------------------------------- */

qv_least_term qv_fit_term(const qv_fit *f, const int32_t *w, uint32_t o, size_t i) {
  uint32_t c = o / (f->a->win.oc / f->a->win.groups) * f->gic + (uint32_t)(i % f->gic);
  int64_t d = qv_fit_weight(f, w, o, i);
  qv_itv x = f->x[c];
  return d >= 0 ? (qv_least_term){x.hi, -x.lo, d} : (qv_least_term){-x.lo, x.hi, -d};
}

/* The part of the bias that can be in a sum at the moment it has to fit: all of it where only the end counts or where it comes
 * first, nothing where a stage comes before; a bias that comes last is in the last prefix only. */
static qv_itv bias_part(const qv_acc *a, int64_t b) {
  if (qv_acc_staged(a)) return (qv_itv){0, 0};
  if (a->mode == QV_ACC_WRAP || (a->bias == QV_BIAS_FIRST && a->order == QV_ORDER_KERNEL)) return (qv_itv){b, b};
  return (qv_itv){qv_min64(b, 0), qv_max64(b, 0)};
}

void qv_fit_excess(const qv_fit *f, const int32_t *w, int64_t b, uint32_t o, uint32_t g, int64_t *top, int64_t *bottom) {
  qv_itv part = bias_part(&f->a->acc, b);
  int64_t hi = part.hi, lo = part.lo; /* within 2^62: qv_ir_check */
  for (uint32_t j = f->first[g]; j < f->first[g + 1]; j++) {
    qv_least_term t = qv_fit_term(f, w, o, f->term[j]);
    hi += t.up * t.most;
    lo -= t.down * t.most;
  }
  *top = qv_sat64((qv_i128)hi - f->limit.hi);
  *bottom = qv_sat64((qv_i128)f->limit.lo - lo);
}

bool qv_fit_channel(const qv_fit *f, const int32_t *w, int64_t b, uint32_t o) {
  for (uint32_t g = 0; g < f->n; g++) {
    int64_t top, bottom;
    qv_fit_excess(f, w, b, o, g, &top, &bottom);
    if (top > 0 || bottom > 0) return false;
  }
  return true;
}

bool qv_fit_all(const qv_fit *f, const int32_t *w, const int64_t *b) {
  for (uint32_t o = 0; o < f->a->win.oc; o++)
    if (!qv_fit_channel(f, w, b[o], o)) return false;
  return true;
}

/* ---- levels ------------------------------------------------------------------------------------------------------------------ */

qv_status qv_fit_levels(int64_t *r, int64_t *all, const qv_fit *f, qv_err *err) {
  const qv_affine *a = f->a;
  size_t n = a->win.oc * f->k;
  qv_arena tmp = {0};
  int32_t *w = QV_NEW(&tmp, n, int32_t);
  int64_t *b = QV_NEW(&tmp, a->win.oc, int64_t);
  if (w == NULL || b == NULL) {
    qv_arena_clear(&tmp);
    return QV_FAIL(err, QV_E_NOMEM, "levels");
  }
  *all = 0;
  for (size_t i = 0; i < n; i++) {
    int64_t d = (int64_t)a->w[i] - a->w_zp[a->n_w_zp == 1 ? 0 : i / f->k];
    *all = qv_max64(*all, d < 0 ? -d : d);
  }
  for (*r = *all; *r > 0; --*r) {
    qv_rescale_weights(w, a, *r, *all);
    for (uint32_t o = 0; o < a->win.oc; o++) b[o] = (int64_t)qv_rha_div((qv_i128)a->b[o] * *r, *all);
    if (qv_fit_all(f, w, b)) break;
  }
  qv_arena_clear(&tmp);
  return QV_OK;
}

/* ---- clipping --------------------------------------------------------------------------------------------------------------- */

qv_status qv_fit_clip(qv_least *out, const qv_fit *f, int32_t *w, int64_t b, uint32_t o, qv_err *err) {
  qv_arena tmp = {0};
  qv_least_term *t = QV_NEW(&tmp, f->k, qv_least_term);
  int64_t *d = QV_NEW(&tmp, f->k, int64_t);
  qv_status st = t != NULL && d != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "clipping");
  *out = (qv_least){0};
  for (uint32_t g = 0; st == QV_OK && g < f->n; g++) {
    int64_t top, bottom;
    qv_least least;
    qv_fit_excess(f, w, b, o, g, &top, &bottom);
    if (top <= 0 && bottom <= 0) continue;
    uint32_t n = f->first[g + 1] - f->first[g];
    const uint32_t *term = f->term + f->first[g];
    for (uint32_t j = 0; j < n; j++) t[j] = qv_fit_term(f, w, o, term[j]);
    st = qv_least_steps(d, &least, t, n, top, bottom, err);
    if (st == QV_E_ARG) st = QV_FAIL(err, QV_E_UNSUP, "channel %u: the bias alone does not fit", o);
    if (st != QV_OK) break;
    out->steps += least.steps;
    out->bound += least.bound;
    for (uint32_t j = 0; j < n; j++) {
      int32_t *v = &w[o * f->k + term[j]];
      *v = (int32_t)(qv_fit_weight(f, w, o, term[j]) >= 0 ? *v - d[j] : *v + d[j]);
    }
  }
  qv_arena_clear(&tmp);
  return st;
}
