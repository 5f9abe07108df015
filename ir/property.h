/* Properties: for which inputs a claim is made, and what must not happen then. Text form: docs/property.md. */
#ifndef QV_IR_PROPERTY_H
#define QV_IR_PROPERTY_H

#include "ir/base/buf.h"
#include "ir/ir.h"

typedef struct {
  size_t n;     /* 0: the declared range; 1: one interval for all elements; else one per element (points: the element count) */
  qv_itv *itv;  /* [n], NULL with points */
  int64_t *point; /* ROBUST with points: [n_points][elements], else NULL */
} qv_prop_input;

#define QV_COND_MAX ((int64_t)1 << 62)
#define QV_MAX_POINTS ((int64_t)1 << 24)

/* ---- output conditions (docs/property.md section 3): what must not happen ------------------------------------------------ */

typedef struct {
  uint32_t out; /* number of the net output */
  uint32_t el;  /* element, row-major       */
  int64_t c;    /* not 0, |c| <= 2^62       */
} qv_out_term;

typedef struct { /* sum of c * element >= d */
  uint32_t n;
  const qv_out_term *term; /* [n] ascending in (out, el) */
  int64_t d;           /* |d| <= 2^62 */
} qv_ineq;

typedef struct { /* satisfied if all inequalities hold */
  uint32_t n;
  const qv_ineq *ineq;
} qv_violation;

typedef enum {
  QV_KEEP_FIRST, /* the first argmax of output `out` stays `cls`: violated by j iff o_j >= o_cls (j < cls), o_j > o_cls (j > cls) */
  QV_KEEP_LAST,  /* the last argmax: the other way round                                                                        */
  QV_AVOID       /* none of the violations is satisfied                                                                         */
} qv_cond_kind;

/* Targets: for the KEEP kinds the elements j != cls of output `out`, by their numbers; for AVOID the violations. */
typedef struct {
  qv_cond_kind kind;
  uint32_t out, cls;
  uint32_t n;              /* AVOID */
  const qv_violation *bad; /* [n] */
} qv_condition;

typedef enum { QV_CLAIM_OVERFLOW, QV_CLAIM_ROBUST } qv_claim;

typedef struct {
  qv_claim claim;
  int acc_bits;          /* OVERFLOW: 0 = every accumulator as its own attribute says, else 2..64 */
  size_t n_points;       /* ROBUST: 0 = boxes, else the listed inputs */
  qv_condition cond;     /* ROBUST */
  uint32_t n_in;         /* number of net inputs */
  qv_prop_input *in;     /* [n_in] */
  qv_arena arena;        /* owns in and all itv */
} qv_property;

/* Every input whole, acc_bits as given. Errors: QV_E_NOMEM. *p is owned by the caller (qv_property_clear), also after errors. */
QV_NODISCARD qv_status qv_property_whole(qv_property *p, const qv_net *net, int acc_bits, qv_err *err);

/* True if this is exactly what the file name "-" stands for. */
bool qv_property_is_default(const qv_property *p);

/* Canonical text. Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_property_write(qv_buf *out, const qv_property *p, qv_err *err);

/* Parse canonical text for a checked net. Errors: QV_E_PARSE with err->line; QV_E_NOMEM. */
QV_NODISCARD qv_status qv_property_read(qv_property *p, const char *text, size_t len, const qv_net *net, qv_err *err);

/* A friendlier form for people (docs/property.md section 2): `input NAME|#N LO HI`, `acc-bits N`, comments, any spacing.
 * Inputs that are not mentioned are whole; later lines for single elements `input NAME|#N [INDEX] LO HI` override. */
QV_NODISCARD qv_status qv_property_read_domain(qv_property *p, const char *text, size_t len, const qv_net *net, qv_err *err);

/* Per-element hull of n samples (storage type of input `port`, back to back): the domain that a calibration set spans. */
QV_NODISCARD qv_status qv_property_from_samples(qv_property *p, uint32_t port, const void *samples, size_t n, const qv_net *net,
                                                qv_err *err);

/* Hull of input i's domain; t is its tensor. */
qv_itv qv_property_hull(const qv_property *p, uint32_t i, const qv_tensor *t);

void qv_property_clear(qv_property *p);

/* ---- conditions --------------------------------------------------------------------------------------------------------- */

/* How many ways there are to violate it: for the KEEP kinds the other classes, else the violations. 0: nothing is claimed. */
size_t qv_condition_targets(const qv_condition *c, const qv_net *net);
/* Is it as documented above, for this net? QV_E_ARG otherwise. */
QV_NODISCARD qv_status qv_condition_check(const qv_condition *c, const qv_net *net, qv_err *err);
/* The lines `keep ..` or `violations ..`, alone. Arrays of the condition that was read live in the arena. Errors as qv_property_read. */
void qv_condition_write(qv_buf *out, const qv_condition *c);
QV_NODISCARD qv_status qv_condition_read(qv_condition *c, qv_arena *arena, const char *text, size_t len, const qv_net *net, qv_err *err);
/* First target that the outputs o[net->n_out][elements] satisfy, or QV_NONE. Pre: checked condition, |o| <= 2^62. Exact. */
uint32_t qv_condition_violated(const qv_condition *c, const qv_net *net, const int64_t *const *o);

#endif
