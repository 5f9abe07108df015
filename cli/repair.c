#include "cli/repair.h"

#include <inttypes.h>

#include "cli/checker.h"
#include "cli/ovtext.h"
#include "ir/qir.h"

/* ---- samples -------------------------------------------------------------------------------------------------------------- */

static qv_status measure(cli_repair *r, const qv_net *audited, const qv_net *exact, const cli_val *files, qv_err *err) {
  cli_samples s = {0};
  void **want = NULL, **old = NULL, **new = NULL;
  qv_status st;
  QV_TRY(cli_samples_read(&s, files, audited, 0, err));
  QV_TRY(cli_samples_run(&want, exact, &s, err));
  QV_TRY(cli_samples_run(&old, audited, &s, err));
  QV_TRY(cli_samples_run(&new, r->m.net, &s, err));
  r->samples = s.n;
  r->audited = cli_outputs_compare(exact, s.n, want, old);
  r->repaired = cli_outputs_compare(exact, s.n, want, new);
done:
  cli_outputs_free(want, exact->n_out);
  cli_outputs_free(old, exact->n_out);
  cli_outputs_free(new, exact->n_out);
  cli_samples_free(&s);
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
    cli_net_widen(exact.net);
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
    cli_difference_text(out, "given weights on the audited kernel", &r->audited);
    cli_difference_text(out, "repaired net", &r->repaired);
  }
  qv_buf_printf(out, "  Repaired net: %s, %" PRIu32 " of %" PRIu32 " obligations proved %s\n", qv_verdict_name(qv_ovcheck_verdict(&r->o)), r->o.verified,
                r->o.selected, cli_text_checked(&r->o));
}
