/* Inputs on which two nets differ: built from differing sums of first layers, then all inputs if they are few, then search. */
#include <string.h>

#include "analysis/diff_int.h"
#include "analysis/reach.h"
#include "analysis/robust_batch.h"
#include "ir/base/rng.h"
#include "ir/index.h"
#include "kernels/ref.h"

#define MAX_CLASSES 64         /* differing functions of one tensor that inputs are built for, once one is reached  */
#define MAX_ELEMENTS 4096      /* elements of one function that are looked at before giving up                      */
#define FILLS 4                /* ways to choose the inputs that the sum does not read                              */
#define EXHAUST ((uint64_t)1 << 20)

typedef struct {
  qv_differ *d;
  const qv_net *net; /* of the first profile */
  qv_batch b[2];
  bool runs;         /* both nets can be executed */
  uint64_t cost;     /* multiply-adds of one execution, the dearer net */
  uint64_t inputs, work; /* left */
  size_t n_var;      /* elements of all inputs */
  size_t *first;     /* [n_in] number of each input's element 0 */
  qv_itv *dom;       /* [n_var] */
  uint32_t *node_of; /* [n_tensors] comparison of a tensor of net 0, or QV_NONE */
  qv_index_src **map; /* [n_nodes] of INDEX nodes, made when needed */
  int8_t *shift_known; /* [n_nodes] 1: adds shift[k]; -1: does not */
  int64_t *shift;
  int64_t *x;        /* [n_var] input at hand */
  qv_rng rng;
  qv_arena tmp;
} search;

static qv_status nomem(qv_err *err) { return QV_FAIL(err, QV_E_NOMEM, "search for an input on which the nets differ"); }

/* ---- elements as functions of the model's inputs ---------------------------------------------------------------------------- */

/* An element that is input variable `var` plus `add` (var QV_NONE: the constant `add`). */
typedef struct {
  size_t var;
  int64_t add;
} leaf;
#define NO_VAR SIZE_MAX

/* A node on single values that adds a constant, for all values that its operand can have. */
static bool adds(search *s, uint32_t k) {
  const qv_node *n = &s->net->node[k];
  if (s->shift_known[k] != 0) return s->shift_known[k] > 0;
  s->shift_known[k] = -1;
  const qv_ranges *r = &s->d->s[0].range.tensor[n->in[0]];
  qv_itv h = r->itv[0];
  for (uint32_t i = 1; i < r->n; i++) h = qv_itv_hull(h, r->itv[i]);
  if (h.hi - h.lo > 65535 || (n->kind == QV_STEP && n->u.step.n_par > 1) || (n->kind == QV_THRESHOLD && n->u.threshold.n_par > 1)) return false;
  qv_diff_chain c = {.n = 1, .node = {n}};
  qv_diff_choose_sets(&c, 0);
  s->shift[k] = qv_diff_value(&c, h.lo) - h.lo;
  for (int64_t v = h.lo; v <= h.hi; v++)
    if (qv_diff_value(&c, v) - v != s->shift[k]) return false;
  s->shift_known[k] = 1;
  return true;
}

/* Element e of tensor t of net 0. False if it is anything else, or passes a tensor in which the nets differ. */
static bool trace(search *s, uint32_t t, size_t e, leaf *out) {
  int64_t add = 0;
  for (;;) {
    const qv_tensor *x = &s->net->tensor[t];
    for (uint32_t i = 0; i < s->net->n_in; i++)
      if (s->net->in[i].tensor == t) {
        *out = (leaf){s->first[i] + e, add};
        return true;
      }
    if (x->data != NULL) {
      *out = (leaf){NO_VAR, add + x->data[e]};
      return true;
    }
    uint32_t k = s->d->s[0].producer[t];
    if (s->node_of[t] != QV_NONE && s->d->out->node[s->node_of[t]].how != QV_DIFF_EQUAL) return false;
    const qv_node *n = &s->net->node[k];
    if (qv_diff_pointwise(s->net, n)) {
      if (n->kind != QV_INDEX) {
        if (!adds(s, k)) return false;
        add += s->shift[k];
      }
      t = n->in[0];
      continue;
    }
    if (n->kind != QV_INDEX) return false;
    if (s->map[k] == NULL) {
      s->map[k] = QV_NEW(&s->tmp, qv_elems(x), qv_index_src);
      if (s->map[k] == NULL) return false;
      qv_index_map(s->map[k], s->net, n);
    }
    qv_index_src src = s->map[k][e];
    if (src.src == QV_NONE) {
      *out = (leaf){NO_VAR, add + src.off};
      return true;
    }
    t = n->in[src.src];
    e = (size_t)src.off;
  }
}

/* A sum over input variables, each once. */
typedef struct {
  qv_linsum sum;
  size_t *var; /* [sum.n] */
  int64_t *d;
  qv_itv *x;
} form;

static bool term(search *s, form *f, uint32_t t, size_t e, int64_t d, int64_t zp, uint32_t *seen, uint32_t stamp, uint32_t *at) {
  leaf l;
  if (!trace(s, t, e, &l)) return false;
  f->sum.b += d * (l.add - zp);
  if (l.var == NO_VAR) return true;
  if (seen[l.var] != stamp) {
    seen[l.var] = stamp;
    at[l.var] = (uint32_t)f->sum.n;
    f->var[f->sum.n] = l.var;
    f->x[f->sum.n] = s->dom[l.var];
    f->d[f->sum.n++] = 0;
  }
  f->d[at[l.var]] += d;
  return true;
}

/* Exact sum of element e of tensor t of net 0, where the chains of comparison `own` start, over the inputs; false if it is none, or
 * the nets differ on the way. Memory from `a`. */
static bool linear(search *s, uint32_t own, uint32_t t, size_t e, form *f, qv_arena *a) {
  uint32_t p = s->d->s[0].producer[t];
  const qv_node *n = p != QV_NONE ? &s->net->node[p] : NULL;
  const qv_window *g = n != NULL && n->kind == QV_AFFINE ? &n->u.affine.win : NULL;
  size_t k = g != NULL ? (size_t)g->kh * g->kw * (g->ic / g->groups) : n != NULL && n->kind == QV_SUM ? n->n_in : 1;
  uint32_t *seen = QV_NEW(a, s->n_var, uint32_t), *at = QV_NEW(a, s->n_var, uint32_t);
  *f = (form){.var = QV_NEW(a, k, size_t), .d = QV_NEW(a, k, int64_t), .x = QV_NEW(a, k, qv_itv)};
  if (seen == NULL || at == NULL || f->var == NULL || f->d == NULL || f->x == NULL) return false;
  bool ok = n == NULL || qv_node_acc(n) == NULL || s->node_of[t] == QV_NONE || s->node_of[t] == own || s->d->out->node[s->node_of[t]].how == QV_DIFF_EQUAL;
  if (g != NULL) {
    const qv_affine *w = &n->u.affine;
    uint32_t o = (uint32_t)(e % g->oc), ox = (uint32_t)(e / g->oc % g->ow), oy = (uint32_t)(e / g->oc / g->ow % g->oh);
    size_t b = e / g->oc / g->ow / g->oh, i = o * k, from;
    uint32_t gic = g->ic / g->groups, c0 = o / (g->oc / g->groups) * gic;
    int64_t wz = w->w_zp[w->n_w_zp == 1 ? 0 : o];
    f->sum.b = w->b[o];
    for (uint32_t ky = 0; ky < g->kh; ky++)
      for (uint32_t kx = 0; kx < g->kw; kx++) {
        bool in = qv_window_tap(&from, g, b, oy, ox, ky, kx);
        for (uint32_t c = 0; c < gic; c++, i++)
          if (in && w->w[i] != wz) ok = ok && term(s, f, n->in[0], from + c0 + c, w->w[i] - wz, w->x_zp, seen, 1, at);
      }
  } else if (n != NULL && n->kind == QV_SUM) {
    for (uint32_t i = 0; i < n->n_in; i++) ok = ok && term(s, f, n->in[i], e, n->u.sum.c[i], n->u.sum.z[i], seen, 1, at);
  } else ok = term(s, f, t, e, 1, 0, seen, 1, at);
  f->sum.d = f->d;
  f->sum.x = f->x;
  return ok;
}

/* ---- executing ------------------------------------------------------------------------------------------------------------------ */

/* Fill the input. Modes 0, 1, 2: middle, low, high; then by mode mod 4: uniform; a few elements on a plain ground, from a random
 * part of the range; runs of equal elements; corners. The middle two are more like real samples: noise alone drives deep
 * nets into saturation, where nothing shows. */
static void fill(search *s, uint64_t mode) {
  uint64_t few = qv_rng_next(&s->rng) % 64, run = 1 + qv_rng_next(&s->rng) % 40, left = 0;
  int64_t ground = 0, a = 0, b = 0;
  for (size_t v = 0; v < s->n_var; v++) {
    qv_itv d = s->dom[v];
    if (v == 0) {
      ground = (qv_rng_next(&s->rng) & 1) != 0 ? d.lo : qv_rng_range(&s->rng, d.lo, d.hi);
      a = qv_rng_range(&s->rng, d.lo, d.hi);
      b = qv_rng_range(&s->rng, d.lo, d.hi);
    }
    qv_itv part = {qv_clamp64(qv_min64(a, b), d.lo, d.hi), qv_clamp64(qv_max64(a, b), d.lo, d.hi)};
    if (mode < 3) s->x[v] = mode == 0 ? d.lo + (d.hi - d.lo) / 2 : mode == 1 ? d.lo : d.hi;
    else switch (mode % 4) {
      case 0: s->x[v] = qv_rng_range(&s->rng, d.lo, d.hi); break;
      case 1: s->x[v] = qv_rng_next(&s->rng) % 64 < few ? qv_rng_range(&s->rng, part.lo, part.hi) : qv_clamp64(ground, d.lo, d.hi); break;
      case 2:
        if (left == 0) left = 1 + qv_rng_next(&s->rng) % run, ground = qv_rng_range(&s->rng, part.lo, part.hi);
        left--;
        s->x[v] = qv_clamp64(ground, d.lo, d.hi);
        break;
      default: s->x[v] = (qv_rng_next(&s->rng) & 1) != 0 ? d.hi : d.lo; break;
    }
  }
}

static void load(const search *s, int side, qv_values *v, const int64_t *x) {
  const qv_net *net = s->d->s[side].net;
  for (uint32_t i = 0; i < net->n_in; i++)
    memcpy(v->v[net->in[i].tensor], x + s->first[i], qv_elems(&net->tensor[net->in[i].tensor]) * sizeof *x);
}

/* Both nets on x by the reference kernels, up to the tensors of comparison `node` (NULL: all). *ok: both executed. */
static qv_status reference(search *s, const int64_t *x, const qv_diff_node *node, qv_values v[2], bool *ok, qv_err *err) {
  qv_status st = QV_OK;
  *ok = false;
  for (int i = 0; i < 2; i++) v[i] = (qv_values){0};
  for (int i = 0; i < 2; i++) {
    const qv_diff_side *side = &s->d->s[i];
    QV_TRY(qv_values_init(&v[i], side->net, err));
    load(s, i, &v[i], x);
    uint32_t end = node != NULL ? side->producer[node->out[i]] + 1 : side->net->n_nodes;
    for (uint32_t k = 0; k < end; k++) {
      qv_err e = {0};
      st = qv_ref_node(side->net, k, &v[i], &e);
      if (st == QV_E_RANGE || st == QV_E_UNSUP) return QV_OK; /* undefined or opaque: no witness */
      if (st != QV_OK) return QV_FAIL(err, st, "%s", e.msg);
    }
  }
  *ok = true;
done:
  return st;
}

/* Keep x if the nets' outputs differ on it. */
static qv_status confirm(search *s, const int64_t *x, qv_diff_engine by, qv_err *err) {
  qv_diff *out = s->d->out;
  const qv_net *a = s->d->s[0].net, *b = s->d->s[1].net;
  qv_values v[2];
  bool ok;
  qv_status st = reference(s, x, NULL, v, &ok, err);
  if (st != QV_OK || !ok) goto done;
  for (uint32_t i = 0; i < a->n_out; i++) {
    const int64_t *p = v[0].v[a->out[i].tensor], *q = v[1].v[b->out[i].tensor];
    for (size_t e = 0, n = qv_elems(&a->tensor[a->out[i].tensor]); e < n; e++) {
      if (p[e] == q[e]) continue;
      if (out->n_elements++ == 0) out->output = i, out->element = e, out->a = p[e], out->b = q[e];
    }
  }
  if (out->n_elements == 0) goto done;
  out->verdict = QV_FALSIFIED;
  out->engine = by;
  out->input = QV_NEW(&out->arena, a->n_in, int64_t *);
  for (uint32_t i = 0; i < a->n_in; i++) {
    size_t n = qv_elems(&a->tensor[a->in[i].tensor]);
    if (out->input == NULL || (out->input[i] = QV_NEW(&out->arena, n, int64_t)) == NULL) {
      st = nomem(err);
      goto done;
    }
    memcpy(out->input[i], x + s->first[i], n * sizeof *x);
  }
done:
  qv_values_clear(&v[0]);
  qv_values_clear(&v[1]);
  return st;
}

/* Does x make the tensors of comparison n differ? */
static qv_status differs_at(search *s, const int64_t *x, const qv_diff_node *n, bool *yes, qv_err *err) {
  qv_values v[2];
  bool ok;
  *yes = false;
  qv_status st = reference(s, x, n, v, &ok, err);
  if (st == QV_OK && ok)
    *yes = memcmp(v[0].v[n->out[0]], v[1].v[n->out[1]], qv_elems(&s->net->tensor[n->out[0]]) * sizeof(int64_t)) != 0;
  qv_values_clear(&v[0]);
  qv_values_clear(&v[1]);
  return st;
}

/* The inputs put into both batches, n of them, copies in xs: stop at the first on which outputs differ. *all (or NULL): every one
 * of them was executed. */
static qv_status flush(search *s, const int64_t *xs, uint32_t n, qv_diff_engine by, bool *all, qv_err *err) {
  qv_err e = {0};
  if (all != NULL) *all = true;
  if (n == 0) return QV_OK;
  for (int i = 0; i < 2; i++) {
    qv_status st = qv_batch_run(&s->b[i], &e);
    if (st == QV_OK) continue;
    if (st != QV_E_RANGE) return QV_FAIL(err, st, "%s", e.msg);
    if (all != NULL) *all = false;
    for (uint32_t k = 0; k < n && s->d->out->verdict == QV_UNKNOWN; k++) { /* some input traps: one by one */
      st = confirm(s, xs + k * s->n_var, by, err);
      if (st != QV_OK) return st;
    }
    s->b[0].n = s->b[1].n = 0;
    return QV_OK;
  }
  s->d->out->tried += n;
  const qv_net *a = s->net;
  for (uint32_t k = 0; k < n; k++)
    for (uint32_t o = 0; o < a->n_out; o++) {
      const qv_tensor *t = &a->tensor[a->out[o].tensor];
      size_t bytes = qv_elems(t) * qv_dtype_bytes(t->type);
      if (memcmp(s->b[0].out[o] + k * bytes, s->b[1].out[o] + k * bytes, bytes) == 0) continue;
      qv_status st = confirm(s, xs + k * s->n_var, by, err);
      if (st == QV_OK && s->d->out->verdict != QV_FALSIFIED)
        st = QV_FAIL(err, QV_E_INTERNAL, "the fast executor differs between the nets, the reference does not");
      return st;
    }
  return QV_OK;
}

/* ---- first layers ------------------------------------------------------------------------------------------------------------------ */

/* x makes the sum or the operands of class c what is wanted; try it, with several fillings of the rest. */
static qv_status offer(search *s, qv_diff_node *n, const size_t *var, const int64_t *val, size_t n_val, qv_err *err) {
  qv_status st = QV_OK;
  qv_diff *out = s->d->out;
  for (uint64_t f = 0; st == QV_OK && f < FILLS && out->verdict == QV_UNKNOWN; f++) {
    static const uint64_t modes[FILLS] = {0, 4, 5, 6};
    fill(s, modes[f]);
    for (size_t i = 0; i < n_val; i++) s->x[var[i]] = val[i];
    if (n->reached != QV_FALSIFIED) {
      bool yes;
      QV_TRY(differs_at(s, s->x, n, &yes, err));
      if (yes) n->reached = QV_FALSIFIED;
      if (!yes) continue; /* other machine behaviour on the way */
    }
    if (!s->runs || s->inputs == 0 || s->work < s->cost) break;
    s->inputs--;
    s->work -= s->cost;
    qv_batch_put(&s->b[0], s->x);
    qv_batch_put(&s->b[1], s->x);
    QV_TRY(flush(s, s->x, 1, QV_DIFF_BY_SUMS, NULL, err));
  }
done:
  return st;
}

/* Elements with the function of class c, from c->element on. */
static bool in_class(const qv_diff_class *c, size_t e, uint32_t oc) {
  if (oc > 1 && e % oc != c->channel) return false;
  for (int i = 0; i < 2; i++) {
    qv_diff_chain k = c->chain[i];
    qv_diff_choose_sets(&k, e);
    if (memcmp(k.set, c->chain[i].set, k.n * sizeof k.set[0]) != 0) return false;
  }
  return true;
}

/* VALUES: *answer is NO if no element of the class can have a differing sum; YES if one was found (and offered). */
static qv_status solve_values(search *s, const qv_diff_class *c, qv_reach_answer *answer, qv_err *err) {
  qv_status st = QV_OK;
  qv_diff_node *n = &s->d->out->node[c->node];
  uint32_t p = s->d->s[0].producer[c->base[0]];
  uint32_t oc = p != QV_NONE && s->net->node[p].kind == QV_AFFINE ? s->net->node[p].u.affine.win.oc : 1;
  size_t ne = qv_elems(&s->net->tensor[c->base[0]]), looked = 0;
  *answer = QV_REACH_OPEN;
  if (p != QV_NONE && qv_node_acc(&s->net->node[p]) != NULL && !qv_diff_harmless(s->d, 0, p)) return QV_OK; /* not its sum */
  *answer = QV_REACH_NO;
  for (size_t e = c->element; e < ne; e += oc) {
    if (!in_class(c, e, oc)) continue;
    qv_arena a = {0};
    qv_reacher *r;
    form f;
    int64_t value, *y;
    if (looked++ == MAX_ELEMENTS || !linear(s, c->node, c->base[0], e, &f, &a)) {
      *answer = QV_REACH_OPEN;
      qv_arena_clear(&a);
      return QV_OK;
    }
    n->first = true;
    y = QV_NEW(&a, f.sum.n, int64_t);
    st = y == NULL ? nomem(err) : qv_reacher_new(&r, &f.sum, 0, &a, err);
    qv_reach_answer one = st == QV_OK ? qv_reacher_find(&value, y, r, c->runs, c->n_runs) : QV_REACH_OPEN;
    if (one == QV_REACH_YES) st = offer(s, n, f.var, y, f.sum.n, err);
    qv_arena_clear(&a);
    if (st != QV_OK || one == QV_REACH_YES) {
      *answer = QV_REACH_YES;
      return st;
    }
    if (one == QV_REACH_OPEN || !c->all_runs) *answer = QV_REACH_OPEN;
  }
  return st;
}

/* PAIRS of operands that are inputs: element by element, the pairs in order. */
static qv_status solve_pairs(search *s, const qv_diff_class *c, qv_reach_answer *answer, qv_err *err) {
  qv_status st = QV_OK;
  qv_diff_node *n = &s->d->out->node[c->node];
  size_t ne = qv_elems(&s->net->tensor[n->out[0]]);
  *answer = QV_REACH_NO;
  for (size_t e = 0; e < ne; e++) {
    leaf l[2] = {{NO_VAR, 0}, {NO_VAR, 0}};
    for (uint32_t i = 0; i < c->n_atom; i++)
      if (e >= MAX_ELEMENTS || !trace(s, c->atom[i], e, &l[i])) {
        *answer = QV_REACH_OPEN;
        return QV_OK;
      }
    n->first = true;
    for (size_t k = 0; k < c->n_pair; k++) {
      size_t var[2], m = 0;
      int64_t val[2];
      bool fits = true;
      for (uint32_t i = 0; i < c->n_atom; i++) {
        int64_t x = c->pair[k][i] - l[i].add;
        if (l[i].var == NO_VAR) fits = fits && x == 0;
        else if (m == 1 && var[0] == l[i].var) fits = fits && val[0] == x;
        else {
          fits = fits && x >= s->dom[l[i].var].lo && x <= s->dom[l[i].var].hi;
          var[m] = l[i].var;
          val[m++] = x;
        }
      }
      if (!fits) continue;
      *answer = QV_REACH_YES;
      return offer(s, n, var, val, m, err);
    }
    if (!c->all_runs) *answer = QV_REACH_OPEN;
  }
  return st;
}

/* SUMS on the model's inputs: drive a share of the terms to their ends, so that pairs and lanes fill up, and leave the rest to
 * chance; the reference judges. Finding nothing proves nothing. */
static qv_status solve_sums(search *s, const qv_diff_class *c, qv_err *err) {
  qv_status st = QV_OK;
  qv_diff_node *n = &s->d->out->node[c->node];
  const qv_node *node = &s->net->node[s->d->s[0].producer[c->base[0]]];
  uint32_t oc = node->u.affine.win.oc, tries = 0;
  size_t ne = qv_elems(&s->net->tensor[node->out]), positions = ne / oc;
  const uint32_t max = s->cost > (1u << 24) ? 32 : 256;
  for (uint32_t k = 0; tries < max && s->d->out->verdict == QV_UNKNOWN; k++, tries++) {
    qv_arena a = {0};
    form f;
    size_t e = (k < positions ? positions / 2 : (size_t)(qv_rng_next(&s->rng) % positions)) * oc + k % oc;
    if (!linear(s, c->node, c->base[0], e, &f, &a)) {
      qv_arena_clear(&a);
      return QV_OK;
    }
    n->first = true;
    int64_t share = 1 + (int64_t)(tries / 2 % 8) * 4; /* of 32 */
    bool up = tries % 2 == 0;
    int64_t *y = QV_NEW(&a, f.sum.n, int64_t);
    if (y == NULL) st = nomem(err);
    for (size_t i = 0; st == QV_OK && i < f.sum.n; i++) {
      bool end = qv_rng_range(&s->rng, 0, 31) < share || (i / 2 == (size_t)k % (f.sum.n / 2 + 1));
      y[i] = end ? ((f.d[i] >= 0) == up ? f.x[i].hi : f.x[i].lo) : qv_rng_range(&s->rng, f.x[i].lo, f.x[i].hi);
    }
    if (st == QV_OK) st = offer(s, n, f.var, y, f.sum.n, err);
    qv_arena_clear(&a);
    if (st != QV_OK) return st;
  }
  return st;
}

/* Everything about one differing tensor whose operands are the model's inputs. */
static qv_status solve_node(search *s, uint32_t k, qv_err *err) {
  qv_status st = QV_OK;
  qv_diff *out = s->d->out;
  qv_diff_node *n = &out->node[k];
  bool none = n->how == QV_DIFF_VALUES || n->how == QV_DIFF_PAIRS;
  uint32_t seen = 0;
  for (uint32_t i = 0; i < s->d->n_cls && st == QV_OK; i++) {
    const qv_diff_class *c = &s->d->cls[i];
    qv_reach_answer r = QV_REACH_OPEN;
    if (c->node != k) continue;
    if (seen++ >= MAX_CLASSES && n->reached == QV_FALSIFIED) break;
    if (n->reached == QV_FALSIFIED && out->verdict == QV_FALSIFIED) break;
    switch (n->how) {
    case QV_DIFF_VALUES: st = solve_values(s, c, &r, err); break;
    case QV_DIFF_PAIRS: st = solve_pairs(s, c, &r, err); break;
    case QV_DIFF_SUMS: st = solve_sums(s, c, err); break;
    case QV_DIFF_EQUAL:
    case QV_DIFF_FORM: break;
    }
    none = none && r == QV_REACH_NO;
  }
  if (st == QV_OK && none && n->first) n->reached = QV_VERIFIED;
  return st;
}

/* ---- all inputs, or some ------------------------------------------------------------------------------------------------------------- */

static uint64_t cardinality(const search *s) {
  uint64_t n = 1;
  for (size_t v = 0; v < s->n_var; v++)
    if (__builtin_mul_overflow(n, (uint64_t)(s->dom[v].hi - s->dom[v].lo) + 1, &n) || n > EXHAUST) return UINT64_MAX;
  return n;
}

static bool next(search *s) {
  for (size_t v = 0; v < s->n_var; v++) {
    if (s->x[v] < s->dom[v].hi) {
      s->x[v]++;
      return true;
    }
    s->x[v] = s->dom[v].lo;
  }
  return false;
}

/* `total` inputs in batches: all of them in order (all), or corners and random ones. */
static qv_status run_inputs(search *s, uint64_t total, bool all, qv_err *err) {
  qv_status st = QV_OK;
  qv_diff *out = s->d->out;
  int64_t *xs = QV_NEW(&s->tmp, QV_BATCH * s->n_var, int64_t);
  if (xs == NULL) return nomem(err);
  if (all) fill(s, 1);
  bool more = true, every = all;
  for (uint64_t k = 0; k < total && more && out->verdict == QV_UNKNOWN;) {
    uint32_t n = 0;
    for (; n < QV_BATCH && k < total && more; n++, k++) {
      if (!all) fill(s, k);
      memcpy(xs + n * s->n_var, s->x, s->n_var * sizeof *xs);
      qv_batch_put(&s->b[0], s->x);
      qv_batch_put(&s->b[1], s->x);
      if (all) more = next(s);
    }
    bool ran;
    QV_TRY(flush(s, xs, n, QV_DIFF_BY_SEARCH, &ran, err));
    every = every && ran;
  }
  if (every && !more && out->verdict == QV_UNKNOWN) {
    out->verdict = QV_VERIFIED;
    out->engine = QV_DIFF_BY_ALL;
  }
done:
  return st;
}

/* ---- the whole --------------------------------------------------------------------------------------------------------------------------- */

static uint64_t execution_cost(const qv_net *net) {
  uint64_t c = 1;
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    const qv_node *n = &net->node[k];
    uint64_t taps = n->kind == QV_AFFINE ? (uint64_t)n->u.affine.win.kh * n->u.affine.win.kw * (n->u.affine.win.ic / n->u.affine.win.groups) : 1;
    c += qv_elems(&net->tensor[n->out]) * (taps + 4);
  }
  return c;
}

static qv_status begin(search *s, qv_err *err) {
  const qv_net *net = s->net;
  s->first = QV_NEW(&s->tmp, net->n_in, size_t);
  s->node_of = QV_NEW(&s->tmp, net->n_tensors, uint32_t);
  s->map = QV_NEW(&s->tmp, net->n_nodes, qv_index_src *);
  s->shift_known = QV_NEW(&s->tmp, net->n_nodes, int8_t);
  s->shift = QV_NEW(&s->tmp, net->n_nodes, int64_t);
  if (s->first == NULL || s->node_of == NULL || s->map == NULL || s->shift_known == NULL || s->shift == NULL) return nomem(err);
  for (uint32_t i = 0; i < net->n_in; i++) {
    s->first[i] = s->n_var;
    s->n_var += qv_elems(&net->tensor[net->in[i].tensor]);
  }
  s->x = QV_NEW(&s->tmp, s->n_var, int64_t);
  s->dom = QV_NEW(&s->tmp, s->n_var, qv_itv);
  if (s->x == NULL || s->dom == NULL) return nomem(err);
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_tensor *t = &net->tensor[net->in[i].tensor];
    for (size_t e = 0; e < qv_elems(t); e++) s->dom[s->first[i] + e] = (qv_itv){t->lo, t->hi};
  }
  memset(s->node_of, 0xff, net->n_tensors * sizeof *s->node_of);
  for (uint32_t k = 0; k < s->d->out->n_node; k++) s->node_of[s->d->out->node[k].out[0]] = k;
  qv_err e = {0};
  s->runs = true;
  for (int i = 0; i < 2 && s->runs; i++) {
    qv_status st = qv_batch_init(&s->b[i], s->d->s[i].net, &e);
    if (st == QV_E_UNSUP) s->runs = false;
    else if (st != QV_OK) return QV_FAIL(err, st, "%s", e.msg);
  }
  uint64_t ca = execution_cost(s->d->s[0].net), cb = execution_cost(s->d->s[1].net);
  s->cost = ca > cb ? ca : cb;
  s->inputs = s->d->opts.inputs != 0 ? s->d->opts.inputs : 65536;
  s->work = s->d->opts.work != 0 ? s->d->opts.work : (uint64_t)1 << 35;
  s->rng.s = s->d->opts.seed;
  return QV_OK;
}

/* Nothing is left that could differ: the caller concludes. */
static bool settled(const search *s) {
  for (uint32_t k = 0; k < s->d->out->n_node; k++)
    if (s->d->out->node[k].how != QV_DIFF_EQUAL && s->d->out->node[k].reached != QV_VERIFIED) return false;
  return true;
}

static qv_status decide(search *s, qv_err *err) {
  qv_status st = QV_OK;
  qv_diff *out = s->d->out;
  for (uint32_t k = 0; k < out->n_node; k++)
    if (out->node[k].how != QV_DIFF_EQUAL) QV_TRY(solve_node(s, k, err));
  if (out->verdict != QV_UNKNOWN || settled(s)) goto done;
  out->reason = "a net has an opaque operator and cannot be executed";
  if (!s->runs) goto done;
  uint64_t n = cardinality(s), by_work = s->work / s->cost;
  bool all = n <= EXHAUST && n <= 8 * by_work && !s->d->opts.no_enumeration;
  out->reason = "some tensors may differ; no input was searched";
  if (s->d->opts.no_search && !all) goto done;
  out->reason = all ? "some tensors differ; an accumulator's behaviour is undefined on some inputs"
                    : "some tensors differ, but no input tried makes the outputs differ, and masking further on is not excluded";
  QV_TRY(run_inputs(s, all ? n : by_work < s->inputs ? by_work : s->inputs, all, err));
  if (out->verdict != QV_UNKNOWN) out->reason = NULL;
done:
  return st;
}

qv_status qv_diff_search(qv_differ *d, qv_err *err) {
  search s = {.d = d, .net = d->s[0].net};
  qv_status st = d->out->n_differ == 0 ? QV_OK : begin(&s, err);
  if (st == QV_OK && d->out->n_differ > 0) st = decide(&s, err);
  qv_batch_clear(&s.b[0]);
  qv_batch_clear(&s.b[1]);
  qv_arena_clear(&s.tmp);
  return st;
}
