#include "frontend/names.h"

#include <stdio.h>
#include <string.h>

static uint32_t hash(const char *s) { /* FNV-1a */
  uint32_t h = 2166136261u;
  for (; *s; s++) h = (h ^ (unsigned char)*s) * 16777619u;
  return h;
}

/* Place of key, or the free one for it. */
static uint32_t place(const qv_names *s, const char *key) {
  uint32_t i = hash(key) & (s->cap - 1);
  while (s->key[i] != NULL && strcmp(s->key[i], key) != 0) i = (i + 1) & (s->cap - 1);
  return i;
}

uint32_t qv_names_get(const qv_names *s, const char *key) {
  if (s->cap == 0) return UINT32_MAX;
  uint32_t i = place(s, key);
  return s->key[i] != NULL ? s->val[i] : UINT32_MAX;
}

static bool grow(qv_names *s, qv_arena *a) {
  qv_names t = {.cap = s->cap == 0 ? 256 : s->cap * 2, .n = s->n};
  t.key = QV_NEW(a, t.cap, const char *);
  t.val = QV_NEW(a, t.cap, uint32_t);
  if (t.key == NULL || t.val == NULL) return false;
  for (uint32_t i = 0; i < s->cap; i++) {
    if (s->key[i] == NULL) continue;
    uint32_t k = place(&t, s->key[i]);
    t.key[k] = s->key[i];
    t.val[k] = s->val[i];
  }
  *s = t;
  return true;
}

bool qv_names_put(qv_names *s, qv_arena *a, const char *key, uint32_t val) {
  if (2 * (s->n + 1) > s->cap && !grow(s, a)) return false;
  uint32_t i = place(s, key);
  s->n += s->key[i] == NULL;
  s->key[i] = key;
  s->val[i] = val;
  return true;
}

const char *qv_names_unique(qv_names *s, qv_arena *a, qv_arena *out, const char *base, const char *suffix) {
  char stem[256];
  (void)snprintf(stem, sizeof stem, "%.200s%s", base, suffix);
  const char *name = qv_arena_printf(out, "%s", stem);
  for (uint32_t k = 2; name != NULL && qv_names_get(s, name) != UINT32_MAX; k++) name = qv_arena_printf(out, "%s#%u", stem, k);
  return name != NULL && qv_names_put(s, a, name, 0) ? name : NULL;
}
