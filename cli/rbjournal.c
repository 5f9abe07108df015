/* Journal of finished questions: one line each, written with one write(2) and synced. A killed run loses none of them, and a later one
 * takes them up. What it claims is checked again, so that an edited journal proves nothing: counterexamples are replayed, proofs lie as
 * certificates in FILE.d and go through the checker. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/robust.h"

#define HEAD "qverify-journal 1 "

typedef struct {
  char key[QV_SHA256_HEX];
  const char *line; /* the fields after the key, NUL-terminated, in text */
} entry;

struct rb_journal {
  char *path;
  int fd;
  bool lazy; /* the system decides when lines reach the disk */
  qv_buf text;
  entry *e; /* [n] sorted by key */
  size_t n;
  pthread_mutex_t lock;
};

static qv_status refuse(const rb_journal *j, size_t line, const char *why, qv_err *err) {
  return QV_FAIL(err, QV_E_PARSE, "%s: line %zu: %s", j->path, line, why);
}

static int by_key(const void *a, const void *b) { return strcmp(((const entry *)a)->key, ((const entry *)b)->key); }

/* "KEY<tab>FIELDS<tab>SUM": SUM = SHA-256 of what stands before it. */
static bool split(entry *e, char *line) {
  char sum[QV_SHA256_HEX];
  size_t n = strlen(line);
  if (n < 64 + 1 + 1 + 64 || line[64] != '\t' || line[n - 65] != '\t') return false;
  qv_sha256_hex(sum, line, n - 65);
  if (strcmp(sum, line + n - 64) != 0) return false;
  line[n - 65] = 0;
  line[64] = 0;
  memcpy(e->key, line, QV_SHA256_HEX);
  e->line = line + 65;
  return true;
}

static qv_status load(rb_journal *j, const char *net_sha256, qv_err *err) {
  size_t lines = 0, line = 1;
  char *p = (char *)j->text.p, *end = p + j->text.n;
  for (size_t i = 0; i < j->text.n; i++) lines += p[i] == '\n';
  if (memchr(p, 0, j->text.n) != NULL) return refuse(j, 1, "not a journal", err);
  if (strncmp(p, HEAD, sizeof HEAD - 1) != 0) return refuse(j, 1, "not a journal", err);
  char *nl = strchr(p, '\n');
  if ((size_t)(nl - p) != sizeof HEAD - 1 + 64 || strncmp(p + sizeof HEAD - 1, net_sha256, 64) != 0) return refuse(j, 1, "a journal about another net", err);
  if ((j->e = calloc(lines, sizeof *j->e)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  for (p = nl + 1; p < end; p = nl + 1) {
    line++;
    nl = strchr(p, '\n');
    *nl = 0;
    if (!split(&j->e[j->n++], p)) return refuse(j, line, "damaged or changed", err);
  }
  qsort(j->e, j->n, sizeof *j->e, by_key);
  return QV_OK;
}

static qv_status put(int fd, const void *data, size_t n, bool lazy) {
  const char *p = data;
  while (n > 0) {
    ssize_t k = write(fd, p, n);
    if (k < 0 && errno == EINTR) continue;
    if (k <= 0) return QV_E_INTERNAL;
    p += k;
    n -= (size_t)k;
  }
  return lazy || fdatasync(fd) == 0 ? QV_OK : QV_E_INTERNAL;
}

qv_status rb_journal_open(rb_journal **out, const char *path, bool lazy, const char *net_sha256, qv_err *err) {
  qv_status st = QV_OK;
  rb_journal *j = calloc(1, sizeof *j);
  if (j == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  j->fd = -1;
  j->lazy = lazy;
  (void)pthread_mutex_init(&j->lock, NULL);
  if ((j->path = strdup(path)) == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
    goto done;
  }
  if ((j->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666)) < 0) {
    st = QV_FAIL(err, QV_E_INTERNAL, "%s: %s", path, strerror(errno));
    goto done;
  }
  struct flock only = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  if (fcntl(j->fd, F_SETLK, &only) != 0) {
    st = QV_FAIL(err, QV_E_INTERNAL, "%s is in use by another run", path);
    goto done;
  }
  QV_TRY(qv_file_read(&j->text, path, (size_t)1 << 31, err));
  size_t whole = j->text.n; /* a line without its end was being written when the run was killed */
  while (whole > 0 && j->text.p[whole - 1] != '\n') whole--;
  if (whole < j->text.n && ftruncate(j->fd, (off_t)whole) != 0) {
    st = QV_FAIL(err, QV_E_INTERNAL, "%s: %s", path, strerror(errno));
    goto done;
  }
  j->text.n = whole;
  if (whole > 0) j->text.p[whole] = 0;
  if (whole == 0) {
    char head[128];
    int n = snprintf(head, sizeof head, HEAD "%s\n", net_sha256);
    if (put(j->fd, head, (size_t)n, lazy) != QV_OK) st = QV_FAIL(err, QV_E_INTERNAL, "%s: %s", path, strerror(errno));
  } else st = load(j, net_sha256, err);
  if (st == QV_OK) {
    qv_buf d = {0};
    qv_buf_printf(&d, "%s.d", path);
    if (d.failed || (mkdir((const char *)d.p, 0777) != 0 && errno != EEXIST)) st = QV_FAIL(err, QV_E_INTERNAL, "%s.d: %s", path, strerror(errno));
    qv_buf_free(&d);
  }
  if (st == QV_OK) {
    *out = j;
    j = NULL;
  }
done:
  rb_journal_close(j);
  return st;
}

void rb_journal_close(rb_journal *j) {
  if (j == NULL) return;
  if (j->fd >= 0) (void)close(j->fd);
  (void)pthread_mutex_destroy(&j->lock);
  free(j->path);
  free(j->e);
  qv_buf_free(&j->text);
  free(j);
}

/* ---- one line: verdict, engine, nodes, seconds, margin, rounding, kinks, certificate's hash or "-", input or "-", reason, second engine ------------------ */

static bool field(char **at, char *end, char **f) {
  char *tab = *at < end ? memchr(*at, '\t', (size_t)(end - *at)) : NULL;
  if (*at > end) return false;
  *f = *at;
  if (tab != NULL) *tab = 0;
  *at = tab != NULL ? tab + 1 : end + 1;
  return true;
}

/* "1,2,3;4": elements of the first input, of the second, .. */
static bool read_input(rb_answer *a, const char *s, const qv_net *net) {
  if ((a->input = QV_NEW(&a->arena, net->n_in, int64_t *)) == NULL) return false;
  for (uint32_t i = 0; i < net->n_in; i++) {
    size_t n = qv_elems(&net->tensor[net->in[i].tensor]);
    if ((a->input[i] = QV_NEW(&a->arena, n, int64_t)) == NULL) return false;
    for (size_t e = 0; e < n; e++) {
      char *end;
      errno = 0;
      a->input[i][e] = strtoll(s, &end, 10);
      char want = e + 1 < n ? ',' : i + 1 < net->n_in ? ';' : 0;
      if (end == s || errno != 0 || *end != want) return false;
      s = end + (want != 0);
    }
  }
  return true;
}

qv_status rb_journal_find(bool *found, rb_answer *a, qv_buf *cert, rb_journal *j, const char *key, const qv_net *net, qv_err *err) {
  static const char changed[] = "does not say what a run would have written: it was changed";
  entry want = {.line = NULL};
  memcpy(want.key, key, QV_SHA256_HEX);
  const entry *e = j->n > 0 ? bsearch(&want, j->e, j->n, sizeof *j->e, by_key) : NULL;
  *found = e != NULL;
  if (e == NULL) return QV_OK;
  char *copy = qv_arena_str(&a->arena, e->line, strlen(e->line)), *f[11];
  if (copy == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  char *at = copy, *end = copy + strlen(copy);
  for (int i = 0; i < 11; i++)
    if (!field(&at, end, &f[i])) return QV_FAIL(err, QV_E_PARSE, "%s: question %.16s.. %s", j->path, key, changed);
  a->verdict = strcmp(f[0], "VERIFIED") == 0 ? QV_VERIFIED : strcmp(f[0], "FALSIFIED") == 0 ? QV_FALSIFIED : QV_UNKNOWN;
  a->engine = f[1];
  a->nodes = (uint32_t)strtoul(f[2], NULL, 10);
  a->seconds = strtod(f[3], NULL);
  a->margin = strtod(f[4], NULL);
  a->rounding = strtod(f[5], NULL);
  a->kinks = strtod(f[6], NULL);
  a->reason = f[9][0] != 0 ? f[9] : NULL;
  a->second = f[10][0] != 0 ? f[10] : NULL;
  if (a->verdict == QV_FALSIFIED && !read_input(a, f[8], net)) return QV_FAIL(err, QV_E_PARSE, "%s: question %.16s.. %s", j->path, key, changed);
  if (strcmp(f[7], "-") == 0) return QV_OK; /* no certificate: a proof without one is none */
  const char *path = qv_arena_printf(&a->arena, "%s.d/%s.qvc", j->path, key);
  char sha[QV_SHA256_HEX];
  qv_err why = {0};
  if (path == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  if (qv_file_read(cert, path, (size_t)1 << 31, &why) != QV_OK) return QV_FAIL(err, QV_E_PARSE, "%s: the certificate of a finished question is missing", path);
  qv_sha256_hex(sha, cert->p, cert->n);
  return strcmp(sha, f[7]) == 0 ? QV_OK : QV_FAIL(err, QV_E_PARSE, "%s: not the certificate that the journal names: it was changed", path);
}

/* One more name for the certificate that was kept. False: this file system has no such names. */
static bool again(const char *path, const char *kept) {
  (void)unlink(path);
  return link(kept, path) == 0;
}

qv_status rb_journal_add(rb_journal *j, const char *key, const rb_answer *a, const qv_buf *cert, const qv_net *net, qv_err *err) {
  qv_buf b = {0};
  char sum[QV_SHA256_HEX];
  qv_status st = QV_OK;
  if (cert->n > 0) { /* the evidence first: a line in the journal can rely on it */
    qv_buf path = {0};
    qv_buf_printf(&path, "%s.d/%s.qvc", j->path, key);
    if (path.failed) st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
    else if (a->cert_path == NULL || !again((const char *)path.p, a->cert_path)) st = cli_emit((const char *)path.p, cert, err);
    qv_buf_free(&path);
    if (st != QV_OK) return st;
  }
  qv_buf_printf(&b, "%s\t%s\t%s\t%" PRIu32 "\t%.6f\t%.17g\t%.17g\t%.17g\t%s\t", key, qv_verdict_name(a->verdict), a->engine, a->nodes, a->seconds, a->margin,
                a->rounding, a->kinks, cert->n > 0 ? a->cert_sha256 : "-");
  if (a->verdict != QV_FALSIFIED) qv_buf_str(&b, "-");
  else
    for (uint32_t i = 0; i < net->n_in; i++) {
      size_t n = qv_elems(&net->tensor[net->in[i].tensor]);
      for (size_t e = 0; e < n; e++) {
        if (i + e > 0) qv_buf_str(&b, e == 0 ? ";" : ",");
        qv_buf_i64(&b, a->input[i][e]);
      }
    }
  qv_buf_printf(&b, "\t%s\t%s", a->reason != NULL && a->verdict == QV_UNKNOWN ? a->reason : "", a->second != NULL ? a->second : "");
  if (!b.failed) {
    qv_sha256_hex(sum, b.p, b.n);
    qv_buf_printf(&b, "\t%s\n", sum);
  }
  if (b.failed) st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
  else {
    (void)pthread_mutex_lock(&j->lock);
    if (put(j->fd, b.p, b.n, j->lazy) != QV_OK) st = QV_FAIL(err, QV_E_INTERNAL, "%s: %s", j->path, strerror(errno));
    (void)pthread_mutex_unlock(&j->lock);
  }
  qv_buf_free(&b);
  return st;
}
