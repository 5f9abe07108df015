// Minima and preimages of the functions of units (docs/certificate.md sections 7.3, 7.4). A function is cut into its constant
// pieces once, over everything its elements may read; a clamp has three straight ones.
#include "check.h"

enum { MANY = 4096 }; // pieces of a step; docs/certificate.md section 7.3 allows a coarser minimum from there on

void unit_prepare(Net *net) {
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    Node *n = &net->nodes[k];
    if (!is_unit(n)) continue;
    uint32_t sets = n->kind == STEP || n->kind == THRESHOLD ? n->n_par : 1;
    n->set_range = take(sets, sizeof *n->set_range);
    n->set_pieces = take(sets, sizeof *n->set_pieces);
    n->set_seen = take(sets, sizeof *n->set_seen);
    for (uint32_t e = 0; e < net->tensors[n->out].size; e++) {
      Iv x = range_at(&net->tensors[n->in[0]], e), *r = &n->set_range[set_at(n, e)];
      bool *seen = &n->set_seen[set_at(n, e)];
      if (!*seen || x.lo < r->lo) r->lo = x.lo;
      if (!*seen || x.hi > r->hi) r->hi = x.hi;
      *seen = true;
    }
    for (uint32_t s = 0; s < sets; s++) n->set_seen[s] = false; // from now on: pieces were tried
  }
}

// Steps (monotone) of fewer than MANY values, all tables; NULL if f is not defined everywhere, or there are too many pieces.
static const Pieces *make_pieces(const Node *n, uint32_t set, Iv x) {
  i128 a, b, end;
  uint64_t limit = n->kind == TABLE ? n->n_table : MANY;
  if (!unit_value(n, set, x.lo, &a) || !unit_value(n, set, x.hi, &b) || (n->kind == STEP && (a < b ? b - a : a - b) >= MANY)) return NULL;
  Pieces *p = take(1, sizeof *p);
  uint32_t room = (uint32_t)imin(limit, (i128)x.hi - x.lo + 1);
  int64_t *from = take(room, sizeof *from), *value = take(room, sizeof *value);
  *p = (Pieces){0, from, value};
  for (i128 at = x.lo; at <= x.hi; at = end + 1) {
    if (p->n == room || !unit_constant_until(n, set, at, x.hi, &end) || !unit_value(n, set, at, &a)) return NULL;
    from[p->n] = (int64_t)at, value[p->n++] = (int64_t)a;
  }
  return p;
}

const Pieces *unit_pieces(Node *n, uint32_t set) {
  if (n->kind == THRESHOLD) return &n->pieces[set];
  if (!n->set_seen[set]) n->set_pieces[set] = make_pieces(n, set, n->set_range[set]), n->set_seen[set] = true;
  return n->set_pieces[set];
}

// With m below 2^63, s below 2^31, values and arguments within 2^62 nothing here leaves 2^126.
static void least(i128 *r, i128 m, i128 y, i128 s, i128 x) { *r = imin(*r, m * y - s * x); }

static i128 clamp_min(const Node *n, Iv x, i128 m, i128 s) {
  i128 r = m * clip(x.lo, n->lo, n->hi) - s * x.lo, ends[3] = {x.hi, clip(n->lo, x.lo, x.hi), clip(n->hi, x.lo, x.hi)};
  for (unsigned i = 0; i < 3; i++) least(&r, m, clip(ends[i], n->lo, n->hi), s, ends[i]);
  return r;
}

// A piece counts at its right end for s > 0, else at its left one.
static i128 pieces_min(const Pieces *p, Iv x, i128 m, i128 s) {
  uint32_t i = piece_at(p, x.lo), last = piece_at(p, x.hi);
  i128 r = m * p->value[i] - s * (s > 0 && i < last ? (i128)p->from[i + 1] - 1 : s > 0 ? x.hi : x.lo);
  if (s > 0) {
    for (; i < last; i++) least(&r, m, p->value[i], s, (i128)p->from[i + 1] - 1);
    least(&r, m, p->value[last], s, x.hi);
  } else {
    for (i++; i <= last; i++) least(&r, m, p->value[i], s, p->from[i]);
  }
  return r;
}

// Every integer of a short interval; of a long one the coarse pieces that the document allows. Steps only, which are monotone.
static bool coarse_min(const Node *n, uint32_t set, Iv x, i128 m, i128 s, i128 *r) {
  i128 width = (i128)x.hi - x.lo, d = width < 2048 ? 1 : width / 256 + 1, y, z;
  bool first = true;
  for (i128 p = x.lo; p <= x.hi; p += d) {
    i128 q = imin(p + d - 1, x.hi);
    if (!unit_value(n, set, p, &y) || !unit_value(n, set, q, &z)) return false;
    if (first) *r = m * y - s * p, first = false;
    least(r, m, y, s, p), least(r, m, y, s, q), least(r, m, z, s, p), least(r, m, z, s, q);
  }
  return true;
}

bool unit_min(Node *n, uint32_t set, Iv x, int64_t m, int64_t s, i128 *r) {
  if (n->kind == CLAMP) {
    *r = clamp_min(n, x, m, s);
    return true;
  }
  const Pieces *p = unit_pieces(n, set);
  if (p) *r = pieces_min(p, x, m, s);
  return p || (n->kind == STEP && coarse_min(n, set, x, m, s, r));
}

bool unit_rises(const Node *n, uint32_t set) { return n->kind == STEP && (n->par[set].fn != RQ_D || n->par[set].m >= 0); }

bool unit_last(Node *n, uint32_t set, Iv x, i128 y, i128 *last) {
  const Pieces *p = unit_pieces(n, set);
  i128 a = (i128)x.lo - 1, b = (i128)x.hi + 1, v; // f(a) <= y < f(b), reading f as infinite outside
  if (p) {
    uint32_t i = 0, j = p->n; // pieces before i have values <= y, from j on > y
    while (i < j) {
      uint32_t mid = i + (j - i) / 2;
      if (p->value[mid] <= y) i = mid + 1;
      else j = mid;
    }
    *last = i == 0 ? a : i < p->n ? clip((i128)p->from[i] - 1, a, x.hi) : x.hi;
    return true;
  }
  while (b - a > 1) {
    i128 mid = floor_div(a + b, 2);
    if (!unit_value(n, set, mid, &v)) return false;
    if (v <= y) a = mid;
    else b = mid;
  }
  *last = a;
  return true;
}

bool unit_piece(Node *n, uint32_t set, int64_t x, Iv *same, i128 *y) {
  const Pieces *p = n->kind == CLAMP ? NULL : unit_pieces(n, set);
  *same = (Iv){x, x};
  if (!p || x < n->set_range[set].lo || x > n->set_range[set].hi) return unit_value(n, set, x, y);
  uint32_t i = piece_at(p, x);
  *same = (Iv){i > 0 ? p->from[i] : n->set_range[set].lo, i + 1 < p->n ? p->from[i + 1] - 1 : n->set_range[set].hi};
  *y = p->value[i];
  return true;
}
