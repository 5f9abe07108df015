#include "ir/ir.h"

#include <stdlib.h>
#include <string.h>

static const char *const kind_words[QV_KINDS] = {
#define QV_KIND(e, word, lo, hi) word,
#include "ir/ops.def"
#undef QV_KIND
};

size_t qv_elems(const qv_tensor *t) {
  size_t n = 1;
  for (uint32_t d = 0; d < t->rank; d++) n *= t->dim[d];
  return n;
}

const char *qv_kind_name(qv_kind k) { return k < QV_KINDS ? kind_words[k] : "?"; }

const char *qv_rq_name(qv_rq f) {
  switch (f) {
  case QV_RQ_D: return "RQ_D";
  case QV_RQ_U: return "RQ_U";
  case QV_RQ_S: return "RQ_S";
  case QV_RQ_64: return "RQ_64";
  case QV_RQ_T: return "RQ_T";
  case QV_RQ_TD: return "RQ_TD";
  case QV_RQ_F32: return "RQ_F32";
  case QV_RQ_NDU: return "RQ_NDU";
  case QV_RQ_F64A: return "RQ_F64A";
  case QV_RQ_REF: return "RQ_REF";
  case QV_RQ_F32B: return "RQ_F32B";
  case QV_RQ_DIV: return "RQ_DIV";
  case QV_RQ_TDIV: return "RQ_TDIV";
  case QV_RQ_MEANF: return "RQ_MEANF";
  }
  return "?";
}

const char *qv_dtype_name(qv_dtype t) {
  static const char *const w[QV_DTYPES] = {"i8", "u8", "i16", "u16", "i32", "i64"};
  return t < QV_DTYPES ? w[t] : "?";
}

size_t qv_dtype_bytes(qv_dtype t) {
  static const size_t b[QV_DTYPES] = {1, 1, 2, 2, 4, 8};
  return t < QV_DTYPES ? b[t] : 0;
}

qv_itv qv_dtype_range(qv_dtype t) {
  switch (t) {
  case QV_I8: return (qv_itv){INT8_MIN, INT8_MAX};
  case QV_U8: return (qv_itv){0, UINT8_MAX};
  case QV_I16: return (qv_itv){INT16_MIN, INT16_MAX};
  case QV_U16: return (qv_itv){0, UINT16_MAX};
  case QV_I32: return (qv_itv){INT32_MIN, INT32_MAX};
  case QV_I64:
  case QV_DTYPES: break;
  }
  return (qv_itv){INT64_MIN, INT64_MAX};
}

const char *qv_acc_name(qv_acc_mode m) {
  switch (m) {
  case QV_ACC_EXACT: return "exact";
  case QV_ACC_WRAP: return "wrap";
  case QV_ACC_SAT: return "sat";
  case QV_ACC_TRAP: return "trap";
  case QV_ACC_PAIR16: return "pair16";
  case QV_ACC_LANES: return "lanes";
  case QV_ACC_PAIRLANES: return "pairlanes";
  }
  return "?";
}

int32_t qv_f32_order(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  int32_t mag = (int32_t)(u & 0x7fffffff);
  return u >> 31 ? -mag : mag;
}

float qv_f32_of_order(int32_t q) {
  uint32_t u = q < 0 ? 0x80000000u | (uint32_t)-q : (uint32_t)q;
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

/* ---- building --------------------------------------------------------------------------------------------------------- */

qv_net *qv_net_new(size_t limit) {
  qv_net *n = calloc(1, sizeof *n);
  if (n == NULL) return NULL;
  n->source = n->profile = n->format = "";
  n->arena.limit = limit;
  return n;
}

void qv_net_free(qv_net *n) {
  if (n == NULL) return;
  qv_arena_clear(&n->arena);
  free(n);
}

/* Append *item to an array that lives in the net's arena and doubles: old copies stay in the arena until the net goes. */
static bool append(qv_net *net, void **array, uint32_t *n, size_t size, const void *item) {
  if (*n == UINT32_MAX) return false;
  bool full = *n == 0 || (*n >= 8 && (*n & (*n - 1)) == 0); /* capacities 8, 16, 32, ... */
  if (full) {
    unsigned char *p = qv_arena_alloc(&net->arena, *n < 8 ? 8 : 2 * (size_t)*n, size);
    if (p == NULL) return false;
    if (*n > 0) memcpy(p, *array, *n * size);
    *array = p;
  }
  memcpy((unsigned char *)*array + *n * size, item, size);
  (*n)++;
  return true;
}

uint32_t qv_net_add_tensor(qv_net *net, const qv_tensor *t) {
  void *a = net->tensor;
  bool ok = append(net, &a, &net->n_tensors, sizeof *t, t);
  net->tensor = a;
  return ok ? net->n_tensors - 1 : QV_NONE;
}

uint32_t qv_net_add_node(qv_net *net, const qv_node *x) {
  void *a = net->node;
  bool ok = append(net, &a, &net->n_nodes, sizeof *x, x);
  net->node = a;
  return ok ? net->n_nodes - 1 : QV_NONE;
}

bool qv_net_add_in(qv_net *net, const qv_port *p) {
  void *a = net->in;
  bool ok = append(net, &a, &net->n_in, sizeof *p, p);
  net->in = a;
  return ok;
}

bool qv_net_add_out(qv_net *net, const qv_port *p) {
  void *a = net->out;
  bool ok = append(net, &a, &net->n_out, sizeof *p, p);
  net->out = a;
  return ok;
}

bool qv_net_add_note(qv_net *net, const char *text) {
  for (uint32_t i = 0; i < net->n_notes; i++)
    if (strcmp(net->note[i], text) == 0) return true;
  const char *copy = qv_arena_str(&net->arena, text, strlen(text));
  void *a = net->note;
  bool ok = copy != NULL && append(net, &a, &net->n_notes, sizeof copy, &copy);
  net->note = a;
  return ok;
}
