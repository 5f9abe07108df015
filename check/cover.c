// Covers: docs/certificate.md section 7.7. The tree of a question that was cut into parts is read part by part, with the box at hand.
#include "check.h"

#include <inttypes.h>
#include <string.h>

enum { DEEPEST = 64 };

// A split whose first or second part is being read, and what it splits.
typedef struct {
  uint32_t input, e;
  Iv whole;
  int64_t at;
  bool second;
} Cut;

struct Cover {
  Net *net;
  Text *t;
  Str condition;
  Iv **box; // per input
  Cut cut[DEEPEST];
  unsigned depth;
  bool begun;
};

// What the property says of an input's element.
static Iv allowed(Net *net, uint32_t input, uint32_t e) {
  Tensor *t = &net->tensors[net->inputs[input].tensor];
  t->claim = net->inputs[input].property;
  return range_at(t, e);
}

static uint32_t input_size(const Net *net, uint32_t input) { return net->tensors[net->inputs[input].tensor].size; }

Cover *cover_begin(Net *net, const Property *whole, Text *t, const char *net_hash, const char *property_hash) {
  Cover *c = take(1, sizeof *c);
  uint64_t elements = 0;
  *c = (Cover){.net = net, .t = t, .condition = whole->condition};
  if (!whole->robust || whole->points) rejected("a cover is for a claim of robustness about intervals");
  for (uint32_t i = 0; i < net->n_inputs; i++) elements += input_size(net, i);
  if (elements > net->text + (1 << 24)) rejected("the tensors are too large for this checker");
  c->box = take(net->n_inputs, sizeof *c->box);
  for (uint32_t i = 0; i < net->n_inputs; i++) {
    c->box[i] = take(input_size(net, i), sizeof **c->box);
    for (uint32_t e = 0; e < input_size(net, i); e++) c->box[i][e] = allowed(net, i, e);
  }
  word(t, "qvc"), word(t, "1"), newline(t);
  word(t, "claim"), word(t, "cover"), newline(t);
  word(t, "net"), word(t, net_hash), newline(t);
  word(t, "property"), word(t, property_hash), newline(t);
  return c;
}

static void cut(Cover *c) {
  if (c->depth == DEEPEST) bad(c->t, "splits nested too deep for this checker");
  Cut *new = &c->cut[c->depth++];
  new->input = number32(c->t, 0, c->net->n_inputs - 1);
  new->e = number32(c->t, 0, input_size(c->net, new->input) - 1);
  new->whole = c->box[new->input][new->e];
  new->at = number(c->t, INT64_MIN, INT64_MAX);
  if (new->at < new->whole.lo || new->at >= new->whole.hi) bad(c->t, "a split that leaves one side empty");
  new->second = false;
  c->box[new->input][new->e].hi = new->at;
}

bool cover_part(Cover *c) {
  static const char *const words[] = {"split", "part"};
  if (c->begun) { // back to the next second side
    for (; c->depth > 0 && c->cut[c->depth - 1].second; c->depth--) {
      const Cut *done = &c->cut[c->depth - 1];
      c->box[done->input][done->e] = done->whole;
    }
    if (c->depth == 0) return false;
    Cut *top = &c->cut[c->depth - 1];
    c->box[top->input][top->e] = (Iv){top->at + 1, top->whole.hi}; // at < whole.hi
    top->second = true;
  }
  c->begun = true;
  while (choice(c->t, words, 2) == 0) {
    cut(c);
    newline(c->t);
  }
  newline(c->t);
  return true;
}

void cover_contained(const Cover *c, const Property *part) {
  if (!part->robust || part->points) rejected("a part is a claim of robustness about intervals");
  if (part->condition.n != c->condition.n || memcmp(part->condition.p, c->condition.p, c->condition.n) != 0)
    rejected("the part's condition is not the whole's");
  for (uint32_t i = 0; i < c->net->n_inputs; i++) {
    for (uint32_t e = 0; e < input_size(c->net, i); e++) {
      Iv v = allowed(c->net, i, e);
      if (c->box[i][e].lo < v.lo || c->box[i][e].hi > v.hi)
        rejected("input %" PRIu32 ", element %" PRIu32 ": the part's property does not contain the part's box", i, e);
    }
  }
}

void cover_end(Cover *c) {
  word(c->t, "verdict"), word(c->t, "verified"), newline(c->t);
  own_hash(c->t);
}
