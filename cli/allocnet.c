#include "cli/allocnet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/qverify.h"
#include "quant/sens_file.h"

/* Is this file a network (not JSON)? */
static bool is_network(const qv_buf *file) {
  size_t i = 0;
  while (i < file->n && strchr(" \t\r\n", file->p[i]) != NULL && file->p[i] != 0) i++;
  return file->n > 0 && (i == file->n || file->p[i] != '{');
}

static int read_candidates(cli_allocnet *x, const cli_cmd *cmd, const char *list) {
  const char *p = list;
  for (;;) {
    int w, a, len = 0;
    if (x->n_cand == CLI_MAX_CANDS) return cli_usage(cmd, "--candidates: at most %d", CLI_MAX_CANDS);
    if (sscanf(p, "%2d/%2d%n", &w, &a, &len) != 2 || w < 2 || w > 16 || a < 2 || a > 16 || (p[len] != 0 && p[len] != ','))
      return cli_usage(cmd, "--candidates '%.80s': W/A,W/A,.. with 2..16 bits each, e.g. 8/8,4/8", list);
    for (uint32_t i = 0; i < x->n_cand; i++)
      if (x->cand[i].w == w && x->cand[i].a == a) return cli_usage(cmd, "--candidates '%.80s': %d/%d stands there twice", list, w, a);
    x->cand[x->n_cand++] = (qv_bits){w, a};
    if (p[len] == 0) return 0;
    p += len + 1;
  }
}

static int read_accumulators(cli_allocnet *x, const cli_cmd *cmd, const char *list, bool pairs) {
  const char *p = list;
  for (;;) {
    int bits, len = 0;
    bool q = strncmp(p, "pairs", 5) == 0;
    if (x->n_acc == CLI_MAX_ACCS) return cli_usage(cmd, "--acc-bits: at most %d", CLI_MAX_ACCS);
    if (sscanf(p + (q ? 5 : 0), "%2d%n", &bits, &len) != 1 || bits < 2 || bits > 32)
      return cli_usage(cmd, "--acc-bits '%.80s': widths of 2..32 bits, e.g. 32,16", list);
    p += len + (q ? 5 : 0);
    if (*p != 0 && *p != ',') return cli_usage(cmd, "--acc-bits '%.80s': widths of 2..32 bits, e.g. 32,16", list);
    q = q || pairs;
    for (uint32_t i = 0; i < x->n_acc; i++)
      if (x->acc[i].bits == bits && x->acc[i].pairs == q) return cli_usage(cmd, "--acc-bits '%.80s': %d stands there twice", list, bits);
    x->acc[x->n_acc++] = (qv_accum){bits, q};
    if (bits > x->widest) x->widest = bits;
    if (*p == 0) return 0;
    p++;
  }
}

int cli_allocnet_widths(cli_allocnet *x, const cli_cmd *cmd, const cli_val *val) {
  const char *cands = cli_get(cmd, val, "candidates"), *accs = cli_get(cmd, val, "acc-bits");
  x->fit = cli_get(cmd, val, "no-fit") == NULL;
  int rc = read_candidates(x, cmd, cands != NULL ? cands : "8/8,6/8,4/8,3/8,2/8,8/4,4/4");
  return rc != 0 ? rc : read_accumulators(x, cmd, accs != NULL ? accs : "32", cli_get(cmd, val, "pairs") != NULL);
}

static int metric_of(qv_metric *m, const cli_cmd *cmd, const char *name) {
  const char *list[QV_METRICS];
  *m = QV_METRIC_NOISE;
  if (name == NULL) return 0;
  for (unsigned i = 0; i < QV_METRICS; i++) {
    list[i] = qv_metric_name((qv_metric)i);
    if (strcmp(list[i], name) == 0) {
      *m = (qv_metric)i;
      return 0;
    }
  }
  const char *near = cli_nearest(name, list, QV_METRICS);
  qv_buf all = {0};
  for (unsigned i = 0; i < QV_METRICS; i++) qv_buf_printf(&all, "%s%s", i > 0 ? ", " : "", list[i]);
  int rc = cli_usage(cmd, "unknown metric '%.40s'; did you mean '%s'? (%.*s)", name, near != NULL ? near : "noise", (int)all.n,
                     all.n > 0 ? (const char *)all.p : "");
  qv_buf_free(&all);
  return rc;
}

static void add_metric(qv_metric *list, uint32_t *n, qv_metric m) {
  for (uint32_t i = 0; i < *n; i++)
    if (list[i] == m) return;
  list[(*n)++] = m;
}

/* The loss of the table first, then those of --also, then EAGL's, which is cheap and which compare wants. */
static int read_metrics(qv_metric *list, uint32_t *n, const cli_cmd *cmd, const cli_val *val, const char *metric) {
  const char *also = cli_get(cmd, val, "also");
  qv_metric m;
  int rc = metric_of(&m, cmd, metric);
  if (rc != 0) return rc;
  add_metric(list, n, m);
  for (const char *p = also; p != NULL && *p != 0;) {
    char name[64];
    size_t len = strcspn(p, ",");
    (void)snprintf(name, sizeof name, "%.*s", (int)(len < 60 ? len : 60), p);
    if ((rc = metric_of(&m, cmd, name)) != 0) return rc;
    add_metric(list, n, m);
    p += len + (p[len] == ',');
  }
  add_metric(list, n, QV_METRIC_EAGL);
  for (uint32_t i = 0; i < *n; i++)
    if (list[i] == QV_METRIC_ACCURACY && cli_get(cmd, val, "labels") == NULL) return cli_usage(cmd, "the metric 'accuracy' needs --labels");
  return 0;
}

/* What --sensitivities knows: a file of this very question, a user's file without a key, or nothing yet (then *fresh). */
static qv_status open_sensitivities(qv_sens **out, bool *fresh, const char *path, const char *key, qv_err *err) {
  qv_buf file = {0};
  qv_sens *s = NULL;
  qv_status st = access(path, F_OK) == 0 ? qv_file_read(&file, path, (size_t)1 << 28, err) : QV_E_IO;
  *fresh = st != QV_OK && access(path, F_OK) != 0;
  if (st == QV_OK) st = qv_sens_read(&s, (const char *)file.p, file.n, err);
  else if (*fresh) st = QV_OK;
  qv_buf_free(&file);
  if (st == QV_OK && s != NULL && qv_sens_key(s) != NULL && strcmp(qv_sens_key(s), key) != 0) {
    fprintf(stderr, "qverify: %s: measured for another network, other samples, options or version: measured again\n", path);
    qv_sens_free(s);
    s = NULL;
    *fresh = true;
  }
  if (st == QV_OK && s == NULL && (s = qv_sens_new()) == NULL) st = QV_FAIL(err, QV_E_NOMEM, "sensitivities");
  *out = s;
  return st;
}

/* The table; losses from and to --sensitivities. *path: the file that err is about. */
static qv_status table_with_losses(cli_allocnet *x, qv_table_opts *o, const char **path, const char *file, qv_err *err) {
  char key[QV_SHA256_HEX];
  bool fresh = false;
  qv_buf out = {0};
  qv_sens *s = NULL;
  qv_status st = QV_OK;
  if (file != NULL) {
    QV_TRY(qv_sens_hash(key, qverify_version(), x->f.g, &x->f.calib, o, err));
    const char *model = *path;
    *path = file;
    QV_TRY(open_sensitivities(&s, &fresh, file, key, err));
    *path = model;
    o->sens = s;
  }
  QV_TRY(qv_make_table(&x->made, x->f.g, &x->f.calib, o, err));
  if (s != NULL && qv_sens_changed(s) && (fresh || qv_sens_key(s) != NULL)) { /* a user's own file is never written */
    *path = file;
    QV_TRY(qv_sens_write(&out, s, key, err));
    QV_TRY(cli_emit(file, &out, err));
  }
done:
  o->sens = NULL;
  qv_sens_free(s);
  qv_buf_free(&out);
  return st;
}

/* "R" or "all" (-1); absent: 0. */
static bool radius_of(double *r, const char *s) {
  char *end;
  *r = s == NULL ? 0 : -1;
  if (s == NULL || strcmp(s, "all") == 0) return true;
  *r = strtod(s, &end);
  return end != s && *end == 0 && *r > 0 && *r < 1e30;
}

/* Measure, prove, make the table's text. metric: NULL = noise. */
static int make_table(cli_allocnet *x, const cli_cmd *cmd, const cli_val *val, const char *path, const char *metric, qv_err *err) {
  const char *ends = cli_get(cmd, val, "keep-ends"), *to = cli_get(cmd, val, "table"), *latency = cli_get(cmd, val, "latency"),
             *alps = cli_get(cmd, val, "alps");
  qv_metric list[QV_METRICS];
  const double *gain = NULL;
  uint32_t n = 0;
  char fixed[QV_CAND_NAME];
  int w, a, rc;
  qv_status st;
  x->used = true;
  x->profile = cli_get(cmd, val, "profile");
  if (!cli_profile_ok(cmd, x->profile)) return QV_EXIT_USAGE;
  if ((rc = read_metrics(list, &n, cmd, val, metric)) != 0 || (rc = cli_allocnet_widths(x, cmd, val)) != 0) return rc;
  if (ends != NULL && sscanf(ends, "%2d/%2d", &w, &a) != 2) return cli_usage(cmd, "--keep-ends '%.20s': W/A", ends);
  if (ends != NULL) qv_cand_name(fixed, (qv_bits){w, a}, NULL, true);
  if (latency != NULL && (st = cli_latency_read(&x->latency, latency, err)) != QV_OK) return cli_fail(st, latency, err);
  if ((rc = cli_floatnet_load(&x->f, cmd, val, path, err)) != 0) return rc;
  if (alps != NULL && (st = cli_gains_read(&gain, &x->arena, alps, x->f.g, err)) != QV_OK) return cli_fail(st, alps, err);
  qv_table_opts o = {.quant = x->f.quant,
                     .n_cand = x->n_cand,
                     .cand = x->cand,
                     .n_acc = x->n_acc,
                     .acc = x->acc,
                     .fit = x->fit,
                     .unpacked = cli_get(cmd, val, "unpacked") != NULL,
                     .times = latency != NULL ? &x->latency.times : NULL,
                     .gain = gain,
                     .label = x->f.label,
                     .n_metric = n,
                     .metric = list,
                     .fixed_first_last = ends != NULL ? fixed : NULL};
  if (!radius_of(&o.error_radius, cli_get(cmd, val, "error-radius")))
    return cli_usage(cmd, "--error-radius '%.40s': a number > 0, or all", cli_get(cmd, val, "error-radius"));
  st = table_with_losses(x, &o, &path, cli_get(cmd, val, "sensitivities"), err);
  if (st == QV_E_ARG) return cli_usage(cmd, "%s", err->msg);
  if (st != QV_OK) return cli_fail(st, path, err);
  if (to == NULL) return 0;
  st = cli_emit(to, &x->made.json, err);
  return st == QV_OK ? 0 : cli_fail(st, to, err);
}

int cli_allocnet_load(cli_allocnet *x, cli_alloc *a, const cli_cmd *cmd, const cli_val *val, const char *path, qv_err *err) {
  const char *metric = cli_get(cmd, val, "metric");
  const cli_val *limits = cli_all(cmd, val, "limit");
  qv_buf file = {0};
  qv_status st = qv_file_read(&file, path, (size_t)1 << 31, err);
  int rc = st == QV_OK ? 0 : cli_fail(st, path, err);
  if (rc == 0 && !is_network(&file)) rc = cli_alloc_load_text(a, cmd, path, &file, metric, limits, err);
  else if (rc == 0 && (rc = make_table(x, cmd, val, path, metric, err)) == 0)
    rc = cli_alloc_load_text(a, cmd, path, &x->made.json, NULL, limits, err);
  qv_buf_free(&file);
  return rc;
}

void cli_allocnet_free(cli_allocnet *x) {
  qv_made_table_clear(&x->made);
  cli_floatnet_free(&x->f);
  cli_latency_free(&x->latency);
  qv_arena_clear(&x->arena);
  *x = (cli_allocnet){0};
}

/* What a choice says about member i. False: a candidate of another name. */
static bool chosen(qv_bits *b, qv_accum *acc, const cli_allocnet *x, const qv_alloc *p, const uint32_t *choice, uint32_t i) {
  if (!qv_cand_read(b, acc, p->cand[p->group[p->member_of[i]].first + choice[p->member_of[i]]].name)) return false;
  if (acc->bits == 0) *acc = x->acc[0]; /* (there is only one, and names do not say it) */
  return true;
}

qv_status cli_allocnet_apply(cli_quantized *out, qv_quantized *q, const cli_allocnet *x, const qv_alloc *p, const uint32_t *choice, bool check,
                             qv_err *err) {
  const qv_fgraph *g = x->f.g;
  qv_status st = QV_OK;
  int *a = calloc((size_t)g->n_tensors + 1, sizeof *a), *w = calloc((size_t)g->n_nodes + 1, sizeof *w),
      *bits = calloc((size_t)g->n_nodes + 1, sizeof *bits);
  qv_quant_opts o = x->f.quant;
  bool memory = a != NULL && w != NULL && bits != NULL;
  if (!memory || p->n_members != x->made.groups.n) {
    st = QV_FAIL(err, !memory ? QV_E_NOMEM : QV_E_INTERNAL, "allocation");
    goto done;
  }
  for (uint32_t i = 0; i < p->n_members; i++) {
    const qv_group *group = &x->made.groups.group[i];
    qv_bits b;
    qv_accum acc;
    if (!chosen(&b, &acc, x, p, choice, i)) {
      st = QV_FAIL(err, QV_E_INTERNAL, "allocation: a candidate of another name");
      goto done;
    }
    a[group->tensor] = b.a;
    for (uint32_t j = 0; j < group->n; j++) w[group->node[j]] = b.w, bits[group->node[j]] = acc.bits;
  }
  if (x->fit) o.node_acc_bits = bits;
  QV_TRY(qv_quantize(q, g, &x->f.calib, a, w, &o, err));
  QV_TRY(cli_quantized_make(out, q, &x->f, x->profile, x->widest, check, err));
done:
  free(a);
  free(w);
  free(bits);
  return st;
}

/* Has this node the weights of node k of q? */
static bool same_weights(const qv_affine *f, const qv_quantized *q, uint32_t k) {
  const qv_fnode *n = &q->g->node[k];
  const qv_ftensor *w = &q->g->tensor[n->in[1]];
  uint32_t oc = w->dim[0], ic = w->dim[1], kh = n->op == QF_CONV ? n->kh : 1, kw = n->op == QF_CONV ? n->kw : 1;
  if (f->win.oc != oc || f->win.kh != kh || f->win.kw != kw || f->win.ic / f->win.groups != ic) return false;
  for (uint32_t o = 0; o < oc; o++)
    for (uint32_t c = 0; c < ic; c++)
      for (uint32_t i = 0; i < kh * kw; i++)
        if (f->w[((size_t)o * kh * kw + i) * ic + c] - f->w_zp[f->n_w_zp == 1 ? 0 : o] != q->w[k].w[((size_t)o * ic + c) * kh * kw + i])
          return false;
  return true;
}

qv_status cli_allocnet_accumulators(qv_buf *out, const cli_allocnet *x, const qv_alloc *p, const uint32_t *choice, const qv_quantized *q,
                                    const cli_quantized *built, qv_err *err) {
  const qv_fgraph *g = x->f.g;
  const qv_acc_bound *bound = built->ov.proof.range.acc;
  uint32_t layers[CLI_MAX_ACCS] = {0};
  for (uint32_t i = 0; i < p->n_members; i++)
    for (uint32_t j = 0; j < x->made.groups.group[i].n; j++) {
      uint32_t k = x->made.groups.group[i].node[j], at = 0, is = 0;
      qv_bits b;
      qv_accum acc;
      if (!chosen(&b, &acc, x, p, choice, i)) return QV_FAIL(err, QV_E_INTERNAL, "allocation: a candidate of another name");
      while (at < built->ov.n &&
             (built->net->node[bound[at].node].kind != QV_AFFINE || !same_weights(&built->net->node[bound[at].node].u.affine, q, k)))
        at++;
      if (at == built->ov.n) return QV_FAIL(err, QV_E_INTERNAL, "layer \"%s\" is not in the network that was read back", g->node[k].name);
      if (bound[at].bits_final > acc.bits)
        return QV_FAIL(err, QV_E_INTERNAL, "layer \"%s\": the final integers need %d bits, the choice says %d", g->node[k].name,
                       bound[at].bits_final, acc.bits);
      while (is + 1 < x->n_acc && (x->acc[is].bits != acc.bits || x->acc[is].pairs != acc.pairs)) is++;
      layers[is]++;
    }
  qv_buf_str(out, "On these integers every layer's accumulator needs no more than was chosen for it:");
  for (uint32_t i = 0, n = 0; i < x->n_acc; i++) {
    if (layers[i] == 0) continue;
    qv_buf_printf(out, "%s %" PRIu32 " of %d bits", n++ > 0 ? "," : "", layers[i], x->acc[i].bits);
  }
  qv_buf_str(out, "\n");
  return QV_OK;
}

void cli_allocnet_explain(qv_buf *out, const cli_allocnet *x) {
  qv_arena arena = {0};
  for (uint32_t i = 0; i < x->made.n_out; i++) {
    const qv_left_out *l = &x->made.out[i];
    char name[QV_CAND_NAME];
    qv_cand_name(name, x->cand[l->cand], x->n_acc > 1 ? &x->acc[l->acc] : NULL, true);
    qv_buf_printf(out,
                  "  left out: %s of group '%.60s': the accumulator of '%.60s' ranges over [%" PRId64 ",%" PRId64
                  "], which needs %d bits%s; %d are offered%s\n",
                  name, cli_safe(&arena, x->f.g->tensor[x->made.groups.group[l->group].tensor].name),
                  cli_safe(&arena, x->f.g->node[l->node].name), l->lo, l->hi, l->bits,
                  l->bits <= x->acc[l->acc].bits ? ", and a pair of products may saturate" : "", x->acc[l->acc].bits,
                  x->acc[l->acc].pairs ? " behind 16-bit pairs" : "");
  }
  qv_arena_clear(&arena);
}
