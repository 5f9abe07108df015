/* Arena: zeroed memory for data that lives and dies together, with a byte limit and fault injection.
 * Owner: everything returned belongs to the arena and is freed by qv_arena_clear. Thread: one arena, one thread. */
#ifndef QV_IR_BASE_ARENA_H
#define QV_IR_BASE_ARENA_H

#include <stdint.h>

#include "ir/base/status.h"

typedef struct qv_arena_block qv_arena_block;

typedef struct {
  qv_arena_block *head;
  size_t bytes;        /* handed out so far                                                    */
  size_t limit;        /* 0 = none; an allocation that would pass it fails                     */
  uint64_t fail_after; /* 0 = off; n: the n-th allocation from now fails (fault injection)     */
} qv_arena;

/* n*size zeroed bytes aligned to 16, or NULL (limit, injected fault, overflow of n*size, no memory). n*size = 0 gives a
 * valid pointer that must not be dereferenced. Cost: O(n*size). */
void *qv_arena_alloc(qv_arena *a, size_t n, size_t size);

/* NUL-terminated copy of s[0..len), or NULL. */
char *qv_arena_str(qv_arena *a, const char *s, size_t len);

/* Printf into the arena, or NULL. */
char *qv_arena_printf(qv_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Free everything; the arena is empty and usable again, limit kept. Freeing an empty arena is a no-op. */
void qv_arena_clear(qv_arena *a);

#define QV_NEW(arena, n, type) ((type *)qv_arena_alloc((arena), (n), sizeof(type)))

#endif
