/* Numbers and one-node nets from the far ends of every field. */
#include "tests/extreme.h"

#include <string.h>

#include "ir/qir_text.h"

int64_t extreme_int(qv_rng *r, int64_t lo, int64_t hi) {
  int64_t v = (int64_t)qv_rng_next(r);
  switch (qv_rng_range(r, 0, 5)) {
  case 0: return lo;
  case 1: return hi;
  case 2: v = qv_rng_range(r, -2, 2); break;
  case 3: v >>= qv_rng_range(r, 0, 62); break;
  default: v = (int64_t)((uint64_t)1 << qv_rng_range(r, 0, 62)) + qv_rng_range(r, -1, 1); break;
  }
  return qv_clamp64(v, lo, hi);
}

float extreme_scale(qv_rng *r) {
  for (;;) {
    uint32_t bits = (uint32_t)qv_rng_next(r) >> 1;
    if (qv_rng_range(r, 0, 3) == 0) bits &= 0x7fc00000;
    if (qv_rng_range(r, 0, 7) == 0) bits &= 0x007fffff; /* subnormal */
    float f;
    memcpy(&f, &bits, sizeof f);
    if (f > 0 && f <= FLT_MAX) return f;
  }
}

double extreme_double(qv_rng *r) {
  for (;;) {
    uint64_t bits = qv_rng_next(r);
    if (qv_rng_range(r, 0, 3) == 0) bits &= ~(((uint64_t)1 << qv_rng_range(r, 1, 52)) - 1);
    if (qv_rng_range(r, 0, 7) == 0) bits &= ~((uint64_t)0x7ff << 52);
    double d;
    memcpy(&d, &bits, sizeof d);
    if (d - d == 0) return d;
  }
}

static qv_acc extreme_acc(qv_rng *r) {
  qv_acc a = {.mode = (qv_acc_mode)qv_rng_range(r, 0, QV_ACC_PAIRLANES), .order = (qv_order)qv_rng_range(r, 0, QV_ORDER_ANY)};
  a.bias = (qv_bias_place)qv_rng_range(r, 0, QV_BIAS_FIRST);
  a.raw = qv_rng_range(r, 0, 2) == 0;
  if (a.mode != QV_ACC_EXACT) a.bits = (uint8_t)qv_rng_range(r, 2, 64);
  if (qv_acc_pairs(&a)) a.pairing = (qv_pairing)qv_rng_range(r, 0, QV_PAIR_K8);
  if (qv_acc_lanes(&a)) {
    a.lane_bits = a.mode == QV_ACC_LANES ? (uint8_t)qv_rng_range(r, 8, 32) : 16;
    a.lanes = (uint16_t)qv_rng_range(r, 1, 64);
    a.lane_sat = qv_rng_range(r, 0, 1);
    a.spill = (uint32_t)extreme_int(r, 0, UINT32_MAX);
  }
  return a;
}

qv_net *extreme_net(qv_rng *r, qv_kind kind) {
  qv_net *net = qv_net_new(0);
  if (net == NULL) return NULL;
  uint32_t k = (uint32_t)qv_rng_range(r, 1, 4), oc = kind == QV_AFFINE ? (uint32_t)qv_rng_range(r, 1, 3) : k;
  int64_t lim = (int64_t)1 << qv_rng_range(r, 0, 62);
  qv_tensor x = {.name = "x", .rank = 2, .dim = {1, k}, .type = QV_I64, .lo = extreme_int(r, -lim, lim)};
  x.hi = qv_rng_range(r, 0, 1) ? x.lo : extreme_int(r, x.lo, lim);
  qv_tensor y = {.name = "y", .rank = 2, .dim = {1, oc}, .type = QV_I64};
  uint32_t *in = QV_NEW(&net->arena, 2, uint32_t);
  qv_node n = {.kind = kind, .op = "X", .n_in = kind == QV_PRODUCT ? 2 : 1, .in = in, .out = 1};
  int64_t *v = QV_NEW(&net->arena, 8, int64_t);
  int32_t *w = QV_NEW(&net->arena, 16, int32_t);
  qv_rq_par *par = QV_NEW(&net->arena, 1, qv_rq_par);
  if (in == NULL || v == NULL || w == NULL || par == NULL) goto fail;
  int64_t wide = (int64_t)1 << qv_rng_range(r, 0, 31);
  for (int i = 0; i < 8; i++) v[i] = extreme_int(r, -lim, lim);
  for (int i = 0; i < 16; i++) w[i] = (int32_t)extreme_int(r, -wide, wide - 1);
  switch (kind) {
  case QV_AFFINE:
    n.u.affine = (qv_affine){.win = {1, 1, 1, k, 1, 1, oc, 1, 1, 1, 1, 1, 1, 0, 0, 1},
                             .x_zp = w[15],
                             .w = w,
                             .n_w_zp = 1,
                             .w_zp = w + 14,
                             .b = v,
                             .acc = extreme_acc(r)};
    break;
  case QV_STEP:
    par->fn = (qv_rq)qv_rng_range(r, 0, QV_RQ_MEANF);
    unsigned f = qv_qir_rq_fields(par->fn);
    if (f & QV_QIR_M) par->m = (int32_t)extreme_int(r, INT32_MIN, INT32_MAX);
    if (f & QV_QIR_SH) par->sh = (int32_t)extreme_int(r, -31, 62);
    if (f & QV_QIR_FM) par->M = f & QV_QIR_F32 ? (double)extreme_scale(r) : extreme_double(r);
    if (f & QV_QIR_FB) par->B = (double)(float)extreme_int(r, INT32_MIN, INT32_MAX);
    n.u.step = (qv_step){.in_zp = v[0],
                         .lshift = (uint32_t)extreme_int(r, 0, 31),
                         .n_par = 1,
                         .par = par,
                         .inner = (uint32_t)extreme_int(r, 1, UINT32_MAX),
                         .out_zp = v[1],
                         .lo = v[2],
                         .hi = v[3]};
    break;
  case QV_TABLE: n.u.table = (qv_table){.lo = extreme_int(r, -lim, x.lo), .n = (uint32_t)extreme_int(r, 1, 16), .t = w}; break;
  case QV_THRESHOLD: {
    qv_pieces *p = QV_NEW(&net->arena, 1, qv_pieces);
    if (p == NULL) goto fail;
    *p = (qv_pieces){.k = (uint32_t)extreme_int(r, 0, 4), .t = v, .v = w};
    for (int i = 1; i < 4; i++)
      if (v[i] <= v[i - 1]) v[i] = v[i - 1] + 1;
    n.u.threshold = (qv_threshold){.inner = (uint32_t)extreme_int(r, 1, UINT32_MAX), .n_par = 1, .par = p};
    break;
  }
  case QV_SUM:
    v[0] = w[0];
    n.u.sum = (qv_sum){.c = v, .z = v + 1, .acc = extreme_acc(r)};
    break;
  case QV_PRODUCT: n.u.product = (qv_product){.z0 = v[0], .z1 = v[1], .acc = extreme_acc(r)}; break;
  case QV_MAX:
    n.u.max = (qv_window){1, 1, 1, k, 1, 1, k, 1, 1, (uint32_t)extreme_int(r, 1, UINT32_MAX), 1, 1, (uint32_t)extreme_int(r, 1, UINT32_MAX),
                          0, 0, k};
    break;
  case QV_INDEX: n.u.index = (qv_index){.form = QV_IX_PAD, .value = w[0]}; break;
  case QV_CLAMP: n.u.clamp.lo = v[0], n.u.clamp.hi = v[1]; break;
  case QV_WRAP: n.u.wrap.bits = (uint8_t)extreme_int(r, 2, 62); break;
  case QV_TAIL:
    n.u.tail = (qv_tail){.mult = w[0], .ls = w[1] & 31, .diff_min = w[2], .out_bits = 16, .out_zp = v[0], .lo = v[1], .hi = v[2]};
    break;
  case QV_OPAQUE: y.lo = v[0], y.hi = v[1]; break;
  case QV_KINDS: break;
  }
  if (qv_net_add_tensor(net, &x) == 0 && qv_net_add_tensor(net, &y) == 1 && qv_net_add_node(net, &n) == 0 &&
      qv_net_add_in(net, &(qv_port){.tensor = 0, .name = "x"}) && qv_net_add_out(net, &(qv_port){.tensor = 1, .name = "y"}))
    return net;
fail:
  qv_net_free(net);
  return NULL;
}
