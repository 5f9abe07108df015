// Execution: docs/semantics.md sections 3, 4 and 7. After a first run only what depends on changed inputs is computed again.
// Exact sums are kept modulo 2^64: a node that is exact fits (rules.c), one that wraps asks for no more.
#include "check.h"

#include <inttypes.h>

struct Eval {
  Net *net;
  int64_t **value, **old; // old[t][i]: before the run, of changed[t][i]
  uint64_t **sum;         // of affine nodes
  uint32_t **changed, *n_changed, **stamp, *touched, n_touched, run;
  uint64_t work;
  Wide *term, *raw;
  int64_t *row; // of a tail
  bool first;
  Iv **same;        // per unit node and element: between these inputs the value stays what it is
  Pair **pair;      // per affine node: that runs together with its unit; then the values of its tensor are never looked at
  bool *paired;     // per unit
  const Node *node; // at hand
  // changed channels of one pixel of an affine node's input, and by how much, modulo 2^64
  uint32_t n_channels, *channel;
  uint64_t *by;
};

// At most once per element and run.
static inline void store(Eval *v, uint32_t tensor, uint32_t e, int64_t x) {
  if (v->value[tensor][e] == x) return;
  v->old[tensor][v->n_changed[tensor]] = v->value[tensor][e];
  v->changed[tensor][v->n_changed[tensor]++] = e;
  v->value[tensor][e] = x;
}

Eval *eval_make(Net *net) {
  Eval *v = take(1, sizeof *v);
  uint32_t most = 0, terms = 2, channels = 1;
  *v = (Eval){.net = net, .first = true};
  v->value = take(net->n_tensors, sizeof *v->value), v->old = take(net->n_tensors, sizeof *v->old);
  v->sum = take(net->n_tensors, sizeof *v->sum), v->changed = take(net->n_tensors, sizeof *v->changed);
  v->n_changed = take(net->n_tensors, sizeof *v->n_changed), v->stamp = take(net->n_tensors, sizeof *v->stamp);
  for (uint32_t i = 0; i < net->n_tensors; i++) {
    const Tensor *t = &net->tensors[i];
    v->value[i] = take(t->size, sizeof **v->value), v->old[i] = take(t->size, sizeof **v->old);
    v->changed[i] = take(t->size, sizeof **v->changed), v->stamp[i] = take(t->size, sizeof **v->stamp);
    if (t->origin == FROM_NODE && net->nodes[t->node].kind == AFFINE) v->sum[i] = take(t->size, sizeof **v->sum);
    for (uint32_t e = 0; t->data && e < t->size; e++) store(v, i, e, t->data[e]);
    if (t->size > most) most = t->size;
  }
  v->same = take(net->n_nodes, sizeof *v->same);
  v->pair = take(net->n_nodes, sizeof *v->pair), v->paired = take(net->n_nodes, sizeof *v->paired);
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    const Node *n = &net->nodes[k];
    if (n->kind == OPAQUE) rejected("node %" PRIu32 ": opaque, cannot be executed", k);
    if (n->kind == AFFINE && n->taps > terms) terms = n->taps;
    if (n->kind == AFFINE && n->w.ic > channels) channels = n->w.ic;
    v->pair[k] = pair_make(net, k);
    if (v->pair[k]) v->paired[pair_unit(v->pair[k]) - net->nodes] = true;
    if (is_unit(n) && !v->paired[k]) v->same[k] = take(net->tensors[n->out].size, sizeof **v->same);
    if (n->n_in > terms) terms = n->n_in;
  }
  v->touched = take(most, sizeof *v->touched), v->term = take(terms, sizeof *v->term), v->raw = take(terms, sizeof *v->raw);
  v->row = take(most, sizeof *v->row);
  v->channel = take(channels, sizeof *v->channel), v->by = take(channels, sizeof *v->by);
  return v;
}

uint64_t eval_work(const Eval *v) { return v->work; }

int64_t eval_at(const Eval *v, uint32_t tensor, uint32_t e) { return v->value[tensor][e]; }

void eval_set(Eval *v, uint32_t tensor, uint32_t e, int64_t x) { store(v, tensor, e, x); }

static int64_t signed64(uint64_t x) { return x > INT64_MAX ? -(int64_t)~x - 1 : (int64_t)x; }

// ---- accumulators ----------------------------------------------------------------------------------------------------------------------
static i128 wrap_to(i128 x, unsigned bits) {
  i128 m = pow2(bits);
  return x - floor_shift(x + m / 2, bits) * m;
}
static i128 sat_to(i128 x, unsigned bits) { return clip(x, -pow2(bits - 1), pow2(bits - 1) - 1); }

// Terms of one accumulator; a point interval each, so that the stages are those of rules.c.
typedef struct {
  const Acc *acc;
  const Wide *term, *raw; // corrected; as stored
  uint32_t n;
  i128 bias;
} Terms;

static i128 total(const Wide *t, uint32_t n) {
  i128 s = 0;
  for (uint32_t i = 0; i < n; i++) s += t[i].lo;
  return s;
}

// Pair sums, saturated to 16 bits, in the order of the pairs' first terms, over the terms themselves; returns how many. A pair
// is written where no term is needed any more: pair number p is complete when at least p + 1 terms have been read.
static uint32_t saturated_pairs(const Acc *a, Wide *t, uint32_t n) {
  uint32_t pairs = 0, block = a->k8 ? 16 : 2, half = block / 2;
  for (uint32_t b = 0; b < n; b += block) {
    for (uint32_t i = b; i < b + half && i < n; i++) t[pairs++].lo = sat_to(t[i].lo + (i + half < n ? t[i + half].lo : 0), 16);
  }
  return pairs;
}

static i128 lanes_total(const Acc *a, const Wide *t, uint32_t n) {
  i128 lane[64] = {0}, wide = 0;
  uint32_t count[64] = {0};
  for (uint32_t i = 0; i < n; i++) {
    uint32_t j = i % a->lanes;
    lane[j] = a->lane_sat ? sat_to(lane[j] + t[i].lo, a->lane_bits) : wrap_to(lane[j] + t[i].lo, a->lane_bits);
    if (++count[j] == a->spill) wide += lane[j], lane[j] = 0, count[j] = 0;
  }
  for (unsigned j = 0; j < 64; j++) wide += lane[j];
  return wide;
}

static i128 one_by_one(const Acc *a, const Wide *t, uint32_t n, i128 bias, bool *defined) {
  i128 s = a->bias_first ? bias : 0;
  for (uint32_t i = 0; i <= n; i++) {
    *defined = *defined && sat_to(s, a->bits) == s;
    if (a->mode == SAT) s = sat_to(s, a->bits);
    if (i < n) s += t[i].lo;
  }
  if (!a->bias_first) s += bias;
  *defined = *defined && sat_to(s, a->bits) == s;
  return a->mode == SAT ? sat_to(s, a->bits) : s;
}

// What the machine makes of the terms. False: undefined, or not the same for every order.
static bool machine(const Acc *a, Wide *term, Wide *raw, uint32_t n, i128 bias, i128 *result) {
  i128 exact = bias + total(term, n), low = imin(bias, 0), high = imax(bias, 0);
  Wide *t = a->raw ? raw : term;
  bool defined = true;
  if (a->mode == EXACT || a->mode == ACC_WRAP) {
    *result = a->mode == EXACT ? exact : wrap_to(exact, a->bits);
    return true;
  }
  if (a->any_order) { // harmless for these values in every order, or not accepted
    i128 l1 = 0, l2 = 0, h1 = 0, h2 = 0, lows = 0, highs = 0;
    for (uint32_t i = 0; i < n; i++) {
      i128 l = imin(t[i].lo, 0), h = imax(t[i].lo, 0);
      lows += l, highs += h;
      if (l < l1) l2 = l1, l1 = l;
      else l2 = imin(l2, l);
      if (h > h1) h2 = h1, h1 = h;
      else h2 = imax(h2, h);
    }
    *result = wrap_to(exact, a->bits);
    switch ((int)a->mode) {
    case SAT:
    case TRAP: return fits_bits(low + lows, high + highs, a->bits);
    case PAIR16: return fits_bits(l1 + l2, h1 + h2, 16);
    default: return fits_bits(lows, highs, a->lane_bits);
    }
  }
  i128 correction = exact - bias - total(t, n);
  switch ((int)a->mode) {
  case PAIR16:
    n = saturated_pairs(a, t, n);
    *result = wrap_to(bias + total(t, n) + correction, a->bits);
    return true;
  case LANES:
  case PAIRLANES:
    if (a->mode == PAIRLANES) n = saturated_pairs(a, t, n);
    *result = wrap_to(bias + lanes_total(a, t, n) + correction, a->bits);
    return true;
  default: *result = one_by_one(a, t, n, bias, &defined); return defined || a->mode == SAT;
  }
}

// All terms of an affine node's output element in kernel order, padded ones in their places.
static void affine_terms(Eval *v, const Node *n, uint32_t e) {
  const Window *w = &n->w;
  uint32_t o = e % w->oc, x = e / w->oc % w->ow, y = e / w->oc / w->ow % w->oh, i = e / w->oc / w->ow / w->oh, ky0, ky1, kx0, kx1, k = 0;
  uint32_t icg = w->ic / w->groups, group = o / (w->oc / w->groups) * icg;
  inside_taps(y, w->sh, w->pt, w->dh, w->kh, w->ih, &ky0, &ky1);
  inside_taps(x, w->sw, w->pl, w->dw, w->kw, w->iw, &kx0, &kx1);
  for (uint32_t ky = 0; ky < w->kh; ky++) {
    for (uint32_t kx = 0; kx < w->kw; kx++) {
      bool in = ky >= ky0 && ky < ky1 && kx >= kx0 && kx < kx1;
      int64_t iy = (int64_t)y * w->sh + (int64_t)ky * w->dh - w->pt, ix = (int64_t)x * w->sw + (int64_t)kx * w->dw - w->pl;
      const int64_t *value = in ? v->value[n->in[0]] + ((i * (int64_t)w->ih + iy) * w->iw + ix) * w->ic + group : NULL;
      for (uint32_t c = 0; c < icg; c++, k++) {
        i128 at = in ? value[c] : n->x_zp;
        uint64_t weight = (uint64_t)o * n->taps + k;
        v->term[k].lo = (at - n->x_zp) * n->diff[weight], v->raw[k].lo = at * n->weight[weight];
      }
    }
  }
}

static i128 accumulate(Eval *v, uint32_t k, uint32_t e) {
  const Node *n = &v->net->nodes[k];
  i128 r, x[2];
  uint32_t terms = 1;
  if (n->kind == AFFINE) {
    int64_t exact = signed64(v->sum[n->out][e]);
    if (n->own_harmless) return exact;
    if (n->acc.mode == ACC_WRAP) return wrap_to(exact, n->acc.bits);
    affine_terms(v, n, e);
    terms = n->taps;
  } else if (n->kind == SUM) {
    for (terms = 0; terms < n->n_in; terms++) v->term[terms].lo = n->c[terms] * ((i128)v->value[n->in[terms]][e] - n->z[terms]);
  } else {
    for (unsigned i = 0; i < 2; i++) x[i] = (i128)v->value[n->in[i]][e] - n->z[i];
    v->term[0].lo = x[0] * x[1];
  }
  if (!machine(&n->acc, v->term, v->raw, terms, n->kind == AFFINE ? n->bias[e % n->w.oc] : 0, &r))
    rejected("node %" PRIu32 ", element %" PRIu32 ": the accumulator's result is undefined or depends on the order", k, e);
  return r;
}

// ---- the nodes -------------------------------------------------------------------------------------------------------------------------
static void touch_element(void *context, uint32_t e) {
  Eval *v = context;
  uint32_t *stamp = &v->stamp[v->node->out][e];
  if (*stamp != v->run) *stamp = v->run, v->touched[v->n_touched++] = e;
}

// A pixel that has changed, at one tap of one output position.
static void add_pixel(void *context, uint32_t position, uint32_t tap) {
  Eval *v = context;
  const Node *n = v->node;
  const Window *w = &n->w;
  uint32_t icg = w->ic / w->groups, ocg = w->oc / w->groups, first = position * w->oc;
  const int32_t *weights = n->diff_t + (uint64_t)tap * icg * w->oc;
  uint64_t *sums = v->sum[n->out] + first;
  if (icg == 1 && ocg == 1) {
    for (uint32_t i = 0; i < v->n_channels; i++) sums[v->channel[i]] += v->by[i] * (uint64_t)(int64_t)weights[v->channel[i]];
  } else {
    for (uint32_t i = 0; i < v->n_channels; i++) {
      uint32_t c = v->channel[i], group = c / icg * ocg;
      const int32_t *d = weights + (uint64_t)(c % icg) * w->oc + group;
      uint64_t *sum = sums + group, by = v->by[i];
      for (uint32_t o = 0; o < ocg; o++) sum[o] += by * (uint64_t)(int64_t)d[o];
    }
  }
  if (v->stamp[n->out][first] == v->run) return;
  v->stamp[n->out][first] = v->run;
  for (uint32_t o = 0; o < w->oc; o++) v->touched[v->n_touched++] = first + o; // all channels are touched as one
}

// The sums of all taps that read zeros.
static void affine_begin(Eval *v, const Node *n) {
  const Window *w = &n->w;
  for (uint32_t e = 0; e < v->net->tensors[n->out].size; e++) {
    uint32_t o = e % w->oc, x = e / w->oc % w->ow, y = e / w->oc / w->ow % w->oh, ky0, ky1, kx0, kx1, icg = w->ic / w->groups;
    int64_t sum = 0;
    inside_taps(y, w->sh, w->pt, w->dh, w->kh, w->ih, &ky0, &ky1);
    inside_taps(x, w->sw, w->pl, w->dw, w->kw, w->iw, &kx0, &kx1);
    for (uint32_t ky = ky0; ky < ky1 && n->x_zp != 0; ky++) {
      const int32_t *d = n->diff + (uint64_t)o * n->taps + ((uint64_t)ky * w->kw + kx0) * icg;
      for (uint32_t i = 0; i < (kx1 - kx0) * icg; i++) sum += d[i];
    }
    v->sum[n->out][e] = (uint64_t)n->bias[o] - (uint64_t)(int64_t)n->x_zp * (uint64_t)sum;
  }
}

// Changes next to each other in the list that belong to one pixel are taken together.
static void read_pixels(Eval *v, const Node *n) {
  uint32_t t = n->in[0], ic = n->w.ic;
  for (uint32_t i = 0; i < v->n_changed[t];) {
    uint32_t pixel = v->changed[t][i] / ic * ic;
    v->n_channels = 0;
    for (; i < v->n_changed[t] && v->changed[t][i] >= pixel && v->changed[t][i] - pixel < ic; i++) {
      uint32_t e = v->changed[t][i];
      v->channel[v->n_channels] = e - pixel;
      v->by[v->n_channels++] = (uint64_t)v->value[t][e] - (uint64_t)v->old[t][i];
    }
    window_readers(&n->w, pixel, add_pixel, v);
  }
}

static void read_changes(Eval *v, uint32_t k, uint32_t slot) {
  const Node *n = &v->net->nodes[k];
  uint32_t t = n->in[slot];
  if (n->kind == AFFINE) {
    read_pixels(v, n);
    return;
  }
  for (uint32_t i = 0; i < v->n_changed[t]; i++) readers(v->net, k, slot, v->changed[t][i], touch_element, v);
}

static int64_t unit_result(Eval *v, uint32_t k, uint32_t e) {
  Node *n = &v->net->nodes[k];
  i128 y;
  if (!unit_piece(n, set_at(n, e), v->value[n->in[0]][e], &v->same[k][e], &y))
    rejected("node %" PRIu32 ", element %" PRIu32 ": a value leaves what the function is defined for", k, e);
  if (y < -pow2(62) || y > pow2(62)) rejected("node %" PRIu32 ": values beyond 2^62", k);
  return (int64_t)y;
}

static void run_unit(Eval *v, uint32_t k, uint32_t count) {
  const Node *n = v->node;
  const int64_t *x = v->value[n->in[0]];
  const Iv *same = v->same[k];
  for (uint32_t i = 0; i < count; i++) {
    uint32_t e = v->first ? i : v->touched[i];
    if (v->first || x[e] < same[e].lo || x[e] > same[e].hi) store(v, n->out, e, unit_result(v, k, e));
  }
}

static i128 max_of(const Eval *v, const Node *n, uint32_t e) {
  const Window *w = &n->w;
  uint32_t c = e % w->oc, x = e / w->oc % w->ow, y = e / w->oc / w->ow % w->oh, i = e / w->oc / w->ow / w->oh, ky0, ky1, kx0, kx1;
  int64_t m = INT64_MIN;
  inside_taps(y, w->sh, w->pt, w->dh, w->kh, w->ih, &ky0, &ky1);
  inside_taps(x, w->sw, w->pl, w->dw, w->kw, w->iw, &kx0, &kx1);
  for (uint32_t ky = ky0; ky < ky1; ky++) {
    for (uint32_t kx = kx0; kx < kx1; kx++) {
      int64_t iy = (int64_t)y * w->sh + (int64_t)ky * w->dh - w->pt, ix = (int64_t)x * w->sw + (int64_t)kx * w->dw - w->pl;
      int64_t value = v->value[n->in[0]][((i * (int64_t)w->ih + iy) * w->iw + ix) * w->ic + c];
      if (value > m) m = value;
    }
  }
  return m;
}

static i128 compute(Eval *v, uint32_t k, uint32_t e) {
  const Node *n = &v->net->nodes[k];
  uint32_t tensor, source;
  i128 y = 0;
  switch (n->kind) {
  case AFFINE:
  case SUM:
  case PRODUCT: return accumulate(v, k, e);
  case MAX: return max_of(v, n, e);
  case INDEX: return index_source(v->net, n, e, &tensor, &source) ? v->value[tensor][source] : n->value;
  case WRAP: return wrap_to(v->value[n->in[0]][e], n->bits);
  case STEP:
  case TABLE:
  case THRESHOLD:
  case CLAMP:
  case TAIL:
  case OPAQUE: break; // run_unit, run_tail; opaque nodes never
  }
  return y;
}

static void run_tail(Eval *v, const Node *n, uint32_t e) {
  uint32_t row = tail_row(v->net, n);
  tail_run(n, v->value[n->in[0]] + e, v->row, row);
  for (uint32_t i = 0; i < row; i++) store(v, n->out, e + i, v->row[i]);
}

static void run_element(Eval *v, uint32_t k, uint32_t e) {
  i128 y = compute(v, k, e);
  if (y < -pow2(62) || y > pow2(62)) rejected("node %" PRIu32 ": values beyond 2^62", k);
  store(v, v->node->out, e, (int64_t)y);
}

static void run_exact(Eval *v, uint32_t count) {
  uint32_t t = v->node->out;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t e = v->first ? i : v->touched[i];
    store(v, t, e, signed64(v->sum[t][e]));
  }
}

static void run_pair(Eval *v, uint32_t k) {
  uint32_t in = v->net->nodes[k].in[0], out = pair_unit(v->pair[k])->out;
  const PairChange *c;
  uint32_t n = pair_run(v->pair[k], v->changed[in], v->old[in], v->n_changed[in], v->value[in], &c);
  for (uint32_t i = 0; i < n; i++) store(v, out, c[i].e, c[i].y);
}

static void run_node(Eval *v, uint32_t k) {
  const Node *n = v->node = &v->net->nodes[k];
  uint32_t count = v->net->tensors[n->out].size;
  bool any = v->first, exact = n->kind == AFFINE && n->own_harmless;
  for (uint32_t s = 0; s < n->n_in; s++) any = any || v->n_changed[n->in[s]] > 0;
  if (!any || v->paired[k]) return;
  if (v->pair[k]) {
    run_pair(v, k);
    return;
  }
  v->n_touched = 0;
  if (v->first && n->kind == AFFINE) affine_begin(v, n);
  if (!v->first || n->kind == AFFINE) {
    for (uint32_t s = 0; s < n->n_in; s++) read_changes(v, k, s);
  }
  if (!v->first) count = v->n_touched;
  if (is_unit(n) || exact) {
    if (exact) run_exact(v, count);
    else run_unit(v, k, count);
    return;
  }
  for (uint32_t i = 0; i < count; i++) {
    uint32_t e = v->first ? i : v->touched[i];
    if (n->kind != TAIL) run_element(v, k, e);
    else if (e % tail_row(v->net, n) == 0) run_tail(v, n, e);
  }
}

void eval_run(Eval *v) {
  const Net *net = v->net;
  if (++v->run == 0) unusable("too many runs");
  for (uint32_t k = 0; k < net->n_nodes; k++) run_node(v, k);
  for (uint32_t t = 0; t < net->n_tensors; t++) v->work += v->n_changed[t], v->n_changed[t] = 0;
  v->first = false;
}
