#include "cli/witness_out.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/storage.h"
#include "frontend/array.h"

/* Elements of tensor t as .npy; the storage type of an accumulator may be too narrow for a corner, so int64 unless it fits. */
static qv_status tensor_npy(const char *path, const qv_tensor *t, const int64_t *v, qv_err *err) {
  size_t dim[QV_MAX_RANK], n = qv_elems(t);
  qv_itv type = qv_dtype_range(t->type);
  qv_dtype as = t->type;
  qv_buf b = {0};
  for (size_t e = 0; e < n; e++)
    if (v[e] < type.lo || v[e] > type.hi) as = QV_I64;
  void *data = calloc(n, qv_dtype_bytes(as));
  if (data == NULL) return QV_FAIL(err, QV_E_INTERNAL, "out of memory while writing %s", path);
  for (uint32_t d = 0; d < t->rank; d++) dim[d] = t->dim[d];
  qv_store(data, as, v, n);
  qv_npy_write(&b, qv_storage_elem(as), t->rank, dim, data);
  qv_status st = cli_emit(path, &b, err);
  qv_buf_free(&b);
  free(data);
  return st;
}

qv_status cli_witness_npy(const char *path, const qv_net *net, const qv_witness *w, uint32_t input, qv_err *err) {
  return tensor_npy(path, &net->tensor[net->in[input].tensor], w->input[input], err);
}

static qv_status make_dir(const char *dir, qv_err *err) {
  return mkdir(dir, 0777) == 0 || errno == EEXIST ? QV_OK : QV_FAIL(err, QV_E_INTERNAL, "%s: %s", dir, strerror(errno));
}

static qv_status bound_file(const char *dir, const qv_net *net, const qv_range_result *r, const qv_acc_bound *b, bool hi, qv_buf *list,
                            qv_arena *a, qv_err *err) {
  const qv_node *n = &net->node[b->node];
  const qv_tensor *t = &net->tensor[n->in[0]];
  int64_t *x = QV_NEW(a, qv_elems(t), int64_t), value = 0;
  const char *path = qv_arena_printf(a, "%s/node%" PRIu32 "_%s.npy", dir, b->node, hi ? "max" : "min");
  size_t e = 0;
  if (x == NULL || path == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  qv_witness_node_input(x, &e, &value, net, r, b->node, b->worst_final, hi);
  qv_buf_printf(list, "node %" PRIu32 " layer %" PRIu32 " channel %" PRIu32 " element %zu %s %" PRId64 "\n", b->node, n->layer, b->worst_final, e,
                hi ? "max" : "min", value);
  return tensor_npy(path, t, x, err);
}

qv_status cli_bound_files(const char *dir, const qv_net *net, const qv_proof *proof, qv_err *err) {
  qv_buf list = {0};
  qv_arena a = {0};
  qv_status st = make_dir(dir, err);
  for (uint32_t i = 0; st == QV_OK && i < proof->range.n_acc; i++) {
    const qv_acc_bound *b = &proof->range.acc[i];
    if (net->node[b->node].kind != QV_AFFINE) continue;
    for (int hi = 0; st == QV_OK && hi <= 1; hi++) st = bound_file(dir, net, &proof->range, b, hi != 0, &list, &a, err);
    qv_arena_clear(&a);
  }
  const char *path = qv_arena_printf(&a, "%s/bounds.txt", dir);
  if (st == QV_OK) st = path != NULL ? cli_emit(path, &list, err) : QV_FAIL(err, QV_E_NOMEM, "out of memory");
  qv_buf_free(&list);
  qv_arena_clear(&a);
  return st;
}

/* Smallest C type that holds all n values. */
static const char *c_type(const int64_t *v, size_t n) {
  qv_itv r = {0, 0};
  for (size_t i = 0; i < n; i++) r = qv_itv_hull(r, (qv_itv){v[i], v[i]});
  int bits = qv_itv_bits(r);
  return bits <= 8 ? "int8_t" : bits <= 16 ? "int16_t" : bits <= 32 ? "int32_t" : "int64_t";
}

static void c_array(qv_buf *b, const char *what, uint32_t number, const int64_t *v, size_t n) {
  qv_buf_printf(b, "static const %s qv_%s_%" PRIu32 "[%zu] = {", c_type(v, n), what, number, n);
  for (size_t i = 0; i < n; i++) {
    qv_buf_str(b, i == 0 ? "\n  " : i % 16 == 0 ? ",\n  " : ", ");
    if (v[i] == INT64_MIN) qv_buf_str(b, "INT64_MIN");
    else qv_buf_i64(b, v[i]);
  }
  qv_buf_str(b, "};\n");
}

/* Names come from the model file: only what cannot end a comment. */
static void comment(qv_buf *b, const char *name) {
  for (; *name != 0; name++) qv_buf_put(b, *name >= 0x20 && *name < 0x7f && *name != '*' && *name != '\\' ? name : "?", 1);
}

static qv_status expected(qv_buf *b, const qv_net *net, const qv_witness *w, qv_err *err) {
  qv_values v;
  qv_status st = qv_values_init(&v, net, err);
  if (st != QV_OK) return st;
  for (uint32_t i = 0; i < net->n_in; i++)
    memcpy(v.v[net->in[i].tensor], w->input[i], qv_elems(&net->tensor[net->in[i].tensor]) * sizeof(int64_t));
  for (uint32_t k = 0; st == QV_OK && k < w->node; k++) {
    const qv_node *n = &net->node[k];
    st = qv_ref_node(net, k, &v, err);
    if (st != QV_OK) break;
    qv_buf_printf(b, "\n/* node %" PRIu32 ", layer %" PRIu32 " ", k, n->layer);
    comment(b, n->op);
    qv_buf_str(b, ": ");
    comment(b, net->tensor[n->out].name);
    qv_buf_str(b, " */\n");
    c_array(b, "node", k, v.v[n->out], qv_elems(&net->tensor[n->out]));
  }
  qv_values_clear(&v);
  return st;
}

static qv_status header(const char *path, const qv_net *net, const qv_witness *w, qv_err *err) {
  qv_buf b = {0};
  const qv_node *n = &net->node[w->node];
  qv_buf_printf(&b, "/* An input on which the accumulator of node %" PRIu32 " (layer %" PRIu32 " ", w->node, n->layer);
  comment(&b, n->op);
  qv_buf_printf(&b, "), element %zu, overflows:\n * exact sum %" PRId64 ", ", w->element, w->exact);
  if (w->trap) qv_buf_str(&b, "behaviour of the machine undefined.\n");
  else qv_buf_printf(&b, "the machine gives %" PRId64 ".\n", w->machine);
  qv_buf_str(&b, " * Model ");
  comment(&b, net->source);
  qv_buf_printf(&b, ", SHA-256 %s, profile ", net->sha256[0] != 0 ? net->sha256 : "unknown");
  comment(&b, net->profile[0] != 0 ? net->profile : "of the file");
  qv_buf_str(&b, ".\n * Quantized inputs, then what every node before it must give, in row-major order. */\n#include <stdint.h>\n\n");
  for (uint32_t i = 0; i < net->n_in; i++) c_array(&b, "input", i, w->input[i], qv_elems(&net->tensor[net->in[i].tensor]));
  qv_status st = expected(&b, net, w, err);
  if (st == QV_OK) st = cli_emit(path, &b, err);
  qv_buf_free(&b);
  return st;
}

qv_status cli_witness_files(uint32_t *count, const char *dir, const qv_net *net, const qv_ovcheck *o, qv_err *err) {
  qv_arena a = {0};
  qv_status st = make_dir(dir, err);
  *count = 0;
  for (uint32_t i = 0; st == QV_OK && i < o->n; i++) {
    const qv_witness *w = &o->wit[i];
    if (w->state != QV_WIT_REACHED) continue;
    for (uint32_t k = 0; st == QV_OK && k < net->n_in; k++) {
      const char *p = qv_arena_printf(&a, "%s/node%" PRIu32 "_input%" PRIu32 ".npy", dir, w->node, k);
      st = p != NULL ? cli_witness_npy(p, net, w, k, err) : QV_FAIL(err, QV_E_NOMEM, "out of memory");
    }
    if (st != QV_OK) break;
    const char *p = qv_arena_printf(&a, "%s/node%" PRIu32 ".h", dir, w->node);
    st = p != NULL ? header(p, net, w, err) : QV_FAIL(err, QV_E_NOMEM, "out of memory");
    (*count)++;
  }
  qv_arena_clear(&a);
  return st;
}

qv_status cli_witness_cex(const cli_val *to, const qv_net *net, const qv_ovcheck *o, qv_err *err) {
  const qv_witness *w = qv_ovcheck_witness(o);
  qv_status st = QV_OK;
  for (uint32_t i = 0; w != NULL && st == QV_OK && i < to->n; i++) st = cli_witness_npy(to->v[i], net, w, i, err);
  return st;
}
