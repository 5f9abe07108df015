#include "cli/witness.h"

#include <stdlib.h>
#include <string.h>

#include "ir/index.h"
#include "kernels/ref.h"

qv_acc qv_acc_judged(const qv_acc *own, int acc_bits) {
  qv_acc a = *own;
  if (acc_bits == 0) return a;
  if (a.mode == QV_ACC_EXACT) a.mode = QV_ACC_WRAP;
  a.bits = (uint8_t)acc_bits;
  return a;
}

/* Which net input element each element of a tensor depends on; src QV_NONE = none (a constant). */
typedef struct {
  uint32_t src;
  size_t off;
} origin;

static uint32_t producer(const qv_net *net, uint32_t tensor) {
  for (uint32_t i = 0; i < net->n_nodes; i++)
    if (net->node[i].out == tensor) return i;
  return QV_NONE;
}

/* Does out[e] depend on in[e] alone? */
static bool elementwise(qv_kind k) {
  switch (k) {
  case QV_STEP:
  case QV_TABLE:
  case QV_CLAMP:
  case QV_WRAP: return true;
  case QV_AFFINE:
  case QV_SUM:
  case QV_PRODUCT:
  case QV_MAX:
  case QV_INDEX:
  case QV_TAIL:
  case QV_OPAQUE:
  case QV_KINDS: return false;
  }
  return false;
}

/* Origins of the elements of `tensor` (in the arena), NULL in *out when they are not single input elements. */
static qv_status trace(origin **out, const qv_net *net, uint32_t tensor, qv_arena *a, qv_err *err) {
  const qv_tensor *t = &net->tensor[tensor];
  size_t n = qv_elems(t);
  origin *o = QV_NEW(a, n, origin);
  *out = NULL;
  if (o == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory while looking for a counterexample");
  uint32_t port = QV_NONE, node = producer(net, tensor);
  for (uint32_t i = 0; i < net->n_in; i++)
    if (net->in[i].tensor == tensor) port = i;
  if (port != QV_NONE || t->data != NULL) {
    for (size_t e = 0; e < n; e++) o[e] = (origin){port, e};
    *out = o;
    return QV_OK;
  }
  if (node == QV_NONE) return QV_OK;
  const qv_node *nd = &net->node[node];
  if (elementwise(nd->kind)) return trace(out, net, nd->in[0], a, err);
  if (nd->kind != QV_INDEX) return QV_OK;
  origin **from = QV_NEW(a, nd->n_in, origin *);
  qv_index_src *map = QV_NEW(a, n, qv_index_src);
  if (from == NULL || map == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory while looking for a counterexample");
  for (uint32_t i = 0; i < nd->n_in; i++) {
    qv_status st = trace(&from[i], net, nd->in[i], a, err);
    if (st != QV_OK || from[i] == NULL) return st;
  }
  qv_index_map(map, net, nd);
  for (size_t e = 0; e < n; e++) o[e] = map[e].src == QV_NONE ? (origin){QV_NONE, 0} : from[map[e].src][map[e].off];
  *out = o;
  return QV_OK;
}

/* Execute the nodes before `node` on inputs `in`. */
static qv_status run_before(const qv_net *net, uint32_t node, int64_t *const *in, qv_values *vals, qv_err *err) {
  for (uint32_t i = 0; i < net->n_in; i++)
    memcpy(vals->v[net->in[i].tensor], in[i], qv_elems(&net->tensor[net->in[i].tensor]) * sizeof(int64_t));
  for (uint32_t i = 0; i < node; i++) {
    qv_status st = qv_ref_node(net, i, vals, err);
    if (st != QV_OK) return st;
  }
  return QV_OK;
}


typedef struct {
  const qv_affine *af;
  const int64_t *lo, *hi; /* value of each input element when the net's inputs are all low / all high */
  const origin *from;
} corner;

/* The sum at output position `pos`, channel oc, when every input takes the side (0 low, 1 high) that drives it up (or down).
 * pick NULL: only the sum; otherwise the chosen values are written to pick[input][offset]. */
static qv_i128 drive(const corner *c, size_t pos, uint32_t oc, bool up, const qv_net *net, int64_t *const *pick) {
  const qv_window *w = &c->af->win;
  uint32_t icg = w->ic / w->groups, c0 = oc / (w->oc / w->groups) * icg;
  size_t ox = pos % w->ow, oy = pos / w->ow % w->oh, n = pos / w->ow / w->oh;
  int64_t zp = c->af->w_zp[c->af->n_w_zp == 1 ? 0 : oc];
  const int32_t *wt = c->af->w + (size_t)oc * w->kh * w->kw * icg;
  qv_i128 sum = c->af->b[oc];
  for (uint32_t ky = 0; ky < w->kh; ky++)
    for (uint32_t kx = 0; kx < w->kw; kx++) {
      int64_t iy = (int64_t)oy * w->sh - w->pt + (int64_t)ky * w->dh, ix = (int64_t)ox * w->sw - w->pl + (int64_t)kx * w->dw;
      if (iy < 0 || ix < 0 || iy >= w->ih || ix >= w->iw) continue;
      for (uint32_t k = 0; k < icg; k++) {
        size_t e = ((n * w->ih + (size_t)iy) * w->iw + (size_t)ix) * w->ic + c0 + k;
        int64_t q = wt[((size_t)ky * w->kw + kx) * icg + k] - zp;
        int64_t at_lo = q * (c->lo[e] - c->af->x_zp), at_hi = q * (c->hi[e] - c->af->x_zp);
        bool high = up ? at_hi > at_lo : at_hi < at_lo;
        sum += high ? at_hi : at_lo;
        if (pick != NULL && c->from[e].src != QV_NONE) {
          const qv_tensor *t = &net->tensor[net->in[c->from[e].src].tensor];
          pick[c->from[e].src][c->from[e].off] = high ? t->hi : t->lo;
        }
      }
    }
  return sum;
}

/* The position and side that leave the range of `bits` farthest. */
static void worst_corner(const corner *c, uint32_t oc, int bits, const qv_net *net, size_t *pos, bool *up) {
  const qv_window *w = &c->af->win;
  size_t n = (size_t)w->n * w->oh * w->ow;
  qv_i128 best = -((qv_i128)1 << 100);
  for (size_t p = 0; p < n; p++)
    for (int side = 0; side < 2; side++) {
      qv_i128 v = drive(c, p, oc, side == 1, net, NULL);
      qv_i128 beyond = side == 1 ? v - qv_smax(bits) : qv_smin(bits) - v;
      if (beyond <= best) continue;
      best = beyond;
      *pos = p;
      *up = side == 1;
    }
}

/* Execute `node` with the unbounded and with the judged accumulator on the inputs in w->in, and compare. On entry w->element is
 * the element that the inputs were made for: the one reported if it differs. */
static qv_status replay(qv_witness *w, bool *found, const qv_net *net, uint32_t node, const qv_acc *acc, qv_values *vals,
                        qv_err *err) {
  qv_status st = QV_OK;
  uint32_t out = net->node[node].out;
  size_t n = qv_elems(&net->tensor[out]);
  int64_t *exact = NULL;
  qv_net copy = *net;
  qv_err trap = {0};
  if ((copy.node = malloc(net->n_nodes * sizeof *copy.node)) == NULL || (exact = malloc((n + 1) * sizeof *exact)) == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "out of memory while replaying a counterexample");
    goto done;
  }
  memcpy(copy.node, net->node, net->n_nodes * sizeof *copy.node);
  QV_TRY(run_before(net, node, w->in, vals, err));
  copy.node[node].u.affine.acc = (qv_acc){.mode = QV_ACC_EXACT};
  QV_TRY(qv_ref_node(&copy, node, vals, err));
  memcpy(exact, vals->v[out], n * sizeof *exact);
  copy.node[node].u.affine.acc = *acc;
  st = qv_ref_node(&copy, node, vals, &trap);
  w->trap = st == QV_E_RANGE && acc->mode == QV_ACC_TRAP;
  if (st != QV_OK && !w->trap) {
    if (err != NULL) *err = trap;
    goto done;
  }
  st = QV_OK;
  const int64_t *got = vals->v[out];
  *found = w->trap || got[w->element] != exact[w->element];
  for (size_t e = 0; e < n && !*found; e++)
    if (got[e] != exact[e]) {
      *found = true;
      w->element = e;
    }
  w->channel = (uint32_t)(w->element % net->node[node].u.affine.win.oc);
  w->exact = exact[w->element];
  w->machine = got[w->element];
done:
  free(exact);
  free(copy.node);
  return st;
}

static qv_status alloc_inputs(int64_t ***out, const qv_net *net, bool high, qv_arena *a, qv_err *err) {
  int64_t **in = QV_NEW(a, net->n_in, int64_t *);
  for (uint32_t i = 0; in != NULL && i < net->n_in; i++) {
    const qv_tensor *t = &net->tensor[net->in[i].tensor];
    size_t n = qv_elems(t);
    if ((in[i] = QV_NEW(a, n, int64_t)) == NULL) in = NULL;
    for (size_t e = 0; in != NULL && e < n; e++) in[i][e] = high ? t->hi : t->lo;
  }
  *out = in;
  return in != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "out of memory while looking for a counterexample");
}

qv_status qv_witness_find(qv_witness *out, bool *found, const qv_net *net, uint32_t node, uint32_t channel, int acc_bits, qv_err *err) {
  qv_status st;
  qv_values lo = {0}, hi = {0};
  qv_arena scratch = {0};
  const qv_node *nd = &net->node[node];
  *found = false;
  if (nd->kind != QV_AFFINE) return QV_OK;
  qv_acc acc = qv_acc_judged(&nd->u.affine.acc, acc_bits);
  if (acc.mode == QV_ACC_EXACT || channel >= nd->u.affine.win.oc) return QV_OK;
  origin *from;
  int64_t **in_hi;
  QV_TRY(trace(&from, net, nd->in[0], &scratch, err));
  if (from == NULL) goto done;
  QV_TRY(alloc_inputs(&out->in, net, false, &out->arena, err));
  QV_TRY(alloc_inputs(&in_hi, net, true, &scratch, err));
  QV_TRY(qv_values_init(&lo, net, err));
  QV_TRY(qv_values_init(&hi, net, err));
  /* Nodes before this one may be undefined or unsupported at the corners (TRAP, OPAQUE on another branch): then no claim. */
  if (run_before(net, node, out->in, &lo, NULL) != QV_OK || run_before(net, node, in_hi, &hi, NULL) != QV_OK) goto done;
  corner c = {&nd->u.affine, lo.v[nd->in[0]], hi.v[nd->in[0]], from};
  size_t pos = 0;
  bool up = true;
  worst_corner(&c, channel, acc.bits, net, &pos, &up);
  (void)drive(&c, pos, channel, up, net, out->in);
  out->element = pos * nd->u.affine.win.oc + channel;
  QV_TRY(replay(out, found, net, node, &acc, &lo, err));
done:
  qv_values_clear(&lo);
  qv_values_clear(&hi);
  qv_arena_clear(&scratch);
  if (st != QV_OK || !*found) qv_witness_clear(out);
  return st;
}

void qv_witness_clear(qv_witness *w) {
  qv_arena_clear(&w->arena);
  *w = (qv_witness){0};
}
