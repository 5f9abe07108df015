#include "analysis/reach.h"

#include <stdlib.h>
#include <string.h>

/* Normal form: S = base + g * { sum a[k]*y[k] : 0 <= y[k] <= r[k] }, a[k] > 0 with greatest common divisor 1 (over the items left
 * after d = 0 and fixed x are dropped). S_k is what the first k items reach; S_k within [0, T_k], T_k = sum a*r, and symmetric:
 * t in S_k iff T_k - t in S_k (replace each y by r - y).
 *
 * Lemma D2. Let [h, T-h] be in S_k and a <= T - 2h + 1 for the next item. Then [h, T'-h] is in S_(k+1), T' = T + a*r, because the
 * intervals [h + a*y, T-h + a*y] overlap or touch; and below h, S_(k+1) consists of s + a*y with s < h, s in S_k. So S_(k+1) is
 * known from its first h members alone.
 *
 * Sets are stored as bits: whole sets first, the first h bits only once the middle is full. */

typedef struct {
  size_t source; /* index into the sum */
  int64_t a, r;
} item;

typedef struct {
  int64_t top;          /* T_k */
  uint64_t n;           /* bits stored: T_k + 1 (whole), or h */
  const uint64_t *bits; /* bit t: t in S_k */
  bool whole;
} set;

struct qv_reacher {
  const qv_linsum *sum;
  int64_t base, g;
  size_t n;     /* items */
  item *it;     /* in the order of the sets */
  set *s;       /* [n + 1] */
  bool open;
};

static bool bit(const uint64_t *b, uint64_t i) { return b[i / 64] >> (i % 64) & 1; }

static bool member(const set *s, int64_t t) {
  if (t < 0 || t > s->top) return false;
  if (s->whole) return bit(s->bits, (uint64_t)t);
  uint64_t low = (uint64_t)qv_min64(t, s->top - t);
  return low >= s->n || bit(s->bits, low);
}

static uint64_t gcd(uint64_t a, uint64_t b) {
  while (b != 0) {
    uint64_t c = a % b;
    a = b;
    b = c;
  }
  return a;
}

static int by_size(const void *p, const void *q) {
  const item *a = p, *b = q;
  if (a->a != b->a) return a->a < b->a ? -1 : 1;
  return a->source < b->source ? -1 : a->source > b->source;
}

/* First the items that bring the common divisor down, fewest first; the rest by size. Sets then fill up early. */
static void order(item *it, size_t n, uint64_t g) {
  qsort(it, n, sizeof *it, by_size);
  uint64_t have = 0;
  for (size_t k = 0; k < n && have != g; k++) {
    size_t best = k;
    uint64_t low = UINT64_MAX;
    for (size_t i = k; i < n; i++) {
      uint64_t d = gcd(have, (uint64_t)it[i].a);
      if (d < low) low = d, best = i;
    }
    item t = it[best];
    memmove(it + k + 1, it + k, (best - k) * sizeof *it);
    it[k] = t;
    have = low;
  }
}

/* to |= from << shift, cut off after `n` bits. Different arrays. */
static void or_shifted(uint64_t *to, const uint64_t *from, uint64_t n_from, uint64_t shift, uint64_t n) {
  uint64_t words = (n + 63) / 64, from_words = (n_from + 63) / 64, ws = shift / 64, bs = shift % 64;
  for (uint64_t w = 0; w < from_words && w + ws < words; w++) {
    to[w + ws] |= from[w] << bs;
    if (bs != 0 && w + ws + 1 < words) to[w + ws + 1] |= from[w] >> (64 - bs);
  }
  if (n % 64 != 0) to[words - 1] &= ((uint64_t)1 << (n % 64)) - 1;
}

/* The first n bits of the union of `from` shifted by 0, a, .., r*a. By doubling: `to` always holds the shifts 0, a, .., (c-1)*a. */
static void extend(uint64_t *to, const uint64_t *from, uint64_t n_from, int64_t a, int64_t r, uint64_t n, uint64_t *tmp) {
  uint64_t words = (n + 63) / 64, c = 1, want = (uint64_t)r + 1;
  memset(to, 0, words * sizeof *to);
  or_shifted(to, from, n_from < n ? n_from : n, 0, n);
  while (c < want) {
    uint64_t more = c <= want - c ? c : want - c, shift;
    if (__builtin_mul_overflow(more, (uint64_t)a, &shift) || shift >= n) break; /* nothing new below n */
    memcpy(tmp, to, words * sizeof *tmp);
    or_shifted(to, tmp, n, shift, n);
    c += more;
  }
}

/* Smallest h with all of [h, T-h] in the whole set s. */
static uint64_t hole(const set *s) {
  uint64_t half = (uint64_t)s->top / 2, h = half + 1;
  while (h > 0 && bit(s->bits, h - 1)) h--;
  return h;
}

/* All top+1 bits of s, or NULL. */
static uint64_t *spread(const set *s, qv_arena *arena) {
  uint64_t *b = QV_NEW(arena, (uint64_t)s->top / 64 + 1, uint64_t);
  for (int64_t t = 0; b != NULL && t <= s->top; t++)
    if (member(s, t)) b[t / 64] |= (uint64_t)1 << (t % 64);
  return b;
}

/* Set k+1 from set k; *left bits may still be stored. */
static qv_status next_set(qv_reacher *r, size_t k, uint64_t *left, qv_arena *arena, qv_err *err) {
  const item *it = &r->it[k];
  set s = r->s[k], *next = &r->s[k + 1];
  uint64_t h = s.whole ? hole(&s) : s.n;
  next->top = s.top + it->a * it->r; /* within the bounds of the sum */
  next->whole = !((qv_i128)it->a <= (qv_i128)s.top - 2 * (qv_i128)h + 1);
  next->n = next->whole ? (uint64_t)next->top + 1 : h;
  next->bits = s.bits;
  if (!next->whole && !s.whole && (uint64_t)it->a >= h) return QV_OK; /* nothing new below h */
  if (next->n > *left) {
    r->open = true;
    return QV_OK;
  }
  *left -= next->n;
  qv_arena tmp = {0};
  uint64_t words = next->n / 64 + 1, *b = QV_NEW(arena, words, uint64_t), *work = QV_NEW(&tmp, words, uint64_t);
  if (!s.whole && next->whole) { /* a wide step after narrow ones: the middle does not stay full */
    s.bits = spread(&s, &tmp);
    s.n = (uint64_t)s.top + 1;
  }
  bool ok = b != NULL && work != NULL && s.bits != NULL;
  if (ok && next->n > 0) extend(b, s.bits, s.n, it->a, it->r, next->n, work);
  next->bits = b;
  qv_arena_clear(&tmp);
  return ok ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "reachable sums");
}

static qv_status sets(qv_reacher *r, uint64_t max_bits, qv_arena *arena, qv_err *err) {
  static const uint64_t one = 1;
  qv_status st = QV_OK;
  r->s[0] = (set){0, 1, &one, true};
  for (size_t k = 0; st == QV_OK && k < r->n && !r->open; k++) st = next_set(r, k, &max_bits, arena, err);
  return st;
}

qv_status qv_reacher_new(qv_reacher **out, const qv_linsum *s, uint64_t max_bits, qv_arena *arena, qv_err *err) {
  qv_reacher *r = QV_NEW(arena, 1, qv_reacher);
  if (r == NULL) return QV_FAIL(err, QV_E_NOMEM, "reachable sums");
  r->sum = s;
  r->it = QV_NEW(arena, s->n, item);
  r->s = QV_NEW(arena, s->n + 1, set);
  if (r->it == NULL || r->s == NULL) return QV_FAIL(err, QV_E_NOMEM, "reachable sums");
  r->base = s->b;
  uint64_t g = 0;
  for (size_t i = 0; i < s->n; i++) {
    int64_t d = s->d[i];
    r->base += d * (d >= 0 ? s->x[i].lo : s->x[i].hi);
    if (d == 0 || s->x[i].lo == s->x[i].hi) continue;
    r->it[r->n++] = (item){i, d < 0 ? -d : d, s->x[i].hi - s->x[i].lo};
    g = gcd(g, (uint64_t)(d < 0 ? -d : d));
  }
  r->g = g > 0 ? (int64_t)g : 1;
  for (size_t k = 0; k < r->n; k++) r->it[k].a /= r->g;
  order(r->it, r->n, 1);
  *out = r;
  return sets(r, max_bits != 0 ? max_bits : QV_REACH_BITS, arena, err);
}

/* A member of [p,q] within the last set, or -1. The middle of the set is preferred: its members have many representations. */
static int64_t pick(const set *s, int64_t p, int64_t q) {
  p = qv_max64(p, 0);
  q = qv_min64(q, s->top);
  if (p > q) return -1;
  if (!s->whole) { /* the middle [n, top-n] is full */
    int64_t lo = qv_max64(p, (int64_t)s->n), hi = qv_min64(q, s->top - (int64_t)s->n);
    if (lo <= hi) return qv_clamp64(s->top / 2, lo, hi);
    int64_t ends = (int64_t)s->n;
    for (int64_t t = p; t <= qv_min64(q, ends); t++)
      if (member(s, t)) return t;
    for (int64_t t = qv_max64(p, s->top - ends); t <= q; t++)
      if (member(s, t)) return t;
    return -1;
  }
  int64_t mid = qv_clamp64(s->top / 2, p, q);
  for (int64_t t = mid; t <= q; t++)
    if (member(s, t)) return t;
  for (int64_t t = mid - 1; t >= p; t--)
    if (member(s, t)) return t;
  return -1;
}

/* y of the last item of set k with t - a*y in the set before it, as near as possible to the same share of its range as t has of
 * the set's. There is one, since t is in set k. */
static int64_t last_value(const qv_reacher *r, size_t k, int64_t t) {
  const item *it = &r->it[k - 1];
  const set *before = &r->s[k - 1];
  int64_t at = r->s[k].top > 0 ? (int64_t)((qv_i128)it->r * t / r->s[k].top) : 0;
  for (int64_t off = 0; off <= it->r; off++) {
    if (at + off <= it->r && member(before, t - it->a * (at + off))) return at + off;
    if (at - off >= 0 && member(before, t - it->a * (at - off))) return at - off;
  }
  QV_CHECK(false); /* the sets do not fit each other */
  return 0;
}

qv_reach_answer qv_reacher_find(int64_t *value, int64_t *x, const qv_reacher *r, const qv_itv *want, size_t n_want) {
  if (r->open) return QV_REACH_OPEN;
  int64_t t = -1;
  for (size_t i = 0; t < 0 && i < n_want; i++)
    t = pick(&r->s[r->n], (int64_t)qv_sat64(qv_ceil_div((qv_i128)want[i].lo - r->base, r->g)),
             (int64_t)qv_sat64(qv_floor_div((qv_i128)want[i].hi - r->base, r->g)));
  if (t < 0) return QV_REACH_NO;
  *value = r->base + r->g * t;
  const qv_linsum *s = r->sum;
  for (size_t i = 0; i < s->n; i++) x[i] = s->d[i] >= 0 ? s->x[i].lo : s->x[i].hi;
  for (size_t k = r->n; k > 0; k--) {
    const item *it = &r->it[k - 1];
    int64_t y = last_value(r, k, t);
    t -= it->a * y;
    x[it->source] += s->d[it->source] >= 0 ? y : -y;
  }
  return QV_REACH_YES;
}
