#include "analysis/subnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What of a tensor depends on the box: rows y0..y1, columns x0..x1 of an image [1][h][w][c] (others count as 1x1 images).
 * y0 > y1: nothing. `id`: the subnet's tensor with exactly these elements. */
typedef struct {
  int64_t y0, y1, x0, x1;
  uint32_t id;
} part;

typedef struct {
  const qv_net *net;
  const int64_t *const *value;
  qv_net *sub;
  part *of; /* [n_tensors] */
  uint32_t names;
  bool refused, no_memory;
} maker;

typedef struct {
  int64_t h, w, c;
} image;

static image image_of(const qv_tensor *t) {
  if (t->rank == 4 && t->dim[0] == 1) return (image){t->dim[1], t->dim[2], t->dim[3]};
  return (image){1, 1, (int64_t)qv_elems(t)};
}

static bool none(part p) { return p.y0 > p.y1; }
static bool same(part a, part b) { return a.y0 == b.y0 && a.y1 == b.y1 && a.x0 == b.x0 && a.x1 == b.x1; }

static part all_of(const qv_tensor *t) {
  image g = image_of(t);
  return (part){0, g.h - 1, 0, g.w - 1, QV_NONE};
}

static part hull(part a, part b) {
  if (none(a)) return b;
  if (none(b)) return a;
  return (part){qv_min64(a.y0, b.y0), qv_max64(a.y1, b.y1), qv_min64(a.x0, b.x0), qv_max64(a.x1, b.x1), QV_NONE};
}

/* A tensor of the subnet with the elements `p` of tensor t. */
static uint32_t new_tensor(maker *m, uint32_t t, part p, const int32_t *data) {
  const qv_tensor *from = &m->net->tensor[t];
  qv_tensor to = *from;
  char *name = QV_NEW(&m->sub->arena, 24, char);
  if (name == NULL) {
    m->no_memory = true;
    return QV_NONE;
  }
  (void)snprintf(name, 24, "t%u", m->names++);
  to.name = name;
  to.data = data;
  if (from->rank == 4 && from->dim[0] == 1) {
    to.dim[1] = (uint32_t)(p.y1 - p.y0 + 1);
    to.dim[2] = (uint32_t)(p.x1 - p.x0 + 1);
  }
  uint32_t id = qv_net_add_tensor(m->sub, &to);
  m->no_memory |= id == QV_NONE;
  return id;
}

static uint32_t constant(maker *m, uint32_t t, part p) {
  image g = image_of(&m->net->tensor[t]);
  size_t n = (size_t)((p.y1 - p.y0 + 1) * (p.x1 - p.x0 + 1) * g.c), k = 0;
  int32_t *data = QV_NEW(&m->sub->arena, n, int32_t);
  if (data == NULL) {
    m->no_memory = true;
    return QV_NONE;
  }
  for (int64_t y = p.y0; y <= p.y1; y++)
    for (int64_t x = p.x0; x <= p.x1; x++)
      for (int64_t c = 0; c < g.c; c++) {
        int64_t v = m->value[t][(y * g.w + x) * g.c + c];
        m->refused |= v < INT32_MIN || v > INT32_MAX; /* constants are 32 bits wide */
        data[k++] = (int32_t)v;
      }
  return new_tensor(m, t, p, data);
}

static void add_node(maker *m, const qv_node *n) { m->no_memory |= qv_net_add_node(m->sub, n) == QV_NONE; }

static uint32_t *list(maker *m, uint32_t n) {
  uint32_t *p = QV_NEW(&m->sub->arena, n, uint32_t);
  m->no_memory |= p == NULL;
  return p;
}

/* Elements `want` out of the tensor that holds `have`. */
static uint32_t slice(maker *m, uint32_t t, part have, part want) {
  uint32_t *in = list(m, 1), out = new_tensor(m, t, want, NULL);
  if (m->no_memory) return QV_NONE;
  in[0] = have.id;
  qv_node n = {.kind = QV_INDEX, .op = "CROP", .n_in = 1, .in = in, .out = out};
  n.u.index.form = QV_IX_SLICE;
  for (uint32_t d = 0; d < m->net->tensor[t].rank; d++) n.u.index.b[d] = 1;
  n.u.index.a[1] = (int32_t)(want.y0 - have.y0);
  n.u.index.a[2] = (int32_t)(want.x0 - have.x0);
  add_node(m, &n);
  return out;
}

/* `mid` (tensor part) between constants before and behind it along an axis, so that the whole spans `want`. */
static part surround(maker *m, uint32_t t, part mid, part want, uint32_t axis) {
  part pieces[3], all = mid;
  uint32_t k = 0;
  if (axis == 1) {
    if (want.y0 < mid.y0) pieces[k++] = (part){want.y0, mid.y0 - 1, mid.x0, mid.x1, QV_NONE};
    pieces[k++] = mid;
    if (want.y1 > mid.y1) pieces[k++] = (part){mid.y1 + 1, want.y1, mid.x0, mid.x1, QV_NONE};
    all.y0 = want.y0, all.y1 = want.y1;
  } else {
    if (want.x0 < mid.x0) pieces[k++] = (part){mid.y0, mid.y1, want.x0, mid.x0 - 1, QV_NONE};
    pieces[k++] = mid;
    if (want.x1 > mid.x1) pieces[k++] = (part){mid.y0, mid.y1, mid.x1 + 1, want.x1, QV_NONE};
    all.x0 = want.x0, all.x1 = want.x1;
  }
  if (k == 1) return mid;
  uint32_t *in = list(m, k);
  for (uint32_t i = 0; i < k && !m->no_memory; i++) in[i] = pieces[i].id != QV_NONE ? pieces[i].id : constant(m, t, pieces[i]);
  all.id = new_tensor(m, t, all, NULL);
  if (m->no_memory) return all;
  qv_node n = {.kind = QV_INDEX, .op = "FRAME", .n_in = k, .in = in, .out = all.id};
  n.u.index.form = QV_IX_CONCAT;
  n.u.index.axis = axis;
  add_node(m, &n);
  return all;
}

/* The subnet's tensor with exactly the elements `want` of tensor t. */
static uint32_t get(maker *m, uint32_t t, part want) {
  part have = m->of[t];
  if (none(have)) return constant(m, t, want);
  if (same(have, want)) return have.id;
  part both = {qv_max64(have.y0, want.y0), qv_min64(have.y1, want.y1), qv_max64(have.x0, want.x0), qv_min64(have.x1, want.x1), QV_NONE};
  if (none(both) || both.x0 > both.x1) return constant(m, t, want);
  both.id = same(both, have) ? have.id : slice(m, t, have, both);
  both = surround(m, t, both, want, 2);
  return surround(m, t, both, want, 1).id;
}

/* ---- nodes -------------------------------------------------------------------------------------------------------------- */

static void put(maker *m, const qv_node *from, uint32_t *in, part p) {
  qv_node n = *from;
  n.in = in;
  n.out = new_tensor(m, from->out, p, NULL);
  if (m->no_memory) return;
  m->of[from->out] = p;
  m->of[from->out].id = n.out;
  add_node(m, &n);
}

/* Same shape in and out; a channel's number must not change when the image is cropped. */
static void elementwise(maker *m, const qv_node *n) {
  const qv_tensor *y = &m->net->tensor[n->out];
  image g = image_of(y);
  part p = {0, -1, 0, -1, QV_NONE};
  for (uint32_t i = 0; i < n->n_in; i++) p = hull(p, m->of[n->in[i]]);
  if (none(p)) {
    m->of[n->out] = p;
    return;
  }
  int64_t channels = n->kind == QV_STEP        ? (n->u.step.n_idx > 0 ? n->u.step.n_idx : n->u.step.n_par)
                     : n->kind == QV_THRESHOLD ? n->u.threshold.n_par
                                               : 1;
  int64_t inner = n->kind == QV_STEP ? n->u.step.inner : n->kind == QV_THRESHOLD ? n->u.threshold.inner : 1;
  bool crops = channels == 1 || (inner == 1 && g.c % channels == 0);
  for (uint32_t i = 0; i < n->n_in; i++) { /* inputs of other shapes have other rows and columns */
    image f = image_of(&m->net->tensor[n->in[i]]);
    crops = crops && f.h == g.h && f.w == g.w;
  }
  if (!crops) p = all_of(y);
  uint32_t *in = list(m, n->n_in);
  for (uint32_t i = 0; i < n->n_in && !m->no_memory; i++) in[i] = get(m, n->in[i], crops ? p : all_of(&m->net->tensor[n->in[i]]));
  if (!m->no_memory) put(m, n, in, p);
}

static void everything(maker *m, const qv_node *n) {
  bool touched = false;
  for (uint32_t i = 0; i < n->n_in; i++) touched |= !none(m->of[n->in[i]]);
  m->of[n->out] = (part){0, -1, 0, -1, QV_NONE};
  if (!touched) return;
  uint32_t *in = list(m, n->n_in);
  for (uint32_t i = 0; i < n->n_in && !m->no_memory; i++) in[i] = get(m, n->in[i], all_of(&m->net->tensor[n->in[i]]));
  if (!m->no_memory) put(m, n, in, all_of(&m->net->tensor[n->out]));
}

/* Output rows (or columns) whose taps can meet input rows a..b. */
static void reach(int64_t *lo, int64_t *hi, int64_t a, int64_t b, int64_t out, int64_t stride, int64_t pad, int64_t span) {
  *lo = qv_max64(0, (int64_t)qv_ceil_div((qv_i128)a + pad - span, stride));
  *hi = qv_min64(out - 1, (int64_t)qv_floor_div((qv_i128)b + pad, stride));
}

/* Input rows that output rows lo..hi read; *pad: rows of padding above them. False: padding only. */
static bool field(int64_t *a, int64_t *b, uint32_t *pad, int64_t lo, int64_t hi, int64_t in, int64_t stride, int64_t above, int64_t span) {
  int64_t first = lo * stride - above;
  *a = qv_max64(0, first);
  *b = qv_min64(in - 1, hi * stride - above + span);
  *pad = (uint32_t)(*a - first);
  return *a <= *b;
}

static void window(maker *m, const qv_node *from) {
  qv_node n = *from;
  qv_window *w = n.kind == QV_AFFINE ? &n.u.affine.win : &n.u.max;
  const qv_tensor *x = &m->net->tensor[n.in[0]], *y = &m->net->tensor[n.out];
  image gx = image_of(x), gy = image_of(y);
  part have = m->of[n.in[0]], want = have, p = have;
  if (none(have)) {
    m->of[n.out] = have;
    return;
  }
  int64_t sy = (int64_t)(w->kh - 1) * w->dh, sx = (int64_t)(w->kw - 1) * w->dw;
  if (w->n != 1 || gx.h != w->ih || gx.w != w->iw || gx.c != w->ic || gy.h != w->oh || gy.w != w->ow || gy.c != w->oc) {
    everything(m, from);
    return;
  }
  reach(&p.y0, &p.y1, have.y0, have.y1, w->oh, w->sh, w->pt, sy);
  reach(&p.x0, &p.x1, have.x0, have.x1, w->ow, w->sw, w->pl, sx);
  if (none(p) || p.x0 > p.x1) { /* strides skip it */
    m->of[n.out] = (part){0, -1, 0, -1, QV_NONE};
    return;
  }
  if (!field(&want.y0, &want.y1, &w->pt, p.y0, p.y1, w->ih, w->sh, w->pt, sy) ||
      !field(&want.x0, &want.x1, &w->pl, p.x0, p.x1, w->iw, w->sw, w->pl, sx)) {
    m->refused = true;
    return;
  }
  uint32_t *in = list(m, 1);
  if (m->no_memory) return;
  in[0] = get(m, n.in[0], want);
  w->ih = (uint32_t)(want.y1 - want.y0 + 1);
  w->iw = (uint32_t)(want.x1 - want.x0 + 1);
  w->oh = (uint32_t)(p.y1 - p.y0 + 1);
  w->ow = (uint32_t)(p.x1 - p.x0 + 1);
  if (!m->no_memory) put(m, &n, in, p);
}

static void make_node(maker *m, const qv_node *n) {
  switch (n->kind) {
  case QV_AFFINE:
  case QV_MAX: window(m, n); return;
  case QV_STEP:
  case QV_TABLE:
  case QV_THRESHOLD:
  case QV_SUM:
  case QV_PRODUCT:
  case QV_CLAMP:
  case QV_WRAP: elementwise(m, n); return;
  case QV_INDEX:
  case QV_TAIL: everything(m, n); return;
  case QV_OPAQUE:
  case QV_KINDS: m->refused = true; return;
  }
}

/* ---- ends --------------------------------------------------------------------------------------------------------------- */

static qv_status make_inputs(maker *m, qv_subnet *s, const bool *varies, qv_err *err) {
  size_t first = 0;
  for (uint32_t i = 0; i < m->net->n_in; i++) {
    uint32_t t = m->net->in[i].tensor;
    image g = image_of(&m->net->tensor[t]);
    size_t n = qv_elems(&m->net->tensor[t]);
    part p = {0, -1, 0, -1, QV_NONE};
    for (size_t e = 0; e < n; e++) {
      int64_t y = (int64_t)e / g.c / g.w, x = (int64_t)e / g.c % g.w;
      if (varies[first + e]) p = hull(p, (part){y, y, x, x, QV_NONE});
    }
    if (!none(p)) {
      uint32_t *more = realloc(s->place, (s->n + n) * sizeof *more);
      if (more == NULL) return QV_FAIL(err, QV_E_NOMEM, "part of a net");
      s->place = more;
      for (int64_t y = p.y0; y <= p.y1; y++)
        for (int64_t x = p.x0; x <= p.x1; x++)
          for (int64_t c = 0; c < g.c; c++) s->place[s->n++] = (uint32_t)(first + (size_t)((y * g.w + x) * g.c + c));
      p.id = new_tensor(m, t, p, NULL);
      qv_port port = {.tensor = p.id, .end = QV_END_INT, .name = "part"};
      if (m->no_memory || !qv_net_add_in(m->sub, &port)) return QV_FAIL(err, QV_E_NOMEM, "part of a net");
    }
    m->of[t] = p;
    first += n;
  }
  return QV_OK;
}

/* An output may not be a constant: then it is one passed through a node. */
static void make_outputs(maker *m) {
  for (uint32_t i = 0; i < m->net->n_out && !m->no_memory; i++) {
    uint32_t t = m->net->out[i].tensor;
    part all = all_of(&m->net->tensor[t]);
    uint32_t id = get(m, t, all);
    if (none(m->of[t])) {
      uint32_t *in = list(m, 1), out = new_tensor(m, t, all, NULL);
      if (m->no_memory) return;
      in[0] = id;
      qv_node n = {.kind = QV_INDEX, .op = "PASS", .n_in = 1, .in = in, .out = out};
      n.u.index.form = QV_IX_RESHAPE;
      add_node(m, &n);
      id = out;
    }
    qv_port port = {.tensor = id, .end = QV_END_INT, .name = "part"};
    m->no_memory |= m->no_memory || !qv_net_add_out(m->sub, &port);
  }
}

uint64_t qv_net_work(const qv_net *net) {
  uint64_t work = 0;
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    const qv_node *n = &net->node[k];
    uint64_t out = qv_elems(&net->tensor[n->out]);
    const qv_window *w = &n->u.affine.win;
    work += n->kind == QV_AFFINE ? out * w->kh * w->kw * (w->ic / w->groups) : 8 * out; /* a step costs a few multiplications */
  }
  return work;
}

void qv_subnet_clear(qv_subnet *s) {
  qv_net_free(s->net);
  free(s->place);
  *s = (qv_subnet){0};
}

qv_status qv_subnet_make(qv_subnet *out, bool *ok, const qv_net *net, const int64_t *const *value, const bool *varies, qv_err *err) {
  *out = (qv_subnet){0};
  *ok = false;
  maker m = {.net = net, .value = value, .sub = qv_net_new(0)};
  m.of = calloc(net->n_tensors, sizeof *m.of);
  qv_status st = QV_OK;
  qv_err quiet = {0};
  out->net = m.sub;
  if (m.sub == NULL || m.of == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "part of a net");
    goto done;
  }
  m.sub->source = net->source;
  m.sub->profile = net->profile;
  m.sub->format = net->format;
  for (uint32_t t = 0; t < net->n_tensors; t++) m.of[t] = (part){0, -1, 0, -1, QV_NONE};
  QV_TRY(make_inputs(&m, out, varies, err));
  for (uint32_t k = 0; k < net->n_nodes && !m.refused && !m.no_memory; k++) make_node(&m, &net->node[k]);
  if (!m.refused && !m.no_memory) make_outputs(&m);
  if (m.no_memory) {
    st = QV_FAIL(err, QV_E_NOMEM, "part of a net");
    goto done;
  }
  if (m.refused || m.sub->n_in == 0) goto done;
  *ok = qv_ir_check(m.sub, &quiet) == QV_OK;
  if (*ok) {
    out->work = qv_net_work(m.sub);
    out->whole = qv_net_work(net);
    *ok = out->work < out->whole;
  }
done:
  free(m.of);
  return st;
}
