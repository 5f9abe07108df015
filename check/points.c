// Certificates by execution: docs/certificate.md section 7.5. The inputs of a box follow each other in an order in which
// neighbours differ in one element by one.
#include "check.h"

#include <inttypes.h>

enum { MOST_POINTS = 1 << 24 };

struct Points {
  Net *net;
  const Property *p;
  Eval *eval;
  uint64_t count;
};

Points *points_make(Net *net, const Property *p) {
  Points *s = take(1, sizeof *s);
  *s = (Points){net, p, eval_make(net), 0};
  return s;
}

static void count_points(Points *s, uint64_t n) {
  s->count += n;
  if (s->count > MOST_POINTS) rejected("more than 2^24 points are too many for this checker");
}

static bool holds(const Eval *v, const Inequality *q) {
  i128 sum = 0, x;
  for (uint32_t i = 0; i < q->n; i++) {
    if (!multiply(q->term[i].c, eval_at(v, q->term[i].tensor, q->term[i].e), &x)) rejected("a sum of outputs leaves 2^120");
    sum += x;
    if (sum > pow2(120) || sum < -pow2(120)) rejected("a sum of outputs leaves 2^120");
  }
  return sum >= q->d;
}

static bool violated(const Eval *v, const Target *t) {
  for (uint32_t i = 0; i < t->n; i++) {
    if (!holds(v, &t->all[i])) return false;
  }
  return true;
}

static bool any_violated(const Eval *v, const Target *t, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    if (violated(v, &t[i])) return true;
  }
  return false;
}

static void run(Points *s, const Target *t, uint32_t n) {
  eval_run(s->eval);
  if (any_violated(s->eval, t, n)) rejected("an input of a points leaf violates the property");
}

// One element that takes several values.
typedef struct {
  uint32_t tensor, e;
  Iv iv;
  int64_t at;
  int step;
} Digit;

static uint64_t size_of(Iv v) { return (uint64_t)v.hi - (uint64_t)v.lo + 1; } // at most 2^63 + 1

// The first element changes most often: the one with the least to compute again. Each is changed once to see how much that is.
static void cheapest_first(Points *s, Digit *digit, uint32_t n) {
  uint64_t work[25];
  eval_run(s->eval);
  for (uint32_t i = 0; i < n; i++) {
    uint64_t before = eval_work(s->eval);
    eval_set(s->eval, digit[i].tensor, digit[i].e, digit[i].iv.lo + 1), eval_run(s->eval);
    eval_set(s->eval, digit[i].tensor, digit[i].e, digit[i].iv.lo), eval_run(s->eval);
    work[i] = eval_work(s->eval) - before;
  }
  for (uint32_t i = 1; i < n; i++) {
    for (uint32_t j = i; j > 0 && work[j] < work[j - 1]; j--) {
      Digit d = digit[j];
      uint64_t w = work[j];
      digit[j] = digit[j - 1], work[j] = work[j - 1];
      digit[j - 1] = d, work[j - 1] = w;
    }
  }
}

void points_box(Points *s, const Force *f, const Target *t, uint32_t n) {
  const Net *net = s->net;
  uint64_t total = 1;
  uint32_t digits = 0;
  for (uint32_t i = 0; i < net->n_inputs; i++) {
    uint32_t tensor = net->inputs[i].tensor;
    for (uint32_t e = 0; e < net->tensors[tensor].size; e++) {
      Iv v = force_at(f, tensor, e);
      if (v.lo < v.hi) digits++;
      if (size_of(v) > MOST_POINTS / total) rejected("more than 2^24 points are too many for this checker");
      total *= size_of(v);
      eval_set(s->eval, tensor, e, v.lo);
    }
  }
  count_points(s, total);
  Digit digit[25]; // each doubles the number at least
  digits = 0;
  for (uint32_t i = 0; i < net->n_inputs; i++) {
    uint32_t tensor = net->inputs[i].tensor;
    for (uint32_t e = 0; e < net->tensors[tensor].size; e++) {
      Iv v = force_at(f, tensor, e);
      if (v.lo < v.hi) digit[digits++] = (Digit){tensor, e, v, v.lo, 1};
    }
  }
  if (total > 1000) cheapest_first(s, digit, digits);
  for (;;) {
    run(s, t, n);
    uint32_t i = 0;
    for (; i < digits && digit[i].at == (digit[i].step > 0 ? digit[i].iv.hi : digit[i].iv.lo); i++) digit[i].step = -digit[i].step;
    if (i == digits) return;
    digit[i].at += digit[i].step;
    eval_set(s->eval, digit[i].tensor, digit[i].e, digit[i].at);
  }
}

void points_listed(Points *s) {
  const Net *net = s->net;
  count_points(s, s->p->points);
  for (uint32_t k = 0; k < s->p->points; k++) {
    for (uint32_t i = 0; i < net->n_inputs; i++) {
      uint32_t tensor = net->inputs[i].tensor, size = net->tensors[tensor].size;
      for (uint32_t e = 0; e < size; e++) eval_set(s->eval, tensor, e, net->inputs[i].points[(uint64_t)k * size + e]);
    }
    run(s, s->p->target, s->p->n_targets);
  }
}

static bool listed(const Net *net, uint32_t k, int64_t *const *x) {
  for (uint32_t i = 0; i < net->n_inputs; i++) {
    uint32_t size = net->tensors[net->inputs[i].tensor].size;
    for (uint32_t e = 0; e < size; e++) {
      if (net->inputs[i].points[(uint64_t)k * size + e] != x[i][e]) return false;
    }
  }
  return true;
}

void points_witness(Points *s, Text *t) {
  const Net *net = s->net;
  int64_t **x = take(net->n_inputs, sizeof *x);
  for (uint32_t i = 0; i < net->n_inputs; i++) {
    const Input *in = &net->inputs[i];
    uint32_t size = net->tensors[in->tensor].size;
    word(t, "input"), number(t, i, i);
    fits_text(t, size, 2);
    x[i] = take(size, sizeof **x);
    for (uint32_t e = 0; e < size; e++) {
      x[i][e] = number(t, INT64_MIN, INT64_MAX);
      Iv v = range_at(&net->tensors[in->tensor], e);
      if (x[i][e] < v.lo || x[i][e] > v.hi) rejected("input %" PRIu32 ", element %" PRIu32 ": outside the property's interval", i, e);
      eval_set(s->eval, in->tensor, e, x[i][e]);
    }
    newline(t);
  }
  uint32_t k = 0;
  while (k < s->p->points && !listed(net, k, x)) k++;
  if (s->p->points && k == s->p->points) rejected("the witness is none of the property's points");
  eval_run(s->eval);
  if (!any_violated(s->eval, s->p->target, s->p->n_targets)) rejected("the witness violates nothing");
}
