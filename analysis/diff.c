/* Correspondence of tensors, and comparison node by node. The search for inputs is in diff_search.c. */
#include "analysis/diff.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/diff_int.h"
#include "ir/index.h"
#include "kernels/ref.h"
#include "kernels/step.h"
#include "kernels/threshold.h"

#define MAX_RUNS ((size_t)4096)         /* stored per class */
#define MAX_STEPS ((uint64_t)1 << 25)   /* value changes followed, per tensor */
#define MAX_POINTS ((uint64_t)1 << 17)  /* of a function of two values */
#define MAX_PAIRS ((size_t)4096)        /* stored per class */

const char *qv_diff_how_name(qv_diff_how h) {
  switch (h) {
  case QV_DIFF_EQUAL: return "equal";
  case QV_DIFF_VALUES: return "values";
  case QV_DIFF_PAIRS: return "pairs";
  case QV_DIFF_SUMS: return "sums";
  case QV_DIFF_FORM: return "form";
  }
  return "?";
}

const char *qv_diff_engine_name(qv_diff_engine e) {
  switch (e) {
  case QV_DIFF_BY_NOTHING: return "none";
  case QV_DIFF_BY_NODES: return "node by node";
  case QV_DIFF_BY_ALL: return "all inputs executed";
  case QV_DIFF_BY_SUMS: return "built from a differing sum";
  case QV_DIFF_BY_SEARCH: return "search";
  }
  return "?";
}

static qv_status nomem(qv_err *err) { return QV_FAIL(err, QV_E_NOMEM, "comparison of two nets"); }

/* ---- form: equal nodes ------------------------------------------------------------------------------------------------------ */

static bool same_acc(const qv_acc *a, const qv_acc *b) {
  return a->mode == b->mode && a->bits == b->bits && a->order == b->order && a->bias == b->bias && a->raw == b->raw &&
         a->pairing == b->pairing && a->lane_bits == b->lane_bits && a->lane_sat == b->lane_sat && a->lanes == b->lanes &&
         a->spill == b->spill;
}

bool qv_diff_harmless(const qv_differ *d, int side, uint32_t node) {
  const qv_diff_side *s = &d->s[side];
  const qv_acc *a = qv_node_acc(&s->net->node[node]);
  if (a->mode == QV_ACC_EXACT) return true;
  const qv_acc_bound *b = &s->range.acc[s->acc[node]];
  for (uint32_t c = 0; c < b->n; c++)
    if (!qv_acc_harmless(a, a->bits, b, c)) return false;
  return true;
}

/* Does the accumulator give one result for given operands, whatever happens? Not where behaviour is undefined or the order unknown. */
static bool determined(const qv_differ *d, int side, uint32_t node) {
  const qv_acc *a = qv_node_acc(&d->s[side].net->node[node]);
  if (a->mode == QV_ACC_EXACT || a->mode == QV_ACC_WRAP) return true;
  return (a->mode != QV_ACC_TRAP && a->order == QV_ORDER_KERNEL) || qv_diff_harmless(d, side, node);
}

static bool same_par(const qv_rq_par *a, const qv_rq_par *b) {
  return a->fn == b->fn && a->m == b->m && a->sh == b->sh && memcmp(&a->M, &b->M, sizeof a->M) == 0 && memcmp(&a->B, &b->B, sizeof a->B) == 0;
}

static bool same_step(const qv_step *a, const qv_step *b) {
  bool ok = a->in_zp == b->in_zp && a->lshift == b->lshift && a->n_par == b->n_par && a->inner == b->inner && a->n_idx == b->n_idx &&
            (a->idx == NULL) == (b->idx == NULL) && a->out_zp == b->out_zp && a->lo == b->lo && a->hi == b->hi;
  for (uint32_t k = 0; ok && k < a->n_par; k++) ok = same_par(&a->par[k], &b->par[k]);
  return ok && (a->idx == NULL || memcmp(a->idx, b->idx, a->n_idx * sizeof *a->idx) == 0);
}

static bool same_threshold(const qv_threshold *a, const qv_threshold *b) {
  bool ok = a->inner == b->inner && a->n_par == b->n_par;
  for (uint32_t c = 0; ok && c < a->n_par; c++) {
    const qv_pieces *p = &a->par[c], *q = &b->par[c];
    ok = p->k == q->k && memcmp(p->t, q->t, p->k * sizeof *p->t) == 0 && memcmp(p->v, q->v, (p->k + 1) * sizeof *p->v) == 0;
  }
  return ok;
}

static int64_t weight(const qv_affine *a, size_t k, uint32_t o, size_t i) {
  return (int64_t)a->w[o * k + i] - a->w_zp[a->n_w_zp == 1 ? 0 : o];
}

static size_t taps(const qv_window *g) { return (size_t)g->kh * g->kw * (g->ic / g->groups); }

static bool same_weights(const qv_affine *a, const qv_affine *b) {
  size_t k = taps(&a->win);
  if (memcmp(&a->win, &b->win, sizeof a->win) != 0) return false;
  for (uint32_t o = 0; o < a->win.oc; o++)
    for (size_t i = 0; i < k; i++)
      if (weight(a, k, o, i) != weight(b, k, o, i)) return false;
  return true;
}

/* The same sum and the same machine: raw kernels multiply stored bytes, so those count there. */
static bool same_affine(const qv_affine *a, const qv_affine *b) {
  size_t k = taps(&a->win);
  if (!same_acc(&a->acc, &b->acc) || a->x_zp != b->x_zp || !same_weights(a, b)) return false;
  if (memcmp(a->b, b->b, a->win.oc * sizeof *a->b) != 0) return false;
  return a->acc.mode == QV_ACC_EXACT || a->acc.mode == QV_ACC_WRAP || !a->acc.raw || memcmp(a->w, b->w, a->win.oc * k * sizeof *a->w) == 0;
}

static bool same_index(const qv_net *na, const qv_node *a, const qv_net *nb, const qv_node *b) {
  size_t n = qv_elems(&na->tensor[a->out]);
  qv_arena tmp = {0};
  qv_index_src *p = QV_NEW(&tmp, n, qv_index_src), *q = QV_NEW(&tmp, n, qv_index_src);
  bool ok = p != NULL && q != NULL; /* no memory: not known to be the same */
  if (ok) {
    qv_index_map(p, na, a);
    qv_index_map(q, nb, b);
  }
  for (size_t e = 0; ok && e < n; e++) ok = p[e].src == q[e].src && p[e].off == q[e].off;
  qv_arena_clear(&tmp);
  return ok;
}

static bool same_tail(const qv_tail *a, const qv_tail *b) {
  if (a->fn != b->fn || a->mult != b->mult || a->ls != b->ls || a->diff_min != b->diff_min || a->out_bits != b->out_bits || a->rq != b->rq ||
      a->round != b->round || a->out_zp != b->out_zp || a->lo != b->lo || a->hi != b->hi ||
      memcmp(&a->out_scale, &b->out_scale, sizeof a->out_scale) != 0 || (a->lut == NULL) != (b->lut == NULL) || (a->exp == NULL) != (b->exp == NULL))
    return false;
  if (a->lut != NULL && memcmp(a->lut, b->lut, 1026 * sizeof *a->lut) != 0) return false;
  return a->exp == NULL || memcmp(a->exp, b->exp, 256 * sizeof *a->exp) == 0;
}

static bool same_row(const qv_tensor *a, const qv_tensor *b) {
  return (a->rank == 0 ? 1 : a->dim[a->rank - 1]) == (b->rank == 0 ? 1 : b->dim[b->rank - 1]);
}

/* Equal operands give equal results, by the attributes alone. */
static bool same_node(const qv_differ *d, uint32_t ka, uint32_t kb) {
  const qv_net *na = d->s[0].net, *nb = d->s[1].net;
  const qv_node *a = &na->node[ka], *b = &nb->node[kb];
  if (a->kind != b->kind || a->n_in != b->n_in || qv_elems(&na->tensor[a->out]) != qv_elems(&nb->tensor[b->out])) return false;
  if (qv_node_acc(a) != NULL && !(determined(d, 0, ka) && determined(d, 1, kb))) return false;
  switch (a->kind) {
  case QV_AFFINE: return same_affine(&a->u.affine, &b->u.affine);
  case QV_STEP: return same_step(&a->u.step, &b->u.step);
  case QV_TABLE: return a->u.table.lo == b->u.table.lo && a->u.table.n == b->u.table.n && memcmp(a->u.table.t, b->u.table.t, a->u.table.n * sizeof *a->u.table.t) == 0;
  case QV_THRESHOLD: return same_threshold(&a->u.threshold, &b->u.threshold);
  case QV_SUM:
    return same_acc(&a->u.sum.acc, &b->u.sum.acc) && memcmp(a->u.sum.c, b->u.sum.c, a->n_in * sizeof *a->u.sum.c) == 0 &&
           memcmp(a->u.sum.z, b->u.sum.z, a->n_in * sizeof *a->u.sum.z) == 0;
  case QV_PRODUCT: return same_acc(&a->u.product.acc, &b->u.product.acc) && a->u.product.z0 == b->u.product.z0 && a->u.product.z1 == b->u.product.z1;
  case QV_MAX: return memcmp(&a->u.max, &b->u.max, sizeof a->u.max) == 0;
  case QV_INDEX: return same_index(na, a, nb, b);
  case QV_CLAMP: return a->u.clamp.lo == b->u.clamp.lo && a->u.clamp.hi == b->u.clamp.hi;
  case QV_WRAP: return a->u.wrap.bits == b->u.wrap.bits;
  case QV_TAIL: return same_tail(&a->u.tail, &b->u.tail) && same_row(&na->tensor[a->out], &nb->tensor[b->out]);
  case QV_OPAQUE:
  case QV_KINDS: break;
  }
  return false;
}

static bool same_const(const qv_tensor *a, const qv_tensor *b) {
  size_t n = qv_elems(a);
  return n == qv_elems(b) && memcmp(a->data, b->data, n * sizeof *a->data) == 0;
}

bool qv_diff_same(qv_differ *d, uint32_t ta, uint32_t tb) {
  const qv_tensor *a = &d->s[0].net->tensor[ta], *b = &d->s[1].net->tensor[tb];
  if (d->s[0].match[ta] == tb) return true;
  if (a->data != NULL || b->data != NULL) return a->data != NULL && b->data != NULL && same_const(a, b);
  if (d->memo[ta] != 0 && d->memo_b[ta] == tb) return d->memo[ta] == 2;
  uint32_t ka = d->s[0].producer[ta], kb = d->s[1].producer[tb];
  bool ok = ka != QV_NONE && kb != QV_NONE && same_node(d, ka, kb);
  for (uint32_t i = 0; ok && i < d->s[0].net->node[ka].n_in; i++) ok = qv_diff_same(d, d->s[0].net->node[ka].in[i], d->s[1].net->node[kb].in[i]);
  d->memo[ta] = ok ? 2 : 1;
  d->memo_b[ta] = tb;
  return ok;
}

/* ---- chains ------------------------------------------------------------------------------------------------------------------ */

/* Nodes on single values from tensor t back to *base, which is a corresponding tensor or the result of another kind of node. `root`:
 * t itself does not end the chain. False: too long. */
static bool peel(const qv_diff_side *s, uint32_t t, bool root, qv_diff_chain *c, uint32_t *base) {
  const qv_node *back[QV_DIFF_STAGES];
  size_t n = 0;
  while (s->producer[t] != QV_NONE && (root || s->match[t] == QV_NONE)) {
    const qv_node *k = &s->net->node[s->producer[t]];
    if (!qv_diff_pointwise(s->net, k)) break;
    if (n == QV_DIFF_STAGES) return false;
    back[n++] = k;
    t = k->in[0];
    root = false;
  }
  *c = (qv_diff_chain){.n = n};
  for (size_t k = 0; k < n; k++) c->node[k] = back[n - 1 - k];
  *base = t;
  return true;
}

void qv_diff_choose_sets(qv_diff_chain *c, size_t e) {
  for (size_t k = 0; k < c->n; k++) {
    if (c->node[k]->kind == QV_STEP) c->set[k] = qv_step_channel(&c->node[k]->u.step, e);
    if (c->node[k]->kind == QV_THRESHOLD) c->set[k] = qv_threshold_channel(&c->node[k]->u.threshold, e);
  }
}

static uint32_t n_sets(const qv_node *n) { return n->kind == QV_STEP ? n->u.step.n_par : n->kind == QV_THRESHOLD ? n->u.threshold.n_par : 1; }

static bool one_set(const qv_diff_chain *c) {
  for (size_t k = 0; k < c->n; k++)
    if (n_sets(c->node[k]) > 1) return false;
  return true;
}

/* Values that both nets allow for corresponding tensors, the second one's less `shift`. False: none. */
static bool common(qv_itv *r, qv_itv a, qv_itv b, int64_t shift) {
  *r = (qv_itv){qv_max64(a.lo, b.lo - shift), qv_min64(a.hi, b.hi - shift)};
  return r->lo <= r->hi;
}

static qv_itv hull(const qv_ranges *r) {
  qv_itv h = r->itv[0];
  for (uint32_t i = 1; i < r->n; i++) h = qv_itv_hull(h, r->itv[i]);
  return h;
}

/* Operands of two affine nodes: equal up to a constant, x_b = x_a + *c, on all values proved for the first net? */
static bool shifted_operand(qv_differ *d, uint32_t ta, uint32_t tb, int64_t *c) {
  qv_diff_chain f, g;
  uint32_t ua, ub;
  *c = 0;
  if (qv_diff_same(d, ta, tb)) return true;
  if (!peel(&d->s[0], ta, false, &f, &ua) || !peel(&d->s[1], tb, false, &g, &ub) || !qv_diff_same(d, ua, ub)) return false;
  if (!one_set(&f) || !one_set(&g)) return false;
  qv_itv r;
  if (!common(&r, hull(&d->s[0].range.tensor[ua]), hull(&d->s[1].range.tensor[ub]), 0) || r.hi - r.lo > 65535) return false;
  *c = qv_diff_value(&g, r.lo) - qv_diff_value(&f, r.lo);
  for (int64_t x = r.lo; x <= r.hi; x++)
    if (qv_diff_value(&g, x) - qv_diff_value(&f, x) != *c) return false;
  return true;
}

static bool no_padding(const qv_window *g) {
  return g->pt == 0 && g->pl == 0 && ((int64_t)g->oh - 1) * g->sh + ((int64_t)g->kh - 1) * g->dh < g->ih &&
         ((int64_t)g->ow - 1) * g->sw + ((int64_t)g->kw - 1) * g->dw < g->iw;
}

/* Exact sums of two affine nodes: sum_b = sum_a + delta[channel]? */
static bool same_sums(qv_differ *d, const qv_node *a, const qv_node *b, int64_t *delta) {
  int64_t c;
  const qv_affine *p = &a->u.affine, *q = &b->u.affine;
  if (!same_weights(p, q) || !shifted_operand(d, a->in[0], b->in[0], &c)) return false;
  int64_t e = c + p->x_zp - q->x_zp; /* of x - x_zp; small numbers */
  if (e != 0 && !no_padding(&p->win)) return false;
  size_t k = taps(&p->win);
  for (uint32_t o = 0; o < p->win.oc; o++) {
    qv_i128 sum = (qv_i128)q->b[o] - p->b[o];
    for (size_t i = 0; e != 0 && i < k; i++) sum += (qv_i128)e * weight(p, k, o, i);
    delta[o] = qv_sat64(sum);
    if ((qv_i128)delta[o] != sum) return false;
  }
  return true;
}

/* ---- classes: elements with the same pair of functions ------------------------------------------------------------------------- */

typedef struct {
  uint32_t channel;
  size_t element;
  qv_itv range;
  qv_diff_chain chain[2];
} class_t;

typedef struct {
  class_t *c;
  uint32_t n, cap;
  uint32_t *slot; /* hash table of numbers + 1 */
  uint32_t n_slot;
  qv_arena arena;
} classes;

static uint64_t mix(uint64_t h, uint64_t v) { return (h ^ v) * 0x9E3779B97F4A7C15u + (h >> 29); }

static uint64_t hash_class(const class_t *k) {
  uint64_t h = mix(1, k->channel);
  for (int s = 0; s < 2; s++)
    for (size_t i = 0; i < k->chain[s].n; i++) h = mix(h, k->chain[s].set[i]);
  return h ^ h >> 31;
}

static bool equal_class(const class_t *p, const class_t *q) {
  bool ok = p->channel == q->channel;
  for (int s = 0; s < 2; s++) ok = ok && memcmp(p->chain[s].set, q->chain[s].set, p->chain[s].n * sizeof(uint32_t)) == 0;
  return ok;
}

static bool grow(classes *k) {
  uint32_t cap = k->cap == 0 ? 64 : 2 * k->cap;
  class_t *c = QV_NEW(&k->arena, cap, class_t);
  uint32_t *slot = QV_NEW(&k->arena, 2 * (size_t)cap, uint32_t);
  if (c == NULL || slot == NULL) return false;
  if (k->n > 0) memcpy(c, k->c, k->n * sizeof *c);
  for (uint32_t i = 0; i < k->n; i++) {
    uint64_t h = hash_class(&c[i]);
    while (slot[h % (2 * cap)] != 0) h++;
    slot[h % (2 * cap)] = i + 1;
  }
  k->c = c;
  k->cap = cap;
  k->slot = slot;
  k->n_slot = 2 * cap;
  return true;
}

static bool put(classes *k, const class_t *c) {
  if (k->n == k->cap && !grow(k)) return false;
  uint64_t h = hash_class(c);
  for (; k->slot[h % k->n_slot] != 0; h++) {
    class_t *have = &k->c[k->slot[h % k->n_slot] - 1];
    if (!equal_class(have, c)) continue;
    have->range = qv_itv_hull(have->range, c->range);
    return true;
  }
  k->c[k->n] = *c;
  k->slot[h % k->n_slot] = ++k->n;
  return true;
}

/* Do all elements with the same e mod oc have the same functions and range? */
static bool by_channel(const qv_diff_chain *c, const qv_ranges *r, uint32_t oc) {
  for (size_t k = 0; k < c->n; k++) {
    const qv_node *x = c->node[k];
    bool step = x->kind == QV_STEP;
    if (!step && x->kind != QV_THRESHOLD) continue;
    uint32_t n = step && x->u.step.idx != NULL ? x->u.step.n_idx : n_sets(x), inner = step ? x->u.step.inner : x->u.threshold.inner;
    if (n != 1 && !(inner == 1 && oc % n == 0)) return false;
  }
  return r->n == 1 || (r->inner == 1 && oc % r->n == 0);
}

/* ---- comparison of one tensor ---------------------------------------------------------------------------------------------------- */

typedef struct {
  uint32_t t[2];
  qv_diff_chain chain[2];
  uint32_t base[2];
} task;

static bool keep_class(qv_differ *d, const qv_diff_class *c) {
  if (d->n_cls == d->cap_cls) {
    uint32_t cap = d->cap_cls == 0 ? 64 : 2 * d->cap_cls;
    qv_diff_class *p = QV_NEW(&d->tmp, cap, qv_diff_class);
    if (p == NULL) return false;
    if (d->n_cls > 0) memcpy(p, d->cls, d->n_cls * sizeof *p);
    d->cls = p;
    d->cap_cls = cap;
  }
  d->cls[d->n_cls++] = *c;
  return true;
}

static qv_status count_class(qv_differ *d, qv_diff_node *n, const task *k, const class_t *c, uint64_t *steps, qv_err *err) {
  qv_itv *runs = d->runs;
  size_t n_runs;
  qv_diff_channel *ch = &n->channel[n->n_channel++];
  *ch = (qv_diff_channel){.channel = c->channel, .range = c->range, .values = (uint64_t)c->range.hi - (uint64_t)c->range.lo + 1};
  if (!qv_diff_count(&ch->differ, &c->chain[0], &c->chain[1], c->range, runs, MAX_RUNS, &n_runs, steps)) {
    n->how = QV_DIFF_FORM;
    n->why = "too many different values to count";
    return QV_OK;
  }
  n->values += ch->values;
  n->differ += ch->differ;
  if (ch->differ == 0) return QV_OK;
  n->n_differ++;
  size_t stored = n_runs < MAX_RUNS ? n_runs : MAX_RUNS;
  ch->at[0] = runs[stored / 2].lo; /* from the middle: ends are where results saturate */
  ch->a = qv_diff_value(&c->chain[0], ch->at[0]);
  ch->b = qv_diff_value(&c->chain[1], ch->at[0]);
  qv_diff_class x = {.node = d->out->n_node, .base = {k->base[0], k->base[1]}, .element = c->element, .channel = c->channel,
                     .chain = {c->chain[0], c->chain[1]}, .n_runs = stored, .all_runs = n_runs <= MAX_RUNS};
  x.runs = QV_NEW(&d->tmp, stored, qv_itv);
  if (x.runs == NULL) return nomem(err);
  memcpy(x.runs, runs, stored * sizeof *runs);
  return keep_class(d, &x) ? QV_OK : nomem(err);
}

/* The chains start from the same tensor, or from sums that differ by delta[channel] (NULL: none). */
static qv_status compare_values(qv_differ *d, qv_diff_node *n, const task *k, const int64_t *delta, qv_err *err) {
  qv_status st = QV_OK;
  const qv_diff_side *s = &d->s[0];
  const qv_ranges *r = &s->range.tensor[k->base[0]], *q = &d->s[1].range.tensor[k->base[1]];
  size_t ne = qv_elems(&s->net->tensor[k->base[0]]);
  const qv_node *from = s->producer[k->base[0]] != QV_NONE ? &s->net->node[s->producer[k->base[0]]] : NULL;
  uint32_t oc = from != NULL && from->kind == QV_AFFINE ? from->u.affine.win.oc : 1;
  bool few = by_channel(&k->chain[0], r, oc) && by_channel(&k->chain[1], q, oc);
  classes all = {0};
  for (size_t e = 0; e < (few ? oc : ne); e++) {
    class_t c = {.channel = oc > 1 ? (uint32_t)(e % oc) : 0, .element = e, .chain = {k->chain[0], k->chain[1]}};
    qv_diff_choose_sets(&c.chain[0], e);
    qv_diff_choose_sets(&c.chain[1], e);
    if (delta != NULL) c.chain[1].add = delta[e % oc];
    if (!common(&c.range, qv_ranges_at(r, e), qv_ranges_at(q, e), c.chain[1].add)) { /* only if earlier tensors differ */
      n->how = QV_DIFF_FORM;
      n->why = "no value is possible under both profiles";
      goto done;
    }
    if (put(&all, &c)) continue;
    st = nomem(err);
    goto done;
  }
  n->channel = QV_NEW(&d->out->arena, all.n, qv_diff_channel);
  if (n->channel == NULL) {
    st = nomem(err);
    goto done;
  }
  uint64_t steps = MAX_STEPS;
  for (uint32_t i = 0; i < all.n && n->how != QV_DIFF_FORM; i++) QV_TRY(count_class(d, n, k, &all.c[i], &steps, err));
  if (n->how != QV_DIFF_FORM) n->how = n->differ == 0 ? QV_DIFF_EQUAL : QV_DIFF_VALUES;
done:
  qv_arena_clear(&all.arena);
  return st;
}

/* ---- functions of two values ------------------------------------------------------------------------------------------------------ */

typedef struct {
  uint32_t n;
  uint32_t t[2]; /* operands that vary: tensors of net 0 */
  uint32_t u[2]; /* the same of net 1 */
} atoms;

/* Collect the operands of tensor t, elementwise nodes looked through. `of`: the operands of net 0 (for net 1 each must be one of
 * them). False: more than two, or another kind of node depends on them. */
static bool collect(qv_differ *d, int side, uint32_t t, bool root, atoms *of, int depth) {
  const qv_diff_side *s = &d->s[side];
  if (s->net->tensor[t].data != NULL) return true;
  if (depth > 24) return false;
  uint32_t p = s->producer[t];
  if (p != QV_NONE && (root || s->match[t] == QV_NONE)) {
    const qv_node *n = &s->net->node[p];
    bool through = qv_diff_pointwise(s->net, n) || n->kind == QV_SUM || n->kind == QV_PRODUCT;
    if (through && qv_node_acc(n) != NULL && !determined(d, side, p)) return false;
    for (uint32_t i = 0; through && i < n->n_in; i++)
      if (!collect(d, side, n->in[i], false, of, depth + 1)) return false;
    if (through) return true;
  }
  if (root) return false; /* the tensor to be compared is no operand of itself */
  for (uint32_t i = 0; i < of->n; i++)
    if (side == 0 ? of->t[i] == t : qv_diff_same(d, of->t[i], t)) {
      if (side == 1) of->u[i] = t;
      return true;
    }
  if (side == 1 || of->n == 2) return false;
  of->t[of->n++] = t;
  return true;
}

/* Value of element e of tensor t when the operands have the given values. Elementwise nodes only (collect). */
static int64_t eval(qv_differ *d, int side, uint32_t t, bool root, const atoms *of, const int64_t *v, size_t e) {
  const qv_diff_side *s = &d->s[side];
  if (s->net->tensor[t].data != NULL) return s->net->tensor[t].data[e];
  uint32_t p = s->producer[t];
  const qv_node *n = p != QV_NONE && (root || s->match[t] == QV_NONE) ? &s->net->node[p] : NULL;
  if (n != NULL && qv_diff_pointwise(s->net, n)) {
    qv_diff_chain c = {.n = 1, .node = {n}};
    qv_diff_choose_sets(&c, e);
    return qv_diff_value(&c, eval(d, side, n->in[0], false, of, v, e));
  }
  if (n != NULL && (n->kind == QV_SUM || n->kind == QV_PRODUCT) && n->n_in <= 8) {
    int64_t x[8], w[8], y;
    bool inside[8];
    for (uint32_t i = 0; i < n->n_in; i++) {
      x[i] = eval(d, side, n->in[i], false, of, v, e) - (n->kind == QV_SUM ? n->u.sum.z[i] : 0);
      w[i] = n->kind == QV_SUM ? n->u.sum.c[i] : 0;
      inside[i] = true;
    }
    bool sum = n->kind == QV_SUM;
    (void)qv_acc_run(&y, qv_node_acc(n), sum ? n->n_in : 1, x, sum ? w : x + 1, inside, sum ? 0 : n->u.product.z0, sum ? 0 : n->u.product.z1, 0);
    return y; /* TRAP: harmless (determined), so it never fails */
  }
  for (uint32_t i = 0; i < of->n; i++)
    if (side == 0 ? of->t[i] == t : qv_diff_same(d, of->t[i], t)) return v[i];
  QV_CHECK(false);
  return 0;
}

/* Do all elements have the same function (no parameter sets, no constants that vary)? */
static bool uniform(const qv_differ *d, int side, uint32_t t, bool root, int depth) {
  const qv_diff_side *s = &d->s[side];
  const qv_tensor *x = &s->net->tensor[t];
  for (size_t e = 1, ne = x->data != NULL ? qv_elems(x) : 0; e < ne; e++)
    if (x->data[e] != x->data[0]) return false;
  uint32_t p = s->producer[t];
  if (x->data != NULL || p == QV_NONE || !(root || s->match[t] == QV_NONE) || depth > 24) return true;
  const qv_node *n = &s->net->node[p];
  if (!qv_diff_pointwise(s->net, n) && n->kind != QV_SUM && n->kind != QV_PRODUCT) return true;
  if (n->n_in > 8 || n_sets(n) > 1) return false;
  for (uint32_t i = 0; i < n->n_in; i++)
    if (!uniform(d, side, n->in[i], false, depth + 1)) return false;
  return true;
}

/* One function of at most two operands, all pairs of values. *done: it was one. */
static qv_status compare_pairs(qv_differ *d, qv_diff_node *n, const task *k, bool *done, qv_err *err) {
  atoms of = {.u = {QV_NONE, QV_NONE}};
  *done = false;
  if (!collect(d, 0, k->t[0], true, &of, 0) || of.n == 0 || !collect(d, 1, k->t[1], true, &of, 0)) return QV_OK;
  if (!uniform(d, 0, k->t[0], true, 0) || !uniform(d, 1, k->t[1], true, 0)) return QV_OK;
  qv_itv r[2] = {{0, 0}, {0, 0}};
  uint64_t size = 1;
  for (uint32_t i = 0; i < of.n; i++) {
    qv_itv own = hull(&d->s[0].range.tensor[of.t[i]]);
    if (!common(&r[i], own, of.u[i] != QV_NONE ? hull(&d->s[1].range.tensor[of.u[i]]) : own, 0)) return QV_OK;
    if ((uint64_t)(r[i].hi - r[i].lo) >= MAX_POINTS) return QV_OK;
    size *= (uint64_t)(r[i].hi - r[i].lo) + 1;
  }
  if (size > MAX_POINTS) return QV_OK;
  qv_diff_class x = {.node = d->out->n_node, .n_atom = of.n, .atom = {of.t[0], of.t[1]}, .all_runs = true};
  x.pair = qv_arena_alloc(&d->tmp, MAX_PAIRS, sizeof *x.pair);
  n->channel = QV_NEW(&d->out->arena, 1, qv_diff_channel);
  if (x.pair == NULL || n->channel == NULL) return nomem(err);
  qv_diff_channel *ch = &n->channel[0];
  *ch = (qv_diff_channel){.range = r[0], .values = size};
  int64_t v[2];
  for (v[0] = r[0].lo; v[0] <= r[0].hi; v[0]++)
    for (v[1] = r[1].lo; v[1] <= r[1].hi; v[1]++) {
      int64_t a = eval(d, 0, k->t[0], true, &of, v, 0), b = eval(d, 1, k->t[1], true, &of, v, 0);
      if (a == b) continue;
      if (ch->differ++ == 0) ch->at[0] = v[0], ch->at[1] = v[1], ch->a = a, ch->b = b;
      if (x.n_pair < MAX_PAIRS) {
        x.pair[x.n_pair][0] = v[0];
        x.pair[x.n_pair++][1] = v[1];
      }
    }
  x.all_runs = x.n_pair == ch->differ;
  n->n_channel = 1;
  n->values = ch->values;
  n->differ = ch->differ;
  n->n_differ = ch->differ > 0;
  n->how = ch->differ > 0 ? QV_DIFF_PAIRS : QV_DIFF_EQUAL;
  *done = true;
  return ch->differ == 0 || keep_class(d, &x) ? QV_OK : nomem(err);
}

static bool kind_is(const qv_diff_side *s, uint32_t t, qv_kind k) { return s->producer[t] != QV_NONE && s->net->node[s->producer[t]].kind == k; }

/* Two affine nodes with chains behind them. */
static bool channel_harmless(const qv_differ *d, int side, uint32_t node, uint32_t c) {
  const qv_acc *a = qv_node_acc(&d->s[side].net->node[node]);
  return a->mode == QV_ACC_EXACT || qv_acc_harmless(a, a->bits, &d->s[side].range.acc[d->s[side].acc[node]], c);
}

static qv_status compare_sums(qv_differ *d, qv_diff_node *n, const task *k, qv_err *err) {
  uint32_t ka = d->s[0].producer[k->base[0]], kb = d->s[1].producer[k->base[1]];
  const qv_node *a = &d->s[0].net->node[ka], *b = &d->s[1].net->node[kb];
  int64_t *delta = QV_NEW(&d->tmp, a->u.affine.win.oc, int64_t);
  if (delta == NULL) return nomem(err);
  n->how = QV_DIFF_FORM;
  n->why = "sums of different terms";
  if (!same_sums(d, a, b, delta)) return QV_OK;
  if (qv_diff_harmless(d, 0, ka) && qv_diff_harmless(d, 1, kb)) {
    n->how = QV_DIFF_EQUAL;
    n->why = NULL;
    return compare_values(d, n, k, delta, err);
  }
  n->how = QV_DIFF_SUMS;
  n->n_channel = a->u.affine.win.oc;
  for (uint32_t c = 0; c < n->n_channel; c++) n->n_differ += !(channel_harmless(d, 0, ka, c) && channel_harmless(d, 1, kb, c));
  n->why = qv_diff_harmless(d, 0, ka) ? "the second profile's accumulator can overflow or saturate"
           : qv_diff_harmless(d, 1, kb) ? "the first profile's accumulator can overflow or saturate"
                                    : "both accumulators can overflow or saturate";
  qv_diff_class x = {.node = d->out->n_node, .base = {k->base[0], k->base[1]}, .chain = {k->chain[0], k->chain[1]}};
  return keep_class(d, &x) ? QV_OK : nomem(err);
}

static qv_status compare(qv_differ *d, qv_diff_node *n, const task *t, qv_err *err) {
  task k = *t;
  bool done;
  uint32_t pa = d->s[0].producer[k.t[0]], pb = d->s[1].producer[k.t[1]]; /* both are: match_tensors */
  /* by form, without the correspondence of these two tensors themselves */
  bool same = same_node(d, pa, pb);
  for (uint32_t i = 0; same && i < d->s[0].net->node[pa].n_in; i++) same = qv_diff_same(d, d->s[0].net->node[pa].in[i], d->s[1].net->node[pb].in[i]);
  n->how = QV_DIFF_EQUAL;
  if (same) return QV_OK;
  bool chains = peel(&d->s[0], k.t[0], true, &k.chain[0], &k.base[0]) && peel(&d->s[1], k.t[1], true, &k.chain[1], &k.base[1]);
  bool roots = chains && k.base[0] == k.t[0] && k.base[1] == k.t[1]; /* they correspond, which is not yet to be the same */
  bool joined = chains && !roots && qv_diff_same(d, k.base[0], k.base[1]);
  bool elementwise = chains && (kind_is(&d->s[0], k.base[0], QV_SUM) || kind_is(&d->s[0], k.base[0], QV_PRODUCT)) && d->s[0].match[k.base[0]] == QV_NONE;
  if (joined && !elementwise) return compare_values(d, n, &k, NULL, err);
  qv_status st = compare_pairs(d, n, &k, &done, err);
  if (st != QV_OK || done) return st;
  if (joined) return compare_values(d, n, &k, NULL, err);
  if (chains && kind_is(&d->s[0], k.base[0], QV_AFFINE) && kind_is(&d->s[1], k.base[1], QV_AFFINE)) return compare_sums(d, n, &k, err);
  n->how = QV_DIFF_FORM;
  n->why = kind_is(&d->s[0], k.t[0], QV_TAIL) ? "functions of whole rows"
           : kind_is(&d->s[0], k.t[0], QV_OPAQUE) ? "an opaque operator" : "different nodes";
  return QV_OK;
}

/* ---- correspondence ---------------------------------------------------------------------------------------------------------------- */

static qv_status side_init(qv_differ *d, int i, const qv_net *net, qv_err *err) {
  qv_diff_side *s = &d->s[i];
  s->net = net;
  s->producer = QV_NEW(&d->tmp, net->n_tensors, uint32_t);
  s->match = QV_NEW(&d->tmp, net->n_tensors, uint32_t);
  s->acc = QV_NEW(&d->tmp, net->n_nodes, uint32_t);
  if (s->producer == NULL || s->match == NULL || s->acc == NULL) return nomem(err);
  memset(s->producer, 0xff, net->n_tensors * sizeof *s->producer);
  memset(s->match, 0xff, net->n_tensors * sizeof *s->match);
  memset(s->acc, 0xff, net->n_nodes * sizeof *s->acc);
  for (uint32_t k = 0; k < net->n_nodes; k++) s->producer[net->node[k].out] = k;
  qv_status st = qv_range_run(&s->range, net, NULL, err);
  for (uint32_t k = 0; st == QV_OK && k < s->range.n_acc; k++) s->acc[s->range.acc[k].node] = k;
  return st;
}

/* Tensors that another operator of the file reads, or nobody. */
static qv_status boundaries(const qv_net *net, bool **out, qv_arena *a, qv_err *err) {
  bool *b = *out = QV_NEW(a, net->n_tensors, bool);
  uint32_t *layer = QV_NEW(a, net->n_tensors, uint32_t);
  if (b == NULL || layer == NULL) return nomem(err);
  memset(layer, 0xff, net->n_tensors * sizeof *layer);
  for (uint32_t k = 0; k < net->n_nodes; k++) layer[net->node[k].out] = net->node[k].layer;
  for (uint32_t k = 0; k < net->n_nodes; k++)
    for (uint32_t i = 0; i < net->node[k].n_in; i++)
      if (layer[net->node[k].in[i]] != net->node[k].layer) b[net->node[k].in[i]] = true;
  return QV_OK;
}

typedef struct {
  const char *name;
  uint32_t t;
} named;

static int by_name(const void *p, const void *q) { return strcmp(((const named *)p)->name, ((const named *)q)->name); }

static qv_status match_tensors(qv_differ *d, qv_err *err) {
  qv_status st = QV_OK;
  const qv_net *a = d->s[0].net, *b = d->s[1].net;
  bool *ba, *bb;
  named *index = QV_NEW(&d->tmp, b->n_tensors, named);
  if (index == NULL) return nomem(err);
  QV_TRY(boundaries(a, &ba, &d->tmp, err));
  QV_TRY(boundaries(b, &bb, &d->tmp, err));
  for (uint32_t t = 0; t < b->n_tensors; t++) index[t] = (named){b->tensor[t].name, t};
  qsort(index, b->n_tensors, sizeof *index, by_name);
  for (uint32_t i = 0; i < a->n_in; i++) d->s[0].match[a->in[i].tensor] = b->in[i].tensor, d->s[1].match[b->in[i].tensor] = a->in[i].tensor;
  for (uint32_t t = 0; t < a->n_tensors; t++) {
    uint32_t p = d->s[0].producer[t];
    if (p == QV_NONE) continue;
    const named key = {a->tensor[t].name, 0}, *hit = bsearch(&key, index, b->n_tensors, sizeof *index, by_name);
    if (hit == NULL || d->s[1].producer[hit->t] == QV_NONE || !(ba[t] || bb[hit->t])) continue;
    if (a->node[p].layer != b->node[d->s[1].producer[hit->t]].layer || qv_elems(&a->tensor[t]) != qv_elems(&b->tensor[hit->t])) continue;
    d->s[0].match[t] = hit->t;
    d->s[1].match[hit->t] = t;
  }
  for (uint32_t i = 0; i < a->n_out; i++) { /* by order, whatever their names */
    uint32_t t = a->out[i].tensor, u = b->out[i].tensor;
    if (d->s[0].producer[t] == QV_NONE || d->s[1].producer[u] == QV_NONE) continue; /* an input or constant: all_equal looks at it */
    if (d->s[0].match[t] != QV_NONE && d->s[0].match[t] != u) d->s[1].match[d->s[0].match[t]] = QV_NONE;
    if (d->s[1].match[u] != QV_NONE && d->s[1].match[u] != t) d->s[0].match[d->s[1].match[u]] = QV_NONE;
    d->s[0].match[t] = u;
    d->s[1].match[u] = t;
  }
done:
  return st;
}

static bool same_end(const qv_port *p, const qv_tensor *x, const qv_port *q, const qv_tensor *y) {
  if (p->end != q->end || (p->tail == NULL) != (q->tail == NULL) || (p->tail != NULL && strcmp(p->tail, q->tail) != 0)) return false;
  return p->end == QV_END_INT || (x->has_q == y->has_q && memcmp(&x->scale, &y->scale, sizeof x->scale) == 0 && x->zp == y->zp);
}

static qv_status comparable(qv_diff *out, const qv_net *a, const qv_net *b, qv_err *err) {
  if (a->n_in != b->n_in || a->n_out != b->n_out)
    return QV_FAIL(err, QV_E_UNSUP, "the two lowerings have different inputs or outputs: nothing to compare");
  for (uint32_t i = 0; i < a->n_in + a->n_out; i++) {
    const qv_port *p = i < a->n_in ? &a->in[i] : &a->out[i - a->n_in], *q = i < a->n_in ? &b->in[i] : &b->out[i - a->n_in];
    const qv_tensor *x = &a->tensor[p->tensor], *y = &b->tensor[q->tensor];
    if (x->type != y->type || qv_elems(x) != qv_elems(y) || (i < a->n_in && (x->lo != y->lo || x->hi != y->hi)))
      return QV_FAIL(err, QV_E_UNSUP, "'%.60s' has another size, type or range under the second profile", x->name);
    out->ends_differ = out->ends_differ || !same_end(p, x, q, y);
  }
  return QV_OK;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------------------ */

static qv_status compare_all(qv_differ *d, qv_err *err) {
  qv_diff *out = d->out;
  const qv_net *a = d->s[0].net;
  out->node = QV_NEW(&out->arena, a->n_nodes, qv_diff_node);
  if (out->node == NULL) return nomem(err);
  for (uint32_t k = 0; k < a->n_nodes; k++) {
    uint32_t t = a->node[k].out;
    if (d->s[0].match[t] == QV_NONE) continue;
    qv_diff_node *n = &out->node[out->n_node];
    *n = (qv_diff_node){.layer = a->node[k].layer, .op = a->node[k].op, .tensor = a->tensor[t].name, .out = {t, d->s[0].match[t]}};
    qv_status st = compare(d, n, &(task){.t = {t, n->out[1]}}, err);
    if (st != QV_OK) return st;
    out->n_differ += n->how != QV_DIFF_EQUAL;
    out->n_node++;
  }
  return QV_OK;
}

/* Lemma D1: every output is an input, or compared EQUAL, and so is everything that its comparison rests on. Since every compared
 * tensor rests on compared ones, it is enough that all are equal. */
static bool all_equal(const qv_differ *d) {
  const qv_net *a = d->s[0].net;
  for (uint32_t i = 0; i < a->n_out; i++) {
    uint32_t t = a->out[i].tensor, u = d->s[1].net->out[i].tensor;
    bool compared = false;
    for (uint32_t k = 0; k < d->out->n_node; k++) compared = compared || (d->out->node[k].out[0] == t && d->out->node[k].out[1] == u);
    for (uint32_t k = 0; k < a->n_in && !compared; k++) compared = a->in[k].tensor == t && d->s[1].net->in[k].tensor == u;
    if (!compared) return false;
  }
  for (uint32_t k = 0; k < d->out->n_node; k++)
    if (d->out->node[k].how != QV_DIFF_EQUAL && d->out->node[k].reached != QV_VERIFIED) return false;
  return true;
}

qv_status qv_diff_run(qv_diff *out, const qv_net *a, const qv_net *b, const qv_diff_opts *opts, qv_err *err) {
  qv_status st;
  *out = (qv_diff){0};
  qv_differ d = {.out = out, .opts = opts != NULL ? *opts : (qv_diff_opts){0}};
  QV_TRY(comparable(out, a, b, err));
  QV_TRY(side_init(&d, 0, a, err));
  QV_TRY(side_init(&d, 1, b, err));
  d.memo = QV_NEW(&d.tmp, a->n_tensors, uint8_t);
  d.memo_b = QV_NEW(&d.tmp, a->n_tensors, uint32_t);
  d.runs = QV_NEW(&d.tmp, MAX_RUNS, qv_itv);
  if (d.memo == NULL || d.memo_b == NULL || d.runs == NULL) {
    st = nomem(err);
    goto done;
  }
  QV_TRY(match_tensors(&d, err));
  QV_TRY(compare_all(&d, err));
  QV_TRY(qv_diff_search(&d, err));
  if (out->verdict == QV_UNKNOWN && all_equal(&d)) {
    out->verdict = QV_VERIFIED;
    out->engine = QV_DIFF_BY_NODES;
    out->reason = NULL;
  }
  if (out->verdict == QV_VERIFIED && out->ends_differ) {
    out->verdict = QV_UNKNOWN;
    out->reason = "the integers are equal for all inputs, but float inputs are quantized (or outputs dequantized) differently";
  }
  if (out->verdict == QV_UNKNOWN && out->reason == NULL) out->reason = "an output has no counterpart that could be compared";
done:
  qv_range_clear(&d.s[0].range);
  qv_range_clear(&d.s[1].range);
  qv_arena_clear(&d.tmp);
  return st;
}

void qv_diff_clear(qv_diff *d) {
  qv_arena_clear(&d->arena);
  *d = (qv_diff){0};
}
