/* AFFINE: exact sums over intervals, per class of output positions.
 *
 * Output positions that see the same set of taps, with input intervals that depend on the channel only, have the same
 * bounds. So the work is: per output channel one summary (qv_seg) per tap, then, per class of rows and columns, the
 * concatenation of the summaries of the taps inside (Lemma O3). Where input intervals depend on the position, every
 * position is a class of its own as long as the effort lasts; after that the hull per channel is used. */
#include "analysis/overflow.h"
#include "analysis/range_form.h"
#include "analysis/range_int.h"

qv_axis qv_axis_at(uint32_t p, uint32_t in, uint32_t k, uint32_t stride, uint32_t dil, uint32_t pad) {
  int64_t at = (int64_t)p * stride - pad;
  int64_t t0 = at >= 0 ? 0 : (int64_t)qv_ceil_div(-at, dil);
  int64_t t1 = at >= in ? 0 : (int64_t)qv_ceil_div((int64_t)in - at, dil);
  t1 = qv_min64(t1, k);
  return t0 < t1 ? (qv_axis){at, (uint32_t)t0, (uint32_t)t1} : (qv_axis){at, 0, 0};
}

uint32_t qv_axis_classes(qv_axis *cls, uint32_t o, uint32_t in, uint32_t k, uint32_t stride, uint32_t dil, uint32_t pad) {
  uint32_t n = 0;
  for (uint32_t p = 0; p < o; p++) {
    qv_axis a = qv_axis_at(p, in, k, stride, dil, pad);
    uint32_t i = n; /* newest first: neighbours are mostly of one class */
    while (i > 0 && (cls[i - 1].t0 != a.t0 || cls[i - 1].t1 != a.t1)) i--;
    if (i == 0) cls[n++] = a;
  }
  return n;
}

static bool axis_disjoint(uint32_t o, uint32_t k, uint32_t stride, uint32_t dil) {
  return o == 1 || (uint64_t)(k - 1) * dil + 1 <= stride;
}

bool qv_window_disjoint(const qv_window *g) {
  return axis_disjoint(g->oh, g->kh, g->sh, g->dh) && axis_disjoint(g->ow, g->kw, g->sw, g->dw);
}

typedef struct {
  const qv_affine *a;
  size_t k;           /* kh * kw * gic */
  uint32_t gic, gi, go; /* input channels, first input channel of the group at hand, output channels per group */
  bool by_pos;        /* cor and raw hold all elements; else ic intervals, the same at every position */
  const qv_itv *cor;  /* x - x_zp */
  const qv_itv *raw;  /* x; NULL unless acc.raw */
  const qv_itv *pad;  /* [gic] x_zp: what a padded tap contributes to raw sums */
  const int32_t *one; /* [k] 1: the weights of row sums */
  qv_axis *row, *col; /* classes; when by_pos those of the position at hand */
  uint32_t n_row, n_col;
  uint32_t batch;     /* when by_pos */
  qv_seg *tap, *padded, *part; /* scratch: [kh*kw], [kh*kw], [kh*(n_col+1)] */
  qv_seg *seg, *seg_raw, *seg_sum; /* [n_row*n_col] per class */
  qv_itv *term;       /* [k] terms in order, for pairs and lanes */
  bool *bad;          /* [n_bad] stage s of this channel is unsafe somewhere */
  size_t n_bad;       /* most pairs and lane windows that k terms can form: k of each */
} affine;

static int32_t w_zp(const qv_affine *a, uint32_t o) { return a->w_zp[a->n_w_zp == 1 ? 0 : o]; }

/* Intervals of the group's channels at tap (y,x) of a class; x is cor or raw. Pre: the tap is inside. */
static const qv_itv *tap_in(const affine *f, const qv_itv *x, const qv_axis *r, const qv_axis *c, uint32_t ky, uint32_t kx) {
  const qv_window *g = &f->a->win;
  if (!f->by_pos) return x + f->gi;
  size_t iy = (size_t)(r->at + (int64_t)ky * g->dh), ix = (size_t)(c->at + (int64_t)kx * g->dw);
  return x + ((f->batch * (size_t)g->ih + iy) * g->iw + ix) * g->ic + f->gi;
}

static qv_seg tap_seg(const int32_t *w, int64_t wz, const qv_itv *x, uint32_t n) {
  qv_seg s = {0};
  for (uint32_t c = 0; c < n; c++) qv_seg_add(&s, qv_term(w[c] - wz, x[c]));
  return s;
}

static bool inside(const qv_axis *a, uint32_t t) { return a->t0 <= t && t < a->t1; }

/* out[row class][column class] = summary of all taps in order, those outside the image contributing `pad` (NULL: nothing).
 * Two-level concatenation: a kernel row per column class first, then the rows. */
static void class_segs(const affine *f, qv_seg *out, const int32_t *w, int64_t wz, const qv_itv *x, const qv_itv *pad) {
  const qv_window *g = &f->a->win;
  uint32_t cols = f->n_col + 1; /* the last one: row outside the image */
  for (uint32_t ky = 0; ky < g->kh; ky++) {
    bool row_in = !f->by_pos || inside(&f->row[0], ky);
    for (uint32_t kx = 0; kx < g->kw; kx++) {
      size_t t = (size_t)ky * g->kw + kx;
      bool in = row_in && (!f->by_pos || inside(&f->col[0], kx));
      f->tap[t] = in ? tap_seg(w + t * f->gic, wz, tap_in(f, x, &f->row[0], &f->col[0], ky, kx), f->gic) : (qv_seg){0};
      f->padded[t] = pad != NULL ? tap_seg(w + t * f->gic, wz, pad, f->gic) : (qv_seg){0};
    }
    for (uint32_t c = 0; c < cols; c++) {
      qv_seg s = {0};
      for (uint32_t kx = 0; kx < g->kw; kx++) {
        size_t t = (size_t)ky * g->kw + kx;
        s = qv_seg_cat(s, c < f->n_col && inside(&f->col[c], kx) ? f->tap[t] : f->padded[t]);
      }
      f->part[(size_t)ky * cols + c] = s;
    }
  }
  for (uint32_t r = 0; r < f->n_row; r++)
    for (uint32_t c = 0; c < f->n_col; c++) {
      qv_seg s = {0};
      for (uint32_t ky = 0; ky < g->kh; ky++) s = qv_seg_cat(s, f->part[(size_t)ky * cols + (inside(&f->row[r], ky) ? c : f->n_col)]);
      out[(size_t)r * f->n_col + c] = s;
    }
}

/* ---- pairs and lanes (bound 4) ---------------------------------------------------------------------------------------- */

/* All k terms of one class in kernel order, as the stage sees them. */
static void fill_terms(const affine *f, uint32_t o, const qv_axis *r, const qv_axis *c) {
  const qv_affine *a = f->a;
  const qv_window *g = &a->win;
  const int32_t *w = a->w + o * f->k;
  int64_t wz = a->acc.raw ? 0 : w_zp(a, o);
  size_t i = 0;
  for (uint32_t ky = 0; ky < g->kh; ky++)
    for (uint32_t kx = 0; kx < g->kw; kx++) {
      bool in = inside(r, ky) && inside(c, kx);
      const qv_itv *x = in ? tap_in(f, a->acc.raw ? f->raw : f->cor, r, c, ky, kx) : f->pad;
      for (uint32_t q = 0; q < f->gic; q++, i++) f->term[i] = in || a->acc.raw ? qv_term(w[i] - wz, x[q]) : (qv_itv){0, 0};
    }
}

static void stage_add(affine *f, const qv_acc *a, qv_stage_bound *s, qv_itv v) {
  int bits = qv_acc_stage_bits(a);
  s->itv = s->n == 0 ? v : qv_itv_hull(s->itv, v);
  if (!qv_itv_in(v, (qv_itv){qv_smin(bits), qv_smax(bits)})) f->bad[s->n] = true;
  s->n++;
}

static qv_itv pair_sum(const affine *f, const qv_acc *a, size_t p) {
  size_t i = qv_pair_at(a, p), j = i + qv_pair_distance(a);
  qv_itv u = j < f->k ? f->term[j] : (qv_itv){0, 0};
  return (qv_itv){f->term[i].lo + u.lo, f->term[i].hi + u.hi};
}

/* Pair sums, and the total with saturated pairs (Lemma O5): the exact total moved by sat16(s) - s, which for s in [lo,hi]
 * lies in [min(0, 32767 - hi), max(0, -32768 - lo)]. */
static void pairs(affine *f, const qv_acc *a, qv_stage_bound *s, qv_itv final) {
  size_t k = f->k;
  qv_i128 lo = final.lo, hi = final.hi;
  int64_t top[2] = {0, 0}, bottom[2] = {0, 0}; /* two largest and two smallest terms, or 0 */
  for (size_t i = 0; i < k; i++) {
    qv_itv t = f->term[i];
    if (t.hi > top[1]) top[1] = qv_min64(t.hi, top[0]), top[0] = qv_max64(t.hi, top[0]);
    if (t.lo < bottom[1]) bottom[1] = qv_max64(t.lo, bottom[0]), bottom[0] = qv_min64(t.lo, bottom[0]);
  }
  for (size_t p = 0; p < qv_pair_count(a, k); p++) {
    qv_itv v = pair_sum(f, a, p);
    lo += qv_min64(0, INT16_MAX - v.hi);
    hi += qv_max64(0, INT16_MIN - v.lo);
    stage_add(f, a, s, v);
  }
  s->machine = (qv_itv){qv_sat64(lo), qv_sat64(hi)};
  if (a->order == QV_ORDER_KERNEL) return;
  s->itv = (qv_itv){bottom[0] + bottom[1], top[0] + top[1]}; /* any two terms may meet */
  if (!qv_itv_in(s->itv, (qv_itv){INT16_MIN, INT16_MAX})) s->machine = (qv_itv){INT64_MIN, INT64_MAX};
}

/* Put the pairs' sums in the place of the terms; returns their number. */
static size_t pair_terms(affine *f, const qv_acc *a, qv_stage_bound *s) {
  size_t n = qv_pair_count(a, f->k);
  for (size_t p = 0; p < n; p++) { /* p <= its first term, and first terms ascend: what is still needed is not overwritten */
    f->term[p] = pair_sum(f, a, p);
    stage_add(f, a, s, f->term[p]);
  }
  return n;
}

/* Every lane and spill window of n terms. A wrapping lane needs its final value only, a saturating one every prefix. */
static void lanes(affine *f, const qv_acc *a, qv_stage_bound *s, size_t n) {
  for (size_t j = 0; j < a->lanes && j < n; j++) {
    qv_seg win = {0};
    uint32_t steps = 0;
    for (size_t i = j; i < n; i += a->lanes) {
      qv_seg_add(&win, f->term[i]);
      if (i + a->lanes < n && (a->spill == 0 || ++steps < a->spill)) continue;
      stage_add(f, a, s, a->lane_sat ? (qv_itv){win.pmin, win.pmax} : (qv_itv){win.lo, win.hi});
      win = (qv_seg){0};
      steps = 0;
    }
  }
}

static void set_stage(affine *f, qv_acc_one *one, uint32_t o, const qv_axis *r, const qv_axis *c) {
  const qv_acc *a = &f->a->acc;
  if (!qv_acc_staged(a)) return;
  fill_terms(f, o, r, c);
  one->stage = (qv_stage_bound){0};
  if (a->mode == QV_ACC_PAIR16) {
    pairs(f, a, &one->stage, one->final);
  } else if (a->order == QV_ORDER_KERNEL) {
    lanes(f, a, &one->stage, a->mode == QV_ACC_PAIRLANES ? pair_terms(f, a, &one->stage) : f->k);
  } else { /* any subset of the terms may share a lane, or a pair */
    qv_seg all = {0};
    for (size_t i = 0; i < f->k; i++) qv_seg_add(&all, f->term[i]);
    stage_add(f, a, &one->stage, (qv_itv){all.amin, all.amax});
  }
}

/* ---- uncorrected sums ------------------------------------------------------------------------------------------------- */

/* piece p, or nothing: the hull of both added to *v. */
static void maybe(qv_itv *v, qv_itv p) {
  v->lo += qv_min64(p.lo, 0);
  v->hi += qv_max64(p.hi, 0);
}

/* sum (x-xz)(w-wz) = sum x*w - xz * sum w - wz * sum x + K*xz*wz (Lemma O7); x = xz at padded taps. */
static void set_raw(const affine *f, qv_acc_one *one, uint32_t o, const qv_seg *raw, const qv_seg *sum) {
  const qv_affine *a = f->a;
  int64_t xz = a->x_zp, wz = w_zp(a, o), col = 0;
  for (size_t i = 0; xz != 0 && i < f->k; i++) col += a->w[o * f->k + i];
  qv_raw_bound *r = &one->raw;
  r->sum = (qv_itv){raw->lo, raw->hi};
  r->prefix = (qv_itv){raw->pmin, raw->pmax};
  r->row = wz != 0 ? (qv_itv){sum->amin, sum->amax} : (qv_itv){0, 0};
  r->col = col;
  qv_itv c = {-xz * col, -xz * col}, k = {(int64_t)f->k * xz * wz, (int64_t)f->k * xz * wz}, b = {a->b[o], a->b[o]};
  r->fix = r->sum;
  r->all = (qv_itv){raw->amin, raw->amax};
  maybe(&r->fix, qv_term(-wz, (qv_itv){sum->lo, sum->hi}));
  maybe(&r->all, qv_term(-wz, (qv_itv){sum->amin, sum->amax}));
  const qv_itv piece[3] = {c, k, b};
  for (int i = 0; i < 3; i++) maybe(&r->fix, piece[i]), maybe(&r->all, piece[i]);
}

/* ---- the node --------------------------------------------------------------------------------------------------------- */

/* Bounds of channel o at all classes of *f, joined into the node's; returns the hull of the machine's results. */
static qv_itv channel(affine *f, qv_acc_bound *b, uint32_t o, bool first) {
  const qv_affine *a = f->a;
  const int32_t *w = a->w + o * f->k;
  int64_t wz = w_zp(a, o);
  qv_itv machine = {0, 0};
  f->gi = o / f->go * f->gic;
  class_segs(f, f->seg, w, wz, f->cor, NULL);
  if (a->acc.raw) {
    class_segs(f, f->seg_raw, w, 0, f->raw, f->pad);
    if (wz != 0) class_segs(f, f->seg_sum, f->one, 0, f->raw, f->pad); /* otherwise multiplied by 0 and not formed */
  }
  for (uint32_t r = 0; r < f->n_row; r++)
    for (uint32_t c = 0; c < f->n_col; c++) {
      size_t i = (size_t)r * f->n_col + c;
      qv_acc_one one = {0};
      qv_acc_one_set(&one, &a->acc, &f->seg[i], a->b[o]);
      if (a->acc.raw) set_raw(f, &one, o, &f->seg_raw[i], &f->seg_sum[i]);
      set_stage(f, &one, o, &f->row[r], &f->col[c]);
      qv_itv m = qv_acc_one_machine(&a->acc, &one);
      machine = i == 0 ? m : qv_itv_hull(machine, m);
      qv_acc_bound_join(b, o, &one, first && i == 0);
      if (b->stage != NULL) b->stage[o].n = one.stage.n;
      uint64_t k = (uint64_t)(f->row[r].t1 - f->row[r].t0) * (f->col[c].t1 - f->col[c].t0) * f->gic;
      if (k > b->k) b->k = k;
    }
  return machine;
}

static void count_unsafe(const affine *f, qv_acc_bound *b, uint32_t o, bool *bad) {
  if (b->stage == NULL) return;
  if (f->a->acc.order == QV_ORDER_ANY && f->a->acc.mode == QV_ACC_PAIR16) { /* only the worst pair is bounded */
    b->stage[o].unsafe = qv_itv_in(b->stage[o].itv, (qv_itv){INT16_MIN, INT16_MAX}) ? 0 : b->stage[o].n;
    return;
  }
  for (uint32_t i = 0; i < b->stage[o].n; i++) b->stage[o].unsafe += bad[i];
}

/* Widths for the A2Q formulas: x - x_zp over the declared range, as a signed number (an unsigned one of N bits has N + 1,
 * which gives the same 2^(N-s)); w - w_zp over all weights. */
static void a2q(const qv_net *net, const qv_node *n, qv_acc_bound *b, size_t k) {
  const qv_affine *a = &n->u.affine;
  const qv_tensor *x = &net->tensor[n->in[0]];
  int n_bits = qv_itv_bits((qv_itv){x->lo - a->x_zp, x->hi - a->x_zp});
  qv_itv w = {0, 0};
  uint64_t l1 = 0;
  for (uint32_t o = 0; o < a->win.oc; o++) {
    uint64_t s = 0;
    for (size_t i = o * k; i < (o + 1) * k; i++) {
      int64_t d = (int64_t)a->w[i] - w_zp(a, o);
      w = qv_itv_hull(w, (qv_itv){d, d});
      s += (uint64_t)(d < 0 ? -d : d);
    }
    l1 = s > l1 ? s : l1;
  }
  b->bits_dtype = qv_a2q_dtype_bits(b->k, n_bits, true, qv_itv_bits(w));
  b->bits_l1 = qv_a2q_l1_bits(l1, n_bits, true);
}

/* Input intervals: per channel where nothing is lost or nothing else is affordable, else per element. */
static bool load_input(qv_range_ctx *c, affine *f, const qv_node *n, bool *tight) {
  const qv_window *g = &f->a->win;
  const qv_ranges *x = &c->out->tensor[n->in[0]];
  size_t elems = qv_elems(&c->net->tensor[n->in[0]]), m = g->ic;
  qv_itv *raw = QV_NEW(&c->tmp, m, qv_itv);
  if (raw == NULL) return false;
  *tight = qv_ranges_by_channel(raw, x, elems, g->ic);
  uint64_t cost;
  f->by_pos = !*tight && elems <= QV_FORM_ELEMS && qv_elems(&c->net->tensor[n->out]) <= QV_FORM_ELEMS &&
              qv_mulz(&cost, qv_elems(&c->net->tensor[n->out]), f->k) && qv_range_afford(c, cost);
  if (f->by_pos) {
    *tight = true;
    m = elems;
    if ((raw = QV_NEW(&c->tmp, m, qv_itv)) == NULL) return false;
    qv_ranges_expand(raw, x, elems);
  }
  qv_itv *cor = QV_NEW(&c->tmp, m, qv_itv);
  if (cor == NULL) return false;
  for (size_t i = 0; i < m; i++) cor[i] = (qv_itv){raw[i].lo - f->a->x_zp, raw[i].hi - f->a->x_zp};
  f->cor = cor;
  f->raw = raw;
  return true;
}

static bool alloc_scratch(qv_range_ctx *c, affine *f) {
  const qv_window *g = &f->a->win;
  size_t taps = (size_t)g->kh * g->kw, classes = (size_t)f->n_row * f->n_col;
  f->tap = QV_NEW(&c->tmp, taps, qv_seg);
  f->padded = QV_NEW(&c->tmp, taps, qv_seg);
  f->part = QV_NEW(&c->tmp, (size_t)g->kh * (f->n_col + 1), qv_seg);
  f->seg = QV_NEW(&c->tmp, classes, qv_seg);
  if (f->tap == NULL || f->padded == NULL || f->part == NULL || f->seg == NULL) return false;
  f->n_bad = 2 * f->k;
  if (qv_acc_staged(&f->a->acc) && ((f->term = QV_NEW(&c->tmp, f->k, qv_itv)) == NULL || (f->bad = QV_NEW(&c->tmp, f->n_bad, bool)) == NULL))
    return false;
  if (!f->a->acc.raw) return true;
  f->seg_raw = QV_NEW(&c->tmp, classes, qv_seg);
  f->seg_sum = QV_NEW(&c->tmp, classes, qv_seg);
  qv_itv *pad = QV_NEW(&c->tmp, f->gic, qv_itv);
  int32_t *one = QV_NEW(&c->tmp, f->k, int32_t);
  if (f->seg_raw == NULL || f->seg_sum == NULL || pad == NULL || one == NULL) return false;
  for (uint32_t i = 0; i < f->gic; i++) pad[i] = (qv_itv){f->a->x_zp, f->a->x_zp};
  for (size_t i = 0; i < f->k; i++) one[i] = 1;
  f->pad = pad;
  f->one = one;
  return true;
}

static void clear_bad(affine *f, const qv_acc_bound *b) {
  for (size_t i = 0; b->stage != NULL && i < f->n_bad; i++) f->bad[i] = false;
}

/* Output per channel. */
static bool run_uniform(qv_range_ctx *c, affine *f, qv_ranges *y, qv_acc_bound *b) {
  uint32_t oc = f->a->win.oc;
  *y = (qv_ranges){oc, 1, QV_NEW(&c->out->arena, oc, qv_itv)};
  if (y->itv == NULL) return false;
  for (uint32_t o = 0; o < oc; o++) {
    clear_bad(f, b);
    y->itv[o] = channel(f, b, o, true);
    count_unsafe(f, b, o, f->bad);
  }
  return true;
}

/* Output per element. Channel by channel, so that the flags of unsafe stages are those of one channel. */
static bool run_by_pos(qv_range_ctx *c, affine *f, qv_ranges *y, qv_acc_bound *b) {
  const qv_window *g = &f->a->win;
  size_t elems = (size_t)g->n * g->oh * g->ow * g->oc;
  qv_itv *v = QV_NEW(&c->tmp, elems, qv_itv);
  bool lossless;
  if (v == NULL) return false;
  for (uint32_t o = 0; o < g->oc; o++) {
    size_t e = o;
    clear_bad(f, b);
    for (f->batch = 0; f->batch < g->n; f->batch++)
      for (uint32_t oy = 0; oy < g->oh; oy++)
        for (uint32_t ox = 0; ox < g->ow; ox++, e += g->oc) {
          f->row[0] = qv_axis_at(oy, g->ih, g->kh, g->sh, g->dh, g->pt);
          f->col[0] = qv_axis_at(ox, g->iw, g->kw, g->sw, g->dw, g->pl);
          v[e] = channel(f, b, o, e == o);
        }
    count_unsafe(f, b, o, f->bad);
  }
  return qv_ranges_pack(y, &lossless, &c->out->arena, v, elems);
}

qv_status qv_range_affine(qv_range_ctx *c, const qv_node *n, qv_acc_bound *b) {
  const qv_affine *a = &n->u.affine;
  const qv_window *g = &a->win;
  affine f = {.a = a, .gic = g->ic / g->groups, .go = g->oc / g->groups, .n_row = 1, .n_col = 1};
  f.k = (size_t)g->kh * g->kw * f.gic;
  bool tight = false;
  bool ok = qv_acc_bound_alloc(b, &c->out->arena, &a->acc, g->oc) && load_input(c, &f, n, &tight) &&
            (f.row = QV_NEW(&c->tmp, f.by_pos ? 1 : g->oh, qv_axis)) != NULL &&
            (f.col = QV_NEW(&c->tmp, f.by_pos ? 1 : g->ow, qv_axis)) != NULL;
  if (ok && !f.by_pos) {
    f.n_row = qv_axis_classes(f.row, g->oh, g->ih, g->kh, g->sh, g->dh, g->pt);
    f.n_col = qv_axis_classes(f.col, g->ow, g->iw, g->kw, g->sw, g->dw, g->pl);
  }
  qv_ranges *y = &c->out->tensor[n->out];
  ok = ok && alloc_scratch(c, &f) && (f.by_pos ? run_by_pos(c, &f, y, b) : run_uniform(c, &f, y, b));
  if (!ok) return QV_FAIL(c->err, QV_E_NOMEM, "bounds of '%s'", c->net->tensor[n->out].name);
  a2q(c->net, n, b, f.k);

  bool harmless = true;
  for (uint32_t o = 0; o < g->oc; o++) harmless = harmless && qv_acc_harmless(&a->acc, a->acc.bits, b, o);
  b->by_position = f.by_pos;
  b->attained = tight;
  b->exact = tight && c->out->reach[n->in[0]] >= QV_REACH_CORNERS;
  bool one_class = f.by_pos || (f.n_row == 1 && f.n_col == 1);
  bool own = g->oc == g->groups && qv_window_disjoint(g); /* no input element enters two output elements */
  c->out->reach[n->out] = b->exact && harmless && one_class && own ? QV_REACH_CORNERS : QV_REACH_HULL;
  return QV_OK;
}
