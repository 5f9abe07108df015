#include "analysis/enumerate.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/subnet.h"
#include "kernels/ref.h"

uint64_t qv_box_points(const int64_t *lo, const int64_t *hi, size_t n) {
  uint64_t points = 1;
  for (size_t i = 0; i < n; i++)
    if (__builtin_mul_overflow(points, (uint64_t)(hi[i] - lo[i]) + 1, &points)) return UINT64_MAX;
  return points;
}

/* The next point, the last variable moving fastest; false after the last one. */
static bool next(int64_t *x, const int64_t *lo, const int64_t *hi, size_t n) {
  for (size_t i = n; i-- > 0;) {
    if (x[i] < hi[i]) {
      x[i]++;
      return true;
    }
    x[i] = lo[i];
  }
  return false;
}

qv_status qv_enumerate(bool *found, int64_t *x, qv_batch *b, const int64_t *lo, const int64_t *hi, size_t n, double deadline, qv_err *err) {
  qv_status st = QV_OK;
  *found = false;
  int64_t *first = malloc((n > 0 ? n : 1) * sizeof *first); /* of the batch */
  if (first == NULL) return QV_FAIL(err, QV_E_NOMEM, "enumeration");
  memcpy(x, lo, n * sizeof *x);
  for (bool more = true; more && !*found;) {
    uint32_t m = 0;
    memcpy(first, x, n * sizeof *x);
    for (; more && m < QV_BATCH; m++) {
      qv_batch_put(b, x);
      more = next(x, lo, hi, n);
    }
    QV_TRY(qv_batch_run(b, err));
    for (uint32_t i = 0; i < m; i++) {
      if (!qv_batch_violated(b, i)) continue;
      *found = true;
      memcpy(x, first, n * sizeof *x);
      while (i-- > 0) (void)next(x, lo, hi, n);
      break;
    }
    if (more && !*found && deadline > 0 && qv_clock() > deadline) {
      st = QV_E_LIMIT;
      goto done;
    }
  }
done:
  free(first);
  return st;
}

/* ---- boxes of one net ------------------------------------------------------------------------------------------------------- */

struct qv_box_net {
  qv_net view; /* the net, its outputs perhaps replaced by a row */
  qv_port row;
  const int64_t *lo, *hi; /* [n_in] */
  size_t n_in;
  qv_subnet part; /* net NULL: the whole net is executed */
  qv_robust_query q;
  uint32_t workers;
  qv_batch *batch; /* [workers], net NULL: not made yet */
  int64_t *room;   /* [workers][3 * n] */
};

static const qv_net *net_of(const qv_box_net *b) { return b->part.net != NULL ? b->part.net : &b->view; }

/* Cut the part out that the box can change. Where that cannot be done (a trap at the corner, another form) the whole net stays. */
static qv_status cut(qv_box_net *b, qv_err *err) {
  qv_values v = {0};
  qv_err quiet = {0};
  bool ok = false, *varies = calloc(b->n_in + 1, sizeof *varies);
  qv_status st = qv_values_init(&v, &b->view, err);
  if (st != QV_OK) goto done;
  if (varies == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "enumeration");
    goto done;
  }
  for (uint32_t i = 0, at = 0; i < b->view.n_in; i++)
    for (size_t e = 0, n = qv_elems(&b->view.tensor[b->view.in[i].tensor]); e < n; e++, at++) {
      v.v[b->view.in[i].tensor][e] = b->lo[at];
      varies[at] = b->lo[at] < b->hi[at];
    }
  st = qv_ref_run(&b->view, &v, &quiet);
  if (st == QV_OK) st = qv_subnet_make(&b->part, &ok, &b->view, (const int64_t *const *)v.v, varies, &quiet);
  if (st == QV_E_NOMEM) st = QV_FAIL(err, st, "%s", quiet.msg);
  else {
    st = QV_OK;
    if (!ok) qv_subnet_clear(&b->part);
  }
done:
  qv_values_clear(&v);
  free(varies);
  return st;
}

/* So few points are not worth the cutting. */
#define PART_POINTS 64

qv_status qv_box_net_new(qv_box_net **out, const qv_net *net, const int64_t *lo, const int64_t *hi, uint32_t row, const qv_condition *cond,
                         uint32_t workers, qv_err *err) {
  qv_status st = QV_OK;
  qv_box_net *b = calloc(1, sizeof *b);
  if (b == NULL) return QV_FAIL(err, QV_E_NOMEM, "enumeration");
  b->view = *net;
  b->lo = lo;
  b->hi = hi;
  b->q.cond = cond;
  b->workers = workers;
  if (row != QV_NONE) {
    b->row = (qv_port){.tensor = row, .end = QV_END_INT, .name = "row"};
    b->view.out = &b->row;
    b->view.n_out = 1;
  }
  for (uint32_t i = 0; i < net->n_in; i++) b->n_in += qv_elems(&net->tensor[net->in[i].tensor]);
  if (qv_box_points(lo, hi, b->n_in) > PART_POINTS) QV_TRY(cut(b, err));
  b->batch = calloc(workers, sizeof *b->batch);
  b->room = calloc(3 * workers, (b->n_in + 1) * sizeof *b->room);
  if (b->batch == NULL || b->room == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "enumeration");
    goto done;
  }
  QV_TRY(qv_batch_init(&b->batch[0], net_of(b), err));
  *out = b;
  b = NULL;
done:
  qv_box_net_free(b);
  return st;
}

void qv_box_net_free(qv_box_net *b) {
  if (b == NULL) return;
  for (uint32_t i = 0; b->batch != NULL && i < b->workers; i++) qv_batch_clear(&b->batch[i]);
  qv_subnet_clear(&b->part);
  free(b->batch);
  free(b->room);
  free(b);
}

uint64_t qv_box_net_work(const qv_box_net *b) { return qv_net_work(net_of(b)); }

qv_status qv_box_net_run(bool *found, int64_t *x, qv_box_net *b, uint32_t worker, uint32_t threads, const int64_t *lo, const int64_t *hi,
                         double deadline, qv_err *err) {
  qv_batch *batch = &b->batch[worker];
  const uint32_t *place = b->part.place;
  size_t n = b->part.net != NULL ? b->part.n : b->n_in;
  int64_t *plo = b->room + 3 * worker * (b->n_in + 1), *phi = plo + n, *px = phi + n;
  qv_status st = batch->net == NULL ? qv_batch_init(batch, net_of(b), err) : QV_OK;
  if (st != QV_OK) return st;
  for (size_t i = 0; i < n; i++) {
    plo[i] = lo[place != NULL ? place[i] : i];
    phi[i] = hi[place != NULL ? place[i] : i];
  }
  batch->q = &b->q;
  batch->n = 0;
  batch->threads = threads;
  st = qv_enumerate(found, px, batch, plo, phi, n, deadline, err);
  memcpy(x, b->lo, b->n_in * sizeof *x);
  for (size_t i = 0; i < n; i++) x[place != NULL ? place[i] : i] = px[i];
  return st;
}
