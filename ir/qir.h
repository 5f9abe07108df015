/* The .qir text form (docs/qir.md): reads and writes 1:1. */
#ifndef QV_IR_QIR_H
#define QV_IR_QIR_H

#include "ir/base/buf.h"
#include "ir/ir.h"

#define QV_QIR_MAX_NOTES 4096 /* qv_net_add_note compares each note with all others */

/* Append the canonical text of a checked net to out. Deterministic: equal nets give equal bytes.
 *   Errors: QV_E_NOMEM, QV_E_LIMIT above QV_QIR_MAX_NOTES. Cost: linear. */
QV_NODISCARD qv_status qv_qir_write(qv_buf *out, const qv_net *net, qv_err *err);

/* Parse text[0..len) and check the net. `*out` is owned by the caller (qv_net_free).
 *   Errors: QV_E_PARSE with err->line, QV_E_RANGE / QV_E_UNSUP from qv_ir_check, QV_E_NOMEM. Cost: linear; memory at most
 *   a small multiple of len (counts are never trusted before the text that backs them has been seen). */
QV_NODISCARD qv_status qv_qir_read(qv_net **out, const char *text, size_t len, qv_err *err);

/* As qv_qir_read, into an empty net of qv_net_new that stays the caller's: its arena may carry a byte limit or an injected
 * fault. After an error the net is only good for qv_net_free. */
QV_NODISCARD qv_status qv_qir_read_into(qv_net *net, const char *text, size_t len, qv_err *err);

#endif
