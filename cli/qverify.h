/* qverify: exact integer semantics of quantized neural networks, as a C library.
 *
 *     qverify_error err = {0};
 *     qverify_model *m;
 *     if (qverify_open(&m, "model.tflite", NULL, &err) != QVERIFY_OK) { puts(err.message); ... }
 *     qverify_overflow *o;
 *     if (qverify_check_overflow(&o, m, 16, &err) == QVERIFY_OK) printf("%d\n", qverify_overflow_verdict(o));
 *
 * No function prints, exits or aborts. A model may be used by one thread at a time; different models by different threads.
 * Pointers that are returned belong to the object they came from. Version 0: the interface may still change. */
#ifndef QVERIFY_H
#define QVERIFY_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define QVERIFY_API __attribute__((visibility("default")))
#else
#define QVERIFY_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Did the call work? */
typedef enum {
  QVERIFY_OK = 0,
  QVERIFY_E_ARGUMENT,    /* the caller's mistake (unknown profile, wrong count)    */
  QVERIFY_E_PARSE,       /* the file is malformed                                  */
  QVERIFY_E_UNSUPPORTED, /* operator, type or form that qverify does not model     */
  QVERIFY_E_RANGE,       /* a value leaves the range in which results are exact    */
  QVERIFY_E_MEMORY,
  QVERIFY_E_IO,
  QVERIFY_E_LIMIT,       /* a size or time limit                                   */
  QVERIFY_E_INTERNAL     /* a self-check failed; do not trust this process         */
} qverify_status;

/* What do we know? Zeroed memory claims nothing. */
typedef enum { QVERIFY_UNKNOWN = 0, QVERIFY_FALSIFIED, QVERIFY_VERIFIED } qverify_verdict;

typedef struct {
  qverify_status status;
  char message[512]; /* names the file, node, operator and type; no newline */
} qverify_error;

typedef struct qverify_model qverify_model;
typedef struct qverify_overflow qverify_overflow;

/* "0.1.0" */
QVERIFY_API const char *qverify_version(void);

/* ---- models -------------------------------------------------------------------------------------------------------------- */

/* Read a model file. profile names the runtime whose arithmetic is meant, NULL = the format's default; a format that fixes its
 * own arithmetic (.qir, .qtxt) takes NULL only. *out is to be closed by the caller. err may be NULL. */
QVERIFY_API qverify_status qverify_open(qverify_model **out, const char *path, const char *profile, qverify_error *err);
QVERIFY_API void qverify_close(qverify_model *m); /* NULL is fine */

typedef struct {
  const char *name;    /* the model's own name of this input or output                               */
  const char *type;    /* "i8", "u8", "i16", "u16", "i32", "i64": storage type of the integer tensor */
  size_t bytes;        /* of one sample                                                              */
  uint32_t rank;       /* 0..8                                                                       */
  uint32_t dim[8];
  int64_t lo, hi;      /* every element lies in [lo,hi]                                              */
  int has_scale;       /* then real = scale * (q - zero_point)                                       */
  float scale;
  int32_t zero_point;
} qverify_port;

QVERIFY_API size_t qverify_inputs(const qverify_model *m);
QVERIFY_API size_t qverify_outputs(const qverify_model *m);
/* The i-th input or output; i must be below the count. */
QVERIFY_API qverify_port qverify_input(const qverify_model *m, size_t i);
QVERIFY_API qverify_port qverify_output(const qverify_model *m, size_t i);

/* Execute n samples, bit-exactly. in[i] / out[j] hold n samples of input i / output j back to back in the port's storage type,
 * host byte order. threads 0 = one per core; the result does not depend on it. */
QVERIFY_API qverify_status qverify_run(qverify_model *m, size_t n, const void *const *in, void *const *out, unsigned threads,
                                       qverify_error *err);

/* ---- accumulator overflow ------------------------------------------------------------------------------------------------ */

/* One accumulating operation of the model. */
typedef struct {
  uint32_t layer;      /* number of the operator in the source file       */
  const char *op;      /* "CONV_2D", ...                                  */
  int64_t lo, hi;      /* proved: the final sum of every channel lies here */
  int bits_needed;     /* smallest signed width for [lo,hi]               */
  int bits;            /* accumulator width the verdict is about, 0 = unbounded */
  qverify_verdict verdict; /* VERIFIED: no overflow that changes the result; FALSIFIED: an input was executed that shows one */
} qverify_overflow_item;

/* Prove, for every input within the declared ranges, that no accumulator overflows. acc_bits 0 = each operator's own width,
 * otherwise 2..64. VERIFIED rests on this library alone: only the program `qverify overflow` has its proofs checked by a second
 * one. *out is to be freed by the caller. */
QVERIFY_API qverify_status qverify_check_overflow(qverify_overflow **out, const qverify_model *m, int acc_bits, qverify_error *err);
/* FALSIFIED if any item is, VERIFIED if there are items and all are, else UNKNOWN. */
QVERIFY_API qverify_verdict qverify_overflow_verdict(const qverify_overflow *o);
QVERIFY_API size_t qverify_overflow_count(const qverify_overflow *o);
QVERIFY_API qverify_overflow_item qverify_overflow_get(const qverify_overflow *o, size_t i); /* i < count */
/* Input i of the executed counterexample as one sample in storage type, or NULL unless the verdict is FALSIFIED. */
QVERIFY_API const void *qverify_overflow_input(const qverify_overflow *o, size_t i);
QVERIFY_API void qverify_overflow_free(qverify_overflow *o); /* NULL is fine */

/* ---- robustness ------------------------------------------------------------------------------------------------------------ */

typedef struct qverify_robust qverify_robust;

/* lo[i], hi[i]: for every element of input i the smallest and largest integer it may take, within the input's range. */
typedef struct {
  const int64_t *const *lo, *const *hi;
  size_t output;    /* number of the output that holds the classes                    */
  size_t label;     /* element that must stay the largest of it: the first, where several are equal */
  double seconds;   /* time limit, 0 = none                                           */
  uint32_t steps;   /* nodes of branch and bound, 0 = default; without a time limit the answer depends on nothing else */
  uint64_t seed;    /* of the search for counterexamples                              */
  unsigned threads; /* 0 = 1                                                          */
} qverify_robust_question;

/* Can an input of the box make another element the largest? VERIFIED: none can, by exact arithmetic of this library; the texts below
 * let the program `qverify-check` confirm it. FALSIFIED: an input that does was executed. UNKNOWN: everything else. *out is to be freed. */
QVERIFY_API qverify_status qverify_check_robust(qverify_robust **out, const qverify_model *m, const qverify_robust_question *q, qverify_error *err);
QVERIFY_API qverify_verdict qverify_robust_verdict(const qverify_robust *r);
QVERIFY_API const char *qverify_robust_reason(const qverify_robust *r); /* why UNKNOWN, else ""; a sentence without newline */
/* Input i of the counterexample as one sample in storage type, or NULL unless the verdict is FALSIFIED. */
QVERIFY_API const void *qverify_robust_input(const qverify_robust *r, size_t i);
/* Texts for `qverify-check NET PROPERTY CERTIFICATE`; *bytes is their length. The certificate is empty for UNKNOWN. */
QVERIFY_API const char *qverify_robust_net(const qverify_robust *r, size_t *bytes);
QVERIFY_API const char *qverify_robust_property(const qverify_robust *r, size_t *bytes);
QVERIFY_API const char *qverify_robust_certificate(const qverify_robust *r, size_t *bytes);
QVERIFY_API void qverify_robust_free(qverify_robust *r); /* NULL is fine */

#ifdef __cplusplus
}
#endif

#endif
