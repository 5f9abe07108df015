/* The .qir text form: one text per net, every mistake named. Run from the root of the source tree.
 * Data: tests/corpus/qir (good); the example of docs/qir.md; tests/zoo/qir (bad): NAME.qir has one mistake, NAME.expect says
 * "LINE STATUS: MESSAGE"; line 0 = found by qv_ir_check, then only the beginning of its message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/qir.h"
#include "ir/qir_text.h"
#include "tests/extreme.h"
#include "tests/gen.h"

#define CORPUS "tests/corpus/qir"
#define ZOO "tests/zoo/qir"

static unsigned effort(unsigned n) {
  const char *s = getenv("QV_TEST_MULT");
  double m = s != NULL ? atof(s) : 1;
  return m > 0 ? (unsigned)(n * m) + 1 : n;
}

static qv_rng seeded(const char *what) {
  const char *s = getenv("QV_TEST_SEED");
  uint64_t seed = s != NULL ? strtoull(s, NULL, 0) : 20240611;
  print_message("%s: seed %" PRIu64 "\n", what, seed);
  return (qv_rng){seed};
}

/* ---- comparison: every field that means something --------------------------------------------------------------------- */

#define SAME(a, b, field)                                                                                                                  \
  do {                                                                                                                                     \
    if ((a)->field != (b)->field) return "differs in " #field;                                                                             \
  } while (0)
#define SAME_BYTES(a, b, n)                                                                                                                \
  do {                                                                                                                                     \
    if (memcmp((a), (b), (n) * sizeof *(a)) != 0) return "differs in " #a;                                                                 \
  } while (0)
#define SAME_PART(call)                                                                                                                    \
  do {                                                                                                                                     \
    const char *part_ = (call);                                                                                                            \
    if (part_ != NULL) return part_;                                                                                                       \
  } while (0)
#define SAME_STR(a, b, field)                                                                                                              \
  do {                                                                                                                                     \
    if (strcmp((a)->field, (b)->field) != 0) return "differs in " #field;                                                                  \
  } while (0)

static const char *diff_acc(const qv_acc *a, const qv_acc *b) {
  SAME(a, b, mode);
  SAME(a, b, bits);
  SAME(a, b, order);
  SAME(a, b, bias);
  SAME(a, b, raw);
  SAME(a, b, pairing);
  SAME(a, b, lane_bits);
  SAME(a, b, lane_sat);
  SAME(a, b, lanes);
  SAME(a, b, spill);
  return NULL;
}

static const char *diff_affine(const qv_affine *a, const qv_affine *b) {
  SAME_BYTES(&a->win, &b->win, 1); /* uint32_t only: no padding */
  SAME_PART(diff_acc(&a->acc, &b->acc));
  SAME(a, b, x_zp);
  SAME(a, b, n_w_zp);
  SAME_BYTES(a->w_zp, b->w_zp, a->n_w_zp);
  SAME_BYTES(a->b, b->b, a->win.oc);
  SAME_BYTES(a->w, b->w, (size_t)a->win.oc * a->win.kh * a->win.kw * (a->win.ic / a->win.groups));
  return NULL;
}

static const char *diff_step(const qv_step *a, const qv_step *b) {
  SAME(a, b, in_zp);
  SAME(a, b, lshift);
  SAME(a, b, n_par);
  SAME(a, b, inner);
  SAME(a, b, out_zp);
  SAME(a, b, lo);
  SAME(a, b, hi);
  if ((a->idx == NULL) != (b->idx == NULL)) return "differs in idx";
  if (a->idx != NULL) {
    SAME(a, b, n_idx);
    SAME_BYTES(a->idx, b->idx, a->n_idx);
  }
  for (uint32_t i = 0; i < a->n_par; i++) {
    const qv_rq_par *p = &a->par[i], *q = &b->par[i];
    SAME(p, q, fn);
    SAME(p, q, m);
    SAME(p, q, sh);
    SAME_BYTES(&p->M, &q->M, 1); /* bits, so that -0 is not 0 */
    SAME_BYTES(&p->B, &q->B, 1);
  }
  return NULL;
}

static const char *diff_index(const qv_index *a, const qv_index *b, const qv_tensor *out) {
  SAME(a, b, form);
  switch (a->form) {
  case QV_IX_RESHAPE:
  case QV_IX_BROADCAST: break;
  case QV_IX_PAD: SAME(a, b, value);                   /* fall through */
  case QV_IX_SLICE: SAME_BYTES(a->b, b->b, out->rank); /* fall through */
  case QV_IX_TRANSPOSE: SAME_BYTES(a->a, b->a, out->rank); break;
  case QV_IX_GATHER: SAME_BYTES(a->g, b->g, out->dim[a->axis]); /* fall through */
  case QV_IX_CONCAT: SAME(a, b, axis); break;
  }
  return NULL;
}

static const char *diff_tail(const qv_tail *a, const qv_tail *b) {
  SAME(a, b, fn);
  SAME(a, b, mult);
  SAME(a, b, ls);
  SAME(a, b, diff_min);
  SAME(a, b, out_bits);
  SAME(a, b, rq);
  SAME(a, b, round);
  SAME(a, b, out_zp);
  SAME(a, b, lo);
  SAME(a, b, hi);
  SAME_BYTES(&a->out_scale, &b->out_scale, 1);
  if ((a->lut == NULL) != (b->lut == NULL) || (a->exp == NULL) != (b->exp == NULL)) return "differs in tables";
  if (a->lut != NULL) SAME_BYTES(a->lut, b->lut, 1026);
  if (a->exp != NULL) SAME_BYTES(a->exp, b->exp, 256);
  return NULL;
}

static const char *diff_node(const qv_node *a, const qv_node *b, const qv_tensor *out) {
  SAME(a, b, kind);
  SAME_STR(a, b, op);
  SAME(a, b, layer);
  SAME(a, b, n_in);
  SAME(a, b, out);
  SAME_BYTES(a->in, b->in, a->n_in);
  switch (a->kind) {
  case QV_AFFINE: return diff_affine(&a->u.affine, &b->u.affine);
  case QV_STEP: return diff_step(&a->u.step, &b->u.step);
  case QV_TABLE:
    SAME(a, b, u.table.lo);
    SAME(a, b, u.table.n);
    SAME_BYTES(a->u.table.t, b->u.table.t, a->u.table.n);
    return NULL;
  case QV_THRESHOLD:
    SAME(a, b, u.threshold.inner);
    SAME(a, b, u.threshold.n_par);
    for (uint32_t c = 0; c < a->u.threshold.n_par; c++) {
      const qv_pieces *p = &a->u.threshold.par[c], *q = &b->u.threshold.par[c];
      SAME(p, q, k);
      SAME_BYTES(p->t, q->t, p->k);
      SAME_BYTES(p->v, q->v, p->k + 1);
    }
    return NULL;
  case QV_SUM:
    SAME_BYTES(a->u.sum.c, b->u.sum.c, a->n_in);
    SAME_BYTES(a->u.sum.z, b->u.sum.z, a->n_in);
    return diff_acc(&a->u.sum.acc, &b->u.sum.acc);
  case QV_PRODUCT:
    SAME(a, b, u.product.z0);
    SAME(a, b, u.product.z1);
    return diff_acc(&a->u.product.acc, &b->u.product.acc);
  case QV_MAX: SAME_BYTES(&a->u.max, &b->u.max, 1); return NULL;
  case QV_INDEX: return diff_index(&a->u.index, &b->u.index, out);
  case QV_CLAMP:
    SAME(a, b, u.clamp.lo);
    SAME(a, b, u.clamp.hi);
    return NULL;
  case QV_WRAP: SAME(a, b, u.wrap.bits); return NULL;
  case QV_TAIL: return diff_tail(&a->u.tail, &b->u.tail);
  case QV_OPAQUE:
  case QV_KINDS: break;
  }
  return NULL;
}

static const char *diff_tensor(const qv_tensor *a, const qv_tensor *b) {
  SAME_STR(a, b, name);
  SAME(a, b, rank);
  SAME_BYTES(a->dim, b->dim, a->rank);
  SAME(a, b, type);
  SAME(a, b, has_q);
  SAME(a, b, lo);
  SAME(a, b, hi);
  if (a->has_q) {
    SAME(a, b, scale);
    SAME(a, b, zp);
  }
  if ((a->data == NULL) != (b->data == NULL)) return "differs in data";
  if (a->data != NULL) SAME_BYTES(a->data, b->data, qv_elems(a));
  return NULL;
}

static const char *diff_port(const qv_port *a, const qv_port *b) {
  SAME(a, b, tensor);
  SAME(a, b, end);
  SAME_STR(a, b, name);
  if ((a->tail == NULL) != (b->tail == NULL)) return "differs in tail";
  if (a->tail != NULL) SAME_STR(a, b, tail);
  return NULL;
}

/* NULL if the nets are equal, else the first difference. */
static const char *diff_net(const qv_net *a, const qv_net *b) {
  SAME_STR(a, b, source);
  SAME_STR(a, b, sha256);
  SAME_STR(a, b, profile);
  SAME_STR(a, b, format);
  SAME(a, b, n_tensors);
  SAME(a, b, n_nodes);
  SAME(a, b, n_in);
  SAME(a, b, n_out);
  SAME(a, b, n_notes);
  for (uint32_t i = 0; i < a->n_notes; i++) SAME_STR(a, b, note[i]);
  for (uint32_t i = 0; i < a->n_tensors; i++) SAME_PART(diff_tensor(&a->tensor[i], &b->tensor[i]));
  for (uint32_t i = 0; i < a->n_nodes; i++) SAME_PART(diff_node(&a->node[i], &b->node[i], &a->tensor[a->node[i].out]));
  for (uint32_t i = 0; i < a->n_in; i++) SAME_PART(diff_port(&a->in[i], &b->in[i]));
  for (uint32_t i = 0; i < a->n_out; i++) SAME_PART(diff_port(&a->out[i], &b->out[i]));
  return NULL;
}

/* ---- round trips ------------------------------------------------------------------------------------------------------ */

static void show(const qv_err *e) {
  if (e->code != QV_OK) print_error("line %" PRId64 ": %s: %s\n", e->line, qv_status_name(e->code), e->msg);
}

/* write(net) -> text -> read -> equal net -> write -> equal text. */
static void check_net(const qv_net *net) {
  qv_err err = {0};
  qv_buf one = {0}, two = {0};
  qv_net *back = NULL;
  assert_int_equal(qv_qir_write(&one, net, &err), QV_OK);
  qv_status st = qv_qir_read(&back, (const char *)one.p, one.n, &err);
  show(&err);
  if (st != QV_OK) print_error("%.*s", (int)one.n, (const char *)one.p);
  assert_int_equal(st, QV_OK);
  const char *d = diff_net(net, back);
  if (d != NULL) print_error("%s\n%.*s", d, (int)one.n, (const char *)one.p);
  assert_null(d);
  assert_int_equal(qv_qir_write(&two, back, &err), QV_OK);
  assert_int_equal(one.n, two.n);
  assert_memory_equal(one.p, two.p, one.n);
  qv_net_free(back);
  qv_buf_free(&one);
  qv_buf_free(&two);
}

/* Text written by hand is what the writer writes. Returns the net. */
static qv_net *check_text(const char *text, size_t n) {
  qv_err err = {0};
  qv_net *net = NULL;
  qv_status st = qv_qir_read(&net, text, n, &err);
  show(&err);
  assert_int_equal(st, QV_OK);
  qv_buf out = {0};
  assert_int_equal(qv_qir_write(&out, net, &err), QV_OK);
  if (out.n != n || memcmp(out.p, text, n) != 0) print_error("written instead:\n%.*s", (int)out.n, (const char *)out.p);
  assert_int_equal(out.n, n);
  assert_memory_equal(out.p, text, n);
  qv_buf_free(&out);
  check_net(net);
  return net;
}

static qv_buf file(const char *dir, const char *name) {
  char path[512];
  (void)snprintf(path, sizeof path, "%s%s%s", dir, dir[0] != 0 ? "/" : "", name);
  qv_buf b = {0};
  qv_err err = {0};
  if (qv_file_read(&b, path, (size_t)1 << 26, &err) != QV_OK) fail_msg("%s (run from the root of the source tree)", err.msg);
  return b;
}

static bool ends_in(const char *s, const char *end) {
  size_t n = strlen(s), k = strlen(end);
  return n >= k && strcmp(s + n - k, end) == 0;
}

static int qir_only(const struct dirent *d) { return ends_in(d->d_name, ".qir"); }

static void test_corpus(void **state) {
  (void)state;
  struct dirent **list;
  int n = scandir(CORPUS, &list, qir_only, alphasort);
  assert_true(n >= 3);
  for (int i = 0; i < n; i++) {
    qv_buf b = file(CORPUS, list[i]->d_name);
    print_message("%s\n", list[i]->d_name);
    qv_net_free(check_text((const char *)b.p, b.n));
    qv_buf_free(&b);
    free(list[i]);
  }
  free(list);
}

/* kinds.qir was written by hand; its fields are compared with what docs/qir.md says that the text means. */
static void test_fields(void **state) {
  (void)state;
  qv_buf b = file(CORPUS, "kinds.qir");
  qv_net *net = check_text((const char *)b.p, b.n);
  assert_string_equal(net->source, "by \"hand\".tflite");
  assert_string_equal(net->sha256, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
  assert_string_equal(net->profile, "tflite-double");
  assert_string_equal(net->format, "tflite");
  assert_int_equal(net->n_notes, 2);
  assert_string_equal(net->note[0], "first remark, with a back\\slash and a tab\t.");
  assert_string_equal(net->note[1], "");
  const qv_tensor *t = net->tensor;
  assert_true(t[0].has_q && t[0].scale == 0.01171875f && t[0].zp == -3 && t[0].type == QV_I8 && t[0].data == NULL);
  assert_true(t[0].rank == 4 && t[0].dim[1] == 4 && t[0].dim[3] == 2 && t[0].lo == -128 && t[0].hi == 127);
  assert_true(!t[1].has_q && t[1].scale == 0 && t[1].zp == 0 && t[1].type == QV_U16 && t[1].lo == 7 && t[1].hi == 65535);
  assert_true(t[2].rank == 0 && t[2].data[0] == INT32_MIN && t[2].type == QV_I64);
  assert_true(t[3].scale == FLT_MAX && t[3].zp == INT32_MAX && t[3].data[0] == -32768 && t[3].data[2] == 32767);
  assert_string_equal(t[40].name, "\x01\x1f ~\x7f\x80\xff");
  assert_true(net->in[0].end == QV_END_QUANT_AWAY && net->in[1].end == QV_END_INT && net->in[1].tensor == 1);
  assert_string_equal(net->in[0].name, "serving_default_x:0");
  assert_true(net->out[0].end == QV_END_DEQUANT && net->out[0].tail == NULL && net->out[1].end == QV_END_INT);
  assert_string_equal(net->out[1].name, "none");
  assert_string_equal(net->out[1].tail, "LOG_SOFTMAX");

  const qv_node *n = net->node;
  const qv_affine *a = &n[0].u.affine;
  assert_string_equal(n[0].op, "CONV_2D");
  const qv_window want = {1, 4, 4, 2, 2, 2, 3, 3, 2, 2, 2, 1, 1, 1, 0, 1};
  assert_memory_equal(&a->win, &want, sizeof want);
  assert_true(a->x_zp == -3 && a->n_w_zp == 3 && a->w_zp[1] == -1 && a->w_zp[2] == INT32_MAX);
  assert_true(a->b[0] == -1000000000000000000 && a->b[2] == 1000000000000000000 && a->w[0] == INT32_MIN && a->w[35] == -1);
  assert_true(a->acc.mode == QV_ACC_EXACT && a->acc.bits == 0 && !a->acc.raw);
  const qv_acc w = n[1].u.affine.acc, p = n[4].u.affine.acc, l = n[5].u.affine.acc;
  assert_true(w.mode == QV_ACC_WRAP && w.bits == 64 && w.order == QV_ORDER_ANY && w.bias == QV_BIAS_FIRST && w.raw);
  assert_true(n[2].u.affine.acc.mode == QV_ACC_SAT && n[3].u.affine.acc.mode == QV_ACC_TRAP);
  assert_true(p.mode == QV_ACC_PAIR16 && p.pairing == QV_PAIR_K8 && p.raw && p.bits == 32);
  assert_true(l.mode == QV_ACC_LANES && l.lanes == 64 && l.lane_bits == 16 && l.lane_sat && l.spill == UINT32_MAX);

  const qv_step *s = &n[6].u.step;
  assert_true(s->n_par == 3 && s->idx == NULL && s->par[0].m == INT32_MAX && s->par[0].sh == -31 && s->par[1].m == INT32_MIN);
  assert_true(s->out_zp == -128 && s->lo == -128 && s->hi == 127 && s->inner == 1 && s->in_zp == 0 && s->lshift == 0);
  assert_true(n[7].layer == UINT32_MAX && n[7].op[0] == 0 && n[7].u.step.inner == 3 && n[7].u.step.in_zp == 1);
  s = &n[9].u.step;
  assert_true(s->n_idx == 3 && s->idx[0] == 1 && s->idx[1] == 0 && s->par[0].fn == QV_RQ_64 && s->par[1].fn == QV_RQ_TDIV);
  static const qv_rq fn[] = {QV_RQ_D,   QV_RQ_U,   QV_RQ_S,    QV_RQ_64,  QV_RQ_T,   QV_RQ_TD,
                             QV_RQ_F32, QV_RQ_NDU, QV_RQ_F64A, QV_RQ_REF, QV_RQ_DIV, QV_RQ_MEANF};
  for (int i = 0; i < 12; i++) assert_int_equal(n[6 + i].u.step.par[0].fn, fn[i]);
  assert_int_equal(n[11].u.step.lshift, 31);
  assert_true(n[12].u.step.par[0].M == (double)(2.0f - 1.1920929e-7f) / 512 && n[14].u.step.par[0].M == (2 - 2.220446049250313e-16) / 512);
  s = &n[17].u.step;
  assert_true(s->par[0].m == 16 && s->par[0].M == 1.5 / 512 && s->par[0].B == -10 && s->par[1].fn == QV_RQ_F32B);
  assert_true(1 / s->par[1].B < 0 && s->par[1].m == 0); /* minus zero */

  assert_true(n[18].u.table.lo == -1 && n[18].u.table.n == 3 && n[18].u.table.t[0] == INT32_MIN);
  assert_true(n[19].n_in == 3 && n[19].in[2] == 10 && n[19].u.sum.c[1] == -INT32_MAX && n[19].u.sum.z[0] == -128);
  assert_true(n[19].u.sum.acc.mode == QV_ACC_SAT && n[19].u.sum.acc.bits == 33);
  assert_true(n[20].u.product.z0 == -128 && n[20].u.product.z1 == -4294967296 && n[20].u.product.acc.mode == QV_ACC_TRAP);
  assert_true(n[21].u.max.kh == 2 && n[21].u.max.groups == 2);
  for (int i = 0; i < 7; i++) assert_int_equal(n[22 + i].u.index.form, QV_IX_RESHAPE + i);
  assert_true(n[23].u.index.a[0] == 1 && n[23].u.index.a[1] == 0);
  const qv_index *x = &n[24].u.index;
  assert_true(x->a[1] == 2 && x->b[1] == 1 && x->value == INT32_MIN && n[25].u.index.axis == 0);
  assert_true(n[26].u.index.a[0] == 1 && n[26].u.index.b[0] == -1 && n[26].u.index.b[1] == 2);
  assert_true(n[28].u.index.axis == 1 && n[28].u.index.g[3] == 1 && n[28].u.index.g[4] == 0);
  assert_true(n[29].u.clamp.lo == INT64_MIN && n[29].u.clamp.hi == 6 && n[30].u.wrap.bits == 4);
  const qv_tail *q = &n[31].u.tail;
  assert_true(q->fn == QV_TAIL_SOFTMAX_Q && q->mult == 1077952640 && q->ls == 19 && q->diff_min == -3968 && q->out_bits == 8);
  assert_true(n[32].kind == QV_OPAQUE && t[38].lo == -100 && t[38].hi == INT32_MAX);
  q = &n[35].u.tail;
  assert_true(q->fn == QV_TAIL_SOFTMAX_F && q->round == QV_TR_HALF_UP_TRUNC && q->out_scale == 0.00390625f && q->exp[255] == 1);
  q = &n[36].u.tail;
  assert_true(q->fn == QV_TAIL_SOFTMAX_16 && q->rq == QV_RQ_S && q->ls == -3 && q->lut[512] == 32767 && q->lut[513] == 32767);
  assert_string_equal(n[37].op, "\"");
  qv_net_free(net);
  qv_buf_free(&b);
}

/* The example of the specification is a real one, and computes what the text says. */
static void test_document(void **state) {
  (void)state;
  static const char fence[] = "\n```qir\n";
  qv_buf b = file("", "docs/qir.md");
  unsigned seen = 0;
  for (const char *p = (const char *)b.p; (p = strstr(p, fence)) != NULL; seen++) {
    p += sizeof fence - 1;
    const char *end = strstr(p, "\n```\n");
    assert_non_null(end);
    qv_net *net = check_text(p, (size_t)(end + 1 - p));
    qv_values v;
    assert_int_equal(qv_values_init(&v, net, NULL), QV_OK);
    v.v[0][0] = -128, v.v[0][1] = 127;
    assert_int_equal(qv_ref_run(net, &v, NULL), QV_OK);
    assert_true(v.v[1][0] == -1585 && v.v[1][1] == 33409 && v.v[2][0] == -4 && v.v[2][1] == 70);
    qv_values_clear(&v);
    qv_net_free(net);
  }
  assert_int_equal(seen, 1);
  qv_buf_free(&b);
}

/* ---- random nets ------------------------------------------------------------------------------------------------------ */

/* Any bytes but NUL; `number` keeps names apart. */
static const char *random_string(qv_rng *r, qv_net *net, int64_t number) {
  char t[64];
  int n = number < 0 ? 0 : snprintf(t, sizeof t, "%" PRId64 "|", number);
  for (int k = (int)qv_rng_range(r, 0, 20); k > 0; k--) t[n++] = (char)qv_rng_range(r, 1, qv_rng_range(r, 0, 1) ? 127 : 255);
  const char *s = qv_arena_str(&net->arena, t, (size_t)n);
  assert_non_null(s);
  return s;
}

/* What front ends add to the numbers. */
static void decorate(qv_rng *r, qv_net *net) {
  net->source = random_string(r, net, -1);
  net->profile = random_string(r, net, -1);
  net->format = random_string(r, net, -1);
  if (qv_rng_range(r, 0, 1)) qv_sha256_hex(net->sha256, net->source, strlen(net->source));
  for (int64_t k = qv_rng_range(r, 0, 3); k > 0; k--) assert_true(qv_net_add_note(net, random_string(r, net, k)));
  for (uint32_t i = 0; i < net->n_tensors; i++) {
    qv_tensor *t = &net->tensor[i];
    t->name = random_string(r, net, i);
    t->has_q = qv_rng_range(r, 0, 1);
    if (t->has_q) t->scale = extreme_scale(r), t->zp = (int32_t)extreme_int(r, INT32_MIN, INT32_MAX);
  }
  for (uint32_t i = 0; i < net->n_nodes; i++) {
    net->node[i].op = random_string(r, net, -1);
    net->node[i].layer = (uint32_t)extreme_int(r, 0, UINT32_MAX);
  }
  for (uint32_t i = 0; i < net->n_in; i++) {
    net->in[i].name = random_string(r, net, -1);
    if (net->tensor[net->in[i].tensor].has_q) net->in[i].end = (qv_end)qv_rng_range(r, 0, QV_END_QUANT_INV);
  }
  for (uint32_t i = 0; i < net->n_out; i++) {
    net->out[i].name = random_string(r, net, -1);
    if (net->tensor[net->out[i].tensor].has_q && qv_rng_range(r, 0, 1)) net->out[i].end = QV_END_DEQUANT;
    if (qv_rng_range(r, 0, 1)) net->out[i].tail = random_string(r, net, -1);
  }
}

static void test_random(void **state) {
  (void)state;
  qv_rng r = seeded("random nets");
  uint32_t seen = 0;
  for (unsigned i = 0, n = effort(1500); i < n; i++) {
    qv_net *net = gen_net(&r, &(gen_opts){.kinds = (1u << QV_KINDS) - 1, .max_nodes = 12});
    assert_non_null(net);
    decorate(&r, net);
    qv_err err = {0};
    assert_int_equal(qv_ir_check(net, &err), QV_OK);
    for (uint32_t k = 0; k < net->n_nodes; k++) seen |= 1u << net->node[k].kind;
    check_net(net);
    qv_net_free(net);
  }
  assert_int_equal(seen, (1u << QV_KINDS) - 1);
}

static void test_extreme(void **state) {
  (void)state;
  qv_rng r = seeded("extreme nets");
  unsigned accepted[QV_KINDS] = {0};
  for (unsigned i = 0, n = effort(20000); i < n; i++) {
    qv_kind k = (qv_kind)(i % QV_KINDS);
    qv_net *net = extreme_net(&r, k);
    assert_non_null(net);
    if (qv_ir_check(net, NULL) == QV_OK) {
      accepted[k]++;
      check_net(net);
    }
    qv_net_free(net);
  }
  for (unsigned k = 0; k < QV_KINDS; k++) {
    print_message("  %-8s %u nets\n", qv_kind_name((qv_kind)k), accepted[k]);
    assert_true(accepted[k] >= 20);
  }
}

/* ---- damaged text ----------------------------------------------------------------------------------------------------- */

static void test_truncated(void **state) {
  (void)state;
  qv_buf b = file(CORPUS, "kinds.qir");
  for (size_t n = 0; n<b.n; n += n> 6000 && n < b.n - 1000 ? 8 : 1) {
    char *copy = malloc(n > 0 ? n : 1); /* exact size: a sanitizer sees one byte too far */
    assert_non_null(copy);
    memcpy(copy, b.p, n);
    qv_err err = {0};
    qv_net *net = NULL;
    assert_int_equal(qv_qir_read(&net, copy, n, &err), QV_E_PARSE);
    assert_null(net);
    assert_true(err.line >= 1);
    free(copy);
  }
  qv_buf_free(&b);
}

/* Every text that is accepted is the text of its net. */
static void canonical_or_refused(const char *text, size_t n, unsigned *accepted) {
  qv_err err = {0};
  qv_net *net = NULL;
  qv_status st = qv_qir_read(&net, text, n, &err);
  if (st != QV_OK) {
    assert_int_equal(err.code, st);
    assert_true(err.msg[0] != 0 && strchr(err.msg, '\n') == NULL);
    return;
  }
  qv_buf out = {0};
  assert_int_equal(qv_qir_write(&out, net, &err), QV_OK);
  if (out.n != n || memcmp(out.p, text, n) != 0) print_error("accepted:\n%.*s\n", (int)n, text);
  assert_int_equal(out.n, n);
  assert_memory_equal(out.p, text, n);
  ++*accepted;
  qv_buf_free(&out);
  qv_net_free(net);
}

static void test_one_byte(void **state) {
  (void)state;
  static const char other[] = "019-+ \n\"\\.xpn_\t\r";
  qv_buf b = file(CORPUS, "small.qir");
  char *t = malloc(b.n + 1);
  assert_non_null(t);
  unsigned accepted = 0;
  for (size_t i = 0; i < b.n; i++) {
    memcpy(t, b.p, b.n); /* replaced */
    for (const char *c = other; *c != 0; c++)
      if (b.p[i] != (unsigned char)*c) t[i] = *c, canonical_or_refused(t, b.n, &accepted);
    t[i] = (char)(b.p[i] ^ 0x80);
    canonical_or_refused(t, b.n, &accepted);
    memmove(t + i, b.p + i + 1, b.n - i - 1); /* removed */
    canonical_or_refused(t, b.n - 1, &accepted);
    memcpy(t, b.p, i); /* inserted */
    memcpy(t + i + 1, b.p + i, b.n - i);
    for (const char *c = other; *c != 0; c++) t[i] = *c, canonical_or_refused(t, b.n + 1, &accepted);
  }
  print_message("%u changed texts are other valid nets\n", accepted);
  assert_true(accepted > 100); /* letters of names, digits of weights */
  free(t);
  qv_buf_free(&b);
}

/* Each line left out, doubled, and exchanged with the next one. */
static void test_lines(void **state) {
  (void)state;
  qv_buf b = file(CORPUS, "kinds.qir");
  char *t = malloc(2 * b.n + 2);
  assert_non_null(t);
  unsigned accepted = 0;
  for (size_t from = 0, to; from < b.n; from = to) {
    to = from + 1 + (size_t)((const unsigned char *)memchr(b.p + from, '\n', b.n - from) - (b.p + from));
    const unsigned char *nl = memchr(b.p + to, '\n', b.n - to);
    size_t next = nl != NULL ? (size_t)(nl + 1 - b.p) : to;
    memcpy(t, b.p, from);
    memcpy(t + from, b.p + to, b.n - to);
    canonical_or_refused(t, b.n - (to - from), &accepted);
    memcpy(t, b.p, to);
    memcpy(t + to, b.p + from, b.n - from);
    canonical_or_refused(t, b.n + (to - from), &accepted);
    memcpy(t, b.p, from);
    memcpy(t + from, b.p + to, next - to);
    memcpy(t + from + (next - to), b.p + from, to - from);
    memcpy(t + next, b.p + next, b.n - next);
    canonical_or_refused(t, b.n, &accepted);
  }
  free(t);
  qv_buf_free(&b);
}

static void test_zoo(void **state) {
  (void)state;
  struct dirent **list;
  int n = scandir(ZOO, &list, qir_only, alphasort), bad = 0;
  assert_true(n >= 60);
  for (int i = 0; i < n; i++) {
    char name[300];
    (void)snprintf(name, sizeof name, "%.*s.expect", (int)(strlen(list[i]->d_name) - 4), list[i]->d_name);
    qv_buf text = file(ZOO, list[i]->d_name), want = file(ZOO, name);
    qv_err err = {0};
    qv_net *net = NULL;
    qv_buf got = {0};
    qv_status st = qv_qir_read(&net, (const char *)text.p, text.n, &err);
    if (st == QV_OK) qv_buf_str(&got, "accepted\n");
    else qv_buf_printf(&got, "%" PRId64 " %s: %s\n", err.line, qv_status_name(st), err.msg);
    assert_false(got.failed);
    /* a finding of qv_ir_check has no line, and its wording is not the reader's: only its beginning is compared */
    size_t k = want.n > 0 && want.p[0] == '0' ? want.n - 1 : got.n > want.n ? got.n : want.n;
    if (got.n < k || want.n < k || memcmp(got.p, want.p, k) != 0) {
      print_error("%s\n  expected %.*s  got      %.*s", list[i]->d_name, (int)want.n, (const char *)want.p, (int)got.n,
                  (const char *)got.p);
      bad++;
    }
    qv_net_free(net);
    qv_buf_free(&text);
    qv_buf_free(&want);
    qv_buf_free(&got);
    free(list[i]);
  }
  free(list);
  print_message("%d files\n", n);
  assert_int_equal(bad, 0);
}

/* A count without the text for it costs nothing. */
static void test_memory(void **state) {
  (void)state;
  static const char *const claim[] = {
      "tensor 0 name \"x\" type i8 dims 1 4 scale none const yes\ndata 1 1 1", /* one too many */
      "tensor 0 name \"x\" type i8 dims 1 4294967295 scale none const yes\ndata 1",
      "tensor 0 name \"x\" type i8 dims 8 4294967295 4294967295 4294967295 4294967295 4294967295 4294967295 4294967295 4294967295 scale "
      "none const yes\ndata 1",
      "tensor 0 name \"x\" type i8 dims 1 9 scale none const no\ninputs 0\nnodes 1\nnode 0 sum op \"\" layer 0 in 4294967295 0",
      "tensor 0 name \"x\" type i8 dims 1 9 scale none const no\ninputs 0\nnodes 1\nnode 0 table op \"\" layer 0 in 1 0 out 0\ntable lo 0 "
      "n 4294967295\nt 0",
      "tensor 0 name \"x\" type i8 dims 1 9 scale none const no\ninputs 0\nnodes 1\nnode 0 threshold op \"\" layer 0 in 1 0 out 0\n"
      "threshold inner 1 par 4294967295\nt 0\nv 0\n",
      "tensor 0 name \"x\" type i8 dims 1 9 scale none const no\ninputs 0\nnodes 1\nnode 0 threshold op \"\" layer 0 in 1 0 out 0\n"
      "threshold inner 1 par 1\nt 65535 0 1\nv 0\n",
      "tensor 0 name \"x\" type i8 dims 1 4000000000 scale none const no\ninputs 0\nnodes 1\nnode 0 index op \"\" layer 0 in 1 0 out "
      "0\nindex gather axis 0\ng 0",
      "tensor 0 name \"x\" type i8 dims 1 9 scale none const no\ninputs 0\nnodes 1\nnode 0 step op \"\" layer 0 in 1 0 out 0\n"
      "step in_zp 0 lshift 0 out_zp 0 lo 0 hi 0 inner 1\nidx 4294967295 0",
      "tensor 0 name \"x\" type i8 dims 1 9 scale none const no\ninputs 0\nnodes 1\nnode 0 step op \"\" layer 0 in 1 0 out 0\n"
      "step in_zp 0 lshift 0 out_zp 0 lo 0 hi 0 inner 1\nidx none\npar 4294967295\nRQ_DIV 1\n",
      "tensor 0 name \"x\" type i8 dims 1 9 scale none const no\ninputs 0\nnodes 1\nnode 0 affine op \"\" layer 0 in 1 0 out 0\n"
      "window n 1 ih 1 iw 1 ic 4294967295 oh 1 ow 1 oc 1 kh 4294967295 kw 4294967295 sh 1 sw 1 dh 1 dw 1 pt 0 pl 0 groups 1\n"
      "acc exact order kernel bias last form corrected\nx_zp 0\nw_zp 1 0\nb 0\nw\n1",
  };
  for (size_t i = 0; i < sizeof claim / sizeof claim[0]; i++) {
    qv_buf b = {0};
    qv_buf_str(&b, "qir 1\nsource \"\"\nsha256 \"\"\nprofile \"\"\nformat \"\"\nnotes 0\ntensors 1\n");
    qv_buf_str(&b, claim[i]);
    qv_net *net = qv_net_new(0);
    qv_err err = {0};
    assert_int_equal(qv_qir_read_into(net, (const char *)b.p, b.n, &err), QV_E_PARSE);
    if (strstr(err.msg, "the text ends before") == NULL) print_error("%s\n", err.msg);
    assert_non_null(strstr(err.msg, "the text ends before"));
    assert_true(net->arena.bytes <= 4096 + 32 * b.n);
    qv_net_free(net);
    qv_buf_free(&b);
  }
}

/* ---- floats ----------------------------------------------------------------------------------------------------------- */

static void spell(double v, const char *want) {
  char t[QV_QIR_FLOAT_MAX];
  assert_int_equal(qv_qir_float_put(t, v), strlen(want));
  assert_string_equal(t, want);
  double back;
  assert_true(qv_qir_float_get(&back, want, strlen(want)));
  assert_memory_equal(&back, &v, sizeof v);
}

static void test_float(void **state) {
  (void)state;
  spell(0.0, "0x0p+0");
  spell(-0.0, "-0x0p+0");
  spell(1.0, "0x1p+0");
  spell(12.0, "0x1.8p+3");
  spell(-0.1, "-0x1.999999999999ap-4");
  spell((double)0.1f, "0x1.99999ap-4");
  spell(DBL_MAX, "0x1.fffffffffffffp+1023");
  spell(DBL_MIN, "0x1p-1022");
  spell(4.9406564584124654e-324, "0x1p-1074");
  spell(DBL_MIN - 4.9406564584124654e-324, "0x1.ffffffffffffep-1023");
  static const char *const bad[] = {"",
                                    "-",
                                    "0",
                                    "1",
                                    "0x",
                                    "0x1",
                                    "0x1p",
                                    "0x1p+",
                                    "0x1p0",
                                    "0x1p+00",
                                    "0x1p+01",
                                    "0x1p-0",
                                    "0x1.p+0",
                                    "0x1.0p+0",
                                    "0x1.80p+3",
                                    "0X1p+0",
                                    "0x1P+0",
                                    "0x1.Ap+0",
                                    "+0x1p+0",
                                    "--0x1p+0",
                                    "0x2p+0",
                                    "0x0.8p+1",
                                    "0x0p+1",
                                    "0x0.0p+0",
                                    "0x01p+0",
                                    "0x1p+1024",
                                    "0x1p-1075",
                                    "0x1p-1086",
                                    "0x1p-10000",
                                    "0x1.8p-1074",
                                    "0x1.ffffffffffffffp+0",
                                    "0x1.00000000000001p+0",
                                    "0x1p+99999999999999999999",
                                    "inf",
                                    "nan",
                                    "-inf",
                                    "1.5",
                                    "0x1p+0 ",
                                    " 0x1p+0"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    double v;
    if (qv_qir_float_get(&v, bad[i], strlen(bad[i]))) fail_msg("accepted '%s'", bad[i]);
  }
  qv_rng r = seeded("floats");
  for (unsigned i = 0, n = effort(200000); i < n; i++) {
    double v = extreme_double(&r), back, libc;
    char t[QV_QIR_FLOAT_MAX];
    size_t len = qv_qir_float_put(t, v);
    assert_true(len < sizeof t && qv_qir_float_get(&back, t, len));
    assert_memory_equal(&back, &v, sizeof v);
    char *end;
    libc = strtod(t, &end); /* the C library reads the same value */
    assert_true(*end == 0);
    assert_memory_equal(&libc, &v, sizeof v);
    char other[64];
    (void)snprintf(other, sizeof other, "%a", v); /* and for normal numbers glibc writes the same */
    if (v >= DBL_MIN || v <= -DBL_MIN) assert_string_equal(other, t);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_float),  cmocka_unit_test(test_corpus),  cmocka_unit_test(test_fields),    cmocka_unit_test(test_document),
      cmocka_unit_test(test_random), cmocka_unit_test(test_extreme), cmocka_unit_test(test_truncated), cmocka_unit_test(test_one_byte),
      cmocka_unit_test(test_lines),  cmocka_unit_test(test_zoo),     cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
