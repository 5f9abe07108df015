#include "ilp/tree.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ilp/repair.h"

#define NOMEM(err) QV_FAIL((err), QV_E_NOMEM, "out of memory")
#define MAX_DEPTH 3000u

enum { FREE = 0, USED, BANNED };

/* What a node of the tree knows; one per depth, reused by siblings. */
typedef struct {
  unsigned char *alive;  /* [cands] */
  unsigned char *mark;   /* [classes + 1] */
  uint32_t n_used;
  double *lambda;        /* where climbing starts */
  qv_vector vec;         /* last vector made here; children try it first */
} level;

typedef struct {
  qv_tree *t;
  const qv_question *q;
  qv_adual dual;
  qv_arepair repair;
  level *lv[MAX_DEPTH + 1];
  uint32_t made; /* levels allocated */
  uint32_t *pick; /* [groups] scratch assignment */
  uint32_t *touch_at, *touch; /* of each row, the groups in which it costs anything: touch_at[m] .. touch_at[m + 1] */
  qv_vector *row; /* [rows] D = 0 and one row's multiplier 1, made when first used; their numbers in the certificate stay */
  mpz_t s, thr;
  qv_arena arena;
  qv_err *err;
} search;

double qv_ilp_clock(void) {
  struct timespec t;
  return clock_gettime(CLOCK_MONOTONIC, &t) == 0 ? (double)t.tv_sec + (double)t.tv_nsec * 1e-9 : 0;
}

void qv_tree_init(qv_tree *t) {
  *t = (qv_tree){.root_bound = NAN};
  mpz_init(t->target);
}

void qv_tree_clear(qv_tree *t) {
  mpz_clear(t->target);
  qv_buf_free(&t->mults);
  qv_buf_free(&t->tree);
}

/* ---- writing --------------------------------------------------------------------------------------------------------------------- */

static bool proving(const search *s) { return s->t->mode == QV_TREE_PROVE; }

static void put(search *s, const char *line) {
  if (proving(s)) qv_buf_str(&s->t->tree, line);
}

static qv_status put_vector_line(search *s, const char *word, qv_vector *v) {
  if (!proving(s)) return QV_OK;
  if (v->id < 0) {
    qv_status st = qv_vector_put(&s->t->mults, v, s->err);
    if (st != QV_OK) return st;
    v->id = (int64_t)s->t->vectors++;
  }
  qv_buf_printf(&s->t->tree, "%s %" PRId64 "\n", word, v->id);
  return QV_OK;
}

/* "split g n c.." for the alive candidates with in[c] set. */
static void put_split(search *s, uint32_t g, const unsigned char *alive, const unsigned char *in) {
  const qv_alloc_group *x = &s->q->p->group[g];
  uint32_t n = 0;
  if (!proving(s)) return;
  for (uint32_t c = 0; c < x->n; c++) n += alive[x->first + c] && in[x->first + c];
  qv_buf_printf(&s->t->tree, "split %" PRIu32 " %" PRIu32, g, n);
  for (uint32_t c = 0; c < x->n; c++)
    if (alive[x->first + c] && in[x->first + c]) qv_buf_printf(&s->t->tree, " %" PRIu32, c);
  qv_buf_str(&s->t->tree, "\n");
}

void qv_tree_put(qv_buf *out, const qv_tree *t) {
  qv_buf_printf(out, "mults %" PRIu64 "\n", t->vectors);
  qv_buf_put(out, t->mults.p, t->mults.n);
  qv_buf_put(out, t->tree.p, t->tree.n);
  if (t->mults.failed || t->tree.failed) out->failed = true;
}

/* ---- levels ---------------------------------------------------------------------------------------------------------------------- */

static qv_status level_at(level **out, search *s, uint32_t depth) {
  const qv_alloc *p = s->q->p;
  if (depth > MAX_DEPTH) return QV_FAIL(s->err, QV_E_LIMIT, "the search tree is deeper than %u", MAX_DEPTH);
  if (depth < s->made) {
    *out = s->lv[depth];
    (*out)->vec.used = false;
    return QV_OK;
  }
  level *l = QV_NEW(&s->arena, 1, level);
  if (l == NULL) return NOMEM(s->err);
  l->alive = QV_NEW(&s->arena, p->n_cands, unsigned char);
  l->mark = QV_NEW(&s->arena, (size_t)p->n_classes + 1, unsigned char);
  l->lambda = QV_NEW(&s->arena, s->q->n, double);
  if (l->alive == NULL || l->mark == NULL || l->lambda == NULL) return NOMEM(s->err);
  qv_status st = qv_vector_init(&l->vec, s->q, s->err);
  if (st != QV_OK) return st;
  s->lv[s->made++] = l;
  *out = l;
  return QV_OK;
}

static qv_status child_of(level **out, search *s, uint32_t depth) {
  qv_status st = level_at(out, s, depth + 1);
  if (st != QV_OK) return st;
  const level *l = s->lv[depth];
  memcpy((*out)->alive, l->alive, s->q->p->n_cands);
  memcpy((*out)->mark, l->mark, (size_t)s->q->p->n_classes + 1);
  memcpy((*out)->lambda, s->lv[depth]->lambda, s->q->n * sizeof *l->lambda);
  (*out)->n_used = l->n_used;
  return QV_OK;
}

/* ---- small questions about a node ------------------------------------------------------------------------------------------------- */

static uint32_t n_alive(const qv_alloc *p, uint32_t g, const unsigned char *alive) {
  uint32_t n = 0;
  for (uint32_t c = p->group[g].first; c < p->group[g].first + p->group[g].n; c++) n += alive[c] != 0;
  return n;
}

static bool some_group_empty(const qv_alloc *p, const unsigned char *alive) {
  for (uint32_t g = 0; g < p->n_groups; g++)
    if (n_alive(p, g, alive) == 0) return true;
  return false;
}

/* Candidates of group g that every alive candidate of h forbids, into dead[] (by candidate). Returns how many. */
static uint32_t forbidden_by(const qv_question *q, uint32_t e, bool first, const unsigned char *alive, unsigned char *dead) {
  const qv_alloc *p = q->p;
  const qv_alloc_block *b = &p->block[e];
  const qv_alloc_group *g = &p->group[first ? b->g : b->h], *h = &p->group[first ? b->h : b->g];
  uint32_t n = 0;
  for (uint32_t a = 0; a < g->n; a++) {
    bool ok = false;
    dead[g->first + a] = 0;
    if (!alive[g->first + a]) continue;
    for (uint32_t c = 0; c < h->n && !ok; c++) {
      int32_t t = q->combo[e][first ? (size_t)a * h->n + c : (size_t)c * g->n + a];
      ok = alive[h->first + c] && (t < 0 || !p->term[t].forbidden);
    }
    dead[g->first + a] = !ok;
    n += !ok;
  }
  return n;
}

static qv_status leave(search *s, unsigned char *alive, uint32_t g, const unsigned char *dead) {
  put_split(s, g, alive, dead);
  put(s, "empty\n");
  for (uint32_t c = s->q->p->group[g].first; c < s->q->p->group[g].first + s->q->p->group[g].n; c++)
    if (dead[c]) alive[c] = 0;
  return QV_OK;
}

/* Remove what forbidden pairs exclude. *closed: the node stands for nothing, and that was written. */
static qv_status propagate(search *s, level *l, bool *closed) {
  const qv_alloc *p = s->q->p;
  unsigned char *dead = s->repair.flag;
  *closed = some_group_empty(p, l->alive);
  for (bool again = true; again && !*closed && p->n_blocks > 0;) {
    again = false;
    for (uint32_t e = 0; e < p->n_blocks && !*closed; e++)
      for (int side = 0; side < 2 && !*closed; side++) {
        uint32_t g = side == 0 ? p->block[e].g : p->block[e].h;
        uint32_t n = forbidden_by(s->q, e, side == 0, l->alive, dead);
        if (n == 0) continue;
        if (n == n_alive(p, g, l->alive)) *closed = true;
        else {
          (void)leave(s, l->alive, g, dead);
          again = true;
        }
      }
  }
  if (*closed) put(s, "empty\n");
  return QV_OK;
}

/* About: may row m alone close the node or remove a candidate? */
static bool row_may_reduce(const search *s, const unsigned char *alive, uint32_t m) {
  const qv_question *q = s->q;
  const qv_alloc *p = q->p;
  double room = q->db[m], span = 0;
  for (uint32_t i = s->touch_at[m]; i < s->touch_at[m + 1]; i++) {
    uint32_t g = s->touch[i];
    double lo = INFINITY, hi = 0;
    for (uint32_t c = p->group[g].first; c < p->group[g].first + p->group[g].n; c++) {
      if (!alive[c]) continue;
      double v = q->da[(size_t)c * q->n + m];
      if (v < lo) lo = v;
      if (v > hi) hi = v;
    }
    room -= lo;
    if (hi - lo > span) span = hi - lo;
  }
  return span > room - 1e-12;
}

static qv_status row_vector(qv_vector **out, search *s, uint32_t m) {
  qv_vector *v = &s->row[m];
  *out = v;
  if (v->used) return QV_OK;
  qv_status st = qv_vector_init(v, s->q, s->err);
  if (st == QV_OK) qv_vector_plain(v, m);
  return st;
}

/* What each limit alone excludes, until nothing more follows. *closed: nothing is left of the node, and that was written. */
static qv_status propagate_rows(search *s, level *l, bool *closed) {
  qv_status st = QV_OK;
  for (bool again = true; again && !*closed;) {
    again = false;
    for (uint32_t m = 0; m < s->q->n && !*closed; m++) {
      qv_vector *v;
      if (!row_may_reduce(s, l->alive, m)) continue;
      QV_TRY(row_vector(&v, s, m));
      if (!qv_vector_bound(s->s, v, l->alive)) return QV_OK; /* an empty group or block: `propagate` says so next */
      qv_vector_threshold(s->thr, v, NULL);
      if (mpz_cmp(s->s, s->thr) >= 0) {
        *closed = true;
        QV_TRY(put_vector_line(s, "bound", v));
      } else if (qv_vector_reduce(v, s->s, s->thr, l->alive) > 0) {
        again = true;
        QV_TRY(put_vector_line(s, "reduce", v));
      }
    }
  }
done:
  return st;
}

/* May an assignment of this node still break the class rule? */
static bool classes_open(const search *s, const level *l) {
  const qv_alloc *p = s->q->p;
  uint64_t seen = 0;
  bool any_free = false;
  if (p->n_classes == 0 || s->t->mode == QV_TREE_FIRST) return false; /* in order: each leaf is tested instead */
  for (uint32_t c = 0; c < p->n_cands; c++) {
    uint32_t k = p->cand[c].cls;
    if (!l->alive[c] || k == 0) continue;
    seen |= (uint64_t)1 << (k - 1);
    any_free = any_free || l->mark[k] == FREE;
  }
  return any_free && (uint32_t)__builtin_popcountll(seen) > p->max_classes;
}

static void choice_of(const search *s, const unsigned char *alive, uint32_t *choice) {
  const qv_alloc *p = s->q->p;
  for (uint32_t g = 0; g < p->n_groups; g++) {
    uint32_t c = p->group[g].first;
    while (!alive[c]) c++;
    choice[g] = c - p->group[g].first;
  }
}

void qv_tree_offer(qv_tree *t, const qv_question *q, const uint32_t *choice) {
  mpz_t key;
  mpz_init(key);
  qv_question_key(key, q, choice);
  if ((!t->finite || mpz_cmp(key, t->target) < 0) && qv_question_feasible(q, choice)) {
    mpz_set(t->target, key);
    t->finite = t->found = true;
    memcpy(t->choice, choice, q->p->n_groups * sizeof *choice);
  }
  mpz_clear(key);
}

static mpz_srcptr target_of(const search *s) { return s->t->finite ? s->t->target : NULL; }

/* Does this vector close the node? */
static bool closes(search *s, qv_vector *v, const unsigned char *alive) {
  if (!s->t->finite && mpz_sgn(v->d) != 0) return false;
  if (!qv_vector_bound(s->s, v, alive)) return false;
  qv_vector_threshold(s->thr, v, target_of(s));
  return mpz_cmp(s->s, s->thr) >= 0;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------------------------- */

static bool before(const uint32_t *x, const uint32_t *y, uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    if (x[i] != y[i]) return x[i] < y[i];
  return false;
}

/* The children of a class node overlap where its class is allowed but not used: such a leaf belongs to the first child. */
static bool uses_its_classes(const search *s, const level *l) {
  const qv_alloc *p = s->q->p;
  for (uint32_t b = 1; b <= p->n_classes; b++) {
    uint32_t g = 0;
    while (g < p->n_groups && p->cand[p->group[g].first + s->pick[g]].cls != b) g++;
    if (l->mark[b] == USED && g == p->n_groups) return false;
  }
  return true;
}

static qv_status count_leaf(search *s, const level *l) {
  qv_tree *t = s->t;
  if (!uses_its_classes(s, l)) return QV_OK;
  mpz_t key;
  mpz_init(key);
  qv_question_key(key, s->q, s->pick);
  if (mpz_cmp(key, t->target) < 0 && qv_question_feasible(s->q, s->pick)) {
    if (!t->found || before(s->pick, t->choice, s->q->p->n_groups)) memcpy(t->choice, s->pick, s->q->p->n_groups * sizeof *s->pick);
    t->found = true;
    t->count++;
    t->stopped = t->mode == QV_TREE_FIRST || t->count >= t->max_count;
  }
  mpz_clear(key);
  return QV_OK;
}

/* Every group is down to one candidate: a limit is broken, or the key is not below the target. */
static qv_status prove_leaf(search *s, level *l) {
  qv_vector_plain(&l->vec, QV_ATABLE_NONE);
  if (s->t->finite && closes(s, &l->vec, l->alive)) return put_vector_line(s, "bound", &l->vec);
  for (uint32_t m = 0; m < s->q->n; m++) {
    qv_vector_plain(&l->vec, m);
    if (closes(s, &l->vec, l->alive)) return put_vector_line(s, "bound", &l->vec);
  }
  return QV_FAIL(s->err, QV_E_INTERNAL, "a leaf of the proof does not close");
}

static qv_status leaf(search *s, level *l) {
  choice_of(s, l->alive, s->pick);
  switch (s->t->mode) {
  case QV_TREE_SEARCH:
    qv_tree_offer(s->t, s->q, s->pick);
    s->t->stopped = s->q->zero && s->t->found;
    return QV_OK;
  case QV_TREE_PROVE: return prove_leaf(s, l);
  case QV_TREE_COUNT:
  case QV_TREE_FIRST: return count_leaf(s, l);
  }
  return QV_OK;
}

/* Scaled bound that closes a node, a little below the exact one: what is below it is not worth an exact test. */
static double target_scaled(const search *s) {
  if (s->q->zero) return 1e-9;
  if (!s->t->finite) return INFINITY;
  double d = qv_question_scaled(s->q, s->t->target);
  return d - 1e-10 * (fabs(d) + 1);
}

/* Would `reduce` by the multipliers just found remove anything? */
static bool worth_reducing(const search *s, double target) {
  const qv_adual *d = &s->dual;
  for (uint32_t i = 0; i < d->n_groups; i++)
    for (uint32_t c = d->first[i]; c < d->first[i + 1]; c++)
      if (d->bound - d->low[i] + d->theta[c] >= target) return true;
  return false;
}

/* Bound the node, shrink it while that helps. *closed: nothing of it is left. */
static qv_status tighten(search *s, level *l, level *parent, uint32_t depth, bool *closed) {
  qv_status st = QV_OK;
  *closed = false;
  for (int round = 0;; round++) {
    QV_TRY(propagate_rows(s, l, closed));
    if (*closed) return QV_OK;
    QV_TRY(propagate(s, l, closed));
    if (*closed) return QV_OK;
    qv_adual_load(&s->dual, l->alive);
    if (s->dual.n_groups == 0 && !classes_open(s, l)) {
      *closed = true;
      return leaf(s, l);
    }
    if (!s->t->finite && !s->q->zero) return QV_OK; /* nothing to compare with yet */
    double target = target_scaled(s);
    bool root = depth == 0 && round == 0;
    if (round == 0 && parent != NULL && parent->vec.used && closes(s, &parent->vec, l->alive)) {
      *closed = true;
      return put_vector_line(s, "bound", &parent->vec);
    }
    /* Many rows (memory at every step) need more steps, which pay: fewer by far are the nodes that a good bound leaves open. */
    bool many = s->q->n > 8;
    qv_adual_climb(&s->dual, l->lambda, target, root ? (many ? 1500 : 400) : many ? 120 : 60);
    if (root) s->t->root_bound = s->dual.bound;
    memcpy(l->lambda, s->dual.lambda, s->q->n * sizeof *l->lambda);
    bool may_close = s->dual.bound >= target;
    if (!may_close && (round == 4 || !worth_reducing(s, target))) return QV_OK;
    qv_vector_from(&l->vec, &s->dual, l->alive);
    if (may_close && closes(s, &l->vec, l->alive)) {
      *closed = true;
      return put_vector_line(s, "bound", &l->vec);
    }
    if (!qv_vector_bound(s->s, &l->vec, l->alive)) return QV_FAIL(s->err, QV_E_INTERNAL, "an empty group was not seen");
    qv_vector_threshold(s->thr, &l->vec, target_of(s));
    if (qv_vector_reduce(&l->vec, s->s, s->thr, l->alive) == 0) return QV_OK;
    QV_TRY(put_vector_line(s, "reduce", &l->vec));
  }
done:
  return st;
}

/* The group to split, by position in the sub-problem, and the part that goes first, into s->repair.flag (by candidate). */
static uint32_t choose_split(search *s) {
  const qv_adual *d = &s->dual;
  const qv_question *q = s->q;
  unsigned char *in = s->repair.flag;
  uint32_t best = 0;
  double best_score = -1;
  for (uint32_t i = 0; i < d->n_groups; i++) {
    double top = 0, lo = INFINITY, hi = 0;
    for (uint32_t c = d->first[i]; c < d->first[i + 1]; c++) {
      double w = d->k[c] + 1e-9;
      for (uint32_t m = 0; m < q->n; m++) w += d->lambda[m] * d->a[(size_t)c * q->n + m];
      top = fmax(top, d->share[c]);
      if (d->share[c] < 0.02) continue;
      lo = fmin(lo, w - d->k[c]);
      hi = fmax(hi, w - d->k[c]);
    }
    double score = (1 - top) * (hi - lo + 1e-6) + 1e-12 * (1 - top);
    if (score > best_score) best_score = score, best = i;
  }
  /* cut at the mean weighted cost of the fractional solution */
  uint32_t from = d->first[best], end = d->first[best + 1];
  double mean = 0, lo = INFINITY, hi = -INFINITY, share_in = 0;
  for (uint32_t pass = 0; pass < 2; pass++) {
    for (uint32_t c = from; c < end; c++) {
      double w = 0;
      for (uint32_t m = 0; m < q->n; m++) w += (d->lambda[m] + 1e-12) * d->a[(size_t)c * q->n + m];
      if (pass == 0) {
        mean += w * d->share[c];
        lo = fmin(lo, w);
        hi = fmax(hi, w);
      } else {
        in[d->cid[c]] = w <= mean;
        if (w <= mean) share_in += d->share[c];
      }
    }
    if (!(mean >= lo && mean < hi)) mean = lo + (hi - lo) / 2;
  }
  uint32_t n_in = 0;
  for (uint32_t c = from; c < end; c++) n_in += in[d->cid[c]];
  if (n_in == 0 || n_in == end - from) /* equal costs: the pick against the rest */
    for (uint32_t c = from; c < end; c++) in[d->cid[c]] = c == d->pick[best], share_in = 1;
  if (share_in < 0.5) /* the likelier part first */
    for (uint32_t c = from; c < end; c++) in[d->cid[c]] = !in[d->cid[c]];
  return d->gid[best];
}

/* FIRST: the first open group, its first candidate. */
static uint32_t first_split(search *s, const level *l) {
  const qv_alloc *p = s->q->p;
  uint32_t g = 0, c;
  while (n_alive(p, g, l->alive) < 2) g++;
  for (c = p->group[g].first; c < p->group[g].first + p->group[g].n; c++) s->repair.flag[c] = 0;
  for (c = p->group[g].first; !l->alive[c];) c++;
  s->repair.flag[c] = 1;
  return g;
}

static qv_status node(search *s, uint32_t depth);

static qv_status split(search *s, uint32_t depth) {
  const qv_alloc *p = s->q->p;
  level *l = s->lv[depth], *kid;
  qv_status st;
  uint32_t g = s->t->mode == QV_TREE_FIRST ? first_split(s, l) : choose_split(s);
  uint32_t from = p->group[g].first, n = p->group[g].n;
  unsigned char *in = s->repair.flag;
  put_split(s, g, l->alive, in);
  QV_TRY(child_of(&kid, s, depth));
  for (uint32_t c = from; c < from + n; c++) {
    kid->alive[c] = l->alive[c] && in[c];
    l->alive[c] = l->alive[c] && !in[c]; /* what is left for the second child */
  }
  QV_TRY(node(s, depth + 1));
  QV_TRY(child_of(&kid, s, depth));
  QV_TRY(node(s, depth + 1));
done:
  return st;
}

static void ban(const search *s, level *l, uint32_t cls) {
  const qv_alloc *p = s->q->p;
  l->mark[cls] = BANNED;
  for (uint32_t c = 0; c < p->n_cands; c++)
    if (p->cand[c].cls == cls) l->alive[c] = 0;
}

static qv_status split_class(search *s, uint32_t depth) {
  const qv_alloc *p = s->q->p;
  level *l = s->lv[depth], *kid;
  qv_status st;
  uint32_t seen[65] = {0}, best = 0;
  for (uint32_t c = 0; c < p->n_cands; c++)
    if (l->alive[c]) seen[p->cand[c].cls]++;
  for (uint32_t b = 1; b <= p->n_classes; b++)
    if (l->mark[b] == FREE && seen[b] > 0 && (best == 0 || seen[b] > seen[best])) best = b;
  if (proving(s)) qv_buf_printf(&s->t->tree, "class %" PRIu32 "\n", best);
  QV_TRY(child_of(&kid, s, depth));
  ban(s, kid, best);
  QV_TRY(node(s, depth + 1));
  QV_TRY(child_of(&kid, s, depth));
  kid->mark[best] = USED;
  if (++kid->n_used == p->max_classes)
    for (uint32_t b = 1; b <= p->n_classes; b++)
      if (kid->mark[b] == FREE) ban(s, kid, b);
  QV_TRY(node(s, depth + 1));
done:
  return st;
}

static qv_status spent(const search *s) {
  const qv_tree *t = s->t;
  if (t->nodes > t->max_nodes) return QV_FAIL(s->err, QV_E_LIMIT, "the search tree has more than %" PRIu64 " nodes", t->max_nodes);
  if (t->deadline > 0 && (t->nodes & 15) == 0 && qv_ilp_clock() > t->deadline) return QV_FAIL(s->err, QV_E_LIMIT, "time is up");
  if (t->tree.failed || t->mults.failed) return NOMEM(s->err);
  if (t->tree.n + t->mults.n > (size_t)1 << 30) return QV_FAIL(s->err, QV_E_LIMIT, "the certificate is larger than 1 GiB");
  return QV_OK;
}

static qv_status node(search *s, uint32_t depth) {
  level *l = s->lv[depth];
  bool closed;
  qv_status st;
  if (s->t->stopped) return QV_OK;
  s->t->nodes++;
  QV_TRY(spent(s));
  QV_TRY(tighten(s, l, depth > 0 ? s->lv[depth - 1] : NULL, depth, &closed));
  if (closed) return QV_OK;
  bool classes = classes_open(s, l);
  if (s->t->mode == QV_TREE_SEARCH && !classes) {
    if (!s->t->finite && !s->q->zero) qv_adual_climb(&s->dual, l->lambda, INFINITY, depth == 0 ? 400 : 60);
    qv_arepair_run(&s->repair, &s->dual, l->alive, s->pick);
    qv_tree_offer(s->t, s->q, s->pick);
    if (s->q->zero && s->t->found) { /* feasibility was all that was asked */
      s->t->stopped = true;
      return QV_OK;
    }
  }
  return classes ? split_class(s, depth) : split(s, depth);
done:
  return st;
}

static qv_status find_touched(search *s) {
  const qv_question *q = s->q;
  const qv_alloc *p = q->p;
  s->touch_at = QV_NEW(&s->arena, (size_t)q->n + 1, uint32_t);
  s->touch = QV_NEW(&s->arena, (size_t)q->n * p->n_groups, uint32_t);
  if (s->touch_at == NULL || s->touch == NULL) return NOMEM(s->err);
  for (uint32_t m = 0; m < q->n; m++) {
    uint32_t at = s->touch_at[m];
    for (uint32_t g = 0; g < p->n_groups; g++) {
      bool any = false;
      for (uint32_t c = p->group[g].first; c < p->group[g].first + p->group[g].n && !any; c++) any = q->da[(size_t)c * q->n + m] != 0;
      if (any) s->touch[at++] = g;
    }
    s->touch_at[m + 1] = at;
  }
  return QV_OK;
}

qv_status qv_tree_run(qv_tree *t, const qv_question *q, uint32_t *choice, qv_err *err) {
  const qv_alloc *p = q->p;
  search *s = calloc(1, sizeof *s);
  qv_status st;
  level *root;
  if (s == NULL) return NOMEM(err);
  *s = (search){.t = t, .q = q, .err = err};
  mpz_inits(s->s, s->thr, (mpz_ptr)NULL);
  t->choice = choice;
  QV_TRY(qv_adual_init(&s->dual, q, err));
  QV_TRY(qv_arepair_init(&s->repair, q, err));
  s->pick = QV_NEW(&s->arena, p->n_groups, uint32_t);
  s->row = QV_NEW(&s->arena, q->n, qv_vector);
  if (s->pick == NULL || s->row == NULL) {
    st = NOMEM(err);
    goto done;
  }
  QV_TRY(find_touched(s));
  QV_TRY(level_at(&root, s, 0));
  memset(root->alive, 1, p->n_cands);
  for (uint32_t m = 0; m < q->n; m++) root->lambda[m] = q->zero ? 1.0 / q->n : 0;
  QV_TRY(node(s, 0));
done:
  for (uint32_t i = 0; i < s->made; i++) qv_vector_clear(&s->lv[i]->vec);
  for (uint32_t m = 0; s->row != NULL && m < q->n; m++) qv_vector_clear(&s->row[m]);
  qv_adual_clear(&s->dual);
  qv_arepair_clear(&s->repair);
  mpz_clears(s->s, s->thr, (mpz_ptr)NULL);
  qv_arena_clear(&s->arena);
  free(s);
  return st;
}
