// Certificates of claim robust: docs/certificate.md section 7. The certificate is checked while it is read.
#include "check.h"

#include <inttypes.h>

// A split whose first or second part is being read.
typedef struct {
  uint64_t mark;
  uint32_t tensor, e;
  int64_t at;
  bool second;
} Split;

typedef struct {
  Net *net;
  const Property *p;
  Text *t;
  Force *force;
  Dual *dual;
  Points *points; // made when first needed
  const Target *target;
  bool trap; // of a node that is not exact
  uint32_t trusted;
  Split *stack;
  uint64_t depth, room;
} Proof;

static Points *executor(Proof *s) {
  if (!s->points) s->points = points_make(s->net, s->p);
  return s->points;
}

// ---- goals: section 7.4 ----------------------------------------------------------------------------------------------------------------
// The largest value of the sum is below d: the inequality cannot hold.
static bool excluded(const Force *f, const Inequality *q) {
  i128 sum = 0, x;
  for (uint32_t i = 0; i < q->n; i++) {
    const Term *t = &q->term[i];
    Iv v = force_at(f, t->tensor, t->e);
    if (!multiply(t->c, t->c > 0 ? v.hi : v.lo, &x)) rejected("a sum of outputs leaves 2^120");
    sum += x;
    if (sum > pow2(120) || sum < -pow2(120)) rejected("a sum of outputs leaves 2^120");
  }
  return sum < q->d;
}

static bool target_excluded(const Proof *s) {
  for (uint32_t i = 0; i < s->target->n; i++) {
    if (excluded(s->force, &s->target->all[i])) return true;
  }
  return false;
}

static void sum_root(Proof *s) {
  bool any = false;
  number(s->t, s->target->n, s->target->n);
  for (uint32_t k = 0; k < s->target->n; k++) {
    const Inequality *q = &s->target->all[k];
    i128 l = number(s->t, 0, INT64_MAX);
    any = any || l != 0;
    for (uint32_t i = 0; i < q->n; i++) dual_add(s->dual, q->term[i].tensor, q->term[i].e, -l * q->term[i].c);
    dual_constant(s->dual, l * q->d);
  }
  if (!any) bad(s->t, "one of the numbers must not be 0");
}

// One of the two elements of a pair: o, as its node writes it, and a, what the node makes it of by a non-decreasing f (or itself).
typedef struct {
  Node *unit; // NULL: identity
  uint32_t set, tensor, e;
  Iv o, a;
} Side;

static Side side(const Proof *s, uint32_t tensor, uint32_t e) {
  const Net *net = s->net;
  for (;;) {
    Node *n = net->tensors[tensor].origin == FROM_NODE ? &net->nodes[net->tensors[tensor].node] : NULL;
    if (n && n->kind == INDEX && index_source(net, n, e, &tensor, &e)) continue;
    Side r = {.tensor = tensor, .e = e, .o = force_at(s->force, tensor, e)};
    if (n && n->kind == STEP && unit_rises(n, set_at(n, e))) r.unit = n, r.set = set_at(n, e), r.tensor = n->in[0];
    else if (!n || (n->kind != AFFINE && n->kind != SUM) || !n->own_harmless) rejected("pair: not the outputs of steps or exact sums");
    r.a = force_at(s->force, r.tensor, e);
    return r;
  }
}

// The largest a in force with f(a) <= y, one less than all if there is none.
static i128 last_at(const Side *s, i128 y) {
  i128 r;
  if (!s->unit) return clip(y, (i128)s->a.lo - 1, s->a.hi);
  if (!unit_last(s->unit, s->set, s->a, y, &r)) rejected("pair: an interval in force leaves what the function is defined for");
  return r;
}

// False: there is no violation at all.
static bool pair_root(Proof *s, i128 p, i128 q) {
  const Inequality *v = &s->target->all[0];
  if (s->target->n != 1 || v->n != 2 || v->term[0].c + v->term[1].c != 0 || (v->term[0].c != 1 && v->term[0].c != -1))
    rejected("pair: not the difference of two elements");
  const Term *tj = &v->term[v->term[0].c == 1 ? 0 : 1], *tc = &v->term[v->term[0].c == 1 ? 1 : 0];
  Side j = side(s, tj->tensor, tj->e), c = side(s, tc->tensor, tc->e);
  if (!j.unit != !c.unit || (j.tensor == c.tensor && j.e == c.e)) rejected("pair: a step and a sum, or the same element twice");
  if (c.o.lo > j.o.hi - v->d) return false;
  i128 t0 = imax(c.o.lo, j.o.lo - v->d), t1 = imin(c.o.hi, j.o.hi - v->d), best = 0;
  t0 = imin(t0, t1);
  if (c.unit && t1 - t0 > 1 << 16) rejected("pair: more than 2^16 values");
  for (i128 t = t0; t <= t1; t = c.unit || t == t1 ? t + 1 : t1) {
    i128 k = q * (last_at(&j, t + v->d - 1) + 1) - p * last_at(&c, t);
    best = t == t0 ? k : imin(best, k);
  }
  dual_constant(s->dual, best);
  dual_add(s->dual, c.tensor, c.e, p), dual_add(s->dual, j.tensor, j.e, -q);
  return true;
}

// ---- the tree --------------------------------------------------------------------------------------------------------------------------
static void dual_leaf(Proof *s) {
  static const char *const roots[] = {"sum", "pair"};
  bool empty = force_empty(s->force), open = true;
  dual_begin(s->dual);
  if (choice(s->t, roots, 2) == 0) {
    sum_root(s);
  } else {
    int64_t p = number(s->t, 0, INT64_MAX), q = number(s->t, 0, INT64_MAX);
    if (p == 0 && q == 0) bad(s->t, "one of the numbers must not be 0");
    open = empty || pair_root(s, p, q);
  }
  dual_multipliers(s->dual, s->t);
  if (!empty && open && dual_bound(s->dual) <= 0) bad(s->t, "the bound is not positive");
}

static void divisible(const Proof *s, uint32_t *tensor, uint32_t *e) {
  *tensor = number32(s->t, 0, s->net->n_tensors - 1);
  *e = number32(s->t, 0, s->net->tensors[*tensor].size - 1);
  if (!force_divisible(s->net, *tensor)) bad(s->t, "this tensor cannot be restricted");
}

static void split(Proof *s) {
  Split new = {.mark = force_mark(s->force)};
  divisible(s, &new.tensor, &new.e);
  new.at = number(s->t, INT64_MIN, INT64_MAX);
  if (s->depth == s->room) {
    s->room = s->room ? 2 * s->room : 256;
    Split *more = take(s->room, sizeof *more);
    for (uint64_t i = 0; i < s->depth; i++) more[i] = s->stack[i];
    s->stack = more;
  }
  s->stack[s->depth++] = new;
  force_restrict(s->force, new.tensor, new.e, INT64_MIN, new.at);
}

static void trusted_leaf(Proof *s) {
  unsigned n = 0;
  Text *t = s->t;
  if (*t->p != ' ') bad(t, "one blank expected");
  for (t->p++; (*t->p >= 'a' && *t->p <= 'z') || (*t->p >= 'A' && *t->p <= 'Z') || (*t->p >= '0' && *t->p <= '9') || *t->p == '.' ||
               *t->p == '_' || *t->p == '-';
       t->p++)
    n++;
  if (n < 1 || n > 32) bad(t, "a name of 1 to 32 characters expected");
  if (++s->trusted == 0) bad(t, "too many leaves");
}

// One line of a tree; true if it is a leaf. A node with an empty interval in force is closed, whatever stands there.
static bool tree_line(Proof *s) {
  static const char *const words[] = {"split", "empty", "dual", "points", "trusted"};
  unsigned what = choice(s->t, words, 5);
  if (s->trap && (what == 1 || what == 2 || what == 4)) bad(s->t, "a trap may be sprung: only points can prove anything");
  if (what == 0) split(s);
  else if (what == 1 && !force_empty(s->force) && !target_excluded(s)) bad(s->t, "neither an interval is empty nor the target excluded");
  else if (what == 2) dual_leaf(s);
  else if (what == 3 && !force_empty(s->force)) points_box(executor(s), s->force, s->target, 1);
  else if (what == 4) trusted_leaf(s);
  newline(s->t);
  return what != 0;
}

static void tree(Proof *s) {
  for (;;) {
    if (!tree_line(s)) continue;
    while (s->depth > 0 && s->stack[s->depth - 1].second) force_back(s->force, s->stack[--s->depth].mark);
    if (s->depth == 0) return;
    Split *top = &s->stack[s->depth - 1];
    force_back(s->force, top->mark);
    top->second = true;
    force_restrict(s->force, top->tensor, top->e, (i128)top->at + 1, INT64_MAX);
  }
}

// Section 7.3, bound.
static void bound(Proof *s) {
  static const char *const sides[] = {"lo", "hi"};
  uint32_t tensor, e;
  word(s->t, "bound");
  divisible(s, &tensor, &e);
  bool upper = choice(s->t, sides, 2) == 1;
  int64_t v = number(s->t, INT64_MIN, INT64_MAX);
  dual_begin(s->dual);
  dual_multipliers(s->dual, s->t);
  i128 one = pow2(dual_scale(s->dual));
  dual_add(s->dual, tensor, e, upper ? -one : one);
  if (s->trap) bad(s->t, "a trap may be sprung: no bounds");
  if (dual_bound(s->dual) < one * ((upper ? -(i128)v : (i128)v) - 1) + 1) bad(s->t, "the bound is not proved");
  force_restrict(s->force, tensor, e, upper ? INT64_MIN : v, upper ? v : INT64_MAX);
  if (force_empty(s->force)) bad(s->t, "an interval is empty at the root");
  force_keep(s->force);
  newline(s->t);
}

// What S7 says of a tail holds for the inputs that docs/qir.md section 6 allows it: 256 values, or 16 bits.
static bool tail_in_range(const Proof *s, const Node *n, uint32_t row) {
  Iv x = force_at(s->force, n->in[0], 0);
  for (uint32_t e = 1; e < row; e++) {
    Iv v = force_at(s->force, n->in[0], e);
    if (v.lo < x.lo) x.lo = v.lo;
    if (v.hi > x.hi) x.hi = v.hi;
  }
  return n->tail->fn == SOFTMAX_16 ? fits_bits(x.lo, x.hi, 16) : (i128)x.hi - x.lo <= 255;
}

// Section 7.6: the tail's row in the place of the outputs.
static const Target *logits(const Proof *s) {
  const Net *net = s->net;
  const Property *p = s->p;
  const Tensor *y = &net->tensors[p->kept_tensor];
  const Node *n = y->origin == FROM_NODE ? &net->nodes[y->node] : NULL;
  if (!p->keep || !n || n->kind != TAIL || tail_row(net, n) != y->size || !tail_ordered(n) || !tail_in_range(s, n, y->size))
    bad(s->t, "goals logits: no tail for which they can stand");
  int64_t gap = tail_gap(n, y->size);
  if (gap == 0 && p->kept != (p->first ? 0 : y->size - 1)) bad(s->t, "goals logits: a tie may lose the class, and the tail has no gap");
  return keep_targets(p, net, n->in[0], 0, y->size, 1 - gap, 1);
}

static void proof(Proof *s) {
  static const char *const goals[] = {"outputs", "logits"}, *const verdicts[] = {"verified", "trusted"};
  const Net *net = s->net;
  if (s->p->points) bad(s->t, "a property that lists points needs no proof but their execution");
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    const Node *n = &net->nodes[k];
    if (n->kind == OPAQUE) bad(s->t, "an opaque node: nothing is proved");
    s->trap = s->trap || (accumulates(n) && n->acc.mode == TRAP && !n->own_harmless);
  }
  const Target *target = choice(s->t, goals, 2) == 1 ? logits(s) : s->p->target;
  newline(s->t);
  while (line_is(s->t, "bound")) bound(s);
  for (uint32_t i = 0; i < s->p->n_targets; i++) {
    s->target = &target[i];
    word(s->t, "target"), number(s->t, s->target->number, s->target->number), newline(s->t);
    tree(s);
  }
  word(s->t, "verdict");
  if (choice(s->t, verdicts, 2) == 1) number(s->t, s->trusted > 0 ? s->trusted : 1, s->trusted);
  else if (s->trusted > 0) bad(s->t, "leaves are trusted");
  newline(s->t);
}

Outcome robust_check(Net *net, const Property *p, Text *t, const char *net_hash, const char *property_hash) {
  static const char *const forms[] = {"points", "goals", "witness"};
  Proof s = {.net = net, .p = p, .t = t};
  word(t, "qvc"), word(t, "1"), newline(t);
  word(t, "claim"), word(t, "robust"), newline(t);
  word(t, "net"), word(t, net_hash), newline(t);
  word(t, "property"), word(t, property_hash), newline(t);
  cone_prepare(net);
  s.force = force_make(net);
  unit_prepare(net);
  unsigned form = choice(t, forms, 3);
  if (form == 1) {
    s.dual = dual_make(net, s.force);
    proof(&s);
  } else {
    newline(t);
    if (form == 2) points_witness(executor(&s), t);
    else if (p->points) points_listed(executor(&s));
    else points_box(executor(&s), s.force, p->target, p->n_targets);
    word(t, "verdict"), word(t, form == 2 ? "falsified" : "verified"), newline(t);
  }
  own_hash(t);
  return (Outcome){form == 2, s.trusted};
}
