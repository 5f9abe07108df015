#include "cli/amp.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool cli_target_read(cli_target *t, const char *spec) {
  const char *v = strchr(spec, '=');
  char *end;
  *t = (cli_target){.sqnr = strncmp(spec, "sqnr=", 5) == 0};
  if (v == NULL || (!t->sqnr && strncmp(spec, "accuracy=", 9) != 0)) return false;
  v++;
  t->relative = !t->sqnr && strncmp(v, "float", 5) == 0;
  if (t->relative) v += 5;
  if (t->relative && *v == 0) return true;
  if (t->relative && *v != '-' && *v != '+') return false;
  t->value = strtod(v, &end);
  return end != v && *end == 0 && t->value - t->value == 0;
}

/* An entry of the list of phase 1. */
typedef struct {
  uint32_t g, c;
  qv_bits bits;
  mpz_srcptr loss; /* in units: the signal to noise ratio, turned over */
  mpz_t gain;      /* bops that it saves */
} entry;

typedef struct {
  const cli_allocnet *x;
  const qv_alloc *p;
  const cli_target *t;
  cli_realized_set set;
  double target;
  qv_buf *log;
  qv_err *err;
} amp;

/* AIMET's order: score, then bits, then saved bit operations, all descending, then the group. */
static int by_score(const void *a, const void *b) {
  const entry *x = a, *y = b;
  int s = mpz_cmp(x->loss, y->loss);
  if (s != 0) return s;
  if (x->bits.w + x->bits.a != y->bits.w + y->bits.a) return y->bits.w + y->bits.a - x->bits.w - x->bits.a;
  if ((s = mpz_cmp(y->gain, x->gain)) != 0) return s;
  return x->g != y->g ? (x->g > y->g) - (x->g < y->g) : (x->c > y->c) - (x->c < y->c);
}

static const char *name_of(const amp *m, uint32_t g, uint32_t c) { return m->p->cand[m->p->group[g].first + c].name; }

/* Every group at these bits. False: a group has no such candidate. */
static bool homogeneous(const amp *m, uint32_t *x, qv_bits b) {
  for (uint32_t g = 0; g < m->p->n_groups; g++) {
    bool found = false;
    for (uint32_t c = 0; c < m->p->group[g].n && !found; c++) {
      qv_bits k;
      found = qv_cand_read(&k, NULL, name_of(m, g, c)) && k.a == b.a && (k.w == 0 || k.w == b.w);
      if (found) x[g] = c;
    }
    if (!found) return false;
  }
  return true;
}

/* The score that phase 2 goes by; -infinity where no runtime computes these integers. */
static qv_status score(double *v, amp *m, const uint32_t *choice) {
  const cli_realized *r;
  qv_status st = cli_realize(&r, &m->set, m->x, m->p, choice, m->err);
  if (st != QV_OK) return st;
  *v = r->refused != NULL || r->n == 0 ? -INFINITY : m->t->sqnr ? r->sqnr_db : 100.0 * (double)(r->labelled ? r->right_int : r->same) / (double)r->n;
  return QV_OK;
}

static uint32_t bops_row(const qv_alloc *p) {
  for (uint32_t r = 0; r < p->n_rows; r++)
    if (strcmp(p->row[r].name, "bops") == 0) return r;
  return 0;
}

static void bops(mpz_t out, const amp *m, const uint32_t *choice) {
  mpz_set_ui(out, 0);
  for (uint32_t g = 0; g < m->p->n_groups; g++) mpz_add(out, out, qv_alloc_val(m->p, m->p->group[g].first + choice[g], 1 + bops_row(m->p)));
}

/* Best homogeneous candidate by score (*base), and the cheapest in bit operations (ties: the better score). */
static qv_status ends(amp *m, uint32_t *base, uint32_t *low, double *base_score, double *low_score, bool *any) {
  const qv_alloc *p = m->p;
  uint32_t *x = calloc(p->n_groups + 1, sizeof *x);
  qv_status st = x != NULL ? QV_OK : QV_FAIL(m->err, QV_E_NOMEM, "out of memory");
  mpz_t least, now;
  mpz_inits(least, now, (mpz_ptr)NULL);
  *any = false;
  for (uint32_t i = 0; st == QV_OK && i < m->x->n_cand; i++) {
    double v;
    if (!homogeneous(m, x, m->x->cand[i])) continue;
    if ((st = score(&v, m, x)) != QV_OK) break;
    bops(now, m, x);
    qv_buf_printf(m->log, "  all at W%dA%d: %.3f\n", m->x->cand[i].w, m->x->cand[i].a, v);
    int cheaper = *any ? mpz_cmp(now, least) : -1;
    if (cheaper < 0 || (cheaper == 0 && v > *low_score)) {
      mpz_set(least, now);
      *low_score = v;
      memcpy(low, x, p->n_groups * sizeof *x);
    }
    if (!*any || v > *base_score) {
      *base_score = v;
      memcpy(base, x, p->n_groups * sizeof *x);
    }
    *any = true;
  }
  mpz_clears(least, now, (mpz_ptr)NULL);
  free(x);
  return st;
}

/* Phase 1: every candidate but the baseline's, best score first. */
static entry *sensitivities(const amp *m, const uint32_t *base, uint32_t *n) {
  const qv_alloc *p = m->p;
  entry *list = calloc(p->n_cands + 1, sizeof *list);
  uint32_t row = 1 + bops_row(p);
  *n = 0;
  for (uint32_t g = 0; list != NULL && g < p->n_groups; g++)
    for (uint32_t c = 0; c < p->group[g].n; c++) {
      entry *e = &list[*n];
      if (c == base[g]) continue;
      *e = (entry){.g = g, .c = c, .loss = qv_alloc_val(p, p->group[g].first + c, 0)};
      (void)qv_cand_read(&e->bits, NULL, name_of(m, g, c));
      mpz_init(e->gain);
      mpz_sub(e->gain, qv_alloc_val(p, p->group[g].first + base[g], row), qv_alloc_val(p, p->group[g].first + c, row));
      ++*n;
    }
  if (list != NULL) qsort(list, *n, sizeof *list, by_score);
  return list;
}

/* Phase 2: prefix after prefix, every one measured; the last that reaches the target. AIMET's searches believe the score to fall with the
 * prefix; how often it rose is said. */
static qv_status prefixes(amp *m, uint32_t *choice, const entry *list, uint32_t n, double base_score) {
  uint32_t *x = calloc(m->p->n_groups + 1, sizeof *x), rises = 0, last = 0;
  double before = base_score;
  qv_status st = x != NULL ? QV_OK : QV_FAIL(m->err, QV_E_NOMEM, "out of memory");
  if (st == QV_OK) memcpy(x, choice, m->p->n_groups * sizeof *x);
  for (uint32_t i = 0; st == QV_OK && i < n; i++) {
    double v;
    x[list[i].g] = list[i].c;
    if ((st = score(&v, m, x)) != QV_OK) break;
    rises += v > before;
    before = v;
    qv_buf_printf(m->log, "  %3" PRIu32 "  %.40s at %s: %.3f%s\n", i + 1, m->p->group[list[i].g].name, name_of(m, list[i].g, list[i].c), v, v >= m->target ? "" : "  below the target");
    if (v < m->target) continue;
    memcpy(choice, x, m->p->n_groups * sizeof *x);
    last = i + 1;
  }
  if (st == QV_OK) qv_buf_printf(m->log, "AMP phase 2: the first %" PRIu32 " of %" PRIu32 " entries; the score rose at %" PRIu32 " of them\n", last, n, rises);
  free(x);
  return st;
}

/* What is to be reached, in dB or per cent. */
static double target_of(const cli_allocnet *x, const cli_target *t) {
  size_t right = 0;
  if (!t->relative || x->f.n_test == 0) return t->value;
  for (size_t i = 0; i < x->f.n_test; i++) right += x->f.test_label == NULL || (int64_t)x->f.test_class[i] == x->f.test_label[i];
  return t->value + 100.0 * (double)right / (double)x->f.n_test;
}

qv_status cli_amp_score(double *v, bool *met, const cli_allocnet *x, const qv_alloc *p, const cli_target *t, const uint32_t *choice, qv_err *err) {
  amp m = {.x = x, .p = p, .t = t, .err = err, .target = target_of(x, t)};
  qv_status st = score(v, &m, choice);
  *met = st == QV_OK && *v >= m.target;
  cli_realized_clear(&m.set);
  return st;
}

qv_status cli_amp(uint32_t *choice, bool *met, qv_buf *log, const cli_allocnet *x, const qv_alloc *p, const cli_target *t, qv_err *err) {
  amp m = {.x = x, .p = p, .t = t, .log = log, .err = err};
  uint32_t *low = calloc(p->n_groups + 1, sizeof *low), n = 0;
  double top = 0, least = 0;
  bool any;
  entry *list = NULL;
  qv_status st = low != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "out of memory");
  m.target = target_of(x, t);
  qv_buf_printf(log, "AMP: target %.3f %s\n", m.target, t->sqnr ? "dB on the calibration samples" : x->f.test_label != NULL ? "% of the test samples right" : "% of the test samples as in float");
  if (st == QV_OK) st = ends(&m, choice, low, &top, &least, &any);
  if (st == QV_OK && !any) st = QV_FAIL(err, QV_E_ARG, "AMP starts from all groups at one candidate; none of --candidates is safe for every group");
  *met = st == QV_OK && top >= m.target;
  if (*met && least >= m.target) { /* nothing cheaper is left to look for */
    memcpy(choice, low, p->n_groups * sizeof *low);
    qv_buf_str(log, "AMP: the cheapest candidate everywhere reaches the target\n");
  } else if (*met) {
    list = sensitivities(&m, choice, &n);
    st = list != NULL ? prefixes(&m, choice, list, n, top) : QV_FAIL(err, QV_E_NOMEM, "out of memory");
  } else if (st == QV_OK) qv_buf_str(log, "AMP: no candidate everywhere reaches the target; the best one is kept\n");
  for (uint32_t i = 0; list != NULL && i < n; i++) mpz_clear(list[i].gain);
  free(list);
  free(low);
  cli_realized_clear(&m.set);
  return st;
}
