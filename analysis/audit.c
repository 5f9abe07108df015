#include "analysis/audit.h"

#include <string.h>

#include "analysis/acc_bound.h"

/* ---- kernels -------------------------------------------------------------------------------------------------------------- */

#define WIDE .bits = 32, .order = QV_ORDER_KERNEL, .bias = QV_BIAS_LAST, .raw = true

static const qv_kernel kernels[] = {
    {.name = "avx2-u8s8",
     .summary = "x86 vpmaddubsw: adjacent pairs of u8*s8 saturate at 16 bits, then 32-bit sums",
     .evidence = "the instruction, measured; oneDNN, FBGEMM (32-bit accumulation), ONNX Runtime without VNNI",
     .acc = {.mode = QV_ACC_PAIR16, WIDE, .pairing = QV_PAIR_ADJACENT}},
    {.name = "vnni-u8s8",
     .summary = "x86 vpdpbusd: four products of u8*s8 into 32 bits, nothing narrower",
     .evidence = "the instruction; ONNX Runtime 1.30 and 1.31 measured",
     .acc = {.mode = QV_ACC_WRAP, WIDE}},
    {.name = "neon-s8",
     .summary = "ARM64 smull, smlal2: products k and k+8 of 16 share a wrapping int16 lane, then widen",
     .evidence = "microsoft/onnxruntime#31573, arithmetic; not executed",
     .x_signed = true,
     .acc = {.mode = QV_ACC_LANES, WIDE, .lane_bits = 16, .lanes = 8, .spill = 2}},
    {.name = "mnn-oaq",
     .summary = "MNN overflow-aware kernels: 8 wrapping int16 lanes over the whole sum",
     .evidence = "source of MNN; not executed",
     .x_signed = true,
     .acc = {.mode = QV_ACC_LANES, WIDE, .lane_bits = 16, .lanes = 8, .spill = 0}},
    {.name = "fbgemm-acc16",
     .summary = "FBGEMM's 16-bit accumulation: vpmaddubsw pairs added by vpaddsw into one saturating int16 lane, emptied every 128 pairs",
     .evidence = "source of FBGEMM (K blocks of 256); the instructions, measured",
     .acc = {.mode = QV_ACC_PAIRLANES, WIDE, .pairing = QV_PAIR_ADJACENT, .lane_bits = 16, .lanes = 1, .lane_sat = true, .spill = 128}},
};

const qv_kernel *qv_kernel_at(size_t i) { return i < sizeof kernels / sizeof *kernels ? &kernels[i] : NULL; }

const qv_kernel *qv_kernel_find(const char *name) {
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
    if (strcmp(kernels[i].name, name) == 0) return &kernels[i];
  return NULL;
}

/* ---- the same integers on another kernel ---------------------------------------------------------------------------------- */

typedef struct {
  qv_net *net;
  const qv_kernel *k;
  uint32_t *shifted; /* [tensors of the net as it came] the tensor with x +- 128, QV_NONE if there is none yet */
  qv_err *err;
} assume;

static size_t terms_per_output(const qv_window *g) { return (size_t)g->kh * g->kw * (g->ic / g->groups); }

/* Average pooling and means are affine nodes with weights 1: additions, no kernel of products. */
static bool adds_only(const qv_affine *a) {
  for (uint32_t i = 0; i < a->n_w_zp; i++)
    if (a->w_zp[i] != 0) return false;
  for (size_t i = 0, n = a->win.oc * terms_per_output(&a->win); i < n; i++)
    if (a->w[i] != 1) return false;
  return true;
}

static bool is_depthwise(const qv_window *g) { return g->groups > 1 && g->groups == g->ic; }

static bool fits8(int64_t v, int64_t shift) { return v - shift >= INT8_MIN && v - shift <= INT8_MAX; }

static bool weights_fit(const qv_affine *a, int64_t shift) {
  for (uint32_t i = 0; i < a->n_w_zp; i++)
    if (!fits8(a->w_zp[i], shift)) return false;
  for (size_t i = 0, n = a->win.oc * terms_per_output(&a->win); i < n; i++)
    if (!fits8(a->w[i], shift)) return false;
  return true;
}

static const int32_t *minus(qv_arena *arena, const int32_t *v, size_t n, int32_t shift) {
  int32_t *r = QV_NEW(arena, n, int32_t);
  for (size_t i = 0; r != NULL && i < n; i++) r[i] = v[i] - shift;
  return r;
}

/* Weights as int8: uint8 ones are moved by 128 with their zero points. */
static qv_status signed_weights(assume *s, qv_node *n) {
  qv_affine *a = &n->u.affine;
  if (weights_fit(a, 0)) return QV_OK;
  if (!weights_fit(a, 128))
    return QV_FAIL(s->err, QV_E_UNSUP, "layer %u %s: weights of more than 8 bits; kernel %s multiplies bytes", n->layer, n->op, s->k->name);
  a->w = minus(&s->net->arena, a->w, a->win.oc * terms_per_output(&a->win), 128);
  a->w_zp = minus(&s->net->arena, a->w_zp, a->n_w_zp, 128);
  return a->w != NULL && a->w_zp != NULL ? QV_OK : QV_FAIL(s->err, QV_E_NOMEM, "weights of layer %u", n->layer);
}

static bool name_taken(const qv_net *net, const char *name) {
  for (uint32_t i = 0; i < net->n_tensors; i++)
    if (strcmp(net->tensor[i].name, name) == 0) return true;
  return false;
}

/* The tensor t moved by `by` into type `to`, and the node that does so. */
static qv_status add_shift(assume *s, const qv_node *n, uint32_t t, int64_t by, qv_dtype to, uint32_t *out) {
  qv_net *net = s->net;
  qv_tensor y = net->tensor[t];
  const char *name = qv_arena_printf(&net->arena, "%s/%s", y.name, qv_dtype_name(to));
  while (name != NULL && name_taken(net, name)) name = qv_arena_printf(&net->arena, "%s'", name);
  int64_t *c = QV_NEW(&net->arena, 2, int64_t);
  uint32_t *in = QV_NEW(&net->arena, 1, uint32_t);
  y.name = name;
  y.type = to;
  y.has_q = false;
  y.scale = 0;
  y.zp = 0;
  y.data = NULL;
  if (name == NULL || c == NULL || in == NULL || (*out = qv_net_add_tensor(net, &y)) == QV_NONE)
    return QV_FAIL(s->err, QV_E_NOMEM, "layer %u", n->layer);
  c[0] = 1;
  c[1] = -by;
  *in = t;
  const qv_node shift = {.kind = QV_SUM, .op = n->op, .layer = n->layer, .n_in = 1, .in = in, .out = *out,
                         .u.sum = {.c = c, .z = c + 1, .acc = {.mode = QV_ACC_EXACT}}};
  return qv_net_add_node(net, &shift) != QV_NONE ? QV_OK : QV_FAIL(s->err, QV_E_NOMEM, "layer %u", n->layer);
}

/* Activations of the kernel's signedness. */
static qv_status kernel_bytes(assume *s, qv_node *n) {
  uint32_t x = n->in[0], *in;
  qv_dtype have = s->net->tensor[x].type, want = s->k->x_signed ? QV_I8 : QV_U8;
  if (have != QV_I8 && have != QV_U8)
    return QV_FAIL(s->err, QV_E_UNSUP, "layer %u %s: activations are %s; kernel %s multiplies bytes", n->layer, n->op,
                   qv_dtype_name(have), s->k->name);
  if (have == want) return QV_OK;
  int32_t by = want == QV_U8 ? 128 : -128;
  if (s->shifted[x] == QV_NONE) {
    qv_status st = add_shift(s, n, x, by, want, &s->shifted[x]);
    if (st != QV_OK) return st;
  }
  if ((in = QV_NEW(&s->net->arena, 1, uint32_t)) == NULL) return QV_FAIL(s->err, QV_E_NOMEM, "layer %u", n->layer);
  *in = s->shifted[x];
  n->in = in;
  n->u.affine.x_zp += by;
  return QV_OK;
}

static qv_status assumption_note(assume *s, bool depthwise) {
  const char *t = qv_arena_printf(&s->net->arena,
                                  "Assumed kernel %s (%s) in place of the runtime's own: the same exact integers, products of stored bytes "
                                  "in the order row, column, channel%s.",
                                  s->k->name, s->k->summary,
                                  depthwise ? "; depthwise convolutions too" : "; depthwise convolutions and plain sums keep their own accumulators");
  return t != NULL && qv_net_add_note(s->net, t) ? QV_OK : QV_FAIL(s->err, QV_E_NOMEM, "note");
}

qv_status qv_kernel_assume(qv_net *net, const qv_kernel *k, bool depthwise, uint32_t *n, qv_err *err) {
  assume s = {.net = net, .k = k, .err = err};
  qv_status st = QV_OK;
  const qv_node *old = net->node;
  uint32_t n_old = net->n_nodes, tensors = net->n_tensors;
  *n = 0;
  if ((s.shifted = QV_NEW(&net->arena, tensors, uint32_t)) == NULL) QV_TRY(QV_FAIL(err, QV_E_NOMEM, "kernel"));
  for (uint32_t i = 0; i < tensors; i++) s.shifted[i] = QV_NONE;
  net->n_nodes = 0; /* a new list; the old one stays in the arena */
  for (uint32_t i = 0; i < n_old; i++) {
    qv_node d = old[i];
    if (d.kind == QV_AFFINE && !adds_only(&d.u.affine) && (depthwise || !is_depthwise(&d.u.affine.win))) {
      if (!k->any_type) QV_TRY(signed_weights(&s, &d));
      if (!k->any_type) QV_TRY(kernel_bytes(&s, &d));
      d.u.affine.acc = k->acc;
      (*n)++;
    }
    if (qv_net_add_node(net, &d) == QV_NONE) QV_TRY(QV_FAIL(err, QV_E_NOMEM, "kernel"));
  }
  QV_TRY(assumption_note(&s, depthwise));
  QV_TRY(qv_ir_check(net, err));
done:
  return st;
}

/* ---- groups ----------------------------------------------------------------------------------------------------------------- */

/* Distance from leaving the stage; negative if it does. */
static int64_t room(qv_itv v, int bits) { return qv_min64(v.lo - qv_smin(bits), qv_smax(bits) - v.hi); }

/* One output element's terms; x and w as in qv_audit_group. */
typedef struct {
  size_t k;
  qv_itv *x, *t;
  int32_t *w;
} element;

/* g: first, step, n, pairs and sum are set. */
typedef void (*visitor)(void *ctx, const element *e, const qv_audit_group *g);

static qv_itv pair_sum(const qv_acc *a, const element *e, size_t p) {
  size_t i = qv_pair_at(a, p), j = i + qv_pair_distance(a);
  qv_itv u = j < e->k ? e->t[j] : (qv_itv){0, 0};
  return (qv_itv){e->t[i].lo + u.lo, e->t[i].hi + u.hi};
}

static void each_pair(const qv_acc *a, const element *e, visitor see, void *ctx) {
  size_t d = qv_pair_distance(a);
  for (size_t p = 0; p < qv_pair_count(a, e->k); p++) {
    size_t i = qv_pair_at(a, p);
    see(ctx, e, &(qv_audit_group){.first = (uint32_t)i, .step = (uint32_t)d, .n = i + d < e->k ? 2 : 1, .sum = pair_sum(a, e, p)});
  }
}

/* Windows of terms, or of pairs. */
static void each_window(const qv_acc *a, const element *e, visitor see, void *ctx) {
  bool pairs = qv_acc_pairs(a);
  size_t all = pairs ? qv_pair_count(a, e->k) : e->k;
  for (size_t j = 0; j < a->lanes && j < all; j++) {
    qv_seg s = {0};
    qv_audit_group g = {.first = (uint32_t)j, .step = a->lanes, .pairs = pairs};
    for (size_t i = j; i < all; i += a->lanes) {
      qv_seg_add(&s, pairs ? pair_sum(a, e, i) : e->t[i]);
      g.n++;
      if (g.n != a->spill && i + a->lanes < all) continue;
      g.sum = a->lane_sat ? (qv_itv){s.pmin, s.pmax} : (qv_itv){s.lo, s.hi};
      see(ctx, e, &g);
      s = (qv_seg){0};
      g.first = (uint32_t)(i + a->lanes);
      g.n = 0;
    }
  }
}

static void each_group(const qv_acc *a, const element *e, visitor see, void *ctx) {
  if (qv_acc_pairs(a)) each_pair(a, e, see, ctx);
  if (qv_acc_lanes(a)) each_window(a, e, see, ctx);
}

static void set_term(element *e, const qv_affine *a, uint32_t o, size_t i, bool inside, qv_itv x) {
  int32_t wz = a->w_zp[a->n_w_zp == 1 ? 0 : o], z = a->acc.raw ? 0 : a->x_zp;
  if (!inside) x = (qv_itv){a->x_zp, a->x_zp};
  e->x[i] = (qv_itv){x.lo - z, x.hi - z};
  e->w[i] = a->w[(size_t)o * e->k + i] - (a->acc.raw ? 0 : wz);
  e->t[i] = qv_term(e->w[i], e->x[i]);
}

static bool element_alloc(element *e, qv_arena *tmp, size_t k) {
  *e = (element){k, QV_NEW(tmp, k, qv_itv), QV_NEW(tmp, k, qv_itv), QV_NEW(tmp, k, int32_t)};
  return e->x != NULL && e->t != NULL && e->w != NULL;
}

/* ---- any byte --------------------------------------------------------------------------------------------------------------- */

typedef struct {
  int bits;
  uint64_t unsafe;
} counter;

static void count(void *ctx, const element *e, const qv_audit_group *g) {
  counter *c = ctx;
  (void)e;
  c->unsafe += room(g->sum, c->bits) < 0;
}

static uint64_t unsafe_any(const qv_net *net, const qv_node *n, element *e) {
  const qv_affine *a = &n->u.affine;
  qv_itv x = qv_dtype_range(net->tensor[n->in[0]].type);
  counter c = {.bits = qv_acc_stage_bits(&a->acc)};
  for (uint32_t o = 0; o < a->win.oc; o++) {
    for (size_t i = 0; i < e->k; i++) set_term(e, a, o, i, true, x);
    each_group(&a->acc, e, count, &c);
  }
  return c.unsafe;
}

/* ---- the worst group -------------------------------------------------------------------------------------------------------- */

typedef struct {
  int bits;
  const qv_acc *acc;
  uint32_t channel; /* being looked at */
  size_t element;
  qv_audit_group best; /* n = 0: none yet */
} worst;

static void keep_worst(void *ctx, const element *e, const qv_audit_group *g) {
  worst *w = ctx;
  if (w->best.n != 0 && room(g->sum, w->bits) >= room(w->best.sum, w->bits)) return;
  size_t first = g->pairs ? qv_pair_at(w->acc, g->first) : g->first, step = g->pairs ? qv_pair_distance(w->acc) : g->step;
  w->best = *g;
  w->best.channel = w->channel;
  w->best.element = w->element;
  for (size_t i = 0; i < 2 && first + i * step < e->k && (i < g->n || g->pairs); i++)
    w->best.w[i] = e->w[first + i * step], w->best.x[i] = e->x[first + i * step];
}

/* Channel whose stage has the least room among those not `taken` (NULL: all); QV_NONE if there is none. */
static uint32_t least_room(const qv_acc_bound *b, int bits, const bool *taken) {
  uint32_t c = QV_NONE;
  for (uint32_t i = 0; i < b->n; i++)
    if ((taken == NULL || !taken[i]) && (c == QV_NONE || room(b->stage[i].itv, bits) < room(b->stage[c].itv, bits))) c = i;
  return c;
}

/* Are the taps inside the image the same at positions p and p - 1 of an axis? */
static bool same_taps(uint32_t p, uint32_t in, uint32_t k, uint32_t stride, uint32_t dil, uint32_t pad) {
  if (p == 0) return false;
  for (uint32_t t = 0; t < k; t++) {
    int64_t at = (int64_t)p * stride - pad + (int64_t)t * dil, before = at - stride;
    if ((at >= 0 && at < in) != (before >= 0 && before < in)) return false;
  }
  return true;
}

/* Terms of channel o at image b, position (oy,ox). */
static void load_element(element *e, const qv_affine *a, const qv_ranges *x, uint32_t b, uint32_t oy, uint32_t ox, uint32_t o) {
  const qv_window *g = &a->win;
  uint32_t gic = g->ic / g->groups, c0 = o / (g->oc / g->groups) * gic;
  size_t i = 0;
  for (uint32_t ky = 0; ky < g->kh; ky++)
    for (uint32_t kx = 0; kx < g->kw; kx++) {
      size_t at;
      bool in = qv_window_tap(&at, g, b, oy, ox, ky, kx);
      at += c0;
      for (uint32_t c = 0; c < gic; c++, i++) set_term(e, a, o, i, in, in ? qv_ranges_at(x, at + c) : (qv_itv){0, 0});
    }
}

/* All positions; positions with the same taps as a neighbour once, if ranges do not depend on the position. */
static qv_audit_group find_worst(const qv_node *n, const qv_ranges *x, const qv_acc_bound *b, element *e) {
  const qv_affine *a = &n->u.affine;
  const qv_window *g = &a->win;
  worst w = {.bits = qv_acc_stage_bits(&a->acc), .acc = &a->acc};
  w.channel = least_room(b, w.bits, NULL);
  bool alike = x->n == 1 || (x->inner == 1 && g->ic % x->n == 0);
  for (uint32_t m = 0; m < (alike ? 1 : g->n); m++)
    for (uint32_t oy = 0; oy < g->oh; oy++) {
      if (alike && same_taps(oy, g->ih, g->kh, g->sh, g->dh, g->pt)) continue;
      for (uint32_t ox = 0; ox < g->ow; ox++) {
        if (alike && same_taps(ox, g->iw, g->kw, g->sw, g->dw, g->pl)) continue;
        load_element(e, a, x, m, oy, ox, w.channel);
        w.element = (((size_t)m * g->oh + oy) * g->ow + ox) * g->oc + w.channel;
        each_group(&a->acc, e, keep_worst, &w);
      }
    }
  return w.best;
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------- */

static bool row(qv_audit_row *r, const qv_net *net, const qv_proof *p) {
  const qv_acc_bound *b = &p->range.acc[r->acc];
  const qv_node *n = &net->node[b->node];
  const qv_acc *a = qv_node_acc(n);
  qv_arena tmp = {0};
  element e;
  if (b->stage == NULL || !qv_acc_staged(a)) return true;
  r->bits = qv_acc_stage_bits(a);
  for (uint32_t c = 0; c < b->n; c++) r->n += b->stage[c].n, r->unsafe += b->stage[c].unsafe;
  if (a->order != QV_ORDER_KERNEL) return true;
  bool ok = element_alloc(&e, &tmp, terms_per_output(&n->u.affine.win));
  if (ok) {
    r->unsafe_any = unsafe_any(net, n, &e);
    r->worst = find_worst(n, &p->range.tensor[n->in[0]], b, &e);
  }
  qv_arena_clear(&tmp);
  return ok;
}

qv_status qv_audit_run(qv_audit *out, const qv_net *net, const qv_proof *proof, qv_err *err) {
  *out = (qv_audit){.n = proof->range.n_acc};
  out->row = QV_NEW(&out->arena, (size_t)out->n + 1, qv_audit_row);
  if (out->row == NULL) return QV_FAIL(err, QV_E_NOMEM, "audit");
  for (uint32_t i = 0; i < out->n; i++) {
    out->row[i].acc = i;
    if (!row(&out->row[i], net, proof)) return QV_FAIL(err, QV_E_NOMEM, "audit");
  }
  return QV_OK;
}

void qv_audit_clear(qv_audit *a) {
  qv_arena_clear(&a->arena);
  *a = (qv_audit){0};
}

/* ---- witnesses -------------------------------------------------------------------------------------------------------------- */

enum { CHANNELS = 6 }; /* tried besides the item's own */

qv_status qv_audit_witness(qv_witness *out, const qv_net *net, const qv_property *prop, qv_proof *proof, uint32_t item,
                           uint64_t work, qv_err *err) {
  qv_ov_item *it = &proof->item[item];
  const qv_acc_bound *b = &proof->range.acc[item];
  uint32_t own = it->channel, list[CHANNELS + 1], n = 0;
  qv_arena tmp = {0};
  bool *taken = QV_NEW(&tmp, b->n, bool);
  qv_status st = taken != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "witness search");
  int bits = b->stage != NULL ? qv_acc_stage_bits(qv_node_acc(&net->node[b->node])) : 0;
  while (st == QV_OK && bits != 0 && n < CHANNELS) {
    uint32_t c = least_room(b, bits, taken);
    if (c == QV_NONE || room(b->stage[c].itv, bits) >= 0) break;
    taken[c] = true;
    list[n++] = c;
  }
  if (st == QV_OK && !taken[own]) list[n++] = own;
  for (uint32_t i = 0; st == QV_OK && i < n; i++) {
    const qv_wit_opts opts = {.max_work = work / n + 1};
    it->channel = list[i];
    qv_witness_clear(out);
    st = qv_witness_search(out, net, prop, proof, item, &opts, err);
    if (out->state != QV_WIT_NONE) break; /* found, or everything was executed */
  }
  it->channel = own;
  qv_arena_clear(&tmp);
  return st;
}
