/* Reading result files, reports and jobs: what the ci_*.c files share. */
#ifndef QV_CLI_CI_DOC_H
#define QV_CLI_CI_DOC_H

#include "cli/ci.h"

/* Member of an object, or NULL; o may be NULL. */
const cJSON *ci_get(const cJSON *o, const char *key);
/* Text of a string or number member, or NULL. */
const char *ci_word(const cJSON *o, const char *key);
/* Number member (or a number as text); `absent` if there is none. */
long ci_long(const cJSON *o, const char *key, long absent);
/* Is the member this text? */
bool ci_is(const cJSON *o, const char *key, const char *value);

/* Does a report say that its run came to its end? */
bool ci_complete(const cJSON *report);
/* Did a job's process end by itself with an answer (exit code 0, 5 or 10)? */
bool ci_ended_well(const cJSON *doc);

/* Samples lo..hi that a job asks about; argv[at] says so. False: it is not about a range of samples. */
bool ci_range(const ci_job *j, int64_t *lo, int64_t *hi, uint32_t *at);

/* Does the job ask an older network, that another job's answers are compared with? Its part says so. */
bool ci_old(const ci_job *j);

/* Is the job part (from 1) of `of` of a query? */
bool ci_part(const ci_job *j, uint32_t *part, uint32_t *of);

#endif
