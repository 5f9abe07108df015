#include "tests/tfl_build.h"

#include <string.h>

/* Parents are written before their children; an offset field is patched when its target gets its place. */

static void u16(qv_buf *b, uint32_t v) {
  unsigned char c[2] = {(unsigned char)v, (unsigned char)(v >> 8)};
  qv_buf_put(b, c, 2);
}

static void u32(qv_buf *b, uint32_t v) {
  u16(b, v & 0xffff);
  u16(b, v >> 16);
}

static void align(qv_buf *b, size_t to) {
  while (b->n % to != 0) qv_buf_put(b, "", 1);
}

static void patch(qv_buf *b, size_t at) { /* the offset at `at` refers to the current end */
  uint32_t v = (uint32_t)(b->n - at);
  for (int i = 0; i < 4; i++) b->p[at + (size_t)i] = (unsigned char)(v >> 8 * i);
}

/* A table being written: every field takes 8 bytes of inline data, absent ones none. */
typedef struct {
  qv_buf *b;
  size_t pos;
  size_t field[16]; /* position of each field's inline data, 0 = absent */
} table;

/* present: bit i set = field i exists. */
static table table_open(qv_buf *b, size_t patch_at, uint32_t present) {
  table t = {.b = b};
  unsigned n = 16, k = 0;
  while (n > 0 && !(present >> (n - 1) & 1)) n--;
  align(b, 8);
  size_t vt = b->n;
  unsigned used = 0;
  for (unsigned i = 0; i < n; i++) used += present >> i & 1;
  u16(b, 4 + 2 * n);
  u16(b, 8 + 8 * used);
  for (unsigned i = 0; i < n; i++) u16(b, present >> i & 1 ? 8 + 8 * k++ : 0);
  align(b, 8);
  t.pos = b->n;
  if (patch_at != SIZE_MAX) patch(b, patch_at);
  u32(b, (uint32_t)(t.pos - vt));
  u32(b, 0);
  k = 0;
  for (unsigned i = 0; i < n; i++)
    if (present >> i & 1) {
      t.field[i] = t.pos + 8 + 8 * (size_t)k++;
      u32(b, 0);
      u32(b, 0);
    }
  return t;
}

static void set(table *t, unsigned id, uint32_t v) {
  for (int i = 0; i < 4; i++) t->b->p[t->field[id] + (size_t)i] = (unsigned char)(v >> 8 * i);
}

static void vec_bytes(qv_buf *b, size_t patch_at, const void *p, size_t n, size_t count) {
  align(b, 8);
  u32(b, 0); /* so that 8-byte elements are aligned */
  patch(b, patch_at);
  u32(b, (uint32_t)count);
  if (n != 0) qv_buf_put(b, p, n);
}

static void string(qv_buf *b, size_t patch_at, const char *s) {
  vec_bytes(b, patch_at, s, strlen(s), strlen(s));
  qv_buf_put(b, "", 1);
}

static void i32s(qv_buf *b, size_t patch_at, const int32_t *v, uint32_t n) { vec_bytes(b, patch_at, v, 4 * (size_t)n, n); }

/* Vector of n offsets; returns the position of the first. */
static size_t offsets(qv_buf *b, size_t patch_at, uint32_t n) {
  align(b, 4);
  patch(b, patch_at);
  u32(b, n);
  size_t at = b->n;
  for (uint32_t i = 0; i < n; i++) u32(b, 0);
  return at;
}

static void write_quantization(qv_buf *b, size_t at, const tb_tensor *t) {
  table q = table_open(b, at, (uint32_t)(t->n_scale != 0) << 2 | (uint32_t)(t->n_zp != 0) << 3 | 1u << 6);
  set(&q, 6, (uint32_t)t->qdim);
  if (t->n_scale != 0) vec_bytes(b, q.field[2], t->scale, 4 * t->n_scale, t->n_scale);
  if (t->n_zp != 0) vec_bytes(b, q.field[3], t->zp, 8 * t->n_zp, t->n_zp);
}

static void write_tensor(qv_buf *b, size_t at, const tb_tensor *t, uint32_t own_buffer) {
  table f = table_open(b, at, 0x3f | (uint32_t)t->sparse << 6 | (uint32_t)(t->sig != NULL) << 7);
  set(&f, 1, (uint32_t)t->type);
  set(&f, 2, t->buffer != 0 ? t->buffer : t->data != NULL ? own_buffer : 0);
  set(&f, 5, t->variable);
  i32s(b, f.field[0], t->dim, t->rank);
  string(b, f.field[3], t->name);
  write_quantization(b, f.field[4], t);
  if (t->sparse) (void)table_open(b, f.field[6], 0);
  if (t->sig != NULL) i32s(b, f.field[7], t->sig, t->rank);
}

static void write_op(qv_buf *b, size_t at, const tb_op *op, uint32_t code_index) {
  bool opts = op->opt_type != 0;
  table f = table_open(b, at, 0x7 | (uint32_t)opts << 3 | (uint32_t)opts << 4);
  set(&f, 0, op->code_index != 0 ? op->code_index : code_index);
  i32s(b, f.field[1], op->in, op->n_in);
  i32s(b, f.field[2], op->out, op->n_out);
  if (!opts) return;
  set(&f, 3, op->opt_type);
  uint32_t present = 0;
  for (const tb_field *o = op->opt; o->bytes != 0; o++) present |= 1u << o->id;
  table t = table_open(b, f.field[4], present);
  for (const tb_field *o = op->opt; o->bytes != 0; o++) set(&t, o->id, o->value);
}

static void write_subgraph(qv_buf *b, size_t at, const tb_model *m) {
  table s = table_open(b, at, 0xf);
  i32s(b, s.field[1], m->in, m->n_in);
  i32s(b, s.field[2], m->out, m->n_out);
  size_t v = offsets(b, s.field[0], m->n_t);
  for (uint32_t i = 0; i < m->n_t; i++) write_tensor(b, v + 4 * (size_t)i, &m->t[i], i + 1);
  v = offsets(b, s.field[3], m->n_op);
  for (uint32_t i = 0; i < m->n_op; i++) write_op(b, v + 4 * (size_t)i, &m->op[i], i);
}

void tb_build(qv_buf *b, const tb_model *m) {
  u32(b, 0);
  qv_buf_str(b, "TFL3");
  table root = table_open(b, 0, 0x17);
  set(&root, 0, m->version);
  size_t v = offsets(b, root.field[1], m->n_op); /* one operator code per operator */
  for (uint32_t i = 0; i < m->n_op; i++) {
    const tb_op *op = &m->op[i];
    table c = table_open(b, v + 4 * (size_t)i, 0x1 | (uint32_t)(op->custom != NULL) << 1 | (uint32_t)!op->only_old << 3);
    set(&c, 0, op->only_old ? (uint32_t)op->code : op->old_code);
    if (!op->only_old) set(&c, 3, (uint32_t)op->code);
    if (op->custom != NULL) string(b, c.field[1], op->custom);
  }
  v = offsets(b, root.field[4], m->n_t + 1); /* buffer i+1 belongs to tensor i */
  (void)table_open(b, v, 0);
  for (uint32_t i = 0; i < m->n_t; i++) {
    table t = table_open(b, v + 4 * ((size_t)i + 1), m->t[i].data != NULL ? 1 : 0);
    if (m->t[i].data != NULL) vec_bytes(b, t.field[0], m->t[i].data, m->t[i].n_data, m->t[i].n_data);
  }
  v = offsets(b, root.field[2], m->n_subgraphs);
  for (uint32_t i = 0; i < m->n_subgraphs; i++) write_subgraph(b, v + 4 * (size_t)i, m);
}

int32_t tb_add(tb_model *m, const char *name, int type, uint32_t rank, const int32_t *dim, float scale, int64_t zp) {
  tb_tensor *t = &m->t[m->n_t];
  *t = (tb_tensor){.name = name, .type = type, .rank = rank, .n_scale = scale != 0, .n_zp = scale != 0};
  for (uint32_t d = 0; d < rank; d++) t->dim[d] = dim[d];
  t->scale[0] = scale;
  t->zp[0] = zp;
  return (int32_t)m->n_t++;
}

int32_t tb_const(tb_model *m, const char *name, int type, uint32_t rank, const int32_t *dim, float scale, int64_t zp, const void *data,
                 size_t n_data) {
  int32_t t = tb_add(m, name, type, rank, dim, scale, zp);
  m->t[t].data = data;
  m->t[t].n_data = n_data;
  return t;
}

tb_op *tb_op_add(tb_model *m, int32_t code, uint8_t opt_type, int32_t x, int32_t w, int32_t b, int32_t y) {
  tb_op *op = &m->op[m->n_op++];
  *op = (tb_op){.code = code, .opt_type = opt_type, .n_out = 1};
  const int32_t in[3] = {x, w, b};
  for (int i = 0; i < 3; i++)
    if (in[i] != -2) op->in[op->n_in++] = in[i];
  op->out[0] = y;
  return op;
}

void tb_opt(tb_op *op, unsigned id, unsigned bytes, uint32_t value) {
  tb_field *o = op->opt;
  while (o->bytes != 0 && o->id != id) o++;
  *o = (tb_field){.id = id, .bytes = bytes, .value = value};
}

void tb_opt_f32(tb_op *op, unsigned id, float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  tb_opt(op, id, 4, bits);
}
