#include "cli/realized.h"

#include <stdlib.h>
#include <string.h>

struct cli_realized_item {
  const uint32_t *choice; /* [n_groups] */
  const cli_realized *made;
};

static qv_status make(cli_realized *r, qv_arena *arena, const cli_allocnet *x, const qv_alloc *p, const uint32_t *choice, qv_err *err) {
  cli_quantized net = {0};
  qv_quantized q = {0};
  qv_err why = {0};
  qv_status st = cli_allocnet_apply(&net, &q, x, p, choice, false, &why);
  if (st == QV_OK)
    *r = (cli_realized){.bytes = net.onnx.n,
                        .bits = net.bits,
                        .n = x->f.n_test,
                        .same = net.same,
                        .sqnr_db = net.sqnr_db,
                        .labelled = x->f.test_label != NULL,
                        .right_float = net.right_float,
                        .right_int = net.right_int};
  else if (st == QV_E_UNSUP) {
    r->refused = qv_arena_str(arena, why.msg, strlen(why.msg));
    st = r->refused != NULL ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "out of memory");
  } else *err = why;
  qv_quantized_clear(&q);
  cli_quantized_free(&net);
  return st;
}

qv_status cli_realize(const cli_realized **out, cli_realized_set *s, const cli_allocnet *x, const qv_alloc *p, const uint32_t *choice, qv_err *err) {
  for (uint32_t i = 0; i < s->n; i++)
    if (memcmp(s->item[i].choice, choice, p->n_groups * sizeof *choice) == 0) {
      *out = s->item[i].made;
      return QV_OK;
    }
  if (s->n == s->cap) {
    uint32_t cap = s->cap == 0 ? 32 : 2 * s->cap;
    struct cli_realized_item *more = realloc(s->item, cap * sizeof *more);
    if (more == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
    s->item = more;
    s->cap = cap;
  }
  uint32_t *copy = QV_NEW(&s->arena, p->n_groups, uint32_t);
  cli_realized *made = QV_NEW(&s->arena, 1, cli_realized);
  if (copy == NULL || made == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  memcpy(copy, choice, p->n_groups * sizeof *copy);
  *made = (cli_realized){0};
  qv_status st = make(made, &s->arena, x, p, choice, err);
  if (st != QV_OK) return st;
  s->item[s->n++] = (struct cli_realized_item){copy, made};
  *out = made;
  return QV_OK;
}

void cli_realized_clear(cli_realized_set *s) {
  free(s->item);
  qv_arena_clear(&s->arena);
  *s = (cli_realized_set){0};
}
