#include "analysis/robust_batch.h"

#include <string.h>

/* Storage types in host order; values lie in the tensor's declared range, which fits its type. */
static void put(unsigned char *p, qv_dtype t, int64_t v) {
  const int32_t v32 = (int32_t)v;
  const int16_t v16 = (int16_t)v;
  switch (t) {
  case QV_I8:
  case QV_U8: *p = (unsigned char)v; break;
  case QV_I16:
  case QV_U16: memcpy(p, &v16, 2); break;
  case QV_I32: memcpy(p, &v32, 4); break;
  case QV_I64: memcpy(p, &v, 8); break;
  case QV_DTYPES: break;
  }
}

static int64_t get(const unsigned char *p, qv_dtype t) {
  int64_t v = 0;
  uint16_t u16;
  int32_t v32;
  switch (t) {
  case QV_I8: return (signed char)*p;
  case QV_U8: return *p;
  case QV_I16: memcpy(&u16, p, 2); return (int16_t)u16;
  case QV_U16: memcpy(&u16, p, 2); return u16;
  case QV_I32: memcpy(&v32, p, 4); return v32;
  case QV_I64: memcpy(&v, p, 8); break;
  case QV_DTYPES: break;
  }
  return v;
}

static size_t sample(const qv_net *net, uint32_t t) { return qv_elems(&net->tensor[t]) * qv_dtype_bytes(net->tensor[t].type); }

qv_status qv_batch_init(qv_batch *b, const qv_net *net, qv_err *err) {
  *b = (qv_batch){.net = net};
  qv_status st = qv_plan_new(&b->plan, net, QV_ISA_BEST, err);
  if (st != QV_OK) return st;
  b->in = QV_NEW(&b->arena, net->n_in, unsigned char *);
  b->out = QV_NEW(&b->arena, net->n_out, unsigned char *);
  b->o = QV_NEW(&b->arena, net->n_out, int64_t *);
  bool ok = b->in != NULL && b->out != NULL && b->o != NULL;
  for (uint32_t i = 0; ok && i < net->n_in; i++)
    ok = (b->in[i] = QV_NEW(&b->arena, QV_BATCH * sample(net, net->in[i].tensor), unsigned char)) != NULL;
  for (uint32_t i = 0; ok && i < net->n_out; i++) {
    ok = (b->out[i] = QV_NEW(&b->arena, QV_BATCH * sample(net, net->out[i].tensor), unsigned char)) != NULL;
    if (ok) ok = (b->o[i] = QV_NEW(&b->arena, qv_elems(&net->tensor[net->out[i].tensor]), int64_t)) != NULL;
  }
  return ok ? QV_OK : QV_FAIL(err, QV_E_NOMEM, "batch of inputs");
}

void qv_batch_clear(qv_batch *b) {
  qv_plan_free(b->plan);
  qv_arena_clear(&b->arena);
  *b = (qv_batch){0};
}

void qv_batch_put(qv_batch *b, const int64_t *x) {
  for (uint32_t i = 0; i < b->net->n_in; i++) {
    const qv_tensor *t = &b->net->tensor[b->net->in[i].tensor];
    size_t n = qv_elems(t), w = qv_dtype_bytes(t->type);
    unsigned char *p = b->in[i] + b->n * n * w;
    for (size_t e = 0; e < n; e++) put(p + e * w, t->type, *x++);
  }
  b->n++;
}

qv_status qv_batch_run(qv_batch *b, qv_err *err) {
  qv_status st =
      qv_plan_run(b->plan, b->n, (const void *const *)(void *)b->in, (void *const *)(void *)b->out, b->threads > 1 ? b->threads : 1, err);
  b->n = 0;
  return st;
}

const int64_t *const *qv_batch_output(qv_batch *b, uint32_t i) {
  for (uint32_t k = 0; k < b->net->n_out; k++) {
    const qv_tensor *t = &b->net->tensor[b->net->out[k].tensor];
    size_t w = qv_dtype_bytes(t->type), n = qv_elems(t);
    const unsigned char *p = b->out[k] + i * n * w;
    for (size_t e = 0; e < n; e++) b->o[k][e] = get(p + e * w, t->type);
  }
  return (const int64_t *const *)b->o;
}

bool qv_batch_violated(qv_batch *b, uint32_t i) { return qv_condition_violated(b->q->cond, b->net, qv_batch_output(b, i)) != QV_NONE; }
