// qverify-check NET.qir PROPERTY|- CERT ..: docs/certificate.md section 6; qverify-check cover NET.qir WHOLE.qvp COVER.qvc PART.qvp
// PART.qvc ..: section 7.7; qverify-check alloc PROBLEM.qap CERT.qva: docs/allocation-certificate.md. Exit 0 only after "s CHECKED" for
// every certificate.
#include "check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned part; // of a cover, from 1, while it is checked

void rejected(const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  fputs("c reason: ", stdout);
  if (part) printf("part %u: ", part);
  vprintf(fmt, args);
  puts("\ns REJECTED");
  va_end(args);
  fflush(stdout);
  exit(1);
}

void unusable(const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  fputs("qverify-check: ", stderr);
  vfprintf(stderr, fmt, args);
  fputc('\n', stderr);
  va_end(args);
  exit(2);
}

// The whole file, with a zero byte behind it.
static void read_file(Text *t, const char *path, bool certificate) {
  size_t n = 0, room = 1 << 16;
  unsigned char *bytes = malloc(room);
  FILE *f = fopen(path, "rb");
  if (!f) unusable("%s: cannot be opened", path);
  while (bytes) {
    n += fread(bytes + n, 1, room - 1 - n, f);
    if (n + 1 < room) break;
    unsigned char *more = room < SIZE_MAX / 4 ? realloc(bytes, room *= 2) : NULL;
    if (!more) free(bytes);
    bytes = more;
  }
  if (!bytes) unusable("out of memory");
  if (ferror(f) || !feof(f)) unusable("%s: cannot be read", path);
  fclose(f);
  bytes[n] = 0;
  text_open(t, path, bytes, n, certificate);
}

static void hash(const Text *t, char hex[65]) { sha256_hex(t->base, (size_t)(t->end - t->base), hex); }

static void finish(void) {
  puts("s CHECKED");
  if (fflush(stdout) != 0 || ferror(stdout)) unusable("standard output cannot be written");
}

static int allocation(char **path) {
  static Text text[2];
  for (unsigned i = 0; i < 2; i++) read_file(&text[i], path[i], i == 1);
  alloc_check(&text[0], &text[1]);
  finish();
  if (fclose(stdout) != 0) unusable("standard output cannot be written");
  return 0; // all memory is still reachable, and goes with the process
}

static void network(Net *net, const char *net_hash, const char *property_path, const char *path) {
  static Cert cert;
  static Property wanted;
  static Text text[2];
  char property_hash[65] = "-";
  bool property = strcmp(property_path, "-") != 0;
  if (property) read_file(&text[0], property_path, false);
  read_file(&text[1], path, true);
  for (unsigned i = 0; i < 2; i++) net->text += (uint64_t)(text[i].end - text[i].base);
  property_read(&wanted, net, property ? &text[0] : NULL);
  if (property) hash(&text[0], property_hash);
  if (wanted.robust) {
    Outcome o = robust_check(net, &wanted, &text[1], net_hash, property_hash);
    if (o.trusted > 0) printf("c verdict trusted %u\n", (unsigned)o.trusted);
    else printf("c verdict %s\n", o.falsified ? "falsified" : "verified");
  } else {
    cert_read(&cert, net, &text[1], net_hash, property_hash);
    rules_check(net, &cert);
    printf("c verdict %s\n", cert.verified ? "verified" : "unknown");
  }
  finish();
  for (unsigned i = 0; i < 2; i++) free((void *)(uintptr_t)text[i].base);
}

// Several pairs of property and certificate of one net: each in a process of its own. The exit code is the worst of theirs.
static int pairs(Net *net, const char *net_hash, char **path, int n) {
  int worst = 0;
  for (int i = 0; i < n; i += 2) {
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
      network(net, net_hash, path[i], path[i + 1]);
      exit(0);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    int code = pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 2;
    if (code == 2) printf("s FAILED\n");
    if (code != 0 && worst != 2) worst = code == 1 ? 1 : 2;
  }
  return worst;
}

// The part of a cover whose box is at hand: accepted, alone, or this process does not return.
static void check_part(Net *net, const char *net_hash, const Cover *c, char **path) {
  static Property wanted;
  static Text text[2];
  char property_hash[65];
  for (unsigned i = 0; i < 2; i++) {
    read_file(&text[i], path[i], i == 1);
    net->text += (uint64_t)(text[i].end - text[i].base);
  }
  property_read(&wanted, net, &text[0]);
  hash(&text[0], property_hash);
  cover_contained(c, &wanted);
  Outcome o = robust_check(net, &wanted, &text[1], net_hash, property_hash);
  if (o.falsified || o.trusted > 0) rejected("its verdict is not verified");
}

// One after the other, each in a process of its own, which says why if it is rejected.
static void cover(Net *net, const char *net_hash, char **path, int n) {
  static Property whole;
  static Text text[2];
  char property_hash[65];
  for (unsigned i = 0; i < 2; i++) {
    read_file(&text[i], path[i], i == 1);
    net->text += (uint64_t)(text[i].end - text[i].base);
  }
  property_read(&whole, net, &text[0]);
  hash(&text[0], property_hash);
  Cover *c = cover_begin(net, &whole, &text[1], net_hash, property_hash);
  int count = 0;
  for (; cover_part(c); count++) {
    int status = 0;
    if (count == n) bad(&text[1], "more parts than pairs of files");
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
      part = (unsigned)count + 1;
      check_part(net, net_hash, c, path + 2 + 2 * count);
      exit(0);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 1) exit(1);
    if (pid <= 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) unusable("part %d could not be checked", count + 1);
  }
  if (count != n) bad(&text[1], "fewer parts than pairs of files");
  cover_end(c);
  puts("c verdict verified");
  finish();
  for (unsigned i = 0; i < 2; i++) free((void *)(uintptr_t)text[i].base);
}

int main(int argc, char **argv) {
  static Net net;
  static Text text;
  char net_hash[65];
  int code = 0;
  bool covered = argc > 6 && argc % 2 == 1 && strcmp(argv[1], "cover") == 0;
  if (!covered && (argc < 4 || argc % 2 != 0))
    unusable("usage: qverify-check NET.qir PROPERTY|- CERT [PROPERTY|- CERT ..]\n"
             "       qverify-check cover NET.qir WHOLE.qvp COVER.qvc PART.qvp PART.qvc [PART.qvp PART.qvc ..]\n"
             "       qverify-check alloc PROBLEM.qap CERT.qva");
  float_probe();
  if (argc == 4 && strcmp(argv[1], "alloc") == 0) return allocation(argv + 2);
  char **path = argv + (covered ? 2 : 1);
  read_file(&text, path[0], false);
  net.text = (uint64_t)(text.end - text.base);
  net_read(&net, &text);
  hash(&text, net_hash);
  if (covered) cover(&net, net_hash, path + 1, (argc - 5) / 2);
  else if (argc == 4) network(&net, net_hash, argv[2], argv[3]);
  else code = pairs(&net, net_hash, argv + 2, argc - 2);
  if (fflush(stdout) != 0 || ferror(stdout) || fclose(stdout) != 0) unusable("standard output cannot be written");
  release_all();
  free((void *)(uintptr_t)text.base);
  return code;
}
