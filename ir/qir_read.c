/* Reader of .qir (docs/qir.md): one pass, no lookahead beyond one word, exactly the canonical bytes.
 *
 * Failure is sticky: after the first one every primitive does nothing and yields 0 or NULL, so that the functions below
 * read like the grammar. Loops test r->st. No count is believed before `backed` has seen enough text for it, so memory
 * stays below a small multiple of the text. What needs more than the text at hand (ranges of parameters, references that
 * must fit together) is the business of qv_ir_check. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ir/qir.h"
#include "ir/qir_text.h"

typedef struct {
  const char *p, *end;
  int64_t line;
  qv_status st;
  qv_err *err;
  qv_net *net;
  const char *part; /* what is being read: "header", "tensor", ... (static)            */
  uint32_t num;     /* its number, or QV_NONE                                          */
  const char *name; /* its name or op as spelled in the text (quotes included), or NULL */
  size_t name_len;
  const char *kind; /* node kind (static), or NULL                                     */
} reader;

/* ---- failures -------------------------------------------------------------------------------------------------------- */

#define EXCERPT 40

/* What stands at r->p, for a message: printable, cut at EXCERPT. `past` = a blank was in order here, name what follows it. */
static void found(char out[EXCERPT + 4], const reader *r, bool past) {
  const char *p = r->p;
  if (past && r->end - p > 1 && *p == ' ' && p[1] != ' ' && p[1] != '\n') p++;
  if (p == r->end) memcpy(out, "end of text", sizeof "end of text");
  else if (*p == '\n') memcpy(out, "end of line", sizeof "end of line");
  else if (*p == ' ') memcpy(out, "a blank", sizeof "a blank");
  else {
    size_t n = 0;
    out[n++] = '\'';
    for (; p < r->end && *p != '\n' && *p != ' ' && n < EXCERPT; p++) out[n++] = *p >= 0x20 && *p < 0x7f ? *p : '?';
    out[n++] = '\'';
    out[n] = 0;
  }
}

static void fail(reader *r, qv_status code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int label(const reader *r) { return (int)(r->name_len < 60 ? r->name_len : 60); }

static void fail(reader *r, qv_status code, const char *fmt, ...) {
  if (r->st != QV_OK) return;
  char what[160], where[160] = "";
  int n = 0;
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(what, sizeof what, fmt, ap);
  va_end(ap);
  if (r->num != QV_NONE) n = snprintf(where, sizeof where, " %lu", (unsigned long)r->num);
  if (r->kind != NULL && r->name != NULL) (void)snprintf(where + n, sizeof where - (size_t)n, " (%s %.*s)", r->kind, label(r), r->name);
  else if (r->kind != NULL) (void)snprintf(where + n, sizeof where - (size_t)n, " (%s)", r->kind);
  else if (r->name != NULL) (void)snprintf(where + n, sizeof where - (size_t)n, " (%.*s)", label(r), r->name);
  if (r->err != NULL && r->err->code == QV_OK) r->err->line = r->line;
  r->st = qv_fail(r->err, code, "qv_qir_read", "%s%s: %s", r->part, where, what);
}

static void expected(reader *r, const char *what, bool past) {
  char f[EXCERPT + 4];
  found(f, r, past);
  fail(r, QV_E_PARSE, "expected %s, found %s", what, f);
}

static void no_memory(reader *r) { fail(r, QV_E_NOMEM, "out of memory"); }

/* Now reading `part` number `num` (QV_NONE: there is only one). */
static void enter(reader *r, const char *part, uint32_t num) {
  if (r->st != QV_OK) return;
  r->part = part;
  r->num = num;
  r->name = r->kind = NULL;
}

/* ---- tokens ---------------------------------------------------------------------------------------------------------- */

/* Exactly these bytes: keywords with the blanks around them. */
static void lit(reader *r, const char *s) {
  if (r->st != QV_OK) return;
  size_t n = strlen(s);
  if ((size_t)(r->end - r->p) >= n && memcmp(r->p, s, n) == 0) {
    r->p += n;
    return;
  }
  char t[32];
  size_t from = s[0] == ' ', len = n - from - (n > from + 1 && s[n - 1] == ' ');
  if (len == 0) (void)snprintf(t, sizeof t, "one more item");
  else (void)snprintf(t, sizeof t, "'%.*s'", (int)len, s + from);
  expected(r, t, s[0] == ' ');
}

static void eol(reader *r) {
  if (r->st != QV_OK) return;
  if (r->p < r->end && *r->p == '\n') {
    r->p++;
    r->line++;
  } else expected(r, "end of line", true);
}

/* Canonical decimal in [lo,hi]: 0, or an optional '-' and digits without leading zero. Whatever follows the digits must
 * be matched by the caller's next primitive, so it ends the number. */
static inline int64_t number(reader *r, int64_t lo, int64_t hi) {
  if (r->st != QV_OK) return 0;
  const char *p = r->p, *digits;
  bool neg = p < r->end && *p == '-', big = false;
  uint64_t u = 0;
  digits = p += neg;
  for (; p < r->end && *p >= '0' && *p <= '9'; p++) {
    uint64_t d = (uint64_t)(*p - '0');
    big |= u > (UINT64_MAX - 9) / 10;
    u = u * 10 + d;
  }
  bool canon = p > digits && !(*digits == '0' && (neg || p - digits > 1)) && !(p < r->end && *p != ' ' && *p != '\n');
  if (canon && !big && u <= (uint64_t)INT64_MAX + neg) {
    int64_t v = neg ? -(int64_t)(u - 1) - 1 : (int64_t)u;
    if (lo <= v && v <= hi) {
      r->p = p;
      return v;
    }
  }
  char t[80];
  if (canon) (void)snprintf(t, sizeof t, "a number from %lld to %lld", (long long)lo, (long long)hi);
  else (void)snprintf(t, sizeof t, "a decimal number");
  expected(r, t, false);
  return 0;
}

static uint32_t u32(reader *r) { return (uint32_t)number(r, 0, UINT32_MAX); }
static int32_t i32(reader *r) { return (int32_t)number(r, INT32_MIN, INT32_MAX); }
static int64_t i64(reader *r) { return number(r, INT64_MIN, INT64_MAX); }

/* ` key value` */
static int64_t key_number(reader *r, const char *key, int64_t lo, int64_t hi) {
  lit(r, key);
  return number(r, lo, hi);
}

static uint32_t key_u32(reader *r, const char *key) { return (uint32_t)key_number(r, key, 0, UINT32_MAX); }
static int32_t key_i32(reader *r, const char *key) { return (int32_t)key_number(r, key, INT32_MIN, INT32_MAX); }
static int64_t key_i64(reader *r, const char *key) { return key_number(r, key, INT64_MIN, INT64_MAX); }

static size_t word_length(const reader *r) {
  const char *p = r->p;
  while (p < r->end && *p != ' ' && *p != '\n') p++;
  return (size_t)(p - r->p);
}

/* One of a closed set of words. */
static unsigned word(reader *r, const char *key, qv_qir_words words, const char *what) {
  lit(r, key);
  if (r->st != QV_OK) return 0;
  size_t n = word_length(r);
  for (unsigned i = 0; words(i) != NULL; i++)
    if (strlen(words(i)) == n && memcmp(words(i), r->p, n) == 0) {
      r->p += n;
      return i;
    }
  expected(r, what, false);
  return 0;
}

/* Canonical hex float; single = it must be a binary32 value. */
static double key_real(reader *r, const char *key, bool single) {
  lit(r, key);
  if (r->st != QV_OK) return 0;
  size_t n = word_length(r);
  double v;
  if (!qv_qir_float_get(&v, r->p, n)) {
    expected(r, "a hexadecimal float in canonical form", false);
    return 0;
  }
  /* the comparison first: a conversion out of range would be undefined */
  if (single && (v < -(double)FLT_MAX || v > (double)FLT_MAX || (double)(float)v != v)) {
    expected(r, "a float that binary32 holds", false);
    return 0;
  }
  r->p += n;
  return v;
}

static int escape_value(const char *p, const char *end) {
  if (end - p < 4 || p[1] != 'x') return -1;
  int v = 0;
  for (int i = 2; i < 4; i++) {
    if (p[i] >= '0' && p[i] <= '9') v = v * 16 + (p[i] - '0');
    else if (p[i] >= 'a' && p[i] <= 'f') v = v * 16 + (p[i] - 'a' + 10);
    else return -1;
  }
  return v == 0 || (v >= 0x20 && v <= 0x7e) ? -1 : v; /* no NUL in a name; printable bytes stand for themselves */
}

/* Quoted string. In place of a first pass for the length: the decoded text is never longer than the quoted one. */
static const char *string(reader *r, const char *key) {
  lit(r, key);
  if (r->st != QV_OK) return "";
  if (r->p == r->end || *r->p != '"') {
    expected(r, "a quoted string", false);
    return "";
  }
  const char *p = r->p + 1;
  while (p < r->end && *p != '"' && *p != '\n') p += *p == '\\' && r->end - p > 1 ? 2 : 1;
  if (p >= r->end || *p != '"') {
    fail(r, QV_E_PARSE, "the string does not end on its line");
    return "";
  }
  char *s = qv_arena_alloc(&r->net->arena, (size_t)(p - r->p), 1), *o = s;
  if (s == NULL) {
    no_memory(r);
    return "";
  }
  for (const char *q = r->p + 1; q < p; q++) {
    unsigned char c = (unsigned char)*q;
    if (c < 0x20 || c > 0x7e) {
      if (c == 0) fail(r, QV_E_PARSE, "a string cannot hold a NUL byte");
      else fail(r, QV_E_PARSE, "byte 0x%02x in a string must be written as \\x%02x", c, c);
      return "";
    }
    if (c == '\\') {
      int v = q[1] == '"' || q[1] == '\\' ? q[1] : escape_value(q, p);
      if (v < 0) {
        fail(r, QV_E_PARSE, "unknown or needless escape in a string (only \\\", \\\\ and \\x01..\\x1f, \\x7f..\\xff)");
        return "";
      }
      q += q[1] == 'x' ? 3 : 1;
      c = (unsigned char)v;
    }
    *o++ = (char)c;
  }
  r->p = p + 1;
  return s;
}

/* As string, and the text names the part being read in messages from now on. */
static const char *name(reader *r, const char *key) {
  const char *start = r->p, *s = string(r, key);
  if (r->st == QV_OK) {
    r->name = start + strlen(key);
    r->name_len = (size_t)(r->p - r->name);
  }
  return s;
}

/* ---- counted things -------------------------------------------------------------------------------------------------- */

/* True if the rest of the text can hold n items: each takes a digit and a separator at least. */
static bool backed(reader *r, size_t n, const char *what) {
  if (r->st != QV_OK) return false;
  if (n <= (size_t)(r->end - r->p) / 2) return true;
  fail(r, QV_E_PARSE, "the text ends before its %zu %s", n, what);
  return false;
}

/* NULL if and only if the reader has failed. */
static void *array(reader *r, size_t n, size_t size, const char *what) {
  if (!backed(r, n, what)) return NULL;
  void *p = qv_arena_alloc(&r->net->arena, n, size);
  if (p == NULL) no_memory(r);
  return p;
}

static void fill_i32(reader *r, int32_t *v, size_t n) {
  for (size_t i = 0; i < n && r->st == QV_OK; i++) v[i] = key_i32(r, " ");
}

static int32_t *i32s(reader *r, size_t n, const char *what) {
  int32_t *v = array(r, n, sizeof *v, what);
  fill_i32(r, v, n);
  return v;
}

static uint32_t *u32s(reader *r, size_t n, const char *what) {
  uint32_t *v = array(r, n, sizeof *v, what);
  for (size_t i = 0; i < n && r->st == QV_OK; i++) v[i] = key_u32(r, " ");
  return v;
}

static int16_t *i16s(reader *r, size_t n, const char *what) {
  int16_t *v = array(r, n, sizeof *v, what);
  for (size_t i = 0; i < n && r->st == QV_OK; i++) v[i] = (int16_t)key_number(r, " ", INT16_MIN, INT16_MAX);
  return v;
}

static int64_t *i64s(reader *r, size_t n, const char *what) {
  int64_t *v = array(r, n, sizeof *v, what);
  for (size_t i = 0; i < n && r->st == QV_OK; i++) v[i] = key_i64(r, " ");
  return v;
}

static float *floats(reader *r, size_t n, const char *what) {
  float *v = array(r, n, sizeof *v, what);
  for (size_t i = 0; i < n && r->st == QV_OK; i++) v[i] = (float)key_real(r, " ", true);
  return v;
}

/* Product of counts for `backed`, which refuses SIZE_MAX. */
static size_t times(size_t a, size_t b) {
  size_t p;
  return qv_mulz(&p, a, b) ? p : SIZE_MAX;
}

static uint32_t tensor_ref(reader *r, const char *key) {
  uint32_t t = key_u32(r, key);
  if (r->st == QV_OK && t >= r->net->n_tensors) {
    fail(r, QV_E_PARSE, "there is no tensor %lu (the net has %lu)", (unsigned long)t, (unsigned long)r->net->n_tensors);
    return 0;
  }
  return t;
}

/* ---- header, tensors, ports ------------------------------------------------------------------------------------------ */

static void read_sha256(reader *r) {
  lit(r, "sha256 \"");
  if (r->st != QV_OK) return;
  size_t n = 0;
  char *hex = r->net->sha256;
  for (; n < 64 && r->p + n < r->end; n++) {
    char c = r->p[n];
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) break;
    hex[n] = c;
  }
  if ((n != 0 && n != 64) || r->p + n == r->end || r->p[n] != '"')
    fail(r, QV_E_PARSE, "sha256 must be empty or 64 lower-case hexadecimal digits");
  r->p += n;
  lit(r, "\"");
  eol(r);
}

static void read_head(reader *r) {
  qv_net *net = r->net;
  enter(r, "header", QV_NONE);
  lit(r, "qir ");
  if (r->st == QV_OK && word_length(r) != 1) expected(r, "version '1'", false);
  lit(r, "1");
  eol(r);
  net->source = string(r, "source ");
  eol(r);
  read_sha256(r);
  net->profile = string(r, "profile ");
  eol(r);
  net->format = string(r, "format ");
  eol(r);
  uint32_t n = key_u32(r, "notes ");
  eol(r);
  if (n > QV_QIR_MAX_NOTES) fail(r, QV_E_PARSE, "more than %d notes", QV_QIR_MAX_NOTES);
  for (uint32_t i = 0; i < n && r->st == QV_OK; i++) {
    const char *text = string(r, "note ");
    eol(r);
    if (r->st != QV_OK) return;
    if (!qv_net_add_note(net, text)) no_memory(r);
    else if (net->n_notes != i + 1) {
      r->line--; /* it is the line before that is at fault */
      fail(r, QV_E_PARSE, "note %lu repeats an earlier one", (unsigned long)i);
    }
  }
}

static void read_tensor(reader *r, uint32_t i) {
  qv_tensor t = {0};
  enter(r, "tensor", i);
  if (key_u32(r, "tensor ") != i) fail(r, QV_E_PARSE, "tensors must be numbered 0, 1, 2, ... in order");
  t.name = name(r, " name ");
  t.type = (qv_dtype)word(r, " type ", qv_qir_dtype, "a storage type");
  t.rank = (uint32_t)key_number(r, " dims ", 0, QV_MAX_RANK);
  size_t n = 1;
  for (uint32_t d = 0; d < t.rank; d++) {
    t.dim[d] = (uint32_t)key_number(r, " ", 1, UINT32_MAX);
    n = times(n, t.dim[d]);
  }
  lit(r, " scale ");
  if (r->st == QV_OK && word_length(r) == 4 && memcmp(r->p, "none", 4) == 0) lit(r, "none");
  else {
    t.has_q = true;
    t.scale = (float)key_real(r, "", true);
    t.zp = key_i32(r, " zp ");
  }
  bool constant = word(r, " const ", qv_qir_yes, "'no' or 'yes'") != 0;
  eol(r);
  if (constant) {
    lit(r, "data");
    t.data = i32s(r, n, "elements");
    eol(r);
  }
  if (r->st == QV_OK && qv_net_add_tensor(r->net, &t) == QV_NONE) no_memory(r);
}

static void read_input(reader *r, uint32_t i) {
  enter(r, "input", i);
  if (key_u32(r, "input ") != i) fail(r, QV_E_PARSE, "inputs must be numbered 0, 1, 2, ... in order");
  qv_port p = {.tensor = tensor_ref(r, " tensor ")};
  int64_t lo = key_i64(r, " lo "), hi = key_i64(r, " hi ");
  p.end = (qv_end)word(r, " end ", qv_qir_end, "an end ('int', 'quant_away', ...)");
  p.name = name(r, " name ");
  eol(r);
  if (r->st != QV_OK) return;
  r->net->tensor[p.tensor].lo = lo;
  r->net->tensor[p.tensor].hi = hi;
  if (!qv_net_add_in(r->net, &p)) no_memory(r);
}

static void read_output(reader *r, uint32_t i) {
  enter(r, "output", i);
  if (key_u32(r, "output ") != i) fail(r, QV_E_PARSE, "outputs must be numbered 0, 1, 2, ... in order");
  qv_port p = {.tensor = tensor_ref(r, " tensor ")};
  p.end = (qv_end)word(r, " end ", qv_qir_end, "an end ('int' or 'dequant')");
  p.name = name(r, " name ");
  lit(r, " tail ");
  if (r->st == QV_OK && word_length(r) == 4 && memcmp(r->p, "none", 4) == 0) lit(r, "none");
  else p.tail = string(r, "");
  eol(r);
  if (r->st == QV_OK && !qv_net_add_out(r->net, &p)) no_memory(r);
}

/* ---- nodes ----------------------------------------------------------------------------------------------------------- */

static void read_window(reader *r, qv_window *w) {
  lit(r, "window");
  for (const qv_qir_field *f = qv_qir_window; f->key != NULL; f++) {
    uint32_t v = (uint32_t)key_number(r, f->key, f->least, UINT32_MAX);
    memcpy((char *)w + f->offset, &v, sizeof v);
  }
  if (r->st == QV_OK && w->ic % w->groups != 0) fail(r, QV_E_PARSE, "groups must divide ic");
  eol(r);
}

static void read_acc(reader *r, qv_acc *a) {
  a->mode = (qv_acc_mode)word(r, "acc ", qv_qir_acc, "an accumulator mode");
  if (a->mode != QV_ACC_EXACT) a->bits = (uint8_t)key_number(r, " bits ", 2, 64);
  a->order = (qv_order)word(r, " order ", qv_qir_order, "'kernel' or 'any'");
  a->bias = (qv_bias_place)word(r, " bias ", qv_qir_bias, "'last' or 'first'");
  a->raw = word(r, " form ", qv_qir_form, "'corrected' or 'raw'") != 0;
  if (qv_acc_pairs(a)) a->pairing = (qv_pairing)word(r, " pairing ", qv_qir_pairing, "'adjacent' or 'k8'");
  if (qv_acc_lanes(a)) {
    a->lanes = (uint16_t)key_number(r, " lanes ", 1, 64);
    a->lane_bits = a->mode == QV_ACC_LANES ? (uint8_t)key_number(r, " lane_bits ", 8, 32) : 16;
    a->lane_sat = word(r, " lane ", qv_qir_lane, "'wrap' or 'sat'") != 0;
    a->spill = key_u32(r, " spill ");
  }
  eol(r);
}

static void read_affine(reader *r, qv_affine *a) {
  qv_window *w = &a->win;
  read_window(r, w);
  read_acc(r, &a->acc);
  a->x_zp = key_i32(r, "x_zp ");
  eol(r);
  a->n_w_zp = key_u32(r, "w_zp ");
  a->w_zp = i32s(r, a->n_w_zp, "weight zero points");
  eol(r);
  lit(r, "b");
  a->b = i64s(r, w->oc, "biases");
  eol(r);
  lit(r, "w");
  eol(r);
  if (r->st != QV_OK) return;
  size_t k = times(times(w->kh, w->kw), w->ic / w->groups);
  int32_t *v = array(r, times(k, w->oc), sizeof *v, "weights");
  for (uint32_t c = 0; c < w->oc && r->st == QV_OK; c++) {
    v[c * k] = i32(r);
    fill_i32(r, v + c * k + 1, k - 1);
    eol(r);
  }
  a->w = v;
}

static void read_par(reader *r, qv_rq_par *p) {
  p->fn = (qv_rq)word(r, "", qv_qir_rq, "a requantization function");
  unsigned fields = qv_qir_rq_fields(p->fn);
  bool single = fields & QV_QIR_F32;
  if (fields & QV_QIR_M) p->m = key_i32(r, " ");
  if (fields & QV_QIR_SH) p->sh = key_i32(r, " ");
  if (fields & QV_QIR_FM) p->M = key_real(r, " ", single);
  if (fields & QV_QIR_FB) p->B = key_real(r, " ", single);
  eol(r);
}

static void read_step(reader *r, qv_step *s) {
  s->in_zp = key_i64(r, "step in_zp ");
  s->lshift = key_u32(r, " lshift ");
  s->out_zp = key_i64(r, " out_zp ");
  s->lo = key_i64(r, " lo ");
  s->hi = key_i64(r, " hi ");
  s->inner = key_u32(r, " inner ");
  eol(r);
  lit(r, "idx ");
  bool by_index = r->st == QV_OK && !(word_length(r) == 4 && memcmp(r->p, "none", 4) == 0);
  if (by_index) {
    s->n_idx = u32(r);
    s->idx = u32s(r, s->n_idx, "indices");
  } else lit(r, "none");
  eol(r);
  s->n_par = key_u32(r, "par ");
  eol(r);
  qv_rq_par *par = array(r, s->n_par, sizeof *par, "parameter sets");
  for (uint32_t c = 0; c < s->n_par && r->st == QV_OK; c++) read_par(r, &par[c]);
  s->par = par;
}

static void read_table(reader *r, qv_table *t) {
  t->lo = key_i64(r, "table lo ");
  t->n = key_u32(r, " n ");
  eol(r);
  lit(r, "t");
  t->t = i32s(r, t->n, "table entries");
  eol(r);
}

static void read_threshold(reader *r, qv_threshold *h) {
  h->inner = key_u32(r, "threshold inner ");
  h->n_par = key_u32(r, " par ");
  eol(r);
  qv_pieces *par = array(r, h->n_par, sizeof *par, "channels");
  for (uint32_t c = 0; c < h->n_par && r->st == QV_OK; c++) {
    par[c].k = (uint32_t)key_number(r, "t ", 0, QV_MAX_THRESHOLDS);
    par[c].t = i64s(r, par[c].k, "thresholds");
    eol(r);
    lit(r, "v");
    par[c].v = i32s(r, (size_t)par[c].k + 1, "values");
    eol(r);
  }
  h->par = par;
}

static void read_sum(reader *r, qv_sum *s, uint32_t n_in) {
  read_acc(r, &s->acc);
  lit(r, "terms");
  eol(r);
  int64_t *c = array(r, n_in, sizeof *c, "terms"), *z = array(r, n_in, sizeof *z, "terms");
  for (uint32_t k = 0; k < n_in && r->st == QV_OK; k++) {
    c[k] = i64(r);
    z[k] = key_i64(r, " ");
    eol(r);
  }
  s->c = c;
  s->z = z;
}

static void read_index(reader *r, qv_index *x, const qv_tensor *out) {
  x->form = (qv_index_form)word(r, "index ", qv_qir_index, "a form of data movement");
  if (r->st != QV_OK) return;
  switch (x->form) {
  case QV_IX_RESHAPE:
  case QV_IX_BROADCAST: break;
  case QV_IX_TRANSPOSE:
    lit(r, " a");
    fill_i32(r, x->a, out->rank);
    break;
  case QV_IX_PAD:
  case QV_IX_SLICE:
    lit(r, " a");
    fill_i32(r, x->a, out->rank);
    lit(r, " b");
    fill_i32(r, x->b, out->rank);
    if (x->form == QV_IX_PAD) x->value = key_i32(r, " value ");
    break;
  case QV_IX_CONCAT: x->axis = key_u32(r, " axis "); break;
  case QV_IX_GATHER:
    x->axis = key_u32(r, " axis ");
    eol(r);
    lit(r, "g");
    if (r->st == QV_OK && x->axis >= out->rank) fail(r, QV_E_PARSE, "the axis is not a dimension of the output");
    if (r->st == QV_OK) x->g = u32s(r, out->dim[x->axis], "gather indices");
    break;
  }
  eol(r);
}

static void read_tail(reader *r, qv_tail *t) {
  t->fn = (qv_tail_fn)word(r, "tail ", qv_qir_tail, "a tail function");
  t->out_zp = key_i64(r, " out_zp ");
  t->lo = key_i64(r, " lo ");
  t->hi = key_i64(r, " hi ");
  switch (t->fn) {
  case QV_TAIL_SOFTMAX_Q:
    t->mult = key_i32(r, " mult ");
    t->ls = key_i32(r, " ls ");
    t->diff_min = key_i32(r, " diff_min ");
    t->out_bits = key_i32(r, " out_bits ");
    break;
  case QV_TAIL_SOFTMAX_F:
    t->out_scale = (float)key_real(r, " out_scale ", true);
    t->round = (qv_tail_round)word(r, " round ", qv_qir_round, "'away' or 'half_up_trunc'");
    eol(r);
    lit(r, "exp");
    t->exp = floats(r, QV_QIR_EXP, "exponentials");
    break;
  case QV_TAIL_SOFTMAX_16:
    t->mult = key_i32(r, " mult ");
    t->ls = key_i32(r, " ls ");
    t->rq = (qv_rq)word(r, " rq ", qv_qir_rq, "a requantization function");
    eol(r);
    lit(r, "lut");
    t->lut = i16s(r, QV_QIR_LUT, "table entries");
    break;
  }
  eol(r);
}

static void read_attributes(reader *r, qv_node *n) {
  qv_tensor *out = &r->net->tensor[n->out];
  switch (n->kind) {
  case QV_AFFINE: read_affine(r, &n->u.affine); break;
  case QV_STEP: read_step(r, &n->u.step); break;
  case QV_TABLE: read_table(r, &n->u.table); break;
  case QV_THRESHOLD: read_threshold(r, &n->u.threshold); break;
  case QV_SUM: read_sum(r, &n->u.sum, n->n_in); break;
  case QV_PRODUCT:
    read_acc(r, &n->u.product.acc);
    n->u.product.z0 = key_i64(r, "product z0 ");
    n->u.product.z1 = key_i64(r, " z1 ");
    eol(r);
    break;
  case QV_MAX: read_window(r, &n->u.max); break;
  case QV_INDEX: read_index(r, &n->u.index, out); break;
  case QV_CLAMP:
    n->u.clamp.lo = key_i64(r, "clamp lo ");
    n->u.clamp.hi = key_i64(r, " hi ");
    eol(r);
    break;
  case QV_WRAP:
    n->u.wrap.bits = (uint8_t)key_number(r, "wrap bits ", 2, 62);
    eol(r);
    break;
  case QV_TAIL: read_tail(r, &n->u.tail); break;
  case QV_OPAQUE:
    out->lo = key_i64(r, "opaque lo ");
    out->hi = key_i64(r, " hi ");
    eol(r);
    break;
  case QV_KINDS: break;
  }
}

static void read_node(reader *r, uint32_t i) {
  qv_node n = {0};
  enter(r, "node", i);
  if (key_u32(r, "node ") != i) fail(r, QV_E_PARSE, "nodes must be numbered 0, 1, 2, ... in order");
  n.kind = (qv_kind)word(r, " ", qv_qir_kind, "a node kind");
  if (r->st == QV_OK) r->kind = qv_kind_name(n.kind);
  n.op = name(r, " op ");
  n.layer = key_u32(r, " layer ");
  n.n_in = key_u32(r, " in ");
  uint32_t *in = array(r, n.n_in, sizeof *in, "inputs");
  for (uint32_t k = 0; k < n.n_in && r->st == QV_OK; k++) in[k] = tensor_ref(r, " ");
  n.in = in;
  n.out = tensor_ref(r, " out ");
  eol(r);
  if (r->st == QV_OK) read_attributes(r, &n);
  if (r->st == QV_OK && qv_net_add_node(r->net, &n) == QV_NONE) no_memory(r);
}

/* `key N` and then N items. */
static void read_list(reader *r, const char *part, const char *key, void (*item)(reader *, uint32_t)) {
  enter(r, part, QV_NONE);
  uint32_t n = key_u32(r, key);
  eol(r);
  for (uint32_t i = 0; i < n && r->st == QV_OK; i++) item(r, i);
}

qv_status qv_qir_read_into(qv_net *net, const char *text, size_t len, qv_err *err) {
  reader r = {.p = text, .end = text + len, .line = 1, .err = err, .net = net, .part = "header", .num = QV_NONE};
  read_head(&r);
  read_list(&r, "list of tensors", "tensors ", read_tensor);
  read_list(&r, "list of inputs", "inputs ", read_input);
  read_list(&r, "list of nodes", "nodes ", read_node);
  read_list(&r, "list of outputs", "outputs ", read_output);
  enter(&r, "end", QV_NONE);
  lit(&r, "end");
  eol(&r);
  if (r.st == QV_OK && r.p != r.end) fail(&r, QV_E_PARSE, "text after the end line");
  return r.st != QV_OK ? r.st : qv_ir_check(net, err);
}

qv_status qv_qir_read(qv_net **out, const char *text, size_t len, qv_err *err) {
  qv_net *net = qv_net_new(0);
  if (net == NULL) return QV_FAIL(err, QV_E_NOMEM, "reading .qir: out of memory");
  qv_status st = qv_qir_read_into(net, text, len, err);
  if (st == QV_OK) *out = net;
  else qv_net_free(net);
  return st;
}
