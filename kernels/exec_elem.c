/* Elementwise nodes in blocks that stay in the first-level cache: STEP, SUM, PRODUCT with the steps before and after them
 * (TFLite's ADD is two steps, a sum, a step), table look-ups, and MAX windows. */
#include <string.h>

#include "ir/index.h"
#include "kernels/exec_int.h"
#include "kernels/step.h"
#include "kernels/threshold.h"

uint32_t qv_sole_step(const qv_plan *p, uint32_t t) {
  uint32_t j = p->consumer[t];
  return p->uses[t] == 1 && j != QV_NONE && p->net->node[j].kind == QV_STEP && p->op[j].name == NULL ? j : QV_NONE;
}

/* ---- storing int32 results of a vector step ------------------------------------------------------------------------------ */

/* Output of a step for tensor y: rq result + zp, clamped, as byte or value. */
static void store_rows(const qv_simd *simd, const qv_xtensor *y, unsigned char *dst, size_t e0, size_t ldd, int32_t *src, size_t lds,
                       size_t rows, size_t n, const qv_step *s) {
  int64_t zp = s->out_zp + y->bias, lo = qv_max64(s->lo + y->bias, 0), hi = qv_min64(s->hi + y->bias, 255);
  if (y->type == QV_XU8 && zp >= -32000 && zp <= 32000) { /* all results are bytes: clamping to bytes changes none */
    simd->narrow8(dst + e0, ldd, src, lds, rows, n, (int32_t)zp, (int32_t)lo, (int32_t)hi);
    return;
  }
  for (size_t r = 0; r < rows; r++)
    for (size_t j = 0; j < n; j++) qv_xput(y, dst, e0 + r * ldd + j, qv_clamp64(src[r * lds + j] + s->out_zp, s->lo, s->hi));
}

void qv_store_tile(qv_worker *w, const qv_op *op, size_t e0, size_t oc, size_t rows, size_t n, size_t panels, size_t lane0) {
  const qv_step *s = op->post->s;
  if (s->in_zp != 0)
    for (size_t r = 0; r < rows; r++)
      for (size_t j = 0; j < n; j++) w->c[r * QV_TILE_COLS + j] = qv_low32(w->c[r * QV_TILE_COLS + j] - s->in_zp);
  w->p->simd->rq(w->c, rows, QV_TILE_COLS, panels, op->post, lane0);
  store_rows(w->p->simd, &w->p->x[op->out], w->at[op->out], e0, oc, w->c, QV_TILE_COLS, rows, n, s);
}

/* ---- sums, products, steps ------------------------------------------------------------------------------------------------ */

/* y = post(sum or product over k of c_k * (pre_k(x_k) - z_k)) */
typedef struct {
  const qv_vstep *pre;
  int32_t z, c;
} ew_in;

typedef struct {
  ew_in *in;
  bool product;
  size_t block; /* elements at once: a multiple of every step's period */
  int wrap;     /* wrap sums to this many bits, 0 = no */
} ew_op;

/* Vector steps of a block of m elements, in place; t already holds x - in_zp. */
static void rq_block(const qv_worker *w, const qv_vstep *v, int32_t *t, size_t m) {
  size_t rows = (m + v->lanes - 1) / v->lanes;
  w->p->simd->rq(t, rows, v->lanes, v->lanes / QV_PANEL, v, 0);
}

/* t = x - off as int32. */
static void widen(const qv_worker *w, int32_t *t, uint32_t tensor, size_t e, size_t m, int64_t off) {
  const qv_xtensor *x = &w->p->x[tensor];
  const unsigned char *p = w->at[tensor];
  switch (x->type) {
  case QV_XU8: w->p->simd->widen8(t, p + e, m, (int32_t)(x->bias + off)); break;
  case QV_XI16: w->p->simd->widen16(t, (const int16_t *)(const void *)p + e, m, (int32_t)off); break;
  case QV_XI32:
  case QV_XI64:
    for (size_t i = 0; i < m; i++) t[i] = qv_low32(qv_xget(x, p, e + i) - off);
    break;
  }
}

static qv_status run_ew(qv_worker *w, const qv_op *op) {
  const ew_op *f = op->data;
  const qv_simd *s = w->p->simd;
  const qv_xtensor *y = &w->p->x[op->out];
  for (size_t e = 0; e < y->n; e += f->block) {
    size_t m = y->n - e < f->block ? y->n - e : f->block, up = (m + QV_PANEL - 1) / QV_PANEL * QV_PANEL;
    for (uint32_t k = 0; k < op->n_in; k++) {
      const ew_in *in = &f->in[k];
      int32_t *t = k == 0 ? w->c : w->t;
      if (in->pre != NULL) {
        const qv_step *q = in->pre->s;
        widen(w, t, op->in[k], e, m, q->in_zp);
        rq_block(w, in->pre, t, m);
        s->shape32(t, up, (int32_t)q->out_zp, (int32_t)qv_max64(q->lo, INT32_MIN), (int32_t)qv_min64(q->hi, INT32_MAX), in->z, in->c);
      } else {
        widen(w, t, op->in[k], e, m, in->z);
        if (in->c != 1) s->shape32(t, up, 0, INT32_MIN, INT32_MAX, 0, in->c);
      }
      if (k > 0) s->join32(w->c, w->t, up, f->product);
    }
    if (f->wrap != 0)
      for (size_t i = 0; i < m; i++) w->c[i] = (int32_t)qv_wrap(w->c[i], f->wrap);
    if (op->post == NULL) {
      for (size_t i = 0; i < m; i++) qv_xput(y, w->at[op->out], e + i, w->c[i]);
      continue;
    }
    if (op->post->s->in_zp != 0) s->shape32(w->c, up, 0, INT32_MIN, INT32_MAX, (int32_t)op->post->s->in_zp, 1);
    rq_block(w, op->post, w->c, m);
    store_rows(s, y, w->at[op->out], e, m, w->c, m, 1, m, op->post->s);
  }
  return QV_OK;
}

static bool op_inputs(qv_plan *p, qv_op *op, const qv_node *d) {
  op->n_in = d->n_in;
  op->out = d->out;
  if ((op->in = QV_NEW(&p->arena, d->n_in, uint32_t)) == NULL) return false;
  for (uint32_t k = 0; k < d->n_in; k++) op->in[k] = d->in[k];
  return true;
}

/* The block must hold whole periods of every step. */
static bool fit_block(ew_op *f, uint32_t n_in, const qv_vstep *post) {
  size_t step = QV_PANEL;
  for (uint32_t k = 0; k <= n_in; k++) {
    const qv_vstep *v = k < n_in ? f->in[k].pre : post;
    if (v == NULL) continue;
    size_t a = step;
    while (step % v->lanes != 0 && step <= QV_EW_BLOCK) step += a;
    if (step > QV_EW_BLOCK) return false;
  }
  f->block = QV_EW_BLOCK / step * step;
  return true;
}

static bool in_int32(qv_itv x) { return x.lo >= INT32_MIN && x.hi <= INT32_MAX; }

/* Range of operand k of a SUM or PRODUCT before c and z; with its step pulled in if there is a vector form. */
static bool plan_operand(const qv_plan *p, const qv_op *op, const ew_op *f, uint32_t k, qv_itv *range) {
  const qv_net *net = p->net;
  uint32_t t = op->in[k], j = p->producer[t];
  *range = p->range[t];
  if (j == QV_NONE || net->node[j].kind != QV_STEP || p->uses[t] != 1 || p->op[j].run != run_ew) return in_int32(*range);
  const ew_op *g = p->op[j].data;
  if (p->op[j].n_in != 1 || g->in[0].pre != NULL || p->op[j].post == NULL || !in_int32(*range)) return in_int32(*range);
  f->in[k].pre = p->op[j].post;
  op->in[k] = p->op[j].in[0];
  return true;
}

/* The steps that were pulled in are done here and nowhere else. */
static void retire_steps(qv_plan *p, const qv_node *d, const ew_op *f) {
  for (uint32_t k = 0; k < d->n_in; k++)
    if (f->in[k].pre != NULL) {
      p->op[p->producer[d->in[k]]].run = NULL;
      p->op[p->producer[d->in[k]]].name = "(done by the node after)";
    }
}

/* Is int32 arithmetic exact for c_k*(x_k - z_k) joined under accumulator a? bound: of every partial result. */
static bool acc_exact32(const qv_acc *a, qv_i128 bound, int *wrap) {
  *wrap = 0;
  if (bound <= INT32_MAX && (a->mode == QV_ACC_EXACT || bound <= qv_smax(a->bits))) return true;
  if (a->mode != QV_ACC_WRAP || a->bits > 32) return false;
  *wrap = a->bits < 32 ? a->bits : 0; /* arithmetic modulo 2^32 is the definition */
  return true;
}

/* SUM and PRODUCT. */
static bool plan_join(qv_plan *p, uint32_t node, qv_status *st) {
  const qv_node *d = &p->net->node[node];
  bool product = d->kind == QV_PRODUCT;
  const qv_acc *acc = product ? &d->u.product.acc : &d->u.sum.acc;
  const int64_t z[2] = {d->u.product.z0, d->u.product.z1};
  qv_op *op = &p->op[node];
  ew_op *f = QV_NEW(&p->arena, 1, ew_op);
  if (f == NULL || (f->in = QV_NEW(&p->arena, d->n_in, ew_in)) == NULL || !op_inputs(p, op, d)) goto nomem;
  f->product = product;
  qv_i128 bound = product;
  for (uint32_t k = 0; k < d->n_in; k++) {
    qv_itv x;
    int64_t zk = product ? z[k] : d->u.sum.z[k], ck = product ? 1 : d->u.sum.c[k];
    if (!plan_operand(p, op, f, k, &x) || zk < -(1 << 30) || zk > 1 << 30 || x.lo - zk < INT32_MIN || x.hi - zk > INT32_MAX) goto reference;
    f->in[k].z = (int32_t)zk;
    f->in[k].c = (int32_t)ck;
    qv_i128 m = qv_max64(x.hi - zk, zk - x.lo);
    if (product) bound *= m;
    else bound += (ck < 0 ? -ck : ck) * m;
  }
  if (!acc_exact32(acc, bound, &f->wrap)) goto reference;
  uint32_t j = qv_sole_step(p, d->out);
  const qv_vstep *post = NULL;
  if (j != QV_NONE && f->wrap == 0) {
    qv_vstep_periodic(&post, p, &p->net->node[j].u.step, p->range[d->out], p->x[d->out].n);
    if (post == NULL) goto nomem;
    if (post->form == QV_VF_NONE || p->x[p->net->node[j].out].type == QV_XI64 || !fit_block(f, d->n_in, post)) post = NULL;
  }
  if (!fit_block(f, d->n_in, post)) goto reference;
  if (post != NULL) {
    op->post = post;
    op->out = p->net->node[j].out;
    p->op[j].name = "(done by the node before)";
  }
  retire_steps(p, d, f);
  op->data = f;
  op->run = run_ew;
  op->name = post != NULL ? "vector join + step" : "vector join";
  return true;
reference:
  op->name = "reference: int32 arithmetic is not proved exact";
  return false;
nomem:
  *st = QV_E_NOMEM;
  return false;
}

static bool plan_step(qv_plan *p, uint32_t node, qv_status *st) {
  const qv_node *d = &p->net->node[node];
  qv_op *op = &p->op[node];
  ew_op *f = QV_NEW(&p->arena, 1, ew_op);
  const qv_vstep *v = NULL;
  if (f == NULL || (f->in = QV_NEW(&p->arena, 1, ew_in)) == NULL || !op_inputs(p, op, d)) goto nomem;
  qv_vstep_periodic(&v, p, &d->u.step, p->range[d->in[0]], p->x[d->in[0]].n);
  if (v == NULL) goto nomem;
  if (v->form == QV_VF_NONE || p->x[d->out].type == QV_XI64 || !fit_block(f, 0, v)) return false;
  f->in[0].c = 1;
  op->post = v;
  op->data = f;
  op->run = run_ew;
  op->name = "vector step";
  return true;
nomem:
  *st = QV_E_NOMEM;
  return false;
}

/* ---- tables: any function of one small value ------------------------------------------------------------------------------- */

typedef struct {
  int64_t lo;       /* input value of entry 0 */
  unsigned char *t; /* entries in the output's form */
} lut_op;

static qv_status run_lut(qv_worker *w, const qv_op *op) {
  const lut_op *f = op->data;
  const qv_xtensor *x = &w->p->x[op->in[0]], *y = &w->p->x[op->out];
  const unsigned char *src = w->at[op->in[0]];
  unsigned char *dst = w->at[op->out];
  if (x->type == QV_XU8 && y->type == QV_XU8) {
    for (size_t i = 0; i < y->n; i++) dst[i] = f->t[src[i]];
    return QV_OK;
  }
  for (size_t i = 0; i < y->n; i++) qv_xput(y, dst, i, qv_xget(y, f->t, (size_t)(qv_xget(x, src, i) - f->lo)));
  return QV_OK;
}

static int64_t unary(const qv_node *d, int64_t x) {
  switch (d->kind) {
  case QV_STEP: return qv_step_eval(&d->u.step, qv_step_channel(&d->u.step, 0), x);
  case QV_TABLE: return d->u.table.t[x - d->u.table.lo];
  case QV_THRESHOLD: return qv_pieces_eval(&d->u.threshold.par[0], x);
  case QV_CLAMP: return qv_clamp64(x, d->u.clamp.lo, d->u.clamp.hi);
  case QV_WRAP: return qv_wrap(x, d->u.wrap.bits);
  case QV_AFFINE:
  case QV_SUM:
  case QV_PRODUCT:
  case QV_MAX:
  case QV_INDEX:
  case QV_TAIL:
  case QV_OPAQUE:
  case QV_KINDS: break;
  }
  return 0;
}

static bool plan_lut(qv_plan *p, uint32_t node, qv_status *st) {
  const qv_node *d = &p->net->node[node];
  qv_itv x = p->range[d->in[0]];
  const qv_xtensor *y = &p->x[d->out];
  qv_op *op = &p->op[node];
  const qv_step *s = &d->u.step;
  if (d->kind == QV_STEP && (s->idx != NULL ? s->n_idx : s->n_par) != 1) return false;
  if (d->kind == QV_THRESHOLD && d->u.threshold.n_par != 1) return false;
  if (p->x[d->in[0]].type != QV_XU8 && p->x[d->in[0]].type != QV_XI16) return false;
  lut_op *f = QV_NEW(&p->arena, 1, lut_op);
  bool bytes = p->x[d->in[0]].type == QV_XU8; /* then entry b belongs to byte b */
  size_t n = bytes ? 256 : (size_t)(x.hi - x.lo) + 1;
  if (f == NULL || (f->t = qv_arena_alloc(&p->arena, n, qv_xsize(y->type))) == NULL || !op_inputs(p, op, d)) {
    *st = QV_E_NOMEM;
    return false;
  }
  f->lo = bytes ? -p->x[d->in[0]].bias : x.lo;
  for (int64_t v = x.lo; v <= x.hi; v++) qv_xput(y, f->t, (size_t)(v - f->lo), unary(d, v));
  op->data = f;
  op->run = run_lut;
  op->name = "table";
  return true;
}

/* ---- thresholds: per channel a table where the input is narrow, else a search ----------------------------------------------- */

enum { LUT_ENTRIES = 1 << 20 }; /* of all channels of a node */

typedef struct {
  const qv_threshold *h;
  int64_t lo;       /* input value of entry 0 of each channel */
  size_t span;      /* entries of a channel; 0 = no table */
  unsigned char *t; /* entries in the output's form, channel by channel */
} threshold_op;

static qv_status run_threshold(qv_worker *w, const qv_op *op) {
  const threshold_op *f = op->data;
  const qv_threshold *h = f->h;
  const qv_xtensor *x = &w->p->x[op->in[0]], *y = &w->p->x[op->out];
  const unsigned char *src = w->at[op->in[0]];
  unsigned char *dst = w->at[op->out];
  uint32_t c = 0, left = h->inner;
  for (size_t e = 0; e < y->n; e++) {
    int64_t v = qv_xget(x, src, e);
    if (f->span == 0) qv_xput(y, dst, e, qv_pieces_eval(&h->par[c], v));
    else qv_xput(y, dst, e, qv_xget(y, f->t, c * f->span + (size_t)(v - f->lo)));
    if (--left == 0) {
      left = h->inner;
      c = c + 1 == h->n_par ? 0 : c + 1;
    }
  }
  return QV_OK;
}

static bool plan_threshold(qv_plan *p, uint32_t node, qv_status *st) {
  const qv_node *d = &p->net->node[node];
  const qv_threshold *h = &d->u.threshold;
  const qv_xtensor *y = &p->x[d->out];
  qv_itv x = p->range[d->in[0]];
  qv_op *op = &p->op[node];
  threshold_op *f = QV_NEW(&p->arena, 1, threshold_op);
  if (f == NULL || !op_inputs(p, op, d)) goto nomem;
  *f = (threshold_op){.h = h, .lo = x.lo};
  if (((qv_i128)x.hi - x.lo + 1) * h->n_par <= LUT_ENTRIES) {
    f->span = (size_t)(x.hi - x.lo) + 1;
    if ((f->t = qv_arena_alloc(&p->arena, f->span * h->n_par, qv_xsize(y->type))) == NULL) goto nomem;
    for (uint32_t c = 0; c < h->n_par; c++)
      for (size_t i = 0; i < f->span; i++) qv_xput(y, f->t, c * f->span + i, qv_pieces_eval(&h->par[c], x.lo + (int64_t)i));
  }
  op->data = f;
  op->run = run_threshold;
  op->name = f->span != 0 ? "table per channel" : "search of thresholds";
  return true;
nomem:
  *st = QV_E_NOMEM;
  return false;
}

bool qv_plan_elementwise(qv_plan *p, uint32_t node, qv_status *st) {
  qv_kind k = p->net->node[node].kind;
  if (k == QV_SUM || k == QV_PRODUCT) return plan_join(p, node, st);
  if (k == QV_STEP && plan_step(p, node, st)) return true;
  if (*st != QV_OK) return false;
  if (plan_lut(p, node, st)) return true;
  if (*st != QV_OK) return false;
  if (k == QV_THRESHOLD) return plan_threshold(p, node, st);
  p->op[node].name = "reference: wide values";
  return false;
}

/* ---- MAX of bytes ------------------------------------------------------------------------------------------------------------ */

static qv_status run_max(qv_worker *w, const qv_op *op) {
  const qv_window *g = &w->p->net->node[op->node].u.max;
  const unsigned char *src = w->at[op->in[0]];
  unsigned char *dst = w->at[op->out];
  size_t c = g->ic;
  for (uint32_t n = 0; n < g->n; n++, src += (size_t)g->ih * g->iw * c)
    for (uint32_t oy = 0; oy < g->oh; oy++)
      for (uint32_t ox = 0; ox < g->ow; ox++, dst += c) {
        memset(dst, 0, c); /* the smallest byte; every position has a tap inside */
        for (uint32_t ky = 0; ky < g->kh; ky++)
          for (uint32_t kx = 0; kx < g->kw; kx++) {
            int64_t y = (int64_t)oy * g->sh - g->pt + (int64_t)ky * g->dh, x = (int64_t)ox * g->sw - g->pl + (int64_t)kx * g->dw;
            if (y >= 0 && y < g->ih && x >= 0 && x < g->iw) w->p->simd->max8(dst, src + ((size_t)y * g->iw + (size_t)x) * c, c);
          }
      }
  return QV_OK;
}

bool qv_plan_max(qv_plan *p, uint32_t node, qv_status *st) {
  const qv_node *d = &p->net->node[node];
  qv_op *op = &p->op[node];
  const qv_xtensor *x = &p->x[d->in[0]], *y = &p->x[d->out];
  if (x->type != QV_XU8 || y->type != x->type || y->bias != x->bias) {
    op->name = "reference: values wider than a byte";
    return false;
  }
  if (!op_inputs(p, op, d)) {
    *st = QV_E_NOMEM;
    return false;
  }
  op->run = run_max;
  op->name = "byte max";
  return true;
}

/* ---- data movement: copies of contiguous runs ---------------------------------------------------------------------------------- */

typedef struct {
  uint32_t src; /* input number, QV_NONE: fill with `off` as a value */
  int32_t off;
  uint32_t len;
} run;

typedef struct {
  run *runs;
  size_t n;
} move_op;

static qv_status run_move(qv_worker *w, const qv_op *op) {
  const move_op *f = op->data;
  const qv_xtensor *y = &w->p->x[op->out];
  unsigned char *dst = w->at[op->out];
  size_t sz = qv_xsize(y->type), e = 0;
  for (size_t i = 0; i < f->n; i++) {
    const run *r = &f->runs[i];
    if (r->src != QV_NONE) memcpy(dst + e * sz, w->at[op->in[r->src]] + (size_t)r->off * sz, r->len * sz);
    else
      for (size_t j = 0; j < r->len; j++) qv_xput(y, dst, e + j, r->off);
    e += r->len;
  }
  return QV_OK;
}

static size_t find_runs(run *out, const qv_index_src *map, size_t ne) {
  size_t n = 0;
  for (size_t e = 0; e < ne;) {
    size_t len = 1;
    while (e + len < ne && map[e + len].src == map[e].src && map[e + len].off == map[e].off + (map[e].src == QV_NONE ? 0 : (int32_t)len))
      len++;
    if (out != NULL) out[n] = (run){map[e].src, map[e].off, (uint32_t)len};
    n++;
    e += len;
  }
  return n;
}

bool qv_plan_move(qv_plan *p, uint32_t node, qv_status *st) {
  const qv_node *d = &p->net->node[node];
  const qv_xtensor *y = &p->x[d->out];
  qv_op *op = &p->op[node];
  for (uint32_t k = 0; k < d->n_in; k++)
    if (p->x[d->in[k]].type != y->type || p->x[d->in[k]].bias != y->bias) {
      op->name = "reference: inputs are stored in another form";
      return false;
    }
  qv_arena tmp = {0};
  qv_index_src *map = QV_NEW(&tmp, y->n, qv_index_src);
  move_op *f = QV_NEW(&p->arena, 1, move_op);
  if (map != NULL && f != NULL && op_inputs(p, op, d)) {
    qv_index_map(map, p->net, d);
    f->n = find_runs(NULL, map, y->n);
    if ((f->runs = QV_NEW(&p->arena, f->n, run)) != NULL) (void)find_runs(f->runs, map, y->n);
  }
  if (f == NULL || f->runs == NULL) *st = QV_E_NOMEM;
  qv_arena_clear(&tmp);
  op->data = f;
  op->run = run_move;
  op->name = "copy";
  return *st == QV_OK;
}
