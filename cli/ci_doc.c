#include "cli/ci_doc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ci_split.h"

const cJSON *ci_get(const cJSON *o, const char *key) { return o != NULL ? cJSON_GetObjectItemCaseSensitive(o, key) : NULL; }

const char *ci_word(const cJSON *o, const char *key) {
  const cJSON *m = ci_get(o, key);
  return m != NULL ? m->valuestring : NULL;
}

long ci_long(const cJSON *o, const char *key, long absent) {
  const char *s = ci_word(o, key);
  return s != NULL ? strtol(s, NULL, 10) : absent;
}

bool ci_is(const cJSON *o, const char *key, const char *value) {
  const char *s = ci_word(o, key);
  return s != NULL && strcmp(s, value) == 0;
}

bool ci_complete(const cJSON *report) { return ci_is(report, "run_state", "COMPLETE"); }

bool ci_ended_well(const cJSON *doc) {
  long code = ci_long(doc, "exit", -1);
  return (code == 0 || code == 5 || code == 10) && !cJSON_IsTrue(ci_get(doc, "timeout"));
}

bool ci_range(const ci_job *j, int64_t *lo, int64_t *hi, uint32_t *at) {
  for (uint32_t i = 0; i + 1 < j->argc; i++) {
    char *end;
    if (strcmp(j->argv[i], "--index") != 0) continue;
    *at = i + 1;
    *lo = *hi = strtoll(j->argv[i + 1], &end, 10);
    if (*end == ':') *hi = strtoll(end + 1, &end, 10);
    return *end == 0 && end != j->argv[i + 1] && *hi >= *lo;
  }
  return false;
}

bool ci_old(const ci_job *j) { return strcmp(j->part, "old") == 0 || strncmp(j->part, "old ", 4) == 0; }

bool ci_part(const ci_job *j, uint32_t *part, uint32_t *of) {
  for (uint32_t i = 0; i + 1 < j->argc; i++)
    if (strcmp(j->argv[i], "--part") == 0) return ci_read_part(j->argv[i + 1], part, of);
  return false;
}
