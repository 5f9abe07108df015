#include "frontend/tflite_fb.h"

#include <string.h>

uint16_t qv_le16(const unsigned char *p) { return (uint16_t)(p[0] | p[1] << 8); }

uint32_t qv_le32(const unsigned char *p) { return (uint32_t)qv_le16(p) | (uint32_t)qv_le16(p + 2) << 16; }

uint64_t qv_le64(const unsigned char *p) { return (uint64_t)qv_le32(p) | (uint64_t)qv_le32(p + 4) << 32; }

static float f32_of(uint32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

static void fail(qv_fb *fb, size_t at, const char *what) {
  fb->bad = true;
  if (fb->err == NULL || fb->err->code != QV_OK) return;
  (void)QV_FAIL(fb->err, QV_E_PARSE, "%s: byte %zu: %s (file truncated or damaged)", fb->name, at, what);
  fb->err->offset = (int64_t)at;
}

/* [at, at+size) lies within the file. Subtraction form: cannot overflow. */
static bool inside(const qv_fb *fb, size_t at, size_t size) { return at <= fb->n && size <= fb->n - at; }

/* Position that the 32-bit offset stored at `at` refers to; 0 on error (position 0 is never a valid target). */
static size_t follow(qv_fb *fb, size_t at) {
  if (fb->bad) return 0;
  if (!inside(fb, at, 4)) {
    fail(fb, at, "an offset lies outside the file");
    return 0;
  }
  uint32_t off = qv_le32(fb->p + at);
  if (off == 0 || !inside(fb, at, (size_t)off + 4)) {
    fail(fb, at, "an offset points outside the file");
    return 0;
  }
  return at + off;
}

static qv_fb_table table_at(qv_fb *fb, size_t pos) {
  const qv_fb_table none = {0};
  qv_fb_table t = {.pos = pos};
  if (fb->bad || pos == 0) return none;
  int64_t vt = (int64_t)pos - (int32_t)qv_le32(fb->p + pos); /* follow() has checked 4 bytes */
  if (vt < 0 || !inside(fb, (size_t)vt, 4)) {
    fail(fb, pos, "a table's vtable lies outside the file");
    return none;
  }
  t.vt = (size_t)vt;
  t.n_vt = qv_le16(fb->p + t.vt);
  t.n = qv_le16(fb->p + t.vt + 2);
  if (t.n_vt < 4 || t.n_vt % 2 != 0 || !inside(fb, t.vt, t.n_vt)) {
    fail(fb, t.vt, "a vtable has an impossible size");
    return none;
  }
  if (t.n < 4 || !inside(fb, t.pos, t.n)) {
    fail(fb, t.vt, "a table has an impossible size");
    return none;
  }
  return t;
}

/* Position of the inline data of a field (`size` bytes), 0 if absent or bad. */
static size_t field(qv_fb *fb, const qv_fb_table *t, unsigned id, size_t size) {
  size_t slot = 4 + 2 * (size_t)id;
  if (fb->bad || t->pos == 0 || slot + 2 > t->n_vt) return 0;
  size_t off = qv_le16(fb->p + t->vt + slot);
  if (off == 0) return 0;
  if (off < 4 || off + size > t->n) {
    fail(fb, t->vt + slot, "a field lies outside its table");
    return 0;
  }
  return t->pos + off;
}

qv_fb_table qv_fb_root(qv_fb *fb) { return table_at(fb, follow(fb, 0)); }

qv_fb_table qv_fb_sub(qv_fb *fb, const qv_fb_table *t, unsigned id) {
  size_t at = field(fb, t, id, 4);
  return table_at(fb, at == 0 ? 0 : follow(fb, at));
}

qv_fb_vec qv_fb_vector(qv_fb *fb, const qv_fb_table *t, unsigned id, size_t size) {
  qv_fb_vec v = {0};
  size_t at = field(fb, t, id, 4);
  if (at == 0) return v;
  at = follow(fb, at);
  if (at == 0) return v;
  uint32_t n = qv_le32(fb->p + at);
  if ((uint64_t)n * size > fb->n - at - 4) { /* n < 2^32, size <= 8: no overflow */
    fail(fb, at, "a vector is longer than the file");
    return v;
  }
  v.pos = at + 4;
  v.n = n;
  return v;
}

bool qv_fb_bool(qv_fb *fb, const qv_fb_table *t, unsigned id, bool absent) { return qv_fb_u8(fb, t, id, absent) != 0; }

int8_t qv_fb_i8(qv_fb *fb, const qv_fb_table *t, unsigned id, int8_t absent) { return (int8_t)qv_fb_u8(fb, t, id, (uint8_t)absent); }

uint8_t qv_fb_u8(qv_fb *fb, const qv_fb_table *t, unsigned id, uint8_t absent) {
  size_t at = field(fb, t, id, 1);
  return at == 0 ? absent : fb->p[at];
}

int32_t qv_fb_i32(qv_fb *fb, const qv_fb_table *t, unsigned id, int32_t absent) { return (int32_t)qv_fb_u32(fb, t, id, (uint32_t)absent); }

uint32_t qv_fb_u32(qv_fb *fb, const qv_fb_table *t, unsigned id, uint32_t absent) {
  size_t at = field(fb, t, id, 4);
  return at == 0 ? absent : qv_le32(fb->p + at);
}

uint64_t qv_fb_u64(qv_fb *fb, const qv_fb_table *t, unsigned id, uint64_t absent) {
  size_t at = field(fb, t, id, 8);
  return at == 0 ? absent : qv_le64(fb->p + at);
}

float qv_fb_f32(qv_fb *fb, const qv_fb_table *t, unsigned id, float absent) {
  size_t at = field(fb, t, id, 4);
  return at == 0 ? absent : f32_of(qv_le32(fb->p + at));
}

qv_fb_table qv_fb_at_table(qv_fb *fb, const qv_fb_vec *v, uint32_t i) { return table_at(fb, follow(fb, v->pos + 4 * (size_t)i)); }

int32_t qv_fb_at_i32(const qv_fb *fb, const qv_fb_vec *v, uint32_t i) { return (int32_t)qv_le32(fb->p + v->pos + 4 * (size_t)i); }

int64_t qv_fb_at_i64(const qv_fb *fb, const qv_fb_vec *v, uint32_t i) { return (int64_t)qv_le64(fb->p + v->pos + 8 * (size_t)i); }

float qv_fb_at_f32(const qv_fb *fb, const qv_fb_vec *v, uint32_t i) { return f32_of(qv_le32(fb->p + v->pos + 4 * (size_t)i)); }
