// Nodes y = f(x), element by element: step, table, threshold, clamp (docs/semantics.md section 3).
#include "check.h"

bool is_unit(const Node *n) { return n->kind == STEP || n->kind == TABLE || n->kind == THRESHOLD || n->kind == CLAMP; }

uint32_t set_at(const Node *n, uint32_t e) {
  if (n->kind != STEP && n->kind != THRESHOLD) return 0;
  uint32_t q = e / n->inner % (n->n_idx ? n->n_idx : n->n_par);
  return n->n_idx ? n->idx[q] : q;
}

// By halves; where there are many, first around the place at which it would be if all but the outer ones were equally long, as
// they nearly are in a step. A wrong guess costs nothing but time.
uint32_t piece_at(const Pieces *p, i128 x) {
  uint32_t a = 0, b = p->n; // the piece is in [a,b): from[a] <= x unless a = 0, x < from[b] unless b = n
  if (b > 16) {
    double place = ((double)(int64_t)x - (double)p->from[1]) / ((double)p->from[b - 1] - (double)p->from[1]) * (b - 2) + 1;
    uint32_t g = place < 1 ? 1 : place > b - 2 ? b - 2 : (uint32_t)place;
    if (p->from[g] <= x) a = g;
    else b = g;
    if (a == g && g + 4 < b && x < p->from[g + 4]) b = g + 4;
    if (b == g && g > 4 && p->from[g - 4] <= x) a = g - 4;
  }
  while (b - a > 1) {
    uint32_t mid = a + (b - a) / 2;
    if (p->from[mid] <= x) a = mid;
    else b = mid;
  }
  return a;
}

bool unit_value(const Node *n, uint32_t set, i128 x, i128 *y) {
  switch ((int)n->kind) {
  case STEP:
    if (!requant(&n->par[set], (x - n->in_zp) * pow2(n->lshift), n->out_zp, y)) return false;
    *y = clip(*y + n->out_zp, n->lo, n->hi);
    return true;
  case TABLE:
    if (x < n->lo || x >= (i128)n->lo + n->n_table) return false;
    *y = n->table[x - n->lo];
    return true;
  case THRESHOLD: *y = n->pieces[set].value[piece_at(&n->pieces[set], x)]; return true;
  default: *y = clip(x, n->lo, n->hi); return true;
  }
}

// By doubling and halving for steps and clamps, which are monotone; step by step in tables; threshold nodes have their pieces.
bool unit_constant_until(const Node *n, uint32_t set, i128 x, i128 u, i128 *end) {
  i128 f, g, stride = 1;
  if (!unit_value(n, set, x, &f) || !unit_value(n, set, u, &g)) return false;
  if (n->kind == THRESHOLD) {
    const Pieces *p = &n->pieces[set];
    uint32_t i = piece_at(p, x);
    *end = i + 1 < p->n ? imin(u, (i128)p->from[i + 1] - 1) : u;
    return true;
  }
  while (x + stride <= u && unit_value(n, set, x + stride, &g) && g == f) {
    x += stride;
    if (n->kind != TABLE) stride *= 2;
  }
  for (; stride > 1; stride /= 2) {
    if (x + stride / 2 <= u && unit_value(n, set, x + stride / 2, &g) && g == f) x += stride / 2;
  }
  *end = x;
  return true;
}
