/* Answers of robustness questions as text, JSON and files. */
#ifndef QV_CLI_RBOUT_H
#define QV_CLI_RBOUT_H

#include "cli/robust.h"
#include "ir/base/json.h"

/* One line: "sample 3, class 7: FALSIFIED -> 9 by attack, 0.02 s". */
void rb_text_line(qv_buf *out, const rb_job *j, const rb_case *c, const rb_answer *a);

/* One entry of the report's obligations, or NULL when memory is short. witness: file name of the input that was written, or NULL. */
cJSON *rb_json(const rb_job *j, const rb_case *c, const rb_answer *a, const char *witness);

#endif
