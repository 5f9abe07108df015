// The rules of docs/certificate.md sections 3 and 5: claimed ranges of each node's output, harmless accumulators, obligations.
#include "check.h"

#include <inttypes.h>

static bool covers(Iv claim, i128 lo, i128 hi) { return claim.lo <= lo && hi <= claim.hi; }

// ---- claimed ranges -----------------------------------------------------------------------------------------------------------------
static Iv claim_at(const Claim *c, uint32_t e) { return c->iv[c->n == 1 ? 0 : e / c->inner % c->n]; }

Iv range_at(const Tensor *t, uint32_t e) {
  if (t->data) return (Iv){t->data[e], t->data[e]};
  return claim_at(&t->claim, e);
}

// Elements e and e mod channels have the same interval.
static bool per_channel(const Tensor *t, uint32_t channels) {
  return !t->data && (t->claim.n == 1 || (channels % t->claim.n == 0 && channels / t->claim.n % t->claim.inner == 0));
}

// Element numbers on which several functions of the form floor(e / inner) mod n take all their combinations of values:
// multiples of `stride` below `end`.
typedef struct {
  uint64_t stride, end, size;
} Walk;

static uint64_t gcd(uint64_t a, uint64_t b) {
  while (b != 0) {
    uint64_t r = a % b;
    a = b, b = r;
  }
  return a;
}

static void walk_add(Walk *w, uint64_t n, uint64_t inner) {
  if (n == 1) return;
  uint64_t period = n * inner;
  w->stride = gcd(w->stride, inner);
  w->end = w->end / gcd(w->end, period) * period; // both at most 2^28
  if (w->end > w->size) w->end = w->size;
}

static void walk_tensor(Walk *w, const Tensor *t) {
  if (t->data) walk_add(w, t->size, 1);
  else walk_add(w, t->claim.n, t->claim.inner);
}

static Walk walk(const Net *net, const Node *n) {
  const Tensor *y = &net->tensors[n->out];
  Walk w = {0, 1, y->size};
  walk_tensor(&w, y);
  for (uint32_t k = 0; k < n->n_in; k++) walk_tensor(&w, &net->tensors[n->in[k]]);
  if (n->kind == STEP || n->kind == THRESHOLD) walk_add(&w, n->n_idx ? n->n_idx : n->n_par, n->inner);
  if (w.stride == 0) w.stride = 1;
  return w;
}

// An element's image: inside what is claimed; or, where nothing is claimed, kept.
static void settle(const Net *net, uint32_t k, uint64_t e, Wide image) {
  uint32_t tensor = net->nodes[k].out;
  if (net->image) {
    if (image.lo < -pow2(62) || image.hi > pow2(62)) rejected("node %" PRIu32 ": values beyond 2^62", k);
    net->image[tensor][e] = (Iv){(int64_t)image.lo, (int64_t)image.hi};
  } else if (!covers(range_at(&net->tensors[tensor], (uint32_t)e), image.lo, image.hi)) {
    rejected("node %" PRIu32 ": tensor %" PRIu32 ", element %" PRIu64 ": the claimed interval does not contain the image", k, tensor, e);
  }
}

// ---- accumulators: docs/certificate.md section 3, docs/semantics.md sections 4 and 5 ---------------------------------------------------
// Sums of at most 2^28 terms below 2^98 each (products: below 2^120): nothing here leaves 128 bits.
typedef struct {
  Wide final, prefix, any, stage, machine;
} Bounds;

static void term(Bounds *s, i128 lo, i128 hi) {
  s->final.lo += lo, s->final.hi += hi;
  s->prefix = hull(s->prefix, s->final);
  if (lo < 0) s->any.lo += lo;
  if (hi > 0) s->any.hi += hi;
}

static Bounds bounds_begin(const Acc *a, i128 bias) {
  Bounds s = {.any = {imin(bias, 0), imax(bias, 0)}};
  if (a->bias_first) s.final = s.prefix = (Wide){bias, bias};
  return s;
}

static void bounds_end(const Acc *a, i128 bias, Bounds *s) {
  if (a->bias_first) return;
  s->final.lo += bias, s->final.hi += bias;
  s->prefix = hull(s->prefix, s->final);
}

static bool harmless(const Acc *a, unsigned bits, const Bounds *s, Wide final) {
  switch (a->mode) {
  case EXACT: return bits == 0 || fits_bits(final.lo, final.hi, bits);
  case ACC_WRAP: return fits_bits(final.lo, final.hi, bits);
  case SAT:
  case TRAP: return a->any_order ? fits_bits(s->any.lo, s->any.hi, bits) : fits_bits(s->prefix.lo, s->prefix.hi, bits);
  case PAIR16: return fits_bits(s->stage.lo, s->stage.hi, 16) && fits_bits(final.lo, final.hi, bits);
  case LANES:
  case PAIRLANES: return fits_bits(s->stage.lo, s->stage.hi, a->lane_bits) && fits_bits(final.lo, final.hi, bits);
  }
  return false;
}

// The linear rows of one channel, NULL where there is none.
typedef struct {
  const Linear *lo, *hi;
} Cuts;

// Section 4: the bound proves the claimed end at this output element. It bounds the exact sum there.
static void prove(Net *net, const Linear *l, uint32_t e, Iv claim) {
  i128 bound = linear_bound(net, l, e);
  if (l->upper ? bound > claim.hi : bound < claim.lo)
    rejected("linear %" PRIu32 " %s %" PRIu32 " %" PRIu32 ": the bound does not prove the claim for element %" PRIu32, l->node,
             l->upper ? "hi" : "lo", l->channel, l->from, e);
}

// One output element: its claim against its bounds. `final` becomes final* of the document: a side with a linear row is cut to
// the claimed end where that is tighter and the row proves it there. Nothing else may cut it: a claim that is justified by the
// machine's width says nothing about the exact sum.
static void judge(Net *net, uint32_t k, const Bounds *s, uint32_t e, Cuts cuts, bool *own_everywhere) {
  const Node *n = &net->nodes[k];
  Iv claim = range_at(&net->tensors[n->out], e);
  Wide final = s->final, image;
  if (cuts.lo && claim.lo > final.lo) prove(net, cuts.lo, e, claim), final.lo = claim.lo;
  if (cuts.hi && claim.hi < final.hi) prove(net, cuts.hi, e, claim), final.hi = claim.hi;
  if (harmless(&n->acc, n->acc.bits, s, final)) {
    image = final;
    // Only with exact sums within 2^61 no difference of two of them, and of two of their terms, leaves 64 bits.
    if (net->sum && final.lo >= -pow2(61) && final.hi <= pow2(61)) net->sum[n->out][e] = (Iv){(int64_t) final.lo, (int64_t) final.hi};
    else if (net->sum) *own_everywhere = false;
  } else {
    i128 lo = -pow2(n->acc.bits - 1), hi = -lo - 1;
    image = (Wide){lo, hi};
    if (n->acc.mode == SAT) image = (Wide){clip(s->any.lo, lo, hi), clip(s->any.hi, lo, hi)};
    else if (n->acc.mode == PAIR16 && !n->acc.any_order && s->machine.lo >= lo && s->machine.hi <= hi) image = s->machine;
    *own_everywhere = false;
  }
  settle(net, k, e, image);
  if (n->claim_harmless && !harmless(&n->acc, n->claim_bits, s, final))
    rejected("node %" PRIu32 ", element %" PRIu32 ": not harmless at %u bits", k, e, n->claim_bits);
}

// The inside taps of an output position, and where their input values are. With `channels` the input's intervals depend on the
// channel only.
typedef struct {
  uint32_t ky0, ky1, kx0, kx1;
  int64_t image, y, x; // first row of the image in the input; row and column that tap (0,0) reads
  const Iv *channels;
  const Tensor *in;
} Place;

static int64_t tap_element(const Window *w, const Place *p, uint32_t ky, uint32_t kx) {
  return ((p->image + p->y + (int64_t)ky * w->dh) * w->iw + p->x + (int64_t)kx * w->dw) * w->ic;
}

static Iv tap_range(const Place *p, int64_t element, uint32_t channel) {
  return p->channels ? p->channels[channel] : range_at(p->in, (uint32_t)(element + channel));
}

static Wide times(int64_t d, i128 lo, i128 hi) { return d >= 0 ? (Wide){d * lo, d * hi} : (Wide){d * hi, d * lo}; }

static Bounds affine_sums(const Node *n, const Place *p, uint32_t o) {
  const Window *w = &n->w;
  uint32_t icg = w->ic / w->groups, first = o / (w->oc / w->groups) * icg;
  int64_t wz = n->w_zp[n->n_wzp == 1 ? 0 : o], xz = n->x_zp, element = 0;
  bool final_only = n->acc.mode != SAT && n->acc.mode != TRAP; // the others never look at prefix and any
  Bounds s = bounds_begin(&n->acc, n->bias[o]);
  for (uint32_t ky = p->ky0; ky < p->ky1; ky++) {
    for (uint32_t kx = p->kx0; kx < p->kx1; kx++) {
      const int32_t *weight = n->weight + (size_t)o * n->taps + ((size_t)ky * w->kw + kx) * icg;
      if (!p->channels) element = tap_element(w, p, ky, kx);
      for (uint32_t c = 0; c < icg; c++) {
        Iv x = tap_range(p, element, first + c);
        Wide t = times(weight[c] - wz, (i128)x.lo - xz, (i128)x.hi - xz);
        if (final_only) s.final.lo += t.lo, s.final.hi += t.hi;
        else term(&s, t.lo, t.hi);
      }
    }
  }
  bounds_end(&n->acc, n->bias[o], &s);
  return s;
}

// Pairs and lanes: all terms in kernel order, padded ones in their places.
typedef struct {
  Wide pending[8]; // the terms that wait for their partners
  bool waits[8];
  uint32_t pairs; // pairlanes: complete so far
  Wide lane[64];
  uint32_t in_lane[64];
  Wide two_lo, two_hi; // any order: the two smallest min(0,tl), the two largest max(0,th)
} Stages;

// Term number i of lanes, pair number i of pairlanes.
static void lane_term(const Acc *a, Bounds *s, Stages *g, uint32_t i, Wide t) {
  uint32_t j = i % a->lanes;
  g->lane[j].lo += t.lo, g->lane[j].hi += t.hi;
  g->in_lane[j]++;
  bool spill = g->in_lane[j] == a->spill;
  if (a->lane_sat || spill) s->stage = hull(s->stage, g->lane[j]);
  if (spill) g->lane[j] = (Wide){0, 0}, g->in_lane[j] = 0;
}

// Pairs come in the order of their first terms.
static void pair_end(const Acc *a, Bounds *s, Stages *g, Wide pair) {
  s->stage = hull(s->stage, pair);
  s->machine.lo += imin(0, 32767 - pair.hi), s->machine.hi += imax(0, -32768 - pair.lo);
  if (a->mode == PAIRLANES) lane_term(a, s, g, g->pairs++, pair);
}

static void stage_term(const Acc *a, Bounds *s, Stages *g, uint32_t i, Wide t) {
  uint32_t slot = a->k8 ? i % 8 : 0;
  if (a->any_order) {
    i128 lo = imin(t.lo, 0), hi = imax(t.hi, 0);
    if (a->mode != PAIR16) s->stage.lo += lo, s->stage.hi += hi;
    else {
      g->two_lo = (Wide){imin(g->two_lo.lo, lo), imin(g->two_lo.hi, imax(g->two_lo.lo, lo))}; // smallest, second smallest
      g->two_hi = (Wide){imax(g->two_hi.lo, hi), imax(g->two_hi.hi, imin(g->two_hi.lo, hi))}; // largest, second largest
    }
  } else if (a->mode == LANES) {
    lane_term(a, s, g, i, t);
  } else {
    if (!g->waits[slot]) g->pending[slot] = t;
    else pair_end(a, s, g, (Wide){g->pending[slot].lo + t.lo, g->pending[slot].hi + t.hi});
    g->waits[slot] = !g->waits[slot];
  }
}

static void affine_stages(const Node *n, const Place *p, uint32_t o, Bounds *s) {
  const Window *w = &n->w;
  uint32_t icg = w->ic / w->groups, first = o / (w->oc / w->groups) * icg, i = 0;
  int64_t wz = n->w_zp[n->n_wzp == 1 ? 0 : o], xz = n->x_zp, element = 0;
  const int32_t *weight = n->weight + (size_t)o * n->taps;
  Stages g = {0};
  s->machine = s->final;
  for (uint32_t ky = 0; ky < w->kh; ky++) {
    for (uint32_t kx = 0; kx < w->kw; kx++) {
      bool in = ky >= p->ky0 && ky < p->ky1 && kx >= p->kx0 && kx < p->kx1;
      if (in && !p->channels) element = tap_element(w, p, ky, kx);
      for (uint32_t c = 0; c < icg; c++, i++) {
        Iv x = in ? tap_range(p, element, first + c) : (Iv){xz, xz};
        Wide t = n->acc.raw ? times(weight[i], x.lo, x.hi) : times(weight[i] - wz, (i128)x.lo - xz, (i128)x.hi - xz);
        stage_term(&n->acc, s, &g, i, t);
      }
    }
  }
  for (unsigned j = 0; j < 8; j++) {
    if (g.waits[j]) pair_end(&n->acc, s, &g, g.pending[j]);
  }
  for (unsigned j = 0; j < 64; j++) s->stage = hull(s->stage, g.lane[j]); // empty lanes: [0,0], which changes no answer
  if (n->acc.any_order && n->acc.mode == PAIR16) s->stage = (Wide){g.two_lo.lo + g.two_lo.hi, g.two_hi.lo + g.two_hi.hi};
}

// Taps k0 <= k < k1 of an output coordinate are inside the image; false if none is.
bool inside_taps(uint32_t o, uint32_t stride, uint32_t pad, uint32_t dilation, uint32_t taps, uint32_t size, uint32_t *k0, uint32_t *k1) {
  int64_t at = (int64_t)o * stride - pad, d = dilation;
  int64_t a = at >= 0 ? 0 : (-at + d - 1) / d, b = at >= size ? 0 : (size - 1 - at) / d + 1;
  if (b > taps) b = taps;
  if (a >= b) a = b = 0;
  *k0 = (uint32_t)a, *k1 = (uint32_t)b;
  return a < b;
}

// The end of the run of output coordinates from o on with the same inside taps.
static uint32_t run_end(uint32_t o, uint32_t out, uint32_t stride, uint32_t pad, uint32_t dilation, uint32_t taps, uint32_t size) {
  uint32_t a0, a1, b0, b1;
  inside_taps(o, stride, pad, dilation, taps, size, &a0, &a1);
  do {
    if (++o == out) break;
    inside_taps(o, stride, pad, dilation, taps, size, &b0, &b1);
  } while (a0 == b0 && a1 == b1);
  return o;
}

// Output positions images [i,i1), rows [y,y1), columns [x,x1), whose bounds are the same.
typedef struct {
  uint32_t i, i1, y, y1, x, x1;
} Group;

// One output channel at a group of positions: once if the claim is the same at all of them and no row has to prove it at each.
static void judge_group(Net *net, uint32_t k, const Bounds *s, const Group *g, uint32_t o, Cuts cuts, bool *own) {
  const Window *w = &net->nodes[k].w;
  bool same = !cuts.lo && !cuts.hi && per_channel(&net->tensors[net->nodes[k].out], w->oc);
  for (uint32_t i = g->i; i < g->i1; i++) {
    for (uint32_t y = g->y; y < g->y1; y++) {
      for (uint32_t x = g->x; x < g->x1; x++) {
        judge(net, k, s, ((i * w->oh + y) * w->ow + x) * w->oc + o, cuts, own);
        if (same) return;
      }
    }
  }
}

// One interval per input channel, the hull over all elements of the channel.
static const Iv *channel_hulls(const Tensor *t, uint32_t channels) {
  Iv *h = take(channels, sizeof *h);
  uint32_t size = per_channel(t, channels) ? channels : t->size;
  for (uint32_t e = 0; e < size; e++) {
    Iv v = range_at(t, e), *c = &h[e % channels];
    if (e < channels) *c = v;
    if (v.lo < c->lo) c->lo = v.lo;
    if (v.hi > c->hi) c->hi = v.hi;
  }
  return h;
}

// rows .. rows_end: the node's linear rows, by channel, lo before hi.
static bool affine_node(Net *net, uint32_t k, const Linear *rows, const Linear *rows_end) {
  const Node *n = &net->nodes[k];
  const Window *w = &n->w;
  Place p = {.in = &net->tensors[n->in[0]]};
  bool own = true, classes = n->by_channel || per_channel(p.in, w->ic);
  if (classes) p.channels = channel_hulls(p.in, w->ic);
  Group g;
  for (g.i = 0; g.i < w->n; g.i = g.i1) {
    g.i1 = classes ? w->n : g.i + 1;
    p.image = (int64_t)g.i * w->ih;
    for (g.y = 0; g.y < w->oh; g.y = g.y1) {
      g.y1 = classes ? run_end(g.y, w->oh, w->sh, w->pt, w->dh, w->kh, w->ih) : g.y + 1;
      inside_taps(g.y, w->sh, w->pt, w->dh, w->kh, w->ih, &p.ky0, &p.ky1);
      p.y = (int64_t)g.y * w->sh - w->pt;
      for (g.x = 0; g.x < w->ow; g.x = g.x1) {
        g.x1 = classes ? run_end(g.x, w->ow, w->sw, w->pl, w->dw, w->kw, w->iw) : g.x + 1;
        inside_taps(g.x, w->sw, w->pl, w->dw, w->kw, w->iw, &p.kx0, &p.kx1);
        p.x = (int64_t)g.x * w->sw - w->pl;
        const Linear *row = rows;
        for (uint32_t o = 0; o < w->oc; o++) {
          Cuts cuts = {NULL, NULL};
          if (row < rows_end && row->channel == o && !row->upper) cuts.lo = row++;
          if (row < rows_end && row->channel == o) cuts.hi = row++;
          Bounds s = affine_sums(n, &p, o);
          if (n->acc.mode == PAIR16 || n->acc.mode == LANES || n->acc.mode == PAIRLANES) affine_stages(n, &p, o, &s);
          judge_group(net, k, &s, &g, o, cuts, &own);
        }
      }
    }
  }
  return own;
}

static Wide product_term(uint32_t k, Iv x0, i128 z0, Iv x1, i128 z1) {
  i128 v[4], a[2] = {x0.lo - z0, x0.hi - z0}, b[2] = {x1.lo - z1, x1.hi - z1};
  for (unsigned i = 0; i < 4; i++) {
    if (!multiply(a[i / 2], b[i % 2], &v[i])) rejected("node %" PRIu32 ": the claimed ranges of the factors are too wide", k);
  }
  return hull((Wide){imin(v[0], v[1]), imax(v[0], v[1])}, (Wide){imin(v[2], v[3]), imax(v[2], v[3])});
}

static Bounds element_bounds(const Net *net, uint32_t k, uint32_t e) {
  const Node *n = &net->nodes[k];
  Bounds s = bounds_begin(&n->acc, 0);
  if (n->kind == PRODUCT) {
    Wide t = product_term(k, range_at(&net->tensors[n->in[0]], e), n->z[0], range_at(&net->tensors[n->in[1]], e), n->z[1]);
    term(&s, t.lo, t.hi);
  }
  for (uint32_t i = 0; n->kind == SUM && i < n->n_in; i++) {
    Iv x = range_at(&net->tensors[n->in[i]], e);
    Wide t = times(n->c[i], (i128)x.lo - n->z[i], (i128)x.hi - n->z[i]);
    term(&s, t.lo, t.hi);
  }
  return s;
}

static bool sum_or_product(Net *net, uint32_t k) {
  bool own = true;
  Walk w = walk(net, &net->nodes[k]);
  for (uint64_t e = 0; e < w.end; e += w.stride) {
    Bounds s = element_bounds(net, k, (uint32_t)e);
    judge(net, k, &s, (uint32_t)e, (Cuts){NULL, NULL}, &own);
  }
  return own;
}

// ---- the other nodes -------------------------------------------------------------------------------------------------------------------
static Iv entries(const Node *n, uint32_t i, uint32_t j) { // entries i .. j, at least one
  Iv r = {n->table[i], n->table[i]};
  for (; i <= j; i++) {
    if (n->table[i] < r.lo) r.lo = n->table[i];
    if (n->table[i] > r.hi) r.hi = n->table[i];
  }
  return r;
}

// Minimum and maximum of entries i .. j of a table, by blocks of 256 entries.
static Wide table_range(Node *n, uint32_t i, uint32_t j) {
  Wide r = {n->table[i], n->table[i]};
  if (!n->blocks) {
    Iv *block = take(256, sizeof *block);
    for (uint32_t k = 0; k < n->n_table; k += 256) block[k / 256] = entries(n, k, k + 255 < n->n_table ? k + 255 : n->n_table - 1);
    n->blocks = block;
  }
  while (i <= j) {
    bool whole = i % 256 == 0 && j - i >= 255;
    Iv v = whole ? n->blocks[i / 256] : entries(n, i, (i | 255) < j ? (i | 255) : j);
    r = hull(r, (Wide){v.lo, v.hi});
    i = (i | 255) + 1;
  }
  return r;
}

static Wide pieces_range(const Pieces *p, Iv x) {
  uint32_t i = piece_at(p, x.lo);
  Wide r = {p->value[i], p->value[i]};
  for (; i < p->n && (p->from[i] <= x.hi); i++) r = hull(r, (Wide){p->value[i], p->value[i]});
  return r;
}

static Wide elementwise_image(Node *n, uint32_t k, uint32_t e, Iv x) {
  i128 a = x.lo, b = x.hi;
  switch ((int)n->kind) {
  case STEP:
    if (!unit_value(n, set_at(n, e), x.lo, &a) || !unit_value(n, set_at(n, e), x.hi, &b)) a = n->lo, b = n->hi;
    return (Wide){imin(a, b), imax(a, b)};
  case TABLE:
    if (a < n->lo || b >= (i128)n->lo + n->n_table)
      rejected("node %" PRIu32 ", element %" PRIu32 ": the claimed input leaves the table", k, e);
    return table_range(n, (uint32_t)(a - n->lo), (uint32_t)(b - n->lo));
  case THRESHOLD: return pieces_range(&n->pieces[set_at(n, e)], x);
  case CLAMP: return (Wide){clip(a, n->lo, n->hi), clip(b, n->lo, n->hi)};
  case WRAP:
    if (fits_bits(a, b, n->bits)) return (Wide){a, b};
    return (Wide){-pow2(n->bits - 1), pow2(n->bits - 1) - 1};
  default: return (Wide){n->lo, n->hi};
  }
}

// Section 5. The functions need no guarantee beyond what is asked before them: outside it the answer is no.
static bool obligation_holds(const Node *n, const Par *p, int64_t x) {
  i128 v = ((i128)x - n->in_zp) * pow2(n->lshift), r;
  bool tosa = p->fn == RQ_T || p->fn == RQ_TD, clamps_as_float = p->fn == RQ_F32 || p->fn == RQ_F32B || p->fn == RQ_REF;
  if (!fits_bits(v, v, p->fn == RQ_64 ? 48 : 32)) return false;
  if ((p->fn == RQ_D || p->fn == RQ_U) && p->sh > 0 && !fits_bits(v * pow2((unsigned)p->sh), v * pow2((unsigned)p->sh), 32)) return false;
  if (tosa && !fits_bits(v, v, (unsigned)p->sh)) return false;
  return clamps_as_float || (requant(p, v, n->out_zp, &r) && fits_bits(r + n->out_zp, r + n->out_zp, 32));
}

// The exact sum of an accumulator without a width.
static bool in_no_word(const Net *net, const Tensor *t) {
  return t->origin == FROM_NODE && accumulates(&net->nodes[t->node]) && net->nodes[t->node].acc.mode == EXACT;
}

static void elementwise(const Net *net, uint32_t k) {
  Node *n = &net->nodes[k];
  const Tensor *in = &net->tensors[n->in[0]];
  Walk w = walk(net, n);
  for (uint64_t e = 0; e < w.end; e += w.stride) {
    Iv x = n->kind == OPAQUE ? (Iv){0, 0} : range_at(in, (uint32_t)e);
    settle(net, k, e, elementwise_image(n, k, (uint32_t)e, x));
    if (n->kind != STEP || !n->claim_holds) continue; // section 5
    const Par *p = &n->par[set_at(n, (uint32_t)e)];
    if (p->fn == RQ_S && p->m == 1 && in_no_word(net, in)) continue;
    if (!obligation_holds(n, p, x.lo) || !obligation_holds(n, p, x.hi))
      rejected("node %" PRIu32 ", element %" PRIu64 ": the obligation does not hold", k, e);
  }
}

// Output position q, channel c.
static Wide max_image(const Net *net, const Node *n, uint64_t q, uint32_t c) {
  const Window *w = &n->w;
  Place p = {.in = &net->tensors[n->in[0]]};
  uint32_t plane = w->oh * w->ow, y = (uint32_t)(q % plane / w->ow), x = (uint32_t)(q % w->ow);
  inside_taps(y, w->sh, w->pt, w->dh, w->kh, w->ih, &p.ky0, &p.ky1);
  inside_taps(x, w->sw, w->pl, w->dw, w->kw, w->iw, &p.kx0, &p.kx1);
  p.image = (int64_t)(q / plane) * w->ih, p.y = (int64_t)y * w->sh - w->pt, p.x = (int64_t)x * w->sw - w->pl;
  Iv m = tap_range(&p, tap_element(w, &p, p.ky0, p.kx0), c);
  for (uint32_t ky = p.ky0; ky < p.ky1; ky++) {
    for (uint32_t kx = p.kx0; kx < p.kx1; kx++) {
      Iv v = tap_range(&p, tap_element(w, &p, ky, kx), c);
      if (v.lo > m.lo) m.lo = v.lo;
      if (v.hi > m.hi) m.hi = v.hi;
    }
  }
  return (Wide){m.lo, m.hi};
}

static void maximum(const Net *net, uint32_t k) {
  const Node *n = &net->nodes[k];
  const Window *w = &n->w;
  const Tensor *in = &net->tensors[n->in[0]], *out = &net->tensors[n->out];
  uint64_t positions = (uint64_t)w->n * w->oh * w->ow;
  bool channels = per_channel(in, w->ic); // then all taps of a channel have the same interval
  if (channels && per_channel(out, w->oc)) positions = 1;
  for (uint64_t q = 0; q < positions; q++) {
    for (uint32_t c = 0; c < w->oc; c++) {
      Iv v = range_at(in, c);
      settle(net, k, q * w->oc + c, channels ? (Wide){v.lo, v.hi} : max_image(net, n, q, c));
    }
  }
}

// docs/semantics.md section 3, index: which element of which input tensor output element e is.
bool index_source(const Net *net, const Node *n, uint32_t e, uint32_t *tensor, uint32_t *source) {
  const Tensor *y = &net->tensors[n->out], *x = &net->tensors[n->in[0]];
  uint32_t at[8] = {0}, from[8] = {0}, rest = e, r = 0;
  *tensor = n->in[0], *source = e;
  if (n->move == RESHAPE) return true;
  for (unsigned d = y->rank; d-- > 0;) at[d] = rest % y->dims[d], rest /= y->dims[d];
  for (unsigned d = 0; d < y->rank; d++) {
    switch (n->move) {
    case RESHAPE: break;
    case TRANSPOSE: from[n->a[d]] = at[d]; break;
    case PAD:
      if (at[d] < (uint32_t)n->a[d] || at[d] - (uint32_t)n->a[d] >= x->dims[d]) return false;
      from[d] = at[d] - (uint32_t)n->a[d];
      break;
    case CONCAT: from[d] = at[d]; break;
    case SLICE: from[d] = (uint32_t)(n->a[d] + (int64_t)at[d] * n->b[d]); break;
    case BROADCAST:
      if (d + x->rank >= y->rank) from[d + x->rank - y->rank] = x->dims[d + x->rank - y->rank] == 1 ? 0 : at[d];
      break;
    case GATHER: from[d] = d == n->axis ? n->g[at[d]] : at[d]; break;
    }
  }
  for (uint32_t k = 0; n->move == CONCAT && from[n->axis] >= x->dims[n->axis]; x = &net->tensors[*tensor]) {
    from[n->axis] -= x->dims[n->axis];
    *tensor = n->in[++k];
  }
  for (unsigned d = 0; d < x->rank; d++) r = r * x->dims[d] + from[d];
  *source = r;
  return true;
}

static void moved(const Net *net, uint32_t k) {
  const Node *n = &net->nodes[k];
  const Tensor *out = &net->tensors[n->out];
  uint32_t tensor, source;
  Walk w = {1, out->size, out->size};
  if (n->move == RESHAPE) w = walk(net, n);
  for (uint64_t e = 0; e < w.end; e += w.stride) {
    Iv v = {n->value, n->value};
    if (index_source(net, n, (uint32_t)e, &tensor, &source)) v = range_at(&net->tensors[tensor], source);
    settle(net, k, e, (Wide){v.lo, v.hi});
  }
}

static void node_check(Net *net, uint32_t k, const Linear *rows, const Linear *rows_end) {
  Node *n = &net->nodes[k];
  if (n->kind == AFFINE) n->own_harmless = affine_node(net, k, rows, rows_end);
  else if (n->kind == SUM || n->kind == PRODUCT) n->own_harmless = sum_or_product(net, k);
  else if (n->kind == MAX) maximum(net, k);
  else if (n->kind == INDEX) moved(net, k);
  else elementwise(net, k);
}

void rules_check(Net *net, const Cert *c) {
  const Linear *rows = c->linear, *end = c->linear + c->n_linear;
  for (uint32_t i = 0; i < net->n_inputs; i++) {
    const Input *in = &net->inputs[i];
    const Tensor *t = &net->tensors[in->tensor];
    Walk w = {0, 1, t->size};
    walk_tensor(&w, t), walk_add(&w, in->property.n, 1);
    if (w.stride == 0) w.stride = 1;
    for (uint64_t e = 0; e < w.end; e += w.stride) {
      Iv v = claim_at(&in->property, (uint32_t)e);
      if (!covers(range_at(t, (uint32_t)e), v.lo, v.hi))
        rejected("tensor %" PRIu32 ", element %" PRIu64 ": the claimed interval does not contain the property's", in->tensor, e);
    }
  }
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    const Node *n = &net->nodes[k];
    const Linear *first = rows;
    while (rows < end && rows->node == k) rows++;
    node_check(net, k, first, rows);
    if (rows > first && !n->own_harmless) rejected("node %" PRIu32 ": linear rows, but not harmless at its own width", k);
    // What follows is claimed for accumulators of the node's own width: it says nothing about others, or about a trap that is sprung.
    if (c->verified && accumulates(n) && !n->own_harmless) rejected("node %" PRIu32 ": verified, but not harmless at its own width", k);
  }
}

void rules_images(Net *net) {
  for (uint32_t i = 0; i < net->n_inputs; i++) {
    const Input *in = &net->inputs[i];
    for (uint32_t e = 0; e < net->tensors[in->tensor].size; e++) net->image[in->tensor][e] = claim_at(&in->property, e);
  }
  for (uint32_t k = 0; k < net->n_nodes; k++) node_check(net, k, NULL, NULL);
}

Wide rules_element(const Net *net, uint32_t k, uint32_t e) {
  Node *n = &net->nodes[k];
  if (accumulates(n)) return element_bounds(net, k, e).final;
  if (n->kind == MAX) return max_image(net, n, e / n->w.oc, e % n->w.oc);
  return elementwise_image(n, k, e, range_at(&net->tensors[n->in[0]], e));
}
