#include "kernels/exec.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/exec_int.h"
#include "kernels/step.h"
#include "kernels/threshold.h"

#define ALIGN 64
#define MAX_THREADS 256u

/* ---- instruction sets ------------------------------------------------------------------------------------------------- */

static bool has_isa(qv_isa isa) {
  switch (isa) {
  case QV_ISA_BEST:
  case QV_ISA_PORTABLE: return true;
#if defined(__x86_64__)
  case QV_ISA_AVX2: return __builtin_cpu_supports("avx2");
  case QV_ISA_AVX512VNNI:
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
#else
  case QV_ISA_AVX2:
  case QV_ISA_AVX512VNNI: break;
#endif
  }
  return false;
}

qv_isa qv_isa_detect(void) { return has_isa(QV_ISA_AVX512VNNI) ? QV_ISA_AVX512VNNI : has_isa(QV_ISA_AVX2) ? QV_ISA_AVX2 : QV_ISA_PORTABLE; }

const char *qv_isa_name(qv_isa isa) {
  switch (isa) {
  case QV_ISA_BEST: return "best";
  case QV_ISA_PORTABLE: return "portable";
  case QV_ISA_AVX2: return "avx2";
  case QV_ISA_AVX512VNNI: return "avx512vnni";
  }
  return "?";
}

static const qv_simd *simd_of(qv_isa isa) {
#if defined(__x86_64__)
  if (isa == QV_ISA_AVX512VNNI) return &qv_simd_avx512;
  if (isa == QV_ISA_AVX2) return &qv_simd_avx2;
#endif
  (void)isa;
  return &qv_simd_portable;
}

/* ---- plan: tensors ---------------------------------------------------------------------------------------------------- */

static qv_xtensor form_of(const qv_tensor *d, qv_itv t) {
  qv_xtensor x = {.n = qv_elems(d), .off = SIZE_MAX};
  if ((qv_i128)t.hi - t.lo <= 255) {
    x.type = QV_XU8;
    x.bias = t.lo >= 0 && t.hi <= 255 ? 0 : t.lo >= -128 && t.hi <= 127 ? 128 : -t.lo;
  } else if (t.lo >= INT16_MIN && t.hi <= INT16_MAX) {
    x.type = QV_XI16;
  } else {
    x.type = t.lo >= INT32_MIN && t.hi <= INT32_MAX ? QV_XI32 : QV_XI64;
  }
  return x;
}

/* Ranges that qv_ir_check leaves wide: a STEP declares its clamp, which for the inner steps of an ADD is no bound at all.
 * The image of an interval is exact (Lemma S6); a SUM follows where its accumulator provably does not overflow. */
static qv_itv step_range(const qv_step *s, qv_itv x) {
  qv_itv y = qv_step_image(s, 0, x);
  for (uint32_t c = 1; c < s->n_par; c++) y = qv_itv_hull(y, qv_step_image(s, c, x));
  return y;
}

static qv_itv threshold_range(const qv_threshold *h, qv_itv x) {
  qv_itv y = qv_pieces_image(&h->par[0], x);
  for (uint32_t c = 1; c < h->n_par; c++) y = qv_itv_hull(y, qv_pieces_image(&h->par[c], x));
  return y;
}

static qv_itv sum_range(const qv_plan *p, const qv_node *d, qv_itv declared) {
  const qv_sum *s = &d->u.sum;
  qv_i128 lo = 0, hi = 0, any = 0, top = s->acc.mode == QV_ACC_EXACT ? (qv_i128)INT64_MAX : qv_smax(s->acc.bits);
  for (uint32_t k = 0; k < d->n_in; k++) {
    qv_itv x = p->range[d->in[k]];
    qv_i128 a = ((qv_i128)x.lo - s->z[k]) * s->c[k], b = ((qv_i128)x.hi - s->z[k]) * s->c[k];
    lo += a < b ? a : b;
    hi += a < b ? b : a;
    any += (a < 0 ? -a : a) > (b < 0 ? -b : b) ? (a < 0 ? -a : a) : (b < 0 ? -b : b);
  }
  return any <= top ? (qv_itv){(int64_t)lo, (int64_t)hi} : declared;
}

static qv_itv index_range(const qv_plan *p, const qv_node *d) {
  qv_itv y = p->range[d->in[0]];
  for (uint32_t k = 1; k < d->n_in; k++) y = qv_itv_hull(y, p->range[d->in[k]]);
  int64_t pad = d->u.index.value;
  return d->u.index.form == QV_IX_PAD ? qv_itv_hull(y, (qv_itv){pad, pad}) : y;
}

static void plan_ranges(qv_plan *p) {
  const qv_net *net = p->net;
  for (uint32_t t = 0; t < net->n_tensors; t++) p->range[t] = (qv_itv){net->tensor[t].lo, net->tensor[t].hi};
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    const qv_node *d = &net->node[k];
    if (d->kind == QV_STEP) p->range[d->out] = step_range(&d->u.step, p->range[d->in[0]]);
    if (d->kind == QV_THRESHOLD) p->range[d->out] = threshold_range(&d->u.threshold, p->range[d->in[0]]);
    if (d->kind == QV_SUM) p->range[d->out] = sum_range(p, d, p->range[d->out]);
    if (d->kind == QV_MAX) p->range[d->out] = p->range[d->in[0]];
    if (d->kind == QV_INDEX) p->range[d->out] = index_range(p, d);
  }
}

static bool plan_tensors(qv_plan *p) {
  const qv_net *net = p->net;
  p->x = QV_NEW(&p->arena, net->n_tensors, qv_xtensor);
  p->range = QV_NEW(&p->arena, net->n_tensors, qv_itv);
  p->uses = QV_NEW(&p->arena, net->n_tensors, uint32_t);
  p->consumer = QV_NEW(&p->arena, net->n_tensors, uint32_t);
  p->producer = QV_NEW(&p->arena, net->n_tensors, uint32_t);
  if (p->x == NULL || p->range == NULL || p->uses == NULL || p->consumer == NULL || p->producer == NULL) return false;
  plan_ranges(p);
  for (uint32_t t = 0; t < net->n_tensors; t++) {
    const qv_tensor *d = &net->tensor[t];
    p->consumer[t] = p->producer[t] = QV_NONE;
    p->x[t] = form_of(d, p->range[t]);
    if (d->data == NULL) continue;
    unsigned char *c = qv_arena_alloc(&p->arena, p->x[t].n * qv_xsize(p->x[t].type) + QV_SLACK, 1);
    if (c == NULL) return false;
    for (size_t e = 0; e < p->x[t].n; e++) qv_xput(&p->x[t], c, e, d->data[e]);
    p->x[t].constant = c;
  }
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    p->producer[net->node[k].out] = k;
    for (uint32_t i = 0; i < net->node[k].n_in; i++) {
      p->uses[net->node[k].in[i]]++;
      p->consumer[net->node[k].in[i]] = k;
    }
  }
  for (uint32_t i = 0; i < net->n_out; i++) p->uses[net->out[i].tensor]++;
  return true;
}

/* Give every stored tensor a place among the activations. Tensors that are alive together never overlap: first fit, in
 * order of definition. Sets p->act_bytes. */
typedef struct {
  uint32_t t;
  int64_t from, to; /* first and last op that touches it: -1 = net input, n_nodes = net output */
} life;

static size_t padded_size(const qv_xtensor *x) { return (x->n * qv_xsize(x->type) + QV_SLACK + ALIGN - 1) / ALIGN * ALIGN; }

static size_t first_fit(const qv_plan *p, const life *l, size_t n) {
  size_t at = 0, need = padded_size(&p->x[l[n].t]);
  for (bool moved = true; moved;) { /* terminates: at only grows, to one of finitely many ends */
    moved = false;
    for (size_t i = 0; i < n; i++) {
      size_t lo = p->x[l[i].t].off, hi = lo + padded_size(&p->x[l[i].t]);
      if (l[i].to < l[n].from || at + need <= lo || at >= hi) continue;
      at = hi;
      moved = true;
    }
  }
  return at;
}

static int by_start(const void *a, const void *b) {
  const life *x = a, *y = b;
  return x->from != y->from ? (x->from < y->from ? -1 : 1) : x->t < y->t ? -1 : x->t > y->t;
}

static bool place_tensors(qv_plan *p) {
  const qv_net *net = p->net;
  life *l = calloc(net->n_tensors, sizeof *l);
  if (l == NULL) return false;
  for (uint32_t t = 0; t < net->n_tensors; t++) l[t] = (life){.t = t, .from = INT64_MAX, .to = -1};
  for (uint32_t i = 0; i < net->n_in; i++) l[net->in[i].tensor].from = -1;
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    const qv_op *op = &p->op[k];
    if (op->run == NULL) continue;
    l[op->out].from = k;
    l[op->out].to = qv_max64(l[op->out].to, k);
    for (uint32_t i = 0; i < op->n_in; i++) l[op->in[i]].to = qv_max64(l[op->in[i]].to, k);
  }
  for (uint32_t i = 0; i < net->n_out; i++) l[net->out[i].tensor].to = net->n_nodes;
  qsort(l, net->n_tensors, sizeof *l, by_start);
  size_t n = 0;
  for (uint32_t i = 0; i < net->n_tensors; i++) {
    if (l[i].from == INT64_MAX) continue; /* constant, or fused away */
    l[n] = l[i];
    size_t at = first_fit(p, l, n);
    p->x[l[n].t].off = at;
    size_t end = at + padded_size(&p->x[l[n].t]);
    if (end > p->act_bytes) p->act_bytes = end;
    n++;
  }
  free(l);
  return true;
}

/* ---- plan: nodes ------------------------------------------------------------------------------------------------------- */

static qv_status run_reference(qv_worker *w, const qv_op *op) {
  const qv_plan *p = w->p;
  int64_t *mem = w->ref_mem;
  for (uint32_t i = 0; i < op->n_in; i++) {
    uint32_t t = op->in[i];
    w->ref.v[t] = mem;
    for (size_t e = 0; e < p->x[t].n; e++) mem[e] = qv_xget(&p->x[t], w->at[t], e);
    mem += p->x[t].n;
  }
  w->ref.v[op->out] = mem;
  qv_status st = qv_ref_node(p->net, op->node, &w->ref, &w->err);
  for (size_t e = 0; st == QV_OK && e < p->x[op->out].n; e++) qv_xput(&p->x[op->out], w->at[op->out], e, mem[e]);
  return st;
}

static bool plan_reference(qv_plan *p, uint32_t node) {
  const qv_node *d = &p->net->node[node];
  qv_op *op = &p->op[node];
  size_t n = p->x[d->out].n;
  op->out = d->out;
  op->n_in = d->n_in;
  op->post = NULL;
  if ((op->in = QV_NEW(&p->arena, d->n_in, uint32_t)) == NULL) return false;
  for (uint32_t i = 0; i < d->n_in; i++) {
    op->in[i] = d->in[i];
    n += p->x[d->in[i]].n;
  }
  if (n > p->ref_elems) p->ref_elems = n;
  op->run = run_reference;
  if (op->name == NULL) op->name = "reference";
  return true;
}

static qv_status plan_node(qv_plan *p, uint32_t k, qv_err *err) {
  qv_status st = QV_OK;
  bool done = false;
  if (p->op[k].name != NULL) return QV_OK; /* fused into an earlier node */
  switch (p->net->node[k].kind) {
  case QV_AFFINE: done = qv_plan_affine(p, k, &st); break;
  case QV_STEP:
  case QV_TABLE:
  case QV_THRESHOLD:
  case QV_SUM:
  case QV_PRODUCT:
  case QV_CLAMP:
  case QV_WRAP: done = qv_plan_elementwise(p, k, &st); break;
  case QV_MAX: done = qv_plan_max(p, k, &st); break;
  case QV_INDEX: done = qv_plan_move(p, k, &st); break;
  case QV_TAIL: break;
  case QV_OPAQUE:
    return QV_FAIL(err, QV_E_UNSUP, "layer %u %s: an opaque operator cannot be executed", p->net->node[k].layer, p->net->node[k].op);
  case QV_KINDS: break;
  }
  if (st == QV_OK && !done && !plan_reference(p, k)) st = QV_E_NOMEM;
  return st == QV_OK ? QV_OK : QV_FAIL(err, st, "execution plan of node %u", k);
}

qv_status qv_plan_new(qv_plan **out, const qv_net *net, qv_isa isa, qv_err *err) {
  return qv_plan_new_proved(out, net, isa, NULL, err);
}

qv_status qv_plan_new_proved(qv_plan **out, const qv_net *net, qv_isa isa, const qv_plan_fact *fact, qv_err *err) {
  qv_status st = QV_OK;
  qv_plan *p = NULL;
  if (isa == QV_ISA_BEST) isa = qv_isa_detect();
  if (!has_isa(isa)) return QV_FAIL(err, QV_E_UNSUP, "this CPU does not have %s", qv_isa_name(isa));
  if ((p = calloc(1, sizeof *p)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "execution plan");
  p->net = net;
  p->isa = isa;
  p->fact = fact;
  p->simd = simd_of(isa);
  if ((p->op = QV_NEW(&p->arena, net->n_nodes, qv_op)) == NULL || !plan_tensors(p)) {
    st = QV_FAIL(err, QV_E_NOMEM, "execution plan");
    goto done;
  }
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    p->op[k].node = k;
    QV_TRY(plan_node(p, k, err));
  }
  if (!place_tensors(p)) {
    st = QV_FAIL(err, QV_E_NOMEM, "execution plan");
    goto done;
  }
  p->fact = NULL;
  *out = p;
  p = NULL;
done:
  qv_plan_free(p);
  return st;
}

void qv_plan_free(qv_plan *p) {
  if (p == NULL) return;
  for (unsigned i = 0; i < p->n_workers; i++) free(p->worker[i].mem);
  free(p->worker);
  qv_arena_clear(&p->arena);
  free(p);
}

const char *qv_plan_kernel(const qv_plan *p, uint32_t node) { return p->op[node].name; }

/* ---- workers ----------------------------------------------------------------------------------------------------------- */

/* Reserve n*size bytes of a block that is laid out first and allocated then. */
static size_t reserve(size_t *total, size_t n, size_t size) {
  size_t at = *total;
  *total += (n * size + QV_SLACK + ALIGN - 1) / ALIGN * ALIGN;
  return at;
}

static bool worker_init(qv_worker *w, const qv_plan *p) {
  const qv_net *net = p->net;
  size_t total = 0, block = QV_TILE_ROWS * QV_TILE_COLS; /* > QV_EW_BLOCK */
  size_t act = reserve(&total, p->act_bytes, 1), pad = reserve(&total, p->pad_bytes, 1), weave = reserve(&total, p->weave_bytes, 1);
  size_t c = reserve(&total, block, sizeof(int32_t)), t = reserve(&total, block, sizeof(int32_t));
  size_t c64 = reserve(&total, block, sizeof(int64_t)), ref = reserve(&total, p->ref_elems, sizeof(int64_t));
  size_t at = reserve(&total, net->n_tensors, sizeof(void *)), v = reserve(&total, net->n_tensors, sizeof(void *));
  unsigned char *m = aligned_alloc(ALIGN, total);
  if (m == NULL) return false;
  memset(m, 0, total);
  *w = (qv_worker){.p = p, .mem = m, .pad = m + pad, .weave = m + weave};
  w->c = (int32_t *)(void *)(m + c);
  w->t = (int32_t *)(void *)(m + t);
  w->c64 = (int64_t *)(void *)(m + c64);
  w->ref_mem = (int64_t *)(void *)(m + ref);
  w->at = (unsigned char **)(void *)(m + at);
  w->ref.v = (int64_t **)(void *)(m + v);
  for (uint32_t i = 0; i < net->n_tensors; i++) {
    union { /* constants are only read */
      const unsigned char *in;
      unsigned char *out;
    } u = {p->x[i].constant};
    w->at[i] = p->x[i].constant != NULL ? u.out : p->x[i].off != SIZE_MAX ? m + act + p->x[i].off : NULL;
  }
  return true;
}

static qv_status want_workers(qv_plan *p, unsigned n, qv_err *err) {
  if (n <= p->n_workers) return QV_OK;
  qv_worker *w = realloc(p->worker, n * sizeof *w);
  if (w == NULL) return QV_FAIL(err, QV_E_NOMEM, "%u threads", n);
  p->worker = w;
  while (p->n_workers < n) {
    if (!worker_init(&p->worker[p->n_workers], p)) return QV_FAIL(err, QV_E_NOMEM, "scratch memory of thread %u", p->n_workers);
    p->n_workers++;
  }
  return QV_OK;
}

/* ---- input and output: storage types to internal forms and back -------------------------------------------------------- */

static int64_t read_as(qv_dtype type, const unsigned char *p, size_t e) {
  int16_t h;
  uint16_t uh;
  int32_t i;
  int64_t l;
  switch (type) {
  case QV_I8: return (int8_t)p[e];
  case QV_U8: return p[e];
  case QV_I16: return memcpy(&h, p + 2 * e, 2), h;
  case QV_U16: return memcpy(&uh, p + 2 * e, 2), uh;
  case QV_I32: return memcpy(&i, p + 4 * e, 4), i;
  case QV_I64: return memcpy(&l, p + 8 * e, 8), l;
  case QV_DTYPES: break;
  }
  return 0;
}

static void write_as(qv_dtype type, unsigned char *p, size_t e, int64_t v) {
  size_t n = qv_dtype_bytes(type); /* two's complement, little endian: the low bytes are the value */
  memcpy(p + n * e, &v, n);
}

/* Byte to byte: the internal form is the stored byte, with the top bit flipped for signed ones. */
static bool is_flip(const qv_tensor *t, const qv_xtensor *x, unsigned char *flip) {
  *flip = x->bias == 128 ? 0x80 : 0;
  return x->type == QV_XU8 && ((t->type == QV_I8 && (x->bias == 0 || x->bias == 128)) || (t->type == QV_U8 && x->bias == 0));
}

static void flip_bytes(unsigned char *dst, const unsigned char *src, size_t n, unsigned char flip) {
  uint64_t v, m = 0x0101010101010101u * flip;
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    memcpy(&v, src + i, 8);
    v ^= m;
    memcpy(dst + i, &v, 8);
  }
  for (; i < n; i++) dst[i] = src[i] ^ flip;
}

static qv_status load(qv_worker *w, uint32_t port, const unsigned char *src) {
  uint32_t t = w->p->net->in[port].tensor;
  const qv_tensor *d = &w->p->net->tensor[t];
  const qv_xtensor *x = &w->p->x[t];
  unsigned char *dst = w->at[t], flip;
  size_t e = 0;
  if (is_flip(d, x, &flip)) {
    int64_t lo = d->lo + x->bias, hi = d->hi + x->bias;
    flip_bytes(dst, src, x->n, flip);
    if (lo == 0 && hi == 255) return QV_OK;
    while (e < x->n && dst[e] >= lo && dst[e] <= hi) e++;
  } else {
    for (; e < x->n; e++) {
      int64_t v = read_as(d->type, src, e);
      if (v < d->lo || v > d->hi) break;
      qv_xput(x, dst, e, v);
    }
  }
  if (e == x->n) return QV_OK;
  return QV_FAIL(&w->err, QV_E_RANGE, "input '%s' element %zu: %lld is outside [%lld,%lld]", d->name, e,
                 (long long)read_as(d->type, src, e), (long long)d->lo, (long long)d->hi);
}

static void store(qv_worker *w, uint32_t port, unsigned char *dst) {
  uint32_t t = w->p->net->out[port].tensor;
  const qv_tensor *d = &w->p->net->tensor[t];
  const qv_xtensor *x = &w->p->x[t];
  unsigned char flip;
  if (is_flip(d, x, &flip)) flip_bytes(dst, w->at[t], x->n, flip);
  else
    for (size_t e = 0; e < x->n; e++) write_as(d->type, dst, e, qv_xget(x, w->at[t], e));
}

/* ---- run --------------------------------------------------------------------------------------------------------------- */

typedef struct {
  qv_worker *w;
  size_t from, to; /* samples; on failure `from` is the one that failed */
  const void *const *in;
  void *const *out;
  qv_status st;
} share;

static size_t sample_bytes(const qv_net *net, uint32_t t) { return qv_elems(&net->tensor[t]) * qv_dtype_bytes(net->tensor[t].type); }

static qv_status run_sample(const share *s, size_t i) {
  const qv_plan *p = s->w->p;
  const qv_net *net = p->net;
  qv_status st = QV_OK;
  for (uint32_t k = 0; k < net->n_in; k++)
    QV_TRY(load(s->w, k, (const unsigned char *)s->in[k] + i * sample_bytes(net, net->in[k].tensor)));
  for (uint32_t k = 0; k < net->n_nodes; k++)
    if (p->op[k].run != NULL) QV_TRY(p->op[k].run(s->w, &p->op[k]));
  for (uint32_t k = 0; k < net->n_out; k++) store(s->w, k, (unsigned char *)s->out[k] + i * sample_bytes(net, net->out[k].tensor));
done:
  return st;
}

static void *run_share(void *arg) {
  share *s = arg;
  for (; s->from < s->to; s->from++)
    if ((s->st = run_sample(s, s->from)) != QV_OK) break;
  return NULL;
}

qv_status qv_plan_run(qv_plan *p, size_t n, const void *const *in, void *const *out, unsigned threads, qv_err *err) {
  if (threads == 0) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    threads = cores > 0 ? (unsigned)cores : 1;
  }
  if (threads > MAX_THREADS) threads = MAX_THREADS;
  if (threads > n) threads = n > 0 ? (unsigned)n : 1;
  qv_status st = want_workers(p, threads, err);
  if (st != QV_OK) return st;
  share s[MAX_THREADS];
  pthread_t id[MAX_THREADS];
  bool started[MAX_THREADS] = {false};
  for (unsigned i = 0; i < threads; i++) {
    p->worker[i].err = (qv_err){0};
    s[i] = (share){.w = &p->worker[i], .from = n / threads * i + (i < n % threads ? i : n % threads), .in = in, .out = out};
    s[i].to = s[i].from + n / threads + (i < n % threads ? 1 : 0);
  }
  for (unsigned i = 1; i < threads; i++) started[i] = pthread_create(&id[i], NULL, run_share, &s[i]) == 0;
  (void)run_share(&s[0]);
  for (unsigned i = 1; i < threads; i++) {
    if (started[i]) (void)pthread_join(id[i], NULL);
    else (void)run_share(&s[i]);
  }
  for (unsigned i = 0; i < threads; i++) /* shares are in sample order: the first failing sample is reported */
    if (s[i].st != QV_OK) {
      if (err != NULL && err->code == QV_OK) *err = s[i].w->err;
      return s[i].st;
    }
  return QV_OK;
}
