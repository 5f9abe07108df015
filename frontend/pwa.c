#include "frontend/pwa.h"

#include <stdlib.h>

/* ---- memory ------------------------------------------------------------------------------------------------------------- */

void qv_pwa_free(qv_pwa *f) {
  if (f == NULL) return;
  for (uint32_t i = 0; i < f->cap; i++) {
    qv_surd_clear(&f->v[i].from);
    qv_surd_clear(&f->v[i].a);
    qv_surd_clear(&f->v[i].b);
  }
  free(f->v);
  free(f);
}

static bool room(qv_pwa *f, uint32_t want) {
  if (want <= f->cap) return true;
  uint32_t to = f->cap == 0 ? want : want > 2 * f->cap ? want : 2 * f->cap;
  qv_piece *v = realloc(f->v, to * sizeof *v);
  if (v == NULL) return false;
  f->v = v;
  for (; f->cap < to; f->cap++) {
    v[f->cap].closed = false;
    qv_surd_init(&v[f->cap].from);
    qv_surd_init(&v[f->cap].a);
    qv_surd_init(&v[f->cap].b);
  }
  return true;
}

qv_pwa *qv_pwa_new(uint32_t n) {
  qv_pwa *f = calloc(1, sizeof *f);
  if (f == NULL || !room(f, n)) {
    qv_pwa_free(f);
    return NULL;
  }
  f->n = n;
  return f;
}

qv_pwa *qv_pwa_affine(const qv_surd *a, const qv_surd *b) {
  qv_pwa *f = qv_pwa_new(1);
  if (f == NULL) return NULL;
  qv_surd_set(&f->v[0].a, a);
  qv_surd_set(&f->v[0].b, b);
  return f;
}

/* ---- composition -------------------------------------------------------------------------------------------------------- */

static bool same(const qv_surd *x, const qv_surd *y) { return mpq_equal(x->p, y->p) && mpq_equal(x->q, y->q) && mpq_equal(x->r, y->r); }

/* Append piece a*x + b; joined with the one before if equal. */
static qv_status put(qv_pwa *d, const qv_surd *from, bool closed, const qv_surd *a, const qv_surd *b) {
  if (d->n > 0 && same(&d->v[d->n - 1].a, a) && same(&d->v[d->n - 1].b, b)) return QV_OK;
  if (d->n > QV_MAX_THRESHOLDS) return QV_E_UNSUP;
  if (!room(d, d->n + 1)) return QV_E_NOMEM;
  qv_piece *p = &d->v[d->n++];
  qv_surd_set(&p->from, from);
  p->closed = closed;
  qv_surd_set(&p->a, a);
  qv_surd_set(&p->b, b);
  return QV_OK;
}

/* Piece of f that x lies in. */
static bool piece_of(uint32_t *k, const qv_pwa *f, const qv_surd *x) {
  uint32_t lo = 0, hi = f->n - 1; /* the answer is in [lo,hi] */
  while (lo < hi) {
    uint32_t mid = hi - (hi - lo) / 2;
    int c;
    if (!qv_surd_cmp(&c, x, &f->v[mid].from)) return false;
    if (c > 0 || (c == 0 && f->v[mid].closed)) lo = mid;
    else hi = mid - 1;
  }
  *k = lo;
  return true;
}

static bool line_at(qv_surd *y, const qv_piece *p, const qv_surd *x) {
  qv_surd t;
  qv_surd_init(&t);
  bool ok = qv_surd_mul(&t, &p->a, x) && qv_surd_add(y, &t, &p->b);
  qv_surd_clear(&t);
  return ok;
}

bool qv_pwa_at(qv_surd *y, const qv_pwa *f, const qv_surd *x) {
  uint32_t k;
  return piece_of(&k, f, x) && line_at(y, &f->v[k], x);
}

/* Order of boundaries. Of two at one point the closed one comes first. */
static bool before(bool *yes, const qv_surd *x, bool xc, const qv_surd *y, bool yc) {
  int c;
  if (!qv_surd_cmp(&c, x, y)) return false;
  *yes = c < 0 || (c == 0 && xc && !yc);
  return true;
}

/* Piece i of f, sloping: g's pieces in the order in which f meets them, cut to this piece. */
static qv_status through(qv_pwa *d, const qv_pwa *g, const qv_pwa *f, uint32_t i) {
  const qv_piece *p = &f->v[i], *next = i + 1 < f->n ? &f->v[i + 1] : NULL;
  qv_status st = QV_OK;
  bool rising = qv_surd_sign(&p->a) > 0, closed = p->closed, x_closed = false, yes, fits = true;
  qv_surd x, a, b, from; /* (from, closed): where the stretch begins */
  qv_surd_init(&x);
  qv_surd_init(&a);
  qv_surd_init(&b);
  qv_surd_init(&from);
  qv_surd_set(&from, &p->from);
  for (uint32_t s = 0; st == QV_OK && s < g->n; s++) {
    const qv_piece *q = &g->v[rising ? s : g->n - 1 - s];
    bool last = s + 1 == g->n;
    if (!last) { /* x where f crosses into the next piece of g; where f falls, what is at or above a boundary lies at or below x */
      const qv_piece *edge = rising ? q + 1 : q;
      if (!(fits = qv_surd_sub(&x, &edge->from, &p->b) && qv_surd_div(&x, &x, &p->a))) break;
      x_closed = rising ? edge->closed : !edge->closed;
      if (i > 0) { /* is anything of this stretch behind the beginning of p? */
        if (!(fits = before(&yes, &from, closed, &x, x_closed))) break;
        if (!yes) continue;
      }
    }
    if (!(fits = qv_surd_mul(&a, &q->a, &p->a) && line_at(&b, q, &p->b))) break;
    st = put(d, &from, closed, &a, &b);
    if (last) break;
    if (next != NULL) { /* does the next stretch begin before p ends? */
      if (!(fits = before(&yes, &x, x_closed, &next->from, next->closed)) || !yes) break;
    }
    qv_surd_set(&from, &x);
    closed = x_closed;
  }
  qv_surd_clear(&x);
  qv_surd_clear(&a);
  qv_surd_clear(&b);
  qv_surd_clear(&from);
  return fits ? st : QV_E_UNSUP;
}

static qv_status through_constant(qv_pwa *d, const qv_pwa *g, const qv_piece *p) {
  qv_surd zero, y;
  qv_surd_init(&zero);
  qv_surd_init(&y);
  qv_status st = qv_pwa_at(&y, g, &p->b) ? put(d, &p->from, p->closed, &zero, &y) : QV_E_UNSUP;
  qv_surd_clear(&zero);
  qv_surd_clear(&y);
  return st;
}

qv_status qv_pwa_compose(qv_pwa **out, const qv_pwa *g, const qv_pwa *f) {
  qv_pwa *d = calloc(1, sizeof *d);
  qv_status st = d == NULL ? QV_E_NOMEM : QV_OK;
  for (uint32_t i = 0; st == QV_OK && i < f->n; i++)
    st = qv_surd_sign(&f->v[i].a) == 0 ? through_constant(d, g, &f->v[i]) : through(d, g, f, i);
  if (st == QV_OK) *out = d;
  else qv_pwa_free(d);
  return st;
}

/* ---- functions ---------------------------------------------------------------------------------------------------------- */

qv_pwa *qv_pwa_slopes(const qv_surd *below, const qv_surd *above) {
  qv_pwa *f = qv_pwa_new(2);
  if (f == NULL) return NULL;
  qv_surd_set(&f->v[0].a, below);
  f->v[1].closed = true;
  qv_surd_set(&f->v[1].a, above);
  return f;
}

qv_pwa *qv_pwa_clip(const qv_surd *lo, const qv_surd *hi) {
  int c = -1;
  bool cross = lo != NULL && hi != NULL && qv_surd_cmp(&c, lo, hi) && c >= 0; /* min(max(x, lo), hi) = hi */
  qv_pwa *f = qv_pwa_new(cross ? 1 : 1u + (lo != NULL) + (hi != NULL));
  if (f == NULL) return NULL;
  qv_piece *p = f->v;
  if (cross) {
    qv_surd_set(&p->b, hi);
    return f;
  }
  if (lo != NULL) {
    qv_surd_set(&p->b, lo);
    p++;
    qv_surd_set(&p->from, lo);
    p->closed = true;
  }
  qv_surd_set_i64(&p->a, 1);
  if (hi != NULL) {
    p++;
    qv_surd_set(&p->from, hi);
    qv_surd_set(&p->b, hi);
  }
  return f;
}

bool qv_pwa_equal(const qv_pwa *f, const qv_pwa *g) {
  if (f->n != g->n) return false;
  for (uint32_t i = 0; i < f->n; i++) {
    const qv_piece *p = &f->v[i], *q = &g->v[i];
    if (!same(&p->a, &q->a) || !same(&p->b, &q->b)) return false;
    if (i > 0 && (!same(&p->from, &q->from) || p->closed != q->closed)) return false;
  }
  return true;
}

bool qv_pwa_is_step(const qv_pwa *f) {
  for (uint32_t i = 0; i < f->n; i++)
    if (qv_surd_sign(&f->v[i].a) != 0) return false;
  return true;
}

bool qv_pwa_rises(const qv_pwa *f) {
  bool ok = true;
  qv_surd y, z;
  qv_surd_init(&y);
  qv_surd_init(&z);
  for (uint32_t i = 0; ok && i < f->n; i++) {
    int c;
    ok = qv_surd_sign(&f->v[i].a) >= 0;
    if (ok && i > 0) /* both sides of the jump */
      ok = line_at(&y, &f->v[i - 1], &f->v[i].from) && line_at(&z, &f->v[i], &f->v[i].from) && qv_surd_cmp(&c, &y, &z) && c <= 0;
  }
  qv_surd_clear(&y);
  qv_surd_clear(&z);
  return ok;
}

/* ---- rounding ----------------------------------------------------------------------------------------------------------- */

/* Ceilings jump just above k-1, floors at k, nearest ones at k - 1/2; which side has the tie differs. */
void qv_round_boundary(qv_rounding mode, int64_t k, int64_t *twice, bool *closed) {
  bool up = false, nearest = false, upper = false; /* upper: the boundary itself rounds to k */
  switch (mode) {
  case QV_ROUND_CEIL: up = true; break;
  case QV_ROUND_FLOOR: break;
  case QV_ROUND_UP: up = k > 0; break;
  case QV_ROUND_DOWN: up = k <= 0; break;
  case QV_ROUND_EVEN: nearest = true, upper = k % 2 == 0; break;
  case QV_ROUND_HALF_UP: nearest = true, upper = k > 0; break;
  case QV_ROUND_HALF_DOWN: nearest = true, upper = k <= 0; break;
  }
  *twice = nearest ? 2 * k - 1 : up ? 2 * k - 2 : 2 * k;
  *closed = nearest ? upper : !up;
}

qv_pwa *qv_pwa_round(qv_rounding mode, int64_t lo, int64_t hi) {
  qv_pwa *f = qv_pwa_new((uint32_t)(hi - lo) + 1);
  if (f == NULL) return NULL;
  for (uint32_t i = 0; i < f->n; i++) {
    qv_surd_set_i64(&f->v[i].b, lo + i);
    if (i == 0) continue;
    int64_t twice;
    qv_round_boundary(mode, lo + i, &twice, &f->v[i].closed);
    mpq_set_si(f->v[i].from.p, twice, 2);
    mpq_canonicalize(f->v[i].from.p);
  }
  return f;
}

/* ---- in integers --------------------------------------------------------------------------------------------------------- */

static bool int32_of(int32_t *v, const qv_surd *x) {
  if (!qv_surd_rational(x) || mpz_cmp_ui(mpq_denref(x->p), 1) != 0 || !mpz_fits_sint_p(mpq_numref(x->p))) return false;
  *v = (int32_t)mpz_get_si(mpq_numref(x->p));
  return true;
}

#define TWO62 ((int64_t)1 << 62)

/* Is x within 2^-20 of the integer below or above it? z = the one below. */
static bool is_near(const qv_surd *x, const mpz_t z) {
  qv_surd d, t;
  int lo = -1, hi = -1;
  qv_surd_init(&d);
  qv_surd_init(&t);
  mpq_set_z(d.p, z);
  bool ok = qv_surd_sub(&d, x, &d); /* 0 <= d < 1 */
  mpq_set_ui(t.p, 1, 1u << 20);
  ok = ok && qv_surd_cmp(&lo, &d, &t);
  mpq_set_ui(t.p, (1u << 20) - 1, 1u << 20);
  ok = ok && qv_surd_cmp(&hi, &d, &t);
  qv_surd_clear(&d);
  qv_surd_clear(&t);
  return !ok || lo < 0 || hi > 0;
}

/* First integer of a piece, at least -2^62; above 2^62: INT64_MAX. No integer of a net lies beyond these. */
static int64_t first_integer(const qv_piece *p, uint32_t *near) {
  mpz_t z;
  mpz_init(z);
  bool whole = qv_surd_floor(z, &p->from);
  *near += is_near(&p->from, z);
  if (!(whole && p->closed)) mpz_add_ui(z, z, 1);
  int64_t v = mpz_fits_slong_p(z) ? mpz_get_si(z) : mpz_sgn(z) > 0 ? INT64_MAX : INT64_MIN;
  mpz_clear(z);
  return v > TWO62 ? INT64_MAX : qv_max64(v, -TWO62);
}

qv_status qv_pwa_pieces(qv_pieces *p, uint32_t *near, const qv_pwa *f, bool order, qv_arena *arena) {
  if (f->n > QV_MAX_THRESHOLDS + 1u) return QV_E_UNSUP;
  int64_t *t = QV_NEW(arena, f->n, int64_t);
  int32_t *v = QV_NEW(arena, f->n, int32_t), y;
  if (t == NULL || v == NULL) return QV_E_NOMEM;
  uint32_t k = 0;
  for (uint32_t i = 0; i < f->n; i++) {
    if (qv_surd_sign(&f->v[i].a) != 0 || !int32_of(&y, &f->v[i].b)) return QV_E_UNSUP;
    if (i > 0) {
      int64_t from = order ? qv_surd_order(&f->v[i].from, !f->v[i].closed) : first_integer(&f->v[i], near);
      if (from == INT64_MAX) break;
      if (k == 0 || t[k - 1] != from) t[k++] = from; /* else the piece before holds no integer */
    }
    v[k] = y;
  }
  *p = (qv_pieces){.k = k, .t = t, .v = v};
  return QV_OK;
}
