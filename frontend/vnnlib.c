/* VNN-LIB syntax trees to integer boxes and violations. */
#include "frontend/vnnlib.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/array.h"
#include "frontend/query.h"
#include "frontend/vnnlib_ast.h"

#define MAX_CONJ 10000
#define MAX_ATOMS ((size_t)1 << 24) /* of all conjunctions together */
#define MAX_BOX ((size_t)1 << 26)   /* elements of all boxes together */

/* ---- linear forms: k + sum of c * variable ------------------------------------------------------------------------------------- */

typedef struct {
  bool output;
  uint32_t el;
  mpq_t c;
} term;

typedef struct {
  mpq_t k;
  term *t;
  size_t n, cap;
} form;

static void form_init(form *f) {
  *f = (form){.t = NULL};
  mpq_init(f->k);
}

static void form_clear(form *f) {
  for (size_t i = 0; i < f->n; i++) mpq_clear(f->t[i].c);
  free(f->t);
  mpq_clear(f->k);
}

/* f += s * (output, el). */
static bool form_add(form *f, bool output, uint32_t el, mpq_srcptr s) {
  if (f->n == f->cap) {
    size_t cap = f->cap > 0 ? 2 * f->cap : 2;
    term *t = realloc(f->t, cap * sizeof *t);
    if (t == NULL) return false;
    f->t = t;
    f->cap = cap;
  }
  f->t[f->n] = (term){.output = output, .el = el};
  mpq_init(f->t[f->n].c);
  mpq_set(f->t[f->n++].c, s);
  return true;
}

static int by_variable(const void *p, const void *q) {
  const term *a = p, *b = q;
  if (a->output != b->output) return a->output ? 1 : -1;
  return (a->el > b->el) - (a->el < b->el);
}

/* One term a variable, none with coefficient 0. */
static void form_tidy(form *f) {
  size_t n = 0;
  if (f->n > 1) qsort(f->t, f->n, sizeof *f->t, by_variable);
  for (size_t i = 0; i < f->n; i++) {
    if (n > 0 && by_variable(&f->t[n - 1], &f->t[i]) == 0) {
      mpq_add(f->t[n - 1].c, f->t[n - 1].c, f->t[i].c);
      mpq_clear(f->t[i].c);
    } else {
      if (n > 0 && mpq_sgn(f->t[n - 1].c) == 0) mpq_clear(f->t[--n].c);
      if (n != i) f->t[n] = f->t[i]; /* (mpq_t may be moved as a struct) */
      n++;
    }
  }
  if (n > 0 && mpq_sgn(f->t[n - 1].c) == 0) mpq_clear(f->t[--n].c);
  f->n = n;
}

static bool form_add_scaled(form *f, const form *g, mpq_srcptr s) {
  mpq_t x;
  bool ok = true;
  mpq_init(x);
  mpq_mul(x, g->k, s);
  mpq_add(f->k, f->k, x);
  for (size_t i = 0; ok && i < g->n; i++) {
    mpq_mul(x, g->t[i].c, s);
    ok = form_add(f, g->t[i].output, g->t[i].el, x);
  }
  mpq_clear(x);
  return ok;
}

/* ---- atoms: form >= 0, or > 0 ----------------------------------------------------------------------------------------------------- */

typedef struct {
  form f;
  bool strict;
  uint32_t line;
} atom;

typedef struct {
  uint32_t *a;
  size_t n, cap;
} conj;

typedef struct {
  conj *c;
  size_t n, cap, atoms;
} dnf;

/* Where the elements of one declared variable (version 1: of one port) are. */
typedef struct {
  size_t first, count;
  uint32_t port;
  qv_vnn_kind kind;
} span;

typedef struct {
  const qv_vnnlib *v;
  const qv_net *net;
  qv_vnn_query *q;
  qv_err *err;
  atom *atom;
  size_t n_atom, cap_atom;
  span *span[2]; /* inputs, outputs, ascending */
  size_t n_span[2];
} lowering;

static qv_status refuse(lowering *l, uint32_t line, qv_status st) {
  if (l->err != NULL && l->err->line == 0) l->err->line = line;
  return st;
}

#define NOMEM(l) QV_FAIL((l)->err, QV_E_NOMEM, "query")

static qv_status linear(form *f, lowering *l, uint32_t at);

static qv_status product(form *f, lowering *l, uint32_t at) {
  const vnn_node *n = &l->v->node[at];
  qv_status st = QV_OK;
  mpq_set_si(f->k, 1, 1);
  for (uint32_t i = n->kid; st == QV_OK && i != QV_NONE; i = l->v->node[i].next) {
    form g, h;
    form_init(&g);
    form_init(&h);
    st = linear(&g, l, i);
    if (st == QV_OK) form_tidy(&g);
    if (st == QV_OK && f->n > 0 && g.n > 0)
      st = refuse(l, n->line, QV_FAIL(l->err, QV_E_UNSUP, "a product of variables: only linear constraints are supported"));
    if (st == QV_OK && !(f->n > 0 ? form_add_scaled(&h, f, g.k) : form_add_scaled(&h, &g, f->k))) st = NOMEM(l);
    form_clear(f);
    *f = h;
    form_clear(&g);
  }
  return st;
}

/* *f += value of the node. */
static qv_status linear(form *f, lowering *l, uint32_t at) {
  const vnn_node *n = &l->v->node[at];
  qv_status st = QV_OK;
  mpq_t s;
  mpq_init(s);
  mpq_set_si(s, 1, 1);
  if (n->op == VNN_NUM) {
    if (qv_rat_parse(s, n->s, n->len)) mpq_add(f->k, f->k, s);
    else st = QV_FAIL(l->err, QV_E_INTERNAL, "a number that was read before");
  } else if (n->op == VNN_VAR) {
    if (!form_add(f, n->output, n->el, s)) st = NOMEM(l);
  } else if (n->op == VNN_MUL) {
    form g;
    form_init(&g);
    st = product(&g, l, at);
    if (st == QV_OK && !form_add_scaled(f, &g, s)) st = NOMEM(l);
    form_clear(&g);
  } else {
    bool single = n->kid != QV_NONE && l->v->node[n->kid].next == QV_NONE;
    for (uint32_t i = n->kid; st == QV_OK && i != QV_NONE; i = l->v->node[i].next) {
      form g;
      form_init(&g);
      mpq_set_si(s, n->op == VNN_SUB && (single || i != n->kid) ? -1 : 1, 1);
      st = linear(&g, l, i);
      if (st == QV_OK && !form_add_scaled(f, &g, s)) st = NOMEM(l);
      form_clear(&g);
    }
  }
  mpq_clear(s);
  return st;
}

/* left - right, times sign, >= 0 or > 0, as a new atom. */
static qv_status make_atom(uint32_t *out, lowering *l, uint32_t at, int sign, bool strict) {
  const vnn_node *n = &l->v->node[at];
  mpq_t s;
  if (l->n_atom == l->cap_atom) {
    size_t cap = l->cap_atom > 0 ? 2 * l->cap_atom : 64;
    atom *a = realloc(l->atom, cap * sizeof *a);
    if (a == NULL) return NOMEM(l);
    l->atom = a;
    l->cap_atom = cap;
  }
  form f, left, right;
  form_init(&f);
  form_init(&left);
  form_init(&right);
  mpq_init(s);
  qv_status st = linear(&left, l, n->kid);
  if (st == QV_OK) st = linear(&right, l, l->v->node[n->kid].next);
  mpq_set_si(s, sign, 1);
  if (st == QV_OK && !form_add_scaled(&f, &left, s)) st = NOMEM(l);
  mpq_set_si(s, -sign, 1);
  if (st == QV_OK && !form_add_scaled(&f, &right, s)) st = NOMEM(l);
  form_tidy(&f);
  form_clear(&left);
  form_clear(&right);
  mpq_clear(s);
  l->atom[l->n_atom] = (atom){f, strict, n->line};
  *out = (uint32_t)l->n_atom++;
  return st;
}

/* ---- disjunctive normal form ------------------------------------------------------------------------------------------------------- */

static void dnf_clear(dnf *d) {
  for (size_t i = 0; i < d->n; i++) free(d->c[i].a);
  free(d->c);
  *d = (dnf){0};
}

static bool dnf_push(dnf *d, const conj *c) {
  if (d->n == d->cap) {
    size_t cap = d->cap > 0 ? 2 * d->cap : 4;
    conj *p = realloc(d->c, cap * sizeof *p);
    if (p == NULL) return false;
    d->c = p;
    d->cap = cap;
  }
  conj k = {.n = c->n, .cap = c->n};
  if (c->n > 0) {
    if ((k.a = malloc(c->n * sizeof *k.a)) == NULL) return false;
    memcpy(k.a, c->a, c->n * sizeof *k.a);
  }
  d->c[d->n++] = k;
  d->atoms += k.n;
  return true;
}

static qv_status require(dnf *d, lowering *l, uint32_t a) {
  for (size_t i = 0; i < d->n; i++) {
    conj *c = &d->c[i];
    if (c->n == c->cap) {
      size_t cap = c->cap > 0 ? 2 * c->cap : 4;
      uint32_t *p = realloc(c->a, cap * sizeof *p);
      if (p == NULL) return NOMEM(l);
      c->a = p;
      c->cap = cap;
    }
    c->a[c->n++] = a;
  }
  d->atoms += d->n;
  return d->atoms <= MAX_ATOMS ? QV_OK : QV_FAIL(l->err, QV_E_LIMIT, "the disjunctive normal form has more than 2^24 conditions");
}

static qv_status conjoin(dnf *d, lowering *l, uint32_t at);

/* One of two strict comparisons, or one of the children. */
static qv_status alternatives(dnf *d, lowering *l, uint32_t at) {
  const vnn_node *n = &l->v->node[at];
  dnf sum = {0}, part;
  qv_status st = QV_OK;
  bool ne = n->op == VNN_NE;
  uint32_t kid = n->kid;
  for (int k = 0; st == QV_OK && (ne ? k < 2 : kid != QV_NONE); k++) {
    part = (dnf){0};
    for (size_t i = 0; st == QV_OK && i < d->n; i++)
      if (!dnf_push(&part, &d->c[i])) st = NOMEM(l);
    if (st == QV_OK && ne) {
      uint32_t a = 0;
      st = make_atom(&a, l, at, k == 0 ? 1 : -1, true);
      if (st == QV_OK) st = require(&part, l, a);
    } else if (st == QV_OK) st = conjoin(&part, l, kid);
    for (size_t i = 0; st == QV_OK && i < part.n; i++)
      if (!dnf_push(&sum, &part.c[i])) st = NOMEM(l);
    if (st == QV_OK && (sum.n > MAX_CONJ || sum.atoms > MAX_ATOMS))
      st = refuse(l, n->line, QV_FAIL(l->err, QV_E_LIMIT, "the disjunctive normal form has more than %d disjuncts or 2^24 conditions", MAX_CONJ));
    dnf_clear(&part);
    if (!ne) kid = l->v->node[kid].next;
  }
  dnf_clear(d);
  *d = sum;
  return st;
}

/* d := d and node. */
static qv_status conjoin(dnf *d, lowering *l, uint32_t at) {
  const vnn_node *n = &l->v->node[at];
  uint32_t a = 0;
  qv_status st = QV_OK;
  switch (n->op) {
  case VNN_AND:
    for (uint32_t i = n->kid; st == QV_OK && i != QV_NONE; i = l->v->node[i].next) st = conjoin(d, l, i);
    return st;
  case VNN_OR:
  case VNN_NE: return alternatives(d, l, at);
  case VNN_EQ:
    st = make_atom(&a, l, at, 1, false);
    if (st == QV_OK) st = require(d, l, a);
    if (st == QV_OK) st = make_atom(&a, l, at, -1, false);
    return st == QV_OK ? require(d, l, a) : st;
  case VNN_GE:
  case VNN_GT:
  case VNN_LE:
  case VNN_LT:
    st = make_atom(&a, l, at, n->op == VNN_GE || n->op == VNN_GT ? 1 : -1, n->op == VNN_GT || n->op == VNN_LT);
    return st == QV_OK ? require(d, l, a) : st;
  case VNN_NUM:
  case VNN_VAR:
  case VNN_ADD:
  case VNN_SUB:
  case VNN_MUL: break;
  }
  return QV_FAIL(l->err, QV_E_INTERNAL, "a number where a condition was read");
}

/* ---- variables and ports ------------------------------------------------------------------------------------------------------------- */

static const qv_tensor *tensor_of(const qv_net *net, bool output, uint32_t port) {
  return &net->tensor[output ? net->out[port].tensor : net->in[port].tensor];
}

static const qv_port *port_of(const qv_net *net, bool output, uint32_t port) { return output ? &net->out[port] : &net->in[port]; }

/* Same shape, dimensions of size 1 aside. */
static bool same_shape(const qv_vnn_var *x, const qv_tensor *t) {
  uint32_t i = 0, k = 0;
  for (;;) {
    while (i < x->rank && x->dim[i] == 1) i++;
    while (k < t->rank && t->dim[k] == 1) k++;
    if (i == x->rank || k == t->rank) return i == x->rank && k == t->rank;
    if (x->dim[i++] != t->dim[k++]) return false;
  }
}

static bool is_real(const char *type) { return strcmp(type, "Real") == 0 || strcmp(type, "real") == 0; }

static qv_status kind_of(qv_vnn_kind *kind, lowering *l, const qv_vnn_var *x, bool output, uint32_t port) {
  static const char *const ints[QV_DTYPES] = {[QV_I8] = "int8", [QV_U8] = "uint8", [QV_I16] = "int16", [QV_U16] = "uint16", [QV_I32] = "int32", [QV_I64] = "int64"};
  const qv_tensor *t = tensor_of(l->net, output, port);
  const qv_port *p = port_of(l->net, output, port);
  const char *has = p->end == QV_END_INT ? ints[t->type] : "float32";
  *kind = QV_VNN_REAL;
  if (p->tail != NULL)
    return QV_FAIL(l->err, QV_E_UNSUP, "output '%s' ends in the float operator %s: constraints on its values have no exact meaning here", p->name, p->tail);
  if (is_real(x->type)) return QV_OK;
  *kind = p->end == QV_END_INT ? QV_VNN_INT : QV_VNN_FLOAT32;
  if (strcmp(x->type, has) == 0) return QV_OK;
  bool known = strcmp(x->type, "float32") == 0;
  for (int i = 0; i < QV_DTYPES; i++) known |= strcmp(x->type, ints[i]) == 0;
  if (!known) return QV_FAIL(l->err, QV_E_UNSUP, "element type '%s' of '%s': supported are int8, uint8, int16, uint16, int32, int64, float32, real", x->type, x->name);
  return QV_FAIL(l->err, QV_E_PARSE, "'%s' is declared %s, but '%s' of the model is %s", x->name, x->type, p->name, has);
}

static qv_status find_port(uint32_t *port, lowering *l, const qv_vnn_var *x, uint32_t order) {
  uint32_t n = x->output ? l->net->n_out : l->net->n_in;
  if (x->onnx == NULL) {
    if (order >= n) return QV_FAIL(l->err, QV_E_PARSE, "'%s' is declared, but the model has only %u %s", x->name, n, x->output ? "outputs" : "inputs");
    *port = order;
    return QV_OK;
  }
  for (uint32_t i = 0; i < n; i++)
    if (strcmp(port_of(l->net, x->output, i)->name, x->onnx) == 0) {
      *port = i;
      return QV_OK;
    }
  return QV_FAIL(l->err, QV_E_PARSE, "the model has no %s '%.100s'", x->output ? "output" : "input", x->onnx);
}

static qv_status bind_v2(lowering *l) {
  uint32_t count[2] = {0, 0}, named = 0;
  qv_vnn_query *q = l->q;
  for (uint32_t i = 0; i < q->n_var; i++) named += q->var[i].onnx != NULL;
  if (named != 0 && named != q->n_var) return QV_FAIL(l->err, QV_E_PARSE, "either all variables name their node in the model, or none");
  for (uint32_t i = 0; i < q->n_var; i++) {
    qv_vnn_var *x = &q->var[i];
    qv_status st = find_port(&x->port, l, x, count[x->output]++);
    if (st != QV_OK) return st;
    for (uint32_t k = 0; k < i; k++)
      if (q->var[k].output == x->output && q->var[k].port == x->port) return QV_FAIL(l->err, QV_E_PARSE, "'%s' and '%s' name the same node", q->var[k].name, x->name);
    const qv_tensor *t = tensor_of(l->net, x->output, x->port);
    if (x->count != qv_elems(t) || !same_shape(x, t))
      return QV_FAIL(l->err, QV_E_PARSE, "'%s' has another shape than '%s' of the model (%zu and %zu elements)", x->name, port_of(l->net, x->output, x->port)->name,
                     x->count, qv_elems(t));
    if ((st = kind_of(&q->kind[i], l, x, x->output, x->port)) != QV_OK) return st;
    l->span[x->output][l->n_span[x->output]++] = (span){x->first, x->count, x->port, q->kind[i]};
  }
  if (count[0] != l->net->n_in || count[1] != l->net->n_out)
    return QV_FAIL(l->err, QV_E_PARSE, "the query declares %u inputs and %u outputs, the model has %u and %u", count[0], count[1], l->net->n_in, l->net->n_out);
  return QV_OK;
}

/* X_i and Y_j run over all inputs and outputs in order. */
static qv_status bind_v1(lowering *l) {
  for (int k = 0; k < 2; k++) {
    size_t at = 0;
    const qv_vnn_var *x = &l->q->var[k];
    for (uint32_t i = 0; i < (k == 0 ? l->net->n_in : l->net->n_out); i++) {
      size_t n = qv_elems(tensor_of(l->net, k == 1, i));
      span *s = &l->span[k][l->n_span[k]++];
      *s = (span){at, n, i, QV_VNN_REAL};
      qv_status st = kind_of(&s->kind, l, x, k == 1, i);
      if (st != QV_OK) return st;
      at += n;
    }
    if (at != x->count) return QV_FAIL(l->err, QV_E_PARSE, "%zu variables %s_i are declared, but the model has %zu elements there", x->count, x->name, at);
  }
  return QV_OK;
}

static const span *span_of(const lowering *l, bool output, uint32_t el) {
  const span *s = l->span[output];
  size_t lo = 0, hi = l->n_span[output];
  while (hi - lo > 1) {
    size_t mid = lo + (hi - lo) / 2;
    if (s[mid].first <= el) lo = mid;
    else hi = mid;
  }
  return &s[lo];
}

/* ---- input boxes ----------------------------------------------------------------------------------------------------------------------- */

typedef struct {
  mpq_t lo, hi;
  bool has_lo, has_hi, open_lo, open_hi; /* open: the end itself is excluded */
} limits;

/* x >= v (or > v); keep the tightest. */
static void raise_lo(limits *b, mpq_srcptr v, bool open) {
  int c = b->has_lo ? mpq_cmp(v, b->lo) : 1;
  if (c > 0) mpq_set(b->lo, v);
  if (c > 0) b->open_lo = open;
  else if (c == 0) b->open_lo |= open;
  b->has_lo = true;
}

static void drop_hi(limits *b, mpq_srcptr v, bool open) {
  int c = b->has_hi ? mpq_cmp(v, b->hi) : -1;
  if (c < 0) mpq_set(b->hi, v);
  if (c < 0) b->open_hi = open;
  else if (c == 0) b->open_hi |= open;
  b->has_hi = true;
}

static int64_t sat_mpz(const mpz_t z) { return mpz_fits_slong_p(z) ? mpz_get_si(z) : mpz_sgn(z) < 0 ? INT64_MIN : INT64_MAX; }

/* Smallest integer >= v (> v if open), and largest <= v (< v). */
static int64_t ceil_of(mpq_srcptr v, bool open) {
  mpz_t z;
  mpz_init(z);
  if (open) {
    mpz_fdiv_q(z, mpq_numref(v), mpq_denref(v));
    mpz_add_ui(z, z, 1);
  } else mpz_cdiv_q(z, mpq_numref(v), mpq_denref(v));
  int64_t r = sat_mpz(z);
  mpz_clear(z);
  return r;
}

static int64_t floor_of(mpq_srcptr v, bool open) {
  mpq_t m;
  mpq_init(m);
  mpq_neg(m, v);
  int64_t r = ceil_of(m, open); /* at least -INT64_MAX after saturation below */
  mpq_clear(m);
  return r == INT64_MIN ? INT64_MAX : -r;
}

/* The integers q with limits on scale * (q - zp) (has_q), or on q. False: none. */
static bool integer_limits(qv_itv *itv, const limits *b, const qv_tensor *t, bool scaled) {
  mpq_t s, v;
  mpq_inits(s, v, NULL);
  *itv = (qv_itv){t->lo, t->hi};
  mpq_set_d(s, scaled ? (double)t->scale : 1);
  for (int k = 0; k < 2; k++) {
    if (k == 0 ? !b->has_lo : !b->has_hi) continue;
    mpq_div(v, k == 0 ? b->lo : b->hi, s);
    if (scaled) {
      mpq_t z;
      mpq_init(z);
      mpq_set_si(z, t->zp, 1);
      mpq_add(v, v, z);
      mpq_clear(z);
    }
    if (k == 0) itv->lo = qv_max64(itv->lo, ceil_of(v, b->open_lo));
    else itv->hi = qv_min64(itv->hi, floor_of(v, b->open_hi));
  }
  mpq_clears(s, v, NULL);
  return itv->lo <= itv->hi;
}

/* Smallest (largest) finite binary32 value within the limit. False: none. */
static bool float_limit(float *x, mpq_srcptr v, bool open, bool lower) {
  if (!qv_float_near(x, v, lower)) return false;
  mpq_t q;
  mpq_init(q);
  mpq_set_d(q, (double)*x);
  bool hit = open && mpq_cmp(q, v) == 0;
  mpq_clear(q);
  if (!hit) return true;
  int32_t k = qv_f32_order(*x) + (lower ? 1 : -1);
  if (k >= QV_F32_ORDER_MAX || k <= -QV_F32_ORDER_MAX) return false;
  *x = qv_f32_of_order(k);
  return true;
}

static bool float_limits(qv_itv *itv, float *lo, float *hi, const limits *b, const qv_net *net, uint32_t port, const qv_tensor *t) {
  qv_err quiet = {0};
  *lo = -FLT_MAX;
  *hi = FLT_MAX;
  if (b->has_lo && !float_limit(lo, b->lo, b->open_lo, true)) return false;
  if (b->has_hi && !float_limit(hi, b->hi, b->open_hi, false)) return false;
  if (!(*lo <= *hi) || qv_end_quantize(&itv->lo, net, port, *lo, &quiet) != QV_OK || qv_end_quantize(&itv->hi, net, port, *hi, &quiet) != QV_OK) return false;
  *itv = (qv_itv){qv_max64(itv->lo, t->lo), qv_min64(itv->hi, t->hi)};
  return itv->lo <= itv->hi;
}

/* ---- output inequalities ------------------------------------------------------------------------------------------------------------------- */

typedef struct {
  uint32_t out, el;
  mpq_t c;
} out_term;

static int by_output(const void *p, const void *q) {
  const out_term *a = p, *b = q;
  if (a->out != b->out) return a->out > b->out ? 1 : -1;
  return (a->el > b->el) - (a->el < b->el);
}

static qv_status too_large(lowering *l, const atom *a) {
  return refuse(l, a->line, QV_FAIL(l->err, QV_E_UNSUP, "a constraint on the outputs has numbers beyond 2^62 when it is written in integers"));
}

/* sum c * q + k >= 0 (> 0) with rational numbers as integers. */
static qv_status integer_ineq(qv_ineq *e, lowering *l, const atom *a, out_term *t, size_t n, mpq_srcptr k) {
  mpz_t m, g, x;
  qv_status st = QV_OK;
  qv_out_term *o = QV_NEW(&l->q->arena, n, qv_out_term);
  if (o == NULL) return NOMEM(l);
  mpz_inits(m, g, x, NULL);
  mpz_set_ui(m, 1);
  qsort(t, n, sizeof *t, by_output);
  for (size_t i = 0; i < n; i++) mpz_lcm(m, m, mpq_denref(t[i].c));
  for (size_t i = 0; i < n; i++) { /* common divisor of the integer coefficients */
    mpz_divexact(x, m, mpq_denref(t[i].c));
    mpz_mul(x, x, mpq_numref(t[i].c));
    mpz_gcd(g, g, x);
  }
  for (size_t i = 0; i < n; i++) {
    mpz_divexact(x, m, mpq_denref(t[i].c));
    mpz_mul(x, x, mpq_numref(t[i].c));
    mpz_divexact(x, x, g);
    if (!mpz_fits_slong_p(x) || mpz_get_si(x) > QV_COND_MAX || mpz_get_si(x) < -QV_COND_MAX) st = too_large(l, a);
    else o[i] = (qv_out_term){t[i].out, t[i].el, mpz_get_si(x)};
  }
  /* sum C q >= -k * m / g, rounded up; strictly greater: the next integer */
  mpq_t d, f;
  mpq_inits(d, f, NULL);
  mpq_neg(d, k);
  mpz_set(mpq_numref(f), m);
  mpz_set(mpq_denref(f), g);
  mpq_canonicalize(f);
  mpq_mul(d, d, f);
  e->d = ceil_of(d, a->strict);
  mpq_clears(d, f, NULL);
  e->n = (uint32_t)n;
  e->term = o;
  if (st == QV_OK && (e->d > QV_COND_MAX || e->d < -QV_COND_MAX)) st = too_large(l, a);
  mpz_clears(m, g, x, NULL);
  return st;
}

/* Least q of the tensor's range with f32(scale * (q - zp)) >= v (> v if strict), hi + 1 if none. f32 of a product is monotone. */
static int64_t dequant_from(const qv_tensor *t, mpq_srcptr v, bool strict) {
  int64_t a = t->lo - 1, b = t->hi + 1;
  mpq_t y;
  mpq_init(y);
  while (b - a > 1) {
    int64_t mid = a + (b - a) / 2;
    mpq_set_d(y, (double)(float)((double)t->scale * (double)(mid - t->zp))); /* 24 + 29 bits: the product is exact, one rounding */
    int c = mpq_cmp(y, v);
    if (strict ? c > 0 : c >= 0) b = mid;
    else a = mid;
  }
  mpq_clear(y);
  return b;
}

/* A constraint on binary32 outputs: one element against a constant, or two elements of one tensor against each other. */
static qv_status float_ineq(qv_ineq *e, lowering *l, const atom *a, const span *s) {
  const form *f = &a->f;
  const qv_tensor *t = tensor_of(l->net, true, s->port);
  const int64_t most = (int64_t)1 << 23;
  bool narrow = t->lo - t->zp > -most && t->hi - t->zp < most && t->scale < 0x1p100f; /* neighbours stay apart in binary32 */
  qv_out_term *o = QV_NEW(&l->q->arena, 2, qv_out_term);
  if (o == NULL) return NOMEM(l);
  e->term = o;
  if (f->n == 1 && narrow) {
    mpq_t v;
    mpq_init(v);
    mpq_div(v, f->k, f->t[0].c);
    mpq_neg(v, v);
    bool up = mpq_sgn(f->t[0].c) > 0; /* y >= v, else y <= v */
    o[0] = (qv_out_term){s->port, (uint32_t)(f->t[0].el - s->first), up ? 1 : -1};
    e->n = 1;
    e->d = up ? dequant_from(t, v, a->strict) : -(dequant_from(t, v, !a->strict) - 1);
    mpq_clear(v);
    return QV_OK;
  }
  mpq_t sum;
  mpq_init(sum);
  if (f->n == 2) mpq_add(sum, f->t[0].c, f->t[1].c);
  bool pair = f->n == 2 && mpq_sgn(sum) == 0 && mpq_sgn(f->k) == 0 && narrow && span_of(l, true, f->t[1].el) == s;
  mpq_clear(sum);
  if (!pair)
    return refuse(l, a->line, QV_FAIL(l->err, QV_E_UNSUP, "sums of float32 outputs have no exact meaning here: compare an element with a constant or with another "
                                                          "one, or declare the type real"));
  int sign = mpq_sgn(f->t[0].c);
  o[0] = (qv_out_term){s->port, (uint32_t)(f->t[0].el - s->first), sign};
  o[1] = (qv_out_term){s->port, (uint32_t)(f->t[1].el - s->first), -sign};
  e->n = 2;
  e->d = a->strict;
  return QV_OK;
}

static qv_status output_ineq(qv_ineq *e, lowering *l, const atom *a) {
  const form *f = &a->f;
  const span *s0 = span_of(l, true, f->t[0].el);
  for (size_t i = 0; i < f->n; i++)
    if (span_of(l, true, f->t[i].el)->kind == QV_VNN_FLOAT32) return float_ineq(e, l, a, s0->kind == QV_VNN_FLOAT32 ? s0 : span_of(l, true, f->t[i].el));
  out_term *t = calloc(f->n, sizeof *t);
  mpq_t k, s, z;
  if (t == NULL) return NOMEM(l);
  mpq_inits(k, s, z, NULL);
  mpq_set(k, f->k);
  for (size_t i = 0; i < f->n; i++) {
    const span *sp = span_of(l, true, f->t[i].el);
    const qv_tensor *x = tensor_of(l->net, true, sp->port);
    t[i].out = sp->port;
    t[i].el = (uint32_t)(f->t[i].el - sp->first);
    mpq_init(t[i].c);
    mpq_set(t[i].c, f->t[i].c);
    if (sp->kind == QV_VNN_REAL && x->has_q) { /* y = s * (q - z) */
      mpq_set_d(s, (double)x->scale);
      mpq_mul(t[i].c, t[i].c, s);
      mpq_set_si(z, x->zp, 1);
      mpq_mul(z, z, t[i].c);
      mpq_sub(k, k, z);
    }
  }
  qv_status st = integer_ineq(e, l, a, t, f->n, k);
  for (size_t i = 0; i < f->n; i++) mpq_clear(t[i].c);
  free(t);
  mpq_clears(k, s, z, NULL);
  return st;
}

/* ---- one disjunct ---------------------------------------------------------------------------------------------------------------------------- */

typedef struct {
  limits *b; /* [all input elements] */
  size_t n;
} frame;

static void input_atom(frame *fr, const atom *a) {
  const form *f = &a->f;
  mpq_t v;
  mpq_init(v);
  mpq_div(v, f->k, f->t[0].c);
  mpq_neg(v, v);
  if (mpq_sgn(f->t[0].c) > 0) raise_lo(&fr->b[f->t[0].el], v, a->strict);
  else drop_hi(&fr->b[f->t[0].el], v, a->strict);
  mpq_clear(v);
}

/* Sort the atoms: inputs into the frame, outputs into the violation. *dead: a constant condition fails. */
static qv_status sort_atoms(qv_violation *v, frame *fr, bool *dead, lowering *l, const conj *c) {
  size_t n = 0;
  qv_ineq *e = QV_NEW(&l->q->arena, c->n + 1, qv_ineq);
  if (e == NULL) return NOMEM(l);
  *dead = false;
  for (size_t i = 0; i < c->n; i++) {
    const atom *a = &l->atom[c->a[i]];
    const form *f = &a->f;
    if (f->n == 0) {
      *dead |= a->strict ? mpq_sgn(f->k) <= 0 : mpq_sgn(f->k) < 0;
      continue;
    }
    if (!f->t[0].output && f->t[f->n - 1].output)
      return refuse(l, a->line, QV_FAIL(l->err, QV_E_UNSUP, "a constraint between inputs and outputs: only bounds on inputs and linear constraints on outputs are supported"));
    if (!f->t[0].output && f->n > 1)
      return refuse(l, a->line, QV_FAIL(l->err, QV_E_UNSUP, "a constraint between inputs: only bounds on single inputs are supported"));
    if (!f->t[0].output) input_atom(fr, a);
    else {
      qv_status st = output_ineq(&e[n++], l, a);
      if (st != QV_OK) return st;
    }
  }
  if (n == 0) { /* any output will do: an inequality that always holds */
    qv_out_term *t = QV_NEW(&l->q->arena, 1, qv_out_term);
    if (t == NULL) return NOMEM(l);
    *t = (qv_out_term){0, 0, 1};
    e[n++] = (qv_ineq){1, t, -QV_COND_MAX};
  }
  *v = (qv_violation){(uint32_t)n, e};
  return QV_OK;
}

/* The frame as boxes of a new case. *dead: some interval is empty. */
static qv_status make_case(qv_vnn_case *c, const frame *fr, bool *dead, lowering *l) {
  const qv_net *net = l->net;
  qv_arena *a = &c->property.arena;
  qv_status st = qv_property_whole(&c->property, net, 0, l->err);
  if (st != QV_OK) return st;
  c->property.claim = QV_CLAIM_ROBUST;
  c->lo = QV_NEW(a, net->n_in, float *);
  c->hi = QV_NEW(a, net->n_in, float *);
  if (c->lo == NULL || c->hi == NULL) return NOMEM(l);
  for (size_t k = 0; k < l->n_span[0]; k++) {
    const span *s = &l->span[0][k];
    const qv_tensor *t = tensor_of(net, false, s->port);
    qv_prop_input *in = &c->property.in[s->port];
    bool real_end = net->in[s->port].end != QV_END_INT;
    in->n = s->count;
    in->itv = QV_NEW(a, s->count, qv_itv);
    if (real_end) {
      c->lo[s->port] = QV_NEW(a, s->count, float);
      c->hi[s->port] = QV_NEW(a, s->count, float);
    }
    if (in->itv == NULL || (real_end && (c->lo[s->port] == NULL || c->hi[s->port] == NULL))) return NOMEM(l);
    for (size_t e = 0; e < s->count; e++) {
      const limits *b = &fr->b[s->first + e];
      bool ok = real_end ? float_limits(&in->itv[e], &c->lo[s->port][e], &c->hi[s->port][e], b, net, s->port, t)
                         : integer_limits(&in->itv[e], b, t, s->kind == QV_VNN_REAL && t->has_q);
      if (!ok) {
        *dead = true;
        return QV_OK;
      }
    }
  }
  return QV_OK;
}

static bool same_box(const qv_vnn_case *a, const qv_vnn_case *b, const qv_net *net) {
  for (uint32_t i = 0; i < net->n_in; i++) {
    size_t n = a->property.in[i].n;
    if (memcmp(a->property.in[i].itv, b->property.in[i].itv, n * sizeof(qv_itv)) != 0) return false;
    if (a->lo[i] != NULL && (memcmp(a->lo[i], b->lo[i], n * sizeof(float)) != 0 || memcmp(a->hi[i], b->hi[i], n * sizeof(float)) != 0)) return false;
  }
  return true;
}

/* The violation joins the case with the same box, else the new case is kept. */
static qv_status keep_case(qv_vnn_query *q, qv_vnn_case *c, const qv_violation *v, const qv_net *net, lowering *l) {
  qv_vnn_case *to = NULL;
  for (size_t k = 0; to == NULL && k < q->n && k < 64; k++)
    if (same_box(&q->item[q->n - 1 - k], c, net)) to = &q->item[q->n - 1 - k];
  if (to != NULL) qv_property_clear(&c->property);
  else {
    q->item[q->n++] = *c;
    to = &q->item[q->n - 1];
  }
  *c = (qv_vnn_case){.lo = NULL};
  qv_condition *cond = &to->property.cond;
  qv_violation *all = QV_NEW(&to->property.arena, (size_t)cond->n + 1, qv_violation);
  if (all == NULL) return NOMEM(l);
  if (cond->n > 0) memcpy(all, cond->bad, cond->n * sizeof *all);
  all[cond->n] = *v;
  *cond = (qv_condition){.kind = QV_AVOID, .n = cond->n + 1, .bad = all};
  return QV_OK;
}

static qv_status disjuncts(lowering *l, const dnf *d) {
  qv_vnn_query *q = l->q;
  qv_status st = QV_OK;
  frame fr = {.n = l->v->n_el[0]};
  size_t all;
  if (!qv_mulz(&all, d->n, fr.n) || all > MAX_BOX) return QV_FAIL(l->err, QV_E_LIMIT, "%zu boxes of %zu elements", d->n, fr.n);
  q->item = QV_NEW(&q->arena, 2 * d->n, qv_vnn_case); /* (see `classes`) */
  if (q->item == NULL || (fr.b = calloc(fr.n, sizeof *fr.b)) == NULL) return NOMEM(l);
  for (size_t e = 0; e < fr.n; e++) mpq_inits(fr.b[e].lo, fr.b[e].hi, NULL);
  for (size_t k = 0; st == QV_OK && k < d->n; k++) {
    qv_vnn_case c = {.lo = NULL};
    qv_violation v;
    bool dead = false;
    for (size_t e = 0; e < fr.n; e++) fr.b[e].has_lo = fr.b[e].has_hi = fr.b[e].open_lo = fr.b[e].open_hi = false;
    st = sort_atoms(&v, &fr, &dead, l, &d->c[k]);
    if (st == QV_OK && !dead) st = make_case(&c, &fr, &dead, l);
    if (st == QV_OK && !dead) st = keep_case(q, &c, &v, l->net, l);
    q->dropped += dead;
    qv_property_clear(&c.property);
  }
  for (size_t e = 0; e < fr.n; e++) mpq_clears(fr.b[e].lo, fr.b[e].hi, NULL);
  free(fr.b);
  return st;
}

/* ---- behind a tail, classes instead of inequalities ------------------------------------------------------------------------------------ */

/* Are the violations "o_j >= o_C" for every j but C, of one output that a tail node writes? */
static bool every_tie(const qv_condition *c, const qv_net *net, uint32_t *out, uint32_t *cls) {
  const qv_ineq *e = &c->bad[0].ineq[0];
  if (e->n != 2) return false;
  *out = e->term[0].out;
  const uint32_t t = net->out[*out].tensor;
  size_t n = qv_elems(&net->tensor[t]);
  bool tail = false;
  for (uint32_t k = 0; k < net->n_nodes; k++) tail |= net->node[k].out == t && net->node[k].kind == QV_TAIL;
  *cls = e->term[e->term[0].c > 0].el;
  if (!tail || c->n != n - 1) return false;
  bool seen[64] = {false}; /* (longer outputs stay as they are) */
  for (uint32_t k = 0; k < c->n && n <= 64; k++) {
    e = &c->bad[k].ineq[0];
    if (c->bad[k].n != 1 || e->n != 2 || e->d != 0 || e->term[0].out != *out || e->term[1].out != *out || e->term[0].c + e->term[1].c != 0) return false;
    int up = e->term[1].c > 0;
    if (e->term[up].c != 1 || e->term[!up].el != *cls || seen[e->term[up].el]) return false;
    seen[e->term[up].el] = true;
  }
  return n <= 64;
}

static qv_status copy_case(qv_vnn_case *to, const qv_vnn_case *from, lowering *l) {
  const qv_net *net = l->net;
  qv_arena *a = &to->property.arena;
  qv_status st = qv_property_whole(&to->property, net, 0, l->err);
  if (st != QV_OK) return st;
  to->property.claim = QV_CLAIM_ROBUST;
  to->lo = QV_NEW(a, net->n_in, float *);
  to->hi = QV_NEW(a, net->n_in, float *);
  for (uint32_t i = 0; to->lo != NULL && to->hi != NULL && i < net->n_in; i++) {
    const qv_prop_input *in = &from->property.in[i];
    qv_prop_input *mine = &to->property.in[i];
    mine->n = in->n;
    if ((mine->itv = QV_NEW(a, in->n, qv_itv)) == NULL) return NOMEM(l);
    memcpy(mine->itv, in->itv, in->n * sizeof *in->itv);
    if (from->lo[i] == NULL) continue;
    to->lo[i] = QV_NEW(a, in->n, float);
    to->hi[i] = QV_NEW(a, in->n, float);
    if (to->lo[i] == NULL || to->hi[i] == NULL) return NOMEM(l);
    memcpy(to->lo[i], from->lo[i], in->n * sizeof(float));
    memcpy(to->hi[i], from->hi[i], in->n * sizeof(float));
  }
  return to->lo != NULL && to->hi != NULL ? QV_OK : NOMEM(l);
}

/* No o_j reaches o_C: C is the first largest element and the last. Engines know what a tail does to classes, not to inequalities. */
static qv_status classes(qv_vnn_query *q, lowering *l) {
  size_t n = q->n;
  for (size_t k = 0; k < n; k++) {
    qv_condition *c = &q->item[k].property.cond;
    uint32_t out, cls;
    if (!every_tie(c, l->net, &out, &cls)) continue;
    bool first = cls > 0, last = cls + 1 < qv_elems(&l->net->tensor[l->net->out[out].tensor]);
    *c = (qv_condition){.kind = first ? QV_KEEP_FIRST : QV_KEEP_LAST, .out = out, .cls = cls};
    if (!first || !last) continue;
    qv_vnn_case *more = &q->item[q->n++];
    qv_status st = copy_case(more, &q->item[k], l);
    if (st != QV_OK) return st;
    more->property.cond = (qv_condition){.kind = QV_KEEP_LAST, .out = out, .cls = cls};
  }
  return QV_OK;
}

qv_status qv_vnnlib_lower(qv_vnn_query *q, const qv_vnnlib *v, const qv_net *net, qv_err *err) {
  qv_status st;
  dnf d = {0};
  const conj empty = {.a = NULL};
  *q = (qv_vnn_query){.n_var = v->n_var};
  lowering l = {.v = v, .net = net, .q = q, .err = err};
  q->var = QV_NEW(&q->arena, v->n_var, qv_vnn_var);
  q->kind = QV_NEW(&q->arena, v->n_var, qv_vnn_kind);
  for (int k = 0; k < 2; k++) l.span[k] = QV_NEW(&q->arena, (size_t)v->n_var + net->n_in + net->n_out, span);
  if (q->var == NULL || q->kind == NULL || l.span[0] == NULL || l.span[1] == NULL || !dnf_push(&d, &empty)) {
    st = NOMEM(&l);
    goto done;
  }
  memcpy(q->var, v->var, v->n_var * sizeof *v->var);
  QV_TRY(v->version == 1 ? bind_v1(&l) : bind_v2(&l));
  for (uint32_t i = 0; i < v->n_assert; i++) QV_TRY(conjoin(&d, &l, v->assertion[i]));
  QV_TRY(disjuncts(&l, &d));
  QV_TRY(classes(q, &l));
  for (size_t k = 0; k < q->n; k++) QV_TRY(qv_condition_check(&q->item[k].property.cond, net, err));
done:
  for (size_t i = 0; i < l.n_atom; i++) form_clear(&l.atom[i].f);
  free(l.atom);
  dnf_clear(&d);
  return st;
}

void qv_vnn_query_clear(qv_vnn_query *q) {
  for (size_t k = 0; k < q->n; k++) qv_property_clear(&q->item[k].property);
  qv_arena_clear(&q->arena);
  *q = (qv_vnn_query){0};
}

/* ---- evaluation of the text itself ------------------------------------------------------------------------------------------------------------ */

typedef struct {
  const qv_vnnlib *v;
  mpq_t *val[2];
} world;

static bool value(mpq_t out, const world *w, uint32_t at) {
  const vnn_node *n = &w->v->node[at];
  if (n->op == VNN_NUM) return qv_rat_parse(out, n->s, n->len);
  if (n->op == VNN_VAR) {
    mpq_set(out, w->val[n->output][n->el]);
    return true;
  }
  mpq_t k;
  bool ok = true;
  mpq_init(k);
  mpq_set_si(out, 0, 1);
  for (uint32_t i = n->kid; ok && i != QV_NONE; i = w->v->node[i].next) {
    ok = value(k, w, i);
    if (i == n->kid) mpq_set(out, k);
    else if (n->op == VNN_ADD) mpq_add(out, out, k);
    else if (n->op == VNN_SUB) mpq_sub(out, out, k);
    else mpq_mul(out, out, k);
  }
  if (n->op == VNN_SUB && w->v->node[n->kid].next == QV_NONE) mpq_neg(out, out);
  mpq_clear(k);
  return ok;
}

static bool truth(bool *ok, const world *w, uint32_t at) {
  const vnn_node *n = &w->v->node[at];
  if (n->op == VNN_AND || n->op == VNN_OR) {
    for (uint32_t i = n->kid; i != QV_NONE; i = w->v->node[i].next)
      if (truth(ok, w, i) == (n->op == VNN_OR)) return n->op == VNN_OR;
    return n->op == VNN_AND;
  }
  mpq_t a, b;
  mpq_inits(a, b, NULL);
  *ok = value(a, w, n->kid) && value(b, w, w->v->node[n->kid].next) && *ok;
  int c = mpq_cmp(a, b);
  mpq_clears(a, b, NULL);
  switch (n->op) {
  case VNN_LE: return c <= 0;
  case VNN_LT: return c < 0;
  case VNN_GE: return c >= 0;
  case VNN_GT: return c > 0;
  case VNN_EQ: return c == 0;
  case VNN_NE: return c != 0;
  case VNN_NUM:
  case VNN_VAR:
  case VNN_ADD:
  case VNN_SUB:
  case VNN_MUL:
  case VNN_AND:
  case VNN_OR: break;
  }
  *ok = false;
  return false;
}

qv_status qv_vnnlib_holds(bool *yes, const qv_vnnlib *v, mpq_t *x, size_t n_x, mpq_t *y, size_t n_y, qv_err *err) {
  world w = {v, {x, y}};
  bool ok = n_x == v->n_el[0] && n_y == v->n_el[1];
  *yes = ok;
  for (uint32_t i = 0; ok && *yes && i < v->n_assert; i++) *yes = truth(&ok, &w, v->assertion[i]);
  if (ok) return QV_OK;
  *yes = false;
  return QV_FAIL(err, QV_E_INTERNAL, "the query cannot be evaluated");
}

bool qv_vnn_decimal(qv_buf *out, mpq_srcptr q) {
  mpz_t n, d;
  bool ok;
  unsigned long twos, fives = 0, digits;
  mpz_inits(n, d, NULL);
  mpz_set(d, mpq_denref(q));
  twos = mpz_scan1(d, 0);
  mpz_fdiv_q_2exp(d, d, twos);
  while (mpz_divisible_ui_p(d, 5)) {
    mpz_divexact_ui(d, d, 5);
    fives++;
  }
  ok = mpz_cmp_ui(d, 1) == 0;
  if (ok) {
    digits = twos > fives ? twos : fives;
    mpz_ui_pow_ui(d, 10, digits);
    mpz_mul(n, mpq_numref(q), d);
    mpz_divexact(n, n, mpq_denref(q));
    char *s = mpz_get_str(NULL, 10, n), *p = s + (s[0] == '-');
    size_t len = strlen(p);
    if (s[0] == '-') qv_buf_str(out, "-");
    if (len <= digits) {
      qv_buf_str(out, "0.");
      for (size_t i = len; i < digits; i++) qv_buf_str(out, "0");
      qv_buf_str(out, p);
    } else {
      qv_buf_put(out, p, len - digits);
      if (digits > 0) qv_buf_printf(out, ".%s", p + len - digits);
    }
    void (*release)(void *, size_t);
    mp_get_memory_functions(NULL, NULL, &release);
    release(s, strlen(s) + 1);
  }
  mpz_clears(n, d, NULL);
  return ok;
}
