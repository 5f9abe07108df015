/* Overflow verdicts and requantization obligations from proved ranges. Rules and lemmas: docs/overflow.md. */
#ifndef QV_ANALYSIS_OVERFLOW_H
#define QV_ANALYSIS_OVERFLOW_H

#include "analysis/range.h"

/* Ordered from best to worst. For PAIR16 and LANES the classes speak of the final accumulator, given safe stages. */
typedef enum {
  QV_OV_SAFE_ANY,   /* no overflow in any summation order, corrections of raw sums included                            */
  QV_OV_SAFE_ORDER, /* no prefix overflows in the stored order; another order might                                    */
  QV_OV_SAFE_FINAL, /* the final value always fits; intermediate sums may not: harmless when the accumulator wraps     */
  QV_OV_STAGE,      /* the final value fits, but a saturating pair or a narrow lane can overflow                       */
  QV_OV_UNSAFE      /* the bound on the final value does not fit                                                       */
} qv_ov_class;

typedef struct {
  uint32_t node;
  int bits;           /* accumulator width the verdict is about; 0 = unbounded (EXACT)                                  */
  qv_ov_class cls;
  qv_verdict verdict; /* VERIFIED: this node's accumulator cannot overflow in a way that changes its result under its
                         mode; FALSIFIED is never returned here without a replayed input; else UNKNOWN */
  uint32_t channel;   /* worst channel: worst class, then least room of the final value */
  uint32_t n_unsafe;  /* channels without the guarantee */
  bool attained;      /* the violation (if any) is attained for the box of the node's inputs (qv_acc_bound.attained) */
  bool exact;         /* ... and from the net's input */
} qv_ov_item;

/* What the node's accumulator attribute asks for, per channel: does bound `c` of `b` prove that the machine's result is the
 * exact one (Lemma O4)? bits: width of the final accumulator (a->bits, or another one to try). Pure. */
bool qv_acc_harmless(const qv_acc *a, int bits, const qv_acc_bound *b, uint32_t c);

/* acc_bits: 0 = each node's own mode and width; otherwise every accumulator is judged as an `acc_bits`-wide one of its own
 * kind (WRAP if the node is EXACT), 2..64. items must have room for r->n_acc.
 * With acc_bits != 0 the input ranges of later nodes are still those of each node's own width. */
void qv_overflow_judge(qv_ov_item *items, const qv_net *net, const qv_range_result *r, int acc_bits);

const qv_acc *qv_node_acc(const qv_node *n);  /* of AFFINE, SUM, PRODUCT; NULL otherwise */
const char *qv_ov_name(qv_ov_class c);        /* "safe in any order", ... (static) */

/* ---- obligations of requantization (docs/overflow.md section 6) ------------------------------------------------------- */
typedef enum {
  QV_OB_INPUT32,  /* the scaled input (x - in_zp) * 2^lshift is an int32 in the runtime                     */
  QV_OB_SHIFT32,  /* RQ_D, RQ_U, sh > 0: scaled input * 2^sh is an int32 (undefined in C otherwise)         */
  QV_OB_RESULT32, /* result + out_zp before the clamp is an int32                                           */
  QV_OB_ACC48,    /* RQ_64: -2^47 <= scaled input < 2^47                                                    */
  QV_OB_TOSA,     /* RQ_T, RQ_TD: -2^(s-1) <= scaled input < 2^(s-1)                                        */
  QV_OB_F32,      /* RQ_F32, RQ_F32B, RQ_MEANF: |scaled input| <= 2^24, so that its conversion is exact. Informational:
                     the conversion is modelled bit for bit                                                */
  QV_OB_SUM32     /* SUM in mode EXACT: final value in int32. Informational: the step after it has INPUT32  */
} qv_ob_kind;

typedef struct {
  uint32_t node;
  qv_ob_kind kind;
  uint32_t channel;   /* interval with the least room: parameter set of the step, or interval of the SUM's bound */
  qv_itv range;       /* proved range there   */
  qv_itv limit;       /* what it has to be in */
  bool holds;         /* range within limit for every channel */
  bool informational; /* does not enter the verdict           */
} qv_obligation;

const char *qv_ob_name(qv_ob_kind k);

/* All obligations of the net, in execution order; *out lives in `arena`. Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_obligations(qv_obligation **out, uint32_t *n, const qv_net *net, const qv_range_result *r,
                                      qv_arena *arena, qv_err *err);

/* One verdict for the net. VERIFIED iff every item is, every obligation holds (informational ones apart), there is at least
 * one item or obligation, and no node is OPAQUE; else UNKNOWN. */
qv_verdict qv_overflow_verdict(const qv_net *net, const qv_ov_item *items, uint32_t n_items, const qv_obligation *obs,
                               uint32_t n_obs);

/* ---- closed forms of A2Q (arXiv 2308.13504), exact in integers ---------------------------------------------------------
 * Both are "smallest P with 2^(P-1) - 1 >= m"; P >= 1. */
int qv_a2q_bits(qv_u128 m);
/* K products of an n_bits input (x_signed or not) and an m_bits signed weight: m = K * 2^(n_bits + m_bits - 1 - s). */
int qv_a2q_dtype_bits(uint64_t k, int n_bits, bool x_signed, int m_bits);
/* Weights of L1 norm l1: m = l1 * 2^(n_bits - s). */
int qv_a2q_l1_bits(uint64_t l1, int n_bits, bool x_signed);

#endif
