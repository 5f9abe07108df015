/* 8-bit PNG pictures (ISO/IEC 15948): grey or RGB, no filter. */
#ifndef QV_CLI_PNG_H
#define QV_CLI_PNG_H

#include "ir/base/buf.h"

/* Append a PNG of w * h pixels, channels 1 (grey) or 3 (red, green, blue), rows from the top. out->failed when memory is short. */
void cli_png(qv_buf *out, const unsigned char *pixel, uint32_t w, uint32_t h, uint32_t channels);

#endif
