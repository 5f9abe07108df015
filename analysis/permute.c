#include "analysis/permute.h"

#include <string.h>

#include "analysis/fit.h"
#include "analysis/match.h"
#include "analysis/range_form.h"
#include "ir/base/rng.h"

enum { MOST = 4096 }; /* channels: the graph has channels^2 bytes */

static size_t terms_per_output(const qv_window *g) { return (size_t)g->kh * g->kw * (g->ic / g->groups); }

static bool leaves_axis(uint32_t o, uint32_t in, uint32_t k, uint32_t stride, uint32_t dil, uint32_t pad) {
  return pad > 0 || (uint64_t)(o - 1) * stride + (uint64_t)(k - 1) * dil >= in;
}

/* ---- which channels fit together -------------------------------------------------------------------------------------------- */

typedef struct {
  const qv_affine *a;
  uint32_t n;      /* channels */
  size_t taps;
  qv_itv *x;       /* [n] factor of the weight where the tap is inside the image; a channel of zeros: 0 */
  bool padded;     /* a tap can be padding: */
  int64_t pad;     /* its factor, of every channel, zeros too */
  int32_t *w;      /* [n + 1][oc * taps] weights of each channel; the last one: zeros' (the weight zero points) */
} fitting;

static bool fits16(int64_t lo, int64_t hi) { return lo >= INT16_MIN && hi <= INT16_MAX; }

/* Channels i and j in one pair, at every tap and for every output channel; j = n: a channel of zeros. A padded tap is padding for
 * both. The channels' activations vary independently, so for the ranges at hand this is exact. */
static bool fit_together(const fitting *f, uint32_t i, uint32_t j) {
  size_t all = f->a->win.oc * f->taps;
  const int32_t *u = f->w + i * all, *v = f->w + j * all;
  qv_itv x = f->x[i], y = j < f->n ? f->x[j] : (qv_itv){0, 0};
  for (size_t k = 0; k < all; k++) {
    int64_t a = u[k] * x.lo, b = u[k] * x.hi, c = v[k] * y.lo, d = v[k] * y.hi;
    if (!fits16(qv_min64(a, b) + qv_min64(c, d), qv_max64(a, b) + qv_max64(c, d))) return false;
    int64_t p = f->pad * ((int64_t)u[k] + v[k]);
    if (f->padded && !fits16(p, p)) return false;
  }
  return true;
}

static bool load(fitting *f, qv_arena *tmp, const qv_affine *a, const qv_ranges *x, size_t elems) {
  const qv_window *g = &a->win;
  *f = (fitting){.a = a, .n = g->ic, .taps = (size_t)g->kh * g->kw};
  f->padded = leaves_axis(g->oh, g->ih, g->kh, g->sh, g->dh, g->pt) || leaves_axis(g->ow, g->iw, g->kw, g->sw, g->dw, g->pl);
  f->pad = a->acc.raw ? a->x_zp : 0;
  f->x = QV_NEW(tmp, f->n, qv_itv);
  f->w = QV_NEW(tmp, (size_t)(f->n + 1) * g->oc * f->taps, int32_t);
  if (f->x == NULL || f->w == NULL) return false;
  (void)qv_ranges_by_channel(f->x, x, elems, g->ic);
  int64_t z = a->acc.raw ? 0 : a->x_zp;
  for (uint32_t c = 0; c < f->n; c++) f->x[c] = (qv_itv){f->x[c].lo - z, f->x[c].hi - z};
  for (uint32_t o = 0; o < g->oc; o++) {
    int32_t wz = a->w_zp[a->n_w_zp == 1 ? 0 : o];
    for (size_t t = 0; t < f->taps; t++)
      for (uint32_t c = 0; c <= f->n; c++) {
        int32_t v = c < f->n ? a->w[(o * f->taps + t) * f->n + c] : wz;
        f->w[((size_t)c * g->oc + o) * f->taps + t] = v - (a->acc.raw ? 0 : wz);
      }
  }
  return true;
}

/* Channel or zeros at each place: pairs of the matching, then the others with a zero each. In a window of one tap the last place
 * may stay without a partner, which is as good as zeros. False: a channel does not even fit beside zeros. */
static bool lay_out(qv_order_found *out, const fitting *f, const uint32_t *mate) {
  uint32_t at = 0, alone = 0;
  for (uint32_t c = 0; c < f->n; c++) {
    if (mate[c] == QV_MATCH_NONE) {
      if (!fit_together(f, c, f->n)) return false;
      alone++;
    } else if (c < mate[c]) {
      out->from[at++] = c;
      out->from[at++] = mate[c];
    }
  }
  out->added = alone - (alone > 0 && f->taps == 1);
  for (uint32_t c = 0, left = out->added; c < f->n; c++) {
    if (mate[c] != QV_MATCH_NONE) continue;
    out->from[at++] = c;
    if (left > 0) out->from[at++] = QV_NONE, left--;
  }
  return true;
}

static qv_status order_pairs(qv_order_found *out, qv_arena *arena, const qv_affine *a, const qv_ranges *x, size_t elems, qv_err *err) {
  qv_arena tmp = {0};
  qv_status st = QV_OK;
  fitting f;
  out->from = QV_NEW(arena, 2 * (size_t)a->win.ic, uint32_t);
  uint8_t *edge = QV_NEW(&tmp, (size_t)a->win.ic * a->win.ic, uint8_t);
  uint32_t *mate = QV_NEW(&tmp, a->win.ic, uint32_t);
  if (!load(&f, &tmp, a, x, elems) || edge == NULL || mate == NULL || out->from == NULL) QV_TRY(QV_FAIL(err, QV_E_NOMEM, "order of channels"));
  for (uint32_t i = 0; i < f.n; i++)
    for (uint32_t j = 0; j < i; j++) edge[(size_t)i * f.n + j] = edge[(size_t)j * f.n + i] = fit_together(&f, i, j);
  QV_TRY(qv_match(mate, edge, f.n, err));
  out->found = lay_out(out, &f, mate);
done:
  qv_arena_clear(&tmp);
  return st;
}

/* ---- lanes -------------------------------------------------------------------------------------------------------------------- */

/* Channels at places; place p belongs to lane p mod lanes at every tap. */
typedef struct {
  const qv_fit *f;
  uint32_t places, lanes, oc;
  uint32_t *at;         /* [places] channel, QV_NONE = zeros */
  int64_t *up, *down;   /* [ic * oc] what a channel adds to the largest and takes from the smallest sum of an output channel */
  int64_t *top, *bottom; /* [lanes * oc] sums of the lanes */
} spreading;

/* Of one lane, over all output channels, with channel `out` replaced by `in` (both can be QV_NONE): how far it leaves the stage. */
static int64_t excess(const spreading *s, uint32_t lane, uint32_t out, uint32_t in) {
  int64_t sum = 0;
  for (uint32_t o = 0; o < s->oc; o++) {
    int64_t t = s->top[lane * s->oc + o], b = s->bottom[lane * s->oc + o];
    if (out != QV_NONE) t -= s->up[(size_t)out * s->oc + o], b -= s->down[(size_t)out * s->oc + o];
    if (in != QV_NONE) t += s->up[(size_t)in * s->oc + o], b += s->down[(size_t)in * s->oc + o];
    sum += qv_max64(0, t - s->f->limit.hi) + qv_max64(0, b + s->f->limit.lo);
  }
  return sum;
}

static void put(spreading *s, uint32_t p, uint32_t c) {
  for (uint32_t k = 0; k < 2; k++) { /* the old one out, the new one in */
    uint32_t who = k == 0 ? s->at[p] : c;
    for (uint32_t o = 0; who != QV_NONE && o < s->oc; o++) {
      s->top[p % s->lanes * s->oc + o] += (k == 0 ? -1 : 1) * s->up[(size_t)who * s->oc + o];
      s->bottom[p % s->lanes * s->oc + o] += (k == 0 ? -1 : 1) * s->down[(size_t)who * s->oc + o];
    }
  }
  s->at[p] = c;
}

/* Is the sum over all lanes, of some output channel, more than all of them hold? */
static bool too_much(const spreading *s) {
  for (uint32_t o = 0; o < s->oc; o++) {
    qv_i128 t = 0, b = 0;
    for (uint32_t l = 0; l < s->lanes; l++) t += s->top[l * s->oc + o], b += s->bottom[l * s->oc + o];
    if (t > (qv_i128)s->lanes * s->f->limit.hi || b > -(qv_i128)s->lanes * s->f->limit.lo) return true;
  }
  return false;
}

/* Exchange places as long as that helps, at random places; deterministic. */
static bool spread_channels(spreading *s) {
  qv_rng r = {1};
  for (uint32_t k = 0; k < 400 * s->places; k++) {
    int64_t total = 0;
    if (k % s->places == 0) {
      for (uint32_t l = 0; l < s->lanes; l++) total += excess(s, l, QV_NONE, QV_NONE);
      if (total == 0) return true;
    }
    uint32_t p = (uint32_t)qv_rng_range(&r, 0, s->places - 1), q = (uint32_t)qv_rng_range(&r, 0, s->places - 1);
    uint32_t lp = p % s->lanes, lq = q % s->lanes, a = s->at[p], b = s->at[q];
    if (lp == lq) continue;
    if (excess(s, lp, a, b) + excess(s, lq, b, a) > excess(s, lp, QV_NONE, QV_NONE) + excess(s, lq, QV_NONE, QV_NONE)) continue;
    put(s, p, b);
    put(s, q, a);
  }
  return false;
}

static qv_status order_lanes(qv_order_found *out, qv_arena *arena, const qv_affine *a, const qv_ranges *x, size_t elems, qv_err *err) {
  const qv_window *g = &a->win;
  qv_arena tmp = {0};
  qv_fit f;
  qv_status st;
  QV_TRY(qv_fit_new(&f, &tmp, a, x, elems, err));
  spreading s = {.f = &f, .places = g->ic, .lanes = a->acc.lanes, .oc = g->oc};
  if (f.k > g->ic) s.places += (s.lanes - g->ic % s.lanes) % s.lanes; /* so that every tap begins in lane 0 */
  if (s.places > g->ic && f.raw) /* zeros are weights of the zero point; only 0 adds nothing to raw products of padding */
    for (uint32_t i = 0; i < a->n_w_zp; i++)
      if (a->w_zp[i] != 0) goto done;
  s.at = out->from = QV_NEW(arena, s.places, uint32_t);
  s.up = QV_NEW(&tmp, (size_t)g->ic * s.oc, int64_t);
  s.down = QV_NEW(&tmp, (size_t)g->ic * s.oc, int64_t);
  s.top = QV_NEW(&tmp, (size_t)s.lanes * s.oc, int64_t);
  s.bottom = QV_NEW(&tmp, (size_t)s.lanes * s.oc, int64_t);
  if (s.at == NULL || s.up == NULL || s.down == NULL || s.top == NULL || s.bottom == NULL) QV_TRY(QV_FAIL(err, QV_E_NOMEM, "order of channels"));
  for (uint32_t o = 0; o < s.oc; o++)
    for (size_t i = 0; i < f.k; i++) {
      qv_least_term t = qv_fit_term(&f, a->w, o, i);
      s.up[i % g->ic * s.oc + o] += t.up * t.most;
      s.down[i % g->ic * s.oc + o] += t.down * t.most;
    }
  for (uint32_t p = 0; p < s.places; p++) s.at[p] = QV_NONE;
  for (uint32_t c = 0; c < g->ic; c++) put(&s, c, c);
  out->impossible = too_much(&s);
  out->added = s.places - g->ic;
  out->found = !out->impossible && spread_channels(&s);
done:
  qv_arena_clear(&tmp);
  return st;
}

qv_status qv_order_find(qv_order_found *out, qv_arena *arena, const qv_net *net, const qv_proof *proof, uint32_t node, qv_err *err) {
  const qv_node *n = &net->node[node];
  const qv_affine *a = &n->u.affine;
  *out = (qv_order_found){0};
  if (n->kind != QV_AFFINE || a->acc.order != QV_ORDER_KERNEL || a->win.groups != 1 || a->win.ic > MOST) return QV_OK;
  const qv_ranges *x = &proof->range.tensor[n->in[0]];
  size_t elems = qv_elems(&net->tensor[n->in[0]]);
  out->channels = a->win.ic;
  if (a->acc.mode == QV_ACC_PAIR16 && a->acc.pairing == QV_PAIR_ADJACENT) return order_pairs(out, arena, a, x, elems, err);
  if (a->acc.mode == QV_ACC_LANES && a->acc.spill == 0) return order_lanes(out, arena, a, x, elems, err);
  return QV_OK;
}

/* ---- the net in that order --------------------------------------------------------------------------------------------------- */

typedef struct {
  qv_net *net;
  const qv_node *old; /* the layer */
  uint32_t at;        /* tensor that it reads, so far */
} builder;

static bool name_taken(const qv_net *net, const char *name) {
  for (uint32_t i = 0; i < net->n_tensors; i++)
    if (strcmp(net->tensor[i].name, name) == 0) return true;
  return false;
}

/* A data movement of b->at into a tensor of these dimensions. */
static bool move(builder *b, const char *what, const qv_index *ix, uint32_t rank, const uint32_t *dim) {
  qv_net *net = b->net;
  qv_tensor y = net->tensor[b->at];
  const char *name = qv_arena_printf(&net->arena, "%s/%s", y.name, what);
  while (name != NULL && name_taken(net, name)) name = qv_arena_printf(&net->arena, "%s'", name);
  uint32_t *in = QV_NEW(&net->arena, 1, uint32_t);
  if (name == NULL || in == NULL) return false;
  y.name = name;
  y.data = NULL;
  y.rank = rank;
  for (uint32_t d = 0; d < rank; d++) y.dim[d] = dim[d];
  uint32_t t = qv_net_add_tensor(net, &y);
  *in = b->at;
  b->at = t;
  const qv_node n = {.kind = QV_INDEX, .op = b->old->op, .layer = b->old->layer, .n_in = 1, .in = in, .out = t, .u.index = *ix};
  return t != QV_NONE && qv_net_add_node(net, &n) != QV_NONE;
}

static bool add_moves(builder *b, const qv_order_found *f) {
  qv_net *net = b->net;
  const qv_window *g = &b->old->u.affine.win;
  const qv_tensor *x = &net->tensor[b->at];
  uint32_t dim[QV_MAX_RANK] = {0}, rank = x->rank, axis, places = f->channels + f->added;
  memcpy(dim, x->dim, sizeof dim);
  if (rank == 0 || dim[rank - 1] != f->channels) {
    const uint32_t view[4] = {g->n, g->ih, g->iw, g->ic};
    if (!move(b, "view", &(qv_index){.form = QV_IX_RESHAPE}, 4, view)) return false;
    rank = 4;
    memcpy(dim, view, sizeof view);
  }
  axis = rank - 1;
  uint32_t *from = QV_NEW(&net->arena, places, uint32_t);
  if (from == NULL) return false;
  for (uint32_t p = 0, zeros = f->channels; p < places; p++) from[p] = f->from[p] != QV_NONE ? f->from[p] : zeros++;
  dim[axis] = places;
  qv_index pad = {.form = QV_IX_PAD};
  pad.b[axis] = (int32_t)f->added;
  if (f->added > 0 && !move(b, "zeros", &pad, rank, dim)) return false;
  return move(b, "order", &(qv_index){.form = QV_IX_GATHER, .axis = axis, .g = from}, rank, dim);
}

static bool reorder(qv_net *net, qv_node *n, const qv_order_found *f) {
  qv_affine *a = &n->u.affine;
  size_t places = f->channels + f->added, rows = terms_per_output(&a->win) / f->channels;
  int32_t *w = QV_NEW(&net->arena, a->win.oc * rows * places, int32_t);
  if (w == NULL) return false;
  for (uint32_t o = 0; o < a->win.oc; o++)
    for (size_t r = o * rows; r < (o + 1) * rows; r++)
      for (size_t p = 0; p < places; p++)
        w[r * places + p] = f->from[p] != QV_NONE ? a->w[r * f->channels + f->from[p]] : a->w_zp[a->n_w_zp == 1 ? 0 : o];
  a->w = w;
  a->win.ic = (uint32_t)places;
  return true;
}

qv_status qv_order_apply(qv_net *net, uint32_t *node, const qv_order_found *f, qv_err *err) {
  const qv_node *old = net->node;
  uint32_t n_old = net->n_nodes, at = *node;
  qv_node layer = old[at];
  uint32_t *in = QV_NEW(&net->arena, 1, uint32_t);
  builder b = {net, &old[at], layer.in[0]};
  bool ok = in != NULL && reorder(net, &layer, f);
  net->n_nodes = 0; /* a new list; the old one stays in the arena */
  net->node = NULL;
  for (uint32_t k = 0; ok && k < n_old; k++) {
    if (k == at) {
      ok = add_moves(&b, f);
      if (!ok) break;
      *in = b.at;
      layer.in = in;
      *node = net->n_nodes;
    }
    ok = qv_net_add_node(net, k == at ? &layer : &old[k]) != QV_NONE;
  }
  return ok ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "layer in another order");
}
