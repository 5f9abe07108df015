/* Strict JSON on top of cJSON: what cJSON lets pass silently (duplicate keys, trailing text, leading zeros, "\u0000", integers
 * rounded to double, case-blind keys) is an error here, and integers keep all their digits in both directions. */
#ifndef QV_IR_BASE_JSON_H
#define QV_IR_BASE_JSON_H

#include <cjson/cJSON.h>

#include "ir/base/buf.h"

/* ---- reading ---------------------------------------------------------------------------------------------------------- */

/* Parse exactly one RFC 8259 text: valid UTF-8, no byte order mark, no duplicate key, no "\u0000", at most QV_JSON_DEPTH
 * levels. Number items carry their source text in ->valuestring; ->valuedouble is never to be trusted for an integer.
 *   Post: QV_OK => *out owned by the caller (cJSON_Delete); QV_E_PARSE with err->line and err->offset; QV_E_NOMEM.
 *   Cost: linear; about 100 bytes of memory per byte of text at worst. Thread: pure. */
#define QV_JSON_DEPTH 64
QV_NODISCARD qv_status qv_json_parse(cJSON **out, const char *text, size_t len, qv_err *err);

/* Typed member access; `what` names the object in messages. A missing or differently typed member is QV_E_PARSE.
 * Integers: a JSON number without fraction and exponent, or a string of decimal digits; within [lo,hi], never rounded. */
QV_NODISCARD qv_status qv_json_get(const cJSON **out, const cJSON *obj, const char *key, const char *what, qv_err *err);
QV_NODISCARD qv_status qv_json_get_str(const char **out, const cJSON *obj, const char *key, const char *what, qv_err *err);
QV_NODISCARD qv_status qv_json_get_int(int64_t *out, const cJSON *obj, const char *key, int64_t lo, int64_t hi, const char *what,
                                       qv_err *err);
/* The same for a value in hand (an array element). */
QV_NODISCARD qv_status qv_json_int(int64_t *out, const cJSON *item, int64_t lo, int64_t hi, const char *what, qv_err *err);

/* ---- writing: build a tree with these, print it with qv_json_print ------------------------------------------------------- */

/* Append a member; false when memory is short (or obj is NULL), after which the tree must be thrown away.
 * _add takes ownership of item in every case; item NULL counts as out of memory. */
bool qv_json_add(cJSON *obj, const char *key, cJSON *item);
bool qv_json_add_str(cJSON *obj, const char *key, const char *s); /* s NULL gives null */
bool qv_json_add_int(cJSON *obj, const char *key, int64_t v);     /* a decimal string: safe for every reader */
bool qv_json_add_num(cJSON *obj, const char *key, int32_t v);     /* a number: for counts and codes that are always small */
bool qv_json_add_bool(cJSON *obj, const char *key, bool v);
bool qv_json_push(cJSON *array, cJSON *item); /* owns item like _add */

/* Append the text of v to out: keys in strcmp order, two spaces of indent per level (indent false: no white space at all),
 * non-ASCII copied, bytes that are not UTF-8 replaced by U+FFFD. Equal trees give equal bytes.
 *   Errors: QV_E_ARG for a number that was not made by the helpers above or by qv_json_parse; QV_E_NOMEM. */
QV_NODISCARD qv_status qv_json_print(qv_buf *out, const cJSON *v, bool indent, qv_err *err);

/* Bytes of the valid UTF-8 sequence at p (1..4), or 0: overlong, surrogate, truncated, above U+10FFFF. n >= 1 bytes are readable. */
size_t qv_utf8_len(const unsigned char *p, size_t n);

#endif
