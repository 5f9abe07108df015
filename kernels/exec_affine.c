/* AFFINE: one tile engine for dense, convolution (no im2col: every weight group knows its byte offset from the position's
 * first tap) and depthwise (rows of the image interleaved, then the same tile with one group per channel). */
#include <stdlib.h>
#include <string.h>

#include "kernels/exec_int.h"
#include "kernels/step.h"

typedef struct {
  const qv_affine *a;
  bool bytes;              /* uint8 x int8 groups of 4; else int16 x int16 groups of 2                                        */
  bool dw;                 /* one channel per group of the window                                                             */
  bool copy;               /* the input is copied (padded, widened, zero point subtracted) before use                         */
  bool wide;               /* accumulators may need int64: K is cut into chunks that fit int32                                */
  int wrap;                /* wrap the result to this many bits, 0 = no (or done by arithmetic modulo 2^32)                   */
  int32_t sub;             /* int16 copy: value stored = byte or int16 - sub                                                  */
  uint8_t fill;            /* bytes: what padding holds                                                                       */
  uint32_t ph, pw;         /* rows and columns of the padded image                                                            */
  uint32_t groups;         /* dw: 1, all channels side by side                                                                */
  uint32_t gic, goc;       /* input and output channels of one group                                                          */
  size_t panels;           /* of one group                                                                                    */
  size_t nk;               /* weight groups of one channel                                                                    */
  size_t quads;            /* dw: interleaved rows of 4 (2) image rows that cover the kernel's height                         */
  size_t oy_block;         /* dw: output rows interleaved at once                                                             */
  uint32_t *koff;          /* [nk] bytes                                                                                      */
  uint32_t *pos;           /* [n*oh*ow] bytes from the image's start to the first tap; dw: not used                           */
  uint8_t *w;              /* [groups][panels][nk][16][4 bytes], aligned to a vector                                          */
  int32_t *init;           /* [groups][panels][16]: bias and zero point corrections modulo 2^32; 0 if wide                    */
  size_t n_chunks, *chunk; /* wide: chunk i is weight groups [chunk[i], chunk[i+1])                                     */
  bool narrow;             /* bytes, added in 16 bits as `windows` says; init is the bias alone                               */
  qv_narrow windows;
} affine_op;

/* ---- bounds ----------------------------------------------------------------------------------------------------------- */

static int32_t weight(const qv_affine *a, size_t k, uint32_t o, size_t i) {
  return qv_low32((int64_t)a->w[o * k + i] - a->w_zp[a->n_w_zp == 1 ? 0 : o]); /* checked by effective() to fit */
}

typedef struct {
  int64_t wlo, whi; /* w - w_zp                                                             */
  qv_i128 x;        /* |x - x_zp| <= x                                                      */
  qv_i128 any;      /* |b| + sum |w - w_zp| * x, largest channel: bounds every partial sum   */
  qv_i128 raw;      /* sum |w|*|x| of raw products, padding included                         */
  qv_i128 term;     /* largest |product|, raw or corrected as the node says                  */
} bounds;

static qv_i128 abs128(qv_i128 v) { return v < 0 ? -v : v; }
static qv_i128 max128(qv_i128 a, qv_i128 b) { return a > b ? a : b; }

static bounds effective(const qv_affine *a, size_t k, qv_itv t) {
  bounds b = {.wlo = INT64_MAX, .whi = INT64_MIN};
  b.x = max128(abs128((qv_i128)t.lo - a->x_zp), abs128((qv_i128)t.hi - a->x_zp));
  qv_i128 xraw = max128(max128(abs128(t.lo), abs128(t.hi)), abs128(a->x_zp));
  for (uint32_t o = 0; o < a->win.oc; o++) {
    int64_t zp = a->w_zp[a->n_w_zp == 1 ? 0 : o], sum = 0, raw = 0; /* k <= 2^28, |w - zp| < 2^33 */
    for (size_t i = 0; i < k; i++) {
      int64_t w = a->w[o * k + i], v = w - zp;
      b.wlo = qv_min64(b.wlo, v);
      b.whi = qv_max64(b.whi, v);
      sum += llabs(v);
      raw += llabs(w);
      b.term = max128(b.term, a->acc.raw ? llabs(w) * xraw : llabs(v) * b.x);
    }
    b.any = max128(b.any, abs128(a->b[o]) + sum * b.x);
    b.raw = max128(b.raw, raw * xraw);
  }
  return b;
}

/* Does the machine accumulator compute the exact sum, wrapped to a->acc.bits at the end (0 = not at all)? */
static bool is_modular(const qv_affine *a, const bounds *b) {
  qv_i128 top = qv_smax(a->acc.bits == 0 ? 64 : a->acc.bits);
  switch (a->acc.mode) {
  case QV_ACC_EXACT:
  case QV_ACC_WRAP: return true;
  case QV_ACC_SAT:
  case QV_ACC_TRAP: return b->any <= top;                                                /* no prefix in any order leaves the range */
  case QV_ACC_PAIR16: return 2 * b->term <= INT16_MAX;                                   /* no pair saturates */
  case QV_ACC_LANES:
  case QV_ACC_PAIRLANES: return (a->acc.raw ? b->raw : b->any) <= qv_smax(a->acc.lane_bits); /* no pair or lane leaves its range */
  }
  return false;
}

/* ---- geometry --------------------------------------------------------------------------------------------------------- */

/* Rows and columns that the taps span; false if the padded copy would be out of proportion. */
static bool span(affine_op *f, const qv_window *g, size_t out_elems) {
  qv_i128 h = (qv_i128)(g->oh - 1) * g->sh + (qv_i128)(g->kh - 1) * g->dh + 1;
  qv_i128 w = (qv_i128)(g->ow - 1) * g->sw + (qv_i128)(g->kw - 1) * g->dw + 1;
  qv_i128 in = (qv_i128)g->n * g->ih * g->iw * g->ic, wgt = (qv_i128)g->kh * g->kw * g->ic;
  qv_i128 need = h * w * g->ic * g->n;
  if (need > ((qv_i128)1 << 27) || need > 64 * (in + wgt + (qv_i128)out_elems) + 65536) return false;
  f->ph = (uint32_t)h;
  f->pw = (uint32_t)w;
  return true;
}

/* Bytes between vertically adjacent elements of what the tiles read. */
static size_t pitch(const affine_op *f, size_t esz) {
  const qv_window *g = &f->a->win;
  return (f->copy ? (size_t)f->pw : g->iw) * g->ic * esz;
}

/* Fill koff and w. A run is a stretch of taps that is contiguous in the input and in the weights. */
static void pack_gemm(affine_op *f, size_t k) {
  const qv_window *g = &f->a->win;
  size_t esz = f->bytes ? 1 : 2, per = 4 / esz, line = pitch(f, esz);
  bool merge = g->dw == 1 && g->groups == 1;
  size_t run = merge ? (size_t)g->kw * g->ic : f->gic, runs = merge ? 1 : g->kw, at = 0;
  for (uint32_t ky = 0; ky < g->kh; ky++)
    for (size_t kx = 0; kx < runs; kx++)
      for (size_t i = 0; i < run; i += per, at++) {
        f->koff[at] = (uint32_t)(ky * g->dh * line + (kx * g->dw * g->ic + i) * esz);
        for (uint32_t o = 0; o < g->oc; o++) {
          size_t panel = o / f->goc * f->panels + o % f->goc / QV_PANEL;
          uint8_t *d = f->w + ((panel * f->nk + at) * QV_PANEL + o % f->goc % QV_PANEL) * 4;
          for (size_t j = 0; j < per && i + j < run; j++) {
            int32_t v = weight(f->a, k, o, (ky * runs + kx) * run + i + j);
            if (f->bytes) d[j] = (uint8_t)v;
            else memcpy(d + 2 * j, &(int16_t){(int16_t)v}, 2);
          }
        }
      }
}

static void pack_dw(affine_op *f, size_t k) {
  const qv_window *g = &f->a->win;
  size_t per = f->bytes ? 4 : 2, at = 0;
  for (size_t q = 0; q < f->quads; q++)
    for (uint32_t kx = 0; kx < g->kw; kx++, at++) {
      f->koff[at] = (uint32_t)((q * f->pw + (size_t)kx * g->dw) * g->ic * 4);
      for (uint32_t o = 0; o < g->oc; o++) {
        uint8_t *d = f->w + ((o / QV_PANEL * f->nk + at) * QV_PANEL + o % QV_PANEL) * 4;
        for (size_t j = 0; j < per && q * per + j < g->kh; j++) {
          int32_t v = weight(f->a, k, o, (q * per + j) * g->kw + kx);
          if (f->bytes) d[j] = (uint8_t)v;
          else memcpy(d + 2 * j, &(int16_t){(int16_t)v}, 2);
        }
      }
    }
}

/* Biases, and for bytes the part of the sum that the stored zero point z contributes: -z * sum(w - w_zp). */
static void pack_init(affine_op *f, size_t k, int64_t z) {
  const qv_window *g = &f->a->win;
  for (uint32_t o = 0; o < g->oc; o++) {
    int64_t sum = 0;
    for (size_t i = 0; i < k; i++) sum += weight(f->a, k, o, i);
    uint64_t v = (uint64_t)f->a->b[o] - (f->bytes && !f->narrow ? (uint64_t)z * (uint64_t)sum : 0);
    f->init[(o / f->goc * f->panels + o % f->goc / QV_PANEL) * QV_PANEL + o % f->goc % QV_PANEL] = f->wide ? 0 : qv_low32((int64_t)v);
  }
}

/* Cut the weight groups so that no chunk's sum leaves int32. False if one group alone could, or memory is short. */
static bool cut_chunks(qv_plan *p, affine_op *f, int64_t x) {
  if ((f->chunk = QV_NEW(&p->arena, f->nk + 1, size_t)) == NULL) return false;
  size_t lanes = f->groups * f->panels * QV_PANEL, n = 0;
  int64_t sum = 0;
  for (size_t k = 0; k < f->nk; k++) {
    int64_t most = 0;
    for (size_t l = 0; l < lanes; l++) {
      int16_t w[2];
      memcpy(w, f->w + ((l / QV_PANEL * f->nk + k) * QV_PANEL + l % QV_PANEL) * 4, 4);
      most = qv_max64(most, (llabs(w[0]) + llabs(w[1])) * x);
    }
    if (most > INT32_MAX) return false;
    if (sum + most > INT32_MAX) f->chunk[++n] = k, sum = 0;
    sum += most;
  }
  f->chunk[++n] = f->nk;
  f->n_chunks = n;
  return true;
}

/* ---- run -------------------------------------------------------------------------------------------------------------- */

/* The window's part of an image, padded; int16 with the zero point subtracted unless bytes. */
static void copy_image(const qv_worker *w, const affine_op *f, const qv_xtensor *x, const unsigned char *src, uint8_t *dst) {
  const qv_window *g = &f->a->win;
  size_t esz = f->bytes ? 1 : 2, line = (size_t)f->pw * g->ic * esz, sz = qv_xsize(x->type);
  size_t x0 = g->pl < f->pw ? g->pl : f->pw, x1 = g->iw + g->pl < f->pw ? g->iw + g->pl : f->pw, n = (x1 - x0) * g->ic;
  memset(dst, f->fill, f->ph * line);
  dst += x0 * g->ic * esz;
  for (uint32_t y = g->pt; y < f->ph && y - g->pt < g->ih; y++, src += (size_t)g->iw * g->ic * sz) {
    int16_t *d = (int16_t *)(void *)(dst + y * line);
    if (f->bytes) memcpy(d, src, n);
    else if (x->type == QV_XU8) w->p->simd->byte_to_16(d, src, n, f->sub);
    else
      for (size_t i = 0; i < n; i++) d[i] = (int16_t)(((const int16_t *)(const void *)src)[i] - f->sub);
  }
}

static const uint8_t *input(qv_worker *w, const qv_op *op, const affine_op *f) {
  const qv_xtensor *x = &w->p->x[op->in[0]];
  const unsigned char *src = w->at[op->in[0]];
  if (!f->copy) return src;
  const qv_window *g = &f->a->win;
  size_t image = (size_t)g->ih * g->iw * g->ic * qv_xsize(x->type), padded = (size_t)f->ph * f->pw * g->ic * (f->bytes ? 1 : 2);
  for (uint32_t n = 0; n < g->n; n++) copy_image(w, f, x, src + n * image, w->pad + n * padded);
  return w->pad;
}

/* Scalar end of a tile: wide or wrapped accumulators, steps without vector form, raw accumulators as output. */
static void store_scalar(qv_worker *w, const qv_op *op, const affine_op *f, size_t e0, size_t rows, size_t n) {
  const qv_xtensor *y = &w->p->x[op->out];
  for (size_t r = 0; r < rows; r++)
    for (size_t j = 0; j < n; j++) {
      size_t e = e0 + r * f->a->win.oc + j;
      int64_t v = f->wide ? w->c64[r * QV_TILE_COLS + j] : w->c[r * QV_TILE_COLS + j];
      if (f->wrap != 0) v = qv_wrap(v, f->wrap);
      if (op->post != NULL) v = qv_step_eval(op->post->s, qv_step_channel(op->post->s, e), v);
      qv_xput(y, w->at[op->out], e, v);
    }
}

/* One tile: `rows` positions from element e0 on, `panels` panels from panel p0 of group g on. */
static void run_tile(qv_worker *w, const qv_op *op, const uint8_t *const *a, size_t e0, size_t rows, uint32_t g, size_t p0, size_t panels) {
  const affine_op *f = op->data;
  const qv_simd *s = w->p->simd;
  qv_tile_fn *fn = f->dw ? (f->bytes ? s->dw8 : s->dw16) : (f->bytes ? s->gemm8 : s->gemm16);
  size_t panel = g * f->panels + p0, stride = f->nk * 64, n = f->goc - p0 * QV_PANEL;
  const uint8_t *wt = f->w + panel * stride;
  if (n > panels * QV_PANEL) n = panels * QV_PANEL;
  e0 += g * f->goc + p0 * QV_PANEL;
  if (f->wide) {
    for (size_t r = 0; r < rows; r++)
      for (size_t j = 0; j < n; j++) w->c64[r * QV_TILE_COLS + j] = f->a->b[g * f->goc + p0 * QV_PANEL + j];
    for (size_t i = 0; i < f->n_chunks; i++) {
      size_t k0 = f->chunk[i];
      fn(w->c, a, rows, f->koff + k0, f->chunk[i + 1] - k0, wt + k0 * 64, stride, panels, f->init + panel * QV_PANEL);
      for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < n; j++) w->c64[r * QV_TILE_COLS + j] += w->c[r * QV_TILE_COLS + j];
    }
  } else if (f->narrow) {
    (f->dw ? s->dw_narrow : s->gemm_narrow)(w->c, a, rows, f->koff, wt, stride, panels, f->init + panel * QV_PANEL, f->windows.n, f->windows.end,
                                            f->windows.fix + panel * f->windows.n * 2 * QV_PANEL);
  } else {
    fn(w->c, a, rows, f->koff, f->nk, wt, stride, panels, f->init + panel * QV_PANEL);
  }
  if (op->post == NULL || op->post->form == QV_VF_NONE) store_scalar(w, op, f, e0, rows, n);
  else qv_store_tile(w, op, e0, f->a->win.oc, rows, n, panels, panel * QV_PANEL);
}

/* All channels of group g; channel c of the input is `step` bytes per channel further (dw) or at the same place (0). */
static void run_panels(qv_worker *w, const qv_op *op, const uint8_t *a[QV_TILE_ROWS], size_t e0, size_t rows, uint32_t g, size_t step) {
  const affine_op *f = op->data;
  for (size_t r = rows; r < QV_TILE_ROWS; r++) a[r] = a[rows - 1];
  for (size_t p0 = 0; p0 < f->panels; p0 += 4) {
    run_tile(w, op, a, e0, rows, g, p0, f->panels - p0 < 4 ? f->panels - p0 : 4);
    for (size_t r = 0; step != 0 && r < QV_TILE_ROWS; r++) a[r] += QV_TILE_COLS * step;
  }
}

static qv_status run_gemm(qv_worker *w, const qv_op *op) {
  const affine_op *f = op->data;
  const qv_window *g = &f->a->win;
  const uint8_t *src = input(w, op, f), *a[QV_TILE_ROWS];
  size_t n = (size_t)g->n * g->oh * g->ow, esz = f->bytes ? 1 : 2;
  for (uint32_t q = 0; q < f->groups; q++)
    for (size_t i = 0; i < n; i += QV_TILE_ROWS) {
      size_t rows = n - i < QV_TILE_ROWS ? n - i : QV_TILE_ROWS;
      for (size_t r = 0; r < rows; r++) a[r] = src + f->pos[i + r] + (size_t)q * f->gic * esz;
      run_panels(w, op, a, i * g->oc, rows, q, 0);
    }
  return QV_OK;
}

/* Interleave the image rows under output rows [oy, oy+count). The image is padded already if it was copied; otherwise rows
 * outside are taken from w->pad, which holds one row of fill, and columns outside are filled afterwards. */
static void weave(qv_worker *w, const affine_op *f, const uint8_t *image, uint32_t oy, size_t count) {
  const qv_window *g = &f->a->win;
  uint32_t top = f->copy ? 0 : g->pt, left = f->copy ? 0 : g->pl, ih = f->copy ? f->ph : g->ih, iw = f->copy ? f->pw : g->iw;
  size_t per = f->bytes ? 4 : 2, line = pitch(f, 4 / per), px = (size_t)g->ic * 4;
  size_t x0 = left < f->pw ? left : f->pw, x1 = iw + left < f->pw ? iw + left : f->pw, n = (x1 - x0) * g->ic;
  unsigned char *dst = w->weave;
  for (size_t r = 0; r < count; r++)
    for (size_t q = 0; q < f->quads; q++, dst += f->pw * px) {
      const uint8_t *row[4];
      for (size_t j = 0; j < per; j++) { /* rows past the kernel meet zero weights */
        int64_t y = (int64_t)((oy + r) * g->sh + (q * per + j) * g->dh) - top;
        row[j] = q * per + j < g->kh && y >= 0 && y < ih ? image + (size_t)y * line : w->pad;
      }
      const int16_t *const half[2] = {(const int16_t *)(const void *)row[0], (const int16_t *)(const void *)row[1]};
      if (f->bytes) w->p->simd->weave8(dst + x0 * px, row, n);
      else w->p->simd->weave16((int16_t *)(void *)(dst + x0 * px), half, n);
      memset(dst, f->fill, x0 * px);
      memset(dst + x1 * px, f->fill, (f->pw - x1) * px);
    }
}

static qv_status run_dw(qv_worker *w, const qv_op *op) {
  const affine_op *f = op->data;
  const qv_window *g = &f->a->win;
  const uint8_t *src = input(w, op, f), *a[QV_TILE_ROWS];
  size_t image = (f->copy ? (size_t)f->ph : g->ih) * pitch(f, f->bytes ? 1 : 2), px = (size_t)g->ic * 4, line = f->pw * px;
  if (!f->copy) memset(w->pad, f->fill, pitch(f, f->bytes ? 1 : 2));
  for (uint32_t b = 0; b < g->n; b++)
    for (uint32_t oy = 0; oy < g->oh; oy += (uint32_t)f->oy_block) {
      size_t count = g->oh - oy < f->oy_block ? g->oh - oy : f->oy_block, positions = count * g->ow;
      weave(w, f, src + b * image, oy, count);
      size_t ox = 0, row = 0; /* of the next position */
      for (size_t i = 0; i < positions; i += QV_TILE_ROWS) {
        size_t rows = positions - i < QV_TILE_ROWS ? positions - i : QV_TILE_ROWS;
        for (size_t r = 0; r < rows; r++) {
          a[r] = w->weave + row * f->quads * line + ox * g->sw * px;
          if (++ox == g->ow) ox = 0, row++;
        }
        run_panels(w, op, a, (((size_t)b * g->oh + oy) * g->ow + i) * g->oc, rows, 0, 4);
      }
    }
  return QV_OK;
}

/* ---- build ------------------------------------------------------------------------------------------------------------ */

/* Choose bytes or int16, copy or in place (depthwise pads while it interleaves). False: no vector form. */
static bool choose_form(const qv_plan *p, affine_op *f, const qv_xtensor *x, qv_itv t, const bounds *b) {
  const qv_window *g = &f->a->win;
  bool outside = g->pt > 0 || g->pl > 0 || f->ph > g->ih || f->pw > g->iw; /* some tap is padding */
  int64_t z = x->bias + f->a->x_zp;                                        /* the byte that stands for x_zp */
  f->bytes = (p->simd->gemm8 != NULL || f->narrow) && x->type == QV_XU8 && b->wlo >= INT8_MIN && b->whi <= INT8_MAX && !f->wide &&
             (!outside || (z >= 0 && z <= 255));
  if (f->bytes) {
    f->copy = outside && !f->dw;
    f->fill = outside ? (uint8_t)z : 0;
    return true;
  }
  if ((x->type != QV_XU8 && x->type != QV_XI16) || t.lo - f->a->x_zp < INT16_MIN || t.hi - f->a->x_zp > INT16_MAX || b->wlo < INT16_MIN ||
      b->whi > INT16_MAX)
    return false;
  f->sub = (int32_t)z; /* within +-2^17 by the test above */
  f->copy = x->type == QV_XU8 || z != 0 || (outside && !f->dw);
  return true;
}

static void size_scratch(qv_plan *p, const affine_op *f) {
  const qv_window *g = &f->a->win;
  size_t esz = f->bytes ? 1 : 2, pad = f->copy ? (size_t)g->n * f->ph * f->pw * g->ic * esz : f->dw ? pitch(f, esz) : 0;
  size_t woven = f->dw ? f->oy_block * f->quads * f->pw * g->ic * 4 : 0;
  if (pad > p->pad_bytes) p->pad_bytes = pad;
  if (woven > p->weave_bytes) p->weave_bytes = woven;
}

static bool fill_pos(qv_plan *p, affine_op *f) {
  const qv_window *g = &f->a->win;
  size_t esz = f->bytes ? 1 : 2, line = pitch(f, esz), image = (f->copy ? (size_t)f->ph : g->ih) * line, i = 0;
  if ((f->pos = QV_NEW(&p->arena, (size_t)g->n * g->oh * g->ow, uint32_t)) == NULL) return false;
  for (uint32_t n = 0; n < g->n; n++)
    for (uint32_t oy = 0; oy < g->oh; oy++)
      for (uint32_t ox = 0; ox < g->ow; ox++)
        f->pos[i++] = (uint32_t)(n * image + (size_t)oy * g->sh * line + (size_t)ox * g->sw * g->ic * esz);
  return true;
}

/* Is there one requantization per output channel, whatever the position? */
static bool per_channel(const qv_step *s, uint32_t oc) {
  uint32_t n = s->idx != NULL ? s->n_idx : s->n_par;
  return n == 1 || (s->inner == 1 && oc % n == 0);
}

/* The STEP that is the only reader of the sums: it is done while they are in registers' reach. */
static bool fuse_step(qv_plan *p, qv_op *op, const affine_op *f, qv_itv acc) {
  uint32_t j = qv_sole_step(p, op->out);
  if (j == QV_NONE) return true;
  const qv_step *s = &p->net->node[j].u.step;
  size_t lanes = f->groups * f->panels * QV_PANEL;
  uint32_t *elem = malloc(lanes * sizeof *elem);
  if (elem == NULL) return false;
  for (size_t l = 0; l < lanes; l++) {
    size_t c = l % (f->panels * QV_PANEL);
    elem[l] = c < f->goc ? (uint32_t)(l / (f->panels * QV_PANEL) * f->goc + c) : QV_NONE;
  }
  bool vector = per_channel(s, f->a->win.oc) && !f->wide && f->wrap == 0 && p->x[p->net->node[j].out].type != QV_XI64;
  if (vector) qv_vstep_new(&op->post, p, s, acc, lanes, elem);
  else {
    qv_vstep *v = QV_NEW(&p->arena, 1, qv_vstep);
    if (v != NULL) v->s = s;
    op->post = v;
  }
  free(elem);
  op->out = p->net->node[j].out;
  p->op[j].name = "(done by the node before)";
  return op->post != NULL;
}

/* Which arithmetic is exact. The exact sum is in [-any, any]; what the node returns is in the output's range *acc. int32 will
 * do if the result is within int32, or if the machine wraps at no more than 32 bits: then modulo 2^32 is the definition. */
static void choose_arithmetic(affine_op *f, const bounds *b, qv_itv *acc) {
  int bits = f->a->acc.mode == QV_ACC_EXACT ? 0 : f->a->acc.bits;
  bool no_wrap = bits == 0 || b->any <= qv_smax(bits);
  if (no_wrap && b->any <= INT32_MAX) *acc = (qv_itv){qv_max64(acc->lo, -(int64_t)b->any), qv_min64(acc->hi, (int64_t)b->any)};
  bool exact32 = no_wrap && acc->lo >= INT32_MIN && acc->hi <= INT32_MAX;
  f->wide = !exact32 && (bits == 0 || bits > 32);
  f->wrap = no_wrap || bits == 32 ? 0 : bits;
}

/* Sizes of the packed form, its memory, its contents. */
static bool pack(qv_plan *p, affine_op *f, size_t k, int64_t z) {
  const qv_window *g = &f->a->win;
  size_t per = f->bytes ? 4 : 2, run = g->dw == 1 && g->groups == 1 ? (size_t)g->kw * g->ic : f->gic, bytes;
  f->groups = f->dw ? 1 : g->groups;
  if (f->dw) f->goc = g->oc;
  f->quads = (g->kh + per - 1) / per;
  f->oy_block = g->ow < QV_TILE_ROWS ? QV_TILE_ROWS / g->ow : 1;
  f->panels = (f->goc + QV_PANEL - 1) / QV_PANEL;
  f->nk = f->dw ? f->quads * g->kw : (run + per - 1) / per * (k / run);
  size_t lanes = f->panels * f->groups * QV_PANEL;
  if (!qv_mulz(&bytes, lanes * 4, f->nk) || !qv_addz(&bytes, bytes, 64)) return false;
  f->koff = QV_NEW(&p->arena, f->nk, uint32_t);
  f->init = QV_NEW(&p->arena, lanes, int32_t);
  f->w = qv_arena_alloc(&p->arena, bytes, 1);
  if (f->koff == NULL || f->init == NULL || f->w == NULL) return false;
  f->w += -(uintptr_t)f->w % 64;
  if (f->dw) pack_dw(f, k);
  else pack_gemm(f, k);
  pack_init(f, k, z);
  return f->dw || fill_pos(p, f);
}

static const char *kernel_name(const affine_op *f, const qv_vstep *post) {
  static const char *const names[6][3] = {
      {"int16 gemm", "int16 gemm + scalar step", "int16 gemm + step"},
      {"uint8 x int8 gemm", "uint8 x int8 gemm + scalar step", "uint8 x int8 gemm + step"},
      {"int16 depthwise", "int16 depthwise + scalar step", "int16 depthwise + step"},
      {"uint8 x int8 depthwise", "uint8 x int8 depthwise + scalar step", "uint8 x int8 depthwise + step"},
      {"uint8 x int8 gemm in 16 bits", "uint8 x int8 gemm in 16 bits + scalar step", "uint8 x int8 gemm in 16 bits + step"},
      {"uint8 x int8 depthwise in 16 bits", "uint8 x int8 depthwise in 16 bits + scalar step", "uint8 x int8 depthwise in 16 bits + step"},
  };
  return names[f->narrow ? 4 + f->dw : 2 * f->dw + f->bytes][post == NULL ? 0 : post->form == QV_VF_NONE ? 1 : 2];
}

/* ---- sums in 16 bits ----------------------------------------------------------------------------------------------------- */

typedef struct {
  const affine_op *f;
  const qv_itv *x; /* [ic] proved */
} narrow_ranges;

/* Lane l of a panel is an output channel; byte j of weight group k is an input channel of its window group, or (depthwise) a row of
 * the output channel's own. Bytes that only fill up a group have weight 0, and unused lanes too. */
static qv_itv narrow_range(void *ctx, size_t panel, size_t k, size_t j, size_t l) {
  const narrow_ranges *r = ctx;
  const affine_op *f = r->f;
  const qv_window *g = &f->a->win;
  if (f->dw) return r->x[panel * QV_PANEL + l];
  size_t run = g->dw == 1 && g->groups == 1 ? (size_t)g->kw * g->ic : f->gic, in_run = k % ((run + 3) / 4) * 4 + j;
  return r->x[panel / f->panels * f->gic + in_run % f->gic];
}

/* Try the 16-bit form with the facts about the node. False: it is not to be had, and *f is as it was. */
static bool try_narrow(qv_plan *p, affine_op *f, uint32_t node, const bounds *b, size_t k, qv_status *st) {
  const qv_node *d = &p->net->node[node];
  const qv_window *g = &f->a->win;
  const qv_xtensor *x = &p->x[d->in[0]];
  affine_op was = *f;
  *st = QV_OK;
  if (p->fact == NULL || p->fact[node].x == NULL || p->simd->gemm_narrow == NULL || f->wide) return false;
  narrow_ranges r = {f, p->fact[node].x};
  int64_t z = x->bias + f->a->x_zp;
  f->narrow = true;
  bool ok = choose_form(p, f, x, p->range[d->in[0]], b) && f->bytes;
  if (ok && !pack(p, f, k, z)) *st = QV_E_NOMEM;
  ok = ok && *st == QV_OK;
  if (ok) {
    const qv_narrow_layer l = {.w = f->w, .panels = f->groups * f->panels, .nk = f->nk, .bias = x->bias, .zero = z,
                               .padded = g->pt > 0 || g->pl > 0 || f->ph > g->ih || f->pw > g->iw, .ctx = &r, .range = narrow_range};
    ok = qv_narrow_cut(&f->windows, &p->arena, &l, st);
  }
  if (!ok) *f = was;
  return ok;
}

bool qv_plan_affine(qv_plan *p, uint32_t node, qv_status *st) {
  const qv_node *d = &p->net->node[node];
  const qv_window *g = &d->u.affine.win;
  const qv_xtensor *x = &p->x[d->in[0]];
  size_t k = (size_t)g->kh * g->kw * (g->ic / g->groups);
  qv_itv acc = p->range[d->out];
  bounds b = effective(&d->u.affine, k, p->range[d->in[0]]);
  qv_op *op = &p->op[node];
  affine_op *f = QV_NEW(&p->arena, 1, affine_op);
  *st = QV_E_NOMEM; /* until all memory is there */
  if (f == NULL || (op->in = QV_NEW(&p->arena, 1, uint32_t)) == NULL) return false;
  f->a = &d->u.affine;
  f->gic = g->ic / g->groups;
  f->goc = g->oc / g->groups;
  choose_arithmetic(f, &b, &acc);
  f->dw = g->groups > 1 && f->gic == 1 && f->goc == 1 && !f->wide;
  bool modular = is_modular(f->a, &b) || (p->fact != NULL && p->fact[node].harmless);
  if (!modular) op->name = "reference: the accumulator's own overflow is not excluded";
  else if (!span(f, g, p->x[d->out].n)) op->name = "reference: padding out of proportion";
  else if (!try_narrow(p, f, node, &b, k, st)) {
    if (*st != QV_OK) return false;
    *st = QV_E_NOMEM;
    if (!choose_form(p, f, x, p->range[d->in[0]], &b)) op->name = "reference: operands wider than 16 bits";
    else if (!pack(p, f, k, x->bias + f->a->x_zp)) return false;
    else if (f->wide && !cut_chunks(p, f, (int64_t)b.x)) op->name = "reference: a single product may leave 32 bits";
  }
  *st = QV_OK;
  if (op->name != NULL) return false;
  op->in[0] = d->in[0];
  op->n_in = 1;
  op->out = d->out;
  op->data = f;
  op->run = f->dw ? run_dw : run_gemm;
  if (!fuse_step(p, op, f, acc)) *st = QV_E_NOMEM;
  size_scratch(p, f);
  op->name = kernel_name(f, op->post);
  return *st == QV_OK;
}
