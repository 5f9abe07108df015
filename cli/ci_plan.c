#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fnmatch.h>
#include <unistd.h>

#include "cli/ci_cache.h"
#include "cli/ci_doc.h"
#include "cli/ci_split.h"
#include "cli/qverify.h"
#include "frontend/load.h"

#define SECONDS 600
#define MEMORY_MB 4096
#define BATCH 100
#define FRONT_SECONDS 60

const char *ci_check_name(ci_check c) {
  switch (c) {
#define CI_CHECK(e, word) \
  case CI_##e: return word;
#include "cli/ci_checks.def"
#undef CI_CHECK
  case CI_CHECKS: break;
  }
  return "?";
}

/* An argument that has been looked at: many jobs name the same files. */
typedef struct {
  const char *path;
  bool is_file, beside; /* beside: weights in other files */
  char sha256[QV_SHA256_HEX];
} known_file;

typedef struct {
  ci_plan *p;
  const cJSON *root, *models;
  const char *dir; /* of the manifest, with the slash, or "" */
  double seconds;
  uint64_t memory_mb;
  uint32_t batch, split, cap;
  char tool[2][QV_SHA256_HEX]; /* of this program's bytes and of the checker's beside it; "" if that is elsewhere */
  qv_err *err;
  known_file *known; /* [n_known] */
  uint32_t n_known, cap_known;
} reader;

#define FAIL(r, ...) QV_FAIL((r)->err, QV_E_PARSE, __VA_ARGS__)
#define NOMEM(r) QV_FAIL((r)->err, QV_E_NOMEM, "out of memory")

/* ---- members ------------------------------------------------------------------------------------------------------------------------ */

static qv_status only(reader *r, const cJSON *o, const char *what, const char *const *allowed) {
  const cJSON *m;
  if (!cJSON_IsObject(o)) return FAIL(r, "%s is not an object", what);
  cJSON_ArrayForEach(m, o) {
    size_t i = 0;
    while (allowed[i] != NULL && strcmp(allowed[i], m->string) != 0) i++;
    if (allowed[i] == NULL) return FAIL(r, "%s: unknown member \"%.60s\"", what, m->string);
  }
  return QV_OK;
}

/* A string or number as text, in the arena; *out NULL if absent. */
static qv_status word(reader *r, const cJSON *o, const char *key, const char *what, const char **out) {
  const cJSON *m = ci_get(o, key);
  *out = NULL;
  if (m == NULL) return QV_OK;
  if ((!cJSON_IsString(m) && !cJSON_IsNumber(m)) || m->valuestring == NULL || m->valuestring[0] == 0)
    return FAIL(r, "%s: \"%s\" is not a string or number", what, key);
  *out = qv_arena_str(&r->p->arena, m->valuestring, strlen(m->valuestring));
  return *out != NULL ? QV_OK : NOMEM(r);
}

/* A path, relative to the manifest. */
static qv_status file(reader *r, const cJSON *o, const char *key, const char *what, const char **out) {
  qv_status st = word(r, o, key, what, out);
  if (st != QV_OK || *out == NULL || (*out)[0] == '/') return st;
  *out = qv_arena_printf(&r->p->arena, "%s%s", r->dir, *out);
  return *out != NULL ? QV_OK : NOMEM(r);
}

/* "95%", "0.95" or 1; at most 1. */
static qv_status share(reader *r, const cJSON *o, const char *what, ci_item *i) {
  const char *s;
  char *end;
  qv_status st = word(r, o, "at_least", what, &s);
  if (st != QV_OK || s == NULL) return st;
  i->at_least = strtod(s, &end);
  if (*end == '%') i->at_least /= 100, end++;
  if (end == s || *end != 0 || !(i->at_least >= 0 && i->at_least <= 1)) return FAIL(r, "%s: \"at_least\" is not a share like \"95%%\"", what);
  i->has_at_least = true;
  return QV_OK;
}

static qv_status limits(reader *r, const cJSON *o, const char *what, double *seconds, uint64_t *mb) {
  int64_t v;
  qv_status st = QV_OK;
  if (ci_get(o, "seconds") != NULL && (st = qv_json_get_int(&v, o, "seconds", 1, 10000000, what, r->err)) == QV_OK) *seconds = (double)v;
  if (st == QV_OK && ci_get(o, "memory_mb") != NULL && (st = qv_json_get_int(&v, o, "memory_mb", 16, 1 << 24, what, r->err)) == QV_OK) *mb = (uint64_t)v;
  return st;
}

/* ---- jobs --------------------------------------------------------------------------------------------------------------------------- */

typedef struct {
  uint32_t n;
  const char *v[64];
} args;

static void arg(args *a, const char *s) {
  if (a->n < 63) a->v[a->n++] = s;
}
static void opt(args *a, const char *name, const char *value) {
  if (value == NULL) return;
  arg(a, name);
  arg(a, value);
}

static void hash_text(qv_buf *b, const char *s) {
  qv_buf_printf(b, "%zu:", strlen(s));
  qv_buf_str(b, s);
}

/* A build of another meaning must not inherit results: the programs themselves are part of every key, not only their version. */
static void hash_tools(reader *r) {
  char self[4096], path[4200];
  ssize_t k = readlink("/proc/self/exe", self, sizeof self - 1);
  self[k > 0 ? k : 0] = 0;
  for (int i = 0; i < 2; i++) {
    char *slash = strrchr(self, '/');
    qv_buf b = {0};
    if (i == 0) (void)snprintf(path, sizeof path, "%s", self);
    else (void)snprintf(path, sizeof path, "%.*s/qverify-check", slash != NULL ? (int)(slash - self) : 0, self);
    if (qv_file_read(&b, path, (size_t)1 << 30, NULL) == QV_OK) qv_sha256_hex(r->tool[i], b.p, b.n);
    qv_buf_free(&b);
  }
}

/* Weights beside an ONNX file are not among the bytes that a key covers: entry "location" of its protobuf text map. */
static bool has_external_data(const qv_buf *f) {
  static const char entry[] = "\x0a\x08location";
  return qv_onnx_probe(f->p, f->n) && memmem(f->p, f->n, entry, sizeof entry - 1) != NULL;
}

/* What lies under the path of an argument, if anything. NULL: no memory. */
static const known_file *look(reader *r, const char *path) {
  const char *colon = strstr(path, ".npz:");
  for (uint32_t i = 0; i < r->n_known; i++)
    if (strcmp(r->known[i].path, path) == 0) return &r->known[i];
  if (r->n_known == r->cap_known) {
    uint32_t cap = r->cap_known == 0 ? 16 : 2 * r->cap_known;
    known_file *k = QV_NEW(&r->p->arena, cap, known_file);
    if (k == NULL) return NULL;
    if (r->n_known > 0) memcpy(k, r->known, r->n_known * sizeof *k);
    r->known = k;
    r->cap_known = cap;
  }
  known_file *k = &r->known[r->n_known];
  qv_buf f = {0};
  char plain[4096];
  (void)snprintf(plain, sizeof plain, "%.*s", (int)(colon != NULL && colon - path < 4000 ? colon + 4 - path : 4000), path);
  *k = (known_file){.path = qv_arena_str(&r->p->arena, path, strlen(path))};
  if (k->path == NULL) return NULL;
  k->is_file = path[0] != '-' && path[0] != '@' && qv_file_read(&f, plain, (size_t)1 << 31, NULL) == QV_OK;
  if (k->is_file) {
    k->beside = has_external_data(&f);
    qv_sha256_hex(k->sha256, f.p, f.n);
  }
  qv_buf_free(&f);
  r->n_known++;
  return k;
}

/* Key: tools, arguments, and the bytes of every argument that is a file. */
static qv_status key_of(reader *r, ci_job *j) {
  qv_buf b = {0};
  hash_text(&b, "qverify-ci-job/1");
  hash_text(&b, qverify_version());
  hash_text(&b, r->tool[0]);
  hash_text(&b, r->tool[1]);
  qv_status st = QV_OK;
  for (uint32_t i = 0; st == QV_OK && i < j->argc; i++) {
    const known_file *k = look(r, j->argv[i]);
    hash_text(&b, j->argv[i]);
    if (k == NULL) st = NOMEM(r);
    else if (k->beside)
      st = QV_FAIL(r->err, QV_E_UNSUP, "%s keeps weights in other files, which a job's key would not cover: store them in the model", j->argv[i]);
    else if (k->is_file) hash_text(&b, k->sha256);
  }
  qv_buf_printf(&b, "%.17g %" PRIu64, j->seconds, j->memory_mb);
  if (st == QV_OK && b.failed) st = NOMEM(r);
  if (st == QV_OK) qv_sha256_hex(j->key, b.p, b.n);
  qv_buf_free(&b);
  return st;
}

static qv_status add_job(reader *r, const args *a, const char *part, double seconds, uint64_t mb) {
  ci_plan *p = r->p;
  if (p->n_job == r->cap) {
    uint32_t cap = r->cap == 0 ? 64 : 2 * r->cap;
    ci_job *j = QV_NEW(&p->arena, cap, ci_job);
    if (j == NULL) return NOMEM(r);
    if (p->n_job > 0) memcpy(j, p->job, p->n_job * sizeof *j);
    p->job = j;
    r->cap = cap;
  }
  ci_job *j = &p->job[p->n_job];
  *j = (ci_job){.item = p->n_item, .part = part, .argc = a->n, .seconds = seconds, .memory_mb = mb};
  if ((j->argv = QV_NEW(&p->arena, a->n + 1, const char *)) == NULL) return NOMEM(r);
  memcpy(j->argv, a->v, a->n * sizeof *a->v);
  p->n_job++;
  return key_of(r, j);
}

/* One job for each of `split` parts of the query that the arguments ask. name: of the query. */
static qv_status split_jobs(reader *r, args a, const char *name, uint32_t split, double seconds, uint64_t mb) {
  arg(&a, "--part");
  arg(&a, "");
  for (uint32_t k = 1; k <= split; k++) {
    const char *part = qv_arena_printf(&r->p->arena, "%" PRIu32 "/%" PRIu32, k, split);
    const char *label = qv_arena_printf(&r->p->arena, "%s part %" PRIu32 "/%" PRIu32, name, k, split);
    if (part == NULL || label == NULL) return NOMEM(r);
    a.v[a.n - 1] = part;
    qv_status st = add_job(r, &a, label, seconds, mb);
    if (st != QV_OK) return st;
  }
  return QV_OK;
}

/* Queries "index" of a robustness obligation, r->batch at a time, or, in parts, one at a time: the list's ranges are cut.
 * mark: in front of the names of the jobs' parts. */
static qv_status robust_jobs(reader *r, args a, const char *mark, const char *index, uint32_t split, const char *what, double seconds, uint64_t mb) {
  arg(&a, "--index");
  uint32_t at = a.n, step = split > 1 ? 1 : r->batch;
  arg(&a, "");
  for (const char *s = index;;) {
    int64_t lo, hi;
    int len = 0;
    if (sscanf(s, "%" SCNd64 ":%" SCNd64 "%n", &lo, &hi, &len) != 2 || len == 0) {
      len = 0;
      if (sscanf(s, "%" SCNd64 "%n", &lo, &len) != 1 || len == 0) return FAIL(r, "%s: \"index\" is a list like \"0:99,150\"", what);
      hi = lo;
    }
    if (lo < 0 || hi < lo || hi > 1000000000 || (s[len] != 0 && s[len] != ',')) return FAIL(r, "%s: \"index\" is a list like \"0:99,150\"", what);
    for (int64_t k = lo; k <= hi; k += step) {
      int64_t e = k + step - 1 < hi ? k + step - 1 : hi;
      const char *part = qv_arena_printf(&r->p->arena, "%" PRId64 ":%" PRId64, k, e), *label = qv_arena_printf(&r->p->arena, "%s%s", mark, part);
      if (part == NULL || label == NULL) return NOMEM(r);
      a.v[at] = part;
      qv_status st = split > 1 ? split_jobs(r, a, label, split, seconds, mb) : add_job(r, &a, label, seconds * (double)(e - k + 1), mb);
      if (st != QV_OK) return st;
    }
    if (s[len] == 0) return QV_OK;
    s += len + 1;
  }
}

/* ---- obligations -------------------------------------------------------------------------------------------------------------------- */

static qv_status model_args(reader *r, const cJSON *o, const char *what, args *a, ci_item *i, bool profile) {
  static const char *const allowed[] = {"path", "profile", "opaque", NULL};
  const char *name, *path, *prof;
  qv_status st = word(r, o, "model", what, &name);
  if (st != QV_OK) return st;
  if (name == NULL) return FAIL(r, "%s: \"model\" is missing", what);
  const cJSON *m = ci_get(r->models, name);
  if (m == NULL) return FAIL(r, "%s: there is no model \"%.60s\"", what, name);
  i->model = name;
  if ((st = only(r, m, name, allowed)) != QV_OK || (st = file(r, m, "path", name, &path)) != QV_OK || (st = word(r, m, "profile", name, &prof)) != QV_OK) return st;
  if (path == NULL) return FAIL(r, "model \"%.60s\": \"path\" is missing", name);
  arg(a, path);
  if (profile) opt(a, "--profile", prof);
  if (cJSON_IsTrue(ci_get(m, "opaque"))) arg(a, "--opaque");
  return QV_OK;
}

#define COMMON "id", "requirement", "tags", "check", "model", "seconds", "memory_mb"

/* Members that become options of one name. */
typedef struct {
  const char *key, *option;
  bool is_file;
} member_option;

static qv_status add_options(reader *r, const cJSON *o, const char *what, args *a, const member_option *m) {
  for (; m->key != NULL; m++) {
    const char *v;
    qv_status st = m->is_file ? file(r, o, m->key, what, &v) : word(r, o, m->key, what, &v);
    if (st != QV_OK) return st;
    opt(a, m->option, v);
  }
  return QV_OK;
}

/* The older network that an obligation names, as arguments of `command`: its file and profile. *there: it names one. */
static qv_status old_args(reader *r, const cJSON *o, const char *what, const char *command, args *a, bool *there) {
  const char *old, *profile;
  qv_status st;
  QV_TRY(file(r, o, "baseline", what, &old));
  QV_TRY(word(r, o, "baseline_profile", what, &profile));
  *there = old != NULL;
  if (old == NULL && profile != NULL) return FAIL(r, "%s: \"baseline_profile\" without \"baseline\"", what);
  if (old == NULL) return QV_OK;
  arg(a, command);
  arg(a, old);
  opt(a, "--profile", profile);
done:
  return st;
}

/* The options of a question about accumulators, whichever network is asked. */
static qv_status overflow_args(reader *r, const cJSON *o, const char *what, args *a) {
  static const member_option options[] = {{"acc_bits", "--acc-bits", false}, {"kernel", "--kernel", false}, {"domain", "--domain", true}, {"calibrate", "--calibrate", true}, {NULL, NULL, false}};
  qv_status st = add_options(r, o, what, a, options);
  opt(a, "--json", "@json");
  opt(a, "--certificate", "@cert");
  opt(a, "--witness", "@witness");
  return st;
}

static qv_status overflow_jobs(reader *r, const cJSON *o, const char *what, ci_item *i, double seconds, uint64_t mb, const char *command) {
  static const char *const allowed[] = {COMMON, "acc_bits", "kernel", "domain", "calibrate", "baseline", "baseline_profile", NULL};
  args a = {0}, b = {0};
  bool old;
  qv_status st;
  arg(&a, command);
  QV_TRY(only(r, o, what, allowed));
  QV_TRY(model_args(r, o, what, &a, i, true));
  QV_TRY(overflow_args(r, o, what, &a));
  QV_TRY(add_job(r, &a, "", seconds, mb));
  QV_TRY(old_args(r, o, what, command, &b, &old));
  if (!old) return QV_OK;
  QV_TRY(overflow_args(r, o, what, &b));
  st = add_job(r, &b, "old", seconds, mb);
done:
  return st;
}

static qv_status diff_jobs(reader *r, const cJSON *o, const char *what, ci_item *i, double seconds, uint64_t mb) {
  static const char *const allowed[] = {COMMON, "profiles", NULL};
  const cJSON *list = ci_get(o, "profiles"), *p;
  args a = {0};
  qv_status st;
  arg(&a, "diff");
  QV_TRY(only(r, o, what, allowed));
  QV_TRY(model_args(r, o, what, &a, i, false));
  if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != 2) return FAIL(r, "%s: \"profiles\" is a list of two names", what);
  cJSON_ArrayForEach(p, list) {
    if (!cJSON_IsString(p)) return FAIL(r, "%s: \"profiles\" is a list of two names", what);
    opt(&a, "--profile", qv_arena_str(&r->p->arena, p->valuestring, strlen(p->valuestring)));
  }
  opt(&a, "--json", "@json");
  st = add_job(r, &a, "", seconds, mb);
done:
  return st;
}

static const member_option sample_options[] = {{"input", "--input", true}, {"labels", "--labels", true}, {"label", "--label", false},
                                               {"mask", "--mask", true}, {"patch", "--patch", false}, {"ties", "--ties", false}, {"top", "--top", false},
                                               {"margin", "--margin", false}, {"timeout", "--timeout", false}, {"steps", "--steps", false},
                                               {"seed", "--seed", false}, {"engine", "--engine", false}, {NULL, NULL, false}};
static const member_option robust_options[] = {{"eps", "--eps", false}, {"eps_real", "--eps-real", false}, {"brightness", "--brightness", false},
                                               {"contrast", "--contrast", false}, {"property", "--property", true}, {NULL, NULL, false}};
static const member_option radius_options[] = {{"radius", "--at-least", false}, {"max_eps", "--max-eps", false}, {NULL, NULL, false}};

#define SAMPLES                                                                                                                            \
  COMMON, "input", "labels", "label", "index", "mask", "patch", "ties", "top", "margin", "at_least", "timeout", "steps", "seed", "engine", \
      "baseline", "baseline_profile"

/* The options of a question about samples, whichever network is asked. */
static qv_status sample_args(reader *r, const cJSON *o, const char *what, args *a, bool is_radius) {
  qv_status st;
  QV_TRY(add_options(r, o, what, a, sample_options));
  QV_TRY(add_options(r, o, what, a, is_radius ? radius_options : robust_options));
  opt(a, "--threads", "1");
  opt(a, "--json", "@json");
  opt(a, "--certificate", "@cert");
  opt(a, "--witness", "@witness");
  if (!is_radius) opt(a, "--resume", "@journal"), arg(a, "--no-sync");
done:
  return st;
}

/* The same questions, asked of the older network, if one is named: behind the others, in the same order. */
static qv_status old_jobs(reader *r, const cJSON *o, const char *what, bool is_radius, const char *index, double seconds, uint64_t mb) {
  args a = {0};
  bool there;
  qv_status st;
  QV_TRY(old_args(r, o, what, is_radius ? "radius" : "robust", &a, &there));
  if (!there) return QV_OK;
  QV_TRY(sample_args(r, o, what, &a, is_radius));
  st = index != NULL ? robust_jobs(r, a, "old ", index, 1, what, seconds, mb) : add_job(r, &a, "old", seconds, mb);
done:
  return st;
}

/* How many parts each query is asked in. */
static qv_status parts(reader *r, const cJSON *o, const char *what, bool is_radius, int64_t *split) {
  const bool said = ci_get(o, "split") != NULL, listed = ci_get(o, "brightness") != NULL || ci_get(o, "contrast") != NULL;
  qv_status st = QV_OK;
  *split = is_radius ? 1 : r->split;
  if (said) QV_TRY(qv_json_get_int(split, o, "split", 1, CI_PARTS_MAX, what, r->err));
  if (*split == 1 || (!listed && ci_get(o, "baseline") == NULL)) return QV_OK;
  if (said && listed) return FAIL(r, "%s: brightness and contrast are lists of inputs, which are not cut into parts: \"split\" does not go with them", what);
  if (said) return FAIL(r, "%s: \"baseline\" compares whole queries: \"split\" does not go with it", what);
  *split = 1; /* --split is for those that can be */
done:
  return st;
}

/* Questions about samples, `robust` and `radius`. */
static qv_status sample_jobs(reader *r, const cJSON *o, const char *what, ci_item *i, double seconds, uint64_t mb) {
  static const char *const robust[] = {SAMPLES, "eps", "eps_real", "brightness", "contrast", "property", "split", NULL};
  static const char *const radius[] = {SAMPLES, "radius", "max_eps", NULL};
  const bool is_radius = i->check == CI_RADIUS;
  const char *index;
  int64_t split;
  args a = {0};
  qv_status st;
  arg(&a, is_radius ? "radius" : "robust");
  QV_TRY(only(r, o, what, is_radius ? radius : robust));
  QV_TRY(model_args(r, o, what, &a, i, true));
  QV_TRY(share(r, o, what, i));
  if (is_radius && ci_get(o, "radius") == NULL) return FAIL(r, "%s: \"radius\" is missing: how large it has to be", what);
  QV_TRY(sample_args(r, o, what, &a, is_radius));
  QV_TRY(parts(r, o, what, is_radius, &split));
  QV_TRY(word(r, o, "index", what, &index));
  if (index != NULL) QV_TRY(robust_jobs(r, a, "", index, (uint32_t)split, what, seconds, mb));
  else if (split > 1) QV_TRY(split_jobs(r, a, "", (uint32_t)split, seconds, mb));
  else QV_TRY(add_job(r, &a, "", seconds, mb));
  st = old_jobs(r, o, what, is_radius, index, seconds, mb);
done:
  return st;
}

/* How far the integers can be from the float network. */
static qv_status error_jobs(reader *r, const cJSON *o, const char *what, ci_item *i, double seconds, uint64_t mb) {
  static const char *const allowed[] = {COMMON, "float", "within", "range", "input", "index", "radius", "grid", "effort", NULL};
  static const member_option options[] = {{"within", "--within", false}, {"range", "--range", false}, {"input", "--input", true}, {"index", "--index", false},
                                          {"radius", "--radius", false}, {"effort", "--effort", false}, {NULL, NULL, false}};
  const char *net;
  const cJSON *grid = ci_get(o, "grid");
  args a = {0};
  qv_status st;
  arg(&a, "error");
  QV_TRY(only(r, o, what, allowed));
  QV_TRY(file(r, o, "float", what, &net));
  if (net == NULL || ci_get(o, "within") == NULL) return FAIL(r, "%s: \"float\" and \"within\" are needed", what);
  if (grid != NULL && !cJSON_IsBool(grid)) return FAIL(r, "%s: \"grid\" is true or false", what);
  arg(&a, net);
  QV_TRY(model_args(r, o, what, &a, i, true));
  QV_TRY(add_options(r, o, what, &a, options));
  if (cJSON_IsTrue(grid)) arg(&a, "--grid");
  opt(&a, "--json", "@json");
  st = add_job(r, &a, "", seconds, mb);
done:
  return st;
}

static qv_status accuracy_jobs(reader *r, const cJSON *o, const char *what, ci_item *i, double seconds, uint64_t mb) {
  static const char *const allowed[] = {COMMON, "input", "labels", "at_least", NULL};
  const char *input, *labels;
  args a = {0};
  qv_status st;
  arg(&a, "run");
  QV_TRY(only(r, o, what, allowed));
  QV_TRY(model_args(r, o, what, &a, i, true));
  QV_TRY(share(r, o, what, i));
  QV_TRY(file(r, o, "input", what, &input));
  QV_TRY(file(r, o, "labels", what, &labels));
  if (input == NULL || labels == NULL || !i->has_at_least) return FAIL(r, "%s: \"input\", \"labels\" and \"at_least\" are needed", what);
  opt(&a, "--input", input);
  opt(&a, "--labels", labels);
  st = add_job(r, &a, "", seconds, mb);
done:
  return st;
}

static qv_status allocation_jobs(reader *r, const cJSON *o, const char *what, double seconds, uint64_t mb) {
  static const char *const allowed[] = {COMMON, "table", "limits", "metric", "front", NULL};
  const char *table, *metric, *front;
  const cJSON *list = ci_get(o, "limits"), *l;
  args a = {0}, f = {0};
  qv_status st;
  arg(&a, "allocate");
  arg(&f, "allocate");
  QV_TRY(only(r, o, what, allowed));
  QV_TRY(file(r, o, "table", what, &table));
  QV_TRY(word(r, o, "metric", what, &metric));
  if (table == NULL || !cJSON_IsObject(list)) return FAIL(r, "%s: \"table\" and \"limits\" are needed", what);
  QV_TRY(word(r, o, "front", what, &front));
  if (front == NULL && list->child != NULL && (front = qv_arena_str(&r->p->arena, list->child->string, strlen(list->child->string))) == NULL) return NOMEM(r);
  arg(&a, table);
  arg(&f, table);
  cJSON_ArrayForEach(l, list) {
    if (l->valuestring == NULL) return FAIL(r, "%s: limit \"%.60s\" is not a string or number", what, l->string);
    const char *limit = qv_arena_printf(&r->p->arena, "%s=%s", l->string, l->valuestring);
    opt(&a, "--limit", limit);
    if (front != NULL) opt(&f, "--limit", strcmp(l->string, front) == 0 ? qv_arena_printf(&r->p->arena, "%s=none", front) : limit);
  }
  opt(&a, "--metric", metric);
  opt(&f, "--metric", metric);
  opt(&f, "--front", front);
  opt(&a, "--json", "@json");
  opt(&f, "--json", "@json");
  opt(&a, "--certificate", "@cert");
  opt(&f, "--certificate", "@cert");
  QV_TRY(add_job(r, &a, "", seconds, mb));
  /* The front is for the figure of the page; the verdict does not depend on it, and it has to be cheap. */
  if (front != NULL && strcmp(front, "none") != 0) st = add_job(r, &f, "front", seconds < FRONT_SECONDS ? seconds : FRONT_SECONDS, mb);
done:
  return st;
}

/* The same question about the old network and the new one. */
static qv_status baseline_jobs(reader *r, const cJSON *o, const char *what, ci_item *i, double seconds, uint64_t mb) {
  static const char *const allowed[] = {COMMON, "old", "old_profile", NULL};
  const char *old, *profile;
  args a = {0}, b = {0};
  qv_status st;
  QV_TRY(only(r, o, what, allowed));
  QV_TRY(file(r, o, "old", what, &old));
  QV_TRY(word(r, o, "old_profile", what, &profile));
  if (old == NULL) return FAIL(r, "%s: \"old\" is missing", what);
  arg(&a, "overflow");
  arg(&b, "overflow");
  QV_TRY(model_args(r, o, what, &a, i, true));
  arg(&b, old);
  opt(&b, "--profile", profile);
  opt(&a, "--json", "@json");
  opt(&b, "--json", "@json");
  opt(&a, "--certificate", "@cert");
  opt(&b, "--certificate", "@cert");
  QV_TRY(add_job(r, &a, "new", seconds, mb));
  st = add_job(r, &b, "old", seconds, mb);
done:
  return st;
}

static qv_status make_jobs(reader *r, const cJSON *o, const char *what, ci_item *i, double seconds, uint64_t mb) {
  switch (i->check) {
  case CI_OVERFLOW: return overflow_jobs(r, o, what, i, seconds, mb, "overflow");
  case CI_AUDIT: return overflow_jobs(r, o, what, i, seconds, mb, "audit");
  case CI_DIFF: return diff_jobs(r, o, what, i, seconds, mb);
  case CI_ROBUST:
  case CI_RADIUS: return sample_jobs(r, o, what, i, seconds, mb);
  case CI_ACCURACY: return accuracy_jobs(r, o, what, i, seconds, mb);
  case CI_ALLOCATION: return allocation_jobs(r, o, what, seconds, mb);
  case CI_ERROR_BOUND: return error_jobs(r, o, what, i, seconds, mb);
  case CI_BASELINE: return baseline_jobs(r, o, what, i, seconds, mb);
  case CI_CHECKS: break;
  }
  return QV_E_INTERNAL;
}

static qv_status tags(reader *r, const cJSON *o, const char *what, ci_item *i) {
  const cJSON *list = ci_get(o, "tags"), *t;
  if (list == NULL) return QV_OK;
  if (!cJSON_IsArray(list)) return FAIL(r, "%s: \"tags\" is not a list", what);
  if ((i->tag = QV_NEW(&r->p->arena, (size_t)cJSON_GetArraySize(list), const char *)) == NULL) return NOMEM(r);
  cJSON_ArrayForEach(t, list) {
    if (!cJSON_IsString(t)) return FAIL(r, "%s: a tag is not a string", what);
    if ((i->tag[i->n_tags++] = qv_arena_str(&r->p->arena, t->valuestring, strlen(t->valuestring))) == NULL) return NOMEM(r);
  }
  return QV_OK;
}

static bool wanted(const ci_item *i, const ci_filter *f) {
  bool tagged = f->tag == NULL;
  for (uint32_t k = 0; k < i->n_tags; k++) tagged = tagged || strcmp(i->tag[k], f->tag) == 0;
  return tagged && (f->id == NULL || fnmatch(f->id, i->id, 0) == 0);
}

static bool good_id(const char *s) {
  size_t n = strlen(s);
  return n <= 100 && n == strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") && s[0] != '.' && s[0] != '-';
}

static qv_status obligation(reader *r, const cJSON *o, const ci_filter *f) {
  ci_plan *p = r->p;
  ci_item *i = &p->item[p->n_item];
  const char *check, *what;
  double seconds = r->seconds;
  uint64_t mb = r->memory_mb;
  uint32_t jobs = p->n_job;
  qv_status st;
  QV_TRY(word(r, o, "id", "an obligation", &i->id));
  if (i->id == NULL || !good_id(i->id)) return FAIL(r, "obligation %u: \"id\" is missing or not made of letters, digits, '.', '_' and '-'", p->n_item);
  what = i->id;
  for (uint32_t k = 0; k < p->n_item; k++)
    if (strcmp(p->item[k].id, i->id) == 0) return FAIL(r, "two obligations are called \"%s\"", what);
  QV_TRY(word(r, o, "requirement", what, &i->requirement));
  QV_TRY(word(r, o, "check", what, &check));
  QV_TRY(tags(r, o, what, i));
  QV_TRY(limits(r, o, what, &seconds, &mb));
  i->check = CI_CHECKS;
  for (unsigned k = 0; check != NULL && k < CI_CHECKS; k++)
    if (strcmp(check, ci_check_name((ci_check)k)) == 0) i->check = (ci_check)k;
  if (i->check == CI_CHECKS) return FAIL(r, "%s: \"check\" is missing or unknown; overflow, audit, diff, robust, radius, accuracy, allocation, error, baseline", what);
  i->selected = wanted(i, f);
  QV_TRY(make_jobs(r, o, what, i, seconds, mb));
  if (!i->selected) p->n_job = jobs;
  p->n_item++;
done:
  return st;
}

static qv_status read_manifest(reader *r, const ci_filter *f) {
  static const char *const allowed[] = {"format", "name", "models", "defaults", "cache", "obligations", NULL};
  static const char *const defaults[] = {"seconds", "memory_mb", NULL};
  const cJSON *d = ci_get(r->root, "defaults"), *list = ci_get(r->root, "obligations"), *o;
  const char *format;
  ci_cache_mode mode;
  qv_status st;
  QV_TRY(only(r, r->root, "the manifest", allowed));
  QV_TRY(word(r, r->root, "format", "the manifest", &format));
  QV_TRY(word(r, r->root, "name", "the manifest", &r->p->name));
  QV_TRY(word(r, r->root, "cache", "the manifest", &r->p->cache));
  if (format == NULL || strcmp(format, "qverify-ci/1") != 0) return FAIL(r, "\"format\" is not \"qverify-ci/1\"");
  if (r->p->cache != NULL && !ci_cache_mode_read(&mode, r->p->cache)) return FAIL(r, "\"cache\" is not one of off, read, read-write, verify");
  if (d != NULL) {
    QV_TRY(only(r, d, "defaults", defaults));
    QV_TRY(limits(r, d, "defaults", &r->seconds, &r->memory_mb));
  }
  r->models = ci_get(r->root, "models");
  if (r->models != NULL && !cJSON_IsObject(r->models)) return FAIL(r, "\"models\" is not an object");
  if (!cJSON_IsArray(list)) return FAIL(r, "\"obligations\" is not a list");
  r->p->item = QV_NEW(&r->p->arena, (size_t)cJSON_GetArraySize(list) + 1, ci_item);
  if (r->p->item == NULL) return NOMEM(r);
  cJSON_ArrayForEach(o, list) QV_TRY(obligation(r, o, f));
done:
  return st;
}

qv_status ci_plan_make(ci_plan *p, const char *path, const ci_filter *filter, qv_err *err) {
  reader r = {.p = p, .seconds = SECONDS, .memory_mb = MEMORY_MB, .batch = filter->batch > 0 ? filter->batch : BATCH, .split = filter->split > 0 ? filter->split : 1, .err = err};
  qv_buf b = {0};
  cJSON *root = NULL;
  const char *slash = strrchr(path, '/');
  qv_status st;
  *p = (ci_plan){0};
  p->path = qv_arena_str(&p->arena, path, strlen(path));
  r.dir = qv_arena_str(&p->arena, path, slash != NULL ? (size_t)(slash - path + 1) : 0);
  if (p->path == NULL || r.dir == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  hash_tools(&r);
  QV_TRY(qv_file_read(&b, path, (size_t)1 << 26, err));
  qv_sha256_hex(p->sha256, b.p, b.n);
  QV_TRY(qv_json_parse(&root, (const char *)b.p, b.n, err));
  r.root = root;
  QV_TRY(read_manifest(&r, filter));
done:
  cJSON_Delete(root);
  qv_buf_free(&b);
  return st;
}

void ci_plan_clear(ci_plan *p) {
  qv_arena_clear(&p->arena);
  *p = (ci_plan){0};
}

/* ---- plans as files --------------------------------------------------------------------------------------------------------------------- */

static cJSON *strings(const char *const *v, uint32_t n) {
  cJSON *a = cJSON_CreateArray();
  for (uint32_t i = 0; a != NULL && i < n; i++)
    if (!qv_json_push(a, cJSON_CreateString(v[i]))) {
      cJSON_Delete(a);
      return NULL;
    }
  return a;
}

static qv_status line(qv_buf *out, cJSON *o, bool ok, qv_err *err) {
  qv_status st = ok ? qv_json_print(out, o, false, err) : QV_FAIL(err, QV_E_NOMEM, "out of memory");
  cJSON_Delete(o);
  qv_buf_str(out, "\n");
  return st;
}

qv_status ci_plan_write(qv_buf *out, const ci_plan *p, qv_err *err) {
  cJSON *o = cJSON_CreateObject();
  bool ok = qv_json_add_str(o, "format", "qverify-ci-plan/1");
  ok = qv_json_add_str(o, "manifest", p->path) && ok;
  ok = qv_json_add_str(o, "name", p->name) && ok;
  ok = qv_json_add_str(o, "cache", p->cache) && ok;
  ok = qv_json_add_str(o, "sha256", p->sha256) && ok;
  qv_status st = line(out, o, ok, err);
  for (uint32_t i = 0; st == QV_OK && i < p->n_item; i++) {
    const ci_item *x = &p->item[i];
    char share_text[32];
    (void)snprintf(share_text, sizeof share_text, "%.17g", x->at_least);
    o = cJSON_CreateObject();
    ok = qv_json_add_str(o, "obligation", x->id);
    ok = qv_json_add_str(o, "requirement", x->requirement) && ok;
    ok = qv_json_add_str(o, "check", ci_check_name(x->check)) && ok;
    ok = qv_json_add_str(o, "model", x->model) && ok;
    ok = qv_json_add_str(o, "at_least", x->has_at_least ? share_text : NULL) && ok;
    ok = qv_json_add_bool(o, "selected", x->selected) && ok;
    ok = qv_json_add(o, "tags", strings(x->tag, x->n_tags)) && ok;
    st = line(out, o, ok, err);
  }
  for (uint32_t i = 0; st == QV_OK && i < p->n_job; i++) {
    const ci_job *j = &p->job[i];
    o = cJSON_CreateObject();
    ok = qv_json_add_str(o, "key", j->key);
    ok = qv_json_add_str(o, "of", p->item[j->item].id) && ok;
    ok = qv_json_add_str(o, "part", j->part) && ok;
    ok = qv_json_add_int(o, "seconds", (int64_t)j->seconds) && ok;
    ok = qv_json_add_int(o, "memory_mb", (int64_t)j->memory_mb) && ok;
    ok = qv_json_add(o, "argv", strings(j->argv, j->argc)) && ok;
    st = line(out, o, ok, err);
  }
  return st == QV_OK && out->failed ? QV_FAIL(err, QV_E_NOMEM, "out of memory") : st;
}

static const char *kept(ci_plan *p, const cJSON *o, const char *key) {
  const cJSON *m = ci_get(o, key);
  return cJSON_IsString(m) ? qv_arena_str(&p->arena, m->valuestring, strlen(m->valuestring)) : NULL;
}

static qv_status read_item(ci_plan *p, const cJSON *o, qv_err *err) {
  ci_item *i = &p->item[p->n_item];
  const cJSON *list = ci_get(o, "tags"), *t;
  const char *check = kept(p, o, "check"), *least = kept(p, o, "at_least");
  *i = (ci_item){.id = kept(p, o, "obligation"), .requirement = kept(p, o, "requirement"), .model = kept(p, o, "model"), .check = CI_CHECKS,
                 .has_at_least = least != NULL, .at_least = least != NULL ? strtod(least, NULL) : 0, .selected = cJSON_IsTrue(ci_get(o, "selected"))};
  for (unsigned k = 0; check != NULL && k < CI_CHECKS; k++)
    if (strcmp(check, ci_check_name((ci_check)k)) == 0) i->check = (ci_check)k;
  if (i->id == NULL || i->check == CI_CHECKS) return QV_FAIL(err, QV_E_PARSE, "not an obligation of a plan");
  if ((i->tag = QV_NEW(&p->arena, (size_t)cJSON_GetArraySize(list), const char *)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  cJSON_ArrayForEach(t, list)
    if (cJSON_IsString(t)) i->tag[i->n_tags++] = qv_arena_str(&p->arena, t->valuestring, strlen(t->valuestring));
  p->n_item++;
  return QV_OK;
}

static qv_status read_job(ci_plan *p, const cJSON *o, qv_err *err) {
  ci_job *j = &p->job[p->n_job];
  const cJSON *list = ci_get(o, "argv"), *t;
  const char *key = kept(p, o, "key"), *of = kept(p, o, "of");
  int64_t seconds, mb;
  qv_status st;
  *j = (ci_job){.part = kept(p, o, "part")};
  QV_TRY(qv_json_get_int(&seconds, o, "seconds", 1, INT64_MAX, "a job", err));
  QV_TRY(qv_json_get_int(&mb, o, "memory_mb", 1, INT64_MAX, "a job", err));
  j->seconds = (double)seconds;
  j->memory_mb = (uint64_t)mb;
  while (j->item < p->n_item && (of == NULL || strcmp(p->item[j->item].id, of) != 0)) j->item++;
  if (key == NULL || strlen(key) != 64 || strspn(key, "0123456789abcdef") != 64 || j->part == NULL || j->item == p->n_item || !cJSON_IsArray(list))
    return QV_FAIL(err, QV_E_PARSE, "not a job of a plan");
  memcpy(j->key, key, sizeof j->key);
  if ((j->argv = QV_NEW(&p->arena, (size_t)cJSON_GetArraySize(list) + 1, const char *)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  cJSON_ArrayForEach(t, list) {
    if (!cJSON_IsString(t)) return QV_FAIL(err, QV_E_PARSE, "not a job of a plan");
    j->argv[j->argc++] = qv_arena_str(&p->arena, t->valuestring, strlen(t->valuestring));
  }
  p->n_job++;
done:
  return st;
}

qv_status ci_plan_read(ci_plan *p, const char *path, qv_err *err) {
  qv_buf b = {0};
  cJSON *o = NULL;
  qv_status st;
  size_t lines = 0;
  int64_t number = 0;
  *p = (ci_plan){0};
  QV_TRY(qv_file_read(&b, path, (size_t)1 << 30, err));
  for (size_t i = 0; i < b.n; i++) lines += b.p[i] == '\n';
  p->item = QV_NEW(&p->arena, lines + 1, ci_item);
  p->job = QV_NEW(&p->arena, lines + 1, ci_job);
  if (p->item == NULL || p->job == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
    goto done;
  }
  for (const char *s = (const char *)b.p, *end = s + b.n, *nl; s < end; s = nl + 1) {
    number++;
    if ((nl = memchr(s, '\n', (size_t)(end - s))) == NULL) {
      st = QV_FAIL(err, QV_E_PARSE, "line %" PRId64 " is cut off", number);
      goto done;
    }
    QV_TRY(qv_json_parse(&o, s, (size_t)(nl - s), err));
    if (number == 1) {
      const char *format = kept(p, o, "format"), *hash = kept(p, o, "sha256");
      p->path = kept(p, o, "manifest");
      p->name = kept(p, o, "name");
      p->cache = kept(p, o, "cache");
      if (format == NULL || strcmp(format, "qverify-ci-plan/1") != 0 || p->path == NULL || hash == NULL || strlen(hash) != 64)
        st = QV_FAIL(err, QV_E_PARSE, "not a plan (qverify-ci-plan/1)");
      else memcpy(p->sha256, hash, sizeof p->sha256);
    } else st = ci_get(o, "obligation") != NULL ? read_item(p, o, err) : read_job(p, o, err);
    if (st != QV_OK) goto done;
    cJSON_Delete(o);
    o = NULL;
  }
  if (number == 0) st = QV_FAIL(err, QV_E_PARSE, "an empty plan");
done:
  if (st == QV_E_PARSE && err != NULL) err->line = number;
  cJSON_Delete(o);
  qv_buf_free(&b);
  return st;
}
