// Words and lines of the three text forms (docs/qir.md sections 1 and 2; docs/property.md; docs/certificate.md), and memory.
// A word is read together with the one blank before it, so that only the canonical spacing is accepted.
#include "check.h"

#include <float.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct Memory Memory;
struct Memory {
  Memory *next;
  max_align_t data[];
};
static Memory *blocks;

void *take(uint64_t n, size_t size) {
  if (size != 0 && n > (SIZE_MAX / 2 - sizeof(Memory)) / size) unusable("out of memory");
  Memory *b = calloc(1, sizeof *b + (size_t)n * size);
  if (!b) unusable("out of memory");
  b->next = blocks;
  blocks = b;
  return b->data;
}

void release_all(void) {
  while (blocks) {
    Memory *b = blocks;
    blocks = b->next;
    free(b);
  }
}

void text_open(Text *t, const char *name, const unsigned char *bytes, size_t n, bool certificate) {
  *t = (Text){.name = name, .base = bytes, .p = bytes, .end = bytes + n, .line = 1, .line_start = true, .certificate = certificate};
}

void bad(const Text *t, const char *what) {
  if (t->certificate) rejected("line %" PRIu64 ": %s", t->line, what);
  unusable("%s: line %" PRIu64 ": %s", t->name, t->line, what);
}

static void blank(Text *t) {
  if (!t->line_start && *t->p++ != ' ') t->p--, bad(t, "one blank expected");
  t->line_start = false;
}

void newline(Text *t) {
  if (*t->p != '\n') bad(t, "end of line expected");
  t->p++, t->line++;
  t->line_start = true;
}

void text_end(Text *t) {
  if (t->p != t->end) bad(t, "text after the last line");
}

void word(Text *t, const char *w) {
  blank(t);
  size_t n = strlen(w);
  if ((size_t)(t->end - t->p) < n || memcmp(t->p, w, n) != 0) {
    char what[80] = "expected: ";
    strncat(what, w, 60);
    bad(t, what);
  }
  t->p += n;
}

bool line_is(const Text *t, const char *w) {
  size_t n = strlen(w);
  return (size_t)(t->end - t->p) > n && memcmp(t->p, w, n) == 0 && t->p[n] == ' ';
}

unsigned choice(Text *t, const char *const *words, unsigned n) {
  blank(t);
  size_t len = 0;
  while (t->p[len] > ' ') len++;
  for (unsigned i = 0; i < n; i++) {
    if (strlen(words[i]) == len && memcmp(words[i], t->p, len) == 0) {
      t->p += len;
      return i;
    }
  }
  bad(t, "unknown word");
}

int64_t number(Text *t, int64_t lo, int64_t hi) {
  blank(t);
  bool negative = *t->p == '-';
  if (negative) t->p++;
  if (*t->p < '0' || *t->p > '9') bad(t, "number expected");
  if (*t->p == '0' && (negative || (t->p[1] >= '0' && t->p[1] <= '9'))) bad(t, "number not in its canonical form");
  uint64_t v = 0, limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
  for (; *t->p >= '0' && *t->p <= '9'; t->p++) {
    unsigned d = *t->p - (unsigned)'0';
    if (v > (limit - d) / 10) bad(t, "number out of range");
    v = v * 10 + d;
  }
  int64_t r = !negative ? (int64_t)v : v > INT64_MAX ? INT64_MIN : -(int64_t)v;
  if (r < lo || r > hi) bad(t, "number out of range");
  return r;
}

void big(Text *t, mpz_t r) {
  char digits[2002]; // sign, 2000 digits, end
  blank(t);
  size_t n = 0, sign = *t->p == '-';
  while (n < 2001 && ((n == 0 && sign) || (t->p[n] >= '0' && t->p[n] <= '9'))) digits[n] = (char)t->p[n], n++;
  digits[n] = 0;
  if (n == sign || n > 2000 + sign || (t->p[n] >= '0' && t->p[n] <= '9')) bad(t, "integer of up to 2000 digits expected");
  if (digits[sign] == '0' && (sign || n > 1)) bad(t, "number not in its canonical form");
  t->p += n;
  mpz_set_str(r, digits, 10);
}

uint32_t number32(Text *t, uint32_t lo, uint32_t hi) { return (uint32_t)number(t, lo, hi); }

void fits_text(const Text *t, uint64_t items, unsigned bytes) {
  if (items > (uint64_t)(t->end - t->p) / bytes) bad(t, "count larger than the text that is left");
}

static void letter(Text *t, char c) {
  if (*t->p != (unsigned char)c) bad(t, "hexadecimal floating-point number not in its canonical form");
  t->p++;
}

static int hex_digit(unsigned char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

// -0x1.89abcdefp+12: mantissa and exponent are read as integers and put together as the bits of a binary64.
double real64(Text *t) {
  blank(t);
  uint64_t sign = 0, mantissa = 0, bits;
  if (*t->p == '-') sign = (uint64_t)1 << 63, t->p++;
  letter(t, '0'), letter(t, 'x');
  if (*t->p == '0') {
    letter(t, '0'), letter(t, 'p'), letter(t, '+'), letter(t, '0');
    bits = sign;
  } else {
    letter(t, '1');
    if (*t->p == '.') {
      t->p++;
      unsigned shift = 52;
      for (; hex_digit(*t->p) >= 0; t->p++) {
        if (shift == 0) bad(t, "too many digits");
        shift -= 4;
        mantissa |= (uint64_t)hex_digit(*t->p) << shift;
      }
      if (t->p[-1] == '.' || t->p[-1] == '0') bad(t, "fraction not in its canonical form");
    }
    letter(t, 'p');
    bool minus = *t->p == '-';
    if (!minus && *t->p != '+') bad(t, "exponent not in its canonical form");
    t->p++;
    if (*t->p < (minus ? '1' : '0') || *t->p > '9' || (*t->p == '0' && hex_digit(t->p[1]) >= 0))
      bad(t, "exponent not in its canonical form");
    int exponent = 0;
    for (; *t->p >= '0' && *t->p <= '9'; t->p++) {
      exponent = exponent * 10 + (*t->p - '0');
      if (exponent > 1074) bad(t, "exponent out of range");
    }
    if (minus) exponent = -exponent;
    if (exponent > 1023) bad(t, "exponent out of range");
    if (exponent >= -1022) {
      bits = sign | (uint64_t)(exponent + 1023) << 52 | mantissa;
    } else { // subnormal: the digits must end at 2^-1074
      unsigned shift = (unsigned)(-1022 - exponent);
      mantissa |= (uint64_t)1 << 52;
      if (mantissa & (((uint64_t)1 << shift) - 1)) bad(t, "more digits than the number can hold");
      bits = sign | mantissa >> shift;
    }
  }
  double v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

double real32(Text *t) {
  double v = real64(t);
  if (v > FLT_MAX || v < -FLT_MAX || (double)(float)v != v) bad(t, "not a binary32 number");
  return v;
}

Str string(Text *t) {
  blank(t);
  if (*t->p != '"') bad(t, "string expected");
  Str s = {++t->p, 0};
  while (*t->p != '"') {
    if (*t->p < 0x20 || *t->p > 0x7e) bad(t, "string not ended, or a byte that has to be escaped");
    if (*t->p++ != '\\') continue;
    if (*t->p == '"' || *t->p == '\\') {
      t->p++;
      continue;
    }
    int hi = *t->p == 'x' ? hex_digit(t->p[1]) : -1, lo = hi >= 0 ? hex_digit(t->p[2]) : -1, v = hi * 16 + lo;
    if (hi < 0 || lo < 0 || v == 0 || (v >= 0x20 && v < 0x7f)) bad(t, "unknown or needless escape");
    t->p += 3;
  }
  s.n = (size_t)(t->p++ - s.p);
  return s;
}
