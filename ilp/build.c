#include "ilp/build.h"

#include <stdlib.h>
#include <string.h>

mpz_t *qv_mpz_array(qv_arena *a, size_t n) {
  mpz_t *v = QV_NEW(a, n, mpz_t);
  if (v != NULL)
    for (size_t i = 0; i < n; i++) mpz_init(v[i]);
  return v;
}

void qv_mpz_array_clear(mpz_t *v, size_t n) {
  if (v != NULL)
    for (size_t i = 0; i < n; i++) mpz_clear(v[i]);
}

/* ---- working state -------------------------------------------------------------------------------------------------------------- */

#define NONE QV_ATABLE_NONE
#define MAX_COMBINATIONS ((size_t)1 << 18) /* of all pair blocks, each with its numbers */

/* Every combination of two candidates of a block, written or not. */
typedef struct {
  uint32_t g, h;   /* groups of the problem, g < h */
  uint32_t n_h;    /* candidates of h */
  size_t n;        /* combinations */
  unsigned char *state; /* [n]: 0 not written, 1 written, 2 forbidden */
  mpq_t *val;      /* [n * columns] */
} grid;

typedef struct {
  const qv_atable *t;
  qv_alloc *p;
  uint32_t columns;
  uint32_t *root;       /* [table groups]: first member of the merged group */
  uint32_t **cand_of;   /* [table groups][its candidates]: number in the merged group, NONE = dropped */
  mpq_t *val;           /* [p->n_cands * columns] */
  unsigned char *drop;  /* [p->n_cands]: removed by a forbidden pair inside a merged group */
  grid *grid;
  uint32_t n_grids;
  qv_arena arena;
} work;

#define NOMEM(err) QV_FAIL((err), QV_E_NOMEM, "out of memory")

static mpq_t *rationals(qv_arena *a, size_t n) {
  mpq_t *v = QV_NEW(a, n, mpq_t);
  if (v != NULL)
    for (size_t i = 0; i < n; i++) mpq_init(v[i]);
  return v;
}

static void work_clear(work *w, size_t n_val) {
  if (w->val != NULL)
    for (size_t i = 0; i < n_val; i++) mpq_clear(w->val[i]);
  for (uint32_t e = 0; e < w->n_grids; e++)
    if (w->grid[e].val != NULL)
      for (size_t i = 0; i < w->grid[e].n * w->columns; i++) mpq_clear(w->grid[e].val[i]);
  qv_arena_clear(&w->arena);
}

/* ---- merging --------------------------------------------------------------------------------------------------------------------- */

static uint32_t find_root(const uint32_t *root, uint32_t g) {
  while (root[g] != g) g = root[g];
  return g;
}

static qv_status merge_links(work *w, qv_err *err) {
  const qv_atable *t = w->t;
  w->root = QV_NEW(&w->arena, t->n_groups, uint32_t);
  if (w->root == NULL) return NOMEM(err);
  for (uint32_t g = 0; g < t->n_groups; g++) w->root[g] = g;
  for (uint32_t l = 0; l < t->n_links; l++)
    for (uint32_t i = 1; i < t->link[l].n; i++) {
      uint32_t a = find_root(w->root, t->link[l].group[0]), b = find_root(w->root, t->link[l].group[i]);
      w->root[a < b ? b : a] = a < b ? a : b; /* the first member is the root */
    }
  for (uint32_t g = 0; g < t->n_groups; g++) w->root[g] = find_root(w->root, g);
  return QV_OK;
}

static uint32_t by_name(const qv_atable_group *g, const char *name) {
  for (uint32_t c = 0; c < g->n; c++)
    if (strcmp(g->cand[c].name, name) == 0) return c;
  return NONE;
}

/* Is candidate c of root group r in every member, and allowed by every pin? */
static bool common(const work *w, uint32_t r, uint32_t c) {
  const qv_atable *t = w->t;
  const char *name = t->group[r].cand[c].name;
  for (uint32_t g = r; g < t->n_groups; g++) {
    if (w->root[g] != r) continue;
    uint32_t k = by_name(&t->group[g], name);
    if (k == NONE || (t->group[g].pin != NONE && t->group[g].pin != k)) return false;
  }
  return true;
}

static const char *joined_name(work *w, uint32_t r) {
  const qv_atable *t = w->t;
  const char *s = t->group[r].name;
  for (uint32_t g = r + 1; g < t->n_groups && s != NULL; g++)
    if (w->root[g] == r) s = qv_arena_printf(&w->p->arena, "%s+%s", s, t->group[g].name);
  return s == NULL ? NULL : qv_arena_str(&w->p->arena, s, strlen(s));
}

static qv_status labels_agree(const work *w, uint32_t r, uint32_t c, qv_err *err) {
  const qv_atable *t = w->t;
  const qv_atable_cand *first = &t->group[r].cand[c];
  for (uint32_t g = r + 1; g < t->n_groups; g++) {
    if (w->root[g] != r) continue;
    const qv_atable_cand *k = &t->group[g].cand[by_name(&t->group[g], first->name)];
    if (strcmp(k->label, first->label) != 0)
      return QV_FAIL(err, QV_E_PARSE, "groups \"%.80s\" and \"%.80s\" are linked, but their candidates \"%.40s\" have precisions \"%.40s\" and \"%.40s\"",
                     t->group[r].name, t->group[g].name, first->name, first->label, k->label);
  }
  return QV_OK;
}

/* Groups and names of the problem; which candidate each candidate of the table became. */
static qv_status make_groups(work *w, qv_err *err) {
  const qv_atable *t = w->t;
  qv_alloc *p = w->p;
  qv_status st = QV_OK;
  uint32_t total = 0;
  for (uint32_t g = 0; g < t->n_groups; g++) total += t->group[g].n;
  p->n_members = t->n_groups;
  p->group = QV_NEW(&p->arena, t->n_groups, qv_alloc_group);
  p->cand = QV_NEW(&p->arena, total, qv_alloc_cand);
  p->member = QV_NEW(&p->arena, t->n_groups, const char *);
  p->member_of = QV_NEW(&p->arena, t->n_groups, uint32_t);
  w->cand_of = QV_NEW(&w->arena, t->n_groups, uint32_t *);
  if (p->group == NULL || p->cand == NULL || p->member == NULL || p->member_of == NULL || w->cand_of == NULL) return NOMEM(err);
  for (uint32_t g = 0; g < t->n_groups; g++) {
    const qv_atable_group *from = &t->group[g];
    uint32_t r = w->root[g];
    p->member[g] = qv_arena_str(&p->arena, from->name, strlen(from->name));
    w->cand_of[g] = QV_NEW(&w->arena, from->n, uint32_t);
    if (p->member[g] == NULL || w->cand_of[g] == NULL) return NOMEM(err);
    if (r != g) {
      p->member_of[g] = p->member_of[r];
      for (uint32_t c = 0; c < from->n; c++) {
        uint32_t k = by_name(&t->group[r], from->cand[c].name);
        w->cand_of[g][c] = k == NONE ? NONE : w->cand_of[r][k];
      }
      continue;
    }
    qv_alloc_group *to = &p->group[p->n_groups];
    *to = (qv_alloc_group){.name = joined_name(w, g), .first = p->n_cands};
    if (to->name == NULL) return NOMEM(err);
    p->member_of[g] = p->n_groups++;
    for (uint32_t c = 0; c < from->n; c++) {
      w->cand_of[g][c] = NONE;
      if (!common(w, g, c)) continue;
      QV_TRY(labels_agree(w, g, c, err));
      qv_alloc_cand *k = &p->cand[p->n_cands++];
      k->name = qv_arena_str(&p->arena, from->cand[c].name, strlen(from->cand[c].name));
      k->label = qv_arena_str(&p->arena, from->cand[c].label, strlen(from->cand[c].label));
      if (k->name == NULL || k->label == NULL) return NOMEM(err);
      w->cand_of[g][c] = to->n++;
    }
    if (to->n == 0) return QV_FAIL(err, QV_E_PARSE, "group \"%.200s\": no candidate is common to all linked groups and allowed by the pins", to->name);
  }
done:
  return st;
}

static qv_status add_values(work *w, qv_err *err) {
  const qv_atable *t = w->t;
  const qv_alloc *p = w->p;
  w->val = rationals(&w->arena, (size_t)p->n_cands * w->columns);
  w->drop = QV_NEW(&w->arena, p->n_cands, unsigned char);
  if (w->val == NULL || w->drop == NULL) return NOMEM(err);
  for (uint32_t g = 0; g < t->n_groups; g++)
    for (uint32_t c = 0; c < t->group[g].n; c++) {
      uint32_t k = w->cand_of[g][c];
      if (k == NONE) continue;
      mpq_t *v = &w->val[(size_t)(p->group[p->member_of[g]].first + k) * w->columns];
      for (uint32_t m = 0; m < w->columns; m++) mpq_add(v[m], v[m], t->group[g].cand[c].val[m]);
    }
  return QV_OK;
}

/* ---- pairs ----------------------------------------------------------------------------------------------------------------------- */

static qv_status find_grid(grid **out, work *w, uint32_t g, uint32_t h, size_t *total, qv_err *err) {
  for (uint32_t e = 0; e < w->n_grids; e++)
    if (w->grid[e].g == g && w->grid[e].h == h) {
      *out = &w->grid[e];
      return QV_OK;
    }
  grid *x = &w->grid[w->n_grids];
  *x = (grid){.g = g, .h = h, .n_h = w->p->group[h].n, .n = (size_t)w->p->group[g].n * w->p->group[h].n};
  if ((*total += x->n) > MAX_COMBINATIONS) return QV_FAIL(err, QV_E_LIMIT, "the pairs have more than %zu combinations", MAX_COMBINATIONS);
  x->state = QV_NEW(&w->arena, x->n, unsigned char);
  x->val = rationals(&w->arena, x->n * w->columns);
  w->n_grids++;
  *out = x;
  return x->state != NULL && x->val != NULL ? QV_OK : NOMEM(err);
}

static void add_term(mpq_t *val, unsigned char *state, uint32_t columns, const qv_atable_pair *q) {
  if (q->forbidden) *state = 2;
  else if (*state == 0) *state = 1;
  for (uint32_t m = 0; m < columns; m++) mpq_add(val[m], val[m], q->val[m]);
}

/* Both groups were merged: the term belongs to the candidates themselves, which always agree. */
static void inside_group(work *w, uint32_t group, const qv_atable_pair *q, uint32_t a, uint32_t b) {
  if (q->a == NONE || a != b) return;
  size_t c = w->p->group[group].first + a;
  add_term(&w->val[c * w->columns], &w->drop[c], w->columns, q);
}

static void across_groups(work *w, grid *x, const qv_atable_pair *q, uint32_t a, uint32_t b) {
  const qv_alloc *p = w->p;
  bool conversion = q->a == NONE;
  for (uint32_t i = conversion ? 0 : a; i < (conversion ? p->group[x->g].n : a + 1); i++)
    for (uint32_t k = conversion ? 0 : b; k < (conversion ? p->group[x->h].n : b + 1); k++) {
      if (conversion && strcmp(p->cand[p->group[x->g].first + i].label, p->cand[p->group[x->h].first + k].label) == 0) continue;
      size_t at = (size_t)i * x->n_h + k;
      add_term(&x->val[at * w->columns], &x->state[at], w->columns, q);
    }
}

static qv_status add_pairs(work *w, qv_err *err) {
  const qv_atable *t = w->t;
  size_t total = 0;
  w->grid = QV_NEW(&w->arena, t->n_pairs, grid);
  if (w->grid == NULL) return NOMEM(err);
  for (uint32_t i = 0; i < t->n_pairs; i++) {
    const qv_atable_pair *q = &t->pair[i];
    uint32_t g = w->p->member_of[q->g], h = w->p->member_of[q->h];
    uint32_t a = q->a == NONE ? NONE : w->cand_of[q->g][q->a], b = q->b == NONE ? NONE : w->cand_of[q->h][q->b];
    if (q->a != NONE && (a == NONE || b == NONE)) continue; /* a candidate that was dropped or pinned away */
    if (g == h) {
      inside_group(w, g, q, a, b);
      continue;
    }
    bool turn = g > h;
    grid *x = NULL;
    qv_status st = find_grid(&x, w, turn ? h : g, turn ? g : h, &total, err);
    if (st != QV_OK) return st;
    across_groups(w, x, q, turn ? b : a, turn ? a : b);
  }
  return QV_OK;
}

static int grid_order(const void *x, const void *y) {
  const grid *a = x, *b = y;
  if (a->g != b->g) return a->g < b->g ? -1 : 1;
  return a->h < b->h ? -1 : a->h > b->h;
}

/* Candidates that a forbidden pair inside their group removed: keep the arrays dense. Returns the new number of candidate c of a
 * group, NONE if it is gone. */
static qv_status drop_candidates(work *w, qv_err *err) {
  qv_alloc *p = w->p;
  uint32_t to = 0;
  uint32_t *renumber = QV_NEW(&w->arena, p->n_cands, uint32_t);
  if (renumber == NULL) return NOMEM(err);
  for (uint32_t g = 0; g < p->n_groups; g++) {
    uint32_t first = p->group[g].first, n = p->group[g].n;
    p->group[g].first = to;
    p->group[g].n = 0;
    for (uint32_t c = first; c < first + n; c++) {
      renumber[c] = NONE;
      if (w->drop[c] == 2) continue;
      renumber[c] = p->group[g].n++;
      p->cand[to] = p->cand[c];
      for (uint32_t m = 0; m < w->columns; m++) mpq_swap(w->val[(size_t)to * w->columns + m], w->val[(size_t)c * w->columns + m]);
      to++;
    }
    if (p->group[g].n == 0) return QV_FAIL(err, QV_E_PARSE, "group \"%.200s\": forbidden pairs of linked groups leave no candidate", p->group[g].name);
    for (uint32_t e = 0; e < w->n_grids; e++) { /* the blocks follow */
      grid *x = &w->grid[e];
      if (p->group[g].n == n || (x->g != g && x->h != g)) continue;
      size_t k = 0;
      for (size_t at = 0; at < x->n; at++) {
        if (renumber[first + (x->g == g ? at / x->n_h : at % x->n_h)] == NONE) continue;
        x->state[k] = x->state[at];
        for (uint32_t m = 0; m < w->columns; m++) mpq_swap(x->val[k * w->columns + m], x->val[at * w->columns + m]);
        k++;
      }
      for (size_t at = k; at < x->n; at++)
        for (uint32_t m = 0; m < w->columns; m++) mpq_clear(x->val[at * w->columns + m]);
      x->n = k;
      if (x->h == g) x->n_h = p->group[g].n;
    }
  }
  for (size_t i = (size_t)to * w->columns; i < (size_t)p->n_cands * w->columns; i++) mpq_clear(w->val[i]);
  p->n_cands = to;
  return QV_OK;
}

/* ---- classes --------------------------------------------------------------------------------------------------------------------- */

static qv_status number_classes(work *w, qv_err *err) {
  qv_alloc *p = w->p;
  if (w->t->at_most == 0) return QV_OK;
  const char *seen[64];
  uint32_t n = 0;
  for (uint32_t c = 0; c < p->n_cands; c++) {
    uint32_t k = 0;
    if (p->cand[c].label[0] == 0) continue;
    while (k < n && strcmp(seen[k], p->cand[c].label) != 0) k++;
    if (k == 64) return QV_FAIL(err, QV_E_LIMIT, "at_most_precisions: more than 64 different precisions");
    if (k == n) seen[n++] = p->cand[c].label;
    p->cand[c].cls = k + 1;
  }
  if (w->t->at_most >= n) { /* cannot bind */
    for (uint32_t c = 0; c < p->n_cands; c++) p->cand[c].cls = 0;
    return QV_OK;
  }
  p->n_classes = n;
  p->max_classes = w->t->at_most;
  return QV_OK;
}

/* ---- scaling --------------------------------------------------------------------------------------------------------------------- */

typedef struct {
  mpz_t lcm, gcd, num;
} scale;

/* Visit every number of a column: first denominators, then numerators, then division. */
typedef void (*visit)(scale *s, mpq_t v, mpz_ptr out);

static void take_den(scale *s, mpq_t v, mpz_ptr out) {
  (void)out;
  mpz_lcm(s->lcm, s->lcm, mpq_denref(v));
}

static void times_lcm(scale *s, mpq_t v) {
  mpz_divexact(s->num, s->lcm, mpq_denref(v));
  mpz_mul(s->num, s->num, mpq_numref(v));
}

static void take_num(scale *s, mpq_t v, mpz_ptr out) {
  (void)out;
  times_lcm(s, v);
  mpz_gcd(s->gcd, s->gcd, s->num);
}

static void store(scale *s, mpq_t v, mpz_ptr out) {
  times_lcm(s, v);
  mpz_divexact(out, s->num, s->gcd);
}

static void each(work *w, uint32_t column, scale *s, visit f) {
  qv_alloc *p = w->p;
  for (uint32_t c = 0; c < p->n_cands; c++) f(s, w->val[(size_t)c * w->columns + column], qv_alloc_val(p, c, column));
  uint32_t t = 0;
  for (uint32_t e = 0; e < w->n_grids; e++)
    for (size_t at = 0; at < w->grid[e].n; at++) {
      if (w->grid[e].state[at] == 0) continue;
      if (w->grid[e].state[at] == 1) f(s, w->grid[e].val[at * w->columns + column], qv_alloc_tval(p, t, column));
      t++;
    }
}

static void scale_column(work *w, uint32_t column, mpq_t unit) {
  scale s;
  mpz_inits(s.lcm, s.gcd, s.num, (mpz_ptr)NULL);
  mpz_set_ui(s.lcm, 1);
  each(w, column, &s, take_den);
  each(w, column, &s, take_num);
  if (mpz_sgn(s.gcd) == 0) mpz_set(s.gcd, s.lcm); /* all zero: unit 1 */
  each(w, column, &s, store);
  mpz_set(mpq_numref(unit), s.gcd);
  mpz_set(mpq_denref(unit), s.lcm);
  mpq_canonicalize(unit);
  mpz_clears(s.lcm, s.gcd, s.num, (mpz_ptr)NULL);
}

static qv_status make_terms(work *w, qv_err *err) {
  qv_alloc *p = w->p;
  size_t n = 0;
  qsort(w->grid, w->n_grids, sizeof *w->grid, grid_order);
  for (uint32_t e = 0; e < w->n_grids; e++)
    for (size_t at = 0; at < w->grid[e].n; at++) n += w->grid[e].state[at] != 0;
  p->block = QV_NEW(&p->arena, w->n_grids, qv_alloc_block);
  p->term = QV_NEW(&p->arena, n, qv_alloc_term);
  p->val = qv_mpz_array(&p->arena, (size_t)p->n_cands * w->columns);
  p->tval = qv_mpz_array(&p->arena, n * w->columns);
  p->n_terms = p->tval != NULL ? (uint32_t)n : 0;
  if (p->block == NULL || p->term == NULL || p->val == NULL || p->tval == NULL) return NOMEM(err);
  uint32_t t = 0;
  for (uint32_t e = 0; e < w->n_grids; e++) {
    const grid *x = &w->grid[e];
    qv_alloc_block *b = &p->block[p->n_blocks];
    *b = (qv_alloc_block){.g = x->g, .h = x->h, .first = t};
    for (size_t at = 0; at < x->n; at++)
      if (x->state[at] != 0)
        p->term[t++] = (qv_alloc_term){.a = (uint32_t)(at / x->n_h), .b = (uint32_t)(at % x->n_h), .forbidden = x->state[at] == 2};
    b->n = t - b->first;
    if (b->n > 0) p->n_blocks++;
  }
  return QV_OK;
}

/* ---- limits ---------------------------------------------------------------------------------------------------------------------- */

/* Reference cost (row m) of group g of the problem: that of the candidate named `reference`, else the largest. */
static void reference_cost(mpq_t out, const work *w, uint32_t g, uint32_t m) {
  const qv_alloc *p = w->p;
  const qv_alloc_group *x = &p->group[g];
  uint32_t best = x->first;
  for (uint32_t c = x->first; c < x->first + x->n; c++) {
    if (w->t->reference != NULL && strcmp(p->cand[c].name, w->t->reference) == 0) {
      best = c;
      break;
    }
    if (mpq_cmp(w->val[(size_t)c * w->columns + 1 + m], w->val[(size_t)best * w->columns + 1 + m]) > 0) best = c;
  }
  mpq_set(out, w->val[(size_t)best * w->columns + 1 + m]);
}

/* Least (sign -1) or largest cost of group g in row m. */
static void extreme_cost(mpq_t out, const work *w, uint32_t g, uint32_t m, int sign) {
  const qv_alloc_group *x = &w->p->group[g];
  mpq_set(out, w->val[(size_t)x->first * w->columns + 1 + m]);
  for (uint32_t c = x->first + 1; c < x->first + x->n; c++)
    if (mpq_cmp(w->val[(size_t)c * w->columns + 1 + m], out) * sign > 0) mpq_set(out, w->val[(size_t)c * w->columns + 1 + m]);
}

/* Sums over groups of the reference, least and largest costs of a row; for a peak the largest of its rows. */
typedef struct {
  mpq_t full, lo, hi;
} totals;

static void add_totals(totals *s, const work *w, uint32_t m, bool first) {
  totals r;
  mpq_t v;
  mpq_inits(r.full, r.lo, r.hi, v, (mpq_ptr)NULL);
  for (uint32_t g = 0; g < w->p->n_groups; g++) {
    reference_cost(v, w, g, m);
    mpq_add(r.full, r.full, v);
    extreme_cost(v, w, g, m, -1);
    mpq_add(r.lo, r.lo, v);
    extreme_cost(v, w, g, m, 1);
    mpq_add(r.hi, r.hi, v);
  }
  mpq_set(w->p->row[m].full, r.full);
  if (first || mpq_cmp(r.full, s->full) > 0) mpq_set(s->full, r.full);
  if (first || mpq_cmp(r.lo, s->lo) > 0) mpq_set(s->lo, r.lo);
  if (first || mpq_cmp(r.hi, s->hi) > 0) mpq_set(s->hi, r.hi);
  mpq_clears(r.full, r.lo, r.hi, v, (mpq_ptr)NULL);
}

/* What a limit means for a cost with these totals. */
static void ask(mpq_t asked, const qv_atable_limit *l, totals *s) {
  mpq_t v;
  mpq_init(v);
  mpq_set_ui(v, 1, 100);
  mpq_mul(v, v, l->v);
  switch (l->kind) {
  case QV_LIMIT_NONE: break;
  case QV_LIMIT_VALUE: mpq_set(asked, l->v); break;
  case QV_LIMIT_PERCENT: mpq_mul(asked, v, s->full); break;
  case QV_LIMIT_RANGE:
    mpq_sub(s->hi, s->hi, s->lo);
    mpq_mul(s->hi, s->hi, v);
    mpq_add(asked, s->lo, s->hi);
    break;
  }
  mpq_clear(v);
}

static void set_limit(work *w, qv_alloc_cost *c) {
  const qv_atable_limit *l = &w->t->limit[c->row[0]];
  totals s;
  mpq_t v;
  mpq_inits(s.full, s.lo, s.hi, v, (mpq_ptr)NULL);
  for (uint32_t i = 0; i < c->n; i++) add_totals(&s, w, c->row[i], i == 0);
  ask(c->asked, l, &s);
  mpq_set(c->full, s.full);
  c->limited = l->kind != QV_LIMIT_NONE;
  for (uint32_t i = 0; i < c->n; i++) {
    qv_alloc_row *r = &w->p->row[c->row[i]];
    r->limited = c->limited;
    mpq_set(r->asked, c->asked);
    mpq_div(v, r->asked, r->unit);
    mpz_fdiv_q(r->limit, mpq_numref(v), mpq_denref(v));
  }
  mpq_clears(s.full, s.lo, s.hi, v, (mpq_ptr)NULL);
}

static qv_status add_cost(work *w, const char *name, bool peak, uint32_t n, const uint32_t *row, qv_err *err) {
  qv_alloc *p = w->p;
  qv_alloc_cost *c = &p->cost[p->n_costs];
  *c = (qv_alloc_cost){.name = qv_arena_str(&p->arena, name, strlen(name)), .peak = peak, .n = n, .row = QV_NEW(&p->arena, n, uint32_t)};
  if (c->name == NULL || c->row == NULL) return NOMEM(err);
  memcpy(c->row, row, n * sizeof *row);
  mpq_inits(c->asked, c->full, (mpq_ptr)NULL);
  p->n_costs++;
  return QV_OK;
}

static qv_status make_costs(work *w, qv_err *err) {
  const qv_atable *t = w->t;
  qv_status st = QV_OK;
  if ((w->p->cost = QV_NEW(&w->p->arena, t->n_rows, qv_alloc_cost)) == NULL) return NOMEM(err);
  for (uint32_t m = 0; m < t->n_rows; m++) {
    const qv_atable_peak *k = t->peak_of[m] != NONE ? &t->peak[t->peak_of[m]] : NULL;
    if (k == NULL) QV_TRY(add_cost(w, t->row[m], false, 1, &m, err));
    else if (k->row[0] == m) QV_TRY(add_cost(w, k->name, true, k->n, k->row, err));
    else continue;
    set_limit(w, &w->p->cost[w->p->n_costs - 1]);
  }
done:
  return st;
}

static qv_status make_rows(work *w, qv_err *err) {
  qv_alloc *p = w->p;
  p->row = QV_NEW(&p->arena, w->t->n_rows, qv_alloc_row);
  if (p->row == NULL) return NOMEM(err);
  p->n_rows = w->t->n_rows;
  for (uint32_t m = 0; m < p->n_rows; m++) {
    qv_alloc_row *r = &p->row[m];
    mpz_init(r->limit);
    mpq_inits(r->unit, r->asked, r->full, (mpq_ptr)NULL);
  }
  for (uint32_t m = 0; m < p->n_rows; m++)
    if ((p->row[m].name = qv_arena_str(&p->arena, w->t->row[m], strlen(w->t->row[m]))) == NULL) return NOMEM(err);
  return QV_OK;
}

qv_status qv_alloc_build(qv_alloc **out, const qv_atable *t, qv_err *err) {
  qv_status st;
  work w = {.t = t, .columns = 1 + t->n_rows};
  size_t n_val = 0;
  w.p = calloc(1, sizeof *w.p);
  if (w.p == NULL) return NOMEM(err);
  mpq_init(w.p->loss_unit);
  QV_TRY(make_rows(&w, err));
  QV_TRY(merge_links(&w, err));
  QV_TRY(make_groups(&w, err));
  n_val = (size_t)w.p->n_cands * w.columns;
  QV_TRY(add_values(&w, err));
  QV_TRY(add_pairs(&w, err));
  st = drop_candidates(&w, err);
  n_val = (size_t)w.p->n_cands * w.columns;
  if (st != QV_OK) goto done;
  QV_TRY(number_classes(&w, err));
  QV_TRY(make_terms(&w, err));
  scale_column(&w, 0, w.p->loss_unit);
  for (uint32_t m = 0; m < t->n_rows; m++) scale_column(&w, 1 + m, w.p->row[m].unit);
  QV_TRY(make_costs(&w, err));
  *out = w.p;
  w.p = NULL;
done:
  work_clear(&w, n_val);
  qv_alloc_free(w.p);
  return st;
}

/* ---- the relaxed problem --------------------------------------------------------------------------------------------------------- */

#define COPY(to, from, n, type) \
  (((to) = QV_NEW(&x->arena, (n), type)) != NULL && ((n) == 0 || memcpy((to), (from), (n) * sizeof(type)) != NULL))

qv_status qv_alloc_relax(qv_alloc **out, const qv_alloc *p, uint32_t row, qv_err *err) {
  size_t columns = 1 + (size_t)p->n_rows;
  qv_alloc *x = calloc(1, sizeof *x);
  if (x == NULL) return NOMEM(err);
  *x = (qv_alloc){.n_groups = p->n_groups, .n_cands = p->n_cands, .n_blocks = p->n_blocks, .n_classes = p->n_classes, .max_classes = p->max_classes};
  mpq_init(x->loss_unit);
  mpq_set(x->loss_unit, p->row[row].unit);
  bool ok = COPY(x->group, p->group, p->n_groups, qv_alloc_group) && COPY(x->cand, p->cand, p->n_cands, qv_alloc_cand) &&
            COPY(x->block, p->block, p->n_blocks, qv_alloc_block) && COPY(x->term, p->term, p->n_terms, qv_alloc_term) &&
            (x->row = QV_NEW(&x->arena, p->n_rows, qv_alloc_row)) != NULL;
  for (uint32_t m = 0; ok && m < p->n_rows; m++) {
    qv_alloc_row *r = &x->row[x->n_rows++];
    r->name = p->row[m].name;
    r->limited = p->row[m].limited && m != row;
    mpz_init_set(r->limit, p->row[m].limit);
    mpq_inits(r->unit, r->asked, r->full, (mpq_ptr)NULL);
    mpq_set(r->unit, p->row[m].unit);
    mpq_set(r->asked, p->row[m].asked);
    mpq_set(r->full, p->row[m].full);
  }
  ok = ok && (x->val = qv_mpz_array(&x->arena, p->n_cands * columns)) != NULL && (x->tval = qv_mpz_array(&x->arena, p->n_terms * columns)) != NULL;
  if (!ok) {
    qv_alloc_free(x);
    return NOMEM(err);
  }
  x->n_terms = p->n_terms;
  for (size_t i = 0; i < p->n_cands * columns; i++) mpz_set(x->val[i], p->val[i % columns == 0 ? i + 1 + row : i]);
  for (size_t i = 0; i < p->n_terms * columns; i++) mpz_set(x->tval[i], p->tval[i % columns == 0 ? i + 1 + row : i]);
  *out = x;
  return QV_OK;
}

qv_status qv_alloc_within(qv_alloc **out, const qv_alloc *p, const uint32_t *row, uint32_t n, mpq_srcptr limit, qv_err *err) {
  qv_status st = qv_alloc_relax(out, p, row[0], err);
  mpq_t v;
  if (st != QV_OK) return st;
  mpq_init(v);
  for (uint32_t i = 0; i < n; i++) {
    qv_alloc_row *r = &(*out)->row[row[i]];
    r->limited = true;
    mpq_set(r->asked, limit);
    mpq_div(v, limit, r->unit);
    mpz_fdiv_q(r->limit, mpq_numref(v), mpq_denref(v));
  }
  mpq_clear(v);
  return QV_OK;
}
