/* QONNX and FINN graphs: functions of integers, channel rules, quantizers, and the driver's hooks. The operators are in
 * onnx_qonnx_quant.c, onnx_qonnx_arith.c and onnx_qonnx_gemm.c. */
#include "frontend/onnx_qonnx.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- functions ---------------------------------------------------------------------------------------------------------- */

qv_status qx_init(ox *L) { return (L->qx = QV_NEW(&L->tmp, 1, struct ox_qonnx)) != NULL ? QV_OK : ox_nomem(L); }

void qx_clear(ox *L) {
  if (L->qx == NULL) return;
  for (size_t i = 0; i < L->qx->n_made; i++) qv_pwa_free(L->qx->made[i]);
  free(L->qx->made);
  L->qx = NULL;
}

qv_status qx_keep(ox *L, qv_pwa *f) {
  struct ox_qonnx *q = L->qx;
  if (f == NULL) return ox_nomem(L);
  if ((q->pieces += f->n) > QX_MAX_PIECES) {
    qv_pwa_free(f);
    return ox_fail(L, QV_E_LIMIT, NULL, "the functions of all channels together have more than %u pieces", QX_MAX_PIECES);
  }
  if (q->n_made == q->cap_made) {
    size_t cap = q->cap_made == 0 ? 256 : 2 * q->cap_made;
    qv_pwa **m = realloc(q->made, cap * sizeof *m);
    if (m == NULL) {
      qv_pwa_free(f);
      return ox_nomem(L);
    }
    q->made = m;
    q->cap_made = cap;
  }
  q->made[q->n_made++] = f;
  return QV_OK;
}

qv_status qx_inexact(ox *L, const ox_value *v) {
  return OX_UNSUP(L, v,
                  "no exact form: two different square roots meet (BatchNorm behind BatchNorm without a quantizer between), a division by "
                  "0, or numbers of more than %d bits",
                  QV_SURD_BITS);
}

static qv_status made(ox *L, const ox_value *v, qv_status st, qv_pwa *f) {
  if (st == QV_E_NOMEM) return ox_nomem(L);
  return st != QV_OK ? qx_inexact(L, v) : qx_keep(L, f);
}

/* ---- channel rules ------------------------------------------------------------------------------------------------------ */

static uint64_t gcd(uint64_t a, uint64_t b) {
  while (b != 0) {
    uint64_t t = a % b;
    a = b;
    b = t;
  }
  return a;
}

qv_status qx_common(ox *L, const ox_value *v, qx_rule a, qx_rule b, qx_rule *r) {
  *r = a.n == 1 ? b : a;
  if (a.n == 1 || b.n == 1 || (a.n == b.n && a.inner == b.inner)) return QV_OK;
  uint64_t inner = gcd(a.inner, b.inner), pa = (uint64_t)a.n * a.inner, pb = (uint64_t)b.n * b.inner, f = pa / gcd(pa, pb);
  if (f > (uint64_t)QX_MAX_CHANNELS * inner / pb) return OX_UNSUP(L, v, "more than %u different functions in one tensor", QX_MAX_CHANNELS);
  *r = (qx_rule){(uint32_t)(f * pb / inner), (uint32_t)inner};
  return QV_OK;
}

static qx_rule rule_of(const qx_real *r) { return (qx_rule){r->n, r->inner}; }

/* ---- values ------------------------------------------------------------------------------------------------------------- */

bool qx_is_const(const ox_value *v) { return v->state == OX_CONST || (v->state == OX_REAL && v->real->leaf == QX_CODES); }

size_t qx_numbers(const ox_value *v) { return v->c->n; }

bool qx_number(qv_surd *x, const ox_value *v, size_t e) {
  const onx_const *c = v->c;
  if (c->f != NULL) return qv_surd_set_f64(x, (double)c->f[e]);
  qv_surd_set_i64(x, c->l != NULL ? c->l[e] : c->i[e]);
  if (v->state == OX_CONST) return true;
  qv_surd k;
  qv_surd_init(&k);
  qv_surd_set(&k, x);
  bool ok = qv_pwa_at(x, v->real->f[qx_channel(rule_of(v->real), e)], &k);
  qv_surd_clear(&k);
  return ok;
}

qv_status qx_spread(ox *L, const ox_value *v, const ox_shape *s, qx_rule *r) {
  const ox_shape *p = &v->shape;
  size_t n = qx_numbers(v), count;
  uint32_t axes = 0, inner = 1;
  *r = (qx_rule){1, 1};
  if (!ox_count(s, &count) || n == 0) return OX_PARSE(L, v, "an empty or too large operand");
  if (p->rank > s->rank) {
    for (uint32_t d = 0; d + s->rank < p->rank; d++)
      if (p->dim[d] != 1) return OX_UNSUP(L, v, "the constant has more dimensions than the tensor that it is combined with");
  }
  for (uint32_t d = 0; d < p->rank && d < s->rank; d++) { /* from the last dimension */
    uint32_t mine = p->dim[p->rank - 1 - d], its = s->dim[s->rank - 1 - d];
    if (mine != 1 && mine != its) return OX_PARSE(L, v, "the shapes do not broadcast");
    if (mine != 1) {
      *r = (qx_rule){mine, inner};
      axes++;
    }
    inner *= its;
  }
  if (axes <= 1 && r->n <= QX_MAX_CHANNELS) return QV_OK;
  *r = (qx_rule){(uint32_t)n, 1};
  return n == count && n <= QX_MAX_CHANNELS
             ? QV_OK
             : OX_UNSUP(L, v, "a constant that differs along several dimensions, or in more than %u places", QX_MAX_CHANNELS);
}

static qv_status set_real(ox *L, ox_value *y, qx_leaf leaf, qx_rule r, const qv_pwa *const *f) {
  qx_real *q = QV_NEW(&L->tmp, 1, qx_real);
  bool all = true;
  if (q == NULL) return ox_nomem(L);
  for (uint32_t c = 1; all && c < r.n; c++) all = f[c] == f[0] || qv_pwa_equal(f[c], f[0]);
  *q = (qx_real){.leaf = leaf, .n = all ? 1 : r.n, .inner = all ? 1 : r.inner, .f = f};
  y->state = OX_REAL;
  y->type = ONX_FLOAT;
  y->real = q;
  return QV_OK;
}

qv_status qx_set(ox *L, ox_value *y, const ox_value *x, qx_rule r, const qv_pwa *const *f) {
  y->net = x->net;
  y->cl = x->cl;
  y->c = x->c;
  y->shape = x->shape;
  return set_real(L, y, x->real->leaf, r, f);
}

qv_status qx_set_net(ox *L, ox_value *y, uint32_t net, const ox_shape *s, bool cl, qx_rule r, const qv_surd *a, const qv_surd *b) {
  qv_status st = QV_OK;
  const qv_pwa **f = QV_NEW(&L->tmp, r.n, const qv_pwa *);
  if (f == NULL) return ox_nomem(L);
  for (uint32_t c = 0; c < r.n; c++) {
    qv_pwa *p = qv_pwa_affine(&a[c], &b[c]);
    f[c] = p;
    QV_TRY(qx_keep(L, p));
  }
  ox_set_int(y, net, ONX_FLOAT, s, cl);
  QV_TRY(set_real(L, y, QX_NET, r, f));
done:
  return st;
}

/* f = identity. */
static qv_status identity(ox *L, ox_value *v, qx_leaf leaf, const qv_surd *step) {
  qv_status st;
  const qv_pwa **f = QV_NEW(&L->tmp, 1, const qv_pwa *);
  qv_surd one, zero;
  if (f == NULL) return ox_nomem(L);
  qv_surd_init(&one);
  qv_surd_init(&zero);
  qv_surd_set_i64(&one, 1);
  qv_pwa *p = qv_pwa_affine(step != NULL ? step : &one, &zero);
  f[0] = p;
  QV_TRY(qx_keep(L, p));
  QV_TRY(set_real(L, v, leaf, (qx_rule){1, 1}, f));
done:
  qv_surd_clear(&one);
  qv_surd_clear(&zero);
  return st;
}

/* Floats as integers times a power of two: 1 if all are integers, else the largest of which all are multiples. */
static qv_status float_codes(ox *L, ox_value *v) {
  const onx_const *c = v->c;
  int low = 0;
  for (size_t e = 0; e < c->n; e++) {
    qv_surd x;
    if (c->f[e] == 0) continue;
    qv_surd_init(&x);
    bool ok = qv_surd_set_f64(&x, (double)c->f[e]);
    int bits = ok ? (int)mpz_sizeinbase(mpq_denref(x.p), 2) - 1 : 0;
    qv_surd_clear(&x);
    if (!ok) return OX_UNSUP(L, v, "element %zu is not a number", e);
    if (bits > low) low = bits;
  }
  onx_const r = *c;
  int32_t *k = OX_NEW(L, c->n, int32_t);
  if (k == NULL) return ox_nomem(L);
  for (size_t e = 0; e < c->n; e++) {
    double d = (double)c->f[e];
    for (int i = 0; i < low; i++) d *= 2; /* exact; at most 149 doublings of at most 2^128 */
    if (!(d >= -0x1p31 && d < 0x1p31))
      return OX_UNSUP(L, v, "these constants are not quantized: as integers times one power of two they need more than 32 bits");
    k[e] = (int32_t)d;
  }
  r.type = ONX_INT32;
  r.f = NULL;
  r.i = k;
  const ox_shape s = v->shape;
  qv_status st = ox_set_const(L, v, &r);
  v->shape = s;
  qv_surd step;
  qv_surd_init(&step);
  mpq_set_ui(step.p, 1, 1);
  mpq_div_2exp(step.p, step.p, (mp_bitcnt_t)low);
  if (st == QV_OK) st = identity(L, v, QX_CODES, &step);
  qv_surd_clear(&step);
  return st;
}

qv_status qx_arg(ox *L, uint32_t k, ox_value **v) {
  qv_status st = ox_arg(L, k, v);
  if (st != QV_OK || (*v)->state == OX_REAL) return st;
  if ((*v)->state == OX_CONST && (*v)->c->f != NULL) return float_codes(L, *v);
  if ((*v)->state == OX_CONST && (*v)->c->i != NULL) return identity(L, *v, QX_CODES, NULL);
  if ((*v)->state == OX_INT) return identity(L, *v, QX_NET, NULL);
  return OX_UNSUP(L, *v, "this value is not known as a function of integers");
}

qv_status qx_compose(ox *L, const ox_value *x, ox_value *y, qx_rule r, qx_maker make, const void *ctx) {
  qv_status st;
  qx_rule all;
  QV_TRY(qx_common(L, x, rule_of(x->real), r, &all));
  const qv_pwa **f = QV_NEW(&L->tmp, all.n, const qv_pwa *), **g = QV_NEW(&L->tmp, r.n, const qv_pwa *);
  if (f == NULL || g == NULL) return ox_nomem(L);
  for (uint32_t c = 0; c < r.n; c++) {
    qv_pwa *p = NULL;
    QV_TRY(make(L, ctx, c, &p));
    g[c] = p;
    QV_TRY(qx_keep(L, p));
  }
  for (uint32_t c = 0; c < all.n; c++) {
    size_t e = (size_t)c * all.inner;
    qv_pwa *p = NULL;
    st = qv_pwa_compose(&p, g[qx_channel(r, e)], x->real->f[qx_channel(rule_of(x->real), e)]);
    QV_TRY(made(L, x, st, p));
    f[c] = p;
  }
  QV_TRY(qx_set(L, y, x, all, f));
done:
  return st;
}

qv_dtype qx_storage(int64_t lo, int64_t hi) {
  static const qv_dtype order[] = {QV_I8, QV_U8, QV_I16, QV_U16, QV_I32};
  for (size_t i = 0; i < sizeof order / sizeof *order; i++)
    if (qv_itv_in((qv_itv){lo, hi}, qv_dtype_range(order[i]))) return order[i];
  return QV_I64;
}

qv_status qx_plain(ox *L, const ox_value *x, bool cl, uint32_t *net) {
  ox_value plain = *x;
  plain.state = OX_INT;
  qv_status st = ox_net_of(L, &plain, cl, net);
  if (st == QV_OK) qx_range(L, *net, L->net->tensor[x->net].lo, L->net->tensor[x->net].hi);
  return st;
}

void qx_range(ox *L, uint32_t net, int64_t lo, int64_t hi) {
  L->net->tensor[net].lo = lo;
  L->net->tensor[net].hi = hi;
}

/* Rule r of ONNX elements as one of the elements of net tensor *net, which is replaced by a plain one where it has to be. */
static qv_status stored_rule(ox *L, const ox_value *x, uint32_t *net, bool *cl, qx_rule *r) {
  *net = x->net;
  *cl = x->cl;
  if (!x->cl || r->n == 1) return QV_OK;
  size_t spatial = 1;
  for (uint32_t d = 2; d < x->shape.rank; d++) spatial *= x->shape.dim[d];
  if (r->inner == spatial && r->n == x->shape.dim[1]) {
    r->inner = 1;
    return QV_OK;
  }
  *cl = false;
  return qx_plain(L, x, false, net);
}

/* One channel after another: g_c after x's function, as thresholds; *levels counts them. */
static qv_status channel_pieces(ox *L, const ox_value *x, const qx_quantizer *q, qx_rule all, qv_pieces *par) {
  qv_status st = QV_OK;
  qv_pwa *g = NULL, *f = NULL;
  uint64_t levels = 0;
  for (uint32_t c = 0, last = QV_NONE; st == QV_OK && c < all.n; c++) {
    size_t e = (size_t)c * all.inner;
    uint32_t k = qx_channel(q->r, e);
    if (k != last) {
      qv_pwa_free(g);
      g = NULL;
      QV_TRY(q->make(L, q->ctx, k, &g));
      last = k;
    }
    if ((levels += g->n) > QX_MAX_LEVELS) {
      st = ox_fail(L, QV_E_LIMIT, x, "the quantizer has more than %u thresholds", QX_MAX_LEVELS);
      break;
    }
    st = qv_pwa_compose(&f, g, x->real->f[qx_channel(rule_of(x->real), e)]);
    if (st == QV_OK) st = qv_pwa_pieces(&par[c], &L->qx->near, f, x->real->leaf == QX_ORDER, &L->net->arena);
    else st = st == QV_E_NOMEM ? ox_nomem(L) : qx_inexact(L, x);
    qv_pwa_free(f);
    f = NULL;
    if (st == QV_E_UNSUP && L->err != NULL && L->err->code == QV_OK)
      st = OX_UNSUP(L, x, "the quantizer has more than %u levels or codes beyond 32 bits", QV_MAX_THRESHOLDS);
  }
done:
  qv_pwa_free(g);
  return st;
}

static bool same_pieces(const qv_pieces *p, const qv_pieces *q) {
  return p->k == q->k && memcmp(p->t, q->t, p->k * sizeof *p->t) == 0 && memcmp(p->v, q->v, (p->k + (size_t)1) * sizeof *p->v) == 0;
}

qv_status qx_quantize(ox *L, const ox_value *x, ox_value *y, const qx_quantizer *q) {
  qv_status st;
  qx_rule r;
  uint32_t in, net;
  bool cl, uniform = true;
  const ox_shape s = x->shape;
  qv_itv out = {INT32_MAX, INT32_MIN};
  if (x->real->leaf == QX_CODES) return OX_UNSUP(L, x, "this quantizer of a constant is not supported");
  QV_TRY(qx_common(L, x, rule_of(x->real), q->r, &r));
  qv_pieces *par = OX_NEW(L, r.n, qv_pieces);
  if (par == NULL) return ox_nomem(L);
  QV_TRY(channel_pieces(L, x, q, r, par));
  for (uint32_t c = 0; c < r.n; c++) {
    uniform = uniform && same_pieces(&par[c], &par[0]);
    for (uint32_t k = 0; k <= par[c].k; k++) out = qv_itv_hull(out, (qv_itv){par[c].v[k], par[c].v[k]});
  }
  if (uniform) r = (qx_rule){1, 1};
  QV_TRY(stored_rule(L, x, &in, &cl, &r));
  ox_shape stored = ox_stored_shape(&s, cl);
  QV_TRY(ox_add_tensor(L, y, "", qx_storage(out.lo, out.hi), &stored, &net));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_THRESHOLD, .u.threshold = {.inner = r.inner, .n_par = r.n, .par = par}}, &in, 1, net));
  qx_range(L, net, out.lo, out.hi);
  L->qx->nodes++;
  QV_TRY(qx_set_net(L, y, net, &s, cl, q->ra, q->a, q->b));
done:
  return st;
}

/* Does piece p, constant, have the value that line q takes at an integer? *k = that integer. */
static bool meets(int64_t *k, const qv_piece *p, const qv_piece *q) {
  qv_surd x;
  mpz_t z;
  qv_surd_init(&x);
  mpz_init(z);
  bool ok =
      qv_surd_sign(&p->a) == 0 && qv_surd_sub(&x, &p->b, &q->b) && qv_surd_div(&x, &x, &q->a) && qv_surd_floor(z, &x) && mpz_fits_sint_p(z);
  *k = ok ? mpz_get_si(z) : 0;
  mpz_clear(z);
  qv_surd_clear(&x);
  return ok;
}

/* Does p begin at integer k, or just behind it? */
static bool begins(const qv_piece *p, int64_t k) {
  mpz_t z;
  mpz_init(z);
  bool whole = qv_surd_floor(z, &p->from);
  if (!(whole && p->closed)) mpz_add_ui(z, z, 1);
  bool ok = mpz_cmp_si(z, k) == 0 || mpz_cmp_si(z, k + 1) == 0;
  mpz_clear(z);
  return ok;
}

qv_status qx_settle(ox *L, ox_value *x) {
  qv_status st = QV_OK;
  const qx_real *r = x->real;
  bool lines = true;
  for (uint32_t c = 0; c < r->n; c++) lines = lines && r->f[c]->n == 1;
  if (r->leaf == QX_ORDER) return OX_UNSUP(L, x, "the float input reaches this operator before a quantizer: there is no integer form");
  if (lines) return QV_OK;
  const qv_pwa *f = r->f[0];
  uint32_t k = qv_surd_sign(&f->v[0].a) == 0 ? 1 : 0; /* the sloping piece */
  int64_t lo = INT32_MIN, hi = INT32_MAX;
  /* the constants are the line's values at integers lo and hi, and the line reigns exactly between them */
  bool clamp = r->n == 1 && r->leaf == QX_NET && f->n <= k + 2 && k < f->n && qv_surd_sign(&f->v[k].a) != 0 &&
               (k == 0 || (meets(&lo, &f->v[0], &f->v[k]) && begins(&f->v[k], lo))) &&
               (f->n == k + 1 || (meets(&hi, &f->v[k + 1], &f->v[k]) && begins(&f->v[k + 1], hi)));
  if (!clamp || lo > hi) return OX_UNSUP(L, x, "the activation in front of this operator is not quantized: there is no integer form");
  if (k == 0) lo = -((int64_t)1 << 62);
  if (f->n == k + 1) hi = (int64_t)1 << 62;
  const ox_shape s = x->shape;
  ox_shape stored = ox_stored_shape(&s, x->cl);
  uint32_t net, in = x->net;
  QV_TRY(ox_add_tensor(L, x, "/clip", L->net->tensor[in].type, &stored, &net));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_CLAMP, .u.clamp = {lo, hi}}, &in, 1, net));
  QV_TRY(qx_set_net(L, x, net, &s, x->cl, (qx_rule){1, 1}, &f->v[k].a, &f->v[k].b));
done:
  return st;
}

/* ---- annotations and accumulators ------------------------------------------------------------------------------------------- */

bool qx_annotation(const ox *L, const char *name, char text[32]) {
  const Onnx__GraphProto *g = L->m->graph;
  for (size_t i = 0; i < g->n_quantization_annotation; i++) {
    const Onnx__TensorAnnotation *a = g->quantization_annotation[i];
    if (a->tensor_name == NULL || strcmp(a->tensor_name, name) != 0) continue;
    for (size_t k = 0; k < a->n_quant_parameter_tensor_names; k++) {
      const Onnx__StringStringEntryProto *e = a->quant_parameter_tensor_names[k];
      if (e->key == NULL || e->value == NULL || strcmp(e->key, "finn_datatype") != 0 || strlen(e->value) > 31) continue;
      (void)snprintf(text, 32, "%s", e->value);
      return true;
    }
  }
  return false;
}

/* "INT7", "UINT12", "BIPOLAR", ...: the integers of a FINN data type; false for FLOAT32 and others. */
static bool finn_range(const char *t, qv_itv *r, int *bits, bool *sign) {
  char rest;
  *sign = true;
  *bits = 2;
  *r = (qv_itv){-1, 1};
  if (strcmp(t, "BIPOLAR") == 0 || strcmp(t, "TERNARY") == 0) return true;
  if (strcmp(t, "BINARY") == 0) t = "UINT1";
  *sign = t[0] != 'U';
  if (sscanf(t, *sign ? "INT%d%c" : "UINT%d%c", bits, &rest) != 1 || *bits < 1 || *bits > 64 || (!*sign && *bits > 62)) return false;
  *r = *sign ? (qv_itv){qv_smin(*bits), qv_smax(*bits)} : (qv_itv){0, ((int64_t)1 << *bits) - 1};
  return true;
}

qv_status qx_acc(ox *L, const ox_value *y, qv_acc *acc) {
  const qv_reals_params *p = &L->reals;
  char t[32];
  qv_itv r;
  int bits = p->bits;
  bool sign = true;
  L->qx->nodes++;
  *acc = (qv_acc){.mode = QV_ACC_EXACT, .order = QV_ORDER_ANY, .bias = QV_BIAS_LAST};
  if (L->prof->reals == QV_REALS_FINN && bits == 0 && qx_annotation(L, y->name, t) && finn_range(t, &r, &bits, &sign)) {
    if (!sign)
      return OX_UNSUP(L, y, "accumulators of the unsigned type %s are not modelled; profile finn:P chooses P signed bits, qonnx-exact none",
                      t);
    if (bits < 2) bits = 2;
  }
  if (bits != 0) *acc = (qv_acc){.mode = QV_ACC_WRAP, .bits = (uint8_t)bits, .order = QV_ORDER_ANY, .bias = QV_BIAS_LAST};
  if (L->prof->reals == QV_REALS_FIXED)
    *acc =
        (qv_acc){.mode = p->saturate ? QV_ACC_SAT : QV_ACC_WRAP, .bits = (uint8_t)p->bits, .order = QV_ORDER_KERNEL, .bias = QV_BIAS_FIRST};
  return QV_OK;
}

/* ---- ends --------------------------------------------------------------------------------------------------------------- */

qv_status qx_input(ox *L, ox_value *v, const ox_shape *s) {
  qv_status st;
  qv_port port = {.end = QV_END_QUANT_EVEN, .name = qv_arena_printf(&L->net->arena, "%s", v->name)};
  qv_itv r = {-QV_F32_ORDER_MAX, QV_F32_ORDER_MAX};
  char t[32], note[200] = "";
  int bits;
  bool sign, annotated = qx_annotation(L, v->name, t) && finn_range(t, &r, &bits, &sign);
  const qv_reals_params *p = &L->reals;
  bool grid = p->grid_div != 0, order = !grid && !annotated;
  if (port.name == NULL) return ox_nomem(L);
  if (grid) r = p->grid;
  if (order) port.end = QV_END_F32_ORDER;
  QV_TRY(ox_add_tensor(L, v, "", order ? QV_I32 : qx_storage(r.lo, r.hi), s, &port.tensor));
  L->net->tensor[port.tensor].lo = r.lo;
  L->net->tensor[port.tensor].hi = r.hi;
  ox_set_int(v, port.tensor, ONX_FLOAT, s, false);
  qv_surd step;
  qv_surd_init(&step);
  qv_surd_set_i64(&step, 1);
  if (grid) {
    mpq_set_ui(step.p, 1, p->grid_div);
    (void)snprintf(note, sizeof note, "input '%.60s' is taken to hold q/%u with q from %lld to %lld", v->name, p->grid_div, (long long)r.lo,
                   (long long)r.hi);
  } else if (annotated) {
    (void)snprintf(note, sizeof note, "input '%.60s' holds integers of type %s, as the model's annotation says", v->name, t);
  }
  if (!order) ox_tag(L, port.tensor, grid ? 1.0f / (float)p->grid_div : 1.0f, 0);
  st = identity(L, v, order ? QX_ORDER : QX_NET, &step);
  qv_surd_clear(&step);
  if (st != QV_OK) return st;
  if ((note[0] != 0 && !qv_net_add_note(L->net, note)) || !qv_net_add_in(L->net, &port)) return ox_nomem(L);
done:
  return st;
}

/* Outputs whose channels have different functions: integers m_c*k + d_c at one common step, by a depthwise layer. */
static qv_status common_step(ox *L, ox_value *v) {
  qv_status st = QV_OK;
  const qx_real *r = v->real;
  mpq_t g, d;
  mpz_t z;
  mpq_inits(g, d, NULL);
  mpz_init(z);
  qv_surd step, base;
  qv_surd_init(&step);
  qv_surd_init(&base);
  uint32_t n = r->n;
  int32_t *w = OX_NEW(L, n, int32_t), *wz = OX_NEW(L, 1, int32_t);
  int64_t *b = OX_NEW(L, n, int64_t);
  bool ok = w != NULL && wz != NULL && b != NULL, rational = true;
  for (uint32_t c = 0; ok && c < n; c++) rational = rational && qv_surd_rational(&r->f[c]->v[0].a) && qv_surd_rational(&r->f[c]->v[0].b);
  for (uint32_t c = 0; ok && rational && c < 2 * n; c++) { /* gcd of all slopes and of the differences of all offsets */
    if (c < n) mpq_set(d, r->f[c]->v[0].a.p);
    else mpq_sub(d, r->f[c - n]->v[0].b.p, r->f[0]->v[0].b.p);
    /* gcd(a/b, c/d) = gcd(ad, cb) / bd */
    mpz_mul(mpq_numref(d), mpq_numref(d), mpq_denref(g));
    mpz_mul(z, mpq_numref(g), mpq_denref(d));
    mpz_gcd(mpq_numref(g), mpq_numref(d), z);
    mpz_mul(mpq_denref(g), mpq_denref(g), mpq_denref(d));
    mpq_canonicalize(g);
    rational = mpz_sizeinbase(mpq_denref(g), 2) <= QV_SURD_BITS;
    mpq_canonicalize(d);
  }
  bool fits = rational && mpq_sgn(g) > 0;
  for (uint32_t c = 0; ok && fits && c < n; c++) {
    mpq_div(d, r->f[c]->v[0].a.p, g);
    fits = mpz_fits_sint_p(mpq_numref(d));
    w[c] = (int32_t)mpz_get_si(mpq_numref(d));
    mpq_sub(d, r->f[c]->v[0].b.p, r->f[0]->v[0].b.p);
    mpq_div(d, d, g);
    fits = fits && mpz_fits_slong_p(mpq_numref(d));
    b[c] = mpz_get_si(mpq_numref(d));
  }
  mpq_set(step.p, g);
  mpq_set(base.p, r->f[0]->v[0].b.p);
  mpq_clears(g, d, NULL);
  mpz_clear(z);
  if (!ok) st = ox_nomem(L);
  if (st == QV_OK && !fits)
    st = OX_UNSUP(L, v,
                  "the channels of this output have different scales without a common step of 32 bits: the integers cannot be compared");
  qx_rule rule = rule_of(r);
  uint32_t in, net;
  bool cl;
  if (st != QV_OK) goto done;
  QV_TRY(stored_rule(L, v, &in, &cl, &rule));
  ox_shape stored = ox_stored_shape(&v->shape, cl);
  const ox_shape s = v->shape;
  size_t count;
  if (rule.inner != 1 || !ox_count(&s, &count)) { /* [outer][n][inner]: pixels must be outermost for a window */
    st = OX_UNSUP(L, v, "an output whose channels differ along a dimension that is not stored last");
    goto done;
  }
  const qv_affine a = {.win = {(uint32_t)(count / n), 1, 1, n, 1, 1, n, 1, 1, 1, 1, 1, 1, 0, 0, n},
                       .w = w,
                       .n_w_zp = 1,
                       .w_zp = wz,
                       .b = b,
                       .acc = {.mode = QV_ACC_EXACT}};
  QV_TRY(ox_add_tensor(L, v, "/scaled", QV_I64, &stored, &net));
  QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_AFFINE, .u.affine = a}, &in, 1, net));
  QV_TRY(qx_set_net(L, v, net, &s, cl, (qx_rule){1, 1}, &step, &base));
done:
  qv_surd_clear(&step);
  qv_surd_clear(&base);
  return st;
}

/* real = s*(k - z) with a binary32 s > 0 and an int32 z? */
static bool as_quantized(const qv_piece *p, float *s, int32_t *z) {
  qv_surd t;
  mpz_t k;
  qv_surd_init(&t);
  mpz_init(k);
  bool ok = qv_surd_rational(&p->a) && qv_surd_rational(&p->b) && qv_surd_sign(&p->a) > 0;
  *s = ok ? (float)mpq_get_d(p->a.p) : 0;
  ok = ok && *s >= 0x1p-126f && *s <= 0x1p127f && qv_surd_set_f64(&t, (double)*s) && mpq_equal(t.p, p->a.p);
  ok = ok && qv_surd_div(&t, &p->b, &p->a) && qv_surd_floor(k, &t);
  if (ok) mpz_neg(k, k);
  ok = ok && mpz_fits_sint_p(k);
  *z = ok ? (int32_t)mpz_get_si(k) : 0;
  mpz_clear(k);
  qv_surd_clear(&t);
  return ok;
}

qv_status qx_output(ox *L, ox_value *v) {
  qv_status st;
  const char *tail = v->tail;
  if (qx_is_const(v)) {
    char *note = qv_arena_printf(&L->tmp, "output '%.100s' does not depend on the inputs and is left out", v->name);
    return note != NULL && qv_net_add_note(L->net, note) ? QV_OK : ox_nomem(L);
  }
  QV_TRY(qx_settle(L, v));
  if (v->real->n > 1) QV_TRY(common_step(L, v));
  const qv_piece *p = &v->real->f[0]->v[0];
  int sign = qv_surd_sign(&p->a);
  qv_port port = {.end = QV_END_INT, .tail = tail, .name = qv_arena_printf(&L->net->arena, "%s", v->name)};
  float s = 1;
  int32_t z = 0;
  if (sign == 0) return OX_UNSUP(L, v, "the output is constant");
  QV_TRY(qx_plain(L, v, false, &port.tensor));
  if (sign < 0) { /* so that larger integers are larger reals */
    int64_t *c = OX_NEW(L, 2, int64_t);
    uint32_t net;
    if (c == NULL) return ox_nomem(L);
    c[0] = -1;
    QV_TRY(ox_add_tensor(L, v, "/negated", QV_I64, &v->shape, &net));
    QV_TRY(ox_add_node(L, &(qv_node){.kind = QV_SUM, .u.sum = {.c = c, .z = c + 1, .acc = {.mode = QV_ACC_EXACT}}}, &port.tensor, 1, net));
    port.tensor = net;
  }
  char *note;
  if (as_quantized(p, &s, &z) && !L->net->tensor[port.tensor].has_q) {
    ox_tag(L, port.tensor, s, z);
    port.end = QV_END_DEQUANT;
    note = NULL;
  } else {
    note = qv_arena_printf(
        &L->net->arena,
        "output '%.100s' gives the integers k of real values a*k + b, a about %.9g: order is preserved, the scale is left out", v->name,
        (sign < 0 ? -1 : 1) * (mpq_get_d(p->a.p) + (mpq_sgn(p->a.q) != 0 ? mpq_get_d(p->a.q) * sqrt(mpq_get_d(p->a.r)) : 0)));
    if (note == NULL || !qv_net_add_note(L->net, note)) return ox_nomem(L);
  }
  if (port.name == NULL || !qv_net_add_out(L->net, &port)) return ox_nomem(L);
  if (tail != NULL) {
    note = qv_arena_printf(&L->tmp, "output '%.100s': properties are decided on the integers before %s", v->name, tail);
    if (note == NULL || !qv_net_add_note(L->net, note)) return ox_nomem(L);
  }
done:
  return st;
}

qv_status qx_finish(ox *L) {
  if (L->qx->nodes == 0) return OX_UNSUP(L, NULL, "the graph has no quantizer and no sum of integers: float graphs make no integer claim");
  if (L->qx->near == 0) return QV_OK;
  char *note = qv_arena_printf(&L->net->arena,
                               "%u thresholds lie within 2^-20 of an integer: a runtime that computes scales and thresholds in binary32 "
                               "may decide differently there",
                               L->qx->near);
  return note != NULL && qv_net_add_note(L->net, note) ? QV_OK : ox_nomem(L);
}

/* ---- dispatch ----------------------------------------------------------------------------------------------------------- */

bool qx_domain(const char *d) {
  static const char *const known[] = {"onnx.brevitas", "qonnx.custom_op.general", "finn.custom_op.general", "qonnx.custom_op.channels_last",
                                      "finn.custom_op.fpgadataflow"};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(d, known[i]) == 0) return true;
  return false;
}

static const struct {
  const char *domain, *name;
  ox_handler fn;
} ops[] = {
#define QX_OP(domain, name, fn) {domain, name, fn},
#include "frontend/onnx_qonnx_ops.def"
#undef QX_OP
};

/* The operators over reals are tried first; shape arithmetic and constants are those of frontend/onnx_ops.def. */
qv_status qx_lower_node(ox *L) {
  const Onnx__NodeProto *n = L->op;
  const char *dom = n->domain == NULL || strcmp(n->domain, "ai.onnx") == 0 ? "" : n->domain, *name = n->op_type != NULL ? n->op_type : "";
  const char *want = qx_domain(dom) ? "q" : dom;
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
    if (strcmp(ops[i].domain, want) == 0 && strcmp(ops[i].name, name) == 0) return ops[i].fn(L);
  static const char *const shared[] = {"Constant", "ConstantOfShape", "Shape"};
  for (size_t i = 0; dom[0] == 0 && i < sizeof shared / sizeof *shared; i++)
    if (strcmp(name, shared[i]) == 0) return i == 0 ? ox_constant(L) : i == 1 ? ox_constant_of_shape(L) : ox_shape_op(L);
  return OX_UNSUP(L, ox_opt(L, 0), "the operator is not supported under profile %s; see docs/onnx.md for the supported operators",
                  L->prof->name);
}
