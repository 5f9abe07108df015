#include "tests/cert_forge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/ir.h"

/* A certificate as lines without their newlines. */
typedef struct {
  char **line;
  size_t n, cap;
  qv_arena mem;
} lines;

static void insert(lines *l, size_t at, const char *text, size_t n) {
  if (l->n == l->cap) {
    size_t cap = l->cap == 0 ? 64 : 2 * l->cap;
    char **v = QV_NEW(&l->mem, cap, char *);
    if (l->n > 0) memcpy(v, l->line, l->n * sizeof *v);
    l->line = v;
    l->cap = cap;
  }
  for (size_t i = l->n; i > at; i--) l->line[i] = l->line[i - 1];
  l->n++;
  l->line[at] = QV_NEW(&l->mem, n + 1, char);
  memcpy(l->line[at], text, n);
}

static void drop(lines *l, size_t at) {
  l->n--;
  for (size_t i = at; i < l->n; i++) l->line[i] = l->line[i + 1];
}

static void take_apart(lines *l, const qv_buf *b) {
  for (size_t i = 0; i < b->n;) {
    const unsigned char *end = memchr(b->p + i, '\n', b->n - i);
    size_t n = end != NULL ? (size_t)(end - (b->p + i)) : b->n - i;
    insert(l, l->n, (const char *)b->p + i, n);
    i += n + 1;
  }
}

static void put_together(qv_buf *out, const lines *l) {
  char hex[QV_SHA256_HEX];
  for (size_t i = 0; i + 1 < l->n; i++) qv_buf_str(out, l->line[i]), qv_buf_str(out, "\n");
  qv_sha256_hex(hex, out->p, out->n);
  qv_buf_printf(out, "sha256 %s\n", hex);
}

static bool starts(const char *s, const char *with) { return strncmp(s, with, strlen(with)) == 0; }

/* A random line that starts with `with`; l->n if there is none. */
static size_t pick(const lines *l, const char *with, qv_rng *r) {
  size_t n = 0, found = l->n;
  for (size_t i = 0; i < l->n; i++)
    if (starts(l->line[i], with) && qv_rng_range(r, 0, (int64_t)n++) == 0) found = i;
  return found;
}

static size_t find(const lines *l, const char *with) {
  size_t i = 0;
  while (i < l->n && !starts(l->line[i], with)) i++;
  return i;
}

static void set(lines *l, size_t at, const char *text) {
  drop(l, at);
  insert(l, at, text, strlen(text));
}

/* Replace one word of a line, if it is there. */
static bool change(lines *l, size_t at, const char *from, const char *to) {
  if (at >= l->n) return false;
  const char *p = strstr(l->line[at], from);
  char text[256];
  if (p == NULL) return false;
  (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(p - l->line[at]), l->line[at], to, p + strlen(from));
  set(l, at, text);
  return true;
}

typedef struct {
  int64_t *v;
  size_t n;
} numbers;

static numbers read_numbers(lines *l, size_t at) {
  numbers r = {QV_NEW(&l->mem, strlen(l->line[at]) / 2 + 2, int64_t), 0};
  for (char *p = l->line[at]; *p != 0;) {
    r.v[r.n++] = strtoll(p, &p, 10);
    if (*p == ' ') p++;
  }
  return r;
}

static void write_numbers(lines *l, size_t at, numbers v) {
  qv_buf b = {0};
  for (size_t i = 0; i < v.n; i++) {
    if (i > 0) qv_buf_str(&b, " ");
    qv_buf_i64(&b, v.v[i]);
  }
  qv_buf_put(&b, "", 1);
  set(l, at, (char *)b.p);
  qv_buf_free(&b);
}

/* The tensor line that starts with `with` (any, if it ends in a blank after "tensor"); its ranges in *v. */
static size_t ranges(lines *l, const char *with, numbers *v, qv_rng *r) {
  size_t at = pick(l, with, r);
  if (at + 1 < l->n) *v = read_numbers(l, at + 1);
  return at;
}

static bool shrink(lines *l, const char *with, bool point, bool hi, qv_rng *r) {
  numbers v = {0};
  size_t at = ranges(l, with, &v, r);
  if (at == l->n) return false;
  size_t q = 2 * (size_t)qv_rng_range(r, 0, (int64_t)v.n / 2 - 1);
  int64_t lo = v.v[q], up = v.v[q + 1];
  if (lo >= up) return false;
  int64_t by = point ? up - lo : qv_rng_range(r, 0, 1) == 0 ? 1 : qv_rng_range(r, 1, qv_min64(up - lo, 100));
  if (hi) v.v[q + 1] -= by;
  else v.v[q] += by;
  write_numbers(l, at + 1, v);
  return true;
}

static bool exchange(lines *l, qv_rng *r) {
  numbers v = {0};
  size_t at = ranges(l, "tensor ", &v, r);
  if (at == l->n || v.n < 4) return false;
  size_t a = 2 * (size_t)qv_rng_range(r, 0, (int64_t)v.n / 2 - 1), b = 2 * (size_t)qv_rng_range(r, 0, (int64_t)v.n / 2 - 1);
  if (v.v[a] == v.v[b] && v.v[a + 1] == v.v[b + 1]) return false;
  int64_t lo = v.v[a], hi = v.v[a + 1];
  v.v[a] = v.v[b], v.v[a + 1] = v.v[b + 1];
  v.v[b] = lo, v.v[b + 1] = hi;
  write_numbers(l, at + 1, v);
  return true;
}

/* Fewer intervals, or runs of another length. */
static bool tile(lines *l, qv_rng *r) {
  numbers v = {0};
  size_t at = ranges(l, "tensor ", &v, r);
  long t, n, inner;
  char text[128];
  if (at == l->n || sscanf(l->line[at], "tensor %ld %ld %ld", &t, &n, &inner) != 3) return false;
  if (n > 1 && qv_rng_range(r, 0, 1) == 0) n = (long)qv_rng_range(r, 1, n - 1);
  else inner = inner > 1 && qv_rng_range(r, 0, 1) == 0 ? (long)qv_rng_range(r, 1, inner - 1) : inner + (long)qv_rng_range(r, 1, 3);
  v.n = 2 * (size_t)n;
  (void)snprintf(text, sizeof text, "tensor %ld %ld %ld", t, n, inner);
  set(l, at, text);
  write_numbers(l, at + 1, v);
  return true;
}

static bool relabel(lines *l, qv_rng *r) {
  size_t at = pick(l, "linear ", r);
  char side[8], text[128];
  long node, channel, from;
  if (at == l->n || sscanf(l->line[at], "linear %ld %7s %ld %ld", &node, side, &channel, &from) != 4) return false;
  int64_t what = qv_rng_range(r, 0, 3);
  if (what == 0) from = (long)qv_rng_range(r, -1, node + 1);
  if (what == 1) channel += qv_rng_range(r, 0, 1) == 0 ? 1 : -1;
  if (what == 2) (void)snprintf(side, sizeof side, "%s", strcmp(side, "lo") == 0 ? "hi" : "lo");
  if (what == 3) node += qv_rng_range(r, 0, 1) == 0 ? 1 : -1;
  (void)snprintf(text, sizeof text, "linear %ld %s %ld %ld", node, side, channel, from);
  set(l, at, text);
  return true;
}

/* In its place among the linear lines. */
static void add_linear(lines *l, long node, const char *side, long channel, long from) {
  size_t at = find(l, "verdict ");
  char text[128], s[8];
  long n, c, f;
  for (size_t i = l->n; i-- > 0;) {
    if (starts(l->line[i], "obligation ")) at = i;
    if (sscanf(l->line[i], "linear %ld %7s %ld %ld", &n, s, &c, &f) != 4) continue;
    if (n > node || (n == node && (c > channel || (c == channel && strcmp(s, side) < 0 && strcmp(side, "lo") == 0)))) at = i;
    if (n == node && c == channel && strcmp(s, side) == 0) return; /* it is there */
  }
  (void)snprintf(text, sizeof text, "linear %ld %s %ld %ld", node, side, channel, from);
  insert(l, at, text, strlen(text));
}

static bool new_linear(lines *l, uint32_t node, uint32_t out, qv_rng *r) {
  char with[64];
  if (node == QV_NONE) return false;
  bool hi = qv_rng_range(r, 0, 1) == 1;
  (void)snprintf(with, sizeof with, "tensor %u ", out);
  numbers old = {0}, now = {0};
  size_t at = ranges(l, with, &old, r);
  if (at == l->n || !shrink(l, with, false, hi, r)) return false;
  (void)ranges(l, with, &now, r);
  long channel = 0;
  for (size_t i = 0; i < now.n; i++)
    if (now.v[i] != old.v[i]) channel = (long)(i / 2);
  add_linear(l, node, hi ? "hi" : "lo", channel, (long)qv_rng_range(r, 0, node));
  return true;
}

static bool all_good(lines *l) {
  bool any = false;
  for (size_t i = 0; i < l->n; i++) {
    any = change(l, i, " open position", " harmless position") || any;
    any = change(l, i, " open channel", " harmless channel") || any;
    if (starts(l->line[i], "obligation ")) any = change(l, i, " open", " holds") || any;
  }
  return change(l, find(l, "verdict "), "unknown", "verified") || any;
}

static bool change_bits(lines *l, qv_rng *r) {
  size_t at = pick(l, "acc ", r);
  long node, bits;
  char word[16], place[16], text[128];
  if (at == l->n || sscanf(l->line[at], "acc %ld %ld %15s %15s", &node, &bits, word, place) != 4) return false;
  long now = (long)qv_rng_range(r, 0, 65);
  if (now == bits) now++;
  (void)snprintf(text, sizeof text, "acc %ld %ld %s %s", node, now, word, place);
  set(l, at, text);
  return true;
}

static bool drop_line(lines *l, qv_rng *r) {
  size_t at = (size_t)qv_rng_range(r, 0, (int64_t)l->n - 2);
  bool tensor = starts(l->line[at], "tensor ");
  drop(l, at);
  if (tensor) drop(l, at);
  return true;
}

static bool twice(lines *l, qv_rng *r) {
  size_t at = (size_t)qv_rng_range(r, 0, (int64_t)l->n - 2), n = starts(l->line[at], "tensor ") ? 2 : 1;
  for (size_t i = 0; i < n; i++) insert(l, at + n + i, l->line[at + i], strlen(l->line[at + i]));
  return true;
}

static bool swap(lines *l, qv_rng *r) {
  size_t at = (size_t)qv_rng_range(r, 0, (int64_t)l->n - 3);
  char *a = l->line[at];
  if (strcmp(a, l->line[at + 1]) == 0) return false;
  l->line[at] = l->line[at + 1];
  l->line[at + 1] = a;
  return true;
}

bool forge(qv_buf *out, const qv_buf *cert, forge_kind kind, uint32_t affine_node, uint32_t affine_out, qv_rng *r) {
  lines l = {0};
  bool ok = false;
  size_t at;
  take_apart(&l, cert);
  switch (kind) {
  case FG_SHRINK: ok = shrink(&l, "tensor ", false, qv_rng_range(r, 0, 1) == 1, r); break;
  case FG_POINT: ok = shrink(&l, "tensor ", true, qv_rng_range(r, 0, 1) == 1, r); break;
  case FG_DROP: ok = drop_line(&l, r); break;
  case FG_TWICE: ok = twice(&l, r); break;
  case FG_SWAP: ok = swap(&l, r); break;
  case FG_CHANNELS: ok = exchange(&l, r); break;
  case FG_TILING: ok = tile(&l, r); break;
  case FG_BITS: ok = change_bits(&l, r); break;
  case FG_HARMLESS: ok = change(&l, pick(&l, "acc ", r), " open", " harmless"); break;
  case FG_PLACE:
    at = pick(&l, "acc ", r);
    ok = change(&l, at, " position", " channel") || change(&l, at, " channel", " position");
    break;
  case FG_HOLDS: ok = change(&l, pick(&l, "obligation ", r), " open", " holds"); break;
  case FG_VERDICT: ok = change(&l, find(&l, "verdict "), "unknown", "verified"); break;
  case FG_ALL_GOOD: ok = all_good(&l); break;
  case FG_LINEAR: ok = relabel(&l, r); break;
  case FG_NEW_LINEAR: ok = new_linear(&l, affine_node, affine_out, r); break;
  case FG_KINDS: break;
  }
  if (ok) put_together(out, &l);
  qv_arena_clear(&l.mem);
  return ok;
}

const char *forge_name(forge_kind k) {
  static const char *const name[] = {"range shrunk", "range to a point", "line dropped", "line twice", "lines swapped", "channels swapped",
                                     "other tiling", "other width", "open -> harmless", "position <-> channel", "open -> holds", "unknown -> verified",
                                     "everything good", "linear line changed", "linear line invented"};
  return name[k];
}

/* ---- other nets ------------------------------------------------------------------------------------------------------ */

/* The arena owns these arrays, so they may be written through. */
static void poke32(const int32_t *p, int64_t by) { *(int32_t *)(uintptr_t)p = (int32_t)(uint32_t)((int64_t)*p + by); }

static bool poke_affine(qv_affine *a, qv_rng *r, const char **what) {
  const qv_window *g = &a->win;
  size_t n = (size_t)g->oc * g->kh * g->kw * (g->ic / g->groups);
  int64_t by = qv_rng_range(r, 0, 1) == 0 ? 1 : -1;
  if (qv_rng_range(r, 0, 2) == 0) by *= qv_rng_range(r, 1, 60);
  switch (qv_rng_range(r, 0, 8)) {
  case 0:
  case 1: *what = "weight", poke32(&a->w[qv_rng_range(r, 0, (int64_t)n - 1)], by); break;
  case 2: *what = "bias", *(int64_t *)(uintptr_t)&a->b[qv_rng_range(r, 0, g->oc - 1)] += by; break;
  case 3: *what = "input zero point", a->x_zp += (int32_t)by; break;
  case 4: *what = "weight zero point", poke32(&a->w_zp[qv_rng_range(r, 0, a->n_w_zp - 1)], by); break;
  case 5: *what = "padding", (qv_rng_range(r, 0, 1) == 0 ? (a->win.pt += 1) : (a->win.pl += 1)); break;
  case 6: *what = "stride or dilation", (qv_rng_range(r, 0, 1) == 0 ? (a->win.sh += 1) : (a->win.dw += 1)); break;
  case 7:
    *what = "order or bias place";
    if (qv_rng_range(r, 0, 1) == 0) a->acc.order = a->acc.order == QV_ORDER_ANY ? QV_ORDER_KERNEL : QV_ORDER_ANY;
    else a->acc.bias = a->acc.bias == QV_BIAS_FIRST ? QV_BIAS_LAST : QV_BIAS_FIRST;
    break;
  default:
    *what = "mode";
    if (a->acc.mode == QV_ACC_WRAP) a->acc.mode = QV_ACC_SAT, a->acc.raw = false;
    else if (a->acc.mode == QV_ACC_SAT) a->acc.mode = QV_ACC_TRAP;
    else if (qv_acc_pairs(&a->acc)) a->acc.pairing = a->acc.pairing == QV_PAIR_K8 ? QV_PAIR_ADJACENT : QV_PAIR_K8;
    else if (a->acc.mode == QV_ACC_LANES) a->acc.lane_bits--;
    else return false;
  }
  return true;
}

static bool poke_step(qv_step *s, qv_rng *r, const char **what) {
  qv_rq_par *p = (qv_rq_par *)(uintptr_t)&s->par[qv_rng_range(r, 0, s->n_par - 1)];
  switch (qv_rng_range(r, 0, 5)) {
  case 0: *what = "multiplier", p->m += p->m > 0 ? (int32_t)qv_rng_range(r, 0, INT32_MAX - p->m) : 1, p->M *= 1.5; break;
  case 1: *what = "shift", p->sh += qv_rng_range(r, 0, 1) == 0 ? 1 : -1, p->M *= 2; break;
  case 2: *what = "step zero point", s->out_zp += qv_rng_range(r, 0, 1) == 0 ? 1 : -1; break;
  case 3: *what = "step input zero point", s->in_zp += qv_rng_range(r, -3, 3); break;
  case 4: *what = "step clamp", (qv_rng_range(r, 0, 1) == 0 ? (s->hi += 1) : (s->lo -= 1)); break;
  default: *what = "step lshift", s->lshift += 1; break;
  }
  return true;
}

static bool poke_threshold(const qv_threshold *h, qv_rng *r, const char **what) {
  const qv_pieces *p = &h->par[qv_rng_range(r, 0, h->n_par - 1)];
  if (p->k == 0 || qv_rng_range(r, 0, 1) == 0) {
    *what = "threshold value";
    poke32(&p->v[qv_rng_range(r, 0, p->k)], qv_rng_range(r, -40, 40));
  } else {
    *what = "threshold";
    *(int64_t *)(uintptr_t)&p->t[qv_rng_range(r, 0, p->k - 1)] += qv_rng_range(r, -40, 40);
  }
  return true;
}

static bool poke_acc(qv_acc *a, qv_rng *r, const char **what) {
  *what = "width";
  if (a->mode == QV_ACC_EXACT || a->bits <= 2) return false;
  a->bits = (uint8_t)(a->bits - qv_rng_range(r, 1, qv_min64(4, a->bits - 2)));
  return true;
}

bool forge_net(qv_net *net, qv_rng *r, char *what, size_t room) {
  qv_node *n = &net->node[qv_rng_range(r, 0, net->n_nodes - 1)];
  const char *w = "?";
  bool ok = false;
  qv_acc *acc = n->kind == QV_AFFINE ? &n->u.affine.acc : n->kind == QV_SUM ? &n->u.sum.acc : n->kind == QV_PRODUCT ? &n->u.product.acc : NULL;
  if (acc != NULL && qv_rng_range(r, 0, 4) == 0) ok = poke_acc(acc, r, &w);
  else if (n->kind == QV_AFFINE) ok = poke_affine(&n->u.affine, r, &w);
  else if (n->kind == QV_STEP) ok = poke_step(&n->u.step, r, &w);
  else if (n->kind == QV_TABLE) w = "table entry", poke32(&n->u.table.t[qv_rng_range(r, 0, n->u.table.n - 1)], qv_rng_range(r, -40, 40)), ok = true;
  else if (n->kind == QV_THRESHOLD) ok = poke_threshold(&n->u.threshold, r, &w);
  else if (n->kind == QV_CLAMP) w = "clamp", n->u.clamp.hi += 1, n->u.clamp.lo -= 1, ok = true;
  else if (n->kind == QV_SUM) w = "coefficient", *(int64_t *)(uintptr_t)&n->u.sum.c[0] += qv_rng_range(r, -2, 2), ok = true;
  else if (n->kind == QV_PRODUCT) w = "factor zero point", n->u.product.z0 += 1, ok = true;
  else if (n->kind == QV_WRAP && n->u.wrap.bits > 2) w = "wrap width", n->u.wrap.bits--, ok = true;
  else if (n->kind == QV_INDEX && n->u.index.form == QV_IX_PAD) w = "pad value", n->u.index.value += 9, ok = true;
  (void)snprintf(what, room, "%s of node %u", w, (uint32_t)(n - net->node));
  return ok && qv_ir_check(net, NULL) == QV_OK;
}

bool forge_property(qv_property *p, const qv_net *net, qv_rng *r) {
  uint32_t i = (uint32_t)qv_rng_range(r, 0, net->n_in - 1);
  const qv_tensor *t = &net->tensor[net->in[i].tensor];
  if (qv_rng_range(r, 0, 3) == 0) {
    p->acc_bits = p->acc_bits == 0 ? (int)qv_rng_range(r, 2, 24) : p->acc_bits > 2 ? p->acc_bits - 1 : 0;
    return true;
  }
  if (p->in[i].n == 0) return false;
  qv_itv *v = &p->in[i].itv[qv_rng_range(r, 0, (int64_t)p->in[i].n - 1)];
  if (v->hi < t->hi) v->hi++;
  else if (v->lo > t->lo) v->lo--;
  else return false;
  return true;
}
