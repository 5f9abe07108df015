#include "ir/index.h"

/* Strides of a shape, in elements. */
static void strides(int64_t s[QV_MAX_RANK], const qv_tensor *t) {
  int64_t k = 1;
  for (uint32_t d = t->rank; d-- > 0;) {
    s[d] = k;
    k *= t->dim[d];
  }
}

/* Next multi-index of t in row-major order. */
static void advance(uint32_t i[QV_MAX_RANK], const qv_tensor *t) {
  for (uint32_t d = t->rank; d-- > 0;) {
    if (++i[d] < t->dim[d]) return;
    i[d] = 0;
  }
}

/* Offset in input x of the element that output multi-index i reads, -1 for padding. CONCAT is handled by its caller. */
static int64_t source(const qv_index *ix, const qv_tensor *x, const int64_t xs[QV_MAX_RANK], const qv_tensor *y,
                      const uint32_t i[QV_MAX_RANK]) {
  int64_t off = 0;
  for (uint32_t d = 0; d < y->rank; d++) {
    switch (ix->form) {
    case QV_IX_TRANSPOSE: off += (int64_t)i[d] * xs[ix->a[d]]; break;
    case QV_IX_PAD: {
      int64_t k = (int64_t)i[d] - ix->a[d];
      if (k < 0 || k >= x->dim[d]) return -1;
      off += k * xs[d];
      break;
    }
    case QV_IX_SLICE: off += (ix->a[d] + (int64_t)i[d] * ix->b[d]) * xs[d]; break;
    case QV_IX_BROADCAST: {
      uint32_t lead = y->rank - x->rank;
      if (d >= lead && x->dim[d - lead] > 1) off += (int64_t)i[d] * xs[d - lead];
      break;
    }
    case QV_IX_GATHER: off += (int64_t)(d == ix->axis ? ix->g[i[d]] : i[d]) * xs[d]; break;
    case QV_IX_RESHAPE:
    case QV_IX_CONCAT: break;
    }
  }
  return off;
}

static void concat_map(qv_index_src *map, const qv_net *net, const qv_node *n, const qv_tensor *y) {
  size_t outer = 1, inner = 1, e = 0;
  uint32_t axis = n->u.index.axis;
  for (uint32_t d = 0; d < axis; d++) outer *= y->dim[d];
  for (uint32_t d = axis + 1; d < y->rank; d++) inner *= y->dim[d];
  for (size_t o = 0; o < outer; o++)
    for (uint32_t k = 0; k < n->n_in; k++) {
      size_t run = net->tensor[n->in[k]].dim[axis] * inner;
      for (size_t j = 0; j < run; j++) map[e++] = (qv_index_src){k, (int32_t)(o * run + j)};
    }
}

void qv_index_map(qv_index_src *map, const qv_net *net, const qv_node *n) {
  const qv_tensor *x = &net->tensor[n->in[0]], *y = &net->tensor[n->out];
  const qv_index *ix = &n->u.index;
  size_t ne = qv_elems(y);
  if (ix->form == QV_IX_CONCAT) {
    concat_map(map, net, n, y);
    return;
  }
  if (ix->form == QV_IX_RESHAPE) {
    for (size_t e = 0; e < ne; e++) map[e] = (qv_index_src){0, (int32_t)e};
    return;
  }
  int64_t xs[QV_MAX_RANK];
  uint32_t i[QV_MAX_RANK] = {0};
  strides(xs, x);
  for (size_t e = 0; e < ne; e++, advance(i, y)) {
    int64_t off = source(ix, x, xs, y, i);
    map[e] = off < 0 ? (qv_index_src){QV_NONE, ix->value} : (qv_index_src){0, (int32_t)off};
  }
}

bool qv_index_is_identity(const qv_net *net, const qv_node *n) {
  const qv_tensor *x = &net->tensor[n->in[0]], *y = &net->tensor[n->out];
  const qv_index *ix = &n->u.index;
  switch (ix->form) {
  case QV_IX_RESHAPE: return true;
  case QV_IX_CONCAT: return n->n_in == 1;
  case QV_IX_BROADCAST: return qv_elems(x) == qv_elems(y);
  case QV_IX_PAD:
    for (uint32_t d = 0; d < y->rank; d++)
      if (ix->a[d] != 0 || ix->b[d] != 0) return false;
    return true;
  case QV_IX_SLICE:
    for (uint32_t d = 0; d < y->rank; d++)
      if (y->dim[d] != x->dim[d] || (y->dim[d] > 1 && ix->b[d] < 0)) return false;
    return true;
  case QV_IX_GATHER:
    for (uint32_t k = 0; k < y->dim[ix->axis]; k++)
      if (ix->g[k] != k || y->dim[ix->axis] != x->dim[ix->axis]) return false;
    return true;
  case QV_IX_TRANSPOSE: {
    int32_t last = -1; /* dims of size 1 may go anywhere */
    for (uint32_t d = 0; d < y->rank; d++) {
      if (y->dim[d] == 1) continue;
      if (ix->a[d] < last) return false;
      last = ix->a[d];
    }
    return true;
  }
  }
  return false;
}
