// qverify-check NET.qir PROPERTY|- CERT: docs/certificate.md section 6. Exit 0 only after "s CHECKED".
#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rejected(const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  fputs("c reason: ", stdout);
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

int main(int argc, char **argv) {
  static Net net;
  static Cert cert;
  static Property wanted;
  static Text text[3];
  char net_hash[65], property_hash[65] = "-";
  if (argc != 4) unusable("usage: qverify-check NET.qir PROPERTY|- CERT");
  bool property = strcmp(argv[2], "-") != 0;
  float_probe();
  read_file(&text[0], argv[1], false);
  if (property) read_file(&text[1], argv[2], false);
  read_file(&text[2], argv[3], true);
  for (unsigned i = 0; i < 3; i++) net.text += (uint64_t)(text[i].end - text[i].base);
  net_read(&net, &text[0]);
  property_read(&wanted, &net, property ? &text[1] : NULL);
  hash(&text[0], net_hash);
  if (property) hash(&text[1], property_hash);
  if (wanted.robust) {
    Outcome o = robust_check(&net, &wanted, &text[2], net_hash, property_hash);
    if (o.trusted > 0) printf("c verdict trusted %u\n", (unsigned)o.trusted);
    else printf("c verdict %s\n", o.falsified ? "falsified" : "verified");
  } else {
    cert_read(&cert, &net, &text[2], net_hash, property_hash);
    rules_check(&net, &cert);
    printf("c verdict %s\n", cert.verified ? "verified" : "unknown");
  }
  puts("s CHECKED");
  if (fflush(stdout) != 0 || ferror(stdout) || fclose(stdout) != 0) unusable("standard output cannot be written");
  release_all();
  for (unsigned i = 0; i < 3; i++) free((void *)(uintptr_t)text[i].base);
  return 0;
}
