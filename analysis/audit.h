/* Audit of machine kernels: where the narrow stages before the wide sum can saturate or wrap. Rules: docs/audit.md.
 *
 * The verdicts are those of qv_prove_overflow and qv_witness_search; this file says which kernel is meant, counts the groups of
 * products that share a narrow stage, and shows the worst of them. */
#ifndef QV_ANALYSIS_AUDIT_H
#define QV_ANALYSIS_AUDIT_H

#include "analysis/witness.h"

/* ---- the same integers on another kernel -------------------------------------------------------------------------------- */

typedef struct {
  const char *name;     /* "avx2-u8s8"                                                */
  const char *summary;  /* one line: which machine code                               */
  const char *evidence; /* how we know: one line                                      */
  bool x_signed;        /* it multiplies int8 activations; else uint8. Weights: int8  */
  bool any_type;        /* it multiplies whatever is there: nothing is shifted         */
  qv_acc acc;
} qv_kernel;

const qv_kernel *qv_kernel_find(const char *name); /* NULL if there is none */
const qv_kernel *qv_kernel_at(size_t i);           /* NULL past the end     */

/* Evaluate every convolution and matrix product of `net` on kernel k: accumulators become k->acc; activations or weights of the
 * other signedness are shifted by 128 together with their zero points, so that the exact value of every tensor stays what it is.
 * Kept as they are: sums (every weight 1, no weight zero point), and depthwise convolutions unless `depthwise`.
 *   Pre: checked net. Post: checked net with a note that names the assumption; *n = layers on the kernel, 0 included.
 *   Errors: QV_E_UNSUP naming the layer, for tensors of other types than 8-bit ones or weights of more than 8 bits; QV_E_NOMEM.
 *   After an error the net is good for qv_net_free only. Cost: O(size of the net). */
QV_NODISCARD qv_status qv_kernel_assume(qv_net *net, const qv_kernel *k, bool depthwise, uint32_t *n, qv_err *err);

/* ---- groups: pairs and lane windows ------------------------------------------------------------------------------------- */

/* Terms first, first + step, .. (n of them) of one output element share a stage. A lane window of pairs: pairs with these numbers. */
typedef struct {
  uint32_t channel;
  size_t element;     /* of the node's output tensor */
  uint32_t first, step, n;
  bool pairs;         /* first, step and n count pairs */
  qv_itv sum;         /* what has to fit the stage; a saturating lane: hull of its prefixes */
  int32_t w[2];       /* factors of the first two terms (n = 1: of the first): stored bytes if the kernel is uncorrected, else */
  qv_itv x[2];        /*   with the zero points subtracted; x of a padded tap is what the kernel reads there                   */
} qv_audit_group;

typedef struct {
  uint32_t acc;         /* number in qv_range_result.acc */
  int bits;             /* width of the stage; 0 = the kernel has none, and the fields below are 0 */
  uint64_t n;           /* groups: pairs, or lane windows, of all output channels */
  uint64_t unsafe;      /* of these, not proved to fit at every position, for the proved ranges of the activations */
  uint64_t unsafe_any;  /* not fitting for some bytes of the activations' storage type, position inside the image;
                           kernel order only (else 0)                                                            */
  qv_audit_group worst; /* least room of all positions of the channel with the least room; n = 0 with unknown order */
} qv_audit_row;

typedef struct {
  qv_audit_row *row; /* [n] one per accumulating node, in the order of the proof's items */
  uint32_t n;
  qv_arena arena;
} qv_audit;

/* Rows of a proved (or not proved) net. *out is owned by the caller (qv_audit_clear), also after an error. Errors: QV_E_NOMEM.
 * Cost: O(weights), and one output channel of each layer at every position. */
QV_NODISCARD qv_status qv_audit_run(qv_audit *out, const qv_net *net, const qv_proof *proof, qv_err *err);
void qv_audit_clear(qv_audit *a);

/* qv_witness_search in several channels of the item: those whose stage has the least room first, then the item's own, each with
 * its share of `work` multiply-adds. Same result and errors. Deterministic. */
QV_NODISCARD qv_status qv_audit_witness(qv_witness *out, const qv_net *net, const qv_property *prop, qv_proof *proof,
                                        uint32_t item, uint64_t work, qv_err *err);

#endif
