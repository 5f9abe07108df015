#include "ir/base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/int.h"

#define BLOCK_MIN ((size_t)64 * 1024)

struct qv_arena_block {
  qv_arena_block *next;
  size_t used, size;
  _Alignas(16) unsigned char data[];
};

void *qv_arena_alloc(qv_arena *a, size_t n, size_t size) {
  size_t want;
  if (!qv_mulz(&want, n, size) || want > SIZE_MAX / 4) return NULL;
  want = (want + 15) & ~(size_t)15;
  if (a->fail_after != 0 && --a->fail_after == 0) return NULL;
  if (a->limit != 0 && (want > a->limit || a->bytes > a->limit - want)) return NULL;
  qv_arena_block *b = a->head;
  if (b == NULL || b->size - b->used < want) {
    size_t sz = want > BLOCK_MIN ? want : BLOCK_MIN;
    b = calloc(1, sizeof *b + sz); /* calloc: large blocks come zeroed from the system for free */
    if (b == NULL) return NULL;
    b->size = sz;
    if (a->head != NULL && want > BLOCK_MIN) { /* keep the part-filled small block in front */
      b->next = a->head->next;
      a->head->next = b;
    } else {
      b->next = a->head;
      a->head = b;
    }
  }
  void *p = b->data + b->used;
  b->used += want;
  a->bytes += want;
  return p;
}

char *qv_arena_str(qv_arena *a, const char *s, size_t len) {
  if (len == SIZE_MAX) return NULL;
  char *p = qv_arena_alloc(a, len + 1, 1);
  if (p != NULL) memcpy(p, s, len);
  return p;
}

char *qv_arena_printf(qv_arena *a, const char *fmt, ...) {
  va_list ap, ap2;
  va_start(ap, fmt);
  va_copy(ap2, ap);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  char *p = n < 0 ? NULL : qv_arena_alloc(a, (size_t)n + 1, 1);
  if (p != NULL) (void)vsnprintf(p, (size_t)n + 1, fmt, ap2);
  va_end(ap2);
  return p;
}

void qv_arena_clear(qv_arena *a) {
  for (qv_arena_block *b = a->head, *next; b != NULL; b = next) {
    next = b->next;
    free(b);
  }
  a->head = NULL;
  a->bytes = 0;
}
