/* Another order of a layer's input channels (docs/audit.md section 5): which products meet in a pair or a lane is decided by their
 * places, so channels whose weights do not fit together are put into different pairs, and large ones into different lanes. */
#ifndef QV_ANALYSIS_PERMUTE_H
#define QV_ANALYSIS_PERMUTE_H

#include "analysis/prove.h"

typedef struct {
  bool found;
  bool impossible;    /* proved that no order exists (lanes: the sum over all lanes is too large for all of them together) */
  uint32_t channels;  /* input channels of a window group                                     */
  uint32_t added;     /* channels of zeros (0: an order of the given channels)                */
  uint32_t *from;     /* [channels + added] channel at each place, QV_NONE = zeros            */
} qv_order_found;

/* An order for affine node n of a proved net under which no pair of any output channel can leave 16 bits, with the fewest zeros that
 * any order needs: a maximum matching of the channels that fit together at every tap, exact for the proved range of each channel.
 *   Among the orders in which no pair spans two taps: windows of several taps get an even number of places.
 *   For PAIR16 with adjacent pairs in kernel order, one window group; not found if a channel does not even fit beside zeros.
 *   For LANES in kernel order that are never spilled, one window group: channels spread over the lanes by a local search that need not
 *   find an order where one exists, for the intervals of analysis/fit.h; zeros only fill up the lanes of windows of several taps.
 *   Not found for other accumulators. out->from is in `arena`. Errors: QV_E_NOMEM. Cost: O(channels^2 * weights per channel) at worst. */
QV_NODISCARD qv_status qv_order_find(qv_order_found *out, qv_arena *arena, const qv_net *net, const qv_proof *proof, uint32_t node, qv_err *err);

/* Put channels into that order: an index node in front of `node` (after a padding node if channels of zeros are added), and the
 * weights of `node` accordingly. Every other tensor keeps its values. *node becomes its new number. The net has to be checked again.
 * Errors: QV_E_NOMEM. Cost: O(nodes + weights). */
QV_NODISCARD qv_status qv_order_apply(qv_net *net, uint32_t *node, const qv_order_found *f, qv_err *err);

#endif
