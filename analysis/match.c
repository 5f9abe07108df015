#include "analysis/match.h"

#include <string.h>

/* Search for an augmenting path from one free vertex: a tree of alternating paths, in which an odd cycle ("blossom") is treated as
 * one vertex, its base. */
typedef struct {
  const uint8_t *edge;
  uint32_t n, *mate;
  uint32_t *parent;   /* tree edge into an inner vertex */
  uint32_t *base;     /* vertex that stands for v       */
  uint32_t *queue;
  bool *outer, *seen, *blossom;
} graph;

static uint32_t common_base(const graph *g, uint32_t a, uint32_t b) {
  memset(g->seen, 0, g->n);
  for (;; a = g->parent[g->mate[a]]) {
    a = g->base[a];
    g->seen[a] = true;
    if (g->mate[a] == QV_MATCH_NONE) break; /* the root */
  }
  for (;; b = g->parent[g->mate[b]]) {
    b = g->base[b];
    if (g->seen[b]) return b;
  }
}

static void mark_path(const graph *g, uint32_t v, uint32_t base, uint32_t child) {
  for (; g->base[v] != base; v = g->parent[g->mate[v]]) {
    g->blossom[g->base[v]] = g->blossom[g->base[g->mate[v]]] = true;
    g->parent[v] = child;
    child = g->mate[v];
  }
}

static void contract(const graph *g, uint32_t v, uint32_t to, uint32_t *end) {
  uint32_t base = common_base(g, v, to);
  memset(g->blossom, 0, g->n);
  mark_path(g, v, base, to);
  mark_path(g, to, base, v);
  for (uint32_t i = 0; i < g->n; i++) {
    if (!g->blossom[g->base[i]]) continue;
    g->base[i] = base;
    if (!g->outer[i]) g->outer[i] = true, g->queue[(*end)++] = i;
  }
}

/* Free vertex at the end of an augmenting path from root, or QV_MATCH_NONE. */
static uint32_t find_path(const graph *g, uint32_t root) {
  uint32_t end = 0;
  memset(g->outer, 0, g->n);
  for (uint32_t i = 0; i < g->n; i++) g->parent[i] = QV_MATCH_NONE, g->base[i] = i;
  g->outer[root] = true;
  g->queue[end++] = root;
  for (uint32_t at = 0; at < end; at++) {
    uint32_t v = g->queue[at];
    for (uint32_t to = 0; to < g->n; to++) {
      if (to == v || g->edge[(size_t)v * g->n + to] == 0 || g->base[v] == g->base[to] || g->mate[v] == to) continue;
      if (to == root || (g->mate[to] != QV_MATCH_NONE && g->parent[g->mate[to]] != QV_MATCH_NONE)) {
        contract(g, v, to, &end);
      } else if (g->parent[to] == QV_MATCH_NONE) {
        g->parent[to] = v;
        if (g->mate[to] == QV_MATCH_NONE) return to;
        g->outer[g->mate[to]] = true;
        g->queue[end++] = g->mate[to];
      }
    }
  }
  return QV_MATCH_NONE;
}

qv_status qv_match(uint32_t *mate, const uint8_t *edge, uint32_t n, qv_err *err) {
  qv_arena a = {0};
  graph g = {edge, n, mate, QV_NEW(&a, n, uint32_t), QV_NEW(&a, n, uint32_t), QV_NEW(&a, n, uint32_t), QV_NEW(&a, n, bool), QV_NEW(&a, n, bool), QV_NEW(&a, n, bool)};
  if (g.parent == NULL || g.base == NULL || g.queue == NULL || g.outer == NULL || g.seen == NULL || g.blossom == NULL) {
    qv_arena_clear(&a);
    return QV_FAIL(err, QV_E_NOMEM, "matching");
  }
  for (uint32_t v = 0; v < n; v++) mate[v] = QV_MATCH_NONE;
  for (uint32_t v = 0; v < n; v++) /* what can be had at once */
    for (uint32_t to = v + 1; to < n && mate[v] == QV_MATCH_NONE; to++)
      if (mate[to] == QV_MATCH_NONE && edge[(size_t)v * n + to] != 0) mate[v] = to, mate[to] = v;
  for (uint32_t v = 0; v < n; v++) {
    if (mate[v] != QV_MATCH_NONE) continue;
    for (uint32_t at = find_path(&g, v); at != QV_MATCH_NONE;) {
      uint32_t before = g.parent[at], next = mate[before];
      mate[at] = before;
      mate[before] = at;
      at = next;
    }
  }
  qv_arena_clear(&a);
  return QV_OK;
}
