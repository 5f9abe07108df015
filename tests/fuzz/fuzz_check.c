// The parsers and rules of qverify-check: a net, then, each after a line "----", a property (or "-") and a certificate. The hashes of the
// certificate are repaired, so that its rules are reached.
#include "check/alloc.c"
#include "check/cert.c"
#include "check/check.h"
#include "check/cone.c"
#include "check/cover.c"
#include "check/dual.c"
#include "check/eval.c"
#include "check/force.c"
#include "check/gap.c"
#include "check/joint.c"
#include "check/linear.c"
#include "check/minimum.c"
#include "check/net.c"
#include "check/pair.c"
#include "check/points.c"
#include "check/property.c"
#include "check/requant.c"
#include "check/robust.c"
#include "check/rules.c"
#include "check/sha256.c"
#include "check/tail.c"
#include "check/text.c"
#include "check/unit.c"

#include <setjmp.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static jmp_buf out;

void rejected(const char *fmt, ...) {
  (void)fmt;
  longjmp(out, 1);
}

void unusable(const char *fmt, ...) {
  (void)fmt;
  longjmp(out, 2);
}

// Nets whose tensors are far larger than the text take long, which is allowed and no finding.
static bool small(const Net *net) {
  uint64_t total = 0;
  for (uint32_t i = 0; i < net->n_tensors; i++) total += net->tensors[i].size;
  for (uint32_t k = 0; k < net->n_nodes; k++) {
    const Window *w = &net->nodes[k].w;
    if ((i128)w->n * w->oh * w->ow * w->oc * w->kh * w->kw * w->ic > 1 << 20) return false;
  }
  return total < 1 << 16;
}

// So do boxes of many points.
static bool few_points(const Net *net) {
  double points = 1;
  for (uint32_t i = 0; i < net->n_inputs; i++) {
    const Claim *c = &net->inputs[i].property;
    for (uint32_t e = 0; e < net->tensors[net->inputs[i].tensor].size; e++) {
      Iv v = c->iv[c->n == 1 ? 0 : e];
      points *= (double)v.hi - (double)v.lo + 1;
    }
  }
  return points <= 1 << 12;
}

static void repair(unsigned char *cert, size_t n, const char *net_hash, const char *property_hash) {
  char hex[65];
  size_t net = n > 19 && memcmp(cert + 6, "claim robust\n", 13) == 0 ? 23 : 25; // behind "qvc 1", "claim ...", "net "
  unsigned char *p = n > net + 64 ? cert + net : NULL;
  if (!p) return;
  memcpy(p, net_hash, 64);
  if (n > net + 64 + 10 + 64 && p[74] != '-' && strlen(property_hash) == 64) memcpy(p + 75, property_hash, 64);
  if (n < 72 || memcmp(cert + n - 72, "sha256 ", 7) != 0) return;
  sha256_hex(cert, n - 72, hex);
  memcpy(cert + n - 65, hex, 64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char mark[] = "\n----\n";
  char net_hash[65], property_hash[65] = "-";
  unsigned char *part[3] = {NULL, NULL, NULL};
  size_t length[3] = {0, 0, 0}, at = 0;
  for (unsigned i = 0; i < 3 && at <= size; i++) {
    const uint8_t *end = i < 2 ? memmem(data + at, size - at, mark, 6) : NULL;
    length[i] = (end ? (size_t)(end - data) + 1 : size) - at; // the newline before the mark belongs to the part
    part[i] = malloc(length[i] + 1);
    if (!part[i]) abort();
    memcpy(part[i], data + at, length[i]);
    part[i][length[i]] = 0;
    at += length[i] + (end ? 5 : 1);
  }
  if (setjmp(out) == 0) {
    Net net = {.text = size};
    Cert cert = {0};
    Property wanted = {0};
    Text t;
    text_open(&t, "net", part[0], length[0], false);
    net_read(&net, &t);
    bool property = part[1] && part[1][0] != '-';
    if (part[1]) text_open(&t, "property", part[1], length[1], false);
    property_read(&wanted, &net, property ? &t : NULL);
    if (part[2] && small(&net)) {
      sha256_hex(part[0], length[0], net_hash);
      if (property) sha256_hex(part[1], length[1], property_hash);
      repair(part[2], length[2], net_hash, property_hash);
      text_open(&t, "certificate", part[2], length[2], true);
      if (!wanted.robust) {
        cert_read(&cert, &net, &t, net_hash, property_hash);
        rules_check(&net, &cert);
      } else if (few_points(&net)) {
        robust_check(&net, &wanted, &t, net_hash, property_hash);
      }
    }
  }
  release_all();
  for (unsigned i = 0; i < 3; i++) free(part[i]);
  return 0;
}
