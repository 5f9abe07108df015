/* What the options of `qverify robust` and `radius` ask. */
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/labels.h"
#include "cli/robust.h"
#include "cli/storage.h"
#include "frontend/array.h"
#include "kernels/ref.h"

static const qv_tensor *input(const qv_net *net, uint32_t i) { return &net->tensor[net->in[i].tensor]; }

/* ---- files ---------------------------------------------------------------------------------------------------------------- */

/* Rows, columns and channels of input 0: by its own shape, or, where it is flat, by that of the file's samples. */
static void picture(rb_job *j, const qv_array *a) {
  size_t d[QV_MAX_RANK], total = qv_elems(input(j->net, 0));
  uint32_t rank = 0;
  const qv_tensor *t = input(j->net, 0);
  for (uint32_t i = 0; i < t->rank; i++)
    if (i > 0 || t->dim[0] != 1 || t->rank < 3) d[rank++] = t->dim[i];
  bool flat = rank < 2 || (rank == 2 && (d[0] == 1 || d[1] == 1));
  if (flat) {
    uint32_t skip = 0;
    size_t rest = 1;
    for (uint32_t i = a->rank; i > 0 && rest < total; i--) rest *= a->dim[skip = i - 1];
    if (rest != total || a->raw) return;
    rank = 0;
    for (uint32_t i = skip; i < a->rank; i++) d[rank++] = a->dim[i];
  }
  if (rank == 2) d[rank++] = 1;
  if (rank != 3) return;
  bool last = d[2] == 1 || d[2] == 3 || d[2] == 4, first = d[0] == 1 || d[0] == 3 || d[0] == 4;
  if (!last && !first) return;
  j->chw = !last;
  j->h = (uint32_t)(last ? d[0] : d[1]);
  j->w = (uint32_t)(last ? d[1] : d[2]);
  j->c = (uint32_t)(last ? d[2] : d[0]);
}

static qv_status read_samples(rb_job *j, uint32_t i, const char *path, qv_err *err) {
  qv_status st;
  qv_array a = {0};
  size_t n = 0;
  j->failed = path;
  QV_TRY(qv_array_read(&a, path, err));
  QV_TRY(qv_input_pack(&j->raw[i], &n, j->net, i, &a, path, err));
  if (n == 0 || (i > 0 && n != j->n)) {
    st = QV_FAIL(err, QV_E_PARSE, "%zu samples, but the input before it has %zu", n, j->n);
    goto done;
  }
  j->n = n;
  QV_TRY(qv_input_reals(&j->real[i], j->net, i, &a, path, err));
  if (i == 0) picture(j, &a);
  j->failed = NULL;
done:
  qv_array_free(&a);
  return cli_data_error(st);
}

const int64_t *const *rb_sample(const rb_job *j, size_t sample, qv_arena *a) {
  const int64_t **x = QV_NEW(a, j->net->n_in, const int64_t *);
  for (uint32_t i = 0; x != NULL && i < j->net->n_in; i++) {
    const qv_tensor *t = input(j->net, i);
    size_t n = qv_elems(t);
    int64_t *v = QV_NEW(a, n, int64_t);
    if (v == NULL) return NULL;
    for (size_t e = 0; e < n; e++) v[e] = qv_fetch(j->raw[i], t->type, sample * n + e);
    x[i] = v;
  }
  return x;
}

/* Whole numbers >= 0, one per element, in any shape. */
static qv_status read_mask(rb_job *j, uint32_t i, const char *path, qv_err *err) {
  qv_status st;
  qv_array a = {0};
  size_t k = qv_elems(input(j->net, i));
  j->failed = path;
  QV_TRY(qv_array_read(&a, path, err));
  if (a.count != k) {
    st = QV_FAIL(err, QV_E_PARSE, "a mask of %zu elements for input '%s', which has %zu", a.count, j->net->in[i].name, k);
    goto done;
  }
  if ((j->mask[i] = calloc(k, sizeof(int64_t))) == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
    goto done;
  }
  for (size_t e = 0; e < k; e++)
    if (!cli_array_int(&j->mask[i][e], &a, e) || j->mask[i][e] < 0) {
      st = QV_FAIL(err, QV_E_PARSE, "element %zu of the mask is not a whole number >= 0", e);
      goto done;
    }
  j->failed = NULL;
done:
  qv_array_free(&a);
  return cli_data_error(st);
}

/* ---- numbers on the command line -------------------------------------------------------------------------------------------- */

static bool digits(const char **s, int64_t *v) {
  if (**s < '0' || **s > '9') return false;
  char *end;
  errno = 0;
  *v = strtoll(*s, &end, 10);
  *s = end;
  return errno == 0;
}

static int rational(mpq_t q, const cli_cmd *cmd, const char *name, const char *s) {
  if (qv_rat_parse(q, s, strlen(s)) && mpq_sgn(q) >= 0) return 0;
  return cli_usage(cmd, "--%s takes a number >= 0 such as 0.03 or 8/255, not '%s'", name, s);
}

static int patch_option(rb_job *j, const cli_cmd *cmd, const char *s) {
  const char *p = s;
  int64_t h, w;
  bool ok = digits(&p, &h) && *p++ == 'x' && digits(&p, &w);
  j->patch = j->patch_all = true;
  if (ok && *p == '@') {
    p++;
    j->patch_all = false;
    ok = digits(&p, &j->py) && *p++ == ',' && digits(&p, &j->px);
  }
  if (!ok || *p != 0) return cli_usage(cmd, "--patch takes HxW or HxW@Y,X, e.g. 4x4@10,12, not '%s'", s);
  if (j->h == 0) return cli_usage(cmd, "--patch needs a model whose first input is a picture (rows, columns, 1, 3 or 4 channels)");
  if (h < 1 || w < 1 || h > j->h || w > j->w || (!j->patch_all && (j->py > j->h - h || j->px > j->w - w)))
    return cli_usage(cmd, "--patch %s does not fit into a picture of %" PRIu32 "x%" PRIu32, s, j->h, j->w);
  j->ph = (uint32_t)h;
  j->pw = (uint32_t)w;
  return 0;
}

/* One of --eps, --eps-real, --brightness, --contrast, --property. */
static int family_option(rb_job *j, const cli_cmd *cmd, const cli_val *val) {
  static const char *const name[] = {"eps", "eps-real", "brightness", "contrast", "property"};
  const char *v = NULL;
  int given = -1, rc;
  for (int i = 0; i < 5; i++) {
    const char *s = cli_get(cmd, val, name[i]);
    if (s == NULL) continue;
    if (v != NULL) return cli_usage(cmd, "--%s and --%s exclude each other", name[given], name[i]);
    v = s;
    given = i;
  }
  if (v == NULL && cli_all(cmd, val, "mask")->n == 0) return cli_usage(cmd, "%s needs --eps N (or --eps-real, --brightness, --contrast, --mask, --property)", cmd->name);
  j->family = given < 0 ? RB_STEPS : (rb_family)given;
  j->size = given < 0 ? "1" : v;
  j->steps = 1;
  if (j->family == RB_STEPS && v != NULL && !cli_get_int(&j->steps, cmd, val, "eps", 0, (int64_t)1 << 62, 0)) return QV_EXIT_USAGE;
  if (j->family == RB_BRIGHTNESS && !cli_get_int(&j->steps, cmd, val, "brightness", 0, QV_MAX_POINTS / 2 - 1, 0)) return QV_EXIT_USAGE;
  if ((j->family == RB_REAL || j->family == RB_CONTRAST) && (rc = rational(j->real_eps, cmd, name[given], v)) != 0) return rc;
  if (j->family == RB_PROPERTY) j->size = NULL;
  const qv_tensor *t = input(j->net, 0);
  int64_t middle = t->lo + (int64_t)(((qv_i128)t->hi - t->lo + 1) / 2);
  if (cli_get(cmd, val, "pivot") != NULL && j->family != RB_CONTRAST) return cli_usage(cmd, "--pivot belongs to --contrast");
  return cli_get_int(&j->pivot, cmd, val, "pivot", t->lo, t->hi, middle) ? 0 : QV_EXIT_USAGE;
}

/* ---- which samples ------------------------------------------------------------------------------------------------------------ */

/* Mark the samples that LIST names. Returns 0 or a usage error. */
static int index_option(bool *pick, size_t n, const cli_cmd *cmd, const char *s) {
  const char *p = s;
  do {
    int64_t a, b;
    if (!digits(&p, &a)) return cli_usage(cmd, "--index takes numbers and ranges such as 0:9,15, not '%.200s'", s);
    b = a;
    if (*p == ':') {
      p++;
      if (!digits(&p, &b)) return cli_usage(cmd, "--index takes numbers and ranges such as 0:9,15, not '%.200s'", s);
    }
    if (a > b) return cli_usage(cmd, "--index: the range %" PRId64 ":%" PRId64 " is empty", a, b);
    if ((uint64_t)b >= n) return cli_usage(cmd, "--index: there is no sample %" PRId64 "; the files hold %zu, numbered from 0", b, n);
    for (int64_t i = a; i <= b; i++) pick[i] = true;
  } while (*p++ == ',');
  return p[-1] == 0 ? 0 : cli_usage(cmd, "--index takes numbers and ranges such as 0:9,15, not '%.200s'", s);
}

static int cases(rb_job *j, const cli_cmd *cmd, const char *list, qv_err *err) {
  size_t per = j->patch_all ? (size_t)(j->h - j->ph + 1) * (j->w - j->pw + 1) : 1, k = 0, chosen = 0;
  bool *pick = calloc(j->n, sizeof *pick);
  int rc = 0;
  if (pick == NULL) return cli_fail(QV_FAIL(err, QV_E_NOMEM, "out of memory"), NULL, err);
  if (list != NULL) rc = index_option(pick, j->n, cmd, list);
  else memset(pick, 1, j->n * sizeof *pick);
  for (size_t i = 0; i < j->n; i++) chosen += pick[i];
  if (rc == 0 && (j->item = calloc(chosen * per, sizeof *j->item)) == NULL) rc = cli_fail(QV_FAIL(err, QV_E_NOMEM, "out of memory"), NULL, err);
  for (size_t i = 0; rc == 0 && i < j->n; i++) {
    if (!pick[i]) continue;
    if (!j->patch_all) j->item[k++] = (rb_case){i, j->patch ? j->py : -1, j->patch ? j->px : -1};
    else
      for (int64_t y = 0; y <= j->h - j->ph; y++)
        for (int64_t x = 0; x <= j->w - j->pw; x++) j->item[k++] = (rb_case){i, y, x};
  }
  j->n_items = k;
  free(pick);
  return rc;
}

/* ---- what must hold ------------------------------------------------------------------------------------------------------------- */

static int condition_options(rb_job *j, const cli_cmd *cmd, const cli_val *val, qv_err *err) {
  int64_t out, top;
  const char *ties = cli_get(cmd, val, "ties"), *file = cli_get(cmd, val, "condition");
  if (!cli_get_int(&out, cmd, val, "output", 0, (int64_t)j->net->n_out - 1, 0) || !cli_get_int(&top, cmd, val, "top", 1, 10000, 1)) return QV_EXIT_USAGE;
  if (!cli_get_int(&j->margin, cmd, val, "margin", -QV_COND_MAX, QV_COND_MAX, 0)) return QV_EXIT_USAGE;
  if (ties != NULL && strcmp(ties, "first") != 0 && strcmp(ties, "last") != 0) return cli_usage(cmd, "--ties takes first or last, not '%s'", ties);
  j->out = (uint32_t)out;
  j->top = (uint32_t)top;
  j->last = ties != NULL && strcmp(ties, "last") == 0;
  j->has_margin = cli_get(cmd, val, "margin") != NULL;
  j->what = j->has_margin ? "margin" : j->top > 1 ? "among-largest" : "class-preserved";
  if (j->has_margin && cli_get(cmd, val, "top") != NULL) return cli_usage(cmd, "--margin and --top exclude each other");
  if (file == NULL) return 0;
  if (j->has_margin || cli_get(cmd, val, "top") != NULL || cli_get(cmd, val, "label") != NULL || cli_get(cmd, val, "labels") != NULL)
    return cli_usage(cmd, "--condition says what has to hold: no --label, --labels, --top, --margin");
  qv_buf b = {0};
  qv_status st = qv_file_read(&b, file, (size_t)1 << 30, err);
  if (st == QV_OK) st = qv_condition_read(&j->cond, &j->arena, (const char *)b.p, b.n, j->net, err);
  qv_buf_free(&b);
  if (st != QV_OK) return cli_fail(st, file, err);
  j->given = true;
  j->what = j->cond.kind == QV_AVOID ? "no-violation" : "class-preserved";
  return 0;
}

static int label_options(rb_job *j, const cli_cmd *cmd, const cli_val *val, qv_err *err) {
  const char *file = cli_get(cmd, val, "labels");
  size_t classes = qv_elems(&j->net->tensor[j->net->out[j->out].tensor]);
  int64_t label;
  if (!cli_get_int(&label, cmd, val, "label", 0, (int64_t)classes - 1, -1)) return QV_EXIT_USAGE;
  if (file != NULL && label >= 0) return cli_usage(cmd, "--label and --labels exclude each other");
  if (file != NULL) {
    if ((j->label = calloc(j->n, sizeof *j->label)) == NULL) return cli_fail(QV_FAIL(err, QV_E_NOMEM, "out of memory"), NULL, err);
    qv_status st = cli_labels_read(j->label, j->n, classes, file, err);
    return st == QV_OK ? 0 : cli_fail(cli_data_error(st), file, err);
  }
  if (label < 0) return 0;
  if ((j->label = calloc(j->n, sizeof *j->label)) == NULL) return cli_fail(QV_FAIL(err, QV_E_NOMEM, "out of memory"), NULL, err);
  for (size_t i = 0; i < j->n; i++) j->label[i] = label;
  return 0;
}

/* --property FILE: the whole question is in the file. */
static int property_option(rb_job *j, const cli_cmd *cmd, const cli_val *val, qv_err *err) {
  static const char *const other[] = {"input", "index", "label", "labels", "mask", "patch", "output", "ties", "top", "margin", "condition"};
  const char *file = cli_get(cmd, val, "property");
  qv_property p = {0};
  for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
    if (cli_all(cmd, val, other[i])->n > 0) return cli_usage(cmd, "--property says it all: no --%s", other[i]);
  qv_status st = qv_file_read(&j->property, file, (size_t)1 << 31, err);
  if (st == QV_OK) st = qv_property_read(&p, (const char *)j->property.p, j->property.n, j->net, err);
  if (st == QV_OK && p.claim != QV_CLAIM_ROBUST) st = QV_FAIL(err, QV_E_PARSE, "a claim about overflow; this command needs 'claim robust'");
  qv_property_clear(&p);
  if (st != QV_OK) return cli_fail(st, file, err);
  j->what = "property";
  if ((j->item = calloc(1, sizeof *j->item)) == NULL) return cli_fail(QV_FAIL(err, QV_E_NOMEM, "out of memory"), NULL, err);
  j->item[0] = (rb_case){0, -1, -1};
  j->n_items = 1;
  return 0;
}

int rb_read(rb_job *j, const cli_cmd *cmd, const cli_val *val, const qv_net *net, bool radius, qv_err *err) {
  int rc;
  const cli_val *in = cli_all(cmd, val, "input"), *mask = cli_all(cmd, val, "mask");
  const char *patch = cli_get(cmd, val, "patch");
  j->net = net;
  mpq_init(j->real_eps);
  if (!radius && (rc = family_option(j, cmd, val)) != 0) return rc;
  if (j->family == RB_PROPERTY) return property_option(j, cmd, val, err);
  if (in->n != net->n_in) return cli_usage(cmd, "the model has %" PRIu32 " inputs, but --input is given %" PRIu32 " times", net->n_in, in->n);
  if (mask->n != 0 && mask->n != net->n_in) return cli_usage(cmd, "the model has %" PRIu32 " inputs, but --mask is given %" PRIu32 " times", net->n_in, mask->n);
  qv_status st = QV_OK;
  for (uint32_t i = 0; st == QV_OK && i < net->n_in; i++) st = read_samples(j, i, in->v[i], err);
  for (uint32_t i = 0; st == QV_OK && i < mask->n; i++) st = read_mask(j, i, mask->v[i], err);
  if (st != QV_OK) return cli_fail(st, j->failed, err);
  if (patch != NULL && (rc = patch_option(j, cmd, patch)) != 0) return rc;
  if ((rc = condition_options(j, cmd, val, err)) != 0 || (rc = label_options(j, cmd, val, err)) != 0) return rc;
  return cases(j, cmd, cli_get(cmd, val, "index"), err);
}

void rb_free(rb_job *j) {
  for (uint32_t i = 0; i < QV_MAX_INPUTS; i++) {
    free(j->raw[i]);
    free(j->real[i]);
    free(j->mask[i]);
  }
  free(j->label);
  free(j->item);
  qv_buf_free(&j->property);
  if (j->net != NULL) mpq_clear(j->real_eps);
  qv_arena_clear(&j->arena);
}

/* ---- one case ---------------------------------------------------------------------------------------------------------------------- */

const char *rb_case_name(qv_arena *a, const rb_job *j, const rb_case *c) {
  const char *s = j->family == RB_PROPERTY ? "property"
                  : c->py >= 0             ? qv_arena_printf(a, "%zu-patch-%" PRId64 "-%" PRId64, c->sample, c->py, c->px)
                                           : qv_arena_printf(a, "%zu", c->sample);
  return s != NULL ? s : "?";
}

const char *rb_name(qv_arena *a, const rb_job *j, const rb_case *c) {
  const char *s = rb_case_name(a, j, c);
  if (j->parts > 0) s = qv_arena_printf(a, "%s-part-%" PRIu32 "-%" PRIu32, s, j->part, j->parts);
  return s != NULL ? s : "?";
}

/* Is element e of input 0 inside the patch? */
static bool in_patch(const rb_job *j, const rb_case *c, size_t e) {
  size_t plane = (size_t)j->h * j->w, at = j->chw ? e % plane : e / j->c;
  int64_t y = (int64_t)(at / j->w), x = (int64_t)(at % j->w);
  return y >= c->py && y < c->py + j->ph && x >= c->px && x < c->px + j->pw;
}

/* Factors of the distance: the mask, and 0 outside the patch. Inputs other than the picture stay fixed with a patch. */
static qv_status factors(const int64_t **mult, const rb_job *j, const rb_case *c, qv_arena *a, qv_err *err) {
  for (uint32_t i = 0; i < j->net->n_in; i++) {
    size_t n = qv_elems(input(j->net, i));
    mult[i] = j->mask[i];
    if (c->py < 0) continue;
    int64_t *m = QV_NEW(a, n, int64_t);
    if (m == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
    for (size_t e = 0; e < n; e++) m[e] = i == 0 && in_patch(j, c, e) ? (j->mask[i] != NULL ? j->mask[i][e] : 1) : 0;
    mult[i] = m;
  }
  return QV_OK;
}

static qv_status own_class(uint32_t *cls, const rb_job *j, const int64_t *const *x, qv_arena *a, qv_err *err) {
  int64_t **o;
  bool ran;
  qv_status st = rb_execute(&o, a, j->net, x, &ran, err);
  if (st != QV_OK) return st;
  if (!ran) return QV_FAIL(err, QV_E_UNSUP, "the net gives this sample no class: give --label or --labels");
  *cls = qv_argmax(o[j->out], qv_elems(&j->net->tensor[j->net->out[j->out].tensor]), !j->last);
  return QV_OK;
}

qv_status rb_realize(bool *real, rb_answer *a, const rb_job *j, const rb_case *c, qv_err *err) {
  const qv_net *net = j->net;
  bool exact = j->family == RB_REAL; /* otherwise the question was about integers, and any value that gives them will do */
  qv_arena arena = {0};
  const int64_t *const *x = exact ? rb_sample(j, c->sample, &arena) : NULL, **mult = QV_NEW(&arena, net->n_in, const int64_t *);
  const float **r = QV_NEW(&arena, net->n_in, const float *);
  *real = true;
  qv_status st = QV_OK;
  if ((exact && x == NULL) || mult == NULL || r == NULL || (a->real = QV_NEW(&a->arena, net->n_in, float *)) == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
    goto done;
  }
  for (uint32_t i = 0; exact && i < net->n_in; i++) {
    r[i] = j->real[i] != NULL ? j->real[i] + c->sample * qv_elems(input(net, i)) : NULL;
  }
  if (exact) QV_TRY(factors(mult, j, c, &arena, err)); /* a question in a file has no sample */
  const qv_sample s = {x, r};
  for (uint32_t i = 0; i < net->n_in; i++) {
    size_t n = qv_elems(input(net, i));
    if (net->in[i].end == QV_END_INT) continue;
    if ((a->real[i] = QV_NEW(&a->arena, n, float)) == NULL) {
      st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
      goto done;
    }
    for (size_t e = 0; e < n; e++) {
      float lo = -FLT_MAX, hi = FLT_MAX;
      bool ok = !exact || qv_query_float_ends(&lo, &hi, net, i, &s, e, j->real_eps, mult[i] != NULL ? mult[i][e] : 1);
      if (!ok || !qv_query_float(&a->real[i][e], net, i, a->input[i][e], lo, hi)) *real = false;
    }
  }
done:
  if (!*real || st != QV_OK) a->real = NULL;
  qv_arena_clear(&arena);
  return st;
}

qv_status rb_property(qv_property *p, uint32_t *cls, const rb_job *j, const rb_case *c, qv_err *err) {
  qv_status st;
  qv_arena a = {0};
  *cls = QV_NONE;
  if (j->family == RB_PROPERTY) return qv_property_read(p, (const char *)j->property.p, j->property.n, j->net, err);
  QV_TRY(qv_property_whole(p, j->net, 0, err));
  uint32_t n = j->net->n_in;
  const int64_t *const *x = rb_sample(j, c->sample, &a), **mult = QV_NEW(&a, n, const int64_t *);
  const float **real = QV_NEW(&a, n, const float *);
  if (x == NULL || mult == NULL || real == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
    goto done;
  }
  for (uint32_t i = 0; i < n; i++) {
    real[i] = j->real[i] != NULL ? j->real[i] + c->sample * qv_elems(input(j->net, i)) : NULL;
  }
  QV_TRY(factors(mult, j, c, &a, err));
  const qv_sample s = {x, real};
  const qv_mask mask = {mult};
  switch (j->family) {
  case RB_STEPS: QV_TRY(qv_query_steps(p, j->net, &s, j->steps, &mask, err)); break;
  case RB_REAL: QV_TRY(qv_query_real(p, j->net, &s, j->real_eps, &mask, err)); break;
  case RB_BRIGHTNESS: QV_TRY(qv_query_brightness(p, j->net, &s, j->steps, &mask, err)); break;
  case RB_CONTRAST: QV_TRY(qv_query_contrast(p, j->net, &s, j->real_eps, j->pivot, &mask, err)); break;
  case RB_PROPERTY: break;
  }
  if (j->given) {
    p->cond = j->cond;
    if (j->cond.kind != QV_AVOID) *cls = j->cond.cls;
    goto done;
  }
  if (j->label != NULL) *cls = (uint32_t)j->label[c->sample];
  else QV_TRY(own_class(cls, j, x, &a, err));
  if (j->has_margin) QV_TRY(qv_keep_margin(&p->cond, &p->arena, j->net, j->out, *cls, j->margin, err));
  else QV_TRY(qv_keep_top(&p->cond, &p->arena, j->net, j->out, *cls, j->top, !j->last, err));
done:
  qv_arena_clear(&a);
  return st;
}
