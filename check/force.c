// Intervals in force: docs/certificate.md section 7.2. A restriction is followed through the net node by node, touching only
// what depends on it; what is overwritten goes to a log, from which it is taken back.
#include "check.h"

#include <string.h>

// An element before it was touched: its interval, and the exact sum's of an accumulator.
typedef struct {
  uint32_t tensor, e;
  Iv iv, sum;
} Undo;

struct Force {
  Net *net;
  Iv **iv, **sum; // per tensor; sum of affine nodes that are exact, else NULL
  Undo *log;
  uint64_t n_log, room;
  bool empty;
  // one pass
  uint64_t *from, *to; // per tensor: its entries of the log; each element once
  uint32_t **stamp, pass;
  bool *dirty; // per node: an input has changed
  const Node *node;
  Iv change; // of an affine node's input element: what is added to its ends
  uint32_t element;
};

Iv force_at(const Force *f, uint32_t tensor, uint32_t e) { return f->iv[tensor][e]; }
bool force_empty(const Force *f) { return f->empty; }
uint64_t force_mark(const Force *f) { return f->n_log; }

// Exact accumulators and all that is no accumulator, wrap, tail or opaque.
static bool moves(const Node *n) { return accumulates(n) ? n->own_harmless : is_unit(n) || n->kind == MAX || n->kind == INDEX; }

bool force_divisible(const Net *net, uint32_t tensor) {
  const Tensor *t = &net->tensors[tensor];
  return t->origin == FROM_INPUT || (t->origin == FROM_NODE && moves(&net->nodes[t->node]));
}

Force *force_make(Net *net) {
  Force *f = take(1, sizeof *f);
  uint64_t elements = 0;
  for (uint32_t t = 0; t < net->n_tensors; t++) elements += net->tensors[t].size;
  if (elements > net->text + (1 << 24)) rejected("the tensors are too large for this checker");
  f->net = net;
  f->iv = take(net->n_tensors, sizeof *f->iv), f->sum = take(net->n_tensors, sizeof *f->sum);
  f->from = take(net->n_tensors, sizeof *f->from), f->to = take(net->n_tensors, sizeof *f->to);
  f->stamp = take(net->n_tensors, sizeof *f->stamp);
  f->dirty = take(net->n_nodes, sizeof *f->dirty);
  for (uint32_t i = 0; i < net->n_tensors; i++) {
    Tensor *t = &net->tensors[i];
    Iv *iv = f->iv[i] = take(t->size, sizeof *iv);
    f->stamp[i] = take(t->size, sizeof **f->stamp);
    f->sum[i] = t->origin == FROM_NODE && accumulates(&net->nodes[t->node]) ? take(t->size, sizeof **f->sum) : NULL;
    for (uint32_t e = 0; t->data && e < t->size; e++) iv[e] = (Iv){t->data[e], t->data[e]};
    t->claim = claim_make(iv, t->size, 1);
  }
  net->image = f->iv, net->sum = f->sum;
  rules_images(net);
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    const Node *n = &net->nodes[k];
    if (n->kind != AFFINE || !n->own_harmless) f->sum[n->out] = NULL;
  }
  return f;
}

static void touch(Force *f, uint32_t tensor, uint32_t e) {
  if (f->stamp[tensor][e] == f->pass) return;
  f->stamp[tensor][e] = f->pass;
  if (f->n_log == f->room) {
    f->room = f->room ? f->room * 2 : 1 << 12;
    Undo *more = take(f->room, sizeof *more);
    if (f->n_log > 0) memcpy(more, f->log, f->n_log * sizeof *more);
    f->log = more;
  }
  f->log[f->n_log++] = (Undo){tensor, e, f->iv[tensor][e], f->sum[tensor] ? f->sum[tensor][e] : (Iv){0, 0}};
}

static void touch_reader(void *context, uint32_t e) {
  Force *f = context;
  touch(f, f->node->out, e);
}

// An input element of an affine node has lost something: its terms' ends move by d times the ends' changes. No difference of
// two ends of sums or terms is larger than 2^62 (rules.c).
static void scatter(void *context, uint32_t position, uint32_t tap) {
  Force *f = context;
  const Node *n = f->node;
  const Window *w = &n->w;
  uint32_t icg = w->ic / w->groups, ocg = w->oc / w->groups, c = f->element % w->ic, first = position * w->oc + c / icg * ocg;
  const int32_t *d = n->diff_t + ((uint64_t)tap * icg + c % icg) * w->oc + c / icg * ocg;
  Iv *sum = f->sum[n->out] + first;
  for (uint32_t o = 0; o < ocg; o++) {
    if (d[o] == 0) continue;
    touch(f, n->out, first + o);
    sum[o].lo += d[o] * (d[o] > 0 ? f->change.lo : f->change.hi);
    sum[o].hi += d[o] * (d[o] > 0 ? f->change.hi : f->change.lo);
  }
}

// The entries of the log that belong to input number `slot` of the node, in this pass.
static void follow(Force *f, uint32_t k, uint32_t slot) {
  const Node *n = &f->net->nodes[k];
  uint32_t tensor = n->in[slot];
  for (uint64_t i = f->from[tensor]; i < f->to[tensor]; i++) {
    Iv old = f->log[i].iv;
    uint32_t e = f->log[i].e;
    Iv now = f->iv[tensor][e];
    if (old.lo == now.lo && old.hi == now.hi) continue;
    if (n->kind == AFFINE) {
      f->change = (Iv){now.lo - old.lo, now.hi - old.hi}, f->element = e;
      window_readers(&n->w, e, scatter, f);
    } else {
      readers(f->net, k, slot, e, touch_reader, f);
    }
  }
}

static Wide image(const Force *f, uint32_t k, uint32_t e) {
  const Node *n = &f->net->nodes[k];
  uint32_t tensor, source;
  if (n->kind == AFFINE) return (Wide){f->sum[n->out][e].lo, f->sum[n->out][e].hi};
  if (n->kind != INDEX) return rules_element(f->net, k, e);
  if (!index_source(f->net, n, e, &tensor, &source)) return (Wide){n->value, n->value};
  return (Wide){f->iv[tensor][source].lo, f->iv[tensor][source].hi};
}

static void intersect(Force *f, uint32_t tensor, uint32_t e, Wide w) {
  Iv *v = &f->iv[tensor][e];
  if (w.lo > v->lo) v->lo = (int64_t)imin(w.lo, INT64_MAX);
  if (w.hi < v->hi) v->hi = (int64_t)imax(w.hi, INT64_MIN);
  if (v->lo > v->hi) f->empty = true;
}

static void mark_readers(Force *f, uint32_t tensor) {
  const Net *net = f->net;
  const Tensor *t = &net->tensors[tensor];
  for (uint32_t k = t->origin == FROM_NODE ? t->node + 1 : 0; k < net->n_nodes; k++) {
    for (uint32_t s = 0; s < net->nodes[k].n_in; s++) f->dirty[k] = f->dirty[k] || net->nodes[k].in[s] == tensor;
  }
}

static void pass_node(Force *f, uint32_t k) {
  const Node *n = f->node = &f->net->nodes[k];
  bool changed = false;
  if (!moves(n) && n->kind != WRAP) return;
  f->from[n->out] = f->n_log;
  for (uint32_t s = 0; s < n->n_in; s++) follow(f, k, s);
  f->to[n->out] = f->n_log;
  for (uint64_t i = f->from[n->out]; i < f->to[n->out] && !f->empty; i++) {
    uint32_t e = f->log[i].e;
    intersect(f, n->out, e, image(f, k, e));
    changed = changed || f->iv[n->out][e].lo != f->log[i].iv.lo || f->iv[n->out][e].hi != f->log[i].iv.hi;
  }
  if (changed) mark_readers(f, n->out);
}

void force_restrict(Force *f, uint32_t tensor, uint32_t e, i128 lo, i128 hi) {
  Iv v = f->iv[tensor][e];
  const Net *net = f->net;
  if (f->empty || (lo <= v.lo && hi >= v.hi)) return;
  if (++f->pass == 0) unusable("too many splits");
  for (uint32_t t = 0; t < net->n_tensors; t++) f->from[t] = f->to[t] = 0;
  for (uint32_t k = 0; k < net->n_nodes; k++) f->dirty[k] = false;
  f->from[tensor] = f->n_log;
  touch(f, tensor, e);
  f->to[tensor] = f->n_log;
  intersect(f, tensor, e, (Wide){lo, hi});
  mark_readers(f, tensor);
  for (uint32_t k = 0; k < net->n_nodes && !f->empty; k++) {
    if (f->dirty[k]) pass_node(f, k);
  }
}

void force_back(Force *f, uint64_t mark) {
  if (f->n_log > mark) f->empty = false; // nothing is restricted, and logged, where an interval is empty already
  while (f->n_log > mark) {
    const Undo *u = &f->log[--f->n_log];
    f->iv[u->tensor][u->e] = u->iv;
    if (f->sum[u->tensor]) f->sum[u->tensor][u->e] = u->sum;
  }
}

void force_keep(Force *f) { f->n_log = 0; }
