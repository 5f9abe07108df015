#include "cli/ci_cache.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/ci_doc.h"

#define BUSY_MS 10000 /* how long to wait for another worker's write */
#define VERSION 1     /* PRAGMA user_version; another number is another format */

struct ci_cache {
  sqlite3 *db;
  ci_cache_mode mode;
  uint64_t limit; /* bytes */
  char path[4200];
  bool wrote;
};

static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS job(key TEXT PRIMARY KEY, seal TEXT NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS file(key TEXT NOT NULL, name TEXT NOT NULL, blob TEXT NOT NULL, PRIMARY KEY(key, name)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS blob(sha256 TEXT PRIMARY KEY, bytes INTEGER NOT NULL, data BLOB NOT NULL);"
    "CREATE INDEX IF NOT EXISTS file_blob ON file(blob);"
    "PRAGMA user_version = 1;"
    "COMMIT;";

/* What a job leaves: files KEY.ext, and files of folders KEY.ext. The result is a file as well. */
static const char *const file_ext[] = {".json", ".qvc", ".qvp", ".qir", ".qva", ".qap", ".journal"};
static const char *const dir_ext[] = {".evidence", ".witness", ".journal.d"};
enum { N_FILE = sizeof file_ext / sizeof *file_ext, N_DIR = sizeof dir_ext / sizeof *dir_ext };

bool ci_cache_mode_read(ci_cache_mode *m, const char *word) {
  static const char *const name[] = {"off", "read", "read-write", "verify"};
  for (unsigned i = 0; i < 4; i++)
    if (strcmp(word, name[i]) == 0) {
      *m = (ci_cache_mode)i;
      return true;
    }
  return false;
}

ci_cache_mode ci_cache_mode_of(const ci_cache *c) { return c != NULL ? c->mode : CI_CACHE_OFF; }

static void complain(const ci_cache *c, const char *what) {
  (void)fprintf(stderr, "qverify: cache: %s: %s: %s\n", c->path, what, c->db != NULL ? sqlite3_errmsg(c->db) : "no database");
}

/* From now on there is no cache. */
static void give_up(ci_cache *c, const char *what) {
  complain(c, what);
  (void)fprintf(stderr, "qverify: cache: IGNORED from here on\n");
  c->mode = CI_CACHE_OFF;
}

static bool run(ci_cache *c, const char *sql) { return sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK; }

static sqlite3_stmt *ask(ci_cache *c, const char *sql, const char *a, const char *b) {
  sqlite3_stmt *s = NULL;
  if (sqlite3_prepare_v2(c->db, sql, -1, &s, NULL) != SQLITE_OK) return NULL;
  if ((a != NULL && sqlite3_bind_text(s, 1, a, -1, SQLITE_TRANSIENT) != SQLITE_OK) || (b != NULL && sqlite3_bind_text(s, 2, b, -1, SQLITE_TRANSIENT) != SQLITE_OK)) {
    (void)sqlite3_finalize(s);
    return NULL;
  }
  return s;
}

/* A statement without rows. */
static bool tell(ci_cache *c, const char *sql, const char *a, const char *b) {
  sqlite3_stmt *s = ask(c, sql, a, b);
  bool ok = s != NULL && sqlite3_step(s) == SQLITE_DONE;
  (void)sqlite3_finalize(s);
  return ok;
}

/* ---- the file ------------------------------------------------------------------------------------------------------------------------------ */

static bool default_path(char out[4200]) {
  const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  char dir[4100];
  if (xdg != NULL && xdg[0] == '/') (void)snprintf(dir, sizeof dir, "%.4000s", xdg);
  else if (home != NULL && home[0] == '/') (void)snprintf(dir, sizeof dir, "%.4000s/.cache", home);
  else return false;
  (void)mkdir(dir, 0700);
  (void)snprintf(out, 4200, "%.4050s/qverify", dir);
  if (mkdir(out, 0700) != 0 && errno != EEXIST) return false;
  size_t n = strlen(out);
  (void)snprintf(out + n, 4200 - n, "/ci.sqlite");
  return true;
}

static int version(ci_cache *c) {
  sqlite3_stmt *s = ask(c, "PRAGMA user_version", NULL, NULL);
  int v = s != NULL && sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int(s, 0) : -1;
  (void)sqlite3_finalize(s); /* (leaves the statement's error code, if it failed) */
  return v;
}

/* Another program's database, or a newer one, is not touched. */
static bool right_version(ci_cache *c) {
  int v = version(c);
  if (v == VERSION) return true;
  if (v != 0) return false;
  sqlite3_stmt *s = ask(c, "SELECT 1 FROM sqlite_master", NULL, NULL);
  int rc = s != NULL ? sqlite3_step(s) : SQLITE_ERROR;
  (void)sqlite3_finalize(s);
  return rc == SQLITE_DONE || (rc == SQLITE_ROW && version(c) == VERSION); /* or another worker has made it between the two looks */
}

/* The tables, all or none: nobody sees half a cache. */
static bool made(ci_cache *c) {
  if (run(c, schema)) return true;
  if (sqlite3_get_autocommit(c->db) == 0) (void)run(c, "ROLLBACK");
  return false;
}

static bool prepared(ci_cache *c) {
  return right_version(c) && (c->mode == CI_CACHE_READ || (run(c, "PRAGMA journal_mode = WAL") && run(c, "PRAGMA synchronous = NORMAL") && made(c)));
}

ci_cache *ci_cache_open(ci_cache_mode mode, const char *path, uint64_t limit_mb) {
  if (mode == CI_CACHE_OFF) return NULL;
  ci_cache *c = calloc(1, sizeof *c);
  if (c == NULL) return NULL;
  c->mode = mode;
  c->limit = limit_mb << 20;
  if (path != NULL) (void)snprintf(c->path, sizeof c->path, "%.4100s", path);
  else if (!default_path(c->path)) (void)snprintf(c->path, sizeof c->path, "(neither XDG_CACHE_HOME nor HOME names a folder)");
  int flags = mode == CI_CACHE_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  if (mode == CI_CACHE_READ && access(c->path, F_OK) != 0) { /* nothing is cached yet */
    free(c);
    return NULL;
  }
  bool ok = sqlite3_open_v2(c->path, &c->db, flags, NULL) == SQLITE_OK && sqlite3_busy_timeout(c->db, BUSY_MS) == SQLITE_OK;
  (void)(ok && sqlite3_extended_result_codes(c->db, 1));
  if (ok) {
    /* a database that is just being made by another worker is busy in ways that the timeout does not cover */
    const struct timespec pause = {0, 20000000};
    for (int tries = BUSY_MS / 20; !(ok = prepared(c)) && (sqlite3_errcode(c->db) & 255) == SQLITE_BUSY && tries > 0; tries--) (void)nanosleep(&pause, NULL);
  }
  if (!ok) give_up(c, "not a cache that can be used");
  return c;
}

/* ---- rows ----------------------------------------------------------------------------------------------------------------------------------- */

/* Over the key and every file's name and hash, in order. */
static void seal_add(qv_buf *b, const char *name, const char *sha256) { qv_buf_printf(b, "%s %s\n", sha256, name); }

/* May a row name this file? KEY.ext or KEY.ext/NAME, NAME without slash and not hidden. */
static bool good_name(const char *name) {
  for (size_t i = 0; i < N_FILE; i++)
    if (strcmp(name, file_ext[i]) == 0) return true;
  for (size_t i = 0; i < N_DIR; i++) {
    size_t n = strlen(dir_ext[i]);
    if (strncmp(name, dir_ext[i], n) == 0 && name[n] == '/' && name[n + 1] != '.' && name[n + 1] != 0 && strchr(name + n + 1, '/') == NULL) return true;
  }
  return false;
}

/* Paths in a result that lie in the results folder are kept without it: strings that begin with FROM get TO in its place. */
static bool move_paths(cJSON *v, const char *from, const char *to) {
  size_t n = strlen(from);
  for (cJSON *x = v != NULL ? v->child : NULL; x != NULL; x = x->next) {
    if (!move_paths(x, from, to)) return false;
    if (!cJSON_IsString(x) || strncmp(x->valuestring, from, n) != 0) continue;
    qv_buf b = {0};
    qv_buf_printf(&b, "%s%s", to, x->valuestring + n);
    bool ok = !b.failed && cJSON_SetValuestring(x, (const char *)b.p) != NULL;
    qv_buf_free(&b);
    if (!ok) return false;
  }
  return true;
}

static bool moved(qv_buf *b, const char *from, const char *to) {
  cJSON *doc = NULL;
  qv_buf out = {0};
  bool ok = qv_json_parse(&doc, (const char *)b->p, b->n, NULL) == QV_OK && move_paths(doc, from, to) && qv_json_print(&out, doc, true, NULL) == QV_OK;
  cJSON_Delete(doc);
  qv_buf_free(b);
  *b = out;
  return ok;
}

static bool put_file(ci_cache *c, const char *key, const char *name, qv_buf *data, qv_buf *seal) {
  char hex[QV_SHA256_HEX];
  qv_sha256_hex(hex, data->p, data->n);
  seal_add(seal, name, hex);
  sqlite3_stmt *s = ask(c, "INSERT OR IGNORE INTO blob(sha256, bytes, data) VALUES(?1, length(?2), ?2)", hex, NULL);
  bool ok = s != NULL && sqlite3_bind_blob64(s, 2, data->p != NULL ? (const void *)data->p : "", data->n, SQLITE_STATIC) == SQLITE_OK && sqlite3_step(s) == SQLITE_DONE;
  (void)sqlite3_finalize(s);
  s = ok ? ask(c, "INSERT INTO file(key, name, blob) VALUES(?1, ?2, ?3)", key, name) : NULL;
  ok = s != NULL && sqlite3_bind_text(s, 3, hex, -1, SQLITE_TRANSIENT) == SQLITE_OK && sqlite3_step(s) == SQLITE_DONE;
  (void)sqlite3_finalize(s);
  return ok;
}

static bool put_path(ci_cache *c, const ci_job *j, const char *dir, const char *name, qv_buf *seal) {
  char path[5000], from[4200];
  qv_buf b = {0};
  (void)snprintf(path, sizeof path, "%.4000s/%s%.500s", dir, j->key, name);
  (void)snprintf(from, sizeof from, "%.4000s/%s", dir, j->key);
  bool ok = qv_file_read(&b, path, (size_t)1 << 30, NULL) == QV_OK && (strcmp(name, ".json") != 0 || moved(&b, from, "@results/")) && put_file(c, j->key, name, &b, seal);
  qv_buf_free(&b);
  return ok;
}

static int by_name(const struct dirent **x, const struct dirent **y) { return strcmp((*x)->d_name, (*y)->d_name); }

static bool put_all(ci_cache *c, const ci_job *j, const char *dir, qv_buf *seal) {
  bool ok = true;
  for (size_t i = 0; ok && i < N_FILE; i++) {
    char path[4200];
    (void)snprintf(path, sizeof path, "%.4000s/%s%s", dir, j->key, file_ext[i]);
    if (access(path, F_OK) == 0) ok = put_path(c, j, dir, file_ext[i], seal);
  }
  for (size_t i = 0; ok && i < N_DIR; i++) {
    char path[4200];
    struct dirent **list = NULL;
    (void)snprintf(path, sizeof path, "%.4000s/%s%s", dir, j->key, dir_ext[i]);
    int n = scandir(path, &list, NULL, by_name);
    for (int k = 0; k < n; k++) {
      char name[400];
      (void)snprintf(name, sizeof name, "%s/%.255s", dir_ext[i], list[k]->d_name);
      if (ok && list[k]->d_name[0] != '.') ok = put_path(c, j, dir, name, seal);
      free(list[k]);
    }
    free(list);
  }
  return ok;
}

static bool drop(ci_cache *c, const char *key) { return tell(c, "DELETE FROM file WHERE key = ?1", key, NULL) && tell(c, "DELETE FROM job WHERE key = ?1", key, NULL); }

static void stamp(char out[32]) { (void)snprintf(out, 32, "%" PRId64, (int64_t)time(NULL)); }

void ci_cache_put(ci_cache *c, const ci_job *j, const char *dir) {
  if (ci_cache_mode_of(c) != CI_CACHE_READ_WRITE && ci_cache_mode_of(c) != CI_CACHE_VERIFY) return;
  qv_buf seal = {0};
  char hex[QV_SHA256_HEX], now[32];
  stamp(now);
  qv_buf_printf(&seal, "qverify-ci-cache/1 %s\n", j->key);
  bool begun = run(c, "BEGIN IMMEDIATE"), ok = begun && drop(c, j->key) && put_all(c, j, dir, &seal) && !seal.failed;
  if (ok) {
    qv_sha256_hex(hex, seal.p, seal.n);
    sqlite3_stmt *s = ask(c, "INSERT INTO job(key, seal, used) VALUES(?1, ?2, ?3)", j->key, hex);
    ok = s != NULL && sqlite3_bind_text(s, 3, now, -1, SQLITE_TRANSIENT) == SQLITE_OK && sqlite3_step(s) == SQLITE_DONE;
    (void)sqlite3_finalize(s);
  }
  ok = ok && run(c, "COMMIT");
  if (!ok) {
    complain(c, "a result was not stored");
    if (begun) (void)run(c, "ROLLBACK");
  }
  c->wrote = c->wrote || ok;
  qv_buf_free(&seal);
}

void ci_cache_forget(ci_cache *c, const char *key) {
  if (ci_cache_mode_of(c) == CI_CACHE_OFF || c->mode == CI_CACHE_READ) return;
  if (!run(c, "BEGIN IMMEDIATE") || !drop(c, key) || !run(c, "COMMIT")) {
    complain(c, "a row was not removed");
    (void)run(c, "ROLLBACK");
  }
}

/* ---- reading ---------------------------------------------------------------------------------------------------------------------------------- */

typedef struct {
  char name[400];
  qv_buf data;
} entry;

/* All files of a row, hashes and seal right. False: it is not there (*there false), or damaged. */
static bool fetch(ci_cache *c, const char *key, entry **out, size_t *n, bool *there) {
  qv_buf seal = {0};
  char hex[QV_SHA256_HEX], want[QV_SHA256_HEX] = "";
  size_t cap = 0;
  int rc = SQLITE_ERROR;
  bool ok;
  *there = false;
  sqlite3_stmt *s = ask(c, "SELECT seal FROM job WHERE key = ?1", key, NULL);
  if (s == NULL || ((rc = sqlite3_step(s)) != SQLITE_ROW && rc != SQLITE_DONE)) {
    (void)sqlite3_finalize(s);
    give_up(c, "cannot be read");
    return false;
  }
  const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
  *there = rc == SQLITE_ROW;
  if (text != NULL) (void)snprintf(want, sizeof want, "%s", text);
  (void)sqlite3_finalize(s);
  if (!*there) return false;
  qv_buf_printf(&seal, "qverify-ci-cache/1 %s\n", key);
  s = ask(c, "SELECT f.name, b.data FROM file f JOIN blob b ON b.sha256 = f.blob WHERE f.key = ?1 ORDER BY f.name", key, NULL);
  for (ok = s != NULL; ok && (rc = sqlite3_step(s)) == SQLITE_ROW;) {
    if (*n == cap) {
      entry *more = realloc(*out, (cap = cap == 0 ? 16 : 2 * cap) * sizeof *more);
      if (more == NULL) {
        ok = false;
        break;
      }
      *out = more;
    }
    const char *name = (const char *)sqlite3_column_text(s, 0);
    ok = name != NULL && good_name(name);
    if (!ok) break;
    entry *e = &(*out)[(*n)++];
    *e = (entry){0};
    (void)snprintf(e->name, sizeof e->name, "%s", name);
    qv_buf_put(&e->data, sqlite3_column_blob(s, 1), (size_t)sqlite3_column_bytes(s, 1));
    ok = !e->data.failed;
  }
  ok = ok && rc == SQLITE_DONE;
  (void)sqlite3_finalize(s);
  for (size_t i = 0; ok && i < N_FILE; i++)
    for (size_t k = 0; k < *n; k++)
      if (strcmp((*out)[k].name, file_ext[i]) == 0) {
        qv_sha256_hex(hex, (*out)[k].data.p, (*out)[k].data.n);
        seal_add(&seal, (*out)[k].name, hex);
      }
  for (size_t i = 0; ok && i < N_DIR; i++)
    for (size_t k = 0; k < *n; k++) { /* both orders are those of put_all */
      size_t len = strlen(dir_ext[i]);
      if (strncmp((*out)[k].name, dir_ext[i], len) != 0 || (*out)[k].name[len] != '/') continue;
      qv_sha256_hex(hex, (*out)[k].data.p, (*out)[k].data.n);
      seal_add(&seal, (*out)[k].name, hex);
    }
  if (ok && !seal.failed) qv_sha256_hex(hex, seal.p, seal.n);
  ok = ok && !seal.failed && strcmp(hex, want) == 0;
  qv_buf_free(&seal);
  return ok;
}

static bool extract(const ci_job *j, const char *dir, entry *e, const char *as) {
  char path[5000], to[4200];
  bool result = strcmp(e->name, ".json") == 0;
  (void)snprintf(to, sizeof to, "%.4000s/%s", dir, j->key);
  (void)snprintf(path, sizeof path, "%s%s", to, result ? as : e->name);
  char *slash = strchr(e->name, '/');
  if (slash != NULL) {
    char folder[4700];
    (void)snprintf(folder, sizeof folder, "%s%.*s", to, (int)(slash - e->name), e->name);
    if (mkdir(folder, 0777) != 0 && errno != EEXIST) return false;
  }
  return (!result || moved(&e->data, "@results/", to)) && qv_file_write(path, e->data.p, e->data.n, NULL) == QV_OK;
}

bool ci_cache_get(ci_cache *c, const ci_job *j, const char *dir, const char *as) {
  entry *e = NULL;
  size_t n = 0;
  bool there, result = strcmp(as, ".json") == 0, ok;
  if (ci_cache_mode_of(c) == CI_CACHE_OFF) return false;
  ok = fetch(c, j->key, &e, &n, &there);
  if (!ok && there) {
    (void)fprintf(stderr, "qverify: cache: DAMAGED: job %.16s.. is not what was stored; it is run again\n", j->key);
    ci_cache_forget(c, j->key);
  }
  const entry *last = NULL;
  for (size_t i = 0; ok && i < n; i++) {
    bool journal = strncmp(e[i].name, ".journal", 8) == 0;
    if (strcmp(e[i].name, ".json") == 0) last = &e[i];
    else if (!result || !journal) ok = extract(j, dir, &e[i], as); /* a journal serves only to check again */
  }
  ok = ok && last != NULL && extract(j, dir, &e[last - e], as);
  if (ok && c->mode != CI_CACHE_READ) {
    char now[32];
    stamp(now);
    (void)tell(c, "UPDATE job SET used = ?2 WHERE key = ?1", j->key, now);
  }
  for (size_t i = 0; i < n; i++) qv_buf_free(&e[i].data);
  free(e);
  return ok;
}

/* ---- size ----------------------------------------------------------------------------------------------------------------------------------------- */

static uint64_t number(ci_cache *c, const char *sql) {
  sqlite3_stmt *s = ask(c, sql, NULL, NULL);
  sqlite3_int64 v = s != NULL && sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
  (void)sqlite3_finalize(s);
  return v > 0 ? (uint64_t)v : 0;
}

/* Least recently used rows go, then the contents that no row names. */
static void prune(ci_cache *c) {
  static const char orphans[] = "DELETE FROM blob WHERE sha256 NOT IN (SELECT blob FROM file)";
  bool ok = run(c, "BEGIN IMMEDIATE") && run(c, orphans);
  while (ok && number(c, "SELECT sum(bytes) FROM blob") > c->limit && number(c, "SELECT count(*) FROM job") > 0)
    ok = run(c, "DELETE FROM job WHERE key IN (SELECT key FROM job ORDER BY used, key LIMIT 1 + (SELECT count(*) FROM job) / 10)") &&
         run(c, "DELETE FROM file WHERE key NOT IN (SELECT key FROM job)") && run(c, orphans);
  if (!ok || !run(c, "COMMIT")) {
    complain(c, "old rows were not removed");
    (void)run(c, "ROLLBACK");
  }
}

void ci_cache_close(ci_cache *c) {
  if (c == NULL) return;
  if (c->wrote && c->mode != CI_CACHE_OFF) prune(c);
  (void)sqlite3_close(c->db);
  free(c);
}
