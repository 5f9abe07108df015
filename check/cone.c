// What depends on an element of a tensor, and the affine nodes' weights in the two orders in which they are walked.
#include "check.h"

#include <inttypes.h>

static void affine_prepare(Node *n, uint32_t k) {
  const Window *w = &n->w;
  uint64_t count = (uint64_t)n->taps * w->oc;
  int32_t *d = take(count, sizeof *d), *t = take(count, sizeof *t);
  int64_t *sum = take(w->oc, sizeof *sum);
  n->diff = d, n->diff_t = t, n->row_sum = sum;
  for (uint32_t o = 0; o < w->oc; o++) {
    int64_t wz = n->w_zp[n->n_wzp == 1 ? 0 : o];
    for (uint32_t i = 0; i < n->taps; i++) {
      uint64_t at = (uint64_t)o * n->taps + i;
      int64_t v = n->weight[at] - wz;
      if (v < INT32_MIN || v > INT32_MAX)
        rejected("node %" PRIu32 ": weights minus zero points beyond 32 bits are too wide for this checker", k);
      d[at] = t[(uint64_t)i * w->oc + o] = (int32_t)v;
      sum[o] += v;
      if (v < 0) v = -v;
      if (v > n->diff_max) n->diff_max = v;
    }
  }
}

// Two passes over the output elements: how many read each input element, and which.
static void index_prepare(const Net *net, Node *n) {
  uint32_t size = net->tensors[n->out].size, tensor, source;
  if (n->move == RESHAPE) return;
  const uint32_t **first = take(n->n_in, sizeof *first), **by = take(n->n_in, sizeof *by);
  n->read_first = first, n->read_by = by;
  for (uint32_t s = 0; s < n->n_in; s++) {
    uint32_t elements = net->tensors[n->in[s]].size, *f = take((uint64_t)elements + 1, sizeof *f), total = 0;
    first[s] = f;
    for (uint32_t e = 0; e < size; e++) {
      if (index_source(net, n, e, &tensor, &source) && tensor == n->in[s]) f[source + 1]++, total++;
    }
    uint32_t *b = take(total, sizeof *b), *next = take(elements, sizeof *next);
    by[s] = b;
    for (uint32_t i = 0; i < elements; i++) next[i] = f[i + 1] += f[i];
    for (uint32_t e = size; e-- > 0;) {
      if (index_source(net, n, e, &tensor, &source) && tensor == n->in[s]) b[--next[source]] = e;
    }
  }
}

void cone_prepare(Net *net) {
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    if (net->nodes[k].kind == AFFINE) affine_prepare(&net->nodes[k], k);
    if (net->nodes[k].kind == INDEX) index_prepare(net, &net->nodes[k]);
  }
}

// The output coordinate that reads coordinate `at` by tap k; false if there is none.
static bool reading(uint32_t at, uint32_t k, uint32_t stride, uint32_t pad, uint32_t dilation, uint32_t out, uint32_t *o) {
  int64_t p = (int64_t)at + pad - (int64_t)k * dilation;
  if (p < 0 || (stride > 1 && p % stride != 0)) return false;
  if (stride > 1) p /= stride;
  *o = (uint32_t)p;
  return p < out;
}

void window_readers(const Window *w, uint32_t e, WindowReader *read, void *context) {
  uint32_t x = e / w->ic % w->iw, y = e / w->ic / w->iw % w->ih, i = e / w->ic / w->iw / w->ih, oy, ox;
  for (uint32_t ky = 0; ky < w->kh; ky++) {
    if (!reading(y, ky, w->sh, w->pt, w->dh, w->oh, &oy)) continue;
    for (uint32_t kx = 0; kx < w->kw; kx++) {
      if (reading(x, kx, w->sw, w->pl, w->dw, w->ow, &ox)) read(context, (i * w->oh + oy) * w->ow + ox, ky * w->kw + kx);
    }
  }
}

typedef struct {
  Reader *read;
  void *context;
  uint32_t channels, channel;
} MaxReader;

static void max_reader(void *context, uint32_t position, uint32_t tap) {
  const MaxReader *m = context;
  (void)tap;
  m->read(m->context, position * m->channels + m->channel);
}

uint32_t tail_row(const Net *net, const Node *n) {
  const Tensor *x = &net->tensors[n->in[0]];
  return x->rank ? x->dims[x->rank - 1] : 1;
}

void readers(const Net *net, uint32_t k, uint32_t slot, uint32_t e, Reader *read, void *context) {
  const Node *n = &net->nodes[k];
  if (n->kind == MAX) {
    MaxReader m = {read, context, n->w.oc, e % n->w.oc};
    window_readers(&n->w, e, max_reader, &m);
  } else if (n->kind == INDEX && n->move != RESHAPE) {
    for (uint32_t i = n->read_first[slot][e]; i < n->read_first[slot][e + 1]; i++) read(context, n->read_by[slot][i]);
  } else if (n->kind == TAIL) {
    read(context, e - e % tail_row(net, n));
  } else {
    read(context, e);
  }
}
