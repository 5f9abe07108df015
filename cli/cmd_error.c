/* qverify error: how far a quantized network can be from its float network, proved. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/qverify.h"
#include "ir/base/json.h"
#include "quant/errbound.h"
#include "quant/samples.h"

#define TRIES 48 /* inputs executed in search of a large error, all boxes together at least one each */

typedef struct {
  const cli_cmd *cmd;
  const cli_val *val;
  const char *fpath, *qpath, *json;
  char fsha[QV_SHA256_HEX];
  qv_fgraph *g;
  cli_model model;
  qv_errpair *pair;
  float *sample;          /* [n][inputs] or NULL: --input */
  size_t n, first, boxes; /* boxes: samples first .. first+boxes-1, or one box */
  bool has_range, grid, has_within;
  float lo, hi;           /* --range */
  double radius, within;
  int64_t effort, split;
  size_t n_out;
  double *out_lo, *out_hi, bound; /* hull over the boxes */
  double observed;        /* the error is certainly at least that on an executed input */
  qv_verdict verdict;
  const char *reason;
  double seconds;
  qv_arena arena;
} job;

/* ---- options ------------------------------------------------------------------------------------------------------------------------ */

static bool number(const char *s, double *v) {
  char *end;
  *v = strtod(s, &end);
  return *s != 0 && *end == 0 && *v - *v == 0;
}

static int read_options(job *j) {
  const char *within = cli_get(j->cmd, j->val, "within"), *range = cli_get(j->cmd, j->val, "range"), *radius = cli_get(j->cmd, j->val, "radius");
  const char *input = cli_get(j->cmd, j->val, "input"), *index = cli_get(j->cmd, j->val, "index");
  char tail;
  j->grid = cli_get(j->cmd, j->val, "grid") != NULL;
  j->json = cli_get(j->cmd, j->val, "json");
  j->has_within = within != NULL;
  j->has_range = range != NULL;
  if (within != NULL && (!number(within, &j->within) || j->within < 0)) return cli_usage(j->cmd, "--within '%.40s' is not a number >= 0", within);
  if (range != NULL && (sscanf(range, "%f:%f%c", &j->lo, &j->hi, &tail) != 2 || !(j->lo <= j->hi) || !(j->hi - j->lo < 0x1p100f)))
    return cli_usage(j->cmd, "--range '%.40s': LO:HI, two numbers", range);
  if (radius != NULL && (!number(radius, &j->radius) || j->radius < 0)) return cli_usage(j->cmd, "--radius '%.40s' is not a number >= 0", radius);
  if ((radius != NULL) != (input != NULL)) return cli_usage(j->cmd, "--input and --radius belong together: all inputs within R of each sample");
  if (index != NULL && input == NULL) return cli_usage(j->cmd, "--index needs --input");
  return cli_get_int(&j->effort, j->cmd, j->val, "effort", 0, INT64_MAX, 0) && cli_get_int(&j->split, j->cmd, j->val, "split", 1, 10000000, 1) ? 0 : QV_EXIT_USAGE;
}

static int read_samples(job *j, qv_err *err) {
  const char *path = cli_get(j->cmd, j->val, "input"), *index = cli_get(j->cmd, j->val, "index");
  const char *ps = cli_get(j->cmd, j->val, "pixel-scale"), *po = cli_get(j->cmd, j->val, "pixel-offset");
  double scale = 0, offset = 0;
  j->boxes = 1;
  if (path == NULL) return 0;
  if (ps != NULL && (!number(ps, &scale) || !(fabs(scale) > 0))) return cli_usage(j->cmd, "--pixel-scale '%.40s' is not a number other than 0", ps);
  if (po != NULL && !number(po, &offset)) return cli_usage(j->cmd, "--pixel-offset '%.40s' is not a number", po);
  qv_array a = {0};
  qv_status st = qv_array_read(&a, path, err);
  if (st == QV_OK) st = qv_fsamples(&j->sample, &j->n, j->g, &a, scale, offset, path, err);
  qv_array_free(&a);
  if (st != QV_OK) return cli_fail(st == QV_E_IO || st == QV_E_NOMEM ? st : QV_E_PARSE, path, err);
  unsigned long long from = 0, to = j->n - 1;
  char tail;
  if (index != NULL && sscanf(index, "%llu:%llu%c", &from, &to, &tail) != 2) {
    if (sscanf(index, "%llu%c", &from, &tail) != 1) return cli_usage(j->cmd, "--index '%.40s': N or A:B", index);
    to = from;
  }
  if (from > to || to >= j->n) return cli_usage(j->cmd, "--index: the file has samples 0 to %zu", j->n - 1);
  j->first = (size_t)from;
  j->boxes = (size_t)(to - from) + 1;
  return 0;
}

/* ---- the bound ------------------------------------------------------------------------------------------------------------------------ */

/* Box number b into lo and hi. False: empty (a sample outside --range). */
static bool box(const job *j, size_t b, float *lo, float *hi, size_t per) {
  float clo, chi;
  qv_errpair_codes(j->pair, &clo, &chi);
  for (size_t e = 0; e < per; e++) {
    if (j->sample == NULL) lo[e] = j->has_range ? j->lo : clo, hi[e] = j->has_range ? j->hi : chi;
    else {
      float x = j->sample[(j->first + b) * per + e];
      lo[e] = nextafterf((float)((double)x - j->radius), -INFINITY);
      hi[e] = nextafterf((float)((double)x + j->radius), INFINITY);
      if (!(j->radius > 0)) lo[e] = hi[e] = x;
      if (j->has_range) lo[e] = fmaxf(lo[e], j->lo), hi[e] = fminf(hi[e], j->hi);
    }
    if (!(lo[e] <= hi[e])) return false;
  }
  return true;
}

static qv_status search(job *j, const float *lo, const float *hi, size_t tries, qv_err *err) {
  double least;
  qv_status st = qv_err_search(&least, NULL, j->pair, lo, hi, j->grid, tries, err);
  if (st == QV_OK) j->observed = fmax(j->observed, least);
  return st;
}

static qv_status bound_all(job *j, qv_err *err) {
  size_t per = qv_errpair_inputs(j->pair), n = j->n_out = qv_errpair_outputs(j->pair), tries = TRIES / j->boxes + 1;
  float *lo = QV_NEW(&j->arena, per, float), *hi = QV_NEW(&j->arena, per, float);
  qv_status st = QV_OK;
  j->out_lo = QV_NEW(&j->arena, n, double);
  j->out_hi = QV_NEW(&j->arena, n, double);
  if (lo == NULL || hi == NULL || j->out_lo == NULL || j->out_hi == NULL) return QV_FAIL(err, QV_E_NOMEM, "error bound");
  for (size_t b = 0; b < j->boxes; b++) {
    qv_err_bound r = {0};
    if (!box(j, b, lo, hi, per)) return QV_FAIL(err, QV_E_ARG, "sample %zu lies outside --range", j->first + b);
    const qv_err_domain d = {.lo = lo, .hi = hi, .grid = j->grid, .effort = (uint64_t)j->effort};
    st = qv_err_bound_split(&r, j->pair, &d, (size_t)j->split, j->has_within ? j->within : 0, err);
    for (size_t e = 0; st == QV_OK && e < n; e++) {
      j->out_lo[e] = b == 0 ? r.lo[e] : fmin(j->out_lo[e], r.lo[e]);
      j->out_hi[e] = b == 0 ? r.hi[e] : fmax(j->out_hi[e], r.hi[e]);
    }
    j->bound = fmax(j->bound, r.max);
    qv_err_bound_clear(&r);
    if (st == QV_OK && cli_get(j->cmd, j->val, "no-search") == NULL) st = search(j, lo, hi, tries, err);
    if (st != QV_OK) return st;
  }
  return st;
}

static void judge(job *j) {
  j->verdict = QV_UNKNOWN;
  if (j->has_within && j->observed > j->within) {
    j->verdict = QV_FALSIFIED;
    j->reason = "an executed input has a larger error";
  } else if (!(j->bound < INFINITY)) j->reason = "no bound was found";
  else if (j->has_within && j->bound > j->within) j->reason = "the proved bound is larger than --within";
  else j->verdict = QV_VERIFIED;
}

/* ---- output ---------------------------------------------------------------------------------------------------------------------------- */

/* Decimal text that is not below (up) or not above v. */
static const char *decimal(qv_arena *a, double v, bool up) {
  const char *s = v - v == 0 ? qv_arena_printf(a, "%.17g", v == 0 ? 0 : up ? qv_up(v) : qv_down(v)) : NULL;
  return s;
}

static void text(qv_buf *out, job *j) {
  uint32_t matched, all;
  double s1 = 0, s2 = 0;
  cli_table t = {0};
  qv_errpair_matched(j->pair, &matched, &all);
  cli_col(&t, "output", true);
  cli_col(&t, "least error", true);
  cli_col(&t, "largest error", true);
  for (size_t e = 0; e < j->n_out; e++) {
    double m = fmax(fabs(j->out_lo[e]), fabs(j->out_hi[e]));
    s1 += m, s2 += m * m;
    if (e >= 20) continue;
    cli_cell(&t, "%zu", e);
    cli_cell(&t, "%.6g", j->out_lo[e]);
    cli_cell(&t, "%.6g", j->out_hi[e]);
  }
  cli_table_print(out, &t);
  if (j->n_out > 20) qv_buf_printf(out, "  (%zu more outputs not shown)\n", j->n_out - 20);
  qv_buf_printf(out, "\nIntegers less float, %s; %" PRIu32 " of %" PRIu32 " quantized tensors stand for a tensor of the float network.\n",
                qv_errpair_logits(j->pair) ? "in front of the softmax" : "at the output", matched, all);
  if (j->sample != NULL) qv_buf_printf(out, "Domain: within %g of each of %zu samples", j->radius, j->boxes);
  else if (j->has_range) qv_buf_printf(out, "Domain: every input in [%g,%g]", (double)j->lo, (double)j->hi);
  else qv_buf_str(out, "Domain: every real that the input's codes stand for");
  qv_buf_printf(out, "%s.\nLargest absolute error: at most %.6g (sum %.6g, Euclidean %.6g); on an executed input at least %.6g.\n",
                j->grid ? ", codes only" : "", j->bound * (1 + 1e-6), s1 * (1 + 1e-6), sqrt(s2) * (1 + 1e-6), j->observed * (1 - 1e-6));
  if (j->has_within) qv_buf_printf(out, "\n%s: error <= %g%s%s\n", qv_verdict_name(j->verdict), j->within, j->reason != NULL ? "; " : "", j->reason != NULL ? j->reason : " for every input of the domain");
  else qv_buf_printf(out, "\n%s: the bound above%s%s\n", qv_verdict_name(j->verdict), j->reason != NULL ? "; " : "", j->reason != NULL ? j->reason : " holds for every input of the domain");
}

static const char *verdict_word(qv_verdict v) { return v == QV_VERIFIED ? "verified" : v == QV_FALSIFIED ? "falsified" : "unknown"; }

static cJSON *outputs(job *j) {
  cJSON *list = cJSON_CreateArray();
  bool ok = list != NULL;
  for (size_t e = 0; e < j->n_out; e++) {
    cJSON *o = cJSON_CreateObject();
    ok = qv_json_add_str(o, "lo", decimal(&j->arena, j->out_lo[e], false)) && ok;
    ok = qv_json_add_str(o, "hi", decimal(&j->arena, j->out_hi[e], true)) && ok;
    ok = qv_json_push(list, o) && ok;
  }
  if (ok) return list;
  cJSON_Delete(list);
  return NULL;
}

static cJSON *file(const char *path, const char *sha, const char *profile) {
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add_str(o, "path", path);
  ok = qv_json_add_str(o, "sha256", sha) && ok;
  if (profile != NULL) ok = qv_json_add_str(o, "profile", profile) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

static cJSON *domain(job *j) {
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add_bool(o, "grid", j->grid);
  ok = qv_json_add_str(o, "lo", j->has_range ? decimal(&j->arena, (double)j->lo, false) : NULL) && ok;
  ok = qv_json_add_str(o, "hi", j->has_range ? decimal(&j->arena, (double)j->hi, true) : NULL) && ok;
  ok = qv_json_add_str(o, "radius", j->sample != NULL ? decimal(&j->arena, j->radius, true) : NULL) && ok;
  ok = qv_json_add_int(o, "boxes", (int64_t)j->boxes) && ok;
  if (ok) return o;
  cJSON_Delete(o);
  return NULL;
}

/* complete false: the run did not come to its end (written first, and after an error). */
static qv_status report(job *j, bool complete, const qv_err *why, int code, qv_err *err) {
  qv_buf out = {0};
  uint32_t matched = 0, all = 0;
  cJSON *o = cJSON_CreateObject();
  if (j->json == NULL || (!complete && strcmp(j->json, "-") == 0)) {
    cJSON_Delete(o);
    return QV_OK;
  }
  bool ok = qv_json_add_str(o, "format", "qverify-error/1");
  ok = qv_json_add_bool(o, "complete", complete) && ok;
  ok = qv_json_add_str(o, "program", qverify_version()) && ok;
  ok = qv_json_add(o, "float", file(j->fpath, j->fsha, NULL)) && ok;
  ok = qv_json_add(o, "quantized", file(j->qpath, j->model.sha256, j->model.net != NULL ? j->model.net->profile : "")) && ok;
  if (why != NULL) ok = qv_json_add_str(o, "error", why->msg) && ok;
  if (complete) {
    qv_errpair_matched(j->pair, &matched, &all);
    ok = qv_json_add_str(o, "verdict", verdict_word(j->verdict)) && ok;
    ok = qv_json_add_str(o, "reason", j->reason) && ok;
    ok = qv_json_add_str(o, "bound", decimal(&j->arena, j->bound, true)) && ok;
    ok = qv_json_add_str(o, "within", j->has_within ? decimal(&j->arena, j->within, false) : NULL) && ok;
    ok = qv_json_add_str(o, "observed", decimal(&j->arena, j->observed, false)) && ok;
    ok = qv_json_add_bool(o, "logits", qv_errpair_logits(j->pair)) && ok;
    ok = qv_json_add(o, "domain", domain(j)) && ok;
    ok = qv_json_add(o, "outputs", outputs(j)) && ok;
    ok = qv_json_add_num(o, "matched", (int32_t)matched) && ok;
    ok = qv_json_add_num(o, "unmatched", (int32_t)(all - matched)) && ok;
    ok = qv_json_add_str(o, "seconds", qv_arena_printf(&j->arena, "%.3f", j->seconds)) && ok;
    ok = qv_json_add_num(o, "exit_code", code) && ok;
  }
  qv_status st = ok ? qv_json_print(&out, o, true, err) : QV_FAIL(err, QV_E_NOMEM, "report");
  cJSON_Delete(o);
  if (st == QV_OK) st = cli_emit(j->json, &out, err);
  qv_buf_free(&out);
  return st;
}

/* ---- the command ------------------------------------------------------------------------------------------------------------------------ */

static int load(job *j, qv_err *err) {
  const char *profile = cli_get(j->cmd, j->val, "profile");
  qv_buf data = {0};
  int rc;
  if (!cli_profile_ok(j->cmd, profile)) return QV_EXIT_USAGE;
  if ((rc = read_options(j)) != 0) return rc;
  qv_status st = report(j, false, NULL, 0, err);
  if (st != QV_OK) return cli_fail(st, j->json, err);
  st = qv_file_read(&data, j->fpath, (size_t)1 << 31, err);
  if (st == QV_OK) qv_sha256_hex(j->fsha, data.p, data.n);
  if (st == QV_OK) st = qv_fgraph_read(&j->g, data.p, data.n, j->fpath, err);
  qv_buf_free(&data);
  if (st != QV_OK) return cli_fail(st, j->fpath, err);
  if ((rc = cli_load(&j->model, j->cmd, j->qpath, profile, false, err)) != 0) return rc;
  return read_samples(j, err);
}

static int solve(job *j, qv_err *err) {
  int rc = load(j, err);
  double start = cli_now();
  qv_buf out = {0};
  if (rc != 0) return rc;
  qv_status st = qv_errpair_new(&j->pair, j->g, j->model.net, j->sample, j->sample != NULL ? j->n : 0, err);
  if (st == QV_OK) st = bound_all(j, err);
  if (st != QV_OK) return cli_fail(st, j->qpath, err);
  judge(j);
  j->seconds = cli_now() - start;
  const qv_tally tally = {.selected = 1, .verified = j->verdict == QV_VERIFIED, .falsified = j->verdict == QV_FALSIFIED};
  rc = qv_cli_exit(QV_OK, &tally);
  text(&out, j);
  if (j->json == NULL || strcmp(j->json, "-") != 0) st = cli_emit("-", &out, err);
  qv_buf_free(&out);
  if (st == QV_OK) st = report(j, true, NULL, rc, err);
  return st == QV_OK ? rc : cli_fail(st, j->json, err);
}

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  qv_err err = {0}, second = {0};
  job j = {.cmd = cmd, .val = val, .fpath = operand[0], .qpath = operand[1]};
  int rc = solve(&j, &err);
  if (rc != 0 && j.pair == NULL && j.json != NULL && err.msg[0] != 0 && report(&j, false, &err, rc, &second) != QV_OK) rc = qv_cli_exit(QV_E_INTERNAL, NULL);
  qv_errpair_free(j.pair);
  qv_fgraph_free(j.g);
  cli_model_free(&j.model);
  free(j.sample);
  qv_arena_clear(&j.arena);
  return rc;
}

static const cli_opt opts[] = {
    {"profile", 'p', "NAME", false, "runtime of QUANT, where the file does not say"},
    {"within", 'w', "X", false, "claim: no output is more than X away; exit 0 proved, 5 not proved, 10 an executed input is further away"},
    {"range", 0, "LO:HI", false, "domain: every input element between LO and HI (default: the reals that the input's codes stand for)"},
    {"input", 'i', "FILE", false, "domain: around each sample of this file (.npy, .npz, .idx, .csv, images, raw float32) .."},
    {"radius", 'r', "R", false, ".. every input whose elements are at most R away (and in --range)"},
    {"index", 0, "A:B", false, "only samples A to B of --input"},
    {"grid", 0, NULL, false, "only inputs that are codes exactly: rounding the input is no part of the error"},
    {"pixel-scale", 0, "X", false, "a pixel or integer v of --input means v * X + offset (default: pixels 1/255, other integers 1)"},
    {"pixel-offset", 0, "X", false, "see --pixel-scale (default 0)"},
    {"effort", 0, "N", false, "multiply-adds for linear bounds of inner values (default 2^31; 1: intervals only)"},
    {"split", 0, "N", false, "cut the domain into at most N boxes, those with the largest bounds first: for networks of few inputs"},
    {"no-search", 0, NULL, false, "execute no inputs in search of a large error"},
    {"json", 'j', "FILE", false, "write a report (docs/error-bound.md); '-' writes it to standard output in place of the text"},
    {.name = NULL},
};

const cli_cmd cli_error = {
    .name = "error",
    .operands = "FLOAT QUANT",
    .n_operands = 2,
    .summary = "how far a quantized network can be from its float network: a proved bound",
    .detail = "FLOAT is a float ONNX or TFLite network, QUANT what was made of it, by this program or another: any model that can be verified. For every "
              "input of the domain, the dequantized integer outputs are within the printed bounds of the float network's, which means its stored weights in "
              "exact arithmetic (docs/error-bound.md). Exit codes: 0 proved, 5 not proved, 10 refuted by an executed input.",
    .example = "qverify error model.onnx model_int.onnx --profile ort-vnni --within 0.5",
    .opt = opts,
    .run = run,
};
