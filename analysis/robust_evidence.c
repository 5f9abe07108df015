#include "analysis/robust_evidence.h"

#include <stdlib.h>

#include "cert/robust_cert.h"

typedef struct {
  qv_buf *o;
  const qv_graph *g;
  qv_rcert_mult *m; /* [cap] scratch */
  size_t cap;
  const char *word; /* name of the solver that vouches for trusted leaves */
  bool failed;      /* no memory */
} writer;

static int by_place(const void *p, const void *q) {
  const qv_rcert_mult *a = p, *b = q;
  if (a->tensor != b->tensor) return a->tensor < b->tensor ? -1 : 1;
  return (a->pos > b->pos) - (a->pos < b->pos);
}

/* A function's multiplier stands at its output element, a tap's at its own place in its owner's tensor. */
static qv_rcert_mults mults(writer *w, int scale, uint32_t n, const uint32_t *var, const int32_t *s) {
  if (n > w->cap) {
    qv_rcert_mult *m = realloc(w->m, n * sizeof *m);
    if (m == NULL) {
      w->failed = true;
      return (qv_rcert_mults){0};
    }
    w->m = m;
    w->cap = n;
  }
  for (uint32_t i = 0; i < n; i++) {
    const qv_unit *u = &w->g->unit[var[i]];
    w->m[i] = u->fn == QV_UNIT_TAP ? (qv_rcert_mult){w->g->unit[u->owner].tensor, u->pos, s[i]} : (qv_rcert_mult){u->tensor, u->el, s[i]};
  }
  if (n > 0) qsort(w->m, n, sizeof *w->m, by_place);
  return (qv_rcert_mults){.scale = scale, .n = n, .m = w->m};
}

static void put_split(writer *w, const qv_bnb_node *le) {
  const qv_unit *u = &w->g->unit[le->var];
  qv_rcert_split(w->o, le->kind == QV_SPLIT_ACC_LE ? u->src : u->tensor, u->el, le->at);
}

/* The tree in preorder. Children stand two in a row behind their parent: `child` is found once for all nodes. */
static void put_tree(writer *w, const qv_robust_result *res, const qv_robust_target *t) {
  const qv_bnb *b = &t->tree;
  uint32_t *child = calloc(b->n, sizeof *child), *stack = malloc(((size_t)b->n + 1) * sizeof *stack), depth = 0;
  if (child == NULL || stack == NULL) {
    w->failed = true;
    goto done;
  }
  for (uint32_t i = b->n; i-- > 1;) child[b->node[i].parent] = i; /* ends with the lower number: the <= side */
  stack[depth++] = 0;
  while (depth > 0 && !w->failed) {
    uint32_t k = stack[--depth];
    const qv_bnb_node *n = &b->node[k];
    switch (n->leaf) {
    case QV_LEAF_INNER:
      put_split(w, &b->node[child[k]]);
      stack[depth++] = child[k] + 1;
      stack[depth++] = child[k];
      break;
    case QV_LEAF_EMPTY: qv_rcert_empty(w->o); break;
    case QV_LEAF_DUAL: {
      qv_rcert_mults m = mults(w, n->scale, n->n, n->var_s, n->s);
      if (t->joint > 0) {
        m.n_joint = res->n_joint;
        m.joint = res->joint;
        m.limit = t->joint;
      }
      if (t->goal.kind == QV_GOAL_PAIR) qv_rcert_pair(w->o, n->root[0], n->root[1], &m);
      else qv_rcert_sum(w->o, t->goal.n_part, n->root, &m);
      break;
    }
    case QV_LEAF_POINTS: qv_rcert_points(w->o); break;
    case QV_LEAF_TRUSTED: qv_rcert_trusted(w->o, w->word); break;
    case QV_LEAF_OPEN: break; /* not in a tree of a proof */
    }
  }
done:
  free(child);
  free(stack);
}

static void put_bound(writer *w, const qv_robust_bound *b) {
  const qv_unit *u = &w->g->unit[b->unit];
  qv_rcert_mults m = mults(w, b->scale, b->n, b->var_s, b->s);
  qv_rcert_bound(w->o, u->src, u->el, b->sign < 0, b->bound, &m);
}

static bool enumerated(const qv_robust_query *q, const qv_robust_result *res) {
  bool all = q->n_points > 0;
  for (uint32_t i = 0; i < res->n_target; i++) all |= res->target[i].engine == QV_BY_ENUMERATION;
  return all;
}

static bool has_trees(const qv_robust_result *res) {
  for (uint32_t i = 0; i < res->n_target; i++)
    if (res->target[i].engine >= QV_BY_LINEAR && res->target[i].tree.n == 0) return false;
  return true;
}

qv_status qv_robust_certificate(qv_buf *out, const qv_robust *r, const qv_robust_query *q, const qv_robust_result *res,
                                const char *net_sha256, const char *property_sha256, qv_err *err) {
  writer w = {.o = out, .g = qv_robust_graph(r), .word = res->word};
  size_t start = out->n;
  bool trusted = res->verdict == QV_UNKNOWN && res->trusted > 0;
  if (res->verdict == QV_UNKNOWN && !trusted) return QV_FAIL(err, QV_E_ARG, "an undecided query has no certificate");
  if (res->verdict != QV_FALSIFIED && !has_trees(res)) return QV_FAIL(err, QV_E_ARG, "the result was made without evidence");
  qv_rcert_begin(out, net_sha256, property_sha256);
  if (res->verdict == QV_FALSIFIED) {
    qv_rcert_witness(out, w.g->net, (const int64_t *const *)res->input);
  } else if (enumerated(q, res)) {
    qv_rcert_points(out);
  } else {
    qv_rcert_goals(out, res->logits);
    for (uint32_t i = 0; i < res->n_bound && !w.failed; i++) put_bound(&w, &res->bound[i]);
    for (uint32_t i = 0; i < res->n_target && !w.failed; i++) {
      qv_rcert_target(out, res->target[i].target);
      if (res->target[i].engine == QV_BY_INTERVAL) qv_rcert_empty(out);
      else put_tree(&w, res, &res->target[i]);
    }
  }
  free(w.m);
  if (w.failed) return QV_FAIL(err, QV_E_NOMEM, "certificate text");
  return qv_rcert_end(out, start, trusted ? QV_RCERT_TRUSTED : res->verdict == QV_FALSIFIED ? QV_RCERT_FALSIFIED : QV_RCERT_VERIFIED,
                      res->trusted, err);
}
