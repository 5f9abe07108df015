#include "cli/ovtext.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/checker.h"
#include "cli/witness_out.h"
#include "kernels/profile/onnx.h"

void cli_text_obligations(qv_buf *out, const qv_net *net, const qv_ovcheck *o, bool all, qv_arena *a) {
  uint32_t asked = 0, held = 0;
  for (uint32_t i = 0; i < o->proof.n_obligation; i++) {
    asked += !o->proof.obligation[i].informational;
    held += !o->proof.obligation[i].informational && o->proof.obligation[i].holds;
  }
  qv_buf_printf(out, "\nObligations of requantization: %" PRIu32 " of %" PRIu32 " hold\n", held, asked);
  for (uint32_t i = 0; i < o->proof.n_obligation; i++) {
    const qv_obligation *b = &o->proof.obligation[i];
    const qv_node *nd = &net->node[b->node];
    if (b->holds && !all) continue;
    qv_buf_printf(out, "  layer %" PRIu32 " %s, channel %" PRIu32 ": %s: [%" PRId64 ",%" PRId64 "] in [%" PRId64 ",%" PRId64 "]: %s%s\n",
                  nd->layer, cli_safe(a, nd->op), b->channel, qv_ob_name(b->kind), b->range.lo, b->range.hi, b->limit.lo, b->limit.hi,
                  b->holds ? "holds" : "not excluded", b->informational ? " (for information)" : "");
  }
}

static void bullet(qv_buf *out, const char *text) {
  qv_buf_str(out, "  - ");
  cli_wrap(out, text, 4, 100);
}

static void domain_line(qv_buf *out, const cli_report *r, const qv_net *net, uint32_t i, qv_arena *a) {
  char line[400];
  const qv_tensor *t = &net->tensor[net->in[i].tensor];
  qv_itv v = qv_property_hull(r->prop, i, t);
  char what[64];
  if (net->in[i].end == QV_END_F32_ORDER) (void)snprintf(what, sizeof what, "float32 value, by its order number,");
  else (void)snprintf(what, sizeof what, "%s value", qv_dtype_name(t->type));
  bool each = r->prop->in[i].n > 1, whole = r->prop->in[i].n == 0;
  (void)snprintf(line, sizeof line, "Domain: %s %s from %" PRId64 " to %" PRId64 " at every element of input '%s'%s%s.",
                 each ? "per element an interval, together every" : "every", what, v.lo, v.hi,
                 cli_safe(a, net->in[i].name), whole ? "" : ", as given by ", whole ? "" : cli_safe(a, r->domain_path));
  bullet(out, line);
}

void cli_text_assumptions(qv_buf *out, const cli_report *r, const qv_net *net, const qv_ovcheck *o, qv_arena *a) {
  char line[400];
  qv_buf_str(out, "\nAssumptions\n");
  if (net->profile[0] != 0) {
    const qv_profile *p = qv_profile_find(net->profile);
    const qv_onnx_profile *x = qv_onnx_profile_find(net->profile);
    (void)snprintf(line, sizeof line, "Profile %s: %s. Another runtime or build may compute differently.", cli_safe(a, net->profile),
                   p != NULL ? p->summary : x != NULL ? x->summary : "?");
    bullet(out, line);
  } else bullet(out, "Arithmetic as written in the file itself.");
  for (uint32_t i = 0; i < net->n_in; i++) domain_line(out, r, net, i, a);
  if (o->acc_bits != 0) bullet(out, "A layer's verdict holds for inputs on which no earlier accumulator overflows.");
  bullet(out, "Claimed: the accumulators, and the integers inside requantization. Not claimed: that the network's answers are right, or "
              "that an implementation follows the profile.");
  for (uint32_t i = 0; i < net->n_notes; i++) bullet(out, cli_safe(a, net->note[i]));
}

const char *cli_text_checked(const qv_ovcheck *o) {
  return o->checked == CLI_CHECK_ACCEPTED ? "(certificate accepted by qverify-check)" : "(NOT independently checked: --no-check)";
}

qv_status cli_results(const cli_cmd *cmd, const cli_val *val, cli_report *r, const qv_ovcheck *o, qv_buf *text, qv_err *err) {
  const char *dir = cli_get(cmd, val, "witness"), *cert = cli_get(cmd, val, "certificate");
  const qv_net *net = r->model->net;
  uint32_t written = 0;
  qv_status st;
  QV_TRY(cli_witness_cex(cli_all(cmd, val, "cex"), net, o, err));
  if (dir != NULL) QV_TRY(cli_witness_files(&written, dir, net, o, err));
  if (dir != NULL) QV_TRY(cli_bound_files(dir, net, &o->proof, err));
  if (cert != NULL) QV_TRY(cli_evidence_save(&o->evidence, cert, err));
  if (o->falsified > 0) r->cex_path = cli_get(cmd, val, "cex");
  r->cert_path = cert;
  if (r->path != NULL && strcmp(r->path, "-") == 0) goto done; /* the report takes the place of the text */
  if (dir != NULL) qv_buf_printf(text, "%" PRIu32 " witness%s written to %s\n", written, written == 1 ? "" : "es", dir);
  QV_TRY(cli_emit("-", text, err));
done:
  qv_buf_free(text);
  return st;
}
