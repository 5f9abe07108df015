/* For the tests: qverify-check as a process over files of a private folder. */
#ifndef QV_TESTS_CHECKER_RUN_H
#define QV_TESTS_CHECKER_RUN_H

#include "ir/base/buf.h"

#define CR_FILES 3
#define CR_TEXT 512

/* A private folder, in main memory if there is one, and the path of the checker: $QV_CHECKER, or qverify-check one folder above the
 * running program. False, with a message, if there is none. */
bool cr_open(void);
void cr_close(void);

/* Write file[i] (i < n <= CR_FILES; NULL: stands as "-" among the arguments) and run `qverify-check [WORD] FILE..`; WORD may be NULL.
 * Returns the exit code, -1 for a crash; both outputs go to text. */
int cr_run(const char *word, const qv_buf *const *file, int n, char text[CR_TEXT]);

#endif
