#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/names.h"
#include "frontend/onnx_file.h"
#include "quant/fgraph.h"

/* A value of the ONNX graph: a tensor of the float network, or a constant. */
typedef struct {
  uint32_t t;         /* QV_NONE: constant */
  const onx_const *c; /* floats or integers */
} value;

typedef struct {
  qv_fgraph *g;
  onx_model m;
  qv_names names;
  value *val;
  uint32_t n_val, cap;
  const Onnx__NodeProto *op;
  qv_err *err;
  qv_arena tmp; /* decoded constants that are no floats of the network */
} reader;

static const char *node_name(const reader *r) {
  if (r->op->name != NULL && r->op->name[0] != 0) return r->op->name;
  return r->op->n_output > 0 ? r->op->output[0] : "";
}

#define FAIL(r, code, ...) fail_at((r), (code), __VA_ARGS__)
static qv_status fail_at(reader *r, qv_status code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static qv_status fail_at(reader *r, qv_status code, const char *fmt, ...) {
  char text[200];
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  return QV_FAIL(r->err, code, "node \"%s\" (%s): %s", node_name(r), r->op->op_type, text);
}

/* ---- values -------------------------------------------------------------------------------------------------------------------- */

static qv_status bind(reader *r, const char *name, value v) {
  uint32_t number;
  if (qv_names_get(&r->names, name) != QV_NONE) return QV_FAIL(r->err, QV_E_PARSE, "value \"%s\" is written twice", name);
  if (r->n_val == r->cap) {
    uint32_t cap = r->cap == 0 ? 64 : 2 * r->cap;
    value *p = realloc(r->val, cap * sizeof *p);
    if (p == NULL) return QV_FAIL(r->err, QV_E_NOMEM, "float network");
    r->val = p;
    r->cap = cap;
  }
  number = r->n_val++;
  r->val[number] = v;
  return qv_names_put(&r->names, &r->tmp, name, number) ? QV_OK : QV_FAIL(r->err, QV_E_NOMEM, "float network");
}

static const value *operand(const reader *r, uint32_t k) {
  if (k >= r->op->n_input || r->op->input[k][0] == 0) return NULL;
  uint32_t number = qv_names_get(&r->names, r->op->input[k]);
  return number == QV_NONE ? NULL : &r->val[number];
}

static qv_status need(reader *r, uint32_t k, const value **v) {
  *v = operand(r, k);
  return *v != NULL ? QV_OK : FAIL(r, QV_E_PARSE, "operand %u is missing", k);
}

/* Constant floats of operand k in the network's memory, or QV_E_UNSUP. */
static qv_status floats(reader *r, uint32_t k, const onx_const **c) {
  const value *v;
  qv_status st = need(r, k, &v);
  if (st != QV_OK) return st;
  if (v->t != QV_NONE || v->c->f == NULL) return FAIL(r, QV_E_UNSUP, "operand %u is not a float constant", k);
  *c = v->c;
  return QV_OK;
}

static qv_status integers(reader *r, uint32_t k, int64_t *out, uint32_t max, uint32_t *n) {
  const value *v;
  qv_status st = need(r, k, &v);
  if (st != QV_OK) return st;
  if (v->t != QV_NONE || v->c->n > max || (v->c->l == NULL && v->c->i == NULL)) return FAIL(r, QV_E_UNSUP, "operand %u is not a short list of integer constants", k);
  *n = (uint32_t)v->c->n;
  for (uint32_t i = 0; i < *n; i++) out[i] = v->c->l != NULL ? v->c->l[i] : v->c->i[i];
  return QV_OK;
}

static float *own(reader *r, const float *f, size_t n) {
  float *p = QV_NEW(&r->g->arena, n, float);
  if (p != NULL && n > 0) memcpy(p, f, n * sizeof *p);
  return p;
}

static uint32_t own_tensor(reader *r, const onx_const *c, const char *name, uint32_t rank, const uint32_t *dim) {
  float *p = own(r, c->f, c->n);
  return p == NULL ? QV_NONE : qv_fgraph_tensor(r->g, name, rank, dim, p);
}

/* ---- attributes ---------------------------------------------------------------------------------------------------------------- */

static const Onnx__AttributeProto *attr(const reader *r, const char *name) {
  for (size_t i = 0; i < r->op->n_attribute; i++)
    if (r->op->attribute[i]->name != NULL && strcmp(r->op->attribute[i]->name, name) == 0) return r->op->attribute[i];
  return NULL;
}
static int64_t attr_i(const reader *r, const char *name, int64_t absent) {
  const Onnx__AttributeProto *a = attr(r, name);
  return a != NULL && a->has_i ? a->i : absent;
}
static float attr_f(const reader *r, const char *name, float absent) {
  const Onnx__AttributeProto *a = attr(r, name);
  return a != NULL && a->has_f ? a->f : absent;
}
/* n small numbers from a list; absent: `dflt`. False: another length, or out of range. */
static bool attr_list(const reader *r, const char *name, uint32_t *out, uint32_t n, uint32_t dflt) {
  const Onnx__AttributeProto *a = attr(r, name);
  for (uint32_t i = 0; i < n; i++) out[i] = dflt;
  if (a == NULL) return true;
  if (a->n_ints != n) return false;
  for (uint32_t i = 0; i < n; i++) {
    if (a->ints[i] < 0 || a->ints[i] > 65535) return false;
    out[i] = (uint32_t)a->ints[i];
  }
  return true;
}

/* ---- nodes --------------------------------------------------------------------------------------------------------------------- */

static qv_status emit(reader *r, qv_fnode n) {
  n.name = node_name(r);
  uint32_t t = qv_fgraph_node(r->g, &n, r->op->output[0], r->err);
  return t == QV_NONE ? r->err->code : bind(r, r->op->output[0], (value){t, NULL});
}

/* Append n whose result is not yet the node's: its tensor, QV_NONE after a failure. */
static uint32_t part(reader *r, qv_fnode n, const char *suffix) {
  char out[300];
  (void)snprintf(out, sizeof out, "%.200s%s", r->op->output[0], suffix);
  n.name = node_name(r);
  return qv_fgraph_node(r->g, &n, out, r->err);
}

/* A GEMM on rows: tensors of another rank are reshaped to them and back. */
static qv_status emit_gemm(reader *r, qv_fnode n) {
  qv_ftensor x = r->g->tensor[n.in[0]];
  uint32_t k = r->g->tensor[n.in[1]].dim[1], m = r->g->tensor[n.in[1]].dim[0];
  if (x.rank == 2) return emit(r, n);
  if (x.rank == 0 || x.dim[x.rank - 1] != k) return FAIL(r, QV_E_PARSE, "the operands' sizes do not fit");
  qv_fnode in = {.op = QF_RESHAPE, .n_in = 1, .axis = 2}, out = {.op = QF_RESHAPE, .n_in = 1, .axis = x.rank};
  in.in[0] = n.in[0];
  in.perm[0] = (uint32_t)(qv_felems(&x) / k), in.perm[1] = k;
  if ((n.in[0] = part(r, in, "/rows")) == QV_NONE || (out.in[0] = part(r, n, "/product")) == QV_NONE) return r->err->code;
  memcpy(out.perm, x.dim, sizeof out.perm);
  out.perm[x.rank - 1] = m;
  return emit(r, out);
}

static qv_status input_tensor(reader *r, uint32_t k, uint32_t *t) {
  const value *v;
  qv_status st = need(r, k, &v);
  if (st != QV_OK) return st;
  if (v->t == QV_NONE) return FAIL(r, QV_E_UNSUP, "operand %u is a constant", k);
  *t = v->t;
  return QV_OK;
}

static qv_status window(reader *r, qv_fnode *n, const uint32_t *kernel) {
  uint32_t k[2], s[2], d[2], p[4];
  const qv_ftensor *x = &r->g->tensor[n->in[0]];
  const Onnx__AttributeProto *a = attr(r, "auto_pad");
  if (x->rank != 4) return FAIL(r, QV_E_UNSUP, "a window over a tensor of rank %u; only images [1,C,H,W] are known", x->rank);
  if (!attr_list(r, "kernel_shape", k, 2, 0) || !attr_list(r, "strides", s, 2, 1) || !attr_list(r, "dilations", d, 2, 1) || !attr_list(r, "pads", p, 4, 0))
    return FAIL(r, QV_E_UNSUP, "attributes of the window are not those of a two-dimensional one");
  if (kernel != NULL) memcpy(k, kernel, sizeof k);
  if (k[0] == 0 || k[1] == 0 || s[0] == 0 || s[1] == 0 || d[0] == 0 || d[1] == 0) return FAIL(r, QV_E_PARSE, "a window size, stride or dilation of 0");
  if (attr_i(r, "ceil_mode", 0) != 0) return FAIL(r, QV_E_UNSUP, "ceil_mode is not known");
  if (a != NULL && a->s.len >= 4 && memcmp(a->s.data, "SAME", 4) == 0) {
    bool lower = a->s.len == 10 && memcmp(a->s.data, "SAME_LOWER", 10) == 0;
    for (uint32_t i = 0; i < 2; i++) {
      int64_t in = x->dim[2 + i], out = (in + s[i] - 1) / s[i], all = (out - 1) * s[i] + ((int64_t)k[i] - 1) * d[i] + 1 - in;
      uint32_t pad = all > 0 ? (uint32_t)all : 0, less = pad / 2;
      p[i] = lower ? pad - less : less;
      p[2 + i] = pad - p[i];
    }
  }
  n->kh = k[0], n->kw = k[1], n->sh = s[0], n->sw = s[1], n->dh = d[0], n->dw = d[1];
  n->pt = p[0], n->pl = p[1], n->pb = p[2], n->pr = p[3];
  return QV_OK;
}

static qv_status add_bias(reader *r, qv_fnode *n, uint32_t k, double factor) {
  const onx_const *b;
  if (operand(r, k) == NULL) return QV_OK;
  qv_status st = floats(r, k, &b);
  if (st != QV_OK) return st;
  uint32_t m = r->g->tensor[n->in[1]].dim[0];
  if (b->n != m && b->n != 1) return FAIL(r, QV_E_UNSUP, "a bias of %zu values for %u outputs", b->n, m);
  float *v = QV_NEW(&r->g->arena, m, float);
  if (v == NULL) return FAIL(r, QV_E_NOMEM, "no memory");
  for (uint32_t i = 0; i < m; i++) v[i] = (float)(factor * (double)b->f[b->n == 1 ? 0 : i]);
  n->in[2] = qv_fgraph_tensor(r->g, r->op->input[k], 1, &m, v);
  n->n_in = 3;
  return n->in[2] == QV_NONE ? FAIL(r, QV_E_NOMEM, "no memory") : QV_OK;
}

static qv_status do_conv(reader *r) {
  qv_fnode n = {.op = QF_CONV, .n_in = 2};
  const onx_const *w;
  qv_status st = input_tensor(r, 0, &n.in[0]);
  if (st == QV_OK) st = floats(r, 1, &w);
  if (st != QV_OK) return st;
  if (w->rank != 4) return FAIL(r, QV_E_UNSUP, "weights of rank %u", w->rank);
  int64_t groups = attr_i(r, "group", 1);
  if (groups < 1 || groups > 65536) return FAIL(r, QV_E_PARSE, "group = %lld", (long long)groups);
  n.groups = (uint32_t)groups;
  n.in[1] = own_tensor(r, w, r->op->input[1], 4, w->dim);
  if (n.in[1] == QV_NONE) return FAIL(r, QV_E_NOMEM, "no memory");
  if ((st = window(r, &n, w->dim + 2)) != QV_OK || (st = add_bias(r, &n, 2, 1)) != QV_OK) return st;
  return emit(r, n);
}

/* Weights as [m][k], times `factor`. trans: stored like that already. */
static qv_status gemm_weights(reader *r, qv_fnode *n, bool trans, double factor) {
  const onx_const *w;
  qv_status st = floats(r, 1, &w);
  if (st != QV_OK) return st;
  if (w->rank != 2) return FAIL(r, QV_E_UNSUP, "weights of rank %u", w->rank);
  uint32_t m = w->dim[trans ? 0 : 1], k = w->dim[trans ? 1 : 0], dim[2] = {m, k};
  float *v = QV_NEW(&r->g->arena, (size_t)m * k, float);
  if (v == NULL) return FAIL(r, QV_E_NOMEM, "no memory");
  for (uint32_t o = 0; o < m; o++)
    for (uint32_t i = 0; i < k; i++) v[(size_t)o * k + i] = (float)(factor * (double)w->f[trans ? (size_t)o * k + i : (size_t)i * m + o]);
  n->in[1] = qv_fgraph_tensor(r->g, r->op->input[1], 2, dim, v);
  n->n_in = 2;
  return n->in[1] == QV_NONE ? FAIL(r, QV_E_NOMEM, "no memory") : QV_OK;
}

static qv_status do_gemm(reader *r) {
  qv_fnode n = {.op = QF_GEMM};
  qv_status st = input_tensor(r, 0, &n.in[0]);
  if (st != QV_OK) return st;
  if (attr_i(r, "transA", 0) != 0) return FAIL(r, QV_E_UNSUP, "transA is not known");
  if ((st = gemm_weights(r, &n, attr_i(r, "transB", 0) != 0, (double)attr_f(r, "alpha", 1))) != QV_OK) return st;
  if ((st = add_bias(r, &n, 2, (double)attr_f(r, "beta", 1))) != QV_OK) return st;
  return emit_gemm(r, n);
}

static void swap_last(qv_fnode *n, uint32_t rank) {
  for (uint32_t d = 0; d < rank; d++) n->perm[d] = d;
  n->perm[rank - 1] = rank - 2;
  n->perm[rank - 2] = rank - 1;
}

/* A x, A constant [m][k], x [..][k][n]: the transpose of x' A', whose weights are A as it stands. */
static qv_status left_constant(reader *r, const onx_const *a) {
  uint32_t x, row, rank;
  qv_status st = input_tensor(r, 1, &x);
  if (st != QV_OK) return st;
  qv_ftensor t = r->g->tensor[x];
  rank = t.rank;
  if (a->f == NULL || a->rank != 2) return FAIL(r, QV_E_UNSUP, "a constant left operand that is not a matrix of floats");
  if (rank == 0 || t.dim[rank == 1 ? 0 : rank - 2] != a->dim[1]) return FAIL(r, QV_E_PARSE, "the operands' sizes do not fit");
  uint32_t m = a->dim[0], k = a->dim[1], n = (uint32_t)(qv_felems(&t) / k);
  qv_fnode turn = {.op = QF_TRANSPOSE, .n_in = 1}, rows = {.op = QF_RESHAPE, .n_in = 1, .axis = 2, .perm = {n, k}}, gemm = {.op = QF_GEMM, .n_in = 2},
           shape = {.op = QF_RESHAPE, .n_in = 1, .axis = rank};
  turn.in[0] = rows.in[0] = x;
  if (rank > 1) {
    swap_last(&turn, rank);
    if ((rows.in[0] = part(r, turn, "/turned")) == QV_NONE) return r->err->code;
  }
  gemm.in[1] = own_tensor(r, a, r->op->input[0], 2, a->dim);
  if (gemm.in[1] == QV_NONE) return FAIL(r, QV_E_NOMEM, "no memory");
  if ((gemm.in[0] = part(r, rows, "/rows")) == QV_NONE || (row = part(r, gemm, "/product")) == QV_NONE) return r->err->code;
  shape.in[0] = row;
  memcpy(shape.perm, t.dim, sizeof shape.perm);
  if (rank > 1) shape.perm[rank - 2] = t.dim[rank - 1];
  shape.perm[rank - 1] = m;
  if (rank == 1) return emit(r, shape);
  if ((turn.in[0] = part(r, shape, "/columns")) == QV_NONE) return r->err->code;
  return emit(r, turn);
}

static qv_status do_matmul(reader *r) {
  qv_fnode n = {.op = QF_GEMM};
  const value *a;
  qv_status st = need(r, 0, &a);
  if (st != QV_OK) return st;
  if (a->t == QV_NONE) return left_constant(r, a->c);
  n.in[0] = a->t;
  st = gemm_weights(r, &n, false, 1);
  return st == QV_OK ? emit_gemm(r, n) : st;
}

/* y = x * s + t along `axis` */
static qv_status emit_channel(reader *r, uint32_t x, uint32_t axis, float *s, float *t) {
  uint32_t c = r->g->tensor[x].dim[axis];
  qv_fnode n = {.op = QF_CHANNEL, .n_in = 3, .axis = axis};
  n.in[0] = x;
  n.in[1] = qv_fgraph_tensor(r->g, "scale", 1, &c, s);
  n.in[2] = qv_fgraph_tensor(r->g, "shift", 1, &c, t);
  return n.in[1] == QV_NONE || n.in[2] == QV_NONE ? FAIL(r, QV_E_NOMEM, "no memory") : emit(r, n);
}

static qv_status do_batchnorm(reader *r) {
  const onx_const *p[4];
  uint32_t x;
  qv_status st = input_tensor(r, 0, &x);
  for (uint32_t i = 0; st == QV_OK && i < 4; i++) st = floats(r, i + 1, &p[i]);
  if (st != QV_OK) return st;
  if (r->g->tensor[x].rank < 2) return FAIL(r, QV_E_UNSUP, "a tensor of rank %u", r->g->tensor[x].rank);
  uint32_t c = r->g->tensor[x].dim[1];
  float *s = QV_NEW(&r->g->arena, c, float), *t = QV_NEW(&r->g->arena, c, float);
  if (s == NULL || t == NULL) return FAIL(r, QV_E_NOMEM, "no memory");
  for (uint32_t i = 0; i < 4; i++)
    if (p[i]->n != c) return FAIL(r, QV_E_PARSE, "operand %u has %zu values for %u channels", i + 1, p[i]->n, c);
  for (uint32_t i = 0; i < c; i++) {
    double k = (double)p[0]->f[i] / sqrt((double)p[3]->f[i] + (double)attr_f(r, "epsilon", 1e-5f));
    s[i] = (float)k;
    t[i] = (float)((double)p[1]->f[i] - (double)p[2]->f[i] * k);
  }
  return emit_channel(r, x, 1, s, t);
}

/* A constant that varies along one dimension of x at most: which, or rank if it is one value; QV_NONE if along several. */
static uint32_t varies_along(const qv_ftensor *x, const onx_const *c) {
  if (c->n == 1) return x->rank;
  if (c->rank > x->rank) return QV_NONE;
  for (uint32_t d = 0; d < x->rank; d++)
    if (d + c->rank >= x->rank && c->dim[d + c->rank - x->rank] == c->n && x->dim[d] == c->n) return d;
  return QV_NONE;
}

static qv_status with_constant(reader *r, uint32_t x, const onx_const *c, bool first) {
  const char *op = r->op->op_type;
  const qv_ftensor *t = &r->g->tensor[x];
  uint32_t axis = varies_along(t, c);
  if (axis == t->rank) axis = t->rank == 4 ? 1 : t->rank - 1;
  if (axis == QV_NONE || t->rank == 0) return FAIL(r, QV_E_UNSUP, "a constant operand that varies along more than one dimension");
  uint32_t n = t->dim[axis];
  float *s = QV_NEW(&r->g->arena, n, float), *b = QV_NEW(&r->g->arena, n, float);
  if (s == NULL || b == NULL) return FAIL(r, QV_E_NOMEM, "no memory");
  for (uint32_t i = 0; i < n; i++) {
    float v = c->f[c->n == 1 ? 0 : i];
    s[i] = 1;
    if (strcmp(op, "Add") == 0) b[i] = v;
    else if (strcmp(op, "Sub") == 0) b[i] = first ? v : -v, s[i] = first ? -1 : 1;
    else if (strcmp(op, "Mul") == 0) s[i] = v;
    else if (first || v == 0) return FAIL(r, QV_E_UNSUP, "division of a constant, or by 0");
    else s[i] = 1 / v;
  }
  return emit_channel(r, x, axis, s, b);
}

static qv_status do_binary(reader *r) {
  const value *a, *b;
  qv_status st = need(r, 0, &a);
  if (st == QV_OK) st = need(r, 1, &b);
  if (st != QV_OK) return st;
  bool add = strcmp(r->op->op_type, "Add") == 0;
  if (a->t != QV_NONE && b->t != QV_NONE) {
    if (!add && strcmp(r->op->op_type, "Mul") != 0) return FAIL(r, QV_E_UNSUP, "of two computed tensors only Add and Mul are known");
    qv_fnode n = {.op = add ? QF_ADD : QF_MUL, .n_in = 2};
    n.in[0] = a->t, n.in[1] = b->t;
    return emit(r, n);
  }
  const value *c = a->t == QV_NONE ? a : b, *x = a->t == QV_NONE ? b : a;
  if (x->t == QV_NONE || c->c->f == NULL) return FAIL(r, QV_E_UNSUP, "arithmetic on constants, or with integers");
  return with_constant(r, x->t, c->c, a->t == QV_NONE);
}

static qv_status do_clip(reader *r) {
  qv_fnode n = {.op = QF_CLIP, .n_in = 1, .lo = attr_f(r, "min", -INFINITY), .hi = attr_f(r, "max", INFINITY)};
  qv_status st = input_tensor(r, 0, &n.in[0]);
  const onx_const *c;
  if (strcmp(r->op->op_type, "Relu") == 0) n.lo = 0;
  for (uint32_t k = 1; st == QV_OK && k < 3; k++) {
    if (operand(r, k) == NULL) continue;
    if ((st = floats(r, k, &c)) == QV_OK && c->n != 1) st = FAIL(r, QV_E_PARSE, "a limit that is not one value");
    if (st == QV_OK) *(k == 1 ? &n.lo : &n.hi) = c->f[0];
  }
  if (st == QV_OK && !(n.lo <= n.hi)) st = FAIL(r, QV_E_PARSE, "an empty range");
  return st == QV_OK ? emit(r, n) : st;
}

static qv_status do_unary(reader *r) {
  const char *op = r->op->op_type;
  qv_fnode n = {.n_in = 1};
  qv_status st = input_tensor(r, 0, &n.in[0]);
  if (st != QV_OK) return st;
  if (strcmp(op, "LeakyRelu") == 0) n.op = QF_LEAKY, n.alpha = attr_f(r, "alpha", 0.01f);
  else if (strcmp(op, "Sigmoid") == 0) n.op = QF_SIGMOID;
  else if (strcmp(op, "Tanh") == 0) n.op = QF_TANH;
  else {
    uint32_t rank = r->g->tensor[n.in[0]].rank;
    int64_t axis = attr_i(r, "axis", r->m.opset >= 13 ? -1 : 1);
    n.op = QF_SOFTMAX;
    if (axis < 0) axis += rank;
    if (axis != (int64_t)rank - 1) return FAIL(r, QV_E_UNSUP, "only along the last dimension");
  }
  return emit(r, n);
}

static qv_status do_pool(reader *r) {
  qv_fnode n = {.op = strcmp(r->op->op_type, "MaxPool") == 0 ? QF_MAXPOOL : QF_AVGPOOL, .n_in = 1, .groups = 1};
  qv_status st = input_tensor(r, 0, &n.in[0]);
  n.count_pad = attr_i(r, "count_include_pad", 0) != 0;
  if (st == QV_OK) st = window(r, &n, NULL);
  return st == QV_OK ? emit(r, n) : st;
}

static qv_status do_mean(reader *r) {
  qv_fnode n = {.op = QF_MEAN, .n_in = 1}, flat = {.op = QF_RESHAPE, .n_in = 1, .axis = 2};
  bool keep = true;
  qv_status st = input_tensor(r, 0, &n.in[0]);
  if (st != QV_OK) return st;
  if (strcmp(r->op->op_type, "ReduceMean") == 0) {
    int64_t axes[8] = {0};
    uint32_t k = 0;
    const Onnx__AttributeProto *a = attr(r, "axes");
    if (operand(r, 1) != NULL && (st = integers(r, 1, axes, 8, &k)) != QV_OK) return st;
    for (; a != NULL && k < a->n_ints && k < 8; k++) axes[k] = a->ints[k];
    for (uint32_t i = 0; i < k; i++) axes[i] += axes[i] < 0 ? 4 : 0;
    if (r->g->tensor[n.in[0]].rank != 4 || k != 2 || axes[0] + axes[1] != 5 || axes[0] * axes[1] != 6)
      return FAIL(r, QV_E_UNSUP, "only the mean over both spatial dimensions of an image");
    keep = attr_i(r, "keepdims", 1) != 0;
  }
  if (keep) return emit(r, n);
  if ((flat.in[0] = part(r, n, "/mean")) == QV_NONE) return r->err->code;
  flat.perm[0] = r->g->tensor[flat.in[0]].dim[0], flat.perm[1] = r->g->tensor[flat.in[0]].dim[1];
  return emit(r, flat);
}

static qv_status do_concat(reader *r) {
  qv_fnode n = {.op = QF_CONCAT, .n_in = (uint32_t)r->op->n_input};
  qv_status st = QV_OK;
  if (r->op->n_input == 0 || r->op->n_input > QF_MAX_IN) return FAIL(r, QV_E_LIMIT, "%zu operands", r->op->n_input);
  for (uint32_t k = 0; st == QV_OK && k < n.n_in; k++) st = input_tensor(r, k, &n.in[k]);
  if (st != QV_OK) return st;
  int64_t axis = attr_i(r, "axis", 1), rank = r->g->tensor[n.in[0]].rank;
  axis += axis < 0 ? rank : 0;
  if (axis < 1 || axis >= rank) return FAIL(r, QV_E_UNSUP, "axis %lld", (long long)axis);
  n.axis = (uint32_t)axis;
  return emit(r, n);
}

static qv_status emit_shape(reader *r, uint32_t x, const int64_t *dim, uint32_t rank) {
  qv_fnode n = {.op = QF_RESHAPE, .n_in = 1, .axis = rank};
  const qv_ftensor *t = &r->g->tensor[x];
  size_t known = 1, all = qv_felems(t);
  uint32_t free_dim = QV_NONE;
  n.in[0] = x;
  for (uint32_t d = 0; d < rank; d++) {
    int64_t v = dim[d] == 0 && d < t->rank ? t->dim[d] : dim[d];
    if (v == -1 && free_dim == QV_NONE) free_dim = d, v = 1;
    if (v < 1 || v > UINT32_MAX) return FAIL(r, QV_E_UNSUP, "a dimension of %lld", (long long)v);
    n.perm[d] = (uint32_t)v;
    known *= (size_t)v;
    if (known > QV_MAX_ELEMS) return FAIL(r, QV_E_LIMIT, "too many elements");
  }
  if (free_dim != QV_NONE && known > 0) n.perm[free_dim] = (uint32_t)(all / known);
  return emit(r, n);
}

static qv_status do_reshape(reader *r) {
  int64_t dim[QV_MAX_RANK];
  uint32_t x, n, k = 0;
  qv_status st = input_tensor(r, 0, &x);
  if (st != QV_OK) return st;
  const qv_ftensor *t = &r->g->tensor[x];
  const char *op = r->op->op_type;
  if (strcmp(op, "Reshape") == 0) {
    st = integers(r, 1, dim, QV_MAX_RANK, &n);
    return st == QV_OK ? emit_shape(r, x, dim, n) : st;
  }
  if (strcmp(op, "Flatten") == 0) {
    int64_t axis = attr_i(r, "axis", 1);
    axis += axis < 0 ? (int64_t)t->rank : 0;
    if (axis < 0 || axis > (int64_t)t->rank) return FAIL(r, QV_E_PARSE, "axis %lld", (long long)axis);
    dim[0] = dim[1] = 1;
    for (uint32_t d = 0; d < t->rank; d++) dim[d < axis ? 0 : 1] *= t->dim[d];
    return emit_shape(r, x, dim, 2);
  }
  int64_t axes[QV_MAX_RANK] = {0};
  const Onnx__AttributeProto *a = attr(r, "axes");
  if (operand(r, 1) != NULL && (st = integers(r, 1, axes, QV_MAX_RANK, &k)) != QV_OK) return st;
  for (; a != NULL && k < a->n_ints && k < QV_MAX_RANK; k++) axes[k] = a->ints[k];
  bool squeeze = strcmp(op, "Squeeze") == 0;
  uint32_t rank = squeeze ? t->rank : t->rank + k, drop = 0, at = 0;
  if (rank > QV_MAX_RANK) return FAIL(r, QV_E_LIMIT, "more than 8 dimensions");
  for (uint32_t i = 0; i < k; i++) {
    axes[i] += axes[i] < 0 ? (int64_t)rank : 0;
    if (axes[i] < 0 || axes[i] >= (int64_t)rank) return FAIL(r, QV_E_PARSE, "axis %lld", (long long)axes[i]);
    drop |= 1u << axes[i];
  }
  for (uint32_t d = 0, s = 0; d < rank; d++) {
    bool named = k == 0 ? squeeze && t->dim[d] == 1 : (drop >> d & 1) != 0;
    if (squeeze && !named) dim[at++] = t->dim[d];
    if (squeeze && named && t->dim[d] != 1) return FAIL(r, QV_E_PARSE, "dimension %u is not 1", d);
    if (!squeeze) dim[at++] = named ? 1 : s < t->rank ? t->dim[s++] : 1;
  }
  return emit_shape(r, x, dim, at);
}

static qv_status do_transpose(reader *r) {
  qv_fnode n = {.op = QF_TRANSPOSE, .n_in = 1};
  qv_status st = input_tensor(r, 0, &n.in[0]);
  if (st != QV_OK) return st;
  uint32_t rank = r->g->tensor[n.in[0]].rank;
  const Onnx__AttributeProto *a = attr(r, "perm");
  if (a == NULL)
    for (uint32_t d = 0; d < rank; d++) n.perm[d] = rank - 1 - d;
  else if (!attr_list(r, "perm", n.perm, rank, 0)) return FAIL(r, QV_E_PARSE, "perm");
  return emit(r, n);
}

static qv_status do_pad(reader *r) {
  qv_fnode n = {.op = QF_PAD, .n_in = 1};
  int64_t p[2 * QV_MAX_RANK];
  uint32_t k = 0;
  const onx_const *c;
  qv_status st = input_tensor(r, 0, &n.in[0]);
  const Onnx__AttributeProto *a = attr(r, "pads"), *mode = attr(r, "mode");
  if (st != QV_OK) return st;
  if (a == NULL && (st = integers(r, 1, p, 2 * QV_MAX_RANK, &k)) != QV_OK) return st;
  for (; a != NULL && k < a->n_ints && k < 2 * QV_MAX_RANK; k++) p[k] = a->ints[k];
  if (mode != NULL && (mode->s.len != 8 || memcmp(mode->s.data, "constant", 8) != 0)) return FAIL(r, QV_E_UNSUP, "only constant padding");
  if (operand(r, 2) != NULL && ((st = floats(r, 2, &c)) != QV_OK || c->n != 1 || c->f[0] != 0))
    return st != QV_OK ? st : FAIL(r, QV_E_UNSUP, "only zeros as padding");
  if (attr_f(r, "value", 0) != 0) return FAIL(r, QV_E_UNSUP, "only zeros as padding");
  if (k != 2 * r->g->tensor[n.in[0]].rank) return FAIL(r, QV_E_PARSE, "%u pads", k);
  for (uint32_t d = 0; d < k; d++) {
    if (p[d] < 0 || p[d] > 65535) return FAIL(r, QV_E_UNSUP, "a pad of %lld", (long long)p[d]);
    n.pad[d] = (uint32_t)p[d];
  }
  return emit(r, n);
}

static qv_status do_identity(reader *r) {
  const value *v;
  qv_status st = need(r, 0, &v);
  return st == QV_OK ? bind(r, r->op->output[0], *v) : st;
}

static qv_status do_constant(reader *r) {
  const Onnx__AttributeProto *a = attr(r, "value");
  const char *why;
  onx_const *c = QV_NEW(&r->tmp, 1, onx_const);
  if (a == NULL || a->t == NULL) return FAIL(r, QV_E_UNSUP, "a constant that is no tensor");
  if (c == NULL) return FAIL(r, QV_E_NOMEM, "no memory");
  qv_status st = onx_const_read_in(c, &r->m, a->t, &r->tmp, &why);
  return st == QV_OK ? bind(r, r->op->output[0], (value){QV_NONE, c}) : FAIL(r, st, "%s", why);
}

/* Of a constant only: weights that a model stores as integers. */
static qv_status do_dequantize(reader *r) {
  const value *x, *z = operand(r, 2);
  const onx_const *s;
  qv_status st = need(r, 0, &x);
  if (st == QV_OK) st = floats(r, 1, &s);
  if (st != QV_OK) return st;
  if (x->t != QV_NONE || x->c->i == NULL) return FAIL(r, QV_E_UNSUP, "the model is quantized already (give it to qverify as it is)");
  onx_const *c = QV_NEW(&r->tmp, 1, onx_const);
  float *f = QV_NEW(&r->tmp, x->c->n, float);
  if (c == NULL || f == NULL) return FAIL(r, QV_E_NOMEM, "no memory");
  int64_t axis = attr_i(r, "axis", 1);
  axis += axis < 0 ? (int64_t)x->c->rank : 0;
  size_t inner = 1;
  if (s->n > 1 && (axis >= (int64_t)x->c->rank || x->c->dim[axis] != s->n)) return FAIL(r, QV_E_PARSE, "%zu scales", s->n);
  for (uint32_t d = s->n > 1 ? (uint32_t)axis + 1 : x->c->rank; d < x->c->rank; d++) inner *= x->c->dim[d];
  if (s->n == 0 || (z != NULL && (z->t != QV_NONE || z->c->i == NULL || z->c->n != s->n))) return FAIL(r, QV_E_PARSE, "scale and zero point");
  for (size_t e = 0; e < x->c->n; e++) {
    size_t k = s->n > 1 ? e / inner % s->n : 0;
    f[e] = s->f[k] * (float)(x->c->i[e] - (z != NULL ? z->c->i[k] : 0));
  }
  *c = *x->c;
  c->i = NULL;
  c->f = f;
  c->type = ONX_FLOAT;
  return bind(r, r->op->output[0], (value){QV_NONE, c});
}

static const struct {
  const char *op;
  qv_status (*run)(reader *r);
} OPS[] = {{"Add", do_binary}, {"AveragePool", do_pool}, {"BatchNormalization", do_batchnorm}, {"Clip", do_clip}, {"Concat", do_concat},
           {"Constant", do_constant}, {"Conv", do_conv}, {"DequantizeLinear", do_dequantize}, {"Div", do_binary}, {"Dropout", do_identity},
           {"Flatten", do_reshape}, {"Gemm", do_gemm}, {"GlobalAveragePool", do_mean}, {"Identity", do_identity}, {"LeakyRelu", do_unary},
           {"MatMul", do_matmul}, {"MaxPool", do_pool}, {"Mul", do_binary}, {"Pad", do_pad}, {"ReduceMean", do_mean}, {"Relu", do_clip},
           {"Reshape", do_reshape}, {"Sigmoid", do_unary}, {"Softmax", do_unary}, {"Squeeze", do_reshape}, {"Sub", do_binary},
           {"Tanh", do_unary}, {"Transpose", do_transpose}, {"Unsqueeze", do_reshape}};

static qv_status one_node(reader *r) {
  if (r->op->n_output == 0) return FAIL(r, QV_E_PARSE, "no result");
  if (r->op->domain == NULL || r->op->domain[0] == 0)
    for (size_t i = 0; i < sizeof OPS / sizeof *OPS; i++)
      if (strcmp(OPS[i].op, r->op->op_type) == 0) return OPS[i].run(r);
  return FAIL(r, QV_E_UNSUP, "this operator is not known to the quantizer");
}

static qv_status read_input(reader *r) {
  const Onnx__ValueInfoProto *in = NULL;
  uint32_t dim[QV_MAX_RANK], n = 0;
  for (size_t i = 0; i < r->m.graph->n_input; i++)
    if (r->m.graph->input[i]->name != NULL && qv_names_get(&r->names, r->m.graph->input[i]->name) == UINT32_MAX) in = r->m.graph->input[i], n++;
  if (n != 1 || r->m.graph->n_output != 1) return QV_FAIL(r->err, QV_E_UNSUP, "a network with %u inputs and %zu outputs: the quantizer takes one of each", n, r->m.graph->n_output);
  const Onnx__TypeProto__Tensor *t = in->type != NULL && in->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? in->type->tensor_type : NULL;
  if (t == NULL || t->elem_type != ONX_FLOAT || t->shape == NULL) return QV_FAIL(r->err, QV_E_UNSUP, "input \"%s\" is not a float tensor of known rank", in->name);
  uint32_t rank = (uint32_t)t->shape->n_dim;
  if (t->shape->n_dim == 0 || t->shape->n_dim > QV_MAX_RANK) return QV_FAIL(r->err, QV_E_UNSUP, "input \"%s\" has %zu dimensions", in->name, t->shape->n_dim);
  for (uint32_t d = 0; d < rank; d++) {
    const Onnx__TensorShapeProto__Dimension *x = t->shape->dim[d];
    bool known = x->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE && x->dim_value > 0;
    if (!known && d > 0) return QV_FAIL(r->err, QV_E_UNSUP, "input \"%s\": dimension %u is not fixed", in->name, d);
    if (known && x->dim_value > UINT32_MAX) return QV_FAIL(r->err, QV_E_LIMIT, "input \"%s\" is too large", in->name);
    dim[d] = known ? (uint32_t)x->dim_value : 1;
  }
  uint32_t number = qv_fgraph_tensor(r->g, in->name, rank, dim, NULL);
  if (number == QV_NONE) return QV_FAIL(r->err, QV_E_NOMEM, "float network");
  r->g->in = number;
  return bind(r, in->name, (value){number, NULL});
}

static qv_status read_all(reader *r) {
  for (size_t i = 0; i < r->m.graph->n_initializer; i++) {
    const Onnx__TensorProto *t = r->m.graph->initializer[i];
    const char *why;
    onx_const *c = QV_NEW(&r->tmp, 1, onx_const);
    if (c == NULL) return QV_FAIL(r->err, QV_E_NOMEM, "float network");
    if (t->name == NULL) return QV_FAIL(r->err, QV_E_PARSE, "constant %zu has no name", i);
    qv_status st = onx_const_read_in(c, &r->m, t, &r->tmp, &why);
    if (st != QV_OK) return QV_FAIL(r->err, st, "constant \"%s\": %s", t->name, why);
    if ((st = bind(r, t->name, (value){QV_NONE, c})) != QV_OK) return st;
  }
  qv_status st = read_input(r);
  for (size_t k = 0; st == QV_OK && k < r->m.graph->n_node; k++) {
    r->op = r->m.graph->node[k];
    st = r->op->op_type != NULL ? one_node(r) : QV_FAIL(r->err, QV_E_PARSE, "node %zu has no operator", k);
  }
  if (st != QV_OK) return st;
  const char *last = r->m.graph->output[0]->name;
  uint32_t out = last != NULL ? qv_names_get(&r->names, last) : QV_NONE;
  if (out == QV_NONE || r->val[out].t == QV_NONE) return QV_FAIL(r->err, QV_E_PARSE, "output \"%s\" is not computed", last != NULL ? last : "");
  r->g->out = r->val[out].t;
  return QV_OK;
}

qv_status qv_fgraph_onnx(qv_fgraph *g, const void *data, size_t n, const char *name, const char *dir, qv_err *err) {
  reader r = {.g = g, .err = err};
  qv_status st = onx_model_read(&r.m, data, n, (size_t)1 << 32, name, err);
  r.m.dir = dir;
  if (st == QV_OK) st = read_all(&r);
  onx_model_clear(&r.m);
  qv_arena_clear(&r.tmp);
  free(r.val);
  return st;
}
