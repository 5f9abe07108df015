#include "quant/cost.h"

#include <stdio.h>
#include <string.h>

/* ---- buffers ----------------------------------------------------------------------------------------------------------------- */

/* A buffer is named by the tensor that it finally holds. */
typedef struct {
  uint32_t *of;    /* [n_tensors] buffer of a tensor; QV_NONE: a constant */
  uint32_t *group; /* [n_tensors, of buffers] QV_NONE: floats */
  uint32_t *birth, *death; /* [..] first and last node during which it lives */
} buffers;

/* The Clip or Relu that alone reads t and is computed with it, or NULL. */
static const qv_fnode *fused_into(const qv_fgraph *g, uint32_t t) {
  const qv_fnode *w = qv_fgraph_writer(g, t);
  if (w == NULL || qv_quant_root(g, t) != QV_NONE || (w->op == QF_SOFTMAX && t == g->out)) return NULL;
  for (uint32_t k = 0; k < g->n_nodes; k++)
    if (g->node[k].op == QF_CLIP && g->node[k].in[0] == t) return &g->node[k];
  return NULL;
}

static bool buffers_make(buffers *b, qv_arena *a, const qv_fgraph *g, const qv_groups *groups) {
  uint32_t n = g->n_tensors;
  b->of = QV_NEW(a, n, uint32_t), b->group = QV_NEW(a, n, uint32_t), b->birth = QV_NEW(a, n, uint32_t), b->death = QV_NEW(a, n, uint32_t);
  if (b->of == NULL || b->group == NULL || b->birth == NULL || b->death == NULL) return false;
  for (uint32_t t = 0; t < n; t++) {
    b->of[t] = g->tensor[t].data != NULL ? QV_NONE : t;
    b->group[t] = QV_NONE;
    b->birth[t] = QV_NONE;
  }
  for (uint32_t k = g->n_nodes; k-- > 0;) { /* backwards, so that chains end where they should */
    const qv_fnode *x = &g->node[k], *clip = fused_into(g, x->out);
    if (clip != NULL) b->of[x->out] = b->of[clip->out];
  }
  for (uint32_t k = 0; k < g->n_nodes; k++) /* a Reshape moves nothing */
    if (g->node[k].op == QF_RESHAPE && b->of[g->node[k].in[0]] != QV_NONE) b->of[g->node[k].out] = b->of[g->node[k].in[0]];
  for (uint32_t t = 0; t < n; t++) {
    uint32_t root = b->of[t] != QV_NONE ? qv_quant_root(g, t) : QV_NONE;
    if (root != QV_NONE) b->group[b->of[t]] = groups->of[root];
  }
  b->birth[b->of[g->in]] = b->death[b->of[g->in]] = 0;
  for (uint32_t k = 0; k < g->n_nodes; k++) {
    const qv_fnode *x = &g->node[k];
    uint32_t o = b->of[x->out];
    if (b->birth[o] == QV_NONE) b->birth[o] = b->death[o] = k;
    if (b->death[o] < k) b->death[o] = k;
    for (uint32_t i = 0; i < x->n_in; i++)
      if (b->of[x->in[i]] != QV_NONE && b->death[b->of[x->in[i]]] < k) b->death[b->of[x->in[i]]] = k;
  }
  b->death[b->of[g->out]] = g->n_nodes;
  return true;
}

/* ---- the schedule ------------------------------------------------------------------------------------------------------------ */

/* Operand of node k that its result may overwrite: of the same size, read for the last time, not the caller's input. */
static uint32_t overwritten(const qv_fgraph *g, const buffers *b, uint32_t k) {
  const qv_fnode *x = &g->node[k];
  bool elementwise = x->op == QF_CLIP || x->op == QF_LEAKY || x->op == QF_SIGMOID || x->op == QF_TANH || x->op == QF_ADD || x->op == QF_MUL;
  for (uint32_t i = 0; elementwise && i < x->n_in; i++) {
    uint32_t in = b->of[x->in[i]];
    if (in == QV_NONE || in == b->of[g->in] || b->death[in] != k || b->group[in] == QV_NONE || b->group[b->of[x->out]] == QV_NONE) continue;
    if (qv_felems(&g->tensor[in]) == qv_felems(&g->tensor[x->out])) return in;
  }
  return QV_NONE;
}

static const char *unique_name(qv_arena *a, const qv_schedule *s, const char *node, const char *part) {
  const char *name = qv_arena_printf(a, "ram@%s%s", node, part);
  for (unsigned again = 2; name != NULL; again++) {
    uint32_t i = 0;
    while (i < s->n && strcmp(s->at[i].name, name) != 0) i++;
    if (i == s->n) break;
    name = qv_arena_printf(a, "ram@%s%s#%u", node, part, again);
  }
  if (name == NULL) return NULL;
  char *copy = qv_arena_str(a, name, strlen(name));
  for (char *p = copy; p != NULL && *p != 0; p++)
    if (*p == '=') *p = '~'; /* NAME=VALUE is how limits are written */
  return copy;
}

static void add_accumulators(qv_moment *m, const qv_fgraph *g, const qv_groups *groups, const qv_fnode *x) {
  m->acc_group = QV_NONE;
  if (qv_quant_linear(x)) {
    m->acc_group = groups->of[qv_quant_root(g, x->in[0])];
    m->accs = g->tensor[x->in[1]].dim[0];
  } else if (x->op == QF_AVGPOOL || x->op == QF_MEAN)
    m->fixed += 4 * (uint64_t)g->tensor[x->out].dim[1]; /* exported as depthwise convolutions */
}

/* Everything that lives during node k, but for one buffer. */
static bool add_moment(qv_schedule *s, const qv_fgraph *g, const qv_groups *groups, const buffers *b, uint32_t k, uint32_t without,
                       const char *part) {
  const qv_fnode *x = &g->node[k];
  qv_moment *m = &s->at[s->n];
  qv_live *live = QV_NEW(&s->arena, g->n_tensors, qv_live);
  *m = (qv_moment){.name = unique_name(&s->arena, s, x->name, part), .node = k, .live = live};
  if (live == NULL || m->name == NULL) return false;
  for (uint32_t t = 0; t < g->n_tensors; t++) {
    if (b->of[t] != t || t == without || b->birth[t] == QV_NONE || b->birth[t] > k || b->death[t] < k) continue;
    uint64_t elems = qv_felems(&g->tensor[t]);
    if (b->group[t] == QV_NONE) m->fixed += 4 * elems;
    else live[m->n++] = (qv_live){b->group[t], elems};
  }
  add_accumulators(m, g, groups, x);
  s->n++;
  return true;
}

qv_status qv_schedule_make(qv_schedule *s, const qv_fgraph *g, const qv_groups *groups, qv_err *err) {
  qv_arena scratch = {0};
  buffers b;
  *s = (qv_schedule){0};
  s->at = QV_NEW(&s->arena, 2 * (size_t)g->n_nodes, qv_moment);
  bool ok = s->at != NULL && buffers_make(&b, &scratch, g, groups);
  for (uint32_t k = 0; ok && k < g->n_nodes; k++) {
    const qv_fnode *x = &g->node[k];
    uint32_t over = QV_NONE;
    if (b.of[x->in[0]] == b.of[x->out]) continue; /* done by the node before, or nothing to do */
    if ((over = overwritten(g, &b, k)) == QV_NONE) ok = add_moment(s, g, groups, &b, k, QV_NONE, "");
    else ok = add_moment(s, g, groups, &b, k, b.of[x->out], ":before") && add_moment(s, g, groups, &b, k, over, ":after");
  }
  qv_arena_clear(&scratch);
  return ok ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "schedule");
}

void qv_schedule_clear(qv_schedule *s) {
  qv_arena_clear(&s->arena);
  *s = (qv_schedule){0};
}

uint64_t qv_moment_bytes(const qv_moment *m, uint32_t group, int a, int acc_bits, bool packed) {
  uint64_t n = group == 0 ? m->fixed : 0;
  for (uint32_t i = 0; i < m->n; i++) {
    if (m->live[i].group != group) continue;
    n += packed ? (m->live[i].elems * (uint64_t)a + 7) / 8 : m->live[i].elems * (a > 8 ? 2 : 1);
  }
  return m->acc_group == group ? n + m->accs * (acc_bits <= 16 ? 2 : 4) : n;
}

/* ---- time -------------------------------------------------------------------------------------------------------------------- */

bool qv_times_find(int64_t *ps, const qv_times *t, const qv_fgraph *g, uint32_t k, qv_bits b, qv_accum acc) {
  char shape[160], full[QV_CAND_NAME], brief[QV_CAND_NAME];
  qv_layer_shape(shape, g, k);
  qv_cand_name(full, b, &acc, true);
  qv_cand_name(brief, b, NULL, true);
  for (uint32_t i = 0; i < t->n; i++) {
    const qv_time_entry *e = &t->entry[i];
    if ((e->layer != NULL && strcmp(e->layer, g->node[k].name) != 0) || (e->shape != NULL && strcmp(e->shape, shape) != 0)) continue;
    for (uint32_t c = 0; c < e->n; c++)
      if (strcmp(e->cand[c], full) == 0 || strcmp(e->cand[c], brief) == 0) {
        *ps = e->ps;
        return true;
      }
  }
  return false;
}
