/* What a liar with the cache's file in his hands can do: cache_forge DB STATEMENT runs SQL; cache_forge DB KEY FILE [NAME] puts FILE in the
 * place of the result (or file NAME) of job KEY and makes all hashes right again. Follows docs/ci.md section 3, not the program's code. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/buf.h"

static sqlite3 *db;

static int die(const char *what) {
  fprintf(stderr, "cache_forge: %s: %s\n", what, sqlite3_errmsg(db));
  exit(1);
}

static sqlite3_stmt *ask(const char *sql, const char *a, const char *b, const char *c) {
  sqlite3_stmt *s;
  const char *const v[] = {a, b, c};
  if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK) die(sql);
  for (int i = 0; i < 3; i++)
    if (v[i] != NULL && sqlite3_bind_text(s, i + 1, v[i], -1, SQLITE_TRANSIENT) != SQLITE_OK) die(sql);
  return s;
}

static void done(sqlite3_stmt *s) {
  if (sqlite3_step(s) != SQLITE_DONE) die("a step");
  sqlite3_finalize(s);
}

/* 0: a file of KEY.ext in the order of the manual; 1..: of a folder */
static int place(const char *name) {
  static const char *const order[] = {".json", ".qvc", ".qvp", ".qir", ".qva", ".qap", ".journal", ".evidence/", ".witness/", ".journal.d/"};
  for (int i = 0; i < 10; i++)
    if (i < 7 ? strcmp(name, order[i]) == 0 : strncmp(name, order[i], strlen(order[i])) == 0) return i;
  return 10;
}

static void forge(const char *key, const char *path, const char *name) {
  qv_buf file = {0}, seal = {0};
  char hex[QV_SHA256_HEX];
  if (qv_file_read(&file, path, (size_t)1 << 28, NULL) != QV_OK) die(path);
  qv_sha256_hex(hex, file.p, file.n);
  sqlite3_stmt *s = ask("INSERT OR IGNORE INTO blob(sha256, bytes, data) VALUES(?1, length(?2), ?2)", hex, NULL, NULL);
  if (sqlite3_bind_blob64(s, 2, file.p, file.n, SQLITE_STATIC) != SQLITE_OK) die("blob");
  done(s);
  done(ask("UPDATE file SET blob = ?1 WHERE key = ?2 AND name = ?3", hex, key, name));
  if (sqlite3_changes(db) != 1) die("no such file of a job");
  qv_buf_printf(&seal, "qverify-ci-cache/1 %s\n", key);
  for (int k = 0; k < 10; k++) {
    s = ask("SELECT name, blob FROM file WHERE key = ?1 ORDER BY name", key, NULL, NULL);
    while (sqlite3_step(s) == SQLITE_ROW)
      if (place((const char *)sqlite3_column_text(s, 0)) == k) qv_buf_printf(&seal, "%s %s\n", (const char *)sqlite3_column_text(s, 1), (const char *)sqlite3_column_text(s, 0));
    sqlite3_finalize(s);
  }
  qv_sha256_hex(hex, seal.p, seal.n);
  done(ask("UPDATE job SET seal = ?1 WHERE key = ?2", hex, key, NULL));
  qv_buf_free(&file);
  qv_buf_free(&seal);
}

int main(int argc, char **argv) {
  if (argc < 3 || argc > 5 || sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) return 2;
  if (argc >= 4) forge(argv[2], argv[3], argc == 5 ? argv[4] : ".json");
  else if (sqlite3_exec(db, argv[2], NULL, NULL, NULL) != SQLITE_OK) die(argv[2]);
  return sqlite3_close(db) == SQLITE_OK ? 0 : 1;
}
