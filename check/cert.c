// Reader of the certificate of claim overflow: docs/certificate.md sections 1 and 2.
#include "check.h"

#include <inttypes.h>
#include <string.h>

Claim claim_make(const Iv *iv, uint64_t n, uint64_t inner) { return (Claim){(uint32_t)n, n == 1 ? 1 : (uint32_t)inner, iv}; }

static void claims(Net *net, Text *t) {
  for (uint32_t i = 0; i < net->n_tensors; i++) {
    Tensor *x = &net->tensors[i];
    if (x->origin == FROM_CONSTANT) continue;
    word(t, "tensor"), number(t, i, i);
    int64_t n = number(t, 1, INT64_MAX), inner = number(t, 1, INT64_MAX);
    if (n != 1 && (n > x->size || inner > x->size || x->size % (n * inner) != 0))
      bad(t, "N * INNER does not divide the number of elements");
    newline(t);
    fits_text(t, (uint64_t)n, 4);
    Iv *iv = take((uint64_t)n, sizeof *iv);
    for (int64_t k = 0; k < n; k++) iv[k] = interval(t, INT64_MIN, INT64_MAX);
    x->claim = claim_make(iv, (uint64_t)n, (uint64_t)inner);
    newline(t);
  }
}

static void linear_lines(Cert *c, const Net *net, Text *t) {
  static const char *const sides[] = {"lo", "hi"};
  c->linear = take((uint64_t)(t->end - t->p) / 16 + 1, sizeof *c->linear); // a line has at least 16 bytes
  for (; line_is(t, "linear"); c->n_linear++) {
    Linear *l = &c->linear[c->n_linear];
    word(t, "linear");
    l->node = number32(t, 0, UINT32_MAX);
    if (l->node >= net->n_nodes || net->nodes[l->node].kind != AFFINE) bad(t, "not an affine node");
    l->upper = choice(t, sides, 2) == 1;
    l->channel = number32(t, 0, net->nodes[l->node].w.oc - 1);
    l->from = number32(t, 0, l->node);
    if (c->n_linear > 0) {
      const Linear *p = l - 1;
      bool after = p->node != l->node ? p->node < l->node : p->channel != l->channel ? p->channel < l->channel : !p->upper && l->upper;
      if (!after) bad(t, "linear lines out of order");
    }
    newline(t);
  }
}

void own_hash(Text *t) {
  char own[65];
  sha256_hex(t->base, (size_t)(t->p - t->base), own);
  word(t, "sha256"), word(t, own), newline(t), text_end(t);
}

void cert_read(Cert *c, Net *net, Text *t, const char *net_hash, const char *property_hash) {
  static const char *const harmless_open[] = {"open", "harmless"}, *const places[] = {"position", "channel"};
  static const char *const holds_open[] = {"open", "holds"}, *const verdicts[] = {"unknown", "verified"};
  bool all = true, opaque = false;
  uint32_t lines = 0;
  word(t, "qvc"), word(t, "1"), newline(t);
  word(t, "claim"), word(t, "overflow"), newline(t);
  word(t, "net"), word(t, net_hash), newline(t);
  word(t, "property"), word(t, property_hash), newline(t);
  claims(net, t);
  for (uint32_t i = 0; i < net->n_nodes; i++) {
    Node *n = &net->nodes[i];
    if (n->kind == OPAQUE) opaque = true;
    if (!accumulates(n)) continue;
    n->claim_bits = net->acc_bits ? net->acc_bits : n->acc.bits;
    word(t, "acc"), number(t, i, i), number(t, n->claim_bits, n->claim_bits);
    n->claim_harmless = choice(t, harmless_open, 2) == 1;
    n->by_channel = choice(t, places, 2) == 1;
    if (n->by_channel && n->kind != AFFINE) bad(t, "sum and product nodes say position");
    newline(t);
    all = all && n->claim_harmless, lines++;
  }
  linear_lines(c, net, t);
  for (uint32_t i = 0; i < net->n_nodes; i++) {
    Node *n = &net->nodes[i];
    if (n->kind != STEP) continue;
    word(t, "obligation"), number(t, i, i);
    n->claim_holds = choice(t, holds_open, 2) == 1;
    newline(t);
    all = all && n->claim_holds, lines++;
  }
  word(t, "verdict"), c->verified = choice(t, verdicts, 2) == 1, newline(t);
  if (c->verified && (!all || opaque || lines == 0)) bad(t, "the verdict does not follow from the lines");
  own_hash(t);
}
