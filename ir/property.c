#include "ir/property.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/prop_scan.h"

static const qv_tensor *input(const qv_net *net, uint32_t i) { return &net->tensor[net->in[i].tensor]; }

qv_status qv_property_whole(qv_property *p, const qv_net *net, int acc_bits, qv_err *err) {
  *p = (qv_property){.acc_bits = acc_bits, .n_in = net->n_in};
  p->in = QV_NEW(&p->arena, net->n_in, qv_prop_input);
  return p->in != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "property of %u inputs", net->n_in);
}

bool qv_property_is_default(const qv_property *p) {
  if (p->claim != QV_CLAIM_OVERFLOW) return false;
  for (uint32_t i = 0; i < p->n_in; i++)
    if (p->in[i].n != 0) return false;
  return p->acc_bits == 0;
}

qv_itv qv_property_hull(const qv_property *p, uint32_t i, const qv_tensor *t) {
  const qv_prop_input *in = &p->in[i];
  if (in->point != NULL) {
    size_t n = p->n_points * qv_elems(t);
    qv_itv h = {in->point[0], in->point[0]};
    for (size_t e = 1; e < n; e++) h = qv_itv_hull(h, (qv_itv){in->point[e], in->point[e]});
    return h;
  }
  qv_itv v = in->n == 0 ? (qv_itv){t->lo, t->hi} : in->itv[0];
  for (size_t e = 1; e < in->n; e++) v = qv_itv_hull(v, in->itv[e]);
  return v;
}

void qv_property_clear(qv_property *p) { qv_arena_clear(&p->arena); }

static void write_points(qv_buf *out, const int64_t *point, size_t n, size_t elems) {
  qv_buf_printf(out, "points %zu", n);
  for (size_t k = 0; k < n; k++)
    for (size_t e = 0; e < elems; e++) {
      qv_buf_str(out, e == 0 ? "\n" : " ");
      qv_buf_i64(out, point[k * elems + e]);
    }
}

qv_status qv_property_write(qv_buf *out, const qv_property *p, qv_err *err) {
  bool robust = p->claim == QV_CLAIM_ROBUST;
  qv_buf_printf(out, "qvp 1\nclaim %s", robust ? "robust" : "overflow");
  if (!robust) qv_buf_printf(out, "\nacc-bits %d", p->acc_bits);
  for (uint32_t i = 0; i < p->n_in; i++) {
    const qv_prop_input *in = &p->in[i];
    qv_buf_printf(out, "\ninput %u ", i);
    if (p->n_points > 0) {
      write_points(out, in->point, p->n_points, in->n);
      continue;
    }
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
  qv_buf_str(out, "\n");
  if (robust) qv_condition_write(out, &p->cond);
  qv_buf_str(out, "end\n");
  return out->failed ? QV_FAIL(err, QV_E_NOMEM, "property text") : QV_OK;
}

/* ---- reading ---------------------------------------------------------------------------------------------------------- */

static qv_status interval(qv_scan *r, const qv_tensor *t, qv_itv *v) {
  if (!qv_scan_int(r, &v->lo) || !qv_scan_eat(r, " ") || !qv_scan_int(r, &v->hi)) return QV_SCAN_BAD(r, "expected an interval LO HI");
  if (v->lo > v->hi) return QV_SCAN_BAD(r, "empty interval [%lld,%lld]: a claim about no input at all is vacuous", (long long)v->lo, (long long)v->hi);
  if (v->lo < t->lo || v->hi > t->hi)
    return QV_SCAN_BAD(r, "[%lld,%lld] leaves the range [%lld,%lld] of input '%s'", (long long)v->lo, (long long)v->hi, (long long)t->lo,
               (long long)t->hi, t->name);
  return QV_OK;
}

/* `points P` has been seen up to P. All inputs have the same P, or none has any. */
static qv_status read_points(qv_scan *r, qv_property *p, uint32_t i, const qv_tensor *t) {
  int64_t n;
  size_t ne = qv_elems(t);
  qv_prop_input *in = &p->in[i];
  if (!qv_scan_in(r, &n, 1, QV_MAX_POINTS)) return QV_SCAN_BAD(r, "expected 'points P' with 1 <= P <= 2^24");
  if (i > 0 && (size_t)n != p->n_points) return QV_SCAN_BAD(r, "input %u has %lld points, the first one %zu", i, (long long)n, p->n_points);
  if (!qv_scan_room(r, (uint64_t)n * 2, ne)) return QV_SCAN_BAD(r, "expected %lld points of %zu elements", (long long)n, ne);
  p->n_points = (size_t)n;
  in->n = ne;
  if ((in->point = QV_NEW(&p->arena, (size_t)n * ne, int64_t)) == NULL) return QV_FAIL(r->err, QV_E_NOMEM, "points");
  if (!qv_scan_eat(r, "\n")) return QV_SCAN_BAD(r, "expected the end of the line");
  for (size_t k = 0; k < (size_t)n * ne; k++) {
    if (k % ne != 0 && !qv_scan_eat(r, " ")) return QV_SCAN_BAD(r, "expected %zu elements", ne);
    if (!qv_scan_in(r, &in->point[k], t->lo, t->hi))
      return QV_SCAN_BAD(r, "element %zu is not an integer in [%lld,%lld]", k % ne, (long long)t->lo, (long long)t->hi);
    if (k % ne == ne - 1 && !qv_scan_eat(r, "\n")) return QV_SCAN_BAD(r, "expected the end of the line");
  }
  return QV_OK;
}

static qv_status read_input(qv_scan *r, qv_property *p, uint32_t i, const qv_tensor *t) {
  int64_t v;
  qv_status st;
  if (!qv_scan_eat(r, "input ") || !qv_scan_int(r, &v) || v != i || !qv_scan_eat(r, " ")) return QV_SCAN_BAD(r, "expected 'input %u ...'", i);
  qv_prop_input *in = &p->in[i];
  if (p->claim == QV_CLAIM_ROBUST && (i == 0 || p->n_points > 0) && qv_scan_eat(r, "points ")) return read_points(r, p, i, t);
  if (p->n_points > 0) return QV_SCAN_BAD(r, "expected 'points %zu': input 0 has points", p->n_points);
  if (qv_scan_eat(r, "all\n")) return QV_OK;
  bool one = qv_scan_eat(r, "range ");
  if (!one && (!qv_scan_eat(r, "elements ") || !qv_scan_int(r, &v) || v < 2 || (size_t)v != qv_elems(t) || !qv_scan_eat(r, "\n")))
    return QV_SCAN_BAD(r, "expected 'all', 'range LO HI' or 'elements %zu'", qv_elems(t));
  in->n = one ? 1 : (size_t)v;
  if ((in->itv = QV_NEW(&p->arena, in->n, qv_itv)) == NULL) return QV_FAIL(r->err, QV_E_NOMEM, "input ranges");
  for (size_t e = 0; e < in->n; e++) {
    if ((st = interval(r, t, &in->itv[e])) != QV_OK) return st;
    if (!qv_scan_eat(r, "\n")) return QV_SCAN_BAD(r, "expected the end of the line");
  }
  return QV_OK;
}

qv_status qv_property_read(qv_property *p, const char *text, size_t len, const qv_net *net, qv_err *err) {
  qv_scan r = {text, text + len, 1, err};
  int64_t bits = 0;
  qv_status st = qv_property_whole(p, net, 0, err);
  if (st != QV_OK) return st;
  if (!qv_scan_eat(&r, "qvp 1\n")) return QV_SCAN_BAD(&r, "not a property: the first line must be 'qvp 1'");
  if (qv_scan_eat(&r, "claim robust\n")) p->claim = QV_CLAIM_ROBUST;
  else if (!qv_scan_eat(&r, "claim overflow\n")) return QV_SCAN_BAD(&r, "expected 'claim overflow' or 'claim robust'");
  else if (!qv_scan_eat(&r, "acc-bits ") || !qv_scan_int(&r, &bits) || bits < 0 || bits == 1 || bits > 64 || !qv_scan_eat(&r, "\n"))
    return QV_SCAN_BAD(&r, "expected 'acc-bits N' with N = 0 or 2..64");
  p->acc_bits = (int)bits;
  for (uint32_t i = 0; i < net->n_in; i++)
    if ((st = read_input(&r, p, i, input(net, i))) != QV_OK) return st;
  if (p->claim == QV_CLAIM_ROBUST && (st = qv_scan_condition(&p->cond, &r, &p->arena, net)) != QV_OK) return st;
  return qv_scan_eat(&r, "end\n") && r.p == r.end ? QV_OK : QV_SCAN_BAD(&r, "expected 'end' and nothing after it");
}

/* ---- the form for people ---------------------------------------------------------------------------------------------- */

static void skip(qv_scan *r) {
  while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\r')) r->p++;
}

/* Next word of the line into w (truncated words are refused), false at the end of the line or a comment. */
static bool word(qv_scan *r, char w[256]) {
  size_t n = 0;
  skip(r);
  while (r->p < r->end && !isspace((unsigned char)*r->p) && (n > 0 || *r->p != ';') && n < 255) w[n++] = *r->p++;
  w[n] = 0;
  return n > 0 && n < 255;
}

static bool integer(qv_scan *r, int64_t *v) {
  char w[256], *end;
  if (!word(r, w)) return false;
  errno = 0;
  *v = strtoll(w, &end, 10);
  return *end == 0 && errno == 0;
}

static qv_status find_input(qv_scan *r, const qv_net *net, uint32_t *i) {
  char w[256];
  if (!word(r, w)) return QV_SCAN_BAD(r, "expected an input's name or #number");
  for (*i = 0; *i < net->n_in; (*i)++) {
    const qv_port *p = &net->in[*i];
    char num[16];
    (void)snprintf(num, sizeof num, "#%u", *i);
    if (strcmp(w, num) == 0 || strcmp(w, input(net, *i)->name) == 0 || (p->name != NULL && strcmp(w, p->name) == 0)) return QV_OK;
  }
  return QV_SCAN_BAD(r, "the net has no input '%s'; its inputs are #0..#%u, the first named '%s'", w, net->n_in - 1, input(net, 0)->name);
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

static qv_status domain_line(qv_scan *r, qv_property *p, const qv_net *net) {
  char w[256];
  int64_t v = 0, at = -1;
  uint32_t i = 0;
  qv_itv itv;
  qv_status st;
  if (!word(r, w)) return QV_OK; /* empty line or comment */
  if (strcmp(w, "acc-bits") == 0) {
    if (!integer(r, &v) || v < 0 || v == 1 || v > 64) return QV_SCAN_BAD(r, "expected acc-bits 0 or 2..64");
    p->acc_bits = (int)v;
    return QV_OK;
  }
  if (strcmp(w, "input") != 0) return QV_SCAN_BAD(r, "unknown word '%s': a domain file has 'input NAME [ELEMENT] LO HI' and 'acc-bits N'", w);
  if ((st = find_input(r, net, &i)) != QV_OK) return st;
  const qv_tensor *t = input(net, i);
  skip(r);
  if (r->p < r->end && *r->p == '[') {
    if (!word(r, w) || sscanf(w, "[%ld]", &at) != 1 || at < 0 || (size_t)at >= qv_elems(t))
      return QV_SCAN_BAD(r, "element index %s of input '%s', which has %zu elements", w, t->name, qv_elems(t));
  }
  if (!integer(r, &itv.lo) || !integer(r, &itv.hi)) return QV_SCAN_BAD(r, "expected two integers LO HI");
  if (itv.lo > itv.hi) return QV_SCAN_BAD(r, "empty interval [%lld,%lld]: a claim about no input at all is vacuous", (long long)itv.lo, (long long)itv.hi);
  if (itv.lo < t->lo || itv.hi > t->hi)
    return QV_SCAN_BAD(r, "[%lld,%lld] leaves the range [%lld,%lld] of input '%s'", (long long)itv.lo, (long long)itv.hi, (long long)t->lo,
               (long long)t->hi, t->name);
  qv_prop_input *in = &p->in[i];
  if (at < 0) {
    if ((in->itv = QV_NEW(&p->arena, 1, qv_itv)) == NULL) return QV_FAIL(r->err, QV_E_NOMEM, "input ranges");
    in->n = 1;
    in->itv[0] = itv;
  } else if (expand(p, in, t)) in->itv[at] = itv;
  else return QV_FAIL(r->err, QV_E_NOMEM, "input ranges");
  return word(r, w) ? QV_SCAN_BAD(r, "unexpected word '%s'", w) : QV_OK;
}

qv_status qv_property_read_domain(qv_property *p, const char *text, size_t len, const qv_net *net, qv_err *err) {
  qv_scan r = {text, text + len, 1, err};
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
