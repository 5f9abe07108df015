// Reader of .qir: grammar of docs/qir.md section 3, validity of section 6 (structure and parameters). What section 6 says about
// propagated ranges (the width guarantee, domains of tables and tails, storage types of outputs) is not recomputed: the rules evaluate
// in 128 bits, and refuse a claim that leaves a table or the guaranteed range of a requantization function.
#include "check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT28 ((uint32_t)1 << 28)
#define LIMIT62 ((int64_t)1 << 62)

static const char *const no_yes[] = {"no", "yes"};

static void require(const Text *t, bool ok, const char *what) {
  if (!ok) bad(t, what);
}

static int32_t *int32s(Text *t, uint64_t n, int32_t lo, int32_t hi) {
  fits_text(t, n, 2);
  int32_t *v = take(n, sizeof *v);
  for (uint64_t i = 0; i < n; i++) v[i] = (int32_t)number(t, lo, hi);
  return v;
}

static uint32_t *uint32s(Text *t, uint64_t n, uint32_t below) {
  fits_text(t, n, 2);
  uint32_t *v = take(n, sizeof *v);
  for (uint64_t i = 0; i < n; i++) {
    v[i] = number32(t, 0, UINT32_MAX);
    require(t, v[i] < below, "number too large");
  }
  return v;
}

static int64_t *int64s(Text *t, uint64_t n) {
  fits_text(t, n, 2);
  int64_t *v = take(n, sizeof *v);
  for (uint64_t i = 0; i < n; i++) v[i] = number(t, INT64_MIN, INT64_MAX);
  return v;
}

static int64_t named(Text *t, const char *key, int64_t lo, int64_t hi) {
  word(t, key);
  return number(t, lo, hi);
}

static uint32_t named32(Text *t, const char *key, uint32_t lo, uint32_t hi) { return (uint32_t)named(t, key, lo, hi); }

static int by_bytes(const void *pa, const void *pb) {
  const Str *a = pa, *b = pb;
  int d = memcmp(a->p, b->p, a->n < b->n ? a->n : b->n);
  return d != 0 ? d : (a->n > b->n) - (a->n < b->n);
}

static void distinct(const Text *t, Str *s, uint32_t n, const char *what) {
  if (n > 1) qsort(s, n, sizeof *s, by_bytes);
  for (uint32_t i = 1; i < n; i++) require(t, by_bytes(&s[i - 1], &s[i]) != 0, what);
}

static void header(Text *t) {
  word(t, "qir"), word(t, "1"), newline(t);
  word(t, "source"), string(t), newline(t);
  word(t, "sha256");
  Str h = string(t);
  require(t, h.n == 0 || h.n == 64, "sha256 of 0 or 64 characters expected");
  for (size_t i = 0; i < h.n; i++)
    require(t, (h.p[i] >= '0' && h.p[i] <= '9') || (h.p[i] >= 'a' && h.p[i] <= 'f'), "sha256 has another character");
  newline(t);
  word(t, "profile"), string(t), newline(t);
  word(t, "format"), string(t), newline(t);
  uint32_t notes = named32(t, "notes", 0, 4096);
  newline(t);
  fits_text(t, notes, 8);
  Str *s = take(notes, sizeof *s);
  for (uint32_t i = 0; i < notes; i++) word(t, "note"), s[i] = string(t), newline(t);
  distinct(t, s, notes, "two notes are equal");
}

static const char *const type_names[] = {"i8", "u8", "i16", "u16", "i32", "i64"};
static const Iv type_range[] = {{-128, 127}, {0, 255}, {-32768, 32767}, {0, 65535}, {INT32_MIN, INT32_MAX}, {INT64_MIN, INT64_MAX}};

static bool in_type(const Tensor *x, int64_t lo, int64_t hi) {
  Iv r = type_range[x->type];
  return r.lo <= lo && hi <= r.hi && -LIMIT62 <= lo && hi <= LIMIT62;
}

static void tensors(Net *net, Text *t) {
  net->n_tensors = named32(t, "tensors", 1, 1 << 24);
  newline(t);
  fits_text(t, net->n_tensors, 50);
  net->tensors = take(net->n_tensors, sizeof *net->tensors);
  Str *names = take(net->n_tensors, sizeof *names);
  for (uint32_t i = 0; i < net->n_tensors; i++) {
    Tensor *x = &net->tensors[i];
    named(t, "tensor", i, i);
    word(t, "name"), names[i] = x->name = string(t);
    require(t, x->name.n > 0, "empty name");
    word(t, "type"), x->type = choice(t, type_names, 6);
    x->rank = named32(t, "dims", 0, 8);
    x->size = 1;
    for (unsigned d = 0; d < x->rank; d++) {
      x->dims[d] = number32(t, 1, UINT32_MAX);
      require(t, x->dims[d] <= LIMIT28 / x->size, "more than 2^28 elements");
      x->size *= x->dims[d];
    }
    word(t, "scale");
    x->scale = t->p[0] == ' ' && t->p[1] != 'n';
    if (x->scale) {
      require(t, real32(t) > 0, "scale not positive");
      named(t, "zp", INT32_MIN, INT32_MAX);
    } else {
      word(t, "none");
    }
    word(t, "const");
    bool constant = choice(t, no_yes, 2) == 1;
    newline(t);
    if (!constant) continue;
    Iv r = type_range[x->type];
    word(t, "data");
    x->data = int32s(t, x->size, r.lo < INT32_MIN ? INT32_MIN : (int32_t)r.lo, r.hi > INT32_MAX ? INT32_MAX : (int32_t)r.hi);
    x->origin = FROM_CONSTANT;
    newline(t);
  }
  distinct(t, names, net->n_tensors, "two tensors have the same name");
}

static const char *const end_names[] = {"int", "quant_away", "quant_even", "quant_inv", "dequant", "f32_order"};

static uint32_t port(Net *net, Text *t) { return named32(t, "tensor", 0, net->n_tensors - 1); }

static void port_end(Net *net, Text *t, uint32_t tensor, const Iv *input) {
  const int64_t infinity = 2139095040; // f32_order
  word(t, "end");
  unsigned e = choice(t, end_names, 6);
  require(t, e == 0 || (e == 4) != (input != NULL), "wrong kind of end");
  require(t, e == 0 || e == 5 || net->tensors[tensor].scale, "the tensor of this end has no scale");
  require(t, e != 5 || (input->lo >= -infinity && input->hi <= infinity), "order numbers beyond infinity");
  word(t, "name"), string(t);
}

static void inputs(Net *net, Text *t) {
  net->n_inputs = named32(t, "inputs", 1, UINT32_MAX);
  newline(t);
  fits_text(t, net->n_inputs, 40);
  net->inputs = take(net->n_inputs, sizeof *net->inputs);
  for (uint32_t i = 0; i < net->n_inputs; i++) {
    named(t, "input", i, i);
    uint32_t x = net->inputs[i].tensor = port(net, t);
    Iv r = {named(t, "lo", INT64_MIN, INT64_MAX), 0};
    r.hi = named(t, "hi", INT64_MIN, INT64_MAX);
    require(t, r.lo <= r.hi && in_type(&net->tensors[x], r.lo, r.hi), "range empty or outside the storage type");
    net->inputs[i].range = r;
    port_end(net, t, x, &r);
    require(t, net->tensors[x].origin == FROM_NOWHERE, "an input tensor is a constant, or twice an input");
    net->tensors[x].origin = FROM_INPUT;
    newline(t);
  }
}

static void window(Node *n, Text *t) {
  static const char *const names[] = {"n", "ih", "iw", "ic", "oh", "ow", "oc", "kh", "kw", "sh", "sw", "dh", "dw", "pt", "pl", "groups"};
  Window *w = &n->w;
  uint32_t *field[] = {&w->n,  &w->ih, &w->iw, &w->ic, &w->oh, &w->ow, &w->oc, &w->kh,
                       &w->kw, &w->sh, &w->sw, &w->dh, &w->dw, &w->pt, &w->pl, &w->groups};
  word(t, "window");
  for (unsigned i = 0; i < 16; i++) *field[i] = named32(t, names[i], i == 13 || i == 14 ? 0 : 1, LIMIT28);
  require(t, w->ic % w->groups == 0 && w->oc % w->groups == 0, "groups do not divide the channels");
  newline(t);
}

static bool product_is(uint32_t size, uint32_t a, uint32_t b, uint32_t c, uint32_t d) { return (i128)a * b * ((i128)c * d) == size; }

static void window_shapes(const Net *net, const Node *n, const Text *t) {
  const Window *w = &n->w;
  require(t, product_is(net->tensors[n->in[0]].size, w->n, w->ih, w->iw, w->ic), "the window does not agree with the input");
  require(t, product_is(net->tensors[n->out].size, w->n, w->oh, w->ow, w->oc), "the window does not agree with the output");
}

static void accumulator(Node *n, Text *t) {
  static const char *const modes[] = {"exact", "wrap", "sat", "trap", "pair16", "lanes", "pairlanes"}, *const orders[] = {"kernel", "any"};
  static const char *const biases[] = {"last", "first"}, *const forms[] = {"corrected", "raw"}, *const pairings[] = {"adjacent", "k8"};
  static const char *const lane_modes[] = {"wrap", "sat"};
  Acc *a = &n->acc;
  word(t, "acc"), a->mode = (Mode)choice(t, modes, 7);
  if (a->mode != EXACT) a->bits = named32(t, "bits", 2, 64);
  word(t, "order"), a->any_order = choice(t, orders, 2) == 1;
  word(t, "bias"), a->bias_first = choice(t, biases, 2) == 1;
  word(t, "form"), a->raw = choice(t, forms, 2) == 1;
  if (a->mode == PAIR16 || a->mode == PAIRLANES) word(t, "pairing"), a->k8 = choice(t, pairings, 2) == 1;
  if (a->mode == LANES || a->mode == PAIRLANES) {
    a->lanes = named32(t, "lanes", 1, 64), a->lane_bits = a->mode == LANES ? named32(t, "lane_bits", 8, 32) : 16;
    word(t, "lane"), a->lane_sat = choice(t, lane_modes, 2) == 1;
    a->spill = named32(t, "spill", 0, UINT32_MAX);
  }
  newline(t);
  bool staged = a->mode == PAIR16 || a->mode == LANES || a->mode == PAIRLANES;
  require(t, !staged || (n->kind == AFFINE && a->bits <= 62), "pair16, lanes and pairlanes: affine nodes and 62 bits only");
  require(t, !a->raw || (n->kind == AFFINE && a->mode != SAT && a->mode != TRAP), "raw terms are not possible here");
}

static void affine(Net *net, Node *n, Text *t) {
  window(n, t);
  accumulator(n, t);
  const Window *w = &n->w;
  window_shapes(net, n, t);
  i128 taps = (i128)w->kh * w->kw * (w->ic / w->groups);
  require(t, taps * w->oc <= LIMIT28, "more than 2^28 weights");
  n->taps = (uint32_t)taps;
  n->x_zp = (int32_t)named(t, "x_zp", INT32_MIN, INT32_MAX), newline(t);
  n->n_wzp = named32(t, "w_zp", 1, UINT32_MAX);
  require(t, n->n_wzp == 1 || n->n_wzp == w->oc, "one w_zp, or one per output channel");
  n->w_zp = int32s(t, n->n_wzp, INT32_MIN, INT32_MAX), newline(t);
  word(t, "b"), n->bias = int64s(t, w->oc), newline(t);
  word(t, "w"), newline(t);
  fits_text(t, (uint64_t)n->taps * w->oc, 2);
  int32_t *v = take((uint64_t)n->taps * w->oc, sizeof *v);
  n->weight = v;
  for (uint32_t o = 0; o < w->oc; o++) {
    for (uint32_t k = 0; k < n->taps; k++) *v++ = (int32_t)number(t, INT32_MIN, INT32_MAX);
    newline(t);
  }
}

static const char *const fn_names[] = {"RQ_D",   "RQ_U",    "RQ_S",   "RQ_64",   "RQ_T",   "RQ_TD",   "RQ_F32",
                                       "RQ_NDU", "RQ_F64A", "RQ_REF", "RQ_F32B", "RQ_DIV", "RQ_TDIV", "RQ_MEANF"};

// The ranges of docs/semantics.md section 2.
static void parameters(Par *p, Text *t) {
  p->fn = (Fn)choice(t, fn_names, 14);
  bool bias = p->fn == RQ_F32B || p->fn == RQ_MEANF, tosa = p->fn == RQ_T || p->fn == RQ_TD,
       real = p->fn > RQ_TD && p->fn != RQ_DIV && p->fn != RQ_TDIV;
  if (p->fn <= RQ_TD) {
    p->m = (int32_t)number(t, p->fn == RQ_D ? INT32_MIN : 0, INT32_MAX);
    p->sh = (int32_t)number(t, tosa ? 2 : -31, tosa ? 62 : p->fn == RQ_64 ? 7 : 30);
  }
  if (p->fn >= RQ_DIV) p->m = (int32_t)number(t, 1, INT32_MAX);
  if (p->fn == RQ_F64A || p->fn == RQ_REF) p->M = real64(t);
  if (p->fn == RQ_F32 || p->fn == RQ_NDU || bias) p->M = real32(t);
  if (bias) p->B = real32(t);
  require(t, !real || (p->M >= 0x1p-126 && p->M <= 0x1p62), "multiplier below 2^-126 or above 2^62");
  require(t, p->B >= -0x1p31 && p->B <= 0x1p31, "bias beyond 2^31");
  newline(t);
}

static bool same_shape(const Tensor *a, const Tensor *b) { return a->rank == b->rank && memcmp(a->dims, b->dims, sizeof a->dims) == 0; }

static void channels_divide(const Net *net, Node *n, uint64_t sets, const Text *t) {
  if (sets == 1) n->inner = 1;
  require(t, sets == 1 || (sets * n->inner <= LIMIT28 && net->tensors[n->out].size % (sets * n->inner) == 0),
          "n * inner does not divide the elements");
}

static void step(Net *net, Node *n, Text *t) {
  word(t, "step");
  n->in_zp = named(t, "in_zp", INT64_MIN, INT64_MAX);
  n->lshift = named32(t, "lshift", 0, 31);
  n->out_zp = named(t, "out_zp", -((int64_t)1 << 40), (int64_t)1 << 40);
  n->lo = named(t, "lo", -LIMIT62, LIMIT62), n->hi = named(t, "hi", -LIMIT62, LIMIT62);
  require(t, n->lo <= n->hi, "lo above hi");
  n->inner = named32(t, "inner", 1, UINT32_MAX);
  newline(t);
  word(t, "idx");
  if (t->p[0] == ' ' && t->p[1] == 'n') {
    word(t, "none");
  } else {
    n->n_idx = number32(t, 1, UINT32_MAX);
    n->idx = uint32s(t, n->n_idx, UINT32_MAX);
  }
  newline(t);
  n->n_par = named32(t, "par", 1, UINT32_MAX), newline(t);
  fits_text(t, n->n_par, 9);
  Par *p = take(n->n_par, sizeof *p);
  n->par = p;
  for (uint32_t i = 0; i < n->n_par; i++) parameters(&p[i], t);
  for (uint32_t i = 0; i < n->n_idx; i++) require(t, n->idx[i] < n->n_par, "idx names no parameter set");
  channels_divide(net, n, n->n_idx ? n->n_idx : n->n_par, t);
}

// Thresholds between equal values are left out.
static Pieces pieces(Text *t, uint64_t *left) {
  word(t, "t");
  uint32_t k = number32(t, 0, 65535);
  require(t, k < *left, "more than 2^24 values");
  *left -= k + 1;
  fits_text(t, 2 * (uint64_t)k + 1, 2);
  int64_t *from = take(k + 1, sizeof *from), *value = take(k + 1, sizeof *value);
  from[0] = INT64_MIN;
  for (uint32_t i = 1; i <= k; i++) {
    from[i] = number(t, -LIMIT62, LIMIT62);
    require(t, from[i] > from[i - 1], "thresholds do not increase");
  }
  newline(t), word(t, "v");
  uint32_t n = 0;
  for (uint32_t i = 0; i <= k; i++) {
    int64_t v = number(t, INT32_MIN, INT32_MAX);
    if (n == 0 || v != value[n - 1]) from[n] = from[i], value[n++] = v;
  }
  newline(t);
  return (Pieces){n, from, value};
}

static void threshold(Net *net, Node *n, Text *t) {
  uint64_t left = 1 << 24;
  word(t, "threshold");
  n->inner = named32(t, "inner", 1, UINT32_MAX);
  n->n_par = named32(t, "par", 1, UINT32_MAX), newline(t);
  fits_text(t, n->n_par, 8);
  Pieces *p = take(n->n_par, sizeof *p);
  n->pieces = p;
  for (uint32_t i = 0; i < n->n_par; i++) p[i] = pieces(t, &left);
  channels_divide(net, n, n->n_par, t);
}

static void index_node(Net *net, Node *n, Text *t) {
  static const char *const names[] = {"reshape", "transpose", "pad", "concat", "slice", "broadcast", "gather"};
  const Tensor *x = &net->tensors[n->in[0]], *y = &net->tensors[n->out];
  word(t, "index"), n->move = (Move)choice(t, names, 7);
  if (n->move == TRANSPOSE || n->move == PAD || n->move == SLICE) word(t, "a"), n->a = int32s(t, y->rank, INT32_MIN, INT32_MAX);
  if (n->move == PAD || n->move == SLICE) word(t, "b"), n->b = int32s(t, y->rank, INT32_MIN, INT32_MAX);
  if (n->move == PAD) n->value = (int32_t)named(t, "value", INT32_MIN, INT32_MAX);
  if (n->move == CONCAT || n->move == GATHER) {
    n->axis = named32(t, "axis", 0, 7);
    require(t, n->axis < y->rank, "axis beyond the rank");
  }
  newline(t);
  bool ok = n->move == RESHAPE ? x->size == y->size : n->move == BROADCAST ? x->rank <= y->rank : x->rank == y->rank;
  require(t, ok, n->move == RESHAPE ? "element counts differ" : "ranks do not agree");
  if (n->move == GATHER) word(t, "g"), n->g = uint32s(t, y->dims[n->axis], x->dims[n->axis]), newline(t);
  unsigned seen = 0;
  uint64_t joined = 0;
  for (uint32_t k = 0; n->move == CONCAT && k < n->n_in; k++) {
    const Tensor *xk = &net->tensors[n->in[k]];
    ok = ok && xk->rank == y->rank;
    for (unsigned d = 0; d < y->rank; d++) ok = ok && (d == n->axis || xk->dims[d] == y->dims[d]);
    joined += xk->dims[n->axis];
  }
  for (unsigned d = 0; d < y->rank; d++) {
    int64_t yd = y->dims[d], xd = x->dims[d], last;
    switch (n->move) {
    case RESHAPE: break;
    case TRANSPOSE:
      ok = ok && n->a[d] >= 0 && (unsigned)n->a[d] < y->rank && !(seen >> n->a[d] & 1) && yd == x->dims[n->a[d]];
      if (ok) seen |= 1U << n->a[d];
      break;
    case PAD: ok = ok && n->a[d] >= 0 && n->b[d] >= 0 && yd == xd + n->a[d] + n->b[d]; break;
    case CONCAT: ok = ok && (d != n->axis || joined == (uint64_t)yd); break;
    case SLICE:
      last = n->a[d] + (yd - 1) * n->b[d];
      ok = ok && n->b[d] != 0 && n->a[d] >= 0 && n->a[d] < xd && last >= 0 && last < xd;
      break;
    case BROADCAST:
      if (d + x->rank < y->rank) break; // a missing leading dimension
      xd = x->dims[d + x->rank - y->rank];
      ok = ok && (xd == 1 || xd == yd);
      break;
    case GATHER: ok = ok && (d == n->axis || xd == yd); break;
    }
  }
  require(t, ok, "the index node does not agree with its tensors");
}

static void softmax_f_table(Tail *f, Text *t) {
  static const char *const rounds[] = {"away", "half_up_trunc"};
  word(t, "out_scale"), f->out_scale = (float)real32(t);
  require(t, f->out_scale >= 0x1p-40f, "out_scale below 2^-40");
  word(t, "round"), f->trunc = choice(t, rounds, 2) == 1, newline(t);
  word(t, "exp");
  for (unsigned i = 0; i < 256; i++) {
    f->exp[i] = (float)real32(t);
    require(t, f->exp[i] >= (i > 0 ? f->exp[i - 1] : 0) && f->exp[i] <= 1 && (i < 255 || f->exp[i] > 0),
            "exp outside [0,1] or decreasing, or exp[255] = 0");
  }
}

static void tail(Net *net, Node *n, Text *t) {
  static const char *const names[] = {"softmax_q", "softmax_f", "softmax_16"};
  const Tensor *x = &net->tensors[n->in[0]];
  uint32_t row = x->rank ? x->dims[x->rank - 1] : 1;
  Tail *f = take(1, sizeof *f);
  n->tail = f;
  word(t, "tail");
  f->fn = (TailFn)choice(t, names, 3);
  n->out_zp = named(t, "out_zp", -((int64_t)1 << 31), (int64_t)1 << 31);
  n->lo = named(t, "lo", -LIMIT62, LIMIT62), n->hi = named(t, "hi", -LIMIT62, LIMIT62);
  require(t, n->lo <= n->hi, "lo above hi");
  if (f->fn == SOFTMAX_F) {
    softmax_f_table(f, t);
  } else {
    f->rq.m = (int32_t)named(t, "mult", 0, INT32_MAX), f->rq.sh = (int32_t)named(t, "ls", f->fn == SOFTMAX_Q ? 0 : -31, 30);
    if (f->fn == SOFTMAX_Q) {
      f->diff_min = (int32_t)named(t, "diff_min", INT32_MIN, 0);
      f->out_bits = (int32_t)named(t, "out_bits", 8, 16);
      require(t, (f->out_bits == 8 || f->out_bits == 16) && row <= 4096, "out_bits neither 8 nor 16, or rows above 4096");
    } else {
      word(t, "rq");
      f->rq.fn = (Fn)choice(t, fn_names, 14);
      require(t, (f->rq.fn == RQ_D || f->rq.fn == RQ_S) && row <= 65535, "rq neither RQ_D nor RQ_S, or rows above 65535");
      newline(t);
      word(t, "lut");
      int64_t least = 0; // the first table, entries 0 to 512, does not decrease
      for (unsigned i = 0; i < 1026; i++) {
        if (i == 511 && least < 1 << 14) least = 1 << 14;
        f->lut[i] = (int16_t)number(t, least, INT16_MAX);
        least = i < 512 ? f->lut[i] : 0;
      }
    }
  }
  newline(t);
}

// Every output position of a maximum has a tap inside the image.
static bool taps_everywhere(uint32_t out, uint32_t stride, uint32_t pad, uint32_t dilation, uint32_t taps, uint32_t size) {
  uint32_t k0, k1;
  for (uint32_t o = 0; o < out; o++) {
    if (!inside_taps(o, stride, pad, dilation, taps, size, &k0, &k1)) return false;
  }
  return true;
}

static void attributes(Net *net, Node *n, Text *t) {
  const Tensor *x = &net->tensors[n->in[0]], *y = &net->tensors[n->out];
  const Window *w = &n->w;
  bool one_to_one = n->kind == STEP || n->kind == TABLE || n->kind == CLAMP || n->kind == WRAP || n->kind == TAIL || n->kind == THRESHOLD;
  require(t, !one_to_one || same_shape(x, y), "input and output have different shapes");
  for (uint32_t k = 0; k < n->n_in && (n->kind == SUM || n->kind == PRODUCT); k++)
    require(t, net->tensors[n->in[k]].size == y->size, "element counts differ");
  switch (n->kind) {
  case AFFINE: affine(net, n, t); break;
  case STEP: step(net, n, t); break;
  case TABLE:
    word(t, "table"), n->lo = named(t, "lo", INT64_MIN, INT64_MAX), n->n_table = named32(t, "n", 1, 65536), newline(t);
    word(t, "t"), n->table = int32s(t, n->n_table, INT32_MIN, INT32_MAX), newline(t);
    break;
  case SUM: {
    accumulator(n, t);
    word(t, "terms"), newline(t);
    int64_t *c = take(n->n_in, sizeof *c), *z = take(n->n_in, sizeof *z);
    n->c = c, n->z = z;
    for (uint32_t k = 0; k < n->n_in; k++) c[k] = number(t, -INT32_MAX, INT32_MAX), z[k] = number(t, INT64_MIN, INT64_MAX), newline(t);
    break;
  }
  case PRODUCT: {
    accumulator(n, t);
    int64_t *z = take(2, sizeof *z);
    n->z = z;
    word(t, "product"), z[0] = named(t, "z0", INT64_MIN, INT64_MAX), z[1] = named(t, "z1", INT64_MIN, INT64_MAX), newline(t);
    break;
  }
  case MAX:
    window(n, t), window_shapes(net, n, t);
    require(t, w->ic == w->oc && w->ic == w->groups, "max: ic = oc = groups expected");
    require(t, taps_everywhere(w->oh, w->sh, w->pt, w->dh, w->kh, w->ih) && taps_everywhere(w->ow, w->sw, w->pl, w->dw, w->kw, w->iw),
            "max: a position without a tap inside the image");
    break;
  case INDEX: index_node(net, n, t); break;
  case CLAMP:
  case OPAQUE:
    word(t, n->kind == CLAMP ? "clamp" : "opaque"), n->lo = named(t, "lo", INT64_MIN, INT64_MAX),
                                                    n->hi = named(t, "hi", INT64_MIN, INT64_MAX);
    require(t, n->lo <= n->hi && (n->kind == CLAMP || in_type(y, n->lo, n->hi)), "lo above hi, or outside the storage type");
    newline(t);
    break;
  case WRAP: word(t, "wrap"), n->bits = named32(t, "bits", 2, 62), newline(t); break;
  case TAIL: tail(net, n, t); break;
  case THRESHOLD: threshold(net, n, t); break;
  }
}

static void nodes(Net *net, Text *t) {
  static const char *const kinds[] = {"affine", "step",  "table", "sum",  "product", "max",
                                      "index",  "clamp", "wrap",  "tail", "opaque",  "threshold"};
  net->n_nodes = named32(t, "nodes", 0, 1 << 24);
  newline(t);
  fits_text(t, net->n_nodes, 40);
  net->nodes = take(net->n_nodes, sizeof *net->nodes);
  for (uint32_t i = 0; i < net->n_nodes; i++) {
    Node *n = &net->nodes[i];
    named(t, "node", i, i);
    n->kind = (Kind)choice(t, kinds, 12);
    word(t, "op"), string(t), named(t, "layer", 0, UINT32_MAX);
    bool many = n->kind == SUM || n->kind == OPAQUE;
    uint32_t least = n->kind == PRODUCT ? 2 : 1;
    n->n_in = named32(t, "in", least, many || n->kind == INDEX ? 1024 : least); // index: only a concat has more than one
    n->in = uint32s(t, n->n_in, net->n_tensors);
    n->out = named32(t, "out", 0, net->n_tensors - 1);
    newline(t);
    for (uint32_t k = 0; k < n->n_in; k++)
      require(t, net->tensors[n->in[k]].origin != FROM_NOWHERE, "an input is not written before the node");
    require(t, net->tensors[n->out].origin == FROM_NOWHERE, "the output is written already, or is an input or a constant");
    net->tensors[n->out].origin = FROM_NODE, net->tensors[n->out].node = i;
    attributes(net, n, t);
    require(t, n->kind != INDEX || n->move == CONCAT || n->n_in == 1, "too many inputs");
  }
}

static void outputs(Net *net, Text *t) {
  uint32_t n = named32(t, "outputs", 1, UINT32_MAX);
  newline(t);
  fits_text(t, n, 40);
  uint32_t *x = take(n, sizeof *x);
  net->n_outputs = n, net->outputs = x;
  for (uint32_t i = 0; i < n; i++) {
    named(t, "output", i, i);
    x[i] = port(net, t);
    port_end(net, t, x[i], NULL);
    word(t, "tail");
    if (t->p[0] == ' ' && t->p[1] == '"') string(t);
    else word(t, "none");
    newline(t);
  }
}

void net_read(Net *net, Text *t) {
  header(t), tensors(net, t), inputs(net, t), nodes(net, t), outputs(net, t);
  word(t, "end"), newline(t), text_end(t);
  for (uint32_t i = 0; i < net->n_tensors; i++) {
    if (net->tensors[i].origin == FROM_NOWHERE) unusable("%s: tensor %" PRIu32 " is never written", t->name, i);
  }
}

bool accumulates(const Node *n) { return n->kind == AFFINE || n->kind == SUM || n->kind == PRODUCT; }
