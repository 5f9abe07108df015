/* N2UQ networks as JSON (docs/n2uq.md): integer weights, learned thresholds behind a chain of real operations. Each quantizer becomes
 * one threshold node, exactly: negative slopes of PReLU give several intervals for one level. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/load.h"
#include "frontend/pwa.h"
#include "ir/base/json.h"
#include "ir/qir_text.h"

#define MAX_LEVELS 256 /* LTQ: at most 8 bits */

typedef struct {
  const char *file;
  qv_net *net;
  qv_err *err;
  char what[64];     /* part being read: "layer 3 (conv)" */
  uint32_t layer, t; /* number of the layer; net tensor that it reads */
  uint32_t h, w, c;  /* its shape: rows, columns, channels */
  bool flat;         /* [c] rather than [h,w,c] */
  qv_surd scale;     /* real value of one step of that tensor; its zero is 0 */
  bool real;         /* no LTQ since the last sum: nothing may follow */
  const char *op;
} n2uq;

/* ---- failures and members ------------------------------------------------------------------------------------------------ */

static qv_status bad(n2uq *N, qv_status code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static qv_status bad(n2uq *N, qv_status code, const char *fmt, ...) {
  char msg[256];
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(msg, sizeof msg, fmt, ap);
  va_end(ap);
  return qv_fail(N->err, code, "n2uq", "%.60s: %s: %s", N->file, N->what, msg);
}

#define PARSE(N, ...) bad((N), QV_E_PARSE, __VA_ARGS__)
#define NOMEM(N) bad((N), QV_E_NOMEM, "out of memory or above the size limit")

/* Only these keys. */
static qv_status keys(n2uq *N, const cJSON *o, const char *const *known) {
  if (!cJSON_IsObject(o)) return PARSE(N, "an object is expected");
  for (const cJSON *e = o->child; e != NULL; e = e->next) {
    size_t i = 0;
    while (known[i] != NULL && strcmp(known[i], e->string) != 0) i++;
    if (known[i] == NULL) return PARSE(N, "unknown member '%.40s'", e->string);
  }
  return QV_OK;
}

static const cJSON *member(const cJSON *o, const char *key) { return cJSON_GetObjectItemCaseSensitive(o, key); }

/* Decimal text as the rational that it says. */
static bool decimal(mpq_t q, const char *s) {
  mpz_t ten;
  long shift = 0, digits = 0;
  bool neg = *s == '-', dot = false;
  mpq_set_ui(q, 0, 1);
  for (s += neg; (*s >= '0' && *s <= '9') || *s == '.'; s++) {
    if (*s == '.') {
      dot = true;
      continue;
    }
    if (++digits > 400) return false;
    mpz_mul_ui(mpq_numref(q), mpq_numref(q), 10);
    mpz_add_ui(mpq_numref(q), mpq_numref(q), (unsigned long)(*s - '0'));
    shift -= dot;
  }
  if (*s == 'e' || *s == 'E') {
    long e = strtol(s + 1, NULL, 10); /* JSON has been checked: nothing but the exponent follows */
    if (e > 400 || e < -400) return false;
    shift += e;
  } else if (*s != 0) return false;
  mpz_init(ten);
  mpz_ui_pow_ui(ten, 10, (unsigned long)(shift < 0 ? -shift : shift));
  if (shift > 0) mpz_mul(mpq_numref(q), mpq_numref(q), ten);
  else mpz_set(mpq_denref(q), ten);
  mpz_clear(ten);
  mpq_canonicalize(q);
  if (neg) mpq_neg(q, q);
  return true;
}

/* A real number: a JSON number, exactly as written, or a string with a hexadecimal float as docs/qir.md spells it. */
static qv_status real(n2uq *N, const cJSON *v, const char *key, qv_surd *x) {
  double d;
  qv_surd_set_i64(x, 0);
  bool ok = v != NULL && ((cJSON_IsNumber(v) && v->valuestring != NULL && decimal(x->p, v->valuestring)) ||
                          (cJSON_IsString(v) && qv_qir_float_get(&d, v->valuestring, strlen(v->valuestring)) && qv_surd_set_f64(x, d)));
  return ok ? QV_OK : PARSE(N, "'%s' must be a number (of at most 400 digits), or a string like \"0x1.8p-3\"", key);
}

/* One number, or an array of n: c values in all (one repeated). x is initialised here. */
static qv_status reals(n2uq *N, const cJSON *o, const char *key, uint32_t c, bool required, qv_surd **out) {
  const cJSON *v = member(o, key);
  bool many = cJSON_IsArray(v);
  *out = NULL;
  if (v == NULL && !required) return QV_OK;
  if (many && (uint32_t)cJSON_GetArraySize(v) != c) return PARSE(N, "'%s' has %d values for %u channels", key, cJSON_GetArraySize(v), c);
  qv_surd *x = calloc((size_t)c + 1, sizeof *x);
  if (x == NULL) return NOMEM(N);
  for (uint32_t i = 0; i < c; i++) qv_surd_init(&x[i]);
  *out = x;
  qv_status st = QV_OK;
  const cJSON *e = many ? v->child : v;
  for (uint32_t i = 0; st == QV_OK && i < c; i++, e = many ? e->next : e)
    if (i == 0 || many) st = real(N, e, key, &x[i]);
    else qv_surd_set(&x[i], &x[0]);
  return st;
}

static void reals_free(qv_surd *x, uint32_t c) {
  for (uint32_t i = 0; x != NULL && i < c; i++) qv_surd_clear(&x[i]);
  free(x);
}

/* n whole numbers of [lo,hi]; absent: all `absent` (if that is in the range). */
static qv_status wholes(n2uq *N, const cJSON *o, const char *key, uint32_t n, int64_t lo, int64_t hi, int64_t absent, int64_t *out) {
  const cJSON *v = member(o, key), *e;
  for (uint32_t i = 0; i < n; i++) out[i] = absent;
  if (v == NULL && absent >= lo && absent <= hi) return QV_OK;
  if (!cJSON_IsArray(v) || (uint32_t)cJSON_GetArraySize(v) != n) return PARSE(N, "'%s' must be an array of %u whole numbers", key, n);
  e = v->child;
  for (uint32_t i = 0; i < n; i++, e = e->next)
    if (qv_json_int(&out[i], e, lo, hi, key, NULL) != QV_OK)
      return PARSE(N, "'%s': whole numbers from %lld to %lld are expected", key, (long long)lo, (long long)hi);
  return QV_OK;
}

static qv_status whole(n2uq *N, const cJSON *o, const char *key, int64_t lo, int64_t hi, int64_t absent, int64_t *out) {
  const cJSON *v = member(o, key);
  *out = absent;
  if (v == NULL && absent >= lo && absent <= hi) return QV_OK;
  if (v == NULL || qv_json_int(out, v, lo, hi, key, NULL) != QV_OK)
    return PARSE(N, "'%s' must be a whole number from %lld to %lld", key, (long long)lo, (long long)hi);
  return QV_OK;
}

/* ---- building -------------------------------------------------------------------------------------------------------------- */

/* Append a tensor of the current shape (plus the batch dimension 1), written by node n from the current tensor. */
static qv_status append(n2uq *N, qv_node n, qv_dtype type, const char *suffix) {
  qv_itv r = qv_dtype_range(type);
  qv_tensor t = {.type = type, .lo = r.lo, .hi = r.hi, .rank = N->flat ? 2 : 4, .dim = {1, N->h, N->w, N->c}};
  if (N->flat) t.dim[1] = N->c;
  uint32_t *in = QV_NEW(&N->net->arena, 1, uint32_t);
  t.name = qv_arena_printf(&N->net->arena, "layer%u%s", N->layer, suffix);
  if (in == NULL || t.name == NULL) return NOMEM(N);
  in[0] = N->t;
  n.op = N->op;
  n.layer = N->layer;
  n.n_in = 1;
  n.in = in;
  if ((n.out = qv_net_add_tensor(N->net, &t)) == QV_NONE || qv_net_add_node(N->net, &n) == QV_NONE) return NOMEM(N);
  N->t = n.out;
  return QV_OK;
}

/* ---- the learned thresholds ------------------------------------------------------------------------------------------------- */

/* start, a[0..n-1], scale1, scale2: x' = x*scale1; y = scale2 * (2/n) * #{ i : x' > t_i }, t_0 = start + a_0/2,
 * t_i = t_(i-1) + (a_(i-1) + a_i)/2, each a_i at least 1/1000. As a step function of x with values 0..n; *scale = scale2*2/n. */
static qv_status read_ltq(n2uq *N, const cJSON *o, qv_pwa **levels, qv_surd *scale) {
  static const char *const known[] = {"start", "a", "scale1", "scale2", NULL};
  qv_status st;
  const cJSON *a = member(o, "a");
  int n = cJSON_IsArray(a) ? cJSON_GetArraySize(a) : 0;
  qv_surd t, s1, x[2], half, least;
  qv_pwa *f = NULL, *pre = NULL;
  qv_surd *const all[] = {&t, &s1, &x[0], &x[1], &half, &least};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) qv_surd_init(all[i]);
  QV_TRY(keys(N, o, known));
  if (n < 1 || n >= MAX_LEVELS) {
    st = PARSE(N, "'a' must be an array of 1 to %d numbers", MAX_LEVELS - 1);
    goto done;
  }
  QV_TRY(real(N, member(o, "start"), "start", &t));
  QV_TRY(real(N, member(o, "scale1"), "scale1", &s1));
  QV_TRY(real(N, member(o, "scale2"), "scale2", scale));
  if (qv_surd_sign(&s1) == 0 || qv_surd_sign(scale) <= 0) {
    st = PARSE(N, "'scale1' must not be 0, and 'scale2' be positive");
    goto done;
  }
  mpq_set_ui(half.p, 1, 2);
  mpq_set_ui(least.p, 1, 1000);
  f = qv_pwa_new((uint32_t)n + 1);
  if (f == NULL) {
    st = NOMEM(N);
    goto done;
  }
  const cJSON *e = a->child;
  bool ok = true;
  for (int i = 0; ok && i < n; i++, e = e->next) { /* x[1] = a_i / 2, x[0] = a_(i-1) / 2 */
    int c;
    qv_surd_set(&x[0], &x[1]);
    QV_TRY(real(N, e, "a", &x[1]));
    ok = qv_surd_cmp(&c, &x[1], &least);
    if (ok && c < 0) qv_surd_set(&x[1], &least);
    ok = ok && qv_surd_mul(&x[1], &x[1], &half) && (i == 0 || qv_surd_add(&t, &t, &x[0])) && qv_surd_add(&t, &t, &x[1]);
    qv_surd_set(&f->v[i + 1].from, &t); /* strict: the threshold itself belongs to the piece below */
    qv_surd_set_i64(&f->v[i + 1].b, i + 1);
  }
  qv_surd_set_i64(&x[0], 0);
  pre = qv_pwa_affine(&s1, &x[0]);
  st = pre == NULL ? QV_E_NOMEM : qv_pwa_compose(levels, f, pre);
  mpq_set_si(x[1].p, 2, (unsigned long)n);
  mpq_canonicalize(x[1].p);
  ok = ok && qv_surd_mul(scale, scale, &x[1]);
  if (st == QV_E_NOMEM) st = NOMEM(N);
  else if (st != QV_OK || !ok) st = bad(N, QV_E_UNSUP, "the thresholds have no exact form");
done:
  qv_pwa_free(f);
  qv_pwa_free(pre);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) qv_surd_clear(all[i]);
  return st;
}

/* ---- what stands between a sum and its thresholds ------------------------------------------------------------------------------ */

/* f[c] := op_c after f[c] for every channel. */
static qv_status apply(n2uq *N, qv_pwa **f, uint32_t c, qv_pwa *g) {
  qv_pwa *r = NULL;
  qv_status st = g == NULL ? QV_E_NOMEM : qv_pwa_compose(&r, g, f[c]);
  qv_pwa_free(g);
  if (st == QV_E_NOMEM) return NOMEM(N);
  if (st != QV_OK) return bad(N, QV_E_UNSUP, "no exact form: two different square roots meet, or numbers become too large");
  qv_pwa_free(f[c]);
  f[c] = r;
  return QV_OK;
}

static qv_status batchnorm(n2uq *N, const cJSON *o, qv_pwa **f) {
  static const char *const known[] = {"op", "scale", "bias", "mean", "var", "epsilon", NULL};
  static const char *const part[] = {"scale", "bias", "mean", "var", "epsilon"};
  qv_surd *p[5] = {NULL};
  qv_status st;
  qv_surd a, b;
  qv_surd_init(&a);
  qv_surd_init(&b);
  QV_TRY(keys(N, o, known));
  for (int i = 0; i < 5; i++) QV_TRY(reals(N, o, part[i], N->c, true, &p[i]));
  for (uint32_t c = 0; c < N->c; c++) {
    bool ok = qv_surd_add(&p[3][c], &p[3][c], &p[4][c]) && qv_surd_sign(&p[3][c]) > 0 && qv_surd_sqrt(&p[3][c], &p[3][c]) &&
              qv_surd_div(&a, &p[0][c], &p[3][c]) && qv_surd_mul(&b, &a, &p[2][c]) && qv_surd_sub(&b, &p[1][c], &b);
    if (!ok) {
      st = PARSE(N, "channel %u: the variance plus epsilon is not positive", c);
      goto done;
    }
    QV_TRY(apply(N, f, c, qv_pwa_affine(&a, &b)));
  }
done:
  for (int i = 0; i < 5; i++) reals_free(p[i], N->c);
  qv_surd_clear(&a);
  qv_surd_clear(&b);
  return st;
}

/* {"op": "mul" | "add" | "prelu", "value": ...} or {"op": "relu"} or {"op": "batchnorm", ...} */
static qv_status chain(n2uq *N, const cJSON *o, qv_pwa **f) {
  static const char *const known[] = {"op", "value", NULL};
  const cJSON *op = member(o, "op");
  qv_surd *v = NULL, zero, one;
  qv_status st;
  qv_surd_init(&zero);
  qv_surd_init(&one);
  qv_surd_set_i64(&one, 1);
  if (!cJSON_IsString(op)) st = PARSE(N, "an entry of 'then' has no 'op'");
  else if (strcmp(op->valuestring, "batchnorm") == 0) st = batchnorm(N, o, f);
  else {
    const char *name = op->valuestring;
    bool mul = strcmp(name, "mul") == 0, add = strcmp(name, "add") == 0, prelu = strcmp(name, "prelu") == 0,
         relu = strcmp(name, "relu") == 0;
    QV_TRY(keys(N, o, known));
    if (!mul && !add && !prelu && !relu) st = PARSE(N, "unknown op '%.30s'; known: mul, add, prelu, relu, batchnorm", name);
    else st = reals(N, o, "value", N->c, !relu, &v);
    if (st == QV_OK && relu && v != NULL) st = PARSE(N, "relu takes no 'value'");
    for (uint32_t c = 0; st == QV_OK && c < N->c; c++)
      st = apply(N, f, c, mul ? qv_pwa_affine(&v[c], &zero) : add ? qv_pwa_affine(&one, &v[c]) : qv_pwa_slopes(relu ? &zero : &v[c], &one));
  }
done:
  reals_free(v, N->c);
  qv_surd_clear(&zero);
  qv_surd_clear(&one);
  return st;
}

/* Threshold node: levels after f, channel by channel. */
static qv_status quantizer(n2uq *N, qv_pwa *const *f, uint32_t n, const qv_pwa *levels, bool order) {
  qv_pieces *par = QV_NEW(&N->net->arena, n, qv_pieces);
  uint32_t near = 0;
  qv_status st = par == NULL ? NOMEM(N) : QV_OK;
  for (uint32_t c = 0; st == QV_OK && c < n; c++) {
    qv_pwa *g = NULL;
    st = qv_pwa_compose(&g, levels, f[c]);
    if (st == QV_OK) st = qv_pwa_pieces(&par[c], &near, g, order, &N->net->arena);
    qv_pwa_free(g);
    if (st == QV_E_NOMEM) return NOMEM(N);
    if (st != QV_OK) return bad(N, QV_E_UNSUP, "the thresholds have no exact form");
  }
  if (st != QV_OK) return st;
  N->op = "LTQ";
  return append(N, (qv_node){.kind = QV_THRESHOLD, .u.threshold = {.inner = 1, .n_par = n, .par = par}}, QV_U8, order ? "/input" : "/ltq");
}

/* ---- layers --------------------------------------------------------------------------------------------------------------------- */

static qv_status read_acc(n2uq *N, const cJSON *o, qv_acc *acc) {
  int64_t bits = 0, sat = 0;
  qv_status st = QV_OK;
  if (member(o, "wrap_bits") != NULL) QV_TRY(whole(N, o, "wrap_bits", 2, 62, 0, &bits));
  if (member(o, "sat_bits") != NULL) QV_TRY(whole(N, o, "sat_bits", 2, 62, 0, &sat));
  if (bits != 0 && sat != 0) return PARSE(N, "'wrap_bits' and 'sat_bits' exclude each other");
  *acc = (qv_acc){.mode = QV_ACC_EXACT, .order = QV_ORDER_ANY};
  if (bits != 0) *acc = (qv_acc){.mode = QV_ACC_WRAP, .bits = (uint8_t)bits, .order = QV_ORDER_ANY};
  if (sat != 0) *acc = (qv_acc){.mode = QV_ACC_SAT, .bits = (uint8_t)sat, .order = QV_ORDER_KERNEL};
done:
  return st;
}

static qv_status read_window(n2uq *N, const cJSON *o, qv_window *g) {
  int64_t k[2], s[2], p[4];
  qv_status st;
  QV_TRY(wholes(N, o, "kernel", 2, 1, 1 << 14, 0, k));
  QV_TRY(wholes(N, o, "stride", 2, 1, 1 << 14, 1, s));
  QV_TRY(wholes(N, o, "pad", 4, 0, 1 << 14, 0, p)); /* top, left, bottom, right */
  int64_t rh = (int64_t)N->h + p[0] + p[2] - k[0], rw = (int64_t)N->w + p[1] + p[3] - k[1];
  if (N->flat || rh < 0 || rw < 0) return PARSE(N, "the kernel does not fit into the image");
  *g = (qv_window){.n = 1,
                   .ih = N->h,
                   .iw = N->w,
                   .ic = N->c,
                   .oh = (uint32_t)(rh / s[0] + 1),
                   .ow = (uint32_t)(rw / s[1] + 1),
                   .oc = N->c,
                   .kh = (uint32_t)k[0],
                   .kw = (uint32_t)k[1],
                   .sh = (uint32_t)s[0],
                   .sw = (uint32_t)s[1],
                   .dh = 1,
                   .dw = 1,
                   .pt = (uint32_t)p[0],
                   .pl = (uint32_t)p[1],
                   .groups = 1};
done:
  return st;
}

/* Odd whole numbers of [-n, n], n = 2^bits - 1: [out][row][column][channel]. */
static qv_status read_weights(n2uq *N, const cJSON *o, size_t count, int64_t bits, int32_t **out) {
  const cJSON *v = member(o, "weights");
  int64_t n = ((int64_t)1 << bits) - 1, x;
  if (!cJSON_IsArray(v) || (size_t)cJSON_GetArraySize(v) != count)
    return PARSE(N, "'weights' must be an array of %zu whole numbers", count);
  int32_t *w = QV_NEW(&N->net->arena, count, int32_t);
  if (w == NULL) return NOMEM(N);
  const cJSON *e = v->child;
  for (size_t i = 0; i < count; i++, e = e->next) {
    if (qv_json_int(&x, e, -n, n, "weights", NULL) != QV_OK || x % 2 == 0)
      return PARSE(N, "weight %zu: odd whole numbers from %lld to %lld are expected", i, (long long)-n, (long long)n);
    w[i] = (int32_t)x;
  }
  *out = w;
  return QV_OK;
}

/* Behind a last layer without thresholds: the reals must be one increasing function of the sums for all channels. */
static qv_status last_scale(n2uq *N, qv_pwa *const *f) {
  bool same = f[0]->n == 1 && qv_surd_sign(&f[0]->v[0].a) > 0;
  for (uint32_t c = 1; same && c < N->c; c++) same = qv_pwa_equal(f[c], f[0]);
  if (!same) return bad(N, QV_E_UNSUP, "a last layer without 'ltq' must have one positive scale and one bias for all channels");
  qv_surd_set(&N->scale, &f[0]->v[0].a);
  N->real = true;
  return QV_OK;
}

static qv_status sums(n2uq *N, const cJSON *o, bool conv) {
  static const char *const conv_keys[] = {"type",    "name",  "out",  "kernel", "stride",    "pad",      "groups", "bits",
                                          "weights", "scale", "then", "ltq",    "wrap_bits", "sat_bits", NULL};
  static const char *const dense_keys[] = {"type", "name", "out", "bits", "weights", "scale", "then", "ltq", "wrap_bits", "sat_bits", NULL};
  qv_window g = {.n = 1, .ih = 1, .iw = 1, .ic = N->c, .oh = 1, .ow = 1, .kh = 1, .kw = 1, .sh = 1, .sw = 1, .dh = 1, .dw = 1, .groups = 1};
  int64_t out, groups = 1, bits;
  qv_status st;
  qv_acc acc;
  qv_surd *s = NULL, next;
  qv_pwa **f = NULL, *levels = NULL;
  int32_t *w = NULL;
  size_t count;
  qv_surd_init(&next);
  QV_TRY(keys(N, o, conv ? conv_keys : dense_keys));
  if (N->real) {
    st = PARSE(N, "the layer before has no 'ltq'");
    goto done;
  }
  QV_TRY(whole(N, o, "out", 1, 1 << 16, 0, &out));
  QV_TRY(whole(N, o, "bits", 1, 8, 0, &bits));
  if (conv) {
    QV_TRY(read_window(N, o, &g));
    QV_TRY(whole(N, o, "groups", 1, 1 << 16, 1, &groups));
  } else if (!N->flat) {
    st = PARSE(N, "a dense layer needs a flat input; put a 'flatten' layer in front");
    goto done;
  }
  if (N->c % groups != 0 || out % groups != 0) {
    st = PARSE(N, "%lld groups do not divide %u input and %lld output channels", (long long)groups, N->c, (long long)out);
    goto done;
  }
  g.groups = (uint32_t)groups;
  g.oc = (uint32_t)out;
  count = (size_t)g.kh * g.kw * (N->c / g.groups);
  if (!qv_mulz(&count, count, g.oc) || count > QV_MAX_ELEMS || (size_t)g.oh * g.ow * g.oc > QV_MAX_ELEMS) {
    st = bad(N, QV_E_LIMIT, "too many weights or outputs");
    goto done;
  }
  QV_TRY(read_weights(N, o, count, bits, &w));
  QV_TRY(read_acc(N, o, &acc));
  int32_t *wz = QV_NEW(&N->net->arena, 1, int32_t);
  int64_t *b = QV_NEW(&N->net->arena, g.oc, int64_t);
  if (wz == NULL || b == NULL) {
    st = NOMEM(N);
    goto done;
  }
  N->op = conv ? "CONV" : "DENSE";
  N->h = g.oh;
  N->w = g.ow;
  N->c = g.oc;
  QV_TRY(append(N, (qv_node){.kind = QV_AFFINE, .u.affine = {.win = g, .w = w, .n_w_zp = 1, .w_zp = wz, .b = b, .acc = acc}},
                acc.bits != 0 && acc.bits <= 32 ? QV_I32 : QV_I64, ""));
  QV_TRY(reals(N, o, "scale", N->c, true, &s));
  f = calloc(N->c, sizeof *f);
  if (f == NULL) {
    st = NOMEM(N);
    goto done;
  }
  for (uint32_t c = 0; c < N->c; c++) { /* real value of the sum: weight scale times input step */
    qv_surd_set_i64(&next, 0);
    if (qv_surd_sign(&s[c]) == 0 || !qv_surd_mul(&s[c], &s[c], &N->scale)) {
      st = PARSE(N, "channel %u: the scale is 0 or too large", c);
      goto done;
    }
    if ((f[c] = qv_pwa_affine(&s[c], &next)) == NULL) {
      st = NOMEM(N);
      goto done;
    }
  }
  const cJSON *then = member(o, "then");
  if (then != NULL && !cJSON_IsArray(then)) {
    st = PARSE(N, "'then' must be an array");
    goto done;
  }
  for (const cJSON *e = then != NULL ? then->child : NULL; e != NULL; e = e->next) QV_TRY(chain(N, e, f));
  const cJSON *q = member(o, "ltq");
  if (q == NULL) {
    st = last_scale(N, f);
    goto done;
  }
  QV_TRY(read_ltq(N, q, &levels, &next));
  QV_TRY(quantizer(N, f, N->c, levels, false));
  qv_surd_set(&N->scale, &next);
done:
  for (uint32_t c = 0; f != NULL && c < N->c; c++) qv_pwa_free(f[c]);
  free(f);
  reals_free(s, N->c);
  qv_pwa_free(levels);
  qv_surd_clear(&next);
  return st;
}

static qv_status max_pool(n2uq *N, const cJSON *o) {
  static const char *const known[] = {"type", "name", "kernel", "stride", "pad", NULL};
  qv_window g;
  qv_status st;
  QV_TRY(keys(N, o, known));
  QV_TRY(read_window(N, o, &g));
  g.groups = g.ic;
  N->h = g.oh;
  N->w = g.ow;
  N->op = "MAXPOOL";
  QV_TRY(append(N, (qv_node){.kind = QV_MAX, .u.max = g}, N->net->tensor[N->t].type, ""));
done:
  return st;
}

static qv_status flatten(n2uq *N, const cJSON *o) {
  static const char *const known[] = {"type", "name", NULL};
  qv_status st;
  QV_TRY(keys(N, o, known));
  if (!N->flat) {
    N->c *= N->h * N->w; /* the element count of a tensor */
    N->h = N->w = 1;
    N->flat = true;
    N->op = "FLATTEN";
    st = append(N, (qv_node){.kind = QV_INDEX, .u.index = {.form = QV_IX_RESHAPE}}, N->net->tensor[N->t].type, "");
  }
done:
  return st;
}

static qv_status read_layer(n2uq *N, const cJSON *o) {
  const cJSON *type = cJSON_IsObject(o) ? member(o, "type") : NULL;
  const char *t = cJSON_IsString(type) ? type->valuestring : "";
  (void)snprintf(N->what, sizeof N->what, "layer %u (%.30s)", N->layer, t);
  if (strcmp(t, "conv") == 0) return sums(N, o, true);
  if (strcmp(t, "dense") == 0) return sums(N, o, false);
  if (strcmp(t, "maxpool") == 0) return max_pool(N, o);
  if (strcmp(t, "flatten") == 0) return flatten(N, o);
  return PARSE(N, "'type' must be conv, dense, maxpool or flatten");
}

/* ---- ends ----------------------------------------------------------------------------------------------------------------------- */

/* {"shape": [h,w,c] | [k], "bits": b, "scale": s}: integers 0..2^b-1 from the quantizer of an earlier, float layer; or
 * {"shape": .., "ltq": {..}}: float32 values, quantized here. */
static qv_status read_input(n2uq *N, const cJSON *o) {
  static const char *const known[] = {"shape", "bits", "scale", "ltq", NULL};
  const cJSON *shape, *q = member(o, "ltq");
  int64_t d[3] = {1, 1, 1}, bits = 0;
  qv_status st;
  qv_pwa *levels = NULL, *id = NULL;
  qv_surd one, zero;
  qv_surd_init(&one);
  qv_surd_init(&zero);
  qv_surd_set_i64(&one, 1);
  (void)snprintf(N->what, sizeof N->what, "input");
  QV_TRY(keys(N, o, known));
  shape = member(o, "shape");
  N->flat = cJSON_IsArray(shape) && cJSON_GetArraySize(shape) == 1;
  QV_TRY(wholes(N, o, "shape", N->flat ? 1 : 3, 1, 1 << 20, 0, N->flat ? d + 2 : d));
  N->h = (uint32_t)d[0];
  N->w = (uint32_t)d[1];
  N->c = (uint32_t)d[2];
  if ((qv_i128)d[0] * d[1] * d[2] > (qv_i128)QV_MAX_ELEMS) {
    st = bad(N, QV_E_LIMIT, "the input is too large");
    goto done;
  }
  qv_tensor t = {.name = "input", .type = q != NULL ? QV_I32 : QV_U8, .rank = N->flat ? 2 : 4, .dim = {1, N->h, N->w, N->c}};
  if (N->flat) t.dim[1] = N->c;
  qv_port p = {.end = q != NULL ? QV_END_F32_ORDER : QV_END_INT, .name = "input"};
  if (q != NULL) {
    if (member(o, "bits") != NULL || member(o, "scale") != NULL) {
      st = PARSE(N, "an input with 'ltq' takes neither 'bits' nor 'scale'");
      goto done;
    }
    t.lo = -QV_F32_ORDER_MAX;
    t.hi = QV_F32_ORDER_MAX;
  } else {
    QV_TRY(whole(N, o, "bits", 1, 8, 0, &bits));
    QV_TRY(real(N, member(o, "scale"), "scale", &N->scale));
    if (qv_surd_sign(&N->scale) <= 0) {
      st = PARSE(N, "'scale' must be positive");
      goto done;
    }
    t.hi = ((int64_t)1 << bits) - 1;
  }
  if ((N->t = p.tensor = qv_net_add_tensor(N->net, &t)) == QV_NONE || !qv_net_add_in(N->net, &p)) {
    st = NOMEM(N);
    goto done;
  }
  if (q == NULL) goto done;
  QV_TRY(read_ltq(N, q, &levels, &N->scale));
  if ((id = qv_pwa_affine(&one, &zero)) == NULL) {
    st = NOMEM(N);
    goto done;
  }
  QV_TRY(quantizer(N, &id, 1, levels, true));
done:
  qv_pwa_free(levels);
  qv_pwa_free(id);
  qv_surd_clear(&one);
  qv_surd_clear(&zero);
  return st;
}

static qv_status add_output(n2uq *N) {
  qv_port p = {.tensor = N->t, .end = QV_END_INT, .name = "output"};
  qv_tensor *t = &N->net->tensor[N->t];
  float s = (float)mpq_get_d(N->scale.p);
  qv_surd f;
  qv_surd_init(&f);
  bool exact =
      qv_surd_rational(&N->scale) && s >= 0x1p-126f && s <= 0x1p127f && qv_surd_set_f64(&f, (double)s) && mpq_equal(f.p, N->scale.p);
  qv_surd_clear(&f);
  if (exact && !N->real && N->net->n_nodes > 0) {
    t->has_q = true;
    t->scale = s;
    p.end = QV_END_DEQUANT;
  } else if (N->real &&
             !qv_net_add_note(N->net,
                              "the output gives the integer sums of the last layer: their real values are an increasing function of them, "
                              "the same for all channels")) {
    return NOMEM(N);
  }
  return qv_net_add_out(N->net, &p) ? QV_OK : NOMEM(N);
}

static qv_status read_net(n2uq *N, const cJSON *j) {
  static const char *const known[] = {"format", "version", "name", "input", "layers", NULL};
  const cJSON *format, *layers;
  int64_t version;
  qv_status st;
  (void)snprintf(N->what, sizeof N->what, "net");
  QV_TRY(keys(N, j, known));
  format = member(j, "format");
  if (!cJSON_IsString(format) || strcmp(format->valuestring, "n2uq") != 0) return PARSE(N, "'format' must be \"n2uq\"");
  QV_TRY(whole(N, j, "version", 1, 1, 0, &version));
  layers = member(j, "layers");
  if (member(j, "input") == NULL || !cJSON_IsArray(layers) || layers->child == NULL) return PARSE(N, "'input' or 'layers' is missing");
  QV_TRY(read_input(N, member(j, "input")));
  for (const cJSON *e = layers->child; e != NULL; e = e->next, N->layer++) QV_TRY(read_layer(N, e));
  (void)snprintf(N->what, sizeof N->what, "output");
  QV_TRY(add_output(N));
done:
  return st;
}

qv_status qv_n2uq_read(qv_net **out, const char *text, size_t n, const char *name, size_t limit, qv_err *err) {
  n2uq N = {.file = name, .err = err, .op = "INPUT"};
  cJSON *j = NULL;
  qv_status st;
  qv_surd_init(&N.scale);
  qv_surd_set_i64(&N.scale, 1);
  QV_TRY(qv_json_parse(&j, text, n, err));
  if ((N.net = qv_net_new(limit)) == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "%.60s: out of memory", name);
    goto done;
  }
  N.net->format = "n2uq";
  QV_TRY(read_net(&N, j));
  if ((N.net->source = qv_arena_printf(&N.net->arena, "%s", name)) == NULL) {
    st = NOMEM(&N);
    goto done;
  }
  QV_TRY(qv_ir_check(N.net, err));
  *out = N.net;
  N.net = NULL;
done:
  cJSON_Delete(j);
  qv_net_free(N.net);
  qv_surd_clear(&N.scale);
  return st;
}
