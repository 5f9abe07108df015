/* One case of CMSIS-NN's published unit-test data, as stored in JSON: #define constants and arrays, both prefixed with the
 * name of the case. The names after the prefix changed from one version of the generator to the next, so every lookup
 * takes alternatives, "output_ref|output"; the first that exists counts. Anything missing or ill-typed fails the test.
 *
 * The newest generator wrote its files beside the old ones where the old names were different, and over them where they
 * were the same. Some cases are therefore two data sets in one: the old arrays come first among the alternatives, and
 * `fixed` holds the constants of the old set that the new ones replaced. */
#ifndef QV_TESTS_CMSIS_CASE_H
#define QV_TESTS_CMSIS_CASE_H

#include <cjson/cJSON.h>

#include "ir/ir.h"

typedef struct {
  cJSON *root;
  const char *name;
  const char *fixed; /* constants that win over the stored ones: "INPUT_OFFSET=0 PAD_X=2"; NULL = none            */
  char defines[128]; /* prefix of the constants: "CONV_2_", in a whole net "CONV_2D_1_"                            */
  char arrays[128];  /* prefix of the arrays: "conv_2_", in a whole net "ds_cnn_s_layer_1_conv_2d_"                */
  qv_arena arena;    /* owns the elements of all arrays read                                                       */
} cmsis_case;

typedef struct {
  qv_dtype type;
  size_t n; /* 0: the array is a null pointer in the original */
  const int64_t *v;
} cmsis_array;

void cmsis_load(cmsis_case *c, const char *dir, const char *name, const char *fixed);
void cmsis_free(cmsis_case *c);
/* Look at the whole case (layer 0), or at one layer of a whole net: op "CONV_2D", layer 1. */
void cmsis_scope(cmsis_case *c, const char *op, unsigned layer);

bool cmsis_has(const cmsis_case *c, const char *names); /* is the constant defined? */
int64_t cmsis_def(const cmsis_case *c, const char *names, int64_t lo, int64_t hi);
uint32_t cmsis_dim(const cmsis_case *c, const char *names);                      /* 1..2^16 */
int64_t cmsis_def_or(const cmsis_case *c, const char *names, int64_t otherwise); /* within int32 */

bool cmsis_has_array(const cmsis_case *c, const char *names);
cmsis_array cmsis_read(cmsis_case *c, const char *names);
/* The same for weights: unpacked to n elements if `nibbles` (two in a byte, low one first), else exactly n. */
cmsis_array cmsis_weights(cmsis_case *c, const char *names, size_t n, bool nibbles);

#endif
