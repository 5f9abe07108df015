#include "cli/samples.h"

#include <stdlib.h>

#include "cli/storage.h"
#include "frontend/array.h"
#include "kernels/exec.h"

qv_status cli_samples_read(cli_samples *s, const cli_val *files, const qv_net *net, size_t most, qv_err *err) {
  qv_status st = QV_OK;
  if ((s->in = calloc(net->n_in, sizeof *s->in)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  s->n_in = net->n_in;
  for (uint32_t i = 0; st == QV_OK && i < files->n; i++) {
    qv_array a = {0};
    size_t n = 0;
    st = qv_array_read(&a, files->v[i], err);
    if (st == QV_OK) st = qv_input_pack(&s->in[i], &n, net, i, &a, files->v[i], err);
    qv_array_free(&a);
    if (st == QV_OK && (n == 0 || (i > 0 && n != s->n))) st = QV_FAIL(err, QV_E_PARSE, "%zu samples", n);
    s->n = n;
  }
  if (most != 0 && s->n > most) s->n = most;
  return st == QV_E_RANGE || st == QV_E_ARG ? QV_E_PARSE : st; /* what is wrong with a file of data is wrong with that file */
}

void cli_samples_free(cli_samples *s) {
  for (uint32_t i = 0; s->in != NULL && i < s->n_in; i++) free(s->in[i]);
  free(s->in);
  *s = (cli_samples){0};
}

void cli_outputs_free(void **out, uint32_t n_out) {
  for (uint32_t i = 0; out != NULL && i < n_out; i++) free(out[i]);
  free(out);
}

qv_status cli_samples_run(void ***out, const qv_net *net, const cli_samples *s, qv_err *err) {
  qv_plan *plan = NULL;
  qv_status st;
  void **v = calloc(net->n_out, sizeof *v);
  if (v == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  *out = v;
  for (uint32_t o = 0; o < net->n_out; o++) {
    const qv_tensor *t = &net->tensor[net->out[o].tensor];
    size_t bytes;
    if (!qv_mulz(&bytes, s->n, qv_elems(t) * qv_dtype_bytes(t->type)) || (v[o] = malloc(bytes)) == NULL)
      return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  }
  QV_TRY(qv_plan_new(&plan, net, QV_ISA_BEST, err));
  QV_TRY(qv_plan_run(plan, s->n, (const void *const *)s->in, v, 0, err));
done:
  qv_plan_free(plan);
  return st;
}

static size_t largest(const void *v, qv_dtype t, size_t first, size_t k) {
  size_t best = 0;
  for (size_t e = 1; e < k; e++)
    if (qv_fetch(v, t, first + e) > qv_fetch(v, t, first + best)) best = e;
  return best;
}

cli_difference cli_outputs_compare(const qv_net *net, size_t n, void *const *a, void *const *b) {
  cli_difference d = {0};
  for (size_t s = 0; s < n; s++) {
    size_t before = d.elements;
    for (uint32_t o = 0; o < net->n_out; o++) {
      const qv_tensor *t = &net->tensor[net->out[o].tensor];
      size_t k = qv_elems(t);
      for (size_t e = s * k; e < (s + 1) * k; e++) d.elements += qv_fetch(a[o], t->type, e) != qv_fetch(b[o], t->type, e);
      if (o == 0) d.argmax += largest(a[o], t->type, s * k, k) != largest(b[o], t->type, s * k, k);
    }
    d.samples += d.elements != before;
  }
  return d;
}

void cli_net_widen(qv_net *net) {
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    if (net->node[k].kind != QV_AFFINE) continue;
    qv_acc *a = &net->node[k].u.affine.acc;
    if (qv_acc_staged(a)) *a = (qv_acc){.mode = QV_ACC_WRAP, .bits = a->bits, .order = a->order, .bias = a->bias, .raw = a->raw};
  }
}

void cli_difference_text(qv_buf *out, const char *what, const cli_difference *d) {
  qv_buf_printf(out, "    %s: %zu output elements in %zu samples, largest element moved in %zu\n", what, d->elements, d->samples, d->argmax);
}
