// Execution of an exact affine node together with the unit that alone reads it: the nodes that nearly all of the time goes into. Sums are
// kept modulo 2^32, between bounds within which the unit's result stays what it is; only an element that leaves them is looked up again.
#include "check.h"

#include <inttypes.h>

// A constant piece of the unit's function: f(x) = y from here to the next piece.
typedef struct {
  int64_t from, y;
} Level;

static const int64_t NO_LEVEL = INT64_MIN; // y before the first and behind the last piece, where no sum can be

struct Pair {
  const Node *n;
  Node *unit;
  uint32_t *sum, *low, *width; // per element: the result is what it was while sum - low <= width, all modulo 2^32
  const Level **level;         // per element: the piece that low and width are of
  const Level **levels;        // per set: all n_levels pieces, and one more on each side
  uint32_t *n_levels;
  uint32_t *stamp, *touched, n_touched, run; // positions
  uint32_t n_channels, *channel, *by;        // changed channels of one pixel of the input, and by how much, modulo 2^32
  uint32_t *outside;                         // elements of one position whose sum has left its piece
  bool first;
  PairChange *changes;
  uint32_t n_changes;
};

static bool read_once(const Net *net, uint32_t tensor) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < net->n_outputs; i++) {
    if (net->outputs[i] == tensor) return false;
  }
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    for (uint32_t s = 0; s < net->nodes[k].n_in; s++) {
      if (net->nodes[k].in[s] == tensor) count++;
    }
  }
  return count == 1;
}

// The function over all that its elements read at the root, which has to fit 32 bits: so do all sums of executions.
static bool levels_of(Pair *p, uint32_t set) {
  Iv range = p->unit->set_range[set];
  const Pieces *f = unit_pieces(p->unit, set);
  if (!f || !fits_bits(range.lo, range.hi, 32)) return false;
  uint32_t first = piece_at(f, range.lo), n = piece_at(f, range.hi) - first + 1;
  Level *l = take((uint64_t)n + 3, sizeof *l);
  l[0] = (Level){INT64_MIN, NO_LEVEL}, l[n + 1] = (Level){range.hi + 1, NO_LEVEL}, l[n + 2] = (Level){INT64_MAX, NO_LEVEL};
  for (uint32_t i = 0; i < n; i++) {
    l[1 + i] = (Level){i > 0 ? f->from[first + i] : range.lo, f->value[first + i]};
    if (l[1 + i].y < -((int64_t)1 << 62) || l[1 + i].y > (int64_t)1 << 62) return false;
  }
  p->levels[set] = l + 1, p->n_levels[set] = n;
  return true;
}

static bool all_levels(Pair *p) {
  const Node *unit = p->unit;
  uint32_t sets = unit->kind == STEP || unit->kind == THRESHOLD ? unit->n_par : 1;
  p->levels = take(sets, sizeof *p->levels), p->n_levels = take(sets, sizeof *p->n_levels);
  for (uint32_t s = 0; s < sets; s++) {
    if (!levels_of(p, s)) return false;
  }
  return true;
}

// The sums of all taps that read zeros.
static void sums_of_zeros(Pair *p, uint32_t size) {
  const Node *n = p->n;
  const Window *w = &n->w;
  for (uint32_t e = 0; e < size; e++) {
    uint32_t o = e % w->oc, x = e / w->oc % w->ow, y = e / w->oc / w->ow % w->oh, ky0, ky1, kx0, kx1, icg = w->ic / w->groups, sum = 0;
    inside_taps(y, w->sh, w->pt, w->dh, w->kh, w->ih, &ky0, &ky1);
    inside_taps(x, w->sw, w->pl, w->dw, w->kw, w->iw, &kx0, &kx1);
    for (uint32_t ky = ky0; ky < ky1 && n->x_zp != 0; ky++) {
      const int32_t *d = n->diff + (uint64_t)o * n->taps + ((uint64_t)ky * w->kw + kx0) * icg;
      for (uint32_t i = 0; i < (kx1 - kx0) * icg; i++) sum += (uint32_t)d[i];
    }
    p->sum[e] = (uint32_t)n->bias[o] - (uint32_t)n->x_zp * sum;
  }
}

Pair *pair_make(Net *net, uint32_t k) {
  const Node *n = &net->nodes[k];
  Node *unit = NULL;
  if (n->kind != AFFINE || !n->own_harmless || !read_once(net, n->out)) return NULL;
  for (uint32_t i = k + 1; i < net->n_nodes && !unit; i++) {
    if (is_unit(&net->nodes[i]) && net->nodes[i].in[0] == n->out) unit = &net->nodes[i];
  }
  if (!unit || unit->kind == CLAMP) return NULL;
  Pair *p = take(1, sizeof *p);
  uint32_t size = net->tensors[n->out].size, positions = size / n->w.oc;
  *p = (Pair){.n = n, .unit = unit, .first = true};
  if (!all_levels(p)) return NULL;
  p->sum = take(size, sizeof *p->sum), p->low = take(size, sizeof *p->low), p->width = take(size, sizeof *p->width);
  p->level = take(size, sizeof *p->level), p->outside = take((uint64_t)n->w.oc + 1, sizeof *p->outside);
  p->stamp = take(positions, sizeof *p->stamp), p->touched = take(positions, sizeof *p->touched);
  p->channel = take(n->w.ic, sizeof *p->channel), p->by = take(n->w.ic, sizeof *p->by);
  p->changes = take(size, sizeof *p->changes);
  for (uint32_t e = 0; e < size; e++) p->level[e] = p->levels[set_at(unit, e)];
  sums_of_zeros(p, size);
  return p;
}

const Node *pair_unit(const Pair *p) { return p->unit; }

// ---- sums --------------------------------------------------------------------------------------------------------------------------------
// sum[i] += by * d[i], in blocks that compilers make vectors of; nearly always by one.
static void add_words(uint32_t *restrict sum, const int32_t *restrict d, uint32_t by, uint32_t n) {
  uint32_t i = 0;
  for (; i + 16 <= n; i += 16) {
    if (by == 1) {
      for (uint32_t j = i; j < i + 16; j++) sum[j] += (uint32_t)d[j];
    } else if (by == UINT32_MAX) {
      for (uint32_t j = i; j < i + 16; j++) sum[j] -= (uint32_t)d[j];
    } else {
      for (uint32_t j = i; j < i + 16; j++) sum[j] += by * (uint32_t)d[j];
    }
  }
  for (; i < n; i++) sum[i] += by * (uint32_t)d[i];
}

// A pixel that has changed, at one tap of one output position.
static void pair_pixel(void *context, uint32_t position, uint32_t tap) {
  Pair *p = context;
  const Window *w = &p->n->w;
  uint32_t icg = w->ic / w->groups, ocg = w->oc / w->groups;
  const int32_t *weights = p->n->diff_t + (uint64_t)tap * icg * w->oc;
  uint32_t *sums = p->sum + (uint64_t)position * w->oc;
  for (uint32_t i = 0; i < p->n_channels; i++) {
    uint32_t c = p->channel[i];
    if (ocg == 1 && icg == 1) sums[c] += p->by[i] * (uint32_t)weights[c];
    else if (w->groups == 1) add_words(sums, weights + (uint64_t)c * w->oc, p->by[i], w->oc); // without divisions
    else add_words(sums + c / icg * ocg, weights + (uint64_t)(c % icg) * w->oc + c / icg * ocg, p->by[i], ocg);
  }
  if (p->stamp[position] == p->run) return;
  p->stamp[position] = p->run;
  p->touched[p->n_touched++] = position;
}

// ---- the unit ----------------------------------------------------------------------------------------------------------------------------
// The piece that x is in. Mostly it is a neighbour; which one cannot be foreseen, so no branch asks for it.
static const Level *level_of(const Pair *p, uint32_t e, int64_t x) {
  const Level *l = p->level[e];
  l += (x >= l[1].from) - (x < l->from);
  for (unsigned steps = 0; steps < 8; steps++) {
    if (x < l->from) l--;
    else if (x >= l[1].from) l++;
    else return l;
  }
  uint32_t set = set_at(p->unit, e);
  const Level *a = p->levels[set] - 1, *b = p->levels[set] + p->n_levels[set] + 1;
  while (b - a > 1) {
    const Level *middle = a + (b - a) / 2;
    if (middle->from <= x) a = middle;
    else b = middle;
  }
  return a;
}

static void look_up(Pair *p, uint32_t e) {
  uint32_t word = p->sum[e];
  int64_t x = word > INT32_MAX ? -(int64_t)~word - 1 : (int64_t)word;
  const Level *l = p->level[e] = level_of(p, e, x);
  if (l->y == NO_LEVEL) rejected("tensor %" PRIu32 ", element %" PRIu32 ": a sum outside its interval at the root", p->n->out, e);
  p->low[e] = (uint32_t)l->from, p->width[e] = (uint32_t)(l[1].from - l->from - 1);
  p->changes[p->n_changes++] = (PairChange){e, l->y};
}

static void position_results(Pair *p, uint32_t position) {
  uint32_t first = position * p->n->w.oc, last = first + p->n->w.oc, n = 0;
  for (uint32_t e = first; e < last; e++) { // which ones cannot be foreseen, so no branch asks for it
    p->outside[n] = e;
    n += p->sum[e] - p->low[e] > p->width[e] ? 1 : 0;
  }
  for (uint32_t i = 0; i < n; i++) look_up(p, p->outside[i]);
}

uint32_t pair_run(Pair *p, const uint32_t *changed, const int64_t *old, uint32_t n, const int64_t *x, const PairChange **changes) {
  const Window *w = &p->n->w;
  p->run++, p->n_touched = p->n_changes = 0; // eval.c has looked at the number of runs
  for (uint32_t i = 0; i < n;) {             // changes next to each other in the list that belong to one pixel are taken together
    uint32_t pixel = changed[i] / w->ic * w->ic;
    p->n_channels = 0;
    for (; i < n && changed[i] >= pixel && changed[i] - pixel < w->ic; i++) {
      p->channel[p->n_channels] = changed[i] - pixel;
      p->by[p->n_channels++] = (uint32_t)x[changed[i]] - (uint32_t)old[i];
    }
    window_readers(w, pixel, pair_pixel, p);
  }
  if (p->first) {
    for (uint32_t e = 0; e < w->n * w->oh * w->ow * w->oc; e++) look_up(p, e);
  } else {
    for (uint32_t i = 0; i < p->n_touched; i++) position_results(p, p->touched[i]);
  }
  p->first = false;
  *changes = p->changes;
  return p->n_changes;
}
