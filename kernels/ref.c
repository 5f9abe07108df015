#include "kernels/ref.h"

#include <string.h>

#include "ir/index.h"
#include "kernels/step.h"
#include "kernels/tail.h"
#include "kernels/threshold.h"

/* ---- machine accumulators (docs/semantics.md section 4) --------------------------------------------------------------- */

typedef struct {
  size_t k;
  const int64_t *x, *w;
  const bool *inside;
  int64_t x_zp, w_zp;
  bool raw;
} terms;

/* Term i: a product of raw bytes, or of zero-point-subtracted values where a padded tap contributes nothing. */
static int64_t term(const terms *t, size_t i) {
  if (t->raw) return (t->inside[i] ? t->x[i] : t->x_zp) * t->w[i];
  return t->inside[i] ? (t->x[i] - t->x_zp) * (t->w[i] - t->w_zp) : 0;
}

/* What has to be added to the sum of raw terms to get the sum of corrected ones. 0 when terms are corrected already. */
static int64_t correction(const terms *t) {
  if (!t->raw) return 0;
  int64_t sx = 0, sw = 0;
  for (size_t i = 0; i < t->k; i++) {
    sx += t->inside[i] ? t->x[i] : t->x_zp;
    sw += t->w[i];
  }
  return (int64_t)t->k * t->x_zp * t->w_zp - t->x_zp * sw - t->w_zp * sx;
}

static int64_t run_sat(const qv_acc *a, const terms *t, int64_t b) {
  int64_t lo = qv_smin(a->bits), hi = qv_smax(a->bits);
  int64_t s = a->bias == QV_BIAS_FIRST ? qv_clamp64(b, lo, hi) : 0;
  for (size_t i = 0; i < t->k; i++) s = qv_clamp64(s + term(t, i), lo, hi);
  return a->bias == QV_BIAS_LAST ? qv_clamp64(s + b, lo, hi) : s;
}

static bool run_trap(int64_t *out, const qv_acc *a, const terms *t, int64_t b) {
  int64_t lo = qv_smin(a->bits), hi = qv_smax(a->bits);
  int64_t s = a->bias == QV_BIAS_FIRST ? b : 0;
  bool ok = s >= lo && s <= hi;
  for (size_t i = 0; i < t->k; i++) {
    s += term(t, i);
    ok = ok && s >= lo && s <= hi;
  }
  if (a->bias == QV_BIAS_LAST) s += b;
  *out = s;
  return ok && s >= lo && s <= hi;
}

/* Pair p; a missing second term is 0. */
static int64_t pair(const qv_acc *a, const terms *t, size_t p) {
  size_t i = qv_pair_at(a, p), j = i + qv_pair_distance(a);
  return qv_clamp64(term(t, i) + (j < t->k ? term(t, j) : 0), INT16_MIN, INT16_MAX);
}

static int64_t run_pair16(const qv_acc *a, const terms *t) {
  int64_t s = 0;
  for (size_t p = 0, n = qv_pair_count(a, t->k); p < n; p++) s += pair(a, t, p);
  return s;
}

static int64_t lane_add(const qv_acc *a, int64_t lane, int64_t v) {
  return a->lane_sat ? qv_clamp64(lane + v, qv_smin(a->lane_bits), qv_smax(a->lane_bits)) : qv_wrap(lane + v, a->lane_bits);
}

/* Lanes of terms, or of pairs. */
static int64_t run_lanes(const qv_acc *a, const terms *t) {
  bool pairs = a->mode == QV_ACC_PAIRLANES;
  size_t n = pairs ? qv_pair_count(a, t->k) : t->k;
  int64_t wide = 0;
  for (size_t j = 0; j < a->lanes; j++) {
    int64_t lane = 0;
    uint32_t steps = 0;
    for (size_t i = j; i < n; i += a->lanes) {
      lane = lane_add(a, lane, pairs ? pair(a, t, i) : term(t, i));
      if (a->spill != 0 && ++steps == a->spill) {
        wide += lane;
        lane = 0;
        steps = 0;
      }
    }
    wide += lane;
  }
  return wide;
}

bool qv_acc_run(int64_t *out, const qv_acc *a, size_t k, const int64_t *x, const int64_t *w, const bool *inside, int64_t x_zp,
                int64_t w_zp, int64_t b) {
  terms t = {k, x, w, inside, x_zp, w_zp, a->raw};
  int64_t s = 0;
  switch (a->mode) {
  case QV_ACC_EXACT:
  case QV_ACC_WRAP:
    for (size_t i = 0; i < k; i++) s += term(&t, i);
    break;
  case QV_ACC_SAT: *out = run_sat(a, &t, b); return true;
  case QV_ACC_TRAP: return run_trap(out, a, &t, b);
  case QV_ACC_PAIR16: s = run_pair16(a, &t); break;
  case QV_ACC_LANES:
  case QV_ACC_PAIRLANES: s = run_lanes(a, &t); break;
  }
  s += correction(&t) + b;
  *out = a->mode == QV_ACC_EXACT ? s : qv_wrap(s, a->bits);
  return true;
}

/* ---- node kinds ------------------------------------------------------------------------------------------------------- */

qv_status qv_values_init(qv_values *vals, const qv_net *net, qv_err *err) {
  *vals = (qv_values){0};
  vals->v = QV_NEW(&vals->arena, net->n_tensors, int64_t *);
  if (vals->v == NULL) return QV_FAIL(err, QV_E_NOMEM, "tensor values");
  for (uint32_t t = 0; t < net->n_tensors; t++) {
    const qv_tensor *x = &net->tensor[t];
    size_t n = qv_elems(x);
    if ((vals->v[t] = QV_NEW(&vals->arena, n, int64_t)) == NULL) {
      qv_values_clear(vals);
      return QV_FAIL(err, QV_E_NOMEM, "values of tensor '%s'", x->name);
    }
    for (size_t i = 0; x->data != NULL && i < n; i++) vals->v[t][i] = x->data[i];
  }
  return QV_OK;
}

void qv_values_clear(qv_values *vals) {
  qv_arena_clear(&vals->arena);
  vals->v = NULL;
}

typedef struct {
  int64_t *x, *w;
  bool *inside;
} scratch;

/* Collect the taps of one output position and channel in kernel order (ky, kx, c). */
static void gather(scratch *s, const qv_affine *a, const int64_t *x, uint32_t n, uint32_t oy, uint32_t ox, uint32_t o) {
  const qv_window *g = &a->win;
  uint32_t gic = g->ic / g->groups, c0 = o / (g->oc / g->groups) * gic;
  const int32_t *w = a->w + (size_t)o * g->kh * g->kw * gic;
  size_t i = 0;
  for (uint32_t ky = 0; ky < g->kh; ky++)
    for (uint32_t kx = 0; kx < g->kw; kx++) {
      size_t at;
      bool in = qv_window_tap(&at, g, n, oy, ox, ky, kx);
      at += c0;
      for (uint32_t c = 0; c < gic; c++, i++) {
        s->inside[i] = in;
        s->x[i] = in ? x[at + c] : 0;
        s->w[i] = w[i];
      }
    }
}

static qv_status trapped(const qv_net *net, const qv_node *n, uint32_t channel, const qv_acc *a, qv_err *err) {
  return QV_FAIL(err, QV_E_RANGE, "layer %u %s '%s' channel %u: the %d-bit accumulator leaves its range (undefined behaviour)",
                 n->layer, n->op, net->tensor[n->out].name, channel, a->bits);
}

static qv_status run_affine(const qv_net *net, const qv_node *n, int64_t *y, const int64_t *x, qv_err *err) {
  const qv_affine *a = &n->u.affine;
  const qv_window *g = &a->win;
  size_t k = (size_t)g->kh * g->kw * (g->ic / g->groups), e = 0;
  qv_arena tmp = {0};
  scratch s = {QV_NEW(&tmp, k, int64_t), QV_NEW(&tmp, k, int64_t), QV_NEW(&tmp, k, bool)};
  qv_status st = QV_OK;
  if (s.x == NULL || s.w == NULL || s.inside == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "taps of '%s'", net->tensor[n->out].name);
    goto done;
  }
  for (uint32_t b = 0; b < g->n; b++)
    for (uint32_t oy = 0; oy < g->oh; oy++)
      for (uint32_t ox = 0; ox < g->ow; ox++)
        for (uint32_t o = 0; o < g->oc; o++, e++) {
          gather(&s, a, x, b, oy, ox, o);
          if (!qv_acc_run(&y[e], &a->acc, k, s.x, s.w, s.inside, a->x_zp, a->w_zp[a->n_w_zp == 1 ? 0 : o], a->b[o])) {
            st = trapped(net, n, o, &a->acc, err);
            goto done;
          }
        }
done:
  qv_arena_clear(&tmp);
  return st;
}

static void run_max(const qv_node *n, int64_t *y, const int64_t *x) {
  const qv_window *g = &n->u.max;
  size_t e = 0;
  for (uint32_t b = 0; b < g->n; b++)
    for (uint32_t oy = 0; oy < g->oh; oy++)
      for (uint32_t ox = 0; ox < g->ow; ox++)
        for (uint32_t c = 0; c < g->oc; c++, e++) {
          int64_t m = INT64_MIN;
          for (uint32_t ky = 0; ky < g->kh; ky++)
            for (uint32_t kx = 0; kx < g->kw; kx++) {
              size_t at;
              if (!qv_window_tap(&at, g, b, oy, ox, ky, kx)) continue;
              m = qv_max64(m, x[at + c]);
            }
          y[e] = m;
        }
}

/* Elementwise sum: the terms go through the machine accumulator in input order. */
static qv_status run_sum(const qv_net *net, const qv_node *n, qv_values *vals, qv_err *err) {
  const qv_sum *s = &n->u.sum;
  size_t ne = qv_elems(&net->tensor[n->out]);
  qv_arena tmp = {0};
  int64_t *d = QV_NEW(&tmp, n->n_in, int64_t);
  bool *inside = QV_NEW(&tmp, n->n_in, bool);
  qv_status st = d == NULL || inside == NULL ? QV_FAIL(err, QV_E_NOMEM, "operands of '%s'", net->tensor[n->out].name) : QV_OK;
  for (uint32_t k = 0; st == QV_OK && k < n->n_in; k++) inside[k] = true;
  for (size_t e = 0; st == QV_OK && e < ne; e++) {
    for (uint32_t k = 0; k < n->n_in; k++) d[k] = vals->v[n->in[k]][e] - s->z[k];
    if (!qv_acc_run(&vals->v[n->out][e], &s->acc, n->n_in, d, s->c, inside, 0, 0, 0)) st = trapped(net, n, 0, &s->acc, err);
  }
  qv_arena_clear(&tmp);
  return st;
}

static qv_status run_product(const qv_net *net, const qv_node *n, qv_values *vals, qv_err *err) {
  const qv_product *p = &n->u.product;
  const int64_t *x = vals->v[n->in[0]], *w = vals->v[n->in[1]];
  size_t ne = qv_elems(&net->tensor[n->out]);
  bool inside = true;
  for (size_t e = 0; e < ne; e++)
    if (!qv_acc_run(&vals->v[n->out][e], &p->acc, 1, &x[e], &w[e], &inside, p->z0, p->z1, 0))
      return trapped(net, n, 0, &p->acc, err);
  return QV_OK;
}

static qv_status run_index(const qv_net *net, const qv_node *n, qv_values *vals, qv_err *err) {
  size_t ne = qv_elems(&net->tensor[n->out]);
  qv_arena tmp = {0};
  qv_index_src *map = QV_NEW(&tmp, ne, qv_index_src);
  if (map == NULL) return QV_FAIL(err, QV_E_NOMEM, "index map of '%s'", net->tensor[n->out].name);
  qv_index_map(map, net, n);
  for (size_t e = 0; e < ne; e++)
    vals->v[n->out][e] = map[e].src == QV_NONE ? map[e].off : vals->v[n->in[map[e].src]][map[e].off];
  qv_arena_clear(&tmp);
  return QV_OK;
}

qv_status qv_ref_node(const qv_net *net, uint32_t node, qv_values *vals, qv_err *err) {
  const qv_node *n = &net->node[node];
  const qv_tensor *t = &net->tensor[n->out];
  const int64_t *x = vals->v[n->in[0]];
  int64_t *y = vals->v[n->out];
  size_t ne = qv_elems(t);
  switch (n->kind) {
  case QV_AFFINE: return run_affine(net, n, y, x, err);
  case QV_STEP:
    for (size_t e = 0; e < ne; e++) y[e] = qv_step_eval(&n->u.step, qv_step_channel(&n->u.step, e), x[e]);
    return QV_OK;
  case QV_TABLE:
    for (size_t e = 0; e < ne; e++) y[e] = n->u.table.t[x[e] - n->u.table.lo];
    return QV_OK;
  case QV_THRESHOLD:
    for (size_t e = 0; e < ne; e++) y[e] = qv_pieces_eval(qv_threshold_pieces(&n->u.threshold, e), x[e]);
    return QV_OK;
  case QV_SUM: return run_sum(net, n, vals, err);
  case QV_PRODUCT: return run_product(net, n, vals, err);
  case QV_MAX: run_max(n, y, x); return QV_OK;
  case QV_INDEX: return run_index(net, n, vals, err);
  case QV_CLAMP:
    for (size_t e = 0; e < ne; e++) y[e] = qv_clamp64(x[e], n->u.clamp.lo, n->u.clamp.hi);
    return QV_OK;
  case QV_WRAP:
    for (size_t e = 0; e < ne; e++) y[e] = qv_wrap(x[e], n->u.wrap.bits);
    return QV_OK;
  case QV_TAIL: {
    size_t row = t->rank == 0 ? 1 : t->dim[t->rank - 1];
    for (size_t e = 0; e < ne; e += row) qv_tail_row(y + e, x + e, row, &n->u.tail);
    return QV_OK;
  }
  case QV_OPAQUE:
    return QV_FAIL(err, QV_E_UNSUP, "layer %u %s '%s': an opaque operator cannot be executed", n->layer, n->op, t->name);
  case QV_KINDS: break;
  }
  return QV_FAIL(err, QV_E_INTERNAL, "node kind %d", (int)n->kind);
}

qv_status qv_ref_run(const qv_net *net, qv_values *vals, qv_err *err) {
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_tensor *t = &net->tensor[net->in[i].tensor];
    const int64_t *x = vals->v[net->in[i].tensor];
    for (size_t e = 0, n = qv_elems(t); e < n; e++)
      if (x[e] < t->lo || x[e] > t->hi)
        return QV_FAIL(err, QV_E_RANGE, "input '%s' element %zu: %lld is outside [%lld,%lld]", t->name, e, (long long)x[e],
                       (long long)t->lo, (long long)t->hi);
  }
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    qv_status st = qv_ref_node(net, k, vals, err);
    if (st != QV_OK) return st;
  }
  return QV_OK;
}
