/* .qtxt: fully connected fixed-point nets in plain text (docs/inputs.md), the nets of "Scalable Verification of Quantized
 * Neural Networks" (Henzinger, Lechner, Zikelic, AAAI 2021) and of QVIP (Zhang et al., ASE 2022):
 *   acc[o] = bias[o] + sum_i w[i][o] * x[i],   y[o] = min(hi, max(lo, floor((acc[o] + 2^(s-1)) / 2^s)))
 *
 * One statement per line; '#' starts a comment line; blank lines do not count:
 *   name WORD                                                      (optional)
 *   input N LO HI
 *   layers L                                                       (optional; then the file must have L)
 *   layer NIN NOUT shift S clamp LO HI      followed by            (once or more)
 *   bias B_1 .. B_NOUT
 *   NIN lines of NOUT weights: line i has the weights from input i */
#include <string.h>

#include "frontend/load.h"
#include "ir/base/buf.h"

#define ARENA_MAX ((size_t)1 << 31)

typedef struct {
  const char *p, *end;   /* rest of the text                                     */
  const char *tok, *eol; /* rest of the current line                             */
  int64_t line;          /* its number, 1-based; 0 before the first              */
  const char *name;
  qv_net *net;
  uint32_t layers;       /* layers read so far                                   */
  uint32_t out;          /* tensor that the next layer reads; QV_NONE: no input yet */
  int64_t promised;      /* of `layers`, 0 = not given                           */
  bool named;
  qv_err *err;
} reader;

#define BAD(r, code, fmt, ...) fail_at((r), QV_FAIL((r)->err, (code), "%s:%lld: " fmt, (r)->name, (long long)(r)->line, __VA_ARGS__))

static qv_status fail_at(const reader *r, qv_status st) {
  if (r->err != NULL && r->err->line == 0) r->err->line = r->line;
  return st;
}

/* ---- lines and tokens -------------------------------------------------------------------------------------------------- */

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

static void skip_blanks(reader *r) {
  while (r->tok < r->eol && blank(*r->tok)) r->tok++;
}

/* Go to the next line with a statement; false at the end of the text. */
static bool next_line(reader *r) {
  while (r->p < r->end) {
    const char *nl = memchr(r->p, '\n', (size_t)(r->end - r->p));
    r->tok = r->p;
    r->eol = nl != NULL ? nl : r->end;
    r->p = nl != NULL ? nl + 1 : r->end;
    r->line++;
    skip_blanks(r);
    if (r->tok < r->eol && *r->tok != '#') return true;
  }
  r->tok = r->eol = r->end;
  return false;
}

/* Next token of the line; length 0 at its end. */
static size_t token(reader *r, const char **s) {
  skip_blanks(r);
  *s = r->tok;
  while (r->tok < r->eol && !blank(*r->tok)) r->tok++;
  return (size_t)(r->tok - *s);
}

/* For messages: the token's printable beginning. */
static const char *show(char out[32], const char *s, size_t n) {
  size_t k = 0;
  for (; k < n && k < 31; k++) out[k] = s[k] >= ' ' && s[k] <= '~' ? s[k] : '?';
  out[k] = 0;
  return out;
}

static qv_status integer(int64_t *v, reader *r, const char *of, int64_t lo, int64_t hi) {
  const char *s;
  char t[32];
  size_t n = token(r, &s), i = n > 0 && *s == '-';
  int64_t x = 0;
  if (n == 0) return BAD(r, QV_E_PARSE, "expected %s, found the end of the line", of);
  if (i == n) return BAD(r, QV_E_PARSE, "expected %s, found '-'", of);
  bool fits = true;
  for (; i < n; i++) {
    if (s[i] < '0' || s[i] > '9') return BAD(r, QV_E_PARSE, "expected %s (an integer), found '%s'", of, show(t, s, n));
    fits = fits && qv_mul64(&x, x, 10) && qv_add64(&x, x, *s == '-' ? '0' - s[i] : s[i] - '0');
  }
  if (!fits || x < lo || x > hi)
    return BAD(r, QV_E_PARSE, "%s is %s, outside [%lld,%lld]", of, show(t, s, n), (long long)lo, (long long)hi);
  *v = x;
  return QV_OK;
}

static qv_status keyword(reader *r, const char *word) {
  const char *s;
  char t[32];
  size_t n = token(r, &s);
  if (n == strlen(word) && memcmp(s, word, n) == 0) return QV_OK;
  return BAD(r, QV_E_PARSE, "expected '%s', found '%s'", word, n == 0 ? "the end of the line" : show(t, s, n));
}

static qv_status end_of_line(reader *r, const char *after) {
  const char *s;
  char t[32];
  size_t n = token(r, &s);
  return n == 0 ? QV_OK : BAD(r, QV_E_PARSE, "expected the end of the line after %s, found '%s'", after, show(t, s, n));
}

/* ---- building the net ---------------------------------------------------------------------------------------------------- */

static qv_status no_memory(const reader *r) { return QV_FAIL(r->err, QV_E_NOMEM, "%s: out of memory", r->name); }

/* Smallest storage type that holds [lo,hi]; unsigned first, so that pixels 0..255 stay what they are. */
static qv_dtype smallest(int64_t lo, int64_t hi) {
  static const qv_dtype order[] = {QV_U8, QV_I8, QV_U16, QV_I16, QV_I32};
  for (size_t i = 0; i < sizeof order / sizeof *order; i++)
    if (qv_itv_in((qv_itv){lo, hi}, qv_dtype_range(order[i]))) return order[i];
  return QV_I64;
}

/* A vector of n elements named prefix, prefix+number for number > 0; QV_NONE if memory is short. */
static uint32_t vector(reader *r, const char *name, int64_t n, qv_dtype type, int64_t lo, int64_t hi) {
  if (name == NULL) return QV_NONE;
  qv_tensor t = {.name = name, .rank = 1, .dim = {(uint32_t)n}, .type = type, .lo = lo, .hi = hi};
  return qv_net_add_tensor(r->net, &t);
}

/* The parts of one `layer` block. */
typedef struct {
  int64_t n_in, n_out, shift, lo, hi;
  int32_t *w; /* [n_out][n_in] */
  int64_t *b; /* [n_out]       */
} layer;

static qv_affine affine_of(const layer *l, const int32_t *zero) {
  return (qv_affine){.win = {.n = 1, .ih = 1, .iw = 1, .ic = (uint32_t)l->n_in, .oh = 1, .ow = 1, .oc = (uint32_t)l->n_out, .kh = 1,
                             .kw = 1, .sh = 1, .sw = 1, .dh = 1, .dw = 1, .groups = 1},
                     .w = l->w,
                     .n_w_zp = 1,
                     .w_zp = zero,
                     .b = l->b,
                     .acc = {.mode = QV_ACC_EXACT, .order = QV_ORDER_ANY}};
}

/* Append AFFINE and STEP for one layer; r->out becomes the layer's output. */
static qv_status add_layer(reader *r, const layer *l) {
  qv_arena *ar = &r->net->arena;
  uint32_t *in = QV_NEW(ar, 2, uint32_t);
  int32_t *zero = QV_NEW(ar, 1, int32_t);
  qv_rq_par *par = QV_NEW(ar, 1, qv_rq_par);
  if (in == NULL || zero == NULL || par == NULL) return no_memory(r);
  uint32_t acc = vector(r, qv_arena_printf(ar, "layer%u_acc", r->layers), l->n_out, QV_I64, 0, 0);
  uint32_t y = vector(r, qv_arena_printf(ar, "layer%u", r->layers), l->n_out, smallest(l->lo, l->hi), 0, 0);
  in[0] = r->out;
  in[1] = acc;
  *par = (qv_rq_par){.fn = QV_RQ_S, .m = 1, .sh = (int32_t)(31 - l->shift)}; /* floor((acc + 2^(s-1)) / 2^s), s = shift */
  qv_node mac = {.kind = QV_AFFINE, .op = "LAYER", .layer = r->layers, .n_in = 1, .in = in, .out = acc, .u.affine = affine_of(l, zero)};
  qv_node step = {.kind = QV_STEP, .op = "LAYER", .layer = r->layers, .n_in = 1, .in = in + 1, .out = y,
                  .u.step = {.n_par = 1, .par = par, .inner = 1, .lo = l->lo, .hi = l->hi}};
  if (acc == QV_NONE || y == QV_NONE || qv_net_add_node(r->net, &mac) == QV_NONE || qv_net_add_node(r->net, &step) == QV_NONE)
    return no_memory(r);
  r->out = y;
  r->layers++;
  return QV_OK;
}

/* ---- statements ---------------------------------------------------------------------------------------------------------- */

static qv_status read_name(reader *r) {
  const char *s;
  if (r->named) return BAD(r, QV_E_PARSE, "a second '%s'", "name");
  r->named = true;
  if (token(r, &s) == 0) return BAD(r, QV_E_PARSE, "expected %s, found the end of the line", "a name");
  return end_of_line(r, "the name");
}

static qv_status read_layers(reader *r) {
  if (r->promised != 0) return BAD(r, QV_E_PARSE, "a second '%s'", "layers");
  qv_status st = integer(&r->promised, r, "the number of layers", 1, 1000000);
  return st != QV_OK ? st : end_of_line(r, "the number of layers");
}

static qv_status read_input(reader *r) {
  int64_t n, lo, hi;
  qv_status st;
  if (r->out != QV_NONE) return BAD(r, QV_E_PARSE, "a second '%s'", "input");
  QV_TRY(integer(&n, r, "the number of inputs", 1, (int64_t)QV_MAX_ELEMS));
  QV_TRY(integer(&lo, r, "the smallest input value", INT64_MIN, INT64_MAX));
  QV_TRY(integer(&hi, r, "the largest input value", INT64_MIN, INT64_MAX));
  if (lo > hi) return BAD(r, QV_E_PARSE, "input range [%lld,%lld] is empty", (long long)lo, (long long)hi);
  QV_TRY(end_of_line(r, "the input range"));
  r->out = vector(r, "input", n, smallest(lo, hi), lo, hi);
  qv_port p = {.tensor = r->out, .end = QV_END_INT, .name = "input"};
  if (r->out == QV_NONE || !qv_net_add_in(r->net, &p)) return no_memory(r);
done:
  return st;
}

static qv_status read_layer_head(layer *l, reader *r) {
  qv_status st;
  if (r->out == QV_NONE) return BAD(r, QV_E_PARSE, "expected '%s' before the first layer", "input");
  int64_t have = r->net->tensor[r->out].dim[0];
  QV_TRY(integer(&l->n_in, r, "the number of layer inputs", 1, (int64_t)QV_MAX_ELEMS));
  QV_TRY(integer(&l->n_out, r, "the number of layer outputs", 1, (int64_t)QV_MAX_ELEMS));
  QV_TRY(keyword(r, "shift"));
  QV_TRY(integer(&l->shift, r, "the shift", 1, 62));
  QV_TRY(keyword(r, "clamp"));
  QV_TRY(integer(&l->lo, r, "the lower clamp", INT64_MIN, INT64_MAX));
  QV_TRY(integer(&l->hi, r, "the upper clamp", INT64_MIN, INT64_MAX));
  if (l->lo > l->hi) return BAD(r, QV_E_PARSE, "clamp range [%lld,%lld] is empty", (long long)l->lo, (long long)l->hi);
  if (l->n_in != have)
    return BAD(r, QV_E_PARSE, "layer with %lld inputs after %s of %lld", (long long)l->n_in, r->layers == 0 ? "an input" : "a layer",
               (long long)have);
  QV_TRY(end_of_line(r, "the clamp range"));
done:
  return st;
}

/* Room for the numbers of a layer, but only once the text is long enough to hold them: each takes two characters. */
static qv_status layer_room(layer *l, reader *r) {
  int64_t count, left = r->end - r->p;
  if (!qv_mul64(&count, l->n_in + 1, l->n_out) || count > left / 2 + 1)
    return BAD(r, QV_E_PARSE, "a layer of %lld x %lld weights, but only %lld characters follow", (long long)l->n_in, (long long)l->n_out,
               (long long)left);
  l->w = QV_NEW(&r->net->arena, (size_t)(l->n_in * l->n_out), int32_t);
  l->b = QV_NEW(&r->net->arena, (size_t)l->n_out, int64_t);
  return l->w == NULL || l->b == NULL ? no_memory(r) : QV_OK;
}

static qv_status read_bias(layer *l, reader *r) {
  qv_status st;
  if (!next_line(r)) return BAD(r, QV_E_PARSE, "expected '%s', found the end of the file", "bias");
  QV_TRY(keyword(r, "bias"));
  for (int64_t o = 0; o < l->n_out; o++) QV_TRY(integer(&l->b[o], r, "a bias", INT64_MIN, INT64_MAX));
  QV_TRY(end_of_line(r, "the last bias"));
done:
  return st;
}

static qv_status read_weights(layer *l, reader *r) {
  qv_status st = QV_OK;
  for (int64_t i = 0; i < l->n_in; i++) {
    if (!next_line(r))
      return BAD(r, QV_E_PARSE, "expected row %lld of %lld weight rows, found the end of the file", (long long)(i + 1), (long long)l->n_in);
    for (int64_t o = 0; o < l->n_out; o++) {
      int64_t v;
      QV_TRY(integer(&v, r, "a weight", INT32_MIN, INT32_MAX));
      l->w[o * l->n_in + i] = (int32_t)v; /* [oc][ic] */
    }
    QV_TRY(end_of_line(r, "the last weight of a row"));
  }
done:
  return st;
}

static qv_status read_layer(reader *r) {
  layer l = {0};
  qv_status st;
  QV_TRY(read_layer_head(&l, r));
  QV_TRY(layer_room(&l, r));
  QV_TRY(read_bias(&l, r));
  QV_TRY(read_weights(&l, r));
  QV_TRY(add_layer(r, &l));
done:
  return st;
}

static qv_status read_statement(reader *r) {
  static const struct { const char *word; qv_status (*read)(reader *); bool early; } statements[] = {
      {"name", read_name, true}, {"input", read_input, true}, {"layers", read_layers, true}, {"layer", read_layer, false}};
  const char *s;
  char t[32];
  size_t n = token(r, &s);
  for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
    if (strlen(statements[i].word) != n || memcmp(statements[i].word, s, n) != 0) continue;
    if (statements[i].early && r->layers > 0) return BAD(r, QV_E_PARSE, "'%s' after the first layer", statements[i].word);
    return statements[i].read(r);
  }
  return BAD(r, QV_E_PARSE, "expected %s, found '%s'", r->layers > 0 ? "'layer' or the end of the file" : "'name', 'input', 'layers' or 'layer'",
             show(t, s, n));
}

/* ---- the file -------------------------------------------------------------------------------------------------------------- */

static qv_status read_all(reader *r) {
  qv_status st = QV_OK;
  while (next_line(r)) QV_TRY(read_statement(r));
  if (r->layers == 0) return BAD(r, QV_E_PARSE, "the file has no %s", r->out == QV_NONE ? "'input'" : "'layer'");
  if (r->promised != 0 && r->promised != r->layers)
    return BAD(r, QV_E_PARSE, "the file promises %lld layers and has %u", (long long)r->promised, r->layers);
  qv_port p = {.tensor = r->out, .end = QV_END_INT, .name = "output"};
  if (!qv_net_add_out(r->net, &p)) st = no_memory(r);
done:
  return st;
}

static qv_status describe(reader *r, const char *text, size_t n) {
  const char *base = strrchr(r->name, '/');
  base = base != NULL ? base + 1 : r->name;
  r->net->source = qv_arena_str(&r->net->arena, base, strlen(base));
  r->net->profile = "";
  r->net->format = "qtxt";
  qv_sha256_hex(r->net->sha256, text, n);
  return r->net->source != NULL ? QV_OK : no_memory(r);
}

/* The checked ranges tell which storage type an accumulator tensor needs. */
static void narrow_accumulators(qv_net *net) {
  for (uint32_t i = 0; i < net->n_nodes; i++) {
    qv_tensor *t = &net->tensor[net->node[i].out];
    if (net->node[i].kind == QV_AFFINE && qv_itv_in((qv_itv){t->lo, t->hi}, qv_dtype_range(QV_I32))) t->type = QV_I32;
  }
}

qv_status qv_qtxt_read(qv_net **out, const char *text, size_t n, const char *name, qv_err *err) {
  reader r = {.p = text, .end = text + n, .tok = text, .eol = text, .name = name, .net = qv_net_new(ARENA_MAX), .out = QV_NONE, .err = err};
  qv_status st;
  if (r.net == NULL) return no_memory(&r);
  QV_TRY(read_all(&r));
  QV_TRY(describe(&r, text, n));
  QV_TRY(qv_ir_check(r.net, err));
  narrow_accumulators(r.net);
  *out = r.net;
  r.net = NULL;
done:
  qv_net_free(r.net);
  return st;
}
