#include "tests/checker_run.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

extern char **environ;

static char folder[64], checker[4096], path[CR_FILES][96];

bool cr_open(void) {
  const char *own = getenv("QV_CHECKER");
  char self[4000] = {0};
  ssize_t k = readlink("/proc/self/exe", self, sizeof self - 1);
  for (int up = 0; k > 0 && up < 2; up++) *strrchr(self, '/') = 0;
  (void)snprintf(checker, sizeof checker, own != NULL ? "%s" : "%s/qverify-check", own != NULL ? own : self);
  if (access(checker, X_OK) != 0) {
    printf("no checker: %s\n", checker);
    return false;
  }
  (void)snprintf(folder, sizeof folder, "%s/qv-test-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  if (mkdtemp(folder) == NULL) return false;
  for (int i = 0; i < CR_FILES; i++) (void)snprintf(path[i], sizeof path[i], "%s/%d", folder, i);
  return true;
}

void cr_close(void) {
  for (int i = 0; i < CR_FILES; i++) (void)unlink(path[i]);
  (void)rmdir(folder);
}

static void put_file(const char *to, const qv_buf *b) {
  FILE *f = fopen(to, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(b->p, 1, b->n, f), b->n);
  assert_int_equal(fclose(f), 0);
}

int cr_run(const char *word, const qv_buf *const *file, int n, char text[CR_TEXT]) {
  int fd[2], status, argc = 1;
  pid_t pid;
  posix_spawn_file_actions_t fa;
  char dash[] = "-", first[16], *argv[CR_FILES + 3] = {checker};
  if (word != NULL) {
    (void)snprintf(first, sizeof first, "%s", word);
    argv[argc++] = first;
  }
  for (int i = 0; i < n; i++) {
    if (file[i] != NULL) put_file(path[i], file[i]);
    argv[argc++] = file[i] != NULL ? path[i] : dash;
  }
  assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
  assert_int_equal(posix_spawn_file_actions_init(&fa), 0);
  assert_int_equal(posix_spawn_file_actions_adddup2(&fa, fd[1], 1), 0);
  assert_int_equal(posix_spawn_file_actions_adddup2(&fa, fd[1], 2), 0);
  assert_int_equal(posix_spawn(&pid, checker, &fa, NULL, argv, environ), 0);
  (void)close(fd[1]);
  size_t got = 0;
  char more[CR_TEXT];
  ssize_t k;
  while ((k = got + 1 < CR_TEXT ? read(fd[0], text + got, CR_TEXT - 1 - got) : read(fd[0], more, sizeof more)) > 0)
    if (got + 1 < CR_TEXT) got += (size_t)k;
  text[got] = 0;
  (void)close(fd[0]);
  while (waitpid(pid, &status, 0) < 0) assert_int_equal(errno, EINTR);
  (void)posix_spawn_file_actions_destroy(&fa);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
