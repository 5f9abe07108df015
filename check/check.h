// qverify-check: what its few files share. Written from docs/ alone; no line is shared with the prover.
#ifndef QVERIFY_CHECK_H
#define QVERIFY_CHECK_H

#include <gmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

__extension__ typedef __int128 i128;

// ---- how a run ends (main.c) ------------------------------------------------------------------------------------------------------
_Noreturn void rejected(const char *fmt, ...) __attribute__((format(printf, 1, 2))); // the certificate is no proof: exit 1
_Noreturn void unusable(const char *fmt, ...) __attribute__((format(printf, 1, 2))); // net, property, memory, usage: exit 2

// ---- text (text.c): the lexical rules of docs/qir.md sections 1, 2 and of docs/property.md ---------------------------------------------
typedef struct {
  const char *name;
  const unsigned char *base, *p, *end; // *end is a zero byte, which no token contains: reading stops there by itself
  uint64_t line;
  bool line_start, certificate; // an error in a certificate is a rejection
} Text;

typedef struct {
  const unsigned char *p;
  size_t n;
} Str;

void *take(uint64_t n, size_t size); // zeroed memory, never NULL; lives until release_all
void release_all(void);
void text_open(Text *t, const char *name, const unsigned char *bytes, size_t n, bool certificate);
_Noreturn void bad(const Text *t, const char *what);
void word(Text *t, const char *w);
unsigned choice(Text *t, const char *const *words, unsigned n); // position of the next word in the list
int64_t number(Text *t, int64_t lo, int64_t hi);
void big(Text *t, mpz_t r); // up to 2000 digits
uint32_t number32(Text *t, uint32_t lo, uint32_t hi);
void fits_text(const Text *t, uint64_t items, unsigned bytes); // that many items of so many bytes can still follow
double real64(Text *t);
double real32(Text *t);
Str string(Text *t); // as written, escapes and all: one spelling per string, so equal bytes are equal strings
void newline(Text *t);
void text_end(Text *t);
bool line_is(const Text *t, const char *w); // the next word, at the beginning of a line with more words

// ---- SHA-256 (sha256.c) -------------------------------------------------------------------------------------------------------------
void sha256_hex(const unsigned char *bytes, size_t n, char hex[65]);

// ---- the net (net.c): docs/qir.md -----------------------------------------------------------------------------------------------------
typedef struct {
  int64_t lo, hi;
} Iv;

typedef struct {
  i128 lo, hi;
} Wide;

// Interval number floor(e / inner) mod n for element e. n = 1 always has inner = 1; otherwise n * inner divides the element count.
typedef struct {
  uint32_t n, inner;
  const Iv *iv;
} Claim;

typedef enum { FROM_NOWHERE, FROM_INPUT, FROM_CONSTANT, FROM_NODE } Origin;

typedef struct {
  Str name;
  Origin origin;
  unsigned type, rank;
  bool scale;
  uint32_t dims[8], size;
  const int32_t *data; // of a constant
  uint32_t node;       // that writes it, FROM_NODE
  Claim claim;         // of every other tensor: from the certificate
} Tensor;

typedef struct {
  uint32_t tensor;
  Iv range;              // declared
  Claim property;        // required by the property
  const int64_t *points; // of a property that lists them: one after the other, all elements each
} Input;

typedef enum { AFFINE, STEP, TABLE, SUM, PRODUCT, MAX, INDEX, CLAMP, WRAP, TAIL, OPAQUE, THRESHOLD } Kind;
typedef enum { EXACT, ACC_WRAP, SAT, TRAP, PAIR16, LANES, PAIRLANES } Mode;
typedef enum { RQ_D, RQ_U, RQ_S, RQ_64, RQ_T, RQ_TD, RQ_F32, RQ_NDU, RQ_F64A, RQ_REF, RQ_F32B, RQ_DIV, RQ_TDIV, RQ_MEANF } Fn;
typedef enum { RESHAPE, TRANSPOSE, PAD, CONCAT, SLICE, BROADCAST, GATHER } Move;

typedef struct {
  uint32_t n, ih, iw, ic, oh, ow, oc, kh, kw, sh, sw, dh, dw, pt, pl, groups;
} Window;

typedef struct {
  Mode mode;
  unsigned bits; // 0 for exact
  bool any_order, bias_first, raw, k8, lane_sat;
  unsigned lanes, lane_bits;
  uint32_t spill;
} Acc;

typedef struct {
  Fn fn;
  int32_t m, sh;
  double M, B;
} Par;

// A piecewise constant function: value[i] from from[i] to from[i+1]-1, the last to infinity, the first also below from[0].
// Neighbours differ.
typedef struct {
  uint32_t n;
  const int64_t *from, *value;
} Pieces;

typedef enum { SOFTMAX_Q, SOFTMAX_F, SOFTMAX_16 } TailFn;

typedef struct {
  TailFn fn;
  Par rq; // softmax_q, softmax_16: multiplier m and shift sh = ls; softmax_16: its function
  int32_t diff_min, out_bits;
  float out_scale, exp[256];
  bool trunc;
  int16_t lut[1026];
} Tail;

typedef struct {
  Kind kind;
  uint32_t n_in, out;
  const uint32_t *in;
  Window w; // affine, max
  Acc acc;  // affine, sum, product
  // affine
  int32_t x_zp;
  uint32_t n_wzp, taps; // taps = kh * kw * (ic / groups)
  const int32_t *w_zp, *weight;
  const int64_t *bias;
  // step, table, threshold, clamp, wrap, tail, opaque; n_par and inner: step, threshold
  int64_t in_zp, out_zp, lo, hi;
  uint32_t lshift, inner, n_idx, n_par, n_table, bits;
  const uint32_t *idx;
  const Par *par;
  const int32_t *table;
  const Pieces *pieces; // threshold, one per channel
  const Iv *blocks;     // table: hulls of 256 entries each, made when first asked for
  const Tail *tail;
  // sum (one per input); product uses z[0], z[1]
  const int64_t *c, *z;
  // index
  Move move;
  const int32_t *a, *b;
  const uint32_t *g;
  uint32_t axis;
  int32_t value;
  // from the certificate
  unsigned claim_bits;
  bool claim_harmless, by_channel, claim_holds;
  // found by the checker: harmless at its own width at every position and channel
  bool own_harmless;
  // claim robust (cone.c). affine: w - wz as stored and with the output channel fastest; the sums of its rows, their largest magnitude
  const int32_t *diff, *diff_t;
  const int64_t *row_sum;
  int64_t diff_max;
  Iv *set_range;             // units: the hull of what the set's elements may read
  const Pieces **set_pieces; // f there; NULL: not made yet, or too many
  bool *set_seen;
  const uint32_t **read_first,
      **read_by; // index: per input, the output elements that read element e are read_by[first[e]] .. [first[e+1]-1]
} Node;

typedef struct LinearState LinearState;

typedef struct {
  uint32_t n_tensors, n_inputs, n_nodes, n_outputs;
  const uint32_t *outputs; // tensors
  Tensor *tensors;
  Input *inputs;
  Node *nodes;
  unsigned acc_bits;   // from the property
  uint64_t text;       // bytes of all files, the measure for memory
  LinearState *linear; // kept between linear rows
  // claim robust: the rules do not compare with claims but write, per tensor and element, the image, and the exact sums of accumulators
  Iv **image, **sum;
} Net;

void net_read(Net *net, Text *t);
bool accumulates(const Node *n);
bool is_unit(const Node *n); // y = f(x) element by element: step, table, threshold, clamp

// ---- property (property.c): docs/property.md -------------------------------------------------------------------------------------------
typedef struct {
  uint32_t tensor, e;
  int64_t c;
} Term;

// The sum of c * element is at least d.
typedef struct {
  i128 d;
  uint32_t n;
  const Term *term;
} Inequality;

// A violation: all of its inequalities hold. `number` as targets are numbered in certificates.
typedef struct {
  uint32_t number, n;
  const Inequality *all;
} Target;

typedef struct {
  bool robust;
  uint32_t points; // listed inputs; 0: the inputs' intervals
  // keep: element `kept` of the tensor must remain the largest; a tie with element j loses it if j < kept (first) or j > kept (last)
  bool keep, first;
  uint32_t kept, kept_tensor;
  uint32_t n_targets;
  const Target *target;
  Str condition; // claim robust: the lines from `keep` or `violations` to the end
} Property;

Iv interval(Text *t, int64_t lo, int64_t hi);
void property_read(Property *p, Net *net, Text *t); // t = NULL: claim overflow, every input takes its whole range
const Target *keep_targets(const Property *p, const Net *net, uint32_t tensor, uint32_t first, uint32_t n, int64_t d_lost, int64_t d_kept);

// ---- certificate of claim overflow (cert.c): docs/certificate.md sections 1 and 2 ------------------------------------------------------
typedef struct {
  uint32_t node, channel, from;
  bool upper;
} Linear;

typedef struct {
  Linear *linear;
  uint32_t n_linear;
  bool verified;
} Cert;

void cert_read(Cert *c, Net *net, Text *t, const char *net_hash, const char *property_hash);
Claim claim_make(const Iv *iv, uint64_t n, uint64_t inner);

// ---- evaluation (requant.c, unit.c, rules.c, linear.c): docs/certificate.md sections 3 to 5 --------------------------------------------
void float_probe(void);
typedef enum { TO_EVEN, TO_AWAY, TO_ZERO } Rounding;
i128 srdhm(i128 a, i128 b);
i128 away_shift(i128 x, unsigned e);                         // RDBP
bool round_float(double x, Rounding how, i128 *r);           // false: beyond 2^61
bool requant(const Par *p, i128 v, int64_t out_zp, i128 *r); // false: outside the range for which the functions are guaranteed
uint32_t set_at(const Node *n, uint32_t e);                  // step, threshold: number of the element's parameter set; others: 0
bool unit_value(const Node *n, uint32_t set, i128 x,
                i128 *y); // y = f(x) of a step, table, threshold or clamp; false: f is not defined there
bool unit_constant_until(const Node *n, uint32_t set, i128 x, i128 u, i128 *end); // the largest end <= u with f constant on [x,end]
uint32_t piece_at(const Pieces *p, i128 x);
Iv range_at(const Tensor *t, uint32_t e);
bool inside_taps(uint32_t o, uint32_t stride, uint32_t pad, uint32_t dilation, uint32_t taps, uint32_t size, uint32_t *k0, uint32_t *k1);
bool index_source(const Net *net, const Node *n, uint32_t e, uint32_t *tensor, uint32_t *source); // false: the constant n->value
void rules_check(Net *net, const Cert *c);
void rules_images(Net *net);                                // of all nodes, into net->image and net->sum; the claims are the images
Wide rules_element(const Net *net, uint32_t k, uint32_t e); // the image of one element; not of affine, index, tail, opaque
i128 linear_bound(Net *net, const Linear *l, uint32_t element);

// ---- claim robust: docs/certificate.md section 7 ---------------------------------------------------------------------------------------
// cone.c: what depends on an element
void cone_prepare(Net *net);
typedef void WindowReader(void *context, uint32_t position, uint32_t tap); // position: (image, row, column) of the output, tap: ky*kw + kx
void window_readers(const Window *w, uint32_t e, WindowReader *read, void *context);
typedef void Reader(void *context, uint32_t e);
void readers(const Net *net, uint32_t k, uint32_t slot, uint32_t e, Reader *read, void *context); // not of affine; tail: the row's first
uint32_t tail_row(const Net *net, const Node *n);

// force.c: intervals in force (7.2)
typedef struct Force Force;
Force *force_make(Net *net);
Iv force_at(const Force *f, uint32_t tensor, uint32_t e);
bool force_empty(const Force *f);
uint64_t force_mark(const Force *f);
void force_back(Force *f, uint64_t mark);
void force_restrict(Force *f, uint32_t tensor, uint32_t e, i128 lo, i128 hi);
void force_keep(Force *f);                             // what was restricted until now stays
bool force_divisible(const Net *net, uint32_t tensor); // may be named by a bound or a split

// dual.c: lower bounds by multipliers (7.3)
typedef struct Dual Dual;
Dual *dual_make(Net *net, const Force *f);
void dual_begin(Dual *d);
void dual_add(Dual *d, uint32_t tensor, uint32_t e, i128 coefficient);
void dual_constant(Dual *d, i128 v);
void dual_multipliers(Dual *d, Text *t); // reads SCALE N triples, and what is joint
unsigned dual_scale(const Dual *d);      // of the multipliers read last
i128 dual_bound(Dual *d);

// joint.c: elements of a unit that read the same inputs of the affine node before it
typedef struct {
  uint32_t e;
  int64_t m, s;
} JointTerm;
typedef struct Joint Joint;
Joint *joint_make(Net *net, const Force *f);
const Node *joint_affine(const Net *net, uint32_t tensor); // the exact affine node before the unit that writes it; NULL: none
// The least sum of m*f(a) - s*a over all points of what `count` elements of a group read, 0 if there is no point; false: nothing, or more
// than `limit` points.
bool joint_min(Joint *j, Node *unit, const JointTerm *term, uint32_t count, uint32_t limit, i128 *r);

// minimum.c: functions of units as pieces
void unit_prepare(Net *net);                                               // the claims are the widest intervals in force
bool unit_min(Node *n, uint32_t set, Iv x, int64_t m, int64_t s, i128 *r); // of m*f(x) - s*x over an interval; false: f is not defined
bool unit_last(Node *n, uint32_t set, Iv x, i128 y, i128 *last); // non-decreasing f: the largest a in x with f(a) <= y, x.lo - 1 if none
bool unit_rises(const Node *n, uint32_t set);
const Pieces *unit_pieces(Node *n, uint32_t set); // of a step, table or threshold node, over all that is read at the root; NULL: too many
bool unit_piece(Node *n, uint32_t set, int64_t x, Iv *same, i128 *y); // y = f(x), and so for all of `same`, which x lies in

// pair.c: execution of an affine node and a unit as one
typedef struct {
  uint32_t e;
  int64_t y;
} PairChange;
typedef struct Pair Pair;
Pair *pair_make(Net *net, uint32_t k); // of affine node k; NULL: it is not of that kind. At first all inputs are 0
const Node *pair_unit(const Pair *p);
// The input's values x differ from those of the last run in n elements, which were `old`. What the unit's outputs that may have changed
// are, each once; their number.
uint32_t pair_run(Pair *p, const uint32_t *changed, const int64_t *old, uint32_t n, const int64_t *x, const PairChange **changes);

// eval.c, tail.c: execution
typedef struct Eval Eval;
Eval *eval_make(Net *net);
void eval_set(Eval *v, uint32_t tensor, uint32_t e, int64_t x); // of a net input
void eval_run(Eval *v);
uint64_t eval_work(const Eval *v); // elements that have changed, in all runs until now
int64_t eval_at(const Eval *v, uint32_t tensor, uint32_t e);
int64_t tail_exp(const Tail *f, int64_t d); // E(d) of softmax_q
void tail_run(const Node *n, const int64_t *x, int64_t *y, uint32_t row);

bool tail_ordered(const Node *n);              // lemma S7 of docs/semantics.md
int64_t tail_gap(const Node *n, uint32_t row); // 0: none

// points.c: certificates by execution (7.5)
typedef struct Points Points;
Points *points_make(Net *net, const Property *p);
void points_box(Points *s, const Force *f, const Target *t, uint32_t n); // no input of the box violates one of n targets
void points_listed(Points *s);
void points_witness(Points *s, Text *t); // reads the inputs

// robust.c
typedef struct {
  bool falsified;
  uint32_t trusted;
} Outcome;
void own_hash(Text *t); // the line sha256 at the end of a certificate
Outcome robust_check(Net *net, const Property *p, Text *t, const char *net_hash, const char *property_hash);

// cover.c: section 7.7
typedef struct Cover Cover;
Cover *cover_begin(Net *net, const Property *whole, Text *t, const char *net_hash, const char *property_hash); // whole: read last
bool cover_part(Cover *c); // reads the tree up to its next part, whose box is at hand from then on; false: there is none
void cover_contained(const Cover *c, const Property *part); // the property read last is about that box at least, and asks the same
void cover_end(Cover *c);

// ---- allocation (alloc.c): docs/allocation.md, docs/allocation-certificate.md ----------------------------------------------------------
void alloc_check(Text *problem, Text *certificate); // prints what is proved

// ---- exact arithmetic ---------------------------------------------------------------------------------------------------------------
static inline i128 imin(i128 a, i128 b) { return a < b ? a : b; }
static inline i128 imax(i128 a, i128 b) { return a > b ? a : b; }
static inline i128 clip(i128 v, i128 lo, i128 hi) { return v < lo ? lo : v > hi ? hi : v; }
static inline i128 pow2(unsigned e) { return (i128)1 << e; }
static inline i128 floor_div(i128 a, i128 b) { // b > 0
  i128 q = a / b;
  return a % b < 0 ? q - 1 : q;
}
static inline i128 floor_shift(i128 a, unsigned e) { return a < 0 ? ~(~a >> e) : a >> e; } // floor(a / 2^e)
static inline bool fits_bits(i128 lo, i128 hi, unsigned bits) { return lo >= -pow2(bits - 1) && hi < pow2(bits - 1); }
static inline Wide hull(Wide a, Wide b) { return (Wide){imin(a.lo, b.lo), imax(a.hi, b.hi)}; }
static inline bool fits64(i128 v) { return fits_bits(v, v, 64); }
// The product, if it stays within 2^120.
static inline bool multiply(i128 a, i128 b, i128 *r) {
  if (!fits64(a) || !fits64(b)) {
    i128 x = a < 0 ? -a : a, y = b < 0 ? -b : b;
    if (x != 0 && y > pow2(120) / x) return false;
  }
  *r = a * b;
  return *r >= -pow2(120) && *r <= pow2(120);
}

#endif
