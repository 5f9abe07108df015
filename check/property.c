// Reader of properties: docs/property.md sections 1 and 3.
#include "check.h"

#include <inttypes.h>

Iv interval(Text *t, int64_t lo, int64_t hi) {
  Iv v = {number(t, lo, hi), 0};
  v.hi = number(t, lo, hi);
  if (v.lo > v.hi) bad(t, "empty interval");
  return v;
}

// Listed points: their hull takes the place of the intervals.
static void listed_points(Property *p, const Net *net, Input *in, Text *t) {
  uint32_t size = net->tensors[in->tensor].size, n = number32(t, 1, 1 << 24);
  if (in != net->inputs && p->points != n) bad(t, "all inputs list the same number of points, or none does");
  p->points = n;
  fits_text(t, (uint64_t)n * size, 2);
  int64_t *x = take((uint64_t)n * size, sizeof *x);
  Iv *iv = take(size, sizeof *iv);
  in->points = x;
  for (uint32_t k = 0; k < n; k++) {
    newline(t);
    for (uint32_t e = 0; e < size; e++) {
      int64_t v = *x++ = number(t, in->range.lo, in->range.hi);
      if (k == 0) iv[e] = (Iv){v, v};
      if (v < iv[e].lo) iv[e].lo = v;
      if (v > iv[e].hi) iv[e].hi = v;
    }
  }
  in->property = claim_make(iv, size, 1);
}

static void input(Property *p, const Net *net, Input *in, Text *t) {
  static const char *const forms[] = {"all", "range", "elements", "points"};
  unsigned form = t ? choice(t, forms, p->robust ? 4 : 3) : 0;
  if (form == 3) {
    listed_points(p, net, in, t);
    return;
  }
  if (p->points) bad(t, "all inputs list the same number of points, or none does");
  Iv *iv = &in->range;
  uint32_t n = 1;
  if (form == 1) {
    iv = take(1, sizeof *iv);
    *iv = interval(t, in->range.lo, in->range.hi);
  } else if (form == 2) {
    n = net->tensors[in->tensor].size;
    number(t, n, n), newline(t);
    fits_text(t, n, 4);
    iv = take(n, sizeof *iv);
    for (uint32_t e = 0; e < n; e++) {
      iv[e] = interval(t, in->range.lo, in->range.hi);
      if (e + 1 < n) newline(t);
    }
  }
  in->property = claim_make(iv, n, 1);
}

// One inequality x_j - x_kept >= d per class j, on elements first .. first + n - 1 of a tensor; d = d_lost where a tie loses the class.
const Target *keep_targets(const Property *p, const Net *net, uint32_t tensor, uint32_t first, uint32_t n, int64_t d_lost, int64_t d_kept) {
  if (n > net->text + (1 << 20)) unusable("too many classes");
  Target *target = take(n, sizeof *target);
  Inequality *q = take(n, sizeof *q);
  Term *x = take(n, 2 * sizeof *x);
  uint32_t k = 0;
  for (uint32_t j = 0; j < n; j++) {
    if (j == p->kept) continue;
    x[2 * k] = (Term){tensor, first + j, 1}, x[2 * k + 1] = (Term){tensor, first + p->kept, -1};
    q[k] = (Inequality){(j < p->kept) == p->first ? d_lost : d_kept, 2, &x[2 * k]};
    target[k] = (Target){j, 1, &q[k]};
    k++;
  }
  return target;
}

static void keep(Property *p, const Net *net, Text *t) {
  static const char *const ties[] = {"last", "first"};
  p->keep = true;
  word(t, "keep"), p->first = choice(t, ties, 2) == 1;
  p->kept = number32(t, 0, UINT32_MAX);
  word(t, "output"), p->kept_tensor = net->outputs[number32(t, 0, net->n_outputs - 1)];
  newline(t);
  uint32_t n = net->tensors[p->kept_tensor].size;
  if (p->kept >= n) bad(t, "the output has no such element");
  p->n_targets = n - 1;
  p->target = keep_targets(p, net, p->kept_tensor, 0, n, 0, 1);
}

static Inequality inequality(const Net *net, Text *t) {
  const int64_t limit = (int64_t)1 << 62;
  word(t, "ge");
  Inequality q = {.d = number(t, -limit, limit)};
  q.n = number32(t, 1, UINT32_MAX);
  fits_text(t, q.n, 6);
  Term *x = take(q.n, sizeof *x);
  q.term = x;
  uint32_t last_output = 0, last = 0;
  for (uint32_t k = 0; k < q.n; k++) {
    x[k].c = number(t, -limit, limit);
    uint32_t o = number32(t, 0, net->n_outputs - 1);
    x[k].tensor = net->outputs[o];
    x[k].e = number32(t, 0, net->tensors[x[k].tensor].size - 1);
    if (x[k].c == 0) bad(t, "coefficient 0");
    if (k > 0 && (o < last_output || (o == last_output && x[k].e <= last))) bad(t, "terms out of order");
    last_output = o, last = x[k].e;
  }
  newline(t);
  return q;
}

static void violations(Property *p, const Net *net, Text *t) {
  word(t, "violations"), p->n_targets = number32(t, 1, UINT32_MAX), newline(t);
  fits_text(t, p->n_targets, 24);
  Target *target = take(p->n_targets, sizeof *target);
  p->target = target;
  for (uint32_t i = 0; i < p->n_targets; i++) {
    word(t, "violation"), target[i].number = i, target[i].n = number32(t, 1, UINT32_MAX), newline(t);
    fits_text(t, target[i].n, 13);
    Inequality *q = take(target[i].n, sizeof *q);
    target[i].all = q;
    for (uint32_t k = 0; k < target[i].n; k++) q[k] = inequality(net, t);
  }
}

void property_read(Property *p, Net *net, Text *t) {
  static const char *const claims[] = {"overflow", "robust"};
  if (t) {
    word(t, "qvp"), word(t, "1"), newline(t);
    word(t, "claim"), p->robust = choice(t, claims, 2) == 1, newline(t);
    if (!p->robust) word(t, "acc-bits"), net->acc_bits = number32(t, 0, 64), newline(t);
    if (net->acc_bits == 1) bad(t, "acc-bits: 0 or 2 to 64 expected");
  }
  for (uint32_t i = 0; i < net->n_inputs; i++) {
    if (t) word(t, "input"), number(t, i, i);
    input(p, net, &net->inputs[i], t);
    if (t) newline(t);
  }
  if (p->robust) {
    p->condition = (Str){t->p, (size_t)(t->end - t->p)}; // the text ends behind it, see below
    if (t->p[0] == 'k') keep(p, net, t);
    else violations(p, net, t);
  }
  if (t) word(t, "end"), newline(t), text_end(t);
}
