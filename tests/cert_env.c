#include "tests/cert_env.h"

#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/overflow.h"
#include "kernels/step.h"
#include "tests/range_oracle.h"

/* ---- the checker ---------------------------------------------------------------------------------------------------- */

ce_answer ce_check(const qv_buf *qir, const qv_buf *property, const qv_buf *cert) {
  ce_answer a = {.result = CE_BROKEN};
  const qv_buf *file[3] = {qir, property->n > 0 ? property : NULL, cert};
  int code = cr_run(NULL, file, 3, a.text);
  bool yes = strcmp(a.text, "c verdict verified\ns CHECKED\n") == 0;
  bool open = strcmp(a.text, "c verdict unknown\ns CHECKED\n") == 0 || strcmp(a.text, "c verdict falsified\ns CHECKED\n") == 0;
  if (code == 0 && (yes || open)) a.result = CE_CHECKED, a.verified = yes;
  if (code == 1 && strstr(a.text, "s REJECTED\n") != NULL && strstr(a.text, "s CHECKED") == NULL) a.result = CE_REJECTED;
  if (code == 2 && strstr(a.text, "s CHECKED") == NULL) a.result = CE_UNUSABLE;
  return a;
}

const char *ce_result_name(ce_result r) {
  switch (r) {
  case CE_CHECKED: return "checked";
  case CE_REJECTED: return "rejected";
  case CE_UNUSABLE: return "unusable";
  case CE_BROKEN: return "broken";
  }
  return "?";
}

/* ---- truth by enumeration ------------------------------------------------------------------------------------------- */

typedef struct {
  const qv_net *net;
  const qv_property *p;
  ce_truth *t;
  qv_values vals;
  qv_itv **point; /* values as intervals, for tests/range_oracle.h */
  bool *known;    /* [n_tensors] has a value in this execution */
} world;

static qv_itv domain(const world *w, uint32_t i, size_t e) {
  const qv_tensor *t = &w->net->tensor[w->net->in[i].tensor];
  if (w->p == NULL || w->p->in[i].n == 0) return (qv_itv){t->lo, t->hi};
  return w->p->in[i].itv[w->p->in[i].n == 1 ? 0 : e];
}

static bool fits(qv_itv v, int bits) { return v.lo >= qv_smin(bits) && v.hi <= qv_smax(bits); }

/* Does the machine at `bits` bits keep every step inside its width (docs/semantics.md section 5, for one input)? */
static bool stays(const qv_acc *a, int bits, const oracle_bound *b) {
  switch (a->mode) {
  case QV_ACC_EXACT: return bits == 0 || fits(b->final, bits);
  case QV_ACC_WRAP: return fits(b->final, bits);
  case QV_ACC_SAT:
  case QV_ACC_TRAP: return fits(a->order == QV_ORDER_ANY ? b->any : b->prefix, bits);
  case QV_ACC_PAIR16: return fits(b->stage, 16) && fits(b->final, bits);
  case QV_ACC_LANES: return fits(b->stage, a->lane_bits) && fits(b->final, bits);
  case QV_ACC_PAIRLANES: return fits(b->stage, 16) && fits(b->final, bits);
  }
  return false;
}

/* Result of the machine at `bits` bits equals the exact sum, in the stored order. */
static bool equal(const qv_acc *own, int bits, const oracle_terms *o, const oracle_bound *b) {
  static int64_t x[ORACLE_TERMS], w[ORACLE_TERMS];
  static bool inside[ORACLE_TERMS];
  qv_acc a = *own;
  int64_t y = 0, bias = o->b;
  a.bits = (uint8_t)bits;
  if (a.mode == QV_ACC_EXACT && bits > 0) a.mode = QV_ACC_WRAP;
  for (size_t i = 0; i < o->k; i++) x[i] = a.raw ? o->byte[i].lo : o->t[i].lo, w[i] = 1, inside[i] = true;
  if (a.raw) { /* the corrections, all of them, as part of the bias: they are added after every stage */
    int64_t sum = 0;
    for (size_t i = 0; i < o->k; i++) sum += o->t[i].lo - o->byte[i].lo;
    bias += sum;
    a.raw = false;
  }
  return qv_acc_run(&y, &a, o->k, x, w, inside, 0, 0, bias) && y == b->final.lo;
}

static void look_at_acc(world *w, uint32_t k) {
  static oracle_terms o;
  static oracle_bound b;
  const qv_node *n = &w->net->node[k];
  int asked = w->p != NULL ? w->p->acc_bits : 0;
  for (size_t e = 0; e < qv_elems(&w->net->tensor[n->out]); e++) {
    oracle_load(&o, w->net, n, e, w->point);
    oracle_run(&b, &o);
    int own = o.acc->mode == QV_ACC_EXACT ? 0 : o.acc->bits, bits = asked != 0 ? asked : own;
    bool good = equal(o.acc, bits, &o, &b);
    if (!good) w->t->wrong[k] = true;
    if (!good || !stays(o.acc, bits, &b)) w->t->overflows[k] = true;
    if (!equal(o.acc, own, &o, &b)) w->t->own_wrong[k] = true;
  }
}

/* docs/certificate.md section 5, at one value. */
static bool obliged(const qv_step *s, size_t e, int64_t x) {
  const qv_rq_par *p = &s->par[qv_step_channel(s, e)];
  qv_i128 v = qv_scale2((qv_i128)x - s->in_zp, (int)s->lshift), lo = INT32_MIN, hi = INT32_MAX;
  bool ok = p->fn == QV_RQ_64 ? v >= -qv_scale2(1, 47) && v < qv_scale2(1, 47) : v >= lo && v <= hi;
  if ((p->fn == QV_RQ_D || p->fn == QV_RQ_U) && p->sh > 0) ok = ok && qv_scale2(v, p->sh) >= lo && qv_scale2(v, p->sh) <= hi;
  if (p->fn == QV_RQ_T || p->fn == QV_RQ_TD) ok = ok && v >= -qv_scale2(1, p->sh - 1) && v < qv_scale2(1, p->sh - 1);
  if (p->fn == QV_RQ_F32 || p->fn == QV_RQ_F32B || p->fn == QV_RQ_REF) return ok;
  qv_i128 y = (qv_i128)qv_rq_eval(p, (int64_t)v, s->out_zp) + s->out_zp;
  return ok && y >= lo && y <= hi;
}

static void look_at_step(world *w, uint32_t k) {
  const qv_node *n = &w->net->node[k];
  for (size_t e = 0; e < qv_elems(&w->net->tensor[n->out]); e++)
    if (!obliged(&n->u.step, e, w->vals.v[n->in[0]][e])) w->t->obligation[k] = true;
}

static void record(world *w, uint32_t t) {
  for (size_t e = 0; e < qv_elems(&w->net->tensor[t]); e++) {
    int64_t x = w->vals.v[t][e];
    w->point[t][e] = (qv_itv){x, x};
    w->t->reached[t][e] = w->t->seen[t] ? qv_itv_hull(w->t->reached[t][e], w->point[t][e]) : w->point[t][e];
  }
  w->t->seen[t] = w->known[t] = true;
}

static bool execute(world *w) {
  const qv_net *net = w->net;
  for (uint32_t t = 0; t < net->n_tensors; t++) w->known[t] = false;
  for (uint32_t t = 0; t < net->n_tensors; t++)
    if (net->tensor[t].data != NULL) record(w, t);
  for (uint32_t i = 0; i < net->n_in; i++) record(w, net->in[i].tensor);
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    const qv_node *n = &net->node[k];
    bool ready = true;
    for (uint32_t i = 0; i < n->n_in; i++) ready = ready && w->known[n->in[i]];
    if (!ready) continue;
    if (qv_node_acc(n) != NULL) look_at_acc(w, k);
    if (n->kind == QV_STEP) look_at_step(w, k);
    qv_status st = qv_ref_node(net, k, &w->vals, NULL);
    if (st == QV_E_UNSUP) return false;
    if (st == QV_OK) record(w, n->out);
  }
  return true;
}

static bool next_input(world *w) {
  for (uint32_t i = 0; i < w->net->n_in; i++) {
    int64_t *x = w->vals.v[w->net->in[i].tensor];
    for (size_t e = 0; e < qv_elems(&w->net->tensor[w->net->in[i].tensor]); e++) {
      qv_itv d = domain(w, i, e);
      if (++x[e] <= d.hi) return true;
      x[e] = d.lo;
    }
  }
  return false;
}

bool ce_truth_run(ce_truth *out, const qv_net *net, const qv_property *p, uint64_t limit) {
  *out = (ce_truth){0};
  world w = {.net = net, .p = p, .t = out};
  double size = 1;
  for (uint32_t i = 0; i < net->n_in; i++)
    for (size_t e = 0; e < qv_elems(&net->tensor[net->in[i].tensor]); e++)
      size *= (double)(domain(&w, i, e).hi - domain(&w, i, e).lo) + 1;
  if (size > (double)limit) return false;
  uint32_t nt = net->n_tensors, nn = net->n_nodes + 1;
  out->seen = QV_NEW(&out->mem, nt, bool);
  out->reached = QV_NEW(&out->mem, nt, qv_itv *);
  out->wrong = QV_NEW(&out->mem, nn, bool);
  out->overflows = QV_NEW(&out->mem, nn, bool);
  out->own_wrong = QV_NEW(&out->mem, nn, bool);
  out->obligation = QV_NEW(&out->mem, nn, bool);
  w.known = QV_NEW(&out->mem, nt, bool);
  w.point = QV_NEW(&out->mem, nt, qv_itv *);
  for (uint32_t t = 0; t < nt; t++) {
    out->reached[t] = QV_NEW(&out->mem, qv_elems(&net->tensor[t]), qv_itv);
    w.point[t] = QV_NEW(&out->mem, qv_elems(&net->tensor[t]), qv_itv);
  }
  assert_int_equal(qv_values_init(&w.vals, net, NULL), QV_OK);
  for (uint32_t i = 0; i < net->n_in; i++)
    for (size_t e = 0; e < qv_elems(&net->tensor[net->in[i].tensor]); e++) w.vals.v[net->in[i].tensor][e] = domain(&w, i, e).lo;
  bool ok;
  do {
    ok = execute(&w);
    out->inputs++;
  } while (ok && next_input(&w));
  qv_values_clear(&w.vals);
  return ok;
}

void ce_truth_clear(ce_truth *t) {
  qv_arena_clear(&t->mem);
  *t = (ce_truth){0};
}

/* ---- claims --------------------------------------------------------------------------------------------------------- */

/* Words of a text that is taken apart in place. */
typedef struct {
  char *p;
  bool bad;
} words;

static const char *word(words *w) {
  char *s = w->p, *e = s + strcspn(s, " \n");
  if (*s == 0 || e == s) w->bad = true;
  w->p = *e != 0 ? e + 1 : e;
  *e = 0;
  return s;
}

static int64_t number(words *w) {
  const char *s = word(w);
  char *end;
  errno = 0;
  int64_t v = strtoll(s, &end, 10);
  if (*end != 0 || errno != 0) w->bad = true;
  return v;
}

static bool is(words *w, const char *want) { return strcmp(word(w), want) == 0; }

static const char *false_tensor(words *w, const qv_net *net, uint32_t t, const ce_truth *tr) {
  size_t elems = qv_elems(&net->tensor[t]);
  if (!is(w, "tensor") || number(w) != t) return "tensor line";
  int64_t n = number(w), inner = number(w);
  if (n < 1 || inner < 1 || n > (int64_t)elems || (n != 1 && elems % (size_t)(n * inner) != 0)) return "tiling";
  for (int64_t q = 0; q < n; q++) {
    int64_t lo = number(w), hi = number(w);
    if (w->bad || lo > hi) return "interval";
    for (size_t e = 0; tr->seen[t] && e < elems; e++)
      if ((int64_t)(e / (size_t)inner) % n == q && (tr->reached[t][e].lo < lo || tr->reached[t][e].hi > hi)) return "tensor range";
  }
  return NULL;
}

const char *ce_false_claim(const qv_buf *cert, const qv_net *net, const qv_property *p, const ce_truth *tr) {
  char *text = malloc(cert->n + 1);
  const char *why = NULL;
  assert_non_null(text);
  memcpy(text, cert->p, cert->n);
  text[cert->n] = 0;
  words w = {text, false};
  bool all = true, any = false;
  static const char *const head[] = {"qvc", "1", "claim", "overflow", "net"};
  for (int i = 0; i < 5; i++)
    if (!is(&w, head[i])) why = "header";
  (void)word(&w), (void)word(&w), (void)word(&w);
  for (uint32_t t = 0; why == NULL && t < net->n_tensors; t++)
    if (net->tensor[t].data == NULL) why = false_tensor(&w, net, t, tr);
  for (uint32_t k = 0; why == NULL && k < net->n_nodes; k++) {
    const qv_acc *a = qv_node_acc(&net->node[k]);
    if (net->node[k].kind == QV_OPAQUE) all = false;
    if (a == NULL) continue;
    int own = a->mode == QV_ACC_EXACT ? 0 : a->bits;
    if (!is(&w, "acc") || number(&w) != k || number(&w) != (p->acc_bits != 0 ? p->acc_bits : own)) why = "acc line";
    bool harmless = is(&w, "harmless");
    if (harmless && tr->overflows[k]) why = tr->wrong[k] ? "harmless, but the result is wrong" : "harmless, but a stage overflows";
    all = all && harmless, any = true;
    (void)word(&w);
  }
  while (why == NULL && strncmp(w.p, "linear ", 7) == 0)
    for (int i = 0; i < 5; i++) (void)word(&w);
  for (uint32_t k = 0; why == NULL && k < net->n_nodes; k++) {
    if (net->node[k].kind != QV_STEP) continue;
    if (!is(&w, "obligation") || number(&w) != k) why = "obligation line";
    bool holds = is(&w, "holds");
    if (holds && tr->obligation[k]) why = "an obligation is breached";
    all = all && holds, any = true;
  }
  if (why == NULL && !is(&w, "verdict")) why = "verdict line";
  if (why == NULL && is(&w, "verified") && !(all && any)) why = "verdict";
  if (why == NULL && (!is(&w, "sha256") || strlen(word(&w)) != 64 || w.bad || *w.p != 0)) why = "end";
  free(text);
  return why;
}

/* ---- material ------------------------------------------------------------------------------------------------------- */

void ce_squeeze(qv_net *net, qv_rng *r) {
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    qv_node *n = &net->node[k];
    qv_acc *a = n->kind == QV_AFFINE ? &n->u.affine.acc : n->kind == QV_SUM ? &n->u.sum.acc : n->kind == QV_PRODUCT ? &n->u.product.acc : NULL;
    if (a == NULL || a->mode == QV_ACC_EXACT || qv_rng_range(r, 0, 99) < 50) continue;
    qv_acc old = *a;
    a->bits = (uint8_t)qv_rng_range(r, 4, 20);
    if (a->mode == QV_ACC_LANES) a->lane_bits = (uint8_t)qv_rng_range(r, 8, 14);
    if (qv_ir_check(net, NULL) != QV_OK) *a = old;
  }
  assert_int_equal(qv_ir_check(net, NULL), QV_OK);
}

void ce_property(qv_property *p, const qv_net *net, int acc_bits, qv_rng *r) {
  assert_int_equal(qv_property_whole(p, net, acc_bits, NULL), QV_OK);
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_tensor *t = &net->tensor[net->in[i].tensor];
    int64_t form = qv_rng_range(r, 0, 4);
    if (form < 3) continue;
    p->in[i].n = form == 3 ? 1 : qv_elems(t);
    p->in[i].itv = QV_NEW(&p->arena, p->in[i].n, qv_itv);
    for (size_t e = 0; e < p->in[i].n; e++) {
      int64_t a = qv_rng_range(r, t->lo, t->hi), b = qv_rng_range(r, t->lo, t->hi);
      p->in[i].itv[e] = (qv_itv){qv_min64(a, b), qv_max64(a, b)};
    }
  }
}

qv_net *ce_copy(const qv_buf *qir) {
  qv_net *net = NULL;
  qv_err err = {0};
  if (qv_qir_read(&net, (const char *)qir->p, qir->n, &err) != QV_OK) fail_msg("%s", err.msg);
  return net;
}

void ce_rehash(qv_buf *cert) {
  static const char tail[] = "sha256 ";
  char hex[QV_SHA256_HEX];
  size_t n = cert->n > 0 ? cert->n - 1 : 0; /* start of the last line */
  while (n > 0 && cert->p[n - 1] != '\n') n--;
  cert->n = n;
  qv_sha256_hex(hex, cert->p, n);
  qv_buf_str(cert, tail);
  qv_buf_str(cert, hex);
  qv_buf_str(cert, "\n");
}
