/* Bounds-checked FlatBuffers reader. The bytes are hostile and unaligned; every table, vtable, vector and string access is
 * checked with 64-bit offsets against the file size.
 *
 * Errors are sticky: the first violation is recorded (QV_E_PARSE with its byte offset) and sets `bad`; from then on every
 * accessor returns its default or an empty view. A caller reads a group of fields and tests `bad` once. No accessor ever
 * reads outside [p, p+n), also when `bad`. Format: the FlatBuffers internals document, https://flatbuffers.dev/internals. */
#ifndef QV_FRONTEND_TFLITE_FB_H
#define QV_FRONTEND_TFLITE_FB_H

#include <stdbool.h>

#include "ir/base/status.h"

typedef struct {
  const unsigned char *p;
  size_t n;         /* bytes; at most 2^31 - 1 (offsets are 32 bits) */
  const char *name; /* for messages */
  qv_err *err;
  bool bad;
} qv_fb;

/* A table whose vtable and inline data lie within the file. pos = 0: absent (every field has its default). */
typedef struct {
  size_t pos;
  size_t vt;     /* position of the vtable */
  uint32_t n_vt; /* its size in bytes */
  uint32_t n;    /* size of the inline data in bytes */
} qv_fb_table;

/* A vector whose n elements lie within the file; n = 0: absent or empty. */
typedef struct {
  size_t pos; /* of element 0 */
  uint32_t n;
} qv_fb_vec;

/* Root table. */
qv_fb_table qv_fb_root(qv_fb *fb);
/* Field `id` of t as a table, a vector of elements of `size` bytes, a scalar. */
qv_fb_table qv_fb_sub(qv_fb *fb, const qv_fb_table *t, unsigned id);
qv_fb_vec qv_fb_vector(qv_fb *fb, const qv_fb_table *t, unsigned id, size_t size);
bool qv_fb_bool(qv_fb *fb, const qv_fb_table *t, unsigned id, bool absent);
int8_t qv_fb_i8(qv_fb *fb, const qv_fb_table *t, unsigned id, int8_t absent);
uint8_t qv_fb_u8(qv_fb *fb, const qv_fb_table *t, unsigned id, uint8_t absent);
int32_t qv_fb_i32(qv_fb *fb, const qv_fb_table *t, unsigned id, int32_t absent);
uint32_t qv_fb_u32(qv_fb *fb, const qv_fb_table *t, unsigned id, uint32_t absent);
uint64_t qv_fb_u64(qv_fb *fb, const qv_fb_table *t, unsigned id, uint64_t absent);
float qv_fb_f32(qv_fb *fb, const qv_fb_table *t, unsigned id, float absent);

/* Elements of a vector obtained above with the right element size; i < v->n. */
qv_fb_table qv_fb_at_table(qv_fb *fb, const qv_fb_vec *v, uint32_t i);
int32_t qv_fb_at_i32(const qv_fb *fb, const qv_fb_vec *v, uint32_t i);
int64_t qv_fb_at_i64(const qv_fb *fb, const qv_fb_vec *v, uint32_t i);
float qv_fb_at_f32(const qv_fb *fb, const qv_fb_vec *v, uint32_t i);

/* Little-endian loads from unaligned memory. */
uint16_t qv_le16(const unsigned char *p);
uint32_t qv_le32(const unsigned char *p);
uint64_t qv_le64(const unsigned char *p);

#endif
