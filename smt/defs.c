#include <stdlib.h>

#include "analysis/tail_gap.h"
#include "ir/index.h"
#include "kernels/threshold.h"
#include "smt/child.h"
#include "smt/defs_int.h"

/* ---- nodes ------------------------------------------------------------------------------------------------------------ */

static qv_atom affine(qv_builder *b, const qv_affine *f, const qv_atom *in, size_t e) {
  const qv_window *g = &f->win;
  uint32_t o = (uint32_t)(e % g->oc), ox = (uint32_t)(e / g->oc % g->ow), oy = (uint32_t)(e / g->oc / g->ow % g->oh);
  size_t image = e / g->oc / g->ow / g->oh, n_fix = 0;
  uint32_t gic = g->ic / g->groups, c0 = o / (g->oc / g->groups) * gic;
  int64_t xz = f->x_zp, wz = f->w_zp[f->n_w_zp == 1 ? 0 : o];
  const int32_t *w = f->w + (size_t)o * g->kh * g->kw * gic;
  /* sums modulo 2^P do not see how the terms are written: only narrow stages need the raw qv_form */
  bool raw = f->acc.raw && f->acc.mode != QV_ACC_EXACT && f->acc.mode != QV_ACC_WRAP;
  qv_mterm *fix = NULL;
  if (raw) {
    size_t k = (size_t)g->kh * g->kw * gic;
    if ((fix = malloc((k + 1) * sizeof *fix)) == NULL) {
      qv_defs_nomem(b);
      return qv_defs_constant(0);
    }
    fix[n_fix++] = (qv_mterm){qv_defs_constant(0), 0, (int64_t)k * xz * wz};
  }
  b->n_m = 0;
  for (uint32_t ky = 0; ky < g->kh; ky++)
    for (uint32_t kx = 0; kx < g->kw; kx++, w += gic) {
      size_t at;
      bool inside = qv_window_tap(&at, g, image, oy, ox, ky, kx);
      for (uint32_t c = 0; c < gic; c++) {
        qv_atom x = inside ? in[at + c0 + c] : qv_defs_constant(xz);
        if (raw) {
          qv_defs_term(b, x, w[c], 0);
          fix[0].c -= xz * w[c];
          fix[n_fix++] = (qv_mterm){x, -wz, 0};
        } else {
          int64_t d = inside ? w[c] - wz : 0;
          qv_defs_term(b, x, d, -d * xz);
        }
      }
    }
  qv_atom y = qv_defs_accumulate(b, &f->acc, f->b[o], fix, n_fix);
  free(fix);
  return y;
}

static qv_atom sum(qv_builder *b, const qv_node *n, size_t e) {
  const qv_sum *s = &n->u.sum;
  b->n_m = 0;
  for (uint32_t k = 0; k < n->n_in; k++) qv_defs_term(b, b->v[n->in[k]][e], s->c[k], -s->c[k] * s->z[k]);
  return qv_defs_accumulate(b, &s->acc, 0, NULL, 0);
}

static qv_atom minus(qv_builder *b, qv_atom x, int64_t z) {
  qv_form_start(&b->f, -(qv_i128)z);
  qv_form_add(b, &b->f, x, 1);
  return qv_form_atom(b, &b->f);
}

static qv_atom product(qv_builder *b, const qv_node *n, size_t e) {
  const qv_product *p = &n->u.product;
  qv_atom x = minus(b, b->v[n->in[0]][e], p->z0), y = minus(b, b->v[n->in[1]][e], p->z1);
  b->n_m = 0;
  qv_defs_term(b, qv_defs_mul(b, x, y), 1, 0);
  return qv_defs_accumulate(b, &p->acc, 0, NULL, 0);
}

static qv_atom max_window(qv_builder *b, const qv_window *g, const qv_atom *in, size_t e) {
  uint32_t c = (uint32_t)(e % g->oc), ox = (uint32_t)(e / g->oc % g->ow), oy = (uint32_t)(e / g->oc / g->ow % g->oh);
  size_t image = e / g->oc / g->ow / g->oh, at;
  int64_t least = INT64_MIN, known = INT64_MIN; /* the maximum is at least; the largest constant */
  for (uint32_t t = 0; t < g->kh * g->kw; t++) {
    if (!qv_window_tap(&at, g, image, oy, ox, t / g->kw, t % g->kw)) continue;
    qv_atom x = in[at + c];
    least = qv_max64(least, qv_defs_itv(b, x).lo);
    if (x.def == QV_NONE) known = qv_max64(known, x.c);
  }
  qv_atom y = qv_defs_constant(least);
  for (uint32_t t = 0; t < g->kh * g->kw; t++) {
    if (!qv_window_tap(&at, g, image, oy, ox, t / g->kw, t % g->kw)) continue;
    qv_atom x = in[at + c];
    if (x.def == QV_NONE || qv_defs_itv(b, x).hi <= least) continue;
    y = y.def == QV_NONE ? x : qv_defs_max(b, y, x);
  }
  if (y.def == QV_NONE || known <= qv_defs_itv(b, y).lo) return y;
  return qv_defs_clamp(b, y, known, qv_defs_itv(b, y).hi);
}

static void index_node(qv_builder *b, const qv_node *n, size_t elems) {
  qv_index_src *map = malloc(elems * sizeof *map);
  if (map == NULL) {
    qv_defs_nomem(b);
    return;
  }
  qv_index_map(map, b->net, n);
  for (size_t e = 0; e < elems; e++)
    b->v[n->out][e] = map[e].src == QV_NONE ? qv_defs_constant(map[e].off) : b->v[n->in[map[e].src]][map[e].off];
  free(map);
}

static bool allocate(qv_builder *b, uint32_t t) {
  b->v[t] = QV_NEW(&b->mem, qv_elems(&b->net->tensor[t]), qv_atom);
  if (b->v[t] == NULL) qv_defs_nomem(b);
  return b->st == QV_OK;
}

static void cut_tensor(qv_builder *b, uint32_t t, const qv_cut *cut, uint32_t n) {
  for (uint32_t i = 0; i < n && b->st == QV_OK; i++) {
    if (cut[i].tensor != t) continue;
    if (cut[i].el >= qv_elems(&b->net->tensor[t]) || cut[i].itv.lo > cut[i].itv.hi) {
      qv_defs_fail(b, QV_FAIL(b->err, QV_E_ARG, "encoding: a cut of tensor %u", t));
      return;
    }
    if (b->v[t] == NULL) {
      (void)qv_defs_refuse(b, "a cut of a softmax tail");
      return;
    }
    qv_atom a = b->v[t][cut[i].el];
    qv_itv r = qv_defs_itv(b, a), c = {qv_max64(r.lo, cut[i].itv.lo), qv_min64(r.hi, cut[i].itv.hi)};
    if (c.lo > c.hi) b->empty = true;
    else if (a.def != QV_NONE && !(c.lo == r.lo && c.hi == r.hi)) b->d->def[a.def].itv = c, b->d->def[a.def].cut = true;
  }
}

static bool must_be_seen(const qv_node *n) { /* whether or not anything depends on it */
  switch (n->kind) {
  case QV_AFFINE: return n->u.affine.acc.mode == QV_ACC_TRAP;
  case QV_SUM: return n->u.sum.acc.mode == QV_ACC_TRAP;
  case QV_PRODUCT: return n->u.product.acc.mode == QV_ACC_TRAP;
  case QV_OPAQUE: return true;
  case QV_STEP:
  case QV_TABLE:
  case QV_THRESHOLD:
  case QV_MAX:
  case QV_INDEX:
  case QV_CLAMP:
  case QV_WRAP:
  case QV_TAIL:
  case QV_KINDS: break;
  }
  return false;
}

static void mark_needed(qv_builder *b, const qv_cut *cut, uint32_t n_cut) {
  const qv_net *net = b->net;
  const qv_condition *c = &b->p->cond;
  if ((b->needed = QV_NEW(&b->mem, net->n_tensors, bool)) == NULL) {
    qv_defs_nomem(b);
    return;
  }
  if (c->kind != QV_AVOID) b->needed[net->out[c->out].tensor] = true;
  for (uint32_t i = 0; c->kind == QV_AVOID && i < c->n; i++)
    for (uint32_t k = 0; k < c->bad[i].n; k++)
      for (uint32_t j = 0; j < c->bad[i].ineq[k].n; j++) b->needed[net->out[c->bad[i].ineq[k].term[j].out].tensor] = true;
  for (uint32_t i = 0; i < n_cut; i++)
    if (cut[i].tensor < net->n_tensors) b->needed[cut[i].tensor] = true;
  for (uint32_t k = net->n_nodes; k-- > 0;) {
    const qv_node *n = &net->node[k];
    b->needed[n->out] = b->needed[n->out] || must_be_seen(n);
    for (uint32_t i = 0; b->needed[n->out] && i < n->n_in; i++) b->needed[n->in[i]] = true;
  }
}

static void add_node(qv_builder *b, uint32_t k) {
  const qv_node *n = &b->net->node[k];
  size_t elems = qv_elems(&b->net->tensor[n->out]);
  const qv_atom *x = n->n_in > 0 ? b->v[n->in[0]] : NULL;
  b->node = k;
  for (uint32_t i = 0; i < n->n_in; i++)
    if (b->v[n->in[i]] == NULL) (void)qv_defs_refuse(b, "what follows a softmax tail");
  if (n->kind == QV_TAIL || b->st != QV_OK || !allocate(b, n->out)) return; /* tails: only at the output, see goal_tail */
  qv_atom *y = b->v[n->out];
  if (n->kind == QV_INDEX) {
    index_node(b, n, elems);
    return;
  }
  for (size_t e = 0; e < elems && b->st == QV_OK; e++) {
    if (e % 64 == 0) qv_defs_fail(b, qv_defs_in_time(b->d, b->err));
    switch (n->kind) {
    case QV_AFFINE: y[e] = affine(b, &n->u.affine, x, e); break;
    case QV_STEP: y[e] = qv_defs_step(b, &n->u.step, qv_step_channel(&n->u.step, e), x[e]); break;
    case QV_TABLE: y[e] = qv_defs_table(b, &n->u.table, x[e]); break;
    case QV_THRESHOLD: y[e] = qv_defs_threshold(b, qv_threshold_pieces(&n->u.threshold, e), x[e]); break;
    case QV_SUM: y[e] = sum(b, n, e); break;
    case QV_PRODUCT: y[e] = product(b, n, e); break;
    case QV_MAX: y[e] = max_window(b, &n->u.max, x, e); break;
    case QV_CLAMP: y[e] = qv_defs_clamp(b, x[e], n->u.clamp.lo, n->u.clamp.hi); break;
    case QV_WRAP: y[e] = qv_defs_wrap(b, x[e], n->u.wrap.bits); break;
    case QV_OPAQUE: (void)qv_defs_refuse(b, "an opaque operator"); break;
    case QV_INDEX:
    case QV_TAIL:
    case QV_KINDS: break;
    }
  }
}

static void add_leaves(qv_builder *b) {
  for (uint32_t t = 0; t < b->net->n_tensors && b->st == QV_OK; t++) {
    const qv_tensor *x = &b->net->tensor[t];
    if (x->data == NULL || !allocate(b, t)) continue;
    for (size_t e = 0; e < qv_elems(x); e++) b->v[t][e] = qv_defs_constant(x->data[e]);
  }
  for (uint32_t i = 0; i < b->net->n_in && b->st == QV_OK; i++) {
    uint32_t t = b->net->in[i].tensor;
    const qv_tensor *x = &b->net->tensor[t];
    const qv_prop_input *in = &b->p->in[i];
    size_t elems = qv_elems(x);
    if (in->n > 1 && in->n != elems) qv_defs_fail(b, QV_FAIL(b->err, QV_E_ARG, "encoding: box of input %u", i));
    if (!allocate(b, t)) return;
    for (size_t e = 0; e < elems && b->st == QV_OK; e++) {
      qv_itv r = in->n == 0 ? (qv_itv){x->lo, x->hi} : in->itv[in->n == 1 ? 0 : e];
      if (r.lo > r.hi || r.lo < x->lo || r.hi > x->hi) qv_defs_fail(b, QV_FAIL(b->err, QV_E_ARG, "encoding: box of input %u", i));
      b->v[t][e] = qv_defs_define(b, (qv_def){.op = QV_DEF_INPUT, .itv = r, .x = QV_NONE, .y = QV_NONE, .u.input = {i, (uint32_t)e}});
    }
  }
}

/* ---- the goal --------------------------------------------------------------------------------------------------------- */

typedef struct {
  qv_goal_ineq *ineq;
  uint32_t n;
  bool never;
} goal_case;

/* Close b->f as `form >= 0`. */
static void goal_ineq(qv_builder *b, goal_case *g) {
  qv_i128 lo, hi;
  qv_lin l = qv_form_close(b, &b->f, &lo, &hi);
  if (hi < 0) g->never = true;
  else if (lo < 0) g->ineq[g->n++] = (qv_goal_ineq){l, lo, hi};
}

static void goal_add(qv_builder *b, const goal_case *g, uint32_t target) {
  if (!g->never && b->st == QV_OK) b->d->gcase[b->d->n_case++] = (qv_goal_case){target, g->n, g->ineq};
}

/* Node that writes a tensor, or QV_NONE. */
static uint32_t writer_of(const qv_net *net, uint32_t t) {
  for (uint32_t k = 0; k < net->n_nodes; k++)
    if (net->node[k].out == t) return k;
  return QV_NONE;
}

static const qv_atom *output(qv_builder *b, uint32_t out, uint32_t el) {
  if (out >= b->net->n_out || el >= qv_elems(&b->net->tensor[b->net->out[out].tensor])) {
    qv_defs_fail(b, QV_FAIL(b->err, QV_E_ARG, "encoding: output %u element %u", out, el));
    return NULL;
  }
  uint32_t t = b->net->out[out].tensor;
  if (b->v[t] == NULL) {
    b->node = writer_of(b->net, t);
    (void)qv_defs_refuse(b, "inequalities over the results of a softmax tail");
    return NULL;
  }
  return &b->v[t][el];
}

/* By how much o_j must exceed o_C (or x_j x_C, where a tail is replaced by its input row) to violate. */
typedef struct {
  const qv_atom *row;
  uint32_t n;
  int64_t tie_wins, tie_loses; /* where a tie keeps the class; where it loses it */
} kept_row;

/* The tail's input in its place: no j with x_j - x_C >= 1 - g (or 1) means that the class is kept (docs/semantics.md, lemma S7). */
static bool goal_tail(qv_builder *b, kept_row *k, const qv_condition *c, uint32_t t) {
  uint32_t node = b->node = writer_of(b->net, t);
  const qv_node *n = &b->net->node[node];
  const qv_tensor *y = &b->net->tensor[t];
  bool losing = c->kind == QV_KEEP_FIRST ? c->cls > 0 : c->cls + 1 < k->n;
  int gap = 0;
  if ((y->rank > 0 ? y->dim[y->rank - 1] : 1) != k->n) (void)qv_defs_refuse(b, "a softmax tail over several rows");
  else if (!qv_tail_ordered(&n->u.tail)) (void)qv_defs_refuse(b, "a softmax tail that does not keep the order");
  else if ((gap = qv_tail_gap(&n->u.tail, k->n)) == 0 && losing)
    (void)qv_defs_refuse(b, "a softmax tail in which no difference excludes a tie");
  k->row = b->v[n->in[0]];
  k->tie_loses = 1 - gap;
  b->d->relaxed = true;
  return b->st == QV_OK;
}

static void goal_keep(qv_builder *b, const qv_condition *c) {
  uint32_t t = b->net->out[c->out].tensor;
  kept_row k = {.row = b->v[t], .n = (uint32_t)qv_elems(&b->net->tensor[t]), .tie_wins = 1, .tie_loses = 0};
  if (k.row == NULL && !goal_tail(b, &k, c, t)) return;
  if ((b->d->gcase = QV_NEW(&b->d->arena, k.n, qv_goal_case)) == NULL) qv_defs_nomem(b);
  for (uint32_t j = 0; j < k.n && b->st == QV_OK; j++) {
    goal_case g = {.ineq = QV_NEW(&b->d->arena, 1, qv_goal_ineq)};
    if (g.ineq == NULL) qv_defs_nomem(b);
    if (j == c->cls || b->st != QV_OK) continue;
    bool loses = c->kind == QV_KEEP_FIRST ? j < c->cls : j > c->cls;
    qv_form_start(&b->f, -(loses ? k.tie_loses : k.tie_wins));
    qv_form_add(b, &b->f, k.row[j], 1);
    qv_form_add(b, &b->f, k.row[c->cls], -1);
    goal_ineq(b, &g);
    goal_add(b, &g, j);
  }
}

static void goal_avoid(qv_builder *b, const qv_condition *c) {
  if ((b->d->gcase = QV_NEW(&b->d->arena, c->n, qv_goal_case)) == NULL) qv_defs_nomem(b);
  for (uint32_t i = 0; i < c->n && b->st == QV_OK; i++) {
    const qv_violation *v = &c->bad[i];
    goal_case g = {.ineq = QV_NEW(&b->d->arena, v->n, qv_goal_ineq)};
    if (g.ineq == NULL) qv_defs_nomem(b);
    for (uint32_t k = 0; k < v->n && b->st == QV_OK; k++) {
      qv_form_start(&b->f, -(qv_i128)v->ineq[k].d);
      for (uint32_t j = 0; j < v->ineq[k].n && b->st == QV_OK; j++) {
        const qv_atom *o = output(b, v->ineq[k].term[j].out, v->ineq[k].term[j].el);
        if (o != NULL) qv_form_add(b, &b->f, *o, v->ineq[k].term[j].c);
      }
      goal_ineq(b, &g);
    }
    goal_add(b, &g, i);
  }
}

static void mark_lin(qv_defs *d, const qv_lin *l) {
  for (uint32_t i = 0; i < l->n; i++) d->def[l->t[i].def].live = true;
}

static void mark_live(qv_defs *d) {
  for (uint32_t i = 0; i < d->n_case; i++)
    for (uint32_t k = 0; k < d->gcase[i].n; k++) mark_lin(d, &d->gcase[i].ineq[k].lin);
  for (uint32_t i = d->n; i-- > 0;) {
    qv_def *f = &d->def[i];
    f->live = f->live || f->cut;
    if (!f->live) continue;
    if (f->op == QV_DEF_LIN) mark_lin(d, &f->u.lin);
    if (f->x != QV_NONE) d->def[f->x].live = true;
    if (f->y != QV_NONE) d->def[f->y].live = true;
  }
}

qv_status qv_defs_build(qv_defs *out, const qv_net *net, const qv_property *p, const qv_cut *cut, uint32_t n_cut, double deadline,
                        qv_err *err) {
  qv_builder b = {.d = out, .net = net, .p = p, .err = err, .st = QV_OK};
  *out = (qv_defs){.deadline = deadline};
  if ((b.st = qv_condition_check(&p->cond, net, err)) != QV_OK) return b.st;
  if (p->claim != QV_CLAIM_ROBUST || p->n_points != 0 || p->n_in != net->n_in)
    return QV_FAIL(err, QV_E_ARG, "encoding: the property is not a box with an output condition for this net");
  b.v = QV_NEW(&b.mem, net->n_tensors, qv_atom *);
  if (b.v == NULL) qv_defs_nomem(&b);
  mark_needed(&b, cut, n_cut);
  add_leaves(&b);
  for (uint32_t t = 0; t < net->n_tensors && b.st == QV_OK; t++)
    if (b.v[t] != NULL) cut_tensor(&b, t, cut, n_cut);
  for (uint32_t k = 0; k < net->n_nodes && b.st == QV_OK; k++) {
    if (!b.needed[net->node[k].out]) continue;
    add_node(&b, k);
    if (b.st == QV_OK) cut_tensor(&b, net->node[k].out, cut, n_cut);
  }
  if (b.st == QV_OK && !b.empty) {
    if (p->cond.kind == QV_AVOID) goal_avoid(&b, &p->cond);
    else goal_keep(&b, &p->cond);
  }
  if (b.st == QV_OK) mark_live(out);
  free(b.f.t);
  free(b.f2.t);
  free(b.m);
  free(b.at);
  free(b.val);
  qv_arena_clear(&b.mem);
  return b.st;
}

qv_status qv_defs_in_time(const qv_defs *d, qv_err *err) {
  return d->deadline > 0 && qv_now() >= d->deadline ? QV_FAIL(err, QV_E_LIMIT, "the time limit passed while the question was written")
                                                    : QV_OK;
}

void qv_defs_clear(qv_defs *d) {
  free(d->def);
  qv_arena_clear(&d->arena);
  *d = (qv_defs){0};
}

int qv_i128_bits(qv_i128 lo, qv_i128 hi) {
  int p = 1;
  while (p < 127 && (lo < -((qv_i128)1 << (p - 1)) || hi >= (qv_i128)1 << (p - 1))) p++;
  return p;
}
