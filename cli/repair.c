#include "cli/repair.h"

#include <inttypes.h>
#include <stdlib.h>

#include "cli/checker.h"
#include "cli/ovtext.h"
#include "cli/storage.h"
#include "frontend/array.h"
#include "ir/qir.h"
#include "kernels/exec.h"

/* ---- samples -------------------------------------------------------------------------------------------------------------- */

typedef struct {
  size_t n;
  void **in;  /* [net->n_in] */
} samples;

static qv_status read_samples(samples *s, const cli_val *files, const qv_net *net, qv_err *err) {
  qv_status st = QV_OK;
  if ((s->in = calloc(net->n_in, sizeof *s->in)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  for (uint32_t i = 0; st == QV_OK && i < files->n; i++) {
    qv_array a = {0};
    size_t n = 0;
    st = qv_array_read(&a, files->v[i], err);
    if (st == QV_OK) st = qv_input_pack(&s->in[i], &n, net, i, &a, files->v[i], err);
    qv_array_free(&a);
    if (st == QV_OK && (n == 0 || (i > 0 && n != s->n))) st = QV_FAIL(err, QV_E_PARSE, "%zu samples", n);
    s->n = n;
  }
  return st == QV_E_RANGE || st == QV_E_ARG ? QV_E_PARSE : st; /* what is wrong with a file of data is wrong with that file */
}

static void free_samples(samples *s, uint32_t n_in) {
  for (uint32_t i = 0; s->in != NULL && i < n_in; i++) free(s->in[i]);
  free(s->in);
}

static void free_outputs(void **out, uint32_t n_out) {
  for (uint32_t i = 0; out != NULL && i < n_out; i++) free(out[i]);
  free(out);
}

static qv_status execute(void ***out, const qv_net *net, const samples *s, qv_err *err) {
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

static cli_difference compare(const qv_net *net, size_t n, void *const *a, void *const *b) {
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

/* No narrow stages: straight into the sum. */
static void widen(qv_net *net) {
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    if (net->node[k].kind != QV_AFFINE) continue;
    qv_acc *a = &net->node[k].u.affine.acc;
    if (qv_acc_staged(a)) *a = (qv_acc){.mode = QV_ACC_WRAP, .bits = a->bits, .order = a->order, .bias = a->bias, .raw = a->raw};
  }
}

static qv_status measure(cli_repair *r, const qv_net *audited, const qv_net *exact, const cli_val *files, qv_err *err) {
  samples s = {0};
  void **want = NULL, **old = NULL, **new = NULL;
  qv_status st;
  QV_TRY(read_samples(&s, files, audited, err));
  QV_TRY(execute(&want, exact, &s, err));
  QV_TRY(execute(&old, audited, &s, err));
  QV_TRY(execute(&new, r->m.net, &s, err));
  r->samples = s.n;
  r->audited = compare(exact, s.n, want, old);
  r->repaired = compare(exact, s.n, want, new);
done:
  free_outputs(want, exact->n_out);
  free_outputs(old, exact->n_out);
  free_outputs(new, exact->n_out);
  free_samples(&s, audited->n_in);
  return st;
}

/* ---- the repair ------------------------------------------------------------------------------------------------------------ */

static qv_status prove(cli_repair *r, const cli_cmd *cmd, const cli_val *val, const qv_property *prop, qv_err *err) {
  qv_status st;
  qv_buf text = {0};
  r->o.no_search = true;
  QV_TRY(qv_repair_run(&r->fix, r->m.net, prop, r->way, err));
  QV_TRY(qv_ovcheck_run(&r->o, r->m.net, prop, NULL, err));
  if (cli_get(cmd, val, "no-check") == NULL) QV_TRY(qv_ovcheck_check(&r->o, err));
  QV_TRY(qv_qir_write(&text, r->m.net, err));
  QV_TRY(cli_emit(r->path, &text, err));
done:
  qv_buf_free(&text);
  return st;
}

int cli_repair_run(cli_repair *out, const cli_cmd *cmd, const cli_val *val, const qv_net *audited, const qv_property *prop,
                   const char *path, qv_repair_way way, cli_load_again load, void *ctx, qv_err *err) {
  const cli_val *files = cli_all(cmd, val, "input");
  if (files->n == 0) files = cli_all(cmd, val, "calibrate");
  cli_model exact = {0};
  out->path = path;
  out->way = way;
  int rc = load(&out->m, ctx);
  if (rc != 0) return rc;
  qv_status st = prove(out, cmd, val, prop, err);
  if (st != QV_OK) return cli_fail(st, NULL, err);
  if (files->n == 0) return 0;
  if ((rc = load(&exact, ctx)) == 0) {
    widen(exact.net);
    if ((st = measure(out, audited, exact.net, files, err)) != QV_OK) rc = cli_fail(st, files->v[0], err);
  }
  cli_model_free(&exact);
  return rc;
}

void cli_repair_clear(cli_repair *r) {
  qv_repair_clear(&r->fix);
  qv_ovcheck_clear(&r->o);
  cli_model_free(&r->m);
}

/* ---- text ------------------------------------------------------------------------------------------------------------------ */

static void difference(qv_buf *out, const char *what, const cli_difference *d) {
  qv_buf_printf(out, "    %s: %zu output elements in %zu samples, largest element moved in %zu\n", what, d->elements, d->samples, d->argmax);
}

static void layer_line(qv_buf *out, const cli_repair *r, const qv_repair_layer *l, qv_arena *a) {
  const qv_node *n = &r->m.net->node[l->node];
  qv_buf_printf(out, "  layer %" PRIu32 " %s: ", n->layer, cli_safe(a, n->op));
  switch (l->way) {
  case QV_REPAIR_PERMUTE:
    qv_buf_printf(out, "%" PRIu32 " input channels in another order, %" PRIu32 " of zeros added (index nodes in front of the layer)\n", l->channels, l->added);
    return;
  case QV_REPAIR_CLIP:
    qv_buf_printf(out, "%" PRIu64 " weights by %" PRIu64 " steps, at most %" PRId64, l->weights, l->steps, l->most);
    if (l->bound < l->steps) qv_buf_printf(out, "; none with fewer than %" PRIu64, l->bound);
    qv_buf_str(out, "\n");
    return;
  case QV_REPAIR_RANGE: qv_buf_printf(out, "weights halved to 7 bits (%" PRIu64 " changed), requantization doubled\n", l->weights); return;
  case QV_REPAIR_SCALE:
    qv_buf_printf(out, "weights on %" PRId64 " of %" PRId64 " levels (%" PRIu64 " changed), requantization adjusted; more levels do not fit\n", l->levels, l->of,
                  l->weights);
    return;
  case QV_REPAIR_AUTO: return;
  }
}

void cli_repair_text(qv_buf *out, const cli_repair *r, qv_arena *a) {
  const qv_repair *f = &r->fix;
  qv_buf_printf(out, "\nRepair (%s): %" PRIu32 " layers changed, written to %s\n", qv_repair_name(r->way), f->n_layers, cli_safe(a, r->path));
  if (f->n > 0)
    qv_buf_printf(out, "  %" PRIu32 " weights in %" PRIu64 " groups moved toward zero by %" PRIu64 " steps\n", f->n, f->groups, f->steps);
  for (uint32_t i = 0; i < f->n_layers; i++) layer_line(out, r, &f->layer[i], a);
  if (r->samples > 0) {
    qv_buf_printf(out, "  On %zu samples, against the given weights without saturation:\n", r->samples);
    difference(out, "given weights on the audited kernel", &r->audited);
    difference(out, "repaired net", &r->repaired);
  }
  qv_buf_printf(out, "  Repaired net: %s, %" PRIu32 " of %" PRIu32 " obligations proved %s\n", qv_verdict_name(qv_ovcheck_verdict(&r->o)), r->o.verified,
                r->o.selected, cli_text_checked(&r->o));
}
