// Attacks on one certificate, for tests/check/run.sh:
//   mutate CHECKER SCRATCH NET.qir PROPERTY|- CERT [bytes]
// Lines and numbers of the certificate are changed, dropped, doubled and swapped, and the own hash is repaired each time. The claims of
// the test certificates are exact, so a mutant may be accepted only if it claims nothing more than the original: every element's
// interval contains the original one, and harmless, holds and verified stand only where they stood. With `bytes` one bit of each byte of
// each file is changed as well, unrepaired: nothing may be accepted. A certificate of claim robust claims its verdict and no more: a mutant
// may be accepted if it has the same one, or a weaker one.
//   mutate sha256        checks SHA-256 against the examples of FIPS 180-4
#include "../../check/check.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *checker, *scratch, *files[3];
static unsigned tried, accepted, wrong;

_Noreturn static void die(const char *what) {
  fprintf(stderr, "mutate: %s\n", what);
  exit(2);
}

static char *load(const char *path, size_t *n) {
  FILE *f = fopen(path, "rb");
  char *b = malloc(1 << 24);
  if (!f || !b) die(path);
  *n = fread(b, 1, (1 << 24) - 1, f);
  b[*n] = 0;
  fclose(f);
  return b;
}

// Exit code of the checker with file `which` replaced by these bytes.
static int check(unsigned which, const char *bytes, size_t n) {
  FILE *f = fopen(scratch, "wb");
  if (!f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0) die(scratch);
  const char *arg[] = {checker, files[0], files[1], files[2], NULL};
  char *argv[5] = {0};
  arg[1 + which] = scratch;
  for (unsigned i = 0; i < 4; i++) argv[i] = strdup(arg[i]);
  posix_spawn_file_actions_t a;
  posix_spawn_file_actions_init(&a);
  posix_spawn_file_actions_addopen(&a, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&a, 2, "/dev/null", O_WRONLY, 0);
  pid_t pid;
  int status;
  if (posix_spawn(&pid, checker, &a, NULL, argv, environ) != 0 || waitpid(pid, &status, 0) < 0) die("the checker cannot be run");
  posix_spawn_file_actions_destroy(&a);
  for (unsigned i = 0; i < 4; i++) free(argv[i]);
  tried++;
  if (!WIFEXITED(status) || WEXITSTATUS(status) > 2) {
    printf("not ok the checker died: status %d, mutant %u in %s\n", status, tried, scratch);
    exit(1);
  }
  return WEXITSTATUS(status);
}

// ---- what a certificate claims, line by line ------------------------------------------------------------------------------------------
typedef struct {
  char *line[4096];
  unsigned n;
} Lines;

static Lines split(char *text) {
  Lines l = {.n = 0};
  for (char *p = text; *p && l.n < 4096; l.n++) {
    l.line[l.n] = p;
    p = strchr(p, '\n');
    if (!p) break;
    *p++ = 0;
  }
  return l;
}

static long elements(unsigned tensor) { // from the net
  static char *text;
  static Lines net;
  size_t n;
  if (!text) text = load(files[0], &n), net = split(text);
  for (unsigned i = 0; i < net.n; i++) {
    unsigned t;
    if (sscanf(net.line[i], "tensor %u name", &t) != 1 || t != tensor) continue;
    char *p = strstr(net.line[i], " dims ") + 6;
    long rank = strtol(p, &p, 10), size = 1;
    while (rank-- > 0) size *= strtol(p, &p, 10);
    return size;
  }
  return 0;
}

typedef struct {
  long n, inner;
  long long v[8192];
} Claims;

static bool claims_of(const char *header, char *numbers, Claims *c, unsigned *tensor) {
  if (sscanf(header, "tensor %u %ld %ld", tensor, &c->n, &c->inner) != 3 || c->n < 1 || c->n > 4096) return false;
  for (long i = 0; i < 2 * c->n; i++) c->v[i] = strtoll(numbers, &numbers, 10);
  return true;
}

static const char *verdict_of(const Lines *l) {
  for (unsigned i = 0; i < l->n; i++) {
    if (l->line[i] && strncmp(l->line[i], "verdict ", 8) == 0) return l->line[i] + 8;
  }
  return "";
}

static bool weaker_robust(const Lines *a, const Lines *b) {
  const char *p = verdict_of(a), *q = verdict_of(b);
  if (strncmp(p, "trusted", 7) == 0) return strncmp(q, "trusted", 7) == 0;
  return strcmp(p, q) == 0 || (strcmp(p, "verified") == 0 && strncmp(q, "trusted", 7) == 0);
}

// The mutant claims no more than the original.
static bool weaker(const Lines *a, const Lines *b) {
  if (strcmp(a->line[1], "claim robust") == 0) return weaker_robust(a, b);
  static Claims x, y;
  unsigned i = 0, j = 0, t, u;
  while (i < a->n && j < b->n) {
    char *p = a->line[i], *q = b->line[j];
    if (strncmp(p, "linear ", 7) == 0) { // evidence, not a claim
      i++;
      continue;
    }
    if (strncmp(q, "linear ", 7) == 0) {
      j++;
      continue;
    }
    if (strncmp(p, "tensor ", 7) == 0) {
      if (!claims_of(p, a->line[i + 1], &x, &t) || !claims_of(q, b->line[j + 1], &y, &u) || t != u) return false;
      for (long e = 0; e < elements(t); e++) {
        long k = e / x.inner % x.n, m = e / y.inner % y.n;
        if (y.v[2 * m] > x.v[2 * k] || y.v[2 * m + 1] < x.v[2 * k + 1]) return false;
      }
      i += 2, j += 2;
      continue;
    }
    if (strstr(q, "harmless") && !strstr(p, "harmless")) return false;
    if (strstr(q, "holds") && !strstr(p, "holds")) return false;
    if (strstr(q, "verified") && !strstr(p, "verified")) return false;
    long k1 = -1, k2 = -1, b1 = -1, b2 = -1;
    sscanf(p, "acc %ld %ld", &k1, &b1), sscanf(q, "acc %ld %ld", &k2, &b2);
    sscanf(p, "obligation %ld", &k1), sscanf(q, "obligation %ld", &k2);
    if (k1 != k2 || b1 != b2) return false;
    i++, j++;
  }
  return i == a->n && j == b->n;
}

static char *original, mutant[1 << 22];
static char *lines_text;
static Lines lines;

static char work[1 << 22];
static Lines mutant_lines;

static void attempt(const char *what) {
  char hex[65];
  size_t n = strlen(mutant);
  char *at = strstr(mutant, "\nsha256 "); // the own hash
  if (at) {
    sha256_hex((unsigned char *)mutant, (size_t)(at + 1 - mutant), hex);
    if (n >= (size_t)(at - mutant) + 8 + 64) memcpy(at + 8, hex, 64);
  }
  if (strcmp(mutant, original) == 0) return;
  if (check(2, mutant, n) != 0) return;
  accepted++;
  memcpy(work, mutant, n + 1);
  mutant_lines = split(work);
  if (!weaker(&lines, &mutant_lines)) {
    wrong++;
    printf("not ok accepted: %s\n", what);
  }
}

// The certificate with line i replaced (NULL: dropped), and `extra` after it.
static void with_line(unsigned i, const char *line, const char *extra, const char *what) {
  char *p = mutant;
  for (unsigned k = 0; k < lines.n; k++) {
    const char *l = k == i ? line : lines.line[k];
    if (l) p += sprintf(p, "%s\n", l);
    if (k == i && extra) p += sprintf(p, "%s\n", extra);
  }
  *p = 0;
  char name[400];
  snprintf(name, sizeof name, "%s, line %u: %.150s -> %.150s", what, i + 1, lines.line[i], line ? line : "(dropped)");
  attempt(name);
}

static void number_mutants(unsigned i) {
  char *l = lines.line[i], out[1 << 16];
  for (size_t at = 0; l[at]; at++) {
    bool start = (at == 0 || l[at - 1] == ' ') && (l[at] == '-' || (l[at] >= '0' && l[at] <= '9'));
    if (!start) continue;
    char *end;
    long long v = strtoll(l + at, &end, 10);
    if (*end != ' ' && *end != 0) continue;
    long long to[] = {v + 1, v - 1, 0, -v, v * 2, 9223372036854775807LL, v + 64};
    for (unsigned k = 0; k < 7; k++) {
      snprintf(out, sizeof out, "%.*s%lld%s", (int)at, l, to[k], end);
      with_line(i, out, NULL, "number");
    }
  }
}

static void word_mutants(unsigned i) {
  static const char *const pairs[][2] = {{"harmless", "open"}, {"holds", "open"}, {"position", "channel"}, {"verified", "unknown"},
                                         {" lo ", " hi "},     {"linear", "acc"}, {"acc", "obligation"},
                                         {"dual", "trusted x"}, {"points", "empty"}, {"empty", "trusted x"}, {"sum 1", "pair 0"},
                                         {"outputs", "logits"}, {"verified", "falsified"}, {"verdict trusted 1", "verdict verified"},
                                         {"witness", "points"}};
  char out[1 << 16];
  for (unsigned k = 0; k < sizeof pairs / sizeof *pairs; k++) {
    for (unsigned s = 0; s < 2; s++) {
      char *at = strstr(lines.line[i], pairs[k][s]);
      if (!at) continue;
      snprintf(out, sizeof out, "%.*s%s%s", (int)(at - lines.line[i]), lines.line[i], pairs[k][1 - s], at + strlen(pairs[k][s]));
      with_line(i, out, NULL, "word");
    }
  }
}

static int sha_test(void) {
  static const struct {
    const char *text, *hex;
  } known[] = {
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
       "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"}};
  char hex[65];
  bool ok = true;
  for (unsigned i = 0; i < 4; i++) {
    sha256_hex((const unsigned char *)known[i].text, strlen(known[i].text), hex);
    ok = ok && strcmp(hex, known[i].hex) == 0;
  }
  unsigned char *million = malloc(1000000);
  if (!million) return 2;
  memset(million, 'a', 1000000);
  sha256_hex(million, 1000000, hex);
  free(million);
  ok = ok && strcmp(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0") == 0;
  printf("%s SHA-256: examples of FIPS 180-4\n", ok ? "ok" : "not ok");
  return ok ? 0 : 1;
}

int main(int argc, char **argv) {
  size_t n;
  if (argc == 2 && strcmp(argv[1], "sha256") == 0) return sha_test();
  if (argc < 6) die("usage: mutate CHECKER SCRATCH NET.qir PROPERTY|- CERT [bytes]");
  checker = argv[1], scratch = argv[2], files[0] = argv[3], files[1] = argv[4], files[2] = argv[5];
  original = load(files[2], &n);
  lines_text = strdup(original);
  lines = split(lines_text);
  if (check(2, original, n) != 0) {
    printf("not ok %s: the certificate itself is rejected\n", files[2]);
    return 1;
  }
  for (unsigned i = 0; i < lines.n; i++) {
    number_mutants(i), word_mutants(i);
    with_line(i, NULL, NULL, "dropped");
    with_line(i, lines.line[i], lines.line[i], "doubled");
    if (i + 1 < lines.n) { // swapped with the next
      char *l = lines.line[i + 1];
      lines.line[i + 1] = NULL;
      with_line(i, l, lines.line[i], "swapped");
      lines.line[i + 1] = l;
    }
    if (i + 3 < lines.n && strncmp(lines.line[i], "tensor ", 7) == 0) { // numbers of two tensors exchanged
      char *a = lines.line[i + 1], *b = lines.line[i + 3];
      lines.line[i + 1] = b, lines.line[i + 3] = a;
      with_line(i, lines.line[i], NULL, "exchanged");
      lines.line[i + 1] = a, lines.line[i + 3] = b;
    }
  }
  for (size_t k = 0; k < n; k += 7) { // truncated
    if (check(2, original, k) == 0) wrong++, printf("not ok accepted: truncated to %zu bytes\n", k);
  }
  for (unsigned f = 0; f < 3 && argc > 6; f++) {
    if (strcmp(files[f], "-") == 0) continue;
    size_t size;
    char *b = load(files[f], &size);
    for (size_t k = 0; k < size; k++) {
      b[k] = (char)(b[k] ^ (1 << (k % 8)));
      if (check(f, b, size) == 0) wrong++, printf("not ok accepted: byte %zu of %s changed\n", k, files[f]);
      b[k] = (char)(b[k] ^ (1 << (k % 8)));
    }
    free(b);
  }
  free(original), free(lines_text);
  unlink(scratch);
  const char *name = strrchr(files[2], '/');
  if (wrong == 0) printf("ok %s: %u mutants, %u of them weaker and accepted\n", name ? name + 1 : files[2], tried, accepted);
  return wrong == 0 ? 0 : 1;
}
