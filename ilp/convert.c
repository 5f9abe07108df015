#include "ilp/convert.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/json.h"

#define NOMEM(err) QV_FAIL((err), QV_E_NOMEM, "out of memory")

/* ---- edges ------------------------------------------------------------------------------------------------------------------------ */

static int ascending(const void *a, const void *b) {
  const qv_flow *x = a, *y = b;
  if (x->g != y->g) return x->g < y->g ? -1 : 1;
  return (x->h > y->h) - (x->h < y->h);
}

static void add_edge(qv_flows *f, const qv_alloc *p, uint32_t g, uint32_t h, mpq_srcptr weight) {
  uint32_t a = p->member_of[g], b = p->member_of[h];
  qv_flow *e = &f->edge[f->n];
  if (a == b || (weight != NULL && mpq_sgn(weight) == 0)) return;
  e->g = a < b ? a : b;
  e->h = a < b ? b : a;
  if (weight != NULL) mpq_set(e->weight, weight);
  else mpq_set_ui(e->weight, 1, 1);
  f->n++;
}

/* Edges of the same two groups become one. */
static void join(qv_flows *f) {
  uint32_t n = 0;
  if (f->n > 1) qsort(f->edge, f->n, sizeof *f->edge, ascending);
  for (uint32_t i = 1; i < f->n; i++) {
    qv_flow *to = &f->edge[n], *e = &f->edge[i];
    if (to->g == e->g && to->h == e->h) {
      mpq_add(to->weight, to->weight, e->weight);
      continue;
    }
    to = &f->edge[++n];
    if (to == e) continue;
    to->g = e->g;
    to->h = e->h;
    mpq_set(to->weight, e->weight);
  }
  for (uint32_t i = n + 1; i < f->n; i++) mpq_clear(f->edge[i].weight);
  if (f->n > 0) f->n = n + 1;
}

qv_status qv_flows_of(qv_flows *out, const qv_atable *t, const qv_alloc *p, bool ones, qv_err *err) {
  uint32_t most = t->n_edges > 0 ? t->n_edges : t->n_pairs;
  out->edge = calloc((size_t)most + 1, sizeof *out->edge);
  if (out->edge == NULL) return NOMEM(err);
  for (uint32_t i = 0; i < most; i++) mpq_init(out->edge[i].weight);
  for (uint32_t i = 0; i < t->n_edges; i++) {
    mpq_srcptr w = t->edge[i].weight[0];
    add_edge(out, p, t->edge[i].g, t->edge[i].h, ones && mpq_sgn(w) > 0 ? NULL : w);
  }
  for (uint32_t i = 0; t->n_edges == 0 && i < t->n_pairs; i++) {
    if (t->pair[i].a != QV_ATABLE_NONE) continue;
    out->conversions = true;
    add_edge(out, p, t->pair[i].g, t->pair[i].h, NULL);
  }
  for (uint32_t i = out->n; i < most; i++) mpq_clear(out->edge[i].weight);
  join(out);
  return QV_OK;
}

void qv_flows_clear(qv_flows *f) {
  for (uint32_t i = 0; i < f->n; i++) mpq_clear(f->edge[i].weight);
  free(f->edge);
  *f = (qv_flows){0};
}

void qv_flows_cut(mpq_t out, const qv_flows *f, const qv_alloc *p, const char *const *kind, const uint32_t *choice) {
  mpq_set_ui(out, 0, 1);
  for (uint32_t i = 0; i < f->n; i++) {
    uint32_t g = f->edge[i].g, h = f->edge[i].h;
    if (strcmp(kind[p->group[g].first + choice[g]], kind[p->group[h].first + choice[h]]) != 0) mpq_add(out, out, f->edge[i].weight);
  }
}

/* ---- the table -------------------------------------------------------------------------------------------------------------------- */

static bool add_mpz(cJSON *to, const char *name, mpz_srcptr v) {
  char *s = mpz_get_str(NULL, 10, v);
  bool ok = s != NULL && qv_json_add_str(to, name, s);
  free(s);
  return ok;
}

static bool add_mpq(cJSON *to, const char *name, mpq_srcptr v) {
  char *s = mpq_get_str(NULL, 10, v);
  bool ok = s != NULL && qv_json_add_str(to, name, s);
  free(s);
  return ok;
}

/* Rows and groups have numbers as names here: p's may be anything, "conversions" too. */
static void number_name(char name[16], uint32_t m) { (void)snprintf(name, 16, "%" PRIu32, m); }

/* Value of the candidate or term: `row` as loss, limited rows as costs. at: p's numbers, loss first. */
static bool put_values(cJSON *obj, const qv_convert_question *q, mpz_t *at, bool all) {
  const qv_alloc *p = q->p;
  cJSON *cost = cJSON_CreateObject();
  bool ok = add_mpz(obj, "loss", at[1 + q->row]) && qv_json_add(obj, "cost", cost);
  for (uint32_t m = 0; ok && m < p->n_rows; m++) {
    char name[16];
    number_name(name, m);
    if (p->row[m].limited) ok = add_mpz(cost, name, at[1 + m]);
  }
  return ok && (!all || qv_json_add_str(cost, "conversions", "0"));
}

/* Candidates of group g that phase 3 may take. */
static void choose_from(bool *keep, const qv_convert_question *q, uint32_t g) {
  const qv_alloc *p = q->p;
  uint32_t f = p->group[g].first, now = f + q->from[g];
  for (uint32_t c = f; c < f + p->group[g].n; c++)
    keep[c] = c == now || (mpz_cmp(qv_alloc_val(p, c, 1 + q->row), qv_alloc_val(p, now, 1 + q->row)) >= 0 &&
                           mpz_cmp(qv_alloc_val(p, c, 0), qv_alloc_val(p, now, 0)) <= 0);
}

static bool put_groups(cJSON *root, bool *keep, const qv_convert_question *q) {
  const qv_alloc *p = q->p;
  cJSON *groups = cJSON_CreateArray();
  bool ok = qv_json_add(root, "groups", groups);
  for (uint32_t g = 0; ok && g < p->n_groups; g++) {
    cJSON *group = cJSON_CreateObject(), *cands = cJSON_CreateArray();
    char name[16];
    number_name(name, g);
    ok = qv_json_push(groups, group) && qv_json_add_str(group, "name", name) && qv_json_add(group, "candidates", cands);
    choose_from(keep, q, g);
    for (uint32_t c = p->group[g].first; ok && c < p->group[g].first + p->group[g].n; c++) {
      if (!keep[c]) continue;
      cJSON *cand = cJSON_CreateObject();
      ok = qv_json_push(cands, cand) && qv_json_add_str(cand, "name", p->cand[c].name) && qv_json_add_str(cand, "precision", p->cand[c].label) &&
           put_values(cand, q, &p->val[(size_t)c * (1 + p->n_rows)], true);
    }
  }
  return ok;
}

/* A new member of "pairs". */
static cJSON *new_pair(cJSON *pairs, uint32_t g, uint32_t h) {
  char a[16], b[16];
  number_name(a, g);
  number_name(b, h);
  cJSON *pair = cJSON_CreateObject(), *names = cJSON_CreateArray(), *terms = cJSON_CreateArray();
  bool ok = qv_json_push(pairs, pair) && qv_json_add(pair, "groups", names) && qv_json_add(pair, "terms", terms) &&
            qv_json_push(names, cJSON_CreateString(a)) && qv_json_push(names, cJSON_CreateString(b));
  return ok ? terms : NULL;
}

static cJSON *new_term(cJSON *terms, const qv_alloc *p, uint32_t a, uint32_t b) {
  cJSON *term = cJSON_CreateObject(), *names = cJSON_CreateArray();
  bool ok = qv_json_push(terms, term) && qv_json_add(term, "choice", names) && qv_json_push(names, cJSON_CreateString(p->cand[a].name)) &&
            qv_json_push(names, cJSON_CreateString(p->cand[b].name));
  return ok ? term : NULL;
}

/* p's own pair terms. */
static bool put_blocks(cJSON *pairs, const bool *keep, const qv_convert_question *q) {
  const qv_alloc *p = q->p;
  bool ok = true;
  for (uint32_t i = 0; ok && i < p->n_blocks; i++) {
    const qv_alloc_block *b = &p->block[i];
    cJSON *terms = new_pair(pairs, b->g, b->h);
    ok = terms != NULL;
    for (uint32_t k = b->first; ok && k < b->first + b->n; k++) {
      uint32_t x = p->group[b->g].first + p->term[k].a, y = p->group[b->h].first + p->term[k].b;
      if (!keep[x] || !keep[y]) continue;
      cJSON *term = new_term(terms, p, x, y);
      ok = term != NULL;
      if (ok && p->term[k].forbidden) ok = cJSON_AddTrueToObject(term, "forbidden") != NULL;
      else if (ok) ok = put_values(term, q, &p->tval[(size_t)k * (1 + p->n_rows)], false);
    }
  }
  return ok;
}

static bool put_edges(cJSON *pairs, const bool *keep, const qv_convert_question *q) {
  const qv_alloc *p = q->p;
  bool ok = true;
  for (uint32_t i = 0; ok && i < q->flows->n; i++) {
    const qv_flow *e = &q->flows->edge[i];
    const qv_alloc_group *g = &p->group[e->g], *h = &p->group[e->h];
    cJSON *terms = new_pair(pairs, e->g, e->h);
    ok = terms != NULL;
    for (uint32_t x = g->first; ok && x < g->first + g->n; x++)
      for (uint32_t y = h->first; ok && y < h->first + h->n; y++) {
        if (!keep[x] || !keep[y] || strcmp(q->kind[x], q->kind[y]) == 0) continue;
        cJSON *term = new_term(terms, p, x, y), *cost = cJSON_CreateObject();
        ok = term != NULL && qv_json_add(term, "cost", cost) && add_mpq(cost, "conversions", e->weight);
      }
  }
  return ok;
}

static bool put_limits(cJSON *costs, cJSON *limits, const qv_convert_question *q) {
  const qv_alloc *p = q->p;
  bool ok = true;
  mpq_t cut;
  for (uint32_t m = 0; ok && m < p->n_rows; m++) {
    char name[16];
    number_name(name, m);
    if (p->row[m].limited) ok = qv_json_push(costs, cJSON_CreateString(name)) && add_mpz(limits, name, p->row[m].limit);
  }
  mpq_init(cut);
  qv_flows_cut(cut, q->flows, p, q->kind, q->from);
  mpq_mul(cut, cut, q->alpha);
  ok = ok && qv_json_push(costs, cJSON_CreateString("conversions")) && add_mpq(limits, "conversions", cut);
  mpq_clear(cut);
  return ok;
}

qv_status qv_convert_table(qv_buf *json, bool *keep, const qv_convert_question *q, qv_err *err) {
  cJSON *root = cJSON_CreateObject(), *costs = cJSON_CreateArray(), *limits = cJSON_CreateObject(), *pairs = cJSON_CreateArray();
  bool ok = root != NULL && qv_json_add_str(root, "format", "qverify-table/1");
  ok = qv_json_add(root, "costs", costs) && ok;
  ok = qv_json_add(root, "limits", limits) && ok;
  ok = ok && put_groups(root, keep, q);
  ok = qv_json_add(root, "pairs", pairs) && ok;
  ok = ok && put_limits(costs, limits, q) && put_blocks(pairs, keep, q) && put_edges(pairs, keep, q);
  if (q->p->n_classes > 0) ok = ok && qv_json_add_int(root, "at_most_precisions", q->p->max_classes);
  qv_status st = ok ? qv_json_print(json, root, true, err) : NOMEM(err);
  cJSON_Delete(root);
  return st;
}

void qv_convert_back(uint32_t *x, const qv_alloc *p, const bool *keep) {
  for (uint32_t g = 0; g < p->n_groups; g++) {
    uint32_t c = 0;
    for (uint32_t left = x[g];; c++) {
      if (!keep[p->group[g].first + c]) continue;
      if (left-- == 0) break;
    }
    x[g] = c;
  }
}
