/* Replays files through a fuzz target without libFuzzer: `fuzz_x FILE-OR-DIRECTORY ...`.
 * Prints the number of inputs; a crash or sanitizer report is the failure. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ir/base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t ran;

/* Exact-size heap copy, so that ASan sees a read one byte past the end. */
static void one(const void *data, size_t n) {
  uint8_t *p = malloc(n > 0 ? n : 1);
  if (p == NULL) abort();
  if (n > 0) memcpy(p, data, n);
  (void)LLVMFuzzerTestOneInput(p, n);
  free(p);
  ran++;
}

static int replay(const char *path) {
  struct stat sb;
  if (stat(path, &sb) != 0) {
    perror(path);
    return 1;
  }
  if (!S_ISDIR(sb.st_mode)) {
    qv_buf b = {0};
    qv_err err = {0};
    if (qv_file_read(&b, path, (size_t)1 << 30, &err) != QV_OK) {
      fprintf(stderr, "%s\n", err.msg);
      return 1;
    }
    one(b.p, b.n);
    qv_buf_free(&b);
    return 0;
  }
  struct dirent **list;
  int n = scandir(path, &list, NULL, alphasort), bad = n < 0;
  for (int i = 0; i < n; i++) {
    if (list[i]->d_name[0] != '.') {
      qv_buf sub = {0};
      qv_buf_printf(&sub, "%s/%s", path, list[i]->d_name);
      bad |= sub.failed || replay((const char *)sub.p);
      qv_buf_free(&sub);
    }
    free(list[i]);
  }
  if (n >= 0) free(list);
  return bad;
}

int main(int argc, char **argv) {
  int bad = 0;
  one("", 0);
  one("\0", 1);
  for (int i = 1; i < argc; i++) bad |= replay(argv[i]);
  printf("%zu inputs replayed\n", ran);
  return bad;
}
