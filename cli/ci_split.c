#include "cli/ci_split.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kernels/ref.h"

#define MEASURED 1024 /* elements whose influence is measured; with more of them only widths count */

typedef struct {
  uint32_t in, el;
  qv_itv *now;      /* in the property */
  int64_t width;    /* at the root */
  int64_t strength; /* how far it moves the last sums; 0..2^61 */
} dimension;

typedef struct {
  dimension *d;
  size_t n;
  uint32_t part;  /* wanted, from 0 */
  uint32_t parts; /* so far */
  qv_buf *tree;
  qv_itv *kept;   /* [n] the wanted part */
  bool have;
} cut;

bool ci_read_part(const char *s, uint32_t *part, uint32_t *of) {
  char tail;
  return sscanf(s, "%6" SCNu32 "/%6" SCNu32 "%c", part, of, &tail) == 2 && *part >= 1 && *part <= *of && *of <= CI_PARTS_MAX;
}

static const qv_tensor *input(const qv_net *net, uint32_t i) { return &net->tensor[net->in[i].tensor]; }

/* One interval per element, and the elements that are not fixed. */
static qv_status spread(qv_property *p, const qv_net *net, qv_arena *a, dimension **out, size_t *n, qv_err *err) {
  size_t all = 0;
  *n = 0;
  for (uint32_t i = 0; i < net->n_in; i++) all += qv_elems(input(net, i));
  if ((*out = QV_NEW(a, all, dimension)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  for (uint32_t i = 0; i < net->n_in; i++) {
    const qv_tensor *t = input(net, i);
    qv_prop_input *in = &p->in[i];
    size_t elems = qv_elems(t);
    qv_itv *v = QV_NEW(&p->arena, elems, qv_itv);
    if (v == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
    for (size_t e = 0; e < elems; e++) {
      v[e] = in->n == 0 ? (qv_itv){t->lo, t->hi} : in->itv[in->n == 1 ? 0 : e];
      if (v[e].lo < v[e].hi) (*out)[(*n)++] = (dimension){.in = i, .el = (uint32_t)e, .now = &v[e], .width = v[e].hi - v[e].lo};
    }
    in->itv = v;
    in->n = elems;
  }
  return QV_OK;
}

static int64_t middle(qv_itv v) { return v.lo + (v.hi - v.lo) / 2; } /* (intervals lie in int32 ranges) */

/* The sums that decide: what the last accumulating node writes, or else output 0. */
static uint32_t last_sums(const qv_net *net) {
  for (uint32_t k = net->n_nodes; k-- > 0;)
    if (net->node[k].kind == QV_AFFINE) return net->node[k].out;
  return net->out[0].tensor;
}

/* How far moving each element from its middle to its end moves those sums together, all others in the middle. */
static qv_status measure(dimension *d, size_t n, const qv_property *p, const qv_net *net, qv_err *err) {
  qv_arena a = {0};
  qv_values v = {0};
  qv_err quiet = {0};
  const uint32_t seen = last_sums(net);
  const size_t m = qv_elems(&net->tensor[seen]);
  int64_t *base = QV_NEW(&a, m, int64_t);
  qv_status st;
  QV_TRY(base != NULL ? qv_values_init(&v, net, err) : QV_FAIL(err, QV_E_NOMEM, "out of memory"));
  for (uint32_t i = 0; i < net->n_in; i++)
    for (size_t e = 0; e < p->in[i].n; e++) v.v[net->in[i].tensor][e] = middle(p->in[i].itv[e]);
  st = qv_ref_run(net, &v, &quiet);
  bool ran = st == QV_OK; /* an opaque node, or behaviour of the machine that is not defined: only widths count */
  memcpy(base, v.v[seen], m * sizeof *base);
  for (size_t k = 0; ran && k < n; k++) {
    int64_t *x = &v.v[net->in[d[k].in].tensor][d[k].el];
    *x = d[k].now->hi;
    ran = qv_ref_run(net, &v, &quiet) == QV_OK;
    qv_i128 moved = 0;
    for (size_t e = 0; ran && e < m; e++) moved += v.v[seen][e] > base[e] ? (qv_i128)v.v[seen][e] - base[e] : (qv_i128)base[e] - v.v[seen][e];
    d[k].strength = qv_sat64(moved / 4);
    *x = middle(*d[k].now);
  }
  for (size_t k = 0; !ran && k < n; k++) d[k].strength = 0;
  st = QV_OK;
done:
  qv_values_clear(&v);
  qv_arena_clear(&a);
  return st;
}

/* The element to cut: the largest share of its strength that is left, then the widest, then the first. NULL: a single input. */
static const dimension *widest(const cut *c) {
  const dimension *best = NULL;
  double most = -1;
  for (size_t k = 0; k < c->n; k++) {
    const dimension *d = &c->d[k];
    int64_t w = d->now->hi - d->now->lo;
    double score = (double)d->strength * (double)w / (double)d->width;
    if (w > 0 && (best == NULL || score > most || (!(score < most) && w > best->now->hi - best->now->lo))) best = d, most = score;
  }
  return best;
}

/* Cut the box into at most n parts; depth first, lower half first. */
static void divide(cut *c, uint32_t n) {
  const dimension *d = n > 1 ? widest(c) : NULL;
  if (d == NULL) {
    for (size_t k = 0; !c->have && k < c->n; k++) c->kept[k] = *c->d[k].now;
    c->have = c->have || c->parts == c->part;
    c->parts++;
    qv_buf_str(c->tree, "part\n");
    return;
  }
  const qv_itv whole = *d->now;
  int64_t at = middle(whole);
  qv_buf_printf(c->tree, "split %" PRIu32 " %" PRIu32 " %" PRId64 "\n", d->in, d->el, at);
  d->now->hi = at;
  divide(c, (n + 1) / 2);
  *d->now = (qv_itv){at + 1, whole.hi};
  divide(c, n / 2);
  *d->now = whole;
}

qv_status ci_split(qv_property *p, const qv_net *net, uint32_t part, uint32_t of, qv_buf *cover, const char *net_sha256, const char *property_sha256, qv_err *err) {
  qv_arena a = {0};
  qv_buf own = {0};
  cut c = {.part = part - 1, .tree = cover != NULL ? cover : &own};
  qv_status st;
  if (p->n_points > 0) return QV_FAIL(err, QV_E_ARG, "a list of inputs is not cut into parts");
  QV_TRY(spread(p, net, &a, &c.d, &c.n, err));
  if (c.n <= MEASURED) QV_TRY(measure(c.d, c.n, p, net, err));
  if ((c.kept = QV_NEW(&a, c.n + 1, qv_itv)) == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
    goto done;
  }
  qv_buf_printf(c.tree, "qvc 1\nclaim cover\nnet %s\nproperty %s\n", net_sha256, property_sha256);
  divide(&c, of);
  qv_buf_str(c.tree, "verdict verified\n");
  if (!c.tree->failed) {
    char hex[QV_SHA256_HEX];
    qv_sha256_hex(hex, c.tree->p, c.tree->n);
    qv_buf_printf(c.tree, "sha256 %s\n", hex);
  }
  if (c.tree->failed) st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
  for (size_t k = 0; k < c.n; k++) *c.d[k].now = c.kept[k];
done:
  qv_buf_free(&own);
  qv_arena_clear(&a);
  return st;
}
