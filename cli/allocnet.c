#include "cli/allocnet.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
  return cli_usage(cmd, "unknown metric '%.40s'; did you mean '%s'? (noise, kl, fisher, hessian, eagl, orm, accuracy)", name, near != NULL ? near : "noise");
}

/* Measure, prove, make the table's text. metric: NULL = noise. */
static int make_table(cli_allocnet *x, const cli_cmd *cmd, const cli_val *val, const char *path, const char *metric, qv_err *err) {
  const char *cands = cli_get(cmd, val, "candidates"), *ends = cli_get(cmd, val, "keep-ends"), *to = cli_get(cmd, val, "table");
  qv_metric m;
  int64_t bits;
  char fixed[16];
  int w, a, rc;
  x->used = true;
  x->profile = cli_get(cmd, val, "profile") != NULL ? cli_get(cmd, val, "profile") : "ort-vnni";
  if (!cli_profile_ok(cmd, x->profile) || !cli_get_int(&bits, cmd, val, "acc-bits", 2, 32, 32)) return QV_EXIT_USAGE;
  if ((rc = metric_of(&m, cmd, metric)) != 0 || (rc = read_candidates(x, cmd, cands != NULL ? cands : "8/8,6/8,4/8,3/8,2/8,8/4,4/4")) != 0) return rc;
  if (m == QV_METRIC_ACCURACY && cli_get(cmd, val, "labels") == NULL) return cli_usage(cmd, "the metric 'accuracy' needs --labels");
  if (ends != NULL && sscanf(ends, "%2d/%2d", &w, &a) != 2) return cli_usage(cmd, "--keep-ends '%.20s': W/A", ends);
  if (ends != NULL) qv_bits_name(fixed, (qv_bits){w, a}, true);
  x->acc_bits = (int)bits;
  if ((rc = cli_floatnet_load(&x->f, cmd, val, path, err)) != 0) return rc;
  const qv_table_opts o = {.quant = x->f.quant, .n_cand = x->n_cand, .cand = x->cand, .acc_bits = x->acc_bits, .pairs = cli_get(cmd, val, "pairs") != NULL,
                           .label = x->f.label, .n_metric = 1, .metric = &m, .fixed_first_last = ends != NULL ? fixed : NULL};
  qv_status st = qv_make_table(&x->made, x->f.g, &x->f.calib, &o, err);
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
  *x = (cli_allocnet){0};
}

qv_status cli_allocnet_apply(cli_quantized *out, qv_quantized *q, const cli_allocnet *x, const qv_alloc *p, const uint32_t *choice, bool check,
                             qv_err *err) {
  const qv_fgraph *g = x->f.g;
  qv_status st = QV_OK;
  int *a = calloc((size_t)g->n_tensors + 1, sizeof *a), *w = calloc((size_t)g->n_nodes + 1, sizeof *w);
  if (a == NULL || w == NULL || p->n_members != x->made.groups.n) {
    st = QV_FAIL(err, a == NULL || w == NULL ? QV_E_NOMEM : QV_E_INTERNAL, "allocation");
    goto done;
  }
  for (uint32_t i = 0; i < p->n_members; i++) {
    const qv_group *group = &x->made.groups.group[i];
    qv_bits b;
    if (!qv_bits_read(&b, p->cand[p->group[p->member_of[i]].first + choice[p->member_of[i]]].name)) {
      st = QV_FAIL(err, QV_E_INTERNAL, "allocation: a candidate of another name");
      goto done;
    }
    a[group->tensor] = b.a;
    for (uint32_t j = 0; j < group->n; j++) w[group->node[j]] = b.w;
  }
  QV_TRY(qv_quantize(q, g, &x->f.calib, a, w, &x->f.quant, err));
  QV_TRY(cli_quantized_make(out, q, &x->f, x->profile, x->acc_bits, check, err));
done:
  free(a);
  free(w);
  return st;
}

void cli_allocnet_explain(qv_buf *out, const cli_allocnet *x) {
  qv_arena arena = {0};
  for (uint32_t i = 0; i < x->made.n_out; i++) {
    const qv_left_out *l = &x->made.out[i];
    char name[16];
    qv_bits_name(name, x->cand[l->cand], true);
    qv_buf_printf(out, "  left out: %s of group '%.60s': the accumulator of '%.60s' ranges over [%" PRId64 ",%" PRId64 "], proved for %d bits only within them\n", name,
                  cli_safe(&arena, x->f.g->tensor[x->made.groups.group[l->group].tensor].name), cli_safe(&arena, x->f.g->node[l->node].name), l->lo, l->hi,
                  x->acc_bits);
  }
  qv_arena_clear(&arena);
}
