/* AVERAGE_POOL_2D, MAX_POOL_2D, MEAN. */
#include <math.h>
#include <string.h>

#include "frontend/tflite_lower.h"

/* ---- pooling ----------------------------------------------------------------------------------------------------------- */

typedef struct {
  int32_t x, y;
  uint32_t in;
  qv_window win; /* depthwise */
  tl_shape out;
  qv_itv act;
} pool;

static qv_status read_pool(tl *L, pool *p) {
  qv_status st;
  size_t n;
  QV_TRY(tl_arg(L, 0, &p->x));
  QV_TRY(tl_res(L, 0, &p->y));
  QV_TRY(tl_want_int(L, p->x, false));
  if (tl_tensor(L, p->x)->type != tl_tensor(L, p->y)->type) return TL_UNSUP(L, p->y, "input and result differ in type");
  tl_shape x = tl_shape_of(L, p->x);
  if (x.rank != 4 || !tl_count(&x, &n)) return TL_PARSE(L, p->x, "the input must have 4 dimensions, none of them 0");
  int pad = tl_opt_i8(L, 0, 0), act = tl_opt_i8(L, 5, 0);
  int32_t sw = tl_opt_i32(L, 1, 0), sh = tl_opt_i32(L, 2, 0), kw = tl_opt_i32(L, 3, 0), kh = tl_opt_i32(L, 4, 0);
  QV_TRY(tl_opts_ok(L));
  qv_window *v = &p->win;
  *v = (qv_window){.n = x.dim[0],
                   .ih = x.dim[1],
                   .iw = x.dim[2],
                   .ic = x.dim[3],
                   .oc = x.dim[3],
                   .groups = x.dim[3],
                   .kh = (uint32_t)kh,
                   .kw = (uint32_t)kw,
                   .sh = (uint32_t)sh,
                   .sw = (uint32_t)sw,
                   .dh = 1,
                   .dw = 1};
  QV_TRY(tl_window_axis(L, pad, v->ih, kh, sh, 1, &v->oh, &v->pt));
  QV_TRY(tl_window_axis(L, pad, v->iw, kw, sw, 1, &v->ow, &v->pl));
  tl_shape computed = {.rank = 4, .dim = {v->n, v->oh, v->ow, v->oc}};
  QV_TRY(tl_out_shape(L, p->y, &computed, &p->out));
  p->act = tl_range(L, p->y);
  if (act != 0 || tl_tensor(L, p->y)->scale.n != 0) {
    tl_quant q, qx;
    QV_TRY(tl_quant_of(L, p->x, &qx));
    QV_TRY(tl_quant_of(L, p->y, &q));
    if (fabs((double)q.s - (double)qx.s) > 1e-6 || q.z != qx.z) /* the runtime's own tolerance (pooling.cc) */
      return TL_UNSUP(L, p->y, "pooling between different scales or zero points; the kernels do not rescale");
    QV_TRY(tl_act_range(L, p->y, q, act, &p->act));
  }
  QV_TRY(tl_net_of(L, p->x, &p->in));
done:
  return st;
}

/* Weights of 1 for every tap, no offsets: the raw sum over the taps inside the image. */
static qv_status sum_node(tl *L, const qv_window *w, uint32_t in, int32_t t, const tl_shape *s, uint32_t *acc) {
  qv_status st;
  size_t k = (size_t)w->kh * w->kw * (w->ic / w->groups), n;
  if (!qv_mulz(&n, k, w->oc) || n > QV_MAX_ELEMS) return TL_UNSUP(L, t, "the window is too large");
  int32_t *ones = TL_NEW(L, n, int32_t), *zp = TL_NEW(L, 1, int32_t);
  int64_t *b = TL_NEW(L, w->oc, int64_t);
  if (ones == NULL || zp == NULL || b == NULL) return tl_nomem(L);
  for (size_t i = 0; i < n; i++) ones[i] = 1;
  qv_affine a = {.win = *w, .w = ones, .n_w_zp = 1, .w_zp = zp, .b = b, .acc = L->prof->acc32};
  QV_TRY(tl_add_temp(L, t, "/acc", QV_I32, s, acc));
  QV_TRY(tl_add_node(L, &(qv_node){.kind = QV_AFFINE, .u.affine = a}, in, *acc));
done:
  return st;
}

/* Taps inside the image at output position o along one axis. */
static uint32_t inside(uint32_t o, uint32_t in, uint32_t k, uint32_t stride, uint32_t before) {
  int64_t at = (int64_t)o * stride - before;
  return (uint32_t)(qv_min64(at + k, in) - qv_max64(at, 0));
}

/* Divisor per output position: one parameter set per distinct number of taps, chosen through idx. */
static qv_status pool_divisors(tl *L, const pool *p, qv_step *s) {
  const qv_window *w = &p->win;
  s->n_idx = w->oh * w->ow; /* within the element limit: tl_out_shape */
  s->inner = w->oc;
  uint32_t *idx = TL_NEW(L, s->n_idx, uint32_t);
  uint32_t *known = QV_NEW(&L->tmp, (size_t)w->kh * w->kw + 1, uint32_t); /* parameter number + 1 of a tap count */
  if (idx == NULL || known == NULL) return tl_nomem(L);
  qv_rq_par *par = TL_NEW(L, (size_t)w->kh * w->kw < s->n_idx ? (size_t)w->kh * w->kw : s->n_idx, qv_rq_par);
  if (par == NULL) return tl_nomem(L);
  for (uint32_t oy = 0; oy < w->oh; oy++)
    for (uint32_t ox = 0; ox < w->ow; ox++) {
      uint32_t n = inside(oy, w->ih, w->kh, w->sh, w->pt) * inside(ox, w->iw, w->kw, w->sw, w->pl);
      if (known[n] == 0) {
        par[s->n_par++] = (qv_rq_par){.fn = QV_RQ_DIV, .m = (int32_t)n};
        known[n] = s->n_par;
      }
      idx[oy * w->ow + ox] = known[n] - 1;
    }
  s->par = par;
  s->idx = idx;
  return QV_OK;
}

qv_status tl_average_pool(tl *L) {
  qv_status st;
  pool p = {0};
  uint32_t acc;
  qv_step s = {0};
  QV_TRY(read_pool(L, &p));
  QV_TRY(sum_node(L, &p.win, p.in, p.y, &p.out, &acc)); /* bounds kh*kw */
  QV_TRY(pool_divisors(L, &p, &s));
  s.lo = p.act.lo;
  s.hi = p.act.hi;
  QV_TRY(tl_add_step(L, &s, acc, p.y, &p.out));
done:
  return st;
}

qv_status tl_max_pool(tl *L) {
  qv_status st;
  pool p = {0};
  uint32_t max, y;
  QV_TRY(read_pool(L, &p));
  qv_itv full = tl_range(L, p.y);
  bool clamps = p.act.lo > full.lo || p.act.hi < full.hi;
  QV_TRY(clamps ? tl_add_temp(L, p.y, "/max", L->net->tensor[p.in].type, &p.out, &max) : tl_add_tensor(L, p.y, &p.out, &max));
  QV_TRY(tl_add_node(L, &(qv_node){.kind = QV_MAX, .u.max = p.win}, p.in, max));
  y = max;
  if (clamps) {
    QV_TRY(tl_add_tensor(L, p.y, &p.out, &y));
    QV_TRY(tl_add_node(L, &(qv_node){.kind = QV_CLAMP, .u.clamp = {.lo = p.act.lo, .hi = p.act.hi}}, max, y));
  }
  tl_set_net(L, p.y, y);
done:
  return st;
}

/* ---- MEAN -------------------------------------------------------------------------------------------------------------- */

typedef struct {
  int32_t x, y;
  tl_quant qx, qy;
  tl_shape in, out;
  bool gone[QV_MAX_RANK]; /* reduced dimension */
  bool keep;
  bool height_width; /* axes written as exactly 1, 2 in either order */
  uint32_t n;        /* elements per mean, >= 1 */
} mean;

static qv_status read_mean(tl *L, mean *m) {
  qv_status st;
  int32_t axes;
  const int64_t *ax;
  uint32_t n_ax;
  size_t n;
  QV_TRY(tl_arg(L, 0, &m->x));
  QV_TRY(tl_arg(L, 1, &axes));
  QV_TRY(tl_res(L, 0, &m->y));
  QV_TRY(tl_want_int(L, m->x, false));
  if (tl_tensor(L, m->x)->type != tl_tensor(L, m->y)->type) return TL_UNSUP(L, m->y, "input and result differ in type");
  if (tl_tensor(L, m->x)->type == TFL_UINT8 && L->prof->mean == QV_MEAN_INT)
    return TL_UNSUP(L, m->x, "uint8 MEAN: the arithmetic under profile %s is not known", L->prof->name);
  QV_TRY(tl_quant_of(L, m->x, &m->qx));
  QV_TRY(tl_quant_of(L, m->y, &m->qy));
  QV_TRY(tl_ints(L, axes, 64, &ax, &n_ax));
  m->keep = tl_opt_bool(L, 0, false);
  QV_TRY(tl_opts_ok(L));
  m->in = tl_shape_of(L, m->x);
  if (!tl_count(&m->in, &n)) return TL_PARSE(L, m->x, "the input is empty or too large");
  for (uint32_t i = 0; i < n_ax; i++) {
    int64_t a = ax[i] < 0 ? ax[i] + m->in.rank : ax[i];
    if (a < 0 || a >= (int64_t)m->in.rank) return TL_PARSE(L, axes, "axis %lld does not exist", (long long)ax[i]);
    m->gone[a] = true;
  }
  m->height_width = n_ax == 2 && ax[0] + ax[1] == 3 && (ax[0] == 1 || ax[0] == 2);
  tl_shape computed = {0};
  m->n = 1;
  for (uint32_t d = 0; d < m->in.rank; d++) {
    if (m->gone[d]) m->n *= m->in.dim[d]; /* divides the element count */
    if (!m->gone[d] || m->keep) computed.dim[computed.rank++] = m->gone[d] ? 1 : m->in.dim[d];
  }
  QV_TRY(tl_out_shape(L, m->y, &computed, &m->out));
done:
  return st;
}

/* Sum over the reduced dimensions. If they are neighbours (dimensions of 1 apart), as in NHWC global pooling, one
 * depthwise window does it; else the kept ones are moved to the front. */
static qv_status mean_sum(tl *L, const mean *m, uint32_t *acc) {
  qv_status st;
  uint32_t in, part[3] = {1, 1, 1}, k = 0; /* elements before, in and after the run of reduced dimensions */
  bool run = true;
  QV_TRY(tl_net_of(L, m->x, &in));
  for (uint32_t d = 0; d < m->in.rank; d++) {
    if (m->in.dim[d] == 1) continue;
    if (m->gone[d] != (k == 1)) k++;
    if (k > 2) {
      run = false;
      break;
    }
    part[k] *= m->in.dim[d];
  }
  if (!run) {
    qv_index ix = {.form = QV_IX_TRANSPOSE};
    tl_shape moved = {.rank = m->in.rank};
    uint32_t at = 0;
    for (int pass = 0; pass < 2; pass++)
      for (uint32_t d = 0; d < m->in.rank; d++)
        if (m->gone[d] == (pass == 1)) {
          ix.a[at] = (int32_t)d;
          moved.dim[at++] = m->in.dim[d];
        }
    QV_TRY(tl_add_index(L, &ix, in, m->y, "/moved", &moved, &in));
    size_t n;
    (void)tl_count(&m->out, &n);
    part[0] = (uint32_t)n;
    part[1] = m->n;
    part[2] = 1;
  }
  qv_window w = {.n = part[0],
                 .ih = part[1],
                 .iw = 1,
                 .ic = part[2],
                 .oh = 1,
                 .ow = 1,
                 .oc = part[2],
                 .kh = part[1],
                 .kw = 1,
                 .sh = 1,
                 .sw = 1,
                 .dh = 1,
                 .dw = 1,
                 .groups = part[2]};
  QV_TRY(sum_node(L, &w, in, m->y, &m->out, acc));
done:
  return st;
}

/* Reference kernels (integer_ops/mean.h, reduce.h QuantizedMeanOrSum): the division goes into the multiplier. */
static qv_status mean_int(tl *L, const mean *m, qv_step *s) {
  qv_rq_par p = qv_rq_params(L->prof->rescale, (double)m->qx.s / (double)m->qy.s, L->prof->cap30);
  int k = 31 - __builtin_clz(m->n);
  k = k < 32 ? k : 32;
  k = k < 31 + p.sh ? k : 31 + p.sh;
  p.m = (int32_t)(((int64_t)p.m << k) / m->n);
  p.sh -= k;
  s->in_zp = (int64_t)m->n * m->qx.z;
  s->out_zp = m->qy.z;
  return tl_one_par(L, s, p);
}

/* TFLite 2.9 builtin kernels. NHWC over H and W with kept dimensions: the zero points become a truncated bias, and the last
 * channels outside the vector width of 16 use the scalar rounding. */
static qv_status mean_nhwc(tl *L, const mean *m, qv_step *s) {
  float b = (float)m->qx.z * m->qx.s / m->qy.s;
  b = b > 0 ? b + 0.5f : b - 0.5f;
  if (!(fabsf(b) < 0x1p30f)) return TL_UNSUP(L, m->y, "the zero point is too large at these scales");
  double M = (double)(m->qx.s / ((float)m->n * m->qy.s));
  if (!(M < 0x1p30)) return TL_UNSUP(L, m->y, "rescaling factor %g is too large", M); /* n * s_y may underflow */
  uint32_t c = m->in.dim[3], simd = c / 16 * 16;
  qv_rq_par *par = TL_NEW(L, 2, qv_rq_par);
  uint32_t *idx = TL_NEW(L, c, uint32_t);
  if (par == NULL || idx == NULL) return tl_nomem(L);
  par[0] = qv_rq_params(QV_RQ_U, M, false);
  par[1] = qv_rq_params(QV_RQ_D, M, false);
  for (uint32_t i = 0; i < c; i++) idx[i] = i >= simd;
  s->n_par = 2;
  s->par = par;
  s->inner = 1;
  s->n_idx = c;
  s->idx = idx;
  s->out_zp = m->qy.z - (int64_t)b;
  return QV_OK;
}

static qv_status mean_tfl29(tl *L, const mean *m, qv_step *s) {
  if (tl_tensor(L, m->x)->type == TFL_INT16)
    return TL_UNSUP(L, m->x, "int16 MEAN: the arithmetic under profile %s is not known", L->prof->name);
  if (m->keep && m->in.rank == 4 && m->height_width) return mean_nhwc(L, m, s);
  if (m->qx.s == m->qy.s && m->qx.z == m->qy.z) return tl_one_par(L, s, (qv_rq_par){.fn = QV_RQ_TDIV, .m = (int32_t)m->n});
  float S = m->qx.s / m->qy.s, B = (float)-m->qx.z * S;
  s->out_zp = m->qy.z;
  return tl_one_par(L, s, (qv_rq_par){.fn = QV_RQ_MEANF, .m = (int32_t)m->n, .M = (double)S, .B = (double)B});
}

static qv_status mean_xnnpack(tl *L, const mean *m, qv_step *s) {
  if (tl_tensor(L, m->x)->type == TFL_INT16) return mean_int(L, m, s);
  float S = m->qx.s / m->qy.s, M = S * (1.0f / (float)m->n);
  float B = (float)m->qy.z - (float)((int64_t)m->n * m->qx.z) * M;
  return tl_one_par(L, s, (qv_rq_par){.fn = QV_RQ_F32B, .M = (double)M, .B = (double)B});
}

qv_status tl_mean(tl *L) {
  qv_status st;
  mean m = {0};
  uint32_t acc;
  qv_step s = {0};
  QV_TRY(read_mean(L, &m));
  QV_TRY(tl_factor(L, m.y, (double)m.qx.s / (double)m.qy.s)); /* the binary32 forms are within a factor of 2 */
  switch (L->prof->mean) {
  case QV_MEAN_INT: QV_TRY(mean_int(L, &m, &s)); break;
  case QV_MEAN_TFL29: QV_TRY(mean_tfl29(L, &m, &s)); break;
  case QV_MEAN_XNNPACK: QV_TRY(mean_xnnpack(L, &m, &s)); break;
  }
  QV_TRY(mean_sum(L, &m, &acc));
  s.lo = tl_range(L, m.y).lo;
  s.hi = tl_range(L, m.y).hi;
  QV_TRY(tl_add_step(L, &s, acc, m.y, &m.out));
done:
  return st;
}
