/* Structured forgeries of certificates: one false or doubtful claim each, with the hash repaired. */
#ifndef QV_TESTS_CERT_FORGE_H
#define QV_TESTS_CERT_FORGE_H

#include "ir/base/buf.h"
#include "ir/base/rng.h"
#include "ir/property.h"

typedef enum {
  FG_SHRINK,     /* one end of one range, by 1 or more                    */
  FG_POINT,      /* one range shrunk to a point                           */
  FG_DROP,       /* a line missing (a tensor: both of its lines)          */
  FG_TWICE,      /* a line twice                                          */
  FG_SWAP,       /* two neighbours exchanged                              */
  FG_CHANNELS,   /* two ranges of a tensor exchanged                      */
  FG_TILING,     /* N or INNER changed                                    */
  FG_BITS,       /* another accumulator width                             */
  FG_HARMLESS,   /* open -> harmless                                      */
  FG_PLACE,      /* position <-> channel                                  */
  FG_HOLDS,      /* open -> holds                                         */
  FG_VERDICT,    /* unknown -> verified                                   */
  FG_ALL_GOOD,   /* every claim as good as can be, and verified           */
  FG_LINEAR,     /* FROM, CHANNEL or side of a linear line changed        */
  FG_NEW_LINEAR, /* a range shrunk, and a linear line that is to justify it */
  FG_KINDS
} forge_kind;

const char *forge_name(forge_kind k);

/* A copy of `cert` with one change of this kind; false if there is nothing to change. affine_node, affine_out: an affine node and its
 * output tensor for FG_NEW_LINEAR, QV_NONE if the net has none. */
bool forge(qv_buf *out, const qv_buf *cert, forge_kind kind, uint32_t affine_node, uint32_t affine_out, qv_rng *r);

/* Changes of the net itself, so that old ranges may no longer hold: one number of one node. False: nothing to change, or the
 * changed net is not valid. The net is owned by the caller either way. */
bool forge_net(qv_net *net, qv_rng *r, char *what, size_t room);

/* A larger domain somewhere, or another width. False: nothing to change. */
bool forge_property(qv_property *p, const qv_net *net, qv_rng *r);

#endif
