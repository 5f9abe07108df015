#include "quant/groups.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/cost.h"
#include "quant/measure.h"

const char *qv_metric_name(qv_metric m) {
  switch (m) {
  case QV_METRIC_NOISE: return "noise";
  case QV_METRIC_SQNR: return "sqnr";
  case QV_METRIC_KL: return "kl";
  case QV_METRIC_FISHER: return "fisher";
  case QV_METRIC_HESSIAN: return "hessian";
  case QV_METRIC_EAGL: return "eagl";
  case QV_METRIC_ORM: return "orm";
  case QV_METRIC_ACCURACY: return "accuracy";
  case QV_METRIC_ERROR: return "error";
  case QV_METRIC_USER: return "user";
  case QV_METRICS: break;
  }
  return "?";
}

void qv_cand_name(char *name, qv_bits b, const qv_accum *acc, bool weights) {
  if (!weights) (void)snprintf(name, QV_CAND_NAME, "A%d", b.a);
  else if (acc == NULL) (void)snprintf(name, QV_CAND_NAME, "W%dA%d", b.w, b.a);
  else (void)snprintf(name, QV_CAND_NAME, "W%dA%d%c%d", b.w, b.a, acc->pairs ? 'Q' : 'P', acc->bits);
}

static bool bits_ok(int n) { return n >= 2 && n <= 16; }

bool qv_cand_read(qv_bits *b, qv_accum *acc, const char *name) {
  char tail, kind;
  int w, a, p = 0;
  *b = (qv_bits){0, 0};
  if (acc != NULL) *acc = (qv_accum){0};
  if (sscanf(name, "A%2d%c", &a, &tail) == 1 && bits_ok(a)) {
    b->a = a;
    return true;
  }
  int n = sscanf(name, "W%2dA%2d%c%2d%c", &w, &a, &kind, &p, &tail);
  if ((n != 2 && n != 4) || !bits_ok(w) || !bits_ok(a)) return false;
  *b = (qv_bits){w, a};
  if (n == 2) return true;
  if ((kind != 'P' && kind != 'Q') || p < 2 || p > 32) return false;
  if (acc != NULL) *acc = (qv_accum){p, kind == 'Q'};
  return true;
}

/* ---- groups --------------------------------------------------------------------------------------------------------------------- */

static uint64_t macs_of(const qv_fgraph *g, const qv_fnode *n) {
  const qv_ftensor *w = &g->tensor[n->in[1]], *y = &g->tensor[n->out];
  return (uint64_t)qv_felems(y) * (qv_felems(w) / w->dim[0]);
}

qv_status qv_groups_find(qv_groups *out, const qv_fgraph *g, qv_err *err) {
  *out = (qv_groups){0};
  out->of = QV_NEW(&out->arena, g->n_tensors, uint32_t);
  out->group = QV_NEW(&out->arena, g->n_tensors, qv_group);
  if (out->of == NULL || out->group == NULL) return QV_FAIL(err, QV_E_NOMEM, "groups");
  for (uint32_t t = 0; t < g->n_tensors; t++) {
    out->of[t] = QV_NONE;
    if (qv_quant_root(g, t) != t) continue;
    qv_group *x = &out->group[out->of[t] = out->n++];
    x->tensor = t;
    x->elems = qv_felems(&g->tensor[t]);
    if ((x->node = QV_NEW(&out->arena, g->n_nodes, uint32_t)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "groups");
    for (uint32_t k = 0; k < g->n_nodes; k++) {
      const qv_fnode *n = &g->node[k];
      if (!qv_quant_linear(n) || qv_quant_root(g, n->in[0]) != t) continue;
      x->node[x->n++] = k;
      x->macs += macs_of(g, n);
      x->weights += qv_felems(&g->tensor[n->in[1]]);
      x->channels += g->tensor[n->in[1]].dim[0];
    }
  }
  return QV_OK;
}

void qv_groups_clear(qv_groups *x) {
  qv_arena_clear(&x->arena);
  *x = (qv_groups){0};
}

/* ---- the table -------------------------------------------------------------------------------------------------------------------- */

typedef struct {
  const qv_fgraph *g;
  const qv_calib *c;
  const qv_table_opts *o;
  qv_made_table *t;
  qv_quantized *whole; /* [n_cand * n_acc] the network with every group at that candidate */
  qv_measure *m;
  qv_schedule schedule;
  bool *kept;     /* [moments] another one does not cover it */
  /* of the present group and widths, by accumulator: */
  double *loss;   /* [n_acc * QV_METRICS] */
  bool *measured; /* [n_acc] */
  int *need;      /* [n_acc] bits that the accumulators need; 0: none */
  qv_err *err;
} maker;

#define PUT(k, ...) qv_buf_printf(&(k)->t->json, __VA_ARGS__)

static qv_quantized *whole_of(const maker *k, uint32_t i, uint32_t j) { return &k->whole[(size_t)i * k->o->n_acc + j]; }

/* Every group at candidate i, weights fitted into accumulator j where that was asked and can be. */
static qv_status quantize_one(maker *k, uint32_t i, uint32_t j, const int *a, const int *w, int *bits) {
  qv_quant_opts plain = k->o->quant;
  qv_err none = {0};
  plain.correct_bias = false; /* depends on every other choice */
  for (uint32_t n = 0; n < k->g->n_nodes; n++) bits[n] = k->o->acc[j].bits;
  if (k->o->fit) {
    plain.node_acc_bits = bits;
    qv_status st = qv_quantize(whole_of(k, i, j), k->g, k->c, a, w, &plain, &none);
    if (st != QV_E_UNSUP) return st == QV_OK ? st : QV_FAIL(k->err, st, "%s", none.msg);
    qv_quantized_clear(whole_of(k, i, j)); /* some layer cannot be fitted: the filter decides about each as it is */
    plain.node_acc_bits = NULL;
  }
  return qv_quantize(whole_of(k, i, j), k->g, k->c, a, w, &plain, k->err);
}

static qv_status quantize_all(maker *k) {
  int *a = calloc((size_t)k->g->n_tensors + 1, sizeof *a), *w = calloc((size_t)k->g->n_nodes + 1, sizeof *w),
      *bits = calloc((size_t)k->g->n_nodes + 1, sizeof *bits);
  qv_status st = a != NULL && w != NULL && bits != NULL ? QV_OK : QV_FAIL(k->err, QV_E_NOMEM, "allocation table");
  for (uint32_t i = 0; i < k->o->n_cand; i++) {
    for (uint32_t t = 0; st == QV_OK && t < k->g->n_tensors; t++) a[t] = k->o->cand[i].a;
    for (uint32_t n = 0; st == QV_OK && n < k->g->n_nodes; n++) w[n] = k->o->cand[i].w;
    for (uint32_t j = 0; st == QV_OK && j < k->o->n_acc; j++) st = quantize_one(k, i, j, a, w, bits);
  }
  free(a);
  free(w);
  free(bits);
  return st;
}

/* Has the group the same integers with accumulators j and h? */
static bool same_integers(const maker *k, const qv_group *x, uint32_t i, uint32_t j, uint32_t h) {
  const qv_quantized *a = whole_of(k, i, j), *b = whole_of(k, i, h);
  for (uint32_t n = 0; n < x->n; n++) {
    const qv_qweights *p = &a->w[x->node[n]], *q = &b->w[x->node[n]];
    const qv_ftensor *w = &k->g->tensor[k->g->node[x->node[n]].in[1]];
    if (memcmp(p->w, q->w, qv_felems(w) * sizeof *p->w) != 0 || memcmp(p->s, q->s, p->n_s * sizeof *p->s) != 0 ||
        memcmp(p->b, q->b, w->dim[0] * sizeof *p->b) != 0)
      return false;
  }
  return true;
}

/* *fits: every consumer's accumulator is proved safe at candidate i with accumulator j. */
static qv_status filter(maker *k, uint32_t group, uint32_t i, uint32_t j, bool *fits) {
  const qv_group *x = &k->t->groups.group[group];
  int *need = &k->need[j];
  *fits = true;
  *need = 0;
  for (uint32_t n = 0; *fits && n < x->n; n++) {
    qv_itv range = {0, 0};
    int bits = 0;
    qv_status st = qv_layer_safe(fits, &range, &bits, whole_of(k, i, j), x->node[n], k->o->acc[j], k->err);
    if (st != QV_OK) return st;
    if (bits > *need) *need = bits;
    if (!*fits) k->t->out[k->t->n_out++] = (qv_left_out){group, i, j, x->node[n], range.lo, range.hi, bits};
  }
  return QV_OK;
}

/* Bits of weights, biases (32) and scales (32, one a channel or one), and of the tensor's own scale and zero point. */
static uint64_t size_bits(const maker *k, const qv_group *x, qv_bits b) {
  return x->weights * (uint64_t)b.w + x->channels * 32 + (k->o->quant.per_tensor ? x->n : x->channels) * 32 + 64;
}

static void put_json_string(maker *k, const char *s) {
  PUT(k, "\"");
  for (; *s != 0; s++) {
    if ((unsigned char)*s < 0x20 || *s == '"' || *s == '\\') PUT(k, "\\u%04x", (unsigned)(unsigned char)*s);
    else PUT(k, "%c", *s);
  }
  PUT(k, "\"");
}

static bool at_end(const maker *k, const qv_group *x) { return x->tensor == k->g->in || x->tensor == qv_quant_root(k->g, k->g->out); }

/* The name of a group's tensor; TFLite files may give one name to several. */
static void put_group_name(maker *k, const char *prefix, uint32_t group) {
  const char *name = k->g->tensor[k->t->groups.group[group].tensor].name;
  unsigned before = 0;
  for (uint32_t i = 0; i < group; i++) before += strcmp(k->g->tensor[k->t->groups.group[i].tensor].name, name) == 0;
  const char *s = before == 0 ? qv_arena_printf(&k->t->arena, "%s%s", prefix, name)
                              : qv_arena_printf(&k->t->arena, "%s%s#%u", prefix, name, before + 1);
  char *copy = s != NULL ? qv_arena_str(&k->t->arena, s, strlen(s)) : NULL;
  if (copy == NULL) k->t->json.failed = true;
  for (char *p = copy; p != NULL && prefix[0] != 0 && *p != 0; p++)
    if (*p == '=') *p = '~'; /* NAME=VALUE is how limits are written */
  if (copy != NULL) put_json_string(k, copy);
}

/* ALPS's gains are for two widths: the rest of the way is shared out in proportion to the bits taken away (our extension). */
static double alps(const maker *k, const qv_group *x, qv_bits b) {
  int top = k->o->cand[0].w, low = top;
  double s = 0;
  for (uint32_t i = 0; i < k->o->n_cand; i++)
    if (k->o->cand[i].w < low) low = k->o->cand[i].w;
  for (uint32_t n = 0; n < x->n; n++) s += k->o->gain[x->node[n]];
  return top > low ? s * (top - b.w) / (top - low) : 0;
}

static qv_status put_time(maker *k, const qv_group *x, qv_bits b, qv_accum acc) {
  int64_t sum = 0, ps = 0;
  char name[QV_CAND_NAME], shape[160];
  for (uint32_t n = 0; n < x->n; n++) {
    if (!qv_times_find(&ps, k->o->times, k->g, x->node[n], b, acc)) {
      qv_cand_name(name, b, &acc, true);
      qv_layer_shape(shape, k->g, x->node[n]);
      return QV_FAIL(k->err, QV_E_PARSE, "the latency table has no time of layer \"%s\" (%s) at %s", k->g->node[x->node[n]].name, shape, name);
    }
    if (ps < 0 || ps > INT64_MAX / 4096 - sum) return QV_FAIL(k->err, QV_E_PARSE, "the latency table: times beyond what can be added");
    sum += ps;
  }
  PUT(k, ", \"latency\": \"%" PRId64 ".%03d\"", sum / 1000, (int)(sum % 1000));
  return QV_OK;
}

/* The rows of peaks: only what is not 0. */
static void put_peaks(maker *k, uint32_t group, qv_bits b, qv_accum acc, int need) {
  for (uint32_t i = 0; i < k->schedule.n; i++) {
    uint64_t n = k->kept[i] ? qv_moment_bytes(&k->schedule.at[i], group, b.a, acc.bits, !k->o->unpacked) : 0;
    if (n == 0) continue;
    PUT(k, ", ");
    put_json_string(k, k->schedule.at[i].name);
    PUT(k, ": \"%" PRIu64 "\"", n);
  }
  if (need == 0) return;
  PUT(k, ", ");
  put_group_name(k, "max-acc@", group);
  PUT(k, ": \"%d\"", need);
}

static qv_status put_candidate(maker *k, uint32_t group, uint32_t i, uint32_t j, bool first) {
  const qv_group *x = &k->t->groups.group[group];
  qv_bits b = k->o->cand[i];
  qv_accum acc = k->o->acc[j];
  double *loss = k->loss + j * QV_METRICS;
  char name[QV_CAND_NAME], bits[QV_CAND_NAME];
  qv_status st = QV_OK;
  uint32_t h = 0;
  while (h < j && !(k->measured[h] && same_integers(k, x, i, h, j))) h++; /* then the accumulator, which is exact, makes no difference */
  if (h < j) memcpy(loss, k->loss + h * QV_METRICS, QV_METRICS * sizeof *loss);
  else st = qv_measure_loss(loss, k->m, whole_of(k, i, j), group, b, k->err);
  if (st != QV_OK) return st;
  k->measured[j] = true;
  qv_cand_name(name, b, k->o->n_acc > 1 ? &acc : NULL, x->n > 0);
  qv_cand_name(bits, b, NULL, x->n > 0);
  PUT(k, "%s\n      {\"name\": \"%s\", \"precision\": \"%s\", \"loss\": {", first ? "" : ",", name, bits);
  for (uint32_t m = 0; m < k->o->n_metric; m++) PUT(k, "%s\"%s\": \"%.12g\"", m > 0 ? ", " : "", qv_metric_name(k->o->metric[m]), loss[m]);
  if (k->o->gain != NULL) PUT(k, ", \"alps\": \"%.12g\"", alps(k, x, b));
  PUT(k, "}, \"cost\": {\"size\": \"%" PRIu64 "\", \"bops\": \"%" PRIu64 "\", \"activations\": \"%" PRIu64 "\", \"acc\": \"%" PRIu64 "\"",
      size_bits(k, x, b), x->macs * (uint64_t)b.w * (uint64_t)b.a, x->elems * (uint64_t)b.a, x->macs * (uint64_t)acc.bits);
  if (k->o->times != NULL) st = put_time(k, x, b, acc);
  put_peaks(k, group, b, acc, k->need[j]);
  PUT(k, "}}");
  return st;
}

/* Is candidate i one of this group: not another name for an earlier one, and what its ends keep? */
static bool offered(const maker *k, const qv_group *x, uint32_t i, const qv_bits *fixed) {
  const qv_bits *c = k->o->cand;
  for (uint32_t j = 0; x->n == 0 && j < i; j++)
    if (c[j].a == c[i].a) return false;
  return fixed == NULL || (c[i].a == fixed->a && (x->n == 0 || c[i].w == fixed->w));
}

static qv_status no_candidate(maker *k, uint32_t group) {
  const char *name = k->g->tensor[k->t->groups.group[group].tensor].name;
  const qv_left_out *least = NULL;
  for (uint32_t i = 0; i < k->t->n_out; i++)
    if (k->t->out[i].group == group && (least == NULL || k->t->out[i].bits < least->bits)) least = &k->t->out[i];
  if (least == NULL)
    return QV_FAIL(k->err, QV_E_ARG, "group \"%s\": the candidate that input and output keep is not among the candidates", name);
  char cand[QV_CAND_NAME];
  qv_cand_name(cand, k->o->cand[least->cand], &k->o->acc[least->acc], true);
  return QV_FAIL(
      k->err, QV_E_UNSUP,
      "group \"%s\": no candidate is proved safe; the nearest, %s, needs %d bits for node \"%s\", whose sums range over [%lld,%lld]", name,
      cand, least->bits, k->g->node[least->node].name, (long long)least->lo, (long long)least->hi);
}

static qv_status put_group(maker *k, uint32_t group) {
  const qv_group *x = &k->t->groups.group[group];
  uint32_t n = 0;
  qv_bits fixed = {0, 0};
  bool keep = k->o->fixed_first_last != NULL && at_end(k, x) && qv_cand_read(&fixed, NULL, k->o->fixed_first_last);
  PUT(k, "%s\n    {\"name\": ", group > 0 ? "," : "");
  put_group_name(k, "", group);
  PUT(k, ", \"candidates\": [");
  for (uint32_t i = 0; i < k->o->n_cand; i++) {
    memset(k->measured, 0, k->o->n_acc * sizeof *k->measured);
    for (uint32_t j = 0; j < (x->n > 0 ? k->o->n_acc : 1) && offered(k, x, i, keep ? &fixed : NULL); j++) {
      bool fits;
      qv_status st = filter(k, group, i, j, &fits);
      if (st == QV_OK && fits) st = put_candidate(k, group, i, j, n++ == 0);
      if (st != QV_OK) return st;
    }
  }
  PUT(k, "\n    ]}");
  return n > 0 ? QV_OK : no_candidate(k, group);
}

/* The tensor that node n makes as far as groups go: behind the Clip that it is computed with. */
static uint32_t made_by(const qv_fgraph *g, const qv_fnode *n) {
  uint32_t to = qv_quant_root(g, n->out);
  for (uint32_t i = 0; to == QV_NONE && i < g->n_nodes; i++)
    if (g->node[i].op == QF_CLIP && g->node[i].in[0] == n->out) to = qv_quant_root(g, g->node[i].out);
  return to;
}

/* A node takes values of one group and makes values of another: with as many elements as it makes. */
static void put_edges(maker *k) {
  const qv_groups *x = &k->t->groups;
  bool first = true;
  for (uint32_t i = 0; i < k->g->n_nodes; i++) {
    const qv_fnode *n = &k->g->node[i];
    uint32_t to = made_by(k->g, n);
    if (to == QV_NONE || x->of[to] == QV_NONE) continue;
    for (uint32_t j = 0; j < (qv_quant_linear(n) ? 1 : n->n_in); j++) {
      uint32_t from = qv_quant_root(k->g, n->in[j]);
      if (from == QV_NONE || from == to || x->of[from] == QV_NONE) continue;
      PUT(k, "%s\n    {\"between\": [", first ? "" : ",");
      put_group_name(k, "", x->of[from]);
      PUT(k, ", ");
      put_group_name(k, "", x->of[to]);
      PUT(k, "], \"weight\": \"%zu\"}", qv_felems(&k->g->tensor[to]));
      first = false;
    }
  }
}

static uint64_t bytes_at(const maker *k, uint32_t m, uint32_t group, uint32_t i, uint32_t j) {
  return qv_moment_bytes(&k->schedule.at[m], group, k->o->cand[i].a, k->o->acc[j].bits, !k->o->unpacked);
}

/* Does moment b never need more than moment a, whatever is chosen? */
static bool covers(const maker *k, uint32_t a, uint32_t b) {
  for (uint32_t g = 0; g < k->t->groups.n; g++)
    for (uint32_t i = 0; i < k->o->n_cand; i++)
      for (uint32_t j = 0; j < k->o->n_acc; j++)
        if (bytes_at(k, a, g, i, j) < bytes_at(k, b, g, i, j)) return false;
  return true;
}

/* Moments that another one covers say nothing. */
static void drop_moments(maker *k) {
  for (uint32_t a = 0; a < k->schedule.n; a++) k->kept[a] = true;
  for (uint32_t a = 0; a < k->schedule.n; a++)
    for (uint32_t b = 0; b < k->schedule.n; b++)
      if (a != b && k->kept[a] && k->kept[b] && covers(k, a, b)) k->kept[b] = false;
}

static void put_head(maker *k) {
  char reference[QV_CAND_NAME];
  bool more = false, layers = false; /* a peak has at least one row */
  for (uint32_t g = 0; g < k->t->groups.n; g++) layers = layers || k->t->groups.group[g].n > 0;
  qv_cand_name(reference, k->o->cand[0], k->o->n_acc > 1 ? &k->o->acc[0] : NULL, true);
  PUT(k, "{ \"format\": \"qverify-table/1\", \"costs\": [\"size\", \"bops\", \"activations\", \"acc\"%s",
      k->o->times != NULL ? ", \"latency\"" : "");
  for (int peaks = 0; peaks < 2; peaks++) {
    if (peaks == 1) PUT(k, "],\n  \"peaks\": {\"ram\": [");
    for (uint32_t i = 0; i < k->schedule.n; i++) {
      if (!k->kept[i]) continue;
      if (peaks == 0 || more) PUT(k, ", ");
      put_json_string(k, k->schedule.at[i].name);
      more = peaks == 1;
    }
    if (peaks == 1) PUT(k, layers ? "], \"max-acc\": [" : "]");
    more = false;
    for (uint32_t g = 0; g < k->t->groups.n; g++) {
      if (k->t->groups.group[g].n == 0) continue;
      if (peaks == 0 || more) PUT(k, ", ");
      put_group_name(k, "max-acc@", g);
      more = peaks == 1;
    }
    more = false;
  }
  PUT(k, "%s},\n  \"reference\": \"%s\", \"metric\": \"%s\",\n  \"groups\": [", layers ? "]" : "", reference, qv_metric_name(k->o->metric[0]));
}

qv_status qv_make_table(qv_made_table *out, const qv_fgraph *g, const qv_calib *c, const qv_table_opts *o, qv_err *err) {
  *out = (qv_made_table){0};
  maker k = {.g = g, .c = c, .o = o, .t = out, .err = err};
  qv_status st = qv_groups_find(&out->groups, g, err);
  if (st != QV_OK) return st;
  out->out = QV_NEW(&out->arena, (size_t)out->groups.n * o->n_cand * (o->n_acc > 0 ? o->n_acc : 1), qv_left_out);
  k.whole = calloc((size_t)o->n_cand * o->n_acc + 1, sizeof *k.whole);
  k.need = QV_NEW(&out->arena, (size_t)o->n_acc + 1, int);
  k.loss = QV_NEW(&out->arena, (size_t)o->n_acc * QV_METRICS + 1, double);
  k.measured = QV_NEW(&out->arena, (size_t)o->n_acc + 1, bool);
  if (out->out == NULL || k.whole == NULL || k.need == NULL || k.loss == NULL || k.measured == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "allocation table");
    goto done;
  }
  if (o->n_cand == 0 || o->n_metric == 0 || o->n_acc == 0) {
    st = QV_FAIL(err, QV_E_ARG, "no candidate, no accumulator, or no metric");
    goto done;
  }
  QV_TRY(qv_schedule_make(&k.schedule, g, &out->groups, err));
  if ((k.kept = QV_NEW(&out->arena, k.schedule.n + 1, bool)) == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "allocation table");
    goto done;
  }
  drop_moments(&k);
  QV_TRY(quantize_all(&k));
  QV_TRY(qv_measure_new(&k.m, g, c, &out->groups, o, err));
  put_head(&k);
  for (uint32_t i = 0; i < out->groups.n; i++) QV_TRY(put_group(&k, i));
  PUT(&k, "\n  ],\n  \"edges\": [");
  put_edges(&k);
  PUT(&k, "]\n}\n");
  if (out->json.failed) st = QV_FAIL(err, QV_E_NOMEM, "allocation table");
done:
  qv_measure_free(k.m);
  qv_schedule_clear(&k.schedule);
  for (uint32_t i = 0; k.whole != NULL && i < o->n_cand * o->n_acc; i++) qv_quantized_clear(&k.whole[i]);
  free(k.whole);
  return st;
}

void qv_made_table_clear(qv_made_table *t) {
  qv_groups_clear(&t->groups);
  qv_buf_free(&t->json);
  qv_arena_clear(&t->arena);
  *t = (qv_made_table){0};
}
