// Certificates of bit-width allocation: docs/allocation.md sections 2 to 5, docs/allocation-certificate.md. Every number is an
// integer of any size.
#include "check.h"

#include <gmp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- the problem -----------------------------------------------------------------------------------------------------------------------
typedef struct {
  uint32_t a, b; // candidates of the two groups, numbered within the group
  bool forbidden;
  mpz_t loss, *cost, key;
} PairTerm;

typedef struct {
  uint32_t g, h, n;
  PairTerm *term; // ascending in (a, b)
} Block;

// Candidates of all groups are numbered through: those of group g from first[g] to first[g+1]-1.
typedef struct {
  uint32_t rows, groups, candidates, blocks, classes, most; // most: K
  bool *limited;                                            // per row
  mpz_t *limit;
  uint32_t *first, *class;
  mpz_t *loss, *cost, *key; // per candidate; cost[c * rows + m]
  Block *block;
  mpz_t unit_num, unit_den; // of the loss
  char hash[65];
} Problem;

// ---- the state of a tree's node: section 3 ---------------------------------------------------------------------------------------------
typedef enum { FREE, USED, BANNED } Mark;

typedef struct {
  bool class;
  uint32_t index; // candidate that was removed; class that had the mark
  Mark mark;
} Change;

typedef struct {
  uint64_t mark;
  bool class, second;
  uint32_t what, removed; // class, or group with the candidates that its first child lost
} Fork;

typedef struct {
  mpz_t d;
  mpz_t *row;             // per row; 0 where not named
  uint32_t n_dual, *dual; // blocks
  mpz_t **u;              // per dual: the numbers of both groups' candidates
  mpz_t *r;               // per candidate, made when first used
} Vector;

typedef struct {
  const Problem *p;
  Text *t;
  bool infinite;
  mpz_t target, *limit; // limits in force
  bool *limited;
  bool *in;       // per candidate
  uint32_t *left; // per group
  Mark *marks;    // per class, from 1
  uint32_t used;
  Change *log;
  uint64_t n_log, log_room, depth, fork_room, nodes;
  Fork *fork;
  Vector *vector;
  uint32_t n_vectors;
  mpz_t *least, s, threshold, x; // per group: smallest r in A(g); S(i)
} Tree;

static mpz_t *numbers(uint64_t n) {
  mpz_t *v = take(n, sizeof *v);
  for (uint64_t i = 0; i < n; i++) mpz_init(v[i]);
  return v;
}

static void *obtain(size_t n) {
  void *p = malloc(n);
  if (!p) unusable("out of memory");
  return p;
}
static void *again(void *p, size_t old, size_t n) {
  (void)old;
  p = realloc(p, n);
  if (!p) unusable("out of memory");
  return p;
}
static void release(void *p, size_t n) {
  (void)n;
  free(p);
}

static void unit_fraction(Text *t, mpz_t num, mpz_t den) {
  mpz_t g;
  mpz_init(g);
  big(t, num);
  if (*t->p++ != '/') t->p--, bad(t, "a fraction expected");
  t->line_start = true; // no blank before the denominator
  big(t, den);
  mpz_gcd(g, num, den);
  if (mpz_sgn(num) <= 0 || mpz_sgn(den) <= 0 || mpz_cmp_ui(g, 1) != 0) bad(t, "a unit is a positive fraction in lowest terms");
  mpz_clear(g);
}

static void read_rows(Problem *p, Text *t) {
  mpz_t num, den;
  mpz_inits(num, den, NULL);
  word(t, "rows"), p->rows = number32(t, 0, 1024), newline(t);
  p->limited = take(p->rows, sizeof *p->limited), p->limit = numbers(p->rows);
  for (uint32_t m = 0; m < p->rows; m++) {
    word(t, "row"), string(t);
    p->limited[m] = !(t->p[0] == ' ' && t->p[1] == '-' && t->p[2] == ' ');
    if (p->limited[m]) big(t, p->limit[m]);
    else word(t, "-");
    unit_fraction(t, num, den), newline(t);
  }
  mpz_clears(num, den, NULL);
}

static void read_groups(Problem *p, Text *t) {
  word(t, "groups"), p->groups = number32(t, 1, 4096), newline(t);
  p->first = take((uint64_t)p->groups + 1, sizeof *p->first);
  p->class = take(1 << 16, sizeof *p->class);
  fits_text(t, p->groups, 10);
  uint64_t room = (uint64_t)(t->end - t->p) / 12 + 1; // a line of a candidate: 12 bytes and 2 for each cost
  if (room > 1 << 16) room = 1 << 16;
  if (room * p->rows > (uint64_t)(t->end - t->p)) room = (uint64_t)(t->end - t->p) / p->rows;
  p->loss = numbers(room), p->key = numbers(room), p->cost = numbers(room * p->rows);
  for (uint32_t g = 0; g < p->groups; g++) {
    word(t, "group"), string(t);
    uint32_t n = number32(t, 1, 4096), c = p->first[g];
    newline(t);
    if (n > room - c) bad(t, "too many candidates");
    p->first[g + 1] = p->candidates = c + n;
    for (; c < p->candidates; c++) {
      word(t, "cand"), string(t), p->class[c] = number32(t, 0, p->classes), big(t, p->loss[c]);
      for (uint32_t m = 0; m < p->rows; m++) big(t, p->cost[(uint64_t)c * p->rows + m]);
      newline(t);
    }
  }
}

static uint32_t size_of_group(const Problem *p, uint32_t g) { return p->first[g + 1] - p->first[g]; }

static void read_blocks(Problem *p, Text *t) {
  word(t, "pairs"), p->blocks = number32(t, 0, 65536), newline(t);
  fits_text(t, p->blocks, 20);
  p->block = take(p->blocks, sizeof *p->block);
  for (uint32_t i = 0; i < p->blocks; i++) {
    Block *e = &p->block[i];
    word(t, "pair"), e->g = number32(t, 0, p->groups - 1), e->h = number32(t, 0, p->groups - 1);
    if (e->g >= e->h || (i > 0 && (e->g < e[-1].g || (e->g == e[-1].g && e->h <= e[-1].h)))) bad(t, "pair blocks out of order");
    e->n = number32(t, 1, UINT32_MAX), newline(t);
    fits_text(t, e->n, 10 + 2 * p->rows);
    e->term = take(e->n, sizeof *e->term);
    for (uint32_t k = 0; k < e->n; k++) {
      PairTerm *x = &e->term[k];
      word(t, "term"), x->a = number32(t, 0, size_of_group(p, e->g) - 1), x->b = number32(t, 0, size_of_group(p, e->h) - 1);
      if (k > 0 && (x->a < x[-1].a || (x->a == x[-1].a && x->b <= x[-1].b))) bad(t, "terms out of order");
      x->forbidden = t->p[0] == ' ' && t->p[1] == 'f';
      if (x->forbidden) word(t, "forbidden");
      mpz_inits(x->loss, x->key, NULL);
      x->cost = numbers(p->rows);
      if (!x->forbidden) big(t, x->loss);
      for (uint32_t m = 0; m < p->rows && !x->forbidden; m++) big(t, x->cost[m]);
      newline(t);
    }
  }
}

static void read_problem(Problem *p, Text *t) {
  word(t, "qap"), word(t, "1"), newline(t);
  mpz_inits(p->unit_num, p->unit_den, NULL);
  word(t, "loss");
  unit_fraction(t, p->unit_num, p->unit_den), newline(t);
  read_rows(p, t);
  word(t, "classes"), p->classes = number32(t, 0, 64), p->most = number32(t, 0, 64), newline(t);
  if (p->classes == 0 ? p->most != 0 : p->most < 1 || p->most >= p->classes) bad(t, "classes: 0 0, or 1 <= K < L");
  read_groups(p, t), read_blocks(p, t);
  word(t, "end"), newline(t), text_end(t);
  sha256_hex(t->base, (size_t)(t->end - t->base), p->hash);
}

// ---- keys: docs/allocation.md section 3 ------------------------------------------------------------------------------------------------
static const mpz_t *cost_of(const Problem *p, uint32_t c, uint32_t m) { return (const mpz_t *)&p->cost[(uint64_t)c * p->rows + m]; }

// Least and largest cost of a group in a row.
static void group_range(const Problem *p, uint32_t g, uint32_t m, const mpz_t **least, const mpz_t **most) {
  *least = *most = cost_of(p, p->first[g], m);
  for (uint32_t c = p->first[g]; c < p->first[g + 1]; c++) {
    const mpz_t *x = cost_of(p, c, m);
    if (mpz_cmp(*x, **least) < 0) *least = x;
    if (mpz_cmp(*x, **most) > 0) *most = x;
  }
}

// Sum of the largest costs of groups and pair blocks; minus the sum of the least ones if `spread`.
static void largest_total(const Problem *p, uint32_t m, bool spread, mpz_t r) {
  const mpz_t *least, *most;
  mpz_t lo, hi;
  mpz_inits(lo, hi, NULL);
  mpz_set_ui(r, 0);
  for (uint32_t g = 0; g < p->groups; g++) {
    group_range(p, g, m, &least, &most);
    mpz_add(r, r, *most);
    if (spread) mpz_sub(r, r, *least);
  }
  for (uint32_t e = 0; e < p->blocks; e++) {
    mpz_set_ui(lo, 0), mpz_set_ui(hi, 0);
    for (uint32_t k = 0; k < p->block[e].n; k++) {
      const PairTerm *x = &p->block[e].term[k];
      if (x->forbidden) continue;
      if (mpz_cmp(x->cost[m], lo) < 0) mpz_set(lo, x->cost[m]);
      if (mpz_cmp(x->cost[m], hi) > 0) mpz_set(hi, x->cost[m]);
    }
    mpz_add(r, r, hi);
    if (spread) mpz_sub(r, r, lo);
  }
  mpz_clears(lo, hi, NULL);
}

// in_key: the rows R.
static void make_keys(Problem *p, const bool *in_key) {
  mpz_t weight, spread;
  mpz_inits(weight, spread, NULL);
  mpz_set_ui(weight, 1);
  for (uint32_t m = p->rows; m-- > 0;) {
    if (!in_key[m]) continue;
    for (uint32_t c = 0; c < p->candidates; c++) mpz_addmul(p->key[c], weight, *cost_of(p, c, m));
    for (uint32_t e = 0; e < p->blocks; e++) {
      for (uint32_t k = 0; k < p->block[e].n; k++) mpz_addmul(p->block[e].term[k].key, weight, p->block[e].term[k].cost[m]);
    }
    largest_total(p, m, true, spread);
    mpz_add_ui(spread, spread, 1), mpz_mul(weight, weight, spread);
  }
  for (uint32_t c = 0; c < p->candidates; c++) mpz_addmul(p->key[c], weight, p->loss[c]);
  for (uint32_t e = 0; e < p->blocks; e++) {
    for (uint32_t k = 0; k < p->block[e].n; k++) mpz_addmul(p->block[e].term[k].key, weight, p->block[e].term[k].loss);
  }
  mpz_clears(weight, spread, NULL);
}

// ---- choices ---------------------------------------------------------------------------------------------------------------------------
typedef struct {
  mpz_t loss, key, *cost;
} Choice;

static const PairTerm *term_of(const Block *e, uint32_t a, uint32_t b) {
  uint32_t i = 0, j = e->n;
  while (i < j) {
    uint32_t mid = i + (j - i) / 2;
    const PairTerm *x = &e->term[mid];
    if (x->a < a || (x->a == a && x->b < b)) i = mid + 1;
    else j = mid;
  }
  return i < e->n && e->term[i].a == a && e->term[i].b == b ? &e->term[i] : NULL;
}

static void add_costs(Choice *c, const mpz_t loss, const mpz_t key, const mpz_t *cost, uint32_t rows) {
  mpz_add(c->loss, c->loss, loss), mpz_add(c->key, c->key, key);
  for (uint32_t m = 0; m < rows; m++) mpz_add(c->cost[m], c->cost[m], cost[m]);
}

// Reads a choice, adds it up, and asks whether it is feasible and has the loss that is said.
static void read_choice(const Problem *p, Text *t, Choice *c) {
  mpz_t said;
  mpz_inits(c->loss, c->key, said, NULL);
  c->cost = numbers(p->rows);
  word(t, "choice"), big(t, said);
  fits_text(t, p->groups, 2);
  uint32_t *x = take(p->groups, sizeof *x), classes = 0;
  uint64_t seen = 0; // class 1 is bit 0
  for (uint32_t g = 0; g < p->groups; g++) {
    x[g] = number32(t, 0, size_of_group(p, g) - 1);
    uint32_t k = p->first[g] + x[g], b = p->class[k];
    add_costs(c, p->loss[k], p->key[k], (const mpz_t *)&p->cost[(uint64_t)k * p->rows], p->rows);
    if (b > 0 && !(seen >> (b - 1) & 1)) seen |= (uint64_t)1 << (b - 1), classes++;
  }
  newline(t);
  for (uint32_t e = 0; e < p->blocks; e++) {
    const PairTerm *k = term_of(&p->block[e], x[p->block[e].g], x[p->block[e].h]);
    if (k && k->forbidden) rejected("a choice takes a forbidden pair");
    if (k) add_costs(c, k->loss, k->key, (const mpz_t *)k->cost, p->rows);
  }
  for (uint32_t m = 0; m < p->rows; m++) {
    if (p->limited[m] && mpz_cmp(c->cost[m], p->limit[m]) > 0) rejected("a choice exceeds the limit of row %" PRIu32, m);
  }
  if (classes > p->most) rejected("a choice takes too many classes");
  if (mpz_cmp(said, c->loss) != 0) rejected("a choice has another loss");
  mpz_clear(said);
}

// ---- vectors ---------------------------------------------------------------------------------------------------------------------------
static void read_vector(Tree *s, Vector *v) {
  const Problem *p = s->p;
  Text *t = s->t;
  mpz_init(v->d);
  word(t, "mult"), big(t, v->d);
  if (mpz_sgn(v->d) < 0 || (s->infinite && mpz_sgn(v->d) != 0)) bad(t, "this denominator is not possible here");
  uint32_t rows = number32(t, 0, p->rows), last = 0;
  v->n_dual = number32(t, 0, p->blocks);
  v->row = numbers(p->rows);
  for (uint32_t i = 0; i < rows; i++) {
    uint32_t m = number32(t, 0, p->rows - 1);
    if ((i > 0 && m <= last) || !s->limited[m]) bad(t, "rows out of order, or a row without limit");
    last = m;
    big(t, v->row[m]);
    if (mpz_sgn(v->row[m]) < 0) bad(t, "a negative multiplier");
  }
  newline(t);
  v->dual = take(v->n_dual, sizeof *v->dual), v->u = take(v->n_dual, sizeof *v->u);
  for (uint32_t i = 0; i < v->n_dual; i++) {
    word(t, "dual"), v->dual[i] = number32(t, 0, p->blocks - 1);
    if (i > 0 && v->dual[i] <= v->dual[i - 1]) bad(t, "blocks out of order");
    const Block *e = &p->block[v->dual[i]];
    uint32_t n = size_of_group(p, e->g) + size_of_group(p, e->h);
    fits_text(t, n, 2);
    v->u[i] = numbers(n);
    for (uint32_t k = 0; k < n; k++) big(t, v->u[i][k]);
    newline(t);
  }
}

static void make_r(const Tree *s, Vector *v) {
  const Problem *p = s->p;
  v->r = numbers(p->candidates);
  for (uint32_t c = 0; c < p->candidates; c++) {
    mpz_mul(v->r[c], v->d, p->key[c]);
    for (uint32_t m = 0; m < p->rows; m++) {
      if (mpz_sgn(v->row[m]) != 0) mpz_addmul(v->r[c], v->row[m], *cost_of(p, c, m));
    }
  }
  for (uint32_t i = 0; i < v->n_dual; i++) {
    const Block *e = &p->block[v->dual[i]];
    uint32_t n = size_of_group(p, e->g);
    for (uint32_t a = 0; a < n; a++) mpz_add(v->r[p->first[e->g] + a], v->r[p->first[e->g] + a], v->u[i][a]);
    for (uint32_t b = 0; b < size_of_group(p, e->h); b++) mpz_add(v->r[p->first[e->h] + b], v->r[p->first[e->h] + b], v->u[i][n + b]);
  }
}

// q(e) is added to S.
static void add_block(Tree *s, const Vector *v, const Block *e, const mpz_t *u) {
  const Problem *p = s->p;
  uint32_t na = size_of_group(p, e->g), nb = size_of_group(p, e->h), k = 0;
  bool any = false;
  mpz_t best;
  mpz_init(best);
  for (uint32_t a = 0; a < na; a++) {
    for (uint32_t b = 0; b < nb; b++) {
      const PairTerm *x = k < e->n && e->term[k].a == a && e->term[k].b == b ? &e->term[k++] : NULL;
      if (!s->in[p->first[e->g] + a] || !s->in[p->first[e->h] + b] || (x && x->forbidden)) continue;
      if (x) mpz_mul(s->x, v->d, x->key);
      else mpz_set_ui(s->x, 0);
      for (uint32_t m = 0; x && m < p->rows; m++) mpz_addmul(s->x, v->row[m], x->cost[m]);
      if (u) mpz_sub(s->x, s->x, u[a]), mpz_sub(s->x, s->x, u[na + b]);
      if (!any || mpz_cmp(s->x, best) < 0) mpz_set(best, s->x);
      any = true;
    }
  }
  if (!any) bad(s->t, "a pair block has nothing left: the line is `empty`");
  mpz_add(s->s, s->s, best);
  mpz_clear(best);
}

// S(i), the threshold, and the minima over the groups, of vector number i.
static Vector *evaluate(Tree *s) {
  const Problem *p = s->p;
  if (s->n_vectors == 0) bad(s->t, "no vectors");
  Vector *v = &s->vector[number32(s->t, 0, s->n_vectors - 1)];
  if (!v->r) make_r(s, v);
  mpz_set_ui(s->s, 0);
  for (uint32_t g = 0; g < p->groups; g++) {
    bool any = false;
    for (uint32_t c = p->first[g]; c < p->first[g + 1]; c++) {
      if (s->in[c] && (!any || mpz_cmp(v->r[c], s->least[g]) < 0)) mpz_set(s->least[g], v->r[c]), any = true;
    }
    if (!any) bad(s->t, "a group has nothing left: the line is `empty`");
    mpz_add(s->s, s->s, s->least[g]);
  }
  for (uint32_t e = 0, i = 0; e < p->blocks; e++) {
    bool dual = i < v->n_dual && v->dual[i] == e;
    add_block(s, v, &p->block[e], dual ? (const mpz_t *)v->u[i] : NULL);
    if (dual) i++;
  }
  for (uint32_t m = 0; m < p->rows; m++) {
    if (mpz_sgn(v->row[m]) != 0) mpz_submul(s->s, v->row[m], s->limit[m]);
  }
  mpz_sub_ui(s->threshold, s->target, 1); // with an infinite target d = 0
  mpz_mul(s->threshold, s->threshold, v->d);
  mpz_add_ui(s->threshold, s->threshold, 1);
  return v;
}

// ---- trees -----------------------------------------------------------------------------------------------------------------------------
static void log_change(Tree *s, Change c) {
  if (s->n_log == s->log_room) {
    s->log_room = s->log_room ? 2 * s->log_room : 1024;
    Change *more = take(s->log_room, sizeof *more);
    if (s->n_log) memcpy(more, s->log, s->n_log * sizeof *more);
    s->log = more;
  }
  s->log[s->n_log++] = c;
}

static uint32_t group_of(const Problem *p, uint32_t c) {
  uint32_t i = 0, j = p->groups;
  while (j - i > 1) {
    uint32_t mid = i + (j - i) / 2;
    if (p->first[mid] <= c) i = mid;
    else j = mid;
  }
  return i;
}

static void remove_candidate(Tree *s, uint32_t c) {
  s->in[c] = false, s->left[group_of(s->p, c)]--;
  log_change(s, (Change){false, c, FREE});
}

static void mark_class(Tree *s, uint32_t b, Mark m) {
  log_change(s, (Change){true, b, s->marks[b]});
  s->marks[b] = m;
  if (m == USED) s->used++;
  for (uint32_t c = 0; c < s->p->candidates && m == BANNED; c++) {
    if (s->in[c] && s->p->class[c] == b) remove_candidate(s, c);
  }
}

static void undo(Tree *s, uint64_t mark) {
  while (s->n_log > mark) {
    Change c = s->log[--s->n_log];
    if (c.class) {
      if (s->marks[c.index] == USED) s->used--;
      s->marks[c.index] = c.mark;
    } else {
      s->in[c.index] = true, s->left[group_of(s->p, c.index)]++;
    }
  }
}

static void push(Tree *s, Fork f) {
  if (s->depth == s->fork_room) {
    s->fork_room = s->fork_room ? 2 * s->fork_room : 256;
    Fork *more = take(s->fork_room, sizeof *more);
    if (s->depth) memcpy(more, s->fork, s->depth * sizeof *more);
    s->fork = more;
  }
  s->fork[s->depth++] = f;
}

static void split_group(Tree *s) {
  const Problem *p = s->p;
  Fork f = {.mark = s->n_log, .what = number32(s->t, 0, p->groups - 1)};
  uint32_t g = f.what, first = p->first[g], end = p->first[g + 1], n = number32(s->t, 1, size_of_group(p, g)), at = first;
  if (n >= s->left[g]) bad(s->t, "a split takes some candidates, not all");
  for (uint32_t i = 0; i < n; i++) {
    uint32_t c = first + number32(s->t, 0, end - first - 1);
    if (!s->in[c] || c < at) bad(s->t, "not a candidate of this node, or out of order");
    for (; at < c; at++) {
      if (s->in[at]) remove_candidate(s, at);
    }
    at = c + 1;
  }
  for (; at < end; at++) {
    if (s->in[at]) remove_candidate(s, at);
  }
  f.removed = (uint32_t)(s->n_log - f.mark);
  push(s, f);
}

static void split_class(Tree *s) {
  if (s->p->classes == 0) bad(s->t, "there is no class rule");
  Fork f = {.mark = s->n_log, .class = true, .what = number32(s->t, 1, s->p->classes)};
  if (s->marks[f.what] != FREE) bad(s->t, "the class is not free");
  mark_class(s, f.what, BANNED);
  push(s, f);
}

static void second_child(Tree *s, Fork *f) {
  const Problem *p = s->p;
  f->second = true;
  if (f->class) {
    undo(s, f->mark);
    mark_class(s, f->what, USED);
    for (uint32_t b = 1; b <= p->classes && s->used == p->most; b++) {
      if (s->marks[b] == FREE) mark_class(s, b, BANNED);
    }
    return;
  }
  // The candidates that the first child kept go; those it removed are at the fork's place in the log. Nothing is lost by undoing twice.
  undo(s, f->mark + f->removed);
  uint32_t first = p->first[f->what], end = p->first[f->what + 1], kept = 0, *keep = take(end - first, sizeof *keep);
  for (uint32_t c = first; c < end; c++) {
    if (s->in[c]) keep[kept++] = c;
  }
  undo(s, f->mark);
  for (uint32_t i = 0; i < kept; i++) remove_candidate(s, keep[i]);
}

static void reduce(Tree *s) {
  const Problem *p = s->p;
  const Vector *v = evaluate(s);
  for (uint32_t g = 0; g < p->groups; g++) {
    for (uint32_t c = p->first[g]; c < p->first[g + 1]; c++) {
      if (!s->in[c]) continue;
      mpz_sub(s->x, s->s, s->least[g]), mpz_add(s->x, s->x, v->r[c]);
      if (mpz_cmp(s->x, s->threshold) >= 0) remove_candidate(s, c);
    }
  }
}

static bool is_empty(const Tree *s) {
  const Problem *p = s->p;
  for (uint32_t g = 0; g < p->groups; g++) {
    if (s->left[g] == 0) return true;
  }
  for (uint32_t i = 0; i < p->blocks; i++) {
    const Block *e = &p->block[i];
    uint64_t forbidden = 0;
    for (uint32_t k = 0; k < e->n; k++) {
      if (e->term[k].forbidden && s->in[p->first[e->g] + e->term[k].a] && s->in[p->first[e->h] + e->term[k].b]) forbidden++;
    }
    if (forbidden == (uint64_t)s->left[e->g] * s->left[e->h]) return true;
  }
  return false;
}

// One line of the tree; true if it closes its node.
static bool node_line(Tree *s) {
  static const char *const words[] = {"split", "class", "reduce", "bound", "empty"};
  unsigned what = choice(s->t, words, 5);
  if (++s->nodes > 100000000) bad(s->t, "more than 10^8 nodes are too many for this checker");
  if (what == 0) split_group(s);
  else if (what == 1) split_class(s);
  else if (what == 2) reduce(s);
  else if (what == 3) {
    evaluate(s);
    if (mpz_cmp(s->s, s->threshold) < 0) bad(s->t, "the bound is too small");
  } else if (!is_empty(s)) bad(s->t, "not empty");
  newline(s->t);
  return what >= 3;
}

// No feasible assignment has a key below the target, under the limits in force.
static void check_tree(Tree *s) {
  word(s->t, "mults"), s->n_vectors = number32(s->t, 0, UINT32_MAX), newline(s->t);
  fits_text(s->t, s->n_vectors, 11);
  s->vector = take(s->n_vectors, sizeof *s->vector);
  for (uint32_t i = 0; i < s->n_vectors; i++) read_vector(s, &s->vector[i]);
  for (;;) {
    if (!node_line(s)) continue;
    while (s->depth > 0 && s->fork[s->depth - 1].second) undo(s, s->fork[--s->depth].mark);
    if (s->depth == 0) break;
    second_child(s, &s->fork[s->depth - 1]);
  }
  undo(s, 0);
}

static Tree *tree_begin(const Problem *p, Text *t) {
  Tree *s = take(1, sizeof *s);
  s->p = p, s->t = t;
  mpz_inits(s->target, s->s, s->threshold, s->x, NULL);
  s->limit = numbers(p->rows), s->limited = take(p->rows, sizeof *s->limited);
  for (uint32_t m = 0; m < p->rows; m++) s->limited[m] = p->limited[m], mpz_set(s->limit[m], p->limit[m]);
  s->in = take(p->candidates, sizeof *s->in), s->left = take(p->groups, sizeof *s->left), s->least = numbers(p->groups);
  s->marks = take((uint64_t)p->classes + 1, sizeof *s->marks);
  for (uint32_t c = 0; c < p->candidates; c++) s->in[c] = true;
  for (uint32_t g = 0; g < p->groups; g++) s->left[g] = size_of_group(p, g);
  return s;
}

// ---- fronts by dynamic programming: section 4 ------------------------------------------------------------------------------------------
typedef struct {
  uint32_t n;
  mpz_t *u, *v; // u ascends, v descends
} Front;

static Front read_front(Text *t) {
  Front f = {0};
  word(t, "front"), f.n = number32(t, 0, UINT32_MAX), newline(t);
  fits_text(t, f.n, 4);
  f.u = numbers(f.n), f.v = numbers(f.n);
  for (uint32_t i = 0; i < f.n; i++) {
    big(t, f.u[i]), big(t, f.v[i]), newline(t);
    if (i > 0 && (mpz_cmp(f.u[i], f.u[i - 1]) <= 0 || mpz_cmp(f.v[i], f.v[i - 1]) >= 0)) bad(t, "the front is not in order");
  }
  return f;
}

static void free_numbers(mpz_t *v, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) mpz_clear(v[i]);
}

// The pair with the largest U <= u has the least V of them.
static bool dominated(const Front *f, const mpz_t u, const mpz_t v) {
  uint32_t i = 0, j = f->n; // pairs before i have U <= u
  while (i < j) {
    uint32_t mid = i + (j - i) / 2;
    if (mpz_cmp(f->u[mid], u) <= 0) i = mid + 1;
    else j = mid;
  }
  return i > 0 && mpz_cmp(f->v[i - 1], v) <= 0;
}

// Every feasible assignment's (cost in row, loss) is no better than some pair of the front that is returned.
static Front read_dp(const Problem *p, Text *t, uint32_t row) {
  mpz_t rest, u, v, total;
  const mpz_t *least, *most;
  if (p->blocks > 0 || p->classes > 0) bad(t, "proof dp: only without pair blocks and classes");
  mpz_inits(rest, u, v, total, NULL);
  for (uint32_t m = 0; m < p->rows; m++) {
    largest_total(p, m, false, total);
    if (m != row && p->limited[m] && mpz_cmp(total, p->limit[m]) > 0) bad(t, "proof dp: another row's limit can bind");
  }
  for (uint32_t g = 0; g < p->groups; g++) group_range(p, g, row, &least, &most), mpz_add(rest, rest, *least);
  Front f = {1, numbers(1), numbers(1)};
  for (uint32_t g = 0; g < p->groups; g++) {
    Front next = read_front(t);
    group_range(p, g, row, &least, &most);
    mpz_sub(rest, rest, *least); // of the groups from g + 1 on
    for (uint32_t i = 0; i < f.n; i++) {
      for (uint32_t c = p->first[g]; c < p->first[g + 1]; c++) {
        mpz_add(u, f.u[i], *cost_of(p, c, row)), mpz_add(v, f.v[i], p->loss[c]);
        mpz_add(total, u, rest);
        if (p->limited[row] && mpz_cmp(total, p->limit[row]) > 0) continue;
        if (!dominated(&next, u, v)) bad(t, "the front leaves out what can be reached");
      }
    }
    free_numbers(f.u, f.n), free_numbers(f.v, f.n);
    f = next;
  }
  mpz_clears(rest, u, v, total, NULL);
  return f;
}

// ---- claims ----------------------------------------------------------------------------------------------------------------------------
static void print_loss(const Problem *p, const mpz_t loss) {
  mpq_t q;
  mpq_init(q);
  mpz_mul(mpq_numref(q), loss, p->unit_num), mpz_set(mpq_denref(q), p->unit_den);
  mpq_canonicalize(q);
  gmp_printf("c optimum %Qd\n", q);
  mpq_clear(q);
}

static void optimum(Problem *p, Text *t) {
  static const char *const orders[] = {"lex", "loss"}, *const proofs[] = {"tree", "dp"};
  bool *in_key = take(p->rows, sizeof *in_key), lex = choice(t, orders, 2) == 0;
  uint32_t limited = 0;
  for (uint32_t m = 0; m < p->rows; m++) in_key[m] = lex && p->limited[m], limited += p->limited[m];
  make_keys(p, in_key);
  newline(t);
  Choice *x = take(1, sizeof *x);
  read_choice(p, t, x);
  word(t, "proof");
  if (choice(t, proofs, 2) == 0) {
    newline(t);
    Tree *s = tree_begin(p, t);
    mpz_set(s->target, x->key);
    check_tree(s);
  } else {
    if (p->rows == 0) bad(t, "no rows");
    uint32_t row = number32(t, 0, p->rows - 1);
    newline(t);
    if (lex && limited > 0 && (limited > 1 || !p->limited[row])) bad(t, "proof dp: lex needs the only row that has a limit");
    Front f = read_dp(p, t, row);
    for (uint32_t i = 0; i < f.n; i++) {
      if (p->limited[row] && mpz_cmp(f.u[i], p->limit[row]) > 0) continue;
      int d = mpz_cmp(f.v[i], x->loss);
      if (d < 0 || (d == 0 && lex && limited > 0 && mpz_cmp(f.u[i], x->cost[row]) < 0)) bad(t, "the front has a better pair");
    }
  }
  own_hash(t);
  print_loss(p, x->loss);
}

static void infeasible(Problem *p, Text *t) {
  newline(t);
  word(t, "proof"), word(t, "tree"), newline(t);
  Tree *s = tree_begin(p, t);
  s->infinite = true;
  check_tree(s);
  own_hash(t);
  puts("c infeasible");
}

static void chain(const Problem *p, Text *t, uint32_t row, const Choice *x, uint32_t n) {
  Tree *s = tree_begin(p, t);
  if (!p->limited[row]) largest_total(p, row, false, s->limit[row]);
  s->limited[row] = true;
  for (uint32_t i = n; i-- > 0;) {
    mpz_set(s->target, x[i].key);
    check_tree(s);
    mpz_sub_ui(s->limit[row], x[i].cost[row], 1);
  }
  s->infinite = true;
  check_tree(s);
}

static void front_dp(const Problem *p, Text *t, uint32_t row, const Choice *x, uint32_t n) {
  Front f = read_dp(p, t, row), points = {n, numbers(n), numbers(n)};
  for (uint32_t i = 0; i < n; i++) mpz_set(points.u[i], x[i].cost[row]), mpz_set(points.v[i], x[i].loss);
  for (uint32_t i = 0; i < f.n; i++) {
    if (p->limited[row] && mpz_cmp(f.u[i], p->limit[row]) > 0) continue;
    if (!dominated(&points, f.u[i], f.v[i])) bad(t, "the front has a pair that no point covers");
  }
}

static void front(Problem *p, Text *t) {
  static const char *const proofs[] = {"chain", "dp"};
  bool *in_key = take(p->rows, sizeof *in_key);
  if (p->rows == 0) bad(t, "no rows");
  uint32_t row = number32(t, 0, p->rows - 1);
  newline(t);
  in_key[row] = true;
  make_keys(p, in_key);
  word(t, "points");
  uint32_t n = number32(t, 1, UINT32_MAX);
  newline(t);
  fits_text(t, n, 11);
  Choice *x = take(n, sizeof *x);
  for (uint32_t i = 0; i < n; i++) {
    read_choice(p, t, &x[i]);
    if (i > 0 && (mpz_cmp(x[i].cost[row], x[i - 1].cost[row]) <= 0 || mpz_cmp(x[i].loss, x[i - 1].loss) >= 0))
      bad(t, "the points are not in order");
  }
  word(t, "proof");
  if (choice(t, proofs, 2) == 0) {
    newline(t);
    chain(p, t, row, x, n);
  } else {
    number(t, row, row), newline(t);
    front_dp(p, t, row, x, n);
  }
  own_hash(t);
  printf("c front %" PRIu32 "\n", n);
}

void alloc_check(Text *problem, Text *t) {
  static const char *const claims[] = {"optimum", "infeasible", "front"};
  Problem *p = take(1, sizeof *p);
  mp_set_memory_functions(obtain, again, release);
  read_problem(p, problem);
  word(t, "qva"), word(t, "1"), newline(t);
  word(t, "problem"), word(t, p->hash), newline(t);
  word(t, "claim");
  unsigned claim = choice(t, claims, 3);
  if (claim == 0) optimum(p, t);
  else if (claim == 1) infeasible(p, t);
  else front(p, t);
}
