/* One status, one error record, one verdict. Library code returns these; it never exits, aborts, longjmps or prints. */
#ifndef QV_IR_BASE_STATUS_H
#define QV_IR_BASE_STATUS_H

#include <stddef.h>
#include <stdint.h>

#define QV_NODISCARD __attribute__((warn_unused_result))

/* Did the call work?  (What do we know? is qv_verdict: a different question, a different type.) */
typedef enum {
  QV_OK = 0,
  QV_E_ARG,      /* the caller broke a precondition that it could have checked               */
  QV_E_PARSE,    /* a file is not what it claims to be (malformed, truncated, inconsistent)  */
  QV_E_UNSUP,    /* a well-formed file asks for an operator, type or form that we do not model */
  QV_E_RANGE,    /* a value leaves the range in which the result is exact                    */
  QV_E_NOMEM,    /* allocation failed or a byte limit was reached                            */
  QV_E_IO,       /* the operating system refused a read or a write                           */
  QV_E_LIMIT,    /* time, step or size budget used up                                        */
  QV_E_INTERNAL  /* a self-check failed: never trust this run                                */
} qv_status;

/* Zeroed memory claims nothing. */
typedef enum { QV_UNKNOWN = 0, QV_FALSIFIED, QV_VERIFIED } qv_verdict;

/* Error record. Start it as {0}; the first failure wins, later ones on the way out do not overwrite it. */
typedef struct {
  qv_status code;
  const char *where; /* source function that failed (static string), for bug reports      */
  int64_t line;      /* 1-based line of a text input, 0 if not a text input               */
  int64_t offset;    /* byte offset in a binary input, -1 or 0 if unknown                 */
  char msg[384];     /* names the file part, node, op, type: complete sentence, no newline */
} qv_err;

/* Record a failure in err (may be NULL) and return code. Printf-style. */
qv_status qv_fail(qv_err *err, qv_status code, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#define QV_FAIL(err, code, ...) qv_fail((err), (code), __func__, __VA_ARGS__)

/* Needs a local `qv_status st` and a label `done`. */
#define QV_TRY(call)                   \
  do {                                 \
    if ((st = (call)) != QV_OK) goto done; \
  } while (0)

/* Assertions go through a replaceable hook. QV_CHECK is always on (verdict paths), QV_ASSERT in debug and san builds. */
typedef void (*qv_assert_hook)(const char *cond, const char *file, int line);
extern qv_assert_hook qv_on_assert; /* default: message on stderr, abort() */
#define QV_CHECK(c) ((c) ? (void)0 : qv_on_assert(#c, __FILE__, __LINE__))
#ifdef QV_NO_ASSERT
#define QV_ASSERT(c) ((void)sizeof(c))
#else
#define QV_ASSERT(c) QV_CHECK(c)
#endif

const char *qv_status_name(qv_status s);   /* "ok", "parse", ...  (static) */
const char *qv_verdict_name(qv_verdict v); /* "UNKNOWN", "FALSIFIED", "VERIFIED" (static) */

#endif
