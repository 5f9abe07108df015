#include "cli/report_audit.h"

#include <inttypes.h>

#include "ir/base/json.h"

/* ---- audit ------------------------------------------------------------------------------------------------------------------ */

/* Room of the worst group of row i; rows without an unsafe group: QV_NONE in the order below. */
static int64_t room(const qv_audit_row *r) {
  return qv_min64(r->worst.sum.lo - qv_smin(r->bits), qv_smax(r->bits) - r->worst.sum.hi);
}

/* The row with the least room after row `last` in that order, n if there is none. */
static uint32_t next_offender(const qv_audit *au, uint32_t last) {
  uint32_t best = au->n;
  for (uint32_t i = 0; i < au->n; i++) {
    const qv_audit_row *r = &au->row[i];
    if (r->unsafe == 0 || r->worst.n == 0) continue;
    bool after = last == au->n || room(r) > room(&au->row[last]) || (room(r) == room(&au->row[last]) && i > last);
    if (after && (best == au->n || room(r) < room(&au->row[best]))) best = i;
  }
  return best;
}

static cJSON *offender(const cli_report *r, uint32_t i) {
  const qv_audit_row *row = &r->audit->row[i];
  uint32_t node = r->check->item[i].node;
  const qv_node *n = &r->model->net->node[node];
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add_int(o, "node", node);
  ok = qv_json_add_int(o, "layer", n->layer) && ok;
  ok = qv_json_add_str(o, "op", n->op) && ok;
  ok = qv_json_add_int(o, "groups", (int64_t)row->n) && ok;
  ok = qv_json_add_int(o, "unsafe", (int64_t)row->unsafe) && ok;
  ok = qv_json_add(o, "worst", cli_report_group(&row->worst)) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

cJSON *cli_report_audit(const cli_report *r) {
  const qv_audit *au = r->audit;
  uint64_t n = 0, unsafe = 0, any = 0;
  cJSON *o = cJSON_CreateObject(), *list = cJSON_CreateArray();
  bool ok = list != NULL;
  for (uint32_t i = 0; i < au->n; i++) n += au->row[i].n, unsafe += au->row[i].unsafe, any += au->row[i].unsafe_any;
  for (uint32_t i = next_offender(au, au->n); i < au->n; i = next_offender(au, i)) ok = qv_json_push(list, offender(r, i)) && ok;
  ok = qv_json_add_int(o, "groups", (int64_t)n) && ok;
  ok = qv_json_add_int(o, "unsafe", (int64_t)unsafe) && ok;
  ok = qv_json_add_int(o, "unsafe_any_byte", (int64_t)any) && ok;
  ok = qv_json_add_num(o, "unsafe_per_million", n == 0 ? 0 : (int32_t)(unsafe * 1000000 / n)) && ok;
  ok = qv_json_add(o, "offenders", list) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

/* ---- repair ----------------------------------------------------------------------------------------------------------------- */

static cJSON *layer(const cli_repair *r, const qv_repair_layer *l) {
  const qv_node *n = &r->m.net->node[l->node];
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add_int(o, "node", l->node);
  ok = qv_json_add_int(o, "layer", n->layer) && ok;
  ok = qv_json_add_str(o, "op", n->op) && ok;
  ok = qv_json_add_str(o, "way", qv_repair_name(l->way)) && ok;
  ok = qv_json_add_int(o, "weights", (int64_t)l->weights) && ok;
  ok = qv_json_add_int(o, "steps", (int64_t)l->steps) && ok;
  ok = qv_json_add_int(o, "least_steps", (int64_t)l->bound) && ok;
  ok = qv_json_add_int(o, "largest_step", l->most) && ok;
  ok = qv_json_add_int(o, "channels", l->channels) && ok;
  ok = qv_json_add_int(o, "added", l->added) && ok;
  ok = qv_json_add_int(o, "levels", l->levels) && ok;
  ok = qv_json_add_int(o, "of_levels", l->of) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static cJSON *difference(const cli_difference *d) {
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add_int(o, "samples", (int64_t)d->samples);
  ok = qv_json_add_int(o, "elements", (int64_t)d->elements) && ok;
  ok = qv_json_add_int(o, "largest_moved", (int64_t)d->argmax) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

cJSON *cli_report_repair(const cli_repair *r) {
  cJSON *o = cJSON_CreateObject(), *list = cJSON_CreateArray();
  bool ok = list != NULL;
  for (uint32_t i = 0; i < r->fix.n_layers; i++) ok = qv_json_push(list, layer(r, &r->fix.layer[i])) && ok;
  ok = qv_json_add_str(o, "path", r->path) && ok;
  ok = qv_json_add_str(o, "way", qv_repair_name(r->way)) && ok;
  ok = qv_json_add(o, "layers", list) && ok;
  ok = qv_json_add_int(o, "groups", (int64_t)r->fix.groups) && ok;
  ok = qv_json_add_int(o, "weights", r->fix.n) && ok;
  ok = qv_json_add_int(o, "steps", (int64_t)r->fix.steps) && ok;
  ok = qv_json_add_int(o, "least_steps", (int64_t)r->fix.bound) && ok;
  ok = qv_json_add_str(o, "verdict", qv_verdict_name(qv_ovcheck_verdict(&r->o))) && ok;
  ok = qv_json_add_int(o, "selected", r->o.selected) && ok;
  ok = qv_json_add_int(o, "verified", r->o.verified) && ok;
  ok = qv_json_add_int(o, "samples", (int64_t)r->samples) && ok;
  ok = qv_json_add(o, "given", difference(&r->audited)) && ok;
  ok = qv_json_add(o, "repaired", difference(&r->repaired)) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}
