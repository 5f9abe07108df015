/* qverify bundle: the evidence of a run as a folder, or a zip archive, that stands on its own. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zip.h>

#include "cli/ci_doc.h"
#include "cli/qverify.h"

/* Runs in the folder, needs qverify-check and a shell. */
static const char CHECK[] =
    "#!/bin/sh\n"
    "# Checks every certificate of this folder with qverify-check alone (set CHECKER to its path). Exit 0 only if all are accepted.\n"
    "cd \"$(dirname \"$0\")\" || exit 2\n"
    "checker=${CHECKER:-qverify-check}\n"
    "sha256sum --quiet -c SHA256SUMS || exit 1\n"
    "ok=0 bad=0\n"
    "try() { if out=$(\"$checker\" \"$@\" </dev/null) && [ \"$(printf '%s\\n' \"$out\" | tail -n 1)\" = 's CHECKED' ]; then\n"
    "  ok=$((ok + 1)); echo \"$(printf '%s\\n' \"$out\" | grep '^c verdict\\|^c optimum\\|^c infeasible\\|^c front' | head -n 1 | cut -c3-): $2 $3\"\n"
    "  else bad=$((bad + 1)); echo \"REJECTED: $*\"; fi; }\n"
    "for c in evidence/*.qvc; do [ -e \"$c\" ] || continue; p=${c%.qvc}.qvp; [ -e \"$p\" ] || p=-; try \"${c%.qvc}.qir\" \"$p\" \"$c\"; done\n"
    "for d in evidence/*.evidence; do [ -d \"$d\" ] || continue; for c in \"$d\"/*.qvc; do [ -e \"$c\" ] && try \"$d/net.qir\" \"${c%.qvc}.qvp\" \"$c\"; done; done\n"
    "if [ -e COVERS ]; then while read -r line; do try $line; done <COVERS; fi\n"
    "for c in evidence/*.qva; do [ -e \"$c\" ] && try alloc \"${c%.qva}.qap\" \"$c\"; done\n"
    "echo \"$ok accepted, $bad rejected\"\n"
    "[ $bad -eq 0 ] && [ $ok -gt 0 ]\n";

typedef struct {
  const char *to;
  zip_t *zip;  /* or NULL: a folder */
  qv_buf sums; /* SHA256SUMS */
  qv_err *err;
} bundle;

#define EPOCH 315532800 /* 1980-01-01, the first moment that zip can name */

static qv_status folder(bundle *b, const char *name) {
  char path[4300];
  if (b->zip != NULL) return QV_OK;
  (void)snprintf(path, sizeof path, "%.4000s%s%.250s", b->to, name[0] != 0 ? "/" : "", name);
  if (mkdir(path, 0777) == 0 || errno == EEXIST) return QV_OK;
  return QV_FAIL(b->err, QV_E_INTERNAL, "%s: %s", path, strerror(errno));
}

/* The same bytes whenever and wherever: no times, no owners. */
static qv_status put_zip(bundle *b, const char *name, const void *data, size_t n) {
  void *copy = malloc(n + 1); /* libzip reads it when the archive is closed, and frees it */
  if (copy == NULL) return QV_FAIL(b->err, QV_E_NOMEM, "out of memory");
  memcpy(copy, data, n);
  zip_source_t *source = zip_source_buffer(b->zip, copy, n, 1);
  if (source == NULL) free(copy);
  zip_int64_t at = source != NULL ? zip_file_add(b->zip, name, source, ZIP_FL_ENC_UTF_8) : -1;
  if (source != NULL && at < 0) zip_source_free(source);
  const zip_uint32_t mode = strcmp(name, "CHECK") == 0 ? 0100755 : 0100644;
  if (at >= 0 && zip_set_file_compression(b->zip, (zip_uint64_t)at, ZIP_CM_DEFLATE, 6) == 0 && zip_file_set_mtime(b->zip, (zip_uint64_t)at, EPOCH, 0) == 0 &&
      zip_file_set_external_attributes(b->zip, (zip_uint64_t)at, 0, ZIP_OPSYS_UNIX, mode << 16) == 0)
    return QV_OK;
  return QV_FAIL(b->err, QV_E_INTERNAL, "%s: %s", b->to, zip_strerror(b->zip));
}

static qv_status write_out(bundle *b, const char *name, const void *data, size_t n) {
  char path[4400];
  if (b->zip != NULL) return put_zip(b, name, data, n);
  (void)snprintf(path, sizeof path, "%.4000s/%.350s", b->to, name);
  return qv_file_write(path, data, n, b->err);
}

static qv_status put(bundle *b, const char *name, const void *data, size_t n) {
  char hex[QV_SHA256_HEX];
  qv_sha256_hex(hex, data, n);
  qv_buf_printf(&b->sums, "%s  %s\n", hex, name);
  return write_out(b, name, data, n);
}

static qv_status copy(bundle *b, const char *from, const char *name) {
  qv_buf f = {0};
  qv_status st = qv_file_read(&f, from, (size_t)1 << 31, b->err);
  if (st == QV_OK) st = put(b, name, f.p, f.n);
  qv_buf_free(&f);
  return st;
}

static int by_name(const struct dirent **x, const struct dirent **y) { return strcmp((*x)->d_name, (*y)->d_name); }

/* Is it evidence? (A killed run may leave NAME.qvc.XXXXXX, which is not.) */
static bool known(const char *name) {
  static const char *const ext[] = {".qir", ".qvp", ".qvc", ".cover", ".npy", ".png", ".h", ".txt"};
  const char *dot = strrchr(name, '.');
  for (size_t i = 0; dot != NULL && i < sizeof ext / sizeof *ext; i++)
    if (strcmp(dot, ext[i]) == 0) return true;
  return false;
}

/* Files of folder DIR/NAME into evidence/NAME; nothing if there is no such folder. */
static qv_status copy_folder(bundle *b, const char *dir, const char *name) {
  char from[4300], to[300];
  struct dirent **list = NULL;
  qv_status st = QV_OK;
  (void)snprintf(from, sizeof from, "%.4000s/%.200s", dir, name);
  int n = scandir(from, &list, NULL, by_name);
  if (n < 0) return QV_OK;
  (void)snprintf(to, sizeof to, "evidence/%.200s", name);
  st = folder(b, to);
  for (int i = 0; i < n; i++) {
    char source[4700], target[600];
    struct stat s;
    (void)snprintf(source, sizeof source, "%s/%.255s", from, list[i]->d_name);
    (void)snprintf(target, sizeof target, "%s/%.255s", to, list[i]->d_name);
    if (st == QV_OK && known(list[i]->d_name) && stat(source, &s) == 0 && S_ISREG(s.st_mode)) st = copy(b, source, target);
    free(list[i]);
  }
  free(list);
  return st;
}

/* Whatever job `key` left in one of the result folders. */
static qv_status evidence(bundle *b, const char *dir, const char *key) {
  static const char *const ext[] = {".qvc", ".qvp", ".qir", ".qva", ".qap"};
  qv_status st = QV_OK;
  for (size_t i = 0; st == QV_OK && i < sizeof ext / sizeof *ext; i++) {
    char from[4300], name[200];
    struct stat s;
    (void)snprintf(from, sizeof from, "%.4000s/%s%s", dir, key, ext[i]);
    (void)snprintf(name, sizeof name, "evidence/%s%s", key, ext[i]);
    if (stat(from, &s) == 0) st = copy(b, from, name);
  }
  for (int i = 0; st == QV_OK && i < 2; i++) {
    char name[200];
    (void)snprintf(name, sizeof name, "%s%s", key, i == 0 ? ".evidence" : ".witness");
    st = copy_folder(b, dir, name);
  }
  return st;
}

/* Path of a file in a results folder as it is called here: evidence/KEY.evidence/NAME. */
static const char *here(const char *path) {
  const char *slash = strrchr(path, '/');
  while (slash != NULL && slash > path && slash[-1] != '/') slash--;
  return slash != NULL ? slash : path;
}

/* COVERS: the checker's arguments for every query that was proved in parts, one a line. */
static qv_status covers(bundle *b, ci_merged *m, const char *const *dir, uint32_t n_dir) {
  qv_buf t = {0};
  for (uint32_t k = 0; k < m->plan->n_item; k++) {
    const ci_outcome *o = &m->item[k];
    const cJSON *x;
    uint32_t j = 0, part, of;
    cJSON_ArrayForEach(x, o->queries) {
      if (!ci_is(x, "verdict", "VERIFIED")) continue;
      const char *const *v = NULL;
      for (j = 0; v == NULL && j < o->n_jobs; j++)
        if (ci_part(&m->plan->job[o->first_job + j], &part, &of) && part == 1) v = ci_cover(m, o->first_job + j, of, ci_word(x, "id"), dir, n_dir);
      for (size_t i = 0; v != NULL && v[i] != NULL; i++) qv_buf_printf(&t, "%s%s", i == 0 ? "" : " evidence/", i == 0 ? v[i] : here(v[i]));
      if (v != NULL) qv_buf_str(&t, "\n");
    }
  }
  qv_status st = t.failed ? QV_FAIL(b->err, QV_E_NOMEM, "out of memory") : t.n > 0 ? put(b, "COVERS", t.p, t.n) : QV_OK;
  qv_buf_free(&t);
  return st;
}

/* In the words of ISO/IEC 24029-2. */
static void summary(qv_buf *out, const ci_merged *m) {
  qv_buf_printf(out, "Evidence of %s\n\nVerdict: %s. %u of %u obligations hold, %u refuted, %u open, %u failed, %u missing. Run state %s.\n\n",
                m->plan->name != NULL ? m->plan->name : m->plan->path, m->exit_code == 0 ? "VERIFIED" : m->exit_code == 10 ? "FALSIFIED" : "UNKNOWN", m->verified,
                m->selected, m->falsified, m->unknown, m->error, m->missing, m->state);
  qv_buf_str(out,
             "Method (terms of ISO/IEC 24029-2)\n"
             "  approach: formal, glass-box: the network's own integers, lowered to exact arithmetic under a named runtime profile\n"
             "  domain: the input sets of the properties (evidence/*.qvp; without one, every value of the input types)\n"
             "  property classes: absence of accumulator overflow; stability of the classification in a neighbourhood; equivalence of two arithmetics\n"
             "  criterion: the property holds for every input of the domain (VERIFIED), or an executed input violates it (FALSIFIED)\n"
             "  completeness: sound; complete where a verdict is given; UNKNOWN makes no claim\n"
             "  determinism: deterministic with --steps; with time limits only the choice between a verdict and UNKNOWN depends on the clock\n"
             "  computer arithmetic: exact integers of 64 and 128 bits, rationals; floating point guides and never decides\n\n"
             "Check it: sh CHECK (needs qverify-check only). Numbers and hashes: report.json. For people: report.html.\n\nObligations\n");
  for (uint32_t k = 0; k < m->plan->n_item; k++) {
    const ci_item *i = &m->plan->item[k];
    if (!i->selected) continue;
    qv_buf_printf(out, "  %-10s %s (%s%s%s)%s%s: %s\n", ci_verdict_name(m->item[k].verdict), i->id, ci_check_name(i->check), i->model != NULL ? " of " : "", i->model != NULL ? i->model : "",
                  i->requirement != NULL ? " requirement " : "", i->requirement != NULL ? i->requirement : "", m->item[k].reason);
    for (uint32_t j = 0; j < m->item[k].n_jobs; j++) qv_buf_printf(out, "             %s %s\n", m->plan->job[m->item[k].first_job + j].key, m->plan->job[m->item[k].first_job + j].part);
  }
}

static qv_status fill(bundle *b, const ci_plan *p, ci_merged *m, const char *plan_path, const char *const *dir, uint32_t n_dir) {
  qv_status st;
  qv_buf t = {0};
  QV_TRY(folder(b, ""));
  QV_TRY(folder(b, "evidence"));
  QV_TRY(put(b, "CHECK", CHECK, sizeof CHECK - 1));
  QV_TRY(copy(b, plan_path, "plan.jsonl"));
  for (uint32_t d = 0; d < n_dir; d++)
    for (uint32_t k = 0; k < p->n_job; k++) QV_TRY(evidence(b, dir[d], p->job[k].key));
  summary(&t, m);
  QV_TRY(put(b, "SUMMARY.txt", t.p, t.n));
  t.n = 0;
  QV_TRY(ci_html(&t, m, dir, n_dir, b->err));
  QV_TRY(put(b, "report.html", t.p, t.n));
  t.n = 0;
  QV_TRY(ci_json(&t, m, b->err));
  QV_TRY(put(b, "report.json", t.p, t.n));
  QV_TRY(covers(b, m, dir, n_dir));
  st = t.failed || b->sums.failed ? QV_FAIL(b->err, QV_E_NOMEM, "out of memory") : write_out(b, "SHA256SUMS", b->sums.p, b->sums.n);
done:
  qv_buf_free(&t);
  return st;
}

/* What was measured with a clock, or depends on what ran before, is no evidence, and no run has it twice. */
static void without_times(ci_merged *m) {
  for (uint32_t k = 0; k < m->plan->n_item; k++) {
    m->item[k].seconds = 0;
    m->item[k].max_rss_kb = 0;
    m->item[k].cached = 0;
  }
}

static bool is_zip(const char *path) {
  size_t n = strlen(path);
  return n > 4 && strcmp(path + n - 4, ".zip") == 0;
}

static qv_status make(bundle *b, const ci_plan *p, ci_merged *m, const char *plan_path, const char *const *dir, uint32_t n_dir) {
  int code = 0;
  if (is_zip(b->to) && (b->zip = zip_open(b->to, ZIP_CREATE | ZIP_EXCL, &code)) == NULL) return QV_FAIL(b->err, QV_E_INTERNAL, "%s: cannot be made (libzip %d)", b->to, code);
  qv_status st = fill(b, p, m, plan_path, dir, n_dir);
  if (b->zip == NULL) return st;
  if (st != QV_OK) zip_discard(b->zip);
  else if (zip_close(b->zip) != 0) { /* whole or not at all: libzip renames */
    st = QV_FAIL(b->err, QV_E_INTERNAL, "%s: %s", b->to, zip_strerror(b->zip));
    zip_discard(b->zip);
  }
  return st;
}

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  static const char *const dflt = ".qverify-ci";
  const cli_val *dirs = cli_all(cmd, val, "results");
  const char *const *dir = dirs->n > 0 ? dirs->v : &dflt;
  uint32_t n_dir = dirs->n > 0 ? dirs->n : 1;
  ci_plan p = {0};
  ci_merged m = {0};
  qv_err err = {0};
  bundle b = {.to = cli_get(cmd, val, "output"), .err = &err};
  struct stat s;
  if (b.to == NULL) return cli_usage(cmd, "bundle needs --output DIR or FILE.zip");
  if (stat(b.to, &s) == 0) return cli_usage(cmd, "%.200s exists already: a bundle is made whole, in a new place", b.to);
  qv_status st = ci_plan_read(&p, operand[0], &err);
  int rc = st == QV_OK ? 0 : cli_fail(st, operand[0], &err);
  if (rc == 0 && (st = ci_merge(&m, &p, dir, n_dir, &err)) == QV_OK) {
    without_times(&m);
    st = make(&b, &p, &m, operand[0], dir, n_dir);
  }
  if (rc == 0 && st != QV_OK) rc = cli_fail(st, b.to, &err);
  if (rc == 0) rc = m.exit_code;
  qv_buf_free(&b.sums);
  if (m.plan != NULL) ci_merged_clear(&m);
  ci_plan_clear(&p);
  return rc;
}

static const cli_opt opts[] = {
    {"results", 'r', "DIR", true, "results of a worker (repeatable; default .qverify-ci)"},
    {"output", 'o', "DIR", false, "new folder that the evidence goes into, or a new FILE.zip"},
    {.name = NULL},
};

const cli_cmd cli_bundle = {
    .name = "bundle",
    .operands = "PLAN",
    .n_operands = 1,
    .summary = "collect the evidence of a run for an auditor: one folder or zip archive that stands on its own",
    .detail = "Plan, canonical nets, properties, certificates, counterexamples, reports, a summary in the terms of ISO/IEC 24029-2, SHA-256 sums of all of it, and a script CHECK that needs "
              "qverify-check and nothing else. The same inputs give the same bytes: times are left out. The exit code is that of the run.",
    .example = "qverify bundle plan.jsonl --results D -o evidence && sh evidence/CHECK",
    .opt = opts,
    .run = run,
};
