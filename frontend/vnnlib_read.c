/* VNN-LIB text to syntax trees. Language: VNN-LIB 2.0 (https://github.com/VNNLIB/VNNLIB-Standard, chapter "Query Language"); version 1.0 as used
 * by VNN-COMP: declare-const X_i, Y_j of sort Real, then assertions. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/query.h"
#include "frontend/vnnlib_ast.h"

#define MAX_NODES ((uint32_t)1 << 22)
#define MAX_DEPTH 256

typedef struct {
  qv_vnnlib *v;
  const char *p, *end;
  int64_t line;
  qv_err *err;
  const char *t; /* current token; len 0 at the end */
  uint32_t len;
  int64_t at;    /* its line */
  uint32_t depth;
  bool *seen[2]; /* version 1: declared X_i, Y_j */
  size_t cap[2];
} parser;

#define BAD(r, ...) bad((r), QV_FAIL((r)->err, QV_E_PARSE, __VA_ARGS__))
#define REFUSE(r, ...) bad((r), QV_FAIL((r)->err, QV_E_UNSUP, __VA_ARGS__))

static qv_status bad(parser *r, qv_status st) {
  if (r->err != NULL && r->err->line == 0) r->err->line = r->at;
  return st;
}

/* ---- tokens: ( ) [ ] , "string" and words ------------------------------------------------------------------------------------- */

static void next(parser *r) {
  for (; r->p < r->end; r->p++) {
    if (*r->p == '\n') r->line++;
    else if (*r->p == ';')
      while (r->p + 1 < r->end && r->p[1] != '\n') r->p++;
    else if (!isspace((unsigned char)*r->p)) break;
  }
  r->t = r->p;
  r->at = r->line;
  if (r->p < r->end && *r->p == '"') {
    do r->p++;
    while (r->p < r->end && *r->p != '"' && *r->p != '\n');
    if (r->p < r->end && *r->p == '"') r->p++;
  } else if (r->p < r->end && strchr("()[],", *r->p) != NULL) r->p++;
  else
    while (r->p < r->end && !isspace((unsigned char)*r->p) && strchr("()[],;\"", *r->p) == NULL) r->p++;
  size_t n = (size_t)(r->p - r->t);
  r->len = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static bool is(const parser *r, const char *s) { return strlen(s) == r->len && memcmp(r->t, s, r->len) == 0; }

static bool take(parser *r, const char *s) {
  if (!is(r, s)) return false;
  next(r);
  return true;
}

static int shown(const parser *r) { return r->len < 60 ? (int)r->len : 60; }

static qv_status expect(parser *r, const char *s) {
  if (take(r, s)) return QV_OK;
  return r->len == 0 ? BAD(r, "expected '%s', found the end of the file", s) : BAD(r, "expected '%s', found '%.*s'", s, shown(r), r->t);
}

/* Letter, then letters, digits and underscores. */
static bool is_name(const parser *r) {
  if (r->len == 0 || !isalpha((unsigned char)r->t[0])) return false;
  for (uint32_t i = 1; i < r->len; i++)
    if (!isalnum((unsigned char)r->t[i]) && r->t[i] != '_') return false;
  return true;
}

static bool natural(const char *s, size_t n, uint32_t *v) {
  uint64_t x = 0;
  for (size_t i = 0; i < n; i++) {
    if (!isdigit((unsigned char)s[i]) || (x = x * 10 + (uint64_t)(s[i] - '0')) > QV_MAX_ELEMS) return false;
  }
  *v = (uint32_t)x;
  return n > 0;
}

/* ---- declarations --------------------------------------------------------------------------------------------------------------- */

/* "X_12" or "Y_3". */
static bool v1_name(const parser *r, bool *output, uint32_t *el) {
  if (r->len < 3 || (r->t[0] != 'X' && r->t[0] != 'Y') || r->t[1] != '_') return false;
  *output = r->t[0] == 'Y';
  return natural(r->t + 2, r->len - 2, el) && (r->t[2] != '0' || r->len == 3);
}

/* (declare-const X_0 Real) or (declare-fun X_0 () Real), behind the keyword. */
static qv_status v1_declare(parser *r, bool fun) {
  bool output;
  uint32_t el;
  qv_status st;
  if (!v1_name(r, &output, &el)) return BAD(r, "expected X_i or Y_j, found '%.*s'", shown(r), r->t);
  if (el >= r->cap[output]) { /* at most twice what a text of this length can declare */
    if (el > (size_t)(r->end - (const char *)r->v->text) ) return BAD(r, "'%.*s': indices start at 0 and leave none out", shown(r), r->t);
    size_t cap = 2 * (size_t)el + 64;
    bool *s = realloc(r->seen[output], cap);
    if (s == NULL) return QV_FAIL(r->err, QV_E_NOMEM, "variables");
    memset(s + r->cap[output], 0, cap - r->cap[output]);
    r->seen[output] = s;
    r->cap[output] = cap;
  }
  if (r->seen[output][el]) return BAD(r, "'%.*s' is declared twice", shown(r), r->t);
  r->seen[output][el] = true;
  r->v->n_el[output]++;
  next(r);
  if (fun && ((st = expect(r, "(")) != QV_OK || (st = expect(r, ")")) != QV_OK)) return st;
  if (!is(r, "Real")) return is(r, "") ? BAD(r, "expected Real") : REFUSE(r, "sort '%.*s': version 1.0 has Real only", shown(r), r->t);
  next(r);
  return expect(r, ")");
}

static qv_status shape(parser *r, qv_vnn_var *x) {
  qv_status st = expect(r, "[");
  if (st != QV_OK) return st;
  x->rank = 0;
  x->count = 1;
  while (!take(r, "]")) {
    uint32_t d;
    if (x->rank > 0 && (st = expect(r, ",")) != QV_OK) return st;
    if (!natural(r->t, r->len, &d)) return BAD(r, "expected a dimension, found '%.*s'", shown(r), r->t);
    if (d == 0) return BAD(r, "a dimension of size 0");
    if (x->rank == QV_MAX_RANK) return REFUSE(r, "more than %d dimensions", QV_MAX_RANK);
    x->dim[x->rank++] = d;
    if ((x->count *= d) > QV_MAX_ELEMS) return BAD(r, "a tensor of more than 2^28 elements");
    next(r);
  }
  return QV_OK;
}

/* (declare-input X int8 [1,2] ["node"]), behind the keyword. */
static qv_status declare_var(parser *r, bool output) {
  qv_vnnlib *v = r->v;
  qv_status st;
  if (v->n_var == 2 * QV_MAX_INPUTS) return QV_FAIL(r->err, QV_E_LIMIT, "more than %d variables", 2 * QV_MAX_INPUTS);
  qv_vnn_var *x = &v->var[v->n_var];
  if (!is_name(r)) return BAD(r, "expected a variable's name, found '%.*s'", shown(r), r->t);
  *x = (qv_vnn_var){.output = output, .name = qv_arena_str(&v->arena, r->t, r->len), .port = QV_NONE};
  if (x->name == NULL) return QV_FAIL(r->err, QV_E_NOMEM, "variable");
  for (uint32_t i = 0; i < v->n_var; i++) {
    if (strcmp(v->var[i].name, x->name) == 0) return BAD(r, "'%s' is declared twice", x->name);
    if (!output && v->var[i].output) return BAD(r, "input '%s' is declared behind an output", x->name);
  }
  next(r);
  if (!is_name(r)) return BAD(r, "expected the element type of '%s', found '%.*s'", x->name, shown(r), r->t);
  if ((x->type = qv_arena_str(&v->arena, r->t, r->len)) == NULL) return QV_FAIL(r->err, QV_E_NOMEM, "variable");
  next(r);
  if ((st = shape(r, x)) != QV_OK) return st;
  while (!is(r, ")")) {
    if (r->len >= 2 && r->t[0] == '"' && r->t[r->len - 1] == '"') {
      if ((x->onnx = qv_arena_str(&v->arena, r->t + 1, r->len - 2)) == NULL) return QV_FAIL(r->err, QV_E_NOMEM, "variable");
      next(r);
    } else if (take(r, "initialized")) return REFUSE(r, "'initialized' inputs");
    else return r->len == 0 ? BAD(r, "expected ')', found the end of the file") : BAD(r, "expected a node's name or ')', found '%.*s'", shown(r), r->t);
  }
  x->first = v->n_el[output];
  if ((v->n_el[output] += x->count) > QV_MAX_ELEMS) return BAD(r, "more than 2^28 elements");
  v->n_var++;
  return expect(r, ")");
}

/* (declare-network f ...), behind the keyword. */
static qv_status declare_network(parser *r) {
  qv_vnnlib *v = r->v;
  qv_status st;
  if (v->network != NULL) return REFUSE(r, "more than one network");
  if (!is_name(r)) return BAD(r, "expected the network's name, found '%.*s'", shown(r), r->t);
  if ((v->network = qv_arena_str(&v->arena, r->t, r->len)) == NULL) return QV_FAIL(r->err, QV_E_NOMEM, "network");
  next(r);
  while (!take(r, ")")) {
    if ((st = expect(r, "(")) != QV_OK) return st;
    if (take(r, "declare-input")) st = declare_var(r, false);
    else if (take(r, "declare-output")) st = declare_var(r, true);
    else if (is(r, "declare-hidden")) st = REFUSE(r, "hidden nodes (declare-hidden)");
    else if (is(r, "equal-to") || is(r, "isomorphic-to")) st = REFUSE(r, "relations between networks (%.*s)", shown(r), r->t);
    else st = BAD(r, "expected declare-input or declare-output, found '%.*s'", shown(r), r->t);
    if (st != QV_OK) return st;
  }
  if (v->n_el[0] == 0 || v->n_el[1] == 0) return BAD(r, "network '%s' needs an input and an output", v->network);
  return QV_OK;
}

/* ---- expressions ---------------------------------------------------------------------------------------------------------------- */

static uint32_t add_node(parser *r, vnn_op op) {
  qv_vnnlib *v = r->v;
  if (v->n_node == v->cap_node) {
    uint32_t cap = v->cap_node > 0 ? 2 * v->cap_node : 256;
    vnn_node *n = cap <= MAX_NODES ? realloc(v->node, cap * sizeof *n) : NULL;
    if (n == NULL) return QV_NONE;
    v->node = n;
    v->cap_node = cap;
  }
  v->node[v->n_node] = (vnn_node){.op = op, .kid = QV_NONE, .next = QV_NONE, .line = (uint32_t)r->at};
  return v->n_node++;
}

static qv_status full(parser *r) { return bad(r, QV_FAIL(r->err, QV_E_LIMIT, "more than %u expressions, or no memory for them", MAX_NODES)); }

static qv_status variable(parser *r, uint32_t *out) {
  qv_vnnlib *v = r->v;
  bool output = false;
  uint32_t el = 0;
  if (v->version == 1) {
    if (!v1_name(r, &output, &el)) return BAD(r, "expected a number, X_i or Y_j, found '%.*s'", shown(r), r->t);
    if (el >= r->cap[output] || !r->seen[output][el]) return BAD(r, "'%.*s' is not declared", shown(r), r->t);
    next(r);
  } else {
    const qv_vnn_var *x = NULL;
    for (uint32_t i = 0; i < v->n_var; i++)
      if (is(r, v->var[i].name)) x = &v->var[i];
    if (x == NULL) return BAD(r, "'%.*s' is not declared", shown(r), r->t);
    next(r);
    size_t at = 0;
    uint32_t n = 0;
    if (take(r, "["))
      while (!take(r, "]")) {
        uint32_t k;
        qv_status st;
        if (n > 0 && (st = expect(r, ",")) != QV_OK) return st;
        if (!natural(r->t, r->len, &k)) return BAD(r, "expected an index of '%s', found '%.*s'", x->name, shown(r), r->t);
        if (n == x->rank) return BAD(r, "'%s' has %u dimensions", x->name, x->rank);
        if (k >= x->dim[n]) return BAD(r, "index %u of '%s' is out of range: dimension %u has size %u", k, x->name, n, x->dim[n]);
        at = at * x->dim[n++] + k;
        next(r);
      }
    if (n != x->rank) return BAD(r, "'%s' has %u dimensions, %u indices are given", x->name, x->rank, n);
    output = x->output;
    el = (uint32_t)(x->first + at);
  }
  if ((*out = add_node(r, VNN_VAR)) == QV_NONE) return full(r);
  v->node[*out].output = output;
  v->node[*out].el = el;
  return QV_OK;
}

static qv_status leaf(parser *r, uint32_t *out) {
  char c = r->len > 0 ? r->t[0] : 0;
  if (c == 0) return BAD(r, "expected an expression, found the end of the file");
  if (!isdigit((unsigned char)c) && c != '-' && c != '+' && c != '.') return variable(r, out);
  mpq_t q;
  mpq_init(q);
  bool ok = memchr(r->t, '/', r->len) == NULL && qv_rat_parse(q, r->t, r->len);
  mpq_clear(q);
  if (!ok) return BAD(r, "'%.*s' is not a number", shown(r), r->t);
  if ((*out = add_node(r, VNN_NUM)) == QV_NONE) return full(r);
  r->v->node[*out].s = r->t;
  r->v->node[*out].len = r->len;
  next(r);
  return QV_OK;
}

typedef struct {
  const char *word;
  vnn_op op;
  uint32_t lo, hi; /* operands */
  bool arith;      /* of numbers; else of truth values */
} op_row;

static const op_row ops[] = {
    {"+", VNN_ADD, 1, UINT32_MAX, true}, {"-", VNN_SUB, 1, UINT32_MAX, true}, {"*", VNN_MUL, 1, UINT32_MAX, true}, {"<=", VNN_LE, 2, 2, true},
    {"<", VNN_LT, 2, 2, true},           {">=", VNN_GE, 2, 2, true},          {">", VNN_GT, 2, 2, true},           {"==", VNN_EQ, 2, 2, true},
    {"=", VNN_EQ, 2, 2, true},           {"!=", VNN_NE, 2, 2, true},          {"and", VNN_AND, 1, UINT32_MAX, false}, {"or", VNN_OR, 1, UINT32_MAX, false},
};

static qv_status expression(parser *r, uint32_t *out) {
  const op_row *o = NULL;
  qv_status st;
  uint32_t last = QV_NONE, n = 0;
  if (!take(r, "(")) return leaf(r, out);
  for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
    if (is(r, ops[i].word)) o = &ops[i];
  if (o == NULL)
    return is(r, "not") || is(r, "=>") || is(r, "ite") || is(r, "/") ? REFUSE(r, "operator '%.*s'", shown(r), r->t)
                                                                     : BAD(r, "unknown operator '%.*s'", shown(r), r->t);
  if (++r->depth > MAX_DEPTH) return bad(r, QV_FAIL(r->err, QV_E_LIMIT, "expressions nested more than %d deep", MAX_DEPTH));
  if ((*out = add_node(r, o->op)) == QV_NONE) return full(r);
  next(r);
  while (!take(r, ")")) {
    uint32_t k = QV_NONE;
    int64_t at = r->at;
    if ((st = expression(r, &k)) != QV_OK) return st;
    if (vnn_is_bool(r->v->node[k].op) == o->arith) {
      r->at = at;
      return BAD(r, "operand %u of '%s' is %s", n + 1, o->word, o->arith ? "a condition, not a number" : "a number, not a condition");
    }
    if (last == QV_NONE) r->v->node[*out].kid = k;
    else r->v->node[last].next = k;
    last = k;
    if (++n > o->hi) return BAD(r, "'%s' takes %u operands", o->word, o->hi);
  }
  if (n < o->lo) return BAD(r, "'%s' takes at least %u operands", o->word, o->lo);
  r->depth--;
  return QV_OK;
}

static qv_status assertion(parser *r) {
  qv_vnnlib *v = r->v;
  uint32_t root = QV_NONE;
  qv_status st = expression(r, &root);
  if (st != QV_OK) return st;
  if (!vnn_is_bool(v->node[root].op)) return BAD(r, "an assertion is a condition, not a number");
  if (v->n_assert == v->cap_assert) {
    uint32_t cap = v->cap_assert > 0 ? 2 * v->cap_assert : 64;
    uint32_t *a = realloc(v->assertion, cap * sizeof *a);
    if (a == NULL) return QV_FAIL(r->err, QV_E_NOMEM, "assertions");
    v->assertion = a;
    v->cap_assert = cap;
  }
  v->assertion[v->n_assert++] = root;
  return expect(r, ")");
}

/* ---- files ------------------------------------------------------------------------------------------------------------------------ */

/* (vnnlib-version <2.0>), behind the keyword. */
static qv_status version_line(parser *r) {
  if (!is(r, "<2.0>") && !is(r, "2.0")) return REFUSE(r, "version %.*s: this reader knows 1.0 and 2.0", shown(r), r->t);
  next(r);
  r->v->version = 2;
  return expect(r, ")");
}

static qv_status command(parser *r, bool first) {
  qv_vnnlib *v = r->v;
  qv_status st = expect(r, "(");
  if (st != QV_OK) return st;
  if (is(r, "vnnlib-version")) {
    if (!first) return BAD(r, "the version comes first, and once");
    next(r);
    return version_line(r);
  }
  if (is(r, "declare-network")) {
    if (v->n_assert > 0) return BAD(r, "a declaration behind an assertion");
    if (v->n_el[0] + v->n_el[1] > 0 && v->version == 1) return BAD(r, "declarations of version 1.0 and 2.0 in one file");
    v->version = 2;
    next(r);
    return declare_network(r);
  }
  if (is(r, "declare-const") || is(r, "declare-fun")) {
    if (v->version == 2) return BAD(r, "declarations of version 1.0 and 2.0 in one file");
    bool fun = is(r, "declare-fun");
    next(r);
    return v1_declare(r, fun);
  }
  if (take(r, "assert")) return assertion(r);
  if (v->version == 1 && (is(r, "set-logic") || is(r, "check-sat") || is(r, "get-model") || is(r, "exit"))) { /* left over from SMT-LIB: no meaning */
    while (r->len > 0 && !is(r, ")") && !is(r, "(")) next(r);
    return expect(r, ")");
  }
  return r->len == 0 ? BAD(r, "expected a command, found the end of the file") : BAD(r, "unknown command '%.*s'", shown(r), r->t);
}

/* The variables of version 1.0 as two vectors; no index may be left out. */
static qv_status v1_finish(parser *r) {
  qv_vnnlib *v = r->v;
  static const char *const name[2] = {"X", "Y"};
  for (int k = 0; k < 2; k++) {
    if (v->n_el[k] == 0) return BAD(r, "no %s_0 is declared", name[k]);
    for (size_t e = 0; e < v->n_el[k]; e++)
      if (e >= r->cap[k] || !r->seen[k][e]) return BAD(r, "%s_%zu is not declared, but a later one is", name[k], e);
    v->var[v->n_var++] = (qv_vnn_var){.name = name[k], .type = "Real", .output = k == 1, .rank = 1, .dim = {(uint32_t)v->n_el[k]}, .count = v->n_el[k], .port = QV_NONE};
  }
  return QV_OK;
}

qv_status qv_vnnlib_read(qv_vnnlib **out, const char *text, size_t len, qv_err *err) {
  qv_status st = QV_OK;
  qv_vnnlib *v = calloc(1, sizeof *v);
  parser r = {.v = v, .line = 1, .err = err};
  if (v == NULL) return QV_FAIL(err, QV_E_NOMEM, "query");
  v->version = 1;
  v->text = malloc(len + 1);
  v->var = QV_NEW(&v->arena, 2 * QV_MAX_INPUTS + 2, qv_vnn_var);
  if (v->text == NULL || v->var == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "query");
    goto done;
  }
  memcpy(v->text, text, len);
  v->text[len] = 0;
  r.p = v->text;
  r.end = v->text + len;
  if (memchr(text, 0, len) != NULL) {
    st = QV_FAIL(err, QV_E_PARSE, "not a text file");
    goto done;
  }
  next(&r);
  for (bool first = true; r.len > 0; first = false) {
    r.depth = 0;
    QV_TRY(command(&r, first));
  }
  if (v->version == 1) QV_TRY(v1_finish(&r));
  else if (v->network == NULL) {
    st = BAD(&r, "no network is declared");
    goto done;
  }
  if (v->n_assert == 0) {
    st = BAD(&r, "no assertion: nothing is asked");
    goto done;
  }
  *out = v;
  v = NULL;
done:
  free(r.seen[0]);
  free(r.seen[1]);
  qv_vnnlib_free(v);
  return st;
}

void qv_vnnlib_free(qv_vnnlib *v) {
  if (v == NULL) return;
  free(v->text);
  free(v->node);
  free(v->assertion);
  qv_arena_clear(&v->arena);
  free(v);
}

int qv_vnnlib_version(const qv_vnnlib *v) { return v->version; }
const char *qv_vnnlib_network(const qv_vnnlib *v) { return v->network != NULL ? v->network : ""; }
