/* qv_range_run: one transformer per node kind. AFFINE is in range_affine.c. */
#include "analysis/range.h"

#include "analysis/overflow.h"
#include "analysis/range_form.h"
#include "analysis/range_int.h"
#include "ir/index.h"
#include "kernels/step.h"
#include "kernels/threshold.h"

typedef qv_range_ctx ctx;

static qv_status no_memory(ctx *c, const qv_node *n) {
  return QV_FAIL(c->err, QV_E_NOMEM, "ranges of '%s'", c->net->tensor[n->out].name);
}

static const qv_ranges *in_range(const ctx *c, const qv_node *n, uint32_t k) { return &c->out->tensor[n->in[k]]; }
static qv_reach in_reach(const ctx *c, const qv_node *n, uint32_t k) { return c->out->reach[n->in[k]]; }
static size_t out_elems(const ctx *c, const qv_node *n) { return qv_elems(&c->net->tensor[n->out]); }

static bool alloc_form(ctx *c, qv_ranges *r, qv_form f) {
  *r = (qv_ranges){f.n, f.inner, QV_NEW(&c->out->arena, f.n, qv_itv)};
  return r->itv != NULL;
}

/* Do the inputs take their corners independently of each other: every one of them alone, and no net input behind two? */
static bool independent(const ctx *c, const qv_node *n) {
  uint64_t seen = 0;
  for (uint32_t k = 0; k < n->n_in; k++) {
    if (in_reach(c, n, k) == QV_REACH_HULL || (seen & c->deps[n->in[k]]) != 0) return false;
    seen |= c->deps[n->in[k]];
  }
  return true;
}

static bool distinct_inputs(const ctx *c, const qv_node *n) {
  for (uint32_t k = 0; k < n->n_in; k++)
    for (uint32_t j = 0; j < k; j++)
      if (n->in[j] == n->in[k] && c->net->tensor[n->in[k]].data == NULL) return false;
  return true;
}

/* ---- element-wise kinds ------------------------------------------------------------------------------------------------ */

/* Monotone per element (Lemma S6): corners go to corners. */
static qv_status run_step(ctx *c, const qv_node *n) {
  const qv_step *s = &n->u.step;
  const qv_ranges *x = in_range(c, n, 0);
  qv_ranges *y = &c->out->tensor[n->out];
  uint32_t sets = s->idx != NULL ? s->n_idx : s->n_par;
  qv_form f = qv_form_common((qv_form){x->n, x->inner}, (qv_form){sets, s->inner}, out_elems(c, n));
  if (!alloc_form(c, y, f)) return no_memory(c, n);
  for (uint32_t q = 0; q < f.n; q++) {
    size_t e = (size_t)q * f.inner;
    y->itv[q] = qv_step_image(s, qv_step_channel(s, e), qv_ranges_at(x, e));
  }
  c->out->reach[n->out] = in_reach(c, n, 0) == QV_REACH_HULL ? QV_REACH_HULL : QV_REACH_CORNERS;
  return QV_OK;
}

/* Minimum and maximum of whole blocks of a table, so that an interval costs at most 2 + n/BLOCK blocks. */
enum { BLOCK = 256, BLOCKS = 65536 / BLOCK };
typedef struct {
  const qv_table *t;
  qv_itv block[BLOCKS];
} table_index;

static qv_itv table_scan(const table_index *ti, uint32_t i, uint32_t last) {
  qv_itv v = {ti->t->t[i], ti->t->t[i]};
  while (i <= last) {
    bool whole = i % BLOCK == 0 && last - i >= BLOCK - 1;
    v = qv_itv_hull(v, whole ? ti->block[i / BLOCK] : (qv_itv){ti->t->t[i], ti->t->t[i]});
    i += whole ? BLOCK : 1;
  }
  return v;
}

static qv_status run_table(ctx *c, const qv_node *n) {
  const qv_table *t = &n->u.table;
  const qv_ranges *x = in_range(c, n, 0);
  qv_ranges *y = &c->out->tensor[n->out];
  table_index ti = {.t = t};
  for (uint32_t i = 0; i < t->n; i++) {
    qv_itv v = {t->t[i], t->t[i]};
    ti.block[i / BLOCK] = i % BLOCK == 0 ? v : qv_itv_hull(ti.block[i / BLOCK], v);
  }
  if (!alloc_form(c, y, (qv_form){x->n, x->inner})) return no_memory(c, n);
  for (uint32_t q = 0; q < x->n; q++) y->itv[q] = table_scan(&ti, (uint32_t)(x->itv[q].lo - t->lo), (uint32_t)(x->itv[q].hi - t->lo));
  /* the extremes may lie inside the interval, so corners do not suffice */
  c->out->reach[n->out] = in_reach(c, n, 0) == QV_REACH_ALL ? QV_REACH_CORNERS : QV_REACH_HULL;
  return QV_OK;
}

/* Exact per channel. Where the pieces met by an interval are monotone, corners go to corners; else the extremes may lie inside. */
static qv_status run_threshold(ctx *c, const qv_node *n) {
  const qv_threshold *h = &n->u.threshold;
  const qv_ranges *x = in_range(c, n, 0);
  qv_ranges *y = &c->out->tensor[n->out];
  qv_form f = qv_form_common((qv_form){x->n, x->inner}, (qv_form){h->n_par, h->inner}, out_elems(c, n));
  if (!alloc_form(c, y, f)) return no_memory(c, n);
  bool monotone = true;
  for (uint32_t q = 0; q < f.n; q++) {
    size_t e = (size_t)q * f.inner;
    const qv_pieces *p = qv_threshold_pieces(h, e);
    y->itv[q] = qv_pieces_image(p, qv_ranges_at(x, e));
    monotone = monotone && qv_pieces_monotone(p, qv_ranges_at(x, e)) != 0;
  }
  qv_reach r = in_reach(c, n, 0);
  c->out->reach[n->out] = r == QV_REACH_ALL || (r == QV_REACH_CORNERS && monotone) ? QV_REACH_CORNERS : QV_REACH_HULL;
  return QV_OK;
}

/* Monotone, and onto the clamped interval: keeps every level of reach. */
static qv_status run_clamp(ctx *c, const qv_node *n) {
  const qv_ranges *x = in_range(c, n, 0);
  qv_ranges *y = &c->out->tensor[n->out];
  if (!alloc_form(c, y, (qv_form){x->n, x->inner})) return no_memory(c, n);
  for (uint32_t q = 0; q < x->n; q++)
    y->itv[q] = (qv_itv){qv_clamp64(x->itv[q].lo, n->u.clamp.lo, n->u.clamp.hi), qv_clamp64(x->itv[q].hi, n->u.clamp.lo, n->u.clamp.hi)};
  c->out->reach[n->out] = in_reach(c, n, 0);
  return QV_OK;
}

/* The interval itself, or all of the P-bit range where it is left. An interval that crosses from one period of 2^P to the
 * next, or is longer than one, takes both ends of that range. */
static qv_status run_wrap(ctx *c, const qv_node *n) {
  const qv_ranges *x = in_range(c, n, 0);
  qv_ranges *y = &c->out->tensor[n->out];
  int bits = n->u.wrap.bits;
  const qv_itv all = {qv_smin(bits), qv_smax(bits)};
  bool unchanged = true, ends = true;
  if (!alloc_form(c, y, (qv_form){x->n, x->inner})) return no_memory(c, n);
  for (uint32_t q = 0; q < x->n; q++) {
    qv_itv v = x->itv[q];
    bool inside = qv_itv_in(v, all);
    bool crosses = (qv_i128)v.hi - v.lo >= (qv_i128)1 << bits || qv_wrap(v.lo, bits) > qv_wrap(v.hi, bits);
    y->itv[q] = inside ? v : all;
    unchanged = unchanged && inside;
    ends = ends && (inside || crosses);
  }
  qv_reach r = in_reach(c, n, 0);
  c->out->reach[n->out] = unchanged ? r : r == QV_REACH_ALL && ends ? QV_REACH_CORNERS : QV_REACH_HULL;
  return QV_OK;
}

/* ---- SUM and PRODUCT: one channel per interval of the common form ------------------------------------------------------- */

static qv_itv corners(qv_itv x, qv_itv w) {
  qv_itv a = qv_term(x.lo, w), b = qv_term(x.hi, w);
  return qv_itv_hull(a, b);
}

static qv_status run_pointwise(ctx *c, const qv_node *n, qv_acc_bound *b) {
  const qv_acc *a = qv_node_acc(n);
  qv_form f = {1, 1};
  qv_ranges *y = &c->out->tensor[n->out];
  for (uint32_t k = 0; k < n->n_in; k++) f = qv_form_common(f, (qv_form){in_range(c, n, k)->n, in_range(c, n, k)->inner}, out_elems(c, n));
  if (!alloc_form(c, y, f) || !qv_acc_bound_alloc(b, &c->out->arena, a, f.n)) return no_memory(c, n);
  bool harmless = true;
  for (uint32_t q = 0; q < f.n; q++) {
    size_t e = (size_t)q * f.inner;
    qv_seg s = {0};
    if (n->kind == QV_SUM) {
      const qv_sum *p = &n->u.sum;
      for (uint32_t k = 0; k < n->n_in; k++) {
        qv_itv x = qv_ranges_at(in_range(c, n, k), e);
        qv_seg_add(&s, qv_term(p->c[k], (qv_itv){x.lo - p->z[k], x.hi - p->z[k]}));
      }
    } else {
      const qv_product *p = &n->u.product;
      qv_itv x = qv_ranges_at(in_range(c, n, 0), e), w = qv_ranges_at(in_range(c, n, 1), e);
      qv_seg_add(&s, corners((qv_itv){x.lo - p->z0, x.hi - p->z0}, (qv_itv){w.lo - p->z1, w.hi - p->z1}));
    }
    qv_acc_one one = {0};
    qv_acc_one_set(&one, a, &s, 0);
    qv_acc_bound_join(b, q, &one, true);
    y->itv[q] = qv_acc_one_machine(a, &one);
    harmless = harmless && qv_acc_one_harmless(a, a->bits, &one);
  }
  b->k = n->kind == QV_SUM ? n->n_in : 1;
  b->attained = distinct_inputs(c, n);
  b->exact = b->attained && independent(c, n);
  c->out->reach[n->out] = b->exact && harmless ? QV_REACH_CORNERS : QV_REACH_HULL;
  return QV_OK;
}

/* ---- MAX --------------------------------------------------------------------------------------------------------------- */

/* Maximum over the taps inside at one position; v holds all elements. */
static qv_itv max_at(const qv_window *g, const qv_itv *v, uint32_t b, uint32_t oy, uint32_t ox, uint32_t ch) {
  qv_axis r = qv_axis_at(oy, g->ih, g->kh, g->sh, g->dh, g->pt), c = qv_axis_at(ox, g->iw, g->kw, g->sw, g->dw, g->pl);
  qv_itv m = {INT64_MIN, INT64_MIN};
  for (uint32_t ky = r.t0; ky < r.t1; ky++)
    for (uint32_t kx = c.t0; kx < c.t1; kx++) {
      size_t y = (size_t)(r.at + (int64_t)ky * g->dh), x = (size_t)(c.at + (int64_t)kx * g->dw);
      qv_itv t = v[(((size_t)b * g->ih + y) * g->iw + x) * g->ic + ch];
      m = (qv_itv){qv_max64(m.lo, t.lo), qv_max64(m.hi, t.hi)};
    }
  return m;
}

/* Every position has a tap inside (qv_ir_check), so with one interval per channel the output has the same one. */
static qv_status run_max(ctx *c, const qv_node *n) {
  const qv_window *g = &n->u.max;
  const qv_ranges *x = in_range(c, n, 0);
  qv_ranges *y = &c->out->tensor[n->out];
  size_t elems = qv_elems(&c->net->tensor[n->in[0]]), no = out_elems(c, n);
  if (!alloc_form(c, y, (qv_form){g->ic, 1})) return no_memory(c, n);
  bool tight = qv_ranges_by_channel(y->itv, x, elems, g->ic), lossless;
  if (!tight && elems <= QV_FORM_ELEMS && no <= QV_FORM_ELEMS && qv_range_afford(c, (uint64_t)no * g->kh * g->kw)) {
    qv_itv *v = QV_NEW(&c->tmp, elems, qv_itv), *o = QV_NEW(&c->tmp, no, qv_itv);
    if (v == NULL || o == NULL) return no_memory(c, n);
    qv_ranges_expand(v, x, elems);
    size_t e = 0;
    for (uint32_t b = 0; b < g->n; b++)
      for (uint32_t oy = 0; oy < g->oh; oy++)
        for (uint32_t ox = 0; ox < g->ow; ox++)
          for (uint32_t ch = 0; ch < g->oc; ch++) o[e++] = max_at(g, v, b, oy, ox, ch);
    if (!qv_ranges_pack(y, &lossless, &c->out->arena, o, no)) return no_memory(c, n);
    tight = true;
  }
  bool corner = tight && in_reach(c, n, 0) >= QV_REACH_CORNERS && qv_window_disjoint(g);
  c->out->reach[n->out] = corner ? QV_REACH_CORNERS : QV_REACH_HULL;
  return QV_OK;
}

/* ---- INDEX ------------------------------------------------------------------------------------------------------------- */

/* Output channel ch (last dimension) from the channels of the inputs. Every form but some transpositions moves the last
 * coordinate on its own, so this is exact where the inputs depend on the channel only and no two things meet in one output
 * channel; *lossless is cleared otherwise. u[k] = input k by channel. */
static qv_itv index_channel(const ctx *c, const qv_node *n, qv_itv *const *u, uint32_t ch, bool *lossless) {
  const qv_index *ix = &n->u.index;
  const qv_tensor *x = &c->net->tensor[n->in[0]], *y = &c->net->tensor[n->out];
  uint32_t last = y->rank - 1;
  switch (ix->form) {
  case QV_IX_PAD: {
    qv_itv value = {ix->value, ix->value};
    int64_t at = (int64_t)ch - ix->a[last];
    if (at < 0 || at >= x->dim[last]) return value;
    bool border = false;
    for (uint32_t d = 0; d < last; d++) border = border || ix->a[d] != 0 || ix->b[d] != 0;
    if (!border) return u[0][at];
    *lossless = false;
    return qv_itv_hull(u[0][at], value);
  }
  case QV_IX_CONCAT: {
    uint32_t at = ch;
    qv_itv v = u[0][ix->axis == last ? 0 : ch];
    for (uint32_t k = 0; k < n->n_in; k++) {
      uint32_t size = c->net->tensor[n->in[k]].dim[last];
      if (ix->axis == last) {
        if (at < size) return u[k][at];
        at -= size;
      } else if (k > 0) {
        *lossless = *lossless && v.lo == u[k][ch].lo && v.hi == u[k][ch].hi;
        v = qv_itv_hull(v, u[k][ch]);
      }
    }
    return v;
  }
  case QV_IX_SLICE: return u[0][ix->a[last] + (int64_t)ch * ix->b[last]];
  case QV_IX_GATHER: return u[0][ix->axis == last ? ix->g[ch] : ch];
  case QV_IX_BROADCAST: return u[0][x->rank == 0 || x->dim[x->rank - 1] == 1 ? 0 : ch];
  case QV_IX_TRANSPOSE: return u[0][ch]; /* the caller has excluded a moved last dimension */
  case QV_IX_RESHAPE: break;
  }
  return u[0][ch];
}

/* Output per channel of the last dimension. *lossless as in index_channel. False: no memory. */
static bool index_by_channel(ctx *c, const qv_node *n, qv_ranges *y, bool *lossless) {
  const qv_tensor *t = &c->net->tensor[n->out];
  uint32_t channels = t->dim[t->rank - 1];
  qv_itv **u = QV_NEW(&c->tmp, n->n_in, qv_itv *);
  *y = (qv_ranges){channels, 1, QV_NEW(&c->tmp, channels, qv_itv)};
  if (u == NULL || y->itv == NULL) return false;
  *lossless = true;
  for (uint32_t k = 0; k < n->n_in; k++) {
    const qv_tensor *x = &c->net->tensor[n->in[k]];
    uint32_t d = x->rank == 0 ? 1 : x->dim[x->rank - 1];
    if ((u[k] = QV_NEW(&c->tmp, d, qv_itv)) == NULL) return false;
    *lossless = qv_ranges_by_channel(u[k], in_range(c, n, k), qv_elems(x), d) && *lossless;
  }
  for (uint32_t ch = 0; ch < channels; ch++) y->itv[ch] = index_channel(c, n, u, ch, lossless);
  return true;
}

/* Per element through the map of the node. *once: no source element is read twice. */
static bool index_by_element(ctx *c, const qv_node *n, qv_ranges *y, bool *once) {
  size_t ne = out_elems(c, n);
  bool lossless;
  qv_index_src *map = QV_NEW(&c->tmp, ne, qv_index_src);
  qv_itv *v = QV_NEW(&c->tmp, ne, qv_itv);
  bool **used = QV_NEW(&c->tmp, n->n_in, bool *);
  if (map == NULL || v == NULL || used == NULL) return false;
  for (uint32_t k = 0; k < n->n_in; k++)
    if ((used[k] = QV_NEW(&c->tmp, qv_elems(&c->net->tensor[n->in[k]]), bool)) == NULL) return false;
  qv_index_map(map, c->net, n);
  *once = true;
  for (size_t e = 0; e < ne; e++) {
    int32_t off = map[e].off;
    if (map[e].src == QV_NONE) {
      v[e] = (qv_itv){off, off};
      continue;
    }
    v[e] = qv_ranges_at(in_range(c, n, map[e].src), (size_t)off);
    *once = *once && !used[map[e].src][off];
    used[map[e].src][off] = true;
  }
  return qv_ranges_pack(y, &lossless, &c->out->arena, v, ne);
}

/* A pad value that lies in every interval it meets widens nothing but the border's own elements: then intervals per channel
 * are kept, unless the claim that bounds are attained can be kept instead at little cost. */
enum { PAD_BY_ELEMENT = 32768 };
static bool pad_contained(const ctx *c, const qv_node *n) {
  if (n->u.index.form != QV_IX_PAD) return false;
  const qv_ranges *x = in_range(c, n, 0);
  for (uint32_t q = 0; q < x->n; q++)
    if (n->u.index.value < x->itv[q].lo || n->u.index.value > x->itv[q].hi) return false;
  return true;
}

static bool separable(const ctx *c, const qv_node *n) {
  const qv_tensor *y = &c->net->tensor[n->out];
  const qv_index *ix = &n->u.index;
  if (y->rank == 0 || ix->form == QV_IX_RESHAPE) return false;
  return ix->form != QV_IX_TRANSPOSE || ix->a[y->rank - 1] == (int32_t)y->rank - 1;
}

/* Repeats or drops nothing: the output is the input's elements in another order, so every level of reach is kept. Without
 * the map this is decided for the forms that never repeat. */
static bool never_repeats(qv_index_form f) {
  switch (f) {
  case QV_IX_RESHAPE:
  case QV_IX_TRANSPOSE:
  case QV_IX_PAD:
  case QV_IX_CONCAT:
  case QV_IX_SLICE: return true;
  case QV_IX_BROADCAST:
  case QV_IX_GATHER: return false;
  }
  return false;
}

static qv_reach index_reach(const ctx *c, const qv_node *n, bool once) {
  qv_reach r = QV_REACH_ALL;
  for (uint32_t k = 0; k < n->n_in; k++)
    if (in_reach(c, n, k) < r) r = in_reach(c, n, k);
  return once && independent(c, n) ? r : QV_REACH_HULL;
}

static qv_status run_index(ctx *c, const qv_node *n) {
  qv_ranges *y = &c->out->tensor[n->out];
  size_t ne = out_elems(c, n);
  bool once = never_repeats(n->u.index.form), lossless = false, small = ne <= QV_FORM_ELEMS;
  for (uint32_t k = 0; k < n->n_in; k++) small = small && qv_elems(&c->net->tensor[n->in[k]]) <= QV_FORM_ELEMS;
  if (qv_index_is_identity(c->net, n)) {
    *y = *in_range(c, n, 0);
    c->out->reach[n->out] = in_reach(c, n, 0);
    return QV_OK;
  }
  if (separable(c, n)) {
    qv_ranges by = {0};
    if (!index_by_channel(c, n, &by, &lossless)) return no_memory(c, n);
    bool border_only = pad_contained(c, n) && (ne > PAD_BY_ELEMENT || in_reach(c, n, 0) == QV_REACH_HULL);
    if (lossless || border_only || !small) {
      bool packed;
      if (!qv_ranges_pack(y, &packed, &c->out->arena, by.itv, by.n)) return no_memory(c, n);
      y->inner = y->n == 1 ? 1 : y->inner;
      c->out->reach[n->out] = lossless ? index_reach(c, n, once) : QV_REACH_HULL;
      return QV_OK;
    }
  }
  if (small) {
    if (!index_by_element(c, n, y, &once)) return no_memory(c, n);
    c->out->reach[n->out] = index_reach(c, n, once);
    return QV_OK;
  }
  /* a large transposition: one hull */
  if (!alloc_form(c, y, (qv_form){1, 1})) return no_memory(c, n);
  for (uint32_t q = 0; q < in_range(c, n, 0)->n; q++)
    y->itv[0] = q == 0 ? in_range(c, n, 0)->itv[0] : qv_itv_hull(y->itv[0], in_range(c, n, 0)->itv[q]);
  return QV_OK;
}

/* ---- the net ----------------------------------------------------------------------------------------------------------- */

/* One interval for the whole tensor. */
static qv_status run_declared(ctx *c, uint32_t t, qv_itv v) {
  qv_ranges *y = &c->out->tensor[t];
  if (!alloc_form(c, y, (qv_form){1, 1})) return QV_FAIL(c->err, QV_E_NOMEM, "ranges of '%s'", c->net->tensor[t].name);
  y->itv[0] = v;
  return QV_OK;
}

static qv_status run_node(ctx *c, const qv_node *n, qv_acc_bound *b) {
  switch (n->kind) {
  case QV_AFFINE: return qv_range_affine(c, n, b);
  case QV_STEP: return run_step(c, n);
  case QV_TABLE: return run_table(c, n);
  case QV_THRESHOLD: return run_threshold(c, n);
  case QV_SUM:
  case QV_PRODUCT: return run_pointwise(c, n, b);
  case QV_MAX: return run_max(c, n);
  case QV_INDEX: return run_index(c, n);
  case QV_CLAMP: return run_clamp(c, n);
  case QV_WRAP: return run_wrap(c, n);
  case QV_TAIL: return run_declared(c, n->out, (qv_itv){n->u.tail.lo, n->u.tail.hi});
  case QV_OPAQUE: return run_declared(c, n->out, (qv_itv){c->net->tensor[n->out].lo, c->net->tensor[n->out].hi});
  case QV_KINDS: break;
  }
  return QV_FAIL(c->err, QV_E_INTERNAL, "node kind %d", (int)n->kind);
}

/* Both the computed intervals and the declared range hold for every execution, so their intersection does; it keeps the
 * guarantees that qv_ir_check derived from the declared range. They are disjoint only if there is no execution at all (every
 * input traps); then any interval will do. */
static void narrow(qv_ranges *r, const qv_tensor *t) {
  for (uint32_t q = 0; q < r->n; q++) r->itv[q] = (qv_itv){qv_clamp64(r->itv[q].lo, t->lo, t->hi), qv_clamp64(r->itv[q].hi, t->lo, t->hi)};
}

/* Facts from elsewhere (linear bounds) about the output of an affine node, one interval per output channel. Where they
 * cut `final`, its ends are no longer attained for the box of the node's inputs. */
static qv_status apply_known(ctx *c, const qv_node *n, qv_acc_bound *b) {
  const qv_ranges *k = &c->known[n->out];
  qv_ranges *y = &c->out->tensor[n->out], z;
  if (!alloc_form(c, &z, qv_form_common((qv_form){y->n, y->inner}, (qv_form){k->n, k->inner}, out_elems(c, n)))) return no_memory(c, n);
  for (uint32_t q = 0; q < z.n; q++) {
    size_t e = (size_t)q * z.inner;
    qv_itv v = qv_ranges_at(y, e), w = qv_ranges_at(k, e);
    z.itv[q] = (qv_itv){qv_clamp64(v.lo, w.lo, w.hi), qv_clamp64(v.hi, w.lo, w.hi)};
  }
  *y = z;
  for (uint32_t o = 0; o < b->n; o++) {
    qv_itv w = qv_ranges_at(k, o);
    if (qv_itv_in(b->final[o], w)) continue;
    b->final[o] = (qv_itv){qv_clamp64(b->final[o].lo, w.lo, w.hi), qv_clamp64(b->final[o].hi, w.lo, w.hi)};
    b->attained = b->exact = false;
    c->out->reach[n->out] = QV_REACH_HULL;
  }
  return QV_OK;
}

static qv_status run_nodes(ctx *c) {
  qv_status st = QV_OK;
  for (uint32_t k = 0; st == QV_OK && k < c->net->n_nodes; k++) {
    const qv_node *n = &c->net->node[k];
    qv_acc_bound *b = qv_node_acc(n) != NULL ? &c->out->acc[c->out->n_acc++] : NULL;
    for (uint32_t i = 0; i < n->n_in; i++) c->deps[n->out] |= c->deps[n->in[i]];
    if (b != NULL) b->node = k;
    st = run_node(c, n, b);
    if (st == QV_OK) narrow(&c->out->tensor[n->out], &c->net->tensor[n->out]);
    if (st == QV_OK && n->kind == QV_AFFINE && c->known != NULL && c->known[n->out].n > 0) st = apply_known(c, n, b);
    if (st == QV_OK && b != NULL) qv_acc_bound_finish(b);
    qv_arena_clear(&c->tmp);
  }
  return st;
}

static qv_status load_constant(ctx *c, uint32_t t) {
  const qv_tensor *x = &c->net->tensor[t];
  size_t ne = qv_elems(x);
  bool lossless = true;
  qv_itv *v = QV_NEW(&c->tmp, ne, qv_itv);
  if (v != NULL)
    for (size_t e = 0; e < ne; e++) v[e] = (qv_itv){x->data[e], x->data[e]};
  qv_status st = QV_OK;
  if (v == NULL || !qv_ranges_pack(&c->out->tensor[t], &lossless, &c->out->arena, v, ne))
    st = QV_FAIL(c->err, QV_E_NOMEM, "ranges of '%s'", x->name);
  c->out->reach[t] = lossless ? QV_REACH_ALL : QV_REACH_HULL;
  qv_arena_clear(&c->tmp);
  return st;
}

static qv_status load_input(ctx *c, uint32_t i, const qv_ranges *r) {
  uint32_t t = c->net->in[i].tensor;
  const qv_tensor *x = &c->net->tensor[t];
  c->out->reach[t] = QV_REACH_ALL;
  c->deps[t] = (uint64_t)1 << (i < 63 ? i : 63);
  if (r == NULL) return run_declared(c, t, (qv_itv){x->lo, x->hi});
  if (r->n == 0 || r->inner == 0 || r->itv == NULL || (r->n > 1 && qv_elems(x) % ((uint64_t)r->n * r->inner) != 0))
    return QV_FAIL(c->err, QV_E_ARG, "input '%s': the domain is empty or does not tile the tensor", x->name);
  qv_ranges *y = &c->out->tensor[t];
  if (!alloc_form(c, y, (qv_form){r->n, r->inner})) return QV_FAIL(c->err, QV_E_NOMEM, "ranges of '%s'", x->name);
  for (uint32_t q = 0; q < r->n; q++) {
    y->itv[q] = r->itv[q];
    if (r->itv[q].lo > r->itv[q].hi || !qv_itv_in(r->itv[q], (qv_itv){x->lo, x->hi}))
      return QV_FAIL(c->err, QV_E_ARG, "input '%s': the domain [%lld,%lld] is empty or leaves [%lld,%lld]", x->name,
                     (long long)r->itv[q].lo, (long long)r->itv[q].hi, (long long)x->lo, (long long)x->hi);
  }
  return QV_OK;
}

qv_status qv_range_run(qv_range_result *out, const qv_net *net, const qv_domain *dom, qv_err *err) {
  *out = (qv_range_result){0};
  ctx c = {.net = net, .out = out, .effort = dom != NULL && dom->effort != 0 ? dom->effort : QV_RANGE_EFFORT, .err = err};
  uint32_t n_acc = 0;
  qv_status st = QV_OK;
  qv_arena own = {0};
  if (dom != NULL) c.known = dom->known;
  if (dom != NULL) out->arena.limit = c.tmp.limit = dom->memory;
  for (uint32_t k = 0; k < net->n_nodes; k++) n_acc += qv_node_acc(&net->node[k]) != NULL;
  out->tensor = QV_NEW(&out->arena, net->n_tensors, qv_ranges);
  out->reach = QV_NEW(&out->arena, net->n_tensors, qv_reach);
  out->acc = QV_NEW(&out->arena, n_acc, qv_acc_bound);
  c.deps = QV_NEW(&own, net->n_tensors, uint64_t);
  if (out->tensor == NULL || out->reach == NULL || out->acc == NULL || c.deps == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "ranges of %u tensors", net->n_tensors);
    goto done;
  }
  for (uint32_t t = 0; t < net->n_tensors; t++)
    if (net->tensor[t].data != NULL) QV_TRY(load_constant(&c, t));
  for (uint32_t i = 0; i < net->n_in; i++) QV_TRY(load_input(&c, i, dom != NULL && dom->in != NULL ? dom->in[i] : NULL));
  QV_TRY(run_nodes(&c));
done:
  qv_arena_clear(&own);
  qv_arena_clear(&c.tmp);
  return st;
}

void qv_range_clear(qv_range_result *r) {
  qv_arena_clear(&r->arena);
  *r = (qv_range_result){0};
}
