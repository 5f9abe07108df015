#include "ir/property.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const qv_tensor *input(const qv_net *net, uint32_t i) { return &net->tensor[net->in[i].tensor]; }

qv_status qv_property_whole(qv_property *p, const qv_net *net, int acc_bits, qv_err *err) {
  *p = (qv_property){.acc_bits = acc_bits, .n_in = net->n_in};
  p->in = QV_NEW(&p->arena, net->n_in, qv_prop_input);
  return p->in != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "property of %u inputs", net->n_in);
}

bool qv_property_is_default(const qv_property *p) {
  for (uint32_t i = 0; i < p->n_in; i++)
    if (p->in[i].n != 0) return false;
  return p->acc_bits == 0;
}

qv_itv qv_property_hull(const qv_property *p, uint32_t i, const qv_tensor *t) {
  const qv_prop_input *in = &p->in[i];
  qv_itv v = in->n == 0 ? (qv_itv){t->lo, t->hi} : in->itv[0];
  for (size_t e = 1; e < in->n; e++) v = qv_itv_hull(v, in->itv[e]);
  return v;
}

void qv_property_clear(qv_property *p) { qv_arena_clear(&p->arena); }

qv_status qv_property_write(qv_buf *out, const qv_property *p, qv_err *err) {
  qv_buf_str(out, "qvp 1\nclaim overflow\nacc-bits ");
  qv_buf_i64(out, p->acc_bits);
  for (uint32_t i = 0; i < p->n_in; i++) {
    const qv_prop_input *in = &p->in[i];
    qv_buf_printf(out, "\ninput %u ", i);
    if (in->n == 0) qv_buf_str(out, "all");
    else if (in->n == 1) qv_buf_str(out, "range");
    else qv_buf_printf(out, "elements %zu", in->n);
    for (size_t e = 0; e < in->n; e++) {
      qv_buf_str(out, in->n == 1 ? " " : "\n");
      qv_buf_i64(out, in->itv[e].lo);
      qv_buf_str(out, " ");
      qv_buf_i64(out, in->itv[e].hi);
    }
  }
  qv_buf_str(out, "\nend\n");
  return out->failed ? QV_FAIL(err, QV_E_NOMEM, "property text") : QV_OK;
}

/* ---- reading ---------------------------------------------------------------------------------------------------------- */

typedef struct {
  const char *p, *end;
  int64_t line;
  qv_err *err;
} reader;

#define BAD(r, ...) bad((r), QV_FAIL((r)->err, QV_E_PARSE, __VA_ARGS__))

static qv_status bad(reader *r, qv_status st) {
  if (r->err != NULL && r->err->line == 0) r->err->line = r->line;
  return st;
}

/* Consume the literal, if it is next. */
static bool eat(reader *r, const char *s) {
  size_t n = strlen(s);
  if ((size_t)(r->end - r->p) < n || memcmp(r->p, s, n) != 0) return false;
  for (size_t i = 0; i < n; i++) r->line += s[i] == '\n';
  r->p += n;
  return true;
}

/* Canonical decimal: -?(0|[1-9][0-9]*), not -0. */
static bool number(reader *r, int64_t *v) {
  const char *p = r->p;
  bool neg = p < r->end && *p == '-';
  p += neg;
  if (p == r->end || !isdigit((unsigned char)*p) || (*p == '0' && (neg || (p + 1 < r->end && isdigit((unsigned char)p[1]))))) return false;
  qv_i128 x = 0;
  for (; p < r->end && isdigit((unsigned char)*p); p++)
    if ((x = x * 10 + (*p - '0')) > ((qv_i128)1 << 63)) return false;
  if (neg) x = -x;
  if (x > INT64_MAX) return false;
  *v = (int64_t)x;
  r->p = p;
  return true;
}

static qv_status interval(reader *r, const qv_tensor *t, qv_itv *v) {
  if (!number(r, &v->lo) || !eat(r, " ") || !number(r, &v->hi)) return BAD(r, "expected an interval LO HI");
  if (v->lo > v->hi) return BAD(r, "empty interval [%lld,%lld]: a claim about no input at all is vacuous", (long long)v->lo, (long long)v->hi);
  if (v->lo < t->lo || v->hi > t->hi)
    return BAD(r, "[%lld,%lld] leaves the range [%lld,%lld] of input '%s'", (long long)v->lo, (long long)v->hi, (long long)t->lo,
               (long long)t->hi, t->name);
  return QV_OK;
}

static qv_status read_input(reader *r, qv_property *p, uint32_t i, const qv_tensor *t) {
  int64_t v;
  qv_status st;
  if (!eat(r, "input ") || !number(r, &v) || v != i || !eat(r, " ")) return BAD(r, "expected 'input %u ...'", i);
  qv_prop_input *in = &p->in[i];
  if (eat(r, "all\n")) return QV_OK;
  bool one = eat(r, "range ");
  if (!one && (!eat(r, "elements ") || !number(r, &v) || v < 2 || (size_t)v != qv_elems(t) || !eat(r, "\n")))
    return BAD(r, "expected 'all', 'range LO HI' or 'elements %zu'", qv_elems(t));
  in->n = one ? 1 : (size_t)v;
  if ((in->itv = QV_NEW(&p->arena, in->n, qv_itv)) == NULL) return QV_FAIL(r->err, QV_E_NOMEM, "input ranges");
  for (size_t e = 0; e < in->n; e++) {
    if ((st = interval(r, t, &in->itv[e])) != QV_OK) return st;
    if (!eat(r, "\n")) return BAD(r, "expected the end of the line");
  }
  return QV_OK;
}

qv_status qv_property_read(qv_property *p, const char *text, size_t len, const qv_net *net, qv_err *err) {
  reader r = {text, text + len, 1, err};
  int64_t bits = 0;
  qv_status st = qv_property_whole(p, net, 0, err);
  if (st != QV_OK) return st;
  if (!eat(&r, "qvp 1\n")) return BAD(&r, "not a property: the first line must be 'qvp 1'");
  if (!eat(&r, "claim overflow\n")) return BAD(&r, "expected 'claim overflow'");
  if (!eat(&r, "acc-bits ") || !number(&r, &bits) || bits < 0 || bits == 1 || bits > 64 || !eat(&r, "\n"))
    return BAD(&r, "expected 'acc-bits N' with N = 0 or 2..64");
  p->acc_bits = (int)bits;
  for (uint32_t i = 0; i < net->n_in; i++)
    if ((st = read_input(&r, p, i, input(net, i))) != QV_OK) return st;
  return eat(&r, "end\n") && r.p == r.end ? QV_OK : BAD(&r, "expected 'end' and nothing after it");
}

/* ---- the form for people ---------------------------------------------------------------------------------------------- */

static void skip(reader *r) {
  while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\r')) r->p++;
}

/* Next word of the line into w (truncated words are refused), false at the end of the line or a comment. */
static bool word(reader *r, char w[256]) {
  size_t n = 0;
  skip(r);
  while (r->p < r->end && !isspace((unsigned char)*r->p) && (n > 0 || *r->p != ';') && n < 255) w[n++] = *r->p++;
  w[n] = 0;
  return n > 0 && n < 255;
}

static bool integer(reader *r, int64_t *v) {
  char w[256], *end;
  if (!word(r, w)) return false;
  errno = 0;
  *v = strtoll(w, &end, 10);
  return *end == 0 && errno == 0;
}

static qv_status find_input(reader *r, const qv_net *net, uint32_t *i) {
  char w[256];
  if (!word(r, w)) return BAD(r, "expected an input's name or #number");
  for (*i = 0; *i < net->n_in; (*i)++) {
    const qv_port *p = &net->in[*i];
    char num[16];
    (void)snprintf(num, sizeof num, "#%u", *i);
    if (strcmp(w, num) == 0 || strcmp(w, input(net, *i)->name) == 0 || (p->name != NULL && strcmp(w, p->name) == 0)) return QV_OK;
  }
  return BAD(r, "the net has no input '%s'; its inputs are #0..#%u, the first named '%s'", w, net->n_in - 1, input(net, 0)->name);
}

/* Make room for per-element ranges that start as what `in` says now. */
static bool expand(qv_property *p, qv_prop_input *in, const qv_tensor *t) {
  size_t ne = qv_elems(t);
  if (in->n == ne && ne > 1) return true;
  qv_itv all = in->n == 1 ? in->itv[0] : (qv_itv){t->lo, t->hi};
  qv_itv *v = QV_NEW(&p->arena, ne, qv_itv);
  if (v == NULL) return false;
  for (size_t e = 0; e < ne; e++) v[e] = all;
  in->n = ne;
  in->itv = v;
  return true;
}

static qv_status domain_line(reader *r, qv_property *p, const qv_net *net) {
  char w[256];
  int64_t v = 0, at = -1;
  uint32_t i = 0;
  qv_itv itv;
  qv_status st;
  if (!word(r, w)) return QV_OK; /* empty line or comment */
  if (strcmp(w, "acc-bits") == 0) {
    if (!integer(r, &v) || v < 0 || v == 1 || v > 64) return BAD(r, "expected acc-bits 0 or 2..64");
    p->acc_bits = (int)v;
    return QV_OK;
  }
  if (strcmp(w, "input") != 0) return BAD(r, "unknown word '%s': a domain file has 'input NAME [ELEMENT] LO HI' and 'acc-bits N'", w);
  if ((st = find_input(r, net, &i)) != QV_OK) return st;
  const qv_tensor *t = input(net, i);
  skip(r);
  if (r->p < r->end && *r->p == '[') {
    if (!word(r, w) || sscanf(w, "[%ld]", &at) != 1 || at < 0 || (size_t)at >= qv_elems(t))
      return BAD(r, "element index %s of input '%s', which has %zu elements", w, t->name, qv_elems(t));
  }
  if (!integer(r, &itv.lo) || !integer(r, &itv.hi)) return BAD(r, "expected two integers LO HI");
  if (itv.lo > itv.hi) return BAD(r, "empty interval [%lld,%lld]: a claim about no input at all is vacuous", (long long)itv.lo, (long long)itv.hi);
  if (itv.lo < t->lo || itv.hi > t->hi)
    return BAD(r, "[%lld,%lld] leaves the range [%lld,%lld] of input '%s'", (long long)itv.lo, (long long)itv.hi, (long long)t->lo,
               (long long)t->hi, t->name);
  qv_prop_input *in = &p->in[i];
  if (at < 0) {
    if ((in->itv = QV_NEW(&p->arena, 1, qv_itv)) == NULL) return QV_FAIL(r->err, QV_E_NOMEM, "input ranges");
    in->n = 1;
    in->itv[0] = itv;
  } else if (expand(p, in, t)) in->itv[at] = itv;
  else return QV_FAIL(r->err, QV_E_NOMEM, "input ranges");
  return word(r, w) ? BAD(r, "unexpected word '%s'", w) : QV_OK;
}

qv_status qv_property_read_domain(qv_property *p, const char *text, size_t len, const qv_net *net, qv_err *err) {
  reader r = {text, text + len, 1, err};
  qv_status st = qv_property_whole(p, net, 0, err);
  while (st == QV_OK && r.p < r.end) {
    st = domain_line(&r, p, net);
    while (st == QV_OK && r.p < r.end && *r.p != '\n') r.p++; /* comment */
    if (r.p < r.end) r.p++;
    r.line++;
  }
  return st;
}

static int64_t load(const void *p, size_t i, qv_dtype t) {
  switch (t) {
  case QV_I8: return ((const int8_t *)p)[i];
  case QV_U8: return ((const uint8_t *)p)[i];
  case QV_I16: return ((const int16_t *)p)[i];
  case QV_U16: return ((const uint16_t *)p)[i];
  case QV_I32: return ((const int32_t *)p)[i];
  case QV_I64: return ((const int64_t *)p)[i];
  case QV_DTYPES: break;
  }
  return 0;
}

qv_status qv_property_from_samples(qv_property *p, uint32_t port, const void *samples, size_t n, const qv_net *net, qv_err *err) {
  const qv_tensor *t = input(net, port);
  size_t ne = qv_elems(t);
  qv_prop_input *in = &p->in[port];
  if (n == 0) return QV_FAIL(err, QV_E_ARG, "no calibration samples for input '%s': a claim about no input at all is vacuous", t->name);
  in->n = 0;
  if (ne == 1) {
    in->n = 1;
    if ((in->itv = QV_NEW(&p->arena, 1, qv_itv)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "input ranges");
  } else if (!expand(p, in, t)) return QV_FAIL(err, QV_E_NOMEM, "input ranges");
  for (size_t e = 0; e < ne; e++) {
    qv_itv v = {INT64_MAX, INT64_MIN};
    for (size_t k = 0; k < n; k++) {
      int64_t x = load(samples, k * ne + e, t->type);
      v = (qv_itv){qv_min64(v.lo, x), qv_max64(v.hi, x)};
    }
    in->itv[e] = v;
  }
  return QV_OK;
}
